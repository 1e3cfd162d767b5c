/** @file uri.h
 * URI references: their parts, whether they follow the grammar, and resolution against a
 * base.
 *
 * Source   RFC 3986 sections 3 (parts), 5.2 (resolution), appendix A (grammar); RFC 3987
 * for IRIs.
 */
#pragma once

#include "sluice/buffer.h"

typedef struct uri_part {
    const char *text; /**< NULL: the part isn't there (an empty one is). */
    size_t length;
} uri_part;

typedef struct uri_parts {
    uri_part scheme, authority, path, query, fragment;
} uri_parts;

/** Any text has parts; the grammar isn't looked at. */
uri_parts sl_uri_split(const char *text, size_t length);
/** Does the text follow the grammar of a URI reference (with `international`: an IRI
 * reference)? */
bool sl_uri_valid(const char *text, size_t length, bool international);
/** `reference` without its fragment, resolved against `base` (which may be relative or
 * empty). */
void sl_uri_resolve(const char *base, const char *reference, size_t length,
                    sl_buffer *out);
/** Undo %XX. @return false: a broken one. */
bool sl_uri_unquote(const char *text, size_t length, sl_buffer *out);

// --- formats.c
/** Is the text an address of version 6? */
bool sl_format_ipv6(const uint8_t *text, size_t length);
