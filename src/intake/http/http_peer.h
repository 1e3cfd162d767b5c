/** @file http_peer.h
 * For tests: a connection whose other end is a buffer, and a handler that writes down
 * what it gets.
 */
#pragma once

#include "sluice/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define PEER_WAITING_MAX 128

typedef struct peer {
    sl_http_options options;
    sl_http_connection *connection;
    sl_buffer output; /**< All that was sent. */
    sl_buffer log;    /**< One line for each request handled. */
    unsigned handled;
    bool later; /**< The handler doesn't answer: peer_answer() does. */
    sl_http_exchange *waiting[PEER_WAITING_MAX];
    unsigned waiting_count;
} peer;

static inline void peer_send(void *context, const void *bytes, size_t length) {
    peer *p = context;
    sl_buffer_append(&p->output, bytes, length);
}

static inline void peer_handle(void *context, const sl_http_request *request) {
    peer *p = context;
    p->handled++;
    /* All the padding has to be readable. */
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < SL_PADDING; i++)
        sum = (uint8_t)(sum + request->body[request->length + i]);
    sl_buffer_printf(&p->log, "%s %s?%s [%s] %zu:", request->method, request->path,
                     request->query, sl_http_header(request->exchange, "x-note"),
                     request->length);
    sl_buffer_append(&p->log, request->body, request->length);
    sl_buffer_text(&p->log, "\n");
    if (p->later) {
        p->waiting[p->waiting_count++ % PEER_WAITING_MAX] = request->exchange;
        return;
    }
    char text[64];
    int n = snprintf(text, sizeof text, "%s#%u\n", request->method, p->handled);
    sl_http_reply(request->exchange, 200, "text/plain", "", text, (size_t)n);
}

static inline void peer_answer(peer *p, unsigned which) {
    char text[32];
    int n = snprintf(text, sizeof text, "reply %u\n", which);
    sl_http_reply(p->waiting[which], 200, "text/plain", "", text, (size_t)n);
}

static inline bool peer_open(peer *p) {
    if (p->options.handler == NULL)
        p->options.handler = peer_handle;
    if (p->options.context == NULL)
        p->options.context = p;
    if (p->options.body_bytes_max == 0)
        p->options.body_bytes_max = 1 << 20;
    p->connection = sl_http_connection_create(&p->options, peer_send, p);
    return p->connection != NULL;
}

static inline void peer_close(peer *p) {
    sl_http_connection_destroy(p->connection);
    sl_buffer_fini(&p->output);
    sl_buffer_fini(&p->log);
}

/** As a server would: into the room that the connection offers. */
static inline void peer_feed(peer *p, const void *bytes, size_t length) {
    const uint8_t *from = bytes;
    while (length > 0) {
        size_t room;
        void *to = sl_http_connection_room(p->connection, &room);
        if (room > length)
            room = length;
        memcpy(to, from, room);
        sl_http_connection_feed(p->connection, to, room);
        from += room;
        length -= room;
    }
}

static inline void peer_text(peer *p, const char *text) {
    peer_feed(p, text, strlen(text));
}

static inline const char *peer_output(peer *p) { return sl_buffer_cstr(&p->output); }
