/* Raw records again, into fresh tables: a daemon of its own, with a data_dir below the stream's and a configuration made of today's,
 * is given the records in the order in which they came, with the times at which they came. What it leaves is proven as any
 * data_dir is. */
#include "private.h"

#include "sluice/audit.h"
#include "sluice/daemon.h"

#include "sluice/io_files.h"
#include "sluice/ndjson.h"
#include "sluice/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH_BYTES = 1 << 20, BATCH_ITEMS = 1000 };

typedef struct into {
    sl_config *config;
    const replay_options *options;
    const sl_config_stream *stream;
    sl_buffer directory; /* data_dir of the fresh tables */
    replay_daemon *daemon;
    sl_buffer batch;
    uint32_t items;
    bool named;          /* The batch's records named their stream. */
    uint64_t records, next;
    sl_error *error;
} into;

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

/* --- may it be? --- */

static bool taken(const sl_config *c, const char *name) {
    for (uint32_t i = 0; i < c->stream_count; i++)
        if (strcmp(c->streams[i].name, name) == 0 ||
            (c->streams[i].warehouse.name != NULL && strcmp(c->streams[i].warehouse.name, name) == 0))
            return true;
    for (uint32_t i = 0; i < c->window_count; i++)
        if (strcmp(c->windows[i].definition.name, name) == 0 ||
            (c->windows[i].warehouse.name != NULL && strcmp(c->windows[i].warehouse.name, name) == 0))
            return true;
    return false;
}

static bool is_name(const char *text) {
    size_t letters = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    return letters != 0 && letters <= 48 && text[letters] == 0 && !(text[0] >= '0' && text[0] <= '9');
}

static sl_status check(into *r) {
    const sl_config *c = r->config;
    const replay_options *o = r->options;
    for (uint32_t i = 0; i < c->stream_count; i++)
        if (strcmp(c->streams[i].name, o->stream) == 0)
            r->stream = &c->streams[i];
    if (r->stream == NULL)
        return sl_error_set(r->error, SL_ENOTFOUND, "no stream '%s' is configured", o->stream);
    if (!is_name(o->into))
        return sl_error_set(r->error, SL_EINVAL, "--into %s: a letter or _, then up to 47 letters, digits, _", o->into);
    if (taken(c, o->into))
        return sl_error_set(r->error, SL_EEXIST, "--into %s: the configuration has a stream, window or table of that name", o->into);
    sl_buffer_printf(&r->directory, "%s/replays/%s", c->data_dir, o->into);
    const char *directory = sl_buffer_cstr(&r->directory);
    if (r->directory.failed)
        return no_memory(r->error);
    if (access(directory, F_OK) == 0)
        return sl_error_set(r->error, SL_EEXIST,
                            "%s is there already: choose another name, or remove it together with the files and tables that it made", directory);
    return SL_OK;
}

/* --- the configuration of the fresh tables --- */

/* "s3://shop/curated/clicks" becomes "s3://shop/curated/NAME". */
static char *beside(const char *place, const char *name) {
    size_t length = strlen(place);
    while (length > 1 && place[length - 1] == '/')
        length--;
    while (length != 0 && place[length - 1] != '/')
        length--;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%.*s%s", (int)length, place, name);
    char *copy = text.failed ? NULL : sl_strdup(sl_buffer_cstr(&text));
    sl_buffer_fini(&text);
    return copy;
}

static char *joined(const char *name, const char *window) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%s_%s", name, window);
    char *copy = text.failed ? NULL : sl_strdup(sl_buffer_cstr(&text));
    sl_buffer_fini(&text);
    return copy;
}

/* A record may hold events of streams that are asked before: they go on taking them, and make nothing of them. */
static void only_take(sl_config_stream *s) {
    s->has_lake = s->raw = false;
    s->warehouse.name = NULL;
    sl_contract_unref(s->contract);
    sl_steps_unref(s->plan);
    s->contract = NULL;
    s->plan = NULL;
    s->step_count = 0;
    s->late_limit_us = s->dedupe_us = 0;
}

