/** @file internal.h
 * What the engine's files share: streams, tables, tasks, cuts and the messages between actors.
 *
 * Ownership goes with the message: whoever popped a pointer from a ring owns what it points to until it
 * pushes it on. Fields that one thread alone touches say so.
 */
#pragma once

#include "sluice/checkpoint.h"
#include "sluice/decode.h"
#include "sluice/dedupe.h"
#include "sluice/engine.h"
#include "sluice/journal.h"
#include "sluice/lake.h"
#include "sluice/message.h"
#include "sluice/messages.h"
#include "sluice/parquet.h"
#include "sluice/replay.h"
#include "sluice/ring.h"
#include "sluice/rows.h"
#include "sluice/target.h"
#include "sluice/warehouse.h"
#include "sluice/window.h"

#include "crash.h"

enum {
    WORKERS_MAX = 64,
    RING_SIZE = 4096,
    TASKS_MAX = 1024,        /* In flight at once: fewer than a ring holds. */
    STREAMS_MAX = 100,       /* Inferred ones, as the design says. */
    SOURCES_MAX = 1024,
    GROUP_BYTES = 2 << 20,   /* A group gathers up to this, a lone record may be larger. */
    READ_AHEAD = 4,          /* Groups that the reader is ahead of the pipeline. */
    STEP_RESULTS = 5,
    COMPANIONS_MAX = 64,     /* Tables of one stream. */
    TAPS_MAX = 8,
    DESTINATIONS_MAX = 16,   /* The next four, then buckets; the last one holds all further ones. */
    DESTINATION_DIRECTORIES = 0,
    DESTINATION_WAREHOUSE,
    DESTINATION_COMPANIONS,  /* Wherever they go. */
    DESTINATION_TOPICS,
    DESTINATION_BUCKETS,
};
#define S3_SCHEME "s3://"
#define ROUTED UINT32_MAX /* In sl_record.stream: its events belong to several streams. */
#define UNCUT_MAX (UINT64_C(1) << 30) /* A table is cut at 1 GiB of uncut log. */
#define KEY_LIFE_US (24 * SL_HOUR_US)

typedef struct stream stream;
typedef struct table table;
typedef struct task task;
typedef struct worker_table worker_table;
typedef struct dedupe_mark dedupe_mark;
typedef struct router router;
typedef struct route_look route_look;
typedef struct origin origin;
typedef struct claim claim;

/** What steps ask, from a position of the log on: immutable but for the loop's fields. */
typedef struct data_set {
    struct data_set *older; /* loop */
    uint32_t references;    /* loop */
    uint64_t from;          /* loop */
    uint64_t number;        /**< Never given twice: workers tell sets by it. */
    uint32_t count;
    sl_step_data data[];    /**< Referenced. */
} data_set;

/** A version that the ledger doesn't know yet. Texts are the configuration's. */
typedef struct data_note {
    struct data_note *next;
    sl_ledger_version version; /* Constant. */
    uint32_t cuts;          /* loop: that carry it */
    bool stored;            /* loop */
} data_note;


/** How a stream's events are decoded and what its tables make of them: immutable, by reference count. */
typedef struct shape {
    _Atomic uint32_t references;
    stream *of;
    sl_schema *schema;        /**< What tables see. */
    sl_schema *decoded;       /**< What events are decoded with: the same where there are no steps. */
    sl_contract_split *split; /**< What is checked beside decoding; NULL: nothing. */
    sl_steps *steps;          /**< NULL: none. */
    uint32_t event_time;      /**< Field index in `schema` or SL_NO_FIELD: arrival. */
    uint32_t decoded_time;    /**< The same in `decoded`. */
    bool deduped;             /**< Duplicates are looked for, by: */
    uint32_t id;              /**< What tells events apart: this field in `schema`, or, with SL_NO_FIELD, the stream's expression. */
    uint32_t table_count;
    uint32_t *partition_fields[COMPANIONS_MAX]; /**< Of lake tables; SL_NO_FIELD: see partition_by. */
    sl_window_plan *plans[COMPANIONS_MAX];      /**< Of window tables. */
} shape;

struct stream {
    char name[64];
    uint32_t index;
    const sl_config_stream *config; /**< NULL: made as it was named. */
    bool inferred;
    bool unrouted;        /**< Takes what no stream takes: everything is a dead letter. */
    shape *current;       /* loop */
    uint32_t stored_version; /* loop: schema version that the ledger has */
    uint64_t next;        /* loop: offset of the next group to be ticketed */
    int64_t watermark_us; /* loop: at `next` */
    table *tables[COMPANIONS_MAX];
    uint32_t table_count;
    bool widened;         /* loop: a known type widened and the stream isn't rewound yet */
    bool dispatched;      /* loop: something went into the pipeline since the start or the last rewind */
    sl_dedupe *dedupe;    /**< The dedupe actor's, but for making and closing; NULL: duplicates aren't looked for. */
    dedupe_mark *first_mark, **last_mark; /* loop: of cuts that are open */
    sl_metric *received, *bytes, *refused, *late, *drift, *duplicates;
    sl_metric *(*steps)[STEP_RESULTS]; /**< Of each step: passed, changed, refused, failed, missed. */
};

