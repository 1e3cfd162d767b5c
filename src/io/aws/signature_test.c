/* Requests and signatures as AWS's documentation prints them: S3 API reference, "Signature Calculations for the
 * Authorization Header: Transferring Payload in a Single Chunk", and IAM user guide, "Create a signed AWS API request". */
#include "sluice/aws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S3_TIME (INT64_C(1369353600) * SL_SECOND_US)  /* 2013-05-24T00:00:00Z */
#define IAM_TIME (INT64_C(1440938160) * SL_SECOND_US) /* 2015-08-30T12:36:00Z */

static const sl_aws_keys s3_keys = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL, INT64_MAX};
static const sl_aws_keys iam_keys = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL, INT64_MAX};

static const char *field(const sl_aws_signed *out, const char *name) {
    for (size_t i = 0; i < out->field_count; i++)
        if (strcmp(out->fields[i].name, name) == 0)
            return out->fields[i].value;
    return "";
}

static void assert_signature(const sl_aws_signed *out, const char *expected) {
    const char *found = strstr(field(out, "authorization"), "Signature=");
    assert_non_null(found);
    assert_string_equal(found + 10, expected);
}

static void assert_sign(sl_aws_signer *signer, const sl_aws_keys *keys, const sl_aws_request *request,
                        sl_aws_signed *out) {
    sl_error error = {0};
    if (sl_aws_sign(signer, keys, request, out, &error) != SL_OK)
        fail_msg("%s", error.text);
}

static sl_aws_request s3_get(const char *path) {
    return (sl_aws_request){.method = "GET", .host = "examplebucket.s3.amazonaws.com", .path = path, .time_us = S3_TIME};
}

