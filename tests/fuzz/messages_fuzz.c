// links: sluice_event
// Any bytes as a record's messages: what is read of them is written again to the same bytes.
#include "sluice/messages.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_buffer again = SL_BUFFER_EMPTY;
    sl_messages_origin origin;
    sl_message_item item;
    sl_message_address address;
    size_t at = sl_messages_head(data, size, &origin);
    if (at == 0) {
        if (sl_messages_valid(data, size))
            __builtin_trap();
        return 0;
    }
    sl_messages_begin(&again, &origin);
    for (size_t n; (n = sl_messages_next(data + at, size - at, &item)) != 0; at += n) {
        if (!sl_messages_add(&again, &item))
            break;
        sl_buffer head = SL_BUFFER_EMPTY;
        const size_t length = sl_message_address_get(item.bytes, item.length, &address);
        sl_message_address_put(&head, &address);
        if (length != 0 && !head.failed && (head.length != length || memcmp(head.bytes, item.bytes, length) != 0))
            __builtin_trap();
        sl_buffer_fini(&head);
    }
    if (!again.failed && (again.length != at || memcmp(again.bytes, data, at) != 0))
        __builtin_trap();
    if (!again.failed && sl_messages_valid(data, size) != (at == size))
        __builtin_trap();
    sl_buffer_fini(&again);
    return 0;
}
