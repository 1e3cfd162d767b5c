/* Names first: at each step there is a list of what expressions may call by which name, and which column that is. A step
 * adds to it, renames in it, takes from it. What is left at the end is what tables see. */
#include "private.h"

typedef struct planner {
    sl_steps *plan;
    const sl_schema *input;
    const char *event_time;
    sl_expression_name *names; /* Of now. */
    uint32_t name_count, name_capacity;
    uint32_t step, item;
    sl_error *error;
} planner;

static const char *const step_names[SL_STEP_KINDS] = {
    [SL_STEP_REQUIRE] = "require", [SL_STEP_WHERE] = "where",   [SL_STEP_SET] = "set",
    [SL_STEP_DEFAULT] = "default", [SL_STEP_CAST] = "cast",     [SL_STEP_RENAME] = "rename",
    [SL_STEP_DROP] = "drop",       [SL_STEP_TRIM] = "trim",     [SL_STEP_LOWER] = "lower",
    [SL_STEP_REDACT] = "redact",   [SL_STEP_HASH] = "hash",     [SL_STEP_USER_AGENT] = "user_agent",
    [SL_STEP_GEOIP] = "geoip",     [SL_STEP_LOOKUP] = "lookup",
};

const char *sl_step_name(sl_step_kind kind) {
    return (size_t)kind < SL_STEP_KINDS ? step_names[kind] : "";
}

static sl_status nomem(planner *p) { return sl_error_set(p->error, SL_ENOMEM, "out of memory"); }

/* --- names --- */

static sl_expression_name *name_find(planner *p, const char *path) {
    for (uint32_t i = 0; i < p->name_count; i++)
        if (strcmp(p->names[i].path, path) == 0)
            return &p->names[i];
    return NULL;
}

static sl_status name_add(planner *p, const char *path, uint32_t column) {
    if (p->name_count == p->name_capacity) {
        uint32_t capacity = p->name_capacity == 0 ? 64 : 2 * p->name_capacity;
        sl_expression_name *names = sl_realloc(p->names, capacity * sizeof *names);
        if (names == NULL)
            return nomem(p);
        p->names = names;
        p->name_capacity = capacity;
    }
    const sl_field *f = &p->plan->schema->fields[column];
    const char *kept = sl_arena_strndup(&p->plan->arena, path, strlen(path));
    if (kept == NULL)
        return nomem(p);
    p->names[p->name_count++] = (sl_expression_name){kept, f->type, f->scale, column};
    return SL_OK;
}

static void name_remove(planner *p, const sl_expression_name *name) {
    uint32_t at = (uint32_t)(name - p->names);
    memmove(p->names + at, p->names + at + 1, (p->name_count - at - 1) * sizeof *p->names);
    p->name_count--;
}

/* Its error names the nearest that there is. */
static sl_status unknown(planner *p, const char *path) {
    sl_expression *e = NULL;
    sl_status status = sl_expression_compile_names(path, p->names, p->name_count, false, &e, p->error);
    sl_expression_destroy(e);
    return status == SL_ENOTFOUND ? status : sl_error_set(p->error, SL_ENOTFOUND, "there is no field '%.100s'", path);
}

/** A single value that steps may change. @return NULL after an error. */
static sl_expression_name *leaf(planner *p, const char *path) {
    sl_expression_name *name = name_find(p, path);
    if (name == NULL)
        (void)unknown(p, path);
    else if (name->type == SL_TYPE_GROUP)
        (void)sl_error_set(p->error, SL_ETYPE, "'%.100s' is an object; name its members", path);
    else if (p->event_time != NULL && strcmp(path, p->event_time) == 0)
        (void)sl_error_set(p->error, SL_EINVAL, "'%.100s' is the event time, which windows and the watermark go by", path);
    else
        return name;
    return NULL;
}

static sl_expression_name *text_leaf(planner *p, const char *path) {
    sl_expression_name *name = leaf(p, path);
    if (name == NULL || name->type == SL_TYPE_STRING)
        return name;
    (void)sl_error_set(p->error, SL_ETYPE, "'%.100s' is of type %s; expected a string", path, sl_type_name(name->type));
    return NULL;
}

