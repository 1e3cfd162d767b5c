/* The loop's order of things: groups are sealed and sent to journal and worker side by side, answered when
 * both are back, and ticketed into the pipeline in log order. What doesn't begin at `position` waits, or is
 * let go and read again from the log. */
#include "claims.h"
#include "crash.h"
#include "cuts.h"
#include "data.h"
#include "dedupe.h"
#include "records.h"
#include "replays.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"
#include "worker.h"

#include "sluice/journal.h"
#include "sluice/message.h"

#include <inttypes.h>

enum {
    PATIENCE_MS = 1, /* The longest wait of a group for the senders that were just answered. */
    PATIENCE_BYTES = 128 << 10,
    READ_AHEAD = 4,  /* Groups that the reader is ahead of the pipeline. */
    TASKS_SPARE = 4, /* Kept for requests and the reader while the pipeline stands still. */
};

/* --- tasks --- */

void task_use(task *t, shape *s) {
    for (uint32_t i = 0; i < t->use_count; i++)
        if (t->uses[i] == s)
            return;
    t->uses[t->use_count++] = shape_ref(s);
}

task *task_get(sl_engine *e) {
    task *t = e->free_tasks;
    if (t != NULL) {
        e->free_tasks = t->next;
        t->next = NULL;
        return t;
    }
    if (e->task_count == e->tasks_max)
        return NULL;
    t = sl_calloc(1, sizeof *t);
    if (t == NULL || (t->group = sl_group_create(GROUP_BYTES, e->budget)) == NULL) {
        sl_free(t);
        return NULL;
    }
    t->head.kind = MESSAGE_TASK;
    e->task_count++;
    return t;
}

static void task_destroy(sl_engine *e, task *t) {
    data_release(t);
    for (uint32_t i = 0; i < t->use_count; i++)
        shape_unref(t->uses[i]);
    sl_group_destroy(t->group);
    sl_free(t->records);
    sl_free(t->requests);
    sl_free(t->shapes);
    sl_free(t->parts);
    sl_free(t->passes);
    sl_free(t);
    e->task_count--;
}

void task_free(sl_engine *e, task *t) {
    e->letting_go = false;
    if (t->group->capacity > 2 * (size_t)GROUP_BYTES) { /* It grew for one large record. */
        task_destroy(e, t);
        return;
    }
    for (uint32_t i = 0; i < t->use_count; i++)
        shape_unref(t->uses[i]);
    data_release(t);
    sl_group *group = t->group;
    sl_group_reset(group);
    *t = (task){.head = {MESSAGE_TASK},
                .next = e->free_tasks,
                .group = group,
                .records = t->records,
                .record_capacity = t->record_capacity,
                .requests = t->requests,
                .request_capacity = t->request_capacity,
                .shapes = t->shapes,
                .parts = t->parts,
                .part_capacity = t->part_capacity,
                .passes = t->passes,
                .pass_capacity = t->pass_capacity};
    e->free_tasks = t;
}

void task_release(sl_engine *e, task *t) {
    t->stage = TASK_RELEASE;
    if (t->part_count == 0) {
        e->outstanding_bytes -= t->bytes;
        task_free(e, t);
        return;
    }
    worker *w = &e->workers[t->worker];
    engine_send(e, &w->pipeline, &w->actor, t);
}

static bool task_grow(task *t, uint32_t count) {
    if (count <= t->record_capacity)
        return true;
    uint32_t capacity = count < 64 ? 64 : 2 * count;
    sl_record *records = sl_realloc(t->records, capacity * sizeof *records);
    if (records != NULL)
        t->records = records;
    shape **shapes = sl_realloc(t->shapes, capacity * sizeof *shapes);
    if (shapes != NULL)
        t->shapes = shapes;
    if (records == NULL || shapes == NULL)
        return false;
    t->record_capacity = capacity;
    return true;
}

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

