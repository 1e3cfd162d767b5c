/** @file statistics.h
 * Least and greatest value of a column chunk.
 *
 * Text     Bytewise, unsigned; only the first 64 bytes are kept. A cut minimum is a lower bound as it
 *          stands; a cut maximum is raised at its last character, or left out where that can't be.
 * Doubles  NaN is left out; a zero minimum is written as -0.0 and a zero maximum as +0.0 (parquet.thrift,
 *          ColumnOrder).
 * Source   parquet.thrift, struct Statistics.
 */
#pragma once

#include "format.h"
#include "thrift.h"

#define SL_PARQUET_BOUND_BYTES 64u

typedef struct sl_parquet_bound {
    uint64_t key; /**< The first 8 bytes, big-endian. */
    uint8_t length;
    bool exact; /**< Nothing was cut. */
    uint8_t bytes[SL_PARQUET_BOUND_BYTES];
} sl_parquet_bound;

typedef struct sl_parquet_statistics {
    bool any;
    union {
        struct {
            int64_t low, high;
        } number;
        struct {
            double low, high;
        } real;
        struct {
            sl_parquet_bound low, high;
        } text;
    } as;
} sl_parquet_statistics;

void sl_parquet_see_number(sl_parquet_statistics *statistics, const int64_t *numbers, size_t count);
/** @param numbers The doubles' bits. */
void sl_parquet_see_real(sl_parquet_statistics *statistics, const int64_t *numbers, size_t count);
void sl_parquet_see_text_slowly(sl_parquet_statistics *statistics, const uint8_t *bytes,
                                uint32_t length, uint64_t key);

static inline uint64_t sl_parquet_text_key(const uint8_t *bytes, uint32_t length) {
    uint64_t key = 0;
    if (length >= 8) {
        memcpy(&key, bytes, 8);
        return __builtin_bswap64(key);
    }
    for (uint32_t i = 0; i < length; i++)
        key |= (uint64_t)bytes[i] << (56 - 8 * i);
    return key;
}

static inline void sl_parquet_see_text(sl_parquet_statistics *statistics, const uint8_t *bytes,
                                       uint32_t length) {
    uint64_t key = sl_parquet_text_key(bytes, length);
    if (!statistics->any || key <= statistics->as.text.low.key ||
        key >= statistics->as.text.high.key)
        sl_parquet_see_text_slowly(statistics, bytes, length, key);
}

/** Store a number as the physical type holds it. @return its width. */
size_t sl_parquet_put_number(uint8_t *out, int64_t number, sl_parquet_physical physical,
                             uint8_t width);

/**
 * Write struct Statistics as field 12 of the open ColumnMetaData.
 * @param utf8 Text is UTF-8 and stays so when it is cut.
 */
void sl_parquet_put_statistics(sl_thrift_writer *thrift, const sl_parquet_statistics *statistics,
                               uint64_t nulls, sl_parquet_physical physical, uint8_t width,
                               bool utf8);
/** Raise cut text to an upper bound, in place. `room` is its capacity. @return its length, 0: there is none. */
size_t sl_parquet_raise(uint8_t *bytes, size_t length, size_t room, bool utf8);
