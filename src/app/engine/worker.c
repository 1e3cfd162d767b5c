/* A worker: verdicts first, then the pipeline, in slices of about a millisecond. */
#include "crash.h"
#include "cuts.h"
#include "data.h"
#include "records.h"
#include "sequence.h"
#include "state.h"
#include "worker.h"

#include "sluice/contract.h"
#include "sluice/decode.h"
#include "sluice/expression.h"
#include "sluice/steps.h"
#include "sluice/window.h"

#include <stdlib.h>

enum {
    BEHIND = 4,             /* More groups than this in the pipeline: it gets every other turn, and more: */
    RAREST = 6,             /* The 64th turn at the least is a verdict's. */
    KEPT_BATCHES = 16,
};

/* Batches are bounded by the groups in flight, which the budget bounds; a verdict never waits for memory
 * that open files hold. */
static sl_batch *batch_get(worker *w) {
    if (w->free_count == 0)
        return sl_batch_create(NULL);
    w->free_count--;
    w->free_least = w->free_count < w->free_least ? w->free_count : w->free_least;
    return w->free_batches[w->free_count];
}

static void batch_put(worker *w, sl_batch *batch) {
    if (batch == NULL)
        return;
    if (w->free_count == KEPT_BATCHES || sl_batch_memory(batch) > w->engine->config->memory / 64)
        sl_batch_destroy(batch);
    else
        w->free_batches[w->free_count++] = batch;
}

/* The first ones are those that nobody needed since the last cut. */
static void batches_spare(worker *w) {
    for (uint32_t i = 0; i < w->free_least; i++)
        sl_batch_destroy(w->free_batches[i]);
    w->free_count -= w->free_least;
    memmove(w->free_batches, w->free_batches + w->free_least, w->free_count * sizeof(sl_batch *));
    w->free_least = w->free_count;
}

sl_decoder *worker_decoder(worker *w, const shape *s) {
    uint32_t i = s->of->index;
    if (w->decoder_schemas[i] == s->decoded)
        return w->decoders[i];
    sl_decoder_destroy(w->decoders[i]);
    sl_schema_unref(w->decoder_schemas[i]);
    w->decoders[i] = NULL;
    w->decoder_schemas[i] = NULL;
    sl_decoder_options options = {.event_bytes_max = (uint32_t)w->engine->config->http.max_event};
    if (sl_decoder_create(s->decoded, &options, &w->decoders[i]) != SL_OK)
        return NULL;
    w->decoder_schemas[i] = sl_schema_ref(s->decoded); /* Its address stays ours while we compare it. */
    return w->decoders[i];
}

part *worker_part_add(worker *w, task *t, shape *s) {
    if (t->part_count == t->part_capacity) {
        uint32_t capacity = t->part_capacity ? 2 * t->part_capacity : 4;
        part *parts = sl_realloc(t->parts, capacity * sizeof *parts);
        if (parts == NULL)
            return NULL;
        t->parts = parts;
        t->part_capacity = capacity;
    }
    sl_batch *batch = batch_get(w);
    if (batch == NULL || sl_batch_prepare(batch, s->decoded, t->group->bytes, t->records) != SL_OK) {
        batch_put(w, batch);
        return NULL;
    }
    part *p = &t->parts[t->part_count++];
    *p = (part){.shape = s, .batch = batch, .watermark_after = SL_NO_TIME};
    return p;
}

part *worker_part(worker *w, task *t, shape *s) {
    for (uint32_t i = t->part_count; i-- > 0;)
        if (t->parts[i].shape == s)
            return &t->parts[i];
    return worker_part_add(w, t, s);
}

/* What comes to a path that no stream has is refused event by event. */
static bool refuse_all(sl_batch *batch, sl_record *records) {
    sl_span text = sl_batch_keep_text(batch, "no stream takes it", 18);
    for (uint32_t row = 0; row < batch->rows; row++) {
        uint32_t record = batch->row_record[row];
        sl_reject reject = {.record = record,
                            .index = sl_batch_index(batch, row),
                            .begin = batch->row_begin[row],
                            .length = batch->row_length[row],
                            .code = SL_CODE_NO_STREAM,
                            .path = {SL_SPAN_ARENA, 0},
                            .message = text};
        if (!sl_batch_reject(batch, &reject))
            return false;
        batch->verdict[row] = SL_VERDICT_DEAD;
        records[record].rejected++;
        records[record].accepted--;
    }
    return true;
}

