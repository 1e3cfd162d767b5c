/* The keys `tests` and `test_environment`. */
#include "sluice/config.h"
#include "sluice/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define STREAMS                                                                                                        \
    "streams:\n"                                                                                                       \
    "  clicks:\n"                                                                                                      \
    "    schema: {type: object, properties: {id: {type: string}, geo: {type: object, properties: {city: {type: string}}}}}\n" \
    "  free: {}\n"                                                                                                     \
    "windows:\n"                                                                                                       \
    "  per_minute: {of: clicks, every: 1m, by: [geo.city], measures: {n: count()}}\n"

static sl_status load(const char *text, const char *const *environment, uint32_t trial, sl_config **out, sl_error *error) {
    const sl_config_source source = {.text = text, .environment = environment, .trial = trial};
    return sl_config_load(&source, NULL, NULL, out, error);
}

static sl_config *loaded(const char *text, const char *const *environment, uint32_t trial) {
    sl_config *config = NULL;
    sl_error error = {0};
    (void)load(text, environment, trial, &config, &error);
    assert_string_equal(error.text, "");
    return config;
}

/* @param test The body of a test, indented. */
static void refused(const char *test, const char *words) {
    char text[2000];
    (void)snprintf(text, sizeof text, STREAMS "tests:\n  - %s\n", test);
    sl_config *config = NULL;
    sl_error error = {0};
    assert_int_not_equal(load(text, NULL, 0, &config, &error), SL_OK);
    if (strstr(error.text, words) == NULL)
        fail_msg("'%s' lacks '%s'", error.text, words);
}

static void a_test_is_read_with_its_places(void **state) {
    (void)state;
    sl_config *c = loaded(STREAMS "tests:\n"
                                  "  - name: first\n"
                                  "    now: 2026-01-01T00:00:00Z\n"
                                  "    events:\n"
                                  "      - {stream: clicks, event: {id: a, n: 1.50, t: true, l: [x], e: null, q: '7'}}\n"
                                  "      - {raw: '{', at: +5s, format: csv, source: http}\n"
                                  "      - {stream: free, raw: '', at: 2026-01-01T00:01:00Z}\n"
                                  "    expect:\n"
                                  "      clicks: [{id: a, geo.city: null}]\n"
                                  "      per_minute: {contains: [{geo_city: x, n: 1}], count: 2}\n"
                                  "      streams: {free: 3}\n"
                                  "      windows: {per_minute: []}\n"
                                  "      late: {clicks: []}\n"
                                  "      paths: {clicks: [a/]}\n"
                                  "      duplicates: {clicks: 0}\n"
                                  "      filtered: {free: 1}\n"
                                  "      dead_letters: [{code: syntax}]\n",
                          NULL, 0);
    assert_int_equal(c->test_count, 1);
    const sl_trial *t = &c->tests[0];
    assert_string_equal(t->name, "first");
    assert_int_equal(t->now_us, INT64_C(1767225600000000));
    assert_int_equal(t->event_count, 3);
    assert_string_equal(t->events[0].stream, "clicks");
    assert_string_equal(t->events[0].body,
                        "{\"id\": \"a\", \"n\": 1.50, \"t\": true, \"l\": [\"x\"], \"e\": null, \"q\": \"7\"}");
    assert_int_equal(t->events[0].clock, SL_TRIAL_NATURAL);
    assert_string_equal(t->events[1].stream, "");
    assert_string_equal(t->events[1].source, "http");
    assert_string_equal(t->events[1].body, "{");
    assert_null(t->events[1].event);
    assert_int_equal(t->events[0].format, SL_FORMAT_JSON);
    assert_int_equal(t->events[1].format, SL_FORMAT_CSV);
    assert_int_equal(t->events[2].format, SL_FORMAT_ANY);
    assert_int_equal(t->events[1].clock, SL_TRIAL_AFTER);
    assert_int_equal(t->events[1].at_us, 5 * SL_SECOND_US);
    assert_int_equal(t->events[2].clock, SL_TRIAL_AT);
    assert_int_equal(t->events[2].length, 0);
    static const sl_trial_subject subjects[] = {SL_TRIAL_ROWS, SL_TRIAL_WINDOW,     SL_TRIAL_ROWS,     SL_TRIAL_WINDOW,  SL_TRIAL_LATE,
                                                SL_TRIAL_PATHS, SL_TRIAL_DUPLICATES, SL_TRIAL_FILTERED, SL_TRIAL_DEAD_LETTERS};
    assert_int_equal(t->expectation_count, 9);
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(t->expectations[i].subject, subjects[i]);
    const sl_trial_expectation *e = &t->expectations[0];
    assert_string_equal(e->name, "clicks");
    assert_int_equal(e->line, 15);
    assert_int_equal(e->rows->count, 1);
    assert_int_equal(e->rows->first->line, 15);
    assert_int_equal(sl_trial_value_child(e->rows->first, "geo.city")->kind, SL_TRIAL_NULL);
    assert_true(t->expectations[1].contains && t->expectations[1].counted);
    assert_int_equal(t->expectations[1].count, 2);
    assert_null(t->expectations[2].rows);
    assert_int_equal(t->expectations[2].count, 3);
    sl_config_destroy(c);
}

