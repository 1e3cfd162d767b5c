/* The writer as a whole; what is in its files is compared by other readers in tests/conformance. */
#include "parquet_test_help.h"

#include <pthread.h>

static void check_file(const memory_file *file, uint64_t rows) {
    size_t needed;
    sl_error error = {0};
    sl_parquet_footer footer;
    const uint8_t *end = file->bytes.bytes + file->bytes.length;
    assert_int_equal(sl_parquet_read_footer(end - 8, 8, &needed, &footer, &error), SL_EFULL);
    assert_true(needed <= file->bytes.length);
    assert_int_equal(sl_parquet_read_footer(end - needed, needed, &needed, &footer, &error), SL_OK);
    assert_int_equal(footer.rows, rows);
    assert_int_equal(footer.metadata_count, 1);
    assert_string_equal(footer.metadata[0].key, "key");
    assert_string_equal(footer.metadata[0].value, "a value");
    sl_parquet_footer_fini(&footer);
    for (int json = 0; json < 2; json++) {
        sl_buffer out = SL_BUFFER_EMPTY;
        assert_int_equal(
            sl_parquet_inspect(file->bytes.bytes, file->bytes.length, json, &out, &error), SL_OK);
        assert_non_null(strstr(sl_buffer_cstr(&out), "\"small\""));
        sl_buffer_fini(&out);
    }
}

static void result_names_rows_bytes_and_hash(void **unused) {
    (void)unused;
    sl_schema *schema = small_schema(false);
    sl_batch *batch = small_batch(schema, 500, 0);
    memory_file file = {0};
    sl_parquet_options options = {.row_group_bytes = 3000, .page_bytes = 1024};
    sl_parquet_writer *w;
    sl_parquet_result result;
    assert_int_equal(sl_parquet_create(schema, &options, into_memory, &file, &w), SL_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(sl_parquet_write(w, batch, NULL, 500), SL_OK);
    assert_int_equal(sl_parquet_rows(w), 10000);
    uint64_t about = sl_parquet_bytes(w);
    assert_int_equal(finish(w, &result), SL_OK);
    assert_in_range(about, result.bytes / 2, result.bytes * 2);
    assert_int_equal(result.rows, 10000);
    assert_int_equal(result.bytes, file.bytes.length);
    sl_hash128 hash = sl_hash128_of(file.bytes.bytes, file.bytes.length);
    assert_true(hash.low == result.hash.low && hash.high == result.hash.high);
    assert_int_equal(sl_parquet_finish(w, NULL, 0, &result), SL_EINVAL);
    check_file(&file, 10000);
    sl_parquet_destroy(w);
    sl_buffer_fini(&file.bytes);
    sl_batch_destroy(batch);
    sl_schema_unref(schema);
}

static void refusal_of_the_sink_sticks(void **unused) {
    (void)unused;
    sl_schema *schema = small_schema(false);
    sl_batch *batch = small_batch(schema, 500, 0);
    memory_file file = {.refuse_from = 5000};
    sl_parquet_options options = {.row_group_bytes = 3000, .page_bytes = 1024};
    sl_parquet_writer *w;
    sl_parquet_result result;
    assert_int_equal(sl_parquet_create(schema, &options, into_memory, &file, &w), SL_OK);
    sl_status status = SL_OK;
    for (int i = 0; i < 200 && !status; i++)
        status = sl_parquet_write(w, batch, NULL, 500);
    assert_int_equal(status, SL_ENOSPC);
    file.refuse_from = 0;
    assert_int_equal(sl_parquet_write(w, batch, NULL, 500), SL_ENOSPC);
    assert_int_equal(sl_parquet_finish(w, NULL, 0, &result), SL_ENOSPC);
    sl_parquet_destroy(w);
    sl_buffer_fini(&file.bytes);
    sl_batch_destroy(batch);
    sl_schema_unref(schema);
}

static void budget_is_kept_and_given_back(void **unused) {
    (void)unused;
    sl_schema *schema = small_schema(false);
    sl_batch *batch = small_batch(schema, 1000, 0);
    sl_budget budget;
    sl_budget_init(&budget, 100000);
    memory_file file = {0};
    sl_parquet_options options = {.budget = &budget};
    sl_parquet_writer *w;
    assert_int_equal(sl_parquet_create(schema, &options, into_memory, &file, &w), SL_OK);
    sl_status status = SL_OK;
    for (int i = 0; i < 1000 && !status; i++)
        status = sl_parquet_write(w, batch, NULL, 1000);
    assert_int_equal(status, SL_EFULL);
    assert_true(sl_budget_used(&budget) <= 100000);
    assert_in_range(sl_parquet_memory(w), sl_budget_used(&budget), sl_budget_used(&budget) + 10000);
    sl_parquet_destroy(w);
    assert_int_equal(sl_budget_used(&budget), 0);
    sl_buffer_fini(&file.bytes);
    sl_batch_destroy(batch);
    sl_schema_unref(schema);
}

static void writer_of_few_rows_is_small(void **unused) {
    (void)unused;
    sl_schema *schema = sl_schema_create("wide");
    for (unsigned i = 0; i < 12; i++) {
        char name[8];
        size_t length = (size_t)snprintf(name, sizeof name, "c%u", i);
        uint32_t f = sl_schema_add(schema, 0, name, length, SL_TYPE_STRING);
        schema->fields[f].nullable = true;
    }
    static const sl_record record;
    sl_batch *b = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(b, schema, raw, &record), SL_OK);
    b->rows = 300;
    for (uint32_t row = 0; row < 300; row++)
        for (uint32_t f = 1; f <= 12; f++) { // One unique, three of many values, eight of few.
            char text[64];
            unsigned value = f == 1 ? row : f < 5 ? (row * 2654435761u + f) % 100000 : row % 20;
            int length = snprintf(text, sizeof text, f == 1 ? "%08u-1234-1234-1234-123456789abc" : "text_%u", value);
            b->columns[f].valid[row] = 1;
            b->columns[f].values.span[row] = sl_batch_keep_text(b, text, (size_t)length);
        }
    memory_file file = {0};
    sl_parquet_options options = {0};
    sl_parquet_writer *w;
    assert_int_equal(sl_parquet_create(schema, &options, into_memory, &file, &w), SL_OK);
    assert_int_equal(sl_parquet_write(w, b, NULL, 300), SL_OK);
    assert_true(sl_parquet_memory(w) < (125u << 10)); // 2,000 of them fit in 256 MiB.
    sl_parquet_destroy(w);
    sl_batch_destroy(b);
    sl_schema_unref(schema);
}

