#include "statistics.h"

void sl_parquet_see_number(sl_parquet_statistics *s, const int64_t *numbers, size_t count) {
    if (!count)
        return;
    int64_t low = s->any ? s->as.number.low : numbers[0];
    int64_t high = s->any ? s->as.number.high : numbers[0];
    for (size_t i = 0; i < count; i++) {
        low = numbers[i] < low ? numbers[i] : low;
        high = numbers[i] > high ? numbers[i] : high;
    }
    s->any = true;
    s->as.number.low = low;
    s->as.number.high = high;
}

void sl_parquet_see_real(sl_parquet_statistics *s, const int64_t *numbers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, &numbers[i], sizeof value);
        if (value != value)
            continue;
        if (!s->any) {
            s->any = true;
            s->as.real.low = s->as.real.high = value;
        }
        s->as.real.low = value < s->as.real.low ? value : s->as.real.low;
        s->as.real.high = value > s->as.real.high ? value : s->as.real.high;
    }
}

static int compare(const uint8_t *a, size_t length, const sl_parquet_bound *bound) {
    int order = memcmp(a, bound->bytes, length < bound->length ? length : bound->length);
    if (order)
        return order;
    return length < bound->length ? -1 : length > bound->length;
}

static void keep(sl_parquet_bound *bound, const uint8_t *bytes, size_t length, bool exact,
                 uint64_t key) {
    bound->key = key;
    bound->length = (uint8_t)length;
    bound->exact = exact;
    memcpy(bound->bytes, bytes, length);
}

void sl_parquet_see_text_slowly(sl_parquet_statistics *s, const uint8_t *bytes, uint32_t length,
                                uint64_t key) {
    static const uint8_t nothing[1];
    bool exact = length <= SL_PARQUET_BOUND_BYTES;
    size_t kept = exact ? length : SL_PARQUET_BOUND_BYTES;
    const uint8_t *from = kept ? bytes : nothing;
    int low = s->any ? compare(from, kept, &s->as.text.low) : -1;
    int high = s->any ? compare(from, kept, &s->as.text.high) : 1;
    if (low < 0)
        keep(&s->as.text.low, from, kept, exact, key);
    else if (low == 0) // Of two that begin alike, the one that isn't cut is the lesser.
        s->as.text.low.exact |= exact;
    if (high > 0)
        keep(&s->as.text.high, from, kept, exact, key);
    else if (high == 0)
        s->as.text.high.exact &= exact;
    s->any = true;
}

size_t sl_parquet_put_number(uint8_t *out, int64_t number, sl_parquet_physical physical,
                             uint8_t width) {
    if (physical == PHYSICAL_FIXED) // Big-endian two's complement (LogicalTypes.md, DECIMAL).
        for (unsigned i = 0; i < width; i++)
            out[i] = (uint8_t)((uint64_t)number >> 8 * (width - 1u - i));
    else
        memcpy(out, &number, width);
    return width;
}

static size_t utf8_begin(const uint8_t *bytes, size_t length) {
    while (length && (bytes[length - 1] & 0xc0) == 0x80)
        length--;
    return length ? length - 1 : 0;
}

static uint32_t utf8_point(const uint8_t *bytes, size_t length) {
    uint32_t point = length == 1 ? bytes[0] & 0x7fu : bytes[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        point = point << 6 | (bytes[i] & 0x3fu);
    return point;
}

static size_t utf8_put(uint8_t *out, uint32_t point) {
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)((0xf00u >> length & 0xffu) | point);
    return length;
}

/** Cut a character that lost its end. */
static size_t utf8_whole(const uint8_t *bytes, size_t length) {
    size_t begin = utf8_begin(bytes, length);
    if (begin == length)
        return length;
    uint8_t lead = bytes[begin];
    size_t full = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return length - begin < full ? begin : length;
}

static size_t raise_utf8(uint8_t *bytes, size_t length, size_t room) {
    length = utf8_whole(bytes, length);
    while (length) {
        size_t begin = utf8_begin(bytes, length);
        if (length - begin > 4) { // Not UTF-8 after all.
            length = begin;
            continue;
        }
        uint32_t point = utf8_point(bytes + begin, length - begin) + 1;
        if (point == 0xd800) // Surrogates are no characters (RFC 3629 section 3).
            point = 0xe000;
        if (point <= 0x10ffff && begin + 4 <= room)
            return begin + utf8_put(bytes + begin, point);
        length = begin;
    }
    return 0;
}

size_t sl_parquet_raise(uint8_t *bytes, size_t length, size_t room, bool utf8) {
    if (utf8)
        return raise_utf8(bytes, length, room);
    while (length && bytes[length - 1] == 0xff)
        length--;
    if (length)
        bytes[length - 1]++;
    return length;
}

static void put_texts(sl_thrift_writer *thrift, const sl_parquet_statistics *s, bool utf8) {
    uint8_t high[SL_PARQUET_BOUND_BYTES + 4];
    const sl_parquet_bound *low = &s->as.text.low;
    size_t low_length = low->exact || !utf8 ? low->length : utf8_whole(low->bytes, low->length);
    size_t length = s->as.text.high.length;
    memcpy(high, s->as.text.high.bytes, length);
    bool exact = s->as.text.high.exact;
    if (!exact)
        length = sl_parquet_raise(high, length, sizeof high, utf8);
    bool there = exact || length;
    if (there)
        sl_thrift_binary(thrift, 5, high, length);
    sl_thrift_binary(thrift, 6, low->bytes, low_length);
    if (there)
        sl_thrift_bool(thrift, 7, exact);
    sl_thrift_bool(thrift, 8, low->exact);
}

static void put_pair(sl_thrift_writer *thrift, int64_t low, int64_t high,
                     sl_parquet_physical physical, uint8_t width) {
    uint8_t bytes[8] = {0};
    sl_thrift_binary(thrift, 5, bytes, sl_parquet_put_number(bytes, high, physical, width));
    sl_thrift_binary(thrift, 6, bytes, sl_parquet_put_number(bytes, low, physical, width));
    sl_thrift_bool(thrift, 7, true);
    sl_thrift_bool(thrift, 8, true);
}

void sl_parquet_put_statistics(sl_thrift_writer *thrift, const sl_parquet_statistics *s,
                               uint64_t nulls, sl_parquet_physical physical, uint8_t width,
                               bool utf8) {
    sl_thrift_struct(thrift, 12);
    sl_thrift_i64(thrift, 3, (int64_t)nulls);
    if (s->any && physical == PHYSICAL_BYTE_ARRAY) {
        put_texts(thrift, s, utf8);
    } else if (s->any && physical == PHYSICAL_DOUBLE) {
        double low = s->as.real.low == 0 ? -0.0 : s->as.real.low;
        double high = s->as.real.high == 0 ? 0.0 : s->as.real.high;
        int64_t bits[2];
        memcpy(&bits[0], &low, 8);
        memcpy(&bits[1], &high, 8);
        put_pair(thrift, bits[0], bits[1], physical, 8);
    } else if (s->any) {
        put_pair(thrift, s->as.number.low, s->as.number.high, physical,
                 physical == PHYSICAL_BOOLEAN ? 1 : width);
    }
    sl_thrift_end(thrift);
}
