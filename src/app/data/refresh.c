/* Reading again, on a thread of its own: nothing else of the daemon waits for it. What differs is handed to the loop, whole; what fails
 * leaves the old one in use and is tried again, after 5, 10, 20 … seconds, at most the interval.
 *
 * The thread owns an entry's `seen`, `due_us` and `failures`; what both touch is below the lock. */
#include "private.h"

#include "sluice/engine.h"
#include "sluice/message.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define RETRY_US (5 * SL_SECOND_US)
enum { RETRY_SHIFT_MAX = 10 };

typedef struct entry {
    const sl_config_lookup *lookup; /* Constant, as is: */
    const char *path;               /* Of a database; NULL: `lookup` is set. */
    int64_t interval_us;            /* 0: never. */
    sl_data_seen seen;
    int64_t due_us;
    uint32_t failures;
    sl_step_data data;    /* Lock: the newest; referenced. */
    bool fresh;           /* Lock: the loop doesn't have it. */
    int64_t confirmed_us; /* Lock: when it was last known to be what there is. */
    sl_metric *rows, *bytes, *age, *failed;
} entry;

struct sl_data_refresh {
    sl_data_refresh_options options;
    entry *entries;
    uint32_t count;
    sl_step_data *current;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool running;
    _Atomic bool stop;
};

static const char *kind_of(const entry *n) {
    return n->lookup != NULL ? "lookup" : "database";
}
static const char *name_of(const entry *n) {
    return n->lookup != NULL ? n->lookup->name : n->path;
}

/* --- one source --- */

/* What was there a moment ago isn't gone for good: rather old than none. */
static sl_status check_table(const sl_lookup *before, const sl_lookup *table, sl_error *error) {
    uint64_t rows = sl_lookup_facts_of(before).rows;
    return sl_lookup_facts_of(table).rows != 0 || rows == 0
               ? SL_OK
               : sl_error_set(error, SL_ECORRUPT, "it has no rows, the one in use has %llu; a reload takes it even so",
                              (unsigned long long)rows);
}

static sl_status check_database(const sl_geoip *first, const sl_geoip *database, sl_error *error) {
    uint32_t missing = sl_geoip_parts(first) & ~sl_geoip_parts(database);
    sl_buffer names = SL_BUFFER_EMPTY;
    for (unsigned i = 0; i < SL_GEOIP_PARTS; i++)
        if (missing >> i & 1)
            sl_buffer_printf(&names, "%s%s", names.length == 0 ? "" : ", ", sl_geoip_part_name((sl_geoip_part)i));
    sl_status status = missing == 0 ? SL_OK
                                    : sl_error_set(error, SL_ENOTFOUND, "it lacks %s; a reload takes it even so",
                                                   sl_buffer_cstr(&names));
    sl_buffer_fini(&names);
    return status;
}

static void told(const entry *n, const sl_step_data *data, const sl_buffer *left_out) {
    if (data->table != NULL) {
        const sl_lookup_facts f = sl_lookup_facts_of(data->table);
        sl_message(SL_LEVEL_INFO, "lookup", "read again", "lookup=\"%s\" rows=%llu bytes=%zu duplicates=%llu keyless=%llu",
                   name_of(n), (unsigned long long)f.rows, f.memory, (unsigned long long)f.duplicates,
                   (unsigned long long)f.keyless);
    } else {
        sl_message(SL_LEVEL_INFO, "lookup", "read again", "database=\"%s\" type=\"%s\" bytes=%zu", name_of(n),
                   sl_geoip_type(data->database), sl_geoip_memory(data->database));
    }
    if (left_out->length != 0)
        sl_message(SL_LEVEL_WARN, "lookup", "new columns wait for a reload", "lookup=\"%s\" columns=\"%.*s\"", name_of(n),
                   (int)left_out->length, (const char *)left_out->bytes);
}

/* @param before Referenced by the caller. @param[out] data What differs; nothing: it is the same. */
static sl_status read_again(sl_data_refresh *r, entry *n, const sl_step_data *before, sl_step_data *data,
                            sl_buffer *left_out, sl_error *error) {
    *data = (sl_step_data){.of_table = before->of_table, .of_database = before->of_database};
    if (n->lookup == NULL) {
        sl_status status = sl_data_geoip(n->path, &n->seen, r->options.budget, &r->stop, &data->database, error);
        return status == SL_OK && data->database != NULL ? check_database(before->of_database, data->database, error) : status;
    }
    const sl_data_request request = {.config = r->options.config,
                                     .lookup = n->lookup,
                                     .before = before->table,
                                     .seen = &n->seen,
                                     .budget = r->options.budget,
                                     .stop = &r->stop};
    sl_status status = sl_data_lookup(&request, &data->table, left_out, error);
    return status == SL_OK && data->table != NULL ? check_table(before->table, data->table, error) : status;
}

