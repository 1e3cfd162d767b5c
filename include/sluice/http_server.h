/** @file http_server.h
 * Listens with libuv and moves bytes between sockets (plain or TLS) and sl_http_connection.
 *
 * Limits   Connections, header time 10 s, body time (at least 1 KiB/s after 10 s), idle time 75 s, write stall 30 s.
 * Signals  SIGPIPE is ignored from the first server on, unless it has a handler.
 * Threads  The loop.
 */
#pragma once

#include "sluice/http.h"

struct uv_loop_s;
typedef struct sl_http_server sl_http_server;

typedef struct sl_http_server_options {
    const char *listen;     /**< "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0" */
    const char *tls_cert, *tls_key; /**< PEM files, or NULL. */
    unsigned connections_max; /**< 0: 10,000. */
    unsigned header_timeout_ms, idle_timeout_ms, stall_timeout_ms; /**< 0: the defaults. */
    sl_http_options http;
} sl_http_server_options;

/** Do the two files make a server with TLS? For `validate`. @return SL_OK; SL_EINVAL with the key and the mend; SL_ENOMEM. */
SL_CHECKED sl_status sl_http_tls_check(const char *cert, const char *key, sl_error *error);
/** @return SL_OK; SL_EEXIST (address in use), SL_EINVAL, SL_EDENIED, SL_EIO with the place and the mend in `error`. */
SL_CHECKED sl_status sl_http_server_create(struct uv_loop_s *loop, const sl_http_server_options *options,
                                           sl_http_server **out, sl_error *error);
unsigned sl_http_server_port(const sl_http_server *server); /**< The bound port. */
unsigned sl_http_server_connections(const sl_http_server *server);
sl_http_replies sl_http_server_replies(const sl_http_server *server);
/** Reload certificate and key from their files. The old ones stay on failure. */
SL_CHECKED sl_status sl_http_server_reload_tls(sl_http_server *server, sl_error *error);
/** Stop listening; let exchanges in flight finish, close idle connections. `closed` is called when the last is gone.
 * A second call before that doesn't wait for them any more. */
void sl_http_server_close(sl_http_server *server, void (*closed)(void *context), void *context);
