/* What a worker holds of each table between two cuts: open Parquet files by partition, rows on their
 * way to a warehouse, panes of windows. */
#include "internal.h"
#include "partition.h"

#include <stdio.h>
#include <time.h>

enum {
    BUCKETS = 256,
    ROW_BUFFER = 1 << 20,
    OPEN_MAX = 4096, /* Parquet files open at once, per worker and table. */
    ROW_GROUP = 16 << 20,
};

/** A Parquet file that is being written into the spool. */
typedef struct open_file {
    struct open_file *next; /* in its bucket */
    uint32_t slot;          /* in worker_table.files */
    sl_hash128 partition;
    char *directory, *spool;
    sl_engine *engine;
    sl_parquet_writer *writer;
    int file; /* -1: nothing was written yet */
    uint64_t at, first, last;
    uint32_t selected; /* rows of the batch in hand */
    uint32_t begin;    /* where they stand in worker.order */
} open_file;

struct worker_table {
    table *of;
    uint64_t skip_below;
    sl_counts counts;
    sl_status status; /* Not SL_OK: broken until the loop rewinds it. */
    /* Parquet */
    open_file *buckets[BUCKETS];
    open_file **files;
    uint32_t file_count, file_capacity;
    sealed_file *sealed;
    uint32_t sealed_count, sealed_capacity;
    sl_parquet_hints *hints; /* what earlier files taught about the columns */
    /* rows */
    sl_buffer rows;
    char *rows_spool;
    int rows_file;
    uint64_t rows_at, rows_count;
    sl_hasher *rows_hash;
    uint32_t rows_columns;
    /* window */
    sl_window *window;
    shape *shape; /* whose plan the panes follow */
    sl_buffer deltas;
    uint64_t delta_count;
};

/* --- spool files --- */

static char *spool_name(worker *w, const char *suffix) {
    char name[80];
    (void)snprintf(name, sizeof name, "g%u-w%u-%llu.%s", w->engine->generation, w->index,
                   (unsigned long long)w->file_number++, suffix);
    return sl_strdup(name);
}

static sl_status spool_open(sl_engine *e, const char *name, int *file) {
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/%s", e->spool, name);
    const char *text = sl_buffer_cstr(&path);
    sl_error error;
    sl_status status = path.failed ? SL_ENOMEM
                                   : e->files->open(e->files, text,
                                                    SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_TRUNCATE,
                                                    file, &error);
    sl_buffer_fini(&path);
    return status;
}

static void spool_remove(sl_engine *e, const char *name) {
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/%s", e->spool, name);
    (void)e->files->unlink(e->files, sl_buffer_cstr(&path), NULL);
    sl_buffer_fini(&path);
}

static sl_status write_parquet(void *context, const void *bytes, size_t length) {
    open_file *f = context;
    sl_files *files = f->engine->files;
    if (f->file < 0) {
        sl_status status = spool_open(f->engine, f->spool, &f->file);
        if (status != SL_OK)
            return status;
    }
    sl_status status = files->write(files, f->file, bytes, length, f->at, NULL);
    if (status == SL_OK)
        f->at += length;
    return status;
}

/* --- Parquet tables --- */

static void file_forget(worker_table *wt, open_file *f) {
    open_file **at = &wt->buckets[f->partition.low % BUCKETS];
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    wt->files[f->slot] = wt->files[--wt->file_count];
    wt->files[f->slot]->slot = f->slot;
}

static void file_free(open_file *f) {
    sl_parquet_destroy(f->writer);
    if (f->file >= 0)
        f->engine->files->close(f->engine->files, f->file);
    sl_free(f->directory);
    sl_free(f->spool);
    sl_free(f);
}

static void sealed_free(sealed_file *s) {
    sl_free(s->spool);
    sl_free(s->directory);
}

static bool sealed_room(worker_table *wt) {
    if (wt->sealed_count < wt->sealed_capacity)
        return true;
    uint32_t capacity = wt->sealed_capacity ? 2 * wt->sealed_capacity : 8;
    sealed_file *sealed = sl_realloc(wt->sealed, capacity * sizeof *sealed);
    if (sealed == NULL)
        return false;
    wt->sealed = sealed;
    wt->sealed_capacity = capacity;
    return true;
}

