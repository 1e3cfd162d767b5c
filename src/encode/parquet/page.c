// A v1 data page: definition levels (4-byte length, hybrid) where there are any, then the values. The page
// header precedes it; its CRC covers the body as it is stored (parquet-format README, "Checksumming").

#include "checksum.h"
#include "chunk.h"
#include "encoding.h"

#include <assert.h>

#define HEADER_BYTES_MAX 128u

static size_t page_header(uint8_t *out, int type, uint32_t values, int encoding, size_t plain,
                          size_t packed, uint32_t crc) {
    // The room is more than such a header can take, so the buffer never reallocates.
    sl_buffer buffer = {.bytes = out, .capacity = HEADER_BYTES_MAX};
    sl_thrift_writer thrift = sl_thrift_begin(&buffer);
    sl_thrift_i32(&thrift, 1, type);
    sl_thrift_i32(&thrift, 2, (int32_t)plain);
    sl_thrift_i32(&thrift, 3, (int32_t)packed);
    sl_thrift_i32(&thrift, 4, (int32_t)crc);
    sl_thrift_struct(&thrift, type == PAGE_DATA ? 5 : 7);
    sl_thrift_i32(&thrift, 1, (int32_t)values);
    sl_thrift_i32(&thrift, 2, encoding);
    if (type == PAGE_DATA) {
        sl_thrift_i32(&thrift, 3, ENCODING_RLE);
        sl_thrift_i32(&thrift, 4, ENCODING_RLE);
    }
    sl_thrift_end(&thrift);
    sl_thrift_end(&thrift);
    assert(buffer.length < HEADER_BYTES_MAX);
    return buffer.length;
}

/** Header and packed body in a block of their own. */
static sl_status join_page(sl_parquet_chunk *chunk, sl_parquet_store *store, const uint8_t *packed,
                           size_t length, size_t plain, int type, uint32_t values, int encoding,
                           sl_parquet_page **out) {
    if (plain > INT32_MAX || length > INT32_MAX)
        return SL_ELIMIT;
    uint8_t header[HEADER_BYTES_MAX];
    uint32_t crc = sl_parquet_crc32(packed, length);
    size_t head = page_header(header, type, values, encoding, plain, length, crc);
    void *memory;
    sl_status status = sl_parquet_take(store, sizeof(sl_parquet_page) + head + length, &memory);
    if (status)
        return status;
    sl_parquet_page *page = memory;
    page->next = NULL;
    page->length = head + length;
    memcpy(page->bytes, header, head);
    memcpy(page->bytes + head, packed, length);
    chunk->packed_bytes += page->length;
    chunk->plain_bytes += head + plain;
    *out = page;
    return SL_OK;
}

static sl_status make_page(sl_parquet_chunk *chunk, const sl_parquet_settings *settings,
                           sl_parquet_store *store, sl_parquet_habit *habit,
                           const sl_parquet_body *body, int type, uint32_t values, int encoding,
                           sl_parquet_page **out) {
    const uint8_t *packed;
    size_t length;
    sl_parquet_bench *bench = sl_parquet_bench_get();
    if (!bench)
        return SL_ENOMEM;
    sl_status status = sl_parquet_compress(bench, settings->codec, habit, body, &packed, &length);
    if (!status)
        status = join_page(chunk, store, packed, length, body->length, type, values, encoding, out);
    sl_parquet_bench_trim(bench);
    return status;
}

/** Room for the levels, behind which the values begin. */
static size_t levels_bound(const sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf) {
    if (!leaf->level_max)
        return 0;
    return chunk->levels_mixed ? 4 + sl_parquet_hybrid_bound(chunk->page_rows, 7) : 16;
}

