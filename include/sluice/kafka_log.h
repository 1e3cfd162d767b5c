/** @file kafka_log.h
 * The log that is a topic of Kafka (`ingest.log: kafka://…`): a request is judged by the engine, goes to the topic event by event, and is
 * answered when all replicas in sync have all of it. Who reads the topic is kafka_intake.h.
 *
 * Durable   acks=all, idempotent: what is answered 200 or 400 is in the topic, each event once.
 * Refusal   503 when the brokers don't take it in time, and then some of it may be in the topic: an Idempotency-Key makes the next try the
 *           same request, by the header `sluice-key` that each of its messages carries. 413, before anything is sent, when an event is
 *           larger than `message.max.bytes`; 429 when the memory for what waits is used up.
 * Key       Of a message: the event's `id`, else the Idempotency-Key, else none; its partition follows as Java's clients choose it.
 * Memory    librdkafka's queue, and what waits to be put into it, counted in the budget.
 * Threads   The loop.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/intake.h"
#include "sluice/metrics.h"
#include "sluice/time.h"

struct uv_loop_s;

typedef struct sl_kafka_log sl_kafka_log;
typedef struct sl_kafka_log_host {
    struct uv_loop_s *loop;
    const sl_clock *clock;
    sl_metrics *metrics;
    sl_budget *budget;
    sl_intake *judge; /**< The engine, or who stands before it. */
} sl_kafka_log_host;

/** @param config Copied from. @return SL_OK, *out NULL where the journal is the log; SL_EINVAL (a property), SL_EIO, SL_ENOMEM. */
SL_CHECKED sl_status sl_kafka_log_create(const sl_config *config, const sl_kafka_log_host *host, sl_kafka_log **out, sl_error *error);
/** What requests are submitted to. SL_EIO beside what sl_intake says: the producer is gone, a new one comes soon. */
sl_intake *sl_kafka_log_intake(sl_kafka_log *log);
/** Now and then: what has waited too long is refused; a producer that failed for good gets a successor. NULL is allowed, as below. */
void sl_kafka_log_turn(sl_kafka_log *log);
/** false: what was sent a moment ago was not taken. */
bool sl_kafka_log_ready(const sl_kafka_log *log);
/** Take no more; with `judged`, the engine has answered all that it had: send the rest, for a while, and close. Again until stopped. */
void sl_kafka_log_stop(sl_kafka_log *log, bool judged);
bool sl_kafka_log_stopped(const sl_kafka_log *log);
/** Stopped, or never to run again: its loop is gone. */
void sl_kafka_log_destroy(sl_kafka_log *log);
