/* One load is one transaction: ledger row checked, rows merged, ledger row moved (I4).
 *
 * A window's row carries `_key` (its primary key: start and group, in the bytes that equal groups
 * share, since SQL's NULLs would make groups unequal), `_rows` (events folded in) and `_hash`, a hash
 * of everything people see in it, so that audit finds a row that somebody altered. */
#include "sluice/warehouse.h"

#include "sluice/message.h"
#include "sluice/rows.h"
#include "sluice/time.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct sl_warehouse {
    sl_sql *sql;
};

sl_status sl_warehouse_open(const char *path, const sl_sql_options *options, sl_warehouse **out,
                            sl_error *error) {
    *out = NULL;
    sl_warehouse *warehouse = sl_calloc(1, sizeof *warehouse);
    if (warehouse == NULL)
        return sl_error_set(error, SL_ENOMEM, "warehouse: out of memory");
    sl_status status = sl_sql_open(path, options, &warehouse->sql, error);
    if (status != SL_OK) {
        (void)sl_error_context(error, "warehouse");
        sl_free(warehouse);
        return status;
    }
    *out = warehouse;
    return SL_OK;
}

void sl_warehouse_close(sl_warehouse *warehouse) {
    if (warehouse == NULL)
        return;
    sl_sql_close(warehouse->sql);
    sl_free(warehouse);
}

static void quote(sl_buffer *out, const char *name) {
    sl_buffer_byte(out, '"');
    for (; *name != 0; name++) {
        if (*name == '"')
            sl_buffer_byte(out, '"');
        sl_buffer_byte(out, (uint8_t)*name);
    }
    sl_buffer_byte(out, '"');
}

static const char *sql_type(sl_type type) {
    switch (type) {
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
        return "INTEGER";
    case SL_TYPE_DOUBLE:
    case SL_TYPE_DECIMAL:
        return "REAL";
    case SL_TYPE_BYTES:
        return "BLOB";
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_GROUP:
        break;
    }
    return "TEXT";
}

/* Times as RFC 3339 text, which SQLite's date functions read; decimals as REAL beside an exact state. */
static void bind_value(sl_sql_statement *s, int at, const sl_value *v) {
    char text[40];
    if (v->null) {
        sl_sql_bind_null(s, at);
        return;
    }
    switch (v->type) {
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
        sl_sql_bind_int(s, at, v->as.i64);
        break;
    case SL_TYPE_DOUBLE:
        sl_sql_bind_double(s, at, v->as.f64);
        break;
    case SL_TYPE_DECIMAL:
        sl_sql_bind_double(s, at, (double)v->as.i64 / pow(10, v->scale));
        break;
    case SL_TYPE_DATE:
        (void)sl_date_format((int32_t)v->as.i64, text);
        sl_sql_bind_string(s, at, text);
        break;
    case SL_TYPE_TIMESTAMP:
        (void)sl_time_format(v->as.i64, text);
        sl_sql_bind_string(s, at, text);
        break;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
        sl_sql_bind_text(s, at, (const char *)v->as.text.bytes, v->as.text.length);
        break;
    case SL_TYPE_BYTES:
        sl_sql_bind_blob(s, at, v->as.text.bytes, v->as.text.length);
        break;
    case SL_TYPE_GROUP:
        sl_sql_bind_null(s, at);
        break;
    }
}

/* Hash of one stored cell, the same from a value that is bound as from a cell that is read. */
typedef struct cell_hash {
    uint64_t sum;
    unsigned at;
} cell_hash;

static void hash_bytes(cell_hash *h, char kind, const void *bytes, size_t length) {
    h->sum += sl_hash64(bytes, length, ((uint64_t)h->at++ << 8) + (unsigned char)kind + 1);
}

