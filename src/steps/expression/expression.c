// The contract's functions: compiling, and running a program over a batch in chunks.

#include "internal.h"

#include <assert.h>

#define ARENA_BLOCK_BYTES 16384u
#define MADE_BLOCK_BYTES 65536u

struct sl_expression {
    sl_arena memory; // Tree, program and scratch columns.
    sl_arena made;   // Texts that a run makes.
    program program;
    sl_column result;      // As many cells as the largest batch so far.
    uint32_t result_rows;  // Capacity of `result`.
    sl_buffer result_text; // Texts of STRING results that are more than a field.
    bool plain_text;       // The expression is a STRING field alone.
    const char *source;    // For explain().
};

// ---- Compiling
// -------------------------------------------------------------------------------

static sl_status build(compiler *c, sl_expression *expression) {
    node *root = NULL;
    if (c->length > EXPRESSION_BYTES_MAX)
        return sl_error_set(c->error, SL_ELIMIT, "the expression is longer than %u bytes",
                            EXPRESSION_BYTES_MAX);
    sl_status status = parse(c, &root);
    if (status == SL_OK)
        status = check(c, root);
    if (status == SL_OK)
        status = compile(c, root, &expression->program, &expression->made);
    if (status == SL_OK)
        expression->source = sl_arena_strndup(c->memory, c->text, c->length);
    if (status == SL_OK && expression->source == NULL)
        status = out_of_memory(c);
    if (status == SL_OK)
        expression->plain_text = root->kind == NODE_NAME && root->type == TYPE_STRING;
    return status;
}

static sl_status create(compiler *c, const char *source, sl_expression **out) {
    *out = NULL;
    size_t length = strlen(source);
    c->text = source;
    c->length =
        length > EXPRESSION_BYTES_MAX ? EXPRESSION_BYTES_MAX + 1 : (uint32_t)length;
    sl_expression *expression = sl_calloc(1, sizeof *expression);
    if (expression == NULL)
        return out_of_memory(c);
    sl_arena_init(&expression->memory, ARENA_BLOCK_BYTES);
    sl_arena_init(&expression->made, MADE_BLOCK_BYTES);
    c->memory = &expression->memory;
    sl_status status = build(c, expression);
    if (status == SL_OK)
        *out = expression;
    else
        sl_expression_destroy(expression);
    return status;
}

sl_status sl_expression_compile(const char *source, const sl_schema *schema,
                                sl_expression **out, sl_error *error) {
    compiler c = {.error = error, .schema = schema};
    return create(&c, source, out);
}

sl_status sl_expression_compile_names(const char *source, const sl_expression_name *names,
                                      size_t count, bool real_division,
                                      sl_expression **out, sl_error *error) {
    compiler c = {.error = error,
                  .names = names,
                  .name_count = count,
                  .real_division = real_division};
    return create(&c, source, out);
}

void sl_expression_destroy(sl_expression *expression) {
    if (expression == NULL)
        return;
    pattern_destroy_all(expression->program.patterns);
    sl_arena_fini(&expression->memory);
    sl_arena_fini(&expression->made);
    sl_free(expression->result.valid);
    sl_free(expression->result.values.any);
    sl_buffer_fini(&expression->result_text);
    sl_free(expression);
}

sl_type sl_expression_type(const sl_expression *expression) {
    static const sl_type types[] = {
        [TYPE_BOOL] = SL_TYPE_BOOL,     [TYPE_INT] = SL_TYPE_INT64,
        [TYPE_DOUBLE] = SL_TYPE_DOUBLE, [TYPE_DECIMAL] = SL_TYPE_DECIMAL,
        [TYPE_DATE] = SL_TYPE_DATE,     [TYPE_TIMESTAMP] = SL_TYPE_TIMESTAMP,
        [TYPE_STRING] = SL_TYPE_STRING};
    return types[expression->program.result->type]; // The checker lets no other through.
}

uint8_t sl_expression_scale(const sl_expression *expression) {
    const vector *result = expression->program.result;
    return result->type == TYPE_DECIMAL ? result->scale : 0;
}

const uint32_t *sl_expression_fields(const sl_expression *expression, size_t *count) {
    *count = expression->program.field_count;
    return expression->program.fields;
}

// ---- Inputs from a batch
// ---------------------------------------------------------------------

