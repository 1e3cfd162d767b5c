// The envelope of a CloudEvent in JSON, whose syntax has been checked: what its members may be, whatever the schema
// makes of them.
//
//   required   id, source, type: strings that aren't empty; specversion: "1.0"
//   names      of attributes: [a-z0-9]+
//   values     strings without control characters or noncharacters, booleans, integers of 32 bits; null is "not there"
//   source     a URI reference; dataschema: a URI; time: RFC 3339; datacontenttype: type "/" subtype
//   data       any JSON, or data_base64: RFC 4648 section 4; not both
//
// A second look at the event's own members, away from the kernels: only records that say they are CloudEvents pay for it.
//
// Source: CloudEvents 1.0.2, "Context Attributes", "Type System"; JSON Event Format 2.2, 2.3, 3.1; RFC 3986 section 2.

#include "decoder.h"

#include "sluice/time.h"

#define NAME_BYTES_MAX 256u

typedef enum rule { TEXT, VERSION, REFERENCE, URI, TIME, MEDIA_TYPE } rule;

static const struct attribute {
    const char *name; // In quotes, as a failure's key.
    rule rule;
} attributes[] = {{"\"id\"", TEXT},       {"\"source\"", REFERENCE},
                  {"\"type\"", TEXT},     {"\"specversion\"", VERSION},
                  {"\"time\"", TIME},     {"\"datacontenttype\"", MEDIA_TYPE},
                  {"\"subject\"", TEXT},  {"\"dataschema\"", URI}};

enum { REQUIRED = 4, ATTRIBUTES = sizeof attributes / sizeof *attributes };

typedef struct member {
    const uint8_t *key, *value, *end; // The key with its quotes, which end before `colon`.
    uint32_t key_length;
} member;

typedef struct envelope {
    sl_decoder *decoder;
    unsigned seen; // A bit for each of `attributes` that has a value.
    bool data, base64;
} envelope;

static bool fail(envelope *e, const member *m, sl_code code, const char *text) {
    sl_decode_fail(e->decoder, code, m->value, text);
    e->decoder->failure.key = m->key;
    e->decoder->failure.key_length = m->key_length;
    e->decoder->failure.group = &e->decoder->groups[0];
    return false;
}

static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }

static bool letter(uint8_t c) { return (uint8_t)((c | 32) - 'a') < 26; }

static bool hex_digit(uint8_t c) { return digit(c) || (uint8_t)((c | 32) - 'a') < 6; }

/** Control characters and noncharacters. The text is UTF-8, checked. */
static bool allowed(const uint8_t *p, const uint8_t *end) {
    for (; p < end; p++) {
        if (*p < 0x20 || *p == 0x7F || (*p == 0xC2 && p[1] < 0xA0))
            return false;
        if (*p == 0xEF && p[1] == 0xB7 && p[2] >= 0x90 && p[2] <= 0xAF) // U+FDD0 to U+FDEF
            return false;
        // The last two of each plane end in BF BE and BF BF, behind EF or a byte that ends in F.
        if (*p == 0xEF && p[1] == 0xBF && p[2] >= 0xBE)
            return false;
        if (*p >= 0xF0 && (p[1] & 0x0F) == 0x0F && p[2] == 0xBF && p[3] >= 0xBE)
            return false;
    }
    return true;
}

static bool is_reference(const uint8_t *p, const uint8_t *end) {
    for (; p < end; p++) {
        if (*p == '%' && (end - p < 3 || !hex_digit(p[1]) || !hex_digit(p[2])))
            return false;
        if (!letter(*p) && !digit(*p) && (*p == 0 || strchr("-._~:/?#[]@!$&'()*+,;=%", *p) == NULL))
            return false;
    }
    return true;
}

static bool is_uri(const uint8_t *p, const uint8_t *end) {
    const uint8_t *at = p;
    while (at < end && (letter(*at) || (at > p && (digit(*at) || memchr("+-.", *at, 3) != NULL))))
        at++;
    return at > p && at < end && *at == ':' && is_reference(p, end);
}

/** RFC 2045 section 5.1: a character of a token. */
static bool token(uint8_t c) { return c > 0x20 && c < 0x7F && strchr("()<>@,;:\\\"/[]?=", c) == NULL; }

static bool is_media_type(const uint8_t *p, const uint8_t *end) {
    const uint8_t *type = p, *at;
    while (p < end && token(*p))
        p++;
    if (p == type || p == end || *p != '/')
        return false;
    for (at = ++p; at < end && token(*at);)
        at++;
    return at > p && (at == end || *at == ';' || *at == ' ');
}

/** @return What is wrong with a string's text; NULL: nothing. */
static const char *broken_text(rule wanted, const uint8_t *p, const uint8_t *end) {
    int64_t us;
    if (p == end)
        return "it is empty";
    if (!allowed(p, end))
        return "it holds a character that attributes may not have";
    switch (wanted) {
    case VERSION:
        return end - p == 3 && memcmp(p, "1.0", 3) == 0 ? NULL : "only specversion 1.0 is taken";
    case REFERENCE:
        return is_reference(p, end) ? NULL : "not a URI reference";
    case URI:
        return is_uri(p, end) ? NULL : "not a URI";
    case TIME:
        return sl_time_parse((const char *)p, (size_t)(end - p), &us) ? NULL : "not an RFC 3339 time";
    case MEDIA_TYPE:
        return is_media_type(p, end) ? NULL : "not a media type";
    case TEXT:
        break;
    }
    return NULL;
}

