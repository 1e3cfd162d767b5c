/** @file number.h
 * JSON numbers (RFC 8259 section 6) to exact values.
 *
 * A number is read once into its first 19 significant digits and a power of ten. That is
 * exact for nearly all numbers; `many` says when it isn't, and `lowest` is the power of
 * ten of the last digit that is not 0, so "is it an integer" and "does it fit the scale"
 * are always exact.
 *
 * Doubles  w × 10^e with w < 2^53 and |e| ≤ 22: one exact division or product (Clinger
 * 1990). |e| ≤ 27: exact in 128 bits, with the remainder as sticky bit. All others:
 * strtod() on a bounded copy without a decimal point, so that no locale matters; 800
 * digits and a sticky digit are more than the 767 that can decide (every double's
 * midpoint ends before).
 */
#pragma once

#include "decoder.h"

#include "sluice/power.h"
#include "sluice/time.h"

#include <string.h>

typedef struct json_number {
    uint64_t digits;  /**< The first 19 significant digits. */
    int64_t exponent; /**< Value = digits × 10^exponent, when not `many`. */
    int64_t lowest;   /**< Power of ten of the last digit that isn't 0; 0 for zero. */
    const uint8_t *begin, *end;
    bool negative;
    bool plain; /**< Without '.' and exponent. */
    bool many;  /**< Digits beyond the 19th are not all 0. */
} json_number;

/** Any number. @return behind it; NULL: no number, *at where it breaks. */
const uint8_t *sl_number_scan(const uint8_t *p, const uint8_t *end, json_number *out,
                              const uint8_t **at);
/** The nearest double. @return false: beyond the largest. */
bool sl_number_double(const json_number *number, double *out);
/**
 * Can an integer without point and exponent be had back from the double that it was read as? So it can when the
 * double is equal, and when up to 17 digits of it, then zeros, are what programs with doubles alone print.
 */
bool sl_number_survives(const json_number *number, double value);
/** @return SL_CODE_NONE, SL_CODE_TYPE (no integer), SL_CODE_RANGE. */
sl_code sl_number_int64(const json_number *number, int64_t *out);
/** As int64 × 10^-scale. @return SL_CODE_NONE, SL_CODE_RANGE. */
sl_code sl_number_decimal(const json_number *number, unsigned precision, unsigned scale,
                          int64_t *out);

/** How many of the eight characters, first one in the low byte, are digits from the first
 * on? */
static inline unsigned digit_run(uint64_t text) {
    uint64_t x = text ^ UINT64_C(0x3030303030303030);
    uint64_t other =
        ((x + UINT64_C(0x7676767676767676)) | x) & UINT64_C(0x8080808080808080);
    return other == 0 ? 8 : (unsigned)__builtin_ctzll(other) >> 3;
}
/** Value of the first `count` (1 to 8) of eight digits. Pairs, then fours, then all at
 * once. */
static inline uint64_t digit_value(uint64_t text, unsigned count) {
    uint64_t x = (text ^ UINT64_C(0x3030303030303030)) << (64 - 8 * count);
    x = (x * 10) + (x >> 8);
    return (((x & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064)) +
            (((x >> 16) & UINT64_C(0x000000FF000000FF)) *
             UINT64_C(0x0000271000000001))) >>
           32;
}
static inline uint64_t load64(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

#define NUMBER_ROOM 40 /**< Bytes that the quick reader may look at. */

/**
 * The quick reader: up to 15 digits before and after the point, 19 together, no exponent.
 * @return NULL when it is none of these: ask sl_number_scan().
 */
static inline const uint8_t *number_scan(const uint8_t *p, const uint8_t *end,
                                         json_number *out) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (UNLIKELY(end - p < NUMBER_ROOM))
        return NULL;
    out->begin = p;
    out->negative = *p == '-';
    p += out->negative;
    const uint8_t *first = p;
    uint64_t text = load64(p);
    unsigned count = digit_run(text);
    if (UNLIKELY(count == 0))
        return NULL;
    uint64_t value = digit_value(text, count);
    p += count;
    if (count == 8) {
        text = load64(p);
        unsigned more = digit_run(text);
        if (more == 8)
            return NULL;
        if (more != 0)
            value = value * sl_power_of_ten[more] + digit_value(text, more);
        p += more;
        count += more;
    }
    if (UNLIKELY(*first == '0' && count > 1))
        return NULL;
    out->plain = true;
    out->exponent = 0;
    if (*p == '.') {
        text = load64(++p);
        unsigned after = digit_run(text);
        if (UNLIKELY(after == 0))
            return NULL;
        value = value * sl_power_of_ten[after] + digit_value(text, after);
        p += after;
        if (after == 8) {
            text = load64(p);
            unsigned more = digit_run(text);
            if (more == 8 || count + 8 + more > 19)
                return NULL;
            if (more != 0)
                value = value * sl_power_of_ten[more] + digit_value(text, more);
            p += more;
            after += more;
        } else if (UNLIKELY(count + after > 19)) {
            return NULL;
        }
        out->plain = false;
        out->exponent = -(int64_t)after;
    }
    if (UNLIKELY((*p | 0x20) == 'e'))
        return NULL;
    out->digits = value;
    out->many = false;
    out->end = p;
    return p;
#else
    (void)p, (void)end, (void)out;
    return NULL;
#endif
}

