// Kafka sources over a consumer and an engine that the test plays: where partitions begin, what becomes records, when offsets are
// committed, and in which order a partition is given up.

#include "private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- the consumer --- */

typedef struct sl_kafka_consumer {
    sl_kafka_consumer_callbacks calls;
    int64_t low, high, committed; /* Of every partition. */
    int64_t started_at, asked_us, found; /* Where history is looked for, and begins; -1: no answer. */
    char *metadata;
    void *tag;
    uint32_t releases, continues, holds, starts, questions;
    int64_t lag;
    bool paused;
    sl_kafka_offset last; /* Of the last commit. */
    uint32_t commits;
    sl_status answer;
    bool unanswered; /* Commits get no answer. */
} consumer;

static consumer the;
static char last_topic[32], last_metadata[64], instance[64];

sl_status sl_kafka_consumer_create(struct uv_loop_s *loop, const sl_kafka_options *options, const sl_kafka_consumer_callbacks *callbacks,
                                   sl_kafka_consumer **out, sl_error *error) {
    (void)loop;
    (void)error;
    the.calls = *callbacks;
    assert_string_equal(options->properties[0].name, "group.instance.id");
    (void)snprintf(instance, sizeof instance, "%s", options->properties[0].value);
    assert_string_equal(options->properties[2].name, "fetch.min.bytes"); /* The configuration's come last, and win. */
    assert_true(options->memory_bytes >= 4 << 20);
    *out = &the;
    return SL_OK;
}
void sl_kafka_consumer_close(sl_kafka_consumer *c, void (*closed)(void *context), void *context) {
    (void)c;
    closed(context);
}
sl_status sl_kafka_consumer_start(sl_kafka_consumer *c, const char *topic, int32_t number, int64_t offset, void *tag, sl_error *error) {
    (void)topic;
    (void)number;
    (void)error;
    c->started_at = offset;
    c->tag = tag;
    c->starts++;
    return SL_OK;
}
void sl_kafka_consumer_release(sl_kafka_consumer *c) { c->releases++; }
void sl_kafka_consumer_continue(sl_kafka_consumer *c) { c->continues++; }
void sl_kafka_consumer_hold(sl_kafka_consumer *c) { c->holds++; }
sl_status sl_kafka_consumer_pause(sl_kafka_consumer *c, const char *topic, int32_t number, bool paused) {
    (void)topic;
    (void)number;
    c->paused = paused;
    return SL_OK;
}
void sl_kafka_consumer_commit(sl_kafka_consumer *c, const sl_kafka_offset *offsets, uint32_t count, sl_kafka_offsets_fn *done, void *context) {
    sl_error error = {0};
    assert_true(count != 0);
    c->last = offsets[0];
    (void)snprintf(last_topic, sizeof last_topic, "%s", offsets[0].topic);
    (void)snprintf(last_metadata, sizeof last_metadata, "%s", offsets[0].metadata);
    c->commits++;
    if (!c->unanswered)
        done(context, c->answer, offsets, count, &error);
}
void sl_kafka_consumer_committed(sl_kafka_consumer *c, const sl_kafka_place *places, uint32_t count, sl_kafka_offsets_fn *done, void *context) {
    sl_error error = {0};
    for (uint32_t i = 0; i < count; i++) {
        const sl_kafka_offset offset = {places[i].topic, places[i].partition, c->committed, c->metadata};
        done(context, SL_OK, &offset, i + 1 == count ? 1 : 0, &error);
    }
}
void sl_kafka_consumer_marks(sl_kafka_consumer *c, const sl_kafka_place *places, uint32_t count, sl_kafka_marks_fn *done, void *context) {
    sl_error error = {0};
    assert_int_equal(count, 1);
    c->questions++;
    const sl_kafka_marks marks = {places[0].topic, places[0].partition, c->low, c->high, 0};
    done(context, SL_OK, &marks, 1, &error);
}
void sl_kafka_consumer_marks_at(sl_kafka_consumer *c, const sl_kafka_place *places, uint32_t count, int64_t time_us, sl_kafka_marks_fn *done,
                                void *context) {
    sl_error error = {0};
    assert_int_equal(count, 1);
    c->asked_us = time_us;
    const sl_kafka_marks marks = {places[0].topic, places[0].partition, c->low, c->high, c->found};
    done(context, c->found < 0 ? SL_EIO : SL_OK, &marks, 1, &error);
}
int64_t sl_kafka_consumer_lag(const sl_kafka_consumer *c, const char *topic, int32_t number) {
    (void)topic;
    (void)number;
    return c->lag;
}
const char *sl_kafka_consumer_cluster(const sl_kafka_consumer *c) {
    (void)c;
    return "C";
}
bool sl_kafka_header(const sl_kafka_message *m, size_t index, const char **name, const uint8_t **value, size_t *length) {
    (void)m;
    *name = index == 0 ? "a\"" : "none";
    *value = index == 0 ? (const uint8_t *)"1" : NULL;
    *length = index == 0;
    return index < 2;
}
bool sl_kafka_warning(const sl_kafka_options *options, sl_error *text) {
    (void)options;
    (void)text;
    return false;
}

