#include "tree.h"

#include "sluice/hash.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define TEXT_MAX (UINT32_C(1) << 30)
/** Members up to which equal keys are looked for pair by pair. */
#define SCAN_PAIRS 12u
#define SMALL_BYTES 65536u /**< A text that needs no more than LARGE_NODES. */
#define LARGE_NODES 65536u
#define LARGE_BYTES (UINT32_C(1) << 20)

static uint64_t load64(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

uint64_t sl_tree_hash(const void *bytes, size_t length) {
    return sl_hash64(bytes, length, 0);
}

// ---- Text

static bool continues(uint8_t c) { return (c & 0xC0) == 0x80; }

// Length of the UTF-8 sequence at `p`, 0 when it is none (RFC 3629, section 4). A byte that
// doesn't continue stops the look at what is behind it.
static unsigned text_sequence(const uint8_t *p) {
    uint8_t c = *p;
    if (c < 0x80)
        return 1;
    if (c < 0xC2 || c > 0xF4 || !continues(p[1]))
        return 0;
    if (c < 0xE0)
        return 2;
    if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) ||
        (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F) || !continues(p[2]))
        return 0;
    if (c < 0xF0)
        return 3;
    return continues(p[3]) ? 4 : 0;
}

size_t sl_text_decode(const uint8_t *p, uint32_t *out) {
    uint32_t c = *p;
    if (c < 0x80) {
        *out = c;
        return 1;
    }
    unsigned more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
    c &= 0x3Fu >> more;
    for (unsigned i = 1; i <= more; i++)
        c = c << 6 | (p[i] & 0x3Fu);
    *out = c;
    return more + 1;
}

size_t sl_text_points(const uint8_t *bytes, size_t length) {
    size_t count = 0, i = 0;
    for (; i + 8 <= length; i += 8) {
        // A byte that continues has bit 7 set and bit 6 clear.
        uint64_t x = load64(bytes + i);
        uint64_t other = (x >> 7) & ~(x >> 6) & UINT64_C(0x0101010101010101);
        count += 8 - (size_t)__builtin_popcountll(other);
    }
    for (; i < length; i++)
        count += !continues(bytes[i]);
    return count;
}

// ---- Parsing

typedef struct parser {
    tree *t;
    const uint8_t *p, *end;
    unsigned depth_max;
    sl_status status;
} parser;

static bool fault(parser *r, const uint8_t *at, const char *text) {
    r->t->fault = text;
    r->t->fault_at = (uint32_t)(at - r->t->text);
    r->status = SL_ESYNTAX;
    return false;
}

