#include "http_peer.h"

#include "sluice/http_intake.h"

#include <stdlib.h>

/* An engine that writes down what it is given, and answers when it is told to. */
typedef struct engine {
    sl_intake port;
    sl_status status;
    unsigned submitted;
    sl_format format; /* Of the last request. */
    sl_buffer log;
    sl_intake_done_fn *done;
    void *tokens[16];
} engine;

typedef struct fixture {
    engine engine;
    sl_http_intake *routes;
    peer peer;
} fixture;

static sl_status submit(sl_intake *port, const sl_intake_request *request) {
    engine *e = (engine *)port; /* The port is its first member. */
    e->format = request->format;
    sl_buffer_printf(&e->log, "%.*s|%s|", (int)request->stream_length, request->stream,
                     request->source);
    sl_buffer_append(&e->log, request->key, request->key_length);
    sl_buffer_text(&e->log, "|");
    sl_buffer_append(&e->log, request->body, request->length);
    sl_buffer_text(&e->log, "\n");
    if (e->status != SL_OK)
        return e->status;
    e->done = request->done;
    e->tokens[e->submitted++] = request->token;
    return SL_OK;
}

static int admit(void *context, const char *method, const char *path,
                 sl_http_exchange *exchange) {
    return sl_http_intake_admit(((fixture *)context)->routes, method, path, exchange);
}

static void handle(void *context, const sl_http_request *request) {
    if (!sl_http_intake_handle(((fixture *)context)->routes, request))
        sl_http_reply_error(request->exchange, 404, "not_found", "no such path: %s",
                            request->path);
}

static void open_with(fixture *f, const char *const *tokens, size_t count, bool hooked) {
    *f = (fixture){.engine.port.submit = submit};
    f->routes = sl_http_intake_create(&f->engine.port, tokens, count, count > 0);
    assert_non_null(f->routes);
    f->peer.options = (sl_http_options){
        .handler = handle, .context = f, .admit = hooked ? admit : NULL};
    assert_true(peer_open(&f->peer));
}

static void close_all(fixture *f) {
    peer_close(&f->peer);
    sl_http_intake_destroy(f->routes);
    sl_buffer_fini(&f->engine.log);
}

static void answer(fixture *f, unsigned which, const sl_intake_reply *reply) {
    f->engine.done(f->engine.tokens[which], reply);
}

/** Send and give the status of the one reply; its body follows the empty line. */
static int ask(fixture *f, const char *request) {
    f->peer.output.length = 0;
    f->engine.log.length = 0;
    peer_text(&f->peer, request);
    const char *output = peer_output(&f->peer);
    return *output == 0 ? 0 : atoi(output + 9);
}

static const char *body_of(fixture *f) {
    const char *body = strstr(peer_output(&f->peer), "\r\n\r\n");
    return body != NULL ? body + 4 : "";
}

static void event_is_submitted_and_counted(void **state) {
    (void)state;
    fixture f;
    open_with(&f, NULL, 0, true);
    assert_int_equal(
        ask(&f,
            "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{\"a\":1}"),
        0);
    assert_string_equal(sl_buffer_cstr(&f.engine.log), "|http||{\"a\":1}\n");
    answer(&f, 0, &(sl_intake_reply){.status = 200, .accepted = 1});
    assert_string_equal(peer_output(&f.peer),
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                        "Content-Length: 40\r\n\r\n{\"accepted\":1,\"rejected\":0,\"errors\":[]}\n");
    assert_int_equal(ask(&f, "POST /v1/events/a_b.C-9?x=y HTTP/1.1\r\nHost: "
                             "h\r\nIdempotency-Key:  k 1 \r\n"
                             "Content-Type: Application/JSON; "
                             "charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"),
                     0);
    assert_string_equal(sl_buffer_cstr(&f.engine.log), "a_b.C-9|http|k 1|{}\n");
    answer(&f, 1,
           &(sl_intake_reply){
               .status = 200, .accepted = 4294967295u, .rejected = 4294967295u});
    assert_string_equal(body_of(&f),
                        "{\"accepted\":4294967295,\"rejected\":4294967295,\"errors\":[]}\n");
    close_all(&f);
}

