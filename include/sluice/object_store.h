/** @file object_store.h
 * A client of S3 and what speaks like it: objects put whole and once, looked at, read, listed, deleted.
 *
 * Once       A put says If-None-Match: *, and carries our content hash (XXH3-128) in the object's metadata. Is the key taken
 *            (412), or was the reply lost, it looks (HEAD) and compares hash, length and checksum: the same is a success,
 *            another is SL_ECONFLICT. It never guesses.
 * Integrity  Content is hashed before sending; every body goes with its CRC-32C, which the server checks and whose echo is
 *            compared; and over plain HTTP also with its SHA-256 in the signature.
 * Retries    Inside each request: 5xx, throttling, lost connections and timeouts with jittered exponential backoff; expired
 *            credentials and a wrong clock once each. What is left over is the caller's: every status but SL_ECONFLICT,
 *            SL_ENOTFOUND, SL_EINVAL and SL_ECORRUPT may pass by itself (SL_EDENIED, SL_EIO, SL_ENOMEM …).
 * Pace       One number of requests at once for all callers, additively more while all is well, at most once a second
 *            multiplicatively less when the store says SlowDown.
 * Memory     64 KiB per client, a few KiB per operation; files are read as they are sent.
 * Threads    The loop's. Nothing blocks but reading local files and hashing what is to be sent, one part (8 MiB) at a time.
 * Source     AWS, "Amazon S3 API Reference", "Error responses"; "Conditional requests"; "Uploading and copying objects using
 *            multipart upload".
 */
#pragma once

#include "sluice/aws.h"
#include "sluice/files.h"
#include "sluice/hash.h"
#include "sluice/metrics.h"

typedef struct sl_object_store sl_object_store;
typedef struct sl_object_operation sl_object_operation; /**< One on its way. */

typedef enum sl_object_sse {
    SL_OBJECT_SSE_DEFAULT, /**< As the bucket says. */
    SL_OBJECT_SSE_AES256,  /**< SSE-S3 */
    SL_OBJECT_SSE_KMS,     /**< SSE-KMS, with the bucket key; kms_key_id, or the account's own key. */
} sl_object_sse;

typedef struct sl_object_store_options {
    struct uv_loop_s *loop;
    sl_http_client *http;            /**< Borrowed, as are: */
    sl_aws_credentials *credentials;
    sl_files *files;
    sl_clock clock;
    sl_metrics *metrics;             /**< NULL: none. Registered in create. */

    const char *endpoint;     /**< "https://minio.local:9000"; NULL: AWS, in the region. */
    const char *region;       /**< NULL: what the credentials know, else us-east-1 if there is an endpoint. */
    bool path_style;          /**< https://host/bucket/key instead of https://bucket.host/key. */
    sl_object_sse sse;
    const char *kms_key_id;
    const char *storage_class; /**< "STANDARD_IA" …; NULL: the bucket's. */
    const sl_http_field *tags; /**< Of every object; "s3:PutObjectTagging" is needed. */
    size_t tag_count;

    /* 0: the default. */
    unsigned requests_max;       /**< At once: 16. */
    unsigned tries_max;          /**< Of one request, the first included: 6. */
    unsigned backoff_ms;         /**< Upper end of the first pause: 200; doubled up to backoff_ms_max: 10,000. */
    unsigned backoff_ms_max;
    unsigned stall_timeout_ms;   /**< Silence after which a request counts as lost: 30,000. Completing has four times that. */
    uint64_t single_bytes_max;   /**< Larger objects go in parts: 16 MiB. */
    uint64_t part_bytes;         /**< 8 MiB; more when 10,000 parts wouldn't do. AWS takes no less than 5 MiB. */
    unsigned parts_max;          /**< At once, of one object: 4. */
} sl_object_store_options;

/** Options are copied. @return SL_OK, SL_EINVAL (endpoint is no URL, …), SL_ENOMEM. */
SL_CHECKED sl_status sl_object_store_create(const sl_object_store_options *options, sl_object_store **out,
                                            sl_error *error);
/** Gives up what is on its way (none is told). Before the HTTP client. Not from inside a callback. NULL is allowed. */
void sl_object_store_destroy(sl_object_store *store);

/** Give up: done isn't called. Parts that were sent stay until sl_object_store_abort_uploads(). Not from its own callback. */
void sl_object_operation_cancel(sl_object_operation *operation);

/** What is known of an object. Borrowed for the call. */
typedef struct sl_object_info {
    const char *key;
    uint64_t bytes;
    bool has_hash;      /**< Else it isn't ours. */
    sl_hash128 hash;    /**< As its metadata claims. */
    const char *etag;
    const char *sse, *storage_class, *region; /**< As the server says; "" when it doesn't. */
} sl_object_info;

/** Called once, from the loop, never from inside the function that began. The operation is gone after it. */
typedef void sl_object_done_fn(void *context, sl_status status, const sl_error *error);

typedef struct sl_object_put {
    const char *bucket, *key; /**< Copied. The key as it is meant, nothing encoded. */
    const void *bytes;        /**< Borrowed until done; or */
    const char *path;         /**< a local file, copied; bytes is NULL then. */
    uint64_t length;          /**< Of whichever; another length of the file is SL_ECORRUPT. */
    const sl_hash128 *hash;   /**< What the content must have, else SL_ECORRUPT; NULL: taken as it is. Copied. */
    const char *content_type; /**< NULL: application/octet-stream. Copied. */
    bool replace;             /**< Overwrite what is there; never with parts. */
} sl_object_put;

