#include "head.h"
#include "http_peer.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* ---- what is taken ---- */

static void request_is_answered_with_length_and_kept_alive(void **state) {
    (void)state;
    peer p = {0};
    assert_true(peer_open(&p));
    peer_text(&p, "POST /a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nX-Note:  n "
                  "\t\r\nContent-Length: 5\r\n\r\nhello");
    assert_string_equal(sl_buffer_cstr(&p.log), "POST /a b?x=1&y [n] 5:hello\n");
    assert_string_equal(peer_output(&p), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                         "Content-Length: 7\r\n\r\nPOST#1\n");
    assert_false(sl_http_connection_wants_close(p.connection));
    assert_int_equal(sl_http_connection_phase(p.connection), SL_HTTP_IDLE);
    peer_close(&p);
}

static void date_follows_the_tick(void **state) {
    (void)state;
    peer p = {.options.shared = sl_http_shared_create(NULL)};
    assert_true(peer_open(&p));
    sl_http_shared_tick(p.options.shared,
                        784111777); /* RFC 9110 section 5.6.7's own example. */
    peer_text(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(
        strstr(peer_output(&p), "\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    peer_close(&p);
    sl_http_shared_destroy(p.options.shared);
}

static void head_gets_no_body(void **state) {
    (void)state;
    peer p = {0};
    assert_true(peer_open(&p));
    peer_text(&p, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(peer_output(&p), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                         "Content-Length: 7\r\n\r\n"
                                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                         "Content-Length: 6\r\n\r\nGET#2\n");
    peer_close(&p);
}

static void version_1_0_and_close_end_the_connection(void **state) {
    (void)state;
    static const char *const requests[] = {
        "GET / HTTP/1.0\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: x , Close\r\n\r\nGET /2 "
        "HTTP/1.1\r\nHost: h\r\n\r\n"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        peer p = {0};
        assert_true(peer_open(&p));
        peer_text(&p, requests[i]);
        assert_int_equal(p.handled, 1);
        assert_non_null(strstr(peer_output(&p), "\r\nConnection: close\r\n"));
        assert_true(sl_http_connection_wants_close(p.connection));
        peer_close(&p);
    }
}

static void targets_are_paths_or_absolute(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"http://h.example/x?q", "GET /x?q [] 0:\n"},
        {"HTTPS://h.example:8080", "GET /? [] 0:\n"},
        {"http://h?q=1", "GET /?q=1 [] 0:\n"},
        {"//x", "GET //x? [] 0:\n"},
        {"/%41%62%C3%A9?%41", "GET /Ab\xc3\xa9?%41 [] 0:\n"},
        {"*", ""},
        {"http:///x", ""},
        {"http://", ""},
        {"ftp://x/y", ""},
        {"x", ""},
        {"/a#b", ""},
        {"/%00", ""},
        {"/%0a", ""},
        {"/%4", ""},
        {"/%zz", ""},
        {"/\x80", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        peer p = {0};
        char request[128];
        (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n",
                       cases[i][0]);
        assert_true(peer_open(&p));
        peer_text(&p, request);
        assert_string_equal(sl_buffer_cstr(&p.log), cases[i][1]);
        if (*cases[i][1] == 0)
            assert_memory_equal(peer_output(&p), "HTTP/1.1 400 ", 13);
        peer_close(&p);
    }
}

static void continue_is_said_only_when_the_body_is_wanted(void **state) {
    (void)state;
    peer p = {.options.body_bytes_max = 100};
    assert_true(peer_open(&p));
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: "
                  "2\r\n\r\n");
    assert_string_equal(peer_output(&p), "HTTP/1.1 100 Continue\r\n\r\n");
    peer_text(&p, "ok");
    assert_int_equal(p.handled, 1);
    p.output.length = 0; /* Chunked as well. */
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nExpect: "
                  "100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_string_equal(peer_output(&p), "HTTP/1.1 100 Continue\r\n\r\n");
    peer_text(&p, "2\r\nok\r\n0\r\n\r\n");
    p.output.length = 0; /* The body is there already. */
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
                  "2\r\n\r\nok");
    assert_memory_equal(peer_output(&p), "HTTP/1.1 200 ", 13);
    p.output.length = 0; /* Too large: refused before it is sent. */
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
                  "101\r\n\r\n");
    assert_memory_equal(peer_output(&p), "HTTP/1.1 413 ", 13);
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
}

static void continue_waits_for_earlier_replies(void **state) {
    (void)state;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
                  "POST /2 HTTP/1.1\r\nHost: h\r\nExpect: "
                  "100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_string_equal(peer_output(&p), "");
    peer_answer(&p, 0);
    const char *second = strstr(peer_output(&p), "reply 0\n");
    assert_non_null(second);
    assert_string_equal(second, "reply 0\nHTTP/1.1 100 Continue\r\n\r\n");
    peer_text(&p, "ok");
    assert_int_equal(p.handled, 2);
    peer_answer(&p, 1);
    peer_close(&p);
}

/* ---- order ---- */

static void replies_leave_in_order_of_requests(void **state) {
    (void)state;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /0 HTTP/1.1\r\nHost: h\r\n\r\nGET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
                  "GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\n\r\n");
    assert_int_equal(p.handled, 3); /* The fourth lacks Host. */
    assert_string_equal(peer_output(&p), "");
    peer_answer(&p, 2);
    peer_answer(&p, 1);
    assert_string_equal(peer_output(&p), "");
    assert_false(sl_http_connection_wants_close(p.connection));
    peer_answer(&p, 0);
    const char *zero = strstr(peer_output(&p), "reply 0"),
               *one = strstr(peer_output(&p), "reply 1");
    const char *two = strstr(peer_output(&p), "reply 2"),
               *bad = strstr(peer_output(&p), " 400 ");
    assert_true(zero != NULL && zero < one && one < two && two < bad);
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
}

