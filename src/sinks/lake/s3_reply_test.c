#include "s3_reply.h"
#include "s3_xml.h"

#include "sluice/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static sl_status write_element(void *context, const sl_s3_element *e) {
    sl_buffer *out = context;
    sl_buffer_printf(out, "%u %.*s/%.*s %s;", e->depth, (int)e->parent_length, e->parent,
                     (int)e->name_length, e->name, e->leaf ? e->text : "-");
    return SL_OK;
}

static sl_status scan(const char *xml, sl_buffer *out) {
    sl_error error;
    sl_buffer_clear(out);
    return sl_s3_xml_scan(xml, strlen(xml), write_element, out, &error);
}

static void elements_come_at_their_end_with_decoded_text(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    assert_int_equal(scan("\n <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c -->\n"
                          "<A xmlns='u' x:y=\"&gt;'\">\n <s3:b >a&lt;b&gt; "
                          "&amp;&quot;&apos;&#65;&#x20AC;</s3:b>"
                          "<c/><d></d><e><f>\xc3\xa9</f></e></A>\n",
                          &out),
                     SL_OK);
    assert_string_equal(
        sl_buffer_cstr(&out),
        "2 A/b a<b> &\"'A\xe2\x82\xac;2 A/c ;2 A/d ;3 e/f \xc3\xa9;2 A/e -;"
        "1 /A -;");
    sl_buffer_fini(&out);
}

static void what_is_no_xml_of_s3_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "   ",
        "text",
        "<A>",
        "<A></B>",
        "<A><B></A></B>",
        "</A>",
        "<A/><B/>",
        "<A/>text",
        "<A>&nbsp;</A>",
        "<A>&#0;</A>",
        "<A>&#xD800;</A>",
        "<A>&#x110000;</A>",
        "<A>&#;</A>",
        "<A>&#x;</A>",
        "<A>&#12</A>",
        "<A b></A>",
        "<A b=c></A>",
        "<A b='c></A>",
        "<A b='<'></A>",
        "<A b='c'd='e'",
        "<!DOCTYPE a><A/>",
        "<A><![CDATA[x]]></A>",
        "<A><?php ?></A>",
        "<A><!-- x</A>",
        "<?xml <A/>",
        "<1/>",
        "< A/>",
        "<A/ >",
        "<a:/>",
    };
    sl_buffer out = SL_BUFFER_EMPTY;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(scan(wrong[i], &out), SL_ESYNTAX);
    assert_int_equal(sl_s3_xml_scan("<A>\0</A>", 8, write_element, &out, NULL),
                     SL_ESYNTAX);
    assert_int_equal(scan("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", &out),
                     SL_ELIMIT);
    sl_buffer_fini(&out);
}

static void faults_are_told_from_other_documents(void **state) {
    (void)state;
    static const char text[] =
        "<?xml version=\"1.0\"?>\n<Error><Code>AuthorizationHeaderMalformed</Code>"
        "<Message>expecting\n'eu-west-1'</Message><Region>eu-west-1</Region>"
        "<RequestId>4442587FB7D0A2F9</RequestId><HostId>x</HostId></Error>";
    sl_s3_fault fault;
    assert_int_equal(sl_s3_fault_parse(text, sizeof text - 1, &fault), SL_OK);
    assert_string_equal(fault.code, "AuthorizationHeaderMalformed");
    assert_string_equal(fault.message, "expecting 'eu-west-1'");
    assert_string_equal(fault.request_id, "4442587FB7D0A2F9");
    assert_string_equal(fault.region, "eu-west-1");
    for (size_t n = 0; n + 1 < sizeof text - 1; n++) { /* Cut off, it is none. */
        assert_int_equal(sl_s3_fault_parse(text, n, &fault), SL_ENOTFOUND);
        assert_string_equal(fault.code, "");
    }
    static const char other[] = "<Result><Code>SlowDown</Code></Result>";
    assert_int_equal(sl_s3_fault_parse(other, sizeof other - 1, &fault), SL_ENOTFOUND);
    assert_int_equal(sl_s3_fault_parse(NULL, 0, &fault), SL_ENOTFOUND);
}

static void long_texts_of_faults_are_cut(void **state) {
    (void)state;
    sl_buffer b = SL_BUFFER_EMPTY;
    sl_buffer_text(&b, "<Error><Code>");
    for (int i = 0; i < 1000; i++)
        sl_buffer_byte(&b, 'C');
    sl_buffer_text(&b, "</Code></Error>");
    sl_s3_fault fault;
    assert_int_equal(sl_s3_fault_parse((const char *)b.bytes, b.length, &fault), SL_OK);
    assert_int_equal(strlen(fault.code), sizeof fault.code - 1);
    sl_buffer_fini(&b);
}

static bool write_item(void *context, const sl_s3_item *item) {
    sl_buffer_printf(context, "%s %llu %s %s;", item->key,
                     (unsigned long long)item->bytes, item->etag, item->upload_id);
    return true;
}

