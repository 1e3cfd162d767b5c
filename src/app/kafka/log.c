/* Requests into a topic: judged, then sent event by event, then answered.
 *
 * What the engine tells is copied: into one buffer per request, from which librdkafka's queue is fed as it has room. So a request is
 * looked at as a whole before any of it is sent, and one that nobody can take leaves nothing behind. */
#include "sluice/kafka_log.h"

#include "private.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { OWN_PROPERTIES = 1, MEMORY_LEAST = 4 << 20, MEMORY_MOST = 64 << 20, MESSAGE_BESIDE = 512, MESSAGE_USUAL = 1000000 };
#define TIMEOUT_MS "15000"               /* Of a message, from its sending on. */
#define WAIT_US (15 * SL_SECOND_US)      /* Of a request, for its first message to be sent. */
#define FAILING_US (5 * SL_SECOND_US)    /* How long a failure makes the daemon not ready. */
#define AGAIN_US SL_SECOND_US            /* Until a successor of a producer that died. */
#define LEAVE_US (2 * SL_SECOND_US)      /* For what is on its way at a stop. */

typedef struct request {
    struct request *next;        /* Waits to be sent. */
    sl_kafka_log *of;
    sl_intake_done_fn *done;
    void *token;
    int64_t came_us, since_us;
    sl_buffer messages;          /* head, key, value; one after the other. */
    size_t at;                   /* What of it is sent. */
    uint64_t open;               /* Sent, and not heard of. */
    size_t counted;              /* Of its memory, in the budget. */
    bool waits;                  /* In the list. */
    sl_error failure;            /* The first one; SL_OK: none. */
    sl_intake_reply reply;
    sl_intake_error *errors;     /* Their texts lie in `texts`. */
    sl_buffer texts;
    size_t stream_length, key_length;
    const char *stream, *source, *key; /* Behind it. */
    char text[];
} request;

/* One message of the buffer. */
typedef struct head {
    uint32_t length, key_length; /* Key of the message: what tells its partition. */
    uint32_t message, index;
    int64_t arrival_us;
    sl_format format;
    bool idempotent;             /* Its key is the request's. */
} head;

struct sl_kafka_log {
    sl_intake intake; /* First: submit() is given this. */
    sl_kafka_log_host host;
    sl_kafka_options options;
    sl_arena texts; /* Of `options`. */
    const char *topic;
    uint64_t memory, waiting_most, message_most;
    sl_kafka_producer *producer;
    request *first, **last; /* Wait to be sent, wholly or in part. */
    uint64_t waiting_bytes;
    uint64_t requests;      /* Not answered. */
    bool dead, stopping, leaving;
    int64_t failed_us, again_us, leave_by_us;
    sl_metric *acknowledged, *failed, *bytes, *pending, *latency_sum, *answered, *refused;
};

static int64_t now_us(const sl_kafka_log *log) { return log->host.clock->monotonic_us(log->host.clock->context); }

/* --- answers --- */

static void forget(request *r) {
    sl_kafka_log *log = r->of;
    sl_budget_give(log->host.budget, r->counted);
    log->requests--;
    sl_buffer_fini(&r->messages);
    sl_buffer_fini(&r->texts);
    sl_free(r->errors);
    sl_free(r);
}

static void refuse(request *r, const sl_intake_reply *reply) {
    sl_metric_add(r->of->refused, 1);
    r->done(r->token, reply);
    forget(r);
}

static void answer_failure(request *r) {
    char text[700];
    const bool large = r->failure.status == SL_ELIMIT;
    (void)snprintf(text, sizeof text,
                   large ? "an event is larger than the topic %s takes (its max.message.bytes): %.400s"
                         : "topic %s: %.400s; some of the events may be there: send them again under an Idempotency-Key",
                   r->of->topic, r->failure.text);
    const sl_intake_reply reply = {.status = large ? 413 : 503, .retry_after_s = 5, .message = text};
    refuse(r, &reply);
}

