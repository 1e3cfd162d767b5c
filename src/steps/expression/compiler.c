// The typed tree becomes steps in post-order, each with a vector of its own. Here
// conversions are made explicit: a step's operands have the types that its kernel reads.
// Constants are converted at once and stand as filled vectors.

#include "internal.h"

#include <math.h>
#include <stdlib.h>

typedef struct emitter {
    compiler *c;
    program *out;
    sl_arena *made;
    uint32_t vectors;
} emitter;

// All of these give NULL (or false) when out of memory or vectors, and compile() says so.
static vector *emit(emitter *e, const node *n);

static void *get(emitter *e, size_t bytes) { return sl_arena_get(e->c->memory, bytes); }

static size_t cell_bytes(sl_type type) {
    if (type == SL_TYPE_STRING)
        return sizeof(text);
    return type == SL_TYPE_BOOL ? 1 : sizeof(int64_t);
}

static vector *new_vector(emitter *e, sl_type type, uint8_t scale) {
    if (++e->vectors > VECTORS_MAX)
        return NULL;
    vector *v = get(e, sizeof *v);
    if (v == NULL)
        return NULL;
    *v = (vector){.type = type, .scale = scale};
    v->valid = get(e, CHUNK_ROWS);
    v->values.any = get(e, CHUNK_ROWS * cell_bytes(type));
    if (v->valid == NULL || v->values.any == NULL)
        return NULL;
    memset(v->valid, 0, CHUNK_ROWS);
    memset(v->values.any, 0, CHUNK_ROWS * cell_bytes(type));
    return v;
}

// Arrays of the arena double; the old ones stay until the expression goes.
static void *grow(emitter *e, void *array, size_t cell, uint32_t count,
                  uint32_t *capacity) {
    if (count < *capacity)
        return array;
    uint32_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    void *larger = get(e, wanted * cell);
    if (larger == NULL)
        return NULL;
    if (count != 0)
        memcpy(larger, array, count * cell);
    *capacity = wanted;
    return larger;
}

static step *new_step(emitter *e, kernel *run, vector *out) {
    program *p = e->out;
    step *steps = grow(e, p->steps, sizeof *steps, p->step_count, &p->step_capacity);
    if (steps == NULL || out == NULL)
        return NULL;
    p->steps = steps;
    step *s = &steps[p->step_count++];
    *s = (step){.run = run, .out = out, .unit_a = 1, .unit_b = 1, .made = e->made};
    return s;
}

static vector *emit_one(emitter *e, kernel *run, vector *out, const vector *operand,
                        int64_t unit) {
    step *s = operand == NULL ? NULL : new_step(e, run, out);
    if (s == NULL)
        return NULL;
    s->in[0] = operand;
    s->unit_a = unit;
    return out;
}

static step *emit_two(emitter *e, kernel *run, sl_type type, uint8_t scale,
                      const vector *a, const vector *b) {
    if (a == NULL || b == NULL)
        return NULL;
    step *s = new_step(e, run, new_vector(e, type, scale));
    if (s != NULL) {
        s->in[0] = a;
        s->in[1] = b;
    }
    return s;
}

static vector *out_of(const step *s) { return s == NULL ? NULL : s->out; }

// ---- Constants and inputs
// --------------------------------------------------------------------

static vector *constant_i64(emitter *e, sl_type type, uint8_t scale, int64_t value) {
    vector *v = new_vector(e, type, scale);
    for (uint32_t i = 0; v != NULL && i < CHUNK_ROWS; i++) {
        v->valid[i] = 1;
        v->values.i64[i] = value;
    }
    return v;
}

static vector *constant_f64(emitter *e, double value) {
    vector *v = new_vector(e, SL_TYPE_DOUBLE, 0);
    for (uint32_t i = 0; v != NULL && i < CHUNK_ROWS; i++) {
        v->valid[i] = 1;
        v->values.f64[i] = value;
    }
    return v;
}