/** @param scratch page_rows numbers, when the levels are mixed. */
static uint8_t *put_levels(uint8_t *out, const sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                           uint32_t *scratch) {
    if (!leaf->level_max)
        return out;
    uint32_t length;
    unsigned width = sl_parquet_width(leaf->level_max);
    if (chunk->levels_mixed) {
        const uint8_t *levels = chunk->levels.data;
        for (uint32_t i = 0; i < chunk->page_rows; i++)
            scratch[i] = levels[i];
        length = (uint32_t)sl_parquet_hybrid(out + 4, scratch, chunk->page_rows, width);
    } else {
        uint8_t *end = sl_parquet_put_varint(out + 4, (uint64_t)chunk->page_rows << 1);
        *end++ = chunk->level;
        length = (uint32_t)(end - (out + 4));
    }
    memcpy(out, &length, 4);
    return out + 4 + length;
}

static uint8_t *put_indices(uint8_t *out, const sl_parquet_chunk *chunk) {
    uint32_t count = chunk->dictionary.count;
    unsigned width = count > 2 ? sl_parquet_width(count - 1) : 1; // Some readers refuse width 0.
    *out++ = (uint8_t)width;
    return out + sl_parquet_hybrid(out, chunk->codes.data, chunk->page_values, width);
}

static uint8_t *put_truths(uint8_t *out, const uint8_t *truths, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
        unsigned bits = 0;
        for (size_t k = i; k < count && k < i + 8; k++)
            bits |= (unsigned)truths[k] << (k - i);
        *out++ = (uint8_t)bits;
    }
    return out;
}

static uint8_t *put_numbers(uint8_t *out, const int64_t *numbers, size_t count,
                            const sl_parquet_leaf *leaf) {
    if (!count)
        return out;
    if (leaf->width == 8 && leaf->physical != PHYSICAL_FIXED) {
        memcpy(out, numbers, count * 8);
        return out + count * 8;
    }
    for (size_t i = 0; i < count; i++)
        out += sl_parquet_put_number(out, numbers[i], leaf->physical, leaf->width);
    return out;
}

static uint8_t *put_plain(uint8_t *out, const sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf) {
    if (leaf->kind == KIND_BOOL)
        return put_truths(out, chunk->text.data, chunk->page_values);
    if (leaf->kind != KIND_TEXT)
        return put_numbers(out, chunk->numbers.data, chunk->page_values, leaf);
    if (chunk->text_length)
        memcpy(out, chunk->text.data, chunk->text_length);
    return out + chunk->text_length;
}

static size_t values_bound(const sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf) {
    size_t n = chunk->page_values;
    if (chunk->mode == MODE_DICTIONARY)
        return 1 + sl_parquet_hybrid_bound(n, sl_parquet_width(chunk->dictionary.count));
    if (leaf->kind == KIND_TEXT || leaf->kind == KIND_BOOL)
        return chunk->text_length + 16;
    return sl_parquet_delta_bound(n);
}

/** Encode the values. @return their end. */
static uint8_t *put_values(uint8_t *out, sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                           int *encoding) {
    size_t n = chunk->page_values;
    if (chunk->mode == MODE_DICTIONARY) {
        *encoding = ENCODING_RLE_DICTIONARY;
        return put_indices(out, chunk);
    }
    if (chunk->mode == MODE_DELTA && n) {
        size_t length =
            sl_parquet_delta(out, chunk->numbers.data, n, leaf->physical == PHYSICAL_INT32);
        if (length < n * leaf->width) {
            *encoding = ENCODING_DELTA_BINARY_PACKED;
            return out + length;
        }
    }
    *encoding = ENCODING_PLAIN;
    return put_plain(out, chunk, leaf);
}

static void begin_page(sl_parquet_chunk *chunk) {
    chunk->page_rows = chunk->page_values = 0;
    chunk->page_plain = 0;
    chunk->text_length = 0;
    chunk->text_uneven = 0;
    chunk->levels_mixed = false;
}

