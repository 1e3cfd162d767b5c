#include "regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>

#define MATCH_STEPS_MAX 200000u /**< Of PCRE2's match(): about a millisecond. */
#define HURRY_STEPS_MAX 2000u
#define MATCH_DEPTH_MAX 10000u
#define MATCH_HEAP_KIB_MAX 1024u
#define JIT_STACK_MAX (256u * 1024)
#define WALK_STEPS_MAX 32u
#define WALK_PREFIX_MAX 16u
#define PATTERN_BYTES_MAX 65536u

/** A character set with a count: bytes of ASCII, and whether everything beyond ASCII is
 * in it. */
typedef struct walk_step {
    uint64_t set[2];
    uint32_t least, most; /**< UINT32_MAX: no limit. */
} walk_step;

struct regex {
    pcre2_code *code;
    uint32_t step_count;
    bool simple;
    bool open_end; /**< Without `$`. */
    uint8_t prefix_length;
    uint8_t prefix[WALK_PREFIX_MAX]; /**< What it begins with, as it stands. */
    walk_step steps[WALK_STEPS_MAX];
};

struct regex_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_code *fixed;
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

// ---- Translation

typedef struct translator {
    const uint8_t *p, *end;
    sl_buffer out;
    uint32_t groups; // Capturing ones in the whole pattern.
    uint32_t depth;
    const char *wrong;
    bool unsupported;
} translator;

// WhiteSpace and LineTerminator of ECMA-262, sections 12.2 and 12.3, and all that is
// neither.
#define SPACES                                                                           \
    "\\x{9}-\\x{d}\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}"                                                                          \
    "\\x{3000}\\x{feff}"
#define NO_SPACES                                                                        \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"     \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"       \
    "\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

static bool wrong(translator *t, const char *text) {
    if (t->wrong == NULL)
        t->wrong = text;
    return false;
}

static bool unsupported(translator *t, const char *text) {
    t->unsupported = true;
    return wrong(t, text);
}

static int peek(const translator *t, size_t ahead) {
    return (size_t)(t->end - t->p) > ahead ? t->p[ahead] : -1;
}

static int hex(int c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c < 0)
        return -1;
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_letter(int c) { return c > 0 && (unsigned)((c | 0x20) - 'a') < 26; }
static bool is_digit(int c) { return c >= '0' && c <= '9'; }

/** `count` hex digits; -1: there are none. */
static int32_t hex_digits(translator *t, unsigned count) {
    int32_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        int digit = hex(peek(t, i));
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    t->p += count;
    return value;
}

