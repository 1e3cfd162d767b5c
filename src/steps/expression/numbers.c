// Steps of the math functions and of conversions between numbers and texts.

#include "kernels.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_BYTES_MAX 400u /**< Longer texts are no number that anybody wrote. */

// ---- The same value under another type
// -------------------------------------------------------

#define SAME(member, cell)                                                               \
    bool run_same_##member(const step *s, uint32_t rows) {                               \
        memcpy(s->out->values.any, s->in[0]->values.any, rows * sizeof(cell));           \
        valid_of_one(s, rows);                                                           \
        return true;                                                                     \
    }
SAME(i64, int64_t)
SAME(f64, double)
SAME(truth, uint8_t)
SAME(text, text)

// ---- Between numbers
// -------------------------------------------------------------------------

// CEL's range is open: -2^63 as a double is out of it, too.
bool run_f64_to_i64(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        double value = s->in[0]->values.f64[i];
        bool good = value > -0x1p63 && value < 0x1p63;
        s->out->values.i64[i] = good ? (int64_t)value : 0;
        fail_if(s, i, !good);
    }
    return true;
}

bool run_f64_to_u64(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        double value = s->in[0]->values.f64[i];
        bool good = value >= 0 && value < 0x1p64;
        s->out->values.u64[i] = good ? (uint64_t)value : 0;
        fail_if(s, i, !good);
    }
    return true;
}

// Either way: the sign bit must not be set.
bool run_i64_to_u64(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        s->out->values.i64[i] = s->in[0]->values.i64[i];
        fail_if(s, i, s->in[0]->values.i64[i] < 0);
    }
    return true;
}

bool run_scaled_to_i64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.i64[i] = s->in[0]->values.i64[i] / s->unit_b;
    valid_of_one(s, rows);
    return true;
}

// ---- Texts to numbers
// ------------------------------------------------------------------------

// [+-]? digits, within 64 bits.
static bool read_digits(text t, bool *negative, uint64_t *out) {
    uint32_t at = 0;
    *negative = t.length != 0 && t.bytes[0] == '-';
    at += t.length != 0 && (t.bytes[0] == '-' || t.bytes[0] == '+');
    if (at == t.length)
        return false;
    uint64_t value = 0;
    for (; at < t.length; at++) {
        unsigned digit = (unsigned)t.bytes[at] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
    }
    *out = value;
    return true;
}

bool run_text_to_int(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        bool negative = false;
        uint64_t value = 0;
        bool good = read_digits(s->in[0]->values.text[i], &negative, &value) &&
                    value <= (uint64_t)INT64_MAX + negative;
        s->out->values.u64[i] = negative ? 0 - value : value;
        fail_if(s, i, !good);
    }
    return true;
}

bool run_text_to_uint(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        bool negative = false;
        text t = s->in[0]->values.text[i];
        bool good = read_digits(t, &negative, &s->out->values.u64[i]) && !negative &&
                    t.bytes[0] != '+';
        fail_if(s, i, !good);
    }
    return true;
}

static bool same_word(text t, uint32_t from, const char *word) {
    if (t.length - from != strlen(word))
        return false;
    for (uint32_t i = 0; from + i < t.length; i++)
        if ((t.bytes[from + i] | 32) != word[i])
            return false;
    return true;
}

static uint32_t skip_digits(text t, uint32_t at) {
    while (at < t.length && t.bytes[at] >= '0' && t.bytes[at] <= '9')
        at++;
    return at;
}

