/* Signature Version 4.
 *
 * canonical request   METHOD \n path \n query \n "name:value\n" of each header, by name \n names joined by ';' \n payload hash
 * string to sign      AWS4-HMAC-SHA256 \n 20150830T123600Z \n day/region/service/aws4_request \n hex(SHA256(canonical request))
 * key                 HMAC(HMAC(HMAC(HMAC("AWS4" secret, day), region), service), "aws4_request")
 *
 * Path   All services but S3 fold dots and empty segments and encode the path as sent once more; S3 does neither.
 * Query  Sorted by encoded name, then by encoded value, each name with its '='.
 * Header values lose outer blanks and inner runs of them; values of the same name are joined by ','.
 * Source AWS, "Create a signed AWS API request" and the S3 API reference, "Authenticating Requests". */
#include "sluice/aws.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

enum { HASH_BYTES = 32, STAMP_TEXT = 17, DAY_TEXT = 9 };

/* ---- Hashes ---- */

static void hex(const uint8_t *bytes, size_t length, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = 0;
}

void sl_aws_hash_text(const void *bytes, size_t length, char out[SL_AWS_HASH_TEXT]) {
    uint8_t hash[HASH_BYTES];
    (void)SHA256(bytes, length, hash);
    hex(hash, sizeof hash, out);
}

struct sl_aws_hash {
    EVP_MD_CTX *context;
};

sl_aws_hash *sl_aws_hash_create(void) {
    sl_aws_hash *hash = sl_calloc(1, sizeof *hash);
    if (hash == NULL)
        return NULL;
    hash->context = EVP_MD_CTX_new();
    if (hash->context == NULL || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
        sl_aws_hash_destroy(hash);
        return NULL;
    }
    return hash;
}

void sl_aws_hash_add(sl_aws_hash *hash, const void *bytes, size_t length) {
    (void)EVP_DigestUpdate(hash->context, bytes, length);
}

void sl_aws_hash_take(sl_aws_hash *hash, char out[SL_AWS_HASH_TEXT]) {
    uint8_t bytes[HASH_BYTES];
    (void)EVP_DigestFinal_ex(hash->context, bytes, NULL);
    (void)EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL);
    hex(bytes, sizeof bytes, out);
}

void sl_aws_hash_destroy(sl_aws_hash *hash) {
    if (hash == NULL)
        return;
    EVP_MD_CTX_free(hash->context);
    sl_free(hash);
}

static bool hmac(const void *key, size_t key_length, const char *text, size_t length, uint8_t out[HASH_BYTES]) {
    return HMAC(EVP_sha256(), key, (int)key_length, (const uint8_t *)text, length, out, NULL) != NULL;
}

/* ---- Encoding ---- */

void sl_aws_encode(sl_buffer *out, const void *bytes, size_t length, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t *from = bytes;
    for (size_t i = 0; i < length; i++) {
        uint8_t c = from[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash);
        if (plain) {
            sl_buffer_byte(out, c);
        } else {
            sl_buffer_byte(out, '%');
            sl_buffer_byte(out, (uint8_t)digits[c >> 4]);
            sl_buffer_byte(out, (uint8_t)digits[c & 15]);
        }
    }
}

/** RFC 3986, 5.2.4, and empty segments dropped. `path` begins with '/'; so does the result. */
static void normalise(sl_buffer *out, const char *path) {
    size_t begin = out->length;
    for (const char *at = path; *at != 0;) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        if (length == 2 && memcmp(at, "..", 2) == 0) {
            while (out->length > begin && out->bytes[--out->length] != '/') {
            }
        } else if (length > 0 && !(length == 1 && *at == '.')) {
            sl_buffer_byte(out, '/');
            sl_buffer_append(out, at, length);
        }
        at += length;
    }
    size_t length = strlen(path);
    if (out->length == begin || path[length - 1] == '/')
        sl_buffer_byte(out, '/');
}

/* ---- Parts of the canonical request ---- */

/** A run of bytes in a buffer that may still move: name at `at`, value behind it. */
typedef struct part {
    size_t name, name_length, value, value_length, order;
} part;

static int compare_bytes(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
    size_t shorter = a_length < b_length ? a_length : b_length;
    int difference = shorter > 0 ? memcmp(a, b, shorter) : 0;
    return difference != 0 ? difference : (a_length > b_length) - (a_length < b_length);
}

