/** @file reply.h
 * What is answered, in AWS's shapes. There is one shard, which covers all hash keys.
 *
 * Sequence numbers  56 digits: "49", twenty of the request's time in microseconds, which only grows, and the record's
 *                   index in its request. So they grow within the shard, as far as the machine's clock does over restarts.
 * Threads  The loop.
 */
#pragma once

#include "request.h"

#include "sluice/hash.h"
#include "sluice/http.h"
#include "sluice/intake.h"

#define AWS_SHARD "shardId-000000000000"

/** What a reply needs to know of its request. */
typedef struct aws_answer {
    aws_operation operation;
    bool cbor;       /**< The request was, so the reply is. */
    sl_hash128 id;   /**< x-amzn-RequestId */
    char region[32]; /**< For names of resources. */
    uint32_t records;
    uint64_t sequence; /**< Of the request; see above. */
    int64_t created_us; /**< What streams say they are as old as. */
} aws_answer;

void aws_reply_fault(sl_http_exchange *exchange, const aws_answer *answer, const aws_fault *fault);
/** Of PutRecord, PutRecords, PutRecordBatch: all were taken. */
void aws_reply_put(sl_http_exchange *exchange, const aws_answer *answer);
/** Of what describes a stream. */
void aws_reply_describe(sl_http_exchange *exchange, const aws_answer *answer, const aws_request *request);
/** Of DescribeLimits. */
void aws_reply_limits(sl_http_exchange *exchange, const aws_answer *answer,
                      const char *(*stream)(void *context, uint32_t index), void *context);
/** Of what lists streams: in the order of their names, as AWS has them. */
void aws_reply_list(sl_http_exchange *exchange, const aws_answer *answer, const aws_request *request,
                    const char *(*stream)(void *context, uint32_t index), void *context);
