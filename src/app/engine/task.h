/** @file task.h
 * A task: a group of records on its way. It is written, decoded, answered, processed.
 */
#pragma once

#include "actors.h"
#include "stream.h"

#include "sluice/decode.h"
#include "sluice/journal.h"

enum {
    TASKS_MAX = 1024,      /* In flight at once: fewer than a ring holds. */
    TASKS_SPARE = 4,       /* Kept for requests and the reader while the pipeline stands still. */
    GROUP_BYTES = 2 << 20, /* A group gathers up to this, a lone record may be larger. */
};
#define ROUTED UINT32_MAX /* In sl_record.stream: its events belong to several streams. */

typedef struct request {
    sl_intake_done_fn *done;
    void *token;
    key_entry *key; /**< NULL: none. */
} request;

/** A batch of one stream out of a task. */
struct part {
    shape *shape;
    sl_batch *batch;
    const sl_batch *view;    /**< The batch as tables see it: itself, or what the steps made of it. */
    sl_span *id_texts;        /**< [rows] Of a task that is only judged, where the stream has ids; length 0: none. */
    sl_value_key *ids;        /**< [rows] Where the stream has no duplicates; NULL: elsewhere. Of a row that isn't kept it says nothing. */
    uint32_t ids_to;         /**< Those of the rows before are hashed already. */
    uint32_t decoded_rejects; /**< Of its rejects, those that have no row: set before the steps add theirs. */
    int64_t watermark_after; /**< Highest min(event time, arrival) of the batch alone. */
    int64_t watermark_us;    /**< The stream's before its first row; set by its ticket. */
    bool skip;               /**< The stream is ahead of this group already. */
    uint64_t routed_bytes;   /**< Of its events, those out of records that streams share. */
    bool replays;            /**< Some of its events are of a replay. */
};

/** Messages of a record that a table has by another reader: those with a place below. */
typedef struct pass {
    const table *of;
    uint32_t carrier;
    uint32_t below;
} pass;

typedef enum task_stage { TASK_DECODE, TASK_PROCESS, TASK_RELEASE } task_stage;

/** A group on its way: written, decoded, answered, processed. */
struct task {
    message head;
    task *next;           /* loop: in a list */
    sl_group *group;
    uint64_t begin;       /**< The cursor before it. Between a group and the next there may be nothing at all, so that several
                               cursors mean the same place: what was seen is told by group->offset. */
    uint64_t bytes;       /**< As accounted: the group length when it entered (writing rounds it up), and `beside`. */
    uint64_t columns;     /**< What decoding made of it; the worker's until the loop has the task again. */
    uint64_t beside;      /**< What of that the group's own length doesn't cover: many events in few bytes. */
    bool live;            /**< From requests; else read back from the log. */
    bool keys_only;       /**< Read back only for its keys. */
    bool dry_run;         /**< Only judged: not in the log. A replay, or: */
    bool judged;          /**< requests for somebody else's log; in the list of these. */
    bool replays;         /**< Some records are replays. */
    uint32_t item_count;
    uint32_t epoch;       /**< Of the reader. */
    uint64_t read_to;     /**< Synced end when the reader was sent. */
    sl_status status;     /**< Of its write or read. */
    sl_error error;
    bool written, decoded, answered;
    _Atomic uint32_t halves; /**< Of journal and worker, how many have it: the last one wakes the loop. */
    bool near;            /**< loop: one half is here, the other doesn't have it any more and pushes it now. */
    uint32_t worker;
    task_stage stage;
    sl_record *records;   /**< One per record of the group, then one per item of those that carry some. */
    uint32_t record_count;
    uint32_t record_capacity;
    request *requests;    /**< Live ones. */
    uint32_t request_capacity;
    shape **shapes;       /**< One per each of them, borrowed from `uses`; NULL: routed. */
    shape *uses[2 * (STREAMS_MAX + 64)]; /**< Referenced. */
    uint32_t use_count;
    data_set *data;       /**< What the steps ask; referenced. */
    part *parts;
    uint32_t part_count, part_capacity;
    pass *passes;
    uint32_t pass_count, pass_capacity;
    bool routed;          /**< Holds records whose events belong to several streams. */
    bool nomem;           /**< A worker ran out of memory while decoding. */
    bool broken;          /**< A table failed while it was processed: see table.broken. */
    table *full;          /**< A table wants to be cut early. */
    uint64_t quarantined;
};

task *task_get(sl_engine *e); /**< @return NULL: no memory, or enough are in flight. */
void task_free(sl_engine *e, task *t);
void task_release(sl_engine *e, task *t); /**< Back to its worker (batches), then free. */
bool task_grow(task *t, uint32_t count); /**< Room for so many records. @return false: no memory. */
void task_use(task *t, shape *s);
/** In a list. @param last Where its end is kept. */
void task_append(task ***last, task *t);
void task_unlink(task **first, task ***last, task *t);
void tasks_destroy(sl_engine *e, task *first); /**< With their batches. */
void tasks_spare(sl_engine *e, int64_t now_us); /**< Give back what nobody needed for a while. */
