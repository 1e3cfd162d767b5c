/* A test's world: the engine, its actors one after the other in one thread, a clock that stands still unless the test
 * moves it, files in memory, and a target that takes everything that leaves. */
#include "private.h"

#include "memory_files.h"

#include "sluice/engine.h"
#include "sluice/parquet.h"
#include "sluice/rows.h"
#include "sluice/time.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DATA_DIR "/sluice-test"
#define START_US INT64_C(1767225600000000) /* 2026-01-01, where neither test nor event says anything. */
#define PAUSE_US 5000                      /* Where nothing is left to do, somebody waits for time to pass. */

enum { PAUSES_MAX = 20000, SEGMENT_MIN = 1 << 20, MEMORY_MIN = 64 << 20 };

/** An entry on its way out: of each table one at a time. */
typedef struct departure {
    const sl_delivery *delivery;
    sl_target_done_fn *done;
    void *context;
} departure;

/** How far a table has come: an entry may be brought again. */
typedef struct taken {
    const char *table;
    uint64_t sequence;
} taken;

/** A window's row as far as it is known: deltas merge into it. */
typedef struct open_row {
    struct open_row *next;
    const char *window;
    int64_t start_us;
    sl_buffer key, state;
    uint32_t row; /* In results. */
} open_row;

typedef struct world {
    sl_target target; /* First: it is the world. */
    const sl_config *config;
    const sl_trial *trial;
    trial_results *results;
    memory_files *memory;
    sl_files *files;
    sl_budget budget;
    sl_metrics *metrics;
    sl_engine *engine;
    int64_t wall_us, monotonic_us, start_us;
    departure *departures; /* In the order of their coming; */
    uint32_t departure_count, departure_capacity; /* … as many as there are tables, at most. */
    taken *taken;
    uint32_t taken_count;
    open_row *open;
    sl_status status; /* The first failure, */
    sl_error *error;  /* … in words. */
    bool replied, flushed;
    uint32_t event; /* In hand, from 1. */
    uint64_t refused; /* Late rows so far: their files are in the log's order. */
} world;

/* --- the clock and the host --- */

static int64_t wall(void *context) {
    return ((world *)context)->wall_us;
}
static int64_t monotonic(void *context) {
    return ((world *)context)->monotonic_us;
}
static void wake(void *context, sl_actor *actor) {
    (void)context, (void)actor; /* Everybody has a turn anyway. */
}
static void wake_loop(void *context) {
    (void)context;
}
static void wake_loop_in(void *context, uint32_t ms) {
    (void)context, (void)ms;
}

static void set_clock(world *w, int64_t us) {
    if (w->monotonic_us != 0 && us > w->wall_us)
        w->monotonic_us += us - w->wall_us;
    w->wall_us = us;
}

/* --- what leaves --- */

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

static sl_status take_rows(world *w, const sl_delivery *d, const char *stream, const uint8_t *bytes, size_t length,
                           sl_error *error) {
    sl_rows_reader reader;
    sl_status status = sl_rows_open(bytes, length, &reader);
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: rows can't be read", d->table);
    while ((status = sl_rows_next(&reader)) == SL_OK) {
        trial_row *row = trial_results_add(w->results, SL_TRIAL_ROWS, stream);
        bool good = row != NULL && (row->value = sl_trial_value_new(&w->results->arena, SL_TRIAL_MAP, NULL, 0)) != NULL;
        if (good)
            row->position = (uint64_t)reader.values[0].as.i64;
        /* Columns are the schema's leaves in its order; an older version has fewer. */
        for (uint32_t f = 1, at = 1; good && f < d->schema->count && at < reader.count; f++)
            if (d->schema->fields[f].type != SL_TYPE_GROUP)
                good = trial_put(&w->results->arena, row->value, d->schema->fields[f].path, &reader.values[at++]);
        if (!good) {
            status = SL_ENOMEM;
            break;
        }
    }
    sl_rows_fini(&reader);
    return status == SL_ENOTFOUND ? SL_OK : sl_error_set(error, status, "%s: rows can't be read", d->table);
}

