// A text within a text: every answer is the naive search's.

#include "kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20261121;

static uint32_t random_below(uint32_t limit) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % limit;
}

static uint32_t naive(text t, text part, uint32_t from) {
    for (; from + part.length <= t.length; from++)
        if (memcmp(t.bytes + from, part.bytes, part.length) == 0)
            return from;
    return UINT32_MAX;
}

static uint32_t naive_last(text t, text part, uint32_t from) {
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i <= from && i + part.length <= t.length; i++)
        if (memcmp(t.bytes + i, part.bytes, part.length) == 0)
            found = i;
    return found;
}

static void same_places(text t, text part) {
    for (uint32_t from = 0; from <= t.length; from += 1 + random_below(7)) {
        assert_int_equal(find_text(t, part, from), naive(t, part, from));
        assert_int_equal(find_last_text(t, part, from), naive_last(t, part, from));
    }
}

// Few letters and long repetitions: borders, periods, near misses.
static void fill(uint8_t *bytes, uint32_t length) {
    uint32_t letters = 1 + random_below(3), period = 1 + random_below(40);
    for (uint32_t i = 0; i < length; i++)
        bytes[i] =
            i < period ? (uint8_t)('a' + random_below(letters)) : bytes[i - period];
    for (uint32_t k = random_below(4); k > 0 && length > 0; k--)
        bytes[random_below(length)] = (uint8_t)('a' + random_below(3));
}

static void long_parts_are_found_where_they_are(void **state) {
    (void)state;
    uint8_t bytes[400], other[200];
    for (int round = 0; round < 4000; round++) {
        uint32_t length = random_below(sizeof bytes), size = 1 + random_below(150);
        fill(bytes, length);
        fill(other, size);
        text t = text_of(bytes, length);
        if (size <= length)
            same_places(t, text_of(bytes + random_below(length - size + 1), size));
        same_places(t, text_of(other, size));
    }
}

static void the_ends_count(void **state) {
    (void)state;
    text t = text_of("abc", 3);
    assert_int_equal(find_text(t, text_of("abcd", 4), 0), UINT32_MAX);
    assert_int_equal(find_last_text(t, text_of("abcd", 4), 3), UINT32_MAX);
    assert_int_equal(find_text(t, NO_TEXT, 2), 2);
    assert_int_equal(find_last_text(t, NO_TEXT, 9), 3);
    assert_int_equal(find_text(t, t, 0), 0);
    assert_int_equal(find_last_text(t, t, 0), 0);
}

// Compared place by place this would be 2^38 steps for each question.
static void hostile_texts_take_linear_time(void **state) {
    (void)state;
    uint32_t size = 1u << 20;
    uint8_t *bytes = sl_malloc(size), *part = sl_malloc(size / 2);
    memset(bytes, 'a', size);
    memset(part, 'a', size / 2);
    part[size / 2 - 1] = 'b';
    text t = text_of(bytes, size), sought = text_of(part, size / 2);
    assert_int_equal(find_text(t, sought, 0), UINT32_MAX);
    assert_int_equal(find_last_text(t, sought, size), UINT32_MAX);
    part[size / 2 - 1] = 'a';
    part[0] = 'b';
    assert_int_equal(find_text(t, sought, 0), UINT32_MAX);
    assert_int_equal(find_last_text(t, sought, size), UINT32_MAX);
    part[0] = 'a';
    part[size / 4] = 'b';
    assert_int_equal(find_text(t, sought, 0), UINT32_MAX);
    assert_int_equal(find_last_text(t, sought, size), UINT32_MAX);
    sl_free(bytes);
    sl_free(part);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_parts_are_found_where_they_are),
        cmocka_unit_test(the_ends_count),
        cmocka_unit_test(hostile_texts_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