static void rejected_events_are_listed(void **state) {
    (void)state;
    fixture f;
    open_with(&f, NULL, 0, true);
    const sl_intake_error errors[] = {{1, "syntax", "a \"quote\" is\nmissing", 5, ""},
                                      {3, "type", "not a number", 17, "/a/b"}};
    (void)ask(&f, "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]");
    answer(&f, 0,
           &(sl_intake_reply){.status = 200,
                              .accepted = 2,
                              .rejected = 2,
                              .errors = errors,
                              .error_count = 2});
    assert_string_equal(body_of(&f),
                        "{\"accepted\":2,\"rejected\":2,\"errors\":["
                        "{\"index\":1,\"code\":\"syntax\",\"message\":\"a \\\"quote\\\" "
                        "is\\nmissing\",\"at\":5,\"path\":\"\"},"
                        "{\"index\":3,\"code\":\"type\",\"message\":\"not a "
                        "number\",\"at\":17,\"path\":\"/a/b\"}]}\n");
    (void)ask(&f, "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{");
    answer(&f, 1,
           &(sl_intake_reply){
               .status = 400, .rejected = 1, .errors = errors, .error_count = 1});
    assert_memory_equal(peer_output(&f.peer), "HTTP/1.1 400 ", 13);
    assert_non_null(strstr(body_of(&f), "{\"accepted\":0,\"rejected\":1,\"errors\":[{"));
    assert_false(
        sl_http_connection_wants_close(f.peer.connection)); /* Bad events, sound HTTP. */
    close_all(&f);
}

