// Evaluation of a schema on a tree.
//
// A result is true or false; the first failure is noted on the way, and again by each
// keyword whose parts may fail without harm (anyOf, oneOf, not, contains): the note that
// stays is the outermost of these, or else the innermost assertion.
//
// unevaluatedProperties and unevaluatedItems ask which children the keywords beside them,
// and the schemas in place below those, have evaluated (core, section 11). A schema that
// has one of them keeps marks of its own: a bit for each child. Schemas in place that
// must hold write to the same marks; those that may fail get a copy, which is merged when
// they hold.

#include "check.h"

#include <stdlib.h>

#define EVENT_DEPTH_MAX SL_DEPTH_MAX
#define EVALUATION_DEPTH_MAX 1000u
#define HASHES_KEPT_MAX 32768u
#define PATTERNS_IN_FULL 64u /**< Matches in one event that may take long. */

static bool eval(sl_contract_checker *c, const plan_schema *schema, uint32_t at,
                 uint32_t marks);

static bool fail_at(sl_contract_checker *c, const plan_op *op, const char *keyword,
                    plan_place place, uint32_t node) {
    if (!c->broken)
        c->failure =
            (check_failure){.op = op, .keyword = keyword, .place = place, .node = node};
    return false;
}

static bool fail(sl_contract_checker *c, const plan_op *op, uint32_t node) {
    return fail_at(c, op, op->keyword, op->place, node);
}

static bool stop(sl_contract_checker *c, check_reason reason, plan_place place,
                 uint32_t node) {
    if (!c->broken)
        c->failure = (check_failure){
            .reason = reason, .keyword = "limit", .place = place, .node = node};
    c->broken = true;
    return false;
}

static bool stop_memory(sl_contract_checker *c) {
    c->broken = c->no_memory = true;
    return false;
}

// ---- Marks

static uint32_t mark_words(const sl_contract_checker *c, uint32_t node) {
    const tree *t = &c->tree;
    uint32_t children = 0;
    if (t->nodes[node].kind == JSON_ARRAY)
        children = t->nodes[node].count;
    else // The dead ones have a place as well.
        for (uint32_t i = node + 1; i < t->nodes[node].after; i = t->nodes[i].after)
            children++;
    return (children + 63) / 64;
}

/** Empty marks on the stack; NO_MARKS: out of memory. */
static uint32_t push_marks(sl_contract_checker *c, uint32_t words) {
    if (c->marks_capacity - c->marks_used < words) {
        uint32_t more = c->marks_capacity * 2 + words + 64;
        uint64_t *marks = sl_realloc(c->marks, more * sizeof *marks);
        if (marks == NULL) {
            stop_memory(c);
            return NO_MARKS;
        }
        c->marks = marks;
        c->marks_capacity = more;
    }
    uint32_t at = c->marks_used;
    if (words != 0)
        memset(c->marks + at, 0, words * sizeof *c->marks);
    c->marks_used += words;
    return at;
}

static void mark(sl_contract_checker *c, uint32_t marks, uint32_t child) {
    if (marks != NO_MARKS)
        c->marks[marks + child / 64] |= UINT64_C(1) << (child & 63);
}

static bool marked(const sl_contract_checker *c, uint32_t marks, uint32_t child) {
    return c->marks[marks + child / 64] >> (child & 63) & 1;
}

/** A schema in place that may fail: what it has seen counts only when it holds. */
static bool eval_maybe(sl_contract_checker *c, const plan_schema *schema, uint32_t at,
                       uint32_t marks) {
    if (marks == NO_MARKS)
        return eval(c, schema, at, NO_MARKS);
    uint32_t words = mark_words(c, at), before = c->marks_used;
    uint32_t own = push_marks(c, words);
    if (own == NO_MARKS)
        return false;
    bool good = eval(c, schema, at, own);
    for (uint32_t i = 0; good && i < words; i++)
        c->marks[marks + i] |= c->marks[own + i];
    c->marks_used = before;
    return good;
}

// ---- Scalars

static bool numeric(const sl_contract_checker *c, const plan_schema *schema, uint32_t at,
                    json_decimal *out) {
    const tree_node *n = &c->tree.nodes[at];
    if (n->kind == JSON_NUMBER) {
        *out = n->as.number;
        return true;
    }
    if (n->kind != JSON_STRING || !schema->decimal || n->as.string.length == 0)
        return false;
    const uint8_t *end = n->as.string.bytes + n->as.string.length;
    return sl_decimal_read(n->as.string.bytes, end, out) == end;
}

