/** @file decode.h
 * JSON bytes, or lines of CSV, to columns in one schema-directed pass, without a tree.
 *
 * A record's body is one object, an array of objects, or objects one after another (NDJSON: white
 * space, usually a newline, between them). Told apart by its first byte: `[` is an array.
 *
 * Rules    RFC 8259, strictly: UTF-8 checked, no NUL or other control character in strings, no lone
 *          surrogate escape, no escaped NUL in a string column (an inferred schema's: to `_rest`), no leading zero or
 *          '+', nesting up to SL_DEPTH_MAX. Duplicate keys: the last wins. Unknown members: syntax-checked, then to `_rest` (nested objects keep their nesting),
 *          refused when the schema is closed. Numbers are exact or refused: an INT64 outside its range
 *          is SL_CODE_RANGE; a DECIMAL with more digits than its scale too; a DOUBLE is the nearest.
 *          JSON columns keep the value's text as it came, without the white space around it.
 *          A string for a DECIMAL is read as a number. null is "no value" where nullable.
 * Refusal  A refused event becomes a reject and takes no row; its neighbours are kept. After a syntax
 *          error in NDJSON the next event begins after the next newline that has a '{' behind it, or
 *          that lies behind the error; in an array the rest of the record is one reject. What follows
 *          an array is read like NDJSON.
 * Inferred Members the schema lacks become proposals (and go to `_rest` in this pass); values whose type
 *          doesn't fit become proposals when a wider type holds both and the schema isn't frozen, else
 *          drift. The engine merges proposals and decodes again. A string is proposed as TIMESTAMP when
 *          sl_schema_time_name() and it parses. Objects are groups down to 8 levels, arrays JSON text.
 *          A null proposes nothing.
 * CSV      A record of that format has a line of names first, or the input's `names` are its. Each row is
 *          written down as the JSON text of an event and decoded as that: "a.b" is a member of an object unless the schema
 *          has a member of this very name; a value is bare where its column takes numbers or booleans, and where the
 *          schema lacks it, if it is one in JSON's way; any JSON value where the column takes objects or arrays; else a
 *          string. An empty value without quotes is none: absent, or null where the member is required and may be null; in
 *          columns of other types than strings, with quotes as well. A row's place, length and offsets are those of its
 *          bytes in the record. A row that can't be read, or has another number of values than there are names, is one
 *          SYNTAX reject, and reading goes on with the next line; a header that can't be used rejects the whole record.
 *          Messages begin with line and column in the record.
 * CloudEvents  In a record of that format each event is JSON by the rules above, and beyond them the envelope of a CloudEvent 1.0:
 *          cloudevents.c has its rules. What isn't one is a reject (REQUIRED, TYPE, RANGE, FORMAT) with the attribute's path.
 * Cost     About 150 ns for a 350-byte event of 12 fields with AVX2.
 * Memory   Plan per decoder; cells go to the batch. No allocation per event.
 * Threads  One worker owns a decoder.
 * Source   RFC 8259; RFC 3629; Lemire & Langdale 2019 for what SIMD can and can't buy here.
 */
#pragma once

#include "sluice/batch.h"

typedef enum sl_simd { SL_SIMD_AUTO, SL_SIMD_SCALAR, SL_SIMD_SSE2, SL_SIMD_AVX2 } sl_simd;

typedef struct sl_decoder sl_decoder;

typedef struct sl_decoder_options {
    sl_simd simd;             /**< AUTO: the best this processor has. Same answers from all. */
    uint32_t event_bytes_max; /**< Larger events are SL_CODE_TOO_LARGE; 0: no limit. */
    bool lenient;             /**< A value that its column doesn't take is as if it weren't there: for a look at some members of
                                   events whose schema isn't known yet. Of a schema that isn't inferred. */
} sl_decoder_options;

/** Names of CSV's values, in order. A decoder takes them for the same as long as the address is. */
typedef struct sl_decode_names {
    char *const *names;
    uint32_t count;
} sl_decode_names;

/** Where a record stands while it is spread over batches. Zero it, set `record`. */
typedef struct sl_decode_input {
    uint32_t record;     /**< Index into batch->records: body and length are taken from there. */
    uint32_t at;         /**< Next byte of the body. */
    uint32_t index;      /**< Index of the next event. */
    uint32_t accepted, rejected; /**< So far. */
    uint32_t line;       /**< Of a CSV record: where `at` is. */
    const sl_decode_names *names; /**< Of a CSV record without a line of them; NULL: it is refused. */
    bool array;          /**< Inside the record's array. */
    bool started;
} sl_decode_input;

/** @param schema Referenced until destroy. @return SL_OK, SL_ENOMEM, SL_EUNSUPPORTED (simd not on this processor), SL_ELIMIT (over 60,000 fields). */
SL_CHECKED sl_status sl_decoder_create(const sl_schema *schema, const sl_decoder_options *options,
                                       sl_decoder **out);
void sl_decoder_destroy(sl_decoder *decoder); /**< NULL is allowed. */
/**
 * Append the record's events to the batch (which was prepared with the decoder's schema).
 * @return SL_OK: the record is done (an empty body is one SYNTAX reject). SL_EFULL: the batch is full (rows, or more than
 *         4,096 rejects, or a large arena): call again with the same input and a fresh batch. SL_ENOMEM.
 */
SL_CHECKED sl_status sl_decode(sl_decoder *decoder, sl_batch *batch, sl_decode_input *input);
/** Where an event was found before. */
typedef struct sl_decode_place {
    uint32_t record, index; /**< Index into batch->records; place among the record's events. */
    uint32_t begin, length; /**< Of the event, from batch->raw. */
    const sl_decode_names *names; /**< As in sl_decode_input. */
} sl_decode_place;
/**
 * Append one event that another batch has as a row: the same bytes by another schema. A refused one is a reject of all its bytes.
 * @param[out] kept Whether it took a row.
 * @return SL_OK, SL_EFULL (nothing happened), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_decode_event(sl_decoder *decoder, sl_batch *batch, const sl_decode_place *place, bool *kept);
bool sl_decode_is_full(const sl_batch *batch); /**< sl_decode() would return SL_EFULL. */
/** Is `bytes` one JSON value by the same rules? For tests, tools and `_rest`. */
bool sl_json_valid(const uint8_t *bytes, size_t length, size_t *error_at);
