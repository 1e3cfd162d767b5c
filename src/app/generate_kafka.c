/* What `sluice generate` writes to a topic of Kafka: one message for each event, by an idempotent producer. The key is the event's id, which is
 * its first member; lines of CSV and of files have none.
 *
 * With a rate the schedule is open-loop, as the sender's: an event is due at start + index / rate, and its latency counts from then.
 * An event that the brokers didn't acknowledge within --retry-for is one whose fate is unknown. */
#include "generate_private.h"

#include "sluice/kafka.h"
#include "sluice/loop.h"
#include "sluice/time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { SLICE = 1000, TICK_MS = 10, STOP_US = 5000000, QUESTION_MS = 5000, LINE_LEAST = 4096 };
static const char scheme[] = "kafka://";

typedef struct writer {
    const sl_generate_options *options;
    sl_generate_summary *summary;
    sl_loop *loop;
    sl_kafka_producer *producer;
    sl_generator generator;
    FILE *lines; /* NULL: events are made. */
    uint8_t *line;
    size_t room, length; /* `length`: of a line that waits for room. */
    char brokers[512], topic[256];
    uint64_t next, end;
    bool full, ended, closing, complained;
    int64_t start_us, stop_us, tick_us, tick_next_us;
    uint64_t tick_sent;
    sl_status failed;
    sl_error *error;
} writer;

bool sl_generate_is_kafka(const char *to) { return strncmp(to, scheme, sizeof scheme - 1) == 0; }

