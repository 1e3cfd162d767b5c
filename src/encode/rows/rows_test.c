// Row files: what is written is read back; what is damaged is refused.

#include "sluice/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const sl_rows_column columns[] = {
    {.name = "window_start", .type = SL_TYPE_TIMESTAMP},
    {.name = "country", .type = SL_TYPE_STRING},
    {.name = "revenue", .type = SL_TYPE_DECIMAL, .precision = 18, .scale = 2},
};

static void write_file(sl_buffer *out, unsigned rows) {
    sl_rows_begin(out, columns, 3);
    for (unsigned i = 0; i < rows; i++) {
        sl_value row[3] = {{.type = SL_TYPE_TIMESTAMP, .as.i64 = i},
                           {.type = SL_TYPE_STRING, .null = i % 2 == 1},
                           {.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = -100}};
        row[1].as.text.bytes = (const uint8_t *)"Norge";
        row[1].as.text.length = 5;
        sl_rows_add(out, row, 3);
    }
}

static void rows_are_read_back_as_written(void **state) {
    (void)state;
    sl_buffer file = {0};
    sl_rows_reader reader;
    write_file(&file, 3);
    assert_int_equal(sl_rows_open(file.bytes, file.length, &reader), SL_OK);
    assert_int_equal(reader.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(reader.columns[i].name, columns[i].name);
        assert_int_equal(reader.columns[i].type, columns[i].type);
        assert_int_equal(reader.columns[i].scale, columns[i].scale);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sl_rows_next(&reader), SL_OK);
        assert_int_equal(reader.values[0].as.i64, i);
        assert_int_equal(reader.values[1].null, i == 1);
        assert_int_equal(reader.values[2].as.i64, -100);
    }
    assert_memory_equal(reader.values[1].as.text.bytes, "Norge", 5);
    assert_int_equal(sl_rows_next(&reader), SL_ENOTFOUND);
    sl_rows_fini(&reader);
    sl_buffer_fini(&file);
}

static void a_file_without_rows_or_columns_is_whole(void **state) {
    (void)state;
    sl_buffer file = {0};
    sl_rows_reader reader;
    sl_rows_begin(&file, columns, 0);
    assert_int_equal(sl_rows_open(file.bytes, file.length, &reader), SL_OK);
    assert_int_equal(sl_rows_next(&reader), SL_ENOTFOUND);
    sl_rows_fini(&reader);
    sl_buffer_fini(&file);
}

// @return rows read before the end, or -1 when the file was refused.
static int count_rows(const uint8_t *bytes, size_t length) {
    sl_rows_reader reader;
    if (sl_rows_open(bytes, length, &reader) != SL_OK)
        return -1;
    int rows = 0;
    sl_status status;
    while ((status = sl_rows_next(&reader)) == SL_OK)
        rows++;
    sl_rows_fini(&reader);
    return status == SL_ENOTFOUND ? rows : -1;
}

static void a_cut_file_is_corrupt_except_between_rows(void **state) {
    (void)state;
    sl_buffer file = {0}, head = {0};
    write_file(&file, 2);
    write_file(&head, 0);
    sl_buffer first = {0};
    write_file(&first, 1);
    for (size_t length = 0; length < file.length; length++) {
        int rows = count_rows(file.bytes, length);
        assert_int_equal(rows, length == head.length    ? 0
                               : length == first.length ? 1
                                                        : -1);
    }
    assert_int_equal(count_rows(file.bytes, file.length), 2);
    sl_buffer_fini(&file);
    sl_buffer_fini(&head);
    sl_buffer_fini(&first);
}

static void damage_is_refused(void **state) {
    (void)state;
    sl_buffer file = {0}, head = {0};
    write_file(&file, 1);
    write_file(&head, 0);
    static const size_t no_magic = 3, count = 8, type = 12;
    size_t places[] = {no_magic, count, type, head.length, head.length + 4};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        file.bytes[places[i]] ^= 0x40;
        assert_int_equal(count_rows(file.bytes, file.length), -1);
        file.bytes[places[i]] ^= 0x40;
    }
    file.bytes[type] = SL_TYPE_INT64; // Another type than the row's value has.
    assert_int_equal(count_rows(file.bytes, file.length), -1);
    sl_buffer_fini(&file);
    sl_buffer_fini(&head);
}

static void any_failed_allocation_is_a_status(void **state) {
    (void)state;
    sl_buffer file = {0};
    write_file(&file, 1);
    sl_rows_reader reader;
    uint64_t n = 0;
    sl_status status;
    do {
        sl_memory_fail_at(++n);
        status = sl_rows_open(file.bytes, file.length, &reader);
        assert_true(status == SL_OK || status == SL_ENOMEM);
    } while (status != SL_OK);
    sl_memory_fail_at(0);
    assert_int_equal(n, 6); // Columns, values, three names, and none.
    sl_rows_fini(&reader);
    sl_buffer_fini(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_back_as_written),
        cmocka_unit_test(a_file_without_rows_or_columns_is_whole),
        cmocka_unit_test(a_cut_file_is_corrupt_except_between_rows),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(any_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
