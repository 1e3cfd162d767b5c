// One measure's partial: in memory, as bytes, and as the number that people see.

#include "private.h"

#include <math.h>

static sl_value null_of(const sl_measure *measure) {
    return (sl_value){.type = measure->type, .null = true, .scale = measure->scale};
}

static sl_value integer(int64_t value) {
    return (sl_value){.type = SL_TYPE_INT64, .as.i64 = value};
}

static sl_value real(double value) {
    return (sl_value){.type = SL_TYPE_DOUBLE, .as.f64 = value};
}

static bool is_conditional(const sl_measure *measure) {
    return measure->kind == SL_MEASURE_COUNT && measure->argument == SL_TYPE_BOOL;
}

uint32_t sl_slot_bytes(const sl_measure *measure) {
    size_t bytes = 0;
    switch (measure->kind) {
    case SL_MEASURE_COUNT: // count() is the group's rows.
        bytes = is_conditional(measure) ? sizeof(uint64_t) : 0;
        break;
    case SL_MEASURE_SUM:
    case SL_MEASURE_AVG:
        bytes = sizeof(sl_sum);
        break;
    case SL_MEASURE_MIN:
    case SL_MEASURE_MAX:
        bytes = sizeof(sl_extreme);
        break;
    case SL_MEASURE_UNIQUE:
        bytes = sizeof(sl_unique);
        break;
    case SL_MEASURE_QUANTILE:
        bytes = sizeof(sl_quantiles);
        break;
    case SL_MEASURE_DERIVED:
        break;
    }
    return (uint32_t)((bytes + 15) & ~(size_t)15);
}

void sl_slot_fini(const sl_measure *measure, void *slot, sl_window_purse *memory) {
    sl_extreme *extreme = slot;
    if (measure->kind == SL_MEASURE_UNIQUE)
        sl_unique_fini(slot, memory);
    else if (measure->kind == SL_MEASURE_QUANTILE)
        sl_quantiles_fini(slot, memory);
    else if ((measure->kind == SL_MEASURE_MIN || measure->kind == SL_MEASURE_MAX) &&
             extreme->capacity > 0)
        sl_window_purse_give(memory, extreme->as.text, extreme->capacity);
}

void sl_slots_fini(const sl_window_plan *plan, uint8_t *slots, sl_window_purse *memory) {
    for (uint32_t i = 0; i < plan->measure_count; i++)
        sl_slot_fini(&plan->measures[i], slots + plan->aims[i].slot, memory);
}

// A sum.

static bool is_lost(const sl_measure *measure, const sl_sum *sum) {
    return sum->overflowed ||
           (measure->argument == SL_TYPE_DOUBLE && !isfinite(sum->as.real.high));
}

// 128 bits, zigzag, LEB128.
static void write_whole(sl_u128 whole, sl_buffer *out) {
    sl_u128 zigzag = whole << 1 ^ (sl_u128)((sl_i128)whole >> 127);
    for (; zigzag > 127; zigzag >>= 7)
        sl_buffer_byte(out, (uint8_t)((uint8_t)zigzag | 128));
    sl_buffer_byte(out, (uint8_t)zigzag);
}

static sl_u128 read_whole(sl_window_reader *reader) {
    sl_u128 zigzag = 0;
    for (unsigned shift = 0; shift < 128; shift += 7) {
        uint8_t byte = sl_window_read_byte(reader);
        if ((shift == 126 && byte > 3) || (byte == 0 && shift > 0))
            break;
        zigzag |= (sl_u128)(byte & 127) << shift;
        if (byte < 128)
            return zigzag >> 1 ^ -(zigzag & 1);
    }
    reader->bad = true;
    return 0;
}

