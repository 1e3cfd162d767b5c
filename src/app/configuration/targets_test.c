// S3 and the warehouses in the configuration.

#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "configuration_test_help.h"

static void a_lake_may_be_on_s3(void **state) {
    (void)state;
    sl_config *c = must_load(
        "lake: { to: s3://shop/curated/ }\n"
        "streams:\n  a:\n  b: { lake: { to: s3://other } }\n  c: { lake: { to: /d } }\n"
        "  d: { lake: { to: \"s3://shop/k=v/a b+c/\xc3\xa4\" } }\n");
    assert_string_equal(c->lake.to, "s3://shop/curated");
    assert_string_equal(c->streams[0].lake.to, "s3://shop/curated/a");
    assert_string_equal(c->streams[1].lake.to, "s3://other");
    assert_string_equal(c->streams[2].lake.to, "/d");
    assert_string_equal(c->streams[3].lake.to, "s3://shop/k=v/a b+c/\xc3\xa4");
    sl_config_destroy(c);
    c = must_load("lake: { to: s3://shop }\nstreams: { a: }\n");
    assert_string_equal(c->streams[0].lake.to, "s3://shop/a");
    sl_config_destroy(c);
}

static void buckets_have_the_names_that_s3_allows(void **state) {
    (void)state;
    static const char long_name[] =
        "a23456789012345678901234567890123456789012345678901234567890123";
    static const char *const good[] = {"abc",       "a-b", "a.b.c",  "1.2.3",
                                       "1.2.3.4.5", "0b0", long_name};
    static const char *const bad[] = {"",     "ab",   "-ab",    "ab-",     ".ab",
                                      "a..b", "a_b",  "aBc",    "1.2.3.4", "a b",
                                      "a:b",  "abc.", "k:s@abc"};
    char text[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "lake: { to: 's3://%s' }", good[i]);
        sl_config_destroy(must_load(text));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "lake: { to: 's3://%s' }", bad[i]);
        assert_null(load(text));
        assert_non_null(strstr(wrong.text, ": the name of a bucket is "));
    }
    snprintf(text, sizeof text, "lake: { to: 's3://%sx/p' }", long_name);
    assert_null(load(text));
    char prefix[700] = "lake: { to: s3://shop/";
    memset(prefix + strlen(prefix), 'x', 513);
    strcat(prefix, " }");
    assert_null(load(prefix));
    assert_non_null(strstr(wrong.text, "a prefix of more than 512 bytes"));
}

static void the_section_s3_is_read(void **state) {
    (void)state;
    sl_config *c = must_load(
        "s3:\n  endpoint: https://minio.local:9000\n  region: eu-central-1\n"
        "  path_style: true\n  sse: aws:kms\n  kms_key_id: "
        "arn:aws:kms:eu-central-1:123456789012:key/1a-2b\n  storage_class: STANDARD_IA\n"
        "  tags: { team: data, \"cost=centre\": \"4711 + x\", empty: }\n  ca_file: "
        "ca.pem\n");
    assert_string_equal(c->s3.endpoint, "https://minio.local:9000");
    assert_string_equal(c->s3.region, "eu-central-1");
    assert_true(c->s3.path_style);
    assert_int_equal(c->s3.sse, 2);
    assert_string_equal(c->s3.kms_key_id,
                        "arn:aws:kms:eu-central-1:123456789012:key/1a-2b");
    assert_string_equal(c->s3.storage_class, "STANDARD_IA");
    assert_int_equal(c->s3.tag_count, 3);
    assert_string_equal(c->s3.tags[1].name, "cost=centre");
    assert_string_equal(c->s3.tags[1].value, "4711 + x");
    assert_string_equal(c->s3.tags[2].value, "");
    assert_string_equal(c->s3.ca_file, "ca.pem");
    sl_config *again = must_load(c->text);
    assert_string_equal(c->text, again->text);
    assert_int_equal(again->s3.tag_count, 3);
    sl_config_destroy(again);
    sl_config_destroy(c);
    c = must_load(
        "s3: { tags: [a=b=c, d=], sse: AES256, endpoint: \"http://[::1]:9/\" }");
    assert_false(c->s3.path_style);
    assert_int_equal(c->s3.sse, 1);
    assert_string_equal(c->s3.tags[0].name, "a");
    assert_string_equal(c->s3.tags[0].value, "b=c");
    assert_string_equal(c->s3.tags[1].value, "");
    sl_config_destroy(c);
    static const char *const environment[] = {
        "SLUICE_S3_TAGS=a=b, c=d", "SLUICE_S3_PATH_STYLE=true", "SLUICE_S3_REGION=x",
        "SLUICE_LAKE=s3://shop/lake", NULL};
    c = load_with("s3: { tags: { z: y }, region: f, path_style: false }", environment);
    assert_non_null(c);
    assert_int_equal(c->s3.tag_count, 2);
    assert_string_equal(c->s3.tags[1].name, "c");
    assert_true(c->s3.path_style);
    assert_string_equal(c->s3.region, "x");
    assert_string_equal(c->lake.to, "s3://shop/lake");
    sl_config_destroy(c);
    c = must_load("");
    assert_int_equal(c->s3.sse, 0);
    assert_null(c->s3.endpoint);
    assert_int_equal(c->s3.tag_count, 0);
    sl_config_destroy(c);
}

