/* Event rows: from row files to binary COPY. */
#include "loader.h"

enum { PIECE = 128 * 1024, DEAD_BYTES_MAX = 16 << 20 };

/* An entry may have files from before and after the schema grew; it only grows, so the
 * widest has all columns. */
static sl_status widest_file(sl_pg_loader *l, uint32_t *widest, sl_error *error) {
    uint32_t columns = 0;
    *widest = 0;
    for (uint32_t i = 0; i < l->delivery->entry->file_count; i++) {
        sl_status status = sl_spool_head(&l->spool, i, error);
        if (status != SL_OK)
            return status;
        if (l->spool.reader.count > columns) {
            columns = l->spool.reader.count;
            *widest = i;
        }
    }
    return SL_OK;
}

sl_status sl_pg_rows_shape(sl_pg_loader *l, sl_error *error) {
    const sl_delivery *d = l->delivery;
    uint32_t widest;
    sl_spool_begin(&l->spool, l->spool.files, d);
    if (d->entry->file_count == 0) /* All its events were refused, or late: only the ledger moves. */
        return sl_warehouse_table_of_schema(SL_DIALECT_POSTGRES, d->target, d->schema, l->rules.id, &l->shape, error);
    sl_status status = widest_file(l, &widest, error);
    if (status == SL_OK)
        status = sl_spool_head(&l->spool, widest, error);
    if (status != SL_OK)
        return status;
    sl_rows_reader *r = &l->spool.reader;
    if (d->schema != NULL)
        sl_warehouse_precise(r->columns, r->count, d->schema);
    status = sl_warehouse_table_of_rows(SL_DIALECT_POSTGRES, d->target, r->columns,
                                        r->count, l->rules.id, &l->shape, error);
    l->row_columns = r->count;
    return status;
}

/* Where the columns of the file that is read belong in the row. */
static sl_status spread(sl_pg_loader *l, sl_error *error) {
    const sl_rows_reader *r = &l->spool.reader;
    for (uint32_t i = 0; i < l->row_columns; i++)
        l->row[i] = (sl_value){.null = true};
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t c = 0;
        while (c < l->shape.count &&
               (l->shape.columns[c].role != SL_COLUMN_FIELD ||
                strcmp(l->shape.columns[c].source, r->columns[i].name) != 0))
            c++;
        if (i != 0 &&
            (c == l->shape.count || l->shape.columns[c].type != r->columns[i].type))
            return sl_error_set(error, SL_ECORRUPT,
                                "%s: files of one entry disagree about column %s",
                                l->delivery->table, r->columns[i].name);
        l->spread[i] = i == 0 ? 0 : l->shape.columns[c].index;
    }
    for (uint32_t c = 0; c < l->shape.count; c++)
        if (l->shape.columns[c].role == SL_COLUMN_FIELD)
            l->row[l->shape.columns[c].index].type = l->shape.columns[c].type;
    return SL_OK;
}

sl_status sl_pg_encode(sl_pg_loader *l, sl_fit_policy policy, uint32_t *column,
                       sl_buffer *out) {
    bool any = false;
    const sl_warehouse_table *t = &l->shape;
    uint16_t fields = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        bool changed;
        sl_status status = sl_warehouse_fit(SL_DIALECT_POSTGRES, l->live_of[i], policy,
                                            &l->values[i], &l->arena, &changed);
        if (status != SL_OK) {
            *column = i;
            return status;
        }
        any = any || changed;
        l->cut_texts += changed;
        fields = (uint16_t)(fields + (t->columns[i].role != SL_COLUMN_PARTITION));
    }
    sl_pgbinary_row(out, fields);
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->columns[i].role == SL_COLUMN_PARTITION)
            continue; /* Known under the lock only, and the same for all. */
        sl_value v = l->values[i];
        if (t->columns[i].role == SL_COLUMN_HASH && any)
            v.as.i64 = (int64_t)sl_warehouse_row_hash(t, l->values);
        if (l->as_text[i])
            v.type = SL_TYPE_STRING;
        sl_pgbinary_value(out, &v);
    }
    return out->failed ? SL_ENOMEM : SL_OK;
}

