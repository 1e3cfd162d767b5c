#include "private.h"

#include "memory_files.h"

#include "sluice/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

/* --- comparing --- */

static sl_trial_value *parse(sl_arena *arena, const char *json) {
    sl_trial_value *value = sl_trial_value_parse(arena, json, strlen(json));
    assert_non_null(value);
    return value;
}

static bool same(const char *expected, const char *actual) {
    sl_arena arena;
    sl_arena_init(&arena, 4096);
    bool answer = trial_matches(parse(&arena, expected), parse(&arena, actual));
    sl_arena_fini(&arena);
    return answer;
}

static void numbers_are_equal_as_written(void **state) {
    (void)state;
    static const char *const equal[][2] = {
        {"1500", "1500.00"}, {"0.1", "0.10"},  {"0", "-0.0"},        {"1e3", "1000"},   {"1.5E-7", "0.00000015"},
        {"-12", "-12.0"},    {"100", "1e2"},   {"0.0100", "1e-2"},   {"9007199254740993", "9007199254740993.0"},
    };
    static const char *const different[][2] = {
        {"9007199254740993", "9007199254740992"}, {"1", "-1"}, {"0.1", "0.10000000000000001"}, {"10", "100"}, {"1", "0.1"},
        {"0", "1"}};
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++)
        assert_true(same(equal[i][0], equal[i][1]));
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        assert_false(same(different[i][0], different[i][1]));
}

static void a_number_is_no_text_and_true_is_no_text(void **state) {
    (void)state;
    assert_false(same("5", "\"5\""));
    assert_false(same("\"5\"", "5"));
    assert_false(same("true", "\"true\""));
    assert_true(same("true", "true"));
    assert_false(same("true", "false"));
}

static void times_are_equal_as_instants(void **state) {
    (void)state;
    assert_true(same("\"2026-01-01T01:00:00+01:00\"", "\"2026-01-01T00:00:00Z\""));
    assert_false(same("\"2026-01-01T00:00:00Z\"", "\"2026-01-01T00:00:01Z\""));
    assert_false(same("\"2026-01-01\"", "\"2026-01-01T00:00:00Z\""));
}

static void null_is_absent(void **state) {
    (void)state;
    assert_true(same("{\"a\": null}", "{\"b\": 1}"));
    assert_true(same("{\"a\": null}", "{\"a\": null}"));
    assert_false(same("{\"a\": null}", "{\"a\": 1}"));
    assert_false(same("{\"a\": 1}", "{\"b\": 1}"));
    assert_false(same("{\"a\": 1}", "{\"a\": null}"));
}

static void members_that_are_not_named_are_anything(void **state) {
    (void)state;
    assert_true(same("{\"a\": {\"b\": 1}}", "{\"a\": {\"b\": 1, \"c\": 2}, \"d\": 3}"));
    assert_true(same("{}", "{\"d\": 3}"));
    assert_false(same("{\"a\": {\"b\": 2}}", "{\"a\": {\"b\": 1, \"c\": 2}}"));
}

static void members_are_found_by_path(void **state) {
    (void)state;
    assert_true(same("{\"geo.country\": \"DE\"}", "{\"geo\": {\"country\": \"DE\"}}"));
    assert_true(same("{\"geo.country\": \"DE\"}", "{\"geo_country\": \"DE\"}"));
    assert_true(same("{\"a.b.c\": 1}", "{\"a\": {\"b.c\": 1}}"));
    assert_false(same("{\"geo.country\": \"DE\"}", "{\"geo\": \"DE\"}"));
    assert_false(same("{\"a_b\": 1}", "{\"a\": {\"b\": 1}}"));
}

static void lists_are_equal_as_a_whole_also_when_they_are_json_texts(void **state) {
    (void)state;
    assert_true(same("[1, {\"a\": 1}]", "[1.0, {\"a\": 1, \"b\": 2}]"));
    assert_false(same("[1]", "[1, 2]"));
    assert_false(same("[1, 2]", "[2, 1]"));
    assert_true(same("[1, \"x\"]", "\"[1, \\\"x\\\"]\""));
    assert_true(same("{\"a\": {\"b\": 1}}", "{\"a\": \"{\\\"b\\\": 1}\"}"));
    assert_false(same("[1]", "\"no list\""));
}