// The cell is there when its objects are there too; nearly every field lies at the root,
// and then the batch's own bytes serve.
static uint8_t *bind_valid(const input *in, const sl_batch *batch, uint32_t begin,
                           uint32_t rows) {
    const sl_field *fields = batch->schema->fields;
    uint8_t *valid = batch->columns[in->column].valid + begin;
    uint32_t parent = fields[in->column].parent;
    if (parent == 0)
        return valid;
    memcpy(in->own_valid, valid, rows);
    for (; parent != 0; parent = fields[parent].parent) {
        const uint8_t *above = batch->columns[parent].valid + begin;
        uint8_t *restrict own = in->own_valid;
        for (uint32_t i = 0; i < rows; i++)
            own[i] &= above[i];
    }
    return in->own_valid;
}

static void bind_texts(const input *in, const sl_batch *batch, uint32_t begin,
                       uint32_t rows) {
    const sl_span *spans = batch->columns[in->column].values.span + begin;
    const uint8_t *valid = in->vector->valid;
    text *texts = in->own_values;
    for (uint32_t i = 0; i < rows; i++) {
        if (valid[i])
            texts[i] = (text){.bytes = sl_batch_text(batch, spans[i]),
                              .length = spans[i].length};
        else
            texts[i] = (text){.bytes = (const uint8_t *)"", .length = 0};
    }
    in->vector->values.text = texts;
}

static void bind_presence(const input *in, const uint8_t *valid, uint32_t rows) {
    uint8_t *restrict truth = in->own_values;
    uint8_t flip = in->negated;
    for (uint32_t i = 0; i < rows; i++)
        truth[i] = valid[i] ^ flip;
    memset(in->own_valid, 1, rows);
    in->vector->valid = in->own_valid;
}

static void bind_missing(const input *in, uint32_t rows) {
    memset(in->own_valid, 0, rows);
    in->vector->valid = in->own_valid;
    in->vector->values.any = in->own_values;
    if (in->vector->type == TYPE_STRING)
        for (uint32_t i = 0; i < rows; i++)
            in->vector->values.text[i] =
                (text){.bytes = (const uint8_t *)"", .length = 0};
    if (in->presence)
        bind_presence(in, in->own_valid, rows);
}

static void bind(const input *in, const sl_batch *batch, uint32_t begin, uint32_t rows) {
    const sl_schema *schema = batch->schema;
    bool known = in->column < schema->count &&
                 (in->presence || schema->fields[in->column].type == in->column_type) &&
                 (in->vector->type != TYPE_DECIMAL ||
                  schema->fields[in->column].scale == in->vector->scale);
    if (!known) {
        bind_missing(in, rows);
        return;
    }
    uint8_t *valid = bind_valid(in, batch, begin, rows);
    const sl_column *column = &batch->columns[in->column];
    vector *v = in->vector;
    if (in->presence) {
        bind_presence(in, valid, rows);
        return;
    }
    v->valid = valid;
    if (v->type == TYPE_STRING)
        bind_texts(in, batch, begin, rows);
    else if (v->type == TYPE_BOOL)
        v->values.truth = column->values.truth + begin;
    else if (v->type == TYPE_DOUBLE)
        v->values.f64 = column->values.f64 + begin;
    else
        v->values.i64 = column->values.i64 + begin;
}

static bool run_steps(const program *p, uint32_t rows) {
    for (uint32_t i = 0; i < p->step_count; i++)
        if (!p->steps[i].run(&p->steps[i], rows))
            return false;
    return true;
}

// ---- The result
// ------------------------------------------------------------------------------

static bool make_room(sl_expression *expression, uint32_t rows) {
    if (rows <= expression->result_rows)
        return true;
    uint8_t *valid = sl_realloc(expression->result.valid, rows);
    if (valid == NULL)
        return false;
    expression->result.valid = valid;
    void *values = sl_realloc(expression->result.values.any, rows * sizeof(int64_t));
    if (values == NULL)
        return false;
    expression->result.values.any = values;
    expression->result_rows = rows;
    return true;
}

