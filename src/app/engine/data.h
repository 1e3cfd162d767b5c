/** @file data.h
 * What steps ask, and its changes in the middle of the log: which version holds from which position on.
 */
#pragma once

#include "actors.h"

#include "sluice/checkpoint.h"
#include "sluice/steps.h"

/** What steps ask, from a position of the log on: immutable but for the loop's fields. */
struct data_set {
    struct data_set *older; /* loop */
    uint32_t references;    /* loop */
    uint64_t from;          /* loop */
    uint64_t number;        /**< Never given twice: workers tell sets by it. */
    uint32_t count;
    sl_step_data data[];    /**< Referenced. */
};

/** A version that the ledger doesn't know yet. Texts are the configuration's. */
struct data_note {
    struct data_note *next;
    sl_ledger_version version; /* Constant. */
    uint32_t cuts;          /* loop: that carry it */
    bool stored;            /* loop */
};

/** To all workers: what they haven't used for a while mustn't keep older data. */
struct data_order {
    message head;
    data_set *set;
};

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
