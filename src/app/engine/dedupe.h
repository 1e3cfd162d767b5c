/** @file dedupe.h
 * Duplicates: the actor between the loop and the workers' pipelines, and what a cut makes durable of its stores.
 */
#pragma once

#include "actors.h"

#include "sluice/dedupe.h"

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

/** Open the streams' stores; after the streams have their places. */
sl_status dedupe_create(sl_engine *e, sl_error *error);
void dedupe_destroy(sl_engine *e);
/** At the end: what the actor had not passed on. @return NULL: nothing. */
message *dedupe_take_back(sl_engine *e);
/** Into the pipeline, in log order: to its worker, or to all. */
void pipeline_task(sl_engine *e, task *t);
void pipeline_all(sl_engine *e, message *m);
/** Loop: marks for a cut's streams. @return false: no memory. */
bool dedupe_mark_cut(sl_engine *e, cut *c);
/** Storage: write what the marks have; then, in the transaction, note it. */
sl_status dedupe_write(cut *c, sl_error *error);
sl_status dedupe_note(storage_actor *a, cut *c, sl_error *error);
/** Loop: the cut is committed, or given up. */
void dedupe_end_cut(sl_engine *e, cut *c, bool committed);
