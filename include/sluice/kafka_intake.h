/** @file kafka_intake.h
 * Kafka sources: what consumers bring becomes records of the engine's log, each message once, and the group's offsets follow what
 * was delivered.
 *
 * Once     A record says which offsets of which partition it holds, so the log itself knows where to go on: after a restart each
 *          partition is read from there, whatever the group has committed. The message before is looked at first: another one than the log
 *          had means another topic under the same name, and the partition stands still with an alarm.
 * Offsets  Committed for the group below everything that was delivered: a reader that takes over finds what this daemon didn't bring to
 *          its destinations. Before a partition is given up in order, all of it is delivered and committed.
 * Memory   librdkafka's queues and two chunks for each partition, counted in the budget.
 * Threads  The loop.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/engine.h"

struct uv_loop_s;

typedef struct sl_kafka_intake sl_kafka_intake;
typedef struct sl_kafka_host {
    struct uv_loop_s *loop;
    const sl_clock *clock;
    sl_metrics *metrics;
    sl_budget *budget;
    const char *identity; /**< Of this daemon's log: the same as long as its data_dir is. Copied. */
    void (*wake_loop)(void *context);
    /** Have everything that was taken delivered: sl_engine_flush() of the present engine, or of the next one. */
    void (*flush)(void *context, sl_engine_flush_fn *done, void *done_context);
    void *context;
} sl_kafka_host;

/** Join the groups. @param config Copied from. @return SL_OK, *out NULL where there are none; SL_EINVAL (a property), SL_EIO, SL_ENOMEM. */
SL_CHECKED sl_status sl_kafka_intake_create(const sl_config *config, const sl_kafka_host *host, sl_kafka_intake **out, sl_error *error);
/** Which streams the sources' records go to may have changed. */
void sl_kafka_intake_use(sl_kafka_intake *intake, const sl_config *config);
/** After each turn of the loop: submit, commit. @param engine A ready one; NULL: there is none at present. NULL intakes are allowed, as below. */
void sl_kafka_intake_turn(sl_kafka_intake *intake, sl_engine *engine);
/** Begin to go: submit no more; once the engine has stopped, commit what was delivered and leave. @param engine As it stopped; NULL: it hasn't yet. */
void sl_kafka_intake_stop(sl_kafka_intake *intake, sl_engine *engine);
bool sl_kafka_intake_stopped(const sl_kafka_intake *intake);
/** Stopped, or never to run again: its loop is gone. */
void sl_kafka_intake_destroy(sl_kafka_intake *intake);
