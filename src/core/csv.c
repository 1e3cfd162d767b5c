// RFC 4180 with its gaps closed: see the header for what is refused.
//
//   file    = row *(line-end row) [line-end]
//   row     = field *("," field)
//   field   = *(TEXT without , LF), not beginning with DQUOTE / DQUOTE *(TEXT without " /
//   "") DQUOTE
//
// A field's end is looked for by bytes that matter, so multi-byte characters need no
// care; UTF-8 is checked field by field.

#include "sluice/csv.h"

#include "sluice/utf8.h"

#define ROW_BYTES_MAX (1u << 20)
#define CELLS_MAX 4096u

void sl_csv_init(sl_csv *csv) {
    *csv = (sl_csv){.delimiter = ',',
                    .row_bytes_max = ROW_BYTES_MAX,
                    .cells_max = CELLS_MAX,
                    .line = 1};
}

void sl_csv_fini(sl_csv *csv) {
    sl_free(csv->cells);
    sl_buffer_fini(&csv->unescaped);
    csv->cells = NULL;
    csv->count = csv->capacity = 0;
}

/** Reading one row. */
typedef struct scan {
    sl_csv *csv;
    const uint8_t *text, *end; /**< `text`: the row's first byte. */
    const uint8_t *at;
    const uint8_t *line_begin; /**< First byte of the line that `at` is in. */
    uint32_t line;
    bool last;
    sl_error *error;
} scan;

static uint32_t column_of(const scan *s, const uint8_t *p) {
    return (uint32_t)(p - s->line_begin) + 1;
}

static sl_status broken(const scan *s, const uint8_t *p, const char *words) {
    s->csv->broken_at = (uint32_t)(p - s->text);
    return sl_error_set(s->error, SL_ESYNTAX, "line %u, column %u: %s", s->line,
                        column_of(s, p), words);
}

// The row doesn't end here. Is there more to come?
static sl_status unfinished(const scan *s, const char *words) {
    if (s->last)
        return broken(s, s->at, words);
    if ((size_t)(s->end - s->text) > s->csv->row_bytes_max)
        return sl_error_set(s->error, SL_ELIMIT,
                            "line %u: the row is longer than %u bytes", s->csv->row_line,
                            s->csv->row_bytes_max);
    return SL_EAGAIN;
}

static sl_status add_cell(scan *s, sl_csv_cell cell) {
    sl_csv *csv = s->csv;
    if (csv->count >= csv->cells_max)
        return sl_error_set(s->error, SL_ELIMIT, "line %u: more than %u fields in a row",
                            csv->row_line, csv->cells_max);
    if (csv->count == csv->capacity) {
        uint32_t capacity = csv->capacity == 0 ? 32 : csv->capacity * 2;
        sl_csv_cell *cells = sl_realloc(csv->cells, capacity * sizeof *cells);
        if (cells == NULL)
            return sl_error_set(s->error, SL_ENOMEM, "out of memory");
        csv->cells = cells;
        csv->capacity = capacity;
    }
    csv->cells[csv->count++] = cell;
    return SL_OK;
}

static void count_lines(scan *s, const uint8_t *begin, const uint8_t *end) {
    for (const uint8_t *p; (p = memchr(begin, '\n', (size_t)(end - begin))) != NULL;
         begin = p + 1) {
        s->line++;
        s->line_begin = p + 1;
    }
}

static sl_status check_text(scan *s, const uint8_t *begin, size_t length) {
    size_t valid = sl_utf8_valid(begin, length);
    const uint8_t *zero = length != 0 ? memchr(begin, 0, length) : NULL;
    if (valid == length && zero == NULL)
        return SL_OK;
    bool early = zero != NULL && (size_t)(zero - begin) < valid;
    const uint8_t *wrong = early ? zero : begin + valid;
    count_lines(s, begin, wrong);
    return broken(s, wrong, early ? "a NUL byte" : "not UTF-8");
}

// Up to the delimiter, the line end, or the text's end. A CR counts only before LF.
static sl_status plain_field(scan *s) {
    const uint8_t *begin = s->at, *p = begin;
    uint8_t delimiter = (uint8_t)s->csv->delimiter;
    while (p < s->end && *p != delimiter && *p != '\n')
        p++;
    if (p == s->end && !s->last)
        return unfinished(s, "");
    const uint8_t *stop = p;
    if (p < s->end && *p == '\n' && p > begin && p[-1] == '\r')
        stop--;
    sl_csv_cell cell = {.bytes = begin,
                        .length = (uint32_t)(stop - begin),
                        .line = s->line,
                        .column = column_of(s, begin),
                        .at = (uint32_t)(begin - s->text)};
    sl_status status = check_text(s, begin, cell.length);
    s->at = p;
    return status == SL_OK ? add_cell(s, cell) : status;
}

/** Inside quotes: to the closing one. @return SL_OK and *quote, where it is. */
static sl_status closing_quote(scan *s, const uint8_t *begin, const uint8_t **quote,
                               bool *doubled) {
    const uint8_t *p = begin;
    *doubled = false;
    for (;;) {
        p = memchr(p, '"', (size_t)(s->end - p));
        // At the text's end a quote may close the field, or be the first of two.
        if (p == NULL || (p + 1 == s->end && !s->last))
            return unfinished(s, "the quote that the field begins with isn't closed");
        if (p + 1 == s->end || p[1] != '"')
            break;
        *doubled = true;
        p += 2;
    }
    *quote = p;
    return SL_OK;
}

