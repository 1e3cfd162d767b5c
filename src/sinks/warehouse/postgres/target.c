/* The target: a few connections, and the deliveries that wait for one. */
#include "loader.h"

#include <assert.h>

enum { SESSIONS = 4, SESSIONS_MAX = 64, WAITING_MIN = 16 };

typedef struct waiting {
    const sl_delivery *delivery;
    sl_target_done_fn *done;
    void *context;
} waiting;

struct sl_pg_target {
    sl_target target;
    sl_postgres_target_options
        options; /* Text of `server` is the loaders' connections' own. */
    sl_pg_loader *loaders;
    uint32_t count;
    waiting *queue;
    uint32_t queued, capacity;
    sl_metric *cut, *retries;
};

const sl_postgres_target_options *sl_pg_options(const sl_pg_target *target) {
    return &target->options;
}

void sl_pg_count_cut(sl_pg_target *target, uint64_t texts) {
    if (target->cut != NULL)
        sl_metric_add(target->cut, (int64_t)texts);
}

void sl_pg_count_retry(sl_pg_target *target) {
    if (target->retries != NULL)
        sl_metric_add(target->retries, 1);
}

/* The connection that knows the table is the best, then one that knows none. */
static sl_pg_loader *idle_loader(sl_pg_target *t, const char *table) {
    uint64_t affinity = sl_hash64(table, strlen(table), 1);
    sl_pg_loader *fresh = NULL, *other = NULL;
    for (uint32_t i = 0; i < t->count; i++) {
        sl_pg_loader *l = &t->loaders[i];
        if (l->delivery != NULL)
            continue;
        if (l->affinity == affinity)
            return l;
        if (l->affinity == 0)
            fresh = l;
        else
            other = l;
    }
    return fresh != NULL ? fresh : other;
}

/* Room is made ahead of need, as deliver() has no way to say no. */
static void make_room(sl_pg_target *t) {
    if (2 * t->queued < t->capacity)
        return;
    waiting *queue = sl_realloc(t->queue, 2 * (size_t)t->capacity * sizeof *queue);
    if (queue == NULL)
        return;
    t->queue = queue;
    t->capacity *= 2;
}

static void deliver(sl_target *target, const sl_delivery *delivery,
                    sl_target_done_fn *done, void *context) {
    sl_pg_target *t = (sl_pg_target *)target;
    sl_pg_loader *loader = idle_loader(t, delivery->target);
    if (loader != NULL) {
        sl_pg_load(loader, delivery, done, context);
        return;
    }
    make_room(t);
    assert(t->queued < t->capacity);
    t->queue[t->queued++] = (waiting){delivery, done, context};
}

void sl_pg_idle(sl_pg_target *t, sl_pg_loader *loader) {
    if (t->queued == 0)
        return;
    waiting next = t->queue[0];
    t->queued--;
    memmove(t->queue, t->queue + 1, t->queued * sizeof *t->queue);
    sl_pg_load(loader, next.delivery, next.done, next.context);
}

static void destroy(sl_target *target) {
    sl_pg_target *t = (sl_pg_target *)target;
    for (uint32_t i = 0; i < t->count; i++)
        sl_pg_forget(&t->loaders[i]);
    sl_free(t->loaders);
    sl_free(t->queue);
    sl_free(t);
}

/* What every session needs: values come and go exactly, time zones don't matter, a commit
 * that was answered is on disk, and a lock isn't held by a daemon that stopped or a host
 * that vanished. */
void sl_pg_setup(sl_buffer *out, uint32_t statement_ms) {
    sl_buffer_printf(
        out,
        "SET client_min_messages = warning; SET standard_conforming_strings = on;"
        " SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET bytea_output = 'hex';"
        " SET extra_float_digits = 3; SET synchronous_commit = on;"
        " SET default_transaction_isolation = 'read committed';"
        " SET idle_in_transaction_session_timeout = 120000;"
        " SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10;"
        " SET tcp_keepalives_count = 3; SET statement_timeout = %u",
        statement_ms);
}

static sl_status open_loaders(sl_pg_target *t, const sl_postgres_target_options *options,
                              sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_postgres_options server = options->server;
    /* The server's own limit comes a little later than ours, for when we are gone. */
    sl_pg_setup(&text, (server.statement_ms != 0 ? server.statement_ms : 300000) + 10000);
    server.setup = sl_buffer_cstr(&text);
    sl_status status =
        text.failed ? sl_error_set(error, SL_ENOMEM, "postgres: out of memory") : SL_OK;
    uint32_t count = options->sessions_max != 0 ? options->sessions_max : SESSIONS;
    for (; status == SL_OK && t->count < count && t->count < SESSIONS_MAX;
         t->count += status == SL_OK) {
        sl_pg_loader *l = &t->loaders[t->count];
        l->target = t;
        l->spool.file = -1;
        sl_arena_init(&l->arena, 64 * 1024);
        status = sl_postgres_create(options->loop, &server, &l->db, error);
    }
    sl_buffer_fini(&text);
    return status;
}

sl_status sl_postgres_target_create(const sl_postgres_target_options *options,
                                    sl_target **out, sl_error *error) {
    *out = NULL;
    sl_pg_target *t = sl_calloc(1, sizeof *t);
    if (t == NULL)
        return sl_error_set(error, SL_ENOMEM, "postgres: out of memory");
    t->target = (sl_target){.deliver = deliver, .destroy = destroy};
    t->options = *options;
    t->capacity = WAITING_MIN;
    t->loaders = sl_calloc(SESSIONS_MAX, sizeof *t->loaders);
    t->queue = sl_calloc(t->capacity, sizeof *t->queue);
    sl_status status = t->loaders == NULL || t->queue == NULL
                           ? sl_error_set(error, SL_ENOMEM, "postgres: out of memory")
                           : open_loaders(t, options, error);
    if (status != SL_OK) {
        destroy(&t->target);
        return status;
    }
    if (options->metrics != NULL) {
        t->cut = sl_metrics_get(
            options->metrics, SL_METRIC_COUNTER, "sluice_warehouse_cut_values_total",
            "Values cut to what their column takes.", "warehouse=\"postgres\"");
        t->retries = sl_metrics_get(
            options->metrics, SL_METRIC_COUNTER, "sluice_warehouse_retries_total",
            "Loads begun again after a conflict or a lost connection.",
            "warehouse=\"postgres\"");
    }
    *out = &t->target;
    return SL_OK;
}