/* What it replaces is let go with the process. */
static bool derive(into *r) {
    sl_config *c = r->config;
    const char *name = r->options->into;
    bool good = (c->data_dir = sl_strdup((const char *)r->directory.bytes)) != NULL;
    sl_config_stream *s = c->streams;
    for (; s != r->stream; s++)
        only_take(s);
    c->stream_count = (uint32_t)(s - c->streams) + 1;
    s->raw = false;
    s->from_count = 0;
    if (s->has_lake)
        good = good && (s->lake.to = beside(s->lake.to, name)) != NULL;
    if (s->warehouse.name != NULL)
        good = good && (s->warehouse.name = sl_strdup(name)) != NULL;
    uint32_t windows = 0;
    for (uint32_t i = 0; i < c->window_count; i++)
        if (strcmp(c->windows[i].of, s->name) == 0)
            c->windows[windows++] = c->windows[i];
    c->window_count = windows;
    for (uint32_t i = 0; i < windows; i++)
        if (c->windows[i].warehouse.name != NULL)
            good = good && (c->windows[i].warehouse.name = joined(name, c->windows[i].definition.name)) != NULL;
    c->file_count = 0; /* Sources are the stream's own daemon's. */
    c->http.tls_cert = c->http.tls_key = NULL;
    c->http.max_body = c->http.max_body * 2 + 4096; /* A record as large as allowed, and what stands around it. */
    return good;
}

static int run(void *context, const char *intake, const char *admin) {
    into *r = context;
    r->config->http.listen = sl_strdup(intake);
    r->config->admin.listen = sl_strdup(admin);
    return r->config->http.listen != NULL && r->config->admin.listen != NULL ? sl_daemon_run(r->config, NULL, true) : 1;
}

/* --- records --- */

static sl_status send_batch(into *r) {
    if (r->items == 0)
        return SL_OK;
    sl_buffer path = SL_BUFFER_EMPTY, reply = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "/v1/replay?fresh=1&stream=%s", r->named ? r->stream->name : "");
    sl_status status = path.failed || r->batch.failed
                           ? no_memory(r->error)
                           : replay_daemon_post(r->daemon, sl_buffer_cstr(&path), r->batch.bytes, r->batch.length, &reply, r->error);
    r->items = 0;
    sl_buffer_clear(&r->batch);
    sl_buffer_fini(&path);
    sl_buffer_fini(&reply);
    return status;
}

static sl_status give(into *r, const uint8_t *record, size_t length, const sl_ndjson_mark *mark) {
    sl_status status = SL_OK;
    if (r->items == BATCH_ITEMS || r->batch.length + length > BATCH_BYTES || mark->named != r->named)
        status = send_batch(r);
    r->named = mark->named;
    const sl_replay_item item = {.position = r->next++, /* A name for its repeats. */
                                 .arrival_us = mark->arrival_us,
                                 .format = mark->format,
                                 .source = mark->source,
                                 .source_length = (uint32_t)mark->source_length,
                                 .bytes = record,
                                 .length = (uint32_t)length};
    sl_replay_put(&item, &r->batch);
    r->items++;
    r->records++;
    return status;
}

/** A file of an entry, and its next record. */
typedef struct open_file {
    sl_buffer bytes;
    sl_ndjson_reader *reader;
    const uint8_t *record;
    size_t length;
    sl_ndjson_mark mark;
    const char *path;
    bool ended;
} open_file;

static sl_status advance(into *r, open_file *f) {
    sl_status status = sl_ndjson_next(f->reader, &f->record, &f->length, &f->mark, r->error);
    f->ended = status == SL_ENOTFOUND;
    if (status != SL_OK && !f->ended)
        (void)sl_error_context(r->error, "%s", f->path);
    return f->ended ? SL_OK : status;
}

/* Each worker wrote files of its own: side by side they have what came in the order in which it came. */
static sl_status merge(into *r, open_file *files, uint32_t count) {
    const replay_options *o = r->options;
    for (;;) {
        open_file *first = NULL;
        for (uint32_t i = 0; i < count; i++)
            if (!files[i].ended && (first == NULL || files[i].mark.arrival_us < first->mark.arrival_us))
                first = &files[i];
        if (first == NULL)
            return SL_OK;
        const bool wanted = first->mark.arrival_us >= o->since_us && first->mark.arrival_us < o->until_us;
        sl_status status = wanted ? give(r, first->record, first->length, &first->mark) : SL_OK;
        if (status == SL_OK)
            status = advance(r, first);
        if (status != SL_OK)
            return status;
    }
}

