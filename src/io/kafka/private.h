/* What the Kafka clients share: options to librdkafka's configuration, its errors to ours, the eventfd in the loop. */
#pragma once

#include "sluice/kafka.h"

#include <librdkafka/rdkafka.h>
#include <uv.h>

/* --- conf.c --- */

typedef enum kafka_role { KAFKA_CONSUMER, KAFKA_READER, KAFKA_PRODUCER, KAFKA_WRITER } kafka_role;

enum { KAFKA_TIMEOUT_MS = 10 * 1000, KAFKA_STATISTICS_MS = 5000 };

/* A client of librdkafka; its threads run from here on. */
sl_status sl_kafka_client(kafka_role role, const sl_kafka_options *options, rd_kafka_t **out, sl_error *error);
static inline int kafka_timeout(const sl_kafka_options *options) {
    return options->timeout_ms != 0 ? (int)options->timeout_ms : KAFKA_TIMEOUT_MS;
}

/* --- error.c --- */

sl_status sl_kafka_status(rd_kafka_resp_err_t code);
/* One sentence: librdkafka's text, and what to do about it. */
sl_status sl_kafka_explain(sl_error *error, rd_kafka_resp_err_t code, const char *text);
/* Takes `failure`, which may be NULL: SL_OK. */
sl_status sl_kafka_failed(sl_error *error, rd_kafka_error_t *failure);
/* What stands behind a question that got no answer: the last refusal in the queue of errors. @return whether there was one. */
bool sl_kafka_refusal(rd_kafka_queue_t *queue, sl_error *error);

/* --- wake.c: an eventfd in the loop that librdkafka's queues write to --- */

typedef struct kafka_wake kafka_wake;
/* @param turn Called once for any number of writes before it. */
sl_status sl_kafka_wake_create(uv_loop_t *loop, void (*turn)(void *context), void *context, kafka_wake **out, sl_error *error);
void sl_kafka_wake_watch(kafka_wake *wake, rd_kafka_queue_t *queue);
/* A turn soon, from the loop's own thread. */
void sl_kafka_wake_again(kafka_wake *wake);
/* Nothing is called any more. @param left_open The descriptor stays: a queue may still write to it. NULL is allowed. */
void sl_kafka_wake_destroy(kafka_wake *wake, bool left_open);

/* Destroy a client and its queues on another thread, then `gone` on the loop, in any case after some seconds: the client is
 * then `abandoned`. @return SL_OK; else nothing was done. */
sl_status sl_kafka_dispose(uv_loop_t *loop, rd_kafka_t *client, rd_kafka_queue_t *const *queues, uint32_t count,
                           void (*gone)(void *context, bool abandoned), void *context);

/* --- message.c --- */

void sl_kafka_message_of(const rd_kafka_message_t *from, sl_kafka_message *to);
/* @return NULL when out of memory. */
rd_kafka_topic_partition_list_t *sl_kafka_list_of_places(const sl_kafka_place *places, uint32_t count);
rd_kafka_topic_partition_list_t *sl_kafka_list_of_offsets(const sl_kafka_offset *offsets, uint32_t count);
/* To be given to sl_free(); topics are borrowed from the list. NULL: out of memory. */
sl_kafka_offset *sl_kafka_offsets_of(const rd_kafka_topic_partition_list_t *list);

/* librdkafka's declarations want what they only read as writable. */
static inline void *sl_kafka_bytes(const void *bytes) {
    union {
        const void *from;
        void *to;
    } same = {bytes};
    return same.to;
}

/* --- producer.c --- */

/* Copies and queues. @return as sl_kafka_produce(). */
sl_status sl_kafka_send(rd_kafka_t *client, const sl_kafka_record *record, sl_error *error);

typedef struct kafka_asked {
    rd_kafka_t *client;
    rd_kafka_queue_t *answers;
    int timeout_ms;
} kafka_asked;

/* committed.c: what `group` has committed, with offsets that a transaction still holds awaited. Blocks.
 * @param texts Holds the metadata, freed by the next call; sl_free() it at last. */
sl_status sl_kafka_ask_committed(const kafka_asked *asked, sl_kafka_offset **texts, const char *group, sl_kafka_offset *offsets,
                                 uint32_t count, sl_error *error);
/* questions.c: the first and the next offset of each partition in the list, within about twice `ms`. Blocks. */
rd_kafka_resp_err_t sl_kafka_ask_marks(rd_kafka_t *client, const rd_kafka_topic_partition_list_t *list, sl_kafka_marks *marks, int ms);
