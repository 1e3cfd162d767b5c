#include "kpl.h"

#include <openssl/evp.h>
#include <string.h>

enum { MAGIC = 4, TAIL = 16 };
enum { KEYS = 1, HASH_KEYS = 2, RECORDS = 3 };                    /* Of AggregatedRecord. */
enum { KEY_INDEX = 1, HASH_KEY_INDEX = 2, DATA = 3 };             /* Of Record. */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 }; /* Groups, 3 and 4, nobody writes any more. */

typedef struct span {
    const uint8_t *at, *end;
} span;

typedef struct field {
    uint32_t number, wire;
    uint64_t value; /* Of a varint. */
    span bytes;     /* Of WIRE_BYTES. */
} field;

static bool read_varint(span *from, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (from->at == from->end)
            return false;
        uint8_t byte = *from->at++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool read_field(span *from, field *out) {
    uint64_t tag, length;
    if (!read_varint(from, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return false;
    *out = (field){.number = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
    switch (out->wire) {
    case WIRE_VARINT:
        return read_varint(from, &out->value);
    case WIRE_64:
        length = 8;
        break;
    case WIRE_32:
        length = 4;
        break;
    case WIRE_BYTES:
        if (!read_varint(from, &length))
            return false;
        break;
    default:
        return false;
    }
    if (length > (uint64_t)(from->end - from->at))
        return false;
    out->bytes = (span){from->at, from->at + length};
    from->at += length;
    return true;
}

static bool has(const field *f, uint32_t number, uint32_t wire) { return f->number == number && f->wire == wire; }

/* One user record. As protobuf has it: of a member that comes twice the last counts. */
static bool read_record(span from, uint64_t keys, uint64_t hash_keys, span *data) {
    uint64_t key = UINT64_MAX, hash_key = 0;
    bool hashed = false;
    *data = (span){NULL, NULL};
    while (from.at < from.end) {
        field f;
        if (!read_field(&from, &f))
            return false;
        if (has(&f, KEY_INDEX, WIRE_VARINT))
            key = f.value;
        else if (has(&f, HASH_KEY_INDEX, WIRE_VARINT)) {
            hash_key = f.value;
            hashed = true;
        } else if (has(&f, DATA, WIRE_BYTES))
            *data = f.bytes;
    }
    return key < keys && (!hashed || hash_key < hash_keys) && data->at != NULL;
}

/* The tables usually come first, but needn't. */
static bool count_keys(span message, uint64_t counts[3]) {
    field f;
    while (message.at < message.end) {
        if (!read_field(&message, &f))
            return false;
        for (uint32_t i = KEYS; i <= RECORDS; i++)
            counts[i - 1] += has(&f, i, WIRE_BYTES);
    }
    return true;
}

static span message_of(const uint8_t *bytes, size_t length) {
    return (span){bytes + MAGIC, bytes + length - TAIL};
}

uint32_t aws_kpl_count(const uint8_t *bytes, size_t length) {
    static const uint8_t magic[MAGIC] = {0xf3, 0x89, 0x9a, 0xc2};
    if (length <= MAGIC + TAIL || memcmp(bytes, magic, MAGIC) != 0)
        return 0;
    span message = message_of(bytes, length);
    uint8_t sum[EVP_MAX_MD_SIZE];
    if (EVP_Digest(message.at, length - MAGIC - TAIL, sum, NULL, EVP_md5(), NULL) != 1 ||
        memcmp(sum, message.end, TAIL) != 0)
        return 0;
    uint64_t counts[3] = {0};
    if (!count_keys(message, counts))
        return 0;
    while (message.at < message.end) {
        field f;
        span data;
        if (!read_field(&message, &f) ||
            (has(&f, RECORDS, WIRE_BYTES) && !read_record(f.bytes, counts[0], counts[1], &data)))
            return 0;
    }
    return (uint32_t)counts[2]; /* A record takes bytes: there are fewer than bytes. */
}

bool aws_kpl_each(const uint8_t *bytes, size_t length, aws_kpl_take_fn *take, void *context) {
    span message = message_of(bytes, length);
    while (message.at < message.end) {
        field f;
        span data;
        if (!read_field(&message, &f))
            return false;
        if (has(&f, RECORDS, WIRE_BYTES) && (!read_record(f.bytes, UINT64_MAX, UINT64_MAX, &data) ||
                                             !take(context, data.at, (size_t)(data.end - data.at))))
            return false;
    }
    return true;
}