static void hash_value(cell_hash *h, const sl_value *v) {
    char text[40];
    if (v->null || v->type == SL_TYPE_GROUP) {
        hash_bytes(h, 'n', "", 0);
    } else if (v->type == SL_TYPE_BOOL || v->type == SL_TYPE_INT64) {
        hash_bytes(h, 'i', &v->as.i64, 8);
    } else if (v->type == SL_TYPE_DOUBLE || v->type == SL_TYPE_DECIMAL) {
        double d = v->type == SL_TYPE_DOUBLE ? v->as.f64 : (double)v->as.i64 / pow(10, v->scale);
        if (isnan(d)) /* SQLite stores NaN as NULL. */
            hash_bytes(h, 'n', "", 0);
        else
            hash_bytes(h, 'f', &d, 8);
    } else if (v->type == SL_TYPE_DATE || v->type == SL_TYPE_TIMESTAMP) {
        size_t n = v->type == SL_TYPE_DATE ? sl_date_format((int32_t)v->as.i64, text)
                                           : sl_time_format(v->as.i64, text);
        hash_bytes(h, 't', text, n);
    } else {
        hash_bytes(h, v->type == SL_TYPE_BYTES ? 'b' : 't', v->as.text.bytes, v->as.text.length);
    }
}

/* As hash_value() for a cell as SQLite has it. */
static void hash_cell(cell_hash *h, sl_sql_statement *s, int column) {
    size_t length;
    switch (sl_sql_type(s, column)) {
    case SL_SQL_NULL:
        hash_bytes(h, 'n', "", 0);
        break;
    case SL_SQL_INT: {
        int64_t i = sl_sql_int(s, column);
        hash_bytes(h, 'i', &i, 8);
        break;
    }
    case SL_SQL_DOUBLE: {
        double d = sl_sql_double(s, column);
        hash_bytes(h, 'f', &d, 8);
        break;
    }
    case SL_SQL_TEXT: {
        const char *text = sl_sql_text(s, column, &length);
        hash_bytes(h, 't', text, length);
        break;
    }
    case SL_SQL_BLOB: {
        const void *bytes = sl_sql_blob(s, column, &length);
        hash_bytes(h, 'b', bytes, length);
        break;
    }
    }
}

static sl_status finish_text(sl_buffer *text, sl_error *error) {
    (void)sl_buffer_cstr(text);
    return text->failed ? sl_error_set(error, SL_ENOMEM, "warehouse: out of memory") : SL_OK;
}

static sl_status ledger_table(sl_warehouse *w, const char *table, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY, name = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "sluice_ledger_%s", table);
    sl_buffer_text(&text, "CREATE TABLE IF NOT EXISTS ");
    quote(&text, sl_buffer_cstr(&name));
    text.failed = text.failed || name.failed;
    sl_buffer_text(&text, "(id INTEGER PRIMARY KEY, partition TEXT NOT NULL UNIQUE,"
                          " position TEXT NOT NULL, hash TEXT NOT NULL, rows INTEGER NOT NULL)");
    sl_status status = finish_text(&text, error);
    if (status == SL_OK)
        status = sl_sql_execute(w->sql, (const char *)text.bytes, error);
    sl_buffer_fini(&text);
    sl_buffer_fini(&name);
    return status;
}

/* @return SL_OK: load; SL_EEXIST: done already; SL_ECONFLICT. *id: the partition's row, 0: to be inserted. */
static sl_status ledger_check(sl_warehouse *w, const sl_warehouse_load *load, const char *hash,
                              int64_t *id, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "SELECT id, position, hash FROM \"sluice_ledger_%s\" WHERE partition = ?",
                     load->table);
    sl_sql_statement *s = NULL;
    sl_status status = finish_text(&text, error);
    if (status == SL_OK)
        status = sl_sql_prepare(w->sql, (const char *)text.bytes, &s, error);
    sl_buffer_fini(&text);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, load->partition);
    status = sl_sql_step(s, error);
    if (status == SL_ENOTFOUND) {
        *id = 0;
        return load->first ? SL_OK
                           : sl_error_set(error, SL_ECONFLICT,
                                          "%s: sluice_ledger_%s has no row for %s, but this isn't the"
                                          " table's first load; was the warehouse replaced?",
                                          load->table, load->table, load->partition);
    }
    if (status != SL_OK)
        return status;
    *id = sl_sql_int(s, 0);
    uint64_t position = strtoull(sl_sql_text(s, 1, NULL), NULL, 10);
    bool same = strcmp(sl_sql_text(s, 2, NULL), hash) == 0;
    sl_sql_reset(s);
    if (position == load->to && same)
        return SL_EEXIST;
    if (position == load->from)
        return SL_OK;
    return sl_error_set(error, SL_ECONFLICT,
                        "%s: sluice_ledger_%s stands at %" PRIu64 ", this load is %" PRIu64
                        " to %" PRIu64,
                        load->table, load->table, position, load->from, load->to);
}