static open_row *find_open(world *w, const char *window, const sl_window_row *row) {
    for (open_row *o = w->open; o != NULL; o = o->next)
        if (o->start_us == row->start_us && o->key.length == row->key_length && strcmp(o->window, window) == 0 &&
            memcmp(o->key.bytes, row->key, row->key_length) == 0)
            return o;
    return NULL;
}

static open_row *make_open(world *w, const char *window, const sl_window_row *row) {
    trial_row *result = trial_results_add(w->results, SL_TRIAL_WINDOW, window);
    open_row *o = result != NULL ? sl_calloc(1, sizeof *o) : NULL;
    if (o == NULL)
        return NULL;
    *o = (open_row){.next = w->open, .window = result->name, .start_us = row->start_us, .row = w->results->count - 1};
    sl_buffer_append(&o->key, row->key, row->key_length);
    sl_buffer_byte(&o->key, 0); /* Never NULL, */
    o->key.length = row->key_length; /* … even without groups. */
    w->open = o;
    return o;
}

/* The row as people see it: start, groups, measures. */
static sl_status show_window(world *w, const sl_window_plan *plan, const open_row *o, sl_error *error) {
    uint32_t keys, measures;
    const sl_window_key *key = sl_window_plan_keys(plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(plan, &measures);
    sl_arena *arena = &w->results->arena;
    sl_value *numbers = sl_calloc(measures + 1, sizeof *numbers);
    sl_trial_value *value = sl_trial_value_new(arena, SL_TRIAL_MAP, NULL, 0);
    const sl_value start = {.type = SL_TYPE_TIMESTAMP, .as.i64 = o->start_us};
    sl_status status = numbers == NULL || value == NULL ? SL_ENOMEM
                                                        : sl_window_state_numbers(plan, o->state.bytes, o->state.length, numbers);
    bool good = status == SL_OK && trial_put(arena, value, "window_start", &start);
    size_t at = 0;
    for (uint32_t i = 0; good && i < keys; i++) {
        sl_value cell = {0};
        at += sl_value_decode(o->key.bytes + at, o->key.length - at, &cell);
        good = trial_put(arena, value, key[i].name, &cell);
    }
    for (uint32_t i = 0; good && i < measures; i++)
        good = trial_put(arena, value, measure[i].name, &numbers[i]);
    sl_free(numbers);
    if (!good)
        return sl_error_set(error, status != SL_OK ? status : SL_ENOMEM, "%s: a row can't be read", o->window);
    w->results->rows[o->row].value = value;
    w->results->rows[o->row].keys = 1 + keys;
    return SL_OK;
}

static sl_status take_window_row(world *w, const sl_delivery *d, const sl_window_row *row, sl_error *error) {
    open_row *o = find_open(w, d->table, row);
    if (o == NULL && (o = make_open(w, d->table, row)) == NULL)
        return no_memory(error);
    sl_status status = SL_OK;
    if (o->state.length == 0) {
        sl_buffer_append(&o->state, row->state, row->state_length);
    } else {
        sl_buffer merged = SL_BUFFER_EMPTY;
        status = sl_window_state_merge(d->plan, o->state.bytes, o->state.length, row->state, row->state_length, &merged);
        sl_buffer_fini(&o->state);
        o->state = merged;
    }
    if (status != SL_OK || o->state.failed || o->key.failed)
        return sl_error_set(error, status != SL_OK ? status : SL_ENOMEM, "%s: rows can't be merged", d->table);
    return show_window(w, d->plan, o, error);
}

static sl_status take_window(world *w, const sl_delivery *d, const uint8_t *bytes, size_t length, sl_error *error) {
    sl_rows_reader reader;
    sl_status status = sl_rows_open(bytes, length, &reader);
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: rows can't be read", d->table);
    while ((status = sl_rows_next(&reader)) == SL_OK) {
        const sl_value *v = reader.values;
        const sl_window_row row = {.start_us = v[0].as.i64,
                                   .key = v[1].as.text.bytes,
                                   .key_length = v[1].as.text.length,
                                   .state = v[2].as.text.bytes,
                                   .state_length = v[2].as.text.length};
        if ((status = take_window_row(w, d, &row, error)) != SL_OK)
            break;
    }
    sl_rows_fini(&reader);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status take_path(world *w, const char *stream, const char *key, sl_error *error) {
    const char *file = strrchr(key, '/');
    size_t length = file != NULL ? (size_t)(file - key) + 1 : 0;
    trial_row *row = trial_results_add(w->results, SL_TRIAL_PATHS, stream);
    if (row == NULL || (row->value = sl_trial_value_new(&w->results->arena, SL_TRIAL_TEXT, length != 0 ? key : "./",
                                                        length != 0 ? length : 2)) == NULL)
        return no_memory(error);
    return SL_OK;
}

/* Where it lies in the log, which says nothing about the event. */
static bool is_place(const char *name) {
    return strcmp(name, "partition") == 0 || strcmp(name, "position") == 0 || strcmp(name, "schema_version") == 0;
}

/* Late events and dead letters. */
static sl_status take_refused(world *w, const sl_delivery *d, const char *stream, const uint8_t *bytes, size_t length,
                              sl_error *error) {
    const bool dead = d->kind == SL_TABLE_DEAD;
    sl_parquet_scan *scan;
    sl_status status = sl_parquet_scan_open(bytes, length, &scan, error);
    if (status != SL_OK)
        return status;
    uint32_t columns = sl_parquet_scan_columns(scan);
    sl_value *values = sl_calloc(columns + 1, sizeof *values);
    if (values == NULL)
        status = no_memory(error);
    while (status == SL_OK && (status = sl_parquet_scan_next(scan, values, error)) == SL_OK) {
        trial_row *row = trial_results_add(w->results, dead ? SL_TRIAL_DEAD_LETTERS : SL_TRIAL_LATE, dead ? "" : stream);
        bool good = row != NULL && (row->value = sl_trial_value_new(&w->results->arena, SL_TRIAL_MAP, NULL, 0)) != NULL;
        if (good)
            row->position = w->refused++;
        for (uint32_t i = 0; i < columns && good; i++) {
            const char *name = sl_parquet_scan_name(scan, i);
            good = (dead && is_place(name)) || trial_put(&w->results->arena, row->value, name, &values[i]);
            if (dead && strcmp(name, "position") == 0)
                row->position = (uint64_t)values[i].as.i64;
        }
        if (!good)
            status = no_memory(error);
    }
    sl_free(values);
    sl_parquet_scan_close(scan);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status take_file(world *w, const sl_delivery *d, const char *stream, const sl_entry_file *f, sl_error *error) {
    if (d->kind == SL_TABLE_LAKE)
        return take_path(w, stream, f->key, error);
    char path[512], *bytes = NULL;
    size_t length = 0;
    (void)snprintf(path, sizeof path, "%s/%s", d->spool, f->spool);
    sl_status status = sl_files_read_all(w->files, path, UINT32_MAX, &bytes, &length, error);
    if (status == SL_OK && d->kind == SL_TABLE_WINDOW)
        status = take_window(w, d, (const uint8_t *)bytes, length, error);
    else if (status == SL_OK && d->kind == SL_TABLE_ROWS)
        status = take_rows(w, d, stream, (const uint8_t *)bytes, length, error);
    else if (status == SL_OK && (d->kind == SL_TABLE_DEAD || d->kind == SL_TABLE_LATE))
        status = take_refused(w, d, stream, (const uint8_t *)bytes, length, error);
    sl_free(bytes);
    return status;
}

static void count(world *w, const sl_delivery *d, const char *stream) {
    for (uint32_t i = 0; d->kind == SL_TABLE_ROWS && i < w->results->stream_count; i++)
        if (strcmp(w->results->counts[i].stream, stream) == 0) {
            w->results->counts[i].duplicates += d->entry->counts.duplicates;
            w->results->counts[i].filtered += d->entry->counts.filtered;
        }
}

/* @return its place, NULL: out of memory. */
static taken *place_of(world *w, const char *table) {
    for (uint32_t i = 0; i < w->taken_count; i++)
        if (strcmp(w->taken[i].table, table) == 0)
            return &w->taken[i];
    assert(w->taken_count < w->departure_capacity);
    const char *name = sl_arena_strndup(&w->results->arena, table, strlen(table));
    if (name == NULL)
        return NULL;
    w->taken[w->taken_count] = (taken){.table = name};
    return &w->taken[w->taken_count++];
}

static sl_status take(world *w, const sl_delivery *d, sl_error *error) {
    taken *place = place_of(w, d->table);
    if (place == NULL || d->entry->sequence <= place->sequence)
        return place == NULL ? no_memory(error) : SL_OK;
    place->sequence = d->entry->sequence;
    char stream[160]; /* "clicks/lake" */
    const char *slash = strrchr(d->table, '/');
    (void)snprintf(stream, sizeof stream, "%.*s", slash != NULL ? (int)(slash - d->table) : 0, d->table);
    count(w, d, stream);
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < d->entry->file_count && status == SL_OK; i++)
        status = take_file(w, d, stream, &d->entry->files[i], error);
    return status;
}

static void deliver(sl_target *target, const sl_delivery *delivery, sl_target_done_fn *done, void *context) {
    world *w = (world *)(void *)target;
    assert(w->departure_count < w->departure_capacity);
    w->departures[w->departure_count++] = (departure){delivery, done, context};
}

static bool depart(world *w) {
    if (w->departure_count == 0)
        return false;
    departure p = w->departures[0];
    memmove(w->departures, w->departures + 1, --w->departure_count * sizeof p);
    sl_error error = {0};
    sl_status status = take(w, p.delivery, &error);
    if (status != SL_OK && w->status == SL_OK)
        w->status = sl_error_set(w->error, status, "%s", error.text);
    p.done(p.context, SL_OK, &error); /* What couldn't be read won't be readable later. */
    return true;
}

/* --- turns --- */

static bool turn(world *w) {
    uint32_t actor_count;
    sl_actor **actors = sl_engine_actors(w->engine, &actor_count), *delivery = sl_engine_delivery(w->engine);
    bool any = sl_engine_poll(w->engine);
    for (uint32_t i = 0; i < actor_count; i++)
        any = actors[i]->run(actors[i]->context) || any;
    any = delivery->run(delivery->context) || any;
    return depart(w) || any;
}

/* Until nobody has anything to do, and `done`. */
static sl_status settle(world *w, const bool *done, const char *what) {
    for (uint32_t pauses = 0; pauses < PAUSES_MAX; pauses++) {
        while (turn(w))
            ;
        if (w->status != SL_OK)
            return w->status;
        if (*done)
            return SL_OK;
        w->monotonic_us += PAUSE_US;
    }
    return sl_error_set(w->error, SL_EIO, "%s: the engine doesn't come to an end", what);
}

/* --- events --- */

static const sl_trial_value *time_member(const sl_config_stream *s, const sl_trial_value *event) {
    if (s->event_time != NULL)
        return trial_member(event, s->event_time);
    const sl_trial_value *member = s->schema == NULL && event != NULL ? event->first : NULL;
    while (member != NULL && !sl_schema_time_name(member->key, strlen(member->key)))
        member = member->next;
    return member;
}

/* When it happened, as it says itself. */
static bool own_time(const sl_config *c, const sl_trial_event *e, int64_t *us) {
    const sl_trial_value *time = NULL;
    for (uint32_t i = 0; i < c->stream_count && time == NULL; i++)
        if (e->stream[0] == 0 || strcmp(c->streams[i].name, e->stream) == 0)
            time = time_member(&c->streams[i], e->event);
    return time != NULL && time->kind == SL_TRIAL_TEXT && sl_time_parse(time->text, strlen(time->text), us);
}

static sl_status arrival(world *w, const sl_trial_event *e, int64_t *us) {
    *us = w->wall_us;
    int64_t own;
    if (e->clock == SL_TRIAL_AT)
        *us = e->at_us;
    else if (e->clock == SL_TRIAL_AFTER)
        *us = w->start_us + e->at_us;
    else if (w->event > 1 && own_time(w->config, e, &own) && own > *us)
        *us = own;
    if (*us >= w->wall_us)
        return SL_OK;
    char then[40], now[40];
    (void)sl_time_format(*us, then);
    (void)sl_time_format(w->wall_us, now);
    return sl_error_set(w->error, SL_EINVAL, "event %u arrives at %s, before the one before it (%s)", w->event, then,
                        now);
}

static void replied(void *token, const sl_intake_reply *reply) {
    world *w = token;
    w->replied = true;
    if (reply->status != 200 && reply->status != 400 && w->status == SL_OK)
        w->status = sl_error_set(w->error, SL_EIO, "event %u: not taken: %s", w->event,
                                 reply->message != NULL ? reply->message : "");
}

static sl_status submit(world *w, const sl_trial_event *e) {
    sl_intake *intake = sl_engine_intake(w->engine);
    uint8_t *body = sl_calloc(e->length + SL_PADDING, 1);
    if (body == NULL)
        return SL_ENOMEM;
    memcpy(body, e->body, e->length);
    const sl_intake_request request = {.stream = e->stream,
                                       .stream_length = strlen(e->stream),
                                       .source = e->source,
                                       .format = {.kind = (uint8_t)e->format},
                                       .body = body,
                                       .length = e->length,
                                       .done = replied,
                                       .token = w};
    sl_status status = intake->submit(intake, &request);
    sl_free(body);
    return status;
}

static sl_status send(world *w, const sl_trial_event *e) {
    int64_t at;
    w->results->line = e->line;
    sl_status status = arrival(w, e, &at);
    if (status != SL_OK)
        return status;
    set_clock(w, at);
    while (turn(w))
        ; /* Cuts that were due before. */
    w->replied = false;
    status = e->length > w->config->http.max_body ? SL_ELIMIT : submit(w, e);
    if (status != SL_OK)
        return sl_error_set(w->error, status, "event %u: not taken: %s", w->event,
                            status == SL_ELIMIT ? "larger than http.max_body" : sl_status_text(status));
    return settle(w, &w->replied, "a reply");
}

static void set_start(world *w) {
    const sl_trial *t = w->trial;
    const sl_trial_event *first = t->event_count != 0 ? &t->events[0] : NULL;
    int64_t us = START_US;
    if (t->now_us != SL_NO_TIME)
        us = t->now_us;
    else if (first != NULL && first->clock == SL_TRIAL_AT)
        us = first->at_us;
    else if (first != NULL)
        (void)own_time(w->config, first, &us);
    w->start_us = us;
    w->monotonic_us = SL_HOUR_US;
    w->wall_us = us;
}

/* --- the whole --- */

static void flushed(void *context, sl_status status, const char *message) {
    world *w = context;
    w->flushed = true;
    if (status != SL_OK && w->status == SL_OK)
        w->status = sl_error_set(w->error, status, "flush: %s", message);
}

static sl_status run(world *w) {
    (void)setenv("TZ", w->config->timezone, 1);
    tzset();
    const bool ready = true;
    sl_budget_init(&w->budget, w->config->memory);
    const sl_engine_options options = {.config = w->config,
                                       .files = w->files,
                                       .clock = {wall, monotonic, w},
                                       .host = {wake, wake_loop, wake_loop_in, w},
                                       .metrics = w->metrics,
                                       .budget = &w->budget,
                                       .target = &w->target,
                                       .exclusive = true};
    set_start(w);
    w->results->line = w->trial->line;
    sl_status status = sl_engine_create(&options, &w->engine, w->error);
    if (status == SL_OK)
        status = settle(w, &ready, "the start");
    for (w->event = 1; status == SL_OK && w->event <= w->trial->event_count; w->event++)
        status = send(w, &w->trial->events[w->event - 1]);
    if (status != SL_OK)
        return status;
    w->results->line = w->trial->line;
    sl_engine_flush(w->engine, flushed, w);
    status = settle(w, &w->flushed, "the end");
    trial_results_sort(w->results);
    return status;
}

static void end(world *w) {
    sl_free(w->departures);
    sl_free(w->taken);
    sl_engine_destroy(w->engine);
    while (w->open != NULL) {
        open_row *next = w->open->next;
        sl_buffer_fini(&w->open->key);
        sl_buffer_fini(&w->open->state);
        sl_free(w->open);
        w->open = next;
    }
    sl_metrics_destroy(w->metrics);
    memory_files_destroy(w->memory);
}

sl_status trial_run(const sl_config *config, const sl_trial *trial, trial_results *results, sl_error *error) {
    world w = {.target = {.deliver = deliver},
               .config = config,
               .trial = trial,
               .results = results,
               .error = error,
               .memory = memory_files_create(),
               .metrics = sl_metrics_create()};
    /* Rows, lake, dead letters and late events of each stream and of those without one; windows. */
    w.departure_capacity = 4 * (config->stream_count + 1) + config->window_count;
    w.departures = sl_calloc(w.departure_capacity, sizeof *w.departures);
    w.taken = sl_calloc(w.departure_capacity, sizeof *w.taken);
    bool good = w.memory != NULL && w.metrics != NULL && w.departures != NULL && w.taken != NULL;
    sl_status status = good ? SL_OK : no_memory(error);
    if (status == SL_OK) {
        w.files = memory_files_port(w.memory);
        status = run(&w);
    }
    end(&w);
    return status;
}

bool trial_isolate(sl_config *c, const sl_trial *trial, sl_arena *arena) {
    uint64_t largest = 0;
    for (uint32_t i = 0; i < trial->event_count; i++)
        largest = trial->events[i].length > largest ? trial->events[i].length : largest;
    c->data_dir = sl_arena_strndup(arena, DATA_DIR, strlen(DATA_DIR));
    c->lake.to = sl_arena_strndup(arena, "s3://test/lake", 14);
    c->lake.codec = SL_PARQUET_NONE;
    c->workers = 1;
    if (c->memory < MEMORY_MIN + 8 * largest)
        c->memory = MEMORY_MIN + 8 * largest;
    c->journal.segment_size = SEGMENT_MIN + 2 * largest;
    c->journal.quota = c->journal.segment_size * 4096;
    c->warehouse.store = SL_STORE_POSTGRES; /* Not this machine's: rows go to the target. */
    bool good = c->data_dir != NULL && c->lake.to != NULL;
    for (uint32_t i = 0; i < c->stream_count && good; i++) {
        sl_config_stream *s = &c->streams[i];
        size_t length = strlen(s->name);
        char *to = sl_arena_get(arena, length + 16);
        good = to != NULL;
        if (good)
            (void)snprintf(to, length + 16, "s3://test/%s", s->name);
        s->lake.to = to;
        s->lake.codec = SL_PARQUET_NONE;
        s->has_lake = true;
        s->raw = false;
        if (s->warehouse.name == NULL)
            s->warehouse.name = s->name;
    }
    return good;
}
