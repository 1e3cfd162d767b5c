// The ring counts units of 16 bytes from the cache's beginning, in 48 bits, which never
// wrap around in practice; a place in the index is such a number and 16 bits of the hash.
// What lies more than one ring behind the head has been written over. An entry never
// wraps: where the ring's rest is too short for it, the rest is passed over.

#include "sluice/text_cache.h"

#include <stdbool.h>
#include <string.h>

#define UNIT_BYTES 16u
#define WAYS 4u
#define LEAST_BYTES ((size_t)64 << 10)
#define AVERAGE_BYTES 192u /**< Of an entry, by which the index is sized. */
#define PLACE_BITS 48u
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

struct sl_text_cache {
    uint64_t *index;  /**< [buckets][WAYS]: tag << 48 | unit; 0: nothing. */
    uint64_t buckets; /**< A power of two. */
    uint8_t *ring;
    uint64_t units; /**< Of the ring. */
    uint64_t
        head; /**< Next unit to write; begins at `units`, so that 0 is always gone. */
    size_t memory;
};

sl_text_cache *sl_text_cache_create(size_t bytes) {
    if (bytes < LEAST_BYTES)
        bytes = LEAST_BYTES;
    uint64_t buckets = 1;
    while (buckets * 2 * WAYS * AVERAGE_BYTES <= bytes)
        buckets *= 2;
    size_t head = (sizeof(sl_text_cache) + 63) / 64 * 64;
    size_t index_bytes = (size_t)buckets * WAYS * sizeof(uint64_t);
    uint8_t *block = sl_aligned_alloc(64, bytes);
    if (block == NULL)
        return NULL;
    sl_text_cache *cache = (sl_text_cache *)(void *)block;
    *cache = (sl_text_cache){
        .index = (uint64_t *)(void *)(block + head),
        .buckets = buckets,
        .ring = block + head + index_bytes,
        .units = (bytes - head - index_bytes) / UNIT_BYTES,
        .memory = bytes,
    };
    sl_text_cache_clear(cache);
    return cache;
}

void sl_text_cache_destroy(sl_text_cache *cache) { sl_free(cache); }

void sl_text_cache_clear(sl_text_cache *cache) {
    memset(cache->index, 0, (size_t)cache->buckets * WAYS * sizeof *cache->index);
    cache->head = cache->units;
}

size_t sl_text_cache_memory(const sl_text_cache *cache) { return cache->memory; }

static uint64_t *bucket(sl_text_cache *cache, uint64_t hash) {
    return cache->index + (hash & (cache->buckets - 1)) * WAYS;
}

static bool alive(const sl_text_cache *cache, uint64_t place) {
    return cache->head - (place & PLACE_MASK) <= cache->units &&
           (place & PLACE_MASK) != 0;
}

static sl_text_answer *at(const sl_text_cache *cache, uint64_t place) {
    return (sl_text_answer *)(void *)(cache->ring +
                                      (place & PLACE_MASK) % cache->units * UNIT_BYTES);
}

sl_text_answer *sl_text_cache_get(sl_text_cache *cache, uint64_t hash, const void *text,
                                  uint32_t text_length) {
    const uint64_t *places = bucket(cache, hash);
    for (unsigned i = 0; i < WAYS; i++) {
        if ((places[i] ^ hash) >> PLACE_BITS != 0 || !alive(cache, places[i]))
            continue;
        sl_text_answer *answer = at(cache, places[i]);
        if (answer->text_length == text_length &&
            memcmp(answer->bytes + answer->length, text, text_length) == 0)
            return answer;
    }
    return NULL;
}

// A dead place, else the oldest.
static uint64_t *victim(sl_text_cache *cache, uint64_t hash) {
    uint64_t *places = bucket(cache, hash), *oldest = places;
    for (unsigned i = 0; i < WAYS; i++) {
        if (!alive(cache, places[i]))
            return &places[i];
        if ((places[i] & PLACE_MASK) < (*oldest & PLACE_MASK))
            oldest = &places[i];
    }
    return oldest;
}

sl_text_answer *sl_text_cache_put(sl_text_cache *cache, uint64_t hash, const void *text,
                                  uint32_t text_length, const void *bytes,
                                  uint32_t length) {
    uint64_t size =
        (sizeof(sl_text_answer) + (uint64_t)length + text_length + UNIT_BYTES - 1) /
        UNIT_BYTES;
    if (size > cache->units / 8)
        return NULL;
    uint64_t left = cache->units - cache->head % cache->units;
    if (left < size)
        cache->head += left;
    uint64_t place = cache->head;
    cache->head += size;
    // Chosen after the head has moved: what was overwritten just now is dead.
    *victim(cache, hash) = (hash >> PLACE_BITS << PLACE_BITS) | place;
    sl_text_answer *answer = at(cache, place);
    *answer = (sl_text_answer){.length = length, .text_length = text_length};
    if (length != 0)
        memcpy(answer->bytes, bytes, length);
    if (text_length != 0)
        memcpy(answer->bytes + length, text, text_length);
    return answer;
}
