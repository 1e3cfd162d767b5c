/* The port to Kafka itself. */
#include "sluice/topic.h"

#include "sluice/memory.h"

#include <string.h>

/* Of librdkafka's: a message's size is judged by topic.max_message and by the brokers; a transaction may take as long as a large entry does,
 * as long as consumers wait for one that was left open by a machine that is gone. */
#define MESSAGE_MAX "1000000000"
#define TRANSACTION_MS "300000"

/* A writer's own question would make the topic, where brokers let it. */
static sl_status check_topic(const sl_kafka_options *options, const char *topic, sl_error *error) {
    sl_kafka_reader *reader = NULL;
    uint32_t partitions;
    sl_status status = sl_kafka_reader_create(options, &reader, error);
    if (status == SL_OK)
        status = sl_kafka_reader_topic(reader, topic, &partitions, error);
    sl_kafka_reader_destroy(reader);
    return status;
}

static sl_status create(const sl_kafka_options *options, const char *id, sl_kafka_writer **out, sl_error *error) {
    sl_kafka_property *properties = sl_calloc(options->property_count + 2, sizeof *properties);
    if (properties == NULL)
        return sl_error_set(error, SL_ENOMEM, "topic: out of memory");
    properties[0] = (sl_kafka_property){"message.max.bytes", MESSAGE_MAX};
    properties[1] = (sl_kafka_property){"transaction.timeout.ms", TRANSACTION_MS};
    for (uint32_t i = 0; i < options->property_count; i++)
        properties[i + 2] = options->properties[i]; /* What is configured goes before. */
    sl_kafka_options own = *options;
    own.transactional_id = id;
    own.properties = properties;
    own.property_count += 2;
    sl_status status = sl_kafka_writer_create(&own, out, error);
    sl_free(properties);
    return status;
}

static sl_status port_open(void *context, const char *id, const char *topic, void **writer, sl_error *error) {
    const sl_kafka_options *options;
    memcpy(&options, &context, sizeof options);
    sl_kafka_writer *made = NULL;
    sl_status status = check_topic(options, topic, error);
    if (status == SL_OK)
        status = create(options, id, &made, error);
    *writer = made;
    return status;
}

static void port_close(void *context, void *writer) {
    (void)context;
    sl_kafka_writer_destroy(writer);
}

static sl_status port_read(void *context, void *writer, const char *group, sl_kafka_offset *marker, sl_error *error) {
    (void)context;
    return sl_kafka_writer_committed(writer, group, marker, 1, error);
}

static sl_status port_begin(void *context, void *writer, sl_error *error) {
    (void)context;
    return sl_kafka_writer_begin(writer, error);
}

static sl_status port_put(void *context, void *writer, const sl_kafka_record *record, sl_error *error) {
    (void)context;
    return sl_kafka_writer_put(writer, record, error);
}

static sl_status port_move(void *context, void *writer, const char *group, const sl_kafka_offset *marker, sl_error *error) {
    (void)context;
    return sl_kafka_writer_offsets(writer, group, marker, 1, error);
}

static sl_status port_commit(void *context, void *writer, sl_error *error) {
    (void)context;
    return sl_kafka_writer_commit(writer, error);
}

static sl_status port_abort(void *context, void *writer, sl_error *error) {
    (void)context;
    return sl_kafka_writer_abort(writer, error);
}

sl_topic_port sl_topic_kafka_port(const sl_kafka_options *options) {
    sl_topic_port port = {port_open, port_close, port_read, port_begin, port_put, port_move, port_commit, port_abort, NULL};
    memcpy(&port.context, &options, sizeof options);
    return port;
}
