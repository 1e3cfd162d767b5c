// Memory that is counted in a budget, and a reader of stored bytes that never leaves
// them.
#pragma once

#include "sluice/buffer.h"

// Who pays for the panes of one worker. A NULL budget only counts.
typedef struct sl_window_purse {
    sl_budget *budget;
    size_t bytes;
} sl_window_purse;

// NULL when the budget or the allocator says no; 64-byte aligned, zeroed.
void *sl_window_purse_get(sl_window_purse *memory, size_t size);
// `size` is what was asked for.
void sl_window_purse_give(sl_window_purse *memory, void *block, size_t size);

// Stored bytes. After a read that they can't answer `bad` is set and every answer is 0.
typedef struct sl_window_reader {
    const uint8_t *at, *end;
    bool bad;
} sl_window_reader;

uint8_t sl_window_read_byte(sl_window_reader *reader);
uint64_t sl_window_read_varint(sl_window_reader *reader);
int64_t sl_window_read_zigzag(sl_window_reader *reader);
double sl_window_read_double(sl_window_reader *reader);
const uint8_t *sl_window_read_bytes(sl_window_reader *reader, size_t length);
void sl_window_write_double(sl_buffer *out, double value);
