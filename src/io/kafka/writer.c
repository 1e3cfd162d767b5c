/* Transactions. librdkafka's calls block, so they are made on the caller's own thread. */
#include "private.h"

#include "sluice/memory.h"

#include <string.h>

enum { ROOM_MS = 100 };

struct sl_kafka_writer {
    rd_kafka_t *client;
    rd_kafka_queue_t *answers, *errors;
    int timeout_ms;
    sl_kafka_offset *texts; /* Of the last sl_kafka_writer_committed(). */
};

sl_status sl_kafka_writer_create(const sl_kafka_options *options, sl_kafka_writer **out, sl_error *error) {
    *out = NULL;
    if (options->transactional_id == NULL)
        return sl_error_set(error, SL_EINVAL, "Kafka: a writer needs a transactional id");
    sl_kafka_writer *w = sl_calloc(1, sizeof *w);
    if (w == NULL)
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    sl_status status = sl_kafka_client(KAFKA_WRITER, options, &w->client, error);
    if (status != SL_OK) {
        sl_free(w);
        return status;
    }
    w->timeout_ms = kafka_timeout(options);
    w->answers = rd_kafka_queue_new(w->client);
    w->errors = rd_kafka_queue_get_main(w->client);
    status = sl_kafka_failed(error, rd_kafka_init_transactions(w->client, w->timeout_ms));
    if (status == SL_OK) {
        *out = w;
        return SL_OK;
    }
    sl_error refusal;
    if (status == SL_EAGAIN && sl_kafka_refusal(w->errors, &refusal))
        status = sl_error_set(error, refusal.status, "%s", refusal.text);
    sl_kafka_writer_destroy(w);
    return status;
}

void sl_kafka_writer_destroy(sl_kafka_writer *w) {
    if (w == NULL)
        return;
    (void)rd_kafka_purge(w->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_queue_destroy(w->answers);
    rd_kafka_queue_destroy(w->errors);
    rd_kafka_destroy(w->client);
    sl_free(w->texts);
    sl_free(w);
}

sl_status sl_kafka_writer_begin(sl_kafka_writer *w, sl_error *error) {
    return sl_kafka_failed(error, rd_kafka_begin_transaction(w->client));
}

sl_status sl_kafka_writer_put(sl_kafka_writer *w, const sl_kafka_record *record, sl_error *error) {
    sl_error full;
    for (int ms = 0; ms <= w->timeout_ms; ms += ROOM_MS) {
        sl_status status = sl_kafka_send(w->client, record, error);
        if (status != SL_EFULL)
            return status;
        (void)rd_kafka_flush(w->client, ROOM_MS);
        if (sl_kafka_refusal(w->errors, &full) && full.status == SL_EDENIED)
            return sl_error_set(error, SL_EDENIED, "%s", full.text);
    }
    return sl_error_set(error, SL_EAGAIN, "Kafka: nothing was taken for %d ms", w->timeout_ms);
}

sl_status sl_kafka_writer_offsets(sl_kafka_writer *w, const char *group, const sl_kafka_offset *offsets, uint32_t count,
                                  sl_error *error) {
    rd_kafka_topic_partition_list_t *list = sl_kafka_list_of_offsets(offsets, count);
    if (list == NULL)
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata_new(group);
    rd_kafka_error_t *failure = rd_kafka_send_offsets_to_transaction(w->client, list, metadata, w->timeout_ms);
    rd_kafka_consumer_group_metadata_destroy(metadata);
    rd_kafka_topic_partition_list_destroy(list);
    return sl_kafka_failed(error, failure);
}

sl_status sl_kafka_writer_commit(sl_kafka_writer *w, sl_error *error) {
    return sl_kafka_failed(error, rd_kafka_commit_transaction(w->client, w->timeout_ms));
}

/* What was put is sent first: an abort that overtakes the request which adds a partition to the transaction is answered
 * with INVALID_TXN_STATE, after which librdkafka 2.0.2 is dead. */
sl_status sl_kafka_writer_abort(sl_kafka_writer *w, sl_error *error) {
    (void)rd_kafka_flush(w->client, w->timeout_ms);
    return sl_kafka_failed(error, rd_kafka_abort_transaction(w->client, w->timeout_ms));
}

sl_status sl_kafka_writer_committed(sl_kafka_writer *w, const char *group, sl_kafka_offset *offsets, uint32_t count, sl_error *error) {
    const kafka_asked asked = {w->client, w->answers, w->timeout_ms};
    return sl_kafka_ask_committed(&asked, &w->texts, group, offsets, count, error);
}
