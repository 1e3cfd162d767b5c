/* Operations over a batch's columns, one after the other. */
#include "private.h"

#include "sluice/power.h"
#include "sluice/utf8.h"

struct sl_step_runner {
    sl_steps *plan;
    sl_expression **expressions; /* [operation_count], NULL where there is none. */
    digest **digests;            /* [definition count], likewise: */
    enrichment **enrichments;
    sl_batch view;
    sl_column *columns;          /* Of the view. */
    uint8_t *always;             /* [SL_BATCH_ROWS_MAX] ones. */
};

/* --- cells --- */

static bool same_text(const sl_batch *b, sl_span a, const uint8_t *text, uint32_t length) {
    return a.length == length && memcmp(sl_batch_text(b, a), text, length) == 0;
}

/** @return whether it is another text than before. */
static bool put_text(sl_batch *b, sl_column *c, uint32_t row, const uint8_t *text, uint32_t length) {
    if (c->valid[row] && same_text(b, c->values.span[row], text, length))
        return false;
    c->values.span[row] = sl_batch_keep_text(b, text, length);
    c->valid[row] = 1;
    return true;
}

static bool put_number(sl_column *c, uint32_t row, int64_t value) {
    bool changed = !c->valid[row] || c->values.i64[row] != value;
    c->values.i64[row] = value;
    c->valid[row] = 1;
    return changed;
}

static bool put_double(sl_column *c, uint32_t row, double value) {
    bool changed = !c->valid[row] || memcmp(&c->values.f64[row], &value, sizeof value) != 0;
    c->values.f64[row] = value;
    c->valid[row] = 1;
    return changed;
}

static bool put_truth(sl_column *c, uint32_t row, uint8_t value) {
    bool changed = !c->valid[row] || c->values.truth[row] != value;
    c->values.truth[row] = value;
    c->valid[row] = 1;
    return changed;
}

static bool put_null(sl_column *c, uint32_t row) {
    bool changed = c->valid[row] != 0;
    c->valid[row] = 0;
    return changed;
}

/** A text of the batch stays where it is; one that the expression made moves into the arena. */
static bool put_result_text(sl_batch *b, sl_column *c, uint32_t row, const sl_expression *e, sl_span from) {
    const uint8_t *text = sl_expression_text(e, b, from);
    if (text != sl_batch_text(b, from))
        return put_text(b, c, row, text, from.length);
    bool changed = !c->valid[row] || !same_text(b, c->values.span[row], text, from.length);
    c->values.span[row] = from;
    c->valid[row] = 1;
    return changed;
}

static bool put_result(sl_batch *b, uint32_t target, uint32_t row, const sl_expression *e, const sl_column *from) {
    sl_column *c = &b->columns[target];
    if (!from->valid[row])
        return put_null(c, row);
    switch (sl_expression_type(e)) {
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        return put_result_text(b, c, row, e, from->values.span[row]);
    case SL_TYPE_BOOL:
        return put_truth(c, row, from->values.truth[row]);
    case SL_TYPE_DOUBLE:
        return put_double(c, row, from->values.f64[row]);
    case SL_TYPE_INT64:
        if (b->schema->fields[target].type == SL_TYPE_DOUBLE)
            return put_double(c, row, (double)from->values.i64[row]);
        return put_number(c, row, from->values.i64[row]);
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
    case SL_TYPE_GROUP:
        break;
    }
    return put_number(c, row, from->values.i64[row]);
}

/* --- operations --- */

static bool is_kept(const sl_batch *b, uint32_t row) { return b->verdict[row] == SL_VERDICT_KEEP; }

/** @return NULL when out of memory. */
static const sl_column *evaluate(const sl_step_runner *r, uint32_t at, const sl_batch *b, sl_step_count *count) {
    return sl_expression_run(r->expressions[at], b, &count->errors);
}

/** Those around the target are there from now on; new ones hold nothing that an earlier member of the name has left. */
static void open_objects(const operation *o, sl_batch *b, uint32_t row) {
    const sl_field *fields = b->schema->fields;
    for (uint32_t i = 0; i < o->object_count; i++) {
        uint8_t *valid = &b->columns[o->objects[i]].valid[row];
        for (uint32_t f = fields[o->objects[i]].first_child; !*valid && f != SL_NO_FIELD; f = fields[f].next_sibling)
            b->columns[f].valid[row] = 0;
        *valid = 1;
    }
}

