/** @file s3_reply.h
 * What S3 says, and what follows from it: pure functions of replies.
 *
 * Threads  Any.
 * Source   AWS, "Amazon S3 API Reference": "Error responses", "ListObjectsV2",
 * "ListMultipartUploads".
 */
#pragma once

#include "sluice/http_client.h"

/** <Error> of a reply. All text 0-terminated, cut to what fits. */
typedef struct sl_s3_fault {
    char code[64]; /**< "SlowDown"; "" when the body holds none. */
    char message[160];
    char request_id[64];
    char region[32]; /**< Where the bucket is, if the reply says so. */
} sl_s3_fault;

/**
 * @return SL_OK: the document is an <Error>, `out` is set. SL_ENOTFOUND: it is another or
 * none. SL_ENOMEM.
 */
SL_CHECKED sl_status sl_s3_fault_parse(const char *xml, size_t length, sl_s3_fault *out);

/** What comes next. */
typedef enum sl_s3_next {
    SL_S3_DONE,        /**< 2xx */
    SL_S3_AGAIN,       /**< After a pause. */
    SL_S3_SLOWER,      /**< The same, and fewer at once. */
    SL_S3_CREDENTIALS, /**< At once with fresh credentials; the second time it fails. */
    SL_S3_CLOCK,       /**< At once by the server's clock; the second time it fails. */
    SL_S3_FAIL,
} sl_s3_next;

/**
 * @param http   Status code, or 0 for no reply.
 * @param code   S3's own, or "".
 * @param[out] status What to report if it is reported: SL_EDENIED, SL_ENOTFOUND,
 * SL_EEXIST (412), SL_EIO, SL_ENOMEM.
 */
sl_s3_next sl_s3_judge(unsigned http, const char *code, sl_http_failure failure,
                       sl_status *status);

/**
 * What the operator does about it: "the bucket is in eu-west-1: set s3.region to that".
 * Appended; nothing when there is no advice.
 * @param action "s3:PutObject" @param bucket, key For whose sake.
 */
void sl_s3_advice(sl_buffer *out, unsigned http, const sl_s3_fault *fault,
                  sl_http_failure failure, const char *action, const char *bucket,
                  const char *key);

/** HTTP's date (RFC 9110, section 5.6.7, IMF-fixdate). */
bool sl_s3_date_parse(const char *text, int64_t *us);

/** An object of a list, or an upload. Borrowed for the call. */
typedef struct sl_s3_item {
    const char *key, *etag, *upload_id; /**< "" where there is none. */
    uint64_t bytes;
} sl_s3_item;
typedef bool sl_s3_item_fn(void *context, const sl_s3_item *item);

/** Where the next page begins; both empty: there is none. */
typedef struct sl_s3_page {
    sl_buffer token;  /**< NextContinuationToken, or NextKeyMarker. */
    sl_buffer upload; /**< NextUploadIdMarker. */
    bool more;        /**< IsTruncated */
    bool enough;      /**< `each` said so. */
} sl_s3_page;
void sl_s3_page_fini(sl_s3_page *page);

/** <ListBucketResult> or <ListMultipartUploadsResult>. @return SL_OK, SL_ESYNTAX,
 * SL_ELIMIT, SL_ENOMEM. */
SL_CHECKED sl_status sl_s3_list_parse(const char *xml, size_t length, sl_s3_item_fn *each,
                                      void *context, sl_s3_page *page, sl_error *error);
/** The text of the one leaf `name` under the root `root`, appended. @return SL_ESYNTAX
 * when it isn't there. */
SL_CHECKED sl_status sl_s3_value_parse(const char *xml, size_t length, const char *root,
                                       const char *name, sl_buffer *out, sl_error *error);