typedef enum message_kind {
    MESSAGE_TASK,
    MESSAGE_CUT,
    MESSAGE_DELIVERED,
    MESSAGE_REWIND,
    MESSAGE_PEEK,
    MESSAGE_KEYS,
    MESSAGE_KEY,
    MESSAGE_TRIM,
    MESSAGE_MARK,
    MESSAGE_DATA,
    MESSAGE_VOID,
} message_kind;

/** First member of what travels; aligned as what it stands in. */
typedef struct message {
    _Alignas(void *) message_kind kind;
} message;

/** What isn't delivered of a table is taken back: from storage, then to it and back. In the table itself. */
typedef struct void_order {
    message head;          /**< MESSAGE_VOID */
    table *of;
    sl_buffer found;       /**< What the warehouse's ledger says of other logs' partitions. */
    sl_ledger_table place; /* storage: where the table stands then */
    sl_status status;
    enum { VOID_NONE, VOID_WAITS, VOID_SENT } stage; /* loop */
    int64_t retry_at_us;   /* loop */
} void_order;

struct table {
    char *name;           /**< "clicks/lake" */
    uint32_t index;       /**< Among all tables; workers keep their state under it. */
    uint32_t slot;        /**< Among the stream's tables. */
    sl_table_kind kind;
    stream *of;
    char *target;         /**< Directory, or warehouse table. */
    const sl_config_lake *lake;
    const sl_window_definition *window;
    const sl_config_topic *topic; /**< NULL: it isn't one, or isn't configured any more. */
    int64_t max_age_us;
    /* loop */
    uint64_t first, last, cursor, sequence;
    int64_t cursor_watermark_us; /**< Of the stream at `cursor`. */
    uint64_t cut_to;      /**< Position of the last cut that was begun. */
    uint64_t first_skip;  /**< Where this process began with the table; constant. */
    uint64_t skip_below;  /**< Workers have seen everything below. */
    int64_t watermark_us; /**< Of the stream at cut_to. */
    uint64_t cut_before;      /**< cut_to and watermark_us before the cut in flight. */
    int64_t watermark_before_us;
    bool remote;              /**< Goes to options.target; constant, as are: */
    uint32_t destination;     /**< Whose spool quota it is counted in. */
    const sl_config_table *settings; /**< Of the warehouse; NULL: defaults. */
    bool dirty, cutting, failed;
    bool parked;              /**< Its destination's quota is used up: failed, until there is room again. */
    int64_t dirty_since_us, failed_at_us;
    /* Relaxed: the worker sets it before it returns the task, whose ring orders it for the loop. */
    _Atomic int broken;   /**< Status of a failure that a worker met; 0: none. */
    uint32_t failures;
    uint64_t entries_open; /**< Committed, not delivered. */
    uint64_t delivered;    /**< While there are some: where the table stood before the first of them. */
    int64_t delivered_watermark_us; /**< Of the stream there. */
    bool claimed;         /**< It takes, or has undelivered, something of other logs' partitions: */
    claim *claims;        /**< of these. */
    uint32_t claim_count;
    void_order voided;
    bool retired;         /**< No longer configured: only delivered. In no list but e->retired. */
    table *next_retired;
    shape *last_shape;    /**< What its entries are delivered by; referenced. */
    sl_metric *rows, *sent_bytes, *oldest, *stalled;
    sl_metric *too_large; /**< Of a topic. */
    /* storage */
    int64_t id;           /**< In the ledger; 0: not there yet. */
    bool fresh;           /**< Its id comes from a transaction that isn't committed. */
    bool queued;          /**< In storage.tables. */
    bool closed_seen;     /**< SL_TABLE_FINAL: no window is closed by its last cut's watermark whose row didn't go. */
    bool stopped;         /**< A conflict: never delivered again without a person. */
    bool under_way;      /**< The delivery actor has its first pending entry. */
    int64_t retry_at_us;
    uint32_t tries;
    struct pending *first_pending, **last_pending;
    _Atomic int64_t waiting_since_us; /**< When its first pending entry was committed; 0: none is. Relaxed: only shown. */
    worker_table *states; /**< One per worker, each the worker's own: made with the table, so that a worker
                               always has a place to note what went wrong. */
};

/** To all workers: what they haven't used for a while mustn't keep older data. */
typedef struct data_order {
    message head;
    uint32_t waiting;
    data_set *set;
} data_order;

