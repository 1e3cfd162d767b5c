/* Real sockets on one thread: the client's are never waited for; the loop runs until what
 * is expected has come. */
#include "sluice/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "certificate_test_help.h"

#define WAITING_MAX 512
#define PATIENCE_MS 20000u

typedef struct fixture {
    uv_loop_t loop;
    sl_http_server *server;
    sl_http_exchange *waiting[WAITING_MAX];
    unsigned handled, waiting_count;
    size_t body_bytes;
    bool later, closed;
    size_t reply_bytes;
} fixture;

static char page[1 << 20];

static void handle(void *context, const sl_http_request *request) {
    fixture *f = context;
    f->handled++;
    f->body_bytes += request->length;
    if (f->later)
        f->waiting[f->waiting_count++] = request->exchange;
    else
        sl_http_reply(request->exchange, 200, "text/plain", "", page, f->reply_bytes);
}

static void on_closed(void *context) { ((fixture *)context)->closed = true; }

static void start(fixture *f, sl_http_server_options options) {
    sl_error error = {0};
    memset(page, 'p', sizeof page);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    options.http.body_bytes_max = 1 << 20;
    options.http.handler = handle;
    options.http.context = f;
    if (options.listen == NULL)
        options.listen = "127.0.0.1:0";
    if (sl_http_server_create(&f->loop, &options, &f->server, &error) != SL_OK)
        fail_msg("%s", error.text);
}

static void pump(fixture *f) {
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    struct timespec pause = {0, 200000};
    (void)nanosleep(&pause, NULL);
}

static void stop(fixture *f) {
    sl_http_server_close(f->server, on_closed, f);
    for (unsigned i = 0; !f->closed; i++) {
        assert_true(i < PATIENCE_MS);
        pump(f);
    }
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static int dial(const fixture *f) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)sl_http_server_port(f->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void send_all(fixture *f, int fd, const char *bytes, size_t length) {
    for (unsigned i = 0; length > 0; i++) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        assert_true(n > 0 || errno == EAGAIN);
        assert_true(i < PATIENCE_MS);
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
        pump(f);
    }
}

static void send_text(fixture *f, int fd, const char *text) {
    send_all(f, fd, text, strlen(text));
}

/** Receive until `count` times `text` has come, or the end when text is NULL. @return all
 * received, malloced. */
static char *receive(fixture *f, int fd, const char *text, unsigned count) {
    size_t room = 1 << 16, length = 0, searched = 0;
    unsigned found = 0;
    char *all = malloc(room + 1);
    assert_non_null(all);
    for (unsigned i = 0; i < PATIENCE_MS; i++) {
        pump(f);
        ssize_t n = recv(fd, all + length, room - length, 0);
        if (n > 0) {
            length += (size_t)n;
            if (length == room)
                assert_non_null(all = realloc(all, 1 + (room *= 2)));
            i = 0;
        }
        all[length] = 0;
        for (const char *at; text != NULL && (at = strstr(all + searched, text)) != NULL;
             found++)
            searched = (size_t)(at - all) + 1;
        if (text != NULL && found >= count)
            return all;
        if (text != NULL && length > searched + strlen(text))
            searched = length - strlen(text);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            assert_null(text);
            return all;
        }
    }
    fail_msg("waited in vain for %u times %s", count, text != NULL ? text : "the end");
    return all;
}

#define REQUEST "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"

static void post_is_answered_over_ipv4_and_ipv6(void **state) {
    (void)state;
    fixture f = {.reply_bytes = 3};
    start(&f, (sl_http_server_options){0});
    int fd = dial(&f);
    for (int i = 0; i < 3; i++) {
        send_text(&f, fd, REQUEST);
        char *reply = receive(&f, fd, "ppp", 1);
        assert_memory_equal(reply, "HTTP/1.1 200 OK\r\n", 17);
        assert_non_null(strstr(reply, "\r\nDate: "));
        free(reply);
    }
    assert_int_equal(sl_http_server_connections(f.server), 1);
    close(fd);
    stop(&f);
    f = (fixture){.reply_bytes = 3};
    start(&f, (sl_http_server_options){.listen = "[::1]:0"});
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)sl_http_server_port(f.server)),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    send_text(&f, fd, REQUEST);
    free(receive(&f, fd, "ppp", 1));
    close(fd);
    stop(&f);
}

