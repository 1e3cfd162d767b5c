#include "sluice/buffer.h"

#include <stdarg.h>
#include <stdio.h>

bool sl_buffer_reserve(sl_buffer *buffer, size_t more) {
    if (buffer->failed)
        return false;
    if (more <= buffer->capacity - buffer->length)
        return true;
    size_t wanted = buffer->length + more;
    size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity;
    while (capacity < wanted) {
        if (capacity > SIZE_MAX / 2) {
            buffer->failed = true;
            return false;
        }
        capacity *= 2;
    }
    uint8_t *bytes = wanted < buffer->length ? NULL : sl_realloc(buffer->bytes, capacity);
    if (bytes == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

void sl_buffer_append(sl_buffer *buffer, const void *bytes, size_t length) {
    if (length == 0 || !sl_buffer_reserve(buffer, length))
        return;
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

void sl_buffer_text(sl_buffer *buffer, const char *text) {
    sl_buffer_append(buffer, text, strlen(text));
}

void sl_buffer_printf(sl_buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char small[256];
    int n = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (n < 0) {
        buffer->failed = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        sl_buffer_append(buffer, small, (size_t)n);
        return;
    }
    if (!sl_buffer_reserve(buffer, (size_t)n + 1))
        return;
    va_start(arguments, format);
    (void)vsnprintf((char *)buffer->bytes + buffer->length, (size_t)n + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)n;
}

/* Length of the UTF-8 sequence at `text`, 0 when it is none (RFC 3629 section 4). */
static size_t sequence(const uint8_t *text, size_t length) {
    uint8_t c = text[0];
    if (c < 0x80)
        return 1;
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || length < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) ||
        (c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return n;
}

void sl_buffer_json_string(sl_buffer *buffer, const char *text, size_t length) {
    const uint8_t *bytes = (const uint8_t *)text;
    sl_buffer_byte(buffer, '"');
    for (size_t i = 0; i < length;) {
        size_t n = sequence(bytes + i, length - i);
        uint8_t c = bytes[i];
        if (n == 0) {
            sl_buffer_text(buffer, "\xef\xbf\xbd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            sl_buffer_byte(buffer, '\\');
            sl_buffer_byte(buffer, c);
        } else if (c == '\n') {
            sl_buffer_text(buffer, "\\n");
        } else if (c < 0x20 || c == 0x7f) {
            sl_buffer_printf(buffer, "\\u%04x", c);
        } else {
            sl_buffer_append(buffer, bytes + i, n);
        }
        i += n;
    }
    sl_buffer_byte(buffer, '"');
}

void sl_buffer_base64(sl_buffer *buffer, const void *bytes, size_t length) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (!sl_buffer_reserve(buffer, (length + 2) / 3 * 4))
        return;
    uint8_t *out = buffer->bytes + buffer->length;
    const uint8_t *p = bytes;
    for (size_t left = length; left > 0; p += 3, out += 4) {
        uint32_t group = (uint32_t)p[0] << 16 | (left > 1 ? (uint32_t)p[1] << 8 : 0) | (left > 2 ? p[2] : 0u);
        out[0] = (uint8_t)alphabet[group >> 18];
        out[1] = (uint8_t)alphabet[group >> 12 & 63];
        out[2] = left > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        out[3] = left > 2 ? (uint8_t)alphabet[group & 63] : '=';
        left -= left > 3 ? 3 : left;
    }
    buffer->length += (length + 2) / 3 * 4;
}

const char *sl_buffer_cstr(sl_buffer *buffer) {
    if (!sl_buffer_reserve(buffer, 1))
        return "";
    buffer->bytes[buffer->length] = 0;
    return (const char *)buffer->bytes;
}

void sl_buffer_clear(sl_buffer *buffer) {
    buffer->length = 0;
    buffer->failed = false;
}

void sl_buffer_fini(sl_buffer *buffer) {
    sl_free(buffer->bytes);
    *buffer = SL_BUFFER_EMPTY;
}