static unsigned type_of(const tree_node *n) {
    static const uint8_t types[] = {
        [JSON_NULL] = TYPE_NULL,     [JSON_FALSE] = TYPE_BOOLEAN,
        [JSON_TRUE] = TYPE_BOOLEAN,  [JSON_NUMBER] = TYPE_NUMBER,
        [JSON_STRING] = TYPE_STRING, [JSON_ARRAY] = TYPE_ARRAY,
        [JSON_OBJECT] = TYPE_OBJECT};
    unsigned type = types[n->kind];
    return type == TYPE_NUMBER && decimal_integral(&n->as.number)
               ? TYPE_NUMBER | TYPE_INTEGER
               : type;
}

static bool has_type(const sl_contract_checker *c, const plan_schema *schema,
                     const plan_op *op, uint32_t at) {
    unsigned types = op->as.types, found = type_of(&c->tree.nodes[at]);
    // `integer` alone: a number with a fraction isn't one.
    if ((found & TYPE_NUMBER) && !(types & TYPE_NUMBER))
        found &= ~(unsigned)TYPE_NUMBER;
    if (found & types)
        return true;
    json_decimal d;
    if (!schema->decimal || !numeric(c, schema, at, &d))
        return false;
    return (types & (TYPE_NUMBER | TYPE_STRING)) ||
           ((types & TYPE_INTEGER) && decimal_integral(&d));
}

static bool is_value(const sl_contract_checker *c, const plan_op *op, uint32_t at) {
    const tree_node *n = &c->tree.nodes[at];
    bool scalar = n->kind < JSON_ARRAY;
    uint64_t hash =
        op->as.values.count < 4 && scalar ? 0 : sl_tree_value_hash(&c->tree, at);
    for (uint32_t i = 0; i < op->as.values.count; i++) {
        plan_place v = op->as.values.values[i];
        if (hash != 0 && hash != op->as.values.hashes[i])
            continue;
        if (sl_tree_equal(&c->tree, at, &c->contract->documents[v.document].tree, v.node))
            return true;
    }
    return false;
}

static bool decimal_fits(const plan_op *op, const json_decimal *d) {
    return d->lead == 0 ||
           (d->lowest >= -(int64_t)op->as.decimal.scale &&
            d->top <= (int64_t)op->as.decimal.precision - (int64_t)op->as.decimal.scale);
}

static bool number_rule(sl_contract_checker *c, const plan_schema *schema,
                        const plan_op *op, uint32_t at) {
    json_decimal d;
    if (!numeric(c, schema, at, &d))
        return op->kind != OP_DECIMAL || c->tree.nodes[at].kind == JSON_NULL ||
               fail(c, op, at);
    bool good = true;
    if (op->kind == OP_DECIMAL) {
        good = decimal_fits(op, &d);
    } else if (op->kind == OP_MULTIPLE_OF) {
        good = sl_decimal_multiple(&d, op->as.number);
    } else {
        int order = sl_decimal_compare(&d, op->as.number);
        good = op->kind == OP_MINIMUM             ? order >= 0
               : op->kind == OP_MAXIMUM           ? order <= 0
               : op->kind == OP_EXCLUSIVE_MINIMUM ? order > 0
                                                  : order < 0;
    }
    return good || fail(c, op, at);
}

static bool matches(sl_contract_checker *c, const regex *pattern, const uint8_t *text,
                    size_t length, plan_place place, uint32_t at) {
    // Many names or items, each of them as slow as it may be, would be a stall.
    if (++c->matches == PATTERNS_IN_FULL)
        sl_regex_matcher_hurry(c->matcher, true);
    regex_answer answer = sl_regex_match(pattern, c->matcher, text, length);
    if (answer == REGEX_NO_MEMORY)
        return stop_memory(c);
    if (answer == REGEX_LIMIT)
        return stop(c, REASON_PATTERN_LIMIT, place, at);
    return answer == REGEX_YES;
}

