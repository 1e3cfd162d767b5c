// links: sluice_file
// A state file of a file source: what is taken is written as it was read; anything else is refused.

#include "../../src/intake/file/private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** With the sums put right, so that what is behind them is reached. */
static void mend(uint8_t *bytes, size_t size) {
    if (size < 36)
        return;
    memcpy(bytes, "sluiceF1", 8);
    uint32_t length = (uint32_t)size - 24;
    memcpy(bytes + 16, &length, 4);
    uint32_t sum = sl_crc32c(sl_crc32c(0, bytes + 8, 12), bytes + 24, size - 24);
    memcpy(bytes + 20, &sum, 4);
}

static void judge(const uint8_t *bytes, size_t size) {
    tail_state state = {0};
    sl_buffer out = SL_BUFFER_EMPTY;
    if (sl_tail_decode(&state, bytes, size) == SL_OK) {
        sl_tail_encode(&state, &out);
        tail_state again = {0};
        if (out.failed || sl_tail_decode(&again, out.bytes, out.length) != SL_OK || again.count != state.count ||
            again.number != state.number || again.to != state.to || again.body.length != state.body.length)
            abort();
        sl_tail_state_fini(&again);
    }
    sl_buffer_fini(&out);
    sl_tail_state_fini(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    judge(data, size);
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL)
        abort();
    if (size != 0)
        memcpy(copy, data, size);
    mend(copy, size);
    judge(copy, size);
    free(copy);
    return 0;
}
