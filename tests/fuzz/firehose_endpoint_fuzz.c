// links: sluice_aws_intake
// Any bytes as a delivery of Firehose, and as its common attributes: what is read is a record of the log with as many messages, and
// what the request takes in memory follows from its length.

#include "../../src/intake/aws/endpoint.h"

#include "sluice/batch.h" /* SL_PADDING */
#include "sluice/messages.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(const uint8_t *body, size_t size) {
    sl_buffer out = SL_BUFFER_EMPTY, scratch = SL_BUFFER_EMPTY;
    endpoint_request read;
    if (endpoint_read(body, size, &out, &scratch, &read) == NULL) {
        sl_messages_reader reader;
        const bool whole = sl_messages_valid(out.bytes, out.length) && sl_messages_read(out.bytes, out.length, &reader);
        /* A record has 11 characters at least, and is up to 32 bytes besides its data. */
        if (!whole || reader.count != read.records || strlen(read.id) > ENDPOINT_ID_MAX || out.length > 3 * size + 12)
            abort();
    }
    sl_buffer_fini(&out);
    sl_buffer_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char stream[ENDPOINT_STREAM_MAX + 1];
    sl_buffer scratch = SL_BUFFER_EMPTY;
    char *copy = malloc(size + SL_PADDING);
    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    memset(copy + size, 0, SL_PADDING);
    request((const uint8_t *)copy, size);
    if (endpoint_stream(copy, &scratch, stream) == NULL && strlen(stream) > ENDPOINT_STREAM_MAX)
        abort();
    sl_buffer_fini(&scratch);
    free(copy);
    return 0;
}
