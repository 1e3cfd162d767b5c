// The decoder's algorithm. Included by kernel_scalar.c, kernel_sse2.c and kernel_avx2.c,
// which define before:
//
//   TARGET          attribute that lets a function use the instructions
//   KERNEL          name of the sl_kernel to define
//   entry_matches() does the text at `p` begin with the entry's `"key":`?
//   find_stop()     length of the run at `p` without quote, backslash and control
//   character, at
//                   most STRIDE; *high is non-zero when a byte before the stop is not
//                   ASCII
//   STRIDE          bytes that find_stop() looks at
//
// All three give the same answers, positions of errors included: they differ only in how
// many bytes one comparison takes.
//
// Bounds. `p` never passes `end`. *end may be read, and comparisons read up to 32 bytes
// behind `end`; what they find there is thrown away: a key must end before `end` to
// match, a string's stop must lie before `end`, and each value must.

#include "number.h"

#define PREDICTED(p, e) (end - (p) > (e)->length && entry_matches((p), (e)))

TARGET static const uint8_t *skip_value(sl_decoder *decoder, const uint8_t *p,
                                        unsigned depth);

static inline const uint8_t *spaces(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}
#define SKIP_SPACES(p)                                                                   \
    do {                                                                                 \
        if (UNLIKELY(*(p) <= ' '))                                                       \
            (p) = spaces((p), end);                                                      \
    } while (0)

/** `p` behind the opening quote. @return at the closing quote, or NULL. */
TARGET static inline const uint8_t *scan_string(sl_decoder *decoder, const uint8_t *p,
                                                bool *escaped) {
    const uint8_t *const begin = p, *const end = decoder->end;
    uint32_t high = 0;
    *escaped = false;
    for (;;) {
        unsigned run = find_stop(p, end, &high);
        p += run;
        if (UNLIKELY(p >= end))
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, end, "unterminated string");
        if (run == STRIDE)
            continue;
        if (LIKELY(*p == '"'))
            break;
        if (*p != '\\')
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, p,
                                  "control character in a string");
        const char *text;
        const uint8_t *at;
        p = sl_text_escape_check(p, end, &text, &at);
        if (p == NULL)
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, at, text);
        *escaped = true;
    }
    if (high != 0) {
        const uint8_t *bad = sl_text_utf8_check(begin, p);
        if (UNLIKELY(bad != NULL))
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, bad, "invalid UTF-8");
    }
    return p;
}

TARGET static inline const uint8_t *scan_number(sl_decoder *decoder, const uint8_t *p,
                                                json_number *out) {
    const uint8_t *behind = number_scan(p, decoder->end, out);
    if (LIKELY(behind != NULL))
        return behind;
    const uint8_t *at = p;
    behind = sl_number_scan(p, decoder->end, out, &at);
    if (behind == NULL)
        return sl_decode_fail(decoder, SL_CODE_SYNTAX, at, "invalid number");
    return behind;
}

static inline bool is_literal(const uint8_t *p, const uint8_t *end, const char *text,
                              size_t length) {
    return (size_t)(end - p) >= length && memcmp(p, text, length) == 0;
}

/** Anything but an object or array. */
TARGET static const uint8_t *skip_scalar(sl_decoder *decoder, const uint8_t *p) {
    const uint8_t *const end = decoder->end;
    json_number ignored;
    bool escaped;
    switch (*p) {
    case '"':
        p = scan_string(decoder, p + 1, &escaped);
        return p == NULL ? NULL : p + 1;
    case 't':
        if (is_literal(p, end, "true", 4))
            return p + 4;
        break;
    case 'f':
        if (is_literal(p, end, "false", 5))
            return p + 5;
        break;
    case 'n':
        if (is_literal(p, end, "null", 4))
            return p + 4;
        break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return scan_number(decoder, p, &ignored);
    default:
        break;
    }
    return sl_decode_fail(decoder, SL_CODE_SYNTAX, p, "no value");
}

