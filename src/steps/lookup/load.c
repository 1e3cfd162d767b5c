// Begin, feed, finish: content is gathered, read once for its types and once for the
// table.

#include "internal.h"

#include "sluice/time.h"
#include "sluice/utf8.h"

#include <assert.h>

#define ARENA_BLOCK_BYTES 4096u
#define BYTES_MAX (UINT64_C(1) << 30)
#define TABLE_BYTES_MAX UINT32_MAX /**< Texts are found by 32 bits. */

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

// ---- The definition
// ------------------------------------------------------------------------------------

static sl_status check_column(const sl_lookup_column *column, bool key, sl_error *error) {
    size_t length = strlen(column->name);
    if (length == 0 || length > NAME_BYTES_MAX)
        return sl_error_set(error, SL_EINVAL,
                            "a column's name is empty, or longer than %u bytes",
                            NAME_BYTES_MAX);
    if (!column->typed)
        return SL_OK;
    bool good = column->type == SL_TYPE_STRING || column->type == SL_TYPE_INT64 ||
                column->type == SL_TYPE_DOUBLE || column->type == SL_TYPE_BOOL ||
                column->type == SL_TYPE_TIMESTAMP || column->type == SL_TYPE_DATE;
    if (column->type == SL_TYPE_DECIMAL)
        good = column->precision >= 1 && column->precision <= DECIMAL_DIGITS_MAX &&
               column->scale <= column->precision;
    if (!good)
        return sl_error_set(error, SL_EINVAL,
                            "column \"%s\": a table can't hold this type", column->name);
    if (key && column->type == SL_TYPE_DOUBLE)
        return sl_error_set(error, SL_EINVAL, "column \"%s\": a double can't be a key",
                            column->name);
    return SL_OK;
}

static sl_status check(const sl_lookup_definition *d, sl_error *error) {
    if (d->key == NULL || d->key[0] == 0)
        return sl_error_set(error, SL_EINVAL, "a lookup needs a key column");
    if (d->column_count > SL_LOOKUP_COLUMNS_MAX)
        return sl_error_set(error, SL_EINVAL, "more than %u columns",
                            SL_LOOKUP_COLUMNS_MAX);
    if (d->delimiter == '"' || d->delimiter == '\n' || d->delimiter == '\r')
        return sl_error_set(error, SL_EINVAL,
                            "quotes and line ends can't be the delimiter");
    for (uint32_t i = 0; i < d->column_count; i++) {
        const sl_lookup_column *column = &d->columns[i];
        sl_status status = check_column(column, strcmp(column->name, d->key) == 0, error);
        if (status != SL_OK)
            return status;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(d->columns[k].name, column->name) == 0)
                return sl_error_set(error, SL_EINVAL, "column \"%s\" is named twice",
                                    column->name);
    }
    return SL_OK;
}

static bool copy_definition(sl_lookup_loader *l, const sl_lookup_definition *from) {
    sl_lookup_definition *to = &l->definition;
    *to = *from;
    if (to->bytes_max == 0)
        to->bytes_max = BYTES_MAX;
    if (to->bytes_max > TABLE_BYTES_MAX)
        to->bytes_max = TABLE_BYTES_MAX;
    const char *name = from->name != NULL ? from->name : "lookup";
    sl_lookup_column *columns =
        sl_arena_get(&l->texts, (from->column_count + 1) * sizeof *columns);
    to->name = sl_arena_strndup(&l->texts, name, strlen(name));
    to->key = sl_arena_strndup(&l->texts, from->key, strlen(from->key));
    if (columns == NULL || to->name == NULL || to->key == NULL)
        return false;
    for (uint32_t i = 0; i < from->column_count; i++) {
        columns[i] = from->columns[i];
        columns[i].name =
            sl_arena_strndup(&l->texts, columns[i].name, strlen(columns[i].name));
        if (columns[i].name == NULL)
            return false;
    }
    to->columns = columns;
    return true;
}

sl_status sl_lookup_begin(const sl_lookup_definition *definition, sl_lookup_loader **out,
                          sl_error *error) {
    *out = NULL;
    sl_status status = check(definition, error);
    if (status != SL_OK)
        return status;
    sl_lookup_loader *l = sl_calloc(1, sizeof *l);
    if (l == NULL)
        return no_memory(error);
    sl_arena_init(&l->texts, ARENA_BLOCK_BYTES);
    if (!copy_definition(l, definition)) {
        sl_lookup_loader_destroy(l);
        return no_memory(error);
    }
    *out = l;
    return SL_OK;
}

void sl_lookup_loader_destroy(sl_lookup_loader *l) {
    if (l == NULL)
        return;
    sl_budget_give(l->definition.budget, l->charged);
    sl_buffer_fini(&l->content);
    sl_free(l->columns);
    sl_arena_fini(&l->texts);
    sl_free(l);
}

void sl_lookup_left_out(const sl_lookup_loader *l, sl_buffer *out) {
    const sl_lookup_definition *d = &l->definition;
    for (uint32_t i = 0; i < l->column_count && !d->all; i++) {
        bool named = strcmp(l->columns[i].name, d->key) == 0;
        for (uint32_t k = 0; k < d->column_count && !named; k++)
            named = strcmp(l->columns[i].name, d->columns[k].name) == 0;
        if (!named)
            sl_buffer_printf(out, "%s%s", out->length == 0 ? "" : ", ",
                             l->columns[i].name);
    }
}