/** A request that waits for its reply. */
typedef struct waiter {
    struct waiter *next;
    sl_intake_done_fn *done;
    void *token;
    sl_hash128 body; /**< Of its own body. */
} waiter;

/** An Idempotency-Key that was seen. */
typedef struct key_entry {
    message head;            /**< MESSAGE_KEY: being looked up in the ledger. */
    struct key_entry *next;  /**< In its bucket. */
    sl_hash128 key, body;
    sl_hash128 stored_body;  /**< KEY_LOOKUP: what the ledger has. */
    int64_t arrival_us;
    enum { KEY_LOOKUP, KEY_PENDING, KEY_DONE } state;
    bool stored;             /**< The ledger has it. */
    bool storing;
    waiter *waiters;
    sl_buffer result;        /**< KEY_DONE: packed reply. */
    uint8_t counts[12];      /**< The same without errors, for when there was no memory. */
    /* The request itself while it is looked up. */
    char *stream, *source, *text;
    sl_format format;
    int64_t came_us; /**< As the request says. */
    uint8_t *held;
    size_t held_length, text_length;
    sl_status found;
} key_entry;

typedef struct request {
    sl_intake_done_fn *done;
    void *token;
    key_entry *key; /**< NULL: none. */
} request;

/** A batch of one stream out of a task. */
typedef struct part {
    shape *shape;
    sl_batch *batch;
    const sl_batch *view;    /**< The batch as tables see it: itself, or what the steps made of it. */
    sl_span *id_texts;        /**< [rows] Of a task that is only judged, where the stream has ids; length 0: none. */
    sl_value_key *ids;        /**< [rows] Where the stream has no duplicates; NULL: elsewhere. */
    uint32_t decoded_rejects; /**< Of its rejects, those that have no row: set before the steps add theirs. */
    int64_t watermark_after; /**< Highest min(event time, arrival) of the batch alone. */
    int64_t watermark_us;    /**< The stream's before its first row; set by its ticket. */
    bool skip;               /**< The stream is ahead of this group already. */
    uint64_t routed_bytes;   /**< Of its events, those out of records that streams share. */
    bool replays;            /**< Some of its events are of a replay. */
} part;

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
    uint64_t bytes;       /**< As accounted: the group length when it entered (writing rounds it up). */
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

/** A file that a worker finished, still without its key. */
typedef struct sealed_file {
    char *spool;      /**< Name in the spool. */
    char *directory;  /**< Partition path with a '/' at its end, or "". */
    uint64_t bytes, rows;
    sl_hash128 hash;
} sealed_file;

/**
 * What a stream's deduplication knows where a cut went through: made by the loop, filled by the dedupe actor, made durable by
 * storage with the cut, ended by the actor, which frees it.
 */
struct dedupe_mark {
    message head;
    struct dedupe_mark *next; /* loop: of the stream, in the order they began */
    stream *of;
    bool repeats;             /**< Of the store for requests that came again. */
    struct dedupe_store *store; /* dedupe actor, with: */
    sl_dedupe_cut *cut;       /* dedupe actor, then storage; NULL: there is no store yet */
    sl_buffer record;         /* storage: what the ledger gets */
    bool written;
    bool ended, committed;    /* loop */
    int64_t release_us;       /* loop: watermark at the slowest cursor */
};

/** What one worker brings to a cut of one table. */
typedef struct cut_result {
    sl_counts counts;
    sealed_file *files;
    uint32_t file_count, file_capacity;
    sl_buffer deltas; /**< Window rows: i64 start, u32 key length, key, u32 state length, state. */
    uint64_t delta_count;
    sl_status status;
} cut_result;

typedef struct flush flush;

/** One position at which some tables are cut. */
typedef struct cut {
    message head;
    struct cut *next;      /* storage: waiting for a commit */
    uint32_t table_count;
    table **tables;
    sl_entry *entries;     /**< One per table. */
    int64_t *watermarks;
    shape **shapes;        /**< Of each table's stream when it was cut; referenced. */
    cut_result *results;   /**< [worker * table_count + table] */
    uint32_t result_count;
    uint32_t waiting;      /* loop: workers that haven't answered */
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
    struct replay_result *replays; /**< Taken since the last cut. */
    data_note **notes;     /**< Versions for the ledger. */
    uint32_t note_count;
    dedupe_mark **marks;   /**< Of the streams that have no duplicates. */
    uint32_t mark_count;
    /* storage */
    uint32_t prepared;     /**< Tables whose files are built and synced. */
    sl_buffer *merged;     /**< Per table: a window's deltas of all workers, merged and sorted. */
    int64_t retry_at_us;
    uint32_t tries;
} cut;