/* When all of it was sent and heard of. */
static void settle(request *r) {
    sl_kafka_log *log = r->of;
    if (r->waits || r->open != 0)
        return;
    if (r->failure.status != SL_OK) {
        answer_failure(r);
        return;
    }
    sl_metric_add(log->answered, 1);
    sl_metric_add(log->latency_sum, now_us(log) - r->came_us);
    r->done(r->token, &r->reply);
    forget(r);
}

/* --- sending --- */

static sl_status send_one(sl_kafka_log *log, request *r, sl_error *error) {
    head h;
    const uint8_t *at = r->messages.bytes + r->at;
    memcpy(&h, at, sizeof h);
    const uint8_t *key = at + sizeof h, *value = key + h.key_length;
    address a = {.stream = r->stream, .stream_length = r->stream_length, .source = r->source, .format = h.format};
    char text[32 + 256];
    if (h.format.kind == SL_FORMAT_CSV)
        address_csv(&a);
    if (r->key_length != 0) {
        const int n = snprintf(text, 32, "%" PRIu32 ".%" PRIu32 "/", h.message, h.index);
        memcpy(text + n, r->key, r->key_length);
        a.key = text;
        a.key_length = (size_t)n + r->key_length;
    }
    sl_kafka_field fields[ADDRESS_FIELDS];
    const sl_kafka_record record = {.topic = log->topic,
                                    .partition = -1,
                                    .key = h.idempotent ? r->key : h.key_length != 0 ? (const void *)key : NULL,
                                    .key_length = h.idempotent ? r->key_length : h.key_length,
                                    .value = value,
                                    .value_length = h.length,
                                    .time_us = h.arrival_us,
                                    .headers = fields,
                                    .header_count = address_fields(&a, fields),
                                    .token = r};
    sl_status status = sl_kafka_produce(log->producer, &record, error);
    if (status != SL_OK)
        return status;
    r->at += sizeof h + h.key_length + h.length;
    r->open++;
    sl_metric_add(log->bytes, h.length);
    return SL_OK;
}

/* @return false: librdkafka's queue is full. */
static bool send_request(sl_kafka_log *log, request *r) {
    while (r->at < r->messages.length && r->failure.status == SL_OK) {
        sl_error error = {0};
        sl_status status = send_one(log, r, &error);
        if (status == SL_EFULL)
            return false;
        if (status != SL_OK)
            r->failure = error;
    }
    return true;
}

static void unlist(sl_kafka_log *log, request *r) {
    log->first = r->next;
    if (log->first == NULL)
        log->last = &log->first;
    log->waiting_bytes -= r->messages.length;
    r->waits = false;
    /* librdkafka has its own copy. */
    sl_budget_give(log->host.budget, r->messages.capacity);
    r->counted -= r->messages.capacity;
    sl_buffer_fini(&r->messages);
}

static void pump(sl_kafka_log *log) {
    while (log->first != NULL && log->producer != NULL && !log->dead) {
        request *r = log->first;
        if (!send_request(log, r))
            break;
        unlist(log, r);
        settle(r);
    }
    if (log->producer != NULL)
        sl_metric_set(log->pending, (int64_t)sl_kafka_producer_pending(log->producer));
}

static void on_delivered(void *context, void *token, sl_status status, int32_t where, int64_t offset, const sl_error *error) {
    sl_kafka_log *log = context;
    request *r = token;
    (void)where;
    (void)offset;
    r->open--;
    sl_metric_add(status == SL_OK ? log->acknowledged : log->failed, 1);
    if (status == SL_OK)
        log->failed_us = 0;
    else if (status != SL_ELIMIT)
        log->failed_us = now_us(log);
    if (status != SL_OK && r->failure.status == SL_OK)
        r->failure = *error;
    settle(r);
    sl_metric_set(log->pending, (int64_t)sl_kafka_producer_pending(log->producer));
}

static void on_room(void *context) { pump(context); }

static void on_error(void *context, const sl_error *error, bool fatal) {
    sl_kafka_log *log = context;
    sl_message(fatal ? SL_LEVEL_ERROR : SL_LEVEL_WARN, "kafka", fatal ? "the log's producer begins anew" : "trouble", "log=%s error=\"%s\"",
               log->topic, error->text);
    if (fatal)
        log->failed_us = now_us(log);
    log->dead = log->dead || fatal;
}

