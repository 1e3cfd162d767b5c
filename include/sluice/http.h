/** @file http.h
 * HTTP/1.1 server without sockets: bytes in, bytes out. `io` moves them (TCP, TLS), tests and fuzzers feed
 * them by hand.
 *
 * Rules    RFC 9112, strictly: Content-Length together with Transfer-Encoding, two lengths, bad
 *          chunk sizes, bare CR or LF, folded lines, space before a colon, a missing or second Host are refused with
 *          400 and the connection is closed after it, and so are chunk extensions and trailers, which no sender of
 *          events needs. Keep-alive, pipelining (replies leave in order of requests),
 *          chunked bodies, `Expect: 100-continue`, HEAD, HTTP/1.0 without keep-alive.
 * Bodies   Collected whole, decoded from gzip, zstd, deflate (zlib and raw), with a limit before and after.
 *          A body is buffered once: what arrives while Content-Length is known is read to its final place.
 * Limits   Header 16 KiB, 100 fields; body and expanded body `body_bytes_max`; else 431, 413; unknown
 *          Content-Encoding 415.
 * Memory   From `budget`; when it is full the request is answered 429 with Retry-After: 1 and its body is skipped.
 *          An idle connection holds no buffer: what all share lies in sl_http_shared.
 * Threads  The loop.
 * Source   RFC 9110, 9112; llhttp reads the head, and a second, stricter reader has to agree with it.
 */
#pragma once

#include "sluice/batch.h" /* SL_PADDING */
#include "sluice/buffer.h"

typedef struct sl_http_connection sl_http_connection;
typedef struct sl_http_exchange sl_http_exchange; /**< One request that waits for its reply. */

typedef struct sl_http_request {
    const char *method;    /**< "POST" */
    const char *path;      /**< Without the query, percent-decoded, 0-terminated. "*" forms are refused. */
    const char *query;     /**< Raw, "" when there is none. */
    const uint8_t *body;   /**< Decoded; followed by SL_PADDING readable bytes. */
    size_t length;
    sl_http_exchange *exchange;
} sl_http_request;

/**
 * First value of a header, "" when absent; name in lower case. Valid until admit() or the handler returns, and ""
 * from then on: a late reply copies what it needs.
 */
const char *sl_http_header(const sl_http_exchange *exchange, const char *name);
/** Value of header number `i`, from 0, under the same rule; its name as it came, without a 0 behind it. NULL: there are fewer. */
const char *sl_http_header_at(const sl_http_exchange *exchange, unsigned i, const char **name, size_t *name_length);
/** How often the header came, under the same rule. */
unsigned sl_http_header_count(const sl_http_exchange *exchange, const char *name);

/**
 * Called with a whole request. The reply may come at once or later, once, by sl_http_reply(); the request's
 * memory (body included) is valid until this returns.
 */
typedef void sl_http_handler_fn(void *context, const sl_http_request *request);

/** Is `text` one of the tokens? The time doesn't tell which, nor how much of one it is. */
bool sl_http_token_listed(const char *text, const char *const *tokens, size_t count);
/** Can a path end in it as a stream's name? [A-Za-z_][A-Za-z0-9_.-]{0,62} */
bool sl_http_stream_name(const char *name);

/** A note from admit() to the handler, such as that the token was checked; NULL at first. */
void sl_http_set_mark(sl_http_exchange *exchange, const void *mark);
const void *sl_http_mark(const sl_http_exchange *exchange);

/** What the connections of one loop share: read buffer, output, spare bodies, decompressors, the date. */
typedef struct sl_http_shared sl_http_shared;
/** @param budget Borrowed until destroy; may be NULL. @return NULL when out of memory. */
sl_http_shared *sl_http_shared_create(sl_budget *budget);
/** After its last connection. */
void sl_http_shared_destroy(sl_http_shared *shared);
/**
 * Now and then, about once a second: sets the Date of replies (none before the first call: no clock is read) and
 * gives back spare memory that was not used since the last call.
 */
void sl_http_shared_tick(sl_http_shared *shared, int64_t unix_seconds);

/** Replies so far by the first digit of their status; [0] is unused. */
typedef struct sl_http_replies {
    uint64_t of[6];
} sl_http_replies;
sl_http_replies sl_http_shared_replies(const sl_http_shared *shared);

