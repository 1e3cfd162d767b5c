#include "decode_testing.h"
#include "sluice/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EVENT "\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\""

static const sl_format cloudevents = {.kind = SL_FORMAT_CLOUDEVENTS};

static sl_schema *inferred(void) {
    sl_schema *schema = sl_schema_create("s");
    assert_non_null(schema);
    schema->inferred = true;
    schema->rest = sl_schema_add(schema, 0, "_rest", 5, SL_TYPE_JSON);
    schema->fields[schema->rest].origin = SL_ORIGIN_REST;
    schema->fields[schema->rest].nullable = true;
    return schema;
}

/** What becomes of one body: its rejects, then how many were taken; the same by each variant. */
static void expect_decoded(const char *body, const char *expected) {
    sl_schema *schema = inferred();
    for (int simd = SL_SIMD_SCALAR; simd <= SL_SIMD_AVX2; simd++) {
        const sl_decoder_options options = {.simd = (sl_simd)simd};
        uint8_t *copy = padded_copy(body, strlen(body), '}');
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_status status = decode_dump_as(cloudevents, NULL, &out, schema, &options, copy, strlen(body), false);
        free(copy);
        if (status != SL_EUNSUPPORTED) {
            assert_int_equal(status, SL_OK);
            const char *text = sl_buffer_cstr(&out), *from = strstr(text, "reject ");
            assert_string_equal(from != NULL ? from : strstr(text, "accepted "), expected);
        }
        sl_buffer_fini(&out);
    }
    sl_schema_unref(schema);
}

static void expect_taken(const char *body) { expect_decoded(body, "accepted 1 rejected 0\n"); }

static void expect_refused(const char *body, const char *code_path_and_message) {
    char expected[512];
    size_t length = strlen(body);
    const char *at = strchr(code_path_and_message, ' ');
    (void)snprintf(expected, sizeof expected, "reject #0 0+%zu at %.*s%s\naccepted 0 rejected 1\n", length,
                   (int)(at - code_path_and_message), code_path_and_message, at);
    expect_decoded(body, expected);
}

static void envelopes_are_taken(void **state) {
    (void)state;
    expect_taken("{" EVENT "}");
    expect_taken(" { \"data\" : {\"Any\":[1,{\"UPPER\":null}]} , " EVENT " } ");
    expect_taken("{" EVENT ",\"time\":\"2018-04-05T17:31:00Z\",\"datacontenttype\":\"application/json; charset=utf-8\","
                 "\"subject\":\"my \xc3\xbc.jpg\",\"dataschema\":\"https:\\/\\/x.example/s#1\"}");
    expect_taken("{" EVENT ",\"data\":null,\"data_base64\":\"Zm9vYg==\"}");
    expect_taken("{" EVENT ",\"data\":17,\"data_base64\":null}");
    expect_taken("{" EVENT ",\"data_base64\":\"\"}");
    expect_taken("{" EVENT ",\"datacontenttype\":\"text/xml\",\"data\":\"<much wow=\\\"xml\\\"/>\\u0001\"}");
}

static void extensions_are_strings_booleans_and_integers(void **state) {
    (void)state;
    expect_taken("{" EVENT ",\"traceparent\":\"00-0af\",\"sampled\":true,\"rate\":-2147483648,\"max\":2147483647,\"no\":null,\"e\":\"\"}");
    expect_refused("{" EVENT ",\"rate\":2147483648}", "62 range /rate: not an integer of 32 bits");
    expect_refused("{" EVENT ",\"rate\":1.5}", "62 range /rate: not an integer of 32 bits");
    expect_refused("{" EVENT ",\"list\":[1]}", "62 type /list: attributes are strings, booleans and integers");
    expect_refused("{" EVENT ",\"o\":{}}", "59 type /o: attributes are strings, booleans and integers");
}

static void required_attributes_are_required(void **state) {
    (void)state;
    expect_refused("{\"specversion\":\"1.0\",\"source\":\"/s\",\"type\":\"t\"}", "0 required /id: a CloudEvent needs it");
    expect_refused("{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":null,\"type\":\"t\"}",
                   "0 required /source: a CloudEvent needs it");
    expect_refused("{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\"}", "0 required /type: a CloudEvent needs it");
    expect_refused("{\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}", "0 required /specversion: a CloudEvent needs it");
    expect_refused("{\"id\":\"\"}", "6 format /id: it is empty");
    expect_refused("{\"id\":7}", "6 type /id: not a string");
    expect_refused("{\"specversion\":\"0.3\"}", "15 format /specversion: only specversion 1.0 is taken");
}

