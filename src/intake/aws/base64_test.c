#include "base64.h"

#include "sluice/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const aws_base64_form forms[] = {AWS_BASE64_SCALAR, AWS_BASE64_SSSE3, AWS_BASE64_AVX2, AWS_BASE64_AUTO};
enum { FORMS = sizeof forms / sizeof *forms, LONGEST = 300 };

static bool has(aws_base64_form form) {
    return form == AWS_BASE64_SSSE3  ? __builtin_cpu_supports("ssse3")
           : form == AWS_BASE64_AVX2 ? __builtin_cpu_supports("avx2")
                                     : true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t encode(const uint8_t *bytes, size_t length, uint8_t *text) {
    size_t n = 0;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0) |
                        (i + 2 < length ? bytes[i + 2] : 0);
        text[n++] = (uint8_t)alphabet[bits >> 18];
        text[n++] = (uint8_t)alphabet[bits >> 12 & 63];
        text[n++] = i + 1 < length ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
        text[n++] = i + 2 < length ? (uint8_t)alphabet[bits & 63] : '=';
    }
    return n;
}

/* In a block of just its size, so that a sanitizer sees what is read and written beyond. */
static size_t decode(aws_base64_form form, const uint8_t *text, size_t length, uint8_t *out) {
    uint8_t *copy = sl_malloc(length), *to = sl_malloc(aws_base64_room(length));
    assert_true(copy != NULL && to != NULL);
    memcpy(copy, text, length);
    size_t n = aws_base64_decode(form, copy, length, to);
    if (n != AWS_BASE64_BAD) {
        assert_int_equal(n, aws_base64_size(text, length));
        memcpy(out, to, n);
    }
    sl_free(copy);
    sl_free(to);
    return n;
}

static void examples_of_the_rfc_come_out(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"", ""},         {"Zg==", "f"},        {"Zm8=", "fo"},        {"Zm9v", "foo"},
                                           {"Zm9vYg==", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}};
    uint8_t out[64];
    for (size_t f = 0; f < FORMS; f++)
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs && has(forms[f]); i++) {
            size_t n = decode(forms[f], (const uint8_t *)pairs[i][0], strlen(pairs[i][0]), out);
            assert_int_equal(n, strlen(pairs[i][1]));
            assert_memory_equal(out, pairs[i][1], n);
        }
}

static void every_length_and_byte_comes_back_in_every_form(void **state) {
    (void)state;
    uint8_t bytes[LONGEST], text[2 * LONGEST], out[2 * LONGEST];
    uint32_t seed = 1;
    for (size_t length = 0; length <= LONGEST; length++) {
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
        size_t n = encode(bytes, length, text);
        for (size_t f = 0; f < FORMS; f++)
            if (has(forms[f])) {
                assert_int_equal(decode(forms[f], text, n, out), length);
                assert_memory_equal(out, bytes, length);
            }
    }
}

static void any_foreign_character_anywhere_is_refused_in_every_form(void **state) {
    (void)state;
    uint8_t text[104], out[104];
    for (size_t at = 0; at < sizeof text; at++)
        for (unsigned c = 0; c < 256; c++) {
            memset(text, 'Q', sizeof text);
            text[at] = (uint8_t)c;
            bool good = (c != 0 && strchr(alphabet, (int)c) != NULL) || (c == '=' && at == sizeof text - 1);
            for (size_t f = 0; f < FORMS; f++)
                if (has(forms[f]) && (decode(forms[f], text, sizeof text, out) != AWS_BASE64_BAD) != good)
                    fail_msg("form %zu: character %u at %zu is %s", f, c, at, good ? "refused" : "taken");
        }
}

static void groups_that_are_not_whole_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9vY", "Zg=v", "Zm9v\n", " Zm9"};
    uint8_t out[64];
    for (size_t f = 0; f < FORMS; f++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad && has(forms[f]); i++)
            assert_true(decode(forms[f], (const uint8_t *)bad[i], strlen(bad[i]), out) == AWS_BASE64_BAD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc_come_out),
        cmocka_unit_test(every_length_and_byte_comes_back_in_every_form),
        cmocka_unit_test(any_foreign_character_anywhere_is_refused_in_every_form),
        cmocka_unit_test(groups_that_are_not_whole_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