static void endpoints_are_hosts_with_a_scheme(void **state) {
    (void)state;
    static const char *const good[] = {"http://h", "https://h.example:1/",
                                       "http://[::1]:9", "http://127.0.0.1:65535"};
    static const char *const bad[] = {
        "h:9000",       "http://",     "https://h/p",    "http://u@h",
        "http://u:p@h", "http://h:",   "http://h:99999", "http://h:x",
        "http://[::1",  "http://[]:1", "http://h?x=y",   "ftp://h"};
    char text[100];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "s3: { endpoint: '%s' }", good[i]);
        sl_config_destroy(must_load(text));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "s3: { endpoint: '%s' }", bad[i]);
        assert_null(load(text));
        assert_non_null(strstr(wrong.text, "s3.endpoint: expected http://HOST:PORT"));
    }
}

static void postgres_is_a_warehouse(void **state) {
    (void)state;
    static const char *const same[] = {
        "warehouse: { postgres: { url: \"postgres://u@h:5433/d?sslmode=require\" } }",
        "warehouse: { url: \"postgres://u@h:5433/d?sslmode=require\" }"};
    for (size_t i = 0; i < 2; i++) {
        sl_config *c = must_load(same[i]);
        assert_int_equal(c->warehouse.store, SL_STORE_POSTGRES);
        assert_string_equal(c->warehouse.postgres.url,
                            "postgres://u@h:5433/d?sslmode=require");
        assert_null(c->warehouse.postgres.password);
        assert_null(c->warehouse.sqlite);
        assert_null(strstr(c->text, "sqlite"));
        sl_config_destroy(c);
    }
    static const char *const good[] = {
        "postgres://h",          "postgresql://u@h/d",   "postgres:///d?host=%2Frun",
        "postgres://u:@h1,h2/d", "postgres://[::1]:1/d", "postgres://h1:1,[::2]:2,h3/d",
        "postgres://u:a:b@h/d",  "postgres://",          "postgres://h?user=u&dbname=d",
        "postgres://a%40b:%3a@h"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[200];
        snprintf(text, sizeof text, "warehouse: { postgres: { url: '%s' } }", good[i]);
        sl_config *c = must_load(text);
        assert_string_equal(c->warehouse.postgres.url, good[i]);
        sl_config_destroy(c);
    }
    static const char *const bad[] = {"postgres:/h",          "postgres://u@h@i/d",
                                      "postgres://@h/d",      "postgres://:p@h",
                                      "postgres://h:0",       "postgres://h:1x",
                                      "postgres://[::1",      "postgres://h/d#e",
                                      "postgres://h/d?a@b=",  "postgres://h:/d",
                                      "postgres://%00@h",     "postgres://%4@h",
                                      "postgres://h/d?=b",    "postgres://h/d?a",
                                      "postgres://h/\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "warehouse: { postgres: { url: '%s' } }", bad[i]);
        assert_null(load(text));
        assert_non_null(
            strstr(wrong.text, "warehouse.postgres.url: expected a URL such"));
    }
}

