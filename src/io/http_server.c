/* Sockets for sl_http_connection: libuv moves the bytes, http_tls.c encrypts them.
 *
 * A connection goes through: open (requests and replies), lingering (everything is sent
 * and shut down; what the peer still sends is read and dropped, as closing with unread
 * bytes would reset the connection and could take the last reply with it, RFC 9112
 * section 9.6), closing (libuv has the handle; freed in its callback).
 *
 * Reading stops while replies pile up, either unanswered (64) or unsent (256 KiB). One
 * timer looks at all connections about once a second; nothing is timed per request.
 */
#include "sluice/http_server.h"

#include "http_tls.h"
#include "sluice/message.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <uv.h>

#define RAW_BYTES 65536u /* Read buffer for cipher text and for what is dropped. */
#define UNSENT_BYTES_MAX 262144u /* Beyond it no more requests are read. */
#define LINGER_MS 2000u
#define REJECTED_MAX                                                                     \
    100u /* Connections beyond the cap that are told 503; more are just closed. */
#define BODY_BYTES_PER_S_MIN 1024u

typedef struct client {
    uv_tcp_t tcp;
    uv_shutdown_t shutdown;
    struct client *previous, *next;
    struct client *resume_next;
    sl_http_server *server;
    sl_http_connection *http; /**< NULL: one beyond the cap. */
    tls_session *tls;
    size_t unsent; /**< Bytes that wait in libuv. */
    bool reading, feeding, resuming, lingering, closing, ended;
    /* What the timer saw last. */
    sl_http_phase phase;
    uint64_t requests, bytes_in, bytes_in_then;
    uint64_t since_ms, write_since_ms;
} client;

struct sl_http_server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_timer_t timer;
    uv_idle_t resumer; /**< Runs while connections wait to go on after a pause. */
    client *clients, *resume;
    unsigned connections, rejected, handles;
    unsigned connections_max, header_timeout_ms, idle_timeout_ms, stall_timeout_ms;
    unsigned port;
    bool closing, stuck;
    sl_http_options http;
    tls_context *tls;
    char *tls_cert, *tls_key;
    void (*closed)(void *context);
    void *closed_context;
    uint8_t raw[RAW_BYTES];
};

typedef struct write_request {
    uv_write_t request;
    client *client;
    size_t length;
    char bytes[];
} write_request;

/* ---- the end ---- */

static void free_server(sl_http_server *server) {
    sl_http_shared_destroy(server->http.shared);
    tls_context_destroy(server->tls);
    sl_free(server->tls_cert);
    sl_free(server->tls_key);
    sl_free(server);
}

static void on_handle_closed(uv_handle_t *handle) {
    sl_http_server *server = handle->data;
    if (--server->handles > 0)
        return;
    void (*closed)(void *) = server->closed;
    void *context = server->closed_context;
    free_server(server);
    if (closed != NULL)
        closed(context);
}

static void end_if_empty(sl_http_server *server) {
    if (!server->closing || server->clients != NULL ||
        uv_is_closing((uv_handle_t *)&server->timer))
        return;
    uv_close((uv_handle_t *)&server->timer, on_handle_closed);
    uv_close((uv_handle_t *)&server->resumer, on_handle_closed);
}

static void on_client_closed(uv_handle_t *handle) {
    client *c = handle->data;
    sl_http_server *server = c->server;
    for (client **at = &server->resume; *at != NULL; at = &(*at)->resume_next)
        if (*at == c) {
            *at = c->resume_next;
            break;
        }
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        server->clients = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    if (c->http != NULL)
        server->connections--;
    else
        server->rejected--;
    sl_http_connection_destroy(c->http);
    tls_session_destroy(c->tls);
    sl_free(c);
    end_if_empty(server);
}

static void close_now(client *c) {
    /* The loop's own end closes handles too, and only then runs their callbacks. */
    if (c->closing || uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->tcp, on_client_closed);
}

/* ---- out ---- */

static void schedule_resume(client *c);
static void begin_close(client *c);

