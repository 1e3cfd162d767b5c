#include "checksum.h"

#include <zlib.h>

static uint32_t zlib_crc(uint32_t crc, const uint8_t *bytes, size_t length) {
    return (uint32_t)crc32_z(crc, bytes, length);
}

uint32_t sl_parquet_crc32_portable(const void *bytes, size_t length) {
    return zlib_crc(0, bytes, length);
}

#if defined(__x86_64__)
#include <immintrin.h>

#define CARRYLESS __attribute__((target("pclmul,sse4.1")))

CARRYLESS static inline __m128i fold(__m128i value, __m128i constants, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(value, constants, 0x00);
    __m128i high = _mm_clmulepi64_si128(value, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

CARRYLESS static inline __m128i load(const uint8_t *bytes) {
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/**
 * Four lanes fold 64 bytes a step (x^(4*128±32) mod P), then into one (x^(128±32) mod P). The 16 bytes
 * that remain are congruent to all that was folded, so the table form finishes them.
 */
CARRYLESS static uint32_t crc_carryless(const uint8_t *bytes, size_t length) {
    const __m128i by_four = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_one = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i a = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128(-1)); // CRC-32 begins with all ones.
    __m128i b = load(bytes + 16), c = load(bytes + 32), d = load(bytes + 48);
    bytes += 64;
    length -= 64;
    for (; length >= 64; bytes += 64, length -= 64) {
        a = fold(a, by_four, load(bytes));
        b = fold(b, by_four, load(bytes + 16));
        c = fold(c, by_four, load(bytes + 32));
        d = fold(d, by_four, load(bytes + 48));
    }
    a = fold(fold(fold(a, by_one, b), by_one, c), by_one, d);
    for (; length >= 16; bytes += 16, length -= 16)
        a = fold(a, by_one, load(bytes));
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)(void *)rest, a);
    // zlib inverts the register on the way in and out; ~0 in means a register of 0.
    return zlib_crc(zlib_crc(UINT32_MAX, rest, 16), bytes, length);
}

uint32_t sl_parquet_crc32(const void *bytes, size_t length) {
    if (length >= 64 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
        return crc_carryless(bytes, length);
    return sl_parquet_crc32_portable(bytes, length);
}
#else
uint32_t sl_parquet_crc32(const void *bytes, size_t length) {
    return sl_parquet_crc32_portable(bytes, length);
}
#endif
