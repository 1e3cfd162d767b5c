/** @file authorization.h
 * Authorization: AWS4-HMAC-SHA256 Credential=KEY/20150830/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date,
 * Signature=…
 *
 * Errors   AWS's own: IncompleteSignatureException, MissingAuthenticationTokenException, InvalidSignatureException,
 *          UnrecognizedClientException, all with status 400.
 * Threads  Plain functions.
 * Source   AWS, "Create a signed AWS API request".
 */
#pragma once

#include "request.h"

enum { AWS_SIGNED_MAX = 64, AWS_REGION_MAX = 32, AWS_SKEW_MINUTES = 5 };

typedef struct aws_authorization {
    char text[4096]; /**< The header's, cut into: */
    const char *key_id, *day, *region, *service, *terminator;
    const char *signature;
    const char *names[AWS_SIGNED_MAX]; /**< SignedHeaders, in the order given. */
    size_t name_count;
    char stamp[17]; /**< The request's time, "20150830T123600Z". */
    int64_t time_us;
} aws_authorization;

/**
 * @param text The header, "" without one. @param amz_date, date Those headers, "" without them; the first counts.
 * @return false: `fault` says why.
 */
bool aws_authorization_read(aws_authorization *out, const char *text, const char *amz_date, const char *date,
                            aws_fault *fault);
/** Scope and time. @param now_us Wall time. @return false: `fault` says why. */
bool aws_authorization_check(const aws_authorization *authorization, const char *service, int64_t now_us,
                             aws_fault *fault);
bool aws_authorization_signs(const aws_authorization *authorization, const char *name);
