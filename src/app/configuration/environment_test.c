// Variables: which there are, what they go before, and what is said of wrong ones.

#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "configuration_test_help.h"

static void environment_goes_before_the_file(void **state) {
    (void)state;
    static const char *const environment[] = {"SLUICE_DATA_DIR=/e",
                                              "SLUICE_HTTP_LISTEN=127.0.0.1:7",
                                              "SLUICE_MEMORY=1GiB",
                                              "SLUICE_WORKERS=",
                                              "SLUICE_LAKE_PARTITION_BY=date, hour",
                                              "SLUICE_JOURNAL_DURABILITY=os",
                                              "SLUICE_HTTP_TLS_CERT=$x${y}",
                                              "SLUICE_HTTP_TLS_KEY=k",
                                              "SLUICE_LOG_FORMAT=json",
                                              "OTHER=1",
                                              NULL};
    sl_config *c = load_with(
        "data_dir: /f\nworkers: 2\nhttp: { listen: \"127.0.0.1:8\" }\n", environment);
    assert_non_null(c);
    assert_string_equal(c->data_dir, "/e");
    assert_string_equal(c->http.listen, "127.0.0.1:7");
    assert_int_equal(c->memory, 1 << 30);
    assert_int_equal(c->workers, 2);
    assert_int_equal(c->lake.partition_count, 2);
    assert_string_equal(c->lake.partition_by[1], "hour");
    assert_false(c->journal.fsync);
    assert_true(c->log.json);
    assert_string_equal(c->http.tls_cert, "$x${y}");
    assert_int_equal(last.count, 0);
    sl_config_destroy(c);
}

static void every_fixed_leaf_answers_to_its_variable(void **state) {
    (void)state;
    for (size_t i = 0; i < sl_parameter_count; i++) {
        const sl_parameter *p = &sl_parameters[i];
        if (!sl_parameter_has_variable(p))
            continue;
        char name[128], variable[200];
        sl_parameter_variable(p->path, name);
        snprintf(variable, sizeof variable, "%s=\x01 no value of any kind", name);
        const char *const environment[] = {variable, NULL};
        sl_config *c = load_with("", environment);
        assert_true(last.count == 0 || strstr(last.text, "unknown") == NULL); /* A password without TLS is warned of. */
        /* It is taken as a text, or refused under the variable's own name. */
        assert_true(c || !strncmp(wrong.text, name, strlen(name)));
        if (c)
            assert_non_null(strstr(c->text, "no value of any kind"));
        sl_config_destroy(c);
    }
}

