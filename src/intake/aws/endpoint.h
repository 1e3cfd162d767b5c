/** @file endpoint.h
 * What Firehose sends to HTTP endpoints, read in one pass: blobs go decoded to where they are logged from.
 *
 * Format   {"requestId": string, "timestamp": number, "records": [{"data": Base64}]}; members that aren't known are skipped.
 *          The header X-Amz-Firehose-Common-Attributes: {"commonAttributes": {name: string}}.
 * Memory   Nothing is allocated for a record but room in the buffers given, which are best as large as the body.
 * Threads  Plain functions.
 * Source   As firehose_intake.h.
 */
#pragma once

#include "sluice/buffer.h"

enum { ENDPOINT_ID_MAX = 128, ENDPOINT_STREAM_MAX = 63 };

typedef struct endpoint_request {
    char id[ENDPOINT_ID_MAX + 1];
    uint32_t records;
} endpoint_request;

/**
 * @param body    Followed by SL_PADDING readable bytes.
 * @param out     Empty: becomes the body of a record of the log (messages.h).
 * @param scratch Cleared.
 * @return NULL, or what is wrong: a constant; then `out` has to be thrown away. Out of memory is in out->failed or scratch->failed.
 */
const char *endpoint_read(const uint8_t *body, size_t length, sl_buffer *out, sl_buffer *scratch, endpoint_request *request);
/** The common attribute `stream`, "" where there is none. @return NULL, or what is wrong. */
const char *endpoint_stream(const char *attributes, sl_buffer *scratch, char stream[ENDPOINT_STREAM_MAX + 1]);