static void go_on(client *c) {
    if (c->closing || c->lingering || c->http == NULL)
        return;
    if (sl_http_connection_wants_close(c->http))
        begin_close(c);
    else if (!c->reading && c->unsent <= UNSENT_BYTES_MAX &&
             !sl_http_connection_paused(c->http))
        schedule_resume(c);
}

static void count_unsent(client *c, size_t unsent) {
    c->unsent = unsent;
    if (c->http != NULL)
        sl_http_connection_unsent(c->http, unsent);
}

static void on_written(uv_write_t *request, int status) {
    write_request *w = (write_request *)request->data;
    client *c = w->client;
    count_unsent(c, c->unsent - w->length);
    c->write_since_ms = uv_now(c->server->loop);
    if (c->server->http.budget != NULL)
        sl_budget_give(c->server->http.budget, w->length);
    sl_free(w);
    if (status < 0)
        close_now(c);
    else
        go_on(c);
}

/** What the socket takes now. send(): uv_try_write() calls write(), whose way through the kernel is longer.
 * @return false: the connection is broken. */
static bool try_send(const client *c, const void *bytes, size_t length, size_t *taken) {
    uv_os_fd_t socket;
    *taken = 0;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &socket) != 0)
        return false;
    ssize_t n;
    do
        n = send(socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
    *taken = (size_t)n;
    return true;
}

/** Most replies go out at once; what the socket doesn't take is copied and waits. */
static void write_raw(client *c, const void *bytes, size_t length) {
    const char *rest = bytes;
    if (c->closing || length == 0)
        return;
    if (c->unsent == 0) {
        size_t taken;
        if (!try_send(c, bytes, length, &taken)) {
            close_now(c);
            return;
        }
        if (taken == length)
            return;
        rest += taken;
        length -= taken;
        c->write_since_ms = uv_now(c->server->loop);
    }
    write_request *w = sl_malloc(sizeof *w + length);
    if (w == NULL) {
        close_now(c);
        return;
    }
    w->request.data = w;
    w->client = c;
    w->length = length;
    memcpy(w->bytes, rest, length);
    uv_buf_t buffer = uv_buf_init(w->bytes, (unsigned)length);
    if (uv_write(&w->request, (uv_stream_t *)&c->tcp, &buffer, 1, on_written) != 0) {
        sl_free(w);
        close_now(c);
        return;
    }
    count_unsent(c, c->unsent + length);
    if (c->server->http.budget != NULL)
        sl_budget_force(c->server->http.budget, length);
}

static void flush_tls(client *c) {
    const void *bytes;
    size_t length = tls_pull(c->tls, &bytes);
    if (length == 0)
        return;
    write_raw(c, bytes, length);
    tls_pulled(c->tls);
}

/** sl_http_send_fn. */
static void send_reply(void *context, const void *bytes, size_t length) {
    client *c = context;
    if (c->closing || c->lingering)
        return;
    if (c->tls == NULL) {
        write_raw(c, bytes, length);
    } else if (tls_write(c->tls, bytes, length)) {
        flush_tls(c);
    } else {
        close_now(c);
    }
    if (!c->feeding) /* A late reply may have been what reading or closing waited for. */
        go_on(c);
}