static void attributes_are_checked(void **state) {
    (void)state;
    expect_refused("{\"source\":\"a b\"}", "10 format /source: not a URI reference");
    expect_refused("{\"source\":\"a%2\"}", "10 format /source: not a URI reference");
    expect_refused("{\"dataschema\":\"/relative\"}", "14 format /dataschema: not a URI");
    expect_refused("{\"time\":\"2018-04-05 17:31\"}", "8 format /time: not an RFC 3339 time");
    expect_refused("{\"datacontenttype\":\"json\"}", "19 format /datacontenttype: not a media type");
    expect_refused("{\"type\":\"a\\nb\"}", "8 format /type: it holds a character that attributes may not have");
    expect_refused("{\"type\":\"a\xc2\x85\"}", "8 format /type: it holds a character that attributes may not have");
    expect_refused("{\"x\":\"\\uffff\"}", "5 format /x: it holds a character that attributes may not have");
    expect_refused("{\"x\":\"\xf0\x9f\xbf\xbe\"}", "5 format /x: it holds a character that attributes may not have");
}

static void names_have_lower_case_letters_and_digits(void **state) {
    (void)state;
    expect_refused("{\"Id\":\"a\"}", "6 format /Id: an attribute's name has lower-case letters and digits alone");
    expect_refused("{\"my_name\":1}", "11 format /my_name: an attribute's name has lower-case letters and digits alone");
    expect_refused("{\"\":1}", "4 format /: an attribute's name has lower-case letters and digits alone");
}

static void data_comes_once(void **state) {
    (void)state;
    expect_refused("{\"data\":1,\"data_base64\":\"Zm9v\"}", "24 format /data_base64: data and data_base64 are both there");
    expect_refused("{\"data_base64\":\"Zm9v\",\"data\":{}}", "29 format /data: data and data_base64 are both there");
    expect_refused("{\"data_base64\":\"Zm9\"}", "15 format /data_base64: not base64");
    expect_refused("{\"data_base64\":\"Zm-_\"}", "15 format /data_base64: not base64");
    expect_refused("{\"data_base64\":1}", "15 type /data_base64: not a string");
}

static void neighbours_are_kept(void **state) {
    (void)state;
    expect_decoded("[{" EVENT "},{\"id\":\"b\"},{" EVENT ",\"n\":1}]",
                   "reject #1 57+10 at 0 required /source: a CloudEvent needs it\n"
                   "proposal 0/specversion string\nproposal 0/id string\nproposal 0/source string\nproposal 0/type string\n"
                   "proposal 0/n int64\naccepted 2 rejected 1\n");
    expect_decoded("[]", "accepted 0 rejected 0\n");
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    const char body[] = "{" EVENT ",\"dataschema\":\"https:\\/\\/x.example\",\"data\":{\"a\":\"\\u00e9\"},\"Bad\":1}";
    sl_schema *schema = inferred();
    for (uint64_t n = 1;; n++) {
        const sl_decoder_options options = {0};
        uint8_t *copy = padded_copy(body, sizeof body - 1, 0);
        sl_buffer out = SL_BUFFER_EMPTY;
        assert_true(sl_buffer_reserve(&out, 4096)); /* The dump's own. */
        sl_memory_fail_at(n);
        sl_status status = decode_dump_as(cloudevents, NULL, &out, schema, &options, copy, sizeof body - 1, false);
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        sl_buffer_fini(&out);
        free(copy);
        if (status == SL_OK) {
            assert_true(calls < n);
            break;
        }
        assert_int_equal(status, SL_ENOMEM);
    }
    sl_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelopes_are_taken),
        cmocka_unit_test(extensions_are_strings_booleans_and_integers),
        cmocka_unit_test(required_attributes_are_required),
        cmocka_unit_test(attributes_are_checked),
        cmocka_unit_test(names_have_lower_case_letters_and_digits),
        cmocka_unit_test(data_comes_once),
        cmocka_unit_test(neighbours_are_kept),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
