/* Rows as Parquet that COPY takes: by position, types that fit exactly. Column names don't count; they are the
 * table's, for people who look at a staged object. */
#include "private.h"

#include <stdio.h>

enum { FILE_BYTES = 64 << 20 };

bool stage_has(const sl_warehouse_column *column) {
    return column->role != SL_COLUMN_PARTITION;
}

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

/* Staged texts are VARCHAR, JSON too: a SUPER column would load a text as a JSON string. */
static sl_schema *schema_of(const sl_warehouse_table *table) {
    sl_schema *schema = sl_schema_create(table->name);
    for (uint32_t i = 0; i < table->count && schema != NULL; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        if (!stage_has(c))
            continue;
        sl_type type = c->type == SL_TYPE_JSON || c->type == SL_TYPE_GROUP ? SL_TYPE_STRING
                                                                          : c->type;
        uint32_t f = sl_schema_add(schema, 0, c->name, strlen(c->name), type);
        if (f == SL_NO_FIELD) {
            sl_schema_unref(schema);
            return NULL;
        }
        schema->fields[f].precision = c->precision;
        schema->fields[f].scale = c->scale;
    }
    return schema;
}

sl_status stage_init(stage *s, sl_files *files, const sl_warehouse_table *table,
                     const char *base, uint64_t file_bytes, sl_error *error) {
    *s = (stage){.files = files,
                 .table = table,
                 .file_bytes = file_bytes != 0 ? file_bytes : FILE_BYTES,
                 .schema = schema_of(table),
                 .base = sl_strdup(base),
                 .batch = sl_batch_create(NULL)};
    static const uint8_t nothing[SL_PADDING];
    if (s->schema != NULL && s->base != NULL && s->batch != NULL &&
        sl_batch_prepare(s->batch, s->schema, nothing, NULL) == SL_OK)
        return SL_OK;
    stage_fini(s);
    return no_memory(error);
}

void stage_unlink(stage *s, staged_file *file) {
    if (file->path != NULL)
        (void)s->files->unlink(s->files, file->path, NULL);
    sl_free(file->path);
    file->path = NULL;
}

static void close_file(stage *s) {
    sl_parquet_destroy(s->writer);
    s->writer = NULL;
    if (s->file_open)
        s->files->close(s->files, s->file);
    s->file_open = false;
}

void stage_fini(stage *s) {
    if (s->files == NULL)
        return;
    close_file(s);
    for (uint32_t i = 0; i < s->count; i++) {
        stage_unlink(s, &s->list[i]);
        sl_free(s->list[i].key);
    }
    sl_free(s->list);
    sl_free(s->base);
    sl_batch_destroy(s->batch);
    sl_schema_unref(s->schema);
    *s = (stage){0};
}

static sl_status write_bytes(void *context, const void *bytes, size_t length) {
    stage *s = context;
    sl_status status = s->files->write(s->files, s->file, bytes, length, s->at, s->error);
    s->at += length;
    return status;
}

static sl_status open_file(stage *s, sl_error *error) {
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity != 0 ? 2 * s->capacity : 4;
        staged_file *list = sl_realloc(s->list, capacity * sizeof *list);
        if (list == NULL)
            return no_memory(error);
        s->list = list;
        s->capacity = capacity;
    }
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s-%u.parquet", s->base, s->count);
    char *copy = path.failed ? NULL : sl_strdup(sl_buffer_cstr(&path));
    sl_buffer_fini(&path);
    if (copy == NULL)
        return no_memory(error);
    sl_status status = s->files->open(
        s->files, copy, SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_TRUNCATE, &s->file, error);
    if (status != SL_OK) {
        sl_free(copy);
        return status;
    }
    s->file_open = true;
    s->at = 0;
    s->list[s->count++] = (staged_file){.path = copy};
    const sl_parquet_options options = {.profile = SL_PARQUET_COMPATIBLE};
    status = sl_parquet_create(s->schema, &options, write_bytes, s, &s->writer);
    return status == SL_OK ? SL_OK : no_memory(error);
}

