/** @file buffer.h
 * Growable bytes with a sticky error: after a failure writes do nothing; check once at the end.
 *
 * Threads  Its owner.
 */
#pragma once

#include "sluice/memory.h"

#include <string.h>

typedef struct sl_buffer {
    uint8_t *bytes;
    size_t length, capacity;
    bool failed; /**< Sticky: an allocation failed; the content is incomplete. */
} sl_buffer;

#define SL_BUFFER_EMPTY ((sl_buffer){0})

/** Make room for `more` bytes beyond length. @return false (and failed is set) when out of memory. */
bool sl_buffer_reserve(sl_buffer *buffer, size_t more);
void sl_buffer_append(sl_buffer *buffer, const void *bytes, size_t length);
void sl_buffer_text(sl_buffer *buffer, const char *text);
void sl_buffer_printf(sl_buffer *buffer, const char *format, ...) SL_PRINTF(2, 3);
/** JSON string with quotes and escapes; invalid UTF-8 becomes U+FFFD. */
void sl_buffer_json_string(sl_buffer *buffer, const char *text, size_t length);
/** RFC 4648 section 4, with padding and without quotes. */
void sl_buffer_base64(sl_buffer *buffer, const void *bytes, size_t length);
/** Append a 0 byte that length does not count. @return the text; "" after a failure. */
const char *sl_buffer_cstr(sl_buffer *buffer);
void sl_buffer_clear(sl_buffer *buffer); /**< Keeps the memory, forgets the failure. */
void sl_buffer_fini(sl_buffer *buffer);

static inline void sl_buffer_byte(sl_buffer *buffer, uint8_t byte) {
    if (buffer->length < buffer->capacity || sl_buffer_reserve(buffer, 1))
        buffer->bytes[buffer->length++] = byte;
}
static inline void sl_buffer_u32(sl_buffer *buffer, uint32_t value) {
    uint8_t b[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                    (uint8_t)(value >> 24)};
    sl_buffer_append(buffer, b, 4);
}
static inline void sl_buffer_u64(sl_buffer *buffer, uint64_t value) {
    sl_buffer_u32(buffer, (uint32_t)value);
    sl_buffer_u32(buffer, (uint32_t)(value >> 32));
}
/** LEB128, as Thrift, Parquet and protobuf write it. */
static inline void sl_buffer_varint(sl_buffer *buffer, uint64_t value) {
    while (value > 127) {
        sl_buffer_byte(buffer, (uint8_t)(value | 128));
        value >>= 7;
    }
    sl_buffer_byte(buffer, (uint8_t)value);
}
static inline void sl_buffer_zigzag(sl_buffer *buffer, int64_t value) {
    sl_buffer_varint(buffer, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}
