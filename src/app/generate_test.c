/* Tests of `sluice generate`: what it makes, what it measures, and how it sends to a server that
 * answers as it is told. */
#include "generate_private.h"

#include "sluice/time.h"

#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define EVENTS 2000

/* --- Events -------------------------------------------------------------------------------- */

static uint8_t *make_events(sl_generate_kind kind, uint64_t seed, uint64_t count, size_t *length) {
    uint8_t *bytes = malloc((size_t)(count + 1) * SL_GENERATE_EVENT_BYTES_MAX);
    sl_generator g;
    assert_non_null(bytes);
    sl_generator_init(&g, kind, seed, count);
    *length = 0;
    for (uint64_t i = 0; i < count; i++)
        *length += sl_generate_event(&g, i, bytes + *length);
    return bytes;
}

static void same_seed_gives_same_bytes_in_any_order(void **state) {
    (void)state;
    uint8_t one[SL_GENERATE_EVENT_BYTES_MAX], two[SL_GENERATE_EVENT_BYTES_MAX];
    for (unsigned kind = 0; kind < SL_GENERATE_KIND_COUNT; kind++) {
        sl_generator a, b;
        sl_generator_init(&a, (sl_generate_kind)kind, 7, EVENTS);
        sl_generator_init(&b, (sl_generate_kind)kind, 7, EVENTS);
        for (uint64_t i = EVENTS; i-- > 0;)
            (void)sl_generate_event(&b, i, two);
        for (uint64_t i = 0; i < EVENTS; i++) {
            size_t length = sl_generate_event(&a, i, one);
            assert_int_equal(sl_generate_event(&b, i, two), length);
            assert_memory_equal(one, two, length);
        }
    }
}

static void other_seed_gives_other_bytes(void **state) {
    (void)state;
    size_t a_length = 0, b_length = 0;
    uint8_t *a = make_events(SL_GENERATE_CLICKSTREAM, 1, 10, &a_length);
    uint8_t *b = make_events(SL_GENERATE_CLICKSTREAM, 2, 10, &b_length);
    assert_true(a_length != b_length || memcmp(a, b, a_length) != 0);
    free(a);
    free(b);
}

static size_t count_leaves(const json_t *value) {
    if (!json_is_object(value))
        return 1;
    size_t n = 0;
    const char *key = NULL;
    json_t *member = NULL;
    void *at = json_object_iter((json_t *)(uintptr_t)value);
    for (; at != NULL; at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        key = json_object_iter_key(at);
        member = json_object_iter_value(at);
        assert_non_null(key);
        n += count_leaves(member);
    }
    return n;
}

static int64_t time_of(const json_t *event) {
    int64_t us = 0;
    const char *text = json_string_value(json_object_get(event, "timestamp"));
    assert_non_null(text);
    assert_int_equal(strlen(text), 24);
    assert_true(sl_time_parse(text, strlen(text), &us));
    return us;
}

static void clickstream_is_json_of_12_leaves_over_one_hour(void **state) {
    (void)state;
    size_t length = 0, foreign = 0;
    uint8_t *bytes = make_events(SL_GENERATE_CLICKSTREAM, 3, EVENTS, &length), *line = bytes;
    int64_t start = SL_GENERATE_START_MS * 1000, last = start;
    for (int i = 0; i < EVENTS; i++) {
        uint8_t *end = memchr(line, '\n', length - (size_t)(line - bytes));
        assert_non_null(end);
        json_error_t problem;
        json_t *event = json_loadb((char *)line, (size_t)(end - line), JSON_REJECT_DUPLICATES,
                                   &problem);
        assert_non_null(event);
        assert_int_equal(count_leaves(event), 12);
        int64_t us = time_of(event);
        assert_true(us >= start && us < start + SL_HOUR_US);
        assert_true(us > last - SL_GENERATE_JITTER_MS * 1000);
        last = us;
        bool ascii = true;
        for (const uint8_t *c = line; c < end; c++)
            ascii = ascii && *c < 128;
        foreign += !ascii;
        json_decref(event);
        line = end + 1;
    }
    assert_ptr_equal(line, bytes + length);
    assert_true(last > start + SL_HOUR_US - SL_MINUTE_US);
    assert_in_range(length / EVENTS, 330, 370);
    assert_in_range(foreign * 100 / EVENTS, 24, 32);
    free(bytes);
}

