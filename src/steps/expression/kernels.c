// Logic, comparisons and arithmetic: the steps of operators.

#include "kernels.h"

#include <math.h>

// ---- Logic (langdef.md, "Logical Operators")
// -------------------------------------------------

bool run_and(const step *s, uint32_t rows) {
    const uint8_t *va = s->in[0]->valid, *vb = s->in[1]->valid;
    const uint8_t *ta = s->in[0]->values.truth, *tb = s->in[1]->values.truth;
    uint8_t *restrict valid = s->out->valid, *restrict truth = s->out->values.truth;
    for (uint32_t i = 0; i < rows; i++) {
        // false && error is false, in either order.
        uint8_t no = (uint8_t)((va[i] & (ta[i] ^ 1)) | (vb[i] & (tb[i] ^ 1))) & 1;
        uint8_t known = (uint8_t)((va[i] & vb[i]) | no);
        valid[i] = known;
        truth[i] = known & (no ^ 1);
    }
    return true;
}

bool run_or(const step *s, uint32_t rows) {
    const uint8_t *va = s->in[0]->valid, *vb = s->in[1]->valid;
    const uint8_t *ta = s->in[0]->values.truth, *tb = s->in[1]->values.truth;
    uint8_t *restrict valid = s->out->valid, *restrict truth = s->out->values.truth;
    for (uint32_t i = 0; i < rows; i++) {
        // true || error is true, in either order.
        uint8_t yes = (uint8_t)((va[i] & ta[i]) | (vb[i] & tb[i])) & 1;
        valid[i] = (uint8_t)((va[i] & vb[i]) | yes);
        truth[i] = yes;
    }
    return true;
}

// What becomes of `in` a list that isn't constant: its elements' errors are not absorbed.
bool run_or_strict(const step *s, uint32_t rows) {
    const uint8_t *ta = s->in[0]->values.truth, *tb = s->in[1]->values.truth;
    uint8_t *restrict truth = s->out->values.truth;
    for (uint32_t i = 0; i < rows; i++)
        truth[i] = (ta[i] | tb[i]) & 1;
    valid_of_both(s, rows);
    return true;
}

bool run_not(const step *s, uint32_t rows) {
    const uint8_t *a = s->in[0]->values.truth;
    uint8_t *restrict truth = s->out->values.truth;
    for (uint32_t i = 0; i < rows; i++)
        truth[i] = (a[i] ^ 1) & 1;
    valid_of_one(s, rows);
    return true;
}

// c ? a : b takes the error of the side that is chosen only.
#define CONDITION(suffix, member)                                                        \
    bool run_condition_##suffix(const step *s, uint32_t rows) {                          \
        const vector *c = s->in[0], *a = s->in[1], *b = s->in[2];                        \
        vector *out = s->out;                                                            \
        for (uint32_t i = 0; i < rows; i++) {                                            \
            const vector *chosen = (c->values.truth[i] & 1) ? a : b;                     \
            out->valid[i] = c->valid[i] & chosen->valid[i];                              \
            out->values.member[i] = chosen->values.member[i];                            \
        }                                                                                \
        return true;                                                                     \
    }
CONDITION(i64, i64)
CONDITION(f64, f64)
CONDITION(truth, truth)
CONDITION(text, text)
CONDITION(list, list)

// ---- Comparisons
// -----------------------------------------------------------------------------

#define COMPARE_ALL(operator)                                                            \
    for (uint32_t i = 0; i < rows; i++)                                                  \
        truth[i] = a[i] operator b[i];                                                   \
    break
// `accept` holds the orders that are true; each set of them has a loop of its own. NaN
// has no order: C's operators say so too.
#define COMPARE(suffix, type, member)                                                    \
    bool run_compare_##suffix(const step *s, uint32_t rows) {                            \
        const type *a = s->in[0]->values.member, *b = s->in[1]->values.member;           \
        uint8_t *restrict truth = s->out->values.truth;                                  \
        switch (s->accept) {                                                             \
        case ORDER_EQUAL:                                                                \
            COMPARE_ALL(==);                                                             \
        case ORDER_LESS:                                                                 \
            COMPARE_ALL(<);                                                              \
        case ORDER_LESS | ORDER_EQUAL:                                                   \
            COMPARE_ALL(<=);                                                             \
        case ORDER_GREATER:                                                              \
            COMPARE_ALL(>);                                                              \
        case ORDER_GREATER | ORDER_EQUAL:                                                \
            COMPARE_ALL(>=);                                                             \
        default:                                                                         \
            COMPARE_ALL(!=);                                                             \
        }                                                                                \
        valid_of_both(s, rows);                                                          \
        return true;                                                                     \
    }
