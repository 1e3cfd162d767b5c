/* Live samples: whoever taps a stage gets copies of some events that pass a worker there.
 *
 * Nobody taps    One relaxed load for each batch and hook.
 * Workers        never wait. What they copy goes as one chunk of whole lines to a list that they push to and the loop takes whole
 *                (so no ABA); when a tap holds HELD_BYTES, or its rate is used up, they count what they leave out.
 * Life           A worker says which tap it looks at (`worker.tapping`), then looks again whether the tap still stands in its slot.
 *                The loop empties the slot first and frees a tap when no worker says that it looks at it. Both sides write before
 *                they read what the other wrote, and all four accesses are sequentially consistent: at least one sees the other's.
 * Expressions    Each worker compiles `where` for itself, and anew when an inferred schema has changed. */
#include "records.h"
#include "state.h"
#include "worker.h"

#include "sluice/expression.h"

#include <inttypes.h>

enum {
    HELD_BYTES = 1 << 20,
    BUDGET_BYTES = 2 * HELD_BYTES, /* Chunks, and the expressions' columns. */
    CHUNK_BYTES = 256 << 10,       /* A worker copies no more of a batch, */
    CHUNK_LINES = 256,             /* nor more events. */
    EVENT_BYTES = 64 << 10,        /* A longer one is told by its length. */
};

const char *const sl_tap_stage_names[SL_TAP_STAGES] = {"received",  "decoded",   "enriched", "dead",
                                                       "late", "duplicate", "filtered"};

typedef struct chunk {
    struct chunk *next;
    sl_buffer text;
} chunk;

/* A worker's own part of a tap. */
typedef struct share {
    const sl_schema *schema; /* Referenced, so that its address stays its own. */
    sl_expression *where;
} share;

struct sl_tap {
    sl_tap *next; /* loop: closed */
    sl_tap_stage stage;
    const stream *of; /* NULL: all */
    char *where;      /* NULL: none */
    int64_t interval_us; /* Between events, on average; 0: no rate. */
    sl_budget *budget;
    uint32_t workers;
    /* Release by a worker's push, acquire by the loop's exchange: the chunk's content. */
    _Atomic(chunk *) arrived;
    /* Relaxed, all four: numbers that order nothing. */
    _Atomic uint64_t held, skipped;
    _Atomic int64_t due_us; /* When the next event would be due if they came evenly. */
    _Atomic bool misfit;    /* `where` can't be compiled any more. */
    share shares[];
};

/* --- the rate: what comes evenly passes, and what was left out during the last second may come at once --- */

static bool may_take(const sl_tap *t, int64_t now) {
    return t->interval_us == 0 || atomic_load_explicit(&t->due_us, memory_order_relaxed) <= now;
}

