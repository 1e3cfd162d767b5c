/* The daemon: order of start, reload and stop.
 *
 * A reload reads and checks the new configuration first. Then the engine stops, which leaves all tables at one
 * position, and another engine goes on from there; sockets stay, and requests wait at the gate. When the
 * new engine can't be made, the old configuration gets one again.
 */
#include "sluice/daemon.h"

#include "delivery.h"
#include "gate.h"
#include "reload.h"
#include "sources.h"
#include "threads.h"

#include "sluice/admin.h"
#include "sluice/aws_intake.h"
#include "sluice/data.h"
#include "sluice/firehose_intake.h"
#include "sluice/http_intake.h"
#include "sluice/http_server.h"
#include "sluice/io_files.h"
#include "sluice/kafka.h"
#include "sluice/kafka_intake.h"
#include "sluice/kafka_log.h"
#include "sluice/loop.h"
#include "sluice/message.h"

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { TICK_MS = 50, LINGER_US = 2000000, UNCOUNTED = 24 << 20 };
#define REQUESTS_LIMIT_US (2 * SL_SECOND_US) /* How long a stop waits for requests that have begun to come. */
#define RETRY_US (2 * SL_SECOND_US)          /* Between attempts to get an engine again. */
#define TRIM_US (10 * SL_SECOND_US)

typedef struct asked_flush {
    struct asked_flush *next;
    struct daemon *daemon;
    sl_engine_flush_fn *done;
    void *context;
} asked_flush;

/** The next configuration, while a thread reads it: that may take a table or two from far away. */
typedef struct loading {
    pthread_t thread;
    bool running;
    sl_data_reading reading;
    sl_config_source source;
    sl_config *config;
    sl_status status;
    sl_error error;
    sl_loop *loop;
    _Atomic bool stop, done;
} loading;

typedef struct daemon {
    const char *path; /**< Of the configuration, or NULL. */
    sl_config *config;
    sl_config *next;  /**< A reload is under way: the engine stops. */
    loading loading;
    bool again;       /**< HUP came meanwhile. */
    sl_data_refresh *refresh; /**< Of `config`. */
    int64_t reload_at_us, retry_at_us, trim_at_us;
    sl_clock clock;
    sl_budget budget;
    sl_metrics *metrics;
    sl_metric *reloaded, *refused, *cpu, *workers, *limit, *replies[6];
    sl_loop *loop;
    sl_engine *engine; /**< NULL: none could be made after a reload; tried again. */
    sl_threads *threads;
    sl_delivery_thread *delivery; /**< NULL: nothing leaves this machine. */
    sl_actor *delivery_actor;
    sl_gate *gate;
    sl_sources *sources;  /**< NULL: no files are read. */
    sl_kafka_intake *kafka; /**< NULL: no topics are read. */
    sl_kafka_log *log;    /**< NULL: the journal is. */
    asked_flush *flushes; /**< Asked again of the next engine. */
    sl_http_intake *intake;
    sl_aws_intake *aws; /**< The same port, for producers of Kinesis and Firehose. */
    sl_firehose_intake *firehose; /**< The same port, for Firehose's deliveries. */
    sl_http_server *server, *admin_server;
    sl_admin_port port;
    bool one_port, drain, stopping, engine_stopping, at_once;
    uint32_t watchdog_ms;
    int64_t watchdog_at_us, stopping_at_us;
} daemon_state;

static void wake_actor(void *context, sl_actor *actor) {
    daemon_state *d = context;
    if (d->delivery != NULL && actor == d->delivery_actor)
        sl_delivery_wake(d->delivery);
    else
        sl_threads_wake(actor);
}
static void wake_loop(void *context) {
    sl_loop_wake(((daemon_state *)context)->loop);
}

static void wake_loop_in(void *context, uint32_t ms) {
    sl_loop_wake_in(((daemon_state *)context)->loop, ms);
}

/* --- figures --- */

