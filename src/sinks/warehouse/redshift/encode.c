/* An entry's rows to staged Parquet. Event rows as they are, but fitted; rows of windows merged with what the
 * table has of them, some hundred at a time. */
#include "job.h"

#include <stdlib.h>

enum { SLICE_US = 1000 };

static int64_t now(const target *t) {
    return t->options.clock.monotonic_us(t->options.clock.context);
}

static void fail(job *j, sl_status status, sl_error *error) {
    (void)sl_error_context(error, "%s", j->delivery->target);
    job_fail(j, status, error, false);
}

void encode_forget(job *j) {
    row_source_fini(&j->source);
    for (uint32_t i = 0; i < j->stage.count; i++) /* Those whose upload was given up, too. */
        if (j->stage.list[i].key != NULL)
            target_remove(j->of, j->stage.list[i].key);
    stage_fini(&j->stage);
    if (j->manifest_key.length != 0)
        target_remove(j->of, sl_buffer_cstr(&j->manifest_key));
    sl_buffer_clear(&j->manifest_key);
    j->staged = j->uploaded = j->loaded = false;
    dead_forget(j);
}

void encode_begin(job *j) {
    sl_error error;
    encode_forget(j);
    sl_buffer base = SL_BUFFER_EMPTY;
    sl_buffer_printf(&base, "%s/redshift-%s-%llu", j->delivery->spool, j->of->run,
                     (unsigned long long)j->of->next_stage);
    sl_buffer_clear(&j->key_begin);
    stage_prefix(j->of->prefix, j->of->prefix_length, j->delivery->target, j->delivery->partition,
                 &j->key_begin);
    sl_buffer_printf(&j->key_begin, "%s-%llu.", j->of->run, (unsigned long long)j->of->next_stage++);
    (void)sl_buffer_cstr(&j->key_begin);
    const char *path = sl_buffer_cstr(&base);
    sl_status status = base.failed || j->key_begin.failed
                           ? sl_error_set(&error, SL_ENOMEM, "out of memory")
                           : stage_init(&j->stage, j->of->options.files, &j->table, path,
                                        j->of->options.file_bytes, &error);
    sl_buffer_fini(&base);
    if (status != SL_OK) {
        fail(j, status, &error);
        return;
    }
    row_source_init(&j->source, j->of->options.files, j->delivery);
    j->encoding = true;
    j->rows = j->cut_texts = 0;
    j->source_ended = false;
    j->delta_count = 0;
    encode_turn(j);
}

/* j->values, fitted, `_hash` as stored, to the stage. Windows are cut whatever the policy says: their events have been
 * counted. */
static sl_status put_row(job *j, sl_error *error) {
    sl_fit_policy policy = j->table.window ? SL_FIT_TRUNCATE : j->rules.policy;
    uint64_t cut = 0;
    for (uint32_t i = 0; i < j->table.count; i++) {
        if (j->table.columns[i].role == SL_COLUMN_KEY)
            continue;
        bool changed;
        sl_status status = sl_warehouse_fit(SL_DIALECT_REDSHIFT, j->live[i], policy,
                                            &j->values[i], &j->arena, &changed);
        if (status == SL_ELIMIT) {
            dead_row(j, i, &j->scratch);
            return dead_check(j, i, error);
        }
        if (status != SL_OK)
            return sl_error_set(error, SL_ENOMEM, "out of memory");
        cut += changed;
    }
    for (uint32_t i = 0; i < j->table.count && cut != 0; i++)
        if (j->table.columns[i].role == SL_COLUMN_HASH)
            j->values[i].as.i64 = (int64_t)sl_warehouse_row_hash(&j->table, j->values);
    j->cut_texts += cut;
    return stage_row(&j->stage, j->values, error);
}

/* --- event rows --- */

/* The row file's columns are the schema's first ones: a later version only appends. */
static sl_status event_row(job *j, sl_error *error) {
    const sl_rows_reader *r = &j->source.reader;
    for (uint32_t i = 0; i < j->table.count; i++) {
        const sl_warehouse_column *c = &j->table.columns[i];
        uint32_t at = c->role == SL_COLUMN_POSITION ? 0 : c->index;
        if (c->role != SL_COLUMN_POSITION && c->role != SL_COLUMN_FIELD)
            continue;
        j->row[at] = (sl_value){.type = c->type, .scale = c->scale, .null = true};
        if (at >= r->count)
            continue;
        j->row[at] = r->values[at];
        sl_status status = stage_widen(&j->row[at], c, &j->arena);
        if (status == SL_ENOMEM)
            return sl_error_set(error, status, "out of memory");
        if (status != SL_OK)
            return sl_error_set(error, status, "column %s of a row file is %s, not %s", c->source,
                                sl_type_name(r->values[at].type), sl_type_name(c->type));
    }
    sl_warehouse_row(&j->table, j->row, 0, j->values);
    return put_row(j, error);
}

