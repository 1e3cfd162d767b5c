/* When a table is cut, what a cut takes along, and what follows from its commit: cursors move, the journal
 * is trimmed, flushes are answered. */
#include "claims.h"
#include "cuts.h"
#include "data.h"
#include "dedupe.h"
#include "replays.h"
#include "sequence.h"
#include "spool.h"
#include "state.h"
#include "storage.h"

#include "sluice/checkpoint.h"
#include "sluice/message.h"

#include <inttypes.h>

enum { MOVE_EVERY_S = 10 };
#define UNCUT_MAX (UINT64_C(1) << 30) /* A table is cut at 1 GiB of uncut log. */

static bool companion(const table *t) {
    return sl_table_is_companion(t->kind);
}

/* What the table's reader must not outrun: a table that skips isn't where its stream is. */
static bool cuttable(const table *t, const sl_engine *e) {
    uint64_t at = e->position > t->of->next ? e->position : t->of->next;
    return !t->cutting && !t->failed && t->voided.stage == VOID_NONE && t->skip_below <= at;
}

static bool due(const sl_engine *e, const table *t, int64_t now) {
    if (!t->dirty)
        return false;
    if (e->stopping || now - t->dirty_since_us >= t->max_age_us ||
        table_position(e, t) - t->cut_to >= UNCUT_MAX)
        return true;
    for (const flush *f = e->flushes; f != NULL; f = f->next)
        if (t->cut_to < f->target && table_position(e, t) >= f->target)
            return true;
    return false;
}

void cut_results_clear(sl_engine *e, cut_result *r) {
    for (uint32_t i = 0; i < r->file_count; i++)
        spool_remove(e, r->files[i].spool);
}

void cut_free(cut *c) {
    for (uint32_t i = 0; i < c->result_count; i++) {
        cut_result *r = &c->results[i];
        for (uint32_t k = 0; k < r->file_count; k++) {
            sl_free(r->files[k].spool);
            sl_free(r->files[k].directory);
        }
        sl_free(r->files);
        sl_buffer_fini(&r->deltas);
    }
    for (uint32_t i = 0; i < c->table_count; i++) {
        sl_entry_fini(&c->entries[i]);
        sl_buffer_fini(&c->merged[i]);
        shape_unref(c->shapes[i]);
    }
    for (uint32_t i = 0; i < c->schema_count; i++)
        sl_schema_unref(c->schemas[i].schema);
    sl_free(c->tables);
    sl_free(c->entries);
    sl_free(c->watermarks);
    sl_free(c->shapes);
    sl_free(c->results);
    sl_free(c->merged);
    sl_free(c->moves);
    sl_free(c->move_to);
    sl_free(c->move_watermarks);
    sl_free(c->known);
    sl_free(c->schemas);
    sl_free(c->notes); /* The engine's. */
    sl_free(c->marks); /* The marks are their streams'. */
    while (c->replays != NULL) {
        replay_result *next = c->replays->next;
        replay_result_free(c->replays);
        c->replays = next;
    }
    sl_free(c);
}

static cut *cut_create(sl_engine *e, uint32_t tables) {
    cut *c = sl_calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->head.kind = MESSAGE_CUT;
    c->table_count = tables;
    c->result_count = tables * e->worker_count;
    c->tables = sl_calloc(tables + 1, sizeof(table *));
    c->entries = sl_calloc(tables + 1, sizeof *c->entries);
    c->watermarks = sl_calloc(tables + 1, sizeof *c->watermarks);
    c->shapes = sl_calloc(tables + 1, sizeof(shape *));
    c->results = sl_calloc(c->result_count + 1, sizeof *c->results);
    c->merged = sl_calloc(tables + 1, sizeof *c->merged);
    c->moves = sl_calloc(e->table_count + 1, sizeof(table *));
    c->move_to = sl_calloc(e->table_count + 1, sizeof *c->move_to);
    c->move_watermarks = sl_calloc(e->table_count + 1, sizeof *c->move_watermarks);
    c->known = sl_calloc(e->table_count + 1, sizeof(table *));
    c->schemas = sl_calloc(e->stream_count + 1, sizeof *c->schemas);
    if (c->tables == NULL || c->entries == NULL || c->watermarks == NULL || c->shapes == NULL ||
        c->results == NULL || c->merged == NULL || c->moves == NULL || c->move_to == NULL ||
        c->move_watermarks == NULL || c->known == NULL || c->schemas == NULL) {
        c->table_count = c->result_count = 0;
        cut_free(c);
        return NULL;
    }
    memcpy(c->known, e->tables, e->table_count * sizeof(table *));
    c->known_count = e->table_count;
    c->discovered = e->position;
    return c;
}

