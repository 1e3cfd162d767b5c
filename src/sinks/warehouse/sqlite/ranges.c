/* Rows of the ledger for partitions of other logs, which several readers bring: beside the journals' rows, moved in the load's
 * transaction. */
#include "private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void sl_sqlite_put_part(sl_buffer *out, const sl_range *row) {
    const bool journal = row->length >= 8 && memcmp(row->partition, "journal:", 8) == 0;
    if (!journal && memchr(row->partition, '\n', row->length) == NULL)
        sl_range_put(out, row);
}

static sl_status read_rows(sl_warehouse *w, const char *table, sl_buffer *out, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "SELECT partition, position FROM \"sluice_ledger_%s\"", table);
    sl_sql_statement *s = NULL;
    sl_status status = sl_sqlite_prepare(w, &text, &s, error);
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        sl_range row = {.from = 0};
        row.partition = sl_sql_text(s, 0, &row.length);
        row.to = strtoull(sl_sql_text(s, 1, NULL), NULL, 10);
        sl_sqlite_put_part(out, &row);
    }
    if (status == SL_ENOTFOUND)
        status = sl_sqlite_finish(out, error);
    return status;
}

sl_status sl_sqlite_check_ranges(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error) {
    if (load->ranges == NULL)
        return SL_OK;
    sl_buffer rows = SL_BUFFER_EMPTY;
    sl_status status = read_rows(w, load->table, &rows, error);
    if (status == SL_OK)
        status = sl_ranges_check(load->table, load->ranges, (const char *)rows.bytes, error);
    if (status == SL_EMOVED && load->found != NULL) {
        sl_buffer_clear(load->found);
        sl_buffer_append(load->found, rows.bytes, rows.length);
        if (load->found->failed)
            status = sl_error_set(error, SL_ENOMEM, "%s: out of memory", load->table);
    }
    sl_buffer_fini(&rows);
    return status;
}

sl_status sl_sqlite_move_ranges(sl_warehouse *w, const sl_warehouse_load *load, sl_error *error) {
    if (load->ranges == NULL)
        return SL_OK;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text,
                     "INSERT INTO \"sluice_ledger_%s\"(partition, position, hash, rows) VALUES(?1,?2,?3,0)"
                     " ON CONFLICT(partition) DO UPDATE SET position = ?2, hash = ?3",
                     load->table);
    sl_sql_statement *s = NULL;
    sl_status status = sl_sqlite_prepare(w, &text, &s, error);
    sl_range range;
    for (const char *at = load->ranges; status == SL_OK && sl_range_next(&at, &range);) {
        char position[24];
        (void)snprintf(position, sizeof position, "%" PRIu64, range.to);
        sl_sql_bind_text(s, 1, range.partition, range.length);
        sl_sql_bind_string(s, 2, position);
        sl_sql_bind_string(s, 3, load->hash);
        status = sl_sql_run(s, error);
    }
    return status;
}
