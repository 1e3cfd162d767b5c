#include "endpoint.h"

#include "sluice/firehose_intake.h"
#include "sluice/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- what is read --- */

/* The messages, one a line; or what is wrong. */
static void expect_read(const char *body, const char *expected) {
    sl_buffer out = SL_BUFFER_EMPTY, scratch = SL_BUFFER_EMPTY, text = SL_BUFFER_EMPTY, padded = SL_BUFFER_EMPTY;
    endpoint_request request;
    sl_buffer_text(&padded, body);
    assert_true(sl_buffer_reserve(&padded, SL_PADDING));
    const char *why = endpoint_read(padded.bytes, padded.length, &out, &scratch, &request);
    if (why == NULL) {
        sl_messages_reader reader;
        sl_message_item item;
        assert_true(sl_messages_valid(out.bytes, out.length) && sl_messages_read(out.bytes, out.length, &reader));
        sl_buffer_printf(&text, "%s %u:", request.id, request.records);
        while (sl_messages_next(&reader, &item))
            sl_buffer_printf(&text, " [%.*s]", (int)item.length, (const char *)item.bytes);
    }
    assert_string_equal(why != NULL ? why : sl_buffer_cstr(&text), expected);
    sl_buffer_fini(&out);
    sl_buffer_fini(&scratch);
    sl_buffer_fini(&text);
    sl_buffer_fini(&padded);
}

static void records_are_decoded(void **state) {
    (void)state;
    expect_read("{\"requestId\":\"ed4acda5\",\"timestamp\":1578090901599,\"records\":[{\"data\":\"aGVsbG8=\"},{\"data\":\"aGVsbG8gd29ybGQ=\"}]}",
                "ed4acda5 2: [hello] [hello world]");
    expect_read(" { \"records\" : [ { \"more\" : [1,{}] , \"data\" : \"\" } ] , \"x\" : null } ", " 1: []");
    expect_read("{\"records\":[{\"data\":\"Pz8\\/Pz8\\u002f\"}],\"requestId\":\"a\\u00e9\"}", "a\xc3\xa9 1: [\?\?\?\?\?\?]");
    expect_read("{\"records\":[],\"requestId\":\"a\"}", "a 0:");
}

static void what_is_no_request_is_refused(void **state) {
    (void)state;
    expect_read("", "unexpected character");
    expect_read("{\"requestId\":\"a\"}", "the request has no records");
    expect_read("{\"records\":[{}]}", "a record has no data");
    expect_read("{\"records\":[{\"data\":1}]}", "data is a string in Base64");
    expect_read("{\"records\":[{\"data\":\"a\"}]}", "data isn't Base64");
    expect_read("{\"records\":[{\"data\":\"****\"}]}", "data isn't Base64");
    expect_read("{\"records\":[{\"data\":\"\",\"data\":\"\"}]}", "data comes twice in a record");
    expect_read("{\"records\":[{\"data\":\"\"}],\"records\":[]}", "records come twice");
    expect_read("{\"records\":[{\"data\":\"\"}]}x", "something behind the request");
    expect_read("{\"records\":[\"aGVsbG8=\"]}", "a record is an object");
    expect_read("{\"requestId\":\"\",\"records\":[]}", "an id or a name that is empty or too long");
}

