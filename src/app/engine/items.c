/* Records that carry others as items: events that come again (replay.h), messages (messages.h). Each item is a record to everybody
 * behind the loop, and lies in task.records behind the group's own; what carries it is passed over. */
#include "records.h"
#include "replays.h"
#include "sequence.h"
#include "state.h"

#include "sluice/messages.h"
#include "sluice/replay.h"

bool items_are_messages(sl_format format) { return format.kind == SL_FORMAT_MESSAGES || format.kind == SL_FORMAT_ADDRESSED; }

bool items_carried(sl_format format) { return format.kind == SL_FORMAT_REPLAY || items_are_messages(format); }

bool items_valid(const sl_engine *e, sl_format format, const uint8_t *body, size_t length) {
    return format.kind == SL_FORMAT_REPLAY      ? replays_valid(e, body, length)
           : format.kind == SL_FORMAT_ADDRESSED ? sl_messages_addressed(body, length)
                                                : sl_messages_valid(body, length);
}

/* Of a message in its own log. */
typedef struct whence {
    uint32_t place;
    uint64_t salt;
    bool history;
} whence;

/* A message as if it were an event that comes again: without a place of its own, or a source. Of one with an address `bytes` begins there. */
static bool next_message(sl_messages_reader *reader, const sl_journal_record *r, sl_replay_item *item, whence *from) {
    sl_message_item found;
    if (!sl_messages_next(reader, &found))
        return false;
    from->place = found.place;
    *item = (sl_replay_item){.bytes = found.bytes,
                             .length = found.length,
                             .arrival_us = found.arrival_us != 0 ? found.arrival_us : r->arrival_us};
    if (r->format.delimiter != 0)
        item->format = (sl_format){SL_FORMAT_CSV, r->format.header, r->format.delimiter};
    return true;
}

static bool carries(const sl_journal_record *r) { return !r->damaged && items_carried(r->format); }

static bool messages_of(const task *t, const sl_journal_record *r, sl_messages_reader *reader) {
    return items_are_messages(r->format) && sl_messages_read(t->group->bytes + r->body, r->length, reader);
}

static void count_replays(task *t, const sl_journal_record *r) {
    sl_replay_item item;
    for (size_t at = 0, n; (n = sl_replay_get(t->group->bytes + r->body + at, r->length - at, &item)) != 0; at += n)
        t->item_count++;
    t->replays = t->replays || t->item_count != 0;
}

void items_count(task *t) {
    sl_messages_reader reader;
    t->item_count = 0;
    t->replays = false;
    for (uint32_t i = 0; i < t->group->count; i++) {
        const sl_journal_record *r = &t->group->records[i];
        if (!carries(r))
            continue;
        if (r->format.kind == SL_FORMAT_REPLAY) {
            count_replays(t, r);
        } else if (messages_of(t, r, &reader)) {
            t->item_count += reader.count;
            t->replays = t->replays || reader.origin.history;
        }
    }
}

/** @return false: no memory. */
static bool spread(sl_engine *e, task *t, uint32_t carrier, const sl_replay_item *item, const whence *from) {
    const sl_format format = t->group->records[carrier].format;
    const bool replay = format.kind == SL_FORMAT_REPLAY;
    sl_message_address address = {0};
    const size_t head = format.kind == SL_FORMAT_ADDRESSED ? sl_message_address_get(item->bytes, item->length, &address) : 0;
    const uint32_t at = (uint32_t)(item->bytes - t->group->bytes), begin = at + (uint32_t)head, record = t->record_count;
    const uint64_t logged = t->group->offset + begin;
    const uint32_t source = replay      ? source_index(e, item->source, item->source_length)
                            : head != 0 ? source_index(e, address.source, address.source_length)
                                        : t->records[carrier].source;
    t->shapes[record] = t->shapes[carrier];
    t->records[t->record_count++] = (sl_record){
        .position = replay ? item->position : logged,
        .logged = logged,
        .body = begin,
        .length = item->length - (uint32_t)head,
        .arrival_us = item->arrival_us,
        .source = source,
        .stream = t->records[carrier].stream,
        .format = head != 0 ? address.format : item->format,
        .place = from->place,
        .salt = from->salt,
        .address = head != 0 ? at : 0,
        .carrier = carrier + 1,
        .replay = replay || from->history,
        .history = from->history,
    };
    return head == 0 || sequence_place(e, t, record, address.stream, address.stream_length);
}

static bool spread_messages(sl_engine *e, task *t, uint32_t carrier) {
    const sl_journal_record *r = &t->group->records[carrier];
    sl_messages_reader reader;
    sl_replay_item item;
    if (!messages_of(t, r, &reader))
        return true;
    const sl_messages_origin *of = &reader.origin;
    whence from = {.salt = of->length != 0 ? sl_hash64(of->partition, of->length, 0) : 0, .history = of->history};
    while (next_message(&reader, r, &item, &from))
        if (!spread(e, t, carrier, &item, &from))
            return false;
    return true;
}

static bool spread_replays(sl_engine *e, task *t, uint32_t carrier) {
    const sl_journal_record *r = &t->group->records[carrier];
    sl_replay_item item;
    for (size_t at = 0, n; (n = sl_replay_get(t->group->bytes + r->body + at, r->length - at, &item)) != 0; at += n)
        if (!spread(e, t, carrier, &item, &(whence){0}))
            return false;
    return true;
}

bool items_spread(sl_engine *e, task *t) {
    for (uint32_t i = 0; i < t->group->count; i++) {
        const sl_journal_record *r = &t->group->records[i];
        if (carries(r) && !(r->format.kind == SL_FORMAT_REPLAY ? spread_replays : spread_messages)(e, t, i))
            return false;
    }
    return true;
}

void items_add_up(task *t) {
    for (uint32_t i = t->group->count; i < t->record_count; i++) {
        const sl_record *item = &t->records[i];
        if (item->replay)
            continue; /* Its outcome is told otherwise. */
        t->records[item->carrier - 1].accepted += item->accepted;
        t->records[item->carrier - 1].rejected += item->rejected;
    }
}

void items_count_bytes(const sl_engine *e, const task *t) {
    for (uint32_t i = t->group->count; i < t->record_count; i++)
        if (t->records[i].address != 0 && t->records[i].stream != ROUTED)
            sl_metric_add(e->streams[t->records[i].stream]->bytes, t->records[i].length);
}

bool items_address(const task *t, const sl_record *record, sl_message_address *out) {
    const uint8_t *at = t->group->bytes + record->address;
    return record->address != 0 && sl_message_address_get(at, record->body - record->address, out) != 0;
}

uint32_t items_index(const task *t, uint32_t record) {
    const uint32_t carrier = t->records[record].carrier;
    uint32_t first = record;
    while (first > t->group->count && t->records[first - 1].carrier == carrier)
        first--;
    return record - first;
}