static sl_parquet_habit *count_page(sl_parquet_chunk *chunk, int encoding) {
    if (encoding == ENCODING_RLE_DICTIONARY) {
        chunk->pages_indices++;
        return &chunk->habits[HABIT_INDICES];
    }
    if (encoding == ENCODING_DELTA_BINARY_PACKED) {
        chunk->pages_delta++;
        return &chunk->habits[HABIT_DELTA];
    }
    chunk->pages_plain++;
    return &chunk->habits[HABIT_PLAIN];
}

sl_status sl_parquet_page_write(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                const sl_parquet_settings *settings, sl_parquet_store *store) {
    sl_parquet_bench *bench = sl_parquet_bench_get();
    size_t scratch = chunk->levels_mixed ? (size_t)chunk->page_rows * sizeof(uint32_t) : 0;
    size_t room = scratch + levels_bound(chunk, leaf) + values_bound(chunk, leaf);
    uint8_t *memory = bench ? sl_parquet_bench_plain(bench, room) : NULL;
    if (!memory)
        return SL_ENOMEM;
    uint8_t *begin = memory + scratch;
    uint8_t *values = put_levels(begin, chunk, leaf, (uint32_t *)(void *)memory);
    int encoding;
    uint8_t *end = put_values(values, chunk, leaf, &encoding);
    sl_parquet_body body = {.bytes = begin,
                            .length = (size_t)(end - begin),
                            .values = (size_t)(values - begin)};
    if (encoding == ENCODING_PLAIN && leaf->kind == KIND_TEXT && !chunk->text_uneven &&
        chunk->page_values)
        body.stride = 4u + (size_t)chunk->text_first;
    sl_parquet_page *page;
    sl_status status = make_page(chunk, settings, store, count_page(chunk, encoding), &body,
                                 PAGE_DATA, chunk->page_rows, encoding, &page);
    if (status)
        return status;
    if (chunk->last)
        chunk->last->next = page;
    else
        chunk->first = page;
    chunk->last = page;
    begin_page(chunk);
    return SL_OK;
}

static sl_status dictionary_in_slices(sl_parquet_chunk *chunk, sl_parquet_store *store,
                                      sl_parquet_slices *slices) {
    sl_parquet_dictionary *d = &chunk->dictionary;
    sl_status status = sl_parquet_slices_next(slices, store, d->values.data, d->length);
    if (status == SL_EAGAIN)
        return status;
    if (!status)
        status = join_page(chunk, store, slices->out, slices->used, d->length, PAGE_DICTIONARY,
                           d->count, ENCODING_PLAIN, &chunk->dictionary_page);
    sl_parquet_slices_fini(slices, store);
    return status;
}

sl_status sl_parquet_chunk_dictionary(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                      const sl_parquet_settings *settings, sl_parquet_store *store,
                                      sl_parquet_slices *slices) {
    if (!chunk->pages_indices)
        return SL_OK;
    sl_parquet_dictionary *d = &chunk->dictionary;
    sl_parquet_body body = {.bytes = d->values.data, .length = d->length};
    bool as_it_lies = leaf->kind == KIND_TEXT || (leaf->width == 8 && leaf->physical != PHYSICAL_FIXED);
    if (as_it_lies && settings->codec == CODEC_ZSTD && d->length > 2 * SL_PARQUET_SLICE_BYTES)
        return dictionary_in_slices(chunk, store, slices);
    if (!as_it_lies) {
        sl_parquet_bench *bench = sl_parquet_bench_get();
        uint8_t *memory = bench ? sl_parquet_bench_plain(bench, (size_t)d->count * 8 + 8) : NULL;
        if (!memory)
            return SL_ENOMEM;
        uint8_t *end = put_numbers(memory, d->values.data, d->count, leaf);
        body.bytes = memory;
        body.length = (size_t)(end - memory);
    }
    return make_page(chunk, settings, store, NULL, &body, PAGE_DICTIONARY, d->count, ENCODING_PLAIN,
                     &chunk->dictionary_page);
}
