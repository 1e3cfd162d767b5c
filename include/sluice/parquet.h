/** @file parquet.h
 * Parquet files from batches, and enough of a reader to inspect and audit them, and to have their rows again.
 *
 * Layout   "PAR1", row groups (column chunks in depth-first field order: dictionary page, then v1 data
 *          pages), thrift compact footer, its length, "PAR1". Every page has its CRC-32 (gzip's). Statistics
 *          (min_value, max_value, null_count; strings truncated to 64 bytes with is_min/max_value_exact)
 *          per column chunk.
 * Types    BOOL→BOOLEAN, INT64→INT64, DOUBLE→DOUBLE, DECIMAL(p,s)→INT32 (p≤9) or INT64 with DECIMAL
 *          (`compatible`: FIXED_LEN_BYTE_ARRAY of the fewest bytes), DATE→INT32 DATE, TIMESTAMP→INT64
 *          TIMESTAMP(MICROS, UTC), STRING→BYTE_ARRAY STRING, JSON→BYTE_ARRAY STRING, BYTES→BYTE_ARRAY.
 *          GROUP→group. OPTIONAL where the field is nullable. A group without any child is left out.
 * Encoding RLE_DICTIONARY with fallback to PLAIN inside the chunk; `lake` also DELTA_BINARY_PACKED for
 *          INT64, TIMESTAMP, DATE, DECIMAL where it is smaller. Pages near page_bytes of
 *          plain data are encoded and compressed as they fill, so only the
 *          current page of each column is held plain and one call's work stays near a millisecond.
 * Memory   From `budget`; grows with use: a writer with few rows is small (thousands are open at once).
 * Threads  Its owner.
 * Source   apache/parquet-format: README, Encodings.md, Compression.md, LogicalTypes.md, parquet.thrift.
 */
#pragma once

#include "sluice/batch.h"
#include "sluice/hash.h"
#include "sluice/value.h"

typedef enum sl_parquet_profile { SL_PARQUET_LAKE, SL_PARQUET_COMPATIBLE } sl_parquet_profile;
typedef enum sl_parquet_codec {
    SL_PARQUET_DEFAULT, /**< lake: zstd -1; compatible: snappy. */
    SL_PARQUET_NONE,
    SL_PARQUET_SNAPPY,
    SL_PARQUET_ZSTD
} sl_parquet_codec;

/**
 * What the files of one table taught about its columns (which encoding pays, which pages compress), so
 * that the next file need not find out. One owner at a time; optional.
 */
typedef struct sl_parquet_hints sl_parquet_hints;
sl_parquet_hints *sl_parquet_hints_create(void); /**< NULL when out of memory. */
void sl_parquet_hints_destroy(sl_parquet_hints *hints); /**< NULL is allowed; not while a writer uses it. */

typedef struct sl_parquet_options {
    sl_parquet_profile profile;
    sl_parquet_codec codec;
    uint64_t row_group_bytes; /**< Compressed bytes of a row group; 0: 64 MiB. */
    uint32_t page_bytes;      /**< Plain bytes of a page; 0: 256 KiB. */
    sl_budget *budget;        /**< May be NULL. */
    sl_parquet_hints *hints;  /**< May be NULL; must outlive the writer. */
} sl_parquet_options;

/** Takes the file's bytes in order; a refusal is returned to the caller and sticks. */
typedef sl_status sl_parquet_sink_fn(void *context, const void *bytes, size_t length);

typedef struct sl_parquet_writer sl_parquet_writer;

/** @param schema Referenced until destroy. */
SL_CHECKED sl_status sl_parquet_create(const sl_schema *schema, const sl_parquet_options *options,
                                       sl_parquet_sink_fn *sink, void *context,
                                       sl_parquet_writer **out);
