// Patterns: what they mean, what they may cost, and that the walk is as good as PCRE2.

#include "regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "contract_test_help.h"

static void patterns_mean_what_ecma_262_says(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool good;
    } cases[] = {
        {"^abc$", "abc\\n", false},
        {"^\\\\s$", "\\u00a0", true},
        {"^\\\\s$", "\\ufeff", true},
        {"^[\\\\s\\\\d]+$", "1\\u2003", true},
        {"^[^\\\\s]$", "\\u3000", false},
        {"^[\\\\S]$", "\\u3000", false},
        {"^\\\\S$", "\xc3\xa4", true},
        {"^.$", "\\u2028", false},
        {"^.$", "\xf0\x9f\x90\xa9", true},
        {"^\\\\w$", "\xc3\xa9", false},
        {"^\\\\W$", "\xc3\xa9", true},
        {"\\\\bx\\\\b", "a x b", true},
        {"^[[]$", "[", true},
        {"^[]a]", "a]", false},
        {"^[^]$", "\\n", true},
        {"^\\\\v$", "\\u000b", true},
        {"^\\\\u0041\\\\x42\\\\u{43}$", "ABC", true},
        {"^\\\\ud83d\\\\udc29$", "\xf0\x9f\x90\xa9", true},
        {"^(a)?\\\\1b$", "b", true},
        {"^(?<n>a)\\\\k<n>$", "aa", true},
        {"^(?:a|b){2,3}?$", "aba", true},
        {"(?<=\\\\$)[0-9]+", "$12", true},
        {"(?<!\\\\$)\\\\b[0-9]+", "$12", false},
        {"^(?=.*\\\\d)(?!.*x).+$", "a1", true},
        {"^\\\\p{Lu}\\\\P{Lu}$", "\xc3\x84\xc3\xa4", true},
        {"^\\\\p{Script=Greek}+$", "\xce\xb1\xce\xb2", true},
        {"^\\\\p{General_Category=Decimal_Number}$", "7", true},
        {"^a{,3}$", "a{,3}", true},
        {"^x\\\\-y$", "x-y", true},
        {"a\\\\/b", "a/b", true},
        {"^[\\\\w.-]+$", "a.b-c", true},
        {"^[\\\\x00-\\\\x7f]*$", "abc", true},
        {"^[a-]$", "-", true},
        {"\\\\0", "\\u0000", true},
        {"es", "expression", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char schema[128], text[64];
        snprintf(schema, sizeof schema, "{\"pattern\":\"%s\"}", cases[i].pattern);
        snprintf(text, sizeof text, "\"%s\"", cases[i].text);
        if (cases[i].good)
            good(schema, text);
        else
            bad(schema, text);
    }
}

static void what_only_pcre2_knows_is_no_pattern(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "(*UTF)a",  "a*+",         "a**",       "\\Aa",
        "a\\Z",     "(?i)a",       "(?>a)",     "(?#x)",
        "(?P<n>a)", "\\Qa\\E",     "\\Ka",      "\\R",
        "\\X",      "\\C",         "(?R)",      "(?1)",
        "a{2}{3}",  "^*",          "[z-a]",     "[\\d-z]",
        "\\2(a)",   "(",           ")",         "[a",
        "\\",       "\\u{110000}", "\\k<a>",    "(?<n>a)(?<n>b)",
        "\\xZ1",    "\\ud83d",     "\\p{Nope}", "\\p",
        "+a",       "a|*",         "(?<=a+)b",  "\\07",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (sl_regex_valid((const uint8_t *)wrong[i], strlen(wrong[i])))
            fail_msg("%s is taken for a pattern", wrong[i]);
}

static void a_pattern_that_takes_too_long_is_a_limit(void **state) {
    (void)state;
    char text[200] = "\"";
    for (int i = 0; i < 40; i++)
        strcat(text, "aaa");
    strcat(text, "!\"");
    assert_string_equal(verdict("{\"pattern\":\"^(a|aa|a?a)+$\"}", text),
                        " limit: event: a pattern takes too many steps to match");
    // Nothing turns a limit into a yes.
    assert_string_equal(verdict("{\"not\":{\"pattern\":\"^(a|aa|a?a)+$\"}}", text),
                        " limit: event: a pattern takes too many steps to match");
    assert_string_equal(
        verdict("{\"anyOf\":[{\"pattern\":\"^(a|aa|a?a)+$\"},true]}", text),
        " limit: event: a pattern takes too many steps to match");
}

static void many_slow_matches_get_fewer_steps_each(void **state) {
    (void)state;
    // Each name is slow, yet within the limit of one match.
    const char *schema = "{\"patternProperties\":{\"^(a|aa)+$\":true}}";
    char few[64];
    snprintf(few, sizeof few, "{\"aaaaaaaaaaaaaaaaaaaa!\":0}");
    good(schema, few);
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_byte(&text, '{');
    for (int i = 0; i < 200; i++) {
        char number[16];
        snprintf(number, sizeof number, "-%d", i);
        sl_buffer_printf(&text, "\"aaaaaaaaaaaaaaaaaaaa%s!\":0,", number);
    }
    sl_buffer_text(&text, "\"z\":0}");
    assert_non_null(strstr(verdict(schema, sl_buffer_cstr(&text)),
                           "a pattern takes too many steps to match"));
    sl_buffer_fini(&text);
}

static uint64_t seed = 7;
static uint32_t below(uint32_t limit) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % limit);
}

/** Random patterns of the simple kind, on random texts of their letters. */
static void the_walk_says_what_pcre2_says(void **state) {
    (void)state;
    static const char *const sets[] = {"a", "[ab]",    "[a-c]", "\\d", "\\w",
                                       "_", "[0-9a-]", "\\.",   "[b.]"};
    static const char *const counts[] = {"",    "",      "+",    "*",  "?",
                                         "{2}", "{1,3}", "{2,}", "{0}"};
    regex_matcher *m = sl_regex_matcher_create();
    unsigned simple = 0;
    for (int round = 0; round < 4000; round++) {
        char pattern[100] = "^";
        for (uint32_t i = below(5); i > 0; i--) {
            strcat(pattern, sets[below(sizeof sets / sizeof *sets)]);
            strcat(pattern, counts[below(sizeof counts / sizeof *counts)]);
        }
        if (below(2))
            strcat(pattern, "$");
        regex *r;
        assert_int_equal(sl_regex_compile((uint8_t *)pattern, strlen(pattern), &r, NULL),
                         SL_OK);
        simple += sl_regex_is_simple(r);
        for (int i = 0; i < 20; i++) {
            static const char letters[] = "aabbc01_.-\xc3\xa4";
            uint8_t text[12 + SL_PADDING] = {0};
            size_t length = below(10);
            for (size_t k = 0; k < length; k++)
                text[k] = (uint8_t)letters[below(10)];
            if (below(10) == 0) {
                memcpy(text + length, "\xc3\xa4", 2);
                length += 2;
            }
            if (sl_regex_match(r, m, text, length) !=
                sl_regex_match_pcre2(r, m, text, length))
                fail_msg("%s on %s", pattern, (char *)text);
        }
        sl_regex_destroy(r);
    }
    assert_true(simple > 1000);
    sl_regex_matcher_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_mean_what_ecma_262_says),
        cmocka_unit_test(what_only_pcre2_knows_is_no_pattern),
        cmocka_unit_test(a_pattern_that_takes_too_long_is_a_limit),
        cmocka_unit_test(many_slow_matches_get_fewer_steps_each),
        cmocka_unit_test(the_walk_says_what_pcre2_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
