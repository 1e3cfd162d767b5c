// From a regular expression, texts of which each of its matches contains one:
// "(Minefield|Shiretoko)/(\d+)" needs "minefield/" or "shiretoko/". A string without any
// of them needs no matching.
//
// A walk over the syntax keeps, for the expression's part so far, the set of all texts
// that it can match, as long as that set is small; where it ends to be (any character, a
// repetition, too many texts), what was gathered is one answer, and a new set begins. The
// best answer stays. Assertions match no characters, so they count as "". Syntax that
// isn't known here gives no answer, which is always right: such a rule is tried on every
// string.
//
// Source   Cox, "Regular Expression Matching with a Trigram Index", 2012, for the idea.

#include "internal.h"

#define TEXTS_MAX 512u /**< Of a set that is kept as an answer. */
#define EXACT_MAX 96u  /**< Of a set that is multiplied further. */
#define LENGTH_MAX 48u
#define LENGTH_MIN 2u /**< Shorter ones are in every string. */
#define DEPTH_MAX 40u
#define CLASS_MAX 3u /**< Characters of a class that are taken one by one. */

typedef struct walk {
    const char *at, *end;
    sl_arena *arena;
    bool caseless;
    bool unknown; /**< Syntax that isn't known here. */
    bool failed;  /**< Out of memory. */
    unsigned depth;
} walk;

/** What is known of a part of the expression. */
typedef struct known {
    bool exact; /**< `set` has all texts that it matches. */
    literal_set set;
    literal_set need; /**< Each match contains one of these; count 0: nothing known. */
} known;

static known any_text(void) { return (known){0}; }

static known unknown(walk *w) {
    w->unknown = true;
    return any_text();
}

static literal_set make_set(walk *w, uint32_t count) {
    literal_set set = {0};
    set.text = sl_arena_get(w->arena, count * sizeof *set.text);
    set.length = sl_arena_get(w->arena, count * sizeof *set.length);
    if (set.text == NULL || set.length == NULL) {
        w->failed = true;
        return (literal_set){0};
    }
    return set;
}

static void put(walk *w, literal_set *set, const char *text, uint32_t length) {
    if (w->failed)
        return;
    set->text[set->count] = text;
    set->length[set->count++] = length;
}

static known one_text(walk *w, const char *text, uint32_t length) {
    known k = {.exact = true, .set = make_set(w, 1)};
    put(w, &k.set, text, length);
    return k;
}

static known one_char(walk *w, char c) {
    if (c == 0 || w->failed)
        return unknown(w);
    if (w->caseless && (unsigned char)c >= 0x80)
        w->unknown = true; // Its other case isn't worked out here.
    if (c >= 'A' && c <= 'Z')
        c = (char)(c + ('a' - 'A'));
    char *text = sl_arena_strndup(w->arena, &c, 1);
    if (text == NULL) {
        w->failed = true;
        return any_text();
    }
    return one_text(w, text, 1);
}

// ---- Which set is the better answer
// ------------------------------------------------------------------------------------

// Strings like nearly all: what is in them tells little.
static const char *const usual[] = {
    "mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml, like gecko) "
    "chrome/120.0.0.0 safari/537.36 edg",
    "mozilla/5.0 (macintosh; intel mac os x 10_15_7) applewebkit/605.1.15 (khtml, like "
    "gecko) version/17.1 safari/605.1.15",
    "mozilla/5.0 (linux; android 10; sm-g960f build/qp1a; wv) applewebkit/537.36 (khtml, "
    "like gecko) version/4.0 chrome/120.0.0.0 mobile safari/537.36",
    "mozilla/5.0 (iphone; cpu iphone os 17_1 like mac os x) applewebkit/605.1.15 (khtml, "
    "like gecko) version/17.1 mobile/15e148 safari/604.1",
    "mozilla/5.0 (linux; u; android 4.0.3; de-de; galaxy s ii build/gri20) "
    "applewebkit/534.30",
    "mozilla/5.0 (x11; ubuntu; linux x86_64; rv:109.0) gecko/20100101 firefox/121.0",
    "mozilla/4.0 (compatible; msie 8.0; windows nt 6.1; trident/4.0; .net clr 2.0.50727)",
    "mozilla/5.0 (compatible; googlebot/2.1; +http://www.google.com/bot.html)",
};

