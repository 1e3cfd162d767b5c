// The walk: ^ set{n,m} set{n,m} … $

#include "regex_parts.h"

static void add_range(walk_step *s, unsigned from, unsigned to) {
    for (unsigned c = from; c <= to; c++)
        s->set[c >> 6] |= UINT64_C(1) << (c & 63);
}

static bool walk_escape(int c, walk_step *s) {
    if (c == 'd' || c == 'w')
        add_range(s, '0', '9');
    else if (c > 0x20 && c < 0x80 && !is_letter(c) && !is_digit(c))
        add_range(s, (unsigned)c, (unsigned)c);
    else
        return false;
    if (c == 'w') {
        add_range(s, 'a', 'z');
        add_range(s, 'A', 'Z');
        add_range(s, '_', '_');
    }
    return true;
}

/** A class of ASCII characters, ranges and plain escapes at *p. */
static bool walk_class(const uint8_t **p, const uint8_t *end, walk_step *s) {
    const uint8_t *q = *p + 1;
    if (q < end && *q == '^')
        return false;
    for (; q < end && *q != ']'; q++) {
        if (*q == '\\') {
            q++;
            if (q >= end || !walk_escape(*q, s) || (end - q > 1 && q[1] == '-'))
                return false;
        } else if (*q >= 0x80) {
            return false;
        } else if (end - q > 2 && q[1] == '-' && q[2] != ']') {
            if (q[2] >= 0x80 || q[2] == '\\' || q[2] < *q)
                return false;
            add_range(s, q[0], q[2]);
            q += 2;
        } else {
            add_range(s, *q, *q);
        }
    }
    *p = q + 1;
    return q < end;
}

static bool walk_number(const uint8_t **p, const uint8_t *end, uint32_t *out) {
    uint32_t value = 0;
    const uint8_t *begin = *p;
    for (; *p < end && is_digit(**p); ++*p) {
        if (value > 60000)
            return false;
        value = value * 10 + (uint32_t)(**p - '0');
    }
    *out = value;
    return *p != begin;
}

static bool walk_count(const uint8_t **p, const uint8_t *end, walk_step *s) {
    s->least = s->most = 1;
    if (*p >= end)
        return true;
    if (**p == '+' || **p == '*' || **p == '?') {
        s->least = **p == '+';
        s->most = **p == '?' ? 1 : UINT32_MAX;
        ++*p;
    } else if (**p == '{') {
        ++*p;
        if (!walk_number(p, end, &s->least))
            return false;
        s->most = s->least;
        if (*p < end && **p == ',') {
            ++*p;
            s->most = UINT32_MAX;
            if (*p < end && **p != '}' && !walk_number(p, end, &s->most))
                return false;
        }
        if (*p >= end || **p != '}' || s->most < s->least)
            return false;
        ++*p;
    }
    return *p >= end || memchr("?+*{", **p, 4) == NULL;
}

// Taking as many as possible is right only where what follows can't want one of them: a
// count that varies needs a next set that is disjoint, the end, or nothing behind it.
static bool walk_is_certain(const regex_walk *w) {
    for (uint32_t i = 0; i < w->step_count; i++) {
        const walk_step *a = &w->steps[i];
        if (a->least == a->most)
            continue;
        if (i + 1 == w->step_count)
            return true;
        for (uint32_t k = i + 1; k < w->step_count; k++) {
            const walk_step *b = &w->steps[k];
            if ((a->set[0] & b->set[0]) != 0 || (a->set[1] & b->set[1]) != 0)
                return false;
            if (b->least > 0)
                break;
        }
    }
    return true;
}

static bool is_literal(uint8_t c) {
    return c != 0 && c < 0x80 && strchr("^$.*+?()[]{}|\\", c) == NULL;
}

void sl_walk_compile(regex_walk *w, const uint8_t *p, size_t length) {
    const uint8_t *end = p + length;
    if (length == 0 || *p++ != '^')
        return;
    // Characters that no count follows: compared at once.
    while (end - p >= 2 && w->prefix_length < WALK_PREFIX_MAX && is_literal(p[0]) &&
           memchr("?+*{", p[1], 4) == NULL)
        w->prefix[w->prefix_length++] = *p++;
    for (; p < end && !(*p == '$' && p + 1 == end);) {
        if (w->step_count == WALK_STEPS_MAX)
            return;
        walk_step *s = &w->steps[w->step_count++];
        *s = (walk_step){0};
        if (*p == '[') {
            if (!walk_class(&p, end, s))
                return;
        } else if (*p == '\\') {
            if (end - p < 2 || !walk_escape(p[1], s))
                return;
            p += 2;
        } else if (!is_literal(*p)) {
            return;
        } else {
            add_range(s, *p, *p);
            p++;
        }
        if (!walk_count(&p, end, s))
            return;
    }
    w->open_end = p == end;
    w->simple = walk_is_certain(w);
}

bool sl_walk_matches(const regex_walk *w, const uint8_t *p, const uint8_t *end) {
    if ((size_t)(end - p) < w->prefix_length ||
        memcmp(p, w->prefix, w->prefix_length) != 0)
        return false;
    p += w->prefix_length;
    for (uint32_t i = 0; i < w->step_count; i++) {
        const walk_step *s = &w->steps[i];
        const uint8_t *begin = p;
        const uint8_t *stop = (uint64_t)(end - p) > s->most ? p + s->most : end;
        while (p < stop && *p < 0x80 && (s->set[*p >> 6] >> (*p & 63) & 1))
            p++;
        if ((size_t)(p - begin) < s->least)
            return false;
    }
    return w->open_end || p == end;
}
