// The kernel for every x86-64: 16 bytes at a time.

#include "decoder.h"

#if defined(__x86_64__)
#include <emmintrin.h>

#define TARGET
#define KERNEL sl_kernel_sse2
#define STRIDE 16u

READS_BEYOND static inline __m128i load16(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}

static inline bool entry_matches(const uint8_t *p, const plan_entry *e) {
    uint32_t low =
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(load16(p), load16(e->text)));
    uint32_t high =
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(load16(p + 16), load16(e->text + 16)));
    return (~(low | high << 16) & e->mask) == 0;
}

static inline unsigned find_stop(const uint8_t *p, const uint8_t *end, uint32_t *high) {
    (void)end;
    __m128i v = load16(p), control = _mm_set1_epi8(0x1F);
    __m128i stops =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                     _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
                                  _mm_cmpeq_epi8(_mm_min_epu8(v, control), v)));
    uint32_t stop = (uint32_t)_mm_movemask_epi8(stops);
    uint32_t top = (uint32_t)_mm_movemask_epi8(v);
    if (LIKELY(stop != 0)) {
        *high |= top & ((stop & (0 - stop)) - 1); // Bytes before the first stop.
        return (unsigned)__builtin_ctz(stop);
    }
    *high |= top;
    return STRIDE;
}

#include "kernel.h"
#endif
