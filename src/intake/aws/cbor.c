#include "cbor.h"

#include "json.h"

#include "sluice/utf8.h"

#include <inttypes.h>
#include <math.h>

enum { DEPTH_MAX = 64, JSON_SPARE = 256 };
enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, OTHER }; /* Major types. */
enum { FALSE = 20, TRUE = 21, NOTHING = 22, UNDEFINED = 23, HALF = 25, SINGLE = 26, DOUBLE = 27, OPEN = 31 };

typedef struct reader {
    const uint8_t *at, *end;
    sl_buffer *out;
    size_t out_max;
    const char *wrong;
} reader;

typedef struct head {
    unsigned major, info;
    uint64_t value;
} head;

static bool wrong(reader *r, const char *what) {
    if (r->wrong == NULL)
        r->wrong = what;
    return false;
}

/* The initial byte and what it announces. */
static bool read_head(reader *r, head *h) {
    if (r->at == r->end)
        return wrong(r, "CBOR ends early");
    h->major = *r->at >> 5;
    h->info = *r->at++ & 31;
    h->value = h->info;
    if (h->info < 24 || (h->info == OPEN && h->major >= BYTES && h->major != TAG))
        return true;
    if (h->info > 27)
        return wrong(r, "a head of CBOR that isn't one");
    size_t length = (size_t)1 << (h->info - 24);
    if ((size_t)(r->end - r->at) < length)
        return wrong(r, "CBOR ends early");
    h->value = 0;
    for (size_t i = 0; i < length; i++)
        h->value = h->value << 8 | *r->at++;
    return true;
}

static bool at_break(reader *r) {
    if (r->at == r->end || *r->at != 0xff)
        return false;
    r->at++;
    return true;
}

static void put_base64(sl_buffer *out, const uint8_t *bytes, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (!sl_buffer_reserve(out, (length + 2) / 3 * 4))
        return;
    uint8_t *to = out->bytes + out->length;
    for (; length > 0; bytes += 3, length -= length < 3 ? length : 3) {
        uint32_t bits = (uint32_t)bytes[0] << 16 | (length > 1 ? (uint32_t)bytes[1] << 8 : 0) | (length > 2 ? bytes[2] : 0);
        *to++ = (uint8_t)digits[bits >> 18];
        *to++ = (uint8_t)digits[bits >> 12 & 63];
        *to++ = (uint8_t)(length > 1 ? digits[bits >> 6 & 63] : '=');
        *to++ = (uint8_t)(length > 2 ? digits[bits & 63] : '=');
    }
    out->length = (size_t)(to - out->bytes);
}

static bool put_string(reader *r, const head *h, const uint8_t *bytes, size_t length) {
    if (h->major == TEXT) {
        if (sl_utf8_valid(bytes, length) != length)
            return wrong(r, "a text that isn't UTF-8");
        sl_buffer_json_string(r->out, (const char *)bytes, length);
    } else {
        sl_buffer_byte(r->out, '"');
        put_base64(r->out, bytes, length);
        sl_buffer_byte(r->out, '"');
    }
    return r->out->length <= r->out_max || wrong(r, "too many control characters");
}

/* In pieces: RFC 8949 section 3.2.3. */
static bool read_pieces(reader *r, const head *h) {
    sl_buffer whole = SL_BUFFER_EMPTY;
    bool good = true;
    while (good && !at_break(r)) {
        head piece;
        good = read_head(r, &piece) && ((piece.major == h->major && piece.info != OPEN) || wrong(r, "a piece of another kind")) &&
               (piece.value <= (uint64_t)(r->end - r->at) || wrong(r, "CBOR ends early"));
        if (good) {
            sl_buffer_append(&whole, r->at, (size_t)piece.value);
            r->at += piece.value;
        }
    }
    static const uint8_t nothing[1] = {0};
    good = good && (!whole.failed || wrong(r, "out of memory")) &&
           put_string(r, h, whole.bytes != NULL ? whole.bytes : nothing, whole.length);
    sl_buffer_fini(&whole);
    return good;
}

static bool read_string(reader *r, const head *h) {
    if (h->info == OPEN)
        return read_pieces(r, h);
    if (h->value > (uint64_t)(r->end - r->at))
        return wrong(r, "CBOR ends early");
    const uint8_t *bytes = r->at;
    r->at += h->value;
    return put_string(r, h, bytes, (size_t)h->value);
}

static double half(uint64_t bits) {
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023);
    double value = exponent == 0 ? ldexp(fraction, -24) : exponent == 31 ? (double)NAN : ldexp(fraction + 1024, exponent - 25);
    return (bits & 0x8000) != 0 ? -value : value;
}

static bool read_other(reader *r, const head *h) {
    double number;
    float single;
    uint32_t bits = (uint32_t)h->value;
    switch (h->info) {
    case FALSE:
    case TRUE:
        sl_buffer_text(r->out, h->info == TRUE ? "true" : "false");
        return true;
    case NOTHING:
    case UNDEFINED:
        sl_buffer_text(r->out, "null");
        return true;
    case HALF:
        number = half(h->value);
        break;
    case SINGLE:
        memcpy(&single, &bits, sizeof single);
        number = (double)single;
        break;
    case DOUBLE:
        memcpy(&number, &h->value, sizeof number);
        break;
    default:
        return wrong(r, "a simple value that nobody knows");
    }
    if (isfinite(number))
        sl_buffer_printf(r->out, "%.17g", number);
    else
        sl_buffer_text(r->out, "null");
    return true;
}