/** `lowest` of what number_scan() read. */
static inline void number_lowest(json_number *number) {
    number->lowest = 0;
    if (number->digits == 0)
        return;
    uint64_t digits = number->digits;
    number->lowest = number->exponent;
    for (; digits % 10 == 0; digits /= 10)
        number->lowest++;
}

static inline bool number_double(const json_number *number, double *out) {
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (LIKELY(!number->many && number->digits <= UINT64_C(1) << 53 &&
               number->exponent >= -22 && number->exponent <= 22)) {
        double value = (double)number->digits;
        value = number->exponent < 0 ? value / power[-number->exponent]
                                     : value * power[number->exponent];
        *out = number->negative ? -value : value;
        return true;
    }
    return sl_number_double(number, out);
}

/**
 * The usual form of a date-time, "YYYY-MM-DDTHH:MM:SS[.f…]Z" with up to seven fraction
 * digits and its closing quote. The date is compared with the last one, which it nearly
 * always equals.
 * @return behind the quote; NULL: any other form, ask sl_time_parse().
 */
static inline const uint8_t *timestamp_scan(sl_decoder *decoder, const uint8_t *p,
                                            int64_t *us) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (UNLIKELY(decoder->end - p < NUMBER_ROOM))
        return NULL;
    uint64_t date = load64(p);
    uint16_t tail;
    memcpy(&tail, p + 8, 2);
    if (UNLIKELY(date != decoder->date_text || tail != decoder->date_tail)) {
        int32_t days;
        if (!sl_date_parse((const char *)p, 10, &days))
            return NULL;
        decoder->date_text = date;
        decoder->date_tail = tail;
        decoder->date_us = days * SL_DAY_US;
    }
    // "HH:MM:SS" minus "00:00:00": every byte a digit, the colons 0.
    uint64_t t = load64(p + 11) ^ UINT64_C(0x30303A30303A3030);
    if (UNLIKELY(p[10] != 'T' || (t & UINT64_C(0x0000FF0000FF0000)) != 0 ||
                 (((t + UINT64_C(0x7676767676767676)) | t) &
                  UINT64_C(0x8080808080808080)) != 0))
        return NULL;
    unsigned hour = (unsigned)((t & 15) * 10 + (t >> 8 & 15));
    unsigned minute = (unsigned)((t >> 24 & 15) * 10 + (t >> 32 & 15));
    unsigned second = (unsigned)((t >> 48 & 15) * 10 + (t >> 56 & 15));
    if (UNLIKELY(hour > 23 || minute > 59 || second > 59))
        return NULL;
    int64_t fraction = 0;
    p += 19;
    if (*p == '.') {
        uint64_t text = load64(p + 1);
        unsigned count = digit_run(text);
        if (UNLIKELY(count == 0 || count == 8))
            return NULL;
        fraction = (int64_t)(digit_value(text, count) * sl_power_of_ten[7 - count] / 10);
        p += 1 + count;
    }
    if (UNLIKELY(p[0] != 'Z' || p[1] != '"'))
        return NULL;
    *us = decoder->date_us +
          (int64_t)((hour * 60 + minute) * 60 + second) * SL_SECOND_US + fraction;
    return p + 2;
#else
    (void)decoder, (void)p, (void)us;
    return NULL;
#endif
}
