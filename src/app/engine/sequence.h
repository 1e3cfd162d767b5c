/** @file sequence.h
 * The order of the log, kept by the loop: groups, tickets, rewinds.
 */
#pragma once

#include "task.h"

/** Workers drop what they hold of some tables; what follows comes again from the log. */
struct rewind_order {
    message head;
    uint32_t waiting;
    uint32_t count;
    table *tables[COMPANIONS_MAX];
    uint64_t skip_below[COMPANIONS_MAX];
    bool drop[COMPANIONS_MAX];
};

bool sequence_poll(sl_engine *e);
/** Which stream takes a record of the task, whose source is set, in which shape. @return false: no memory. */
bool sequence_place(sl_engine *e, task *t, uint32_t record, const char *stream, size_t length);
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
/** Position up to which this table's rows are in the pipeline. */
uint64_t table_position(const sl_engine *e, const table *t);
