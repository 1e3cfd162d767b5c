/* What a worker does with its tables: gives each task to every table of its streams, seals them for a cut, drops them for a
 * rewind. How each kind does that stands in files of their own. */
#include "claims.h"
#include "sequence.h"
#include "worker_tables.h"

#include "sluice/checkpoint.h"

#include <stdio.h>

/* --- spool files --- */

char *spool_name(worker *w, const char *suffix) {
    char name[80];
    (void)snprintf(name, sizeof name, "g%u-w%u-%llu.%s", w->engine->generation, w->index,
                   (unsigned long long)w->file_number++, suffix);
    return sl_strdup(name);
}

static void sealed_free(sealed_file *s) {
    sl_free(s->spool);
    sl_free(s->directory);
}

sl_status sealed_add(worker_table *wt, const sealed_file *file) {
    if (wt->sealed_count == wt->sealed_capacity) {
        uint32_t capacity = wt->sealed_capacity ? 2 * wt->sealed_capacity : 8;
        sealed_file *sealed = sl_realloc(wt->sealed, capacity * sizeof *sealed);
        if (sealed == NULL)
            return SL_ENOMEM;
        wt->sealed = sealed;
        wt->sealed_capacity = capacity;
    }
    wt->sealed[wt->sealed_count++] = *file;
    return SL_OK;
}

/* --- a task --- */

worker_table *worker_states_create(uint32_t workers) {
    return sl_calloc(workers, sizeof(worker_table));
}

static worker_table *state_of(const worker *w, table *t) {
    worker_table *wt = &t->states[w->index];
    if (wt->of == NULL) {
        wt->of = t;
        wt->rows_file = -1;
        wt->skip_below = t->first_skip;
    }
    return wt;
}

/* Rows behind their own partition's watermark by more than late_limit go to the late table. */
static void mark_late(part *p) {
    const sl_config_stream *c = p->shape->of->config;
    if (c == NULL || c->late_limit_us == 0)
        return;
    sl_batch *b = p->batch;
    int64_t watermark = p->watermark_us;
    uint32_t field = p->shape->decoded_time;
    for (uint32_t row = 0; row < b->rows; row++) {
        if (p->replays && b->records[b->row_record[row]].replay)
            continue; /* It had come in time, or nobody knows; and it moves nothing. */
        if (field != SL_NO_FIELD && !sl_batch_present(b, field, row))
            continue; /* Without an event time it is never late, and moves nothing. */
        int64_t arrival = sl_batch_arrival(b, row);
        int64_t time = field != SL_NO_FIELD ? b->columns[field].values.i64[row] : arrival;
        if (watermark != SL_NO_TIME && b->verdict[row] == SL_VERDICT_KEEP &&
            time < watermark - c->late_limit_us)
            b->verdict[row] = SL_VERDICT_LATE;
        int64_t step = time < arrival ? time : arrival;
        if (watermark == SL_NO_TIME || step > watermark)
            watermark = step;
    }
}

static sl_status add_part(worker *w, worker_table *wt, task *t, part *p, bool *full) {
    switch (wt->of->kind) {
    case SL_TABLE_LAKE:
        return files_add(w, wt, p->shape, p->view, SL_VERDICT_KEEP);
    case SL_TABLE_LATE:
        return files_add(w, wt, p->shape, p->view, SL_VERDICT_LATE);
    case SL_TABLE_DEAD:
    case SL_TABLE_DEAD_TOPIC:
        return letters_add(w, wt, t, p);
    case SL_TABLE_ROWS:
        return rows_add(w, wt, p->shape, p->view);
    case SL_TABLE_TOPIC:
        return topic_add(w, wt, p->view);
    case SL_TABLE_WINDOW:
    case SL_TABLE_FINAL:
        return window_add(w, wt, p, full);
    case SL_TABLE_RAW:
        return raw_add(w, wt, t);
    }
    return SL_OK;
}

static void note_broken(task *t, table *b, sl_status status) {
    t->broken = true;
    atomic_store_explicit(&b->broken, (int)status, memory_order_relaxed);
}

/* Of its stream. The ticket skips all parts of a stream or none. */
static bool first_part(const task *t, uint32_t i) {
    for (uint32_t k = 0; k < i; k++)
        if (t->parts[k].shape->of == t->parts[i].shape->of)
            return false;
    return true;
}

/* Events of a replay were received long ago; those that are refused again, or were taken before, count for nothing now. */
static void count_replays(const part *p, sl_counts *counts) {
    const sl_batch *b = p->batch;
    for (uint32_t row = 0; row < b->rows; row++)
        if (b->records[b->row_record[row]].replay) {
            counts->received--;
            counts->replayed += b->verdict[row] != SL_VERDICT_DEAD && b->verdict[row] != SL_VERDICT_REPEATED;
        }
    for (uint32_t i = 0; i < b->reject_count; i++)
        if (b->records[b->rejects[i].record].replay) {
            counts->received -= i < p->decoded_rejects;
            counts->dead--;
        }
}

/* What others have brought has done its work: dedupe knows its ids. */
static void leave_history(const part *p) {
    const sl_batch *b = p->batch;
    for (uint32_t row = 0; row < b->rows && p->replays; row++)
        if (b->records[b->row_record[row]].history)
            b->verdict[row] = SL_VERDICT_REPEATED;
}