static bool keep_texts(sl_expression *expression, uint32_t begin, uint32_t rows) {
    const vector *from = expression->program.result;
    sl_buffer *kept = &expression->result_text;
    const uint8_t *last = NULL;
    sl_span span = {0};
    for (uint32_t i = 0; i < rows; i++) {
        text value = from->values.text[i];
        if (!from->valid[i])
            value.length = 0;
        // A constant answers for many rows: kept once.
        if (value.bytes != last || value.length != span.length) {
            if (value.length > UINT32_MAX - kept->length)
                return false;
            span = (sl_span){.offset = (uint32_t)kept->length, .length = value.length};
            if (value.length != 0)
                sl_buffer_append(kept, value.bytes, value.length);
            last = value.bytes;
        }
        expression->result.values.span[begin + i] = span;
    }
    return !kept->failed;
}

static bool keep(sl_expression *expression, const sl_batch *batch, uint32_t begin,
                 uint32_t rows) {
    const program *p = &expression->program;
    const vector *from = p->result;
    sl_column *to = &expression->result;
    memcpy(to->valid + begin, from->valid, rows);
    if (from->type == TYPE_BOOL) {
        memcpy(to->values.truth + begin, from->values.truth, rows);
    } else if (from->type == TYPE_DOUBLE) {
        memcpy(to->values.f64 + begin, from->values.f64, rows * sizeof(double));
    } else if (from->type != TYPE_STRING) {
        memcpy(to->values.i64 + begin, from->values.i64, rows * sizeof(int64_t));
    } else if (!expression->plain_text) {
        return keep_texts(expression, begin, rows);
    } else if (p->inputs[0].column < batch->schema->count &&
               batch->schema->fields[p->inputs[0].column].type ==
                   p->inputs[0].column_type) {
        memcpy(to->values.span + begin,
               batch->columns[p->inputs[0].column].values.span + begin,
               rows * sizeof(sl_span));
    }
    return true;
}

// Rows begin..begin + rows of the batch into the scratch columns.
static bool run_chunk(sl_expression *expression, const sl_batch *batch, uint32_t begin,
                      uint32_t rows) {
    const program *p = &expression->program;
    if (expression->made.total_bytes != 0)
        sl_arena_reset(&expression->made);
    for (uint32_t i = 0; i < p->input_count; i++)
        bind(&p->inputs[i], batch, begin, rows);
    return run_steps(p, rows);
}

// An error, where a null that was meant is none.
static bool failed_at(const program *p, uint32_t row) {
    const vector *absent = p->absent;
    return !p->result->valid[row] &&
           !(absent != NULL && absent->valid[row] && absent->values.truth[row]);
}

static uint64_t count_failed(const program *p, uint32_t rows) {
    uint64_t failed = 0;
    for (uint32_t i = 0; p->absent == NULL && i < rows; i++)
        failed += !p->result->valid[i];
    for (uint32_t i = 0; p->absent != NULL && i < rows; i++)
        failed += failed_at(p, i);
    return failed;
}

const sl_column *sl_expression_run(sl_expression *expression, const sl_batch *batch,
                                   uint64_t *errors) {
    const program *p = &expression->program;
    if (!make_room(expression,
                   batch->capacity > batch->rows ? batch->capacity : batch->rows))
        return NULL;
    sl_buffer_clear(&expression->result_text);
    uint64_t failed = 0;
    for (uint32_t begin = 0; begin < batch->rows; begin += CHUNK_ROWS) {
        uint32_t rows =
            batch->rows - begin < CHUNK_ROWS ? batch->rows - begin : CHUNK_ROWS;
        if (!run_chunk(expression, batch, begin, rows) ||
            !keep(expression, batch, begin, rows))
            return NULL;
        failed += count_failed(p, rows);
    }
    if (errors != NULL)
        *errors += failed;
    return &expression->result;
}

const uint8_t *sl_expression_text(const sl_expression *expression, const sl_batch *batch,
                                  sl_span span) {
    if (expression->plain_text)
        return sl_batch_text(batch, span);
    return span.length == 0 ? (const uint8_t *)""
                            : expression->result_text.bytes + span.offset;
}

// ---- Into a column of the batch
// ----------------------------------------------------------------

// Bytes of the batch's raw records that this chunk's inputs have texts in. What lies
// between is a part of them, whatever made it.
typedef struct extent {
    uintptr_t begin, end;
} extent;

