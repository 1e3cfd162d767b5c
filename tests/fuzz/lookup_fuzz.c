// links: sluice_lookup
// Content is refused with a message, or is a table; loaded again with the types found, it
// is the same one, and each row that the table has is found.

#include "sluice/lookup.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sl_status load(const sl_lookup_definition *definition, const uint8_t *data,
                      size_t size, sl_lookup **out) {
    sl_lookup_loader *loader;
    sl_error error = {0};
    *out = NULL;
    if (sl_lookup_begin(definition, &loader, &error) != SL_OK)
        abort();
    sl_status status = sl_lookup_feed(loader, data, size / 2, &error);
    if (status == SL_OK)
        status = sl_lookup_feed(loader, data + size / 2, size - size / 2, &error);
    if (status == SL_OK)
        status = sl_lookup_finish(loader, out, &error);
    if (status != SL_OK && (error.text[0] == 0 || error.status != status || *out != NULL))
        abort();
    sl_lookup_loader_destroy(loader);
    return status;
}

static void load_again(const sl_lookup_definition *before, const sl_lookup *table,
                       const uint8_t *data, size_t size) {
    sl_lookup_definition definition = *before;
    sl_lookup *again;
    definition.columns = sl_lookup_columns(table, &definition.column_count);
    definition.all = false;
    if (load(&definition, data, size, &again) != SL_OK)
        abort();
    sl_lookup_facts a = sl_lookup_facts_of(table), b = sl_lookup_facts_of(again);
    if (a.version.low != b.version.low || a.version.high != b.version.high ||
        a.rows != b.rows || a.duplicates != b.duplicates || a.keyless != b.keyless)
        abort();
    sl_lookup_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const sl_lookup_definition definition = {.name = "t",
                                             .format = data[0] % 2 ? SL_LOOKUP_NDJSON
                                                                   : SL_LOOKUP_CSV,
                                             .key = "k",
                                             .all = true};
    sl_lookup *table;
    if (load(&definition, data + 1, size - 1, &table) != SL_OK)
        return 0;
    load_again(&definition, table, data + 1, size - 1);
    sl_value values[SL_LOOKUP_COLUMNS_MAX + 1];
    for (size_t at = 1; at < size; at++) {
        const sl_value key = {
            .type = SL_TYPE_STRING,
            .as.text = {data + at, size - at < 3 ? size - at : 1 + at % 3}};
        if (sl_lookup_find(table, &key, values) &&
            (values[0].null || values[0].as.text.length != key.as.text.length))
            abort();
    }
    sl_lookup_unref(table);
    return 0;
}
