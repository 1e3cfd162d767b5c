/* What the client sends, and what it does with its connections and with replies. */
#include "http_client_test_help.h"

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
        cmocka_unit_test(pieces_of_2xx_go_to_write_and_errors_are_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
