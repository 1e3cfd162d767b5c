// Rows into panes. A batch goes through in lots of up to 256 kept rows ("lanes"), step by
// step:
//
//   select   kept rows, their window starts, whether they are late
//   hash     keys, column by column; then prefetch the table's slots
//   find     or create the lane's group
//   grow     measures that may need memory (unique, quantile, texts), row by row: first
//   the memory for all of
//            them, then the adding; the first row that gets none ends the lot, and no
//            measure has seen it
//   fold     the other measures, column by column; rows are counted
//
// So a full budget leaves whole rows folded or not at all.

#include "panes.h"

#include "sluice/time.h"

#define XXH_INLINE_ALL // A call a row saved, twice. Same values as sl_hash64() with seed
                       // 0.
#include <xxhash.h>

#define LANES 256u
// The years 0001 to 9999. What lies outside (a computed time) is moved to the border.
#define TIME_MIN INT64_C(-62135596800000000)
#define TIME_MAX INT64_C(253402300799999999)
#define GROUPS_OUT_OF_CACHE_BYTES ((size_t)256 << 10)

// A column that the window reads, for the batch at hand.
typedef struct intake {
    sl_expression *expression; // Own; NULL: a field, or nothing.
    const sl_column *column;   // NULL: all null.
    const uint8_t *valid;      // Enclosing objects included.
    uint8_t *mask;             // Memory for that; only for fields inside objects.
} intake;

typedef struct lane_set {
    uint32_t row[LANES];
    uint32_t count;
    uint8_t late[LANES];
    int64_t start_us[LANES];
    uint64_t hash[LANES];
    sl_group *group[LANES];
} lane_set;

// A measure whose partial may need memory, with what its lanes hold.
typedef struct growth {
    uint32_t measure;
    sl_measure_kind kind;
    size_t offset;              // Of the partial, from the beginning of a group.
    uint64_t *hash;             // [lane] UNIQUE.
    sl_quantiles_place *places; // [lane] QUANTILE.
} growth;

struct sl_window {
    const sl_window_plan *plan;
    sl_window_purse memory;
    sl_panes panes;
    uint64_t rows;
    intake time;
    intake *keys, *measures;
    sl_window_cell **cells; // [key][lane]
    growth *growing;
    uint32_t growing_count;
    lane_set *lanes;
    sl_buffer state;
};

static sl_status read_input(intake *input, const sl_window_plan *plan, uint32_t field,
                            const sl_batch *batch) {
    input->column = NULL;
    if (input->expression != NULL) {
        input->column = sl_expression_run(input->expression, batch, NULL);
        if (input->column == NULL)
            return SL_ENOMEM;
        input->valid = input->column->valid;
        return SL_OK;
    }
    if (field == SL_NO_FIELD || field >= batch->schema->count)
        return SL_OK; // An earlier version of an inferred schema: all null.
    const sl_field *fields = batch->schema->fields;
    if (fields[field].type != plan->schema->fields[field].type)
        return SL_EINVAL; // The plan is of another version; it must be made anew.
    input->column = &batch->columns[field];
    input->valid = input->column->valid;
    uint32_t parent = fields[field].parent;
    if (input->mask == NULL || batch->rows == 0)
        return SL_OK;
    memcpy(input->mask, input->valid, batch->rows);
    for (; parent != 0 && parent != SL_NO_FIELD; parent = fields[parent].parent)
        for (uint32_t row = 0; row < batch->rows; row++)
            input->mask[row] &= batch->columns[parent].valid[row];
    input->valid = input->mask;
    return SL_OK;
}

static sl_status read_inputs(sl_window *window, const sl_batch *batch) {
    const sl_window_plan *plan = window->plan;
    sl_status status = read_input(&window->time, plan, plan->event_time, batch);
    for (uint32_t k = 0; k < plan->key_count && status == SL_OK; k++)
        status = read_input(&window->keys[k], plan, plan->keys[k].field, batch);
    for (uint32_t m = 0; m < plan->measure_count && status == SL_OK; m++)
        status =
            read_input(&window->measures[m], plan, plan->aims[m].source.field, batch);
    return status;
}