/** By name, then by value (query) or in the order given (headers). Few and often sorted: insertion. */
static void sort_parts(part *parts, size_t count, const uint8_t *bytes, bool by_value) {
    for (size_t i = 1; i < count; i++) {
        part moved = parts[i];
        size_t to = i;
        while (to > 0) {
            const part *before = &parts[to - 1];
            int order = compare_bytes(bytes + moved.name, moved.name_length, bytes + before->name, before->name_length);
            if (order == 0 && by_value)
                order = compare_bytes(bytes + moved.value, moved.value_length, bytes + before->value,
                                      before->value_length);
            if (order >= 0)
                break;
            parts[to] = parts[to - 1];
            to--;
        }
        parts[to] = moved;
    }
}

static sl_status encode_query(const sl_aws_request *request, sl_buffer *out) {
    if (request->query_count == 0)
        return SL_OK;
    sl_status status = SL_ENOMEM;
    sl_buffer text = SL_BUFFER_EMPTY;
    part *parts = sl_calloc(request->query_count, sizeof *parts);
    if (parts == NULL)
        return status;
    for (size_t i = 0; i < request->query_count; i++) {
        const sl_http_field *from = &request->query[i];
        parts[i].name = text.length;
        sl_aws_encode(&text, from->name, strlen(from->name), false);
        parts[i].name_length = text.length - parts[i].name;
        parts[i].value = text.length;
        sl_aws_encode(&text, from->value, strlen(from->value), false);
        parts[i].value_length = text.length - parts[i].value;
    }
    if (text.failed || text.bytes == NULL)
        goto out;
    sort_parts(parts, request->query_count, text.bytes, true);
    for (size_t i = 0; i < request->query_count; i++) {
        if (i > 0)
            sl_buffer_byte(out, '&');
        sl_buffer_append(out, text.bytes + parts[i].name, parts[i].name_length);
        sl_buffer_byte(out, '=');
        sl_buffer_append(out, text.bytes + parts[i].value, parts[i].value_length);
    }
    status = SL_OK;
out:
    sl_buffer_fini(&text);
    sl_free(parts);
    return status;
}

static bool blank(char c) {
    return c == ' ' || c == '\t';
}

static void append_value(sl_buffer *out, const char *value) {
    bool gap = false;
    while (blank(*value))
        value++;
    for (; *value != 0; value++) {
        if (blank(*value)) {
            gap = true;
            continue;
        }
        if (gap)
            sl_buffer_byte(out, ' ');
        gap = false;
        sl_buffer_byte(out, (uint8_t)*value);
    }
}

static void append_part(sl_buffer *text, part *p, const char *name, const char *value) {
    p->name = text->length;
    for (; *name != 0; name++)
        sl_buffer_byte(text, (uint8_t)(*name >= 'A' && *name <= 'Z' ? *name + 32 : *name));
    p->name_length = text->length - p->name;
    p->value = text->length;
    append_value(text, value);
    p->value_length = text->length - p->value;
}

static bool same_name(const part *a, const part *b, const uint8_t *bytes) {
    return compare_bytes(bytes + a->name, a->name_length, bytes + b->name, b->name_length) == 0;
}

static void write_fields(const part *parts, size_t count, const sl_buffer *text, sl_buffer *lines, sl_buffer *names) {
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && same_name(&parts[i], &parts[i - 1], text->bytes)) {
            sl_buffer_byte(lines, ',');
        } else {
            if (i > 0) {
                sl_buffer_byte(lines, '\n');
                sl_buffer_byte(names, ';');
            }
            sl_buffer_append(names, text->bytes + parts[i].name, parts[i].name_length);
            sl_buffer_append(lines, text->bytes + parts[i].name, parts[i].name_length);
            sl_buffer_byte(lines, ':');
        }
        sl_buffer_append(lines, text->bytes + parts[i].value, parts[i].value_length);
    }
    sl_buffer_byte(lines, '\n');
}