typedef struct sl_http_options {
    size_t body_bytes_max;
    sl_budget *budget;
    sl_http_handler_fn *handler;
    void *context;
    /**
     * Asked when the headers are in, before a body is read: 0 go on, else the status to answer (401, 404, 405, 413);
     * it may also have answered by itself (then not 0). The body is skipped. May be NULL.
     */
    int (*admit)(void *context, const char *method, const char *path, sl_http_exchange *exchange);
    /**
     * May answer a request whose head is sound and whose body can't be taken, in the form of its path: 413, 415, 417, 429,
     * 503, or 400 where the body isn't what Content-Encoding says. @return whether it did. May be NULL.
     */
    bool (*refuse)(void *context, const char *method, const char *path, sl_http_exchange *exchange, int status,
                   const char *message);
    sl_http_shared *shared; /**< Borrowed; NULL: each connection makes its own. */
} sl_http_options;

/**
 * Output the connection wants sent. Called on the loop; bytes are borrowed for the call. It must not feed or destroy
 * the connection.
 */
typedef void sl_http_send_fn(void *context, const void *bytes, size_t length);

/** @param options Borrowed until destroy. NULL when out of memory. */
sl_http_connection *sl_http_connection_create(const sl_http_options *options, sl_http_send_fn *send,
                                              void *context);
/** The peer is gone: exchanges that still wait are dropped when their reply comes. Not from inside a handler. */
void sl_http_connection_destroy(sl_http_connection *connection);
/** Where the next bytes are best read to: at least 1 byte of room. Valid until the next call for any connection that shares. */
void *sl_http_connection_room(sl_http_connection *connection, size_t *length);
/**
 * `length` bytes were read to the room given last, or stand elsewhere (copied then). With length 0 it goes on with
 * what it holds, as is needed once after paused() turned false.
 */
void sl_http_connection_feed(sl_http_connection *connection, const void *bytes, size_t length);
/** The peer sent its end. */
void sl_http_connection_finish(sl_http_connection *connection);
/** The peer is too slow: 408 for a request half read, and then the end. */
void sl_http_connection_timeout(sl_http_connection *connection);
/** Shut down: no request after the present ones; at once when there is none. */
void sl_http_connection_drain(sl_http_connection *connection);
bool sl_http_connection_wants_close(const sl_http_connection *connection); /**< After everything is sent. */
/** It can't go on: close it at once, whatever waits to be sent. */
bool sl_http_connection_broken(const sl_http_connection *connection);
/** How many bytes the server holds that the peer hasn't taken; said whenever it changes. */
void sl_http_connection_unsent(sl_http_connection *connection, size_t bytes);
bool sl_http_connection_paused(const sl_http_connection *connection); /**< Too many replies outstanding (64): stop reading. */
/**
 * It stopped after 256 KiB of replies with requests left over, so that a pipeline of short requests for long pages
 * can't fill the memory: feed it with length 0 when they are sent.
 */
bool sl_http_connection_holds(const sl_http_connection *connection);
/** What is it waiting for? For the slow-client timeouts. */
typedef enum sl_http_phase { SL_HTTP_IDLE, SL_HTTP_HEADER, SL_HTTP_BODY, SL_HTTP_REPLY } sl_http_phase;
sl_http_phase sl_http_connection_phase(const sl_http_connection *connection);
/** Requests begun so far: tells one slow request from many quick ones. */
uint64_t sl_http_connection_requests(const sl_http_connection *connection);

/**
 * Answer. @param headers Extra header lines "Name: value\r\n…", or "". Content-Length and Date are added, Connection as needed.
 */
void sl_http_reply(sl_http_exchange *exchange, int status, const char *content_type,
                   const char *headers, const void *body, size_t length);
/**
 * Instead of sl_http_reply(): 200 with a body that comes piece by piece for as long as it likes, chunked (to HTTP/1.0 until the
 * connection ends). It takes its turn in a pipeline, and has no answer for HEAD.
 * @param gone Called once when the peer has left, or has closed its half: the exchange isn't the caller's any more. Not called after
 *             sl_http_stream_end(); none of these may be called from inside it.
 */
void sl_http_stream_begin(sl_http_exchange *exchange, const char *content_type, const char *headers,
                          void (*gone)(void *context), void *context);
/** A piece, sent at once; length 0 does nothing. It isn't bounded here: see unsent. */
void sl_http_stream_write(sl_http_exchange *exchange, const void *bytes, size_t length);
/** Bytes that wait for the peer to take them: whoever streams stops at some. */
size_t sl_http_stream_unsent(const sl_http_exchange *exchange);
/** The end of the body. @param cut Without an end: what waits is dropped, and the connection with it. */
void sl_http_stream_end(sl_http_exchange *exchange, bool cut);
/**
 * `{"error":{"code":…,"message":…}}` with the status; message as printf. 401 gets WWW-Authenticate, 429 and 503 get
 * Retry-After: 1.
 */
void sl_http_reply_error(sl_http_exchange *exchange, int status, const char *code,
                         const char *format, ...) SL_PRINTF(4, 5);
