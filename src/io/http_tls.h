/** @file http_tls.h
 * TLS between memory buffers, for http_server.c: cipher text in, plain text out, and the
 * other way round.
 *
 * Rules    TLS 1.2 and 1.3, ECDHE with AES-GCM or ChaCha20 (RFC 9325), no renegotiation,
 * ALPN "http/1.1". Threads  The loop.
 */
#pragma once

#include "sluice/status.h"

#include <stddef.h>

typedef struct tls_context
    tls_context; /**< Certificate and key; may be replaced while sessions live. */
typedef struct tls_session tls_session;

/** @return SL_OK, SL_EINVAL (a file isn't readable, isn't PEM, or they don't match),
 * SL_ENOMEM. */
SL_CHECKED sl_status tls_context_create(const char *cert, const char *key,
                                        tls_context **out, sl_error *error);
void tls_context_destroy(tls_context *context);

tls_session *tls_session_create(tls_context *context); /**< NULL when out of memory. */
void tls_session_destroy(tls_session *session);
/** Cipher text came from the peer. @return false: out of memory. */
bool tls_push(tls_session *session, const void *bytes, size_t length);
typedef enum tls_result { TLS_DATA, TLS_WAIT, TLS_END, TLS_FAILED } tls_result;
/** Next plain text into `to`; goes on with the handshake as long as there is one. */
tls_result tls_read(tls_session *session, void *to, size_t room, size_t *length);
bool tls_established(const tls_session *session);
/** Encrypt. @return false when it fails. */
bool tls_write(tls_session *session, const void *bytes, size_t length);
void tls_end(tls_session *session); /**< Say close_notify. */
/** Cipher text to send: all there is, valid until the next call. */
size_t tls_pull(tls_session *session, const void **bytes);
void tls_pulled(tls_session *session); /**< It was taken. */
