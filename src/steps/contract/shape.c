// The columns that a contract gives: for each member that `properties` names, what all
// the schemas at its place (through `$ref` and `allOf`) say together of its type. What is
// none of a column's types, or several, is kept as JSON text.

#include "plan.h"

#define REST_NAME "_rest"
#define FIELDS_LIMIT (SL_FIELDS_MAX * 10u)
#define GROUP_DEPTH_MAX SL_DEPTH_MAX
#define SCHEMAS_MAX 1000u /**< At one place. */

/** The schemas that hold at one place; the places around it follow `outer`. */
typedef struct place {
    const struct place *outer;
    const plan_schema **schemas;
    uint32_t count, capacity;
} place;

typedef struct shaper {
    const sl_contract *contract;
    sl_schema *schema;
    sl_error *error;
    unsigned depth;
} shaper;

typedef struct facts {
    unsigned types;  /**< Those that every schema allows. */
    unsigned values; /**< Types of the values in const and enum. */
    bool typed, valued;
    const plan_op *decimal;
    const format *format;
    bool members; /**< Some `properties`. */
} facts;

static sl_status no_memory(shaper *s) {
    return sl_error_set(s->error, SL_ENOMEM, "out of memory");
}

static sl_status fail(shaper *s, sl_status status, plan_place at, const char *text) {
    compiler c = {.contract = (sl_contract *)(uintptr_t)s->contract, .error = s->error};
    return sl_plan_fail(&c, status, at, text);
}

static bool holds(const place *p, const plan_schema *schema) {
    for (uint32_t i = 0; i < p->count; i++)
        if (p->schemas[i] == schema)
            return true;
    return false;
}

/** The schema, and what it refers to or is made of. */
static sl_status gather(shaper *s, place *p, const plan_schema *schema) {
    if (holds(p, schema))
        return SL_OK;
    if (p->count >= SCHEMAS_MAX)
        return fail(s, SL_ELIMIT, schema->place, "is made of too many schemas");
    if (!sl_plan_grow((void **)&p->schemas, p->count, &p->capacity, sizeof *p->schemas))
        return no_memory(s);
    p->schemas[p->count++] = schema;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < schema->count && status == SL_OK; i++) {
        const plan_op *op = &schema->ops[i];
        if (op->kind == OP_REF ||
            (op->kind == OP_DYNAMIC_REF && op->as.ref.name == TREE_NONE))
            status = gather(s, p, op->as.ref.target);
        for (uint32_t k = 0; op->kind == OP_ALL_OF && k < op->as.list.count; k++)
            if (status == SL_OK)
                status = gather(s, p, op->as.list.schemas[k]);
    }
    return status;
}

static unsigned value_type(const tree_node *n) {
    switch ((json_kind)n->kind) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_FALSE:
    case JSON_TRUE:
        return TYPE_BOOLEAN;
    case JSON_NUMBER:
        return decimal_integral(&n->as.number) ? TYPE_INTEGER : TYPE_NUMBER;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_OBJECT:
        break;
    }
    return TYPE_OBJECT;
}

static void note(const shaper *s, const plan_op *op, facts *f) {
    unsigned values = 0;
    switch ((int)op->kind) {
    case OP_TYPE:
        f->typed = true;
        f->types &= op->as.types;
        break;
    case OP_CONST:
    case OP_ENUM:
        for (uint32_t i = 0; i < op->as.values.count; i++)
            values |= value_type(plan_node(s->contract, op->as.values.values[i]));
        f->values &= values & TYPE_NUMBER ? values | TYPE_INTEGER : values;
        f->valued = true;
        break;
    case OP_DECIMAL:
        f->decimal = f->decimal == NULL ? op : f->decimal;
        break;
    case OP_FORMAT:
        f->format = f->format == NULL ? op->as.format : f->format;
        break;
    case OP_MEMBERS:
        f->members = f->members || op->as.members->property_count != 0;
        break;
    default:
        break;
    }
}

