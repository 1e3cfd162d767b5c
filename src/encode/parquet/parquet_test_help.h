/* What tests of Parquet share: random numbers, a small schema with its rows, files in memory. */
#pragma once

#include "sluice/parquet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t random_state = 42;

static inline uint64_t draw(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

typedef struct memory_file {
    sl_buffer bytes;
    size_t refuse_from;
} memory_file;

static uint8_t raw[SL_PADDING];

static inline sl_status into_memory(void *context, const void *bytes, size_t length) {
    memory_file *file = context;
    if (file->refuse_from && file->bytes.length + length > file->refuse_from)
        return SL_ENOSPC;
    sl_buffer_append(&file->bytes, bytes, length);
    return file->bytes.failed ? SL_ENOMEM : SL_OK;
}

static inline sl_schema *small_schema(bool later) {
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

static inline sl_batch *small_batch(const sl_schema *schema, uint32_t rows, uint32_t seed) {
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

static inline sl_status finish(sl_parquet_writer *w, sl_parquet_result *result) {
    static const sl_parquet_pair pair = {"key", "a value"};
    sl_status status;
    while ((status = sl_parquet_finish(w, &pair, 1, result)) == SL_EAGAIN)
        ;
    return status;
}

/** A schema, and the same with a field more; rows of both. */
typedef struct sample {
    sl_schema *old, *new;
    sl_batch *batch, *wide;
} sample;

static inline sample make_sample(void) {
    sample s = {.old = small_schema(false), .new = small_schema(true)};
    s.batch = small_batch(s.old, 1000, 0);
    s.wide = small_batch(s.new, 1000, 0);
    return s;
}

static inline void free_sample(const sample *s) {
    sl_batch_destroy(s->batch);
    sl_batch_destroy(s->wide);
    sl_schema_unref(s->old);
    sl_schema_unref(s->new);
}

/** Everything that allocates in a file's life. */
static inline sl_status whole_life(const sample *s, memory_file *file) {
    sl_parquet_options options = {.row_group_bytes = 20000, .page_bytes = 1024};
    sl_parquet_writer *w;
    sl_parquet_result result;
    sl_status status = sl_parquet_create(s->old, &options, into_memory, file, &w);
    if (status)
        return status;
    status = sl_parquet_write(w, s->batch, NULL, 100); // Few enough to remember which groups were there.
    if (!status)
        status = sl_parquet_extend(w, s->new);
    for (int i = 0; i < 4 && !status; i++)
        status = sl_parquet_write(w, s->wide, NULL, 1000);
    if (!status)
        status = finish(w, &result);
    sl_parquet_destroy(w);
    return status;
}