/** `p` at a key's quote. @return at the value, or NULL. */
TARGET static const uint8_t *skip_key(sl_decoder *decoder, const uint8_t *p) {
    const uint8_t *const end = decoder->end;
    bool escaped;
    if (p >= end || *p != '"')
        return sl_decode_fail(decoder, SL_CODE_SYNTAX, p, "no key");
    p = scan_string(decoder, p + 1, &escaped);
    if (p == NULL)
        return NULL;
    p = spaces(p + 1, end);
    if (p >= end || *p != ':')
        return sl_decode_fail(decoder, SL_CODE_SYNTAX, p, "no ':'");
    return spaces(p + 1, end);
}

/**
 * Check a value's syntax. `depth` is the nesting around it. Iterative: bit i of `objects`
 * says whether the container i levels out is an object. Reads nothing at or behind `end`
 * but what find_stop() does.
 */
TARGET static const uint8_t *skip_value(sl_decoder *decoder, const uint8_t *p,
                                        unsigned depth) {
    const uint8_t *const end = decoder->end;
    const unsigned around = depth;
    uint64_t objects = 0;
    for (;;) {
        if (p >= end)
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, p, "no value");
        if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            if (++depth > SL_DEPTH_MAX)
                return sl_decode_fail(decoder, SL_CODE_TOO_DEEP, p, NULL);
            objects = objects << 1 | object;
            p = spaces(p + 1, end);
            if (p < end && *p == (object ? '}' : ']'))
                goto close;
            if (object && (p = skip_key(decoder, p)) == NULL)
                return NULL;
            continue;
        }
        p = skip_scalar(decoder, p);
        if (p == NULL)
            return NULL;
    next:
        if (depth == around)
            return p;
        p = spaces(p, end);
        if (p < end && *p == ',') {
            p = spaces(p + 1, end);
            if ((objects & 1) && (p = skip_key(decoder, p)) == NULL)
                return NULL;
            continue;
        }
        if (p >= end || *p != ((objects & 1) ? '}' : ']'))
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, p,
                                  "no ',' or closing bracket");
    close:
        p++;
        depth--;
        objects >>= 1;
        goto next;
    }
}

/** The prediction failed: read the key, find its entry, and learn. @return at the value.
 */
TARGET COLD static const uint8_t *read_key(sl_decoder *decoder, const uint8_t *p,
                                           plan_group *group, plan_entry **current,
                                           const uint8_t **key, size_t *key_length) {
    const uint8_t *const end = decoder->end;
    bool escaped;
    if (p >= end || *p != '"')
        return sl_decode_fail(decoder, SL_CODE_SYNTAX, p, "no key");
    const uint8_t *text = p + 1;
    *key = p;
    p = scan_string(decoder, p + 1, &escaped);
    if (p == NULL)
        return NULL;
    size_t length = (size_t)(p - text);
    *key_length = length + 2;
    p = spaces(p + 1, end);
    if (p >= end || *p != ':')
        return sl_decode_fail(decoder, SL_CODE_SYNTAX, p, "no ':'");
    p = spaces(p + 1, end);
    plan_entry *found;
    if (escaped) {
        sl_buffer *arena = &decoder->batch->arena;
        size_t before = arena->length;
        sl_span name = sl_text_keep(decoder, text, text + length);
        if (arena->failed)
            return sl_decode_fail(decoder, SL_CODE_NONE, p, NULL);
        found = sl_plan_find(decoder, group, sl_batch_text(decoder->batch, name),
                             name.length);
        arena->length = before;
    } else {
        found = sl_plan_find(decoder, group, text, length);
    }
    // The stranger stands for keys of all objects: what follows it in one says nothing
    // about another, where the same key would be taken for this object's.
    if (found != decoder->stranger && *current != decoder->stranger)
        plan_learn(*current, found);
    *current = found;
    return p;
}