static void redshift_is_a_warehouse_with_a_stage(void **state) {
    (void)state;
    sl_config *c = must_load(
        "warehouse:\n  redshift:\n    url: redshift://u@c.eu.redshift.amazonaws.com/dev\n"
        "    iam_role: \"arn:aws:iam::123456789012:role/a/b,arn:aws-cn:iam::123456789012:"
        "role/c\"\n    stage: s3://shop/stage/\n    region: eu-central-1\n    cluster: "
        "shop-1\n"
        "    ca_file: ca.pem\n");
    assert_int_equal(c->warehouse.store, SL_STORE_REDSHIFT);
    /* As libpq takes it: its scheme, Redshift's port. */
    assert_string_equal(c->warehouse.redshift.url,
                        "postgresql://u@c.eu.redshift.amazonaws.com:5439/dev");
    assert_string_equal(c->warehouse.redshift.stage, "s3://shop/stage");
    assert_string_equal(c->warehouse.redshift.region, "eu-central-1");
    assert_string_equal(c->warehouse.redshift.cluster, "shop-1");
    assert_string_equal(c->warehouse.redshift.ca_file, "ca.pem");
    assert_null(c->warehouse.redshift.workgroup);
    assert_null(c->warehouse.postgres.url);
    sl_config *again = must_load(c->text);
    assert_string_equal(c->text, again->text);
    sl_config_destroy(again);
    sl_config_destroy(c);
    static const char *const environment[] = {
        "SLUICE_WAREHOUSE_URL=redshift://u:p@h:15439/d?sslmode=disable",
        "SLUICE_WAREHOUSE_REDSHIFT_STAGE=s3://shop/stage",
        "SLUICE_WAREHOUSE_REDSHIFT_IAM_ROLE=default", NULL};
    c = load_with("warehouse: { sqlite: a }", environment);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_string_equal(c->warehouse.redshift.url,
                        "postgresql://u:p@h:15439/d?sslmode=disable");
    assert_string_equal(c->warehouse.redshift.iam_role, "default");
    assert_null(c->warehouse.sqlite);
    sl_config_destroy(c);
    static const char *const roles[] = {"arn:aws:iam::12345678901:role/x",
                                        "arn:aws:iam::123456789012:user/x",
                                        "arn:aws:iam::123456789012:role/",
                                        "arn:aws:iam::123456789012:role/x,",
                                        "arn:aws:iam::123456789012:role/x'",
                                        "default,default",
                                        "arn:aws",
                                        ","};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        char text[300];
        snprintf(
            text, sizeof text,
            "warehouse: { redshift: { url: \"redshift://h/d\", stage: s3://shop/stage, "
            "iam_role: \"%s\" } }",
            roles[i]);
        assert_null(load(text));
        assert_non_null(strstr(wrong.text, "warehouse.redshift.iam_role: expected"));
    }
}

static void the_environments_warehouse_goes_before_the_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *variable;
        sl_config_store store;
        const char *place; /* Of that store, or the message. */
    } cases[] = {
        {"warehouse: { postgres: { url: postgres://f/d, password_file: /nowhere } }",
         "SLUICE_WAREHOUSE_SQLITE=/e", SL_STORE_SQLITE, "/e"},
        {"warehouse: { postgres: { url: postgres://f/d } }",
         "SLUICE_WAREHOUSE_URL=sqlite:/e", SL_STORE_SQLITE, "/e"},
        {"warehouse: { url: \"sqlite:/f\" }",
         "SLUICE_WAREHOUSE_POSTGRES_URL=postgres://e", SL_STORE_POSTGRES, "postgres://e"},
        {"warehouse: { postgres: { url: postgres://f } }",
         "SLUICE_WAREHOUSE_POSTGRES_URL=postgres://e", SL_STORE_POSTGRES, "postgres://e"},
        {"warehouse: { url: postgres://f }", "SLUICE_WAREHOUSE_POSTGRES_PASSWORD=x",
         SL_STORE_POSTGRES, "postgres://f"},
        {"warehouse: { sqlite: /f }", "SLUICE_WAREHOUSE_URL=", SL_STORE_SQLITE, "/f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const environment[] = {cases[i].variable, NULL};
        sl_config *c = load_with(cases[i].text, environment);
        if (!c)
            fail_msg("%s", wrong.text);
        assert_int_equal(c->warehouse.store, cases[i].store);
        assert_string_equal(cases[i].store == SL_STORE_SQLITE ? c->warehouse.sqlite
                                                              : c->warehouse.postgres.url,
                            cases[i].place);
        sl_config_destroy(c);
    }
    static const char *const lost[] = {"SLUICE_WAREHOUSE_REDSHIFT_STAGE=s3://shop/stage",
                                       NULL};
    assert_null(load_with("warehouse: { sqlite: /f }", lost));
    assert_string_equal(
        wrong.text, "SLUICE_WAREHOUSE_REDSHIFT_STAGE: warehouse.redshift: the warehouse "
                    "is that of warehouse.sqlite: remove one");
}