sl_counts part_counts(const part *p) {
    sl_counts counts = {.received = p->batch->rows + p->decoded_rejects, .dead = p->batch->reject_count};
    if (p->replays)
        count_replays(p, &counts);
    for (uint32_t row = 0; row < p->batch->rows; row++) {
        counts.late += p->batch->verdict[row] == SL_VERDICT_LATE;
        counts.duplicates += p->batch->verdict[row] == SL_VERDICT_DUPLICATE;
        counts.filtered += p->batch->verdict[row] == SL_VERDICT_FILTERED;
    }
    return counts;
}

void worker_process(worker *w, task *t) {
    for (uint32_t i = 0; i < t->part_count; i++) {
        part *p = &t->parts[i];
        if (p->skip)
            continue;
        stream *s = p->shape->of;
        if (s->dedupe == NULL)
            mark_late(p);
        p->view = worker_view(w, p);
        leave_history(p);
        tap_processed(w, p);
        const sl_counts counts = part_counts(p);
        for (uint32_t k = 0; k < s->table_count; k++) {
            worker_table *wt = state_of(w, s->tables[k]);
            if (t->group->offset < wt->skip_below || wt->status != SL_OK)
                continue;
            bool raw = wt->of->kind == SL_TABLE_RAW; /* Counts records itself, of all parts at once. */
            if (raw && !first_part(t, i))
                continue;
            bool companion = sl_table_is_companion(wt->of->kind);
            if (!companion && !raw)
                sl_counts_add(&wt->counts, &counts);
            bool full = false;
            const uint32_t elsewhere = claims_hide(t, p, wt->of);
            wt->counts.elsewhere += elsewhere;
            wt->status = add_part(w, wt, t, p, &full);
            if (elsewhere != 0)
                claims_show(p);
            if (full)
                t->full = wt->of;
            if (wt->status != SL_OK) {
                note_broken(t, wt->of, wt->status);
            }
        }
    }
}

/* --- cuts --- */

static void drop(worker *w, worker_table *wt) {
    files_drop(w, wt);
    for (uint32_t i = 0; i < wt->sealed_count; i++) {
        spool_remove(w->engine, wt->sealed[i].spool);
        sealed_free(&wt->sealed[i]);
    }
    wt->sealed_count = 0;
    rows_drop(w, wt);
    window_drop(wt);
    raw_drop(w, wt);
    wt->counts = (sl_counts){0};
}

/* @return SL_EAGAIN while there is more to seal. */
static sl_status seal_slice(worker *w, worker_table *wt) {
    switch (wt->of->kind) {
    case SL_TABLE_LAKE:
    case SL_TABLE_LATE:
    case SL_TABLE_DEAD:
        return files_seal(w, wt);
    case SL_TABLE_ROWS:
    case SL_TABLE_TOPIC:
    case SL_TABLE_DEAD_TOPIC:
        return rows_seal(w, wt);
    case SL_TABLE_WINDOW:
    case SL_TABLE_FINAL:
        return window_seal(wt);
    case SL_TABLE_RAW:
        return raw_seal(wt);
    }
    return SL_OK;
}

static void hand_over(worker_table *wt, cut_result *r) {
    r->status = wt->status;
    r->counts = wt->counts;
    r->files = wt->sealed;
    r->file_count = wt->sealed_count;
    r->file_capacity = wt->sealed_capacity;
    r->deltas = wt->deltas;
    r->delta_count = wt->delta_count;
    wt->sealed = NULL;
    wt->sealed_count = wt->sealed_capacity = 0;
    wt->deltas = SL_BUFFER_EMPTY;
    wt->delta_count = 0;
    wt->counts = (sl_counts){0};
}

bool worker_cut_slice(worker *w, cut *c) {
    if (w->cutting_table == c->table_count)
        return true;
    uint32_t i = w->cutting_table;
    worker_table *wt = state_of(w, c->tables[i]);
    cut_result *r = &c->results[w->index * c->table_count + i];
    if (wt->status == SL_OK) {
        sl_status status = seal_slice(w, wt);
        if (status == SL_EAGAIN)
            return false;
        wt->status = status;
    }
    hand_over(wt, r);
    w->cutting_table++;
    return w->cutting_table == c->table_count;
}

void worker_rewind(worker *w, const rewind_order *order) {
    for (uint32_t i = 0; i < order->count; i++) {
        worker_table *wt = state_of(w, order->tables[i]);
        if (order->drop[i]) {
            drop(w, wt);
            wt->status = SL_OK;
        }
        wt->skip_below = order->skip_below[i];
    }
}

void worker_peek(worker *w, peek *p) {
    worker_table *wt = state_of(w, p->of);
    window_peek(wt, &p->deltas[w->index]);
}

void worker_tables_destroy(worker *w) {
    for (uint32_t i = 0; i < w->engine->table_count; i++) {
        worker_table *wt = &w->engine->tables[i]->states[w->index];
        if (wt->of == NULL)
            continue;
        drop(w, wt);
        files_fini(wt);
        rows_fini(wt);
        window_fini(wt);
        shape_unref(wt->shape);
        sl_free(wt->sealed);
    }
}
