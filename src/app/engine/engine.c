/* Opening, polling and stopping: what holds the engine's parts together. */
#include "claims.h"
#include "cuts.h"
#include "data.h"
#include "dedupe.h"
#include "records.h"
#include "replays.h"
#include "requests.h"
#include "sequence.h"
#include "spool.h"
#include "recovery.h"
#include "storage.h"
#include "worker.h"

#include "sluice/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STOP_LIMIT_S = 10, SCHEDULE_EVERY_US = 5000 };

/* --- create and destroy --- */

static void metrics(sl_engine *e) {
    sl_metrics *m = e->options.metrics;
    e->metric_requests = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_requests_total",
                                        "Requests made durable and answered.", "");
    e->metric_accepted = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_accepted_events_total",
                                        "Events that requests brought and that were kept.", "");
    e->metric_rejected = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_rejected_events_total",
                                        "Events that requests brought and that became dead letters.", "");
    e->metric_dropped = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_redecoded_groups_total",
                                       "Groups whose columns were let go and decoded again from the log.", "");
    e->metric_quarantined = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_quarantined_bytes_total",
                                           "Damaged bytes of the journal that were stepped over.", "");
    e->metric_rewinds = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_rewinds_total",
                                       "Times a stream was read again from its cursor.", "");
    e->metric_voids = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_refused_loads_total",
                                     "Loads that the warehouse refused, as another reader of a Kafka partition was quicker.", "");
    e->metric_journal_bytes = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_buffer_byte_size",
                                             "Bytes on disk.", "buffer=\"journal\"");
    e->metric_spool_bytes = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_buffer_byte_size",
                                           "Bytes on disk.", "buffer=\"spool\"");
    e->metric_memory = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_memory_used_bytes",
                                      "Bytes taken from the memory budget.", "");
    e->metric_uncommitted = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_oldest_uncommitted_seconds",
                                           "Age of the oldest event that has not reached its target.", "");
    e->metric_sync_failures = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_journal_sync_failures",
                                             "Failed syncs of the journal since the start.", "");
    for (int i = 0; i < SL_CODE_COUNT; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "code=\"%s\"", sl_code_name((sl_code)i));
        e->metric_dead[i] = i == SL_CODE_NONE
                                ? e->metric_rejected
                                : sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_dead_letters_total",
                                                 "Events that became dead letters.", label);
    }
}

static sl_status prepare_directories(sl_engine *e, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/spool", e->config->data_dir);
    e->spool = sl_strdup(sl_buffer_cstr(&path));
    sl_status status = path.failed || e->spool == NULL
                           ? no_memory(error)
                           : e->files->make_directories(e->files, e->spool, error);
    sl_buffer_fini(&path);
    return status;
}

static sl_status list_actors(sl_engine *e, sl_error *error) {
    e->actors = sl_calloc(e->worker_count + 4, sizeof(sl_actor *));
    if (e->actors == NULL)
        return no_memory(error);
    e->actors[e->actor_count++] = &e->journal_io.actor;
    e->actors[e->actor_count++] = &e->storage.actor;
    e->actors[e->actor_count++] = &e->reader.actor;
    for (uint32_t i = 0; i < e->worker_count; i++)
        e->actors[e->actor_count++] = &e->workers[i].actor;
    if (e->dedupe.active)
        e->actors[e->actor_count++] = &e->dedupe.actor;
    return SL_OK;
}