static void amount_of_an_order_is_the_sum_of_its_items(void **state) {
    (void)state;
    size_t length = 0;
    uint8_t *bytes = make_events(SL_GENERATE_ORDERS, 3, EVENTS, &length), *line = bytes;
    for (int i = 0; i < EVENTS; i++) {
        uint8_t *end = memchr(line, '\n', length - (size_t)(line - bytes));
        assert_non_null(end);
        json_t *event =
            json_loadb((char *)line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(event);
        double sum = 0;
        json_t *items = json_object_get(event, "items");
        for (size_t k = 0; k < json_array_size(items); k++) {
            json_t *item = json_array_get(items, k);
            sum += json_number_value(json_object_get(item, "price")) *
                   (double)json_integer_value(json_object_get(item, "quantity"));
        }
        double amount = json_number_value(json_object_get(event, "amount"));
        assert_true(amount - sum < 0.001 && sum - amount < 0.001);
        (void)time_of(event);
        json_decref(event);
        line = end + 1;
    }
    free(bytes);
}

/* --- Histogram, URL, reply ----------------------------------------------------------------- */

static void percentiles_are_right_within_two_percent(void **state) {
    (void)state;
    sl_histogram *h = calloc(1, sizeof *h);
    assert_non_null(h);
    assert_int_equal(sl_histogram_at(h, 0.5), 0);
    for (uint64_t v = 1; v <= 1000000; v++)
        sl_histogram_add(h, v);
    static const double shares[] = {0.01, 0.5, 0.99, 0.999};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double want = shares[i] * 1e6, got = (double)sl_histogram_at(h, shares[i]);
        assert_true(got >= want * 0.999 && got <= want * 1.02);
    }
    assert_int_equal(sl_histogram_at(h, 1), 1000000);
    sl_histogram_add(h, UINT64_MAX);
    assert_int_equal(sl_histogram_at(h, 1), UINT64_MAX);
    free(h);
}

static void urls_are_taken_apart(void **state) {
    (void)state;
    sl_url url;
    assert_int_equal(sl_url_parse("http://localhost:8080", &url, NULL), SL_OK);
    assert_string_equal(url.host, "localhost");
    assert_string_equal(url.port, "8080");
    assert_string_equal(url.path, "/v1/events");
    assert_int_equal(sl_url_parse("http://h/v1/events/x", &url, NULL), SL_OK);
    assert_string_equal(url.port, "80");
    assert_string_equal(url.path, "/v1/events/x");
    assert_int_equal(sl_url_parse("http://[::1]:90/", &url, NULL), SL_OK);
    assert_string_equal(url.host, "::1");
    assert_string_equal(url.port, "90");
    assert_int_equal(sl_url_parse("https://h", &url, NULL), SL_EUNSUPPORTED);
    assert_false(url.kinesis);
    assert_int_equal(sl_url_parse("kinesis://h:4567/my.stream-1", &url, NULL), SL_OK);
    assert_true(url.kinesis);
    assert_string_equal(url.host, "h");
    assert_string_equal(url.path, "/my.stream-1");
    assert_int_equal(sl_url_parse("kinesis://h:4567", &url, NULL), SL_EINVAL);
    assert_int_equal(sl_url_parse("kinesis://h/a/b", &url, NULL), SL_EINVAL);
    static const char *const bad[] = {"",          "ftp://h",     "http://",      "http://h:",
                                      "http://[h", "http://h:x/", "http://h/a b", "http://h?x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sl_url_parse(bad[i], &url, NULL), SL_EINVAL);
}

static void reply_is_read_however_it_is_cut(void **state) {
    (void)state;
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n"
                               "HTTP/1.1 503 Busy\r\nretry-after: 2\r\nContent-Length: 28 \r\n"
                               "Connection: close\r\n\r\n{\"accepted\":12,\"rejected\":3}HTTP";
    size_t length = sizeof text - 1 - 4;
    static sl_reply reply;
    for (size_t cut = 0; cut <= length; cut++) {
        size_t used = 0;
        uint64_t n = 0;
        sl_reply_reset(&reply);
        assert_int_equal(sl_reply_feed(&reply, text, cut, &used), SL_OK);
        assert_int_equal(used, cut);
        assert_int_equal(reply.done, cut == length);
        assert_int_equal(sl_reply_feed(&reply, text + cut, length + 4 - cut, &used), SL_OK);
        assert_int_equal(used, length - cut);
        assert_true(reply.done && reply.close);
        assert_int_equal(reply.status, 503);
        assert_true(reply.retry_after_s > 1.9 && reply.retry_after_s < 2.1);
        assert_true(sl_reply_count(&reply, "accepted", &n) && n == 12);
        assert_true(sl_reply_count(&reply, "rejected", &n) && n == 3);
        assert_false(sl_reply_count(&reply, "other", &n));
    }
}

static void broken_replies_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    static sl_reply reply;
    size_t used = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sl_reply_reset(&reply);
        assert_int_not_equal(sl_reply_feed(&reply, bad[i], strlen(bad[i]), &used), SL_OK);
    }
    char *endless = malloc(SL_REPLY_HEAD_MAX);
    assert_non_null(endless);
    memset(endless, 'a', SL_REPLY_HEAD_MAX);
    sl_reply_reset(&reply);
    assert_int_equal(sl_reply_feed(&reply, endless, SL_REPLY_HEAD_MAX, &used), SL_ELIMIT);
    free(endless);
}

