/** @file store.h
 * A writer's memory: blocks that grow, counted in its budget.
 *
 * Threads  The writer's owner.
 */
#pragma once

#include "sluice/memory.h"

typedef struct sl_parquet_store {
    sl_budget *budget; /**< May be NULL. */
    size_t held;       /**< Bytes. */
} sl_parquet_store;

/** A block whose elements are `bytes / sizeof element` long. */
typedef struct sl_parquet_block {
    void *data;
    size_t bytes; /**< Capacity. */
} sl_parquet_block;

/** @return SL_OK, SL_ENOMEM, SL_EFULL. */
SL_CHECKED sl_status sl_parquet_take(sl_parquet_store *store, size_t bytes, void **out);
/** As sl_parquet_take(), all zero, and aligned to lines of the cache. */
SL_CHECKED sl_status sl_parquet_take_zeroed(sl_parquet_store *store, size_t bytes, void **out);
void sl_parquet_give(sl_parquet_store *store, void *data, size_t bytes); /**< NULL is allowed. */
/** Make the block hold `needed` bytes at least; it grows by half. What it held stays. */
SL_CHECKED sl_status sl_parquet_grow(sl_parquet_store *store, sl_parquet_block *block,
                                     size_t needed);
void sl_parquet_release(sl_parquet_store *store, sl_parquet_block *block);
