#include "checksum.h"
#include "chunk.h"
#include "codec.h"
#include "dictionary.h"
#include "encoding.h"
#include "statistics.h"
#include "thrift.h"

#include "sluice/parquet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>

#include <cmocka.h>

#include <zstd.h>

static uint64_t state = 42;

static uint64_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

// Naive decoders, straight from the format's text.

static uint64_t get_varint(const uint8_t **at) {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = *(*at)++;
        value |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return value;
    }
}

static int64_t get_zigzag(const uint8_t **at) {
    uint64_t value = get_varint(at);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static uint64_t get_bits(const uint8_t *from, size_t bit, unsigned width) {
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++, bit++)
        value |= (uint64_t)(from[bit / 8] >> bit % 8 & 1) << i;
    return value;
}

static void decode_hybrid(const uint8_t *at, size_t length, unsigned width, uint32_t *out,
                          size_t count) {
    const uint8_t *end = at + length;
    size_t n = 0;
    while (n < count) {
        assert_true(at < end);
        uint64_t head = get_varint(&at);
        size_t run = (size_t)(head >> 1);
        if (head & 1) {
            for (size_t i = 0; i < run * 8 && n < count; i++)
                out[n++] = (uint32_t)get_bits(at, i * width, width);
            at += run * width;
        } else {
            uint32_t value = (uint32_t)get_bits(at, 0, (width + 7) / 8 * 8);
            for (size_t i = 0; i < run; i++)
                out[n++] = value;
            at += (width + 7) / 8;
        }
    }
    assert_ptr_equal(at, end);
    assert_int_equal(n, count);
}

static void decode_delta(const uint8_t *at, size_t length, bool narrow, int64_t *out, size_t count) {
    const uint8_t *end = at + length;
    assert_int_equal(get_varint(&at), 128);
    assert_int_equal(get_varint(&at), 4);
    assert_int_equal(get_varint(&at), count);
    uint64_t value = (uint64_t)get_zigzag(&at);
    out[0] = (int64_t)value;
    for (size_t n = 1; n < count;) {
        uint64_t least = (uint64_t)get_zigzag(&at);
        const uint8_t *widths = at;
        at += 4;
        for (unsigned m = 0; m < 4 && n < count; m++) {
            assert_true(widths[m] <= (narrow ? 32 : 64));
            for (size_t i = 0; i < 32 && n < count; i++) {
                value += least + get_bits(at, i * widths[m], widths[m]);
                out[n++] = narrow ? (int32_t)(uint32_t)value : (int64_t)value;
            }
            at += 4 * widths[m];
        }
    }
    assert_ptr_equal(at, end);
}

static void hybrid_decodes_at_every_width(void **unused) {
    (void)unused;
    static uint32_t values[9000], back[9000];
    for (unsigned width = 1; width <= 32; width++) {
        for (size_t count = 1; count < 9000; count = count * 5 / 2 + 1) {
            uint32_t mask = width == 32 ? UINT32_MAX : (1u << width) - 1;
            for (size_t i = 0; i < count; i++) // Runs of all lengths, then noise.
                values[i] = draw() % 4 || !i ? (uint32_t)draw() & mask : values[i - 1];
            for (size_t i = count / 3; i < count / 2; i++)
                values[i] = values[count / 3];
            uint8_t *out = malloc(sl_parquet_hybrid_bound(count, width));
            size_t length = sl_parquet_hybrid(out, values, count, width);
            assert_true(length + 16 <= sl_parquet_hybrid_bound(count, width));
            decode_hybrid(out, length, width, back, count);
            assert_memory_equal(values, back, count * sizeof *values);
            free(out);
        }
    }
}