/* One slice of finishing a file. @return SL_EAGAIN: more to do; SL_OK: it is sealed and forgotten. */
static sl_status file_finish(worker *w, worker_table *wt, open_file *f) {
    char range[64];
    (void)snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)f->first,
                   (unsigned long long)f->last);
    const sl_parquet_pair metadata[] = {
        {"sluice.table", wt->of->name},
        {"sluice.log", w->engine->partition},
        {"sluice.positions", range},
    };
    sl_parquet_result result;
    sl_status status = sl_parquet_finish(f->writer, metadata, 3, &result);
    if (status != SL_OK)
        return status;
    if (!sealed_room(wt))
        return SL_ENOMEM;
    wt->sealed[wt->sealed_count++] = (sealed_file){.spool = f->spool,
                                                   .directory = f->directory,
                                                   .bytes = result.bytes,
                                                   .rows = result.rows,
                                                   .hash = result.hash};
    f->spool = f->directory = NULL;
    file_forget(wt, f);
    file_free(f);
    return SL_OK;
}

static sl_status file_seal(worker *w, worker_table *wt, open_file *f) {
    sl_status status;
    while ((status = file_finish(w, wt, f)) == SL_EAGAIN)
        ;
    return status;
}

static open_file *file_largest(worker_table *wt) {
    open_file *largest = NULL;
    size_t most = 0;
    for (uint32_t i = 0; i < wt->file_count; i++) {
        size_t bytes = sl_parquet_memory(wt->files[i]->writer);
        if (largest == NULL || bytes > most) {
            most = bytes;
            largest = wt->files[i];
        }
    }
    return largest;
}

static open_file *file_find(const worker_table *wt, sl_hash128 partition) {
    open_file *f = wt->buckets[partition.low % BUCKETS];
    while (f != NULL && (f->partition.low != partition.low || f->partition.high != partition.high))
        f = f->next;
    return f;
}

static sl_status file_create(worker *w, worker_table *wt, const sl_schema *schema,
                             sl_hash128 partition, const char *directory, open_file **out) {
    if (wt->file_count == wt->file_capacity) {
        uint32_t capacity = wt->file_capacity ? 2 * wt->file_capacity : 4;
        open_file **files = sl_realloc(wt->files, capacity * sizeof *files);
        if (files == NULL)
            return SL_ENOMEM;
        wt->files = files;
        wt->file_capacity = capacity;
    }
    open_file *f = sl_calloc(1, sizeof *f);
    if (wt->hints == NULL)
        wt->hints = sl_parquet_hints_create();
    if (f == NULL || wt->hints == NULL) {
        sl_free(f);
        return SL_ENOMEM;
    }
    f->file = -1;
    f->engine = w->engine;
    f->partition = partition;
    f->first = UINT64_MAX;
    f->directory = sl_strdup(directory);
    f->spool = spool_name(w, "parquet");
    const sl_parquet_options options = {.profile = wt->of->lake->profile,
                                        .codec = wt->of->lake->codec,
                                        .row_group_bytes = ROW_GROUP,
                                        .budget = w->engine->budget,
                                        .hints = wt->hints};
    sl_status status = f->directory == NULL || f->spool == NULL
                           ? SL_ENOMEM
                           : sl_parquet_create(schema, &options, write_parquet, f, &f->writer);
    if (status != SL_OK) {
        file_free(f);
        return status;
    }
    f->next = wt->buckets[partition.low % BUCKETS];
    wt->buckets[partition.low % BUCKETS] = f;
    f->slot = wt->file_count;
    wt->files[wt->file_count++] = f;
    *out = f;
    return SL_OK;
}

