/** @file aws_intake.h
 * The producers' side of Amazon Kinesis and Amazon Data Firehose: POST / with X-Amz-Target, AWS JSON 1.1 or CBOR 1.1, signed by
 * Signature Version 4. A stream's name is the name of a stream here; a request is one record of the log.
 *
 * Limits   AWS's: see src/intake/aws/request.h. A clock may be off by five minutes.
 * Memory   What a request is turned into is counted in `budget` until it is submitted.
 * Threads  The loop.
 * Source   docs/http-api.md; the API references of Kinesis (2013-12-02) and Firehose (2015-08-04).
 */
#pragma once

#include "sluice/http.h"
#include "sluice/intake.h"
#include "sluice/time.h"

typedef struct sl_aws_intake sl_aws_intake;

/** A pair that producers sign with. */
typedef struct sl_aws_intake_key {
    const char *access_key_id, *secret_access_key;
} sl_aws_intake_key;

typedef struct sl_aws_intake_options {
    sl_intake *intake;
    const sl_aws_intake_key *keys; /**< Borrowed until destroy. None: signatures aren't looked at. */
    size_t key_count;
    bool guarded;                  /**< Whoever has no key stays outside; without keys everybody does. */
    /** The streams' names by their index, NULL behind the last; borrowed until destroy. */
    const char *(*stream)(void *context, uint32_t index);
    void *context;
    bool any_stream; /**< No streams are configured: any valid name makes one. */
    sl_clock clock;
    sl_budget *budget; /**< May be NULL. */
} sl_aws_intake_options;

/** @return NULL when out of memory. */
sl_aws_intake *sl_aws_intake_create(const sl_aws_intake_options *options);
/** Requests that the engine has in hand are answered all the same. NULL is allowed. */
void sl_aws_intake_destroy(sl_aws_intake *routes);
/** As sl_http_options.admit: who may come in is told from the head. 0 also for requests that aren't its own. */
int sl_aws_intake_admit(sl_aws_intake *routes, const char *method, const char *path, sl_http_exchange *exchange);
/** As sl_http_options.refuse: in AWS's form, so that SDKs say why, and send again what wasn't taken for want of memory. */
bool sl_aws_intake_refuse(sl_aws_intake *routes, const char *method, const char *path, sl_http_exchange *exchange, int status,
                          const char *message);
/** Whether the request is its own: a POST to / with X-Amz-Target, or of a content type that is AWS's. */
bool sl_aws_intake_is(const char *method, const char *path, const sl_http_exchange *exchange);
/** @return false: it isn't its own (nothing was answered). */
bool sl_aws_intake_handle(sl_aws_intake *routes, const sl_http_request *request);
