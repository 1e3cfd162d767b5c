/* What postgres.c, postgres_connect.c and postgres_error.c share. */
#pragma once

#include "sluice/postgres.h"

#include <libpq-fe.h>
#include <uv.h>

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
    sl_status waited; /* What sl_postgres_wait() reports. */
    sl_error waited_error;
    sl_postgres_done_fn *each;
    void *each_context;
};

/* --- postgres.c: one operation at a time --- */
void sl_pg_begin(sl_postgres *p, phase_of phase, sl_postgres_done_fn *done,
                 void *context);
/* The last thing that is done with the connection in a call: the user may do anything
 * with it. */
void sl_pg_finish(sl_postgres *p);
/* The first failure is the one that counts. */
void sl_pg_note(sl_postgres *p, sl_status status, const char *text);
void sl_pg_fail(sl_postgres *p, sl_status status, const char *text);
/* For failures inside the call that begins an operation. */
void sl_pg_fail_soon(sl_postgres *p, sl_status status, const char *text);
/* Send what libpq holds, read what has come; wait for the rest. */
void sl_pg_run(sl_postgres *p);
/* Too long: the attempt to connect ends, a statement is cancelled. */
void sl_pg_on_timer(uv_timer_t *timer);
bool sl_pg_watch_for(sl_postgres *p, int events);
void sl_pg_drop_watch(sl_postgres *p);
/* Close the connection; the watch first, while the descriptor is still the socket's. */
void sl_pg_drop_connection(sl_postgres *p);
sl_status sl_pg_copy_text(const char *text, char **out);

/* --- postgres_connect.c --- */
void sl_pg_connect_step(sl_postgres *p);
void sl_pg_forget_resolving(sl_postgres *p);
void sl_pg_places_fini(place_list *places);

/* --- postgres_error.c: in the server's words --- */
void sl_pg_note_connection_error(sl_postgres *p, sl_status status, const char *what);
void sl_pg_note_result_error(sl_postgres *p, const PGresult *result);

static inline bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}
