#include "quantiles.h"

#include "tags.h"

#include <math.h>

#define SLACK 32      // Bins of room on the side where a sketch grows.
#define BIN_MAX 40000 // Doubles lie within 1,024 * 35 bins of 1.

static void drop_next(sl_bins *bins, sl_window_purse *memory) {
    sl_window_purse_give(memory, bins->next,
                         (size_t)bins->next_capacity * sizeof *bins->next);
    bins->next = NULL;
    bins->next_capacity = 0;
}

// Get memory for counts up to `bin` without moving anything: another measure may yet
// refuse the row.
bool sl_bins_prepare_slowly(sl_bins *bins, int32_t bin, sl_window_purse *memory) {
    drop_next(bins, memory);
    bool empty = bins->capacity == 0;
    if (!empty &&
        (sl_bins_holds(bins, bin) || sl_bins_holds(bins, sl_bins_clamp(bins, bin))))
        return true;
    int32_t high = empty || bin > bins->high ? bin : bins->high;
    int32_t floor = high - (SL_QUANTILES_BINS - 1);
    int32_t low = empty || bin < bins->low ? bin - SLACK : bins->low;
    if (low < floor)
        low = floor;
    if (empty || bin > bins->high)
        high += SLACK;
    size_t capacity = (size_t)(high - low + 1);
    bins->next = sl_window_purse_get(memory, capacity * sizeof *bins->next);
    if (bins->next == NULL)
        return false;
    bins->next_capacity = (int32_t)capacity;
    bins->next_low = low;
    return true;
}

// Only for the bin that was prepared: what lies below the new array is below the new
// floor.
void sl_bins_install(sl_bins *bins, sl_window_purse *memory) {
    if (bins->capacity == 0)
        bins->high = bins->next_low;
    for (int32_t i = 0; i < bins->capacity; i++) {
        int32_t bin = bins->low + i;
        if (bins->counts[i] != 0)
            bins->next[bin < bins->next_low ? 0 : bin - bins->next_low] +=
                bins->counts[i];
    }
    sl_window_purse_give(memory, bins->counts,
                         (size_t)bins->capacity * sizeof *bins->counts);
    bins->counts = bins->next;
    bins->low = bins->next_low;
    bins->capacity = bins->next_capacity;
    bins->next = NULL;
    bins->next_capacity = 0;
}

static void bins_fini(sl_bins *bins, sl_window_purse *memory) {
    drop_next(bins, memory);
    sl_window_purse_give(memory, bins->counts,
                         (size_t)bins->capacity * sizeof *bins->counts);
}

void sl_quantiles_fini(sl_quantiles *sketch, sl_window_purse *memory) {
    bins_fini(&sketch->positive, memory);
    bins_fini(&sketch->negative, memory);
    *sketch = (sl_quantiles){0};
}

// Lower bound of a bin: the cubic inverted by bisection, which every machine does alike.
static double bound(int32_t bin) {
    double position = bin / SL_QUANTILES_PER_OCTAVE;
    double e = floor(position), part = position - e;
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        double s = (low + high) / 2;
        if (((6.0 / 35 * s - 3.0 / 5) * s + 10.0 / 7) * s < part)
            low = s;
        else
            high = s;
    }
    return ldexp(1 + low, (int)e);
}

// The value whose relative distance to both bounds is the same, hence at most 1 %.
static double representative(int32_t bin) {
    double low = bound(bin), high = bound(bin + 1);
    return isfinite(high) ? low * (2 / (1 + low / high)) : low;
}

// The count in a bin as it is read, with everything below the floor in the floor's bin.
static uint64_t count_in(const sl_bins *bins, int32_t bin) {
    uint64_t count = sl_bins_holds(bins, bin) ? bins->counts[bin - bins->low] : 0;
    if (bin == bins->high - (SL_QUANTILES_BINS - 1))
        for (int32_t below = bins->low; below < bin; below++)
            count += bins->counts[below - bins->low];
    return count;
}

static int32_t lowest(const sl_bins *bins) { return sl_bins_clamp(bins, bins->low); }

static double clamp(const sl_quantiles *sketch, double value) {
    if (value < sketch->least)
        return sketch->least;
    return value > sketch->greatest ? sketch->greatest : value;
}