/** The value is a string. @return false: no memory, said by the arena. */
static bool text_of(envelope *e, const member *m, const uint8_t **p, const uint8_t **end) {
    *p = m->value + 1;
    *end = m->end - 1;
    if (memchr(*p, '\\', (size_t)(*end - *p)) == NULL)
        return true;
    sl_batch *batch = e->decoder->batch;
    sl_span span = sl_text_keep(e->decoder, *p, *end);
    *p = sl_batch_text(batch, span);
    *end = *p + span.length;
    return !batch->arena.failed;
}

static bool is_int32(const member *m) {
    int64_t value = 0;
    const uint8_t *p = m->value + (*m->value == '-');
    for (; p < m->end && digit(*p) && value <= INT32_MAX; p++)
        value = value * 10 + (*p - '0');
    return p == m->end && value <= (int64_t)INT32_MAX + (*m->value == '-');
}

/** An attribute that has a value. */
static bool check_attribute(envelope *e, const member *m) {
    unsigned i = 0;
    while (i < ATTRIBUTES && !(m->key_length == strlen(attributes[i].name) &&
                               memcmp(m->key, attributes[i].name, m->key_length) == 0))
        i++;
    if (i < ATTRIBUTES && *m->value != '"')
        return fail(e, m, SL_CODE_TYPE, "not a string");
    if (*m->value == '{' || *m->value == '[')
        return fail(e, m, SL_CODE_TYPE, "attributes are strings, booleans and integers");
    e->seen |= i < ATTRIBUTES ? 1u << i : 0;
    if (*m->value != '"')
        return letter(*m->value) || is_int32(m) || fail(e, m, SL_CODE_RANGE, "not an integer of 32 bits");
    const uint8_t *p, *end;
    size_t arena = e->decoder->batch->arena.length;
    // An extension's value may be empty.
    if (!text_of(e, m, &p, &end) || (i == ATTRIBUTES && p == end))
        return true;
    const char *text = broken_text(i < ATTRIBUTES ? attributes[i].rule : TEXT, p, end);
    e->decoder->batch->arena.length = arena;
    return text == NULL || fail(e, m, SL_CODE_FORMAT, text);
}

static bool is_base64(const uint8_t *p, const uint8_t *end) {
    if ((end - p) % 4 != 0)
        return false;
    for (int i = 0; i < 2 && end > p && end[-1] == '='; i++)
        end--;
    while (p < end && (letter(*p) || digit(*p) || *p == '+' || *p == '/'))
        p++;
    return p == end;
}

static bool check_base64(envelope *e, const member *m) {
    const uint8_t *p, *end;
    if (*m->value != '"')
        return fail(e, m, SL_CODE_TYPE, "not a string");
    size_t arena = e->decoder->batch->arena.length;
    if (!text_of(e, m, &p, &end))
        return true;
    bool good = is_base64(p, end);
    e->decoder->batch->arena.length = arena;
    return good || fail(e, m, SL_CODE_FORMAT, "not base64");
}

static bool is_key(const member *m, const char *name, size_t length) {
    return m->key_length == length && memcmp(m->key, name, length) == 0;
}

static bool check_member(envelope *e, const member *m) {
    bool there = *m->value != 'n';
    bool data = is_key(m, "\"data\"", 6), base64 = is_key(m, "\"data_base64\"", 13);
    if (data || base64) {
        *(data ? &e->data : &e->base64) |= there;
        if (e->data && e->base64)
            return fail(e, m, SL_CODE_FORMAT, "data and data_base64 are both there");
        return data || !there || check_base64(e, m);
    }
    bool named = m->key_length > 2 && m->key_length <= NAME_BYTES_MAX;
    for (const uint8_t *c = m->key + 1; named && c < m->key + m->key_length - 1; c++)
        named = digit(*c) || (letter(*c) && (*c & 32) != 0);
    if (!named)
        return fail(e, m, SL_CODE_FORMAT, "an attribute's name has lower-case letters and digits alone");
    return !there || check_attribute(e, m);
}

static bool check_required(envelope *e, const uint8_t *begin) {
    for (unsigned i = 0; i < REQUIRED; i++) {
        const char *name = attributes[i].name;
        const member missing = {.key = (const uint8_t *)name, .key_length = (uint32_t)strlen(name), .value = begin};
        if ((e->seen & 1u << i) == 0)
            return fail(e, &missing, SL_CODE_REQUIRED, "a CloudEvent needs it");
    }
    return true;
}

static const uint8_t *spaces(const uint8_t *p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
        p++;
    return p;
}

bool sl_decode_cloudevent(sl_decoder *decoder, const uint8_t *begin) {
    envelope e = {.decoder = decoder};
    const uint8_t *p = spaces(begin + 1);
    while (*p != '}') {
        member m = {.key = p};
        p = decoder->kernel->skip(decoder, p, 1);
        m.key_length = (uint32_t)(p - m.key);
        m.value = spaces(spaces(p) + 1);
        m.end = decoder->kernel->skip(decoder, m.value, 1);
        if (!check_member(&e, &m))
            return false;
        p = spaces(m.end);
        if (*p == ',')
            p = spaces(p + 1);
    }
    return check_required(&e, begin);
}
