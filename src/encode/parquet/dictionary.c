#define XXH_INLINE_ALL
#include "dictionary.h"

#include <string.h>
#include <xxhash.h>

#define SLOTS_MIN 32u
#define PROBES_MAX 1024u
#define STEP_MIN 64u  /* New values that room is made for: small, so that a table starts small. */
#define STEP_MAX 256u /* What is known of a step's values stays in the first-level cache. */
#define LINE 4u       /* Slots of a line of the cache. */
#define CODE_BITS 28u
#define CODE_MASK ((UINT64_C(1) << CODE_BITS) - 1)
#define NUMBER_REST (UINT64_C(15) << CODE_BITS)
#define BIG_BYTES (256u << 10) /* Below this the values are in the cache anyway. */

__extension__ typedef unsigned __int128 wide;

/** A value as its slot has it, but for the code: the whole of it, or hash and length of a longer text, whose `rest` is 0. */
typedef struct look {
    uint64_t key, rest;
    uint32_t hash;
} look;

/** Both halves of the product: the bits of doubles lie high, those of small integers low. No `rest` makes the second factor 0: its low
 * bits are. */
static inline uint32_t mix(uint64_t key, uint64_t rest) {
    wide product = (wide)(key ^ 0x2545f4914f6cdd1du) * (rest ^ 0x9e3779b97f4a7c15u);
    return (uint32_t)(product ^ product >> 64);
}

static inline look look_at(sl_parquet_piece piece) {
    look it = {0};
    if (piece.length > SL_PARQUET_SHORT_BYTES) {
        uint64_t hash = XXH3_64bits(piece.bytes, piece.length);
        // The hash's low half finds the slot again when the table grows: 32 bits index any table we allow.
        return (look){hash << 32 | piece.length, 0, (uint32_t)hash};
    }
    uint32_t front, end = 0;
    if (piece.length >= 8) { // Overlapping words: with the length they still tell all texts apart.
        memcpy(&it.key, piece.bytes, 8);
        memcpy(&end, piece.bytes + piece.length - 4, 4);
    } else if (piece.length >= 4) {
        memcpy(&front, piece.bytes, 4);
        memcpy(&end, piece.bytes + piece.length - 4, 4);
        it.key = (uint64_t)end << 32 | front;
        end = 0;
    } else if (piece.length) {
        it.key = (uint64_t)piece.bytes[0] | (uint64_t)piece.bytes[piece.length / 2] << 8 |
                 (uint64_t)piece.bytes[piece.length - 1] << 16;
    }
    it.rest = (uint64_t)end << 32 | (uint64_t)(piece.length + 1) << CODE_BITS;
    it.hash = mix(it.key, it.rest);
    return it;
}

/** Whether the slot holds a number or a short text. */
static inline bool is_whole(sl_parquet_slot slot) { return slot.code >> CODE_BITS & 15; }

/** The next slot to look at after `probes` of them: the others of the line come first, then the next line. */
static inline uint32_t after(uint32_t at, uint32_t mask, uint32_t probes) {
    at = (at & ~(LINE - 1)) | ((at + 1) & (LINE - 1));
    return probes % LINE ? at : (at + LINE) & mask;
}

static void place(sl_parquet_slot *slots, uint32_t mask, sl_parquet_slot slot) {
    uint32_t hash = is_whole(slot) ? mix(slot.key, slot.code & ~CODE_MASK) : (uint32_t)(slot.key >> 32);
    uint32_t at = hash & mask;
    for (uint32_t probes = 1; slots[at].code; probes++)
        at = after(at, mask, probes);
    slots[at] = slot;
}

static sl_status enlarge(sl_parquet_dictionary *d, sl_parquet_store *store, size_t count) {
    size_t slots = d->slots ? (size_t)d->mask + 1 : 0, want = slots ? slots : SLOTS_MIN;
    while (want / 8 * 5 < d->count + count)
        want *= 2;
    if (want == slots)
        return SL_OK;
    if (want > CODE_MASK)
        return SL_ENOMEM;
    void *fresh;
    sl_status status = sl_parquet_take_zeroed(store, want * sizeof *d->slots, &fresh);
    if (status)
        return status;
    for (size_t i = 0; i < slots; i++)
        if (d->slots[i].code)
            place(fresh, (uint32_t)(want - 1), d->slots[i]);
    sl_parquet_give(store, d->slots, slots * sizeof *d->slots);
    d->slots = fresh;
    d->mask = (uint32_t)(want - 1);
    return SL_OK;
}

