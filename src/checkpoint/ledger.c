/* The database: its tables, those of older versions, transactions, and facts by name. */
#include "ledger.h"

/* Positions are text, as the design says: other logs' offsets aren't numbers. The journal's are
 * written with leading zeros only where a human sorts them, never here. */
static const char schema_text[] =
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS tables(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " stream TEXT NOT NULL, kind INTEGER NOT NULL, target TEXT NOT NULL, window TEXT NOT NULL,"
    " first TEXT NOT NULL, last TEXT NOT NULL, cursor TEXT NOT NULL,"
    " sequence INTEGER NOT NULL, watermark INTEGER);"
    "CREATE TABLE IF NOT EXISTS targets(table_id INTEGER NOT NULL, target TEXT NOT NULL,"
    " PRIMARY KEY(table_id, target)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS entries(id INTEGER PRIMARY KEY, table_id INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL, first TEXT NOT NULL, next TEXT NOT NULL,"
    " received INTEGER NOT NULL, rows INTEGER NOT NULL, dead INTEGER NOT NULL,"
    " late INTEGER NOT NULL, duplicates INTEGER NOT NULL, filtered INTEGER NOT NULL,"
    " schema_version INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " created INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,"
    " replayed INTEGER NOT NULL DEFAULT 0, elsewhere INTEGER NOT NULL DEFAULT 0,"
    " begin TEXT NOT NULL DEFAULT '0', watermark_from INTEGER, ranges TEXT NOT NULL DEFAULT '',"
    " UNIQUE(table_id, sequence));"
    "CREATE INDEX IF NOT EXISTS undelivered ON entries(table_id, sequence) WHERE delivered = 0;"
    "CREATE TABLE IF NOT EXISTS files(entry_id INTEGER NOT NULL, n INTEGER NOT NULL,"
    " spool TEXT NOT NULL, key TEXT NOT NULL, bytes INTEGER NOT NULL, rows INTEGER NOT NULL,"
    " hash TEXT NOT NULL, PRIMARY KEY(entry_id, n)) WITHOUT ROWID;"
    /* A loaded row file is gone; what audit compares is in the warehouse. */
    "CREATE TRIGGER IF NOT EXISTS loaded AFTER UPDATE OF delivered ON entries WHEN new.delivered <> 0"
    " BEGIN DELETE FROM files WHERE entry_id = new.id AND key = ''; END;"
    "CREATE TABLE IF NOT EXISTS open_windows(table_id INTEGER NOT NULL, start INTEGER NOT NULL,"
    " key BLOB NOT NULL, state BLOB NOT NULL, PRIMARY KEY(table_id, start, key)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS schemas(stream TEXT NOT NULL, version INTEGER NOT NULL,"
    " json TEXT NOT NULL, frozen_at TEXT NOT NULL, PRIMARY KEY(stream, version)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS versions(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,"
    " generation INTEGER NOT NULL, position TEXT NOT NULL, version TEXT NOT NULL, at INTEGER NOT NULL,"
    " UNIQUE(kind, name, generation, position, version));"
    "CREATE TABLE IF NOT EXISTS keys(key BLOB PRIMARY KEY, body BLOB NOT NULL,"
    " arrival INTEGER NOT NULL, result BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS keys_by_arrival ON keys(arrival);"
    "CREATE TABLE IF NOT EXISTS replays(keeper TEXT NOT NULL, stream TEXT NOT NULL, positions BLOB NOT NULL,"
    " PRIMARY KEY(keeper, stream)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS kept_windows(entry_id INTEGER NOT NULL, table_id INTEGER NOT NULL, start INTEGER NOT NULL,"
    " key BLOB NOT NULL, state BLOB, PRIMARY KEY(entry_id, start, key)) WITHOUT ROWID;"
    "CREATE TRIGGER IF NOT EXISTS settled AFTER UPDATE OF delivered ON entries WHEN new.delivered <> 0"
    " BEGIN DELETE FROM kept_windows WHERE entry_id = new.id; END;";

/* Ledgers of before there were replays, or ranges. */
static sl_status migrate(sl_ledger *ledger, sl_error *error) {
    static const char *const columns[][2] = {{"replayed", "ALTER TABLE entries ADD COLUMN replayed INTEGER NOT NULL DEFAULT 0"},
                                             {"elsewhere", "ALTER TABLE entries ADD COLUMN elsewhere INTEGER NOT NULL DEFAULT 0"},
                                             {"begin", "ALTER TABLE entries ADD COLUMN begin TEXT NOT NULL DEFAULT '0'"},
                                             {"watermark_from", "ALTER TABLE entries ADD COLUMN watermark_from INTEGER"},
                                             {"ranges", "ALTER TABLE entries ADD COLUMN ranges TEXT NOT NULL DEFAULT ''"}};
    sl_status status = SL_OK;
    for (size_t i = 0; i < sizeof columns / sizeof *columns && status == SL_OK; i++) {
        sl_sql_statement *s;
        status = sl_sql_prepare(ledger->sql, "SELECT 1 FROM pragma_table_info('entries') WHERE name = ?", &s, error);
        if (status != SL_OK)
            return status;
        sl_sql_bind_string(s, 1, columns[i][0]);
        status = sl_sql_step(s, error);
        if (status == SL_ENOTFOUND)
            status = sl_sql_execute(ledger->sql, columns[i][1], error);
        else if (status == SL_OK)
            sl_sql_reset(s);
    }
    return status;
}

/* What the tables mean, for programs to come: raised when an older program would misread them. Ledgers of before have 0. */
enum { FORMAT = 1 };

static sl_status check_format(sl_ledger *ledger, bool read_only, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql, "PRAGMA user_version", &s, error);
    if (status == SL_OK)
        status = sl_sql_step(s, error);
    if (status != SL_OK)
        return status;
    int64_t format = sl_sql_int(s, 0);
    sl_sql_reset(s);
    if (format > FORMAT)
        return sl_error_set(error, SL_EUNSUPPORTED,
                            "a newer sluice has used this data_dir (format %" PRId64 ", and this one knows %d): run that one", format,
                            FORMAT);
    return read_only || format == FORMAT ? SL_OK : sl_sql_execute(ledger->sql, "PRAGMA user_version = 1", error);
}

