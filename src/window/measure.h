// The text of a measure, read against a stream's schema.
#pragma once

#include "sluice/window.h"

#define SL_NEAREST_LENGTH 64u

typedef struct sl_measure_text {
    sl_measure_kind kind;
    sl_type argument; // INT64 for count(), undefined for DERIVED.
    uint8_t scale;
    double quantile;
    uint32_t field;   // SL_NO_FIELD: `expression`, or nothing.
    char *expression; // The caller's, freed with sl_free().
    bool missing;     // An inferred schema lacks it so far: all null.
} sl_measure_text;

SL_CHECKED sl_status sl_measure_text_read(const char *text, const sl_schema *schema,
                                          sl_measure_text *out, sl_error *error);
// Levenshtein's distance; SIZE_MAX when one is longer than SL_NEAREST_LENGTH.
size_t sl_window_distance(const char *a, size_t a_length, const char *b, size_t b_length);
// A field whose path is like `path`, or NULL.
const char *sl_window_nearest_field(const sl_schema *schema, const char *path,
                                    size_t length);
