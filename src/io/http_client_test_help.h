/* What tests of the client share: a peer of plain sockets on the same thread, which sends what the test says, byte for byte. */
#pragma once

#include "sluice/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
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
} fixture;

static inline void told(void *context, const sl_http_outcome *outcome) {
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

static inline int listen_anywhere(unsigned *port) {
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

static inline void start_with(fixture *f, sl_http_client_options options) {
    sl_error error = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    memset(f, 0, sizeof *f);
    f->peer = -1;
    f->listener = listen_anywhere(&f->port);
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u/", f->port);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(sl_http_client_create(&f->loop, &options, &f->client, &error), SL_OK);
}

static inline void start(fixture *f) {
    start_with(f, (sl_http_client_options){0});
}

static inline void hang_up(fixture *f) {
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
}

static inline void stop(fixture *f) {
    sl_http_client_destroy(f->client);
    hang_up(f);
    close(f->listener);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

static inline void pump(fixture *f) {
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    struct timespec pause = {0, 100000};
    (void)nanosleep(&pause, NULL);
}

static inline void await(fixture *f, const result *r) {
    for (unsigned i = 0; r->told == 0; i++) {
        assert_true(i < PATIENCE_TURNS);
        pump(f);
    }
}

static inline void peer_accepts(fixture *f) {
    hang_up(f);
    for (unsigned i = 0; f->peer < 0; i++) {
        assert_true(i < PATIENCE_TURNS);
        pump(f);
        f->peer = accept(f->listener, NULL, NULL);
    }
    assert_int_equal(fcntl(f->peer, F_SETFL, O_NONBLOCK), 0);
}

/** Receive until `length` bytes after the empty line. @return all, in a static buffer, 0-terminated. */
static inline char *peer_receives(fixture *f, size_t length) {
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

static inline void peer_sends(fixture *f, const char *text) {
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

static inline sl_http_call_options get(const fixture *f) {
    return (sl_http_call_options){.method = "GET", .url = f->url, .direct = true};
}

static inline void call(fixture *f, const sl_http_call_options *options, result *r, sl_http_call **out) {
    sl_error error = {0};
    memset(r, 0, sizeof *r);
    if (sl_http_client_start(f->client, options, told, r, out, &error) != SL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(r->told, 0);
}
