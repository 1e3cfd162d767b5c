/* Tables of windows: stored rows are merged with deltas.
 *
 * A row carries `_key` (its primary key: start and group, in the bytes that equal groups share, since
 * SQL's NULLs would make groups unequal), `_rows` (events folded in) and `_hash`, a hash of everything
 * people see in it, so that audit finds a row that somebody altered. */
#include "private.h"

#include "sluice/time.h"

#include <math.h>

static void column(sl_buffer *text, const char *name, const char *type) {
    sl_buffer_text(text, ", ");
    sl_sqlite_quote(text, name);
    sl_buffer_printf(text, " %s", type);
}

static sl_status window_table(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error) {
    uint32_t keys, measures;
    const sl_window_key *key = sl_window_plan_keys(load->plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(load->plan, &measures);
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "CREATE TABLE IF NOT EXISTS ");
    sl_sqlite_quote(&text, load->table);
    sl_buffer_text(&text, "(\"window_start\" TEXT NOT NULL");
    for (uint32_t i = 0; i < keys; i++)
        column(&text, key[i].name, sl_sqlite_type(key[i].type));
    for (uint32_t i = 0; i < measures; i++) {
        column(&text, measure[i].name, sl_sqlite_type(measure[i].type));
        if (measure[i].state) {
            sl_buffer state = SL_BUFFER_EMPTY;
            sl_buffer_printf(&state, "%s__state", measure[i].name);
            column(&text, sl_buffer_cstr(&state), "BLOB");
            text.failed = text.failed || state.failed;
            sl_buffer_fini(&state);
        }
    }
    sl_buffer_text(&text, ", \"_key\" BLOB PRIMARY KEY, \"_rows\" INTEGER NOT NULL,"
                          " \"_hash\" INTEGER NOT NULL) WITHOUT ROWID");
    return sl_sqlite_run(w, &text, error);
}

/* "window_start, keys…, (measure, state)…, _rows, _hash" or "?" for each. */
static uint32_t window_list(const sl_window_plan *plan, bool marks, sl_buffer *text) {
    uint32_t keys, measures, count = 0;
    const sl_window_key *key = sl_window_plan_keys(plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(plan, &measures);
    sl_buffer_text(text, marks ? "?" : "\"window_start\"");
    count++;
    for (uint32_t i = 0; i < keys; i++, count++) {
        sl_buffer_byte(text, ',');
        if (marks)
            sl_buffer_byte(text, '?');
        else
            sl_sqlite_quote(text, key[i].name);
    }
    for (uint32_t i = 0; i < measures; i++, count++) {
        sl_buffer_byte(text, ',');
        if (marks)
            sl_buffer_byte(text, '?');
        else
            sl_sqlite_quote(text, measure[i].name);
        if (measure[i].state) {
            count++;
            if (marks)
                sl_buffer_text(text, ",?");
            else
                sl_buffer_printf(text, ",\"%s__state\"", measure[i].name);
        }
    }
    sl_buffer_text(text, marks ? ",?,?,?" : ",\"_key\",\"_rows\",\"_hash\"");
    return count + 3;
}

typedef struct window_load {
    sl_warehouse *warehouse;
    const sl_warehouse_load *load;
    sl_sql_statement *select, *insert;
    sl_buffer key, state, merged, partial, column;
    sl_value *numbers, *partials;
} window_load;

/* A measure as it stands; *n has its type, and is null where the cell can't be read. */
static void stored_number(sl_sql_statement *s, int at, sl_value *n) {
    size_t length;
    int64_t us;
    int32_t days;
    switch (n->type) {
    case SL_TYPE_DOUBLE:
        n->as.f64 = sl_sql_double(s, at);
        break;
    case SL_TYPE_DECIMAL: /* Its state column is exact; the REAL is for people. */
        n->as.i64 = (int64_t)llround(sl_sql_double(s, at) * pow(10, n->scale));
        break;
    case SL_TYPE_TIMESTAMP: {
        const char *text = sl_sql_text(s, at, &length);
        n->null = !sl_time_parse(text, length, &us);
        n->as.i64 = n->null ? 0 : us;
        break;
    }
    case SL_TYPE_DATE: {
        const char *text = sl_sql_text(s, at, &length);
        n->null = !sl_date_parse(text, length, &days);
        n->as.i64 = n->null ? 0 : days;
        break;
    }
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        n->as.text.bytes = sl_sql_blob(s, at, &length);
        n->as.text.length = length;
        break;
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
    case SL_TYPE_GROUP:
        n->as.i64 = sl_sql_int(s, at);
        break;
    }
}

/* Rebuild the stored row's state from its numbers and states. @return SL_ENOTFOUND: no such row. */
static sl_status stored_state(window_load *l, sl_error *error) {
    uint32_t measures;
    const sl_measure *measure = sl_window_plan_measures(l->load->plan, &measures);
    uint32_t keys;
    (void)sl_window_plan_keys(l->load->plan, &keys);
    sl_sql_bind_blob(l->select, 1, l->key.bytes, l->key.length);
    sl_status status = sl_sql_step(l->select, error);
    if (status != SL_OK)
        return status;
    int at = 1 + (int)keys;
    for (uint32_t i = 0; i < measures; i++) {
        sl_value *n = &l->numbers[i], *p = &l->partials[i];
        *n = (sl_value){.type = measure[i].type, .scale = measure[i].scale,
                        .null = sl_sql_is_null(l->select, at)};
        *p = (sl_value){.type = SL_TYPE_BYTES, .null = true};
        if (!n->null)
            stored_number(l->select, at, n);
        at++;
        if (measure[i].state) {
            size_t length;
            p->null = sl_sql_is_null(l->select, at);
            p->as.text.bytes = sl_sql_blob(l->select, at, &length);
            p->as.text.length = length;
            at++;
        }
    }
    uint64_t rows = (uint64_t)sl_sql_int(l->select, at + 1);
    status = sl_window_state_build(l->load->plan, rows, l->numbers, l->partials, &l->state);
    sl_sql_reset(l->select);
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: a stored row can't be read back",
                            l->load->table);
    return SL_OK;
}

