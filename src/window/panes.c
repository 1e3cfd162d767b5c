#include "panes.h"

#define TABLE_FIRST 64u
#define GROUPS_MAX (1u << 30)
#define POOL_BYTES 4096u

void sl_panes_init(sl_panes *panes, const sl_window_plan *plan, sl_window_purse *memory) {
    *panes = (sl_panes){.plan = plan, .memory = memory};
    size_t head = sizeof(sl_group) + plan->key_count * sizeof(sl_window_cell);
    panes->slots_at = (uint32_t)((head + 15) & ~(size_t)15);
    panes->stride = (panes->slots_at + plan->slot_bytes + 63u) & ~63u;
}

static size_t chunk_bytes(const sl_panes *panes) {
    return (size_t)panes->stride * SL_PANES_CHUNK;
}

void sl_panes_clear(sl_panes *panes) {
    sl_window_purse *memory = panes->memory;
    for (uint32_t i = 0; i < panes->count; i++)
        sl_slots_fini(panes->plan, sl_group_slots(panes, sl_panes_group(panes, i)),
                      memory);
    for (uint32_t i = 0; i < panes->chunk_count; i++)
        sl_window_purse_give(memory, panes->chunks[i], chunk_bytes(panes));
    sl_window_purse_give(memory, panes->chunks,
                         panes->chunk_capacity * sizeof *panes->chunks);
    sl_window_purse_give(memory, panes->table, panes->table_slots * sizeof *panes->table);
    while (panes->pool != NULL) {
        sl_panes_pool *pool = panes->pool;
        panes->pool = pool->next;
        sl_window_purse_give(memory, pool, pool->size);
    }
    panes->table = NULL;
    panes->chunks = NULL;
    panes->table_slots = panes->count = panes->chunk_count = panes->chunk_capacity = 0;
}

void sl_panes_fini(sl_panes *panes) {
    sl_panes_clear(panes);
    sl_buffer_fini(&panes->scratch);
}

// Put a group where its probe ends. There is a free slot.
static void place(sl_panes *panes, uint64_t hash, uint32_t number) {
    uint32_t i = (uint32_t)(hash >> panes->shift);
    while (panes->table[i].number != 0)
        i = (i + 1) & (panes->table_slots - 1);
    panes->table[i] = (sl_panes_slot){(uint32_t)hash, number + 1};
}

// At most half full, so that probes are short.
static bool grow_table(sl_panes *panes) {
    if (panes->count < panes->table_slots / 2)
        return true;
    uint32_t slots = panes->table_slots == 0 ? TABLE_FIRST : panes->table_slots * 2;
    sl_panes_slot *table = sl_window_purse_get(panes->memory, slots * sizeof *table);
    if (panes->count >= GROUPS_MAX || table == NULL) {
        sl_window_purse_give(panes->memory, table, slots * sizeof *table);
        return false;
    }
    sl_window_purse_give(panes->memory, panes->table,
                         panes->table_slots * sizeof *panes->table);
    panes->table = table;
    panes->table_slots = slots;
    panes->shift = 64 - (uint32_t)__builtin_ctz(slots);
    for (uint32_t i = 0; i < panes->count; i++)
        place(panes, sl_panes_group(panes, i)->hash, i);
    return true;
}

static bool grow_chunks(sl_panes *panes) {
    if (panes->count < panes->chunk_count << SL_PANES_CHUNK_BITS)
        return true;
    if (panes->chunk_count == panes->chunk_capacity) {
        uint32_t capacity = panes->chunk_capacity == 0 ? 16 : panes->chunk_capacity * 2;
        uint8_t **chunks = sl_window_purse_get(panes->memory, capacity * sizeof *chunks);
        if (chunks == NULL)
            return false;
        if (panes->chunk_count > 0)
            memcpy(chunks, panes->chunks, panes->chunk_count * sizeof *chunks);
        sl_window_purse_give(panes->memory, panes->chunks,
                             panes->chunk_capacity * sizeof *chunks);
        panes->chunks = chunks;
        panes->chunk_capacity = capacity;
    }
    uint8_t *chunk = sl_window_purse_get(panes->memory, chunk_bytes(panes));
    if (chunk == NULL)
        return false;
    panes->chunks[panes->chunk_count++] = chunk;
    return true;
}

