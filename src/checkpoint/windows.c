/* Open windows: what was cut of them so far, and what was there before entries that may be taken back. */
#include "ledger.h"

sl_status sl_ledger_window_get(sl_ledger *ledger, int64_t table, int64_t start, const void *key,
                               size_t key_length, sl_buffer *state, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "SELECT state FROM open_windows WHERE table_id = ? AND start = ? AND key = ?",
        &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, table);
    sl_sql_bind_int(s, 2, start);
    sl_sql_bind_blob(s, 3, key, key_length);
    status = sl_sql_step(s, error);
    if (status == SL_OK) {
        size_t length;
        const void *bytes = sl_sql_blob(s, 0, &length);
        sl_buffer_append(state, bytes, length);
        sl_sql_reset(s);
    }
    return status;
}

sl_status sl_ledger_window_put(sl_ledger *ledger, int64_t table, int64_t start, const void *key,
                               size_t key_length, const void *state, size_t state_length,
                               sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql,
        "INSERT OR REPLACE INTO open_windows(table_id, start, key, state) VALUES(?,?,?,?)", &s,
        error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, table);
    sl_sql_bind_int(s, 2, start);
    sl_sql_bind_blob(s, 3, key, key_length);
    sl_sql_bind_blob(s, 4, state, state_length);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_window_keep(sl_ledger *ledger, int64_t entry, int64_t table, int64_t start, const void *key, size_t key_length,
                                sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql,
                                      "INSERT OR IGNORE INTO kept_windows(entry_id, table_id, start, key, state) VALUES(?1,?2,?3,?4,"
                                      "(SELECT state FROM open_windows WHERE table_id = ?2 AND start = ?3 AND key = ?4))",
                                      &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, entry);
    sl_sql_bind_int(s, 2, table);
    sl_sql_bind_int(s, 3, start);
    sl_sql_bind_blob(s, 4, key, key_length);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_window_drop(sl_ledger *ledger, int64_t table, int64_t before,
                                sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "DELETE FROM open_windows WHERE table_id = ? AND start < ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, table);
    sl_sql_bind_int(s, 2, before);
    return sl_sql_run(s, error);
}

static sl_status each_window(sl_sql_statement *s, sl_ledger_window_fn *each, void *context, sl_error *error) {
    sl_status status;
    while ((status = sl_sql_step(s, error)) == SL_OK) {
        size_t key_length, state_length;
        const void *key = sl_sql_blob(s, 1, &key_length);
        const void *state = sl_sql_blob(s, 2, &state_length);
        status = each(context, sl_sql_int(s, 0), key, key_length, state, state_length);
        if (status != SL_OK) {
            sl_sql_reset(s);
            return status;
        }
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

sl_status sl_ledger_windows(sl_ledger *ledger, int64_t table, sl_ledger_window_fn *each,
                            void *context, sl_error *error) {
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(ledger->sql,
                       "SELECT start, key, state FROM open_windows WHERE table_id = ?"
                       " ORDER BY start DESC, key",
                       &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, table);
    return each_window(s, each, context, error);
}

sl_status sl_ledger_windows_between(sl_ledger *ledger, int64_t table, int64_t from, int64_t to, sl_ledger_window_fn *each, void *context,
                                    sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "SELECT start, key, state FROM open_windows WHERE table_id = ? AND start >= ? AND start < ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, table);
    sl_sql_bind_int(s, 2, from);
    sl_sql_bind_int(s, 3, to);
    return each_window(s, each, context, error);
}
