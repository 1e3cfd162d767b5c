#include "sluice/messages.h"

enum { ORIGIN = 24, HEAD = 16, ADDRESS = 6 };
#define HISTORY (UINT32_C(1) << 31)

static void put_u64(uint8_t *to, uint64_t value) { memcpy(to, &value, sizeof value); }

void sl_messages_begin(sl_buffer *out, const sl_messages_origin *origin) {
    if (origin == NULL || origin->length == 0) {
        sl_buffer_u32(out, 0);
        return;
    }
    sl_buffer_u32(out, (ORIGIN + origin->length) | (origin->history ? HISTORY : 0));
    sl_buffer_u64(out, origin->from);
    sl_buffer_u64(out, origin->to);
    sl_buffer_u64(out, origin->check);
    sl_buffer_append(out, origin->partition, origin->length);
}

static uint8_t *reserve(sl_buffer *out, uint32_t place, int64_t arrival_us, size_t length_max) {
    if (out->failed || !sl_buffer_reserve(out, HEAD + length_max))
        return NULL;
    memcpy(out->bytes + out->length + 4, &place, sizeof place);
    put_u64(out->bytes + out->length + 8, (uint64_t)arrival_us);
    return out->bytes + out->length + HEAD;
}

uint8_t *sl_messages_reserve(sl_buffer *out, int64_t arrival_us, size_t length_max) {
    return reserve(out, 0, arrival_us, length_max);
}

void sl_messages_commit(sl_buffer *out, size_t length) {
    const uint32_t written = (uint32_t)length;
    memcpy(out->bytes + out->length, &written, sizeof written);
    out->length += HEAD + length;
}

bool sl_messages_add(sl_buffer *out, const sl_message_item *item) {
    uint8_t *to = reserve(out, item->place, item->arrival_us, item->length);
    if (to == NULL)
        return false;
    if (item->length != 0)
        memcpy(to, item->bytes, item->length);
    sl_messages_commit(out, item->length);
    return true;
}

void sl_messages_end(sl_buffer *out, uint64_t to, uint64_t check) {
    if (out->failed)
        return;
    put_u64(out->bytes + 12, to);
    put_u64(out->bytes + 20, check);
}

size_t sl_messages_head(const uint8_t *body, size_t length, sl_messages_origin *origin) {
    uint32_t bytes;
    *origin = (sl_messages_origin){0};
    if (length < sizeof bytes)
        return 0;
    memcpy(&bytes, body, sizeof bytes);
    if (bytes == 0)
        return sizeof bytes;
    const bool history = (bytes & HISTORY) != 0;
    bytes &= ~HISTORY;
    if (bytes <= ORIGIN || bytes > ORIGIN + SL_ORIGIN_TEXT_MAX || bytes > length - sizeof bytes)
        return 0;
    memcpy(&origin->from, body + 4, 8);
    memcpy(&origin->to, body + 12, 8);
    memcpy(&origin->check, body + 20, 8);
    origin->partition = (const char *)body + 4 + ORIGIN;
    origin->length = bytes - ORIGIN;
    origin->history = history;
    return sizeof bytes + bytes;
}

size_t sl_messages_next(const uint8_t *bytes, size_t length, sl_message_item *item) {
    if (length < HEAD)
        return 0;
    memcpy(&item->length, bytes, 4);
    memcpy(&item->place, bytes + 4, 4);
    memcpy(&item->arrival_us, bytes + 8, 8);
    item->bytes = bytes + HEAD;
    return item->length <= length - HEAD ? HEAD + (size_t)item->length : 0;
}

void sl_message_address_put(sl_buffer *out, const sl_message_address *a) {
    const uint8_t head[ADDRESS] = {a->stream_length,    a->source_length,    a->format.kind,
                                   a->format.header, a->format.delimiter, a->key != NULL};
    sl_buffer_append(out, head, sizeof head);
    sl_buffer_append(out, a->stream, a->stream_length);
    sl_buffer_append(out, a->source, a->source_length);
    if (a->key != NULL)
        sl_buffer_append(out, a->key, SL_ADDRESS_KEY);
}

size_t sl_message_address_get(const uint8_t *bytes, size_t length, sl_message_address *a) {
    *a = (sl_message_address){.stream = "", .source = ""};
    if (length < ADDRESS || bytes[5] > 1)
        return 0;
    const uint8_t kind = bytes[2];
    const size_t whole = (size_t)ADDRESS + bytes[0] + bytes[1] + (bytes[5] != 0 ? SL_ADDRESS_KEY : 0u);
    if (whole > length || (kind != SL_FORMAT_JSON && kind != SL_FORMAT_CSV && kind != SL_FORMAT_CLOUDEVENTS))
        return 0;
    a->stream_length = bytes[0];
    a->source_length = bytes[1];
    a->format = (sl_format){kind, bytes[3], bytes[4]};
    a->stream = (const char *)bytes + ADDRESS;
    a->source = a->stream + a->stream_length;
    a->key = bytes[5] != 0 ? (const uint8_t *)a->source + a->source_length : NULL;
    return whole;
}

static bool valid(const uint8_t *body, size_t length, bool addressed) {
    sl_messages_origin origin;
    sl_message_item item;
    sl_message_address address;
    size_t at = sl_messages_head(body, length, &origin), n = at;
    for (; at < length && n != 0; at += n) {
        n = sl_messages_next(body + at, length - at, &item);
        if (n != 0 && addressed && sl_message_address_get(item.bytes, item.length, &address) == 0)
            n = 0;
    }
    return n != 0 && at == length;
}

bool sl_messages_valid(const uint8_t *body, size_t length) { return valid(body, length, false); }

bool sl_messages_addressed(const uint8_t *body, size_t length) { return valid(body, length, true); }
