/** @file kafka.h
 * Kafka on the loop, by librdkafka: a consumer of a group, a producer, and a blocking reader and writer for threads of their own.
 *
 * Consumer One per source. Its queues wake the loop by an eventfd; librdkafka's own threads fetch, unpack and send heartbeats.
 *          Messages and everything else (rebalances, errors, commits) come by two queues: an owner that takes no messages
 *          for an hour stays in the group and hears of a rebalance at once.
 * Offsets  Nothing is committed unless sl_kafka_consumer_commit() says so, and nothing is read before
 *          sl_kafka_consumer_start() says from where. Offsets of one partition rise, but not by one: compaction, aborted
 *          transactions and their markers leave gaps. A position is the next offset to read.
 * Identity What a topic made anew with an old name can't be told by: librdkafka 2.0.2 doesn't know topic ids. A partition's
 *          identity is cluster id + topic + number (sl_kafka_consumer_cluster()); who must notice a topic made anew
 *          compares the last record below its cursor (sl_kafka_read()).
 * Memory   librdkafka's queue of messages and what it keeps beside them is sized to fill three quarters of `memory_bytes` (I8); the rest is for
 *          fetches that are under way, each a sixteenth, which arrive compressed.
 * Order    Callbacks come from the loop, never from inside the call that caused them, except `messages`, which
 *          sl_kafka_consumer_continue() may cause in the next turn. In a callback everything but close may be called.
 * Names    Text that is given is copied; text in callbacks is borrowed for the call.
 * Errors   SL_EIO: not reachable now, librdkafka goes on trying; SL_EDENIED: credentials, TLS or ACLs; SL_ENOTFOUND: no such topic, or
 *          (with a place) the log doesn't hold the offset; SL_ECONFLICT: fenced, another instance has the id; SL_EFULL:
 *          the queue is full; SL_ELIMIT: the message is too large; SL_EAGAIN: no answer in time; SL_EINVAL: the rest.
 * Threads  Consumer and producer: the loop's. Reader and writer: one thread at a time, and not the loop's: they block.
 */
#pragma once

#include "sluice/status.h"

#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;

/** Where to begin, beside an offset >= 0. */
enum { SL_KAFKA_EARLIEST = -2, SL_KAFKA_LATEST = -1 };

typedef struct sl_kafka_property {
    const char *name, *value;
} sl_kafka_property;

/** NULL and 0 where nothing is said. The same for all clients; what a kind has no use for is ignored. */
typedef struct sl_kafka_options {
    const char *brokers; /**< "host:port,host:port" */
    const char *client;  /**< client.id; NULL: "sluice". */
    const char *group;   /**< Consumer. */
    const char *const *topics; /**< Consumer: names, and patterns that begin with '^' (matched against whole names by librdkafka). */
    uint32_t topic_count;
    const char *transactional_id; /**< Writer. */
    const char *security;  /**< "plaintext", "ssl", "sasl_plaintext", "sasl_ssl"; NULL: by what else is given. */
    const char *mechanism; /**< "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"; NULL with a user: PLAIN. */
    const char *user, *password;
    const char *ca_file;   /**< PEM; NULL: the system's. */
    const char *cert_file, *key_file, *key_password; /**< mTLS */
    const sl_kafka_property *properties; /**< Any of librdkafka's, but those that sl_kafka_property_check() refuses. */
    uint32_t property_count;
    uint64_t memory_bytes; /**< Of librdkafka's queue: 0 is 64 MiB. At least 4 MiB. */
    uint32_t timeout_ms;   /**< Of questions, and of a read without progress: 0 is 10 s. */
} sl_kafka_options;

/**
 * May a configuration set this property? Those that sluice owns (offsets, acknowledgement, its callbacks) and those that have a key of
 * their own are refused, with the reason or the key's name; an unknown one or a wrong value in librdkafka's words.
 * @return SL_OK, SL_EINVAL.
 */
SL_CHECKED sl_status sl_kafka_property_check(const char *name, const char *value, sl_error *error);
/** Warn of what is known not to work with the linked librdkafka: SCRAM before 2.6.1 is refused by Kafka 4. @return false: nothing to say. */
bool sl_kafka_warning(const sl_kafka_options *options, sl_error *text);

/** One partition. */
typedef struct sl_kafka_place {
    const char *topic;
    int32_t partition;
} sl_kafka_place;

/** A position in the group's offsets, with the text that is kept beside it. */
typedef struct sl_kafka_offset {
    const char *topic;
    int32_t partition;
    int64_t offset;       /**< -1: none is committed. */
    const char *metadata; /**< NULL or "": none. */
} sl_kafka_offset;

typedef enum sl_kafka_time { SL_KAFKA_NO_TIME, SL_KAFKA_CREATE_TIME, SL_KAFKA_APPEND_TIME } sl_kafka_time;

