/** @file aws.h
 * What every AWS service needs: Signature Version 4, credentials and region from where AWS's own programs look.
 *
 * Secrets  Keys and tokens are never logged and never part of an error text.
 * Threads  Signing: any, one signer by one thread at a time. Credentials: the loop's.
 * Source   AWS, "Signature Version 4 signing process", "Authenticating Requests: Using the Authorization Header
 *          (AWS Signature Version 4)" of the S3 API reference, "AWS SDKs and Tools Reference Guide".
 */
#pragma once

#include "sluice/buffer.h"
#include "sluice/http_client.h"
#include "sluice/time.h"

/* ---- Signature ---- */

#define SL_AWS_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
enum { SL_AWS_HASH_TEXT = 65 }; /**< 64 lower-case hex digits and a 0. */

/** SHA-256 in hex of bytes at once, */
void sl_aws_hash_text(const void *bytes, size_t length, char out[SL_AWS_HASH_TEXT]);
/** or piece by piece. */
typedef struct sl_aws_hash sl_aws_hash;
sl_aws_hash *sl_aws_hash_create(void); /**< NULL when out of memory. */
void sl_aws_hash_add(sl_aws_hash *hash, const void *bytes, size_t length);
/** The result of all added; then it begins anew. */
void sl_aws_hash_take(sl_aws_hash *hash, char out[SL_AWS_HASH_TEXT]);
void sl_aws_hash_destroy(sl_aws_hash *hash);

/** Percent-encode as AWS does: all but A-Z a-z 0-9 - . _ ~, upper-case hex; '/' stays if `keep_slash`. */
void sl_aws_encode(sl_buffer *out, const void *bytes, size_t length, bool keep_slash);

typedef struct sl_aws_keys {
    const char *access_key_id, *secret_access_key;
    const char *session_token; /**< NULL: none. */
    int64_t expires_us;        /**< Since 1970; INT64_MAX: never. */
} sl_aws_keys;

/** How paths are made canonical and what is sent along. */
enum {
    SL_AWS_NORMALISE_PATH = 1,    /**< "." and ".." and "//" folded before signing. Sent is what was given. */
    SL_AWS_ENCODE_PATH_TWICE = 2, /**< The signed path is the sent one encoded once more. */
    SL_AWS_PAYLOAD_FIELD = 4,     /**< Send and sign x-amz-content-sha256. */
    SL_AWS_TOKEN_UNSIGNED = 8,    /**< The session token is sent but not signed. */
    SL_AWS_S3 = SL_AWS_PAYLOAD_FIELD,
    SL_AWS_SERVICE = SL_AWS_NORMALISE_PATH | SL_AWS_ENCODE_PATH_TWICE, /**< All services but S3. */
};

/** Signs for one service in one region. Set the first three (borrowed), the rest 0. */
typedef struct sl_aws_signer {
    const char *service, *region; /**< "s3", "eu-central-1" */
    unsigned flags;               /**< SL_AWS_S3 or SL_AWS_SERVICE. */
    char day[9];                  /**< The cached key's, "20150830"; "" when there is none. */
    uint8_t secret_hash[32];      /**< Of the secret that the cached key comes from. */
    uint8_t key[32];
} sl_aws_signer;

/** Wipe the cached key. */
void sl_aws_signer_fini(sl_aws_signer *signer);

/** What is to be signed, not encoded yet: bytes as they are meant. All borrowed. */
typedef struct sl_aws_request {
    const char *method;          /**< "PUT" */
    const char *host;            /**< As the Host header will say: with the port unless it is the scheme's own. */
    const char *path;            /**< "/bucket/a key=1"; "/" at least. */
    const sl_http_field *query;  /**< Names and values in any order; a value may be "". */
    size_t query_count;
    /** Signed along; send them all, with what comes out. Host, X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-Sha256
     * and Authorization must not be among them. */
    const sl_http_field *fields;
    size_t field_count;
    const char *payload_hash;    /**< Hex SHA-256 of the body, or SL_AWS_UNSIGNED_PAYLOAD; NULL: of no body. */
    int64_t time_us;             /**< Now. */
} sl_aws_request;

/** Outcome of signing. Zero it first; reused by further calls; then fini. Not to be copied: it points into itself. */
typedef struct sl_aws_signed {
    const char *target;      /**< "/path?query", encoded as it was signed: send exactly this. */
    sl_http_field fields[4]; /**< x-amz-date, authorization, and as needed x-amz-content-sha256, x-amz-security-token. */
    size_t field_count;
    sl_buffer target_text, text, canonical;
} sl_aws_signed;

/** @return SL_OK, SL_EINVAL (path without '/', empty names, CR, LF in a field), SL_ENOMEM. */
SL_CHECKED sl_status sl_aws_sign(sl_aws_signer *signer, const sl_aws_keys *keys, const sl_aws_request *request,
                                 sl_aws_signed *out, sl_error *error);