/** Behind `\u`. */
static int32_t unicode_escape(translator *t) {
    if (peek(t, 0) == '{') {
        int32_t value = 0;
        t->p++;
        if (hex(peek(t, 0)) < 0)
            return -1;
        for (; hex(peek(t, 0)) >= 0 && value <= 0x10FFFF; t->p++)
            value = value * 16 + hex(peek(t, 0));
        if (peek(t, 0) != '}' || value > 0x10FFFF)
            return -1;
        t->p++;
        return value;
    }
    int32_t high = hex_digits(t, 4);
    if (high >= 0xD800 && high <= 0xDBFF && peek(t, 0) == '\\' && peek(t, 1) == 'u') {
        translator ahead = *t;
        ahead.p += 2;
        int32_t low = hex_digits(&ahead, 4);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            t->p = ahead.p;
            return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return high;
}

/** An escape that means one character. `t->p` behind the backslash. -1: it means
 * something else. */
static int32_t character_escape(translator *t) {
    static const char from[] = "fnrtv", to[] = "\f\n\r\t\v";
    int c = peek(t, 0);
    if (c <= 0)
        return -1;
    const char *control = strchr(from, c);
    if (control != NULL) {
        t->p++;
        return to[control - from];
    }
    if (c == '0' && !is_digit(peek(t, 1))) {
        t->p++;
        return 0;
    }
    if (c == 'c' && is_letter(peek(t, 1))) {
        c = peek(t, 1) & 31;
        t->p += 2;
        return c;
    }
    if (c == 'x' || c == 'u') {
        t->p++;
        int32_t value = c == 'x' ? hex_digits(t, 2) : unicode_escape(t);
        if (value < 0)
            wrong(t, "an escape lacks its hex digits");
        else if (value >= 0xD800 && value <= 0xDFFF)
            unsupported(t, "half of a surrogate pair names no character");
        return value < 0 ? 0 : value;
    }
    // Syntax characters, and what else of ASCII is neither a letter nor a digit.
    if (c < 0x80 && !is_letter(c) && !is_digit(c) && c >= 0x20) {
        t->p++;
        return c;
    }
    return -1;
}

static void put_point(translator *t, uint32_t c) {
    sl_buffer_printf(&t->out, "\\x{%x}", c);
}

typedef struct category {
    const char *name, *alias;
} category;

/** General_Category by its long names: PCRE2 knows the short ones. */
static const char *short_category(const char *name) {
    static const category known[] = {{"C", "Other"},
                                     {"Cc", "Control"},
                                     {"Cc", "cntrl"},
                                     {"Cf", "Format"},
                                     {"Cn", "Unassigned"},
                                     {"Co", "Private_Use"},
                                     {"Cs", "Surrogate"},
                                     {"L", "Letter"},
                                     {"L&", "LC"},
                                     {"L&", "Cased_Letter"},
                                     {"Ll", "Lowercase_Letter"},
                                     {"Lm", "Modifier_Letter"},
                                     {"Lo", "Other_Letter"},
                                     {"Lt", "Titlecase_Letter"},
                                     {"Lu", "Uppercase_Letter"},
                                     {"M", "Mark"},
                                     {"M", "Combining_Mark"},
                                     {"Mc", "Spacing_Mark"},
                                     {"Me", "Enclosing_Mark"},
                                     {"Mn", "Nonspacing_Mark"},
                                     {"N", "Number"},
                                     {"Nd", "Decimal_Number"},
                                     {"Nd", "digit"},
                                     {"Nl", "Letter_Number"},
                                     {"No", "Other_Number"},
                                     {"P", "Punctuation"},
                                     {"P", "punct"},
                                     {"Pc", "Connector_Punctuation"},
                                     {"Pd", "Dash_Punctuation"},
                                     {"Pe", "Close_Punctuation"},
                                     {"Pf", "Final_Punctuation"},
                                     {"Pi", "Initial_Punctuation"},
                                     {"Po", "Other_Punctuation"},
                                     {"Ps", "Open_Punctuation"},
                                     {"S", "Symbol"},
                                     {"Sc", "Currency_Symbol"},
                                     {"Sk", "Modifier_Symbol"},
                                     {"Sm", "Math_Symbol"},
                                     {"So", "Other_Symbol"},
                                     {"Z", "Separator"},
                                     {"Zl", "Line_Separator"},
                                     {"Zp", "Paragraph_Separator"},
                                     {"Zs", "Space_Separator"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].alias, name) == 0)
            return known[i].name;
    return name;
}

/** `\p{…}`, with t->p at the p. Written the same outside and inside of a class. */
static bool property(translator *t) {
    char name[64];
    size_t length = 0;
    int kind = *t->p++;
    if (peek(t, 0) != '{')
        return wrong(t, "\\p lacks its {name}");
    for (t->p++; peek(t, 0) != '}'; t->p++) {
        int c = peek(t, 0);
        if (!is_letter(c) && !is_digit(c) && c != '_' && c != '=')
            return wrong(t, "the name in \\p{} is broken");
        if (length == sizeof name - 1)
            return wrong(t, "the name in \\p{} is too long");
        name[length++] = (char)c;
    }
    t->p++;
    name[length] = 0;
    char *equals = strchr(name, '=');
    const char *plain = name;
    if (equals != NULL) {
        *equals = 0;
        if (strcmp(name, "gc") == 0 || strcmp(name, "General_Category") == 0)
            plain = equals + 1;
        else
            *equals = '=';
    }
    if (strcmp(plain, "ASCII") == 0 || strcmp(plain, "Any") == 0) {
        sl_buffer_printf(&t->out, "\\%c{%s}", kind, plain);
        return true;
    }
    sl_buffer_printf(&t->out, "\\%c{%s}", kind, short_category(plain));
    return true;
}