/* @return the partition's id in *id. */
static sl_status ledger_move(sl_warehouse *w, const sl_warehouse_load *load, const char *hash,
                             uint64_t rows, int64_t *id, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text,
                     "INSERT INTO \"sluice_ledger_%s\"(partition, position, hash, rows)"
                     " VALUES(?1,?2,?3,?4) ON CONFLICT(partition) DO UPDATE SET position = ?2,"
                     " hash = ?3, rows = rows + ?4 RETURNING id",
                     load->table);
    sl_sql_statement *s = NULL;
    sl_status status = finish_text(&text, error);
    if (status == SL_OK)
        status = sl_sql_prepare(w->sql, (const char *)text.bytes, &s, error);
    sl_buffer_fini(&text);
    if (status != SL_OK)
        return status;
    char position[24];
    (void)snprintf(position, sizeof position, "%" PRIu64, load->to);
    sl_sql_bind_string(s, 1, load->partition);
    sl_sql_bind_string(s, 2, position);
    sl_sql_bind_string(s, 3, hash);
    sl_sql_bind_int(s, 4, (int64_t)rows);
    status = sl_sql_step(s, error);
    if (status != SL_OK)
        return status;
    *id = sl_sql_int(s, 0);
    sl_sql_reset(s);
    return SL_OK;
}

typedef struct columns {
    char **names;
    uint32_t count, capacity;
} columns;

static void columns_fini(columns *c) {
    for (uint32_t i = 0; i < c->count; i++)
        sl_free(c->names[i]);
    sl_free(c->names);
}

