/** @file hash.h
 * CRC-32C for what is stored, XXH3 for tables and content.
 *
 * Source   RFC 3720 appendix B.4 (CRC-32C, Castagnoli); XXH3 by libxxhash.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Continue `crc` (0 to begin) over `bytes`. Hardware where there is SSE 4.2, same answers elsewhere. */
uint32_t sl_crc32c(uint32_t crc, const void *bytes, size_t length);
/** The CRC of bytes whose CRC is `first` and of `length` bytes behind them, whose own is `second`. */
uint32_t sl_crc32c_join(uint32_t first, uint32_t second, size_t length);
/** The portable form, for tests that compare. */
uint32_t sl_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

typedef struct sl_hash128 {
    uint64_t low, high;
} sl_hash128;

uint64_t sl_hash64(const void *bytes, size_t length, uint64_t seed);
sl_hash128 sl_hash128_of(const void *bytes, size_t length);

/** Content hash built piece by piece (XXH3-128). */
typedef struct sl_hasher sl_hasher;
sl_hasher *sl_hasher_create(void); /**< NULL when out of memory. */
void sl_hasher_reset(sl_hasher *hasher);
void sl_hasher_add(sl_hasher *hasher, const void *bytes, size_t length);
sl_hash128 sl_hasher_sum(const sl_hasher *hasher);
void sl_hasher_destroy(sl_hasher *hasher);
/** 32 lower-case hex digits and a 0. */
void sl_hash128_text(sl_hash128 hash, char out[33]);
bool sl_hash128_parse(const char *text, sl_hash128 *out);