/* --- from the engine --- */

typedef struct encoding {
    request *request;
    bool large, full;
} encoding;

static bool encode(void *context, const sl_intake_piece *p) {
    encoding *e = context;
    request *r = e->request;
    const bool idempotent = p->id == NULL && r->key_length != 0;
    const head h = {.length = p->length + p->rest,
                    .key_length = p->id != NULL ? p->id_length : 0,
                    .message = p->message,
                    .index = p->index,
                    .arrival_us = p->arrival_us,
                    .format = p->format,
                    .idempotent = idempotent};
    /* What librdkafka compares, and what brokers compare beyond it. */
    if ((uint64_t)h.length + (idempotent ? r->key_length : h.key_length) > r->of->message_most) {
        e->large = true;
        return false;
    }
    sl_buffer_append(&r->messages, &h, sizeof h);
    sl_buffer_append(&r->messages, p->id, h.key_length);
    if (p->rest)
        sl_buffer_byte(&r->messages, '[');
    sl_buffer_append(&r->messages, p->bytes, p->length);
    const size_t more = r->messages.capacity + sizeof *r - r->counted;
    if (!r->messages.failed && r->messages.capacity + sizeof *r > r->counted) {
        e->full = sl_budget_take(r->of->host.budget, more) != SL_OK;
        r->counted += e->full ? 0 : more;
    }
    return !r->messages.failed && !e->full;
}

/* The reply is the engine's only for the call. @return false: no memory. */
static bool keep_reply(request *r, const sl_intake_reply *reply) {
    r->reply = *reply;
    r->reply.judged = NULL;
    r->reply.errors = NULL;
    if (reply->error_count == 0)
        return true;
    r->errors = sl_calloc(reply->error_count, sizeof *r->errors);
    for (uint32_t i = 0; i < reply->error_count; i++) {
        sl_buffer_append(&r->texts, reply->errors[i].message, strlen(reply->errors[i].message) + 1);
        sl_buffer_append(&r->texts, reply->errors[i].path, strlen(reply->errors[i].path) + 1);
    }
    if (r->errors == NULL || r->texts.failed)
        return false;
    const char *at = (const char *)r->texts.bytes;
    for (uint32_t i = 0; i < reply->error_count; i++) {
        r->errors[i] = reply->errors[i];
        r->errors[i].message = at;
        r->errors[i].path = at += strlen(at) + 1;
        at += strlen(at) + 1;
    }
    r->reply.errors = r->errors;
    return true;
}

static void on_judged(void *token, const sl_intake_reply *reply) {
    request *r = token;
    sl_kafka_log *log = r->of;
    encoding e = {.request = r};
    if (reply->status != 200 && reply->status != 400) {
        refuse(r, reply);
        return;
    }
    const bool told = reply->judged->each(reply->judged, encode, &e) && keep_reply(r, reply);
    if (!told) {
        char text[160];
        (void)snprintf(text, sizeof text, "an event is larger than the log takes: message.max.bytes is %" PRIu64, log->message_most);
        const sl_intake_reply large = {.status = 413, .message = text},
                              busy = {.status = e.full ? 429 : 503, .retry_after_s = 1, .message = "busy at present; send it again"};
        refuse(r, e.large ? &large : &busy);
        return;
    }
    r->since_us = now_us(log);
    r->waits = true;
    *log->last = r;
    log->last = &r->next;
    log->waiting_bytes += r->messages.length;
    if (log->first == r)
        pump(log);
}

