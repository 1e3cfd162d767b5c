/* The client against the server of this folder: a crowd of calls, TLS. */
#include "http_client_test_help.h"

#include "certificate_test_help.h"

#include "sluice/http_server.h"

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

static void tls_is_verified_against_the_ca_file_and_the_name(void **state) {
    (void)state;
    char folder[] = "/tmp/http_client_XXXXXX", cert[64], key[64], url[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(cert, sizeof cert, "%s/cert", folder);
    (void)snprintf(key, sizeof key, "%s/key", folder);
    write_certificate(cert, key, "localhost");
    static const struct {
        const char *host;
        bool authority, any_name;
        sl_status status;
    } cases[] = {{"localhost", true, false, SL_OK},
                 {"localhost", false, false, SL_EDENIED},
                 {"127.0.0.1", true, false, SL_EDENIED},
                 {"127.0.0.1", true, true, SL_OK},
                 {"127.0.0.1", false, true, SL_EDENIED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture f;
        result r;
        sl_error error = {0};
        sl_http_server *server = NULL;
        bool closed = false;
        start_with(&f, (sl_http_client_options){.ca_file = cases[i].authority ? cert : NULL, .any_name = cases[i].any_name});
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
        cmocka_unit_test(crowd_of_calls_ends_each_once_or_is_cancelled),
        cmocka_unit_test(tls_is_verified_against_the_ca_file_and_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
