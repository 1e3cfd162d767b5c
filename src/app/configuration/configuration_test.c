// How a text is read (defaults, values, anchors, limits), and what becomes of streams and windows.

#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "configuration_test_help.h"

static void nothing_configured_gives_the_documented_defaults(void **state) {
    (void)state;
    static const char *const texts[] = {"",   "# nothing\n", "---\n...\n",
                                        "{}", "null",        "http:\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sl_config *c = must_load(texts[i]);
        assert_true(c->embedded);
        assert_string_equal(c->data_dir, "./sluice-data");
        assert_string_equal(c->timezone, "UTC");
        assert_string_equal(c->http.listen, "127.0.0.1:8080");
        assert_string_equal(c->admin.listen, c->http.listen);
        assert_string_equal(c->lake.to, "./sluice-data/lake");
        assert_string_equal(c->warehouse.sqlite, "./sluice-data/warehouse.db");
        assert_int_equal(c->memory, UINT64_C(512) << 20);
        assert_int_equal(c->journal.quota, UINT64_C(10) << 30);
        assert_int_equal(c->spool.quota, UINT64_C(10) << 30);
        assert_int_equal(c->http.max_body, 10 << 20);
        assert_int_equal(c->http.max_event, 1 << 20);
        assert_int_equal(c->lake.max_age_us, 60 * SL_SECOND_US);
        assert_int_equal(c->lake.target_size, 128 << 20);
        assert_int_equal(c->cut_every_us, 10 * SL_SECOND_US);
        assert_true(c->workers >= 1);
        assert_true(c->journal.fsync);
        assert_false(c->http.auth_none);
        assert_int_equal(c->http.token_count, 0);
        assert_int_equal(c->stream_count, 0);
        assert_int_equal(last.count, 0);
        sl_config_destroy(c);
    }
}

static void json_is_accepted(void **state) {
    (void)state;
    sl_config *c =
        must_load("{\"data_dir\": \"/d\", \"workers\": 3,\n\t\"http\": {\"listen\": "
                  "\"[::1]:1\"}, \"streams\": {\"s\": {\"from\": [\"http\"]}}}");
    assert_string_equal(c->data_dir, "/d");
    assert_int_equal(c->workers, 3);
    assert_string_equal(c->streams[0].lake.to, "/d/lake/s");
    sl_config_destroy(c);
}

static void variables_are_expanded_after_parsing(void **state) {
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"data_dir: ${SET}", "value"},
        {"data_dir: /a/${SET}/${EMPTY}b", "/a/value/b"},
        {"data_dir: ${EMPTY:-x}", "x"},
        {"data_dir: ${NOBODY:-x y}", "x y"},
        {"data_dir: ${SET:-x}", "value"},
        {"data_dir: ${SET:?gone}", "value"},
        {"data_dir: ${NOBODY:-${SET}}/z", "value/z"},
        {"data_dir: '${NOBODY:-${EMPTY:-c}}'", "c"},
        {"data_dir: $$SET", "$SET"},
        {"data_dir: $${SET}", "${SET}"},
        {"data_dir: a$b", "a$b"},
        {"data_dir: ${QUOTE}", "a: [b"},
        {"data_dir: \"${DOLLARS}\"", "$$ ${SET}"},
        {"data_dir: ${NOBODY:-}", "./sluice-data"},
        {"data_dir: ~", "./sluice-data"},
        {"data_dir: \"~\"", "~"},
        {"data_dir: !!str 5", "5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_config *c = must_load(cases[i].text);
        assert_string_equal(c->data_dir, cases[i].expected);
        sl_config_destroy(c);
    }
    sl_config *c = must_load(
        "http: { listen: \"127.0.0.1:${PORT:-1}\", max_connections: \"${PORT}\" }");
    assert_string_equal(c->http.listen, "127.0.0.1:9000");
    assert_int_equal(c->http.max_connections, 9000);
    sl_config_destroy(c);
}

static void sizes_and_durations_have_their_units(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"1B", 1},
                {"1KiB", 1024},
                {"1kB", 1000},
                {"1KB", 1000},
                {"2MiB", 2 << 20},
                {"10GB", UINT64_C(10000000000)},
                {"1 GiB", 1 << 30},
                {"1TiB", UINT64_C(1) << 40},
                {"3TB", UINT64_C(3000000000000)}};
    static const char *const bad[] = {"",   "B",     "1K",   "1M",     "1 G", "1.5GiB",
                                      "-1", "1GiBs", "0x10", "1  GiB", " 1"};
    uint64_t bytes;
    char text[32];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sl_size_parse(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
        sl_size_format(bytes, text);
        assert_true(sl_size_parse(text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sl_size_parse(bad[i], &bytes));
    static const int64_t durations[] = {0,
                                        1,
                                        1000,
                                        1500,
                                        250000,
                                        SL_SECOND_US,
                                        90 * SL_SECOND_US,
                                        SL_HOUR_US,
                                        7 * SL_DAY_US};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        int64_t us;
        sl_duration_format(durations[i], text);
        assert_true(sl_duration_parse(text, strlen(text), &us));
        assert_int_equal(us, durations[i]);
    }
}

