/* The client against a peer of plain sockets on the same thread, which sends what the test says, byte for byte. */
#include "sluice/http_client.h"
#include "sluice/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define PATIENCE_TURNS 200000u

/** What came of a call. */
typedef struct result {
    unsigned told;
    sl_status status;
    sl_http_failure failure;
    unsigned code;
    char error[512], body[4096], etag[64];
    size_t body_length;
    uint64_t sent_bytes;
    int64_t connect_us;
} result;

typedef struct fixture {
    uv_loop_t loop;
    sl_http_client *client;
    int listener, peer;
    unsigned port;
    char url[128];
    bool inside_start;
} fixture;

static void told(void *context, const sl_http_outcome *outcome) {
    result *r = context;
    r->told++;
    r->status = outcome->status;
    r->failure = outcome->failure;
    r->code = outcome->code;
    r->sent_bytes = outcome->sent_bytes;
    r->connect_us = outcome->connect_us;
    (void)snprintf(r->error, sizeof r->error, "%s", outcome->error->text);
    (void)snprintf(r->etag, sizeof r->etag, "%s", sl_http_outcome_field(outcome, "ETag"));
    r->body_length = outcome->body->length;
    if (outcome->body->length < sizeof r->body && outcome->body->length > 0)
        memcpy(r->body, outcome->body->bytes, outcome->body->length);
}

