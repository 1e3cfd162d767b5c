// Regular expressions of `matches`: RE2's syntax, as CEL says, run by PCRE2.
//
// RE2 (github.com/google/re2/wiki/Syntax) and PCRE2 agree on most. The text is rewritten
// where they don't, and what RE2 has not is refused, so that a pattern that works here
// works in every CEL:
//
//   \s \S        without the vertical tab, as a class of its own
//   \v           the vertical tab alone
//   {            where it begins no repetition, escaped
//   $            only the end of the text (PCRE2_DOLLAR_ENDONLY)
//   refused      backreferences, look-around, atomic groups, possessive repetition,
//                recursion, conditions, verbs, \C \G \K \R \X \Z \h \H \N \V \e \c …,
//                more than 1000 repetitions
//
// RE2 takes linear time; PCRE2 goes back. A limit on its steps bounds what a hostile text
// costs: beyond it the row is an error. No machine code is made (PCRE2's JIT), because it
// counts steps differently, and one event must have one answer on every machine.

#include "internal.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STEPS_MAX 100000u
#define HEAP_KIB_MAX 4096u
#define REPEATS_MAX 1000

struct pattern {
    pattern *next;
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_code *code;
    pcre2_match_data *data;
};

// ---- RE2's syntax in PCRE2's
// --------------------------------------------------------------------

typedef struct rewriter {
    const compiler *c;
    uint32_t place; // Of the literal in the expression.
    const uint8_t *at, *end;
    sl_buffer *out;
} rewriter;

static int peek(const rewriter *r, size_t ahead) {
    return (size_t)(r->end - r->at) > ahead ? r->at[ahead] : -1;
}

static void copy(rewriter *r, size_t bytes) {
    sl_buffer_append(r->out, r->at, bytes);
    r->at += bytes;
}

