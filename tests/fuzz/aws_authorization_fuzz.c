// links: sluice_aws_intake
/* Three lines: Authorization, X-Amz-Date, Date. What is read has all its parts, and what isn't says why. */
#include "../../src/intake/aws/authorization.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static aws_authorization a;
    aws_fault fault = {.type = NULL};
    const char *lines[3] = {"", "", ""};
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_append(&text, data, size);
    sl_buffer_byte(&text, 0);
    char *at = (char *)text.bytes;
    for (int i = 0; i < 3 && at != NULL; i++) {
        lines[i] = at;
        if ((at = strchr(at, '\n')) != NULL)
            *at++ = 0;
    }
    bool good = aws_authorization_read(&a, lines[0], lines[1], lines[2], &fault);
    if (good == (fault.type != NULL) || (good && (a.name_count == 0 || a.name_count > AWS_SIGNED_MAX || strlen(a.stamp) != 16)))
        abort();
    if (good) {
        size_t length = strlen(a.key_id) + strlen(a.region) + strlen(a.service) + strlen(a.terminator) + strlen(a.signature);
        for (size_t i = 0; i < a.name_count; i++)
            length += strlen(a.names[i]);
        if (length >= sizeof a.text)
            abort();
        bool fits = aws_authorization_check(&a, "kinesis", a.time_us, &fault);
        if (fits == (fault.type != NULL))
            abort();
    }
    sl_buffer_fini(&text);
    return 0;
}
