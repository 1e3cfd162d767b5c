// ZSTD_compressSequences() is not yet among zstd's stable functions; without it pages that would use it
// are compressed at level 1.
#define ZSTD_STATIC_LINKING_ONLY
#include "codec.h"
#include "format.h"

#include "sluice/memory.h"

#include <pthread.h>
#include <snappy-c.h>
#include <string.h>
#include <threads.h>
#include <zstd.h>

#define KEPT_BYTES (1u << 20)
#define ZSTD_BLOCK_BYTES (128u << 10)
#define LEVEL_BYTES_MIN 64u
#define STRIDE_MIN 12u
#define HAVE_SEQUENCES (ZSTD_VERSION_NUMBER >= 10504)

static pthread_once_t bench_once = PTHREAD_ONCE_INIT; // Unlike call_once(), known to ThreadSanitizer.
static tss_t bench_key;
static bool bench_usable;

static void bench_destroy(void *pointer) {
    sl_parquet_bench *bench = pointer;
    if (!bench)
        return;
    ZSTD_freeCCtx(bench->zstd);
    sl_free(bench->plain);
    sl_free(bench->packed);
    sl_free(bench->sequences);
    sl_free(bench);
}

static void bench_prepare(void) { bench_usable = tss_create(&bench_key, bench_destroy) == thrd_success; }

sl_parquet_bench *sl_parquet_bench_get(void) {
    (void)pthread_once(&bench_once, bench_prepare);
    if (!bench_usable)
        return NULL;
    sl_parquet_bench *bench = tss_get(bench_key);
    if (bench)
        return bench;
    bench = sl_calloc(1, sizeof *bench);
    if (bench && tss_set(bench_key, bench) != thrd_success) {
        sl_free(bench);
        return NULL;
    }
    return bench;
}

static bool make_room(uint8_t **block, size_t *have, size_t bytes) {
    if (bytes <= *have)
        return true;
    bytes = bytes + bytes / 4;
    uint8_t *fresh = sl_malloc(bytes);
    if (!fresh)
        return false;
    sl_free(*block);
    *block = fresh;
    *have = bytes;
    return true;
}

uint8_t *sl_parquet_bench_plain(sl_parquet_bench *bench, size_t bytes) {
    return make_room(&bench->plain, &bench->plain_bytes, bytes) ? bench->plain : NULL;
}

void sl_parquet_bench_trim(sl_parquet_bench *bench) {
    if (bench->plain_bytes > KEPT_BYTES) {
        sl_free(bench->plain);
        bench->plain = NULL;
        bench->plain_bytes = 0;
    }
    if (bench->packed_bytes > KEPT_BYTES) {
        sl_free(bench->packed);
        bench->packed = NULL;
        bench->packed_bytes = 0;
    }
}

static size_t stored_bound(size_t length) { return 9 + length + (length / ZSTD_BLOCK_BYTES + 1) * 3; }

/** A frame of raw blocks: magic, descriptor (single segment, 4-byte content size), size, blocks. */
static size_t store(uint8_t *out, const uint8_t *bytes, size_t length) {
    static const uint8_t head[5] = {0x28, 0xb5, 0x2f, 0xfd, 2u << 6 | 1u << 5};
    uint8_t *at = out;
    uint32_t size = (uint32_t)length;
    memcpy(at, head, 5);
    memcpy(at + 5, &size, 4);
    at += 9;
    do {
        size_t some = length < ZSTD_BLOCK_BYTES ? length : ZSTD_BLOCK_BYTES;
        length -= some;
        uint32_t block = (uint32_t)some << 3 | (length == 0); // Type 0: raw.
        memcpy(at, &block, 3);
        memcpy(at + 3, bytes, some);
        bytes += some;
        at += 3 + some;
    } while (length);
    return (size_t)(at - out);
}

static bool ready(sl_parquet_bench *bench) {
    if (!bench->zstd)
        bench->zstd = ZSTD_createCCtx();
    return bench->zstd != NULL;
}

/** @return 0 after a failure. */
static size_t level_1(sl_parquet_bench *bench, uint8_t *out, size_t room,
                      const sl_parquet_body *body) {
    if (!ready(bench))
        return 0;
    size_t n = ZSTD_compressCCtx(bench->zstd, out, room, body->bytes, body->length, 1);
    return ZSTD_isError(n) ? 0 : n;
}

