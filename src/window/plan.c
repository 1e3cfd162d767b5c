// A window's definition resolved against its stream's schema.

#include "measure.h"
#include "private.h"

#define SPAN_MAX                                                                         \
    (INT64_C(1) << 60) // 36,000 years: sums of times stay far from int64's ends.

static sl_status check(const sl_window_definition *definition, sl_error *error) {
    if (definition->width_us <= 0)
        return sl_error_set(error, SL_EINVAL, "its width must be above zero");
    if (definition->width_us > SPAN_MAX || definition->offset_us > SPAN_MAX ||
        definition->offset_us < -SPAN_MAX)
        return sl_error_set(error, SL_EINVAL, "its width or offset is beyond all times");
    if (definition->lateness_us < 0)
        return sl_error_set(error, SL_EINVAL, "its lateness is below zero");
    return SL_OK;
}

static sl_status unknown_field(const sl_schema *schema, const char *path,
                               sl_error *error) {
    const char *nearest = sl_window_nearest_field(schema, path, strlen(path));
    if (nearest == NULL)
        return sl_error_set(error, SL_ENOTFOUND, "no field '%s' in stream %s", path,
                            schema->name);
    return sl_error_set(error, SL_ENOTFOUND,
                        "no field '%s' in stream %s; did you mean '%s'?", path,
                        schema->name, nearest);
}

static sl_status resolve_time(sl_window_plan *plan, const char *path, sl_error *error) {
    plan->event_time = SL_NO_FIELD;
    if (path == NULL)
        return SL_OK;
    uint32_t field = sl_schema_find(plan->schema, path);
    if (field == SL_NO_FIELD)
        return plan->schema->inferred ? SL_OK : unknown_field(plan->schema, path, error);
    sl_type type = plan->schema->fields[field].type;
    if (type != SL_TYPE_TIMESTAMP && type != SL_TYPE_DATE)
        return sl_error_set(error, SL_ETYPE,
                            "event_time '%s' must be a timestamp or a date, and is %s",
                            path, sl_type_name(type));
    plan->event_time = field;
    plan->event_time_type = type;
    return SL_OK;
}

static sl_status resolve_key(sl_window_plan *plan, uint32_t index, const char *path,
                             sl_error *error) {
    sl_window_key *key = &plan->keys[index];
    key->name = sl_strdup(path);
    if (key->name == NULL)
        return sl_error_set(error, SL_ENOMEM, "no memory");
    for (char *c = key->name; *c != '\0'; c++)
        *c = *c == '.' ? '_' : *c;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(plan->keys[i].name, key->name) == 0)
            return sl_error_set(error, SL_EINVAL, "by: two columns named '%s'",
                                key->name);
    key->field = sl_schema_find(plan->schema, path);
    key->type = SL_TYPE_STRING;
    if (key->field == SL_NO_FIELD)
        return plan->schema->inferred ? SL_OK : unknown_field(plan->schema, path, error);
    key->type = plan->schema->fields[key->field].type;
    key->scale = plan->schema->fields[key->field].scale;
    if (key->type == SL_TYPE_GROUP)
        return sl_error_set(error, SL_ETYPE, "by: '%s' is an object, not a value", path);
    return SL_OK;
}

static bool needs_state(sl_measure_kind kind) {
    return kind == SL_MEASURE_AVG || kind == SL_MEASURE_UNIQUE ||
           kind == SL_MEASURE_QUANTILE;
}

static sl_type number_type(sl_measure_kind kind, sl_type argument) {
    switch (kind) {
    case SL_MEASURE_COUNT:
    case SL_MEASURE_UNIQUE:
        return SL_TYPE_INT64;
    case SL_MEASURE_SUM:
    case SL_MEASURE_MIN:
    case SL_MEASURE_MAX:
        return argument;
    case SL_MEASURE_AVG:
    case SL_MEASURE_QUANTILE:
    case SL_MEASURE_DERIVED:
        break;
    }
    return SL_TYPE_DOUBLE;
}

