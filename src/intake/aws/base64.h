/** @file base64.h
 * Base64 as AWS's JSON protocols write blobs: the standard alphabet, padded.
 *
 * Cost     AVX2 takes 32 characters at a time, SSSE3 16, both in about a dozen instructions; the answers are the
 *          scalar form's, which also reads the rest and says what is wrong.
 * Threads  Plain functions.
 * Source   RFC 4648 section 4; Muła, Lemire, "Faster Base64 Encoding and Decoding Using AVX2 Instructions", 2018.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define AWS_BASE64_BAD SIZE_MAX
#define AWS_BASE64_SLACK 16u /**< Bytes behind the result that may be written to. */

typedef enum aws_base64_form { AWS_BASE64_AUTO, AWS_BASE64_SCALAR, AWS_BASE64_SSSE3, AWS_BASE64_AVX2 } aws_base64_form;

/** Room that decoding `length` characters takes. */
static inline size_t aws_base64_room(size_t length) { return length / 4 * 3 + AWS_BASE64_SLACK; }
/** How many bytes `length` characters stand for, if they are Base64. */
size_t aws_base64_size(const uint8_t *text, size_t length);
/**
 * @param out Room for aws_base64_room(length).
 * @param form AUTO, or for tests one that the processor has.
 * @return bytes written; AWS_BASE64_BAD: another character, or no whole groups of four.
 */
size_t aws_base64_decode(aws_base64_form form, const uint8_t *text, size_t length, uint8_t *out);
