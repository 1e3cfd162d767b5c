#include "memory.h"

void *sl_window_purse_get(sl_window_purse *memory, size_t size) {
    if (sl_budget_take(memory->budget, size) != SL_OK)
        return NULL;
    // aligned_alloc() wants a multiple of the alignment.
    size_t rounded = (size + 63) & ~(size_t)63;
    void *block = sl_aligned_alloc(64, rounded);
    if (block == NULL) {
        sl_budget_give(memory->budget, size);
        return NULL;
    }
    memset(block, 0, size);
    memory->bytes += size;
    return block;
}

void sl_window_purse_give(sl_window_purse *memory, void *block, size_t size) {
    if (block == NULL)
        return;
    sl_free(block);
    memory->bytes -= size;
    sl_budget_give(memory->budget, size);
}

const uint8_t *sl_window_read_bytes(sl_window_reader *reader, size_t length) {
    if (reader->bad || (size_t)(reader->end - reader->at) < length) {
        reader->bad = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += length;
    return bytes;
}

uint8_t sl_window_read_byte(sl_window_reader *reader) {
    const uint8_t *byte = sl_window_read_bytes(reader, 1);
    return byte == NULL ? 0 : *byte;
}

// LEB128. A form longer than needed is damage: equal content has equal bytes.
uint64_t sl_window_read_varint(sl_window_reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = sl_window_read_byte(reader);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            if (byte == 0 && shift > 0)
                break;
            return reader->bad ? 0 : value;
        }
    }
    reader->bad = true;
    return 0;
}

int64_t sl_window_read_zigzag(sl_window_reader *reader) {
    uint64_t value = sl_window_read_varint(reader);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

double sl_window_read_double(sl_window_reader *reader) {
    const uint8_t *b = sl_window_read_bytes(reader, 8);
    uint64_t bits = 0;
    for (unsigned i = 0; b != NULL && i < 8; i++)
        bits |= (uint64_t)b[i] << (8 * i);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void sl_window_write_double(sl_buffer *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    sl_buffer_u64(out, bits);
}