static sl_status name_measure(sl_window_plan *plan, uint32_t index, const char *name,
                              sl_error *error) {
    if (name == NULL || *name == '\0')
        return sl_error_set(error, SL_EINVAL, "a measure needs a name");
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(plan->measures[i].name, name) == 0)
            return sl_error_set(error, SL_EINVAL, "two measures with this name");
    for (uint32_t i = 0; i < plan->key_count; i++)
        if (strcmp(plan->keys[i].name, name) == 0)
            return sl_error_set(error, SL_EINVAL, "a column of `by` has this name too");
    plan->measures[index].name = sl_strdup(name);
    return plan->measures[index].name == NULL
               ? sl_error_set(error, SL_ENOMEM, "no memory")
               : SL_OK;
}

static sl_status resolve_measure(sl_window_plan *plan, uint32_t index,
                                 const sl_measure_definition *definition,
                                 sl_error *error) {
    sl_status status = name_measure(plan, index, definition->name, error);
    sl_measure_text text = {0};
    if (status == SL_OK)
        status = sl_measure_text_read(definition->text, plan->schema, &text, error);
    sl_measure *measure = &plan->measures[index];
    measure->kind = text.kind;
    measure->argument = text.argument;
    measure->type = number_type(text.kind, text.argument);
    measure->scale = measure->type == SL_TYPE_INT64 ? 0 : text.scale;
    measure->quantile = text.quantile;
    measure->state = needs_state(text.kind);
    plan->aims[index].source = (sl_window_source){text.field, text.expression};
    plan->aims[index].slot = plan->slot_bytes;
    if (status == SL_OK)
        plan->slot_bytes += sl_slot_bytes(measure);
    if (status != SL_OK)
        (void)sl_error_context(error, "measure %s",
                               definition->name ? definition->name : "?");
    return status;
}

// Measures that an expression can see: the aggregates, and the derived ones that were
// resolved before.
static void collect_names(const sl_window_plan *plan, sl_expression_name *names) {
    for (uint32_t i = 0; i < plan->order_count; i++) {
        const sl_measure *measure = &plan->measures[plan->order[i]];
        names[i] = (sl_expression_name){measure->name, measure->type, measure->scale, i};
    }
}

static sl_status learn_type(sl_measure *measure, sl_error *error) {
    measure->type = sl_expression_type(measure->derived);
    measure->scale = sl_expression_scale(measure->derived);
    if (measure->type != SL_TYPE_INT64 && measure->type != SL_TYPE_DOUBLE &&
        measure->type != SL_TYPE_DECIMAL)
        return sl_error_set(error, SL_ETYPE, "it gives a %s; a measure is a number",
                            sl_type_name(measure->type));
    return SL_OK;
}

static sl_status resolve_derived(sl_window_plan *plan, uint32_t index, const char *text,
                                 sl_error *error) {
    sl_measure *measure = &plan->measures[index];
    sl_expression_name *names = sl_calloc(plan->order_count + 1u, sizeof *names);
    if (names == NULL)
        return sl_error_set(error, SL_ENOMEM, "no memory");
    collect_names(plan, names);
    sl_status status = sl_expression_compile_names(text, names, plan->order_count, true,
                                                   &measure->derived, error);
    sl_free(names);
    if (status == SL_OK)
        status = learn_type(measure, error);
    if (status == SL_OK)
        plan->order[plan->order_count++] = index;
    if (status != SL_OK)
        (void)sl_error_context(error, "measure %s", measure->name);
    return status;
}

static sl_status create_derived(sl_window_plan *plan, sl_error *error) {
    sl_window_derived *derived = sl_calloc(1, sizeof *derived);
    if (derived == NULL)
        return sl_error_set(error, SL_ENOMEM, "no memory");
    derived->values = sl_calloc(plan->measure_count, sizeof *derived->values);
    if (derived->values == NULL || pthread_mutex_init(&derived->lock, NULL) != 0) {
        sl_free(derived->values);
        sl_free(derived);
        return sl_error_set(error, SL_ENOMEM, "no memory");
    }
    plan->derived = derived;
    return SL_OK;
}