static void delta_decodes_whatever_the_numbers(void **unused) {
    (void)unused;
    static int64_t values[1000], back[1000];
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (size_t count = 1; count < 1000; count = count * 3 / 2 + 1) {
            for (size_t i = 0; i < count; i++)
                values[i] = bits == 0 ? 7 : (int64_t)(draw() >> (64 - bits)) - (int64_t)(i % 3);
            for (int narrow = 0; narrow <= (bits <= 32); narrow++) {
                for (size_t i = 0; narrow && i < count; i++)
                    values[i] = (int32_t)(uint32_t)(uint64_t)values[i];
                uint8_t *out = malloc(sl_parquet_delta_bound(count));
                size_t length = sl_parquet_delta(out, values, count, narrow);
                assert_true(length + 16 <= sl_parquet_delta_bound(count));
                decode_delta(out, length, narrow, back, count);
                assert_memory_equal(values, back, count * sizeof *values);
                free(out);
            }
        }
    }
}

static void checksum_is_the_one_of_gzip(void **unused) {
    (void)unused;
    uint8_t bytes[700];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)draw();
    assert_int_equal(sl_parquet_crc32("123456789", 9), 0xcbf43926); // The catalogue's check value.
    for (size_t begin = 0; begin < 17; begin++)
        for (size_t length = 0; length + begin < sizeof bytes; length++)
            assert_int_equal(sl_parquet_crc32(bytes + begin, length),
                             sl_parquet_crc32_portable(bytes + begin, length));
}

static void dictionary_numbers_values_as_first_seen(void **unused) {
    (void)unused;
    sl_parquet_store store = {0};
    sl_parquet_dictionary d = {0};
    enum { COUNT = 20000 };
    static char texts[COUNT][40];
    static sl_parquet_piece pieces[COUNT];
    static uint32_t codes[COUNT], first[COUNT];
    uint32_t next = 0;
    for (size_t i = 0; i < COUNT; i++) {
        size_t length = (size_t)snprintf(texts[i], sizeof texts[i], "%.*s%u", (int)(draw() % 20),
                                         "abcdefghijklmnopqrst", (unsigned)(draw() % 300));
        pieces[i] = (sl_parquet_piece){(const uint8_t *)texts[i], (uint32_t)length};
    }
    assert_int_equal(sl_parquet_dictionary_texts(&d, &store, pieces, COUNT, codes), SL_OK);
    for (size_t i = 0; i < COUNT; i++) {
        if (codes[i] == next)
            first[next++] = (uint32_t)i;
        assert_true(codes[i] < next);
        assert_string_equal(texts[i], texts[first[codes[i]]]);
    }
    assert_int_equal(d.count, next);
    assert_false(d.spoilt);
    sl_parquet_dictionary_fini(&d, &store);
    assert_int_equal(store.held, 0);
}

/** Texts that all differ get codes in their order, twice the same, and lie in the dictionary page as they are. */
static void expect_distinct(sl_parquet_dictionary *d, sl_parquet_store *store, const sl_parquet_piece *pieces,
                            uint32_t count, bool spoilt) {
    uint32_t *codes = malloc(count * sizeof *codes);
    for (int pass = 0; pass < 2; pass++) { // New, then found again.
        assert_int_equal(sl_parquet_dictionary_texts(d, store, pieces, count, codes), SL_OK);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(codes[i], i);
        assert_int_equal(d->count, count);
    }
    const uint8_t *value = d->values.data;
    for (uint32_t i = 0; i < count; i++) {
        assert_memory_equal(value, &pieces[i].length, 4);
        assert_memory_equal(value + 4, pieces[i].bytes, pieces[i].length);
        value += 4u + pieces[i].length;
    }
    assert_int_equal(d->spoilt, spoilt);
    free(codes);
}

