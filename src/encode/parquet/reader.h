/** @file reader.h
 * The footer of any Parquet file, read with suspicion: offsets and counts are believed only as far as the
 * bytes go, nesting is bounded, nothing is allocated.
 */
#pragma once

#include "thrift.h"

/** Where the parts of FileMetaData lie. */
typedef struct sl_parquet_layout {
    int64_t version, rows;
    sl_thrift_text created_by;
    sl_thrift_reader schema, groups, pairs; /**< At the first element. */
    uint32_t schema_count, group_count, pair_count;
} sl_parquet_layout;

typedef struct sl_parquet_element {
    sl_thrift_text name;
    int64_t type, type_length, repetition, children, converted, scale, precision;
    bool has_type, has_children, has_converted;
    int16_t logical; /**< Member of LogicalType, 0: none. */
} sl_parquet_element;

typedef struct sl_parquet_bounds {
    sl_thrift_text low, high;
    int64_t nulls;
    bool has_low, has_high, has_nulls, low_cut, high_cut;
} sl_parquet_bounds;

typedef struct sl_parquet_column {
    int64_t type, codec, values, plain_bytes, packed_bytes, data_offset, dictionary_offset;
    bool has_dictionary;
    uint32_t encodings; /**< Bit n: encoding n. */
    sl_thrift_reader path;
    uint32_t path_count;
    sl_parquet_bounds bounds;
} sl_parquet_column;

typedef struct sl_parquet_group {
    int64_t rows, bytes;
    sl_thrift_reader columns;
    uint32_t column_count;
} sl_parquet_group;

/**
 * Find the footer in a file's last bytes.
 * @return SL_OK; SL_EFULL with *needed; SL_ECORRUPT; SL_EUNSUPPORTED (encrypted).
 */
SL_CHECKED sl_status sl_parquet_find_footer(const uint8_t *tail, size_t length, size_t *needed,
                                            sl_thrift_reader *footer, sl_error *error);
/** Pass over FileMetaData. @return SL_OK, SL_ECORRUPT. */
SL_CHECKED sl_status sl_parquet_read_layout(sl_thrift_reader footer, sl_parquet_layout *out,
                                            sl_error *error);
/* One element each; reader->failed after a mistake. */
void sl_parquet_read_element(sl_thrift_reader *reader, sl_parquet_element *out);
void sl_parquet_read_group(sl_thrift_reader *reader, sl_parquet_group *out);
void sl_parquet_read_column(sl_thrift_reader *reader, sl_parquet_column *out);
void sl_parquet_read_pair(sl_thrift_reader *reader, sl_thrift_text *key, sl_thrift_text *value);
