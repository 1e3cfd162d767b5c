// links: sluice_aws_intake PkgConfig::openssl
/* A message of the KPL's kind, whose checksum is made right if the first byte is odd: as many user records come as were counted, and
 * all of them lie within. */
#include "../../src/intake/aws/kpl.h"

#include "sluice/buffer.h"

#include <openssl/evp.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen {
    const uint8_t *begin, *end;
    uint32_t count;
} seen;

static bool take(void *context, const uint8_t *data, size_t length) {
    seen *s = context;
    if (data < s->begin || data > s->end || length > (size_t)(s->end - data))
        abort();
    s->count++;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    sl_buffer whole = SL_BUFFER_EMPTY;
    if (data[0] % 2 == 1) {
        uint8_t sum[EVP_MAX_MD_SIZE];
        sl_buffer_append(&whole, "\xf3\x89\x9a\xc2", 4);
        sl_buffer_append(&whole, data + 1, size - 1);
        if (EVP_Digest(data + 1, size - 1, sum, NULL, EVP_md5(), NULL) != 1)
            abort();
        sl_buffer_append(&whole, sum, 16);
    } else {
        sl_buffer_append(&whole, data + 1, size - 1);
    }
    if (whole.length == 0)
        return 0;
    seen s = {whole.bytes, whole.bytes + whole.length, 0};
    uint32_t count = aws_kpl_count(whole.bytes, whole.length);
    if (count > 0 && (!aws_kpl_each(whole.bytes, whole.length, take, &s) || s.count != count))
        abort();
    sl_buffer_fini(&whole);
    return 0;
}
