// Schema objects to operations. Every keyword is looked at here: what is wrong with a
// schema shows when it is compiled, never while events pass.

#include "plan.h"

#include <stdio.h>

#define SCHEMA_DEPTH_MAX 250u
#define STEPS_DEFAULT 1000000u
#define DECIMAL_DIGITS_MAX 18

static sl_status compile_schema(compiler *c, plan_place place, const plan_schema **out);

/** The schema that is being compiled. */
typedef struct draft {
    compiler *c;
    const tree *t;
    plan_place place;
    plan_schema *schema;
    plan_op ops[OP_COUNT + 2];
    uint32_t count;
} draft;

static void *get(compiler *c, size_t size) {
    void *block = sl_arena_get(&c->contract->arena, size == 0 ? 1 : size);
    if (block != NULL)
        memset(block, 0, size);
    return block;
}

static plan_place at_node(const draft *d, uint32_t node) {
    return (plan_place){.document = d->place.document, .node = node};
}

static const tree_node *member_of(const draft *d, const char *key, plan_place *place) {
    uint32_t at = sl_tree_get(d->t, d->place.node, key);
    *place = at_node(d, at);
    return at == TREE_NONE ? NULL : &d->t->nodes[at];
}

static plan_op *add_op(draft *d, plan_kind kind, unsigned applies, const char *keyword,
                       plan_place place) {
    plan_op *op = &d->ops[d->count++];
    *op = (plan_op){.kind = (uint8_t)kind,
                    .applies = (uint8_t)applies,
                    .keyword = keyword,
                    .place = place};
    return op;
}

static plan_name name_of(const uint8_t *text, uint32_t length) {
    return (plan_name){
        .text = text, .length = length, .hash = sl_tree_hash(text, length)};
}

// ---- Assertions

static unsigned type_bit(const tree_node *n) {
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    for (unsigned i = 0; n->kind == JSON_STRING && i < sizeof names / sizeof *names; i++)
        if (n->as.string.length == strlen(names[i]) &&
            memcmp(n->as.string.bytes, names[i], n->as.string.length) == 0)
            return 1u << i;
    return 0;
}

static sl_status read_type(draft *d) {
    plan_place at;
    const tree_node *n = member_of(d, "type", &at);
    if (n == NULL)
        return SL_OK;
    unsigned types = type_bit(n);
    if (n->kind == JSON_ARRAY) {
        for (uint32_t i = at.node + 1; i < n->after; i = d->t->nodes[i].after) {
            unsigned bit = type_bit(&d->t->nodes[i]);
            if (bit == 0 || (types & bit))
                return sl_plan_fail(d->c, SL_EINVAL, at,
                                    "is not a list of different type names");
            types |= bit;
        }
    }
    if (types == 0)
        return sl_plan_fail(d->c, SL_EINVAL, at, "is not a type name");
    add_op(d, OP_TYPE, TYPE_ANY, "type", at)->as.types =
        types & TYPE_NUMBER ? types | TYPE_INTEGER : types;
    return SL_OK;
}

static bool small_integer(const tree_node *n, int64_t limit, unsigned *out) {
    if (n->kind != JSON_NUMBER || !decimal_integral(&n->as.number) ||
        n->as.number.negative || n->as.number.top > 3)
        return false;
    uint64_t value = sl_decimal_digits(&n->as.number);
    for (int64_t i = 0; i < n->as.number.lowest && n->as.number.lead != 0; i++)
        value *= 10;
    *out = (unsigned)value;
    return (int64_t)value <= limit;
}

static sl_status read_decimal(draft *d) {
    plan_place at;
    const tree_node *n = member_of(d, "x-decimal", &at);
    unsigned precision = 0, scale = 0;
    if (n == NULL)
        return SL_OK;
    if (n->kind != JSON_ARRAY || n->count != 2 ||
        !small_integer(&d->t->nodes[at.node + 1], DECIMAL_DIGITS_MAX, &precision) ||
        precision < 1 ||
        !small_integer(&d->t->nodes[at.node + 2], (int64_t)precision, &scale))
        return sl_plan_fail(d->c, SL_EINVAL, at,
                            "is not [precision 1 to 18, scale 0 to precision]");
    plan_op *op = add_op(d, OP_DECIMAL, TYPE_NUMBER | TYPE_STRING, "x-decimal", at);
    op->as.decimal.precision = precision;
    op->as.decimal.scale = scale;
    d->schema->decimal = true;
    return SL_OK;
}

static sl_status add_values(draft *d, plan_kind kind, const char *keyword, plan_place at,
                            uint32_t first, uint32_t behind, uint32_t count) {
    plan_place *values = get(d->c, count * sizeof *values);
    uint64_t *hashes = get(d->c, count * sizeof *hashes);
    if (values == NULL || hashes == NULL)
        return sl_plan_no_memory(d->c);
    plan_op *op = add_op(d, kind, TYPE_ANY, keyword, at);
    for (uint32_t i = first; i < behind; i = d->t->nodes[i].after) {
        hashes[op->as.values.count] = sl_tree_value_hash(d->t, i);
        values[op->as.values.count++] = at_node(d, i);
    }
    op->as.values.values = values;
    op->as.values.hashes = hashes;
    return SL_OK;
}

