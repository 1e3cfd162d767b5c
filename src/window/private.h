// What the files of this folder share: the plan, and how a measure's partial lies in
// memory.
#pragma once

#include "quantiles.h"
#include "tags.h"
#include "unique.h"

#include "sluice/window.h"

#include <pthread.h>

__extension__ typedef unsigned __int128 sl_u128;
__extension__ typedef __int128 sl_i128;

// SUM and AVG. Integers and decimals add up in 128 bits, doubles with their rounding
// errors beside them.
typedef struct sl_sum {
    union {
        sl_u128 whole; // Two's complement; wraps, so that any order gives the same.
        struct {
            double high, low; // The sum is high + low.
        } real;
    } as;
    uint64_t count;  // Values added; AVG's divisor.
    bool overflowed; // A number beyond int64, or a double that isn't finite, went by:
                     // null for ever.
} sl_sum;

// MIN and MAX.
typedef struct sl_extreme {
    union {
        int64_t i64;
        double f64;
        uint8_t *text;
    } as;
    uint32_t length, capacity; // Of `text`.
    bool has;
} sl_extreme;

// Where a measure, a key or the event time comes from: a field, an expression, or nothing
// yet.
typedef struct sl_window_source {
    uint32_t field;   // SL_NO_FIELD: the expression; without one, all null.
    char *expression; // Compiled anew by every window: it is owned by one thread.
} sl_window_source;

typedef struct sl_window_aim {
    sl_window_source source;
    uint32_t slot; // Offset of its partial in the slots of a group.
} sl_window_aim;

// Derived measures share one compiled expression each; numbers of a state are asked for
// by many threads.
typedef struct sl_window_derived {
    pthread_mutex_t lock;
    sl_value *values; // In the order of plan->order.
} sl_window_derived;

struct sl_window_plan {
    char *name;
    int64_t width_us, lateness_us, offset_us;
    sl_schema *schema;
    uint32_t event_time; // SL_NO_FIELD: arrival.
    sl_type event_time_type;
    sl_window_key *keys;
    uint32_t key_count;
    sl_measure *measures;
    sl_window_aim *aims; // [measure_count]
    uint32_t measure_count;
    uint32_t
        *order; // Measures as derived expressions see them: aggregates, then derived.
    uint32_t order_count;
    sl_window_derived *derived;
    uint32_t slot_bytes;
};

// Bytes of a measure's partial in memory; all zero is "nothing yet". 0: it needs none.
uint32_t sl_slot_bytes(const sl_measure *measure);
void sl_slot_fini(const sl_measure *measure, void *slot, sl_window_purse *memory);
// Tag and payload; nothing for measures that need no partial.
void sl_slot_write(const sl_measure *measure, const void *slot, sl_buffer *out);
SL_CHECKED sl_status sl_slot_absorb(const sl_measure *measure, void *slot,
                                    sl_window_reader *reader, sl_window_purse *memory);
sl_value sl_slot_number(const sl_measure *measure, const void *slot, uint64_t rows);
// Set an empty slot from the number of a warehouse row. SL_ETYPE: it can't be this
// measure's.
SL_CHECKED sl_status sl_slot_from_number(const sl_measure *measure, void *slot,
                                         const sl_value *number, sl_window_purse *memory);

void sl_slots_write(const sl_window_plan *plan, uint64_t rows, const uint8_t *slots,
                    sl_buffer *out);
void sl_slots_fini(const sl_window_plan *plan, uint8_t *slots, sl_window_purse *memory);

// Make sure that `length` bytes of text fit. false: nothing changed.
static inline bool sl_extreme_prepare(sl_extreme *extreme, size_t length,
                                      sl_window_purse *memory) {
    if (length <= extreme->capacity)
        return true;
    if (length > UINT32_MAX / 2)
        return false;
    uint32_t capacity = ((uint32_t)length + 31) & ~31u;
    uint8_t *text = sl_window_purse_get(memory, capacity);
    if (text == NULL)
        return false;
    if (extreme->length > 0)
        memcpy(text, extreme->as.text, extreme->length);
    if (extreme->capacity > 0)
        sl_window_purse_give(memory, extreme->as.text, extreme->capacity);
    extreme->as.text = text;
    extreme->capacity = capacity;
    return true;
}

static inline int sl_text_compare(const uint8_t *a, size_t a_length, const uint8_t *b,
                                  size_t b_length) {
    size_t shorter = a_length < b_length ? a_length : b_length;
    int order = shorter == 0 ? 0 : memcmp(a, b, shorter);
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

// Knuth, TAOCP 4.2.2 theorem B: the error of high + value, exactly, whichever is larger.
// With Neumaier's habit of adding the errors up apart.
static inline void sl_sum_add_double(sl_sum *sum, double value) {
    double total = sum->as.real.high + value;
    double part = total - sum->as.real.high;
    sum->as.real.low += (sum->as.real.high - (total - part)) + (value - part);
    sum->as.real.high = total;
}

static inline bool sl_is_text(sl_type type) {
    return type == SL_TYPE_STRING || type == SL_TYPE_JSON || type == SL_TYPE_BYTES;
}