/* The budget is shared: above three quarters the largest open file is sealed early (I8). */
static sl_status make_room(worker *w, worker_table *wt) {
    sl_budget *budget = w->engine->budget;
    uint64_t limit = budget->limit / 4 * 3;
    for (int i = 0; i < 8 && sl_budget_used(budget) > limit && wt->file_count > 0; i++) {
        open_file *largest = file_largest(wt);
        sl_status status = file_seal(w, wt, largest);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

static sl_status file_write(worker *w, worker_table *wt, sl_hash128 partition,
                            const char *directory, const sl_batch *batch, const uint32_t *rows,
                            uint32_t count) {
    open_file *f = file_find(wt, partition);
    sl_status status = SL_OK;
    if (f != NULL && sl_parquet_schema(f->writer) != batch->schema &&
        sl_parquet_schema(f->writer)->version < batch->schema->version) {
        status = sl_parquet_extend(f->writer, batch->schema);
        if (status == SL_EFULL) { /* A row group is out already: the new columns begin a new file. */
            status = file_seal(w, wt, f);
            f = NULL;
        }
    }
    if (status == SL_OK && f == NULL) {
        if (wt->file_count >= OPEN_MAX)
            status = file_seal(w, wt, file_largest(wt));
        if (status == SL_OK)
            status = file_create(w, wt, batch->schema, partition, directory, &f);
    }
    if (status == SL_OK)
        status = sl_parquet_write(f->writer, batch, rows, count);
    if (status != SL_OK)
        return status;
    uint64_t first = sl_batch_position(batch, rows != NULL ? rows[0] : 0);
    uint64_t last = sl_batch_position(batch, rows != NULL ? rows[count - 1] : count - 1);
    f->first = first < f->first ? first : f->first;
    f->last = last > f->last ? last : f->last;
    if (sl_parquet_bytes(f->writer) >= wt->of->lake->target_size)
        return file_seal(w, wt, f);
    return SL_OK;
}

/* --- partitions --- */

static int64_t row_time(const sl_batch *batch, const shape *s, uint32_t row) {
    if (s->event_time != SL_NO_FIELD && sl_batch_present(batch, s->event_time, row))
        return batch->columns[s->event_time].values.i64[row];
    return sl_batch_arrival(batch, row);
}

/* Date and hour in the configured time zone, which the process was set to at its start. */
static void local_time(int64_t us, struct tm *out) {
    time_t seconds = (time_t)(sl_time_floor(us, SL_SECOND_US) / SL_SECOND_US);
    if (localtime_r(&seconds, out) == NULL)
        *out = (struct tm){0};
}

static void partition_value(sl_buffer *out, const table *t, uint32_t i, uint32_t field,
                            const sl_batch *batch, const shape *s, uint32_t row) {
    const char *name = t->lake->partition_by[i];
    char text[64];
    struct tm tm;
    if (field == PARTITION_DATE || field == PARTITION_HOUR) {
        local_time(row_time(batch, s, row), &tm);
        int n = field == PARTITION_HOUR
                    ? snprintf(text, sizeof text, "%02d", tm.tm_hour)
                    : snprintf(text, sizeof text, "%04d-%02d-%02d", tm.tm_year + 1900,
                               tm.tm_mon + 1, tm.tm_mday);
        sl_lake_partition(out, name, text, (size_t)n);
        return;
    }
    if (field == SL_NO_FIELD || !sl_batch_present(batch, field, row)) {
        sl_lake_partition(out, name, NULL, 0);
        return;
    }
    sl_value v = sl_value_of(batch, field, row);
    if (v.type == SL_TYPE_STRING) {
        sl_lake_partition(out, name, v.as.text.bytes, v.as.text.length);
        return;
    }
    sl_buffer json = SL_BUFFER_EMPTY;
    sl_value_json(&v, &json);
    out->failed = out->failed || json.failed; /* Else it would look like no value. */
    bool quoted = json.length >= 2 && json.bytes[0] == '"';
    sl_lake_partition(out, name, json.bytes + quoted, json.length - 2 * (size_t)quoted);
    sl_buffer_fini(&json);
}

/* A number that is equal for rows of equal partition value: hash of the value, or quarter of an hour (time
 * zones differ by no less). Rows of one batch mostly repeat the last row's. */
static uint64_t partition_part(uint32_t field, const sl_batch *batch, const shape *s, uint32_t row) {
    if (field == PARTITION_DATE || field == PARTITION_HOUR)
        return (uint64_t)(sl_time_floor(row_time(batch, s, row), 15 * SL_MINUTE_US) /
                          (15 * SL_MINUTE_US));
    if (field == SL_NO_FIELD || !sl_batch_present(batch, field, row))
        return UINT64_C(0x9e3779b97f4a7c15);
    const sl_column *c = &batch->columns[field];
    switch (batch->schema->fields[field].type) {
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        return sl_hash64(sl_batch_text(batch, c->values.span[row]), c->values.span[row].length, 1);
    case SL_TYPE_BOOL:
        return c->values.truth[row] + 1u;
    case SL_TYPE_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &c->values.f64[row], 8);
        return bits;
    }
    case SL_TYPE_INT64:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
        return (uint64_t)c->values.i64[row];
    case SL_TYPE_GROUP:
        break;
    }
    return 0;
}

