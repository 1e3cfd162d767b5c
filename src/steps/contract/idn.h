/** @file idn.h
 * Labels of international host names.
 *
 * Source   RFC 5890 to 5892 (IDNA2008), RFC 3492 (Punycode).
 */
#pragma once

#include "regex.h"
#include "tree.h"

/** Is a label that begins with "xn--" the ASCII form of a valid one? */
bool sl_idn_ascii_label(const uint8_t *text, size_t length, regex_matcher *m);
/** @return Length in ASCII of a label with characters beyond ASCII; 0: it isn't valid. */
size_t sl_idn_label(const uint8_t *text, size_t length, regex_matcher *m);
