/* What is done to a batch after decoding, before its ticket: the stream's contract and steps, and the keys of its events. */
#include "internal.h"

static sl_contract_checker *checker_of(worker *w, const shape *s) {
    uint32_t i = s->of->index;
    if (w->checker_splits[i] == s->split)
        return w->checkers[i];
    sl_contract_checker_destroy(w->checkers[i]);
    w->checkers[i] = NULL;
    w->checker_splits[i] = NULL;
    if (sl_contract_checker_create(s->of->config->contract, s->split, &w->checkers[i]) != SL_OK)
        return NULL;
    w->checker_splits[i] = s->split; /* The checker keeps it, as the runner below keeps its plan. */
    return w->checkers[i];
}

/* "place.city: has 1 character, fewer than 2 (minLength: "U")" */
static sl_span refusal_text(sl_batch *b, const sl_contract_refusal *r) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_append(&text, r->message, r->message_length);
    sl_buffer_printf(&text, " (%s: %.*s)", r->keyword, (int)r->value_length, r->value);
    sl_span span = sl_batch_keep_text(b, text.bytes, text.failed ? 0 : text.length);
    b->arena.failed |= text.failed;
    sl_buffer_fini(&text);
    return span;
}

bool worker_contract(worker *w, task *t, part *p) {
    sl_batch *b = p->batch;
    sl_contract_checker *checker = checker_of(w, p->shape);
    const sl_contract_refused *refused;
    size_t count = 0;
    if (checker == NULL || sl_contract_run(checker, b, 0, b->rows, &refused, &count) != SL_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        const sl_contract_refusal *r = &refused[i].refusal;
        uint32_t row = refused[i].row;
        const sl_reject reject = {.record = b->row_record[row],
                                  .index = b->row_index[row],
                                  .begin = b->row_begin[row],
                                  .length = b->row_length[row],
                                  .at = b->records[b->row_record[row]].format.kind == SL_FORMAT_JSON ? r->at : 0,
                                  .code = SL_CODE_SCHEMA,
                                  .path = sl_batch_keep_text(b, r->pointer, r->pointer_length),
                                  .message = refusal_text(b, r)};
        if (b->arena.failed || !sl_batch_reject(b, &reject))
            return false;
        b->verdict[row] = SL_VERDICT_DEAD;
        t->records[reject.record].accepted--;
        t->records[reject.record].rejected++;
    }
    return true;
}

static sl_step_runner *runner_of(worker *w, const shape *s) {
    uint32_t i = s->of->index;
    if (w->runner_plans[i] == s->steps)
        return w->runners[i];
    sl_step_runner_destroy(w->runners[i]);
    w->runners[i] = NULL;
    w->runner_plans[i] = NULL;
    if (sl_step_runner_create(s->steps, &w->runners[i]) != SL_OK)
        return NULL;
    w->runner_plans[i] = s->steps; /* The runner keeps it, so its address stays ours while we compare it. */
    return w->runners[i];
}

static void count(const stream *s, const sl_step_count *counts) {
    for (uint32_t i = 0; i < s->config->step_count; i++) {
        const uint64_t values[STEP_RESULTS] = {counts[i].passed, counts[i].changed, counts[i].refused, counts[i].errors,
                                               counts[i].missed};
        for (uint32_t k = 0; k < STEP_RESULTS; k++)
            if (values[k] != 0)
                sl_metric_add(s->steps[i][k], (int64_t)values[k]);
    }
}

bool worker_steps(worker *w, part *p) {
    sl_step_runner *runner = runner_of(w, p->shape);
    sl_step_count steps[SL_STEPS_MAX] = {{0}};
    if (runner == NULL || sl_step_runner_run(runner, p->batch, steps) != SL_OK)
        return false;
    count(p->shape->of, steps);
    return true;
}

const sl_batch *worker_view(worker *w, const part *p) {
    /* Steps have run on this worker: the runner is there. */
    return p->shape->steps == NULL ? p->batch : sl_step_runner_view(w->runners[p->shape->of->index], p->batch);
}

bool worker_ids(worker *w, part *p) {
    const sl_batch *view = worker_view(w, p);
    uint32_t field = p->shape->id;
    p->ids = sl_calloc(view->rows + 1, sizeof *p->ids);
    sl_buffer bytes = SL_BUFFER_EMPTY;
    for (uint32_t row = 0; p->ids != NULL && row < view->rows; row++) {
        if (view->verdict[row] != SL_VERDICT_KEEP || !sl_batch_present(view, field, row))
            continue;
        sl_value value = sl_value_of(view, field, row);
        sl_buffer_clear(&bytes);
        sl_value_encode(&value, &bytes);
        p->ids[row] = (event_id){sl_hash128_of(bytes.bytes, bytes.length), true};
    }
    bool good = p->ids != NULL && !bytes.failed;
    sl_buffer_fini(&bytes);
    return good;
}
