/** @file codec.h
 * Compression of pages: what a thread needs for it, and what a column learns about its own pages.
 *
 * Learning For zstd the first page of a kind is compressed at level 1 and, where the page's shape allows,
 *          by a cheaper way; the cheapest way that keeps the size is used for the next pages, then the
 *          question is asked again. The ways:
 *          STORED     raw blocks in a zstd frame, where level 1 saves less than 3 % (packed dictionary
 *                     indices of random values): costs nothing to write or read.
 *          SEQUENCES  values of one length (UUIDs, hashes): each repeats the 4 length bytes and what it
 *                     shares with the front of the value before, so the matches are known without
 *                     searching and only the entropy coder runs: 52 instead of 137 ns for a UUID.
 *          LEVEL_1    anything else.
 * Threads  A bench belongs to its thread and is freed when the thread ends.
 * Source   RFC 8878 sections 3.1.1.1, 3.1.1.2 (frame header, raw blocks); zstd.h.
 */
#pragma once

#include "store.h"

typedef enum sl_parquet_way { WAY_UNKNOWN, WAY_LEVEL_1, WAY_STORED, WAY_SEQUENCES } sl_parquet_way;

/** What a column knows of one kind of its pages. */
typedef struct sl_parquet_habit {
    uint8_t way;    /**< sl_parquet_way */
    uint8_t pages;  /**< Until the question is asked again. */
} sl_parquet_habit;

/** An encoded page. */
typedef struct sl_parquet_body {
    const uint8_t *bytes;
    size_t length;
    size_t values; /**< Offset of the first value, behind the levels. */
    size_t stride; /**< Bytes of each value with its length, when all are the same; else 0. */
} sl_parquet_body;

/** Memory that a thread lends to whichever writer is encoding or compressing a page. */
typedef struct sl_parquet_bench {
    uint8_t *plain;
    size_t plain_bytes;
    uint8_t *packed;
    size_t packed_bytes;
    struct ZSTD_CCtx_s *zstd;
    void *sequences;
    size_t sequences_bytes;
} sl_parquet_bench;

/** The thread's bench. NULL when out of memory. */
sl_parquet_bench *sl_parquet_bench_get(void);
/** Room for an encoded page of `bytes`. NULL when out of memory; what it held is lost. */
uint8_t *sl_parquet_bench_plain(sl_parquet_bench *bench, size_t bytes);
/** Give back what is beyond the usual size of a page. */
void sl_parquet_bench_trim(sl_parquet_bench *bench);

/**
 * Compress a page with CODEC_UNCOMPRESSED, CODEC_SNAPPY or CODEC_ZSTD.
 * @param habit May be NULL: nothing is known or learnt.
 * @param[out] out The bytes: the bench's, or the body's own when uncompressed.
 * @return SL_OK, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_parquet_compress(sl_parquet_bench *bench, int codec,
                                         sl_parquet_habit *habit, const sl_parquet_body *body,
                                         const uint8_t **out, size_t *length);

/** A long page that is compressed by zstd in slices; the context is the bench's, lent for that time. */
typedef struct sl_parquet_slices {
    struct ZSTD_CCtx_s *zstd;
    uint8_t *out;
    size_t room, used, at; /**< `at`: bytes of the page that are taken. */
} sl_parquet_slices;

#define SL_PARQUET_SLICE_BYTES (256u << 10)

/** @return SL_EAGAIN: call again with the same bytes; SL_OK: out[0..used) is the page; SL_ENOMEM, SL_EFULL. */
SL_CHECKED sl_status sl_parquet_slices_next(sl_parquet_slices *slices, sl_parquet_store *store,
                                            const uint8_t *bytes, size_t length);
void sl_parquet_slices_fini(sl_parquet_slices *slices, sl_parquet_store *store);
