// Column steps. Each fills `out` for rows 0..rows from its operands; `valid` 0 stands for
// an error or a missing value and makes the result 0 too, except where && and || absorb
// it.
//
// Cells that are not valid are undefined: arithmetic runs over them all the same
// (branches cost more than sums), so it must be defined for every bit pattern.

#include "internal.h"

#include <math.h>

__extension__ typedef __int128 wide;

static void valid_of_one(const step *s, uint32_t rows) {
    memcpy(s->out->valid, s->in[0]->valid, rows);
}

static void valid_of_both(const step *s, uint32_t rows) {
    const uint8_t *a = s->in[0]->valid, *b = s->in[1]->valid;
    uint8_t *restrict valid = s->out->valid;
    for (uint32_t i = 0; i < rows; i++)
        valid[i] = a[i] & b[i];
}

static void fail_if(const step *s, uint32_t row, bool failed) {
    s->out->valid[row] = s->out->valid[row] && !failed;
}

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

static bool equal_texts(text a, text b) {
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
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

bool run_add_i64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        fail_if(s, i, __builtin_add_overflow(a[i], b[i], &s->out->values.i64[i]));
    return true;
}

bool run_subtract_i64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        fail_if(s, i, __builtin_sub_overflow(a[i], b[i], &s->out->values.i64[i]));
    return true;
}

bool run_multiply_i64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64, *b = s->in[1]->values.i64;
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        fail_if(s, i, __builtin_mul_overflow(a[i], b[i], &s->out->values.i64[i]));
    return true;
}

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

bool run_scaled_to_f64(const step *s, uint32_t rows) {
    double unit = (double)s->unit_a;
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

// ---- Texts
// -----------------------------------------------------------------------------------

bool run_concatenate(const step *s, uint32_t rows) {
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        text a = s->in[0]->values.text[i], b = s->in[1]->values.text[i];
        s->out->values.text[i] = (text){.bytes = a.bytes, .length = 0};
        if (!s->out->valid[i])
            continue;
        if (a.length > UINT32_MAX - b.length)
            return false;
        uint8_t *bytes = sl_arena_get(s->made, (size_t)a.length + b.length + 1);
        if (bytes == NULL)
            return false;
        memcpy(bytes, a.bytes, a.length);
        memcpy(bytes + a.length, b.bytes, b.length);
        s->out->values.text[i] = (text){.bytes = bytes, .length = a.length + b.length};
    }
    return true;
}

// Of a string, size is its number of code points.
bool run_size(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        text value = s->in[0]->values.text[i];
        int64_t size = 0;
        for (uint32_t k = 0; s->out->valid[i] && k < value.length; k++)
            size += (value.bytes[k] & 0xc0) != 0x80;
        s->out->values.i64[i] = size;
    }
    return true;
}

static bool starts_with(text a, text b) {
    return a.length >= b.length && memcmp(a.bytes, b.bytes, b.length) == 0;
}

static bool ends_with(text a, text b) {
    return a.length >= b.length &&
           memcmp(a.bytes + (a.length - b.length), b.bytes, b.length) == 0;
}

static bool contains(text a, text b) {
    if (b.length == 0)
        return true;
    while (a.length >= b.length) {
        const uint8_t *first = memchr(a.bytes, b.bytes[0], a.length - b.length + 1);
        if (first == NULL)
            return false;
        if (memcmp(first, b.bytes, b.length) == 0)
            return true;
        a.length -= (uint32_t)(first + 1 - a.bytes);
        a.bytes = first + 1;
    }
    return false;
}

#define TEXT_TEST(name)                                                                  \
    bool run_##name(const step *s, uint32_t rows) {                                      \
        const text *a = s->in[0]->values.text, *b = s->in[1]->values.text;               \
        valid_of_both(s, rows);                                                          \
        for (uint32_t i = 0; i < rows; i++)                                              \
            s->out->values.truth[i] = s->out->valid[i] && name(a[i], b[i]);              \
        return true;                                                                     \
    }
TEXT_TEST(starts_with)
TEXT_TEST(ends_with)
TEXT_TEST(contains)
