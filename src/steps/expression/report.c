// Error texts: the place, what is wrong, the line with a caret below, and the nearest
// name.

#include "internal.h"

#include <stdio.h>

#define SHOWN_BYTES 100u /**< Of a long line, around the place. */
#define WORD_MAX 64u     /**< Longer names have no nearest. */

typedef struct place {
    uint32_t line, column; /**< From 1; columns count characters. */
    uint32_t begin, end;   /**< The line's bytes, or the part of them around the place. */
} place;

static bool continues(char byte) { return ((unsigned char)byte & 0xc0) == 0x80; }

static place find_place(const compiler *c, uint32_t at) {
    place p = {.line = 1, .column = 1};
    for (uint32_t i = 0; i < at; i++) {
        if (c->text[i] == '\n') {
            p.line++;
            p.column = 1;
            p.begin = i + 1;
        } else if (!continues(c->text[i])) {
            p.column++;
        }
    }
    if (at - p.begin > SHOWN_BYTES / 2)
        p.begin = at - SHOWN_BYTES / 2;
    while (p.begin < at && continues(c->text[p.begin]))
        p.begin++;
    p.end = p.begin;
    while (p.end < c->length && c->text[p.end] != '\n' && p.end - p.begin < SHOWN_BYTES)
        p.end++;
    while (p.end < c->length && continues(c->text[p.end]))
        p.end++;
    return p;
}

// The line, tabs as one space, and the caret below the character at `at`.
static void draw(const compiler *c, const place *p, uint32_t at, char *out, size_t size) {
    size_t used = 0;
    out[used++] = '\n';
    out[used++] = ' ';
    out[used++] = ' ';
    for (uint32_t i = p->begin; i < p->end && used < size / 2; i++)
        out[used++] = (unsigned char)c->text[i] < 32 ? ' ' : c->text[i];
    out[used++] = '\n';
    out[used++] = ' ';
    out[used++] = ' ';
    for (uint32_t i = p->begin; i < at && used < size - 2; i++)
        if (!continues(c->text[i]))
            out[used++] = ' ';
    out[used++] = '^';
    out[used] = 0;
}

sl_status fault(const compiler *c, sl_status status, uint32_t at, const char *format,
                ...) {
    char words[256], drawing[2 * SHOWN_BYTES + 32];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    place p = find_place(c, at);
    draw(c, &p, at, drawing, sizeof drawing);
    if (p.line > 1)
        return sl_error_set(c->error, status, "line %u, column %u: %s%s", p.line,
                            p.column, words, drawing);
    return sl_error_set(c->error, status, "column %u: %s%s", p.column, words, drawing);
}

sl_status out_of_memory(const compiler *c) {
    return sl_error_set(c->error, SL_ENOMEM, "out of memory");
}

// Damerau-Levenshtein in its restricted form (optimal string alignment), three rows of
// the table.
uint32_t edit_distance(const char *a, const char *b, uint32_t limit) {
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return limit + 1;
    uint32_t rows[3][WORD_MAX + 1];
    for (uint32_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        uint32_t *row = rows[i % 3];
        const uint32_t *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= m; j++) {
            uint32_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                second[j - 2] + 1 < best)
                best = second[j - 2] + 1;
            row[j] = best;
        }
    }
    uint32_t distance = rows[n % 3][m];
    return distance > limit ? limit + 1 : distance;
}

typedef struct nearest {
    const char *word, *name;
    uint32_t distance;
} nearest;

static nearest look_for(const char *word) {
    uint32_t limit = (uint32_t)(strlen(word) / 3);
    return (nearest){.word = word,
                     .distance = (limit < 1   ? 1
                                  : limit > 3 ? 3
                                              : limit) +
                                 1};
}

static void consider(nearest *n, const char *name) {
    uint32_t distance = edit_distance(n->word, name, n->distance);
    if (distance < n->distance) {
        n->distance = distance;
        n->name = name;
    }
}

const char *nearest_name(const compiler *c, const char *word) {
    nearest n = look_for(word);
    for (size_t i = 0; i < c->name_count; i++)
        consider(&n, c->names[i].path);
    for (uint32_t i = 1; c->schema != NULL && i < c->schema->count; i++)
        consider(&n, c->schema->fields[i].path);
    if (n.name != NULL || c->schema == NULL)
        return n.name;
    // A member named without the objects around it: `country` for `geo.country`.
    for (uint32_t i = 1; i < c->schema->count; i++)
        if (strcmp(c->schema->fields[i].name, word) == 0)
            return c->schema->fields[i].path;
    return NULL;
}
