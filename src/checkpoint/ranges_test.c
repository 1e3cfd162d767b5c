// Ranges of other logs' partitions: lines that are read as they were put, and what a load may bring.

#include "sluice/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void lines_are_read_as_they_were_put(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_range range;
    sl_range_put(&out, &(sl_range){1, UINT64_MAX, "kafka:c/t/0@g", 13});
    sl_range_put(&out, &(sl_range){0, 2, "kafka:c/t u/10@g", 16});
    const char *at = sl_buffer_cstr(&out);
    assert_true(sl_range_next(&at, &range));
    assert_int_equal(range.from, 1);
    assert_true(range.to == UINT64_MAX);
    assert_int_equal(range.length, 13);
    assert_true(sl_range_next(&at, &range));
    assert_memory_equal(range.partition, "kafka:c/t u/10@g", range.length);
    assert_false(sl_range_next(&at, &range));
    assert_true(sl_range_find(sl_buffer_cstr(&out), "kafka:c/t/0@g", 13, &range));
    assert_false(sl_range_find(sl_buffer_cstr(&out), "kafka:c/t/0", 11, &range));
    sl_buffer_fini(&out);
}

static void what_is_no_line_ends_the_text(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n", "1", "1 ", "1 2", "1 2 a", " 1 2 a\n", "1 x a\n", "-1 2 a\n", "1  2 a\n", "x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *at = texts[i];
        sl_range range;
        assert_false(sl_range_next(&at, &range));
        assert_ptr_equal(at, texts[i]);
    }
}

static void a_load_brings_what_the_ledger_has_not(void **state) {
    (void)state;
    static const struct {
        const char *ranges, *found;
        sl_status status;
    } cases[] = {
        {"5 9 p\n", "", SL_OK},
        {"5 9 p\n", "0 5 p\n", SL_OK},
        {"5 9 p\n", "0 4 p\n", SL_OK},
        {"5 9 p\n", "0 6 p\n", SL_EMOVED},
        {"5 9 p\n", "0 900 q\n0 5 p\n", SL_OK},
        {"5 9 p\n1 2 q\n", "0 5 p\n0 2 q\n", SL_EMOVED},
        {"", "0 6 p\n", SL_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_error error = {0};
        assert_int_equal(sl_ranges_check("t", cases[i].ranges, cases[i].found, &error), cases[i].status);
        assert_true(cases[i].status == SL_OK || strstr(error.text, "another reader") != NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read_as_they_were_put),
        cmocka_unit_test(what_is_no_line_ends_the_text),
        cmocka_unit_test(a_load_brings_what_the_ledger_has_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
