// What is shown of a configuration and of the table of parameters; a text that has of everything, with each allocation failing once.

#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "configuration_test_help.h"

static const char shown_input[] =
    "data_dir: /d\ntimezone: UTC\nmemory: 600MiB\nworkers: 3\n"
    "http: { auth: none, max_body: 1000kB, idle_timeout: 1500ms, max_event: 100KiB }\n"
    "streams:\n  a-b:\n    from: http\n    schema: { type: object, title: \"it's ${SET} "
    "$$5\", "
    "properties: { t: { type: string, format: date-time }, \"x\": { type: [number, "
    "\"null\"] } } }\n"
    "    event_time: t\n    add: [source]\n    late_limit: 90s\n    lake: { "
    "partition_by: [x, date] }\n"
    "  b: { warehouse: {} }\n"
    "windows:\n  w:\n    of: a-b\n    every: 1m\n    by: [x]\n    measures: { n: "
    "count(), s: sum(x) }\n";

static void what_is_shown_loads_again_and_is_the_same(void **state) {
    (void)state;
    sl_config *c = must_load(shown_input);
    assert_non_null(strstr(c->text, "  auth: none\n"));
    assert_non_null(strstr(c->text, "  max_body: 1000000\n"));
    assert_non_null(strstr(
        c->text, "    schema: {\"type\": \"object\", \"title\": \"it's value $$5\", "));
    assert_non_null(strstr(c->text, "      partition_by: [x, date]\n"));
    assert_non_null(strstr(c->text, "    warehouse:\n      table: b\n"));
    sl_config *again = must_load(c->text);
    assert_string_equal(c->text, again->text);
    assert_string_equal(again->data_dir, "/d");
    assert_int_equal(again->streams[0].late_limit_us, 90 * SL_SECOND_US);
    assert_false(again->streams[1].has_lake);
    sl_config_destroy(again);
    sl_config_destroy(c);
    c = must_load("data_dir: \"/c:/\"");
    again = must_load(c->text);
    assert_string_equal(again->lake.to, "/c:/lake");
    sl_config_destroy(again);
    sl_config_destroy(c);
    c = must_load("");
    again = must_load(c->text);
    assert_string_equal(c->text, again->text);
    sl_config_destroy(again);
    sl_config_destroy(c);
}

static void the_table_prints_in_three_forms(void **state) {
    (void)state;
    static const char *const forms[] = {"text", "markdown", "man"};
    for (size_t i = 0; i < 3; i++) {
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_config_print_parameters(forms[i], &out);
        const char *text = sl_buffer_cstr(&out);
        for (size_t k = 0; k < sl_parameter_count; k++)
            assert_non_null(strstr(text, sl_parameters[k].path));
        for (size_t k = 0; k < sl_variable_count; k++)
            assert_non_null(strstr(text, sl_variables[k].name));
        sl_buffer_fini(&out);
    }
}

static void the_documentation_is_the_tables(void **state) {
    (void)state;
    char *page = read_all("/docs/configuration.md");
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_config_print_parameters("markdown", &out);
    if (strcmp(page, sl_buffer_cstr(&out)))
        fail_msg("docs/configuration.md is old: build the target configuration_docs");
    sl_buffer_fini(&out);
    free(page);
}

/** Load with each allocation failing in turn: it is reported, or changes nothing. */
static void fail_everywhere(const sl_config_source *source) {
    sl_config *whole = load_with(source->text, source->environment);
    if (!whole)
        fail_msg("%s", wrong.text);
    unsigned refused = 0;
    for (uint64_t n = 1;; n++) {
        sl_config *config = NULL;
        sl_error error = {0};
        sl_memory_fail_at(n);
        sl_status status = sl_config_load(source, NULL, NULL, &config, &error);
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        /* A schema's reader does without the text that only its messages need. */
        if (status == SL_OK)
            assert_string_equal(config->text, whole->text);
        else if (status != SL_ENOMEM)
            fail_msg("allocation %llu: %s: %s", (unsigned long long)n,
                     sl_status_name(status), error.text);
        refused += status == SL_ENOMEM;
        sl_config_destroy(config);
        if (calls < n)
            break;
    }
    assert_true(refused > 3);
    sl_config_destroy(whole);
}

static void a_failing_allocation_anywhere_is_reported_or_changes_nothing(void **state) {
    (void)state;
    static const char *const environment[] = {
        "SET=value",       "SLUICE_MEMORY=700MiB",
        "SLUICE_TOKEN=t1", "SLUICE_HTTP_AUTH_TOKENS=t2,t3",
        "SLUICE_LAKE=/l",  NULL};
    static const char *const container[] = {
        "SLUICE_SCHEMA={\"type\":\"object\",\"properties\":{\"ts\":{\"type\":\"string\","
        "\"format\":\"date-time\"}}}",
        "SLUICE_WAREHOUSE_URL=sqlite:/w.db", NULL};
    fail_everywhere(&(sl_config_source){.text = shown_input, .environment = environment});
    fail_everywhere(&(sl_config_source){.text = "", .environment = container});
    fail_everywhere(&(sl_config_source){
        .text = "http: { auth: { aws_keys: [A:b, { access_key_id: C, secret_access_key: d }] } }"});
    static const char *const warehouse[] = {"SLUICE_WAREHOUSE_REDSHIFT_PASSWORD=p",
                                            "SLUICE_S3_TAGS=a=b,c=d",
                                            "SLUICE_LAKE=s3://shop/lake", NULL};
    fail_everywhere(&(sl_config_source){
        .text = REDSHIFT("iam_role: default") "streams: { s: { warehouse: { table: a.b, "
                                              "create: false } } }\n",
        .environment = warehouse});
    fail_everywhere(&(sl_config_source){.text =
                                            "lake: &l { max_age: 2m }\n"
                                            "streams: { s: { lake: { <<: *l } } }\n"});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_loads_again_and_is_the_same),
        cmocka_unit_test(the_table_prints_in_three_forms),
        cmocka_unit_test(the_documentation_is_the_tables),
        cmocka_unit_test(a_failing_allocation_anywhere_is_reported_or_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