static bool is_usual(const char *text, uint32_t length) {
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        for (const char *p = usual[i]; (p = strchr(p, text[0])) != NULL; p++)
            if (strncmp(p, text, length) == 0)
                return true;
    return false;
}

static int score(const literal_set *set) {
    if (set->count == 0 || set->count > TEXTS_MAX)
        return -1;
    int least = INT32_MAX;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t length = set->length[i];
        if (length < LENGTH_MIN)
            return -1;
        int value = is_usual(set->text[i], length)
                        ? (int)(length < 8 ? length : 8)
                        : 16 + (int)(length < 16 ? length : 16);
        if (value < least)
            least = value;
    }
    // Any answer is better than none, which is -1.
    int value = least * 8 - (int)(set->count < 64 ? set->count : 64) / 2;
    return value < 0 ? 0 : value;
}

static void consider(literal_set *best, const literal_set *set) {
    if (score(set) > score(best))
        *best = *set;
}

// ---- Putting parts together
// --------------------------------------------------------------------------------------------

static uint32_t longest(const literal_set *set) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->length[i] > most)
            most = set->length[i];
    return most;
}

static literal_set product(walk *w, const literal_set *a, const literal_set *b) {
    literal_set out = make_set(w, a->count * b->count);
    for (uint32_t i = 0; i < a->count && !w->failed; i++) {
        for (uint32_t k = 0; k < b->count && !w->failed; k++) {
            uint32_t length = a->length[i] + b->length[k];
            char *text = sl_arena_get(w->arena, length + 1);
            if (text == NULL) {
                w->failed = true;
                break;
            }
            memcpy(text, a->text[i], a->length[i]);
            memcpy(text + a->length[i], b->text[k], b->length[k]);
            text[length] = 0;
            put(w, &out, text, length);
        }
    }
    return out;
}

static literal_set joined(walk *w, const literal_set *a, const literal_set *b) {
    literal_set out = make_set(w, a->count + b->count);
    for (uint32_t i = 0; i < a->count; i++)
        put(w, &out, a->text[i], a->length[i]);
    for (uint32_t i = 0; i < b->count; i++)
        put(w, &out, b->text[i], b->length[i]);
    return out;
}

static bool multiplies(const literal_set *a, const literal_set *b) {
    return (uint64_t)a->count * b->count <= EXACT_MAX &&
           longest(a) + longest(b) <= LENGTH_MAX;
}

/** Parts one after another. `sofar.set` are the texts since the last part that wasn't
 * exact. */
static void append(walk *w, known *sofar, const known *part) {
    consider(&sofar->need, &part->need);
    if (!part->exact) {
        consider(&sofar->need, &sofar->set);
        sofar->exact = false;
        sofar->set = one_text(w, "", 0).set;
        return;
    }
    if (multiplies(&sofar->set, &part->set)) {
        sofar->set = product(w, &sofar->set, &part->set);
        return;
    }
    consider(&sofar->need, &sofar->set);
    consider(&sofar->need, &part->set);
    sofar->exact = false;
    sofar->set = part->set.count <= EXACT_MAX ? part->set : one_text(w, "", 0).set;
}

static known either(walk *w, const known *a, const known *b) {
    known out = {0};
    if (a->exact && b->exact && a->set.count + b->set.count <= TEXTS_MAX) {
        out.exact = true;
        out.set = joined(w, &a->set, &b->set);
        return out;
    }
    literal_set left = a->need, right = b->need;
    if (a->exact)
        consider(&left, &a->set);
    if (b->exact)
        consider(&right, &b->set);
    if (left.count != 0 && right.count != 0 && left.count + right.count <= TEXTS_MAX)
        out.need = joined(w, &left, &right);
    return out;
}

// ---- Syntax
// --------------------------------------------------------------------------------------------------

static known alternatives(walk *w);

static bool more(const walk *w) { return w->at < w->end && !w->unknown && !w->failed; }