/** Each length up to some beyond those that a slot holds; all bytes zero, then one bit set: no byte goes unlooked at. */
static void dictionary_tells_texts_apart_by_any_bit(void **unused) {
    (void)unused;
    enum { LENGTH_MAX = 20, COUNT = 1 + LENGTH_MAX + 8 * LENGTH_MAX * (LENGTH_MAX + 1) / 2 };
    sl_parquet_store store = {0};
    sl_parquet_dictionary d = {0};
    static uint8_t texts[COUNT][LENGTH_MAX];
    static sl_parquet_piece pieces[COUNT];
    uint32_t count = 0;
    for (uint32_t length = 0; length <= LENGTH_MAX; length++)
        for (uint32_t bit = 0; bit <= 8 * length; bit++, count++) {
            if (bit)
                texts[count][(bit - 1) / 8] = (uint8_t)(1u << (bit - 1) % 8);
            pieces[count] = (sl_parquet_piece){texts[count], length};
        }
    assert_int_equal(count, COUNT);
    expect_distinct(&d, &store, pieces, count, false);
    sl_parquet_dictionary_fini(&d, &store);
    assert_int_equal(store.held, 0);
}

/** Eight bytes that the hash's first factor is 0 for: it doesn't matter then which four come after them. */
static void dictionary_of_colliding_texts_is_spoilt_but_right(void **unused) {
    (void)unused;
    enum { COUNT = 3000 };
    sl_parquet_store store = {0};
    sl_parquet_dictionary d = {0};
    static uint8_t texts[COUNT][12];
    static sl_parquet_piece pieces[COUNT];
    const uint64_t front = 0x2545f4914f6cdd1du;
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(texts[i], &front, 8);
        memcpy(texts[i] + 8, &i, 4);
        pieces[i] = (sl_parquet_piece){texts[i], 12};
    }
    expect_distinct(&d, &store, pieces, COUNT, true);
    sl_parquet_dictionary_fini(&d, &store);
}

static void dictionary_tells_numbers_apart(void **unused) {
    (void)unused;
    sl_parquet_store store = {0};
    sl_parquet_dictionary d = {0};
    static int64_t numbers[50000];
    static uint32_t codes[50000];
    for (size_t i = 0; i < 50000; i++)
        numbers[i] = (int64_t)(draw() % 9000) * (int64_t)0x100000000;
    assert_int_equal(sl_parquet_dictionary_numbers(&d, &store, numbers, 50000, codes), SL_OK);
    const int64_t *values = d.values.data;
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(values[codes[i]], numbers[i]);
    assert_in_range(d.count, 8000, 9000);
    sl_parquet_dictionary_fini(&d, &store);
}

