/** @file topic.h
 * Entries into a topic of Kafka, each in one transaction: its messages, and a marker that says up to where the table is there.
 *
 * Marker   The offset that a group of the table's own (sl_topic_group()) has committed for partition 0 of the topic: the entry's `to`, with
 *          "HASH FROM" as its metadata. It is moved within the transaction, so that both are there or none is, and read before a load:
 *          at `from` → write; at `to` with the same hash → done already; none → only a table's first entry; anything else → SL_ECONFLICT.
 *          A commit without an answer is thereby looked up by the next try, never guessed.
 * Fencing  The transactional id is the group's name: who begins with it ends all before, so that what they write later is refused.
 * Order    Messages of an entry are written by position, so that those of one key stand in the topic as in the log.
 * Retention  Brokers forget a group's offsets that nobody commits for a while (offsets.retention.minutes, 7 days): the target commits the
 *          marker anew at its start and every hour.
 * Threads  A target's calls and callbacks: the delivery thread's. Each table has a thread of its own, which waits for brokers.
 */
#pragma once

#include "sluice/files.h"
#include "sluice/kafka.h"
#include "sluice/target.h"

/** The group that holds a table's marker, and the transactional id: "sluice.UUID.clicks/topic/orders". `partition` is "journal:UUID". */
void sl_topic_group(const char *partition, const char *table, sl_buffer *out);

/* --- one load, without threads --- */

/** How a topic is reached: librdkafka, or what a test has in its place. Statuses as of sl_kafka_writer_*(). */
typedef struct sl_topic_port {
    /** The topic has to be there. */
    sl_status (*open)(void *context, const char *id, const char *topic, void **writer, sl_error *error);
    void (*close)(void *context, void *writer);
    /** @param[out] marker offset -1: there is none. Its metadata is good until the next call. */
    sl_status (*read)(void *context, void *writer, const char *group, sl_kafka_offset *marker, sl_error *error);
    sl_status (*begin)(void *context, void *writer, sl_error *error);
    sl_status (*put)(void *context, void *writer, const sl_kafka_record *record, sl_error *error);
    sl_status (*move)(void *context, void *writer, const char *group, const sl_kafka_offset *marker, sl_error *error);
    sl_status (*commit)(void *context, void *writer, sl_error *error);
    sl_status (*abort)(void *context, void *writer, sl_error *error);
    void *context;
} sl_topic_port;

typedef struct sl_topic_load {
    const char *group, *topic;
    const sl_entry *entry;
    bool first;
    const char *hash;
    sl_files *files;
    const char *spool;         /**< Directory. */
    const _Atomic bool *stop;  /**< Gives up between two messages; NULL: never. */
} sl_topic_load;

/**
 * Bring one entry there, once.
 * @param writer  Opened when it is NULL; closed and NULL after a failure that it doesn't survive.
 * @return SL_OK: committed. SL_EIO, SL_EAGAIN, SL_EDENIED, SL_ENOMEM: try again. SL_ECONFLICT: the marker is none of this table's states;
 *         SL_ECORRUPT: a spool file is damaged.
 */
SL_CHECKED sl_status sl_topic_apply(const sl_topic_port *port, void **writer, const sl_topic_load *load, sl_error *error);
/** Commit the marker anew, as it is; nothing where there is none. @return as sl_topic_apply(). */
SL_CHECKED sl_status sl_topic_refresh(const sl_topic_port *port, void **writer, const char *group, const char *topic, sl_error *error);

/* --- the target --- */

typedef struct sl_topic_options {
    sl_kafka_options kafka;  /**< Borrowed until destroy. memory_bytes is of one table. */
    const sl_topic_port *port; /**< In the place of Kafka, from the tables' threads; NULL: Kafka. */
    sl_files *files;
    void (*wake)(void *context); /**< sl_topic_target_poll() has something to do. From any thread. */
    void *context;
} sl_topic_options;

SL_CHECKED sl_status sl_topic_target_create(const sl_topic_options *options, sl_target **out, sl_error *error);
/** Report what is done. */
void sl_topic_target_poll(sl_target *target);
/** A table that may have a marker: it is kept alive. Before its first deliver(). @return SL_OK, SL_ENOMEM, SL_EIO (no more threads). */
SL_CHECKED sl_status sl_topic_target_keep(sl_target *target, const char *partition, const char *table, const char *topic, sl_error *error);
/** Stop waiting for brokers as soon as that is possible; deliver() isn't called any more. Any thread. */
void sl_topic_target_stop(sl_target *target);
/** The options for librdkafka, with its writers' port. `options` is borrowed. */
sl_topic_port sl_topic_kafka_port(const sl_kafka_options *options);
