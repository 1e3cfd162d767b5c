/** @file footer.h
 * FileMetaData: the schema, the row groups, the pairs. */
#pragma once

#include "chunk.h"

/** Depth-first columns of a schema. */
typedef struct sl_parquet_leaves {
    sl_parquet_leaf *items;
    uint32_t *chains; /**< What the leaves' chains point into. */
    uint32_t count;
    size_t bytes, chains_bytes;
} sl_parquet_leaves;

SL_CHECKED sl_status sl_parquet_leaves_init(sl_parquet_leaves *leaves, const sl_schema *schema,
                                            bool lake, sl_parquet_store *store);
void sl_parquet_leaves_fini(sl_parquet_leaves *leaves, sl_parquet_store *store);

/** Append struct ColumnChunk for a chunk whose pages begin at `offset`, as a list's element. */
void sl_parquet_put_column(sl_thrift_writer *thrift, const sl_schema *schema,
                           const sl_parquet_leaf *leaf, const sl_parquet_chunk *chunk, int codec,
                           uint64_t offset);
/** The whole footer: FileMetaData, its length, the magic. `groups` are the row groups' structs. */
void sl_parquet_put_footer(sl_buffer *out, const sl_schema *schema, const sl_parquet_leaves *leaves,
                           bool lake, const sl_buffer *groups, uint32_t group_count, uint64_t rows,
                           const sl_parquet_pair *metadata, size_t metadata_count);