static void refusals_of_the_engine_become_statuses(void **state) {
    (void)state;
    fixture f;
    open_with(&f, NULL, 0, true);
    static const struct {
        sl_status status;
        int code;
        const char *has;
    } cases[] = {{SL_EFULL, 429, "\r\nRetry-After: 1\r\n"},
                 {SL_ENOSPC, 503, "\r\nRetry-After: 5\r\n"},
                 {SL_ELIMIT, 413, "too_large"},
                 {SL_ENOMEM, 503, "\r\nRetry-After: 1\r\n"},
                 {SL_EIO, 503, "\r\nRetry-After: 1\r\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.engine.status = cases[i].status;
        assert_int_equal(
            ask(&f, "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"),
            cases[i].code);
        assert_non_null(strstr(peer_output(&f.peer), cases[i].has));
    }
    f.engine.status = SL_OK;
    static const struct {
        sl_intake_reply reply;
        const char *has;
    } late[] = {{{.status = 422, .message = "another body"},
                 "{\"error\":{\"code\":\"idempotency_key_reused\",\"message\":\"another "
                 "body\"}}"},
                {{.status = 404, .message = "no stream x"}, "\"no_stream\""},
                {{.status = 503, .retry_after_s = 7, .message = "full"},
                 "\r\nRetry-After: 7\r\n"},
                {{.status = 429}, "\r\nRetry-After: 1\r\n"}};
    for (unsigned i = 0; i < sizeof late / sizeof *late; i++) {
        (void)ask(&f,
                  "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
        answer(&f, i, &late[i].reply);
        assert_int_equal(atoi(peer_output(&f.peer) + 9), late[i].reply.status);
        assert_non_null(strstr(peer_output(&f.peer), late[i].has));
    }
    close_all(&f);
}

/** The route's answers to a head; the same whether or not admit() is hooked in. */
static void routes_are_checked_with_and_without_admit(void **state) {
    (void)state;
    static const struct {
        const char *head;
        int status;
        const char *has;
    } cases[] = {
        {"GET /v1/events", 405, "\r\nAllow: POST\r\n"},
        {"PUT /v1/events/x", 405, "\r\nAllow: POST\r\n"},
        {"POST /v1/eventsx", 404, "not_found"},
        {"POST /v1/event", 404, "not_found"},
        {"POST /v1/events/", 400, "stream_name"},
        {"POST /v1/events/a/b", 400, "stream_name"},
        {"POST /v1/events/9a", 400, "stream_name"},
        {"POST /v1/events/.a", 400, "stream_name"},
        {"POST /v1/events/a%20b", 400, "stream_name"},
        {"POST /v1/events/%2e%2e", 400, "stream_name"},
        {"POST /v1/events/\\xc3", 400, "stream_name"},
        {"POST "
         "/v1/events/a123456789012345678901234567890123456789012345678901234567890123",
         400, "stream_name"},
        {"POST "
         "/v1/events/a12345678901234567890123456789012345678901234567890123456789012",
         0, ""},
        {"POST /v1/events/_", 0, ""},
        {"POST /v1/events/%61", 0, ""}};
    for (int hooked = 0; hooked < 2; hooked++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            fixture f;
            char request[256];
            (void)snprintf(request, sizeof request,
                           "%s HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
                           cases[i].head);
            open_with(&f, NULL, 0, hooked == 1);
            assert_int_equal(ask(&f, request), cases[i].status);
            assert_non_null(strstr(peer_output(&f.peer), cases[i].has));
            assert_int_equal(f.engine.submitted, cases[i].status == 0);
            if (f.engine.submitted > 0)
                answer(&f, 0, &(sl_intake_reply){.status = 200});
            close_all(&f);
        }
}

static void the_type_says_what_the_body_is(void **state) {
    (void)state;
    static const struct {
        const char *type;
        int status;
        sl_format format;
    } cases[] = {{"", 0, {SL_FORMAT_ANY, 0, 0}},
                 {"application/octet-stream", 0, {SL_FORMAT_ANY, 0, 0}},
                 {"text/plain", 0, {SL_FORMAT_ANY, 0, 0}},
                 {"text/csvx", 0, {SL_FORMAT_ANY, 0, 0}},
                 {"application/x-ndjson", 0, {SL_FORMAT_JSON, 0, 0}},
                 {"text/csv", 0, {SL_FORMAT_CSV, SL_HEADER_ANY, 0}},
                 {"Text/CSV;Header=Present", 0, {SL_FORMAT_CSV, SL_HEADER_PRESENT, 0}},
                 {"text/csv ; charset=\"UTF-8\" ;header=\"absent\" ", 0, {SL_FORMAT_CSV, SL_HEADER_ABSENT, 0}},
                 {"text/csv; header=absent; other=1;", 0, {SL_FORMAT_CSV, SL_HEADER_ABSENT, 0}},
                 {"text/tab-separated-values", 0, {SL_FORMAT_CSV, SL_HEADER_ANY, '\t'}},
                 {"text/csv; header=yes", 415, {0}},
                 {"text/csv; header=", 415, {0}},
                 {"text/csv; charset=iso-8859-1", 415, {0}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        char request[256];
        (void)snprintf(request, sizeof request,
                       "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nContent-Length: 2\r\n\r\n{}",
                       cases[i].type);
        open_with(&f, NULL, 0, true);
        assert_int_equal(ask(&f, request), cases[i].status);
        if (f.engine.submitted > 0) {
            assert_memory_equal(&f.engine.format, &cases[i].format, sizeof f.engine.format);
            answer(&f, 0, &(sl_intake_reply){.status = 200});
        }
        close_all(&f);
    }
}

static void headers_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *header;
        int status;
    } cases[] = {{"Content-Type: application/x-www-form-urlencoded", 0},
                 {"Content-Type: text/plain", 0},
                 {"Content-Type: application/x-ndjson", 0},
                 {"Content-Type:", 0},
                 {"Content-Type: application/jsonx", 415},
                 {"Content-Type: multipart/form-data; boundary=x", 415},
                 {"Content-Type: application/cloudevents+avro", 415},
                 {"Content-Type: application/xml", 415},
                 {"Idempotency-Key:", 400},
                 {"Idempotency-Key: a\r\nIdempotency-Key: a", 400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        char request[256];
        (void)snprintf(
            request, sizeof request,
            "POST /v1/events HTTP/1.1\r\nHost: h\r\n%s\r\nContent-Length: 2\r\n\r\n{}",
            cases[i].header);
        open_with(&f, NULL, 0, true);
        assert_int_equal(ask(&f, request), cases[i].status);
        if (f.engine.submitted > 0)
            answer(&f, 0, &(sl_intake_reply){.status = 200});
        close_all(&f);
    }
    for (int length = 256; length <= 257; length++) {
        fixture f;
        char request[512];
        (void)snprintf(request, sizeof request,
                       "POST /v1/events HTTP/1.1\r\nHost: h\r\nIdempotency-Key: "
                       "%0*d\r\nContent-Length: 2\r\n\r\n{}",
                       length, 1);
        open_with(&f, NULL, 0, true);
        assert_int_equal(ask(&f, request), length == 256 ? 0 : 400);
        if (f.engine.submitted > 0)
            answer(&f, 0, &(sl_intake_reply){.status = 200});
        close_all(&f);
    }
}

/** What goes on of a request with these headers; or the error that answers it. */
static void expect_event(const char *headers, const char *data, const char *expected) {
    char request[1024];
    (void)snprintf(request, sizeof request, "POST /v1/events/s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s", headers,
                   strlen(data), data);
    fixture f;
    open_with(&f, NULL, 0, true);
    int status = ask(&f, request);
    if (*expected != '{') {
        assert_int_equal(status, 400);
        assert_non_null(strstr(body_of(&f), expected));
        assert_int_equal(f.engine.submitted, 0);
    } else {
        assert_int_equal(f.engine.submitted, 1);
        assert_int_equal(f.engine.format.kind, SL_FORMAT_CLOUDEVENTS);
        f.engine.log.length--; /* The line's end. */
        assert_string_equal(strchr(sl_buffer_cstr(&f.engine.log), '{'), expected);
        answer(&f, 0, &(sl_intake_reply){.status = 200, .accepted = 1});
    }
    close_all(&f);
}

static void cloudevents_in_headers_become_json(void **state) {
    (void)state;
    expect_event("ce-specversion: 1.0\r\nCE-Type: com.example\r\nce-id: 1\r\nce-source: /a\r\n"
                 "Content-Type: application/json; charset=utf-8\r\n",
                 "{\"m\": [1]}",
                 "{\"specversion\":\"1.0\",\"type\":\"com.example\",\"id\":\"1\",\"source\":\"/a\","
                 "\"datacontenttype\":\"application/json; charset=utf-8\",\"data\":{\"m\": [1]}}");
    expect_event("ce-specversion: 1.0\r\nce-subject: Euro%20%E2%82%AC%2\r\nce-x: \"a \\\"b\\\"%41\"\r\n", "",
                 "{\"specversion\":\"1.0\",\"subject\":\"Euro \xe2\x82\xac%2\",\"x\":\"a \\\"b\\\"A\"}");
    expect_event("ce-specversion: 1.0\r\nContent-Type: application/xml\r\n", "<a b=\"c\"/>",
                 "{\"specversion\":\"1.0\",\"datacontenttype\":\"application/xml\",\"data\":\"<a b=\\\"c\\\"/>\"}");
    expect_event("ce-specversion: 1.0\r\nContent-Type: image/x\r\n", "\xff\xfe",
                 "{\"specversion\":\"1.0\",\"datacontenttype\":\"image/x\",\"data_base64\":\"//4=\"}");
}

static void cloudevents_that_cannot_be_one_are_refused(void **state) {
    (void)state;
    expect_event("ce-specversion: 1.0\r\nContent-Type: application/vnd.x+json\r\n", "1,\"id\":\"other\"", "isn't JSON");
    expect_event("ce-specversion: 1.0\r\nce-id: 1\r\nCe-Id: 2\r\n", "", "comes twice");
    expect_event("ce-specversion: 1.0\r\nce-a_b: 1\r\nCe-A_B: 2\r\n", "", "comes twice");
    expect_event("ce-specversion: 1.0\r\nce-data: 1\r\n", "", "data is the body");
    expect_event("ce-specversion: 1.0\r\nce-id: %FF\r\n", "", "isn't UTF-8");
}

static void only_a_listed_token_opens(void **state) {
    (void)state;
    static const char *const tokens[] = {"first-token", "second"};
    static const struct {
        const char *header;
        bool opens;
    } cases[] = {{"Authorization: Bearer first-token", true},
                 {"authorization: bearer second", true},
                 {"Authorization: Bearer   second  ", true},
                 {"X: y", false},
                 {"Authorization:", false},
                 {"Authorization: Bearer", false},
                 {"Authorization: Bearer ", false},
                 {"Authorization: second", false},
                 {"Authorization: Basic second", false},
                 {"Authorization: Bearer secon", false},
                 {"Authorization: Bearer secondsecond", false},
                 {"Authorization: Bearer Second", false},
                 {"Authorization: Bearer second x", false},
                 {"Authorization: Bearersecond", false},
                 {"Authorization: Bearer second\r\nAuthorization: Bearer second", false}};
    for (int hooked = 0; hooked < 2; hooked++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            fixture f;
            char request[256];
            (void)snprintf(request, sizeof request,
                           "POST /v1/events HTTP/1.1\r\nHost: h\r\n%s\r\nContent-Length: "
                           "2\r\n\r\n{}",
                           cases[i].header);
            open_with(&f, tokens, 2, hooked == 1);
            assert_int_equal(ask(&f, request), cases[i].opens ? 0 : 401);
            assert_int_equal(f.engine.submitted, cases[i].opens);
            if (cases[i].opens)
                answer(&f, 0, &(sl_intake_reply){.status = 200});
            else
                assert_non_null(
                    strstr(peer_output(&f.peer), "\r\nWWW-Authenticate: Bearer"));
            close_all(&f);
        }
}

static void refused_body_is_not_read_into_memory(void **state) {
    (void)state;
    static const char *const tokens[] = {"t"};
    fixture f;
    open_with(&f, tokens, 1, true);
    assert_int_equal(
        ask(&f, "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"),
        401);
    size_t room;
    (void)sl_http_connection_room(f.peer.connection, &room);
    assert_int_equal(room, 65536); /* The shared buffer, to be dropped. */
    close_all(&f);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    const sl_intake_error error = {
        0, "syntax", "a message that is longer than the first room of a buffer, for sure",
        1, "/x"};
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        assert_true(n < 1000);
        fixture f = {.engine.port.submit = submit};
        sl_memory_fail_at(n);
        f.routes = sl_http_intake_create(&f.engine.port, NULL, 0, false);
        f.peer.options =
            (sl_http_options){.handler = handle, .context = &f, .admit = admit};
        if (f.routes != NULL && peer_open(&f.peer)) {
            peer_text(&f.peer,
                      "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
                      "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
                      "POST /v1/events HTTP/1.1\r\nHost: h\r\nce-specversion: 1.0\r\nContent-Length: 2\r\n\r\n{}"
                      "GET /v1/events HTTP/1.1\r\nHost: h\r\n\r\n");
            /* Last first, so that it is stored; counts are told even when the list can't
             * be made. */
            for (unsigned i = f.engine.submitted; i-- > 0;)
                answer(&f, i,
                       &(sl_intake_reply){.status = 200,
                                          .accepted = 1,
                                          .rejected = 1,
                                          .errors = &error,
                                          .error_count = 1});
            done = sl_memory_calls() < n;
            sl_memory_fail_at(0);
            assert_true(sl_http_connection_wants_close(f.peer.connection) ||
                        f.peer.output.failed ||
                        strstr(peer_output(&f.peer), "HTTP/1.1 405 ") != NULL);
        }
        sl_memory_fail_at(0);
        close_all(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_is_submitted_and_counted),
        cmocka_unit_test(rejected_events_are_listed),
        cmocka_unit_test(refusals_of_the_engine_become_statuses),
        cmocka_unit_test(routes_are_checked_with_and_without_admit),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(the_type_says_what_the_body_is),
        cmocka_unit_test(cloudevents_in_headers_become_json),
        cmocka_unit_test(cloudevents_that_cannot_be_one_are_refused),
        cmocka_unit_test(only_a_listed_token_opens),
        cmocka_unit_test(refused_body_is_not_read_into_memory),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