typedef struct sl_kafka_message {
    const uint8_t *value; /**< NULL: a tombstone. Not padded. */
    const uint8_t *key;   /**< NULL: none. */
    uint32_t value_length, key_length;
    int64_t offset;
    int64_t time_us;      /**< Since 1970; Kafka's are of milliseconds. */
    sl_kafka_time time_kind;
    void *handle;         /**< For sl_kafka_header(). */
} sl_kafka_message;

/** Header `index` (0…) of a message. Parsed when first asked for. @param[out] value NULL: null. @return false: no more. */
bool sl_kafka_header(const sl_kafka_message *message, size_t index, const char **name, const uint8_t **value, size_t *length);

/* --- consumer --- */

typedef struct sl_kafka_consumer sl_kafka_consumer;

typedef struct sl_kafka_consumer_callbacks {
    /**
     * These are the consumer's from now on; each waits for its sl_kafka_consumer_start(), now or later. With the cooperative protocol (the default) one that waits holds up
     * nobody; with an eager one all of an assignment begin when the last has its start.
     */
    void (*assigned)(void *context, const sl_kafka_place *places, uint32_t count);
    /** Messages of these come no more. Finish (cut, deliver, commit), then sl_kafka_consumer_release(), now or later, but within max.poll.interval.ms (5 min). */
    void (*revoked)(void *context, const sl_kafka_place *places, uint32_t count);
    /** They are another's already (session ended): what was not delivered is void. No release. */
    void (*lost)(void *context, const sl_kafka_place *places, uint32_t count);
    /**
     * Consecutive messages of one partition, borrowed for the call.
     * @param tag Of its sl_kafka_consumer_start().
     * @return How many were taken. Fewer than `count`: the rest is kept, and nothing of any partition comes until sl_kafka_consumer_continue().
     */
    uint32_t (*messages)(void *context, void *tag, const sl_kafka_message *messages, uint32_t count);
    /**
     * @param place  NULL: not of one partition; the sentence names the topic where there is one.
     * @param error  One sentence, with the mend. SL_ENOTFOUND with a place: the log doesn't hold the offset; the partition stands still.
     * @param fatal  The client is dead: close it.
     */
    void (*error)(void *context, const sl_kafka_place *place, const sl_error *error, bool fatal);
    void *context;
} sl_kafka_consumer_callbacks;

/**
 * Subscribes; connecting goes on behind. The group's protocol is cooperative-sticky unless the property partition.assignment.strategy
 * says otherwise; isolation.level is read_committed.
 * @return SL_OK; SL_EINVAL: an option or property, named; SL_EIO: no eventfd or thread; SL_ENOMEM.
 */
SL_CHECKED sl_status sl_kafka_consumer_create(struct uv_loop_s *loop, const sl_kafka_options *options,
                                              const sl_kafka_consumer_callbacks *callbacks, sl_kafka_consumer **out, sl_error *error);
/**
 * Leave the group and go: `revoked` comes once more for what is held (release it), then `closed`, after which nothing is left of
 * the consumer. @param closed May be NULL. It comes 3 s after the group was left at the latest: librdkafka 2.0.2 can't be destroyed
 * when a topic that it read was deleted, and is then left behind.
 */
void sl_kafka_consumer_close(sl_kafka_consumer *consumer, void (*closed)(void *context), void *context);

/**
 * Read an assigned partition from here on; once per assignment.
 * @param offset >= 0, SL_KAFKA_EARLIEST or SL_KAFKA_LATEST.
 * @param tag    Comes with its messages.
 * @return SL_OK; SL_ENOTFOUND: isn't assigned (any more), so forget it; SL_EIO.
 */
SL_CHECKED sl_status sl_kafka_consumer_start(sl_kafka_consumer *consumer, const char *topic, int32_t partition,
                                             int64_t offset, void *tag, sl_error *error);
/** What `revoked` named is given up. Nothing when no revocation waits. */
void sl_kafka_consumer_release(sl_kafka_consumer *consumer);
/** After `messages` took less than all: go on, in the next turn. */
void sl_kafka_consumer_continue(sl_kafka_consumer *consumer);
/** Take nothing more of any partition, at no cost, until continue. */
void sl_kafka_consumer_hold(sl_kafka_consumer *consumer);
/**
 * Of one partition alone. What was fetched of it is dropped and fetched again later, so not for every moment's back-pressure.
 * @return SL_OK; SL_ENOTFOUND: isn't started.
 */