static const char objects[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult "
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>a=</Prefix>"
    "<NextContinuationToken>1ueGc/+=</NextContinuationToken><KeyCount>2</"
    "KeyCount><MaxKeys>2</MaxKeys>"
    "<IsTruncated>true</IsTruncated>"
    "<Contents><Key>a=1/x &amp; "
    "y</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>"
    "<ETag>&quot;e1&quot;</ETag><Size>5368709120</Size><Owner><ID>o</ID><DisplayName>d</"
    "DisplayName></Owner>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
    "<Contents><Key>a=2&#x1;</Key><Size>7</Size></Contents>"
    "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>";

static const char uploads[] =
    "<ListMultipartUploadsResult><Bucket>b</Bucket><KeyMarker/><UploadIdMarker/>"
    "<NextKeyMarker>k2</NextKeyMarker><NextUploadIdMarker>id2</NextUploadIdMarker>"
    "<IsTruncated>false</IsTruncated>"
    "<Upload><Key>k1</Key><UploadId>id1</UploadId><Initiator><ID>i</ID></Initiator></"
    "Upload>"
    "<Upload><Key>k2</Key><UploadId>id2</UploadId></Upload></ListMultipartUploadsResult>";

static void lists_are_read(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_s3_page page = {0};
    assert_int_equal(
        sl_s3_list_parse(objects, sizeof objects - 1, write_item, &out, &page, NULL),
        SL_OK);
    assert_string_equal(sl_buffer_cstr(&out),
                        "a=1/x & y 5368709120 \"e1\" ;a=2\x01 7  ;");
    assert_true(page.more);
    assert_string_equal(sl_buffer_cstr(&page.token), "1ueGc/+=");
    sl_buffer_clear(&out);
    assert_int_equal(
        sl_s3_list_parse(uploads, sizeof uploads - 1, write_item, &out, &page, NULL),
        SL_OK);
    assert_string_equal(sl_buffer_cstr(&out), "k1 0  id1;k2 0  id2;");
    assert_false(page.more);
    assert_string_equal(sl_buffer_cstr(&page.token), "k2");
    assert_string_equal(sl_buffer_cstr(&page.upload), "id2");
    sl_s3_page_fini(&page);
    sl_buffer_fini(&out);
}

static void lists_that_hide_something_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "<Other></Other>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></"
        "ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size></Size></Contents></"
        "ListBucketResult>",
        "<ListMultipartUploadsResult><Upload><Key>k</Key></Upload></"
        "ListMultipartUploadsResult>",
    };
    sl_buffer out = SL_BUFFER_EMPTY;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sl_s3_page page = {0};
        sl_error error;
        assert_int_equal(
            sl_s3_list_parse(wrong[i], strlen(wrong[i]), write_item, &out, &page, &error),
            SL_ESYNTAX);
        sl_s3_page_fini(&page);
    }
    sl_buffer_fini(&out);
}

static void values_need_their_root(void **state) {
    (void)state;
    static const char text[] =
        "<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>u&amp;1</UploadId>"
        "</InitiateMultipartUploadResult>";
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_error error;
    assert_int_equal(sl_s3_value_parse(text, sizeof text - 1,
                                       "InitiateMultipartUploadResult", "UploadId", &out,
                                       &error),
                     SL_OK);
    assert_string_equal(sl_buffer_cstr(&out), "u&1");
    assert_int_equal(sl_s3_value_parse(text, sizeof text - 1,
                                       "CompleteMultipartUploadResult", "UploadId", &out,
                                       &error),
                     SL_ESYNTAX);
    assert_int_equal(sl_s3_value_parse(text, sizeof text - 1,
                                       "InitiateMultipartUploadResult", "ETag", &out,
                                       &error),
                     SL_ESYNTAX);
    sl_buffer_fini(&out);
}