/** Of a column that the operation has filled. */
static void see_made(const operation *o, sl_batch *b, sl_step_count *count) {
    for (uint32_t row = 0; row < b->rows; row++)
        if (is_kept(b, row) && b->columns[o->target].valid[row]) {
            open_objects(o, b, row);
            count->changed++;
        }
}

static sl_status make(sl_step_runner *r, uint32_t at, sl_batch *b, sl_step_count *count) {
    const operation *o = &r->plan->operations[at];
    sl_status status = sl_expression_assign(r->expressions[at], b, o->target, &count->errors);
    if (status == SL_OK)
        see_made(o, b, count);
    return status;
}

/** A decimal with more digits than its column holds. */
static bool is_too_long(const sl_field *field, const sl_column *from, uint32_t row) {
    if (field->type != SL_TYPE_DECIMAL || !from->valid[row])
        return false;
    int64_t value = from->values.i64[row];
    return (value < 0 ? 0 - (uint64_t)value : (uint64_t)value) >= sl_power_of_ten[field->precision];
}

static sl_status assign(sl_step_runner *r, uint32_t at, sl_batch *b, sl_step_count *count) {
    const operation *o = &r->plan->operations[at];
    const sl_column *from = evaluate(r, at, b, count);
    if (from == NULL)
        return SL_ENOMEM;
    const sl_field *field = &b->schema->fields[o->target];
    for (uint32_t row = 0; row < b->rows; row++) {
        if (!is_kept(b, row) || (o->kind != OPERATION_SET && sl_batch_present(b, o->source, row)))
            continue;
        bool failed = is_too_long(field, from, row);
        if (!failed && from->valid[row])
            open_objects(o, b, row);
        count->errors += failed;
        count->changed += failed ? put_null(&b->columns[o->target], row)
                                 : put_result(b, o->target, row, r->expressions[at], from);
    }
    return SL_OK;
}

static sl_status filter(sl_step_runner *r, uint32_t at, sl_batch *b, sl_step_count *count) {
    const sl_column *from = evaluate(r, at, b, count);
    if (from == NULL)
        return SL_ENOMEM;
    for (uint32_t row = 0; row < b->rows; row++)
        if (is_kept(b, row) && !(from->valid[row] && from->values.truth[row])) {
            b->verdict[row] = SL_VERDICT_FILTERED;
            count->refused++;
        }
    return SL_OK;
}

/* "requires amount > 0: `amount` is missing" */
static sl_span refusal(sl_batch *b, const operation *o, const char *reason) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "requires %s%s%s", o->text, reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
    sl_span span = sl_batch_keep_text(b, text.bytes, text.failed ? 0 : text.length);
    b->arena.failed |= text.failed;
    sl_buffer_fini(&text);
    return span;
}

static sl_status require(sl_step_runner *r, uint32_t at, sl_batch *b, sl_step_count *count) {
    const operation *o = &r->plan->operations[at];
    const sl_column *from = evaluate(r, at, b, count);
    if (from == NULL)
        return SL_ENOMEM;
    sl_span message = {0, 0}, pointer = {0, 0};
    for (uint32_t row = 0; row < b->rows; row++) {
        if (!is_kept(b, row) || (from->valid[row] && from->values.truth[row]))
            continue;
        if (message.length == 0) { /* That it is false is said once; why it is none, of each event. */
            message = refusal(b, o, NULL);
            pointer = sl_batch_keep_text(b, o->pointer, strlen(o->pointer));
        }
        sl_error error = {0};
        bool failed = !from->valid[row] && sl_expression_explain(r->expressions[at], b, row, &error) != SL_OK;
        const sl_reject reject = {.record = b->row_record[row],
                                  .index = sl_batch_index(b, row),
                                  .begin = b->row_begin[row],
                                  .length = b->row_length[row],
                                  .code = SL_CODE_REQUIRE,
                                  .path = pointer,
                                  .message = failed ? refusal(b, o, error.text) : message};
        if (!sl_batch_reject(b, &reject))
            return SL_ENOMEM;
        b->verdict[row] = SL_VERDICT_DEAD;
        count->refused++;
    }
    return SL_OK;
}

