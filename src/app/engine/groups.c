/* A group from its gathering to its replies: requests gather while the journal writes the last one; each record gets its
 * stream; journal and worker have the group side by side, and when both are back it is answered. */
#include "claims.h"
#include "crash.h"
#include "data.h"
#include "records.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"
#include "worker.h"

#include "sluice/message.h"

enum {
    PATIENCE_MS = 1, /* The longest wait of a group for the senders that were just answered. */
    PATIENCE_BYTES = 128 << 10,
};

bool sequence_place(sl_engine *e, task *t, uint32_t record, const char *name, size_t length) {
    /* A new stream begins at what isn't ticketed yet, not at this group: after a restart the log may hold
     * records of it that are still to be read again. */
    const char *source = e->sources[t->records[record].source];
    const bool shared = length == 0 && route_asks(e, source);
    stream *s = shared ? e->unrouted : stream_route(e, name, length, source, e->position);
    if (s == NULL)
        return false;
    t->records[record].stream = s->index;
    t->shapes[record] = s->current;
    task_use(t, s->current);
    if (shared)
        route_share(e, t, record);
    return true;
}

bool group_route(sl_engine *e, task *t) {
    items_count(t);
    if (!task_grow(t, t->group->count + t->item_count))
        return false;
    data_assign(e, t);
    const char *bytes = (const char *)t->group->bytes;
    for (uint32_t i = 0; i < t->group->count; i++) {
        const sl_journal_record *r = &t->group->records[i];
        uint32_t source = source_index(e, bytes + r->source, r->source_length);
        t->records[i] = (sl_record){
            .position = t->group->offset + r->body,
            .logged = t->group->offset + r->body,
            .body = r->body,
            .length = r->length,
            .arrival_us = r->arrival_us,
            .source = source,
            .stream = e->unrouted->index,
            .format = r->format,
        };
        t->shapes[i] = e->unrouted->current;
        task_use(t, e->unrouted->current);
        /* What is damaged, or belongs where its messages say, is nobody's. */
        if (!r->damaged && r->format.kind != SL_FORMAT_ADDRESSED &&
            !sequence_place(e, t, i, bytes + r->stream, r->stream_length))
            return false;
    }
    t->record_count = t->group->count;
    return t->item_count == 0 || items_spread(e, t);
}

void group_decode(sl_engine *e, task *t) {
    t->decoded = false;
    atomic_fetch_add_explicit(&t->halves, 1, memory_order_relaxed); /* The ring publishes it. */
    t->stage = TASK_DECODE;
    worker *w = &e->workers[t->worker];
    engine_send(e, &w->verdicts, &w->actor, t);
}

static uint32_t pick_worker(sl_engine *e) {
    uint32_t best = e->next_worker++ % e->worker_count;
    size_t least = SIZE_MAX;
    for (uint32_t k = 0; k < e->worker_count; k++) {
        uint32_t i = (best + k) % e->worker_count;
        size_t load = sl_ring_count(&e->workers[i].verdicts) + sl_ring_count(&e->workers[i].pipeline);
        if (load < least) {
            least = load;
            best = i;
        }
    }
    return best;
}

void group_enter(sl_engine *e, task *t) {
    t->worker = pick_worker(e);
    t->bytes = t->group->length;
    e->outstanding_bytes += t->bytes;
}

/* Journal and worker get the group at the same time. */
void group_seal(sl_engine *e) {
    task *t = e->gathering;
    e->patient_since_us = 0;
    t->live = true;
    t->begin = UINT64_MAX; /* Known when it is written. */
    if (!group_route(e, t)) {
        t->status = SL_ENOMEM;
        t->written = t->decoded = true;
        reply_task(e, t);
        e->gathering = NULL;
        task_free(e, t);
        return;
    }
    e->gathering = NULL;
    group_enter(e, t);
    e->live_bytes += t->bytes;
    task_append(&e->live_last, t);
    e->writing++;
    /* Decoding must not see the length that write() rounds up; it reads only records and bytes. */
    atomic_store_explicit(&t->halves, 1, memory_order_relaxed); /* The journal's. */
    group_decode(e, t);
    engine_send(e, &e->journal_io.in, &e->journal_io.actor, t);
}

sl_status group_dry_run(sl_engine *e, task *t) {
    t->dry_run = true;
    if (!group_route(e, t))
        return SL_ENOMEM;
    group_enter(e, t);
    group_decode(e, t);
    return SL_OK;
}

/* While the journal writes or every worker has a verdict to work on, a reply couldn't leave sooner: gather. */
static bool hurry(const sl_engine *e) {
    if (e->writing != 0)
        return false;
    for (uint32_t i = 0; i < e->worker_count; i++)
        if (sl_ring_count(&e->workers[i].verdicts) == 0)
            return true;
    return false;
}