SL_CHECKED sl_status sl_kafka_consumer_pause(sl_kafka_consumer *consumer, const char *topic, int32_t partition, bool paused);
/** Rewind or skip; messages of before come no more after this call. @return SL_OK; SL_ENOTFOUND: isn't started; SL_EIO. */
SL_CHECKED sl_status sl_kafka_consumer_seek(sl_kafka_consumer *consumer, const char *topic, int32_t partition,
                                            int64_t offset, sl_error *error);
/** @param offsets Borrowed for the call; of the answer, with each one's own offset. */
typedef void sl_kafka_offsets_fn(void *context, sl_status status, const sl_kafka_offset *offsets, uint32_t count,
                                 const sl_error *error);
/** Commit for the group. SL_ECONFLICT: the group has moved on without this member. */
void sl_kafka_consumer_commit(sl_kafka_consumer *consumer, const sl_kafka_offset *offsets, uint32_t count,
                              sl_kafka_offsets_fn *done, void *context);
/** What the group has committed for these partitions. SL_EAGAIN: an open transaction holds some, ask again. */
void sl_kafka_consumer_committed(sl_kafka_consumer *consumer, const sl_kafka_place *places, uint32_t count,
                                 sl_kafka_offsets_fn *done, void *context);
/** First offset that is there (low) and the next to be written (high) of each partition; asked of the brokers on another thread. */
typedef struct sl_kafka_marks {
    const char *topic;
    int32_t partition;
    int64_t low, high;
    int64_t at;           /**< Where a time was asked for: the first message of that time or later, or `high`. */
} sl_kafka_marks;
typedef void sl_kafka_marks_fn(void *context, sl_status status, const sl_kafka_marks *marks, uint32_t count,
                               const sl_error *error);
void sl_kafka_consumer_marks(sl_kafka_consumer *consumer, const sl_kafka_place *places, uint32_t count,
                             sl_kafka_marks_fn *done, void *context);
void sl_kafka_consumer_marks_at(sl_kafka_consumer *consumer, const sl_kafka_place *places, uint32_t count, int64_t time_us,
                                sl_kafka_marks_fn *done, void *context);
/** Messages that the partition has beyond what the owner took, by what fetches have told; -1: not known yet. */
int64_t sl_kafka_consumer_lag(const sl_kafka_consumer *consumer, const char *topic, int32_t partition);
/** Round trip to the slowest connected broker, its shortest of the last 5 s, in microseconds; -1: not known yet. */
int64_t sl_kafka_consumer_round_trip_us(const sl_kafka_consumer *consumer);
/** Bytes of messages that wait in librdkafka's queue, as of the last statistics (5 s). */
int64_t sl_kafka_consumer_queued_bytes(const sl_kafka_consumer *consumer);
/** Cluster's id; NULL until it is known: it is when `assigned` is first called. */
const char *sl_kafka_consumer_cluster(const sl_kafka_consumer *consumer);

/* --- producer --- */

typedef struct sl_kafka_producer sl_kafka_producer;

typedef struct sl_kafka_field {
    const char *name;
    const void *value; /**< NULL: null. */
    size_t length;
} sl_kafka_field;

/** Copied when taken. */
typedef struct sl_kafka_record {
    const char *topic;
    int32_t partition;     /**< -1: by the key's hash as Java does it (murmur2), any without a key. */
    const void *key;       /**< NULL: none. */
    size_t key_length;
    const void *value;     /**< NULL: a tombstone. */
    size_t value_length;
    int64_t time_us;       /**< 0: now. */
    const sl_kafka_field *headers;
    size_t header_count;
    void *token;           /**< Comes with `delivered`. */
} sl_kafka_record;

typedef struct sl_kafka_producer_callbacks {
    /** Once for each record that was taken. SL_OK: all in-sync replicas have it. @param error NULL when SL_OK. */
    void (*delivered)(void *context, void *token, sl_status status, int32_t partition, int64_t offset, const sl_error *error);
    /** After an SL_EFULL there is room again. NULL is allowed. */
    void (*room)(void *context);
    void (*error)(void *context, const sl_error *error, bool fatal);
    void *context;
} sl_kafka_producer_callbacks;

/** Idempotent, acks=all. @return as sl_kafka_consumer_create(). */
SL_CHECKED sl_status sl_kafka_producer_create(struct uv_loop_s *loop, const sl_kafka_options *options,
                                              const sl_kafka_producer_callbacks *callbacks, sl_kafka_producer **out, sl_error *error);