static int64_t clamp_time(int64_t us) {
    return us < TIME_MIN ? TIME_MIN : us > TIME_MAX ? TIME_MAX : us;
}

static int64_t time_of_cell(sl_type type, int64_t cell) {
    if (type == SL_TYPE_DATE)
        return cell < TIME_MIN / SL_DAY_US   ? TIME_MIN
               : cell > TIME_MAX / SL_DAY_US ? TIME_MAX
                                             : cell * SL_DAY_US;
    return clamp_time(cell);
}

// Event time, or arrival where there is none.
static int64_t row_time(const sl_window *window, uint32_t row, int64_t arrival_us) {
    if (window->time.column != NULL && window->time.valid[row])
        return time_of_cell(window->plan->event_time_type,
                            window->time.column->values.i64[row]);
    return clamp_time(arrival_us);
}

// A row that lacks the event time that others have says nothing of how far events have come: its
// arrival would make all that is historical late.
static bool marks(const sl_window *window, uint32_t row) {
    return window->time.column == NULL || window->time.valid[row];
}

static int64_t raise_mark(int64_t mark, int64_t time_us, int64_t arrival_us) {
    int64_t safe = time_us < arrival_us ? time_us : arrival_us;
    return safe > mark ? safe : mark;
}

int64_t sl_watermark_after(const sl_batch *batch, uint32_t event_time_field,
                           int64_t watermark_us) {
    uint32_t f = event_time_field;
    bool has = f < batch->schema->count;
    sl_type type = has ? batch->schema->fields[f].type : SL_TYPE_TIMESTAMP;
    bool at_root = has && batch->schema->fields[f].parent == 0;
    for (uint32_t row = 0; row < batch->rows; row++) {
        if (batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        int64_t arrival = sl_batch_arrival(batch, row);
        int64_t time = clamp_time(arrival);
        if (has) {
            if (!(at_root ? batch->columns[f].valid[row] : sl_batch_present(batch, f, row)))
                continue; // As marks().
            time = time_of_cell(type, batch->columns[f].values.i64[row]);
        }
        watermark_us = raise_mark(watermark_us, time, arrival);
    }
    return watermark_us;
}

static int64_t floor_start(const sl_window_plan *plan, int64_t time_us) {
    return sl_time_floor(time_us + plan->offset_us, plan->width_us) - plan->offset_us;
}

// The watermark as rows before `until` have raised it: those folded by the call before.
static int64_t mark_before(const sl_window *window, const sl_batch *batch, uint32_t until,
                           int64_t mark) {
    for (uint32_t row = 0; row < until; row++)
        if (batch->verdict[row] == SL_VERDICT_KEEP && marks(window, row)) {
            int64_t arrival = sl_batch_arrival(batch, row);
            mark = raise_mark(mark, row_time(window, row, arrival), arrival);
        }
    return mark;
}

// Fill the lanes with kept rows from `row` on. @return the row after the last one looked
// at.
static uint32_t select_rows(sl_window *window, const sl_batch *batch, uint32_t row,
                            int64_t *mark) {
    lane_set *lanes = window->lanes;
    const sl_window_plan *plan = window->plan;
    int64_t start = 0, end = 0; // Consecutive rows are mostly of the same window.
    uint32_t n = 0;
    for (; row < batch->rows && n < LANES; row++) {
        if (batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        int64_t arrival = sl_batch_arrival(batch, row);
        int64_t time = row_time(window, row, arrival);
        if (time < start || time >= end) {
            start = floor_start(plan, time);
            end = start + plan->width_us;
        }
        lanes->row[n] = row;
        lanes->start_us[n] = start;
        lanes->late[n] = *mark != SL_NO_TIME && *mark > INT64_MIN + plan->lateness_us &&
                         time < *mark - plan->lateness_us;
        if (marks(window, row))
            *mark = raise_mark(*mark, time, arrival);
        n++;
    }
    lanes->count = n;
    return row;
}

// Finalizer of MurmurHash3: every input bit changes every output bit.
static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static uint64_t canonical_bits(double value) {
    uint64_t bits = UINT64_C(0x7ff8000000000000);
    value += 0.0;
    if (value == value)
        memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void hash_texts(const intake *input, const sl_batch *batch, const lane_set *lanes,
                       sl_window_cell *cells, uint64_t *hash) {
    for (uint32_t i = 0; i < lanes->count; i++) {
        uint32_t row = lanes->row[i];
        if (!input->valid[row]) {
            cells[i] = (sl_window_cell){.null = 1};
            hash[i] = mix(hash[i] + 1);
            continue;
        }
        sl_span span = input->column->values.span[row];
        cells[i].as.text = sl_batch_text(batch, span);
        cells[i].length = span.length;
        cells[i].null = 0;
        hash[i] = (hash[i] ^ XXH3_64bits(cells[i].as.text, span.length)) *
                  UINT64_C(0x9e3779b97f4a7c15);
    }
}

static uint64_t number_bits(const intake *input, sl_type type, uint32_t row) {
    if (type == SL_TYPE_DOUBLE)
        return canonical_bits(input->column->values.f64[row]);
    if (type == SL_TYPE_BOOL)
        return input->column->values.truth[row];
    return (uint64_t)input->column->values.i64[row];
}

static void hash_numbers(const intake *input, sl_type type, const lane_set *lanes,
                         sl_window_cell *cells, uint64_t *hash) {
    for (uint32_t i = 0; i < lanes->count; i++) {
        uint32_t row = lanes->row[i];
        bool there = input->column != NULL && input->valid[row];
        cells[i].as.bits = there ? number_bits(input, type, row) : 0;
        cells[i].length = 0;
        cells[i].null = !there;
        hash[i] = mix(hash[i] + cells[i].as.bits * 2 + !there);
    }
}

static void hash_keys(sl_window *window, const sl_batch *batch) {
    lane_set *lanes = window->lanes;
    for (uint32_t i = 0; i < lanes->count; i++)
        lanes->hash[i] = (uint64_t)lanes->start_us[i] * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t k = 0; k < window->plan->key_count; k++) {
        sl_type type = window->plan->keys[k].type;
        if (sl_is_text(type) && window->keys[k].column != NULL)
            hash_texts(&window->keys[k], batch, lanes, window->cells[k], lanes->hash);
        else
            hash_numbers(&window->keys[k], type, lanes, window->cells[k], lanes->hash);
    }
    for (uint32_t i = 0; i < lanes->count; i++)
        lanes->hash[i] = mix(lanes->hash[i]);
}

static void prefetch(const sl_window *window) {
    const sl_panes *panes = &window->panes;
    const lane_set *lanes = window->lanes;
    const sl_panes_slot *table = panes->table;
    uint32_t n = lanes->count, shift = panes->shift;
    if (panes->count == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(&table[lanes->hash[i] >> shift]);
    if ((size_t)panes->count * panes->stride < GROUPS_OUT_OF_CACHE_BYTES)
        return;
    for (uint32_t i = 0; i < n; i++) {
        sl_panes_slot slot = table[lanes->hash[i] >> shift];
        if (slot.number == 0)
            continue;
        const sl_group *group = sl_panes_group(panes, slot.number - 1);
        __builtin_prefetch(group);
        __builtin_prefetch((const uint8_t *)group + 64);
    }
}

static bool same_cells(const sl_window *window, sl_group *group, uint32_t lane) {
    for (uint32_t k = 0; k < window->plan->key_count; k++)
        if (!sl_cell_equal(&sl_group_cells(group)[k], &window->cells[k][lane],
                           sl_is_text(window->plan->keys[k].type)))
            return false;
    return true;
}

// The lane's group, or NULL: not there yet.
static inline sl_group *find_group(const sl_window *window, uint32_t lane,
                                   const sl_window_cell *only_text) {
    const sl_panes *panes = &window->panes;
    const sl_panes_slot *table = panes->table;
    uint64_t hash = window->lanes->hash[lane];
    int64_t start = window->lanes->start_us[lane];
    uint32_t mask = panes->table_slots - 1;
    for (uint32_t i = (uint32_t)(hash >> panes->shift); table[i].number != 0;
         i = (i + 1) & mask) {
        if (table[i].tag != (uint32_t)hash)
            continue;
        sl_group *group = sl_panes_group(panes, table[i].number - 1);
        if (group->hash != hash || group->start_us != start)
            continue;
        if (only_text != NULL
                ? sl_cell_equal(sl_group_cells(group), &only_text[lane], true)
                : same_cells(window, group, lane))
            return group;
    }
    return NULL;
}

// @return lanes that have a group; the first that got none ends the lot.
static uint32_t find_groups(sl_window *window) {
    lane_set *lanes = window->lanes;
    const sl_window_plan *plan = window->plan;
    bool one_text = plan->key_count == 1 && sl_is_text(plan->keys[0].type);
    const sl_window_cell *only_text = one_text ? window->cells[0] : NULL;
    uint32_t n = lanes->count;
    prefetch(window);
    for (uint32_t i = 0; i < n; i++) {
        sl_group *group =
            window->panes.count == 0 ? NULL : find_group(window, i, only_text);
        if (group == NULL)
            group = sl_panes_create(&window->panes, lanes->hash[i], lanes->start_us[i],
                                    (const sl_window_cell *const *)window->cells, i);
        if (group == NULL)
            return i;
        lanes->group[i] = group;
    }
    return n;
}

// Where a measure's partial lies, from the beginning of a group.
static size_t offset_of(const sl_window *window, uint32_t measure) {
    return window->panes.slots_at + window->plan->aims[measure].slot;
}

static inline void *slot_at(sl_group *group, size_t offset) {
    return (uint8_t *)group + offset;
}

// A whole number in a column of doubles hashes like the integer that it was before the
// column was widened.
static uint64_t hash_number(const intake *input, sl_type type, uint32_t row) {
    uint64_t bits = number_bits(input, type, row);
    double value = type == SL_TYPE_DOUBLE ? input->column->values.f64[row] : 0.5;
    if (value >= -0x1p63 && value < 0x1p63 && (double)(int64_t)value == value)
        bits = (uint64_t)(int64_t)value;
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(bits >> (8 * i));
    return XXH3_64bits(bytes, sizeof bytes);
}

static inline const uint8_t *text_of(const intake *input, const sl_batch *batch,
                                     sl_span span) {
    return input->expression == NULL ? sl_batch_text(batch, span)
                                     : sl_expression_text(input->expression, batch, span);
}

// Hash the lanes' values of a UNIQUE measure and prefetch their registers.
static void hash_values(const sl_window *window, const growth *growing,
                        const sl_batch *batch, uint32_t n) {
    const intake *input = &window->measures[growing->measure];
    const lane_set *lanes = window->lanes;
    sl_type type = window->plan->measures[growing->measure].argument;
    const uint8_t *valid = input->valid;
    uint64_t *hash = growing->hash;
    bool text = sl_is_text(type);
    for (uint32_t i = 0; i < n && input->column != NULL; i++) {
        uint32_t row = lanes->row[i];
        if (!valid[row])
            continue;
        if (text) {
            sl_span span = input->column->values.span[row];
            hash[i] = XXH3_64bits(text_of(input, batch, span), span.length);
        } else {
            hash[i] = hash_number(input, type, row);
        }
        const sl_unique *set = slot_at(lanes->group[i], growing->offset);
        if (sl_unique_is_dense(set))
            __builtin_prefetch(set->dense + (hash[i] >> (64 - SL_UNIQUE_PRECISION)), 1);
    }
}

static const double powers_of_ten[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6,
                                       1e7,  1e8,  1e9,  1e10, 1e11, 1e12, 1e13,
                                       1e14, 1e15, 1e16, 1e17, 1e18};

// The row's value as a double. false: none, or not finite.
static bool real_value(const intake *input, const sl_measure *measure, uint32_t row,
                       double *out) {
    if (input->column == NULL || !input->valid[row])
        return false;
    if (measure->argument == SL_TYPE_DOUBLE)
        *out = input->column->values.f64[row] + 0.0;
    else
        *out = (double)input->column->values.i64[row];
    if (measure->argument == SL_TYPE_DECIMAL && measure->scale <= 18)
        *out /= powers_of_ten[measure->scale];
    return *out - *out == 0;
}

// Find the bins of the lanes' values and prefetch their counts; side 2 marks a lane
// without one.
static void find_bins(const sl_window *window, const growth *growing, uint32_t n) {
    const intake *input = &window->measures[growing->measure];
    const sl_measure *measure = &window->plan->measures[growing->measure];
    for (uint32_t i = 0; i < n; i++) {
        double value;
        sl_quantiles_place *place = &growing->places[i];
        place->side = 2;
        if (!real_value(input, measure, window->lanes->row[i], &value))
            continue;
        *place = sl_quantiles_find(value);
        const sl_quantiles *sketch = slot_at(window->lanes->group[i], growing->offset);
        const sl_bins *bins = place->side > 0 ? &sketch->positive : &sketch->negative;
        if (place->side != 0 && sl_bins_holds(bins, place->bin))
            __builtin_prefetch(&bins->counts[place->bin - bins->low], 1);
    }
}

// Is the row's text beyond the extreme so far?
static bool is_beyond(const sl_window *window, const growth *growing,
                      const sl_batch *batch, uint32_t row, const sl_extreme *extreme,
                      sl_span *span) {
    const intake *input = &window->measures[growing->measure];
    if (input->column == NULL || !input->valid[row])
        return false;
    *span = input->column->values.span[row];
    if (!extreme->has)
        return true;
    int order = sl_text_compare(text_of(input, batch, *span), span->length,
                                extreme->as.text, extreme->length);
    return growing->kind == SL_MEASURE_MIN ? order < 0 : order > 0;
}

static bool has_value(const sl_window *window, const growth *growing, uint32_t row) {
    const intake *input = &window->measures[growing->measure];
    return input->column != NULL && input->valid[row];
}

// Memory for one lane of one growing measure. false: none, and nothing changed.
static bool prepare_lane(sl_window *window, const growth *growing, const sl_batch *batch,
                         uint32_t lane) {
    uint32_t row = window->lanes->row[lane];
    void *slot = slot_at(window->lanes->group[lane], growing->offset);
    if (growing->kind == SL_MEASURE_UNIQUE)
        return !has_value(window, growing, row) ||
               sl_unique_prepare(slot, growing->hash[lane], &window->memory);
    if (growing->kind == SL_MEASURE_QUANTILE)
        return growing->places[lane].side == 2 ||
               sl_quantiles_prepare(slot, growing->places[lane], &window->memory);
    sl_span span;
    return !is_beyond(window, growing, batch, row, slot, &span) ||
           sl_extreme_prepare(slot, span.length, &window->memory);
}

// After prepare_lane().
static void grow_lane(sl_window *window, const growth *growing, const sl_batch *batch,
                      uint32_t lane) {
    uint32_t row = window->lanes->row[lane];
    void *slot = slot_at(window->lanes->group[lane], growing->offset);
    if (growing->kind == SL_MEASURE_UNIQUE) {
        if (has_value(window, growing, row))
            sl_unique_add(slot, growing->hash[lane], &window->memory);
    } else if (growing->kind == SL_MEASURE_QUANTILE) {
        if (growing->places[lane].side != 2)
            sl_quantiles_add(slot, growing->places[lane], &window->memory);
    } else {
        sl_extreme *extreme = slot;
        sl_span span;
        if (!is_beyond(window, growing, batch, row, extreme, &span))
            return;
        if (span.length > 0)
            memcpy(extreme->as.text,
                   text_of(&window->measures[growing->measure], batch, span),
                   span.length);
        extreme->length = span.length;
        extreme->has = true;
    }
}

// The common case, one UNIQUE and nothing else that grows, in one tight loop.
static uint32_t grow_unique(sl_window *window, const growth *growing, uint32_t n) {
    const intake *input = &window->measures[growing->measure];
    const lane_set *lanes = window->lanes;
    const uint8_t *valid = input->valid;
    const uint64_t *hash = growing->hash;
    size_t offset = growing->offset;
    for (uint32_t i = 0; i < n && input->column != NULL; i++) {
        if (!valid[lanes->row[i]])
            continue;
        sl_unique *set = slot_at(lanes->group[i], offset);
        if (!sl_unique_prepare(set, hash[i], &window->memory))
            return i;
        sl_unique_add(set, hash[i], &window->memory);
    }
    return n;
}

// @return lanes folded into every growing measure; the rest into none.
static uint32_t grow(sl_window *window, const sl_batch *batch, uint32_t n) {
    const growth *growing = window->growing;
    uint32_t count = window->growing_count;
    for (uint32_t g = 0; g < count; g++) {
        if (growing[g].kind == SL_MEASURE_UNIQUE)
            hash_values(window, &growing[g], batch, n);
        else if (growing[g].kind == SL_MEASURE_QUANTILE)
            find_bins(window, &growing[g], n);
    }
    if (count == 1 && growing->kind == SL_MEASURE_UNIQUE)
        return grow_unique(window, growing, n);
    for (uint32_t i = 0; i < n && count > 0; i++) {
        for (uint32_t g = 0; g < count; g++)
            if (!prepare_lane(window, &growing[g], batch, i))
                return i;
        for (uint32_t g = 0; g < count; g++)
            grow_lane(window, &growing[g], batch, i);
    }
    return n;
}

static void fold_count(const sl_window *window, uint32_t m, uint32_t n) {
    const intake *input = &window->measures[m];
    size_t offset = offset_of(window, m);
    const uint8_t *truth = input->column->values.truth;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = window->lanes->row[i];
        uint64_t *count = slot_at(window->lanes->group[i], offset);
        *count += input->valid[row] && truth[row];
    }
}

static void fold_whole(const sl_window *window, uint32_t m, uint32_t n) {
    const intake *input = &window->measures[m];
    size_t offset = offset_of(window, m);
    const int64_t *values = input->column->values.i64;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = window->lanes->row[i];
        if (!input->valid[row])
            continue;
        sl_sum *sum = slot_at(window->lanes->group[i], offset);
        sl_i128 value = values[row];
        sum->as.whole = sum->as.whole + (sl_u128)value;
        sum->count++;
    }
}

static void fold_double(const sl_window *window, uint32_t m, uint32_t n) {
    const intake *input = &window->measures[m];
    size_t offset = offset_of(window, m);
    const double *values = input->column->values.f64;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = window->lanes->row[i];
        if (!input->valid[row] || !(values[row] - values[row] == 0))
            continue; // Null, infinite or not a number.
        sl_sum *sum = slot_at(window->lanes->group[i], offset);
        sl_sum_add_double(sum, values[row]);
        sum->count++;
    }
}