// Find the first value whose 0-based rank is at least floor(q (count - 1)).
double sl_quantiles_at(const sl_quantiles *sketch, double q) {
    if (sketch->count == 0)
        return NAN;
    double rank = floor(q * (double)(sketch->count - 1));
    if (rank <= 0)
        return sketch->least;
    if (rank >= (double)(sketch->count - 1))
        return sketch->greatest;
    double seen = 0;
    const sl_bins *bins = &sketch->negative;
    for (int32_t bin = bins->high; bins->capacity > 0 && bin >= lowest(bins); bin--) {
        seen += (double)count_in(bins, bin);
        if (seen > rank)
            return clamp(sketch, -representative(bin));
    }
    seen += (double)sketch->zero;
    if (seen > rank)
        return clamp(sketch, 0);
    bins = &sketch->positive;
    for (int32_t bin = lowest(bins); bins->capacity > 0 && bin <= bins->high; bin++) {
        seen += (double)count_in(bins, bin);
        if (seen > rank)
            return clamp(sketch, representative(bin));
    }
    return sketch->greatest;
}

// Number of bins; then the first bin and its count, then the distance to the next and its
// count.
static void write_bins(const sl_bins *bins, sl_buffer *out) {
    uint64_t used = 0;
    for (int32_t bin = lowest(bins); bins->capacity > 0 && bin <= bins->high; bin++)
        used += count_in(bins, bin) != 0;
    sl_buffer_varint(out, used);
    bool first = true;
    int32_t before = 0;
    for (int32_t bin = lowest(bins); bins->capacity > 0 && bin <= bins->high; bin++) {
        uint64_t count = count_in(bins, bin);
        if (count == 0)
            continue;
        if (first)
            sl_buffer_zigzag(out, bin);
        else
            sl_buffer_varint(out, (uint64_t)(bin - before));
        sl_buffer_varint(out, count);
        first = false;
        before = bin;
    }
}

void sl_quantiles_write(const sl_quantiles *sketch, sl_buffer *out) {
    sl_buffer_byte(out, SL_TAG_QUANTILES);
    sl_buffer_varint(out, sketch->zero);
    write_bins(&sketch->positive, out);
    write_bins(&sketch->negative, out);
    if (sketch->count == 0)
        return;
    sl_window_write_double(out, sketch->least);
    sl_window_write_double(out, sketch->greatest);
}

// The stored bins lie within SL_QUANTILES_BINS of each other, in ascending order.
static sl_status absorb_bins(sl_bins *bins, sl_window_reader *reader, uint64_t *total,
                             sl_window_purse *memory) {
    uint64_t used = sl_window_read_varint(reader);
    if (used > SL_QUANTILES_BINS)
        return SL_ECORRUPT;
    int64_t bin = 0, first = 0;
    for (uint64_t i = 0; i < used; i++) {
        int64_t step = i == 0 ? sl_window_read_zigzag(reader)
                              : (int64_t)sl_window_read_varint(reader);
        uint64_t count = sl_window_read_varint(reader);
        if (reader->bad || step > 2 * BIN_MAX || step < (i == 0 ? -BIN_MAX : 1) ||
            count == 0 || count > UINT64_MAX / 2 - *total)
            return SL_ECORRUPT;
        bin += step;
        first = i == 0 ? bin : first;
        if (bin > BIN_MAX || bin - first >= SL_QUANTILES_BINS)
            return SL_ECORRUPT;
        if (!sl_bins_prepare(bins, (int32_t)bin, memory))
            return SL_ENOMEM;
        sl_bins_add(bins, (int32_t)bin, count, memory);
        *total += count;
    }
    return SL_OK;
}

static void widen(sl_quantiles *sketch, double least, double greatest) {
    if (sketch->count == 0 || least < sketch->least)
        sketch->least = least;
    if (sketch->count == 0 || greatest > sketch->greatest)
        sketch->greatest = greatest;
}

sl_status sl_quantiles_absorb(sl_quantiles *sketch, sl_window_reader *reader,
                              sl_window_purse *memory) {
    uint64_t zero = sl_window_read_varint(reader), total = zero;
    if (reader->bad || zero > UINT64_MAX / 2)
        return SL_ECORRUPT;
    sl_status status = absorb_bins(&sketch->positive, reader, &total, memory);
    if (status == SL_OK)
        status = absorb_bins(&sketch->negative, reader, &total, memory);
    if (status != SL_OK || total == 0)
        return status;
    double least = sl_window_read_double(reader),
           greatest = sl_window_read_double(reader);
    if (reader->bad || !isfinite(least) || !isfinite(greatest) || least > greatest)
        return SL_ECORRUPT;
    widen(sketch, least, greatest);
    sketch->zero += zero;
    sketch->count += total;
    return SL_OK;
}
