#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 uint128;

#define SIGNIFICANT 19u
#define EXPONENT_LIMIT INT64_C(1000000000000)
#define COPY_DIGITS 800u

/** 5^0 … 5^27: those below 2^63. */
static const uint64_t five[28] = {UINT64_C(1),
                                  UINT64_C(5),
                                  UINT64_C(25),
                                  UINT64_C(125),
                                  UINT64_C(625),
                                  UINT64_C(3125),
                                  UINT64_C(15625),
                                  UINT64_C(78125),
                                  UINT64_C(390625),
                                  UINT64_C(1953125),
                                  UINT64_C(9765625),
                                  UINT64_C(48828125),
                                  UINT64_C(244140625),
                                  UINT64_C(1220703125),
                                  UINT64_C(6103515625),
                                  UINT64_C(30517578125),
                                  UINT64_C(152587890625),
                                  UINT64_C(762939453125),
                                  UINT64_C(3814697265625),
                                  UINT64_C(19073486328125),
                                  UINT64_C(95367431640625),
                                  UINT64_C(476837158203125),
                                  UINT64_C(2384185791015625),
                                  UINT64_C(11920928955078125),
                                  UINT64_C(59604644775390625),
                                  UINT64_C(298023223876953125),
                                  UINT64_C(1490116119384765625),
                                  UINT64_C(7450580596923828125)};

static bool is_digit(uint8_t c) { return (unsigned)(c - '0') < 10; }

/** Digits collected so far; `point` counts those behind the point. */
typedef struct digits {
    uint64_t value;
    unsigned count;   /**< Significant digits in value, at most 19. */
    int64_t exponent; /**< Of the last digit in value. */
    int64_t lowest;
    bool many;
} digits;

/** `power`: of this digit. Leading zeros count for nothing. */
static void take_digit(digits *d, unsigned digit, int64_t power) {
    if (digit != 0)
        d->lowest = power;
    if (d->count < SIGNIFICANT) {
        if (d->count == 0 && digit == 0)
            return;
        d->value = d->value * 10 + digit;
        d->count++;
        d->exponent = power;
    } else if (digit != 0) {
        d->many = true;
    }
}

static const uint8_t *scan_exponent(const uint8_t *p, const uint8_t *end,
                                    int64_t *exponent, const uint8_t **at) {
    bool negative = false;
    if (p < end && (*p == '+' || *p == '-'))
        negative = *p++ == '-';
    if (p == end || !is_digit(*p)) {
        *at = p;
        return NULL;
    }
    int64_t value = 0;
    for (; p < end && is_digit(*p); p++)
        if (value < EXPONENT_LIMIT)
            value = value * 10 + (*p - '0');
    *exponent = negative ? -value : value;
    return p;
}

const uint8_t *sl_number_scan(const uint8_t *p, const uint8_t *end, json_number *out,
                              const uint8_t **at) {
    out->begin = p;
    out->negative = p < end && *p == '-';
    p += out->negative;
    const uint8_t *first = p;
    while (p < end && is_digit(*p))
        p++;
    // RFC 8259 section 6: at least one digit, no leading zero.
    if (p == first || (*first == '0' && p - first > 1)) {
        *at = p == first ? p : first + 1;
        return NULL;
    }
    digits d = {0};
    for (const uint8_t *q = first; q < p; q++)
        take_digit(&d, (unsigned)(*q - '0'), p - q - 1);
    out->plain = true;
    if (p < end && *p == '.') {
        const uint8_t *point = p++;
        out->plain = false;
        for (; p < end && is_digit(*p); p++)
            take_digit(&d, (unsigned)(*p - '0'), point - p);
        if (p == point + 1) {
            *at = p;
            return NULL;
        }
    }
    int64_t exponent = 0;
    if (p < end && (*p | 0x20) == 'e') {
        out->plain = false;
        p = scan_exponent(p + 1, end, &exponent, at);
        if (p == NULL)
            return NULL;
    }
    out->digits = d.value;
    out->exponent = d.value == 0 ? 0 : d.exponent + exponent;
    out->lowest = d.value == 0 ? 0 : d.lowest + exponent;
    out->many = d.many;
    out->end = p;
    return p;
}

/** digits × 10^exponent for 0 ≤ exponent ≤ 27: the product is exact, its conversion
 * rounds once. */
static double product(uint64_t value, unsigned exponent) {
    return ldexp((double)((uint128)value * five[exponent]), (int)exponent);
}

/**
 * digits / 10^exponent for 1 ≤ exponent ≤ 27. Both sides are moved up to 64 bits, so that
 * the quotient has 63 or 64 bits: more than the 53 that stay and one to round by. The
 * remainder is kept as the lowest bit, which only tells "exactly half" from "a little
 * more".
 */
