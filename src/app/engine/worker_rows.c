/* Rows on their way to a warehouse, in a row file. */
#include "worker_tables.h"

#include "sluice/checkpoint.h"
#include "sluice/rows.h"

#include <inttypes.h>
#include <stdio.h>

enum { ROW_BUFFER = 1 << 20 };

sl_status rows_flush(worker *w, worker_table *wt) {
    if (wt->rows.failed)
        return SL_ENOMEM;
    if (wt->rows_file < 0) {
        char suffix[32] = "rows";
        if (sl_table_is_topic(wt->of->kind)) /* They are merged by it. */
            (void)snprintf(suffix, sizeof suffix, "%016" PRIx64 ".rows", wt->rows_first);
        wt->rows_spool = spool_name(w, suffix);
        if (wt->rows_spool == NULL)
            return SL_ENOMEM;
        sl_status status = spool_create(w->engine, wt->rows_spool, &wt->rows_file, NULL);
        if (status != SL_OK)
            return status;
    }
    sl_files *files = w->engine->files;
    sl_status status =
        files->write(files, wt->rows_file, wt->rows.bytes, wt->rows.length, wt->rows_at, NULL);
    if (status != SL_OK)
        return status;
    sl_hasher_add(wt->rows_hash, wt->rows.bytes, wt->rows.length);
    wt->rows_at += wt->rows.length;
    sl_buffer_clear(&wt->rows);
    return SL_OK;
}

/* Columns of a stream in a warehouse: leaves, groups joined with '_'; first the position. */
static uint32_t rows_header(worker_table *wt, const sl_schema *schema) {
    sl_rows_column *columns = sl_calloc(schema->count + 1, sizeof *columns);
    char **names = sl_calloc(schema->count + 1, sizeof *names);
    uint32_t count = 0;
    if (columns != NULL && names != NULL) {
        columns[count++] = (sl_rows_column){.name = "_position", .type = SL_TYPE_INT64};
        for (uint32_t f = 1; f < schema->count; f++) {
            if (schema->fields[f].type == SL_TYPE_GROUP)
                continue;
            names[count] = sl_strdup(schema->fields[f].path);
            if (names[count] == NULL) {
                wt->rows.failed = true;
                break;
            }
            for (char *c = names[count]; *c != 0; c++)
                if (*c == '.')
                    *c = '_';
            columns[count] = (sl_rows_column){.name = names[count],
                                              .type = schema->fields[f].type,
                                              .precision = schema->fields[f].precision,
                                              .scale = schema->fields[f].scale};
            count++;
        }
        sl_rows_begin(&wt->rows, columns, count);
        for (uint32_t i = 0; i < count; i++)
            sl_free(names[i]);
    } else {
        wt->rows.failed = true;
    }
    sl_free(columns);
    sl_free(names);
    return count;
}

/* A row file has one set of columns: seal it when the schema grew. */
sl_status rows_seal(worker *w, worker_table *wt) {
    if (wt->rows_count == 0)
        return SL_OK;
    sl_status status = rows_flush(w, wt);
    if (status != SL_OK)
        return status;
    const sealed_file sealed = {.spool = wt->rows_spool,
                                .bytes = wt->rows_at,
                                .rows = wt->rows_count,
                                .hash = sl_hasher_sum(wt->rows_hash)};
    status = sealed_add(wt, &sealed);
    if (status != SL_OK)
        return status;
    w->engine->files->close(w->engine->files, wt->rows_file);
    wt->rows_file = -1;
    wt->rows_spool = NULL;
    wt->rows_at = wt->rows_count = 0;
    wt->rows_columns = 0;
    sl_hasher_reset(wt->rows_hash);
    return SL_OK;
}

sl_status rows_add(worker *w, worker_table *wt, shape *s, const sl_batch *batch) {
    sl_status status = SL_OK;
    if (wt->shape != s) {
        if (wt->shape == NULL || wt->shape->schema->count != s->schema->count)
            status = rows_seal(w, wt);
        shape_unref(wt->shape);
        wt->shape = NULL;
    }
    if (status != SL_OK)
        return status;
    if (wt->shape == NULL)
        wt->shape = shape_ref(s);
    if (wt->rows_hash == NULL && (wt->rows_hash = sl_hasher_create()) == NULL)
        return SL_ENOMEM;
    sl_value *values = sl_calloc(batch->schema->count + 1, sizeof *values);
    if (values == NULL)
        return SL_ENOMEM;
    for (uint32_t row = 0; row < batch->rows && status == SL_OK; row++) {
        if (batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        if (wt->rows_columns == 0)
            wt->rows_columns = rows_header(wt, batch->schema);
        uint32_t count = 0;
        values[count++] = (sl_value){.type = SL_TYPE_INT64,
                                     .as.i64 = (int64_t)sl_batch_position(batch, row)};
        for (uint32_t f = 1; f < batch->schema->count; f++)
            if (batch->schema->fields[f].type != SL_TYPE_GROUP)
                values[count++] = sl_value_of(batch, f, row);
        sl_rows_add(&wt->rows, values, count);
        wt->rows_count++;
        wt->counts.rows++;
        if (wt->rows.length >= ROW_BUFFER)
            status = rows_flush(w, wt);
    }
    sl_free(values);
    return wt->rows.failed ? SL_ENOMEM : status;
}

void rows_drop(worker *w, worker_table *wt) {
    if (wt->rows_file >= 0) {
        w->engine->files->close(w->engine->files, wt->rows_file);
        spool_remove(w->engine, wt->rows_spool);
        wt->rows_file = -1;
    }
    sl_free(wt->rows_spool);
    wt->rows_spool = NULL;
    sl_buffer_clear(&wt->rows);
    wt->rows_at = wt->rows_count = 0;
    wt->rows_columns = 0;
    if (wt->rows_hash != NULL)
        sl_hasher_reset(wt->rows_hash);
}

void rows_fini(worker_table *wt) {
    sl_buffer_fini(&wt->rows);
    if (wt->rows_hash != NULL)
        sl_hasher_destroy(wt->rows_hash);
}