static sl_status parse(const char *to, char *brokers, size_t brokers_room, char *topic, size_t topic_room, sl_error *error) {
    const char *hosts = to + sizeof scheme - 1, *slash = strchr(hosts, '/');
    const size_t length = slash != NULL ? (size_t)(slash - hosts) : 0, name = slash != NULL ? strlen(slash + 1) : 0;
    if (length == 0 || length >= brokers_room || strcspn(hosts, " \r\n?#") < length || name == 0 || name > 249 || name >= topic_room ||
        strspn(slash + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") != name)
        return sl_error_set(error, SL_EINVAL, "%s: not kafka://HOST[:PORT][,HOST[:PORT]]/TOPIC", to);
    memcpy(brokers, hosts, length);
    brokers[length] = '\0';
    memcpy(topic, slash + 1, name + 1);
    return SL_OK;
}

sl_status sl_generate_kafka_check(const char *to, sl_error *error) {
    char brokers[sizeof((writer *)0)->brokers], topic[sizeof((writer *)0)->topic];
    return parse(to, brokers, sizeof brokers, topic, sizeof topic, error);
}

/* --- lines --- */

static sl_status read_line(writer *w) {
    char *line = (char *)w->line;
    errno = 0;
    const ssize_t n = getline(&line, &w->room, w->lines);
    w->line = (uint8_t *)line;
    if (n < 0 && errno == ENOMEM)
        return sl_error_set(w->error, SL_ENOMEM, "out of memory");
    if (n < 0 && ferror(w->lines))
        return sl_error_set(w->error, SL_EIO, "read %s: %s", w->options->file, strerror(errno));
    w->ended = n < 0;
    w->length = n < 0 ? 0 : (size_t)n;
    return SL_OK;
}

static sl_status next_line(writer *w) {
    if (w->lines != NULL)
        return read_line(w);
    if (w->options->now)
        w->generator.now_ms = (int64_t)time(NULL) * 1000;
    w->length = sl_generate_event(&w->generator, w->next, w->line);
    return SL_OK;
}

/* {"order_id":"ord-1",… or {"OrderID":7,… @return its length, 0: there is none. */
static size_t key_of(const uint8_t *line, size_t length, const uint8_t **key) {
    const char *text = (const char *)line, *colon = memchr(text, ':', length);
    if (length < 8 || text[0] != '{' || colon == NULL || colon - text < 5 || strncasecmp(colon - 3, "id\"", 3) != 0)
        return 0;
    const bool quoted = colon[1] == '"';
    const size_t at = (size_t)(colon - text) + 1 + quoted;
    const char *end = at < length ? memchr(text + at, quoted ? '"' : ',', length - at) : NULL;
    *key = line + at;
    return end != NULL ? (size_t)(end - text) - at : 0;
}

/* --- the producer's word --- */

static void complain(writer *w, const sl_error *error) {
    if (!w->complained && error != NULL)
        (void)fprintf(stderr, "generate: %s\n", error->text);
    w->complained = true;
}

static void delivered(void *context, void *token, sl_status status, int32_t partition, int64_t offset, const sl_error *error) {
    writer *w = context;
    (void)partition;
    (void)offset;
    const int64_t latency = sl_monotonic_us() - w->start_us - (int64_t)(uintptr_t)token;
    if (status == SL_OK) {
        w->summary->accepted++;
        sl_histogram_add(&w->summary->latency, latency > 0 ? (uint64_t)latency : 0);
        return;
    }
    complain(w, error);
    const bool refused = status == SL_ENOTFOUND || status == SL_EDENIED || status == SL_ELIMIT || status == SL_EINVAL;
    *(refused ? &w->summary->rejected : &w->summary->lost) += 1;
}

static void room(void *context) {
    writer *w = context;
    w->full = false;
    sl_loop_wake(w->loop);
}

static void fail(writer *w, const sl_error *error) {
    if (w->failed == SL_OK)
        w->failed = sl_error_set(w->error, error->status, "%s", error->text);
}

static void trouble(void *context, const sl_error *error, bool fatal) {
    writer *w = context;
    if (fatal)
        fail(w, error);
}

static void closed(void *context) {
    writer *w = context;
    w->producer = NULL;
    sl_loop_stop(w->loop);
}

/* --- sending --- */

/* @return whether the line was taken, or is refused for good. */
static bool put(writer *w, int64_t from_us) {
    const size_t length = w->length - (w->length > 0 && w->line[w->length - 1] == '\n');
    const uint8_t *key = NULL;
    const size_t key_length = w->lines == NULL ? key_of(w->line, length, &key) : 0;
    const sl_kafka_record record = {.topic = w->topic,
                                    .partition = -1,
                                    .key = key_length != 0 ? key : NULL,
                                    .key_length = key_length,
                                    .value = w->line,
                                    .value_length = length,
                                    .token = (void *)(uintptr_t)from_us};
    sl_error error = {0};
    const sl_status status = sl_kafka_produce(w->producer, &record, &error);
    w->full = status == SL_EFULL;
    if (w->full)
        return false;
    if (status == SL_ECONFLICT || status == SL_ENOMEM) {
        fail(w, &error);
        return false;
    }
    w->summary->requests++;
    w->summary->sent++;
    w->summary->bytes += length;
    if (status != SL_OK) {
        w->summary->rejected++;
        complain(w, &error);
    }
    return true;
}

static int64_t due_us(const writer *w, uint64_t index) {
    return w->options->rate > 0 ? (int64_t)((double)index / w->options->rate * 1e6) : 0;
}

static bool over(const writer *w, int64_t now_us) {
    const int64_t duration = w->options->duration_us, at = w->options->rate > 0 ? due_us(w, w->next) : now_us;
    return sl_generate_stopped() || w->failed != SL_OK || w->next >= w->end || (duration != 0 && at >= duration);
}

static void send_some(writer *w) {
    const int64_t now = sl_monotonic_us() - w->start_us;
    for (int i = 0; i < SLICE && !w->ended && !w->full; i++) {
        if (over(w, now))
            w->ended = true;
        else if (due_us(w, w->next) > now)
            return; /* The tick comes again. */
        else if (w->length == 0 && next_line(w) != SL_OK)
            w->failed = w->error->status;
        else if (!w->ended && put(w, w->options->rate > 0 ? due_us(w, w->next) : now)) {
            w->next++;
            w->length = 0;
        }
    }
    if (!w->ended && !w->full)
        sl_loop_wake(w->loop);
}

static void on_turn(void *context) {
    writer *w = context;
    if (w->producer == NULL || w->closing)
        return;
    if (!w->ended)
        send_some(w);
    const int64_t now = sl_monotonic_us();
    if (w->ended && w->stop_us == 0 && (sl_generate_stopped() || w->failed != SL_OK))
        w->stop_us = now + STOP_US;
    if (w->ended && (sl_kafka_producer_pending(w->producer) == 0 || (w->stop_us != 0 && now >= w->stop_us))) {
        w->closing = true;
        sl_kafka_producer_close(w->producer, closed, w);
    }
}

static void on_tick(void *context) {
    writer *w = context;
    const int64_t now = sl_monotonic_us();
    if (sl_generate_stopped() || w->failed != SL_OK)
        w->ended = true; /* Also while there is no room. */
    if (now >= w->tick_next_us) {
        if (w->options->progress)
            sl_generate_progress(w->summary, now - w->start_us, w->tick_sent, now - w->tick_us);
        w->tick_us = now;
        w->tick_next_us = now + SL_SECOND_US;
        w->tick_sent = w->summary->sent;
    }
    on_turn(w);
}

/* --- the whole --- */

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value != 0 ? value : NULL;
}

/* Login and TLS are the daemon's variables. */
static void set_options(const writer *w, sl_kafka_options *o, sl_kafka_property *patience, char *text, size_t text_room) {
    const char *tls = variable("SLUICE_KAFKA_TLS");
    const int64_t ms = w->options->retry_for_us / 1000;
    (void)snprintf(text, text_room, "%lld", (long long)(ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : ms));
    *patience = (sl_kafka_property){"message.timeout.ms", text};
    *o = (sl_kafka_options){.brokers = w->brokers,
                            .client = "sluice-generate",
                            .mechanism = variable("SLUICE_KAFKA_SASL_MECHANISM"),
                            .user = variable("SLUICE_KAFKA_SASL_USER"),
                            .password = variable("SLUICE_KAFKA_SASL_PASSWORD"),
                            .ca_file = variable("SLUICE_KAFKA_TLS_CA"),
                            .cert_file = variable("SLUICE_KAFKA_TLS_CERT"),
                            .key_file = variable("SLUICE_KAFKA_TLS_KEY"),
                            .key_password = variable("SLUICE_KAFKA_TLS_KEY_PASSWORD"),
                            .properties = patience,
                            .property_count = 1,
                            .timeout_ms = QUESTION_MS};
    if (tls != NULL && strcmp(tls, "true") == 0)
        o->security = o->user != NULL ? "sasl_ssl" : "ssl";
}

/* Also whether there are brokers: a producer would wait for them. */
static sl_status check_topic(const writer *w, sl_kafka_options options) {
    sl_kafka_reader *reader = NULL;
    uint32_t partitions;
    options.property_count = 0;
    sl_status status = sl_kafka_reader_create(&options, &reader, w->error);
    if (status == SL_OK)
        status = sl_kafka_reader_topic(reader, w->topic, &partitions, w->error);
    sl_kafka_reader_destroy(reader);
    return status;
}

static sl_status open_lines(writer *w) {
    const sl_generate_options *o = w->options;
    w->generator = sl_generate_options_generator(o);
    w->end = o->count > 0 ? o->count : UINT64_MAX;
    w->room = LINE_LEAST;
    if (o->file != NULL && (w->lines = fopen(o->file, "r")) == NULL)
        return sl_error_set(w->error, SL_EIO, "open %s: %s", o->file, strerror(errno));
    if (o->file != NULL) {
        w->room = 0; /* getline() takes its own. */
        return SL_OK;
    }
    w->line = sl_malloc(w->room);
    return w->line != NULL ? SL_OK : sl_error_set(w->error, SL_ENOMEM, "out of memory");
}

static void close_lines(writer *w) {
    if (w->lines == NULL) {
        sl_free(w->line);
        return;
    }
    (void)fclose(w->lines);
    free(w->line);
}

static sl_status run(writer *w) {
    sl_kafka_options options;
    sl_kafka_property patience;
    char text[24];
    const sl_loop_callbacks turns = {.turn = on_turn, .tick = on_tick, .context = w, .tick_ms = TICK_MS};
    const sl_kafka_producer_callbacks words = {.delivered = delivered, .room = room, .error = trouble, .context = w};
    set_options(w, &options, &patience, text, sizeof text);
    sl_status status = check_topic(w, options);
    if (status == SL_OK)
        status = sl_loop_create(&turns, &w->loop, w->error);
    if (status == SL_OK)
        status = sl_kafka_producer_create(sl_loop_uv(w->loop), &options, &words, &w->producer, w->error);
    if (status == SL_OK) {
        w->start_us = w->tick_us = sl_monotonic_us();
        w->tick_next_us = w->start_us + SL_SECOND_US;
        sl_loop_wake(w->loop);
        sl_loop_run(w->loop);
        status = w->failed;
    }
    if (w->loop != NULL)
        sl_loop_destroy(w->loop);
    return status;
}

sl_status sl_generate_to_kafka(const sl_generate_options *options, sl_generate_summary *summary, sl_error *error) {
    writer *w = sl_calloc(1, sizeof *w);
    if (w == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    w->options = options;
    w->summary = summary;
    w->error = error;
    sl_status status = parse(options->to, w->brokers, sizeof w->brokers, w->topic, sizeof w->topic, error);
    if (status == SL_OK)
        status = open_lines(w);
    if (status == SL_OK)
        status = run(w);
    close_lines(w);
    sl_free(w);
    return status;
}