static void addresses_and_the_admin_rule(void **state) {
    (void)state;
    static const struct {
        const char *listen, *admin;
    } cases[] = {
        {"127.0.0.1:1", "127.0.0.1:1"},  {"127.9.9.9:1", "127.9.9.9:1"},
        {"localhost:1", "localhost:1"},  {"[::1]:1", "[::1]:1"},
        {"0.0.0.0:1", "127.0.0.1:8081"}, {"127.0.0.1.example.org:1", "127.0.0.1:8081"},
        {"[::]:1", "127.0.0.1:8081"},    {"192.0.2.1:65535", "127.0.0.1:8081"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100];
        snprintf(text, sizeof text, "http: { listen: \"%s\", auth: none }",
                 cases[i].listen);
        sl_config *c = must_load(text);
        assert_string_equal(c->http.listen, cases[i].listen);
        assert_string_equal(c->admin.listen, cases[i].admin);
        sl_config_destroy(c);
    }
    sl_config *c = must_load(
        "http: { listen: \":1\", auth: { tokens: [t] } }\nadmin: { listen: \":2\" }");
    assert_string_equal(c->http.listen, "0.0.0.0:1");
    assert_string_equal(c->admin.listen, "0.0.0.0:2");
    sl_config_destroy(c);
}

static void anchors_aliases_and_merges(void **state) {
    (void)state;
    sl_config *c = must_load("streams:\n"
                             "  a: { lake: &base { max_age: 5m, codec: none } }\n"
                             "  b: { lake: *base }\n"
                             "  c: { lake: { <<: *base, codec: snappy } }\n"
                             "  d: { lake: { <<: [{ target_size: 1MiB }, *base] } }\n");
    assert_int_equal(c->streams[1].lake.max_age_us, 5 * SL_MINUTE_US);
    assert_int_equal(c->streams[2].lake.max_age_us, 5 * SL_MINUTE_US);
    assert_int_equal(c->streams[2].lake.codec, SL_PARQUET_SNAPPY);
    assert_int_equal(c->streams[3].lake.codec, SL_PARQUET_NONE);
    assert_int_equal(c->streams[3].lake.target_size, 1 << 20);
    sl_config_destroy(c);
}

static void an_alias_bomb_is_refused(void **state) {
    (void)state;
    char text[2000] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; i++) {
        char line[128];
        snprintf(line, sizeof line,
                 "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strcat(text, line);
    }
    assert_null(load(text));
    assert_int_equal(wrong.status, SL_ELIMIT);
    assert_non_null(strstr(wrong.text, "aliases make more than 10000 values"));
}

static void depth_and_number_of_values_are_limited(void **state) {
    (void)state;
    char deep[300] = "a: ";
    memset(deep + 3, '[', 200);
    assert_null(load(deep));
    assert_non_null(strstr(wrong.text, "configuration:1:67: deeper than 64 levels"));

    char *many = calloc(1, 200000);
    assert_non_null(many);
    strcpy(many, "a: [");
    for (size_t i = 4; i < 4 + 2 * 60000; i += 2)
        memcpy(many + i, "1,", 2);
    assert_null(load(many));
    assert_non_null(strstr(wrong.text, "more than 50000 values"));
    size_t used = 0;
    for (int i = 0; i < 2100; i++)
        used += (size_t)snprintf(many + used, 200000 - used, "k%d: v\n", i);
    assert_null(load(many));
    assert_string_equal(wrong.text, "configuration:2001:8: more than 2000 entries");
    char nested[600] = "";
    for (int i = 0; i < 10;
         i++) { /* Each a step deeper than the one before, by aliases. */
        char line[60];
        snprintf(line, sizeof line,
                 i ? "k%d: &a%d [[[[[[[[[[*a%d]]]]]]]]]]\n" : "k%d: &a%d x\n", i, i,
                 i - 1);
        strcat(nested, line);
    }
    assert_null(load(nested));
    assert_non_null(strstr(wrong.text, ": deeper than 64 levels"));
    char expanding[1400] = "data_dir: ";
    for (int i = 0; i < 120; i++)
        strcat(expanding, "${BIG}");
    memset(many, 'x', 10000);
    memcpy(many, "BIG=", 4);
    many[10000] = 0;
    const char *const environment[] = {many, NULL};
    assert_null(load_with(expanding, environment));
    assert_non_null(strstr(wrong.text, "more than 1048576 bytes after expansion"));
    free(many);
}