static vector *emit_constant(emitter *e, const node *n) {
    if (n->type == SL_TYPE_DOUBLE)
        return constant_f64(e, n->value.f64);
    if (n->type != SL_TYPE_BOOL && n->type != SL_TYPE_STRING)
        return constant_i64(e, n->type, n->scale, n->value.i64);
    vector *v = new_vector(e, n->type, 0);
    for (uint32_t i = 0; v != NULL && i < CHUNK_ROWS; i++) {
        v->valid[i] = 1;
        if (n->type == SL_TYPE_BOOL)
            v->values.truth[i] = n->value.i64 != 0;
        else
            v->values.text[i] = n->value.text;
    }
    return v;
}

static vector *emit_input(emitter *e, const node *name, bool presence, bool negated) {
    program *p = e->out;
    for (uint32_t i = 0; i < p->input_count; i++) {
        const input *known = &p->inputs[i];
        if (known->column == name->column && known->input == name->input &&
            known->presence == presence && known->negated == negated)
            return known->vector;
    }
    input *inputs =
        grow(e, p->inputs, sizeof *inputs, p->input_count, &p->input_capacity);
    vector *v = new_vector(e, presence ? SL_TYPE_BOOL : name->type, name->scale);
    if (inputs == NULL || v == NULL)
        return NULL;
    p->inputs = inputs;
    inputs[p->input_count++] = (input){.vector = v,
                                       .own_valid = v->valid,
                                       .own_values = v->values.any,
                                       .column = name->column,
                                       .input = name->input,
                                       .presence = presence,
                                       .negated = negated};
    return v;
}

// ---- Conversions
// -----------------------------------------------------------------------------

static double constant_as_double(const node *n) {
    if (n->type == SL_TYPE_DOUBLE)
        return n->value.f64;
    return (double)n->value.i64 / (double)power_of_ten(n->scale);
}

static vector *as_double(emitter *e, const node *n) {
    if (n->kind == NODE_CONSTANT)
        return constant_f64(e, constant_as_double(n));
    vector *v = emit(e, n);
    if (v == NULL || v->type == SL_TYPE_DOUBLE)
        return v;
    vector *out = new_vector(e, SL_TYPE_DOUBLE, 0);
    return emit_one(e, v->type == SL_TYPE_DECIMAL ? run_scaled_to_f64 : run_i64_to_f64,
                    out, v, power_of_ten(v->scale));
}

// Does the constant have a whole number of units at this scale, within int64?
static bool constant_at_scale(const node *n, uint8_t scale, int64_t *out) {
    if (n->scale <= scale)
        return !__builtin_mul_overflow(n->value.i64,
                                       power_of_ten((unsigned)(scale - n->scale)), out);
    int64_t unit = power_of_ten((unsigned)(n->scale - scale));
    *out = n->value.i64 / unit;
    return n->value.i64 % unit == 0;
}

// As a decimal of at least its own scale.
static vector *as_scaled(emitter *e, const node *n, uint8_t scale) {
    vector *v = emit(e, n);
    if (v == NULL || v->scale == scale)
        return v;
    return emit_one(e, run_rescale, new_vector(e, SL_TYPE_DECIMAL, scale), v,
                    power_of_ten((unsigned)(scale - v->scale)));
}

static vector *as_type(emitter *e, const node *n, sl_type type, uint8_t scale) {
    if (type == SL_TYPE_DOUBLE)
        return as_double(e, n);
    return type == SL_TYPE_DECIMAL ? as_scaled(e, n, scale) : emit(e, n);
}

// ---- Comparisons
// -----------------------------------------------------------------------------

static uint8_t orders(operation op) {
    switch ((int)op) {
    case OP_EQUAL:
        return ORDER_EQUAL;
    case OP_NOT_EQUAL:
        return ORDER_LESS | ORDER_GREATER | ORDER_NONE;
    case OP_LESS:
        return ORDER_LESS;
    case OP_LESS_EQUAL:
        return ORDER_LESS | ORDER_EQUAL;
    case OP_GREATER:
        return ORDER_GREATER;
    default:
        return ORDER_GREATER | ORDER_EQUAL;
    }
}

static uint8_t mirrored(uint8_t accept) {
    uint8_t rest = accept & (ORDER_EQUAL | ORDER_NONE);
    if (accept & ORDER_LESS)
        rest |= ORDER_GREATER;
    if (accept & ORDER_GREATER)
        rest |= ORDER_LESS;
    return rest;
}

