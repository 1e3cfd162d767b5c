/** @file requests.h
 * Requests in, replies out; what is remembered of them by their Idempotency-Keys.
 */
#pragma once

#include "actors.h"

#include "sluice/intake.h"

#define KEY_LIFE_US (24 * SL_HOUR_US)

/** A request that waits for its reply. */
struct waiter {
    struct waiter *next;
    sl_intake_done_fn *done;
    void *token;
    sl_hash128 body; /**< Of its own body. */
};

/** An Idempotency-Key that was seen. */
struct key_entry {
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
};

struct keys_batch {
    message head;
    key_entry **keys;
    uint32_t count;
    uint64_t position; /**< Every key below is in the ledger after this. */
    int64_t expire_before;
    sl_buffer origins; /**< Of this position or later. */
    sl_status status;
};

/* requests.c */
sl_status intake_submit(sl_intake *intake, const sl_intake_request *request);
/** A quarter of the memory is in requests and groups on their way: no more are taken. */
bool intake_crowded(const sl_engine *e);
/** Into the group that gathers. @param key NULL: none. @return SL_EFULL: later. */
sl_status intake_gather(sl_engine *e, const sl_intake_request *request, key_entry *key);
/** Into the task's group. @return SL_EFULL: it takes no more. */
sl_status intake_add(sl_engine *e, task *t, const sl_intake_request *request, key_entry *key);
void reply_task(sl_engine *e, task *t);
sl_intake_reply reply_of(uint32_t accepted, uint32_t rejected, const sl_intake_error *errors, uint32_t count);
/** The first of what was refused of a record. @param texts Where they point to. @return how many. */
uint32_t reply_errors(const task *t, uint32_t record, sl_intake_error errors[SL_INTAKE_ERRORS_MAX], sl_buffer *texts);

/* keys.c */
sl_status keys_submit(sl_engine *e, const sl_intake_request *request); /**< One that has a key. */
/** To all who asked with the key. @param durable The reply holds from now on; else the key is forgotten. */
void keys_answer(sl_engine *e, key_entry *k, const sl_intake_reply *reply, bool durable);
bool keys_poll(sl_engine *e, int64_t now);
void keys_found(sl_engine *e, key_entry *key);
void keys_saved(sl_engine *e, keys_batch *batch);
void keys_batch_free(keys_batch *batch);
/** @return false: no memory for all of the group's keys; read it again. */
bool keys_scanned(sl_engine *e, task *t);
bool keys_waiting(const sl_engine *e); /**< A request with a key has no reply yet. */
void keys_refuse(sl_engine *e);        /**< Answers them all. */
void keys_destroy(sl_engine *e);

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
