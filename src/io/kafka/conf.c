/* Options to librdkafka's properties.
 *
 * Memory: its queue counts the bytes of keys and values alone. Half of the budget is for those; a quarter for what it
 * keeps beside each message (an operation of about 500 bytes); the rest for answers that are under way, which arrive
 * compressed and can unpack to several times their size, so one may be a sixteenth. */
#include "private.h"

#include "sluice/memory.h"
#include "sluice/message.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    MEMORY_LEAST = 4 << 20,
    MEMORY_USUAL = 64 << 20,
    BYTES_BESIDE_A_MESSAGE = 512,
    FETCH_LEAST = 1 << 20, /* message.max.bytes' default has to fit. */
    FETCH_BELOW = 64 << 10,
    PARTITION_LEAST = 256 << 10,
    PARTITION_MOST = 1 << 20,
    ERROR_BYTES = 512,
    SCRAM_WORKS = 0x02060100, /* 2.6.1 */
};

/* --- what a configuration may not set --- */

static const char *const owned[][2] = {
    {"bootstrap.servers", "has a key of its own: brokers"},
    {"metadata.broker.list", "has a key of its own: brokers"},
    {"group.id", "has a key of its own: group"},
    {"security.protocol", "follows from the keys tls and sasl"},
    {"sasl.mechanism", "has a key of its own: sasl.mechanism"},
    {"sasl.mechanisms", "has a key of its own: sasl.mechanism"},
    {"sasl.username", "has a key of its own: sasl.user"},
    {"sasl.password", "has a key of its own: sasl.password"},
    {"ssl.ca.location", "has a key of its own: tls.ca"},
    {"ssl.certificate.location", "has a key of its own: tls.cert"},
    {"ssl.key.location", "has a key of its own: tls.key"},
    {"ssl.key.password", "has a key of its own: tls.key_password"},
    {"auto.offset.reset", "is sluice's: where a partition without a cursor begins is the key start"},
    {"enable.auto.commit", "is sluice's: offsets are committed when what they cover is delivered"},
    {"auto.commit.enable", "is sluice's: offsets are committed when what they cover is delivered"},
    {"auto.commit.interval.ms", "is sluice's: offsets are committed when what they cover is delivered"},
    {"enable.auto.offset.store", "is sluice's: offsets are committed when what they cover is delivered"},
    {"offset.store.method", "is sluice's: offsets are committed when what they cover is delivered"},
    {"enable.partition.eof", "is sluice's"},
    {"queued.min.messages", "is sluice's: librdkafka's queue is sized from the memory budget"},
    {"queued.max.messages.kbytes", "is sluice's: librdkafka's queue is sized from the memory budget"},
    {"fetch.max.bytes", "is sluice's: librdkafka's queue is sized from the memory budget"},
    {"fetch.message.max.bytes", "is sluice's: librdkafka's queue is sized from the memory budget"},
    {"max.partition.fetch.bytes", "is sluice's: librdkafka's queue is sized from the memory budget"},
    {"queue.buffering.max.messages", "is sluice's: librdkafka's queue is sized from the memory budget"},
    {"queue.buffering.max.kbytes", "is sluice's: librdkafka's queue is sized from the memory budget"},
    {"enable.idempotence", "is sluice's: nothing is written twice"},
    {"acks", "is sluice's: all replicas in sync have what is acknowledged"},
    {"request.required.acks", "is sluice's: all replicas in sync have what is acknowledged"},
    {"transactional.id", "is sluice's"},
    {"partitioner", "is sluice's: a key's partition is the one that Java's clients choose"},
    {"statistics.interval.ms", "is sluice's"},
    {"enabled_events", "is sluice's"},
    {"log.queue", "is sluice's"},
    {"plugin.library.paths", "would load foreign code into the process"},
};

static const char *why_owned(const char *name) {
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (strcmp(name, owned[i][0]) == 0)
            return owned[i][1];
    return NULL;
}