/* --- the engine --- */

struct sl_engine {
    sl_intake intake;
    bool knows;
    uint64_t next, check, taken, delivered, elsewhere;
    sl_status submit_status;
    uint32_t submits;
    sl_intake_done_fn *done;
    void *token;
    uint8_t body[1 << 16];
    size_t length;
};
static struct sl_engine engine;

static sl_status submit(sl_intake *intake, const sl_intake_request *r) {
    (void)intake;
    engine.submits++;
    if (engine.submit_status != SL_OK)
        return engine.submit_status;
    assert_null(engine.done);
    assert_int_equal(r->format.kind, SL_FORMAT_MESSAGES);
    assert_true(sl_messages_valid(r->body, r->length));
    engine.done = r->done;
    engine.token = r->token;
    engine.length = r->length < sizeof engine.body ? r->length : sizeof engine.body;
    memcpy(engine.body, r->body, engine.length);
    return SL_OK;
}
sl_intake *sl_engine_intake(sl_engine *e) { return &e->intake; }
bool sl_engine_origin(const sl_engine *e, const char *identity, uint64_t *next, uint64_t *check) {
    assert_string_equal(identity, "kafka:C/t/3@g");
    *next = e->next;
    *check = e->check;
    return e->knows;
}
uint64_t sl_engine_delivered(const sl_engine *e) { return e->delivered; }
uint64_t sl_engine_elsewhere(const sl_engine *e, const char *identity) {
    assert_string_equal(identity, "kafka:C/t/3@g");
    return e->elsewhere;
}
uint64_t sl_engine_taken(const sl_engine *e) { return e->taken; }

static void answer(int status) {
    const sl_intake_reply reply = {.status = status, .position = engine.taken, .retry_after_s = 1};
    sl_intake_done_fn *done = engine.done;
    assert_non_null(done);
    engine.done = NULL;
    done(engine.token, &reply);
}

/* --- the daemon --- */

static int64_t now_us;
static int64_t clock_us(void *context) {
    (void)context;
    return now_us;
}
static const sl_clock fake_clock = {clock_us, clock_us, NULL};
static void wake_loop(void *context) { (void)context; }
static uint32_t flushes;
static sl_engine_flush_fn *flush_done;
static void *flush_context;
static void flush(void *context, sl_engine_flush_fn *done, void *done_context) {
    (void)context;
    flushes++;
    flush_done = done;
    flush_context = done_context;
}

static sl_kafka_intake *intake;
static sl_metrics *metrics;
static sl_budget budget;
static const sl_kafka_place place = {"t", 3};

static void turn(void) {
    now_us += 2 * SL_SECOND_US;
    sl_kafka_intake_turn(intake, &engine);
}

