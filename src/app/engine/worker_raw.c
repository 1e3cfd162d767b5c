/* The raw zone: every record of a stream as it came, by the hour of its arrival.
 *
 * A record's events may stand in several parts of a task, and all of them may be dead letters; so this goes by the task's
 * records, once for a stream and task. A record that streams share is in the zone of each that took an event of it. Records arrive in order but for a little, so the file of the last hour
 * and that of the one before it are all that is ever open. */
#include "records.h"
#include "worker_tables.h"

#include "sluice/ndjson.h"

#include <stdio.h>

enum { LONG_BYTES = 256 << 10 };

struct raw_file {
    char *directory, *spool;
    sl_engine *engine;
    sl_ndjson_writer *writer;
    int64_t quarter; /* of an hour, of the record written last */
    uint64_t at;
    int file; /* -1: nothing was written yet */
};

static sl_status write_compressed(void *context, const void *bytes, size_t length) {
    raw_file *f = context;
    sl_status status = f->file < 0 ? spool_create(f->engine, f->spool, &f->file, NULL) : SL_OK;
    if (status == SL_OK)
        status = f->engine->files->write(f->engine->files, f->file, bytes, length, f->at, NULL);
    if (status == SL_OK)
        f->at += length;
    return status;
}

static void raw_free(raw_file *f) {
    sl_ndjson_destroy(f->writer);
    if (f->file >= 0)
        f->engine->files->close(f->engine->files, f->file);
    sl_free(f->directory);
    sl_free(f->spool);
    sl_free(f);
}

static sl_status raw_finish(worker_table *wt, uint32_t i) {
    raw_file *f = wt->raw[i];
    sl_ndjson_result result;
    sl_status status = sl_ndjson_finish(f->writer, &result);
    if (status != SL_OK)
        return status;
    const sealed_file sealed = {.spool = f->spool,
                                .directory = f->directory,
                                .bytes = result.bytes,
                                .rows = result.records,
                                .hash = result.hash};
    status = sealed_add(wt, &sealed);
    if (status != SL_OK)
        return status;
    f->spool = f->directory = NULL;
    raw_free(f);
    wt->raw[i] = NULL;
    return SL_OK;
}

static sl_status raw_create(worker *w, const char *directory, raw_file **out) {
    raw_file *f = sl_calloc(1, sizeof *f);
    if (f == NULL)
        return SL_ENOMEM;
    f->file = -1;
    f->engine = w->engine;
    f->directory = sl_strdup(directory);
    f->spool = spool_name(w, "ndjson.zst");
    sl_status status = f->directory == NULL || f->spool == NULL
                           ? SL_ENOMEM
                           : sl_ndjson_create(w->engine->budget, write_compressed, f, &f->writer);
    if (status != SL_OK) {
        raw_free(f);
        return status;
    }
    *out = f;
    return SL_OK;
}

/* The file that takes what arrived then, as wt->raw[0]. */
static sl_status raw_open(worker *w, worker_table *wt, int64_t arrival_us) {
    /* Time zones differ by quarters of an hour, so within one the hour's directory is the same. */
    int64_t quarter = sl_time_floor(arrival_us, 15 * SL_MINUTE_US);
    if (wt->raw[0] != NULL && wt->raw[0]->quarter == quarter)
        return SL_OK;
    struct tm tm;
    local_time(arrival_us, &tm);
    char directory[64];
    (void)snprintf(directory, sizeof directory, "date=%04d-%02d-%02d/hour=%02d/", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour);
    if (wt->raw[0] == NULL || strcmp(wt->raw[0]->directory, directory) != 0) {
        raw_file *other = wt->raw[1];
        if (other == NULL || strcmp(other->directory, directory) != 0) {
            sl_status status = other != NULL ? raw_finish(wt, 1) : SL_OK;
            if (status == SL_OK)
                status = raw_create(w, directory, &other);
            if (status != SL_OK)
                return status;
        }
        wt->raw[1] = wt->raw[0];
        wt->raw[0] = other;
    }
    wt->raw[0]->quarter = quarter;
    return SL_OK;
}

/* The budget is shared (I8). A short file holds as much of it as a long one: where memory is scarce long ones end, where it is
 * nearly used up all do. */
static sl_status make_room(const worker *w, worker_table *wt) {
    const sl_budget *budget = w->engine->budget;
    uint64_t used = sl_budget_used(budget);
    uint64_t least = used > budget->limit / 8 * 7 ? 0 : used > budget->limit / 4 * 3 ? LONG_BYTES : UINT64_MAX;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < RAW_OPEN && status == SL_OK; i++)
        if (wt->raw[i] != NULL && sl_ndjson_bytes(wt->raw[i]->writer) >= least)
            status = raw_finish(wt, i);
    return status;
}

static sl_status write_record(const worker *w, sl_ndjson_writer *writer, const task *t, uint32_t i) {
    const sl_record *r = &t->records[i];
    const char *source = w->engine->sources[r->source];
    sl_message_address address;
    const bool own = items_address(t, r, &address);
    const sl_ndjson_mark mark = {.arrival_us = r->arrival_us,
                                 .source = source,
                                 .source_length = strlen(source),
                                 .named = own ? address.stream_length != 0
                                              : t->group->records[r->carrier != 0 ? r->carrier - 1 : i].stream_length != 0,
                                 .format = r->format};
    return sl_ndjson_write(writer, t->group->bytes + r->body, r->length, &mark);
}

sl_status raw_add(worker *w, worker_table *wt, const task *t) {
    sl_status status = SL_OK;
    route_cursor cursor = {0};
    for (uint32_t i = 0; i < t->record_count && status == SL_OK; i++) {
        const sl_record *r = &t->records[i];
        bool ours = r->stream == ROUTED ? route_has(t, wt->of->of, i, &cursor) : r->stream == wt->of->of->index;
        bool passed = r->replay || items_carried(r->format) || (r->carrier == 0 && t->group->records[i].damaged);
        if (passed || !ours)
            continue;
        status = raw_open(w, wt, r->arrival_us);
        if (status == SL_OK)
            status = write_record(w, wt->raw[0]->writer, t, i);
        wt->counts.received++;
        wt->counts.rows++;
        const sl_ndjson_writer *writer = wt->raw[0] != NULL ? wt->raw[0]->writer : NULL;
        if (status == SL_OK && (sl_ndjson_full(writer) || sl_ndjson_bytes(writer) >= wt->of->lake->target_size))
            status = raw_finish(wt, 0);
    }
    return status == SL_OK ? make_room(w, wt) : status;
}

sl_status raw_seal(worker_table *wt) {
    for (uint32_t i = 0; i < RAW_OPEN; i++)
        if (wt->raw[i] != NULL) {
            sl_status status = raw_finish(wt, i);
            return status == SL_OK ? SL_EAGAIN : status;
        }
    return SL_OK;
}

void raw_drop(worker *w, worker_table *wt) {
    for (uint32_t i = 0; i < RAW_OPEN; i++) {
        raw_file *f = wt->raw[i];
        wt->raw[i] = NULL;
        if (f == NULL)
            continue;
        if (f->file >= 0)
            spool_remove(w->engine, f->spool);
        raw_free(f);
    }
}
