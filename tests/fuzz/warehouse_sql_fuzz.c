// links: sluice_warehouse_sql
// Any cell's text is a value or refused; any JSON fits somehow, and what was made of it
// fits as it is.

#include "sluice/warehouse_sql.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    sl_arena arena;
    sl_arena_init(&arena, 1024);
    const sl_warehouse_column column = {.type = (sl_type)(data[0] % (SL_TYPE_BYTES + 1)),
                                        .scale = data[1] % 19};
    sl_value value;
    if (sl_warehouse_cell(&column, (const char *)data + 2, size - 2, &arena, &value) &&
        value.null)
        abort();
    sl_live_column live = {.type = (char[]){"character varying"},
                           .length = data[1] % 64 + 2};
    const sl_live_column *places[] = {NULL, &live};
    for (int i = 0; i < 4; i++) {
        bool changed;
        value = (sl_value){.type = i < 2 ? SL_TYPE_JSON : SL_TYPE_STRING,
                           .as.text = {data + 2, size - 2}};
        if (sl_warehouse_fit(SL_DIALECT_POSTGRES, places[i % 2], SL_FIT_TRUNCATE, &value,
                             &arena, &changed) != SL_OK ||
            sl_warehouse_fit(SL_DIALECT_POSTGRES, places[i % 2], SL_FIT_TRUNCATE, &value,
                             &arena, &changed) != SL_OK ||
            changed)
            abort();
    }
    sl_arena_fini(&arena);
    return 0;
}