static void a_mistake_in_a_variable_is_reported_under_its_name(void **state) {
    (void)state;
    static const struct {
        const char *variable, *message;
    } cases[] = {
        {"SLUICE_MEMORY=lots",
         "SLUICE_MEMORY: memory: 'lots' is not a size such as 512MiB, 10GB or 4096"},
        {"SLUICE_HTTP_LISTEN=0.0.0.0:1", "SLUICE_HTTP_LISTEN: http.listen: 0.0.0.0:1 is "
                                         "reachable from other machines and http.auth "
                                         "is not set: either http: { auth: { tokens: "
                                         "[\"${SLUICE_TOKEN}\"] } }, or http: { auth: "
                                         "none } to let everybody in"},
        {"SLUICE_LAKE=gs://b/p", "SLUICE_LAKE: lake.to: 'gs://b/p' is a URL; expected a "
                                 "directory or s3://BUCKET/PREFIX"},
        {"SLUICE_WAREHOUSE_URL=redshift://u:p@h/d",
         "SLUICE_WAREHOUSE_URL: warehouse.redshift.stage "
         "(SLUICE_WAREHOUSE_REDSHIFT_STAGE): needed, such as s3://bucket/stage: Redshift "
         "loads from S3"},
        {"SLUICE_WAREHOUSE_POSTGRES_PASSWORD=p",
         "SLUICE_WAREHOUSE_POSTGRES_PASSWORD: warehouse.postgres: needs url, such as "
         "postgres://user@host/database"},
        {"SLUICE_S3_PATH_STYLE=1",
         "SLUICE_S3_PATH_STYLE: s3.path_style: '1' is not true or false"},
        {"SLUICE_S3_TAGS=a", "SLUICE_S3_TAGS: s3.tags: expected NAME=VALUE, such as { "
                             "team: data } or [team=data]"},
        {"SLUICE_KAFKA_GROUP=g",
         "SLUICE_KAFKA_GROUP: source kafka: needs brokers, such as broker:9092 (SLUICE_KAFKA_BROKERS)\n"
         "SLUICE_KAFKA_GROUP: source kafka: needs topics (SLUICE_KAFKA_TOPICS)"},
        {"SLUICE_KAFKA_TLS=true", "SLUICE_KAFKA_TLS: kafka: needs brokers, such as broker:9092 (SLUICE_KAFKA_BROKERS)"},
        {"SLUICE_INGEST_LOG=kafka://x",
         "SLUICE_INGEST_LOG: ingest.log: needs a topic, of up to 249 letters, digits, '.', '_' and '-', behind the brokers: "
         "kafka://HOST:PORT/TOPIC"},
        {"SLUICE_INGEST_LOG=file", "SLUICE_INGEST_LOG: ingest.log: expected journal, or kafka://HOST:PORT/TOPIC"},
        {"SLUICE_SCHEMA=/nowhere.json",
         "SLUICE_SCHEMA: schema: cannot read '/nowhere.json': No such "
         "file or directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const environment[] = {cases[i].variable, NULL};
        assert_null(load_with("", environment));
        assert_string_equal(wrong.text, cases[i].message);
    }
}

static void an_unknown_variable_is_a_warning_with_the_nearest_name(void **state) {
    (void)state;
    static const char *const environment[] = {"SLUICE_HTTP_LISTN=x",
                                              "SLUICE_SERVICE_HOST=10.0.0.1",
                                              "SLUICE_PORT=tcp://10.0.0.1:80",
                                              "SLUICE_PORT_80_TCP=x",
                                              "SLUICE_SHARED_DATA=/x",
                                              "SLUICE_LONG=1",
                                              "SLUICE_TEST_PG=postgres://x",
                                              "SLUICE_MINE=/d",
                                              "SLUICE_QQQQQQQQ=1",
                                              NULL};
    sl_config *c = load_with("data_dir: ${SLUICE_MINE}", environment);
    assert_non_null(c);
    assert_string_equal(last.text,
                        "unknown environment variable SLUICE_HTTP_LISTN (did you mean "
                        "SLUICE_HTTP_LISTEN?)\n"
                        "unknown environment variable SLUICE_QQQQQQQQ");
    sl_config_destroy(c);
}

static void a_whole_file_fits_in_a_variable(void **state) {
    (void)state;
    static const char *const environment[] = {
        "SLUICE_CONFIG_YAML=data_dir: /y\nmemry: 1\n", NULL};
    sl_config_source source = {.environment = environment};
    sl_config *c = NULL;
    sl_error error = {0};
    assert_int_equal(sl_config_load(&source, NULL, NULL, &c, &error), SL_EINVAL);
    assert_string_equal(
        error.text,
        "SLUICE_CONFIG_YAML:2:1: unknown key 'memry' (did you mean 'memory'?)");
    /* A text or file that is given goes before it, with a warning. */
    c = load_with("data_dir: /z", environment);
    assert_non_null(c);
    assert_string_equal(c->data_dir, "/z");
    assert_string_equal(last.text,
                        "SLUICE_CONFIG_YAML is not used: a configuration file is given");
    sl_config_destroy(c);
}

static void a_container_needs_variables_only(void **state) {
    (void)state;
    static const char *const environment[] = {
        "SLUICE_SCHEMA={\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"number\"},"
        "\"ts\":{\"type\":\"string\",\"format\":\"date-time\"}}}",
        "SLUICE_LAKE=/lake",
        "SLUICE_WAREHOUSE_URL=sqlite:/w.db",
        "SLUICE_TOKEN=abc",
        "SLUICE_HTTP_LISTEN=:8080",
        NULL};
    sl_config *c = load_with("", environment);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_false(c->embedded);
    assert_int_equal(c->stream_count, 1);
    assert_string_equal(c->streams[0].name, "events");
    assert_string_equal(c->streams[0].event_time, "ts");
    assert_true(c->streams[0].has_lake);
    assert_string_equal(c->streams[0].lake.to, "/lake/events");
    assert_string_equal(c->streams[0].warehouse.name, "events");
    assert_string_equal(c->warehouse.sqlite, "/w.db");
    assert_string_equal(c->http.tokens[0], "abc");
    assert_string_equal(c->admin.listen, "127.0.0.1:8081");
    assert_int_equal(c->window_count, 1);
    assert_string_equal(c->windows[0].warehouse.name, "events_per_minute");
    assert_null(strstr(c->text, "abc"));
    sl_config_destroy(c);
    /* Over a file: the one stream's schema; of two, none can be meant. */
    c = load_with("streams: { only: { from: http } }", environment);
    assert_non_null(c);
    assert_non_null(c->streams[0].schema);
    assert_int_equal(c->window_count, 0);
    sl_config_destroy(c);
    assert_null(load_with("streams: { a: {}, b: {} }", environment));
    assert_string_equal(wrong.text,
                        "SLUICE_SCHEMA: the configuration has 2 streams: name the schema "
                        "in each of them");
}

static void a_token_and_auth_none_contradict_each_other(void **state) {
    (void)state;
    static const char *const both[] = {"SLUICE_HTTP_AUTH=none", "SLUICE_TOKEN=abc", NULL};
    assert_null(load_with("", both));
    assert_string_equal(wrong.text,
                        "SLUICE_HTTP_AUTH: contradicts SLUICE_TOKEN: unset one of them");
    /* Over a file that lets everybody in, a token closes the door. */
    sl_config *c = load_with("http: { auth: none }", both + 1);
    assert_non_null(c);
    assert_false(c->http.auth_none);
    assert_int_equal(c->http.token_count, 1);
    sl_config_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment_goes_before_the_file),
        cmocka_unit_test(every_fixed_leaf_answers_to_its_variable),
        cmocka_unit_test(a_mistake_in_a_variable_is_reported_under_its_name),
        cmocka_unit_test(an_unknown_variable_is_a_warning_with_the_nearest_name),
        cmocka_unit_test(a_whole_file_fits_in_a_variable),
        cmocka_unit_test(a_container_needs_variables_only),
        cmocka_unit_test(a_token_and_auth_none_contradict_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
