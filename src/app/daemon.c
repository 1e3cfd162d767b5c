/* The daemon: order of start and stop. */
#include "daemon.h"

#include "threads.h"

#include "sluice/admin.h"
#include "sluice/http_intake.h"
#include "sluice/http_server.h"
#include "sluice/io_files.h"
#include "sluice/loop.h"
#include "sluice/message.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 50, LINGER_US = 2000000, UNCOUNTED = 24 << 20 };
#define REQUESTS_LIMIT_US (2 * SL_SECOND_US) /* How long a stop waits for requests that have begun to come. */

typedef struct daemon {
    sl_config *config;
    sl_budget budget;
    sl_metrics *metrics;
    sl_loop *loop;
    sl_engine *engine;
    sl_threads *threads;
    sl_http_intake *intake;
    sl_http_server *server, *admin_server;
    sl_admin_port port;
    bool one_port, drain, stopping, engine_stopping;
    uint32_t watchdog_ms;
    int64_t watchdog_at_us, stopping_at_us;
} daemon_state;

static int64_t clock_us(clockid_t id) {
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000;
}
static int64_t wall_us(void *context) {
    (void)context;
    return clock_us(CLOCK_REALTIME);
}
static int64_t monotonic_us(void *context) {
    (void)context;
    return clock_us(CLOCK_MONOTONIC);
}

static void wake_actor(void *context, sl_actor *actor) {
    (void)context;
    sl_threads_wake(actor);
}
static void wake_loop(void *context) {
    sl_loop_wake(((daemon_state *)context)->loop);
}

static void wake_loop_in(void *context, uint32_t ms) {
    sl_loop_wake_in(((daemon_state *)context)->loop, ms);
}

/* --- HTTP --- */

static int admit_intake(void *context, const char *method, const char *path,
                        sl_http_exchange *exchange) {
    daemon_state *d = context;
    int status = sl_admin_admit(d->one_port, method, path, exchange);
    return status != 404 ? status : sl_http_intake_admit(d->intake, method, path, exchange);
}

static void handle_intake(void *context, const sl_http_request *request) {
    daemon_state *d = context;
    if (sl_admin_handle(&d->port, d->one_port, request) ||
        sl_http_intake_handle(d->intake, request))
        return;
    sl_http_reply_error(request->exchange, 404, "not_found",
                        "no such path; events go to POST /v1/events");
}

static int admit_admin(void *context, const char *method, const char *path,
                       sl_http_exchange *exchange) {
    (void)context;
    return sl_admin_admit(true, method, path, exchange);
}

static void handle_admin(void *context, const sl_http_request *request) {
    daemon_state *d = context;
    if (!sl_admin_handle(&d->port, true, request))
        sl_http_reply_error(request->exchange, 404, "not_found", "no such path");
}

static bool port_ready(void *context) {
    daemon_state *d = context;
    return sl_engine_ready(d->engine) && !d->stopping;
}
static void port_state(void *context, sl_buffer *out) {
    sl_engine_state(((daemon_state *)context)->engine, out);
}
static void port_windows(void *context, const char *name, uint32_t limit,
                         void (*done)(void *context, const char *json, size_t length),
                         void *done_context) {
    sl_engine_windows(((daemon_state *)context)->engine, name, limit, done, done_context);
}
static void port_flush(void *context,
                       void (*done)(void *context, sl_status status, const char *message),
                       void *done_context) {
    sl_engine_flush(((daemon_state *)context)->engine, done, done_context);
}

static sl_status listen_on(daemon_state *d, bool admin, sl_error *error) {
    const sl_config *c = d->config;
    const sl_http_server_options options = {
        .listen = admin ? c->admin.listen : c->http.listen,
        .tls_cert = admin ? NULL : c->http.tls_cert,
        .tls_key = admin ? NULL : c->http.tls_key,
        .connections_max = c->http.max_connections,
        .header_timeout_ms = (unsigned)(c->http.header_timeout_us / 1000),
        .idle_timeout_ms = (unsigned)(c->http.idle_timeout_us / 1000),
        .http = {.body_bytes_max = c->http.max_body,
                 .budget = &d->budget,
                 .handler = admin ? handle_admin : handle_intake,
                 .context = d,
                 .admit = admin ? admit_admin : admit_intake},
    };
    sl_status status = sl_http_server_create(sl_loop_uv(d->loop), &options,
                                             admin ? &d->admin_server : &d->server, error);
    if (status == SL_OK) {
        sl_message(SL_LEVEL_INFO, "http", "listening", "for=%s address=%s port=%u",
                   admin ? "admin" : "intake", options.listen,
                   sl_http_server_port(admin ? d->admin_server : d->server));
    }
    return status;
}

/* --- the loop --- */

/* @param context The daemon's pointer to it. */
static void server_closed(void *context) {
    *(sl_http_server **)context = NULL;
}

static bool servers_open(const daemon_state *d) {
    return d->server != NULL || d->admin_server != NULL;
}

/* The second call for one of them ends it at once. */
static void close_servers(daemon_state *d) {
    if (d->server != NULL)
        sl_http_server_close(d->server, server_closed, &d->server);
    if (d->admin_server != NULL)
        sl_http_server_close(d->admin_server, server_closed, &d->admin_server);
}

/* Requests that have begun are answered first: the engine refuses what comes after its stop. */
static void stop_engine(daemon_state *d) {
    if (!d->stopping || d->engine_stopping ||
        (servers_open(d) && monotonic_us(NULL) - d->stopping_at_us < REQUESTS_LIMIT_US))
        return;
    d->engine_stopping = true;
    sl_engine_stop(d->engine, d->drain);
}