static extent raw_extent(const program *p, const sl_batch *batch, uint32_t begin,
                         uint32_t rows) {
    uint32_t low = UINT32_MAX, high = 0;
    for (uint32_t k = 0; k < p->input_count; k++) {
        const input *in = &p->inputs[k];
        if (in->presence || in->vector->type != TYPE_STRING ||
            in->column >= batch->schema->count ||
            batch->schema->fields[in->column].type != in->column_type)
            continue;
        const sl_span *spans = batch->columns[in->column].values.span + begin;
        for (uint32_t i = 0; i < rows; i++) {
            if (!in->vector->valid[i] || (spans[i].offset & SL_SPAN_ARENA))
                continue;
            low = spans[i].offset < low ? spans[i].offset : low;
            uint32_t end = spans[i].offset + spans[i].length;
            high = end > high ? end : high;
        }
    }
    uintptr_t raw = (uintptr_t)batch->raw;
    return low >= high ? (extent){0, 0} : (extent){raw + low, raw + high};
}

static bool inside(extent e, text t) {
    uintptr_t at = (uintptr_t)t.bytes;
    return at >= e.begin && at < e.end && t.length <= e.end - at;
}

// Where the text lies already, in `raw` or the arena. @return false: it has to be copied.
static bool span_of(const sl_batch *batch, extent raw, text t, sl_span *out) {
    uintptr_t arena = (uintptr_t)batch->arena.bytes;
    extent kept = {arena, arena + batch->arena.length};
    uint32_t offset = 0;
    if (t.length == 0)
        offset = SL_SPAN_ARENA;
    else if (inside(raw, t))
        offset = (uint32_t)((uintptr_t)t.bytes - (uintptr_t)batch->raw);
    else if (inside(kept, t))
        offset = (uint32_t)((uintptr_t)t.bytes - arena) | SL_SPAN_ARENA;
    else
        return false;
    *out = (sl_span){.offset = offset, .length = t.length};
    return true;
}

// Texts that lie in the batch keep their place; these are placed first, since the arena
// may move as it grows. A constant is copied once for a chunk.
static bool assign_texts(const program *p, sl_batch *batch, sl_span *to, uint32_t begin,
                         uint32_t rows) {
    const vector *from = p->result;
    extent raw = raw_extent(p, batch, begin, rows);
    uint8_t copied[CHUNK_ROWS];
    for (uint32_t i = 0; i < rows; i++) {
        bool wanted = batch->verdict[begin + i] == SL_VERDICT_KEEP && from->valid[i];
        copied[i] = wanted && !span_of(batch, raw, from->values.text[i], &to[i]);
    }
    text last = {.bytes = NULL};
    sl_span span = {0};
    for (uint32_t i = 0; i < rows; i++) {
        if (!copied[i])
            continue;
        text t = from->values.text[i];
        if (t.bytes != last.bytes || t.length != last.length)
            span = sl_batch_keep_text(batch, t.bytes, t.length);
        if (batch->arena.failed)
            return false;
        to[i] = span;
        last = t;
    }
    return true;
}

// A member's objects are there with it; those that weren't have no other member.
static void make_parents(sl_batch *batch, uint32_t field, uint32_t row) {
    const sl_field *fields = batch->schema->fields;
    uint32_t child = field;
    for (uint32_t parent = fields[field].parent; parent != 0 && parent != SL_NO_FIELD;
         child = parent, parent = fields[parent].parent) {
        if (batch->columns[parent].valid[row])
            continue;
        batch->columns[parent].valid[row] = 1;
        for (uint32_t f = fields[parent].first_child; f != SL_NO_FIELD;
             f = fields[f].next_sibling)
            if (f != child)
                batch->columns[f].valid[row] = 0;
    }
}

static uint64_t assign_chunk(const program *p, sl_batch *batch, uint32_t field,
                             uint32_t begin, uint32_t rows) {
    const vector *from = p->result;
    sl_column *to = &batch->columns[field];
    bool nested = batch->schema->fields[field].parent != 0;
    uint64_t failed = 0;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = begin + i;
        if (batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        failed += failed_at(p, i);
        uint8_t valid = from->valid[i];
        if (nested && valid)
            make_parents(batch, field, row);
        to->valid[row] = valid;
        if (from->type == TYPE_BOOL)
            to->values.truth[row] = from->values.truth[i];
        else if (from->type == TYPE_DOUBLE)
            to->values.f64[row] = from->values.f64[i];
        else if (from->type != TYPE_STRING)
            to->values.i64[row] = from->values.i64[i];
    }
    return failed;
}

