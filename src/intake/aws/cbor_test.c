#include "cbor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CBOR(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static void assert_json(const uint8_t *cbor, size_t length, const char *json) {
    sl_buffer out = SL_BUFFER_EMPTY;
    const char *wrong = NULL;
    if (!aws_cbor_to_json(cbor, length, &out, &wrong))
        fail_msg("%s: %s", json, wrong);
    assert_string_equal(sl_buffer_cstr(&out), json);
    sl_buffer_fini(&out);
}

static void assert_bad(const uint8_t *cbor, size_t length, const char *why) {
    sl_buffer out = SL_BUFFER_EMPTY;
    const char *wrong = NULL;
    assert_false(aws_cbor_to_json(cbor, length, &out, &wrong));
    assert_string_equal(wrong, why);
    sl_buffer_fini(&out);
}

/* RFC 8949, appendix A. */
static void examples_of_the_rfc_become_json(void **state) {
    (void)state;
    assert_json(CBOR("\x00"), "0");
    assert_json(CBOR("\x18\x64"), "100");
    assert_json(CBOR("\x1b\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615");
    assert_json(CBOR("\x39\x03\xe7"), "-1000");
    assert_json(CBOR("\xf9\x3e\x00"), "1.5");
    assert_json(CBOR("\xf9\xc4\x00"), "-4");
    assert_json(CBOR("\xf9\x00\x01"), "5.9604644775390625e-08");
    assert_json(CBOR("\xf9\x7e\x00"), "null");
    assert_json(CBOR("\xfa\x47\xc3\x50\x00"), "100000");
    assert_json(CBOR("\xfb\xc0\x10\x66\x66\x66\x66\x66\x66"), "-4.0999999999999996");
    assert_json(CBOR("\xf4"), "false");
    assert_json(CBOR("\xf5"), "true");
    assert_json(CBOR("\xf6"), "null");
    assert_json(CBOR("\xc1\x1a\x51\x4b\x67\xb0"), "1363896240");
    assert_json(CBOR("\x44\x01\x02\x03\x04"), "\"AQIDBA==\"");
    assert_json(CBOR("\x40"), "\"\"");
    assert_json(CBOR("\x64\xf0\x90\x85\x91"), "\"\xf0\x90\x85\x91\"");
    assert_json(CBOR("\x82\x01\x82\x02\x03"), "[1,[2,3]]");
    assert_json(CBOR("\xa2\x61\x61\x01\x61\x62\x82\x02\x03"), "{\"a\":1,\"b\":[2,3]}");
    assert_json(CBOR("\x5f\x42\x01\x02\x43\x03\x04\x05\xff"), "\"AQIDBAU=\"");
    assert_json(CBOR("\x82\x5f\xff\x7f\x60\xff"), "[\"\",\"\"]");
    assert_json(CBOR("\x7f\x65strea\x64ming\xff"), "\"streaming\"");
    assert_json(CBOR("\xbf\x63" "Fun\xf5\x63" "Amt\x21\xff"), "{\"Fun\":true,\"Amt\":-2}");
    assert_json(CBOR("\x9f\x01\x82\x02\x03\x9f\x04\x05\xff\xff"), "[1,[2,3],[4,5]]");
    assert_json(CBOR("\x62\"\n"), "\"\\\"\\n\"");
}

static void what_is_no_cbor_is_refused(void **state) {
    (void)state;
    static const char whole[] = "\xbf\x63" "Fun\x5f\x42\x01\x02\xff\x63" "Amt\x19\x01\x00\xff";
    for (size_t n = 0; n < sizeof whole - 1; n++)
        assert_bad((const uint8_t *)whole, n, "CBOR ends early");
    assert_bad(CBOR("\x00\x00"), "something behind the request");
    assert_bad(CBOR("\x1c"), "a head of CBOR that isn't one");
    assert_bad(CBOR("\x1f"), "a head of CBOR that isn't one");
    assert_bad(CBOR("\xff"), "a simple value that nobody knows");
    assert_bad(CBOR("\xe0"), "a simple value that nobody knows");
    assert_bad(CBOR("\xa1\x01\x01"), "a name that is no text");
    assert_bad(CBOR("\x61\xff"), "a text that isn't UTF-8");
    assert_bad(CBOR("\x5f\x61" "a\xff"), "a piece of another kind");
    assert_bad(CBOR("\x5f\x5f\xff\xff"), "a piece of another kind");
    assert_bad(CBOR("\x3b\xff\xff\xff\xff\xff\xff\xff\xff"), "a number beyond 64 bits");
    assert_bad(CBOR("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), "CBOR ends early");
    assert_bad(CBOR("\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), "CBOR ends early");
    uint8_t deep[100];
    memset(deep, 0x81, sizeof deep);
    assert_bad(deep, sizeof deep, "more than 64 levels");
    memset(deep, 0xc1, sizeof deep);
    assert_bad(deep, sizeof deep, "more than 64 levels");
    uint8_t control[1002] = {0x79, 0x03, 0xe7};
    assert_bad(control, sizeof control, "too many control characters");
}

static void replies_become_cbor(void **state) {
    (void)state;
    static const char json[] = "{\"a\":[1,{\"CreateTimestamp\":300}],\"t\":true,\"f\":false,\"s\":\"\\\"\"}";
    static const char cbor[] = "\xbf\x61" "a\x9f\x01\xbf\x6f" "CreateTimestamp\xc1\x1a\x00\x04\x93\xe0\xff\xff\x61t\xf5\x61" "f\xf4\x61s\x61\"\xff";
    sl_buffer out = SL_BUFFER_EMPTY;
    assert_true(aws_json_to_cbor(json, sizeof json - 1, &out));
    assert_int_equal(out.length, sizeof cbor - 1);
    assert_memory_equal(out.bytes, cbor, out.length);
    sl_buffer_fini(&out);
    static const uint64_t numbers[] = {23, 24, 255, 256, 65535, 65536, 4294967295, 4294967296};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sl_buffer text = SL_BUFFER_EMPTY, back = SL_BUFFER_EMPTY;
        const char *wrong;
        sl_buffer_printf(&text, "%llu", (unsigned long long)numbers[i]);
        out = SL_BUFFER_EMPTY;
        assert_true(aws_json_to_cbor(text.bytes, text.length, &out));
        assert_true(aws_cbor_to_json(out.bytes, out.length, &back, &wrong));
        assert_string_equal(sl_buffer_cstr(&back), sl_buffer_cstr(&text));
        sl_buffer_fini(&text);
        sl_buffer_fini(&back);
        sl_buffer_fini(&out);
    }
}

static void memory_that_runs_out_is_told(void **state) {
    (void)state;
    static const char cbor[] = "\xbf\x63" "Fun\x5f\x42\x01\x02\xff\x63" "Amt\x19\x01\x00\xff";
    static const char json[] = "{\"Fun\":\"AQI=\",\"Amt\":256}";
    for (uint64_t n = 1; n < 12; n++) {
        sl_buffer out = SL_BUFFER_EMPTY, back = SL_BUFFER_EMPTY;
        const char *wrong = NULL;
        sl_memory_fail_at(n);
        bool good = aws_cbor_to_json(CBOR(cbor), &out, &wrong), all = sl_memory_calls() < n;
        assert_true(good == all);
        sl_memory_fail_at(n);
        good = aws_json_to_cbor(json, sizeof json - 1, &back);
        all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_true(good == all);
        sl_buffer_fini(&out);
        sl_buffer_fini(&back);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc_become_json),
        cmocka_unit_test(what_is_no_cbor_is_refused),
        cmocka_unit_test(replies_become_cbor),
        cmocka_unit_test(memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