static sl_status resolve_measures(sl_window_plan *plan,
                                  const sl_measure_definition *measures,
                                  sl_error *error) {
    bool any_derived = false;
    for (uint32_t i = 0; i < plan->measure_count; i++) {
        sl_status status = resolve_measure(plan, i, &measures[i], error);
        if (status != SL_OK)
            return status;
        if (plan->measures[i].kind == SL_MEASURE_DERIVED)
            any_derived = true;
        else
            plan->order[plan->order_count++] = i;
    }
    sl_status status = any_derived ? create_derived(plan, error) : SL_OK;
    for (uint32_t i = 0; i < plan->measure_count && status == SL_OK; i++)
        if (plan->measures[i].kind == SL_MEASURE_DERIVED)
            status = resolve_derived(plan, i, measures[i].text, error);
    return status;
}

static sl_window_plan *allocate(const sl_window_definition *definition,
                                const sl_schema *schema) {
    sl_window_plan *plan = sl_calloc(1, sizeof *plan);
    if (plan == NULL)
        return NULL;
    plan->width_us = definition->width_us;
    plan->lateness_us = definition->lateness_us;
    plan->offset_us = definition->offset_us;
    plan->key_count = definition->by_count;
    plan->measure_count = definition->measure_count;
    plan->schema = sl_schema_ref(schema);
    plan->name = sl_strdup(definition->name);
    plan->keys = sl_calloc(plan->key_count + 1u, sizeof *plan->keys);
    plan->measures = sl_calloc(plan->measure_count + 1u, sizeof *plan->measures);
    plan->aims = sl_calloc(plan->measure_count + 1u, sizeof *plan->aims);
    plan->order = sl_calloc(plan->measure_count + 1u, sizeof *plan->order);
    bool complete = plan->name != NULL && plan->keys != NULL && plan->measures != NULL &&
                    plan->aims != NULL && plan->order != NULL;
    if (!complete) {
        plan->key_count = plan->keys == NULL ? 0 : plan->key_count;
        if (plan->measures == NULL || plan->aims == NULL)
            plan->measure_count = 0;
        sl_window_plan_destroy(plan);
        return NULL;
    }
    return plan;
}

static sl_status report(const sl_window_definition *definition, sl_status status,
                        sl_error *error) {
    (void)sl_error_context(error, "window %s", definition->name);
    return status;
}

sl_status sl_window_plan_create(const sl_window_definition *definition,
                                const sl_schema *schema, sl_window_plan **out,
                                sl_error *error) {
    *out = NULL;
    sl_status status = check(definition, error);
    if (status != SL_OK)
        return report(definition, status, error);
    sl_window_plan *plan = allocate(definition, schema);
    if (plan == NULL)
        return sl_error_set(error, SL_ENOMEM, "window %s: no memory", definition->name);
    status = resolve_time(plan, definition->event_time, error);
    for (uint32_t i = 0; status == SL_OK && i < plan->key_count; i++)
        status = resolve_key(plan, i, definition->by[i], error);
    if (status == SL_OK)
        status = resolve_measures(plan, definition->measures, error);
    if (status != SL_OK) {
        sl_window_plan_destroy(plan);
        return report(definition, status, error);
    }
    *out = plan;
    return SL_OK;
}

void sl_window_plan_destroy(sl_window_plan *plan) {
    if (plan == NULL)
        return;
    for (uint32_t i = 0; i < plan->key_count; i++)
        sl_free(plan->keys[i].name);
    for (uint32_t i = 0; i < plan->measure_count; i++) {
        sl_free(plan->measures[i].name);
        if (plan->measures[i].derived != NULL)
            sl_expression_destroy(plan->measures[i].derived);
        sl_free(plan->aims[i].source.expression);
    }
    if (plan->derived != NULL) {
        pthread_mutex_destroy(&plan->derived->lock);
        sl_free(plan->derived->values);
        sl_free(plan->derived);
    }
    sl_free(plan->keys);
    sl_free(plan->measures);
    sl_free(plan->aims);
    sl_free(plan->order);
    sl_free(plan->name);
    sl_schema_unref(plan->schema);
    sl_free(plan);
}


int64_t sl_window_plan_width(const sl_window_plan *plan) { return plan->width_us; }

int64_t sl_window_plan_lateness(const sl_window_plan *plan) { return plan->lateness_us; }

const sl_measure *sl_window_plan_measures(const sl_window_plan *plan, uint32_t *count) {
    *count = plan->measure_count;
    return plan->measures;
}

const sl_window_key *sl_window_plan_keys(const sl_window_plan *plan, uint32_t *count) {
    *count = plan->key_count;
    return plan->keys;
}
