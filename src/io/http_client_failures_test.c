/* What a call says when it fails, and that it says so once. */
#include "http_client_test_help.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_connection_names_host_and_port),
        cmocka_unit_test(unknown_name_is_a_failure_to_resolve),
        cmocka_unit_test(silent_peer_ends_in_a_timeout),
        cmocka_unit_test(handshake_without_an_answer_has_never_arrived),
        cmocka_unit_test(handshake_cut_off_is_no_question_of_certificates),
        cmocka_unit_test(reply_cut_off_is_a_lost_connection),
        cmocka_unit_test(reply_beyond_its_limits_is_refused),
        cmocka_unit_test(body_that_is_not_given_fails_its_call),
        cmocka_unit_test(early_refusal_ends_the_upload),
        cmocka_unit_test(what_cannot_be_sent_as_given_is_refused),
        cmocka_unit_test(every_failed_allocation_ends_in_one_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