static sl_status read_values(draft *d) {
    plan_place at;
    const tree_node *n = member_of(d, "const", &at);
    if (n != NULL) {
        sl_status status =
            add_values(d, OP_CONST, "const", at, at.node, d->t->nodes[at.node].after, 1);
        if (status != SL_OK)
            return status;
    }
    n = member_of(d, "enum", &at);
    if (n == NULL)
        return SL_OK;
    if (n->kind != JSON_ARRAY)
        return sl_plan_fail(d->c, SL_EINVAL, at, "is not an array");
    return add_values(d, OP_ENUM, "enum", at, at.node + 1, n->after, n->count);
}

static sl_status read_limits(draft *d) {
    static const struct {
        const char *key;
        plan_kind kind;
    } limits[] = {{"minimum", OP_MINIMUM},
                  {"maximum", OP_MAXIMUM},
                  {"exclusiveMinimum", OP_EXCLUSIVE_MINIMUM},
                  {"exclusiveMaximum", OP_EXCLUSIVE_MAXIMUM},
                  {"multipleOf", OP_MULTIPLE_OF}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        plan_place at;
        const tree_node *n = member_of(d, limits[i].key, &at);
        if (n == NULL)
            continue;
        if (n->kind != JSON_NUMBER)
            return sl_plan_fail(d->c, SL_EINVAL, at, "is not a number");
        if (limits[i].kind == OP_MULTIPLE_OF &&
            (n->as.number.lead == 0 || n->as.number.negative))
            return sl_plan_fail(d->c, SL_EINVAL, at, "is not a number above 0");
        if (limits[i].kind == OP_MULTIPLE_OF && n->as.number.many)
            return sl_plan_fail(d->c, SL_ELIMIT, at, "has more than 19 digits");
        add_op(d, limits[i].kind, TYPE_NUMBER, limits[i].key, at)->as.number =
            &n->as.number;
    }
    return SL_OK;
}

/** A count: an integer, not below 0; what no value reaches is as good as any other such.
 */
static sl_status read_size(draft *d, const tree_node *n, plan_place at, uint64_t *out) {
    if (n->kind != JSON_NUMBER || n->as.number.negative ||
        !decimal_integral(&n->as.number))
        return sl_plan_fail(d->c, SL_EINVAL, at, "is not an integer from 0 on");
    *out = UINT64_MAX;
    if (n->as.number.top > 18)
        return SL_OK;
    *out = sl_decimal_digits(&n->as.number);
    for (int64_t i = 0; i < n->as.number.lowest && *out != 0; i++)
        *out *= 10;
    return SL_OK;
}

static sl_status read_sizes(draft *d) {
    static const struct {
        const char *key;
        plan_kind kind;
        unsigned applies;
    } sizes[] = {{"minLength", OP_MIN_LENGTH, TYPE_STRING},
                 {"maxLength", OP_MAX_LENGTH, TYPE_STRING},
                 {"minItems", OP_MIN_ITEMS, TYPE_ARRAY},
                 {"maxItems", OP_MAX_ITEMS, TYPE_ARRAY},
                 {"minProperties", OP_MIN_PROPERTIES, TYPE_OBJECT},
                 {"maxProperties", OP_MAX_PROPERTIES, TYPE_OBJECT}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        plan_place at;
        const tree_node *n = member_of(d, sizes[i].key, &at);
        if (n == NULL)
            continue;
        uint64_t size;
        sl_status status = read_size(d, n, at, &size);
        if (status != SL_OK)
            return status;
        add_op(d, sizes[i].kind, sizes[i].applies, sizes[i].key, at)->as.size = size;
    }
    plan_place at;
    const tree_node *n = member_of(d, "uniqueItems", &at);
    if (n != NULL && n->kind != JSON_TRUE && n->kind != JSON_FALSE)
        return sl_plan_fail(d->c, SL_EINVAL, at, "is not a boolean");
    if (n != NULL && n->kind == JSON_TRUE)
        add_op(d, OP_UNIQUE_ITEMS, TYPE_ARRAY, "uniqueItems", at);
    return SL_OK;
}

static sl_status make_pattern(draft *d, const uint8_t *text, uint32_t length,
                              plan_place at, const regex **out) {
    sl_contract *contract = d->c->contract;
    sl_error error = {.status = SL_OK};
    if (!sl_plan_grow((void **)&contract->patterns, contract->pattern_count,
                      &contract->pattern_capacity, sizeof *contract->patterns))
        return sl_plan_no_memory(d->c);
    regex *pattern;
    sl_status status = sl_regex_compile(text, length, &pattern, &error);
    if (status != SL_OK)
        return status == SL_ENOMEM ? sl_plan_no_memory(d->c)
                                   : sl_plan_fail(d->c, status, at, error.text);
    contract->patterns[contract->pattern_count++] = pattern;
    *out = pattern;
    return SL_OK;
}

