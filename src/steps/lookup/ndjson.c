// Members of one object. The line was found to be JSON by RFC 8259 before, so this only
// has to tell its parts apart.

#include "internal.h"

/** The line, and where in it. */
typedef struct scan {
    cursor *c;
    const uint8_t *line, *at, *end;
    sl_error *error;
} scan;

static uint32_t column_of(const scan *s, const uint8_t *p) {
    return (uint32_t)(p - s->line) + 1;
}

static sl_status wrong(const scan *s, const uint8_t *p, sl_status status,
                       const char *words) {
    return sl_error_set(s->error, status, "line %u, column %u: %s", s->c->line,
                        column_of(s, p), words);
}

static void spaces(scan *s) {
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

static uint32_t hex4(const uint8_t *p) {
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t d = p[i];
        number = number << 4 | (uint32_t)(d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
    }
    return number;
}

static void put_utf8(sl_buffer *out, uint32_t code) {
    if (code < 0x80) {
        sl_buffer_byte(out, (uint8_t)code);
        return;
    }
    if (code < 0x800) {
        sl_buffer_byte(out, (uint8_t)(0xC0 | code >> 6));
    } else {
        if (code < 0x10000) {
            sl_buffer_byte(out, (uint8_t)(0xE0 | code >> 12));
        } else {
            sl_buffer_byte(out, (uint8_t)(0xF0 | code >> 18));
            sl_buffer_byte(out, (uint8_t)(0x80 | (code >> 12 & 63)));
        }
        sl_buffer_byte(out, (uint8_t)(0x80 | (code >> 6 & 63)));
    }
    sl_buffer_byte(out, (uint8_t)(0x80 | (code & 63)));
}

// Behind the backslash, at `p`. @return behind the escape; NULL: a character that texts
// can't hold.
static const uint8_t *escape(const uint8_t *p, sl_buffer *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (*p != 'u') {
        sl_buffer_byte(out, (uint8_t)values[strchr(names, *p) - names]);
        return p + 1;
    }
    uint32_t code = hex4(p + 1);
    p += 5;
    if (code >= 0xD800 && code < 0xDC00) {
        code = 0x10000 + ((code - 0xD800) << 10) + (hex4(p + 2) - 0xDC00);
        p += 6;
    }
    if (code == 0)
        return NULL;
    put_utf8(out, code);
    return p;
}

// At the opening quote. The text is in the line, or at `offset` of the cursor's buffer,
// which may still move.
static sl_status string(scan *s, const uint8_t **text, uint32_t *length, size_t *offset,
                        bool *escaped) {
    const uint8_t *begin = ++s->at, *p = begin;
    while (*p != '"' && *p != '\\')
        p++;
    *escaped = *p == '\\';
    *text = begin;
    *length = (uint32_t)(p - begin);
    *offset = 0;
    if (*escaped) {
        sl_buffer *out = &s->c->unescaped;
        *offset = out->length;
        sl_buffer_append(out, begin, (size_t)(p - begin));
        while (*p != '"') {
            const uint8_t *at = p;
            if (*p != '\\')
                sl_buffer_byte(out, *p++);
            else if ((p = escape(p + 1, out)) == NULL)
                return wrong(s, at, SL_ESYNTAX, "a NUL character");
        }
        if (out->failed)
            return sl_error_set(s->error, SL_ENOMEM, "out of memory");
        *length = (uint32_t)(out->length - *offset);
    }
    s->at = p + 1;
    return SL_OK;
}

// Over an object or array, to behind its end.
static void pass_nested(scan *s) {
    unsigned depth = 0;
    do {
        uint8_t byte = *s->at++;
        if (byte == '"') {
            for (; *s->at != '"'; s->at++)
                s->at += *s->at == '\\';
            s->at++;
        } else {
            depth += byte == '{' || byte == '[';
            depth -= byte == '}' || byte == ']';
        }
    } while (depth != 0);
}

/** Cells whose text is in the buffer have bytes NULL and the offset here, until the line
 * is done. */
typedef struct member {
    cell cell;
    size_t offset;
    bool escaped;
} member;

static sl_status value(scan *s, member *out) {
    const uint8_t *begin = s->at;
    *out = (member){.cell = {.quoted = true,
                             .bytes = begin,
                             .line = s->c->line,
                             .column = column_of(s, begin)}};
    switch (*begin) {
    case '"':
        out->cell.kind = CELL_TEXT;
        return string(s, &out->cell.bytes, &out->cell.length, &out->offset,
                      &out->escaped);
    case '{':
    case '[':
        pass_nested(s);
        return SL_OK;
    case 'n':
        s->at += 4;
        return SL_OK;
    case 't':
    case 'f':
        out->cell.kind = CELL_TRUTH;
        break;
    default:
        out->cell.kind = CELL_NUMBER;
        break;
    }
    while (s->at < s->end && strchr(",}] \t\r\n", *s->at) == NULL)
        s->at++;
    out->cell.length = (uint32_t)(s->at - begin);
    return SL_OK;
}

static sl_status place(scan *s, const uint8_t *name, size_t length, uint32_t *hint,
                       uint32_t *index) {
    *index = sl_lookup_content_column(s->c->loader, name, length, *hint);
    if (*index == UINT32_MAX && s->c->discover) {
        sl_status status = sl_lookup_add_column(s->c->loader, name, length, s->error);
        if (status != SL_OK) {
            sl_error_context(s->error, "line %u", s->c->line);
            return status;
        }
        *index = s->c->loader->column_count - 1;
        s->c->cells[*index] = (cell){.kind = CELL_NULL};
    }
    *hint = *index + 1;
    return SL_OK;
}

static sl_status one_member(scan *s, size_t offsets[SL_LOOKUP_COLUMNS_MAX],
                            uint32_t *hint) {
    const uint8_t *name;
    uint32_t length, index = UINT32_MAX;
    size_t offset;
    bool escaped;
    member m;
    sl_status status = string(s, &name, &length, &offset, &escaped);
    if (status != SL_OK)
        return status;
    if (escaped)
        name = s->c->unescaped.bytes + offset;
    spaces(s);
    s->at++; // The colon.
    spaces(s);
    // Objects and arrays make no column, and are null in one that has scalars elsewhere.
    if (*s->at == '{' || *s->at == '[')
        index = sl_lookup_content_column(s->c->loader, name, length, *hint);
    else
        status = place(s, name, length, hint, &index);
    if (status != SL_OK)
        return status;
    if ((status = value(s, &m)) != SL_OK)
        return status;
    if (index == UINT32_MAX)
        return SL_OK;
    offsets[index] = m.offset;
    s->c->cells[index] = m.cell; // Of a name that comes twice, the last.
    if (m.escaped)
        s->c->cells[index].bytes = NULL;
    return SL_OK;
}

sl_status sl_lookup_members(cursor *c, const uint8_t *line, size_t length,
                            sl_error *error) {
    scan s = {.c = c, .line = line, .at = line, .end = line + length, .error = error};
    size_t offsets[SL_LOOKUP_COLUMNS_MAX];
    uint32_t hint = 0;
    sl_buffer_clear(&c->unescaped);
    for (uint32_t i = 0; i < c->loader->column_count; i++)
        c->cells[i] = (cell){.kind = CELL_NULL, .line = c->line, .column = 1};
    spaces(&s);
    if (*s.at != '{')
        return wrong(&s, s.at, SL_ESYNTAX, "an object is expected");
    do {
        s.at++; // The brace, or the comma.
        spaces(&s);
        if (*s.at == '}')
            break;
        sl_status status = one_member(&s, offsets, &hint);
        if (status != SL_OK)
            return status;
        spaces(&s);
    } while (*s.at == ',');
    for (uint32_t i = 0; i < c->loader->column_count; i++)
        if (c->cells[i].bytes == NULL && c->cells[i].kind != CELL_NULL)
            c->cells[i].bytes = c->unescaped.bytes + offsets[i];
    return SL_OK;
}