static void text_field(sl_buffer *out, const void *bytes, size_t length) {
    sl_pgbinary_value(out,
                      &(sl_value){.type = SL_TYPE_STRING, .as.text = {bytes, length}});
}

static void row_json(const sl_pg_loader *l, sl_buffer *out) {
    bool any = false;
    sl_buffer_byte(out, '{');
    for (uint32_t i = 0; i < l->shape.count; i++) {
        if (l->shape.columns[i].role != SL_COLUMN_FIELD || l->values[i].null)
            continue;
        if (any)
            sl_buffer_byte(out, ',');
        any = true;
        sl_buffer_json_string(out, l->shape.columns[i].name,
                              strlen(l->shape.columns[i].name));
        sl_buffer_byte(out, ':');
        sl_value_json(&l->values[i], out);
    }
    sl_buffer_byte(out, '}');
}

/* A row that doesn't fit, for sluice_dead_TABLE. */
static sl_status keep_dead(sl_pg_loader *l, uint32_t column, sl_error *error) {
    const char *partition = l->delivery->partition, *name = l->shape.columns[column].name;
    sl_buffer json = SL_BUFFER_EMPTY;
    if (l->dead_rows++ == 0)
        sl_pgbinary_begin(&l->dead);
    sl_pgbinary_row(&l->dead, 4);
    text_field(&l->dead, partition, strlen(partition));
    for (uint32_t i = 0; i < l->shape.count; i++)
        if (l->shape.columns[i].role == SL_COLUMN_POSITION)
            sl_pgbinary_value(&l->dead, &l->values[i]);
    text_field(&l->dead, name, strlen(name));
    row_json(l, &json);
    text_field(&l->dead, json.bytes, json.length);
    bool failed = json.failed || l->dead.failed;
    sl_buffer_fini(&json);
    if (failed)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", l->delivery->table);
    if (l->dead.length > DEAD_BYTES_MAX)
        return sl_error_set(
            error, SL_EIO,
            "%s: nearly nothing fits into column \"%s\" of the warehouse's table",
            l->delivery->table, name);
    return SL_OK;
}

static sl_status encode_row(sl_pg_loader *l, sl_error *error) {
    for (uint32_t i = 0; i < l->spool.reader.count; i++)
        l->row[l->spread[i]] = l->spool.reader.values[i];
    sl_warehouse_row(&l->shape, l->row, 0, l->values);
    uint32_t column = 0;
    sl_status status = sl_pg_encode(l, l->rules.policy, &column, &l->out);
    l->rows++;
    if (status == SL_ELIMIT)
        return keep_dead(l, column, error);
    l->staged++;
    return status == SL_OK
               ? SL_OK
               : sl_error_set(error, status, "%s: out of memory", l->delivery->table);
}

sl_status sl_pg_rows_source(void *context, const uint8_t **bytes, size_t *length,
                            sl_error *error) {
    sl_pg_loader *l = context;
    if (l->out_ended)
        return SL_ENOTFOUND;
    sl_buffer_clear(&l->out);
    if (l->rows == 0 && l->spool.index == 0 && !l->spool.open)
        sl_pgbinary_begin(&l->out);
    sl_status status = SL_OK;
    while (status == SL_OK && l->out.length < PIECE) {
        bool opened;
        sl_arena_reset(&l->arena);
        status = sl_spool_next(&l->spool, &opened, error);
        if (status == SL_OK && opened)
            status = spread(l, error);
        if (status == SL_OK)
            status = encode_row(l, error);
    }
    if (status == SL_ENOTFOUND) {
        sl_pgbinary_end(&l->out);
        l->out_ended = true;
        status = SL_OK;
    }
    *bytes = l->out.bytes;
    *length = l->out.length;
    return status;
}

sl_status sl_pg_dead_source(void *context, const uint8_t **bytes, size_t *length,
                            sl_error *error) {
    sl_pg_loader *l = context;
    if (l->out_ended)
        return SL_ENOTFOUND;
    sl_pgbinary_end(&l->dead);
    l->out_ended = true;
    *bytes = l->dead.bytes;
    *length = l->dead.length;
    return l->dead.failed
               ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", l->delivery->table)
               : SL_OK;
}