static uint8_t *pool_get(sl_panes *panes, size_t length) {
    sl_panes_pool *pool = panes->pool;
    if (pool == NULL || pool->size - pool->used < length) {
        size_t size =
            sizeof *pool + length > POOL_BYTES ? sizeof *pool + length : POOL_BYTES;
        pool = sl_window_purse_get(panes->memory, size);
        if (pool == NULL)
            return NULL;
        *pool = (sl_panes_pool){panes->pool, size, sizeof *pool};
        panes->pool = pool;
    }
    uint8_t *bytes = (uint8_t *)pool + pool->used;
    pool->used += length;
    return bytes;
}

static sl_value cell_value(const sl_window_key *key, const sl_window_cell *cell) {
    sl_value value = {.type = key->type, .null = cell->null != 0, .scale = key->scale};
    if (value.null)
        return value;
    if (sl_is_text(key->type)) {
        value.as.text.bytes = cell->as.text;
        value.as.text.length = cell->length;
    } else if (key->type == SL_TYPE_DOUBLE) {
        memcpy(&value.as.f64, &cell->as.bits, sizeof value.as.f64);
    } else {
        value.as.i64 = (int64_t)cell->as.bits;
    }
    return value;
}

// The group's cells are the lane's, with texts in the key bytes that it owns.
static void own_cells(const sl_panes *panes, sl_group *group,
                      const sl_window_cell *const *cells, uint32_t lane) {
    const uint8_t *at = group->key;
    size_t left = group->key_length;
    for (uint32_t k = 0; k < panes->plan->key_count; k++) {
        sl_value value = {0};
        size_t length = sl_value_decode(at, left, &value);
        sl_window_cell *cell = &sl_group_cells(group)[k];
        *cell = cells[k][lane];
        if (sl_is_text(value.type) && !value.null)
            cell->as.text = value.as.text.bytes;
        at += length;
        left -= length;
    }
}

sl_group *sl_panes_create(sl_panes *panes, uint64_t hash, int64_t start_us,
                          const sl_window_cell *const *cells, uint32_t lane) {
    sl_buffer_clear(&panes->scratch);
    for (uint32_t k = 0; k < panes->plan->key_count; k++) {
        sl_value value = cell_value(&panes->plan->keys[k], &cells[k][lane]);
        sl_value_encode(&value, &panes->scratch);
    }
    if (panes->scratch.failed || !grow_table(panes) || !grow_chunks(panes))
        return NULL;
    uint8_t *key = pool_get(panes, panes->scratch.length);
    if (key == NULL)
        return NULL;
    if (panes->scratch.length > 0)
        memcpy(key, panes->scratch.bytes, panes->scratch.length);
    sl_group *group = sl_panes_group(panes, panes->count);
    *group = (sl_group){hash, start_us, 0, key, panes->scratch.length};
    own_cells(panes, group, cells, lane);
    place(panes, hash, panes->count++);
    return group;
}

static bool comes_first(const sl_group *a, const sl_group *b) {
    if (a->start_us != b->start_us)
        return a->start_us < b->start_us;
    return sl_text_compare(a->key, a->key_length, b->key, b->key_length) <= 0;
}

static void merge_runs(sl_group *const *from, size_t middle, size_t end, sl_group **to) {
    for (size_t a = 0, b = middle, i = 0; i < end; i++) {
        bool left = b >= end || (a < middle && comes_first(from[a], from[b]));
        to[i] = left ? from[a++] : from[b++];
    }
}

// Merge sort from the bottom: no memory beyond the second array.
sl_status sl_panes_sorted(const sl_panes *panes, sl_group ***out, uint32_t *count) {
    sl_group **sorted = sl_malloc((size_t)panes->count * 2 * sizeof(sl_group *));
    *out = NULL;
    *count = 0;
    if (sorted == NULL)
        return SL_ENOMEM;
    size_t used = 0;
    for (uint32_t i = 0; i < panes->count; i++)
        if (sl_panes_group(panes, i)->rows > 0)
            sorted[used++] = sl_panes_group(panes, i);
    sl_group **other = sorted + panes->count, **from = sorted, **to = other;
    for (size_t width = 1; width < used; width *= 2) {
        for (size_t at = 0; at < used; at += 2 * width) {
            size_t middle = used - at < width ? used - at : width;
            size_t end = used - at < 2 * width ? used - at : 2 * width;
            merge_runs(from + at, middle, end, to + at);
        }
        sl_group **swap = from;
        from = to;
        to = swap;
    }
    if (from != sorted && used > 0)
        memcpy(sorted, from, used * sizeof(sl_group *));
    *out = sorted;
    *count = (uint32_t)used;
    return SL_OK;
}
