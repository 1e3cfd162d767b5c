/** @file generate_text.h
 * How events of any kind are drawn and written: random numbers, digits, pieces of text,
 * times.
 *
 * Inline, because at 60 ns an event calls would be a good part of it.
 */
#pragma once

#include "sluice/generate.h"

#include "sluice/time.h"

#include <string.h>

#define PIECE_BYTES 64

typedef struct piece {
    uint8_t length;
    char text[PIECE_BYTES];
} piece;

#define PIECE(s)                                                                         \
    { sizeof(s) - 1, s }

/* Two digits at a time halve the divisions. */
static const char digit_pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t next(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*state);
}

/* A number below `limit` from 32 random bits, without a division (Lemire, "Fast Random
 * Integer Generation in an Interval", 2019; the bias of 2^-32 × limit doesn't matter
 * here). */
static inline uint32_t below(uint64_t bits, uint32_t limit) {
    return (uint32_t)(((bits & UINT32_MAX) * limit) >> 32);
}

/* The smaller of two draws: low numbers come often, the last ones seldom. */
static inline uint32_t pick_skewed(uint64_t bits, uint32_t limit) {
    uint32_t a = below(bits, limit), b = below(bits >> 32, limit);
    return a < b ? a : b;
}

static inline uint8_t *put(uint8_t *out, const piece *p) {
    memcpy(out, p->text, PIECE_BYTES);
    return out + p->length;
}

/* For literals; their size is known, so this is a few moves. */
#define PUT(out, s) (memcpy((out), (s), sizeof(s) - 1), (out) + (sizeof(s) - 1))

static inline uint8_t *put_pair(uint8_t *out, uint32_t n) {
    memcpy(out, digit_pairs + 2 * (size_t)n, 2);
    return out + 2;
}

static inline uint8_t *put_6_digits(uint8_t *out, uint32_t n) {
    out = put_pair(out, n / 10000);
    out = put_pair(out, n / 100 % 100);
    return put_pair(out, n % 100);
}

static inline uint8_t *put_number(uint8_t *out, uint32_t n) {
    char digits[10];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return out + (sizeof digits - at);
}

/* 12345 cents are 123.45. */
static inline uint8_t *put_cents(uint8_t *out, uint32_t cents) {
    out = put_number(out, cents / 100);
    *out++ = '.';
    return put_pair(out, cents % 100);
}

static inline uint8_t *put_hex(uint8_t *out, uint64_t bits, unsigned digits) {
    for (unsigned i = 0; i < digits; i++, bits <<= 4)
        *out++ = (uint8_t) "0123456789abcdef"[bits >> 60];
    return out;
}

/* Version 4, variant 10 (RFC 9562, section 5.4). */
static inline uint8_t *put_uuid(uint8_t *out, uint64_t high, uint64_t low) {
    high = (high & ~UINT64_C(0xf000)) | UINT64_C(0x4000);
    low = (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62);
    out = put_hex(out, high, 8);
    *out++ = '-';
    out = put_hex(out, high << 32, 4);
    *out++ = '-';
    out = put_hex(out, high << 48, 4);
    *out++ = '-';
    out = put_hex(out, low, 4);
    *out++ = '-';
    return put_hex(out, low << 16, 12);
}

static inline void set_minute(sl_generator *g, int64_t minute) {
    int64_t days = sl_time_floor(minute, 1440) / 1440;
    int year = 1970;
    unsigned month = 1, day = 1;
    sl_date_civil((int32_t)days, &year, &month, &day);
    uint32_t of_day = (uint32_t)(minute - days * 1440);
    uint8_t *out = (uint8_t *)g->prefix;
    out = put_pair(out, (uint32_t)year / 100);
    out = put_pair(out, (uint32_t)year % 100);
    *out++ = '-';
    out = put_pair(out, month);
    *out++ = '-';
    out = put_pair(out, day);
    *out++ = 'T';
    out = put_pair(out, of_day / 60);
    *out++ = ':';
    out = put_pair(out, of_day % 60);
    *out = ':';
    g->minute = minute;
}

/* RFC 3339 with milliseconds. All but the last 7 characters stay the same for a minute.
 */
static inline uint8_t *put_time(uint8_t *out, sl_generator *g, int64_t ms) {
    int64_t minute = sl_time_floor(ms, 60000) / 60000;
    if (minute != g->minute)
        set_minute(g, minute);
    uint32_t rest = (uint32_t)(ms - minute * 60000);
    memcpy(out, g->prefix, 17);
    out = put_pair(out + 17, rest / 1000);
    *out++ = '.';
    *out++ = (uint8_t)('0' + rest / 100 % 10);
    out = put_pair(out, rest % 100);
    *out++ = 'Z';
    return out;
}