/** A committed entry on its way out: the storage thread's, then the loop's, delivered. */
typedef struct pending {
    message head; /**< MESSAGE_DELIVERED */
    struct pending *next;
    table *of;
    sl_entry entry;
    shape *shape;
    uint64_t bytes;       /**< Of its files. */
    char hash[24];
    /* While the delivery actor has it. */
    sl_engine *engine;
    sl_delivery delivery;
    sl_buffer found;
    int64_t watermark_after_us; /**< Of the stream where the next pending one begins. */
    sl_status status;
    sl_error error;
} pending;

/** Workers drop what they hold of some tables; what follows comes again from the log. */
typedef struct rewind_order {
    message head;
    uint32_t waiting;
    uint32_t count;
    table *tables[COMPANIONS_MAX];
    uint64_t skip_below[COMPANIONS_MAX];
    bool drop[COMPANIONS_MAX];
} rewind_order;

/** Live view of a window. */
typedef struct peek {
    message head;
    table *of;
    shape *shape;
    uint32_t waiting;
    sl_buffer deltas[WORKERS_MAX];
    uint32_t limit;
    sl_buffer json;
    sl_engine_windows_fn *done;
    void *context;
} peek;

typedef struct keys_batch {
    message head;
    key_entry **keys;
    uint32_t count;
    uint64_t position; /**< Every key below is in the ledger after this. */
    int64_t expire_before;
    sl_buffer origins; /**< Of this position or later. */
    sl_status status;
} keys_batch;

typedef struct trim_order {
    message head;
    uint64_t offset;
} trim_order;

struct flush {
    flush *next;
    sl_engine_flush_fn *done;
    void *context;
    uint64_t target; /**< Synced end when it was asked for. */
    bool begun;      /**< Every table's cut at or beyond the target is on its way. */
};

/** What replays in one group took of a stream: until a cut commits it. */
typedef struct replay_result {
    struct replay_result *next;
    stream *of;
    uint64_t keeper; /**< The group's offset. */
    uint64_t *positions;
    uint32_t count, capacity;
} replay_result;

/** Who took a position, as told by where it lies in the log; 0: an empty place. */
typedef struct replay_mark {
    uint64_t position, keeper;
} replay_mark;

/** Original positions that replays took: the loop's. */
typedef struct replays {
    uint64_t *old; /**< Sorted: taken by what is never read again. */
    size_t old_count;
    replay_mark *marks;
    size_t mark_count, mark_capacity;
    replay_result *first;
} replays;

/* --- actors --- */

typedef struct worker {
    sl_actor actor;
    sl_engine *engine;
    uint32_t index;
    sl_ring verdicts, pipeline, out;
    /* its own thread */
    sl_decoder *decoders[STREAMS_MAX + 64];
    const sl_schema *decoder_schemas[STREAMS_MAX + 64];
    sl_contract_checker *checkers[STREAMS_MAX + 64]; /**< By stream; NULL: none yet, or nothing to check. */
    sl_contract_split *checker_splits[STREAMS_MAX + 64];
    sl_step_runner *runners[STREAMS_MAX + 64]; /**< By stream; NULL: none yet, or no steps. */
    sl_steps *runner_plans[STREAMS_MAX + 64];
    sl_expression *ids[STREAMS_MAX + 64];      /**< By stream, where an expression tells events apart; NULL: none yet. */
    uint64_t runner_data[STREAMS_MAX + 64]; /**< Number of the data set that it uses; 0: that of its plan. */
    sl_batch **free_batches;
    uint32_t free_count, free_capacity;
    route_look *look;        /**< NULL: no record is shared by streams. */
    sl_batch *letters;       /**< Dead letters on their way to Parquet. */
    cut *cutting;            /**< Being sealed, a slice at a time. */
    uint32_t cutting_table;
    uint64_t file_number;
    uint32_t *selection, *order;
    uint32_t turn;
    _Atomic(sl_tap *) tapping; /**< The tap that it looks at just now: see tap.c. */
} worker;

typedef struct sl_engine_journal_actor {
    sl_actor actor;
    sl_engine *engine;
    sl_ring in, out;
    int64_t wrote_at_us;
} journal_actor;

typedef struct reader_actor {
    sl_actor actor;
    sl_engine *engine;
    sl_ring in, out;
} reader_actor;

typedef struct storage_actor {
    sl_actor actor;
    sl_engine *engine;
    sl_ring in, out, arrived; /**< `arrived`: from the delivery actor. */
    sl_ledger *ledger;
    sl_warehouse *warehouse;
    cut *first_commit, **last_commit;
    table *tables[4096]; /**< Have (had) pending entries. */
    uint32_t table_count, turn;
    uint64_t file_number;
    _Atomic uint64_t spool_bytes[DESTINATIONS_MAX];
} storage_actor;