/** `added` are our own, which come after the caller's. */
static sl_status canonical_fields(const sl_aws_request *request, const sl_http_field *added, size_t added_count,
                                  sl_buffer *lines, sl_buffer *names) {
    size_t count = request->field_count + added_count + 1;
    sl_buffer text = SL_BUFFER_EMPTY;
    part *parts = sl_calloc(count, sizeof *parts);
    if (parts == NULL)
        return SL_ENOMEM;
    append_part(&text, &parts[0], "host", request->host);
    for (size_t i = 0; i < request->field_count; i++)
        append_part(&text, &parts[i + 1], request->fields[i].name, request->fields[i].value);
    for (size_t i = 0; i < added_count; i++)
        append_part(&text, &parts[request->field_count + 1 + i], added[i].name, added[i].value);
    sl_status status = text.failed ? SL_ENOMEM : SL_OK;
    if (status == SL_OK) {
        sort_parts(parts, count, text.bytes, false);
        write_fields(parts, count, &text, lines, names);
    }
    OPENSSL_cleanse(text.bytes, text.length);
    sl_buffer_fini(&text);
    sl_free(parts);
    return status;
}

/* ---- The key ---- */

void sl_aws_signer_fini(sl_aws_signer *signer) {
    OPENSSL_cleanse(signer->key, sizeof signer->key);
    OPENSSL_cleanse(signer->secret_hash, sizeof signer->secret_hash);
    signer->day[0] = 0;
}

/** The day's key, computed anew when the day or the secret has changed. */
static sl_status refresh_key(sl_aws_signer *signer, const char *secret, const char day[DAY_TEXT]) {
    uint8_t hash[HASH_BYTES], key[HASH_BYTES];
    (void)SHA256((const uint8_t *)secret, strlen(secret), hash);
    if (strcmp(signer->day, day) == 0 && CRYPTO_memcmp(signer->secret_hash, hash, sizeof hash) == 0)
        return SL_OK;
    sl_buffer first = SL_BUFFER_EMPTY;
    sl_buffer_text(&first, "AWS4");
    sl_buffer_text(&first, secret);
    bool ok = !first.failed && hmac(first.bytes, first.length, day, DAY_TEXT - 1, key) &&
              hmac(key, sizeof key, signer->region, strlen(signer->region), key) &&
              hmac(key, sizeof key, signer->service, strlen(signer->service), key) &&
              hmac(key, sizeof key, "aws4_request", 12, signer->key);
    if (first.bytes != NULL)
        OPENSSL_cleanse(first.bytes, first.length);
    sl_buffer_fini(&first);
    OPENSSL_cleanse(key, sizeof key);
    if (!ok) {
        sl_aws_signer_fini(signer);
        return SL_ENOMEM;
    }
    memcpy(signer->day, day, DAY_TEXT);
    memcpy(signer->secret_hash, hash, sizeof hash);
    return SL_OK;
}

/* ---- Signing ---- */

static void stamp(int64_t time_us, char out[STAMP_TEXT]) {
    int64_t second = sl_time_floor(time_us, SL_SECOND_US) / SL_SECOND_US;
    int32_t days = (int32_t)(sl_time_floor(time_us, SL_DAY_US) / SL_DAY_US);
    unsigned of_day = (unsigned)(second - (int64_t)days * 86400), month, day;
    int year;
    sl_date_civil(days, &year, &month, &day);
    char text[48];
    (void)snprintf(text, sizeof text, "%04d%02u%02uT%02u%02u%02uZ", year, month, day, of_day / 3600,
                   of_day / 60 % 60, of_day % 60);
    memcpy(out, text, STAMP_TEXT - 1);
    out[STAMP_TEXT - 1] = 0;
}

static bool one_line(const char *text) {
    return strpbrk(text, "\r\n") == NULL;
}

static sl_status check(const sl_aws_request *request, sl_error *error) {
    if (request->path[0] != '/')
        return sl_error_set(error, SL_EINVAL, "sign: the path doesn't begin with '/'");
    for (size_t i = 0; i < request->query_count; i++)
        if (request->query[i].name[0] == 0)
            return sl_error_set(error, SL_EINVAL, "sign: query parameter %zu has no name", i);
    for (size_t i = 0; i < request->field_count; i++)
        if (request->fields[i].name[0] == 0 || !one_line(request->fields[i].name) || !one_line(request->fields[i].value))
            return sl_error_set(error, SL_EINVAL, "sign: header %zu can't be signed", i);
    if (!one_line(request->host))
        return sl_error_set(error, SL_EINVAL, "sign: the host can't be signed");
    return SL_OK;
}