static void long_pipeline_pauses_and_goes_on(void **state) {
    (void)state;
    fixture f = {.later = true};
    start(&f, (sl_http_server_options){0});
    int fd = dial(&f);
    for (int i = 0; i < 200; i++)
        send_text(&f, fd, REQUEST);
    for (int i = 0; i < 20; i++)
        pump(&f);
    assert_int_equal(f.handled, 64);
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned wait = 0; i >= f.waiting_count; wait++) {
            assert_true(wait < PATIENCE_MS);
            pump(&f);
        }
        char text[16];
        int n = snprintf(text, sizeof text, "<%u>", i);
        sl_http_reply(f.waiting[i], 200, "text/plain", "", text, (size_t)n);
    }
    char *replies = receive(&f, fd, "<199>", 1);
    const char *at = replies;
    for (unsigned i = 0; i < 200; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "<%u>", i);
        at = strstr(at, text);
        assert_non_null(at);
    }
    free(replies);
    close(fd);
    stop(&f);
}

static void large_bodies_arrive_whole(void **state) {
    (void)state;
    fixture f = {.reply_bytes = 3};
    start(&f, (sl_http_server_options){0});
    int fd = dial(&f);
    for (int i = 0; i < 3; i++) {
        send_text(&f, fd,
                  "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
        send_all(&f, fd, page, 1000000);
        free(receive(&f, fd, "ppp", 1));
    }
    assert_int_equal(f.body_bytes, 3000000);
    close(fd);
    stop(&f);
}

static void slow_request_is_told_408_and_closed(void **state) {
    (void)state;
    static const char *const parts[] = {
        "POST /x HTTP/1.1\r\nHos",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"};
    for (int i = 0; i < 2; i++) {
        fixture f = {0};
        start(&f, (sl_http_server_options){.header_timeout_ms = 40});
        int fd = dial(&f);
        send_text(&f, fd, parts[i]);
        char *reply = receive(&f, fd, NULL, 0);
        assert_memory_equal(reply, "HTTP/1.1 408 ", 13);
        free(reply);
        close(fd);
        stop(&f);
    }
}

static void idle_connection_is_closed_silently(void **state) {
    (void)state;
    fixture f = {.reply_bytes = 3};
    start(&f, (sl_http_server_options){.idle_timeout_ms = 40});
    int fd = dial(&f);
    char *reply = receive(&f, fd, NULL, 0);
    assert_string_equal(reply, "");
    free(reply);
    close(fd);
    stop(&f);
}

static void connections_beyond_the_cap_get_503(void **state) {
    (void)state;
    fixture f = {.reply_bytes = 3};
    start(&f, (sl_http_server_options){.connections_max = 2});
    int first = dial(&f), second = dial(&f);
    send_text(&f, first, REQUEST);
    send_text(&f, second, REQUEST);
    free(receive(&f, first, "ppp", 1));
    free(receive(&f, second, "ppp", 1));
    int third = dial(&f);
    send_text(&f, third, REQUEST);
    char *reply = receive(&f, third, NULL, 0);
    assert_memory_equal(reply, "HTTP/1.1 503 ", 13);
    assert_non_null(strstr(reply, "\r\nRetry-After: 1\r\n"));
    free(reply);
    close(third);
    assert_int_equal(sl_http_server_connections(f.server), 2);
    close(first);
    for (unsigned i = 0; sl_http_server_connections(f.server) > 1; i++) {
        assert_true(i < PATIENCE_MS);
        pump(&f);
    }
    third = dial(&f); /* There is room again. */
    send_text(&f, third, REQUEST);
    free(receive(&f, third, "ppp", 1));
    close(second);
    close(third);
    stop(&f);
}

static void half_closed_client_gets_its_reply(void **state) {
    (void)state;
    fixture f = {.later = true};
    start(&f, (sl_http_server_options){0});
    int fd = dial(&f);
    send_text(&f, fd, REQUEST);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (int i = 0; i < 20; i++)
        pump(&f);
    assert_int_equal(f.waiting_count, 1);
    sl_http_reply(f.waiting[0], 200, "text/plain", "", "late", 4);
    char *reply = receive(&f, fd, NULL, 0);
    assert_non_null(strstr(reply, "\r\n\r\nlate"));
    free(reply);
    close(fd);
    stop(&f);
}

static void reply_survives_a_body_that_is_still_coming(void **state) {
    (void)state;
    fixture f = {0};
    start(&f, (sl_http_server_options){0});
    int fd = dial(&f);
    send_text(&f, fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n");
    for (int i = 0; i < 3; i++)
        send_all(&f, fd, page, 500000); /* A closed socket would reset this. */
    char *reply = receive(&f, fd, "too_large", 1);
    assert_memory_equal(reply, "HTTP/1.1 413 ", 13);
    free(reply);
    close(fd);
    stop(&f);
}

static void reader_that_stalls_stops_the_reading_and_is_closed(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 256 << 20);
    fixture f = {.reply_bytes = 100000};
    start(&f, (sl_http_server_options){.http.budget = &budget});
    int fd = dial(&f);
    for (int i = 0; i < 500; i++) /* 50 MB of replies. */
        assert_int_equal(send(fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL),
                         sizeof REQUEST - 1);
    for (int i = 0; i < 200; i++)
        pump(&f);
    assert_true(f.handled < 500);
    free(receive(&f, fd, "HTTP/1.1 200 OK",
                 500)); /* It reads after all: all is answered. */
    close(fd);
    stop(&f);
    assert_true(atomic_load(&budget.peak) < 2 << 20);
    assert_int_equal(sl_budget_used(&budget), 0);
    f = (fixture){.reply_bytes = 100000};
    start(&f, (sl_http_server_options){.stall_timeout_ms = 60, .http.budget = &budget});
    fd = dial(&f);
    for (int i = 0; i < 500; i++)
        (void)send(fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL);
    for (unsigned i = 0; f.handled == 0 || sl_http_server_connections(f.server) > 0;
         i++) {
        assert_true(i < PATIENCE_MS);
        pump(&f);
    }
    close(fd);
    stop(&f);
    assert_int_equal(sl_budget_used(&budget), 0);
}

static void close_waits_for_exchanges_in_flight(void **state) {
    (void)state;
    fixture f = {.later = true};
    start(&f, (sl_http_server_options){0});
    int idle = dial(&f), busy = dial(&f);
    send_text(&f, busy, REQUEST);
    for (int i = 0; i < 20; i++)
        pump(&f);
    assert_int_equal(f.waiting_count, 1);
    sl_http_server_close(f.server, on_closed, &f);
    for (int i = 0; i < 20; i++)
        pump(&f);
    assert_false(f.closed);
    free(receive(&f, idle, NULL, 0)); /* Closed at once. */
    sl_http_reply(f.waiting[0], 200, "text/plain", "", "last", 4);
    char *reply = receive(&f, busy, NULL, 0);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(reply, "\r\n\r\nlast"));
    free(reply);
    close(idle);
    close(busy);
    for (unsigned i = 0; !f.closed; i++) {
        assert_true(i < PATIENCE_MS);
        pump(&f);
    }
    assert_int_equal(uv_loop_close(&f.loop), 0);
}

static void reply_to_a_peer_that_has_left_is_harmless(void **state) {
    (void)state;
    fixture f = {.later = true};
    start(&f, (sl_http_server_options){0});
    for (int reset = 0; reset < 2; reset++) {
        int fd = dial(&f);
        send_text(&f, fd, REQUEST REQUEST);
        for (unsigned i = 0; f.waiting_count < 2; i++) {
            assert_true(i < PATIENCE_MS);
            pump(&f);
        }
        if (reset == 1) {
            struct linger now = {1, 0};
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
        }
        close(fd);
        for (int i = 0; i < 10 * reset; i++)
            pump(&f);
        /* The first write may still succeed; the second meets a reset socket. */
        for (unsigned i = 0; i < 2; i++) {
            sl_http_reply(f.waiting[i], 200, "text/plain", "", page, 500000);
            pump(&f);
        }
        f.waiting_count = 0;
        for (unsigned i = 0; sl_http_server_connections(f.server) > 0; i++) {
            assert_true(i < PATIENCE_MS);
            pump(&f);
        }
    }
    stop(&f);
}

/** One server's life with the n-th allocation failing. @return false: it was never
 * reached. */
static bool live_with_failure(uint64_t n) {
    fixture f = {.reply_bytes = sizeof page};
    assert_int_equal(uv_loop_init(&f.loop), 0);
    sl_http_server_options options = {.listen = "127.0.0.1:0", .header_timeout_ms = 40};
    options.http.body_bytes_max = 1 << 20;
    options.http.handler = handle;
    options.http.context = &f;
    sl_error error;
    sl_memory_fail_at(n);
    if (sl_http_server_create(&f.loop, &options, &f.server, &error) == SL_OK) {
        int fd = dial(&f);
        static const char head[] =
            "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
        (void)send(fd, head, sizeof head - 1, MSG_NOSIGNAL);
        for (int i = 0; i < 5; i++)
            pump(&f);
        (void)send(fd, page, 100000, MSG_NOSIGNAL);
        /* It is answered or closed; which of them depends on n. */
        static char all[1 << 21];
        size_t length = 0;
        for (unsigned i = 0; i < PATIENCE_MS && length < sizeof page; i++) {
            pump(&f);
            ssize_t got = recv(fd, all + length, sizeof all - length, 0);
            if (got == 0 || (got < 0 && errno != EAGAIN) ||
                (length == 0 && got > 0 && memcmp(all + 9, "200", 3) != 0))
                break;
            length += got > 0 ? (size_t)got : 0;
            assert_true(i + 1 < PATIENCE_MS);
        }
        close(fd);
        stop(&f);
    } else {
        assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(uv_loop_close(&f.loop), 0);
    }
    bool reached = sl_memory_calls() >= n;
    sl_memory_fail_at(0);
    return reached;
}

static void server_survives_any_failed_allocation(void **state) {
    (void)state;
    memset(page, 'p', sizeof page);
    for (uint64_t n = 1; live_with_failure(n); n++)
        assert_true(n < 1000);
}

static void address_errors_name_place_and_mend(void **state) {
    (void)state;
    fixture f = {0};
    start(&f, (sl_http_server_options){0});
    char taken[32];
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%u", sl_http_server_port(f.server));
    const struct {
        const char *listen;
        sl_status status;
    } cases[] = {{taken, SL_EEXIST},
                 {"127.0.0.1", SL_EINVAL},
                 {":8080", SL_EINVAL},
                 {"127.0.0.1:", SL_EINVAL},
                 {"127.0.0.1:65536", SL_EINVAL},
                 {"127.0.0.1:80x", SL_EINVAL},
                 {"::1:80", SL_EINVAL},
                 {"[::1:80", SL_EINVAL},
                 {"[zz]:80", SL_EINVAL},
                 {"192.0.2.1:0", SL_EINVAL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_http_server_options options = {.listen = cases[i].listen,
                                          .http.handler = handle};
        sl_http_server *other;
        sl_error error = {0};
        assert_int_equal(sl_http_server_create(&f.loop, &options, &other, &error),
                         cases[i].status);
        assert_null(other);
        assert_non_null(strstr(error.text, cases[i].listen));
    }
    stop(&f);
}

/* ---- TLS ---- */

typedef struct files {
    char cert[64], key[64];
} files;

static files make_files(void) {
    files made = {"", ""};
    (void)snprintf(made.cert, sizeof made.cert, "http_server_test.%ld.cert.pem",
                   (long)getpid());
    (void)snprintf(made.key, sizeof made.key, "http_server_test.%ld.key.pem",
                   (long)getpid());
    return made;
}

typedef struct tls_client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
} tls_client;

static tls_client tls_dial(const fixture *f, int max_version) {
    tls_client c = {.ctx = SSL_CTX_new(TLS_client_method()), .fd = dial(f)};
    assert_non_null(c.ctx);
    SSL_CTX_set_security_level(c.ctx, 0);
    assert_int_equal(SSL_CTX_set_max_proto_version(c.ctx, max_version), 1);
    assert_int_equal(
        SSL_CTX_set_alpn_protos(c.ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12),
        0);
    c.ssl = SSL_new(c.ctx);
    assert_non_null(c.ssl);
    assert_int_equal(SSL_set_fd(c.ssl, c.fd), 1);
    SSL_set_connect_state(c.ssl);
    return c;
}

static void tls_hang_up(tls_client *c) {
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
}

/** @return 1, or what went wrong in the handshake. */
static int tls_shake_hands(fixture *f, tls_client *c) {
    for (unsigned i = 0; i < PATIENCE_MS; i++) {
        int result = SSL_do_handshake(c->ssl);
        int error = SSL_get_error(c->ssl, result);
        if (result == 1 ||
            (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE))
            return result;
        pump(f);
    }
    return -2;
}

static void tls_send(fixture *f, tls_client *c, const char *bytes, size_t length) {
    for (unsigned i = 0; length > 0; i++) {
        size_t n = 0;
        assert_true(i < PATIENCE_MS);
        if (SSL_write_ex(c->ssl, bytes, length > 9000 ? 9000 : length, &n) == 1) {
            bytes += n;
            length -= n;
        }
        pump(f);
    }
}

/** Bytes up to the end of `expected` bytes. */
static size_t tls_receive(fixture *f, tls_client *c, char *to, size_t expected) {
    size_t length = 0;
    for (unsigned i = 0; i < PATIENCE_MS && length < expected; i++) {
        size_t n = 0;
        pump(f);
        if (SSL_read_ex(c->ssl, to + length, expected - length, &n) == 1) {
            length += n;
            i = 0;
        }
    }
    return length;
}

static void subject_is(const tls_client *c, const char *name) {
    char text[64] = "";
    X509 *cert = SSL_get1_peer_certificate(c->ssl);
    assert_non_null(cert);
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName,
                                          text, sizeof text) > 0);
    assert_string_equal(text, name);
    X509_free(cert);
}