static void mistakes_in_a_test_are_found_with_the_nearest_word(void **state) {
    (void)state;
    refused("{nmae: x, expect: {}}", "unknown key 'nmae' (did you mean 'name'?)");
    refused("{expect: {}}", "a test needs a name");
    refused("{name: x}", "it needs `expect`");
    refused("just text", "expected a test such as");
    refused("{name: x, now: yesterday, expect: {}}", "now: expected a time such as");
    refused("{name: x, events: {}, expect: {}}", "expected a list of events");
    refused("{name: x, events: [{event: {}, raw: ''}], expect: {}}", "needs one of `event` (a map) and `raw` (a text)");
    refused("{name: x, events: [{stream: click, raw: ''}], expect: {}}", "no stream 'click' (did you mean 'clicks'?)");
    refused("{name: x, events: [{event: 5}], expect: {}}", "expected the event as a map");
    refused("{name: x, events: [{raw: [5]}], expect: {}}", "expected a text");
    refused("{name: x, events: [{steam: a, raw: x}], expect: {}}", "did you mean 'stream'?");
    refused("{name: x, events: [{raw: x, at: 5s}], expect: {}}", "at: expected +5s or a time such as");
    refused("{name: x, events: [{raw: x, source: htp}], expect: {}}", "no source 'htp' (did you mean 'http'?)");
    refused("{name: x, events: [{raw: x, source: []}], expect: {}}", "expected the name of a source");
    refused("{name: x, events: [{raw: x, format: cvs}], expect: {}}", "no format 'cvs' (did you mean 'csv'?)");
    refused("{name: x, events: [{event: {}, format: csv}], expect: {}}", "format: is for `raw`");
    refused("{name: x, expect: []}", "expected what is expected");
    refused("{name: x, expect: {clciks: 1}}", "no stream or window 'clciks' (did you mean 'clicks'?)");
    refused("{name: x, expect: {clicks: [{idd: 1}]}}", "no column 'idd' (did you mean 'id'?)");
    refused("{name: x, expect: {per_minute: [{window_strat: 1}]}}", "did you mean 'window_start'?");
    refused("{name: x, expect: {clicks: [5]}}", "expected a row such as");
    refused("{name: x, expect: {clicks: many}}", "expected a list, a number, or");
    refused("{name: x, expect: {clicks: {contain: []}}}", "did you mean 'contains'?");
    refused("{name: x, expect: {clicks: {count: few}}}", "count: expected a number");
    refused("{name: x, expect: {late: {clikcs: []}}}", "no stream 'clikcs' (did you mean 'clicks'?)");
    refused("{name: x, expect: {late: []}}", "expected a map such as");
    refused("{name: x, expect: {windows: {per_mintue: 1}}}", "no window 'per_mintue' (did you mean 'per_minute'?)");
    refused("{name: x, expect: {paths: {clicks: [{}]}}}", "expected a path such as");
    refused("{name: x, expect: {duplicates: {clicks: [1]}}}", "expected a number of events");
    refused("{name: x, expect: {dead_letters: [{code: requier}]}}", "(did you mean 'require'?)");
    refused("{name: x, expect: {dead_letters: [{reason: x}]}}", "no column 'reason'");
    refused("{name: x, lookups: {users: []}, expect: {}}", "no lookup table 'users'");
    refused("{name: x, lookups: [], expect: {}}", "expected tables and their rows");
    sl_config *config = NULL;
    sl_error error = {0};
    assert_int_not_equal(load("tests: {}\n", NULL, 0, &config, &error), SL_OK);
    assert_non_null(strstr(error.text, ":1:8: tests: expected a list of tests"));
    assert_int_not_equal(load("test_environment: [A]\n", NULL, 0, &config, &error), SL_OK);
    assert_non_null(strstr(error.text, "test_environment: expected a map"));
    assert_int_not_equal(load("test_environment: {A: [b]}\n", NULL, 0, &config, &error), SL_OK);
    assert_non_null(strstr(error.text, "test_environment: A: expected a text"));
    assert_int_not_equal(load("tests: [{name: x, events: [{stream: a, raw: ''}], expect: {}}]\n", NULL, 0, &config, &error),
                         SL_OK);
    assert_non_null(strstr(error.text, "a test needs streams that are configured"));
}

