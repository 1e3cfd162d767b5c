// Canonical bytes of a value, little-endian:
//
//   u8 type | u8 null (0, 1) | DECIMAL: u8 scale | nothing more when null
//   BOOL u8 | INT64, DECIMAL, DATE, TIMESTAMP i64 | DOUBLE its bits | texts u32 length,
//   bytes
//
// Equal values have equal bytes, and only canonical bytes are read back: -0.0, a NaN with
// a payload, or a BOOL of 2 is no value.

#include "sluice/value.h"

#include "sluice/batch.h"
#include "sluice/hash.h"
#include "sluice/memory.h"
#include "sluice/time.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL // Two calls a row saved. Same values as sl_hash128_of().
#include <xxhash.h>

#define DECIMAL_DIGITS_MAX 18u
#define HEAD_MAX                                                                         \
    11u /**< Bytes of an encoding before its text: type, null, scale, 8 of value. */
static const uint64_t one_nan = UINT64_C(0x7ff8000000000000);

static void put_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *at, uint64_t value) {
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

static uint64_t get_u64(const uint8_t *at) {
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

static uint64_t double_bits(double value) {
    if (isnan(value))
        return one_nan;
    if (!(value < 0 || value > 0))
        return 0; // -0.0 is 0.0.
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool is_text(sl_type type) {
    return type == SL_TYPE_STRING || type == SL_TYPE_JSON || type == SL_TYPE_BYTES;
}

// All but the text itself, at most HEAD_MAX bytes. @return their number.
static size_t encode_head(const sl_value *value, uint8_t *head) {
    size_t at = 0;
    head[at++] = (uint8_t)value->type;
    head[at++] = value->null ? 1 : 0;
    if (value->type == SL_TYPE_DECIMAL)
        head[at++] = value->scale;
    if (value->null || value->type == SL_TYPE_GROUP)
        return at;
    if (value->type == SL_TYPE_BOOL) {
        head[at++] = value->as.i64 != 0;
    } else if (is_text(value->type)) {
        assert(value->as.text.length <= UINT32_MAX);
        put_u32(head + at, (uint32_t)value->as.text.length);
        at += 4;
    } else {
        uint64_t bits = value->type == SL_TYPE_DOUBLE ? double_bits(value->as.f64)
                                                      : (uint64_t)value->as.i64;
        put_u64(head + at, bits);
        at += 8;
    }
    return at;
}

void sl_value_encode(const sl_value *value, sl_buffer *out) {
    uint8_t head[HEAD_MAX];
    sl_buffer_append(out, head, encode_head(value, head));
    if (!value->null && is_text(value->type) && value->as.text.length != 0)
        sl_buffer_append(out, value->as.text.bytes, value->as.text.length);
}

enum { SHORT_TEXT = 240 }; // Hashed without memory.

bool sl_value_hash(const sl_value *value, sl_hash128 *out) {
    uint8_t bytes[HEAD_MAX + SHORT_TEXT];
    size_t text = !value->null && is_text(value->type) ? value->as.text.length : 0;
    if (text <= SHORT_TEXT) {
        size_t head = encode_head(value, bytes);
        if (text != 0)
            memcpy(bytes + head, value->as.text.bytes, text);
        *out = sl_hash128_of(bytes, head + text);
        return true;
    }
    sl_buffer whole = SL_BUFFER_EMPTY;
    sl_value_encode(value, &whole);
    bool good = !whole.failed;
    if (good)
        *out = sl_hash128_of(whole.bytes, whole.length);
    sl_buffer_fini(&whole);
    return good;
}

static size_t decode_text(const uint8_t *bytes, size_t length, size_t at, sl_value *out) {
    if (length - at < 4)
        return 0;
    size_t text = get_u32(bytes + at);
    at += 4;
    if (length - at < text)
        return 0;
    out->as.text.bytes = bytes + at;
    out->as.text.length = text;
    return at + text;
}

static size_t decode_number(const uint8_t *bytes, size_t length, size_t at,
                            sl_value *out) {
    if (out->type == SL_TYPE_BOOL) {
        if (length - at < 1 || bytes[at] > 1)
            return 0;
        out->as.i64 = bytes[at];
        return at + 1;
    }
    if (length - at < 8)
        return 0;
    uint64_t bits = get_u64(bytes + at);
    if (out->type == SL_TYPE_DOUBLE) {
        memcpy(&out->as.f64, &bits, sizeof bits);
        if (double_bits(out->as.f64) != bits)
            return 0;
    } else {
        out->as.i64 = (int64_t)bits;
    }
    return at + 8;
}

size_t sl_value_decode(const uint8_t *bytes, size_t length, sl_value *out) {
    if (length < 2 || bytes[0] == SL_TYPE_GROUP || bytes[0] > SL_TYPE_BYTES ||
        bytes[1] > 1)
        return 0;
    *out = (sl_value){.type = (sl_type)bytes[0], .null = bytes[1] == 1};
    size_t at = 2;
    if (out->type == SL_TYPE_DECIMAL) {
        if (length < 3 || bytes[2] > DECIMAL_DIGITS_MAX)
            return 0;
        out->scale = bytes[at++];
    }
    if (out->null)
        return at;
    return is_text(out->type) ? decode_text(bytes, length, at, out)
                              : decode_number(bytes, length, at, out);
}

// The shortest text that reads back as the same double.
static void json_double(double value, sl_buffer *out) {
    if (!isfinite(value)) {
        sl_buffer_text(out, "null"); // RFC 8259, section 6: no infinity, no NaN.
        return;
    }
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (memcmp(&back, &value, sizeof value) == 0)
            break;
    }
    sl_buffer_text(out, text);
}

static void json_decimal(int64_t unscaled, unsigned scale, sl_buffer *out) {
    uint64_t digits = unscaled < 0 ? 0 - (uint64_t)unscaled : (uint64_t)unscaled;
    uint64_t unit = 1;
    for (unsigned i = 0; i < scale && i < DECIMAL_DIGITS_MAX; i++)
        unit *= 10;
    sl_buffer_printf(out, "%s%" PRIu64, unscaled < 0 ? "-" : "", digits / unit);
    if (scale != 0)
        sl_buffer_printf(out, ".%0*" PRIu64, (int)scale, digits % unit);
}

void sl_value_json(const sl_value *value, sl_buffer *out) {
    char text[40];
    if (value->null) {
        sl_buffer_text(out, "null");
        return;
    }
    switch (value->type) {
    case SL_TYPE_GROUP:
        sl_buffer_text(out, "null");
        break;
    case SL_TYPE_BOOL:
        sl_buffer_text(out, value->as.i64 != 0 ? "true" : "false");
        break;
    case SL_TYPE_INT64:
        sl_buffer_printf(out, "%" PRId64, value->as.i64);
        break;
    case SL_TYPE_DOUBLE:
        json_double(value->as.f64, out);
        break;
    case SL_TYPE_DECIMAL:
        json_decimal(value->as.i64, value->scale, out);
        break;
    case SL_TYPE_DATE:
        sl_buffer_json_string(out, text, sl_date_format((int32_t)value->as.i64, text));
        break;
    case SL_TYPE_TIMESTAMP:
        sl_buffer_json_string(out, text, sl_time_format(value->as.i64, text));
        break;
    case SL_TYPE_STRING:
        sl_buffer_json_string(out, (const char *)value->as.text.bytes,
                              value->as.text.length);
        break;
    case SL_TYPE_JSON:
        sl_buffer_append(out, value->as.text.bytes, value->as.text.length);
        break;
    case SL_TYPE_BYTES:
        sl_buffer_byte(out, '"');
        sl_buffer_base64(out, value->as.text.bytes, value->as.text.length);
        sl_buffer_byte(out, '"');
        break;
    }
}

sl_value sl_value_of(const sl_batch *batch, uint32_t field, uint32_t row) {
    const sl_field *definition = &batch->schema->fields[field];
    const sl_column *column = &batch->columns[field];
    sl_value value = {.type = definition->type,
                      .scale =
                          definition->type == SL_TYPE_DECIMAL ? definition->scale : 0};
    value.null =
        definition->type == SL_TYPE_GROUP || !sl_batch_present(batch, field, row);
    if (value.null)
        return value;
    if (is_text(value.type)) {
        sl_span span = column->values.span[row];
        value.as.text.bytes = sl_batch_text(batch, span);
        value.as.text.length = span.length;
    } else if (value.type == SL_TYPE_DOUBLE) {
        value.as.f64 = column->values.f64[row];
    } else if (value.type == SL_TYPE_BOOL) {
        value.as.i64 = column->values.truth[row];
    } else {
        value.as.i64 = column->values.i64[row];
    }
    return value;
}

enum { SIDE_BY_SIDE = 16 };

// As memcpy(), for texts that are mostly ids: a call less. (A loop over pieces becomes a slow instruction for strings.)
static inline void copy_text(uint8_t *to, const uint8_t *from, size_t length) {
    if (length < 16 || length > 64) {
        memcpy(to, from, length);
        return;
    }
    memcpy(to, from, 16);
    if (length > 32) {
        memcpy(to + 16, from + 16, 16);
        memcpy(to + length - 32, from + length - 32, 16);
    }
    memcpy(to + length - 16, from + length - 16, 16);
}

// Texts may have been decoded a while ago and have left the cache since. Most ids are two lines long at most.
static void touch_texts(const sl_batch *batch, const sl_column *column, uint32_t first, uint32_t count) {
    for (uint32_t row = first; row < first + count; row++) {
        const sl_span span = column->values.span[row];
        if (!column->valid[row] || span.length == 0)
            continue;
        const uint8_t *text = sl_batch_text(batch, span);
        sl_touch(text);
        sl_touch(text + span.length - 1);
    }
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

// The canonical bytes of some rows' cells. They are put together before the first of them are hashed, as a load that has to wait for
// two stores waits long.
typedef struct cells {
    uint8_t bytes[SIDE_BY_SIDE][HEAD_MAX + SHORT_TEXT];
    size_t lengths[SIDE_BY_SIDE]; // 0: there is none, or it is too long.
} cells;

static void put_together(const sl_batch *batch, uint32_t field, uint32_t first, uint32_t count, cells *out,
                         sl_value_key *keys) {
    const sl_column *column = &batch->columns[field];
    const sl_span *spans = column->values.span;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = first + i;
        keys[row].there = batch->verdict[row] == SL_VERDICT_KEEP && sl_batch_present(batch, field, row);
        out->lengths[i] = 0;
        if (!keys[row].there || spans[row].length > SHORT_TEXT)
            continue;
        const sl_value head = {.type = batch->schema->fields[field].type, .as.text.length = spans[row].length};
        size_t at = encode_head(&head, out->bytes[i]);
        copy_text(out->bytes[i] + at, sl_batch_text(batch, spans[row]), spans[row].length);
        out->lengths[i] = at + spans[row].length;
    }
}

bool sl_value_keys_of_texts(const sl_batch *batch, uint32_t field, uint32_t first, sl_value_key *keys) {
    cells some;
    for (uint32_t count; first < batch->rows; first += count) {
        count = least(batch->rows - first, SIDE_BY_SIDE);
        touch_texts(batch, &batch->columns[field], first, count);
        put_together(batch, field, first, count, &some, keys);
        for (uint32_t i = 0; i < count; i++) {
            if (some.lengths[i] != 0) {
                XXH128_hash_t h = XXH3_128bits(some.bytes[i], some.lengths[i]);
                keys[first + i].hash = (sl_hash128){h.low64, h.high64};
            } else if (keys[first + i].there) {
                const sl_value cell = sl_value_of(batch, field, first + i);
                if (!sl_value_hash(&cell, &keys[first + i].hash))
                    return false;
            }
        }
    }
    return true;
}