static void every_reply_has_its_consequence(void **state) {
    (void)state;
    static const struct {
        unsigned http;
        const char *code;
        sl_http_failure failure;
        sl_s3_next next;
        sl_status status;
    } cases[] = {
        {200, "", SL_HTTP_FAILED_NOT, SL_S3_DONE, SL_OK},
        {204, "", SL_HTTP_FAILED_NOT, SL_S3_DONE, SL_OK},
        {200, "InternalError", SL_HTTP_FAILED_NOT, SL_S3_AGAIN, SL_EIO},
        {200, "Whatever", SL_HTTP_FAILED_NOT, SL_S3_AGAIN, SL_EIO},
        {500, "", SL_HTTP_FAILED_NOT, SL_S3_AGAIN, SL_EIO},
        {502, "", SL_HTTP_FAILED_NOT, SL_S3_AGAIN, SL_EIO},
        {503, "", SL_HTTP_FAILED_NOT, SL_S3_SLOWER, SL_EIO},
        {503, "SlowDown", SL_HTTP_FAILED_NOT, SL_S3_SLOWER, SL_EIO},
        {429, "TooManyRequests", SL_HTTP_FAILED_NOT, SL_S3_SLOWER, SL_EIO},
        {400, "RequestTimeout", SL_HTTP_FAILED_NOT, SL_S3_AGAIN, SL_EIO},
        {400, "BadDigest", SL_HTTP_FAILED_NOT, SL_S3_AGAIN, SL_EIO},
        {400, "ExpiredToken", SL_HTTP_FAILED_NOT, SL_S3_CREDENTIALS, SL_EDENIED},
        {403, "RequestTimeTooSkewed", SL_HTTP_FAILED_NOT, SL_S3_CLOCK, SL_EDENIED},
        {403, "AccessDenied", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_EDENIED},
        {403, "", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_EDENIED},
        {404, "", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_ENOTFOUND},
        {404, "NoSuchKey", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_ENOTFOUND},
        {404, "NoSuchBucket", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_EIO},
        {409, "ConditionalRequestConflict", SL_HTTP_FAILED_NOT, SL_S3_AGAIN, SL_EIO},
        {412, "", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_EEXIST},
        {301, "PermanentRedirect", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_EIO},
        {400, "InvalidArgument", SL_HTTP_FAILED_NOT, SL_S3_FAIL, SL_EIO},
        {0, "", SL_HTTP_FAILED_RESOLVE, SL_S3_AGAIN, SL_EIO},
        {0, "", SL_HTTP_FAILED_CONNECT, SL_S3_AGAIN, SL_EIO},
        {0, "", SL_HTTP_FAILED_TIMEOUT, SL_S3_AGAIN, SL_EIO},
        {0, "", SL_HTTP_FAILED_LOST, SL_S3_AGAIN, SL_EIO},
        {0, "", SL_HTTP_FAILED_TLS, SL_S3_FAIL, SL_EDENIED},
        {0, "", SL_HTTP_FAILED_BODY, SL_S3_FAIL, SL_EIO},
        {0, "", SL_HTTP_FAILED_LOCAL, SL_S3_FAIL, SL_ENOMEM},
        {200, "", SL_HTTP_FAILED_LIMIT, SL_S3_FAIL, SL_ELIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_status status;
        assert_int_equal(
            sl_s3_judge(cases[i].http, cases[i].code, cases[i].failure, &status),
            cases[i].next);
        assert_int_equal(status, cases[i].status);
    }
}

static void dates_are_read(void **state) {
    (void)state;
    int64_t us;
    assert_true(sl_s3_date_parse("Sun, 06 Nov 1994 08:49:37 GMT", &us));
    assert_int_equal(us, INT64_C(784111777) * SL_SECOND_US);
    static const char *const wrong[] = {"",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun, 06 Nox 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 08:49:37 CET",
                                        "Sun, 00 Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 24:49:37 GMT"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(sl_s3_date_parse(wrong[i], &us));
}

/* Every allocation fails once: then it is that, and never a list that looks whole. */
static void failing_allocations_of_parsers_are_statuses(void **state) {
    (void)state;
    for (uint64_t n = 1;; n++) {
        sl_buffer out = SL_BUFFER_EMPTY, value = SL_BUFFER_EMPTY;
        sl_s3_page page = {0};
        sl_s3_fault fault;
        sl_error error;
        sl_memory_fail_at(n);
        sl_status list = sl_s3_list_parse(objects, sizeof objects - 1, write_item, &out,
                                          &page, &error);
        sl_status name = sl_s3_value_parse(objects, sizeof objects - 1,
                                           "ListBucketResult", "Name", &value, &error);
        sl_status none = sl_s3_fault_parse(objects, sizeof objects - 1, &fault);
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        bool whole = !out.failed && calls < n;
        assert_true(list == SL_OK || list == SL_ENOMEM);
        assert_true(name == SL_OK || name == SL_ENOMEM);
        assert_true(none == SL_ENOTFOUND || none == SL_ENOMEM);
        if (!out.failed && list == SL_OK) {
            assert_string_equal(sl_buffer_cstr(&out),
                                "a=1/x & y 5368709120 \"e1\" ;a=2\x01 7  ;");
            assert_true(page.more);
            assert_string_equal(sl_buffer_cstr(&page.token), "1ueGc/+=");
        }
        if (name == SL_OK)
            assert_string_equal(sl_buffer_cstr(&value), "b");
        sl_s3_page_fini(&page);
        sl_buffer_fini(&out);
        sl_buffer_fini(&value);
        if (whole) {
            assert_true(n > 8);
            break;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_come_at_their_end_with_decoded_text),
        cmocka_unit_test(what_is_no_xml_of_s3_is_refused),
        cmocka_unit_test(faults_are_told_from_other_documents),
        cmocka_unit_test(long_texts_of_faults_are_cut),
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(lists_that_hide_something_are_refused),
        cmocka_unit_test(values_need_their_root),
        cmocka_unit_test(every_reply_has_its_consequence),
        cmocka_unit_test(dates_are_read),
        cmocka_unit_test(failing_allocations_of_parsers_are_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