static bool string_rule(sl_contract_checker *c, const plan_op *op, uint32_t at) {
    const tree_node *n = &c->tree.nodes[at];
    const uint8_t *text = n->as.string.bytes;
    uint32_t length = n->as.string.length;
    bool good = true;
    switch (op->kind) {
    case OP_MIN_LENGTH:
        good = length / 4 >= op->as.size || sl_text_points(text, length) >= op->as.size;
        break;
    case OP_MAX_LENGTH:
        good = length <= op->as.size || sl_text_points(text, length) <= op->as.size;
        break;
    case OP_PATTERN:
        good = matches(c, op->as.pattern, text, length, op->place, at);
        break;
    default:
        good = op->as.format->check(text, length, c->matcher);
        if (!good && sl_regex_matcher_failed(c->matcher))
            return stop_memory(c);
        break;
    }
    return good || fail(c, op, at);
}

// ---- Arrays

static bool fail_pair(sl_contract_checker *c, const plan_op *op, uint32_t at,
                      uint64_t one, uint64_t two) {
    fail(c, op, at);
    c->failure.count = one < two ? one : two;
    c->failure.other = one < two ? two : one;
    return false;
}

static bool unique_pairs(sl_contract_checker *c, const plan_op *op, uint32_t at) {
    const tree *t = &c->tree;
    const uint32_t after = t->nodes[at].after;
    uint64_t first = 0;
    for (uint32_t i = at + 1; i < after; i = t->nodes[i].after, first++) {
        uint64_t second = first + 1;
        for (uint32_t k = t->nodes[i].after; k < after; k = t->nodes[k].after, second++)
            if (sl_tree_equal(t, i, t, k))
                return fail_pair(c, op, at, first, second);
    }
    return true;
}

static int compare_hashes(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    if (*x != *y)
        return *x < *y ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

/** Many items: sorted by hash, with their node and number. Only equal hashes are
 * compared. */
static bool unique_items(sl_contract_checker *c, const plan_op *op, uint32_t at) {
    const tree *t = &c->tree;
    const uint32_t count = t->nodes[at].count;
    if (count < 9)
        return unique_pairs(c, op, at);
    if (c->hash_capacity < count) {
        uint64_t *hashes = sl_realloc(c->hashes, 3 * (size_t)count * 2 * sizeof *hashes);
        if (hashes == NULL)
            return stop_memory(c);
        c->hashes = hashes;
        c->hash_capacity = count * 2;
    }
    uint64_t *entry = c->hashes;
    uint64_t number = 0;
    for (uint32_t i = at + 1; i < t->nodes[at].after; i = t->nodes[i].after, entry += 3) {
        entry[0] = sl_tree_value_hash(t, i);
        entry[1] = number++;
        entry[2] = i;
    }
    qsort(c->hashes, count, 3 * sizeof *c->hashes, compare_hashes);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t *x = c->hashes + 3 * (size_t)i;
        for (uint32_t k = i + 1; k < count && c->hashes[3 * (size_t)k] == x[0]; k++) {
            const uint64_t *y = c->hashes + 3 * (size_t)k;
            if (sl_tree_equal(t, (uint32_t)x[2], t, (uint32_t)y[2]))
                return fail_pair(c, op, at, x[1], y[1]);
            if (c->steps_left-- <= 1)
                return stop(c, REASON_TOO_MANY_STEPS, op->place, at);
        }
    }
    return true;
}

/** A schema below a keyword; a plain false is the keyword's own refusal. */
static bool eval_child(sl_contract_checker *c, const plan_op *op, const char *keyword,
                       plan_place place, const plan_schema *schema, uint32_t child) {
    if (!schema->refuses)
        return eval(c, schema, child, NO_MARKS);
    fail_at(c, op, keyword, place, child);
    c->failure.reason = c->broken ? c->failure.reason : REASON_SCHEMA_FALSE;
    return false;
}

static bool items_rule(sl_contract_checker *c, const plan_op *op, uint32_t at,
                       uint32_t marks) {
    const uint32_t after = c->tree.nodes[at].after;
    uint32_t number = 0;
    for (uint32_t i = at + 1; i < after; i = c->tree.nodes[i].after, number++) {
        bool first = number < op->as.items.prefix_count;
        const plan_schema *schema =
            first ? op->as.items.prefix[number] : op->as.items.rest;
        if (schema == NULL)
            break;
        if (!eval_child(c, op, first ? "prefixItems" : "items",
                        first ? op->as.items.prefix_place : op->place, schema, i))
            return false;
        mark(c, marks, number);
    }
    return true;
}

