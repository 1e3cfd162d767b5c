#include "sluice/ring.h"

sl_status sl_ring_init(sl_ring *ring, size_t capacity) {
    if (capacity == 0 || (capacity & (capacity - 1)) != 0)
        return SL_EINVAL;
    ring->slots = sl_calloc(capacity, sizeof *ring->slots);
    if (ring->slots == NULL)
        return SL_ENOMEM;
    ring->mask = capacity - 1;
    ring->head_seen = ring->tail_seen = 0;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return SL_OK;
}

void sl_ring_fini(sl_ring *ring) {
    sl_free(ring->slots);
    ring->slots = NULL;
}

bool sl_ring_push(sl_ring *ring, void *item) {
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */
    if (tail - ring->head_seen > ring->mask) {
        /* Acquire: pairs with the consumer's release of head, so its read of the slot is over. */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen > ring->mask)
            return false;
    }
    ring->slots[tail & ring->mask] = item;
    /* Release: pairs with the consumer's acquire of tail; publishes the slot and what it points to. */
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

void *sl_ring_pop(sl_ring *ring) {
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* our own */
    if (head == ring->tail_seen) {
        /* Acquire: pairs with the producer's release of tail. */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen)
            return NULL;
    }
    void *item = ring->slots[head & ring->mask];
    /* Release: pairs with the producer's acquire of head; the slot may be written again. */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return item;
}

size_t sl_ring_count(const sl_ring *ring) {
    /* Head first: read the other way round, a pop in between would make the difference negative. */
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    return atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
}