static void metrics(daemon_state *d) {
    static const char name[] = "sluice_config_reloads_total", help[] = "Reloads by HUP.";
    d->reloaded = sl_metrics_get(d->metrics, SL_METRIC_COUNTER, name, help, "result=\"ok\"");
    d->refused = sl_metrics_get(d->metrics, SL_METRIC_COUNTER, name, help, "result=\"refused\"");
    d->cpu = sl_metrics_get(d->metrics, SL_METRIC_COUNTER, "sluice_cpu_seconds_total", "CPU time of the process.", "");
    d->workers = sl_metrics_get(d->metrics, SL_METRIC_GAUGE, "sluice_workers", "Threads that decode and build files.", "");
    d->limit = sl_metrics_get(d->metrics, SL_METRIC_GAUGE, "sluice_memory_limit_bytes", "The memory budget.", "");
    for (int i = 2; i < 6; i++) {
        char label[32];
        (void)snprintf(label, sizeof label, "status=\"%dxx\"", i);
        d->replies[i] = sl_metrics_get(d->metrics, SL_METRIC_COUNTER, "sluice_http_replies_total",
                                       "Replies on all ports, the admin's included.", label);
    }
}

static void measure(const daemon_state *d) {
    sl_metric_set(d->cpu, sl_cpu_us());
    sl_metric_set(d->workers, (int64_t)d->config->workers);
    sl_metric_set(d->limit, (int64_t)d->budget.limit);
    sl_http_replies intake = {{0}}, admin = {{0}};
    if (d->server != NULL)
        intake = sl_http_server_replies(d->server);
    if (d->admin_server != NULL)
        admin = sl_http_server_replies(d->admin_server);
    for (int i = 2; i < 6 && !d->stopping; i++)
        sl_metric_set(d->replies[i], (int64_t)(intake.of[i] + admin.of[i]));
}

/* --- HTTP --- */

static int admit_intake(void *context, const char *method, const char *path,
                        sl_http_exchange *exchange) {
    daemon_state *d = context;
    if (sl_http_intake_is(path)) /* First, as most are: no path is two parts' own. */
        return sl_http_intake_admit(d->intake, method, path, exchange);
    if (sl_aws_intake_is(method, path, exchange))
        return sl_aws_intake_admit(d->aws, method, path, exchange);
    int status = sl_admin_admit(d->one_port, method, path, exchange);
    if (status == 404)
        status = 0;
    return status != 0 ? status : sl_firehose_intake_admit(d->firehose, method, path, exchange);
}

static bool refuse_intake(void *context, const char *method, const char *path, sl_http_exchange *exchange, int status,
                          const char *message) {
    daemon_state *d = context;
    return sl_aws_intake_refuse(d->aws, method, path, exchange, status, message) ||
           sl_firehose_intake_refuse(d->firehose, path, exchange, status, message);
}

