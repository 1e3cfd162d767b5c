/* Open Parquet files by partition: lake and late events, and whole tables without any. */
#include "partition.h"
#include "worker_tables.h"

#include "sluice/lake.h"
#include "sluice/parquet.h"

#include <stdio.h>

enum {
    OPEN_MAX = 4096, /* Parquet files open at once, per worker and table. */
    ROW_GROUP = 16 << 20,
};

/** A Parquet file that is being written into the spool. */
struct open_file {
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
};

static sl_status write_parquet(void *context, const void *bytes, size_t length) {
    open_file *f = context;
    sl_files *files = f->engine->files;
    if (f->file < 0) {
        sl_status status = spool_create(f->engine, f->spool, &f->file, NULL);
        if (status != SL_OK)
            return status;
    }
    sl_status status = files->write(files, f->file, bytes, length, f->at, NULL);
    if (status == SL_OK)
        f->at += length;
    return status;
}

static void file_forget(worker_table *wt, open_file *f) {
    open_file **at = &wt->buckets[f->partition.low % FILE_BUCKETS];
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
    const sealed_file sealed = {.spool = f->spool,
                                .directory = f->directory,
                                .bytes = result.bytes,
                                .rows = result.rows,
                                .hash = result.hash};
    status = sealed_add(wt, &sealed);
    if (status != SL_OK)
        return status;
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
    open_file *f = wt->buckets[partition.low % FILE_BUCKETS];
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
    f->next = wt->buckets[partition.low % FILE_BUCKETS];
    wt->buckets[partition.low % FILE_BUCKETS] = f;
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

sl_status files_write(worker *w, worker_table *wt, sl_hash128 partition, const char *directory,
                      const sl_batch *batch, const uint32_t *rows, uint32_t count) {
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

int64_t row_time(const sl_batch *batch, const shape *s, uint32_t row) {
    if (s->event_time != SL_NO_FIELD && sl_batch_present(batch, s->event_time, row))
        return batch->columns[s->event_time].values.i64[row];
    return sl_batch_arrival(batch, row);
}

void local_time(int64_t us, struct tm *out) {
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
                           : files_write(w, wt, sl_hash128_of(text, directory.length), text, batch,
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

sl_status files_add(worker *w, worker_table *wt, const shape *s, const sl_batch *batch, sl_verdict wanted) {
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
    return files_write(w, wt, whole, "", batch, count == batch->rows ? NULL : w->selection, count);
}

sl_status files_seal(worker *w, worker_table *wt) {
    if (wt->file_count == 0)
        return SL_OK;
    sl_status status = file_finish(w, wt, wt->files[wt->file_count - 1]);
    return status == SL_OK ? SL_EAGAIN : status;
}

void files_drop(worker *w, worker_table *wt) {
    while (wt->file_count != 0) {
        open_file *f = wt->files[0];
        file_forget(wt, f);
        if (f->file >= 0)
            spool_remove(w->engine, f->spool);
        file_free(f);
    }
}

void files_fini(worker_table *wt) {
    sl_parquet_hints_destroy(wt->hints);
    sl_free(wt->files);
}
