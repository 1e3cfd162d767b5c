/** @file connection.h
 * One connection's state, shared by connection.c (requests in) and reply.c (replies out).
 *
 * Order of things: an exchange is made when a head is complete, and stands in the queue
 * until its reply has left. Replies leave in the order of the queue; one that comes early
 * is stored in its exchange.
 */
#pragma once

#include "chunked.h"
#include "shared.h"

#include <llhttp.h>

#define HTTP_OUTSTANDING_MAX 64u
#define HTTP_FEED_OUTPUT_MAX                                                             \
    262144u /**< Replies of one feed(); the rest waits for the next. */

typedef enum http_state {
    HTTP_STATE_HEAD,
    HTTP_STATE_LENGTH, /**< A body of known length. */
    HTTP_STATE_CHUNKED,
    HTTP_STATE_DONE /**< Nothing more is read. */
} http_state;

struct sl_http_connection {
    const sl_http_options *options;
    sl_http_shared *shared;
    sl_http_send_fn *send;
    void *context;
    http_state state;
    bool owns_shared;
    bool skip;     /**< The body is read past: its request is answered already. */
    bool feeding;  /**< Replies are gathered until the end of feed(). */
    bool draining; /**< No request after the present ones. */
    bool finished; /**< The peer sends no more. */
    bool broken; /**< Out of memory in a place where no reply can be made: close at once.
                  */
    bool holds;  /**< HTTP_FEED_OUTPUT_MAX is reached and requests are left. */
    size_t fed_output; /**< Bytes of replies in this feed(). */
    size_t unsent;     /**< Bytes that the server holds. */
    unsigned outstanding;
    uint64_t requests;
    sl_http_exchange *first, *last; /**< The queue of those without a sent reply. */
    sl_http_exchange *reading;      /**< The one whose body is being read and who isn't
                                       answered; in the queue. */
    sl_http_exchange *visible;      /**< The one whose headers may be looked at now. */
    llhttp_t parser;
    size_t scanned; /**< Bytes of the present head that llhttp has seen. */
    /** What must survive until the next feed(): a part of a head; or the head, while its
     * body is read. */
    sl_buffer input;
    http_block body;
    size_t body_length;
    uint64_t body_left; /**< Of Content-Length. */
    uint64_t skipped;   /**< Of a chunked body that is read past. */
    http_chunks chunks;
    http_head head;
};

/** Send what was gathered for `connection`. */
void http_flush(sl_http_connection *connection);
/** Say 100 (Continue), now or when its turn comes. */
void http_say_continue(sl_http_connection *connection, sl_http_exchange *exchange);
/** Say in HTTP/2 that HTTP/1.1 is needed: a client that begins with its preface reads nothing else. */
void http_say_no_http2(sl_http_connection *connection);