typedef struct delivery_actor {
    sl_actor actor;
    sl_engine *engine;
    sl_ring in;
} delivery_actor;

/** What the actor knows of a stream: its ids, or what requests' keys came before (`repeats`). */
typedef struct dedupe_store {
    stream *of;
    sl_dedupe *store;
    bool repeats;
} dedupe_store;

/** Between the loop and the workers' pipelines, where a stream has no duplicates: judges events in the order of the log. */
typedef struct dedupe_actor {
    sl_actor actor;
    sl_engine *engine;
    sl_ring in;
    message *held;          /**< What can't go on yet. */
    uint32_t held_part, held_event; /**< What of it is judged. */
    bool held_filled;
    bool held_ids;          /**< Of the part repeats are judged, ids aren't. */
    dedupe_store *stores;   /**< One for each of a stream's at most; only the actor adds some, after the start. */
    uint32_t store_count, shares;
    bool repeats;           /**< Constant: messages may bring requests' keys. */
    sl_dedupe_work *work;   /**< Begun; NULL: none is. */
    dedupe_store *work_of;
    sl_dedupe_event *events;
    uint32_t event_count;
    int64_t retry_at_us;
    int64_t work_at_us;
    bool active;            /**< Constant. */
} dedupe_actor;

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
    task *replay_first, **replay_last; /**< From the reader, in log order. */
    task *free_tasks;
    uint32_t task_count;
    uint64_t live_bytes, pipeline_bytes, outstanding_bytes;
    _Atomic int hungry;    /**< The loop waits for processed tasks; else they may wait for its next turn. */
    uint64_t position;      /**< Everything below is ticketed. */
    uint64_t journal_next;  /**< Where the next group may begin. */
    uint32_t epoch;
    uint64_t read_next;     /**< Where the reader goes on; UINT64_MAX: at `position`. */
    uint32_t replay_count;
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

/** Index into the engine's sources; a name that is new is added. Loop. */
uint32_t source_index(sl_engine *e, const char *name, size_t length);
void sources_destroy(sl_engine *e);

static inline int64_t engine_now(const sl_engine *e) {
    return e->options.clock.monotonic_us(e->options.clock.context);
}
static inline int64_t engine_wall(const sl_engine *e) {
    return e->options.clock.wall_us(e->options.clock.context);
}
/** Push to an actor and wake it. The rings hold more than can be in flight: a full one is a bug. */
void engine_send(sl_engine *e, sl_ring *ring, sl_actor *actor, void *item);
/** Push to the loop and wake it. */
void engine_return(sl_engine *e, sl_ring *ring, void *item);
/** Push a task to the loop; wake it when the task's other half is back already. */
void engine_return_half(sl_engine *e, sl_ring *ring, task *t);

/* shape.c: streams, tables and shapes */
sl_status shape_create(sl_engine *e, stream *s, sl_schema *schema, shape **out, sl_error *error);
shape *shape_ref(shape *shape);
void shape_unref(shape *shape);
sl_status stream_add(sl_engine *e, const char *name, const sl_config_stream *config,
                     uint64_t position, stream **out, sl_error *error);
stream *stream_find(sl_engine *e, const char *name, size_t length);
/** The stream that takes a record; made when it is new and streams are inferred. @return NULL: no memory now. */
stream *stream_route(sl_engine *e, const char *name, size_t length, const char *source, uint64_t position);
/** What the configuration says of the stream that a request goes to, by its name or its source. @return NULL: nothing. */
const sl_config_stream *stream_asked(sl_engine *e, const char *name, size_t length, const char *source);
void streams_destroy(sl_engine *e);
sl_schema *letters_schema(void);

/** Whether it leaves this machine, and whose quota it is counted in. @return SL_EUNSUPPORTED: nobody would take it. */
sl_status table_destination(sl_engine *e, table *t, sl_error *error);
/** Its series. */
void table_metrics(sl_engine *e, table *t);

/* retired.c: tables that aren't configured any more */
/** Inside a transaction: keep what delivering takes once a table isn't configured any more. */
sl_status retired_prepare(sl_engine *e, sl_error *error);
sl_status retired_add(sl_engine *e, const sl_ledger_table *row, table **out, sl_error *error);
void retired_destroy(table *t);

/* route.c: records without a path, whose events go to the first stream whose `when` is true of them */
/** After the streams are made. */
sl_status router_create(sl_engine *e, sl_error *error);
/** What decides, for the ledger to compare; "" for NULL. */
void router_text(const router *r, sl_buffer *out);
void router_destroy(router *r); /**< NULL is allowed. */
/** Whether conditions decide about a record of the source that comes without a path. */
bool route_asks(const sl_engine *e, const char *source);
/** The record is shared by streams: the task uses the shapes of all of them. */
void route_share(sl_engine *e, task *t, uint32_t record);
/** Whether the record has an event of the stream: asked for ascending records. Zero the cursor. */
typedef struct route_cursor {
    uint32_t row_part, row, reject_part, reject;
} route_cursor;
bool route_has(const task *t, const stream *s, uint32_t record, route_cursor *cursor);
bool route_look_create(worker *w); /**< What a worker needs for it. @return false: no memory. */
void route_look_destroy(route_look *look); /**< NULL is allowed. */
bool route_begin(worker *w, const task *t);
/** Decode the events of a record that streams share, each by its stream's schema. @return false: no memory. */
bool route_record(worker *w, task *t, uint32_t record);