static vector *compare(emitter *e, kernel *run, uint8_t accept, const vector *a,
                       const vector *b) {
    step *s = emit_two(e, run, SL_TYPE_BOOL, 0, a, b);
    if (s != NULL)
        s->accept = accept;
    return out_of(s);
}

// Decimals and whole numbers, exactly. A constant is brought to the other side's scale at
// once, so that the usual comparison is one of integers.
static vector *compare_decimals(emitter *e, const node *n) {
    const node *left = n->left, *right = n->right;
    vector *a = NULL, *b = NULL;
    int64_t value = 0;
    if (right->kind == NODE_CONSTANT && constant_at_scale(right, left->scale, &value)) {
        a = emit(e, left);
        b = constant_i64(e, SL_TYPE_DECIMAL, left->scale, value);
    } else if (left->kind == NODE_CONSTANT &&
               constant_at_scale(left, right->scale, &value)) {
        a = constant_i64(e, SL_TYPE_DECIMAL, right->scale, value);
        b = emit(e, right);
    } else {
        a = emit(e, left);
        b = a == NULL ? NULL : emit(e, right);
    }
    if (a == NULL || b == NULL)
        return NULL;
    if (a->scale == b->scale)
        return compare(e, run_compare_i64, orders(n->op), a, b);
    uint8_t scale = a->scale > b->scale ? a->scale : b->scale;
    step *s = emit_two(e, run_compare_scaled, SL_TYPE_BOOL, 0, a, b);
    if (s == NULL)
        return NULL;
    s->accept = orders(n->op);
    s->unit_a = power_of_ten((unsigned)(scale - a->scale));
    s->unit_b = power_of_ten((unsigned)(scale - b->scale));
    return s->out;
}

// int64 beside double. `whole` is the int64 side, `accept` as seen from it.
static vector *compare_mixed(emitter *e, const node *whole, const node *real,
                             uint8_t accept) {
    if (whole->kind == NODE_CONSTANT && whole->value.i64 <= INT64_C(1) << 53 &&
        whole->value.i64 >= -(INT64_C(1) << 53))
        return compare(e, run_compare_f64, accept, as_double(e, whole), emit(e, real));
    double value = real->kind == NODE_CONSTANT ? real->value.f64 : (double)NAN;
    if (value >= -0x1p63 && value < 0x1p63 &&
        !(trunc(value) < value || trunc(value) > value))
        return compare(e, run_compare_i64, accept, emit(e, whole),
                       constant_i64(e, SL_TYPE_INT64, 0, (int64_t)value));
    const vector *a = emit(e, whole);
    return compare(e, run_compare_i64_f64, accept, a, emit(e, real));
}

static vector *emit_comparison(emitter *e, const node *n) {
    sl_type a = n->left->type, b = n->right->type;
    uint8_t accept = orders(n->op);
    kernel *run = run_compare_i64;
    if (a == SL_TYPE_INT64 && b == SL_TYPE_DOUBLE)
        return compare_mixed(e, n->left, n->right, accept);
    if (a == SL_TYPE_DOUBLE && b == SL_TYPE_INT64)
        return compare_mixed(e, n->right, n->left, mirrored(accept));
    if (a == SL_TYPE_DOUBLE || b == SL_TYPE_DOUBLE) {
        const vector *left = as_double(e, n->left);
        return compare(e, run_compare_f64, accept, left, as_double(e, n->right));
    }
    if (a == SL_TYPE_DECIMAL || b == SL_TYPE_DECIMAL)
        return compare_decimals(e, n);
    if (a == SL_TYPE_BOOL)
        run = run_compare_truth;
    else if (a == SL_TYPE_STRING)
        run = n->op == OP_EQUAL || n->op == OP_NOT_EQUAL ? run_equal_text
                                                         : run_compare_text;
    const vector *left = emit(e, n->left);
    return compare(e, run, accept, left, emit(e, n->right));
}

// ---- in
// --------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b) {
    int64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static int by_length_and_bytes(const void *a, const void *b) {
    text x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x.length != y.length)
        return x.length < y.length ? -1 : 1;
    return memcmp(x.bytes, y.bytes, x.length);
}

