/** @file cbor.h
 * Requests and replies of the SDK for Java, which speaks CBOR to Kinesis: turned into the JSON of everybody else, and back.
 *
 * Format   application/x-amz-cbor-1.1: the members of the JSON protocol as CBOR; blobs are byte strings (Base64 in the JSON), and
 *          times are tag 1 and milliseconds (seconds in the JSON).
 * Limits   64 levels. The JSON has at most four times the bytes, and a bit.
 * Threads  Plain functions.
 * Source   RFC 8949; the SDK for Java's AwsCborProtocolFactory.
 */
#pragma once

#include "sluice/buffer.h"

/** @param out Appended to. @return false: `wrong` says why. */
bool aws_cbor_to_json(const uint8_t *bytes, size_t length, sl_buffer *out, const char **wrong);
/** @param json Of our own making: integers, texts, objects, arrays. @return false: out of memory. */
bool aws_json_to_cbor(const void *json, size_t length, sl_buffer *out);
