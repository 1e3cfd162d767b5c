/* What a group has committed, asked by a client that isn't its member. The call waits. */
#include "private.h"

#include "sluice/memory.h"

#include <string.h>

enum { STABLE_MS = 100 };

static sl_status fill(sl_kafka_offset **texts, const rd_kafka_topic_partition_list_t *list, sl_kafka_offset *offsets, uint32_t count,
                      sl_error *error) {
    sl_free(*texts);
    *texts = sl_kafka_offsets_of(list);
    if (*texts == NULL)
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    for (uint32_t i = 0; i < count; i++) {
        offsets[i].offset = -1;
        offsets[i].metadata = "";
        for (int j = 0; j < list->cnt; j++) {
            if ((*texts)[j].partition != offsets[i].partition || strcmp((*texts)[j].topic, offsets[i].topic) != 0)
                continue;
            if (list->elems[j].err != RD_KAFKA_RESP_ERR_NO_ERROR)
                return sl_kafka_explain(error, list->elems[j].err, NULL);
            offsets[i].offset = (*texts)[j].offset;
            offsets[i].metadata = (*texts)[j].metadata;
        }
    }
    return SL_OK;
}

static sl_status read_answer(const kafka_asked *asked, sl_kafka_offset **texts, rd_kafka_event_t *event, sl_kafka_offset *offsets, uint32_t count,
                             sl_error *error) {
    if (event == NULL)
        return sl_error_set(error, SL_EAGAIN, "Kafka: no answer for %d ms", asked->timeout_ms);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return sl_kafka_explain(error, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
    size_t groups;
    const rd_kafka_group_result_t **results =
        rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(event), &groups);
    const rd_kafka_error_t *failure = groups == 0 ? NULL : rd_kafka_group_result_error(results[0]);
    if (groups == 0 || failure != NULL)
        return sl_kafka_explain(error, failure == NULL ? RD_KAFKA_RESP_ERR__BAD_MSG : rd_kafka_error_code(failure), NULL);
    return fill(texts, rd_kafka_group_result_partitions(results[0]), offsets, count, error);
}

sl_status sl_kafka_ask_committed(const kafka_asked *asked, sl_kafka_offset **texts, const char *group, sl_kafka_offset *offsets,
                                 uint32_t count, sl_error *error) {
    rd_kafka_topic_partition_list_t *list = sl_kafka_list_of_offsets(offsets, count);
    if (list == NULL)
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    char text[256];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(asked->client, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, asked->timeout_ms, text, sizeof text);
    rd_kafka_error_t *failure = rd_kafka_AdminOptions_set_require_stable_offsets(options, 1);
    if (failure != NULL)
        rd_kafka_error_destroy(failure);
    rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(group, list);
    sl_status status = SL_EAGAIN;
    /* The marker of a transaction that was just committed may still be on its way: "unstable". */
    const uint64_t until = uv_hrtime() + (uint64_t)asked->timeout_ms * 1000000;
    for (bool again = false; status == SL_EAGAIN && (!again || uv_hrtime() < until); again = true) {
        if (again)
            uv_sleep(STABLE_MS);
        rd_kafka_ListConsumerGroupOffsets(asked->client, &request, 1, options, asked->answers);
        rd_kafka_event_t *event = rd_kafka_queue_poll(asked->answers, asked->timeout_ms + 1000);
        status = read_answer(asked, texts, event, offsets, count, error);
        if (event == NULL)
            break;
        rd_kafka_event_destroy(event);
    }
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}
