// Columns that enrichment adds to a schema, and the objects that enclose them.

#include "sluice/enrich.h"

static uint32_t parent_of(const sl_schema *schema, uint32_t field) {
    return schema->fields[field].parent;
}

// Depth of the objects above `parent`, itself included; the root is 0.
static uint32_t depth_of(const sl_schema *schema, uint32_t parent) {
    uint32_t depth = 0;
    for (; parent != 0; parent = parent_of(schema, parent))
        depth++;
    return depth;
}

static sl_status add(sl_schema *schema, uint32_t parent, const char *name, size_t length,
                     sl_type type, const char *path, uint32_t *field, sl_error *error) {
    if (schema->count >= SL_FIELDS_MAX)
        return sl_error_set(error, SL_ELIMIT, "%s: the schema has %u fields already",
                            path, SL_FIELDS_MAX);
    if (depth_of(schema, parent) + 1 >= SL_DEPTH_MAX)
        return sl_error_set(error, SL_ELIMIT, "%s: more than %u levels", path,
                            SL_DEPTH_MAX);
    *field = sl_schema_add(schema, parent, name, length, type);
    if (*field == SL_NO_FIELD)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", path);
    schema->fields[*field].origin = SL_ORIGIN_STEP;
    return SL_OK;
}

static sl_status enter(sl_schema *schema, uint32_t *parent, const char *name,
                       size_t length, const char *path, sl_error *error) {
    uint32_t child = sl_schema_child(schema, *parent, name, length);
    if (child == SL_NO_FIELD)
        return add(schema, *parent, name, length, SL_TYPE_GROUP, path, parent, error);
    if (schema->fields[child].type != SL_TYPE_GROUP)
        return sl_error_set(error, SL_EINVAL, "%s: %s is a %s, not an object", path,
                            schema->fields[child].path,
                            sl_type_name(schema->fields[child].type));
    *parent = child;
    return SL_OK;
}

static sl_status leaf(sl_schema *schema, uint32_t parent, const char *name,
                      const char *path, sl_type type, uint32_t *field, sl_error *error) {
    uint32_t child = sl_schema_child(schema, parent, name, strlen(name));
    if (child == SL_NO_FIELD)
        return add(schema, parent, name, strlen(name), type, path, field, error);
    const sl_field *there = &schema->fields[child];
    if (there->origin != SL_ORIGIN_STEP)
        return sl_error_set(error, SL_EEXIST, "%s: the event has a member of that name",
                            path);
    if (there->type != type)
        return sl_error_set(error, SL_EEXIST,
                            "%s: it is a %s already, made by a step before", path,
                            sl_type_name(there->type));
    *field = child;
    return SL_OK;
}

sl_status sl_enrich_declare(sl_schema *schema, const char *path, sl_type type,
                            uint32_t *field, sl_error *error) {
    *field = SL_NO_FIELD;
    uint32_t parent = 0;
    const char *name = path;
    for (;;) {
        size_t length = strcspn(name, ".");
        if (length == 0)
            return sl_error_set(error, SL_EINVAL, "\"%s\": a part of the path is empty",
                                path);
        if (name[length] == 0)
            return leaf(schema, parent, name, path, type, field, error);
        sl_status status = enter(schema, &parent, name, length, path, error);
        if (status != SL_OK)
            return status;
        name += length + 1;
    }
}

size_t sl_enrich_groups(const sl_schema *schema, const uint32_t *fields, size_t count,
                        uint32_t groups[SL_ENRICH_GROUPS_MAX]) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (fields[i] == SL_NO_FIELD || fields[i] >= schema->count)
            continue;
        for (uint32_t at = parent_of(schema, fields[i]); at != 0;
             at = parent_of(schema, at)) {
            size_t k = 0;
            while (k < found && groups[k] != at)
                k++;
            if (k < found)
                break; // What encloses it was noted with it.
            if (found < SL_ENRICH_GROUPS_MAX)
                groups[found++] = at;
        }
    }
    return found;
}
