#include "authorization.h"

#include "sluice/time.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define GOOD                                                                                                           \
    "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc"
#define STAMP "20150830T123600Z"
#define NOW INT64_C(1440938160000000) /* 2015-08-30T12:36:00Z */

static const char *read_fault(const char *text, const char *amz_date, const char *date, aws_fault *fault) {
    static aws_authorization a;
    *fault = (aws_fault){.type = NULL};
    bool good = aws_authorization_read(&a, text, amz_date, date, fault);
    assert_true(good == (fault->type == NULL));
    assert_true(good || fault->status == 400);
    return good ? "" : fault->type;
}

static void parts_are_told_apart(void **state) {
    (void)state;
    static const char *const forms[] = {
        GOOD,
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/kinesis/aws4_request,SignedHeaders=host;x-amz-date,Signature=abc",
        "AWS4-HMAC-SHA256  Signature=abc Other=x,, SignedHeaders=host;x-amz-date Credential=AKID/20150830/us-east-1/kinesis/aws4_request"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        aws_authorization a;
        aws_fault fault = {.type = NULL};
        assert_true(aws_authorization_read(&a, forms[i], STAMP, "", &fault));
        assert_string_equal(a.key_id, "AKID");
        assert_string_equal(a.region, "us-east-1");
        assert_string_equal(a.signature, "abc");
        assert_int_equal(a.name_count, 2);
        assert_true(aws_authorization_signs(&a, "host") && aws_authorization_signs(&a, "x-amz-date"));
        assert_false(aws_authorization_signs(&a, "x-amz-target"));
        assert_true(a.time_us == NOW);
        assert_true(aws_authorization_check(&a, "kinesis", NOW, &fault));
    }
}

static void what_is_missing_is_named(void **state) {
    (void)state;
    aws_fault fault;
    assert_string_equal(read_fault("", STAMP, "", &fault), "MissingAuthenticationTokenException");
    assert_string_equal(fault.message, "Missing Authentication Token");
    assert_string_equal(read_fault("Bearer x", STAMP, "", &fault), "MissingAuthenticationTokenException");
    assert_string_equal(read_fault("AWS4-ECDSA-P256-SHA256 Credential=x", STAMP, "", &fault), "IncompleteSignatureException");
    assert_string_equal(read_fault("AWS4-HMAC-SHA256 x", "", "", &fault), "IncompleteSignatureException");
    assert_string_equal(fault.message,
                        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
                        "Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a "
                        "'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 x");
    assert_string_equal(read_fault(GOOD ", Signature=d", STAMP, "", &fault), "IncompleteSignatureException");
    assert_string_equal(read_fault("AWS4-HMAC-SHA256 Credential=A/b/c, SignedHeaders=host, Signature=x", STAMP, "", &fault),
                        "IncompleteSignatureException");
    assert_non_null(strstr(fault.message, "exactly 5 slash-delimited elements"));
    assert_string_equal(read_fault("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=Host, Signature=x", STAMP, "", &fault),
                        "IncompleteSignatureException");
    assert_string_equal(read_fault("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host;;b, Signature=x", STAMP, "", &fault),
                        "IncompleteSignatureException");
}

static void headers_too_long_are_refused(void **state) {
    (void)state;
    static char text[8192];
    aws_fault fault;
    memset(text, ';', sizeof text - 1);
    memcpy(text, GOOD, sizeof GOOD - 1);
    assert_string_equal(read_fault(text, STAMP, "", &fault), "IncompleteSignatureException");
    sl_buffer many = SL_BUFFER_EMPTY;
    sl_buffer_text(&many, "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, Signature=x, SignedHeaders=a");
    for (int i = 0; i < AWS_SIGNED_MAX; i++)
        sl_buffer_text(&many, ";b");
    assert_string_equal(read_fault(sl_buffer_cstr(&many), STAMP, "", &fault), "IncompleteSignatureException");
    sl_buffer_fini(&many);
}

static void both_forms_of_dates_are_read(void **state) {
    (void)state;
    aws_fault fault;
    static const char *const bad[] = {"20150830T123600", "20150830 123600Z", "20151330T123600Z", "2015083xT123600Z", "x",
                                      "Sun, 30 Aug 2015 12:36:00 GMT"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(read_fault(GOOD, bad[i], "", &fault), "IncompleteSignatureException");
    static const char *const bad_dates[] = {"Sun, 30 Aug 2015 12:36:00 CET", "Sun, 30 ugS 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12-36-00 GMT"};
    for (size_t i = 0; i < sizeof bad_dates / sizeof *bad_dates; i++)
        assert_string_equal(read_fault(GOOD, "", bad_dates[i], &fault), "IncompleteSignatureException");
    aws_authorization a;
    fault.type = NULL;
    assert_true(aws_authorization_read(&a, GOOD, "", "Sun, 30 Aug 2015 12:36:00 GMT", &fault));
    assert_true(a.time_us == NOW);
    assert_string_equal(a.stamp, STAMP);
}

static void scope_and_time_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *credential, *stamp, *part;
    } bad[] = {
        {"A/20150830/us east/kinesis/aws4_request", STAMP, "valid region"},
        {"A/20150830//kinesis/aws4_request", STAMP, "valid region"},
        {"A/20150830/r/firehose/aws4_request", STAMP, "Credential should be scoped to correct service: 'kinesis'."},
        {"A/20150830/r/kinesis/aws3", STAMP, "valid terminator"},
        {"A/20150829/r/kinesis/aws4_request", STAMP,
         "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150829' != '20150830', from "
         "'20150830T123600Z'."},
        {"A/20150830/r/kinesis/aws4_request", "20150830T123059Z",
         "Signature expired: 20150830T123059Z is now earlier than 20150830T123100Z (20150830T123600Z - 5 min.)"},
        {"A/20150830/r/kinesis/aws4_request", "20150830T124101Z",
         "Signature not yet current: 20150830T124101Z is still later than 20150830T124100Z (20150830T123600Z + 5 min.)"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aws_authorization a;
        aws_fault fault = {.type = NULL};
        sl_buffer text = SL_BUFFER_EMPTY;
        /* Blanks part parameters, so that one in a region would end it. */
        sl_buffer_printf(&text, "AWS4-HMAC-SHA256 Credential=%s,SignedHeaders=host,Signature=x", bad[i].credential);
        bool good = aws_authorization_read(&a, sl_buffer_cstr(&text), bad[i].stamp, "", &fault);
        if (good) {
            assert_false(aws_authorization_check(&a, "kinesis", NOW, &fault));
            assert_string_equal(fault.type, "InvalidSignatureException");
            if (strstr(fault.message, bad[i].part) == NULL)
                fail_msg("%s", fault.message);
        } else {
            assert_int_equal(i, 0);
        }
        sl_buffer_fini(&text);
    }
}

static void five_minutes_are_near_enough(void **state) {
    (void)state;
    aws_authorization a;
    aws_fault fault = {.type = NULL};
    assert_true(aws_authorization_read(&a, GOOD, STAMP, "", &fault));
    assert_true(aws_authorization_check(&a, "kinesis", NOW + 5 * SL_MINUTE_US, &fault));
    assert_true(aws_authorization_check(&a, "kinesis", NOW - 5 * SL_MINUTE_US, &fault));
    assert_false(aws_authorization_check(&a, "kinesis", NOW + 5 * SL_MINUTE_US + 1, &fault));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_told_apart),         cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(headers_too_long_are_refused), cmocka_unit_test(both_forms_of_dates_are_read),
        cmocka_unit_test(scope_and_time_are_checked),   cmocka_unit_test(five_minutes_are_near_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
