/* The least that reading a topic takes: a consumer of librdkafka that drops what comes.
 *
 *   kafka_drop BROKERS TOPIC MESSAGES     {"events_per_s":…,"cpu_s_per_million":…} from the first message to the last */
#include <librdkafka/rdkafka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCH = 4096 };

static double wall_s(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int count, char **words) {
    char text[512], group[64];
    if (count != 4)
        return 64;
    const long wanted = strtol(words[3], NULL, 10);
    (void)snprintf(group, sizeof group, "drop-%ld", (long)time(NULL));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *const properties[][2] = {{"bootstrap.servers", words[1]}, {"group.id", group}, {"auto.offset.reset", "earliest"},
                                         {"enable.auto.commit", "false"}};
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
        if (rd_kafka_conf_set(conf, properties[i][0], properties[i][1], text, sizeof text) != RD_KAFKA_CONF_OK)
            return 1;
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (client == NULL)
        return 1;
    (void)rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(topics, words[2], RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(client, topics) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    static rd_kafka_message_t *messages[BATCH];
    double began = 0, cpu = 0;
    for (long got = 0; got < wanted;) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, messages, BATCH);
        for (ssize_t i = 0; i < n; i++) {
            if (messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR && got++ == 0) {
                began = wall_s();
                cpu = cpu_s();
            }
            rd_kafka_message_destroy(messages[i]);
        }
    }
    printf("{\"events_per_s\":%.0f,\"cpu_s_per_million\":%.3f}\n", (double)wanted / (wall_s() - began),
           (cpu_s() - cpu) / (double)wanted * 1e6);
    (void)fflush(stdout);
    _Exit(0); /* Leaving the group in order takes a second. */
}