/** A class escape: d, D, s, S, w, W, p, P. @return false: it is none. */
static bool class_escape(translator *t, bool inside) {
    int c = peek(t, 0);
    switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
        sl_buffer_printf(&t->out, "\\%c", c);
        break;
    case 's':
    case 'S':
        sl_buffer_text(&t->out, inside ? "" : "[");
        sl_buffer_text(&t->out, c == 's' ? SPACES : NO_SPACES);
        sl_buffer_text(&t->out, inside ? "" : "]");
        break;
    case 'p':
    case 'P':
        return property(t);
    default:
        return false;
    }
    t->p++;
    return true;
}

static uint32_t code_point(translator *t) {
    uint32_t c = *t->p++;
    if (c < 0x80)
        return c;
    unsigned more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
    c &= 0x3Fu >> more;
    for (; more > 0; more--)
        c = c << 6 | (*t->p++ & 0x3Fu);
    return c;
}

/** One member of a class. @return true: *point holds it; false: a set was written, or
 * wrong. */
static bool class_atom(translator *t, uint32_t *point) {
    if (*t->p != '\\') {
        *point = code_point(t);
        return true;
    }
    t->p++;
    if (peek(t, 0) == 'b') {
        t->p++;
        *point = 8;
        return true;
    }
    if (class_escape(t, true))
        return false;
    int32_t c = t->wrong == NULL ? character_escape(t) : 0;
    if (c < 0)
        wrong(t, "unknown escape in a class");
    *point = (uint32_t)(c < 0 ? 0 : c);
    return true;
}

static bool class(translator *t) {
    sl_buffer_byte(&t->out, '[');
    t->p++;
    if (peek(t, 0) == '^') {
        sl_buffer_byte(&t->out, '^');
        t->p++;
    }
    while (t->p < t->end && *t->p != ']') {
        uint32_t from, to;
        bool one = class_atom(t, &from);
        if (t->wrong != NULL)
            return false;
        bool range = peek(t, 0) == '-' && peek(t, 1) >= 0 && peek(t, 1) != ']';
        if (!one) {
            if (range)
                return wrong(t, "a range ends in a set of characters");
            continue;
        }
        put_point(t, from);
        if (!range)
            continue;
        t->p++;
        if (!class_atom(t, &to))
            return wrong(t, "a range ends in a set of characters");
        if (t->wrong != NULL)
            return false;
        if (to < from)
            return wrong(t, "a range in a class is upside down");
        sl_buffer_byte(&t->out, '-');
        put_point(t, to);
    }
    if (t->p >= t->end)
        return wrong(t, "a class is not closed");
    t->p++;
    sl_buffer_byte(&t->out, ']');
    return true;
}

static bool group_name(translator *t, sl_buffer *out) {
    for (;; t->p++) {
        int c = peek(t, 0);
        if (c == '>')
            break;
        if (!is_letter(c) && c != '_' && (!is_digit(c) || out->length == 0))
            return c < 0
                       ? wrong(t, "the name of a group is not closed")
                       : unsupported(
                             t, "the name of a group has other characters than letters, "
                                "digits and _");
        sl_buffer_byte(out, (uint8_t)c);
    }
    t->p++;
    return out->length == 0 ? wrong(t, "a group has an empty name") : true;
}