static void s3_examples_of_the_documentation_come_out_as_printed(void **state) {
    (void)state;
    sl_aws_signer signer = {.service = "s3", .region = "us-east-1", .flags = SL_AWS_S3};
    sl_aws_signed out = {0};

    sl_http_field range = {"Range", "bytes=0-9"};
    sl_aws_request request = s3_get("/test.txt");
    request.fields = &range;
    request.field_count = 1;
    assert_sign(&signer, &s3_keys, &request, &out);
    assert_string_equal(field(&out, "authorization"),
                        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    assert_string_equal(field(&out, "x-amz-date"), "20130524T000000Z");
    assert_string_equal(out.target, "/test.txt");

    sl_http_field put[] = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"Date", "Fri, 24 May 2013 00:00:00 GMT"}};
    char hash[SL_AWS_HASH_TEXT];
    sl_aws_hash_text("Welcome to Amazon S3.", 21, hash);
    request = s3_get("/test$file.text");
    request.method = "PUT";
    request.fields = put;
    request.field_count = 2;
    request.payload_hash = hash;
    assert_sign(&signer, &s3_keys, &request, &out);
    assert_signature(&out, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    assert_string_equal(out.target, "/test%24file.text");
    assert_string_equal(field(&out, "x-amz-content-sha256"), hash);

    sl_http_field lifecycle = {"lifecycle", ""};
    request = s3_get("/");
    request.query = &lifecycle;
    request.query_count = 1;
    assert_sign(&signer, &s3_keys, &request, &out);
    assert_signature(&out, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    assert_string_equal(out.target, "/?lifecycle=");

    sl_http_field list[] = {{"prefix", "J"}, {"max-keys", "2"}};
    request.query = list;
    request.query_count = 2;
    assert_sign(&signer, &s3_keys, &request, &out);
    assert_signature(&out, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    assert_string_equal(out.target, "/?max-keys=2&prefix=J");
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
}

static sl_aws_request list_users(const sl_http_field *query, const sl_http_field *type) {
    return (sl_aws_request){.method = "GET", .host = "iam.amazonaws.com", .path = "/", .query = query, .query_count = 2,
                            .fields = type, .field_count = 1, .time_us = IAM_TIME};
}

static const sl_http_field iam_query[] = {{"Version", "2010-05-08"}, {"Action", "ListUsers"}};
static const sl_http_field iam_type = {"Content-Type", "application/x-www-form-urlencoded;  charset=utf-8 "};
#define IAM_SIGNATURE "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"

static void iam_example_of_the_documentation_comes_out_as_printed(void **state) {
    (void)state;
    sl_aws_signer signer = {.service = "iam", .region = "us-east-1", .flags = SL_AWS_SERVICE};
    sl_aws_signed out = {0};
    sl_aws_request request = list_users(iam_query, &iam_type);
    assert_sign(&signer, &iam_keys, &request, &out);
    assert_signature(&out, IAM_SIGNATURE);
    assert_int_equal(out.field_count, 2);
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
}

/* What a service sees of the request: the date is one of its fields. */
static void a_signature_is_told_from_any_other(void **state) {
    (void)state;
    sl_aws_signer signer = {.service = "iam", .region = "us-east-1", .flags = SL_AWS_SERVICE};
    const sl_http_field fields[] = {iam_type, {"x-amz-date", "20150830T123600Z"}};
    sl_aws_request request = list_users(iam_query, fields);
    sl_error error;
    char other[] = IAM_SIGNATURE;
    bool same;
    request.field_count = 2;
    request.payload_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_int_equal(sl_aws_verify(&signer, iam_keys.secret_access_key, &request, IAM_SIGNATURE, &same, &error), SL_OK);
    assert_true(same);
    for (size_t i = 0; i < sizeof other - 1; i++) {
        other[i] ^= 1;
        assert_int_equal(sl_aws_verify(&signer, iam_keys.secret_access_key, &request, other, &same, &error), SL_OK);
        assert_false(same);
        other[i] ^= 1;
    }
    assert_int_equal(sl_aws_verify(&signer, iam_keys.secret_access_key, &request, "", &same, &error), SL_OK);
    assert_false(same);
    assert_int_equal(sl_aws_verify(&signer, s3_keys.secret_access_key, &request, IAM_SIGNATURE, &same, &error), SL_OK);
    assert_false(same);
    for (uint64_t n = 1;; n++) {
        sl_memory_fail_at(n);
        sl_status status = sl_aws_verify(&signer, iam_keys.secret_access_key, &request, IAM_SIGNATURE, &same, &error);
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_int_equal(status, all ? SL_OK : SL_ENOMEM);
        assert_true(same == all);
        if (all)
            break;
    }
    sl_aws_signer_fini(&signer);
}

static void cached_key_follows_day_and_secret(void **state) {
    (void)state;
    sl_aws_signer signer = {.service = "iam", .region = "us-east-1", .flags = SL_AWS_SERVICE};
    sl_aws_signed out = {0};
    sl_aws_request request = list_users(iam_query, &iam_type), tomorrow = request;
    tomorrow.time_us += SL_DAY_US;
    sl_aws_keys other = iam_keys;
    other.secret_access_key = s3_keys.secret_access_key;
    assert_sign(&signer, &iam_keys, &tomorrow, &out);
    assert_string_equal(signer.day, "20150831");
    assert_sign(&signer, &iam_keys, &request, &out);
    assert_signature(&out, IAM_SIGNATURE);
    assert_sign(&signer, &other, &request, &out);
    assert_null(strstr(field(&out, "authorization"), IAM_SIGNATURE));
    assert_sign(&signer, &iam_keys, &request, &out);
    assert_signature(&out, IAM_SIGNATURE);
    assert_sign(&signer, &iam_keys, &request, &out); /* From the cache. */
    assert_signature(&out, IAM_SIGNATURE);
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
    assert_string_equal(signer.day, "");
}

/** The canonical request's second line. */
static void assert_path(unsigned flags, const char *path, const char *sent, const char *expected) {
    sl_aws_signer signer = {.service = "x", .region = "us-east-1", .flags = flags};
    sl_aws_signed out = {0};
    sl_aws_request request = s3_get(path);
    assert_sign(&signer, &s3_keys, &request, &out);
    assert_string_equal(out.target, sent);
    const char *line = strchr(sl_aws_signed_canonical(&out), '\n') + 1;
    assert_int_equal(strcspn(line, "\n"), strlen(expected));
    assert_memory_equal(line, expected, strlen(expected));
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
}

static void s3_keys_are_encoded_once_and_never_folded(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"/b/event_type=page view/a+b", "/b/event_type%3Dpage%20view/a%2Bb"},
        {"/b//x/../y/./z/", "/b//x/../y/./z/"},
        {"/b/\xc3\xa9\xe2\x82\xac", "/b/%C3%A9%E2%82%AC"},
        {"/b/100%25?&#", "/b/100%2525%3F%26%23"},
        {"/b/-._~AZaz09", "/b/-._~AZaz09"},
        {"/b/\x01\x7f*'()!", "/b/%01%7F%2A%27%28%29%21"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_path(SL_AWS_S3, cases[i][0], cases[i][1], cases[i][1]);
}

static void paths_of_other_services_are_folded_and_encoded_twice(void **state) {
    (void)state;
    assert_path(SL_AWS_SERVICE, "/functions/arn:aws:lambda/invocations", "/functions/arn%3Aaws%3Alambda/invocations",
                "/functions/arn%253Aaws%253Alambda/invocations");
    assert_path(SL_AWS_SERVICE, "//a/./b/../c//", "//a/./b/../c//", "/a/c/");
    assert_path(SL_AWS_SERVICE, "/../..", "/../..", "/");
    assert_path(SL_AWS_SERVICE, "/...", "/...", "/...");
    assert_path(SL_AWS_NORMALISE_PATH, "/a b/..", "/a%20b/..", "/");
}

static void query_is_sorted_by_encoded_name_then_value(void **state) {
    (void)state;
    static const sl_http_field query[] = {{"b", "2"}, {"a-b", "1"}, {"a", "z"}, {"a", "\xc3\xa9"}, {"a", "a/b="}, {"\xe1", ""},
                                          {"A", "+ ~"}};
    sl_aws_signer signer = {.service = "s3", .region = "us-east-1", .flags = SL_AWS_S3};
    sl_aws_signed out = {0};
    sl_aws_request request = s3_get("/");
    request.query = query;
    request.query_count = sizeof query / sizeof query[0];
    assert_sign(&signer, &s3_keys, &request, &out);
    assert_string_equal(out.target, "/?%E1=&A=%2B%20~&a=%C3%A9&a=a%2Fb%3D&a=z&a-b=1&b=2");
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
}

static void session_token_is_signed_and_left_out_of_what_is_shown(void **state) {
    (void)state;
    sl_aws_signer signer = {.service = "s3", .region = "us-east-1", .flags = SL_AWS_S3};
    sl_aws_signed out = {0};
    sl_aws_keys keys = s3_keys;
    keys.session_token = "SECRETTOKEN";
    sl_http_field later = {"x-zzz", "last"};
    sl_aws_request request = s3_get("/k");
    request.payload_hash = SL_AWS_UNSIGNED_PAYLOAD;
    request.fields = &later;
    request.field_count = 1;
    assert_sign(&signer, &keys, &request, &out);
    assert_int_equal(out.field_count, 4);
    assert_string_equal(field(&out, "x-amz-security-token"), "SECRETTOKEN");
    assert_string_equal(field(&out, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
    assert_non_null(strstr(field(&out, "authorization"),
                           "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-zzz,"));
    const char *shown = "GET\n/k\n\nhost:examplebucket.s3.amazonaws.com\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
                        "x-amz-date:20130524T000000Z\nx-amz-security-token:\nx-zzz:last\n\n"
                        "host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-zzz\nUNSIGNED-PAYLOAD";
    assert_string_equal(sl_aws_signed_canonical(&out), shown);
    assert_string_equal(sl_aws_signed_canonical(&out), shown);
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
}

static void what_would_break_a_header_is_refused(void **state) {
    (void)state;
    static const sl_http_field bad[] = {{"a", "x\ny"}, {"a", "x\r"}, {"a\n", "x"}, {"", "x"}};
    sl_aws_signer signer = {.service = "s3", .region = "us-east-1", .flags = SL_AWS_S3};
    sl_aws_signed out = {0};
    sl_error error = {0};
    sl_aws_request request = s3_get("k");
    assert_int_equal(sl_aws_sign(&signer, &s3_keys, &request, &out, &error), SL_EINVAL);
    request = s3_get("/k");
    request.field_count = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        request.fields = &bad[i];
        assert_int_equal(sl_aws_sign(&signer, &s3_keys, &request, &out, &error), SL_EINVAL);
    }
    request.field_count = 0;
    request.query = &bad[3];
    request.query_count = 1;
    assert_int_equal(sl_aws_sign(&signer, &s3_keys, &request, &out, &error), SL_EINVAL);
    request.query_count = 0;
    request.host = "h\nx:y";
    assert_int_equal(sl_aws_sign(&signer, &s3_keys, &request, &out, &error), SL_EINVAL);
    sl_aws_signed_fini(&out);
}

static void hash_in_pieces_equals_hash_at_once(void **state) {
    (void)state;
    char once[SL_AWS_HASH_TEXT], pieces[SL_AWS_HASH_TEXT];
    sl_aws_hash *hash = sl_aws_hash_create();
    assert_non_null(hash);
    for (int i = 0; i < 2; i++) {
        sl_aws_hash_add(hash, "Welcome to ", 11);
        sl_aws_hash_add(hash, "Amazon S3.", 10);
        sl_aws_hash_take(hash, pieces);
        sl_aws_hash_text("Welcome to Amazon S3.", 21, once);
        assert_string_equal(pieces, once);
        assert_string_equal(pieces, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    }
    sl_aws_hash_destroy(hash);
}

static void failed_allocation_is_a_status_and_the_next_call_succeeds(void **state) {
    (void)state;
    sl_http_field range = {"Range", "bytes=0-9"}, query = {"a", "b"};
    sl_aws_request request = s3_get("/test.txt");
    request.fields = &range;
    request.field_count = 1;
    request.query = &query;
    request.query_count = 1;
    sl_aws_keys keys = s3_keys;
    keys.session_token = "token";
    uint64_t n = 1;
    for (sl_status status = SL_ENOMEM; status != SL_OK; n++) {
        sl_error error = {0};
        sl_aws_signer signer = {.service = "s3", .region = "us-east-1", .flags = SL_AWS_SERVICE | SL_AWS_S3};
        sl_aws_signed out = {0};
        sl_memory_fail_at(n);
        status = sl_aws_sign(&signer, &keys, &request, &out, &error);
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        char first[256];
        if (status == SL_OK)
            (void)snprintf(first, sizeof first, "%s", field(&out, "authorization"));
        assert_sign(&signer, &keys, &request, &out);
        if (status == SL_OK)
            assert_string_equal(field(&out, "authorization"), first);
        sl_aws_signed_fini(&out);
        sl_aws_signer_fini(&signer);
    }
    assert_true(n > 8);
    sl_memory_fail_at(1);
    assert_null(sl_aws_hash_create());
    sl_memory_fail_at(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s3_examples_of_the_documentation_come_out_as_printed),
        cmocka_unit_test(iam_example_of_the_documentation_comes_out_as_printed),
        cmocka_unit_test(a_signature_is_told_from_any_other),
        cmocka_unit_test(cached_key_follows_day_and_secret),
        cmocka_unit_test(s3_keys_are_encoded_once_and_never_folded),
        cmocka_unit_test(paths_of_other_services_are_folded_and_encoded_twice),
        cmocka_unit_test(query_is_sorted_by_encoded_name_then_value),
        cmocka_unit_test(session_token_is_signed_and_left_out_of_what_is_shown),
        cmocka_unit_test(what_would_break_a_header_is_refused),
        cmocka_unit_test(hash_in_pieces_equals_hash_at_once),
        cmocka_unit_test(failed_allocation_is_a_status_and_the_next_call_succeeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