/**
 * Bring one object there, once. Uploads under exactly this key that were abandoned (by a crash) are aborted before parts are sent, and
 * after a success none is left.
 * @return SL_OK: done will be called, with SL_OK (also when the same object is there already), SL_ECONFLICT (another is),
 *         SL_ECORRUPT (the file changed) or one whose follow-up is retry. Else done won't: SL_EINVAL; SL_ENOTFOUND: no
 *         such local file; SL_ECORRUPT; SL_EIO …, of reading it; SL_ENOMEM.
 */
SL_CHECKED sl_status sl_object_store_put(sl_object_store *store, const sl_object_put *put, sl_object_done_fn *done,
                                         void *context, sl_object_operation **out, sl_error *error);

/** @param info NULL unless SL_OK. SL_ENOTFOUND: no such object (or bucket, HEAD doesn't tell them apart). */
typedef void sl_object_head_fn(void *context, sl_status status, const sl_object_info *info, const sl_error *error);
SL_CHECKED sl_status sl_object_store_head(sl_object_store *store, const char *bucket, const char *key,
                                          sl_object_head_fn *done, void *context, sl_object_operation **out,
                                          sl_error *error);

/** @param bytes NULL unless SL_OK; may be taken (copy the struct, then set SL_BUFFER_EMPTY). */
typedef void sl_object_get_fn(void *context, sl_status status, sl_buffer *bytes, const sl_error *error);
/**
 * Up to `length` bytes from `offset` on, collected; fewer at the object's end, none beyond it.
 * @param length At most 1 GiB. UINT64_MAX with offset 0: all of it; then SL_ELIMIT beyond 64 MiB.
 */
SL_CHECKED sl_status sl_object_store_get(sl_object_store *store, const char *bucket, const char *key, uint64_t offset,
                                         uint64_t length, sl_object_get_fn *done, void *context,
                                         sl_object_operation **out, sl_error *error);

/** key, bytes and etag are set. false: enough; done comes with SL_OK. */
typedef bool sl_object_list_fn(void *context, const sl_object_info *info);
/** All objects whose keys begin with `prefix`, in order, page by page. */
SL_CHECKED sl_status sl_object_store_list(sl_object_store *store, const char *bucket, const char *prefix,
                                          sl_object_list_fn *each, sl_object_done_fn *done, void *context,
                                          sl_object_operation **out, sl_error *error);

/** One that isn't there is deleted too. */
SL_CHECKED sl_status sl_object_store_delete(sl_object_store *store, const char *bucket, const char *key,
                                            sl_object_done_fn *done, void *context, sl_object_operation **out,
                                            sl_error *error);
/** Abort all multipart uploads under exactly this key. */
SL_CHECKED sl_status sl_object_store_abort_uploads(sl_object_store *store, const char *bucket, const char *key,
                                                   sl_object_done_fn *done, void *context,
                                                   sl_object_operation **out, sl_error *error);

/** Requests that may be on their way at once just now. */
unsigned sl_object_store_pace(const sl_object_store *store);

/**
 * "s3://bucket/a/prefix/" in its parts; `prefix` points into `url` and ends before the last slashes.
 * @return SL_EINVAL when it is none, or breaks S3's rules of bucket names.
 */
SL_CHECKED sl_status sl_object_url_parse(const char *url, char bucket[64], const char **prefix,
                                         size_t *prefix_length, sl_error *error);

/* ---- For those who may wait: commands such as audit ---- */

/** A client with a loop, HTTP client and credentials of its own; each call runs them until it is done. */
typedef struct sl_object_reader sl_object_reader;

/** @param store loop, http and credentials are not looked at; the rest as above. */
SL_CHECKED sl_status sl_object_reader_create(const sl_object_store_options *store, const char *ca_file,
                                             const sl_aws_credentials_options *credentials, sl_object_reader **out,
                                             sl_error *error);
void sl_object_reader_destroy(sl_object_reader *reader); /**< NULL is allowed. */
/**
 * Is the object there with this length and hash? By its metadata; with `whole` also by reading all its bytes.
 * @return SL_OK; SL_ENOTFOUND; SL_ECORRUPT: another length, hash or content; those that pass.
 */
SL_CHECKED sl_status sl_object_reader_verify(sl_object_reader *reader, const char *bucket, const char *key,
                                             uint64_t bytes, sl_hash128 hash, bool whole, sl_error *error);
/** Append a range, as sl_object_store_get(). */
SL_CHECKED sl_status sl_object_reader_get(sl_object_reader *reader, const char *bucket, const char *key,
                                          uint64_t offset, uint64_t length, sl_buffer *out, sl_error *error);
/** As sl_object_store_list(). */
SL_CHECKED sl_status sl_object_reader_list(sl_object_reader *reader, const char *bucket, const char *prefix,
                                           sl_object_list_fn *each, void *context, sl_error *error);

/* ---- The lake as a target ---- */

struct sl_target;
typedef struct sl_s3_lake_options {
    sl_object_store *store; /**< Borrowed until destroy. */
    unsigned files_max;     /**< Of one entry at once; 0: 4. */
} sl_s3_lake_options;

/**
 * Files of entries become objects PREFIX/KEY of sl_delivery.target, "s3://bucket/prefix". What passes (403, 404, DNS, TLS, 5xx)
 * comes out as a status whose follow-up is retry; SL_ECONFLICT when a key has another content.
 */
SL_CHECKED sl_status sl_s3_lake_create(const sl_s3_lake_options *options, struct sl_target **out, sl_error *error);