void sl_parquet_destroy(sl_parquet_writer *writer); /**< NULL is allowed; an unfinished file stays unfinished. */
/**
 * Append rows[0..count) of the batch (NULL: rows 0..count). The batch's schema is the writer's or an
 * older version of it (missing fields are null).
 * @return SL_OK; SL_ENOMEM, SL_EFULL (budget), or the sink's refusal: the writer is then unusable.
 */
SL_CHECKED sl_status sl_parquet_write(sl_parquet_writer *writer, const sl_batch *batch,
                                      const uint32_t *rows, uint32_t count);
/** Change to a later version that only appends nullable fields. @return SL_EFULL when a row group is out already: finish, begin another file. */
SL_CHECKED sl_status sl_parquet_extend(sl_parquet_writer *writer, const sl_schema *schema);
uint64_t sl_parquet_rows(const sl_parquet_writer *writer);
/** Bytes of the file if it were finished now, about. */
uint64_t sl_parquet_bytes(const sl_parquet_writer *writer);
/** Memory held, bytes. */
size_t sl_parquet_memory(const sl_parquet_writer *writer);
const sl_schema *sl_parquet_schema(const sl_parquet_writer *writer);

typedef struct sl_parquet_pair {
    const char *key, *value;
} sl_parquet_pair;

typedef struct sl_parquet_result {
    uint64_t rows, bytes;
    sl_hash128 hash; /**< XXH3-128 of the whole file. */
} sl_parquet_result;

/**
 * Finish the file in slices of about a millisecond. Also valid with no rows (an empty file with its schema).
 * @return SL_EAGAIN: call again. SL_OK: all bytes are out, *result is set.
 */
SL_CHECKED sl_status sl_parquet_finish(sl_parquet_writer *writer, const sl_parquet_pair *metadata,
                                       size_t count, sl_parquet_result *result);

/** Reads a file in memory (or mapped) that sl_parquet wrote or another writer: footer only. Prints for people. */
SL_CHECKED sl_status sl_parquet_inspect(const uint8_t *bytes, size_t length, bool json,
                                        sl_buffer *out, sl_error *error);
typedef struct sl_parquet_footer {
    uint64_t rows;
    sl_parquet_pair *metadata; /**< Owned. */
    size_t metadata_count;
} sl_parquet_footer;
/** Row count and key-value metadata. `tail` is the file's last bytes; SL_EFULL with *needed when it must be longer. */
SL_CHECKED sl_status sl_parquet_read_footer(const uint8_t *tail, size_t length, size_t *needed,
                                            sl_parquet_footer *out, sl_error *error);
void sl_parquet_footer_fini(sl_parquet_footer *footer);

/** Rows of a file in memory (or mapped), in order: of those that sluice writes, and of others as far as they have no repeated
 * columns, data pages of version 1, and encodings and codecs that sluice writes. What a damaged file says is not believed. */
typedef struct sl_parquet_scan sl_parquet_scan;
/** @param bytes Borrowed until close. @return SL_OK, SL_ECORRUPT, SL_EUNSUPPORTED, SL_ELIMIT, SL_ENOMEM. */
SL_CHECKED sl_status sl_parquet_scan_open(const uint8_t *bytes, size_t length, sl_parquet_scan **out, sl_error *error);
void sl_parquet_scan_close(sl_parquet_scan *scan); /**< NULL is allowed. */
uint32_t sl_parquet_scan_columns(const sl_parquet_scan *scan);
const char *sl_parquet_scan_name(const sl_parquet_scan *scan, uint32_t column); /**< "place.city" */
/** Before the first row: others than these are passed over, and are null. */
void sl_parquet_scan_only(sl_parquet_scan *scan, const char *const *names, uint32_t count);
/**
 * @param[out] values One per column; text is borrowed until the next call. A group that isn't there is its columns' nulls.
 * @return SL_OK; SL_ENOTFOUND: that was all; SL_ECORRUPT, SL_EUNSUPPORTED, SL_ENOMEM: it ends here.
 */
SL_CHECKED sl_status sl_parquet_scan_next(sl_parquet_scan *scan, sl_value *values, sl_error *error);