static void what_is_no_json_is_no_value(void **state) {
    (void)state;
    sl_arena arena;
    sl_arena_init(&arena, 4096);
    assert_null(sl_trial_value_parse(&arena, "[1", 2));
    assert_null(sl_trial_value_parse(&arena, "}", 1));
    sl_arena_fini(&arena);
}

/* --- judging --- */

typedef struct judging {
    trial_results results;
    trial_report report;
    sl_trial trial;
    sl_trial_expectation expectation;
} judging;

static void come(judging *j, sl_trial_subject subject, const char *name, const char *json) {
    trial_row *row = trial_results_add(&j->results, subject, name);
    assert_non_null(row);
    row->value = parse(&j->results.arena, json);
    row->position = j->results.count;
}

static void begin(judging *j, sl_trial_subject subject, const char *name) {
    static const sl_config none;
    *j = (judging){.report = {.path = "f"}};
    assert_true(trial_results_init(&j->results, &none));
    j->expectation = (sl_trial_expectation){.subject = subject, .name = name, .line = 9};
    j->trial = (sl_trial){.name = "t", .expectations = &j->expectation, .expectation_count = 1, .line = 7};
}

/* @param rows A JSON list. @param text What is said; "": it is as expected. */
static void judge(judging *j, const char *rows, const char *text) {
    j->expectation.rows = rows != NULL ? parse(&j->results.arena, rows) : NULL;
    trial_results_sort(&j->results);
    uint32_t failed = trial_judge(&j->trial, &j->results, &j->report);
    assert_string_equal(sl_buffer_cstr(&j->report.out), text);
    assert_int_equal(failed, *text != 0);
    trial_results_fini(&j->results);
    sl_buffer_fini(&j->report.out);
}

static void rows_are_an_exact_list(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_ROWS, "s");
    come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 1}");
    come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 2}");
    judge(&j, "[{\"id\": 1}, {\"id\": 2}]", "");
    begin(&j, SL_TRIAL_ROWS, "s");
    judge(&j, "[]", "");
}

static void a_row_that_differs_is_shown_member_by_member(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_ROWS, "s");
    come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 1, \"flag\": false, \"more\": 1}");
    judge(&j, "[{\"id\": 1, \"flag\": true}]",
          "      f:1: s: row 1 differs (- expected, + came)\n"
          "          id   1\n"
          "        - flag true\n"
          "        + flag false\n");
}

static void a_missing_row_leaves_those_behind_it_alone(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_ROWS, "s");
    come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 2}");
    come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 3}");
    judge(&j, "[{\"id\": 1}, {\"id\": 2}, {\"id\": 3}]",
          "      f:1: s: a row is missing\n"
          "        - { id: 1 }\n");
}

static void a_row_too_many_is_shown_where_the_expectation_stands(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_LATE, "s");
    come(&j, SL_TRIAL_LATE, "s", "{\"id\": 1}");
    come(&j, SL_TRIAL_LATE, "s", "{\"id\": 2, \"gone\": null}");
    come(&j, SL_TRIAL_LATE, "s", "{\"id\": 3}");
    judge(&j, "[{\"id\": 1}, {\"id\": 3}]",
          "      f:9: late: s: row 2 wasn't expected\n"
          "        + { id: 2 }\n");
}

static void contained_rows_may_stand_anywhere_and_each_counts_once(void **state) {
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        judging j;
        begin(&j, SL_TRIAL_ROWS, "s");
        j.expectation.contains = true;
        come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 1, \"k\": 1}");
        come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 2, \"k\": 2}");
        judge(&j, twice ? "[{\"id\": 2}, {\"k\": 2}]" : "[{\"id\": 2}, {\"k\": 1}]",
              twice ? "      f:1: s: a row is missing\n        - { k: 2 }\n" : "");
    }
}

static void rows_are_counted(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 3; n++) {
        judging j;
        begin(&j, SL_TRIAL_ROWS, "s");
        j.expectation.counted = true;
        j.expectation.count = n;
        come(&j, SL_TRIAL_ROWS, "s", "{}");
        come(&j, SL_TRIAL_ROWS, "other", "{}");
        judge(&j, NULL, n == 1 ? "" : "      f:9: s: 2 expected, 1 came\n");
    }
}

