// What comes out of the file is what was written, whatever the records are and wherever memory or the disk gives out.

#include "sluice/ndjson.h"

#include "sluice/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zstd.h>

#include <cmocka.h>

typedef struct disk {
    sl_buffer file;
    unsigned calls, full_at; /* Refuses from this call on; 0: never. */
} disk;

static sl_status take(void *context, const void *bytes, size_t length) {
    disk *d = context;
    if (++d->calls >= d->full_at && d->full_at != 0)
        return SL_ENOSPC;
    sl_buffer_append(&d->file, bytes, length);
    return SL_OK;
}

static sl_ndjson_writer *create(sl_budget *budget, disk *d) {
    sl_ndjson_writer *w;
    assert_int_equal(sl_ndjson_create(budget, take, d, &w), SL_OK);
    return w;
}

static const sl_ndjson_mark mark = {.arrival_us = 1000, .source = "http", .source_length = 4};

/* Exactly one frame, which must hold `expected`, and one that readers skip. */
static void assert_holds(const sl_buffer *file, const void *expected, size_t length) {
    size_t frame = ZSTD_findFrameCompressedSize(file->bytes, file->length);
    assert_true(frame < file->length);
    assert_int_equal(ZSTD_findFrameCompressedSize(file->bytes + frame, file->length - frame), file->length - frame);
    assert_int_equal(ZSTD_getFrameContentSize(file->bytes + frame, file->length - frame), 0);
    sl_buffer plain = SL_BUFFER_EMPTY;
    assert_true(sl_buffer_reserve(&plain, length + 1));
    ZSTD_DCtx *reader = ZSTD_createDCtx();
    ZSTD_inBuffer in = {file->bytes, file->length, 0};
    ZSTD_outBuffer out = {plain.bytes, length + 1, 0};
    size_t left;
    do {
        left = ZSTD_decompressStream(reader, &out, &in);
        assert_false(ZSTD_isError(left));
    } while (in.pos < in.size);
    assert_int_equal(left, 0);
    assert_int_equal(out.pos, length);
    assert_memory_equal(plain.bytes, expected, length);
    ZSTD_freeDCtx(reader);
    sl_buffer_fini(&plain);
}

static void records_stand_in_the_file_as_they_came_each_ending_with_a_line(void **state) {
    (void)state;
    static const char *const records[] = {
        "{\"a\":1}", "{\"a\":2}\n", "[{\"a\":3},\n {\"a\":4}]", "{\"a\":5}\n{\"a\":6}", "{broken", "\xff\xfe \\", "{\"a\":7}\r\n",
    };
    disk d = {0};
    sl_ndjson_writer *w = create(NULL, &d);
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        assert_int_equal(sl_ndjson_write(w, records[i], strlen(records[i]), &mark), SL_OK);
    assert_int_equal(sl_ndjson_write(w, "a\0b", 3, &mark), SL_OK);
    sl_ndjson_result result;
    assert_int_equal(sl_ndjson_finish(w, &result), SL_OK);
    sl_ndjson_destroy(w);
    static const char expected[] = "{\"a\":1}\n{\"a\":2}\n[{\"a\":3},\n {\"a\":4}]\n{\"a\":5}\n{\"a\":6}\n{broken\n\xff\xfe \\\n{\"a\":7}\r\n"
                                   "a\0b\n";
    assert_holds(&d.file, expected, sizeof expected - 1);
    assert_int_equal(result.records, 8);
    assert_int_equal(result.bytes, d.file.length);
    sl_hash128 hash = sl_hash128_of(d.file.bytes, d.file.length);
    assert_true(hash.low == result.hash.low && hash.high == result.hash.high);
    sl_buffer_fini(&d.file);
}

static void nothing_is_a_valid_file_and_an_empty_record_an_empty_line(void **state) {
    (void)state;
    for (unsigned records = 0; records < 2; records++) {
        disk d = {0};
        sl_ndjson_writer *w = create(NULL, &d);
        if (records != 0)
            assert_int_equal(sl_ndjson_write(w, "", 0, &mark), SL_OK);
        sl_ndjson_result result;
        assert_int_equal(sl_ndjson_finish(w, &result), SL_OK);
        assert_int_equal(result.records, records);
        assert_holds(&d.file, "\n", records);
        sl_ndjson_destroy(w);
        sl_buffer_fini(&d.file);
    }
}

/* From what compresses to nothing to what doesn't compress at all, in records of a byte to a megabyte. */
static void write_many(sl_ndjson_writer *w, sl_buffer *expected, unsigned seed) {
    uint64_t random = seed + 1;
    for (unsigned i = 0; i < 200; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t length = 1 + (size_t)(random >> 33) % (i % 10 == 7 ? 400000 : 5000), at = expected->length;
        for (size_t k = 0; k < length; k++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            sl_buffer_byte(expected, (uint8_t)(i % 3 == 0 ? 'x' : i % 3 == 1 ? (int)(random >> 60) + 'a' : (int)(random >> 56)));
        }
        assert_int_equal(sl_ndjson_write(w, expected->bytes + at, length, &mark), SL_OK);
        if (expected->bytes[expected->length - 1] != '\n')
            sl_buffer_byte(expected, '\n');
    }
}