/* ---- in ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    client *c = handle->data;
    size_t length = RAW_BYTES;
    void *room = c->server->raw;
    (void)suggested;
    if (c->tls == NULL && !c->lingering)
        room = sl_http_connection_room(c->http, &length);
    *buffer = uv_buf_init(room, length > 1u << 30 ? 1u << 30 : (unsigned)length);
}

/** Take all plain text there is, unless the connection has enough to do. */
static void read_tls(client *c) {
    tls_result result = TLS_DATA;
    while (result == TLS_DATA && !c->closing && !sl_http_connection_paused(c->http) &&
           !sl_http_connection_holds(c->http) && c->unsent <= UNSENT_BYTES_MAX &&
           !sl_http_connection_wants_close(c->http)) {
        size_t room, length = 0;
        void *to = sl_http_connection_room(c->http, &room);
        result = tls_read(c->tls, to, room, &length);
        if (result == TLS_DATA)
            sl_http_connection_feed(c->http, to, length);
    }
    if (c->closing)
        return;
    flush_tls(c); /* Handshake, tickets, alerts. */
    if (result == TLS_END) {
        c->ended = true;
        sl_http_connection_finish(c->http);
    } else if (result == TLS_FAILED) {
        close_now(c);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void start_reading(client *c) {
    if (c->reading || c->closing || c->ended)
        return;
    c->reading = uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read) == 0;
    if (!c->reading)
        close_now(c);
}

static void stop_reading(client *c) {
    if (c->reading)
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
    c->reading = false;
}

static void after_feed(client *c) {
    if (c->closing || c->lingering)
        return;
    if (sl_http_connection_wants_close(c->http))
        begin_close(c);
    else if (sl_http_connection_paused(c->http) || c->unsent > UNSENT_BYTES_MAX)
        stop_reading(c); /* go_on() comes when replies are made or sent. */
    else if (sl_http_connection_holds(c->http)) {
        stop_reading(c);
        schedule_resume(c);
    }
}

static void on_shutdown(uv_shutdown_t *request, int status) {
    client *c = request->data;
    if (status < 0 || c->ended)
        close_now(c);
}

/** All replies are out or on their way: say so, and read on until the peer has seen it.
 */
static void begin_close(client *c) {
    if (c->closing || c->lingering)
        return;
    if (c->tls != NULL) {
        tls_end(c->tls);
        flush_tls(c);
    }
    if (c->closing)
        return;
    c->lingering = true;
    c->since_ms = uv_now(c->server->loop);
    c->shutdown.data = c;
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0)
        close_now(c);
    else
        start_reading(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    client *c = stream->data;
    if (n == 0 || c->closing)
        return;
    if (n < 0 || c->lingering) {
        if (n >= 0)
            return;
        stop_reading(c);
        c->ended = true;
        if (n != UV_EOF || (c->lingering && c->unsent == 0)) {
            close_now(c);
            return;
        }
        if (c->lingering)
            return; /* on_shutdown() closes. */
    }
    c->feeding = true;
    if (n < 0) {
        sl_http_connection_finish(c->http);
    } else {
        c->bytes_in += (uint64_t)n;
        if (c->tls == NULL)
            sl_http_connection_feed(c->http, buffer->base, (size_t)n);
        else if (tls_push(c->tls, buffer->base, (size_t)n))
            read_tls(c);
        else
            close_now(c);
    }
    c->feeding = false;
    after_feed(c);
}

static void on_resume(uv_idle_t *idle) {
    sl_http_server *server = idle->data;
    client *list = server->resume;
    server->resume = NULL;
    (void)uv_idle_stop(idle);
    while (list != NULL) {
        client *c = list;
        list = c->resume_next;
        c->resume_next = NULL;
        c->resuming = false;
        if (c->closing || c->lingering)
            continue;
        c->feeding = true;
        sl_http_connection_feed(c->http, NULL, 0);
        if (c->tls != NULL)
            read_tls(c);
        c->feeding = false;
        start_reading(c);
        after_feed(c);
    }
}

/** Go on with what was held back, but not from inside a reply: whoever replies isn't
 * expecting a new request. */
static void schedule_resume(client *c) {
    sl_http_server *server = c->server;
    if (c->resuming)
        return;
    c->resuming = true;
    c->resume_next = server->resume;
    server->resume = c;
    (void)uv_idle_start(&server->resumer, on_resume);
}

/* ---- the clock ---- */

static void check_phase(client *c, uint64_t now) {
    const sl_http_server *server = c->server;
    bool established = c->tls == NULL || tls_established(c->tls);
    sl_http_phase phase =
        established ? sl_http_connection_phase(c->http) : SL_HTTP_HEADER;
    uint64_t requests = sl_http_connection_requests(c->http);
    bool same = phase == c->phase && requests == c->requests;
    /* Time in which this side didn't read, or owes the reply, isn't the peer's. */
    if (!same || (phase != SL_HTTP_IDLE && !c->reading)) {
        c->phase = phase;
        c->requests = requests;
        c->since_ms = now;
        c->bytes_in_then = c->bytes_in;
        return;
    }
    uint64_t elapsed = now - c->since_ms;
    uint64_t bytes = c->bytes_in - c->bytes_in_then;
    switch (phase) {
    case SL_HTTP_IDLE:
        if (elapsed < server->idle_timeout_ms)
            return;
        if (c->tls != NULL) {
            tls_end(c->tls);
            flush_tls(c);
        }
        close_now(c);
        return;
    case SL_HTTP_HEADER:
        if (elapsed < server->header_timeout_ms)
            return;
        break;
    case SL_HTTP_BODY:
        if (elapsed < server->header_timeout_ms ||
            bytes >= elapsed * BODY_BYTES_PER_S_MIN / 1000)
            return;
        break;
    case SL_HTTP_REPLY:
        return;
    }
    if (!established) {
        close_now(c);
        return;
    }
    c->feeding = true;
    sl_http_connection_timeout(c->http);
    c->feeding = false;
    begin_close(c);
}

static void check_client(client *c, uint64_t now) {
    if (c->closing)
        return;
    if (c->unsent > 0) {
        bool broken = c->http != NULL && sl_http_connection_broken(c->http);
        if (broken || now - c->write_since_ms >= c->server->stall_timeout_ms)
            close_now(c);
    } else if (c->lingering) {
        if (now - c->since_ms >= LINGER_MS)
            close_now(c);
    } else if (sl_http_connection_wants_close(c->http)) {
        begin_close(c);
    } else {
        check_phase(c, now);
    }
}

static void on_connection(uv_stream_t *stream, int status);

static void on_tick(uv_timer_t *timer) {
    sl_http_server *server = timer->data;
    uint64_t now = uv_now(server->loop);
    sl_http_shared_tick(server->http.shared, (int64_t)time(NULL));
    client *next;
    for (client *c = server->clients; c != NULL; c = next) {
        next = c->next;
        check_client(c, now);
    }
    if (server->stuck && !server->closing) {
        server->stuck = false;
        on_connection((uv_stream_t *)&server->listener, 0);
    }
}

/* ---- the beginning ---- */

static const char busy_reply[] =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\n";

/** @return false: out of memory. */
static bool open_http(client *c) {
    sl_http_server *server = c->server;
    if (server->tls != NULL) {
        c->tls = tls_session_create(server->tls);
        if (c->tls == NULL)
            return false;
    }
    c->http = sl_http_connection_create(&server->http, send_reply, c);
    return c->http != NULL;
}

static void on_connection(uv_stream_t *stream, int status) {
    sl_http_server *server = stream->data;
    if (status < 0) {
        sl_message(SL_LEVEL_WARN, "http", "connection not accepted", "reason=\"%s\"",
                   uv_strerror(status));
        return;
    }
    client *c = sl_calloc(1, sizeof *c);
    if (c == NULL) { /* libuv waits for uv_accept(): the timer tries again. */
        server->stuck = true;
        return;
    }
    c->server = server;
    (void)uv_tcp_init(server->loop, &c->tcp);
    c->tcp.data = c;
    c->next = server->clients;
    if (c->next != NULL)
        c->next->previous = c;
    server->clients = c;
    c->since_ms = uv_now(server->loop);
    bool taken = server->connections < server->connections_max && open_http(c);
    if (taken)
        server->connections++;
    else
        server->rejected++;
    /* A session that lost its connection to a failed allocation mustn't be used. */
    if (!taken) {
        tls_session_destroy(c->tls);
        c->tls = NULL;
    }
    if (uv_accept(stream, (uv_stream_t *)&c->tcp) != 0) {
        close_now(c);
        return;
    }
    if (!taken && (server->tls != NULL || server->rejected > REJECTED_MAX)) {
        close_now(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    if (taken) {
        start_reading(c);
        return;
    }
    write_raw(c, busy_reply, sizeof busy_reply - 1);
    begin_close(c);
}

/** "127.0.0.1:8080", "[::1]:8080", "localhost:8080". */
static sl_status parse_listen(uv_loop_t *loop, const char *text,
                              struct sockaddr_storage *address, sl_error *error) {
    char host[256];
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon != NULL && colon[1] >= '0' && colon[1] <= '9'
                    ? strtol(colon + 1, &end, 10)
                    : -1;
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    bool bracketed = length > 2 && text[0] == '[' && colon[-1] == ']';
    if (port < 0 || port > 65535 || *end != 0 || length == 0 || length >= sizeof host)
        return sl_error_set(error, SL_EINVAL,
                            "listen on %s: write an address and a port, such as "
                            "127.0.0.1:8080 or [::1]:8080",
                            text);
    memcpy(host, text + (bracketed ? 1 : 0), length - (bracketed ? 2 : 0));
    host[length - (bracketed ? 2 : 0)] = 0;
    if (bracketed && uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)address) == 0)
        return SL_OK;
    if (!bracketed && uv_ip4_addr(host, (int)port, (struct sockaddr_in *)address) == 0)
        return SL_OK;
    uv_getaddrinfo_t request;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    if (bracketed || strchr(host, ':') != NULL ||
        uv_getaddrinfo(loop, &request, NULL, host, colon + 1, &hints) != 0)
        return sl_error_set(error, SL_EINVAL, "listen on %s: no such address", text);
    memcpy(address, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
    uv_freeaddrinfo(request.addrinfo);
    return SL_OK;
}

static sl_status listen_error(sl_error *error, const char *listen, int code) {
    switch (code) {
    case UV_EADDRINUSE:
        return sl_error_set(
            error, SL_EEXIST,
            "listen on %s: the address is in use; stop the other process or choose "
            "another http.listen",
            listen);
    case UV_EACCES:
        return sl_error_set(
            error, SL_EDENIED,
            "listen on %s: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
            listen);
    case UV_EADDRNOTAVAIL:
        return sl_error_set(error, SL_EINVAL,
                            "listen on %s: this machine has no such address", listen);
    default:
        return sl_error_set(error, SL_EIO, "listen on %s: %s", listen, uv_strerror(code));
    }
}

static sl_status start_listening(sl_http_server *server, const char *listen,
                                 sl_error *error) {
    struct sockaddr_storage address = {0};
    sl_status status = parse_listen(server->loop, listen, &address, error);
    if (status != SL_OK)
        return status;
    /* libuv sets SO_REUSEADDR. */
    int code = uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0);
    if (code == 0)
        code = uv_listen((uv_stream_t *)&server->listener, 1024, on_connection);
    int length = (int)sizeof address;
    if (code == 0)
        code =
            uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &length);
    if (code != 0)
        return listen_error(error, listen, code);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    server->port = ntohs(address.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
    return SL_OK;
}

static unsigned or_default(unsigned value, unsigned standard) {
    return value > 0 ? value : standard;
}

/** All but the handles. */
static sl_status prepare(sl_http_server *server, const sl_http_server_options *options,
                         sl_error *error) {
    server->connections_max = or_default(options->connections_max, 10000);
    server->header_timeout_ms = or_default(options->header_timeout_ms, 10000);
    server->idle_timeout_ms = or_default(options->idle_timeout_ms, 75000);
    server->stall_timeout_ms = or_default(options->stall_timeout_ms, 30000);
    server->http = options->http;
    server->http.shared = sl_http_shared_create(options->http.budget);
    if (server->http.shared == NULL)
        return sl_error_set(error, SL_ENOMEM, "no memory for the HTTP server");
    sl_http_shared_tick(server->http.shared, (int64_t)time(NULL));
    if (options->tls_cert == NULL)
        return SL_OK;
    if (options->tls_key == NULL)
        return sl_error_set(error, SL_EINVAL, "http.tls needs both cert and key");
    server->tls_cert = sl_strdup(options->tls_cert);
    server->tls_key = sl_strdup(options->tls_key);
    if (server->tls_cert == NULL || server->tls_key == NULL)
        return sl_error_set(error, SL_ENOMEM, "no memory for the HTTP server");
    return tls_context_create(server->tls_cert, server->tls_key, &server->tls, error);
}

/** A write to a socket that its peer has reset raises SIGPIPE, which by default ends the
 * process; libuv leaves it on. */
static void ignore_broken_pipes(void) {
    struct sigaction present;
    if (sigaction(SIGPIPE, NULL, &present) == 0 && (present.sa_flags & SA_SIGINFO) == 0 &&
        present.sa_handler == SIG_DFL) {
        present.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &present, NULL);
    }
}

