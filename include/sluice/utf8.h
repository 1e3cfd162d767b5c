/** @file utf8.h
 * Is it UTF-8? And a character as such.
 *
 * Threads  Plain functions.
 * Source   RFC 3629 section 4: shortest form, no surrogates, up to U+10FFFF.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** @return bytes up to the first that can't be; `length` when all of it is UTF-8. */
size_t sl_utf8_valid(const void *text, size_t length);
/** The longest part of the first `limit` bytes of `text`, which is UTF-8, that ends with a whole character. */
size_t sl_utf8_cut(const void *text, size_t length, size_t limit);
/** `text`, which is UTF-8, without Unicode's White_Space at both ends. @param[out] begin Where it begins then. @return how many bytes it has. */
size_t sl_utf8_trim(const void *text, size_t length, size_t *begin);
/** A character up to U+10FFFF. @param out Takes 4 bytes. @return how many it has. */
size_t sl_utf8_encode(uint32_t character, uint8_t *out);