sl_status sl_engine_create(const sl_engine_options *options, sl_engine **out, sl_error *error) {
    *out = NULL;
    sl_engine *e = sl_aligned_alloc(64, sizeof *e);
    if (e == NULL)
        return no_memory(error);
    memset(e, 0, sizeof *e);
    e->options = *options;
    e->config = options->config;
    e->destination_count = DESTINATION_BUCKETS;
    e->files = options->files;
    e->budget = options->budget;
    e->intake.submit = intake_submit;
    e->live_last = &e->live_first;
    e->read_last = &e->read_first;
    e->refused_last = &e->refused_first;
    uint64_t tasks = e->config->memory / 4 / GROUP_BYTES;
    e->tasks_max = tasks < 8 ? 8 : tasks > TASKS_MAX ? TASKS_MAX : (uint32_t)tasks;
    metrics(e);
    e->letters = letters_schema();
    (void)source_index(e, "http", 4);
    sl_status status = e->letters == NULL || e->source_count == 0 ? no_memory(error)
                                                                   : prepare_directories(e, error);
    if (status == SL_OK)
        status = storage_create(e, error);
    if (status == SL_OK)
        status = log_create(e, error);
    if (status == SL_OK)
        status = delivery_create(e, error);
    if (status == SL_OK)
        status = recover(e, error);
    if (status == SL_OK)
        status = workers_create(e, error);
    if (status == SL_OK)
        status = list_actors(e, error);
    if (status != SL_OK) {
        sl_engine_destroy(e);
        return status;
    }
    *out = e;
    return SL_OK;
}

void sl_engine_destroy(sl_engine *e) {
    if (e == NULL)
        return;
    while (e->flushes != NULL) {
        flush *next = e->flushes->next;
        sl_free(e->flushes);
        e->flushes = next;
    }
    taps_destroy(e);
    sequence_destroy(e);
    log_destroy(e);
    delivery_destroy(e);
    storage_destroy(e);
    workers_destroy(e);
    keys_destroy(e);
    dedupe_destroy(e);
    replays_destroy(e);
    origins_destroy(e);
    data_destroy(e);
    streams_destroy(e);
    router_destroy(e->router);
    sources_destroy(e);
    if (e->journal != NULL)
        sl_journal_close(e->journal);
    sl_schema_unref(e->letters);
    sl_free(e->actors);
    sl_free(e->spool);
    sl_free(e->partition);
    sl_free(e);
}

sl_actor **sl_engine_actors(sl_engine *e, uint32_t *count) {
    *count = e->actor_count;
    return e->actors;
}

sl_intake *sl_engine_intake(sl_engine *e) {
    return &e->intake;
}

bool sl_engine_ready(const sl_engine *e) {
    return !e->scanning_keys;
}

uint64_t sl_engine_taken(const sl_engine *e) { return e->journal_next; }

const char *sl_engine_identity(const sl_engine *e) { return e->partition; }

static uint64_t delivered_of(const table *t) { return t->entries_open != 0 ? t->delivered : t->cursor; }

uint64_t sl_engine_delivered(const sl_engine *e) {
    uint64_t low = e->position;
    for (uint32_t i = 0; i < e->table_count; i++)
        low = delivered_of(e->tables[i]) < low ? delivered_of(e->tables[i]) : low;
    for (const table *t = e->retired; t != NULL; t = t->next_retired)
        if (t->entries_open != 0 && t->delivered < low)
            low = t->delivered;
    return low;
}

void sl_engine_flush(sl_engine *e, sl_engine_flush_fn *done, void *context) {
    flush *f = sl_calloc(1, sizeof *f);
    if (f == NULL) {
        done(context, SL_ENOMEM, "out of memory");
        return;
    }
    *f = (flush){.next = e->flushes, .done = done, .context = context, .target = e->journal_next};
    e->flushes = f;
    e->options.host.wake_loop(e->options.host.context);
}

/* --- the loop's turn --- */

static bool storage_returned(sl_engine *e) {
    bool any = false;
    message *m;
    while ((m = sl_ring_pop(&e->storage.out)) != NULL) {
        any = true;
        switch (m->kind) {
        case MESSAGE_CUT:
            cut_committed(e, (cut *)m);
            break;
        case MESSAGE_DELIVERED:
            entry_delivered(e, (pending *)m);
            break;
        case MESSAGE_VOID:
            claims_voided(e, (void_order *)m);
            break;
        case MESSAGE_PEEK:
            peek_answer(e, (peek *)m);
            break;
        case MESSAGE_KEYS:
            keys_saved(e, (keys_batch *)m);
            break;
        case MESSAGE_KEY:
            keys_found(e, (key_entry *)m);
            break;
        case MESSAGE_TASK:
        case MESSAGE_REWIND:
        case MESSAGE_TRIM:
        case MESSAGE_MARK:
        case MESSAGE_DATA:
            break;
        }
    }
    return any;
}

