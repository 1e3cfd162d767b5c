/* Questions to the group and the brokers. Commits and committed offsets are asked without waiting; the marks of partitions
 * (first and next offset) only by calls that block, so those are made on one of libuv's threads. */
#include "consumer_private.h"

#include "sluice/memory.h"

struct question {
    sl_kafka_consumer *owner;
    question *next;
    uv_work_t work; /* Of marks. */
    bool working, refused;
    sl_kafka_offsets_fn *done;
    sl_kafka_marks_fn *marks_done;
    void *context;
    rd_kafka_topic_partition_list_t *list; /* Of marks. */
    sl_kafka_marks *marks;
    int64_t time_us; /* 0: only the marks are asked for. */
    sl_status status;
    sl_error error;
};

/* --- the list --- */

static question *ask(sl_kafka_consumer *c, void *context) {
    question *q = sl_calloc(1, sizeof *q);
    if (q == NULL)
        return NULL;
    q->owner = c;
    q->context = context;
    q->next = c->questions;
    c->questions = q;
    return q;
}

/* @return false: it was answered before. */
static bool take(sl_kafka_consumer *c, const question *q) {
    for (question **at = &c->questions; *at != NULL; at = &(*at)->next)
        if (*at == q) {
            *at = q->next;
            return true;
        }
    return false;
}

static void free_question(question *q) {
    if (q->list != NULL)
        rd_kafka_topic_partition_list_destroy(q->list);
    sl_free(q->marks);
    sl_free(q);
}

/* It is out of the list. */
static void answer(question *q, const rd_kafka_topic_partition_list_t *list) {
    sl_kafka_offset *offsets = q->done == NULL ? NULL : sl_kafka_offsets_of(list);
    if (q->done != NULL && offsets == NULL)
        q->status = sl_error_set(&q->error, SL_ENOMEM, "Kafka: out of memory");
    uint32_t count = q->status != SL_OK || list == NULL ? 0 : (uint32_t)list->cnt;
    if (q->done != NULL)
        q->done(q->context, q->status, offsets, count, &q->error);
    else if (q->marks_done != NULL)
        q->marks_done(q->context, q->status, q->marks, count, &q->error);
    sl_free(offsets);
    free_question(q);
}

/* A failure inside the call that asks is told in the next turn. */
static void refuse(sl_kafka_consumer *c, question *q) {
    q->refused = true;
    c->refused = true;
    sl_kafka_wake_again(c->wake);
}

void sl_kafka_questions_turn(sl_kafka_consumer *c) {
    while (c->refused) {
        question *q = c->questions;
        while (q != NULL && !q->refused)
            q = q->next;
        c->refused = q != NULL;
        if (q != NULL && take(c, q))
            answer(q, NULL);
    }
}

/* --- commits --- */

void sl_kafka_consumer_commit(sl_kafka_consumer *c, const sl_kafka_offset *offsets, uint32_t count, sl_kafka_offsets_fn *done,
                              void *context) {
    question *q = ask(c, context);
    rd_kafka_topic_partition_list_t *list = q == NULL ? NULL : sl_kafka_list_of_offsets(offsets, count);
    sl_error error;
    if (list == NULL) {
        (void)sl_error_set(&error, SL_ENOMEM, "Kafka: out of memory");
        if (q != NULL && take(c, q))
            free_question(q);
        if (done != NULL)
            done(context, SL_ENOMEM, NULL, 0, &error);
        return;
    }
    q->done = done;
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(c->client, list, c->control, NULL, q);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        q->status = sl_kafka_explain(&q->error, code, NULL);
        refuse(c, q);
    }
}

/* The answer as a whole, else the first partition's that failed. */
static void judge(question *q, rd_kafka_resp_err_t code, const char *text, const rd_kafka_topic_partition_list_t *list) {
    for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && list != NULL && i < list->cnt; i++)
        code = list->elems[i].err;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        q->status = sl_kafka_explain(&q->error, code, text);
}

static void on_commit(sl_kafka_consumer *c, rd_kafka_event_t *event) {
    question *q = rd_kafka_event_opaque(event);
    if (!take(c, q))
        return;
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    judge(q, rd_kafka_event_error(event), NULL, list);
    answer(q, list);
}

/* --- what is committed --- */

void sl_kafka_consumer_committed(sl_kafka_consumer *c, const sl_kafka_place *places, uint32_t count, sl_kafka_offsets_fn *done,
                                 void *context) {
    question *q = ask(c, context);
    sl_error error;
    if (q == NULL) {
        (void)sl_error_set(&error, SL_ENOMEM, "Kafka: out of memory");
        done(context, SL_ENOMEM, NULL, 0, &error);
        return;
    }
    q->done = done;
    char text[256];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(c->client, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, c->timeout_ms, text, sizeof text);
    rd_kafka_error_t *failure = rd_kafka_AdminOptions_set_require_stable_offsets(options, 1);
    if (failure != NULL)
        rd_kafka_error_destroy(failure); /* Without transactions there is nothing to wait for. */
    rd_kafka_AdminOptions_set_opaque(options, q);
    rd_kafka_topic_partition_list_t *list = sl_kafka_list_of_places(places, count);
    rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(c->group, list);
    rd_kafka_ListConsumerGroupOffsets(c->client, &request, 1, options, c->control);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_AdminOptions_destroy(options);
}

