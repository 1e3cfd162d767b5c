#include "sluice/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>

void sl_range_put(sl_buffer *out, const sl_range *r) {
    sl_buffer_printf(out, "%" PRIu64 " %" PRIu64 " %.*s\n", r->from, r->to, (int)r->length, r->partition);
}

bool sl_range_next(const char **lines, sl_range *out) {
    const char *at = *lines;
    char *end;
    if (*at < '0' || *at > '9')
        return false;
    out->from = strtoull(at, &end, 10);
    if (*end != ' ' || end[1] < '0' || end[1] > '9')
        return false;
    out->to = strtoull(end + 1, &end, 10);
    if (*end != ' ')
        return false;
    out->partition = end + 1;
    out->length = strcspn(out->partition, "\n");
    if (out->partition[out->length] != '\n')
        return false;
    *lines = out->partition + out->length + 1;
    return true;
}

bool sl_range_find(const char *lines, const char *partition, size_t length, sl_range *out) {
    while (sl_range_next(&lines, out))
        if (out->length == length && memcmp(out->partition, partition, length) == 0)
            return true;
    return false;
}

static int compare_partitions(const void *a, const void *b) {
    const sl_range *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return memcmp(x->partition, y->partition, x->length);
}

/* Ordered by partition, as both sides may have thousands. @return The caller's; NULL: out of memory. */
static sl_range *sorted(const char *lines, size_t *count) {
    sl_range range, *all = sl_malloc(sizeof *all);
    size_t capacity = 1;
    for (*count = 0; all != NULL && sl_range_next(&lines, &range); all[(*count)++] = range)
        if (*count == capacity) {
            sl_range *more = sl_realloc(all, 2 * capacity * sizeof *all);
            if (more == NULL) {
                sl_free(all);
                return NULL;
            }
            all = more;
            capacity *= 2;
        }
    if (all != NULL)
        qsort(all, *count, sizeof *all, compare_partitions);
    return all;
}

sl_status sl_ranges_check(const char *table, const char *ranges, const char *found, sl_error *error) {
    size_t count;
    sl_range range, *rows = sorted(found, &count);
    if (rows == NULL)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", table);
    sl_status status = SL_OK;
    while (status == SL_OK && sl_range_next(&ranges, &range)) {
        const sl_range *row = bsearch(&range, rows, count, sizeof *rows, compare_partitions);
        if (row != NULL && row->to > range.from)
            status = sl_error_set(error, SL_EMOVED, "%s: another reader has brought %.*s up to offset %" PRIu64 ", this load begins at %" PRIu64,
                                  table, (int)range.length, range.partition, row->to, range.from);
    }
    sl_free(rows);
    return status;
}