static void undouble(sl_buffer *out, const uint8_t *begin, const uint8_t *end) {
    while (begin < end) {
        const uint8_t *quote = memchr(begin, '"', (size_t)(end - begin));
        const uint8_t *stop = quote != NULL ? quote + 1 : end;
        sl_buffer_append(out, begin, (size_t)(stop - begin));
        begin = quote != NULL ? stop + 1 : end;
    }
}

// `bytes` of such a cell is its offset in the buffer, which may still move; sl_csv_row()
// puts that right.
static sl_status unescape(scan *s, sl_csv_cell *cell, const uint8_t *begin,
                          const uint8_t *end) {
    sl_buffer *out = &s->csv->unescaped;
    size_t at = out->length;
    undouble(out, begin, end);
    if (out->failed)
        return sl_error_set(s->error, SL_ENOMEM, "out of memory");
    cell->bytes = NULL;
    cell->length = (uint32_t)(out->length - at);
    return SL_OK;
}

static sl_status quoted_field(scan *s) {
    const uint8_t *begin = s->at + 1, *quote = begin;
    bool doubled;
    sl_csv_cell cell = {.line = s->line,
                        .column = column_of(s, s->at),
                        .at = (uint32_t)(s->at - s->text),
                        .quoted = true};
    sl_status status = closing_quote(s, begin, &quote, &doubled);
    if (status != SL_OK)
        return status;
    const uint8_t *after = quote + 1;
    bool ends = after == s->end || *after == (uint8_t)s->csv->delimiter || *after == '\n';
    if (!ends && *after == '\r') {
        if (after + 1 == s->end && !s->last)
            return unfinished(s, "");
        ends = after + 1 < s->end && after[1] == '\n';
    }
    status = check_text(s, begin, (size_t)(quote - begin));
    cell.bytes = begin;
    cell.length = (uint32_t)(quote - begin);
    count_lines(s, begin, quote);
    if (status == SL_OK && !ends)
        status = broken(s, after, "text behind a closing quote");
    if (status == SL_OK && doubled)
        status = unescape(s, &cell, begin, quote);
    s->at = after < s->end && *after == '\r' ? after + 1 : after;
    return status == SL_OK ? add_cell(s, cell) : status;
}

static sl_status read_row(scan *s) {
    for (;;) {
        sl_status status =
            s->at < s->end && *s->at == '"' ? quoted_field(s) : plain_field(s);
        if (status != SL_OK)
            return status;
        if (s->at == s->end)
            return SL_OK;
        if (*s->at++ == '\n') {
            s->line++;
            return SL_OK;
        }
    }
}

// Empty lines, and once a byte order mark. @return SL_EAGAIN: what is left may be the
// beginning of one of these.
static sl_status skip_empty(sl_csv *csv, const uint8_t *text, size_t length, bool last,
                            size_t *used) {
    static const uint8_t mark[3] = {0xEF, 0xBB, 0xBF};
    size_t at = 0;
    if (!csv->begun) {
        size_t have = length < sizeof mark ? length : sizeof mark;
        if (have < sizeof mark && !last && memcmp(text, mark, have) == 0)
            return SL_EAGAIN;
        if (have == sizeof mark && memcmp(text, mark, have) == 0)
            at = sizeof mark;
        csv->begun = true;
    }
    for (;; csv->line++) {
        if (at < length && text[at] == '\n')
            at++;
        else if (at + 1 < length && text[at] == '\r' && text[at + 1] == '\n')
            at += 2;
        else
            break;
    }
    *used = at;
    bool perhaps = at == length || (at + 1 == length && text[at] == '\r');
    return perhaps && !last ? SL_EAGAIN : SL_OK;
}

// Behind an error: the next line, whatever quotes say.
static void pass_over(sl_csv *csv, const uint8_t *text, size_t length, size_t *used) {
    const uint8_t *end = memchr(text + *used, '\n', length - *used);
    csv->line = csv->row_line + (end != NULL);
    *used = end != NULL ? (size_t)(end - text) + 1 : length;
}

sl_status sl_csv_row(sl_csv *csv, const uint8_t *text, size_t length, bool last,
                     size_t *used, sl_error *error) {
    *used = 0;
    csv->count = 0;
    sl_buffer_clear(&csv->unescaped);
    if (length == 0)
        return last ? SL_ENOTFOUND : SL_EAGAIN;
    sl_status status = skip_empty(csv, text, length, last, used);
    if (status != SL_OK)
        return status;
    if (*used == length)
        return SL_ENOTFOUND;
    csv->row_line = csv->line;
    csv->row_begin = *used;
    const uint8_t *begin = text + *used;
    scan s = {.csv = csv,
              .text = begin,
              .end = text + length,
              .at = begin,
              .line_begin = begin,
              .line = csv->line,
              .last = last,
              .error = error};
    status = read_row(&s);
    if (status == SL_EAGAIN)
        return status;
    if (status == SL_OK && (size_t)(s.at - begin) > csv->row_bytes_max)
        status =
            sl_error_set(error, SL_ELIMIT, "line %u: the row is longer than %u bytes",
                         csv->row_line, csv->row_bytes_max);
    if (status != SL_OK) {
        csv->count = 0;
        if (status != SL_ENOMEM)
            pass_over(csv, text, length, used);
        return status;
    }
    csv->line = s.line;
    *used = (size_t)(s.at - text);
    const uint8_t *unescaped = csv->unescaped.bytes;
    for (uint32_t i = 0; i < csv->count; i++) {
        if (csv->cells[i].bytes != NULL)
            continue;
        csv->cells[i].bytes = unescaped;
        unescaped += csv->cells[i].length;
    }
    return SL_OK;
}