static void write_sum(const sl_measure *measure, const sl_sum *sum, sl_buffer *out) {
    if (is_lost(measure, sum)) {
        sl_buffer_byte(out, SL_TAG_SUM_OVERFLOWED);
    } else if (measure->argument != SL_TYPE_DOUBLE) {
        sl_buffer_byte(out, sum->as.whole == 0 ? SL_TAG_SUM_NONE : SL_TAG_SUM_WHOLE);
        if (sum->as.whole != 0)
            write_whole(sum->as.whole, out);
    } else {
        // The one pair for this sum: high is the sum rounded, low the rest; no negative
        // zeros.
        sl_sum tidy = {.as.real = {sum->as.real.high, 0}};
        sl_sum_add_double(&tidy, sum->as.real.low);
        if (!(fabs(tidy.as.real.high) > 0)) {
            sl_buffer_byte(out, SL_TAG_SUM_NONE);
            return;
        }
        sl_buffer_byte(out, SL_TAG_SUM_DOUBLE);
        sl_window_write_double(out, tidy.as.real.high);
        sl_window_write_double(out, tidy.as.real.low + 0.0);
    }
}

static void add_whole_to_double(sl_sum *sum, sl_u128 whole) {
    sl_i128 rest = (sl_i128)whole;
    double high = (double)rest;
    sl_sum_add_double(sum, high);
    if (fabs(high) < 0x1p126) // Beyond, the way back to an integer could overflow.
        sl_sum_add_double(sum, (double)(rest - (sl_i128)high));
}

static sl_status absorb_sum(const sl_measure *measure, sl_sum *sum, uint8_t tag,
                            sl_window_reader *reader) {
    bool is_double = measure->argument == SL_TYPE_DOUBLE;
    if (tag == SL_TAG_SUM_NONE)
        return SL_OK;
    if (tag == SL_TAG_SUM_OVERFLOWED) {
        sum->overflowed = true;
    } else if (tag == SL_TAG_SUM_WHOLE) {
        // A column that was integers when this was written may hold doubles now.
        sl_u128 whole = read_whole(reader);
        if (is_double)
            add_whole_to_double(sum, whole);
        else
            sum->as.whole += whole;
    } else if (tag == SL_TAG_SUM_DOUBLE && is_double) {
        double high = sl_window_read_double(reader), low = sl_window_read_double(reader);
        if (!isfinite(high) || !isfinite(low))
            return SL_ECORRUPT;
        sl_sum_add_double(sum, high);
        sum->as.real.low += low;
    } else {
        return SL_ECORRUPT;
    }
    return SL_OK;
}

static sl_value sum_number(const sl_measure *measure, const sl_sum *sum) {
    if (is_lost(measure, sum))
        return null_of(measure);
    if (measure->argument == SL_TYPE_DOUBLE) {
        double total = sum->as.real.high + sum->as.real.low;
        return isfinite(total) ? real(total) : null_of(measure);
    }
    sl_i128 whole = (sl_i128)sum->as.whole;
    if (whole < INT64_MIN || whole > INT64_MAX)
        return null_of(measure);
    sl_value value = integer((int64_t)whole);
    value.type = measure->type;
    value.scale = measure->scale;
    return value;
}

static double power_of_ten(unsigned exponent) {
    double power = 1; // Exact up to 10^22.
    while (exponent-- > 0)
        power *= 10;
    return power;
}

static sl_value average_number(const sl_measure *measure, const sl_sum *sum) {
    if (sum->count == 0 || is_lost(measure, sum))
        return null_of(measure);
    double total = measure->argument == SL_TYPE_DOUBLE
                       ? sum->as.real.high + sum->as.real.low
                       : (double)(sl_i128)sum->as.whole;
    if (measure->argument == SL_TYPE_DECIMAL)
        total /= power_of_ten(measure->scale);
    return isfinite(total) ? real(total / (double)sum->count) : null_of(measure);
}

// MIN and MAX.

static sl_value extreme_value(const sl_measure *measure, const sl_extreme *extreme) {
    sl_value value = {
        .type = measure->type, .null = !extreme->has, .scale = measure->scale};
    if (value.null)
        return value;
    if (measure->type == SL_TYPE_STRING) {
        value.as.text.bytes = extreme->as.text;
        value.as.text.length = extreme->length;
    } else if (measure->type == SL_TYPE_DOUBLE) {
        value.as.f64 = extreme->as.f64;
    } else {
        value.as.i64 = extreme->as.i64;
    }
    return value;
}

