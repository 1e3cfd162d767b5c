#include "sluice/hash.h"

#include "sluice/memory.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t sl_hash64(const void *bytes, size_t length, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, length, seed);
}

sl_hash128 sl_hash128_of(const void *bytes, size_t length) {
    XXH128_hash_t h = XXH3_128bits(bytes, length);
    return (sl_hash128){h.low64, h.high64};
}

/* An XXH3_state_t under our own name: libxxhash keeps its layout to itself. */
static XXH3_state_t *state_of(sl_hasher *hasher) {
    return (XXH3_state_t *)hasher;
}

sl_hasher *sl_hasher_create(void) {
    sl_hasher *hasher = (sl_hasher *)XXH3_createState();
    if (hasher != NULL)
        sl_hasher_reset(hasher);
    return hasher;
}

void sl_hasher_reset(sl_hasher *hasher) {
    (void)XXH3_128bits_reset(state_of(hasher));
}

void sl_hasher_add(sl_hasher *hasher, const void *bytes, size_t length) {
    (void)XXH3_128bits_update(state_of(hasher), bytes, length);
}

sl_hash128 sl_hasher_sum(const sl_hasher *hasher) {
    XXH128_hash_t h = XXH3_128bits_digest((const XXH3_state_t *)hasher);
    return (sl_hash128){h.low64, h.high64};
}

void sl_hasher_destroy(sl_hasher *hasher) {
    (void)XXH3_freeState(state_of(hasher));
}

void sl_hash128_text(sl_hash128 hash, char out[33]) {
    (void)snprintf(out, 33, "%016llx%016llx", (unsigned long long)hash.high,
                   (unsigned long long)hash.low);
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sl_hash128_parse(const char *text, sl_hash128 *out) {
    uint64_t part[2] = {0, 0};
    for (size_t i = 0; i < 32; i++) {
        int d = hex(text[i]);
        if (d < 0)
            return false;
        part[i / 16] = part[i / 16] << 4 | (uint64_t)d;
    }
    *out = (sl_hash128){.low = part[1], .high = part[0]};
    return true;
}