static void too_many_outstanding_pause_and_go_on(void **state) {
    (void)state;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    for (int i = 0; i < 70; i++)
        peer_text(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(p.handled, 64);
    assert_true(sl_http_connection_paused(p.connection));
    assert_int_equal(sl_http_connection_phase(p.connection), SL_HTTP_REPLY);
    for (unsigned i = 0; i < 10; i++)
        peer_answer(&p, i);
    assert_int_equal(p.handled, 64); /* Never from inside a reply. */
    assert_false(sl_http_connection_paused(p.connection));
    sl_http_connection_feed(p.connection, NULL, 0);
    assert_int_equal(p.handled, 70);
    for (unsigned i = 10; i < 70; i++)
        peer_answer(&p, i);
    assert_int_equal(sl_http_connection_phase(p.connection), SL_HTTP_IDLE);
    peer_close(&p);
}

/** A handler that answers with a long page at once. */
static void handle_long(void *context, const sl_http_request *request) {
    static char text[100000];
    ((peer *)context)->handled++;
    sl_http_reply(request->exchange, 200, "text/plain", "", text, sizeof text);
}

static void long_replies_to_a_pipeline_wait_for_the_next_feed(void **state) {
    (void)state;
    peer p = {.options.handler = handle_long};
    assert_true(peer_open(&p));
    sl_buffer requests = SL_BUFFER_EMPTY;
    for (int i = 0; i < 20; i++)
        sl_buffer_text(&requests, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    peer_feed(&p, requests.bytes, requests.length);
    assert_int_equal(p.handled, 3);
    sl_http_connection_finish(p.connection);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(sl_http_connection_holds(p.connection), i < 6);
        sl_http_connection_feed(p.connection, NULL, 0);
    }
    assert_int_equal(p.handled, 20);
    assert_true(sl_http_connection_wants_close(p.connection));
    sl_buffer_fini(&requests);
    peer_close(&p);
}

static void late_reply_to_a_lost_peer_is_dropped(void **state) {
    (void)state;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /0 HTTP/1.1\r\nHost: h\r\nX-Note: n\r\n\r\nGET /1 "
                  "HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(sl_http_header(p.waiting[0], "x-note"),
                        ""); /* Only while it is handled. */
    peer_answer(&p, 1);
    sl_http_connection_destroy(p.connection);
    p.connection = NULL;
    peer_answer(&p, 0);
    assert_string_equal(peer_output(&p), "");
    peer_close(&p);
}

static void count_gone(void *context) { ++*(unsigned *)context; }