static sl_status refuse(const rewriter *r, const char *what) {
    return fault(r->c, SL_ESYNTAX, r->place, "in the regular expression: %s", what);
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static bool is_hex(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// \x41, \x{1F600}
static sl_status rewrite_hex(rewriter *r) {
    size_t length = 4;
    bool good = is_hex(peek(r, 2)) && is_hex(peek(r, 3));
    if (peek(r, 2) == '{') {
        length = 3;
        while (is_hex(peek(r, length)))
            length++;
        good = length > 3 && length < 12 && peek(r, length) == '}';
        length++;
    }
    if (!good)
        return refuse(r, "\\x needs two hexadecimal digits or {…}");
    copy(r, length);
    return SL_OK;
}

// \pL, \p{Greek}
static sl_status rewrite_property(rewriter *r) {
    size_t length = 3;
    if (peek(r, 2) == '{')
        while (peek(r, length - 1) != '}' && peek(r, length - 1) >= 0)
            length++;
    if (peek(r, length - 1) < 0)
        return refuse(r, "\\p needs a letter or {name}");
    copy(r, length);
    return SL_OK;
}

// Everything between \Q and \E is itself.
static void rewrite_quotation(rewriter *r) {
    copy(r, 2);
    while (r->at < r->end && !(peek(r, 0) == '\\' && peek(r, 1) == 'E'))
        copy(r, 1);
    copy(r, r->at < r->end ? 2 : 0);
}

static sl_status rewrite_escape(rewriter *r, bool class) {
    int kind = peek(r, 1);
    const char *instead = NULL;
    if (kind < 0)
        return refuse(r, "a backslash stands at the end");
    if (kind == 's')
        instead = class ? "\\t\\n\\f\\r\\x20" : "[\\t\\n\\f\\r\\x20]";
    else if (kind == 'S')
        instead = class ? "\\x{0}-\\x{8}\\x{b}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}"
                        : "[^\\t\\n\\f\\r\\x20]";
    else if (kind == 'v')
        instead = "\\x0b";
    if (instead != NULL) {
        sl_buffer_text(r->out, instead);
        r->at += 2;
        return SL_OK;
    }
    if (kind == 'x')
        return rewrite_hex(r);
    if (kind == 'p' || kind == 'P')
        return rewrite_property(r);
    if (kind == 'Q' && !class) {
        rewrite_quotation(r);
        return SL_OK;
    }
    if (kind >= '1' && kind <= '9')
        return refuse(r, "RE2 has no backreferences");
    bool known =
        strchr("dDwWafnrt0", kind) != NULL || (!class && strchr("bBAz", kind) != NULL);
    if (is_letter(kind) && !known) {
        char what[] = "RE2 has no \\?";
        what[sizeof what - 2] = (char)kind;
        return refuse(r, what);
    }
    copy(r, 2);
    return SL_OK;
}

// [:alpha:] and [:^alpha:]
static sl_status rewrite_named_class(rewriter *r) {
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    size_t begin = peek(r, 2) == '^' ? 3 : 2;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if ((size_t)(r->end - r->at) >= begin + length + 2 &&
            memcmp(r->at + begin, names[i], length) == 0 &&
            memcmp(r->at + begin + length, ":]", 2) == 0) {
            copy(r, begin + length + 2);
            return SL_OK;
        }
    }
    return refuse(r, "there is no such [:class:]");
}

static sl_status rewrite_class(rewriter *r) {
    sl_status status = SL_OK;
    copy(r, 1);
    if (peek(r, 0) == '^')
        copy(r, 1);
    for (bool first = true; status == SL_OK; first = false) {
        int next = peek(r, 0);
        if (next < 0)
            return refuse(r, "a [ is not closed");
        if (next == ']' && !first) {
            copy(r, 1);
            return SL_OK;
        }
        if (next == '\\') {
            status = rewrite_escape(r, true);
        } else if (next == '[' && peek(r, 1) == ':') {
            status = rewrite_named_class(r);
        } else {
            if (next == '[' || next == ']') // PCRE2 has more that begins with them.
                sl_buffer_byte(r->out, '\\');
            copy(r, 1);
        }
    }
    return status;
}

// (…), (?:…), (?P<name>…), (?<name>…), (?flags), (?flags:…)
static sl_status rewrite_group(rewriter *r) {
    if (peek(r, 1) == '*')
        return refuse(r, "a repetition stands without anything to repeat");
    if (peek(r, 1) != '?') {
        copy(r, 1);
        return SL_OK;
    }
    size_t name = peek(r, 2) == 'P' ? 3 : 2, flags = 2;
    if (peek(r, name) == '<' &&
        (is_letter(peek(r, name + 1)) || peek(r, name + 1) == '_')) {
        copy(r, name + 1);
        return SL_OK;
    }
    while (peek(r, flags) > 0 && strchr("imsU-", peek(r, flags)) != NULL)
        flags++;
    if (peek(r, flags) != ':' && (peek(r, flags) != ')' || flags == 2))
        return refuse(r, "RE2 has no group of this kind; there are (…), (?:…), "
                         "(?P<name>…) and the flags imsU");
    copy(r, flags + 1);
    return SL_OK;
}

// Bytes of a repetition in braces, 0 where it is none.
static size_t braces(const rewriter *r, bool *too_many) {
    size_t at = 1;
    int64_t most = 0;
    for (int part = 0; part < 2; part++) {
        int64_t value = 0;
        size_t begin = at;
        for (; is_digit(peek(r, at)); at++)
            value = value > REPEATS_MAX ? value : value * 10 + (peek(r, at) - '0');
        if (at == begin && part == 0)
            return 0;
        most = value > most ? value : most;
        if (part == 1 || peek(r, at) != ',')
            break;
        at++;
    }
    *too_many = most > REPEATS_MAX;
    return peek(r, at) == '}' ? at + 1 : 0;
}

static sl_status rewrite_repetition(rewriter *r) {
    bool too_many = false;
    size_t length = peek(r, 0) == '{' ? braces(r, &too_many) : 1;
    if (length == 0) {
        sl_buffer_text(r->out, "\\{");
        r->at++;
        return SL_OK;
    }
    if (too_many)
        return refuse(r, "more than 1000 repetitions");
    copy(r, length);
    if (peek(r, 0) == '?')
        copy(r, 1);
    bool again = false;
    int next = peek(r, 0);
    if (next == '*' || next == '+' || next == '?' ||
        (next == '{' && braces(r, &again) != 0))
        return refuse(r, "one repetition follows another");
    return SL_OK;
}

static sl_status rewrite(rewriter *r) {
    sl_status status = SL_OK;
    while (status == SL_OK && r->at < r->end) {
        switch (peek(r, 0)) {
        case '\\':
            status = rewrite_escape(r, false);
            break;
        case '[':
            status = rewrite_class(r);
            break;
        case '(':
            status = rewrite_group(r);
            break;
        case '*':
        case '+':
        case '?':
        case '{':
            status = rewrite_repetition(r);
            break;
        default:
            copy(r, 1);
        }
    }
    return status;
}

// ---- PCRE2
// -----------------------------------------------------------------------------------

static void *get_memory(size_t bytes, void *context) {
    (void)context;
    return sl_malloc(bytes);
}

static void give_memory(void *block, void *context) {
    (void)context;
    sl_free(block);
}

static sl_status compile_pattern(const compiler *c, uint32_t at, const sl_buffer *source,
                                 pattern *p) {
    pcre2_compile_context *options = pcre2_compile_context_create(p->memory);
    if (options == NULL)
        return out_of_memory(c);
    pcre2_set_newline(options, PCRE2_NEWLINE_LF);
    int code = 0;
    PCRE2_SIZE place = 0;
    p->code = pcre2_compile(source->bytes, source->length,
                            PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
                                PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE,
                            &code, &place, options);
    pcre2_compile_context_free(options);
    if (p->code != NULL)
        return SL_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return out_of_memory(c);
    uint8_t words[120] = {0};
    pcre2_get_error_message(code, words, sizeof words);
    return fault(c, SL_ESYNTAX, at, "in the regular expression: %s", (const char *)words);
}

static sl_status create_pattern(const compiler *c, uint32_t at, const sl_buffer *source,
                                pattern *p) {
    p->memory = pcre2_general_context_create(get_memory, give_memory, NULL);
    if (p->memory == NULL)
        return out_of_memory(c);
    sl_status status = compile_pattern(c, at, source, p);
    if (status != SL_OK)
        return status;
    p->limits = pcre2_match_context_create(p->memory);
    p->data = pcre2_match_data_create(1, p->memory);
    if (p->limits == NULL || p->data == NULL)
        return out_of_memory(c);
    pcre2_set_match_limit(p->limits, STEPS_MAX);
    pcre2_set_heap_limit(p->limits, HEAP_KIB_MAX);
    return SL_OK;
}

sl_status pattern_create(const compiler *c, uint32_t at, text source, pattern **all) {
    pattern *p = sl_calloc(1, sizeof *p);
    if (p == NULL)
        return out_of_memory(c);
    p->next = *all;
    *all = p; // From here on the program's, to be freed with it.
    sl_buffer rewritten = SL_BUFFER_EMPTY;
    rewriter r = {.c = c,
                  .place = at,
                  .at = source.bytes,
                  .end = source.bytes + source.length,
                  .out = &rewritten};
    sl_status status = rewrite(&r);
    sl_buffer_byte(&rewritten, 0); // PCRE2 wants an address for "" as well.
    if (status == SL_OK && rewritten.failed)
        status = out_of_memory(c);
    if (status == SL_OK) {
        rewritten.length--;
        status = create_pattern(c, at, &rewritten, p);
    }
    sl_buffer_fini(&rewritten);
    return status;
}

void pattern_destroy_all(pattern *all) {
    while (all != NULL) {
        pattern *next = all->next;
        pcre2_match_data_free(all->data);
        pcre2_match_context_free(all->limits);
        pcre2_code_free(all->code);
        pcre2_general_context_free(all->memory);
        sl_free(all);
        all = next;
    }
}

matched pattern_match(pattern *p, text subject) {
    int code =
        pcre2_match(p->code, subject.bytes, subject.length, 0, 0, p->data, p->limits);
    if (code >= 0)
        return MATCHED_YES;
    if (code == PCRE2_ERROR_NOMATCH)
        return MATCHED_NO;
    return code == PCRE2_ERROR_NOMEMORY ? MATCHED_NO_MEMORY : MATCHED_FAILED;
}
