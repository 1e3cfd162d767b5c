/* Entries and their files: added where their table stands, delivered, or taken back. */
#include "ledger.h"

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
    return ledger_no_memory(error);
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
        .watermark_from_us = time_of(s, 17),
    };
}

static sl_status ranges_load(sl_sql_statement *s, sl_entry *entry, sl_error *error) {
    size_t length;
    const char *text = sl_sql_text(s, 18, &length);
    if (length != 0 && (entry->ranges = sl_strdup(text)) == NULL)
        return ledger_no_memory(error);
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
    table->watermark_us = time_of(s, 2);
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
    sl_status status = text.failed ? ledger_no_memory(error)
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