static sl_status columns_of(sl_warehouse *w, const char *table, columns *out, sl_error *error) {
    *out = (columns){0};
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(w->sql, "SELECT name FROM pragma_table_info(?)", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, table);
    while ((status = sl_sql_step(s, error)) == SL_OK) {
        if (out->count == out->capacity) {
            uint32_t capacity = out->capacity ? 2 * out->capacity : 16;
            char **names = sl_realloc(out->names, capacity * sizeof *names);
            if (names == NULL)
                goto nomem;
            out->names = names;
            out->capacity = capacity;
        }
        char *name = sl_strdup(sl_sql_text(s, 0, NULL));
        if (name == NULL)
            goto nomem;
        out->names[out->count++] = name;
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
nomem:
    sl_sql_reset(s);
    return sl_error_set(error, SL_ENOMEM, "warehouse: out of memory");
}

static bool has_column(const columns *c, const char *name) {
    for (uint32_t i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0)
            return true;
    return false;
}

static void column(sl_buffer *text, const char *name, const char *type) {
    sl_buffer_text(text, ", ");
    quote(text, name);
    sl_buffer_printf(text, " %s", type);
}

static sl_status run_text(sl_warehouse *w, sl_buffer *text, sl_error *error) {
    sl_status status = finish_text(text, error);
    if (status == SL_OK)
        status = sl_sql_execute(w->sql, (const char *)text->bytes, error);
    sl_buffer_fini(text);
    return status;
}

static sl_status window_table(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error) {
    uint32_t keys, measures;
    const sl_window_key *key = sl_window_plan_keys(load->plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(load->plan, &measures);
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "CREATE TABLE IF NOT EXISTS ");
    quote(&text, load->table);
    sl_buffer_text(&text, "(\"window_start\" TEXT NOT NULL");
    for (uint32_t i = 0; i < keys; i++)
        column(&text, key[i].name, sql_type(key[i].type));
    for (uint32_t i = 0; i < measures; i++) {
        column(&text, measure[i].name, sql_type(measure[i].type));
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
    return run_text(w, &text, error);
}

/* A column that came later (a measure or field that was added) is appended. */
static sl_status add_column(sl_warehouse *w, const char *table, const columns *have,
                            const char *name, const char *type, sl_error *error) {
    if (has_column(have, name))
        return SL_OK;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "ALTER TABLE ");
    quote(&text, table);
    sl_buffer_text(&text, " ADD COLUMN ");
    quote(&text, name);
    sl_buffer_printf(&text, " %s", type);
    return run_text(w, &text, error);
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
            quote(text, key[i].name);
    }
    for (uint32_t i = 0; i < measures; i++, count++) {
        sl_buffer_byte(text, ',');
        if (marks)
            sl_buffer_byte(text, '?');
        else
            quote(text, measure[i].name);
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
    sl_buffer key, state, merged, partial;
    sl_value *numbers, *partials;
} window_load;

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
        if (!n->null) {
            size_t length;
            int64_t us;
            int32_t days;
            switch (n->type) {
            case SL_TYPE_DOUBLE:
                n->as.f64 = sl_sql_double(l->select, at);
                break;
            case SL_TYPE_DECIMAL: /* Its state column is exact; the REAL is for people. */
                n->as.i64 = (int64_t)llround(sl_sql_double(l->select, at) * pow(10, n->scale));
                break;
            case SL_TYPE_TIMESTAMP: {
                const char *text = sl_sql_text(l->select, at, &length);
                n->null = !sl_time_parse(text, length, &us);
                n->as.i64 = n->null ? 0 : us;
                break;
            }
            case SL_TYPE_DATE: {
                const char *text = sl_sql_text(l->select, at, &length);
                n->null = !sl_date_parse(text, length, &days);
                n->as.i64 = n->null ? 0 : days;
                break;
            }
            case SL_TYPE_STRING:
            case SL_TYPE_JSON:
            case SL_TYPE_BYTES:
                n->as.text.bytes = sl_sql_blob(l->select, at, &length);
                n->as.text.length = length;
                break;
            case SL_TYPE_BOOL:
            case SL_TYPE_INT64:
            case SL_TYPE_GROUP:
                n->as.i64 = sl_sql_int(l->select, at);
                break;
            }
        }
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
    (void)sl_window_plan_keys(plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(plan, &measures);
    cell_hash hash = {0};
    int at = 1;
    sl_value v = {.type = SL_TYPE_TIMESTAMP, .as.i64 = start};
    bind_value(l->insert, at++, &v);
    hash_value(&hash, &v);
    for (uint32_t i = 0; i < keys; i++) {
        size_t n = sl_value_decode(key, key_length, &v);
        if (n == 0)
            return sl_error_set(error, SL_ECORRUPT, "%s: a group's key is damaged", l->load->table);
        key += n;
        key_length -= n;
        bind_value(l->insert, at++, &v);
        hash_value(&hash, &v);
    }
    sl_status status = sl_window_state_numbers(plan, state, state_length, l->numbers);
    for (uint32_t i = 0; i < measures && status == SL_OK; i++) {
        bind_value(l->insert, at++, &l->numbers[i]);
        hash_value(&hash, &l->numbers[i]);
        if (!measure[i].state)
            continue;
        sl_buffer_clear(&l->partial);
        status = sl_window_state_partial(plan, state, state_length, i, &l->partial);
        v = (sl_value){.type = SL_TYPE_BYTES,
                       .as.text = {l->partial.bytes, l->partial.length}};
        bind_value(l->insert, at++, &v);
        hash_value(&hash, &v);
    }
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: a window's state is damaged", l->load->table);
    sl_sql_bind_blob(l->insert, at++, l->key.bytes, l->key.length);
    sl_sql_bind_int(l->insert, at++, (int64_t)sl_window_state_rows(plan, state, state_length));
    sl_sql_bind_int(l->insert, at, (int64_t)hash.sum);
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
        status = columns_of(l->warehouse, table, &have, error);
    for (uint32_t i = 0; i < keys && status == SL_OK; i++)
        status = add_column(l->warehouse, table, &have, key[i].name, sql_type(key[i].type), error);
    for (uint32_t i = 0; i < measures && status == SL_OK; i++) {
        status = add_column(l->warehouse, table, &have, measure[i].name,
                            sql_type(measure[i].type), error);
        if (status == SL_OK && measure[i].state) {
            sl_buffer name = SL_BUFFER_EMPTY;
            sl_buffer_printf(&name, "%s__state", measure[i].name);
            status = finish_text(&name, error);
            if (status == SL_OK)
                status = add_column(l->warehouse, table, &have, (const char *)name.bytes, "BLOB", error);
            sl_buffer_fini(&name);
        }
    }
    columns_fini(&have);
    l->numbers = sl_calloc(measures + 1, sizeof *l->numbers);
    l->partials = sl_calloc(measures + 1, sizeof *l->partials);
    if (status == SL_OK && (l->numbers == NULL || l->partials == NULL))
        status = sl_error_set(error, SL_ENOMEM, "warehouse: out of memory");
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "SELECT ");
    (void)window_list(l->load->plan, false, &text);
    sl_buffer_text(&text, " FROM ");
    quote(&text, table);
    sl_buffer_text(&text, " WHERE \"_key\" = ?");
    if (status == SL_OK && (status = finish_text(&text, error)) == SL_OK)
        status = sl_sql_prepare(l->warehouse->sql, (const char *)text.bytes, &l->select, error);
    sl_buffer_clear(&text);
    sl_buffer_text(&text, "INSERT OR REPLACE INTO ");
    quote(&text, table);
    sl_buffer_byte(&text, '(');
    (void)window_list(l->load->plan, false, &text);
    sl_buffer_text(&text, ") VALUES(");
    (void)window_list(l->load->plan, true, &text);
    sl_buffer_byte(&text, ')');
    if (status == SL_OK && (status = finish_text(&text, error)) == SL_OK)
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

static sl_status load_window(sl_warehouse *w, const sl_warehouse_load *load, uint64_t *rows,
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
    sl_free(l.numbers);
    sl_free(l.partials);
    return status;
}

/* "a.b" is the column "a_b". @return NULL: the row file hasn't got it, so that no row has an id. */
static const char *id_column(const sl_rows_reader *reader, const char *path) {
    for (uint32_t i = 0; path != NULL && i < reader->count; i++) {
        const char *name = reader->columns[i].name;
        size_t k = 0;
        while (path[k] != 0 && (path[k] == name[k] || (path[k] == '.' && name[k] == '_')))
            k++;
        if (path[k] == 0 && name[k] == 0)
            return name;
    }
    return NULL;
}

static sl_status id_index(sl_warehouse *w, const sl_warehouse_load *load, const char *id, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY, name = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "sluice_id_%s", load->table);
    sl_buffer_text(&text, "CREATE UNIQUE INDEX IF NOT EXISTS ");
    quote(&text, sl_buffer_cstr(&name));
    sl_buffer_text(&text, " ON ");
    quote(&text, load->table);
    sl_buffer_byte(&text, '(');
    quote(&text, id);
    sl_buffer_byte(&text, ')');
    text.failed = text.failed || name.failed;
    sl_buffer_fini(&name);
    sl_status status = run_text(w, &text, error);
    return status == SL_OK ? SL_OK
                           : sl_error_context(error, "%s: rows of one id are there already, of before `id` was set",
                                              load->table);
}

