// JSON Schema to columns, and the exact form that the ledger keeps.
//
// A keyword that isn't understood is an error with its JSON pointer, never ignored: a
// schema that is half obeyed lets data through that its author believes to be refused.
//
// Stored form, one JSON object:
//   {"sluice_schema":1,"name":"clicks","version":3,"inferred":true,"frozen":false,"closed":false,
//    "rest":2,"fields":[["amount","double","event",0,false,true,0,0], ...]}
// A field is [name, type, origin, parent, required, nullable, precision, scale]; the root
// is left out, so the first has index 1. Paths and links follow from `parent`.

#include "sluice/schema.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>

#define DECIMAL_DIGITS_MAX 18
#define DECLARED_FIELDS_MAX (SL_FIELDS_MAX * 10u)
#define REST_NAME "_rest"
#define STORED_FORM 1
#define POINTER_SHOWN_MAX 300u

static const char *const origin_names[] = {
    [SL_ORIGIN_EVENT] = "event",
    [SL_ORIGIN_REST] = "rest",
    [SL_ORIGIN_PROCESSED_AT] = "processed_at",
    [SL_ORIGIN_SOURCE] = "source",
    [SL_ORIGIN_STEP] = "step",
};

// ---- JSON Schema
// -----------------------------------------------------------------------------

typedef struct reader {
    sl_schema *schema;
    sl_error *error;
    sl_buffer pointer; // RFC 6901, of where the reader is.
    unsigned depth;
} reader;

static size_t enter(reader *r, const char *key) {
    size_t before = r->pointer.length;
    sl_buffer_byte(&r->pointer, '/');
    for (; *key != 0; key++) {
        if (*key == '~')
            sl_buffer_text(&r->pointer, "~0");
        else if (*key == '/')
            sl_buffer_text(&r->pointer, "~1");
        else
            sl_buffer_byte(&r->pointer, (uint8_t)*key);
    }
    return before;
}

static void leave(reader *r, size_t before) {
    if (!r->pointer.failed)
        r->pointer.length = before;
}

// "/properties/a/minimum: text". `key` may be NULL: the schema itself. Of a long pointer
// the end is shown, so that the text fits the error.
static sl_status refuse(reader *r, sl_status status, const char *key, const char *text) {
    size_t before = r->pointer.length;
    if (key != NULL)
        before = enter(r, key);
    const char *where = sl_buffer_cstr(&r->pointer);
    size_t length = strlen(where);
    bool cut = length > POINTER_SHOWN_MAX;
    sl_error_set(r->error, status, "%s%s: %s", cut ? "..." : "",
                 length == 0 ? "/" : where + (cut ? length - POINTER_SHOWN_MAX : 0),
                 text);
    leave(r, before);
    return status;
}

