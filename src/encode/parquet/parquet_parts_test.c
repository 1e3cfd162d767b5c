/* What files are made of: encodings, dictionaries, statistics, Thrift, compression. The decoders here are naive ones, straight from the format's text. */
#include "checksum.h"
#include "chunk.h"
#include "codec.h"
#include "dictionary.h"
#include "encoding.h"
#include "parquet_test_help.h"
#include "statistics.h"
#include "thrift.h"

#include <zstd.h>

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
