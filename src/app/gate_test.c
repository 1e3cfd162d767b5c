#include "gate.h"

#include "sluice/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* An engine that writes down what it is given. */
typedef struct engine {
    sl_intake port;
    sl_status status;
    sl_buffer log;
} engine;

typedef struct fixture {
    engine engine;
    sl_budget budget;
    sl_clock clock;
    int64_t now_us;
    sl_gate *gate;
    sl_buffer replies;
} fixture;

static fixture *present;

static int64_t now(void *context) {
    return ((fixture *)context)->now_us;
}

static sl_status submit(sl_intake *port, const sl_intake_request *r) {
    engine *e = (engine *)port;
    sl_buffer_printf(&e->log, "%.*s %s %.*s %.*s;", (int)r->stream_length, r->stream, r->source,
                     (int)r->key_length, (const char *)r->key, (int)r->length, (const char *)r->body);
    for (size_t i = 0; i < SL_PADDING; i++)
        assert_int_equal(r->body[r->length + i], 0);
    return e->status;
}

static void done(void *token, const sl_intake_reply *reply) {
    sl_buffer_printf(&present->replies, "%s %d %u;", (const char *)token, reply->status, reply->retry_after_s);
}

static void begin(fixture *f) {
    *f = (fixture){.engine.port.submit = submit, .clock = {.monotonic_us = now}, .now_us = SL_HOUR_US};
    f->clock.context = present = f;
    sl_budget_init(&f->budget, 10000);
    f->gate = sl_gate_create(&f->clock, &f->budget);
    assert_non_null(f->gate);
}

static void end(fixture *f) {
    sl_gate_refuse(f->gate, true);
    assert_int_equal(sl_budget_used(&f->budget), 0);
    sl_gate_destroy(f->gate);
    sl_buffer_fini(&f->engine.log);
    sl_buffer_fini(&f->replies);
}

static sl_status send(fixture *f, char *token, const char *body, size_t length) {
    /* The caller's memory is gone when the request leaves the gate. */
    char copy[256 + SL_PADDING] = "", stream[8] = "clicks", key[4] = "k";
    memcpy(copy, body, length);
    key[1] = token[0];
    const sl_intake_request r = {.stream = stream,
                                 .stream_length = 6,
                                 .source = "http",
                                 .key = key,
                                 .key_length = 2,
                                 .body = (const uint8_t *)copy,
                                 .length = length,
                                 .done = done,
                                 .token = token};
    sl_intake *port = sl_gate_intake(f->gate);
    sl_status status = port->submit(port, &r);
    memset(copy, 'x', sizeof copy);
    memset(stream, 'x', sizeof stream);
    memset(key, 'x', sizeof key);
    return status;
}

static char a[] = "a", b[] = "b", c[] = "c";

static void what_comes_while_it_is_shut_goes_on_in_order(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    assert_false(sl_gate_is_open(f.gate));
    assert_true(sl_gate_takes(f.gate));
    assert_int_equal(send(&f, a, "1", 1), SL_OK);
    assert_int_equal(send(&f, b, "", 0), SL_OK);
    assert_int_equal(f.engine.log.length, 0);
    sl_gate_open(f.gate, &f.engine.port);
    assert_int_equal(send(&f, c, "3", 1), SL_OK);
    assert_string_equal(sl_buffer_cstr(&f.engine.log), "clicks http ka 1;clicks http kb ;clicks http kc 3;");
    assert_int_equal(f.replies.length, 0);
    end(&f);
}

static void who_waits_too_long_is_told_to_come_again(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    sl_gate_open(f.gate, &f.engine.port);
    f.now_us += SL_HOUR_US;
    sl_gate_shut(f.gate);
    assert_int_equal(send(&f, a, "1", 1), SL_OK);
    f.now_us += SL_GATE_WAIT_US - 1;
    sl_gate_shut(f.gate); /* Shut already: the time goes on. */
    assert_int_equal(send(&f, b, "2", 1), SL_OK);
    sl_gate_refuse(f.gate, false);
    assert_int_equal(f.replies.length, 0);
    f.now_us += 1;
    assert_false(sl_gate_takes(f.gate));
    assert_int_equal(send(&f, c, "3", 1), SL_EAGAIN);
    sl_gate_refuse(f.gate, false);
    assert_string_equal(sl_buffer_cstr(&f.replies), "a 503 1;");
    sl_gate_refuse(f.gate, true);
    assert_string_equal(sl_buffer_cstr(&f.replies), "a 503 1;b 503 1;");
    assert_int_equal(f.engine.log.length, 0);
    end(&f);
}

static void what_the_engine_refuses_is_answered(void **state) {
    (void)state;
    static const struct {
        sl_status status;
        const char *reply;
    } cases[] = {{SL_EFULL, "a 429 1;"}, {SL_ENOSPC, "a 503 5;"}, {SL_ELIMIT, "a 413 0;"}, {SL_ENOMEM, "a 503 1;"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        begin(&f);
        f.engine.status = cases[i].status;
        assert_int_equal(send(&f, a, "1", 1), SL_OK);
        sl_gate_open(f.gate, &f.engine.port);
        assert_string_equal(sl_buffer_cstr(&f.replies), cases[i].reply);
        end(&f);
    }
}

static void the_budget_limits_what_is_kept(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    const char body[200] = "";
    unsigned kept = 0;
    while (kept < 100 && send(&f, a, body, sizeof body) == SL_OK)
        kept++;
    assert_in_range(kept, 10, 40);
    assert_int_equal(send(&f, a, body, sizeof body), SL_EFULL);
    end(&f);
}

static void a_failed_allocation_leaves_nothing(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    sl_memory_fail_at(1);
    assert_int_equal(send(&f, a, "1", 1), SL_ENOMEM);
    assert_int_equal(sl_budget_used(&f.budget), 0);
    sl_memory_fail_at(1);
    assert_null(sl_gate_create(&f.clock, &f.budget));
    sl_memory_fail_at(0);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_while_it_is_shut_goes_on_in_order),
        cmocka_unit_test(who_waits_too_long_is_told_to_come_again),
        cmocka_unit_test(what_the_engine_refuses_is_answered),
        cmocka_unit_test(the_budget_limits_what_is_kept),
        cmocka_unit_test(a_failed_allocation_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