static void begin_with(char *member, sl_config_stream *stream) {
    static char name[] = "orders";
    static const sl_kafka_property property = {"fetch.min.bytes", "1"};
    sl_config_kafka kafka = {.name = name, .options = {.brokers = "b", .group = "g", .properties = &property, .property_count = 1}, .metadata = member};
    const sl_config config = {.kafkas = &kafka, .kafka_count = 1, .memory = 64 << 20, .streams = stream, .stream_count = stream != NULL};
    the = (consumer){.committed = -1, .high = 1000};
    engine = (struct sl_engine){.intake = {submit}};
    metrics = sl_metrics_create();
    sl_budget_init(&budget, 1 << 30);
    const sl_kafka_host host = {.clock = &fake_clock, .metrics = metrics, .budget = &budget, .identity = "journal:U", .wake_loop = wake_loop, .flush = flush};
    sl_error error;
    assert_int_equal(sl_kafka_intake_create(&config, &host, &intake, &error), SL_OK);
    flushes = 0;
}

static void begin(char *member) { begin_with(member, NULL); }

static void end(void) {
    sl_kafka_intake_destroy(intake);
    sl_metrics_destroy(metrics);
    assert_int_equal(sl_budget_used(&budget), 0);
}

static sl_kafka_message message(int64_t offset, const char *value) {
    return (sl_kafka_message){.value = (const uint8_t *)value,
                              .value_length = value != NULL ? (uint32_t)strlen(value) : 0,
                              .key = (const uint8_t *)"k",
                              .key_length = 1,
                              .offset = offset,
                              .time_us = 1767225600123000,
                              .time_kind = SL_KAFKA_CREATE_TIME};
}

static uint32_t give(int64_t offset, const char *value) {
    const sl_kafka_message m = message(offset, value);
    return the.calls.messages(the.calls.context, the.tag, &m, 1);
}

static void assign(void) {
    the.calls.assigned(the.calls.context, &place, 1);
    for (int i = 0; i < 4; i++)
        turn();
    the.commits = 0; /* Of where it begins. */
}

/* What the engine was given last. */
static uint32_t items(sl_messages_origin *origin, char *first, size_t room) {
    sl_messages_reader reader;
    sl_message_item item;
    assert_true(sl_messages_read(engine.body, engine.length, &reader));
    *origin = reader.origin;
    while (sl_messages_next(&reader, &item))
        if (reader.index == 1)
            (void)snprintf(first, room, "%.*s", (int)item.length, (const char *)item.bytes);
    return reader.index;
}

static int64_t standing(void) { return sl_metric_read(sl_metrics_get(metrics, SL_METRIC_GAUGE, "sluice_kafka_partitions_stopped", "", "source=\"orders\"")); }

/* --- where a partition begins --- */

static void a_partition_begins_where_the_log_ends(void **state) {
    (void)state;
    const sl_kafka_message last = message(41, "{}");
    begin(NULL);
    engine.knows = true;
    engine.next = 42;
    engine.check = message_check(&last);
    the.committed = 30; /* What was delivered lies behind what was taken. */
    assign();
    assert_int_equal(the.started_at, 41);
    assert_int_equal(give(41, "{}"), 1); /* It is the one, and not taken again. */
    assert_int_equal(give(42, "{\"a\":1}"), 1);
    turn();
    sl_messages_origin origin;
    char first[64];
    assert_int_equal(items(&origin, first, sizeof first), 1);
    assert_string_equal(first, "{\"a\":1}");
    assert_int_equal(origin.from, 42);
    assert_int_equal(origin.to, 43);
    assert_int_equal(standing(), 0);
    answer(200);
    end();
}