/* @return SL_EAGAIN: the slice is over; SL_ENOTFOUND: all rows are staged. */
static sl_status event_rows(job *j, sl_error *error) {
    int64_t end = now(j->of) + SLICE_US;
    for (unsigned n = 1;; n++) {
        sl_status status = row_source_next(&j->source, error);
        if (status == SL_OK)
            status = event_row(j, error);
        if (status != SL_OK)
            return status;
        j->rows++;
        sl_arena_reset(&j->arena);
        if (n % 64 == 0 && now(j->of) >= end)
            return SL_EAGAIN;
    }
}

/* --- windows --- */

static const void *keep(job *j, const void *bytes, size_t length) {
    void *copy = sl_arena_get(&j->arena, length + 1);
    if (copy != NULL && length != 0)
        memcpy(copy, bytes, length);
    return copy;
}

static const char *key_text(job *j, int64_t start, const uint8_t *key, size_t length) {
    static const char digits[] = "0123456789abcdef";
    sl_buffer_clear(&j->scratch);
    sl_warehouse_key(start, key, length, &j->scratch);
    char *text = j->scratch.failed ? NULL : sl_arena_get(&j->arena, 2 * j->scratch.length + 1);
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < j->scratch.length; i++) {
        text[2 * i] = digits[j->scratch.bytes[i] >> 4];
        text[2 * i + 1] = digits[j->scratch.bytes[i] & 15];
    }
    text[2 * j->scratch.length] = 0;
    return text;
}

/* The next deltas into the arena. @return SL_OK also when there are none left. */
static sl_status gather(job *j, sl_error *error) {
    size_t bytes = 0;
    sl_arena_reset(&j->arena);
    j->delta_count = 0;
    while (j->delta_count < DELTAS && bytes < DELTA_BYTES && !j->source_ended) {
        sl_status status = row_source_next(&j->source, error);
        j->source_ended = status == SL_ENOTFOUND;
        if (j->source_ended)
            break;
        if (status != SL_OK)
            return status;
        const sl_value *v = j->source.reader.values;
        if (j->source.reader.count != 3)
            return sl_error_set(error, SL_ECORRUPT, "the spooled rows are no deltas");
        delta *d = &j->deltas[j->delta_count++];
        *d = (delta){.start = v[0].as.i64,
                     .key = keep(j, v[1].as.text.bytes, v[1].as.text.length),
                     .key_length = v[1].as.text.length,
                     .state = keep(j, v[2].as.text.bytes, v[2].as.text.length),
                     .state_length = v[2].as.text.length};
        if (d->key != NULL)
            d->text = key_text(j, d->start, d->key, d->key_length);
        if (d->key == NULL || d->state == NULL || d->text == NULL)
            return sl_error_set(error, SL_ENOMEM, "out of memory");
        bytes += d->key_length + d->state_length;
        j->rows += sl_window_state_rows(j->delivery->plan, d->state, d->state_length);
    }
    return SL_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(((const delta *)a)->text, ((const delta *)b)->text);
}

static delta *find(job *j, const char *text) {
    const delta wanted = {.text = text};
    return bsearch(&wanted, j->deltas, j->delta_count, sizeof *j->deltas, by_text);
}

