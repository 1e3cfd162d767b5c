/** @file shared.h
 * What the connections of one loop share, so that an idle connection holds no buffer at
 * all.
 *
 * read buffer    64 KiB: a request that arrives whole is parsed and handed on from here,
 * without a copy. output         Replies are put together here and sent before the next
 * connection's turn. spare bodies   Blocks go from request to request while they are
 * warm: a fresh page costs more than parsing it.
 */
#pragma once

#include "encoding.h"
#include "sluice/http.h"

#define HTTP_READ_BYTES 65536u
#define HTTP_SPARE_MAX 8u
#define HTTP_SPARE_BYTES_MAX (1u << 20) /**< Larger blocks are given back at once. */

/** Memory for a body, from the budget; SL_PADDING bytes lie beyond `capacity`. */
typedef struct http_block {
    uint8_t *bytes;
    size_t capacity;
} http_block;

struct sl_http_exchange {
    sl_http_connection *connection; /**< NULL: the peer is gone. */
    sl_http_exchange *next;
    const void *mark;
    sl_buffer stored;    /**< The reply, when an earlier one still waits. */
    size_t stored_bytes; /**< Of it, forced upon the budget. */
    bool is_head;        /**< The request was HEAD. */
    bool close;          /**< The connection ends after this reply. */
    bool answered;
    bool handed;         /**< The handler has it and owes a reply. */
    bool wants_continue; /**< 100 (Continue) as soon as it is first. */
    bool old;            /**< HTTP/1.0: knows no chunks. */
    bool streaming;      /**< The reply has begun and not ended; then: */
    void (*gone)(void *context);
    void *gone_context;
};

struct sl_http_shared {
    sl_budget *budget;
    uint8_t *read;
    sl_buffer output;
    sl_http_connection *output_owner;
    http_block spare[HTTP_SPARE_MAX];
    unsigned spare_count,
        spare_count_min;         /**< min: since the last tick; so many weren't needed. */
    sl_http_exchange *exchanges; /**< Unused ones. */
    unsigned exchange_count;
    http_decoder decoder;
    sl_http_replies replies;
    char date[48]; /**< "Date: …\r\n" or "". */
    size_t date_length;
};

/** A block of at least `size`. @return SL_OK, SL_EFULL, SL_ENOMEM. */
SL_CHECKED sl_status http_block_take(sl_http_shared *shared, size_t size,
                                     http_block *out);
/** Make it hold `size`, at least doubling, at most `max`. @return as take; the block
 * stays on failure. */
SL_CHECKED sl_status http_block_grow(sl_http_shared *shared, http_block *block,
                                     size_t size, size_t max);
void http_block_give(sl_http_shared *shared, http_block *block); /**< Empties it. */

sl_http_exchange *
http_exchange_take(sl_http_shared *shared); /**< Zeroed; NULL when out of memory. */
void http_exchange_give(sl_http_shared *shared, sl_http_exchange *exchange);