static void a_name_that_two_things_have_needs_its_section(void **state) {
    (void)state;
    static const char both[] = "streams: {x: {}}\nwindows: {x: {of: x, every: 1m, measures: {n: count()}, warehouse: {table: y}}}\n";
    char text[500];
    sl_config *config = NULL;
    sl_error error = {0};
    (void)snprintf(text, sizeof text, "%stests: [{name: t, expect: {x: 1}}]\n", both);
    assert_int_not_equal(load(text, NULL, 0, &config, &error), SL_OK);
    assert_non_null(strstr(error.text, "'x' is a stream and a window"));
    (void)snprintf(text, sizeof text, "%stests: [{name: t, expect: {streams: {x: 1}, windows: {x: 2}}}]\n", both);
    config = loaded(text, NULL, 0);
    assert_int_equal(config->tests[0].expectations[1].subject, SL_TRIAL_WINDOW);
    sl_config_destroy(config);
}

static void nothing_is_expanded_in_tests(void **state) {
    (void)state;
    sl_config *c = loaded(STREAMS "test_environment: {X: '${Y}'}\n"
                                  "tests: [{name: '${A}', events: [{raw: '$$ ${B:?no}'}], expect: {}}]\n",
                          NULL, 0);
    assert_string_equal(c->tests[0].name, "${A}");
    assert_string_equal(c->tests[0].events[0].body, "$$ ${B:?no}");
    sl_config_destroy(c);
}

static void a_test_needs_no_variables_of_destinations(void **state) {
    (void)state;
    static const char *const warehouses[] = {"redshift: {url: '${U}', iam_role: '${R}', stage: '${S}'}",
                                             "postgres: {url: '${U}', password_file: '${P}'}", "sqlite: '${F}'", "url: '${U}'"};
    static const sl_config_store stores[] = {SL_STORE_REDSHIFT, SL_STORE_POSTGRES, SL_STORE_SQLITE, SL_STORE_SQLITE};
    for (size_t i = 0; i < 4; i++) {
        char text[1000];
        (void)snprintf(text, sizeof text,
                       "data_dir: ${D}\nhttp: {listen: '${L}', auth: {tokens: ['${T}']}, tls: {cert: '${C}', key: '${K}'}, max_event: 100}\n"
                       "s3: {region: '${R}'}\nlake: {to: '${B}', partition_by: [date]}\nadmin: {listen: '${A}'}\n"
                       "streams: {s: {lake: {to: '${B}'}, warehouse: {table: t}, topic: {to: '${O}'}}}\n"
                       "windows: {w: {of: s, every: 1m, measures: {n: count()}, topic: {to: '${O}'}}}\nwarehouse: {%s}\n",
                       warehouses[i]);
        sl_config *c = NULL;
        sl_error error = {0};
        assert_int_not_equal(load(text, NULL, 0, &c, &error), SL_OK);
        c = loaded(text, NULL, 1);
        assert_int_equal(c->warehouse.store, stores[i]);
        assert_int_equal(c->http.max_event, 100);
        assert_string_equal(c->lake.partition_by[0], "date");
        assert_null(c->streams[0].topic.to);
        assert_null(c->windows[0].topic.to);
        sl_config_destroy(c);
    }
}

static void variables_of_tests_go_before_those_of_the_environment(void **state) {
    (void)state;
    static const char *const environment[] = {"ZONE=Europe/Berlin", "OTHER=UTC", NULL};
    static const char text[] = "timezone: ${ZONE}\ntest_environment: {ZONE: Asia/Tokyo}\n";
    sl_config *c = loaded(text, environment, 1);
    assert_string_equal(c->timezone, "Asia/Tokyo");
    sl_config_destroy(c);
    c = loaded(text, environment, 0);
    assert_string_equal(c->timezone, "Europe/Berlin");
    sl_config_destroy(c);
    c = loaded("timezone: ${OTHER}\ntest_environment: {ZONE: Asia/Tokyo}\n", environment, 1);
    assert_string_equal(c->timezone, "UTC");
    sl_config_destroy(c);
}

static const char lookups[] =
    "lookups: {users: {csv: /nowhere/users.csv, key: id}}\n"
    "streams:\n"
    "  s:\n"
    "    schema: {type: object, properties: {id: {type: string}}}\n"
    "    steps: [lookup: {table: users, on: id, into: user}]\n"
    "tests:\n"
    "  - {name: first, lookups: {users: [{id: a, age: 5}, {id: b, age: 6}]}, expect: {s: [{user.age: 5}]}}\n"
    "  - {name: second, lookups: {users: [{id: a, age: x}]}, expect: {s: [{user: {age: x}}]}}\n"
    "  - {name: third, expect: {}}\n";

