// The groups of all open panes of one worker, in one open-addressing table.
//
// Group    head | key cells | slots of the measures; a multiple of 64 bytes, in chunks
// that never move. Table    8 bytes a slot: 32 bits of the hash and the group's number.
// The hash covers window start and key, so a pane
//          is no structure of its own: all its groups have its start.
// Key      Cells compare as numbers or texts; the canonical bytes are written once, when
// the group appears.
#pragma once

#include "private.h"

typedef struct sl_window_cell {
    union {
        uint64_t
            bits; // Of an integer, or of a double without -0.0 and odd NaNs; 0 when null.
        const uint8_t *text;
    } as;
    uint32_t length; // Of the text.
    uint32_t null;
} sl_window_cell;

typedef struct sl_group {
    uint64_t hash;
    int64_t start_us;
    uint64_t rows; // 0: it appeared in a row that was refused in the end.
    const uint8_t *key;
    size_t key_length;
} sl_group;

typedef struct sl_panes_slot {
    uint32_t tag, number; // Group's number + 1; 0 is free.
} sl_panes_slot;

typedef struct sl_panes_pool { // Key bytes.
    struct sl_panes_pool *next;
    size_t size, used;
} sl_panes_pool;

typedef struct sl_panes {
    const sl_window_plan *plan;
    sl_window_purse *memory;
    sl_panes_slot *table;
    uint32_t table_slots, shift; // The hash's upper bits choose: slot = hash >> shift.
    uint32_t count;
    uint8_t **chunks;
    uint32_t chunk_count, chunk_capacity;
    uint32_t slots_at, stride; // Of a group.
    sl_panes_pool *pool;
    sl_buffer scratch;
} sl_panes;

#define SL_PANES_CHUNK_BITS 5u
#define SL_PANES_CHUNK (1u << SL_PANES_CHUNK_BITS)

void sl_panes_init(sl_panes *panes, const sl_window_plan *plan, sl_window_purse *memory);
// Drop all groups and their memory.
void sl_panes_clear(sl_panes *panes);
void sl_panes_fini(sl_panes *panes);
// A new group at the end of its probe; NULL: no memory, nothing changed.
sl_group *sl_panes_create(sl_panes *panes, uint64_t hash, int64_t start_us,
                          const sl_window_cell *const *cells, uint32_t lane);
// Groups that have rows, oldest window first, then by key bytes. The caller frees *out.
SL_CHECKED sl_status sl_panes_sorted(const sl_panes *panes, sl_group ***out,
                                     uint32_t *count);

static inline sl_group *sl_panes_group(const sl_panes *panes, uint32_t number) {
    void *group = panes->chunks[number >> SL_PANES_CHUNK_BITS] +
                  (size_t)(number & (SL_PANES_CHUNK - 1)) * panes->stride;
    return group;
}

static inline sl_window_cell *sl_group_cells(sl_group *group) {
    void *cells = group + 1;
    return cells;
}

static inline uint8_t *sl_group_slots(const sl_panes *panes, sl_group *group) {
    return (uint8_t *)group + panes->slots_at;
}

// As memcmp() == 0, without a call: keys are short.
static inline bool sl_same_bytes(const uint8_t *a, const uint8_t *b, size_t length) {
    uint64_t x, y;
    if (length >= 8) {
        for (size_t at = 0; at + 8 < length; at += 8) {
            memcpy(&x, a + at, 8);
            memcpy(&y, b + at, 8);
            if (x != y)
                return false;
        }
        memcpy(&x, a + length - 8, 8); // Overlaps what was compared.
        memcpy(&y, b + length - 8, 8);
        return x == y;
    }
    for (size_t at = 0; at < length; at++)
        if (a[at] != b[at])
            return false;
    return true;
}

static inline bool sl_cell_equal(const sl_window_cell *a, const sl_window_cell *b,
                                 bool text) {
    if (a->length != b->length || a->null != b->null)
        return false;
    if (text)
        return sl_same_bytes(a->as.text, b->as.text, a->length);
    return a->as.bits == b->as.bits;
}