static sl_status read_text_rules(draft *d) {
    plan_place at;
    const tree_node *n = member_of(d, "pattern", &at);
    if (n != NULL) {
        const regex *pattern = NULL;
        if (n->kind != JSON_STRING)
            return sl_plan_fail(d->c, SL_EINVAL, at, "is not a string");
        sl_status status =
            make_pattern(d, n->as.string.bytes, n->as.string.length, at, &pattern);
        if (status != SL_OK)
            return status;
        add_op(d, OP_PATTERN, TYPE_STRING, "pattern", at)->as.pattern = pattern;
    }
    n = member_of(d, "format", &at);
    if (n == NULL)
        return SL_OK;
    if (n->kind != JSON_STRING)
        return sl_plan_fail(d->c, SL_EINVAL, at, "is not a string");
    if (d->c->options->format_annotates)
        return SL_OK;
    const format *known = sl_format_find(n->as.string.bytes, n->as.string.length);
    if (known == NULL)
        return sl_plan_fail(d->c, SL_EUNSUPPORTED, at, "this format is not supported");
    if (d->c->options->spaced_times && strcmp(known->name, "date-time") == 0)
        known = &sl_format_spaced_time;
    add_op(d, OP_FORMAT, TYPE_STRING, "format", at)->as.format = known;
    return SL_OK;
}

static sl_status read_names(draft *d, const tree_node *n, plan_place at,
                            plan_name **out) {
    if (n->kind != JSON_ARRAY)
        return sl_plan_fail(d->c, SL_EINVAL, at, "is not an array");
    plan_name *names = get(d->c, n->count * sizeof *names);
    uint32_t count = 0;
    if (names == NULL)
        return sl_plan_no_memory(d->c);
    for (uint32_t i = at.node + 1; i < n->after; i = d->t->nodes[i].after) {
        const tree_node *name = &d->t->nodes[i];
        if (name->kind != JSON_STRING)
            return sl_plan_fail(d->c, SL_EINVAL, at,
                                "holds something that is not a string");
        names[count++] = name_of(name->as.string.bytes, name->as.string.length);
    }
    *out = names;
    return SL_OK;
}

static sl_status read_required(draft *d) {
    plan_place at;
    const tree_node *n = member_of(d, "required", &at);
    plan_name *names = NULL;
    if (n == NULL)
        return SL_OK;
    sl_status status = read_names(d, n, at, &names);
    if (status != SL_OK || n->count == 0)
        return status;
    plan_op *op = add_op(d, OP_REQUIRED, TYPE_OBJECT, "required", at);
    op->as.names.names = names;
    op->as.names.count = n->count;
    return SL_OK;
}

// ---- Applicators

/** The schema in `key`, or NULL when there is none. */
static sl_status read_schema(draft *d, const char *key, plan_place *at,
                             const plan_schema **out) {
    *out = NULL;
    return member_of(d, key, at) == NULL ? SL_OK : compile_schema(d->c, *at, out);
}

static sl_status read_list(draft *d, const char *key, plan_place *at,
                           const plan_schema ***out, uint32_t *count) {
    const tree_node *n = member_of(d, key, at);
    *count = 0;
    if (n == NULL)
        return SL_OK;
    if (n->kind != JSON_ARRAY || n->count == 0)
        return sl_plan_fail(d->c, SL_EINVAL, *at, "is not a list of schemas");
    const plan_schema **list = get(d->c, n->count * sizeof *list);
    if (list == NULL)
        return sl_plan_no_memory(d->c);
    const uint32_t after = n->after;
    for (uint32_t i = at->node + 1; i < after; i = d->t->nodes[i].after) {
        sl_status status = compile_schema(d->c, at_node(d, i), &list[*count]);
        if (status != SL_OK)
            return status;
        ++*count;
    }
    *out = list;
    return SL_OK;
}

static sl_status read_map(draft *d, const char *key, plan_place *at,
                          const tree_node **out) {
    const tree_node *n = member_of(d, key, at);
    *out = n;
    if (n != NULL && n->kind != JSON_OBJECT)
        return sl_plan_fail(d->c, SL_EINVAL, *at, "is not an object");
    return SL_OK;
}

static sl_status hash_properties(draft *d, plan_members *m) {
    uint32_t size = 4;
    while (size < m->property_count * 2)
        size *= 2;
    m->slots = get(d->c, size * sizeof *m->slots);
    if (m->slots == NULL)
        return sl_plan_no_memory(d->c);
    m->slot_mask = size - 1;
    for (uint32_t i = 0; i < m->property_count; i++) {
        uint32_t slot = (uint32_t)m->properties[i].name.hash & m->slot_mask;
        while (m->slots[slot] != 0)
            slot = (slot + 1) & m->slot_mask;
        m->slots[slot] = i + 1;
    }
    return SL_OK;
}

