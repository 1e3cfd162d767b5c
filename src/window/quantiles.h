// DDSketch with 1 % relative error: counts in bins whose bounds grow by a factor
// of 1.01/0.99.
//
// Bin      floor(M (e + P(s))) of |x| = 2^e (1 + s): a cubic P in place of the logarithm.
// Only additions,
//          multiplications and the exponent's bits, so every machine finds the same bin.
//          M is chosen where P is flattest; that costs 1 % more bins than the logarithm.
// Limit    SL_QUANTILES_BINS bins on each side of zero. When more are needed, the
// smallest magnitudes share the
//          lowest bin: floor = highest - SL_QUANTILES_BINS + 1. That depends on the
//          highest bin alone, so any order of adding and merging ends with the same
//          counts. 2,048 bins span a factor of 10^17. Counts below the floor may stay in
//          their own bins in memory; they are read as the floor's.
// Values   Finite doubles; below 2^-1022 they count as zero.
// Source   Masson, Rim, Lee, "DDSketch", VLDB 2019.
#pragma once

#include "memory.h"

#define SL_QUANTILES_BINS 2048
// 7 / (10 ln(1.01/0.99)): the least slope of e + P(s) over ln |x| is 10/7.
#define SL_QUANTILES_PER_OCTAVE 34.998833302220592

typedef struct sl_bins {
    uint64_t *counts;
    int32_t low;      // Bin of counts[0].
    int32_t high;     // Highest bin that is used.
    int32_t capacity; // Bins in `counts`.
    int32_t next_low; // Of `next`.
    uint64_t *next;   // Memory for the add that was prepared last, or NULL.
    int32_t next_capacity;
} sl_bins;

typedef struct sl_quantiles {
    sl_bins positive, negative;
    uint64_t zero, count;
    double least, greatest; // When count > 0.
} sl_quantiles;

bool sl_bins_prepare_slowly(sl_bins *bins, int32_t bin, sl_window_purse *purse);
void sl_bins_install(sl_bins *bins, sl_window_purse *purse);
void sl_quantiles_fini(sl_quantiles *sketch, sl_window_purse *purse);
// The value at rank q (count - 1); NaN when there is none.
double sl_quantiles_at(const sl_quantiles *sketch, double q);
void sl_quantiles_write(const sl_quantiles *sketch, sl_buffer *out);
SL_CHECKED sl_status sl_quantiles_absorb(sl_quantiles *sketch, sl_window_reader *reader,
                                         sl_window_purse *purse);

static inline int32_t sl_quantiles_bin(double magnitude) {
    uint64_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    double e = (double)((int32_t)(bits >> 52 & 2047) - 1023);
    bits = (bits & UINT64_C(0xfffffffffffff)) | UINT64_C(0x3ff0000000000000);
    double s;
    memcpy(&s, &bits, sizeof s);
    s -= 1;
    double position =
        SL_QUANTILES_PER_OCTAVE * (e + ((6.0 / 35 * s - 3.0 / 5) * s + 10.0 / 7) * s);
    int32_t bin = (int32_t)position;
    return bin - (position < bin);
}

// Bins below the window of SL_QUANTILES_BINS are counted at its lower end.
static inline int32_t sl_bins_clamp(const sl_bins *bins, int32_t bin) {
    int32_t floor = bins->high - (SL_QUANTILES_BINS - 1);
    return bin < floor ? floor : bin;
}

static inline bool sl_bins_holds(const sl_bins *bins, int32_t bin) {
    return bins->capacity > 0 && bin >= bins->low && bin - bins->low < bins->capacity;
}

static inline bool sl_bins_prepare(sl_bins *bins, int32_t bin, sl_window_purse *purse) {
    return (bins->next == NULL && sl_bins_holds(bins, bin)) ||
           sl_bins_prepare_slowly(bins, bin, purse);
}

// After sl_bins_prepare() with the same bin.
static inline void sl_bins_add(sl_bins *bins, int32_t bin, uint64_t count,
                               sl_window_purse *purse) {
    if (bins->next != NULL)
        sl_bins_install(bins, purse);
    if (bin > bins->high)
        bins->high = bin;
    bins->counts[sl_bins_clamp(bins, bin) - bins->low] += count;
}

// The signed bin of a finite value, which prepare and add both take: found once.
typedef struct sl_quantiles_place {
    double value;
    int32_t bin;
    int32_t side; // -1, 0 (counts as zero), 1.
} sl_quantiles_place;

static inline sl_quantiles_place sl_quantiles_find(double value) {
    if (value >= 0x1p-1022)
        return (sl_quantiles_place){value, sl_quantiles_bin(value), 1};
    if (value <= -0x1p-1022)
        return (sl_quantiles_place){value, sl_quantiles_bin(-value), -1};
    return (sl_quantiles_place){value, 0, 0};
}

static inline bool sl_quantiles_prepare(sl_quantiles *sketch, sl_quantiles_place place,
                                        sl_window_purse *purse) {
    return place.side == 0 ||
           sl_bins_prepare(place.side > 0 ? &sketch->positive : &sketch->negative,
                           place.bin, purse);
}

// After sl_quantiles_prepare() with the same place.
static inline void sl_quantiles_add(sl_quantiles *sketch, sl_quantiles_place place,
                                    sl_window_purse *purse) {
    double value = place.value;
    if (sketch->count++ == 0) {
        sketch->least = sketch->greatest = value;
    } else {
        sketch->least = value < sketch->least ? value : sketch->least;
        sketch->greatest = value > sketch->greatest ? value : sketch->greatest;
    }
    if (place.side == 0)
        sketch->zero++;
    else
        sl_bins_add(place.side > 0 ? &sketch->positive : &sketch->negative, place.bin, 1,
                    purse);
}