/** `\k<name>`, with t->p behind the k. */
static bool named_reference(translator *t) {
    sl_buffer name = SL_BUFFER_EMPTY;
    bool good = peek(t, 0) == '<';
    if (good) {
        t->p++;
        good = group_name(t, &name);
    } else {
        wrong(t, "\\k lacks its <name>");
    }
    if (good)
        sl_buffer_printf(&t->out, "\\k<%s>", sl_buffer_cstr(&name));
    t->out.failed = t->out.failed || name.failed;
    sl_buffer_fini(&name);
    return good;
}

static bool escape(translator *t) {
    t->p++;
    int c = peek(t, 0);
    if (c == 'b' || c == 'B') {
        t->p++;
        sl_buffer_printf(&t->out, "\\%c", c);
        return true;
    }
    if (c == 'k') {
        t->p++;
        return named_reference(t);
    }
    if (c >= '1' && c <= '9') {
        uint32_t number = 0;
        for (; is_digit(peek(t, 0)) && number < 10000; t->p++)
            number = number * 10 + (uint32_t)(peek(t, 0) - '0');
        if (number > t->groups)
            return wrong(t, "a back reference to a group that isn't there");
        sl_buffer_printf(&t->out, "\\g{%u}", number);
        return true;
    }
    if (class_escape(t, false) || t->wrong != NULL)
        return t->wrong == NULL;
    int32_t point = character_escape(t);
    if (point < 0)
        return wrong(t, c < 0 ? "it ends in a backslash" : "unknown escape");
    put_point(t, (uint32_t)point);
    return t->wrong == NULL;
}

static bool disjunction(translator *t);

static bool group(translator *t, bool *repeatable) {
    static const char *const heads[] = {"?:", "?=", "?!", "?<=", "?<!"};
    t->p++;
    sl_buffer_byte(&t->out, '(');
    *repeatable = true;
    if (peek(t, 0) == '?') {
        size_t found = 0, length = 0;
        for (; found < sizeof heads / sizeof *heads; found++) {
            length = strlen(heads[found]);
            if ((size_t)(t->end - t->p) >= length &&
                memcmp(t->p, heads[found], length) == 0)
                break;
        }
        if (found < sizeof heads / sizeof *heads) {
            sl_buffer_text(&t->out, heads[found]);
            t->p += length;
            *repeatable = found == 0;
        } else if (peek(t, 1) == '<') {
            t->p += 2;
            sl_buffer_text(&t->out, "?<");
            sl_buffer name = SL_BUFFER_EMPTY;
            bool good = group_name(t, &name);
            sl_buffer_append(&t->out, name.bytes, name.length);
            t->out.failed = t->out.failed || name.failed;
            sl_buffer_fini(&name);
            if (!good)
                return false;
            sl_buffer_byte(&t->out, '>');
        } else {
            return wrong(t, "unknown kind of group");
        }
    }
    if (++t->depth > 100)
        return unsupported(t, "groups are nested too deep");
    if (!disjunction(t))
        return false;
    t->depth--;
    if (peek(t, 0) != ')')
        return wrong(t, "a group is not closed");
    t->p++;
    sl_buffer_byte(&t->out, ')');
    return true;
}

/** `{n}`, `{n,}`, `{n,m}` at t->p. @return its length, 0: it is none. */
static size_t counts(const translator *t) {
    size_t at = 1;
    if (peek(t, 0) != '{' || !is_digit(peek(t, 1)))
        return 0;
    while (is_digit(peek(t, at)))
        at++;
    if (peek(t, at) == ',')
        for (at++; is_digit(peek(t, at)); at++)
            ;
    return peek(t, at) == '}' ? at + 1 : 0;
}

