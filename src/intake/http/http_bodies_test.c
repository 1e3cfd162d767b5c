/* Bodies and what they may cost: limits, codings, the budget, allocations that fail. */
#include "http_peer.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

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
        cmocka_unit_test(body_of_a_refused_request_is_skipped),
        cmocka_unit_test(full_budget_is_429_and_the_body_is_skipped),
        cmocka_unit_test(heads_and_bodies_have_limits),
        cmocka_unit_test(coded_bodies_are_decoded),
        cmocka_unit_test(several_members_and_frames_are_one_body),
        cmocka_unit_test(bombs_stop_at_the_limit),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(spares_make_way_when_the_budget_is_full),
        cmocka_unit_test(spare_memory_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
