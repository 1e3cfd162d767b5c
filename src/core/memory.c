#include "sluice/memory.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 64 }; /* Of the cache. */

/* 0: off; n: the n-th allocation fails. Only tests set it, so relaxed order is enough. */
static _Atomic uint64_t fail_at;
static _Atomic uint64_t calls;

void sl_memory_fail_at(uint64_t n) {
    atomic_store_explicit(&calls, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n, memory_order_relaxed);
}

uint64_t sl_memory_calls(void) {
    return atomic_load_explicit(&calls, memory_order_relaxed);
}

static bool refused(void) {
    uint64_t n = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (n == 0)
        return false;
    return atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1 == n;
}

void *sl_malloc(size_t size) {
    return refused() ? NULL : malloc(size ? size : 1);
}

void *sl_calloc(size_t count, size_t size) {
    return refused() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *sl_realloc(void *block, size_t size) {
    return refused() ? NULL : realloc(block, size ? size : 1);
}

void *sl_aligned_alloc(size_t alignment, size_t size) {
    if (refused())
        return NULL;
    void *block = NULL;
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    return posix_memalign(&block, alignment, size ? size : 1) == 0 ? block : NULL;
}

void *sl_zeroed(size_t size) {
    void *block = sl_aligned_alloc(LINE_BYTES, size);
    if (block != NULL)
        memset(block, 0, size);
    return block;
}

char *sl_strndup(const char *text, size_t length) {
    char *copy = sl_malloc(length + 1);
    if (copy != NULL) {
        if (length != 0)
            memcpy(copy, text, length);
        copy[length] = 0;
    }
    return copy;
}

char *sl_strdup(const char *text) {
    return sl_strndup(text, strlen(text));
}

void sl_free(void *block) {
    free(block);
}

void sl_budget_init(sl_budget *budget, uint64_t limit_bytes) {
    budget->limit = limit_bytes;
    atomic_init(&budget->used, 0);
    atomic_init(&budget->peak, 0);
}

/* Relaxed throughout: the budget counts, it publishes nothing. */
static void raise_peak(sl_budget *budget, uint64_t used) {
    uint64_t peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);
    while (used > peak &&
           !atomic_compare_exchange_weak_explicit(&budget->peak, &peak, used,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

sl_status sl_budget_take(sl_budget *budget, uint64_t bytes) {
    if (budget == NULL)
        return SL_OK;
    uint64_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (bytes > budget->limit || used > budget->limit - bytes)
            return SL_EFULL;
    } while (!atomic_compare_exchange_weak_explicit(
        &budget->used, &used, used + bytes, memory_order_relaxed, memory_order_relaxed));
    raise_peak(budget, used + bytes);
    return SL_OK;
}

void sl_budget_force(sl_budget *budget, uint64_t bytes) {
    if (budget != NULL)
        raise_peak(budget, bytes + atomic_fetch_add_explicit(&budget->used, bytes,
                                                             memory_order_relaxed));
}

void sl_budget_give(sl_budget *budget, uint64_t bytes) {
    if (budget != NULL)
        atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
}

uint64_t sl_budget_used(const sl_budget *budget) {
    return atomic_load_explicit(&budget->used, memory_order_relaxed);
}

struct sl_arena_block {
    struct sl_arena_block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

void sl_arena_init(sl_arena *arena, size_t block_bytes) {
    *arena = (sl_arena){.block_bytes = block_bytes};
}

void *sl_arena_get(sl_arena *arena, size_t size) {
    size = (size + 15) & ~(size_t)15;
    struct sl_arena_block *block = arena->current;
    if (block == NULL || block->size - block->used < size) {
        size_t bytes = size > arena->block_bytes ? size : arena->block_bytes;
        block = sl_malloc(sizeof *block + bytes);
        if (block == NULL)
            return NULL;
        *block = (struct sl_arena_block){.size = bytes};
        if (arena->current != NULL)
            arena->current->next = block;
        else
            arena->first = block;
        arena->current = block;
        arena->total_bytes += bytes;
    }
    void *result = block->bytes + block->used;
    block->used += size;
    return result;
}

char *sl_arena_strndup(sl_arena *arena, const char *text, size_t length) {
    char *copy = sl_arena_get(arena, length + 1);
    if (copy != NULL) {
        if (length != 0)
            memcpy(copy, text, length);
        copy[length] = 0;
    }
    return copy;
}

static void free_from(sl_arena *arena, struct sl_arena_block *block) {
    while (block != NULL) {
        struct sl_arena_block *next = block->next;
        arena->total_bytes -= block->size;
        sl_free(block);
        block = next;
    }
}

void sl_arena_reset(sl_arena *arena) {
    if (arena->first == NULL)
        return;
    free_from(arena, arena->first->next);
    arena->first->next = NULL;
    arena->first->used = 0;
    arena->current = arena->first;
}

void sl_arena_fini(sl_arena *arena) {
    free_from(arena, arena->first);
    arena->first = arena->current = NULL;
}