static bool quantifier(translator *t, bool repeatable) {
    int c = peek(t, 0);
    size_t length = c == '*' || c == '+' || c == '?' ? 1 : counts(t);
    if (length == 0)
        return true;
    if (!repeatable)
        return wrong(t, "nothing to repeat");
    sl_buffer_append(&t->out, t->p, length);
    t->p += length;
    if (peek(t, 0) == '?') {
        sl_buffer_byte(&t->out, '?');
        t->p++;
    }
    c = peek(t, 0);
    // PCRE2 would take a second one for something else.
    return c == '*' || c == '+' || c == '?' || counts(t) != 0
               ? wrong(t, "nothing to repeat")
               : true;
}

static bool atom(translator *t, bool *repeatable) {
    int c = *t->p;
    *repeatable = true;
    switch (c) {
    case '^':
    case '$':
        *repeatable = false;
        sl_buffer_byte(&t->out, (uint8_t)c);
        t->p++;
        return true;
    case '.':
        sl_buffer_text(&t->out, "[^\\x{a}\\x{d}\\x{2028}\\x{2029}]");
        t->p++;
        return true;
    case '(':
        return group(t, repeatable);
    case '[':
        return class(t);
    case '\\':
        *repeatable = peek(t, 1) != 'b' && peek(t, 1) != 'B';
        return escape(t);
    case '*':
    case '+':
    case '?':
        return wrong(t, "nothing to repeat");
    case '{':
        if (counts(t) != 0)
            return wrong(t, "nothing to repeat");
        break;
    default:
        break;
    }
    uint32_t point = code_point(t);
    if (point < 0x80 && (is_letter((int)point) || is_digit((int)point)))
        sl_buffer_byte(&t->out, (uint8_t)point);
    else
        put_point(t, point);
    return true;
}

static bool disjunction(translator *t) {
    while (t->p < t->end && *t->p != ')') {
        bool repeatable;
        if (*t->p == '|') {
            sl_buffer_byte(&t->out, '|');
            t->p++;
            continue;
        }
        if (!atom(t, &repeatable) || !quantifier(t, repeatable))
            return false;
    }
    return true;
}

/** Capturing groups: an opening bracket outside a class that no `?` follows, or `?<name`.
 */
static uint32_t count_groups(const uint8_t *p, const uint8_t *end) {
    uint32_t count = 0;
    bool inside = false;
    for (; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (inside)
            inside = *p != ']';
        else if (*p == '[')
            inside = true;
        else if (*p == '(' && (end - p < 2 || p[1] != '?'))
            count++;
        else if (*p == '(' && end - p >= 4 && p[2] == '<' && p[3] != '=' && p[3] != '!')
            count++;
    }
    return count;
}