static sl_status keep_extreme(const sl_measure *measure, sl_extreme *extreme,
                              const sl_value *value, sl_window_purse *memory) {
    int sign = measure->kind == SL_MEASURE_MIN ? -1 : 1;
    if (measure->type == SL_TYPE_STRING) {
        const uint8_t *text = value->as.text.bytes;
        size_t length = value->as.text.length;
        if (extreme->has &&
            sl_text_compare(text, length, extreme->as.text, extreme->length) * sign <= 0)
            return SL_OK;
        if (!sl_extreme_prepare(extreme, length, memory))
            return SL_ENOMEM;
        if (length > 0)
            memcpy(extreme->as.text, text, length);
        extreme->length = (uint32_t)length;
    } else if (measure->type == SL_TYPE_DOUBLE) {
        double number = value->as.f64 + 0.0;
        if (!extreme->has ||
            (sign < 0 ? number < extreme->as.f64 : number > extreme->as.f64))
            extreme->as.f64 = number;
    } else {
        int64_t number = value->as.i64;
        if (!extreme->has ||
            (sign < 0 ? number < extreme->as.i64 : number > extreme->as.i64))
            extreme->as.i64 = number;
    }
    extreme->has = true;
    return SL_OK;
}

// Bring `value` to the measure's type where that changes nothing. false: it can't be.
static bool adapt(const sl_measure *measure, sl_value *value) {
    sl_type want = measure->type;
    if (value->type == want)
        return (want != SL_TYPE_DECIMAL || value->scale == measure->scale) &&
               (want != SL_TYPE_DOUBLE || isfinite(value->as.f64));
    if (want == SL_TYPE_DOUBLE && value->type == SL_TYPE_INT64) {
        *value = real((double)value->as.i64);
        return true;
    }
    // Databases without such types give their integers back.
    bool is_time = want == SL_TYPE_TIMESTAMP || want == SL_TYPE_DATE;
    if (is_time && value->type == SL_TYPE_INT64) {
        value->type = want;
        return true;
    }
    return false;
}

static sl_status absorb_extreme(const sl_measure *measure, sl_extreme *extreme,
                                sl_window_reader *reader, sl_window_purse *memory) {
    if (reader->bad)
        return SL_ECORRUPT;
    sl_value value = {0};
    size_t length =
        sl_value_decode(reader->at, (size_t)(reader->end - reader->at), &value);
    if (length == 0)
        return SL_ECORRUPT;
    reader->at += length;
    if (value.null)
        return SL_OK;
    return adapt(measure, &value) ? keep_extreme(measure, extreme, &value, memory)
                                  : SL_ECORRUPT;
}

// Any measure.

void sl_slot_write(const sl_measure *measure, const void *slot, sl_buffer *out) {
    if (sl_slot_bytes(measure) == 0)
        return;
    switch (measure->kind) {
    case SL_MEASURE_COUNT:
        sl_buffer_byte(out, SL_TAG_COUNT);
        sl_buffer_varint(out, *(const uint64_t *)slot);
        break;
    case SL_MEASURE_SUM:
        write_sum(measure, slot, out);
        break;
    case SL_MEASURE_AVG:
        sl_buffer_byte(out, SL_TAG_AVERAGE);
        sl_buffer_varint(out, ((const sl_sum *)slot)->count);
        write_sum(measure, slot, out);
        break;
    case SL_MEASURE_MIN:
    case SL_MEASURE_MAX: {
        sl_value value = extreme_value(measure, slot);
        sl_buffer_byte(out, SL_TAG_EXTREME);
        sl_value_encode(&value, out);
        break;
    }
    case SL_MEASURE_UNIQUE:
        sl_unique_write(slot, out);
        break;
    case SL_MEASURE_QUANTILE:
        sl_quantiles_write(slot, out);
        break;
    case SL_MEASURE_DERIVED:
        break;
    }
}