static void handle_intake(void *context, const sl_http_request *request) {
    daemon_state *d = context;
    if (sl_http_intake_handle(d->intake, request) || sl_aws_intake_handle(d->aws, request) ||
        sl_admin_handle(&d->port, d->one_port, request) || sl_firehose_intake_handle(d->firehose, request))
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

/* A reload that doesn't take long is nothing to turn away from: requests wait. */
static bool port_ready(void *context) {
    daemon_state *d = context;
    bool changing = d->reload_at_us != 0 && sl_gate_takes(d->gate);
    return !d->stopping && (sl_gate_is_open(d->gate) || changing) && sl_kafka_log_ready(d->log);
}
static void port_state(void *context, sl_buffer *out) {
    daemon_state *d = context;
    if (d->engine != NULL)
        sl_engine_state(d->engine, out);
    else
        sl_buffer_text(out, "{\"ready\":false,\"streams\":[]}\n");
}
static void port_windows(void *context, const char *name, uint32_t limit,
                         void (*done)(void *context, const char *json, size_t length),
                         void *done_context) {
    daemon_state *d = context;
    if (d->engine != NULL)
        sl_engine_windows(d->engine, name, limit, done, done_context);
    else
        done(done_context, NULL, 0);
}

static void flushed(void *context, sl_status status, const char *message) {
    asked_flush *f = context;
    daemon_state *d = f->daemon;
    if (status == SL_EAGAIN && d->next != NULL) { /* The engine stopped: the next one will do it. */
        f->next = d->flushes;
        d->flushes = f;
        return;
    }
    f->done(f->context, status, message);
    sl_free(f);
}

static void flush_all(daemon_state *d) {
    while (d->flushes != NULL) {
        asked_flush *f = d->flushes;
        d->flushes = f->next;
        if (d->engine != NULL)
            sl_engine_flush(d->engine, flushed, f);
        else
            flushed(f, SL_EIO, "there is no engine at present");
    }
}

static void port_replay(void *context, const sl_http_request *request) {
    daemon_state *d = context;
    sl_replay_route(sl_gate_intake(d->gate), request);
}

static void port_flush(void *context,
                       void (*done)(void *context, sl_status status, const char *message),
                       void *done_context) {
    daemon_state *d = context;
    asked_flush *f = sl_malloc(sizeof *f);
    if (f == NULL) {
        done(done_context, SL_ENOMEM, "out of memory");
        return;
    }
    *f = (asked_flush){.next = d->flushes, .daemon = d, .done = done, .context = done_context};
    d->flushes = f;
    if (d->next == NULL)
        flush_all(d);
}

static sl_status port_tap_open(void *context, const sl_admin_tap *wish, void **tap, sl_error *error) {
    daemon_state *d = context;
    sl_tap_options options = {.stage = SL_TAP_STAGES, .stream = wish->stream, .where = wish->where, .rate = wish->rate};
    for (int i = 0; i < SL_TAP_STAGES; i++)
        if (strcmp(wish->stage, sl_tap_stage_names[i]) == 0)
            options.stage = (sl_tap_stage)i;
    if (!d->config->admin.tap_open)
        return sl_error_set(error, SL_EDENIED,
                            "admin.tap: events aren't shown here, as admin.listen is reachable from other machines, or by "
                            "choice; `admin: { tap: always }` shows them");
    if (options.stage == SL_TAP_STAGES)
        return sl_error_set(error, SL_EINVAL,
                            "stage is received, decoded, enriched, dead, late, duplicate or filtered");
    if (d->engine == NULL || d->next != NULL || d->stopping)
        return sl_error_set(error, SL_EAGAIN, "the daemon is reloading or stopping");
    return sl_engine_tap(d->engine, &options, (sl_tap **)tap, error);
}

static sl_status port_tap_take(void *context, void *tap, sl_buffer *out) {
    (void)context;
    return sl_engine_tap_take(tap, out);
}

static uint64_t port_tap_skipped(void *context, const void *tap) {
    (void)context;
    return sl_engine_tap_skipped(tap);
}

static void port_tap_close(void *context, void *tap) { sl_engine_tap_close(((daemon_state *)context)->engine, tap); }

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
                 .admit = admin ? admit_admin : admit_intake,
                 .refuse = admin ? NULL : refuse_intake},
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

/* --- the engine and its successors --- */

static void apply_settings(const sl_config *c) {
    sl_message_configure((sl_level)c->log.level, c->log.json, getenv("JOURNAL_STREAM") != NULL);
    const char *zone = getenv("TZ"); /* Others may read the environment now: it is written when it differs. */
    if (zone == NULL || strcmp(zone, c->timezone) != 0)
        (void)setenv("TZ", c->timezone, 1);
    tzset();
}

static void stop_threads(daemon_state *d) {
    sl_delivery_stop(d->delivery);
    sl_threads_stop(d->threads);
    d->threads = NULL;
}

static void end_engine(daemon_state *d) {
    sl_admin_taps_end(d->port.taps, "the configuration was reloaded");
    stop_threads(d);
    sl_delivery_destroy(d->delivery);
    sl_engine_destroy(d->engine);
    d->delivery = NULL;
    d->engine = NULL;
}

