/** @file actors.h
 * How the engine's actors speak to each other: messages in rings.
 *
 * Ownership goes with the message: whoever popped a pointer from a ring owns what it points to until it
 * pushes it on. Fields that one thread alone touches say so.
 */
#pragma once

#include "sluice/engine.h"
#include "sluice/ring.h"

enum { RING_SIZE = 4096 }; /* More than can be in flight. */

/* What travels between actors, and what is spoken of all over: who looks into one includes its header. */
typedef struct claim claim;
typedef struct cut cut;
typedef struct data_note data_note;
typedef struct data_order data_order;
typedef struct data_set data_set;
typedef struct dedupe_mark dedupe_mark;
typedef struct key_entry key_entry;
typedef struct keys_batch keys_batch;
typedef struct origin origin;
typedef struct part part;
typedef struct peek peek;
typedef struct pending pending;
typedef struct replay_result replay_result;
typedef struct rewind_order rewind_order;
typedef struct route_look route_look;
typedef struct router router;
typedef struct shape shape;
typedef struct storage_actor storage_actor;
typedef struct stream stream;
typedef struct table table;
typedef struct task task;
typedef struct void_order void_order;
typedef struct waiter waiter;
typedef struct worker worker;
typedef struct worker_table worker_table;

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
    uint32_t waiting; /**< loop: workers that still have what went to all; 0: it went to one. */
} message;

typedef struct trim_order {
    message head;
    uint64_t offset;
} trim_order;

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

/** Push to an actor and wake it. The rings hold more than can be in flight: a full one is a bug. */
void engine_send(sl_engine *e, sl_ring *ring, sl_actor *actor, void *item);
/** Push to the loop and wake it. */
void engine_return(sl_engine *e, sl_ring *ring, void *item);
/** Push a task to the loop; wake it when the task's other half is back already. */
void engine_return_half(sl_engine *e, sl_ring *ring, task *t);

/* log.c: journal and reader actors */
sl_status log_create(sl_engine *e, sl_error *error);
void log_destroy(sl_engine *e);
