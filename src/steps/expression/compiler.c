// The typed tree becomes steps in post-order, each with a vector of its own. Here
// conversions are made explicit: a step's operands have the types that its kernel reads.
//
// A step whose operands are all constant runs at once, and its vector stands as a
// constant; so `duration('1h') + duration('30m')` costs a row nothing. Such a step's
// error stays one of every row, as CEL says, except where it is a text that can't be
// converted, or the whole expression: those are refused.

#include "internal.h"

#include "sluice/time.h"

#include <math.h>
#include <stdlib.h>

typedef struct emitter {
    compiler *c;
    program *out;
    sl_arena *made;
    uint32_t vectors;
    sl_status status; // Of a fault that was found on the way; else memory is out.
} emitter;

// All of these give NULL (or false) when out of memory or vectors or at a fault, and
// compile() says so.
static vector *emit(emitter *e, node *n);

static void *get(emitter *e, size_t bytes) { return sl_arena_get(e->c->memory, bytes); }

static vector *new_vector(emitter *e, type t, uint8_t scale) {
    if (++e->vectors > VECTORS_MAX)
        return NULL;
    vector *v = get(e, sizeof *v);
    if (v == NULL)
        return NULL;
    *v = (vector){.type = t, .scale = scale};
    v->valid = get(e, CHUNK_ROWS);
    v->values.any = get(e, CHUNK_ROWS * cell_bytes(t));
    if (v->valid == NULL || v->values.any == NULL)
        return NULL;
    memset(v->valid, 0, CHUNK_ROWS);
    memset(v->values.any, 0, CHUNK_ROWS * cell_bytes(t));
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

// ---- Steps
// -----------------------------------------------------------------------------------

// All cells as the first.
static vector *fill(vector *v) {
    size_t cell = cell_bytes(v->type);
    uint8_t *cells = v->values.any;
    for (uint32_t i = 1; i < CHUNK_ROWS; i++)
        memcpy(cells + i * cell, cells, cell);
    memset(v->valid, v->valid[0], CHUNK_ROWS);
    v->constant = true;
    return v;
}

static bool all_constant(const step *s) {
    bool constant = true;
    for (uint32_t k = 0; k < ARGUMENTS_MAX; k++)
        constant = constant && (s->in[k] == NULL || s->in[k]->constant);
    for (uint32_t k = 0; k < s->many_count; k++)
        constant = constant && s->many[k]->constant;
    return constant;
}

static vector *run_now(emitter *e, step *s) {
    s->made = e->c->memory; // As long-lived as the constant.
    if (!s->run(s, 1))
        return NULL;
    return fill(s->out);
}

// The step's operands are s.in or s.many; `at` and `reason` are for explain().
static vector *add(emitter *e, step s, uint32_t at, const char *reason) {
    program *p = e->out;
    if (s.out == NULL || (s.in[0] == NULL && s.many == NULL))
        return NULL;
    s.out->at = at;
    s.out->reason = reason;
    for (uint32_t k = 0; k < ARGUMENTS_MAX; k++)
        s.out->from[k] = s.in[k];
    s.out->many = s.many;
    s.out->many_count = s.many_count;
    s.made = e->made;
    if (all_constant(&s))
        return run_now(e, &s);
    step *steps = grow(e, p->steps, sizeof *steps, p->step_count, &p->step_capacity);
    if (steps == NULL)
        return NULL;
    p->steps = steps;
    steps[p->step_count++] = s;
    return s.out;
}

static step step_of(kernel *run, vector *out, const vector *a, const vector *b) {
    return (step){.run = run, .out = out, .in = {a, b}, .unit_a = 1, .unit_b = 1};
}

static vector *add_one(emitter *e, kernel *run, vector *out, const vector *a, uint32_t at,
                       const char *reason) {
    return add(e, step_of(run, out, a, NULL), at, reason);
}

static vector *add_two(emitter *e, kernel *run, vector *out, const vector *a,
                       const vector *b, uint32_t at, const char *reason) {
    return b == NULL ? NULL : add(e, step_of(run, out, a, b), at, reason);
}

// ---- Constants and inputs
// --------------------------------------------------------------------

static vector *constant_i64(emitter *e, type t, uint8_t scale, int64_t value) {
    vector *v = new_vector(e, t, scale);
    if (v == NULL)
        return NULL;
    v->valid[0] = 1;
    v->values.i64[0] = value;
    return fill(v);
}

static vector *constant_f64(emitter *e, double value) {
    vector *v = new_vector(e, TYPE_DOUBLE, 0);
    if (v == NULL)
        return NULL;
    v->valid[0] = 1;
    v->values.f64[0] = value;
    return fill(v);
}

static vector *constant_truth(emitter *e, bool truth) {
    vector *v = new_vector(e, TYPE_BOOL, 0);
    if (v == NULL)
        return NULL;
    v->valid[0] = 1;
    v->values.truth[0] = truth;
    return fill(v);
}

static vector *emit_constant(emitter *e, const node *n) {
    if (n->type == TYPE_DOUBLE)
        return constant_f64(e, n->value.f64);
    if (n->type == TYPE_BOOL)
        return constant_truth(e, n->value.i64 != 0);
    if (!is_text(n->type))
        return constant_i64(e, n->type, n->scale, n->value.i64);
    vector *v = new_vector(e, n->type, 0);
    if (v == NULL)
        return NULL;
    v->valid[0] = 1;
    v->values.text[0] = n->value.text;
    return fill(v);
}

// An answer that is null on purpose.
static vector *emit_null(emitter *e, const node *n) {
    vector *v = new_vector(e, n->type, n->scale);
    return v == NULL ? NULL : fill(v);
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
    vector *v = new_vector(e, presence ? TYPE_BOOL : name->type, name->scale);
    if (inputs == NULL || v == NULL)
        return NULL;
    v->path = name->path;
    v->at = name->at;
    p->inputs = inputs;
    inputs[p->input_count++] = (input){.vector = v,
                                       .own_valid = v->valid,
                                       .own_values = v->values.any,
                                       .column = name->column,
                                       .input = name->input,
                                       .column_type = name->column_type,
                                       .presence = presence,
                                       .negated = negated};
    return v;
}

// ---- Conversions
// -----------------------------------------------------------------------------

static const char beyond[] = "the result is beyond 64 bits",
                  digits[] = "the decimal has more than 18 digits";

static double constant_as_double(const node *n) {
    if (n->type == TYPE_DOUBLE)
        return n->value.f64;
    if (n->type == TYPE_UINT)
        return (double)n->value.u64;
    return (double)n->value.i64 / (double)power_of_ten(n->scale);
}

static vector *to_double(emitter *e, vector *v, uint32_t at) {
    if (v == NULL || v->type == TYPE_DOUBLE)
        return v;
    kernel *run = v->type == TYPE_DECIMAL ? run_scaled_to_f64
                  : v->type == TYPE_UINT  ? run_u64_to_f64
                                          : run_i64_to_f64;
    step s = step_of(run, new_vector(e, TYPE_DOUBLE, 0), v, NULL);
    s.unit_b = power_of_ten(v->scale);
    return add(e, s, at, NULL);
}

static vector *as_double(emitter *e, node *n) {
    if (n->kind == NODE_CONSTANT)
        return constant_f64(e, constant_as_double(n));
    return to_double(e, emit(e, n), n->at);
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
static vector *as_scaled(emitter *e, node *n, uint8_t scale) {
    vector *v = emit(e, n);
    if (v == NULL || v->scale == scale)
        return v;
    step s = step_of(run_rescale, new_vector(e, TYPE_DECIMAL, scale), v, NULL);
    s.unit_a = power_of_ten((unsigned)(scale - v->scale));
    return add(e, s, n->at, digits);
}

static vector *as_type(emitter *e, node *n, type t, uint8_t scale) {
    if (n->kind == NODE_NULL)
        return emit_null(e, n);
    if (t == TYPE_DOUBLE)
        return as_double(e, n);
    return t == TYPE_DECIMAL ? as_scaled(e, n, scale) : emit(e, n);
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
    if (b == NULL)
        return NULL;
    step s = step_of(run, new_vector(e, TYPE_BOOL, 0), a, b);
    s.accept = accept;
    return add(e, s, 0, NULL);
}

// Decimals and whole numbers, exactly. A constant is brought to the other side's scale at
// once, so that the usual comparison is one of integers.
static vector *compare_decimals(emitter *e, node *left, node *right, uint8_t accept) {
    vector *a = NULL, *b = NULL;
    int64_t value = 0;
    if (right->kind == NODE_CONSTANT && constant_at_scale(right, left->scale, &value)) {
        a = emit(e, left);
        b = constant_i64(e, TYPE_DECIMAL, left->scale, value);
    } else if (left->kind == NODE_CONSTANT &&
               constant_at_scale(left, right->scale, &value)) {
        a = constant_i64(e, TYPE_DECIMAL, right->scale, value);
        b = emit(e, right);
    } else {
        a = emit(e, left);
        b = a == NULL ? NULL : emit(e, right);
    }
    if (a == NULL || b == NULL)
        return NULL;
    if (a->scale == b->scale)
        return compare(e, run_compare_i64, accept, a, b);
    uint8_t scale = a->scale > b->scale ? a->scale : b->scale;
    step s = step_of(run_compare_scaled, new_vector(e, TYPE_BOOL, 0), a, b);
    s.accept = accept;
    s.unit_a = power_of_ten((unsigned)(scale - a->scale));
    s.unit_b = power_of_ten((unsigned)(scale - b->scale));
    return add(e, s, 0, NULL);
}

// int64 beside double. `whole` is the int64 side, `accept` as seen from it.
static vector *compare_mixed(emitter *e, node *whole, node *real, uint8_t accept) {
    if (whole->kind == NODE_CONSTANT && whole->value.i64 <= INT64_C(1) << 53 &&
        whole->value.i64 >= -(INT64_C(1) << 53))
        return compare(e, run_compare_f64, accept, as_double(e, whole), emit(e, real));
    double value = real->kind == NODE_CONSTANT ? real->value.f64 : (double)NAN;
    if (value >= -0x1p63 && value < 0x1p63 &&
        !(trunc(value) < value || trunc(value) > value))
        return compare(e, run_compare_i64, accept, emit(e, whole),
                       constant_i64(e, TYPE_INT, 0, (int64_t)value));
    const vector *a = emit(e, whole);
    return compare(e, run_compare_i64_f64, accept, a, emit(e, real));
}

// Numbers of two types, the one with the smaller rank on the left.
static vector *compare_numbers(emitter *e, node *left, node *right, uint8_t accept) {
    type a = left->type, b = right->type;
    if (a == TYPE_DECIMAL || b == TYPE_DECIMAL) {
        if (a != TYPE_DOUBLE && b != TYPE_DOUBLE)
            return compare_decimals(e, left, right, accept);
    } else if (a == TYPE_INT && b == TYPE_DOUBLE) {
        return compare_mixed(e, left, right, accept);
    } else if (a > b) {
        return compare_numbers(e, right, left, mirrored(accept));
    } else {
        kernel *run = b == TYPE_UINT ? run_compare_i64_u64 : run_compare_u64_f64;
        const vector *x = emit(e, left);
        return compare(e, run, accept, x, emit(e, right));
    }
    const vector *x = as_double(e, left);
    return compare(e, run_compare_f64, accept, x, as_double(e, right));
}

static kernel *comparison_of(type t, bool equality) {
    if (t == TYPE_BOOL)
        return run_compare_truth;
    if (t == TYPE_DOUBLE)
        return run_compare_f64;
    if (t == TYPE_UINT)
        return run_compare_u64;
    if (t == TYPE_LIST)
        return run_list_equal;
    if (is_text(t))
        return equality ? run_equal_text : run_compare_text;
    return run_compare_i64;
}

static vector *emit_comparison(emitter *e, operation op, node *left, node *right) {
    bool equality = op == OP_EQUAL || op == OP_NOT_EQUAL;
    type t = left->type;
    if (t != right->type || t == TYPE_DECIMAL)
        return compare_numbers(e, left, right, orders(op));
    const vector *a = emit(e, left);
    return compare(e, comparison_of(t, equality), orders(op), a, emit(e, right));
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

static bool whole_number(double value, int64_t *out) {
    if (!(value >= -0x1p63 && value < 0x1p63) || trunc(value) < value ||
        trunc(value) > value)
        return false;
    *out = (int64_t)value;
    return true;
}

// An element that no value of the left side can equal is left out. uint64 keep their
// bits; beyond int64 they equal no int64, and the other way round.
static bool element_as_i64(const node *left, const node *element, int64_t *out) {
    type t = element->type;
    *out = element->value.i64;
    if (t == TYPE_DOUBLE && !whole_number(element->value.f64, out))
        return false;
    if (left->type == TYPE_UINT && t == TYPE_UINT)
        return true;
    if ((left->type == TYPE_UINT || t == TYPE_UINT) && *out < 0)
        return false;
    node whole = *element;
    whole.value.i64 = *out;
    return constant_at_scale(&whole, left->scale, out);
}

static bool element_as_f64(const node *element, double *out) {
    *out = constant_as_double(element);
    // A whole number beyond 2^53 may be none that a double can have.
    if (element->type == TYPE_INT)
        return *out < 0x1p63 && *out >= -0x1p63 && (int64_t)*out == element->value.i64;
    if (element->type == TYPE_UINT)
        return *out < 0x1p64 && (uint64_t)*out == element->value.u64;
    return true;
}

// The cell of a constant vector as a literal.
static node literal_of(const vector *v) {
    node n = {.kind = NODE_CONSTANT, .type = v->type, .scale = v->scale};
    if (is_text(v->type))
        n.value.text = v->values.text[0];
    else if (v->type == TYPE_DOUBLE)
        n.value.f64 = v->values.f64[0];
    else
        n.value.i64 = v->values.i64[0];
    return n;
}

static set *new_set(emitter *e, uint32_t count) {
    set *made = get(e, sizeof *made);
    if (made == NULL)
        return NULL;
    *made = (set){.i64 = get(e, count * sizeof *made->i64 + 1),
                  .f64 = get(e, count * sizeof *made->f64 + 1),
                  .text = get(e, count * sizeof *made->text + 1)};
    bool good = made->i64 != NULL && made->f64 != NULL && made->text != NULL;
    return good ? made : NULL;
}

static void put_element(set *in, const node *left, const node *element) {
    bool there = true;
    if (is_text(left->type))
        in->text[in->count] = element->value.text;
    else if (left->type == TYPE_DOUBLE)
        there = element_as_f64(element, &in->f64[in->count]);
    else
        there = element_as_i64(left, element, &in->i64[in->count]);
    in->count += there;
}

static vector *emit_in_set(emitter *e, node *left, set *in) {
    if (is_text(left->type))
        qsort(in->text, in->count, sizeof *in->text, by_length_and_bytes);
    else if (left->type != TYPE_DOUBLE)
        qsort(in->i64, in->count, sizeof *in->i64, by_value);
    kernel *run = is_text(left->type)         ? run_in_text
                  : left->type == TYPE_DOUBLE ? run_in_f64
                                              : run_in_i64;
    step s = step_of(run, new_vector(e, TYPE_BOOL, 0), emit(e, left), NULL);
    s.set = in;
    return add(e, s, 0, NULL);
}

// `found or left == element`, where an error of either is one of both.
static vector *or_equal(emitter *e, vector *found, node *left, node *element) {
    vector *equal = emit_comparison(e, OP_EQUAL, left, element);
    if (found == NULL || equal == NULL)
        return NULL;
    return add_two(e, run_or_strict, new_vector(e, TYPE_BOOL, 0), found, equal, 0, NULL);
}

// Constants go into a set; with the others == is or-ed.
static vector *emit_in_written(emitter *e, node *left, node *first) {
    set *in = new_set(e, count_nodes(first));
    bool pair = left->type == TYPE_BOOL || left->type == TYPE_LIST;
    for (node *n = first; in != NULL && n != NULL; n = n->next) {
        if (n->kind == NODE_CONSTANT) {
            if (!pair)
                put_element(in, left, n);
            continue;
        }
        const vector *v = emit(e, n);
        if (v == NULL)
            return NULL;
        node literal = literal_of(v);
        if (!pair && v->constant && v->valid[0])
            put_element(in, left, &literal);
    }
    vector *found = in == NULL ? NULL
                    : pair     ? constant_truth(e, false)
                               : emit_in_set(e, left, in);
    for (node *n = first; found != NULL && n != NULL; n = n->next)
        if (pair ||
            (n->kind != NODE_CONSTANT && !(n->made->constant && n->made->valid[0])))
            found = or_equal(e, found, left, n);
    return found;
}

static vector *emit_in(emitter *e, const node *n) {
    if (n->right->kind == NODE_LIST)
        return emit_in_written(e, n->left, n->right->left);
    const vector *value = emit(e, n->left), *in = emit(e, n->right);
    return in == NULL ? NULL
                      : add_two(e, run_list_holds, new_vector(e, TYPE_BOOL, 0), value, in,
                                n->at, NULL);
}

// ---- Arithmetic and logic
// --------------------------------------------------------------------

static kernel *arithmetic(operation op, type t, bool real) {
    static kernel *const i64[] = {run_add_i64, run_subtract_i64, run_multiply_i64,
                                  run_divide_i64, run_modulo_i64};
    static kernel *const u64[] = {run_add_u64, run_subtract_u64, run_multiply_u64,
                                  run_divide_u64, run_modulo_u64};
    static kernel *const f64[] = {run_add_f64, run_subtract_f64, run_multiply_f64,
                                  run_divide_f64, NULL};
    static kernel *const scaled[] = {run_add_scaled, run_subtract_scaled,
                                     run_multiply_scaled, NULL, run_modulo_scaled};
    if (t == TYPE_DOUBLE && op == OP_DIVIDE && real)
        return run_divide_real;
    size_t index = (size_t)op - OP_ADD;
    return t == TYPE_DOUBLE    ? f64[index]
           : t == TYPE_DECIMAL ? scaled[index]
           : t == TYPE_UINT    ? u64[index]
                               : i64[index];
}

static const char *arithmetic_reason(operation op, type t, bool real) {
    if (op == OP_DIVIDE || op == OP_MODULO)
        return t == TYPE_DOUBLE && !real ? NULL : "division by zero, or overflow";
    return t == TYPE_DOUBLE ? NULL : t == TYPE_DECIMAL ? digits : beyond;
}

static vector *emit_join(emitter *e, const node *n) {
    const vector *a = emit(e, n->left), *b = emit(e, n->right);
    vector *out = new_vector(e, n->type, n->scale);
    if (b == NULL || out == NULL)
        return NULL;
    out->element = n->element;
    kernel *run = n->type == TYPE_LIST ? run_list_concatenate : run_concatenate;
    return add_two(e, run, out, a, b, n->at, "the result would be larger than 16 MiB");
}

// Timestamps stay within the years 1 to 9999, durations within 292 years.
static vector *emit_time(emitter *e, const node *n) {
    bool moment = n->type == TYPE_TIMESTAMP;
    const vector *a = emit(e, n->left), *b = emit(e, n->right);
    step s = step_of(n->op == OP_ADD ? run_add_bounded : run_subtract_bounded,
                     new_vector(e, n->type, 0), a, b);
    s.unit_a = moment ? sl_date_days(1, 1, 1) * SL_DAY_US : -DURATION_LIMIT;
    s.unit_b = moment ? sl_date_days(10000, 1, 1) * SL_DAY_US - 1 : DURATION_LIMIT;
    return b == NULL ? NULL
                     : add(e, s, n->at,
                           moment ? "the time is outside of the years 1 to 9999"
                                  : "the duration is longer than 292 years");
}

static vector *emit_arithmetic(emitter *e, const node *n) {
    if (is_text(n->type) || n->type == TYPE_LIST)
        return emit_join(e, n);
    if (!is_number(n->type))
        return emit_time(e, n);
    // Only a double divides as IEEE 754 says; exact numbers have no infinity.
    bool real = e->c->real_division ||
                (n->left->type != TYPE_DOUBLE && n->right->type != TYPE_DOUBLE);
    bool as_doubles = n->type == TYPE_DOUBLE;
    const vector *a = as_doubles ? as_double(e, n->left) : emit(e, n->left);
    const vector *b = as_doubles ? as_double(e, n->right) : emit(e, n->right);
    if (b == NULL)
        return NULL;
    step s =
        step_of(arithmetic(n->op, n->type, real), new_vector(e, n->type, n->scale), a, b);
    if (n->type == TYPE_DECIMAL && n->op != OP_MULTIPLY) {
        s.unit_a = power_of_ten((unsigned)(n->scale - n->left->scale));
        s.unit_b = power_of_ten((unsigned)(n->scale - n->right->scale));
    }
    return add(e, s, n->at, arithmetic_reason(n->op, n->type, real));
}

static vector *emit_operation(emitter *e, const node *n) {
    vector *a, *b;
    switch (n->op) {
    case OP_AND:
    case OP_OR:
        a = emit(e, n->left);
        b = a == NULL ? NULL : emit(e, n->right);
        return add_two(e, n->op == OP_AND ? run_and : run_or, new_vector(e, TYPE_BOOL, 0),
                       a, b, n->at, NULL);
    case OP_NOT:
        return add_one(e, run_not, new_vector(e, TYPE_BOOL, 0), emit(e, n->left), n->at,
                       NULL);
    case OP_NEGATE:
        return add_one(e, n->type == TYPE_DOUBLE ? run_negate_f64 : run_negate_i64,
                       new_vector(e, n->type, n->scale), emit(e, n->left), n->at, beyond);
    case OP_IN:
        return emit_in(e, n);
    case OP_ADD:
    case OP_SUBTRACT:
    case OP_MULTIPLY:
    case OP_DIVIDE:
    case OP_MODULO:
        return emit_arithmetic(e, n);
    case OP_EQUAL:
    case OP_NOT_EQUAL:
    case OP_LESS:
    case OP_LESS_EQUAL:
    case OP_GREATER:
    case OP_GREATER_EQUAL:
        break;
    }
    return emit_comparison(e, n->op, n->left, n->right);
}

static kernel *condition_of(type t) {
    if (t == TYPE_DOUBLE)
        return run_condition_f64;
    if (t == TYPE_BOOL)
        return run_condition_truth;
    if (t == TYPE_LIST)
        return run_condition_list;
    return is_text(t) ? run_condition_text : run_condition_i64;
}

static vector *add_condition(emitter *e, const vector *test, const vector *yes,
                             const vector *no, vector *out) {
    if (yes == NULL || no == NULL || out == NULL)
        return NULL;
    step s = step_of(condition_of(out->type), out, test, yes);
    s.in[2] = no;
    out->chooses = true;
    return add(e, s, 0, NULL);
}

static vector *emit_condition(emitter *e, const node *n) {
    const vector *test = emit(e, n->left);
    const vector *yes = test == NULL ? NULL : as_type(e, n->right, n->type, n->scale);
    const vector *no = yes == NULL ? NULL : as_type(e, n->third, n->type, n->scale);
    vector *out = new_vector(e, n->type, n->scale);
    if (out != NULL)
        out->element = n->element;
    return test == NULL ? NULL : add_condition(e, test, yes, no, out);
}

// ---- Calls, lists, maps
// ----------------------------------------------------------------------

static const char *constant_text(emitter *e, const node *n, const vector *v, text *out) {
    if (v->constant && v->valid[0]) {
        *out = v->values.text[0];
        return NULL;
    }
    e->status = fault(e->c, SL_EUNSUPPORTED, n->at, "this has to be a constant");
    return "";
}

// Time zones and regular expressions are made when compiled.
static bool prepare(emitter *e, char letter, const node *n, const vector *v, step *s) {
    text words;
    if (constant_text(e, n, v, &words) != NULL)
        return false;
    if (letter == 'z') {
        e->status = zone_find(e->c, n->at, words, &s->zone);
    } else {
        e->status = pattern_create(e->c, n->at, words, &e->out->patterns);
        s->pattern = e->out->patterns;
    }
    return e->status == SL_OK;
}

static bool fails_at_once(emitter *e, const node *n, const vector *v) {
    const node *first = n->left;
    if (!(n->function->styles & AT_ONCE) || !v->constant || v->valid[0] ||
        first->kind != NODE_CONSTANT)
        return false;
    e->status = fault(e->c, SL_ETYPE, first->at, "%s", n->function->reason);
    return true;
}

static vector *emit_call(emitter *e, const node *n) {
    const function *f = n->function;
    vector *out = new_vector(e, n->type, n->scale);
    if (out == NULL)
        return NULL;
    out->element = n->element;
    step s = step_of(f->run, out, NULL, NULL);
    uint32_t count = 0;
    const char *letter = f->signature;
    for (node *a = n->left; a != NULL; a = a->next, letter++) {
        const vector *v = emit(e, a);
        if (v == NULL)
            return NULL;
        if (*letter != 'z' && *letter != 'r')
            s.in[count++] = v;
        else if (!prepare(e, *letter, a, v, &s))
            return NULL;
    }
    s.unit_a = f->parameter;
    s.unit_b = power_of_ten(s.in[0]->scale);
    vector *made = add(e, s, n->at, f->reason);
    return made == NULL || fails_at_once(e, n, made) ? NULL : made;
}

static vector *emit_list(emitter *e, const node *n) {
    uint32_t count = count_nodes(n->left), k = 0;
    vector *out = new_vector(e, TYPE_LIST, n->scale);
    const vector **many = get(e, count * sizeof *many + 1);
    if (out == NULL || many == NULL)
        return NULL;
    out->element = n->element;
    for (node *a = n->left; a != NULL; a = a->next, k++) {
        many[k] = as_type(e, a, n->element, n->scale);
        if (many[k] == NULL)
            return NULL;
    }
    return add(
        e, (step){.run = run_make_list, .out = out, .many = many, .many_count = count},
        n->at, NULL);
}

static vector *emit_index(emitter *e, const node *n) {
    const vector *in = emit(e, n->left);
    const vector *place = in == NULL ? NULL : emit(e, n->right);
    const char *reason = n->right->kind == NODE_FIND ? NULL : "the list is shorter";
    return add_two(e, run_list_index, new_vector(e, n->type, n->scale), in, place, n->at,
                   reason);
}

typedef struct key {
    int64_t i64;
    text text;
    uint32_t place;
} key;

static int by_key_value(const void *a, const void *b) {
    key x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x.i64 > y.i64) - (x.i64 < y.i64);
}

static int by_key_text(const void *a, const void *b) {
    key x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return by_length_and_bytes(&x.text, &y.text);
}

static set *sorted_keys(emitter *e, const node *first) {
    uint32_t count = count_nodes(first), k = 0;
    set *in = new_set(e, count);
    key *keys = get(e, count * sizeof *keys + 1);
    if (in == NULL || keys == NULL)
        return NULL;
    in->place = get(e, count * sizeof *in->place + 1);
    if (in->place == NULL)
        return NULL;
    bool words = first->type == TYPE_STRING;
    for (const node *n = first; n != NULL; n = n->next, k++) {
        keys[k] = (key){.place = k};
        if (words)
            keys[k].text = n->value.text;
        else
            keys[k].i64 = n->value.i64;
    }
    qsort(keys, count, sizeof *keys, words ? by_key_text : by_key_value);
    for (k = 0; k < count; k++) {
        in->text[k] = keys[k].text;
        in->i64[k] = keys[k].i64;
        in->place[k] = keys[k].place;
    }
    in->count = count;
    return in;
}

static vector *emit_find(emitter *e, const node *n) {
    set *keys = sorted_keys(e, n->right->left);
    step s = step_of(n->left->type == TYPE_STRING ? run_find_text : run_find_i64,
                     new_vector(e, TYPE_INT, 0), emit(e, n->left), NULL);
    s.set = keys;
    return keys == NULL ? NULL : add(e, s, n->at, "the map has no such key");
}

static vector *extreme_of_list(emitter *e, const node *n) {
    step s = step_of(run_list_extreme, new_vector(e, n->type, n->scale), emit(e, n->left),
                     NULL);
    s.accept = n->op == OP_GREATER ? ORDER_GREATER : ORDER_LESS;
    return add(e, s, n->at, "the list is empty");
}

static vector *emit_extreme(emitter *e, const node *n) {
    if (n->left->type == TYPE_LIST)
        return extreme_of_list(e, n);
    kernel *run = n->type == TYPE_DOUBLE ? run_extreme_f64
                  : n->type == TYPE_UINT ? run_extreme_u64
                                         : run_extreme_i64;
    vector *best = as_type(e, n->left, n->type, n->scale);
    for (node *a = n->left->next; best != NULL && a != NULL; a = a->next) {
        const vector *other = as_type(e, a, n->type, n->scale);
        if (other == NULL)
            return NULL;
        step s = step_of(run, new_vector(e, n->type, n->scale), best, other);
        s.accept = n->op == OP_GREATER ? ORDER_GREATER : ORDER_LESS;
        best = add(e, s, n->at, NULL);
    }
    return best;
}

static vector *emit_kind(emitter *e, node *n) {
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
    case NODE_EXTREME:
        return emit_extreme(e, n);
    case NODE_INDEX:
        return emit_index(e, n);
    case NODE_FIND:
        return emit_find(e, n);
    case NODE_LIST:
        return emit_list(e, n);
    case NODE_NULL:
    case NODE_MAP:
        break;
    }
    return NULL; // The checker lets neither through.
}

static vector *emit(emitter *e, node *n) {
    if (n->made == NULL)
        n->made = emit_kind(e, n);
    return n->made;
}

// ---- Errors
// ----------------------------------------------------------------------------------

// Among the operands the one whose error the result has. An error that && or || absorbed
// isn't met, since the walk begins at the result and goes on to what is not valid.
static const vector *culprit(const vector *v, uint32_t row) {
    if (v->chooses) {
        const vector *test = v->from[0];
        if (!test->valid[row])
            return test;
        return (test->values.truth[row] & 1) ? v->from[1] : v->from[2];
    }
    for (uint32_t k = 0; k < ARGUMENTS_MAX && v->from[k] != NULL; k++)
        if (!v->from[k]->valid[row])
            return v->from[k];
    for (uint32_t k = 0; k < v->many_count; k++)
        if (!v->many[k]->valid[row])
            return v->many[k];
    return NULL;
}

const vector *origin_of_error(const vector *v, uint32_t row) {
    for (const vector *next = v; next != NULL; next = culprit(v, row))
        v = next;
    return v;
}

// ---- The whole
// -------------------------------------------------------------------------------

static bool has_null(const node *n) {
    return n->kind == NODE_NULL ||
           (n->kind == NODE_CONDITION && (has_null(n->right) || has_null(n->third)));
}

// Where null is the answer that was meant.
static vector *emit_absent(emitter *e, const node *n) {
    if (n->kind != NODE_CONDITION)
        return constant_truth(e, n->kind == NODE_NULL);
    const vector *yes = emit_absent(e, n->right);
    const vector *no = yes == NULL ? NULL : emit_absent(e, n->third);
    return add_condition(e, n->left->made, yes, no, new_vector(e, TYPE_BOOL, 0));
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

static bool emit_whole(emitter *e, node *root) {
    program *p = e->out;
    p->result = emit(e, root);
    if (p->result != NULL && root->type == TYPE_UINT) // No column has uint64.
        p->result = add_one(e, run_i64_to_u64, new_vector(e, TYPE_INT, 0), p->result,
                            root->at, "the number is beyond int64");
    if (p->result != NULL && has_null(root)) {
        p->absent = emit_absent(e, root);
        return p->absent != NULL;
    }
    return p->result != NULL;
}

sl_status compile(compiler *c, node *root, program *out, sl_arena *made) {
    emitter e = {.c = c, .out = out, .made = made, .status = SL_OK};
    *out = (program){0};
    bool good = emit_whole(&e, root) && list_fields(&e);
    if (e.status != SL_OK)
        return e.status;
    if (e.vectors > VECTORS_MAX)
        return fault(c, SL_ELIMIT, 0, "the expression has too many parts");
    if (!good)
        return out_of_memory(c);
    const vector *result = out->result;
    if (!result->constant || result->valid[0] || out->absent != NULL)
        return SL_OK;
    result = origin_of_error(result, 0);
    return fault(c, SL_ETYPE, result->at, "this fails on every event: %s",
                 result->reason == NULL ? "it has no value" : result->reason);
}
