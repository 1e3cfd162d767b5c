// The exact form of a schema that the ledger keeps, one JSON object:
//   {"sluice_schema":1,"name":"clicks","version":3,"inferred":true,"frozen":false,"closed":false,
//    "rest":2,"fields":[["amount","double","event",0,false,true,0,0], ...]}
// A field is [name, type, origin, parent, required, nullable, precision, scale]; the root
// is left out, so the first has index 1. Paths and links follow from `parent`.

#include "sluice/schema.h"

#include <inttypes.h>
#include <jansson.h>

#define DECIMAL_DIGITS_MAX 18
#define DECLARED_FIELDS_MAX (SL_FIELDS_MAX * 10u)
#define STORED_FORM 1

static const char *const origin_names[] = {
    [SL_ORIGIN_EVENT] = "event",
    [SL_ORIGIN_REST] = "rest",
    [SL_ORIGIN_PROCESSED_AT] = "processed_at",
    [SL_ORIGIN_SOURCE] = "source",
    [SL_ORIGIN_STEP] = "step",
};

static const char *truth(bool value) { return value ? "true" : "false"; }

void sl_schema_store(const sl_schema *schema, sl_buffer *out) {
    sl_buffer_printf(out, "{\"sluice_schema\":%d,\"name\":", STORED_FORM);
    sl_buffer_json_string(out, schema->name, strlen(schema->name));
    sl_buffer_printf(
        out, ",\"version\":%" PRIu32 ",\"inferred\":%s,\"frozen\":%s,\"closed\":%s",
        schema->version, truth(schema->inferred), truth(schema->frozen),
        truth(schema->closed));
    if (schema->rest != SL_NO_FIELD)
        sl_buffer_printf(out, ",\"rest\":%" PRIu32, schema->rest);
    sl_buffer_text(out, ",\"fields\":[");
    for (uint32_t i = 1; i < schema->count; i++) {
        const sl_field *field = &schema->fields[i];
        sl_buffer_text(out, i == 1 ? "[" : ",[");
        sl_buffer_json_string(out, field->name, field->name_length);
        sl_buffer_printf(out, ",\"%s\",\"%s\",%" PRIu32 ",%s,%s,%u,%u]",
                         sl_type_name(field->type), origin_names[field->origin],
                         field->parent, truth(field->required), truth(field->nullable),
                         field->precision, field->scale);
    }
    sl_buffer_text(out, "]}");
}

static bool load_type(json_t *text, sl_type *out) {
    const char *name = json_string_value(text);
    for (int i = SL_TYPE_GROUP; name != NULL && i <= SL_TYPE_BYTES; i++) {
        if (strcmp(name, sl_type_name((sl_type)i)) == 0) {
            *out = (sl_type)i;
            return true;
        }
    }
    return false;
}

static bool load_origin(json_t *text, sl_origin *out) {
    const char *name = json_string_value(text);
    for (size_t i = 0; name != NULL && i < sizeof origin_names / sizeof *origin_names;
         i++) {
        if (strcmp(name, origin_names[i]) == 0) {
            *out = (sl_origin)i;
            return true;
        }
    }
    return false;
}

static bool load_number(json_t *number, json_int_t limit, json_int_t *out) {
    *out = json_integer_value(number);
    return json_is_integer(number) && *out >= 0 && *out < limit;
}

static sl_status load_field(sl_schema *schema, json_t *item) {
    json_t *name = json_array_get(item, 0);
    json_t *required = json_array_get(item, 4), *nullable = json_array_get(item, 5);
    sl_type type = SL_TYPE_GROUP;
    sl_origin origin = SL_ORIGIN_EVENT;
    json_int_t parent = 0, precision = 0, scale = 0;
    if (json_array_size(item) != 8 || !json_is_string(name) ||
        !load_type(json_array_get(item, 1), &type) ||
        !load_origin(json_array_get(item, 2), &origin) ||
        !load_number(json_array_get(item, 3), schema->count, &parent) ||
        !json_is_boolean(required) || !json_is_boolean(nullable) ||
        !load_number(json_array_get(item, 6), DECIMAL_DIGITS_MAX + 1, &precision) ||
        !load_number(json_array_get(item, 7), precision + 1, &scale))
        return SL_ECORRUPT;
    if (schema->count >= DECLARED_FIELDS_MAX + 1 ||
        schema->fields[parent].type != SL_TYPE_GROUP)
        return SL_ECORRUPT;
    uint32_t index = sl_schema_add(schema, (uint32_t)parent, json_string_value(name),
                                   json_string_length(name), type);
    if (index == SL_NO_FIELD)
        return SL_ENOMEM;
    sl_field *field = &schema->fields[index];
    field->origin = origin;
    field->required = json_is_true(required);
    field->nullable = json_is_true(nullable);
    field->precision = (uint8_t)precision;
    field->scale = (uint8_t)scale;
    return SL_OK;
}

static sl_status load_all(json_t *root, sl_schema *schema) {
    json_t *inferred = json_object_get(root, "inferred");
    json_t *frozen = json_object_get(root, "frozen");
    json_t *closed = json_object_get(root, "closed");
    json_t *fields = json_object_get(root, "fields");
    json_int_t version = 0, rest = 0;
    if (!json_is_boolean(inferred) || !json_is_boolean(frozen) ||
        !json_is_boolean(closed) || !json_is_array(fields) ||
        !load_number(json_object_get(root, "version"), UINT32_MAX, &version))
        return SL_ECORRUPT;
    for (size_t i = 0; i < json_array_size(fields); i++) {
        sl_status status = load_field(schema, json_array_get(fields, i));
        if (status != SL_OK)
            return status;
    }
    schema->version = (uint32_t)version;
    schema->inferred = json_is_true(inferred);
    schema->frozen = json_is_true(frozen);
    schema->closed = json_is_true(closed);
    if (json_object_get(root, "rest") == NULL)
        return SL_OK;
    if (!load_number(json_object_get(root, "rest"), schema->count, &rest) ||
        schema->fields[rest].origin != SL_ORIGIN_REST ||
        schema->fields[rest].type != SL_TYPE_JSON)
        return SL_ECORRUPT;
    schema->rest = (uint32_t)rest;
    return SL_OK;
}

sl_status sl_schema_load(const char *json, size_t length, sl_schema **out,
                         sl_error *error) {
    json_error_t fault = {0};
    json_t *root = json_loadb(json, length, JSON_REJECT_DUPLICATES, &fault);
    const char *name = json_string_value(json_object_get(root, "name"));
    sl_schema *schema = NULL;
    sl_status status = SL_ECORRUPT;
    *out = NULL;
    // jansson leaves the text empty where an allocation of its own failed.
    if (root == NULL &&
        (fault.text[0] == 0 || json_error_code(&fault) == json_error_out_of_memory))
        status = SL_ENOMEM;
    if (name == NULL ||
        json_integer_value(json_object_get(root, "sluice_schema")) != STORED_FORM)
        goto out;
    schema = sl_schema_create(name);
    status = schema == NULL ? SL_ENOMEM : load_all(root, schema);
    if (status == SL_OK) {
        *out = schema;
        schema = NULL;
    }
out:
    if (status != SL_OK)
        sl_error_set(error, status, "stored schema: %s", sl_status_text(status));
    sl_schema_unref(schema);
    json_decref(root);
    return status;
}