static bool is_path(const char *path) {
    size_t length = strlen(path), part = 0;
    for (size_t i = 0; i < length; i++) {
        part = path[i] == '.' ? 0 : part + 1;
        if (part == 0 && (i == 0 || path[i - 1] == '.'))
            return false;
    }
    return part != 0 && length < 256;
}

/** A column of a step's own, at the root of the schema whatever its path. */
static sl_status column_add(planner *p, const char *path, sl_type type, uint8_t precision, uint8_t scale,
                            uint32_t *out) {
    if (!is_path(path))
        return sl_error_set(p->error, SL_EINVAL, "'%.100s' can't be a field's name", path);
    sl_schema *s = p->plan->schema;
    *out = sl_schema_add(s, 0, path, strlen(path), type);
    if (*out == SL_NO_FIELD)
        return nomem(p);
    s->fields[*out].origin = SL_ORIGIN_STEP;
    s->fields[*out].precision = precision;
    s->fields[*out].scale = scale;
    return SL_OK;
}

/* --- operations --- */

static sl_status operation_add(planner *p, operation_kind kind, operation **out) {
    sl_steps *plan = p->plan;
    if (plan->operation_count == plan->operation_capacity) {
        uint32_t capacity = plan->operation_capacity == 0 ? 16 : 2 * plan->operation_capacity;
        operation *list = sl_realloc(plan->operations, capacity * sizeof *list);
        if (list == NULL)
            return nomem(p);
        plan->operations = list;
        plan->operation_capacity = capacity;
    }
    *out = &plan->operations[plan->operation_count++];
    **out = (operation){.kind = kind, .step = p->step, .item = p->item, .pointer = ""};
    return SL_OK;
}

/** With the names of now, for runners to compile it again. */
static sl_status expression_add(planner *p, operation_kind kind, const char *text, sl_type *type, uint8_t *scale,
                                operation **out) {
    sl_expression *e;
    sl_status status = sl_expression_compile_names(text, p->names, p->name_count, false, &e, p->error);
    if (status != SL_OK)
        return status;
    *type = sl_expression_type(e);
    *scale = sl_expression_scale(e);
    sl_expression_destroy(e);
    status = operation_add(p, kind, out);
    if (status != SL_OK)
        return status;
    (*out)->text = text;
    (*out)->names = sl_arena_get(&p->plan->arena, p->name_count * sizeof *p->names);
    if ((*out)->names == NULL)
        return nomem(p);
    memcpy((*out)->names, p->names, p->name_count * sizeof *p->names);
    (*out)->name_count = p->name_count;
    return SL_OK;
}

static sl_status condition(planner *p, operation_kind kind, const char *text, operation **out) {
    sl_type type;
    uint8_t scale;
    sl_status status = expression_add(p, kind, text, &type, &scale, out);
    if (status == SL_OK && type != SL_TYPE_BOOL)
        return sl_error_set(p->error, SL_ETYPE, "the condition %.200s is of type %s; expected true or false", text,
                            sl_type_name(type));
    return status;
}

/** RFC 6901: "/a/b" for the field a.b. */
static const char *pointer_of(planner *p, const char *label) {
    sl_buffer text = SL_BUFFER_EMPTY;
    const char *kept = "";
    if (name_find(p, label) != NULL) {
        sl_buffer_text(&text, "/");
        for (const char *c = label; *c != 0; c++)
            sl_buffer_text(&text, *c == '.' ? "/" : *c == '/' ? "~1" : *c == '~' ? "~0" : (const char[]){*c, 0});
        kept = text.failed ? NULL : sl_arena_strndup(&p->plan->arena, sl_buffer_cstr(&text), text.length);
    }
    sl_buffer_fini(&text);
    return kept;
}

static sl_status add_require(planner *p, const sl_step_item *item) {
    operation *o;
    sl_status status = condition(p, OPERATION_REQUIRE, item->text, &o);
    if (status != SL_OK)
        return status;
    o->pointer = pointer_of(p, item->name);
    return o->pointer != NULL ? SL_OK : nomem(p);
}

