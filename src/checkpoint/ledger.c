#include "sluice/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

struct sl_ledger {
    sl_sql *sql;
};

const char *sl_table_kind_name(sl_table_kind kind) {
    static const char *const names[] = {"lake", "dead_letters", "late", "rows", "window", "raw", "topic", "dead_letters_topic", "final"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

void sl_counts_add(sl_counts *into, const sl_counts *more) {
    into->received += more->received;
    into->rows += more->rows;
    into->dead += more->dead;
    into->late += more->late;
    into->duplicates += more->duplicates;
    into->filtered += more->filtered;
    into->elsewhere += more->elsewhere;
    into->replayed += more->replayed;
}

void sl_entry_fini(sl_entry *entry) {
    sl_entry_clear_files(entry);
    sl_free(entry->ranges);
    entry->ranges = NULL;
}

void sl_entry_clear_files(sl_entry *entry) {
    for (uint32_t i = 0; i < entry->file_count; i++) {
        sl_free(entry->files[i].spool);
        sl_free(entry->files[i].key);
    }
    sl_free(entry->files);
    entry->files = NULL;
    entry->file_count = 0;
}

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

sl_status sl_ledger_open(const char *path, const sl_sql_options *options, sl_ledger **out,
                         sl_error *error) {
    *out = NULL;
    sl_ledger *ledger = sl_calloc(1, sizeof *ledger);
    if (ledger == NULL)
        return sl_error_set(error, SL_ENOMEM, "ledger: out of memory");
    sl_status status = sl_sql_open(path, options, &ledger->sql, error);
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
    return out->failed ? sl_error_set(error, SL_ENOMEM, "ledger: out of memory") : SL_OK;
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

static uint64_t position_of(sl_sql_statement *s, int column) {
    return strtoull(sl_sql_text(s, column, NULL), NULL, 10);
}

static void bind_position(sl_sql_statement *s, int at, uint64_t position) {
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, position);
    sl_sql_bind_string(s, at, text);
}

static void bind_time(sl_sql_statement *s, int at, int64_t us) {
    if (us == INT64_MIN)
        sl_sql_bind_null(s, at);
    else
        sl_sql_bind_int(s, at, us);
}

#define TABLE_COLUMNS "id, name, stream, kind, target, window, first, last, cursor, sequence, watermark"

static sl_ledger_table table_of(sl_sql_statement *s) {
    return (sl_ledger_table){
        .id = sl_sql_int(s, 0),
        .name = sl_sql_text(s, 1, NULL),
        .stream = sl_sql_text(s, 2, NULL),
        .kind = (sl_table_kind)sl_sql_int(s, 3),
        .target = sl_sql_text(s, 4, NULL),
        .window = sl_sql_text(s, 5, NULL),
        .first = position_of(s, 6),
        .last = position_of(s, 7),
        .cursor = position_of(s, 8),
        .sequence = (uint64_t)sl_sql_int(s, 9),
        .watermark_us = sl_sql_is_null(s, 10) ? INT64_MIN : sl_sql_int(s, 10),
    };
}

sl_status sl_ledger_tables(sl_ledger *ledger, sl_ledger_table_fn *each, void *context,
                           sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "SELECT " TABLE_COLUMNS " FROM tables ORDER BY id", &s, error);
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        sl_ledger_table table = table_of(s);
        status = each(context, &table);
        if (status != SL_OK)
            sl_sql_reset(s);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

sl_status sl_ledger_table_add(sl_ledger *ledger, sl_ledger_table *table, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql,
        "INSERT OR IGNORE INTO tables(name, stream, kind, target, window, first, last, cursor,"
        " sequence, watermark) VALUES(?,?,?,?,?,?,?,?,0,?)",
        &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, table->name);
    sl_sql_bind_string(s, 2, table->stream);
    sl_sql_bind_int(s, 3, (int64_t)table->kind);
    sl_sql_bind_string(s, 4, table->target);
    sl_sql_bind_string(s, 5, table->window);
    bind_position(s, 6, table->first);
    bind_position(s, 7, table->last);
    bind_position(s, 8, table->cursor);
    bind_time(s, 9, table->watermark_us);
    status = sl_sql_run(s, error);
    if (status == SL_OK)
        status = sl_sql_prepare(ledger->sql, "SELECT id FROM tables WHERE name = ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, table->name);
    status = sl_sql_step(s, error);
    if (status == SL_OK) {
        table->id = sl_sql_int(s, 0);
        sl_sql_reset(s);
    }
    return status;
}

sl_status sl_ledger_table_target(sl_ledger *ledger, int64_t table, const char *target,
                                 sl_error *error) {
    static const char *const texts[] = {
        "INSERT OR IGNORE INTO targets SELECT id, target FROM tables WHERE id = ?1 AND target <> ?2",
        "UPDATE tables SET target = ?2 WHERE id = ?1 AND target <> ?2",
        "DELETE FROM targets WHERE table_id = ?1 AND target = ?2"};
    sl_status status = SL_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && status == SL_OK; i++) {
        sl_sql_statement *s;
        status = sl_sql_prepare(ledger->sql, texts[i], &s, error);
        if (status != SL_OK)
            return status;
        sl_sql_bind_int(s, 1, table);
        sl_sql_bind_string(s, 2, target);
        status = sl_sql_run(s, error);
    }
    return status;
}

sl_status sl_ledger_targets(sl_ledger *ledger, int64_t table, sl_ledger_target_fn *each,
                            void *context, sl_error *error) {
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(ledger->sql, "SELECT target FROM targets WHERE table_id = ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, table);
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        status = each(context, sl_sql_text(s, 0, NULL));
        if (status != SL_OK)
            sl_sql_reset(s);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static const char below[] = "data_dir:";

void sl_ledger_place(const char *data_dir, const char *directory, sl_buffer *out) {
    size_t length = strlen(data_dir);
    while (length > 1 && data_dir[length - 1] == '/')
        length--;
    if (strncmp(directory, data_dir, length) != 0 || directory[length] != '/') {
        sl_buffer_text(out, directory);
        return;
    }
    directory += length;
    sl_buffer_printf(out, "%s%s", below, directory + strspn(directory, "/"));
}

void sl_ledger_place_resolve(const char *data_dir, const char *place, sl_buffer *out) {
    if (strncmp(place, below, sizeof below - 1) == 0)
        sl_buffer_printf(out, "%s/%s", data_dir, place + sizeof below - 1);
    else
        sl_buffer_text(out, place);
}

sl_status sl_ledger_schemas(sl_ledger *ledger, sl_ledger_schema_fn *each, void *context,
                            sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql,
                                      "SELECT stream, version, json FROM schemas AS a WHERE version ="
                                      " (SELECT max(version) FROM schemas WHERE stream = a.stream)",
                                      &s, error);
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        size_t length;
        const char *json = sl_sql_text(s, 2, &length);
        status = each(context, sl_sql_text(s, 0, NULL), (uint32_t)sl_sql_int(s, 1), json, length);
        if (status != SL_OK)
            sl_sql_reset(s);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

sl_status sl_ledger_schema_put(sl_ledger *ledger, const char *stream, uint32_t version,
                               const char *json, size_t length, uint64_t frozen_at,
                               sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql,
        "INSERT OR REPLACE INTO schemas(stream, version, json, frozen_at) VALUES(?,?,?,?)", &s,
        error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, stream);
    sl_sql_bind_int(s, 2, version);
    sl_sql_bind_text(s, 3, json, length);
    bind_position(s, 4, frozen_at);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_version_put(sl_ledger *ledger, const sl_ledger_version *v, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql,
                                      "INSERT OR IGNORE INTO versions(kind, name, generation, position, version, at)"
                                      " VALUES(?, ?, ?, ?, ?, ?)",
                                      &s, error);
    if (status != SL_OK)
        return status;
    char position[24], version[33];
    (void)snprintf(position, sizeof position, "%" PRIu64, v->position);
    sl_hash128_text(v->version, version);
    sl_sql_bind_string(s, 1, v->kind);
    sl_sql_bind_string(s, 2, v->name);
    sl_sql_bind_int(s, 3, v->generation);
    sl_sql_bind_string(s, 4, position);
    sl_sql_bind_string(s, 5, version);
    sl_sql_bind_int(s, 6, v->at_us);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_version_last(sl_ledger *ledger, const char *kind, const char *name, char text[33], sl_error *error) {
    sl_sql_statement *s;
    text[0] = 0;
    sl_status status = sl_sql_prepare(
        ledger->sql, "SELECT version FROM versions WHERE kind = ? AND name = ? ORDER BY id DESC LIMIT 1", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_string(s, 1, kind);
    sl_sql_bind_string(s, 2, name);
    status = sl_sql_step(s, error);
    if (status == SL_OK) {
        (void)snprintf(text, 33, "%s", sl_sql_text(s, 0, NULL));
        sl_sql_reset(s);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
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

/* The cursor, `last` and sequence move together with the entry (I3). */
static sl_status table_advance(sl_ledger *ledger, const sl_entry *entry, int64_t watermark_us,
                               sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql,
        "UPDATE tables SET last = ?1, cursor = ?1, sequence = ?2, watermark = ?3"
        " WHERE id = ?4 AND last = ?5 AND sequence = ?2 - 1 RETURNING id",
        &s, error);
    if (status != SL_OK)
        return status;
    bind_position(s, 1, entry->to);
    sl_sql_bind_int(s, 2, (int64_t)entry->sequence);
    bind_time(s, 3, watermark_us);
    sl_sql_bind_int(s, 4, entry->table);
    bind_position(s, 5, entry->from);
    status = sl_sql_step(s, error);
    if (status == SL_ENOTFOUND)
        return sl_error_set(error, SL_ECONFLICT,
                            "ledger: table %" PRId64 " isn't at %" PRIu64 " (entry %" PRIu64 ")",
                            entry->table, entry->from, entry->sequence);
    if (status == SL_OK)
        sl_sql_reset(s);
    return status;
}

static sl_status files_put(sl_ledger *ledger, const sl_entry *entry, sl_error *error) {
    for (uint32_t i = 0; i < entry->file_count; i++) {
        const sl_entry_file *file = &entry->files[i];
        char hash[33];
        sl_hash128_text(file->hash, hash);
        sl_sql_statement *s;
        sl_status status = sl_sql_prepare(
            ledger->sql,
            "INSERT INTO files(entry_id, n, spool, key, bytes, rows, hash) VALUES(?,?,?,?,?,?,?)",
            &s, error);
        if (status != SL_OK)
            return status;
        sl_sql_bind_int(s, 1, entry->id);
        sl_sql_bind_int(s, 2, i);
        sl_sql_bind_string(s, 3, file->spool);
        sl_sql_bind_string(s, 4, file->key);
        sl_sql_bind_int(s, 5, (int64_t)file->bytes);
        sl_sql_bind_int(s, 6, (int64_t)file->rows);
        sl_sql_bind_string(s, 7, hash);
        status = sl_sql_run(s, error);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

sl_status sl_ledger_entry_add(sl_ledger *ledger, sl_entry *entry, int64_t watermark_us,
                              sl_error *error) {
    sl_status status = table_advance(ledger, entry, watermark_us, error);
    sl_sql_statement *s;
    if (status == SL_OK)
        status = sl_sql_prepare(
            ledger->sql,
            "INSERT INTO entries(table_id, sequence, first, next, received, rows, dead, late,"
            " duplicates, filtered, schema_version, generation, created, replayed, elsewhere, watermark_from, ranges, begin)"
            " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
            &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, entry->table);
    sl_sql_bind_int(s, 2, (int64_t)entry->sequence);
    bind_position(s, 3, entry->from);
    bind_position(s, 4, entry->to);
    sl_sql_bind_int(s, 5, (int64_t)entry->counts.received);
    sl_sql_bind_int(s, 6, (int64_t)entry->counts.rows);
    sl_sql_bind_int(s, 7, (int64_t)entry->counts.dead);
    sl_sql_bind_int(s, 8, (int64_t)entry->counts.late);
    sl_sql_bind_int(s, 9, (int64_t)entry->counts.duplicates);
    sl_sql_bind_int(s, 10, (int64_t)entry->counts.filtered);
    sl_sql_bind_int(s, 11, entry->schema_version);
    sl_sql_bind_int(s, 12, entry->generation);
    sl_sql_bind_int(s, 13, entry->created_us);
    sl_sql_bind_int(s, 14, (int64_t)entry->counts.replayed);
    sl_sql_bind_int(s, 15, (int64_t)entry->counts.elsewhere);
    bind_time(s, 16, entry->watermark_from_us);
    sl_sql_bind_string(s, 17, entry->ranges != NULL ? entry->ranges : "");
    bind_position(s, 18, entry->begin);
    status = sl_sql_step(s, error);
    if (status != SL_OK)
        return status == SL_ENOTFOUND ? sl_error_set(error, SL_EIO, "ledger: no id") : status;
    entry->id = sl_sql_int(s, 0);
    sl_sql_reset(s);
    return files_put(ledger, entry, error);
}

sl_status sl_ledger_cursor_move(sl_ledger *ledger, int64_t table, uint64_t cursor,
                                int64_t watermark_us, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "UPDATE tables SET cursor = ?, watermark = ? WHERE id = ?", &s, error);
    if (status != SL_OK)
        return status;
    bind_position(s, 1, cursor);
    bind_time(s, 2, watermark_us);
    sl_sql_bind_int(s, 3, table);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_delivered(sl_ledger *ledger, int64_t entry, int64_t now_us, sl_error *error) {
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(ledger->sql, "UPDATE entries SET delivered = ? WHERE id = ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, now_us);
    sl_sql_bind_int(s, 2, entry);
    return sl_sql_run(s, error);
}

/* --- voiding --- */

static sl_status run_for(sl_ledger *ledger, const char *text, int64_t id, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql, text, &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, id);
    return sl_sql_run(s, error);
}

static sl_status first_undelivered(sl_ledger *ledger, int64_t id, sl_ledger_table *table, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql,
                                      "SELECT sequence, first, watermark_from, begin FROM entries WHERE table_id = ? AND delivered = 0"
                                      " ORDER BY sequence LIMIT 1",
                                      &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, id);
    status = sl_sql_step(s, error);
    if (status != SL_OK)
        return status;
    table->sequence = (uint64_t)sl_sql_int(s, 0) - 1;
    table->last = position_of(s, 1);
    table->cursor = position_of(s, 3);
    table->cursor = table->cursor > table->last ? table->cursor : table->last;
    table->watermark_us = sl_sql_is_null(s, 2) ? INT64_MIN : sl_sql_int(s, 2);
    sl_sql_reset(s);
    return SL_OK;
}

sl_status sl_ledger_void(sl_ledger *ledger, int64_t id, sl_ledger_table *table, sl_error *error) {
    /* Of a window that several entries changed, the first of them has kept what was there before. */
    static const char kept[] = " FROM kept_windows AS k JOIN entries AS e ON e.id = k.entry_id WHERE e.table_id = ?1 AND e.delivered = 0"
                               " AND e.sequence = (SELECT min(f.sequence) FROM kept_windows AS n JOIN entries AS f ON f.id = n.entry_id"
                               " WHERE f.table_id = ?1 AND f.delivered = 0 AND n.start = k.start AND n.key = k.key)";
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "INSERT OR REPLACE INTO open_windows(table_id, start, key, state) SELECT k.table_id, k.start, k.key,"
                            " coalesce(k.state, x'')%s", kept);
    const char *restore = sl_buffer_cstr(&text);
    sl_status status = text.failed ? sl_error_set(error, SL_ENOMEM, "ledger: out of memory")
                                   : first_undelivered(ledger, id, table, error);
    const char *const texts[] = {
        restore,
        "DELETE FROM open_windows WHERE table_id = ? AND state = x''",
        "DELETE FROM kept_windows WHERE table_id = ?",
        "DELETE FROM files WHERE entry_id IN (SELECT id FROM entries WHERE table_id = ? AND delivered = 0)",
        "DELETE FROM entries WHERE table_id = ? AND delivered = 0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts && status == SL_OK; i++)
        status = run_for(ledger, texts[i], id, error);
    sl_buffer_fini(&text);
    sl_sql_statement *s;
    if (status == SL_OK)
        status = sl_sql_prepare(ledger->sql, "UPDATE tables SET last = ?1, cursor = ?5, sequence = ?2, watermark = ?3 WHERE id = ?4", &s,
                                error);
    if (status != SL_OK)
        return status;
    bind_position(s, 1, table->last);
    bind_position(s, 5, table->cursor);
    sl_sql_bind_int(s, 2, (int64_t)table->sequence);
    bind_time(s, 3, table->watermark_us);
    sl_sql_bind_int(s, 4, id);
    return sl_sql_run(s, error);
}

static sl_status files_load(sl_ledger *ledger, sl_entry *entry, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "SELECT spool, key, bytes, rows, hash FROM files WHERE entry_id = ? ORDER BY n",
        &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, entry->id);
    uint32_t capacity = 0;
    while ((status = sl_sql_step(s, error)) == SL_OK) {
        if (entry->file_count == capacity) {
            capacity = capacity ? 2 * capacity : 4;
            sl_entry_file *files = sl_realloc(entry->files, capacity * sizeof *files);
            if (files == NULL)
                goto nomem;
            entry->files = files;
        }
        sl_entry_file *file = &entry->files[entry->file_count];
        *file = (sl_entry_file){
            .spool = sl_strdup(sl_sql_text(s, 0, NULL)),
            .key = sl_strdup(sl_sql_text(s, 1, NULL)),
            .bytes = (uint64_t)sl_sql_int(s, 2),
            .rows = (uint64_t)sl_sql_int(s, 3),
        };
        entry->file_count++;
        if (file->spool == NULL || file->key == NULL)
            goto nomem;
        if (!sl_hash128_parse(sl_sql_text(s, 4, NULL), &file->hash)) {
            sl_sql_reset(s);
            return sl_error_set(error, SL_ECORRUPT, "ledger: entry %" PRId64 ": bad hash", entry->id);
        }
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
nomem:
    sl_sql_reset(s);
    return sl_error_set(error, SL_ENOMEM, "ledger: out of memory");
}

#define ENTRY_COLUMNS                                                                              \
    "id, table_id, sequence, first, next, received, rows, dead, late, duplicates, filtered,"        \
    " schema_version, generation, created, delivered, replayed, elsewhere, watermark_from, ranges, begin"

static sl_entry entry_of(sl_sql_statement *s) {
    return (sl_entry){
        .id = sl_sql_int(s, 0),
        .table = sl_sql_int(s, 1),
        .sequence = (uint64_t)sl_sql_int(s, 2),
        .from = position_of(s, 3),
        .to = position_of(s, 4),
        .counts = {.received = (uint64_t)sl_sql_int(s, 5),
                   .rows = (uint64_t)sl_sql_int(s, 6),
                   .dead = (uint64_t)sl_sql_int(s, 7),
                   .late = (uint64_t)sl_sql_int(s, 8),
                   .duplicates = (uint64_t)sl_sql_int(s, 9),
                   .filtered = (uint64_t)sl_sql_int(s, 10),
                   .replayed = (uint64_t)sl_sql_int(s, 15),
                   .elsewhere = (uint64_t)sl_sql_int(s, 16)},
        .schema_version = (uint32_t)sl_sql_int(s, 11),
        .generation = (uint32_t)sl_sql_int(s, 12),
        .created_us = sl_sql_int(s, 13),
        .delivered_us = sl_sql_int(s, 14),
        .begin = position_of(s, 19),
        .watermark_from_us = sl_sql_is_null(s, 17) ? INT64_MIN : sl_sql_int(s, 17),
    };
}

static sl_status ranges_load(sl_sql_statement *s, sl_entry *entry, sl_error *error) {
    size_t length;
    const char *text = sl_sql_text(s, 18, &length);
    if (length != 0 && (entry->ranges = sl_strdup(text)) == NULL)
        return sl_error_set(error, SL_ENOMEM, "ledger: out of memory");
    return SL_OK;
}

sl_status sl_ledger_entries(sl_ledger *ledger, int64_t table, bool undelivered,
                            sl_ledger_entry_fn *each, void *context, sl_error *error) {
    /* One at a time by key, so that `each` may write to the ledger in between. */
    int64_t after = 0, after_table = table;
    for (;;) {
        sl_sql_statement *s;
        sl_status status = sl_sql_prepare(
            ledger->sql,
            table != 0
                ? (undelivered ? "SELECT " ENTRY_COLUMNS " FROM entries WHERE table_id = ?1 AND"
                                 " sequence > ?2 AND delivered = 0 ORDER BY sequence LIMIT 1"
                               : "SELECT " ENTRY_COLUMNS " FROM entries WHERE table_id = ?1 AND"
                                 " sequence > ?2 ORDER BY sequence LIMIT 1")
                : (undelivered
                       ? "SELECT " ENTRY_COLUMNS " FROM entries WHERE (table_id, sequence) >"
                         " (?1, ?2) AND delivered = 0 ORDER BY table_id, sequence LIMIT 1"
                       : "SELECT " ENTRY_COLUMNS " FROM entries WHERE (table_id, sequence) >"
                         " (?1, ?2) ORDER BY table_id, sequence LIMIT 1"),
            &s, error);
        if (status != SL_OK)
            return status;
        sl_sql_bind_int(s, 1, after_table);
        sl_sql_bind_int(s, 2, after);
        status = sl_sql_step(s, error);
        if (status != SL_OK)
            return status == SL_ENOTFOUND ? SL_OK : status;
        sl_entry entry = entry_of(s);
        status = ranges_load(s, &entry, error);
        sl_sql_reset(s);
        after = (int64_t)entry.sequence;
        after_table = entry.table;
        if (status == SL_OK)
            status = files_load(ledger, &entry, error);
        if (status == SL_OK)
            status = each(context, &entry);
        sl_entry_fini(&entry);
        if (status != SL_OK)
            return status;
    }
}

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

sl_status sl_ledger_key_put(sl_ledger *ledger, const sl_ledger_key *key, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "INSERT OR REPLACE INTO keys(key, body, arrival, result) VALUES(?,?,?,?)", &s,
        error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_blob(s, 1, &key->key, sizeof key->key);
    sl_sql_bind_blob(s, 2, &key->body, sizeof key->body);
    sl_sql_bind_int(s, 3, key->arrival_us);
    sl_sql_bind_blob(s, 4, key->result, key->result_length);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_key_get(sl_ledger *ledger, sl_hash128 key, sl_ledger_key *out,
                            sl_buffer *result, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "SELECT body, arrival, result FROM keys WHERE key = ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_blob(s, 1, &key, sizeof key);
    status = sl_sql_step(s, error);
    if (status != SL_OK)
        return status;
    size_t length;
    const void *body = sl_sql_blob(s, 0, &length);
    *out = (sl_ledger_key){.key = key, .arrival_us = sl_sql_int(s, 1)};
    if (length == sizeof out->body)
        memcpy(&out->body, body, length);
    const void *bytes = sl_sql_blob(s, 2, &length);
    sl_buffer_append(result, bytes, length);
    out->result = result->bytes;
    out->result_length = result->length;
    sl_sql_reset(s);
    return result->failed ? SL_ENOMEM : SL_OK;
}

sl_status sl_ledger_keys_expire(sl_ledger *ledger, int64_t before_us, sl_error *error) {
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(ledger->sql, "DELETE FROM keys WHERE arrival < ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, before_us);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_keys_any(sl_ledger *ledger, bool *any, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql, "SELECT 1 FROM keys LIMIT 1", &s, error);
    if (status != SL_OK)
        return status;
    status = sl_sql_step(s, error);
    *any = status == SL_OK;
    if (status == SL_OK)
        sl_sql_reset(s);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

/* --- replays --- */

static void put_varint(sl_buffer *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        sl_buffer_byte(out, (uint8_t)(value | 0x80));
    sl_buffer_byte(out, (uint8_t)value);
}

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

sl_status sl_ledger_replay_put(sl_ledger *ledger, const sl_ledger_replay *replay, sl_error *error) {
    sl_buffer packed = SL_BUFFER_EMPTY;
    uint64_t last = 0;
    for (uint64_t i = 0; i < replay->count; i++) {
        put_varint(&packed, replay->positions[i] - last);
        last = replay->positions[i];
    }
    sl_sql_statement *s;
    sl_status status = packed.failed ? sl_error_set(error, SL_ENOMEM, "ledger: out of memory")
                                     : sl_sql_prepare(ledger->sql,
                                                      replay->count != 0
                                                          ? "INSERT OR REPLACE INTO replays(keeper, stream, positions) VALUES(?,?,?)"
                                                          : "DELETE FROM replays WHERE keeper = ? AND stream = ?",
                                                      &s, error);
    if (status == SL_OK) {
        bind_position(s, 1, replay->keeper);
        sl_sql_bind_string(s, 2, replay->stream);
        if (replay->count != 0)
            sl_sql_bind_blob(s, 3, packed.bytes, packed.length);
        status = sl_sql_run(s, error);
    }
    sl_buffer_fini(&packed);
    return status;
}

static sl_status unpack_replay(sl_sql_statement *s, sl_ledger_replay *replay, uint64_t **positions, sl_error *error) {
    size_t length;
    const uint8_t *at = sl_sql_blob(s, 2, &length), *end = at + length;
    *positions = sl_malloc((length + 1) * sizeof **positions); /* A position takes a byte or more. */
    if (*positions == NULL)
        return sl_error_set(error, SL_ENOMEM, "ledger: out of memory");
    uint64_t last = 0, step;
    while (at < end && get_varint(&at, end, &step))
        (*positions)[replay->count++] = last += step;
    if (at != end)
        return sl_error_set(error, SL_ECORRUPT, "ledger: replays at %" PRIu64 " can't be read", replay->keeper);
    replay->positions = *positions;
    return SL_OK;
}

sl_status sl_ledger_replays(sl_ledger *ledger, sl_ledger_replay_fn *each, void *context, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql, "SELECT keeper, stream, positions FROM replays", &s, error);
    while (status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK) {
        sl_ledger_replay replay = {.keeper = position_of(s, 0), .stream = sl_sql_text(s, 1, NULL)};
        uint64_t *positions = NULL;
        status = unpack_replay(s, &replay, &positions, error);
        if (status == SL_OK)
            status = each(context, &replay);
        sl_free(positions);
        if (status != SL_OK)
            sl_sql_reset(s);
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}
