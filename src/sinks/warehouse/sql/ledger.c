/* The ledger beside a warehouse table: one row per partition says how far the table holds
 * it (I4). Statements use only what Redshift knows, too: no ON CONFLICT, no RETURNING, no
 * parameters. */
#include "private.h"

#include <inttypes.h>
#include <stdlib.h>

static void literal(const sl_warehouse_table *table, const char *text, sl_buffer *out) {
    sl_dialect_literal(table->dialect, text, strlen(text), out);
}

void sl_warehouse_ledger_create(const sl_warehouse_table *table, sl_buffer *out) {
    bool keys = table->dialect == SL_DIALECT_POSTGRES;
    const char *text = keys ? "TEXT" : "VARCHAR(512)";
    sl_buffer_printf(out,
                     "CREATE TABLE IF NOT EXISTS %s (\n  \"id\" BIGINT NOT NULL%s,\n"
                     "  \"partition\" %s NOT NULL%s,\n  \"position\" %s NOT NULL,\n"
                     "  \"hash\" %s NOT NULL,\n  \"rows\" BIGINT NOT NULL\n)",
                     table->ledger, keys ? " UNIQUE" : "", text,
                     keys ? " PRIMARY KEY" : "", text, text);
}

void sl_warehouse_ledger_lock(const sl_warehouse_table *table, sl_buffer *out) {
    if (table->dialect == SL_DIALECT_POSTGRES)
        sl_buffer_printf(out, "LOCK TABLE %s IN EXCLUSIVE MODE", table->ledger);
    else
        sl_buffer_printf(out, "LOCK %s", table->ledger);
}

void sl_warehouse_ledger_read(const sl_warehouse_table *table, const char *partition,
                              sl_buffer *out) {
    sl_buffer_printf(
        out,
        "SELECT \"id\",\"position\",\"hash\",\"rows\" FROM %s WHERE \"partition\" = ",
        table->ledger);
    literal(table, partition, out);
}

void sl_warehouse_ledger_insert(const sl_warehouse_table *table,
                                const sl_warehouse_move *move, sl_buffer *out) {
    sl_buffer_printf(
        out,
        "INSERT INTO %s (\"id\",\"partition\",\"position\",\"hash\",\"rows\")"
        " SELECT COALESCE(MAX(\"id\"),0)+1, ",
        table->ledger);
    literal(table, move->partition, out);
    sl_buffer_printf(out, ", '%" PRIu64 "', '', 0 FROM %s", move->from, table->ledger);
}

void sl_warehouse_ledger_move(const sl_warehouse_table *table,
                              const sl_warehouse_move *move, sl_buffer *out) {
    sl_buffer_printf(out, "UPDATE %s SET \"position\" = '%" PRIu64 "', \"hash\" = ",
                     table->ledger, move->to);
    literal(table, move->hash, out);
    sl_buffer_printf(
        out, ", \"rows\" = \"rows\" + %" PRIu64 " WHERE \"partition\" = ", move->rows);
    literal(table, move->partition, out);
    sl_buffer_printf(out, " AND \"position\" = '%" PRIu64 "'", move->from);
}

static bool position_of(const char *text, uint64_t *out) {
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return *end == 0;
}

sl_status sl_warehouse_ledger_check(const sl_warehouse_move *move, const char *position,
                                    const char *hash, sl_error *error) {
    uint64_t at;
    if (position == NULL)
        return move->first
                   ? SL_OK
                   : sl_error_set(
                         error, SL_ECONFLICT,
                         "%s: the warehouse's ledger has no row for %s, but this isn't"
                         " the table's first load; was the warehouse replaced?",
                         move->table, move->partition);
    if (!position_of(position, &at) || hash == NULL)
        return sl_error_set(error, SL_ECONFLICT,
                            "%s: the warehouse's ledger has no position: '%s'",
                            move->table, position);
    if (at == move->to && strcmp(hash, move->hash) == 0)
        return SL_EEXIST;
    if (at == move->from)
        return SL_OK;
    return sl_error_set(error, SL_ECONFLICT,
                        "%s: the warehouse's ledger stands at %" PRIu64
                        "%s, this load is %" PRIu64 " to %" PRIu64,
                        move->table, at, at == move->to ? " by another load" : "",
                        move->from, move->to);
}