// An element that no value of the left side can equal is left out.
static bool element_as_i64(const node *left, const node *element, int64_t *out) {
    if (element->type != SL_TYPE_DOUBLE)
        return constant_at_scale(element, left->scale, out);
    double value = element->value.f64;
    if (!(value >= -0x1p63 && value < 0x1p63) || trunc(value) < value ||
        trunc(value) > value)
        return false;
    *out = (int64_t)value;
    return true;
}

static bool element_as_f64(const node *element, double *out) {
    *out = constant_as_double(element);
    // A whole number beyond 2^53 may be none that a double can have.
    return element->type != SL_TYPE_INT64 ||
           (*out < 0x1p63 && *out >= -0x1p63 && (int64_t)*out == element->value.i64);
}

static bool fill_set(emitter *e, const node *n, set *in) {
    uint32_t count = 0;
    for (const node *element = n->right->left; element != NULL; element = element->next)
        count++;
    in->i64 = get(e, count * sizeof *in->i64 + 1);
    in->f64 = get(e, count * sizeof *in->f64 + 1);
    in->text = get(e, count * sizeof *in->text + 1);
    if (in->i64 == NULL || in->f64 == NULL || in->text == NULL)
        return false;
    for (const node *element = n->right->left; element != NULL; element = element->next) {
        bool there = true;
        if (n->left->type == SL_TYPE_STRING)
            in->text[in->count] = element->value.text;
        else if (n->left->type == SL_TYPE_DOUBLE)
            there = element_as_f64(element, &in->f64[in->count]);
        else
            there = element_as_i64(n->left, element, &in->i64[in->count]);
        in->count += there;
    }
    if (n->left->type == SL_TYPE_STRING)
        qsort(in->text, in->count, sizeof *in->text, by_length_and_bytes);
    else if (n->left->type != SL_TYPE_DOUBLE)
        qsort(in->i64, in->count, sizeof *in->i64, by_value);
    return true;
}

static vector *emit_in(emitter *e, const node *n) {
    set *in = get(e, sizeof *in);
    if (in == NULL)
        return NULL;
    memset(in, 0, sizeof *in);
    if (!fill_set(e, n, in))
        return NULL;
    kernel *run = n->left->type == SL_TYPE_STRING   ? run_in_text
                  : n->left->type == SL_TYPE_DOUBLE ? run_in_f64
                                                    : run_in_i64;
    const vector *left = emit(e, n->left);
    step *s = left == NULL ? NULL : new_step(e, run, new_vector(e, SL_TYPE_BOOL, 0));
    if (s == NULL)
        return NULL;
    s->in[0] = left;
    s->set = in;
    return s->out;
}

// ---- The rest
// --------------------------------------------------------------------------------

static kernel *arithmetic(operation op, sl_type type, bool real) {
    static kernel *const i64[] = {run_add_i64, run_subtract_i64, run_multiply_i64,
                                  run_divide_i64, run_modulo_i64};
    static kernel *const f64[] = {run_add_f64, run_subtract_f64, run_multiply_f64,
                                  run_divide_f64, NULL};
    static kernel *const scaled[] = {run_add_scaled, run_subtract_scaled,
                                     run_multiply_scaled, NULL, run_modulo_scaled};
    if (type == SL_TYPE_DOUBLE && op == OP_DIVIDE && real)
        return run_divide_real;
    size_t index = (size_t)op - OP_ADD;
    return type == SL_TYPE_DOUBLE    ? f64[index]
           : type == SL_TYPE_DECIMAL ? scaled[index]
                                     : i64[index];
}

static vector *emit_arithmetic(emitter *e, const node *n) {
    if (n->type == SL_TYPE_STRING) {
        const vector *left = emit(e, n->left);
        return out_of(emit_two(e, run_concatenate, n->type, 0, left, emit(e, n->right)));
    }
    // Only a double divides as IEEE 754 says; exact numbers have no infinity.
    bool real = e->c->real_division ||
                (n->left->type != SL_TYPE_DOUBLE && n->right->type != SL_TYPE_DOUBLE);
    kernel *run = arithmetic(n->op, n->type, real);
    bool as_doubles = n->type == SL_TYPE_DOUBLE;
    const vector *a = as_doubles ? as_double(e, n->left) : emit(e, n->left);
    const vector *b = as_doubles ? as_double(e, n->right) : emit(e, n->right);
    step *s = emit_two(e, run, n->type, n->scale, a, b);
    if (s != NULL && n->type == SL_TYPE_DECIMAL && n->op != OP_MULTIPLY) {
        s->unit_a = power_of_ten((unsigned)(n->scale - n->left->scale));
        s->unit_b = power_of_ten((unsigned)(n->scale - n->right->scale));
    }
    return out_of(s);
}

