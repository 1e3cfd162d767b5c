#include "connection.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* What one feed() works on: the shared read buffer, or the connection's own input. */
typedef struct window {
    uint8_t *bytes;
    size_t length, at;
    bool own;
} window;

/* llhttp stops behind each head; bodies are framed here. Callbacks that aren't set cost
 * nothing. */
static int stop_behind_head(llhttp_t *parser) {
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t head_settings = {.on_headers_complete = stop_behind_head};

static const uint8_t no_body[SL_PADDING];
static const char http2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113 section 3.4. */

sl_http_connection *sl_http_connection_create(const sl_http_options *options,
                                              sl_http_send_fn *send, void *context) {
    sl_http_connection *connection = sl_calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    connection->options = options;
    connection->send = send;
    connection->context = context;
    connection->shared = options->shared;
    if (connection->shared == NULL) {
        connection->shared = sl_http_shared_create(options->budget);
        connection->owns_shared = true;
    }
    if (connection->shared == NULL) {
        sl_free(connection);
        return NULL;
    }
    llhttp_init(&connection->parser, HTTP_REQUEST, &head_settings);
    return connection;
}

void sl_http_connection_destroy(sl_http_connection *connection) {
    if (connection == NULL)
        return;
    sl_http_shared *shared = connection->shared;
    if (shared->output_owner == connection) {
        shared->output_owner = NULL;
        sl_buffer_clear(&shared->output);
    }
    while (connection->first != NULL) {
        sl_http_exchange *exchange = connection->first;
        connection->first = exchange->next;
        exchange->connection = NULL;
        if (exchange->streaming)
            exchange->gone(exchange->gone_context);
        if (!exchange->handed)
            http_exchange_give(shared, exchange);
    }
    http_block_give(shared, &connection->body);
    sl_buffer_fini(&connection->input);
    if (connection->owns_shared)
        sl_http_shared_destroy(shared);
    sl_free(connection);
}

/** @return The new end of the queue; NULL when out of memory (the connection is broken
 * then). */
static sl_http_exchange *begin_exchange(sl_http_connection *connection) {
    sl_http_exchange *exchange = http_exchange_take(connection->shared);
    if (exchange == NULL) {
        connection->broken = true;
        connection->state = HTTP_STATE_DONE;
        return NULL;
    }
    exchange->connection = connection;
    if (connection->last != NULL)
        connection->last->next = exchange;
    else
        connection->first = exchange;
    connection->last = exchange;
    connection->outstanding++;
    connection->reading = exchange;
    return exchange;
}

static const char *code_of(int status) {
    switch (status) {
    case 401:
        return "unauthorized";
    case 403:
        return "forbidden";
    case 404:
        return "not_found";
    case 405:
        return "method_not_allowed";
    case 408:
        return "timeout";
    case 413:
        return "too_large";
    case 415:
        return "unsupported_media_type";
    case 417:
        return "expectation_failed";
    case 429:
        return "busy";
    case 431:
        return "header_too_large";
    case 501:
        return "not_implemented";
    case 503:
        return "unavailable";
    case 505:
        return "version";
    default:
        return "bad_request";
    }
}

/** The head is sound, so its path may have a form of its own for what is wrong with the body. */
static void refuse_body(sl_http_connection *connection, sl_http_exchange *exchange, int status,
                        const char *code, const char *why) {
    const sl_http_options *options = connection->options;
    const http_head *head = &connection->head;
    connection->visible = exchange;
    bool answered = options->refuse != NULL &&
                    options->refuse(options->context, head->base + head->method, head->base + head->path, exchange, status, why);
    connection->visible = NULL;
    if (!answered)
        sl_http_reply_error(exchange, status, code, "%s", why);
}

/** "the body is larger", and than what. */
static const char *beyond(const sl_http_connection *connection, const char *what, char text[96]) {
    (void)snprintf(text, 96, "%s http.max_body (%zu bytes)", what, connection->options->body_bytes_max);
    return text;
}

/** Answer the request that is being read with an error, and read nothing after it. */
static void refuse_as(sl_http_connection *connection, int status, const char *why, bool in_form) {
    sl_http_exchange *exchange = connection->reading;
    connection->state = HTTP_STATE_DONE;
    http_block_give(connection->shared, &connection->body);
    if (exchange == NULL) /* It has its answer: it was only being read past. */
        return;
    exchange->close = true;
    if (in_form)
        refuse_body(connection, exchange, status, code_of(status), why);
    else
        sl_http_reply_error(exchange, status, code_of(status), "%s", why);
}

static void refuse(sl_http_connection *connection, int status, const char *why) {
    refuse_as(connection, status, why, false);
}

/** The request can't be taken now, but its framing is sound: answer, and read past the
 * rest of its body. */
static void turn_away(sl_http_connection *connection, sl_status status) {
    http_head *head = &connection->head;
    http_block_give(connection->shared, &connection->body);
    connection->skip = true;
    connection->skipped = 0;
    head->close = head->close || head->expect_continue;
    if (head->close)
        connection->state = HTTP_STATE_DONE;
    connection->reading->close = head->close;
    int code = status == SL_EFULL ? 429 : 503;
    refuse_body(connection, connection->reading, code, code_of(code),
                "no memory for the body at present; send it again");
}

static void end_request(sl_http_connection *connection, bool close) {
    http_block_give(connection->shared, &connection->body);
    connection->skip = false;
    connection->state = close ? HTTP_STATE_DONE : HTTP_STATE_HEAD;
    connection->head.base = NULL;
}

static void hand_over(sl_http_connection *connection, const uint8_t *body,
                      size_t length) {
    sl_http_exchange *exchange = connection->reading;
    const http_head *head = &connection->head;
    sl_http_request request = {.method = head->base + head->method,
                               .path = head->base + head->path,
                               .query = head->base + head->query,
                               .body = body,
                               .length = length,
                               .exchange = exchange};
    connection->reading = NULL;
    connection->visible = exchange;
    exchange->handed = true;
    connection->options->handler(connection->options->context, &request);
    connection->visible = NULL;
}

/** The body is whole. Decode it and hand the request over; it has ended afterwards. */
static void deliver(sl_http_connection *connection, const uint8_t *body, size_t length) {
    sl_http_exchange *exchange = connection->reading;
    bool close = connection->head.close;
    if (connection->skip) {
        end_request(connection, close);
        return;
    }
    if (connection->head.coding == HTTP_IDENTITY) {
        hand_over(connection, body, length);
        end_request(connection, close);
        return;
    }
    http_block decoded = {0};
    size_t decoded_length;
    char text[96];
    size_t max = connection->options->body_bytes_max;
    sl_status status = http_decode(connection->shared, connection->head.coding, body,
                                   length, max, &decoded, &decoded_length);
    if (status == SL_OK)
        hand_over(connection, decoded.bytes, decoded_length);
    else if (status == SL_ESYNTAX)
        refuse_body(connection, exchange, 400, "encoding", "the body isn't what Content-Encoding says");
    else if (status == SL_ELIMIT)
        refuse_body(connection, exchange, 413, "too_large", beyond(connection, "the body expands beyond", text));
    else
        refuse_body(connection, exchange, status == SL_EFULL ? 429 : 503, status == SL_EFULL ? "busy" : "unavailable",
                    "no memory for the body at present; send it again");
    http_block_give(connection->shared, &decoded);
    end_request(connection, close);
}

/** Content-Length is known: use the body where it stands, or make its final place. */
static void begin_length(sl_http_connection *connection, window *w) {
    const http_head *head = &connection->head;
    uint64_t present = w->length - w->at;
    if (present >= head->body_length) {
        const uint8_t *body = head->body_length > 0 ? w->bytes + w->at : no_body;
        w->at += (size_t)head->body_length;
        deliver(connection, body, (size_t)head->body_length);
        return;
    }
    connection->state = HTTP_STATE_LENGTH;
    connection->body_left = head->body_length;
    connection->body_length = 0;
    if (connection->skip)
        return;
    sl_status status =
        http_block_take(connection->shared, (size_t)head->body_length, &connection->body);
    if (status != SL_OK)
        turn_away(connection, status);
    else if (head->expect_continue && present == 0)
        http_say_continue(connection, connection->reading);
}

static void begin_chunked(sl_http_connection *connection, const window *w) {
    connection->state = HTTP_STATE_CHUNKED;
    connection->chunks = (http_chunks){0};
    connection->body_length = 0;
    connection->skipped = 0;
    if (!connection->skip && connection->head.expect_continue && w->at == w->length)
        http_say_continue(connection, connection->reading);
}

/** A head is complete in `w`: judge it and go on to its body. */
static void begin_request(sl_http_connection *connection, window *w, size_t head_length) {
    const sl_http_options *options = connection->options;
    http_head *head = &connection->head;
    sl_http_exchange *exchange = begin_exchange(connection);
    if (exchange == NULL)
        return;
    connection->requests++;
    connection->scanned = 0;
    connection->skip = false;
    const char *why = "";
    char text[96];
    int status = http_head_read(head, (char *)w->bytes + w->at, head_length, &why);
    w->at += head_length;
    if (status == 0 && head->body_length > options->body_bytes_max) {
        status = 413;
        why = beyond(connection, "the body is larger than", text);
    }
    if (status != 0) {
        refuse_as(connection, status, why, status == 413 || status == 415 || status == 417);
        return;
    }
    llhttp_reset(&connection->parser);
    exchange->is_head = head->is_head;
    exchange->old = head->old;
    /* A refusal instead of 100 leaves open whether the body follows: close then (RFC
     * 9110, 10.1.1). */
    bool has_body = head->chunked || head->body_length > 0;
    exchange->close = head->close || (head->expect_continue && has_body);
    if (options->admit != NULL) {
        connection->visible = exchange;
        status = options->admit(options->context, (const char *)head->base + head->method,
                                (const char *)head->base + head->path, exchange);
        connection->visible = NULL;
        if (status != 0) {
            connection->skip = true;
            head->close = head->close || (head->expect_continue && has_body);
            if (connection->reading != NULL)
                sl_http_reply_error(exchange, status, code_of(status), "%s",
                                    "not admitted");
            if (head->close) {
                connection->state = HTTP_STATE_DONE;
                return;
            }
        }
    }
    if (!connection->skip)
        exchange->close = head->close;
    if (head->chunked)
        begin_chunked(connection, w);
    else
        begin_length(connection, w);
}

/** llhttp's reason, which is for people who know HTTP. */
static void refuse_grammar(sl_http_connection *connection, int status, const char *why) {
    if (begin_exchange(connection) == NULL)
        return;
    connection->requests++;
    refuse(connection, status, why != NULL && *why != 0 ? why : "not valid HTTP/1.1");
}

/** @return false: nothing more to do with this window. */
static bool read_head(sl_http_connection *connection, window *w) {
    if (w->at == w->length || connection->outstanding >= HTTP_OUTSTANDING_MAX)
        return false;
    if (connection->fed_output > HTTP_FEED_OUTPUT_MAX) {
        connection->holds = true;
        return false;
    }
    uint8_t *start = w->bytes + w->at;
    size_t length = w->length - w->at;
    if (length > HTTP_HEAD_BYTES_MAX)
        length = HTTP_HEAD_BYTES_MAX;
    llhttp_t *parser = &connection->parser;
    llhttp_errno_t error = llhttp_execute(
        parser, (const char *)start + connection->scanned, length - connection->scanned);
    if (error == HPE_OK) {
        connection->scanned = length;
        if (length == HTTP_HEAD_BYTES_MAX)
            refuse_grammar(connection, 431, "the head is larger than 16 KiB");
        return false;
    }
    if (error == HPE_PAUSED_H2_UPGRADE && connection->requests == 0 && length >= sizeof http2_preface - 1 &&
        memcmp(start, http2_preface, sizeof http2_preface - 1) == 0) {
        http_say_no_http2(connection);
        connection->state = HTTP_STATE_DONE;
        return false;
    }
    if (error != HPE_PAUSED) {
        refuse_grammar(connection, 400, llhttp_get_error_reason(parser));
        return false;
    }
    llhttp_resume(parser);
    begin_request(connection, w,
                  (size_t)((const uint8_t *)llhttp_get_error_pos(parser) - start));
    return true;
}

/** A body of known length that doesn't come to its final place by itself. */
static bool read_length(sl_http_connection *connection, window *w) {
    size_t present = w->length - w->at;
    size_t n = connection->body_left < present ? (size_t)connection->body_left : present;
    if (!connection->skip)
        memcpy(connection->body.bytes + connection->body_length, w->bytes + w->at, n);
    w->at += n;
    connection->body_length += n;
    connection->body_left -= n;
    if (connection->body_left > 0)
        return false;
    deliver(connection, connection->body.bytes, connection->body_length);
    return true;
}

/** Take a piece of a chunked body. @return false: the connection reads no more. */
static bool take_chunk(sl_http_connection *connection, const uint8_t *data,
                       size_t length) {
    size_t max = connection->options->body_bytes_max;
    uint64_t so_far = connection->skip ? connection->skipped : connection->body_length;
    /* The chunk's size tells already that it is too much. */
    if (length > max - so_far || connection->chunks.left > max - so_far - length) {
        char text[96];
        refuse_as(connection, 413, beyond(connection, "the body is larger than", text), true);
        return false;
    }
    if (connection->skip) {
        connection->skipped += length;
        return true;
    }
    size_t wanted = (size_t)so_far + length + (size_t)connection->chunks.left;
    sl_status status =
        http_block_grow(connection->shared, &connection->body, wanted, max);
    if (status != SL_OK) {
        turn_away(connection, status);
        connection->skipped = so_far + length;
        return connection->state != HTTP_STATE_DONE;
    }
    memcpy(connection->body.bytes + so_far, data, length);
    connection->body_length += length;
    return true;
}

static bool read_chunks(sl_http_connection *connection, window *w) {
    while (w->at < w->length && connection->chunks.state != CHUNK_DONE) {
        const uint8_t *data;
        size_t length;
        w->at += http_chunks_read(&connection->chunks, w->bytes + w->at,
                                  w->length - w->at, &data, &length);
        if (connection->chunks.state == CHUNK_BAD) {
            refuse(connection, 400,
                   "a chunk isn't valid (extensions and trailers aren't taken)");
            return false;
        }
        if (length > 0 && !take_chunk(connection, data, length))
            return false;
    }
    if (connection->chunks.state != CHUNK_DONE)
        return false;
    deliver(connection, connection->body.bytes != NULL ? connection->body.bytes : no_body,
            connection->body_length);
    return true;
}

static void work(sl_http_connection *connection, window *w) {
    bool more = true;
    while (more) {
        switch (connection->state) {
        case HTTP_STATE_HEAD:
            more = read_head(connection, w);
            break;
        case HTTP_STATE_LENGTH:
            more = read_length(connection, w);
            break;
        case HTTP_STATE_CHUNKED:
            more = read_chunks(connection, w);
            break;
        case HTTP_STATE_DONE:
            more = false;
            break;
        }
    }
}

/** Keep `length` bytes at `from` as the connection's input, wherever they stand. */
static bool keep(sl_http_connection *connection, const uint8_t *from, size_t length,
                 bool own) {
    sl_buffer *input = &connection->input;
    if (own) {
        memmove(input->bytes, from, length);
        input->length = length;
        return true;
    }
    input->length = 0;
    if (!sl_buffer_reserve(input, length + SL_PADDING))
        return false;
    sl_buffer_append(input, from, length);
    return true;
}

/** What has to survive until the next feed(): the rest, or the head of the request whose
 * body is coming. */
static void settle(sl_http_connection *connection, const window *w) {
    sl_buffer *input = &connection->input;
    size_t rest = w->length - w->at;
    bool reading_body =
        connection->state == HTTP_STATE_LENGTH || connection->state == HTTP_STATE_CHUNKED;
    if (connection->state == HTTP_STATE_HEAD && rest > 0) {
        if (!keep(connection, w->bytes + w->at, rest, w->own)) {
            connection->broken = true;
            connection->state = HTTP_STATE_DONE;
        }
        return;
    }
    if (reading_body && !connection->skip) {
        http_head *head = &connection->head;
        assert(rest == 0);
        const uint8_t *base = (const uint8_t *)head->base;
        if (base == input->bytes) {
            input->length = head->length;
        } else if (keep(connection, base, head->length, w->own)) {
            head->base = (char *)input->bytes;
        } else {
            input->failed = false;
            refuse(connection, 503, "no memory at present; send it again");
        }
        return;
    }
    /* Nothing: an idle connection holds at most a small buffer. */
    input->length = 0;
    if (input->capacity > 2048)
        sl_buffer_fini(input);
}

/** Bytes of the input that are no news: the head whose body is being read. */
static size_t kept(const sl_http_connection *connection) {
    return connection->state == HTTP_STATE_HEAD ? 0 : connection->input.length;
}

/** Choose what to work on. @return false when out of memory. */
static bool open_window(sl_http_connection *connection, const void *bytes, size_t length,
                        window *w) {
    sl_buffer *input = &connection->input;
    size_t before = kept(connection);
    if (bytes == connection->shared->read && input->length == before) {
        *w = (window){connection->shared->read, length, 0, false};
        return true;
    }
    if (length > 0 && input->bytes != NULL && bytes == input->bytes + input->length)
        input->length += length; /* It was read to its place. */
    else if (length > 0) {
        if (!sl_buffer_reserve(input, length + SL_PADDING))
            return false;
        sl_buffer_append(input, bytes, length);
    }
    if (before > 0) /* The buffer may have moved. */
        connection->head.base = (char *)input->bytes;
    *w = (window){input->bytes, input->length, before, true};
    return true;
}

void sl_http_connection_feed(sl_http_connection *connection, const void *bytes,
                             size_t length) {
    if (connection->state == HTTP_STATE_DONE)
        return;
    connection->feeding = true;
    connection->holds = false;
    connection->fed_output = 0;
    if (connection->state == HTTP_STATE_LENGTH && !connection->skip && length > 0 &&
        bytes == connection->body.bytes + connection->body_length) {
        /* The body was read to its final place, which has room for no more than it. */
        assert(length <= connection->body_left);
        connection->body_length += length;
        connection->body_left -= length;
        if (connection->body_left == 0) {
            deliver(connection, connection->body.bytes, connection->body_length);
            settle(connection, &(window){0});
        }
    } else {
        window w;
        if (open_window(connection, bytes, length, &w)) {
            work(connection, &w);
            settle(connection, &w);
        } else {
            connection->broken = true;
            connection->state = HTTP_STATE_DONE;
        }
    }
    connection->feeding = false;
    if (connection->finished)
        sl_http_connection_finish(connection);
    if (connection->draining)
        sl_http_connection_drain(connection);
    http_flush(connection);
}

void *sl_http_connection_room(sl_http_connection *connection, size_t *length) {
    sl_buffer *input = &connection->input;
    if (connection->state == HTTP_STATE_LENGTH && !connection->skip) {
        *length = (size_t)connection->body_left;
        return connection->body.bytes + connection->body_length;
    }
    if (connection->state == HTTP_STATE_HEAD && input->length > 0 &&
        sl_buffer_reserve(input, 4096 + SL_PADDING)) {
        *length = input->capacity - input->length - SL_PADDING;
        return input->bytes + input->length;
    }
    *length = HTTP_READ_BYTES;
    return connection->shared->read;
}

void sl_http_connection_finish(sl_http_connection *connection) {
    /* Requests that came before the end are still taken up. */
    connection->finished = true;
    if (sl_http_connection_paused(connection) || connection->holds)
        return;
    if (connection->first != NULL && connection->first->streaming)
        connection->broken = true; /* Whoever reads a body without an end and says goodbye has gone. */
    sl_http_phase phase = sl_http_connection_phase(connection);
    if (phase == SL_HTTP_HEADER)
        refuse_grammar(connection, 400, "the request ends early");
    else if (phase == SL_HTTP_BODY)
        refuse(connection, 400, "the request ends early");
    connection->state = HTTP_STATE_DONE;
}

void sl_http_connection_timeout(sl_http_connection *connection) {
    sl_http_phase phase = sl_http_connection_phase(connection);
    if (phase == SL_HTTP_HEADER)
        refuse_grammar(connection, 408, "the request came too slowly");
    else if (phase == SL_HTTP_BODY)
        refuse(connection, 408, "the request came too slowly");
    connection->state = HTTP_STATE_DONE;
}

void sl_http_connection_drain(sl_http_connection *connection) {
    connection->draining = true;
    if (connection->state == HTTP_STATE_HEAD && connection->first == NULL &&
        connection->input.length == 0)
        connection->state = HTTP_STATE_DONE;
}

bool sl_http_connection_wants_close(const sl_http_connection *connection) {
    return connection->broken ||
           (connection->state == HTTP_STATE_DONE && connection->first == NULL);
}

bool sl_http_connection_broken(const sl_http_connection *connection) {
    return connection->broken;
}

void sl_http_connection_unsent(sl_http_connection *connection, size_t bytes) {
    connection->unsent = bytes;
}

bool sl_http_connection_paused(const sl_http_connection *connection) {
    return connection->state == HTTP_STATE_HEAD &&
           connection->outstanding >= HTTP_OUTSTANDING_MAX;
}

bool sl_http_connection_holds(const sl_http_connection *connection) {
    return connection->holds;
}

sl_http_phase sl_http_connection_phase(const sl_http_connection *connection) {
    switch (connection->state) {
    case HTTP_STATE_LENGTH:
    case HTTP_STATE_CHUNKED:
        return SL_HTTP_BODY;
    case HTTP_STATE_HEAD:
        if (connection->input.length > 0 && !sl_http_connection_paused(connection))
            return SL_HTTP_HEADER;
        break;
    case HTTP_STATE_DONE:
        break;
    }
    return connection->first != NULL ? SL_HTTP_REPLY : SL_HTTP_IDLE;
}

uint64_t sl_http_connection_requests(const sl_http_connection *connection) {
    return connection->requests;
}

static const http_head *head_of(const sl_http_exchange *exchange) {
    const sl_http_connection *connection = exchange->connection;
    return connection != NULL && connection->visible == exchange ? &connection->head
                                                                 : NULL;
}

const char *sl_http_header(const sl_http_exchange *exchange, const char *name) {
    const http_head *head = head_of(exchange);
    unsigned count;
    const http_field *field = head != NULL ? http_head_field(head, name, &count) : NULL;
    return field != NULL ? head->base + field->value : "";
}

const char *sl_http_header_at(const sl_http_exchange *exchange, unsigned i, const char **name, size_t *name_length) {
    const http_head *head = head_of(exchange);
    if (head == NULL || i >= head->field_count)
        return NULL;
    *name = head->base + head->fields[i].name;
    *name_length = head->fields[i].name_length;
    return head->base + head->fields[i].value;
}

unsigned sl_http_header_count(const sl_http_exchange *exchange, const char *name) {
    const http_head *head = head_of(exchange);
    unsigned count = 0;
    if (head != NULL)
        (void)http_head_field(head, name, &count);
    return count;
}

void sl_http_set_mark(sl_http_exchange *exchange, const void *mark) {
    exchange->mark = mark;
}

const void *sl_http_mark(const sl_http_exchange *exchange) { return exchange->mark; }