static void copy(const operation *o, sl_batch *b, sl_step_count *count) {
    const sl_column *from = &b->columns[o->source];
    sl_column *to = &b->columns[o->target];
    bool truth = b->schema->fields[o->source].type == SL_TYPE_BOOL;
    for (uint32_t row = 0; row < b->rows; row++) {
        to->valid[row] = sl_batch_present(b, o->source, row);
        if (truth)
            to->values.truth[row] = from->values.truth[row];
        else
            to->values.i64[row] = from->values.i64[row]; /* A span has as many bytes. */
    }
    see_made(o, b, count);
}

static bool trim(const sl_batch *b, sl_span *span) {
    size_t begin, length = sl_utf8_trim(sl_batch_text(b, *span), span->length, &begin);
    bool changed = length != span->length;
    span->offset += (uint32_t)begin; /* The arena's mark is the highest bit. */
    span->length = (uint32_t)length;
    return changed;
}

static bool lower(sl_batch *b, sl_span *span) {
    const uint8_t *text = sl_batch_text(b, *span);
    uint32_t at = 0;
    while (at < span->length && !(text[at] >= 'A' && text[at] <= 'Z'))
        at++;
    if (at == span->length)
        return false;
    sl_buffer copied = SL_BUFFER_EMPTY; /* The arena moves when it grows. */
    sl_buffer_append(&copied, text, span->length);
    for (; at < copied.length; at++)
        if (copied.bytes[at] >= 'A' && copied.bytes[at] <= 'Z')
            copied.bytes[at] = (uint8_t)(copied.bytes[at] + 32);
    *span = sl_batch_keep_text(b, copied.bytes, copied.length);
    b->arena.failed |= copied.failed;
    sl_buffer_fini(&copied);
    return true;
}

static bool hash(digest *d, sl_batch *b, sl_span *span) {
    char hex[DIGEST_HEX];
    if (!digest_text(d, sl_batch_text(b, *span), span->length, hex))
        b->arena.failed = true;
    *span = sl_batch_keep_text(b, hex, sizeof hex);
    return true;
}

static void clean(const sl_step_runner *r, const operation *o, sl_batch *b, sl_step_count *count) {
    sl_column *c = &b->columns[o->source];
    for (uint32_t row = 0; row < b->rows; row++) {
        if (!is_kept(b, row) || !sl_batch_present(b, o->source, row))
            continue;
        sl_span *span = &c->values.span[row];
        count->changed += o->kind == OPERATION_TRIM    ? trim(b, span)
                          : o->kind == OPERATION_LOWER ? lower(b, span)
                          : o->kind == OPERATION_HASH  ? hash(r->digests[o->step], b, span)
                                                       : put_text(b, c, row, (const uint8_t *)"***", 3);
    }
}

static sl_status operate(sl_step_runner *r, uint32_t at, sl_batch *b, sl_step_count *count) {
    const operation *o = &r->plan->operations[at];
    switch (o->kind) {
    case OPERATION_REQUIRE:
        return require(r, at, b, count);
    case OPERATION_WHERE:
        return filter(r, at, b, count);
    case OPERATION_MAKE:
        return make(r, at, b, count);
    case OPERATION_SET:
    case OPERATION_DEFAULT:
        return assign(r, at, b, count);
    case OPERATION_COPY:
        copy(o, b, count);
        return SL_OK;
    case OPERATION_TRIM:
    case OPERATION_LOWER:
    case OPERATION_REDACT:
    case OPERATION_HASH:
        clean(r, o, b, count);
        return SL_OK;
    case OPERATION_ENRICH:
        return enrichment_run(r->enrichments[o->step], b, count);
    }
    return SL_OK;
}

/* --- the whole --- */

static uint32_t kept_rows(const sl_batch *b) {
    uint32_t kept = 0;
    for (uint32_t row = 0; row < b->rows; row++)
        kept += is_kept(b, row);
    return kept;
}

