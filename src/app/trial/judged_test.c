/* Requests for somebody else's log: what an engine tells of them. */
#include "private.h"

#include "memory_files.h"

#include "sluice/engine.h"
#include "sluice/message.h"
#include "sluice/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char configuration[] =
    "streams:\n"
    "  flagged:\n"
    "    schema: {type: object, properties: {id: {type: string}, flag: {type: boolean}}}\n"
    "    when: 'flag'\n"
    "  s:\n"
    "    schema: {type: object, required: [n], properties: {id: {type: string}, n: {type: integer, minimum: 0}}}\n"
    "    id: id\n"
    "    steps: [require: {n: 'n < 10'}]\n"
    "  numbers:\n"
    "    schema: {type: object, properties: {a: {type: integer}, b: {type: integer}}}\n"
    "    steps: [set: {sum: 'a + b'}]\n"
    "    id: sum\n"
    "  lines: {schema: {type: object, properties: {a: {type: string}}}, format: csv}\n"
    "  seen: {id: key}\n";

typedef struct world {
    sl_target target; /* First. */
    memory_files *files;
    sl_metrics *metrics;
    sl_budget budget;
    sl_config *config;
    sl_engine *engine;
    trial_results results;
    int64_t now_us;
    /* Of the last reply. */
    bool replied;
    int status;
    uint32_t accepted, rejected;
    sl_buffer told; /* "message.index id|bytes\n" of each piece. */
    sl_buffer alone[64]; /* What each is by itself. */
    sl_format formats[64];
    uint32_t count;
} world;

static int64_t now(void *context) { return ((world *)context)->now_us; }
static void wake(void *context, sl_actor *actor) { (void)context, (void)actor; }
static void wake_loop(void *context) { (void)context; }
static void wake_loop_in(void *context, uint32_t ms) { (void)context, (void)ms; }

static void deliver(sl_target *target, const sl_delivery *delivery, sl_target_done_fn *done, void *context) {
    (void)target, (void)delivery;
    const sl_error none = {0};
    done(context, SL_OK, &none);
}

static bool turn(world *w) {
    uint32_t count;
    sl_actor **actors = sl_engine_actors(w->engine, &count), *delivery = sl_engine_delivery(w->engine);
    bool any = sl_engine_poll(w->engine);
    for (uint32_t i = 0; i < count; i++)
        any = actors[i]->run(actors[i]->context) || any;
    return delivery->run(delivery->context) || any;
}

static void settle(world *w, const bool *until) {
    for (int i = 0; i < 100000 && !*until; i++)
        if (!turn(w))
            w->now_us += 5000;
    assert_true(*until);
}

static bool open_world(world *w, sl_error *error) {
    const sl_config_source source = {.text = configuration};
    const sl_trial nothing = {0};
    *w = (world){.target = {.deliver = deliver}, .now_us = SL_HOUR_US};
    if (sl_config_load(&source, NULL, NULL, &w->config, error) != SL_OK || !trial_results_init(&w->results, w->config) ||
        !trial_isolate(w->config, &nothing, &w->results.arena) || (w->files = memory_files_create()) == NULL ||
        (w->metrics = sl_metrics_create()) == NULL)
        return false;
    sl_budget_init(&w->budget, w->config->memory);
    const sl_engine_options options = {.config = w->config,
                                       .files = memory_files_port(w->files),
                                       .clock = {now, now, w},
                                       .host = {wake, wake_loop, wake_loop_in, w},
                                       .metrics = w->metrics,
                                       .budget = &w->budget,
                                       .target = &w->target,
                                       .exclusive = true};
    if (sl_engine_create(&options, &w->engine, error) != SL_OK)
        return false;
    while (!sl_engine_ready(w->engine))
        if (!turn(w))
            w->now_us += 5000;
    return true;
}

static void forget_told(world *w) {
    sl_buffer_clear(&w->told);
    while (w->count != 0)
        sl_buffer_fini(&w->alone[--w->count]);
}