/* No thread of an engine runs meanwhile: `TZ` is the process's. */
static sl_status make_engine(daemon_state *d, const sl_config *c, sl_error *error) {
    apply_settings(c);
    sl_status status = sl_delivery_create(c, d->metrics, d->clock, &d->delivery, error);
    if (status != SL_OK)
        return status;
    uint32_t newer = 0; /* Than the configuration's: it has been in use before. */
    const sl_step_data *data = d->refresh != NULL && sl_data_refresh_config(d->refresh) == c
                                   ? sl_data_refresh_current(d->refresh, &newer)
                                   : NULL;
    const sl_engine_options options = {
        .data = data,
        .data_count = newer,
        .config = c,
        .files = sl_files_system(),
        .clock = d->clock,
        .host = {.wake = wake_actor,
                 .wake_loop = wake_loop,
                 .wake_loop_in = wake_loop_in,
                 .context = d},
        .metrics = d->metrics,
        .budget = &d->budget,
        .target = sl_delivery_target(d->delivery)};
    status = sl_engine_create(&options, &d->engine, error);
    if (status != SL_OK) {
        sl_delivery_destroy(d->delivery);
        d->delivery = NULL;
        return status;
    }
    uint32_t count;
    sl_actor **actors = sl_engine_actors(d->engine, &count);
    d->delivery_actor = sl_engine_delivery(d->engine);
    status = sl_threads_start(actors, count, &d->threads, error);
    if (status == SL_OK && d->delivery != NULL)
        status = sl_delivery_start(d->delivery, d->delivery_actor, sl_engine_identity(d->engine), error);
    if (status != SL_OK)
        end_engine(d);
    return status;
}

static void wake_refreshed(void *context) {
    sl_loop_wake(((daemon_state *)context)->loop);
}

/* What steps ask is read again from now on. */
static sl_status make_refresh(daemon_state *d, const sl_config *c, sl_data_refresh **out, sl_error *error) {
    const sl_data_refresh_options options = {.config = c,
                                             .budget = &d->budget,
                                             .metrics = d->metrics,
                                             .wake = wake_refreshed,
                                             .context = d};
    return sl_data_refresh_create(&options, out, error);
}

static const char *stream_name(void *context, uint32_t index) {
    const sl_config *c = context;
    return index < c->stream_count ? c->streams[index].name : NULL;
}

/* Dead letters that come again, files and topics have their place in the journal, whatever the log of requests is. */
static sl_intake *requests(const daemon_state *d) { return d->log != NULL ? sl_kafka_log_intake(d->log) : sl_gate_intake(d->gate); }

static sl_status make_routes(daemon_state *d, const sl_config *c, sl_error *error) {
    const bool guarded = c->http.token_count != 0 || c->http.aws_key_count != 0;
    const sl_aws_intake_options options = {.intake = requests(d),
                                           .keys = c->http.aws_keys,
                                           .key_count = c->http.aws_key_count,
                                           .guarded = guarded,
                                           .stream = stream_name,
                                           .context = (void *)(uintptr_t)c,
                                           .any_stream = c->embedded,
                                           .clock = d->clock,
                                           .budget = &d->budget};
    sl_http_intake *routes = sl_http_intake_create(requests(d), (const char *const *)c->http.tokens,
                                                   c->http.token_count, guarded);
    sl_aws_intake *aws = sl_aws_intake_create(&options);
    sl_firehose_intake *firehose =
        sl_firehose_intake_create(&(sl_firehose_intake_options){.intake = requests(d),
                                                                .tokens = (const char *const *)c->http.tokens,
                                                                .token_count = c->http.token_count,
                                                                .guarded = guarded,
                                                                .clock = d->clock,
                                                                .budget = &d->budget});
    if (routes == NULL || aws == NULL || firehose == NULL) {
        sl_http_intake_destroy(routes);
        sl_aws_intake_destroy(aws);
        sl_firehose_intake_destroy(firehose);
        return sl_error_set(error, SL_ENOMEM, "http: out of memory");
    }
    sl_http_intake_destroy(d->intake);
    sl_aws_intake_destroy(d->aws);
    sl_firehose_intake_destroy(d->firehose);
    d->intake = routes;
    d->aws = aws;
    d->firehose = firehose;
    return SL_OK;
}

