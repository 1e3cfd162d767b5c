// links: sluice_generate
/* The reader of HTTP replies: any bytes, in two pieces cut at the place the first byte says. */
#include "../../src/app/generate_private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sl_reply whole, cut;
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t length = size - 1, at = length == 0 ? 0 : data[0] % (length + 1), used = 0, more = 0;
    sl_reply_reset(&whole);
    sl_reply_reset(&cut);
    sl_status one = sl_reply_feed(&whole, bytes, length, &used);
    if (used > length)
        abort();
    sl_status two = sl_reply_feed(&cut, bytes, at, &more);
    if (two == SL_OK && !cut.done)
        two = sl_reply_feed(&cut, bytes + at, length - at, &more);
    /* However it is cut, a good reply reads the same. */
    if (one == SL_OK && (two != SL_OK || whole.done != cut.done || whole.status != cut.status))
        abort();
    uint64_t count = 0;
    (void)sl_reply_count(&whole, "accepted", &count);
    return 0;
}