// [+-]? (digits [. digits?] | . digits) ([eE] [+-]? digits)?
static bool is_decimal_number(text t, uint32_t at) {
    uint32_t whole = skip_digits(t, at), digits = whole - at;
    at = whole;
    if (at < t.length && t.bytes[at] == '.') {
        uint32_t end = skip_digits(t, at + 1);
        digits += end - (at + 1);
        at = end;
    }
    if (digits == 0)
        return false;
    if (at < t.length && (t.bytes[at] | 32) == 'e') {
        at++;
        at += at < t.length && (t.bytes[at] == '+' || t.bytes[at] == '-');
        uint32_t end = skip_digits(t, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == t.length;
}

// Also NaN, Inf and Infinity in any case. strtod reads what was checked before, so that
// neither hexadecimal numbers nor a locale's come in.
static bool read_double(text t, double *out) {
    bool negative = t.length != 0 && t.bytes[0] == '-';
    uint32_t at = t.length != 0 && (negative || t.bytes[0] == '+');
    if (same_word(t, at, "inf") || same_word(t, at, "infinity")) {
        *out = negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (same_word(t, 0, "nan")) {
        *out = (double)NAN;
        return true;
    }
    char digits[NUMBER_BYTES_MAX + 1];
    if (t.length > NUMBER_BYTES_MAX || !is_decimal_number(t, at))
        return false;
    memcpy(digits, t.bytes, t.length);
    digits[t.length] = 0;
    *out = strtod(digits, NULL);
    return isfinite(*out);
}

bool run_text_to_double(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i)
    fail_if(s, i, !read_double(s->in[0]->values.text[i], &s->out->values.f64[i]));
    return true;
}

bool run_text_to_bool(const step *s, uint32_t rows) {
    static const char *const words[2][5] = {{"0", "f", "false", "False", "FALSE"},
                                            {"1", "t", "true", "True", "TRUE"}};
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        bool found = false;
        for (uint32_t k = 0; k < 10 && !found; k++) {
            const char *word = words[k / 5][k % 5];
            found = equal_texts(t, text_of(word, strlen(word)));
            s->out->values.truth[i] = (uint8_t)(k / 5);
        }
        fail_if(s, i, !found);
    }
    return true;
}

// ---- Numbers to texts
// ------------------------------------------------------------------------

static bool keep_printed(const step *s, uint32_t row, const char *digits, int length) {
    return keep_copy(s, digits, (size_t)length, &s->out->values.text[row]);
}

bool run_bool_to_text(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i)
    s->out->values.text[i] =
        (s->in[0]->values.truth[i] & 1) ? text_of("true", 4) : text_of("false", 5);
    return true;
}

bool run_int_to_text(const step *s, uint32_t rows) {
    char digits[32];
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int n = snprintf(digits, sizeof digits, "%" PRId64, s->in[0]->values.i64[i]);
        if (!keep_printed(s, i, digits, n))
            return false;
    }
    return true;
}

bool run_uint_to_text(const step *s, uint32_t rows) {
    char digits[32];
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int n = snprintf(digits, sizeof digits, "%" PRIu64, s->in[0]->values.u64[i]);
        if (!keep_printed(s, i, digits, n))
            return false;
    }
    return true;
}

// The shortest form that reads back as the same double, as in JSON.
static int print_double(double value, char *out, size_t size) {
    if (isnan(value))
        return snprintf(out, size, "NaN");
    if (isinf(value))
        return snprintf(out, size, value < 0 ? "-Infinity" : "Infinity");
    int length = 0;
    for (int digits = 15; digits <= 17; digits++) {
        length = snprintf(out, size, "%.*g", digits, value);
        double back = strtod(out, NULL);
        if (memcmp(&back, &value, sizeof value) == 0)
            break;
    }
    return length;
}

bool run_double_to_text(const step *s, uint32_t rows) {
    char digits[40];
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int n = print_double(s->in[0]->values.f64[i], digits, sizeof digits);
        if (!keep_printed(s, i, digits, n))
            return false;
    }
    return true;
}

bool run_decimal_to_text(const step *s, uint32_t rows) {
    char digits[48];
    uint64_t unit = (uint64_t)s->unit_b;
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t value = s->in[0]->values.i64[i];
        uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
        int n = snprintf(digits, sizeof digits, "%s%" PRIu64, value < 0 ? "-" : "",
                         size / unit);
        if (unit > 1)
            n += snprintf(digits + n, sizeof digits - (size_t)n, ".%0*" PRIu64,
                          (int)s->in[0]->scale, size % unit);
        if (!keep_printed(s, i, digits, n))
            return false;
    }
    return true;
}