static bool contains_rule(sl_contract_checker *c, const plan_op *op, uint32_t at,
                          uint32_t marks) {
    const uint32_t after = c->tree.nodes[at].after;
    uint64_t found = 0;
    uint32_t number = 0;
    for (uint32_t i = at + 1; i < after; i = c->tree.nodes[i].after, number++) {
        if (eval(c, op->as.contains.schema, i, NO_MARKS)) {
            found++;
            mark(c, marks, number);
        } else if (c->broken) {
            return false;
        }
    }
    if (found < op->as.contains.least) {
        plan_place place = op->as.contains.least_place;
        bool own = place.node == op->place.node;
        fail_at(c, op, own ? "contains" : "minContains", place, at);
    } else if (found > op->as.contains.most) {
        fail_at(c, op, "maxContains", op->as.contains.most_place, at);
    } else {
        return true;
    }
    c->failure.count = found;
    return false;
}

static bool unevaluated_items(sl_contract_checker *c, const plan_op *op, uint32_t at,
                              uint32_t marks) {
    const uint32_t after = c->tree.nodes[at].after;
    uint32_t number = 0;
    for (uint32_t i = at + 1; i < after; i = c->tree.nodes[i].after, number++) {
        if (marked(c, marks, number))
            continue;
        if (!eval_child(c, op, op->keyword, op->place, op->as.schema, i))
            return false;
        mark(c, marks, number);
    }
    return true;
}

// ---- Objects

static bool fail_name(sl_contract_checker *c, const plan_op *op, uint32_t at,
                      const plan_name *name, const plan_name *because) {
    fail(c, op, at);
    c->failure.name = name;
    c->failure.because = because;
    return false;
}

static bool has_names(sl_contract_checker *c, const plan_op *op, uint32_t at,
                      const plan_name *names, uint32_t count, const plan_name *because) {
    for (uint32_t i = 0; i < count; i++)
        if (sl_tree_member(&c->tree, at, names[i].text, names[i].length, names[i].hash) ==
            TREE_NONE)
            return fail_name(c, op, at, &names[i], because);
    return true;
}

static bool one_member(sl_contract_checker *c, const plan_op *op, uint32_t i,
                       bool *seen) {
    const plan_members *m = op->as.members;
    const uint8_t *key = c->tree.nodes[i].key;
    const uint32_t length = c->tree.nodes[i].key_length;
    const plan_schema *schema =
        sl_plan_property(m, key, length, c->tree.nodes[i].key_hash);
    *seen = schema != NULL;
    if (schema != NULL &&
        !eval_child(c, op, "properties", m->properties_place, schema, i))
        return false;
    for (uint32_t k = 0; k < m->pattern_count; k++) {
        const plan_pattern *p = &m->patterns[k];
        if (!matches(c, p->pattern, key, length, p->place, i)) {
            if (c->broken)
                return false;
            continue;
        }
        *seen = true;
        if (!eval_child(c, op, "patternProperties", p->place, p->schema, i))
            return false;
    }
    if (*seen || m->additional == NULL)
        return true;
    *seen = true;
    return eval_child(c, op, "additionalProperties", m->additional_place, m->additional,
                      i);
}

static bool members_rule(sl_contract_checker *c, const plan_op *op, uint32_t at,
                         uint32_t marks) {
    const uint32_t after = c->tree.nodes[at].after;
    uint32_t number = 0;
    for (uint32_t i = at + 1; i < after; i = c->tree.nodes[i].after, number++) {
        bool seen;
        if (c->tree.nodes[i].dead)
            continue;
        if (!one_member(c, op, i, &seen))
            return false;
        if (seen)
            mark(c, marks, number);
    }
    return true;
}

static bool names_rule(sl_contract_checker *c, const plan_op *op, uint32_t at) {
    const uint32_t after = c->tree.nodes[at].after;
    for (uint32_t i = at + 1; i < after; i = c->tree.nodes[i].after) {
        const uint8_t *key = c->tree.nodes[i].key;
        const uint32_t length = c->tree.nodes[i].key_length;
        if (c->tree.nodes[i].dead)
            continue;
        uint32_t name = sl_tree_push_string(&c->tree, key, length);
        if (name == TREE_NONE)
            return stop_memory(c);
        bool good = eval(c, op->as.schema, name, NO_MARKS);
        c->tree.count = name;
        if (good)
            continue;
        if (c->broken)
            c->failure.node = at;
        fail(c, op, at);
        c->failure.key = key;
        c->failure.key_length = length;
        return false;
    }
    return true;
}

