/* Reading back: partitions by number and offset, without a group's help, on the caller's thread. */
#include "private.h"

#include "sluice/memory.h"

#include <regex.h>
#include <string.h>

enum { A_CALL = 512, SLICE_MS = 250 };

struct sl_kafka_reader {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
    int timeout_ms;
    char *cluster;
    sl_kafka_offset *texts; /* Of the last sl_kafka_reader_committed(). */
    rd_kafka_message_t *batch[A_CALL];
    sl_kafka_message given[A_CALL];
};

sl_status sl_kafka_reader_create(const sl_kafka_options *options, sl_kafka_reader **out, sl_error *error) {
    *out = NULL;
    sl_kafka_reader *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    sl_status status = sl_kafka_client(KAFKA_READER, options, &r->client, error);
    if (status != SL_OK) {
        sl_free(r);
        return status;
    }
    (void)rd_kafka_poll_set_consumer(r->client);
    r->queue = rd_kafka_queue_get_consumer(r->client);
    r->timeout_ms = kafka_timeout(options);
    *out = r;
    return SL_OK;
}

void sl_kafka_reader_destroy(sl_kafka_reader *r) {
    if (r == NULL)
        return;
    if (r->cluster != NULL)
        rd_kafka_mem_free(NULL, r->cluster);
    rd_kafka_queue_destroy(r->queue);
    (void)rd_kafka_assign(r->client, NULL);
    rd_kafka_destroy_flags(r->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    sl_free(r->texts);
    sl_free(r);
}

/* --- questions, in slices, so that a refusal is seen before the time is up --- */

typedef rd_kafka_resp_err_t kafka_question(sl_kafka_reader *r, int ms, void *context);

static bool lasting(rd_kafka_resp_err_t code) {
    sl_status status = sl_kafka_status(code);
    return status != SL_EAGAIN && status != SL_EIO;
}

static sl_status ask(sl_kafka_reader *r, kafka_question *question, void *context, sl_error *error) {
    sl_error refusal;
    bool refused = false;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int ms = 0; ms < r->timeout_ms; ms += SLICE_MS) {
        code = question(r, SLICE_MS, context);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return SL_OK;
        if (lasting(code))
            return sl_kafka_explain(error, code, NULL);
        refused = sl_kafka_refusal(r->queue, &refusal) || refused;
        if (refused && refusal.status == SL_EDENIED)
            break;
    }
    if (refused)
        return sl_error_set(error, refusal.status == SL_EDENIED ? SL_EDENIED : SL_EAGAIN, "%s", refusal.text);
    (void)sl_kafka_explain(error, code, NULL);
    if (error != NULL)
        error->status = SL_EAGAIN;
    return SL_EAGAIN;
}

typedef struct marks_question {
    rd_kafka_topic_partition_list_t *list;
    sl_kafka_marks marks;
} marks_question;

static rd_kafka_resp_err_t ask_marks(sl_kafka_reader *r, int ms, void *context) {
    marks_question *q = context;
    return sl_kafka_ask_marks(r->client, q->list, &q->marks, ms);
}

sl_status sl_kafka_reader_marks(sl_kafka_reader *r, const char *topic, int32_t partition, int64_t *low, int64_t *high, sl_error *error) {
    marks_question q = {.list = rd_kafka_topic_partition_list_new(1)};
    rd_kafka_topic_partition_list_add(q.list, topic, partition);
    sl_status status = ask(r, ask_marks, &q, error);
    rd_kafka_topic_partition_list_destroy(q.list);
    *low = q.marks.low;
    *high = q.marks.high;
    if (status != SL_OK)
        (void)sl_error_context(error, "%s [%d]", topic, (int)partition);
    return status;
}

typedef struct topic_question {
    const char *topic;
    regex_t pattern;
    bool is_pattern;
    uint32_t topics, partitions;
} topic_question;

