/** @file postgres.h
 * One connection to a PostgreSQL (or Redshift) server that never blocks the loop: libpq in its asynchronous mode.
 *
 * Order    One operation at a time; the next may be begun inside the last one's callback. A callback is called once,
 *          never from inside the call that began it; after sl_postgres_destroy() not at all.
 * Names    Hosts are resolved on libuv's threads and handed to libpq as addresses; every address is tried.
 * TLS      `sslmode` of the URL, else $PGSSLMODE, else verify-full beyond loopback and sockets; `sslrootcert` likewise, else
 *          ~/.postgresql/root.crt, else the system's bundle.
 * Password Of the options, else of the file (read at each connect), else of the URL, else $PGPASSWORD, else ~/.pgpass.
 * Time     `statement_ms` without progress: the statement is cancelled, 5 s later the connection closed.
 * Errors   SL_EIO: connection lost or not made (whatever was under way may have happened); SL_EAGAIN: conflict of
 *          transactions (40001, 40P01, 55P03, Redshift's 1023), cancelled, COMMIT answered with ROLLBACK; SL_EDENIED; SL_ENOSPC; SL_EFULL: the server lacks
 *          memory or connections; SL_EEXIST: 23505, table or column exists; SL_ENOTFOUND: no such table or column;
 *          SL_ETYPE: data that the server refuses (class 22, 23); SL_EINVAL: the rest. `error` has the server's message, detail, context and SQLSTATE.
 * Threads  The loop's.
 */
#pragma once

#include "sluice/buffer.h"
#include "sluice/loop.h"

typedef struct sl_postgres sl_postgres;

/** All text is copied. NULL where nothing is said. */
typedef struct sl_postgres_options {
    const char *url;           /**< "postgresql://user@host:5432/database?sslmode=…", or libpq's "key=value …". */
    const char *user;          /**< Instead of the URL's: IAM credentials. */
    const char *password;
    const char *password_file;
    const char *ca_file;       /**< Instead of the URL's sslrootcert. */
    const char *setup;         /**< Statements that are run as part of each connect. */
    uint32_t connect_ms;       /**< 0: 10 s. For resolving, all addresses, TLS, login and setup together. */
    uint32_t statement_ms;     /**< 0: 5 min. */
} sl_postgres_options;

/** What a statement gave. Valid during the callback only. */
typedef struct sl_postgres_result sl_postgres_result;
/** @param result NULL unless status is SL_OK. @param error Borrowed for the call. */
typedef void sl_postgres_done_fn(void *context, sl_status status, const sl_postgres_result *result,
                                 const sl_error *error);

/**
 * Nothing is connected yet.
 * @param loop Of the caller's thread; NULL: a private one that only sl_postgres_wait() runs (commands, tests).
 * @return SL_OK; SL_EINVAL: the URL can't be read; SL_ENOMEM.
 */
SL_CHECKED sl_status sl_postgres_create(sl_loop *loop, const sl_postgres_options *options,
                                        sl_postgres **out, sl_error *error);
/** Gives up what is under way, without a callback. With a loop of others its memory goes some turns later. NULL is allowed. */
void sl_postgres_destroy(sl_postgres *connection);

/** Connect, or connect again (what was open is closed first). Credentials may be new: NULL takes those of the options. */
void sl_postgres_connect(sl_postgres *connection, const char *user, const char *password,
                         sl_postgres_done_fn *done, void *context);
bool sl_postgres_connected(const sl_postgres *connection);
/** Statements by the simple protocol: several, separated by ';', give the last one's result or the first error. */
void sl_postgres_query(sl_postgres *connection, const char *text, sl_postgres_done_fn *done, void *context);

/** A parameter ($1…) as the server's binary form of type `oid`. bytes NULL: null. */
typedef struct sl_postgres_parameter {
    uint32_t oid;
    const void *bytes;
    size_t length;
} sl_postgres_parameter;
/** One statement with parameters; result cells are in binary form. Copied before it returns. */
void sl_postgres_execute(sl_postgres *connection, const char *text, const sl_postgres_parameter *parameters,
                         uint32_t count, sl_postgres_done_fn *done, void *context);

/** Next piece of COPY data, borrowed until the next call. @return SL_ENOTFOUND at the end; any other failure aborts the COPY. */
typedef sl_status sl_postgres_source_fn(void *context, const uint8_t **bytes, size_t *length, sl_error *error);
/** `COPY … FROM STDIN`; the next piece is only asked for when the socket has taken the last. */
void sl_postgres_copy(sl_postgres *connection, const char *text, sl_postgres_source_fn *source,
                      sl_postgres_done_fn *done, void *context);
/** COMMIT, its tag compared: a failed transaction answers ROLLBACK, which is SL_EAGAIN here. SL_EIO: in doubt, look. */
void sl_postgres_commit(sl_postgres *connection, sl_postgres_done_fn *done, void *context);
/** Nothing for so long: to try again later. */
void sl_postgres_pause(sl_postgres *connection, uint32_t ms, sl_postgres_done_fn *done, void *context);

/** Run a private loop until the operation is done; what its callback was told. */
SL_CHECKED sl_status sl_postgres_wait(sl_postgres *connection, sl_error *error);
/** Connect and query on a private loop, waiting. Cells of the last result are copied out by `each` (may be NULL). */
SL_CHECKED sl_status sl_postgres_connect_wait(sl_postgres *connection, sl_error *error);
SL_CHECKED sl_status sl_postgres_query_wait(sl_postgres *connection, const char *text,
                                            sl_postgres_done_fn *each, void *context, sl_error *error);

uint32_t sl_postgres_rows(const sl_postgres_result *result);
uint32_t sl_postgres_columns(const sl_postgres_result *result);
const char *sl_postgres_column(const sl_postgres_result *result, uint32_t column);
/** OID of its type: 20 for bigint, 25 for text … */
uint32_t sl_postgres_column_type(const sl_postgres_result *result, uint32_t column);
/** @return NULL: null. Text cells end with a 0 byte that length doesn't count. */
const char *sl_postgres_cell(const sl_postgres_result *result, uint32_t row, uint32_t column, size_t *length);
const char *sl_postgres_tag(const sl_postgres_result *result); /**< "INSERT 0 3" */
/** Of the last operation, failed or not; "" when there is none. */
const char *sl_postgres_sqlstate(const sl_postgres *connection);
