/** @file state.h
 * The engine's own state: its actors, and what the loop touches.
 */
#pragma once

#include "dedupe.h"
#include "replays.h"
#include "storage.h"
#include "task.h"
#include "worker.h"

enum {
    SOURCES_MAX = 1024,
    TAPS_MAX = 8,
};

struct sl_engine {
    sl_engine_options options;
    const sl_config *config;
    sl_files *files;
    sl_budget *budget;
    sl_intake intake;
    char *spool;            /**< Directory. */
    char *partition;        /**< "journal:UUID" */
    char uuid[33];
    uint32_t generation;    /**< Start number: names spool files. */
    sl_journal *journal;
    journal_actor journal_io;
    reader_actor reader;
    storage_actor storage;
    delivery_actor delivery;
    dedupe_actor dedupe;
    worker *workers;
    uint32_t worker_count;
    sl_actor **actors, *actor_list;
    uint32_t actor_count;
    sl_schema *letters;     /**< Schema of dead letters. */

    /* loop */
    stream *streams[STREAMS_MAX + 64];
    uint32_t stream_count;
    stream *unrouted;
    router *router;          /**< Constant; NULL: a record without a path belongs to one stream. */
    char *sources[SOURCES_MAX]; /**< By sl_record.source. Workers look at those of the records they have, which stay. */
    uint32_t source_count;
    table *retired;
    table *tables[4096];
    uint32_t table_count;
    char buckets[DESTINATIONS_MAX][64];
    uint32_t destination_count;
    data_set *data, *data_next;        /**< The newest; one that is wanted, but has no position yet. */
    data_note *notes;
    uint64_t data_number;
    task *gathering;
    task *judging;                     /**< Gathers requests that are only judged. */
    task *judged_first;                /**< Of these, what workers have. */
    uint32_t judged_count;
    uint32_t writing;                  /**< Groups that the journal thread has. */
    uint32_t senders;                  /**< Requests that are about at one time: being written, or gathered meanwhile. */
    int64_t patient_since_us;          /**< A group waits for more requests since then; 0: none does. */
    uint32_t tasks_max;
    uint32_t halves_near;              /**< Tasks that are: the loop goes on looking. */
    bool reading;                      /**< The reader has a task. */
    bool letting_go;                   /**< A live group is given up for one to read into. */
    task *live_first, **live_last;     /**< In log order, not yet dispatched. */
    task *read_first, **read_last; /**< From the reader, in log order. */
    task *free_tasks;
    uint32_t task_count, free_count;
    uint32_t free_least;               /**< Of the free ones, how many nobody needed since: */
    int64_t spared_at_us;
    uint64_t live_bytes, outstanding_bytes;
    _Atomic uint64_t pipeline_bytes;   /**< Relaxed: workers only weigh it. */
    _Atomic int hungry;    /**< The loop waits for processed tasks; else they may wait for its next turn. */
    uint64_t position;      /**< Everything below is ticketed. */
    uint64_t journal_next;  /**< Where the next group may begin. */
    uint32_t epoch;
    uint64_t read_next;     /**< Where the reader goes on; UINT64_MAX: at `position`. */
    uint32_t read_count;
    int64_t read_retry_at_us;
    bool scanning_keys;
    uint64_t scan_from;
    uint64_t keys_stored;   /**< Every key below is in the ledger. */
    origin *origins;
    uint32_t origin_count;
    replays replays;
    bool keys_in_ledger, keys_busy, keys_failed;
    bool keys_repeated;     /**< A known key was asked for again: answered at the next poll. */
    key_entry **key_buckets;
    uint32_t key_bucket_count, key_count, keys_unstored;
    int64_t keys_at_us, expired_at_us;
    waiter *refused_first, **refused_last; /**< To be answered at the next poll, not inside submit(). */
    flush *flushes;
    uint32_t cuts_open;
    int64_t moved_at_us, scheduled_at_us;
    bool stopping, drain, stopped;
    bool cut_idle;          /**< No table could be cut at the last look. */
    int64_t stop_at_us;
    uint32_t peeks;
    uint64_t trimmed;
    bool journal_full;      /**< The last write found no space. */
    int64_t journal_full_at_us;
    uint32_t next_worker;
    _Atomic uint32_t tapped;          /**< Bits of the stages that somebody taps. Relaxed: a late look misses some events. */
    _Atomic(sl_tap *) taps[TAPS_MAX];
    sl_tap *taps_closed;              /**< Until no worker looks at them. */
    sl_metric *metric_accepted, *metric_rejected, *metric_requests, *metric_dead[SL_CODE_COUNT];
    sl_metric *metric_dropped, *metric_quarantined, *metric_journal_bytes, *metric_spool_bytes;
    sl_metric *metric_memory, *metric_uncommitted, *metric_rewinds, *metric_sync_failures, *metric_voids;
};

static inline int64_t engine_now(const sl_engine *e) {
    return e->options.clock.monotonic_us(e->options.clock.context);
}
static inline int64_t engine_wall(const sl_engine *e) {
    return e->options.clock.wall_us(e->options.clock.context);
}

static inline sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "engine: out of memory");
}

/* views.c: a window as it stands */
void peek_show(storage_actor *a, peek *p); /**< Storage: what the workers brought, and what is stored, as JSON. */
void peek_answer(sl_engine *e, peek *p); /**< What storage made of it; frees it. */
void peek_free(sl_engine *e, peek *p);
