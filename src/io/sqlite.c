#include "sluice/sql.h"

#include <sqlite3.h>

struct sl_sql_statement {
    sl_sql_statement *next;
    sl_sql *sql;
    sqlite3_stmt *stmt;
    char *text;
    int bind_failure; /* The first refusal of a bind since the last reset. */
};

struct sl_sql {
    sqlite3 *db;
    sl_sql_statement *statements;
};

static sl_status translate(int code) {
    switch (code & 0xff) {
    case SQLITE_OK:
        return SL_OK;
    case SQLITE_FULL:
        return SL_ENOSPC;
    case SQLITE_NOMEM:
        return SL_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return SL_EAGAIN;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return SL_ECORRUPT;
    case SQLITE_CONSTRAINT:
        return SL_EEXIST;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
        return SL_EIO;
    default:
        return SL_EINVAL;
    }
}

static sl_status fail(sl_sql *sql, int code, const char *what, sl_error *error) {
    return sl_error_set(error, translate(code), "%s: %s", what,
                        sql != NULL && sql->db != NULL ? sqlite3_errmsg(sql->db)
                                                       : sqlite3_errstr(code));
}

sl_status sl_sql_open(const char *path, const sl_sql_options *options, sl_sql **out,
                      sl_error *error) {
    *out = NULL;
    sl_sql *sql = sl_calloc(1, sizeof *sql);
    if (sql == NULL)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", path);
    int flags = options->read_only ? SQLITE_OPEN_READONLY
                                   : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(path, &sql->db, flags | SQLITE_OPEN_NOMUTEX, options->vfs);
    sl_status status = SL_OK;
    if (code != SQLITE_OK) {
        status = fail(sql, code, path, error);
    } else {
        (void)sqlite3_extended_result_codes(sql->db, 1);
        (void)sqlite3_busy_timeout(sql->db, 5000);
        if (!options->read_only)
            status = sl_sql_execute(sql,
                                    options->exclusive
                                        ? "PRAGMA locking_mode=EXCLUSIVE;PRAGMA journal_mode=WAL;"
                                          "PRAGMA synchronous=FULL"
                                        : "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL",
                                    error);
        if (status != SL_OK)
            (void)sl_error_context(error, "%s", path);
    }
    if (status != SL_OK) {
        sl_sql_close(sql);
        return status;
    }
    *out = sql;
    return SL_OK;
}

void sl_sql_close(sl_sql *sql) {
    if (sql == NULL)
        return;
    for (sl_sql_statement *s = sql->statements; s != NULL;) {
        sl_sql_statement *next = s->next;
        (void)sqlite3_finalize(s->stmt);
        sl_free(s->text);
        sl_free(s);
        s = next;
    }
    (void)sqlite3_close(sql->db);
    sl_free(sql);
}

