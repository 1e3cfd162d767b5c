#include "reload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define STREAMS "streams:\n  a: {schema: {type: object, properties: {x: {type: integer}}}}\n"
#define MORE "  a_b: {add: [source]}\n"
#define WINDOWS "windows:\n  w: {of: a, every: 1m, measures: {n: count()}}\n"

static sl_config *load(const char *text) {
    static const char *const none[] = {NULL};
    const sl_config_source source = {.text = text, .environment = none};
    sl_config *config;
    sl_error error = {0};
    if (sl_config_load(&source, NULL, NULL, &config, &error) != SL_OK)
        fail_msg("%s", error.text);
    return config;
}

static bool keeps(const char *old, const char *next, const char *stream, const char *table, bool window) {
    sl_config *a = load(old), *b = load(next);
    bool yes = sl_reload_keeps(a, b, stream, table, window);
    sl_config_destroy(a);
    sl_config_destroy(b);
    return yes;
}

static void keys_that_take_a_restart_are_named(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"workers: 3\njournal: {quota: 20GiB}\nlog: {level: debug}\ncut: {every: 1s}\n" STREAMS WINDOWS, ""},
        {"data_dir: /x\n", "data_dir: another value takes a restart"},
        {"memory: 600MiB\nhttp: {max_body: 2MiB}\n", "memory, http.max_body: another value takes a restart"},
        /* The admin pages are where events are. */
        {"http: {listen: '127.0.0.1:1'}\n", "http.listen, admin.listen: another value takes a restart"},
        {"http: {tls: {cert: a, key: b}}\n", "http.tls.cert, http.tls.key: another value takes a restart"},
        {"http: {max_connections: 9, header_timeout: 1s, idle_timeout: 1s}\n",
         "http.max_connections, http.header_timeout, http.idle_timeout: another value takes a restart"},
        {"sources: {t: {kafka: {brokers: b, topics: [t]}}}\n", "sources.NAME.kafka: another value takes a restart"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_config *old = load(""), *next = load(cases[i][0]);
        sl_buffer out = SL_BUFFER_EMPTY;
        assert_int_equal(sl_reload_needs_restart(old, next, &out), cases[i][1][0] != 0);
        assert_string_equal(sl_buffer_cstr(&out), cases[i][1]);
        sl_buffer_fini(&out);
        sl_config_destroy(old);
        sl_config_destroy(next);
    }
}

static void a_stream_that_is_said_alike_goes_on(void **state) {
    (void)state;
    assert_true(keeps(STREAMS, STREAMS, "a", "a/lake", false));
    assert_true(keeps(STREAMS MORE, STREAMS WINDOWS, "a", "a/lake", false));
    assert_true(keeps(STREAMS MORE, "streams:\n" MORE, "a_b", "a_b/lake", false));
    assert_true(keeps(STREAMS WINDOWS, STREAMS MORE WINDOWS, "a", "w", true));
    assert_true(keeps("", "cut: {every: 1s}\n", "events", "events/lake", false));
    assert_true(keeps(STREAMS, STREAMS WINDOWS, "_unrouted", "_unrouted/dead_letters", false));
}

static void a_stream_that_changes_has_to_wait(void **state) {
    (void)state;
    static const char other[] = "streams:\n  a: {schema: {type: object, properties: {x: {type: string}}}}\n",
                      late[] = "streams:\n  a: {add: [source], schema: {type: object, properties: {x: {type: integer}}}}\n",
                      wide[] = "windows:\n  w: {of: a, every: 1h, measures: {n: count()}}\n";
    char window[300];
    snprintf(window, sizeof window, "%s%s", STREAMS, wide);
    assert_false(keeps(STREAMS, other, "a", "a/lake", false));
    assert_false(keeps(STREAMS, late, "a", "a/lake", false));
    assert_false(keeps(STREAMS MORE, STREAMS, "a_b", "a_b/lake", false));
    assert_false(keeps(STREAMS, "", "a", "a/lake", false));
    assert_false(keeps("", STREAMS, "a", "a/lake", false));
    assert_false(keeps(STREAMS WINDOWS, STREAMS, "a", "w", true));
    assert_false(keeps(STREAMS WINDOWS, window, "a", "w", true));
    assert_false(keeps(STREAMS, STREAMS MORE, "_unrouted", "_unrouted/dead_letters", false));
    assert_false(keeps(STREAMS, "http: {max_event: 1KiB}\n" STREAMS, "a", "a/lake", false));
    assert_false(keeps(STREAMS, "timezone: Asia/Tokyo\n" STREAMS, "a", "a/lake", false));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_take_a_restart_are_named),
        cmocka_unit_test(a_stream_that_is_said_alike_goes_on),
        cmocka_unit_test(a_stream_that_changes_has_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
