/** @file window.h
 * Tumbling windows: one row per (window, group), as deltas that merge.
 *
 * Time     Event time in microseconds since 1970 UTC; windows are [start, end), aligned to 1970 in local time, which
 *          is UTC + `offset_us`. No clock is read. A row without event time uses its arrival time.
 * Memory   Panes and groups come from `budget`; a full budget is a status, not a crash.
 * Threads  One worker owns a window; nothing here locks or blocks. A plan is immutable and shared.
 * Exact    count, unique (merging registers), quantile (merging bins), min, max, sums of integers and decimals
 *          (128 bits inside; beyond int64 the number is null and the row is marked overflowed) do not depend on order or
 *          cuts. Sums of doubles are compensated (Neumaier) within a cut and may differ in the last bits across cuts.
 * Source   Akidau et al., "The Dataflow Model", VLDB 2015, sections 1.2, 1.3; Heule et al., "HyperLogLog in Practice",
 *          EDBT 2013; Masson et al., "DDSketch", VLDB 2019.
 */
#pragma once

#include "sluice/expression.h"

typedef enum sl_measure_kind {
    SL_MEASURE_COUNT,    /**< count() or count(condition) */
    SL_MEASURE_SUM,      /**< sum(field or expression) */
    SL_MEASURE_MIN,
    SL_MEASURE_MAX,
    SL_MEASURE_AVG,
    SL_MEASURE_UNIQUE,   /**< HyperLogLog, precision 12, sparse first */
    SL_MEASURE_QUANTILE, /**< quantile(x, q): DDSketch, 1 % relative error */
    SL_MEASURE_DERIVED   /**< an expression over other measures */
} sl_measure_kind;

/** As configured: `per_minute: { by: [...], measures: { name: text } }`. All text borrowed. */
typedef struct sl_measure_definition {
    const char *name, *text; /**< "users", "unique(user_id)" */
} sl_measure_definition;
typedef struct sl_window_definition {
    const char *name;
    int64_t width_us, lateness_us;
    int64_t offset_us;       /**< Local time minus UTC, by which windows are aligned; 0 for UTC. */
    const char *event_time;  /**< Path of a TIMESTAMP or DATE, or NULL: arrival. */
    const char *const *by;   /**< Field paths. */
    uint32_t by_count;
    const sl_measure_definition *measures;
    uint32_t measure_count;
} sl_window_definition;

/** A definition resolved against a schema: what each measure is and which types its numbers have. */
typedef struct sl_measure {
    char *name;
    sl_measure_kind kind;
    sl_type type;       /**< Of the number that people see: INT64, DOUBLE, DECIMAL, or the argument's for min/max. */
    uint8_t scale;      /**< Of a DECIMAL number; of a DECIMAL argument for avg and quantile. */
    sl_type argument;   /**< Type of what is aggregated; INT64 for count(). */
    double quantile;
    bool state;         /**< The number alone can't be merged: a `NAME__state` column holds the partial. */
    sl_expression *derived; /**< DERIVED: over the other measures' numbers. */
} sl_measure;
typedef struct sl_window_plan sl_window_plan;

/**
 * @param schema Referenced until destroy. On inferred streams a field that isn't there (yet) is all null.
 * @return SL_OK, SL_EINVAL, SL_ESYNTAX, SL_ETYPE, SL_ENOTFOUND with window, measure and place in `error`.
 */
SL_CHECKED sl_status sl_window_plan_create(const sl_window_definition *definition,
                                           const sl_schema *schema, sl_window_plan **out,
                                           sl_error *error);
void sl_window_plan_destroy(sl_window_plan *plan);
int64_t sl_window_plan_width(const sl_window_plan *plan);
int64_t sl_window_plan_lateness(const sl_window_plan *plan);
const sl_measure *sl_window_plan_measures(const sl_window_plan *plan, uint32_t *count);
/** Group columns: name (path with '.' as '_') and type. */
typedef struct sl_window_key {
    char *name;
    sl_type type;
    uint8_t scale;
    uint32_t field;
} sl_window_key;
const sl_window_key *sl_window_plan_keys(const sl_window_plan *plan, uint32_t *count);

