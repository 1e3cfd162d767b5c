#include "sluice/messages.h"

enum { ORIGIN = 24, COUNTS = 8, HEAD = 16, BLOCK_MOST = 64, ADDRESS = 6 };
#define HISTORY (UINT32_C(1) << 31)

static void put_u64(uint8_t *to, uint64_t value) { memcpy(to, &value, sizeof value); }

static uint32_t get_u32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void put_u32(uint8_t *to, uint32_t value) { memcpy(to, &value, sizeof value); }

/* Blocks of 1, 2, 4, …, 64, 64, … heads. @return Of the message's block; *index: its place there. */
static uint32_t block_of(uint32_t message, uint32_t *index) {
    const uint32_t nth = message + 1;
    if (nth >= BLOCK_MOST) {
        *index = nth % BLOCK_MOST;
        return BLOCK_MOST;
    }
    const uint32_t size = UINT32_C(1) << (31 - __builtin_clz(nth));
    *index = nth - size;
    return size;
}

void sl_messages_begin(sl_buffer *out, const sl_messages_origin *origin) {
    if (origin == NULL || origin->length == 0) {
        sl_buffer_u32(out, 0);
        sl_buffer_u64(out, 0);
        return;
    }
    sl_buffer_u32(out, (ORIGIN + origin->length) | (origin->history ? HISTORY : 0));
    sl_buffer_u64(out, origin->from);
    sl_buffer_u64(out, origin->to);
    sl_buffer_u64(out, origin->check);
    sl_buffer_append(out, origin->partition, origin->length);
    sl_buffer_u64(out, 0);
}

/* Count, and where the last block begins. */
static size_t counts_of(const uint8_t *body) { return sizeof(uint32_t) + (get_u32(body) & ~HISTORY); }

/* A block's heads lie where its first message is added. */
uint8_t *sl_messages_reserve(sl_buffer *out, size_t length_max) {
    uint32_t index;
    if (out->failed)
        return NULL;
    const uint32_t size = block_of(get_u32(out->bytes + counts_of(out->bytes)), &index);
    const size_t heads = index == 0 ? (size_t)size * HEAD : 0;
    return sl_buffer_reserve(out, heads + length_max) ? out->bytes + out->length + heads : NULL;
}

static void commit(sl_buffer *out, const sl_message_item *item) {
    uint8_t *counts = out->bytes + counts_of(out->bytes);
    uint32_t index;
    const uint32_t count = get_u32(counts), size = block_of(count, &index);
    if (index == 0) {
        put_u32(counts + 4, (uint32_t)out->length);
        memset(out->bytes + out->length, 0, (size_t)size * HEAD);
        out->length += (size_t)size * HEAD;
    }
    uint8_t *head = out->bytes + get_u32(counts + 4) + (size_t)index * HEAD;
    put_u32(head, item->length);
    put_u32(head + 4, item->place);
    put_u64(head + 8, (uint64_t)item->arrival_us);
    put_u32(counts, count + 1);
    out->length += item->length;
}

void sl_messages_commit(sl_buffer *out, size_t length) { commit(out, &(sl_message_item){.length = (uint32_t)length}); }

bool sl_messages_add(sl_buffer *out, const sl_message_item *item) {
    uint8_t *to = sl_messages_reserve(out, item->length);
    if (to == NULL)
        return false;
    if (item->length != 0)
        memcpy(to, item->bytes, item->length);
    commit(out, item);
    return true;
}

void sl_messages_end(sl_buffer *out, uint64_t to, uint64_t check) {
    if (out->failed)
        return;
    put_u64(out->bytes + 12, to);
    put_u64(out->bytes + 20, check);
}

bool sl_messages_head(const uint8_t *body, size_t length, sl_messages_origin *origin) {
    uint32_t bytes;
    *origin = (sl_messages_origin){0};
    if (length < sizeof bytes + COUNTS)
        return false;
    bytes = get_u32(body);
    if (bytes == 0)
        return true;
    const bool history = (bytes & HISTORY) != 0;
    bytes &= ~HISTORY;
    if (bytes <= ORIGIN || bytes > ORIGIN + SL_ORIGIN_TEXT_MAX || bytes > length - sizeof bytes - COUNTS)
        return false;
    memcpy(&origin->from, body + 4, 8);
    memcpy(&origin->to, body + 12, 8);
    memcpy(&origin->check, body + 20, 8);
    origin->partition = (const char *)body + 4 + ORIGIN;
    origin->length = bytes - ORIGIN;
    origin->history = history;
    return true;
}

bool sl_messages_read(const uint8_t *body, size_t length, sl_messages_reader *r) {
    *r = (sl_messages_reader){.body = body, .length = length};
    if (!sl_messages_head(body, length, &r->origin))
        return false;
    const uint32_t count = get_u32(body + counts_of(body));
    r->at = counts_of(body) + COUNTS;
    if (count > (length - r->at) / HEAD)
        return false;
    r->count = count;
    return true;
}

bool sl_messages_next(sl_messages_reader *r, sl_message_item *item) {
    if (r->index == r->count)
        return false;
    if (r->left == 0) {
        uint32_t index;
        const uint32_t size = block_of(r->index, &index);
        if ((size_t)size * HEAD > r->length - r->at)
            return false;
        r->left = size;
        r->head = r->at;
        r->at += (size_t)size * HEAD;
    }
    const uint8_t *head = r->body + r->head;
    item->length = get_u32(head);
    item->place = get_u32(head + 4);
    memcpy(&item->arrival_us, head + 8, 8);
    item->bytes = r->body + r->at;
    if (item->length > r->length - r->at)
        return false;
    r->at += item->length;
    r->head += HEAD;
    r->left--;
    r->index++;
    return true;
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
    sl_messages_reader r;
    sl_message_item item;
    sl_message_address address;
    if (!sl_messages_read(body, length, &r))
        return false;
    while (sl_messages_next(&r, &item))
        if (addressed && sl_message_address_get(item.bytes, item.length, &address) == 0)
            return false;
    return r.index == r.count && r.at == length;
}

bool sl_messages_valid(const uint8_t *body, size_t length) { return valid(body, length, false); }

bool sl_messages_addressed(const uint8_t *body, size_t length) { return valid(body, length, true); }