static void fold_extreme(const sl_window *window, uint32_t m, uint32_t n) {
    const intake *input = &window->measures[m];
    const sl_measure *measure = &window->plan->measures[m];
    size_t offset = offset_of(window, m);
    bool least = measure->kind == SL_MEASURE_MIN;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = window->lanes->row[i];
        sl_extreme *extreme = slot_at(window->lanes->group[i], offset);
        if (!input->valid[row])
            continue;
        if (measure->argument == SL_TYPE_DOUBLE) {
            double value = input->column->values.f64[row] + 0.0;
            if (!(value - value == 0))
                continue;
            if (!extreme->has ||
                (least ? value < extreme->as.f64 : value > extreme->as.f64))
                extreme->as.f64 = value;
        } else {
            int64_t value = input->column->values.i64[row];
            if (!extreme->has ||
                (least ? value < extreme->as.i64 : value > extreme->as.i64))
                extreme->as.i64 = value;
        }
        extreme->has = true;
    }
}

// Measures that need no memory; rows are counted.
static void fold(sl_window *window, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        window->lanes->group[i]->rows++;
    for (uint32_t m = 0; m < window->plan->measure_count; m++) {
        const sl_measure *measure = &window->plan->measures[m];
        if (window->measures[m].column == NULL)
            continue;
        bool is_sum = measure->kind == SL_MEASURE_SUM || measure->kind == SL_MEASURE_AVG;
        bool is_extreme =
            measure->kind == SL_MEASURE_MIN || measure->kind == SL_MEASURE_MAX;
        if (measure->kind == SL_MEASURE_COUNT)
            fold_count(window, m, n);
        else if (is_sum && measure->argument == SL_TYPE_DOUBLE)
            fold_double(window, m, n);
        else if (is_sum)
            fold_whole(window, m, n);
        else if (is_extreme && measure->type != SL_TYPE_STRING)
            fold_extreme(window, m, n);
    }
    window->rows += n;
}