static bool read_value(reader *r, unsigned depth);

static bool read_children(reader *r, const head *h, unsigned depth) {
    bool map = h->major == MAP;
    if (depth == DEPTH_MAX)
        return wrong(r, "more than 64 levels");
    sl_buffer_byte(r->out, map ? '{' : '[');
    for (uint64_t i = 0; h->info == OPEN ? !at_break(r) : i < h->value; i++) {
        if (i > 0)
            sl_buffer_byte(r->out, ',');
        if (map) {
            head name;
            if (!read_head(r, &name) || (name.major != TEXT && !wrong(r, "a name that is no text")) || !read_string(r, &name))
                return false;
            sl_buffer_byte(r->out, ':');
        }
        if (!read_value(r, depth + 1))
            return false;
    }
    sl_buffer_byte(r->out, map ? '}' : ']');
    return true;
}

static bool read_value(reader *r, unsigned depth) {
    head h;
    if (!read_head(r, &h))
        return false;
    for (unsigned tags = 0; h.major == TAG; tags++)
        if (tags == DEPTH_MAX ? !wrong(r, "more than 64 levels") : !read_head(r, &h))
            return false;
    switch (h.major) {
    case UNSIGNED:
        sl_buffer_printf(r->out, "%" PRIu64, h.value);
        return true;
    case NEGATIVE: /* -1 - value */
        if (h.value == UINT64_MAX)
            return wrong(r, "a number beyond 64 bits");
        sl_buffer_printf(r->out, "-%" PRIu64, h.value + 1);
        return true;
    case BYTES:
    case TEXT:
        return read_string(r, &h);
    case ARRAY:
    case MAP:
        return read_children(r, &h, depth);
    default:
        return read_other(r, &h);
    }
}

bool aws_cbor_to_json(const uint8_t *bytes, size_t length, sl_buffer *out, const char **why) {
    reader r = {.at = bytes, .end = bytes + length, .out = out, .out_max = out->length + 4 * length + JSON_SPARE};
    (void)sl_buffer_reserve(out, length + length / 2);
    bool good = read_value(&r, 1) && (r.at == r.end || wrong(&r, "something behind the request")) &&
                (!out->failed || wrong(&r, "out of memory"));
    *why = r.wrong;
    return good;
}

/* --- replies --- */

static void put_head(sl_buffer *out, unsigned major, uint64_t value) {
    unsigned bytes = value < 24 ? 0 : value < 256 ? 1 : value < 65536 ? 2 : value < UINT64_C(1) << 32 ? 4 : 8;
    static const unsigned infos[] = {0, 24, 25, 0, 26, 0, 0, 0, 27};
    sl_buffer_byte(out, (uint8_t)(major << 5 | (bytes == 0 ? (unsigned)value : infos[bytes])));
    while (bytes-- > 0)
        sl_buffer_byte(out, (uint8_t)(value >> (8 * bytes)));
}

static bool put_text(json_reader *json, sl_buffer *out, bool *time) {
    static const char ending[] = "Timestamp";
    json_text text;
    sl_buffer plain = SL_BUFFER_EMPTY;
    bool good = json_string(json, &text) && json_unescape(json, &text, &plain);
    if (good) {
        size_t n = sizeof ending - 1;
        put_head(out, TEXT, plain.length);
        sl_buffer_append(out, plain.bytes, plain.length);
        if (time != NULL)
            *time = plain.length >= n && memcmp(plain.bytes + plain.length - n, ending, n) == 0;
    }
    sl_buffer_fini(&plain);
    return good;
}

static uint64_t whole_number(json_reader *json) {
    uint64_t value = 0;
    for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++)
        value = value * 10 + (uint64_t)(*json->at - '0');
    return value;
}

static bool put_value(json_reader *json, sl_buffer *out, bool time);

static bool put_children(json_reader *json, sl_buffer *out, bool map) {
    json->at++;
    sl_buffer_byte(out, map ? 0xbf : 0x9f);
    for (bool first = true; json_more(json, map ? '}' : ']', first); first = false) {
        bool time = false;
        if (map && (!put_text(json, out, &time) || !json_take(json, ':')))
            return false;
        if (!put_value(json, out, time))
            return false;
    }
    sl_buffer_byte(out, 0xff);
    return json->wrong == NULL;
}

static bool put_value(json_reader *json, sl_buffer *out, bool time) {
    bool flag;
    uint8_t next = json_peek(json);
    switch (next) {
    case '{':
    case '[':
        return put_children(json, out, next == '{');
    case '"':
        return put_text(json, out, NULL);
    case 't':
    case 'f':
        if (!json_boolean(json, &flag))
            return false;
        sl_buffer_byte(out, flag ? 0xf5 : 0xf4);
        return true;
    default:
        if (next < '0' || next > '9')
            return json_fail(json, "no reply");
        if (time)
            sl_buffer_byte(out, TAG << 5 | 1);
        put_head(out, UNSIGNED, whole_number(json) * (time ? 1000 : 1));
        return true;
    }
}

bool aws_json_to_cbor(const void *text, size_t length, sl_buffer *out) {
    json_reader json = {.at = text, .end = (const uint8_t *)text + length, .begin = text};
    return put_value(&json, out, false) && !out->failed;
}
