/* Replays: dead letters that come again, at their original position and arrival time, and are judged by today's rules.
 *
 * What a replay takes leaves the dead letters for good, so each position is taken once: by the item that is first in the log.
 * Whether an earlier one has it is asked at the ticket, hence in log order, and is told by where that item lies in the log
 * (its keeper): who reads the same group again, after a rewind or a restart, comes to the same answer. What was taken goes into the
 * ledger with the cut that moves the first cursor over it. What is refused again stays the dead letter that it is: nothing
 * is written or counted a second time. */
#include "cuts.h"
#include "replays.h"
#include "state.h"
#include "storage.h"

#include "sluice/checkpoint.h"
#include "sluice/replay.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEAD = 24, SOURCE_MAX = 255, FOLD_AT = 65536 };
#define NOBODY UINT64_MAX /* A mark that holds no more: later than anything. */

/* --- items --- */

void sl_replay_put(const sl_replay_item *item, sl_buffer *out) {
    const uint8_t source = (uint8_t)(item->source_length < SOURCE_MAX ? item->source_length : SOURCE_MAX);
    const uint8_t tail[4] = {item->format.kind, item->format.header, item->format.delimiter, source};
    sl_buffer_append(out, &item->position, 8);
    sl_buffer_append(out, &item->arrival_us, 8);
    sl_buffer_u32(out, item->length);
    sl_buffer_append(out, tail, sizeof tail);
    sl_buffer_append(out, item->source, source);
    sl_buffer_append(out, item->bytes, item->length);
}

size_t sl_replay_get(const uint8_t *bytes, size_t length, sl_replay_item *item) {
    if (length < HEAD)
        return 0;
    *item = (sl_replay_item){.format = {bytes[20], bytes[21], bytes[22]}, .source_length = bytes[23]};
    memcpy(&item->position, bytes, 8);
    memcpy(&item->arrival_us, bytes + 8, 8);
    memcpy(&item->length, bytes + 16, 4);
    const size_t whole = (size_t)HEAD + item->source_length + item->length;
    if (whole > length || (item->format.kind != SL_FORMAT_CSV && !sl_format_is_json(item->format)))
        return 0;
    item->source = (const char *)bytes + HEAD;
    item->bytes = bytes + HEAD + item->source_length;
    return whole;
}

/* Only what has its place in the log already can come again. */
bool replays_valid(const sl_engine *e, const uint8_t *body, size_t length) {
    sl_replay_item item;
    size_t at = 0, n = 0;
    for (; at < length && (n = sl_replay_get(body + at, length - at, &item)) != 0; at += n)
        if (item.position >= e->journal_next)
            return false;
    return at == length && length != 0;
}

/* --- what was taken --- */

