/* librdkafka's statistics, JSON every few seconds. */
#include "consumer_private.h"

#include <jansson.h>
#include <string.h>

/* The queue of messages is one, so each partition tells the size of all of it. */
static int64_t queued(json_t *all) {
    json_int_t most = 0;
    const char *name, *number;
    json_t *topic, *partition;
    json_object_foreach(json_object_get(all, "topics"), name, topic) {
        json_object_foreach(json_object_get(topic, "partitions"), number, partition) {
            json_int_t size = json_integer_value(json_object_get(partition, "fetchq_size"));
            if (size > most)
                most = size;
        }
    }
    return most;
}

/* The shortest of each, as fetches wait at the broker for messages. */
static int64_t slowest_up(json_t *all) {
    json_int_t slowest = -1;
    const char *name;
    json_t *broker;
    json_object_foreach(json_object_get(all, "brokers"), name, broker) {
        const char *state = json_string_value(json_object_get(broker, "state"));
        json_int_t trip = json_integer_value(json_object_get(json_object_get(broker, "rtt"), "min"));
        if (state != NULL && strcmp(state, "UP") == 0 && trip > slowest)
            slowest = trip;
    }
    return slowest;
}

void sl_kafka_statistics(sl_kafka_consumer *c, const char *json) {
    json_t *all = json_loads(json, 0, NULL);
    if (all == NULL)
        return;
    int64_t slowest = slowest_up(all);
    if (slowest >= 0)
        c->told = 0; /* Something works: the next failure is news. */
    if (slowest > 0)
        c->round_trip_us = slowest;
    c->queued_bytes = queued(all);
    json_decref(all);
}
