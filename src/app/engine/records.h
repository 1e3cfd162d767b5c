/** @file records.h
 * Records that are more than one stream's events: those that streams share, and those that carry others.
 */
#pragma once

#include "task.h"

#include "sluice/messages.h"

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
