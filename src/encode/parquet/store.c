#include "store.h"

#define BLOCK_STEP_BYTES 256u

static sl_status take(sl_parquet_store *store, size_t bytes, bool zeroed, void **out) {
    *out = NULL;
    sl_status status = sl_budget_take(store->budget, bytes);
    if (status)
        return status;
    *out = zeroed ? sl_zeroed(bytes) : sl_malloc(bytes);
    if (!*out) {
        sl_budget_give(store->budget, bytes);
        return SL_ENOMEM;
    }
    store->held += bytes;
    return SL_OK;
}

sl_status sl_parquet_take(sl_parquet_store *store, size_t bytes, void **out) {
    return take(store, bytes, false, out);
}

sl_status sl_parquet_take_zeroed(sl_parquet_store *store, size_t bytes, void **out) {
    return take(store, bytes, true, out);
}

void sl_parquet_give(sl_parquet_store *store, void *data, size_t bytes) {
    if (!data)
        return;
    sl_free(data);
    sl_budget_give(store->budget, bytes);
    store->held -= bytes;
}

sl_status sl_parquet_grow(sl_parquet_store *store, sl_parquet_block *block, size_t needed) {
    if (needed <= block->bytes)
        return SL_OK;
    if (needed > SIZE_MAX / 2)
        return SL_ENOMEM;
    size_t bytes = block->bytes + block->bytes / 2;
    bytes = bytes < needed ? needed : bytes;
    bytes = (bytes + BLOCK_STEP_BYTES - 1) / BLOCK_STEP_BYTES * BLOCK_STEP_BYTES;
    sl_status status = sl_budget_take(store->budget, bytes - block->bytes);
    if (status)
        return status;
    void *data = sl_realloc(block->data, bytes);
    if (!data) {
        sl_budget_give(store->budget, bytes - block->bytes);
        return SL_ENOMEM;
    }
    store->held += bytes - block->bytes;
    *block = (sl_parquet_block){data, bytes};
    return SL_OK;
}

void sl_parquet_release(sl_parquet_store *store, sl_parquet_block *block) {
    sl_parquet_give(store, block->data, block->bytes);
    *block = (sl_parquet_block){0};
}
