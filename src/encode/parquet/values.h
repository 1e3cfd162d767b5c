/** @file values.h
 * The values of one column chunk, one after another: a page at a time is in memory. Bytes are read with suspicion, as the
 * footer is.
 *
 * Source   apache/parquet-format: README ("Data Pages"), Encodings.md, parquet.thrift (PageHeader).
 */
#pragma once

#include "reader.h"

#include "sluice/value.h"

/** What a column's values are. */
typedef struct sl_parquet_kind {
    int64_t physical;   /**< sl_parquet_physical */
    int64_t length;     /**< Of FIXED values. */
    sl_type type;
    uint8_t scale;
    unsigned levels;    /**< Highest definition level: the value is there. */
} sl_parquet_kind;

typedef struct sl_parquet_values {
    sl_parquet_kind kind;
    int64_t codec;
    const uint8_t *at, *end; /**< Of the chunk's pages that are still to come. */
    uint8_t *dictionary;     /**< Plain. */
    sl_value *entries;
    size_t entry_count;
    uint8_t *page;           /**< Plain. */
    size_t page_bytes;
    uint64_t left;           /**< Values of the page, nulls included. */
    uint32_t *definitions;
    int64_t *numbers;        /**< Of a delta page. */
    uint32_t *indices;       /**< Into the dictionary. */
    size_t capacity;         /**< Of the three, in values. */
    size_t value, level;     /**< Next ones. */
    const uint8_t *plain, *plain_end;
    int64_t encoding;
    size_t present;          /**< Values of the page that are there. */
} sl_parquet_values;

/** Begin with a chunk. @return SL_OK, SL_ECORRUPT, SL_EUNSUPPORTED. Zero it first, once. */
SL_CHECKED sl_status sl_parquet_values_begin(sl_parquet_values *v, const sl_parquet_kind *kind, const uint8_t *file,
                                             size_t length, const sl_parquet_column *column, sl_error *error);
/** Text is borrowed until the next call. @return SL_OK, SL_ECORRUPT, SL_EUNSUPPORTED, SL_ENOMEM. */
SL_CHECKED sl_status sl_parquet_values_next(sl_parquet_values *v, sl_value *out, sl_error *error);
void sl_parquet_values_fini(sl_parquet_values *v);