static void posts_travel_over_tls(void **state) {
    (void)state;
    files made = make_files();
    write_certificate(made.cert, made.key, "first");
    fixture f = {.reply_bytes = 500000};
    start(&f, (sl_http_server_options){.tls_cert = made.cert, .tls_key = made.key});
    static char got[1 << 20];
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        tls_client c = tls_dial(&f, version);
        assert_int_equal(tls_shake_hands(&f, &c), 1);
        assert_int_equal(SSL_version(c.ssl), version);
        subject_is(&c, "first");
        const unsigned char *protocol;
        unsigned length;
        SSL_get0_alpn_selected(c.ssl, &protocol, &length);
        assert_int_equal(length, 8);
        assert_memory_equal(protocol, "http/1.1", 8);
        f.body_bytes = 0;
        static const char head[] =
            "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 350000\r\n\r\n";
        for (int i = 0; i < 2; i++) {
            tls_send(&f, &c, head, sizeof head - 1);
            tls_send(&f, &c, page, 350000);
            assert_int_equal(tls_receive(&f, &c, got, 500000), 500000);
            assert_memory_equal(got, "HTTP/1.1 200 OK\r\n", 17);
            const char *body = strstr(got, "\r\n\r\n");
            assert_non_null(body);
            assert_int_equal(tls_receive(&f, &c, got, (size_t)(body + 4 - got)),
                             body + 4 - got);
        }
        assert_int_equal(f.body_bytes, 700000);
        tls_hang_up(&c);
    }
    stop(&f);
    (void)unlink(made.cert);
    (void)unlink(made.key);
}