static void extension_waits_for_the_next_file_once_a_row_group_is_out(void **unused) {
    (void)unused;
    const sample s = make_sample();
    memory_file file = {0};
    sl_parquet_options options = {.row_group_bytes = 20000, .page_bytes = 1024};
    sl_parquet_writer *w;
    sl_parquet_result result;
    assert_int_equal(sl_parquet_create(s.old, &options, into_memory, &file, &w), SL_OK);
    assert_int_equal(sl_parquet_write(w, s.batch, NULL, 10), SL_OK);
    assert_int_equal(sl_parquet_extend(w, s.new), SL_OK);
    assert_ptr_equal(sl_parquet_schema(w), s.new);
    assert_int_equal(sl_parquet_write(w, s.wide, NULL, 1000), SL_OK);
    assert_int_equal(sl_parquet_write(w, s.batch, NULL, 1000), SL_OK);
    while (!file.bytes.length)
        assert_int_equal(sl_parquet_write(w, s.wide, NULL, 1000), SL_OK);
    assert_int_equal(sl_parquet_extend(w, s.new), SL_EFULL);
    uint64_t rows = sl_parquet_rows(w);
    assert_int_equal(finish(w, &result), SL_OK);
    check_file(&file, rows);
    sl_parquet_destroy(w);
    sl_buffer_fini(&file.bytes);
    free_sample(&s);
}

static void no_call_finishes_a_whole_row_group(void **unused) {
    (void)unused;
    sl_schema *schema = small_schema(false);
    memory_file file = {0};
    sl_parquet_options options = {.row_group_bytes = 100000, .page_bytes = 8192};
    sl_parquet_writer *w;
    assert_int_equal(sl_parquet_create(schema, &options, into_memory, &file, &w), SL_OK);
    size_t most = 0;
    for (uint32_t i = 0; i < 200; i++) {
        sl_batch *batch = small_batch(schema, 500, i * 500);
        size_t before = file.bytes.length;
        assert_int_equal(sl_parquet_write(w, batch, NULL, 500), SL_OK);
        most = file.bytes.length - before > most ? file.bytes.length - before : most;
        sl_batch_destroy(batch);
    }
    assert_true(file.bytes.length > 250000); // Several row groups are out,
    assert_true(most > 0 && most < file.bytes.length / 2); // none of them in one call.
    sl_parquet_destroy(w);
    sl_buffer_fini(&file.bytes);
    sl_schema_unref(schema);
}

typedef struct writing {
    sl_hash128 hash;
    int failures;
} writing;

/** What several threads do at once: a file each, then the thread's end. */
static void *thread_writes(void *context) {
    writing *mine = context;
    sl_schema *schema = small_schema(false);
    memory_file file = {0};
    sl_parquet_options options = {.row_group_bytes = 50000, .page_bytes = 8192};
    sl_parquet_writer *w;
    sl_parquet_result result = {0};
    int failures = sl_parquet_create(schema, &options, into_memory, &file, &w) != SL_OK;
    for (uint32_t i = 0; i < 20; i++) {
        sl_batch *batch = small_batch(schema, 500, i * 500);
        failures += sl_parquet_write(w, batch, NULL, 500) != SL_OK;
        sl_batch_destroy(batch);
    }
    failures += finish(w, &result) != SL_OK;
    mine->hash = result.hash;
    mine->failures = failures;
    sl_parquet_destroy(w);
    sl_buffer_fini(&file.bytes);
    sl_schema_unref(schema);
    return NULL;
}