sl_status sl_http_server_create(struct uv_loop_s *loop,
                                const sl_http_server_options *options,
                                sl_http_server **out, sl_error *error) {
    *out = NULL;
    sl_http_server *server = sl_calloc(1, sizeof *server);
    if (server == NULL)
        return sl_error_set(error, SL_ENOMEM, "no memory for the HTTP server");
    ignore_broken_pipes();
    server->loop = loop;
    sl_status status = prepare(server, options, error);
    if (status != SL_OK) {
        free_server(server);
        return status;
    }
    (void)uv_tcp_init(loop, &server->listener);
    server->listener.data = server;
    server->handles = 1;
    status = start_listening(server, options->listen, error);
    if (status != SL_OK) {
        uv_close((uv_handle_t *)&server->listener, on_handle_closed);
        return status;
    }
    (void)uv_timer_init(loop, &server->timer);
    (void)uv_idle_init(loop, &server->resumer);
    server->timer.data = server->resumer.data = server;
    server->handles = 3;
    unsigned shortest = server->header_timeout_ms;
    shortest = server->idle_timeout_ms < shortest ? server->idle_timeout_ms : shortest;
    shortest = server->stall_timeout_ms < shortest ? server->stall_timeout_ms : shortest;
    unsigned tick = shortest / 4 < 1000 ? shortest / 4 + 1 : 1000;
    (void)uv_timer_start(&server->timer, on_tick, tick, tick);
    *out = server;
    return SL_OK;
}

