/** @file head.h
 * The head of a request, read strictly, after llhttp has found it well formed and
 * complete.
 *
 * Format   RFC 9112 section 2.1:
 *              HTTP-message   = start-line CRLF *( field-line CRLF ) CRLF [ message-body
 * ] request-line   = method SP request-target SP HTTP-version field-line     = field-name
 * ":" OWS field-value OWS Empty lines in front are skipped (section 2.2). llhttp 8.1 lets
 * folded lines, a missing Host, several spaces, RTSP and HTTP/2.0 pass: here they do not.
 * Memory   No copies. Offsets into the head, whose texts are ended with a 0 in place; the
 * path is percent-decoded in place.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_BYTES_MAX 16384u
#define HTTP_FIELDS_MAX 100u

/** Offsets and lengths in the head; it has at most 16 KiB. */
typedef struct http_field {
    uint16_t name, name_length, value, value_length;
} http_field;

typedef enum http_coding {
    HTTP_IDENTITY,
    HTTP_GZIP,
    HTTP_ZSTD,
    HTTP_DEFLATE
} http_coding;

typedef struct http_head {
    char *base; /**< Its first byte; moves when the connection moves the head. */
    uint32_t length;
    uint16_t method, path, query;
    uint16_t field_count;
    bool is_head; /**< The method is HEAD: a reply without its body. */
    bool old;     /**< HTTP/1.0. */
    bool close;   /**< No request after this one. */
    bool chunked;
    bool expect_continue;
    uint64_t names;       /**< A bit for each name that is there, shared by some: most that aren't are seen by it. */
    uint64_t body_length; /**< Content-Length; 0 without one. */
    http_coding coding;
    http_field fields[HTTP_FIELDS_MAX];
} http_head;

/**
 * @param base    `length` bytes that end with an empty line; changed in place.
 * @param[out] why What is wrong, a constant.
 * @return 0, or the status to answer before the connection is closed: 400, 415, 417, 431,
 * 501, 505.
 */
int http_head_read(http_head *head, char *base, size_t length, const char **why);
/** @return The first field `name` (lower case), or NULL. @param[out] count How many there are. */
const http_field *http_head_field(const http_head *head, const char *name, unsigned *count);