const sl_batch *sl_step_runner_view(sl_step_runner *r, const sl_batch *batch) {
    r->view = *batch;
    r->view.schema = r->plan->output;
    r->view.columns = r->columns;
    r->columns[0] = batch->columns[0];
    for (uint32_t f = 1; f < r->plan->output->count; f++) {
        uint32_t column = r->plan->columns[f];
        r->columns[f] = column == ALWAYS ? (sl_column){.valid = r->always} : batch->columns[column];
    }
    return &r->view;
}

sl_status sl_step_runner_run(sl_step_runner *r, sl_batch *batch, sl_step_count *counts) {
    const sl_steps *plan = r->plan;
    sl_step_count none = {0};
    sl_status status = SL_OK;
    uint32_t at = 0;
    for (uint32_t step = 0; step < plan->count && status == SL_OK; step++) {
        sl_step_count *count = counts != NULL ? &counts[step] : &none;
        for (; at < plan->operation_count && plan->operations[at].step == step && status == SL_OK; at++)
            status = operate(r, at, batch, count);
        count->passed += kept_rows(batch);
    }
    return status == SL_OK && batch->arena.failed ? SL_ENOMEM : status;
}

static sl_status compile(sl_step_runner *r) {
    const sl_steps *plan = r->plan;
    for (uint32_t i = 0; i < plan->operation_count; i++) {
        const operation *o = &plan->operations[i];
        sl_error error; /* It was compiled before: nothing but memory can fail. */
        if (o->text != NULL &&
            sl_expression_compile_names(o->text, o->names, o->name_count, false, &r->expressions[i], &error) != SL_OK)
            return SL_ENOMEM;
        if (o->kind == OPERATION_HASH && r->digests[o->step] == NULL &&
            (r->digests[o->step] = digest_create(plan->definitions[o->step].salt)) == NULL)
            return SL_ENOMEM;
        if (o->kind == OPERATION_ENRICH &&
            (r->enrichments[o->step] = enrichment_create(&plan->definitions[o->step], o)) == NULL)
            return SL_ENOMEM;
    }
    return SL_OK;
}

sl_status sl_step_runner_create(sl_steps *steps, sl_step_runner **out) {
    *out = NULL;
    sl_step_runner *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return SL_ENOMEM;
    r->plan = sl_steps_ref(steps);
    r->expressions = sl_calloc(steps->operation_count + 1, sizeof(sl_expression *));
    r->digests = sl_calloc(steps->count + 1, sizeof(digest *));
    r->enrichments = sl_calloc(steps->count + 1, sizeof(enrichment *));
    r->columns = sl_calloc(steps->output->count, sizeof *r->columns);
    r->always = sl_calloc(SL_BATCH_ROWS_MAX, 1);
    sl_status status = r->expressions == NULL || r->digests == NULL || r->enrichments == NULL || r->columns == NULL || r->always == NULL
                           ? SL_ENOMEM
                           : compile(r);
    if (status != SL_OK) {
        sl_step_runner_destroy(r);
        return status;
    }
    memset(r->always, 1, SL_BATCH_ROWS_MAX);
    *out = r;
    return SL_OK;
}

void sl_step_runner_use(sl_step_runner *r, const sl_step_data *data, size_t count) {
    for (uint32_t i = 0; i < r->plan->count; i++)
        for (size_t k = 0; k < count && r->enrichments[i] != NULL; k++)
            enrichment_use(r->enrichments[i], &r->plan->definitions[i], &data[k]);
}

void sl_step_runner_destroy(sl_step_runner *r) {
    if (r == NULL)
        return;
    for (uint32_t i = 0; r->expressions != NULL && i < r->plan->operation_count; i++)
        sl_expression_destroy(r->expressions[i]);
    for (uint32_t i = 0; r->digests != NULL && i < r->plan->count; i++)
        digest_destroy(r->digests[i]);
    for (uint32_t i = 0; r->enrichments != NULL && i < r->plan->count; i++)
        enrichment_destroy(r->enrichments[i]);
    sl_free(r->expressions);
    sl_free(r->digests);
    sl_free(r->enrichments);
    sl_free(r->columns);
    sl_free(r->always);
    sl_steps_unref(r->plan);
    sl_free(r);
}
