/* One load is one transaction: ledger row checked, rows merged, ledger row moved (I4). */
#include "private.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

sl_status sl_warehouse_open(const char *path, const sl_sql_options *options, sl_warehouse **out,
                            sl_error *error) {
    *out = NULL;
    sl_warehouse *warehouse = sl_calloc(1, sizeof *warehouse);
    if (warehouse == NULL)
        return sl_error_set(error, SL_ENOMEM, "warehouse: out of memory");
    sl_status status = sl_sql_open(path, options, &warehouse->sql, error);
    if (status != SL_OK) {
        (void)sl_error_context(error, "warehouse");
        sl_free(warehouse);
        return status;
    }
    *out = warehouse;
    return SL_OK;
}

void sl_warehouse_close(sl_warehouse *warehouse) {
    if (warehouse == NULL)
        return;
    sl_sql_close(warehouse->sql);
    sl_free(warehouse);
}

static sl_status ledger_table(sl_warehouse *w, const char *table, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY, name = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "sluice_ledger_%s", table);
    sl_buffer_text(&text, "CREATE TABLE IF NOT EXISTS ");
    sl_sqlite_quote(&text, sl_buffer_cstr(&name));
    text.failed = text.failed || name.failed;
    sl_buffer_text(&text, "(id INTEGER PRIMARY KEY, partition TEXT NOT NULL UNIQUE,"
                          " position TEXT NOT NULL, hash TEXT NOT NULL, rows INTEGER NOT NULL)");
    sl_buffer_fini(&name);
    return sl_sqlite_run(w, &text, error);
}

/* @return SL_OK: load; SL_EEXIST: done already; SL_ECONFLICT. *id: the partition's row, 0: to be inserted. */
static sl_status ledger_check(sl_warehouse *w, const sl_warehouse_load *load, const char *hash,
                              int64_t *id, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "SELECT id, position, hash FROM \"sluice_ledger_%s\" WHERE partition = ?",
                     load->table);
    sl_sql_statement *s = NULL;
    sl_status status = sl_sqlite_prepare(w, &text, &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, load->partition);
    status = sl_sql_step(s, error);
    if (status == SL_ENOTFOUND) {
        *id = 0;
        return load->first ? SL_OK
                           : sl_error_set(error, SL_ECONFLICT,
                                          "%s: sluice_ledger_%s has no row for %s, but this isn't the"
                                          " table's first load; was the warehouse replaced?",
                                          load->table, load->table, load->partition);
    }
    if (status != SL_OK)
        return status;
    *id = sl_sql_int(s, 0);
    uint64_t position = strtoull(sl_sql_text(s, 1, NULL), NULL, 10);
    bool same = strcmp(sl_sql_text(s, 2, NULL), hash) == 0;
    sl_sql_reset(s);
    if (position == load->to && same)
        return SL_EEXIST;
    if (position == load->from)
        return SL_OK;
    return sl_error_set(error, SL_ECONFLICT,
                        "%s: sluice_ledger_%s stands at %" PRIu64 ", this load is %" PRIu64
                        " to %" PRIu64,
                        load->table, load->table, position, load->from, load->to);
}

/* @return the partition's id in *id. */
static sl_status ledger_move(sl_warehouse *w, const sl_warehouse_load *load, const char *hash,
                             uint64_t rows, int64_t *id, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text,
                     "INSERT INTO \"sluice_ledger_%s\"(partition, position, hash, rows)"
                     " VALUES(?1,?2,?3,?4) ON CONFLICT(partition) DO UPDATE SET position = ?2,"
                     " hash = ?3, rows = rows + ?4 RETURNING id",
                     load->table);
    sl_sql_statement *s = NULL;
    sl_status status = sl_sqlite_prepare(w, &text, &s, error);
    if (status != SL_OK)
        return status;
    char position[24];
    (void)snprintf(position, sizeof position, "%" PRIu64, load->to);
    sl_sql_bind_string(s, 1, load->partition);
    sl_sql_bind_string(s, 2, position);
    sl_sql_bind_string(s, 3, hash);
    sl_sql_bind_int(s, 4, (int64_t)rows);
    status = sl_sql_step(s, error);
    if (status != SL_OK)
        return status;
    *id = sl_sql_int(s, 0);
    sl_sql_reset(s);
    return SL_OK;
}

sl_status sl_warehouse_apply(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error) {
    const char *hash = load->hash;
    sl_status status = ledger_table(w, load->table, error);
    if (status != SL_OK)
        return status;
    status = sl_sql_execute(w->sql, "BEGIN IMMEDIATE", error);
    if (status != SL_OK)
        return status;
    int64_t id = 0;
    uint64_t rows = 0;
    status = ledger_check(w, load, hash, &id, error);
    bool done = status == SL_EEXIST;
    if (status == SL_OK)
        status = sl_sqlite_check_ranges(w, load, error);
    if (status == SL_OK && id == 0)
        status = ledger_move(w, load, hash, 0, &id, error);
    if (status == SL_OK)
        status = load->plan != NULL ? sl_sqlite_load_window(w, load, &rows, error)
                                    : sl_sqlite_load_rows(w, load, id, &rows, error);
    if (status == SL_OK)
        status = ledger_move(w, load, hash, rows, &id, error);
    if (status == SL_OK)
        status = sl_sqlite_move_ranges(w, load, error);
    if (status == SL_OK)
        status = sl_sql_execute(w->sql, "COMMIT", error);
    if (status != SL_OK && sl_sql_execute(w->sql, "ROLLBACK", NULL) != SL_OK) {
        /* Nothing to roll back: the failed COMMIT did it. */
    }
    return done ? SL_OK : status;
}