static bool is_one_of(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static sl_status check_note(reader *r, const char *key, json_t *value) {
    static const char *const texts[] = {"title", "description", "$schema",
                                        "$id",   "$comment",    "format"};
    if (is_one_of(key, texts, sizeof texts / sizeof *texts) && !json_is_string(value))
        return refuse(r, SL_EINVAL, key, "is not a string");
    if (strcmp(key, "examples") == 0 && !json_is_array(value))
        return refuse(r, SL_EINVAL, key, "is not an array");
    if (strcmp(key, "deprecated") == 0 && !json_is_boolean(value))
        return refuse(r, SL_EINVAL, key, "is not a boolean");
    if (strcmp(key, "properties") == 0 && !json_is_object(value))
        return refuse(r, SL_EINVAL, key, "is not an object");
    return SL_OK;
}

static sl_status check_keywords(reader *r, json_t *node) {
    static const char *const known[] = {
        "type",        "properties", "required",
        "format",      "x-decimal",  "additionalProperties",
        "items",       "title",      "$schema",
        "description", "$id",        "$comment",
        "default",     "examples",   "deprecated"};
    const char *key;
    json_t *value;
    json_object_foreach(node, key, value) {
        if (!is_one_of(key, known, sizeof known / sizeof *known))
            return refuse(r, SL_EUNSUPPORTED, key, "this keyword is not supported");
        sl_status status = check_note(r, key, value);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

enum {
    SAYS_NULL = 1,
    SAYS_BOOLEAN = 2,
    SAYS_INTEGER = 4,
    SAYS_NUMBER = 8,
    SAYS_STRING = 16,
    SAYS_ARRAY = 32,
    SAYS_OBJECT = 64
};

static unsigned type_bit(const char *name) {
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return 1u << i;
    return 0;
}

// JSON Schema validation, section 6.1.1: a string or an array of unique strings. 0: no
// `type`.
static sl_status read_type(reader *r, json_t *node, unsigned *says) {
    json_t *type = json_object_get(node, "type");
    *says = 0;
    if (type == NULL)
        return SL_OK;
    if (json_is_string(type)) {
        *says = type_bit(json_string_value(type));
    } else if (json_is_array(type) && json_array_size(type) > 0) {
        for (size_t i = 0; i < json_array_size(type); i++) {
            json_t *item = json_array_get(type, i);
            unsigned bit = json_is_string(item) ? type_bit(json_string_value(item)) : 0;
            if (bit == 0 || (*says & bit))
                return refuse(r, SL_EINVAL, "type",
                              "is not a list of different type names");
            *says |= bit;
        }
    }
    return *says ? SL_OK : refuse(r, SL_EINVAL, "type", "is not a type name");
}

static sl_status read_decimal(reader *r, json_t *pair, unsigned *precision,
                              unsigned *scale) {
    json_t *p = json_array_get(pair, 0), *s = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(p) || !json_is_integer(s) ||
        json_integer_value(p) < 1 || json_integer_value(p) > DECIMAL_DIGITS_MAX ||
        json_integer_value(s) < 0 || json_integer_value(s) > json_integer_value(p))
        return refuse(r, SL_EINVAL, "x-decimal",
                      "is not [precision 1 to 18, scale 0 to precision]");
    *precision = (unsigned)json_integer_value(p);
    *scale = (unsigned)json_integer_value(s);
    return SL_OK;
}

typedef struct shape {
    sl_type type;
    unsigned precision, scale;
    bool null; // The schema itself says that null is allowed.
} shape;

static sl_status string_shape(reader *r, json_t *node, shape *out) {
    const char *format = json_string_value(json_object_get(node, "format"));
    out->type = SL_TYPE_STRING;
    if (format == NULL)
        return SL_OK;
    if (strcmp(format, "date-time") == 0)
        out->type = SL_TYPE_TIMESTAMP;
    else if (strcmp(format, "date") == 0)
        out->type = SL_TYPE_DATE;
    else
        return refuse(r, SL_EUNSUPPORTED, "format",
                      "only date-time and date are supported");
    return SL_OK;
}

// Keywords that speak of one type only, beside another type, would silently say nothing.
static sl_status check_fit(reader *r, json_t *node, unsigned says) {
    static const struct {
        const char *key;
        unsigned types;
    } rules[] = {{"properties", SAYS_OBJECT},
                 {"required", SAYS_OBJECT},
                 {"additionalProperties", SAYS_OBJECT},
                 {"items", SAYS_ARRAY},
                 {"format", SAYS_STRING},
                 {"x-decimal", SAYS_STRING | SAYS_NUMBER | SAYS_INTEGER}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (json_object_get(node, rules[i].key) != NULL && !(says & rules[i].types))
            return refuse(r, SL_EUNSUPPORTED, rules[i].key,
                          "does not go with this `type`");
    return SL_OK;
}

static sl_status decimal_shape(reader *r, json_t *node, unsigned says, shape *out) {
    if ((says & ~(unsigned)(SAYS_STRING | SAYS_NUMBER | SAYS_INTEGER)) ||
        json_object_get(node, "format") != NULL)
        return refuse(r, SL_EUNSUPPORTED, "x-decimal",
                      "goes with number, integer or string alone");
    out->type = SL_TYPE_DECIMAL;
    return read_decimal(r, json_object_get(node, "x-decimal"), &out->precision,
                        &out->scale);
}

static sl_status read_shape(reader *r, json_t *node, shape *out) {
    unsigned says = 0;
    *out = (shape){.type = SL_TYPE_JSON};
    sl_status status = read_type(r, node, &says);
    if (status == SL_OK)
        status = check_fit(r, node, says);
    if (status != SL_OK)
        return status;
    out->null = says == 0 || (says & SAYS_NULL);
    says &= ~(unsigned)SAYS_NULL;
    if (json_object_get(node, "x-decimal") != NULL)
        return decimal_shape(r, node, says, out);
    switch (says) {
    case SAYS_BOOLEAN:
        out->type = SL_TYPE_BOOL;
        return SL_OK;
    case SAYS_INTEGER:
        out->type = SL_TYPE_INT64;
        return SL_OK;
    case SAYS_NUMBER:
    case SAYS_NUMBER | SAYS_INTEGER:
        out->type = SL_TYPE_DOUBLE;
        return SL_OK;
    case SAYS_STRING:
        return string_shape(r, node, out);
    case SAYS_OBJECT:
        out->type =
            json_object_get(node, "properties") != NULL ? SL_TYPE_GROUP : SL_TYPE_JSON;
        return SL_OK;
    case SAYS_ARRAY:
        return SL_OK;
    case 0:
        if (!out->null || json_object_get(node, "type") == NULL)
            return SL_OK;
        return refuse(r, SL_EUNSUPPORTED, "type", "null alone makes no column");
    default:
        return refuse(r, SL_EUNSUPPORTED, "type",
                      "a column has one type (and may be null)");
    }
}

// `items`, or `additionalProperties` of a free-form object: the column is JSON text and
// has no columns below it, yet its keywords must be understood.
static sl_status check_below(reader *r, json_t *node, const char *key) {
    json_t *below = json_object_get(node, key);
    if (below == NULL || json_is_true(below))
        return SL_OK;
    if (!json_is_object(below))
        return refuse(r, SL_EUNSUPPORTED, key, "is not a schema that is supported");
    if (r->depth >= SL_DEPTH_MAX)
        return refuse(r, SL_ELIMIT, key, "is nested too deep");
    size_t before = enter(r, key);
    r->depth++;
    shape ignored;
    sl_status status = check_keywords(r, below);
    if (status == SL_OK)
        status = read_shape(r, below, &ignored);
    if (status == SL_OK)
        status = check_below(r, below, "items");
    const char *name;
    json_t *property;
    json_t *properties = json_object_get(below, "properties");
    size_t at = enter(r, "properties");
    json_object_foreach(properties, name, property) {
        if (status == SL_OK)
            status = check_below(r, properties, name);
    }
    leave(r, at);
    r->depth--;
    leave(r, before);
    return status;
}

static bool requires(json_t *required, const char *name) {
    for (size_t i = 0; i < json_array_size(required); i++)
        if (strcmp(json_string_value(json_array_get(required, i)), name) == 0)
            return true;
    return false;
}

static sl_status check_required(reader *r, json_t *node) {
    json_t *required = json_object_get(node, "required");
    if (required == NULL)
        return SL_OK;
    if (!json_is_array(required))
        return refuse(r, SL_EINVAL, "required", "is not an array");
    json_t *properties = json_object_get(node, "properties");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name == NULL)
            return refuse(r, SL_EINVAL, "required",
                          "holds something that is not a string");
        if (json_object_get(properties, name) == NULL)
            return refuse(r, SL_EUNSUPPORTED, "required",
                          "names a member that `properties` lacks");
    }
    return SL_OK;
}

// The root says whether unknown members are refused; a nested object can only repeat it.
static sl_status check_additional(reader *r, json_t *node, bool root, bool group) {
    json_t *additional = json_object_get(node, "additionalProperties");
    if (additional == NULL || json_is_true(additional) ||
        (json_is_object(additional) && json_object_size(additional) == 0))
        return SL_OK;
    if (json_is_false(additional)) {
        if (root)
            r->schema->closed = true;
        if (group && r->schema->closed)
            return SL_OK;
        return refuse(
            r, SL_EUNSUPPORTED, "additionalProperties",
            "false is supported at the root, and below a root that says it too");
    }
    if (group)
        return refuse(r, SL_EUNSUPPORTED, "additionalProperties",
                      "a schema beside `properties` is not supported");
    return check_below(r, node, "additionalProperties");
}

static sl_status read_group(reader *r, json_t *node, uint32_t group);

static sl_status add_property(reader *r, json_t *node, uint32_t parent, const char *name,
                              bool required) {
    if (!json_is_object(node) && !json_is_true(node))
        return refuse(r, SL_EUNSUPPORTED, NULL, "is not a schema that is supported");
    shape found;
    sl_status status = check_keywords(r, node);
    if (status == SL_OK)
        status = read_shape(r, node, &found);
    if (status != SL_OK)
        return status;
    if (*name == 0)
        return refuse(r, SL_EUNSUPPORTED, NULL, "a column needs a name");
    if (parent == 0 && strcmp(name, REST_NAME) == 0)
        return refuse(r, SL_EINVAL, NULL,
                      "the name `_rest` is taken for unknown members");
    if (r->schema->count >= DECLARED_FIELDS_MAX)
        return refuse(r, SL_ELIMIT, NULL, "there are too many fields");
    uint32_t index = sl_schema_add(r->schema, parent, name, strlen(name), found.type);
    if (index == SL_NO_FIELD)
        return refuse(r, SL_ENOMEM, NULL, "out of memory");
    sl_field *field = &r->schema->fields[index];
    field->required = required;
    field->nullable = found.null || !required;
    field->precision = (uint8_t)found.precision;
    field->scale = (uint8_t)found.scale;
    if (found.type == SL_TYPE_GROUP)
        return read_group(r, node, index);
    if (json_object_get(node, "required") != NULL)
        return refuse(r, SL_EUNSUPPORTED, "required", "needs `properties` beside it");
    status = check_below(r, node, "items");
    return status == SL_OK ? check_additional(r, node, false, false) : status;
}

static sl_status read_properties(reader *r, json_t *properties, json_t *required,
                                 uint32_t group) {
    const char *name;
    json_t *node;
    json_object_foreach(properties, name, node) {
        size_t before = enter(r, name);
        sl_status status = add_property(r, node, group, name, requires(required, name));
        leave(r, before);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

static sl_status read_group(reader *r, json_t *node, uint32_t group) {
    json_t *properties = json_object_get(node, "properties");
    if (group != 0 && json_object_size(properties) == 0)
        return refuse(r, SL_EUNSUPPORTED, "properties",
                      "an object without members makes no column");
    if (r->depth >= SL_DEPTH_MAX)
        return refuse(r, SL_ELIMIT, "properties", "is nested too deep");
    sl_status status = check_required(r, node);
    if (status == SL_OK)
        status = check_additional(r, node, group == 0, true);
    if (status != SL_OK)
        return status;
    size_t before = enter(r, "properties");
    r->depth++;
    status = read_properties(r, properties, json_object_get(node, "required"), group);
    r->depth--;
    leave(r, before);
    return status;
}

static sl_status read_root(reader *r, json_t *root, bool with_rest) {
    unsigned says = 0;
    if (!json_is_object(root))
        return refuse(r, SL_EINVAL, NULL, "the schema of an event is an object");
    sl_status status = check_keywords(r, root);
    if (status == SL_OK)
        status = read_type(r, root, &says);
    if (status != SL_OK)
        return status;
    if (says != 0 && says != SAYS_OBJECT)
        return refuse(r, SL_EUNSUPPORTED, "type", "an event is an object");
    status = check_fit(r, root, SAYS_OBJECT);
    if (status == SL_OK)
        status = read_group(r, root, 0);
    if (status != SL_OK || !with_rest || r->schema->closed)
        return status;
    uint32_t rest =
        sl_schema_add(r->schema, 0, REST_NAME, strlen(REST_NAME), SL_TYPE_JSON);
    if (rest == SL_NO_FIELD)
        return refuse(r, SL_ENOMEM, NULL, "out of memory");
    r->schema->fields[rest].origin = SL_ORIGIN_REST;
    r->schema->rest = rest;
    return SL_OK;
}

static sl_status parse_text(const char *json, size_t length, json_t **out,
                            sl_error *error) {
    json_error_t fault = {0};
    *out = json_loadb(json, length, JSON_REJECT_DUPLICATES, &fault);
    if (*out != NULL)
        return SL_OK;
    // jansson leaves the text empty where an allocation of its own failed.
    if (fault.text[0] == 0 || json_error_code(&fault) == json_error_out_of_memory)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    return sl_error_set(error, SL_ESYNTAX, "line %d, column %d: %s", fault.line,
                        fault.column, fault.text);
}

sl_status sl_schema_from_json(const char *name, const char *json, size_t length,
                              bool with_rest, sl_schema **out, sl_error *error) {
    json_t *root = NULL;
    reader r = {.error = error};
    *out = NULL;
    sl_status status = parse_text(json, length, &root, error);
    if (status != SL_OK)
        goto out;
    r.schema = sl_schema_create(name);
    if (r.schema == NULL) {
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
        goto out;
    }
    status = read_root(&r, root, with_rest);
    if (status == SL_OK) {
        *out = r.schema;
        r.schema = NULL;
    }
out:
    sl_schema_unref(r.schema);
    sl_buffer_fini(&r.pointer);
    json_decref(root);
    return status;
}

// ---- Stored form
// -----------------------------------------------------------------------------

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
    json_t *root = NULL;
    sl_schema *schema = NULL;
    *out = NULL;
    sl_status status = parse_text(json, length, &root, error);
    if (status != SL_OK) {
        status = status == SL_ENOMEM ? SL_ENOMEM : SL_ECORRUPT;
        goto out;
    }
    const char *name = json_string_value(json_object_get(root, "name"));
    status = SL_ECORRUPT;
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
