// links: sluice_event
// Any bytes as a record's messages: what is read of them is written again, and read as the same.
#include "sluice/messages.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good)
        __builtin_trap();
}

static void address_again(const sl_message_item *item) {
    sl_message_address address;
    sl_buffer head = SL_BUFFER_EMPTY;
    const size_t length = sl_message_address_get(item->bytes, item->length, &address);
    sl_message_address_put(&head, &address);
    check(length == 0 || head.failed || (head.length == length && memcmp(head.bytes, item->bytes, length) == 0));
    sl_buffer_fini(&head);
}

static void same(sl_messages_reader *a, sl_messages_reader *b) {
    sl_message_item x, y;
    check(a->origin.length == b->origin.length && a->origin.from == b->origin.from && a->origin.history == b->origin.history);
    while (sl_messages_next(b, &y)) {
        check(sl_messages_next(a, &x) && x.length == y.length && x.place == y.place && x.arrival_us == y.arrival_us);
        check(memcmp(x.bytes, y.bytes, x.length) == 0);
    }
    check(b->index == b->count && b->at == b->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_buffer again = SL_BUFFER_EMPTY;
    sl_messages_reader first, second;
    sl_message_item item;
    if (!sl_messages_read(data, size, &first)) {
        check(!sl_messages_valid(data, size));
        return 0;
    }
    sl_messages_begin(&again, &first.origin);
    while (sl_messages_next(&first, &item)) {
        address_again(&item);
        if (!sl_messages_add(&again, &item))
            break;
    }
    if (!again.failed) {
        check(sl_messages_valid(data, size) == (first.index == first.count && first.at == size));
        check(sl_messages_valid(again.bytes, again.length) && sl_messages_read(again.bytes, again.length, &second));
        check(second.count == first.index && sl_messages_read(data, size, &first));
        same(&first, &second);
    }
    sl_buffer_fini(&again);
    return 0;
}
