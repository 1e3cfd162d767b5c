/** @file value.h
 * One typed cell outside a batch: group keys, aggregates, rows on their way to a warehouse.
 */
#pragma once

#include "sluice/hash.h"
#include "sluice/schema.h"

typedef struct sl_value {
    sl_type type;
    bool null;
    uint8_t scale; /**< DECIMAL. */
    union {
        int64_t i64; /**< INT64, BOOL (0, 1), TIMESTAMP, DATE, DECIMAL. */
        double f64;
        struct {
            const uint8_t *bytes;
            size_t length;
        } text; /**< STRING, JSON, BYTES; borrowed. */
    } as;
} sl_value;

/** Canonical bytes: type, null, then value; equal values have equal bytes. -0.0 is 0.0, every NaN one NaN. */
void sl_value_encode(const sl_value *value, sl_buffer *out);
/** sl_hash128_of() its canonical bytes. @return false: out of memory, which only texts of more than 240 bytes need. */
bool sl_value_hash(const sl_value *value, sl_hash128 *out);
/** @return bytes read, 0 when they are no value. Text borrows from `bytes`. */
size_t sl_value_decode(const uint8_t *bytes, size_t length, sl_value *out);
/** JSON text of the value (timestamps as RFC 3339, decimals as exact numbers, BYTES as base64). */
void sl_value_json(const sl_value *value, sl_buffer *out);
/** Cell of a batch as a value. */
struct sl_batch;
sl_value sl_value_of(const struct sl_batch *batch, uint32_t field, uint32_t row);

typedef struct sl_value_key {
    sl_hash128 hash; /**< sl_value_hash() of the cell; undefined where there is none. */
    bool there;
} sl_value_key;
/**
 * The hashes of a field of texts (STRING, JSON, BYTES), many rows side by side.
 * @param first      The rows before it are left alone.
 * @param[out] keys  [batch->rows]; there: the row is to be kept, and has the cell.
 * @return false: out of memory, which only texts of more than 240 bytes need.
 */
bool sl_value_keys_of_texts(const struct sl_batch *batch, uint32_t field, uint32_t first, sl_value_key *keys);