static bool dependent_rule(sl_contract_checker *c, const plan_op *op, uint32_t at,
                           uint32_t marks) {
    for (uint32_t i = 0; i < op->as.dependencies.count; i++) {
        const plan_dependency *d = &op->as.dependencies.list[i];
        if (sl_tree_member(&c->tree, at, d->name.text, d->name.length, d->name.hash) ==
            TREE_NONE)
            continue;
        if (!has_names(c, op, at, d->required, d->required_count, &d->name))
            return false;
        if (d->schema == NULL)
            continue;
        if (d->schema->refuses)
            return fail_name(c, op, at, NULL, &d->name);
        if (!eval(c, d->schema, at, marks))
            return false;
    }
    return true;
}

static bool unevaluated_members(sl_contract_checker *c, const plan_op *op, uint32_t at,
                                uint32_t marks) {
    const uint32_t after = c->tree.nodes[at].after;
    uint32_t number = 0;
    for (uint32_t i = at + 1; i < after; i = c->tree.nodes[i].after, number++) {
        if (c->tree.nodes[i].dead || marked(c, marks, number))
            continue;
        if (!eval_child(c, op, op->keyword, op->place, op->as.schema, i))
            return false;
        mark(c, marks, number);
    }
    return true;
}

// ---- Schemas in place

static bool any_of(sl_contract_checker *c, const plan_op *op, uint32_t at,
                   uint32_t marks) {
    bool good = false;
    for (uint32_t i = 0; i < op->as.list.count && !c->broken; i++) {
        // All of them are looked at when someone asks what they have seen.
        good = eval_maybe(c, op->as.list.schemas[i], at, marks) || good;
        if (good && marks == NO_MARKS)
            return true;
    }
    return (good && !c->broken) || fail(c, op, at);
}

static bool one_of(sl_contract_checker *c, const plan_op *op, uint32_t at,
                   uint32_t marks) {
    uint64_t found = 0, first = 0;
    for (uint32_t i = 0; i < op->as.list.count && !c->broken; i++) {
        if (!eval_maybe(c, op->as.list.schemas[i], at, marks))
            continue;
        if (++found == 1) {
            first = i;
            continue;
        }
        fail(c, op, at);
        c->failure.count = first + 1;
        c->failure.other = i + 1;
        return false;
    }
    return (found == 1 && !c->broken) || fail(c, op, at);
}

static bool not_rule(sl_contract_checker *c, const plan_op *op, uint32_t at) {
    bool good = eval(c, op->as.schema, at, NO_MARKS);
    return (!good && !c->broken) || fail(c, op, at);
}

static bool condition(sl_contract_checker *c, const plan_op *op, uint32_t at,
                      uint32_t marks) {
    bool test = eval_maybe(c, op->as.condition.test, at, marks);
    if (c->broken)
        return false;
    const plan_schema *next = test ? op->as.condition.yes : op->as.condition.no;
    if (next == NULL)
        return true;
    if (!next->refuses)
        return eval(c, next, at, marks);
    return fail_at(c, op, test ? "then" : "else", next->place, at);
}

/** Core, section 8.2.3.2: the outermost resource on the way that has a dynamic anchor of
 * this name. */
static const plan_schema *dynamic_target(const sl_contract_checker *c,
                                         const plan_op *op) {
    if (op->as.ref.name == TREE_NONE)
        return op->as.ref.target;
    for (uint32_t i = 0; i < c->scope_count; i++) {
        const plan_resource *r = &c->contract->resources[c->scope[i]];
        for (uint32_t k = 0; k < r->anchor_count; k++)
            if (r->anchors[k].dynamic && r->anchors[k].number == op->as.ref.name)
                return r->anchors[k].schema;
    }
    return op->as.ref.target;
}

static bool all_of(sl_contract_checker *c, const plan_op *op, uint32_t at,
                   uint32_t marks) {
    for (uint32_t i = 0; i < op->as.list.count; i++)
        if (!eval(c, op->as.list.schemas[i], at, marks))
            return false;
    return true;
}