/** A member whose value its column can't take as it is: null, or of another type. */
TARGET COLD static const uint8_t *misfit(sl_decoder *decoder, const uint8_t *p,
                                         const plan_group *group, const plan_entry *e,
                                         sl_code code, unsigned depth) {
    if (is_literal(p, decoder->end, "null", 4)) {
        if (e->flags & ENTRY_NULLABLE)
            return p + 4;
        return sl_decode_fail_field(decoder, SL_CODE_NULL, p, e->field);
    }
    const uint8_t *behind = skip_value(decoder, p, depth);
    if (behind == NULL)
        return NULL;
    return sl_member_misfit(decoder, p, behind, group, e, code);
}

#define STEADY 4 // Equal lengths in a row before the next is guessed.

/**
 * The usual string, without escapes; *high is non-zero when it isn't ASCII. Where its
 * lengths repeat (identifiers), the end is guessed: the bytes are checked all the same,
 * but the processor can begin with the next key at once instead of waiting for the
 * comparison's outcome. For that the length must come from memory, not from the
 * comparison, which is what `volatile` is for.
 * @return at the closing quote, or NULL: ask scan_string().
 */
TARGET static inline const uint8_t *scan_plain(const uint8_t *p, const uint8_t *end,
                                               plan_entry *e, uint32_t *high) {
    unsigned run = find_stop(p, end, high);
    while (run == STRIDE) {
        p += STRIDE;
        if (UNLIKELY(p >= end))
            return NULL;
        run = find_stop(p, end, high);
    }
    if (e->steady >= STEADY) {
        if (LIKELY(run == e->run)) {
            p += *(const volatile uint8_t *)&e->run;
        } else {
            p += run;
            e->steady = 0;
        }
    } else {
        p += run;
        e->steady = run == e->run ? (uint8_t)(e->steady + 1) : 0;
        e->run = (uint8_t)run;
    }
    return UNLIKELY(p >= end || *p != '"') ? NULL : p;
}

TARGET static inline const uint8_t *read_string(sl_decoder *decoder, const uint8_t *p,
                                                const plan_group *group, plan_entry *e) {
    bool escaped = false;
    uint32_t high = 0;
    const uint8_t *quote = scan_plain(p + 1, decoder->end, e, &high);
    if (UNLIKELY(quote == NULL ||
                 (high != 0 && sl_text_utf8_check(p + 1, quote) != NULL))) {
        quote = scan_string(decoder, p + 1, &escaped);
        if (quote == NULL)
            return NULL;
    }
    const sl_column *column = &decoder->columns[e->field];
    sl_span span = {.offset = span_offset(decoder, p + 1),
                    .length = (uint32_t)(quote - p - 1)};
    if (UNLIKELY(escaped)) {
        // RFC 8259 allows it, but no warehouse's text can hold it.
        const uint8_t *nul = sl_text_find_nul(p + 1, quote);
        if (nul != NULL && (decoder->inferred || decoder->lenient))
            return sl_member_misfit(decoder, p, quote + 1, group, e, SL_CODE_SYNTAX);
        if (nul != NULL)
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, nul, "NUL in a string");
        span = sl_text_keep(decoder, p + 1, quote);
    }
    column->values.span[decoder->row] = span;
    column->valid[decoder->row] = 1;
    return quote + 1;
}

/** DATE, TIMESTAMP, DECIMAL from a string. */
TARGET static const uint8_t *read_text(sl_decoder *decoder, const uint8_t *p,
                                       const plan_group *group, const plan_entry *e,
                                       unsigned depth) {
    bool escaped;
    const uint8_t *quote = scan_string(decoder, p + 1, &escaped);
    if (quote == NULL)
        return NULL;
    sl_code code = sl_member_text(decoder, e, p + 1, quote, escaped);
    if (code != SL_CODE_NONE)
        return misfit(decoder, p, group, e, code, depth);
    return quote + 1;
}

TARGET static inline const uint8_t *read_timestamp(sl_decoder *decoder, const uint8_t *p,
                                                   const plan_group *group,
                                                   const plan_entry *e, unsigned depth) {
    if (UNLIKELY(*p != '"'))
        return misfit(decoder, p, group, e, SL_CODE_TYPE, depth);
    int64_t us;
    const uint8_t *behind = timestamp_scan(decoder, p + 1, &us);
    if (UNLIKELY(behind == NULL))
        return read_text(decoder, p, group, e, depth);
    const sl_column *column = &decoder->columns[e->field];
    column->values.i64[decoder->row] = us;
    column->valid[decoder->row] = 1;
    return behind;
}

