#include "encoding.h"

#include "shared.h"

#include <limits.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

static void *zlib_alloc(void *context, unsigned count, unsigned size) {
    (void)context;
    return sl_malloc((size_t)count * size);
}

static void zlib_free(void *context, void *block) {
    (void)context;
    sl_free(block);
}

/** The shared inflater, set to a format: 31 gzip, 15 zlib, -15 raw deflate. NULL when out
 * of memory. */
static z_stream *inflater(http_decoder *decoder, int window_bits) {
    if (decoder->zlib != NULL)
        return inflateReset2(decoder->zlib, window_bits) == Z_OK ? decoder->zlib : NULL;
    z_stream *stream = sl_calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->zalloc = zlib_alloc;
    stream->zfree = zlib_free;
    if (inflateInit2(stream, window_bits) != Z_OK) {
        sl_free(stream);
        return NULL;
    }
    decoder->zlib = stream;
    return stream;
}

void http_decoder_fini(http_decoder *decoder) {
    if (decoder->zlib != NULL)
        inflateEnd(decoder->zlib);
    sl_free(decoder->zlib);
    ZSTD_freeDCtx(decoder->zstd);
}

/** zlib header: deflate method, and a multiple of 31 (RFC 1950 section 2.2). Some senders
 * leave it out. */
static bool has_zlib_header(const uint8_t *bytes, size_t length) {
    return length >= 2 && (bytes[0] & 15) == 8 && (bytes[0] * 256 + bytes[1]) % 31 == 0;
}

/** More room for the output, up to one byte beyond the limit, which tells "full" from
 * "too large". */
static sl_status widen(sl_http_shared *shared, http_block *out, size_t length,
                       size_t max) {
    if (length < out->capacity && length <= max)
        return SL_OK;
    if (length > max)
        return SL_ELIMIT;
    return http_block_grow(shared, out, length + 1, max + 1);
}

static sl_status inflate_all(sl_http_shared *shared, http_coding coding,
                             const uint8_t *bytes, size_t length, size_t max,
                             http_block *out, size_t *out_length) {
    int window_bits = coding == HTTP_GZIP              ? 31
                      : has_zlib_header(bytes, length) ? 15
                                                       : -15;
    z_stream *stream = inflater(&shared->decoder, window_bits);
    if (stream == NULL)
        return SL_ENOMEM;
    size_t in = 0;
    for (;;) {
        sl_status status = widen(shared, out, *out_length, max);
        if (status != SL_OK)
            return status;
        size_t room = out->capacity - *out_length;
        unsigned step = length - in > INT_MAX ? INT_MAX : (unsigned)(length - in);
        unsigned space = room > INT_MAX ? INT_MAX : (unsigned)room;
        /* zlib doesn't write to its input; next_in lacks the const without ZLIB_CONST. */
        union {
            const uint8_t *from;
            uint8_t *to;
        } input = {.from = bytes + in};
        stream->next_in = input.to;
        stream->avail_in = step;
        stream->next_out = out->bytes + *out_length;
        stream->avail_out = space;
        int result = inflate(stream, Z_NO_FLUSH);
        in += step - stream->avail_in;
        *out_length += space - stream->avail_out;
        if (*out_length > max)
            return SL_ELIMIT;
        if (result == Z_MEM_ERROR)
            return SL_ENOMEM;
        if (result == Z_STREAM_END) {
            if (in == length)
                return SL_OK;
            /* RFC 1952 section 2.2: a gzip file is a series of members. */
            if (coding != HTTP_GZIP || inflateReset(stream) != Z_OK)
                return SL_ESYNTAX;
            continue;
        }
        if (result != Z_OK && !(result == Z_BUF_ERROR && stream->avail_out == 0))
            return SL_ESYNTAX;
        if (in == length && stream->avail_out != 0)
            return SL_ESYNTAX; /* The input ended before the stream did. */
    }
}

/** Whole frames at once; a frame that hides its size is tried again with twice the room.
 */
static sl_status zstd_all(sl_http_shared *shared, const uint8_t *bytes, size_t length,
                          size_t max, http_block *out, size_t *out_length) {
    if (shared->decoder.zstd == NULL)
        shared->decoder.zstd = ZSTD_createDCtx();
    if (shared->decoder.zstd == NULL)
        return SL_ENOMEM;
    unsigned long long hint = ZSTD_getFrameContentSize(bytes, length);
    if (hint == ZSTD_CONTENTSIZE_ERROR)
        return SL_ESYNTAX;
    if (hint != ZSTD_CONTENTSIZE_UNKNOWN && hint > max)
        return SL_ELIMIT;
    /* The size is the sender's word: believe it only as far as the input could make it
     * true. */
    size_t first = length < max / 8 ? length * 8 : max;
    if (hint != ZSTD_CONTENTSIZE_UNKNOWN && hint < first)
        first = (size_t)hint;
    sl_status status = http_block_grow(shared, out, first + 1, max);
    while (status == SL_OK) {
        size_t room = out->capacity > max ? max : out->capacity;
        size_t n =
            ZSTD_decompressDCtx(shared->decoder.zstd, out->bytes, room, bytes, length);
        if (!ZSTD_isError(n)) {
            *out_length = n;
            return SL_OK;
        }
        ZSTD_ErrorCode code = ZSTD_getErrorCode(n);
        if (code == ZSTD_error_memory_allocation)
            return SL_ENOMEM;
        if (code != ZSTD_error_dstSize_tooSmall)
            return SL_ESYNTAX;
        if (room == max)
            return SL_ELIMIT;
        status = http_block_grow(shared, out, out->capacity + 1, max);
    }
    return status;
}

sl_status http_decode(sl_http_shared *shared, http_coding coding, const uint8_t *bytes,
                      size_t length, size_t max, http_block *out, size_t *out_length) {
    *out_length = 0;
    if (coding == HTTP_ZSTD)
        return zstd_all(shared, bytes, length, max, out, out_length);
    size_t first = length < max / 4 ? length * 4 : max;
    sl_status status = http_block_grow(shared, out, first + 1, max + 1);
    if (status != SL_OK)
        return status;
    return inflate_all(shared, coding, bytes, length, max, out, out_length);
}
