/** @file private.h
 * What `sluice tap` and `sluice top` share: where the daemon is, and what a refusal says.
 */
#pragma once

#include "sluice/buffer.h"

enum { EXIT_USAGE = 64, EXIT_CONFIGURATION = 78 };

/**
 * Where the admin port is: `url` as given, else admin.listen of the configuration (NULL: as `sluice run` finds it).
 * @param[out] base "http://127.0.0.1:8080", without a '/' at its end.
 * @param[out] cert The daemon's certificate where that port has TLS and the configuration says so; else empty.
 * @return 0, or the exit code: what is wrong was said on stderr.
 */
int watch_address(const char *url, const char *config, sl_buffer *base, sl_buffer *cert);
/** The message of `{"error":{"message":…}}`, else the text as far as its first line goes. */
void watch_refusal(const char *text, size_t length, sl_buffer *out);
/** Text as a query's value, RFC 3986. */
void watch_escape(const char *text, sl_buffer *out);
/** JSON text on several lines; strings and numbers stay byte for byte. */
void watch_indent(const char *json, size_t length, sl_buffer *out);