/* data.c: newer data for steps, in the middle of the log */
/** After the streams have their places: what the steps ask, into the ledger. */
sl_status data_create(sl_engine *e, sl_error *error);
void data_destroy(sl_engine *e);
/** Before the task is decoded: live ones take the newest, others what their position had. */
void data_assign(sl_engine *e, task *t);
void data_release(task *t);
/** What is wanted gets its position, when nothing is being written. @return whether it did. */
bool data_turn(sl_engine *e);
void data_forget(sl_engine *e); /**< What no table may need again, and what the ledger knows. */
void data_used(sl_engine *e, data_order *order); /**< By all workers. */
bool data_note_cut(sl_engine *e, cut *c); /**< @return false: no memory. */
void data_end_cut(cut *c, bool committed);
void worker_use(worker *w, const data_set *set);

/* log.c: journal and reader actors */
sl_status log_create(sl_engine *e, sl_error *error);
void log_destroy(sl_engine *e);

/* worker.c, worker_tables.c */
sl_status workers_create(sl_engine *e, sl_error *error);
void workers_destroy(sl_engine *e);
void worker_process(worker *w, task *t);
/** For the shape's events. @return NULL: no memory; likewise: */
sl_decoder *worker_decoder(worker *w, const shape *s);
part *worker_part(worker *w, task *t, shape *s); /**< The shape's last one. */
part *worker_part_add(worker *w, task *t, shape *s);
/** What became of the part's events. */
sl_counts part_counts(const part *p);
/** Refuse events that break the stream's contract: before the reply. @return false when out of memory. */
bool worker_contract(worker *w, task *t, part *p);
/** Run the stream's steps over a part, its last change before the ticket. @return false when out of memory. */
bool worker_steps(worker *w, const task *t, part *p);
/** The part as tables see it, until the next view. */
const sl_batch *worker_view(worker *w, const part *p);
/** Keys of the rows that deduplication goes by. @return false when out of memory. */
bool worker_ids(worker *w, const task *t, part *p);
/** Of a part that is only judged: its events' ids as texts, where the stream has some. @return false when out of memory. */
bool worker_id_texts(worker *w, const task *t, part *p);
/** @return whether the cut is sealed. */
bool worker_cut_slice(worker *w, cut *c);
void worker_rewind(worker *w, const rewind_order *order);
void worker_peek(worker *w, peek *p);
void worker_tables_destroy(worker *w);
worker_table *worker_states_create(uint32_t workers); /**< @return NULL: no memory. */

/* tap.c: what somebody watches; each is one load where nobody does */
void tap_received(worker *w, const task *t);
void tap_decoded(worker *w, const task *t, const part *p);
void tap_processed(worker *w, const part *p);
/** Loop: memory of closed ones, as soon as no worker looks at them. */
void taps_poll(sl_engine *e);
/** After the workers' end. */
void taps_destroy(sl_engine *e);

/* dedupe.c */
/** Open the streams' stores; after the streams have their places. */
sl_status dedupe_create(sl_engine *e, sl_error *error);
void dedupe_destroy(sl_engine *e);
/** At the end: what the actor had not passed on. @return NULL: nothing. */
message *dedupe_take_back(sl_engine *e);
/** Into the pipeline, in log order. A message for all has its `waiting` set. */
void pipeline_task(sl_engine *e, task *t);
void pipeline_all(sl_engine *e, message *m);
/** Loop: marks for a cut's streams. @return false: no memory. */
bool dedupe_mark_cut(sl_engine *e, cut *c);
/** Storage: write what the marks have; then, in the transaction, note it. */
sl_status dedupe_write(cut *c, sl_error *error);
sl_status dedupe_note(storage_actor *a, cut *c, sl_error *error);
/** Loop: the cut is committed, or given up. */
void dedupe_end_cut(sl_engine *e, cut *c, bool committed);