// ---- Content
// ------------------------------------------------------------------------------------------

static sl_status room(const sl_lookup_loader *l, size_t length, sl_error *error) {
    if (length > l->definition.bytes_max - l->content.length)
        return sl_error_set(error, SL_ELIMIT, "%s: more than %llu bytes",
                            l->definition.name,
                            (unsigned long long)l->definition.bytes_max);
    return SL_OK;
}

// The budget has what the buffer takes, which grows by more than is added.
static sl_status charge(sl_lookup_loader *l, sl_error *error) {
    if (l->content.failed)
        return no_memory(error);
    uint64_t more = l->content.capacity - l->charged;
    if (sl_budget_take(l->definition.budget, more) != SL_OK)
        return sl_error_set(error, SL_EFULL, "%s: doesn't fit in what `memory` leaves",
                            l->definition.name);
    l->charged += more;
    return SL_OK;
}

sl_status sl_lookup_feed(sl_lookup_loader *l, const void *bytes, size_t length,
                         sl_error *error) {
    assert(l->definition.format != SL_LOOKUP_ROWS);
    sl_status status = room(l, length, error);
    if (status != SL_OK)
        return status;
    sl_buffer_append(&l->content, bytes, length);
    return charge(l, error);
}

sl_status sl_lookup_feed_all(sl_lookup_loader *l, sl_buffer *content, sl_error *error) {
    assert(l->definition.format != SL_LOOKUP_ROWS && l->content.bytes == NULL);
    sl_status status = room(l, content->length, error);
    if (status != SL_OK)
        return status;
    l->content = *content;
    *content = SL_BUFFER_EMPTY;
    return charge(l, error);
}

sl_status sl_lookup_names(sl_lookup_loader *l, const char *const *names, uint32_t count,
                          sl_error *error) {
    assert(l->definition.format == SL_LOOKUP_ROWS && l->column_count == 0);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *name = (const uint8_t *)names[i];
        size_t length = strlen(names[i]);
        if (sl_lookup_content_column(l, name, length, 0) != UINT32_MAX)
            return sl_error_set(error, SL_ESYNTAX, "%s: a second column \"%s\"",
                                l->definition.name, names[i]);
        sl_status status = sl_lookup_add_column(l, name, length, error);
        if (status != SL_OK) {
            sl_error_context(error, "%s", l->definition.name);
            return status;
        }
    }
    return SL_OK;
}

static cell_kind kind_of(const sl_value *value) {
    if (value->null)
        return CELL_NULL;
    switch (value->type) {
    case SL_TYPE_BOOL:
        return CELL_TRUTH;
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
        return CELL_NUMBER;
    case SL_TYPE_DECIMAL:
        return CELL_DECIMAL;
    case SL_TYPE_TIMESTAMP:
        return CELL_TIME;
    case SL_TYPE_DATE:
        return CELL_DATE;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
        return CELL_STRING;
    case SL_TYPE_GROUP:
    case SL_TYPE_BYTES:
        break;
    }
    return CELL_NULL;
}

// The value as text. Numbers as JSON writes them; times without JSON's quotes.
static void put_text(const sl_value *value, cell_kind kind, sl_buffer *out) {
    char text[40];
    if (kind == CELL_STRING)
        sl_buffer_append(out, value->as.text.bytes, value->as.text.length);
    else if (kind == CELL_TIME)
        sl_buffer_append(out, text, sl_time_format(value->as.i64, text));
    else if (kind == CELL_DATE)
        sl_buffer_append(out, text, sl_date_format((int32_t)value->as.i64, text));
    else if (kind != CELL_NULL)
        sl_value_json(value, out);
}

sl_status sl_lookup_row(sl_lookup_loader *l, const sl_value *values, sl_error *error) {
    assert(l->definition.format == SL_LOOKUP_ROWS);
    sl_buffer *out = &l->content;
    size_t before = out->length;
    l->rows++;
    for (uint32_t i = 0; i < l->column_count; i++) {
        cell_kind kind = kind_of(&values[i]);
        const uint8_t *text = values[i].as.text.bytes;
        size_t length = kind == CELL_STRING ? values[i].as.text.length : 64,
               at = out->length + 1;
        sl_status status = room(l, length + 5, error);
        if (status == SL_OK && kind == CELL_STRING &&
            sl_utf8_valid(text, length) != length)
            status = sl_error_set(
                error, SL_ESYNTAX, "%s: row %llu, column \"%s\": not UTF-8",
                l->definition.name, (unsigned long long)l->rows, l->columns[i].name);
        if (status != SL_OK) {
            out->length = before;
            return status;
        }
        sl_buffer_byte(out, (uint8_t)kind);
        sl_buffer_u32(out, 0);
        put_text(&values[i], kind, out);
        if (out->failed)
            return no_memory(error);
        uint32_t written = (uint32_t)(out->length - at - 4);
        for (unsigned b = 0; b < 4; b++)
            out->bytes[at + b] = (uint8_t)(written >> (8 * b));
    }
    return charge(l, error);
}
