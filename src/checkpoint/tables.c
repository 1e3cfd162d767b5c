/* Tables: where each stands, and the directories that its files went to. */
#include "ledger.h"

const char *sl_table_kind_name(sl_table_kind kind) {
    static const char *const names[] = {"lake", "dead_letters", "late", "rows", "window", "raw", "topic", "dead_letters_topic", "final"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
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
        .watermark_us = time_of(s, 10),
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