static sl_status submit(sl_intake *intake, const sl_intake_request *asked) {
    sl_kafka_log *log = (sl_kafka_log *)(void *)intake;
    const size_t length = strlen(asked->source), bytes = sizeof(request) + asked->stream_length + length + asked->key_length + 3;
    if (log->stopping || log->producer == NULL || log->dead)
        return SL_EIO;
    if (log->waiting_bytes > log->waiting_most || sl_budget_take(log->host.budget, sizeof(request)) != SL_OK)
        return SL_EFULL;
    request *r = sl_calloc(1, bytes);
    if (r == NULL) {
        sl_budget_give(log->host.budget, sizeof(request));
        return SL_ENOMEM;
    }
    *r = (request){.of = log,
                   .done = asked->done,
                   .token = asked->token,
                   .came_us = now_us(log),
                   .counted = sizeof(request),
                   .stream_length = asked->stream_length,
                   .key_length = asked->key_length,
                   .stream = r->text,
                   .source = r->text + asked->stream_length + 1,
                   .key = r->text + asked->stream_length + length + 2};
    memcpy(r->text, asked->stream, asked->stream_length);
    memcpy(r->text + asked->stream_length + 1, asked->source, length);
    if (asked->key_length != 0)
        memcpy(r->text + asked->stream_length + length + 2, asked->key, asked->key_length);
    log->requests++;
    sl_intake_request judged = *asked;
    judged.judge_only = true;
    judged.done = on_judged;
    judged.token = r;
    sl_status status = log->host.judge->submit(log->host.judge, &judged);
    if (status != SL_OK)
        forget(r);
    return status;
}

/* --- life --- */

static sl_status make_producer(sl_kafka_log *log, sl_error *error) {
    const sl_kafka_producer_callbacks callbacks = {.delivered = on_delivered, .room = on_room, .error = on_error, .context = log};
    log->dead = false;
    return sl_kafka_producer_create(log->host.loop, &log->options, &callbacks, &log->producer, error);
}

static void on_closed(void *context) {
    sl_kafka_log *log = context;
    log->producer = NULL;
    log->again_us = now_us(log) + AGAIN_US;
}

static void refuse_first(sl_kafka_log *log, const char *why) {
    request *r = log->first;
    if (r->failure.status == SL_OK)
        (void)sl_error_set(&r->failure, SL_EAGAIN, "%s", why);
    unlist(log, r);
    settle(r);
}

void sl_kafka_log_turn(sl_kafka_log *log) {
    if (log == NULL || log->stopping)
        return;
    pump(log);
    while (log->first != NULL && (log->producer == NULL || log->dead || now_us(log) - log->first->since_us > WAIT_US))
        refuse_first(log, "the brokers take nothing at present");
    if (log->dead && log->producer != NULL && !log->leaving) {
        log->leaving = true;
        sl_kafka_producer_close(log->producer, on_closed, log);
    }
    if (log->producer != NULL || now_us(log) < log->again_us)
        return;
    sl_error error = {0};
    log->leaving = false;
    log->again_us = now_us(log) + AGAIN_US;
    if (make_producer(log, &error) != SL_OK) {
        log->producer = NULL;
        sl_message(SL_LEVEL_ERROR, "kafka", "no producer, tried again soon", "log=%s error=\"%s\"", log->topic, error.text);
    }
}

bool sl_kafka_log_ready(const sl_kafka_log *log) {
    return log == NULL || (log->producer != NULL && !log->dead && (log->failed_us == 0 || now_us(log) - log->failed_us > FAILING_US));
}

sl_intake *sl_kafka_log_intake(sl_kafka_log *log) { return &log->intake; }

void sl_kafka_log_stop(sl_kafka_log *log, bool judged) {
    if (log == NULL)
        return;
    log->stopping = true;
    pump(log);
    if (!judged || log->producer == NULL || log->leaving)
        return;
    log->leave_by_us = log->leave_by_us != 0 ? log->leave_by_us : now_us(log) + LEAVE_US;
    if (log->requests != 0 && now_us(log) < log->leave_by_us)
        return;
    while (log->first != NULL)
        refuse_first(log, "the daemon stops");
    log->leaving = true;
    sl_kafka_producer_close(log->producer, on_closed, log); /* What is on its way is reported as failed. */
}

bool sl_kafka_log_stopped(const sl_kafka_log *log) { return log == NULL || (log->stopping && log->producer == NULL); }

void sl_kafka_log_destroy(sl_kafka_log *log) {
    if (log == NULL)
        return;
    sl_budget_give(log->host.budget, log->memory);
    sl_arena_fini(&log->texts);
    sl_free(log);
}