static void append_path(const sl_aws_signer *signer, const char *path, sl_buffer *out) {
    sl_buffer folded = SL_BUFFER_EMPTY, once = SL_BUFFER_EMPTY;
    if ((signer->flags & SL_AWS_NORMALISE_PATH) != 0)
        normalise(&folded, path);
    else
        sl_buffer_text(&folded, path);
    if ((signer->flags & SL_AWS_ENCODE_PATH_TWICE) != 0) {
        sl_aws_encode(&once, folded.bytes, folded.length, true);
        sl_aws_encode(out, once.bytes, once.length, true);
    } else {
        sl_aws_encode(out, folded.bytes, folded.length, true);
    }
    out->failed = out->failed || folded.failed || once.failed;
    sl_buffer_fini(&folded);
    sl_buffer_fini(&once);
}

/** What is worked with and wiped. */
typedef struct work {
    char stamp[STAMP_TEXT], day[DAY_TEXT];
    sl_buffer query, lines, names;
    sl_http_field added[3]; /* Signed. */
    size_t added_count;
} work;

static void write_canonical(const sl_aws_signer *signer, const sl_aws_request *request, const char *payload,
                            const work *w, sl_buffer *out) {
    sl_buffer_clear(out);
    sl_buffer_text(out, request->method);
    sl_buffer_byte(out, '\n');
    append_path(signer, request->path, out);
    sl_buffer_byte(out, '\n');
    sl_buffer_append(out, w->query.bytes, w->query.length);
    sl_buffer_byte(out, '\n');
    sl_buffer_append(out, w->lines.bytes, w->lines.length);
    sl_buffer_byte(out, '\n');
    sl_buffer_append(out, w->names.bytes, w->names.length);
    sl_buffer_byte(out, '\n');
    sl_buffer_text(out, payload);
}

static bool sign_canonical(const sl_aws_signer *signer, const work *w, const sl_buffer *canonical,
                           char signature[SL_AWS_HASH_TEXT]) {
    char hash[SL_AWS_HASH_TEXT];
    uint8_t bytes[HASH_BYTES];
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_aws_hash_text(canonical->bytes, canonical->length, hash);
    sl_buffer_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", w->stamp, w->day, signer->region,
                     signer->service, hash);
    bool ok = !text.failed && hmac(signer->key, sizeof signer->key, (const char *)text.bytes, text.length, bytes);
    sl_buffer_fini(&text);
    if (ok)
        hex(bytes, sizeof bytes, signature);
    return ok;
}

/** The fields that come out stand in one text, each value ended by a 0. */
static void write_outcome(const sl_aws_signer *signer, const sl_aws_keys *keys, const sl_aws_request *request,
                          const char *payload, const char *signature, const work *w, sl_aws_signed *out) {
    static const char *const names[] = {"x-amz-date", "authorization", "x-amz-content-sha256", "x-amz-security-token"};
    size_t at[4] = {0};
    const char *values[4] = {w->stamp, NULL, (signer->flags & SL_AWS_PAYLOAD_FIELD) != 0 ? payload : NULL,
                             keys->session_token};
    sl_buffer_clear(&out->text);
    for (int i = 0; i < 4; i++) {
        at[i] = out->text.length;
        if (i == 1)
            sl_buffer_printf(&out->text,
                             "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=%.*s, Signature=%s",
                             keys->access_key_id, w->day, signer->region, signer->service, (int)w->names.length,
                             (const char *)w->names.bytes, signature);
        else if (values[i] != NULL)
            sl_buffer_text(&out->text, values[i]);
        sl_buffer_byte(&out->text, 0);
    }
    out->field_count = 0;
    for (int i = 0; i < 4 && !out->text.failed; i++)
        if (i == 1 || values[i] != NULL)
            out->fields[out->field_count++] =
                (sl_http_field){names[i], (const char *)out->text.bytes + at[i]};
    sl_buffer_clear(&out->target_text);
    sl_aws_encode(&out->target_text, request->path, strlen(request->path), true);
    if (w->query.length > 0) {
        sl_buffer_byte(&out->target_text, '?');
        sl_buffer_append(&out->target_text, w->query.bytes, w->query.length);
    }
    out->target = sl_buffer_cstr(&out->target_text);
}

