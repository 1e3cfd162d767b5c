/** @file request.h
 * The body of a request in AWS JSON 1.1, read in one pass: blobs go decoded to where they are logged from.
 *
 * Rules    Strict JSON (RFC 8259) in UTF-8. Members that aren't known are skipped, null is "not given", a member that
 *          comes twice is refused. What isn't JSON, or of another type, is SerializationException; what breaks a limit
 *          of the service's model ValidationException, with AWS's words; limits across members InvalidArgumentException.
 * Limits   64 levels of depth. Kinesis: 500 records of 10 MiB with their partition keys, 10 MiB in all. Firehose: 500
 *          records of 1,000 KiB, 4 MiB in all.
 * Memory   Nothing is allocated for a record but room in the buffers given, which are best as large as the body.
 * Threads  Plain functions.
 * Source   AWS's service models kinesis 2013-12-02 and firehose 2015-08-04; "AWS JSON 1.1 protocol" of Smithy.
 */
#pragma once

#include "sluice/buffer.h"

typedef enum aws_operation {
    AWS_PUT_RECORD, /* Kinesis */
    AWS_PUT_RECORDS,
    AWS_LIST_SHARDS,
    AWS_DESCRIBE_STREAM,
    AWS_DESCRIBE_STREAM_SUMMARY,
    AWS_LIST_STREAMS,
    AWS_DESCRIBE_LIMITS,
    AWS_FIREHOSE_PUT_RECORD,
    AWS_FIREHOSE_PUT_RECORD_BATCH,
    AWS_FIREHOSE_DESCRIBE,
    AWS_FIREHOSE_LIST,
    AWS_OPERATIONS
} aws_operation;

static inline bool aws_is_firehose(aws_operation operation) { return operation >= AWS_FIREHOSE_PUT_RECORD; }

/** An answer that isn't the one asked for. */
typedef struct aws_fault {
    const char *type; /**< "ValidationException"; NULL: none. */
    int status;
    char message[1024];
} aws_fault;

void aws_fault_set(aws_fault *fault, int status, const char *type, const char *format, ...) SL_PRINTF(4, 5);

enum { AWS_NAME_MAX = 128, AWS_RECORDS_MAX = 500 };

typedef struct aws_request {
    char stream[AWS_NAME_MAX + 1]; /**< By name or ARN; "": neither. */
    char after[AWS_NAME_MAX + 1];  /**< ExclusiveStart…; "": from the first. */
    bool token;                    /**< NextToken was given. */
    bool dry_run;
    uint32_t limit;   /**< Limit or MaxResults; 0: not given. */
    uint32_t records; /**< Records of the request, before those of the KPL are taken apart. */
} aws_request;

/**
 * @param body   Followed by SL_PADDING readable bytes.
 * @param out    Empty: becomes the body of a record of the log (messages.h).
 * @param scratch For what has to be turned over; cleared.
 * @return false: `fault` says why, and `out` has to be thrown away.
 */
bool aws_request_read(aws_operation operation, const uint8_t *body, size_t length, sl_buffer *out, sl_buffer *scratch,
                      aws_request *request, aws_fault *fault);