/* What they have in hand when they end comes again from the next ones, and counts once. */
static void replace_sources(daemon_state *d) {
    sl_error error = {0};
    const sl_sources_host host = {.clock = &d->clock, .metrics = d->metrics, .wake_loop = wake_loop, .context = d};
    sl_sources_destroy(d->sources);
    if (sl_sources_create(d->config, &host, &d->sources, &error) != SL_OK)
        sl_message(SL_LEVEL_ERROR, "file", "no files are read until the next reload or start", "error=\"%s\"", error.text);
}

static void retry_engine(daemon_state *d) {
    sl_error error = {0};
    if (make_engine(d, d->config, &error) == SL_OK)
        return;
    d->retry_at_us = sl_monotonic_us() + RETRY_US;
    sl_message(SL_LEVEL_ERROR, "app", "no engine, tried again soon", "error=\"%s\"", error.text);
}

/* --- reload --- */

static void warn_reload(void *context, const char *message) {
    (void)context;
    sl_message(SL_LEVEL_WARN, "app", "configuration", "warning=\"%s\"", message);
}

static void refuse_reload(daemon_state *d, const char *reason) {
    sl_metric_add(d->refused, 1);
    sl_message(SL_LEVEL_ERROR, "app", "not reloaded, the old configuration stays", "error=\"%s\"", reason);
}

static void reload_tls(daemon_state *d) {
    sl_error error;
    if (d->config->http.tls_cert != NULL && sl_http_server_reload_tls(d->server, &error) != SL_OK)
        sl_message(SL_LEVEL_ERROR, "http", "certificate not reloaded", "error=\"%s\"", error.text);
}

typedef struct lagging {
    const daemon_state *daemon;
    char table[128]; /* That can't go on with the next configuration. */
} lagging;

static void note_lagging(void *context, const char *stream, const char *table, bool window) {
    lagging *l = context;
    if (!sl_reload_keeps(l->daemon->config, l->daemon->next, stream, table, window))
        (void)snprintf(l->table, sizeof l->table, "%s", table);
}

static sl_status make_next(daemon_state *d, const char *behind, sl_error *error) {
    if (behind[0] != 0)
        return sl_error_set(error, SL_EAGAIN,
                            "table %s has fallen behind, and its stream is to change; send HUP again when it has"
                            " caught up",
                            behind);
    sl_data_refresh *refresh = NULL;
    sl_status status = make_engine(d, d->next, error);
    if (status == SL_OK && ((status = make_refresh(d, d->next, &refresh, error)) != SL_OK ||
                            (status = make_routes(d, d->next, error)) != SL_OK))
        end_engine(d);
    if (status != SL_OK) {
        sl_data_refresh_destroy(refresh);
        return status;
    }
    sl_data_refresh_destroy(d->refresh);
    d->refresh = refresh;
    return SL_OK;
}

/* The engine has stopped: what it committed is one position of all tables, where `next` goes on. */
static void replace_engine(daemon_state *d) {
    sl_error error = {0};
    lagging behind = {.daemon = d};
    if (d->engine != NULL) {
        stop_threads(d);
        sl_engine_refuse(d->engine);
        sl_engine_behind(d->engine, note_lagging, &behind);
        end_engine(d);
    }
    sl_config *other = d->next; /* The one that goes. */
    if (make_next(d, behind.table, &error) == SL_OK) {
        other = d->config;
        d->config = d->next;
        d->port.config_text = d->config->text;
        sl_metric_add(d->reloaded, 1);
        sl_message(SL_LEVEL_INFO, "app", "reloaded", "streams=%u windows=%u", d->config->stream_count,
                   d->config->window_count);
    } else {
        refuse_reload(d, error.text);
        retry_engine(d);
    }
    d->next = NULL;
    sl_config_destroy(other);
    replace_sources(d);
    sl_kafka_intake_use(d->kafka, d->config);
    sl_loop_wake(d->loop);
}

static void begin_reload(daemon_state *d, sl_config *next) {
    d->next = next;
    d->reload_at_us = sl_monotonic_us();
    char text[64];
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, d->reload_at_us);
    sl_systemd_notify(text);
    sl_gate_shut(d->gate);
    sl_sources_stop(d->sources);
    sl_admin_taps_end(d->port.taps, "the configuration was reloaded");
    if (d->engine != NULL)
        sl_engine_stop(d->engine, false);
    else
        replace_engine(d);
}