/* --- Against a server ---------------------------------------------------------------------- */

enum { ANSWER_200, ANSWER_503, ANSWER_400, ANSWER_CLOSE, ANSWER_PARTLY, ANSWER_THROTTLED };

/* Accepts one connection after the other; request number n (from 0) gets answers[n], and 200
 * after the last. Keeps the bodies that it took and the keys that it saw. */
typedef struct server {
    int listener;
    unsigned port;
    const int *answers;
    unsigned answer_count, requests;
    sl_buffer taken;
    char keys[16][64];
    bool authorized, is_csv;
    bool kinesis; /* Takes PutRecords; `taken` has a line "KEY DATA" for each. */
    bool is_put, is_signed;
    pthread_t thread;
} server;

static bool read_request(int fd, sl_buffer *in, size_t *head, size_t *length) {
    for (;;) {
        const char *text = sl_buffer_cstr(in), *end = strstr(text, "\r\n\r\n");
        if (end != NULL) {
            *head = (size_t)(end - text) + 4;
            *length = strtoul(strstr(text, "Content-Length: ") + 16, NULL, 10);
            if (in->length >= *head + *length)
                return true;
        }
        char bytes[4096];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        sl_buffer_append(in, bytes, (size_t)n);
    }
}

static void note_request(server *s, const char *head, unsigned number) {
    const char *key = strstr(head, "Idempotency-Key: ");
    if (key != NULL && number < 16)
        snprintf(s->keys[number], sizeof s->keys[0], "%.*s", (int)strcspn(key + 17, "\r"), key + 17);
    s->is_put = strncmp(head, "POST / HTTP", 11) == 0 && strstr(head, "x-amz-target: Kinesis_20131202.PutRecords\r\n") != NULL;
    s->is_signed = strstr(head, "Credential=key/") != NULL && strstr(head, "/us-east-1/kinesis/aws4_request") != NULL;
    s->authorized = strstr(head, "Authorization: Bearer secret\r\n") != NULL;
    s->is_csv = strstr(head, "Content-Type: text/csv; header=present\r\n") != NULL;
}

/* PutRecords: every second record fails, or none. */
static bool answer_records(server *s, int fd, const uint8_t *body, size_t length) {
    unsigned number = s->requests++;
    int kind = number < s->answer_count ? s->answers[number] : ANSWER_200;
    sl_buffer reply = SL_BUFFER_EMPTY, all = SL_BUFFER_EMPTY;
    json_t *root = json_loadb((const char *)body, length, 0, NULL), *records = json_object_get(root, "Records");
    size_t failed = 0;
    for (size_t i = 0; i < json_array_size(records) && kind != ANSWER_THROTTLED; i++) {
        const json_t *record = json_array_get(records, i);
        bool fails = kind == ANSWER_PARTLY && i % 2 == 1;
        failed += fails;
        sl_buffer_printf(&reply, "%s%s", i > 0 ? "," : "",
                         fails ? "{\"ErrorCode\":\"ProvisionedThroughputExceededException\",\"ErrorMessage\":\"slow\"}"
                               : "{\"SequenceNumber\":\"1\",\"ShardId\":\"s\",\"ErrorCode\":null}");
        if (!fails)
            sl_buffer_printf(&s->taken, "%s %s %s\n", json_string_value(json_object_get(root, "StreamName")),
                             json_string_value(json_object_get(record, "PartitionKey")),
                             json_string_value(json_object_get(record, "Data")));
    }
    json_decref(root);
    sl_buffer content = SL_BUFFER_EMPTY;
    if (kind == ANSWER_THROTTLED)
        sl_buffer_text(&content, "{\"__type\":\"ProvisionedThroughputExceededException\"}");
    else
        sl_buffer_printf(&content, "{\"Records\":[%s],\"FailedRecordCount\":%zu}", sl_buffer_cstr(&reply), failed);
    sl_buffer_printf(&all, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", kind == ANSWER_THROTTLED ? "400 Bad Request" : "200 OK",
                     content.length, sl_buffer_cstr(&content));
    bool sent = send(fd, all.bytes, all.length, MSG_NOSIGNAL) == (ssize_t)all.length;
    sl_buffer_fini(&reply);
    sl_buffer_fini(&content);
    sl_buffer_fini(&all);
    return sent;
}