static facts facts_of(const shaper *s, const place *p) {
    facts f = {.types = TYPE_ANY, .values = TYPE_ANY};
    for (uint32_t i = 0; i < p->count; i++)
        for (uint32_t k = 0; k < p->schemas[i]->count; k++)
            note(s, &p->schemas[i]->ops[k], &f);
    // A list of values tells the type where nothing else does.
    if (!f.typed && f.valued)
        f.types = f.values;
    return f;
}

/** A schema that holds itself has no end of columns. */
static bool comes_again(const place *p) {
    for (const place *o = p->outer; o != NULL; o = o->outer)
        for (uint32_t i = 0; i < p->count; i++)
            if (p->schemas[i]->count != 0 && holds(o, p->schemas[i]))
                return true;
    return false;
}

static sl_type string_type(const facts *f) {
    if (f->format != NULL && strcmp(f->format->name, "date-time") == 0)
        return SL_TYPE_TIMESTAMP;
    if (f->format != NULL && strcmp(f->format->name, "date") == 0)
        return SL_TYPE_DATE;
    return SL_TYPE_STRING;
}

static sl_type column_type(const shaper *s, const place *p, const facts *f) {
    switch (f->types & ~(unsigned)TYPE_NULL) {
    case TYPE_BOOLEAN:
        return SL_TYPE_BOOL;
    case TYPE_INTEGER:
        return SL_TYPE_INT64;
    case TYPE_NUMBER:
    case TYPE_NUMBER | TYPE_INTEGER:
        return SL_TYPE_DOUBLE;
    case TYPE_STRING:
        return string_type(f);
    case TYPE_OBJECT:
        return f->members && s->depth < GROUP_DEPTH_MAX && !comes_again(p) ? SL_TYPE_GROUP
                                                                           : SL_TYPE_JSON;
    default:
        return SL_TYPE_JSON;
    }
}

static bool is_required(const place *p, const plan_name *name) {
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t k = 0; k < p->schemas[i]->count; k++) {
            const plan_op *op = &p->schemas[i]->ops[k];
            for (uint32_t n = 0; op->kind == OP_REQUIRED && n < op->as.names.count; n++)
                if (op->as.names.names[n].length == name->length &&
                    memcmp(op->as.names.names[n].text, name->text, name->length) == 0)
                    return true;
        }
    }
    return false;
}

static sl_status gather_member(shaper *s, const place *p, const plan_name *name,
                               place *out) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t k = 0; k < p->schemas[i]->count && status == SL_OK; k++) {
            const plan_op *op = &p->schemas[i]->ops[k];
            if (op->kind != OP_MEMBERS)
                continue;
            const plan_schema *schema =
                sl_plan_property(op->as.members, name->text, name->length, name->hash);
            if (schema != NULL)
                status = gather(s, out, schema);
        }
    }
    return status;
}

static sl_status add_group(shaper *s, const place *p, uint32_t group);

static bool is_false(const place *p) {
    for (uint32_t i = 0; i < p->count; i++)
        if (p->schemas[i]->refuses)
            return true;
    return false;
}

static sl_status add_column(shaper *s, const place *p, uint32_t group,
                            const plan_name *name, bool required) {
    facts f = facts_of(s, p);
    sl_type type = column_type(s, p, &f);
    plan_place at = p->schemas[0]->place;
    if (group == 0 && name->length == strlen(REST_NAME) &&
        memcmp(name->text, REST_NAME, name->length) == 0)
        return fail(s, SL_EINVAL, at, "the name `_rest` is taken for unknown members");
    if (memchr(name->text, 0, name->length) != NULL)
        return fail(s, SL_EUNSUPPORTED, at, "a column's name holds no NUL");
    if (f.decimal != NULL && type != SL_TYPE_DOUBLE && type != SL_TYPE_INT64 &&
        type != SL_TYPE_STRING &&
        (f.types & ~(unsigned)(TYPE_NULL | TYPE_INTEGER | TYPE_NUMBER | TYPE_STRING)))
        return fail(s, SL_EUNSUPPORTED, f.decimal->place,
                    "goes with number, integer or string alone");
    if (s->schema->count >= FIELDS_LIMIT)
        return fail(s, SL_ELIMIT, at, "there are too many fields");
    uint32_t index =
        sl_schema_add(s->schema, group, (const char *)name->text, name->length,
                      f.decimal != NULL ? SL_TYPE_DECIMAL : type);
    if (index == SL_NO_FIELD)
        return no_memory(s);
    sl_field *field = &s->schema->fields[index];
    field->required = required;
    field->nullable = !required || (f.types & TYPE_NULL);
    if (f.decimal != NULL) {
        field->precision = (uint8_t)f.decimal->as.decimal.precision;
        field->scale = (uint8_t)f.decimal->as.decimal.scale;
    }
    return field->type == SL_TYPE_GROUP ? add_group(s, p, index) : SL_OK;
}