/** Make room for a step. @return how many values it may have; 0 with *status when there is none. */
static size_t begin_step(sl_parquet_dictionary *d, sl_parquet_store *store, size_t left,
                         sl_status *status) {
    *status = SL_OK;
    size_t free = d->slots ? ((size_t)d->mask + 1) / 8 * 5 - d->count : 0;
    size_t step = free >= STEP_MIN / 4 ? free : STEP_MIN; // A little room is used up before it doubles.
    step = step < STEP_MAX ? step : STEP_MAX;
    step = step < left ? step : left;
    *status = enlarge(d, store, step);
    return *status ? 0 : step;
}

static inline bool same(const uint8_t *a, const uint8_t *b, size_t length) {
    if (length >= 8) {
        uint64_t x, y;
        for (size_t i = 0; i + 8 < length; i += 8) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
            if (x != y)
                return false;
        }
        memcpy(&x, a + length - 8, 8);
        memcpy(&y, b + length - 8, 8);
        return x == y;
    }
    if (length >= 4) {
        uint32_t x, y, v, w;
        memcpy(&x, a, 4);
        memcpy(&y, b, 4);
        memcpy(&v, a + length - 4, 4);
        memcpy(&w, b + length - 4, 4);
        return x == y && v == w;
    }
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

static void add_slot(sl_parquet_dictionary *d, sl_parquet_slot *slot, look it) {
    uint64_t rest = it.rest ? it.rest : (uint64_t)d->length << 32;
    *slot = (sl_parquet_slot){it.key, rest | ++d->count};
}

static uint32_t add_text(sl_parquet_dictionary *d, sl_parquet_slot *slot, look it, sl_parquet_piece piece) {
    add_slot(d, slot, it);
    uint8_t *at = (uint8_t *)d->values.data + d->length;
    memcpy(at, &piece.length, 4);
    memcpy(at + 4, piece.bytes, piece.length);
    d->length += 4u + piece.length;
    return d->count - 1;
}

/** The slot of a number or short text, or the empty one where it belongs. */
static inline sl_parquet_slot *find_whole(sl_parquet_dictionary *d, look it) {
    uint32_t at = it.hash & d->mask;
    for (uint32_t probes = 1;; probes++) {
        sl_parquet_slot *slot = &d->slots[at];
        if (slot->key == it.key && !((slot->code ^ it.rest) & ~CODE_MASK))
            return slot;
        if (!slot->code) {
            d->spoilt |= probes > PROBES_MAX;
            return slot;
        }
        at = after(at, d->mask, probes);
    }
}

static inline uint32_t find_short(sl_parquet_dictionary *d, look it, sl_parquet_piece piece) {
    sl_parquet_slot *slot = find_whole(d, it);
    return slot->code ? (uint32_t)(slot->code & CODE_MASK) - 1 : add_text(d, slot, it, piece);
}

/** A place in a search for a longer text. */
typedef struct search {
    uint32_t at, probes;
} search;

/** On to the next slot with a longer text's hash and length, or the empty one that ends the search. Values aren't compared. */
static inline search candidate(const sl_parquet_dictionary *d, search s, uint64_t key) {
    while (d->slots[s.at].code && (d->slots[s.at].key != key || is_whole(d->slots[s.at])))
        s.at = after(s.at, d->mask, ++s.probes);
    return s;
}

static inline uint32_t find_long(sl_parquet_dictionary *d, search s, look it, sl_parquet_piece piece) {
    for (;; s.at = after(s.at, d->mask, ++s.probes)) {
        s = candidate(d, s, it.key);
        uint64_t code = d->slots[s.at].code;
        if (!code) {
            d->spoilt |= s.probes > PROBES_MAX;
            return add_text(d, &d->slots[s.at], it, piece);
        }
        if (same((const uint8_t *)d->values.data + (code >> 32) + 4, piece.bytes, piece.length))
            return (uint32_t)(code & CODE_MASK) - 1;
    }
}

/** The misses of longer texts' values overlap. */
static void begin_searches(const sl_parquet_dictionary *d, const look *looks, size_t count, search *searches) {
    const uint8_t *values = d->values.data;
    for (size_t i = 0; i < count; i++) {
        if (looks[i].rest)
            continue;
        searches[i] = candidate(d, searches[i], looks[i].key);
        uint64_t code = d->slots[searches[i].at].code;
        sl_touch(values + (code >> 32));
        sl_touch(values + (code >> 32) + 3 + (code ? (uint32_t)looks[i].key : 0));
    }
}