// ---- Clauses of format(); unit_a says which
// -----------------------------------------------------

bool run_format_double(const step *s, uint32_t rows) {
    char digits[512]; // 309 digits, a point and at most 100 more.
    int precision = (int)(s->unit_a >> 8);
    bool exponent = (s->unit_a & 255) == 'e';
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        double value = s->in[0]->values.f64[i];
        int n = 0;
        if (!isfinite(value))
            n = print_double(value, digits, sizeof digits);
        else if (exponent)
            n = snprintf(digits, sizeof digits, "%.*e", precision, value);
        else
            n = snprintf(digits, sizeof digits, "%.*f", precision, value);
        if (!keep_printed(s, i, digits, n))
            return false;
    }
    return true;
}

// To base 2, 8, 16, or 16 with capitals where it is negative.
static bool keep_based(const step *s, uint32_t row, bool minus, uint64_t value) {
    const char *alphabet = s->unit_a < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
    uint64_t base = (uint64_t)(s->unit_a < 0 ? -s->unit_a : s->unit_a);
    char digits[66];
    size_t at = sizeof digits;
    do {
        digits[--at] = alphabet[value % base];
        value /= base;
    } while (value != 0);
    if (minus)
        digits[--at] = '-';
    return keep_copy(s, digits + at, sizeof digits - at, &s->out->values.text[row]);
}

bool run_format_int(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t value = s->in[0]->values.i64[i];
        uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
        if (!keep_based(s, i, value < 0, size))
            return false;
    }
    return true;
}

bool run_format_uint(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i)
    if (!keep_based(s, i, false, s->in[0]->values.u64[i]))
        return false;
    return true;
}

bool run_format_bool(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i)
    s->out->values.text[i] = text_of((s->in[0]->values.truth[i] & 1) ? "1" : "0", 1);
    return true;
}

bool run_format_bytes(const step *s, uint32_t rows) {
    const char *alphabet = s->unit_a < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint8_t *bytes = sl_arena_get(s->made, t.length * (size_t)2 + 1);
        if (bytes == NULL)
            return false;
        for (uint32_t k = 0; k < t.length; k++) {
            bytes[2 * (size_t)k] = (uint8_t)alphabet[t.bytes[k] >> 4];
            bytes[2 * (size_t)k + 1] = (uint8_t)alphabet[t.bytes[k] & 15];
        }
        s->out->values.text[i] = text_of(bytes, t.length * (size_t)2);
    }
    return true;
}

// RFC 3629: no overlong form, no surrogate, nothing beyond U+10FFFF.
static bool is_utf8(text t) {
    for (uint32_t i = 0; i < t.length;) {
        uint8_t first = t.bytes[i++];
        if (first < 0x80)
            continue;
        uint32_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || t.length - i < more)
            return false;
        uint8_t second = t.bytes[i];
        if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
            (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
            return false;
        for (; more > 0; more--)
            if (!continues_character(t.bytes[i++]))
                return false;
    }
    return true;
}

// A NUL is no text either: decoders refuse it.
bool run_bytes_to_text(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        s->out->values.text[i] = t;
        fail_if(s, i, !is_utf8(t) || memchr(t.bytes, 0, t.length) != NULL);
    }
    return true;
}

// ---- math.*
// ----------------------------------------------------------------------------------

bool run_round_f64(const step *s, uint32_t rows) {
    const double *a = s->in[0]->values.f64;
    double *out = s->out->values.f64;
    double (*change)(double) = s->unit_a == 'c'   ? ceil
                               : s->unit_a == 'f' ? floor
                               : s->unit_a == 'r' ? round
                                                  : trunc;
    for (uint32_t i = 0; i < rows; i++)
        out[i] = change(a[i]);
    valid_of_one(s, rows);
    return true;
}