static void close_world(world *w) {
    forget_told(w);
    sl_buffer_fini(&w->told);
    sl_engine_destroy(w->engine);
    sl_metrics_destroy(w->metrics);
    memory_files_destroy(w->files);
    trial_results_fini(&w->results);
    sl_config_destroy(w->config);
}

static bool take(void *context, const sl_intake_piece *p) {
    world *w = context;
    sl_buffer_printf(&w->told, "%u.%u %.*s|%s%.*s\n", p->message, p->index, (int)p->id_length,
                     p->id != NULL ? (const char *)p->id : "", p->rest ? "[" : "", (int)p->length, (const char *)p->bytes);
    assert_in_range(w->count, 0, 63);
    sl_buffer *alone = &w->alone[w->count];
    *alone = SL_BUFFER_EMPTY;
    w->formats[w->count++] = p->format;
    if (p->rest)
        sl_buffer_byte(alone, '[');
    sl_buffer_append(alone, p->bytes, p->length);
    return true;
}

static void done(void *token, const sl_intake_reply *reply) {
    world *w = token;
    assert_false(w->replied);
    w->replied = true;
    w->status = reply->status;
    w->accepted = reply->accepted;
    w->rejected = reply->rejected;
    if (reply->judged != NULL && (reply->status == 200 || reply->status == 400))
        assert_true(reply->judged->each(reply->judged, take, w));
}

static sl_status submit(world *w, const char *stream, sl_format format, const void *bytes, size_t length) {
    uint8_t *body = sl_calloc(length + SL_PADDING, 1);
    if (body == NULL)
        return SL_ENOMEM;
    if (length != 0)
        memcpy(body, bytes, length);
    const sl_intake_request request = {.stream = stream,
                                       .stream_length = strlen(stream),
                                       .source = "http",
                                       .judge_only = true,
                                       .format = format,
                                       .body = body,
                                       .length = length,
                                       .done = done,
                                       .token = w};
    sl_intake *intake = sl_engine_intake(w->engine);
    w->replied = false;
    sl_status status = intake->submit(intake, &request);
    sl_free(body);
    return status;
}

static void judge(world *w, const char *stream, sl_format format, const void *bytes, size_t length) {
    forget_told(w);
    assert_int_equal(submit(w, stream, format, bytes, length), SL_OK);
    settle(w, &w->replied);
}

/* The same counts come of the pieces, each alone, as of the whole. */
static void pieces_add_up(world *w, const char *stream) {
    const uint32_t accepted = w->accepted, rejected = w->rejected, count = w->count;
    sl_buffer alone[64];
    sl_format formats[64];
    uint32_t a = 0, r = 0;
    memcpy(alone, w->alone, sizeof alone);
    memcpy(formats, w->formats, sizeof formats);
    w->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        judge(w, stream, formats[i], alone[i].bytes, alone[i].length);
        a += w->accepted;
        r += w->rejected;
        sl_buffer_fini(&alone[i]);
    }
    assert_int_equal(a, accepted);
    assert_int_equal(r, rejected);
}

static void check(world *w, const char *stream, sl_format format, const char *body, int status, const char *told) {
    judge(w, stream, format, body, strlen(body));
    assert_int_equal(w->status, status);
    assert_string_equal(sl_buffer_cstr(&w->told), told);
    pieces_add_up(w, stream);
}

static void opened(world *w) {
    sl_error error = {0};
    if (!open_world(w, &error))
        fail_msg("%s", error.text);
}

