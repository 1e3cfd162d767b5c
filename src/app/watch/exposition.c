#include "exposition.h"

#include <stdlib.h>
#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

static void blanks(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
}

static bool take(cursor *c, char what) {
    if (c->at == c->end || *c->at != what)
        return false;
    c->at++;
    return true;
}

static bool name_byte(char c, bool first, bool colon) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':') ||
           (!first && c >= '0' && c <= '9');
}

static bool read_name(cursor *c, bool colon, char *out) {
    size_t n = 0;
    while (c->at < c->end && name_byte(*c->at, n == 0, colon)) {
        if (n == EXPOSITION_TEXT - 1)
            return false;
        out[n++] = *c->at++;
    }
    out[n] = 0;
    return n != 0;
}

/* Behind the opening quote. */
static bool read_text(cursor *c, char *out) {
    size_t n = 0;
    while (c->at < c->end && *c->at != '"') {
        char byte = *c->at++;
        if (byte == '\\') {
            if (c->at == c->end || strchr("\\\"n", *c->at) == NULL || *c->at == 0)
                return false;
            byte = *c->at == 'n' ? '\n' : *c->at;
            c->at++;
        }
        if (n == EXPOSITION_TEXT - 1 || byte == 0)
            return false;
        out[n++] = byte;
    }
    out[n] = 0;
    return take(c, '"');
}

static bool read_labels(cursor *c, exposition_series *s) {
    s->label_count = 0;
    if (!take(c, '{'))
        return true;
    for (blanks(c); !take(c, '}'); blanks(c)) {
        size_t i = s->label_count;
        if (i == EXPOSITION_LABELS || !read_name(c, false, s->labels[i].name))
            return false;
        blanks(c);
        if (!take(c, '='))
            return false;
        blanks(c);
        if (!take(c, '"') || !read_text(c, s->labels[i].value))
            return false;
        s->label_count++;
        blanks(c);
        if (!take(c, ',') && (c->at == c->end || *c->at != '}'))
            return false;
    }
    return true;
}

/* A number or NaN, +Inf, -Inf; strtod() takes more (hexadecimal, "infinity"), which does no harm. */
static bool read_number(cursor *c, double *out) {
    char text[64];
    size_t n = 0;
    blanks(c);
    while (c->at < c->end && *c->at != ' ' && *c->at != '\t') {
        if (n == sizeof text - 1)
            return false;
        text[n++] = *c->at++;
    }
    text[n] = 0;
    char *end = NULL;
    *out = strtod(text, &end);
    return n != 0 && end == text + n;
}

static bool read_line(cursor c, exposition_series *s) {
    double time;
    if (!read_name(&c, true, s->name))
        return false;
    blanks(&c);
    if (!read_labels(&c, s) || !read_number(&c, &s->value))
        return false;
    blanks(&c);
    if (c.at != c.end && !read_number(&c, &time))
        return false;
    blanks(&c);
    return c.at == c.end;
}

size_t exposition_read(const char *text, size_t length, void (*each)(void *context, const exposition_series *series),
                       void *context) {
    exposition_series series;
    size_t bad = 0;
    for (const char *at = text, *end = text + length; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        cursor c = {at, stop != NULL ? stop : end};
        at = stop != NULL ? stop + 1 : end;
        if (c.end > c.at && c.end[-1] == '\r')
            c.end--;
        blanks(&c);
        if (c.at == c.end || *c.at == '#')
            continue;
        if (read_line(c, &series))
            each(context, &series);
        else
            bad++;
    }
    return bad;
}

const char *exposition_label(const exposition_series *s, const char *name) {
    for (size_t i = 0; i < s->label_count; i++)
        if (strcmp(s->labels[i].name, name) == 0)
            return s->labels[i].value;
    return "";
}
