/* The journal actor writes groups, the reader actor reads them back. */
#include "crash.h"
#include "state.h"

#include "sluice/journal.h"
#include "sluice/message.h"

#include <stdlib.h>

enum { QUIET_US = 200000 };

void engine_send(sl_engine *e, sl_ring *ring, sl_actor *actor, void *item) {
    if (!sl_ring_push(ring, item)) {
        sl_message(SL_LEVEL_ERROR, "engine", "a ring overflowed", "actor=%s", actor->name);
        abort();
    }
    e->options.host.wake(e->options.host.context, actor);
}

static void push_back(sl_ring *ring, void *item) {
    if (!sl_ring_push(ring, item)) {
        sl_message(SL_LEVEL_ERROR, "engine", "a ring overflowed", "actor=loop");
        abort();
    }
}

void engine_return(sl_engine *e, sl_ring *ring, void *item) {
    push_back(ring, item);
    e->options.host.wake_loop(e->options.host.context);
}

void engine_return_half(sl_engine *e, sl_ring *ring, task *t) {
    /* Counted first: once both are pushed the task is the loop's, who may free it. The last one to count wakes; the other
     * may still be about to push by then, which the loop sees by the count (note_half()). */
    bool last = atomic_fetch_sub_explicit(&t->halves, 1, memory_order_acq_rel) == 1;
    push_back(ring, t);
    if (last)
        e->options.host.wake_loop(e->options.host.context);
}

static bool journal_run(void *context) {
    journal_actor *a = context;
    sl_engine *e = a->engine;
    message *m = sl_ring_pop(&a->in);
    if (m == NULL) {
        sl_error error;
        /* Writing a segment beforehand costs as much as writing it: only when nobody waits. */
        if (engine_now(e) - a->wrote_at_us < QUIET_US)
            return false;
        sl_status status = sl_journal_prepare(e->journal, &error);
        if (status != SL_OK && status != SL_EAGAIN && status != SL_EFULL)
            sl_message(SL_LEVEL_DEBUG, "journal", "no spare segment", "error=\"%s\"", error.text);
        return status == SL_EAGAIN;
    }
    if (m->kind == MESSAGE_TRIM) {
        CRASH(trim_before);
        sl_journal_trim(e->journal, ((trim_order *)m)->offset);
        sl_free(m);
        return true;
    }
    task *t = (task *)m;
    CRASH(journal_before_write);
    t->status = sl_journal_write(e->journal, t->group, &t->error);
    CRASH(journal_after_sync);
    a->wrote_at_us = engine_now(e);
    engine_return_half(e, &a->out, t);
    return true;
}

static bool reader_run(void *context) {
    reader_actor *a = context;
    task *t = sl_ring_pop(&a->in);
    if (t == NULL)
        return false;
    t->status = sl_journal_read(a->engine->journal, t->begin, t->group, &t->quarantined, &t->error);
    engine_return(a->engine, &a->out, t);
    return true;
}

sl_status log_create(sl_engine *e, sl_error *error) {
    e->journal_io.engine = e->reader.engine = e;
    e->journal_io.actor = (sl_actor){.name = "journal", .run = journal_run, .context = &e->journal_io};
    e->reader.actor = (sl_actor){.name = "reader", .run = reader_run, .context = &e->reader};
    if (sl_ring_init(&e->journal_io.in, RING_SIZE) != SL_OK ||
        sl_ring_init(&e->journal_io.out, RING_SIZE) != SL_OK ||
        sl_ring_init(&e->reader.in, RING_SIZE) != SL_OK ||
        sl_ring_init(&e->reader.out, RING_SIZE) != SL_OK)
        return no_memory(error);
    return SL_OK;
}

void log_destroy(sl_engine *e) {
    sl_ring_fini(&e->journal_io.in);
    sl_ring_fini(&e->journal_io.out);
    sl_ring_fini(&e->reader.in);
    sl_ring_fini(&e->reader.out);
}
