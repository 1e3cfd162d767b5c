#include "hints.h"

#define FRESH_EVERY 16u /* Every 16th file finds out anew: data changes. */

typedef struct hint {
    bool known;
    uint8_t type;
    sl_parquet_lesson lesson;
} hint;

struct sl_parquet_hints {
    hint *items;
    uint32_t count;
    uint32_t files;
    uint64_t rows;
};

sl_parquet_hints *sl_parquet_hints_create(void) { return sl_calloc(1, sizeof(sl_parquet_hints)); }

void sl_parquet_hints_destroy(sl_parquet_hints *hints) {
    if (!hints)
        return;
    sl_free(hints->items);
    sl_free(hints);
}

const sl_parquet_lesson *sl_parquet_hints_get(const sl_parquet_hints *hints, uint32_t field,
                                              sl_type type) {
    if (!hints || hints->files % FRESH_EVERY == 1 || field >= hints->count)
        return NULL;
    const hint *item = &hints->items[field];
    return item->known && item->type == (uint8_t)type ? &item->lesson : NULL;
}

void sl_parquet_hints_put(sl_parquet_hints *hints, uint32_t field, sl_type type,
                          sl_parquet_lesson lesson) {
    if (!hints)
        return;
    if (field >= hints->count) {
        uint32_t count = (field + 16) / 16 * 16;
        hint *items = sl_realloc(hints->items, count * sizeof *items);
        if (!items)
            return;
        memset(items + hints->count, 0, (count - hints->count) * sizeof *items);
        hints->items = items;
        hints->count = count;
    }
    hints->items[field] = (hint){true, (uint8_t)type, lesson};
}

uint64_t sl_parquet_hints_begin(sl_parquet_hints *hints) {
    if (!hints)
        return 0;
    hints->files++;
    return hints->rows;
}

void sl_parquet_hints_rows(sl_parquet_hints *hints, uint64_t rows) {
    if (hints)
        hints->rows = rows;
}
