// Values of literals. A number keeps its exact decimal form beside the double, so that
// `1000.10` compares with a decimal column as what was written.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>

int64_t power_of_ten(unsigned exponent) {
    int64_t unit = 1;
    while (exponent-- > 0)
        unit *= 10;
    return unit;
}

// digits × 10^-scale of "123.4500e-2", zeros at the end dropped; `fits` is false beyond
// 18 digits.
static exact exact_of(const char *at, size_t length) {
    int64_t digits = 0, scale = 0;
    bool point = false;
    size_t i = 0;
    for (; i < length && at[i] != 'e' && at[i] != 'E'; i++) {
        if (at[i] == '.') {
            point = true;
            continue;
        }
        if (digits >= DECIMAL_LIMIT / 10)
            return (exact){0};
        digits = digits * 10 + (at[i] - '0');
        scale += point;
    }
    if (i < length) {
        long exponent =
            strtol(at + i + 1, NULL, 10); // Saturates, which is beyond 18 as well.
        if (exponent < -1000 || exponent > 1000)
            return (exact){.fits = digits == 0};
        scale -= exponent;
    }
    if (digits == 0)
        return (exact){.fits = true};
    while (scale > 0 && digits % 10 == 0) {
        digits /= 10;
        scale--;
    }
    for (; scale < 0; scale++) {
        if (digits >= DECIMAL_LIMIT / 10)
            return (exact){0};
        digits *= 10;
    }
    if (scale > (int64_t)DECIMAL_DIGITS_MAX)
        return (exact){0};
    return (exact){.fits = true, .digits = digits, .scale = (uint8_t)scale};
}

static sl_status read_int(const compiler *c, const char *digits, bool negative,
                          node *out) {
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    errno = 0;
    unsigned long long value = strtoull(digits, NULL, hex ? 16 : 10);
    unsigned long long limit = (unsigned long long)INT64_MAX + (negative ? 1 : 0);
    if (errno == ERANGE || value > limit)
        return fault(c, SL_ETYPE, out->at, "the number is beyond 64 bits");
    out->type = TYPE_INT;
    out->value.i64 = negative ? (int64_t)(0 - value) : (int64_t)value;
    if (value < (unsigned long long)DECIMAL_LIMIT)
        out->exact = (exact){.fits = true, .digits = out->value.i64};
    return SL_OK;
}

static sl_status read_uint(const compiler *c, const char *digits, node *out) {
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    errno = 0;
    unsigned long long value = strtoull(digits, NULL, hex ? 16 : 10);
    if (errno == ERANGE)
        return fault(c, SL_ETYPE, out->at, "the number is beyond 64 bits");
    out->type = TYPE_UINT;
    out->value.u64 = value;
    return SL_OK;
}

sl_status read_number(compiler *c, bool negative, node *out) {
    // A copy, because the text goes on after the number ("1e5" of "1e5e").
    char *digits = sl_arena_strndup(c->memory, c->text + c->next.at, c->next.length);
    if (digits == NULL)
        return out_of_memory(c);
    if (c->next.kind == TOKEN_INT)
        return read_int(c, digits, negative, out);
    if (c->next.kind == TOKEN_UINT)
        return read_uint(c, digits, out);
    out->type = TYPE_DOUBLE;
    out->value.f64 = strtod(digits, NULL);
    out->exact = exact_of(digits, c->next.length);
    if (negative) {
        out->value.f64 = -out->value.f64;
        out->exact.digits = -out->exact.digits;
    }
    return SL_OK;
}

typedef struct unescaper {
    const compiler *c;
    bool bytes; // b'…': \x and \ooo are bytes, and there is no \u.
    uint32_t at, end;
    uint8_t *out;
    uint32_t length;
} unescaper;

// RFC 3629.
static void put_code_point(unescaper *u, uint32_t code) {
    uint8_t *out = u->out + u->length;
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        u->length += 1;
    } else if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 63));
        u->length += 2;
    } else if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 63));
        out[2] = (uint8_t)(0x80 | (code & 63));
        u->length += 3;
    } else {
        out[0] = (uint8_t)(0xf0 | code >> 18);
        out[1] = (uint8_t)(0x80 | (code >> 12 & 63));
        out[2] = (uint8_t)(0x80 | (code >> 6 & 63));
        out[3] = (uint8_t)(0x80 | (code & 63));
        u->length += 4;
    }
}

static int digit_of(int c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

// `count` digits of base 8 or 16 make one code point; every form but \U is at most 6
// digits.
static sl_status unescape_digits(unescaper *u, unsigned count, int base) {
    uint32_t code = 0, from = u->at;
    for (unsigned i = 0; i < count; i++, u->at++) {
        int digit = u->at < u->end ? digit_of((unsigned char)u->c->text[u->at]) : 99;
        if (digit >= base)
            return fault(u->c, SL_ESYNTAX, from, "the escape needs %u digits of base %d",
                         count, base);
        code = code * (uint32_t)base + (uint32_t)digit;
    }
    if (u->bytes) {
        u->out[u->length++] = (uint8_t)code;
        return SL_OK;
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return fault(u->c, SL_ESYNTAX, from, "the escape is no character");
    put_code_point(u, code);
    return SL_OK;
}

static sl_status unescape(unescaper *u) {
    static const char from[] = "abfnrtv\\?\"'`", to[] = "\a\b\f\n\r\t\v\\?\"'`";
    uint32_t place = u->at++;
    char kind = u->c->text[u->at];
    const char *plain = strchr(from, kind);
    if (kind != 0 && plain != NULL) {
        u->at++;
        u->out[u->length++] = (uint8_t)to[plain - from];
        return SL_OK;
    }
    if (kind >= '0' && kind <= '3')
        return unescape_digits(u, 3, 8);
    u->at++;
    if (kind == 'x' || kind == 'X')
        return unescape_digits(u, 2, 16);
    if (kind == 'u' && !u->bytes)
        return unescape_digits(u, 4, 16);
    if (kind == 'U' && !u->bytes)
        return unescape_digits(u, 8, 16);
    return fault(u->c, SL_ESYNTAX, place, "there is no such escape");
}

sl_status read_string(compiler *c, node *out) {
    const char *from = c->text;
    uint32_t at = c->next.at, end = c->next.at + c->next.length;
    bool raw = false, bytes = c->next.kind == TOKEN_BYTES;
    for (; from[at] != '"' && from[at] != '\''; at++)
        raw = raw || from[at] == 'r' || from[at] == 'R';
    bool triple = end - at >= 6 && from[at + 1] == from[at] && from[at + 2] == from[at];
    uint32_t quotes = triple ? 3 : 1;
    // No escape is shorter than its UTF-8: \xHH has 4 bytes for at most 2, \UHHHHHHHH 10
    // for 4.
    unescaper u = {.c = c, .bytes = bytes, .at = at + quotes, .end = end - quotes};
    u.out = sl_arena_get(c->memory, c->next.length + 4u);
    if (u.out == NULL)
        return out_of_memory(c);
    while (u.at < u.end) {
        if (from[u.at] == '\\' && !raw) {
            sl_status status = unescape(&u);
            if (status != SL_OK)
                return status;
        } else {
            u.out[u.length++] = (uint8_t)from[u.at++];
        }
    }
    out->type = bytes ? TYPE_BYTES : TYPE_STRING;
    out->value.text.bytes = u.out;
    out->value.text.length = u.length;
    return SL_OK;
}
