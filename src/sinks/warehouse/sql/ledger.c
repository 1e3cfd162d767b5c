/* The ledger beside a warehouse table: one row per partition says how far the table holds
 * it (I4): each daemon's journal, and each partition of another log that daemons share.
 * Statements use only what Redshift knows, too: no ON CONFLICT, no RETURNING, no
 * parameters. */
#include "private.h"

#include "sluice/checkpoint.h"

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

void sl_warehouse_ledger_all(const sl_warehouse_table *table, sl_buffer *out) {
    sl_buffer_printf(
        out,
        "SELECT \"id\",\"partition\",\"position\",\"hash\",\"rows\" FROM %s"
        " ORDER BY \"id\"",
        table->ledger);
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

/* Whole rows instead of an UPDATE each: thousands of partitions are two statements. Their
 * ids are nobody's business, while journals keep theirs. */
static void replace_parts(const sl_warehouse_table *table, const sl_warehouse_move *move,
                          sl_buffer *out) {
    sl_range range;
    const char *comma = "";
    sl_buffer_printf(out, "DELETE FROM %s WHERE \"partition\" IN (", table->ledger);
    for (const char *at = move->ranges; sl_range_next(&at, &range); comma = ",") {
        sl_buffer_text(out, comma);
        sl_dialect_literal(table->dialect, range.partition, range.length, out);
    }
    sl_buffer_printf(
        out,
        "); INSERT INTO %s (\"id\",\"partition\",\"position\",\"hash\",\"rows\") VALUES ",
        table->ledger);
    int64_t id = move->last_id;
    comma = "";
    for (const char *at = move->ranges; sl_range_next(&at, &range); comma = ",") {
        sl_buffer_printf(out, "%s(%" PRId64 ",", comma, ++id);
        sl_dialect_literal(table->dialect, range.partition, range.length, out);
        sl_buffer_printf(out, ",'%" PRIu64 "',", range.to);
        literal(table, move->hash, out);
        sl_buffer_text(out, ",0)");
    }
    sl_buffer_text(out, "; ");
}

static bool any_part(const sl_warehouse_move *move) {
    sl_range range;
    const char *at = move->ranges;
    return at != NULL && sl_range_next(&at, &range);
}

void sl_warehouse_ledger_move(const sl_warehouse_table *table,
                              const sl_warehouse_move *move, sl_buffer *out) {
    if (any_part(move))
        replace_parts(table, move, out);
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

sl_status sl_warehouse_parts_add(sl_warehouse_parts *parts, const char *table,
                                 const char *const cells[3], sl_error *error) {
    uint64_t id;
    sl_range row = {.from = 0, .partition = cells[1]};
    if (cells[0] == NULL || cells[1] == NULL || cells[2] == NULL ||
        !position_of(cells[0], &id) || !position_of(cells[2], &row.to))
        return sl_error_set(error, SL_ECONFLICT,
                            "%s: the warehouse's ledger has no id or position: %s '%s' '%s'",
                            table, cells[1] == NULL ? "" : cells[1],
                            cells[0] == NULL ? "" : cells[0],
                            cells[2] == NULL ? "" : cells[2]);
    if ((int64_t)id > parts->last_id)
        parts->last_id = (int64_t)id;
    row.length = strlen(row.partition);
    if (strncmp(row.partition, "journal:", 8) != 0 && strchr(row.partition, '\n') == NULL)
        sl_range_put(&parts->lines, &row);
    return parts->lines.failed ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", table)
                               : SL_OK;
}

sl_status sl_warehouse_parts_check(const sl_warehouse_move *move, sl_warehouse_parts *parts,
                                   sl_buffer *found, sl_error *error) {
    if (move->ranges == NULL)
        return SL_OK;
    const char *lines = sl_buffer_cstr(&parts->lines);
    if (parts->lines.failed)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", move->table);
    sl_status status = sl_ranges_check(move->table, move->ranges, lines, error);
    if (status == SL_EMOVED && found != NULL) {
        sl_buffer_clear(found);
        sl_buffer_append(found, parts->lines.bytes, parts->lines.length);
        if (found->failed)
            status = sl_error_set(error, SL_ENOMEM, "%s: out of memory", move->table);
    }
    return status;
}

void sl_warehouse_parts_fini(sl_warehouse_parts *parts) {
    sl_buffer_fini(&parts->lines);
    *parts = (sl_warehouse_parts){.lines = SL_BUFFER_EMPTY};
}