static sl_status fits(planner *p, const char *path, sl_type type, uint8_t scale, const sl_expression_name *into) {
    bool good = type == into->type && (type != SL_TYPE_DECIMAL || scale == into->scale);
    good = good || (type == SL_TYPE_INT64 && into->type == SL_TYPE_DOUBLE);
    if (!good && type == SL_TYPE_DECIMAL && into->type == type)
        return sl_error_set(p->error, SL_ETYPE, "'%.100s' has %u decimals, the expression %u: set a field of another name", path,
                            into->scale, scale);
    return good ? SL_OK
                : sl_error_set(p->error, SL_ETYPE, "'%.100s' is of type %s, the expression of type %s: cast one of them", path,
                               sl_type_name(into->type), sl_type_name(type));
}

/** As expressions write it: keys that are no identifiers in backticks. */
static void path_put(sl_buffer *out, const char *path) {
    for (const char *at = path;; at++) {
        size_t length = strcspn(at, "."), i = 0;
        while (i < length && ((at[i] >= 'a' && at[i] <= 'z') || (at[i] >= 'A' && at[i] <= 'Z') || at[i] == '_' ||
                              (i != 0 && at[i] >= '0' && at[i] <= '9')))
            i++;
        sl_buffer_printf(out, i == length ? "%.*s" : "`%.*s`", (int)length, at);
        at += length;
        if (*at == 0)
            return;
        sl_buffer_text(out, ".");
    }
}

/**
 * What is written into a decimal becomes one where expressions let literals and whole numbers adapt: beside the field itself,
 * in a choice that is never for it. An expression that doesn't is left as it is.
 */
static sl_status adapt(planner *p, const sl_step_item *item, const sl_expression_name *into, operation *o, sl_type *type,
                       uint8_t *scale) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "false ? ");
    path_put(&text, item->name);
    sl_buffer_printf(&text, " : (%s\n)", item->text); /* The line end closes a comment. */
    const char *kept = text.failed ? NULL : sl_arena_strndup(&p->plan->arena, sl_buffer_cstr(&text), text.length);
    sl_buffer_fini(&text);
    if (kept == NULL)
        return nomem(p);
    sl_expression *e = NULL;
    sl_error ignored = {0};
    sl_status status = sl_expression_compile_names(kept, p->names, p->name_count, false, &e, &ignored);
    if (status == SL_OK && sl_expression_type(e) == SL_TYPE_DECIMAL && sl_expression_scale(e) == into->scale) {
        *type = SL_TYPE_DECIMAL;
        *scale = into->scale;
        o->text = kept;
    }
    sl_expression_destroy(e);
    return status == SL_ENOMEM ? nomem(p) : SL_OK;
}

static sl_status add_set(planner *p, const sl_step_item *item, bool only_missing) {
    sl_expression_name *into = name_find(p, item->name);
    if (into != NULL && (into = leaf(p, item->name)) == NULL)
        return p->error->status;
    if (only_missing && into == NULL)
        return unknown(p, item->name);
    uint32_t target = into != NULL ? into->column : 0; /* `into` may move. */
    operation *o;
    sl_type type;
    uint8_t scale;
    sl_status status =
        expression_add(p, only_missing ? OPERATION_DEFAULT : OPERATION_SET, item->text, &type, &scale, &o);
    if (status != SL_OK)
        return status;
    if (into != NULL) {
        if (into->type == SL_TYPE_DECIMAL && (type != SL_TYPE_DECIMAL || scale != into->scale))
            status = adapt(p, item, into, o, &type, &scale);
        if (status == SL_OK)
            status = fits(p, item->name, type, scale, into);
    } else {
        o->kind = OPERATION_MAKE;
        status = column_add(p, item->name, type, type == SL_TYPE_DECIMAL ? 18 : 0, scale, &target);
        if (status == SL_OK)
            status = name_add(p, item->name, target);
    }
    o->source = o->target = target;
    return status;
}

static const struct cast {
    const char *name, *function;
} casts[] = {{"string", "string"},   {"integer", "int"},         {"number", "double"},
             {"boolean", "bool"},    {"date-time", "timestamp"}};