/** What somebody may write where a password is, rightly and wrongly. */
static void passwords_are_shown_as_stars_and_are_in_no_message(void **state) {
    (void)state;
    static const char *const shown[][2] = {
        {"warehouse: { url: postgres://u:s3cret@h/d }", "postgres://u:***@h/d"},
        {"warehouse: { url: postgres://u:s3cret:s3cret@h/d }", "postgres://u:***@h/d"},
        {"warehouse: { url: "
         "\"postgres://h:1/d?password=s3cret&sslpassword=s3cret&user=u\" }",
         "postgres://h:1/d?password=***&sslpassword=***&user=u"},
        {"warehouse: { redshift: { url: redshift://u:s3cret@h/d, stage: s3://shop/x } }",
         "postgresql://u:***@h:5439/d"},
        {"warehouse: { postgres: { url: postgres://u@h:1/d, password: s3cret } }",
         "postgres://u@h:1/d"},
    };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        sl_config *c = must_load(shown[i][0]);
        assert_null(strstr(c->text, "s3cret"));
        assert_non_null(strstr(c->text, "***"));
        assert_non_null(strstr(c->text, shown[i][1]));
        sl_config *again = must_load(c->text);
        assert_string_equal(c->text, again->text);
        sl_config_destroy(again);
        sl_config_destroy(c);
    }
    static const char *const bad[] = {
        "warehouse: { url: postgres://u:s3cret@h:x/d }",
        "warehouse: { url: postgres://u:s3cret/d }",
        "warehouse: { url: \"postgres://u:a/s3cret@h\" }",
        "warehouse: { url: \"postgres://u:a?s3cret@h\" }",
        "warehouse: { url: \"postgres://u:s3cret@@h\" }",
        "warehouse: { url: mysql://u:s3cret@h }",
        "warehouse: { url: redshift://u:s3cret@h/d }",
        "warehouse: { url: [postgres://u:s3cret@h] }",
        "warehouse: postgres://u:s3cret@h/d",
        "warehouse: { sqlite: postgres://u:s3cret@h/d }",
        "warehouse: { sqlite: \"postgres://u:a@s3cret@h/d\" }",
        "warehouse: { postgres: { url: redshift://u:s3cret@h/d } }",
        "warehouse: { postgres: postgres://u:s3cret@h/d }",
        "warehouse: { postgres: { password: s3cret } }",
        "warehouse: { postgres: { url: postgres://h, password: [s3cret] } }",
        "lake: { to: s3://key:s3cret@shop/x }",
        "lake: { to: https://key:s3cret@shop/x }",
        "s3: { endpoint: https://key:s3cret@h }",
        "http: { listen: http://u:s3cret@h }",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(load(bad[i]));
        if (strstr(wrong.text, "s3cret"))
            fail_msg("%s", wrong.text);
    }
}

static void tables_are_made_by_sluice_unless_it_is_told_otherwise(void **state) {
    (void)state;
    sl_config *c = must_load(
        POSTGRES
        "streams:\n  a: { raw: true, lake: {}, warehouse: { create: false, strings: "
        "dead_letter, table: shop.a } }\n  b: { warehouse: }\n  c:\n"
        "windows:\n  w: { of: a, every: 1m, measures: { n: count() }, warehouse: { "
        "create: False } }\n  v: { of: a, every: 1m, measures: { n: count() } }\n");
    assert_true(c->streams[0].raw);
    assert_false(c->streams[0].warehouse.create);
    assert_int_equal(c->streams[0].warehouse.strings, SL_STRINGS_DEAD_LETTER);
    assert_string_equal(c->streams[0].warehouse.name, "shop.a");
    assert_false(c->streams[1].raw);
    assert_true(c->streams[1].warehouse.create);
    assert_int_equal(c->streams[1].warehouse.strings, SL_STRINGS_TRUNCATE);
    assert_null(c->streams[2].warehouse.name);
    assert_false(c->windows[0].warehouse.create);
    assert_true(c->windows[1].warehouse.create);
    assert_int_equal(last.count, 0);
    sl_config *again = must_load(c->text);
    assert_string_equal(c->text, again->text);
    assert_null(again->streams[2].warehouse.name);
    sl_config_destroy(again);
    sl_config_destroy(c);
    c = must_load("streams: { a: { warehouse: { create: false } } }");
    assert_string_equal(last.text,
                        "stream a: warehouse.create: false has no effect: tables "
                        "in SQLite are made by sluice");
    sl_config_destroy(c);
}