static bool decode_record(worker *w, task *t, uint32_t index) {
    shape *s = t->shapes[index];
    if (s == NULL)
        return route_record(w, t, index);
    sl_decoder *decoder = worker_decoder(w, s);
    part *p = decoder != NULL ? worker_part(w, t, s) : NULL;
    const sl_config_stream *config = s->of->config;
    sl_decode_input input = {.record = index, .names = config != NULL ? &config->csv.names : NULL};
    sl_status status = SL_EFULL;
    while (p != NULL && (status = sl_decode(decoder, p->batch, &input)) == SL_EFULL)
        p = worker_part_add(w, t, s);
    t->records[index].accepted = input.accepted;
    t->records[index].rejected = input.rejected;
    return p != NULL && status == SL_OK && worker_ids_ahead(t, p);
}

static void release_parts(worker *w, task *t) {
    for (uint32_t i = 0; i < t->part_count; i++) {
        batch_put(w, t->parts[i].batch);
        sl_free(t->parts[i].ids);
        sl_free(t->parts[i].id_texts);
    }
    t->part_count = 0;
}

/* What is done with a batch beyond decoding: contract, steps, ids. */
static bool refine(worker *w, task *t, part *p) {
    bool good = !p->shape->of->unrouted || refuse_all(p->batch, t->records);
    good = good && (p->shape->split == NULL || worker_contract(w, t, p));
    if (t->judged) /* Who reads that log has the rest to do. */
        return good && worker_id_texts(w, t, p);
    good = good && (p->shape->steps == NULL || worker_steps(w, t, p));
    return good && (!p->shape->deduped || worker_ids(w, t, p));
}

static void decode(worker *w, task *t) {
    if (!t->judged)
        tap_received(w, t);
    release_parts(w, t); /* Decoded before, with another schema. */
    t->nomem = t->routed && !route_begin(w, t);
    for (uint32_t i = 0; i < t->record_count && !t->nomem; i++) {
        bool passed = i < t->group->count && (t->group->records[i].damaged || items_carried(t->records[i].format));
        t->nomem = !passed && !decode_record(w, t, i);
    }
    t->columns = 0;
    for (uint32_t i = 0; i < t->part_count; i++) {
        part *p = &t->parts[i];
        t->columns += sl_batch_used(p->batch);
        if (p->batch->arena.failed)
            t->nomem = true;
        p->decoded_rejects = p->batch->reject_count;
        p->replays = t->replays;
        sl_batch_fill_origins(p->batch, (const char *const *)w->engine->sources);
        if (!t->judged)
            tap_decoded(w, t, p);
        if (p->batch->arena.failed || (!t->nomem && !refine(w, t, p)))
            t->nomem = true;
        p->watermark_after =
            sl_watermark_after(p->batch, p->shape->decoded_time, SL_NO_TIME);
    }
    engine_return_half(w->engine, &w->out, t);
}

/* A processed task only gives its memory back: it may wait for the loop's next turn, unless the loop waits. */
static void give_back(worker *w, task *t) {
    sl_engine *e = w->engine;
    if (!sl_ring_push(&w->out, t))
        abort();
    /* A read-modify-write, as the loop's own of `hungry`: whichever comes second in their order sees the other's
     * push or wish. */
    if (atomic_fetch_add(&e->hungry, 0) != 0)
        e->options.host.wake_loop(e->options.host.context);
}

static void take(worker *w, message *m) {
    switch (m->kind) {
    case MESSAGE_TASK: {
        task *t = (task *)m;
        if (t->stage == TASK_PROCESS) {
            CRASH(worker_before_process);
            worker_process(w, t);
        }
        release_parts(w, t);
        bool more = t->broken || t->full != NULL;
        if (!more) {
            give_back(w, t);
            return;
        }
        break;
    }
    case MESSAGE_CUT:
        w->cutting = (cut *)m;
        w->cutting_table = 0;
        return;
    case MESSAGE_REWIND:
        worker_rewind(w, (rewind_order *)m);
        break;
    case MESSAGE_PEEK:
        worker_peek(w, (peek *)m);
        break;
    case MESSAGE_DATA:
        worker_use(w, ((data_order *)m)->set);
        break;
    case MESSAGE_DELIVERED:
    case MESSAGE_KEYS:
    case MESSAGE_KEY:
    case MESSAGE_TRIM:
    case MESSAGE_VOID:
    case MESSAGE_MARK:
        break;
    }
    engine_return(w->engine, &w->out, m);
}