/** Fetch the slots first, then look up. */
static sl_status texts_step(sl_parquet_dictionary *d, sl_parquet_store *store,
                            const sl_parquet_piece *pieces, size_t count, uint32_t *codes) {
    look looks[STEP_MAX];
    search searches[STEP_MAX];
    size_t bytes = 0;
    bool any_long = false;
    for (size_t i = 0; i < count; i++) {
        looks[i] = look_at(pieces[i]);
        searches[i] = (search){looks[i].hash & d->mask, 0};
        any_long |= !looks[i].rest;
        bytes += 4u + pieces[i].length;
    }
    for (size_t i = 0; i < count; i++)
        sl_touch(&d->slots[searches[i].at]);
    sl_status status = sl_parquet_grow(store, &d->values, d->length + bytes);
    if (status)
        return status;
    if (any_long && d->length >= BIG_BYTES)
        begin_searches(d, looks, count, searches);
    for (size_t i = 0; i < count; i++)
        codes[i] = looks[i].rest ? find_short(d, looks[i], pieces[i])
                                 : find_long(d, searches[i], looks[i], pieces[i]);
    return SL_OK;
}

sl_status sl_parquet_dictionary_texts(sl_parquet_dictionary *d, sl_parquet_store *store,
                                      const sl_parquet_piece *pieces, size_t count,
                                      uint32_t *codes) {
    sl_status status = SL_OK;
    for (size_t step; count && !status; pieces += step, codes += step, count -= step) {
        step = begin_step(d, store, count, &status);
        if (!status)
            status = texts_step(d, store, pieces, step, codes);
    }
    return status;
}

static inline look look_at_number(int64_t number) {
    uint64_t key = (uint64_t)number;
    return (look){key, NUMBER_REST, mix(key, NUMBER_REST)};
}

static inline uint32_t find_number(sl_parquet_dictionary *d, int64_t number) {
    look it = look_at_number(number);
    sl_parquet_slot *slot = find_whole(d, it);
    if (slot->code)
        return (uint32_t)(slot->code & CODE_MASK) - 1;
    add_slot(d, slot, it);
    memcpy((uint8_t *)d->values.data + d->length, &number, 8);
    d->length += 8;
    return d->count - 1;
}

static sl_status numbers_step(sl_parquet_dictionary *d, sl_parquet_store *store,
                              const int64_t *numbers, size_t count, uint32_t *codes) {
    sl_status status = sl_parquet_grow(store, &d->values, d->length + count * sizeof *numbers);
    if (status)
        return status;
    if (d->count > 1024)
        for (size_t i = 0; i < count; i++)
            sl_touch(&d->slots[look_at_number(numbers[i]).hash & d->mask]);
    for (size_t i = 0; i < count; i++)
        codes[i] = find_number(d, numbers[i]);
    return SL_OK;
}

sl_status sl_parquet_dictionary_numbers(sl_parquet_dictionary *d, sl_parquet_store *store,
                                        const int64_t *numbers, size_t count, uint32_t *codes) {
    sl_status status = SL_OK;
    for (size_t step; count && !status; numbers += step, codes += step, count -= step) {
        step = begin_step(d, store, count, &status);
        if (!status)
            status = numbers_step(d, store, numbers, step, codes);
    }
    return status;
}

void sl_parquet_dictionary_close(sl_parquet_dictionary *d, sl_parquet_store *store) {
    if (d->slots)
        sl_parquet_give(store, d->slots, ((size_t)d->mask + 1) * sizeof *d->slots);
    d->slots = NULL;
    d->mask = 0;
}

void sl_parquet_dictionary_inherit(sl_parquet_dictionary *d, sl_parquet_dictionary *old) {
    if (old->slots)
        memset(old->slots, 0, ((size_t)old->mask + 1) * sizeof *old->slots);
    d->slots = old->slots;
    d->mask = old->mask;
    old->slots = NULL;
    old->mask = 0;
}

void sl_parquet_dictionary_fini(sl_parquet_dictionary *d, sl_parquet_store *store) {
    sl_parquet_dictionary_close(d, store);
    sl_parquet_release(store, &d->values);
    *d = (sl_parquet_dictionary){0};
}