static sl_status add_cast(planner *p, const sl_step_item *item) {
    sl_expression_name *name = leaf(p, item->name);
    if (name == NULL)
        return p->error->status;
    const char *function = NULL;
    for (size_t i = 0; i < sizeof casts / sizeof *casts; i++)
        if (strcmp(casts[i].name, item->text) == 0)
            function = casts[i].function;
    if (function == NULL)
        return sl_error_set(p->error, SL_EINVAL,
                            "'%.100s' is no type to cast to; there are string, integer, number, boolean, date-time", item->text);
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%s(", function);
    path_put(&text, item->name);
    sl_buffer_text(&text, ")");
    const char *kept = text.failed ? NULL : sl_arena_strndup(&p->plan->arena, sl_buffer_cstr(&text), text.length);
    sl_buffer_fini(&text);
    if (kept == NULL)
        return nomem(p);
    operation *o;
    sl_type type;
    uint8_t scale;
    sl_status status = expression_add(p, OPERATION_MAKE, kept, &type, &scale, &o);
    if (status == SL_OK)
        status = column_add(p, item->name, type, type == SL_TYPE_DECIMAL ? 18 : 0, scale, &o->target);
    if (status != SL_OK)
        return status;
    o->source = name->column;
    *name = (sl_expression_name){name->path, type, scale, o->target};
    return SL_OK;
}

static sl_status add_rename(planner *p, const sl_step_item *item) {
    const sl_expression_name *name = leaf(p, item->name);
    if (name == NULL)
        return p->error->status;
    if (name_find(p, item->text) != NULL)
        return sl_error_set(p->error, SL_EEXIST, "there is a field '%.100s' already", item->text);
    const sl_field f = p->plan->schema->fields[name->column];
    operation *o;
    sl_status status = operation_add(p, OPERATION_COPY, &o);
    if (status != SL_OK)
        return status;
    o->source = name->column;
    name_remove(p, name);
    status = column_add(p, item->text, f.type, f.precision, f.scale, &o->target);
    return status == SL_OK ? name_add(p, item->text, o->target) : status;
}

/** An object goes with all its members. */
static sl_status add_drop(planner *p, const sl_step_item *item) {
    const sl_expression_name *name = name_find(p, item->name);
    if (name == NULL)
        return unknown(p, item->name);
    size_t length = strlen(item->name);
    if (p->event_time != NULL && strncmp(p->event_time, item->name, length) == 0 &&
        (p->event_time[length] == 0 || p->event_time[length] == '.'))
        return sl_error_set(p->error, SL_EINVAL, "'%.100s' is the event time, which windows and the watermark go by",
                            p->event_time);
    bool object = name->type == SL_TYPE_GROUP;
    for (uint32_t i = p->name_count; i-- > 0;) {
        const char *path = p->names[i].path;
        if (strncmp(path, item->name, length) == 0 && (path[length] == 0 || (object && path[length] == '.')))
            name_remove(p, &p->names[i]);
    }
    return SL_OK;
}

static sl_status add_text(planner *p, operation_kind kind, const sl_step_item *item) {
    const sl_expression_name *name = text_leaf(p, item->name);
    operation *o;
    sl_status status = name != NULL ? operation_add(p, kind, &o) : p->error->status;
    if (status == SL_OK)
        o->source = o->target = name->column;
    return status;
}

static sl_status declare_name(planner *p, uint32_t field) {
    const char *path = p->plan->schema->fields[field].path;
    return name_find(p, path) != NULL ? SL_OK : name_add(p, path, field);
}

/** New columns, and the objects around them, get names. */
static sl_status add_enrichment(planner *p, const sl_step_definition *d) {
    const sl_expression_name *from = name_find(p, d->from);
    if (from == NULL)
        return unknown(p, d->from);
    if (from->type == SL_TYPE_GROUP || (d->kind != SL_STEP_LOOKUP && from->type != SL_TYPE_STRING))
        return sl_error_set(p->error, SL_ETYPE, "'%.100s' is of type %s; expected a %s", d->from, sl_type_name(from->type),
                            d->kind == SL_STEP_LOOKUP ? "single value" : "string");
    /* Nothing would ever be found by it. */
    if (d->kind == SL_STEP_LOOKUP && (from->type == SL_TYPE_DOUBLE || from->type == SL_TYPE_JSON || from->type == SL_TYPE_BYTES))
        return sl_error_set(p->error, SL_ETYPE, "'%.100s' is of type %s, by which no row is found: cast it to integer or string "
                            "in a step before", d->from, sl_type_name(from->type));
    uint32_t source = from->column, first = p->plan->schema->count, count = 0;
    const uint32_t *fields;
    sl_status status = enrichment_declare(p->plan, d, &fields, &count, p->error);
    for (uint32_t f = first; f < p->plan->schema->count && status == SL_OK; f++)
        if (p->plan->schema->fields[f].type == SL_TYPE_GROUP)
            status = declare_name(p, f);
    for (uint32_t i = 0; i < count && status == SL_OK; i++)
        if (fields[i] != SL_NO_FIELD)
            status = declare_name(p, fields[i]);
    operation *o;
    if (status == SL_OK)
        status = operation_add(p, OPERATION_ENRICH, &o);
    if (status == SL_OK) {
        o->source = source;
        o->fields = fields;
        o->field_count = count;
    }
    return status;
}

static sl_status add_item(planner *p, const sl_step_definition *d, const sl_step_item *item) {
    operation *o;
    switch (d->kind) {
    case SL_STEP_REQUIRE:
        return add_require(p, item);
    case SL_STEP_WHERE:
        return condition(p, OPERATION_WHERE, item->text, &o);
    case SL_STEP_SET:
        return add_set(p, item, false);
    case SL_STEP_DEFAULT:
        return add_set(p, item, true);
    case SL_STEP_CAST:
        return add_cast(p, item);
    case SL_STEP_RENAME:
        return add_rename(p, item);
    case SL_STEP_DROP:
        return add_drop(p, item);
    case SL_STEP_TRIM:
        return add_text(p, OPERATION_TRIM, item);
    case SL_STEP_LOWER:
        return add_text(p, OPERATION_LOWER, item);
    case SL_STEP_REDACT:
        return add_text(p, OPERATION_REDACT, item);
    case SL_STEP_HASH:
        return add_text(p, OPERATION_HASH, item);
    case SL_STEP_USER_AGENT: /* They have no items. */
    case SL_STEP_GEOIP:
    case SL_STEP_LOOKUP:
    case SL_STEP_KINDS:
        break;
    }
    return sl_error_set(p->error, SL_EINVAL, "no such step");
}

/* --- what tables see --- */

static sl_status output_add(planner *p, uint32_t parent, const char *name, size_t length, uint32_t column,
                            uint32_t *out) {
    sl_steps *plan = p->plan;
    const sl_field *from = column == ALWAYS ? NULL : &plan->schema->fields[column];
    *out = sl_schema_add(plan->output, parent, name, length, from == NULL ? SL_TYPE_GROUP : from->type);
    uint32_t *columns = *out == SL_NO_FIELD ? NULL : sl_realloc(plan->columns, (*out + 1) * sizeof *columns);
    if (columns == NULL)
        return nomem(p);
    plan->columns = columns;
    columns[*out] = column;
    sl_field *f = &plan->output->fields[*out];
    if (from == NULL) {
        f->origin = SL_ORIGIN_STEP;
        return SL_OK;
    }
    f->origin = from->origin;
    f->required = from->required;
    f->nullable = from->nullable;
    f->precision = from->precision;
    f->scale = from->scale;
    return SL_OK;
}

static bool is_seen(const planner *p, uint32_t column) {
    for (uint32_t i = 0; i < p->name_count; i++)
        if (p->names[i].column == column)
            return true;
    return false;
}

/** Does the object still have a member? */
static bool is_used(const planner *p, uint32_t group) {
    for (uint32_t i = 0; i < p->name_count; i++) {
        if (p->names[i].type == SL_TYPE_GROUP)
            continue;
        for (uint32_t f = p->names[i].column; f != 0; f = p->input->fields[f].parent) {
            if (f >= p->input->count)
                break; /* A step's own. */
            if (f == group)
                return true;
        }
    }
    return false;
}

/** The event's own, in the order of its schema. */
static sl_status output_event(planner *p) {
    uint32_t *of = sl_calloc(p->input->count, sizeof *of);
    sl_status status = of != NULL ? SL_OK : nomem(p);
    for (uint32_t i = 1; i < p->input->count && status == SL_OK; i++) {
        const sl_field *f = &p->input->fields[i];
        if (f->type == SL_TYPE_GROUP ? !is_used(p, i) : !is_seen(p, i))
            continue;
        status = output_add(p, of[f->parent], f->name, f->name_length, i, &of[i]);
        if (i == p->input->rest)
            p->plan->output->rest = of[i];
    }
    sl_free(of);
    return status;
}

/** The object of that path in batches, or ALWAYS. */
static uint32_t object_of(const sl_schema *schema, const char *path, size_t length) {
    for (uint32_t f = 1; f < schema->count; f++)
        if (schema->fields[f].type == SL_TYPE_GROUP && strlen(schema->fields[f].path) == length &&
            memcmp(schema->fields[f].path, path, length) == 0)
            return f;
    return ALWAYS;
}

/** A step's column, below objects that are there or are made for it. */
static sl_status output_path(planner *p, const sl_expression_name *name) {
    sl_status status = SL_OK;
    uint32_t parent = 0;
    const char *at = name->path;
    for (const char *dot; (dot = strchr(at, '.')) != NULL && status == SL_OK; at = dot + 1) {
        uint32_t child = sl_schema_child(p->plan->output, parent, at, (size_t)(dot - at));
        if (child == SL_NO_FIELD)
            status = output_add(p, parent, at, (size_t)(dot - at),
                                object_of(p->plan->schema, name->path, (size_t)(dot - name->path)), &child);
        else if (p->plan->output->fields[child].type != SL_TYPE_GROUP)
            status = sl_error_set(p->error, SL_EEXIST, "'%.100s' can't be below '%.*s', which is no object", name->path,
                                  (int)(dot - name->path), name->path);
        parent = child;
    }
    if (status == SL_OK && sl_schema_child(p->plan->output, parent, at, strlen(at)) != SL_NO_FIELD)
        status = sl_error_set(p->error, SL_EEXIST, "there are two fields '%.100s'", name->path);
    return status == SL_OK ? output_add(p, parent, at, strlen(at), name->column, &parent) : status;
}

/* --- objects that steps make where the event has none --- */

/** Around a member by its place, around a step's own column by its path; the innermost first. @return how many. */
static uint32_t objects_around(const planner *p, uint32_t field, uint32_t out[SL_DEPTH_MAX]) {
    const sl_field *fields = p->plan->schema->fields;
    uint32_t count = 0;
    for (uint32_t at = fields[field].parent; at != 0; at = fields[at].parent)
        out[count++] = at;
    if (fields[field].parent != 0 || field < p->input->count)
        return count;
    const char *path = fields[field].path;
    for (size_t length = strlen(path); length-- > 0 && count < SL_DEPTH_MAX;) {
        uint32_t object = path[length] == '.' ? object_of(p->plan->schema, path, length) : ALWAYS;
        if (object != ALWAYS)
            out[count++] = object;
    }
    return count;
}

/** What tables see of the column may be null. */
static void loosen(planner *p, uint32_t column) {
    for (uint32_t f = 1; f < p->plan->output->count; f++)
        if (p->plan->columns[f] == column) {
            p->plan->output->fields[f].required = false;
            p->plan->output->fields[f].nullable = true;
        }
}

/** An object that a step makes lacks the members that the event's own always has. */
static sl_status make_objects(planner *p, operation *o, uint32_t field) {
    const sl_field *fields = p->plan->schema->fields;
    uint32_t around[SL_DEPTH_MAX], count = objects_around(p, field, around);
    o->objects = sl_arena_get(&p->plan->arena, (count + 1) * sizeof *o->objects);
    if (o->objects == NULL)
        return nomem(p);
    o->object_count = 0;
    while (count-- > 0) {
        if (!fields[around[count]].nullable && o->object_count == 0)
            continue; /* It is always there. */
        o->objects[o->object_count++] = around[count];
        for (uint32_t f = fields[around[count]].first_child; f != SL_NO_FIELD; f = fields[f].next_sibling)
            loosen(p, f);
    }
    return SL_OK;
}

static sl_status all_objects(planner *p) {
    sl_steps *plan = p->plan;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < plan->operation_count && status == SL_OK; i++) {
        operation *o = &plan->operations[i];
        uint32_t count = o->field_count;
        if (o->kind == OPERATION_SET)
            loosen(p, o->target); /* An expression that fails leaves null. */
        if (o->kind == OPERATION_MAKE || o->kind == OPERATION_SET || o->kind == OPERATION_DEFAULT || o->kind == OPERATION_COPY)
            status = make_objects(p, o, o->target);
        for (uint32_t k = 0; o->kind == OPERATION_ENRICH && k < count && status == SL_OK; k++)
            if (o->fields[k] != SL_NO_FIELD)
                status = make_objects(p, o, o->fields[k]);
    }
    return status;
}

