/** @file private.h
 * A source and its partitions.
 */
#pragma once

#include "sluice/kafka.h"
#include "sluice/kafka_intake.h"
#include "sluice/messages.h"

enum { MARKS_MAX = 256, CHUNK_MOST = 1 << 20, CHUNK_LEAST = 64 << 10 };

typedef struct source source;

/** What a chunk holds. */
typedef struct figures {
    int64_t messages, bytes, tombstones;
} figures;

/** The log has everything below `to`, and its part below `position` of the log. */
typedef struct mark {
    uint64_t position;
    int64_t to, time_us; /**< Of its last message; 0: not known. */
} mark;

typedef enum partition_stage {
    PARTITION_NEW,     /**< Assigned; the engine isn't asked yet. */
    PARTITION_ASKING,  /**< The brokers are. */
    PARTITION_READS,
    PARTITION_STANDS,  /**< By an alarm, until a person has looked at it. */
} partition_stage;

typedef struct partition {
    struct partition *next;
    source *of;
    char *topic, *identity; /**< identity: "kafka:CLUSTER/TOPIC/NUMBER@GROUP" */
    int32_t number;
    partition_stage stage;
    bool gone;             /**< Given up, or another's: nothing more is taken of it. */
    bool lost;             /**< It is another's already. */
    bool has_marks, has_committed;
    bool starting;         /**< Where it begins is being committed. */
    int64_t low, high, group_offset;
    int64_t group_time_us; /**< Of the message before group_offset; 0: not known. */
    enum { HISTORY_NONE, HISTORY_ASKED, HISTORY_KNOWN } history;
    int64_t history_from, history_to; /**< What others have brought, and dedupe has to know. */
    int64_t at;            /**< The next offset to take. -1: not known. */
    int64_t elsewhere;     /**< sl_engine_elsewhere() */
    uint64_t check;        /**< Of the last message that was taken. */
    bool unverified;       /**< The message before `at` is still to come, and to be the one that `check` is of. */
    sl_buffer filling, flying;  /**< Bodies of records: being made; with the engine. */
    size_t counted;        /**< Of their memory, in the budget. */
    int64_t filling_from, filling_to, flying_to;
    int64_t filling_time_us, flying_time_us; /**< Of their last messages. */
    uint64_t filling_check;
    figures filling_figures, flying_figures;
    bool asked;            /**< `flying` is with the engine. */
    int64_t retry_us;
    mark marks[MARKS_MAX]; /**< Not delivered yet, oldest first. */
    uint32_t mark_count;
    int64_t delivered, committed; /**< Offsets; -1: none. */
    int64_t delivered_time_us;
    char metadata[128];    /**< What is committed beside the offset: the log's identity and delivered_time_us. */
    sl_metric *lag;
} partition;

struct source {
    sl_kafka_intake *of;
    char *name, *group, *stream, *member;
    bool latest;
    bool addressed;        /**< Its messages say themselves where they belong: the log by Kafka. */
    sl_buffer scratch;     /**< Of one message. */
    int64_t horizon_us;    /**< Longest `dedupe` of the streams that take from it. */
    sl_kafka_consumer *consumer;
    partition *partitions;
    uint32_t partition_count;
    sl_engine *engine;     /**< Of this turn. */
    bool fed;              /**< Messages came since the last turn. */
    uint64_t fed_bytes;    /**< Since the last nudge. */
    bool nudging;          /**< A question is on its way that nobody needs the answer of. */
    int64_t nudged_at_us, nudge_every_us;
    bool held;             /**< `messages` took less than all; */
    bool room;             /**< since then a chunk was taken. */
    bool dead;             /**< A fatal error. */
    bool committing;       /**< One commit is on its way. */
    bool revoking, flushing;
    uint32_t asking;       /**< Answers on their way. */
    int64_t ask_at_us, every_at_us, flush_at_us, revoked_at_us, leave_by_us;
    bool comparing;        /**< The broker is asked where a partition ends. */
    bool told;             /**< That the engine takes nothing. */
    bool closing, leaving;
    uint64_t memory;       /**< librdkafka's, in the budget. */
    sl_metric *messages, *bytes, *tombstones, *lag, *assigned, *stopped, *rebalances, *retries, *errors;
};

struct sl_kafka_intake {
    sl_kafka_host host;
    char *identity;
    source *sources;
    uint32_t count;
    uint64_t memory;       /**< Of the configuration. */
};

int64_t intake_now(const source *s);

/* partition.c: from messages to records, and back to offsets */
uint64_t message_check(const sl_kafka_message *m);
/** @return How many were taken: fewer when both chunks are full. */
uint32_t partition_take(partition *p, const sl_kafka_message *messages, uint32_t count);
void partition_turn(partition *p); /**< Submit what is due; see what was delivered. */
/** The log has everything below `to` where it goes on at `position`. */
void partition_mark(partition *p, uint64_t position, int64_t to, int64_t time_us);
/** What others have brought up to where the group stands is read first, as far as dedupe looks back. @return false: the brokers are asked. */
bool history_ready(partition *p);
/** Begin earlier. */
void history_begin(partition *p);
void history_note_group(partition *p, const char *metadata);
void history_horizon(source *s, const sl_config *config);
void partition_stand(partition *p, const char *why);
void partition_free(partition *p);
/** {…} to {…,"NAME":{"topic":…}}; others as they are. @return false: no memory. */
bool message_with_metadata(const partition *p, const sl_kafka_message *m, sl_buffer *out);

/* address.c: what the headers of the log's messages say */
enum { ADDRESS_FIELDS = 4 };
typedef struct address {
    const char *stream, *source, *key; /**< key: "MESSAGE.INDEX/KEY" */
    size_t stream_length, key_length;  /**< 0: none. */
    sl_format format;
    char csv[8]; /**< Of CSV: address_csv(). */
} address;
void address_csv(address *a);
/** @param fields Their values are the address's. @return How many there are. */
size_t address_fields(const address *a, sl_kafka_field fields[ADDRESS_FIELDS]);
/** Put the message's sl_message_address; failures are the buffer's. */
void address_of(const sl_kafka_message *m, sl_buffer *out);