static bool serve_verdict(worker *w) {
    task *t = sl_ring_pop(&w->verdicts);
    if (t == NULL)
        return false;
    decode(w, t);
    return true;
}

/* While a cut is sealed nothing leaves the pipeline, and each verdict adds to it: from a share of the budget on, verdicts have
 * half as many turns for each 128th of it more. So senders wait rather than memory grows by what a cut takes. */
static bool verdicts_turn(worker *w) {
    if (sl_ring_count(&w->pipeline) <= BEHIND)
        return true;
    const sl_engine *e = w->engine;
    uint64_t share = atomic_load_explicit(&e->pipeline_bytes, memory_order_relaxed) / (e->config->memory / 128 + 1);
    uint64_t rare = share < 3 ? 1 : share - 1;
    return (++w->turn & ((1u << (rare < RAREST ? rare : RAREST)) - 1)) == 0;
}

static bool worker_run(void *context) {
    worker *w = context;
    if (verdicts_turn(w) && serve_verdict(w))
        return true;
    if (w->cutting != NULL) {
        if (worker_cut_slice(w, w->cutting)) {
            cut *c = w->cutting;
            w->cutting = NULL;
            batches_spare(w);
            CRASH(worker_sealed);
            engine_return(w->engine, &w->out, c);
        }
        return true;
    }
    message *m = sl_ring_pop(&w->pipeline);
    if (m != NULL) {
        take(w, m);
        return true;
    }
    return serve_verdict(w);
}

sl_status workers_create(sl_engine *e, sl_error *error) {
    e->worker_count = e->config->workers < WORKERS_MAX ? e->config->workers : WORKERS_MAX;
    e->workers = sl_aligned_alloc(64, e->worker_count * sizeof *e->workers);
    if (e->workers == NULL)
        return sl_error_set(error, SL_ENOMEM, "workers: out of memory");
    memset(e->workers, 0, e->worker_count * sizeof *e->workers);
    for (uint32_t i = 0; i < e->worker_count; i++) {
        worker *w = &e->workers[i];
        w->engine = e;
        w->index = i;
        w->actor = (sl_actor){.name = "worker", .run = worker_run, .context = w};
        w->free_batches = sl_calloc(KEPT_BATCHES, sizeof(sl_batch *));
        w->selection = sl_calloc(SL_BATCH_ROWS_MAX, sizeof *w->selection);
        w->order = sl_calloc(SL_BATCH_ROWS_MAX, sizeof *w->order);
        w->letters = sl_batch_create(e->budget);
        if (e->router != NULL && !route_look_create(w))
            return sl_error_set(error, SL_ENOMEM, "workers: out of memory");
        if (w->free_batches == NULL || w->selection == NULL || w->order == NULL ||
            w->letters == NULL || sl_ring_init(&w->verdicts, RING_SIZE) != SL_OK ||
            sl_ring_init(&w->pipeline, RING_SIZE) != SL_OK ||
            sl_ring_init(&w->out, (size_t)4 * RING_SIZE) != SL_OK)
            return sl_error_set(error, SL_ENOMEM, "workers: out of memory");
    }
    return SL_OK;
}

void workers_destroy(sl_engine *e) {
    for (uint32_t i = 0; e->workers != NULL && i < e->worker_count; i++) {
        worker *w = &e->workers[i];
        if (w->engine == NULL)
            continue; /* Its making was never begun. */
        worker_tables_destroy(w);
        route_look_destroy(w->look);
        for (size_t k = 0; k < sizeof w->decoders / sizeof *w->decoders; k++) {
            sl_decoder_destroy(w->decoders[k]);
            sl_schema_unref(w->decoder_schemas[k]);
            sl_contract_checker_destroy(w->checkers[k]);
            sl_step_runner_destroy(w->runners[k]);
            sl_expression_destroy(w->ids[k]);
        }
        while (w->free_count != 0)
            sl_batch_destroy(w->free_batches[--w->free_count]);
        sl_batch_destroy(w->letters);
        sl_free(w->free_batches);
        sl_free(w->selection);
        sl_free(w->order);
        sl_ring_fini(&w->verdicts);
        sl_ring_fini(&w->pipeline);
        sl_ring_fini(&w->out);
    }
    sl_free(e->workers);
    e->workers = NULL;
}