/* Rows of an inferred stream go out for the first time: its types are fixed from here on. */
static bool freeze(sl_engine *e, stream *s) {
    if (!s->inferred || s->current->schema->frozen || !s->dispatched)
        return true;
    sl_schema *frozen = sl_schema_copy(s->current->schema);
    if (frozen == NULL)
        return false;
    frozen->frozen = true;
    frozen->version++;
    shape *next;
    sl_error error;
    if (shape_create(e, s, frozen, &next, &error) != SL_OK)
        return false;
    shape_unref(s->current);
    s->current = next;
    return true;
}

static void note_schema(cut *c, stream *s, uint64_t position) {
    if (!s->inferred || s->current->schema->version == s->stored_version)
        return;
    for (uint32_t i = 0; i < c->schema_count; i++)
        if (c->schemas[i].of == s)
            return;
    c->schemas[c->schema_count].of = s;
    c->schemas[c->schema_count].schema = sl_schema_ref(s->current->schema);
    c->schemas[c->schema_count++].frozen_at = position;
}

static void enter(sl_engine *e, cut *c, uint32_t i, table *t) {
    uint64_t to = table_position(e, t);
    c->tables[i] = t;
    c->shapes[i] = shape_ref(t->of->current);
    c->watermarks[i] = t->of->watermark_us;
    c->entries[i] = (sl_entry){.sequence = t->sequence + 1,
                               .from = t->last,
                               .to = to,
                               .schema_version = t->of->current->schema->version,
                               .generation = e->generation,
                               .begin = t->cut_to,
                               .watermark_from_us = t->watermark_us,
                               .ranges = c->entries[i].ranges};
    claims_forget(t);
    note_schema(c, t->of, to);
    t->cutting = true;
    t->dirty = false;
    t->cut_before = t->cut_to;
    t->watermark_before_us = t->watermark_us;
    t->cut_to = to;
    t->watermark_us = t->of->watermark_us;
}

static bool moves(const sl_engine *e, const table *t) {
    return !t->dirty && cuttable(t, e) && t->cut_to < table_position(e, t);
}

static bool may_move(const sl_engine *e) {
    for (uint32_t i = 0; i < e->table_count; i++)
        if (moves(e, e->tables[i]))
            return true;
    return false;
}

/* Tables that have nothing new only move their cursor. */
static void add_moves(sl_engine *e, cut *c) {
    for (uint32_t i = 0; i < e->table_count; i++) {
        table *t = e->tables[i];
        uint64_t to = table_position(e, t);
        if (!moves(e, t))
            continue;
        c->moves[c->move_count] = t;
        c->move_to[c->move_count] = to;
        c->move_watermarks[c->move_count++] = t->of->watermark_us;
        t->cut_before = t->cut_to;
        t->watermark_before_us = t->watermark_us;
        t->cut_to = to;
        t->watermark_us = t->of->watermark_us;
        t->cutting = true;
    }
}

static bool cut_ranges(const sl_engine *e, cut *c) {
    bool good = true;
    for (uint32_t i = 0; i < c->table_count && good; i++) {
        good = claims_ranges(e, c->tables[i], &c->entries[i].ranges);
        c->claimed = c->claimed || c->tables[i]->claimed;
    }
    return good;
}