static void *load_next(void *context) {
    loading *l = context;
    l->status = sl_config_load(&l->source, warn_reload, NULL, &l->config, &l->error);
    atomic_store(&l->done, true);
    sl_loop_wake(l->loop);
    return NULL;
}

static void reload(daemon_state *d) {
    if (d->stopping)
        return;
    if (d->loading.running || d->next != NULL || (d->engine != NULL && !sl_gate_is_open(d->gate))) {
        d->again = true; /* When this one is done. */
        return;
    }
    reload_tls(d);
    loading *l = &d->loading;
    *l = (loading){.loop = d->loop};
    l->reading = (sl_data_reading){.budget = &d->budget, .stop = &l->stop};
    l->source = (sl_config_source){.path = d->path,
                                   .kafka_property = sl_kafka_property_check,
                                   .environment = (const char *const *)environ,
                                   .lookup = sl_data_for_configuration,
                                   .lookup_context = &l->reading};
    sigset_t all, old; /* Signals belong to the daemon's loop. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    l->running = pthread_create(&l->thread, NULL, load_next, l) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!l->running)
        refuse_reload(d, "the system gives no more threads");
}

static void end_loading(daemon_state *d) {
    if (d->loading.running)
        (void)pthread_join(d->loading.thread, NULL);
    d->loading.running = false;
}

static void take_loaded(daemon_state *d) {
    end_loading(d);
    loading *l = &d->loading;
    sl_buffer keys = SL_BUFFER_EMPTY;
    sl_status status = l->status == SL_OK ? sl_data_charge(l->config, &d->budget, &l->error) : l->status;
    bool good = false;
    if (status != SL_OK)
        refuse_reload(d, l->error.text);
    else if (sl_reload_needs_restart(d->config, l->config, &keys))
        refuse_reload(d, sl_buffer_cstr(&keys));
    else
        good = true;
    sl_buffer_fini(&keys);
    if (good) {
        begin_reload(d, l->config);
        return;
    }
    sl_config_destroy(l->config);
    if (d->again) {
        d->again = false;
        reload(d);
    }
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
        (servers_open(d) && !d->at_once && sl_monotonic_us() - d->stopping_at_us < REQUESTS_LIMIT_US))
        return;
    d->engine_stopping = true;
    if (d->engine != NULL)
        sl_engine_stop(d->engine, d->drain);
}

static void poll_engine(daemon_state *d) {
    while (d->engine != NULL && sl_engine_poll(d->engine))
        ;
    if (d->stopping || d->next != NULL || d->engine == NULL || sl_gate_is_open(d->gate) ||
        !sl_engine_ready(d->engine))
        return;
    if (d->reload_at_us != 0) {
        sl_message(SL_LEVEL_INFO, "app", "requests are taken again", "after_ms=%" PRId64,
                   (sl_monotonic_us() - d->reload_at_us) / 1000);
        sl_systemd_notify("READY=1");
        d->reload_at_us = 0;
    }
    sl_gate_open(d->gate, sl_engine_intake(d->engine));
    flush_all(d);
    if (d->again) {
        d->again = false;
        reload(d);
    }
}

/* Not to a gate that keeps requests: files and topics can wait. */
static void turn_sources(daemon_state *d) {
    const bool open = d->next == NULL && d->engine != NULL && sl_gate_is_open(d->gate);
    if (d->stopping) {
        const bool stopped = d->engine == NULL || sl_engine_stopped(d->engine);
        sl_kafka_log_stop(d->log, stopped && d->engine_stopping);
        sl_kafka_intake_stop(d->kafka, stopped ? d->engine : NULL);
        return;
    }
    sl_kafka_log_turn(d->log);
    if (open)
        sl_sources_turn(d->sources, sl_gate_intake(d->gate));
    sl_kafka_intake_turn(d->kafka, open ? d->engine : NULL);
}

static void on_turn(void *context) {
    daemon_state *d = context;
    stop_engine(d);
    turn_sources(d);
    poll_engine(d);
    sl_admin_taps_turn(d->port.taps, sl_monotonic_us());
    if (d->loading.running && !d->stopping && atomic_load(&d->loading.done))
        take_loaded(d);
    if (d->next != NULL && sl_engine_stopped(d->engine))
        replace_engine(d);
    /* The last replies leave before the loop ends, as far as their readers take them. */
    if (!d->stopping || (d->engine != NULL && !sl_engine_stopped(d->engine) && !d->at_once))
        return;
    if (!servers_open(d) && (d->at_once || (sl_kafka_log_stopped(d->log) && (d->engine == NULL || sl_kafka_intake_stopped(d->kafka)))))
        sl_loop_stop(d->loop);
    else if (sl_monotonic_us() - d->stopping_at_us > LINGER_US)
        close_servers(d);
}

/* What is free between what is used doesn't go back by itself. That takes milliseconds, so only after what was out of the ordinary. */
static void trim(daemon_state *d, int64_t now) {
    if (now < d->trim_at_us)
        return;
    d->trim_at_us = now + TRIM_US;
    if (mallinfo2().fordblks > d->config->memory / 4)
        (void)malloc_trim(0);
}

static void on_tick(void *context) {
    daemon_state *d = context;
    int64_t now = sl_monotonic_us();
    stop_engine(d);
    turn_sources(d);
    sl_admin_taps_turn(d->port.taps, now);
    sl_data_refresh_poll(d->refresh, d->stopping || d->next != NULL ? NULL : d->engine);
    sl_gate_refuse(d->gate, d->stopping);
    measure(d);
    trim(d, now);
    if (d->engine == NULL && !d->stopping && now >= d->retry_at_us)
        retry_engine(d);
    if (d->watchdog_ms != 0 && now - d->watchdog_at_us >= (int64_t)d->watchdog_ms * 1000) {
        d->watchdog_at_us = now;
        sl_systemd_notify("WATCHDOG=1");
    }
}

static void on_stop(daemon_state *d, int number) {
    if (d->stopping) { /* What isn't committed is in the journal, what wasn't answered isn't promised. */
        sl_message(SL_LEVEL_WARN, "app", "stopping at once", "signal=%d", number);
        d->at_once = true;
        close_servers(d);
        return;
    }
    sl_message(SL_LEVEL_INFO, "app", "stopping", "signal=%d", number);
    sl_systemd_notify("STOPPING=1");
    d->stopping = true;
    d->stopping_at_us = sl_monotonic_us();
    sl_config_destroy(d->next); /* The engine that stops for it stops for good. */
    d->next = NULL;
    sl_gate_refuse(d->gate, true);
    sl_sources_stop(d->sources);
    flush_all(d);
    sl_admin_taps_end(d->port.taps, "the daemon stops");
    close_servers(d);
}

static void on_signal(void *context, int number) {
    daemon_state *d = context;
    if (number == SIGUSR2) {
        sl_buffer state = SL_BUFFER_EMPTY;
        port_state(d, &state);
        (void)fprintf(stderr, "%s", sl_buffer_cstr(&state));
        sl_buffer_fini(&state);
    } else if (number == SIGHUP) {
        reload(d);
    } else {
        on_stop(d, number);
    }
}

/* --- start --- */

static sl_status lock_directory(const sl_config *c, sl_error *error) {
    sl_files *files = sl_files_system();
    sl_buffer lock = SL_BUFFER_EMPTY;
    sl_buffer_printf(&lock, "%s/lock", c->data_dir);
    sl_status status = files->make_directories(files, c->data_dir, error);
    if (status == SL_OK)
        status = sl_lock_file(sl_buffer_cstr(&lock), error);
    sl_buffer_fini(&lock);
    return status;
}

static sl_status join_groups(daemon_state *d, sl_error *error) {
    const sl_kafka_host host = {.loop = sl_loop_uv(d->loop),
                                .clock = &d->clock,
                                .metrics = d->metrics,
                                .budget = &d->budget,
                                .identity = sl_engine_identity(d->engine),
                                .wake_loop = wake_loop,
                                .flush = port_flush,
                                .context = d};
    return sl_kafka_intake_create(d->config, &host, &d->kafka, error);
}

static sl_status make_log(daemon_state *d, sl_error *error) {
    const sl_kafka_log_host host = {.loop = sl_loop_uv(d->loop),
                                    .clock = &d->clock,
                                    .metrics = d->metrics,
                                    .budget = &d->budget,
                                    .judge = sl_gate_intake(d->gate)};
    return sl_kafka_log_create(d->config, &host, &d->log, error);
}

static sl_status start(daemon_state *d, sl_error *error) {
    const sl_config *c = d->config;
    sl_status status = lock_directory(c, error);
    if (status != SL_OK)
        return status;
    metrics(d);
    /* What nobody counts (SQLite's caches, stacks, batches in flight) has its place within `memory`, too. */
    const uint64_t uncounted = c->memory / 4 < UNCOUNTED ? c->memory / 4 : UNCOUNTED;
    sl_budget_init(&d->budget, c->memory - uncounted);
    d->clock = sl_clock_system();
    const sl_loop_callbacks callbacks = {
        .turn = on_turn, .tick = on_tick, .signal = on_signal, .context = d, .tick_ms = TICK_MS};
    status = sl_loop_create(&callbacks, &d->loop, error);
    if (status == SL_OK)
        status = sl_data_charge(c, &d->budget, error);
    if (status == SL_OK && (d->gate = sl_gate_create(&d->clock, &d->budget)) == NULL)
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    if (status == SL_OK)
        status = make_engine(d, c, error);
    if (status == SL_OK)
        status = make_refresh(d, c, &d->refresh, error);
    if (status == SL_OK)
        status = make_log(d, error);
    if (status == SL_OK)
        status = make_routes(d, c, error);
    d->port = (sl_admin_port){.context = d,
                              .metrics = d->metrics,
                              .config_text = c->text,
                              .version = SLUICE_VERSION,
                              .ready = port_ready,
                              .state = port_state,
                              .windows = port_windows,
                              .replay = port_replay,
                              .flush = port_flush,
                              .tap_open = port_tap_open,
                              .tap_take = port_tap_take,
                              .tap_skipped = port_tap_skipped,
                              .tap_close = port_tap_close,
                              .taps = sl_admin_taps_create(&d->port)};
    if (status == SL_OK && d->port.taps == NULL)
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    d->one_port = strcmp(c->admin.listen, c->http.listen) == 0;
    if (status == SL_OK)
        status = listen_on(d, false, error);
    if (status == SL_OK && !d->one_port)
        status = listen_on(d, true, error);
    const sl_sources_host host = {.clock = &d->clock, .metrics = d->metrics, .wake_loop = wake_loop, .context = d};
    if (status == SL_OK)
        status = sl_sources_create(c, &host, &d->sources, error);
    return status == SL_OK ? join_groups(d, error) : status;
}

static void finish(daemon_state *d) {
    sigset_t all; /* Without the loop a late TERM or HUP would kill, where a stop in order is nearly done. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    atomic_store(&d->loading.stop, true);
    bool loaded = d->loading.running;
    end_loading(d);
    if (loaded)
        sl_config_destroy(d->loading.config);
    sl_data_refresh_destroy(d->refresh);
    stop_threads(d);
    sl_sources_destroy(d->sources);
    sl_kafka_intake_destroy(d->kafka);
    sl_kafka_log_destroy(d->log);
    sl_delivery_destroy(d->delivery);
    if (d->loop != NULL)
        sl_loop_destroy(d->loop);
    sl_admin_taps_destroy(d->port.taps);
    sl_http_intake_destroy(d->intake);
    sl_aws_intake_destroy(d->aws);
    sl_firehose_intake_destroy(d->firehose);
    sl_engine_destroy(d->engine);
    sl_gate_destroy(d->gate);
    sl_metrics_destroy(d->metrics);
    sl_config_destroy(d->config);
}

int sl_daemon_run(sl_config *config, const char *path, bool drain) {
    daemon_state d = {.config = config, .path = path, .drain = drain};
    sl_error error = {0};
    apply_settings(config);
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
    finish(&d);
    return status == SL_OK ? 0 : 1;
}