static void a_request_is_told_event_by_event(void **state) {
    (void)state;
    static const sl_format json = {0}, any = {.kind = SL_FORMAT_ANY}, cloud = {.kind = SL_FORMAT_CLOUDEVENTS};
    world w;
    opened(&w);
    const uint64_t taken = sl_engine_taken(w.engine);
    check(&w, "s", json, "{\"id\":\"a\\n\",\"n\":1}", 200, "0.0 a\n|{\"id\":\"a\\n\",\"n\":1}\n");
    check(&w, "s", json, "[{\"id\":\"a\",\"n\":1}, 5, {\"n\":2},{\"id\":\"b\"}, {\"id\":\"c\",\"n\":-1},{\"id\":\"d\",\"n\":11}]", 200,
          "0.0 a|{\"id\":\"a\",\"n\":1}\n"
          "0.2 |{\"n\":2}\n"
          "0.4 |{\"id\":\"c\",\"n\":-1}\n"  /* The contract refuses it: */
          "0.5 |{\"id\":\"d\",\"n\":11}\n"  /* … a step, which is no event's refusal. */
          "0.1 |5\n"
          "0.3 |{\"id\":\"b\"}\n");
    check(&w, "s", json, "{\"id\":\"a\",\"n\":1}\n{\"n\":2,}\n{\"id\":\"b\",\"n\":3}\n", 200,
          "0.0 a|{\"id\":\"a\",\"n\":1}\n0.2 b|{\"id\":\"b\",\"n\":3}\n0.1 |{\"n\":2,}\n");
    /* What lies behind the break in an array is one refusal, however it looks. */
    check(&w, "s", json, "[{\"id\":\"a\",\"n\":1}, x,\n{\"id\":\"b\",\"n\":1}]", 200,
          "0.0 a|{\"id\":\"a\",\"n\":1}\n0.1 |[x,\n{\"id\":\"b\",\"n\":1}]\n");
    check(&w, "s", json, "[{\"id\":\"a\",\"n\":1}", 200, "0.0 a|{\"id\":\"a\",\"n\":1}\n0.1 |[\n");
    check(&w, "s", json, "", 400, "0.0 |\n");
    check(&w, "s", json, "[]", 200, "");
    check(&w, "numbers", json, "{\"a\":1,\"b\":2}{\"a\":1}", 200, "0.0 3|{\"a\":1,\"b\":2}\n0.1 |{\"a\":1}\n");
    check(&w, "lines", any, "a\n1\n2\n", 200, "0.0 |a\n1\n2\n\n");
    check(&w, "nowhere", json, "{\"n\":1}", 400, "0.0 |{\"n\":1}\n");
    check(&w, "seen", json, "{\"key\":\"a\"}", 200, "0.0 |{\"key\":\"a\"}\n"); /* The member isn't known yet. */
    check(&w, "s", cloud, "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/a\",\"type\":\"t\",\"n\":1}", 200,
          "0.0 1|{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/a\",\"type\":\"t\",\"n\":1}\n");
    /* Shared by streams: in order within each. */
    check(&w, "", json, "[{\"id\":\"a\",\"n\":1},{\"id\":\"b\",\"flag\":true},{\"id\":\"c\",\"n\":2},7]", 200,
          "0.0 a|{\"id\":\"a\",\"n\":1}\n0.2 c|{\"id\":\"c\",\"n\":2}\n0.3 |7\n0.1 |{\"id\":\"b\",\"flag\":true}\n");
    assert_int_equal(sl_engine_taken(w.engine), taken); /* Nothing is in the log. */
    close_world(&w);
}

