#include "unique.h"

#include "tags.h"

#include <math.h>

#define SLOTS_FIRST 16u
#define PREFIX_REST_BITS 14u // Bits of a code's prefix behind the register's index.
#define PACKED_BYTES (SL_UNIQUE_REGISTERS / 4 * 3)

static_assert(SL_UNIQUE_CODES < SL_UNIQUE_SLOTS_MAX, "a probe always ends");

// The slot that holds the code's prefix, or the free one where it belongs.
static uint32_t *find(uint32_t *table, uint32_t slots, uint32_t code) {
    uint32_t i = code >> 6 & (slots - 1);
    while (table[i] != 0 && table[i] >> 6 != code >> 6)
        i = (i + 1) & (slots - 1);
    return &table[i];
}

static bool grow(sl_unique *set, sl_window_purse *memory) {
    uint32_t slots = set->slots == 0 ? SLOTS_FIRST : set->slots * 2;
    uint32_t *table = sl_window_purse_get(memory, slots * sizeof *table);
    if (table == NULL)
        return false;
    for (uint32_t i = 0; i < set->slots; i++)
        if (set->sparse[i] != 0)
            *find(table, slots, set->sparse[i]) = set->sparse[i];
    sl_window_purse_give(memory, set->sparse, set->slots * sizeof *table);
    set->sparse = table;
    set->slots = slots;
    return true;
}

static bool prepare_code(sl_unique *set, uint32_t code, sl_window_purse *memory) {
    if (sl_unique_is_dense(set) || set->count < sl_unique_room(set))
        return true;
    if (set->slots < SL_UNIQUE_SLOTS_MAX)
        return grow(set, memory);
    if (set->dense != NULL || *find(set->sparse, set->slots, code) != 0)
        return true;
    set->dense = sl_window_purse_get(memory, SL_UNIQUE_REGISTERS);
    return set->dense != NULL;
}

bool sl_unique_prepare_slowly(sl_unique *set, uint64_t hash, sl_window_purse *memory) {
    return prepare_code(set, sl_unique_code(hash), memory);
}

static void raise_register(uint8_t *registers, uint32_t index, uint8_t rank) {
    if (rank > registers[index])
        registers[index] = rank;
}

// A code says everything that its register needs: zeros in the prefix come first.
static void add_code_dense(uint8_t *registers, uint32_t code) {
    uint32_t prefix = code >> 6;
    uint32_t rest = prefix & ((1u << PREFIX_REST_BITS) - 1);
    uint32_t rank = rest == 0
                        ? PREFIX_REST_BITS + (code & 63)
                        : (uint32_t)__builtin_clz(rest) - (32 - PREFIX_REST_BITS) + 1;
    raise_register(registers, prefix >> PREFIX_REST_BITS, (uint8_t)rank);
}

// The list becomes registers; their memory is there already.
static void densify(sl_unique *set, sl_window_purse *memory) {
    for (uint32_t i = 0; i < set->slots; i++)
        if (set->sparse[i] != 0)
            add_code_dense(set->dense, set->sparse[i]);
    sl_window_purse_give(memory, set->sparse, set->slots * sizeof *set->sparse);
    set->sparse = NULL;
    set->slots = set->count = 0;
}

static void add_code(sl_unique *set, uint32_t code, sl_window_purse *memory) {
    if (sl_unique_is_dense(set)) {
        add_code_dense(set->dense, code);
        return;
    }
    uint32_t *slot = find(set->sparse, set->slots, code);
    if (*slot != 0) {
        if (code > *slot)
            *slot = code;
    } else if (set->count < SL_UNIQUE_CODES) {
        *slot = code;
        set->count++;
    } else {
        densify(set, memory);
        add_code_dense(set->dense, code);
    }
}

void sl_unique_add_sparse(sl_unique *set, uint32_t code, sl_window_purse *memory) {
    add_code(set, code, memory);
}

void sl_unique_fini(sl_unique *set, sl_window_purse *memory) {
    sl_window_purse_give(memory, set->sparse, set->slots * sizeof *set->sparse);
    sl_window_purse_give(memory, set->dense, SL_UNIQUE_REGISTERS);
    *set = (sl_unique){0};
}

// Ertl 2017, section 4.2: sigma(x) = x + sum of x^(2^k) 2^(k-1).
static double sigma(double x) {
    if (x >= 1)
        return INFINITY;
    double y = 1, z = x, before;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z > before);
    return z;
}

// Ertl 2017, section 4.3: tau(x) = (1 - x - sum of (1 - x^(2^-k))^2 2^-k) / 3.
static double tau(double x) {
    if (x <= 0 || x >= 1)
        return 0;
    double y = 1, z = 1 - x, before;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z < before);
    return z / 3;
}