static sl_status translate(translator *t, const uint8_t *text, size_t length,
                           sl_error *error) {
    *t = (translator){
        .p = text, .end = text + length, .groups = count_groups(text, text + length)};
    if (length > PATTERN_BYTES_MAX)
        return sl_error_set(error, SL_ELIMIT, "the pattern is longer than %u bytes",
                            PATTERN_BYTES_MAX);
    if (disjunction(t) && t->p < t->end)
        wrong(t, "a closing bracket too many");
    if (t->out.failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    if (t->wrong != NULL)
        return sl_error_set(error, t->unsupported ? SL_EUNSUPPORTED : SL_EINVAL,
                            "not a pattern: %s (at byte %zu)", t->wrong,
                            (size_t)(t->p - text));
    return SL_OK;
}

// ---- The walk: ^ set{n,m} set{n,m} … $

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
static bool walk_is_certain(const regex *r) {
    for (uint32_t i = 0; i < r->step_count; i++) {
        const walk_step *a = &r->steps[i];
        if (a->least == a->most)
            continue;
        if (i + 1 == r->step_count)
            return true;
        for (uint32_t k = i + 1; k < r->step_count; k++) {
            const walk_step *b = &r->steps[k];
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

/** The pattern was translated before, so its syntax is right. */
static void walk_compile(regex *r, const uint8_t *p, size_t length) {
    const uint8_t *end = p + length;
    if (length == 0 || *p++ != '^')
        return;
    // Characters that no count follows: compared at once.
    while (end - p >= 2 && r->prefix_length < WALK_PREFIX_MAX && is_literal(p[0]) &&
           memchr("?+*{", p[1], 4) == NULL)
        r->prefix[r->prefix_length++] = *p++;
    for (; p < end && !(*p == '$' && p + 1 == end);) {
        if (r->step_count == WALK_STEPS_MAX)
            return;
        walk_step *s = &r->steps[r->step_count++];
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
    r->open_end = p == end;
    r->simple = walk_is_certain(r);
}

static bool walk(const regex *r, const uint8_t *p, const uint8_t *end) {
    if ((size_t)(end - p) < r->prefix_length ||
        memcmp(p, r->prefix, r->prefix_length) != 0)
        return false;
    p += r->prefix_length;
    for (uint32_t i = 0; i < r->step_count; i++) {
        const walk_step *s = &r->steps[i];
        const uint8_t *begin = p;
        const uint8_t *stop = (uint64_t)(end - p) > s->most ? p + s->most : end;
        while (p < stop && *p < 0x80 && (s->set[*p >> 6] >> (*p & 63) & 1))
            p++;
        if ((size_t)(p - begin) < s->least)
            return false;
    }
    return r->open_end || p == end;
}

// ---- Compiling and matching

static sl_status compile_code(const translator *t, pcre2_code **out, sl_error *error) {
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
    *out = pcre2_compile(t->out.length == 0 ? (PCRE2_SPTR) "" : t->out.bytes,
                         t->out.length, options, &code, &at, context);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    if (*out != NULL)
        return SL_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    char text[128] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
    return sl_error_set(error, SL_EUNSUPPORTED, "pattern that PCRE2 does not take: %s",
                        text);
}

sl_status sl_regex_compile(const uint8_t *text, size_t length, regex **out,
                           sl_error *error) {
    *out = NULL;
    translator t;
    regex *r = NULL;
    sl_status status = translate(&t, text, length, error);
    if (status != SL_OK)
        goto out;
    r = sl_calloc(1, sizeof *r);
    if (r == NULL) {
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
        goto out;
    }
    status = compile_code(&t, &r->code, error);
    if (status != SL_OK)
        goto out;
    // Without it (memory that may not be executed, another processor) matching is slower,
    // no more.
    (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    walk_compile(r, text, length);
    *out = r;
    r = NULL;
out:
    sl_regex_destroy(r);
    sl_buffer_fini(&t.out);
    return status;
}

void sl_regex_destroy(regex *r) {
    if (r == NULL)
        return;
    pcre2_code_free(r->code);
    sl_free(r);
}

bool sl_regex_is_simple(const regex *r) { return r->simple; }

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
    pcre2_code_free(m->fixed);
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

regex_answer sl_regex_match_fixed(regex_matcher *m, const char *pattern,
                                  const uint8_t *text, size_t length) {
    if (m->fixed == NULL) {
        translator t = {
            .out = {.bytes = (uint8_t *)(uintptr_t)pattern, .length = strlen(pattern)}};
        if (compile_code(&t, &m->fixed, NULL) != SL_OK) {
            m->failed = true;
            return REGEX_NO_MEMORY;
        }
    }
    return run_code(m->fixed, m, text, length);
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
    if (r->simple)
        return walk(r, text, text + length) ? REGEX_YES : REGEX_NO;
    return sl_regex_match_pcre2(r, m, text, length);
}

bool sl_regex_valid(const uint8_t *text, size_t length) {
    translator t;
    pcre2_code *code = NULL;
    bool good = translate(&t, text, length, NULL) == SL_OK &&
                compile_code(&t, &code, NULL) == SL_OK;
    pcre2_code_free(code);
    sl_buffer_fini(&t.out);
    return good;
}
