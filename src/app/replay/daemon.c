/* The daemon that takes a replay. One that runs is asked at its admin port. Else one is started for the time of the replay: the same
 * program with the same configuration, on ports of the loopback interface that nobody else knows. */
#include "private.h"

#include "sluice/http_client.h"
#include "sluice/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 100, START_TRIES = 6000, BUSY_TRIES = 600 };

struct replay_daemon {
    sl_buffer base; /* "http://127.0.0.1:8081" */
    char *cert;     /* The daemon's, or NULL: plain HTTP. */
    pid_t child;    /* 0: it ran already. */
};

static void pause_ms(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* --- one request, waited for --- */

typedef struct call {
    sl_loop *loop;
    sl_status status;
    unsigned code;
    sl_buffer *reply;
    sl_error *error;
} call;

static void nothing(void *context) {
    (void)context;
}

static void answered(void *context, const sl_http_outcome *outcome) {
    call *c = context;
    c->status = outcome->status;
    c->code = outcome->code;
    if (outcome->status != SL_OK)
        (void)sl_error_set(c->error, outcome->status, "%s", outcome->error->text);
    else
        sl_buffer_append(c->reply, outcome->body->bytes, outcome->body->length);
    sl_loop_stop(c->loop);
}

static sl_status ask(const replay_daemon *d, const char *method, const char *path, const void *body, size_t length,
                     call *c) {
    const sl_loop_callbacks callbacks = {.turn = nothing, .tick = nothing, .tick_ms = 1000};
    const sl_http_client_options options = {
        .ca_file = d->cert, .any_name = d->cert != NULL, .user_agent = "sluice replay"};
    sl_buffer url = SL_BUFFER_EMPTY;
    sl_buffer_printf(&url, "%s%s", (const char *)d->base.bytes, path);
    const sl_http_call_options request = {.method = method,
                                          .url = sl_buffer_cstr(&url),
                                          .body = body,
                                          .body_length = length,
                                          .stall_timeout_ms = 600000,
                                          .direct = true};
    sl_http_client *client = NULL;
    c->status = url.failed ? SL_ENOMEM : sl_loop_create(&callbacks, &c->loop, c->error);
    if (c->status == SL_OK)
        c->status = sl_http_client_create(sl_loop_uv(c->loop), &options, &client, c->error);
    if (c->status == SL_OK)
        c->status = sl_http_client_start(client, &request, answered, c, NULL, c->error);
    if (c->status == SL_OK)
        sl_loop_run(c->loop);
    sl_http_client_destroy(client);
    if (c->loop != NULL)
        sl_loop_destroy(c->loop);
    c->loop = NULL;
    sl_buffer_fini(&url);
    return c->status;
}

sl_status replay_daemon_post(replay_daemon *d, const char *path, const void *body, size_t length, sl_buffer *reply,
                             sl_error *error) {
    call c = {.reply = reply, .error = error};
    for (int i = 0; i < BUSY_TRIES; i++) {
        sl_buffer_clear(reply);
        if (ask(d, "POST", path, body, length, &c) != SL_OK)
            return c.status;
        if (c.code != 429 && c.code != 503)
            break;
        pause_ms(PAUSE_MS);
    }
    if (c.code == 200)
        return reply->failed ? sl_error_set(error, SL_ENOMEM, "out of memory") : SL_OK;
    while (reply->length != 0 && reply->bytes[reply->length - 1] == '\n')
        reply->length--;
    return sl_error_set(error, SL_EIO, "%s%s: %u %s", (const char *)d->base.bytes, path, c.code, sl_buffer_cstr(reply));
}

static bool ready(const replay_daemon *d) {
    sl_buffer reply = SL_BUFFER_EMPTY;
    sl_error error;
    call c = {.reply = &reply, .error = &error};
    bool good = ask(d, "GET", "/readyz", NULL, 0, &c) == SL_OK && c.code == 200;
    sl_buffer_fini(&reply);
    return good;
}

/* --- a daemon of our own --- */

/* A port that was free a moment ago. */
static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int handle = socket(AF_INET, SOCK_STREAM, 0), port = 0;
    struct sockaddr *generic = (struct sockaddr *)(void *)&address;
    if (handle >= 0 && bind(handle, generic, size) == 0 && getsockname(handle, generic, &size) == 0)
        port = ntohs(address.sin_port);
    if (handle >= 0)
        (void)close(handle);
    return port;
}

