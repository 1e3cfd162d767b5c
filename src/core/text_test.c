// UTF-8, and the cache of answers for texts.

#include "sluice/hash.h"
#include "sluice/text_cache.h"
#include "sluice/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// ---- UTF-8
// ----------------------------------------------------------------------------------------------

// By the definition: decode, then ask whether the code point may be, and whether this is
// its shortest form.
static size_t character_slowly(const uint8_t *p, size_t room) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = p[0] < 0x80             ? 1
                   : (p[0] & 0xE0) == 0xC0 ? 2
                   : (p[0] & 0xF0) == 0xE0 ? 3
                   : (p[0] & 0xF8) == 0xF0 ? 4
                                           : 0;
    if (bytes == 0 || bytes > room)
        return 0;
    uint32_t code = bytes == 1 ? p[0] : p[0] & (0x7Fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3F);
    }
    return code < least[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)
               ? 0
               : bytes;
}

static void every_short_sequence_is_judged_by_the_definition(void **state) {
    (void)state;
    static const uint8_t third[] = {0x00, 0x41, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (unsigned a = 0x80; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            for (size_t c = 0; c < sizeof third * sizeof third; c++) {
                uint8_t text[4] = {(uint8_t)a, (uint8_t)b, third[c / sizeof third],
                                   third[c % sizeof third]};
                size_t bytes = character_slowly(text, 4), valid = sl_utf8_valid(text, 4);
                if (bytes == 0 ? valid != 0 : valid < bytes)
                    fail_msg("%02x %02x %02x %02x: %zu, not %zu", a, b, text[2], text[3],
                             valid, bytes);
            }
        }
    }
}

static void the_first_wrong_byte_is_found_wherever_it_is(void **state) {
    (void)state;
    char text[40];
    for (size_t at = 0; at < sizeof text; at++) {
        memset(text, 'a', sizeof text);
        text[at] = (char)0xFF;
        assert_int_equal(sl_utf8_valid(text, sizeof text), at);
    }
    assert_int_equal(sl_utf8_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 11), 11);
    assert_int_equal(sl_utf8_valid("a\xe2\x82", 3), 1); // Cut off.
}

static void a_cut_leaves_whole_characters(void **state) {
    (void)state;
    const char *text = "a\xe2\x82\xac"
                       "b";
    assert_int_equal(sl_utf8_cut(text, 5, 9), 5);
    assert_int_equal(sl_utf8_cut(text, 5, 5), 5);
    assert_int_equal(sl_utf8_cut(text, 5, 4), 4);
    assert_int_equal(sl_utf8_cut(text, 5, 3), 1);
    assert_int_equal(sl_utf8_cut(text, 5, 2), 1);
    assert_int_equal(sl_utf8_cut(text, 5, 0), 0);
}

static void trimmed_is(const char *text, const char *expected) {
    size_t begin, length = sl_utf8_trim(text, strlen(text), &begin);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(text + begin, expected, length);
}

static void white_space_of_unicode_is_trimmed_at_both_ends(void **state) {
    (void)state;
    trimmed_is("", "");
    trimmed_is("a b", "a b");
    trimmed_is(" \t\n\v\f\r", "");
    trimmed_is("\xc2\xa0\xe3\x80\x80 a\xc2\xa0"
               "b\xe2\x80\x83\xc2\x85",
               "a\xc2\xa0"
               "b");
    trimmed_is("\xe1\x9a\x80\xe2\x80\x80\xe2\x80\xaf\xe2\x81\x9f\xe2\x80\xa8", "");
    // Neither the zero-width space nor the byte order mark is one, nor what shares bytes.
    trimmed_is("\xe2\x80\x8b", "\xe2\x80\x8b");
    trimmed_is("\xef\xbb\xbf \xc3\xa0", "\xef\xbb\xbf \xc3\xa0");
    trimmed_is(" \xf0\x9f\x98\x80\xc2\xa1 ", "\xf0\x9f\x98\x80\xc2\xa1");
}

// ---- Cache
// ----------------------------------------------------------------------------------------------

static sl_text_answer *get(sl_text_cache *cache, const char *text) {
    return sl_text_cache_get(cache, sl_hash64(text, strlen(text), 0), text,
                             (uint32_t)strlen(text));
}

static sl_text_answer *put(sl_text_cache *cache, const char *text, const char *answer) {
    return sl_text_cache_put(cache, sl_hash64(text, strlen(text), 0), text,
                             (uint32_t)strlen(text), answer, (uint32_t)strlen(answer));
}

