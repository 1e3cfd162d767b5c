/** What hands out credentials answers with: JSON of containers and instances, XML of STS. */
#pragma once

#include "sluice/aws.h"

enum { SL_AWS_NAME_TEXT = 160 };

/** Keys that own their texts. */
typedef struct sl_aws_owned_keys {
    char *access_key_id, *secret_access_key, *session_token; /* The token may be NULL. */
    int64_t expires_us;
} sl_aws_owned_keys;

/** All empty again. */
void sl_aws_owned_keys_fini(sl_aws_owned_keys *keys);
/** Copies; `to` must be empty. @return SL_OK, SL_EDENIED (empty, or bytes that no key has), SL_ENOMEM. */
SL_CHECKED sl_status sl_aws_owned_keys_set(sl_aws_owned_keys *to, const char *access_key_id, const char *secret_access_key,
                                           const char *session_token, int64_t expires_us, sl_error *error);
sl_aws_keys sl_aws_owned_keys_view(const sl_aws_owned_keys *keys);

/**
 * {"AccessKeyId": …, "SecretAccessKey": …, "Token": …, "Expiration": "2030-01-01T00:00:00Z", "Code": "Success"}.
 * Code, Token and Expiration may be missing.
 * @return SL_OK, SL_EDENIED (says another code), SL_EIO (isn't such a document), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_aws_read_json_keys(const void *bytes, size_t length, sl_aws_owned_keys *keys, sl_error *error);
/** The Credentials of an AssumeRole… response; same statuses. */
SL_CHECKED sl_status sl_aws_read_sts_keys(const void *bytes, size_t length, sl_aws_owned_keys *keys, sl_error *error);
/** "AccessDenied: its message" of an ErrorResponse, "" when it is none. Printable, cut where too long. */
void sl_aws_read_sts_error(const void *bytes, size_t length, char *out, size_t size);

/**
 * Text of the first element `name` directly inside `parent`, entities resolved.
 * @return false when there is none or the document is not well-formed up to it.
 */
bool sl_aws_xml_text(const void *bytes, size_t length, const char *parent, const char *name, sl_buffer *out);