sl_status sl_window_add(sl_window *window, const sl_batch *batch, uint32_t *row,
                        int64_t watermark_us, uint64_t *late) {
    sl_status status = read_inputs(window, batch);
    if (status != SL_OK)
        return status;
    lane_set *lanes = window->lanes;
    int64_t mark = mark_before(window, batch, *row, watermark_us);
    while (*row < batch->rows) {
        uint32_t next = select_rows(window, batch, *row, &mark);
        hash_keys(window, batch);
        uint32_t done = grow(window, batch, find_groups(window));
        fold(window, done);
        for (uint32_t i = 0; i < done; i++)
            *late += lanes->late[i];
        if (done == lanes->count) {
            *row = next;
            continue;
        }
        *row = lanes->row[done];
        if (window->rows > 0)
            return SL_EFULL;
        sl_panes_clear(&window->panes); // A cut wouldn't help: there is nothing to emit.
        return SL_ENOMEM;
    }
    return SL_OK;
}

static sl_status emit_group(sl_window *window, sl_group *group, sl_window_emit_fn *emit,
                            void *context) {
    sl_buffer_clear(&window->state);
    sl_slots_write(window->plan, group->rows, sl_group_slots(&window->panes, group),
                   &window->state);
    if (window->state.failed)
        return SL_ENOMEM;
    sl_window_row row = {group->start_us, group->key, group->key_length,
                         window->state.bytes, window->state.length};
    return emit(context, &row);
}

