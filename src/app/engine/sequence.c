/* The loop's side of log and pipeline: what comes back from journal, reader and workers, and in which order the loop looks
 * after groups, tickets and reading back. At the end, what nobody takes any more. */
#include "cuts.h"
#include "data.h"
#include "dedupe.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"
#include "worker.h"

#include "sluice/message.h"

static void processed(sl_engine *e, task *t) {
    if (t->stage == TASK_PROCESS)
        atomic_fetch_sub_explicit(&e->pipeline_bytes, t->bytes, memory_order_relaxed);
    for (uint32_t i = 0; i < e->table_count && t->broken; i++) {
        table *b = e->tables[i];
        int status = atomic_exchange_explicit(&b->broken, 0, memory_order_relaxed);
        if (status == 0 || b->failed)
            continue;
        b->failed = true;
        b->failed_at_us = engine_now(e);
        sl_message(SL_LEVEL_ERROR, "engine", "table failed, it will be tried again",
                   "table=%s reason=\"%s\"", b->name, sl_status_text((sl_status)status));
    }
    if (t->full != NULL)
        t->full->dirty_since_us = INT64_MIN / 2; /* Due at once. */
    e->outstanding_bytes -= t->bytes;
    task_free(e, t);
}

/* @return whether others have it still. */
static bool others_have(message *m) {
    return m->waiting != 0 && --m->waiting != 0;
}

static void worker_returned(sl_engine *e, message *m) {
    if (others_have(m))
        return;
    switch (m->kind) {
    case MESSAGE_TASK: {
        task *t = (task *)m;
        if (t->stage == TASK_DECODE)
            group_decoded(e, t);
        else
            processed(e, t);
        break;
    }
    case MESSAGE_CUT:
        cut_sealed(e, (cut *)m);
        break;
    case MESSAGE_REWIND:
        sl_free(m);
        break;
    case MESSAGE_PEEK:
        engine_send(e, &e->storage.in, &e->storage.actor, m);
        break;
    case MESSAGE_DATA:
        data_used(e, (data_order *)m);
        break;
    case MESSAGE_DELIVERED:
    case MESSAGE_VOID:
    case MESSAGE_KEYS:
    case MESSAGE_KEY:
    case MESSAGE_TRIM:
    case MESSAGE_MARK:
        break;
    }
}

bool sequence_poll(sl_engine *e) {
    bool any = false;
    void *m;
    while ((m = sl_ring_pop(&e->journal_io.out)) != NULL) {
        group_written(e, m);
        any = true;
    }
    while ((m = sl_ring_pop(&e->reader.out)) != NULL) {
        read_back_done(e, m);
        any = true;
    }
    for (uint32_t i = 0; i < e->worker_count; i++)
        while ((m = sl_ring_pop(&e->workers[i].out)) != NULL) {
            worker_returned(e, m);
            any = true;
        }
    any = data_turn(e) || any;
    any = group_kick(e) || any;
    any = judged_kick(e) || any;
    any = rewind_retry(e) || any;
    any = tickets_dispatch(e) || any;
    if (e->stopping)
        read_back_abandon(e);
    any = read_back_start(e) || any;
    bool hungry = e->stopping || e->flushes != NULL || e->position < e->journal_next ||
                  e->pipeline_bytes > e->config->memory / 16 ||
                  (e->free_tasks == NULL && e->task_count == e->tasks_max);
    if (atomic_exchange(&e->hungry, hungry) != hungry && hungry)
        any = true; /* What was pushed before somebody could see it. */
    return any || e->halves_near != 0;
}

bool sequence_idle(const sl_engine *e) {
    return e->gathering == NULL && e->writing == 0 && e->live_first == NULL &&
           e->pipeline_bytes == 0 && !e->scanning_keys;
}

/* What nobody takes any more from a ring between loop and journal, reader or worker. */
static void drop_message(sl_engine *e, message *m) {
    if (others_have(m))
        return;
    switch (m->kind) {
    case MESSAGE_TASK: {
        task *t = (task *)m;
        /* One that is written or decoded is in the list of live or of read ones. */
        if (t->stage == TASK_DECODE && !t->keys_only && !t->dry_run)
            break;
        t->next = NULL;
        tasks_destroy(e, t);
        break;
    }
    case MESSAGE_CUT:
        cut_free((cut *)m);
        break;
    case MESSAGE_PEEK:
        peek_free(e, (peek *)m);
        break;
    case MESSAGE_DATA:
        data_used(e, (data_order *)m);
        break;
    case MESSAGE_REWIND:
    case MESSAGE_TRIM:
        sl_free(m);
        break;
    case MESSAGE_DELIVERED:
    case MESSAGE_VOID:
    case MESSAGE_KEYS:
    case MESSAGE_KEY:
    case MESSAGE_MARK:
        break;
    }
}

static void drop_ring(sl_engine *e, sl_ring *ring) {
    message *m;
    while (ring->slots != NULL && (m = sl_ring_pop(ring)) != NULL)
        drop_message(e, m);
}

void sequence_destroy(sl_engine *e) {
    /* Tasks are in exactly one place: a list, a ring, or in the gathering. Rings first: those of their tasks that
     * lists hold must still be there to be told apart. */
    for (uint32_t i = 0; e->workers != NULL && i < e->worker_count; i++) {
        worker *w = &e->workers[i];
        drop_ring(e, &w->verdicts);
        drop_ring(e, &w->pipeline);
        drop_ring(e, &w->out);
        if (w->cutting != NULL)
            drop_message(e, &w->cutting->head);
    }
    for (message *m; e->dedupe.in.slots != NULL && (m = dedupe_take_back(e)) != NULL; drop_message(e, m))
        m->waiting = m->waiting != 0; /* From here it would have gone to all workers. */
    drop_ring(e, &e->journal_io.in);
    for (int k = 0; k < 2; k++) {
        sl_ring *ring = k == 0 ? &e->reader.in : &e->reader.out;
        for (task *t; ring->slots != NULL && (t = sl_ring_pop(ring)) != NULL;)
            tasks_destroy(e, t);
    }
    tasks_destroy(e, e->live_first);
    tasks_destroy(e, e->read_first);
    tasks_destroy(e, e->gathering);
    tasks_destroy(e, e->judging);
    tasks_destroy(e, e->free_tasks);
    e->live_first = e->read_first = e->gathering = e->judging = e->free_tasks = NULL;
}