COMPARE(i64, int64_t, i64)
COMPARE(u64, uint64_t, u64)
COMPARE(f64, double, f64)
COMPARE(truth, uint8_t, truth)

static unsigned order_of(int difference) {
    return difference < 0 ? ORDER_LESS : difference > 0 ? ORDER_GREATER : ORDER_EQUAL;
}

static int compare_texts(text a, text b) {
    uint32_t shorter = a.length < b.length ? a.length : b.length;
    int difference = memcmp(a.bytes, b.bytes, shorter);
    return difference != 0 ? difference : (a.length > b.length) - (a.length < b.length);
}

bool run_compare_text(const step *s, uint32_t rows) {
    const text *a = s->in[0]->values.text, *b = s->in[1]->values.text;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.truth[i] =
            s->out->valid[i] && (order_of(compare_texts(a[i], b[i])) & s->accept);
    return true;
}

// == and != need no order, and most texts differ in length already.
bool run_equal_text(const step *s, uint32_t rows) {
    const text *a = s->in[0]->values.text, *b = s->in[1]->values.text;
    bool wanted = s->accept == ORDER_EQUAL;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.truth[i] = s->out->valid[i] && equal_texts(a[i], b[i]) == wanted;
    return true;
}

// Exact: 10^18 × 2^63 fits in 127 bits.
bool run_compare_scaled(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    for (uint32_t i = 0; i < rows; i++) {
        wide x = (wide)a[i] * s->unit_a, y = (wide)b[i] * s->unit_b;
        s->out->values.truth[i] = (order_of((x > y) - (x < y)) & s->accept) != 0;
    }
    valid_of_both(s, rows);
    return true;
}

// Exact, as on one number line: the double's whole part is compared first, then its
// fraction.
static unsigned order_i64_f64(int64_t a, double b) {
    if (isnan(b))
        return ORDER_NONE;
    if (b >= 0x1p63)
        return ORDER_LESS;
    if (b < -0x1p63)
        return ORDER_GREATER;
    double whole = trunc(b);
    int64_t w = (int64_t)whole;
    if (a != w)
        return a < w ? ORDER_LESS : ORDER_GREATER;
    return order_of((b < whole) - (b > whole));
}

bool run_compare_i64_f64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64;
    const double *b = s->in[1]->values.f64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.truth[i] =
            s->out->valid[i] && (order_i64_f64(a[i], b[i]) & s->accept) != 0;
    return true;
}

static unsigned order_u64_f64(uint64_t a, double b) {
    if (isnan(b))
        return ORDER_NONE;
    if (b >= 0x1p64)
        return ORDER_LESS;
    if (b < 0)
        return ORDER_GREATER;
    double whole = trunc(b);
    uint64_t w = (uint64_t)whole;
    if (a != w)
        return a < w ? ORDER_LESS : ORDER_GREATER;
    return order_of(-(b > whole));
}

bool run_compare_u64_f64(const step *s, uint32_t rows) {
    const uint64_t *a = s->in[0]->values.u64;
    const double *b = s->in[1]->values.f64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.truth[i] =
            s->out->valid[i] && (order_u64_f64(a[i], b[i]) & s->accept) != 0;
    return true;
}

bool run_compare_i64_u64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64;
    const uint64_t *b = s->in[1]->values.u64;
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t x = (uint64_t)a[i];
        unsigned order = a[i] < 0 ? ORDER_LESS : order_of((x > b[i]) - (x < b[i]));
        s->out->values.truth[i] = (order & s->accept) != 0;
    }
    valid_of_both(s, rows);
    return true;
}

// ---- in
// --------------------------------------------------------------------------------------