static void metrics(sl_kafka_log *log) {
    static const char help[] = "Messages that the topic of ingest.log took, or didn't.";
    sl_metrics *m = log->host.metrics;
    log->acknowledged = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_ingest_log_messages_total", help, "result=\"acknowledged\"");
    log->failed = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_ingest_log_messages_total", help, "result=\"failed\"");
    log->bytes = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_ingest_log_bytes_total", "Bytes of their values, as sent.", "");
    log->pending = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_ingest_log_pending", "Messages that the brokers haven't acknowledged yet.", "");
    log->answered = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_ingest_log_requests_total", "Requests by what was answered.", "result=\"taken\"");
    log->refused = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_ingest_log_requests_total", "Requests by what was answered.", "result=\"refused\"");
    log->latency_sum = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_ingest_log_request_seconds",
                                      "Time that taken requests took from their coming to their reply, added up.", "");
}

/* message.max.bytes, where a person has said another. */
static uint64_t largest(const sl_kafka_options *o) {
    uint64_t most = MESSAGE_USUAL;
    for (uint32_t i = 0; i < o->property_count; i++)
        if (strcmp(o->properties[i].name, "message.max.bytes") == 0)
            most = strtoull(o->properties[i].value, NULL, 10);
    return most;
}

static const char *keep(sl_kafka_log *log, const char *text, bool *good) {
    const char *kept = text != NULL ? sl_arena_strndup(&log->texts, text, strlen(text)) : NULL;
    *good = *good && (text == NULL || kept != NULL);
    return kept;
}

/* A producer is made again when its predecessor died, whatever has become of the configuration. What a person says goes before. */
static bool copy_options(sl_kafka_log *log, const sl_kafka_options *from) {
    bool good = true;
    const char **texts[] = {&log->options.brokers,   &log->options.client,  &log->options.group,    &log->options.security,
                            &log->options.mechanism, &log->options.user,    &log->options.password, &log->options.ca_file,
                            &log->options.cert_file, &log->options.key_file, &log->options.key_password};
    log->options = *from;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = keep(log, *texts[i], &good);
    log->topic = keep(log, from->topics[0], &good);
    sl_kafka_property *properties = sl_arena_get(&log->texts, (from->property_count + OWN_PROPERTIES) * sizeof *properties);
    if (properties == NULL)
        return false;
    properties[0] = (sl_kafka_property){"message.timeout.ms", TIMEOUT_MS};
    for (uint32_t i = 0; i < from->property_count; i++)
        properties[i + OWN_PROPERTIES] =
            (sl_kafka_property){keep(log, from->properties[i].name, &good), keep(log, from->properties[i].value, &good)};
    log->options.topics = NULL;
    log->options.topic_count = 0;
    log->options.properties = properties;
    log->options.property_count += OWN_PROPERTIES;
    log->options.memory_bytes = log->memory;
    return good;
}

sl_status sl_kafka_log_create(const sl_config *c, const sl_kafka_log_host *host, sl_kafka_log **out, sl_error *error) {
    *out = NULL;
    if (c->ingest.kafka == NULL)
        return SL_OK;
    sl_kafka_log *log = sl_calloc(1, sizeof *log);
    if (log == NULL)
        return sl_error_set(error, SL_ENOMEM, "ingest.log: out of memory");
    const uint64_t share = c->memory / 8;
    log->intake.submit = submit;
    log->host = *host;
    log->last = &log->first;
    sl_arena_init(&log->texts, 1024);
    log->memory = share < MEMORY_LEAST ? MEMORY_LEAST : share > MEMORY_MOST ? MEMORY_MOST : share;
    sl_budget_force(host->budget, log->memory);
    log->waiting_most = share;
    log->message_most = largest(&c->ingest.kafka->options);
    metrics(log);
    sl_status status = copy_options(log, &c->ingest.kafka->options) ? make_producer(log, error) : sl_error_set(error, SL_ENOMEM, "out of memory");
    if (status != SL_OK) {
        sl_kafka_log_destroy(log);
        return sl_error_context(error, "ingest.log");
    }
    *out = log;
    return SL_OK;
}