static sl_status make_output(planner *p) {
    sl_steps *plan = p->plan;
    plan->output = sl_schema_create(p->input->name);
    plan->columns = sl_calloc(1, sizeof *plan->columns);
    if (plan->output == NULL || plan->columns == NULL)
        return nomem(p);
    plan->output->version = p->input->version;
    plan->output->closed = p->input->closed;
    sl_status status = output_event(p);
    for (uint32_t i = 0; i < p->name_count && status == SL_OK; i++)
        if (p->names[i].column >= p->input->count && p->names[i].type != SL_TYPE_GROUP)
            status = output_path(p, &p->names[i]);
    if (status == SL_OK && plan->output->count == 1)
        return sl_error_set(p->error, SL_EINVAL, "no field is left");
    return status;
}

/* --- the whole --- */

static sl_status plan_all(planner *p) {
    sl_steps *plan = p->plan;
    sl_status status = SL_OK;
    for (uint32_t f = 1; f < p->input->count && status == SL_OK; f++)
        status = name_add(p, p->input->fields[f].path, f);
    for (p->step = 0; p->step < plan->count && status == SL_OK; p->step++) {
        const sl_step_definition *d = &plan->definitions[p->step];
        p->item = 0;
        if (d->from != NULL)
            status = add_enrichment(p, d);
        for (; p->item < d->count && status == SL_OK; p->item++)
            status = add_item(p, d, &d->items[p->item]);
        if (status != SL_OK) {
            p->item -= p->item != 0;
            break;
        }
    }
    if (status == SL_OK)
        status = make_output(p);
    return status == SL_OK ? all_objects(p) : status;
}