static void a_stream_goes_to_the_lake_unless_it_says_otherwise(void **state) {
    (void)state;
    sl_config *c =
        must_load("data_dir: /d\nlake: { max_age: 7s, partition_by: [date] }\n"
                  "streams:\n  a:\n  b: { warehouse: {} }\n"
                  "  c-d: { warehouse: { table: t }, lake: { to: /e, codec: zstd } }\n"
                  "  e.f: { warehouse: , lake: { partition_by: [] } }\n");
    assert_false(c->embedded);
    assert_true(c->streams[0].has_lake);
    assert_string_equal(c->streams[0].lake.to, "/d/lake/a");
    assert_int_equal(c->streams[0].lake.max_age_us, 7 * SL_SECOND_US);
    assert_string_equal(c->streams[0].lake.partition_by[0], "date");
    assert_null(c->streams[0].warehouse.name);
    assert_false(c->streams[1].has_lake);
    assert_string_equal(c->streams[1].warehouse.name, "b");
    assert_true(c->streams[2].has_lake);
    assert_string_equal(c->streams[2].lake.to, "/e");
    assert_string_equal(c->streams[2].warehouse.name, "t");
    assert_int_equal(c->streams[2].lake.codec, SL_PARQUET_ZSTD);
    assert_string_equal(c->streams[3].warehouse.name, "e_f");
    assert_int_equal(c->streams[3].lake.partition_count, 0);
    assert_int_equal(c->streams[2].line, 6);
    sl_config_destroy(c);
}

static void added_columns_come_behind_the_events_own_and_rest_last(void **state) {
    (void)state;
    sl_config *c =
        must_load("streams:\n"
                  "  open: { add: [source, processed_at], schema: { type: object, "
                  "properties: { a: { type: string } } } }\n"
                  "  closed: { schema: { type: object, properties: { a: { type: string } "
                  "}, additionalProperties: false } }\n"
                  "  inferred: { add: source }\n");
    const sl_schema *s = c->streams[0].schema;
    assert_int_equal(s->count, 5);
    assert_string_equal(s->fields[2].name, "processed_at");
    assert_int_equal(s->fields[2].origin, SL_ORIGIN_PROCESSED_AT);
    assert_int_equal(s->fields[2].type, SL_TYPE_TIMESTAMP);
    assert_false(s->fields[2].nullable);
    assert_string_equal(s->fields[3].name, "source");
    assert_int_equal(s->fields[3].origin, SL_ORIGIN_SOURCE);
    assert_int_equal(s->fields[3].type, SL_TYPE_STRING);
    assert_string_equal(s->fields[4].name, "_rest");
    assert_int_equal(s->fields[4].origin, SL_ORIGIN_REST);
    assert_int_equal(s->fields[4].type, SL_TYPE_JSON);
    assert_true(s->fields[4].nullable);
    assert_int_equal(s->rest, 4);
    s = c->streams[1].schema;
    assert_int_equal(s->count, 2);
    assert_int_equal(s->rest, SL_NO_FIELD);
    assert_null(c->streams[2].schema);
    assert_true(c->streams[2].source && !c->streams[2].processed_at);
    sl_config_destroy(c);
}

static void windows_take_over_their_streams_event_time(void **state) {
    (void)state;
    sl_config *c = must_load(
        STREAM("    event_time: t\n") "windows:\n  w: { of: s, every: 5m, by: [o.c, "
                                      "user], lateness: 1h, measures: { n: count(), "
                                      "u: unique(user), share: u / n } }\n  v: { of: s, "
                                      "every: 1h, measures: { n: count() }, "
                                      "warehouse: { table: other } }\n");
    const sl_config_window *w = &c->windows[0];
    assert_string_equal(w->of, "s");
    assert_string_equal(w->definition.event_time, "t");
    assert_int_equal(w->definition.width_us, 5 * SL_MINUTE_US);
    assert_int_equal(w->definition.lateness_us, SL_HOUR_US);
    assert_int_equal(w->definition.by_count, 2);
    assert_string_equal(w->definition.by[0], "o.c");
    assert_int_equal(w->definition.measure_count, 3);
    assert_string_equal(w->definition.measures[2].text, "u / n");
    assert_string_equal(w->warehouse.name, "w");
    assert_string_equal(c->windows[1].warehouse.name, "other");
    sl_config_destroy(c);
}