static void large_files_come_out_in_pieces_and_in_bounded_memory(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 2 << 20);
    for (unsigned seed = 0; seed < 3; seed++) {
        disk d = {0};
        sl_buffer expected = SL_BUFFER_EMPTY;
        sl_ndjson_writer *w = create(&budget, &d);
        uint64_t held = sl_budget_used(&budget);
        assert_in_range(held, 1 << 20, 3 << 19);
        write_many(w, &expected, seed);
        assert_in_range(sl_budget_used(&budget), held, held + 8192); /* Marks. */
        assert_true(d.calls > 4);
        assert_int_equal(sl_ndjson_bytes(w), d.file.length);
        sl_ndjson_result result;
        assert_int_equal(sl_ndjson_finish(w, &result), SL_OK);
        assert_int_equal(result.records, 200);
        assert_int_equal(result.bytes, d.file.length);
        assert_holds(&d.file, expected.bytes, expected.length);
        sl_ndjson_destroy(w);
        assert_int_equal(sl_budget_used(&budget), 0);
        sl_buffer_fini(&expected);
        sl_buffer_fini(&d.file);
    }
}

static void the_same_records_make_the_same_bytes(void **state) {
    (void)state;
    disk d[2] = {{.full_at = 0}, {.full_at = 0}};
    for (int i = 0; i < 2; i++) {
        sl_buffer expected = SL_BUFFER_EMPTY;
        sl_ndjson_writer *w = create(NULL, &d[i]);
        write_many(w, &expected, 9);
        sl_ndjson_result result;
        assert_int_equal(sl_ndjson_finish(w, &result), SL_OK);
        sl_ndjson_destroy(w);
        sl_buffer_fini(&expected);
    }
    assert_int_equal(d[0].file.length, d[1].file.length);
    assert_memory_equal(d[0].file.bytes, d[1].file.bytes, d[0].file.length);
    sl_buffer_fini(&d[0].file);
    sl_buffer_fini(&d[1].file);
}

static void a_refusal_of_the_sink_sticks(void **state) {
    (void)state;
    char record[4000];
    for (unsigned full_at = 1; full_at < 4; full_at++) {
        disk d = {.full_at = full_at};
        sl_ndjson_writer *w = create(NULL, &d);
        uint64_t random = full_at;
        sl_status status = SL_OK;
        for (int i = 0; i < 1000 && status == SL_OK; i++) {
            for (size_t k = 0; k < sizeof record; k++)
                record[k] = (char)((random = random * UINT64_C(6364136223846793005) + 1) >> 56);
            status = sl_ndjson_write(w, record, sizeof record, &mark);
        }
        assert_int_equal(status, SL_ENOSPC);
        assert_int_equal(d.calls, full_at);
        sl_ndjson_result result;
        assert_int_equal(sl_ndjson_write(w, "{}", 2, &mark), SL_ENOSPC);
        assert_int_equal(sl_ndjson_finish(w, &result), SL_ENOSPC);
        assert_int_equal(d.calls, full_at);
        sl_ndjson_destroy(w);
        sl_buffer_fini(&d.file);
    }
}

static void a_full_disk_at_the_end_is_told(void **state) {
    (void)state;
    disk d = {.full_at = 1};
    sl_ndjson_writer *w = create(NULL, &d);
    assert_int_equal(sl_ndjson_write(w, "{}", 2, &mark), SL_OK);
    sl_ndjson_result result;
    assert_int_equal(sl_ndjson_finish(w, &result), SL_ENOSPC);
    sl_ndjson_destroy(w);
    sl_buffer_fini(&d.file);
}

static void a_budget_without_room_is_left_as_it_was(void **state) {
    (void)state;
    disk d = {0};
    sl_budget budget;
    sl_budget_init(&budget, 1 << 20);
    assert_int_equal(sl_budget_take(&budget, 1000), SL_OK);
    sl_ndjson_writer *w;
    assert_int_equal(sl_ndjson_create(&budget, take, &d, &w), SL_EFULL);
    assert_null(w);
    assert_int_equal(sl_budget_used(&budget), 1000);
}

/* Every allocation fails once: creation says so and leaves nothing; after it there are none. */
static void each_allocation_that_fails_is_told(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 4 << 20);
    bool done = false;
    unsigned failures = 0;
    for (uint64_t n = 1; !done; n++) {
        disk d = {0};
        sl_ndjson_writer *w;
        sl_memory_fail_at(n);
        sl_status status = sl_ndjson_create(&budget, take, &d, &w);
        if (status != SL_OK) {
            assert_int_equal(status, SL_ENOMEM);
            assert_null(w);
            assert_int_equal(sl_budget_used(&budget), 0);
            failures++;
            continue;
        }
        uint64_t calls = sl_memory_calls();
        char record[70000];
        memset(record, 'r', sizeof record);
        for (int i = 0; i < 20 && status == SL_OK; i++)
            status = sl_ndjson_write(w, record, sizeof record, &mark);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        assert_in_range(sl_memory_calls(), calls, calls + 2); /* The marks'. */
        sl_memory_fail_at(0);
        sl_ndjson_result result;
        assert_int_equal(sl_ndjson_finish(w, &result), status);
        sl_ndjson_destroy(w);
        sl_buffer_fini(&d.file);
        failures += status != SL_OK;
        done = status == SL_OK;
    }
    assert_true(failures >= 2);
    assert_int_equal(sl_budget_used(&budget), 0);
}