// Behind the backslash. Letters that aren't named may mean anything.
static known escaped(walk *w) {
    if (!more(w))
        return unknown(w);
    char c = *w->at++;
    if (c == 0 || strchr("dDwWsSNhHvVR", c) != NULL)
        return c == 0 ? unknown(w) : any_text();
    if (strchr("bBAzZG", c) != NULL)
        return one_text(w, "", 0);
    switch (c) {
    case 't':
        return one_char(w, '\t');
    case 'n':
        return one_char(w, '\n');
    case 'r':
        return one_char(w, '\r');
    case 'f':
        return one_char(w, '\f');
    default:
        break;
    }
    bool letter =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter ? unknown(w) : one_char(w, c);
}

// @return false: the class has more characters than are taken one by one.
static bool add_char(walk *w, literal_set *set, char c) {
    known k = one_char(w, c);
    if (w->failed)
        return false;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->text[i][0] == k.set.text[0][0])
            return true; // "[Bb]" is one in lower case.
    if (set->count == CLASS_MAX)
        return false;
    put(w, set, k.set.text[0], 1);
    return true;
}

// Behind "[". A few characters one by one are exact, everything else is any text.
static known character_class(walk *w) {
    bool negated = more(w) && *w->at == '^', plain = !negated;
    w->at += negated;
    known out = {.exact = true, .set = make_set(w, CLASS_MAX)};
    for (bool first = true; more(w) && (*w->at != ']' || first); first = false) {
        char c = *w->at++;
        if (c == '[' && more(w) && strchr(":.=", *w->at) != NULL)
            return unknown(w);
        if ((unsigned char)c >= 0x80)
            plain = false; // A character of several bytes.
        if (c == '\\') {
            if (!more(w))
                return unknown(w);
            c = *w->at++;
            if (c == 'E' || c == 'Q' || c == 'x' || c == 'o' || c == 'c' || c == 'N')
                return unknown(w);
            plain = plain && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9'));
        }
        if (more(w) && *w->at == '-' && w->end - w->at > 1 && w->at[1] != ']')
            plain = false; // A range.
        plain = plain && add_char(w, &out.set, c);
    }
    if (!more(w))
        return unknown(w);
    w->at++;
    return plain ? out : any_text();
}

// Behind "(".
static known group(walk *w) {
    bool assertion = false;
    if (w->end - w->at >= 2 && w->at[0] == '?') {
        char kind = w->at[1];
        if (kind == ':') {
            w->at += 2;
        } else if (kind == '=' || kind == '!') {
            assertion = true;
            w->at += 2;
        } else if (kind == '<' && w->end - w->at >= 3 &&
                   (w->at[2] == '=' || w->at[2] == '!')) {
            assertion = true;
            w->at += 3;
        } else {
            return unknown(w);
        }
    } else if (w->at < w->end && w->at[0] == '*') {
        return unknown(w);
    }
    if (++w->depth > DEPTH_MAX)
        return unknown(w);
    known inner = alternatives(w);
    w->depth--;
    if (!more(w) || *w->at != ')')
        return unknown(w);
    w->at++;
    return assertion ? one_text(w, "", 0) : inner;
}

static known atom(walk *w) {
    char c = *w->at++;
    switch (c) {
    case '\\':
        return escaped(w);
    case '[':
        return character_class(w);
    case '(':
        return group(w);
    case '.':
        return any_text();
    case '{':
        return unknown(w); // Text or a repetition, depending on PCRE2's version.
    case '^':
    case '$':
        return one_text(w, "", 0);
    default:
        return one_char(w, c);
    }
}

static bool digit(const walk *w, const char *p) {
    return p < w->end && *p >= '0' && *p <= '9';
}