static void messages_are_told_one_by_one(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"id\":\"a\",\"n\":1}{\"id\":\"b\",\"n\":1}", "", "{\"id\":\"c\",\"n\":1}"};
    world w;
    opened(&w);
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_messages_begin(&body, NULL);
    for (size_t i = 0; i < 3; i++)
        assert_true(sl_messages_add(&body, &(sl_message_item){.bytes = (const uint8_t *)texts[i], .length = (uint32_t)strlen(texts[i])}));
    /* Another request is in the same group: each tells its own. */
    world other = {0};
    forget_told(&w);
    uint8_t first[32 + SL_PADDING] = "{\"id\":\"z\",\"n\":1}";
    const sl_intake_request before = {.stream = "s",
                                      .stream_length = 1,
                                      .source = "http",
                                      .judge_only = true,
                                      .body = first,
                                      .length = strlen((char *)first),
                                      .done = done,
                                      .token = &other};
    sl_intake *intake = sl_engine_intake(w.engine);
    assert_int_equal(intake->submit(intake, &before), SL_OK);
    assert_int_equal(submit(&w, "s", (sl_format){.kind = SL_FORMAT_MESSAGES}, body.bytes, body.length), SL_OK);
    settle(&w, &w.replied);
    assert_true(other.replied);
    assert_string_equal(sl_buffer_cstr(&other.told), "0.0 z|{\"id\":\"z\",\"n\":1}\n");
    assert_string_equal(sl_buffer_cstr(&w.told), "0.0 a|{\"id\":\"a\",\"n\":1}\n0.1 b|{\"id\":\"b\",\"n\":1}\n"
                                                 "2.0 c|{\"id\":\"c\",\"n\":1}\n1.0 |\n");
    assert_int_equal(w.accepted, 3);
    assert_int_equal(w.rejected, 1);
    forget_told(&other);
    sl_buffer_fini(&other.told);
    sl_buffer_fini(&body);
    close_world(&w);
}

static void no_body_of_messages_and_no_replay_is_judged(void **state) {
    (void)state;
    world w;
    opened(&w);
    assert_int_equal(submit(&w, "s", (sl_format){.kind = SL_FORMAT_MESSAGES}, "x", 1), SL_EINVAL);
    assert_int_equal(submit(&w, "s", (sl_format){.kind = SL_FORMAT_REPLAY}, "x", 1), SL_EINVAL);
    close_world(&w);
}

static void who_waits_when_the_engine_ends_is_refused(void **state) {
    (void)state;
    world w;
    opened(&w);
    assert_int_equal(submit(&w, "s", (sl_format){0}, "{\"n\":1}", 7), SL_OK);
    for (int given_out = 0; given_out < 2; given_out++) { /* Gathered; with a worker, which runs no more. */
        if (given_out)
            assert_int_equal(submit(&w, "s", (sl_format){0}, "{\"n\":1}", 7), SL_OK);
        if (given_out)
            (void)sl_engine_poll(w.engine);
        sl_engine_refuse(w.engine);
        assert_true(w.replied);
        assert_int_equal(w.status, 503);
    }
    close_world(&w);
}

static void short_memory_is_no_other_answer(void **state) {
    (void)state;
    static const char body[] = "[{\"id\":\"a\",\"n\":1},5,{\"id\":\"b\",\"n\":1}]";
    uint32_t refused = 0, answered = 0;
    for (uint64_t n = 1; n < 60; n++) {
        world w;
        opened(&w);
        sl_memory_fail_at(n);
        sl_status status = submit(&w, "s", (sl_format){0}, body, strlen(body));
        if (status == SL_OK)
            settle(&w, &w.replied);
        sl_memory_fail_at(0);
        if (status == SL_OK && w.status == 200) {
            answered++;
            if (!w.told.failed)
                assert_string_equal(sl_buffer_cstr(&w.told),
                                    "0.0 a|{\"id\":\"a\",\"n\":1}\n0.2 b|{\"id\":\"b\",\"n\":1}\n0.1 |5\n");
        } else {
            refused++;
            assert_true(status != SL_OK || w.status == 503);
        }
        close_world(&w);
    }
    assert_true(refused > 2 && answered > 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_told_event_by_event),
        cmocka_unit_test(messages_are_told_one_by_one),
        cmocka_unit_test(no_body_of_messages_and_no_replay_is_judged),
        cmocka_unit_test(who_waits_when_the_engine_ends_is_refused),
        cmocka_unit_test(short_memory_is_no_other_answer),
    };
    sl_message_configure(SL_LEVEL_ERROR, false, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
