// The kernel for x86-64 with AVX2: 32 bytes at a time.

#include "decoder.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#define KERNEL sl_kernel_avx2
#define STRIDE 32u

READS_BEYOND TARGET static inline __m256i load32(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

TARGET static inline bool entry_matches(const uint8_t *p, const plan_entry *e) {
    uint32_t same =
        (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(load32(p), load32(e->text)));
    return (~same & e->mask) == 0;
}

TARGET static inline unsigned find_stop(const uint8_t *p, const uint8_t *end,
                                        uint32_t *high) {
    (void)end;
    __m256i v = load32(p), control = _mm256_set1_epi8(0x1F);
    __m256i stops = _mm256_or_si256(
        _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')),
        _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')),
                        _mm256_cmpeq_epi8(_mm256_min_epu8(v, control), v)));
    uint32_t stop = (uint32_t)_mm256_movemask_epi8(stops);
    uint32_t top = (uint32_t)_mm256_movemask_epi8(v);
    if (LIKELY(stop != 0)) {
        *high |= top & ((stop & (0 - stop)) - 1); // Bytes before the first stop.
        return (unsigned)__builtin_ctz(stop);
    }
    *high |= top;
    return STRIDE;
}

#include "kernel.h"
#endif
