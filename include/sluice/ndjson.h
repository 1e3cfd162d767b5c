/** @file ndjson.h
 * Records as they came, one after the other, compressed as they are written: the files of the raw zone. And such files, read.
 *
 * Format   One zstd frame with a checksum of its content (RFC 8878). In it the bytes of each record, and a '\n' after those
 *          that don't end with one. A record may itself be several lines (NDJSON, an indented array), or no JSON at all. Behind it a
 *          skippable frame, which other readers pass over, with what the bytes don't tell: where each record ends, when and
 *          whence it came. Its magic number is 0x184D2A5D; "sluice1\n"; then per record: varint of its bytes << 1 | whether it has a '\n'
 *          of ours; zigzag varint of the arrival's difference to the one before (µs); a byte, 0: all else as before, or 1 + length of the
 *          source; then the source, whether a stream was named, and the three bytes of its format.
 * Cost     Level 1 with a window of 256 KiB: 400 MB of records a CPU second. finish() compresses 128 KiB at most.
 * Memory   1.2 MiB from creation to destroy, all of it taken at once, and about 5 bytes for each record, SL_NDJSON_MARKS_MAX at most
 *          if its owner heeds sl_ndjson_full().
 * Threads  Its owner.
 */
#pragma once

#include "sluice/batch.h"
#include "sluice/hash.h"
#include "sluice/memory.h"
#include "sluice/status.h"

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
/** What a record's bytes don't tell. */
typedef struct sl_ndjson_mark {
    int64_t arrival_us;
    const char *source;   /**< At most 254 bytes. Borrowed. */
    size_t source_length;
    bool named;           /**< The request named its stream. */
    sl_format format;
} sl_ndjson_mark;

#define SL_NDJSON_MARKS_MAX (4u << 20)

/** Append one record. @return SL_OK; SL_ENOMEM, or the sink's refusal: the writer is then unusable. */
SL_CHECKED sl_status sl_ndjson_write(sl_ndjson_writer *writer, const void *record, size_t length, const sl_ndjson_mark *mark);
/** Marks take what they may: finish, and begin another file. */
bool sl_ndjson_full(const sl_ndjson_writer *writer);
/** Bytes that reached the sink; what is still being compressed comes to 128 KiB of records at most. */
uint64_t sl_ndjson_bytes(const sl_ndjson_writer *writer);

typedef struct sl_ndjson_result {
    uint64_t records, bytes;
    sl_hash128 hash; /**< XXH3-128 of the whole file. */
} sl_ndjson_result;

/** End the frame: all bytes are out. Also valid with no records. Afterwards only destroy is allowed. @return SL_OK, or the sink's refusal. */
SL_CHECKED sl_status sl_ndjson_finish(sl_ndjson_writer *writer, sl_ndjson_result *result);

typedef struct sl_ndjson_reader sl_ndjson_reader;
/** @param bytes A whole file; borrowed until close. @return SL_OK; SL_EUNSUPPORTED: it has no marks; SL_ECORRUPT, SL_ENOMEM. */
SL_CHECKED sl_status sl_ndjson_open(const uint8_t *bytes, size_t length, sl_ndjson_reader **out, sl_error *error);
void sl_ndjson_close(sl_ndjson_reader *reader); /**< NULL is allowed. */
/**
 * The next record as it came.
 * @param[out] record, mark Borrowed until the next call.
 * @return SL_OK; SL_ENOTFOUND: that was all; SL_ECORRUPT, SL_ELIMIT (a record beyond 1 GiB), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_ndjson_next(sl_ndjson_reader *reader, const uint8_t **record, size_t *length, sl_ndjson_mark *mark,
                                    sl_error *error);
