/* Replies: an HTTP/1.1 status-line and fields put together in one pass, and their order.
 *
 *     HTTP/1.1 200 OK CRLF
 *     Content-Type: … CRLF  Content-Length: n CRLF  Date: … CRLF  (Connection: close
 * CRLF)  (more) CRLF body
 *
 * 1xx, 204 and 304 have neither Content-Length nor body (RFC 9110 section 8.6); a reply
 * to HEAD has the length but not the body.
 */
#include "connection.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define OUTPUT_BYTES_MAX                                                                 \
    65536u /* Beyond it a long pipeline's replies are sent in between. */

static const char *reason_of(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 301:
        return "Moved Permanently";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Status";
    }
}

static char *put(char *to, const char *text, size_t length) {
    memcpy(to, text, length);
    return to + length;
}

#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static char *put_number(char *to, size_t number) {
    char digits[24];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return put(to, digits + n, sizeof digits - n);
}

typedef struct reply_parts {
    int status;
    const char *type, *headers;
    const void *body;
    size_t length;
} reply_parts;

static void format_reply(sl_buffer *out, const sl_http_shared *shared,
                         const sl_http_exchange *exchange, const reply_parts *reply) {
    size_t headers = strlen(reply->headers), type = strlen(reply->type);
    const char *reason = reason_of(reply->status);
    if (!sl_buffer_reserve(out, 256 + headers + type + reply->length))
        return;
    char *start = (char *)out->bytes + out->length;
    char *to = PUT(start, "HTTP/1.1 ");
    to = put_number(to, (size_t)reply->status);
    *to++ = ' ';
    to = put(to, reason, strlen(reason));
    to = PUT(to, "\r\n");
    bool bodiless = reply->status < 200 || reply->status == 204 || reply->status == 304;
    if (!bodiless) {
        if (type > 0) {
            to = PUT(to, "Content-Type: ");
            to = put(to, reply->type, type);
            to = PUT(to, "\r\n");
        }
        to = PUT(to, "Content-Length: ");
        to = put_number(to, reply->length);
        to = PUT(to, "\r\n");
    }
    to = put(to, shared->date, shared->date_length);
    if (exchange->close)
        to = PUT(to, "Connection: close\r\n");
    to = put(to, reply->headers, headers);
    to = PUT(to, "\r\n");
    if (!bodiless && !exchange->is_head && reply->length > 0)
        to = put(to, reply->body, reply->length);
    out->length += (size_t)(to - start);
}

void http_flush(sl_http_connection *connection) {
    sl_http_shared *shared = connection->shared;
    sl_buffer *out = &shared->output;
    if (shared->output_owner != connection)
        return;
    shared->output_owner = NULL;
    if (out->failed) /* A reply is lost, so what follows must not be taken for it. */
        connection->broken = true;
    else if (out->length > 0 && !connection->broken) {
        connection->fed_output += out->length;
        connection->send(connection->context, out->bytes, out->length);
    }
    sl_buffer_clear(out);
}

/** The shared output, for `connection` to append to. */
static sl_buffer *output_for(sl_http_connection *connection) {
    sl_http_shared *shared = connection->shared;
    if (shared->output_owner != NULL && shared->output_owner != connection)
        http_flush(shared->output_owner);
    shared->output_owner = connection;
    return &shared->output;
}

void http_say_continue(sl_http_connection *connection, sl_http_exchange *exchange) {
    exchange->wants_continue = connection->first != exchange;
    if (!exchange->wants_continue)
        sl_buffer_text(output_for(connection), "HTTP/1.1 100 Continue\r\n\r\n");
}

void http_say_no_http2(sl_http_connection *connection) {
    /* Its frames: a length of 24 bits, type, flags, stream of 32 bits. RFC 9113 sections 3.4, 6.5, 6.8, 7. */
    static const uint8_t frames[] = "\0\0\0\4\0\0\0\0\0"            /* SETTINGS, empty: the server's preface. */
                                    "\0\0\x2e\7\0\0\0\0\0"         /* GOAWAY of 46 bytes. */
                                    "\0\0\0\0\0\0\0\x0d"           /* Nothing was done; HTTP_1_1_REQUIRED. */
                                    "HTTP/2 isn't spoken here: use HTTP/1.1"; /* For people. */
    static_assert(sizeof frames - 1 == 9 + 9 + 8 + 38 && 8 + 38 == 0x2e, "the lengths are those of the frames");
    connection->shared->replies.of[5]++;
    sl_buffer_append(output_for(connection), frames, sizeof frames - 1);
}

static void take_stored(sl_http_exchange *exchange, sl_buffer *out) {
    if (exchange->stored.failed)
        out->failed = true;
    sl_buffer_append(out, exchange->stored.bytes, exchange->stored.length);
    sl_buffer_fini(&exchange->stored);
}

/** Send the stored replies whose turn has come. The first of the queue has just left it.
 */
static void release(sl_http_connection *connection, sl_buffer *out) {
    sl_http_exchange *first;
    while ((first = connection->first) != NULL && first->answered) {
        take_stored(first, out);
        connection->first = first->next;
        connection->outstanding--;
        http_exchange_give(connection->shared, first);
    }
    if (first == NULL)
        connection->last = NULL;
    else if (first->streaming) /* What it has said so far. */
        take_stored(first, out);
    else if (first->wants_continue)
        http_say_continue(connection, first);
}