/* One stored row, merged into its delta. */
static sl_status merge_row(job *j, const sl_postgres_result *result, uint32_t row, sl_error *error) {
    const sl_window_plan *plan = j->delivery->plan;
    const char *key = NULL;
    for (uint32_t i = 0; i < j->table.count; i++) {
        size_t length = 0;
        const char *text = sl_postgres_cell(result, row, i, &length);
        if (!sl_warehouse_cell(&j->table.columns[i], text, length, &j->arena, &j->values[i]))
            return sl_error_set(error, SL_ECORRUPT, "a stored row's %s can't be read back: '%.40s'",
                                j->table.columns[i].name, text);
        if (j->table.columns[i].role == SL_COLUMN_KEY)
            key = text;
    }
    delta *d = key == NULL ? NULL : find(j, key);
    if (d == NULL)
        return sl_error_set(error, SL_ECORRUPT, "a row that was not asked for");
    sl_buffer_clear(&j->state);
    sl_buffer_clear(&j->merged);
    sl_status status = sl_warehouse_window_state(&j->table, plan, j->values, &j->state);
    if (status == SL_OK)
        status = sl_window_state_merge(plan, j->state.bytes, j->state.length, d->state,
                                       d->state_length, &j->merged);
    if (status == SL_OK && j->merged.failed)
        status = SL_ENOMEM;
    if (status != SL_OK)
        return sl_error_set(error, status == SL_ENOMEM ? status : SL_ECORRUPT,
                            "a stored row can't be read back");
    d->state = keep(j, j->merged.bytes, j->merged.length);
    d->state_length = j->merged.length;
    return d->state == NULL ? sl_error_set(error, SL_ENOMEM, "out of memory") : SL_OK;
}

static sl_status write_deltas(job *j, sl_error *error) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < j->delta_count && status == SL_OK; i++) {
        const delta *d = &j->deltas[i];
        status = sl_warehouse_window_values(&j->table, j->delivery->plan, d->start, d->key,
                                            d->key_length, d->state, d->state_length, &j->scratch,
                                            j->values);
        if (status != SL_OK)
            return sl_error_set(error, status, "a window's state is damaged");
        status = put_row(j, error);
    }
    return status;
}

static void stored_rows(job *j, const sl_postgres_result *result) {
    sl_error error;
    sl_status status = SL_OK;
    uint32_t rows = sl_postgres_rows(result);
    if (sl_postgres_columns(result) != j->table.count)
        status = sl_error_set(&error, SL_EIO, "a reply with %u columns of %u",
                              sl_postgres_columns(result), j->table.count);
    for (uint32_t i = 0; i < rows && status == SL_OK; i++)
        status = merge_row(j, result, i, &error);
    if (status == SL_OK)
        status = write_deltas(j, &error);
    if (status != SL_OK)
        fail(j, status, &error);
    else
        sl_timer_start(j->timer, 0); /* the next slice */
}

/* @return SL_ENOTFOUND: all are staged; SL_EAGAIN: a query is on its way. */
static sl_status window_rows(job *j, sl_error *error) {
    sl_status status = gather(j, error);
    if (status != SL_OK)
        return status;
    if (j->delta_count == 0)
        return SL_ENOTFOUND;
    int64_t first = j->deltas[0].start, last = first;
    qsort(j->deltas, j->delta_count, sizeof *j->deltas, by_text);
    for (uint32_t i = 0; i < j->delta_count; i++) {
        first = j->deltas[i].start < first ? j->deltas[i].start : first;
        last = j->deltas[i].start > last ? j->deltas[i].start : last;
    }
    sl_buffer_clear(&j->text);
    statement_select(&j->table, first, last, &j->text);
    for (uint32_t i = 0; i < j->delta_count; i++)
        sl_buffer_printf(&j->text, i == 0 ? "'%s'" : ",'%s'", j->deltas[i].text);
    sl_buffer_byte(&j->text, ')');
    job_query(j, "read rows", stored_rows);
    return SL_EAGAIN;
}

/* --- both --- */

static void finish(job *j) {
    sl_error error;
    sl_status status = stage_finish(&j->stage, &error);
    if (status == SL_EAGAIN) {
        sl_timer_start(j->timer, 0);
        return;
    }
    row_source_fini(&j->source);
    j->encoding = false;
    if (status != SL_OK) {
        fail(j, status, &error);
        return;
    }
    j->staged = true;
    job_encoded(j);
}

void encode_turn(job *j) {
    sl_error error;
    if (j->stage.finishing) {
        finish(j);
        return;
    }
    if (j->table.window) {
        sl_status status = window_rows(j, &error);
        if (status == SL_EAGAIN)
            return; /* stored_rows() goes on */
        if (status != SL_ENOTFOUND) {
            fail(j, status, &error);
            return;
        }
    } else {
        sl_status status = event_rows(j, &error);
        if (status != SL_EAGAIN && status != SL_ENOTFOUND) {
            fail(j, status, &error);
            return;
        }
        if (status == SL_EAGAIN) {
            sl_timer_start(j->timer, 0);
            return;
        }
    }
    j->stage.finishing = true;
    finish(j);
}
