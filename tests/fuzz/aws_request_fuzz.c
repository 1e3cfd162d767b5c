// links: sluice_aws_intake
/* The first byte chooses the operation, and with its top bit is Base64 alone: vectors and scalar agree. What is taken is a good body of
 * the log, and the same when it is read again. */
#include "../../src/intake/aws/base64.h"
#include "../../src/intake/aws/request.h"

#include "sluice/batch.h"
#include "sluice/messages.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_base64(const uint8_t *text, size_t length) {
    uint8_t *a = sl_malloc(aws_base64_room(length)), *b = sl_malloc(aws_base64_room(length));
    if (a == NULL || b == NULL)
        abort();
    size_t n = aws_base64_decode(AWS_BASE64_SCALAR, text, length, a), m = aws_base64_decode(AWS_BASE64_AUTO, text, length, b);
    if (n != m || (n != AWS_BASE64_BAD && n > 0 && (n != aws_base64_size(text, length) || memcmp(a, b, n) != 0)))
        abort();
    sl_free(a);
    sl_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    if (data[0] >= 128) {
        check_base64(data + 1, size - 1);
        return 0;
    }
    sl_buffer body = SL_BUFFER_EMPTY, out = SL_BUFFER_EMPTY, again = SL_BUFFER_EMPTY, scratch = SL_BUFFER_EMPTY;
    aws_operation operation = (aws_operation)(data[0] % AWS_OPERATIONS);
    aws_request request;
    aws_fault fault;
    sl_buffer_append(&body, data + 1, size - 1);
    (void)sl_buffer_reserve(&body, SL_PADDING);
    bool good = aws_request_read(operation, body.bytes, body.length, &out, &scratch, &request, &fault);
    if (good ? !sl_messages_valid(out.bytes, out.length) || request.records > AWS_RECORDS_MAX
             : fault.type == NULL || fault.status < 400 || fault.message[0] == 0)
        abort();
    sl_buffer_clear(&scratch);
    if (aws_request_read(operation, body.bytes, body.length, &again, &scratch, &request, &fault) != good ||
        (good && (again.length != out.length || memcmp(again.bytes, out.bytes, out.length) != 0)))
        abort();
    sl_buffer_fini(&body);
    sl_buffer_fini(&out);
    sl_buffer_fini(&again);
    sl_buffer_fini(&scratch);
    return 0;
}
