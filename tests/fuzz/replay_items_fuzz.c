// links: sluice_app
// Any bytes as the body of a replay: what is read of it is written again to the same bytes.
#include "sluice/replay.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_buffer again = SL_BUFFER_EMPTY;
    sl_replay_item item;
    size_t at = 0;
    for (size_t n; (n = sl_replay_get(data + at, size - at, &item)) != 0; at += n)
        sl_replay_put(&item, &again);
    if (!again.failed && (again.length != at || (at != 0 && memcmp(again.bytes, data, at) != 0)))
        __builtin_trap();
    sl_buffer_fini(&again);
    return 0;
}