static void paths_need_no_slash_and_are_there_once(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_PATHS, "s");
    come(&j, SL_TRIAL_PATHS, "s", "\"b/\"");
    come(&j, SL_TRIAL_PATHS, "s", "\"a/\"");
    come(&j, SL_TRIAL_PATHS, "s", "\"b/\"");
    judge(&j, "[\"a\", \"b/\"]", "");
    begin(&j, SL_TRIAL_PATHS, "s");
    come(&j, SL_TRIAL_PATHS, "s", "\"b/\"");
    judge(&j, "[\"a\"]", "      f:1: paths: s: path 1 differs (- expected, + came)\n        - \"a\"\n        + \"b/\"\n");
}

static void a_part_of_a_message_will_do(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_DEAD_LETTERS, "");
    come(&j, SL_TRIAL_DEAD_LETTERS, "", "{\"code\": \"type\", \"message\": \"expected string, found a number\"}");
    judge(&j, "[{\"code\": \"type\", \"message\": \"found a\"}]", "");
}

static void a_refusal_that_nobody_expects_fails(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_ROWS, "s");
    come(&j, SL_TRIAL_DEAD_LETTERS, "", "{\"code\": \"type\"}");
    judge(&j, "[]", "      f:7: dead_letters: row 1 wasn't expected\n        + { code: \"type\" }\n");
}

static void what_differs_much_is_not_shown_in_full(void **state) {
    (void)state;
    judging j;
    begin(&j, SL_TRIAL_ROWS, "s");
    for (int i = 0; i < 3000; i++)
        come(&j, SL_TRIAL_ROWS, "s", "{\"id\": 1}");
    j.expectation.rows = parse(&j.results.arena, "[{\"id\": 2}]");
    assert_int_equal(trial_judge(&j.trial, &j.results, &j.report), 1);
    assert_non_null(strstr(sl_buffer_cstr(&j.report.out), "row 20 wasn't"));
    assert_null(strstr(sl_buffer_cstr(&j.report.out), "row 21 wasn't"));
    assert_non_null(strstr(sl_buffer_cstr(&j.report.out), "      and more\n"));
    trial_results_fini(&j.results);
    sl_buffer_fini(&j.report.out);
}

static void windows_are_sorted_by_start_and_group(void **state) {
    (void)state;
    static const char *const rows[] = {
        "{\"window_start\": \"2026-01-01T00:01:00Z\", \"k\": 1, \"n\": 1}",
        "{\"window_start\": \"2026-01-01T00:00:00Z\", \"k\": 10, \"n\": 2}",
        "{\"window_start\": \"2026-01-01T00:00:00Z\", \"k\": 9, \"n\": 3}",
        "{\"window_start\": \"2026-01-01T00:00:00Z\", \"k\": null, \"n\": 4}"};
    judging j;
    begin(&j, SL_TRIAL_WINDOW, "w");
    for (size_t i = 0; i < 4; i++) {
        come(&j, SL_TRIAL_WINDOW, "w", rows[i]);
        j.results.rows[i].keys = 2;
    }
    judge(&j, "[{\"n\": 4}, {\"n\": 3}, {\"n\": 2}, {\"n\": 1}]", "");
}

/* --- files in memory --- */

static sl_status note(void *context, const sl_file_entry *entry) {
    sl_buffer_printf(context, "%s%s %u;", entry->name, entry->directory ? "/" : "", (unsigned)entry->size);
    return SL_OK;
}