static vector *emit_operation(emitter *e, const node *n) {
    if (n->op == OP_AND || n->op == OP_OR) {
        const vector *a = emit(e, n->left);
        const vector *b = a == NULL ? NULL : emit(e, n->right);
        return out_of(
            emit_two(e, n->op == OP_AND ? run_and : run_or, SL_TYPE_BOOL, 0, a, b));
    }
    if (n->op == OP_NOT)
        return emit_one(e, run_not, new_vector(e, SL_TYPE_BOOL, 0), emit(e, n->left), 1);
    if (n->op == OP_NEGATE)
        return emit_one(e, n->type == SL_TYPE_DOUBLE ? run_negate_f64 : run_negate_i64,
                        new_vector(e, n->type, n->scale), emit(e, n->left), 1);
    if (n->op == OP_IN)
        return emit_in(e, n);
    return n->op >= OP_ADD ? emit_arithmetic(e, n) : emit_comparison(e, n);
}

static vector *emit_condition(emitter *e, const node *n) {
    kernel *run = n->type == SL_TYPE_DOUBLE   ? run_condition_f64
                  : n->type == SL_TYPE_BOOL   ? run_condition_truth
                  : n->type == SL_TYPE_STRING ? run_condition_text
                                              : run_condition_i64;
    const vector *test = emit(e, n->left);
    const vector *yes = test == NULL ? NULL : as_type(e, n->right, n->type, n->scale);
    const vector *no = yes == NULL ? NULL : as_type(e, n->third, n->type, n->scale);
    step *s = no == NULL ? NULL : new_step(e, run, new_vector(e, n->type, n->scale));
    if (s == NULL)
        return NULL;
    s->in[0] = test;
    s->in[1] = yes;
    s->in[2] = no;
    return s->out;
}

static vector *emit_call(emitter *e, const node *n) {
    const vector *in[3] = {NULL};
    uint32_t count = 0;
    for (const node *a = n->left; a != NULL; a = a->next, count++) {
        in[count] = emit(e, a);
        if (in[count] == NULL)
            return NULL;
    }
    step *s = new_step(e, n->function->run, new_vector(e, n->type, n->scale));
    for (uint32_t i = 0; s != NULL && i < count; i++)
        s->in[i] = in[i];
    return out_of(s);
}

static vector *emit(emitter *e, const node *n) {
    switch (n->kind) {
    case NODE_CONSTANT:
        return emit_constant(e, n);
    case NODE_NAME:
        return emit_input(e, n, false, false);
    case NODE_HAS:
        return emit_input(e, n->left, true, n->negated);
    case NODE_OPERATION:
        return emit_operation(e, n);
    case NODE_CONDITION:
        return emit_condition(e, n);
    case NODE_CALL:
        return emit_call(e, n);
    case NODE_NULL:
    case NODE_LIST:
        break;
    }
    return NULL; // The checker lets neither through.
}

static bool list_fields(emitter *e) {
    program *p = e->out;
    p->fields = get(e, p->input_count * sizeof *p->fields + 1);
    if (p->fields == NULL)
        return false;
    for (uint32_t i = 0; i < p->input_count; i++) {
        size_t k = 0;
        while (k < p->field_count && p->fields[k] != p->inputs[i].column)
            k++;
        p->fields[k] = p->inputs[i].column;
        p->field_count += k == p->field_count;
    }
    return true;
}

sl_status compile(compiler *c, const node *root, program *out, sl_arena *made) {
    emitter e = {.c = c, .out = out, .made = made};
    *out = (program){0};
    out->result = emit(&e, root);
    if (e.vectors > VECTORS_MAX)
        return fault(c, SL_ELIMIT, 0, "the expression has too many parts");
    return out->result != NULL && list_fields(&e) ? SL_OK : out_of_memory(c);
}