/* @return SL_EAGAIN: call again. */
static sl_status finish_file(stage *s, sl_error *error) {
    sl_parquet_result result;
    sl_status status = sl_parquet_finish(s->writer, NULL, 0, &result);
    if (status == SL_EAGAIN)
        return status;
    if (status == SL_OK) {
        staged_file *f = &s->list[s->count - 1];
        f->bytes = result.bytes;
        f->rows = result.rows;
        f->hash = result.hash;
    } else if (status == SL_ENOMEM) {
        (void)no_memory(error);
    }
    close_file(s);
    return status;
}

/* The batch's rows to the writer. */
static sl_status flush(stage *s, sl_error *error) {
    if (s->batch->rows == 0)
        return SL_OK;
    s->error = error;
    sl_status status = s->writer == NULL ? open_file(s, error) : SL_OK;
    if (status == SL_OK && s->batch->arena.failed)
        status = no_memory(error);
    if (status == SL_OK) {
        status = sl_parquet_write(s->writer, s->batch, NULL, s->batch->rows);
        if (status == SL_ENOMEM)
            (void)no_memory(error);
    }
    if (status == SL_OK && sl_parquet_bytes(s->writer) >= s->file_bytes)
        while ((status = finish_file(s, error)) == SL_EAGAIN) {
            /* Its last pages: most of it is out already. */
        }
    static const uint8_t nothing[SL_PADDING];
    if (status == SL_OK && sl_batch_prepare(s->batch, s->schema, nothing, NULL) != SL_OK)
        status = no_memory(error);
    return status;
}

static void set_cell(sl_batch *batch, uint32_t field, uint32_t row, const sl_value *v) {
    sl_column *column = &batch->columns[field];
    column->valid[row] = !v->null;
    if (v->null)
        return;
    switch (batch->schema->fields[field].type) {
    case SL_TYPE_BOOL:
        column->values.truth[row] = v->as.i64 != 0;
        break;
    case SL_TYPE_INT64:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
        column->values.i64[row] = v->as.i64;
        break;
    case SL_TYPE_DOUBLE:
        column->values.f64[row] = v->as.f64;
        break;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        column->values.span[row] =
            sl_batch_keep_text(batch, v->as.text.bytes, v->as.text.length);
        break;
    case SL_TYPE_GROUP:
        break;
    }
}

/* Wide rows fill the arena long before they fill the batch. */
static bool full(const sl_batch *batch) {
    return batch->rows == batch->capacity || batch->arena.length >= (8u << 20);
}

sl_status stage_row(stage *s, const sl_value *values, sl_error *error) {
    uint32_t field = 1, row = s->batch->rows;
    for (uint32_t i = 0; i < s->table->count; i++)
        if (stage_has(&s->table->columns[i]))
            set_cell(s->batch, field++, row, &values[i]);
    s->batch->rows++;
    s->rows++;
    return full(s->batch) ? flush(s, error) : SL_OK;
}

sl_status stage_finish(stage *s, sl_error *error) {
    sl_status status = flush(s, error);
    s->error = error;
    return status == SL_OK && s->writer != NULL ? finish_file(s, error) : status;
}

static sl_status to_text(sl_value *value, sl_arena *scratch) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_value_json(value, &text);
    size_t from = 0, length = text.length;
    if (length >= 2 && text.bytes[0] == '"') { /* A timestamp or date: its text, not a JSON string of it. */
        from = 1;
        length -= 2;
    }
    char *copy =
        text.failed ? NULL : sl_arena_strndup(scratch, (char *)text.bytes + from, length);
    sl_buffer_fini(&text);
    if (copy == NULL)
        return SL_ENOMEM;
    value->as.text.bytes = (uint8_t *)copy;
    value->as.text.length = length;
    return SL_OK;
}

sl_status stage_widen(sl_value *value, const sl_warehouse_column *column, sl_arena *scratch) {
    sl_type have = value->type, want = column->type;
    if (have == want)
        return SL_OK;
    sl_status status = SL_OK;
    if (value->null || ((have == SL_TYPE_STRING || have == SL_TYPE_JSON) &&
                        (want == SL_TYPE_STRING || want == SL_TYPE_JSON))) {
        /* The bytes stay. */
    } else if (have == SL_TYPE_INT64 && want == SL_TYPE_DOUBLE) {
        value->as.f64 = (double)value->as.i64;
    } else if (want == SL_TYPE_STRING) {
        status = to_text(value, scratch);
    } else {
        return SL_ECORRUPT; /* No type widens to this. */
    }
    value->type = want;
    return status;
}
