/* Files read back: their rows, and what damage and failing allocations do to a reader. */
#include "parquet_test_help.h"

#include "sluice/value.h"

static void reading_survives_failed_allocations(void **unused) {
    (void)unused;
    const sample s = make_sample();
    memory_file file = {0};
    assert_int_equal(whole_life(&s, &file), SL_OK);
    sl_status status = SL_ENOMEM;
    for (uint64_t n = 1; status; n++) {
        size_t needed;
        sl_error error = {0};
        sl_parquet_footer footer;
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_memory_fail_at(n);
        status = sl_parquet_read_footer(file.bytes.bytes, file.bytes.length, &needed, &footer, &error);
        if (!status) {
            sl_parquet_footer_fini(&footer);
            status = sl_parquet_inspect(file.bytes.bytes, file.bytes.length, true, &out, &error);
        }
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        sl_buffer_fini(&out);
    }
    sl_buffer_fini(&file.bytes);
    free_sample(&s);
}

static void damaged_footers_are_refused_or_read_within_bounds(void **unused) {
    (void)unused;
    const sample s = make_sample();
    memory_file file = {0};
    assert_int_equal(whole_life(&s, &file), SL_OK);
    size_t size = file.bytes.length < 3000 ? file.bytes.length : 3000, refused = 0;
    for (size_t i = 0; i < 20000; i++) {
        uint8_t *copy = malloc(size); // Of its own, so that the sanitizer sees its end.
        memcpy(copy, file.bytes.bytes + file.bytes.length - size, size);
        copy[draw() % size] = (uint8_t)draw();
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_error error = {0};
        refused += sl_parquet_inspect(copy, size, i % 2, &out, &error) != SL_OK;
        sl_buffer_fini(&out);
        free(copy);
    }
    assert_in_range(refused, 1000, 19999);
    sl_buffer_fini(&file.bytes);
    free_sample(&s);
}

/** All rows against the batches that were written. @return SL_OK, or the reader's first refusal. */
static sl_status scan_all(const sl_buffer *file, const sl_batch *const *batches, const uint32_t *counts, size_t batch_count) {
    sl_parquet_scan *scan;
    sl_error error = {0};
    sl_status status = sl_parquet_scan_open(file->bytes, file->length, &scan, &error);
    if (status)
        return status;
    sl_value values[8];
    for (size_t i = 0; i < batch_count && !status; i++)
        for (uint32_t row = 0; row < counts[i] && !status; row++) {
            status = sl_parquet_scan_next(scan, values, &error);
            for (uint32_t f = 1, c = 0; f < batches[i]->schema->count && !status; f++) {
                if (batches[i]->schema->fields[f].type == SL_TYPE_GROUP)
                    continue;
                sl_value wanted = sl_value_of(batches[i], f, row);
                const char *name = sl_parquet_scan_name(scan, c);
                assert_string_equal(strrchr(name, '.') ? strrchr(name, '.') + 1 : name, batches[i]->schema->fields[f].name);
                sl_buffer a = SL_BUFFER_EMPTY, b = SL_BUFFER_EMPTY;
                sl_value_json(&wanted, &a);
                sl_value_json(&values[c++], &b);
                if (!a.failed && !b.failed)
                    assert_string_equal(sl_buffer_cstr(&b), sl_buffer_cstr(&a));
                sl_buffer_fini(&a);
                sl_buffer_fini(&b);
            }
        }
    if (!status && sl_parquet_scan_next(scan, values, &error) != SL_ENOTFOUND)
        fail_msg("more rows than were written");
    sl_parquet_scan_close(scan);
    return status;
}

static void rows_come_back_as_they_were_written(void **unused) {
    (void)unused;
    static const sl_parquet_codec codecs[] = {SL_PARQUET_NONE, SL_PARQUET_SNAPPY, SL_PARQUET_ZSTD};
    sl_schema *schema = small_schema(true);
    for (int i = 0; i < 6; i++) {
        memory_file file = {0};
        const sl_parquet_options options = {.profile = i % 2 ? SL_PARQUET_COMPATIBLE : SL_PARQUET_LAKE,
                                            .codec = codecs[i / 2],
                                            .row_group_bytes = 40000,
                                            .page_bytes = 2048};
        sl_parquet_writer *w;
        sl_parquet_result result;
        const sl_batch *batches[10];
        uint32_t counts[10];
        assert_int_equal(sl_parquet_create(schema, &options, into_memory, &file, &w), SL_OK);
        for (uint32_t k = 0; k < 10; k++) {
            counts[k] = k == 5 ? 0 : 100 + 90 * k;
            batches[k] = small_batch(schema, counts[k], k * 1000);
            assert_int_equal(sl_parquet_write(w, batches[k], NULL, counts[k]), SL_OK);
        }
        assert_int_equal(finish(w, &result), SL_OK);
        assert_int_equal(scan_all(&file.bytes, batches, counts, 10), SL_OK);
        sl_status status = SL_ENOMEM;
        for (uint64_t n = 1; i == 5 && status && n < 100; n++) {
            sl_memory_fail_at(n);
            status = scan_all(&file.bytes, batches, counts, 10);
            sl_memory_fail_at(0);
            assert_true(status == SL_OK || status == SL_ENOMEM);
        }
        for (int k = 0; k < 10; k++)
            sl_batch_destroy((sl_batch *)(uintptr_t)batches[k]);
        sl_parquet_destroy(w);
        sl_buffer_fini(&file.bytes);
    }
    sl_schema_unref(schema);
}

static void damaged_pages_are_refused_or_read_within_bounds(void **unused) {
    (void)unused;
    const sample s = make_sample();
    memory_file file = {0};
    assert_int_equal(whole_life(&s, &file), SL_OK);
    size_t size = file.bytes.length, refused = 0;
    for (size_t i = 0; i < 3000; i++) {
        uint8_t *copy = malloc(size);
        memcpy(copy, file.bytes.bytes, size);
        for (int k = 0; k < 3; k++)
            copy[draw() % size] = (uint8_t)draw();
        sl_parquet_scan *scan;
        sl_error error = {0};
        sl_value values[8];
        sl_status status = sl_parquet_scan_open(copy, size, &scan, &error);
        bool opened = status == SL_OK && sl_parquet_scan_columns(scan) <= 8;
        while (opened && !status)
            status = sl_parquet_scan_next(scan, values, &error);
        if (opened || status == SL_OK)
            sl_parquet_scan_close(scan);
        refused += status != SL_ENOTFOUND;
        free(copy);
    }
    assert_true(refused > 100);
    sl_buffer_fini(&file.bytes);
    free_sample(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_survives_failed_allocations),
        cmocka_unit_test(damaged_footers_are_refused_or_read_within_bounds),
        cmocka_unit_test(rows_come_back_as_they_were_written),
        cmocka_unit_test(damaged_pages_are_refused_or_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
