/** @file replays.h
 * Dead letters that come again: which positions were taken.
 */
#pragma once

#include "actors.h"

#include "sluice/replay.h"

/** What replays in one group took of a stream: until a cut commits it. */
struct replay_result {
    struct replay_result *next;
    stream *of;
    uint64_t keeper; /**< The group's offset. */
    uint64_t *positions;
    uint32_t count, capacity;
};

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
