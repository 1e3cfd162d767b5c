/* A Bloom filter in blocks of one cache line: 8 words, one bit in each, so a key costs one cache miss (Putze, Sanders, Singler,
 * "Cache-, Hash- and Space-Efficient Bloom Filters", WEA 2007). The block comes from the hash's highest bits, the bits within it
 * from its others. With 13 bits per key a word has 39 keys on average: (1 - e^(-39/64))^8 = 0.2 %, and 0.3 % for blocks
 * that differ by chance. */
#include "private.h"

#define HUGE_PAGE ((size_t)2 << 20) /* Where large pages are to be had, they spare half of a miss's cost. */

/* Are all bits of the mask in the block? */
#if defined(__SSE2__)
static inline bool passes(const uint64_t block[8], const uint64_t mask[8]) {
    const __m128i *b = (const __m128i *)(const void *)block, *m = (const __m128i *)(const void *)mask;
    __m128i first = _mm_or_si128(_mm_andnot_si128(b[0], m[0]), _mm_andnot_si128(b[1], m[1]));
    __m128i second = _mm_or_si128(_mm_andnot_si128(b[2], m[2]), _mm_andnot_si128(b[3], m[3]));
    __m128i missing = _mm_cmpeq_epi8(_mm_or_si128(first, second), _mm_setzero_si128());
    return _mm_movemask_epi8(missing) == 0xffff;
}
#else
static inline bool passes(const uint64_t block[8], const uint64_t mask[8]) {
    uint64_t missing = 0;
    for (unsigned k = 0; k < 8; k++)
        missing |= mask[k] & ~block[k];
    return missing == 0;
}
#endif

uint32_t filter_blocks(uint64_t claims, uint32_t bits_per_claim) {
    return (uint32_t)((claims * bits_per_claim + 511) / 512 + 1);
}

bool filter_init(filter *f, uint32_t blocks) {
    size_t alignment = filter_bytes(blocks) < HUGE_PAGE ? 64 : HUGE_PAGE;
    *f = (filter){.words = sl_aligned_alloc(alignment, filter_bytes(blocks)), .blocks = blocks};
    if (f->words == NULL)
        return false;
    memset(f->words, 0, filter_bytes(blocks));
    return true;
}

void filter_fini(filter *f) {
    sl_free(f->words);
    *f = (filter){0};
}

void filter_add_all(filter *f, const claim *claims, uint32_t count) {
    enum { AHEAD = 16 };
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            __builtin_prefetch(filter_block(f, claims[i + AHEAD].high), 1);
        filter_add(f, claims[i].high, claims[i].low);
    }
}

bool filter_has(const filter *f, uint64_t high, uint32_t low) {
    _Alignas(16) uint64_t mask[8];
    if (f->words == NULL)
        return true;
    filter_mask(mask, high, low);
    return passes(filter_block(f, high), mask);
}

uint32_t filter_sift(const filter *f, const filter *next, const question *questions, uint64_t (*masks)[8],
                     uint32_t count, uint32_t *hits) {
    uint32_t found = 0;
    for (uint32_t i = 0; next != NULL && i < count; i++)
        filter_touch(next, questions[i].high);
    for (uint32_t i = 0; i < count; i++) {
        hits[found] = i;
        found += passes(filter_block(f, questions[i].high), masks[i]);
    }
    return found;
}
