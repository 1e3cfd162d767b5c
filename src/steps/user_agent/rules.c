// From the file to compiled expressions and the filter before them.

#include "internal.h"

#define ARENA_BLOCK_BYTES (64u << 10)

static void *take(PCRE2_SIZE size, void *context) {
    (void)context;
    return sl_malloc(size);
}

static void give(void *block, void *context) {
    (void)context;
    sl_free(block);
}

static sl_status refuse(const rule *r, int code, PCRE2_SIZE offset, sl_error *error) {
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    PCRE2_UCHAR words[128];
    pcre2_get_error_message(code, words, sizeof words);
    return sl_error_set(error, SL_EINVAL,
                        "line %u: the regex is wrong at its character %zu: %s", r->line,
                        offset + 1, (const char *)words);
}

static sl_status compile(sl_user_agent_rules *rules, rule *r, sl_error *error) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    uint32_t options =
        PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | (r->caseless ? PCRE2_CASELESS : 0);
    r->code = pcre2_compile((PCRE2_SPTR)r->regex, r->regex_length, options, &code,
                            &offset, rules->compile_context);
    if (r->code == NULL)
        return refuse(r, code, offset, error);
    // Without a just-in-time compiler (another processor, or a system that forbids it)
    // matching is slower, and the same.
    r->jit = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE) == 0;
    size_t bytes = 0, jit_bytes = 0;
    pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &r->groups);
    pcre2_pattern_info(r->code, PCRE2_INFO_SIZE, &bytes);
    pcre2_pattern_info(r->code, PCRE2_INFO_JITSIZE, &jit_bytes);
    rules->code_bytes += bytes + jit_bytes;
    return SL_OK;
}

static sl_status compile_all(sl_user_agent_rules *rules, sl_error *error) {
    rules->memory_context = pcre2_general_context_create(take, give, NULL);
    if (rules->memory_context == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    rules->compile_context = pcre2_compile_context_create(rules->memory_context);
    if (rules->compile_context == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < LISTS; i++) {
        rules->base[i + 1] = rules->base[i] + rules->lists[i].count;
        for (uint32_t k = 0; k < rules->lists[i].count; k++) {
            sl_status status = compile(rules, &rules->lists[i].rules[k], error);
            if (status != SL_OK)
                return status;
        }
    }
    return SL_OK;
}

static bool gather(const sl_user_agent_rules *rules, sl_arena *arena, literal_set *sets,
                   bool *caseless) {
    for (uint32_t i = 0; i < LISTS; i++) {
        for (uint32_t k = 0; k < rules->lists[i].count; k++) {
            const rule *r = &rules->lists[i].rules[k];
            caseless[rules->base[i] + k] = r->caseless;
            if (!sl_user_agent_literals(r->regex, r->regex_length, r->caseless, arena,
                                        &sets[rules->base[i] + k]))
                return false;
        }
    }
    return true;
}

static sl_status make_filter(sl_user_agent_rules *rules, sl_error *error) {
    uint32_t count = rules->base[LISTS];
    literal_set *sets = sl_calloc(count, sizeof *sets);
    bool *caseless = sl_calloc(count, sizeof *caseless);
    sl_arena arena;
    sl_arena_init(&arena, ARENA_BLOCK_BYTES);
    bool good = sets != NULL && caseless != NULL &&
                gather(rules, &arena, sets, caseless) &&
                sl_user_agent_filter_init(&rules->filter, sets, caseless, count);
    sl_arena_fini(&arena);
    sl_free(caseless);
    sl_free(sets);
    return good ? SL_OK : sl_error_set(error, SL_ENOMEM, "out of memory");
}

static void destroy(sl_user_agent_rules *rules) {
    sl_budget_give(rules->budget, rules->charged);
    for (uint32_t i = 0; i < LISTS; i++) {
        for (uint32_t k = 0; k < rules->lists[i].count; k++)
            pcre2_code_free(rules->lists[i].rules[k].code);
        sl_free(rules->lists[i].rules);
    }
    pcre2_compile_context_free(rules->compile_context);
    pcre2_general_context_free(rules->memory_context);
    sl_user_agent_filter_fini(&rules->filter);
    sl_arena_fini(&rules->texts);
    sl_free(rules);
}

sl_status sl_user_agent_rules_load(const char *yaml, size_t length,
                                   sl_user_agent_rules **out, sl_error *error) {
    *out = NULL;
    sl_user_agent_rules *rules = sl_calloc(1, sizeof *rules);
    if (rules == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    atomic_init(&rules->references, 1);
    sl_arena_init(&rules->texts, ARENA_BLOCK_BYTES);
    rules->version = sl_hash128_of(yaml, length);
    sl_status status =
        sl_user_agent_read(yaml, length, rules->lists, &rules->texts, error);
    if (status == SL_OK)
        status = compile_all(rules, error);
    if (status == SL_OK)
        status = make_filter(rules, error);
    if (status == SL_OK)
        *out = rules;
    else
        destroy(rules);
    return status;
}

// Shared rules are const to everybody; only the reference count changes, here.
static sl_user_agent_rules *shared(const sl_user_agent_rules *rules) {
    union {
        const sl_user_agent_rules *in;
        sl_user_agent_rules *out;
    } cast = {.in = rules};
    return cast.out;
}

sl_user_agent_rules *sl_user_agent_rules_ref(const sl_user_agent_rules *rules) {
    sl_user_agent_rules *mine = shared(rules);
    // Relaxed: whoever hands out a reference holds one, so the count can't reach 0
    // meanwhile.
    atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return mine;
}

void sl_user_agent_rules_unref(sl_user_agent_rules *rules) {
    // Acquire and release: what others did with the rules is done before they are freed
    // here.
    if (rules != NULL &&
        atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) == 1)
        destroy(rules);
}

sl_hash128 sl_user_agent_rules_version(const sl_user_agent_rules *rules) {
    return rules->version;
}

size_t sl_user_agent_rules_memory(const sl_user_agent_rules *rules) {
    size_t bytes = sizeof *rules + rules->texts.total_bytes + rules->filter.memory +
                   rules->code_bytes;
    for (uint32_t i = 0; i < LISTS; i++)
        bytes += rules->lists[i].capacity * sizeof *rules->lists[i].rules;
    return bytes;
}

sl_status sl_user_agent_rules_charge(sl_user_agent_rules *rules, sl_budget *budget) {
    if (rules->budget != NULL)
        return SL_OK;
    uint64_t bytes = sl_user_agent_rules_memory(rules);
    if (sl_budget_take(budget, bytes) != SL_OK)
        return SL_EFULL;
    rules->budget = budget;
    rules->charged = bytes;
    return SL_OK;
}