/** INT64, DOUBLE, DECIMAL. */
TARGET static inline const uint8_t *read_number(sl_decoder *decoder, const uint8_t *p,
                                                const plan_group *group,
                                                const plan_entry *e, unsigned depth) {
    if (UNLIKELY(*p != '-' && (unsigned)(*p - '0') > 9)) {
        if (*p == '"' && e->kind == SL_TYPE_DECIMAL)
            return read_text(decoder, p, group, e, depth);
        return misfit(decoder, p, group, e, SL_CODE_TYPE, depth);
    }
    json_number n;
    const uint8_t *behind = scan_number(decoder, p, &n);
    if (UNLIKELY(behind == NULL))
        return NULL;
    const sl_column *column = &decoder->columns[e->field];
    const uint32_t row = decoder->row;
    sl_code code;
    if (e->kind == SL_TYPE_DOUBLE) {
        code = number_double(&n, &column->values.f64[row]) ? SL_CODE_NONE : SL_CODE_RANGE;
        // Nobody chose this type: what it would round goes to _rest instead.
        if (UNLIKELY(n.plain && (n.digits > UINT64_C(1) << 53 || n.exponent != 0) &&
                     decoder->inferred && code == SL_CODE_NONE &&
                     !sl_number_survives(&n, column->values.f64[row])))
            code = SL_CODE_TYPE;
    } else if (e->kind == SL_TYPE_INT64) {
        if (LIKELY(n.plain && !n.many && n.digits <= INT64_MAX && n.exponent == 0)) {
            int64_t value = (int64_t)n.digits;
            column->values.i64[row] = n.negative ? -value : value;
            column->valid[row] = 1;
            return behind;
        }
        code = sl_member_number(decoder, e, &n);
    } else {
        code = sl_member_number(decoder, e, &n);
    }
    if (UNLIKELY(code != SL_CODE_NONE))
        return misfit(decoder, p, group, e, code, depth);
    column->valid[row] = 1;
    return behind;
}

TARGET static inline const uint8_t *read_bool(sl_decoder *decoder, const uint8_t *p,
                                              const plan_group *group,
                                              const plan_entry *e, unsigned depth) {
    const uint8_t *const end = decoder->end;
    const sl_column *column = &decoder->columns[e->field];
    uint8_t truth;
    if (is_literal(p, end, "true", 4))
        truth = 1;
    else if (is_literal(p, end, "false", 5))
        truth = 0;
    else
        return misfit(decoder, p, group, e, SL_CODE_TYPE, depth);
    column->values.truth[decoder->row] = truth;
    column->valid[decoder->row] = 1;
    return p + 5 - truth;
}

TARGET static const uint8_t *read_json(sl_decoder *decoder, const uint8_t *p,
                                       const plan_group *group, const plan_entry *e,
                                       unsigned depth) {
    if (*p == 'n')
        return misfit(decoder, p, group, e, SL_CODE_TYPE, depth);
    const uint8_t *behind = skip_value(decoder, p, depth);
    if (behind == NULL)
        return NULL;
    const sl_column *column = &decoder->columns[e->field];
    column->values.span[decoder->row] = (sl_span){.offset = span_offset(decoder, p),
                                                  .length = (uint32_t)(behind - p)};
    column->valid[decoder->row] = 1;
    return behind;
}

TARGET static const uint8_t *read_unknown(sl_decoder *decoder, const uint8_t *p,
                                          const plan_group *group, const uint8_t *key,
                                          size_t key_length, unsigned depth) {
    const uint8_t *behind = skip_value(decoder, p, depth);
    if (behind == NULL || group->unknown == UNKNOWN_SKIP)
        return behind;
    return sl_member_unknown(decoder, group, key, key_length, p, behind, depth) ? behind
                                                                                : NULL;
}

