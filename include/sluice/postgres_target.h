/** @file postgres_target.h
 * PostgreSQL as a target: an entry's rows and the position that they cover move in one transaction (I4).
 *
 * Rows     By binary COPY into a temporary table of the session, outside of any transaction; then BEGIN, the ledger's lock,
 *          check, INSERT … SELECT (by `id`: ON CONFLICT DO UPDATE), move, COMMIT with its tag compared.
 * Windows  Under the lock, some thousand deltas at a time: read the rows that they touch by `_key`, merge in C, write all back
 *          by COPY into a temporary table and INSERT … ON CONFLICT ("_key") DO UPDATE. Columns that aren't ours stay.
 * Tables   Created and given new columns unless `create` is off; always compared with what is brought before it is loaded.
 * Fitting  Texts that are too long for VARCHAR(n) are cut at a character, or (SL_FIT_DEAD_LETTER) their rows go to
 *          `sluice_dead_TABLE` (partition, position, column, row as JSON) in the same transaction, as the entry has
 *          counted them already. Windows are always cut.
 * Retries  Conflicts (40001, 40P01), lost connections and tables that changed meanwhile: here, with jitter, up to 5
 *          times. A COMMIT without a reply is looked up in the ledger, under its lock. Afterwards, and for everything
 *          that somebody can mend out there: SL_EIO, SL_EDENIED, SL_EAGAIN…, all to be repeated. SL_ECONFLICT: the ledger stands
 *          elsewhere. SL_ECORRUPT: the spool or a stored state is damaged.
 * Server   PostgreSQL 11 or newer.
 * Threads  The loop's.
 */
#pragma once

#include "sluice/files.h"
#include "sluice/metrics.h"
#include "sluice/postgres.h"
#include "sluice/target.h"
#include "sluice/warehouse.h"
#include "sluice/warehouse_sql.h"

typedef struct sl_postgres_target_options {
    sl_loop *loop;
    sl_files *files;              /**< Of the spool. Borrowed. */
    sl_metrics *metrics;          /**< NULL: none. */
    sl_postgres_options server;   /**< `setup` is ours. */
    bool create;                  /**< Of tables that `rules_of` says nothing else about, as is */
    sl_fit_policy policy;
    uint32_t sessions_max;        /**< Connections at once, each for one table; 0: 4. */
    /** Change the rules (they come as above, without id) for a delivery; their text lives until it is done. May be NULL. */
    void (*rules_of)(void *context, const sl_delivery *delivery, sl_warehouse_rules *rules);
    void *context;
} sl_postgres_target_options;

/** @return SL_OK; SL_EINVAL: the URL can't be read; SL_ENOMEM. */
SL_CHECKED sl_status sl_postgres_target_create(const sl_postgres_target_options *options, sl_target **out,
                                               sl_error *error);

/**
 * What audit reads back; waits, for commands. Redshift speaks the same protocol, so it is read here, too.
 * @param shape The table as it should be, so that columns of others are left out; NULL: all that the live table has.
 * @param to Count event rows of [from, to) only (windows: all). Rows in `sluice_dead_TABLE` count as rows.
 */
SL_CHECKED sl_status sl_postgres_audit(const sl_postgres_options *server, sl_dialect dialect, const char *table,
                                       const sl_warehouse_table *shape, const char *partition, bool window,
                                       uint64_t from, uint64_t to, sl_warehouse_fact *out, sl_error *error);
