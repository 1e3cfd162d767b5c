/** @file encoding.h
 * Content codings of a request body: gzip (RFC 1952), deflate (zlib, RFC 1950, or raw,
 * RFC 1951), zstd (RFC 8878).
 *
 * Rules    Several gzip members or zstd frames in a row are one body. Bytes after the
 * end, and an end that doesn't come, are errors. The limit is on the expanded size, so a
 * bomb costs at most that. Memory   One decompressor for all connections: a body is
 * decoded at once when it is whole. zstd needs no window of its own, as it decodes
 * straight into the output.
 */
#pragma once

#include "head.h"
#include "sluice/http.h"

struct http_block;

typedef struct http_decoder {
    struct z_stream_s *zlib; /**< Made when first needed. */
    struct ZSTD_DCtx_s *zstd;
} http_decoder;

/**
 * @param out Taken from the shared blocks, the caller's afterwards, also on failure.
 * @return SL_OK; SL_ESYNTAX: not valid; SL_ELIMIT: expands beyond `max`; SL_EFULL:
 * budget; SL_ENOMEM.
 */
SL_CHECKED sl_status http_decode(sl_http_shared *shared, http_coding coding,
                                 const uint8_t *bytes, size_t length, size_t max,
                                 struct http_block *out, size_t *out_length);
void http_decoder_fini(http_decoder *decoder);