sl_status sl_ledger_open(const char *path, const sl_sql_options *options, sl_ledger **out,
                         sl_error *error) {
    *out = NULL;
    sl_ledger *ledger = sl_calloc(1, sizeof *ledger);
    if (ledger == NULL)
        return ledger_no_memory(error);
    sl_status status = sl_sql_open(path, options, &ledger->sql, error);
    if (status == SL_OK)
        status = check_format(ledger, options->read_only, error);
    if (status == SL_OK && !options->read_only)
        status = sl_sql_execute(ledger->sql, schema_text, error);
    if (status == SL_OK && !options->read_only)
        status = migrate(ledger, error);
    if (status != SL_OK) {
        (void)sl_error_context(error, "ledger");
        sl_ledger_close(ledger);
        return status;
    }
    *out = ledger;
    return SL_OK;
}

void sl_ledger_close(sl_ledger *ledger) {
    if (ledger == NULL)
        return;
    sl_sql_close(ledger->sql);
    sl_free(ledger);
}

sl_status sl_ledger_get(sl_ledger *ledger, const char *name, sl_buffer *out, sl_error *error) {
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(ledger->sql, "SELECT value FROM meta WHERE name = ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, name);
    status = sl_sql_step(s, error);
    if (status == SL_ENOTFOUND)
        return SL_OK;
    if (status != SL_OK)
        return status;
    sl_buffer_text(out, sl_sql_text(s, 0, NULL));
    sl_sql_reset(s);
    return out->failed ? ledger_no_memory(error) : SL_OK;
}

sl_status sl_ledger_set(sl_ledger *ledger, const char *name, const char *value, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "INSERT OR REPLACE INTO meta(name, value) VALUES(?, ?)", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, name);
    sl_sql_bind_string(s, 2, value);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_begin(sl_ledger *ledger, sl_error *error) {
    return sl_sql_execute(ledger->sql, "BEGIN IMMEDIATE", error);
}

sl_status sl_ledger_commit(sl_ledger *ledger, sl_error *error) {
    sl_status status = sl_sql_execute(ledger->sql, "COMMIT", error);
    if (status != SL_OK)
        sl_ledger_rollback(ledger);
    return status;
}

void sl_ledger_rollback(sl_ledger *ledger) {
    /* It fails only where there is no transaction left, which is what is wanted. */
    if (sl_sql_execute(ledger->sql, "ROLLBACK", NULL) != SL_OK) {
    }
}

