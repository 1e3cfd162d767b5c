/** @file data.h
 * Reading what steps ask from where it is: files, S3, SQLite, PostgreSQL; and, while the daemon runs, reading it again.
 *
 * Waiting  Everything here waits for disk or network: for commands before they start, and for threads of their own.
 * Whole    A table is read to its end, checked and built before anybody sees it.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/metrics.h"

struct sl_engine;

/** What a source looked like when it was read: unchanged, it isn't read again. */
typedef struct sl_data_seen {
    char text[256]; /**< "": nothing is known. */
} sl_data_seen;

typedef struct sl_data_request {
    const sl_config *config;        /**< For how S3 is reached. */
    const sl_config_lookup *lookup; /**< What is wanted. */
    const sl_lookup *before;        /**< What is in use: the new table has its columns and types. NULL: the first one. */
    sl_data_seen *seen;             /**< As it was; as it is. NULL: read in any case. */
    sl_budget *budget;              /**< NULL: not counted. */
    const _Atomic bool *stop;       /**< Set by another thread: give up. NULL: nobody does. */
} sl_data_request;

/**
 * @param[out] out      The caller's; NULL with SL_OK: `seen` says that it hasn't changed.
 * @param[out] left_out Appended to: columns that are there now and weren't `before`.
 * @return SL_OK; SL_EAGAIN: it is being written just now, locked, or `stop`; what the source and sl_lookup_finish() return.
 */
SL_CHECKED sl_status sl_data_lookup(const sl_data_request *request, sl_lookup **out, sl_buffer *left_out, sl_error *error);
/** A database of addresses, likewise. */
SL_CHECKED sl_status sl_data_geoip(const char *path, sl_data_seen *seen, sl_budget *budget, const _Atomic bool *stop, sl_geoip **out,
                                   sl_error *error);

/** How a configuration's tables are read. */
typedef struct sl_data_reading {
    int64_t patience_us;      /**< For so long a source that can't be reached is tried again. */
    sl_budget *budget;        /**< As above. */
    const _Atomic bool *stop;
} sl_data_reading;
/** The `lookup` of an sl_config_source; its context is an sl_data_reading. */
SL_CHECKED sl_status sl_data_for_configuration(void *context, const sl_config *config, const sl_config_lookup *lookup,
                                               sl_lookup **out, sl_error *error);

/** "s3://…", a path, "postgres": for messages, without anything that is secret. */
const char *sl_data_place(const sl_config_lookup *lookup);

/** Tables and databases of a configuration that steps can do with: counted in the budget. @return SL_EFULL: `error` says what to raise. */
SL_CHECKED sl_status sl_data_charge(const sl_config *config, sl_budget *budget, sl_error *error);

/* ---- Reading again ---- */

typedef struct sl_data_refresh sl_data_refresh;

typedef struct sl_data_refresh_options {
    const sl_config *config;  /**< Borrowed until destroy. */
    sl_budget *budget;
    sl_metrics *metrics;
    void (*wake)(void *context); /**< There is something for sl_data_refresh_poll(); from its thread. */
    void *context;
} sl_data_refresh_options;

/** A thread that reads again what has a `refresh`, if anything has. */
SL_CHECKED sl_status sl_data_refresh_create(const sl_data_refresh_options *options, sl_data_refresh **out, sl_error *error);
/** Ends the thread: at once, but for a table or database that is being built. NULL is allowed. */
void sl_data_refresh_destroy(sl_data_refresh *refresh);
const sl_config *sl_data_refresh_config(const sl_data_refresh *refresh);
/** The newest, for another engine with the same configuration. Valid until the next call. */
const sl_step_data *sl_data_refresh_current(sl_data_refresh *refresh, uint32_t *count);
/** Hand over what is new, and tell ages. The loop's. @param engine NULL: none is there now. */
void sl_data_refresh_poll(sl_data_refresh *refresh, struct sl_engine *engine);
