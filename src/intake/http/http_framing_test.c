/* From bytes to requests: what two readers could understand differently is refused, and how the bytes are split makes no difference. */
#include "head.h"
#include "http_peer.h"

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
        "PRI * HTTP/1.1\r\nHost: h\r\n\r\n",
        "PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
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

/* RFC 9113 section 7: HTTP_1_1_REQUIRED in a GOAWAY is what such a client can read. */
static void who_begins_with_http_2_is_told_in_it(void **state) {
    (void)state;
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (size_t step = 1; step < 100; step += 98) {
        peer p = {0};
        assert_true(peer_open(&p));
        for (size_t at = 0; at < sizeof preface - 1; at += step)
            peer_feed(&p, preface + at, step < sizeof preface - 1 - at ? step : sizeof preface - 1 - at);
        peer_text(&p, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        const uint8_t *said = p.output.bytes;
        assert_int_equal(p.output.length, 9 + 9 + 8 + 38);
        assert_memory_equal(said, "\0\0\0\4\0\0\0\0\0", 9);             /* SETTINGS */
        assert_memory_equal(said + 9, "\0\0\x2e\7\0\0\0\0\0", 9);      /* GOAWAY */
        assert_memory_equal(said + 18, "\0\0\0\0\0\0\0\x0d" "HTTP/2", 14); /* Its code. */
        assert_int_equal(p.handled, 0);
        assert_true(sl_http_connection_wants_close(p.connection));
        peer_close(&p);
    }
    /* Behind a request it is none. */
    peer p = {0};
    assert_true(peer_open(&p));
    peer_text(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    peer_text(&p, preface);
    assert_int_equal(p.handled, 1);
    assert_non_null(strstr(peer_output(&p), "HTTP/1.1 400 "));
    peer_close(&p);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_paths_or_absolute),
        cmocka_unit_test(end_within_a_request_is_refused),
        cmocka_unit_test(ambiguous_framing_is_refused_and_closed),
        cmocka_unit_test(who_begins_with_http_2_is_told_in_it),
        cmocka_unit_test(nul_in_a_header_is_refused),
        cmocka_unit_test(control_character_anywhere_in_a_value_is_refused),
        cmocka_unit_test(field_is_found_by_its_name_in_any_case),
        cmocka_unit_test(unknown_things_get_their_own_status),
        cmocka_unit_test(any_split_gives_the_same_result),
        cmocka_unit_test(large_body_is_read_to_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