static bool same_version(const sl_step_data *a, const sl_step_data *b) {
    sl_hash128 x = a->table != NULL ? sl_lookup_facts_of(a->table).version : sl_geoip_version(a->database);
    sl_hash128 y = b->table != NULL ? sl_lookup_facts_of(b->table).version : sl_geoip_version(b->database);
    return x.low == y.low && x.high == y.high;
}

static void forget(sl_step_data *data) {
    sl_lookup_unref(data->table);
    sl_geoip_unref(data->database);
}

static void figures(const entry *n, const sl_step_data *data) {
    sl_metric_set(n->bytes, (int64_t)(data->table != NULL ? sl_lookup_facts_of(data->table).memory
                                                          : sl_geoip_memory(data->database)));
    if (data->table != NULL)
        sl_metric_set(n->rows, (int64_t)sl_lookup_facts_of(data->table).rows);
}

static void failure(sl_data_refresh *r, entry *n, const sl_error *error) {
    if (atomic_load(&r->stop))
        return;
    int64_t pause = RETRY_US << (n->failures < RETRY_SHIFT_MAX ? n->failures : RETRY_SHIFT_MAX);
    n->failures++;
    n->due_us = sl_monotonic_us() + (pause < n->interval_us ? pause : n->interval_us);
    sl_metric_add(n->failed, 1);
    sl_message(SL_LEVEL_ERROR, "lookup", "not read again, the old one stays in use", "%s=\"%s\" error=\"%s\"", kind_of(n),
               name_of(n), error->text);
}

/* @param data Given over. @return whether the loop has something to take. */
static bool settle(sl_data_refresh *r, entry *n, sl_step_data *data, const sl_buffer *left_out) {
    bool changed = data->table != NULL || data->database != NULL;
    changed = changed && !same_version(data, &n->data); /* The thread alone changes n->data. */
    if (changed) {
        told(n, data, left_out);
        figures(n, data);
    }
    n->failures = 0;
    n->due_us = sl_monotonic_us() + n->interval_us;
    (void)pthread_mutex_lock(&r->lock);
    n->confirmed_us = sl_monotonic_us();
    if (changed) {
        const sl_step_data old = n->data;
        n->data = *data;
        *data = old;
        n->fresh = true;
    }
    (void)pthread_mutex_unlock(&r->lock);
    forget(data);
    return changed;
}

static void refresh(sl_data_refresh *r, entry *n) {
    sl_step_data data;
    sl_error error = {0};
    sl_buffer left_out = SL_BUFFER_EMPTY;
    const sl_data_seen seen = n->seen;
    if (read_again(r, n, &n->data, &data, &left_out, &error) == SL_OK) {
        if (settle(r, n, &data, &left_out))
            r->options.wake(r->options.context);
    } else {
        n->seen = seen; /* What was refused is looked at again. */
        forget(&data);
        failure(r, n, &error);
    }
    sl_buffer_fini(&left_out);
}

/* --- the thread --- */

static entry *next_due(sl_data_refresh *r) {
    entry *first = NULL;
    for (uint32_t i = 0; i < r->count; i++)
        if (r->entries[i].interval_us != 0 && (first == NULL || r->entries[i].due_us < first->due_us))
            first = &r->entries[i];
    return first;
}

static void *thread_main(void *context) {
    sl_data_refresh *r = context;
    for (entry *n; !atomic_load(&r->stop) && (n = next_due(r)) != NULL;) {
        const int64_t due = n->due_us;
        if (due <= sl_monotonic_us()) {
            refresh(r, n);
            continue;
        }
        const struct timespec until = {.tv_sec = due / SL_SECOND_US, .tv_nsec = due % SL_SECOND_US * 1000};
        (void)pthread_mutex_lock(&r->lock);
        if (!atomic_load(&r->stop))
            (void)pthread_cond_timedwait(&r->wake, &r->lock, &until);
        (void)pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

/* --- create and destroy --- */

static void metrics(sl_data_refresh *r, entry *n) {
    sl_buffer label = SL_BUFFER_EMPTY;
    sl_metrics *m = r->options.metrics;
    sl_buffer_printf(&label, "%s=", kind_of(n));
    sl_buffer_json_string(&label, name_of(n), strlen(name_of(n)));
    const char *text = sl_buffer_cstr(&label);
    if (n->lookup != NULL)
        n->rows = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_lookup_rows", "Rows of a lookup table.", text);
    n->bytes = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_lookup_bytes", "Memory of a lookup table or database.", text);
    n->age = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_lookup_age_seconds",
                            "Since a lookup table or database was last seen to be what there is.", text);
    n->failed = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_lookup_refresh_failures_total",
                               "Times that a lookup table or database couldn't be read again.", text);
    sl_buffer_fini(&label);
}

