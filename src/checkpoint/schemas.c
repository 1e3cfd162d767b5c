/* Versions: of inferred schemas, and of what steps ask. */
#include "ledger.h"

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
    char version[33];
    sl_hash128_text(v->version, version);
    sl_sql_bind_string(s, 1, v->kind);
    sl_sql_bind_string(s, 2, v->name);
    sl_sql_bind_int(s, 3, v->generation);
    bind_position(s, 4, v->position);
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