// "{2}", "{2,}", "{2,5}"; anything else is text.
static bool counted(walk *w, uint32_t *least, uint32_t *most) {
    const char *p = w->at + 1;
    if (!digit(w, p))
        return false;
    uint32_t low = 0, high = 0;
    for (; digit(w, p); p++)
        low = low < 10000 ? low * 10 + (uint32_t)(*p - '0') : low;
    high = low;
    if (p < w->end && *p == ',') {
        high = UINT32_MAX;
        if (digit(w, ++p))
            for (high = 0; digit(w, p); p++)
                high = high < 10000 ? high * 10 + (uint32_t)(*p - '0') : high;
    }
    if (p >= w->end || *p != '}')
        return false;
    *least = low;
    *most = high;
    w->at = p + 1;
    return true;
}

static bool quantifier(walk *w, uint32_t *least, uint32_t *most) {
    if (!more(w))
        return false;
    switch (*w->at) {
    case '*':
        *least = 0, *most = UINT32_MAX;
        break;
    case '+':
        *least = 1, *most = UINT32_MAX;
        break;
    case '?':
        *least = 0, *most = 1;
        break;
    case '{':
        if (!counted(w, least, most))
            return false;
        w->at--; // For the step below.
        break;
    default:
        return false;
    }
    w->at++;
    if (more(w) && (*w->at == '?' || *w->at == '+'))
        w->at++; // Lazy or possessive: the same texts, or fewer.
    return true;
}

static known repeated(walk *w, const known *part, uint32_t least, uint32_t most) {
    known none = one_text(w, "", 0);
    if (least == 1 && most == 1)
        return *part;
    if (least == 0 && most == 1 && part->exact && part->set.count < EXACT_MAX)
        return either(w, &none, part);
    if (least == 0 && most == 2 && part->exact && part->set.count == 1) {
        known once = either(w, &none, part), twice = one_text(w, "", 0);
        append(w, &twice, part);
        append(w, &twice, part);
        return twice.exact ? either(w, &once, &twice) : any_text();
    }
    known out = any_text();
    if (least == 0)
        return out;
    out.need = part->need;
    if (part->exact)
        consider(&out.need, &part->set);
    return out;
}

static known sequence(walk *w) {
    known sofar = one_text(w, "", 0);
    while (more(w) && *w->at != '|' && *w->at != ')') {
        if (strchr("*+?", *w->at) != NULL)
            return unknown(w);
        known part = atom(w);
        uint32_t least, most;
        if (quantifier(w, &least, &most)) {
            bool once_more = least >= 1 && part.exact && !w->failed;
            if (once_more && least == 1 && most > 1)
                append(w, &sofar,
                       &part); // Its first time follows directly on what was before.
            part = repeated(w, &part, least, most);
        }
        if (!w->failed && !w->unknown)
            append(w, &sofar, &part);
    }
    if (!sofar.exact && !w->failed)
        consider(&sofar.need, &sofar.set);
    return sofar;
}

static known alternatives(walk *w) {
    known all = sequence(w);
    while (more(w) && *w->at == '|') {
        w->at++;
        known other = sequence(w);
        if (!w->failed && !w->unknown)
            all = either(w, &all, &other);
    }
    return all;
}

// A text that contains another one of the set says nothing more.
static void copy_shortest(const literal_set *from, literal_set *out) {
    for (uint32_t i = 0; i < from->count; i++) {
        bool needed = true;
        for (uint32_t k = 0; k < from->count && needed; k++) {
            bool same = from->length[k] == from->length[i];
            if (k != i && (from->length[k] < from->length[i] || (same && k < i)))
                needed = strstr(from->text[i], from->text[k]) == NULL;
        }
        if (!needed)
            continue;
        out->text[out->count] = from->text[i];
        out->length[out->count++] = from->length[i];
    }
}

bool sl_user_agent_literals(const char *regex, uint32_t length, bool caseless,
                            sl_arena *arena, literal_set *out) {
    walk w = {.at = regex, .end = regex + length, .arena = arena, .caseless = caseless};
    *out = (literal_set){0};
    known all = alternatives(&w);
    if (w.failed)
        return false;
    if (w.unknown || w.at != w.end)
        return true;
    if (all.exact)
        consider(&all.need, &all.set);
    if (all.need.count == 0)
        return true;
    *out = make_set(&w, all.need.count);
    if (w.failed)
        return false;
    copy_shortest(&all.need, out);
    return true;
}
