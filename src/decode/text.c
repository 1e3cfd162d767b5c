// Strings: UTF-8 (RFC 3629 section 4) and escapes (RFC 8259 section 7).
//
//   00..7F
//   C2..DF 80..BF
//   E0 A0..BF 80..BF | E1..EC, EE, EF 80..BF 80..BF | ED 80..9F 80..BF   (no surrogates)
//   F0 90..BF .. ..  | F1..F3 80..BF .. ..          | F4 80..8F .. ..    (up to U+10FFFF)

#include "number.h"

#include "sluice/utf8.h"

static bool continues(uint8_t c) { return (c & 0xC0) == 0x80; }

/** @return Length of the sequence at `p`, 0 when it is none. A byte that doesn't continue
 * stops it. */
static unsigned sequence(const uint8_t *p) {
    uint8_t c = *p;
    if (c < 0x80)
        return 1;
    if (c < 0xC2)
        return 0;
    if (c < 0xE0)
        return continues(p[1]) ? 2 : 0;
    if (c < 0xF0) {
        if (!continues(p[1]) || !continues(p[2]))
            return 0;
        if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F))
            return 0;
        return 3;
    }
    if (c > 0xF4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3]))
        return 0;
    if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F))
        return 0;
    return 4;
}

const uint8_t *sl_text_utf8_check(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        if (*p < 0x80) {
            while (end - p >= 8 && (load64(p) & UINT64_C(0x8080808080808080)) == 0)
                p += 8;
            while (p < end && *p < 0x80)
                p++;
            continue;
        }
        unsigned length = sequence(p);
        if (length == 0)
            return p;
        p += length;
    }
    return NULL;
}

static int hex(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Four hex digits at `p`, before `end`. @return -1: *at is the first that is none. */
static int32_t hex4(const uint8_t *p, const uint8_t *end, const uint8_t **at) {
    int32_t value = 0;
    for (unsigned i = 0; i < 4; i++) {
        int digit = p + i < end ? hex(p[i]) : -1;
        if (digit < 0) {
            *at = p + i;
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

const uint8_t *sl_text_escape_check(const uint8_t *p, const uint8_t *end,
                                    const char **text, const uint8_t **at) {
    *text = "invalid escape";
    *at = p + 1;
    if (p + 1 >= end)
        return NULL;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        break;
    default:
        return NULL;
    }
    int32_t unit = hex4(p + 2, end, at);
    if (unit < 0)
        return NULL;
    if (unit < 0xD800 || unit > 0xDFFF)
        return p + 6;
    // RFC 8259 section 7: beyond the BMP, a surrogate pair; half of one names no
    // character.
    const uint8_t *none;
    if (unit < 0xDC00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
        int32_t low = hex4(p + 8, end, &none);
        if (low >= 0xDC00 && low <= 0xDFFF)
            return p + 12;
    }
    *text = "lone surrogate";
    *at = p;
    return NULL;
}

const uint8_t *sl_text_find_nul(const uint8_t *p, const uint8_t *end) {
    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        if (p[1] == 'u' && memcmp(p + 2, "0000", 4) == 0)
            return p;
        p += 2; // What else an escape holds has no backslash, or is looked at next.
    }
    return NULL;
}

/** The \u escape at `p`, checked before. */
static const uint8_t *unescape_unit(const uint8_t *p, const uint8_t *end, uint8_t *out,
                                    size_t *length) {
    const uint8_t *none;
    uint32_t c = (uint32_t)hex4(p + 2, end, &none);
    p += 6;
    if (c >= 0xD800 && c < 0xDC00) {
        c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)hex4(p + 2, end, &none) - 0xDC00);
        p += 6;
    }
    *length += sl_utf8_encode(c, out + *length);
    return p;
}

size_t sl_text_unescape(const uint8_t *p, const uint8_t *end, uint8_t *out) {
    size_t length = 0;
    while (p < end) {
        const uint8_t *stop = memchr(p, '\\', (size_t)(end - p));
        if (stop == NULL)
            stop = end;
        memcpy(out + length, p, (size_t)(stop - p));
        length += (size_t)(stop - p);
        p = stop;
        if (p == end)
            break;
        if (p[1] == 'u') {
            p = unescape_unit(p, end, out, &length);
            continue;
        }
        uint8_t c = p[1];
        out[length++] = c == 'b'   ? '\b'
                        : c == 'f' ? '\f'
                        : c == 'n' ? '\n'
                        : c == 'r' ? '\r'
                        : c == 't' ? '\t'
                                   : c;
        p += 2;
    }
    return length;
}

sl_span sl_text_keep(sl_decoder *decoder, const uint8_t *p, const uint8_t *end) {
    sl_buffer *arena = &decoder->batch->arena;
    size_t room = (size_t)(end - p);
    if (arena->length + room >= SL_SPAN_ARENA || !sl_buffer_reserve(arena, room + 1)) {
        arena->failed = true;
        return (sl_span){.offset = SL_SPAN_ARENA, .length = 0};
    }
    sl_span span = {.offset = (uint32_t)arena->length | SL_SPAN_ARENA};
    span.length = (uint32_t)sl_text_unescape(p, end, arena->bytes + arena->length);
    arena->length += span.length;
    return span;
}