sl_status sl_expression_assign(sl_expression *expression, sl_batch *batch, uint32_t field,
                               uint64_t *errors) {
    const program *p = &expression->program;
    const sl_schema *schema = batch->schema;
    if (field == 0 || field >= schema->count ||
        schema->fields[field].type != sl_expression_type(expression) ||
        (p->result->type == TYPE_DECIMAL &&
         schema->fields[field].scale != p->result->scale))
        return SL_ETYPE;
    uint64_t failed = 0;
    for (uint32_t begin = 0; begin < batch->rows; begin += CHUNK_ROWS) {
        uint32_t rows =
            batch->rows - begin < CHUNK_ROWS ? batch->rows - begin : CHUNK_ROWS;
        if (!run_chunk(expression, batch, begin, rows))
            return SL_ENOMEM;
        sl_span *spans = batch->columns[field].values.span;
        if (p->result->type == TYPE_STRING &&
            !assign_texts(p, batch, spans + begin, begin, rows))
            return SL_ENOMEM;
        failed += assign_chunk(p, batch, field, begin, rows);
    }
    if (errors != NULL)
        *errors += failed;
    return SL_OK;
}

// ---- Why a row failed
// --------------------------------------------------------------------------

sl_status sl_expression_explain(sl_expression *expression, const sl_batch *batch,
                                uint32_t row, sl_error *error) {
    const program *p = &expression->program;
    if (!run_chunk(expression, batch, row, 1))
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    if (!failed_at(p, 0))
        return SL_OK;
    const vector *v = origin_of_error(p->result, 0);
    if (v->path != NULL)
        return sl_error_set(error, SL_EINVAL, "`%.200s` is missing", v->path);
    uint32_t column = 1;
    for (uint32_t i = 0; i < v->at && expression->source[i] != 0; i++)
        column += ((unsigned char)expression->source[i + 1] & 0xc0) != 0x80;
    return sl_error_set(error, SL_EINVAL, "column %u: %s", column,
                        v->reason == NULL ? "no value" : v->reason);
}

// ---- One row of values
// -----------------------------------------------------------------------

static void bind_value(const input *in, const sl_value *value) {
    vector *v = in->vector;
    bool fits =
        in->presence || (value->type == in->column_type &&
                         (value->type != SL_TYPE_DECIMAL || value->scale == v->scale));
    if (value->null || !fits) {
        bind_missing(in, 1);
        return;
    }
    v->valid = in->own_valid;
    v->values.any = in->own_values;
    v->valid[0] = 1;
    if (in->presence)
        bind_presence(in, v->valid, 1);
    else if (v->type == TYPE_STRING)
        v->values.text[0] = (text){.bytes = value->as.text.bytes,
                                   .length = (uint32_t)value->as.text.length};
    else if (v->type == TYPE_BOOL)
        v->values.truth[0] = value->as.i64 != 0;
    else if (v->type == TYPE_DOUBLE)
        v->values.f64[0] = value->as.f64;
    else
        v->values.i64[0] = value->as.i64;
}

sl_value sl_expression_value(sl_expression *expression, const sl_value *values) {
    const program *p = &expression->program;
    const vector *result = p->result;
    sl_value out = {.type = sl_expression_type(expression),
                    .scale = sl_expression_scale(expression),
                    .null = true};
    if (expression->made.total_bytes != 0)
        sl_arena_reset(&expression->made);
    for (uint32_t i = 0; i < p->input_count; i++)
        bind_value(&p->inputs[i], &values[p->inputs[i].input]);
    if (!run_steps(p, 1) || !result->valid[0])
        return out;
    out.null = false;
    if (result->type == TYPE_STRING) {
        out.as.text.bytes = result->values.text[0].bytes;
        out.as.text.length = result->values.text[0].length;
    } else if (result->type == TYPE_BOOL) {
        out.as.i64 = result->values.truth[0];
    } else if (result->type == TYPE_DOUBLE) {
        out.as.f64 = result->values.f64[0];
    } else {
        out.as.i64 = result->values.i64[0];
    }
    return out;
}
