/** @file idn.h
 * Labels of international host names.
 *
 * Source   RFC 5890 to 5893 (IDNA2008), RFC 3492 (Punycode).
 */
#pragma once

#include "regex.h"
#include "tree.h"

/** What the labels of one name say of its direction. RFC 5893, section 2: where one reads
 * from right to left, none may break the bidi rule. */
typedef struct idn_direction {
    bool right_to_left, breaks_rule;
} idn_direction;

/** Is a label that begins with "xn--" the ASCII form of a valid one? Adds to *d. */
bool sl_idn_ascii_label(const uint8_t *text, size_t length, regex_matcher *m,
                        idn_direction *d);
/** Adds to *d.
 * @return Length in ASCII of a label with characters beyond ASCII; 0: it isn't valid. */
size_t sl_idn_label(const uint8_t *text, size_t length, regex_matcher *m,
                    idn_direction *d);
