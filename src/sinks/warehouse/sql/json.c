/* Which JSON texts jsonb takes. All that reach a warehouse keep to RFC 8259's grammar
 * already (the decoder checked them), so what is left are three things that RFC 8259
 * allows and jsonb can't hold: \u0000, a surrogate without its other half, and numbers
 * beyond numeric (131,072 digits before the point, 16,383 behind it). Text that isn't
 * JSON at all is not storable either where that shows on the way. */
#include "private.h"

/* Far inside numeric's range, and far outside of what anybody measures. */
enum { NUMBER_BYTES_MAX = 8000, EXPONENT_MAX = 8000 };

static int hex_digit(uint8_t c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The code unit of "\uXXXX" at `at`, or -1. */
static int code_unit(const uint8_t *at, const uint8_t *end) {
    int unit = 0;
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Behind the escape at `at`; NULL when it can't be stored. */
static const uint8_t *escape(const uint8_t *at, const uint8_t *end) {
    if (end - at < 2)
        return NULL;
    if (at[1] != 'u')
        return at + 2;
    int unit = code_unit(at, end);
    if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return NULL;
    if (unit < 0xd800 || unit > 0xdbff)
        return at + 6;
    int low = code_unit(at + 6, end);
    return low >= 0xdc00 && low <= 0xdfff ? at + 12 : NULL;
}

/* Behind the closing quote; NULL when it can't be stored. */
static const uint8_t *string(const uint8_t *at, const uint8_t *end) {
    for (at++; at != NULL && at < end;) {
        if (*at == '"')
            return at + 1;
        if (*at < 0x20)
            return NULL;
        at = *at == '\\' ? escape(at, end) : at + 1;
    }
    return NULL;
}

static const uint8_t *number(const uint8_t *at, const uint8_t *end) {
    const uint8_t *begin = at;
    long exponent = 0;
    bool in_exponent = false;
    for (; at < end && (*at == '-' || *at == '+' || *at == '.' || *at == 'e' ||
                        *at == 'E' || (*at >= '0' && *at <= '9'));
         at++) {
        if (*at == 'e' || *at == 'E')
            in_exponent = true;
        else if (in_exponent && *at >= '0' && *at <= '9' && exponent <= EXPONENT_MAX)
            exponent = exponent * 10 + (*at - '0');
    }
    return at - begin > NUMBER_BYTES_MAX || exponent > EXPONENT_MAX ? NULL : at;
}

bool sl_json_storable(const uint8_t *text, size_t length) {
    const uint8_t *end = text + length;
    if (length == 0)
        return false;
    for (const uint8_t *at = text; at < end;) {
        if (*at == '"')
            at = string(at, end);
        else if (*at == '-' || (*at >= '0' && *at <= '9'))
            at = number(at, end);
        else if (*at == 0)
            return false;
        else
            at++;
        if (at == NULL)
            return false;
    }
    return true;
}

void sl_json_wrap(sl_buffer *out, const uint8_t *text, size_t length, size_t limit) {
    static const char digits[] = "0123456789abcdef";
    size_t room = limit == 0 ? SIZE_MAX : limit < 2 ? 0 : limit - 2;
    sl_buffer_byte(out, '"');
    for (size_t i = 0; i < length;) {
        uint8_t c = text[i];
        size_t bytes = 1;
        while (c >= 0x80 && i + bytes < length && (text[i + bytes] & 0xc0) == 0x80)
            bytes++;
        size_t takes = c == '"' || c == '\\' ? 2 : c == 0 ? 3 : c < 0x20 ? 6 : bytes;
        if (takes > room)
            break;
        room -= takes;
        if (c == 0) {
            sl_buffer_text(out, "\xef\xbf\xbd");
        } else if (c < 0x20) {
            sl_buffer_text(out, "\\u00");
            sl_buffer_byte(out, (uint8_t)digits[c >> 4]);
            sl_buffer_byte(out, (uint8_t)digits[c & 15]);
        } else {
            if (takes == 2 && bytes == 1)
                sl_buffer_byte(out, '\\');
            sl_buffer_append(out, text + i, bytes);
        }
        i += bytes;
    }
    sl_buffer_byte(out, '"');
}
