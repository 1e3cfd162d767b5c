/** @file json.h
 * Strict JSON, token by token, over bytes at hand.
 *
 * Threads  Its owner.
 * Source   RFC 8259; RFC 3629.
 */
#pragma once

#include "sluice/buffer.h"

typedef struct json_reader {
    const uint8_t *at, *end, *begin;
    const char *wrong; /**< Set once; from then on nothing is read. */
} json_reader;

/** A string's bytes as they stand between its quotes. */
typedef struct json_text {
    const uint8_t *bytes;
    size_t length;
    bool escaped; /**< It has escapes: json_unescape(). */
} json_text;

bool json_fail(json_reader *reader, const char *wrong); /**< @return false */
uint8_t json_peek(json_reader *reader);                 /**< Next byte after white space; 0 at the end. */
bool json_take(json_reader *reader, uint8_t byte);      /**< That byte next, or fail. */
/** The comma between, or the end `close`. @return true: a member or element follows. */
bool json_more(json_reader *reader, uint8_t close, bool first);
bool json_string(json_reader *reader, json_text *out);
/** Appends the text; @return false: a lone surrogate, or out of memory. */
bool json_unescape(json_reader *reader, const json_text *text, sl_buffer *out);
bool json_null(json_reader *reader); /**< Takes a null, if one is next. */
bool json_boolean(json_reader *reader, bool *out);
/** @return a whole number up to `max` (else the max); fails on what isn't a number. Fractions and signs give 0. */
bool json_count(json_reader *reader, uint32_t max, uint32_t *out);
bool json_skip(json_reader *reader); /**< Any value. */
