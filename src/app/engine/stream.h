/** @file stream.h
 * Streams, their tables, and shapes: how a stream is decoded and what its tables make of it. Where each stands.
 */
#pragma once

#include "claims.h"

#include "sluice/contract.h"
#include "sluice/dedupe.h"
#include "sluice/steps.h"
#include "sluice/window.h"

enum {
    STREAMS_MAX = 100,       /* Inferred ones, as the design says. */
    STEP_RESULTS = 5,
    COMPANIONS_MAX = 64,     /* Tables of one stream. */
    DESTINATIONS_MAX = 16,   /* The next four, then buckets; the last one holds all further ones. */
    DESTINATION_DIRECTORIES = 0,
    DESTINATION_WAREHOUSE,
    DESTINATION_COMPANIONS,  /* Wherever they go. */
    DESTINATION_TOPICS,
    DESTINATION_BUCKETS,
};

/** How a stream's events are decoded and what its tables make of them: immutable, by reference count. */
struct shape {
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
};

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

/* shape.c */
sl_status shape_create(sl_engine *e, stream *s, sl_schema *schema, shape **out, sl_error *error);
shape *shape_ref(shape *shape);
void shape_unref(shape *shape);
sl_schema *letters_schema(void); /**< Of dead letters. */

/* stream.c */
sl_status stream_add(sl_engine *e, const char *name, const sl_config_stream *config,
                     uint64_t position, stream **out, sl_error *error);
stream *stream_find(sl_engine *e, const char *name, size_t length);
/** The stream that takes a record; made when it is new and streams are inferred. @return NULL: no memory now. */
stream *stream_route(sl_engine *e, const char *name, size_t length, const char *source, uint64_t position);
/** What the configuration says of the stream that a request goes to, by its name or its source. @return NULL: nothing. */
const sl_config_stream *stream_asked(sl_engine *e, const char *name, size_t length, const char *source);
void streams_destroy(sl_engine *e);
/** Index into the engine's sources; a name that is new is added. Loop. */
uint32_t source_index(sl_engine *e, const char *name, size_t length);
void sources_destroy(sl_engine *e);
/** A series with one label. */
sl_metric *engine_metric(sl_engine *e, sl_metric_kind kind, const char *name, const char *help, const char *label, const char *value);

/* tables.c */
/** All of a new stream's; those that were made stay after a failure. */
sl_status tables_add(sl_engine *e, stream *s, uint64_t position, sl_error *error);
void table_destroy(table *t);
/** Whether it leaves this machine, and whose quota it is counted in. @return SL_EUNSUPPORTED: nobody would take it. */
sl_status table_destination(sl_engine *e, table *t, sl_error *error);
/** Its series. */
void table_metrics(sl_engine *e, table *t);
/** Another engine may go on without the table: nothing of it waits or fails any more. */
void table_gauges_end(table *t);

/* retired.c: tables that aren't configured any more */
/** Inside a transaction: keep what delivering takes once a table isn't configured any more. */
sl_status retired_prepare(sl_engine *e, sl_error *error);
sl_status retired_add(sl_engine *e, const sl_ledger_table *row, table **out, sl_error *error);
void retired_destroy(table *t);
