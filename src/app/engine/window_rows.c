/* Rows of windows between workers, ledger and target. */
#include "window_rows.h"

#include "sluice/value.h"

#include <stdlib.h>

void delta_put(sl_buffer *out, const sl_window_row *row) {
    sl_buffer_u64(out, (uint64_t)row->start_us);
    sl_buffer_u32(out, (uint32_t)row->key_length);
    sl_buffer_append(out, row->key, row->key_length);
    sl_buffer_u32(out, (uint32_t)row->state_length);
    sl_buffer_append(out, row->state, row->state_length);
}

size_t delta_get(const uint8_t *bytes, size_t length, sl_window_row *row) {
    if (length < 16)
        return 0;
    uint32_t key, state;
    memcpy(&row->start_us, bytes, 8);
    memcpy(&key, bytes + 8, 4);
    memcpy(&state, bytes + 12 + key, 4);
    row->key = bytes + 12;
    row->key_length = key;
    row->state = bytes + 16 + key;
    row->state_length = state;
    return (size_t)16 + key + state;
}

int window_row_compare(const void *a, const void *b) {
    const sl_window_row *x = a, *y = b;
    if (x->start_us != y->start_us)
        return x->start_us < y->start_us ? -1 : 1;
    size_t n = x->key_length < y->key_length ? x->key_length : y->key_length;
    int order = memcmp(x->key, y->key, n);
    return order != 0 ? order : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

bool row_list_add(row_list *list, const sl_window_row *row) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        sl_window_row *rows = sl_realloc(list->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return false;
        list->rows = rows;
        list->capacity = capacity;
    }
    list->rows[list->count++] = *row;
    return true;
}

bool row_list_deltas(row_list *list, const sl_buffer *deltas) {
    sl_window_row row;
    if (deltas->failed) /* The last one may be there in part. */
        return false;
    for (size_t at = 0, n; (n = delta_get(deltas->bytes + at, deltas->length - at, &row)) != 0; at += n)
        if (!row_list_add(list, &row))
            return false;
    return true;
}

sl_status row_list_merge(row_list *list, const sl_window_plan *plan, sl_window_emit_fn *emit,
                         void *context) {
    sl_buffer merged[2] = {SL_BUFFER_EMPTY, SL_BUFFER_EMPTY};
    sl_status status = SL_OK;
    if (list->count != 0)
        qsort(list->rows, list->count, sizeof *list->rows, window_row_compare);
    for (size_t i = 0; i < list->count && status == SL_OK;) {
        sl_window_row row = list->rows[i++];
        for (int turn = 0; i < list->count && status == SL_OK && window_row_compare(&row, &list->rows[i]) == 0;
             i++, turn = !turn) {
            if (row.state_length == 0 || list->rows[i].state_length == 0) { /* Only asks for the window: see finals.c. */
                row = row.state_length == 0 ? list->rows[i] : row;
                continue;
            }
            sl_buffer *out = &merged[turn];
            sl_buffer_clear(out);
            status = sl_window_state_merge(plan, row.state, row.state_length, list->rows[i].state,
                                           list->rows[i].state_length, out);
            row.state = out->bytes;
            row.state_length = out->length;
        }
        if (status == SL_OK)
            status = emit(context, &row);
    }
    sl_buffer_fini(&merged[0]);
    sl_buffer_fini(&merged[1]);
    return status;
}

sl_status window_row_members(const sl_window_plan *plan, const sl_window_row *row, sl_buffer *out) {
    uint32_t keys, measures;
    const sl_window_key *key = sl_window_plan_keys(plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(plan, &measures);
    sl_value *numbers = sl_calloc(measures + 1, sizeof *numbers);
    if (numbers == NULL)
        return SL_ENOMEM;
    size_t at = 0;
    for (uint32_t i = 0; i < keys; i++) {
        sl_value value = {.null = true};
        at += sl_value_decode(row->key + at, row->key_length - at, &value);
        sl_buffer_byte(out, ',');
        sl_buffer_json_string(out, key[i].name, strlen(key[i].name));
        sl_buffer_byte(out, ':');
        sl_value_json(&value, out);
    }
    sl_status status = sl_window_state_numbers(plan, row->state, row->state_length, numbers);
    for (uint32_t i = 0; i < measures && status == SL_OK; i++) {
        sl_buffer_byte(out, ',');
        sl_buffer_json_string(out, measure[i].name, strlen(measure[i].name));
        sl_buffer_byte(out, ':');
        sl_value_json(&numbers[i], out);
    }
    sl_free(numbers);
    return out->failed ? SL_ENOMEM : status;
}
