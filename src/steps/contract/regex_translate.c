// Patterns of ECMA-262 in the language of PCRE2; regex.h says what differs.

#include "regex_parts.h"

#define PATTERN_BYTES_MAX 65536u

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

static sl_status translate_all(translator *t, const uint8_t *text, size_t length,
                               sl_error *error) {
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

sl_status sl_regex_translate(const uint8_t *text, size_t length, sl_buffer *out,
                             sl_error *error) {
    translator t = {
        .p = text, .end = text + length, .groups = count_groups(text, text + length)};
    sl_status status = translate_all(&t, text, length, error);
    *out = t.out;
    return status;
}