/* Which stream takes each record, in which shape. */
static bool route(sl_engine *e, task *t) {
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

static void send_decode(sl_engine *e, task *t) {
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

static void append(task ***last, task *t) {
    t->next = NULL;
    **last = t;
    *last = &t->next;
}

static void unlink_task(task **first, task ***last, task *t) {
    task **at = first;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (*last == &t->next)
        *last = at;
    t->next = NULL;
}

/* Journal and worker get the group at the same time. */
void sequence_seal(sl_engine *e) {
    task *t = e->gathering;
    e->patient_since_us = 0;
    t->live = true;
    t->begin = UINT64_MAX; /* Known when it is written. */
    if (!route(e, t)) {
        t->status = SL_ENOMEM;
        t->written = t->decoded = true;
        reply_task(e, t);
        e->gathering = NULL;
        task_free(e, t);
        return;
    }
    e->gathering = NULL;
    t->worker = pick_worker(e);
    t->bytes = t->group->length;
    e->outstanding_bytes += t->bytes;
    e->live_bytes += t->bytes;
    append(&e->live_last, t);
    e->writing++;
    /* Decoding must not see the length that write() rounds up; it reads only records and bytes. */
    atomic_store_explicit(&t->halves, 1, memory_order_relaxed); /* The journal's. */
    send_decode(e, t);
    engine_send(e, &e->journal_io.in, &e->journal_io.actor, t);
}

sl_status sequence_dry_run(sl_engine *e, task *t) {
    t->dry_run = true;
    if (!route(e, t))
        return SL_ENOMEM;
    t->worker = pick_worker(e);
    t->bytes = t->group->length;
    e->outstanding_bytes += t->bytes;
    send_decode(e, t);
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

bool sequence_kick(sl_engine *e) {
    if (e->gathering == NULL || e->gathering->group->count == 0 || e->data_next != NULL)
        return false;
    if (e->gathering->group->length < GROUP_BYTES / 2 && (!hurry(e) || patient(e)))
        return false;
    sequence_seal(e);
    return true;
}

/* --- tickets --- */

uint64_t table_position(const sl_engine *e, const table *t) {
    uint64_t p = e->position > t->of->next ? e->position : t->of->next;
    return p > t->skip_below ? p : t->skip_below;
}

static bool same_fields(const sl_schema *a, const sl_schema *b) {
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->fields[i].type != b->fields[i].type)
            return false;
    return true;
}

/* Fold what the batch saw into the stream's schema. @return whether a known type widened. */
static bool infer(sl_engine *e, part *p, bool *failed) {
    stream *s = p->shape->of;
    sl_schema *merged = NULL;
    bool widened = false;
    if (sl_schema_merge(s->current->schema, p->batch->proposals, p->batch->proposal_count, &merged,
                        &widened) != SL_OK) {
        *failed = true;
        return false;
    }
    if (merged == NULL)
        return false;
    shape *next;
    sl_error error;
    if (shape_create(e, s, merged, &next, &error) != SL_OK) {
        *failed = true;
        return false;
    }
    shape_unref(s->current);
    s->current = next;
    return widened;
}

/* @return SL_OK: go; SL_EAGAIN: decode again, or the stream was rewound; SL_ENOMEM: later. */
static sl_status settle_schemas(sl_engine *e, task *t) {
    bool again = false, failed = false;
    for (uint32_t i = 0; i < t->part_count; i++) {
        part *p = &t->parts[i];
        stream *s = p->shape->of;
        p->skip = t->group->offset < s->next;
        if (!s->inferred || p->skip)
            continue;
        if (p->batch->proposal_count != 0 && infer(e, p, &failed) && s->dispatched)
            s->widened = true;
        if (s->widened) {
            s->widened = !sequence_rewind(e, s, NULL);
            return SL_EAGAIN;
        }
        if (failed)
            return SL_ENOMEM;
    }
    for (uint32_t i = 0; i < t->part_count; i++) {
        part *p = &t->parts[i];
        stream *s = p->shape->of;
        if (p->shape == s->current)
            continue;
        if (!p->skip && !same_fields(p->shape->schema, s->current->schema))
            again = true;
        task_use(t, s->current);
        p->shape = s->current;
    }
    if (!again)
        return SL_OK;
    for (uint32_t i = 0; i < t->record_count; i++) {
        t->records[i].accepted = t->records[i].rejected = 0;
        if (t->records[i].stream == ROUTED) {
            route_share(e, t, i);
            continue;
        }
        t->shapes[i] = e->streams[t->records[i].stream]->current;
        task_use(t, t->shapes[i]);
    }
    send_decode(e, t);
    return SL_EAGAIN;
}

static void touch_tables(sl_engine *e, const task *t, const part *p) {
    stream *s = p->shape->of;
    int64_t now = engine_now(e);
    for (uint32_t k = 0; k < s->table_count; k++) {
        table *b = s->tables[k];
        bool dead = b->kind == SL_TABLE_DEAD || b->kind == SL_TABLE_DEAD_TOPIC;
        bool concerned = dead                      ? p->batch->reject_count != 0
                         : b->kind == SL_TABLE_RAW ? true /* A record may hold no event at all. */
                                                   : p->batch->rows + p->batch->reject_count != 0;
        if (!concerned || t->group->offset < b->skip_below)
            continue;
        if (!b->dirty)
            b->dirty_since_us = now;
        b->dirty = true;
    }
}

static void count_part(sl_engine *e, const part *p) {
    stream *s = p->shape->of;
    sl_metric_add(s->received, p->replays ? (int64_t)part_counts(p).received : p->batch->rows + p->decoded_rejects);
    if (p->batch->drift != 0)
        sl_metric_add(s->drift, (int64_t)p->batch->drift);
    if (p->batch->reject_count != 0)
        sl_metric_add(s->refused, p->batch->reject_count);
    for (uint32_t i = 0; i < p->batch->reject_count; i++)
        if (!p->batch->records[p->batch->rejects[i].record].replay)
            sl_metric_add(e->metric_dead[p->batch->rejects[i].code], 1);
}

/* The task begins at `position` and is decoded: give it its place. @return false: it has to wait. */
static bool ticket(sl_engine *e, task *t, task **first, task ***last) {
    if (settle_schemas(e, t) != SL_OK || !claims_expect(e, t) || (t->replays && !replays_judge(e, t)))
        return false;
    claims_ticket(e, t);
    for (uint32_t i = 0; i < t->part_count; i++) {
        part *p = &t->parts[i];
        stream *s = p->shape->of;
        if (p->skip)
            continue;
        p->watermark_us = s->watermark_us;
        if (p->watermark_after > s->watermark_us)
            s->watermark_us = p->watermark_after;
        s->dispatched = true;
        touch_tables(e, t, p);
        count_part(e, p);
        if (p->replays)
            replays_counted(e, p);
    }
    unlink_task(first, last, t);
    if (t->live)
        e->live_bytes -= t->bytes;
    else
        e->replay_count--;
    e->position = t->group->next;
    e->pipeline_bytes += t->bytes;
    t->stage = TASK_PROCESS;
    pipeline_task(e, t);
    return true;
}

static void drop_live(sl_engine *e, task *t) {
    unlink_task(&e->live_first, &e->live_last, t);
    e->live_bytes -= t->bytes;
    task_release(e, t);
}

static void drop_replay(sl_engine *e, task *t) {
    unlink_task(&e->replay_first, &e->replay_last, t);
    e->replay_count--;
    task_release(e, t);
}

uint64_t spool_used(const sl_engine *e, uint32_t destination) {
    return atomic_load_explicit(&e->storage.spool_bytes[destination], memory_order_relaxed);
}

/* Tables of a destination whose quota is used up are parked at their next cut, but not the companions, as they are cut with
 * tables of other destinations. When they alone use up a quota, what comes stays in the log; when that is full, too, requests
 * are refused. */
static bool spool_full(const sl_engine *e) {
    return spool_used(e, DESTINATION_COMPANIONS) >= e->config->spool.quota && !e->stopping;
}

static bool dispatch(sl_engine *e) {
    bool any = false;
    if (e->scanning_keys)
        return false;
    for (;;) {
        while (e->replay_first != NULL && e->replay_first->decoded &&
               (e->replay_first->epoch != e->epoch || e->replay_first->begin < e->position))
            drop_replay(e, e->replay_first);
        while (e->live_first != NULL && e->live_first->answered &&
               (e->live_first->status != SL_OK || e->live_first->begin < e->position))
            drop_live(e, e->live_first);
        if (e->pipeline_bytes >= e->config->memory / 8 || spool_full(e))
            return any;
        task *live = e->live_first, *replay = e->replay_first;
        if (live != NULL && live->answered && live->decoded && live->begin == e->position) {
            if (!ticket(e, live, &e->live_first, &e->live_last))
                return any;
        } else if (replay != NULL && replay->decoded && replay->begin == e->position) {
            if (!ticket(e, replay, &e->replay_first, &e->replay_last))
                return any;
        } else {
            return any;
        }
        any = true;
    }
}

bool sequence_rewind(sl_engine *e, stream *s, table *failed) {
    rewind_order *order = sl_calloc(1, sizeof *order);
    if (order == NULL)
        return false;
    order->head.kind = MESSAGE_REWIND;
    order->waiting = e->worker_count;
    uint64_t reached = e->position > s->next ? e->position : s->next;
    uint64_t target = UINT64_MAX;
    int64_t watermark = SL_NO_TIME;
    for (uint32_t k = 0; k < s->table_count; k++) {
        table *t = s->tables[k];
        bool drop = failed == NULL ? !t->parked : t == failed;
        if (!drop && t->skip_below < reached)
            t->skip_below = reached;
        if (drop)
            t->skip_below = t->cut_to;
        order->tables[order->count] = t;
        order->drop[order->count] = drop;
        order->skip_below[order->count++] = t->skip_below;
        if (drop) {
            t->dirty = false;
            claims_forget(t);
        }
        if (drop && t->cut_to < target) {
            target = t->cut_to;
            watermark = t->watermark_us;
        }
    }
    for (uint32_t i = 0; i < e->stream_count; i++)
        if (e->streams[i]->next < e->position)
            e->streams[i]->next = e->position;
    if (target < s->next) { /* Else another table of the stream already waits for what lies lower. */
        s->next = target;
        s->watermark_us = watermark;
    }
    if (failed == NULL)
        s->dispatched = false;
    if (s->next < e->position)
        e->position = s->next;
    e->epoch++;
    e->read_next = UINT64_MAX;
    sl_metric_add(e->metric_rewinds, 1);
    sl_message(SL_LEVEL_INFO, "engine", "stream reads again from the log", "stream=%s position=%" PRIu64,
               s->name, target);
    pipeline_all(e, &order->head);
    return true;
}

bool sequence_park(sl_engine *e, table *t) {
    rewind_order *order = sl_calloc(1, sizeof *order);
    if (order == NULL)
        return false;
    *order = (rewind_order){.head = {MESSAGE_REWIND},
                            .waiting = e->worker_count,
                            .count = 1,
                            .tables = {t},
                            .skip_below = {UINT64_MAX},
                            .drop = {true}};
    t->failed = t->parked = true;
    t->failed_at_us = engine_now(e);
    t->skip_below = UINT64_MAX;
    t->dirty = false;
    claims_forget(t);
    sl_message(SL_LEVEL_WARN, "engine", "table waits: spool.quota is used up", "table=%s", t->name);
    pipeline_all(e, &order->head);
    return true;
}

/* --- completions --- */

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
        drop_live(e, t);
    }
}