static void old_tls_and_plain_text_are_refused(void **state) {
    (void)state;
    files made = make_files();
    write_certificate(made.cert, made.key, "first");
    fixture f = {0};
    start(&f, (sl_http_server_options){.tls_cert = made.cert, .tls_key = made.key});
    tls_client c = tls_dial(&f, TLS1_1_VERSION);
    assert_true(tls_shake_hands(&f, &c) <= 0);
    tls_hang_up(&c);
    int fd = dial(&f);
    send_text(&f, fd, REQUEST);
    free(receive(&f, fd, NULL, 0));
    close(fd);
    assert_int_equal(f.handled, 0);
    stop(&f);
    (void)unlink(made.cert);
    (void)unlink(made.key);
}

static void unusable_files_are_named_and_nobody_is_asked(void **state) {
    (void)state;
    files made = make_files();
    sl_error error = {0};
    write_certificate(made.cert, made.key, "first");
    assert_int_equal(sl_http_tls_check(made.cert, made.key, &error), SL_OK);
    assert_int_equal(sl_http_tls_check("nowhere.pem", made.key, &error), SL_EINVAL);
    assert_string_equal(error.text, "http.tls.cert: cannot read 'nowhere.pem': No such file or directory");
    assert_int_equal(sl_http_tls_check(made.key, made.key, &error), SL_EINVAL);
    assert_non_null(strstr(error.text, "http.tls.cert: "));
    assert_int_equal(sl_http_tls_check(made.cert, made.cert, &error), SL_EINVAL);
    assert_non_null(strstr(error.text, "http.tls.key: "));
    EVP_PKEY *other = EVP_EC_gen("P-256");
    FILE *file = fopen(made.key, "w");
    assert_true(other != NULL && file != NULL);
    assert_int_equal(PEM_write_PrivateKey(file, other, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(sl_http_tls_check(made.cert, made.key, &error), SL_EINVAL);
    assert_non_null(strstr(error.text, "key values mismatch"));
    unsigned char word[] = "secret"; /* On a terminal, a daemon would stand still until it is typed. */
    file = fopen(made.key, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, other, EVP_aes_128_cbc(), word, sizeof word - 1, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(sl_http_tls_check(made.cert, made.key, &error), SL_EINVAL);
    assert_non_null(strstr(error.text, "is encrypted"));
    EVP_PKEY_free(other);
    (void)unlink(made.cert);
    (void)unlink(made.key);
}

static void certificate_is_reloaded_and_kept_on_failure(void **state) {
    (void)state;
    files made = make_files();
    write_certificate(made.cert, made.key, "first");
    fixture f = {.reply_bytes = 3};
    start(&f, (sl_http_server_options){.tls_cert = made.cert, .tls_key = made.key});
    tls_client old = tls_dial(&f, TLS1_3_VERSION);
    assert_int_equal(tls_shake_hands(&f, &old), 1);
    write_certificate(made.cert, made.key, "second");
    sl_error error = {0};
    assert_int_equal(sl_http_server_reload_tls(f.server, &error), SL_OK);
    (void)unlink(made.key);
    assert_int_equal(sl_http_server_reload_tls(f.server, &error), SL_EINVAL);
    assert_non_null(strstr(error.text, made.key));
    tls_client fresh = tls_dial(&f, TLS1_3_VERSION);
    assert_int_equal(tls_shake_hands(&f, &fresh), 1);
    subject_is(&fresh, "second");
    char got[16];
    tls_send(&f, &old, REQUEST, sizeof REQUEST - 1); /* The old session lives on. */
    assert_int_equal(tls_receive(&f, &old, got, 15), 15);
    tls_hang_up(&old);
    tls_hang_up(&fresh);
    stop(&f);
    sl_http_server_options options = {.listen = "127.0.0.1:0",
                                      .tls_cert = made.cert,
                                      .tls_key = made.key,
                                      .http.handler = handle};
    assert_int_equal(uv_loop_init(&f.loop), 0);
    assert_int_equal(sl_http_server_create(&f.loop, &options, &f.server, &error),
                     SL_EINVAL);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    (void)unlink(made.cert);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(post_is_answered_over_ipv4_and_ipv6),
        cmocka_unit_test(long_pipeline_pauses_and_goes_on),
        cmocka_unit_test(large_bodies_arrive_whole),
        cmocka_unit_test(slow_request_is_told_408_and_closed),
        cmocka_unit_test(idle_connection_is_closed_silently),
        cmocka_unit_test(connections_beyond_the_cap_get_503),
        cmocka_unit_test(half_closed_client_gets_its_reply),
        cmocka_unit_test(reply_survives_a_body_that_is_still_coming),
        cmocka_unit_test(reader_that_stalls_stops_the_reading_and_is_closed),
        cmocka_unit_test(close_waits_for_exchanges_in_flight),
        cmocka_unit_test(reply_to_a_peer_that_has_left_is_harmless),
        cmocka_unit_test(server_survives_any_failed_allocation),
        cmocka_unit_test(address_errors_name_place_and_mend),
        cmocka_unit_test(posts_travel_over_tls),
        cmocka_unit_test(old_tls_and_plain_text_are_refused),
        cmocka_unit_test(unusable_files_are_named_and_nobody_is_asked),
        cmocka_unit_test(certificate_is_reloaded_and_kept_on_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