sl_status sl_http_tls_check(const char *cert, const char *key, sl_error *error) {
    tls_context *context;
    sl_status status = tls_context_create(cert, key, &context, error);
    tls_context_destroy(context);
    return status;
}

unsigned sl_http_server_port(const sl_http_server *server) { return server->port; }

unsigned sl_http_server_connections(const sl_http_server *server) {
    return server->connections;
}

sl_http_replies sl_http_server_replies(const sl_http_server *server) {
    return sl_http_shared_replies(server->http.shared);
}

sl_status sl_http_server_reload_tls(sl_http_server *server, sl_error *error) {
    if (server->tls == NULL)
        return sl_error_set(error, SL_EINVAL, "the server was started without TLS");
    tls_context *fresh;
    sl_status status =
        tls_context_create(server->tls_cert, server->tls_key, &fresh, error);
    if (status != SL_OK)
        return status;
    tls_context_destroy(server->tls);
    server->tls = fresh;
    return SL_OK;
}

void sl_http_server_close(sl_http_server *server, void (*closed)(void *context),
                          void *context) {
    if (server->closing) {
        for (client *c = server->clients; c != NULL; c = c->next)
            close_now(c);
        return;
    }
    server->closing = true;
    server->closed = closed;
    server->closed_context = context;
    uv_close((uv_handle_t *)&server->listener, on_handle_closed);
    client *next;
    for (client *c = server->clients; c != NULL; c = next) {
        next = c->next;
        if (c->closing || c->lingering)
            continue;
        sl_http_connection_drain(c->http);
        if (!sl_http_connection_wants_close(c->http))
            continue;
        /* Idle: there is no reply that a reset could take away. */
        if (c->unsent > 0) {
            begin_close(c);
        } else {
            if (c->tls != NULL) {
                tls_end(c->tls);
                flush_tls(c);
            }
            close_now(c);
        }
    }
    end_if_empty(server);
}