static sl_status write_row(window_load *l, int64_t start, const uint8_t *key, size_t key_length,
                           const uint8_t *state, size_t state_length, sl_error *error) {
    const sl_window_plan *plan = l->load->plan;
    uint32_t keys, measures;
    const sl_window_key *group = sl_window_plan_keys(plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(plan, &measures);
    cell_hash hash = 0;
    int at = 1;
    sl_value v = {.type = SL_TYPE_TIMESTAMP, .as.i64 = start};
    sl_sqlite_bind(l->insert, at++, &v);
    sl_sqlite_hash_value(&hash, "window_start", &v);
    for (uint32_t i = 0; i < keys; i++) {
        size_t n = sl_value_decode(key, key_length, &v);
        if (n == 0)
            return sl_error_set(error, SL_ECORRUPT, "%s: a group's key is damaged", l->load->table);
        key += n;
        key_length -= n;
        sl_sqlite_bind(l->insert, at++, &v);
        sl_sqlite_hash_value(&hash, group[i].name, &v);
    }
    sl_status status = sl_window_state_numbers(plan, state, state_length, l->numbers);
    for (uint32_t i = 0; i < measures && status == SL_OK; i++) {
        sl_sqlite_bind(l->insert, at++, &l->numbers[i]);
        sl_sqlite_hash_value(&hash, measure[i].name, &l->numbers[i]);
        if (!measure[i].state)
            continue;
        sl_buffer_clear(&l->partial);
        status = sl_window_state_partial(plan, state, state_length, i, &l->partial);
        v = (sl_value){.type = SL_TYPE_BYTES,
                       .as.text = {l->partial.bytes, l->partial.length}};
        sl_sqlite_bind(l->insert, at++, &v);
        sl_buffer_clear(&l->column);
        sl_buffer_printf(&l->column, "%s__state", measure[i].name);
        sl_sqlite_hash_value(&hash, sl_buffer_cstr(&l->column), &v);
        if (l->column.failed)
            return sl_error_set(error, SL_ENOMEM, "warehouse: out of memory");
    }
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: a window's state is damaged", l->load->table);
    sl_sql_bind_blob(l->insert, at++, l->key.bytes, l->key.length);
    sl_sql_bind_int(l->insert, at++, (int64_t)sl_window_state_rows(plan, state, state_length));
    sl_sql_bind_int(l->insert, at, (int64_t)hash);
    return sl_sql_run(l->insert, error);
}

static sl_status merge_row(window_load *l, int64_t start, const sl_value *key,
                           const sl_value *delta, uint64_t *rows, sl_error *error) {
    sl_buffer_clear(&l->key);
    for (int shift = 56; shift >= 0; shift -= 8) /* Big-endian and unsigned: sorts by time. */
        sl_buffer_byte(&l->key, (uint8_t)(((uint64_t)start ^ UINT64_C(1) << 63) >> shift));
    sl_buffer_append(&l->key, key->as.text.bytes, key->as.text.length);
    sl_buffer_clear(&l->state);
    const uint8_t *state = delta->as.text.bytes;
    size_t length = delta->as.text.length;
    *rows += sl_window_state_rows(l->load->plan, state, length);
    sl_status status = stored_state(l, error);
    if (status == SL_OK) {
        sl_buffer_clear(&l->merged);
        status = sl_window_state_merge(l->load->plan, l->state.bytes, l->state.length, state,
                                       length, &l->merged);
        if (status != SL_OK)
            return sl_error_set(error, status, "%s: merge failed", l->load->table);
        state = l->merged.bytes;
        length = l->merged.length;
    } else if (status != SL_ENOTFOUND) {
        return status;
    }
    return write_row(l, start, key->as.text.bytes, key->as.text.length, state, length, error);
}

static sl_status prepare_window(window_load *l, sl_error *error) {
    const char *table = l->load->table;
    uint32_t measures, keys;
    const sl_measure *measure = sl_window_plan_measures(l->load->plan, &measures);
    const sl_window_key *key = sl_window_plan_keys(l->load->plan, &keys);
    sl_status status = window_table(l->warehouse, l->load, error);
    columns have = {0};
    if (status == SL_OK)
        status = sl_sqlite_columns(l->warehouse, table, &have, error);
    for (uint32_t i = 0; i < keys && status == SL_OK; i++)
        status = sl_sqlite_add_column(l->warehouse, table, &have, key[i].name, sl_sqlite_type(key[i].type), error);
    for (uint32_t i = 0; i < measures && status == SL_OK; i++) {
        status = sl_sqlite_add_column(l->warehouse, table, &have, measure[i].name,
                            sl_sqlite_type(measure[i].type), error);
        if (status == SL_OK && measure[i].state) {
            sl_buffer name = SL_BUFFER_EMPTY;
            sl_buffer_printf(&name, "%s__state", measure[i].name);
            status = sl_sqlite_finish(&name, error);
            if (status == SL_OK)
                status = sl_sqlite_add_column(l->warehouse, table, &have, (const char *)name.bytes, "BLOB", error);
            sl_buffer_fini(&name);
        }
    }
    sl_sqlite_columns_fini(&have);
    l->numbers = sl_calloc(measures + 1, sizeof *l->numbers);
    l->partials = sl_calloc(measures + 1, sizeof *l->partials);
    if (status == SL_OK && (l->numbers == NULL || l->partials == NULL))
        status = sl_error_set(error, SL_ENOMEM, "warehouse: out of memory");
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "SELECT ");
    (void)window_list(l->load->plan, false, &text);
    sl_buffer_text(&text, " FROM ");
    sl_sqlite_quote(&text, table);
    sl_buffer_text(&text, " WHERE \"_key\" = ?");
    if (status == SL_OK && (status = sl_sqlite_finish(&text, error)) == SL_OK)
        status = sl_sql_prepare(l->warehouse->sql, (const char *)text.bytes, &l->select, error);
    sl_buffer_clear(&text);
    sl_buffer_text(&text, "INSERT OR REPLACE INTO ");
    sl_sqlite_quote(&text, table);
    sl_buffer_byte(&text, '(');
    (void)window_list(l->load->plan, false, &text);
    sl_buffer_text(&text, ") VALUES(");
    (void)window_list(l->load->plan, true, &text);
    sl_buffer_byte(&text, ')');
    if (status == SL_OK && (status = sl_sqlite_finish(&text, error)) == SL_OK)
        status = sl_sql_prepare(l->warehouse->sql, (const char *)text.bytes, &l->insert, error);
    sl_buffer_fini(&text);
    return status;
}

