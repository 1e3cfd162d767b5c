// Binary forms: the bytes that PostgreSQL itself sends (SELECT numeric_send(…)), and
// back.

#include "binary.h"

#include "sluice/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void numerics_have_the_servers_bytes(void **state) {
    (void)state;
    static const struct {
        int64_t number;
        uint8_t scale;
        const char *bytes;
        size_t length;
    } cases[] = {
        // numeric_send(0), (0.00), (1), (-1), (12.5 as 12.50), (10000), (100000000.00),
        // (0.0001), (-0.05)
        {0, 0, "\0\0\xff\xff\0\0\0\0", 8},
        {0, 2, "\0\0\xff\xfe\0\0\0\2", 8},
        {1, 0, "\0\1\0\0\0\0\0\0\0\1", 10},
        {-1, 0, "\0\1\0\0\100\0\0\0\0\1", 10},
        {1250, 2, "\0\2\0\0\0\0\0\2\0\14\023\210", 12},
        {10000, 0, "\0\1\0\1\0\0\0\0\0\1", 10},
        {10000000000, 2, "\0\1\0\2\0\0\0\2\0\1", 10},
        {1, 4, "\0\1\xff\xff\0\0\0\4\0\1", 10},
        {-5, 2, "\0\1\xff\xff\100\0\0\2\1\364", 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_pgbinary_value(&out, &(sl_value){.type = SL_TYPE_DECIMAL,
                                            .scale = cases[i].scale,
                                            .as.i64 = cases[i].number});
        assert_int_equal(out.length, 4 + cases[i].length);
        if (cases[i].number != 0) // Of zero the server takes any weight.
            assert_memory_equal(out.bytes + 4, cases[i].bytes, cases[i].length);
        sl_buffer_fini(&out);
    }
}

static bool back(const sl_value *v, sl_value *out, sl_buffer *bytes) {
    sl_buffer_clear(bytes);
    sl_pgbinary_value(bytes, v);
    const sl_warehouse_column column = {.type = v->type, .scale = v->scale};
    return sl_pgbinary_read(&column, v->null ? NULL : (const char *)bytes->bytes + 4,
                            v->null ? 0 : bytes->length - 4, out);
}

static void values_come_back_as_they_went(void **state) {
    (void)state;
    static const int64_t numbers[] = {
        0,         1,          -1,        9,        10,
        9999,      10000,      123456789, -1000000, INT64_C(999999999999999999),
        INT64_MAX, -INT64_MAX, 50,        500,      5000};
    static const sl_type types[] = {SL_TYPE_INT64, SL_TYPE_TIMESTAMP, SL_TYPE_DECIMAL};
    sl_buffer bytes = SL_BUFFER_EMPTY;
    sl_value out;
    for (size_t t = 0; t < 3; t++)
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            for (uint8_t scale = 0; scale <= 18; scale++) {
                const sl_value v = {
                    .type = types[t], .scale = scale, .as.i64 = numbers[i]};
                assert_true(back(&v, &out, &bytes));
                assert_true(out.as.i64 == numbers[i] && !out.null);
            }
    const sl_value date = {.type = SL_TYPE_DATE, .as.i64 = -719162};
    assert_true(back(&date, &out, &bytes) && out.as.i64 == -719162);
    const sl_value truth = {.type = SL_TYPE_BOOL, .as.i64 = 1};
    assert_true(back(&truth, &out, &bytes) && out.as.i64 == 1);
    const sl_value none = {.type = SL_TYPE_DOUBLE, .null = true};
    assert_true(back(&none, &out, &bytes) && out.null);
    const sl_value json = {.type = SL_TYPE_JSON, .as.text = {(const uint8_t *)"[1]", 3}};
    assert_true(back(&json, &out, &bytes) && out.as.text.length == 3);
    assert_memory_equal(out.as.text.bytes, "[1]", 3);
    sl_buffer_fini(&bytes);
}

static void what_is_no_number_of_ours_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\0\0\0\0\300\0\0\0", 8},        // NaN
        {"\0\0\0\0\320\0\0\0", 8},        // Infinity
        {"\0\1\0\0\0\0\0\0\047\020", 10}, // a group of 10000
        {"\0\1\0\0\0\0\0\0", 8},          // a group that isn't there
        {"\0\1\xff\xff\0\0\0\4\0\1", 10}, // 0.0001 where two digits are kept
        {"\0\1\0\5\0\0\0\0\0\1", 10},     // 10^20
        {"\0\1\x7f\xff\0\0\0\0\0\1", 10}, // 10^131068
        {"", 0},
    };
    const sl_warehouse_column column = {.type = SL_TYPE_DECIMAL, .scale = 2};
    sl_value out;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_false(sl_pgbinary_read(&column, cases[i].bytes, cases[i].length, &out));
    const sl_warehouse_column integer = {.type = SL_TYPE_INT64};
    assert_false(sl_pgbinary_read(&integer, "\0\0\0\1", 4, &out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numerics_have_the_servers_bytes),
        cmocka_unit_test(values_come_back_as_they_went),
        cmocka_unit_test(what_is_no_number_of_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
