/** @file target.h
 * A place outside the daemon that outbox entries are delivered to without anybody waiting: an object store, a
 * warehouse behind a socket. The embedded lake and SQLite need none of this (lake.h, warehouse.h).
 *
 * One entry of a table is on its way at a time; entries of different tables may be on their way together.
 * Delivering is idempotent (I4): the engine repeats an entry until it succeeds, after crashes too, and a target
 * finds out by looking (object and its hash, ledger row) whether it had been done before. Never by guessing.
 *
 * Threads  All calls and callbacks: the delivery thread, which owns one sl_loop of its own, so that signing, hashing and
 *          TLS never delay the intake.
 */
#pragma once

#include "sluice/checkpoint.h"
#include "sluice/window.h"

/** One entry on its way out. Borrowed by the target until `done` is called. */
typedef struct sl_delivery {
    const char *table;      /**< Its name in the ledger: "clicks/lake". For messages. */
    sl_table_kind kind;
    const char *target;     /**< "s3://bucket/prefix", or the warehouse table. */
    const char *partition;  /**< "journal:UUID" */
    const char *spool;      /**< Directory that entry->files[].spool lie in, on the local disk. */
    const sl_entry *entry;
    sl_buffer *found;       /**< With entry->ranges: what the warehouse's ledger has of such partitions, when SL_EMOVED is the answer. */
    bool first;             /**< The table's first entry: no ledger row is expected in a warehouse. */
    const char *hash;       /**< Of the entry's content: the same entry always has the same. */
    const sl_window_plan *plan; /**< Windows: row files hold (start, key, state). NULL otherwise. */
    const sl_schema *schema;    /**< Of the stream, as of this entry. */
    const struct sl_config_table *settings; /**< Of a warehouse table, as configured; NULL: defaults. */
} sl_delivery;

/**
 * Called once per deliver(), never from inside it.
 * @param status SL_OK: durable out there. SL_EMOVED: entry->ranges begin below where their partitions stand, see delivery->found. What sl_status_follow_up() calls retry comes again, with backoff, from the
 *        engine; stop (SL_ECONFLICT…) stops the table with an alarm. `error` is borrowed for the call.
 */
typedef void sl_target_done_fn(void *context, sl_status status, const sl_error *error);

typedef struct sl_target sl_target;
struct sl_target {
    void (*deliver)(sl_target *target, const sl_delivery *delivery, sl_target_done_fn *done, void *context);
    /** Give up what is on its way (no `done` for it any more) and free. The loop runs on a few turns after it. */
    void (*destroy)(sl_target *target);
};
