#include "chunked.h"

static int digit_of(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static http_chunk_state read_size(http_chunks *chunks, uint8_t c) {
    int digit = digit_of(c);
    if (digit < 0)
        return c == '\r' && chunks->digits > 0 ? CHUNK_SIZE_FEED : CHUNK_BAD;
    /* 16 digits fill 64 bits; a 17th would overflow, or be a leading zero too many. */
    if (chunks->digits == 16)
        return CHUNK_BAD;
    chunks->digits++;
    chunks->left = chunks->left * 16 + (uint64_t)digit;
    return CHUNK_SIZE;
}

static http_chunk_state next_state(http_chunks *chunks, uint8_t c) {
    switch ((http_chunk_state)chunks->state) {
    case CHUNK_SIZE_FIRST:
        chunks->left = 0;
        chunks->digits = 0;
        return read_size(chunks, c);
    case CHUNK_SIZE:
        return read_size(chunks, c);
    case CHUNK_SIZE_FEED:
        if (c != '\n')
            return CHUNK_BAD;
        return chunks->left > 0 ? CHUNK_DATA : CHUNK_LAST_RETURN;
    case CHUNK_DATA_RETURN:
        return c == '\r' ? CHUNK_DATA_FEED : CHUNK_BAD;
    case CHUNK_DATA_FEED:
        return c == '\n' ? CHUNK_SIZE_FIRST : CHUNK_BAD;
    case CHUNK_LAST_RETURN:
        return c == '\r' ? CHUNK_LAST_FEED : CHUNK_BAD;
    case CHUNK_LAST_FEED:
        return c == '\n' ? CHUNK_DONE : CHUNK_BAD;
    case CHUNK_DATA:
    case CHUNK_DONE:
    case CHUNK_BAD:
        break;
    }
    return CHUNK_BAD;
}

size_t http_chunks_read(http_chunks *chunks, const uint8_t *bytes, size_t length,
                        const uint8_t **data, size_t *data_length) {
    size_t at = 0;
    *data = bytes;
    *data_length = 0;
    while (at < length && chunks->state < CHUNK_DONE) {
        if (chunks->state == CHUNK_DATA) {
            size_t n = chunks->left < length - at ? (size_t)chunks->left : length - at;
            *data = bytes + at;
            *data_length = n;
            chunks->left -= n;
            if (chunks->left == 0)
                chunks->state = CHUNK_DATA_RETURN;
            return at + n;
        }
        chunks->state = (uint8_t)next_state(chunks, bytes[at++]);
    }
    return at;
}
