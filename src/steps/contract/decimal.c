// Decimal numbers of any length, compared and divided without rounding.

#include "tree.h"

__extension__ typedef unsigned __int128 uint128;

#define LEAD_DIGITS 19u
#define EXPONENT_LIMIT INT64_C(100000000000000000)

static bool is_digit(uint8_t c) { return (unsigned)(c - '0') < 10; }

/** What the digits before and behind the point have brought so far. */
typedef struct collected {
    uint64_t lead;
    unsigned count;      // Digits in lead.
    int64_t first, last; // Powers of the first and last digits that aren't 0.
    bool many, some;
} collected;

static void take(collected *c, unsigned digit, int64_t at) {
    if (digit != 0) {
        if (!c->some)
            c->first = at;
        c->some = true;
        c->last = at;
        c->many = c->many || c->count == LEAD_DIGITS;
    }
    if (c->some && c->count < LEAD_DIGITS) {
        c->lead = c->lead * 10 + digit;
        c->count++;
    }
}

static const uint8_t *read_exponent(const uint8_t *p, const uint8_t *end, int64_t *out) {
    bool negative = false;
    if (p < end && (*p == '+' || *p == '-'))
        negative = *p++ == '-';
    if (p == end || !is_digit(*p))
        return NULL;
    int64_t value = 0;
    for (; p < end && is_digit(*p); p++)
        if (value < EXPONENT_LIMIT)
            value = value * 10 + (*p - '0');
    *out = negative ? -value : value;
    return p;
}

const uint8_t *sl_decimal_read(const uint8_t *p, const uint8_t *end, json_decimal *out) {
    const uint8_t *begin = p;
    bool negative = p < end && *p == '-';
    p += negative;
    const uint8_t *first = p;
    while (p < end && is_digit(*p))
        p++;
    // At least one digit, no leading zero.
    if (p == first || (*first == '0' && p - first > 1))
        return NULL;
    collected c = {0};
    for (const uint8_t *q = first; q < p; q++)
        take(&c, (unsigned)(*q - '0'), p - q - 1);
    if (p < end && *p == '.') {
        const uint8_t *point = p++;
        for (; p < end && is_digit(*p); p++)
            take(&c, (unsigned)(*p - '0'), point - p);
        if (p == point + 1)
            return NULL;
    }
    int64_t exponent = 0;
    if (p < end && (*p | 0x20) == 'e') {
        p = read_exponent(p + 1, end, &exponent);
        if (p == NULL)
            return NULL;
    }
    *out = (json_decimal){.text = begin, .length = (uint32_t)(p - begin)};
    if (c.some) {
        out->lead = c.lead * sl_power_of_ten[LEAD_DIGITS - c.count];
        out->top = c.first + 1 + exponent;
        out->lowest = c.last + exponent;
        out->negative = negative;
        out->many = c.many;
    }
    return p;
}

/** The significant digits of a number one after another, zeros without end behind them.
 */
typedef struct digit_walk {
    const uint8_t *p, *end;
} digit_walk;

static digit_walk walk_from(const json_decimal *x) {
    digit_walk w = {.p = x->text, .end = x->text + x->length};
    while (w.p < w.end && (*w.p == '-' || *w.p == '0' || *w.p == '.'))
        w.p++;
    return w;
}

static unsigned walk_next(digit_walk *w) {
    if (w->p < w->end && *w->p == '.')
        w->p++;
    if (w->p >= w->end || !is_digit(*w->p)) {
        w->end = w->p; // The exponent's digits are none of these.
        return 0;
    }
    return (unsigned)(*w->p++ - '0');
}

static int compare_tails(const json_decimal *a, const json_decimal *b) {
    digit_walk x = walk_from(a), y = walk_from(b);
    int64_t count = a->top - (a->lowest < b->lowest ? a->lowest : b->lowest);
    for (int64_t i = 0; i < count; i++) {
        unsigned u = walk_next(&x), v = walk_next(&y);
        if (u != v)
            return u < v ? -1 : 1;
    }
    return 0;
}

static int compare_sizes(const json_decimal *a, const json_decimal *b) {
    if (a->lead == 0 || b->lead == 0)
        return (a->lead != 0) - (b->lead != 0);
    if (a->top != b->top)
        return a->top < b->top ? -1 : 1;
    if (a->lead != b->lead)
        return a->lead < b->lead ? -1 : 1;
    return a->many || b->many ? compare_tails(a, b) : 0;
}

int sl_decimal_compare(const json_decimal *a, const json_decimal *b) {
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? compare_sizes(b, a) : compare_sizes(a, b);
}

uint64_t sl_decimal_digits(const json_decimal *x) {
    return x->lead == 0 ? 0
                        : x->lead / sl_power_of_ten[(int64_t)LEAD_DIGITS - (x->top - x->lowest)];
}

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t modulus) {
    return (uint64_t)((uint128)a * b % modulus);
}

static uint64_t power_of_ten(int64_t exponent, uint64_t modulus) {
    uint64_t result = 1 % modulus, base = 10 % modulus;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            result = multiply(result, base, modulus);
        base = multiply(base, base, modulus);
    }
    return result;
}

// x = X·10^a and m = M·10^b, X and M without zeros at the end. x/m is an integer when M
// divides X·10^(a-b). With a < b it never is: X would have to be divisible by 10.
bool sl_decimal_multiple(const json_decimal *x, const json_decimal *m) {
    if (x->lead == 0)
        return true;
    int64_t shift = x->lowest - m->lowest;
    if (shift < 0)
        return false;
    uint64_t modulus = sl_decimal_digits(m), rest = 0;
    if (!x->many) {
        rest = sl_decimal_digits(x) % modulus;
    } else {
        digit_walk w = walk_from(x);
        for (int64_t count = x->top - x->lowest; count > 0; count--)
            rest = (uint64_t)(((uint128)rest * 10 + walk_next(&w)) % modulus);
    }
    return multiply(rest, power_of_ten(shift, modulus), modulus) == 0;
}
