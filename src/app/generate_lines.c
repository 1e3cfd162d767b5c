/* What becomes of a line of JSON: broken as producers break things, or CSV.
 *
 * The lines are our own: one object without white space, strings without escapes, arrays
 * of flat objects. So members are found by counting brackets, and this is no reader of
 * JSON.
 *
 * CSV is RFC 4180's with line ends of one byte, as tools on Unix have them: a field is
 * quoted where it holds a comma, a quote or a line end. Members of objects are columns
 * named by their path; an array is its JSON text; null is nothing. */
#include "generate_private.h"

#include <assert.h>
#include <string.h>

typedef struct text {
    const uint8_t *bytes;
    size_t length;
} text;

/* One member of the object at `at`; `all` goes from its key's quote to its value's end.
 */
typedef struct member {
    text name, value, all;
} member;

static const uint8_t *value_end(const uint8_t *at) {
    unsigned depth = 0;
    bool quoted = false;
    for (;; at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (!quoted && (*at == '{' || *at == '['))
            depth++;
        else if (!quoted && (*at == '}' || *at == ']')) {
            if (depth == 0)
                return at;
            depth--;
        } else if (!quoted && *at == ',' && depth == 0)
            return at;
    }
}

/* Takes the member that begins at *at (its quote) and moves *at to the next. @return
 * false: no more. */
static bool take_member(const uint8_t **at, member *m) {
    if (**at != '"')
        return false;
    const uint8_t *name = *at + 1,
                  *quote = memchr(name, '"', SL_GENERATE_EVENT_BYTES_MAX);
    assert(quote != NULL);
    const uint8_t *value = quote + 2, *end = value_end(value);
    m->name = (text){name, (size_t)(quote - name)};
    m->value = (text){value, (size_t)(end - value)};
    m->all = (text){*at, (size_t)(end - *at)};
    *at = *end == ',' ? end + 1 : end;
    return true;
}

static bool is(text t, const char *name) {
    return t.length == strlen(name) && memcmp(t.bytes, name, t.length) == 0;
}

/* --- Faults
 * -------------------------------------------------------------------------------- */

/* Between a tenth and nine tenths of the line, before a byte that begins a character. */
static size_t cut(uint8_t *line, size_t length, uint64_t bits) {
    size_t at = length / 10 + (size_t)(bits % (length * 8 / 10));
    while ((line[at] & 0xc0) == 0x80)
        at--;
    line[at] = '\n';
    return at + 1;
}

static size_t splice(uint8_t *line, size_t length, text from, const char *to) {
    size_t at = (size_t)(from.bytes - line), added = strlen(to);
    memmove(line + at + added, line + at + from.length, length - at - from.length);
    memcpy(line + at, to, added);
    return length - from.length + added;
}

size_t sl_generate_break(uint8_t *line, size_t length, const sl_generate_fault *fault) {
    if (fault->kind == SL_FAULT_CUT)
        return cut(line, length, fault->bits);
    const uint8_t *at = line + 1;
    for (member m; take_member(&at, &m);) {
        if (fault->kind == SL_FAULT_TYPE && is(m.name, fault->typed))
            return splice(line, length, m.value, "\"n/a\"");
        if (fault->kind == SL_FAULT_NO_ID && is(m.name, fault->id)) {
            m.all.length += m.all.bytes[m.all.length] == ',';
            return splice(line, length, m.all, "");
        }
    }
    assert(false);
    return length;
}

/* --- CSV
 * ----------------------------------------------------------------------------------- */

typedef struct csv {
    uint8_t bytes[SL_GENERATE_EVENT_BYTES_MAX];
    size_t length, fields;
    const sl_generate_fault *fault; /* NULL: names instead of values. */
    size_t fields_max;              /* What a cut leaves of them. */
} csv;

static void put_byte(csv *c, uint8_t byte) {
    assert(c->length < sizeof c->bytes);
    c->bytes[c->length++] = byte;
}

static void put_field(csv *c, text value) {
    if (c->fields == c->fields_max)
        return;
    if (c->fields++ > 0)
        put_byte(c, ',');
    bool quoted = memchr(value.bytes, ',', value.length) != NULL ||
                  memchr(value.bytes, '"', value.length) != NULL;
    if (quoted)
        put_byte(c, '"');
    for (size_t i = 0; i < value.length; i++) {
        if (value.bytes[i] == '"')
            put_byte(c, '"');
        put_byte(c, value.bytes[i]);
    }
    if (quoted)
        put_byte(c, '"');
}

static text field_of(const csv *c, const member *m) {
    text value = m->value;
    if (c->fault->kind == SL_FAULT_NO_ID && is(m->name, c->fault->id))
        value.length = 0;
    else if (c->fault->kind == SL_FAULT_TYPE && is(m->name, c->fault->typed))
        value = (text){(const uint8_t *)"n/a", 3};
    else if (value.bytes[0] == '"')
        value = (text){value.bytes + 1, value.length - 2};
    else if (is(value, "null"))
        value.length = 0;
    return value;
}

static void put_members(csv *c, const uint8_t *at, text above) {
    for (member m; take_member(&at, &m);) {
        uint8_t path[128];
        text name = {path, above.length + m.name.length + (above.length > 0)};
        assert(name.length <= sizeof path);
        memcpy(path, above.bytes, above.length);
        if (above.length > 0)
            path[above.length] = '.';
        memcpy(path + name.length - m.name.length, m.name.bytes, m.name.length);
        if (m.value.bytes[0] == '{')
            put_members(c, m.value.bytes + 1, name);
        else
            put_field(c, c->fault == NULL ? name : field_of(c, &m));
    }
}

static size_t as_csv(uint8_t *line, const sl_generate_fault *fault, size_t fields_max,
                     size_t *fields) {
    csv c = {.fault = fault, .fields_max = fields_max};
    put_members(&c, line + 1, (text){(const uint8_t *)"", 0});
    put_byte(&c, '\n');
    if (fields != NULL)
        *fields = c.fields;
    else
        memcpy(line, c.bytes, c.length);
    return c.length;
}

size_t sl_generate_csv(uint8_t *line, size_t length, const sl_generate_fault *fault) {
    size_t fields = SIZE_MAX;
    (void)length;
    /* Cut between two fields: an open quote would take the lines behind it along. */
    if (fault->kind == SL_FAULT_CUT) {
        (void)as_csv(line, fault, SIZE_MAX, &fields);
        fields = 1 + (size_t)(fault->bits % (fields - 1));
    }
    return as_csv(line, fault, fields, NULL);
}

size_t sl_generate_csv_header(uint8_t *line, size_t length) {
    (void)length;
    return as_csv(line, NULL, SIZE_MAX, NULL);
}
