/* libpq without blocking.
 *
 * Its own calls that would block are not used: names are resolved by uv_getaddrinfo() and
 * given as `hostaddr`, PQcancel() runs on libuv's threads, GSSAPI (which asks a KDC) is
 * off unless the URL wants it.
 *
 * The socket is watched by a uv_poll_t of its own memory. While connecting libpq may
 * close it and open another one under the same number, which epoll doesn't forgive; so
 * then every step gets a new watch.
 *
 * An operation ends in sl_pg_finish(), which calls the user and touches nothing
 * afterwards: the user may have begun the next operation or destroyed the connection. */
#include "postgres_private.h"

#include <assert.h>

enum {
    CONNECT_MS = 10 * 1000,
    STATEMENT_MS = 5 * 60 * 1000,
    CANCEL_MS = 5 * 1000,
    PIECES_A_TURN = 8,
};

static void on_io(uv_poll_t *poll, int code, int events);

/* --- options --- */

sl_status sl_pg_copy_text(const char *text, char **out) {
    *out = text == NULL ? NULL : sl_strdup(text);
    return text != NULL && *out == NULL ? SL_ENOMEM : SL_OK;
}

/* The URL is never shown: it may hold a password. */
static sl_status check_url(const char *url, sl_error *error) {
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);
    if (options == NULL) {
        sl_status status =
            sl_error_set(error, SL_EINVAL, "warehouse's URL can't be read%s",
                         message == NULL                          ? ""
                         : strstr(message, "invalid URI") != NULL ? ": invalid URI"
                                                                  : "");
        PQfreemem(message);
        return status;
    }
    PQconninfoFree(options);
    return SL_OK;
}

static void free_texts(sl_postgres *p) {
    char **const texts[] = {&p->url,     &p->user,  &p->password, &p->password_file,
                            &p->ca_file, &p->setup, &p->now_user, &p->now_password};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sl_free(*texts[i]);
        *texts[i] = NULL;
    }
}

static void release(sl_postgres *p) {
    free_texts(p);
    sl_pg_places_fini(&p->places);
    sl_free(p);
}

static void on_soon(uv_timer_t *timer);

sl_status sl_postgres_create(sl_loop *loop, const sl_postgres_options *options,
                             sl_postgres **out, sl_error *error) {
    *out = NULL;
    sl_status status = check_url(options->url, error);
    if (status != SL_OK)
        return status;
    sl_postgres *p = sl_calloc(1, sizeof *p);
    if (p == NULL || sl_pg_copy_text(options->url, &p->url) != SL_OK ||
        sl_pg_copy_text(options->user, &p->user) != SL_OK ||
        sl_pg_copy_text(options->password, &p->password) != SL_OK ||
        sl_pg_copy_text(options->password_file, &p->password_file) != SL_OK ||
        sl_pg_copy_text(options->ca_file, &p->ca_file) != SL_OK ||
        sl_pg_copy_text(options->setup, &p->setup) != SL_OK) {
        if (p != NULL)
            release(p);
        return sl_error_set(error, SL_ENOMEM, "warehouse connection: out of memory");
    }
    p->connect_ms = options->connect_ms != 0 ? options->connect_ms : CONNECT_MS;
    p->statement_ms = options->statement_ms != 0 ? options->statement_ms : STATEMENT_MS;
    p->own_loop = loop == NULL;
    p->loop = loop == NULL ? &p->private_loop : sl_loop_uv(loop);
    if (p->own_loop && uv_loop_init(p->loop) != 0) {
        release(p);
        return sl_error_set(error, SL_EIO, "warehouse connection: no event loop");
    }
    (void)uv_timer_init(p->loop, &p->timer);
    (void)uv_timer_init(p->loop, &p->soon);
    p->timer.data = p->soon.data = p;
    p->open_handles = 2;
    *out = p;
    return SL_OK;
}

/* --- watching the socket --- */

static void on_watch_closed(uv_handle_t *handle) { sl_free(handle->data); }

