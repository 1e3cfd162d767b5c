/* Catching up: what the pipeline wants and nobody has in memory any more is read again from the log, a few groups ahead, until
 * the live ones are met. */
#include "claims.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"

#include "sluice/message.h"

#include <inttypes.h>

enum { READ_AHEAD = 4 }; /* Groups that the reader is ahead of the pipeline. */

void read_back_done(sl_engine *e, task *t) {
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
            e->read_first == NULL && t->read_to > e->position)
            e->position = t->read_to;
        task_free(e, t);
        return;
    }
    e->read_next = t->group->next;
    if (!group_route(e, t)) {
        e->read_next = t->begin;
        task_free(e, t);
        return;
    }
    group_enter(e, t);
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
        e->read_count++;
        task_append(&e->read_last, t);
    }
    group_decode(e, t);
}

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
    live_drop(e, last);
    return true;
}

bool read_back_start(sl_engine *e) {
    if (engine_now(e) < e->read_retry_at_us)
        return false;
    if (e->reading || e->stopping)
        return false;
    if (e->read_count != 0 && intake_crowded(e))
        return false; /* What is there comes first. */
    uint64_t at;
    if (e->scanning_keys) {
        if (e->outstanding_bytes != 0 || e->scan_from == UINT64_MAX)
            return false;
        at = e->scan_from;
    } else {
        const task *live = e->live_first;
        if (e->position >= e->journal_next || e->read_count >= READ_AHEAD ||
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

void read_back_abandon(sl_engine *e) {
    for (task *t = e->live_first; t != NULL;) {
        task *next = t->next;
        if (t->answered && t->decoded && t->begin > e->position && e->read_first == NULL && !e->reading)
            live_drop(e, t);
        t = next;
    }
    while (e->read_first != NULL && e->read_first->decoded)
        read_drop(e, e->read_first);
}