const plan_schema *sl_plan_property(const plan_members *m, const uint8_t *key,
                                    size_t length, uint64_t hash) {
    if (m->property_count == 0)
        return NULL;
    for (uint32_t slot = (uint32_t)hash & m->slot_mask; m->slots[slot] != 0;
         slot = (slot + 1) & m->slot_mask) {
        const plan_name *name = &m->properties[m->slots[slot] - 1].name;
        if (name->hash == hash && name->length == length &&
            (length == 0 || memcmp(name->text, key, length) == 0))
            return m->properties[m->slots[slot] - 1].schema;
    }
    return NULL;
}

static sl_status read_properties(draft *d, plan_members *m, const tree_node *map) {
    const uint32_t first = m->properties_place.node + 1, after = map->after;
    m->properties = get(d->c, map->count * sizeof *m->properties);
    if (m->properties == NULL)
        return sl_plan_no_memory(d->c);
    for (uint32_t i = first; i < after; i = d->t->nodes[i].after) {
        const tree_node *n = &d->t->nodes[i];
        if (n->dead)
            continue;
        plan_property *p = &m->properties[m->property_count++];
        p->name = name_of(n->key, n->key_length);
        sl_status status = compile_schema(d->c, at_node(d, i), &p->schema);
        if (status != SL_OK)
            return status;
    }
    return hash_properties(d, m);
}