static void cut_maximum_is_raised_at_a_character(void **unused) {
    (void)unused;
    static const struct {
        const char *text, *raised;
    } cases[] = {{"abc", "abd"},
                 {"ab\x7f", "ab\xc2\x80"},
                 {"\xc3\xa4\xc3", "\xc3\xa5"},
                 {"a\xed\x9f\xbf", "a\xee\x80\x80"}, // U+D7FF is followed by U+E000.
                 {"a\xf4\x8f\xbf\xbf", "b"},
                 {"\xf4\x8f\xbf\xbf", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[16];
        size_t length = strlen(cases[i].text);
        memcpy(bytes, cases[i].text, length);
        length = sl_parquet_raise(bytes, length, sizeof bytes, true);
        assert_int_equal(length, strlen(cases[i].raised));
        assert_memory_equal(bytes, cases[i].raised, length);
    }
    uint8_t high[3] = {1, 0xff, 0xff};
    assert_int_equal(sl_parquet_raise(high, 3, 3, false), 1);
    assert_int_equal(high[0], 2);
    assert_int_equal(sl_parquet_raise(high + 1, 2, 2, false), 0);
}

static void thrift_nesting_and_lengths_are_bounded(void **unused) {
    (void)unused;
    uint8_t deep[4000];
    memset(deep, 0x1c, sizeof deep); // Field 1 is a struct, whose field 1 is a struct, …
    sl_thrift_reader reader = {.at = deep, .end = deep + sizeof deep};
    sl_thrift_skip(&reader, THRIFT_STRUCT, false);
    assert_true(reader.failed);
    static const uint8_t lying[] = {0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f}; // A list of 2^32 - 1 structs.
    reader = (sl_thrift_reader){.at = lying, .end = lying + sizeof lying};
    uint8_t element;
    assert_int_equal(sl_thrift_list_head(&reader, THRIFT_LIST, &element), 0);
    assert_true(reader.failed);
}

static void round_trip(const uint8_t *bytes, size_t length, size_t values, size_t stride,
                       sl_parquet_way expected) {
    sl_parquet_bench *bench = sl_parquet_bench_get();
    sl_parquet_habit habit = {0};
    sl_parquet_body body = {bytes, length, values, stride};
    for (int i = 0; i < 3; i++) { // Asked, then as remembered.
        const uint8_t *packed;
        size_t size;
        assert_int_equal(sl_parquet_compress(bench, 6, &habit, &body, &packed, &size), SL_OK);
        assert_int_equal(habit.way, expected);
        uint8_t *back = malloc(length + 1);
        assert_int_equal(ZSTD_decompress(back, length, packed, size), length);
        assert_memory_equal(back, bytes, length);
        free(back);
    }
}

static void pages_survive_every_way_of_compression(void **unused) {
    (void)unused;
    enum { BYTES = 400000 };
    uint8_t *bytes = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(draw() >> 20);
    round_trip(bytes, BYTES, 0, 0, WAY_STORED);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)("lorem ipsum dolor"[i % 17] + (draw() % 16 == 0));
    round_trip(bytes, BYTES, 0, 0, WAY_LEVEL_1);
    for (size_t levels = 0; levels < 9; levels += 8) // With and without levels before the values.
        for (size_t shared = 0; shared < 32; shared += 31) {
            static const uint8_t head[4] = {32, 0, 0, 0};
            size_t length = levels;
            for (; length + 36 < BYTES; length += 36) {
                memcpy(bytes + length, head, 4);
                for (size_t k = 0; k < 32; k++)
                    bytes[length + 4 + k] = (uint8_t)(k < shared ? 'x' : "0123456789abcdef"[draw() % 16]);
            }
            round_trip(bytes, length, levels, 36, shared ? WAY_LEVEL_1 : WAY_SEQUENCES);
        }
    free(bytes);
}

// The writer as a whole; what is in its files is compared by other readers in tests/conformance.

typedef struct memory_file {
    sl_buffer bytes;
    size_t refuse_from;
} memory_file;

static sl_status into_memory(void *context, const void *bytes, size_t length) {
    memory_file *file = context;
    if (file->refuse_from && file->bytes.length + length > file->refuse_from)
        return SL_ENOSPC;
    sl_buffer_append(&file->bytes, bytes, length);
    return file->bytes.failed ? SL_ENOMEM : SL_OK;
}

static sl_schema *small_schema(bool later) {
    sl_schema *s = sl_schema_create("small");
    if (!s)
        return NULL;
    uint32_t id = sl_schema_add(s, 0, "id", 2, SL_TYPE_STRING);
    uint32_t kind = sl_schema_add(s, 0, "kind", 4, SL_TYPE_STRING);
    uint32_t number = sl_schema_add(s, 0, "number", 6, SL_TYPE_INT64);
    uint32_t group = sl_schema_add(s, 0, "group", 5, SL_TYPE_GROUP);
    uint32_t inner = group == SL_NO_FIELD ? group : sl_schema_add(s, group, "real", 4, SL_TYPE_DOUBLE);
    uint32_t added = later ? sl_schema_add(s, group, "added", 5, SL_TYPE_STRING) : inner;
    if (id == SL_NO_FIELD || kind == SL_NO_FIELD || number == SL_NO_FIELD || inner == SL_NO_FIELD ||
        added == SL_NO_FIELD) {
        sl_schema_unref(s);
        return NULL;
    }
    for (uint32_t f = 1; f < s->count; f++)
        s->fields[f].nullable = true;
    return s;
}