static void names_of_columns_fit_the_chosen_warehouse(void **state) {
    (void)state;
#define COLUMNS(names)                                                                   \
    "streams: { s: { warehouse: , schema: { type: object, properties: { " names          \
    " } } } }\n"
    static const char two[] = COLUMNS("A: { type: string }, a: { type: string }");
    static const char renamed[] = COLUMNS("oid: { type: string }");
    static const char quoted[] =
        COLUMNS("select: { type: string }, user: { type: string }");
    static const char longer[] = COLUMNS("a2345678901234567890123456789012345678901234567"
                                         "89012345678901234: { type: string }");
    char text[2000];
    assert_null(load(two));
    snprintf(text, sizeof text, "%s%s", REDSHIFT(""), two);
    assert_null(load(text));
    snprintf(text, sizeof text, "%s%s", POSTGRES, two);
    sl_config_destroy(must_load(text)); /* Quoted names keep their case there. */
    assert_int_equal(last.count, 0);

    sl_config_destroy(must_load(renamed));
    sl_config_destroy(must_load(longer));
    assert_int_equal(last.count, 0);
    snprintf(text, sizeof text, "%s%s", POSTGRES, longer);
    sl_config_destroy(must_load(text));
    assert_non_null(strstr(last.text, "1234' has 64 bytes; PostgreSQL takes 63, so it is "
                                      "cut there"));
    snprintf(text, sizeof text, "%s%s", REDSHIFT(""), longer);
    sl_config_destroy(must_load(text));
    assert_int_equal(last.count, 0);
    snprintf(text, sizeof text, "%s%s", REDSHIFT(""), quoted);
    sl_config_destroy(must_load(text));
    assert_int_equal(last.count, 0);
    snprintf(text, sizeof text, "%s%s", REDSHIFT(""), renamed);
    sl_config_destroy(must_load(text));
    assert_string_equal(last.text,
                        "stream s: the column 'oid' is called 'oid_' in Redshift, "
                        "which has one of that name in every table");
}

static void a_table_has_as_many_columns_as_the_warehouse_takes(void **state) {
    (void)state;
    char *text = calloc(1, 200000);
    assert_non_null(text);
    for (int i = 0; i < 2; i++) {
        strcpy(text, i ? POSTGRES : "");
        strcat(text,
               "streams: { s: { warehouse: , schema: { type: object, properties: { ");
        size_t used = strlen(text);
        for (int k = 0; k < 1700; k++)
            used += (size_t)snprintf(text + used, 200000 - used,
                                     "c%d: { type: string }, ", k);
        strcat(text, "} } } }\n");
        sl_config *c = load(text);
        assert_int_equal(c == NULL, i);
        if (!c)
            assert_string_equal(wrong.text,
                                "configuration:2:38: stream s: 1701 columns; a "
                                "table of PostgreSQL has at most 1590");
        sl_config_destroy(c);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lake_may_be_on_s3),
        cmocka_unit_test(buckets_have_the_names_that_s3_allows),
        cmocka_unit_test(the_section_s3_is_read),
        cmocka_unit_test(endpoints_are_hosts_with_a_scheme),
        cmocka_unit_test(postgres_is_a_warehouse),
        cmocka_unit_test(redshift_is_a_warehouse_with_a_stage),
        cmocka_unit_test(the_environments_warehouse_goes_before_the_files),
        cmocka_unit_test(passwords_are_shown_as_stars_and_are_in_no_message),
        cmocka_unit_test(tables_are_made_by_sluice_unless_it_is_told_otherwise),
        cmocka_unit_test(names_of_columns_fit_the_chosen_warehouse),
        cmocka_unit_test(a_table_has_as_many_columns_as_the_warehouse_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