static void decoded(sl_engine *e, task *t) {
    if (t->nomem) {
        send_decode(e, t);
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

static void was_read(sl_engine *e, task *t) {
    e->reading = false;
    if (t->quarantined != 0) {
        sl_metric_add(e->metric_quarantined, (int64_t)t->quarantined);
        sl_message(SL_LEVEL_ERROR, "journal", "damage stepped over", "position=%" PRIu64 " bytes=%" PRIu64,
                   t->begin, t->quarantined);
    }
    bool stale = t->epoch != e->epoch;
    if (t->status != SL_OK || stale) {
        bool passed = !t->keys_only && t->begin < e->position; /* And perhaps trimmed meanwhile. */
        if (t->status != SL_OK && t->status != SL_ENOTFOUND && !stale && !passed) {
            e->read_retry_at_us = engine_now(e) + SL_SECOND_US;
            sl_message(SL_LEVEL_ERROR, "journal", "read failed", "error=\"%s\"", t->error.text);
        }
        if (t->keys_only && !stale && t->status == SL_ENOTFOUND)
            e->scan_from = UINT64_MAX;
        /* What was cut or voided after the last group holds nothing: the stream's end is reached. */
        if (!t->keys_only && !stale && t->status == SL_ENOTFOUND && t->begin == e->position &&
            e->replay_first == NULL && t->read_to > e->position)
            e->position = t->read_to;
        task_free(e, t);
        return;
    }
    e->read_next = t->group->next;
    if (!route(e, t)) {
        e->read_next = t->begin;
        task_free(e, t);
        return;
    }
    t->bytes = t->group->length;
    e->outstanding_bytes += t->bytes;
    t->worker = pick_worker(e);
    if (t->keys_only && !origins_note(e, t->group)) {
        e->read_retry_at_us = engine_now(e) + SL_SECOND_US;
        task_release(e, t);
        return;
    }
    if (t->keys_only) {
        bool any = false;
        for (uint32_t i = 0; i < t->group->count; i++)
            any = any || t->group->records[i].key_length != 0;
        if (!any) {
            e->scan_from = t->group->next;
            task_release(e, t);
            return;
        }
    } else {
        e->replay_count++;
        append(&e->replay_last, t);
    }
    send_decode(e, t);
}

static void processed(sl_engine *e, task *t) {
    if (t->stage == TASK_PROCESS)
        e->pipeline_bytes -= t->bytes;
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

static void worker_returned(sl_engine *e, message *m) {
    switch (m->kind) {
    case MESSAGE_TASK: {
        task *t = (task *)m;
        if (t->stage == TASK_DECODE)
            decoded(e, t);
        else
            processed(e, t);
        break;
    }
    case MESSAGE_CUT:
        if (--((cut *)m)->waiting == 0)
            cut_sealed(e, (cut *)m);
        break;
    case MESSAGE_REWIND:
        if (--((rewind_order *)m)->waiting == 0)
            sl_free(m);
        break;
    case MESSAGE_PEEK:
        if (--((peek *)m)->waiting == 0)
            engine_send(e, &e->storage.in, &e->storage.actor, m);
        break;
    case MESSAGE_DATA:
        if (--((data_order *)m)->waiting == 0)
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

/* --- reading back --- */

/* Live groups wait for what lies before them, and there is no room left to read that: the last of them is let
 * go, the log has it. */
static bool let_go(sl_engine *e) {
    task *last = NULL;
    for (task *t = e->live_first; t != NULL; t = t->next)
        if (t->answered && t->decoded && t->begin > e->position)
            last = t;
    if (last == NULL || e->letting_go)
        return false;
    e->letting_go = true;
    sl_metric_add(e->metric_dropped, 1);
    drop_live(e, last);
    return true;
}

static bool start_reading(sl_engine *e) {
    if (engine_now(e) < e->read_retry_at_us)
        return false;
    if (e->reading || e->stopping)
        return false;
    uint64_t at;
    if (e->scanning_keys) {
        if (e->outstanding_bytes != 0 || e->scan_from == UINT64_MAX)
            return false;
        at = e->scan_from;
    } else {
        const task *live = e->live_first;
        if (e->position >= e->journal_next || e->replay_count >= READ_AHEAD ||
            (live != NULL && live->written && live->begin == e->position))
            return false;
        /* Live groups may have taken the position beyond where the reader was last. */
        at = e->read_next == UINT64_MAX || e->read_next < e->position ? e->position : e->read_next;
        if (at >= e->journal_next || (live != NULL && live->written && live->begin <= at))
            return false; /* The reader is where the live groups begin. */
    }
    task *t = task_get(e);
    if (t == NULL)
        return let_go(e);
    t->begin = at;
    t->read_to = e->journal_next;
    t->epoch = e->epoch;
    t->keys_only = e->scanning_keys;
    e->reading = true;
    engine_send(e, &e->reader.in, &e->reader.actor, t);
    return true;
}

static bool retry_failed(sl_engine *e) {
    bool any = false;
    int64_t now = engine_now(e);
    for (uint32_t i = 0; i < e->table_count; i++) {
        table *t = e->tables[i];
        if (!t->failed || t->cutting || t->voided.stage != VOID_NONE || e->stopping)
            continue;
        uint32_t shift = t->failures < 5 ? t->failures : 5;
        uint64_t quota = e->config->spool.quota;
        if (t->parked ? spool_used(e, t->destination) > quota - quota / 4
                      : now - t->failed_at_us < (SL_SECOND_US << shift))
            continue;
        if (!sequence_rewind(e, t->of, t))
            continue;
        if (!t->parked)
            t->failures++;
        t->failed = t->parked = false;
        any = true;
    }
    return any;
}

/* Stopping: what waits behind a gap that nobody reads any more is in the log. */
static void drop_unreachable(sl_engine *e) {
    for (task *t = e->live_first; t != NULL;) {
        task *next = t->next;
        if (t->answered && t->decoded && t->begin > e->position && e->replay_first == NULL && !e->reading)
            drop_live(e, t);
        t = next;
    }
    while (e->replay_first != NULL && e->replay_first->decoded)
        drop_replay(e, e->replay_first);
}

bool sequence_poll(sl_engine *e) {
    bool any = false;
    void *m;
    while ((m = sl_ring_pop(&e->journal_io.out)) != NULL) {
        written(e, m);
        answer(e, m);
        any = true;
    }
    while ((m = sl_ring_pop(&e->reader.out)) != NULL) {
        was_read(e, m);
        any = true;
    }
    for (uint32_t i = 0; i < e->worker_count; i++)
        while ((m = sl_ring_pop(&e->workers[i].out)) != NULL) {
            worker_returned(e, m);
            any = true;
        }
    any = data_turn(e) || any;
    any = sequence_kick(e) || any;
    any = judged_kick(e) || any;
    any = retry_failed(e) || any;
    any = dispatch(e) || any;
    if (e->stopping)
        drop_unreachable(e);
    any = start_reading(e) || any;
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

static void destroy_list(sl_engine *e, task *t) {
    while (t != NULL) {
        task *next = t->next;
        for (uint32_t i = 0; i < t->part_count; i++) {
            sl_batch_destroy(t->parts[i].batch);
            sl_free(t->parts[i].ids);
            sl_free(t->parts[i].id_texts);
        }
        task_destroy(e, t);
        t = next;
    }
}

/* What nobody takes any more from a ring between loop and journal, reader or worker. */
static void drop_message(sl_engine *e, message *m) {
    switch (m->kind) {
    case MESSAGE_TASK: {
        task *t = (task *)m;
        /* One that is written or decoded is in the list of live or of read ones. */
        if (t->stage == TASK_DECODE && !t->keys_only && !t->dry_run)
            break;
        t->next = NULL;
        destroy_list(e, t);
        break;
    }
    case MESSAGE_CUT: /* These three go to all workers: the last one frees them. */
        if (--((cut *)m)->waiting == 0)
            cut_free((cut *)m);
        break;
    case MESSAGE_REWIND:
        if (--((rewind_order *)m)->waiting == 0)
            sl_free(m);
        break;
    case MESSAGE_PEEK:
        if (--((peek *)m)->waiting == 0)
            peek_free(e, (peek *)m);
        break;
    case MESSAGE_DATA:
        if (--((data_order *)m)->waiting == 0)
            data_used(e, (data_order *)m);
        break;
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
    /* From here each message would have gone to all workers. */
    for (message *m; e->dedupe.in.slots != NULL && (m = dedupe_take_back(e)) != NULL; drop_message(e, m))
        if (m->kind == MESSAGE_CUT)
            ((cut *)m)->waiting = 1;
        else if (m->kind == MESSAGE_REWIND)
            ((rewind_order *)m)->waiting = 1;
        else if (m->kind == MESSAGE_PEEK)
            ((peek *)m)->waiting = 1;
        else if (m->kind == MESSAGE_DATA)
            ((data_order *)m)->waiting = 1;
    drop_ring(e, &e->journal_io.in);
    for (int k = 0; k < 2; k++) {
        sl_ring *ring = k == 0 ? &e->reader.in : &e->reader.out;
        for (task *t; ring->slots != NULL && (t = sl_ring_pop(ring)) != NULL;)
            destroy_list(e, t);
    }
    destroy_list(e, e->live_first);
    destroy_list(e, e->replay_first);
    destroy_list(e, e->gathering);
    destroy_list(e, e->judging);
    destroy_list(e, e->free_tasks);
    e->live_first = e->replay_first = e->gathering = e->judging = e->free_tasks = NULL;
}