static sl_batch *small_batch(const sl_schema *schema, uint8_t *raw, uint32_t rows, uint32_t seed) {
    static const sl_record record;
    sl_batch *b = sl_batch_create(NULL);
    assert_non_null(b);
    assert_int_equal(sl_batch_prepare(b, schema, raw, &record), SL_OK);
    b->rows = rows;
    for (uint32_t row = 0; row < rows; row++) {
        char text[64];
        for (uint32_t f = 1; f < schema->count; f++)
            b->columns[f].valid[row] = (row + f) % 7 != 0;
        snprintf(text, sizeof text, "%08x-0000-4000-8000-%012x", (row + seed) * 2654435761u, row);
        b->columns[1].values.span[row] = sl_batch_keep_text(b, text, 36);
        b->columns[2].values.span[row] = sl_batch_keep_text(b, &"kind"[row % 3], 4 - row % 3);
        b->columns[3].values.i64[row] = row * 3;
        b->columns[5].values.f64[row] = row / 7.0;
        if (schema->count > 6)
            b->columns[6].values.span[row] = sl_batch_keep_text(b, text, row % 30);
    }
    return b;
}

static sl_status finish(sl_parquet_writer *w, sl_parquet_result *result) {
    static const sl_parquet_pair pair = {"key", "a value"};
    sl_status status;
    while ((status = sl_parquet_finish(w, &pair, 1, result)) == SL_EAGAIN)
        ;
    return status;
}

static uint8_t raw[SL_PADDING];

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
    sl_batch *batch = small_batch(schema, raw, 500, 0);
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
    sl_batch *batch = small_batch(schema, raw, 500, 0);
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
    sl_batch *batch = small_batch(schema, raw, 1000, 0);
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
    sl_schema *old = small_schema(false), *new = small_schema(true);
    sl_batch *batch = small_batch(old, raw, 1000, 0), *wide = small_batch(new, raw, 1000, 0);
    memory_file file = {0};
    sl_parquet_options options = {.row_group_bytes = 20000, .page_bytes = 1024};
    sl_parquet_writer *w;
    sl_parquet_result result;
    assert_int_equal(sl_parquet_create(old, &options, into_memory, &file, &w), SL_OK);
    assert_int_equal(sl_parquet_write(w, batch, NULL, 10), SL_OK);
    assert_int_equal(sl_parquet_extend(w, new), SL_OK);
    assert_ptr_equal(sl_parquet_schema(w), new);
    assert_int_equal(sl_parquet_write(w, wide, NULL, 1000), SL_OK);
    assert_int_equal(sl_parquet_write(w, batch, NULL, 1000), SL_OK);
    while (!file.bytes.length)
        assert_int_equal(sl_parquet_write(w, wide, NULL, 1000), SL_OK);
    assert_int_equal(sl_parquet_extend(w, new), SL_EFULL);
    uint64_t rows = sl_parquet_rows(w);
    assert_int_equal(finish(w, &result), SL_OK);
    check_file(&file, rows);
    sl_parquet_destroy(w);
    sl_buffer_fini(&file.bytes);
    sl_batch_destroy(batch);
    sl_batch_destroy(wide);
    sl_schema_unref(old);
    sl_schema_unref(new);
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
        sl_batch *batch = small_batch(schema, raw, 500, i * 500);
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
        sl_batch *batch = small_batch(schema, raw, 500, i * 500);
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
            sl_batch *batch = small_batch(schema, raw, 500, k * 500);
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