/** @return SL_OK; SL_EFULL: nothing taken, wait for `room`; SL_ELIMIT; SL_ENOTFOUND: no such topic or partition; SL_ECONFLICT: fatal before; SL_ENOMEM. */
SL_CHECKED sl_status sl_kafka_produce(sl_kafka_producer *producer, const sl_kafka_record *record, sl_error *error);
/** Records that were taken and not yet reported by `delivered`. */
uint64_t sl_kafka_producer_pending(const sl_kafka_producer *producer);
/** Send what lingers; `done` when nothing is pending, or with SL_EAGAIN after `ms`. One at a time. */
void sl_kafka_producer_flush(sl_kafka_producer *producer, uint32_t ms, void (*done)(void *context, sl_status status), void *context);
/** What is pending is given up, each by `delivered`, then `closed`; flush first. Nothing is left of the producer then. */
void sl_kafka_producer_close(sl_kafka_producer *producer, void (*closed)(void *context), void *context);

/* --- reading back, on a thread of one's own --- */

typedef struct sl_kafka_reader sl_kafka_reader;

/** Without a group. @return as sl_kafka_consumer_create(). */
SL_CHECKED sl_status sl_kafka_reader_create(const sl_kafka_options *options, sl_kafka_reader **out, sl_error *error);
void sl_kafka_reader_destroy(sl_kafka_reader *reader); /**< NULL is allowed. */
/** Borrowed for the call. @return another status than SL_OK ends the read with it. */
typedef sl_status sl_kafka_each_fn(void *context, const sl_kafka_message *messages, uint32_t count, sl_error *error);
/**
 * The messages of [from, to) that the partition has; gaps are none of them.
 * @return SL_OK: all; SL_ENOTFOUND: no such topic or partition, or `from` is below what the log holds, or `to` beyond its end;
 * SL_EAGAIN: nothing came for timeout_ms (what came before counts); SL_EDENIED; what `each` returned.
 */
SL_CHECKED sl_status sl_kafka_read(sl_kafka_reader *reader, const char *topic, int32_t partition, int64_t from, int64_t to,
                                   sl_kafka_each_fn *each, void *context, sl_error *error);
/** @return SL_OK; SL_ENOTFOUND; SL_EAGAIN; SL_EDENIED. */
SL_CHECKED sl_status sl_kafka_reader_marks(sl_kafka_reader *reader, const char *topic, int32_t partition, int64_t *low,
                                           int64_t *high, sl_error *error);
/** Number of a topic's partitions: reaches the brokers, for `validate`. `topic` NULL: only reach them. @return as sl_kafka_reader_marks(). */
SL_CHECKED sl_status sl_kafka_reader_topic(sl_kafka_reader *reader, const char *topic, uint32_t *partitions, sl_error *error);
/** What `group` has committed: offsets[].offset is filled; text is the reader's until its next call. @return SL_OK; SL_EAGAIN; SL_EDENIED. */
SL_CHECKED sl_status sl_kafka_reader_committed(sl_kafka_reader *reader, const char *group, sl_kafka_offset *offsets, uint32_t count,
                                               sl_error *error);
/** @return NULL: not known in time. */
const char *sl_kafka_reader_cluster(sl_kafka_reader *reader);

/* --- transactions, on a thread of one's own --- */

typedef struct sl_kafka_writer sl_kafka_writer;

/** Takes options.transactional_id over from whoever had it (that one is fenced). @return as above; SL_EAGAIN; SL_EDENIED. */
SL_CHECKED sl_status sl_kafka_writer_create(const sl_kafka_options *options, sl_kafka_writer **out, sl_error *error);
void sl_kafka_writer_destroy(sl_kafka_writer *writer); /**< What is open is given up. NULL is allowed. */
/*
 * Each returns SL_OK; SL_EAGAIN: abort, then begin again; SL_ECONFLICT: fenced or fatal, so only a new writer goes on; SL_EDENIED.
 */
SL_CHECKED sl_status sl_kafka_writer_begin(sl_kafka_writer *writer, sl_error *error);
/** Waits while the queue is full. `token` is ignored. Also SL_ELIMIT, SL_ENOTFOUND. */
SL_CHECKED sl_status sl_kafka_writer_put(sl_kafka_writer *writer, const sl_kafka_record *record, sl_error *error);
/** Commit these offsets of `group` within the transaction. */
SL_CHECKED sl_status sl_kafka_writer_offsets(sl_kafka_writer *writer, const char *group, const sl_kafka_offset *offsets,
                                             uint32_t count, sl_error *error);
/** SL_EIO, SL_EAGAIN: in doubt until the next look at the group's offsets. */
SL_CHECKED sl_status sl_kafka_writer_commit(sl_kafka_writer *writer, sl_error *error);
/** Sends what was put, then takes it back. */
SL_CHECKED sl_status sl_kafka_writer_abort(sl_kafka_writer *writer, sl_error *error);
/** What `group` has committed, read without the transaction: where a marker is. offsets[].offset is filled; text is the writer's until its next call. */
SL_CHECKED sl_status sl_kafka_writer_committed(sl_kafka_writer *writer, const char *group, sl_kafka_offset *offsets,
                                               uint32_t count, sl_error *error);
