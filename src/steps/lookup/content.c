// Content as rows of cells, whatever its form.
//
// ROWS are kept as they are given, cell after cell: u8 kind, u32 length (little-endian),
// text.

#include "internal.h"

#include "sluice/decode.h"
#include "sluice/utf8.h"

#include <stdio.h>

#define LINE_BYTES_MAX (1u << 20)

// ---- Columns
// --------------------------------------------------------------------------------------------

uint32_t sl_lookup_content_column(const sl_lookup_loader *loader, const uint8_t *name,
                                  size_t length, uint32_t hint) {
    // Members mostly come in the order of the line before.
    for (uint32_t i = 0; i < loader->column_count; i++) {
        uint32_t k = (hint + i) % loader->column_count;
        const content_column *column = &loader->columns[k];
        if (column->name_length == length && memcmp(column->name, name, length) == 0)
            return k;
    }
    return UINT32_MAX;
}

sl_status sl_lookup_add_column(sl_lookup_loader *loader, const uint8_t *name,
                               size_t length, sl_error *error) {
    if (loader->column_count == SL_LOOKUP_COLUMNS_MAX)
        return sl_error_set(error, SL_ELIMIT, "more than %u columns",
                            SL_LOOKUP_COLUMNS_MAX);
    if (length > NAME_BYTES_MAX)
        return sl_error_set(error, SL_ELIMIT, "a column's name is longer than %u bytes",
                            NAME_BYTES_MAX);
    if (length == 0 || memchr(name, 0, length) != NULL)
        return sl_error_set(error, SL_ESYNTAX,
                            "a column's name is empty, or has a NUL in it");
    if (loader->column_count == loader->column_capacity) {
        uint32_t capacity =
            loader->column_capacity == 0 ? 16 : loader->column_capacity * 2;
        content_column *columns = sl_realloc(loader->columns, capacity * sizeof *columns);
        if (columns == NULL)
            return sl_error_set(error, SL_ENOMEM, "out of memory");
        loader->columns = columns;
        loader->column_capacity = capacity;
    }
    char *copy = sl_arena_strndup(&loader->texts, (const char *)name, length);
    if (copy == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    loader->columns[loader->column_count++] =
        (content_column){.name = copy,
                         .name_length = (uint32_t)length,
                         .ints = true,
                         .doubles = true,
                         .truths = true,
                         .times = true,
                         .dates = true};
    return SL_OK;
}

// ---- CSV
// ----------------------------------------------------------------------------------------------

static sl_status csv_row(cursor *c, sl_error *error) {
    const sl_buffer *content = &c->loader->content;
    size_t used = 0;
    sl_status status = sl_csv_row(&c->csv, content->bytes + c->at,
                                  content->length - c->at, true, &used, error);
    c->at += used;
    return status;
}

static sl_status csv_header(cursor *c, bool first_pass, sl_error *error) {
    sl_status status = csv_row(c, error);
    if (status == SL_ENOTFOUND)
        return sl_error_set(error, SL_ESYNTAX,
                            "it is empty; the first row should name the columns");
    for (uint32_t i = 0; status == SL_OK && first_pass && i < c->csv.count; i++) {
        const sl_csv_cell *name = &c->csv.cells[i];
        // Lines that end in CR alone are one line of names, and no rows.
        if (!name->quoted && memchr(name->bytes, '\r', name->length) != NULL)
            status = sl_error_set(error, SL_ESYNTAX,
                                  "a carriage return in a name; lines end in LF or CRLF");
        else if (sl_lookup_content_column(c->loader, name->bytes, name->length, 0) !=
                 UINT32_MAX)
            status = sl_error_set(error, SL_ESYNTAX, "a second column \"%.*s\"",
                                  (int)name->length, (const char *)name->bytes);
        else
            status = sl_lookup_add_column(c->loader, name->bytes, name->length, error);
        if (status != SL_OK)
            sl_error_context(error, "line %u, column %u", name->line, name->column);
    }
    return status;
}

static sl_status csv_next(cursor *c, sl_error *error) {
    sl_status status = csv_row(c, error);
    if (status != SL_OK)
        return status;
    if (c->csv.count != c->loader->column_count)
        return sl_error_set(error, SL_ESYNTAX,
                            "line %u: the row has %u fields, the first row names %u",
                            c->csv.row_line, c->csv.count, c->loader->column_count);
    for (uint32_t i = 0; i < c->csv.count; i++) {
        const sl_csv_cell *from = &c->csv.cells[i];
        bool nothing = from->length == 0 && !from->quoted;
        c->cells[i] = (cell){.kind = nothing ? CELL_NULL : CELL_ANY,
                             .quoted = from->quoted,
                             .bytes = from->bytes,
                             .length = from->length,
                             .line = from->line,
                             .column = from->column};
    }
    return SL_OK;
}

// ---- NDJSON
// -------------------------------------------------------------------------------------------

static bool blank(const uint8_t *p, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
            return false;
    return true;
}

static sl_status ndjson_next(cursor *c, sl_error *error) {
    const sl_buffer *content = &c->loader->content;
    if (c->at == 0 && content->length >= 3 &&
        memcmp(content->bytes, "\xEF\xBB\xBF", 3) == 0)
        c->at = 3; // As in CSV.
    while (c->at < content->length) {
        const uint8_t *line = content->bytes + c->at;
        size_t left = content->length - c->at, wrong = 0;
        const uint8_t *end = memchr(line, '\n', left);
        size_t length = end != NULL ? (size_t)(end - line) : left;
        c->at += length + (end != NULL);
        c->line++;
        if (blank(line, length))
            continue;
        if (length > LINE_BYTES_MAX)
            return sl_error_set(error, SL_ELIMIT, "line %u: longer than %u bytes",
                                c->line, LINE_BYTES_MAX);
        if (!sl_json_valid(line, length, &wrong))
            return sl_error_set(error, SL_ESYNTAX, "line %u, column %zu: no JSON",
                                c->line, wrong + 1);
        return sl_lookup_members(c, line, length, error);
    }
    return SL_ENOTFOUND;
}

// ---- Rows of values
// -----------------------------------------------------------------------------------

static sl_status rows_next(cursor *c) {
    const sl_buffer *content = &c->loader->content;
    if (c->at == content->length)
        return SL_ENOTFOUND;
    for (uint32_t i = 0; i < c->loader->column_count; i++) {
        const uint8_t *p = content->bytes + c->at;
        uint32_t length = (uint32_t)p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16 |
                          (uint32_t)p[4] << 24;
        c->cells[i] = (cell){
            .kind = (cell_kind)p[0], .quoted = true, .bytes = p + 5, .length = length};
        c->at += 5 + (size_t)length;
    }
    return SL_OK;
}

// ---- All
// ----------------------------------------------------------------------------------------------

sl_status sl_lookup_cursor_open(cursor *c, sl_lookup_loader *loader, bool first_pass,
                                sl_error *error) {
    memset(c, 0, sizeof *c);
    c->loader = loader;
    c->discover = first_pass;
    sl_csv_init(&c->csv);
    c->csv.cells_max = SL_LOOKUP_COLUMNS_MAX;
    if (loader->definition.delimiter != 0)
        c->csv.delimiter = loader->definition.delimiter;
    return loader->definition.format == SL_LOOKUP_CSV ? csv_header(c, first_pass, error)
                                                      : SL_OK;
}

sl_status sl_lookup_cursor_next(cursor *c, sl_error *error) {
    sl_status status;
    if (c->loader->definition.format == SL_LOOKUP_CSV)
        status = csv_next(c, error);
    else if (c->loader->definition.format == SL_LOOKUP_NDJSON)
        status = ndjson_next(c, error);
    else
        status = rows_next(c);
    c->row += status == SL_OK;
    return status;
}

void sl_lookup_cursor_close(cursor *c) {
    sl_csv_fini(&c->csv);
    sl_buffer_fini(&c->unescaped);
}