#if HAVE_SEQUENCES
/** Bytes that a and b share at the front, at most `most`, in steps of the 8 compared at once. */
static size_t shared(const uint8_t *a, const uint8_t *b, size_t most) {
    size_t n = 0;
    while (n + 8 <= most) {
        uint64_t x, y;
        memcpy(&x, a + n, 8);
        memcpy(&y, b + n, 8);
        if (x != y)
            return n + (size_t)__builtin_ctzll(x ^ y) / 8;
        n += 8;
    }
    return n;
}

/**
 * The matches of a page of values of one length: each value's length bytes, and what follows as long as
 * it is the same, are those of the value before. A block ends with a sequence without a match, at a
 * value's begin. @return the number of sequences.
 */
static size_t find_sequences(const sl_parquet_body *body, ZSTD_Sequence *out) {
    size_t count = 0, literals = body->values, stride = body->stride;
    size_t block = body->values, begin = body->values; // Bytes in the block so far; first value.
    for (size_t at = begin; at < body->length; at += stride) {
        if (block + stride > ZSTD_BLOCK_BYTES) {
            out[count++] = (ZSTD_Sequence){0, (unsigned)literals, 0, 0};
            block = literals = 0;
        }
        if (at == begin) {
            literals += stride;
        } else {
            const uint8_t *value = body->bytes + at + 4;
            size_t match = 4 + shared(value, value - stride, stride - 5);
            out[count++] =
                (ZSTD_Sequence){(unsigned)stride, (unsigned)literals, (unsigned)match, 0};
            literals = stride - match;
        }
        block += stride;
    }
    out[count++] = (ZSTD_Sequence){0, (unsigned)literals, 0, 0};
    return count;
}

static bool has_stride(const sl_parquet_body *body) {
    return body->stride >= STRIDE_MIN && body->stride <= ZSTD_BLOCK_BYTES / 8 &&
           body->values + body->stride <= ZSTD_BLOCK_BYTES && body->length - body->values >= 4096;
}

