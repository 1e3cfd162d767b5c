/* For tests/integration/kafka_client_test.py and kafka_faults_test.py: the clients, told by lines what to do, telling in lines what happens.
 *
 *   kafka_client consume|produce|read|write NAME=VALUE...    brokers group topics user password mechanism security ca cert
 *                                                            key id memory timeout, verbose, start, release; else a property
 * consume: start (earliest, latest, an offset, or by the line "start T P OFFSET"), release=manual, take=N of each call. */
#include "sluice/kafka.h"
#include "sluice/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

enum { WORDS = 16, LINE = 4096, TOPICS = 16, PROPERTIES = 16 };

typedef struct client {
    uv_loop_t loop;
    uv_pipe_t input;
    char line[LINE];
    size_t length;
    sl_kafka_options options;
    const char *topics[TOPICS];
    sl_kafka_property properties[PROPERTIES];
    const char *start;
    bool verbose, manual, done;
    uint32_t take;
    sl_kafka_consumer *consumer;
    sl_kafka_producer *producer;
    uint64_t count, bytes, delivered, failed;
    uint64_t limit; /* Tell when so many have come. */
    double began;
    int64_t last[64]; /* By partition: offsets rise. */
    uint64_t falls;
    void (*run)(struct client *c, char **words, int count);
} client;

