/** @file format.h
 * The numbers of the Parquet format that we write and print.
 *
 * Source   apache/parquet-format, parquet.thrift.
 */
#pragma once

#include <stdint.h>

#define SL_PARQUET_MAGIC "PAR1"

typedef enum sl_parquet_physical {
    PHYSICAL_BOOLEAN = 0,
    PHYSICAL_INT32 = 1,
    PHYSICAL_INT64 = 2,
    PHYSICAL_DOUBLE = 5,
    PHYSICAL_BYTE_ARRAY = 6,
    PHYSICAL_FIXED = 7
} sl_parquet_physical;

enum {
    ENCODING_PLAIN = 0,
    ENCODING_RLE = 3,
    ENCODING_DELTA_BINARY_PACKED = 5,
    ENCODING_RLE_DICTIONARY = 8
};

enum { CODEC_UNCOMPRESSED = 0, CODEC_SNAPPY = 1, CODEC_ZSTD = 6 };

enum { PAGE_DATA = 0, PAGE_DICTIONARY = 2 };

enum { REPETITION_REQUIRED = 0, REPETITION_OPTIONAL = 1 };

enum {
    CONVERTED_UTF8 = 0,
    CONVERTED_DECIMAL = 5,
    CONVERTED_DATE = 6,
    CONVERTED_TIMESTAMP_MICROS = 10,
    CONVERTED_INT_64 = 18
};

/** Members of the union LogicalType. */
enum { LOGICAL_STRING = 1, LOGICAL_DECIMAL = 5, LOGICAL_DATE = 6, LOGICAL_TIMESTAMP = 8 };
