/* What audit asks: where the ledger stands, and whether rows are as they were written. */
#include "private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool own(const char *name) {
    return strcmp(name, "_key") == 0 || strcmp(name, "_rows") == 0 || strcmp(name, "_hash") == 0 ||
           strcmp(name, "_partition") == 0;
}

static sl_status select_rows(sl_warehouse *w, const char *table, bool window, const columns *have, sl_sql_statement **out,
                             sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, window ? "SELECT \"_rows\",\"_hash\",\"window_start\""
                                 : "SELECT 1,\"_hash\",\"_position\"");
    for (uint32_t i = 0; i < have->count; i++)
        if (!own(have->names[i])) {
            sl_buffer_byte(&text, ',');
            sl_sqlite_quote(&text, have->names[i]);
        }
    sl_buffer_text(&text, " FROM ");
    sl_sqlite_quote(&text, table);
    if (!window)
        sl_buffer_text(&text,
                       " WHERE \"_partition\" = ? AND \"_position\" >= ? AND \"_position\" < ?");
    return sl_sqlite_prepare(w, &text, out, error);
}

static cell_hash row_hash(sl_sql_statement *s, const columns *have) {
    cell_hash hash = 0;
    int at = 3;
    for (uint32_t i = 0; i < have->count; i++)
        if (!own(have->names[i]))
            sl_sqlite_hash_cell(&hash, have->names[i], s, at++);
    return hash;
}

static sl_status audit_rows(sl_warehouse *w, const char *table, bool window, int64_t partition,
                            uint64_t from, uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    columns have;
    sl_status status = sl_sqlite_columns(w, table, &have, error);
    if (status != SL_OK || have.count == 0)
        return status;
    sl_sql_statement *s = NULL;
    status = select_rows(w, table, window, &have, &s, error);
    if (status == SL_OK && !window) {
        sl_sql_bind_int(s, 1, partition);
        sl_sql_bind_int(s, 2, (int64_t)from);
        sl_sql_bind_int(s, 3, (int64_t)to);
    }
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        const cell_hash hash = row_hash(s, &have);
        out->rows += (uint64_t)sl_sql_int(s, 0);
        out->row_hash += hash;
        if (hash != (uint64_t)sl_sql_int(s, 1) && out->altered++ == 0)
            (void)snprintf(out->first_altered, sizeof out->first_altered, "%s=%s",
                           window ? "window_start" : "_position", sl_sql_text(s, 2, NULL));
    }
    sl_sqlite_columns_fini(&have);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

/* Ours, what others brought, and partitions that several bring. */
static sl_status audit_ledger(sl_warehouse *w, const char *table, const char *partition, int64_t *id, uint64_t *others,
                              sl_warehouse_fact *out, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "SELECT id, partition, position, rows FROM \"sluice_ledger_%s\"", table);
    sl_sql_statement *s = NULL;
    sl_status status = sl_sqlite_prepare(w, &text, &s, error);
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        sl_range row = {.from = 0, .to = strtoull(sl_sql_text(s, 2, NULL), NULL, 10)};
        const uint64_t rows = (uint64_t)sl_sql_int(s, 3);
        row.partition = sl_sql_text(s, 1, &row.length);
        if (strcmp(row.partition, partition) == 0) {
            *id = sl_sql_int(s, 0);
            out->found = true;
            out->position = row.to;
            out->loaded = rows;
        } else {
            *others += rows;
        }
        sl_sqlite_put_part(&out->parts, &row);
    }
    return status == SL_ENOTFOUND ? sl_sqlite_finish(&out->parts, error) : status;
}

static sl_status audit_table(sl_warehouse *w, const char *table, const char *partition, bool window, uint64_t from,
                             uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY;
    columns have = {0};
    int64_t id = 0;
    uint64_t others = 0;
    sl_buffer_printf(&name, "sluice_ledger_%s", table);
    sl_status status = sl_sqlite_finish(&name, error);
    if (status == SL_OK)
        status = sl_sqlite_columns(w, (const char *)name.bytes, &have, error);
    const bool there = have.count != 0;
    sl_sqlite_columns_fini(&have);
    sl_buffer_fini(&name);
    if (status == SL_OK && there)
        status = audit_ledger(w, table, partition, &id, &others, out, error);
    if (status == SL_OK && out->found)
        status = audit_rows(w, table, window, id, from, to, out, error);
    if (window) /* Its rows count events of all that load into the table. */
        out->rows = out->rows > others ? out->rows - others : 0;
    return status;
}

sl_status sl_warehouse_audit(sl_warehouse *w, const char *table, const char *partition, bool window,
                             uint64_t from, uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    *out = (sl_warehouse_fact){.parts = SL_BUFFER_EMPTY};
    sl_status status = sl_sql_execute(w->sql, "BEGIN", error); /* One state of ledger and rows. */
    if (status != SL_OK)
        return status;
    status = audit_table(w, table, partition, window, from, to, out, error);
    if (sl_sql_execute(w->sql, "ROLLBACK", NULL) != SL_OK) {
        /* It only read. */
    }
    return status;
}
