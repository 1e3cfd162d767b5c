/* What is done to a batch after decoding, before its ticket: the stream's contract and steps, and the keys of its events. */
#include "data.h"
#include "stream.h"
#include "task.h"
#include "worker.h"

#include "sluice/contract.h"
#include "sluice/expression.h"
#include "sluice/steps.h"

enum { AHEAD_ROWS = 256 };

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
                                  .index = sl_batch_index(b, row),
                                  .begin = b->row_begin[row],
                                  .length = b->row_length[row],
                                  .at = sl_format_is_json(b->records[b->row_record[row]].format) ? r->at : 0,
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
    w->runner_data[i] = 0;
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

static void use(worker *w, uint32_t i, const data_set *set) {
    if (w->runner_data[i] != set->number)
        sl_step_runner_use(w->runners[i], set->data, set->count);
    w->runner_data[i] = set->number;
}

void worker_use(worker *w, const data_set *set) {
    for (uint32_t i = 0; i < sizeof w->runners / sizeof *w->runners; i++)
        if (w->runners[i] != NULL && w->runner_data[i] < set->number)
            use(w, i, set);
}

bool worker_steps(worker *w, const task *t, part *p) {
    sl_step_runner *runner = runner_of(w, p->shape);
    sl_step_count steps[SL_STEPS_MAX] = {{0}};
    if (runner != NULL)
        use(w, p->shape->of->index, t->data);
    if (runner == NULL || sl_step_runner_run(runner, p->batch, steps) != SL_OK)
        return false;
    if (!t->judged)
        count(p->shape->of, steps);
    return true;
}

const sl_batch *worker_view(worker *w, const part *p) {
    /* Steps have run on this worker: the runner is there. */
    return p->shape->steps == NULL ? p->batch : sl_step_runner_view(w->runners[p->shape->of->index], p->batch);
}

/* @return false: an event without one, or one whose expression fails. */
static bool id_of(const sl_expression *expression, const sl_column *made, const sl_batch *view, uint32_t field, uint32_t row,
                  sl_value *out) {
    if (expression == NULL) {
        *out = sl_value_of(view, field, row);
        return !out->null;
    }
    *out = (sl_value){.type = sl_expression_type(expression), .scale = sl_expression_scale(expression)};
    if (!made->valid[row])
        return false;
    if (out->type == SL_TYPE_STRING) {
        out->as.text.bytes = sl_expression_text(expression, view, made->values.span[row]);
        out->as.text.length = made->values.span[row].length;
    } else if (out->type == SL_TYPE_DOUBLE) {
        out->as.f64 = made->values.f64[row];
    } else {
        out->as.i64 = out->type == SL_TYPE_BOOL ? made->values.truth[row] : made->values.i64[row];
    }
    return true;
}

static sl_expression *id_expression(worker *w, const shape *s) {
    sl_expression **id = &w->ids[s->of->index];
    sl_error error;
    if (*id == NULL && sl_expression_compile(s->of->config->id, s->schema, id, &error) != SL_OK)
        *id = NULL; /* It was compiled when the configuration was read: only memory lacks. */
    return *id;
}

static bool is_text(const sl_batch *b, uint32_t field) {
    sl_type type = field != SL_NO_FIELD ? b->schema->fields[field].type : SL_TYPE_BOOL;
    return type == SL_TYPE_STRING || type == SL_TYPE_JSON || type == SL_TYPE_BYTES;
}

bool worker_ids_ahead(const task *t, part *p) {
    const sl_batch *b = p->batch;
    if (!p->shape->deduped || p->shape->steps != NULL || t->judged || b->rows - p->ids_to < AHEAD_ROWS || !is_text(b, p->shape->id))
        return true;
    if (p->ids == NULL && (p->ids = sl_malloc((SL_BATCH_ROWS_MAX + 1) * sizeof *p->ids)) == NULL)
        return false;
    if (!sl_value_keys_of_texts(b, p->shape->id, p->ids_to, p->ids))
        return false;
    p->ids_to = b->rows;
    return true;
}

bool worker_ids(worker *w, const task *t, part *p) {
    const sl_batch *view = worker_view(w, p);
    sl_expression *expression = NULL;
    const sl_column *made = NULL;
    if (p->shape->id == SL_NO_FIELD && ((expression = id_expression(w, p->shape)) == NULL ||
                                        (made = sl_expression_run(expression, view, NULL)) == NULL))
        return false;
    if (p->ids == NULL && (p->ids = sl_malloc((view->rows + 1) * sizeof *p->ids)) == NULL)
        return false;
    bool good = true;
    const bool texts = is_text(view, p->shape->id);
    if (texts)
        good = sl_value_keys_of_texts(view, p->shape->id, p->ids_to, p->ids);
    for (uint32_t row = 0; good && !texts && row < view->rows; row++) {
        sl_value value;
        p->ids[row].there =
            view->verdict[row] == SL_VERDICT_KEEP && id_of(expression, made, view, p->shape->id, row, &value);
        if (p->ids[row].there)
            good = sl_value_hash(&value, &p->ids[row].hash);
    }
    for (uint32_t row = 0; good && t->item_count != 0 && row < view->rows; row++)
        p->ids[row].hash.low ^= view->records[view->row_record[row]].salt;
    return good;
}

static sl_span id_text(sl_batch *b, const sl_value *value) {
    if (value->type == SL_TYPE_STRING)
        return sl_batch_keep_text(b, value->as.text.bytes, value->as.text.length);
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_value_json(value, &text);
    sl_span span = sl_batch_keep_text(b, text.bytes, text.failed ? 0 : text.length);
    b->arena.failed |= text.failed;
    sl_buffer_fini(&text);
    return span;
}

bool worker_id_texts(worker *w, const task *t, part *p) {
    const sl_config_stream *c = p->shape->of->config;
    const uint32_t field = p->shape->id;
    if (c == NULL || c->id == NULL || (field == SL_NO_FIELD && c->warehouse.id != NULL))
        return true; /* No member of that name has been seen yet. */
    if (p->shape->steps != NULL && !worker_steps(w, t, p))
        return false;
    const sl_batch *view = worker_view(w, p);
    sl_expression *expression = NULL;
    const sl_column *made = NULL;
    if (field == SL_NO_FIELD && ((expression = id_expression(w, p->shape)) == NULL ||
                                 (made = sl_expression_run(expression, view, NULL)) == NULL))
        return false;
    p->id_texts = sl_calloc(view->rows + 1, sizeof *p->id_texts);
    if (p->id_texts == NULL)
        return false;
    for (uint32_t row = 0; row < view->rows; row++) {
        sl_value value;
        if (view->verdict[row] == SL_VERDICT_KEEP && id_of(expression, made, view, field, row, &value))
            p->id_texts[row] = id_text(p->batch, &value);
    }
    return !p->batch->arena.failed;
}
