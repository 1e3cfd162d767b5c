#include "json.h"

#include "sluice/utf8.h"

enum { DEPTH_MAX = 64 };

bool json_fail(json_reader *r, const char *wrong) {
    if (r->wrong == NULL)
        r->wrong = wrong;
    return false;
}

uint8_t json_peek(json_reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
    return r->at < r->end && r->wrong == NULL ? *r->at : 0;
}

bool json_take(json_reader *r, uint8_t byte) {
    if (json_peek(r) != byte)
        return json_fail(r, "unexpected character");
    r->at++;
    return true;
}

bool json_more(json_reader *r, uint8_t close, bool first) {
    if (json_peek(r) == close) {
        r->at++;
        return false;
    }
    return first ? r->wrong == NULL : json_take(r, ',');
}

static unsigned hex_digit(uint8_t c) {
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
           : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                  : 16;
}

/* @return length of the escape at the backslash; 0: it is none. */
static size_t escape_length(const uint8_t *at, const uint8_t *end) {
    if (end - at < 2)
        return 0;
    if (at[1] != 'u')
        return memchr("\"\\/bfnrt", at[1], 8) != NULL ? 2 : 0;
    if (end - at < 6)
        return 0;
    for (int i = 2; i < 6; i++)
        if (hex_digit(at[i]) > 15)
            return 0;
    return 6;
}

bool json_string(json_reader *r, json_text *out) {
    if (!json_take(r, '"'))
        return false;
    uint8_t high = 0;
    *out = (json_text){.bytes = r->at};
    const uint8_t *at = r->at;
    while (at < r->end && *at != '"') {
        high |= *at;
        size_t step = 1;
        if (*at < 0x20)
            return json_fail(r, "a control character in a string");
        if (*at == '\\') {
            out->escaped = true;
            if ((step = escape_length(at, r->end)) == 0)
                return json_fail(r, "an escape that isn't one");
        }
        at += step;
    }
    if (at == r->end)
        return json_fail(r, "a string without end");
    out->length = (size_t)(at - r->at);
    if (high >= 128 && sl_utf8_valid(out->bytes, out->length) != out->length)
        return json_fail(r, "a string that isn't UTF-8");
    r->at = at + 1;
    return true;
}

static uint32_t unit_of(const uint8_t *at) {
    return hex_digit(at[2]) << 12 | hex_digit(at[3]) << 8 | hex_digit(at[4]) << 4 | hex_digit(at[5]);
}

/* @return bytes taken; 0: a surrogate without its other half. */
static size_t unescape_unit(const uint8_t *at, const uint8_t *end, sl_buffer *out) {
    uint32_t c = unit_of(at);
    size_t taken = 6;
    if (c >= 0xd800 && c < 0xe000) {
        uint32_t low = c < 0xdc00 && end - at >= 12 && at[6] == '\\' && at[7] == 'u' ? unit_of(at + 6) : 0;
        if (low < 0xdc00 || low >= 0xe000)
            return 0;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        taken = 12;
    }
    uint8_t utf8[4];
    sl_buffer_append(out, utf8, sl_utf8_encode(c, utf8));
    return taken;
}

bool json_unescape(json_reader *r, const json_text *text, sl_buffer *out) {
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    const uint8_t *at = text->bytes, *end = at + text->length;
    while (at < end) {
        const uint8_t *slash = memchr(at, '\\', (size_t)(end - at));
        size_t plain = slash != NULL ? (size_t)(slash - at) : (size_t)(end - at);
        sl_buffer_append(out, at, plain);
        at += plain;
        if (slash == NULL)
            break;
        size_t taken = 2;
        const char *letter = memchr(letters, at[1], 5);
        if (at[1] == 'u')
            taken = unescape_unit(at, end, out);
        else
            sl_buffer_byte(out, letter != NULL ? (uint8_t)meant[letter - letters] : at[1]);
        if (taken == 0)
            return json_fail(r, "half of a surrogate pair");
        at += taken;
    }
    return !out->failed || json_fail(r, "out of memory");
}

static bool word(json_reader *r, const char *text) {
    size_t length = strlen(text);
    if (json_peek(r) != (uint8_t)*text || (size_t)(r->end - r->at) < length || memcmp(r->at, text, length) != 0)
        return false;
    r->at += length;
    return true;
}

bool json_null(json_reader *r) { return word(r, "null"); }

bool json_boolean(json_reader *r, bool *out) {
    *out = word(r, "true");
    return *out || word(r, "false") || json_fail(r, "expected true or false");
}

static size_t digits(json_reader *r) {
    const uint8_t *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - from);
}

/* [-] int [frac] [exp]; `whole` is the integer part alone. */
static bool number(json_reader *r, const uint8_t **whole, size_t *length) {
    if (json_peek(r) == '-')
        r->at++;
    *whole = r->at;
    *length = digits(r);
    if (*length == 0 || (*length > 1 && **whole == '0'))
        return json_fail(r, "a number that isn't one");
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (digits(r) == 0)
            return json_fail(r, "a number that isn't one");
    }
    if (r->at < r->end && (*r->at | 32) == 'e') {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (digits(r) == 0)
            return json_fail(r, "a number that isn't one");
    }
    return true;
}

bool json_count(json_reader *r, uint32_t max, uint32_t *out) {
    const uint8_t *whole;
    size_t length;
    uint8_t first = json_peek(r);
    if ((first != '-' && (first < '0' || first > '9')) || !number(r, &whole, &length))
        return json_fail(r, "expected a number");
    uint64_t value = 0;
    for (size_t i = 0; i < length && value <= max; i++)
        value = value * 10 + (uint64_t)(whole[i] - '0');
    bool plain = first != '-' && whole + length == r->at;
    *out = !plain ? 0 : value > max ? max : (uint32_t)value;
    return true;
}

static bool skip(json_reader *r, unsigned depth) {
    json_text text;
    const uint8_t *whole;
    size_t length;
    bool unused, object = json_peek(r) == '{';
    switch (json_peek(r)) {
    case '"':
        return json_string(r, &text);
    case 't':
    case 'f':
        return json_boolean(r, &unused);
    case 'n':
        return json_null(r) || json_fail(r, "expected null");
    case '{':
    case '[':
        break;
    default:
        return number(r, &whole, &length);
    }
    if (depth == DEPTH_MAX)
        return json_fail(r, "more than 64 levels");
    r->at++;
    for (bool first = true; json_more(r, object ? '}' : ']', first); first = false)
        if ((object && (!json_string(r, &text) || !json_take(r, ':'))) || !skip(r, depth + 1))
            return false;
    return r->wrong == NULL;
}

bool json_skip(json_reader *r) { return skip(r, 1); }
