#define XXH_INLINE_ALL
#include "dictionary.h"

#include <string.h>
#include <xxhash.h>

#define SLOTS_MIN 32u
#define PROBES_MAX 1024u
#define STEP_MIN 64u  /* New values that room is made for: small, so that a table starts small. */
#define STEP_MAX 256u /* The hashes of a step stay in the first-level cache. */
#define BIG_BYTES (256u << 10) /* Below this the values are in the cache anyway. */

__extension__ typedef unsigned __int128 wide;

/** Both halves of the product: the bits of doubles lie high, those of small integers low. */
static inline uint64_t mix(uint64_t number) {
    wide product = (wide)(number ^ 0x2545f4914f6cdd1du) * 0x9e3779b97f4a7c15u;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t text_hash(const uint8_t *bytes, size_t length) {
    return XXH3_64bits(bytes, length);
}

/** The hash's low half finds the slot again when the table grows: 32 bits index any table we allow. */
static uint64_t text_key(uint64_t hash, uint32_t length) { return hash << 32 | length; }

static void place(sl_parquet_slot *slots, uint32_t mask, sl_parquet_slot slot, bool text) {
    uint32_t at = (uint32_t)(text ? slot.key >> 32 : mix(slot.key)) & mask;
    while (slots[at].code)
        at = (at + 1) & mask;
    slots[at] = slot;
}

static sl_status enlarge(sl_parquet_dictionary *d, sl_parquet_store *store, bool text, size_t count) {
    size_t slots = d->slots ? (size_t)d->mask + 1 : 0, want = slots ? slots : SLOTS_MIN;
    while (want / 8 * 5 < d->count + count)
        want *= 2;
    if (want == slots)
        return SL_OK;
    if (want > UINT32_MAX / 2)
        return SL_ENOMEM;
    void *fresh;
    sl_status status = sl_parquet_take_zeroed(store, want * sizeof *d->slots, &fresh);
    if (status)
        return status;
    for (size_t i = 0; i < slots; i++)
        if (d->slots[i].code)
            place(fresh, (uint32_t)(want - 1), d->slots[i], text);
    sl_parquet_give(store, d->slots, slots * sizeof *d->slots);
    d->slots = fresh;
    d->mask = (uint32_t)(want - 1);
    return SL_OK;
}

/** Make room for a step. @return how many values it may have; 0 with *status when there is none. */
static size_t begin_step(sl_parquet_dictionary *d, sl_parquet_store *store, bool text, size_t left,
                         sl_status *status) {
    *status = SL_OK;
    size_t free = d->slots ? ((size_t)d->mask + 1) / 8 * 5 - d->count : 0;
    size_t step = free >= STEP_MIN / 4 ? free : STEP_MIN; // A little room is used up before it doubles.
    step = step < STEP_MAX ? step : STEP_MAX;
    step = step < left ? step : left;
    *status = enlarge(d, store, text, step);
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

static uint32_t add_text(sl_parquet_dictionary *d, sl_parquet_slot *slot, uint64_t key,
                         sl_parquet_piece piece) {
    uint8_t *at = (uint8_t *)d->values.data + d->length;
    *slot = (sl_parquet_slot){key, (uint64_t)d->length << 32 | (d->count + 1)};
    memcpy(at, &piece.length, 4);
    memcpy(at + 4, piece.bytes, piece.length);
    d->length += 4u + piece.length;
    return d->count++;
}

static inline uint32_t find_text(sl_parquet_dictionary *d, uint64_t hash, sl_parquet_piece piece) {
    uint64_t key = text_key(hash, piece.length);
    uint32_t at = (uint32_t)hash & d->mask;
    for (unsigned probes = 0;; probes++, at = (at + 1) & d->mask) {
        sl_parquet_slot *slot = &d->slots[at];
        if (!slot->code) {
            d->spoilt |= probes > PROBES_MAX;
            return add_text(d, slot, key, piece);
        }
        const uint8_t *value = (const uint8_t *)d->values.data + (slot->code >> 32) + 4;
        if (slot->key == key && same(value, piece.bytes, piece.length))
            return (uint32_t)slot->code - 1;
    }
}

/** The slot where the key is, or the empty one that ends the search. Values aren't compared. */
static inline uint32_t candidate(const sl_parquet_dictionary *d, uint32_t at, uint64_t key) {
    at &= d->mask;
    for (unsigned probes = 0; d->slots[at].code && d->slots[at].key != key && probes < PROBES_MAX; probes++)
        at = (at + 1) & d->mask;
    return at;
}

/** A big dictionary: the misses of slots overlap, then those of values. */
static void find_texts(sl_parquet_dictionary *d, const uint64_t *hashes,
                       const sl_parquet_piece *pieces, size_t count, uint32_t *codes) {
    uint32_t slots[STEP_MAX];
    const uint8_t *values = d->values.data;
    for (size_t i = 0; i < count; i++) {
        slots[i] = candidate(d, (uint32_t)hashes[i], text_key(hashes[i], pieces[i].length));
        const uint8_t *value = values + (d->slots[slots[i]].code >> 32);
        sl_touch(value);
        sl_touch(value + 3 + (d->slots[slots[i]].code ? pieces[i].length : 0));
    }
    for (size_t i = 0; i < count; i++) {
        const sl_parquet_slot *slot = &d->slots[slots[i]];
        bool found = slot->code && slot->key == text_key(hashes[i], pieces[i].length) &&
                     same(values + (slot->code >> 32) + 4, pieces[i].bytes, pieces[i].length);
        codes[i] = found ? (uint32_t)slot->code - 1 : find_text(d, hashes[i], pieces[i]);
    }
}

/** Hash and fetch first, then look up. */
static sl_status texts_step(sl_parquet_dictionary *d, sl_parquet_store *store,
                            const sl_parquet_piece *pieces, size_t count, uint32_t *codes) {
    uint64_t hashes[STEP_MAX];
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        hashes[i] = text_hash(pieces[i].bytes, pieces[i].length);
        bytes += 4u + pieces[i].length;
    }
    for (size_t i = 0; i < count; i++)
        sl_touch(&d->slots[(uint32_t)hashes[i] & d->mask]);
    sl_status status = sl_parquet_grow(store, &d->values, d->length + bytes);
    if (status)
        return status;
    if (d->length >= BIG_BYTES)
        find_texts(d, hashes, pieces, count, codes);
    else
        for (size_t i = 0; i < count; i++)
            codes[i] = find_text(d, hashes[i], pieces[i]);
    return SL_OK;
}

sl_status sl_parquet_dictionary_texts(sl_parquet_dictionary *d, sl_parquet_store *store,
                                      const sl_parquet_piece *pieces, size_t count,
                                      uint32_t *codes) {
    sl_status status = SL_OK;
    for (size_t step; count && !status; pieces += step, codes += step, count -= step) {
        step = begin_step(d, store, true, count, &status);
        if (!status)
            status = texts_step(d, store, pieces, step, codes);
    }
    return status;
}

static inline uint32_t find_number(sl_parquet_dictionary *d, int64_t number) {
    uint64_t key = (uint64_t)number;
    uint32_t at = (uint32_t)mix(key) & d->mask;
    for (unsigned probes = 0;; probes++, at = (at + 1) & d->mask) {
        sl_parquet_slot *slot = &d->slots[at];
        if (!slot->code) {
            d->spoilt |= probes > PROBES_MAX;
            *slot = (sl_parquet_slot){key, d->count + 1u};
            memcpy((uint8_t *)d->values.data + d->length, &number, 8);
            d->length += 8;
            return d->count++;
        }
        if (slot->key == key)
            return (uint32_t)slot->code - 1;
    }
}

static sl_status numbers_step(sl_parquet_dictionary *d, sl_parquet_store *store,
                              const int64_t *numbers, size_t count, uint32_t *codes) {
    sl_status status = sl_parquet_grow(store, &d->values, d->length + count * sizeof *numbers);
    if (status)
        return status;
    if (d->count > 1024)
        for (size_t i = 0; i < count; i++)
            sl_touch(&d->slots[(uint32_t)mix((uint64_t)numbers[i]) & d->mask]);
    for (size_t i = 0; i < count; i++)
        codes[i] = find_number(d, numbers[i]);
    return SL_OK;
}

sl_status sl_parquet_dictionary_numbers(sl_parquet_dictionary *d, sl_parquet_store *store,
                                        const int64_t *numbers, size_t count, uint32_t *codes) {
    sl_status status = SL_OK;
    for (size_t step; count && !status; numbers += step, codes += step, count -= step) {
        step = begin_step(d, store, false, count, &status);
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