sl_status sl_window_peek(sl_window *window, sl_window_emit_fn *emit, void *context) {
    if (window->rows == 0)
        return SL_OK;
    sl_group **sorted;
    uint32_t count;
    sl_status status = sl_panes_sorted(&window->panes, &sorted, &count);
    for (uint32_t i = 0; i < count && status == SL_OK; i++)
        status = emit_group(window, sorted[i], emit, context);
    sl_free(sorted);
    return status;
}

sl_status sl_window_cut(sl_window *window, sl_window_emit_fn *emit, void *context) {
    sl_status status = sl_window_peek(window, emit, context);
    if (status == SL_OK)
        sl_window_forget(window);
    return status;
}

void sl_window_forget(sl_window *window) {
    sl_panes_clear(&window->panes);
    window->rows = 0;
}

uint64_t sl_window_rows(const sl_window *window) { return window->rows; }

size_t sl_window_memory(const sl_window *window) {
    return window->memory.bytes + window->state.capacity + window->panes.scratch.capacity;
}

static sl_status compile_input(sl_window *window, intake *input, uint32_t field,
                               const char *expression) {
    const sl_schema *schema = window->plan->schema;
    sl_error error = {0};
    if (expression != NULL)
        return sl_expression_compile(expression, schema, &input->expression, &error);
    uint32_t parent = field == SL_NO_FIELD ? 0 : schema->fields[field].parent;
    if (parent == 0 || parent == SL_NO_FIELD)
        return SL_OK;
    input->mask = sl_window_purse_get(&window->memory, SL_BATCH_ROWS_MAX);
    return input->mask == NULL ? SL_ENOMEM : SL_OK;
}

