/** @file chunked.h
 * The chunked transfer coding without extensions and trailers.
 *
 * Format   RFC 9112 section 7.1:
 *              chunked-body = *( chunk-size CRLF chunk-data CRLF ) 1*"0" CRLF CRLF
 *          chunk-size is 1 to 16 hex digits. Extensions (`;name=value`) and trailers are
 * refused: parsers that read them differently are how requests are smuggled, and no
 * sender of events needs them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum http_chunk_state {
    CHUNK_SIZE_FIRST,
    CHUNK_SIZE,
    CHUNK_SIZE_FEED,
    CHUNK_DATA,
    CHUNK_DATA_RETURN,
    CHUNK_DATA_FEED,
    CHUNK_LAST_RETURN,
    CHUNK_LAST_FEED,
    CHUNK_DONE,
    CHUNK_BAD
} http_chunk_state;

typedef struct http_chunks {
    uint64_t left; /**< Of the present chunk. */
    uint8_t digits;
    uint8_t state; /**< http_chunk_state */
} http_chunks;

/**
 * Read up to and including the next piece of data.
 * @param[out] data,data_length That piece, inside `bytes`; 0 long when there is none.
 * @return Bytes read. chunks->state says CHUNK_DONE after the last, CHUNK_BAD when it
 * isn't valid.
 */
size_t http_chunks_read(http_chunks *chunks, const uint8_t *bytes, size_t length,
                        const uint8_t **data, size_t *data_length);
