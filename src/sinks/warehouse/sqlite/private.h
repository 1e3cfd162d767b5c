/* What the files of the embedded warehouse share. */
#pragma once

#include "sluice/warehouse.h"

#include "sluice/rows.h"

struct sl_warehouse {
    sl_sql *sql;
};

/* Sum of a row's cells, the same from values that are bound as from cells that are read. Each counts under its column's name, and null is
 * nothing: a row has one hash wherever its columns stand, whichever come later or get no more values. */
typedef uint64_t cell_hash;

typedef struct columns {
    char **names;
    uint32_t count, capacity;
} columns;

/* --- text.c: statements, and the columns that a table has --- */
void sl_sqlite_quote(sl_buffer *out, const char *name);
const char *sl_sqlite_type(sl_type type);
/* End the text with a NUL. @return SL_OK, SL_ENOMEM. */
sl_status sl_sqlite_finish(sl_buffer *text, sl_error *error);
/* Finish, prepare and free it. */
sl_status sl_sqlite_prepare(sl_warehouse *w, sl_buffer *text, sl_sql_statement **out, sl_error *error);
/* Finish, execute and free it. */
sl_status sl_sqlite_run(sl_warehouse *w, sl_buffer *text, sl_error *error);
sl_status sl_sqlite_columns(sl_warehouse *w, const char *table, columns *out, sl_error *error);
void sl_sqlite_columns_fini(columns *c);
/* A column that came later (a measure or field that was added) is appended. */
sl_status sl_sqlite_add_column(sl_warehouse *w, const char *table, const columns *have,
                               const char *name, const char *type, sl_error *error);

/* --- cells.c: values in and out --- */
void sl_sqlite_bind(sl_sql_statement *s, int at, const sl_value *v);
void sl_sqlite_hash_value(cell_hash *h, const char *column, const sl_value *v);
/* As sl_sqlite_hash_value() for a cell as SQLite has it. */
void sl_sqlite_hash_cell(cell_hash *h, const char *column, sl_sql_statement *s, int at);

/* --- windows.c, rows.c: within the load's transaction --- */
sl_status sl_sqlite_load_window(sl_warehouse *w, const sl_warehouse_load *load, uint64_t *rows,
                                sl_error *error);
sl_status sl_sqlite_load_rows(sl_warehouse *w, const sl_warehouse_load *load, int64_t partition,
                              uint64_t *rows, sl_error *error);

/* --- ranges.c: within the load's transaction, once its own row of the ledger is checked; nothing where the load names none --- */
/* @return SL_OK; SL_EMOVED, and load->found says where the ledger's rows stand. */
sl_status sl_sqlite_check_ranges(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error);
/* A row of the ledger as a line; nothing for a journal's. */
void sl_sqlite_put_part(sl_buffer *out, const sl_range *row);
/* Their rows of the ledger to where the load ends. */
sl_status sl_sqlite_move_ranges(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error);
