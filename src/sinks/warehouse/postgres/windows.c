/* Windows: deltas and the rows that they touch, merged in C under the ledger's lock.
 *
 * One way for all measures: what a warehouse row says follows from its state alone, so
 * overflow, derived measures and
 * `_hash` are the embedded warehouse's to the bit. SQL could add counts, but neither of
 * those; and as a row's cells are small, reading some thousand of them by primary key
 * costs less than staging and merging them on the server would. */
#include "loader.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 4 << 20, PIECE = 128 * 1024 };

static sl_status no_memory(const sl_pg_loader *l, sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "%s: out of memory", l->delivery->table);
}

static const uint8_t *keep(sl_pg_loader *l, const uint8_t *bytes, size_t length) {
    uint8_t *copy = sl_arena_get(&l->arena, length + 1);
    if (copy != NULL && length != 0)
        memcpy(copy, bytes, length);
    return copy;
}

static int by_key(const void *a, const void *b) {
    const sl_pg_delta *x = a, *y = b;
    size_t shorter = x->key_length < y->key_length ? x->key_length : y->key_length;
    int order = memcmp(x->key, y->key, shorter);
    return order != 0 ? order
                      : (x->key_length > y->key_length) - (x->key_length < y->key_length);
}

static sl_status merge_into(sl_pg_loader *l, sl_pg_delta *delta, const uint8_t *state,
                            size_t length, sl_error *error) {
    sl_buffer_clear(&l->merged);
    sl_status status = sl_window_state_merge(
        l->delivery->plan, state, length, delta->state, delta->state_length, &l->merged);
    if (status == SL_OK && l->merged.failed)
        status = SL_ENOMEM;
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: merging a window failed: %s",
                            l->delivery->table, sl_status_text(status));
    delta->state = keep(l, l->merged.bytes, l->merged.length);
    delta->state_length = l->merged.length;
    return delta->state == NULL ? no_memory(l, error) : SL_OK;
}

/* A cut's deltas come merged; should a group come twice all the same, it is one row. */
static sl_status unite(sl_pg_loader *l, sl_error *error) {
    uint32_t kept = 0;
    qsort(l->deltas, l->delta_count, sizeof *l->deltas, by_key);
    for (uint32_t i = 0; i < l->delta_count; i++) {
        if (kept != 0 && by_key(&l->deltas[kept - 1], &l->deltas[i]) == 0) {
            sl_status status = merge_into(l, &l->deltas[kept - 1], l->deltas[i].state,
                                          l->deltas[i].state_length, error);
            if (status != SL_OK)
                return status;
            continue;
        }
        l->deltas[kept++] = l->deltas[i];
    }
    l->delta_count = kept;
    return SL_OK;
}

static sl_status take(sl_pg_loader *l, sl_error *error) {
    const sl_rows_reader *r = &l->spool.reader;
    if (r->count != 3 || r->values[0].null || r->values[1].type != SL_TYPE_BYTES ||
        r->values[2].type != SL_TYPE_BYTES)
        return sl_error_set(error, SL_ECORRUPT, "%s: the spooled rows are damaged",
                            l->delivery->table);
    sl_pg_delta *d = &l->deltas[l->delta_count];
    *d = (sl_pg_delta){.start = r->values[0].as.i64,
                       .group_length = r->values[1].as.text.length,
                       .state_length = r->values[2].as.text.length};
    d->group = keep(l, r->values[1].as.text.bytes, d->group_length);
    d->state = keep(l, r->values[2].as.text.bytes, d->state_length);
    sl_buffer_clear(&l->key);
    if (d->group != NULL)
        sl_warehouse_key(d->start, d->group, d->group_length, &l->key);
    d->key = l->key.failed ? NULL : keep(l, l->key.bytes, l->key.length);
    d->key_length = l->key.length;
    if (d->group == NULL || d->state == NULL || d->key == NULL)
        return no_memory(l, error);
    l->rows += sl_window_state_rows(l->delivery->plan, d->state, d->state_length);
    l->delta_count++;
    return SL_OK;
}