static void records_come_back_with_what_their_bytes_do_not_tell(void **state) {
    (void)state;
    static const char *const records[] = {"{}", "a,b\n1,2\n", "", "\n", "x", "{\"a\":1}\n"};
    static const char *const sources[] = {"http", "http", "file", "", "http", "http"};
    disk d = {0};
    sl_ndjson_writer *w = create(NULL, &d);
    for (int i = 0; i < 6000; i++) {
        const sl_ndjson_mark m = {.arrival_us = 1700000000000000 + i * 37 - (i % 5) * 1000,
                                  .source = sources[i % 6],
                                  .source_length = strlen(sources[i % 6]),
                                  .named = i % 3 == 0,
                                  .format = {i % 6 == 1, (uint8_t)(i % 4), ','}};
        assert_int_equal(sl_ndjson_write(w, records[i % 6], strlen(records[i % 6]), &m), SL_OK);
    }
    assert_false(sl_ndjson_full(w));
    sl_ndjson_result result;
    assert_int_equal(sl_ndjson_finish(w, &result), SL_OK);
    sl_ndjson_destroy(w);
    sl_ndjson_reader *r;
    sl_error error;
    const uint8_t *record;
    size_t length;
    sl_ndjson_mark m;
    assert_int_equal(sl_ndjson_open(d.file.bytes, d.file.length, &r, &error), SL_OK);
    for (int i = 0; i < 6000; i++) {
        assert_int_equal(sl_ndjson_next(r, &record, &length, &m, &error), SL_OK);
        assert_int_equal(length, strlen(records[i % 6]));
        assert_memory_equal(record, records[i % 6], length);
        assert_int_equal(m.arrival_us, 1700000000000000 + i * 37 - (i % 5) * 1000);
        assert_int_equal(m.source_length, strlen(sources[i % 6]));
        assert_memory_equal(m.source, sources[i % 6], m.source_length);
        assert_int_equal(m.named, i % 3 == 0);
        assert_int_equal(m.format.kind, i % 6 == 1);
        assert_int_equal(m.format.header, i % 4);
    }
    assert_int_equal(sl_ndjson_next(r, &record, &length, &m, &error), SL_ENOTFOUND);
    sl_ndjson_close(r);
    for (uint64_t n = 1, status = SL_ENOMEM; status != SL_OK; n++) {
        sl_memory_fail_at(n);
        status = sl_ndjson_open(d.file.bytes, d.file.length, &r, &error);
        if (status == SL_OK)
            status = sl_ndjson_next(r, &record, &length, &m, &error);
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        sl_ndjson_close(r);
    }
    size_t frame = ZSTD_findFrameCompressedSize(d.file.bytes, d.file.length);
    assert_int_equal(sl_ndjson_open(d.file.bytes, frame, &r, &error), SL_EUNSUPPORTED);
    assert_int_equal(sl_ndjson_open(d.file.bytes, frame - 1, &r, &error), SL_ECORRUPT);
    assert_int_equal(sl_ndjson_open(d.file.bytes, d.file.length - 1, &r, &error), SL_ECORRUPT);
    for (size_t i = 0; i < 3000; i++) { /* Damage anywhere is told, or read within bounds. */
        uint8_t *copy = malloc(d.file.length);
        memcpy(copy, d.file.bytes, d.file.length);
        copy[i * 7919 % d.file.length] ^= (uint8_t)(1u << i % 8);
        if (sl_ndjson_open(copy, d.file.length, &r, &error) == SL_OK)
            while (sl_ndjson_next(r, &record, &length, &m, &error) == SL_OK)
                ;
        sl_ndjson_close(r);
        free(copy);
    }
    sl_buffer_fini(&d.file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_stand_in_the_file_as_they_came_each_ending_with_a_line),
        cmocka_unit_test(nothing_is_a_valid_file_and_an_empty_record_an_empty_line),
        cmocka_unit_test(large_files_come_out_in_pieces_and_in_bounded_memory),
        cmocka_unit_test(the_same_records_make_the_same_bytes),
        cmocka_unit_test(a_refusal_of_the_sink_sticks),
        cmocka_unit_test(a_full_disk_at_the_end_is_told),
        cmocka_unit_test(a_budget_without_room_is_left_as_it_was),
        cmocka_unit_test(each_allocation_that_fails_is_told),
        cmocka_unit_test(records_come_back_with_what_their_bytes_do_not_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