static void reply_without_an_end_comes_in_chunks(void **state) {
    (void)state;
    unsigned gone = 0;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /0 HTTP/1.1\r\nHost: h\r\n\r\nGET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    sl_http_stream_begin(p.waiting[0], "text/x", "X-A: b\r\n", count_gone, &gone);
    assert_string_equal(peer_output(&p), "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nTransfer-Encoding: chunked\r\n"
                                         "X-A: b\r\n\r\n");
    sl_buffer_clear(&p.output);
    sl_http_stream_write(p.waiting[0], "0123456789abcdef!", 17);
    sl_http_stream_write(p.waiting[0], "", 0);
    assert_string_equal(peer_output(&p), "11\r\n0123456789abcdef!\r\n");
    sl_buffer_clear(&p.output);
    peer_answer(&p, 1); /* Its turn comes afterwards. */
    assert_string_equal(peer_output(&p), "");
    sl_http_connection_unsent(p.connection, 70);
    assert_int_equal(sl_http_stream_unsent(p.waiting[0]), 70);
    sl_http_stream_end(p.waiting[0], false);
    assert_ptr_equal(strstr(peer_output(&p), "0\r\n\r\nHTTP/1.1 200 OK\r\n"), peer_output(&p));
    assert_int_equal(gone, 0);
    assert_false(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
}

static void stream_waits_for_its_turn_in_a_pipeline(void **state) {
    (void)state;
    unsigned gone = 0;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /0 HTTP/1.1\r\nHost: h\r\n\r\nGET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    sl_http_stream_begin(p.waiting[1], "text/x", "", count_gone, &gone);
    sl_http_stream_write(p.waiting[1], "one", 3);
    assert_string_equal(peer_output(&p), "");
    assert_true(sl_http_stream_unsent(p.waiting[1]) > 3);
    peer_answer(&p, 0);
    assert_non_null(strstr(peer_output(&p), "3\r\none\r\n"));
    assert_int_equal(sl_http_stream_unsent(p.waiting[1]), 0);
    sl_buffer_clear(&p.output);
    sl_http_stream_write(p.waiting[1], "two", 3);
    assert_string_equal(peer_output(&p), "3\r\ntwo\r\n");
    peer_close(&p);
    assert_int_equal(gone, 1);
}

static void stream_to_http_1_0_ends_with_its_connection(void **state) {
    (void)state;
    unsigned gone = 0;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /0 HTTP/1.0\r\nHost: h\r\n\r\n");
    sl_http_stream_begin(p.waiting[0], "text/x", "", count_gone, &gone);
    sl_http_stream_write(p.waiting[0], "one", 3);
    assert_string_equal(peer_output(&p), "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nConnection: close\r\n\r\none");
    assert_false(sl_http_connection_wants_close(p.connection));
    sl_http_stream_end(p.waiting[0], false);
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
    assert_int_equal(gone, 0);
}

static void reader_of_a_stream_that_says_goodbye_is_gone(void **state) {
    (void)state;
    unsigned gone = 0;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /0 HTTP/1.1\r\nHost: h\r\n\r\n");
    sl_http_stream_begin(p.waiting[0], "text/x", "", count_gone, &gone);
    sl_http_connection_finish(p.connection);
    assert_true(sl_http_connection_broken(p.connection));
    assert_true(sl_http_connection_wants_close(p.connection));
    size_t said = p.output.length;
    sl_http_stream_write(p.waiting[0], "more", 4); /* Into nothing. */
    assert_int_equal(p.output.length, said);
    peer_close(&p);
    assert_int_equal(gone, 1);
}

static void stream_that_is_cut_takes_its_connection_along(void **state) {
    (void)state;
    unsigned gone = 0;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET /0 HTTP/1.1\r\nHost: h\r\n\r\n");
    sl_http_stream_begin(p.waiting[0], "text/x", "", count_gone, &gone);
    size_t said = p.output.length;
    sl_http_stream_end(p.waiting[0], true);
    assert_int_equal(p.output.length, said);
    assert_true(sl_http_connection_broken(p.connection));
    peer_close(&p);
    assert_int_equal(gone, 0);
}

static void half_closed_peer_still_gets_its_replies(void **state) {
    (void)state;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    for (int i = 0; i < 66; i++)
        peer_text(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    sl_http_connection_finish(p.connection);
    assert_false(sl_http_connection_wants_close(p.connection));
    for (unsigned i = 0; i < 64; i++)
        peer_answer(&p, i);
    sl_http_connection_feed(p.connection, NULL, 0);
    assert_int_equal(p.handled, 66);
    assert_false(sl_http_connection_wants_close(p.connection));
    peer_answer(&p, 64);
    peer_answer(&p, 65);
    assert_true(sl_http_connection_wants_close(p.connection));
    assert_null(strstr(peer_output(&p), " 400 "));
    peer_close(&p);
}

static void end_within_a_request_is_refused(void **state) {
    (void)state;
    static const char *const parts[] = {
        "GET / HT", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"};
    for (size_t i = 0; i < 3; i++) {
        peer p = {0};
        assert_true(peer_open(&p));
        peer_text(&p, parts[i]);
        sl_http_connection_finish(p.connection);
        assert_int_equal(p.handled, 0);
        assert_memory_equal(peer_output(&p), "HTTP/1.1 400 ", 13);
        assert_true(sl_http_connection_wants_close(p.connection));
        peer_close(&p);
    }
}

static void slow_request_gets_408(void **state) {
    (void)state;
    peer p = {0};
    assert_true(peer_open(&p));
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\n");
    assert_int_equal(sl_http_connection_phase(p.connection), SL_HTTP_HEADER);
    sl_http_connection_timeout(p.connection);
    assert_memory_equal(peer_output(&p), "HTTP/1.1 408 ", 13);
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
    p = (peer){0};
    assert_true(peer_open(&p));
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc");
    assert_int_equal(sl_http_connection_phase(p.connection), SL_HTTP_BODY);
    sl_http_connection_timeout(p.connection);
    assert_memory_equal(peer_output(&p), "HTTP/1.1 408 ", 13);
    peer_close(&p);
    p = (peer){0};
    assert_true(peer_open(&p)); /* Idle: nothing to say. */
    sl_http_connection_timeout(p.connection);
    assert_string_equal(peer_output(&p), "");
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
}

static void draining_connection_ends_with_its_last_reply(void **state) {
    (void)state;
    peer p = {.later = true};
    assert_true(peer_open(&p));
    peer_text(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    sl_http_connection_drain(p.connection);
    assert_false(sl_http_connection_wants_close(p.connection));
    peer_answer(&p, 0);
    assert_non_null(strstr(peer_output(&p), "\r\nConnection: close\r\n"));
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
    p = (peer){0};
    assert_true(peer_open(&p));
    sl_http_connection_drain(p.connection);
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
    p = (peer){0}; /* Half a request is still taken. */
    assert_true(peer_open(&p));
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    sl_http_connection_drain(p.connection);
    assert_false(sl_http_connection_wants_close(p.connection));
    peer_text(&p, "b");
    assert_int_equal(p.handled, 1);
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
}

/* ---- limits and memory ---- */

static int refuse_all(void *context, const char *method, const char *path,
                      sl_http_exchange *exchange) {
    (void)context;
    (void)method;
    assert_string_equal(sl_http_header(exchange, "host"), "h");
    assert_int_equal(sl_http_header_count(exchange, "host"), 1);
    return strcmp(path, "/no") == 0 ? 404 : 0;
}

static void body_of_a_refused_request_is_skipped(void **state) {
    (void)state;
    peer p = {.options.admit = refuse_all};
    assert_true(peer_open(&p));
    peer_text(&p,
              "POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nGET /smuggled");
    assert_memory_equal(peer_output(&p), "HTTP/1.1 404 ", 13);
    peer_text(&p, " HTTP/1.1\r\nHost: ");
    peer_text(
        &p, "POST /no HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
    peer_text(&p, "c\r\n0\r\n\r\nGET /yes HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(sl_buffer_cstr(&p.log), "GET /yes? [] 0:\n");
    assert_false(sl_http_connection_wants_close(p.connection));
    p.output.length = 0; /* Whether the body comes isn't known after Expect: closed. */
    peer_text(&p, "POST /no HTTP/1.1\r\nHost: h\r\nExpect: "
                  "100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_memory_equal(peer_output(&p), "HTTP/1.1 404 ", 13);
    assert_non_null(strstr(peer_output(&p), "Connection: close"));
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
}

static void full_budget_is_429_and_the_body_is_skipped(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 65536 + 8192);
    peer p = {.options.budget = &budget};
    assert_true(peer_open(&p));
    static char body[20000];
    memset(body, 'x', sizeof body);
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
    assert_memory_equal(peer_output(&p), "HTTP/1.1 429 ", 13);
    assert_non_null(strstr(peer_output(&p), "\r\nRetry-After: 1\r\n"));
    peer_feed(&p, body, sizeof body);
    p.output.length = 0;
    peer_text(&p,
              "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n");
    peer_feed(&p, body, sizeof body);
    assert_memory_equal(peer_output(&p), "HTTP/1.1 429 ", 13);
    peer_text(&p,
              "\r\n0\r\n\r\nPOST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    peer_text(&p, "good");
    assert_string_equal(sl_buffer_cstr(&p.log), "POST /ok? [] 4:good\n");
    p.output.length = 0; /* After Expect the body may not come: closed. */
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                  "Content-Length: 20000\r\n\r\n");
    assert_memory_equal(peer_output(&p), "HTTP/1.1 429 ", 13);
    assert_non_null(strstr(peer_output(&p), "\r\nConnection: close\r\n"));
    assert_true(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
    assert_int_equal(sl_budget_used(&budget), 0);
}

static void heads_and_bodies_have_limits(void **state) {
    (void)state;
    sl_buffer text = SL_BUFFER_EMPTY;
    peer p = {0};
    assert_true(peer_open(&p));
    sl_buffer_text(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    for (int i = 0; i < 20000; i++)
        sl_buffer_byte(&text, 'x');
    sl_buffer_text(&text, "\r\n\r\n");
    peer_text(&p, sl_buffer_cstr(&text));
    assert_memory_equal(peer_output(&p), "HTTP/1.1 431 ", 13);
    peer_close(&p);
    for (int fields = 100; fields <= 101; fields++) {
        p = (peer){0};
        assert_true(peer_open(&p));
        sl_buffer_clear(&text);
        text.length = 0;
        sl_buffer_text(&text, "GET / HTTP/1.1\r\nHost: h\r\n");
        for (int i = 1; i < fields; i++)
            sl_buffer_printf(&text, "X-%d: y\r\n", i);
        sl_buffer_text(&text, "\r\n");
        peer_text(&p, sl_buffer_cstr(&text));
        assert_memory_equal(peer_output(&p),
                            fields == 100 ? "HTTP/1.1 200 " : "HTTP/1.1 431 ", 13);
        peer_close(&p);
    }
    sl_buffer_fini(&text);
    static const char *const large[] = {
        "Content-Length: 1001\r\n\r\n", "Content-Length: 999999999999999999\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3e9\r\nx",
        "Transfer-Encoding: chunked\r\n\r\n3e8\r\n%1000x\r\n1\r\nx",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffe\r\nx"};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        p = (peer){.options.body_bytes_max = 1000};
        assert_true(peer_open(&p));
        peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\n");
        const char *many = strstr(large[i], "%1000x");
        peer_feed(&p, large[i],
                  many != NULL ? (size_t)(many - large[i]) : strlen(large[i]));
        for (int x = 0; many != NULL && x < 1000; x++)
            peer_text(&p, "x");
        if (many != NULL)
            peer_text(&p, many + 6);
        assert_memory_equal(peer_output(&p), "HTTP/1.1 413 ", 13);
        assert_true(sl_http_connection_wants_close(p.connection));
        assert_int_equal(p.handled, 0);
        peer_close(&p);
    }
}

/* ---- what is refused ---- */

static void ambiguous_framing_is_refused_and_closed(void **state) {
    (void)state;
    static const char *const cases[] = {
        /* Lengths that two readers may understand differently. */
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: "
        "5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: "
        "5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: "
        "6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5.0\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 00000000000000000005\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\nContent-Length : "
        "6\r\n\r\nhello",
        /* Transfer codings. */
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "cow\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    /* Chunks. */
#define CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        CHUNKED "5;a=b\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5 \r\nhello\r\n0\r\n\r\n",
        CHUNKED " 5\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5\nhello\r\n0\r\n\r\n",
        CHUNKED "5\r\nhello\n0\r\n\r\n",
        CHUNKED "5\r\nhello0\r\n\r\n",
        CHUNKED "5\r\nhelloX\r\n0\r\n\r\n",
        CHUNKED "0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED "+5\r\nhello\r\n0\r\n\r\n",
        CHUNKED "-1\r\nhello\r\n0\r\n\r\n",
        CHUNKED "\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5\rhello\r\n0\r\n\r\n",
        CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n",
        CHUNKED "00000000000000005\r\nhello\r\n0\r\n\r\n",
        CHUNKED "g\r\n",
        CHUNKED ";\r\n",
        CHUNKED "0;\r\n\r\n",
        CHUNKED "0\r\nX-Trailer: y\r\n\r\n",
        CHUNKED "0\r\nContent-Length: 5\r\n\r\n",
        CHUNKED "0\r\n\n",
        CHUNKED "0\n\n",
        CHUNKED "0\r\n\rX",
        CHUNKED "5;\nhello\r\n0\r\n\r\n",
        /* Lines. */
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\rHost: h\r\r",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX:\r\n Content-Length: 5\r\nContent-Length: "
        "0\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX y: z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX : z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: \x7f\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX(y): z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\x80: z\r\n\r\n",
        /* Host. */
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        /* The request line. */
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\r\nHost: h\r\n\r\n",
        "GET / HTTP/11\r\nHost: h\r\n\r\n",
        "GET / http/1.1\r\nHost: h\r\n\r\n",
        "GET / RTSP/1.0\r\nHost: h\r\n\r\n",
        "SOURCE / ICE/1.0\r\nHost: h\r\n\r\n",
        "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
        "get / HTTP/1.1\r\nHost: h\r\n\r\n",
        "G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\x16\x03\x01\x02",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step < 1000; step += 998) {
            peer p = {0};
            assert_true(peer_open(&p));
            size_t length = strlen(cases[i]);
            for (size_t at = 0; at < length; at += step)
                peer_feed(&p, cases[i] + at, step < length - at ? step : length - at);
            peer_text(&p, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
            if (p.handled != 0 || memcmp(peer_output(&p), "HTTP/1.1 400 ", 13) != 0 ||
                strstr(peer_output(&p), "\r\nConnection: close\r\n") == NULL ||
                strstr(peer_output(&p) + 1, "HTTP/1.1 ") != NULL ||
                !sl_http_connection_wants_close(p.connection))
                fail_msg("case %zu is not refused: %s -> %s%s", i, cases[i],
                         sl_buffer_cstr(&p.log), peer_output(&p));
            peer_close(&p);
        }
    }
}

static void nul_in_a_header_is_refused(void **state) {
    (void)state;
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n";
    peer p = {0};
    assert_true(peer_open(&p));
    peer_feed(&p, request, sizeof request - 1);
    assert_int_equal(p.handled, 0);
    assert_memory_equal(peer_output(&p), "HTTP/1.1 400 ", 13);
    peer_close(&p);
}

/* Below llhttp, which sees most of them first. */
static void control_character_anywhere_in_a_value_is_refused(void **state) {
    (void)state;
    static const unsigned char bytes[] = {1, 8, '\t', 10 + 1, 31, ' ', '~', 127, 128, 255};
    for (size_t length = 1; length <= 26; length++)
        for (size_t at = 0; at < length; at++)
            for (size_t i = 0; i < sizeof bytes; i++) {
                char request[96] = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
                const size_t begin = strlen(request);
                memset(request + begin, 'v', length);
                request[begin + length / 2] = '\t'; /* Allowed, and no plain text. */
                request[begin + at] = (char)bytes[i];
                memcpy(request + begin + length, "\r\n\r\n", 4);
                const char *why = "";
                http_head head;
                const bool good = bytes[i] == '\t' || (bytes[i] >= 32 && bytes[i] != 127);
                assert_int_equal(http_head_read(&head, request, begin + length + 4, &why), good ? 0 : 400);
            }
}

static void field_is_found_by_its_name_in_any_case(void **state) {
    (void)state;
    char request[] = "GET / HTTP/1.1\r\nHost: h\r\nA_b^~|1: 1\r\na_B^~|1: 2\r\nContent-Type: t\r\n\r\n";
    const char *why = "";
    http_head head;
    assert_int_equal(http_head_read(&head, request, sizeof request - 1, &why), 0);
    static const struct {
        const char *name;
        unsigned count;
    } cases[] = {{"host", 1},         {"a_b^~|1", 2},      {"a_b^~|2", 0},      {"a_b^^|1", 0},     {"a\x7f" "b^~|1", 0},
                 {"content-type", 1}, {"content-typf", 0}, {"content-typ", 0}, {"contenu-type", 0}, {"zzzzzzz", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned count;
        const http_field *field = http_head_field(&head, cases[i].name, &count);
        assert_int_equal(count, cases[i].count);
        assert_true((field != NULL) == (cases[i].count > 0));
    }
}

static void unknown_things_get_their_own_status(void **state) {
    (void)state;
    static const struct {
        const char *head, *status;
    } cases[] = {
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
         "HTTP/1.1 501 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nExpect: cookies\r\n\r\n", "HTTP/1.1 417 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: br\r\n\r\n", "HTTP/1.1 415 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip, gzip\r\n\r\n",
         "HTTP/1.1 415 "},
        /* What breaks framing counts for more than what is merely unknown. */
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: br\r\nContent-Length: "
         "x\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Encoding: br\r\n\r\n", "HTTP/1.1 400 "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        peer p = {0};
        assert_true(peer_open(&p));
        peer_text(&p, cases[i].head);
        assert_memory_equal(peer_output(&p), cases[i].status, 13);
        assert_true(sl_http_connection_wants_close(p.connection));
        peer_close(&p);
    }
}

/* ---- splits ---- */

static const char long_conversation[] =
    "\r\n\r\nPOST /one HTTP/1.1\r\nHost: h\r\nX-Note: first\r\nContent-Length: "
    "12\r\n\r\nhello\r\nworld"
    "GET /two?a=%20 HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    "POST /three HTTP/1.1\r\nHost: [::1]:80\r\nX-Note: chunks\r\nTransfer-Encoding: "
    "Chunked\r\n\r\n"
    "1\r\na\r\n00A\r\n0123456789\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n"
    "POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nskip"
    "POST /no HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
    "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    "PUT /empty HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n"
    "HEAD /four HTTP/1.1\r\nHost: h\r\n\r\n\r\n"
    "POST /five HTTP/1.1\r\nHost: h\r\nX-Note: last\r\nConnection: "
    "close\r\nContent-Length: 3\r\n\r\nend"
    "GET /never HTTP/1.1\r\nHost: h\r\n\r\n";

static void any_split_gives_the_same_result(void **state) {
    (void)state;
    size_t length = sizeof long_conversation - 1;
    peer whole = {.options.admit = NULL};
    assert_true(peer_open(&whole));
    peer_feed(&whole, long_conversation, length);
    assert_int_equal(whole.handled, 8);
    uint64_t random = 42;
    for (int round = 0; round < 600; round++) {
        peer p = {0};
        assert_true(peer_open(&p));
        size_t at = 0;
        while (at < length) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t step =
                round == 0 ? 1 : (size_t)(random >> 33) % (round % 3 == 0 ? 200 : 20) + 1;
            if (step > length - at)
                step = length - at;
            if ((random >> 20 & 3) == 0) /* From elsewhere now and then. */
                sl_http_connection_feed(p.connection, long_conversation + at, step);
            else
                peer_feed(&p, long_conversation + at, step);
            at += step;
        }
        assert_string_equal(sl_buffer_cstr(&p.log), sl_buffer_cstr(&whole.log));
        assert_string_equal(peer_output(&p), peer_output(&whole));
        assert_true(sl_http_connection_wants_close(p.connection));
        peer_close(&p);
    }
    peer_close(&whole);
}

static void large_body_is_read_to_its_place(void **state) {
    (void)state;
    size_t length = 350000;
    uint8_t *body = sl_malloc(length);
    assert_non_null(body);
    for (size_t i = 0; i < length; i++)
        body[i] = (uint8_t)('a' + i % 23);
    peer p = {0};
    assert_true(peer_open(&p));
    for (int round = 0; round < 3; round++) {
        p.log.length = 0;
        peer_text(&p, "POST /big HTTP/1.1\r\nHost: h\r\nX-Note: kept\r\nContent-Length: "
                      "350000\r\n\r\n");
        peer_feed(&p, body, 100);
        size_t room;
        const uint8_t *place = sl_http_connection_room(p.connection, &room);
        assert_int_equal(room, length - 100); /* Not one byte of the next request. */
        assert_memory_equal(place - 100, body, 100);
        peer_feed(&p, body + 100, length - 100);
        assert_memory_equal(p.log.bytes, "POST /big? [kept] 350000:", 25);
        assert_memory_equal(p.log.bytes + 25, body, length);
        /* What is left of a read that held the beginning doesn't matter either. */
        sl_buffer request = SL_BUFFER_EMPTY;
        sl_buffer_text(&request,
                       "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 350000\r\n\r\n");
        sl_buffer_append(&request, body, length);
        p.log.length = 0;
        peer_feed(&p, request.bytes, request.length);
        assert_memory_equal(p.log.bytes + 21, body, length);
        sl_buffer_fini(&request);
    }
    peer_close(&p);
    sl_free(body);
}

/* ---- content codings ---- */

static size_t deflate_to(uint8_t *out, size_t room, const void *in, size_t length,
                         int bits) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    union {
        const void *from;
        uint8_t *to;
    } input = {.from = in};
    z.next_in = input.to;
    z.avail_in = (unsigned)length;
    z.next_out = out;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

/** One coded request; its status, and the decoded length in the log. */
static int coded(peer *p, const char *coding, const void *body, size_t length) {
    char head[160];
    int n = snprintf(head, sizeof head,
                     "POST /c HTTP/1.1\r\nHost: h\r\nContent-Encoding: "
                     "%s\r\nContent-Length: %zu\r\n\r\n",
                     coding, length);
    p->output.length = p->log.length = 0;
    peer_feed(p, head, (size_t)n);
    peer_feed(p, body, length);
    return atoi(peer_output(p) + 9);
}

static void coded_bodies_are_decoded(void **state) {
    (void)state;
    static const char text[] = "{\"a\":1}\n{\"a\":2}\n";
    size_t length = sizeof text - 1;
    uint8_t out[512];
    peer p = {0};
    assert_true(peer_open(&p));
    static const struct {
        const char *name;
        int bits;
    } zlibs[] = {{"gzip", 31}, {"x-gzip", 31}, {"deflate", 15}, {"Deflate", -15}};
    const char *expected = "POST /c? [] 16:{\"a\":1}\n{\"a\":2}\n\n";
    for (size_t i = 0; i < 4; i++) {
        size_t n = deflate_to(out, sizeof out, text, length, zlibs[i].bits);
        assert_int_equal(coded(&p, zlibs[i].name, out, n), 200);
        assert_string_equal(sl_buffer_cstr(&p.log), expected);
        /* One byte short, one byte more, one byte changed. */
        assert_int_equal(coded(&p, zlibs[i].name, out, n - 1), 400);
        out[n] = 0;
        assert_int_equal(coded(&p, zlibs[i].name, out, n + 1), 400);
    }
    size_t n = ZSTD_compress(out, sizeof out, text, length, 1);
    assert_int_equal(coded(&p, "zstd", out, n), 200);
    assert_string_equal(sl_buffer_cstr(&p.log), expected);
    assert_int_equal(coded(&p, "zstd", out, n - 1), 400);
    out[n] = 0;
    assert_int_equal(coded(&p, "zstd", out, n + 1), 400);
    assert_int_equal(coded(&p, "zstd", text, length), 400);
    assert_int_equal(coded(&p, "gzip", text, length), 400);
    assert_int_equal(coded(&p, "gzip", "", 0), 400);
    assert_int_equal(coded(&p, "identity", text, length), 200);
    assert_false(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
}

static void several_members_and_frames_are_one_body(void **state) {
    (void)state;
    uint8_t out[1024];
    peer p = {0};
    assert_true(peer_open(&p));
    size_t n = deflate_to(out, sizeof out, "abc", 3, 31);
    n += deflate_to(out + n, sizeof out - n, "", 0, 31);
    n += deflate_to(out + n, sizeof out - n, "defg", 4, 31);
    assert_int_equal(coded(&p, "gzip", out, n), 200);
    assert_string_equal(sl_buffer_cstr(&p.log), "POST /c? [] 7:abcdefg\n");
    n = ZSTD_compress(out, sizeof out, "abc", 3, 1);
    n += ZSTD_compress(out + n, sizeof out - n, "defg", 4, 1);
    assert_int_equal(coded(&p, "zstd", out, n), 200);
    assert_string_equal(sl_buffer_cstr(&p.log), "POST /c? [] 7:abcdefg\n");
    peer_close(&p);
}

static size_t zstd_without_size(uint8_t *out, size_t room, const void *in,
                                size_t length) {
    ZSTD_CCtx *context = ZSTD_createCCtx();
    assert_int_equal(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0), 0);
    size_t n = ZSTD_compress2(context, out, room, in, length);
    assert_false(ZSTD_isError(n));
    ZSTD_freeCCtx(context);
    return n;
}

static void bombs_stop_at_the_limit(void **state) {
    (void)state;
    size_t length = 8 << 20, room = 1 << 20;
    char *zeros = sl_calloc(1, length);
    uint8_t *out = sl_malloc(room);
    assert_true(zeros != NULL && out != NULL);
    sl_budget budget;
    sl_budget_init(&budget, 8 << 20);
    peer p = {.options = {.body_bytes_max = 1 << 20, .budget = &budget}};
    assert_true(peer_open(&p));
    size_t n = deflate_to(out, room, zeros, length, 31);
    assert_int_equal(coded(&p, "gzip", out, n), 413);
    n = ZSTD_compress(out, room, zeros, length, 1);
    assert_int_equal(coded(&p, "zstd", out, n), 413);
    n = zstd_without_size(out, room, zeros, length);
    assert_int_equal(coded(&p, "zstd", out, n), 413);
    assert_true(atomic_load(&budget.peak) < (4 << 20));
    /* Exactly the limit is fine, in each way; one more isn't. */
    for (size_t more = 0; more < 2; more++) {
        int status = more == 0 ? 200 : 413;
        size_t size = (1 << 20) + more;
        n = deflate_to(out, room, zeros, size, 31);
        assert_int_equal(coded(&p, "gzip", out, n), status);
        n = deflate_to(out, room, zeros, size, -15);
        assert_int_equal(coded(&p, "deflate", out, n), status);
        n = ZSTD_compress(out, room, zeros, size, 1);
        assert_int_equal(coded(&p, "zstd", out, n), status);
        n = zstd_without_size(out, room, zeros, size);
        assert_int_equal(coded(&p, "zstd", out, n), status);
    }
    assert_false(sl_http_connection_wants_close(p.connection));
    peer_close(&p);
    assert_int_equal(sl_budget_used(&budget), 0);
    sl_free(zeros);
    sl_free(out);
}

/* ---- memory ---- */

/** A conversation that uses every allocation; false: out of memory somewhere (and nothing
 * broke). */
static bool converse(sl_budget *budget) {
    static const char text[] = "{\"a\":1}\n";
    uint8_t packed[256];
    sl_http_shared *shared = sl_http_shared_create(budget);
    if (shared == NULL)
        return false;
    peer p = {.options = {.budget = budget, .shared = shared}, .later = true};
    if (!peer_open(&p)) {
        sl_http_shared_destroy(shared);
        return false;
    }
    static const char half[] =
        "POST /h HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n";
    peer_feed(&p, half, 10);
    peer_text(&p, half + 10);
    peer_text(&p, "\r\n");
    for (int i = 0; i < 2000; i++)
        peer_text(&p,
                  "0123456789012345678901234567890123456789012345678901234567890123456789"
                  "012345678901234567890123456789");
    char head[128];
    size_t n = deflate_to(packed, sizeof packed, text, sizeof text - 1, 31);
    (void)snprintf(head, sizeof head,
                   "POST /g HTTP/1.1\r\nHost: h\r\nContent-Encoding: "
                   "gzip\r\nContent-Length: %zu\r\n\r\n",
                   n);
    peer_text(&p, head);
    peer_feed(&p, packed, n);
    peer_text(&p, "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    for (unsigned i = p.waiting_count; i-- > 0;) /* Backwards: they are stored. */
        peer_answer(&p, i);
    bool all = p.handled == 3 && !sl_http_connection_wants_close(p.connection) &&
               !p.output.failed && !p.log.failed &&
               strstr(peer_output(&p), " 503 ") == NULL;
    peer_close(&p);
    sl_http_shared_destroy(shared);
    return all;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 64 << 20);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        assert_true(n < 10000);
        sl_memory_fail_at(n);
        done = converse(&budget) && sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_int_equal(sl_budget_used(&budget), 0);
    }
}

static void spares_make_way_when_the_budget_is_full(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 65536 + 300000);
    sl_http_shared *shared = sl_http_shared_create(&budget);
    peer p = {.options = {.budget = &budget, .shared = shared}};
    assert_true(peer_open(&p));
    for (size_t size = 100000; size <= 250000; size += 50000) {
        char head[96];
        int n =
            snprintf(head, sizeof head,
                     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", size);
        peer_feed(&p, head, (size_t)n);
        for (size_t i = 0; i < size / 10; i++)
            peer_text(&p, "0123456789");
    }
    assert_int_equal(p.handled, 4);
    assert_null(strstr(peer_output(&p), " 429 "));
    peer_close(&p);
    sl_http_shared_destroy(shared);
    assert_int_equal(sl_budget_used(&budget), 0);
}

/** Answers what another connection waits for, and then its own. */
static void handle_for_two(void *context, const sl_http_request *request) {
    peer *other = context;
    sl_http_reply(request->exchange, 200, "text/plain", "", "own", 3);
    if (other->waiting_count > 0)
        peer_answer(other, --other->waiting_count);
}

static void replies_of_two_connections_are_kept_apart(void **state) {
    (void)state;
    sl_http_shared *shared = sl_http_shared_create(NULL);
    peer other = {.options.shared = shared, .later = true};
    assert_true(peer_open(&other));
    peer_text(&other, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    peer p = {
        .options = {.shared = shared, .handler = handle_for_two, .context = &other}};
    assert_true(peer_open(&p));
    peer_text(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    static const char own[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nown"
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nown";
    assert_string_equal(peer_output(&p), own);
    assert_string_equal(peer_output(&other),
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                        "Content-Length: 8\r\n\r\nreply 0\n");
    peer_close(&p);
    peer_close(&other);
    sl_http_shared_destroy(shared);
}

static void spare_memory_is_given_back(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 64 << 20);
    sl_http_shared *shared = sl_http_shared_create(&budget);
    peer p = {.options = {.budget = &budget, .shared = shared}};
    assert_true(peer_open(&p));
    uint64_t idle = sl_budget_used(&budget);
    peer_text(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    assert_true(sl_budget_used(&budget) >= idle + 100000);
    for (int i = 0; i < 10000; i++)
        peer_text(&p, "0123456789");
    assert_true(sl_budget_used(&budget) > idle); /* Kept for the next. */
    sl_http_shared_tick(shared, 1);
    sl_http_shared_tick(shared, 2);
    assert_int_equal(sl_budget_used(&budget), idle);
    peer_close(&p);
    sl_http_shared_destroy(shared);
    assert_int_equal(sl_budget_used(&budget), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_answered_with_length_and_kept_alive),
        cmocka_unit_test(date_follows_the_tick),
        cmocka_unit_test(head_gets_no_body),
        cmocka_unit_test(version_1_0_and_close_end_the_connection),
        cmocka_unit_test(targets_are_paths_or_absolute),
        cmocka_unit_test(continue_is_said_only_when_the_body_is_wanted),
        cmocka_unit_test(continue_waits_for_earlier_replies),
        cmocka_unit_test(replies_leave_in_order_of_requests),
        cmocka_unit_test(too_many_outstanding_pause_and_go_on),
        cmocka_unit_test(long_replies_to_a_pipeline_wait_for_the_next_feed),
        cmocka_unit_test(late_reply_to_a_lost_peer_is_dropped),
        cmocka_unit_test(half_closed_peer_still_gets_its_replies),
        cmocka_unit_test(reply_without_an_end_comes_in_chunks),
        cmocka_unit_test(stream_waits_for_its_turn_in_a_pipeline),
        cmocka_unit_test(stream_to_http_1_0_ends_with_its_connection),
        cmocka_unit_test(reader_of_a_stream_that_says_goodbye_is_gone),
        cmocka_unit_test(stream_that_is_cut_takes_its_connection_along),
        cmocka_unit_test(end_within_a_request_is_refused),
        cmocka_unit_test(slow_request_gets_408),
        cmocka_unit_test(draining_connection_ends_with_its_last_reply),
        cmocka_unit_test(body_of_a_refused_request_is_skipped),
        cmocka_unit_test(full_budget_is_429_and_the_body_is_skipped),
        cmocka_unit_test(heads_and_bodies_have_limits),
        cmocka_unit_test(ambiguous_framing_is_refused_and_closed),
        cmocka_unit_test(nul_in_a_header_is_refused),
        cmocka_unit_test(control_character_anywhere_in_a_value_is_refused),
        cmocka_unit_test(field_is_found_by_its_name_in_any_case),
        cmocka_unit_test(unknown_things_get_their_own_status),
        cmocka_unit_test(any_split_gives_the_same_result),
        cmocka_unit_test(large_body_is_read_to_its_place),
        cmocka_unit_test(coded_bodies_are_decoded),
        cmocka_unit_test(several_members_and_frames_are_one_body),
        cmocka_unit_test(bombs_stop_at_the_limit),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(spares_make_way_when_the_budget_is_full),
        cmocka_unit_test(replies_of_two_connections_are_kept_apart),
        cmocka_unit_test(spare_memory_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