static sl_status send_entry(into *r, replay_files *all, uint64_t from, uint32_t count) {
    open_file *files = sl_calloc(count, sizeof *files);
    sl_status status = files != NULL ? SL_OK : no_memory(r->error);
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        files[i].path = "";
        status = replay_files_read(all, from + i, &files[i].bytes, &files[i].path, r->error);
        if (status == SL_OK)
            status = sl_ndjson_open(files[i].bytes.bytes, files[i].bytes.length, &files[i].reader, r->error);
        if (status != SL_OK)
            (void)sl_error_context(r->error, "%s", files[i].path);
        else
            status = advance(r, &files[i]);
    }
    if (status == SL_OK)
        status = merge(r, files, count);
    for (uint32_t i = 0; files != NULL && i < count; i++) {
        sl_ndjson_close(files[i].reader);
        sl_buffer_fini(&files[i].bytes);
    }
    sl_free(files);
    return status;
}

static sl_status send_all(into *r, replay_files *all) {
    const bool tty = isatty(STDERR_FILENO) != 0;
    const uint64_t count = replay_files_count(all);
    sl_status status = SL_OK;
    for (uint64_t i = 0; i < count && status == SL_OK;) {
        uint32_t same = 1;
        while (i + same < count && replay_files_entry(all, i + same) == replay_files_entry(all, i))
            same++;
        status = send_entry(r, all, i, same);
        i += same;
        if (tty)
            (void)fprintf(stderr, "\rfile %" PRIu64 " of %" PRIu64 ", %" PRIu64 " records\033[K", i, count, r->records);
    }
    if (tty)
        (void)fprintf(stderr, "\r\033[K");
    return status == SL_OK ? send_batch(r) : status;
}

static sl_status flush_running(into *r) {
    replay_daemon *running = NULL;
    sl_buffer reply = SL_BUFFER_EMPTY;
    sl_error error = {0}, *told = r->error;
    sl_status status = replay_daemon_running(r->config, &running, told);
    if (status != SL_OK)
        return status;
    if (running != NULL && replay_daemon_post(running, "/v1/flush", NULL, 0, &reply, &error) != SL_OK)
        (void)fprintf(stderr, "sluice: warning: the newest records may be missing: %s\n", error.text);
    sl_buffer_fini(&reply);
    return replay_daemon_leave(running, told);
}

static sl_status fill(into *r, replay_files *all) {
    if (!derive(r))
        return no_memory(r->error);
    sl_status status = replay_daemon_start(run, r, &r->daemon, r->error);
    if (status == SL_OK)
        status = send_all(r, all);
    sl_error late = {0};
    sl_status left = replay_daemon_leave(r->daemon, &late);
    if (status == SL_OK && left != SL_OK)
        *r->error = late;
    return status == SL_OK ? left : status;
}

/* @return whether the proof holds. */
static bool prove(into *r, sl_status *status) {
    sl_buffer out = SL_BUFFER_EMPTY;
    bool clean = false;
    *status = sl_audit(r->config, sl_files_system(), false, false, &clean, &out, r->error);
    if (*status == SL_OK)
        (void)printf("%" PRIu64 " records into %s\n%s", r->records, r->options->into, sl_buffer_cstr(&out));
    sl_buffer_fini(&out);
    return clean;
}

int replay_into(sl_config *config, const replay_options *options, sl_error *error) {
    into r = {.config = config, .options = options, .error = error};
    replay_files *all = NULL;
    sl_status status = check(&r);
    if (status == SL_OK)
        status = flush_running(&r);
    if (status == SL_OK)
        status = replay_files_open(config, sl_files_system(), SL_TABLE_RAW, options->stream, &all, error);
    if (status == SL_OK && replay_files_tables(all) == 0)
        status = sl_error_set(error, SL_ENOTFOUND, "stream %s keeps no raw records: `raw: true` would have to be set before they come",
                              options->stream);
    if (status == SL_OK)
        status = fill(&r, all);
    const bool clean = status == SL_OK && prove(&r, &status);
    if (status != SL_OK)
        (void)fprintf(stderr, "sluice: replay: %s\n", error->text);
    replay_files_close(all);
    sl_buffer_fini(&r.batch);
    sl_buffer_fini(&r.directory);
    return clean ? 0 : 1;
}