/* The later event's row replaces the earlier one's. */
static void replace_on(sl_buffer *text, const sl_rows_reader *reader, const char *id) {
    sl_buffer_text(text, " ON CONFLICT(");
    quote(text, id);
    sl_buffer_text(text, ") DO UPDATE SET \"_partition\" = excluded.\"_partition\", \"_hash\" = excluded.\"_hash\"");
    for (uint32_t i = 0; i < reader->count; i++) {
        sl_buffer_text(text, ", ");
        quote(text, reader->columns[i].name);
        sl_buffer_text(text, " = excluded.");
        quote(text, reader->columns[i].name);
    }
}

static sl_status rows_table(sl_warehouse *w, const sl_warehouse_load *load,
                            const sl_rows_reader *reader, sl_sql_statement **insert,
                            sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "CREATE TABLE IF NOT EXISTS ");
    quote(&text, load->table);
    sl_buffer_text(&text, "(\"_position\" INTEGER NOT NULL, \"_partition\" INTEGER NOT NULL,"
                          " \"_hash\" INTEGER NOT NULL, PRIMARY KEY(\"_partition\", \"_position\"))");
    sl_status status = run_text(w, &text, error);
    columns have = {0};
    if (status == SL_OK)
        status = columns_of(w, load->table, &have, error);
    for (uint32_t i = 0; i < reader->count && status == SL_OK; i++)
        status = add_column(w, load->table, &have, reader->columns[i].name,
                            sql_type(reader->columns[i].type), error);
    columns_fini(&have);
    const char *id = id_column(reader, load->id);
    if (status == SL_OK && id != NULL)
        status = id_index(w, load, id, error);
    if (status != SL_OK)
        return status;
    text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "INSERT INTO ");
    quote(&text, load->table);
    sl_buffer_text(&text, "(\"_partition\",\"_hash\"");
    for (uint32_t i = 0; i < reader->count; i++) {
        sl_buffer_byte(&text, ',');
        quote(&text, reader->columns[i].name);
    }
    sl_buffer_text(&text, ") VALUES(?,?");
    for (uint32_t i = 0; i < reader->count; i++)
        sl_buffer_text(&text, ",?");
    sl_buffer_byte(&text, ')');
    if (id != NULL)
        replace_on(&text, reader, id);
    status = finish_text(&text, error);
    if (status == SL_OK)
        status = sl_sql_prepare(w->sql, (const char *)text.bytes, insert, error);
    sl_buffer_fini(&text);
    return status;
}

