#include "private.h"

enum { HEAD = 24, FILE_BYTES = 61 };
static const char magic[8] = "sluiceF1";

bool sl_tail_add(tail_state *state, const tail_file *file) {
    if (state->count == state->capacity) {
        uint32_t capacity = state->capacity == 0 ? 16 : 2 * state->capacity;
        tail_file *files = sl_realloc(state->files, capacity * sizeof *files);
        if (files == NULL)
            return false;
        state->files = files;
        state->capacity = capacity;
    }
    state->files[state->count++] = *file;
    return true;
}

void sl_tail_state_fini(tail_state *state) {
    for (uint32_t i = 0; i < state->count; i++)
        sl_free(state->files[i].path);
    sl_free(state->files);
    sl_buffer_fini(&state->body);
    *state = (tail_state){0};
}

static uint32_t sum(const uint8_t *bytes, size_t length) {
    return sl_crc32c(sl_crc32c(0, bytes + 8, 12), bytes + HEAD, length - HEAD);
}

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

void sl_tail_encode(const tail_state *state, sl_buffer *out) {
    sl_buffer_clear(out);
    sl_buffer_append(out, magic, sizeof magic);
    sl_buffer_u64(out, state->number);
    sl_buffer_u64(out, 0); /* Length and sum. */
    sl_buffer_u64(out, state->next_serial);
    sl_buffer_u32(out, state->count);
    for (uint32_t i = 0; i < state->count; i++) {
        const tail_file *f = &state->files[i];
        const uint64_t numbers[] = {f->device, f->inode, f->serial, f->offset, f->copy_of};
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            sl_buffer_u64(out, numbers[k]);
        sl_buffer_u32(out, f->beginning);
        sl_buffer_u64(out, f->hash.low);
        sl_buffer_u64(out, f->hash.high);
        sl_buffer_byte(out, f->ghost);
    }
    sl_buffer_u64(out, state->serial);
    sl_buffer_u64(out, state->from);
    sl_buffer_u64(out, state->to);
    sl_buffer_u32(out, (uint32_t)state->body.length);
    sl_buffer_append(out, state->body.bytes, state->body.length);
    if (out->failed)
        return;
    put32(out->bytes + 16, (uint32_t)(out->length - HEAD));
    put32(out->bytes + 20, sum(out->bytes, out->length));
}

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static uint64_t get(reader *r, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    return value;
}

static size_t left(const reader *r) { return (size_t)(r->end - r->at); }

static sl_status get_file(reader *r, tail_state *state) {
    tail_file f = {.file = -1};
    f.device = get(r, 8);
    f.inode = get(r, 8);
    f.serial = get(r, 8);
    f.offset = get(r, 8);
    f.copy_of = get(r, 8);
    f.beginning = (uint32_t)get(r, 4);
    f.hash.low = get(r, 8);
    f.hash.high = get(r, 8);
    f.ghost = get(r, 1) != 0;
    if (f.beginning > BEGINNING_MAX || f.offset > INT64_MAX)
        return SL_ECORRUPT;
    return sl_tail_add(state, &f) ? SL_OK : SL_ENOMEM;
}

sl_status sl_tail_decode(tail_state *state, const uint8_t *bytes, size_t length) {
    reader r = {bytes + 8, bytes + length};
    if (length < HEAD + 12 || memcmp(bytes, magic, sizeof magic) != 0)
        return SL_ECORRUPT;
    state->number = get(&r, 8);
    size_t rest = (size_t)get(&r, 4);
    uint32_t crc = (uint32_t)get(&r, 4);
    if (rest > left(&r) || rest < 12 || crc != sum(bytes, HEAD + rest))
        return SL_ECORRUPT;
    r.end = r.at + rest;
    state->next_serial = get(&r, 8);
    uint32_t count = (uint32_t)get(&r, 4);
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < count && status == SL_OK; i++)
        status = left(&r) < FILE_BYTES ? SL_ECORRUPT : get_file(&r, state);
    if (status != SL_OK || left(&r) < 28)
        return status != SL_OK ? status : SL_ECORRUPT;
    state->serial = get(&r, 8);
    state->from = get(&r, 8);
    state->to = get(&r, 8);
    size_t body = (size_t)get(&r, 4);
    if (body != left(&r) || state->to < state->from || state->to > INT64_MAX)
        return SL_ECORRUPT;
    sl_buffer_append(&state->body, r.at, body);
    return state->body.failed ? SL_ENOMEM : SL_OK;
}