static bool may_stop(const sl_engine *e) {
    if (e->outstanding_bytes != 0 || e->gathering != NULL || e->judged_count != 0 || e->writing != 0 || e->cuts_open != 0 ||
        e->keys_busy || e->peeks != 0 || e->reading || !e->cut_idle || keys_waiting(e))
        return false;
    for (const table *t = e->retired; t != NULL && e->drain; t = t->next_retired)
        if (t->entries_open != 0 && sl_metric_read(t->stalled) == 0)
            return false;
    for (uint32_t i = 0; i < e->table_count; i++) {
        const table *t = e->tables[i];
        /* Dirty, and not to be cut: it waits for what is read again, which the next start will do. */
        if (t->cutting || t->voided.stage == VOID_SENT ||
            (e->drain && t->entries_open != 0 && sl_metric_read(t->stalled) == 0))
            return false;
    }
    return true;
}

static void refuse_flushes(sl_engine *e) {
    while (e->flushes != NULL) {
        flush *f = e->flushes;
        e->flushes = f->next;
        f->done(f->context, SL_EAGAIN, "stopped before everything was delivered");
        sl_free(f);
    }
}

static void gauges(sl_engine *e) {
    sl_metric_set(e->metric_journal_bytes, (int64_t)sl_journal_bytes(e->journal));
    uint64_t spooled = 0;
    for (uint32_t k = 0; k < e->destination_count; k++)
        spooled += spool_used(e, k);
    sl_metric_set(e->metric_spool_bytes, (int64_t)spooled);
    sl_metric_set(e->metric_memory, (int64_t)sl_budget_used(e->budget));
    sl_metric_set(e->metric_sync_failures, (int64_t)sl_journal_sync_failures(e->journal));
}

bool sl_engine_poll(sl_engine *e) {
    bool any = sequence_poll(e);
    any = storage_returned(e) || any;
    int64_t now = engine_now(e);
    any = keys_poll(e, now) || any;
    if (now - e->scheduled_at_us < SCHEDULE_EVERY_US && e->flushes == NULL && !e->stopping)
        return any;
    e->scheduled_at_us = now;
    for (uint32_t i = 0; i < e->worker_count; i++)
        if (sl_ring_count(&e->workers[i].pipeline) != 0)
            e->options.host.wake(e->options.host.context, &e->workers[i].actor);
    any = cuts_poll(e, now) || any;
    tasks_spare(e, now);
    data_forget(e);
    if (e->stopping && !e->stopped) {
        /* A disk that is full must not keep us here: what isn't committed is in the journal. */
        bool late = now - e->stop_at_us > STOP_LIMIT_S * SL_SECOND_US && !e->drain;
        e->stopped = may_stop(e) || late;
        if (e->stopped)
            refuse_flushes(e);
    }
    gauges(e);
    taps_poll(e);
    return any;
}

void sl_engine_stop(sl_engine *e, bool drain) {
    e->stopping = true;
    e->drain = drain;
    e->stop_at_us = engine_now(e);
    e->options.host.wake_loop(e->options.host.context);
}

bool sl_engine_stopped(const sl_engine *e) {
    return e->stopped;
}

void sl_engine_refuse(sl_engine *e) {
    while (sl_engine_poll(e))
        ; /* What is back is answered as it ended. */
    for (task *t = e->live_first; t != NULL; t = t->next)
        if (!t->answered) {
            t->status = SL_EAGAIN;
            reply_task(e, t);
            t->answered = true;
        }
    if (e->gathering != NULL) {
        e->gathering->status = SL_EAGAIN;
        reply_task(e, e->gathering);
        sl_group_reset(e->gathering->group);
    }
    judged_refuse(e);
    keys_refuse(e);
    refuse_flushes(e);
}
