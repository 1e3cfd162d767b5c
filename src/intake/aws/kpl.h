/** @file kpl.h
 * Records that the Kinesis Producer Library put together from many.
 *
 * Format   F3 89 9A C2, a protobuf message, and the MD5 of that message (16 bytes).
 *              message AggregatedRecord {
 *                repeated string partition_key_table = 1;
 *                repeated string explicit_hash_key_table = 2;
 *                repeated Record records = 3;
 *              }
 *              message Record {
 *                required uint64 partition_key_index = 1;
 *                optional uint64 explicit_hash_key_index = 2;
 *                required bytes data = 3;
 *                repeated Tag tags = 4;
 *              }
 *          What isn't just so, or holds no record, is a plain record to every consumer of Kinesis, and here.
 * Threads  Plain functions.
 * Source   awslabs/amazon-kinesis-producer, aggregation-format.md; protobuf's "Encoding".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A user record: bytes of the aggregated one. */
typedef bool aws_kpl_take_fn(void *context, const uint8_t *data, size_t length);

/** @return how many user records there are; 0: it is a plain record. */
uint32_t aws_kpl_count(const uint8_t *bytes, size_t length);
/** Each user record in order. Only after aws_kpl_count() found some. @return false: `take` said so, which ended it. */
bool aws_kpl_each(const uint8_t *bytes, size_t length, aws_kpl_take_fn *take, void *context);