static void threads_write_the_same_bytes(void **unused) {
    (void)unused;
    pthread_t threads[4];
    writing writings[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_writes, &writings[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(writings[i].failures, 0);
        assert_memory_equal(&writings[i].hash, &writings[0].hash, sizeof writings[0].hash);
    }
}

static void hints_spare_the_next_file_the_trial(void **unused) {
    (void)unused;
    sl_schema *schema = small_schema(false);
    sl_parquet_hints *hints = sl_parquet_hints_create();
    assert_non_null(hints);
    uint64_t bytes[4] = {0};
    for (int i = 0; i < 4; i++) {
        memory_file file = {0};
        sl_parquet_options options = {.hints = hints, .page_bytes = 32768};
        sl_parquet_writer *w;
        sl_parquet_result result;
        assert_int_equal(sl_parquet_create(schema, &options, into_memory, &file, &w), SL_OK);
        for (uint32_t k = 0; k < 20; k++) {
            sl_batch *batch = small_batch(schema, 500, k * 500);
            assert_int_equal(sl_parquet_write(w, batch, NULL, 500), SL_OK);
            sl_batch_destroy(batch);
        }
        assert_int_equal(finish(w, &result), SL_OK);
        bytes[i] = result.bytes;
        check_file(&file, 10000);
        sl_parquet_destroy(w);
        sl_buffer_fini(&file.bytes);
    }
    assert_true(bytes[3] <= bytes[0] + bytes[0] / 50);
    sl_parquet_hints_destroy(hints);
    sl_schema_unref(schema);
}

static void every_failed_allocation_is_a_status(void **unused) {
    (void)unused;
    const sample s = make_sample();
    uint64_t n = 1;
    sl_status status;
    do {
        memory_file file = {0};
        sl_memory_fail_at(n++);
        status = whole_life(&s, &file);
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        sl_buffer_fini(&file.bytes);
    } while (status || n < 20);
    assert_true(n > 50);
    free_sample(&s);
}

/** 1,000 texts of 1,000 bytes, each twice. @param[out] slices Calls of finish. */
static sl_status long_dictionary(const sl_schema *schema, const sl_batch *batch, unsigned *slices,
                                 memory_file *file) {
    sl_parquet_options options = {.page_bytes = 4 << 20};
    sl_parquet_writer *w;
    sl_parquet_result result;
    sl_status status = sl_parquet_create(schema, &options, into_memory, file, &w);
    if (status)
        return status;
    status = sl_parquet_write(w, batch, NULL, batch->rows);
    *slices = 0;
    if (!status)
        for (status = SL_EAGAIN; status == SL_EAGAIN; ++*slices)
            status = sl_parquet_finish(w, NULL, 0, &result);
    sl_parquet_destroy(w);
    return status;
}

static void long_dictionary_page_is_made_in_slices(void **unused) {
    (void)unused;
    static const sl_record record;
    sl_schema *schema = sl_schema_create("texts");
    sl_schema_add(schema, 0, "text", 4, SL_TYPE_STRING);
    sl_batch *b = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(b, schema, raw, &record), SL_OK);
    b->rows = 2000;
    for (uint32_t row = 0; row < 2000; row++) {
        char text[1001];
        snprintf(text, sizeof text, "%01000u", row % 1000);
        b->columns[1].valid[row] = 1;
        b->columns[1].values.span[row] = sl_batch_keep_text(b, text, 1000);
    }
    unsigned slices = 0;
    sl_status status;
    uint64_t n = 0;
    do {
        memory_file file = {0};
        sl_memory_fail_at(n++);
        status = long_dictionary(schema, b, &slices, &file);
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        assert_true(status || slices > 6); // 1 MB by 256 KiB, and the other steps.
        sl_buffer_fini(&file.bytes);
    } while (status || n < 3);
    sl_batch_destroy(b);
    sl_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_names_rows_bytes_and_hash),
        cmocka_unit_test(refusal_of_the_sink_sticks),
        cmocka_unit_test(budget_is_kept_and_given_back),
        cmocka_unit_test(writer_of_few_rows_is_small),
        cmocka_unit_test(extension_waits_for_the_next_file_once_a_row_group_is_out),
        cmocka_unit_test(no_call_finishes_a_whole_row_group),
        cmocka_unit_test(threads_write_the_same_bytes),
        cmocka_unit_test(hints_spare_the_next_file_the_trial),
        cmocka_unit_test(every_failed_allocation_is_a_status),
        cmocka_unit_test(long_dictionary_page_is_made_in_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