sl_status sl_pg_chunk(sl_pg_loader *l, sl_error *error) {
    size_t bytes = 0;
    sl_status status = SL_OK;
    sl_arena_reset(&l->arena);
    l->delta_count = l->delta_at = 0;
    while (status == SL_OK && l->delta_count < SL_PG_DELTAS_MAX && bytes < CHUNK_BYTES) {
        status = sl_spool_next(&l->spool, NULL, error);
        if (status == SL_OK)
            status = take(l, error);
        if (status == SL_OK)
            bytes += l->deltas[l->delta_count - 1].state_length +
                     2 * l->deltas[l->delta_count - 1].key_length;
    }
    if (status != SL_OK && status != SL_ENOTFOUND)
        return status;
    return l->delta_count == 0 ? SL_ENOTFOUND : unite(l, error);
}

static bool merges(sl_column_role role) {
    return role == SL_COLUMN_KEY || role == SL_COLUMN_ROWS || role == SL_COLUMN_MEASURE ||
           role == SL_COLUMN_STATE;
}

void sl_pg_merge_columns(const sl_warehouse_table *table, sl_buffer *out) {
    const char *comma = "";
    for (uint32_t i = 0; i < table->count; i++) {
        if (!merges(table->columns[i].role))
            continue;
        sl_buffer_text(out, comma);
        sl_dialect_quote(table->dialect, table->columns[i].name, out);
        comma = ",";
    }
}

static sl_status merge_row(sl_pg_loader *l, const sl_postgres_result *result,
                           uint32_t row, sl_error *error) {
    sl_pg_delta wanted = {0};
    uint32_t cell = 0;
    for (uint32_t i = 0; i < l->shape.count; i++) {
        const sl_warehouse_column *c = &l->shape.columns[i];
        size_t length;
        if (!merges(c->role))
            continue;
        const char *bytes = sl_postgres_cell(result, row, cell++, &length);
        if (!sl_pgbinary_read(c, bytes, length, &l->values[i]))
            return sl_error_set(error, SL_ECORRUPT,
                                "%s: a stored row's \"%s\" can't be read back",
                                l->delivery->table, c->name);
        if (c->role == SL_COLUMN_KEY) {
            wanted.key = l->values[i].as.text.bytes;
            wanted.key_length = l->values[i].as.text.length;
        }
    }
    sl_pg_delta *delta = wanted.key == NULL ? NULL
                                            : bsearch(&wanted, l->deltas, l->delta_count,
                                                      sizeof *l->deltas, by_key);
    if (delta == NULL)
        return sl_error_set(error, SL_EIO,
                            "%s: the server gave a row that wasn't asked for",
                            l->delivery->table);
    sl_buffer_clear(&l->state);
    sl_status status =
        sl_warehouse_window_state(&l->shape, l->delivery->plan, l->values, &l->state);
    if (status != SL_OK)
        return sl_error_set(error, status == SL_ENOMEM ? SL_ENOMEM : SL_ECORRUPT,
                            "%s: a stored row can't be read back", l->delivery->table);
    return merge_into(l, delta, l->state.bytes, l->state.length, error);
}

sl_status sl_pg_merge(sl_pg_loader *l, const sl_postgres_result *result,
                      sl_error *error) {
    sl_status status = SL_OK;
    for (uint32_t row = 0; row < sl_postgres_rows(result) && status == SL_OK; row++)
        status = merge_row(l, result, row, error);
    return status;
}

sl_status sl_pg_chunk_source(void *context, const uint8_t **bytes, size_t *length,
                             sl_error *error) {
    sl_pg_loader *l = context;
    if (l->out_ended)
        return SL_ENOTFOUND;
    sl_buffer_clear(&l->out);
    if (l->delta_at == 0)
        sl_pgbinary_begin(&l->out);
    sl_status status = SL_OK;
    for (; status == SL_OK && l->delta_at < l->delta_count && l->out.length < PIECE;
         l->delta_at++) {
        const sl_pg_delta *d = &l->deltas[l->delta_at];
        uint32_t column;
        status = sl_warehouse_window_values(&l->shape, l->delivery->plan, d->start,
                                            d->group, d->group_length, d->state,
                                            d->state_length, &l->state, l->values);
        if (status == SL_OK)
            status = sl_pg_encode(l, SL_FIT_TRUNCATE, &column, &l->out);
    }
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: a window's state: %s", l->delivery->table,
                            sl_status_text(status));
    if (l->delta_at == l->delta_count) {
        sl_pgbinary_end(&l->out);
        l->out_ended = true;
    }
    *bytes = l->out.bytes;
    *length = l->out.length;
    return l->out.failed ? no_memory(l, error) : SL_OK;
}
