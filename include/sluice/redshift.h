/** @file redshift.h
 * Amazon Redshift as a target: rows and deltas go as Parquet through S3 into a temporary table, and from there into the
 * table in one transaction with its ledger row (I4).
 *
 * Staging  Under `stage`: one object per 64 MiB of Parquet and a manifest per attempt. They are deleted when the
 *          entry is in, or given up; what a crash left of a table is deleted at that table's next first delivery.
 * Windows  The rows that deltas touch are read, merged in C and staged whole. That happens before the lock: the ledger's
 *          rows are read with them, and compared under the lock; where another daemon has loaded meanwhile, all is done
 *          again, under the lock this time.
 * Tables   Created and given new columns unless `create` is off; always compared with what is brought, before anything is
 *          staged. What was seen of a table is kept; when something doesn't fit, the table is looked at again first.
 * Fitting  Texts that are too long for VARCHAR(n) are cut at a character, which is counted, or (SL_FIT_DEAD_LETTER) their rows
 *          go to `sluice_dead_TABLE` (partition, position, column, part, row as JSON in pieces) in the same transaction.
 *          Windows are always cut.
 * Retries  Conflicts (1023 and the like) and lost connections: here, with jitter, up to 5 times. Afterwards, and for
 *          everything that somebody can mend out there (a missing right, a column of another type): SL_EIO, SL_EDENIED,
 *          SL_EAGAIN…, all to be repeated. SL_ECONFLICT: the ledger stands elsewhere. SL_ECORRUPT: the spool is damaged.
 * Threads  The loop's. Parquet is written in slices of about a millisecond.
 * Source   Amazon Redshift Developer Guide: COPY, "COPY from columnar data formats", "Using a manifest to specify data
 *          files", LOCK, "Isolation levels"; API Reference: GetClusterCredentials, GetCredentials (serverless).
 */
#pragma once

#include "sluice/object_store.h"
#include "sluice/postgres.h"
#include "sluice/target.h"
#include "sluice/warehouse.h"
#include "sluice/warehouse_sql.h"

/** Whom to ask for a database user; one per connect. Text is copied. */
typedef struct sl_redshift_iam {
    const char *cluster;   /**< GetClusterCredentials; or */
    const char *workgroup; /**< serverless GetCredentials. Both NULL: the URL's user and password. */
    const char *database;  /**< NULL: any. */
    const char *user;      /**< Clusters: the database user; NULL: the URL's. */
    bool create_user;      /**< Clusters: AutoCreate. */
    const char *region;    /**< NULL: what the credentials know. */
    const char *endpoint;  /**< NULL: AWS in the region. */
} sl_redshift_iam;

typedef struct sl_redshift_options {
    sl_loop *loop;
    sl_http_client *http;            /**< For IAM. Borrowed, as are: */
    sl_aws_credentials *credentials; /**< Sign for IAM; and COPY's own, where there is no role. */
    sl_object_store *store;
    sl_files *files;
    sl_clock clock;
    sl_metrics *metrics; /**< NULL: none. */

    sl_postgres_options server; /**< URL, password, CA. `setup` is ours. */
    sl_redshift_iam iam;
    const char *iam_role;   /**< COPY's: an ARN, several with ',' between them, or "default"; NULL: the credentials' keys. */
    const char *stage;      /**< "s3://bucket/prefix" */
    bool create;            /**< Of tables that `rules_of` says nothing else about, as is */
    sl_fit_policy policy;
    uint32_t sessions_max;  /**< Connections at once; 0: 2. */
    uint64_t file_bytes;    /**< Of Parquet per staged object, about; 0: 64 MiB. */
    /** Change the rules (they come as above, without id) for a delivery; their text lives until it is done. May be NULL. */
    void (*rules_of)(void *context, const sl_delivery *delivery, sl_warehouse_rules *rules);
    void *context;
} sl_redshift_options;

/** @return SL_OK; SL_EINVAL: URL, stage or options can't be read; SL_ENOMEM. */
SL_CHECKED sl_status sl_redshift_create(const sl_redshift_options *options, sl_target **out, sl_error *error);

/* ---- IAM ---- */

typedef struct sl_redshift_login sl_redshift_login; /**< One request on its way. */
/** @param user, password Borrowed for the call; NULL unless SL_OK. SL_EDENIED, SL_EIO: may pass. */
typedef void sl_redshift_login_fn(void *context, sl_status status, const char *user, const char *password,
                                  const sl_error *error);
/** Ask once. @param iam Borrowed until done. @return SL_OK: done will be called, later. */
SL_CHECKED sl_status sl_redshift_login_start(const sl_redshift_iam *iam, sl_http_client *http,
                                             sl_aws_credentials *credentials, sl_clock clock,
                                             sl_redshift_login_fn *done, void *context,
                                             sl_redshift_login **out, sl_error *error);
void sl_redshift_login_cancel(sl_redshift_login *login); /**< done isn't called. NULL is allowed. */
