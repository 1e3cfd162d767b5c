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

sl_status sl_ranges_check(const char *table, const char *ranges, const char *found, sl_error *error) {
    sl_range range, row;
    for (const char *at = ranges; sl_range_next(&at, &range);)
        if (sl_range_find(found, range.partition, range.length, &row) && row.to > range.from)
            return sl_error_set(error, SL_EMOVED, "%s: another reader has brought %.*s up to offset %" PRIu64 ", this load begins at %" PRIu64,
                                table, (int)range.length, range.partition, row.to, range.from);
    return SL_OK;
}
