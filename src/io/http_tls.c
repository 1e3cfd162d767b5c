#include "http_tls.h"

#include "sluice/memory.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

struct tls_context {
    SSL_CTX *ctx;
};

struct tls_session {
    SSL *ssl;
    BIO *in, *out; /**< Owned by ssl. */
};

/** RFC 7301: "http/1.1" if the client lists it; else go on without, as clients that speak
 * only h2 notice. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                           const unsigned char *in, unsigned in_length, void *context) {
    static const unsigned char offer[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)context;
    if (SSL_select_next_proto(&chosen, out_length, offer, sizeof offer - 1, in,
                              in_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/** OpenSSL would ask on the terminal, and the loop would wait for somebody to type. */
static int no_passphrase(char *to, int size, int writing, void *asked) {
    (void)to;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

/** @param what Is wrong with `file`; OpenSSL's own word for it is added. */
static sl_status fail(sl_error *error, const char *name, const char *file, const char *what) {
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    sl_status status = sl_error_set(error, SL_EINVAL, "http.tls.%s: '%.200s' %s (%s)", name, file, what,
                                    reason != NULL ? reason : "not usable");
    ERR_clear_error();
    return status;
}

/** OpenSSL says "system lib" of a file that isn't there. */
static sl_status check_readable(const char *name, const char *file, sl_error *error) {
    FILE *f = fopen(file, "rb");
    if (f == NULL)
        return sl_error_set(error, SL_EINVAL, "http.tls.%s: cannot read '%.200s': %s", name, file, strerror(errno));
    (void)fclose(f);
    return SL_OK;
}

static sl_status use_files(SSL_CTX *ctx, const char *cert, const char *key, sl_error *error) {
    bool asked = false;
    sl_status status = check_readable("cert", cert, error);
    if (status == SL_OK)
        status = check_readable("key", key, error);
    if (status != SL_OK)
        return status;
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        status = fail(error, "cert", cert, "isn't a chain of certificates in PEM");
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 && asked)
        status = sl_error_set(error, SL_EINVAL,
                              "http.tls.key: '%.200s' is encrypted: give one without a passphrase (openssl pkey -in KEY "
                              "-out PLAIN_KEY)",
                              key);
    else if (SSL_CTX_check_private_key(ctx) != 1 /* Also where none could be read. */)
        status = fail(error, "key", key, "isn't the private key in PEM of the first certificate in http.tls.cert");
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    ERR_clear_error();
    return status;
}

sl_status tls_context_create(const char *cert, const char *key, tls_context **out,
                             sl_error *error) {
    *out = NULL;
    ERR_clear_error();
    tls_context *context = sl_calloc(1, sizeof *context);
    SSL_CTX *ctx = context != NULL ? SSL_CTX_new(TLS_server_method()) : NULL;
    if (ctx == NULL) {
        sl_free(context);
        return sl_error_set(error, SL_ENOMEM, "no memory for TLS");
    }
    context->ctx = ctx;
    sl_status status = SL_OK;
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
        status = sl_error_set(error, SL_EINVAL, "http.tls: this OpenSSL lacks TLS 1.2 or its ciphers");
    else
        status = use_files(ctx, cert, key, error);
    if (status != SL_OK) {
        tls_context_destroy(context);
        return status;
    }
    *out = context;
    return SL_OK;
}

void tls_context_destroy(tls_context *context) {
    if (context == NULL)
        return;
    SSL_CTX_free(context->ctx); /* Sessions hold references of their own. */
    sl_free(context);
}

tls_session *tls_session_create(tls_context *context) {
    tls_session *session = sl_calloc(1, sizeof *session);
    if (session == NULL)
        return NULL;
    session->ssl = SSL_new(context->ctx);
    session->in = BIO_new(BIO_s_mem());
    session->out = BIO_new(BIO_s_mem());
    if (session->ssl == NULL || session->in == NULL || session->out == NULL) {
        BIO_free(session->in);
        BIO_free(session->out);
        SSL_free(session->ssl);
        sl_free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, session->in, session->out);
    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_session_destroy(tls_session *session) {
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    sl_free(session);
}

bool tls_push(tls_session *session, const void *bytes, size_t length) {
    size_t written;
    return BIO_write_ex(session->in, bytes, length, &written) == 1 && written == length;
}

tls_result tls_read(tls_session *session, void *to, size_t room, size_t *length) {
    ERR_clear_error(); /* SSL_get_error() looks at the whole queue. */
    int result = SSL_read_ex(session->ssl, to, room, length);
    if (result == 1)
        return TLS_DATA;
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_END;
    default:
        return TLS_FAILED;
    }
}

bool tls_established(const tls_session *session) {
    return SSL_is_init_finished(session->ssl) == 1;
}

bool tls_write(tls_session *session, const void *bytes, size_t length) {
    size_t written;
    ERR_clear_error();
    return SSL_write_ex(session->ssl, bytes, length, &written) == 1 && written == length;
}

void tls_end(tls_session *session) {
    ERR_clear_error();
    if (tls_established(session))
        (void)SSL_shutdown(session->ssl);
}

size_t tls_pull(tls_session *session, const void **bytes) {
    char *text = NULL;
    long length = BIO_get_mem_data(session->out, &text);
    *bytes = text;
    return length > 0 ? (size_t)length : 0;
}

void tls_pulled(tls_session *session) { (void)BIO_reset(session->out); }