static void a_test_brings_its_lookup_tables_along(void **state) {
    (void)state;
    for (uint32_t i = 1; i <= 2; i++) {
        sl_config *c = loaded(lookups, NULL, i);
        assert_true(c->tests[0].own_lookups && c->tests[1].own_lookups && !c->tests[2].own_lookups);
        uint32_t count;
        const sl_lookup_column *columns = sl_lookup_columns(c->lookups[0].table, &count);
        assert_int_equal(count, 2);
        assert_int_equal(columns[1].type, i == 1 ? SL_TYPE_INT64 : SL_TYPE_STRING);
        assert_int_equal(sl_lookup_facts_of(c->lookups[0].table).rows, 3 - i);
        sl_config_destroy(c);
    }
    sl_config *c = NULL;
    sl_error error = {0};
    assert_int_not_equal(load(lookups, NULL, 3, &c, &error), SL_OK);
    assert_non_null(strstr(error.text, "/nowhere/users.csv"));
}

static void a_table_from_outside_has_to_come_with_the_test(void **state) {
    (void)state;
    static const char *const sources[] = {"csv: 's3://bucket/users.csv'", "postgres: '${URL}', query: select 1",
                                          "sqlite: users.db, table: users"};
    static const char *const environment[] = {"URL=postgres://a@localhost/b", NULL};
    for (size_t i = 0; i < 3; i++) {
        char text[1000];
        (void)snprintf(text, sizeof text,
                       "lookups: {users: {%s, key: id}}\n"
                       "tests: [{name: a, lookups: {users: [{id: a}]}, expect: {}}, {name: b, expect: {}}]\n",
                       sources[i]);
        sl_config *c = loaded(text, NULL, 1);
        assert_int_equal(sl_lookup_facts_of(c->lookups[0].table).rows, 1);
        sl_config_destroy(c);
        sl_error error = {0};
        assert_int_not_equal(load(text, environment, 2, &c, &error), SL_OK);
        assert_non_null(strstr(error.text, "give its rows with the test, lookups: { users: [ … ] }"));
    }
}

static void rules_are_read_once_for_all_tests(void **state) {
    (void)state;
    char path[] = "/tmp/sluice-rules-XXXXXX", text[500];
    int file = mkstemp(path);
    static const char rules[] = "user_agent_parsers:\n  - regex: '(Firefox)/(\\d+)'\n"
                                "os_parsers:\n  - regex: '(Linux)'\ndevice_parsers:\n  - regex: '(Phone)'\n";
    assert_true(file >= 0 && write(file, rules, sizeof rules - 1) == (ssize_t)sizeof rules - 1);
    (void)close(file);
    (void)snprintf(text, sizeof text,
                   "streams: {s: {schema: {type: object, properties: {a: {type: string}}},"
                   " steps: [user_agent: {from: a, into: b, regexes: '%s'}]}}\n",
                   path);
    sl_config *first = loaded(text, NULL, 0), *second = NULL, *third = NULL;
    (void)unlink(path);
    sl_error error = {0};
    sl_config_source source = {.text = text, .before = first};
    assert_int_equal(sl_config_load(&source, NULL, NULL, &second, &error), SL_OK);
    assert_ptr_equal(second->streams[0].steps[0].rules, first->streams[0].steps[0].rules);
    sl_config_destroy(first);
    source.before = NULL;
    assert_int_not_equal(sl_config_load(&source, NULL, NULL, &third, &error), SL_OK); /* It is gone. */
    sl_config_destroy(second);
}

static void an_allocation_that_fails_is_told(void **state) {
    (void)state;
    for (uint64_t n = 1;; n++) {
        sl_config *c = NULL;
        sl_error error = {0};
        sl_memory_fail_at(n);
        sl_status status = load(lookups, NULL, 1, &c, &error);
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        if (all)
            assert_int_equal(status, SL_OK);
        else if (status != SL_OK)
            assert_null(c);
        sl_config_destroy(c);
        if (all)
            break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_test_is_read_with_its_places),
        cmocka_unit_test(mistakes_in_a_test_are_found_with_the_nearest_word),
        cmocka_unit_test(a_name_that_two_things_have_needs_its_section),
        cmocka_unit_test(nothing_is_expanded_in_tests),
        cmocka_unit_test(a_test_needs_no_variables_of_destinations),
        cmocka_unit_test(variables_of_tests_go_before_those_of_the_environment),
        cmocka_unit_test(a_test_brings_its_lookup_tables_along),
        cmocka_unit_test(a_table_from_outside_has_to_come_with_the_test),
        cmocka_unit_test(rules_are_read_once_for_all_tests),
        cmocka_unit_test(an_allocation_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