/* @return false when the connection is to be closed. */
static bool answer(server *s, int fd, const uint8_t *body, size_t length) {
    unsigned number = s->requests++;
    int kind = number < s->answer_count ? s->answers[number] : ANSWER_200;
    char reply[256];
    size_t lines = 0;
    for (size_t i = 0; i < length; i++)
        lines += body[i] == '\n';
    if (kind == ANSWER_CLOSE)
        return false;
    if (kind == ANSWER_200) {
        char counts[64];
        sl_buffer_append(&s->taken, body, length);
        int n = snprintf(counts, sizeof counts, "{\"accepted\":%zu,\"rejected\":0}", lines);
        snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, counts);
    } else
        snprintf(reply, sizeof reply, "HTTP/1.1 %s\r\nContent-Length: 0\r\n%s\r\n",
                 kind == ANSWER_503 ? "503 Busy" : "400 Bad Request",
                 kind == ANSWER_503 ? "Retry-After: 0\r\n" : "");
    return send(fd, reply, strlen(reply), MSG_NOSIGNAL) > 0;
}

static void *serve(void *context) {
    server *s = context;
    for (;;) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        sl_buffer in = SL_BUFFER_EMPTY;
        size_t head = 0, length = 0;
        while (read_request(fd, &in, &head, &length)) {
            note_request(s, (const char *)in.bytes, s->requests);
            bool open = (s->kinesis ? answer_records : answer)(s, fd, in.bytes + head, length);
            memmove(in.bytes, in.bytes + head + length, in.length - head - length);
            in.length -= head + length;
            if (!open)
                break;
        }
        sl_buffer_fini(&in);
        close(fd);
    }
}

/* Connections wait in the backlog until somebody serves them. */
static void start_listener(server *s, const int *answers, unsigned count) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    *s = (server){.answers = answers, .answer_count = count};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &length), 0);
    s->port = ntohs(address.sin_port);
}