static void an_answer_is_found_again(void **state) {
    (void)state;
    sl_text_cache *cache = sl_text_cache_create(0);
    assert_null(get(cache, "a"));
    sl_text_answer *kept = put(cache, "a", "one");
    assert_int_equal(kept->stamp, 0);
    kept->stamp = 7;
    assert_non_null(put(cache, "", ""));
    sl_text_answer *found = get(cache, "a");
    assert_int_equal(found->stamp, 7);
    assert_memory_equal(found->bytes, "one", found->length);
    assert_int_equal(get(cache, "")->length, 0);
    sl_text_cache_clear(cache);
    assert_null(get(cache, "a"));
    sl_text_cache_destroy(cache);
}

static void texts_with_equal_hashes_are_told_apart(void **state) {
    (void)state;
    sl_text_cache *cache = sl_text_cache_create(0);
    for (unsigned i = 0; i < 4; i++) {
        char text[2] = {(char)('a' + i), 0};
        assert_non_null(sl_text_cache_put(cache, 5, text, 1, text, 1));
    }
    for (unsigned i = 0; i < 4; i++) {
        char text[2] = {(char)('a' + i), 0};
        sl_text_answer *found = sl_text_cache_get(cache, 5, text, 1);
        assert_non_null(found);
        assert_int_equal(found->bytes[0], text[0]);
    }
    // A bucket holds four; the oldest makes room.
    assert_non_null(sl_text_cache_put(cache, 5, "z", 1, "z", 1));
    assert_null(sl_text_cache_get(cache, 5, "a", 1));
    assert_non_null(sl_text_cache_get(cache, 5, "z", 1));
    sl_text_cache_destroy(cache);
}

static void what_was_overwritten_is_gone_and_nothing_else_changes(void **state) {
    (void)state;
    sl_text_cache *cache = sl_text_cache_create(0);
    unsigned found_count = 0;
    for (unsigned i = 0; i < 50000; i++) {
        char text[32], answer[300];
        snprintf(text, sizeof text, "text %u", i);
        memset(answer, 'a' + (int)(i % 26), sizeof answer);
        answer[i * 31 % 299] = 0;
        sl_text_answer *kept = put(cache, text, answer);
        assert_non_null(kept);
        for (unsigned back = 0; back < 3 && back <= i; back++) {
            unsigned k = i - back * 37 % (i + 1);
            snprintf(text, sizeof text, "text %u", k);
            sl_text_answer *found = get(cache, text);
            found_count += found != NULL;
            if (back == 0)
                assert_non_null(found);
            if (found == NULL)
                continue;
            assert_int_equal(found->length, k * 31 % 299);
            for (uint32_t b = 0; b < found->length; b++)
                assert_int_equal(found->bytes[b], 'a' + k % 26);
        }
    }
    assert_true(found_count >
                100000); // Texts of a little while ago are nearly always there.
    sl_text_cache_destroy(cache);
}

static void what_is_too_large_is_not_kept(void **state) {
    (void)state;
    static char answer[1 << 16];
    memset(answer, 'x', sizeof answer - 1);
    sl_text_cache *cache = sl_text_cache_create(0);
    assert_int_equal(sl_text_cache_memory(cache), 65536);
    assert_non_null(put(cache, "a", "one"));
    assert_null(put(cache, "b", answer));
    assert_null(get(cache, "b"));
    assert_non_null(get(cache, "a"));
    sl_text_cache_destroy(cache);
}

static void a_cache_without_memory_is_null(void **state) {
    (void)state;
    sl_memory_fail_at(1);
    sl_text_cache *cache = sl_text_cache_create(1 << 20);
    sl_memory_fail_at(0);
    assert_null(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_short_sequence_is_judged_by_the_definition),
        cmocka_unit_test(the_first_wrong_byte_is_found_wherever_it_is),
        cmocka_unit_test(a_cut_leaves_whole_characters),
        cmocka_unit_test(white_space_of_unicode_is_trimmed_at_both_ends),
        cmocka_unit_test(an_answer_is_found_again),
        cmocka_unit_test(texts_with_equal_hashes_are_told_apart),
        cmocka_unit_test(what_was_overwritten_is_gone_and_nothing_else_changes),
        cmocka_unit_test(what_is_too_large_is_not_kept),
        cmocka_unit_test(a_cache_without_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
