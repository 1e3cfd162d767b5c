#include "sources.h"

#include "sluice/io_files.h"
#include "sluice/message.h"
#include "sluice/tail.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum { CHUNK_BYTES = 1 << 20, IDLE_MS = 250, TROUBLE_MS = 1000 };

typedef enum source_stage {
    SOURCE_READS,  /* The thread's turn. */
    SOURCE_WAITS,  /* A chunk for the loop. */
    SOURCE_ASKED,  /* The engine has it. */
    SOURCE_TAKEN,  /* The thread goes on. */
} source_stage;

typedef struct file_source {
    sl_sources *of;
    char *name, *pattern, *state, *stream;
    sl_format format;
    sl_tail *tail;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    source_stage stage;  /* Under the mutex, as is: */
    bool stop;           /* At once. */
    bool ending;         /* With the chunk in hand. */
    sl_tail_chunk chunk; /* The loop's from WAITS to TAKEN. */
    int64_t retry_us;    /* loop */
    bool told;
    sl_metric *bytes, *lines, *lag, *open, *retries;
} file_source;

struct sl_sources {
    sl_sources_host host;
    file_source *files;
    uint32_t count;
};

static int64_t now_us(const sl_sources *s) { return s->host.clock->monotonic_us(s->host.clock->context); }

/* --- the thread --- */

/* @return whether to stop. The mutex is held. */
static bool wait_ms(file_source *f, long ms) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!f->stop && pthread_cond_timedwait(&f->changed, &f->mutex, &until) != ETIMEDOUT)
        ;
    return f->stop;
}

static void measure(const file_source *f) {
    sl_metric_set(f->lag, (int64_t)sl_tail_lag(f->tail));
    sl_metric_set(f->open, sl_tail_count(f->tail));
}

/* The mutex is held, but not while the disk is. @return whether to stop. */
static bool read_on(file_source *f, bool *trouble) {
    sl_tail_chunk chunk;
    sl_error error = {0};
    pthread_mutex_unlock(&f->mutex);
    sl_status status = sl_tail_next(f->tail, now_us(f->of), &chunk, &error);
    measure(f);
    pthread_mutex_lock(&f->mutex);
    if (status != SL_OK) {
        bool failed = status != SL_EAGAIN;
        if (failed && !*trouble)
            sl_message(SL_LEVEL_ERROR, "file", "waits: its place can't be written down", "source=%s error=\"%s\"", f->name, error.text);
        *trouble = failed;
        return wait_ms(f, failed ? TROUBLE_MS : IDLE_MS);
    }
    *trouble = false;
    f->chunk = chunk;
    f->stage = SOURCE_WAITS;
    f->of->host.wake_loop(f->of->host.context);
    while (!f->stop && f->stage != SOURCE_TAKEN)
        pthread_cond_wait(&f->changed, &f->mutex);
    if (f->stage != SOURCE_TAKEN)
        return true; /* It comes again after the next start. */
    sl_metric_add(f->bytes, f->chunk.bytes);
    sl_metric_add(f->lines, f->chunk.lines);
    f->stage = SOURCE_READS;
    sl_tail_taken(f->tail);
    return f->stop || f->ending;
}

static void *run(void *context) {
    file_source *f = context;
    bool trouble = false;
    pthread_mutex_lock(&f->mutex);
    while (!f->stop && !read_on(f, &trouble))
        ;
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}

/* --- the loop --- */

static void answered(void *token, const sl_intake_reply *reply) {
    file_source *f = token;
    bool later = reply->status == 429 || reply->status == 503;
    pthread_mutex_lock(&f->mutex);
    f->stage = later ? SOURCE_WAITS : SOURCE_TAKEN;
    if (later)
        f->retry_us = now_us(f->of) + (reply->retry_after_s != 0 ? reply->retry_after_s : 1) * SL_SECOND_US;
    else
        pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    if (later)
        sl_metric_add(f->retries, 1);
    else if (reply->status != 200 && reply->status != 400) /* 422: it was taken before its format or stream was changed. */
        sl_message(reply->status == 422 ? SL_LEVEL_WARN : SL_LEVEL_ERROR, "file", "a chunk that is passed over",
                   "source=%s key=%s status=%d reason=\"%s\"", f->name, f->chunk.key, reply->status,
                   reply->message != NULL ? reply->message : "");
}

static void set_stage(file_source *f, source_stage stage) {
    pthread_mutex_lock(&f->mutex);
    f->stage = stage;
    pthread_mutex_unlock(&f->mutex);
}

static void submit(file_source *f, sl_intake *intake) {
    const sl_intake_request request = {.stream = f->stream,
                                       .stream_length = strlen(f->stream),
                                       .source = f->name,
                                       .format = f->format,
                                       .key = f->chunk.key,
                                       .key_length = strlen(f->chunk.key),
                                       .body = f->chunk.body,
                                       .length = f->chunk.length,
                                       .done = answered,
                                       .token = f};
    set_stage(f, SOURCE_ASKED);
    sl_status status = intake->submit(intake, &request);
    if (status == SL_OK)
        return;
    f->retry_us = now_us(f->of) + SL_SECOND_US;
    set_stage(f, SOURCE_WAITS);
    sl_metric_add(f->retries, 1);
    if (!f->told)
        sl_message(SL_LEVEL_WARN, "file", "the engine takes nothing at present: tried again", "source=%s reason=%s", f->name,
                   sl_status_name(status));
    f->told = true;
}