enum { CACHE = 1024 };

/** Rows of one batch by partition: a small table from quick numbers to lists of rows. */
typedef struct scatter {
    uint64_t quick[CACHE];
    uint32_t first[CACHE], count[CACHE]; /* first row; number of rows */
    uint32_t used[CACHE];
    uint32_t groups;
} scatter;

static uint64_t quick_of(const shape *s, const table *t, const sl_batch *batch, uint32_t row) {
    uint64_t h = 1;
    for (uint32_t i = 0; i < t->lake->partition_count; i++) {
        h ^= partition_part(s->partition_fields[t->slot][i], batch, s, row) + i;
        h *= UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 32;
    }
    return h;
}

static sl_status write_group(worker *w, worker_table *wt, const shape *s, const sl_batch *batch,
                             const uint32_t *rows, uint32_t count) {
    sl_buffer directory = SL_BUFFER_EMPTY;
    for (uint32_t i = 0; i < wt->of->lake->partition_count; i++) {
        partition_value(&directory, wt->of, i, s->partition_fields[wt->of->slot][i], batch, s,
                        rows[0]);
        sl_buffer_byte(&directory, '/');
    }
    const char *text = sl_buffer_cstr(&directory);
    sl_status status = directory.failed
                           ? SL_ENOMEM
                           : file_write(w, wt, sl_hash128_of(text, directory.length), text, batch,
                                        rows, count);
    sl_buffer_fini(&directory);
    return status;
}

/* Sort the selected rows by partition (stable, so rows keep their order) and write each run. At most
 * CACHE / 2 partitions at a time; a batch with more goes in several rounds. */
static sl_status write_partitions(worker *w, worker_table *wt, const shape *s,
                                  const sl_batch *batch, const uint32_t *rows, uint32_t count) {
    static _Thread_local scatter g;
    static _Thread_local uint16_t slot_of[SL_BATCH_ROWS_MAX];
    sl_status status = SL_OK;
    for (uint32_t begin = 0; begin < count && status == SL_OK;) {
        memset(g.count, 0, sizeof g.count);
        g.groups = 0;
        uint32_t end = begin;
        for (; end < count; end++) {
            uint64_t q = quick_of(s, wt->of, batch, rows[end]);
            uint32_t at = (uint32_t)(q % CACHE);
            while (g.count[at] != 0 && g.quick[at] != q)
                at = (at + 1) % CACHE;
            if (g.count[at] == 0) {
                if (g.groups == CACHE / 2)
                    break;
                g.quick[at] = q;
                g.used[g.groups++] = at;
            }
            g.count[at]++;
            slot_of[end] = (uint16_t)at;
        }
        uint32_t sum = 0;
        for (uint32_t i = 0; i < g.groups; i++) {
            g.first[g.used[i]] = sum;
            sum += g.count[g.used[i]];
        }
        for (uint32_t i = begin; i < end; i++)
            w->order[g.first[slot_of[i]]++] = rows[i];
        for (uint32_t i = 0; i < g.groups && status == SL_OK; i++) {
            uint32_t at = g.used[i];
            status = write_group(w, wt, s, batch, w->order + g.first[at] - g.count[at], g.count[at]);
        }
        begin = end;
    }
    return status;
}

static sl_status add_lake(worker *w, worker_table *wt, const shape *s, const sl_batch *batch,
                          sl_verdict wanted) {
    uint32_t count = 0;
    for (uint32_t row = 0; row < batch->rows; row++) {
        w->selection[count] = row;
        count += batch->verdict[row] == (uint8_t)wanted;
    }
    if (count == 0)
        return SL_OK;
    wt->counts.rows += count;
    sl_status status = make_room(w, wt);
    if (status != SL_OK)
        return status;
    if (wanted == SL_VERDICT_KEEP && wt->of->lake->partition_count != 0)
        return write_partitions(w, wt, s, batch, w->selection, count);
    static const sl_hash128 whole = {0, 0};
    return file_write(w, wt, whole, "", batch, count == batch->rows ? NULL : w->selection, count);
}

/* --- dead letters --- */

static void letter_text(sl_batch *b, uint32_t field, uint32_t row, const void *text, size_t length) {
    b->columns[field].valid[row] = 1;
    b->columns[field].values.span[row] = sl_batch_keep_text(b, text, length);
}

static void letter_int(sl_batch *b, uint32_t field, uint32_t row, int64_t value) {
    b->columns[field].valid[row] = 1;
    b->columns[field].values.i64[row] = value;
}

