// links: sluice_checkpoint
// Lines of ranges: what is read is read again from what is put; a load's, then after a 0 the ledger's: the verdict is that of a comparison of each
// with each.

#include "sluice/checkpoint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(const char *lines) {
    sl_range range, again;
    while (sl_range_next(&lines, &range)) {
        sl_buffer out = {0};
        sl_range_put(&out, &range);
        const char *text = sl_buffer_cstr(&out);
        if (!sl_range_next(&text, &again) || *text != 0 || again.from != range.from || again.to != range.to ||
            again.length != range.length || memcmp(again.partition, range.partition, range.length) != 0)
            abort();
        sl_buffer_fini(&out);
    }
}

// Of one partition there may be several lines here: any of them is above `from`, or all of them.
static void refused(const char *ranges, const char *found, bool *any, bool *all) {
    sl_range range, row;
    *any = *all = false;
    while (sl_range_next(&ranges, &range)) {
        uint32_t count = 0, above = 0;
        for (const char *at = found; sl_range_next(&at, &row);)
            if (row.length == range.length && memcmp(row.partition, range.partition, row.length) == 0) {
                count++;
                above += row.to > range.from;
            }
        *any = *any || above != 0;
        *all = *all || (count != 0 && above == count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 2);
    if (text == NULL)
        return 0;
    if (size != 0)
        memcpy(text, data, size);
    text[size] = text[size + 1] = 0;
    const char *found = text + strlen(text) + 1;
    check_lines(text);
    bool any, all;
    refused(text, found, &any, &all);
    sl_error error;
    const sl_status status = sl_ranges_check("t", text, found, &error);
    if (status == SL_EMOVED ? !any : status != SL_OK || all)
        abort();
    free(text);
    return 0;
}
