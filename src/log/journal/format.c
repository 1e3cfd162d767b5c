#include "format.h"

#include <assert.h>
#include <string.h>

enum {
    HASHED_LEAST = 16 << 10, /* Bytes of a record. */
    PIECE = 12 << 10,
};

static_assert(GROUP_HEADER % 8 == 0 && RECORD_HEADER % 8 == 0, "records are 8-byte aligned");

static void put32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *at, uint64_t value) {
    put32(at, (uint32_t)value);
    put32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

static uint64_t get64(const uint8_t *at) {
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

void sl_journal_encode_segment(uint8_t *block, const segment_header *header) {
    memset(block, 0, SL_BLOCK);
    memcpy(block, SEGMENT_MAGIC, 8);
    put32(block + 8, FORMAT_VERSION);
    memcpy(block + 16, header->identity, 16);
    put64(block + 32, header->base);
    put64(block + 40, header->data_bytes);
    put64(block + 48, header->generation);
    put64(block + 56, header->first_number);
    put64(block + 64, header->previous);
    put64(block + 72, header->previous_end);
    put32(block + SL_BLOCK - 4, sl_crc32c(0, block, SL_BLOCK - 4));
}

bool sl_journal_decode_segment(const uint8_t *block, segment_header *header) {
    if (memcmp(block, SEGMENT_MAGIC, 8) != 0 || get32(block + 8) != FORMAT_VERSION ||
        get32(block + SL_BLOCK - 4) != sl_crc32c(0, block, SL_BLOCK - 4))
        return false;
    memcpy(header->identity, block + 16, 16);
    header->base = get64(block + 32);
    header->data_bytes = get64(block + 40);
    header->generation = get64(block + 48);
    header->first_number = get64(block + 56);
    header->previous = get64(block + 64);
    header->previous_end = get64(block + 72);
    return header->base <= OFFSET_MAX && header->base % SL_BLOCK == 0 &&
           header->data_bytes <= OFFSET_MAX && header->data_bytes % SL_BLOCK == 0 &&
           header->data_bytes > 0 && header->first_number > 0 &&
           header->previous_end <= header->base && header->previous_end % SL_BLOCK == 0 &&
           (header->previous == NO_SEGMENT || header->previous < header->base);
}

/** CRC of a record's header: its place and its segment's life come first. */
static uint32_t record_header_crc(const uint8_t *at, uint64_t offset, uint64_t generation) {
    uint8_t place[16];
    put64(place, offset);
    put64(place + 8, generation);
    return sl_crc32c(sl_crc32c(0, place, sizeof place), at + 8, RECORD_HEADER - 8);
}

static uint64_t record_data_bytes(const uint8_t *at) {
    return (uint64_t)get32(at + 16) + get32(at + 24) + get32(at + 28) + get32(at + 32);
}

static uint64_t record_bytes(const uint8_t *at) {
    return (RECORD_HEADER + record_data_bytes(at) + 7) & ~UINT64_C(7);
}

void sl_journal_seal_group(sl_group *group, uint64_t offset, uint64_t number,
                           uint64_t generation) {
    const sl_journal_record *last = &group->records[group->count - 1];
    uint64_t used = ((uint64_t)last->body + last->length + 7) & ~UINT64_C(7);
    uint8_t *bytes = group->bytes;
    group->length = (size_t)block_up(used);
    memset(bytes + used, 0, group->length - (size_t)used);
    memset(bytes, 0, GROUP_HEADER);
    memcpy(bytes, GROUP_MAGIC, 8);
    put64(bytes + 8, number);
    put64(bytes + 16, offset);
    put64(bytes + 24, generation);
    put32(bytes + 32, (uint32_t)group->length);
    put32(bytes + 36, group->count);
    put32(bytes + 40, (uint32_t)used);
    put32(bytes + 60, sl_crc32c(0, bytes, 60));
    for (uint32_t i = 0; i < group->count; i++) {
        uint64_t start = group->records[i].stream - RECORD_HEADER;
        uint8_t *at = bytes + start;
        uint32_t crc = record_header_crc(at, offset + start, generation);
        size_t data = (size_t)record_data_bytes(at);
        put32(at, crc);
        put32(at + 4, data >= HASHED_LEAST ? sl_crc32c_join(crc, group->records[i].hash, data)
                                           : sl_crc32c(crc, at + RECORD_HEADER, data));
    }
    group->offset = offset;
    group->next = offset + group->length;
    group->number = number;
}

bool sl_journal_decode_group(const uint8_t *block, uint64_t offset, group_header *header) {
    if (memcmp(block, GROUP_MAGIC, 8) != 0 || get32(block + 60) != sl_crc32c(0, block, 60))
        return false;
    header->number = get64(block + 8);
    header->offset = get64(block + 16);
    header->generation = get64(block + 24);
    header->length = get32(block + 32);
    header->count = get32(block + 36);
    header->used = get32(block + 40);
    return header->offset == offset && header->number > 0 && header->length > 0 &&
           header->length % SL_BLOCK == 0 && header->used <= header->length &&
           header->used >= GROUP_HEADER && header->count > 0 &&
           header->count <= (header->used - GROUP_HEADER) / RECORD_HEADER;
}

static sl_status add_record(sl_group *group, const sl_journal_record *record) {
    if (group->count == group->record_capacity) {
        uint32_t capacity = group->record_capacity ? group->record_capacity * 2 : 64;
        size_t more = (capacity - group->record_capacity) * sizeof *group->records;
        if (sl_budget_take(group->budget, more))
            return SL_ENOMEM;
        sl_journal_record *records =
            sl_realloc(group->records, capacity * sizeof *group->records);
        if (!records) {
            sl_budget_give(group->budget, more);
            return SL_ENOMEM;
        }
        group->records = records;
        group->record_capacity = capacity;
    }
    group->records[group->count++] = *record;
    return SL_OK;
}

/** Is there a record at byte `at` of the group whose index is not below `index`? */
static bool valid_record(const sl_group *group, const group_header *header, uint64_t at,
                         uint32_t index) {
    if (header->used - at < RECORD_HEADER)
        return false;
    const uint8_t *bytes = group->bytes + at;
    return get32(bytes) == record_header_crc(bytes, header->offset + at, header->generation) &&
           record_bytes(bytes) <= header->used - at && get32(bytes + 20) >= index &&
           get32(bytes + 20) < header->count;
}

static sl_journal_record record_at(const sl_group *group, uint64_t start) {
    const uint8_t *at = group->bytes + start;
    uint32_t stream = (uint32_t)start + RECORD_HEADER, source = stream + get32(at + 24);
    uint32_t key = source + get32(at + 28), body = key + get32(at + 32);
    size_t data = (size_t)record_data_bytes(at);
    return (sl_journal_record){
        .stream = stream,
        .stream_length = get32(at + 24),
        .source = source,
        .source_length = get32(at + 28),
        .key = key,
        .key_length = get32(at + 32),
        .body = body,
        .length = get32(at + 16),
        .arrival_us = (int64_t)get64(at + 8),
        .format = {at[36], at[37], at[38]},
        .damaged = get32(at + 4) != sl_crc32c(get32(at), at + RECORD_HEADER, data)};
}

sl_status sl_journal_parse_group(sl_group *group, const group_header *header,
                                 uint64_t *damaged) {
    group->count = 0;
    group->length = header->length;
    group->offset = header->offset;
    group->next = header->offset + header->length;
    group->number = header->number;
    *damaged = 0;
    uint64_t at = GROUP_HEADER;
    for (uint32_t index = 0; index < header->count;) {
        sl_journal_record record;
        uint64_t start = at;
        if (valid_record(group, header, at, index)) {
            record = record_at(group, at);
            index = get32(group->bytes + at + 20) + 1;
            at += record_bytes(group->bytes + at);
        } else {
            /* One damaged record stands for all up to the next one that can be found. */
            while (at + 8 <= header->used && !valid_record(group, header, at, index))
                at += 8;
            if (header->used - at < RECORD_HEADER) {
                at = header->used;
                index = header->count;
            }
            uint32_t begin = (uint32_t)start;
            record = (sl_journal_record){.stream = begin,
                                         .source = begin,
                                         .key = begin,
                                         .body = begin,
                                         .length = (uint32_t)(at - start),
                                         .damaged = true};
        }
        if (record.damaged)
            *damaged += at - start;
        sl_status status = add_record(group, &record);
        if (status)
            return status;
    }
    return SL_OK;
}

sl_group *sl_group_create(size_t capacity, sl_budget *budget) {
    sl_group *group = sl_calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->budget = budget;
    if (sl_journal_group_reserve(group, capacity > SL_BLOCK ? capacity : SL_BLOCK)) {
        sl_free(group);
        return NULL;
    }
    sl_group_reset(group);
    return group;
}

void sl_group_destroy(sl_group *group) {
    if (!group)
        return;
    sl_budget_give(group->budget,
                   group->capacity + group->record_capacity * sizeof *group->records);
    sl_free(group->records);
    sl_free(group->bytes);
    sl_free(group);
}

void sl_group_reset(sl_group *group) {
    group->length = GROUP_HEADER;
    group->count = 0;
    group->offset = group->next = group->number = 0;
}

sl_status sl_journal_group_reserve(sl_group *group, size_t bytes) {
    size_t capacity = (size_t)block_up(bytes);
    if (capacity <= group->capacity)
        return SL_OK;
    if (sl_budget_take(group->budget, capacity - group->capacity))
        return SL_ENOMEM;
    uint8_t *grown = sl_aligned_alloc(SL_BLOCK, capacity + SL_BLOCK);
    if (!grown) {
        sl_budget_give(group->budget, capacity - group->capacity);
        return SL_ENOMEM;
    }
    static_assert(SL_PADDING <= SL_BLOCK, "readers may look SL_PADDING beyond the end");
    memset(grown + capacity, 0, SL_BLOCK);
    if (group->length)
        memcpy(grown, group->bytes, group->length);
    sl_free(group->bytes);
    group->bytes = grown;
    group->capacity = capacity;
    return SL_OK;
}

/* A large record is hashed piece by piece as it is copied, while the piece is in the cache. */
static uint32_t copy_hashed(uint8_t *to, const uint8_t *from, size_t length, uint32_t crc) {
    for (size_t n; length != 0; to += n, from += n, length -= n) {
        n = length < PIECE ? length : PIECE;
        memcpy(to, from, n);
        crc = sl_crc32c(crc, to, n);
    }
    return crc;
}

sl_status sl_group_add(sl_group *group, const sl_journal_input *input) {
    uint64_t data = (uint64_t)input->stream_length + input->source_length + input->key_length +
                    input->length;
    uint64_t end = (group->length + RECORD_HEADER + data + 7) & ~UINT64_C(7);
    if (block_up(end) > UINT32_MAX)
        return group->count ? SL_EFULL : SL_ELIMIT;
    if (group->count && block_up(end) > group->capacity)
        return SL_EFULL;
    sl_status status = sl_journal_group_reserve(group, (size_t)end);
    if (status)
        return status;
    uint32_t start = (uint32_t)group->length, stream = start + RECORD_HEADER;
    sl_journal_record record = {.stream = stream,
                                .stream_length = input->stream_length,
                                .source = stream + input->stream_length,
                                .source_length = input->source_length,
                                .key_length = input->key_length,
                                .length = input->length,
                                .arrival_us = input->arrival_us,
                                .format = input->format};
    record.key = record.source + record.source_length;
    record.body = record.key + record.key_length;
    uint32_t index = group->count;
    status = add_record(group, &record);
    if (status)
        return status;
    uint8_t *at = group->bytes + start;
    memset(at, 0, RECORD_HEADER);
    put64(at + 8, (uint64_t)input->arrival_us);
    put32(at + 16, input->length);
    put32(at + 20, index);
    put32(at + 24, input->stream_length);
    put32(at + 28, input->source_length);
    put32(at + 32, input->key_length);
    at[36] = input->format.kind;
    at[37] = input->format.header;
    at[38] = input->format.delimiter;
    const struct {
        const void *bytes;
        uint32_t length, to;
    } parts[] = {{input->stream, input->stream_length, record.stream},
                 {input->source, input->source_length, record.source},
                 {input->key, input->key_length, record.key},
                 {input->body, input->length, record.body}};
    uint32_t hash = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (data >= HASHED_LEAST)
            hash = copy_hashed(group->bytes + parts[i].to, parts[i].bytes, parts[i].length, hash);
        else if (parts[i].length)
            memcpy(group->bytes + parts[i].to, parts[i].bytes, parts[i].length);
    group->records[index].hash = hash;
    uint64_t data_end = (uint64_t)record.body + record.length;
    memset(group->bytes + data_end, 0, (size_t)(end - data_end));
    group->length = (size_t)end;
    return SL_OK;
}