static sl_status read_patterns(draft *d, plan_members *m, const tree_node *map,
                               uint32_t at) {
    const uint32_t after = map->after;
    m->patterns = get(d->c, map->count * sizeof *m->patterns);
    if (m->patterns == NULL)
        return sl_plan_no_memory(d->c);
    for (uint32_t i = at + 1; i < after; i = d->t->nodes[i].after) {
        const tree_node *n = &d->t->nodes[i];
        if (n->dead)
            continue;
        plan_pattern *p = &m->patterns[m->pattern_count++];
        p->place = at_node(d, i);
        sl_status status = make_pattern(d, n->key, n->key_length, p->place, &p->pattern);
        if (status == SL_OK)
            status = compile_schema(d->c, p->place, &p->schema);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

static sl_status read_members(draft *d) {
    plan_members *m = get(d->c, sizeof *m);
    plan_place patterns_place, names_place;
    const tree_node *properties, *patterns;
    const plan_schema *names;
    if (m == NULL)
        return sl_plan_no_memory(d->c);
    sl_status status = read_map(d, "properties", &m->properties_place, &properties);
    if (status == SL_OK && properties != NULL)
        status = read_properties(d, m, properties);
    if (status == SL_OK)
        status = read_map(d, "patternProperties", &patterns_place, &patterns);
    if (status == SL_OK && patterns != NULL)
        status = read_patterns(d, m, patterns, patterns_place.node);
    if (status == SL_OK)
        status =
            read_schema(d, "additionalProperties", &m->additional_place, &m->additional);
    if (status == SL_OK)
        status = read_schema(d, "propertyNames", &names_place, &names);
    if (status != SL_OK)
        return status;
    if (names != NULL)
        add_op(d, OP_PROPERTY_NAMES, TYPE_OBJECT, "propertyNames", names_place)
            ->as.schema = names;
    if (properties != NULL || patterns != NULL || m->additional != NULL) {
        plan_place at = properties != NULL ? m->properties_place
                        : patterns != NULL ? patterns_place
                                           : m->additional_place;
        add_op(d, OP_MEMBERS, TYPE_OBJECT, "properties", at)->as.members = m;
    }
    return SL_OK;
}

static sl_status read_items(draft *d) {
    plan_place prefix_place, items_place;
    const plan_schema **prefix = NULL, *rest;
    uint32_t count;
    const tree_node *old = member_of(d, "items", &items_place);
    if (old != NULL && old->kind == JSON_ARRAY)
        return sl_plan_fail(
            d->c, SL_EINVAL, items_place,
            "is a schema in draft 2020-12; for a list of schemas say prefixItems");
    sl_status status = read_list(d, "prefixItems", &prefix_place, &prefix, &count);
    if (status == SL_OK)
        status = read_schema(d, "items", &items_place, &rest);
    if (status != SL_OK || (count == 0 && rest == NULL))
        return status;
    plan_op *op = add_op(d, OP_ITEMS, TYPE_ARRAY, "items",
                         rest != NULL ? items_place : prefix_place);
    op->as.items.prefix = prefix;
    op->as.items.prefix_count = count;
    op->as.items.prefix_place = prefix_place;
    op->as.items.rest = rest;
    return SL_OK;
}

static sl_status read_contains(draft *d) {
    plan_place at, least_at, most_at;
    const plan_schema *schema;
    uint64_t least = 1, most = UINT64_MAX;
    const tree_node *min = member_of(d, "minContains", &least_at);
    const tree_node *max = member_of(d, "maxContains", &most_at);
    sl_status status = min == NULL ? SL_OK : read_size(d, min, least_at, &least);
    if (status == SL_OK && max != NULL)
        status = read_size(d, max, most_at, &most);
    if (status == SL_OK)
        status = read_schema(d, "contains", &at, &schema);
    if (status != SL_OK || schema == NULL)
        return status;
    plan_op *op = add_op(d, OP_CONTAINS, TYPE_ARRAY, "contains", at);
    op->as.contains.schema = schema;
    op->as.contains.least = least;
    op->as.contains.most = most;
    op->as.contains.least_place = min != NULL ? least_at : at;
    op->as.contains.most_place = max != NULL ? most_at : at;
    return SL_OK;
}

static sl_status read_logic(draft *d) {
    static const struct {
        const char *key;
        plan_kind kind;
    } lists[] = {{"allOf", OP_ALL_OF}, {"anyOf", OP_ANY_OF}, {"oneOf", OP_ONE_OF}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        plan_place at;
        const plan_schema **schemas = NULL;
        uint32_t count;
        sl_status status = read_list(d, lists[i].key, &at, &schemas, &count);
        if (status != SL_OK)
            return status;
        if (count == 0)
            continue;
        plan_op *op = add_op(d, lists[i].kind, TYPE_ANY, lists[i].key, at);
        op->as.list.schemas = schemas;
        op->as.list.count = count;
    }
    plan_place at, ignored;
    const plan_schema *schema, *yes, *no;
    sl_status status = read_schema(d, "not", &at, &schema);
    if (status == SL_OK && schema != NULL)
        add_op(d, OP_NOT, TYPE_ANY, "not", at)->as.schema = schema;
    if (status == SL_OK)
        status = read_schema(d, "then", &ignored, &yes);
    if (status == SL_OK)
        status = read_schema(d, "else", &ignored, &no);
    if (status == SL_OK)
        status = read_schema(d, "if", &at, &schema);
    if (status != SL_OK || schema == NULL)
        return status; // then and else say nothing without if.
    plan_op *op = add_op(d, OP_IF, TYPE_ANY, "if", at);
    op->as.condition.test = schema;
    op->as.condition.yes = yes;
    op->as.condition.no = no;
    return SL_OK;
}

/** dependentRequired, dependentSchemas, and `dependencies` of draft 7, which holds both
 * kinds. */
static sl_status read_dependencies(draft *d, const char *key, bool names, bool schemas) {
    plan_place at;
    const tree_node *map;
    sl_status status = read_map(d, key, &at, &map);
    if (status != SL_OK || map == NULL)
        return status;
    const uint32_t after = map->after, room = map->count;
    plan_dependency *list = get(d->c, room * sizeof *list);
    if (list == NULL)
        return sl_plan_no_memory(d->c);
    uint32_t count = 0;
    for (uint32_t i = at.node + 1; i < after; i = d->t->nodes[i].after) {
        const tree_node *n = &d->t->nodes[i];
        if (n->dead)
            continue;
        plan_dependency *one = &list[count++];
        one->name = name_of(n->key, n->key_length);
        if (names && (n->kind == JSON_ARRAY || !schemas)) {
            one->required_count = n->count;
            status = read_names(d, n, at_node(d, i), &one->required);
        } else {
            status = compile_schema(d->c, at_node(d, i), &one->schema);
        }
        if (status != SL_OK)
            return status;
    }
    if (count == 0)
        return SL_OK;
    plan_op *op = add_op(d, schemas ? OP_DEPENDENT_SCHEMAS : OP_DEPENDENT_REQUIRED,
                         TYPE_OBJECT, key, at);
    op->as.dependencies.list = list;
    op->as.dependencies.count = count;
    return SL_OK;
}

static sl_status read_unevaluated(draft *d) {
    plan_place at;
    const plan_schema *schema;
    sl_status status = read_schema(d, "unevaluatedItems", &at, &schema);
    if (status != SL_OK)
        return status;
    if (schema != NULL)
        add_op(d, OP_UNEVALUATED_ITEMS, TYPE_ARRAY, "unevaluatedItems", at)->as.schema =
            schema;
    d->schema->unevaluated = schema != NULL;
    status = read_schema(d, "unevaluatedProperties", &at, &schema);
    if (status != SL_OK || schema == NULL)
        return status;
    add_op(d, OP_UNEVALUATED_PROPERTIES, TYPE_OBJECT, "unevaluatedProperties", at)
        ->as.schema = schema;
    d->schema->unevaluated = true;
    return SL_OK;
}

// ---- References

static sl_status later(compiler *c, const plan_schema **slot, plan_place target) {
    const plan_schema *known =
        c->contract->documents[target.document].schema_of[target.node];
    if (known != NULL) {
        *slot = known;
        return SL_OK;
    }
    if (!sl_plan_grow((void **)&c->pending, c->pending_count, &c->pending_capacity,
                      sizeof *c->pending))
        return sl_plan_no_memory(c);
    c->pending[c->pending_count++] = (struct pending){.slot = slot, .target = target};
    return SL_OK;
}

static sl_status read_reference(draft *d, const char *key, plan_kind kind) {
    plan_place at, target;
    const plan_anchor *anchor;
    if (member_of(d, key, &at) == NULL)
        return SL_OK;
    sl_status status = sl_index_resolve(d->c, d->schema->resource, at, &target, &anchor);
    if (status != SL_OK)
        return status;
    plan_op *op = add_op(d, kind, TYPE_ANY, key, at);
    op->as.ref.name = TREE_NONE;
    if (kind == OP_DYNAMIC_REF && anchor != NULL && anchor->dynamic) {
        op->as.ref.name = anchor->number;
        d->c->contract->dynamic = true;
    }
    return SL_OK;
}

// ---- Whole schemas

static sl_status check_keywords(draft *d) {
    const tree_node *n = &d->t->nodes[d->place.node];
    for (uint32_t i = d->place.node + 1; i < n->after; i = d->t->nodes[i].after)
        if (!d->t->nodes[i].dead && sl_plan_word(&d->t->nodes[i]) == NULL &&
            !d->c->options->unknown_annotates)
            return sl_plan_fail(d->c, SL_EUNSUPPORTED, at_node(d, i),
                                "this keyword is not supported");
    return SL_OK;
}

static sl_status read_assertions(draft *d) {
    typedef sl_status reader(draft * d);
    static reader *const readers[] = {read_type,    read_decimal, read_values,
                                      read_limits,  read_sizes,   read_text_rules,
                                      read_required};
    sl_status status = SL_OK;
    // A dialect without the validation vocabulary has all of these for annotations.
    if (!d->c->contract->resources[d->schema->resource].validates)
        return SL_OK;
    for (size_t i = 0; i < sizeof readers / sizeof *readers && status == SL_OK; i++)
        status = readers[i](d);
    return status == SL_OK ? read_dependencies(d, "dependentRequired", true, false)
                           : status;
}

/** $defs are compiled too: what is wrong in one shows even before something refers to it.
 */
static sl_status read_definitions(draft *d, const char *key) {
    plan_place at;
    const tree_node *map;
    sl_status status = read_map(d, key, &at, &map);
    const uint32_t after = map == NULL ? 0 : map->after;
    for (uint32_t i = at.node + 1; status == SL_OK && i < after;
         i = d->t->nodes[i].after) {
        const plan_schema *ignored;
        if (!d->t->nodes[i].dead)
            status = compile_schema(d->c, at_node(d, i), &ignored);
    }
    return status;
}

static sl_status read_object(draft *d) {
    sl_status status = check_keywords(d);
    if (status == SL_OK)
        status = read_assertions(d);
    if (status == SL_OK)
        status = read_members(d);
    if (status == SL_OK)
        status = read_items(d);
    if (status == SL_OK)
        status = read_contains(d);
    if (status == SL_OK)
        status = read_reference(d, "$ref", OP_REF);
    if (status == SL_OK)
        status = read_reference(d, "$dynamicRef", OP_DYNAMIC_REF);
    if (status == SL_OK)
        status = read_logic(d);
    if (status == SL_OK)
        status = read_dependencies(d, "dependentSchemas", false, true);
    if (status == SL_OK)
        status = read_dependencies(d, "dependencies", true, true);
    if (status == SL_OK)
        status = read_definitions(d, "$defs");
    if (status == SL_OK)
        status = read_definitions(d, "definitions");
    return status == SL_OK ? read_unevaluated(d) : status;
}

/** Move the draft's operations into the plan; references find their targets when all are
 * there. */
static sl_status keep_ops(draft *d) {
    plan_op *ops = get(d->c, d->count * sizeof *ops);
    if (ops == NULL)
        return sl_plan_no_memory(d->c);
    memcpy(ops, d->ops, d->count * sizeof *ops);
    d->schema->ops = ops;
    d->schema->count = d->count;
    for (uint32_t i = 0; i < d->count; i++) {
        if (ops[i].kind != OP_REF && ops[i].kind != OP_DYNAMIC_REF)
            continue;
        plan_place target;
        const plan_anchor *anchor;
        sl_status status =
            sl_index_resolve(d->c, d->schema->resource, ops[i].place, &target, &anchor);
        if (status == SL_OK)
            status = later(d->c, &ops[i].as.ref.target, target);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

static sl_status compile_schema(compiler *c, plan_place place, const plan_schema **out) {
    plan_document *document = &c->contract->documents[place.document];
    const tree_node *n = &document->tree.nodes[place.node];
    *out = document->schema_of[place.node];
    if (*out != NULL)
        return SL_OK;
    if (n->kind != JSON_OBJECT && n->kind != JSON_TRUE && n->kind != JSON_FALSE)
        return sl_plan_fail(c, SL_EINVAL, place, "is not a schema");
    if (++c->depth > SCHEMA_DEPTH_MAX)
        return sl_plan_fail(c, SL_ELIMIT, place, "is nested too deep");
    plan_schema *schema = get(c, sizeof *schema);
    draft *d = sl_calloc(1, sizeof *d);
    sl_status status = SL_OK;
    if (schema == NULL || d == NULL) {
        status = sl_plan_no_memory(c);
        goto out;
    }
    schema->place = place;
    schema->refuses = n->kind == JSON_FALSE;
    schema->resource = document->resource_of[place.node] - 1;
    document->schema_of[place.node] = schema;
    c->contract->resources[schema->resource].used = true;
    *out = schema;
    *d = (draft){.c = c, .t = &document->tree, .place = place, .schema = schema};
    if (n->kind == JSON_OBJECT)
        status = read_object(d);
    if (status == SL_OK)
        status = keep_ops(d);
out:
    sl_free(d);
    c->depth--;
    return status;
}

/** Those that a $dynamicRef may come to; *more: there were some. */
static sl_status compile_dynamic_anchors(compiler *c, bool *more) {
    sl_contract *contract = c->contract;
    for (uint32_t i = 0; i < contract->resource_count; i++) {
        if (!contract->resources[i].used)
            continue;
        for (uint32_t k = 0; k < contract->resources[i].anchor_count; k++) {
            const plan_schema *schema;
            plan_anchor *a = &contract->resources[i].anchors[k];
            if (!a->dynamic || a->schema != NULL)
                continue;
            sl_status status = compile_schema(c, a->place, &schema);
            if (status != SL_OK)
                return status;
            contract->resources[i].anchors[k].schema = schema;
            *more = true;
        }
    }
    return SL_OK;
}

static sl_status compile_all(compiler *c) {
    sl_status status = compile_schema(c, (plan_place){0}, &c->contract->root);
    // What is compiled may refer to more, in documents that nobody looked at before.
    for (bool more = true; more && status == SL_OK;) {
        more = false;
        while (c->pending_count > 0 && status == SL_OK) {
            struct pending next = c->pending[--c->pending_count];
            status = compile_schema(c, next.target, next.slot);
        }
        if (status == SL_OK && c->contract->dynamic)
            status = compile_dynamic_anchors(c, &more);
    }
    return status;
}

// ---- Circles: schemas that lead to themselves at one and the same place of an event

enum { WHITE, GREY, BLACK };

typedef struct circle_search {
    compiler *c;
    uint8_t **colour; // [document][node]
} circle_search;

static sl_status visit(circle_search *s, const plan_schema *schema);

static sl_status visit_list(circle_search *s, const plan_schema *const *list,
                            uint32_t count) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < count && status == SL_OK; i++)
        status = visit(s, list[i]);
    return status;
}

static sl_status visit_op(circle_search *s, const plan_op *op) {
    const plan_schema *three[3];
    sl_status status = SL_OK;
    switch (op->kind) {
    case OP_REF:
    case OP_DYNAMIC_REF:
        return visit(s, op->as.ref.target);
    case OP_ALL_OF:
    case OP_ANY_OF:
    case OP_ONE_OF:
        return visit_list(s, op->as.list.schemas, op->as.list.count);
    case OP_NOT:
        return visit(s, op->as.schema);
    case OP_IF:
        three[0] = op->as.condition.test;
        three[1] = op->as.condition.yes;
        three[2] = op->as.condition.no;
        return visit_list(s, three, 3);
    case OP_DEPENDENT_SCHEMAS:
        for (uint32_t i = 0; i < op->as.dependencies.count && status == SL_OK; i++)
            status = visit(s, op->as.dependencies.list[i].schema);
        return status;
    default:
        return SL_OK;
    }
}

static sl_status visit(circle_search *s, const plan_schema *schema) {
    if (schema == NULL)
        return SL_OK;
    uint8_t *colour = &s->colour[schema->place.document][schema->place.node];
    if (*colour == BLACK)
        return SL_OK;
    if (*colour == GREY)
        return sl_plan_fail(s->c, SL_EINVAL, schema->place,
                            "refers to itself without end, at one place of an event");
    if (++s->c->depth > 4 * SCHEMA_DEPTH_MAX)
        return sl_plan_fail(s->c, SL_ELIMIT, schema->place,
                            "references follow each other too far");
    *colour = GREY;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < schema->count && status == SL_OK; i++)
        status = visit_op(s, &schema->ops[i]);
    *colour = BLACK;
    s->c->depth--;
    return status;
}

static sl_status find_circles(compiler *c) {
    sl_contract *contract = c->contract;
    circle_search s = {.c = c,
                       .colour = get(c, contract->document_count * sizeof(uint8_t *))};
    if (s.colour == NULL)
        return sl_plan_no_memory(c);
    for (uint32_t i = 0; i < contract->document_count; i++) {
        s.colour[i] = get(c, contract->documents[i].tree.count);
        if (s.colour[i] == NULL)
            return sl_plan_no_memory(c);
    }
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < contract->document_count; i++)
        for (uint32_t k = 0; k < contract->documents[i].tree.count && status == SL_OK;
             k++)
            status = visit(&s, contract->documents[i].schema_of[k]);
    return status;
}

