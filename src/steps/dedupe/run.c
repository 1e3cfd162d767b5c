/* The newest claims: an array in the order of the log, which is what a cut writes, and an index of open addressing with
 * linear probing, at most half full. A slot is 13 bits of the hash and the claim's number + 1; 0 is free. Claims are never
 * changed or moved, so others may read those that were there when they were told. */
#include "private.h"

enum { NUMBER_BITS = 19, SLOTS_MIN = 1024 };
static_assert(RUN_CLAIMS_MAX < 1 << NUMBER_BITS, "numbers fit into slots");
#define NUMBER_MASK ((UINT32_C(1) << NUMBER_BITS) - 1)

void extent_join(extent *e, const extent *more) {
    if (more->claims == 0)
        return;
    uint64_t claims = e->claims + more->claims;
    extent_add(e, more->position_min, more->time_min);
    extent_add(e, more->position_max, more->time_max);
    e->claims = claims;
}

bool extent_fits(const extent *e) {
    return e->claims == 0 || (e->position_max - e->position_min <= DELTA_MAX &&
                              (uint64_t)e->time_max - (uint64_t)e->time_min <= DELTA_MAX);
}

bool memory_take(memory *m, uint64_t bytes) {
    if (sl_budget_take(&m->own, bytes) != SL_OK)
        return false;
    if (sl_budget_take(m->shared, bytes) == SL_OK)
        return true;
    sl_budget_give(&m->own, bytes);
    return false;
}

void memory_force(memory *m, uint64_t bytes) {
    sl_budget_force(&m->own, bytes);
    if (m->shared != NULL)
        sl_budget_force(m->shared, bytes);
}

void memory_give(memory *m, uint64_t bytes) {
    sl_budget_give(&m->own, bytes);
    if (m->shared != NULL)
        sl_budget_give(m->shared, bytes);
}

bool memory_over(const memory *m) {
    return sl_budget_used(&m->own) > m->own.limit ||
           (m->shared != NULL && sl_budget_used(m->shared) > m->shared->limit);
}

run *run_create(memory *m, uint32_t limit, uint32_t expected) {
    run *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->references = 1;
    r->extent = EXTENT_EMPTY;
    r->begin_watermark = SL_NO_TIME;
    r->valid_below = UINT64_MAX;
    r->limit = limit;
    r->expected = expected;
    while (r->chunk_bits < CHUNK_BITS && 1u << r->chunk_bits < limit)
        r->chunk_bits++;
    r->memory = m;
    r->tail_file = -1;
    return r;
}

void run_destroy(run *r) {
    for (uint32_t i = 0; i < CHUNKS_MAX && r->chunks[i] != NULL; i++) {
        sl_free(r->chunks[i]);
        memory_give(r->memory, sizeof(claim) << r->chunk_bits);
    }
    if (r->slots != NULL)
        memory_give(r->memory, ((uint64_t)r->slot_mask + 1) * sizeof *r->slots);
    sl_free(r->slots);
    sl_free(r);
}

static uint32_t tag_of(uint64_t high) { return (uint32_t)(high >> 20) & ~NUMBER_MASK; }

static void enter(run *r, uint64_t high, uint32_t number) {
    uint32_t at = (uint32_t)high & r->slot_mask;
    while (r->slots[at] != 0)
        at = (at + 1) & r->slot_mask;
    r->slots[at] = tag_of(high) | (number + 1);
}

static bool take(run *r, uint64_t bytes) {
    if (!r->forced)
        return memory_take(r->memory, bytes);
    memory_force(r->memory, bytes);
    return true;
}

static bool grow_slots(run *r) {
    uint32_t size = r->slots == NULL ? SLOTS_MIN : 2 * (r->slot_mask + 1);
    while (r->slots == NULL && size < 2 * r->expected)
        size *= 2;
    if (!take(r, size * sizeof *r->slots))
        return false;
    uint32_t *slots = sl_zeroed(size * sizeof *slots);
    if (slots == NULL) {
        memory_give(r->memory, size * sizeof *slots);
        return false;
    }
    if (r->slots != NULL)
        memory_give(r->memory, ((uint64_t)r->slot_mask + 1) * sizeof *slots);
    sl_free(r->slots);
    r->slots = slots;
    r->slot_mask = size - 1;
    for (uint32_t i = 0; i < r->count; i++)
        enter(r, run_claim(r, i)->high, i);
    return true;
}

static bool grow_chunks(run *r) {
    uint64_t bytes = sizeof(claim) << r->chunk_bits;
    if (!take(r, bytes))
        return false;
    claim *chunk = sl_malloc(bytes);
    if (chunk == NULL) {
        memory_give(r->memory, bytes);
        return false;
    }
    r->chunks[r->count >> r->chunk_bits] = chunk;
    return true;
}

sl_status run_add(run *r, uint64_t high, uint32_t low, uint64_t position, int64_t time_us) {
    uint32_t chunk = r->count >> r->chunk_bits;
    if (r->chunks[chunk] == NULL && !grow_chunks(r))
        return SL_EFULL;
    if ((r->slots == NULL || 2 * (r->count + 1) > r->slot_mask + 1) && !grow_slots(r))
        return SL_EFULL;
    if (r->count == 0) /* Times may also lie before the first one. */
        r->base = (claim_base){position, (int64_t)((uint64_t)time_us - (DELTA_MAX >> 1))};
    claim *c = &r->chunks[chunk][r->count & ((1u << r->chunk_bits) - 1)];
    c->high = high;
    c->low = low;
    claim_place(c, &r->base, position, time_us);
    enter(r, high, r->count);
    r->count++;
    extent_add(&r->extent, position, time_us);
    return SL_OK;
}

void run_search(const run *r, question *q) {
    if (r->slots == NULL)
        return;
    uint32_t tag = tag_of(q->high), slot;
    for (uint32_t at = (uint32_t)q->high & r->slot_mask; (slot = r->slots[at]) != 0;
         at = (at + 1) & r->slot_mask) {
        if ((slot & ~NUMBER_MASK) != tag)
            continue;
        const claim *c = run_claim(r, (slot & NUMBER_MASK) - 1);
        if (c->high == q->high && c->low == q->low)
            question_meet(q, c, &r->base, r->valid_below);
    }
}
