/* The immutable shape in which a batch of a stream is decoded and processed. */
#include "partition.h"
#include "state.h"

#include "sluice/checkpoint.h"
#include "sluice/contract.h"
#include "sluice/steps.h"
#include "sluice/window.h"

#include <stdio.h>

shape *shape_ref(shape *s) {
    /* Relaxed: whoever takes another reference holds one. */
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void shape_unref(shape *s) {
    /* Release our use, acquire all others' before freeing. */
    if (s == NULL || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < s->table_count; i++) {
        sl_window_plan_destroy(s->plans[i]);
        sl_free(s->partition_fields[i]);
    }
    sl_schema_unref(s->schema);
    sl_schema_unref(s->decoded);
    sl_steps_unref(s->steps);
    sl_contract_split_unref(s->split);
    sl_free(s);
}

/* The configured event time, or an inferred stream's obvious one: the first member of the root that is a
 * TIMESTAMP under such a name. */
static uint32_t event_time_field(const stream *s, const sl_schema *schema) {
    if (s->config != NULL && s->config->event_time != NULL)
        return sl_schema_find(schema, s->config->event_time);
    if (!s->inferred)
        return SL_NO_FIELD;
    for (uint32_t f = schema->fields[0].first_child; f != SL_NO_FIELD;
         f = schema->fields[f].next_sibling)
        if (schema->fields[f].type == SL_TYPE_TIMESTAMP &&
            schema->fields[f].origin == SL_ORIGIN_EVENT &&
            sl_schema_time_name(schema->fields[f].name, schema->fields[f].name_length))
            return f;
    return SL_NO_FIELD;
}

static sl_status shape_table(shape *out, const table *t, sl_error *error) {
    const sl_schema *schema = out->schema;
    if (sl_table_has_panes(t->kind)) {
        sl_window_definition definition = *t->window;
        definition.event_time =
            out->event_time != SL_NO_FIELD ? schema->fields[out->event_time].path : NULL;
        return sl_window_plan_create(&definition, schema, &out->plans[t->slot], error);
    }
    if (t->kind != SL_TABLE_LAKE || t->lake->partition_count == 0)
        return SL_OK;
    uint32_t *fields = sl_calloc(t->lake->partition_count, sizeof *fields);
    if (fields == NULL)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", t->name);
    for (uint32_t i = 0; i < t->lake->partition_count; i++) {
        const char *path = t->lake->partition_by[i];
        fields[i] = strcmp(path, "date") == 0   ? PARTITION_DATE
                    : strcmp(path, "hour") == 0 ? PARTITION_HOUR
                                                : sl_schema_find(schema, path);
    }
    out->partition_fields[t->slot] = fields;
    return SL_OK;
}

sl_status shape_create(sl_engine *e, stream *s, sl_schema *schema, shape **out, sl_error *error) {
    (void)e;
    shape *result = sl_calloc(1, sizeof *result);
    if (result == NULL) {
        sl_schema_unref(schema);
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name);
    }
    atomic_init(&result->references, 1);
    result->of = s;
    result->decoded = schema;
    result->schema = sl_schema_ref(schema);
    if (s->config != NULL && s->config->plan != NULL) {
        result->steps = sl_steps_ref(s->config->plan);
        sl_schema_unref(result->decoded);
        sl_schema_unref(result->schema);
        result->decoded = sl_schema_ref(sl_steps_schema(result->steps));
        result->schema = sl_schema_ref(sl_steps_output(result->steps));
    }
    if (s->config != NULL && s->config->contract != NULL &&
        sl_contract_split_create(s->config->contract, result->decoded, &result->split) != SL_OK) {
        shape_unref(result);
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name);
    }
    if (result->split != NULL && sl_contract_split_is_empty(result->split)) {
        sl_contract_split_unref(result->split);
        result->split = NULL;
    }
    result->table_count = s->table_count;
    result->event_time = event_time_field(s, result->schema);
    result->decoded_time = event_time_field(s, result->decoded);
    result->deduped = s->config != NULL && s->config->dedupe_us != 0;
    result->id = s->config != NULL && s->config->warehouse.id != NULL ? sl_schema_find(result->schema, s->config->warehouse.id)
                                                                     : SL_NO_FIELD;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < s->table_count && status == SL_OK; i++)
        status = shape_table(result, s->tables[i], error);
    if (status != SL_OK) {
        shape_unref(result);
        return status;
    }
    *out = result;
    return SL_OK;
}

sl_schema *letters_schema(void) {
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {
        {"stream", SL_TYPE_STRING},   {"stage", SL_TYPE_STRING},
        {"code", SL_TYPE_STRING},     {"path", SL_TYPE_STRING},
        {"message", SL_TYPE_STRING},  {"at", SL_TYPE_INT64},
        {"raw", SL_TYPE_BYTES},       {"partition", SL_TYPE_STRING},
        {"position", SL_TYPE_INT64},  {"index", SL_TYPE_INT64},
        {"schema_version", SL_TYPE_INT64}, {"arrived", SL_TYPE_TIMESTAMP},
        {"source", SL_TYPE_STRING},   {"named", SL_TYPE_STRING},
        {"format", SL_TYPE_STRING},   {"header", SL_TYPE_STRING},
    };
    sl_schema *schema = sl_schema_create("dead_letters");
    for (size_t i = 0; schema != NULL && i < sizeof fields / sizeof *fields; i++) {
        uint32_t f = sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name), fields[i].type);
        if (f == SL_NO_FIELD) {
            sl_schema_unref(schema);
            return NULL;
        }
        schema->fields[f].required = i + 1 < sizeof fields / sizeof *fields; /* JSON has no header. */
        schema->fields[f].nullable = !schema->fields[f].required;
    }
    return schema;
}