static bool take_turn(sl_tap *t, int64_t now) {
    if (t->interval_us == 0)
        return true;
    int64_t due = atomic_load_explicit(&t->due_us, memory_order_relaxed), next;
    do {
        if (due > now)
            return false;
        next = (due < now - SL_SECOND_US ? now - SL_SECOND_US : due) + t->interval_us;
    } while (!atomic_compare_exchange_weak_explicit(&t->due_us, &due, next, memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* --- a worker's look --- */

typedef struct look {
    worker *worker;
    sl_tap *tap;
    int64_t now;
    chunk *chunk;
    uint32_t lines;
    bool placed; /* The records' positions are known: not while the journal still writes them. */
    uint64_t skipped;
} look;

static bool tapped(const worker *w, unsigned stages) {
    return (atomic_load_explicit(&w->engine->tapped, memory_order_relaxed) & stages) != 0;
}

static bool begin_look(look *l, worker *w, uint32_t slot, unsigned stages, const stream *of) {
    sl_tap *t = atomic_load(&w->engine->taps[slot]);
    if (t == NULL)
        return false;
    atomic_store(&w->tapping, t);
    bool there = atomic_load(&w->engine->taps[slot]) == t;
    *l = (look){.worker = w, .tap = t, .now = engine_now(w->engine), .placed = true};
    if (there && (stages & 1u << t->stage) != 0 && (of == NULL || t->of == NULL || t->of == of))
        return true;
    atomic_store_explicit(&w->tapping, NULL, memory_order_release);
    return false;
}

static void push(sl_tap *t, chunk *c) {
    atomic_fetch_add_explicit(&t->held, c->text.length, memory_order_relaxed);
    c->next = atomic_load_explicit(&t->arrived, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&t->arrived, &c->next, c, memory_order_release, memory_order_relaxed))
        ;
}

static void end_look(look *l) {
    chunk *c = l->chunk;
    if (c != NULL && !c->text.failed && c->text.length != 0) {
        push(l->tap, c);
        l->worker->engine->options.host.wake_loop(l->worker->engine->options.host.context);
    } else if (c != NULL) {
        l->skipped += l->lines;
        sl_buffer_fini(&c->text);
        sl_free(c);
    }
    if (l->skipped != 0)
        atomic_fetch_add_explicit(&l->tap->skipped, l->skipped, memory_order_relaxed);
    atomic_store_explicit(&l->worker->tapping, NULL, memory_order_release);
}

/* --- a line --- */

/* Of an event that was chosen, `at` bytes into its record; s NULL: its stream isn't known yet. @return NULL: there is no room, which
 * is counted. */
static sl_buffer *begin_line(look *l, const stream *s, const sl_record *record, uint32_t at) {
    if (l->chunk == NULL)
        l->chunk = sl_calloc(1, sizeof *l->chunk);
    if (l->chunk == NULL || l->lines == CHUNK_LINES || l->chunk->text.length >= CHUNK_BYTES ||
        atomic_load_explicit(&l->tap->held, memory_order_relaxed) + l->chunk->text.length >= HELD_BYTES ||
        !take_turn(l->tap, l->now)) {
        l->skipped++;
        return NULL;
    }
    l->lines++;
    sl_buffer *out = &l->chunk->text;
    char arrival[40];
    (void)sl_time_format(record->arrival_us, arrival);
    sl_buffer_printf(out, "{\"stage\":\"%s\",\"stream\":", sl_tap_stage_names[l->tap->stage]);
    if (s != NULL)
        sl_buffer_json_string(out, s->name, strlen(s->name));
    else
        sl_buffer_text(out, "null");
    if (l->placed)
        sl_buffer_printf(out, ",\"position\":%" PRIu64, record->position + at);
    else
        sl_buffer_text(out, ",\"position\":null");
    sl_buffer_printf(out, ",\"arrived\":\"%s\",\"source\":\"%s\"", arrival, l->worker->engine->sources[record->source]);
    return out;
}

static void put_text(sl_buffer *out, const void *text, size_t length) {
    if (length > EVENT_BYTES) {
        sl_buffer_printf(out, ",\"text\":null,\"bytes\":%zu", length);
        return;
    }
    sl_buffer_text(out, ",\"text\":");
    sl_buffer_json_string(out, text, length);
}

static void put_member(sl_buffer *out, const sl_batch *b, const char *name, sl_span text) {
    sl_buffer_printf(out, ",\"%s\":", name);
    sl_buffer_json_string(out, (const char *)sl_batch_text(b, text), text.length);
}

static void put_event(sl_buffer *out, const sl_batch *b, uint32_t row) {
    if (b->row_length[row] > EVENT_BYTES) {
        sl_buffer_printf(out, ",\"event\":null,\"bytes\":%u", b->row_length[row]);
    } else {
        sl_buffer_text(out, ",\"event\":");
        sl_batch_row_json(b, row, out);
    }
    sl_buffer_text(out, "}\n");
}

/* --- the stages --- */

/* @return A column that says which rows; NULL: none at all (no memory, or `where` doesn't fit). */
static const sl_column *run_where(look *l, const sl_batch *b) {
    share *own = &l->tap->shares[l->worker->index];
    if (own->schema != b->schema) {
        sl_expression_destroy(own->where);
        own->where = NULL;
        sl_schema_unref(own->schema);
        own->schema = sl_schema_ref(b->schema);
        sl_error error = {0};
        sl_status status = sl_expression_compile(l->tap->where, b->schema, &own->where, &error);
        if (status != SL_OK)
            own->where = NULL;
        if (status != SL_OK && status != SL_ENOMEM)
            atomic_store_explicit(&l->tap->misfit, true, memory_order_relaxed);
    }
    return own->where != NULL ? sl_expression_run(own->where, b, NULL) : NULL;
}

static void look_at_rows(look *l, const stream *s, const sl_batch *b, int verdict) {
    const sl_column *chosen = NULL;
    bool all = may_take(l->tap, l->now);
    if (all && l->tap->where != NULL && (chosen = run_where(l, b)) == NULL)
        all = false;
    for (uint32_t row = 0; row < b->rows; row++) {
        if (verdict >= 0 && b->verdict[row] != verdict)
            continue;
        if (!all) {
            l->skipped++;
            continue;
        }
        if (chosen != NULL && !(chosen->valid[row] && chosen->values.truth[row]))
            continue;
        const sl_record *record = &b->records[b->row_record[row]];
        sl_buffer *out = begin_line(l, s, record, b->row_begin[row] - record->body);
        if (out != NULL)
            put_event(out, b, row);
    }
}

static void look_at_rejects(look *l, const stream *s, const sl_batch *b) {
    for (uint32_t i = 0; i < b->reject_count; i++) {
        const sl_reject *r = &b->rejects[i];
        const sl_record *record = &b->records[r->record];
        sl_buffer *out = begin_line(l, s, record, r->begin - record->body);
        if (out == NULL)
            continue;
        sl_buffer_printf(out, ",\"code\":\"%s\"", sl_code_name(r->code));
        put_member(out, b, "path", r->path);
        put_member(out, b, "message", r->message);
        sl_buffer_printf(out, ",\"at\":%u", r->at);
        put_text(out, b->raw + r->begin, r->length);
        sl_buffer_text(out, "}\n");
    }
}

/* Journal and worker have a group at the same time, and where it stands is known when both are back. */
static bool placed(const task *t) { return !t->live || t->answered; }

void tap_received(worker *w, const task *t) {
    look l;
    /* With parts it was decoded before, in another schema. */
    if (!tapped(w, 1u << SL_TAP_RECEIVED) || t->part_count != 0 || t->keys_only)
        return;
    for (uint32_t slot = 0; slot < TAPS_MAX; slot++) {
        if (!begin_look(&l, w, slot, 1u << SL_TAP_RECEIVED, NULL))
            continue;
        l.placed = placed(t);
        for (uint32_t i = 0; i < t->record_count; i++) {
            const sl_record *r = &t->records[i];
            const bool damaged = r->carrier == 0 && t->group->records[i].damaged;
            /* A record whose events are routed may hold some of any stream. */
            const stream *s = t->shapes[i] != NULL ? t->shapes[i]->of : NULL;
            if (damaged || items_carried(r->format) || (l.tap->of != NULL && s != NULL && l.tap->of != s))
                continue;
            sl_buffer *out = begin_line(&l, s, r, 0);
            if (out == NULL)
                continue;
            put_text(out, t->group->bytes + r->body, r->length);
            sl_buffer_text(out, "}\n");
        }
        end_look(&l);
    }
}

void tap_decoded(worker *w, const task *t, const part *p) {
    look l;
    for (uint32_t slot = 0; tapped(w, 1u << SL_TAP_DECODED) && slot < TAPS_MAX; slot++)
        if (begin_look(&l, w, slot, 1u << SL_TAP_DECODED, p->shape->of)) {
            l.placed = placed(t);
            look_at_rows(&l, p->shape->of, p->batch, -1);
            end_look(&l);
        }
}

void tap_processed(worker *w, const part *p) {
    static const sl_verdict verdicts[SL_TAP_STAGES] = {[SL_TAP_ENRICHED] = SL_VERDICT_KEEP,
                                                       [SL_TAP_LATE] = SL_VERDICT_LATE,
                                                       [SL_TAP_DUPLICATE] = SL_VERDICT_DUPLICATE,
                                                       [SL_TAP_FILTERED] = SL_VERDICT_FILTERED};
    const unsigned stages = 1u << SL_TAP_ENRICHED | 1u << SL_TAP_DEAD | 1u << SL_TAP_LATE | 1u << SL_TAP_DUPLICATE |
                            1u << SL_TAP_FILTERED;
    look l;
    for (uint32_t slot = 0; tapped(w, stages) && slot < TAPS_MAX; slot++) {
        if (!begin_look(&l, w, slot, stages, p->shape->of))
            continue;
        if (l.tap->stage == SL_TAP_DEAD)
            look_at_rejects(&l, p->shape->of, p->batch);
        else
            look_at_rows(&l, p->shape->of, p->view, (int)verdicts[l.tap->stage]);
        end_look(&l);
    }
}

/* --- the loop's side --- */

static sl_status check_where(sl_tap *t, const char *where, sl_error *error) {
    if (t->stage == SL_TAP_RECEIVED || t->stage == SL_TAP_DEAD)
        return sl_error_set(error, SL_EINVAL, "where: the stage %s has no columns; decoded and those after it have",
                            sl_tap_stage_names[t->stage]);
    if (t->of == NULL)
        return sl_error_set(error, SL_EINVAL, "where: say which stream, as its columns are meant");
    const shape *s = t->of->current;
    sl_expression *expression;
    sl_status status =
        sl_expression_compile(where, t->stage == SL_TAP_DECODED ? s->decoded : s->schema, &expression, error);
    if (status == SL_ENOMEM)
        return status;
    if (status != SL_OK) {
        (void)sl_error_context(error, "where");
        return SL_EINVAL;
    }
    sl_type type = sl_expression_type(expression);
    sl_expression_destroy(expression);
    if (type != SL_TYPE_BOOL)
        return sl_error_set(error, SL_EINVAL, "where: it is %s, not a condition", sl_type_name(type));
    t->where = sl_strdup(where);
    return t->where != NULL ? SL_OK : sl_error_set(error, SL_ENOMEM, "out of memory");
}

/* The only stream there is goes without saying. */
static const stream *only_stream(const sl_engine *e) {
    const stream *only = NULL;
    for (uint32_t i = 0; i < e->stream_count; i++) {
        if (e->streams[i]->unrouted)
            continue;
        if (only != NULL)
            return NULL;
        only = e->streams[i];
    }
    return only;
}

static void free_chunks(chunk *c) {
    while (c != NULL) {
        chunk *next = c->next;
        sl_buffer_fini(&c->text);
        sl_free(c);
        c = next;
    }
}

static void tap_free(sl_tap *t) {
    free_chunks(atomic_load(&t->arrived));
    for (uint32_t i = 0; i < t->workers; i++) {
        sl_expression_destroy(t->shares[i].where);
        sl_schema_unref(t->shares[i].schema);
    }
    sl_budget_give(t->budget, BUDGET_BYTES);
    sl_free(t->where);
    sl_free(t);
}

static void note_stages(sl_engine *e) {
    uint32_t stages = 0;
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        const sl_tap *t = atomic_load_explicit(&e->taps[i], memory_order_relaxed);
        stages |= t != NULL ? 1u << t->stage : 0;
    }
    atomic_store_explicit(&e->tapped, stages, memory_order_relaxed);
}

static sl_status make_tap(sl_engine *e, const sl_tap_options *options, sl_tap **out, sl_error *error) {
    sl_tap *t = sl_calloc(1, sizeof *t + e->worker_count * sizeof *t->shares);
    if (t == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    *out = t;
    if (sl_budget_take(e->budget, BUDGET_BYTES) != SL_OK) {
        sl_free(t);
        *out = NULL;
        return sl_error_set(error, SL_EFULL, "the memory budget has no room for a tap now");
    }
    t->budget = e->budget;
    t->workers = e->worker_count;
    t->stage = options->stage;
    t->interval_us = options->rate > 0 ? (int64_t)(1e6 / options->rate) : 0;
    atomic_init(&t->due_us, engine_now(e) - SL_SECOND_US);
    const char *name = options->stream;
    if (name[0] == 0)
        t->of = options->where[0] != 0 ? only_stream(e) : NULL;
    else if ((t->of = stream_find(e, name, strlen(name))) == NULL)
        return sl_error_set(error, SL_ENOTFOUND, "there is no stream %s", name);
    return options->where[0] != 0 ? check_where(t, options->where, error) : SL_OK;
}

sl_status sl_engine_tap(sl_engine *e, const sl_tap_options *options, sl_tap **out, sl_error *error) {
    uint32_t slot = 0;
    while (slot < TAPS_MAX && atomic_load_explicit(&e->taps[slot], memory_order_relaxed) != NULL)
        slot++;
    *out = NULL;
    if (slot == TAPS_MAX)
        return sl_error_set(error, SL_EFULL, "%d taps are open, and more there can't be", TAPS_MAX);
    sl_status status = make_tap(e, options, out, error);
    if (status != SL_OK) {
        if (*out != NULL)
            tap_free(*out);
        *out = NULL;
        return status;
    }
    atomic_store(&e->taps[slot], *out);
    note_stages(e);
    return SL_OK;
}

sl_status sl_engine_tap_take(sl_tap *t, sl_buffer *out) {
    chunk *c = atomic_exchange_explicit(&t->arrived, NULL, memory_order_acquire), *oldest = NULL;
    while (c != NULL) { /* The list has the newest first. */
        chunk *next = c->next;
        c->next = oldest;
        oldest = c;
        c = next;
    }
    uint64_t bytes = 0;
    for (c = oldest; c != NULL; c = c->next) {
        sl_buffer_append(out, c->text.bytes, c->text.length);
        bytes += c->text.length;
    }
    free_chunks(oldest);
    atomic_fetch_sub_explicit(&t->held, bytes, memory_order_relaxed);
    if (out->failed)
        return SL_ENOMEM;
    return atomic_load_explicit(&t->misfit, memory_order_relaxed) ? SL_EINVAL : SL_OK;
}

uint64_t sl_engine_tap_skipped(const sl_tap *t) {
    return atomic_load_explicit(&t->skipped, memory_order_relaxed);
}

void sl_engine_tap_close(sl_engine *e, sl_tap *t) {
    for (uint32_t i = 0; i < TAPS_MAX; i++)
        if (atomic_load_explicit(&e->taps[i], memory_order_relaxed) == t)
            atomic_store(&e->taps[i], NULL);
    note_stages(e);
    t->next = e->taps_closed;
    e->taps_closed = t;
    taps_poll(e);
}

static bool looked_at(const sl_engine *e, const sl_tap *t) {
    for (uint32_t i = 0; i < e->worker_count; i++)
        if (atomic_load(&e->workers[i].tapping) == t)
            return true;
    return false;
}

void taps_poll(sl_engine *e) {
    for (sl_tap **at = &e->taps_closed; *at != NULL;) {
        sl_tap *t = *at;
        if (looked_at(e, t)) {
            at = &t->next;
        } else {
            *at = t->next;
            tap_free(t);
        }
    }
}

void taps_destroy(sl_engine *e) {
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        sl_tap *t = atomic_load(&e->taps[i]);
        if (t != NULL)
            sl_engine_tap_close(e, t);
    }
    taps_poll(e);
}