static void letter(worker *w, const part *p, const sl_reject *r, sl_batch *b) {
    const sl_record *record = &p->batch->records[r->record];
    const stream *s = p->shape->of;
    const char *code = sl_code_name(r->code);
    const char *source = sl_source_names[record->source];
    const char *stage = r->code == SL_CODE_NO_STREAM                             ? "route"
                        : r->code <= SL_CODE_TOO_DEEP && r->code != SL_CODE_NONE ? "decode"
                                                                                 : "schema";
    uint32_t row = b->rows++;
    b->row_record[row] = r->record;
    b->row_begin[row] = r->begin;
    b->row_length[row] = r->length;
    b->verdict[row] = SL_VERDICT_KEEP;
    uint32_t f = 1;
    letter_text(b, f++, row, s->name, strlen(s->name));
    letter_text(b, f++, row, stage, strlen(stage));
    letter_text(b, f++, row, code, strlen(code));
    letter_text(b, f++, row, sl_batch_text(p->batch, r->path), r->path.length);
    letter_text(b, f++, row, sl_batch_text(p->batch, r->message), r->message.length);
    letter_int(b, f++, row, r->at);
    b->columns[f].valid[row] = 1;
    b->columns[f++].values.span[row] = (sl_span){r->begin, r->length};
    letter_text(b, f++, row, w->engine->partition, strlen(w->engine->partition));
    letter_int(b, f++, row, (int64_t)(record->position + (r->begin - record->body)));
    letter_int(b, f++, row, r->index);
    letter_int(b, f++, row, p->shape->schema->version);
    letter_int(b, f++, row, record->arrival_us);
    letter_text(b, f, row, source, strlen(source));
}

