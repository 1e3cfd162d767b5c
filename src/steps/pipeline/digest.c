#include "private.h"

#include <openssl/evp.h>
#include <openssl/params.h>

struct digest {
    EVP_MAC *mac;
    EVP_MAC_CTX *context;
};

digest *digest_create(const char *key) {
    static char name[] = "SHA256";
    const OSSL_PARAM parameters[] = {{"digest", OSSL_PARAM_UTF8_STRING, name, sizeof name - 1, 0}, OSSL_PARAM_END};
    digest *d = sl_calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    d->context = d->mac != NULL ? EVP_MAC_CTX_new(d->mac) : NULL;
    if (d->context == NULL ||
        EVP_MAC_init(d->context, (const unsigned char *)key, strlen(key), parameters) != 1) {
        digest_destroy(d);
        return NULL;
    }
    return d;
}

void digest_destroy(digest *d) {
    if (d == NULL)
        return;
    EVP_MAC_CTX_free(d->context);
    EVP_MAC_free(d->mac);
    sl_free(d);
}

bool digest_text(digest *d, const void *text, size_t length, char out[DIGEST_HEX]) {
    static const char hex[] = "0123456789abcdef";
    unsigned char sum[DIGEST_HEX / 2];
    size_t bytes = 0;
    if (EVP_MAC_init(d->context, NULL, 0, NULL) != 1 || EVP_MAC_update(d->context, text, length) != 1 ||
        EVP_MAC_final(d->context, sum, &bytes, sizeof sum) != 1)
        return false;
    for (size_t i = 0; i < sizeof sum; i++) {
        out[2 * i] = hex[sum[i] >> 4];
        out[2 * i + 1] = hex[sum[i] & 15];
    }
    return true;
}
