/* Replies without an end, in chunks. */
#include "http_peer.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_without_an_end_comes_in_chunks),
        cmocka_unit_test(stream_waits_for_its_turn_in_a_pipeline),
        cmocka_unit_test(stream_to_http_1_0_ends_with_its_connection),
        cmocka_unit_test(reader_of_a_stream_that_says_goodbye_is_gone),
        cmocka_unit_test(stream_that_is_cut_takes_its_connection_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