sl_status sl_steps_create(const sl_step_definition *definitions, uint32_t count, const sl_schema *schema,
                          const char *event_time, sl_steps **out, uint32_t *wrong, sl_error *error) {
    *out = NULL;
    *wrong = 0;
    sl_steps *plan = sl_calloc(1, sizeof *plan);
    if (plan == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    atomic_init(&plan->references, 1);
    sl_arena_init(&plan->arena, 4096);
    plan->definitions = definitions;
    plan->count = count;
    plan->schema = sl_schema_copy(schema);
    planner p = {.plan = plan, .input = schema, .event_time = event_time, .error = error};
    sl_status status = plan->schema != NULL ? plan_all(&p) : nomem(&p);
    sl_free(p.names);
    if (status != SL_OK) {
        *wrong = p.step << 16 | p.item;
        sl_steps_unref(plan);
        return status;
    }
    *out = plan;
    return SL_OK;
}

sl_steps *sl_steps_ref(sl_steps *steps) {
    /* Relaxed: whoever takes another reference holds one. */
    atomic_fetch_add_explicit(&steps->references, 1, memory_order_relaxed);
    return steps;
}

void sl_steps_unref(sl_steps *steps) {
    /* Release our use, acquire all others' before freeing. */
    if (steps == NULL || atomic_fetch_sub_explicit(&steps->references, 1, memory_order_acq_rel) != 1)
        return;
    sl_schema_unref(steps->schema);
    sl_schema_unref(steps->output);
    sl_free(steps->columns);
    sl_free(steps->operations);
    sl_arena_fini(&steps->arena);
    sl_free(steps);
}

const sl_schema *sl_steps_schema(const sl_steps *steps) { return steps->schema; }
const sl_schema *sl_steps_output(const sl_steps *steps) { return steps->output; }