static void files_have_names_and_content(void **state) {
    (void)state;
    memory_files *m = memory_files_create();
    sl_files *f = memory_files_port(m);
    int file, other;
    char bytes[8];
    size_t got;
    uint64_t size;
    sl_error error;
    assert_int_equal(f->make_directories(f, "/d", &error), SL_OK);
    assert_int_equal(f->open(f, "/d/a", SL_FILE_READ, &file, &error), SL_ENOTFOUND);
    assert_int_equal(f->open(f, "/d/a", SL_FILE_WRITE | SL_FILE_CREATE, &file, &error), SL_OK);
    assert_int_equal(f->open(f, "/d/a", SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_EXCLUSIVE, &other, &error), SL_EEXIST);
    assert_int_equal(f->write(f, file, "xyz", 3, 2, &error), SL_OK);
    assert_int_equal(f->read(f, file, bytes, 8, 1, &got, &error), SL_OK);
    assert_int_equal(got, 4);
    assert_memory_equal(bytes, "\0xyz", 4);
    assert_int_equal(f->read(f, file, bytes, 8, 99, &got, &error), SL_OK);
    assert_int_equal(got, 0);
    assert_int_equal(f->truncate(f, file, 3, &error), SL_OK);
    assert_int_equal(f->size(f, file, &size, &error), SL_OK);
    assert_int_equal(size, 3);
    assert_int_equal(f->link(f, "/d/a", "/d/b", &error), SL_OK);
    assert_int_equal(f->link(f, "/d/a", "/d/b", &error), SL_EEXIST);
    assert_int_equal(f->rename(f, "/d/a", "/d/c", &error), SL_OK);
    assert_int_equal(f->unlink(f, "/d/a", &error), SL_ENOTFOUND);
    sl_buffer names = SL_BUFFER_EMPTY;
    assert_int_equal(f->list(f, "/d", note, &names, &error), SL_OK);
    assert_string_equal(sl_buffer_cstr(&names), "b 3;c 3;");
    assert_int_equal(f->list(f, "/none", note, &names, &error), SL_ENOTFOUND);
    assert_int_equal(f->unlink(f, "/d/b", &error), SL_OK);
    assert_int_equal(f->unlink(f, "/d/c", &error), SL_OK);
    assert_int_equal(f->read(f, file, bytes, 8, 0, &got, &error), SL_OK); /* Open, it is there. */
    assert_int_equal(got, 3);
    f->close(f, file);
    sl_buffer_fini(&names);
    memory_files_destroy(m);
}

static void random_numbers_are_the_same_in_each_run(void **state) {
    (void)state;
    uint8_t drawn[2][16];
    for (int i = 0; i < 2; i++) {
        memory_files *m = memory_files_create();
        sl_files *f = memory_files_port(m);
        int file;
        size_t got;
        assert_int_equal(f->open(f, "/dev/urandom", SL_FILE_READ, &file, NULL), SL_OK);
        assert_int_equal(f->read(f, file, drawn[i], 16, 0, &got, NULL), SL_OK);
        f->close(f, file);
        memory_files_destroy(m);
    }
    assert_memory_equal(drawn[0], drawn[1], 16);
}

/* --- a test as a whole --- */

static const char whole[] =
    "streams:\n"
    "  s:\n"
    "    schema: {type: object, properties: {id: {type: string}, at: {type: string, format: date-time}, n: {type: integer},"
    " o: {type: object, properties: {k: {type: string}}}}}\n"
    "    event_time: at\n"
    "    id: id\n"
    "    dedupe: 1h\n"
    "    steps: [where: 'n != 0', require: {n: 'n < 10'}]\n"
    "    lake: {partition_by: [o.k, hour]}\n"
    "windows:\n"
    "  w: {of: s, every: 1m, by: [o.k], measures: {n: count(), users: unique(id), sum: sum(n)}}\n"
    "tests:\n"
    "  - name: everything\n"
    "    events:\n"
    "      - {stream: s, event: {id: a, at: 2026-01-01T05:00:00Z, n: 1, o: {k: x}}}\n"
    "      - {stream: s, event: {id: b, at: 2026-01-01T05:00:10Z, n: 2, o: {k: y}}}\n"
    "      - {stream: s, event: {id: a, at: 2026-01-01T05:00:00Z, n: 1, o: {k: x}}, at: +30m}\n"
    "      - {stream: s, event: {id: c, at: 2026-01-01T05:00:20Z, n: 3, o: {k: x}}, at: 2026-01-01T05:30:00Z}\n"
    "      - {stream: s, event: {id: d, n: 0}}\n"
    "      - {stream: s, event: {id: e, n: 10}}\n"
    "      - {stream: s, event: {id: f, at: 2026-01-01T03:00:00Z, n: 5}}\n"
    "      - {stream: s, raw: 'x'}\n"
    "    expect:\n"
    "      s: [{id: a, o: {k: x}}, {id: b, o.k: y}, {id: c, n: 3}]\n"
    "      w: [{window_start: 2026-01-01T05:00:00Z, o_k: x, n: 2, users: 2, sum: 4}, {o.k: y, n: 1}]\n"
    "      late: {s: [{id: f, n: 5}]}\n"
    "      dead_letters: [{code: require, path: /n, arrived: 2026-01-01T05:30:00Z}, {code: syntax, raw: x}]\n"
    "      duplicates: {s: 1}\n"
    "      filtered: {s: 1}\n"
    "      paths: {s: [o.k=x/hour=05, o.k=y/hour=05]}\n";