static void on_committed(sl_kafka_consumer *c, rd_kafka_event_t *event) {
    question *q = rd_kafka_event_opaque(event);
    if (!take(c, q))
        return;
    const rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const char *text = code == RD_KAFKA_RESP_ERR_NO_ERROR ? NULL : rd_kafka_event_error_string(event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        size_t count;
        const rd_kafka_group_result_t **groups =
            rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
        const rd_kafka_error_t *failure = count == 0 ? NULL : rd_kafka_group_result_error(groups[0]);
        if (failure != NULL) {
            code = rd_kafka_error_code(failure);
            text = rd_kafka_error_string(failure);
        } else if (count > 0)
            list = rd_kafka_group_result_partitions(groups[0]);
    }
    judge(q, code, text, list);
    answer(q, list);
}

bool sl_kafka_answer(sl_kafka_consumer *c, rd_kafka_event_t *event) {
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_OFFSET_COMMIT:
        on_commit(c, event);
        return true;
    case RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT:
        on_committed(c, event);
        return true;
    default:
        return false;
    }
}

/* --- marks --- */

/* By the question for times, whose special ones are the first and the next offset (Kafka protocol, ListOffsets). The question for the
 * marks themselves forgets its timeout: while the partition's broker is away it never comes back (2.0.2). */
rd_kafka_resp_err_t sl_kafka_ask_marks(rd_kafka_t *client, const rd_kafka_topic_partition_list_t *list, sl_kafka_marks *marks, int ms) {
    static const int64_t times[2] = {RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END};
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int which = 0; which < 2 && code == RD_KAFKA_RESP_ERR_NO_ERROR; which++) {
        rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_copy(list);
        for (int i = 0; i < asked->cnt; i++)
            asked->elems[i].offset = times[which];
        code = rd_kafka_offsets_for_times(client, asked, ms);
        for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
            const rd_kafka_topic_partition_t *at = &list->elems[i];
            const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(asked, at->topic, at->partition);
            code = found->err;
            if (code == RD_KAFKA_RESP_ERR_NO_ERROR && found->offset < 0)
                code = RD_KAFKA_RESP_ERR__TIMED_OUT; /* Its broker didn't answer in time. */
            *(which == 0 ? &marks[i].low : &marks[i].high) = found->offset;
        }
        rd_kafka_topic_partition_list_destroy(asked);
    }
    return code;
}

static rd_kafka_resp_err_t ask_time(question *q) {
    rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_copy(q->list);
    for (int i = 0; i < asked->cnt; i++)
        asked->elems[i].offset = q->time_us / 1000;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(q->owner->client, asked, q->owner->timeout_ms);
    for (int i = 0; i < q->list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *at = &q->list->elems[i];
        const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(asked, at->topic, at->partition);
        code = found->err;
        q->marks[i].at = found->offset >= 0 ? found->offset : q->marks[i].high;
    }
    rd_kafka_topic_partition_list_destroy(asked);
    return code;
}

static void look(uv_work_t *work) {
    question *q = work->data;
    for (int i = 0; i < q->list->cnt; i++)
        q->marks[i] = (sl_kafka_marks){.topic = q->list->elems[i].topic, .partition = q->list->elems[i].partition};
    rd_kafka_resp_err_t code = sl_kafka_ask_marks(q->owner->client, q->list, q->marks, q->owner->timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && q->time_us != 0)
        code = ask_time(q);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        q->status = sl_kafka_explain(&q->error, code, NULL);
}

static void on_looked(uv_work_t *work, int code) {
    question *q = work->data;
    sl_kafka_consumer *c = q->owner;
    if (code != 0)
        q->status = sl_error_set(&q->error, SL_EIO, "Kafka: %s", uv_strerror(code));
    q->working = false;
    if (c->ended) /* It is answered with the rest. */
        return;
    if (take(c, q))
        answer(q, q->list);
}

void sl_kafka_consumer_marks(sl_kafka_consumer *c, const sl_kafka_place *places, uint32_t count, sl_kafka_marks_fn *done,
                             void *context) {
    sl_kafka_consumer_marks_at(c, places, count, 0, done, context);
}

void sl_kafka_consumer_marks_at(sl_kafka_consumer *c, const sl_kafka_place *places, uint32_t count, int64_t time_us,
                                sl_kafka_marks_fn *done, void *context) {
    question *q = ask(c, context);
    sl_kafka_marks *marks = sl_calloc((size_t)count + 1, sizeof *marks);
    if (q == NULL || marks == NULL) {
        sl_error error;
        (void)sl_error_set(&error, SL_ENOMEM, "Kafka: out of memory");
        sl_free(marks);
        if (q != NULL && take(c, q))
            free_question(q);
        done(context, SL_ENOMEM, NULL, 0, &error);
        return;
    }
    q->marks_done = done;
    q->time_us = time_us;
    q->marks = marks;
    q->list = sl_kafka_list_of_places(places, count);
    q->work.data = q;
    q->working = uv_queue_work(c->loop, &q->work, look, on_looked) == 0;
    if (!q->working) {
        q->status = sl_error_set(&q->error, SL_EIO, "Kafka: no thread");
        refuse(c, q);
    }
}

/* --- the end --- */

uint32_t sl_kafka_questions_end(sl_kafka_consumer *c) {
    uint32_t working = 0;
    for (question *q = c->questions; q != NULL; q = q->next)
        working += q->working;
    if (working > 0)
        return working;
    while (c->questions != NULL) {
        question *q = c->questions;
        c->questions = q->next;
        if (q->status == SL_OK)
            q->status = sl_error_set(&q->error, SL_EIO, "Kafka: closed before the answer");
        answer(q, NULL);
    }
    return 0;
}
