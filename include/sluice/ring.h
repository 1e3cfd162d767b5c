/** @file ring.h
 * Bounded lock-free queue of pointers, one producer thread and one consumer thread.
 *
 * Limits   Capacity is a power of two, fixed. Full means: stop reading the source.
 * Threads  One thread pushes, one pops; sl_ring_count() from either.
 * Source   Lamport 1983; cached indices as in Torquati, "Single-Producer/Single-Consumer
 *          Queues on Shared Cache Multi-Core Systems", 2010.
 */
#pragma once

#include "sluice/memory.h"

typedef struct sl_ring {
    _Alignas(64) _Atomic size_t head; /**< Next to pop; written by the consumer. */
    size_t tail_seen;                 /**< The consumer's copy of tail. */
    _Alignas(64) _Atomic size_t tail; /**< Next to push; written by the producer. */
    size_t head_seen;                 /**< The producer's copy of head. */
    _Alignas(64) size_t mask;
    void **slots;
} sl_ring;

/** @param capacity A power of two. @return SL_OK, SL_EINVAL, SL_ENOMEM. */
SL_CHECKED sl_status sl_ring_init(sl_ring *ring, size_t capacity);
void sl_ring_fini(sl_ring *ring);
/** @return false when full. */
SL_CHECKED bool sl_ring_push(sl_ring *ring, void *item);
/** @return NULL when empty. */
void *sl_ring_pop(sl_ring *ring);
size_t sl_ring_count(const sl_ring *ring);
