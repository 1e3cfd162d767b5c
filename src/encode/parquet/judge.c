// Whether numbering a column's values pays is asked once, when its first page is full. What counts is the
// whole chunk: of 300,000 different keys the first 14,000 draws hold hardly a repeat, yet a chunk of a
// million rows holds each of them three times. From n draws with d different values the number N of
// different values is estimated as if they came up evenly: d = N (1 - exp(-n/N)); the same formula then
// tells how many there will be in the chunk. Uneven columns repeat more, which only helps.

#include "chunk.h"
#include "encoding.h"

#include <math.h>

#define UNIQUE 1e12
// A table of more values than this lies outside the second-level cache: a look-up costs more than copying
// and entropy-coding a short text, so that the dictionary has to save a quarter.
#define MANY 16384
#define WORTH_IT 0.97
#define WORTH_ITS_MISSES 0.75

/** N for which n draws give d different values. */
static double population(double n, double d) {
    if (d >= n)
        return UNIQUE;
    double low = d, high = UNIQUE;
    for (int i = 0; i < 64; i++) {
        double middle = sqrt(low * high);
        if (-middle * expm1(-n / middle) < d)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/** What is left of plain values after the codec, from experience. */
static double packed_share(const sl_parquet_leaf *leaf, int codec) {
    if (codec == CODEC_UNCOMPRESSED)
        return 1;
    double zstd = leaf->kind == KIND_TEXT ? 0.45 : leaf->kind == KIND_REAL ? 0.75 : 0.6;
    return codec == CODEC_ZSTD ? zstd : zstd + 0.2;
}

static sl_status delta_share(const sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                             double *bytes) {
    sl_parquet_bench *bench = sl_parquet_bench_get();
    size_t n = chunk->page_values;
    size_t room = sl_parquet_delta_bound(n) + n * sizeof(int64_t);
    uint8_t *scratch = bench ? sl_parquet_bench_plain(bench, room) : NULL;
    if (!scratch)
        return SL_ENOMEM;
    int64_t *numbers = (int64_t *)(void *)scratch;
    const int64_t *values = chunk->dictionary.values.data;
    const uint32_t *codes = chunk->codes.data;
    for (size_t i = 0; i < n; i++)
        numbers[i] = values[codes[i]];
    size_t size =
        sl_parquet_delta(scratch + n * sizeof *numbers, numbers, n, leaf->physical == PHYSICAL_INT32);
    *bytes = (double)size / (double)n;
    return SL_OK;
}

static sl_status texts_from_dictionary(sl_parquet_chunk *chunk, sl_parquet_store *store) {
    void *memory;
    size_t bytes = (size_t)chunk->dictionary.count * sizeof(uint32_t);
    sl_status status = sl_parquet_grow(store, &chunk->text, (size_t)chunk->page_plain);
    if (!status)
        status = sl_parquet_take(store, bytes, &memory);
    if (status)
        return status;
    uint32_t *offsets = memory, length;
    const uint8_t *values = chunk->dictionary.values.data;
    for (uint32_t i = 0, at = 0; i < chunk->dictionary.count; i++, at += 4 + length) {
        offsets[i] = at;
        memcpy(&length, values + at, 4);
    }
    const uint32_t *codes = chunk->codes.data;
    uint8_t *out = chunk->text.data;
    memcpy(&chunk->text_first, values + offsets[codes[0]], 4);
    for (uint32_t i = 0; i < chunk->page_values; i++) {
        const uint8_t *value = values + offsets[codes[i]];
        memcpy(&length, value, 4);
        memcpy(out, value, 4u + length);
        chunk->text_uneven |= length ^ chunk->text_first;
        out += 4u + length;
    }
    chunk->text_length = (size_t)chunk->page_plain;
    sl_parquet_give(store, offsets, bytes);
    return SL_OK;
}

static sl_status numbers_from_dictionary(sl_parquet_chunk *chunk, sl_parquet_store *store) {
    sl_status status =
        sl_parquet_grow(store, &chunk->numbers, (size_t)chunk->page_values * sizeof(int64_t));
    if (status)
        return status;
    const int64_t *values = chunk->dictionary.values.data;
    const uint32_t *codes = chunk->codes.data;
    int64_t *numbers = chunk->numbers.data;
    for (uint32_t i = 0; i < chunk->page_values; i++)
        numbers[i] = values[codes[i]];
    return SL_OK;
}

/** Compress the page's texts as a PLAIN page would be. @param[out] bytes A value. */
static sl_status packed_texts(const sl_parquet_chunk *chunk, const sl_parquet_settings *settings,
                              double *bytes) {
    sl_parquet_bench *bench = sl_parquet_bench_get();
    sl_parquet_habit habit = {0};
    sl_parquet_body body = {.bytes = chunk->text.data,
                            .length = chunk->text_length,
                            .stride = chunk->text_uneven ? 0 : 4u + (size_t)chunk->text_first};
    const uint8_t *packed;
    size_t length;
    sl_status status =
        bench ? sl_parquet_compress(bench, settings->codec, &habit, &body, &packed, &length) : SL_ENOMEM;
    if (!status)
        *bytes = (double)length / chunk->page_values;
    return status;
}

sl_status sl_parquet_judge(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                           const sl_parquet_settings *settings, sl_parquet_store *store, bool last) {
    double n = chunk->page_values, d = chunk->dictionary.count;
    double value = (double)chunk->page_plain / n * packed_share(leaf, settings->codec);
    double chunk_values = last ? n : (double)settings->rows_expected * n / chunk->page_rows;
    if (chunk_values < n)
        chunk_values = n;
    double all = population(n, d);
    double different = last ? d : -all * expm1(-chunk_values / all);
    double worth = WORTH_IT, delta = INFINITY;
    bool tried = leaf->kind == KIND_TEXT && settings->codec == CODEC_ZSTD && different > MANY;
    sl_status status = SL_OK;
    if (leaf->kind == KIND_NUMBER && settings->lake)
        status = delta_share(chunk, leaf, &delta);
    if (tried) {
        worth = WORTH_ITS_MISSES;
        status = texts_from_dictionary(chunk, store);
        if (!status)
            status = packed_texts(chunk, settings, &value);
    }
    if (status)
        return status;
    double plain = value;
    double dictionary = different * value / chunk_values + sl_parquet_width((uint64_t)different) / 8.0;
    if (!chunk->dictionary.spoilt && dictionary < worth * fmin(plain, delta)) {
        chunk->mode = MODE_DICTIONARY;
        chunk->text_length = 0;
        chunk->text_uneven = 0;
        sl_parquet_release(store, &chunk->text);
        return SL_OK;
    }
    if (!tried)
        status = leaf->kind == KIND_TEXT ? texts_from_dictionary(chunk, store)
                                         : numbers_from_dictionary(chunk, store);
    if (status)
        return status;
    chunk->mode = delta < plain ? MODE_DELTA : MODE_PLAIN;
    sl_parquet_dictionary_fini(&chunk->dictionary, store);
    sl_parquet_release(store, &chunk->codes);
    chunk->seen = 0;
    chunk->seen_bytes = 0;
    return SL_OK;
}
