/* The newest claims: an array in the order of the log, which is what a cut writes, and an index of lines of
 * sixteen slots, at most half full; what doesn't fit into its line is in the next one that has room. Claims are never changed or moved, so others may read those that were there when they
 * were told. */
#include "private.h"

enum { SLOTS_MIN = 1024 };
static_assert(RUN_CLAIMS_MAX < 1 << NUMBER_BITS, "numbers fit into slots");

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

static uint32_t free_slot(const run *r, uint64_t high) {
    uint32_t at = run_line(r, high), free;
    while ((free = line_look(r->slots + at, 0).free) == 0)
        at = (at + LINE_SLOTS) & r->slot_mask;
    return at + (uint32_t)__builtin_ctz(free);
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
    uint32_t *slots = sl_aligned_alloc(LINE_SLOTS * sizeof *slots, size * sizeof *slots);
    if (slots == NULL) {
        memory_give(r->memory, size * sizeof *slots);
        return false;
    }
    memset(slots, 0, size * sizeof *slots);
    if (r->slots != NULL)
        memory_give(r->memory, ((uint64_t)r->slot_mask + 1) * sizeof *slots);
    sl_free(r->slots);
    r->slots = slots;
    r->slot_mask = size - 1;
    for (uint32_t i = 0; i < r->count; i++)
        r->slots[free_slot(r, run_claim(r, i)->high)] = run_tag(run_claim(r, i)->high) | (i + 1);
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

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* @return false: there is no memory for one more. */
static bool grow(run *r) {
    uint32_t chunk = r->count >> r->chunk_bits;
    if (r->chunks[chunk] == NULL && !grow_chunks(r))
        return false;
    if ((r->slots == NULL || 2 * (r->count + 1) > r->slot_mask + 1) && !grow_slots(r))
        return false;
    r->room = least(least(r->limit, (r->slot_mask + 1) / 2), (chunk + 1) << r->chunk_bits);
    return true;
}

sl_status run_add(run *r, uint64_t high, uint32_t low, uint64_t position, int64_t time_us) {
    if (r->count >= r->room && !grow(r))
        return SL_EFULL;
    if (r->count == 0) /* Times may also lie before the first one. */
        r->base = (claim_base){position, (int64_t)((uint64_t)time_us - (DELTA_MAX >> 1))};
    run_put(r, free_slot(r, high), high, low, position, time_us);
    extent_add(&r->extent, position, time_us);
    return SL_OK;
}

void run_meet(const run *r, uint32_t slot, question *q) {
    const claim *c = run_claim(r, (slot & NUMBER_MASK) - 1);
    if (c->high == q->high && c->low == q->low)
        question_meet(q, c, &r->base, r->valid_below);
}
