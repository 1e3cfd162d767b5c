#include "encoding.h"

#include <string.h>

#define GROUP 8u
#define GROUPS_MAX 504u /* A packed run of at most 4,032 values keeps its header in two bytes. */
#define DELTA_BLOCK 128u
#define DELTA_MINI 32u

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "values are stored as they lie in memory, so the machine must be little-endian"
#endif

static inline void put64(uint8_t *out, uint64_t value) { memcpy(out, &value, 8); }

uint8_t *sl_parquet_put_varint(uint8_t *out, uint64_t value) {
    while (value > 127) {
        *out++ = (uint8_t)(value | 128);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static uint8_t *put_zigzag(uint8_t *out, int64_t value) {
    return sl_parquet_put_varint(out, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

static inline uint64_t four(const uint32_t *v, unsigned width) {
    return v[0] | (uint64_t)v[1] << width | (uint64_t)v[2] << 2 * width |
           (uint64_t)v[3] << 3 * width;
}

/** Pack whole groups of 8; each store may go 15 bytes beyond, which the next one overwrites. */
static uint8_t *pack_narrow(uint8_t *out, const uint32_t *v, size_t count, unsigned width) {
    if (width <= 8) {
        for (size_t i = 0; i < count; i += GROUP, out += width)
            put64(out, four(v + i, width) | four(v + i + 4, width) << 4 * width);
        return out;
    }
    for (size_t i = 0; i < count; i += GROUP, out += width) { // 9 to 16 bits
        uint64_t low = four(v + i, width), high = four(v + i + 4, width);
        if (width == 16) {
            put64(out, low);
            put64(out + 8, high);
        } else {
            put64(out, low | high << 4 * width);
            put64(out + 8, high >> (64 - 4 * width));
        }
    }
    return out;
}

static uint8_t *pack_wide(uint8_t *out, const uint32_t *v, size_t count, unsigned width) {
    for (size_t i = 0; i < count; i += GROUP) {
        uint64_t bits = 0;
        unsigned held = 0;
        for (size_t k = 0; k < GROUP; k++) {
            bits |= (uint64_t)v[i + k] << held;
            held += width;
            if (held >= 32) {
                memcpy(out, &bits, 4);
                out += 4;
                bits >>= 32;
                held -= 32;
            }
        }
        memcpy(out, &bits, 4); // 8 values fill whole bytes: held is 0, 8, 16 or 24.
        out += held / 8;
    }
    return out;
}

static uint8_t *pack(uint8_t *out, const uint32_t *v, size_t count, unsigned width) {
    return width <= 16 ? pack_narrow(out, v, count, width) : pack_wide(out, v, count, width);
}

static uint8_t *pack_run(uint8_t *out, const uint32_t *v, size_t count, unsigned width) {
    while (count) {
        size_t some = count < GROUPS_MAX * GROUP ? count : GROUPS_MAX * GROUP;
        size_t whole = some / GROUP * GROUP, rest = some - whole;
        out = sl_parquet_put_varint(out, (uint64_t)((some + GROUP - 1) / GROUP) << 1 | 1);
        out = pack(out, v, whole, width);
        if (rest) { // Only at the very end: the last group is filled with zeros.
            uint32_t last[GROUP] = {0};
            memcpy(last, v + whole, rest * sizeof *v);
            out = pack(out, last, GROUP, width);
        }
        v += some;
        count -= some;
    }
    return out;
}

static inline bool all_equal(const uint32_t *v) {
    return !((v[0] ^ v[1]) | (v[0] ^ v[2]) | (v[0] ^ v[3]) | (v[0] ^ v[4]) | (v[0] ^ v[5]) |
             (v[0] ^ v[6]) | (v[0] ^ v[7]));
}

size_t sl_parquet_hybrid_bound(size_t count, unsigned width) {
    return (count + GROUP - 1) / GROUP * (width + 12u) + 32u;
}

size_t sl_parquet_hybrid(uint8_t *out, const uint32_t *values, size_t count, unsigned width) {
    uint8_t *begin = out;
    // A run breaks the packed values in two, which costs three or four bytes.
    size_t run_min = width <= 2 ? 32 : width <= 8 ? 16 : 8;
    size_t packed = 0, i = 0;
    while (i + GROUP <= count) {
        if (!all_equal(values + i)) {
            i += GROUP;
            continue;
        }
        size_t end = i + GROUP;
        while (end < count && values[end] == values[i])
            end++;
        if (end - i < run_min && !(packed == i && end == count)) {
            i += GROUP;
            continue;
        }
        out = pack_run(out, values + packed, i - packed, width);
        out = sl_parquet_put_varint(out, (uint64_t)(end - i) << 1);
        memcpy(out, &values[i], 4);
        out += (width + 7) / 8;
        packed = i = end;
    }
    out = pack_run(out, values + packed, count - packed, width);
    return (size_t)(out - begin);
}

size_t sl_parquet_delta_bound(size_t count) {
    return 64u + count * 8u + (count / DELTA_BLOCK + 1u) * (16u + DELTA_MINI * 8u);
}

/** Pack 32 differences of more than 32 bits. */
static uint8_t *pack_mini_wide(uint8_t *out, const uint64_t *v, unsigned width) {
    for (size_t i = 0; i < DELTA_MINI; i++) {
        size_t bit = i * width;
        uint8_t *at = out + bit / 8;
        unsigned shift = bit % 8;
        uint64_t old = 0;
        if (shift)
            old = at[0] & ((1u << shift) - 1u);
        put64(at, old | v[i] << shift);
        at[8] = (uint8_t)(shift ? v[i] >> (64 - shift) : 0);
    }
    return out + DELTA_MINI / 8 * width;
}

static uint8_t *pack_mini(uint8_t *out, const uint64_t *v, unsigned width) {
    if (width == 0)
        return out;
    if (width > 32)
        return pack_mini_wide(out, v, width);
    uint32_t narrow[DELTA_MINI];
    for (size_t i = 0; i < DELTA_MINI; i++)
        narrow[i] = (uint32_t)v[i];
    return pack(out, narrow, DELTA_MINI, width);
}

static inline int64_t wrap(uint64_t value, bool narrow) {
    return narrow ? (int64_t)(int32_t)(uint32_t)value : (int64_t)value;
}

/** One block of up to 128 deltas; values[-1] is the value before. */
static uint8_t *put_block(uint8_t *out, const int64_t *values, size_t count, bool narrow) {
    uint64_t mask = narrow ? UINT32_MAX : UINT64_MAX;
    uint64_t delta[DELTA_BLOCK];
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        int64_t d = wrap((uint64_t)values[i] - (uint64_t)values[(ptrdiff_t)i - 1], narrow);
        delta[i] = (uint64_t)d;
        least = d < least ? d : least;
    }
    for (size_t i = 0; i < count; i++)
        delta[i] = (delta[i] - (uint64_t)least) & mask;
    memset(delta + count, 0, (DELTA_BLOCK - count) * sizeof *delta);
    out = put_zigzag(out, least);
    uint8_t *widths = out;
    out += DELTA_BLOCK / DELTA_MINI;
    for (size_t m = 0; m < DELTA_BLOCK / DELTA_MINI; m++) {
        uint64_t any = 0;
        for (size_t i = 0; i < DELTA_MINI; i++)
            any |= delta[m * DELTA_MINI + i];
        widths[m] = (uint8_t)sl_parquet_width(any);
        // Miniblocks that hold no value have no bytes, and width 0.
        if (m * DELTA_MINI < count)
            out = pack_mini(out, delta + m * DELTA_MINI, widths[m]);
    }
    return out;
}

size_t sl_parquet_delta(uint8_t *out, const int64_t *values, size_t count, bool narrow) {
    uint8_t *begin = out;
    out = sl_parquet_put_varint(out, DELTA_BLOCK);
    out = sl_parquet_put_varint(out, DELTA_BLOCK / DELTA_MINI);
    out = sl_parquet_put_varint(out, count);
    out = put_zigzag(out, values[0]);
    for (size_t i = 1; i < count; i += DELTA_BLOCK) {
        size_t some = count - i < DELTA_BLOCK ? count - i : DELTA_BLOCK;
        out = put_block(out, values + i, some, narrow);
    }
    return (size_t)(out - begin);
}