static bool is_growing(const sl_measure *measure) {
    bool is_extreme = measure->kind == SL_MEASURE_MIN || measure->kind == SL_MEASURE_MAX;
    return measure->kind == SL_MEASURE_UNIQUE || measure->kind == SL_MEASURE_QUANTILE ||
           (is_extreme && measure->type == SL_TYPE_STRING);
}

static sl_status prepare_growing(sl_window *window, uint32_t measure) {
    growth *growing = &window->growing[window->growing_count++];
    growing->measure = measure;
    growing->kind = window->plan->measures[measure].kind;
    growing->offset = offset_of(window, measure);
    if (growing->kind == SL_MEASURE_UNIQUE) {
        growing->hash =
            sl_window_purse_get(&window->memory, LANES * sizeof *growing->hash);
        return growing->hash == NULL ? SL_ENOMEM : SL_OK;
    }
    if (growing->kind == SL_MEASURE_QUANTILE) {
        growing->places =
            sl_window_purse_get(&window->memory, LANES * sizeof *growing->places);
        return growing->places == NULL ? SL_ENOMEM : SL_OK;
    }
    return SL_OK;
}

static sl_status prepare_columns(sl_window *window) {
    const sl_window_plan *plan = window->plan;
    sl_status status = compile_input(window, &window->time, plan->event_time, NULL);
    for (uint32_t k = 0; k < plan->key_count && status == SL_OK; k++) {
        status = compile_input(window, &window->keys[k], plan->keys[k].field, NULL);
        window->cells[k] =
            sl_window_purse_get(&window->memory, LANES * sizeof(sl_window_cell));
        status = window->cells[k] == NULL ? SL_ENOMEM : status;
    }
    for (uint32_t m = 0; m < plan->measure_count && status == SL_OK; m++) {
        const sl_window_source *source = &plan->aims[m].source;
        status = compile_input(window, &window->measures[m], source->field,
                               source->expression);
        if (status == SL_OK && is_growing(&plan->measures[m]))
            status = prepare_growing(window, m);
    }
    return status;
}

