// Files that the configuration names, files that it is, and the examples.

#include "loader.h"

#include "sluice/aws_intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "configuration_test_help.h"

static char directory[64];

static const char *in_directory(const char *name) {
    static char path[4][200];
    static unsigned turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    return out;
}

static void write_file(const char *name, const char *text) {
    FILE *file = fopen(in_directory(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int make_directory(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "configuration_test.XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    (void)state;
    static const char *const names[] = {"c.yaml", "s.json", "tokens",
                                        "token",  "empty",  "Zone"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)remove(in_directory(names[i]));
    return rmdir(directory);
}

static void time_zone_files_are_read_by_their_last_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        sl_status status;
        int64_t standard_minutes, summer_minutes;
    } cases[] = {{"TZif2 ...\nCET-1CEST,M3.5.0,M10.5.0/3\n", SL_OK, 60, 120},
                 {"TZif2 ...\n<+0530>-5:30\n", SL_OK, 330, 330},
                 {"TZif2 ...\nEST5EDT\n", SL_OK, -300, -240},
                 {"TZif2 ...\n<+1030>-10:30<+11>-11,M10.1.0,M4.1.0\n", SL_OK, 630, 660},
                 {"TZif2 ...\nXXX+1:02:00\n", SL_OK, -62, -62},
                 {"TZif2 ...\n\n", SL_ECORRUPT, 0, 0},
                 {"TZif2 ...\n<abc\n", SL_ECORRUPT, 0, 0},
                 {"TZif2 ...\nABC\n", SL_ECORRUPT, 0, 0},
                 {"TZif2 ...\nABC-1:\n", SL_ECORRUPT, 0, 0},
                 {"TZif2 ...\nABC-1 DEF\n", SL_ECORRUPT, 0, 0},
                 {"TZif2 ...", SL_ECORRUPT, 0, 0},
                 {"zone", SL_ECORRUPT, 0, 0},
                 {"", SL_ECORRUPT, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t standard, summer;
        write_file("Zone", cases[i].text);
        assert_int_equal(sl_timezone_read(directory, "Zone", &standard, &summer),
                         cases[i].status);
        if (cases[i].status)
            continue;
        assert_int_equal(standard, cases[i].standard_minutes * SL_MINUTE_US);
        assert_int_equal(summer, cases[i].summer_minutes * SL_MINUTE_US);
    }
    int64_t standard, summer;
    assert_int_equal(sl_timezone_read(directory, "Nowhere", &standard, &summer),
                     SL_ENOTFOUND);
    assert_int_equal(sl_timezone_read(directory, "", &standard, &summer), SL_ENOTFOUND);
}

static sl_config *load_file(const char *path, const char *const *environment) {
    sl_config_source source = {.path = path, .environment = environment};
    sl_config *config = NULL;
    memset(&last, 0, sizeof last);
    wrong.text[0] = 0;
    sl_status status = sl_config_load(&source, on_warning, &last, &config, &wrong);
    assert_true((status == SL_OK) == (config != NULL));
    return config;
}

static void secrets_are_read_from_files_beside_the_configuration(void **state) {
    (void)state;
    write_file("tokens", "first\n\n  second  \r\nthird");
    write_file("token", "fourth\n");
    write_file("empty", "\n \n");
    write_file("c.yaml",
               "http:\n  auth:\n    tokens: [zero, first]\n    tokens_file: tokens\n");
    const char *path = in_directory("c.yaml");
    char variable[300];
    snprintf(variable, sizeof variable, "SLUICE_TOKEN_FILE=%s", in_directory("token"));
    const char *const environment[] = {variable, NULL};
    sl_config *c = load_file(path, environment);
    if (!c)
        fail_msg("%s", wrong.text);
    static const char *const expected[] = {"zero", "first", "second", "third", "fourth"};
    assert_int_equal(c->http.token_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(c->http.tokens[i], expected[i]);
        assert_null(strstr(c->text, expected[i]));
    }
    assert_non_null(
        strstr(c->text, "    tokens: [\"***\", \"***\", \"***\", \"***\", \"***\"]\n"));
    sl_config_destroy(c);

    write_file("c.yaml", "http: { auth: { tokens_file: empty } }\n");
    assert_null(load_file(path, NULL));
    assert_non_null(strstr(wrong.text, ":1:30: http.auth.tokens_file: no token in '"));
}

static void key_pairs_of_producers_come_from_file_and_variable(void **state) {
    (void)state;
    write_file("token", "se/cr+et=\n");
    write_file("c.yaml", "http:\n  auth:\n    aws_keys:\n    - { access_key_id: AKIA1, secret_access_key: first }\n"
                         "    - { access_key_id: AKIA2, secret_access_key_file: token }\n");
    sl_config *c = load_file(in_directory("c.yaml"), NULL);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_int_equal(c->http.aws_key_count, 2);
    assert_string_equal(c->http.aws_keys[0].secret_access_key, "first");
    assert_string_equal(c->http.aws_keys[1].access_key_id, "AKIA2");
    assert_string_equal(c->http.aws_keys[1].secret_access_key, "se/cr+et=");
    assert_null(strstr(c->text, "first"));
    assert_null(strstr(c->text, "se/cr"));
    assert_non_null(strstr(c->text, "aws_keys: [{access_key_id: AKIA1, secret_access_key: \"***\"}, {access_key_id: AKIA2, "));
    sl_config_destroy(c);
    /* The variable's take the place of the file's. Keys are enough to listen beyond loopback. */
    static const char *const environment[] = {"SLUICE_HTTP_AUTH_AWS_KEYS=AKIA3:a:b, AKIA4:c", "SLUICE_HTTP_LISTEN=:80", NULL};
    c = load_file(in_directory("c.yaml"), environment);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_int_equal(c->http.aws_key_count, 2);
    assert_string_equal(c->http.aws_keys[0].access_key_id, "AKIA3");
    assert_string_equal(c->http.aws_keys[0].secret_access_key, "a:b");
    assert_string_equal(c->http.aws_keys[1].secret_access_key, "c");
    sl_config_destroy(c);
}

static void a_password_is_the_line_of_a_file(void **state) {
    (void)state;
    write_file("token", "s3cret with blanks\r\n");
    write_file("c.yaml", "warehouse: { postgres: { url: postgres://u:old@h/d, "
                         "password_file: token } }\n");
    char path[200];
    snprintf(path, sizeof path, "%s", in_directory("c.yaml"));
    sl_config *c = load_file(path, NULL);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_string_equal(c->warehouse.postgres.password, "s3cret with blanks");
    assert_null(strstr(c->text, "s3cret"));
    assert_non_null(strstr(c->text, "    password: \"***\"\n"));
    sl_config_destroy(c);
    /* The environment's goes before the file's, whichever form each has. */
    static const char *const direct[] = {"SLUICE_WAREHOUSE_POSTGRES_PASSWORD=now", NULL};
    c = load_file(path, direct);
    assert_non_null(c);
    assert_string_equal(c->warehouse.postgres.password, "now");
    sl_config_destroy(c);
    char variable[300];
    snprintf(variable, sizeof variable, "SLUICE_WAREHOUSE_REDSHIFT_PASSWORD_FILE=%s",
             in_directory("token"));
    const char *const by_file[] = {variable, NULL};
    c = load_with("warehouse: { redshift: { url: redshift://u@h/d, password: old, stage: "
                  "s3://shop/stage } }",
                  by_file);
    assert_non_null(c);
    assert_string_equal(c->warehouse.redshift.password, "s3cret with blanks");
    sl_config_destroy(c);
    static const char *const bad[] = {"", "\n", "\nx\n", "a\nb\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("token", bad[i]);
        assert_null(load_file(path, NULL));
        assert_non_null(strstr(wrong.text,
                               "warehouse.postgres.password_file: expected one "
                               "line with the password in '"));
    }
}

static void a_schema_file_is_relative_to_the_configuration(void **state) {
    (void)state;
    write_file("s.json",
               "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}");
    write_file("c.yaml", "streams: { s: { schema: s.json } }\n");
    const char *path = in_directory("c.yaml");
    sl_config *c = load_file(path, NULL);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_int_not_equal(sl_schema_find(c->streams[0].schema, "a"), SL_NO_FIELD);
    char expected[300];
    snprintf(expected, sizeof expected, "    schema: %s\n", in_directory("s.json"));
    assert_non_null(strstr(c->text, expected));
    sl_config_destroy(c);
    write_file("s.json",
               "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"intger\"}}}");
    assert_null(load_file(path, NULL));
    snprintf(expected, sizeof expected,
             "%s:1:25: stream s: schema s.json: /properties/a/type: ", path);
    assert_ptr_equal(strstr(wrong.text, expected), wrong.text);
    assert_null(load_file("nowhere.yaml", NULL));
    assert_string_equal(wrong.text, "nowhere.yaml: No such file or directory");
    assert_int_equal(wrong.status, SL_ENOTFOUND);
    FILE *big = fopen(in_directory("c.yaml"), "w");
    assert_non_null(big);
    for (int i = 0; i < 20000; i++)
        assert_true(
            fputs("# a comment, to make a file that is too long to be a configuration\n",
                  big) >= 0);
    assert_int_equal(fclose(big), 0);
    assert_null(load_file(path, NULL));
    assert_non_null(strstr(wrong.text, ": larger than 1 MiB"));
    assert_null(load_file(directory, NULL));
    assert_non_null(strstr(wrong.text, ": Is a directory"));
}

static void the_examples_load(void **state) {
    (void)state;
    static const char *const paths[] = {"/config/sluice.yaml",
                                        "/config/examples/clickstream/sluice.yaml",
                                        "/config/examples/orders_postgres/sluice.yaml",
                                        "/config/examples/clickstream_aws/sluice.yaml"};
    static const sl_config_store stores[] = {SL_STORE_SQLITE, SL_STORE_SQLITE,
                                             SL_STORE_POSTGRES, SL_STORE_REDSHIFT};
    static const char *const environment[] = {
        "POSTGRES_URL=postgres://sluice@db.example.com/shop",
        "REDSHIFT_URL=redshift://sluice@shop.example.com/shop",
        "COPY_ROLE=arn:aws:iam::123456789012:role/redshift-copy", "BUCKET=shop", NULL};
    static const char *const nothing[] = {NULL};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char path[1000];
        snprintf(path, sizeof path, "%s%s", SLUICE_SOURCE_DIR, paths[i]);
        sl_config *c =
            load_file(path, stores[i] == SL_STORE_SQLITE ? nothing : environment);
        if (!c)
            fail_msg("%s", wrong.text);
        assert_int_equal(c->stream_count, i > 0);
        assert_int_equal(c->warehouse.store, stores[i]);
        assert_int_equal(last.count, 0);
        sl_config_destroy(c);
    }
}

static void the_starting_files_commented_settings_load(void **state) {
    (void)state;
    char *text = read_all("/config/sluice.yaml");
    /* "#key" and "#  key" are settings, "# word" is a comment. */
    for (char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (line[0] == '#' && line[1] != '\n' && (line[1] != ' ' || line[2] == ' ')) {
            char *end = strchr(line, '\n');
            memmove(line, line + 1, (size_t)(end - line) - 1);
            end[-1] = ' ';
        }
    }
    sl_config *c = must_load(text);
    assert_int_equal(c->stream_count, 1);
    assert_int_equal(c->window_count, 1);
    assert_int_equal(c->http.token_count, 1);
    assert_true(c->s3.path_style);
    sl_config_destroy(c);
    free(text);
}

static const char lookups_text[] =
    "s3: { region: eu-central-1 }\n"
    "lookups:\n"
    "  a: { csv: \"s3://shop/dims/a.csv\", key: id, refresh: 5m }\n"
    "  b: { sqlite: b.db, query: SELECT 1 AS id, key: id }\n"
    "  c: { postgres: \"postgres://u:very-secret@h/d\", table: shop.c, password_file: token, key: id }\n"
    "streams:\n"
    "  s: { schema: none.json, id: order_id, warehouse: { table: t } }\n";

typedef struct asked {
    char text[400];
} asked;

/* Says where each table would come from; the first one's region tells that S3 is known by then. */
static sl_status note_lookup(void *context, const sl_config *config, const sl_config_lookup *l, sl_lookup **out,
                             sl_error *error) {
    asked *a = context;
    size_t used = strlen(a->text);
    snprintf(a->text + used, sizeof a->text - used, "%s %s %s %s; ", l->name,
             l->csv      ? l->csv
             : l->sqlite ? strrchr(l->sqlite, '/') + 1
                         : l->table_name,
             l->password ? l->password : "-", config->s3.region);
    *out = NULL;
    return sl_error_set(error, SL_EDENIED, "no luck");
}

static void lookups_are_asked_for_where_they_are(void **state) {
    (void)state;
    write_file("token", "very-secret-too\n");
    write_file("c.yaml", lookups_text);
    asked a = {""};
    static const char *const none[] = {NULL};
    const sl_config_source source = {
        .path = in_directory("c.yaml"), .environment = none, .lookup = note_lookup, .lookup_context = &a};
    sl_config *c = NULL;
    sl_error error = {0};
    assert_int_equal(sl_config_load(&source, NULL, NULL, &c, &error), SL_EDENIED);
    assert_string_equal(a.text, "a s3://shop/dims/a.csv - eu-central-1; b b.db - eu-central-1; "
                                "c shop.c very-secret-too eu-central-1; ");
    assert_non_null(strstr(error.text, "c.yaml:3:13: lookup a: no luck"));
    assert_null(strstr(error.text, "very-secret"));
}

static void the_fixed_sections_alone_need_no_other_file(void **state) {
    (void)state;
    write_file("c.yaml", lookups_text);
    asked a = {""};
    static const char *const none[] = {NULL};
    const sl_config_source source = {.path = in_directory("c.yaml"),
                                     .environment = none,
                                     .fixed_only = true,
                                     .lookup = note_lookup,
                                     .lookup_context = &a};
    sl_config *c = NULL;
    sl_error error = {0};
    if (sl_config_load(&source, NULL, NULL, &c, &error) != SL_OK)
        fail_msg("%s", error.text);
    assert_string_equal(a.text, "");
    assert_string_equal(c->s3.region, "eu-central-1");
    assert_int_equal(c->stream_count, 1);
    assert_string_equal(c->streams[0].id, "order_id");
    assert_string_equal(c->streams[0].warehouse.name, "t");
    assert_false(c->streams[0].has_lake);
    sl_config_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_zone_files_are_read_by_their_last_line),
        cmocka_unit_test(secrets_are_read_from_files_beside_the_configuration),
        cmocka_unit_test(key_pairs_of_producers_come_from_file_and_variable),
        cmocka_unit_test(a_password_is_the_line_of_a_file),
        cmocka_unit_test(a_schema_file_is_relative_to_the_configuration),
        cmocka_unit_test(lookups_are_asked_for_where_they_are),
        cmocka_unit_test(the_fixed_sections_alone_need_no_other_file),
        cmocka_unit_test(the_examples_load),
        cmocka_unit_test(the_starting_files_commented_settings_load),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