/** @return 0 when it doesn't apply or failed. */
static size_t sequences(sl_parquet_bench *bench, uint8_t *out, size_t room,
                        const sl_parquet_body *body) {
    if (!has_stride(body) || !ready(bench))
        return 0;
    size_t values = (body->length - body->values) / body->stride;
    size_t most = values + body->length / (ZSTD_BLOCK_BYTES / 2) + 2;
    uint8_t *block = bench->sequences;
    if (!make_room(&block, &bench->sequences_bytes, most * sizeof(ZSTD_Sequence)))
        return 0;
    bench->sequences = block;
    ZSTD_Sequence *list = bench->sequences;
    size_t count = find_sequences(body, list);
    ZSTD_CCtx_reset(bench->zstd, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(bench->zstd, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(bench->zstd, ZSTD_c_minMatch, 4);
    ZSTD_CCtx_setParameter(bench->zstd, ZSTD_c_blockDelimiters, ZSTD_sf_explicitBlockDelimiters);
    size_t n = ZSTD_compressSequences(bench->zstd, out, room, list, count, body->bytes, body->length);
    ZSTD_CCtx_reset(bench->zstd, ZSTD_reset_session_and_parameters);
    return ZSTD_isError(n) ? 0 : n;
}
#else
static size_t sequences(sl_parquet_bench *bench, uint8_t *out, size_t room,
                        const sl_parquet_body *body) {
    (void)bench, (void)out, (void)room, (void)body;
    return 0;
}
#endif

/** Compress at level 1, compare with the cheaper ways, remember which to take. */
static size_t ask(sl_parquet_bench *bench, size_t room, const sl_parquet_body *body,
                  sl_parquet_habit *habit) {
    size_t level = level_1(bench, bench->packed, room, body);
    if (!level)
        return 0;
    *habit = (sl_parquet_habit){WAY_LEVEL_1, 255};
    if (level > body->length - body->length / 32) {
        *habit = (sl_parquet_habit){WAY_STORED, 31};
        return level;
    }
    // The other result goes behind the first one; when it wins it is made again over it.
    size_t other = body->stride ? sequences(bench, bench->packed + level, room - level, body) : 0;
    if (other && other <= level + level / 50) {
        *habit = (sl_parquet_habit){WAY_SEQUENCES, 63};
        memmove(bench->packed, bench->packed + level, other);
        return other;
    }
    return level;
}

static size_t zstd(sl_parquet_bench *bench, size_t room, const sl_parquet_body *body,
                   sl_parquet_habit *habit) {
    size_t n = 0;
    if (body->length < LEVEL_BYTES_MIN)
        return store(bench->packed, body->bytes, body->length);
    if (!habit)
        return level_1(bench, bench->packed, room, body);
    if (habit->way == WAY_UNKNOWN || habit->pages == 0)
        return ask(bench, room, body, habit);
    habit->pages--;
    if (habit->way == WAY_STORED)
        return store(bench->packed, body->bytes, body->length);
    if (habit->way == WAY_SEQUENCES)
        n = sequences(bench, bench->packed, room, body);
    return n ? n : level_1(bench, bench->packed, room, body);
}

sl_status sl_parquet_compress(sl_parquet_bench *bench, int codec, sl_parquet_habit *habit,
                              const sl_parquet_body *body, const uint8_t **out, size_t *length) {
    if (codec == CODEC_UNCOMPRESSED) {
        *out = body->bytes;
        *length = body->length;
        return SL_OK;
    }
    size_t room = codec == CODEC_SNAPPY
                      ? snappy_max_compressed_length(body->length)
                      : stored_bound(body->length) + ZSTD_compressBound(body->length);
    if (body->stride && habit && (habit->way == WAY_UNKNOWN || habit->pages == 0))
        room *= 2;
    if (!make_room(&bench->packed, &bench->packed_bytes, room))
        return SL_ENOMEM;
    *out = bench->packed;
    *length = room;
    if (codec == CODEC_SNAPPY)
        return snappy_compress((const char *)body->bytes, body->length, (char *)bench->packed,
                               length) == SNAPPY_OK
                   ? SL_OK
                   : SL_ENOMEM;
    *length = zstd(bench, room, body, habit);
    return *length ? SL_OK : SL_ENOMEM;
}

/** Take the bench's context, so that nobody else uses it between two slices. */
static sl_status slices_begin(sl_parquet_slices *s, sl_parquet_store *store, size_t length) {
    sl_parquet_bench *bench = sl_parquet_bench_get();
    if (!bench || !ready(bench))
        return SL_ENOMEM;
    void *out;
    size_t room = ZSTD_compressBound(length);
    sl_status status = sl_parquet_take(store, room, &out);
    if (status)
        return status;
    *s = (sl_parquet_slices){.zstd = bench->zstd, .out = out, .room = room};
    bench->zstd = NULL;
    ZSTD_CCtx_reset(s->zstd, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setPledgedSrcSize(s->zstd, length);
    return SL_OK;
}

sl_status sl_parquet_slices_next(sl_parquet_slices *s, sl_parquet_store *store, const uint8_t *bytes,
                                 size_t length) {
    sl_status status = s->zstd ? SL_OK : slices_begin(s, store, length);
    if (status)
        return status;
    size_t some = length - s->at < SL_PARQUET_SLICE_BYTES ? length - s->at : SL_PARQUET_SLICE_BYTES;
    bool last = s->at + some == length;
    ZSTD_inBuffer in = {bytes + s->at, some, 0};
    ZSTD_outBuffer out = {s->out, s->room, s->used};
    size_t left;
    do {
        left = ZSTD_compressStream2(s->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left) || (out.pos == out.size && (left || in.pos < in.size)))
            return SL_ENOMEM; // The bound is zstd's own, so only its memory can be missing.
    } while (in.pos < in.size || (last && left));
    s->at += some;
    s->used = out.pos;
    return last ? SL_OK : SL_EAGAIN;
}

void sl_parquet_slices_fini(sl_parquet_slices *s, sl_parquet_store *store) {
    sl_parquet_give(store, s->out, s->room);
    sl_parquet_bench *bench = s->zstd ? sl_parquet_bench_get() : NULL;
    if (s->zstd)
        ZSTD_CCtx_reset(s->zstd, ZSTD_reset_session_and_parameters);
    if (bench && !bench->zstd)
        bench->zstd = s->zstd;
    else
        ZSTD_freeCCtx(s->zstd);
    *s = (sl_parquet_slices){0};
}