static void common_attributes_may_name_the_stream(void **state) {
    (void)state;
    static const struct {
        const char *attributes, *stream, *why;
    } cases[] = {{"", "", NULL},
                 {"{\"commonAttributes\":{\"team\":\"a\",\"stream\":\"clicks\"}}", "clicks", NULL},
                 {"{\"commonAttributes\":{}}", "", NULL},
                 {"{\"other\":{\"stream\":\"clicks\"}}", "", NULL},
                 {"{\"commonAttributes\":{\"stream\":7}}", "", "unexpected character"},
                 {"{\"commonAttributes\":", "", "unexpected character"},
                 {"{}{}", "", "something behind the request"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char stream[ENDPOINT_STREAM_MAX + 1];
        sl_buffer scratch = SL_BUFFER_EMPTY;
        const char *why = endpoint_stream(cases[i].attributes, &scratch, stream);
        assert_string_equal(why != NULL ? why : "", cases[i].why != NULL ? cases[i].why : "");
        assert_string_equal(stream, cases[i].stream);
        sl_buffer_fini(&scratch);
    }
}

/* --- what is answered --- */

/* An engine that writes down what it is given, and answers when it is told to. */
typedef struct fixture {
    sl_intake port;
    sl_status status;
    sl_buffer log, output;
    sl_intake_done_fn *done;
    void *token;
    unsigned submitted;
    sl_firehose_intake *routes;
    sl_http_connection *connection;
    sl_http_options http;
    sl_budget budget;
} fixture;

static sl_status submit(sl_intake *port, const sl_intake_request *request) {
    fixture *f = (fixture *)(void *)port; /* The port is its first member. */
    sl_buffer_printf(&f->log, "%.*s|%s|%.*s|%u", (int)request->stream_length, request->stream, request->source,
                     (int)request->key_length, (const char *)request->key, request->format.kind);
    f->submitted++;
    f->done = request->done;
    f->token = request->token;
    return f->status;
}

static int64_t now(void *context) {
    (void)context;
    return INT64_C(1578090903599123);
}

static int admit(void *context, const char *method, const char *path, sl_http_exchange *exchange) {
    return sl_firehose_intake_admit(((fixture *)context)->routes, method, path, exchange);
}

static bool refuse(void *context, const char *method, const char *path, sl_http_exchange *exchange, int status, const char *message) {
    (void)method;
    return sl_firehose_intake_refuse(((fixture *)context)->routes, path, exchange, status, message);
}

static void handle(void *context, const sl_http_request *request) {
    if (!sl_firehose_intake_handle(((fixture *)context)->routes, request))
        sl_http_reply_error(request->exchange, 404, "not_found", "no such path");
}

static void keep_output(void *context, const void *bytes, size_t length) {
    sl_buffer_append(&((fixture *)context)->output, bytes, length);
}

static bool open_with(fixture *f, const char *const *tokens, size_t count, bool hooked) {
    *f = (fixture){.port.submit = submit};
    sl_budget_init(&f->budget, 1 << 20);
    f->routes = sl_firehose_intake_create(&(sl_firehose_intake_options){.intake = &f->port,
                                                                         .tokens = tokens,
                                                                         .token_count = count,
                                                                         .guarded = tokens != NULL,
                                                                         .clock = {.wall_us = now},
                                                                         .budget = &f->budget});
    f->http = (sl_http_options){.body_bytes_max = 65536, .handler = handle, .context = f, .admit = hooked ? admit : NULL, .refuse = refuse};
    f->connection = f->routes != NULL ? sl_http_connection_create(&f->http, keep_output, f) : NULL;
    return f->connection != NULL;
}

static void close_all(fixture *f) {
    sl_http_connection_destroy(f->connection);
    sl_firehose_intake_destroy(f->routes);
    sl_buffer_fini(&f->log);
    sl_buffer_fini(&f->output);
    assert_int_equal(sl_budget_used(&f->budget), 0);
}

static void ask(fixture *f, const char *line, const char *headers, const char *body) {
    sl_buffer request = SL_BUFFER_EMPTY;
    sl_buffer_printf(&request, "%s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s", line, headers, strlen(body), body);
    f->output.length = f->log.length = 0;
    f->output.failed |= request.failed;
    sl_http_connection_feed(f->connection, request.bytes, request.failed ? 0 : request.length);
    sl_buffer_fini(&request);
}

static const char *body_of(fixture *f) {
    const char *body = strstr(sl_buffer_cstr(&f->output), "\r\n\r\n");
    return body != NULL ? body + 4 : "";
}

static int status_of(fixture *f) { return f->output.length == 0 ? 0 : atoi(sl_buffer_cstr(&f->output) + 9); }

#define ONE "{\"requestId\":\"r1\",\"timestamp\":1,\"records\":[{\"data\":\"e30=\"}]}"
#define ID "X-Amz-Firehose-Request-Id: r1\r\n"

static void a_request_is_one_record_with_its_id_as_key(void **state) {
    (void)state;
    fixture f;
    assert_true(open_with(&f, NULL, 0, true));
    ask(&f, "POST /v1/firehose", ID "X-Amz-Firehose-Protocol-Version: 1.0\r\nContent-Type: application/json\r\n", ONE);
    assert_int_equal(status_of(&f), 0);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "|firehose|firehose r1|%d", SL_FORMAT_MESSAGES);
    assert_string_equal(sl_buffer_cstr(&f.log), expected);
    f.done(f.token, &(sl_intake_reply){.status = 400, .rejected = 1});
    assert_string_equal(sl_buffer_cstr(&f.output),
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 45\r\n\r\n"
                        "{\"requestId\":\"r1\",\"timestamp\":1578090903599}\n");
    /* The path's stream goes before the attribute's. */
    ask(&f, "POST /v1/firehose/a.b", "X-Amz-Firehose-Common-Attributes: {\"commonAttributes\":{\"stream\":\"c\"}}\r\n", ONE);
    assert_memory_equal(sl_buffer_cstr(&f.log), "a.b|firehose|firehose r1|", 25);
    f.done(f.token, &(sl_intake_reply){.status = 200, .accepted = 1});
    ask(&f, "POST /v1/firehose", "X-Amz-Firehose-Common-Attributes: {\"commonAttributes\":{\"stream\":\"c\"}}\r\n", "{\"records\":[{\"data\":\"e30=\"}]}");
    assert_memory_equal(sl_buffer_cstr(&f.log), "c|firehose||", 12);
    f.done(f.token, &(sl_intake_reply){.status = 200, .accepted = 1});
    ask(&f, "POST /v1/firehose", ID, "{\"records\":[]}");
    assert_int_equal(status_of(&f), 200);
    assert_int_equal(f.log.length, 0);
    close_all(&f);
}