static sl_status set(rd_kafka_conf_t *conf, const char *name, const char *value, sl_error *error) {
    char text[ERROR_BYTES];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return SL_OK;
    return sl_error_set(error, SL_EINVAL, "Kafka property %s: %s", name, text);
}

sl_status sl_kafka_property_check(const char *name, const char *value, sl_error *error) {
    const char *why = why_owned(name);
    if (why != NULL)
        return sl_error_set(error, SL_EINVAL, "Kafka property %s %s", name, why);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    sl_status status = set(conf, name, value, error);
    rd_kafka_conf_destroy(conf);
    return status;
}

bool sl_kafka_warning(const sl_kafka_options *options, sl_error *text) {
    if (options->mechanism == NULL || strncasecmp(options->mechanism, "SCRAM", 5) != 0 || rd_kafka_version() >= SCRAM_WORKS)
        return false;
    (void)sl_error_set(text, SL_EUNSUPPORTED,
                       "librdkafka %s breaks %s with Kafka 4 and later, which will say \"invalid credentials\": use PLAIN over TLS, mTLS, "
                       "brokers of Kafka 3, or librdkafka 2.6.1",
                       rd_kafka_version_str(), options->mechanism);
    return true;
}

/* --- a client's configuration --- */

static sl_status set_number(rd_kafka_conf_t *conf, const char *name, uint64_t value, sl_error *error) {
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return set(conf, name, text, error);
}

/* Where nothing is said the rest tells it. */
static const char *protocol(const sl_kafka_options *o) {
    bool tls = o->ca_file != NULL || o->cert_file != NULL || o->key_file != NULL, sasl = o->user != NULL;
    if (o->security != NULL)
        return o->security;
    return sasl ? tls ? "sasl_ssl" : "sasl_plaintext" : tls ? "ssl" : "plaintext";
}

static sl_status set_pairs(rd_kafka_conf_t *conf, const char *const (*pairs)[2], size_t count, sl_error *error) {
    for (size_t i = 0; i < count; i++) {
        sl_status status = pairs[i][1] == NULL ? SL_OK : set(conf, pairs[i][0], pairs[i][1], error);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

static sl_status set_common(rd_kafka_conf_t *conf, const sl_kafka_options *o, sl_error *error) {
    const char *const pairs[][2] = {
        {"bootstrap.servers", o->brokers},
        {"client.id", o->client != NULL ? o->client : "sluice"},
        {"security.protocol", protocol(o)},
        {"sasl.mechanisms", o->user == NULL ? NULL : o->mechanism != NULL ? o->mechanism : "PLAIN"},
        {"sasl.username", o->user},
        {"sasl.password", o->password},
        {"ssl.ca.location", o->ca_file},
        {"ssl.certificate.location", o->cert_file},
        {"ssl.key.location", o->key_file},
        {"ssl.key.password", o->key_password},
        {"socket.keepalive.enable", "true"},
        {"reconnect.backoff.max.ms", "2000"},
        {"log.connection.close", "false"},
    };
    return set_pairs(conf, pairs, sizeof pairs / sizeof *pairs, error);
}

static sl_status set_consumer(rd_kafka_conf_t *conf, kafka_role role, const sl_kafka_options *o, sl_error *error) {
    const char *const pairs[][2] = {
        {"group.id", o->group != NULL ? o->group : role == KAFKA_READER ? "sluice" : NULL},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"isolation.level", "read_committed"},
        {"enable.partition.eof", role == KAFKA_READER ? "true" : "false"},
        /* A reader knows what is there: where it meets the end, the next range would wait for the answer to a fetch behind it. */
        {"fetch.wait.max.ms", role == KAFKA_READER ? "10" : NULL},
        {"allow.auto.create.topics", "false"},
    };
    sl_status status = set_pairs(conf, pairs, sizeof pairs / sizeof *pairs, error);
    uint64_t memory = o->memory_bytes == 0 ? MEMORY_USUAL : o->memory_bytes < MEMORY_LEAST ? MEMORY_LEAST : o->memory_bytes;
    /* An answer is one block of memory, and 1/16 is what malloc gives back to the kernel at once (main.c): below it, pages are used again. */
    uint64_t fetch = memory / 16 - FETCH_BELOW, share = memory / 64;
    fetch = fetch < FETCH_LEAST ? FETCH_LEAST : fetch;
    share = share < PARTITION_LEAST ? PARTITION_LEAST : share > PARTITION_MOST ? PARTITION_MOST : share;
    if (status == SL_OK)
        status = set_number(conf, "queued.max.messages.kbytes", memory / 2 / 1024, error);
    if (status == SL_OK)
        status = set_number(conf, "queued.min.messages", memory / 4 / BYTES_BESIDE_A_MESSAGE, error);
    if (status == SL_OK)
        status = set_number(conf, "fetch.max.bytes", fetch, error);
    return status == SL_OK ? set_number(conf, "fetch.message.max.bytes", share, error) : status;
}

static sl_status set_producer(rd_kafka_conf_t *conf, const sl_kafka_options *o, sl_error *error) {
    const char *const pairs[][2] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"partitioner", "murmur2_random"},
        {"transactional.id", o->transactional_id},
    };
    sl_status status = set_pairs(conf, pairs, sizeof pairs / sizeof *pairs, error);
    uint64_t memory = o->memory_bytes == 0 ? MEMORY_USUAL : o->memory_bytes < MEMORY_LEAST ? MEMORY_LEAST : o->memory_bytes;
    if (status == SL_OK)
        status = set_number(conf, "queue.buffering.max.kbytes", memory / 2 / 1024, error);
    return status == SL_OK ? set_number(conf, "queue.buffering.max.messages", memory / 2 / BYTES_BESIDE_A_MESSAGE, error) : status;
}

