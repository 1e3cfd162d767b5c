/* Requests into a topic, with a double of the producer and of the engine that judges. */
#include "sluice/kafka_log.h"

#include "private.h"

#include "sluice/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* --- the producer's double --- */

enum { SENT_MOST = 64 };
static struct {
    sl_kafka_producer_callbacks callbacks;
    bool there, refuse_create;
    uint32_t room;      /* Records that its queue takes. */
    sl_status answer;   /* Of a record, beside. */
    sl_buffer sent;     /* "KEY|HEADERS|VALUE\n" */
    void *tokens[SENT_MOST];
    uint32_t count, reported;
    void (*closed)(void *context);
    void *closed_context;
} fake;

sl_status sl_kafka_producer_create(struct uv_loop_s *loop, const sl_kafka_options *options, const sl_kafka_producer_callbacks *callbacks,
                                   sl_kafka_producer **out, sl_error *error) {
    (void)loop;
    assert_string_equal(options->brokers, "b:1");
    assert_string_equal(options->properties[0].name, "message.timeout.ms");
    *out = NULL;
    if (fake.refuse_create)
        return sl_error_set(error, SL_EIO, "no eventfd");
    fake.callbacks = *callbacks;
    fake.there = true;
    *out = (sl_kafka_producer *)&fake;
    return SL_OK;
}

sl_status sl_kafka_produce(sl_kafka_producer *p, const sl_kafka_record *r, sl_error *error) {
    assert_ptr_equal(p, &fake);
    assert_true(fake.there);
    if (fake.answer != SL_OK)
        return sl_error_set(error, fake.answer, "refused");
    if (fake.room == 0)
        return sl_error_set(error, SL_EFULL, "full");
    fake.room--;
    assert_string_equal(r->topic, "t");
    assert_int_equal(r->partition, -1);
    sl_buffer_append(&fake.sent, r->key, r->key_length);
    for (size_t i = 0; i < r->header_count; i++)
        sl_buffer_printf(&fake.sent, "|%s=%.*s", r->headers[i].name + 7, (int)r->headers[i].length, (const char *)r->headers[i].value);
    sl_buffer_printf(&fake.sent, "|%.*s\n", (int)r->value_length, (const char *)r->value);
    assert_in_range(fake.count, 0, SENT_MOST - 1);
    fake.tokens[fake.count++] = r->token;
    return SL_OK;
}

uint64_t sl_kafka_producer_pending(const sl_kafka_producer *p) {
    (void)p;
    return fake.count - fake.reported;
}

void sl_kafka_producer_close(sl_kafka_producer *p, void (*closed)(void *context), void *context) {
    (void)p;
    fake.closed = closed;
    fake.closed_context = context;
}

static void report(sl_status status) {
    sl_error error = {0};
    if (status != SL_OK)
        (void)sl_error_set(&error, status, "not in time");
    fake.callbacks.delivered(fake.callbacks.context, fake.tokens[fake.reported++], status, 0, 0, status == SL_OK ? NULL : &error);
}

static void end_closing(void) {
    while (fake.reported < fake.count)
        report(SL_EAGAIN);
    fake.there = false;
    fake.closed(fake.closed_context);
}

/* --- the engine's --- */

static struct {
    sl_intake intake;
    sl_status answer;
    sl_intake_request request;
    bool there;
} judge;

static sl_status judge_submit(sl_intake *intake, const sl_intake_request *r) {
    assert_ptr_equal(intake, &judge.intake);
    assert_true(r->judge_only);
    judge.request = *r;
    judge.there = judge.answer == SL_OK;
    return judge.answer;
}

typedef struct judged {
    sl_intake_judged judged;
    const sl_intake_piece *pieces;
    uint32_t count;
} judged;

static bool each(const sl_intake_judged *j, sl_intake_piece_fn *take, void *context) {
    const judged *all = (const judged *)(const void *)j;
    for (uint32_t i = 0; i < all->count; i++)
        if (!take(context, &all->pieces[i]))
            return false;
    return true;
}

static void tell(const sl_intake_piece *pieces, uint32_t count, uint32_t rejected) {
    const judged all = {{each}, pieces, count};
    const sl_intake_error error = {.index = 1, .code = "syntax", .message = "broken", .path = "/a"};
    const sl_intake_reply reply = {.status = 200,
                                   .accepted = count - rejected,
                                   .rejected = rejected,
                                   .errors = &error,
                                   .error_count = rejected != 0,
                                   .judged = &all.judged};
    judge.there = false;
    judge.request.done(judge.request.token, &reply);
}

/* --- the test's own --- */

