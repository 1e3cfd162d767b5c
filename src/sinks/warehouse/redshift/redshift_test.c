/* What needs no server: shapes of requests and replies, statements, pauses, and files
 * without memory. */
#include "job.h"

#include "sluice/io_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void expect(sl_buffer *got, const char *wanted) {
    assert_string_equal(sl_buffer_cstr(got), wanted);
    sl_buffer_fini(got);
}

/* --- IAM. Members and order of none: API Reference of Redshift (2012-12-01) and of
 * Redshift Serverless. --- */

static void a_cluster_is_asked_by_a_form(void **state) {
    (void)state;
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_redshift_iam iam = {.cluster = "examplecluster", .user = "loader of rows"};
    iam_body(&iam, &body);
    assert_string_equal(
        sl_buffer_cstr(&body),
        "Action=GetClusterCredentials&Version=2012-12-01&ClusterIdentifier=examplecluster"
        "&DbUser=loader%20of%20rows&DurationSeconds=900");
    iam.database = "d&v";
    iam.create_user = true;
    iam_body(&iam, &body);
    expect(
        &body,
        "Action=GetClusterCredentials&Version=2012-12-01&ClusterIdentifier=examplecluster"
        "&DbUser=loader%20of%20rows&DbName=d%26v&DurationSeconds=900&AutoCreate=true");
}

static void a_workgroup_is_asked_by_json(void **state) {
    (void)state;
    sl_buffer body = SL_BUFFER_EMPTY;
    const sl_redshift_iam iam = {.workgroup = "default", .database = "d\"v"};
    iam_body(&iam, &body);
    expect(
        &body,
        "{\"durationSeconds\":900,\"workgroupName\":\"default\",\"dbName\":\"d\\\"v\"}");
}

