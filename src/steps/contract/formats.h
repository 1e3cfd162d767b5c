/** @file formats.h
 * The values of `format`, as predicates on UTF-8 text (JSON Schema validation,
 * section 7.3).
 */
#pragma once

#include "regex.h"
#include "uri.h"

/** `m`: for names beyond ASCII; what it lacks memory for is not valid, see
 * sl_regex_matcher_failed(). */
typedef bool format_fn(const uint8_t *text, size_t length, regex_matcher *m);

typedef struct format {
    const char *name;
    format_fn *check;
} format;

/** @return NULL: no format that is known. */
const format *sl_format_find(const uint8_t *name, size_t length);
/** As date-time, and a space may stand for the T (RFC 3339 section 5.6, note). */
extern const format sl_format_spaced_time;
