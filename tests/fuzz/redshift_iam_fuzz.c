// links: sluice_warehouse_redshift
/* Replies of GetClusterCredentials (XML) and GetCredentials (JSON), refusals too: the first byte says which. */
#include "../../src/sinks/warehouse/redshift/private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    sl_buffer body = SL_BUFFER_EMPTY, user = SL_BUFFER_EMPTY, password = SL_BUFFER_EMPTY;
    sl_buffer_append(&body, data + 1, size - 1);
    if (iam_reply((data[0] & 1) != 0, &body, &user, &password)) {
        if (user.length == 0 || password.length == 0 || user.length + password.length > 2 * size)
            abort();
    }
    bool expired;
    sl_error error;
    sl_status status = iam_refusal((data[0] & 1) != 0, 400u + data[0], &body, &expired, &error);
    if (status != SL_EIO && status != SL_EDENIED)
        abort();
    sl_buffer_fini(&body);
    sl_buffer_fini(&user);
    sl_buffer_fini(&password);
    return 0;
}