static double cpu(void) {
    struct rusage r;
    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static bool is(const char *word, const char *other) { return strcmp(word, other) == 0; }

/* --- options --- */

static bool set_text(client *c, const char *name, const char *value) {
    const struct {
        const char *name;
        const char **to;
    } texts[] = {
        {"brokers", &c->options.brokers}, {"group", &c->options.group}, {"user", &c->options.user},
        {"password", &c->options.password}, {"mechanism", &c->options.mechanism}, {"security", &c->options.security},
        {"ca", &c->options.ca_file}, {"cert", &c->options.cert_file}, {"key", &c->options.key_file},
        {"id", &c->options.transactional_id}, {"start", &c->start},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (is(name, texts[i].name)) {
            *texts[i].to = value;
            return true;
        }
    return false;
}

static void set_option(client *c, char *name, char *value) {
    if (set_text(c, name, value))
        return;
    if (is(name, "topics")) {
        for (char *t = strtok(value, ","); t != NULL; t = strtok(NULL, ","))
            c->topics[c->options.topic_count++] = t;
    } else if (is(name, "memory"))
        c->options.memory_bytes = strtoull(value, NULL, 10);
    else if (is(name, "timeout"))
        c->options.timeout_ms = (uint32_t)strtoul(value, NULL, 10);
    else if (is(name, "take"))
        c->take = (uint32_t)strtoul(value, NULL, 10);
    else if (is(name, "limit"))
        c->limit = strtoull(value, NULL, 10);
    else if (is(name, "verbose"))
        c->verbose = true;
    else if (is(name, "release"))
        c->manual = is(value, "manual");
    else
        c->properties[c->options.property_count++] = (sl_kafka_property){name, value};
}

static void tell_end(client *c) {
    printf("count %" PRIu64 " bytes %" PRIu64 " falls %" PRIu64 " cpu %.3f\n", c->count, c->bytes, c->falls, cpu() - c->began);
}

/* --- lines --- */

static void on_line(client *c, char *line) {
    char *words[WORDS] = {0};
    int count = 0;
    for (char *w = strtok(line, " "); w != NULL && count < WORDS; w = strtok(NULL, " "))
        words[count++] = w;
    if (count > 0)
        c->run(c, words, count);
    (void)fflush(stdout);
}

static void on_space(uv_handle_t *handle, size_t hint, uv_buf_t *to) {
    (void)hint;
    client *c = handle->data;
    *to = uv_buf_init(c->line + c->length, (unsigned)(LINE - 1 - c->length));
}

static void on_input(uv_stream_t *stream, ssize_t got, const uv_buf_t *from) {
    (void)from;
    client *c = stream->data;
    if (got < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    c->length += (size_t)got;
    for (char *end; (end = memchr(c->line, '\n', c->length)) != NULL;) {
        char copy[LINE];
        size_t size = (size_t)(end - c->line);
        memcpy(copy, c->line, size);
        copy[size] = 0;
        c->length -= size + 1;
        memmove(c->line, end + 1, c->length);
        on_line(c, copy);
    }
}

static void listen_to(client *c) {
    (void)uv_loop_init(&c->loop);
    (void)uv_pipe_init(&c->loop, &c->input, 0);
    c->input.data = c;
    (void)uv_pipe_open(&c->input, 0);
    (void)uv_read_start((uv_stream_t *)&c->input, on_space, on_input);
}

static void on_closed(void *context) {
    client *c = context;
    puts("closed");
    (void)fflush(stdout);
    if (!uv_is_closing((uv_handle_t *)&c->input))
        uv_close((uv_handle_t *)&c->input, NULL);
}

/* --- consume --- */

static int64_t offset_of(const char *word) {
    return is(word, "earliest") ? SL_KAFKA_EARLIEST : is(word, "latest") ? SL_KAFKA_LATEST : strtoll(word, NULL, 10);
}

static void start(client *c, const char *topic, int32_t partition, int64_t offset) {
    sl_error error;
    static const char tags[64];
    sl_status status = sl_kafka_consumer_start(c->consumer, topic, partition, offset, (void *)(uintptr_t)&tags[partition & 63], &error);
    c->last[partition & 63] = -1;
    if (status != SL_OK)
        printf("refused %s: %s\n", sl_status_name(status), error.text);
}

static void tell_places(const char *what, const sl_kafka_place *places, uint32_t count) {
    printf("%s", what);
    for (uint32_t i = 0; i < count; i++)
        printf(" %s:%d", places[i].topic, (int)places[i].partition);
    puts("");
    (void)fflush(stdout);
}

static void on_assigned(void *context, const sl_kafka_place *places, uint32_t count) {
    client *c = context;
    tell_places("assigned", places, count);
    for (uint32_t i = 0; i < count && c->start != NULL; i++)
        start(c, places[i].topic, places[i].partition, offset_of(c->start));
}

static void on_revoked(void *context, const sl_kafka_place *places, uint32_t count) {
    client *c = context;
    tell_places("revoked", places, count);
    if (!c->manual)
        sl_kafka_consumer_release(c->consumer);
}

static void on_lost(void *context, const sl_kafka_place *places, uint32_t count) {
    (void)context;
    tell_places("lost", places, count);
}

static void tell_message(const sl_kafka_message *m) {
    printf("message %" PRId64 " key %.*s value %.*s time %" PRId64, m->offset, (int)m->key_length, m->key == NULL ? "" : (const char *)m->key,
           (int)m->value_length, m->value == NULL ? "" : (const char *)m->value, m->time_us);
    const char *name;
    const uint8_t *value;
    size_t length;
    for (size_t i = 0; sl_kafka_header(m, i, &name, &value, &length); i++)
        printf(" %s=%.*s", name, (int)length, (const char *)value);
    puts(m->value == NULL ? " tombstone" : "");
}

static uint32_t on_messages(void *context, void *tag, const sl_kafka_message *messages, uint32_t count) {
    client *c = context;
    (void)tag;
    uint32_t taken = c->take != 0 && c->take < count ? c->take : count;
    for (uint32_t i = 0; i < taken; i++) {
        c->bytes += messages[i].value_length;
        c->falls += i > 0 && messages[i].offset <= messages[i - 1].offset;
        if (c->verbose)
            tell_message(&messages[i]);
    }
    bool before = c->count < c->limit;
    c->count += taken;
    if (c->verbose)
        (void)fflush(stdout);
    if (before && c->count >= c->limit) {
        tell_end(c);
        (void)fflush(stdout);
    }
    return taken;
}

static void on_consumer_error(void *context, const sl_kafka_place *place, const sl_error *error, bool fatal) {
    (void)context;
    printf("error %s %s:%d %s%s\n", sl_status_name(error->status), place == NULL ? "-" : place->topic, place == NULL ? -1 : (int)place->partition,
           fatal ? "FATAL " : "", error->text);
    (void)fflush(stdout);
}

static void on_offsets(void *context, sl_status status, const sl_kafka_offset *offsets, uint32_t count, const sl_error *error) {
    (void)context;
    printf("offsets %s", sl_status_name(status));
    for (uint32_t i = 0; i < count; i++)
        printf(" %s:%d=%" PRId64 "'%s'", offsets[i].topic, (int)offsets[i].partition, offsets[i].offset, offsets[i].metadata);
    printf("%s%s\n", status == SL_OK ? "" : " ", status == SL_OK ? "" : error->text);
    (void)fflush(stdout);
}

static void on_marks(void *context, sl_status status, const sl_kafka_marks *marks, uint32_t count, const sl_error *error) {
    (void)context;
    printf("marks %s", sl_status_name(status));
    for (uint32_t i = 0; i < count; i++)
        printf(" %s:%d=%" PRId64 "..%" PRId64, marks[i].topic, (int)marks[i].partition, marks[i].low, marks[i].high);
    printf("%s%s\n", status == SL_OK ? "" : " ", status == SL_OK ? "" : error->text);
    (void)fflush(stdout);
}

static void run_about_place(client *c, char **w, int count) {
    const sl_kafka_place place = {w[1], (int32_t)strtol(w[2], NULL, 10)};
    const int64_t number = count > 3 ? offset_of(w[3]) : 0;
    const sl_kafka_offset offset = {w[1], place.partition, number, count > 4 ? w[4] : NULL};
    sl_error error = {0};
    sl_status status = SL_OK;
    if (is(w[0], "start"))
        start(c, w[1], place.partition, number);
    else if (is(w[0], "seek"))
        status = sl_kafka_consumer_seek(c->consumer, w[1], place.partition, number, &error);
    else if (is(w[0], "commit"))
        sl_kafka_consumer_commit(c->consumer, &offset, 1, on_offsets, c);
    else if (is(w[0], "committed"))
        sl_kafka_consumer_committed(c->consumer, &place, 1, on_offsets, c);
    else if (is(w[0], "marks"))
        sl_kafka_consumer_marks(c->consumer, &place, 1, on_marks, c);
    else if (is(w[0], "pause") || is(w[0], "resume"))
        status = sl_kafka_consumer_pause(c->consumer, w[1], place.partition, is(w[0], "pause"));
    else if (is(w[0], "lag"))
        printf("lag %" PRId64 "\n", sl_kafka_consumer_lag(c->consumer, w[1], place.partition));
    if (status != SL_OK)
        printf("refused %s: %s\n", sl_status_name(status), error.text);
}

static void run_consumer(client *c, char **w, int count) {
    if (count >= 3)
        run_about_place(c, w, count);
    else if (is(w[0], "take"))
        c->take = (uint32_t)strtoul(w[1], NULL, 10);
    else if (is(w[0], "hold"))
        sl_kafka_consumer_hold(c->consumer);
    else if (is(w[0], "continue"))
        sl_kafka_consumer_continue(c->consumer);
    else if (is(w[0], "release"))
        sl_kafka_consumer_release(c->consumer);
    else if (is(w[0], "count"))
        tell_end(c);
    else if (is(w[0], "state"))
        printf("state cluster %s trip %" PRId64 " queued %" PRId64 "\n",
               sl_kafka_consumer_cluster(c->consumer) == NULL ? "?" : sl_kafka_consumer_cluster(c->consumer),
               sl_kafka_consumer_round_trip_us(c->consumer), sl_kafka_consumer_queued_bytes(c->consumer));
    else if (is(w[0], "close"))
        sl_kafka_consumer_close(c->consumer, on_closed, c);
}

static sl_status consume(client *c, sl_error *error) {
    const sl_kafka_consumer_callbacks callbacks = {on_assigned, on_revoked, on_lost, on_messages, on_consumer_error, c};
    listen_to(c);
    c->run = run_consumer;
    return sl_kafka_consumer_create(&c->loop, &c->options, &callbacks, &c->consumer, error);
}

/* --- produce: "put TOPIC KEY VALUE [COUNT [HEADER]]", "-" is null --- */

static void on_delivered(void *context, void *token, sl_status status, int32_t partition, int64_t offset, const sl_error *error) {
    client *c = context;
    c->delivered += status == SL_OK;
    c->failed += status != SL_OK;
    if (c->verbose || status != SL_OK)
        printf("delivered %s %d %" PRId64 " %s%s\n", sl_status_name(status), (int)partition, offset, token == c ? "" : "other token ",
               status == SL_OK ? "" : error->text);
    (void)fflush(stdout);
}

static void on_room(void *context) {
    (void)context;
    puts("room");
    (void)fflush(stdout);
}

static void on_producer_error(void *context, const sl_error *error, bool fatal) {
    on_consumer_error(context, NULL, error, fatal);
}

static void on_flushed(void *context, sl_status status) {
    client *c = context;
    printf("flushed %s delivered %" PRIu64 " failed %" PRIu64 " pending %" PRIu64 "\n", sl_status_name(status), c->delivered, c->failed,
           sl_kafka_producer_pending(c->producer));
    (void)fflush(stdout);
}

static sl_kafka_record record_of(char **w, int count, sl_kafka_field *header, client *c) {
    *header = (sl_kafka_field){"h", count > 5 ? w[5] : NULL, count > 5 ? strlen(w[5]) : 0};
    return (sl_kafka_record){.topic = w[1], .partition = -1, .key = is(w[2], "-") ? NULL : w[2], .key_length = is(w[2], "-") ? 0 : strlen(w[2]),
                             .value = is(w[3], "-") ? NULL : w[3], .value_length = is(w[3], "-") ? 0 : strlen(w[3]), .headers = header,
                             .header_count = count > 5, .token = c};
}

static void run_producer(client *c, char **w, int count) {
    sl_error error = {0};
    if (is(w[0], "put") && count > 3) {
        sl_kafka_field header;
        sl_kafka_record record = record_of(w, count, &header, c);
        uint64_t times = count > 4 ? strtoull(w[4], NULL, 10) : 1, taken = 0;
        sl_status status = SL_OK;
        while (taken < times && (status = sl_kafka_produce(c->producer, &record, &error)) == SL_OK)
            taken++;
        printf("taken %" PRIu64 " %s %s\n", taken, sl_status_name(status), error.text);
    } else if (is(w[0], "flush"))
        sl_kafka_producer_flush(c->producer, count > 1 ? (uint32_t)strtoul(w[1], NULL, 10) : 30000, on_flushed, c);
    else if (is(w[0], "close"))
        sl_kafka_producer_close(c->producer, on_closed, c);
}

static sl_status produce(client *c, sl_error *error) {
    const sl_kafka_producer_callbacks callbacks = {on_delivered, on_room, on_producer_error, c};
    listen_to(c);
    c->run = run_producer;
    return sl_kafka_producer_create(&c->loop, &c->options, &callbacks, &c->producer, error);
}

/* --- read and write block: lines from stdin --- */

static sl_status on_read(void *context, const sl_kafka_message *messages, uint32_t count, sl_error *error) {
    (void)error;
    client *c = context;
    for (uint32_t i = 0; i < count; i++) {
        c->bytes += messages[i].value_length;
        if (c->verbose)
            tell_message(&messages[i]);
    }
    c->count += count;
    return SL_OK;
}

static void run_reader(client *c, sl_kafka_reader *r, char **w, int count) {
    sl_error error = {0};
    sl_status status;
    if (is(w[0], "read") && count > 4) {
        c->count = 0;
        status = sl_kafka_read(r, w[1], (int32_t)strtol(w[2], NULL, 10), strtoll(w[3], NULL, 10), strtoll(w[4], NULL, 10), on_read, c, &error);
        printf("read %s %" PRIu64 " %s\n", sl_status_name(status), c->count, error.text);
    } else if (is(w[0], "topic")) {
        uint32_t partitions;
        status = sl_kafka_reader_topic(r, count > 1 ? w[1] : NULL, &partitions, &error);
        printf("topic %s %u %s\n", sl_status_name(status), partitions, error.text);
    } else if (is(w[0], "cluster"))
        printf("cluster %s\n", sl_kafka_reader_cluster(r));
}

static void run_writer(sl_kafka_writer *writer, char **w, int count) {
    sl_error error = {0};
    sl_status status = SL_EINVAL;
    sl_kafka_offset offset = {count > 2 ? w[2] : NULL, 0, count > 3 ? strtoll(w[3], NULL, 10) : 0, count > 4 ? w[4] : NULL};
    if (is(w[0], "begin"))
        status = sl_kafka_writer_begin(writer, &error);
    else if (is(w[0], "put") && count > 3) {
        sl_kafka_field header;
        sl_kafka_record record = record_of(w, count, &header, NULL);
        status = sl_kafka_writer_put(writer, &record, &error);
    } else if (is(w[0], "offsets") && count > 3)
        status = sl_kafka_writer_offsets(writer, w[1], &offset, 1, &error);
    else if (is(w[0], "committed") && count > 2) {
        status = sl_kafka_writer_committed(writer, w[1], &offset, 1, &error);
        if (status == SL_OK)
            (void)sl_error_set(&error, SL_OK, "%" PRId64 "'%s'", offset.offset, offset.metadata);
    } else if (is(w[0], "commit"))
        status = sl_kafka_writer_commit(writer, &error);
    else if (is(w[0], "abort"))
        status = sl_kafka_writer_abort(writer, &error);
    printf("%s %s %s\n", w[0], sl_status_name(status), error.text);
}

static sl_status serve_lines(client *c, bool writes, sl_error *error) {
    sl_kafka_reader *reader = NULL;
    sl_kafka_writer *writer = NULL;
    sl_status status = writes ? sl_kafka_writer_create(&c->options, &writer, error) : sl_kafka_reader_create(&c->options, &reader, error);
    if (status != SL_OK)
        return status;
    puts("ready");
    (void)fflush(stdout);
    while (fgets(c->line, sizeof c->line, stdin) != NULL) {
        char *words[WORDS] = {0};
        int count = 0;
        c->line[strcspn(c->line, "\n")] = 0;
        for (char *w = strtok(c->line, " "); w != NULL && count < WORDS; w = strtok(NULL, " "))
            words[count++] = w;
        if (count > 0 && writes)
            run_writer(writer, words, count);
        else if (count > 0)
            run_reader(c, reader, words, count);
        (void)fflush(stdout);
    }
    sl_kafka_reader_destroy(reader);
    sl_kafka_writer_destroy(writer);
    return SL_OK;
}

int main(int argc, char **argv) {
    client *c = sl_calloc(1, sizeof *c);
    if (argc < 2 || c == NULL)
        return 64;
    c->options.topics = c->topics;
    c->options.properties = c->properties;
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            return 64;
        *value = 0;
        set_option(c, argv[i], value + 1);
    }
    c->began = cpu();
    sl_error error = {0};
    bool on_loop = is(argv[1], "consume") || is(argv[1], "produce");
    sl_status status = is(argv[1], "consume") ? consume(c, &error)
                       : is(argv[1], "produce") ? produce(c, &error)
                                                : serve_lines(c, is(argv[1], "write"), &error);
    if (status != SL_OK)
        printf("failed %s %s\n", sl_status_name(status), error.text);
    if (on_loop) {
        if (status != SL_OK)
            uv_close((uv_handle_t *)&c->input, NULL);
        (void)uv_run(&c->loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&c->loop);
    }
    sl_free(c);
    return status == SL_OK ? 0 : 1;
}
