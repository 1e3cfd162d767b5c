/** @file http_client.h
 * Asynchronous HTTP/1.1 client on a libuv loop (libcurl's multi interface behind it).
 *
 * URL        Sent byte for byte as given, so that a signed request stays signed: no dot segments removed, nothing encoded.
 *            Bytes outside 0x21–0x7E, a '#' and user names in it are SL_EINVAL.
 * Bodies     From memory, from a range of a file, or from a function that is asked by offset. A request with a body
 *            always says Content-Length. Replies are collected up to a limit, or handed on piece by piece.
 * Redirects  Not followed: a 3xx is a reply like any other.
 * Retries    One case that HTTP needs: a kept connection that the peer closed before a byte of the reply. So any request
 *            may arrive twice.
 * Proxies    http_proxy, https_proxy, no_proxy of the environment are heeded, except by `direct` requests.
 * Resolver   libcurl's own thread; the loop never waits for DNS.
 * Threads    The loop's. Nothing blocks but pread() of a body from a file.
 * Source     RFC 9110, 9112.
 */
#pragma once

#include "sluice/buffer.h"

struct uv_loop_s;
typedef struct sl_http_client sl_http_client;
typedef struct sl_http_call sl_http_call; /**< One request on its way. */

typedef struct sl_http_client_options {
    const char *ca_file;           /**< PEM with the authorities that are trusted; NULL: the system's. */
    bool any_name;                 /**< The ca_file is the server's own certificate, so the name in it needn't be the URL's. */
    const char *user_agent;        /**< NULL: "sluice". */
    unsigned calls_max;            /**< At once; others wait their turn, their time not counting yet. 0: 64. */
} sl_http_client_options;

typedef struct sl_http_field {
    const char *name, *value; /**< Without CR, LF and 0 bytes, else SL_EINVAL. */
} sl_http_field;

/**
 * Up to `length` bytes of the body from `offset` on. Offsets may step back (see above).
 * @return Bytes given, at least 1; 0 aborts the request with SL_EIO.
 */
typedef size_t sl_http_read_fn(void *context, void *bytes, size_t length, uint64_t offset);
/** A piece of the reply's body; false aborts the request with SL_EIO. Neither this nor read may start or cancel calls. */
typedef bool sl_http_write_fn(void *context, const void *bytes, size_t length);

/** Which stage failed; SL_HTTP_FAILED_NOT when a whole reply came, whatever its code. */
typedef enum sl_http_failure {
    SL_HTTP_FAILED_NOT,
    SL_HTTP_FAILED_RESOLVE, /**< No address for the name. Never arrived. */
    SL_HTTP_FAILED_CONNECT, /**< Refused, unreachable, not in time, or cut off in the handshake. Never arrived. */
    SL_HTTP_FAILED_TLS,     /**< Certificate or protocol (SL_EDENIED). Never arrived. */
    SL_HTTP_FAILED_TIMEOUT, /**< Too slow, or beyond the total time: may have arrived. */
    SL_HTTP_FAILED_LOST,    /**< Cut off while sending or receiving: may have arrived. */
    SL_HTTP_FAILED_LIMIT,   /**< The reply is larger than allowed (SL_ELIMIT). */
    SL_HTTP_FAILED_BODY,    /**< read, write or the body's file gave up. */
    SL_HTTP_FAILED_LOCAL,   /**< Out of memory or descriptors, or the ca_file can't be read. */
} sl_http_failure;

typedef struct sl_http_outcome {
    sl_status status;        /**< SL_OK: a whole reply. Else SL_EIO, SL_EDENIED (TLS), SL_ELIMIT, SL_ENOMEM. */
    sl_http_failure failure;
    const sl_error *error;   /**< Says what failed, with host and port: "connect to 127.0.0.1:9000: Connection refused". */
    unsigned code;           /**< 200, 503 …; 0 without a reply. */
    sl_buffer *body;         /**< Never NULL. The callback may take it: copy the struct, then set SL_BUFFER_EMPTY. */
    const sl_http_call *call; /**< For sl_http_outcome_field(). */
    uint64_t sent_bytes;     /**< Of the body. */
    int64_t duration_us, connect_us; /**< From start to end; until connected (TLS included), 0 on a kept connection. */
} sl_http_outcome;

/** Called once per started call, from the loop, never from inside start. The call is gone after it; all is borrowed. */
typedef void sl_http_done_fn(void *context, const sl_http_outcome *outcome);

typedef struct sl_http_call_options {
    const char *method; /**< "GET", "PUT" … Copied, as are URL and fields. */
    const char *url;    /**< "https://host:port/path?query" */
    /** Sent as given; Host, Content-Length and User-Agent are added unless given. "Expect: 100-continue" only if given. */
    const sl_http_field *fields;
    size_t field_count;

    const void *body;     /**< Borrowed until done; or */
    sl_http_read_fn *read; /**< asked for each piece; or */
    bool body_in_file;    /**< taken from body_file (borrowed until done) from body_offset on. */
    int body_file;
    uint64_t body_offset;
    uint64_t body_length; /**< Of whichever it is. 0: an empty body for POST, PUT and PATCH, none for others. */

    sl_http_write_fn *write; /**< NULL: collected. Only given bodies of 2xx replies; others are collected as errors. */
    size_t reply_bytes_max;  /**< Of what is collected; 0: 1 MiB. */

    unsigned connect_timeout_ms; /**< 0: 10 s. */
    /** Given up after so long at less than 1 byte/s, in either direction, waiting for the reply included; 0: 60 s. */
    unsigned stall_timeout_ms;
    unsigned total_timeout_ms; /**< 0: none. */
    bool direct;               /**< Past any proxy: for metadata services. */

    void *context; /**< For read and write. */
} sl_http_call_options;

SL_CHECKED sl_status sl_http_client_create(struct uv_loop_s *loop, const sl_http_client_options *options,
                                           sl_http_client **out, sl_error *error);
/** Gives up all calls (none is told) and closes. NULL is allowed. Memory returns in later turns of the loop. */
void sl_http_client_destroy(sl_http_client *client);
unsigned sl_http_client_calls(const sl_http_client *client); /**< On their way. */

/**
 * @param[out] out  For sl_http_call_cancel(), until done is called; may be NULL.
 * @return SL_OK: done will be called. SL_EINVAL, SL_ENOMEM: it won't.
 */
SL_CHECKED sl_status sl_http_client_start(sl_http_client *client, const sl_http_call_options *options,
                                          sl_http_done_fn *done, void *context, sl_http_call **out,
                                          sl_error *error);
/** Give up: done isn't called. Not from inside read or write. */
void sl_http_call_cancel(sl_http_call *call);
/** First value of a header of the reply, "" when absent; the name in any case. Only inside done. */
const char *sl_http_outcome_field(const sl_http_outcome *outcome, const char *name);
