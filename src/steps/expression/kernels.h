/** @file kernels.h
 * What the column steps share. Each fills `out` for rows 0..rows from its operands;
 * `valid` 0 stands for an error or a missing value and makes the result 0 too, except
 * where && and || absorb it.
 *
 * Cells that are not valid are undefined: arithmetic runs over them all the same
 * (branches cost more than sums), so it must be defined for every bit pattern. Steps on
 * texts and lists look at `valid` first.
 */
#pragma once

#include "internal.h"

__extension__ typedef __int128 wide;

static inline void valid_of_one(const step *s, uint32_t rows) {
    memcpy(s->out->valid, s->in[0]->valid, rows);
}

static inline void valid_of_both(const step *s, uint32_t rows) {
    const uint8_t *a = s->in[0]->valid, *b = s->in[1]->valid;
    uint8_t *restrict valid = s->out->valid;
    for (uint32_t i = 0; i < rows; i++)
        valid[i] = a[i] & b[i];
}

static inline void valid_of_all(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    uint8_t *restrict valid = s->out->valid;
    for (uint32_t k = 1; k < ARGUMENTS_MAX && s->in[k] != NULL; k++)
        for (uint32_t i = 0; i < rows; i++)
            valid[i] &= s->in[k]->valid[i];
}

static inline void fail_if(const step *s, uint32_t row, bool failed) {
    s->out->valid[row] = s->out->valid[row] && !failed;
}

/** The rows of `out` that are valid so far. */
#define EACH_VALID(s, rows, i)                                                           \
    for (uint32_t i = 0; i < (rows); i++)                                                \
        if ((s)->out->valid[i])

static inline text text_of(const void *bytes, size_t length) {
    return (text){.bytes = bytes, .length = (uint32_t)length};
}

static inline bool equal_texts(text a, text b) {
    return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

static inline bool continues_character(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/** In code points. */
static inline int64_t characters(text t) {
    int64_t count = 0;
    for (uint32_t i = 0; i < t.length; i++)
        count += !continues_character(t.bytes[i]);
    return count;
}

/** A copy in the step's memory. @return false when out of memory. */
static inline bool keep_copy(const step *s, const void *bytes, size_t length, text *out) {
    uint8_t *copy = sl_arena_get(s->made, length + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, bytes, length);
    *out = text_of(copy, length);
    return true;
}

/** First byte of `part` in `t` at or after byte `from`; UINT32_MAX: it isn't there. */
uint32_t find_text(text t, text part, uint32_t from);
/** Last one at or before `from`. */
uint32_t find_last_text(text t, text part, uint32_t from);

/** An empty text that has an address. */
#define NO_TEXT ((text){.bytes = (const uint8_t *)"", .length = 0})
