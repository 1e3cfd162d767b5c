/* A consumer of a group.
 *
 * librdkafka puts messages, rebalances and errors into one queue, in which a rebalance waits behind messages that nobody
 * takes. So the partitions' messages are forwarded to a queue of their own (`data`), whose size librdkafka measures
 * for all of them together, and an owner who is full simply leaves it alone; `control` is always served.
 *
 * A seek and a change of the assignment make librdkafka drop what it has queued of before. What has been taken from the
 * queue already, but not by the owner, is told by the number of its batch: `stale`. */
#include "consumer_private.h"

#include "sluice/memory.h"

#include <string.h>

enum { CALLS_A_TURN = 4, POLL_MS = 1000, LAST_MS = 50,
       LEAVE_MS = 5000 /* Without the brokers nobody can leave a group; librdkafka would wait for them. */ };

part *sl_kafka_part(const sl_kafka_consumer *c, const char *topic, int32_t partition) {
    if (c->last != NULL && c->last->partition == partition && strcmp(c->last->topic, topic) == 0)
        return c->last;
    for (uint32_t from = 0, to = c->part_count; from < to;) {
        uint32_t middle = from + (to - from) / 2;
        part *p = c->parts[middle];
        int order = strcmp(topic, p->topic);
        if (order == 0)
            order = (partition > p->partition) - (partition < p->partition);
        if (order == 0)
            return p;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

/* --- errors --- */

void sl_kafka_consumer_tell(sl_kafka_consumer *c, const sl_kafka_place *place, rd_kafka_resp_err_t code, const char *text) {
    char words[512];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(c->client, words, sizeof words);
    if (code == RD_KAFKA_RESP_ERR__FATAL && fatal != RD_KAFKA_RESP_ERR_NO_ERROR)
        text = words;
    sl_error error;
    sl_status status = sl_kafka_explain(&error, code, text);
    /* The network's are told by every broker's thread, again and again: once until something works. */
    if (place == NULL && (status == SL_EIO || status == SL_EDENIED || status == SL_EAGAIN)) {
        if ((c->told & 1u << status) != 0)
            return;
        c->told |= 1u << status;
    }
    c->callbacks.error(c->callbacks.context, place, &error, fatal != RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void on_error_event(sl_kafka_consumer *c, rd_kafka_event_t *event) {
    rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(event);
    sl_kafka_place place = {at != NULL ? at->topic : "", at != NULL ? at->partition : -1};
    sl_kafka_consumer_tell(c, at != NULL ? &place : NULL, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
    if (at != NULL)
        rd_kafka_topic_partition_destroy(at);
}

/* An error of the partition, among its messages: it is told in its place. */
static void tell_message(sl_kafka_consumer *c, const rd_kafka_message_t *m) {
    if (m->rkt == NULL) {
        sl_kafka_consumer_tell(c, NULL, m->err, rd_kafka_message_errstr(m));
        return;
    }
    sl_kafka_place place = {rd_kafka_topic_name(m->rkt), m->partition};
    const part *p = sl_kafka_part(c, place.topic, place.partition);
    if (p == NULL || p->stale < c->number)
        sl_kafka_consumer_tell(c, &place, m->err, rd_kafka_message_errstr(m));
}

/* --- messages --- */

static void drop(sl_kafka_consumer *c, uint32_t to) {
    for (; c->at < to; c->at++)
        rd_kafka_message_destroy(c->batch[c->at]);
}

static part *part_of(sl_kafka_consumer *c, const rd_kafka_message_t *m) {
    part *p = sl_kafka_part(c, rd_kafka_topic_name(m->rkt), m->partition);
    if (p != NULL)
        c->last = p;
    return p == NULL || p->state != PART_RUNS || p->stale >= c->number ? NULL : p;
}

/* From c->at: messages of one partition, without an error. */
static uint32_t run_length(const sl_kafka_consumer *c) {
    const rd_kafka_message_t *first = c->batch[c->at];
    uint32_t end = c->at + 1;
    while (end < c->count && c->batch[end]->rkt == first->rkt && c->batch[end]->partition == first->partition &&
           c->batch[end]->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        end++;
    return end - c->at;
}

/* The next run of the batch. */
static void give(sl_kafka_consumer *c) {
    const rd_kafka_message_t *first = c->batch[c->at];
    if (first->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        tell_message(c, first);
        drop(c, c->at + 1);
        return;
    }
    uint32_t length = run_length(c);
    part *p = part_of(c, first);
    if (p == NULL) {
        drop(c, c->at + length);
        return;
    }
    for (uint32_t i = 0; i < length; i++)
        sl_kafka_message_of(c->batch[c->at + i], &c->given[i]);
    c->told = 0;
    uint32_t taken = c->callbacks.messages(c->callbacks.context, p->tag, c->given, length);
    if (taken > length)
        taken = length;
    /* Nothing takes partitions away during a callback; a seek may have moved this one. */
    if (p->stale >= c->number)
        taken = length;
    else if (taken > 0)
        p->offset = c->given[taken - 1].offset + 1;
    c->held = c->held || taken < length;
    drop(c, c->at + taken);
}

static void take_messages(sl_kafka_consumer *c) {
    for (int calls = 0; !c->held && !c->ending; calls++) {
        while (c->at < c->count && !c->held && !c->ending)
            give(c);
        if (c->at < c->count)
            return;
        if (calls == CALLS_A_TURN) { /* Others want the loop as well. */
            sl_kafka_wake_again(c->wake);
            return;
        }
        ssize_t count = rd_kafka_consume_batch_queue(c->data, 0, c->batch, MESSAGES_A_CALL);
        c->at = 0;
        c->count = count > 0 ? (uint32_t)count : 0;
        c->number++;
        if (c->count == 0)
            return;
    }
}

/* --- a turn --- */

static void finish(sl_kafka_consumer *c);

static void serve(sl_kafka_consumer *c, rd_kafka_event_t *event) {
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_REBALANCE:
        sl_kafka_rebalance(c, event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        on_error_event(c, event);
        break;
    case RD_KAFKA_EVENT_STATS:
        sl_kafka_statistics(c, rd_kafka_event_stats(event));
        break;
    default:
        (void)sl_kafka_answer(c, event);
    }
    rd_kafka_event_destroy(event);
}

static void on_turn(void *context) {
    sl_kafka_consumer *c = context;
    if (c->ended)
        return;
    sl_kafka_group_turn(c);
    for (rd_kafka_event_t *event; (event = rd_kafka_queue_poll(c->closing != NULL ? c->closing : c->control, 0)) != NULL;)
        serve(c, event);
    sl_kafka_group_turn(c);
    sl_kafka_questions_turn(c);
    take_messages(c);
    if (c->ending && (c->closing == NULL || rd_kafka_consumer_closed(c->client) || uv_now(c->loop) >= c->leave_by_ms))
        finish(c);
}

static void on_timer(uv_timer_t *timer) { on_turn(timer->data); }

/* --- life --- */

static void release(sl_kafka_consumer *c) {
    sl_kafka_parts_fini(c);
    sl_free(c->group);
    if (c->cluster != NULL)
        rd_kafka_mem_free(NULL, c->cluster);
    sl_free(c);
}

static void on_timer_closed(uv_handle_t *handle) {
    sl_kafka_consumer *c = handle->data;
    void (*closed)(void *) = c->closed;
    void *context = c->closed_context;
    release(c);
    if (closed != NULL)
        closed(context);
}

static void on_gone(void *context, bool abandoned) {
    sl_kafka_consumer *c = context;
    sl_kafka_wake_destroy(c->wake, abandoned);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

/* Until no thread works on a question; out of memory: once more in a while. */
static void on_last_timer(uv_timer_t *timer) {
    sl_kafka_consumer *c = timer->data;
    rd_kafka_queue_t *const queues[] = {c->data, c->control, c->closing};
    if (sl_kafka_questions_end(c) == 0 && sl_kafka_dispose(c->loop, c->client, queues, 3, on_gone, c) == SL_OK)
        (void)uv_timer_stop(timer);
}

static void finish(sl_kafka_consumer *c) {
    c->ended = true;
    drop(c, c->count);
    (void)uv_timer_start(&c->timer, on_last_timer, 0, LAST_MS);
}

static sl_status subscribe(sl_kafka_consumer *c, const sl_kafka_options *options, sl_error *error) {
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new((int)options->topic_count);
    for (uint32_t i = 0; i < options->topic_count; i++)
        (void)rd_kafka_topic_partition_list_add(topics, options->topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(c->client, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return SL_OK;
    return sl_error_set(error, SL_EINVAL, "Kafka: can't subscribe: %s (a pattern begins with '^' and is a POSIX regular expression)",
                        rd_kafka_err2str(code));
}

static sl_status open_client(sl_kafka_consumer *c, const sl_kafka_options *options, sl_error *error) {
    sl_status status = sl_kafka_client(KAFKA_CONSUMER, options, &c->client, error);
    if (status != SL_OK)
        return status;
    (void)rd_kafka_poll_set_consumer(c->client);
    c->control = rd_kafka_queue_get_consumer(c->client);
    c->data = rd_kafka_queue_new(c->client);
    sl_kafka_wake_watch(c->wake, c->control);
    sl_kafka_wake_watch(c->wake, c->data);
    return subscribe(c, options, error);
}

sl_status sl_kafka_consumer_create(uv_loop_t *loop, const sl_kafka_options *options, const sl_kafka_consumer_callbacks *callbacks,
                                   sl_kafka_consumer **out, sl_error *error) {
    *out = NULL;
    if (options->group == NULL || options->group[0] == 0 || options->topic_count == 0)
        return sl_error_set(error, SL_EINVAL, "Kafka: a group and at least one topic are needed");
    sl_kafka_consumer *c = sl_calloc(1, sizeof *c);
    if (c == NULL || (c->group = sl_strdup(options->group)) == NULL) {
        sl_free(c);
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    }
    c->loop = loop;
    c->callbacks = *callbacks;
    c->timeout_ms = kafka_timeout(options);
    c->round_trip_us = c->queued_bytes = -1;
    sl_status status = sl_kafka_wake_create(loop, on_turn, c, &c->wake, error);
    if (status == SL_OK)
        status = open_client(c, options, error);
    if (status != SL_OK) {
        if (c->client != NULL) { /* Nothing has connected yet: that is quick. */
            rd_kafka_queue_destroy(c->data);
            rd_kafka_queue_destroy(c->control);
            rd_kafka_destroy(c->client);
        }
        sl_kafka_wake_destroy(c->wake, false);
        release(c);
        return status;
    }
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    (void)uv_timer_start(&c->timer, on_timer, POLL_MS, POLL_MS);
    *out = c;
    return SL_OK;
}

void sl_kafka_consumer_close(sl_kafka_consumer *c, void (*closed)(void *context), void *context) {
    c->closed = closed;
    c->closed_context = context;
    c->ending = true;
    uv_update_time(c->loop);
    c->leave_by_ms = uv_now(c->loop) + LEAVE_MS;
    c->closing = rd_kafka_queue_new(c->client);
    sl_kafka_wake_watch(c->wake, c->closing);
    rd_kafka_error_t *failure = rd_kafka_consumer_close_queue(c->client, c->closing);
    if (failure != NULL) { /* A fatal error was first: there is no group to leave. */
        rd_kafka_error_destroy(failure);
        rd_kafka_queue_destroy(c->closing);
        c->closing = NULL;
    }
    sl_kafka_wake_again(c->wake);
}

/* --- back-pressure and position --- */

void sl_kafka_consumer_continue(sl_kafka_consumer *c) {
    c->held = false;
    sl_kafka_wake_again(c->wake);
}

void sl_kafka_consumer_hold(sl_kafka_consumer *c) { c->held = true; }

static part *running(const sl_kafka_consumer *c, const char *topic, int32_t partition) {
    part *p = sl_kafka_part(c, topic, partition);
    return p != NULL && p->state == PART_RUNS ? p : NULL;
}

sl_status sl_kafka_consumer_pause(sl_kafka_consumer *c, const char *topic, int32_t partition, bool paused) {
    if (running(c, topic, partition) == NULL)
        return SL_ENOTFOUND;
    const sl_kafka_place place = {topic, partition};
    rd_kafka_topic_partition_list_t *list = sl_kafka_list_of_places(&place, 1);
    (void)(paused ? rd_kafka_pause_partitions(c->client, list) : rd_kafka_resume_partitions(c->client, list));
    rd_kafka_resp_err_t code = list->elems[0].err;
    rd_kafka_topic_partition_list_destroy(list);
    return sl_kafka_status(code);
}

sl_status sl_kafka_consumer_seek(sl_kafka_consumer *c, const char *topic, int32_t partition, int64_t offset, sl_error *error) {
    part *p = running(c, topic, partition);
    if (p == NULL)
        return sl_error_set(error, SL_ENOTFOUND, "Kafka: %s [%d] isn't read here", topic, (int)partition);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(c->client, topic, NULL);
    rd_kafka_resp_err_t code = handle == NULL ? rd_kafka_last_error() : rd_kafka_seek(handle, partition, offset, 0);
    if (handle != NULL)
        rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return sl_kafka_explain(error, code, NULL);
    p->offset = offset;
    p->stale = c->number;
    return SL_OK;
}

int64_t sl_kafka_consumer_lag(const sl_kafka_consumer *c, const char *topic, int32_t partition) {
    const part *p = running(c, topic, partition);
    int64_t low, high;
    if (p == NULL || p->offset < 0 ||
        rd_kafka_get_watermark_offsets(c->client, topic, partition, &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0)
        return -1;
    /* The markers of transactions are nobody's; what librdkafka has passed is not waiting. */
    const sl_kafka_place place = {topic, partition};
    rd_kafka_topic_partition_list_t *list = sl_kafka_list_of_places(&place, 1);
    int64_t at = p->offset;
    if (c->at == c->count && rd_kafka_position(c->client, list) == RD_KAFKA_RESP_ERR_NO_ERROR && list->elems[0].offset > at)
        at = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return high > at ? high - at : 0;
}

int64_t sl_kafka_consumer_round_trip_us(const sl_kafka_consumer *c) { return c->round_trip_us; }
int64_t sl_kafka_consumer_queued_bytes(const sl_kafka_consumer *c) { return c->queued_bytes; }
const char *sl_kafka_consumer_cluster(const sl_kafka_consumer *c) { return c->cluster; }
