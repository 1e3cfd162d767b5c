/** @file regex.h
 * Patterns in the flavour of ECMA-262 with the `u` flag, matched by PCRE2.
 *
 * The text is translated, not passed on: what both languages have but mean differently
 * (`\s`, `.`,
 * `\v`, `[]`) is written out, and what only PCRE2 knows (`(*VERB)`, `\A`, `\Z`, `(?i)`,
 * possessive quantifiers …) is refused. Left different: a group inside a repetition keeps
 * its text from one round to the next, and a look-behind needs a fixed length.
 *
 * Simple patterns, `^` then character sets with counts then `$`, as most of those in
 * schemas are, are matched here in one walk over the bytes.
 *
 * Limits   A match takes at most a fixed number of steps and bytes; beyond it is refused.
 * Threads  A regex is immutable; a matcher has one owner.
 */
#pragma once

#include "sluice/buffer.h"

typedef struct regex regex;
typedef struct regex_matcher regex_matcher;

typedef enum regex_answer {
    REGEX_NO,
    REGEX_YES,
    REGEX_LIMIT,
    REGEX_NO_MEMORY
} regex_answer;

/** @param[out] why Static or in `error`, what is wrong. @return SL_OK, SL_EINVAL,
 * SL_EUNSUPPORTED, SL_ENOMEM. */
SL_CHECKED sl_status sl_regex_compile(const uint8_t *text, size_t length, regex **out,
                                      sl_error *error);
void sl_regex_destroy(regex *r);
/** Does PCRE2 alone answer? For tests. */
bool sl_regex_is_simple(const regex *r);

/** One for all regexes. NULL when out of memory. */
regex_matcher *sl_regex_matcher_create(void);
void sl_regex_matcher_destroy(regex_matcher *m);
/** Anywhere in checked UTF-8 `text`. */
regex_answer sl_regex_match(const regex *r, regex_matcher *m, const uint8_t *text,
                            size_t length);
/** As above, never by the walk: what the walk is compared with. */
regex_answer sl_regex_match_pcre2(const regex *r, regex_matcher *m, const uint8_t *text,
                                  size_t length);
/** The patterns of our own: for labels of international names. */
typedef enum regex_own {
    REGEX_IDN_LABEL,
    REGEX_IDN_RIGHT,
    REGEX_IDN_BIDI,
    REGEX_OWN_COUNT
} regex_own;
/** One of them in PCRE2's language, always the same text; compiled at its first use and
 * kept. */
regex_answer sl_regex_match_fixed(regex_matcher *m, regex_own own, const char *pattern,
                                  const uint8_t *text, size_t length);
/** Allow each match fewer steps, or again as many as ever. */
void sl_regex_matcher_hurry(regex_matcher *m, bool hurry);
/** Has memory run out since the last call? */
bool sl_regex_matcher_failed(regex_matcher *m);
/** Is the text a pattern? */
bool sl_regex_valid(const uint8_t *text, size_t length);