static bool begin_cut(sl_engine *e, table **chosen, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (!freeze(e, chosen[i]->of))
            return false;
    cut *c = cut_create(e, count);
    if (c == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        c->tables[i] = chosen[i];
    if (!cut_ranges(e, c) || !data_note_cut(e, c) || (e->dedupe.active && !dedupe_mark_cut(e, c))) {
        data_end_cut(c, false);
        for (uint32_t i = 0; i < count; i++)
            sl_entry_fini(&c->entries[i]);
        c->table_count = c->result_count = 0;
        cut_free(c);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        enter(e, c, i, chosen[i]);
    add_moves(e, c);
    replays_join_cut(e, c);
    e->cuts_open++;
    e->moved_at_us = engine_now(e);
    if (count == 0 && !e->dedupe.active) {
        engine_send(e, &e->storage.in, &e->storage.actor, c);
        return true;
    }
    pipeline_all(e, &c->head);
    return true;
}

/* A destination that takes nothing must not use up another's quota (I8): its tables go without, their rows stay in the log. */
static bool park_full(sl_engine *e, table *t) {
    return !e->stopping && !companion(t) && spool_used(e, t->destination) >= e->config->spool.quota &&
           rewind_park(e, t);
}

/* Dead letters and late events are cut wherever a table of their stream is, so that audit can compare them. */
static uint32_t choose(sl_engine *e, int64_t now, table **chosen) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->stream_count; i++) {
        stream *s = e->streams[i];
        if (s->widened)
            continue; /* What workers hold still has the old types. */
        bool any = false, free = true;
        for (uint32_t k = 0; k < s->table_count; k++) {
            table *t = s->tables[k];
            bool ready = due(e, t, now) && cuttable(t, e) && !park_full(e, t);
            any = any || ready;
            if (companion(t))
                free = free && cuttable(t, e);
        }
        if (!any || !free)
            continue;
        for (uint32_t k = 0; k < s->table_count; k++) {
            table *t = s->tables[k];
            if ((due(e, t, now) && cuttable(t, e)) || (companion(t) && t->dirty))
                chosen[count++] = t;
        }
    }
    return count;
}

static void advance_table(table *t, uint64_t cursor, int64_t watermark_us) {
    t->cutting = false;
    t->failures = 0;
    t->cursor = cursor;
    t->cursor_watermark_us = watermark_us;
}

static void trim(sl_engine *e) {
    uint64_t low = claims_lowest(e);
    low = e->keys_stored < low ? e->keys_stored : low;
    if (low <= e->trimmed)
        return;
    trim_order *order = sl_calloc(1, sizeof *order);
    if (order == NULL)
        return;
    order->head.kind = MESSAGE_TRIM;
    order->offset = low;
    e->trimmed = low;
    engine_send(e, &e->journal_io.in, &e->journal_io.actor, order);
}

/* A worker couldn't seal: nothing of this cut is committed for that table; it comes again from the log. */
static void give_up(sl_engine *e, cut *c, uint32_t i) {
    table *t = c->tables[i];
    t->cut_to = t->cut_before;
    t->watermark_us = t->watermark_before_us;
    t->cutting = false;
    if (!t->failed) {
        t->failed = true;
        t->failed_at_us = engine_now(e);
    }
}

/* Nothing of this cut is committed: what only moved stands where it stood, and moves with another one. */
static void stay(cut *c) {
    for (uint32_t i = 0; i < c->move_count; i++) {
        table *t = c->moves[i];
        t->cut_to = t->cut_before;
        t->watermark_us = t->watermark_before_us;
        t->cutting = false;
    }
}

void cut_sealed(sl_engine *e, cut *c) {
    bool failed = false;
    for (uint32_t i = 0; i < c->result_count; i++)
        failed = failed || c->results[i].status != SL_OK;
    if (!failed) {
        engine_send(e, &e->storage.in, &e->storage.actor, c);
        return;
    }
    for (uint32_t i = 0; i < c->result_count; i++) {
        if (c->results[i].status != SL_OK)
            sl_message(SL_LEVEL_ERROR, "engine", "table can't be sealed, it will be tried again",
                       "table=%s reason=\"%s\"", c->tables[i % c->table_count]->name,
                       sl_status_text(c->results[i].status));
        cut_results_clear(e, &c->results[i]);
    }
    for (uint32_t i = 0; i < c->table_count; i++)
        give_up(e, c, i);
    stay(c);
    e->cuts_open--;
    dedupe_end_cut(e, c, false);
    replays_end_cut(e, c, false);
    data_end_cut(c, false);
    cut_free(c);
}

void cut_committed(sl_engine *e, cut *c) {
    e->cuts_open--;
    if (c->status != SL_OK) { /* Spool files were lost before they were durable. */
        for (uint32_t i = 0; i < c->table_count; i++)
            give_up(e, c, i);
        stay(c);
        dedupe_end_cut(e, c, false);
        replays_end_cut(e, c, false);
        data_end_cut(c, false);
        cut_free(c);
        return;
    }
    for (uint32_t i = 0; i < c->table_count; i++) {
        table *t = c->tables[i];
        advance_table(t, c->entries[i].to, c->watermarks[i]);
        if (c->entries[i].id != 0) { /* An empty one only moved the cursor. */
            t->last = c->entries[i].to;
            t->sequence = c->entries[i].sequence;
            if (t->entries_open++ == 0) {
                t->delivered = c->entries[i].begin;
                t->delivered_watermark_us = c->entries[i].watermark_from_us;
            }
        }
    }
    for (uint32_t i = 0; i < c->move_count; i++)
        advance_table(c->moves[i], c->move_to[i], c->move_watermarks[i]);
    for (uint32_t i = 0; i < c->schema_count; i++)
        c->schemas[i].of->stored_version = c->schemas[i].schema->version;
    dedupe_end_cut(e, c, true);
    replays_end_cut(e, c, true);
    data_end_cut(c, true);
    cut_free(c);
    trim(e);
}

