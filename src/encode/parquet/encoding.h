/** @file encoding.h
 * The two integer encodings of the format.
 *
 * Hybrid   Runs of RLE/bit-packed: varint (count << 1) and the value in ceil(width/8) bytes, or varint
 *          (groups << 1 | 1) and groups of 8 values packed at `width` bits from the lowest bit on.
 * Delta    DELTA_BINARY_PACKED: block size 128, 4 miniblocks of 32; count; first value; per block the
 *          least delta, 4 widths, the packed differences to it. Arithmetic wraps in the column's width.
 * Room     The caller gives the room that the *_bound functions ask for (stores go beyond the end by up
 *          to 15 bytes, which is in the bound).
 * Source   parquet-format Encodings.md, "Run Length Encoding / Bit-Packing Hybrid", "Delta Encoding".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bits that hold 0..value. */
static inline unsigned sl_parquet_width(uint64_t value) {
    return value ? 64u - (unsigned)__builtin_clzll(value) : 0u;
}

size_t sl_parquet_hybrid_bound(size_t count, unsigned width);
/** @param width 1 to 32. @return bytes written. */
size_t sl_parquet_hybrid(uint8_t *out, const uint32_t *values, size_t count, unsigned width);

size_t sl_parquet_delta_bound(size_t count);
/** @param narrow The column is INT32. @param count 1 at least. @return bytes written. */
size_t sl_parquet_delta(uint8_t *out, const int64_t *values, size_t count, bool narrow);
/** Varint. @return the byte after it. */
uint8_t *sl_parquet_put_varint(uint8_t *out, uint64_t value);
