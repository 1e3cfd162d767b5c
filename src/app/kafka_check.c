#include "kafka_check.h"

#include "sluice/kafka.h"
#include "sluice/memory.h"

#include <errno.h>
#include <stdio.h>

enum { QUESTION_MS = 5000 };

typedef struct check {
    const sl_config_kafka *kafka;
    const char *file;
    sl_buffer *problems;
    bool log; /* Of requests, not a source. */
} check;

static void problem(const check *c, const char *text) {
    if (c->problems->length != 0)
        sl_buffer_byte(c->problems, '\n');
    if (c->file != NULL && c->kafka->line != 0)
        sl_buffer_printf(c->problems, "%s:%u: ", c->file, c->kafka->line);
    if (c->log)
        sl_buffer_printf(c->problems, "ingest.log: %s", text);
    else if (c->kafka->name != NULL)
        sl_buffer_printf(c->problems, "source %s: %s", c->kafka->name, text);
    else
        sl_buffer_printf(c->problems, "kafka: %s", text);
}

/* librdkafka's words for a file that isn't there are OpenSSL's. */
static bool check_files(const check *c) {
    const sl_kafka_options *o = &c->kafka->options;
    const char *const files[][2] = {{"ca", o->ca_file}, {"cert", o->cert_file}, {"key", o->key_file}};
    bool good = true;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *f = files[i][1] != NULL ? fopen(files[i][1], "rb") : NULL;
        sl_error error;
        if (files[i][1] != NULL && f == NULL) {
            (void)sl_error_set(&error, SL_ENOTFOUND, "tls.%s: cannot read '%.200s': %s", files[i][0], files[i][1], strerror(errno));
            problem(c, error.text);
            good = false;
        }
        if (f != NULL)
            (void)fclose(f);
    }
    return good;
}

/* Brokers drop who speaks another protocol than their listener, without a word. */
static const char *spoken(const char *security) {
    return strcmp(security, "plaintext") == 0        ? "by PLAINTEXT, as neither `tls` nor `sasl` is set"
           : strcmp(security, "ssl") == 0            ? "by SSL, as `tls` is set and `sasl` isn't"
           : strcmp(security, "sasl_plaintext") == 0 ? "by SASL_PLAINTEXT, as `sasl` is set and `tls` isn't"
                                                     : "by SASL_SSL, as `tls` and `sasl` are set";
}

static sl_status check_topic(const check *c, sl_kafka_reader *reader, const char *topic) {
    sl_error error = {0};
    uint32_t partitions;
    sl_status status = sl_kafka_reader_topic(reader, topic, &partitions, &error);
    if (status == SL_ENOTFOUND && topic[0] == '^')
        return SL_OK; /* What a pattern finds may come later. */
    if (status == SL_ENOTFOUND && c->log)
        (void)sl_error_set(&error, status,
                           "topic %.249s: it isn't there. Make it, with as many partitions as daemons will ever share it, and a retention that "
                           "outlasts any outage: kafka-topics.sh --bootstrap-server %.200s --create --topic %.249s --partitions 12 "
                           "--replication-factor 3 --config min.insync.replicas=2 --config retention.ms=604800000",
                           topic, c->kafka->options.brokers, topic);
    if (status != SL_OK)
        problem(c, error.text);
    return status;
}

static void ask(const check *c, const sl_kafka_options *options) {
    sl_kafka_reader *reader;
    sl_error error = {0};
    uint32_t partitions;
    sl_status status = sl_kafka_reader_create(options, &reader, &error);
    if (status == SL_OK)
        status = sl_kafka_reader_topic(reader, NULL, &partitions, &error);
    if (status != SL_OK) {
        (void)sl_error_context(&error, "asked %s", spoken(options->security));
        problem(c, error.text);
    }
    /* What one topic lacks says nothing of the others; brokers that don't answer are asked no more. */
    bool answered = status == SL_OK;
    for (uint32_t i = 0; i < options->topic_count && answered; i++) {
        status = check_topic(c, reader, options->topics[i]);
        answered = status == SL_OK || status == SL_ENOTFOUND || status == SL_EDENIED;
    }
    sl_kafka_reader_destroy(reader);
}

static void check_source(const check *c, sl_config_warn_fn *warn, void *context) {
    sl_kafka_options options = c->kafka->options;
    options.timeout_ms = QUESTION_MS;
    sl_error text;
    if (sl_kafka_warning(&options, &text)) {
        (void)(c->log                   ? sl_error_context(&text, "ingest.log")
               : c->kafka->name != NULL ? sl_error_context(&text, "source %s", c->kafka->name)
                                        : sl_error_context(&text, "kafka"));
        warn(context, text.text);
    }
    if (check_files(c))
        ask(c, &options);
}

/* Sources that have their connection from there are asked for its sake, too. */
static bool is_taken_over(const sl_config *config, const sl_config_kafka *section) {
    const sl_config_kafka *log = config->ingest.kafka;
    bool taken = log != NULL && strcmp(log->options.brokers, section->options.brokers) == 0;
    for (uint32_t i = 0; i < config->kafka_count; i++)
        taken = taken || strcmp(config->kafkas[i].options.brokers, section->options.brokers) == 0;
    return taken;
}

/* With the topics that streams and windows are written to. */
static void check_section(const sl_config *config, const char *file, sl_config_warn_fn *warn, void *context, sl_buffer *problems) {
    const char **topics = sl_calloc(2 * (size_t)config->stream_count + config->window_count + 1, sizeof *topics);
    sl_config_kafka section = config->kafka;
    problems->failed |= topics == NULL;
    for (uint32_t i = 0; topics != NULL && i < 2 * config->stream_count; i++) {
        const sl_config_stream *s = &config->streams[i / 2];
        const char *to = i % 2 == 0 ? s->topic.to : s->dead_letters.to;
        if (to != NULL)
            topics[section.options.topic_count++] = to;
    }
    for (uint32_t i = 0; topics != NULL && i < config->window_count; i++)
        if (config->windows[i].topic.to != NULL)
            topics[section.options.topic_count++] = config->windows[i].topic.to;
    section.options.topics = topics;
    if (section.options.topic_count != 0 || !is_taken_over(config, &section))
        check_source(&(check){.kafka = &section, .file = file, .problems = problems}, warn, context);
    sl_free(topics);
}

bool sl_kafka_check(const sl_config *config, const char *file, sl_config_warn_fn *warn, void *context, sl_buffer *problems) {
    if (config->kafka.options.brokers != NULL)
        check_section(config, file, warn, context, problems);
    if (config->ingest.kafka != NULL)
        check_source(&(check){config->ingest.kafka, file, problems, true}, warn, context);
    for (uint32_t i = 0; i < config->kafka_count; i++)
        check_source(&(check){.kafka = &config->kafkas[i], .file = file, .problems = problems}, warn, context);
    return problems->length == 0 && !problems->failed;
}
