// links: sluice_contract
// A JSON Schema is refused or becomes columns; what became columns survives the stored
// form, and so does what a stored form was read as.

#include "../help/schema_of.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void store_and_load(const sl_schema *schema) {
    sl_buffer first = {0}, second = {0};
    sl_schema *back = NULL;
    sl_error error = {0};
    sl_schema_store(schema, &first);
    if (sl_schema_load((const char *)first.bytes, first.length, &back, &error) != SL_OK)
        abort();
    sl_schema_store(back, &second);
    if (first.length != second.length ||
        memcmp(first.bytes, second.bytes, first.length) != 0)
        abort();
    sl_schema_unref(back);
    sl_buffer_fini(&first);
    sl_buffer_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_schema *schema = NULL;
    sl_error error = {0};
    char *text = malloc(size + 1);
    if (text == NULL)
        abort();
    if (size != 0)
        memcpy(text, data, size);
    text[size] = 0;
    if (schema_of(text, true, &schema, &error) == SL_OK)
        store_and_load(schema);
    else if (error.text[0] == 0)
        abort();
    free(text);
    sl_schema_unref(schema);
    schema = NULL;
    if (sl_schema_load((const char *)data, size, &schema, &error) == SL_OK)
        store_and_load(schema);
    sl_schema_unref(schema);
    return 0;
}