TARGET static const uint8_t *read_object(sl_decoder *decoder, const uint8_t *p,
                                         plan_group *group, unsigned depth);

/** A member's value at `p`, before `end`. `key` is used for unknown members only. */
TARGET static inline const uint8_t *read_member(sl_decoder *decoder, const uint8_t *p,
                                                const plan_group *group, plan_entry *e,
                                                const uint8_t *key, size_t key_length,
                                                unsigned depth) {
    if (LIKELY(e->kind != KIND_UNKNOWN))
        mark_seen(decoder, e->field);
    switch (e->kind) {
    case SL_TYPE_STRING:
        if (LIKELY(*p == '"'))
            return read_string(decoder, p, group, e);
        break;
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
    case SL_TYPE_DECIMAL:
        return read_number(decoder, p, group, e, depth);
    case SL_TYPE_TIMESTAMP:
        return read_timestamp(decoder, p, group, e, depth);
    case SL_TYPE_DATE:
        if (LIKELY(*p == '"'))
            return read_text(decoder, p, group, e, depth);
        break;
    case SL_TYPE_BOOL:
        return read_bool(decoder, p, group, e, depth);
    case SL_TYPE_JSON:
        return read_json(decoder, p, group, e, depth);
    case SL_TYPE_GROUP:
        if (UNLIKELY(*p != '{'))
            break;
        if (UNLIKELY(depth == SL_DEPTH_MAX))
            return sl_decode_fail(decoder, SL_CODE_TOO_DEEP, p, NULL);
        decoder->columns[e->field].valid[decoder->row] = 1;
        return read_object(decoder, p + 1, &decoder->groups[e->group], depth + 1);
    default:
        return read_unknown(decoder, p, group, key, key_length, depth);
    }
    return misfit(decoder, p, group, e, SL_CODE_TYPE, depth);
}

/** `p` behind '{'; `depth` counts this object. @return behind '}'. */
TARGET static const uint8_t *read_object(sl_decoder *decoder, const uint8_t *p,
                                         plan_group *group, unsigned depth) {
    const uint8_t *const end = decoder->end;
    plan_entry *current = &group->head;
    SKIP_SPACES(p);
    if (*p == '}' && p < end)
        goto close;
    for (;;) {
        const uint8_t *key = p;
        size_t key_length;
        plan_entry *e = current->next[0];
        if (LIKELY(PREDICTED(p, e)) || (e = current->next[1], PREDICTED(p, e))) {
            current = e;
            p += e->length;
            key_length = (size_t)e->length - 1;
            SKIP_SPACES(p);
        } else {
            p = read_key(decoder, p, group, &current, &key, &key_length);
            if (UNLIKELY(p == NULL))
                return NULL;
            e = current;
        }
        if (UNLIKELY(p >= end))
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, end, "no value");
        p = read_member(decoder, p, group, e, key, key_length, depth);
        if (UNLIKELY(p == NULL))
            return NULL;
        SKIP_SPACES(p);
        if (UNLIKELY(p >= end))
            return sl_decode_fail(decoder, SL_CODE_SYNTAX, end, "no ',' or '}'");
        if (LIKELY(*p == ',')) {
            p++;
            SKIP_SPACES(p);
            continue;
        }
        if (LIKELY(*p == '}'))
            break;
        return sl_decode_fail(decoder, SL_CODE_SYNTAX, p, "no ',' or '}'");
    }
close:
    p++;
    for (uint32_t i = 0; i < group->required_count; i++)
        if (UNLIKELY(
                (group->required[i].mask & ~decoder->seen[group->required[i].word]) != 0))
            return sl_member_missing(decoder, group, p - 1);
    return p;
}

TARGET static const uint8_t *read_event(sl_decoder *decoder, const uint8_t *p) {
    return read_object(decoder, p + 1, &decoder->groups[0], 1);
}

const kernel KERNEL = {.event = read_event, .skip = skip_value};