// ---- Contracts

static sl_status parse_document(compiler *c, uint32_t index, const char *uri,
                                const char *text, size_t length) {
    plan_document *d = &c->contract->documents[index];
    d->uri = sl_arena_strndup(&c->contract->arena, uri, strlen(uri));
    d->text = sl_calloc(1, length + SL_PADDING);
    if (d->uri == NULL || d->text == NULL)
        return sl_plan_no_memory(c);
    if (length != 0)
        memcpy(d->text, text, length);
    sl_status status = sl_tree_parse(&d->tree, d->text, length, SCHEMA_DEPTH_MAX);
    if (status == SL_ENOMEM)
        return sl_plan_no_memory(c);
    if (status != SL_OK) {
        unsigned line = 1, column = 1;
        for (uint32_t i = 0; i < d->tree.fault_at && i < length; i++, column++) {
            if (text[i] == '\n') {
                line++;
                column = 0;
            }
        }
        return sl_error_set(c->error, status, "%s%sline %u, column %u: %s", uri,
                            *uri == 0 ? "" : ": ", line, column, d->tree.fault);
    }
    // Equal keys in a schema: one of them would silently say nothing.
    for (uint32_t i = 0; i < d->tree.count; i++)
        if (d->tree.nodes[i].dead)
            return sl_plan_fail(c, SL_EINVAL, (plan_place){.document = index, .node = i},
                                "this name is there twice");
    d->resource_of = get(c, d->tree.count * sizeof *d->resource_of);
    d->schema_of = get(c, d->tree.count * sizeof *d->schema_of);
    return d->resource_of == NULL || d->schema_of == NULL ? sl_plan_no_memory(c) : SL_OK;
}

