/** @file memory.h
 * The allocator (with a switch that makes the n-th call fail, for tests), the memory budget
 * and arenas.
 *
 * Threads  Allocation: any. A budget: any (atomics). An arena: its owner.
 */
#pragma once

#include "sluice/status.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/** @return NULL when out of memory. `size` 0 gives a unique pointer. */
void *sl_malloc(size_t size) __attribute__((malloc));
void *sl_calloc(size_t count, size_t size) __attribute__((malloc));
/** As realloc(); the old block stays when NULL is returned. */
void *sl_realloc(void *block, size_t size);
/** As sl_calloc(), for tables that are read at random before they are written: a large block of calloc's is mapped at each page's first read
 * and copied at its first write, which takes two faults and interrupts the other processors. This one has its pages at once,
 * and begins at a line of the cache. */
void *sl_zeroed(size_t size);
/** Aligned block; `alignment` is a power of two. Freed by sl_free(). */
void *sl_aligned_alloc(size_t alignment, size_t size);
char *sl_strdup(const char *text);
char *sl_strndup(const char *text, size_t length);
void sl_free(void *block); /**< NULL is allowed. */

/** Bring the line of a readable byte into the cache, in a loop of its own over all that is looked at next: the misses overlap. A load that
 * nobody waits for, as processors leave out a prefetch whose page's address they don't know, which is most of them in tables of
 * megabytes. */
static inline void sl_touch(const void *at) { (void)*(const volatile uint8_t *)at; }

/** Tests: let the `n`-th allocation from now on fail (1 = the next), once; 0 switches it off. */
void sl_memory_fail_at(uint64_t n);
/** Tests: allocations since sl_memory_fail_at(). */
uint64_t sl_memory_calls(void);

/** One number of bytes that many owners share (I8). */
typedef struct sl_budget {
    uint64_t limit; /**< Bytes; set once. */
    _Atomic uint64_t used;
    _Atomic uint64_t peak;
} sl_budget;

void sl_budget_init(sl_budget *budget, uint64_t limit_bytes);
/** @return SL_OK, or SL_EFULL and nothing reserved. `budget` may be NULL: always SL_OK. */
SL_CHECKED sl_status sl_budget_take(sl_budget *budget, uint64_t bytes);
/** As take, without a limit: for what is there already. */
void sl_budget_force(sl_budget *budget, uint64_t bytes);
void sl_budget_give(sl_budget *budget, uint64_t bytes);
uint64_t sl_budget_used(const sl_budget *budget);

/** Memory of one lifetime: reset whole, its blocks are kept. */
typedef struct sl_arena {
    struct sl_arena_block *first, *current;
    size_t block_bytes; /**< Size of a new block. */
    size_t total_bytes; /**< Held in blocks. */
} sl_arena;

void sl_arena_init(sl_arena *arena, size_t block_bytes);
/** @return 16-byte aligned, uninitialised; NULL when out of memory. */
void *sl_arena_get(sl_arena *arena, size_t size);
char *sl_arena_strndup(sl_arena *arena, const char *text, size_t length);
/** Forget all; keep the first block, free the rest. */
void sl_arena_reset(sl_arena *arena);
void sl_arena_fini(sl_arena *arena);