static void refusals_are_told_in_firehoses_form(void **state) {
    (void)state;
    static const char *const tokens[] = {"secret"};
    static const struct {
        const char *line, *headers, *body;
        int status;
    } cases[] = {
        {"POST /v1/firehose", ID, ONE, 401},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secre\r\n", ONE, 401},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\nX-Amz-Firehose-Access-Key: secret\r\n", ONE, 401},
        {"POST /v1/firehose", ID "Authorization: Bearer secret\r\n", ONE, 401},
        {"GET /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\n", "", 405},
        {"POST /v1/firehose/9", ID "X-Amz-Firehose-Access-Key: secret\r\n", ONE, 400},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\nX-Amz-Firehose-Protocol-Version: 2.0\r\n", ONE, 400},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\nContent-Type: text/plain\r\n", ONE, 400},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\nContent-Encoding: gzip\r\n", ONE, 400},
        {"POST /v1/firehose", ID "Content-Encoding: br\r\n", ONE, 415},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\n", "{\"records\":[{\"data\":\"!\"}]}", 400},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\n", "{\"requestId\":\"r2\",\"records\":[]}", 400},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\nX-Amz-Firehose-Common-Attributes: x\r\n", ONE, 400},
        {"POST /v1/firehose", ID "X-Amz-Firehose-Access-Key: secret\r\nX-Amz-Firehose-Common-Attributes: {\"commonAttributes\":{\"stream\":\"-\"}}\r\n", ONE, 400},
    };
    for (int hooked = 0; hooked < 2; hooked++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            fixture f;
            assert_true(open_with(&f, tokens, 1, hooked == 1));
            ask(&f, cases[i].line, cases[i].headers, cases[i].body);
            assert_int_equal(status_of(&f), cases[i].status);
            assert_int_equal(f.submitted, 0);
            assert_non_null(strstr(sl_buffer_cstr(&f.output), "\r\nContent-Type: application/json\r\n"));
            static const char begin[] = "{\"requestId\":\"r1\",\"timestamp\":1578090903599,\"errorMessage\":\"";
            assert_memory_equal(body_of(&f), begin, sizeof begin - 1);
            close_all(&f);
        }
}

static void refusals_of_the_engine_become_statuses(void **state) {
    (void)state;
    static const struct {
        sl_status status;
        int reply, expected;
        bool wait;
    } cases[] = {{SL_EFULL, 0, 429, true}, {SL_ENOSPC, 0, 503, true}, {SL_ELIMIT, 0, 413, false}, {SL_ENOMEM, 0, 503, true},
                 {SL_OK, 422, 400, false}, {SL_OK, 503, 503, true},   {SL_OK, 404, 404, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        assert_true(open_with(&f, NULL, 0, true));
        f.status = cases[i].status;
        ask(&f, "POST /v1/firehose/a", ID, ONE);
        if (cases[i].status == SL_OK)
            f.done(f.token, &(sl_intake_reply){.status = cases[i].reply, .retry_after_s = 5});
        assert_int_equal(status_of(&f), cases[i].expected);
        assert_int_equal(strstr(sl_buffer_cstr(&f.output), "\r\nRetry-After: ") != NULL, cases[i].wait);
        assert_non_null(strstr(body_of(&f), "\"errorMessage\":\""));
        close_all(&f);
    }
    fixture f;
    assert_true(open_with(&f, NULL, 0, true));
    assert_int_equal(sl_budget_take(&f.budget, 1 << 20), SL_OK);
    ask(&f, "POST /v1/firehose", ID, ONE);
    assert_int_equal(status_of(&f), 429);
    sl_budget_give(&f.budget, 1 << 20);
    close_all(&f);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    bool finished = false;
    for (uint64_t n = 1; !finished; n++) {
        assert_true(n < 1000);
        fixture f;
        sl_memory_fail_at(n);
        if (open_with(&f, NULL, 0, true)) {
            ask(&f, "POST /v1/firehose/a", ID, "{\"requestId\":\"\\u0072\\u0031\",\"records\":[{\"data\":\"e3\\u0030=\"}]}");
            if (f.submitted != 0)
                f.done(f.token, &(sl_intake_reply){.status = 200, .accepted = 1});
            finished = sl_memory_calls() < n;
            sl_memory_fail_at(0);
            int status = status_of(&f);
            assert_true(f.output.failed || status == 200 || status == 503 || sl_http_connection_wants_close(f.connection) ||
                        sl_http_connection_broken(f.connection));
            assert_true(!finished || status == 200);
        }
        sl_memory_fail_at(0);
        close_all(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_decoded),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(common_attributes_may_name_the_stream),
        cmocka_unit_test(a_request_is_one_record_with_its_id_as_key),
        cmocka_unit_test(refusals_are_told_in_firehoses_form),
        cmocka_unit_test(refusals_of_the_engine_become_statuses),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
