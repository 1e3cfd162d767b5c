/* Records that carry others as items: events that come again (replay.h), messages (messages.h). Each item is a record to everybody
 * behind the loop, and lies in task.records behind the group's own; what carries it is passed over. */
#include "internal.h"

bool items_carried(sl_format format) { return format.kind == SL_FORMAT_REPLAY || format.kind == SL_FORMAT_MESSAGES; }

bool items_valid(const sl_engine *e, sl_format format, const uint8_t *body, size_t length) {
    return format.kind == SL_FORMAT_REPLAY ? replays_valid(e, body, length) : sl_messages_valid(body, length);
}

typedef void item_fn(sl_engine *e, task *t, uint32_t carrier, const sl_replay_item *item, uint32_t place);

/* A message as if it were an event that comes again: without a place of its own, or a source. */
static size_t next_message(const task *t, const sl_journal_record *r, size_t at, sl_replay_item *item, uint32_t *place) {
    sl_message_item found;
    const size_t bytes = sl_messages_next(t->group->bytes + r->body + at, r->length - at, &found);
    *place = found.place;
    *item = (sl_replay_item){.bytes = found.bytes,
                             .length = found.length,
                             .arrival_us = found.arrival_us != 0 ? found.arrival_us : r->arrival_us};
    if (r->format.delimiter != 0)
        item->format = (sl_format){SL_FORMAT_CSV, r->format.header, r->format.delimiter};
    return bytes;
}

static void each_item(sl_engine *e, task *t, item_fn *do_it) {
    sl_replay_item item;
    sl_messages_origin from;
    uint32_t place = 0;
    for (uint32_t i = 0; i < t->group->count; i++) {
        const sl_journal_record *r = &t->group->records[i];
        const uint8_t *body = t->group->bytes + r->body;
        const bool messages = r->format.kind == SL_FORMAT_MESSAGES;
        if (r->damaged || !items_carried(r->format))
            continue;
        size_t at = messages ? sl_messages_head(body, r->length, &from) : 0;
        if (messages && at == 0)
            continue;
        for (size_t n; (n = messages ? next_message(t, r, at, &item, &place) : sl_replay_get(body + at, r->length - at, &item)) != 0; at += n)
            do_it(e, t, i, &item, place);
    }
}

static void count(sl_engine *e, task *t, uint32_t carrier, const sl_replay_item *item, uint32_t place) {
    (void)e;
    (void)item;
    (void)place;
    t->item_count++;
    t->replays = t->replays || t->group->records[carrier].format.kind == SL_FORMAT_REPLAY;
}

void items_count(task *t) {
    t->item_count = 0;
    t->replays = false;
    each_item(NULL, t, count);
}

static void spread(sl_engine *e, task *t, uint32_t carrier, const sl_replay_item *item, uint32_t place) {
    const uint32_t begin = (uint32_t)(item->bytes - t->group->bytes);
    const uint64_t logged = t->group->offset + begin;
    const bool replay = t->group->records[carrier].format.kind == SL_FORMAT_REPLAY;
    t->shapes[t->record_count] = t->shapes[carrier];
    t->records[t->record_count++] = (sl_record){
        .position = replay ? item->position : logged,
        .logged = logged,
        .body = begin,
        .length = item->length,
        .arrival_us = item->arrival_us,
        .source = replay ? source_index(e, item->source, item->source_length) : t->records[carrier].source,
        .stream = t->records[carrier].stream,
        .format = item->format,
        .place = place,
        .carrier = carrier + 1,
        .replay = replay,
    };
}

void items_spread(sl_engine *e, task *t) { each_item(e, t, spread); }

void items_add_up(task *t) {
    for (uint32_t i = t->group->count; i < t->record_count; i++) {
        const sl_record *item = &t->records[i];
        if (item->replay)
            continue; /* Its outcome is told otherwise. */
        t->records[item->carrier - 1].accepted += item->accepted;
        t->records[item->carrier - 1].rejected += item->rejected;
    }
}

uint32_t items_index(const task *t, uint32_t record) {
    const uint32_t carrier = t->records[record].carrier;
    uint32_t first = record;
    while (first > t->group->count && t->records[first - 1].carrier == carrier)
        first--;
    return record - first;
}