static int64_t clock_us;
static int64_t now(void *context) {
    (void)context;
    return clock_us;
}
static const sl_clock test_clock = {now, now, NULL};
static sl_metrics *metrics;
static sl_budget budget;
static sl_kafka_log *topic_log;
static sl_config config;
static sl_config_kafka kafka;
static const char *topics[] = {"t"};
static int replies, status;
static uint32_t accepted, errors;
static char said[512];

static void done(void *token, const sl_intake_reply *reply) {
    assert_ptr_equal(token, &status);
    replies++;
    status = reply->status;
    accepted = reply->accepted;
    errors = reply->error_count;
    (void)snprintf(said, sizeof said, "%s", reply->message != NULL ? reply->message : "");
    if (errors != 0) {
        assert_string_equal(reply->errors[0].message, "broken");
        assert_string_equal(reply->errors[0].path, "/a");
    }
}

static sl_status send_one(const char *stream, const char *key) {
    sl_intake *intake = sl_kafka_log_intake(topic_log);
    const sl_intake_request request = {.stream = stream,
                                       .stream_length = strlen(stream),
                                       .source = "http",
                                       .key = key,
                                       .key_length = strlen(key),
                                       .body = (const uint8_t *)"",
                                       .done = done,
                                       .token = &status};
    return intake->submit(intake, &request);
}

static sl_status open_log(sl_error *error) {
    const sl_kafka_log_host host = {.clock = &test_clock, .metrics = metrics, .budget = &budget, .judge = &judge.intake};
    return sl_kafka_log_create(&config, &host, &topic_log, error);
}

static int setup(void **state) {
    (void)state;
    static sl_kafka_property property = {"message.max.bytes", "100"};
    memset(&fake, 0, sizeof fake);
    memset(&judge, 0, sizeof judge);
    fake.room = UINT32_MAX;
    judge.intake.submit = judge_submit;
    clock_us = 1000 * SL_SECOND_US;
    replies = status = 0;
    metrics = sl_metrics_create();
    sl_budget_init(&budget, 64 << 20);
    kafka = (sl_config_kafka){.options = {.brokers = "b:1", .topics = topics, .topic_count = 1, .properties = &property, .property_count = 1}};
    config = (sl_config){.memory = 64 << 20, .ingest = {.kafka = &kafka}};
    sl_error error;
    assert_int_equal(open_log(&error), SL_OK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_kafka_log_stop(topic_log, true);
    if (fake.there && fake.closed != NULL)
        end_closing();
    assert_true(sl_kafka_log_stopped(topic_log));
    sl_kafka_log_destroy(topic_log);
    assert_int_equal(sl_budget_used(&budget), 0);
    sl_metrics_destroy(metrics);
    sl_buffer_fini(&fake.sent);
    return 0;
}

#define PIECE(text) .bytes = (const uint8_t *)(text), .length = sizeof(text) - 1
static const sl_intake_piece two[] = {{PIECE("{\"a\":1}"), .id = (const uint8_t *)"i1", .id_length = 2},
                                      {PIECE("x"), .rest = true, .index = 1}};

static void a_request_is_answered_when_all_of_it_is_acknowledged(void **state) {
    (void)state;
    assert_int_equal(send_one("clicks", "k"), SL_OK);
    tell(two, 2, 1);
    assert_string_equal(sl_buffer_cstr(&fake.sent), "i1|stream=clicks|source=http|key=0.0/k|{\"a\":1}\n"
                                                    "k|stream=clicks|source=http|key=0.1/k|[x\n");
    report(SL_OK);
    assert_int_equal(replies, 0);
    report(SL_OK);
    assert_int_equal(replies, 1);
    assert_int_equal(status, 200);
    assert_int_equal(accepted, 1);
    assert_int_equal(errors, 1);
}

static void formats_and_messages_are_told(void **state) {
    (void)state;
    const sl_intake_piece pieces[] = {{PIECE("a\n1\n"), .format = {SL_FORMAT_CSV, SL_HEADER_PRESENT, ';'}, .message = 3},
                                      {PIECE("{}"), .format = {.kind = SL_FORMAT_CLOUDEVENTS}},
                                      {PIECE("")}};
    assert_int_equal(send_one("", ""), SL_OK);
    tell(pieces, 3, 0);
    assert_string_equal(sl_buffer_cstr(&fake.sent), "|source=http|format=csv,1,;|a\n1\n\n|source=http|format=cloudevents|{}\n|source=http|\n");
    for (int i = 0; i < 3; i++)
        report(SL_OK);
    assert_int_equal(replies, 1);
}

static void a_request_of_nothing_is_answered_at_once(void **state) {
    (void)state;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 0, 0);
    assert_int_equal(replies, 1);
    assert_int_equal(status, 200);
}