static bool holds_i64(const set *in, int64_t value) {
    uint32_t low = 0, high = in->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (in->i64[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < in->count && in->i64[low] == value;
}

bool run_in_i64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.truth[i] = holds_i64(s->set, s->in[0]->values.i64[i]);
    valid_of_one(s, rows);
    return true;
}

bool run_in_f64(const step *s, uint32_t rows) {
    const set *in = s->set;
    for (uint32_t i = 0; i < rows; i++) {
        double value = s->in[0]->values.f64[i];
        bool found = false;
        for (uint32_t k = 0; k < in->count && !found; k++)
            found = !(value < in->f64[k] || value > in->f64[k] || isnan(value));
        s->out->values.truth[i] = found;
    }
    valid_of_one(s, rows);
    return true;
}

static int compare_in_set(text a, text b) {
    if (a.length != b.length)
        return a.length < b.length ? -1 : 1;
    return memcmp(a.bytes, b.bytes, a.length);
}

static bool holds_text(const set *in, text value) {
    uint32_t low = 0, high = in->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int difference = compare_in_set(in->text[middle], value);
        if (difference == 0)
            return true;
        if (difference < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool run_in_text(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.truth[i] =
            s->out->valid[i] && holds_text(s->set, s->in[0]->values.text[i]);
    return true;
}

// ---- Whole numbers: overflow is an error (langdef.md, "Overflow")
// ----------------------------

#define CHECKED(name, type, member, builtin)                                             \
    bool run_##name##_##member(const step *s, uint32_t rows) {                           \
        const type *a = s->in[0]->values.member, *b = s->in[1]->values.member;           \
        valid_of_both(s, rows);                                                          \
        for (uint32_t i = 0; i < rows; i++)                                              \
            fail_if(s, i, builtin(a[i], b[i], &s->out->values.member[i]));               \
        return true;                                                                     \
    }
CHECKED(add, int64_t, i64, __builtin_add_overflow)
CHECKED(subtract, int64_t, i64, __builtin_sub_overflow)
CHECKED(multiply, int64_t, i64, __builtin_mul_overflow)
CHECKED(add, uint64_t, u64, __builtin_add_overflow)
CHECKED(subtract, uint64_t, u64, __builtin_sub_overflow)
CHECKED(multiply, uint64_t, u64, __builtin_mul_overflow)

// Times and durations: a sum beyond the bounds is an error as overflow is.
#define BOUNDED(name, builtin)                                                           \
    bool run_##name##_bounded(const step *s, uint32_t rows) {                            \
        const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;              \
        int64_t *out = s->out->values.i64;                                               \
        valid_of_both(s, rows);                                                          \
        for (uint32_t i = 0; i < rows; i++) {                                            \
            bool over = builtin(a[i], b[i], &out[i]);                                    \
            fail_if(s, i, over || out[i] < s->unit_a || out[i] > s->unit_b);             \
        }                                                                                \
        return true;                                                                     \
    }
BOUNDED(add, __builtin_add_overflow)
BOUNDED(subtract, __builtin_sub_overflow)

#define UNSIGNED_DIVISION(name, operator)                                                \
    bool run_##name##_u64(const step *s, uint32_t rows) {                                \
        const uint64_t *a = s->in[0]->values.u64, *b = s->in[1]->values.u64;             \
        valid_of_both(s, rows);                                                          \
        for (uint32_t i = 0; i < rows; i++) {                                            \
            s->out->values.u64[i] = b[i] != 0 ? a[i] operator b[i] : 0;                  \
            fail_if(s, i, b[i] == 0);                                                    \
        }                                                                                \
        return true;                                                                     \
    }
UNSIGNED_DIVISION(divide, /)
UNSIGNED_DIVISION(modulo, %)

// The least int64 divided by -1 overflows; both that and a zero are errors.
static bool divides(int64_t a, int64_t b) {
    return b != 0 && !(b == -1 && a == INT64_MIN);
}

bool run_divide_i64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        bool good = divides(a[i], b[i]);
        s->out->values.i64[i] = good ? a[i] / b[i] : 0;
        fail_if(s, i, !good);
    }
    return true;
}

bool run_modulo_i64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        bool good = divides(a[i], b[i]);
        s->out->values.i64[i] = good ? a[i] % b[i] : 0;
        fail_if(s, i, !good);
    }
    return true;
}

bool run_negate_i64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64;
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        fail_if(s, i, __builtin_sub_overflow((int64_t)0, a[i], &s->out->values.i64[i]));
    return true;
}

// ---- Doubles: IEEE 754, infinities and NaN are values
// ----------------------------------------

#define ARITHMETIC(name, operator)                                                       \
    bool run_##name##_f64(const step *s, uint32_t rows) {                                \
        const double *a = s->in[0]->values.f64, *b = s->in[1]->values.f64;               \
        double *restrict out = s->out->values.f64;                                       \
        for (uint32_t i = 0; i < rows; i++)                                              \
            out[i] = a[i] operator b[i];                                                 \
        valid_of_both(s, rows);                                                          \
        return true;                                                                     \
    }