static bool apply(sl_contract_checker *c, const plan_schema *schema, const plan_op *op,
                  uint32_t at, uint32_t marks) {
    const tree_node *n = &c->tree.nodes[at];
    switch ((plan_kind)op->kind) {
    case OP_TYPE:
        return has_type(c, schema, op, at) || fail(c, op, at);
    case OP_CONST:
    case OP_ENUM:
        return is_value(c, op, at) || fail(c, op, at);
    case OP_DECIMAL:
    case OP_MINIMUM:
    case OP_MAXIMUM:
    case OP_EXCLUSIVE_MINIMUM:
    case OP_EXCLUSIVE_MAXIMUM:
    case OP_MULTIPLE_OF:
        return number_rule(c, schema, op, at);
    case OP_MIN_LENGTH:
    case OP_MAX_LENGTH:
    case OP_PATTERN:
    case OP_FORMAT:
        return string_rule(c, op, at);
    case OP_MIN_ITEMS:
    case OP_MIN_PROPERTIES:
        return n->count >= op->as.size || fail(c, op, at);
    case OP_MAX_ITEMS:
    case OP_MAX_PROPERTIES:
        return n->count <= op->as.size || fail(c, op, at);
    case OP_UNIQUE_ITEMS:
        return unique_items(c, op, at);
    case OP_REQUIRED:
        return has_names(c, op, at, op->as.names.names, op->as.names.count, NULL);
    case OP_DEPENDENT_REQUIRED:
    case OP_DEPENDENT_SCHEMAS:
        return dependent_rule(c, op, at, marks);
    case OP_PROPERTY_NAMES:
        return names_rule(c, op, at);
    case OP_MEMBERS:
        return members_rule(c, op, at, marks);
    case OP_ITEMS:
        return items_rule(c, op, at, marks);
    case OP_CONTAINS:
        return contains_rule(c, op, at, marks);
    case OP_REF:
        return eval(c, op->as.ref.target, at, marks);
    case OP_DYNAMIC_REF:
        return eval(c, dynamic_target(c, op), at, marks);
    case OP_ALL_OF:
        return all_of(c, op, at, marks);
    case OP_ANY_OF:
        return any_of(c, op, at, marks);
    case OP_ONE_OF:
        return one_of(c, op, at, marks);
    case OP_NOT:
        return not_rule(c, op, at);
    case OP_IF:
        return condition(c, op, at, marks);
    case OP_UNEVALUATED_ITEMS:
        return unevaluated_items(c, op, at, marks);
    case OP_UNEVALUATED_PROPERTIES:
        return unevaluated_members(c, op, at, marks);
    case OP_COUNT:
        break;
    }
    return false;
}

static bool enter_scope(sl_contract_checker *c, uint32_t resource) {
    if (c->scope_count != 0 && c->scope[c->scope_count - 1] == resource)
        return true;
    if (!sl_plan_grow((void **)&c->scope, c->scope_count, &c->scope_capacity,
                      sizeof *c->scope))
        return stop_memory(c);
    c->scope[c->scope_count++] = resource;
    return true;
}

static bool apply_all(sl_contract_checker *c, const plan_schema *schema, uint32_t at,
                      uint32_t marks) {
    // x-decimal: a string may stand for a number, so its rules have a say in strings as
    // well.
    unsigned type = type_of(&c->tree.nodes[at]);
    if (schema->decimal && type == TYPE_STRING)
        type |= TYPE_NUMBER;
    for (uint32_t i = 0; i < schema->count; i++)
        if ((schema->ops[i].applies & type) &&
            !apply(c, schema, &schema->ops[i], at, marks))
            return false;
    return true;
}

static bool eval_own_marks(sl_contract_checker *c, const plan_schema *schema, uint32_t at,
                           uint32_t marks) {
    uint32_t before = c->marks_used, words = mark_words(c, at);
    uint32_t own = push_marks(c, words);
    if (own == NO_MARKS)
        return false;
    bool good = apply_all(c, schema, at, own);
    for (uint32_t i = 0; good && marks != NO_MARKS && i < words; i++)
        c->marks[marks + i] |= c->marks[own + i];
    c->marks_used = before;
    return good;
}