static void hosts_are_those_of_region_and_service(void **state) {
    static const struct {
        sl_redshift_iam iam;
        const char *region, *url, *host;
    } cases[] = {
        {{.cluster = "c"},
         "eu-west-1",
         "https://redshift.eu-west-1.amazonaws.com/",
         "redshift.eu-west-1.amazonaws.com"},
        {{.workgroup = "w"},
         "us-east-2",
         "https://redshift-serverless.us-east-2.amazonaws.com/",
         "redshift-serverless.us-east-2.amazonaws.com"},
        {{.cluster = "c"},
         "cn-north-1",
         "https://redshift.cn-north-1.amazonaws.com.cn/",
         "redshift.cn-north-1.amazonaws.com.cn"},
        {{.cluster = "c", .endpoint = "http://127.0.0.1:8080/"},
         "x",
         "http://127.0.0.1:8080/",
         "127.0.0.1:8080"},
        {{.cluster = "c", .endpoint = "https://vpce-1.redshift"},
         "x",
         "https://vpce-1.redshift/",
         "vpce-1.redshift"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_buffer url = SL_BUFFER_EMPTY, host = SL_BUFFER_EMPTY;
        iam_url(&cases[i].iam, cases[i].region, &url, &host);
        expect(&url, cases[i].url);
        expect(&host, cases[i].host);
    }
}

static bool reply(bool serverless, const char *text, char user[64], char password[64]) {
    sl_buffer body = SL_BUFFER_EMPTY, name = SL_BUFFER_EMPTY, secret = SL_BUFFER_EMPTY;
    sl_buffer_text(&body, text);
    bool whole = iam_reply(serverless, &body, &name, &secret);
    (void)snprintf(user, 64, "%s", sl_buffer_cstr(&name));
    (void)snprintf(password, 64, "%s", sl_buffer_cstr(&secret));
    sl_buffer_fini(&body);
    sl_buffer_fini(&name);
    sl_buffer_fini(&secret);
    return whole;
}

static void user_and_password_are_read_from_replies(void **state) {
    char user[64], password[64];
    (void)state;
    assert_true(reply(
        false,
        "<GetClusterCredentialsResponse "
        "xmlns=\"http://redshift.amazonaws.com/doc/2012-12-01/\">\n"
        "  <GetClusterCredentialsResult>\n    <DbUser>IAM:temp_user</DbUser>\n"
        "    <DbPassword>a+/=&lt;&amp;&gt;&quot;&apos;&#39;&#x27;&#65; &c;</DbPassword>\n"
        "    <Expiration>2026-12-10T16:27:51.904Z</Expiration>\n  "
        "</GetClusterCredentialsResult>\n"
        "</GetClusterCredentialsResponse>",
        user, password));
    assert_string_equal(user, "IAM:temp_user");
    assert_string_equal(password, "a+/=<&>\"'''A &c;");
    assert_true(reply(
        true,
        "{\"dbPassword\":\"p\\\"+/=\",\"dbUser\":\"IAMR:role\",\"expiration\":1.7e9,"
        "\"nextRefreshTime\":1.7e9}",
        user, password));
    assert_string_equal(user, "IAMR:role");
    assert_string_equal(password, "p\"+/=");
}

static void replies_without_either_are_none(void **state) {
    static const char *const xml[] = {
        "", "<DbUser>a</DbUser>", "<DbUser>a</DbUser><DbPassword>b",
        "<DbUser></DbUser><DbPassword>b</DbPassword>", "<DbPassword>b</DbPassword>"};
    static const char *const json[] = {"",
                                       "{}",
                                       "[]",
                                       "{\"dbUser\":\"a\"}",
                                       "{\"dbUser\":\"a\",\"dbPassword\":7}",
                                       "{\"dbUser\":\"\",\"dbPassword\":\"b\"}"};
    char user[64], password[64];
    (void)state;
    for (size_t i = 0; i < sizeof xml / sizeof *xml; i++)
        assert_false(reply(false, xml[i], user, password));
    for (size_t i = 0; i < sizeof json / sizeof *json; i++)
        assert_false(reply(true, json[i], user, password));
}

static void refusals_are_told_and_sorted(void **state) {
    static const struct {
        bool serverless;
        unsigned code;
        const char *body;
        sl_status status;
        bool expired;
        const char *text;
    } cases[] = {
        {false, 404,
         "<ErrorResponse><Error><Code>ClusterNotFound</Code><Message>Cluster x not "
         "found.</Message></Error>",
         SL_EDENIED, false, "status 404 ClusterNotFound: Cluster x not found."},
        {false, 403, "<Error><Code>ExpiredToken</Code><Message>m</Message></Error>",
         SL_EDENIED, true, "status 403 ExpiredToken: m"},
        {false, 400, "<Code>Throttling</Code><Message>Rate exceeded</Message>", SL_EIO,
         false, "status 400 Throttling: Rate exceeded"},
        {false, 502, "<html>", SL_EIO, false, "status 502"},
        {true, 400, "{\"__type\":\"ThrottlingException\",\"Message\":\"slow\"}", SL_EIO,
         false, "status 400 ThrottlingException: slow"},
        {true, 400, "{\"__type\":\"ExpiredTokenException\",\"message\":\"m\"}",
         SL_EDENIED, true, "status 400 ExpiredTokenException: m"},
        {true, 403, "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}",
         SL_EDENIED, false, "status 403 AccessDeniedException: no"},
        {true, 500, "", SL_EIO, false, "status 500"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_buffer body = SL_BUFFER_EMPTY;
        sl_error error;
        bool expired;
        sl_buffer_text(&body, cases[i].body);
        assert_int_equal(
            iam_refusal(cases[i].serverless, cases[i].code, &body, &expired, &error),
            cases[i].status);
        assert_int_equal(expired, cases[i].expired);
        assert_string_equal(error.text, cases[i].text);
        sl_buffer_fini(&body);
    }
}

/* --- statements --- */

static void copy_is_authorised_by_role_or_keys(void **state) {
    static const struct {
        const char *role;
        sl_aws_keys keys;
        const char *text;
    } cases[] = {
        {"default", {0}, " IAM_ROLE default"},
        {"arn:aws:iam::123456789012:role/a,arn:aws:iam::210987654321:role/b",
         {0},
         " IAM_ROLE 'arn:aws:iam::123456789012:role/a,arn:aws:iam::210987654321:role/b'"},
        {NULL,
         {.access_key_id = "AKID", .secret_access_key = "s/e'c\\"},
         " ACCESS_KEY_ID 'AKID' SECRET_ACCESS_KEY 's/e''c\\\\'"},
        {NULL,
         {.access_key_id = "ASIA", .secret_access_key = "s", .session_token = "t=="},
         " ACCESS_KEY_ID 'ASIA' SECRET_ACCESS_KEY 's' SESSION_TOKEN 't=='"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_buffer text = SL_BUFFER_EMPTY;
        char wanted[400];
        statement_copy("bucket", "pre fix/manifest.json", cases[i].role,
                       cases[i].role != NULL ? NULL : &cases[i].keys, &text);
        (void)snprintf(
            wanted, sizeof wanted,
            "COPY \"sluice_stage\" FROM 's3://bucket/pre fix/manifest.json'%s%s",
            cases[i].text, " FORMAT AS PARQUET MANIFEST");
        expect(&text, wanted);
    }
}

/* COPY of Parquet wants each object's length, and fails on one that is missing only if
 * told so. */
static void manifests_name_objects_with_their_lengths(void **state) {
    (void)state;
    char first[] = "a/0.parquet", second[] = "a/\"1.parquet";
    const staged_file files[] = {{.key = first, .bytes = 12},
                                 {.key = second, .bytes = 5000000000}};
    sl_buffer text = SL_BUFFER_EMPTY;
    manifest_text("b", files, 2, &text);
    expect(
        &text,
        "{\"entries\":[{\"url\":\"s3://b/a/"
        "0.parquet\",\"mandatory\":true,\"meta\":{\"content_length\":12}},"
        "{\"url\":\"s3://b/a/"
        "\\\"1.parquet\",\"mandatory\":true,\"meta\":{\"content_length\":5000000000}}]}");
}

static void keys_of_staged_objects_have_plain_characters(void **state) {
    (void)state;
    sl_buffer one = SL_BUFFER_EMPTY, other = SL_BUFFER_EMPTY;
    stage_prefix("p/q", 3, "sch\xc3\xa4ma.t b", "journal:1", &one);
    stage_prefix("p/q", 3, "sch\xc3\xa4ma.t-b", "journal:1", &other);
    for (const char *c = sl_buffer_cstr(&one); *c != 0; c++)
        assert_non_null(strchr(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./", *c));
    assert_string_not_equal(sl_buffer_cstr(&one), sl_buffer_cstr(&other));
    assert_memory_equal(sl_buffer_cstr(&one), "p/q/sch--ma.t-b-", 16);
    sl_buffer_fini(&one);
    sl_buffer_fini(&other);
    stage_prefix("", 0, "t", "p", &one);
    assert_int_equal(one.bytes[0], 't'); /* Not "//": a bucket without a prefix. */
    sl_buffer_fini(&one);
}

/* --- pauses --- */

static void pauses_grow_and_two_who_met_do_not_meet_again(void **state) {
    (void)state;
    for (unsigned tries = 0; tries < 70; tries++) {
        uint64_t most = 0, different = 0, last = 0;
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t pause = job_pause_ms(tries, sl_hash64(&i, sizeof i, tries));
            assert_in_range(pause, 1, 5000);
            most = pause > most ? pause : most;
            different += pause != last;
            last = pause;
        }
        uint64_t limit = tries < 6 ? UINT64_C(100) << tries : 5000;
        assert_in_range(most, limit * 9 / 10, limit);
        assert_true(different > 950);
    }
}

/* --- without memory --- */

static const sl_rows_column heads[] = {{"_position", SL_TYPE_INT64, 0, 0},
                                       {"name", SL_TYPE_STRING, 0, 0},
                                       {"price", SL_TYPE_DECIMAL, 12, 2},
                                       {"tags", SL_TYPE_JSON, 0, 0}};

static sl_status stage_some(const char *base, const sl_warehouse_table *table,
                            sl_error *error) {
    stage s;
    sl_status status = stage_init(&s, sl_files_system(), table, base, 1, error);
    if (status != SL_OK)
        return status;
    sl_value values[8] = {0};
    for (uint32_t i = 0; i < table->count; i++)
        values[i] = (sl_value){.type = table->columns[i].type, .null = true};
    for (unsigned row = 0; row < 100 && status == SL_OK; row++)
        status = stage_row(&s, values, error);
    while (status == SL_OK || status == SL_EAGAIN) {
        status = stage_finish(&s, error);
        if (status == SL_OK)
            break;
    }
    if (status == SL_OK)
        assert_true(s.count == 1 && s.rows == 100 && s.list[0].bytes != 0);
    stage_fini(&s);
    return status;
}

static void staging_without_memory_says_so_and_leaves_no_file(void **state) {
    char directory[] = "/tmp/sluice-redshift-XXXXXX", base[64];
    (void)state;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(base, sizeof base, "%s/stage", directory);
    sl_warehouse_table table;
    sl_error error = {0};
    assert_int_equal(sl_warehouse_table_of_rows(SL_DIALECT_REDSHIFT, "t", heads, 4, NULL,
                                                &table, &error),
                     SL_OK);
    sl_memory_fail_at(0);
    assert_int_equal(stage_some(base, &table, &error), SL_OK);
    sl_memory_fail_at(UINT64_MAX);
    assert_int_equal(stage_some(base, &table, &error), SL_OK);
    uint64_t calls = sl_memory_calls();
    assert_true(calls > 10);
    for (uint64_t n = 1; n <= calls; n++) {
        sl_memory_fail_at(n);
        sl_status status = stage_some(base, &table, &error);
        sl_memory_fail_at(0);
        assert_true(status == SL_ENOMEM || status == SL_OK);
        if (status != SL_OK)
            assert_non_null(strstr(error.text, "memory"));
    }
    sl_warehouse_table_fini(&table);
    assert_int_equal(rmdir(directory), 0);
}

static void a_login_without_memory_is_none(void **state) {
    (void)state;
    const sl_redshift_iam iam = {.cluster = "c", .user = "u"};
    bool met = true;
    for (uint64_t n = 1; met; n++) {
        sl_buffer body = SL_BUFFER_EMPTY, xml = SL_BUFFER_EMPTY, user = SL_BUFFER_EMPTY,
                  password = SL_BUFFER_EMPTY;
        sl_buffer_text(&xml, "<DbUser>a</DbUser><DbPassword>b</DbPassword>");
        sl_memory_fail_at(n);
        iam_body(&iam, &body);
        bool whole = iam_reply(false, &xml, &user, &password);
        met = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        assert_int_equal(!body.failed && whole, !met);
        sl_buffer *all[] = {&body, &xml, &user, &password};
        for (size_t i = 0; i < 4; i++)
            sl_buffer_fini(all[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_asked_by_a_form),
        cmocka_unit_test(a_workgroup_is_asked_by_json),
        cmocka_unit_test(hosts_are_those_of_region_and_service),
        cmocka_unit_test(user_and_password_are_read_from_replies),
        cmocka_unit_test(replies_without_either_are_none),
        cmocka_unit_test(refusals_are_told_and_sorted),
        cmocka_unit_test(copy_is_authorised_by_role_or_keys),
        cmocka_unit_test(manifests_name_objects_with_their_lengths),
        cmocka_unit_test(keys_of_staged_objects_have_plain_characters),
        cmocka_unit_test(pauses_grow_and_two_who_met_do_not_meet_again),
        cmocka_unit_test(staging_without_memory_says_so_and_leaves_no_file),
        cmocka_unit_test(a_login_without_memory_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