static void another_topic_under_the_same_name_stands_still(void **state) {
    (void)state;
    begin(NULL);
    engine.knows = true;
    engine.next = 42;
    engine.check = 1;
    assign();
    assert_int_equal(give(41, "{}"), 1);
    assert_int_equal(standing(), 1);
    assert_true(the.paused);
    assert_int_equal(give(42, "{}"), 1);
    turn();
    assert_int_equal(engine.submits, 0);
    end();
    begin(NULL); /* It is shorter than what was read of it. */
    engine.knows = true;
    engine.next = 2000;
    assign();
    assert_int_equal(the.starts, 0);
    assert_int_equal(standing(), 1);
    end();
}

static void a_warehouse_that_has_more_than_there_is_is_told(void **state) {
    (void)state;
    begin(NULL);
    assign();
    assert_int_equal(give(0, "{}"), 1);
    the.lag = 4;
    the.high = 9;
    engine.elsewhere = 9; /* Another reader was quicker, and what fetches told is old. */
    turn();
    assert_int_equal(standing(), 0);
    engine.elsewhere = 10;
    turn();
    assert_int_equal(standing(), 1);
    end();
}

static void a_gap_by_retention_stands_still_until_a_person_has_moved_the_group(void **state) {
    (void)state;
    begin(NULL);
    engine.knows = true;
    engine.next = 42;
    the.low = 50;
    assign();
    assert_int_equal(the.starts, 0);
    assert_int_equal(standing(), 1);
    end();
    begin(NULL);
    engine.knows = true;
    engine.next = 42;
    the.low = the.committed = 50;
    assign();
    assert_int_equal(the.started_at, 50);
    assert_int_equal(standing(), 0);
    end();
}

static void a_partition_nobody_knows_begins_with_the_group_or_the_first_message(void **state) {
    (void)state;
    begin(NULL);
    the.committed = 17;
    assign();
    assert_int_equal(the.started_at, 17);
    end();
    begin(NULL);
    the.low = 5;
    assign();
    assert_int_equal(the.started_at, 5);
    end();
}

static void what_another_reader_brought_is_read_for_dedupe_and_no_more(void **state) {
    (void)state;
    static char metadata[] = "journal:V 1767225600000000";
    static char events[] = "events";
    static sl_config_stream stream = {.name = events, .dedupe_us = SL_HOUR_US};
    sl_messages_origin origin;
    char first[64];
    begin_with(NULL, &stream);
    the.committed = 500;
    the.metadata = metadata;
    the.found = -1;
    assign();
    assert_int_equal(the.starts, 0); /* It isn't known yet where that begins. */
    the.found = 420;
    turn();
    turn();
    assert_true(the.asked_us == 1767225600000000 - SL_HOUR_US);
    assert_int_equal(the.started_at, 420);
    for (int64_t offset = 498; offset < 502; offset++)
        assert_int_equal(give(offset, "{}"), offset < 500); /* A chunk is one thing or the other. */
    turn();
    assert_int_equal(items(&origin, first, sizeof first), 2);
    assert_true(origin.history);
    assert_int_equal(origin.to, 500);
    engine.taken = engine.delivered = 4096;
    answer(200);
    turn();
    assert_int_equal(the.commits, 0); /* The group is further on. */
    assert_int_equal(give(500, "{}"), 1);
    turn();
    (void)items(&origin, first, sizeof first);
    assert_false(origin.history);
    assert_int_equal(origin.from, 500);
    engine.taken = engine.delivered = 8192;
    answer(200);
    turn();
    assert_int_equal(the.last.offset, 501);
    end();
    /* A log that has all that dedupe needs reads on where it stood. */
    begin_with(NULL, &stream);
    the.committed = 500;
    engine.knows = true;
    engine.next = 500;
    assign();
    assert_int_equal(the.asked_us, 0);
    end();
    /* One that has some of it, from there. */
    begin_with(NULL, &stream);
    the.committed = 500;
    the.found = 100;
    engine.knows = true;
    engine.next = 450;
    assign();
    turn();
    assert_int_equal(the.started_at, 450);
    end();
}