static rd_kafka_resp_err_t count_topics(const struct rd_kafka_metadata *found, topic_question *q) {
    q->topics = q->partitions = 0;
    for (int i = 0; i < found->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &found->topics[i];
        if (q->is_pattern ? regexec(&q->pattern, topic->topic, 0, NULL, 0) != 0 : strcmp(topic->topic, q->topic) != 0)
            continue;
        if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return topic->err;
        q->topics++;
        q->partitions += (uint32_t)topic->partition_cnt;
    }
    return q->topics > 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static rd_kafka_resp_err_t ask_topic(sl_kafka_reader *r, int ms, void *context) {
    topic_question *q = context;
    const struct rd_kafka_metadata *found;
    rd_kafka_topic_t *handle = q->topic == NULL || q->is_pattern ? NULL : rd_kafka_topic_new(r->client, q->topic, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(r->client, q->is_pattern, handle, &found, ms);
    if (handle != NULL)
        rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    if (q->topic != NULL)
        code = count_topics(found, q);
    rd_kafka_metadata_destroy(found);
    return code;
}

sl_status sl_kafka_reader_topic(sl_kafka_reader *r, const char *topic, uint32_t *partitions, sl_error *error) {
    topic_question q = {.topic = topic, .is_pattern = topic != NULL && topic[0] == '^'};
    if (q.is_pattern && regcomp(&q.pattern, topic, REG_EXTENDED | REG_NOSUB) != 0)
        return sl_error_set(error, SL_EINVAL, "topic pattern %s isn't a POSIX regular expression", topic);
    sl_status status = ask(r, ask_topic, &q, error);
    if (q.is_pattern)
        regfree(&q.pattern);
    if (status != SL_OK && topic != NULL)
        (void)sl_error_context(error, "topic %s", topic);
    *partitions = q.partitions;
    return status;
}

const char *sl_kafka_reader_cluster(sl_kafka_reader *r) {
    if (r->cluster == NULL)
        r->cluster = rd_kafka_clusterid(r->client, r->timeout_ms);
    return r->cluster;
}

/* --- messages --- */

typedef struct reading {
    int64_t to;
    uint32_t count; /* Of those that are the caller's. */
    bool done;
    sl_status status;
} reading;

/* One message of the batch: the end, an error, or one more to give. */
static void look_at(sl_kafka_reader *r, const rd_kafka_message_t *m, reading *range, sl_error *error) {
    if (range->done || range->status != SL_OK)
        return;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        range->done = m->offset >= range->to;
        if (!range->done)
            range->status = sl_error_set(error, SL_ENOTFOUND, "the log ends at %lld", (long long)m->offset);
    } else if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        /* The network's errors mend themselves. */
        if (lasting(m->err))
            range->status = sl_kafka_explain(error, m->err, rd_kafka_message_errstr(m));
    } else if (m->offset >= range->to)
        range->done = true;
    else {
        sl_kafka_message_of(m, &r->given[range->count++]);
        range->done = m->offset + 1 >= range->to;
    }
}

static sl_status read_on(sl_kafka_reader *r, reading *range, sl_kafka_each_fn *each, void *context, sl_error *error) {
    /* A call waits until it has all that it may take: so one message, then what is there. */
    ssize_t count = rd_kafka_consume_batch_queue(r->queue, r->timeout_ms, r->batch, 1);
    if (count <= 0)
        return sl_error_set(error, SL_EAGAIN, "nothing came for %d ms", r->timeout_ms);
    ssize_t more = rd_kafka_consume_batch_queue(r->queue, 0, r->batch + 1, A_CALL - 1);
    count += more > 0 ? more : 0;
    range->count = 0;
    for (ssize_t i = 0; i < count; i++)
        look_at(r, r->batch[i], range, error);
    sl_status status = range->count == 0 ? SL_OK : each(context, r->given, range->count, error);
    for (ssize_t i = 0; i < count; i++)
        rd_kafka_message_destroy(r->batch[i]);
    return status != SL_OK ? status : range->status;
}

sl_status sl_kafka_read(sl_kafka_reader *r, const char *topic, int32_t partition, int64_t from, int64_t to, sl_kafka_each_fn *each,
                        void *context, sl_error *error) {
    int64_t low, high;
    sl_status status = sl_kafka_reader_marks(r, topic, partition, &low, &high, error);
    if (status != SL_OK)
        return status;
    if (from < low || to > high)
        return sl_error_set(error, SL_ENOTFOUND, "Kafka: %s [%d] holds the offsets %lld to %lld, and %lld to %lld are asked for", topic,
                            (int)partition, (long long)low, (long long)high, (long long)from, (long long)to);
    if (from >= to)
        return SL_OK;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = from;
    rd_kafka_resp_err_t code = rd_kafka_assign(r->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    reading range = {.to = to, .status = SL_OK};
    status = code == RD_KAFKA_RESP_ERR_NO_ERROR ? SL_OK : sl_kafka_explain(error, code, NULL);
    while (status == SL_OK && !range.done)
        status = read_on(r, &range, each, context, error);
    (void)rd_kafka_assign(r->client, NULL);
    if (status != SL_OK)
        (void)sl_error_context(error, "Kafka: %s [%d] from %lld", topic, (int)partition, (long long)from);
    return status;
}

sl_status sl_kafka_reader_committed(sl_kafka_reader *r, const char *group, sl_kafka_offset *offsets, uint32_t count, sl_error *error) {
    rd_kafka_queue_t *answers = rd_kafka_queue_new(r->client);
    const kafka_asked asked = {r->client, answers, r->timeout_ms};
    sl_status status = sl_kafka_ask_committed(&asked, &r->texts, group, offsets, count, error);
    rd_kafka_queue_destroy(answers);
    return status;
}