static int listen_anywhere(unsigned *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void start_with(fixture *f, sl_http_client_options options) {
    sl_error error = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    memset(f, 0, sizeof *f);
    f->peer = -1;
    f->listener = listen_anywhere(&f->port);
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u/", f->port);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(sl_http_client_create(&f->loop, &options, &f->client, &error), SL_OK);
}

static void start(fixture *f) {
    start_with(f, (sl_http_client_options){0});
}

static void hang_up(fixture *f) {
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
}

static void stop(fixture *f) {
    sl_http_client_destroy(f->client);
    hang_up(f);
    close(f->listener);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static void pump(fixture *f) {
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    struct timespec pause = {0, 100000};
    (void)nanosleep(&pause, NULL);
}

static void await(fixture *f, const result *r) {
    for (unsigned i = 0; r->told == 0; i++) {
        assert_true(i < PATIENCE_TURNS);
        pump(f);
    }
}

static void peer_accepts(fixture *f) {
    hang_up(f);
    for (unsigned i = 0; f->peer < 0; i++) {
        assert_true(i < PATIENCE_TURNS);
        pump(f);
        f->peer = accept(f->listener, NULL, NULL);
    }
    assert_int_equal(fcntl(f->peer, F_SETFL, O_NONBLOCK), 0);
}

/** Receive until `length` bytes after the empty line. @return all, in a static buffer, 0-terminated. */
static char *peer_receives(fixture *f, size_t length) {
    static char all[1 << 20];
    size_t got = 0;
    for (unsigned i = 0;; i++) {
        assert_true(i < PATIENCE_TURNS);
        ssize_t n = recv(f->peer, all + got, sizeof all - 1 - got, 0);
        if (n > 0)
            got += (size_t)n;
        all[got] = 0;
        const char *end = strstr(all, "\r\n\r\n");
        if (end != NULL && got - (size_t)(end + 4 - all) >= length)
            return all;
        assert_true(n != 0);
        pump(f);
    }
}

static void peer_sends(fixture *f, const char *text) {
    size_t length = strlen(text);
    for (unsigned i = 0; length > 0; i++) {
        assert_true(i < PATIENCE_TURNS);
        ssize_t n = send(f->peer, text, length, MSG_NOSIGNAL);
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        }
        pump(f);
    }
}

static sl_http_call_options get(const fixture *f) {
    return (sl_http_call_options){.method = "GET", .url = f->url, .direct = true};
}

static void call(fixture *f, const sl_http_call_options *options, result *r, sl_http_call **out) {
    sl_error error = {0};
    memset(r, 0, sizeof *r);
    if (sl_http_client_start(f->client, options, told, r, out, &error) != SL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(r->told, 0);
}

/* ---- What is sent ---- */

static void url_and_headers_are_sent_as_given(void **state) {
    (void)state;
    fixture f;
    result r;
    start(&f);
    char url[256];
    (void)snprintf(url, sizeof url, "%sb/../a//./k%%2fey%%3D=+~%%C3%%A9?x=%%2F&uploads=&a", f.url);
    sl_http_field fields[] = {{"X-Amz-Date", "20150830T123600Z"}, {"x-empty", ""}, {"Host", "bucket.example"}};
    sl_http_call_options options = get(&f);
    options.url = url;
    options.fields = fields;
    options.field_count = 3;
    call(&f, &options, &r, NULL);
    memset(url, '?', sizeof url - 1); /* What was given is copied. */
    fields[0].value = "gone";
    peer_accepts(&f);
    assert_string_equal(peer_receives(&f, 0),
                        "GET /b/../a//./k%2fey%3D=+~%C3%A9?x=%2F&uploads=&a HTTP/1.1\r\nHost: bucket.example\r\n"
                        "User-Agent: sluice\r\nX-Amz-Date: 20150830T123600Z\r\nx-empty:\r\n\r\n");
    peer_sends(&f, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETAG:  \"x\" \r\n\r\nhi");
    await(&f, &r);
    assert_int_equal(r.status, SL_OK);
    assert_int_equal(r.failure, SL_HTTP_FAILED_NOT);
    assert_int_equal(r.code, 200);
    assert_memory_equal(r.body, "hi", 3);
    assert_string_equal(r.etag, "\"x\"");
    assert_true(r.connect_us > 0);
    stop(&f);
}

static size_t counting(void *context, void *bytes, size_t length, uint64_t offset) {
    unsigned *asked = context;
    (*asked)++;
    if (length > 3)
        length = 3;
    for (size_t i = 0; i < length; i++)
        ((char *)bytes)[i] = (char)('a' + (offset + i) % 26);
    return length;
}

static void bodies_come_from_memory_file_and_function(void **state) {
    (void)state;
    fixture f;
    result r;
    unsigned asked = 0;
    start(&f);
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fputs("0123456789", file);
    (void)fflush(file);
    sl_http_call_options all[3] = {get(&f), get(&f), get(&f)};
    all[0].body = "memory";
    all[0].body_length = 6;
    all[1].body_in_file = true;
    all[1].body_file = fileno(file);
    all[1].body_offset = 3;
    all[1].body_length = 4;
    all[2].read = counting;
    all[2].context = &asked;
    all[2].body_length = 8;
    const char *ends[] = {"memory", "3456", "abcdefgh"};
    for (int i = 0; i < 3; i++) {
        all[i].method = i == 1 ? "POST" : "PUT";
        call(&f, &all[i], &r, NULL);
        if (i == 0)
            peer_accepts(&f);
        char *request = peer_receives(&f, (size_t)all[i].body_length);
        char length[64];
        (void)snprintf(length, sizeof length, "\r\nContent-Length: %u\r\n", (unsigned)all[i].body_length);
        assert_non_null(strstr(request, length));
        assert_null(strstr(request, "Expect"));
        assert_string_equal(strstr(request, "\r\n\r\n") + 4, ends[i]);
        peer_sends(&f, "HTTP/1.1 204 No Content\r\n\r\n");
        await(&f, &r);
        assert_int_equal(r.code, 204);
        assert_int_equal(r.sent_bytes, all[i].body_length);
    }
    assert_int_equal(asked, 3);
    (void)fclose(file);
    stop(&f);
}

static void methods_without_body_have_no_length_but_put_says_zero(void **state) {
    (void)state;
    static const struct {
        const char *method, *line;
        bool length;
    } cases[] = {{"HEAD", "HEAD / HTTP/1.1\r\n", false},
                 {"DELETE", "DELETE / HTTP/1.1\r\n", false},
                 {"PUT", "PUT / HTTP/1.1\r\n", true},
                 {"POST", "POST / HTTP/1.1\r\n", true}};
    fixture f;
    result r;
    start(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sl_http_call_options options = get(&f);
        options.method = cases[i].method;
        call(&f, &options, &r, NULL);
        if (i == 0)
            peer_accepts(&f);
        char *request = peer_receives(&f, 0);
        assert_memory_equal(request, cases[i].line, strlen(cases[i].line));
        assert_int_equal(strstr(request, "Content-Length: 0\r\n") != NULL, cases[i].length);
        /* A reply to HEAD has no body, whatever its length says. */
        peer_sends(&f, i == 0 ? "HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n"
                              : "HTTP/1.1 204 No Content\r\n\r\n");
        await(&f, &r);
        assert_int_equal(r.status, SL_OK);
        assert_int_equal(r.code, i == 0 ? 404 : 204);
    }
    stop(&f);
}

/* ---- Connections ---- */

static void kept_connection_is_used_again_and_a_stale_one_replaced(void **state) {
    (void)state;
    fixture f;
    result r;
    start(&f);
    sl_http_call_options options = get(&f);
    options.method = "PUT";
    options.body = "body";
    options.body_length = 4;
    for (int i = 0; i < 2; i++) {
        call(&f, &options, &r, NULL);
        if (i == 0)
            peer_accepts(&f);
        (void)peer_receives(&f, 4);
        peer_sends(&f, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        await(&f, &r);
        assert_int_equal(r.connect_us > 0, i == 0);
    }
    /* The peer takes the third request and hangs up without a byte: it comes again, whole, on a new connection. */
    call(&f, &options, &r, NULL);
    (void)peer_receives(&f, 4);
    peer_accepts(&f);
    assert_string_equal(strstr(peer_receives(&f, 4), "\r\n\r\n") + 4, "body");
    peer_sends(&f, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await(&f, &r);
    assert_int_equal(r.status, SL_OK);
    stop(&f);
}

static void reply_to_a_100_is_not_taken_for_the_reply(void **state) {
    (void)state;
    fixture f;
    result r;
    start(&f);
    sl_http_field expect = {"Expect", "100-continue"};
    sl_http_call_options options = get(&f);
    options.method = "PUT";
    options.fields = &expect;
    options.field_count = 1;
    options.body = "body";
    options.body_length = 4;
    call(&f, &options, &r, NULL);
    peer_accepts(&f);
    assert_non_null(strstr(peer_receives(&f, 0), "Expect: 100-continue\r\n"));
    peer_sends(&f, "HTTP/1.1 100 Continue\r\nETag: early\r\n\r\n");
    peer_sends(&f, "HTTP/1.1 200 OK\r\nETag: late\r\nContent-Length: 0\r\n\r\n");
    await(&f, &r);
    assert_int_equal(r.code, 200);
    assert_string_equal(r.etag, "late");
    stop(&f);
}

static void calls_beyond_the_limit_wait_their_turn(void **state) {
    (void)state;
    fixture f;
    result r[3];
    start_with(&f, (sl_http_client_options){.calls_max = 1});
    sl_http_call_options options = get(&f);
    options.connect_timeout_ms = 2000;
    sl_http_call *second = NULL;
    for (int i = 0; i < 3; i++)
        call(&f, &options, &r[i], i == 1 ? &second : NULL);
    assert_int_equal(sl_http_client_calls(f.client), 3);
    peer_accepts(&f);
    (void)peer_receives(&f, 0);
    sl_http_call_cancel(second);
    assert_int_equal(sl_http_client_calls(f.client), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r[2 * i].told, 0);
        if (i == 1)
            (void)peer_receives(&f, 0);
        peer_sends(&f, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        await(&f, &r[2 * i]);
        assert_int_equal(r[2 * i].code, 200);
    }
    assert_int_equal(r[1].told, 0);
    stop(&f);
}

static void cancelled_call_is_not_told_and_frees_its_place(void **state) {
    (void)state;
    fixture f;
    result gone, r;
    sl_http_call *first = NULL;
    start_with(&f, (sl_http_client_options){.calls_max = 1});
    sl_http_call_options options = get(&f);
    call(&f, &options, &gone, &first);
    peer_accepts(&f);
    (void)peer_receives(&f, 0);
    call(&f, &options, &r, NULL);
    sl_http_call_cancel(first);
    peer_accepts(&f);
    (void)peer_receives(&f, 0);
    peer_sends(&f, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await(&f, &r);
    assert_int_equal(gone.told, 0);
    stop(&f);
}

typedef struct chain {
    fixture *f;
    unsigned left;
    bool destroy;
    unsigned told;
} chain;

static void next_of_chain(void *context, const sl_http_outcome *outcome) {
    chain *c = context;
    (void)outcome;
    c->told++;
    if (c->destroy) {
        sl_http_client_destroy(c->f->client);
        c->f->client = NULL;
    } else if (c->left-- > 0) {
        sl_http_call_options options = get(c->f);
        assert_int_equal(sl_http_client_start(c->f->client, &options, next_of_chain, c, NULL, NULL), SL_OK);
    }
}

static void done_may_start_the_next_and_destroy_the_client(void **state) {
    (void)state;
    fixture f;
    start(&f);
    close(f.listener); /* All are refused. */
    chain c = {.f = &f, .left = 20}, last = {.f = &f, .destroy = true}, never = {.f = &f};
    sl_http_call_options options = get(&f);
    assert_int_equal(sl_http_client_start(f.client, &options, next_of_chain, &c, NULL, NULL), SL_OK);
    for (unsigned i = 0; c.told < 21; i++) {
        assert_true(i < PATIENCE_TURNS);
        pump(&f);
    }
    f.listener = listen_anywhere(&f.port);
    assert_int_equal(sl_http_client_start(f.client, &options, next_of_chain, &last, NULL, NULL), SL_OK);
    char silent[64];
    (void)snprintf(silent, sizeof silent, "http://127.0.0.1:%u/", f.port);
    options.url = silent;
    assert_int_equal(sl_http_client_start(f.client, &options, next_of_chain, &never, NULL, NULL), SL_OK);
    for (unsigned i = 0; last.told == 0; i++) {
        assert_true(i < PATIENCE_TURNS);
        pump(&f);
    }
    stop(&f);
    assert_int_equal(never.told, 0);
}

/* ---- Failures ---- */

static void refused_connection_names_host_and_port(void **state) {
    (void)state;
    fixture f;
    result r;
    char expected[128];
    start(&f);
    close(f.listener);
    sl_http_call_options options = get(&f);
    call(&f, &options, &r, NULL);
    await(&f, &r);
    assert_int_equal(r.status, SL_EIO);
    assert_int_equal(r.failure, SL_HTTP_FAILED_CONNECT);
    assert_int_equal(r.code, 0);
    (void)snprintf(expected, sizeof expected, "connect to 127.0.0.1:%u: Connection refused", f.port);
    assert_string_equal(r.error, expected);
    f.listener = listen_anywhere(&f.port);
    stop(&f);
}

static void unknown_name_is_a_failure_to_resolve(void **state) {
    (void)state;
    fixture f;
    result r;
    start(&f);
    sl_http_call_options options = get(&f);
    options.url = "http://a.name.that.is.too.long.for.one.label."
                  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid/";
    call(&f, &options, &r, NULL);
    await(&f, &r);
    assert_int_equal(r.status, SL_EIO);
    assert_int_equal(r.failure, SL_HTTP_FAILED_RESOLVE);
    assert_memory_equal(r.error, "resolve a.name.that", 19);
    stop(&f);
}

static void silent_peer_ends_in_a_timeout(void **state) {
    (void)state;
    fixture f;
    result r;
    start(&f);
    sl_http_call_options options = get(&f);
    options.total_timeout_ms = 300;
    call(&f, &options, &r, NULL);
    peer_accepts(&f);
    (void)peer_receives(&f, 0);
    await(&f, &r);
    assert_int_equal(r.status, SL_EIO);
    assert_int_equal(r.failure, SL_HTTP_FAILED_TIMEOUT);
    options.total_timeout_ms = 0;
    options.stall_timeout_ms = 1000;
    call(&f, &options, &r, NULL);
    peer_accepts(&f);
    (void)peer_receives(&f, 0);
    await(&f, &r);
    assert_int_equal(r.failure, SL_HTTP_FAILED_TIMEOUT);
    stop(&f);
}

static void handshake_without_an_answer_has_never_arrived(void **state) {
    (void)state;
    fixture f;
    result r;
    char url[64];
    start(&f);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", f.port);
    sl_http_call_options options = get(&f);
    options.url = url;
    options.connect_timeout_ms = 300;
    call(&f, &options, &r, NULL);
    await(&f, &r);
    assert_int_equal(r.status, SL_EIO);
    assert_int_equal(r.failure, SL_HTTP_FAILED_CONNECT);
    assert_non_null(strstr(r.error, "no connection in "));
    stop(&f);
}

static void handshake_cut_off_is_no_question_of_certificates(void **state) {
    (void)state;
    fixture f;
    result r;
    char url[64];
    start(&f);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", f.port);
    sl_http_call_options options = get(&f);
    options.url = url;
    for (int i = 0; i < 3; i++) {
        call(&f, &options, &r, NULL);
        peer_accepts(&f);
        if (i == 1) { /* A reset instead of an end. */
            struct linger none = {1, 0};
            assert_int_equal(setsockopt(f.peer, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
        }
        if (i == 2)
            peer_sends(&f, "HTTP/1.1 400 Bad Request\r\n\r\n");
        else
            hang_up(&f);
        await(&f, &r);
        assert_int_equal(r.status, i == 2 ? SL_EDENIED : SL_EIO);
        assert_int_equal(r.failure, i == 2 ? SL_HTTP_FAILED_TLS : SL_HTTP_FAILED_CONNECT);
    }
    stop(&f);
}

static void reply_cut_off_is_a_lost_connection(void **state) {
    (void)state;
    static const char *const pieces[] = {"", "HTTP/1.1 200 O", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                                         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "SSH-2.0\r\n\r\n"};
    fixture f;
    result r;
    start(&f);
    sl_http_call_options options = get(&f);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        call(&f, &options, &r, NULL);
        peer_accepts(&f);
        (void)peer_receives(&f, 0);
        peer_sends(&f, pieces[i]);
        hang_up(&f);
        await(&f, &r);
        assert_int_equal(r.status, SL_EIO);
        assert_int_equal(r.failure, SL_HTTP_FAILED_LOST);
        assert_memory_equal(r.error, "connection to 127.0.0.1:", 24);
    }
    stop(&f);
}

static void reply_beyond_its_limits_is_refused(void **state) {
    (void)state;
    fixture f;
    result r;
    static char big[80 << 10];
    start(&f);
    sl_http_call_options options = get(&f);
    options.reply_bytes_max = 10;
    const char *replies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
                             "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", big};
    size_t at = (size_t)snprintf(big, sizeof big, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 70; i++) {
        at += (size_t)snprintf(big + at, sizeof big - at, "x-%d: ", i);
        memset(big + at, 'v', 1000);
        at += 1000;
        at += (size_t)snprintf(big + at, sizeof big - at, "\r\n");
    }
    for (int i = 0; i < 3; i++) {
        call(&f, &options, &r, NULL);
        if (i != 1)
            peer_accepts(&f);
        (void)peer_receives(&f, 0);
        if (i == 2)
            (void)send(f.peer, replies[i], strlen(replies[i]), MSG_NOSIGNAL);
        else
            peer_sends(&f, replies[i]);
        await(&f, &r);
        assert_int_equal(r.status, i == 0 ? SL_OK : SL_ELIMIT);
        assert_int_equal(r.failure, i == 0 ? SL_HTTP_FAILED_NOT : SL_HTTP_FAILED_LIMIT);
    }
    stop(&f);
}

static size_t refuse_bytes(void *context, void *bytes, size_t length, uint64_t offset) {
    (void)context;
    (void)bytes;
    (void)length;
    (void)offset;
    return 0;
}

static void body_that_is_not_given_fails_its_call(void **state) {
    (void)state;
    fixture f;
    result r;
    start(&f);
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fputs("short", file);
    (void)fflush(file);
    sl_http_call_options options = get(&f);
    options.method = "PUT";
    options.body_in_file = true;
    options.body_file = fileno(file);
    options.body_length = 9;
    call(&f, &options, &r, NULL);
    await(&f, &r);
    assert_int_equal(r.status, SL_EIO);
    assert_int_equal(r.failure, SL_HTTP_FAILED_BODY);
    assert_non_null(strstr(r.error, "the body's file ends after 5 of 9 bytes"));
    options.body_in_file = false;
    options.read = refuse_bytes;
    call(&f, &options, &r, NULL);
    await(&f, &r);
    assert_int_equal(r.failure, SL_HTTP_FAILED_BODY);
    (void)fclose(file);
    stop(&f);
}

static bool take(void *context, const void *bytes, size_t length) {
    sl_buffer_append(context, bytes, length);
    return ((sl_buffer *)context)->length < 8;
}

static void pieces_of_2xx_go_to_write_and_errors_are_collected(void **state) {
    (void)state;
    fixture f;
    result r;
    sl_buffer taken = SL_BUFFER_EMPTY;
    start(&f);
    sl_http_call_options options = get(&f);
    options.write = take;
    options.context = &taken;
    options.reply_bytes_max = 5;
    call(&f, &options, &r, NULL);
    peer_accepts(&f);
    (void)peer_receives(&f, 0);
    peer_sends(&f, "HTTP/1.1 206 Partial\r\nContent-Length: 7\r\n\r\n1234567");
    await(&f, &r);
    assert_int_equal(r.status, SL_OK);
    assert_int_equal(r.body_length, 0);
    assert_memory_equal(taken.bytes, "1234567", 7);
    call(&f, &options, &r, NULL);
    (void)peer_receives(&f, 0);
    peer_sends(&f, "HTTP/1.1 503 Slow Down\r\nContent-Length: 4\r\n\r\nslow");
    await(&f, &r);
    assert_int_equal(r.code, 503);
    assert_memory_equal(r.body, "slow", 4);
    call(&f, &options, &r, NULL);
    (void)peer_receives(&f, 0);
    peer_sends(&f, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore");
    await(&f, &r);
    assert_int_equal(r.failure, SL_HTTP_FAILED_BODY);
    sl_buffer_fini(&taken);
    stop(&f);
}

static void early_refusal_ends_the_upload(void **state) {
    (void)state;
    fixture f;
    result r;
    static char body[8 << 20];
    start(&f);
    sl_http_call_options options = get(&f);
    options.method = "PUT";
    options.body = body;
    options.body_length = sizeof body;
    call(&f, &options, &r, NULL);
    peer_accepts(&f);
    (void)peer_receives(&f, 0);
    peer_sends(&f, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    await(&f, &r);
    assert_int_equal(r.status, SL_OK);
    assert_int_equal(r.code, 403);
    assert_memory_equal(r.body, "no", 2);
    assert_true(r.sent_bytes < sizeof body);
    stop(&f);
}

/* ---- Many ---- */

typedef struct crowd {
    uint64_t seed;
    sl_http_client *client;
    sl_http_call *calls[32];
    unsigned started, ended, cancelled, replies;
} crowd;

typedef struct member {
    crowd *crowd;
    unsigned place;
} member;

static uint64_t next_random(crowd *c) {
    c->seed ^= c->seed << 13;
    c->seed ^= c->seed >> 7;
    c->seed ^= c->seed << 17;
    return c->seed;
}

static void member_told(void *context, const sl_http_outcome *outcome) {
    member *m = context;
    crowd *c = m->crowd;
    assert_non_null(c->calls[m->place]);
    c->calls[m->place] = NULL;
    c->ended++;
    c->replies += outcome->status == SL_OK && outcome->code == 200;
    if (outcome->status == SL_OK)
        assert_true(outcome->body->length == 5);
    /* Now and then an end takes a neighbour along. */
    unsigned other = (unsigned)(next_random(c) % 32);
    if (next_random(c) % 8 == 0 && c->calls[other] != NULL) {
        sl_http_call_cancel(c->calls[other]);
        c->calls[other] = NULL;
        c->cancelled++;
    }
}

static void greet(void *context, const sl_http_request *request) {
    crowd *c = context;
    if (c != NULL && next_random(c) % 5 == 0)
        sl_http_reply(request->exchange, 503, "text/plain", "Connection: close\r\n", "later", 5);
    else
        sl_http_reply(request->exchange, 200, "text/plain", "", "hello", 5);
}

static void on_closed(void *context) {
    *(bool *)context = true;
}

static void crowd_of_calls_ends_each_once_or_is_cancelled(void **state) {
    (void)state;
    fixture f;
    sl_error error = {0};
    sl_http_server *server = NULL;
    crowd c = {.seed = 42};
    member members[32];
    char urls[3][64];
    static const char body[20000];
    start_with(&f, (sl_http_client_options){.calls_max = 8});
    c.client = f.client;
    sl_http_server_options options = {.listen = "127.0.0.1:0",
                                      .http = {.body_bytes_max = 99999, .handler = greet, .context = &c}};
    assert_int_equal(sl_http_server_create(&f.loop, &options, &server, &error), SL_OK);
    (void)snprintf(urls[0], sizeof urls[0], "http://127.0.0.1:%u/", sl_http_server_port(server));
    (void)snprintf(urls[1], sizeof urls[1], "http://localhost:%u/", sl_http_server_port(server)); /* By a resolver's thread. */
    (void)snprintf(urls[2], sizeof urls[2], "http://127.0.0.1:1/");
    while (c.started < 2000) {
        unsigned place = (unsigned)(next_random(&c) % 32);
        if (c.calls[place] == NULL) {
            sl_http_call_options call = {.method = "POST", .url = urls[next_random(&c) % 16 < 13 ? 0 : next_random(&c) % 2 + 1],
                                         .body = body, .body_length = next_random(&c) % sizeof body, .direct = true};
            members[place] = (member){&c, place};
            assert_int_equal(sl_http_client_start(f.client, &call, member_told, &members[place], &c.calls[place], &error), SL_OK);
            c.started++;
        } else if (next_random(&c) % 16 == 0) {
            sl_http_call_cancel(c.calls[place]);
            c.calls[place] = NULL;
            c.cancelled++;
        }
        if (next_random(&c) % 4 == 0)
            (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    }
    unsigned left = sl_http_client_calls(f.client);
    assert_int_equal(c.started, c.ended + c.cancelled + left);
    assert_true(c.replies > 200);
    bool closed = false; /* The rest is given up in the middle. */
    sl_http_server_close(server, on_closed, &closed);
    sl_http_server_close(server, on_closed, &closed);
    stop(&f);
    assert_int_equal(c.started, c.ended + c.cancelled + left);
    assert_true(closed);
}

static void what_cannot_be_sent_as_given_is_refused(void **state) {
    (void)state;
    static const char *const urls[] = {"ftp://h/",  "http:///x", "http://h/a b",      "http://h/\xc3\xa9", "http://h/#x",
                                       "file:///x", "http://",   "http://u:p@host/x", "http://h/\r\nx",    "h/"};
    static const sl_http_field fields[] = {{"a", "x\r\nb: y"}, {"a b", "x"}, {"", "x"}, {"a:", "x"}, {"a\n", ""}, {"x;", ""}};
    fixture f;
    result r = {0};
    sl_error error;
    start(&f);
    sl_http_call_options options = get(&f);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        options.url = urls[i];
        assert_int_equal(sl_http_client_start(f.client, &options, told, &r, NULL, &error), SL_EINVAL);
    }
    options.url = f.url;
    options.field_count = 1;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        options.fields = &fields[i];
        assert_int_equal(sl_http_client_start(f.client, &options, told, &r, NULL, &error), SL_EINVAL);
    }
    assert_int_equal(sl_http_client_calls(f.client), 0);
    stop(&f);
}

static void every_failed_allocation_ends_in_one_answer(void **state) {
    (void)state;
    sl_http_field field = {"name", "value"};
    unsigned failed = 0;
    for (uint64_t n = 1;; n++) {
        fixture f;
        result r = {0};
        sl_error error = {0};
        memset(&f, 0, sizeof f);
        f.peer = -1;
        f.listener = listen_anywhere(&f.port);
        (void)snprintf(f.url, sizeof f.url, "http://127.0.0.1:%u/", f.port);
        assert_int_equal(uv_loop_init(&f.loop), 0);
        sl_memory_fail_at(n);
        sl_http_client_options client = {.ca_file = "/nowhere"};
        sl_http_call_options options = get(&f);
        options.fields = &field;
        options.field_count = 1;
        sl_status status = sl_http_client_create(&f.loop, &client, &f.client, &error);
        if (status == SL_OK)
            status = sl_http_client_start(f.client, &options, told, &r, NULL, &error);
        if (status == SL_OK) {
            for (unsigned i = 0; f.peer < 0 && r.told == 0; i++) {
                assert_true(i < PATIENCE_TURNS);
                pump(&f);
                f.peer = accept(f.listener, NULL, NULL);
            }
            struct timespec pause = {0, 1000000};
            (void)nanosleep(&pause, NULL);
            if (f.peer >= 0)
                (void)send(f.peer, "HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 2\r\n\r\nhi", 49, MSG_NOSIGNAL);
            await(&f, &r);
            status = r.status;
            assert_int_equal(r.told, 1);
        }
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        stop(&f);
        if (all) {
            assert_int_equal(status, SL_OK);
            break;
        }
        assert_int_equal(status, SL_ENOMEM);
        failed++;
    }
    assert_true(failed >= 6);
}

/* ---- TLS ---- */

static void write_certificate(const char *cert_path, const char *key_path) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_true(key != NULL && cert != NULL);
    (void)X509_set_version(cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    (void)X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    (void)X509_set_issuer_name(cert, name);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
    assert_non_null(names);
    (void)X509_add_ext(cert, names, -1);
    X509_EXTENSION_free(names);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *file = fopen(cert_path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    (void)fclose(file);
    file = fopen(key_path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void tls_is_verified_against_the_ca_file_and_the_name(void **state) {
    (void)state;
    char folder[] = "/tmp/http_client_XXXXXX", cert[64], key[64], url[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(cert, sizeof cert, "%s/cert", folder);
    (void)snprintf(key, sizeof key, "%s/key", folder);
    write_certificate(cert, key);
    static const struct {
        const char *host;
        bool authority;
        sl_status status;
    } cases[] = {{"localhost", true, SL_OK}, {"localhost", false, SL_EDENIED}, {"127.0.0.1", true, SL_EDENIED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture f;
        result r;
        sl_error error = {0};
        sl_http_server *server = NULL;
        bool closed = false;
        start_with(&f, (sl_http_client_options){.ca_file = cases[i].authority ? cert : NULL});
        sl_http_server_options options = {.listen = "127.0.0.1:0", .tls_cert = cert, .tls_key = key,
                                          .http = {.body_bytes_max = 99, .handler = greet}};
        if (sl_http_server_create(&f.loop, &options, &server, &error) != SL_OK)
            fail_msg("%s", error.text);
        (void)snprintf(url, sizeof url, "https://%s:%u/", cases[i].host, sl_http_server_port(server));
        sl_http_call_options request = get(&f);
        request.url = url;
        call(&f, &request, &r, NULL);
        await(&f, &r);
        assert_int_equal(r.status, cases[i].status);
        assert_int_equal(r.failure, cases[i].status == SL_OK ? SL_HTTP_FAILED_NOT : SL_HTTP_FAILED_TLS);
        if (cases[i].status == SL_OK)
            assert_memory_equal(r.body, "hello", 5);
        else
            assert_memory_equal(r.error, "TLS with ", 9);
        sl_http_server_close(server, on_closed, &closed);
        sl_http_server_close(server, on_closed, &closed);
        stop(&f);
        assert_true(closed);
    }
    (void)unlink(cert);
    (void)unlink(key);
    (void)rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url_and_headers_are_sent_as_given),
        cmocka_unit_test(bodies_come_from_memory_file_and_function),
        cmocka_unit_test(methods_without_body_have_no_length_but_put_says_zero),
        cmocka_unit_test(kept_connection_is_used_again_and_a_stale_one_replaced),
        cmocka_unit_test(reply_to_a_100_is_not_taken_for_the_reply),
        cmocka_unit_test(calls_beyond_the_limit_wait_their_turn),
        cmocka_unit_test(cancelled_call_is_not_told_and_frees_its_place),
        cmocka_unit_test(done_may_start_the_next_and_destroy_the_client),
        cmocka_unit_test(refused_connection_names_host_and_port),
        cmocka_unit_test(unknown_name_is_a_failure_to_resolve),
        cmocka_unit_test(silent_peer_ends_in_a_timeout),
        cmocka_unit_test(handshake_without_an_answer_has_never_arrived),
        cmocka_unit_test(handshake_cut_off_is_no_question_of_certificates),
        cmocka_unit_test(reply_cut_off_is_a_lost_connection),
        cmocka_unit_test(reply_beyond_its_limits_is_refused),
        cmocka_unit_test(body_that_is_not_given_fails_its_call),
        cmocka_unit_test(pieces_of_2xx_go_to_write_and_errors_are_collected),
        cmocka_unit_test(early_refusal_ends_the_upload),
        cmocka_unit_test(crowd_of_calls_ends_each_once_or_is_cancelled),
        cmocka_unit_test(what_cannot_be_sent_as_given_is_refused),
        cmocka_unit_test(every_failed_allocation_ends_in_one_answer),
        cmocka_unit_test(tls_is_verified_against_the_ca_file_and_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