sl_status sl_window_create(const sl_window_plan *plan, sl_budget *budget,
                           sl_window **out) {
    *out = NULL;
    sl_window *window = sl_calloc(1, sizeof *window);
    if (window == NULL)
        return SL_ENOMEM;
    window->plan = plan;
    window->memory.budget = budget;
    sl_panes_init(&window->panes, plan, &window->memory);
    window->keys = sl_calloc(plan->key_count + 1u, sizeof *window->keys);
    window->cells = sl_calloc(plan->key_count + 1u, sizeof *window->cells);
    window->measures = sl_calloc(plan->measure_count + 1u, sizeof *window->measures);
    window->growing = sl_calloc(plan->measure_count + 1u, sizeof *window->growing);
    window->lanes = sl_window_purse_get(&window->memory, sizeof *window->lanes);
    bool complete = window->keys != NULL && window->cells != NULL &&
                    window->measures != NULL && window->growing != NULL &&
                    window->lanes != NULL;
    sl_status status = complete ? prepare_columns(window) : SL_ENOMEM;
    if (status != SL_OK) {
        sl_window_destroy(window);
        return status;
    }
    *out = window;
    return SL_OK;
}

static void input_fini(sl_window *window, intake *input) {
    if (input->expression != NULL)
        sl_expression_destroy(input->expression);
    sl_window_purse_give(&window->memory, input->mask, SL_BATCH_ROWS_MAX);
}

void sl_window_destroy(sl_window *window) {
    if (window == NULL)
        return;
    sl_window_purse *memory = &window->memory;
    sl_panes_fini(&window->panes);
    input_fini(window, &window->time);
    for (uint32_t k = 0; k < window->plan->key_count; k++) {
        if (window->keys != NULL)
            input_fini(window, &window->keys[k]);
        if (window->cells != NULL)
            sl_window_purse_give(memory, window->cells[k],
                                 LANES * sizeof(sl_window_cell));
    }
    for (uint32_t m = 0; m < window->plan->measure_count && window->measures != NULL; m++)
        input_fini(window, &window->measures[m]);
    for (uint32_t g = 0; g < window->growing_count; g++) {
        growth *growing = &window->growing[g];
        sl_window_purse_give(memory, growing->hash, LANES * sizeof *growing->hash);
        sl_window_purse_give(memory, growing->places, LANES * sizeof *growing->places);
    }
    sl_window_purse_give(memory, window->lanes, sizeof *window->lanes);
    sl_free(window->keys);
    sl_free(window->cells);
    sl_free(window->measures);
    sl_free(window->growing);
    sl_buffer_fini(&window->state);
    sl_free(window);
}