static void who_reads_first_commits_where_it_begins_before_it_reads(void **state) {
    (void)state;
    begin(NULL);
    the.low = 5;
    the.answer = SL_EIO;
    assign();
    assert_int_equal(the.starts, 0);
    the.answer = SL_OK;
    for (int i = 0; i < 4; i++)
        turn();
    assert_int_equal(the.last.offset, 5);
    assert_int_equal(the.starts, 1);
    assert_int_equal(the.started_at, 5);
    end();
}

static void a_last_message_that_compaction_took_is_not_asked_for(void **state) {
    (void)state;
    begin(NULL);
    engine.knows = true;
    engine.next = 42;
    assign();
    assert_int_equal(give(44, "{}"), 1);
    turn();
    assert_int_equal(engine.submits, 1);
    assert_int_equal(standing(), 0);
    answer(200);
    end();
}

/* --- records --- */

static void what_was_refused_for_now_is_given_again(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, "{}");
    engine.submit_status = SL_EFULL;
    turn();
    engine.submit_status = SL_OK;
    turn();
    answer(503);
    turn();
    sl_messages_origin origin;
    char first[64];
    assert_int_equal(items(&origin, first, sizeof first), 1);
    assert_int_equal(engine.submits, 3);
    answer(400); /* Nothing of it was good: dead letters. */
    turn();
    assert_int_equal(engine.submits, 3);
    end();
}

static void what_an_engine_took_without_an_answer_is_not_given_to_the_next(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, "{}");
    turn();
    answer(503); /* It went. */
    engine.knows = true;
    engine.next = 1;
    engine.taken = engine.delivered = 8192;
    turn();
    turn();
    assert_int_equal(engine.submits, 1);
    assert_int_equal(the.last.offset, 1);
    end();
}

static void both_chunks_full_hold_the_consumer_until_one_is_taken(void **state) {
    (void)state;
    begin(NULL);
    assign();
    char *text = malloc(40001);
    assert_non_null(text);
    memset(text, ' ', 40000);
    text[40000] = 0;
    int64_t offset = 0;
    for (int i = 0; i < 2; i++) {
        while (give(offset, text) == 1 && offset < 1000)
            offset++;
        turn();
    }
    assert_in_range(offset, 1, 100);
    assert_int_equal(give(offset, text), 0);
    answer(200);
    turn();
    assert_int_equal(the.continues, 1);
    assert_int_equal(give(offset, text), 1);
    free(text);
    answer(200);
    end();
}

static void a_partition_that_is_lost_while_it_held_up_others_lets_them_go_on(void **state) {
    (void)state;
    begin(NULL);
    assign();
    char *text = malloc(40001);
    assert_non_null(text);
    memset(text, ' ', 40000);
    text[40000] = 0;
    for (int64_t offset = 0; give(offset, text) == 1;)
        offset++;
    turn();
    for (int64_t offset = 100; give(offset, text) == 1;)
        offset++;
    answer(503);
    the.calls.lost(the.calls.context, &place, 1);
    assert_int_equal(the.continues, 0);
    turn();
    assert_int_equal(the.continues, 1);
    free(text);
    end();
}

static void brokers_that_may_sleep_are_asked_something(void **state) {
    (void)state;
    begin(NULL);
    assign();
    const uint32_t before = the.questions;
    turn();
    assert_int_equal(the.questions, before); /* There is nothing to come. */
    the.lag = 7;
    (void)give(0, "{}");
    turn();
    assert_int_equal(the.questions, before); /* It comes. */
    turn();
    assert_int_equal(the.questions, before + 1);
    answer(200);
    end();
}

static void tombstones_move_the_offset(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, NULL);
    turn();
    sl_messages_origin origin;
    char first[8];
    assert_int_equal(items(&origin, first, sizeof first), 0);
    assert_int_equal(origin.to, 1);
    answer(200);
    end();
}

