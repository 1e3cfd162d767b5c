/* A producer: librdkafka queues, batches and sends; what became of each message comes back by its queue of events. */
#include "private.h"

#include "sluice/memory.h"

enum { POLL_MS = 1000, EVENTS_A_TURN = 64 };

struct sl_kafka_producer {
    uv_loop_t *loop;
    sl_kafka_producer_callbacks callbacks;
    rd_kafka_t *client;
    rd_kafka_queue_t *events;
    kafka_wake *wake;
    uv_timer_t timer, patience; /* Of a flush. */
    uint64_t pending;
    bool refused, flushing, ending, ended;
    int open_handles;
    uint32_t told;
    void (*flushed)(void *context, sl_status status);
    void *flush_context;
    void (*closed)(void *context);
    void *closed_context;
};

/* --- what comes back --- */

static void on_report(sl_kafka_producer *p, rd_kafka_event_t *event) {
    for (const rd_kafka_message_t *m; (m = rd_kafka_event_message_next(event)) != NULL;) {
        sl_error error;
        sl_status status = SL_OK;
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            status = sl_kafka_explain(&error, m->err, NULL);
        else
            p->told = 0;
        p->pending--;
        p->callbacks.delivered(p->callbacks.context, m->_private, status, m->partition, m->offset, status == SL_OK ? NULL : &error);
    }
}

static void on_error_event(sl_kafka_producer *p, rd_kafka_event_t *event) {
    char words[512];
    rd_kafka_resp_err_t code = rd_kafka_event_error(event), fatal = rd_kafka_fatal_error(p->client, words, sizeof words);
    bool dead = fatal != RD_KAFKA_RESP_ERR_NO_ERROR;
    sl_error error;
    sl_status status = sl_kafka_explain(&error, code, dead ? words : rd_kafka_event_error_string(event));
    if (!dead && (p->told & 1u << status) != 0)
        return;
    p->told |= 1u << status;
    p->callbacks.error(p->callbacks.context, &error, dead);
}

static void end_flush(sl_kafka_producer *p, sl_status status) {
    p->flushing = false;
    (void)uv_timer_stop(&p->patience);
    p->flushed(p->flush_context, status);
}

static void on_patience(uv_timer_t *timer) { end_flush(timer->data, SL_EAGAIN); }

static void finish(sl_kafka_producer *p);

static void on_turn(void *context) {
    sl_kafka_producer *p = context;
    if (p->ended)
        return;
    rd_kafka_event_t *event = NULL;
    for (int i = 0; i < EVENTS_A_TURN && (event = rd_kafka_queue_poll(p->events, 0)) != NULL; i++) {
        switch (rd_kafka_event_type(event)) {
        case RD_KAFKA_EVENT_DR:
            on_report(p, event);
            break;
        case RD_KAFKA_EVENT_ERROR:
            on_error_event(p, event);
            break;
        default:
            break;
        }
        rd_kafka_event_destroy(event);
    }
    if (event != NULL)
        sl_kafka_wake_again(p->wake);
    if (p->refused && !p->ending) {
        p->refused = false;
        if (p->callbacks.room != NULL)
            p->callbacks.room(p->callbacks.context);
    }
    if (p->flushing && p->pending == 0)
        end_flush(p, SL_OK);
    if (p->ending && p->pending == 0)
        finish(p);
}

static void on_timer(uv_timer_t *timer) { on_turn(timer->data); }

/* --- life --- */

sl_status sl_kafka_producer_create(uv_loop_t *loop, const sl_kafka_options *options, const sl_kafka_producer_callbacks *callbacks,
                                   sl_kafka_producer **out, sl_error *error) {
    *out = NULL;
    sl_kafka_producer *p = sl_calloc(1, sizeof *p);
    if (p == NULL)
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    p->loop = loop;
    p->callbacks = *callbacks;
    sl_kafka_options mine = *options;
    mine.transactional_id = NULL;
    sl_status status = sl_kafka_wake_create(loop, on_turn, p, &p->wake, error);
    if (status == SL_OK)
        status = sl_kafka_client(KAFKA_PRODUCER, &mine, &p->client, error);
    if (status != SL_OK) {
        sl_kafka_wake_destroy(p->wake, false);
        sl_free(p);
        return status;
    }
    p->events = rd_kafka_queue_get_main(p->client);
    sl_kafka_wake_watch(p->wake, p->events);
    (void)uv_timer_init(loop, &p->timer);
    (void)uv_timer_init(loop, &p->patience);
    p->timer.data = p->patience.data = p;
    p->open_handles = 2;
    (void)uv_timer_start(&p->timer, on_timer, POLL_MS, POLL_MS);
    *out = p;
    return SL_OK;
}

static void on_timer_closed(uv_handle_t *handle) {
    sl_kafka_producer *p = handle->data;
    if (--p->open_handles > 0)
        return;
    void (*closed)(void *) = p->closed;
    void *context = p->closed_context;
    sl_free(p);
    if (closed != NULL)
        closed(context);
}

static void on_gone(void *context, bool abandoned) {
    sl_kafka_producer *p = context;
    sl_kafka_wake_destroy(p->wake, abandoned);
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
    uv_close((uv_handle_t *)&p->patience, on_timer_closed);
}

/* Without memory the timer's next turn tries again. */
static void finish(sl_kafka_producer *p) {
    p->ended = sl_kafka_dispose(p->loop, p->client, &p->events, 1, on_gone, p) == SL_OK;
    if (p->ended)
        (void)uv_timer_stop(&p->timer);
}

void sl_kafka_producer_close(sl_kafka_producer *p, void (*closed)(void *context), void *context) {
    p->closed = closed;
    p->closed_context = context;
    p->ending = true;
    (void)rd_kafka_purge(p->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    sl_kafka_wake_again(p->wake);
}

uint64_t sl_kafka_producer_pending(const sl_kafka_producer *p) { return p->pending; }

void sl_kafka_producer_flush(sl_kafka_producer *p, uint32_t ms, void (*done)(void *context, sl_status status), void *context) {
    p->flushing = true;
    p->flushed = done;
    p->flush_context = context;
    uv_update_time(p->loop);
    (void)uv_timer_start(&p->patience, on_patience, ms, 0);
    sl_kafka_wake_again(p->wake);
}

/* --- sending --- */

sl_status sl_kafka_send(rd_kafka_t *client, const sl_kafka_record *r, sl_error *error) {
    rd_kafka_headers_t *headers = r->header_count == 0 ? NULL : rd_kafka_headers_new(r->header_count);
    for (size_t i = 0; i < r->header_count; i++)
        (void)rd_kafka_header_add(headers, r->headers[i].name, -1, r->headers[i].value, (ssize_t)r->headers[i].length);
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = r->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = r->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {sl_kafka_bytes(r->key), r->key_length}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {sl_kafka_bytes(r->value), r->value_length}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = r->time_us / 1000},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = r->token},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *failure = rd_kafka_produceva(client, parts, sizeof parts / sizeof *parts - (headers == NULL));
    if (failure == NULL)
        return SL_OK;
    if (headers != NULL) /* Still ours. */
        rd_kafka_headers_destroy(headers);
    rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
    sl_status status = sl_kafka_explain(error, code, rd_kafka_error_string(failure));
    (void)sl_error_context(error, "topic %s", r->topic);
    rd_kafka_error_destroy(failure);
    return status;
}

sl_status sl_kafka_produce(sl_kafka_producer *p, const sl_kafka_record *record, sl_error *error) {
    sl_status status = sl_kafka_send(p->client, record, error);
    p->pending += status == SL_OK;
    p->refused = p->refused || status == SL_EFULL;
    return status;
}
