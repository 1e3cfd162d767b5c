// The first rule of each list that matches, and what its replacements make of the match.
//
// Source   uap-core, docs/specification.md: without a replacement a group of the match
// stands in; "$1" to "$9" in one
//          are groups, empty when they took no part; an empty answer is null; no rule is
//          the family "Other".

#include "internal.h"

#include "sluice/utf8.h"

#define PAIRS 10u /**< The whole match and $1 to $9. */
#define JIT_STACK_BYTES_MAX (256u << 10)
#define MATCH_LIMIT 200000u
#define HEAP_LIMIT_KIB 4096u

static const char other[] = "Other";

bool sl_user_agent_matcher_init(matcher *m, const sl_user_agent_rules *rules) {
    *m = (matcher){0};
    m->data = pcre2_match_data_create(PAIRS, rules->memory_context);
    m->context = pcre2_match_context_create(rules->memory_context);
    m->stack =
        pcre2_jit_stack_create(32u << 10, JIT_STACK_BYTES_MAX, rules->memory_context);
    const filter *f = &rules->filter;
    m->candidates = sl_calloc(f->words + (f->atoms + 63) / 64 + 1, sizeof *m->candidates);
    if (m->data == NULL || m->context == NULL || m->candidates == NULL) {
        sl_user_agent_matcher_fini(m);
        return false;
    }
    m->seen = m->candidates + f->words;
    pcre2_set_match_limit(m->context, MATCH_LIMIT);
    pcre2_set_heap_limit(m->context, HEAP_LIMIT_KIB);
    // Without a stack of its own the compiled code uses 32 KiB of the thread's.
    if (m->stack != NULL)
        pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return true;
}

void sl_user_agent_matcher_fini(matcher *m) {
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    sl_free(m->candidates);
    sl_buffer_fini(&m->texts);
    *m = (matcher){0};
}

static bool matches(matcher *m, const rule *r, const char *text, size_t length) {
    m->matches++;
    int code = r->jit ? pcre2_jit_match(r->code, (PCRE2_SPTR)text, length, 0, 0, m->data,
                                        m->context)
                      : pcre2_match(r->code, (PCRE2_SPTR)text, length, 0,
                                    PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        m->limited++;
    return code >= 0;
}

/** A rule that matched, and where. */
typedef struct hit {
    const rule *rule;
    const char *text;
    const PCRE2_SIZE *pairs;
} hit;

static bool group_of(const hit *h, unsigned group, const char **begin, size_t *length) {
    *begin = "";
    *length = 0;
    if (group == 0 || group > h->rule->groups || group >= PAIRS ||
        h->pairs[2 * group] == PCRE2_UNSET)
        return false;
    *begin = h->text + h->pairs[2 * group];
    *length = h->pairs[2 * group + 1] - h->pairs[2 * group];
    return true;
}

static void substitute(const hit *h, const template *t, sl_buffer *out) {
    for (uint32_t i = 0; i < t->length; i++) {
        char c = t->text[i];
        bool group = c == '$' && i + 1 < t->length && t->text[i + 1] >= '1' &&
                     t->text[i + 1] <= '9';
        if (!group) {
            sl_buffer_byte(out, (uint8_t)c);
            continue;
        }
        const char *begin;
        size_t length;
        group_of(h, (unsigned)(t->text[++i] - '0'), &begin, &length);
        sl_buffer_append(out, begin, length);
    }
}

static bool blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void trim(sl_buffer *out, size_t begin) {
    while (out->length > begin && blank(out->bytes[out->length - 1]))
        out->length--;
    size_t first = begin;
    while (first < out->length && blank(out->bytes[first]))
        first++;
    memmove(out->bytes + begin, out->bytes + first, out->length - first);
    out->length -= first - begin;
}

// @return length of what was appended, UINT32_MAX for null.
static uint32_t one_part(const hit *h, const list_shape *shape, uint32_t part,
                         sl_buffer *out) {
    const template *t = &h->rule->templates[part];
    size_t begin = out->length;
    if (t->text != NULL && t->length != 0) {
        if (t->groups)
            substitute(h, t, out);
        else
            sl_buffer_append(out, t->text, t->length);
        if (shape->trimmed && !out->failed)
            trim(out, begin);
    } else {
        const char *text;
        size_t length;
        group_of(h, shape->part[part].group, &text, &length);
        sl_buffer_append(out, text, length);
    }
    return out->length > begin ? (uint32_t)(out->length - begin) : UINT32_MAX;
}

static const rule *first_of(matcher *m, const sl_user_agent_rules *rules, uint32_t list,
                            const char *text, size_t length) {
    uint32_t begin = rules->base[list], end = rules->base[list + 1];
    for (uint32_t w = begin / 64; w * 64 < end; w++) {
        uint64_t bits = m->candidates[w];
        if (w == begin / 64)
            bits &= UINT64_MAX << (begin % 64);
        for (; bits != 0; bits &= bits - 1) {
            uint32_t number = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (number >= end)
                return NULL;
            const rule *r = &rules->lists[list].rules[number - begin];
            if (matches(m, r, text, length))
                return r;
        }
    }
    return NULL;
}

static void one_list(matcher *m, const sl_user_agent_rules *rules, uint32_t list,
                     const char *text, size_t length, answer_head *head) {
    const list_shape *shape = &sl_user_agent_lists[list];
    const rule *r = first_of(m, rules, list, text, length);
    if (r == NULL) {
        sl_buffer_append(&m->texts, other, sizeof other - 1);
        head->length[shape->part[0].part] = sizeof other - 1;
        return;
    }
    head->known = 1;
    hit h = {.rule = r, .text = text, .pairs = pcre2_get_ovector_pointer(m->data)};
    for (uint32_t i = 0; i < shape->parts; i++)
        head->length[shape->part[i].part] = one_part(&h, shape, i, &m->texts);
}

// The lists are in the order of the parts, except that an OS's last one comes last of
// all: move its text there.
static void order_parts(sl_buffer *texts, answer_head *head) {
    uint32_t length = head->length[SL_UA_OS_PATCH_MINOR];
    if (length == UINT32_MAX || texts->failed)
        return;
    size_t at = sizeof *head;
    for (unsigned i = SL_UA_BROWSER_FAMILY; i <= SL_UA_OS_PATCH; i++)
        at += head->length[i] == UINT32_MAX ? 0 : head->length[i];
    sl_buffer_append(texts, texts->bytes + at, length);
    if (texts->failed)
        return;
    memmove(texts->bytes + at, texts->bytes + at + length, texts->length - at - length);
    texts->length -= length;
}

bool sl_user_agent_match(matcher *m, const sl_user_agent_rules *rules, const char *text,
                         size_t length, bool filtered) {
    answer_head head = {.known = 0};
    memset(head.length, 0xFF, sizeof head.length);
    sl_buffer_clear(&m->texts);
    sl_buffer_append(&m->texts, &head, sizeof head);
    if (sl_utf8_valid(text, length) != length)
        memset(m->candidates, 0, rules->filter.words * sizeof *m->candidates);
    else if (filtered)
        sl_user_agent_filter_run(&rules->filter, (const uint8_t *)text, length, m->seen,
                                 m->candidates);
    else
        memset(m->candidates, 0xFF, rules->filter.words * sizeof *m->candidates);
    for (uint32_t list = 0; list < LISTS; list++)
        one_list(m, rules, list, text, length, &head);
    order_parts(&m->texts, &head);
    if (m->texts.failed)
        return false;
    memcpy(m->texts.bytes, &head, sizeof head);
    return true;
}
