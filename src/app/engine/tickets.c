/* The order of the pipeline: the group that begins at `position`, answered and durable, gets the next ticket, and with it
 * all that depends on what came before. Others wait. */
#include "claims.h"
#include "dedupe.h"
#include "records.h"
#include "replays.h"
#include "sequence.h"
#include "spool.h"
#include "state.h"
#include "worker.h"

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
            s->widened = !rewind_stream(e, s, NULL);
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
    group_decode(e, t);
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
    task_unlink(first, last, t);
    if (t->live)
        e->live_bytes -= t->bytes;
    else
        e->read_count--;
    e->position = t->group->next;
    atomic_fetch_add_explicit(&e->pipeline_bytes, t->bytes, memory_order_relaxed);
    t->stage = TASK_PROCESS;
    pipeline_task(e, t);
    return true;
}

void live_drop(sl_engine *e, task *t) {
    task_unlink(&e->live_first, &e->live_last, t);
    e->live_bytes -= t->bytes;
    task_release(e, t);
}

void read_drop(sl_engine *e, task *t) {
    task_unlink(&e->read_first, &e->read_last, t);
    e->read_count--;
    task_release(e, t);
}

/* Tables of a destination whose quota is used up are parked at their next cut, but not the companions, as they are cut with
 * tables of other destinations. When they alone use up a quota, what comes stays in the log; when that is full, too, requests
 * are refused. */
static bool spool_full(const sl_engine *e) {
    return spool_used(e, DESTINATION_COMPANIONS) >= e->config->spool.quota && !e->stopping;
}

bool tickets_dispatch(sl_engine *e) {
    bool any = false;
    if (e->scanning_keys)
        return false;
    for (;;) {
        while (e->read_first != NULL && e->read_first->decoded &&
               (e->read_first->epoch != e->epoch || e->read_first->begin < e->position))
            read_drop(e, e->read_first);
        while (e->live_first != NULL && e->live_first->answered &&
               (e->live_first->status != SL_OK || e->live_first->begin < e->position))
            live_drop(e, e->live_first);
        if (e->pipeline_bytes >= e->config->memory / 8 || spool_full(e))
            return any;
        task *live = e->live_first, *replay = e->read_first;
        if (live != NULL && live->answered && live->decoded && live->begin == e->position) {
            if (!ticket(e, live, &e->live_first, &e->live_last))
                return any;
        } else if (replay != NULL && replay->decoded && replay->begin == e->position) {
            if (!ticket(e, replay, &e->read_first, &e->read_last))
                return any;
        } else {
            return any;
        }
        any = true;
    }
}
