/* What consumer.c, group.c and questions.c share. */
#pragma once

#include "private.h"

enum { MESSAGES_A_CALL = 1024 };

typedef enum part_state {
    PART_WAITS,    /* For its start. */
    PART_STARTING, /* In the next turn. */
    PART_RUNS,
    PART_REVOKED, /* Waits for its release. */
} part_state;

/* One assigned partition. */
typedef struct part {
    char *topic;
    int32_t partition;
    part_state state;
    bool assigned; /* librdkafka's assignment has it. */
    int64_t offset; /* Start; then the next that the owner hasn't taken. */
    uint64_t stale; /* Messages of this batch and those before are of another time. */
    void *tag;
} part;

typedef struct question question;

struct sl_kafka_consumer {
    uv_loop_t *loop;
    sl_kafka_consumer_callbacks callbacks;
    rd_kafka_t *client;
    rd_kafka_queue_t *control, *data, *closing;
    kafka_wake *wake;
    uv_timer_t timer; /* Polls once a second, so that the group knows that we live. */
    char *group, *cluster;
    int timeout_ms;
    part **parts; /* By topic and number. */
    uint32_t part_count, part_room;
    part *last;     /* Of the last message. */
    bool starting;  /* A part is. */
    bool releasing; /* The release was called; to be done in the next turn. */
    bool revoking;  /* Waits for the release. */
    bool held, ending, ended;
    uint64_t leave_by_ms; /* Of the loop's clock, once it is ending. */
    /* Taken from the queue: [at, count) isn't the owner's yet. */
    rd_kafka_message_t *batch[MESSAGES_A_CALL];
    sl_kafka_message given[MESSAGES_A_CALL];
    uint32_t at, count;
    uint64_t number; /* Of the batch. */
    question *questions;
    bool refused; /* One of them is. */
    int64_t round_trip_us, queued_bytes;
    uint32_t told; /* Bits of statuses, so that repetitions aren't told. */
    void (*closed)(void *context);
    void *closed_context;
};

/* --- consumer.c --- */
part *sl_kafka_part(const sl_kafka_consumer *c, const char *topic, int32_t partition);
void sl_kafka_consumer_tell(sl_kafka_consumer *c, const sl_kafka_place *place, rd_kafka_resp_err_t code, const char *text);

/* --- group.c --- */
void sl_kafka_rebalance(sl_kafka_consumer *c, rd_kafka_event_t *event);
/* Starts and releases that were called since the last turn. */
void sl_kafka_group_turn(sl_kafka_consumer *c);
void sl_kafka_parts_fini(sl_kafka_consumer *c);

/* --- questions.c --- */
/* An answer has come. @return whether it was one. */
bool sl_kafka_answer(sl_kafka_consumer *c, rd_kafka_event_t *event);
/* Those that were refused when they were asked. */
void sl_kafka_questions_turn(sl_kafka_consumer *c);
/* All are answered "closed", but those that a thread works on. @return how many those are. */
uint32_t sl_kafka_questions_end(sl_kafka_consumer *c);

/* --- statistics.c --- */
void sl_kafka_statistics(sl_kafka_consumer *c, const char *json);
