// A text within a text, in time that grows with the sum of their lengths, whatever they
// hold: two fields of a hostile event may be searched for one another.
//
// Short parts are found by their first byte. Longer ones by the two-way algorithm of
// Crochemore and Perrin ("Two-way string-matching", J. ACM 38(3), 1991), which needs no
// memory: the part is cut where a maximal suffix begins; its right half is compared
// forwards, then its left half backwards, and each mismatch tells how far to go on.
// Backwards the same runs over both texts reversed.

#include "kernels.h"

#define SHORT_BYTES 32u

typedef struct reader {
    const uint8_t *bytes;
    int64_t length;
    bool backwards;
} reader;

static inline uint8_t at(const reader *r, int64_t i) {
    return r->bytes[r->backwards ? r->length - 1 - i : i];
}

// Where the greatest suffix begins, less one, by the order of bytes or its reverse.
static int64_t maximal_suffix(const reader *part, bool reverse, int64_t *period) {
    int64_t suffix = -1, j = 0, k = 1;
    *period = 1;
    while (j + k < part->length) {
        uint8_t a = at(part, j + k), b = at(part, suffix + k);
        if (a == b) {
            j += k == *period ? *period : 0;
            k = k == *period ? 1 : k + 1;
        } else if (reverse ? b < a : a < b) {
            j += k;
            k = 1;
            *period = j - suffix;
        } else {
            suffix = j++;
            k = *period = 1;
        }
    }
    return suffix;
}

static bool begins_again(const reader *part, int64_t period, int64_t length) {
    for (int64_t i = 0; i < length; i++)
        if (i + period >= part->length || at(part, i) != at(part, i + period))
            return false;
    return true;
}

// First place of `part` in `in` at or after `from`, or -1.
static int64_t two_way(const reader *in, const reader *part, int64_t from) {
    int64_t p, q, cut = maximal_suffix(part, false, &p);
    int64_t other = maximal_suffix(part, true, &q), n = part->length;
    if (other >= cut) {
        cut = other;
        p = q;
    }
    // Where the left half repeats by the period, what matched before needn't be compared
    // again: `known` is the last byte of it.
    bool periodic = begins_again(part, p, cut + 1);
    int64_t period = periodic ? p : (cut + 1 > n - cut - 1 ? cut + 1 : n - cut - 1) + 1;
    int64_t known = -1;
    while (from <= in->length - n) {
        int64_t i = (cut > known ? cut : known) + 1;
        while (i < n && at(part, i) == at(in, from + i))
            i++;
        if (i < n) {
            from += i - cut;
            known = -1;
            continue;
        }
        i = cut;
        while (i > known && at(part, i) == at(in, from + i))
            i--;
        if (i <= known)
            return from;
        from += period;
        known = periodic ? n - period - 1 : -1;
    }
    return -1;
}

uint32_t find_text(text t, text part, uint32_t from) {
    if (part.length == 0)
        return from;
    if (part.length > SHORT_BYTES) {
        reader in = {t.bytes, t.length, false}, sought = {part.bytes, part.length, false};
        int64_t place = two_way(&in, &sought, from);
        return place < 0 ? UINT32_MAX : (uint32_t)place;
    }
    while (t.length >= part.length && from <= t.length - part.length) {
        const uint8_t *first =
            memchr(t.bytes + from, part.bytes[0], t.length - part.length - from + 1);
        if (first == NULL)
            break;
        from = (uint32_t)(first - t.bytes);
        if (memcmp(first, part.bytes, part.length) == 0)
            return from;
        from++;
    }
    return UINT32_MAX;
}

uint32_t find_last_text(text t, text part, uint32_t from) {
    if (part.length > t.length)
        return UINT32_MAX;
    if (from > t.length - part.length)
        from = t.length - part.length;
    if (part.length > SHORT_BYTES) {
        reader in = {t.bytes, t.length, true}, sought = {part.bytes, part.length, true};
        int64_t place = two_way(&in, &sought, (int64_t)t.length - part.length - from);
        return place < 0 ? UINT32_MAX
                         : (uint32_t)((int64_t)t.length - part.length - place);
    }
    for (;; from--) {
        if (memcmp(t.bytes + from, part.bytes, part.length) == 0)
            return from;
        if (from == 0)
            return UINT32_MAX;
    }
}