/** The canonical request of the last sl_aws_sign(), to compare with what a service says it expected; a session token in it
 * is left out. */
const char *sl_aws_signed_canonical(sl_aws_signed *out);
void sl_aws_signed_fini(sl_aws_signed *out);

/**
 * The other end: is `signature` the one of a request that came? `fields` are those its SignedHeaders names, all of them but
 * Host, in any order; `host` as the Host header says. The time is the request's own, and the caller's to judge.
 * @param signer Its service and region are the credential scope's.
 * @param[out] same Whether it is; told in a time that doesn't depend on the bytes.
 * @return SL_OK, SL_EINVAL, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_aws_verify(sl_aws_signer *signer, const char *secret, const sl_aws_request *request,
                                   const char *signature, bool *same, sl_error *error);

/* ---- Credentials and region ---- */

/**
 * Looked for in this order; the first that is configured counts, and its failure is the answer:
 * 1 options (keys given there; role_arn there is assumed with what the rest of the list gives)
 * 2 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, unless options name a profile
 * 3 AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (the file is read anew each time), unless options name a profile
 * 4 the profile (options, AWS_PROFILE, "default") in AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE or ~/.aws: keys;
 *   role_arn with source_profile or credential_source; web_identity_token_file. credential_process and SSO are
 *   not supported and are said so.
 * 5 AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS), with AWS_CONTAINER_AUTHORIZATION_TOKEN(_FILE)
 * 6 the instance's metadata (IMDSv2), unless AWS_EC2_METADATA_DISABLED
 * Roles go through STS in the region, or AWS_ENDPOINT_URL_STS; metadata at AWS_EC2_METADATA_SERVICE_ENDPOINT.
 *
 * Refresh  Temporary keys are fetched anew in the background 5 minutes before their end (at most half of their life),
 *          with jitter; a failure then is tried again with backoff while the old keys still serve. Keys that have
 *          expired are never given out.
 */
typedef struct sl_aws_credentials sl_aws_credentials;

typedef struct sl_aws_credentials_options {
    const char *access_key_id, *secret_access_key, *session_token; /**< From the configuration; NULL: none. */
    const char *profile;                                           /**< NULL: AWS_PROFILE, "default". */
    const char *region;                                            /**< NULL: looked for. */
    const char *role_arn, *external_id, *role_session_name;        /**< Assume this role last of all; NULL: none. */
    /** Tests: the environment and wall time; NULL: getenv(), the system's clock. */
    const char *(*variable)(void *context, const char *name);
    int64_t (*now_us)(void *context);
    void *context;
} sl_aws_credentials_options;

/** The answer; borrowed for the call. */
typedef struct sl_aws_identity {
    sl_aws_keys keys;
    const char *region; /**< The options', AWS_REGION, AWS_DEFAULT_REGION, the profile's, the instance's if its keys are used; or NULL. */
    const char *source; /**< "environment", "profile default", "instance metadata, role x" …, for messages. */
} sl_aws_identity;

/** @param identity NULL unless SL_OK. SL_EDENIED: there are none, or they were refused; SL_EIO: no answer. Both may pass. */
typedef void sl_aws_identity_fn(void *context, sl_status status, const sl_aws_identity *identity,
                                const sl_error *error);

/** One who waits for credentials; the caller's memory, until `done` is called or it is cancelled. */
typedef struct sl_aws_wait {
    sl_aws_identity_fn *done;
    void *context;
    struct sl_aws_wait *next; /**< Not the caller's. */
    bool waiting;
} sl_aws_wait;

/** @param client Borrowed until destroy. @param options Copied. Nothing is looked up yet. */
SL_CHECKED sl_status sl_aws_credentials_create(struct uv_loop_s *loop, sl_http_client *client,
                                               const sl_aws_credentials_options *options,
                                               sl_aws_credentials **out, sl_error *error);
/** Before the client. Those who wait are not told. NULL is allowed. Memory returns in later turns of the loop. */
void sl_aws_credentials_destroy(sl_aws_credentials *credentials);

/** What is at hand, for signing at once: valid until control returns to the loop. NULL: use get. */
const sl_aws_identity *sl_aws_credentials_peek(sl_aws_credentials *credentials);
/** Ask; `done` comes once, later, never from inside. */
void sl_aws_credentials_get(sl_aws_credentials *credentials, sl_aws_wait *wait);
void sl_aws_credentials_cancel(sl_aws_credentials *credentials, sl_aws_wait *wait); /**< Not waiting: nothing happens. */
/**
 * A service said that these keys have expired (ExpiredToken, ExpiredTokenException, RequestExpired): peek gives no more
 * of them, and the next get fetches. Nothing happens when others have come since.
 */
void sl_aws_credentials_expired(sl_aws_credentials *credentials, const char *access_key_id);
