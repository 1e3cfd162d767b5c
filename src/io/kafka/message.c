/* librdkafka's messages and lists of partitions, and ours. */
#include "private.h"

#include "sluice/memory.h"

#include <string.h>

void sl_kafka_message_of(const rd_kafka_message_t *from, sl_kafka_message *to) {
    rd_kafka_timestamp_type_t kind;
    int64_t ms = rd_kafka_message_timestamp(from, &kind);
    *to = (sl_kafka_message){
        .value = from->payload,
        .key = from->key,
        .value_length = (uint32_t)from->len,
        .key_length = (uint32_t)from->key_len,
        .offset = from->offset,
        .time_us = kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? 0 : ms * 1000,
        .time_kind = kind == RD_KAFKA_TIMESTAMP_CREATE_TIME       ? SL_KAFKA_CREATE_TIME
                     : kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? SL_KAFKA_APPEND_TIME
                                                                  : SL_KAFKA_NO_TIME,
        .handle = sl_kafka_bytes(from), /* Headers are parsed in it, by its owner's thread. */
    };
}

bool sl_kafka_header(const sl_kafka_message *message, size_t index, const char **name, const uint8_t **value, size_t *length) {
    rd_kafka_headers_t *headers;
    const void *bytes;
    if (rd_kafka_message_headers(message->handle, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_all(headers, index, name, &bytes, length) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    *value = bytes;
    return true;
}

rd_kafka_topic_partition_list_t *sl_kafka_list_of_places(const sl_kafka_place *places, uint32_t count) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (uint32_t i = 0; i < count; i++)
        (void)rd_kafka_topic_partition_list_add(list, places[i].topic, places[i].partition);
    return list;
}

/* The list frees the texts, so they are of librdkafka's allocator. */
rd_kafka_topic_partition_list_t *sl_kafka_list_of_offsets(const sl_kafka_offset *offsets, uint32_t count) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (uint32_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_add(list, offsets[i].topic, offsets[i].partition);
        at->offset = offsets[i].offset;
        if (offsets[i].metadata == NULL || offsets[i].metadata[0] == 0)
            continue;
        size_t size = strlen(offsets[i].metadata);
        at->metadata = rd_kafka_mem_malloc(NULL, size + 1);
        if (at->metadata == NULL) {
            rd_kafka_topic_partition_list_destroy(list);
            return NULL;
        }
        memcpy(at->metadata, offsets[i].metadata, size + 1);
        at->metadata_size = size;
    }
    return list;
}

/* librdkafka's copies of a text have no 0 behind it, so ours stand behind the array. */
sl_kafka_offset *sl_kafka_offsets_of(const rd_kafka_topic_partition_list_t *list) {
    size_t count = list == NULL ? 0 : (size_t)list->cnt, texts = 1;
    for (size_t i = 0; i < count; i++)
        texts += list->elems[i].metadata_size + 1;
    sl_kafka_offset *offsets = sl_malloc(count * sizeof *offsets + texts);
    if (offsets == NULL)
        return NULL;
    char *text = (char *)(offsets + count);
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_topic_partition_t *at = &list->elems[i];
        offsets[i] = (sl_kafka_offset){at->topic, at->partition, at->offset < 0 ? -1 : at->offset, text};
        if (at->metadata_size > 0)
            memcpy(text, at->metadata, at->metadata_size);
        text[at->metadata_size] = 0;
        text += at->metadata_size + 1;
    }
    return offsets;
}
