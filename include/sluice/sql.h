/** @file sql.h
 * SQL as a port: the ledger and the embedded warehouse speak through it; `io` implements it with SQLite.
 *
 * Threads  A connection and its statements belong to one thread.
 * Errors   SL_ENOSPC (disk full), SL_EIO, SL_ECORRUPT, SL_EEXIST (constraint), SL_EAGAIN (locked by another
 *          process), SL_EINVAL for the rest; `error` holds the database's words.
 */
#pragma once

#include "sluice/value.h"

typedef struct sl_sql sl_sql;
typedef struct sl_sql_statement sl_sql_statement;

typedef struct sl_sql_options {
    const char *vfs;  /**< Name of the SQLite VFS; NULL: the default. */
    bool read_only;
    bool exclusive;   /**< One process only: no shared memory file is needed. */
} sl_sql_options;

/** Open or create; WAL, synchronous=FULL, foreign keys off, busy timeout 5 s. */
SL_CHECKED sl_status sl_sql_open(const char *path, const sl_sql_options *options, sl_sql **out,
                                 sl_error *error);
void sl_sql_close(sl_sql *sql); /**< Finalizes its cached statements. NULL is allowed. */
/** One or more statements without parameters. */
SL_CHECKED sl_status sl_sql_execute(sl_sql *sql, const char *text, sl_error *error);
/** @return A statement kept by the connection (by its text), reset and unbound; owned by the connection. */
SL_CHECKED sl_status sl_sql_prepare(sl_sql *sql, const char *text, sl_sql_statement **out,
                                    sl_error *error);
/** Parameters count from 1. Text and blobs are copied. Failures show in step(). */
void sl_sql_bind_int(sl_sql_statement *statement, int at, int64_t value);
void sl_sql_bind_double(sl_sql_statement *statement, int at, double value);
void sl_sql_bind_text(sl_sql_statement *statement, int at, const char *text, size_t length);
void sl_sql_bind_string(sl_sql_statement *statement, int at, const char *text); /**< NULL: null. */
void sl_sql_bind_blob(sl_sql_statement *statement, int at, const void *bytes, size_t length);
void sl_sql_bind_null(sl_sql_statement *statement, int at);
/** @return SL_OK: a row; SL_ENOTFOUND: done, and reset. */
SL_CHECKED sl_status sl_sql_step(sl_sql_statement *statement, sl_error *error);
/** Step a statement that gives no rows. */
SL_CHECKED sl_status sl_sql_run(sl_sql_statement *statement, sl_error *error);
void sl_sql_reset(sl_sql_statement *statement);
typedef enum sl_sql_kind {
    SL_SQL_NULL,
    SL_SQL_INT,
    SL_SQL_DOUBLE,
    SL_SQL_TEXT,
    SL_SQL_BLOB
} sl_sql_kind;
/** Of the result; names are the statement's. */
int sl_sql_columns(sl_sql_statement *statement);
const char *sl_sql_column(sl_sql_statement *statement, int column);
sl_sql_kind sl_sql_type(sl_sql_statement *statement, int column); /**< As stored. */
bool sl_sql_is_null(sl_sql_statement *statement, int column); /**< Columns count from 0. */
int64_t sl_sql_int(sl_sql_statement *statement, int column);
double sl_sql_double(sl_sql_statement *statement, int column);
/** Valid until the next step or reset; "" for null. */
const char *sl_sql_text(sl_sql_statement *statement, int column, size_t *length);
const void *sl_sql_blob(sl_sql_statement *statement, int column, size_t *length);