/* From librdkafka's threads. What matters comes as an event as well. */
static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text) {
    (void)client;
    sl_message(level <= 2 ? SL_LEVEL_ERROR : SL_LEVEL_DEBUG, "kafka", "librdkafka says", "facility=%s text=\"%s\"", facility, text);
}

static sl_status configure(rd_kafka_conf_t *conf, kafka_role role, const sl_kafka_options *o, sl_error *error) {
    sl_status status = set_common(conf, o, error);
    if (status == SL_OK)
        status = role <= KAFKA_READER ? set_consumer(conf, role, o, error) : set_producer(conf, o, error);
    if (status == SL_OK && (role == KAFKA_CONSUMER || role == KAFKA_PRODUCER))
        status = set_number(conf, "statistics.interval.ms", KAFKA_STATISTICS_MS, error);
    for (uint32_t i = 0; i < o->property_count && status == SL_OK; i++) {
        const char *why = why_owned(o->properties[i].name);
        status = why != NULL ? sl_error_set(error, SL_EINVAL, "Kafka property %s %s", o->properties[i].name, why)
                             : set(conf, o->properties[i].name, o->properties[i].value, error);
    }
    return status;
}

sl_status sl_kafka_client(kafka_role role, const sl_kafka_options *options, rd_kafka_t **out, sl_error *error) {
    *out = NULL;
    if (options->brokers == NULL || options->brokers[0] == 0)
        return sl_error_set(error, SL_EINVAL, "Kafka: no brokers are named");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    sl_status status = configure(conf, role, options, error);
    if (status != SL_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS |
                                       (role == KAFKA_PRODUCER   ? RD_KAFKA_EVENT_DR
                                        : role == KAFKA_CONSUMER ? RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT
                                                                 : 0));
    char text[ERROR_BYTES];
    *out = rd_kafka_new(role <= KAFKA_READER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (*out == NULL) { /* conf is still ours. */
        rd_kafka_conf_destroy(conf);
        return sl_error_set(error, SL_EINVAL, "Kafka: %s", text);
    }
    return SL_OK;
}