/* items.c: records that carry others */
bool items_are_messages(sl_format format);
bool items_carried(sl_format format); /**< Whether a record of this format is such a one. */
bool items_valid(const sl_engine *e, sl_format format, const uint8_t *body, size_t length);
void items_count(task *t); /**< Sets item_count and `replays`. */
bool items_spread(sl_engine *e, task *t); /**< Items as records behind the group's own. @return false: no memory. */
void items_add_up(task *t); /**< What became of messages, for the record that carries them. */
void items_count_bytes(const sl_engine *e, const task *t); /**< Of messages with addresses, for their streams. */
/** Where a message says it belongs. @return false: it doesn't. */
bool items_address(const task *t, const sl_record *record, sl_message_address *out);
uint32_t items_index(const task *t, uint32_t record); /**< Place of an item among its carrier's. */

/* origins.c: how far the log has what other logs' partitions hold */
bool origins_expect(sl_engine *e, const uint8_t *body, size_t length); /**< So that noting it can't fail. @return false: no memory. */
bool origins_note(sl_engine *e, const sl_group *group); /**< A durable group. @return false: no memory. */
void origins_write(const sl_engine *e, sl_buffer *out); /**< For the ledger. */
sl_status origins_read(sl_engine *e, sl_error *error);
/** @return Its index, which stays; UINT32_MAX: no memory. */
uint32_t origins_index(sl_engine *e, const char *partition, size_t length);
const char *origins_name(const sl_engine *e, uint32_t index);
void origins_destroy(sl_engine *e);

/* claims.c: which parts of other logs' partitions a warehouse table takes, where other daemons may bring them, too */
sl_status claims_read(sl_engine *e, sl_error *error); /**< After the origins. */
/** Before the ticket: all that can fail. @return false: no memory, again later. */
bool claims_expect(sl_engine *e, task *t);
void claims_ticket(sl_engine *e, task *t); /**< It has its ticket. */
/** What was ticketed since the last cut, as lines. @param[out] ranges NULL: none. @return false: no memory. */
bool claims_ranges(const sl_engine *e, const table *t, char **ranges);
void claims_forget(table *t); /**< … is in an entry now, or comes again. */
/** Worker: rows of the part that the table doesn't take get another verdict, until they are shown again. @return how many. */
uint32_t claims_hide(const task *t, const part *p, const table *of);
void claims_show(const part *p);
/** Storage: a load was refused, found is what the warehouse has instead. */
void claims_refused(storage_actor *a, pending *p);
void claims_void(storage_actor *a, void_order *order);
/** Loop: an order came back, or waits. */
void claims_voided(sl_engine *e, void_order *order);
void claims_poll(sl_engine *e, int64_t now);
/** Below it nothing of the table comes again, whatever is voided. @param[out] watermark_us Of the stream there. NULL is allowed. */
uint64_t claims_floor(const table *t, int64_t *watermark_us);
uint64_t claims_lowest(const sl_engine *e); /**< … of any table. */
void claims_fini(table *t);

/* replays.c */
sl_status replays_create(sl_engine *e, sl_error *error);
void replays_destroy(sl_engine *e);
/** Is this the body of a replay, of positions that have their place in the log? */
bool replays_valid(const sl_engine *e, const uint8_t *body, size_t length);
/** At the ticket: events that were taken before get their verdict. @return false: no memory, again later. */
bool replays_judge(sl_engine *e, const task *t);
void replays_counted(sl_engine *e, const part *p);
/** Taken by what lies in the log before `before`? */
bool replays_known(const sl_engine *e, uint64_t position, uint64_t before);
void replays_outcome(const sl_engine *e, const task *t, uint32_t record, sl_replay_outcome *out);
/** Loop: what was taken goes along with a cut; storage notes it in the transaction; loop: the cut is committed, or given up. */
void replays_join_cut(sl_engine *e, cut *c);
sl_status replays_note(storage_actor *a, cut *c, sl_error *error);
void replays_end_cut(sl_engine *e, cut *c, bool committed);
void replay_result_free(replay_result *r);

/* storage.c */
sl_status storage_create(sl_engine *e, sl_error *error);
void storage_destroy(sl_engine *e);
/** Inside a transaction: give tables without an id their row in the ledger; `fresh` until it is committed. */
sl_status storage_register(storage_actor *a, table **tables, uint32_t count, sl_error *error);
/** Rows to be merged: borrowed, but for the list itself. */
typedef struct row_list {
    sl_window_row *rows;
    size_t count, capacity;
} row_list;
bool row_list_add(row_list *list, const sl_window_row *row); /**< @return false: no memory; likewise: */
bool row_list_deltas(row_list *list, const sl_buffer *deltas);
/** Sort by (start, key) and merge equal ones, each result to `emit`. A row without a state adds nothing to others. */
sl_status row_list_merge(row_list *list, const sl_window_plan *plan, sl_window_emit_fn *emit, void *context);
/** Group columns and measures, as members behind others. */
sl_status storage_window_members(const sl_window_plan *plan, const sl_window_row *row, sl_buffer *out);
sl_status storage_write_spool(storage_actor *a, const char *name, const sl_buffer *content, sl_error *error);
/* finals.c: rows of closed windows, as messages */
/** The entry's files, and what states become. Nothing is stored, so that it may be done again. */
sl_status finals_prepare(storage_actor *a, cut *c, uint32_t i, sl_error *error);
/** In the transaction. */
sl_status finals_store(storage_actor *a, cut *c, uint32_t i, sl_error *error);
/** Worker, storage: texts as they are, everything else as in JSON, but without its quotes. */
void topic_key_text(const sl_value *value, sl_buffer *out);
sl_status storage_spool_path(const sl_engine *e, const char *name, sl_buffer *out, sl_error *error);
int64_t storage_retry_delay(uint32_t tries);

