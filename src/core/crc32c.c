/* CRC-32C (Castagnoli), polynomial 0x1EDC6F41 reflected to 0x82F63B78, initial and final ~0.
 * The hardware instruction has a latency of 3 cycles and a throughput of 1, so three streams run side by
 * side over equal parts and are joined by multiplying with x^(8·part) mod P (Gopal et al., "Fast CRC
 * Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011). */
#include "sluice/hash.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82F63B78u
#define PART 1024u

static uint32_t byte_table[256];
static uint32_t shift_table[2][4][256]; /* [0]: by PART bytes, [1]: by 2 · PART bytes */
static uint32_t powers[64];             /* x^(8 · 2^k) mod P; the highest bit is x^0. */
static bool hardware;

static uint32_t portable_raw(uint32_t crc, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        crc = crc >> 8 ^ byte_table[(crc ^ bytes[i]) & 0xff];
    return crc;
}

/* Of two polynomials, modulo P. */
static uint32_t product(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        sum ^= a & bit ? b : 0;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return sum;
}

static void prepare(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
        byte_table[i] = c;
    }
    /* Shifting is linear: tabulate the effect of PART zero bytes on each byte of a CRC. */
    static const uint8_t zeros[PART];
    for (unsigned k = 0; k < 2; k++)
        for (unsigned b = 0; b < 4; b++)
            for (uint32_t i = 0; i < 256; i++) {
                uint32_t c = i << (8 * b);
                for (unsigned n = 0; n <= k; n++)
                    c = portable_raw(c, zeros, PART);
                shift_table[k][b][i] = c;
            }
    powers[0] = 1u << 23;
    for (unsigned k = 1; k < 64; k++)
        powers[k] = product(powers[k - 1], powers[k - 1]);
#if defined(__x86_64__)
    hardware = __builtin_cpu_supports("sse4.2");
#endif
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
#include <immintrin.h>

static uint32_t shift(uint32_t table[4][256], uint32_t crc) {
    return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^
           table[3][crc >> 24];
}

static uint64_t load(const uint8_t *at) {
    uint64_t v;
    memcpy(&v, at, 8);
    return v;
}

__attribute__((target("sse4.2"))) static uint32_t hardware_raw(uint32_t crc, const uint8_t *bytes,
                                                               size_t length) {
    while (length >= 3 * PART) {
        uint64_t a = crc, b = 0, c = 0;
        for (size_t i = 0; i < PART; i += 8) {
            a = _mm_crc32_u64(a, load(bytes + i));
            b = _mm_crc32_u64(b, load(bytes + PART + i));
            c = _mm_crc32_u64(c, load(bytes + (size_t)2 * PART + i));
        }
        crc = shift(shift_table[1], (uint32_t)a) ^ shift(shift_table[0], (uint32_t)b) ^ (uint32_t)c;
        bytes += (size_t)3 * PART;
        length -= (size_t)3 * PART;
    }
    uint64_t a = crc;
    for (; length >= 8; length -= 8, bytes += 8)
        a = _mm_crc32_u64(a, load(bytes));
    crc = (uint32_t)a;
    for (; length != 0; length--, bytes++)
        crc = _mm_crc32_u8(crc, *bytes);
    return crc;
}
#endif

uint32_t sl_crc32c_portable(uint32_t crc, const void *bytes, size_t length) {
    (void)pthread_once(&once, prepare);
    return ~portable_raw(~crc, bytes, length);
}

uint32_t sl_crc32c(uint32_t crc, const void *bytes, size_t length) {
    (void)pthread_once(&once, prepare);
#if defined(__x86_64__)
    if (hardware)
        return ~hardware_raw(~crc, bytes, length);
#endif
    return ~portable_raw(~crc, bytes, length);
}

uint32_t sl_crc32c_join(uint32_t first, uint32_t second, size_t length) {
    (void)pthread_once(&once, prepare);
    for (unsigned k = 0; length != 0; k++, length >>= 1)
        if (length & 1)
            first = product(first, powers[k]);
    return first ^ second;
}