static sl_status absorb(const sl_measure *measure, void *slot, uint8_t tag,
                        sl_window_reader *reader, sl_window_purse *memory) {
    switch (measure->kind) {
    case SL_MEASURE_COUNT:
        *(uint64_t *)slot += sl_window_read_varint(reader);
        return tag == SL_TAG_COUNT ? SL_OK : SL_ECORRUPT;
    case SL_MEASURE_SUM:
        return absorb_sum(measure, slot, tag, reader);
    case SL_MEASURE_AVG:
        ((sl_sum *)slot)->count += sl_window_read_varint(reader);
        return tag == SL_TAG_AVERAGE
                   ? absorb_sum(measure, slot, sl_window_read_byte(reader), reader)
                   : SL_ECORRUPT;
    case SL_MEASURE_MIN:
    case SL_MEASURE_MAX:
        return tag == SL_TAG_EXTREME ? absorb_extreme(measure, slot, reader, memory)
                                     : SL_ECORRUPT;
    case SL_MEASURE_UNIQUE:
        return sl_unique_absorb(slot, tag, reader, memory);
    case SL_MEASURE_QUANTILE:
        return tag == SL_TAG_QUANTILES ? sl_quantiles_absorb(slot, reader, memory)
                                       : SL_ECORRUPT;
    case SL_MEASURE_DERIVED:
        break;
    }
    return SL_OK;
}

sl_status sl_slot_absorb(const sl_measure *measure, void *slot, sl_window_reader *reader,
                         sl_window_purse *memory) {
    if (sl_slot_bytes(measure) == 0)
        return SL_OK;
    uint8_t tag = sl_window_read_byte(reader);
    sl_status status = absorb(measure, slot, tag, reader, memory);
    return status == SL_OK && reader->bad ? SL_ECORRUPT : status;
}

sl_value sl_slot_number(const sl_measure *measure, const void *slot, uint64_t rows) {
    switch (measure->kind) {
    case SL_MEASURE_COUNT:
        return integer(
            (int64_t)(is_conditional(measure) ? *(const uint64_t *)slot : rows));
    case SL_MEASURE_SUM:
        return sum_number(measure, slot);
    case SL_MEASURE_AVG:
        return average_number(measure, slot);
    case SL_MEASURE_MIN:
    case SL_MEASURE_MAX:
        return extreme_value(measure, slot);
    case SL_MEASURE_UNIQUE:
        return integer((int64_t)sl_unique_estimate(slot));
    case SL_MEASURE_QUANTILE: {
        const sl_quantiles *sketch = slot;
        return sketch->count == 0 ? null_of(measure)
                                  : real(sl_quantiles_at(sketch, measure->quantile));
    }
    case SL_MEASURE_DERIVED:
        break;
    }
    return null_of(measure);
}

sl_status sl_slot_from_number(const sl_measure *measure, void *slot,
                              const sl_value *number, sl_window_purse *memory) {
    sl_value value = *number;
    sl_sum *sum = slot;
    bool is_sum = measure->kind == SL_MEASURE_SUM;
    if (value.null) { // The sum of nothing is 0; null says that it overflowed.
        sum->overflowed = is_sum ? true : sum->overflowed;
        return SL_OK;
    }
    if (!adapt(measure, &value))
        return SL_ETYPE;
    if (measure->kind == SL_MEASURE_COUNT) {
        if (value.as.i64 < 0)
            return SL_ETYPE;
        *(uint64_t *)slot = (uint64_t)value.as.i64;
    } else if (is_sum && measure->argument == SL_TYPE_DOUBLE) {
        sum->as.real.high = value.as.f64;
    } else if (is_sum) {
        sum->as.whole = (sl_u128)value.as.i64;
    } else {
        return keep_extreme(measure, slot, &value, memory);
    }
    return SL_OK;
}