static sl_status add_member(shaper *s, const place *p, uint32_t group,
                            const plan_name *name) {
    // An empty name makes no column, and neither does a member that is never there.
    if (name->length == 0 || sl_schema_child(s->schema, group, (const char *)name->text,
                                             name->length) != SL_NO_FIELD)
        return SL_OK;
    place inner = {.outer = p};
    sl_status status = gather_member(s, p, name, &inner);
    if (status == SL_OK && !is_false(&inner))
        status = add_column(s, &inner, group, name, is_required(p, name));
    sl_free(inner.schemas);
    return status;
}

static sl_status add_group(shaper *s, const place *p, uint32_t group) {
    sl_status status = SL_OK;
    s->depth++;
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t k = 0; k < p->schemas[i]->count; k++) {
            const plan_op *op = &p->schemas[i]->ops[k];
            for (uint32_t n = 0; op->kind == OP_MEMBERS && status == SL_OK &&
                                 n < op->as.members->property_count;
                 n++)
                status = add_member(s, p, group, &op->as.members->properties[n].name);
        }
    }
    s->depth--;
    return status;
}

/** Does one of the schemas refuse every member that is no column? */
static bool is_closed(const place *p) {
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t k = 0; k < p->schemas[i]->count; k++) {
            const plan_op *op = &p->schemas[i]->ops[k];
            const plan_members *m = op->as.members;
            // The empty name is the one that may be allowed and yet makes no column.
            if (op->kind == OP_MEMBERS && m->additional != NULL &&
                m->additional->refuses && m->pattern_count == 0 &&
                sl_plan_property(m, (const uint8_t *)"", 0, sl_tree_hash("", 0)) == NULL)
                return true;
        }
    }
    return false;
}

static sl_status shape_root(shaper *s, bool with_rest) {
    place root = {0};
    sl_status status = gather(s, &root, s->contract->root);
    if (status == SL_OK && !(facts_of(s, &root).types & TYPE_OBJECT))
        status =
            fail(s, SL_EUNSUPPORTED, s->contract->root->place, "an event is an object");
    if (status == SL_OK)
        status = add_group(s, &root, 0);
    if (status == SL_OK)
        s->schema->closed = is_closed(&root);
    sl_free(root.schemas);
    if (status != SL_OK || !with_rest || s->schema->closed)
        return status;
    uint32_t rest =
        sl_schema_add(s->schema, 0, REST_NAME, strlen(REST_NAME), SL_TYPE_JSON);
    if (rest == SL_NO_FIELD)
        return no_memory(s);
    s->schema->fields[rest].origin = SL_ORIGIN_REST;
    s->schema->rest = rest;
    return SL_OK;
}

sl_status sl_contract_columns(const sl_contract *contract, const char *name,
                              bool with_rest, sl_schema **out, sl_error *error) {
    *out = NULL;
    shaper s = {.contract = contract, .error = error};
    s.schema = sl_schema_create(name);
    if (s.schema == NULL)
        return no_memory(&s);
    sl_status status = shape_root(&s, with_rest);
    if (status == SL_OK)
        *out = s.schema;
    else
        sl_schema_unref(s.schema);
    return status;
}
