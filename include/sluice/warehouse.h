/** @file warehouse.h
 * The embedded warehouse: SQLite. An entry's rows and the position that they cover move in one transaction (I4).
 *
 * Tables   A window: window_start, the group columns, one column per measure (`NAME__state` beside those that
 *          need it), and `_key`, `_rows`, `_hash`. Rows: the stream's columns (`a_b`), `_partition`, `_position`,
 *          `_hash`. Beside each, `sluice_ledger_TABLE`: partition, position, entry hash, rows.
 * Threads  The storage thread.
 */
#pragma once

#include "sluice/checkpoint.h"
#include "sluice/window.h"

typedef struct sl_warehouse sl_warehouse;

SL_CHECKED sl_status sl_warehouse_open(const char *path, const sl_sql_options *options,
                                       sl_warehouse **out, sl_error *error);
void sl_warehouse_close(sl_warehouse *warehouse);

/** What a load brings. */
typedef struct sl_warehouse_load {
    const char *table;
    const char *partition;   /**< "journal:UUID" */
    uint64_t from, to;
    bool first;              /**< The table's first entry here: no ledger row is expected. */
    const char *ranges;      /**< Of other logs' partitions, sl_range; NULL: none. */
    sl_buffer *found;        /**< With SL_EMOVED: what the ledger has of them. */
    const char *hash;        /**< Of the entry's content: the same load again has the same. */
    /** Gives one row file after the other, borrowed until the next call; SL_ENOTFOUND at the end. */
    sl_status (*next)(void *context, const uint8_t **rows, size_t *length, sl_error *error);
    void *context;
    const char *id;             /**< Rows: path of the field that they are kept by; NULL: appended. */
    const sl_window_plan *plan; /**< Window tables: rows are (start, key, state). NULL: event rows. */
} sl_warehouse_load;

/**
 * Check and move the ledger row, load in the same transaction.
 * @return SL_OK: loaded, or it had been before. SL_EMOVED: part of `ranges` had been brought by another reader; nothing changed. SL_ECONFLICT: neither; stop this table with an alarm.
 */
SL_CHECKED sl_status sl_warehouse_apply(sl_warehouse *warehouse, const sl_warehouse_load *load,
                                        sl_error *error);

/** What audit reads back. */
typedef struct sl_warehouse_fact {
    bool found;          /**< The table's ledger row exists. */
    uint64_t position;
    uint64_t loaded;     /**< Events that all loads brought, by the ledger's row. */
    uint64_t rows;       /**< Events counted: sum of `_rows` less what other partitions brought, or number of rows. */
    uint64_t row_hash;   /**< Sum of the hashes of rows as they are now. */
    uint64_t altered;    /**< Rows whose content isn't what was written. */
    char first_altered[128]; /**< Which, for people. */
    sl_buffer parts;     /**< What the ledger has of other logs' partitions: lines of sl_range_put(). The caller's: sl_buffer_fini(). */
} sl_warehouse_fact;
/** @param to Count event rows below this position only (windows: all). */
SL_CHECKED sl_status sl_warehouse_audit(sl_warehouse *warehouse, const char *table,
                                        const char *partition, bool window, uint64_t from, uint64_t to,
                                        sl_warehouse_fact *out, sl_error *error);