static sl_status build(compiler *c, const char *json, size_t length) {
    const sl_contract_options *o = c->options;
    sl_status status = parse_document(c, 0, "", json, length);
    for (size_t i = 0; i < o->document_count && status == SL_OK; i++)
        status = parse_document(c, (uint32_t)i + 1, o->documents[i].uri,
                                o->documents[i].text, o->documents[i].length);
    for (uint32_t i = 0; i < c->contract->document_count && status == SL_OK; i++)
        status = sl_index_document(c, i);
    if (status == SL_OK)
        status = compile_all(c);
    return status == SL_OK ? find_circles(c) : status;
}

static void destroy(sl_contract *contract) {
    if (contract == NULL)
        return;
    for (uint32_t i = 0; i < contract->pattern_count; i++)
        sl_regex_destroy(contract->patterns[i]);
    sl_free(contract->patterns);
    for (uint32_t i = 0; i < contract->resource_count; i++)
        sl_free(contract->resources[i].anchors);
    sl_free(contract->resources);
    for (uint32_t i = 0; contract->documents != NULL && i < contract->document_count;
         i++) {
        sl_tree_fini(&contract->documents[i].tree);
        sl_free(contract->documents[i].text);
    }
    sl_free(contract->documents);
    sl_arena_fini(&contract->arena);
    sl_free(contract);
}