/* @return whether it could be run; then `said` is what is said of it, "" when all is as expected. Else it is why not. */
static bool run_whole(sl_buffer *said) {
    const sl_config_source source = {.text = whole, .trial = 1};
    sl_config *config = NULL;
    sl_error error = {0};
    trial_results results;
    trial_report report = {.path = "f"};
    if (sl_config_load(&source, NULL, NULL, &config, &error) != SL_OK) {
        sl_buffer_text(said, error.text);
        return false;
    }
    bool good = trial_results_init(&results, config) && trial_isolate(config, &config->tests[0], &results.arena) &&
                trial_run(config, &config->tests[0], &results, &error) == SL_OK;
    if (good)
        (void)trial_judge(&config->tests[0], &results, &report);
    good = good && !report.out.failed;
    sl_buffer_text(said, good ? sl_buffer_cstr(&report.out) : error.text);
    sl_buffer_fini(&report.out);
    trial_results_fini(&results);
    sl_config_destroy(config);
    return good;
}

static void a_test_is_run_by_the_engine(void **state) {
    (void)state;
    sl_buffer said = SL_BUFFER_EMPTY;
    bool ran = run_whole(&said);
    assert_string_equal(sl_buffer_cstr(&said), "");
    assert_true(ran);
    sl_buffer_fini(&said);
}

/* Where memory is short a test can't be run, or it is run well: its result is never another one. */
static void short_memory_is_no_other_result(void **state) {
    (void)state;
    uint32_t failed = 0;
    for (uint64_t n = 1;; n += n < 100 ? 1 : 11) {
        sl_buffer said = SL_BUFFER_EMPTY;
        sl_memory_fail_at(n);
        bool ran = run_whole(&said), all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        if (ran && !said.failed)
            assert_string_equal(sl_buffer_cstr(&said), "");
        failed += !ran;
        sl_buffer_fini(&said);
        if (all)
            break;
    }
    assert_true(failed > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_equal_as_written),
        cmocka_unit_test(a_number_is_no_text_and_true_is_no_text),
        cmocka_unit_test(times_are_equal_as_instants),
        cmocka_unit_test(null_is_absent),
        cmocka_unit_test(members_that_are_not_named_are_anything),
        cmocka_unit_test(members_are_found_by_path),
        cmocka_unit_test(lists_are_equal_as_a_whole_also_when_they_are_json_texts),
        cmocka_unit_test(what_is_no_json_is_no_value),
        cmocka_unit_test(rows_are_an_exact_list),
        cmocka_unit_test(a_row_that_differs_is_shown_member_by_member),
        cmocka_unit_test(a_missing_row_leaves_those_behind_it_alone),
        cmocka_unit_test(a_row_too_many_is_shown_where_the_expectation_stands),
        cmocka_unit_test(contained_rows_may_stand_anywhere_and_each_counts_once),
        cmocka_unit_test(rows_are_counted),
        cmocka_unit_test(paths_need_no_slash_and_are_there_once),
        cmocka_unit_test(a_part_of_a_message_will_do),
        cmocka_unit_test(a_refusal_that_nobody_expects_fails),
        cmocka_unit_test(what_differs_much_is_not_shown_in_full),
        cmocka_unit_test(windows_are_sorted_by_start_and_group),
        cmocka_unit_test(files_have_names_and_content),
        cmocka_unit_test(random_numbers_are_the_same_in_each_run),
        cmocka_unit_test(a_test_is_run_by_the_engine),
        cmocka_unit_test(short_memory_is_no_other_result),
    };
    sl_message_configure(SL_LEVEL_ERROR, false, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