static void add(sl_data_refresh *r, const entry *from) {
    for (uint32_t i = 0; i < r->count; i++)
        if (r->entries[i].data.of_table == from->data.of_table && r->entries[i].data.of_database == from->data.of_database) {
            int64_t *interval = &r->entries[i].interval_us; /* Two steps ask one database. */
            if (from->interval_us != 0 && (*interval == 0 || from->interval_us < *interval))
                *interval = from->interval_us;
            return;
        }
    entry *n = &r->entries[r->count++];
    *n = *from;
    if (n->data.table != NULL)
        (void)sl_lookup_ref(n->data.table);
    if (n->data.database != NULL)
        (void)sl_geoip_ref(n->data.database);
    n->confirmed_us = sl_monotonic_us();
}

static bool list(sl_data_refresh *r) {
    const sl_config *c = r->options.config;
    uint32_t most = c->lookup_count + 1;
    for (uint32_t i = 0; i < c->stream_count; i++)
        most += c->streams[i].step_count;
    r->entries = sl_calloc(most, sizeof *r->entries);
    r->current = sl_calloc(most, sizeof *r->current);
    if (r->entries == NULL || r->current == NULL)
        return false;
    for (uint32_t i = 0; i < c->lookup_count; i++) {
        const sl_config_lookup *l = &c->lookups[i];
        add(r, &(entry){.lookup = l, .interval_us = l->refresh_us, .data = {.of_table = l->table, .table = l->table}});
    }
    for (uint32_t i = 0; i < c->stream_count; i++)
        for (uint32_t k = 0; k < c->streams[i].step_count; k++) {
            const sl_step_definition *d = &c->streams[i].steps[k];
            if (d->database != NULL)
                add(r, &(entry){.path = d->source,
                                .interval_us = d->refresh_us,
                                .data = {.of_database = d->database, .database = d->database}});
        }
    for (uint32_t i = 0; i < r->count; i++) {
        metrics(r, &r->entries[i]);
        figures(&r->entries[i], &r->entries[i].data);
        r->entries[i].due_us = sl_monotonic_us() + r->entries[i].interval_us;
    }
    return true;
}

static sl_status start(sl_data_refresh *r, sl_error *error) {
    if (next_due(r) == NULL)
        return SL_OK;
    sigset_t all, old; /* Signals belong to the daemon's loop. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    r->running = pthread_create(&r->thread, NULL, thread_main, r) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r->running ? SL_OK : sl_error_set(error, SL_EIO, "lookups: the system gives no more threads");
}

sl_status sl_data_refresh_create(const sl_data_refresh_options *options, sl_data_refresh **out, sl_error *error) {
    *out = NULL;
    sl_data_refresh *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return sl_error_set(error, SL_ENOMEM, "lookups: out of memory");
    r->options = *options;
    pthread_condattr_t clock;
    (void)pthread_condattr_init(&clock);
    (void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->wake, &clock);
    (void)pthread_condattr_destroy(&clock);
    sl_status status = list(r) ? start(r, error) : sl_error_set(error, SL_ENOMEM, "lookups: out of memory");
    if (status != SL_OK)
        sl_data_refresh_destroy(r);
    else
        *out = r;
    return status;
}

void sl_data_refresh_destroy(sl_data_refresh *r) {
    if (r == NULL)
        return;
    atomic_store(&r->stop, true);
    (void)pthread_mutex_lock(&r->lock);
    (void)pthread_cond_signal(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
    if (r->running)
        (void)pthread_join(r->thread, NULL);
    for (uint32_t i = 0; i < r->count; i++)
        forget(&r->entries[i].data);
    for (uint32_t i = 0; i < r->count; i++)
        forget(&r->current[i]);
    (void)pthread_cond_destroy(&r->wake);
    (void)pthread_mutex_destroy(&r->lock);
    sl_free(r->entries);
    sl_free(r->current);
    sl_free(r);
}

/* --- the loop's side --- */

const sl_config *sl_data_refresh_config(const sl_data_refresh *r) {
    return r->options.config;
}

const sl_step_data *sl_data_refresh_current(sl_data_refresh *r, uint32_t *count) {
    (void)pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->count; i++) {
        forget(&r->current[i]);
        r->current[i] = r->entries[i].data;
        if (r->current[i].table != NULL)
            (void)sl_lookup_ref(r->current[i].table);
        if (r->current[i].database != NULL)
            (void)sl_geoip_ref(r->current[i].database);
        r->entries[i].fresh = false;
    }
    (void)pthread_mutex_unlock(&r->lock);
    *count = r->count;
    return r->current;
}

void sl_data_refresh_poll(sl_data_refresh *r, sl_engine *engine) {
    (void)pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->count; i++) {
        entry *n = &r->entries[i];
        sl_metric_set(n->age, sl_monotonic_us() - n->confirmed_us);
        if (n->fresh && engine != NULL && sl_engine_use(engine, &n->data) == SL_OK)
            n->fresh = false;
    }
    (void)pthread_mutex_unlock(&r->lock);
}