static void an_object_gets_the_member_and_nothing_else_does(void **state) {
    (void)state;
    static char member[] = "kafka";
    static const char tail[] = "\"kafka\":{\"topic\":\"t\",\"partition\":3,\"offset\":9,\"timestamp\":\"2026-01-01T00:00:00.123000Z\",\"key\":\"k\","
                               "\"headers\":{\"a\\\"\":\"1\",\"none\":null}}}";
    static const char *const plain[] = {"", "[{}]", "{", "}", "{} {}x", "null"};
    begin(member);
    assign();
    const partition *p = the.tag;
    const struct {
        const char *value, *head;
    } objects[] = {{"{\"id\":1}", "{\"id\":1,"}, {" {} ", "{"}, {"{ }\n", "{"}, {"{\"a\":{}}", "{\"a\":{},"}};
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        const sl_kafka_message m = message(9, objects[i].value);
        char expected[512];
        sl_buffer out = SL_BUFFER_EMPTY;
        assert_true(message_with_metadata(p, &m, &out));
        (void)snprintf(expected, sizeof expected, "%s%s", objects[i].head, tail);
        assert_string_equal(sl_buffer_cstr(&out), expected);
        sl_buffer_fini(&out);
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const sl_kafka_message m = message(9, plain[i]);
        sl_buffer out = SL_BUFFER_EMPTY;
        assert_true(message_with_metadata(p, &m, &out));
        assert_string_equal(sl_buffer_cstr(&out), plain[i]);
        sl_buffer_fini(&out);
    }
    end();
}

/* --- offsets --- */

static void offsets_are_committed_below_what_was_delivered(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, "{}");
    turn();
    engine.taken = 4096;
    answer(200);
    (void)give(1, "{}");
    turn();
    engine.taken = 8192;
    answer(200);
    engine.delivered = 4095;
    turn();
    assert_int_equal(the.commits, 0);
    engine.delivered = 4096;
    turn();
    assert_int_equal(the.last.offset, 1);
    assert_string_equal(last_metadata, "journal:U 1767225600123000");
    engine.delivered = 10000;
    the.answer = SL_EIO;
    turn();
    assert_int_equal(the.last.offset, 2);
    the.answer = SL_OK;
    turn();
    assert_int_equal(the.commits, 3); /* Once more, as it had failed. */
    turn();
    assert_int_equal(the.commits, 3);
    end();
}

static void what_a_start_finds_in_the_log_is_committed_when_it_is_delivered(void **state) {
    (void)state;
    begin(NULL);
    engine.knows = true;
    engine.next = 42;
    engine.taken = 4096;
    the.committed = 30;
    assign();
    assert_int_equal(the.commits, 0);
    engine.delivered = 4096;
    turn();
    assert_int_equal(the.last.offset, 42);
    end();
}

static void a_revoked_partition_is_delivered_then_committed_then_released(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, "{}");
    turn();
    (void)give(1, "{}"); /* Not in the log yet: the next reader's. */
    the.calls.revoked(the.calls.context, &place, 1);
    turn();
    assert_int_equal(the.releases, 0);
    engine.taken = 4096;
    answer(200);
    turn();
    assert_true(flushes >= 1);
    assert_int_equal(the.releases, 0);
    assert_int_equal(the.commits, 0);
    flush_done(flush_context, SL_EIO, "t is stalled");
    turn();
    assert_int_equal(the.releases, 0);
    engine.delivered = 4096;
    flush_done(flush_context, SL_OK, "");
    the.unanswered = true;
    turn();
    assert_int_equal(the.commits, 1);
    assert_int_equal(the.last.offset, 1);
    assert_int_equal(the.releases, 0);
    the.unanswered = false;
    intake->sources[0].committing = false; /* As if the answer had come: it failed. */
    turn();
    turn();
    assert_int_equal(the.releases, 1);
    assert_int_equal(intake->sources[0].partition_count, 0);
    end();
}