static bool eval(sl_contract_checker *c, const plan_schema *schema, uint32_t at,
                 uint32_t marks) {
    if (schema->refuses) {
        fail_at(c, NULL, "false", schema->place, at);
        c->failure.reason = c->broken ? c->failure.reason : REASON_SCHEMA_FALSE;
        return false;
    }
    if (schema->count == 0)
        return !c->broken;
    if (c->steps_left == 0)
        return stop(c, REASON_TOO_MANY_STEPS, schema->place, at);
    c->steps_left--;
    if (c->depth >= EVALUATION_DEPTH_MAX)
        return stop(c, REASON_TOO_DEEP, schema->place, at);
    const uint32_t scope = c->scope_count;
    if (c->contract->dynamic && !enter_scope(c, schema->resource))
        return false;
    c->depth++;
    bool good = schema->unevaluated ? eval_own_marks(c, schema, at, marks)
                                    : apply_all(c, schema, at, marks);
    c->depth--;
    c->scope_count = scope;
    return good;
}

bool sl_check_value(sl_contract_checker *c, const plan_schema *schema, uint32_t node) {
    c->steps_left = c->contract->steps_max;
    c->depth = 0;
    c->scope_count = 0;
    c->marks_used = 0;
    c->broken = c->no_memory = false;
    c->failure = (check_failure){.node = node};
    bool good = eval(c, schema, node, NO_MARKS);
    if (c->matches >= PATTERNS_IN_FULL)
        sl_regex_matcher_hurry(c->matcher, false);
    c->matches = 0;
    return good;
}

sl_status sl_check_text(sl_contract_checker *c, const plan_schema *schema,
                        const uint8_t *text, size_t length) {
    c->failure = (check_failure){.node = TREE_NONE};
    sl_status status = sl_tree_parse(&c->tree, text, length, EVENT_DEPTH_MAX);
    if (c->hash_capacity > HASHES_KEPT_MAX) {
        sl_free(c->hashes);
        c->hashes = NULL;
        c->hash_capacity = 0;
    }
    if (status != SL_OK)
        return status == SL_ENOMEM ? status : SL_EINVAL;
    if (sl_check_value(c, schema, 0))
        return SL_OK;
    return c->no_memory ? SL_ENOMEM : SL_EINVAL;
}

// ---- Checkers

sl_status sl_contract_checker_create(const sl_contract *contract,
                                     const sl_contract_split *split,
                                     sl_contract_checker **out) {
    *out = NULL;
    sl_contract_checker *c = sl_calloc(1, sizeof *c);
    if (c == NULL)
        return SL_ENOMEM;
    c->contract = sl_contract_ref(contract);
    if (split != NULL)
        c->split = sl_contract_split_ref(split);
    c->matcher = sl_regex_matcher_create();
    if (c->matcher == NULL) {
        sl_contract_checker_destroy(c);
        return SL_ENOMEM;
    }
    *out = c;
    return SL_OK;
}

void sl_contract_checker_destroy(sl_contract_checker *c) {
    if (c == NULL)
        return;
    sl_regex_matcher_destroy(c->matcher);
    sl_tree_fini(&c->tree);
    sl_free(c->marks);
    sl_free(c->scope);
    sl_free(c->hashes);
    sl_free(c->refused);
    sl_free(c->state);
    sl_buffer_fini(&c->texts);
    sl_contract_split_unref(c->split);
    sl_contract_unref(c->contract);
    sl_free(c);
}

size_t sl_contract_checker_memory(const sl_contract_checker *c) {
    return sizeof *c + c->tree.capacity * sizeof *c->tree.nodes +
           c->tree.unescaped_capacity + c->tree.slot_capacity * sizeof *c->tree.slots +
           c->marks_capacity * sizeof *c->marks + c->scope_capacity * sizeof *c->scope +
           c->hash_capacity * 3 * sizeof *c->hashes +
           c->refused_capacity * sizeof *c->refused + c->state_capacity +
           c->texts.capacity;
}

sl_status sl_contract_check(sl_contract_checker *c, const uint8_t *text, size_t length,
                            sl_contract_refusal *refusal) {
    sl_status status = sl_check_text(c, c->contract->root, text, length);
    if (status != SL_EINVAL)
        return status;
    sl_buffer_clear(&c->texts);
    sl_refusal_write(c, refusal);
    if (c->texts.failed)
        return SL_ENOMEM;
    sl_refusal_place(c, refusal);
    return SL_EINVAL;
}

sl_contract_counts sl_contract_checker_counts(const sl_contract_checker *c) {
    return c->counts;
}