static sl_status load_deltas(window_load *l, const uint8_t *bytes, size_t length, uint64_t *rows,
                             sl_error *error) {
    sl_rows_reader reader;
    sl_status status = sl_rows_open(bytes, length, &reader);
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: the spooled rows are damaged", l->load->table);
    while ((status = sl_rows_next(&reader)) == SL_OK) {
        status = reader.count == 3 ? merge_row(l, reader.values[0].as.i64, &reader.values[1],
                                               &reader.values[2], rows, error)
                                   : SL_ECORRUPT;
        if (status != SL_OK)
            break;
    }
    sl_rows_fini(&reader);
    if (status == SL_ECORRUPT)
        (void)sl_error_set(error, status, "%s: the spooled rows are damaged", l->load->table);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

sl_status sl_sqlite_load_window(sl_warehouse *w, const sl_warehouse_load *load, uint64_t *rows,
                             sl_error *error) {
    window_load l = {.warehouse = w, .load = load};
    sl_status status = prepare_window(&l, error);
    const uint8_t *bytes;
    size_t length;
    while (status == SL_OK) {
        status = load->next(load->context, &bytes, &length, error);
        if (status == SL_OK)
            status = load_deltas(&l, bytes, length, rows, error);
    }
    if (status == SL_ENOTFOUND)
        status = SL_OK;
    sl_buffer_fini(&l.key);
    sl_buffer_fini(&l.state);
    sl_buffer_fini(&l.merged);
    sl_buffer_fini(&l.partial);
    sl_buffer_fini(&l.column);
    sl_free(l.numbers);
    sl_free(l.partials);
    return status;
}
