/* One entry into a topic: marker, transaction, marker. */
#include "sluice/topic.h"

#include "sluice/memory.h"
#include "sluice/rows.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 3, METADATA_MAX = 64 };

void sl_topic_group(const char *partition, const char *table, sl_buffer *out) {
    const char *identity = strchr(partition, ':');
    sl_buffer_clear(out);
    sl_buffer_printf(out, "sluice.%s.%s", identity != NULL ? identity + 1 : partition, table);
}

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "topic: out of memory");
}

/* --- messages of several files, by position --- */

typedef struct source {
    const sl_entry_file *file;
    uint64_t first;
} source;

typedef struct run {
    sl_rows_reader reader;
    char *bytes;
} run;

typedef struct merge {
    const sl_topic_load *load;
    source *sources; /* By `first`. */
    uint32_t next;   /* Not opened yet. */
    run *runs;
    uint32_t count;
} merge;

static int by_first(const void *a, const void *b) {
    const source *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* "g1-w0-7.00000000000004d2.rows" */
static uint64_t first_of(const sl_entry_file *file) {
    const char *dot = strchr(file->spool, '.');
    return dot != NULL ? strtoull(dot + 1, NULL, 16) : 0;
}

static sl_status merge_init(merge *m, const sl_topic_load *load, sl_error *error) {
    const uint32_t files = load->entry->file_count;
    *m = (merge){.load = load, .sources = sl_calloc(files + 1, sizeof *m->sources), .runs = sl_calloc(files + 1, sizeof *m->runs)};
    if (m->sources == NULL || m->runs == NULL)
        return no_memory(error);
    for (uint32_t i = 0; i < files; i++)
        m->sources[i] = (source){&load->entry->files[i], first_of(&load->entry->files[i])};
    qsort(m->sources, files, sizeof *m->sources, by_first);
    return SL_OK;
}

static void run_fini(run *r) {
    sl_rows_fini(&r->reader);
    sl_free(r->bytes);
    *r = (run){0};
}

static void merge_fini(merge *m) {
    for (uint32_t i = 0; i < m->count; i++)
        run_fini(&m->runs[i]);
    sl_free(m->runs);
    sl_free(m->sources);
}

static sl_status damaged(const source *s, sl_error *error) {
    return sl_error_set(error, SL_ECORRUPT, "%s: the spooled messages are damaged", s->file->spool);
}

static sl_status open_rows(const source *s, run *r, size_t length, sl_error *error) {
    const sl_hash128 hash = sl_hash128_of(r->bytes, length);
    if (hash.low != s->file->hash.low || hash.high != s->file->hash.high)
        return damaged(s, error);
    sl_status status = sl_rows_open((const uint8_t *)r->bytes, length, &r->reader);
    if (status == SL_OK && r->reader.count != COLUMNS)
        status = SL_ECORRUPT;
    if (status == SL_OK)
        status = sl_rows_next(&r->reader);
    return status == SL_ENOMEM ? no_memory(error) : status != SL_OK ? damaged(s, error) : SL_OK;
}

static sl_status open_next(merge *m, sl_error *error) {
    const source *s = &m->sources[m->next];
    run *r = &m->runs[m->count];
    sl_buffer path = SL_BUFFER_EMPTY;
    size_t length = 0;
    sl_buffer_printf(&path, "%s/%s", m->load->spool, s->file->spool);
    const char *text = sl_buffer_cstr(&path);
    sl_status status = path.failed ? no_memory(error)
                                   : sl_files_read_all(m->load->files, text, UINT32_MAX, &r->bytes, &length, error);
    sl_buffer_fini(&path);
    if (status == SL_ENOTFOUND)
        status = sl_error_set(error, SL_EIO, "%s is missing from the spool", s->file->spool);
    if (status == SL_OK)
        status = open_rows(s, r, length, error);
    if (status != SL_OK) {
        run_fini(r);
        return status;
    }
    m->next++;
    m->count++;
    return SL_OK;
}

static run *least(const merge *m) {
    run *found = NULL;
    for (uint32_t i = 0; i < m->count; i++)
        if (found == NULL || m->runs[i].reader.values[0].as.i64 < found->reader.values[0].as.i64)
            found = &m->runs[i];
    return found;
}

/* Those are open that may hold the next message. @param[out] out NULL: there are no more. */
static sl_status merge_next(merge *m, run **out, sl_error *error) {
    sl_status status = SL_OK;
    *out = least(m);
    while (status == SL_OK && m->next < m->load->entry->file_count &&
           (*out == NULL || m->sources[m->next].first < (uint64_t)(*out)->reader.values[0].as.i64)) {
        status = open_next(m, error);
        *out = least(m);
    }
    return status;
}

static sl_status advance(merge *m, run *r, sl_error *error) {
    const sl_status status = sl_rows_next(&r->reader);
    if (status == SL_OK)
        return SL_OK;
    if (status != SL_ENOTFOUND)
        return status == SL_ENOMEM ? no_memory(error) : sl_error_set(error, SL_ECORRUPT, "the spooled messages are damaged");
    run_fini(r);
    *r = m->runs[--m->count];
    m->runs[m->count] = (run){0};
    return SL_OK;
}

/* --- a transaction --- */

/* What isn't ours to judge comes again: only the marker's state and damaged files stop a table. */
static sl_status again(sl_status status, sl_error *error) {
    if (status == SL_OK || sl_status_follow_up(status) == SL_FOLLOW_RETRY)
        return status;
    if (error != NULL)
        error->status = SL_EIO;
    return SL_EIO;
}

static sl_status need_writer(const sl_topic_port *port, void **writer, const char *group, const char *topic, sl_error *error) {
    return *writer != NULL ? SL_OK : again(port->open(port->context, group, topic, writer, error), error);
}

static void give_up(const sl_topic_port *port, void **writer) {
    if (*writer != NULL)
        port->close(port->context, *writer);
    *writer = NULL;
}

static sl_status put_all(const sl_topic_port *port, void *writer, const sl_topic_load *load, sl_error *error) {
    merge m;
    run *r;
    sl_status status = merge_init(&m, load, error);
    while (status == SL_OK && (status = merge_next(&m, &r, error)) == SL_OK && r != NULL) {
        const sl_value *v = r->reader.values;
        const sl_kafka_record record = {.topic = load->topic,
                                        .partition = -1,
                                        .key = v[1].null ? NULL : v[1].as.text.length != 0 ? v[1].as.text.bytes : (const void *)"",
                                        .key_length = v[1].null ? 0 : v[1].as.text.length,
                                        .value = v[2].as.text.bytes,
                                        .value_length = v[2].as.text.length};
        status = again(port->put(port->context, writer, &record, error), error);
        if (status == SL_OK && load->stop != NULL && atomic_load_explicit(load->stop, memory_order_relaxed))
            status = sl_error_set(error, SL_EAGAIN, "topic %s: stopped", load->topic);
        if (status == SL_OK)
            status = advance(&m, r, error);
    }
    merge_fini(&m);
    return status;
}

static sl_status move(const sl_topic_port *port, void *writer, const sl_topic_load *load, sl_error *error) {
    char metadata[METADATA_MAX];
    (void)snprintf(metadata, sizeof metadata, "%s %" PRIu64, load->hash, load->entry->from);
    const sl_kafka_offset marker = {load->topic, 0, (int64_t)load->entry->to, metadata};
    return again(port->move(port->context, writer, load->group, &marker, error), error);
}

/* After a failure there is nothing of it, or its commit is in doubt, which the next look at the marker ends: by then a new writer
 * has taken the id over, so that what the old one began is either done or void. */
static sl_status write_all(const sl_topic_port *port, void **writer, const sl_topic_load *load, sl_error *error) {
    sl_status status = again(port->begin(port->context, *writer, error), error);
    if (status == SL_OK)
        status = put_all(port, *writer, load, error);
    if (status == SL_OK)
        status = move(port, *writer, load, error);
    sl_error ignored;
    if (status == SL_OK)
        status = again(port->commit(port->context, *writer, error), error);
    else /* Consumers needn't wait until the next try for what comes behind it. */
        (void)port->abort(port->context, *writer, &ignored);
    if (status != SL_OK)
        give_up(port, writer);
    return status;
}

typedef enum verdict { WRITE, DONE, CONFLICT } verdict;

static verdict judge(const sl_topic_load *load, const sl_kafka_offset *marker) {
    const size_t length = strlen(load->hash);
    const uint64_t at = (uint64_t)marker->offset;
    if (marker->offset < 0)
        return load->first ? WRITE : CONFLICT;
    if (at == load->entry->to)
        return strncmp(marker->metadata, load->hash, length) == 0 && marker->metadata[length] == ' ' ? DONE : CONFLICT;
    return at == load->entry->from ? WRITE : CONFLICT;
}

static sl_status conflict(const sl_topic_load *load, const sl_kafka_offset *marker, sl_error *error) {
    const sl_entry *e = load->entry;
    if (marker->offset < 0)
        return sl_error_set(error, SL_ECONFLICT,
                            "topic %s has no marker (group %s), but it had messages up to position %" PRIu64
                            ": it was deleted, and made anew or not, or the group was; see docs/kafka.md",
                            load->topic, load->group, e->from);
    return sl_error_set(error, SL_ECONFLICT,
                        "the marker of topic %s (group %s) stands at %" PRId64 ", neither at %" PRIu64 " nor at %" PRIu64
                        " with these messages: another daemon has written to it from this log",
                        load->topic, load->group, marker->offset, e->from, e->to);
}

sl_status sl_topic_apply(const sl_topic_port *port, void **writer, const sl_topic_load *load, sl_error *error) {
    sl_kafka_offset marker = {load->topic, 0, -1, ""};
    sl_status status = need_writer(port, writer, load->group, load->topic, error);
    if (status == SL_OK)
        status = again(port->read(port->context, *writer, load->group, &marker, error), error);
    if (status != SL_OK) {
        give_up(port, writer);
        return status;
    }
    switch (judge(load, &marker)) {
    case DONE:
        return SL_OK;
    case WRITE:
        return write_all(port, writer, load, error);
    case CONFLICT:
        break;
    }
    return conflict(load, &marker, error);
}

sl_status sl_topic_refresh(const sl_topic_port *port, void **writer, const char *group, const char *topic, sl_error *error) {
    sl_kafka_offset marker = {topic, 0, -1, ""};
    char metadata[METADATA_MAX];
    sl_status status = need_writer(port, writer, group, topic, error);
    if (status == SL_OK)
        status = again(port->read(port->context, *writer, group, &marker, error), error);
    if (status == SL_OK && marker.offset < 0)
        return SL_OK;
    (void)snprintf(metadata, sizeof metadata, "%s", marker.metadata);
    marker.metadata = metadata;
    if (status == SL_OK)
        status = again(port->begin(port->context, *writer, error), error);
    if (status == SL_OK)
        status = again(port->move(port->context, *writer, group, &marker, error), error);
    if (status == SL_OK)
        status = again(port->commit(port->context, *writer, error), error);
    if (status != SL_OK)
        give_up(port, writer);
    return status;
}