sl_status sl_sql_execute(sl_sql *sql, const char *text, sl_error *error) {
    int code = sqlite3_exec(sql->db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? SL_OK : fail(sql, code, text, error);
}

sl_status sl_sql_prepare(sl_sql *sql, const char *text, sl_sql_statement **out, sl_error *error) {
    for (sl_sql_statement *s = sql->statements; s != NULL; s = s->next)
        if (strcmp(s->text, text) == 0) {
            sl_sql_reset(s);
            *out = s;
            return SL_OK;
        }
    sl_sql_statement *s = sl_calloc(1, sizeof *s);
    if (s == NULL || (s->text = sl_strdup(text)) == NULL) {
        sl_free(s);
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", text);
    }
    int code = sqlite3_prepare_v3(sql->db, text, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
    if (code != SQLITE_OK) {
        sl_free(s->text);
        sl_free(s);
        return fail(sql, code, text, error);
    }
    s->sql = sql;
    s->next = sql->statements;
    sql->statements = s;
    *out = s;
    return SL_OK;
}

static void bound(sl_sql_statement *s, int code) {
    if (code != SQLITE_OK && s->bind_failure == SQLITE_OK)
        s->bind_failure = code;
}

void sl_sql_bind_int(sl_sql_statement *s, int at, int64_t value) {
    bound(s, sqlite3_bind_int64(s->stmt, at, value));
}

void sl_sql_bind_double(sl_sql_statement *s, int at, double value) {
    bound(s, sqlite3_bind_double(s->stmt, at, value));
}

void sl_sql_bind_text(sl_sql_statement *s, int at, const char *text, size_t length) {
    bound(s, sqlite3_bind_text64(s->stmt, at, text != NULL ? text : "", length, SQLITE_TRANSIENT,
                                 SQLITE_UTF8));
}

void sl_sql_bind_string(sl_sql_statement *s, int at, const char *text) {
    if (text == NULL)
        sl_sql_bind_null(s, at);
    else
        sl_sql_bind_text(s, at, text, strlen(text));
}

void sl_sql_bind_blob(sl_sql_statement *s, int at, const void *bytes, size_t length) {
    bound(s, sqlite3_bind_blob64(s->stmt, at, length != 0 ? bytes : "", length, SQLITE_TRANSIENT));
}

void sl_sql_bind_null(sl_sql_statement *s, int at) {
    bound(s, sqlite3_bind_null(s->stmt, at));
}

sl_status sl_sql_step(sl_sql_statement *s, sl_error *error) {
    if (s->bind_failure != SQLITE_OK) {
        sl_status status = sl_error_set(error, translate(s->bind_failure), "%s: %s", s->text,
                                        sqlite3_errstr(s->bind_failure));
        sl_sql_reset(s);
        return status;
    }
    int code = sqlite3_step(s->stmt);
    if (code == SQLITE_ROW)
        return SL_OK;
    if (code == SQLITE_DONE) {
        sl_sql_reset(s);
        return SL_ENOTFOUND;
    }
    sl_status status = fail(s->sql, code, s->text, error);
    sl_sql_reset(s);
    return status;
}

sl_status sl_sql_run(sl_sql_statement *s, sl_error *error) {
    sl_status status = sl_sql_step(s, error);
    if (status == SL_OK)
        sl_sql_reset(s);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

void sl_sql_reset(sl_sql_statement *s) {
    (void)sqlite3_reset(s->stmt);
    (void)sqlite3_clear_bindings(s->stmt);
    s->bind_failure = SQLITE_OK;
}

int sl_sql_columns(sl_sql_statement *s) {
    return sqlite3_column_count(s->stmt);
}

const char *sl_sql_column(sl_sql_statement *s, int column) {
    const char *name = sqlite3_column_name(s->stmt, column);
    return name != NULL ? name : ""; /* No memory. */
}

sl_sql_kind sl_sql_type(sl_sql_statement *s, int column) {
    switch (sqlite3_column_type(s->stmt, column)) {
    case SQLITE_INTEGER:
        return SL_SQL_INT;
    case SQLITE_FLOAT:
        return SL_SQL_DOUBLE;
    case SQLITE_TEXT:
        return SL_SQL_TEXT;
    case SQLITE_BLOB:
        return SL_SQL_BLOB;
    default:
        return SL_SQL_NULL;
    }
}

bool sl_sql_is_null(sl_sql_statement *s, int column) {
    return sl_sql_type(s, column) == SL_SQL_NULL;
}

int64_t sl_sql_int(sl_sql_statement *s, int column) {
    return sqlite3_column_int64(s->stmt, column);
}

double sl_sql_double(sl_sql_statement *s, int column) {
    return sqlite3_column_double(s->stmt, column);
}

const char *sl_sql_text(sl_sql_statement *s, int column, size_t *length) {
    const char *text = (const char *)sqlite3_column_text(s->stmt, column);
    if (length != NULL)
        *length = (size_t)sqlite3_column_bytes(s->stmt, column);
    return text != NULL ? text : "";
}

const void *sl_sql_blob(sl_sql_statement *s, int column, size_t *length) {
    const void *bytes = sqlite3_column_blob(s->stmt, column);
    *length = (size_t)sqlite3_column_bytes(s->stmt, column);
    return bytes != NULL ? bytes : "";
}
