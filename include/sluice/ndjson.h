/** @file ndjson.h
 * Records as they came, one after the other, compressed as they are written: the files of the raw zone.
 *
 * Format   One zstd frame with a checksum of its content (RFC 8878). In it the bytes of each record, and a '\n' after those
 *          that don't end with one. A record may itself be several lines (NDJSON, an indented array), or no JSON at all.
 * Cost     Level 1 with a window of 256 KiB: 400 MB of records a CPU second. finish() compresses 128 KiB at most.
 * Memory   1.2 MiB from creation to destroy, all of it taken at once, whatever is written.
 * Threads  Its owner.
 */
#pragma once

#include "sluice/hash.h"
#include "sluice/memory.h"

/** Takes the file's bytes in order; a refusal is returned to the caller and sticks. */
typedef sl_status sl_ndjson_sink_fn(void *context, const void *bytes, size_t length);

typedef struct sl_ndjson_writer sl_ndjson_writer;

/**
 * @param budget What the memory is counted in; may be NULL.
 * @return SL_OK; SL_ENOMEM, SL_EFULL (budget): *out is NULL.
 */
SL_CHECKED sl_status sl_ndjson_create(sl_budget *budget, sl_ndjson_sink_fn *sink, void *context,
                                      sl_ndjson_writer **out);
void sl_ndjson_destroy(sl_ndjson_writer *writer); /**< NULL is allowed; an unfinished file stays unfinished. */
/** Append one record. @return SL_OK, or the sink's refusal: the writer is then unusable. */
SL_CHECKED sl_status sl_ndjson_write(sl_ndjson_writer *writer, const void *record, size_t length);
/** Bytes that reached the sink; what is still being compressed comes to 128 KiB of records at most. */
uint64_t sl_ndjson_bytes(const sl_ndjson_writer *writer);

typedef struct sl_ndjson_result {
    uint64_t records, bytes;
    sl_hash128 hash; /**< XXH3-128 of the whole file. */
} sl_ndjson_result;

/** End the frame: all bytes are out. Also valid with no records. Afterwards only destroy is allowed. @return SL_OK, or the sink's refusal. */
SL_CHECKED sl_status sl_ndjson_finish(sl_ndjson_writer *writer, sl_ndjson_result *result);