/**
 * One (window, group) with partials, as bytes that merge. Keys are sl_value_encode() one after
 * another, so equal groups have equal bytes. `state` is our own form, see src/window/README.md.
 */
typedef struct sl_window_row {
    int64_t start_us;
    const uint8_t *key;
    size_t key_length;
    const uint8_t *state;
    size_t state_length;
} sl_window_row;

/** Merge b into a (same plan) and append the result to `out`; commutative and associative. */
SL_CHECKED sl_status sl_window_state_merge(const sl_window_plan *plan, const uint8_t *a, size_t a_length,
                                           const uint8_t *b, size_t b_length, sl_buffer *out);
/** Events that the state counts (the I7 count of rows folded in). 0 when the state is damaged. */
uint64_t sl_window_state_rows(const sl_window_plan *plan, const uint8_t *state, size_t length);
/**
 * The numbers, one per measure of the plan (derived ones included); texts borrow from `state`. Any thread.
 * A count or sum of nothing is 0, any other measure of nothing is null; a sum is null only when it overflowed.
 * @return SL_OK, SL_ECORRUPT, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_window_state_numbers(const sl_window_plan *plan, const uint8_t *state,
                                             size_t length, sl_value *numbers);
/** The partial of measure `index` alone, for its `__state` column, appended to `out`. */
SL_CHECKED sl_status sl_window_state_partial(const sl_window_plan *plan, const uint8_t *state,
                                             size_t length, uint32_t index, sl_buffer *out);
/**
 * Build a state from what a warehouse row holds: rows counted, numbers and, for measures with `state`, partials.
 * The inverse of the two functions above, so that a merge in C needs nothing else. Null partials have counted nothing;
 * INT64 is taken for TIMESTAMP, DATE and DOUBLE, too. @return SL_OK, SL_ETYPE, SL_ECORRUPT, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_window_state_build(const sl_window_plan *plan, uint64_t rows,
                                           const sl_value *numbers, const sl_value *partials,
                                           sl_buffer *out);

typedef struct sl_window sl_window; /**< The panes of one worker. */
typedef sl_status sl_window_emit_fn(void *context, const sl_window_row *row);

/** @param plan Borrowed until destroy. */
SL_CHECKED sl_status sl_window_create(const sl_window_plan *plan, sl_budget *budget, sl_window **out);
void sl_window_destroy(sl_window *window); /**< NULL is allowed. */
/**
 * Fold the kept rows of `batch` (borrowed, unchanged) from `*row` on.
 * @param watermark_us The partition's watermark before the batch's first row (SL_NO_TIME: none yet);
 *        it rises row by row with min(event time, arrival); rows without an event time leave it.
 * @param[out] late  Increased by the rows older than watermark − lateness at their position (they are folded all the same).
 * @return SL_OK and *row == batch->rows. SL_EFULL: budget reached, *row is the first row not folded: cut, then call again.
 *         SL_ENOMEM: the same, and nothing was added since the last cut, so that a cut would not help. SL_EINVAL: a field
 *         has another type than in the plan's schema: make a new plan.
 */
SL_CHECKED sl_status sl_window_add(sl_window *window, const sl_batch *batch, uint32_t *row,
                                   int64_t watermark_us, uint64_t *late);
/** Emit what was added since the last cut, oldest window first, then by key bytes; then forget it. A refusal of `emit` is returned and nothing is forgotten. */
SL_CHECKED sl_status sl_window_cut(sl_window *window, sl_window_emit_fn *emit, void *context);
/** Emit and keep: for live views. */
SL_CHECKED sl_status sl_window_peek(sl_window *window, sl_window_emit_fn *emit, void *context);
void sl_window_forget(sl_window *window); /**< Drop what was added. */
uint64_t sl_window_rows(const sl_window *window);   /**< Rows folded since the last cut. */
size_t sl_window_memory(const sl_window *window);
/** Highest min(event time, arrival) over the batch's kept rows that have an event time, and `watermark_us`;
 * SL_NO_TIME when none. Without an event_time_field every row counts, by its arrival. */
int64_t sl_watermark_after(const sl_batch *batch, uint32_t event_time_field, int64_t watermark_us);
