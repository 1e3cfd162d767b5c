/** @file firehose_intake.h
 * Firehose's HTTP endpoint delivery: POST /v1/firehose[/STREAM], records in Base64. A request is one record of the log, and its id
 * an Idempotency-Key.
 *
 * Memory   What a request is turned into is counted in `budget` until it is submitted.
 * Threads  The loop.
 * Source   docs/http-api.md; Amazon Data Firehose Developer Guide, "HTTP endpoint delivery request and response specifications".
 */
#pragma once

#include "sluice/http.h"
#include "sluice/intake.h"
#include "sluice/time.h"

typedef struct sl_firehose_intake sl_firehose_intake;

typedef struct sl_firehose_intake_options {
    sl_intake *intake;
    const char *const *tokens; /**< Access keys (compared in constant time), borrowed until destroy. */
    size_t token_count;
    bool guarded;              /**< Whoever has none of them stays outside; without tokens, everybody does. */
    sl_clock clock;
    sl_budget *budget;         /**< May be NULL. */
} sl_firehose_intake_options;

/** @return NULL when out of memory. */
sl_firehose_intake *sl_firehose_intake_create(const sl_firehose_intake_options *options);
/** Requests that the engine has in hand are answered all the same. NULL is allowed. */
void sl_firehose_intake_destroy(sl_firehose_intake *routes);
/** For sl_http_options.admit: what the head tells; 0 also for paths that aren't its own. */
int sl_firehose_intake_admit(sl_firehose_intake *routes, const char *method, const char *path, sl_http_exchange *exchange);
/** As sl_http_options.refuse: with requestId and errorMessage. */
bool sl_firehose_intake_refuse(sl_firehose_intake *routes, const char *path, sl_http_exchange *exchange, int status,
                               const char *message);
/** @return false: not a path of its own (nothing was answered). */
bool sl_firehose_intake_handle(sl_firehose_intake *routes, const sl_http_request *request);