static void what_an_engine_left_unanswered_is_settled_before_a_partition_goes(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, "{}");
    turn();
    the.calls.revoked(the.calls.context, &place, 1);
    engine.knows = true; /* It is in the log all the same. */
    engine.next = 1;
    engine.taken = 4096;
    const sl_intake_reply gone = {.status = 503};
    engine.done(engine.token, &gone);
    sl_kafka_intake_turn(intake, NULL); /* The next engine isn't there yet. */
    assert_int_equal(the.releases, 0);
    turn();
    assert_int_equal(the.releases, 0);
    engine.delivered = 4096;
    turn();
    turn();
    assert_int_equal(the.last.offset, 1);
    assert_int_equal(the.releases, 1);
    assert_int_equal(engine.submits, 1);
    end();
}

static void a_lost_partition_is_not_committed(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, "{}");
    turn();
    the.calls.lost(the.calls.context, &place, 1);
    engine.taken = engine.delivered = 4096;
    answer(200);
    turn();
    turn();
    assert_int_equal(the.commits, 0);
    assert_int_equal(the.releases, 0);
    assert_int_equal(intake->sources[0].partition_count, 0);
    end();
}

static void a_stop_commits_what_was_delivered_and_leaves(void **state) {
    (void)state;
    begin(NULL);
    assign();
    (void)give(0, "{}");
    turn();
    engine.taken = 4096;
    answer(200);
    sl_kafka_intake_stop(intake, NULL);
    assert_int_equal(the.holds, 1);
    assert_false(sl_kafka_intake_stopped(intake));
    engine.delivered = 4096;
    sl_kafka_intake_stop(intake, &engine);
    assert_int_equal(the.last.offset, 1);
    sl_kafka_intake_stop(intake, &engine);
    assert_true(sl_kafka_intake_stopped(intake));
    end();
}

static void the_name_in_the_group_follows_from_the_logs_identity(void **state) {
    (void)state;
    char first[64];
    begin(NULL);
    (void)snprintf(first, sizeof first, "%s", instance);
    end();
    begin(NULL);
    assert_string_equal(instance, first);
    assert_non_null(strstr(instance, "-orders"));
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_partition_begins_where_the_log_ends),
        cmocka_unit_test(another_topic_under_the_same_name_stands_still),
        cmocka_unit_test(a_warehouse_that_has_more_than_there_is_is_told),
        cmocka_unit_test(a_gap_by_retention_stands_still_until_a_person_has_moved_the_group),
        cmocka_unit_test(a_partition_nobody_knows_begins_with_the_group_or_the_first_message),
        cmocka_unit_test(what_another_reader_brought_is_read_for_dedupe_and_no_more),
        cmocka_unit_test(who_reads_first_commits_where_it_begins_before_it_reads),
        cmocka_unit_test(a_last_message_that_compaction_took_is_not_asked_for),
        cmocka_unit_test(what_was_refused_for_now_is_given_again),
        cmocka_unit_test(what_an_engine_took_without_an_answer_is_not_given_to_the_next),
        cmocka_unit_test(both_chunks_full_hold_the_consumer_until_one_is_taken),
        cmocka_unit_test(a_partition_that_is_lost_while_it_held_up_others_lets_them_go_on),
        cmocka_unit_test(brokers_that_may_sleep_are_asked_something),
        cmocka_unit_test(tombstones_move_the_offset),
        cmocka_unit_test(an_object_gets_the_member_and_nothing_else_does),
        cmocka_unit_test(offsets_are_committed_below_what_was_delivered),
        cmocka_unit_test(what_a_start_finds_in_the_log_is_committed_when_it_is_delivered),
        cmocka_unit_test(a_revoked_partition_is_delivered_then_committed_then_released),
        cmocka_unit_test(what_an_engine_left_unanswered_is_settled_before_a_partition_goes),
        cmocka_unit_test(a_lost_partition_is_not_committed),
        cmocka_unit_test(a_stop_commits_what_was_delivered_and_leaves),
        cmocka_unit_test(the_name_in_the_group_follows_from_the_logs_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