static void what_is_not_acknowledged_is_503_when_all_was_heard_of(void **state) {
    (void)state;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 2, 0);
    assert_true(sl_kafka_log_ready(topic_log));
    report(SL_EAGAIN);
    assert_int_equal(replies, 0);
    report(SL_OK);
    assert_int_equal(status, 503);
    assert_non_null(strstr(said, "Idempotency-Key"));
    assert_true(sl_kafka_log_ready(topic_log)); /* The last one was taken. */
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 1, 0);
    report(SL_EAGAIN);
    assert_false(sl_kafka_log_ready(topic_log));
    clock_us += 6 * SL_SECOND_US; /* Somebody has to try again. */
    assert_true(sl_kafka_log_ready(topic_log));
}

static void a_full_queue_holds_requests_until_there_is_room(void **state) {
    (void)state;
    fake.room = 1;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 2, 0);
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 1, 0);
    assert_int_equal(fake.count, 1);
    report(SL_OK);
    assert_int_equal(replies, 0); /* Half of it isn't sent. */
    fake.room = 10;
    fake.callbacks.room(fake.callbacks.context);
    assert_int_equal(fake.count, 3);
    report(SL_OK);
    report(SL_OK);
    assert_int_equal(replies, 2);
    assert_int_equal(status, 200);
}

static void who_waits_too_long_is_refused(void **state) {
    (void)state;
    fake.room = 0;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 2, 0);
    clock_us += 14 * SL_SECOND_US;
    sl_kafka_log_turn(topic_log);
    assert_int_equal(replies, 0);
    clock_us += 2 * SL_SECOND_US;
    sl_kafka_log_turn(topic_log);
    assert_int_equal(status, 503);
    assert_int_equal(fake.count, 0);
}

static void what_waits_is_limited(void **state) {
    (void)state;
    static uint8_t text[90];
    sl_intake_piece *many = calloc(100000, sizeof *many);
    for (int i = 0; i < 100000; i++)
        many[i] = (sl_intake_piece){.bytes = text, .length = sizeof text};
    fake.room = 0;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(many, 100000, 0);
    assert_int_equal(send_one("clicks", ""), SL_EFULL); /* More than an eighth of `memory` waits. */
    clock_us += 20 * SL_SECOND_US;
    sl_kafka_log_turn(topic_log);
    assert_int_equal(send_one("clicks", ""), SL_OK);
    sl_budget_force(&budget, 60 << 20);
    tell(many, 100000, 0);
    assert_int_equal(status, 429);
    sl_budget_give(&budget, 60 << 20);
    assert_int_equal(fake.count, 0);
    free(many);
}

static void what_is_too_large_is_refused_before_anything_is_sent(void **state) {
    (void)state;
    static const uint8_t text[101];
    const sl_intake_piece pieces[] = {{PIECE("{}")}, {.bytes = text, .length = sizeof text}};
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(pieces, 2, 0);
    assert_int_equal(status, 413);
    assert_int_equal(fake.count, 0);
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(pieces, 1, 0);
    report(SL_ELIMIT); /* The broker's word. */
    assert_int_equal(status, 413);
    fake.answer = SL_ENOTFOUND;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(pieces, 1, 0);
    assert_int_equal(status, 503);
}

static void what_the_engine_refuses_is_passed_on(void **state) {
    (void)state;
    const sl_intake_reply busy = {.status = 503, .retry_after_s = 1, .message = "starting"};
    judge.answer = SL_EFULL;
    assert_int_equal(send_one("clicks", ""), SL_EFULL);
    judge.answer = SL_OK;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    judge.request.done(judge.request.token, &busy);
    assert_int_equal(status, 503);
    assert_string_equal(said, "starting");
}

static void a_producer_that_died_has_a_successor(void **state) {
    (void)state;
    const sl_error fenced = {.status = SL_ECONFLICT, .text = "fenced"};
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 1, 0);
    fake.callbacks.error(fake.callbacks.context, &fenced, true);
    assert_int_equal(send_one("clicks", ""), SL_EIO);
    assert_false(sl_kafka_log_ready(topic_log));
    sl_kafka_log_turn(topic_log);
    end_closing();
    assert_int_equal(status, 503);
    fake.refuse_create = true;
    clock_us += 2 * SL_SECOND_US;
    sl_kafka_log_turn(topic_log);
    assert_int_equal(send_one("clicks", ""), SL_EIO);
    fake.refuse_create = false;
    fake.closed = NULL;
    clock_us += 2 * SL_SECOND_US;
    sl_kafka_log_turn(topic_log);
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 1, 0);
    report(SL_OK);
    assert_int_equal(status, 200);
}

static void a_stop_waits_for_what_is_on_its_way_but_not_long(void **state) {
    (void)state;
    assert_int_equal(send_one("clicks", ""), SL_OK);
    tell(two, 1, 0);
    sl_kafka_log_stop(topic_log, false);
    assert_int_equal(send_one("clicks", ""), SL_EIO);
    sl_kafka_log_stop(topic_log, true);
    assert_null(fake.closed);
    clock_us += 3 * SL_SECOND_US;
    sl_kafka_log_stop(topic_log, true);
    assert_non_null(fake.closed);
    assert_int_equal(replies, 0);
    end_closing();
    assert_int_equal(status, 503);
}