ARITHMETIC(add, +)
ARITHMETIC(subtract, -)
ARITHMETIC(multiply, *)

// Division by zero is defined (IEEE 754, Annex F of C), yet a sanitizer may object: say
// it out.
static double quotient(double a, double b) {
    if (b < 0 || b > 0 || isnan(b))
        return a / b;
    if (isnan(a) || !(a < 0 || a > 0))
        return (double)NAN;
    return signbit(a) == signbit(b) ? (double)INFINITY : -(double)INFINITY;
}

bool run_divide_f64(const step *s, uint32_t rows) {
    const double *a = s->in[0]->values.f64, *b = s->in[1]->values.f64;
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = quotient(a[i], b[i]);
    valid_of_both(s, rows);
    return true;
}

// Ratios of measures and quotients of decimals: nothing divided by nothing is no number.
bool run_divide_real(const step *s, uint32_t rows) {
    const double *a = s->in[0]->values.f64, *b = s->in[1]->values.f64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        bool good = b[i] < 0 || b[i] > 0;
        s->out->values.f64[i] = good ? a[i] / b[i] : 0;
        fail_if(s, i, !good);
    }
    return true;
}

bool run_negate_f64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = -s->in[0]->values.f64[i];
    valid_of_one(s, rows);
    return true;
}

// ---- Decimals: exact, an error beyond 18 digits
// ----------------------------------------------

static bool put_decimal(wide value, int64_t *out) {
    bool good = value > -DECIMAL_LIMIT && value < DECIMAL_LIMIT;
    *out = good ? (int64_t)value : 0;
    return good;
}

#define SCALED(name, operator)                                                           \
    bool run_##name##_scaled(const step *s, uint32_t rows) {                             \
        const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;              \
        valid_of_both(s, rows);                                                          \
        for (uint32_t i = 0; i < rows; i++) {                                            \
            wide result = (wide)a[i] * s->unit_a operator(wide) b[i] * s->unit_b;        \
            fail_if(s, i, !put_decimal(result, &s->out->values.i64[i]));                 \
        }                                                                                \
        return true;                                                                     \
    }
SCALED(add, +)
SCALED(subtract, -)

bool run_multiply_scaled(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        fail_if(s, i, !put_decimal((wide)a[i] * b[i], &s->out->values.i64[i]));
    return true;
}

bool run_modulo_scaled(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        wide x = (wide)a[i] * s->unit_a, y = (wide)b[i] * s->unit_b;
        wide rest = y != 0 ? x % y : 0;
        fail_if(s, i, !put_decimal(rest, &s->out->values.i64[i]) || y == 0);
    }
    return true;
}

// ---- Conversions
// -----------------------------------------------------------------------------

bool run_i64_to_f64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = (double)s->in[0]->values.i64[i];
    valid_of_one(s, rows);
    return true;
}

bool run_u64_to_f64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = (double)s->in[0]->values.u64[i];
    valid_of_one(s, rows);
    return true;
}

bool run_scaled_to_f64(const step *s, uint32_t rows) {
    double unit = (double)s->unit_b;
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = (double)s->in[0]->values.i64[i] / unit;
    valid_of_one(s, rows);
    return true;
}

bool run_rescale(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        wide value = (wide)s->in[0]->values.i64[i] * s->unit_a;
        fail_if(s, i, !put_decimal(value, &s->out->values.i64[i]));
    }
    return true;
}

// ---- math.greatest and math.least: `accept` says which order b must have to be taken
// -------------------

#define EXTREME(type, member)                                                            \
    bool run_extreme_##member(const step *s, uint32_t rows) {                            \
        const type *a = s->in[0]->values.member, *b = s->in[1]->values.member;           \
        type *restrict out = s->out->values.member;                                      \
        bool greatest = s->accept == ORDER_GREATER;                                      \
        for (uint32_t i = 0; i < rows; i++)                                              \
            out[i] = (greatest ? b[i] > a[i] : b[i] < a[i]) ? b[i] : a[i];               \
        valid_of_both(s, rows);                                                          \
        return true;                                                                     \
    }
EXTREME(int64_t, i64)
EXTREME(uint64_t, u64)
EXTREME(double, f64)