static sl_status add_dead(worker *w, worker_table *wt, const task *t, const part *p) {
    static const sl_hash128 whole = {0, 0};
    sl_batch *b = w->letters;
    for (uint32_t i = 0; i < p->batch->reject_count;) {
        sl_status status = sl_batch_prepare(b, w->engine->letters, t->group->bytes, t->records);
        if (status != SL_OK)
            return status;
        while (i < p->batch->reject_count && b->rows < b->capacity)
            letter(w, p, &p->batch->rejects[i++], b);
        if (b->arena.failed)
            return SL_ENOMEM;
        wt->counts.rows += b->rows;
        status = file_write(w, wt, whole, "", b, NULL, b->rows);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

/* --- rows to a warehouse --- */

static sl_status rows_flush(worker *w, worker_table *wt) {
    if (wt->rows.failed)
        return SL_ENOMEM;
    if (wt->rows_file < 0) {
        wt->rows_spool = spool_name(w, "rows");
        if (wt->rows_spool == NULL)
            return SL_ENOMEM;
        sl_status status = spool_open(w->engine, wt->rows_spool, &wt->rows_file);
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
static sl_status rows_seal(worker *w, worker_table *wt) {
    if (wt->rows_count == 0)
        return SL_OK;
    sl_status status = rows_flush(w, wt);
    if (status != SL_OK)
        return status;
    if (!sealed_room(wt))
        return SL_ENOMEM;
    w->engine->files->close(w->engine->files, wt->rows_file);
    wt->rows_file = -1;
    wt->sealed[wt->sealed_count++] = (sealed_file){.spool = wt->rows_spool,
                                                   .directory = NULL,
                                                   .bytes = wt->rows_at,
                                                   .rows = wt->rows_count,
                                                   .hash = sl_hasher_sum(wt->rows_hash)};
    wt->rows_spool = NULL;
    wt->rows_at = wt->rows_count = 0;
    wt->rows_columns = 0;
    sl_hasher_reset(wt->rows_hash);
    return SL_OK;
}

static sl_status add_rows(worker *w, worker_table *wt, shape *s, const sl_batch *batch) {
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

/* --- windows --- */

static sl_status keep_delta(void *context, const sl_window_row *row) {
    worker_table *wt = context;
    delta_put(&wt->deltas, row);
    wt->delta_count++;
    return wt->deltas.failed ? SL_ENOMEM : SL_OK;
}

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

/* Panes that follow an older shape are emitted; their deltas merge with what comes. */
static sl_status window_turn(worker_table *wt, shape *s) {
    sl_status status = SL_OK;
    if (wt->window != NULL) {
        status = sl_window_cut(wt->window, keep_delta, wt);
        if (status != SL_OK)
            return status;
        sl_window_destroy(wt->window);
        wt->window = NULL;
    }
    shape_unref(wt->shape);
    wt->shape = shape_ref(s);
    return status;
}

static sl_status add_window(worker *w, worker_table *wt, part *p, bool *full) {
    shape *s = p->shape;
    sl_status status = SL_OK;
    if (wt->shape != s)
        status = window_turn(wt, s);
    if (status == SL_OK && wt->window == NULL)
        status = sl_window_create(s->plans[wt->of->slot], w->engine->budget, &wt->window);
    uint64_t late = 0, before = wt->window != NULL ? sl_window_rows(wt->window) : 0, emitted = 0;
    uint32_t row = 0;
    while (status == SL_OK && row < p->batch->rows) {
        uint32_t at = row;
        status = sl_window_add(wt->window, p->batch, &row, p->watermark_us, &late);
        if (status == SL_EFULL) {
            /* The panes don't fit any more: emit them early, and ask for a cut. */
            *full = true;
            emitted += sl_window_rows(wt->window) - before;
            before = 0;
            status = sl_window_cut(wt->window, keep_delta, wt);
            if (status == SL_OK && row == at && emitted == 0)
                status = SL_ENOMEM; /* Not even one group fits. */
        }
    }
    if (status == SL_OK && wt->window != NULL)
        wt->counts.rows += emitted + sl_window_rows(wt->window) - before;
    if (late != 0)
        sl_metric_add(s->of->late, (int64_t)late);
    return status;
}

/* --- a task --- */

worker_table *worker_states_create(uint32_t workers) {
    return sl_calloc(workers, sizeof(worker_table));
}

static worker_table *state_of(const worker *w, table *t) {
    worker_table *wt = &t->states[w->index];
    if (wt->of == NULL) {
        wt->of = t;
        wt->rows_file = -1;
        wt->skip_below = t->first_skip;
    }
    return wt;
}

/* Rows behind their own partition's watermark by more than late_limit go to the late table. */
static uint32_t mark_late(part *p) {
    const sl_config_stream *c = p->shape->of->config;
    if (c == NULL || c->late_limit_us == 0)
        return 0;
    sl_batch *b = p->batch;
    int64_t watermark = p->watermark_us;
    uint32_t late = 0;
    uint32_t field = p->shape->event_time;
    for (uint32_t row = 0; row < b->rows; row++) {
        if (field != SL_NO_FIELD && !sl_batch_present(b, field, row))
            continue; /* Without an event time it is never late, and moves nothing. */
        int64_t arrival = sl_batch_arrival(b, row), time = row_time(b, p->shape, row);
        if (watermark != SL_NO_TIME && b->verdict[row] == SL_VERDICT_KEEP &&
            time < watermark - c->late_limit_us) {
            b->verdict[row] = SL_VERDICT_LATE;
            late++;
        }
        int64_t step = time < arrival ? time : arrival;
        if (watermark == SL_NO_TIME || step > watermark)
            watermark = step;
    }
    return late;
}

static sl_status add_part(worker *w, worker_table *wt, task *t, part *p, bool *full) {
    switch (wt->of->kind) {
    case SL_TABLE_LAKE:
        return add_lake(w, wt, p->shape, p->batch, SL_VERDICT_KEEP);
    case SL_TABLE_LATE:
        return add_lake(w, wt, p->shape, p->batch, SL_VERDICT_LATE);
    case SL_TABLE_DEAD:
        return add_dead(w, wt, t, p);
    case SL_TABLE_ROWS:
        return add_rows(w, wt, p->shape, p->batch);
    case SL_TABLE_WINDOW:
        return add_window(w, wt, p, full);
    }
    return SL_OK;
}

static void note_broken(task *t, table *b, sl_status status) {
    t->broken = true;
    atomic_store_explicit(&b->broken, (int)status, memory_order_relaxed);
}

void worker_process(worker *w, task *t) {
    for (uint32_t i = 0; i < t->part_count; i++) {
        part *p = &t->parts[i];
        if (p->skip)
            continue;
        stream *s = p->shape->of;
        uint32_t late = mark_late(p);
        sl_counts counts = {.received = p->batch->rows + p->batch->reject_count,
                            .dead = p->batch->reject_count,
                            .late = late};
        for (uint32_t k = 0; k < s->table_count; k++) {
            worker_table *wt = state_of(w, s->tables[k]);
            if (t->group->offset < wt->skip_below || wt->status != SL_OK)
                continue;
            bool companion = wt->of->kind == SL_TABLE_DEAD || wt->of->kind == SL_TABLE_LATE;
            if (!companion)
                sl_counts_add(&wt->counts, &counts);
            bool full = false;
            wt->status = add_part(w, wt, t, p, &full);
            if (full)
                t->full = wt->of;
            if (wt->status != SL_OK) {
                note_broken(t, wt->of, wt->status);
            }
        }
    }
}

/* --- cuts --- */

static void clear(worker *w, worker_table *wt) {
    while (wt->file_count != 0) {
        open_file *f = wt->files[0];
        file_forget(wt, f);
        if (f->file >= 0)
            spool_remove(w->engine, f->spool);
        file_free(f);
    }
    for (uint32_t i = 0; i < wt->sealed_count; i++) {
        spool_remove(w->engine, wt->sealed[i].spool);
        sealed_free(&wt->sealed[i]);
    }
    wt->sealed_count = 0;
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
    if (wt->window != NULL)
        sl_window_forget(wt->window);
    sl_buffer_fini(&wt->deltas);
    wt->delta_count = 0;
    wt->counts = (sl_counts){0};
}

/* @return SL_EAGAIN while there is more to seal. */
static sl_status seal_slice(worker *w, worker_table *wt) {
    if (wt->file_count != 0) {
        sl_status status = file_finish(w, wt, wt->files[wt->file_count - 1]);
        return status == SL_OK ? SL_EAGAIN : status;
    }
    if (wt->of->kind == SL_TABLE_ROWS)
        return rows_seal(w, wt);
    if (wt->window != NULL)
        return sl_window_cut(wt->window, keep_delta, wt);
    return SL_OK;
}

static void hand_over(worker_table *wt, cut_result *r) {
    r->status = wt->status;
    r->counts = wt->counts;
    r->files = wt->sealed;
    r->file_count = wt->sealed_count;
    r->file_capacity = wt->sealed_capacity;
    r->deltas = wt->deltas;
    r->delta_count = wt->delta_count;
    wt->sealed = NULL;
    wt->sealed_count = wt->sealed_capacity = 0;
    wt->deltas = SL_BUFFER_EMPTY;
    wt->delta_count = 0;
    wt->counts = (sl_counts){0};
}

bool worker_cut_slice(worker *w, cut *c) {
    if (w->cutting_table == c->table_count)
        return true;
    uint32_t i = w->cutting_table;
    worker_table *wt = state_of(w, c->tables[i]);
    cut_result *r = &c->results[w->index * c->table_count + i];
    if (wt->status == SL_OK) {
        sl_status status = seal_slice(w, wt);
        if (status == SL_EAGAIN)
            return false;
        wt->status = status;
    }
    hand_over(wt, r);
    w->cutting_table++;
    return w->cutting_table == c->table_count;
}

void worker_rewind(worker *w, const rewind_order *order) {
    for (uint32_t i = 0; i < order->count; i++) {
        worker_table *wt = state_of(w, order->tables[i]);
        if (order->drop[i]) {
            clear(w, wt);
            wt->status = SL_OK;
        }
        wt->skip_below = order->skip_below[i];
    }
}

void worker_peek(worker *w, peek *p) {
    worker_table *wt = state_of(w, p->of);
    sl_buffer *out = &p->deltas[w->index];
    sl_buffer_append(out, wt->deltas.bytes, wt->deltas.length);
    worker_table view = {.deltas = *out};
    if (wt->window != NULL && sl_window_peek(wt->window, keep_delta, &view) != SL_OK)
        view.deltas.failed = true;
    *out = view.deltas;
}

void worker_tables_destroy(worker *w) {
    for (uint32_t i = 0; i < w->engine->table_count; i++) {
        worker_table *wt = &w->engine->tables[i]->states[w->index];
        if (wt->of == NULL)
            continue;
        clear(w, wt);
        sl_window_destroy(wt->window);
        shape_unref(wt->shape);
        sl_parquet_hints_destroy(wt->hints);
        sl_free(wt->files);
        sl_free(wt->sealed);
        sl_buffer_fini(&wt->rows);
        if (wt->rows_hash != NULL)
            sl_hasher_destroy(wt->rows_hash);
    }
}