static void start_server(server *s, const int *answers, unsigned count) {
    start_listener(s, answers, count);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void start_kinesis(server *s, const int *answers, unsigned count) {
    start_listener(s, answers, count);
    s->kinesis = true;
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(server *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    sl_buffer_fini(&s->taken);
}

static int generate_to(const server *s, const char *const *more, size_t more_count) {
    char url[64], *argv[24] = {0};
    int argc = 0;
    static char name[] = "generate", to[] = "--to", quiet[] = "--no-progress";
    snprintf(url, sizeof url, s->kinesis ? "kinesis://127.0.0.1:%u/clicks" : "http://127.0.0.1:%u", s->port);
    argv[argc++] = name;
    argv[argc++] = quiet;
    argv[argc++] = to;
    argv[argc++] = url;
    for (size_t i = 0; i < more_count; i++)
        argv[argc++] = (char *)(uintptr_t)more[i];
    return sl_generate_main(argc, argv);
}

#define GENERATE(s, ...)                                                                         \
    generate_to(s, (const char *const[]){__VA_ARGS__},                                           \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void assert_taken(const server *s, uint64_t count) {
    size_t length = 0;
    uint8_t *want = make_events(SL_GENERATE_CLICKSTREAM, 5, count, &length);
    assert_int_equal(s->taken.length, length);
    assert_memory_equal(s->taken.bytes, want, length);
    free(want);
}

static void server_gets_the_events_of_the_seed(void **state) {
    (void)state;
    server s;
    start_server(&s, NULL, 0);
    assert_int_equal(
        GENERATE(&s, "clickstream", "--seed=5", "--count", "1001", "--batch=100", "--token=secret"),
        0);
    assert_int_equal(s.requests, 11);
    assert_true(s.authorized);
    assert_taken(&s, 1001);
    stop_server(&s);
}

static void paced_sending_sends_the_same_events(void **state) {
    (void)state;
    server s;
    start_server(&s, NULL, 0);
    assert_int_equal(GENERATE(&s, "clickstream", "--seed=5", "--rate=5000", "--duration=200ms",
                              "--batch=100"),
                     0);
    assert_taken(&s, 1000);
    stop_server(&s);
}

static void busy_answer_is_tried_again_with_the_same_key(void **state) {
    (void)state;
    static const int answers[] = {ANSWER_200, ANSWER_503, ANSWER_503};
    server s;
    start_server(&s, answers, 3);
    assert_int_equal(
        GENERATE(&s, "clickstream", "--seed=5", "--count=30", "--batch=10", "--idempotent"), 0);
    assert_int_equal(s.requests, 5);
    assert_string_equal(s.keys[1], s.keys[2]);
    assert_string_equal(s.keys[1], s.keys[3]);
    assert_string_not_equal(s.keys[0], s.keys[1]);
    assert_string_not_equal(s.keys[3], s.keys[4]);
    assert_taken(&s, 30);
    stop_server(&s);
}

static void lost_reply_is_tried_again_only_with_a_key(void **state) {
    (void)state;
    static const int answers[] = {ANSWER_200, ANSWER_CLOSE};
    server s;
    start_server(&s, answers, 2);
    assert_int_equal(
        GENERATE(&s, "clickstream", "--seed=5", "--count=30", "--batch=10", "--idempotent"), 0);
    assert_int_equal(s.requests, 4);
    assert_taken(&s, 30);
    stop_server(&s);
    start_server(&s, answers, 2);
    assert_int_equal(GENERATE(&s, "clickstream", "--seed=5", "--count=30", "--batch=10"), 1);
    assert_int_equal(s.requests, 3);
    stop_server(&s);
}

static void every_body_of_csv_has_its_header(void **state) {
    (void)state;
    server s;
    start_server(&s, NULL, 0);
    assert_int_equal(GENERATE(&s, "iot", "--count=30", "--batch=10", "--format=csv"), 0);
    unsigned headers = 0;
    for (const char *at = sl_buffer_cstr(&s.taken); (at = strstr(at, "reading_id,")) != NULL; at++)
        headers++;
    assert_int_equal(headers, 3);
    assert_true(s.is_csv);
    stop_server(&s);
}

static void refusal_of_all_is_exit_1_and_of_what_was_broken_on_purpose_isnt(void **state) {
    (void)state;
    static const int answers[] = {ANSWER_400};
    server s;
    start_server(&s, answers, 1);
    assert_int_equal(GENERATE(&s, "iot", "--count=30", "--batch=10", "--invalid=0.1"), 0);
    stop_server(&s);
    start_server(&s, answers, 1);
    assert_int_equal(GENERATE(&s, "iot", "--count=10", "--batch=10", "--invalid=0.1"), 1);
    stop_server(&s);
}

static void refusal_for_good_is_exit_1(void **state) {
    (void)state;
    static const int answers[] = {ANSWER_400};
    server s;
    start_server(&s, answers, 1);
    assert_int_equal(GENERATE(&s, "clickstream", "--count=30", "--batch=10"), 1);
    assert_int_equal(s.requests, 3);
    stop_server(&s);
}

static void busy_for_longer_than_retry_for_is_exit_1(void **state) {
    (void)state;
    int answers[1000];
    for (size_t i = 0; i < 1000; i++)
        answers[i] = ANSWER_503;
    server s;
    start_server(&s, answers, 1000);
    assert_int_equal(GENERATE(&s, "clickstream", "--count=10", "--retry-for=0s"), 1);
    assert_true(s.requests >= 1);
    stop_server(&s);
}

/* What a server of the Kinesis API has of events `first`, first + step …, in this order. */
static void put_expected(sl_buffer *out, uint64_t first, uint64_t step, uint64_t end, uint64_t count) {
    uint8_t line[SL_GENERATE_EVENT_BYTES_MAX];
    sl_generator g;
    sl_generator_init(&g, SL_GENERATE_CLICKSTREAM, 5, count);
    for (uint64_t i = first; i < end; i += step) {
        size_t length = sl_generate_event(&g, i, line);
        sl_buffer_printf(out, "clicks %llu ", (unsigned long long)i);
        sl_buffer_base64(out, line, length - 1);
        sl_buffer_byte(out, '\n');
    }
}

static void assert_records(const server *s, sl_buffer *expected) {
    assert_true(s->is_put);
    assert_int_equal(s->taken.length, expected->length);
    assert_memory_equal(s->taken.bytes, expected->bytes, expected->length);
    sl_buffer_fini(expected);
}

static void kinesis_gets_a_record_for_each_event(void **state) {
    (void)state;
    sl_buffer expected = SL_BUFFER_EMPTY;
    server s;
    unsetenv("AWS_ACCESS_KEY_ID");
    start_kinesis(&s, NULL, 0);
    assert_int_equal(GENERATE(&s, "clickstream", "--seed=5", "--count=1001"), 0);
    assert_int_equal(s.requests, 3);
    assert_false(s.is_signed);
    put_expected(&expected, 0, 1, 1001, 1001);
    assert_records(&s, &expected);
    stop_server(&s);
}

static void records_that_failed_come_again_alone_and_signed(void **state) {
    (void)state;
    static const int answers[] = {ANSWER_PARTLY, ANSWER_THROTTLED, ANSWER_PARTLY};
    sl_buffer expected = SL_BUFFER_EMPTY;
    server s;
    setenv("AWS_ACCESS_KEY_ID", "key", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    start_kinesis(&s, answers, 3);
    assert_int_equal(GENERATE(&s, "clickstream", "--seed=5", "--count=25", "--batch=20"), 0);
    assert_int_equal(s.requests, 5);
    assert_true(s.is_signed);
    put_expected(&expected, 0, 2, 20, 25);
    put_expected(&expected, 1, 4, 20, 25);
    put_expected(&expected, 3, 4, 20, 25);
    put_expected(&expected, 20, 1, 25, 25);
    assert_records(&s, &expected);
    stop_server(&s);
    unsetenv("AWS_ACCESS_KEY_ID");
}

static void replies_of_kinesis_are_read_as_it_writes_them(void **state) {
    (void)state;
    static const struct {
        const char *reply;
        bool none, good;
        uint32_t left;
    } cases[] = {{"{\"FailedRecordCount\":0,\"Records\":[]}", true, true, 0},
                 {"{\"Records\":[],\"FailedRecordCount\":0}", true, true, 0},
                 {"{ \"FailedRecordCount\" : 0 }", false, true, 0},
                 {"{\"FailedRecordCount\":01}", false, false, 2},
                 {"{\"FailedRecordCount\":1,\"Records\":[{},{\"ErrorCode\":\"x\"}]}", false, true, 1},
                 {"{\"FailedRecordCount\":1,\"Records\":[{}]}", false, false, 2},
                 {"{}", false, false, 2},
                 {"", false, false, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_kinesis_body body = {.text = SL_BUFFER_EMPTY};
        sl_buffer reply = SL_BUFFER_EMPTY;
        sl_buffer_text(&reply, cases[i].reply);
        assert_true(sl_kinesis_wrap(&body, "s", (const uint8_t *)"{}\n[]", 5, 7));
        assert_int_equal(body.count, 2);
        assert_int_equal(sl_kinesis_none_failed(&reply), cases[i].none);
        assert_int_equal(sl_kinesis_failed(&body, &reply), cases[i].good);
        assert_int_equal(body.count, cases[i].left);
        if (cases[i].left == 1)
            assert_string_equal(sl_buffer_cstr(&body.text),
                                "{\"StreamName\":\"s\",\"Records\":[{\"Data\":\"W10=\",\"PartitionKey\":\"8\"}]}");
        sl_buffer_fini(&reply);
        sl_buffer_fini(&body.text);
    }
    assert_true(sl_kinesis_may_retry(500, "") && sl_kinesis_may_retry(400, "{\"__type\":\"LimitExceededException\"}"));
    assert_false(sl_kinesis_may_retry(400, "{\"__type\":\"ResourceNotFoundException\"}"));
}

static void lines_of_a_file_arrive_whole(void **state) {
    (void)state;
    char path[] = "generate_test_XXXXXX", option[64];
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    snprintf(option, sizeof option, "--to=%s", path);
    char name[] = "generate", kind[] = "clickstream", count[] = "--count=333", seed[] = "--seed=5";
    char *argv[] = {name, kind, count, seed, option, NULL};
    assert_int_equal(sl_generate_main(5, argv), 0);
    server s;
    start_server(&s, NULL, 0);
    snprintf(option, sizeof option, "--file=%s", path);
    assert_int_equal(GENERATE(&s, option, "--batch=10"), 0);
    assert_int_equal(s.requests, 34);
    assert_taken(&s, 333);
    stop_server(&s);
    unlink(path);
}

static void nobody_listening_is_exit_1(void **state) {
    (void)state;
    server s;
    start_server(&s, NULL, 0);
    stop_server(&s);
    assert_int_equal(GENERATE(&s, "clickstream", "--count=1"), 1);
}

static void mistakes_are_exit_64(void **state) {
    (void)state;
    static const char *const wrong[][3] = {
        {"clikstream", "--count=1"},   {"clickstream", "--cuont=1"}, {"clickstream", "--count=x"},
        {"clickstream", "--count"},    {"clickstream", "orders"},    {"--file=x", "--to=-"},
        {"clickstream", "--rate=-1"},  {"clickstream", "--batch=0"}, {"clickstream", "--start=now"},
        {"clickstream", "--token=a\nb"},
        {"iot", "--to=kinesis://h/s", "--batch=501"}, {"iot", "--to=kinesis://h/s", "--idempotent"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char name[] = "generate";
        char *argv[] = {name, (char *)(uintptr_t)wrong[i][0], (char *)(uintptr_t)wrong[i][1], (char *)(uintptr_t)wrong[i][2], NULL};
        assert_int_equal(sl_generate_main(3 + (wrong[i][2] != NULL), argv), 64);
    }
}

/* Summary, connections, the idle stack and the connection's body come before the first request,
 * so nobody need serve; a server's own allocations would disturb the count. */
static void every_failed_allocation_is_an_exit_code(void **state) {
    (void)state;
    server s;
    start_listener(&s, NULL, 0);
    for (uint64_t n = 1; n <= 4; n++) {
        sl_memory_fail_at(n);
        int code = GENERATE(&s, "clickstream", "--count=10");
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        assert_int_equal(code, 1);
        assert_true(calls >= n);
    }
    close(s.listener);
    char name[] = "generate", kind[] = "clickstream", count[] = "--count=1", to[] = "--to=/dev/null";
    char *argv[] = {name, kind, count, to, NULL};
    for (uint64_t n = 1; n <= 3; n++) {
        sl_memory_fail_at(n);
        assert_int_equal(sl_generate_main(4, argv), n <= 2);
        sl_memory_fail_at(0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_gives_same_bytes_in_any_order),
        cmocka_unit_test(other_seed_gives_other_bytes),
        cmocka_unit_test(clickstream_is_json_of_12_leaves_over_one_hour),
        cmocka_unit_test(amount_of_an_order_is_the_sum_of_its_items),
        cmocka_unit_test(percentiles_are_right_within_two_percent),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(reply_is_read_however_it_is_cut),
        cmocka_unit_test(broken_replies_are_refused),
        cmocka_unit_test(server_gets_the_events_of_the_seed),
        cmocka_unit_test(paced_sending_sends_the_same_events),
        cmocka_unit_test(busy_answer_is_tried_again_with_the_same_key),
        cmocka_unit_test(lost_reply_is_tried_again_only_with_a_key),
        cmocka_unit_test(every_body_of_csv_has_its_header),
        cmocka_unit_test(refusal_of_all_is_exit_1_and_of_what_was_broken_on_purpose_isnt),
        cmocka_unit_test(refusal_for_good_is_exit_1),
        cmocka_unit_test(busy_for_longer_than_retry_for_is_exit_1),
        cmocka_unit_test(kinesis_gets_a_record_for_each_event),
        cmocka_unit_test(records_that_failed_come_again_alone_and_signed),
        cmocka_unit_test(replies_of_kinesis_are_read_as_it_writes_them),
        cmocka_unit_test(lines_of_a_file_arrive_whole),
        cmocka_unit_test(nobody_listening_is_exit_1),
        cmocka_unit_test(mistakes_are_exit_64),
        cmocka_unit_test(every_failed_allocation_is_an_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