static double quotient(uint64_t value, unsigned exponent) {
    int up = __builtin_clzll(value), over = __builtin_clzll(five[exponent]);
    uint64_t divisor = five[exponent] << over;
    uint128 dividend = (uint128)(value << up) << 63;
    uint64_t q = (uint64_t)(dividend / divisor);
    if (dividend % divisor != 0)
        q |= 1;
    return ldexp((double)q, over - up - 63 - (int)exponent);
}

/** strtod() on "ddddde±x": correctly rounded, no point, no locale. */
static double copy_convert(const json_number *number) {
    char text[COPY_DIGITS + 32];
    size_t length = 0;
    int64_t power = 0; // Of the last copied digit, before the text's own exponent.
    bool behind = false, dropped = false;
    const uint8_t *p = number->begin + number->negative;
    for (; p < number->end && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            behind = true;
            continue;
        }
        if (length == COPY_DIGITS) {
            dropped = dropped || *p != '0';
            power += !behind;
            continue;
        }
        if (length != 0 || *p != '0')
            text[length++] = (char)*p;
        power -= behind;
    }
    int64_t exponent = 0;
    const uint8_t *at;
    if (p < number->end)
        (void)scan_exponent(p + 1, number->end, &exponent, &at);
    if (dropped) {
        text[length++] = '1';
        power--;
    }
    exponent += power;
    if (exponent > 99999)
        exponent = 99999;
    if (exponent < -99999)
        exponent = -99999;
    text[length++] = 'e';
    text[length++] = exponent < 0 ? '-' : '+';
    uint64_t left = (uint64_t)(exponent < 0 ? -exponent : exponent);
    for (unsigned i = 5; i-- > 0;)
        text[length++] = (char)('0' + left / sl_power_of_ten[i] % 10);
    text[length] = 0;
    return strtod(text, NULL);
}

bool sl_number_double(const json_number *number, double *out) {
    double value;
    if (number->digits == 0)
        value = 0;
    else if (number->many || number->exponent > 27 || number->exponent < -27)
        value = copy_convert(number);
    else if (number->exponent >= 0)
        value = product(number->digits, (unsigned)number->exponent);
    else
        value = quotient(number->digits, (unsigned)-number->exponent);
    *out = number->negative ? -value : value;
    return value <= 1.7976931348623157e308;
}

bool sl_number_survives(const json_number *number, double value) {
    char text[400]; // The largest double has 309 digits.
    const uint8_t *first = number->begin + number->negative;
    const size_t length = (size_t)(number->end - first);
    int written = snprintf(text, sizeof text, "%.0f", fabs(value));
    if (written > 0 && (size_t)written == length && memcmp(text, first, length) == 0)
        return true;
    if (number->many || number->digits == 0)
        return false;
    uint64_t wanted = number->digits, printed = 0;
    while (wanted % 10 == 0)
        wanted /= 10;
    int count = 1;
    while (count < 18 && sl_power_of_ten[count] <= wanted)
        count++;
    if (count > 17)
        return false;
    (void)snprintf(text, sizeof text, "%.*e", count - 1, fabs(value));
    for (const char *p = text; *p != 'e'; p++)
        if (is_digit((uint8_t)*p))
            printed = printed * 10 + (uint64_t)(*p - '0');
    return printed == wanted;
}

/** digits × 10^shift; false when it isn't exact or doesn't fit 64 bits. */
static bool scaled(const json_number *number, int64_t shift, uint64_t *out) {
    if (number->digits == 0) {
        *out = 0;
        return true;
    }
    if (number->many || shift > 19 || shift < -19)
        return false;
    if (shift < 0) {
        *out = number->digits / sl_power_of_ten[-shift];
        return number->digits % sl_power_of_ten[-shift] == 0;
    }
    return !__builtin_mul_overflow(number->digits, sl_power_of_ten[shift], out);
}

sl_code sl_number_int64(const json_number *number, int64_t *out) {
    if (number->lowest < 0)
        return SL_CODE_TYPE;
    uint64_t value;
    if (!scaled(number, number->exponent, &value))
        return SL_CODE_RANGE;
    if (number->negative) {
        if (value > (uint64_t)INT64_MAX + 1)
            return SL_CODE_RANGE;
        *out = (int64_t)(0 - value);
    } else {
        if (value > (uint64_t)INT64_MAX)
            return SL_CODE_RANGE;
        *out = (int64_t)value;
    }
    return SL_CODE_NONE;
}

sl_code sl_number_decimal(const json_number *number, unsigned precision, unsigned scale,
                          int64_t *out) {
    uint64_t value;
    if (number->lowest < -(int64_t)scale)
        return SL_CODE_RANGE;
    if (precision > 18 || !scaled(number, number->exponent + (int64_t)scale, &value) ||
        value >= sl_power_of_ten[precision])
        return SL_CODE_RANGE;
    *out = number->negative ? -(int64_t)value : (int64_t)value;
    return SL_CODE_NONE;
}