static void short_memory_is_a_refusal(void **state) {
    (void)state;
    int good = 0, refused = 0;
    for (uint64_t n = 1; n < 20; n++) {
        const int before = replies;
        sl_memory_fail_at(n);
        sl_status submitted = send_one("clicks", "k");
        if (submitted == SL_OK)
            tell(two, 2, 1);
        sl_memory_fail_at(0);
        while (fake.reported < fake.count)
            report(SL_OK);
        assert_int_equal(replies - before, submitted == SL_OK);
        good += submitted == SL_OK && status == 200;
        refused += submitted != SL_OK || status != 200;
        sl_buffer_clear(&fake.sent);
        fake.count = fake.reported = 0;
    }
    assert_true(good > 2 && refused > 2);
    sl_kafka_log *first = topic_log;
    sl_status opened = SL_ENOMEM;
    for (uint64_t n = 1; opened != SL_OK; n++) {
        sl_error error;
        sl_memory_fail_at(n);
        opened = open_log(&error);
        sl_memory_fail_at(0);
        assert_true(opened == SL_OK ? n > 2 : opened == SL_ENOMEM && topic_log == NULL);
    }
    sl_kafka_log_destroy(topic_log); /* Its loop is gone. */
    topic_log = first;
}

/* A message's double is a list of headers. */
bool sl_kafka_header(const sl_kafka_message *m, size_t i, const char **name, const uint8_t **value, size_t *length) {
    const sl_kafka_field *fields = m->handle;
    if (fields[i].name == NULL)
        return false;
    *name = fields[i].name;
    *value = fields[i].value;
    *length = fields[i].length;
    return true;
}

static void headers_are_read_as_they_were_written(void **state) {
    (void)state;
    static const sl_format formats[] = {{0}, {.kind = SL_FORMAT_CLOUDEVENTS}, {SL_FORMAT_CSV, SL_HEADER_ABSENT, '\t'}};
    for (int i = 0; i < 6; i++) {
        address a = {.stream = "s", .stream_length = i < 3, .source = "kinesis", .format = formats[i % 3], .key = "0.1/k", .key_length = i < 3 ? 5 : 0};
        sl_kafka_field fields[ADDRESS_FIELDS + 1] = {{0}};
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_message_address got;
        address_csv(&a);
        const size_t count = address_fields(&a, fields);
        fields[count] = (sl_kafka_field){0};
        address_of(&(sl_kafka_message){.handle = fields}, &out);
        assert_int_equal(sl_message_address_get(out.bytes, out.length, &got), out.length);
        assert_int_equal(got.stream_length, i < 3);
        assert_memory_equal(got.source, "kinesis", 7);
        assert_memory_equal(&got.format, &formats[i % 3], sizeof got.format - (i % 3 != 2 ? 2 : 0));
        assert_int_equal(got.key != NULL, i < 3);
        sl_buffer_fini(&out);
    }
    /* Who writes to the topic otherwise, says nothing or anything. */
    static char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    sl_kafka_field others[] = {{"trace", "1", 1}, {"sluice-format", "csv,9,,", 7}, {"sluice-stream", long_name, sizeof long_name},
                               {"sluice-source", NULL, 0}, {"sluice-key", "", 0}, {0}};
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_message_address got;
    address_of(&(sl_kafka_message){.handle = others}, &out);
    assert_int_equal(sl_message_address_get(out.bytes, out.length, &got), out.length);
    assert_int_equal(got.stream_length, 255);
    assert_int_equal(got.format.kind, SL_FORMAT_JSON);
    assert_memory_equal(got.source, "http", 4);
    sl_buffer_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_request_is_answered_when_all_of_it_is_acknowledged),
        TEST(formats_and_messages_are_told),
        TEST(a_request_of_nothing_is_answered_at_once),
        TEST(what_is_not_acknowledged_is_503_when_all_was_heard_of),
        TEST(a_full_queue_holds_requests_until_there_is_room),
        TEST(who_waits_too_long_is_refused),
        TEST(what_waits_is_limited),
        TEST(what_is_too_large_is_refused_before_anything_is_sent),
        TEST(what_the_engine_refuses_is_passed_on),
        TEST(a_producer_that_died_has_a_successor),
        TEST(a_stop_waits_for_what_is_on_its_way_but_not_long),
        TEST(short_memory_is_a_refusal),
        cmocka_unit_test(headers_are_read_as_they_were_written),
    };
    sl_message_configure(SL_LEVEL_ERROR, false, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