void sl_sources_turn(sl_sources *s, sl_intake *intake) {
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        file_source *f = &s->files[i];
        pthread_mutex_lock(&f->mutex);
        bool due = f->stage == SOURCE_WAITS && !f->stop && now_us(s) >= f->retry_us;
        pthread_mutex_unlock(&f->mutex);
        if (due)
            submit(f, intake);
    }
}

void sl_sources_stop(sl_sources *s) {
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        file_source *f = &s->files[i];
        pthread_mutex_lock(&f->mutex);
        f->ending = true;
        f->stop = f->stage != SOURCE_ASKED; /* Its answer is worth waiting for. */
        pthread_cond_signal(&f->changed);
        pthread_mutex_unlock(&f->mutex);
    }
}

void sl_sources_destroy(sl_sources *s) {
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        file_source *f = &s->files[i];
        if (f->started) {
            pthread_mutex_lock(&f->mutex);
            f->stop = true;
            pthread_cond_signal(&f->changed);
            pthread_mutex_unlock(&f->mutex);
            (void)pthread_join(f->thread, NULL);
            sl_metric_set(f->lag, 0);
            sl_metric_set(f->open, 0);
        }
        sl_tail_close(f->tail);
        pthread_mutex_destroy(&f->mutex);
        pthread_cond_destroy(&f->changed);
        sl_free(f->name);
        sl_free(f->pattern);
        sl_free(f->state);
        sl_free(f->stream);
    }
    if (s != NULL)
        sl_free(s->files);
    sl_free(s);
}

/* --- create --- */

static void metrics(file_source *f) {
    char label[128];
    (void)snprintf(label, sizeof label, "source=\"%.100s\"", f->name);
    sl_metrics *m = f->of->host.metrics;
    f->bytes = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_file_bytes_total", "Bytes of files that were taken.", label);
    f->lines = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_file_lines_total", "Lines of files that were taken.", label);
    f->retries = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_file_retries_total", "Chunks of files that had to wait, as the engine took nothing.", label);
    f->lag = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_file_lag_bytes", "Bytes that files have and that aren't taken yet.", label);
    f->open = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_files_open", "Files of the source that are read.", label);
}

static sl_status start_one(file_source *f, const sl_config *c, const sl_config_file *from, sl_error *error) {
    const sl_config_stream *taker = sl_config_taker(c, from->name);
    sl_buffer state = SL_BUFFER_EMPTY;
    sl_buffer_printf(&state, "%s/sources/%s", c->data_dir, from->name);
    f->name = sl_strdup(from->name);
    f->pattern = sl_strdup(from->path);
    f->state = sl_strdup(sl_buffer_cstr(&state));
    f->stream = sl_strdup(sl_config_taker_name(c, from->name));
    bool failed = state.failed || f->name == NULL || f->pattern == NULL || f->state == NULL || f->stream == NULL;
    sl_buffer_fini(&state);
    if (failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    bool csv = from->format == SL_SOURCE_CSV || (from->format == SL_SOURCE_AS_STREAM && taker != NULL && taker->format == SL_FORMAT_CSV);
    if (csv)
        f->format = taker != NULL ? taker->csv.assumed : (sl_format){SL_FORMAT_CSV, SL_HEADER_PRESENT, ','};
    const uint32_t chunk = c->http.max_body < CHUNK_BYTES ? (uint32_t)c->http.max_body : CHUNK_BYTES;
    const sl_tail_options options = {.name = f->name,
                                     .pattern = f->pattern,
                                     .state = f->state,
                                     .files = sl_files_system(),
                                     .format = f->format,
                                     .from_end = from->from_end,
                                     .partial_us = from->partial_us,
                                     .chunk_bytes = chunk};
    metrics(f);
    sl_status status = sl_tail_open(&options, &f->tail, error);
    if (status != SL_OK)
        return sl_error_context(error, "source %s", from->name);
    if (pthread_create(&f->thread, NULL, run, f) != 0)
        return sl_error_set(error, SL_ENOMEM, "source %s: no thread", from->name);
    f->started = true;
    return SL_OK;
}

sl_status sl_sources_create(const sl_config *c, const sl_sources_host *host, sl_sources **out, sl_error *error) {
    *out = NULL;
    if (c->file_count == 0)
        return SL_OK;
    sl_sources *s = sl_calloc(1, sizeof *s);
    if (s == NULL || (s->files = sl_calloc(c->file_count, sizeof *s->files)) == NULL) {
        sl_free(s);
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    }
    s->host = *host;
    sl_buffer directory = SL_BUFFER_EMPTY;
    sl_buffer_printf(&directory, "%s/sources", c->data_dir);
    sl_files *files = sl_files_system();
    sl_status status = files->make_directories(files, sl_buffer_cstr(&directory), error);
    sl_buffer_fini(&directory);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < c->file_count && status == SL_OK; i++) {
        file_source *f = &s->files[s->count++];
        f->of = s;
        (void)pthread_mutex_init(&f->mutex, NULL);
        (void)pthread_cond_init(&f->changed, &monotonic);
        status = start_one(f, c, &c->files[i], error);
    }
    (void)pthread_condattr_destroy(&monotonic);
    if (status == SL_OK)
        *out = s;
    else
        sl_sources_destroy(s);
    return status;
}