static sl_status launch(replay_daemon *d, int (*run)(void *context, const char *intake, const char *admin), void *context,
                        sl_error *error) {
    char intake[32], admin[32];
    (void)snprintf(intake, sizeof intake, "127.0.0.1:%d", free_port());
    (void)snprintf(admin, sizeof admin, "127.0.0.1:%d", free_port());
    sl_buffer_clear(&d->base);
    sl_free(d->cert);
    d->cert = NULL; /* The admin port is one of its own. */
    sl_buffer_printf(&d->base, "http://%s", admin);
    (void)sl_buffer_cstr(&d->base);
    (void)fflush(stdout);
    d->child = fork();
    if (d->child < 0)
        return sl_error_set(error, SL_EIO, "fork: %s", strerror(errno));
    if (d->child == 0)
        _exit(run(context, intake, admin));
    for (int i = 0; i < START_TRIES && !ready(d); i++) {
        int ended;
        if (waitpid(d->child, &ended, WNOHANG) == d->child) {
            d->child = 0;
            return sl_error_set(error, SL_EIO, "the daemon that was to take the replay didn't start: see above");
        }
        pause_ms(PAUSE_MS);
    }
    return SL_OK;
}

sl_status replay_daemon_start(int (*run)(void *context, const char *intake, const char *admin), void *context,
                              replay_daemon **out, sl_error *error) {
    *out = sl_calloc(1, sizeof **out);
    return *out != NULL ? launch(*out, run, context, error) : sl_error_set(error, SL_ENOMEM, "out of memory");
}

/* This program, with the same configuration. */
static int run_same(void *context, const char *intake, const char *admin) {
    const char *const *path = context;
    (void)setenv("SLUICE_HTTP_LISTEN", intake, 1);
    (void)setenv("SLUICE_ADMIN_LISTEN", admin, 1);
    if (*path != NULL)
        (void)execl("/proc/self/exe", "sluice", "run", "--drain", "-c", *path, (char *)NULL);
    else
        (void)execl("/proc/self/exe", "sluice", "run", "--drain", (char *)NULL);
    return 127;
}

static replay_daemon *at_admin(const sl_config *config) {
    replay_daemon *d = sl_calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    const char *cert = sl_config_admin_url(config, &d->base);
    (void)sl_buffer_cstr(&d->base);
    if (cert == NULL || (d->cert = sl_strdup(cert)) != NULL)
        return d;
    sl_buffer_fini(&d->base);
    sl_free(d);
    return NULL;
}

sl_status replay_daemon_running(const sl_config *config, replay_daemon **out, sl_error *error) {
    replay_daemon *d = at_admin(config);
    *out = d;
    if (d == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    if (ready(d))
        return SL_OK;
    *out = NULL;
    return replay_daemon_leave(d, error);
}

sl_status replay_daemon_find(const sl_config *config, const char *path, replay_daemon **out, sl_error *error) {
    *out = at_admin(config);
    if (*out == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    if (ready(*out))
        return SL_OK;
    /* A daemon that is started where none ever was would make a new data_dir, and find no letters in it. */
    sl_buffer ledger = SL_BUFFER_EMPTY;
    sl_buffer_printf(&ledger, "%s/ledger.db", config->data_dir);
    sl_status status = access(sl_buffer_cstr(&ledger), F_OK) == 0
                           ? SL_OK
                           : sl_error_set(error, SL_ENOTFOUND, "%s: %s: is this the daemon's data_dir?",
                                          sl_buffer_cstr(&ledger), strerror(errno));
    sl_buffer_fini(&ledger);
    return status == SL_OK ? launch(*out, run_same, &path, error) : status;
}

sl_status replay_daemon_leave(replay_daemon *d, sl_error *error) {
    if (d == NULL)
        return SL_OK;
    int ended = 0;
    sl_status status = SL_OK;
    if (d->child > 0) {
        (void)kill(d->child, SIGTERM);
        while (waitpid(d->child, &ended, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0)
            status = sl_error_set(error, SL_EIO, "the daemon that took the replay ended with a failure");
    }
    sl_buffer_fini(&d->base);
    sl_free(d->cert);
    sl_free(d);
    return status;
}