uint64_t sl_unique_estimate(const sl_unique *set) {
    if (!sl_unique_is_dense(set)) // n values in 2^26 cells lose less than half a value.
        return set->count;
    // Four histograms: neighbours mostly have the same rank, and would wait for each
    // other's count.
    uint32_t part[4][SL_UNIQUE_RANK_MAX + 1] = {0}, histogram[SL_UNIQUE_RANK_MAX + 1];
    for (uint32_t i = 0; i < SL_UNIQUE_REGISTERS; i++)
        part[i % 4][set->dense[i]]++;
    for (uint32_t k = 0; k <= SL_UNIQUE_RANK_MAX; k++)
        histogram[k] = part[0][k] + part[1][k] + part[2][k] + part[3][k];
    const double m = SL_UNIQUE_REGISTERS;
    double z = m * tau(1 - histogram[SL_UNIQUE_RANK_MAX] / m);
    for (uint32_t k = SL_UNIQUE_RANK_MAX - 1; k >= 1; k--)
        z = 0.5 * (z + histogram[k]);
    z += m * sigma(histogram[0] / m);
    // Only damaged registers, all at their maximum, have z = 0.
    double estimate = m * m / (2 * 0.69314718055994530942) / z;
    return estimate < 0x1p63 ? (uint64_t)(estimate + 0.5) : (uint64_t)INT64_MAX;
}

// Shell sort with Ciura's gaps: at most 768 codes, and no memory.
static void sort_codes(uint32_t *codes, uint32_t count) {
    static const uint32_t gaps[] = {301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (uint32_t i = gaps[g]; i < count; i++) {
            uint32_t code = codes[i], j = i;
            for (; j >= gaps[g] && codes[j - gaps[g]] > code; j -= gaps[g])
                codes[j] = codes[j - gaps[g]];
            codes[j] = code;
        }
}

static void write_sparse(const sl_unique *set, sl_buffer *out) {
    uint32_t codes[SL_UNIQUE_CODES], count = 0, before = 0;
    for (uint32_t i = 0; i < set->slots; i++)
        if (set->sparse[i] != 0)
            codes[count++] = set->sparse[i];
    sort_codes(codes, count);
    sl_buffer_byte(out, SL_TAG_UNIQUE_LIST);
    sl_buffer_varint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        sl_buffer_varint(out, codes[i] - before);
        before = codes[i];
    }
}

// Four registers of 6 bits in three bytes, the first in the low bits.
static void write_dense(const uint8_t *registers, sl_buffer *out) {
    sl_buffer_byte(out, SL_TAG_UNIQUE_REGISTERS);
    if (!sl_buffer_reserve(out, PACKED_BYTES))
        return;
    for (uint32_t i = 0; i < SL_UNIQUE_REGISTERS; i += 4) {
        uint32_t four = (uint32_t)registers[i] | (uint32_t)registers[i + 1] << 6 |
                        (uint32_t)registers[i + 2] << 12 |
                        (uint32_t)registers[i + 3] << 18;
        uint8_t *to = out->bytes + out->length;
        to[0] = (uint8_t)four;
        to[1] = (uint8_t)(four >> 8);
        to[2] = (uint8_t)(four >> 16);
        out->length += 3;
    }
}

void sl_unique_write(const sl_unique *set, sl_buffer *out) {
    if (sl_unique_is_dense(set))
        write_dense(set->dense, out);
    else
        write_sparse(set, out);
}

static sl_status absorb_list(sl_unique *set, sl_window_reader *reader,
                             sl_window_purse *memory) {
    uint64_t count = sl_window_read_varint(reader);
    if (count > SL_UNIQUE_CODES)
        return SL_ECORRUPT;
    uint64_t code = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t before = code;
        uint64_t step = sl_window_read_varint(reader);
        if (reader->bad || step > UINT32_MAX)
            return SL_ECORRUPT;
        code += step;
        uint64_t rank = code & 63;
        // Prefixes ascend strictly; a rank lies within the 38 bits that it counts.
        if (code > UINT32_MAX || rank < 1 || rank > 39 ||
            (i > 0 && code >> 6 == before >> 6))
            return SL_ECORRUPT;
        if (!prepare_code(set, (uint32_t)code, memory))
            return SL_ENOMEM;
        add_code(set, (uint32_t)code, memory);
    }
    return SL_OK;
}

static sl_status absorb_registers(sl_unique *set, sl_window_reader *reader,
                                  sl_window_purse *memory) {
    const uint8_t *from = sl_window_read_bytes(reader, PACKED_BYTES);
    if (from == NULL)
        return SL_ECORRUPT;
    if (set->dense == NULL)
        set->dense = sl_window_purse_get(memory, SL_UNIQUE_REGISTERS);
    if (set->dense == NULL)
        return SL_ENOMEM;
    if (set->sparse != NULL)
        densify(set, memory);
    uint8_t highest = 0; // Checked once: a damaged set is thrown away as a whole.
    for (uint32_t i = 0; i < SL_UNIQUE_REGISTERS; i += 4, from += 3) {
        uint32_t four =
            (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16;
        for (uint32_t k = 0; k < 4; k++) {
            uint8_t rank = (uint8_t)(four >> (6 * k) & 63), *at = &set->dense[i + k];
            *at = rank > *at ? rank : *at;
            highest = rank > highest ? rank : highest;
        }
    }
    return highest > SL_UNIQUE_RANK_MAX ? SL_ECORRUPT : SL_OK;
}

sl_status sl_unique_absorb(sl_unique *set, uint8_t tag, sl_window_reader *reader,
                           sl_window_purse *memory) {
    if (tag == SL_TAG_UNIQUE_LIST)
        return absorb_list(set, reader, memory);
    if (tag == SL_TAG_UNIQUE_REGISTERS)
        return absorb_registers(set, reader, memory);
    return SL_ECORRUPT;
}
