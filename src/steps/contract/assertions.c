// Keywords that assert something of a value by itself.

#include "draft.h"

#include <stdio.h>

#define DECIMAL_DIGITS_MAX 18

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
    sl_draft_op(d, OP_TYPE, TYPE_ANY, "type", at)->as.types =
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
    plan_op *op = sl_draft_op(d, OP_DECIMAL, TYPE_NUMBER | TYPE_STRING, "x-decimal", at);
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
    plan_op *op = sl_draft_op(d, kind, TYPE_ANY, keyword, at);
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
        sl_draft_op(d, limits[i].kind, TYPE_NUMBER, limits[i].key, at)->as.number =
            &n->as.number;
    }
    return SL_OK;
}

sl_status sl_draft_size(draft *d, const tree_node *n, plan_place at, uint64_t *out) {
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
        uint64_t size = 0;
        sl_status status = sl_draft_size(d, n, at, &size);
        if (status != SL_OK)
            return status;
        sl_draft_op(d, sizes[i].kind, sizes[i].applies, sizes[i].key, at)->as.size = size;
    }
    plan_place at;
    const tree_node *n = member_of(d, "uniqueItems", &at);
    if (n != NULL && n->kind != JSON_TRUE && n->kind != JSON_FALSE)
        return sl_plan_fail(d->c, SL_EINVAL, at, "is not a boolean");
    if (n != NULL && n->kind == JSON_TRUE)
        sl_draft_op(d, OP_UNIQUE_ITEMS, TYPE_ARRAY, "uniqueItems", at);
    return SL_OK;
}

sl_status sl_draft_pattern(draft *d, const uint8_t *text, uint32_t length, plan_place at,
                           const regex **out) {
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
            sl_draft_pattern(d, n->as.string.bytes, n->as.string.length, at, &pattern);
        if (status != SL_OK)
            return status;
        sl_draft_op(d, OP_PATTERN, TYPE_STRING, "pattern", at)->as.pattern = pattern;
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
    sl_draft_op(d, OP_FORMAT, TYPE_STRING, "format", at)->as.format = known;
    return SL_OK;
}

sl_status sl_draft_names(draft *d, const tree_node *n, plan_place at, plan_name **out) {
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
    sl_status status = sl_draft_names(d, n, at, &names);
    if (status != SL_OK || n->count == 0)
        return status;
    plan_op *op = sl_draft_op(d, OP_REQUIRED, TYPE_OBJECT, "required", at);
    op->as.names.names = names;
    op->as.names.count = n->count;
    return SL_OK;
}

sl_status sl_draft_assertions(draft *d) {
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
    return status == SL_OK ? sl_draft_dependencies(d, "dependentRequired", true, false)
                           : status;
}
