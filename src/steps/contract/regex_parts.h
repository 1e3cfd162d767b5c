// What regex.c is made of: the translation and the walk.
#pragma once

#include "regex.h"

static inline bool is_letter(int c) { return c > 0 && (unsigned)((c | 0x20) - 'a') < 26; }
static inline bool is_digit(int c) { return c >= '0' && c <= '9'; }

/** @param[out] out The pattern in PCRE2's language; the caller's, also after a failure.
 * @return SL_OK, SL_EINVAL, SL_EUNSUPPORTED, SL_ELIMIT, SL_ENOMEM. */
SL_CHECKED sl_status sl_regex_translate(const uint8_t *text, size_t length,
                                        sl_buffer *out, sl_error *error);

#define WALK_STEPS_MAX 32u
#define WALK_PREFIX_MAX 16u

/** A character set with a count: bytes of ASCII, and whether everything beyond ASCII is
 * in it. */
typedef struct walk_step {
    uint64_t set[2];
    uint32_t least, most; /**< UINT32_MAX: no limit. */
} walk_step;

typedef struct regex_walk {
    uint32_t step_count;
    bool simple;   /**< The walk answers; else it doesn't know. */
    bool open_end; /**< Without `$`. */
    uint8_t prefix_length;
    uint8_t prefix[WALK_PREFIX_MAX]; /**< What it begins with, as it stands. */
    walk_step steps[WALK_STEPS_MAX];
} regex_walk;

/** @param w All zero. The pattern was translated before, so its syntax is right. */
void sl_walk_compile(regex_walk *w, const uint8_t *p, size_t length);
/** Of a simple one. */
bool sl_walk_matches(const regex_walk *w, const uint8_t *p, const uint8_t *end);