/* deliver.c */
sl_status delivery_create(sl_engine *e, sl_error *error);
void delivery_destroy(sl_engine *e);
/** One delivery is begun, done or settled. @return false: nothing to do. */
bool storage_deliver(storage_actor *a);
/** Its files are needed no more. */
void storage_clear_spool(storage_actor *a, const pending *p);
/** A committed entry is to be delivered; entry is moved from. */
bool storage_enqueue(storage_actor *a, table *t, sl_entry *entry, shape *s);

/* sequence.c: tickets, replies, replay */
task *task_get(sl_engine *e);
void task_free(sl_engine *e, task *t);
void task_release(sl_engine *e, task *t); /**< Back to its worker (batches), then free. */
bool sequence_poll(sl_engine *e);
/** Which stream takes a record of the task, whose source is set, in which shape. @return false: no memory. */
bool sequence_place(sl_engine *e, task *t, uint32_t record, const char *stream, size_t length);
void task_use(task *t, shape *s);
/** Have a group judged, without the log. @return SL_OK: it will be answered; SL_ENOMEM: the task is still the caller's. */
sl_status sequence_dry_run(sl_engine *e, task *t);
bool sequence_idle(const sl_engine *e); /**< Nothing is on its way through log and pipeline. */
void sequence_seal(sl_engine *e); /**< The group that gathers is sent off. */
bool sequence_kick(sl_engine *e); /**< A group that gathers is sent off when the journal is free. */
bool sequence_rewind(sl_engine *e, stream *s, table *failed); /**< @return false: no memory, again later. */
/** Workers drop what they hold of the table and skip what comes, until sequence_rewind(). @return false: no memory. */
bool sequence_park(sl_engine *e, table *t);
uint64_t spool_used(const sl_engine *e, uint32_t destination);
void sequence_destroy(sl_engine *e);
void peek_free(sl_engine *e, peek *p); /* engine.c */
/** Position up to which this table's rows are in the pipeline. */
uint64_t table_position(const sl_engine *e, const table *t);

/* judged.c: requests for somebody else's log */
sl_status judged_submit(sl_engine *e, const sl_intake_request *request);
/** Send what has gathered to a worker, unless all of them have some. @return whether any was sent. */
bool judged_kick(sl_engine *e);
void judged_done(sl_engine *e, task *t); /**< Of the list: it is decoded. */
void judged_refuse(sl_engine *e); /**< At the end: answer those that are left. */
/** The request's view of its task. */
typedef struct judged_view {
    sl_intake_judged judged; /**< First: each() is given this. */
    const task *task;
    uint32_t record;
} judged_view;
judged_view judged_view_of(const task *t, uint32_t record);

/* keys.c */
sl_status intake_submit(sl_intake *intake, const sl_intake_request *request);
/** Into the task's group. @param key NULL: none. @return SL_EFULL: it takes no more. */
sl_status intake_add(sl_engine *e, task *t, const sl_intake_request *request, key_entry *key);
void reply_task(sl_engine *e, task *t);
bool keys_poll(sl_engine *e, int64_t now);
void keys_found(sl_engine *e, key_entry *key);
void keys_saved(sl_engine *e, keys_batch *batch);
void keys_batch_free(keys_batch *batch);
/** @return false: no memory for all of the group's keys; read it again. */
bool keys_scanned(sl_engine *e, task *t);
bool keys_waiting(const sl_engine *e); /**< A request with a key has no reply yet. */
void keys_refuse(sl_engine *e);        /**< Answers them all. */
void keys_destroy(sl_engine *e);

/* cuts.c */
bool cuts_poll(sl_engine *e, int64_t now);
void cut_sealed(sl_engine *e, cut *c);
void cut_committed(sl_engine *e, cut *c);
void cut_free(cut *c);
void entry_delivered(sl_engine *e, pending *p);
void pending_free(pending *p);
void cut_results_clear(sl_engine *e, cut_result *r);
void delta_put(sl_buffer *out, const sl_window_row *row);
size_t delta_get(const uint8_t *bytes, size_t length, sl_window_row *row);