/** Everything that allocates in a file's life. */
static sl_status whole_life(const sl_schema *old, const sl_schema *new, const sl_batch *batch,
                            const sl_batch *wide, memory_file *file) {
    sl_parquet_options options = {.row_group_bytes = 20000, .page_bytes = 1024};
    sl_parquet_writer *w;
    sl_parquet_result result;
    sl_status status = sl_parquet_create(old, &options, into_memory, file, &w);
    if (status)
        return status;
    status = sl_parquet_write(w, batch, NULL, 100); // Few enough to remember which groups were there.
    if (!status)
        status = sl_parquet_extend(w, new);
    for (int i = 0; i < 4 && !status; i++)
        status = sl_parquet_write(w, wide, NULL, 1000);
    if (!status)
        status = finish(w, &result);
    sl_parquet_destroy(w);
    return status;
}

static void every_failed_allocation_is_a_status(void **unused) {
    (void)unused;
    sl_schema *old = small_schema(false), *new = small_schema(true);
    sl_batch *batch = small_batch(old, raw, 1000, 0), *wide = small_batch(new, raw, 1000, 0);
    uint64_t n = 1;
    sl_status status;
    do {
        memory_file file = {0};
        sl_memory_fail_at(n++);
        status = whole_life(old, new, batch, wide, &file);
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        sl_buffer_fini(&file.bytes);
    } while (status || n < 20);
    assert_true(n > 50);
    sl_batch_destroy(batch);
    sl_batch_destroy(wide);
    sl_schema_unref(old);
    sl_schema_unref(new);
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

static void reading_survives_failed_allocations(void **unused) {
    (void)unused;
    sl_schema *old = small_schema(false), *new = small_schema(true);
    sl_batch *batch = small_batch(old, raw, 1000, 0), *wide = small_batch(new, raw, 1000, 0);
    memory_file file = {0};
    assert_int_equal(whole_life(old, new, batch, wide, &file), SL_OK);
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
    sl_batch_destroy(batch);
    sl_batch_destroy(wide);
    sl_schema_unref(old);
    sl_schema_unref(new);
}

static void damaged_footers_are_refused_or_read_within_bounds(void **unused) {
    (void)unused;
    sl_schema *old = small_schema(false), *new = small_schema(true);
    sl_batch *batch = small_batch(old, raw, 1000, 0), *wide = small_batch(new, raw, 1000, 0);
    memory_file file = {0};
    assert_int_equal(whole_life(old, new, batch, wide, &file), SL_OK);
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
    sl_batch_destroy(batch);
    sl_batch_destroy(wide);
    sl_schema_unref(old);
    sl_schema_unref(new);
}

/* --- rows, read back --- */

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
            batches[k] = small_batch(schema, raw, counts[k], k * 1000);
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
    sl_schema *old = small_schema(false), *new = small_schema(true);
    sl_batch *batch = small_batch(old, raw, 1000, 0), *wide = small_batch(new, raw, 1000, 0);
    memory_file file = {0};
    assert_int_equal(whole_life(old, new, batch, wide, &file), SL_OK);
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
    sl_batch_destroy(batch);
    sl_batch_destroy(wide);
    sl_schema_unref(old);
    sl_schema_unref(new);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hybrid_decodes_at_every_width),
        cmocka_unit_test(delta_decodes_whatever_the_numbers),
        cmocka_unit_test(checksum_is_the_one_of_gzip),
        cmocka_unit_test(dictionary_numbers_values_as_first_seen),
        cmocka_unit_test(dictionary_tells_texts_apart_by_any_bit),
        cmocka_unit_test(dictionary_of_colliding_texts_is_spoilt_but_right),
        cmocka_unit_test(dictionary_tells_numbers_apart),
        cmocka_unit_test(cut_maximum_is_raised_at_a_character),
        cmocka_unit_test(thrift_nesting_and_lengths_are_bounded),
        cmocka_unit_test(pages_survive_every_way_of_compression),
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
        cmocka_unit_test(reading_survives_failed_allocations),
        cmocka_unit_test(damaged_footers_are_refused_or_read_within_bounds),
        cmocka_unit_test(rows_come_back_as_they_were_written),
        cmocka_unit_test(damaged_pages_are_refused_or_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
