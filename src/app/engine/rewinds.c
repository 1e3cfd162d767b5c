/* Streams that go back to their last cut, and tables that wait for room: workers drop what they hold, and what follows
 * comes again from the log. */
#include "claims.h"
#include "dedupe.h"
#include "sequence.h"
#include "spool.h"
#include "state.h"

#include "sluice/message.h"

#include <inttypes.h>

bool rewind_stream(sl_engine *e, stream *s, table *failed) {
    rewind_order *order = sl_calloc(1, sizeof *order);
    if (order == NULL)
        return false;
    order->head.kind = MESSAGE_REWIND;
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

bool rewind_park(sl_engine *e, table *t) {
    rewind_order *order = sl_calloc(1, sizeof *order);
    if (order == NULL)
        return false;
    *order = (rewind_order){.head = {.kind = MESSAGE_REWIND},
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

bool rewind_retry(sl_engine *e) {
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
        if (!rewind_stream(e, t->of, t))
            continue;
        if (!t->parked)
            t->failures++;
        t->failed = t->parked = false;
        any = true;
    }
    return any;
}