sl_status sl_aws_sign(sl_aws_signer *signer, const sl_aws_keys *keys, const sl_aws_request *request,
                      sl_aws_signed *out, sl_error *error) {
    static const char no_body[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const char *payload = request->payload_hash != NULL ? request->payload_hash : no_body;
    char signature[SL_AWS_HASH_TEXT];
    work w = {.query = SL_BUFFER_EMPTY};
    sl_status status = check(request, error);
    if (status != SL_OK)
        return status;
    stamp(request->time_us, w.stamp);
    memcpy(w.day, w.stamp, DAY_TEXT - 1);
    w.added[w.added_count++] = (sl_http_field){"x-amz-date", w.stamp};
    if ((signer->flags & SL_AWS_PAYLOAD_FIELD) != 0)
        w.added[w.added_count++] = (sl_http_field){"x-amz-content-sha256", payload};
    if (keys->session_token != NULL && (signer->flags & SL_AWS_TOKEN_UNSIGNED) == 0)
        w.added[w.added_count++] = (sl_http_field){"x-amz-security-token", keys->session_token};
    status = encode_query(request, &w.query);
    if (status == SL_OK)
        status = canonical_fields(request, w.added, w.added_count, &w.lines, &w.names);
    if (status == SL_OK)
        status = refresh_key(signer, keys->secret_access_key, w.day);
    if (status == SL_OK) {
        write_canonical(signer, request, payload, &w, &out->canonical);
        if (w.query.failed || w.lines.failed || w.names.failed || out->canonical.failed ||
            !sign_canonical(signer, &w, &out->canonical, signature))
            status = SL_ENOMEM;
    }
    if (status == SL_OK) {
        write_outcome(signer, keys, request, payload, signature, &w, out);
        if (out->text.failed || out->target_text.failed)
            status = SL_ENOMEM;
    }
    if (w.lines.bytes != NULL)
        OPENSSL_cleanse(w.lines.bytes, w.lines.length);
    sl_buffer_fini(&w.query);
    sl_buffer_fini(&w.lines);
    sl_buffer_fini(&w.names);
    return status == SL_OK ? SL_OK : sl_error_set(error, status, "sign: out of memory");
}

sl_status sl_aws_verify(sl_aws_signer *signer, const char *secret, const sl_aws_request *request, const char *signature,
                        bool *same, sl_error *error) {
    char expected[SL_AWS_HASH_TEXT];
    sl_buffer canonical = SL_BUFFER_EMPTY;
    work w = {.query = SL_BUFFER_EMPTY};
    *same = false;
    sl_status status = check(request, error);
    if (status != SL_OK)
        return status;
    stamp(request->time_us, w.stamp);
    memcpy(w.day, w.stamp, DAY_TEXT - 1);
    status = encode_query(request, &w.query);
    if (status == SL_OK)
        status = canonical_fields(request, NULL, 0, &w.lines, &w.names);
    if (status == SL_OK)
        status = refresh_key(signer, secret, w.day);
    if (status == SL_OK) {
        write_canonical(signer, request, request->payload_hash, &w, &canonical);
        if (w.query.failed || w.lines.failed || w.names.failed || canonical.failed ||
            !sign_canonical(signer, &w, &canonical, expected))
            status = SL_ENOMEM;
    }
    if (status == SL_OK)
        *same = strlen(signature) == sizeof expected - 1 &&
                CRYPTO_memcmp(signature, expected, sizeof expected - 1) == 0;
    OPENSSL_cleanse(expected, sizeof expected);
    sl_buffer_fini(&w.query);
    sl_buffer_fini(&w.lines);
    sl_buffer_fini(&w.names);
    sl_buffer_fini(&canonical);
    return status == SL_OK ? SL_OK : sl_error_set(error, status, "verify: out of memory");
}

const char *sl_aws_signed_canonical(sl_aws_signed *out) {
    static const char name[] = "\nx-amz-security-token:";
    (void)sl_buffer_cstr(&out->canonical);
    char *found = out->canonical.failed ? NULL : strstr((char *)out->canonical.bytes, name);
    if (found != NULL) {
        char *value = found + sizeof name - 1;
        size_t length = strcspn(value, "\n");
        size_t behind = out->canonical.length - (size_t)(value + length - (char *)out->canonical.bytes);
        memmove(value, value + length, behind + 1);
        OPENSSL_cleanse(value + behind, length);
        out->canonical.length -= length;
    }
    return sl_buffer_cstr(&out->canonical);
}

static void wipe(sl_buffer *buffer) {
    if (buffer->bytes != NULL)
        OPENSSL_cleanse(buffer->bytes, buffer->capacity);
    sl_buffer_fini(buffer);
}

void sl_aws_signed_fini(sl_aws_signed *out) {
    wipe(&out->text);
    wipe(&out->canonical);
    sl_buffer_fini(&out->target_text);
    out->field_count = 0;
    out->target = NULL;
}
