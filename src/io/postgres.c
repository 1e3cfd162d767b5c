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
 * An operation ends in finish(), which calls the user and touches nothing afterwards: the
 * user may have begun the next operation or destroyed the connection. */
#include "sluice/postgres.h"

#include <assert.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum {
    CONNECT_MS = 10 * 1000,
    STATEMENT_MS = 5 * 60 * 1000,
    CANCEL_MS = 5 * 1000,
    ADDRESSES_MAX = 16,
    PIECES_A_TURN = 8,
    NOTICE_BYTES_MAX = 8192,
};

typedef enum phase_of { IDLE, RESOLVING, CONNECTING, RUNNING, COPYING, WAITING } phase_of;

typedef struct watch {
    uv_poll_t poll;
    sl_postgres *owner; /* NULL: being closed. */
} watch;

typedef struct resolving {
    uv_getaddrinfo_t request;
    sl_postgres *owner; /* NULL: nobody waits any more. */
} resolving;

typedef struct cancelling {
    uv_work_t work;
    PGcancel *cancel;
} cancelling;

/* Name, address and port of each place to try, as libpq wants them: separated by commas.
 */
typedef struct place_list {
    sl_buffer hosts, addresses, ports;
    char *names, *names_left; /* Copy of the list of hosts, cut at the commas as they are
                                 resolved. */
    char *port_list, *ports_left;
    const char *name, *port; /* Being resolved. */
    uint32_t count;
    bool remote; /* One of them is neither loopback nor a socket in the file system. */
} place_list;

struct sl_postgres_result {
    PGresult *result;
};

struct sl_postgres {
    uv_loop_t *loop, private_loop;
    bool own_loop, destroyed, timed_out, committing, connecting, connected;
    char *url, *user, *password, *password_file, *ca_file, *setup;
    char *now_user, *now_password; /* Of the connect under way. */
    uint32_t connect_ms, statement_ms;
    PGconn *db;
    phase_of phase;
    watch *watch;
    resolving *resolving;
    uv_timer_t timer, soon;
    int open_handles;
    place_list places;
    sl_postgres_done_fn *done;
    void *context;
    sl_postgres_source_fn *source;
    void *source_context;
    const uint8_t *piece; /* Given by the source, not taken by libpq yet. */
    size_t piece_length;
    sl_postgres_result result;
    sl_status status;
    sl_error error;
    char sqlstate[6];
    sl_buffer notices;
    sl_status waited; /* What sl_postgres_wait() reports. */
    sl_error waited_error;
    sl_postgres_done_fn *each;
    void *each_context;
};

static void on_io(uv_poll_t *poll, int code, int events);
static void resolve_next(sl_postgres *p);

/* --- options --- */