static void end_if_drained(sl_http_connection *connection) {
    if (connection->draining && connection->first == NULL && !connection->feeding &&
        connection->state == HTTP_STATE_HEAD && connection->input.length == 0)
        connection->state = HTTP_STATE_DONE;
}

void sl_http_reply(sl_http_exchange *exchange, int status, const char *content_type,
                   const char *headers, const void *body, size_t length) {
    sl_http_connection *connection = exchange->connection;
    if (connection == NULL) { /* The peer has gone. */
        sl_buffer_fini(&exchange->stored);
        sl_free(exchange);
        return;
    }
    assert(!exchange->answered);
    exchange->answered = true;
    exchange->handed = false;
    exchange->wants_continue = false;
    sl_http_shared *shared = connection->shared;
    shared->replies.of[status / 100]++;
    if (connection->reading == exchange)
        connection->reading = NULL;
    if (connection->draining && exchange == connection->last && !connection->feeding &&
        connection->state == HTTP_STATE_HEAD && connection->input.length == 0) {
        exchange->close = true;
        connection->state = HTTP_STATE_DONE;
    }
    reply_parts reply = {status, content_type, headers, body, length};
    if (connection->first != exchange) {
        format_reply(&exchange->stored, shared, exchange, &reply);
        exchange->stored_bytes = exchange->stored.capacity;
        if (shared->budget != NULL)
            sl_budget_force(shared->budget, exchange->stored_bytes);
        return;
    }
    sl_buffer *out = output_for(connection);
    format_reply(out, shared, exchange, &reply);
    release(connection, out);
    end_if_drained(connection);
    if (!connection->feeding || out->length > OUTPUT_BYTES_MAX)
        http_flush(connection);
}

/* --- replies without an end --- */

/** Where its bytes go now: out, or to their turn. */
static sl_buffer *stream_out(sl_http_exchange *exchange) {
    sl_http_connection *connection = exchange->connection;
    return connection->first == exchange ? output_for(connection) : &exchange->stored;
}

static void stream_send(const sl_http_exchange *exchange) {
    sl_http_connection *connection = exchange->connection;
    if (connection->first == exchange && !connection->feeding)
        http_flush(connection);
}

void sl_http_stream_begin(sl_http_exchange *exchange, const char *content_type, const char *headers,
                          void (*gone)(void *context), void *context) {
    sl_http_connection *connection = exchange->connection;
    assert(!exchange->answered && !exchange->streaming && !exchange->is_head);
    connection->shared->replies.of[2]++;
    exchange->handed = false;
    exchange->wants_continue = false;
    exchange->streaming = true;
    exchange->gone = gone;
    exchange->gone_context = context;
    if (connection->reading == exchange)
        connection->reading = NULL;
    sl_buffer *out = stream_out(exchange);
    sl_buffer_printf(out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s%.*s%s%s\r\n", content_type,
                     exchange->old ? "" : "Transfer-Encoding: chunked\r\n", (int)connection->shared->date_length,
                     connection->shared->date, exchange->close ? "Connection: close\r\n" : "", headers);
    stream_send(exchange);
}

void sl_http_stream_write(sl_http_exchange *exchange, const void *bytes, size_t length) {
    if (length == 0)
        return;
    sl_buffer *out = stream_out(exchange);
    if (!exchange->old)
        sl_buffer_printf(out, "%zx\r\n", length);
    sl_buffer_append(out, bytes, length);
    if (!exchange->old)
        sl_buffer_text(out, "\r\n");
    stream_send(exchange);
}

size_t sl_http_stream_unsent(const sl_http_exchange *exchange) {
    return exchange->stored.length + exchange->connection->unsent;
}

void sl_http_stream_end(sl_http_exchange *exchange, bool cut) {
    sl_http_connection *connection = exchange->connection;
    if (cut)
        connection->broken = true;
    sl_buffer *out = stream_out(exchange);
    if (!exchange->old)
        sl_buffer_text(out, "0\r\n\r\n");
    exchange->streaming = false;
    exchange->answered = true;
    if (connection->first != exchange)
        return;
    release(connection, out);
    end_if_drained(connection);
    if (!connection->feeding)
        http_flush(connection);
}

void sl_http_reply_error(sl_http_exchange *exchange, int status, const char *code,
                         const char *format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    size_t length = n < 0                        ? 0
                    : (size_t)n < sizeof message ? (size_t)n
                                                 : sizeof message - 1;
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_buffer_text(&body, "{\"error\":{\"code\":");
    sl_buffer_json_string(&body, code, strlen(code));
    sl_buffer_text(&body, ",\"message\":");
    sl_buffer_json_string(&body, message, length);
    sl_buffer_text(&body, "}}\n");
    const char *headers = "";
    if (status == 401)
        headers = "WWW-Authenticate: Bearer realm=\"sluice\"\r\n";
    else if (status == 429 || status == 503)
        headers = "Retry-After: 1\r\n";
    else if (status == 415) /* RFC 9110 section 15.5.16. */
        headers = "Accept-Encoding: gzip, zstd, deflate, identity\r\n";
    /* Without memory for the text the status says it alone. */
    sl_http_reply(exchange, status, "application/json", headers, body.bytes,
                  body.failed ? 0 : body.length);
    sl_buffer_fini(&body);
}