// To a whole number that keeps the scale. round() takes halves away from zero.
static int64_t rounded(int64_t value, int64_t unit, int64_t how) {
    int64_t rest = value % unit, away = value < 0 ? -unit : unit;
    int64_t size = rest < 0 ? -rest : rest;
    bool up = how == 'c'   ? rest > 0
              : how == 'f' ? rest < 0
              : how == 'r' ? size >= unit - size && rest != 0
                           : false;
    return value - rest + (up ? away : 0);
}

bool run_round_scaled(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t value = rounded(s->in[0]->values.i64[i], s->unit_b, s->unit_a);
        s->out->values.i64[i] = value;
        fail_if(s, i, value <= -DECIMAL_LIMIT || value >= DECIMAL_LIMIT);
    }
    return true;
}

bool run_abs_i64(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        int64_t value = s->in[0]->values.i64[i];
        fail_if(s, i, value == INT64_MIN);
        s->out->values.i64[i] = value < 0 && value != INT64_MIN ? -value : value;
    }
    return true;
}

bool run_abs_f64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = fabs(s->in[0]->values.f64[i]);
    valid_of_one(s, rows);
    return true;
}

bool run_sign_i64(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64;
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.i64[i] = (a[i] > 0) - (a[i] < 0);
    valid_of_one(s, rows);
    return true;
}

bool run_sign_u64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.u64[i] = s->in[0]->values.u64[i] != 0;
    valid_of_one(s, rows);
    return true;
}

bool run_sign_f64(const step *s, uint32_t rows) {
    const double *a = s->in[0]->values.f64;
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = a[i] > 0 ? 1 : a[i] < 0 ? -1 : a[i];
    valid_of_one(s, rows);
    return true;
}

bool run_sign_scaled(const step *s, uint32_t rows) {
    const int64_t *a = s->in[0]->values.i64;
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        s->out->values.i64[i] = ((a[i] > 0) - (a[i] < 0)) * s->unit_b;
        fail_if(s, i, s->unit_b >= DECIMAL_LIMIT); // 1 has no room at 18 decimals.
    }
    return true;
}

bool run_class_f64(const step *s, uint32_t rows) {
    const double *a = s->in[0]->values.f64;
    for (uint32_t i = 0; i < rows; i++) {
        bool nan = isnan(a[i]), infinite = isinf(a[i]);
        s->out->values.truth[i] = s->unit_a == 'n'   ? nan
                                  : s->unit_a == 'i' ? infinite
                                                     : !nan && !infinite;
    }
    valid_of_one(s, rows);
    return true;
}

bool run_square_root(const step *s, uint32_t rows) {
    kernel *to_double = s->unit_a == 'i'   ? run_i64_to_f64
                        : s->unit_a == 'u' ? run_u64_to_f64
                        : s->unit_a == 'm' ? run_scaled_to_f64
                                           : run_same_f64;
    bool done = to_double(s, rows);
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = sqrt(s->out->values.f64[i]);
    return done;
}

bool run_bits(const step *s, uint32_t rows) {
    const uint64_t *a = s->in[0]->values.u64, *b = s->in[1]->values.u64;
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.u64[i] = s->unit_a == '&'   ? a[i] & b[i]
                                : s->unit_a == '|' ? a[i] | b[i]
                                                   : a[i] ^ b[i];
    valid_of_both(s, rows);
    return true;
}

bool run_bit_not(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.u64[i] = ~s->in[0]->values.u64[i];
    valid_of_one(s, rows);
    return true;
}

// Logical, also of int64: no sign comes in from the left.
bool run_shift(const step *s, uint32_t rows) {
    valid_of_both(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t value = s->in[0]->values.u64[i];
        int64_t by = s->in[1]->values.i64[i];
        uint64_t moved = 0;
        if (by >= 0 && by < 64)
            moved = s->unit_a == '<' ? value << by : value >> by;
        s->out->values.u64[i] = moved;
        fail_if(s, i, by < 0);
    }
    return true;
}