static sl_status copy_text(const char *text, char **out) {
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

static void places_fini(place_list *places) {
    sl_buffer_fini(&places->hosts);
    sl_buffer_fini(&places->addresses);
    sl_buffer_fini(&places->ports);
    sl_free(places->names);
    sl_free(places->port_list);
    *places = (place_list){0};
}

static void release(sl_postgres *p) {
    free_texts(p);
    places_fini(&p->places);
    sl_buffer_fini(&p->notices);
    sl_free(p);
}

static void on_timer(uv_timer_t *timer);
static void on_soon(uv_timer_t *timer);
static void on_begin_connecting(uv_timer_t *timer);

sl_status sl_postgres_create(sl_loop *loop, const sl_postgres_options *options,
                             sl_postgres **out, sl_error *error) {
    *out = NULL;
    sl_status status = check_url(options->url, error);
    if (status != SL_OK)
        return status;
    sl_postgres *p = sl_calloc(1, sizeof *p);
    if (p == NULL || copy_text(options->url, &p->url) != SL_OK ||
        copy_text(options->user, &p->user) != SL_OK ||
        copy_text(options->password, &p->password) != SL_OK ||
        copy_text(options->password_file, &p->password_file) != SL_OK ||
        copy_text(options->ca_file, &p->ca_file) != SL_OK ||
        copy_text(options->setup, &p->setup) != SL_OK) {
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

static void drop_watch(sl_postgres *p) {
    watch *w = p->watch;
    if (w == NULL)
        return;
    p->watch = NULL;
    w->owner = NULL;
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static bool watch_for(sl_postgres *p, int events) {
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

/* Close the connection; the watch first, while the descriptor is still the socket's. */
static void drop_connection(sl_postgres *p) {
    drop_watch(p);
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

static void begin(sl_postgres *p, phase_of phase, sl_postgres_done_fn *done,
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
    sl_buffer_clear(&p->notices);
}

/* The last thing that is done with the connection in a call: the user may do anything
 * with it. */
static void finish(sl_postgres *p) {
    (void)uv_timer_stop(&p->timer);
    p->phase = IDLE;
    if (p->watch != NULL)
        (void)uv_poll_stop(&p->watch->poll);
    /* A cancel request that is still on its way must not hit the next statement. */
    if (!sl_postgres_connected(p) || p->timed_out ||
        (p->connecting && p->status != SL_OK))
        drop_connection(p);
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

/* The first failure is the one that counts. */
static void note(sl_postgres *p, sl_status status, const char *text) {
    if (p->status == SL_OK)
        p->status = sl_error_set(&p->error, status, "%s", text);
}

static void fail(sl_postgres *p, sl_status status, const char *text) {
    note(p, status, text);
    finish(p);
}

/* For failures inside the call that begins an operation. */
static void fail_soon(sl_postgres *p, sl_status status, const char *text) {
    note(p, status, text);
    p->phase = WAITING;
    (void)uv_timer_start(&p->soon, on_soon, 0, 0);
}

static void on_soon(uv_timer_t *timer) { finish(timer->data); }

/* --- errors in the server's words --- */

static void one_line(char *text) {
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        text[--length] = 0;
    for (; *text != 0; text++)
        if (*text == '\n' || *text == '\t')
            *text = ' ';
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* Redshift's conflicts of transactions come as XX000 and can only be told by their text.
 */
static bool conflict_text(const char *message) {
    return strstr(message, "1023") != NULL ||
           strstr(message, "conflict with concurrent transaction") != NULL ||
           strstr(message, "Serializable isolation violation") != NULL;
}

/* PostgreSQL manual, appendix A. */
static sl_status classify(const char *state, const char *message) {
    static const struct {
        const char *prefix;
        sl_status status;
    } table[] = {
        {"08", SL_EIO},          {"57P", SL_EIO},         {"40", SL_EAGAIN},
        {"55P03", SL_EAGAIN},    {"57014", SL_EAGAIN},    {"25P02", SL_EAGAIN},
        {"25P03", SL_EIO},       {"53100", SL_ENOSPC},    {"53", SL_EFULL},
        {"28", SL_EDENIED},      {"42501", SL_EDENIED},   {"23505", SL_EEXIST},
        {"42P07", SL_EEXIST},    {"42701", SL_EEXIST},    {"42710", SL_EEXIST},
        {"42P01", SL_ENOTFOUND}, {"42703", SL_ENOTFOUND}, {"3F000", SL_ENOTFOUND},
        {"22", SL_ETYPE},        {"23", SL_ETYPE},        {"58", SL_EIO},
        {"XX", SL_EIO},
    };
    if (begins(state, "XX") && conflict_text(message))
        return SL_EAGAIN;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (begins(state, table[i].prefix))
            return table[i].status;
    return SL_EINVAL;
}

static const char *field(const PGresult *result, int code) {
    const char *text = PQresultErrorField(result, code);
    return text == NULL ? "" : text;
}

static void note_connection_error(sl_postgres *p, sl_status status, const char *what) {
    char text[480];
    const char *message = p->db == NULL ? "" : PQerrorMessage(p->db);
    (void)snprintf(text, sizeof text, "%s: %s", what,
                   *message == 0 ? "connection lost" : message);
    one_line(text);
    note(p, status, text);
}

static void note_result_error(sl_postgres *p, const PGresult *result) {
    if (p->status != SL_OK)
        return;
    const char *state = field(result, PG_DIAG_SQLSTATE);
    if (*state == 0) { /* libpq's own words: the connection broke. */
        note_connection_error(p, SL_EIO, "warehouse");
        return;
    }
    const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    const char *where = field(result, PG_DIAG_CONTEXT);
    char text[640];
    (void)snprintf(text, sizeof text, "%s%.240s%s%.140s%s%.80s (SQLSTATE %s)",
                   p->timed_out ? "statement timed out: " : "", message,
                   *detail != 0 ? "; " : "", detail, *where != 0 ? "; " : "", where,
                   state);
    one_line(text);
    (void)snprintf(p->sqlstate, sizeof p->sqlstate, "%.5s", state);
    note(p, classify(state, message), text);
}

static void on_notice(void *context, const PGresult *result) {
    sl_postgres *p = context;
    if (p->notices.length < NOTICE_BYTES_MAX)
        sl_buffer_printf(&p->notices, "%s: %s\n", field(result, PG_DIAG_SEVERITY),
                         field(result, PG_DIAG_MESSAGE_PRIMARY));
    (void)sl_buffer_cstr(&p->notices);
}

/* --- running statements --- */

static void pump_copy(sl_postgres *p);

static void all_results_read(sl_postgres *p) {
    if (PQstatus(p->db) != CONNECTION_OK)
        note_connection_error(p, SL_EIO, "warehouse");
    if (p->committing && p->status == SL_OK &&
        (p->result.result == NULL ||
         strcmp(PQcmdStatus(p->result.result), "COMMIT") != 0))
        note(p, SL_EAGAIN,
             "COMMIT was answered with ROLLBACK: an earlier statement had failed");
    finish(p);
}

/* @return whether it was the last of what has come. */
static bool take_result(sl_postgres *p, PGresult *result) {
    switch ((int)PQresultStatus(result)) {
    case PGRES_COPY_IN:
        PQclear(result);
        if (p->source == NULL) {
            note(p, SL_EINVAL, "COPY FROM STDIN needs data");
            (void)PQputCopyEnd(p->db, "no data");
            return false;
        }
        p->phase = COPYING;
        pump_copy(p);
        return true;
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        PQclear(result);
        drop_connection(p);
        fail(p, SL_EUNSUPPORTED, "COPY TO STDOUT isn't supported");
        return true;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        keep_result(p, result);
        return false;
    default:
        note_result_error(p, result);
        PQclear(result);
        return false;
    }
}

/* Send what libpq holds, read what has come; wait for the rest. */
static void run(sl_postgres *p) {
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
        !watch_for(p, UV_READABLE | (more > 0 ? UV_WRITABLE : 0))) {
        note_connection_error(p, SL_EIO, "warehouse");
        drop_connection(p);
        finish(p);
    }
}

static void end_copy(sl_postgres *p, const char *reason) {
    p->phase = RUNNING;
    if (PQputCopyEnd(p->db, reason) < 0 && PQstatus(p->db) == CONNECTION_OK) {
        note_connection_error(p, SL_EIO, "warehouse: COPY");
        drop_connection(p);
        finish(p);
        return;
    }
    run(p); /* Of a lost connection the result tells. */
}

static void progress(sl_postgres *p) {
    if (!p->timed_out)
        (void)uv_timer_start(&p->timer, on_timer, p->statement_ms, 0);
}

/* @return false: nothing more now, the COPY's end is under way. */
static bool next_piece(sl_postgres *p) {
    sl_error error = {0};
    sl_status status = p->source(p->source_context, &p->piece, &p->piece_length, &error);
    if (status == SL_OK)
        return true;
    p->piece = NULL;
    if (status != SL_ENOTFOUND)
        note(p, status, error.text);
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
    if (!watch_for(p, UV_READABLE | UV_WRITABLE))
        fail(p, SL_EIO, "warehouse: the socket can't be watched");
}

static void connect_step(sl_postgres *p);

static void on_io(uv_poll_t *poll, int code, int events) {
    watch *w = poll->data;
    sl_postgres *p = w->owner;
    if (p == NULL || p->phase == IDLE || p->phase == WAITING)
        return;
    if (p->phase == CONNECTING) {
        connect_step(p);
        return;
    }
    if ((events & UV_READABLE) != 0 || code < 0)
        (void)PQconsumeInput(p->db); /* A failure shows as a result. */
    if (p->phase != COPYING) {
        run(p);
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

static void forget_resolving(sl_postgres *p) {
    if (p->resolving == NULL)
        return;
    p->resolving->owner = NULL;
    (void)uv_cancel((uv_req_t *)&p->resolving->request);
    p->resolving = NULL;
}

static void on_timer(uv_timer_t *timer) {
    sl_postgres *p = timer->data;
    if (p->phase == RESOLVING || p->phase == CONNECTING) {
        forget_resolving(p);
        drop_connection(p);
        fail(p, SL_EIO, "warehouse: no connection in time");
    } else if (!p->timed_out) {
        p->timed_out = true;
        cancel(p);
        (void)uv_timer_start(&p->timer, on_timer, CANCEL_MS, 0);
    } else {
        drop_connection(p);
        fail(p, SL_EIO, "warehouse: statement timed out, and cancelling it did, too");
    }
}

/* --- connecting --- */

static const char *option(PQconninfoOption *options, const char *keyword) {
    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val != NULL && *o->val != 0 ? o->val
                   : o->envvar != NULL            ? getenv(o->envvar)
                                                  : NULL;
    return NULL;
}

static bool readable(const char *path) { return access(path, R_OK) == 0; }

/* Whom to trust, where nobody said it: the user's file for PostgreSQL, else the system's
 * authorities. */
static const char *root_certificates(void) {
    static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                          "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/cert.pem"};
    char path[1024];
    const char *home = getenv("HOME");
    (void)snprintf(path, sizeof path, "%s/.postgresql/root.crt",
                   home == NULL ? "" : home);
    if (home != NULL && readable(path))
        return NULL; /* libpq finds it itself. */
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
        if (readable(bundles[i]))
            return bundles[i];
    return NULL;
}

enum { PAIRS_MAX = 96 };
typedef struct pair_list {
    const char *keywords[PAIRS_MAX], *values[PAIRS_MAX];
    size_t count;
} pair_list;

static void pair(pair_list *pairs, const char *keyword, const char *value) {
    size_t i = 0;
    if (value == NULL)
        return;
    while (i < pairs->count && strcmp(pairs->keywords[i], keyword) != 0)
        i++;
    assert(i < PAIRS_MAX - 1);
    pairs->keywords[i] = keyword;
    pairs->values[i] = value;
    if (i == pairs->count)
        pairs->count++;
}

/* For what neither the URL nor the environment says. */
static void pair_default(pair_list *pairs, PQconninfoOption *options, const char *keyword,
                         const char *value) {
    if (option(options, keyword) == NULL)
        pair(pairs, keyword, value);
}

static void secure(const sl_postgres *p, pair_list *pairs, PQconninfoOption *options) {
    const char *mode = option(options, "sslmode");
    if (mode == NULL && p->places.remote)
        pair(pairs, "sslmode", mode = "verify-full");
    if (p->ca_file != NULL)
        pair(pairs, "sslrootcert", p->ca_file);
    else if (mode != NULL && begins(mode, "verify-"))
        pair_default(pairs, options, "sslrootcert", root_certificates());
}

static void start_connecting(sl_postgres *p, PQconninfoOption *options) {
    pair_list pairs = {.count = 0};
    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (o->val != NULL && *o->val != 0)
            pair(&pairs, o->keyword, o->val);
    pair(&pairs, "user", p->now_user);
    pair(&pairs, "password", p->now_password);
    if (p->places.count != 0) {
        pair(&pairs, "host", sl_buffer_cstr(&p->places.hosts));
        pair(&pairs, "hostaddr", sl_buffer_cstr(&p->places.addresses));
        pair(&pairs, "port", sl_buffer_cstr(&p->places.ports));
    }
    pair(&pairs, "client_encoding", "UTF8");
    pair_default(&pairs, options, "application_name", "sluice");
    pair_default(&pairs, options, "gssencmode", "disable");
    pair_default(&pairs, options, "keepalives_idle", "30");
    pair_default(&pairs, options, "keepalives_interval", "10");
    pair_default(&pairs, options, "keepalives_count", "3");
    secure(p, &pairs, options);
    p->db = PQconnectStartParams(pairs.keywords, pairs.values, 0);
    if (p->db == NULL || PQstatus(p->db) == CONNECTION_BAD) {
        note_connection_error(p, SL_EIO, "warehouse");
        finish(p);
        return;
    }
    p->phase = CONNECTING;
    if (!watch_for(p, UV_WRITABLE))
        fail(p, SL_EIO, "warehouse: the socket can't be watched");
}

static void made_connection(sl_postgres *p) {
    p->connected = true;
    p->phase = RUNNING;
    (void)PQsetnonblocking(p->db, 1);
    (void)PQsetNoticeReceiver(p->db, on_notice, p);
    if (p->setup == NULL) {
        finish(p);
    } else if (PQsendQuery(p->db, p->setup) == 0) {
        note_connection_error(p, SL_EIO, "warehouse");
        finish(p);
    } else {
        run(p);
    }
}

static void no_connection(sl_postgres *p) {
    const char *message = PQerrorMessage(p->db);
    bool denied = strstr(message, "authentication failed") != NULL ||
                  strstr(message, "no pg_hba.conf entry") != NULL ||
                  strstr(message, "no password supplied") != NULL;
    bool plain = strstr(message, "does not support SSL") != NULL;
    note_connection_error(p, denied ? SL_EDENIED : SL_EIO, "warehouse");
    if (plain && strlen(p->error.text) < sizeof p->error.text - 80)
        strcat(p->error.text, "; sslmode in the URL can say otherwise than verify-full");
    finish(p);
}

static void connect_step(sl_postgres *p) {
    drop_watch(p);
    PostgresPollingStatusType state = PQconnectPoll(p->db);
    if (state == PGRES_POLLING_OK)
        made_connection(p);
    else if (state == PGRES_POLLING_FAILED)
        no_connection(p);
    else if (!watch_for(p, state == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE))
        fail(p, SL_EIO, "warehouse: the socket can't be watched");
}

/* --- names to addresses --- */

static bool loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof in6);
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static void add_place(place_list *places, const char *host, const char *address,
                      const char *port) {
    const char *comma = places->count++ == 0 ? "" : ",";
    sl_buffer_printf(&places->hosts, "%s%s", comma, host);
    sl_buffer_printf(&places->addresses, "%s%s", comma, address);
    sl_buffer_printf(&places->ports, "%s%s", comma, port);
}

static void add_addresses(place_list *places, const char *host, const char *port,
                          const struct addrinfo *list) {
    for (const struct addrinfo *a = list; a != NULL && places->count < ADDRESSES_MAX;
         a = a->ai_next) {
        char text[NI_MAXHOST];
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
            continue;
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0,
                        NI_NUMERICHOST) != 0)
            continue;
        add_place(places, host, text, port);
        places->remote = places->remote || !loopback(a->ai_addr);
    }
}

/* Cut the first part of a list with commas off. */
static char *part(char **list) {
    char *begin = *list, *comma = begin == NULL ? NULL : strchr(begin, ',');
    if (comma != NULL)
        *comma = 0;
    *list = comma == NULL ? NULL : comma + 1;
    return begin;
}

static void all_resolved(sl_postgres *p) {
    place_list *places = &p->places;
    PQconninfoOption *options = PQconninfoParse(p->url, NULL);
    if (options == NULL || places->hosts.failed || places->addresses.failed ||
        places->ports.failed) {
        PQconninfoFree(options);
        fail(p, SL_ENOMEM, "warehouse: out of memory");
        return;
    }
    p->status = SL_OK; /* Of several names one may be unknown. */
    start_connecting(p, options);
    /* p may be gone; the list is ours. */
    PQconninfoFree(options);
}

static void on_resolved(uv_getaddrinfo_t *request, int code, struct addrinfo *list) {
    resolving *r = request->data;
    sl_postgres *p = r->owner;
    if (p != NULL) {
        p->resolving = NULL;
        if (code == 0)
            add_addresses(&p->places, p->places.name, p->places.port, list);
        else
            p->status = sl_error_set(&p->error, SL_EIO, "warehouse: host %s: %s",
                                     p->places.name, uv_strerror(code));
    }
    uv_freeaddrinfo(list);
    sl_free(r);
    if (p != NULL)
        resolve_next(p);
}

static bool resolve(sl_postgres *p, const char *host) {
    resolving *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return false;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    r->request.data = r;
    r->owner = p;
    if (uv_getaddrinfo(p->loop, &r->request, on_resolved, host, NULL, &hints) != 0) {
        sl_free(r);
        return false;
    }
    p->resolving = r;
    return true;
}

/* A host that begins with '/' or '@' is a socket in the file system, which libpq finds
 * itself. */
static void resolve_next(sl_postgres *p) {
    place_list *places = &p->places;
    for (;;) {
        places->name = part(&places->names_left);
        if (places->name == NULL)
            break;
        /* One port for all hosts, or one for each. */
        if (places->ports_left != NULL)
            places->port = part(&places->ports_left);
        if (*places->port == 0)
            places->port = "5432";
        if (*places->name != '/' && *places->name != '@' && *places->name != 0) {
            if (resolve(p, places->name))
                return;
            fail(p, SL_EIO, "warehouse: names can't be resolved");
            return;
        }
        add_place(places, places->name, "", places->port);
    }
    if (places->count == 0 && places->names != NULL)
        finish(p); /* With the failure of the last name. */
    else
        all_resolved(p);
}

/* The first line of the file, read anew for each connect, so that a changed secret is
 * taken. */
static char *read_password(const char *path) {
    char line[1024] = "";
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = 0;
    (void)fclose(file);
    line[strcspn(line, "\r\n")] = 0;
    return sl_strdup(line);
}

static sl_status credentials(sl_postgres *p, const char *user, const char *password) {
    sl_free(p->now_user);
    sl_free(p->now_password);
    p->now_user = p->now_password = NULL;
    if (password == NULL)
        password = p->password;
    if (copy_text(user != NULL ? user : p->user, &p->now_user) != SL_OK ||
        copy_text(password, &p->now_password) != SL_OK)
        return sl_error_set(&p->error, SL_ENOMEM, "warehouse: out of memory");
    if (p->now_password != NULL || p->password_file == NULL)
        return SL_OK;
    p->now_password = read_password(p->password_file);
    if (p->now_password == NULL)
        return sl_error_set(&p->error, SL_EDENIED,
                            "warehouse: password file %s can't be read",
                            p->password_file);
    return SL_OK;
}

/* What there is to resolve; nothing where the URL has addresses or leaves the host to
 * libpq. */
static sl_status list_hosts(sl_postgres *p) {
    PQconninfoOption *options = PQconninfoParse(p->url, NULL);
    places_fini(&p->places);
    if (options == NULL)
        return sl_error_set(&p->error, SL_ENOMEM, "warehouse: out of memory");
    const char *host = option(options, "host"), *port = option(options, "port");
    const char *address = option(options, "hostaddr");
    sl_status status = SL_OK;
    if (host != NULL && address == NULL) {
        p->places.names = p->places.names_left = sl_strdup(host);
        p->places.port_list = p->places.ports_left = sl_strdup(port == NULL ? "" : port);
        p->places.port = "";
        if (p->places.names == NULL || p->places.port_list == NULL)
            status = sl_error_set(&p->error, SL_ENOMEM, "warehouse: out of memory");
    } else if (address != NULL) {
        p->places.remote = !begins(address, "127.") && strcmp(address, "::1") != 0;
    }
    PQconninfoFree(options);
    return status;
}

void sl_postgres_connect(sl_postgres *p, const char *user, const char *password,
                         sl_postgres_done_fn *done, void *context) {
    begin(p, RESOLVING, done, context);
    p->connecting = true;
    drop_connection(p);
    p->status = credentials(p, user, password);
    if (p->status == SL_OK)
        p->status = list_hosts(p);
    if (p->status != SL_OK) {
        fail_soon(p, p->status, p->error.text);
        return;
    }
    (void)uv_timer_start(&p->timer, on_timer, p->connect_ms, 0);
    (void)uv_timer_start(&p->soon, on_begin_connecting, 0, 0);
}

static void on_begin_connecting(uv_timer_t *timer) { resolve_next(timer->data); }

bool sl_postgres_connected(const sl_postgres *p) {
    return p->connected && p->db != NULL && PQstatus(p->db) == CONNECTION_OK;
}

/* --- statements --- */

static void sent(sl_postgres *p, int code) {
    if (code == 0) {
        note_connection_error(p, SL_EIO, "warehouse");
        fail_soon(p, SL_EIO, "");
        return;
    }
    (void)uv_timer_start(&p->timer, on_timer, p->statement_ms, 0);
    (void)PQflush(p->db);
    if (!watch_for(p, UV_READABLE | UV_WRITABLE))
        fail_soon(p, SL_EIO, "warehouse: the socket can't be watched");
}

static bool ready(sl_postgres *p) {
    if (sl_postgres_connected(p))
        return true;
    fail_soon(p, SL_EIO, "warehouse: not connected");
    return false;
}

void sl_postgres_query(sl_postgres *p, const char *text, sl_postgres_done_fn *done,
                       void *context) {
    begin(p, RUNNING, done, context);
    if (ready(p))
        sent(p, PQsendQuery(p->db, text));
}

void sl_postgres_copy(sl_postgres *p, const char *text, sl_postgres_source_fn *source,
                      sl_postgres_done_fn *done, void *context) {
    begin(p, RUNNING, done, context);
    p->source = source;
    p->source_context = context;
    if (ready(p))
        sent(p, PQsendQuery(p->db, text));
}

void sl_postgres_commit(sl_postgres *p, sl_postgres_done_fn *done, void *context) {
    begin(p, RUNNING, done, context);
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
    begin(p, RUNNING, done, context);
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
    begin(p, WAITING, done, context);
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
    forget_resolving(p);
    drop_connection(p);
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

const char *sl_postgres_notices(const sl_postgres *p) {
    return p->notices.length == 0 ? "" : (const char *)p->notices.bytes;
}

uint32_t sl_postgres_server_version(const sl_postgres *p) {
    return p->db == NULL ? 0 : (uint32_t)PQserverVersion(p->db);
}
