/** @file s3_private.h
 * How the files of the object store hang together: operations (s3.c, s3_put.c) are made
 * of requests (s3_request.c), and a request is one thing asked of S3, however often it
 * has to be sent.
 */
#pragma once

#include "s3_reply.h"
#include "sluice/object_store.h"
#include "sluice/timer.h"

enum {
    S3_QUERY_MAX = 5,
    S3_FIELDS_MAX = 12,
    S3_CHUNK = 64 << 10,
    S3_CRC_TEXT = 9, /* Base64 of four bytes, and a 0. */
};

typedef struct s3_request s3_request;

/* How a request ended. Borrowed for the call. */
typedef struct s3_reply {
    sl_status status; /* SL_OK: 2xx, and no <Error>. */
    unsigned code;
    /* The request may have been acted upon, nobody said so; only of requests with `look`.
     */
    bool lost;
    const sl_s3_fault *fault;
    const sl_http_outcome *outcome; /* NULL: nothing was sent. */
    const sl_error *error;          /* The whole story; set unless SL_OK. */
} s3_reply;
typedef void s3_reply_fn(void *context, const s3_reply *reply);

typedef enum s3_state {
    S3_IDLE,
    S3_READY,   /* In store->ready. */
    S3_PAUSED,  /* In store->paused until due_us. */
    S3_WAITING, /* For credentials. */
    S3_SENT,
} s3_state;

/* Zero it, then set what stands above the line; all borrowed until done. Its memory is
 * its operation's. */
struct s3_request {
    const char *method, *action; /* "PUT", "s3:PutObject" */
    const char *bucket, *key;    /* key "": of the bucket. */
    sl_http_field query[S3_QUERY_MAX], fields[S3_FIELDS_MAX];
    size_t query_count, field_count;
    const void *body;
    sl_http_read_fn *read; /* Or this, with read_context. */
    void *read_context;
    uint64_t body_length;
    const char *payload_hash; /* NULL: of no body. */
    size_t reply_bytes_max;
    unsigned patience; /* Times the usual timeout; 0 is 1. */
    bool look;         /* A lost reply ends the request with `lost`. */
    s3_reply_fn *done;
    void *context;
    /* -------- */
    sl_object_store *store;
    s3_state state;
    unsigned tries;
    bool refreshed, clock_set;
    char access_key_id[129]; /* That the last try was signed with. */
    sl_aws_wait wait;
    sl_http_call *call;
    s3_request *next;
    int64_t due_us;
};

typedef struct s3_metrics {
    sl_metric *requests, *failures, *retries, *throttled, *sent, *pace;
} s3_metrics;

/* Operations are freed by their own function. */
struct sl_object_operation {
    sl_object_store *store;
    void (*destroy)(sl_object_operation *operation); /* Cancels its requests, frees. */
    sl_object_operation *next, **link;
};

struct sl_object_store {
    sl_object_store_options options; /* Defaults filled in; text points into `texts`. */
    sl_arena texts;
    char *tags;            /* "a=b&c=d", or NULL. */
    const char *scheme;    /* "https" */
    const char *authority; /* "minio.local:9000"; NULL: AWS's, in the region. */
    char region[64];
    sl_aws_signer signer;
    sl_aws_signed signature;
    sl_buffer host, url, path, note;
    sl_timer *timer;
    s3_request *ready, **ready_end;
    s3_request *paused; /* Soonest first. */
    unsigned sent;      /* Requests on their way. */
    double pace;
    int64_t slowed_us; /* When pace was last cut. */
    int64_t clock_offset_us;
    uint64_t random;
    s3_metrics metrics;
    sl_object_operation *operations, **operations_end;
    sl_aws_hash *sha;
    uint8_t chunk[S3_CHUNK];
};

/* Begins; done comes later. */
void s3_request_start(sl_object_store *store, s3_request *request);
/* Any state; done won't come. */
void s3_request_cancel(s3_request *request);
void s3_request_field(s3_request *request, const char *name, const char *value);
void s3_request_query(s3_request *request, const char *name, const char *value);

void s3_operation_enter(sl_object_store *store, sl_object_operation *operation,
                        void (*destroy)(sl_object_operation *operation));
void s3_operation_leave(sl_object_operation *operation);

/* Is the connection itself safe from alteration, so that the payload need not be signed?
 */
bool s3_store_secure(const sl_object_store *store);
void s3_crc_text(uint32_t crc, char out[S3_CRC_TEXT]);
/* Text of an error that has no reply behind it, as s3_reply.error would be. */
sl_status s3_wrong(sl_error *error, sl_status status, const char *method,
                   const char *bucket, const char *key, const char *what);
/* What HEAD's reply says. */
void s3_info_read(const sl_http_outcome *outcome, const char *key, sl_object_info *out);
bool s3_bucket_ok(const char *bucket, size_t length);