static sl_status load_file(sl_warehouse *w, const sl_warehouse_load *load, int64_t partition,
                           const uint8_t *bytes, size_t length, uint64_t *rows, sl_error *error) {
    sl_rows_reader reader;
    sl_status status = sl_rows_open(bytes, length, &reader);
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: the spooled rows are damaged", load->table);
    sl_sql_statement *insert = NULL;
    status = rows_table(w, load, &reader, &insert, error);
    while (status == SL_OK) {
        status = sl_rows_next(&reader);
        if (status != SL_OK)
            break;
        cell_hash hash = {0};
        for (uint32_t i = 0; i < reader.count; i++) {
            bind_value(insert, (int)i + 3, &reader.values[i]);
            hash_value(&hash, &reader.values[i]);
        }
        sl_sql_bind_int(insert, 1, partition);
        sl_sql_bind_int(insert, 2, (int64_t)hash.sum);
        status = sl_sql_run(insert, error);
        *rows += 1;
    }
    if (status == SL_ECORRUPT)
        (void)sl_error_set(error, status, "%s: the spooled rows are damaged", load->table);
    sl_rows_fini(&reader);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status load_rows(sl_warehouse *w, const sl_warehouse_load *load, int64_t partition,
                           uint64_t *rows, sl_error *error) {
    const uint8_t *bytes;
    size_t length;
    sl_status status = SL_OK;
    while (status == SL_OK) {
        status = load->next(load->context, &bytes, &length, error);
        if (status == SL_OK)
            status = load_file(w, load, partition, bytes, length, rows, error);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

sl_status sl_warehouse_apply(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error) {
    const char *hash = load->hash;
    sl_status status = ledger_table(w, load->table, error);
    if (status != SL_OK)
        return status;
    status = sl_sql_execute(w->sql, "BEGIN IMMEDIATE", error);
    if (status != SL_OK)
        return status;
    int64_t id = 0;
    uint64_t rows = 0;
    status = ledger_check(w, load, hash, &id, error);
    bool done = status == SL_EEXIST;
    if (status == SL_OK && id == 0)
        status = ledger_move(w, load, hash, 0, &id, error);
    if (status == SL_OK)
        status = load->plan != NULL ? load_window(w, load, &rows, error)
                                    : load_rows(w, load, id, &rows, error);
    if (status == SL_OK)
        status = ledger_move(w, load, hash, rows, &id, error);
    if (status == SL_OK)
        status = sl_sql_execute(w->sql, "COMMIT", error);
    if (status != SL_OK && sl_sql_execute(w->sql, "ROLLBACK", NULL) != SL_OK) {
        /* Nothing to roll back: the failed COMMIT did it. */
    }
    return done ? SL_OK : status;
}

static sl_status audit_rows(sl_warehouse *w, const char *table, bool window, int64_t partition,
                            uint64_t from, uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    columns have;
    sl_status status = columns_of(w, table, &have, error);
    if (status != SL_OK || have.count == 0)
        return status;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, window ? "SELECT \"_rows\",\"_hash\",\"window_start\""
                                 : "SELECT 1,\"_hash\",\"_position\"");
    uint32_t cells = 0;
    /* In the order of hash_value(): rows' own columns come after _position, as the row file has it. */
    for (uint32_t i = 0; i < have.count; i++)
        if (strcmp(have.names[i], "_key") != 0 && strcmp(have.names[i], "_rows") != 0 &&
            strcmp(have.names[i], "_hash") != 0 && strcmp(have.names[i], "_partition") != 0) {
            sl_buffer_byte(&text, ',');
            quote(&text, have.names[i]);
            cells++;
        }
    sl_buffer_text(&text, " FROM ");
    quote(&text, table);
    if (!window)
        sl_buffer_text(&text,
                       " WHERE \"_partition\" = ? AND \"_position\" >= ? AND \"_position\" < ?");
    sl_sql_statement *s = NULL;
    status = finish_text(&text, error);
    if (status == SL_OK)
        status = sl_sql_prepare(w->sql, (const char *)text.bytes, &s, error);
    sl_buffer_fini(&text);
    columns_fini(&have);
    if (status != SL_OK)
        return status;
    if (!window) {
        sl_sql_bind_int(s, 1, partition);
        sl_sql_bind_int(s, 2, (int64_t)from);
        sl_sql_bind_int(s, 3, (int64_t)to);
    }
    while ((status = sl_sql_step(s, error)) == SL_OK) {
        cell_hash hash = {0};
        bool shorter = false; /* Columns that came after the row was written are null and unhashed. */
        uint64_t want = (uint64_t)sl_sql_int(s, 1);
        for (uint32_t i = 0; i < cells; i++) {
            shorter = shorter || hash.sum == want;
            hash_cell(&hash, s, 3 + (int)i);
        }
        out->rows += (uint64_t)sl_sql_int(s, 0);
        out->row_hash += hash.sum;
        if (hash.sum != want && !shorter && out->altered++ == 0)
            (void)snprintf(out->first_altered, sizeof out->first_altered, "%s=%s",
                           window ? "window_start" : "_position", sl_sql_text(s, 2, NULL));
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

sl_status sl_warehouse_audit(sl_warehouse *w, const char *table, const char *partition, bool window,
                             uint64_t from, uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    *out = (sl_warehouse_fact){0};
    sl_buffer text = SL_BUFFER_EMPTY;
    columns have = {0};
    sl_buffer_printf(&text, "sluice_ledger_%s", table);
    sl_status status = finish_text(&text, error);
    if (status == SL_OK)
        status = columns_of(w, (const char *)text.bytes, &have, error);
    bool there = have.count != 0;
    columns_fini(&have);
    sl_buffer_clear(&text);
    sl_buffer_printf(&text, "SELECT id, position, rows FROM \"sluice_ledger_%s\" WHERE partition = ?",
                     table);
    int64_t id = 0;
    if (status == SL_OK && there && (status = finish_text(&text, error)) == SL_OK) {
        sl_sql_statement *s;
        status = sl_sql_prepare(w->sql, (const char *)text.bytes, &s, error);
        if (status == SL_OK) {
            sl_sql_bind_string(s, 1, partition);
            status = sl_sql_step(s, error);
            if (status == SL_OK) {
                id = sl_sql_int(s, 0);
                out->found = true;
                out->position = strtoull(sl_sql_text(s, 1, NULL), NULL, 10);
                out->loaded = (uint64_t)sl_sql_int(s, 2);
                sl_sql_reset(s);
            } else if (status == SL_ENOTFOUND) {
                status = SL_OK;
            }
        }
    }
    sl_buffer_fini(&text);
    if (status == SL_OK && out->found)
        status = audit_rows(w, table, window, id, from, to, out, error);
    return status;
}
