#include "sluice/utf8.h"

#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

// Bytes without a high bit at the beginning, eight at a time.
static size_t ascii_run(const uint8_t *p, size_t length) {
    size_t i = 0;
    for (; length - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        if (word & HIGH_BITS)
            break;
    }
    while (i < length && p[i] < 0x80)
        i++;
    return i;
}

static bool follows(const uint8_t *p, size_t count) {
    for (size_t i = 1; i <= count; i++)
        if ((p[i] & 0xC0) != 0x80)
            return false;
    return true;
}

// Length of the character that begins with a high bit; 0: there is none. The second
// byte's range is what excludes longer forms than needed, surrogates, and what lies
// beyond U+10FFFF.
static size_t character(const uint8_t *p, size_t room) {
    uint8_t first = p[0];
    if (first >= 0xC2 && first <= 0xDF)
        return room >= 2 && follows(p, 1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        if (room < 3 || !follows(p, 2))
            return 0;
        return (first == 0xE0 && p[1] < 0xA0) || (first == 0xED && p[1] > 0x9F) ? 0 : 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if (room < 4 || !follows(p, 3))
            return 0;
        return (first == 0xF0 && p[1] < 0x90) || (first == 0xF4 && p[1] > 0x8F) ? 0 : 4;
    }
    return 0;
}

size_t sl_utf8_valid(const void *text, size_t length) {
    const uint8_t *p = text;
    size_t at = 0;
    for (;;) {
        at += ascii_run(p + at, length - at);
        if (at == length)
            return at;
        size_t bytes = character(p + at, length - at);
        if (bytes == 0)
            return at;
        at += bytes;
    }
}

size_t sl_utf8_cut(const void *text, size_t length, size_t limit) {
    if (length <= limit)
        return length;
    const uint8_t *p = text;
    while (limit > 0 && (p[limit] & 0xC0) == 0x80)
        limit--;
    return limit;
}

/** Bytes of the white space that begins at `p`, 0 if none does. Unicode's White_Space is
 * ASCII's, U+0085, A0, 1680, 2000 to 200A, 2028, 2029, 202F, 205F and 3000. */
static size_t space(const uint8_t *p, size_t length) {
    if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
        return 1;
    if (length >= 2 && *p == 0xC2)
        return p[1] == 0x85 || p[1] == 0xA0 ? 2 : 0;
    if (length < 3 || *p < 0xE1 || *p > 0xE3)
        return 0;
    const uint32_t c =
        (uint32_t)(*p & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
                   c == 0x202F || c == 0x205F || c == 0x3000
               ? 3
               : 0;
}

size_t sl_utf8_trim(const void *text, size_t length, size_t *begin) {
    const uint8_t *p = text;
    size_t from = 0, end = length;
    for (size_t bytes; from < end && (bytes = space(p + from, end - from)) != 0;)
        from += bytes;
    while (end > from) {
        size_t last = end - 1;
        while (last > from && (p[last] & 0xC0) == 0x80)
            last--;
        if (space(p + last, end - last) != end - last)
            break;
        end = last;
    }
    *begin = from;
    return end - from;
}

size_t sl_utf8_encode(uint32_t c, uint8_t *out) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}
