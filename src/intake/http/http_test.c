/* A conversation: what is answered how, in which order, and how it ends. */
#include "http_peer.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_answered_with_length_and_kept_alive),
        cmocka_unit_test(date_follows_the_tick),
        cmocka_unit_test(head_gets_no_body),
        cmocka_unit_test(version_1_0_and_close_end_the_connection),
        cmocka_unit_test(continue_is_said_only_when_the_body_is_wanted),
        cmocka_unit_test(continue_waits_for_earlier_replies),
        cmocka_unit_test(replies_leave_in_order_of_requests),
        cmocka_unit_test(too_many_outstanding_pause_and_go_on),
        cmocka_unit_test(long_replies_to_a_pipeline_wait_for_the_next_feed),
        cmocka_unit_test(late_reply_to_a_lost_peer_is_dropped),
        cmocka_unit_test(half_closed_peer_still_gets_its_replies),
        cmocka_unit_test(slow_request_gets_408),
        cmocka_unit_test(draining_connection_ends_with_its_last_reply),
        cmocka_unit_test(replies_of_two_connections_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