void sl_pg_drop_watch(sl_postgres *p) {
    watch *w = p->watch;
    if (w == NULL)
        return;
    p->watch = NULL;
    w->owner = NULL;
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

bool sl_pg_watch_for(sl_postgres *p, int events) {
    if (p->watch == NULL) {
        watch *w = sl_calloc(1, sizeof *w);
        if (w == NULL)
            return false;
        if (uv_poll_init(p->loop, &w->poll, PQsocket(p->db)) != 0) {
            sl_free(w);
            return false;
        }
        w->owner = p;
        w->poll.data = w;
        p->watch = w;
    }
    return uv_poll_start(&p->watch->poll, events, on_io) == 0;
}

void sl_pg_drop_connection(sl_postgres *p) {
    sl_pg_drop_watch(p);
    p->connected = false;
    if (p->db != NULL)
        PQfinish(p->db);
    p->db = NULL;
}

/* --- ends of operations --- */

static void keep_result(sl_postgres *p, PGresult *result) {
    if (p->result.result != NULL)
        PQclear(p->result.result);
    p->result.result = result;
}

void sl_pg_begin(sl_postgres *p, phase_of phase, sl_postgres_done_fn *done,
                 void *context) {
    assert(p->phase == IDLE && !p->destroyed);
    p->phase = phase;
    p->done = done;
    p->context = context;
    p->status = SL_OK;
    p->error = (sl_error){0};
    p->sqlstate[0] = 0;
    p->timed_out = p->committing = p->connecting = false;
    p->source = NULL;
    p->piece = NULL;
}

void sl_pg_finish(sl_postgres *p) {
    (void)uv_timer_stop(&p->timer);
    p->phase = IDLE;
    if (p->watch != NULL)
        (void)uv_poll_stop(&p->watch->poll);
    /* A cancel request that is still on its way must not hit the next statement. */
    if (!sl_postgres_connected(p) || p->timed_out ||
        (p->connecting && p->status != SL_OK))
        sl_pg_drop_connection(p);
    sl_postgres_result result = p->result;
    p->result.result = NULL;
    sl_error error = p->error; /* The next operation has its own. */
    sl_status status = p->status;
    p->waited = status;
    p->waited_error = error;
    sl_postgres_done_fn *done = p->done;
    p->done = NULL;
    if (done != NULL)
        done(p->context, status, status == SL_OK ? &result : NULL, &error);
    if (result.result != NULL)
        PQclear(result.result);
}

void sl_pg_note(sl_postgres *p, sl_status status, const char *text) {
    if (p->status == SL_OK)
        p->status = sl_error_set(&p->error, status, "%s", text);
}

void sl_pg_fail(sl_postgres *p, sl_status status, const char *text) {
    sl_pg_note(p, status, text);
    sl_pg_finish(p);
}

void sl_pg_fail_soon(sl_postgres *p, sl_status status, const char *text) {
    sl_pg_note(p, status, text);
    p->phase = WAITING;
    (void)uv_timer_start(&p->soon, on_soon, 0, 0);
}

static void on_soon(uv_timer_t *timer) { sl_pg_finish(timer->data); }

/* --- running statements --- */

static void pump_copy(sl_postgres *p);

static void all_results_read(sl_postgres *p) {
    if (PQstatus(p->db) != CONNECTION_OK)
        sl_pg_note_connection_error(p, SL_EIO, "warehouse");
    if (p->committing && p->status == SL_OK &&
        (p->result.result == NULL ||
         strcmp(PQcmdStatus(p->result.result), "COMMIT") != 0))
        sl_pg_note(p, SL_EAGAIN,
                   "COMMIT was answered with ROLLBACK: an earlier statement had failed");
    sl_pg_finish(p);
}

/* @return whether it was the last of what has come. */
static bool take_result(sl_postgres *p, PGresult *result) {
    switch ((int)PQresultStatus(result)) {
    case PGRES_COPY_IN:
        PQclear(result);
        if (p->source == NULL) {
            sl_pg_note(p, SL_EINVAL, "COPY FROM STDIN needs data");
            (void)PQputCopyEnd(p->db, "no data");
            return false;
        }
        p->phase = COPYING;
        pump_copy(p);
        return true;
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        PQclear(result);
        sl_pg_drop_connection(p);
        sl_pg_fail(p, SL_EUNSUPPORTED, "COPY TO STDOUT isn't supported");
        return true;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        keep_result(p, result);
        return false;
    default:
        sl_pg_note_result_error(p, result);
        PQclear(result);
        return false;
    }
}

void sl_pg_run(sl_postgres *p) {
    int more = PQflush(p->db);
    if (more < 0 && PQstatus(p->db) != CONNECTION_OK) {
        /* What the server said last (why it closed) is still to be read. */
        (void)PQconsumeInput(p->db);
    }
    while (!PQisBusy(p->db)) {
        PGresult *result = PQgetResult(p->db);
        if (result == NULL) {
            all_results_read(p);
            return;
        }
        if (take_result(p, result))
            return;
    }
    if (PQsocket(p->db) < 0 ||
        !sl_pg_watch_for(p, UV_READABLE | (more > 0 ? UV_WRITABLE : 0))) {
        sl_pg_note_connection_error(p, SL_EIO, "warehouse");
        sl_pg_drop_connection(p);
        sl_pg_finish(p);
    }
}

static void end_copy(sl_postgres *p, const char *reason) {
    p->phase = RUNNING;
    if (PQputCopyEnd(p->db, reason) < 0 && PQstatus(p->db) == CONNECTION_OK) {
        sl_pg_note_connection_error(p, SL_EIO, "warehouse: COPY");
        sl_pg_drop_connection(p);
        sl_pg_finish(p);
        return;
    }
    sl_pg_run(p); /* Of a lost connection the result tells. */
}

static void progress(sl_postgres *p) {
    if (!p->timed_out)
        (void)uv_timer_start(&p->timer, sl_pg_on_timer, p->statement_ms, 0);
}

/* @return false: nothing more now, the COPY's end is under way. */
static bool next_piece(sl_postgres *p) {
    sl_error error = {0};
    sl_status status = p->source(p->source_context, &p->piece, &p->piece_length, &error);
    if (status == SL_OK)
        return true;
    p->piece = NULL;
    if (status != SL_ENOTFOUND)
        sl_pg_note(p, status, error.text);
    end_copy(p, status == SL_ENOTFOUND ? NULL : "given up by sluice");
    return false;
}

static void pump_copy(sl_postgres *p) {
    int more = 0;
    for (int i = 0; i < PIECES_A_TURN && more == 0; i++) {
        if (p->piece == NULL && !next_piece(p))
            return;
        int taken = PQputCopyData(p->db, (const char *)p->piece, (int)p->piece_length);
        if (taken > 0) {
            p->piece = NULL;
            progress(p);
        }
        more = taken == 0 ? 1 : PQflush(p->db);
        if (taken < 0 || more < 0) {
            /* The server's own words, if it had any, come as the COPY's result. */
            (void)PQconsumeInput(p->db);
            end_copy(p, NULL);
            return;
        }
    }
    if (!sl_pg_watch_for(p, UV_READABLE | UV_WRITABLE))
        sl_pg_fail(p, SL_EIO, "warehouse: the socket can't be watched");
}

static void on_io(uv_poll_t *poll, int code, int events) {
    watch *w = poll->data;
    sl_postgres *p = w->owner;
    if (p == NULL || p->phase == IDLE || p->phase == WAITING)
        return;
    if (p->phase == CONNECTING) {
        sl_pg_connect_step(p);
        return;
    }
    if ((events & UV_READABLE) != 0 || code < 0)
        (void)PQconsumeInput(p->db); /* A failure shows as a result. */
    if (p->phase != COPYING) {
        sl_pg_run(p);
    } else if (code < 0 || PQstatus(p->db) != CONNECTION_OK) {
        end_copy(p, NULL); /* The server's last words may still be unread. */
    } else if ((events & UV_WRITABLE) != 0) {
        if (PQflush(p->db) == 0)
            pump_copy(p);
    }
}

/* --- time --- */

static void cancel_now(uv_work_t *work) {
    cancelling *c = work->data;
    char text[256];
    (void)PQcancel(c->cancel, text, sizeof text);
}

static void cancelled(uv_work_t *work, int code) {
    cancelling *c = work->data;
    (void)code;
    PQfreeCancel(c->cancel);
    sl_free(c);
}

static void cancel(sl_postgres *p) {
    cancelling *c = sl_calloc(1, sizeof *c);
    if (c == NULL)
        return;
    c->work.data = c;
    c->cancel = PQgetCancel(p->db);
    if (c->cancel == NULL ||
        uv_queue_work(p->loop, &c->work, cancel_now, cancelled) != 0) {
        PQfreeCancel(c->cancel);
        sl_free(c);
    }
}

void sl_pg_on_timer(uv_timer_t *timer) {
    sl_postgres *p = timer->data;
    if (p->phase == RESOLVING || p->phase == CONNECTING) {
        sl_pg_forget_resolving(p);
        sl_pg_drop_connection(p);
        sl_pg_fail(p, SL_EIO, "warehouse: no connection in time");
    } else if (!p->timed_out) {
        p->timed_out = true;
        cancel(p);
        (void)uv_timer_start(&p->timer, sl_pg_on_timer, CANCEL_MS, 0);
    } else {
        sl_pg_drop_connection(p);
        sl_pg_fail(p, SL_EIO,
                   "warehouse: statement timed out, and cancelling it did, too");
    }
}

bool sl_postgres_connected(const sl_postgres *p) {
    return p->connected && p->db != NULL && PQstatus(p->db) == CONNECTION_OK;
}

/* --- statements --- */

static void sent(sl_postgres *p, int code) {
    if (code == 0) {
        sl_pg_note_connection_error(p, SL_EIO, "warehouse");
        sl_pg_fail_soon(p, SL_EIO, "");
        return;
    }
    (void)uv_timer_start(&p->timer, sl_pg_on_timer, p->statement_ms, 0);
    (void)PQflush(p->db);
    if (!sl_pg_watch_for(p, UV_READABLE | UV_WRITABLE))
        sl_pg_fail_soon(p, SL_EIO, "warehouse: the socket can't be watched");
}

static bool ready(sl_postgres *p) {
    if (sl_postgres_connected(p))
        return true;
    sl_pg_fail_soon(p, SL_EIO, "warehouse: not connected");
    return false;
}

void sl_postgres_query(sl_postgres *p, const char *text, sl_postgres_done_fn *done,
                       void *context) {
    sl_pg_begin(p, RUNNING, done, context);
    if (ready(p))
        sent(p, PQsendQuery(p->db, text));
}

void sl_postgres_copy(sl_postgres *p, const char *text, sl_postgres_source_fn *source,
                      sl_postgres_done_fn *done, void *context) {
    sl_pg_begin(p, RUNNING, done, context);
    p->source = source;
    p->source_context = context;
    if (ready(p))
        sent(p, PQsendQuery(p->db, text));
}

void sl_postgres_commit(sl_postgres *p, sl_postgres_done_fn *done, void *context) {
    sl_pg_begin(p, RUNNING, done, context);
    p->committing = true;
    if (ready(p))
        sent(p, PQsendQuery(p->db, "COMMIT"));
}

void sl_postgres_execute(sl_postgres *p, const char *text,
                         const sl_postgres_parameter *parameters, uint32_t count,
                         sl_postgres_done_fn *done, void *context) {
    enum { MAX = 16 };
    Oid types[MAX];
    const char *values[MAX];
    int lengths[MAX], formats[MAX];
    assert(count <= MAX);
    sl_pg_begin(p, RUNNING, done, context);
    for (uint32_t i = 0; i < count; i++) {
        types[i] = parameters[i].oid;
        values[i] = parameters[i].bytes;
        lengths[i] = (int)parameters[i].length;
        formats[i] = 1;
    }
    if (ready(p))
        sent(p, PQsendQueryParams(p->db, text, (int)count, types, values, lengths,
                                  formats, 1));
}

void sl_postgres_pause(sl_postgres *p, uint32_t ms, sl_postgres_done_fn *done,
                       void *context) {
    sl_pg_begin(p, WAITING, done, context);
    (void)uv_timer_start(&p->soon, on_soon, ms, 0);
}

/* --- the end --- */

static void on_handle_closed(uv_handle_t *handle) {
    sl_postgres *p = handle->data;
    if (--p->open_handles == 0 && !p->own_loop)
        release(p);
}

void sl_postgres_destroy(sl_postgres *p) {
    if (p == NULL || p->destroyed)
        return;
    p->destroyed = true;
    sl_pg_forget_resolving(p);
    sl_pg_drop_connection(p);
    keep_result(p, NULL);
    p->phase = IDLE;
    p->done = NULL;
    uv_close((uv_handle_t *)&p->timer, on_handle_closed);
    uv_close((uv_handle_t *)&p->soon, on_handle_closed);
    if (!p->own_loop)
        return;
    (void)uv_run(p->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(p->loop);
    release(p);
}

/* --- waiting --- */

sl_status sl_postgres_wait(sl_postgres *p, sl_error *error) {
    assert(p->own_loop);
    while (p->phase != IDLE)
        (void)uv_run(p->loop, UV_RUN_ONCE);
    if (p->waited != SL_OK && error != NULL)
        *error = p->waited_error;
    return p->waited;
}

sl_status sl_postgres_connect_wait(sl_postgres *p, sl_error *error) {
    sl_postgres_connect(p, NULL, NULL, NULL, NULL);
    return sl_postgres_wait(p, error);
}

sl_status sl_postgres_query_wait(sl_postgres *p, const char *text,
                                 sl_postgres_done_fn *each, void *context,
                                 sl_error *error) {
    sl_postgres_query(p, text, each, context);
    return sl_postgres_wait(p, error);
}

/* --- results --- */

uint32_t sl_postgres_rows(const sl_postgres_result *result) {
    return result->result == NULL ? 0 : (uint32_t)PQntuples(result->result);
}

uint32_t sl_postgres_columns(const sl_postgres_result *result) {
    return result->result == NULL ? 0 : (uint32_t)PQnfields(result->result);
}

const char *sl_postgres_column(const sl_postgres_result *result, uint32_t column) {
    return PQfname(result->result, (int)column);
}

uint32_t sl_postgres_column_type(const sl_postgres_result *result, uint32_t column) {
    return PQftype(result->result, (int)column);
}

const char *sl_postgres_cell(const sl_postgres_result *result, uint32_t row,
                             uint32_t column, size_t *length) {
    if (length != NULL)
        *length = 0;
    if (PQgetisnull(result->result, (int)row, (int)column))
        return NULL;
    if (length != NULL)
        *length = (size_t)PQgetlength(result->result, (int)row, (int)column);
    return PQgetvalue(result->result, (int)row, (int)column);
}

const char *sl_postgres_tag(const sl_postgres_result *result) {
    return result->result == NULL ? "" : PQcmdStatus(result->result);
}

const char *sl_postgres_sqlstate(const sl_postgres *p) { return p->sqlstate; }