void pending_free(pending *p) {
    sl_buffer_fini(&p->found);
    sl_entry_fini(&p->entry);
    shape_unref(p->shape);
    sl_free(p);
}

void entry_delivered(sl_engine *e, pending *p) {
    (void)e;
    table *t = p->of;
    t->entries_open--;
    t->delivered = p->entry.to;
    t->delivered_watermark_us = p->watermark_after_us;
    if (t->retired && t->entries_open == 0)
        sl_message(SL_LEVEL_INFO, "engine", "removed table is delivered", "table=%s", t->name);
    sl_metric_add(t->rows, (int64_t)p->entry.counts.rows);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->entry.file_count; i++)
        bytes += p->entry.files[i].bytes;
    sl_metric_add(t->sent_bytes, (int64_t)bytes);
    pending_free(p);
}

static bool flushes_poll(sl_engine *e) {
    bool any = false;
    for (flush **at = &e->flushes; *at != NULL;) {
        flush *f = *at;
        bool ready = sequence_idle(e) || e->position >= f->target;
        /* Behind a full spool nothing moves until the target that fills it takes something. */
        bool full = false;
        for (uint32_t i = 0; i < e->destination_count; i++)
            full = full || spool_used(e, i) >= e->config->spool.quota;
        const char *stalled = NULL;
        for (uint32_t i = 0; i < e->table_count && (ready || full); i++) {
            const table *t = e->tables[i];
            ready = ready && t->entries_open == 0 &&
                    (t->cursor >= f->target || (!t->dirty && !t->cutting && !t->failed &&
                                                table_position(e, t) >= f->target));
            if (sl_metric_read(t->stalled) != 0)
                stalled = t->name;
        }
        if (stalled != NULL) {
            *at = f->next;
            f->done(f->context, SL_EIO, stalled);
            sl_free(f);
            any = true;
        } else if (ready) {
            *at = f->next;
            f->done(f->context, SL_OK, "");
            sl_free(f);
            any = true;
        } else {
            at = &f->next;
        }
    }
    return any;
}

static void gauge_ages(sl_engine *e, int64_t now) {
    int64_t oldest = 0, wall = engine_wall(e);
    for (uint32_t i = 0; i < e->table_count; i++) {
        const table *t = e->tables[i];
        int64_t age = t->dirty && t->dirty_since_us > 0 ? now - t->dirty_since_us : 0;
        int64_t waiting = atomic_load_explicit(&t->waiting_since_us, memory_order_relaxed);
        if (t->parked && now - t->failed_at_us > age)
            age = now - t->failed_at_us;
        if (waiting != 0 && wall - waiting > age)
            age = wall - waiting;
        sl_metric_set(t->oldest, age);
        oldest = age > oldest ? age : oldest;
    }
    sl_metric_set(e->metric_uncommitted, oldest);
}

bool cuts_poll(sl_engine *e, int64_t now) {
    bool any = flushes_poll(e);
    e->cut_idle = true;
    if (e->scanning_keys)
        return any;
    gauge_ages(e, now);
    claims_poll(e, now);
    bool last = e->stopping && e->outstanding_bytes == 0 && e->gathering == NULL;
    bool move = e->cuts_open == 0 &&
                (last || now - e->moved_at_us >= MOVE_EVERY_S * SL_SECOND_US);
    if (move)
        trim(e); /* Also without a commit: after a restart, and when keys were all that held it. */
    static _Thread_local table *chosen[sizeof e->tables / sizeof *e->tables];
    uint32_t count = choose(e, now, chosen);
    move = move && count == 0 && may_move(e);
    /* A stop leaves every table at one position: another configuration may go on from there. */
    e->cut_idle = count == 0 && !move;
    if (count == 0 && !move)
        return any;
    return begin_cut(e, chosen, count) || any;
}