/* Who was answered a moment ago mostly asks again at once. A sync for most of the senders costs as much as
 * one for the first that comes, so a small group waits for seven eighths of them. */
static bool patient(sl_engine *e) {
    const sl_group *group = e->gathering->group;
    if (group->count >= e->senders - e->senders / 8 || group->length >= PATIENCE_BYTES || e->stopping)
        return false;
    int64_t now = engine_now(e);
    if (e->patient_since_us == 0) {
        e->patient_since_us = now;
        e->options.host.wake_loop_in(e->options.host.context, PATIENCE_MS);
    }
    return now - e->patient_since_us < PATIENCE_MS * 1000;
}

static void count_senders(sl_engine *e, const task *written) {
    uint32_t about = written->group->count + (e->gathering != NULL ? e->gathering->group->count : 0);
    e->senders = about > e->senders ? about : (3 * e->senders + about) / 4;
}

bool group_kick(sl_engine *e) {
    if (e->gathering == NULL || e->gathering->group->count == 0 || e->data_next != NULL)
        return false;
    if (e->gathering->group->length < GROUP_BYTES / 2 && (!hurry(e) || patient(e)))
        return false;
    group_seal(e);
    return true;
}

static void written(sl_engine *e, task *t) {
    e->writing--;
    count_senders(e, t);
    t->written = true;
    if (t->status == SL_OK) {
        t->begin = e->journal_next;
        e->journal_next = t->group->next;
        e->journal_full = false;
        (void)origins_note(e, t->group); /* They are known since they were submitted. */
        for (uint32_t i = 0; i < t->record_count; i++) {
            t->records[i].logged = t->group->offset + t->records[i].body;
            if (!t->records[i].replay)
                t->records[i].position = t->records[i].logged;
        }
        return;
    }
    e->journal_full = t->status == SL_ENOSPC;
    e->journal_full_at_us = engine_now(e);
    sl_message(SL_LEVEL_ERROR, "journal", "group refused", "error=\"%s\"", t->error.text);
}

static bool tasks_scarce(const sl_engine *e) {
    uint32_t spare = e->tasks_max - e->task_count;
    for (const task *t = e->free_tasks; t != NULL && spare < TASKS_SPARE; t = t->next)
        spare++;
    return spare < TASKS_SPARE;
}

/* Whoever wakes us was the last to count, not to push: the other half may come a moment later, and wakes nobody. */
static void note_half(sl_engine *e, task *t) {
    bool near = !(t->written && t->decoded) && atomic_load_explicit(&t->halves, memory_order_relaxed) == 0;
    if (near != t->near)
        e->halves_near += near ? 1 : UINT32_MAX;
    t->near = near;
}

static void answer(sl_engine *e, task *t) {
    note_half(e, t);
    if (!t->written || !t->decoded || t->answered)
        return;
    CRASH(reply_before);
    reply_task(e, t);
    t->answered = true;
    CRASH(reply_after);
    /* Far ahead of the pipeline, in bytes or in groups: let the columns go, the log has it. */
    if (t->status == SL_OK && t->begin != e->position &&
        (tasks_scarce(e) || e->live_bytes > e->config->memory / 8)) {
        sl_metric_add(e->metric_dropped, 1);
        live_drop(e, t);
    }
}

void group_written(sl_engine *e, task *t) {
    written(e, t);
    answer(e, t);
}

/* Columns that outgrow the bytes they are made of count as bytes do: for who is let in, and for who is let go. */
static void count_columns(sl_engine *e, task *t) {
    const uint64_t length = t->bytes - t->beside, beside = t->columns > length ? t->columns - length : 0;
    e->outstanding_bytes += beside - t->beside;
    if (t->live)
        e->live_bytes += beside - t->beside;
    t->bytes = length + beside;
    t->beside = beside;
}

void group_decoded(sl_engine *e, task *t) {
    count_columns(e, t);
    if (t->nomem) {
        group_decode(e, t);
        note_half(e, t);
        return;
    }
    t->decoded = true;
    if (t->item_count != 0)
        items_add_up(t);
    if (t->dry_run) {
        if (t->judged)
            judged_done(e, t);
        reply_task(e, t);
        task_release(e, t);
    } else if (t->keys_only) {
        if (keys_scanned(e, t))
            e->scan_from = t->group->next;
        else
            e->read_retry_at_us = engine_now(e) + SL_SECOND_US;
        task_release(e, t);
    } else if (t->live) {
        answer(e, t);
    }
}
