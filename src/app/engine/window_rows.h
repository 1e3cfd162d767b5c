/** @file window_rows.h
 * Rows of windows between workers, ledger and target: as deltas, merged, in JSON.
 */
#pragma once

#include "sluice/window.h"

/** As bytes: i64 start, u32 key length, key, u32 state length, state. */
void delta_put(sl_buffer *out, const sl_window_row *row);
/** @return its length; 0: there is none any more. */
size_t delta_get(const uint8_t *bytes, size_t length, sl_window_row *row);

/** By (start, key); for qsort(). */
int window_row_compare(const void *a, const void *b);

/** Rows to be merged: borrowed, but for the list itself. */
typedef struct row_list {
    sl_window_row *rows;
    size_t count, capacity;
} row_list;
bool row_list_add(row_list *list, const sl_window_row *row); /**< @return false: no memory; likewise: */
bool row_list_deltas(row_list *list, const sl_buffer *deltas);
/** Sort by (start, key) and merge equal ones, each result to `emit`. A row without a state adds nothing to others. */
sl_status row_list_merge(row_list *list, const sl_window_plan *plan, sl_window_emit_fn *emit, void *context);

/** Group columns and measures, as members behind others. */
sl_status window_row_members(const sl_window_plan *plan, const sl_window_row *row, sl_buffer *out);
