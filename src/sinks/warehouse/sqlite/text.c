/* Statements as text, and the columns that a table has. */
#include "private.h"

void sl_sqlite_quote(sl_buffer *out, const char *name) {
    sl_buffer_byte(out, '"');
    for (; *name != 0; name++) {
        if (*name == '"')
            sl_buffer_byte(out, '"');
        sl_buffer_byte(out, (uint8_t)*name);
    }
    sl_buffer_byte(out, '"');
}

const char *sl_sqlite_type(sl_type type) {
    switch (type) {
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
        return "INTEGER";
    case SL_TYPE_DOUBLE:
    case SL_TYPE_DECIMAL:
        return "REAL";
    case SL_TYPE_BYTES:
        return "BLOB";
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_GROUP:
        break;
    }
    return "TEXT";
}

sl_status sl_sqlite_finish(sl_buffer *text, sl_error *error) {
    (void)sl_buffer_cstr(text);
    return text->failed ? sl_error_set(error, SL_ENOMEM, "warehouse: out of memory") : SL_OK;
}

sl_status sl_sqlite_prepare(sl_warehouse *w, sl_buffer *text, sl_sql_statement **out, sl_error *error) {
    sl_status status = sl_sqlite_finish(text, error);
    if (status == SL_OK)
        status = sl_sql_prepare(w->sql, (const char *)text->bytes, out, error);
    sl_buffer_fini(text);
    return status;
}

sl_status sl_sqlite_run(sl_warehouse *w, sl_buffer *text, sl_error *error) {
    sl_status status = sl_sqlite_finish(text, error);
    if (status == SL_OK)
        status = sl_sql_execute(w->sql, (const char *)text->bytes, error);
    sl_buffer_fini(text);
    return status;
}

void sl_sqlite_columns_fini(columns *c) {
    for (uint32_t i = 0; i < c->count; i++)
        sl_free(c->names[i]);
    sl_free(c->names);
}

sl_status sl_sqlite_columns(sl_warehouse *w, const char *table, columns *out, sl_error *error) {
    *out = (columns){0};
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(w->sql, "SELECT name FROM pragma_table_info(?)", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, table);
    while ((status = sl_sql_step(s, error)) == SL_OK) {
        if (out->count == out->capacity) {
            uint32_t capacity = out->capacity ? 2 * out->capacity : 16;
            char **names = sl_realloc(out->names, capacity * sizeof *names);
            if (names == NULL)
                goto nomem;
            out->names = names;
            out->capacity = capacity;
        }
        char *name = sl_strdup(sl_sql_text(s, 0, NULL));
        if (name == NULL)
            goto nomem;
        out->names[out->count++] = name;
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
nomem:
    sl_sql_reset(s);
    return sl_error_set(error, SL_ENOMEM, "warehouse: out of memory");
}

static bool has_column(const columns *c, const char *name) {
    for (uint32_t i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0)
            return true;
    return false;
}

sl_status sl_sqlite_add_column(sl_warehouse *w, const char *table, const columns *have,
                            const char *name, const char *type, sl_error *error) {
    if (has_column(have, name))
        return SL_OK;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "ALTER TABLE ");
    sl_sqlite_quote(&text, table);
    sl_buffer_text(&text, " ADD COLUMN ");
    sl_sqlite_quote(&text, name);
    sl_buffer_printf(&text, " %s", type);
    return sl_sqlite_run(w, &text, error);
}
