/* Tables of events. */
#include "private.h"

/* "a.b" is the column "a_b". @return NULL: the row file hasn't got it, so that no row has an id. */
static const char *id_column(const sl_rows_reader *reader, const char *path) {
    for (uint32_t i = 0; path != NULL && i < reader->count; i++) {
        const char *name = reader->columns[i].name;
        size_t k = 0;
        while (path[k] != 0 && (path[k] == name[k] || (path[k] == '.' && name[k] == '_')))
            k++;
        if (path[k] == 0 && name[k] == 0)
            return name;
    }
    return NULL;
}

static sl_status id_index(sl_warehouse *w, const sl_warehouse_load *load, const char *id, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY, name = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "sluice_id_%s", load->table);
    sl_buffer_text(&text, "CREATE UNIQUE INDEX IF NOT EXISTS ");
    sl_sqlite_quote(&text, sl_buffer_cstr(&name));
    sl_buffer_text(&text, " ON ");
    sl_sqlite_quote(&text, load->table);
    sl_buffer_byte(&text, '(');
    sl_sqlite_quote(&text, id);
    sl_buffer_byte(&text, ')');
    text.failed = text.failed || name.failed;
    sl_buffer_fini(&name);
    sl_status status = sl_sqlite_run(w, &text, error);
    return status == SL_OK ? SL_OK
                           : sl_error_context(error, "%s: rows of one id are there already, of before `id` was set",
                                              load->table);
}

/* The later event's row replaces the earlier one's. */
static void replace_on(sl_buffer *text, const sl_rows_reader *reader, const char *id) {
    sl_buffer_text(text, " ON CONFLICT(");
    sl_sqlite_quote(text, id);
    sl_buffer_text(text, ") DO UPDATE SET \"_partition\" = excluded.\"_partition\", \"_hash\" = excluded.\"_hash\"");
    for (uint32_t i = 0; i < reader->count; i++) {
        sl_buffer_text(text, ", ");
        sl_sqlite_quote(text, reader->columns[i].name);
        sl_buffer_text(text, " = excluded.");
        sl_sqlite_quote(text, reader->columns[i].name);
    }
}

static sl_status rows_table(sl_warehouse *w, const sl_warehouse_load *load,
                            const sl_rows_reader *reader, sl_sql_statement **insert,
                            sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "CREATE TABLE IF NOT EXISTS ");
    sl_sqlite_quote(&text, load->table);
    sl_buffer_text(&text, "(\"_position\" INTEGER NOT NULL, \"_partition\" INTEGER NOT NULL,"
                          " \"_hash\" INTEGER NOT NULL, PRIMARY KEY(\"_partition\", \"_position\"))");
    sl_status status = sl_sqlite_run(w, &text, error);
    columns have = {0};
    if (status == SL_OK)
        status = sl_sqlite_columns(w, load->table, &have, error);
    for (uint32_t i = 0; i < reader->count && status == SL_OK; i++)
        status = sl_sqlite_add_column(w, load->table, &have, reader->columns[i].name,
                            sl_sqlite_type(reader->columns[i].type), error);
    sl_sqlite_columns_fini(&have);
    const char *id = id_column(reader, load->id);
    if (status == SL_OK && id != NULL)
        status = id_index(w, load, id, error);
    if (status != SL_OK)
        return status;
    text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "INSERT INTO ");
    sl_sqlite_quote(&text, load->table);
    sl_buffer_text(&text, "(\"_partition\",\"_hash\"");
    for (uint32_t i = 0; i < reader->count; i++) {
        sl_buffer_byte(&text, ',');
        sl_sqlite_quote(&text, reader->columns[i].name);
    }
    sl_buffer_text(&text, ") VALUES(?,?");
    for (uint32_t i = 0; i < reader->count; i++)
        sl_buffer_text(&text, ",?");
    sl_buffer_byte(&text, ')');
    if (id != NULL)
        replace_on(&text, reader, id);
    status = sl_sqlite_prepare(w, &text, insert, error);
    return status;
}

static sl_status load_file(sl_warehouse *w, const sl_warehouse_load *load, int64_t partition,
                           const uint8_t *bytes, size_t length, uint64_t *rows, sl_error *error) {
    sl_rows_reader reader;
    sl_status status = sl_rows_open(bytes, length, &reader);
    if (status != SL_OK)
        return sl_error_set(error, status, "%s: the spooled rows are damaged", load->table);
    sl_sql_statement *insert = NULL;
    status = rows_table(w, load, &reader, &insert, error);
    while (status == SL_OK) {
        status = sl_rows_next(&reader);
        if (status != SL_OK)
            break;
        cell_hash hash = 0;
        for (uint32_t i = 0; i < reader.count; i++) {
            sl_sqlite_bind(insert, (int)i + 3, &reader.values[i]);
            sl_sqlite_hash_value(&hash, reader.columns[i].name, &reader.values[i]);
        }
        sl_sql_bind_int(insert, 1, partition);
        sl_sql_bind_int(insert, 2, (int64_t)hash);
        status = sl_sql_run(insert, error);
        *rows += 1;
    }
    if (status == SL_ECORRUPT)
        (void)sl_error_set(error, status, "%s: the spooled rows are damaged", load->table);
    sl_rows_fini(&reader);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

sl_status sl_sqlite_load_rows(sl_warehouse *w, const sl_warehouse_load *load, int64_t partition,
                           uint64_t *rows, sl_error *error) {
    const uint8_t *bytes;
    size_t length;
    sl_status status = SL_OK;
    while (status == SL_OK) {
        status = load->next(load->context, &bytes, &length, error);
        if (status == SL_OK)
            status = load_file(w, load, partition, bytes, length, rows, error);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}