static int compare(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static bool is_old(const replays *r, uint64_t position) {
    return r->old_count != 0 && bsearch(&position, r->old, r->old_count, sizeof position, compare) != NULL;
}

/* Where the position has its mark, or would have it. */
static replay_mark *mark_of(const replays *r, uint64_t position) {
    size_t mask = r->mark_capacity - 1, at = sl_hash64(&position, sizeof position, 3) & mask;
    while (r->marks[at].keeper != 0 && r->marks[at].position != position)
        at = (at + 1) & mask;
    return &r->marks[at];
}

static bool grow(sl_engine *e) {
    replays *r = &e->replays;
    if (4 * (r->mark_count + SL_BATCH_ROWS_MAX) < 3 * r->mark_capacity)
        return true;
    replays next = {.mark_capacity = r->mark_capacity != 0 ? 2 * r->mark_capacity : 2 * SL_BATCH_ROWS_MAX};
    while (4 * (r->mark_count + SL_BATCH_ROWS_MAX) >= 3 * next.mark_capacity)
        next.mark_capacity *= 2;
    next.marks = sl_calloc(next.mark_capacity, sizeof *next.marks);
    if (next.marks == NULL)
        return false;
    for (size_t i = 0; i < r->mark_capacity; i++)
        if (r->marks[i].keeper != 0)
            *mark_of(&next, r->marks[i].position) = r->marks[i];
    sl_budget_give(e->budget, r->mark_capacity * sizeof *r->marks);
    sl_budget_force(e->budget, next.mark_capacity * sizeof *next.marks);
    sl_free(r->marks);
    r->marks = next.marks;
    r->mark_capacity = next.mark_capacity;
    return true;
}

bool replays_known(const sl_engine *e, uint64_t position, uint64_t before) {
    const replays *r = &e->replays;
    if (is_old(r, position))
        return true;
    const replay_mark *m = r->mark_capacity != 0 ? mark_of(r, position) : NULL;
    return m != NULL && m->keeper != 0 && m->keeper < before;
}

/* The group's, emptied: it is judged anew. */
static replay_result *result_of(sl_engine *e, const task *t, stream *s) {
    replay_result *r = e->replays.first;
    while (r != NULL && (r->keeper != t->group->offset || r->of != s))
        r = r->next;
    if (r == NULL && (r = sl_calloc(1, sizeof *r)) != NULL) {
        r->keeper = t->group->offset;
        r->of = s;
        r->next = e->replays.first;
        e->replays.first = r;
    }
    return r;
}

static bool result_grow(replay_result *r) {
    uint32_t needed = r->count + SL_BATCH_ROWS_MAX;
    if (needed <= r->capacity)
        return true;
    uint64_t *positions = sl_realloc(r->positions, 2 * (size_t)needed * sizeof *positions);
    if (positions == NULL)
        return false;
    r->positions = positions;
    r->capacity = 2 * needed;
    return true;
}

static void judge_row(sl_engine *e, const part *p, uint32_t row, replay_result *result) {
    const sl_record *record = &p->batch->records[p->batch->row_record[row]];
    const uint64_t position = sl_batch_position(p->batch, row), keeper = sl_batch_logged(p->batch, row);
    if (!record->replay || record->history)
        return;
    replay_mark *m = mark_of(&e->replays, position);
    if (p->batch->verdict[row] == SL_VERDICT_DEAD) {
        if (m->keeper == keeper)
            m->keeper = NOBODY; /* It was taken by other rules before a rewind. */
    } else if (is_old(&e->replays, position) || (m->keeper != 0 && m->keeper < keeper)) {
        p->batch->verdict[row] = SL_VERDICT_REPEATED;
    } else {
        e->replays.mark_count += m->keeper == 0;
        *m = (replay_mark){position, keeper};
        result->positions[result->count++] = position;
    }
}

bool replays_judge(sl_engine *e, const task *t) {
    for (replay_result *r = e->replays.first; r != NULL; r = r->next)
        if (r->keeper == t->group->offset)
            r->count = 0;
    for (uint32_t i = 0; i < t->part_count; i++) {
        const part *p = &t->parts[i];
        if (p->skip || !p->replays)
            continue;
        replay_result *result = result_of(e, t, p->shape->of);
        if (result == NULL || !result_grow(result) || !grow(e))
            return false;
        for (uint32_t row = 0; row < p->batch->rows; row++)
            judge_row(e, p, row, result);
    }
    return true;
}

void replays_counted(sl_engine *e, const part *p) {
    stream *s = p->shape->of;
    uint32_t taken = 0;
    for (uint32_t row = 0; row < p->batch->rows; row++) {
        const sl_record *r = &p->batch->records[p->batch->row_record[row]];
        taken += r->replay && !r->history && p->batch->verdict[row] != SL_VERDICT_DEAD && p->batch->verdict[row] != SL_VERDICT_REPEATED;
    }
    char label[96];
    (void)snprintf(label, sizeof label, "stream=\"%s\"", s->name);
    sl_metric_add(sl_metrics_get(e->options.metrics, SL_METRIC_COUNTER, "sluice_replayed_events_total",
                                 "Dead letters that a replay brought to their tables.", label),
                  taken);
}

void replays_outcome(const sl_engine *e, const task *t, uint32_t record, sl_replay_outcome *out) {
    for (uint32_t i = 0; i < t->part_count; i++) {
        const sl_batch *b = t->parts[i].batch;
        for (uint32_t k = 0; k < b->reject_count; k++)
            out->refused[b->rejects[k].code] += b->records[b->rejects[k].record].carrier == record + 1;
        for (uint32_t row = 0; row < b->rows; row++) {
            if (b->records[b->row_record[row]].carrier != record + 1 || b->verdict[row] == SL_VERDICT_DEAD)
                continue;
            if (replays_known(e, sl_batch_position(b, row), UINT64_MAX))
                out->repeated++;
            else if (b->verdict[row] == SL_VERDICT_FILTERED)
                out->filtered++;
            else
                out->taken++;
        }
    }
}

/* --- cuts --- */

static bool concerns(const cut *c, const stream *s) {
    for (uint32_t i = 0; i < c->table_count; i++)
        if (c->tables[i]->of == s)
            return true;
    for (uint32_t i = 0; i < c->move_count; i++)
        if (c->moves[i]->of == s)
            return true;
    return false;
}

void replays_join_cut(sl_engine *e, cut *c) {
    for (replay_result **at = &e->replays.first; *at != NULL;) {
        replay_result *r = *at;
        if (!concerns(c, r->of)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        r->next = c->replays;
        c->replays = r;
    }
}

sl_status replays_note(storage_actor *a, cut *c, sl_error *error) {
    sl_status status = SL_OK;
    for (replay_result *r = c->replays; r != NULL && status == SL_OK; r = r->next) {
        if (r->count != 0)
            qsort(r->positions, r->count, sizeof *r->positions, compare);
        const sl_ledger_replay row = {
            .keeper = r->keeper, .stream = r->of->name, .positions = r->positions, .count = r->count};
        status = sl_ledger_replay_put(a->ledger, &row, error);
    }
    return status;
}

void replay_result_free(replay_result *r) {
    sl_free(r->positions);
    sl_free(r);
}

/* Marks that nobody will ask for by their keeper any more become a sorted list. */
static void fold(sl_engine *e) {
    replays *r = &e->replays;
    if (r->mark_count < FOLD_AT)
        return;
    uint64_t *old = sl_malloc((r->old_count + r->mark_count) * sizeof *old);
    replay_mark *left = sl_calloc(r->mark_capacity, sizeof *left);
    if (old == NULL || left == NULL) { /* Another time. */
        sl_free(old);
        sl_free(left);
        return;
    }
    replays next = {.marks = left, .mark_capacity = r->mark_capacity};
    size_t count = r->old_count;
    if (count != 0)
        memcpy(old, r->old, count * sizeof *old);
    for (size_t i = 0; i < r->mark_capacity; i++) {
        const replay_mark *m = &r->marks[i];
        if (m->keeper != 0 && m->keeper < e->trimmed) {
            old[count++] = m->position;
        } else if (m->keeper != 0 && m->keeper != NOBODY) {
            *mark_of(&next, m->position) = *m;
            next.mark_count++;
        }
    }
    qsort(old, count, sizeof *old, compare);
    sl_budget_force(e->budget, (count - r->old_count) * sizeof *old);
    sl_free(r->old);
    sl_free(r->marks);
    r->old = old;
    r->old_count = count;
    r->marks = left;
    r->mark_count = next.mark_count;
}

void replays_end_cut(sl_engine *e, cut *c, bool committed) {
    while (c->replays != NULL) {
        replay_result *r = c->replays;
        c->replays = r->next;
        if (committed) {
            replay_result_free(r);
        } else {
            r->next = e->replays.first;
            e->replays.first = r;
        }
    }
    if (committed)
        fold(e);
}

/* --- create and destroy --- */

static sl_status load(void *context, const sl_ledger_replay *row) {
    sl_engine *e = context;
    replays *r = &e->replays;
    const stream *s = stream_find(e, row->stream, strlen(row->stream));
    if (s != NULL && row->keeper >= s->next)
        return SL_OK; /* It comes again from the log, and is judged again. */
    uint64_t *old = sl_realloc(r->old, (r->old_count + row->count) * sizeof *old);
    if (old == NULL)
        return SL_ENOMEM;
    memcpy(old + r->old_count, row->positions, row->count * sizeof *old);
    sl_budget_force(e->budget, row->count * sizeof *old);
    r->old = old;
    r->old_count += row->count;
    return SL_OK;
}

sl_status replays_create(sl_engine *e, sl_error *error) {
    sl_status status = sl_ledger_replays(e->storage.ledger, load, e, error);
    if (e->replays.old_count != 0)
        qsort(e->replays.old, e->replays.old_count, sizeof *e->replays.old, compare);
    return status;
}

void replays_destroy(sl_engine *e) {
    replays *r = &e->replays;
    while (r->first != NULL) {
        replay_result *next = r->first->next;
        replay_result_free(r->first);
        r->first = next;
    }
    sl_budget_give(e->budget, r->old_count * sizeof *r->old + r->mark_capacity * sizeof *r->marks);
    sl_free(r->old);
    sl_free(r->marks);
}