static void on_turn(void *context) {
    daemon_state *d = context;
    stop_engine(d);
    while (sl_engine_poll(d->engine))
        ;
    /* The last replies leave before the loop ends, as far as their readers take them. */
    if (!d->stopping || !sl_engine_stopped(d->engine))
        return;
    if (!servers_open(d))
        sl_loop_stop(d->loop);
    else if (monotonic_us(NULL) - d->stopping_at_us > LINGER_US)
        close_servers(d);
}

static void on_tick(void *context) {
    daemon_state *d = context;
    int64_t now = monotonic_us(NULL);
    stop_engine(d);
    if (d->watchdog_ms != 0 && now - d->watchdog_at_us >= (int64_t)d->watchdog_ms * 1000) {
        d->watchdog_at_us = now;
        sl_systemd_notify("WATCHDOG=1");
    }
}

static void on_signal(void *context, int number) {
    daemon_state *d = context;
    if (number == SIGUSR2) {
        sl_buffer state = SL_BUFFER_EMPTY;
        sl_engine_state(d->engine, &state);
        (void)fprintf(stderr, "%s", sl_buffer_cstr(&state));
        sl_buffer_fini(&state);
        return;
    }
    if (number == SIGHUP) {
        sl_error error;
        if (d->config->http.tls_cert != NULL && !d->stopping &&
            sl_http_server_reload_tls(d->server, &error) != SL_OK)
            sl_message(SL_LEVEL_ERROR, "http", "certificate not reloaded", "error=\"%s\"", error.text);
        return;
    }
    if (d->stopping) {
        sl_message(SL_LEVEL_WARN, "app", "stopping at once", "signal=%d", number);
        sl_loop_stop(d->loop);
        return;
    }
    sl_message(SL_LEVEL_INFO, "app", "stopping", "signal=%d", number);
    sl_systemd_notify("STOPPING=1");
    d->stopping = true;
    d->stopping_at_us = monotonic_us(NULL);
    close_servers(d);
}

/* --- start --- */

static sl_status start(daemon_state *d, sl_error *error) {
    const sl_config *c = d->config;
    (void)setenv("TZ", c->timezone, 1);
    tzset();
    sl_files *files = sl_files_system();
    sl_buffer lock = SL_BUFFER_EMPTY;
    sl_buffer_printf(&lock, "%s/lock", c->data_dir);
    sl_status status = files->make_directories(files, c->data_dir, error);
    if (status == SL_OK)
        status = sl_lock_file(sl_buffer_cstr(&lock), error);
    sl_buffer_fini(&lock);
    if (status != SL_OK)
        return status;
    /* What nobody counts (SQLite's caches, stacks, batches in flight) has its place within `memory`, too. */
    const uint64_t uncounted = c->memory / 4 < UNCOUNTED ? c->memory / 4 : UNCOUNTED;
    sl_budget_init(&d->budget, c->memory - uncounted);
    const sl_loop_callbacks callbacks = {
        .turn = on_turn, .tick = on_tick, .signal = on_signal, .context = d, .tick_ms = TICK_MS};
    status = sl_loop_create(&callbacks, &d->loop, error);
    if (status != SL_OK)
        return status;
    const sl_engine_options options = {
        .config = c,
        .files = files,
        .clock = {.wall_us = wall_us, .monotonic_us = monotonic_us},
        .host = {.wake = wake_actor, .wake_loop = wake_loop, .wake_loop_in = wake_loop_in, .context = d},
        .metrics = d->metrics,
        .budget = &d->budget};
    status = sl_engine_create(&options, &d->engine, error);
    if (status != SL_OK)
        return status;
    uint32_t count;
    sl_actor **actors = sl_engine_actors(d->engine, &count);
    status = sl_threads_start(actors, count, &d->threads, error);
    d->port = (sl_admin_port){.context = d,
                              .metrics = d->metrics,
                              .config_text = c->text,
                              .version = SLUICE_VERSION,
                              .ready = port_ready,
                              .state = port_state,
                              .windows = port_windows,
                              .flush = port_flush};
    d->one_port = strcmp(c->admin.listen, c->http.listen) == 0;
    d->intake = sl_http_intake_create(sl_engine_intake(d->engine),
                                      (const char *const *)c->http.tokens, c->http.token_count);
    if (status == SL_OK && d->intake == NULL)
        status = sl_error_set(error, SL_ENOMEM, "http: out of memory");
    if (status == SL_OK)
        status = listen_on(d, false, error);
    if (status == SL_OK && !d->one_port)
        status = listen_on(d, true, error);
    return status;
}

int sl_daemon_run(sl_config *config, bool drain) {
    daemon_state d = {.config = config, .drain = drain};
    sl_error error = {0};
    sl_message_configure((sl_level)config->log.level, config->log.json,
                         getenv("JOURNAL_STREAM") != NULL);
    d.metrics = sl_metrics_create();
    d.watchdog_ms = sl_systemd_watchdog_ms();
    sl_status status = d.metrics == NULL ? sl_error_set(&error, SL_ENOMEM, "out of memory")
                                         : start(&d, &error);
    if (status == SL_OK) {
        sl_message(SL_LEVEL_INFO, "app", "started", "version=%s data_dir=%s workers=%u", SLUICE_VERSION,
                   config->data_dir, config->workers);
        sl_systemd_notify("READY=1");
        on_turn(&d);
        sl_loop_run(d.loop);
        sl_message(SL_LEVEL_INFO, "app", "stopped", "version=%s", SLUICE_VERSION);
    } else {
        (void)fprintf(stderr, "sluice: %s\n", error.text);
    }
    sl_threads_stop(d.threads);
    if (d.loop != NULL)
        sl_loop_destroy(d.loop);
    sl_http_intake_destroy(d.intake);
    sl_engine_destroy(d.engine);
    sl_metrics_destroy(d.metrics);
    return status == SL_OK ? 0 : 1;
}
