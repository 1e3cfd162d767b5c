/** Which of the places counts: a decision from environment and files, without network. */
#pragma once

#include "ini.h"
#include "sluice/aws.h"
#include "sluice/files.h"

enum { SL_AWS_ROLES_MAX = 8, SL_AWS_FILE_BYTES_MAX = 1 << 20, SL_AWS_TOKEN_BYTES_MAX = 64 << 10 };

typedef enum sl_aws_source {
    SL_AWS_SOURCE_KEYS,         /**< They stand there. */
    SL_AWS_SOURCE_WEB_IDENTITY, /**< A token in a file, taken to STS. */
    SL_AWS_SOURCE_CONTAINER,    /**< A URL of ECS or EKS. */
    SL_AWS_SOURCE_INSTANCE,     /**< IMDSv2. */
} sl_aws_source;

typedef struct sl_aws_role {
    const char *arn, *external_id, *session_name; /**< The second may be NULL. */
    unsigned duration_s;                          /**< 0: STS's own. */
} sl_aws_role;

/** Texts in the arena, or the environment's. */
typedef struct sl_aws_plan {
    sl_aws_source source;
    const char *name;                                             /**< "environment", "profile x" … */
    const char *access_key_id, *secret_access_key, *session_token; /**< KEYS */
    sl_aws_role web;                                              /**< WEB_IDENTITY, with */
    const char *token_file;
    const char *url, *authorization, *authorization_file; /**< CONTAINER; INSTANCE: the endpoint. */
    bool fallback;                                        /**< INSTANCE because nothing else was found. */
    sl_aws_role roles[SL_AWS_ROLES_MAX];                  /**< Assumed one after the other. */
    unsigned role_count;
    const char *region;       /**< NULL: not known yet. */
    const char *sts_endpoint; /**< NULL: AWS's own. */
} sl_aws_plan;

typedef struct sl_aws_surroundings {
    const char *(*variable)(void *context, const char *name);
    void *context;
    sl_files *files;
    sl_arena *arena;
} sl_aws_surroundings;

/** @return SL_OK, SL_EDENIED (what is configured can't be used, or there is nothing), SL_ESYNTAX, SL_EIO, SL_ENOMEM. */
SL_CHECKED sl_status sl_aws_plan_make(const sl_aws_surroundings *around, const sl_aws_credentials_options *options,
                                      sl_aws_plan *plan, sl_error *error);
/** A token in a file: without white space at the end; in the arena. SL_EDENIED for one that no header can carry. */
SL_CHECKED sl_status sl_aws_read_token(const sl_aws_surroundings *around, const char *path, const char **token,
                                       sl_error *error);
/** Where the container's URL may lead without TLS: here, and to the addresses that ECS and EKS use. */
bool sl_aws_container_url_allowed(const char *url);