static void spaces(parser *r) {
    while (r->p < r->end &&
           (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

static bool over_limit(parser *r, const char *text) {
    fault(r, r->p, text);
    r->t->limit = true;
    r->status = SL_ELIMIT;
    return false;
}

static uint32_t new_node(tree *t, json_kind kind) {
    if (t->count == t->capacity) {
        uint32_t more = t->capacity == 0 ? 64 : t->capacity * 2;
        tree_node *nodes = sl_realloc(t->nodes, more * sizeof *nodes);
        if (nodes == NULL)
            return TREE_NONE;
        t->nodes = nodes;
        t->capacity = more;
    }
    // `as` is written by those that have a string or number.
    tree_node *n = &t->nodes[t->count];
    n->kind = (uint8_t)kind;
    n->dead = false;
    n->after = t->count + 1;
    n->count = n->begin = n->length = n->key_length = 0;
    n->slot_mask = 0;
    n->key = NULL;
    n->key_hash = 0;
    return t->count++;
}

static int hex(uint8_t c) {
    if ((unsigned)(c - '0') < 10)
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Four hex digits at `p`, before `end`; -1: there are none. */
static int32_t hex4(const uint8_t *p, const uint8_t *end) {
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (unsigned i = 0; i < 4; i++) {
        int digit = hex(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/** The escape at `p`, written to `out`. RFC 8259 section 7. @return behind it, NULL:
 * fault. */
static const uint8_t *unescape(parser *r, const uint8_t *p, uint8_t *out,
                               size_t *length) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found = p + 1 < r->end && p[1] != 0 ? strchr(from, p[1]) : NULL;
    if (found != NULL) {
        out[(*length)++] = (uint8_t)to[found - from];
        return p + 2;
    }
    int32_t unit = p + 1 < r->end && p[1] == 'u' ? hex4(p + 2, r->end) : -1;
    if (unit < 0) {
        fault(r, p, "invalid escape");
        return NULL;
    }
    uint32_t c = (uint32_t)unit;
    const uint8_t *behind = p + 6;
    if (c >= 0xD800 && c <= 0xDFFF) {
        // Half of a surrogate pair names no character.
        int32_t low =
            c < 0xDC00 && r->end - behind >= 6 && behind[0] == '\\' && behind[1] == 'u'
                ? hex4(behind + 2, r->end)
                : -1;
        if (low < 0xDC00 || low > 0xDFFF) {
            fault(r, p, "lone surrogate");
            return NULL;
        }
        c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
        behind += 6;
    }
    *length += sl_utf8_encode(c, out + *length);
    return behind;
}

/** Skip what needs no look: no quote, backslash, control character or byte beyond ASCII.
 */
static const uint8_t *plain_run(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(0x20);
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        // As signed bytes, those beyond ASCII are less than a space as well.
        __m128i stop =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)),
                         _mm_cmplt_epi8(x, space));
        unsigned found = (unsigned)_mm_movemask_epi8(stop);
        if (found != 0)
            return p + __builtin_ctz(found);
    }
#endif
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/** Where the next string is unescaped to: as much room as the whole text takes. */
static uint8_t *room(parser *r) {
    tree *t = r->t;
    if (t->unescaped_capacity <= t->length) {
        // Only at a text's first escape: nothing points there yet.
        sl_free(t->unescaped);
        t->unescaped_capacity = 0;
        t->unescaped = sl_malloc(t->length + t->length / 4 + 64u);
        if (t->unescaped == NULL) {
            r->status = SL_ENOMEM;
            return NULL;
        }
        t->unescaped_capacity = t->length + t->length / 4 + 64u;
    }
    return t->unescaped + t->unescaped_length;
}

/** A string from its opening quote on. */
static bool string(parser *r, const uint8_t **bytes, uint32_t *length) {
    const uint8_t *begin = ++r->p, *p = begin, *copied = begin;
    uint8_t *out = NULL;
    size_t written = 0;
    for (;;) {
        p = plain_run(p, r->end);
        if (p >= r->end)
            return fault(r, begin - 1, "string is not closed");
        if (*p == '"')
            break;
        if (*p < 0x20)
            return fault(r, p, "control character in a string");
        if (*p == '\\') {
            if (out == NULL && (out = room(r)) == NULL)
                return false;
            memcpy(out + written, copied, (size_t)(p - copied));
            written += (size_t)(p - copied);
            p = unescape(r, p, out, &written);
            if (p == NULL)
                return false;
            copied = p;
            continue;
        }
        unsigned sequence = text_sequence(p);
        if (sequence == 0 || p + sequence > r->end)
            return fault(r, p, "not UTF-8");
        p += sequence;
    }
    r->p = p + 1;
    if (copied == begin) {
        *bytes = begin;
        *length = (uint32_t)(p - begin);
        return true;
    }
    memcpy(out + written, copied, (size_t)(p - copied));
    written += (size_t)(p - copied);
    r->t->unescaped_length += written;
    *bytes = out;
    *length = (uint32_t)written;
    return true;
}

static bool same_key(const tree_node *a, const tree_node *b) {
    return a->key_hash == b->key_hash && a->key_length == b->key_length &&
           (a->key_length == 0 || memcmp(a->key, b->key, a->key_length) == 0);
}

/** Few members: a bit of each hash tells nearly always that a key is new. */
static void bury_pairs(tree *t, uint32_t object) {
    tree_node *nodes = t->nodes;
    uint64_t seen = 0;
    for (uint32_t i = object + 1; i < nodes[object].after; i = nodes[i].after) {
        uint64_t bit = UINT64_C(1) << (nodes[i].key_hash & 63);
        if (seen & bit) {
            for (uint32_t k = object + 1; k < i; k = nodes[k].after) {
                if (!nodes[k].dead && same_key(&nodes[k], &nodes[i])) {
                    nodes[k].dead = true;
                    nodes[object].count--;
                }
            }
        }
        seen |= bit;
    }
}

/** Many members: a hash table, which stays for those who look for a member. */
static bool bury_many(parser *r, uint32_t object) {
    tree *t = r->t;
    tree_node *nodes = t->nodes;
    uint32_t size = 32;
    while (size < nodes[object].count * 2)
        size *= 2;
    if (size > t->slot_capacity - t->slot_count) {
        uint32_t more = t->slot_capacity * 2 + size;
        uint32_t *slots = sl_realloc(t->slots, more * sizeof *slots);
        if (slots == NULL) {
            r->status = SL_ENOMEM;
            return false;
        }
        t->slots = slots;
        t->slot_capacity = more;
    }
    uint32_t *slots = t->slots + t->slot_count; // 0 is empty: the root is no member.
    nodes[object].slots = t->slot_count;
    nodes[object].slot_mask = size - 1;
    t->slot_count += size;
    memset(slots, 0, size * sizeof *slots);
    for (uint32_t i = object + 1; i < nodes[object].after; i = nodes[i].after) {
        uint32_t slot = (uint32_t)nodes[i].key_hash & (size - 1);
        while (slots[slot] != 0 && !same_key(&nodes[slots[slot]], &nodes[i]))
            slot = (slot + 1) & (size - 1);
        if (slots[slot] != 0) {
            nodes[slots[slot]].dead = true;
            nodes[object].count--;
        }
        slots[slot] = i;
    }
    return true;
}

static uint32_t value(parser *r, unsigned depth);

static bool member(parser *r, unsigned depth) {
    const uint8_t *key;
    uint32_t length;
    spaces(r);
    if (r->p >= r->end || *r->p != '"')
        return fault(r, r->p, "no member name");
    if (!string(r, &key, &length))
        return false;
    spaces(r);
    if (r->p >= r->end || *r->p != ':')
        return fault(r, r->p, "no ':'");
    r->p++;
    uint32_t at = value(r, depth);
    if (at == TREE_NONE)
        return false;
    tree_node *n = &r->t->nodes[at];
    n->key = key;
    n->key_length = length;
    n->key_hash = sl_tree_hash(key, length);
    return true;
}

static bool children(parser *r, uint32_t at, unsigned depth) {
    const bool object = r->t->nodes[at].kind == JSON_OBJECT;
    const uint8_t close = object ? '}' : ']';
    uint32_t count = 0;
    if (depth >= r->depth_max)
        return over_limit(r, "nested too deep");
    r->p++;
    spaces(r);
    if (r->p < r->end && *r->p == close) {
        r->p++;
        return true;
    }
    for (;; r->p++) {
        if (!(object ? member(r, depth + 1) : value(r, depth + 1) != TREE_NONE))
            return false;
        count++;
        spaces(r);
        if (r->p < r->end && *r->p == ',')
            continue;
        if (r->p >= r->end || *r->p != close)
            return fault(r, r->p, object ? "no ',' or '}'" : "no ',' or ']'");
        break;
    }
    r->p++;
    r->t->nodes[at].count = count;
    r->t->nodes[at].after = r->t->count;
    if (!object || count < 2)
        return true;
    if (count <= SCAN_PAIRS) {
        bury_pairs(r->t, at);
        return true;
    }
    return bury_many(r, at);
}

static bool word(parser *r, const char *text, size_t length) {
    if ((size_t)(r->end - r->p) < length || memcmp(r->p, text, length) != 0)
        return fault(r, r->p, "not a JSON value");
    r->p += length;
    return true;
}

static bool number(parser *r, uint32_t at) {
    const uint8_t *behind = sl_decimal_read(r->p, r->end, &r->t->nodes[at].as.number);
    if (behind == NULL)
        return fault(r, r->p, "not a JSON value");
    r->p = behind;
    return true;
}

static bool content(parser *r, uint32_t at, json_kind kind, unsigned depth) {
    tree_node *n = &r->t->nodes[at];
    switch (kind) {
    case JSON_NULL:
        return word(r, "null", 4);
    case JSON_FALSE:
        return word(r, "false", 5);
    case JSON_TRUE:
        return word(r, "true", 4);
    case JSON_STRING:
        return string(r, &n->as.string.bytes, &n->as.string.length);
    case JSON_NUMBER:
        return number(r, at);
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return children(r, at, depth);
}

static uint32_t value(parser *r, unsigned depth) {
    spaces(r);
    if (r->p >= r->end) {
        fault(r, r->p, "a value is missing");
        return TREE_NONE;
    }
    const uint8_t *begin = r->p;
    json_kind kind = *begin == '{'   ? JSON_OBJECT
                     : *begin == '[' ? JSON_ARRAY
                     : *begin == '"' ? JSON_STRING
                     : *begin == 'n' ? JSON_NULL
                     : *begin == 't' ? JSON_TRUE
                     : *begin == 'f' ? JSON_FALSE
                                     : JSON_NUMBER;
    if (r->t->count >= TREE_NODES_MAX) {
        over_limit(r, "too many values");
        return TREE_NONE;
    }
    uint32_t at = new_node(r->t, kind);
    if (at == TREE_NONE) {
        r->status = SL_ENOMEM;
        return TREE_NONE;
    }
    if (!content(r, at, kind, depth))
        return TREE_NONE;
    r->t->nodes[at].begin = (uint32_t)(begin - r->t->text);
    r->t->nodes[at].length = (uint32_t)(r->p - begin);
    return at;
}

/** One large text shall not hold its memory while small ones follow. */
static void shrink(tree *t) {
    sl_free(t->nodes);
    t->nodes = NULL;
    t->capacity = 0;
    sl_free(t->unescaped);
    t->unescaped = NULL;
    t->unescaped_capacity = 0;
    sl_free(t->slots);
    t->slots = NULL;
    t->slot_capacity = 0;
}

sl_status sl_tree_parse(tree *t, const uint8_t *text, size_t length, unsigned depth_max) {
    parser r = {.t = t, .p = text, .end = text + length, .depth_max = depth_max};
    t->text = text;
    t->count = t->slot_count = 0;
    t->unescaped_length = 0;
    t->fault = "";
    t->fault_at = 0;
    t->limit = false;
    t->length = (uint32_t)length;
    if (length > TEXT_MAX) {
        over_limit(&r, "too large");
        return r.status;
    }
    if (length < SMALL_BYTES &&
        (t->capacity > LARGE_NODES || t->unescaped_capacity > LARGE_BYTES))
        shrink(t);
    if (value(&r, 0) == TREE_NONE)
        return r.status;
    spaces(&r);
    if (r.p != r.end)
        fault(&r, r.p, "something follows the value");
    return r.status;
}

void sl_tree_fini(tree *t) {
    sl_free(t->nodes);
    sl_free(t->unescaped);
    sl_free(t->slots);
    *t = (tree){0};
}

// ---- Looking

static bool has_key(const tree_node *n, const void *key, size_t length, uint64_t hash) {
    return n->key_hash == hash && n->key_length == length &&
           (length == 0 || memcmp(n->key, key, length) == 0);
}

uint32_t sl_tree_member(const tree *t, uint32_t at, const void *key, size_t length,
                        uint64_t hash) {
    const tree_node *nodes = t->nodes;
    const uint32_t mask = nodes[at].slot_mask;
    if (mask != 0) {
        const uint32_t *slots = t->slots + nodes[at].slots;
        uint32_t slot = (uint32_t)hash & mask;
        while (slots[slot] != 0 && !has_key(&nodes[slots[slot]], key, length, hash))
            slot = (slot + 1) & mask;
        return slots[slot] != 0 ? slots[slot] : TREE_NONE;
    }
    for (uint32_t i = at + 1; i < nodes[at].after; i = nodes[i].after)
        if (!nodes[i].dead && has_key(&nodes[i], key, length, hash))
            return i;
    return TREE_NONE;
}

uint32_t sl_tree_get(const tree *t, uint32_t at, const char *key) {
    if (t->nodes[at].kind != JSON_OBJECT)
        return TREE_NONE;
    size_t length = strlen(key);
    return sl_tree_member(t, at, key, length, sl_tree_hash(key, length));
}

static void pointer_key(sl_buffer *out, const uint8_t *key, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (key[i] == '~' || key[i] == '/')
            sl_buffer_text(out, key[i] == '~' ? "~0" : "~1");
        else
            sl_buffer_byte(out, key[i]);
    }
}

void sl_tree_pointer(const tree *t, uint32_t at, sl_buffer *out) {
    const tree_node *nodes = t->nodes;
    for (uint32_t here = 0; here != at;) {
        uint32_t child = here + 1, item = 0;
        for (; nodes[child].after <= at; child = nodes[child].after)
            item++;
        sl_buffer_byte(out, '/');
        if (nodes[child].key == NULL)
            sl_buffer_printf(out, "%u", item);
        else
            pointer_key(out, nodes[child].key, nodes[child].key_length);
        here = child;
    }
}

// ---- Equality

static bool equal_items(const tree *a, uint32_t x, const tree *b, uint32_t y) {
    uint32_t i = x + 1, k = y + 1;
    for (; i < a->nodes[x].after; i = a->nodes[i].after, k = b->nodes[k].after)
        if (!sl_tree_equal(a, i, b, k))
            return false;
    return true;
}

static bool equal_members(const tree *a, uint32_t x, const tree *b, uint32_t y) {
    for (uint32_t i = x + 1; i < a->nodes[x].after; i = a->nodes[i].after) {
        const tree_node *n = &a->nodes[i];
        if (n->dead)
            continue;
        uint32_t k = sl_tree_member(b, y, n->key, n->key_length, n->key_hash);
        if (k == TREE_NONE || !sl_tree_equal(a, i, b, k))
            return false;
    }
    return true;
}

bool sl_tree_equal(const tree *a, uint32_t x, const tree *b, uint32_t y) {
    const tree_node *m = &a->nodes[x], *n = &b->nodes[y];
    if (m->kind != n->kind || m->count != n->count)
        return false;
    switch ((json_kind)m->kind) {
    case JSON_NUMBER:
        return sl_decimal_compare(&m->as.number, &n->as.number) == 0;
    case JSON_STRING:
        return m->as.string.length == n->as.string.length &&
               memcmp(m->as.string.bytes, n->as.string.bytes, m->as.string.length) == 0;
    case JSON_ARRAY:
        return equal_items(a, x, b, y);
    case JSON_OBJECT:
        return equal_members(a, x, b, y);
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        break;
    }
    return true;
}

static uint64_t mix(uint64_t x) {
    x ^= x >> 31;
    x *= UINT64_C(0x9E3779B97F4A7C15);
    return x ^ x >> 29;
}

uint64_t sl_tree_value_hash(const tree *t, uint32_t at) {
    const tree_node *n = &t->nodes[at];
    uint64_t hash = mix(n->kind + 1u);
    switch ((json_kind)n->kind) {
    case JSON_NUMBER:
        // Digits beyond the 19th don't count: they may only make hashes equal.
        return mix(hash ^ mix(n->as.number.lead ^ (uint64_t)n->as.number.negative) ^
                   mix((uint64_t)n->as.number.top + 77));
    case JSON_STRING:
        return mix(hash ^ sl_tree_hash(n->as.string.bytes, n->as.string.length));
    case JSON_ARRAY:
        for (uint32_t i = at + 1; i < n->after; i = t->nodes[i].after)
            hash = mix(hash + sl_tree_value_hash(t, i));
        return hash;
    case JSON_OBJECT:
        // A sum: the members have no order.
        for (uint32_t i = at + 1; i < n->after; i = t->nodes[i].after)
            if (!t->nodes[i].dead)
                hash += mix(t->nodes[i].key_hash ^ mix(sl_tree_value_hash(t, i)));
        return hash;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        break;
    }
    return hash;
}

uint32_t sl_tree_push_string(tree *t, const uint8_t *bytes, uint32_t length) {
    uint32_t at = new_node(t, JSON_STRING);
    if (at == TREE_NONE)
        return at;
    t->nodes[at].as.string.bytes = bytes;
    t->nodes[at].as.string.length = length;
    return at;
}