static void a_window_that_does_not_compile_is_refused_at_its_measure(void **state) {
    (void)state;
    static const char head[] = STREAM("") "windows:\n  w:\n    of: s\n    every: 1m\n";
    static const struct {
        const char *tail, *place;
    } cases[] = {
        {"    measures:\n      n: count()\n      x: sum(nobody)\n",
         "configuration:10:10: "},
        {"    measures:\n      n: count(\n", "configuration:9:10: "},
        {"    by: [nobody]\n    measures: { n: count() }\n", "configuration:8:9: "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1000];
        snprintf(text, sizeof text, "%s%s", head, cases[i].tail);
        assert_null(load(text));
        if (strstr(wrong.text, cases[i].place) != wrong.text ||
            !strstr(wrong.text, "window w"))
            fail_msg("wanted %s, got %s", cases[i].place, wrong.text);
    }
}

static void windows_follow_a_time_zone_without_daylight_saving(void **state) {
    (void)state;
    static const struct {
        const char *zone, *every;
        int64_t offset_us;
    } cases[] = {{"Asia/Kolkata", "1d", 330 * SL_MINUTE_US},
                 {"Asia/Kolkata", "1h", 30 * SL_MINUTE_US},
                 {"Asia/Kolkata", "1m", 0},
                 {"America/Phoenix", "1d", 17 * SL_HOUR_US},
                 {"Europe/Berlin", "1h", 0},
                 {"UTC", "1d", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "timezone: %s\nstreams: { s: {} }\nwindows: { w: { of: s, every: %s, "
                 "measures: { n: "
                 "count() } } }\n",
                 cases[i].zone, cases[i].every);
        sl_config *c = must_load(text);
        assert_int_equal(c->windows[0].definition.offset_us, cases[i].offset_us);
        sl_config_destroy(c);
    }
}

static void numbers_of_an_inline_schema_are_json_numbers(void **state) {
    (void)state;
    static const char text[] = "a: [0, -1, 12, 1.5, -0.25, 1e3, 2E-7, 3.0e+10, 01, 1., "
                               ".5, +1, 0x1, 1e, -x, True, ~, "
                               "'1', !!str 1, yes, \"$\", null, FALSE, 1_000]\n";
    sl_tree tree;
    sl_error error = {0};
    sl_yaml_init(&tree, "t");
    if (sl_yaml_parse(&tree, text, strlen(text), &error))
        fail_msg("%s", error.text);
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_yaml_json(tree.root, true, &out);
    assert_string_equal(sl_buffer_cstr(&out),
                        "{\"a\": [0, -1, 12, 1.5, -0.25, 1e3, 2E-7, 3.0e+10, \"01\", "
                        "\"1.\", \".5\", \"+1\", "
                        "\"0x1\", \"1e\", \"-x\", true, null, \"1\", \"1\", \"yes\", "
                        "\"$$\", null, false, "
                        "\"1_000\"]}");
    sl_buffer_fini(&out);
    sl_yaml_fini(&tree);
}

static void a_when_that_is_never_asked_is_told(void **state) {
    (void)state;
    sl_config *config = must_load("streams:\n  a: { schema: { properties: { k: { type: string } } }, when: 'k == \"a\"' }\n  b: {}\n"
                                  "  c: { schema: { properties: { k: { type: string } } }, when: 'k == \"c\"' }\n");
    assert_string_equal(config->streams[0].when, "k == \"a\"");
    assert_null(config->streams[1].when);
    assert_string_equal(last.text, "stream c: its `when` is never asked: stream b stands before it and takes every event");
    sl_config_destroy(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_when_that_is_never_asked_is_told),
        cmocka_unit_test(nothing_configured_gives_the_documented_defaults),
        cmocka_unit_test(json_is_accepted),
        cmocka_unit_test(variables_are_expanded_after_parsing),
        cmocka_unit_test(sizes_and_durations_have_their_units),
        cmocka_unit_test(addresses_and_the_admin_rule),
        cmocka_unit_test(anchors_aliases_and_merges),
        cmocka_unit_test(an_alias_bomb_is_refused),
        cmocka_unit_test(depth_and_number_of_values_are_limited),
        cmocka_unit_test(a_stream_goes_to_the_lake_unless_it_says_otherwise),
        cmocka_unit_test(added_columns_come_behind_the_events_own_and_rest_last),
        cmocka_unit_test(windows_take_over_their_streams_event_time),
        cmocka_unit_test(a_window_that_does_not_compile_is_refused_at_its_measure),
        cmocka_unit_test(windows_follow_a_time_zone_without_daylight_saving),
        cmocka_unit_test(numbers_of_an_inline_schema_are_json_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
