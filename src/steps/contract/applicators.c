// Keywords that apply schemas to a value, its members or its items, and references.

#include "draft.h"

/** The schema in `key`, or NULL when there is none. */
static sl_status read_schema(draft *d, const char *key, plan_place *at,
                             const plan_schema **out) {
    *out = NULL;
    return member_of(d, key, at) == NULL ? SL_OK : sl_plan_schema(d->c, *at, out);
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
        sl_status status = sl_plan_schema(d->c, at_node(d, i), &list[*count]);
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
        sl_status status = sl_plan_schema(d->c, at_node(d, i), &p->schema);
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
        sl_status status =
            sl_draft_pattern(d, n->key, n->key_length, p->place, &p->pattern);
        if (status == SL_OK)
            status = sl_plan_schema(d->c, p->place, &p->schema);
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
        sl_draft_op(d, OP_PROPERTY_NAMES, TYPE_OBJECT, "propertyNames", names_place)
            ->as.schema = names;
    if (properties != NULL || patterns != NULL || m->additional != NULL) {
        plan_place at = properties != NULL ? m->properties_place
                        : patterns != NULL ? patterns_place
                                           : m->additional_place;
        sl_draft_op(d, OP_MEMBERS, TYPE_OBJECT, "properties", at)->as.members = m;
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
    plan_op *op = sl_draft_op(d, OP_ITEMS, TYPE_ARRAY, "items",
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
    sl_status status = min == NULL ? SL_OK : sl_draft_size(d, min, least_at, &least);
    if (status == SL_OK && max != NULL)
        status = sl_draft_size(d, max, most_at, &most);
    if (status == SL_OK)
        status = read_schema(d, "contains", &at, &schema);
    if (status != SL_OK || schema == NULL)
        return status;
    plan_op *op = sl_draft_op(d, OP_CONTAINS, TYPE_ARRAY, "contains", at);
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
        plan_op *op = sl_draft_op(d, lists[i].kind, TYPE_ANY, lists[i].key, at);
        op->as.list.schemas = schemas;
        op->as.list.count = count;
    }
    plan_place at, ignored;
    const plan_schema *schema, *yes, *no;
    sl_status status = read_schema(d, "not", &at, &schema);
    if (status == SL_OK && schema != NULL)
        sl_draft_op(d, OP_NOT, TYPE_ANY, "not", at)->as.schema = schema;
    if (status == SL_OK)
        status = read_schema(d, "then", &ignored, &yes);
    if (status == SL_OK)
        status = read_schema(d, "else", &ignored, &no);
    if (status == SL_OK)
        status = read_schema(d, "if", &at, &schema);
    if (status != SL_OK || schema == NULL)
        return status; // then and else say nothing without if.
    plan_op *op = sl_draft_op(d, OP_IF, TYPE_ANY, "if", at);
    op->as.condition.test = schema;
    op->as.condition.yes = yes;
    op->as.condition.no = no;
    return SL_OK;
}

/** dependentRequired, dependentSchemas, and `dependencies` of draft 7, which holds both
 * kinds. */
sl_status sl_draft_dependencies(draft *d, const char *key, bool names, bool schemas) {
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
            status = sl_draft_names(d, n, at_node(d, i), &one->required);
        } else {
            status = sl_plan_schema(d->c, at_node(d, i), &one->schema);
        }
        if (status != SL_OK)
            return status;
    }
    if (count == 0)
        return SL_OK;
    plan_op *op = sl_draft_op(d, schemas ? OP_DEPENDENT_SCHEMAS : OP_DEPENDENT_REQUIRED,
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
        sl_draft_op(d, OP_UNEVALUATED_ITEMS, TYPE_ARRAY, "unevaluatedItems", at)
            ->as.schema = schema;
    d->schema->unevaluated = schema != NULL;
    status = read_schema(d, "unevaluatedProperties", &at, &schema);
    if (status != SL_OK || schema == NULL)
        return status;
    sl_draft_op(d, OP_UNEVALUATED_PROPERTIES, TYPE_OBJECT, "unevaluatedProperties", at)
        ->as.schema = schema;
    d->schema->unevaluated = true;
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
    plan_op *op = sl_draft_op(d, kind, TYPE_ANY, key, at);
    op->as.ref.name = TREE_NONE;
    if (kind == OP_DYNAMIC_REF && anchor != NULL && anchor->dynamic) {
        op->as.ref.name = anchor->number;
        d->c->contract->dynamic = true;
    }
    return SL_OK;
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
            status = sl_plan_schema(d->c, at_node(d, i), &ignored);
    }
    return status;
}

sl_status sl_draft_applicators(draft *d) {
    sl_status status = read_members(d);
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
        status = sl_draft_dependencies(d, "dependentSchemas", false, true);
    if (status == SL_OK)
        status = sl_draft_dependencies(d, "dependencies", true, true);
    if (status == SL_OK)
        status = read_definitions(d, "$defs");
    if (status == SL_OK)
        status = read_definitions(d, "definitions");
    return status == SL_OK ? read_unevaluated(d) : status;
}
