/** @file sequence.h
 * The order of the log, kept by the loop: groups, tickets, rewinds.
 */
#pragma once

#include "task.h"

/** Workers drop what they hold of some tables; what follows comes again from the log. */
struct rewind_order {
    message head;
    uint32_t count;
    table *tables[COMPANIONS_MAX];
    uint64_t skip_below[COMPANIONS_MAX];
    bool drop[COMPANIONS_MAX];
};

/* groups.c: from the gathering to the replies */
/** Which stream takes a record of the task, whose source is set, in which shape. @return false: no memory. */
bool sequence_place(sl_engine *e, task *t, uint32_t record, const char *stream, size_t length);
bool group_route(sl_engine *e, task *t); /**< … for all its records, items too. */
void group_enter(sl_engine *e, task *t); /**< It gets a worker, and is accounted for. */
void group_decode(sl_engine *e, task *t); /**< To its worker. */
/** Have a group judged, without the log. @return SL_OK: it will be answered; SL_ENOMEM: the task is still the caller's. */
sl_status group_dry_run(sl_engine *e, task *t);
void group_seal(sl_engine *e); /**< The group that gathers is sent off. */
bool group_kick(sl_engine *e); /**< A group that gathers is sent off when the journal is free. */
void group_written(sl_engine *e, task *t); /**< Back from the journal; likewise: */
void group_decoded(sl_engine *e, task *t); /**< from its worker. */

/* tickets.c: into the pipeline, in the order of the log */
bool tickets_dispatch(sl_engine *e); /**< @return whether any group got its ticket. */
/** Position up to which this table's rows are in the pipeline. */
uint64_t table_position(const sl_engine *e, const table *t);
void live_drop(sl_engine *e, task *t); /**< A group waits no longer, the log has it; likewise: */
void read_drop(sl_engine *e, task *t); /**< one that was read back. */

/* rewinds.c: streams that go back to their last cut, tables that wait for room */
bool rewind_stream(sl_engine *e, stream *s, table *failed); /**< @return false: no memory, again later. */
/** Workers drop what they hold of the table and skip what comes, until rewind_stream(). @return false: no memory. */
bool rewind_park(sl_engine *e, table *t);
bool rewind_retry(sl_engine *e); /**< Tables that failed or were parked, and whose time has come. @return whether any has. */

/* read_back.c: what the pipeline wants and nobody has in memory any more */
bool read_back_start(sl_engine *e); /**< The reader is sent on. */
void read_back_done(sl_engine *e, task *t);
void read_back_abandon(sl_engine *e); /**< Stopping: what waits behind a gap that nobody reads any more is in the log. */

/* sequence.c */
bool sequence_poll(sl_engine *e);
bool sequence_idle(const sl_engine *e); /**< Nothing is on its way through log and pipeline. */
void sequence_destroy(sl_engine *e);
