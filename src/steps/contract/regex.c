// Patterns, compiled and matched: by PCRE2 from their translation, simple ones by a walk.

#include "regex_parts.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_STEPS_MAX 200000u /**< Of PCRE2's match(): about a millisecond. */
#define HURRY_STEPS_MAX 2000u
#define MATCH_DEPTH_MAX 10000u
#define MATCH_HEAP_KIB_MAX 1024u
#define JIT_STACK_MAX (256u * 1024)

struct regex {
    pcre2_code *code;
    regex_walk walk;
};

struct regex_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_code *fixed[REGEX_OWN_COUNT];
    bool failed;
};

static void *give(size_t size, void *unused) {
    (void)unused;
    return sl_malloc(size);
}
static void take(void *block, void *unused) {
    (void)unused;
    sl_free(block);
}

static sl_status compile_code(const sl_buffer *text, pcre2_code **out, sl_error *error) {
    *out = NULL;
    pcre2_general_context *general = pcre2_general_context_create(give, take, NULL);
    pcre2_compile_context *context =
        general == NULL ? NULL : pcre2_compile_context_create(general);
    if (context == NULL) {
        pcre2_general_context_free(general);
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    }
    int code = 0;
    size_t at = 0;
    const uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY |
                             PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_NEVER_BACKSLASH_C;
    *out = pcre2_compile(text->length == 0 ? (PCRE2_SPTR) "" : text->bytes, text->length,
                         options, &code, &at, context);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    if (*out != NULL)
        return SL_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    char why[128] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
    return sl_error_set(error, SL_EUNSUPPORTED, "pattern that PCRE2 does not take: %s",
                        why);
}

sl_status sl_regex_compile(const uint8_t *text, size_t length, regex **out,
                           sl_error *error) {
    *out = NULL;
    sl_buffer translated;
    regex *r = NULL;
    sl_status status = sl_regex_translate(text, length, &translated, error);
    if (status != SL_OK)
        goto out;
    r = sl_calloc(1, sizeof *r);
    if (r == NULL) {
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
        goto out;
    }
    status = compile_code(&translated, &r->code, error);
    if (status != SL_OK)
        goto out;
    // Without it (memory that may not be executed, another processor) matching is slower,
    // no more.
    (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    sl_walk_compile(&r->walk, text, length);
    *out = r;
    r = NULL;
out:
    sl_regex_destroy(r);
    sl_buffer_fini(&translated);
    return status;
}

void sl_regex_destroy(regex *r) {
    if (r == NULL)
        return;
    pcre2_code_free(r->code);
    sl_free(r);
}

bool sl_regex_is_simple(const regex *r) { return r->walk.simple; }

regex_matcher *sl_regex_matcher_create(void) {
    regex_matcher *m = sl_calloc(1, sizeof *m);
    pcre2_general_context *general = pcre2_general_context_create(give, take, NULL);
    if (m == NULL || general == NULL)
        goto failed;
    // Which text was matched isn't asked for, so one pair of offsets is enough.
    m->data = pcre2_match_data_create(1, general);
    m->context = pcre2_match_context_create(general);
    if (m->data == NULL || m->context == NULL)
        goto failed;
    pcre2_set_match_limit(m->context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(m->context, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(m->context, MATCH_HEAP_KIB_MAX);
    m->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_MAX, general);
    if (m->stack != NULL)
        pcre2_jit_stack_assign(m->context, NULL, m->stack);
    pcre2_general_context_free(general);
    return m;
failed:
    pcre2_general_context_free(general);
    sl_regex_matcher_destroy(m);
    return NULL;
}

void sl_regex_matcher_destroy(regex_matcher *m) {
    if (m == NULL)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    for (unsigned i = 0; i < REGEX_OWN_COUNT; i++)
        pcre2_code_free(m->fixed[i]);
    sl_free(m);
}

static regex_answer run_code(const pcre2_code *code, regex_matcher *m,
                             const uint8_t *text, size_t length) {
    int rc = pcre2_match(code, text, length, 0, PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, text, length, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         m->data, m->context);
    if (rc >= 0)
        return REGEX_YES;
    if (rc == PCRE2_ERROR_NOMATCH)
        return REGEX_NO;
    m->failed = m->failed || rc == PCRE2_ERROR_NOMEMORY;
    return rc == PCRE2_ERROR_NOMEMORY ? REGEX_NO_MEMORY : REGEX_LIMIT;
}

regex_answer sl_regex_match_pcre2(const regex *r, regex_matcher *m, const uint8_t *text,
                                  size_t length) {
    return run_code(r->code, m, text, length);
}

regex_answer sl_regex_match_fixed(regex_matcher *m, regex_own own, const char *pattern,
                                  const uint8_t *text, size_t length) {
    if (m->fixed[own] == NULL) {
        const sl_buffer source = {.bytes = (uint8_t *)(uintptr_t)pattern,
                                  .length = strlen(pattern)};
        if (compile_code(&source, &m->fixed[own], NULL) != SL_OK) {
            m->failed = true;
            return REGEX_NO_MEMORY;
        }
    }
    return run_code(m->fixed[own], m, text, length);
}

void sl_regex_matcher_hurry(regex_matcher *m, bool hurry) {
    pcre2_set_match_limit(m->context, hurry ? HURRY_STEPS_MAX : MATCH_STEPS_MAX);
}

bool sl_regex_matcher_failed(regex_matcher *m) {
    bool failed = m->failed;
    m->failed = false;
    return failed;
}

regex_answer sl_regex_match(const regex *r, regex_matcher *m, const uint8_t *text,
                            size_t length) {
    if (r->walk.simple)
        return sl_walk_matches(&r->walk, text, text + length) ? REGEX_YES : REGEX_NO;
    return sl_regex_match_pcre2(r, m, text, length);
}

bool sl_regex_valid(const uint8_t *text, size_t length) {
    sl_buffer translated;
    pcre2_code *code = NULL;
    bool good = sl_regex_translate(text, length, &translated, NULL) == SL_OK &&
                compile_code(&translated, &code, NULL) == SL_OK;
    pcre2_code_free(code);
    sl_buffer_fini(&translated);
    return good;
}
