/** @file cuts.h
 * A cut: the position up to which some tables become outbox entries, and what workers bring to it.
 */
#pragma once

#include "actors.h"
#include "stream.h"

#include "sluice/checkpoint.h"

/** A file that a worker finished, still without its key. */
typedef struct sealed_file {
    char *spool;      /**< Name in the spool. */
    char *directory;  /**< Partition path with a '/' at its end, or "". */
    uint64_t bytes, rows;
    sl_hash128 hash;
} sealed_file;

/** What one worker brings to a cut of one table. */
typedef struct cut_result {
    sl_counts counts;
    sealed_file *files;
    uint32_t file_count, file_capacity;
    sl_buffer deltas; /**< Of windows: see window_rows.h. */
    uint64_t delta_count;
    sl_status status;
} cut_result;

/** One position at which some tables are cut. */
struct cut {
    message head;
    struct cut *next;      /* storage: waiting for a commit */
    uint32_t table_count;
    table **tables;
    sl_entry *entries;     /**< One per table. */
    int64_t *watermarks;
    shape **shapes;        /**< Of each table's stream when it was cut; referenced. */
    cut_result *results;   /**< [worker * table_count + table] */
    uint32_t result_count;
    /* Cursors of tables with nothing to cut. */
    table **moves;
    uint64_t *move_to;
    int64_t *move_watermarks;
    uint32_t move_count;
    table **known;         /**< All tables: those without an id are registered. */
    uint32_t known_count;
    struct {
        stream *of;
        sl_schema *schema;
        uint64_t frozen_at;
    } *schemas;            /**< New versions of inferred schemas. */
    uint32_t schema_count;
    uint64_t discovered;
    sl_status status;
    bool claimed;          /**< Some table is. */
    replay_result *replays; /**< Taken since the last cut. */
    data_note **notes;     /**< Versions for the ledger. */
    uint32_t note_count;
    dedupe_mark **marks;   /**< Of the streams that have no duplicates. */
    uint32_t mark_count;
    /* storage */
    uint32_t prepared;     /**< Tables whose files are built and synced. */
    sl_buffer *merged;     /**< Per table: a window's deltas of all workers, merged and sorted. */
    int64_t retry_at_us;
    uint32_t tries;
};

/** Somebody waits until everything before now is delivered. */
typedef struct flush {
    struct flush *next;
    sl_engine_flush_fn *done;
    void *context;
    uint64_t target; /**< Synced end when it was asked for. */
    bool begun;      /**< Every table's cut at or beyond the target is on its way. */
} flush;

/* cuts.c */
bool cuts_poll(sl_engine *e, int64_t now);
void cut_sealed(sl_engine *e, cut *c);
void cut_committed(sl_engine *e, cut *c);
void cut_free(cut *c);
void entry_delivered(sl_engine *e, pending *p);
void pending_free(pending *p);
void cut_results_clear(sl_engine *e, cut_result *r);