sl_status sl_contract_compile(const char *json, size_t length,
                              const sl_contract_options *options, sl_contract **out,
                              sl_error *error) {
    static const sl_contract_options none = {0};
    compiler c = {.options = options == NULL ? &none : options, .error = error};
    sl_status status = SL_OK;
    *out = NULL;
    c.contract = sl_calloc(1, sizeof *c.contract);
    if (c.contract == NULL)
        return sl_plan_no_memory(&c);
    sl_arena_init(&c.contract->arena, 16384);
    atomic_init(&c.contract->references, 1);
    c.contract->document_count = (uint32_t)c.options->document_count + 1;
    c.contract->steps_max =
        c.options->steps_max != 0 ? c.options->steps_max : STEPS_DEFAULT;
    c.contract->documents =
        sl_calloc(c.contract->document_count, sizeof *c.contract->documents);
    status =
        c.contract->documents == NULL ? sl_plan_no_memory(&c) : build(&c, json, length);
    sl_free(c.pending);
    if (status == SL_OK)
        *out = c.contract;
    else
        destroy(c.contract);
    return status;
}

sl_contract *sl_contract_ref(const sl_contract *contract) {
    sl_contract *c = (sl_contract *)(uintptr_t)contract;
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void sl_contract_unref(const sl_contract *contract) {
    sl_contract *c = (sl_contract *)(uintptr_t)contract;
    // Release pairs with acquire in whoever comes last: it frees what the others have
    // read.
    if (c != NULL &&
        atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) == 1)
        destroy(c);
}
