// The tree of fields: building, finding, copying, and folding proposals into an inferred
// schema.
//
// Invariants: fields[0] is the root group; a field's parent has a lower index and is a
// GROUP; siblings are linked in order of index, so that `parent` alone rebuilds every
// link.

#include "sluice/schema.h"

#include <assert.h>
#include <stdio.h>

/** Longest member name that becomes an inferred column; common catalogues stop at 255
 * bytes. */
#define INFERRED_NAME_MAX 255u

static const char *const type_names[] = {
    [SL_TYPE_GROUP] = "group",         [SL_TYPE_BOOL] = "bool",
    [SL_TYPE_INT64] = "int64",         [SL_TYPE_DOUBLE] = "double",
    [SL_TYPE_DECIMAL] = "decimal",     [SL_TYPE_DATE] = "date",
    [SL_TYPE_TIMESTAMP] = "timestamp", [SL_TYPE_STRING] = "string",
    [SL_TYPE_JSON] = "json",           [SL_TYPE_BYTES] = "bytes",
};

const char *sl_type_name(sl_type type) {
    size_t index = (size_t)type;
    return index < sizeof type_names / sizeof *type_names ? type_names[index] : "unknown";
}

// A shared schema is const to everybody; only its reference count changes, here.
static sl_schema *shared(const sl_schema *schema) {
    union {
        const sl_schema *in;
        sl_schema *out;
    } cast = {.in = schema};
    return cast.out;
}

static void destroy(sl_schema *schema) {
    for (uint32_t i = 0; i < schema->count; i++) {
        sl_free(schema->fields[i].name);
        sl_free(schema->fields[i].path);
    }
    sl_free(schema->fields);
    sl_free(schema->name);
    sl_free(schema);
}

sl_schema *sl_schema_ref(const sl_schema *schema) {
    sl_schema *mine = shared(schema);
    // Relaxed: whoever hands out a reference holds one, so the count cannot reach 0
    // meanwhile.
    atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return mine;
}

void sl_schema_unref(const sl_schema *schema) {
    if (schema == NULL)
        return;
    sl_schema *mine = shared(schema);
    // Release orders this owner's reads before the count; acquire, by the last owner,
    // pairs with all of them, so nobody still reads what is freed.
    if (atomic_fetch_sub_explicit(&mine->references, 1, memory_order_acq_rel) == 1)
        destroy(mine);
}

// "parent.name", or the name alone below the root.
static char *join_path(const sl_field *parent, const char *name, size_t length) {
    size_t before = parent == NULL ? 0 : strlen(parent->path);
    if (before == 0)
        return sl_strndup(name, length);
    char *path = sl_malloc(before + 1 + length + 1);
    if (path == NULL)
        return NULL;
    memcpy(path, parent->path, before);
    path[before] = '.';
    memcpy(path + before + 1, name, length);
    path[before + 1 + length] = 0;
    return path;
}

// The capacity is the count's next power of two (at least 8), so it needs no member of
// its own.
static bool make_room(sl_schema *schema) {
    uint32_t count = schema->count;
    if (count != 0 && (count < 8 || (count & (count - 1)) != 0))
        return true;
    size_t capacity = count < 8 ? 8 : (size_t)count * 2;
    sl_field *fields = sl_realloc(schema->fields, capacity * sizeof *fields);
    if (fields == NULL)
        return false;
    schema->fields = fields;
    return true;
}

static void link_child(sl_schema *schema, uint32_t parent, uint32_t child) {
    uint32_t *link = &schema->fields[parent].first_child;
    while (*link != SL_NO_FIELD)
        link = &schema->fields[*link].next_sibling;
    *link = child;
}

static uint32_t append(sl_schema *schema, uint32_t parent, const char *name,
                       size_t length, sl_type type) {
    if (length >= UINT32_MAX || schema->count >= SL_NO_FIELD - 1 || !make_room(schema))
        return SL_NO_FIELD;
    const sl_field *above = parent == SL_NO_FIELD ? NULL : &schema->fields[parent];
    sl_field field = {.name = sl_strndup(name, length),
                      .path = join_path(above, name, length),
                      .name_length = (uint32_t)length,
                      .type = type,
                      .origin = SL_ORIGIN_EVENT,
                      .nullable = true,
                      .parent = parent,
                      .first_child = SL_NO_FIELD,
                      .next_sibling = SL_NO_FIELD};
    if (field.name == NULL || field.path == NULL) {
        sl_free(field.name);
        sl_free(field.path);
        return SL_NO_FIELD;
    }
    uint32_t index = schema->count++;
    schema->fields[index] = field;
    if (parent != SL_NO_FIELD)
        link_child(schema, parent, index);
    return index;
}

sl_schema *sl_schema_create(const char *name) {
    sl_schema *schema = sl_calloc(1, sizeof *schema);
    if (schema == NULL)
        return NULL;
    schema->name = sl_strdup(name);
    schema->version = 1;
    schema->rest = SL_NO_FIELD;
    atomic_init(&schema->references, 1);
    if (schema->name == NULL || append(schema, SL_NO_FIELD, "", 0, SL_TYPE_GROUP) != 0) {
        destroy(schema);
        return NULL;
    }
    schema->fields[0].required = true;
    schema->fields[0].nullable = false;
    return schema;
}

uint32_t sl_schema_add(sl_schema *schema, uint32_t parent, const char *name,
                       size_t length, sl_type type) {
    assert(parent < schema->count && schema->fields[parent].type == SL_TYPE_GROUP);
    return append(schema, parent, name, length, type);
}

sl_schema *sl_schema_copy(const sl_schema *schema) {
    sl_schema *copy = sl_schema_create(schema->name);
    if (copy == NULL)
        return NULL;
    for (uint32_t i = 1; i < schema->count; i++) {
        const sl_field *from = &schema->fields[i];
        if (append(copy, from->parent, from->name, from->name_length, from->type) != i) {
            sl_schema_unref(copy);
            return NULL;
        }
    }
    for (uint32_t i = 0; i < schema->count; i++) {
        const sl_field *from = &schema->fields[i];
        sl_field *to = &copy->fields[i];
        to->origin = from->origin;
        to->required = from->required;
        to->nullable = from->nullable;
        to->precision = from->precision;
        to->scale = from->scale;
    }
    copy->version = schema->version;
    copy->inferred = schema->inferred;
    copy->frozen = schema->frozen;
    copy->closed = schema->closed;
    copy->rest = schema->rest;
    return copy;
}

uint32_t sl_schema_child(const sl_schema *schema, uint32_t parent, const char *name,
                         size_t length) {
    assert(parent < schema->count);
    for (uint32_t i = schema->fields[parent].first_child; i != SL_NO_FIELD;
         i = schema->fields[i].next_sibling) {
        const sl_field *field = &schema->fields[i];
        if (field->name_length == length && memcmp(field->name, name, length) == 0)
            return i;
    }
    return SL_NO_FIELD;
}

static uint32_t walk(const sl_schema *schema, const char *path) {
    uint32_t at = 0;
    for (;;) {
        size_t length = strcspn(path, ".");
        at = sl_schema_child(schema, at, path, length);
        if (at == SL_NO_FIELD || path[length] == 0)
            return at;
        path += length + 1;
    }
}

uint32_t sl_schema_find(const sl_schema *schema, const char *path) {
    uint32_t at = walk(schema, path);
    if (at != SL_NO_FIELD)
        return at;
    // A key may itself hold a dot; its path is then equal although the walk found no such
    // group.
    for (uint32_t i = 1; i < schema->count; i++)
        if (strcmp(schema->fields[i].path, path) == 0)
            return i;
    return SL_NO_FIELD;
}

sl_type sl_type_widen(sl_type have, sl_type seen) {
    if (have == seen || have == SL_TYPE_JSON)
        return have; // JSON text holds any value.
    bool seen_scalar = seen == SL_TYPE_BOOL || seen == SL_TYPE_INT64 ||
                       seen == SL_TYPE_DOUBLE || seen == SL_TYPE_DATE ||
                       seen == SL_TYPE_TIMESTAMP || seen == SL_TYPE_STRING;
    if (!seen_scalar)
        return SL_TYPE_GROUP;
    switch (have) {
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
        if (seen == SL_TYPE_INT64 || seen == SL_TYPE_DOUBLE)
            return SL_TYPE_DOUBLE;
        return SL_TYPE_STRING;
    case SL_TYPE_BOOL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
    case SL_TYPE_STRING:
        return SL_TYPE_STRING;
    case SL_TYPE_GROUP:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        break;
    }
    return SL_TYPE_GROUP;
}

static bool equal_but_for_case(const char *a, const char *b, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if (x >= 'A' && x <= 'Z')
            x = (unsigned char)(x + 32);
        if (y >= 'A' && y <= 'Z')
            y = (unsigned char)(y + 32);
        if (x != y)
            return false;
    }
    return true;
}

bool sl_schema_time_name(const char *name, size_t length) {
    static const char *const names[] = {
        "timestamp",      "ts",          "time",
        "datetime",       "date_time",   "dateTime",
        "@timestamp",     "eventTime",   "event_time",
        "event_ts",       "occurred_at", "occurredAt",
        "created_at",     "createdAt",   "created",
        "sent_at",        "sentAt",      "received_at",
        "updated_at",     "updatedAt",   "event_timestamp",
        "eventTimestamp",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && equal_but_for_case(names[i], name, length))
            return true;
    return false;
}

// Readers such as Spark and DuckDB fold the case of column names: two siblings that
// differ only in case make a whole file unreadable, so the second one stays in `_rest`.
static bool case_clash(const sl_schema *schema, uint32_t parent, const char *name,
                       size_t length) {
    for (uint32_t i = schema->fields[parent].first_child; i != SL_NO_FIELD;
         i = schema->fields[i].next_sibling)
        if (schema->fields[i].name_length == length &&
            equal_but_for_case(schema->fields[i].name, name, length))
            return true;
    return false;
}

typedef struct merge {
    const sl_schema *base;
    sl_schema *copy; // NULL until something changes.
    bool widened;
} merge;

static const sl_schema *merged(const merge *m) {
    return m->copy != NULL ? m->copy : m->base;
}

static bool make_copy(merge *m) {
    if (m->copy == NULL) {
        m->copy = sl_schema_copy(m->base);
        if (m->copy != NULL)
            m->copy->version++;
    }
    return m->copy != NULL;
}

static sl_status widen_field(merge *m, uint32_t field, sl_type seen) {
    const sl_field *known = &merged(m)->fields[field];
    // Fields of this merge are nobody's yet: they widen even when the schema is frozen.
    bool fixed = m->base->frozen && field < m->base->count;
    if (fixed || known->origin != SL_ORIGIN_EVENT || known->type == SL_TYPE_GROUP)
        return SL_OK;
    sl_type wide = sl_type_widen(known->type, seen);
    if (wide == SL_TYPE_GROUP || wide == known->type)
        return SL_OK;
    if (!make_copy(m))
        return SL_ENOMEM;
    m->copy->fields[field].type = wide;
    if (field < m->base->count)
        m->widened = true;
    return SL_OK;
}

// May every key become a column below `parent`? Judged before the first is added, so that
// no group is left without members (Parquet has no such group).
static bool room_for(const merge *m, uint32_t parent, const char *key, uint32_t key_count,
                     sl_type type) {
    const sl_schema *schema = merged(m);
    if (type == SL_TYPE_GROUP || schema->count + key_count > SL_FIELDS_MAX)
        return false;
    if (case_clash(schema, parent, key, strlen(key)))
        return false;
    for (uint32_t i = 0; i < key_count; i++) {
        size_t length = strlen(key);
        if (length == 0 || length > INFERRED_NAME_MAX)
            return false;
        key += length + 1;
    }
    return true;
}

static sl_status add_keys(merge *m, uint32_t parent, const char *key, uint32_t key_count,
                          sl_type type) {
    if (!room_for(m, parent, key, key_count, type))
        return SL_OK;
    if (!make_copy(m))
        return SL_ENOMEM;
    for (uint32_t i = 0; i < key_count; i++) {
        size_t length = strlen(key);
        parent = append(m->copy, parent, key, length,
                        i + 1 < key_count ? SL_TYPE_GROUP : type);
        if (parent == SL_NO_FIELD)
            return SL_ENOMEM;
        key += length + 1;
    }
    return SL_OK;
}

static sl_status fold(merge *m, const sl_proposal *proposal) {
    uint32_t at = proposal->parent;
    const char *key = proposal->keys;
    assert(at < m->base->count);
    for (uint32_t i = 0; i < proposal->key_count; i++) {
        size_t length = strlen(key);
        if (merged(m)->fields[at].type != SL_TYPE_GROUP)
            return SL_OK; // A scalar is there already: an object never fits.
        if (merged(m)->fields[at].origin != SL_ORIGIN_EVENT)
            return SL_OK; // A step's group takes no members of events.
        uint32_t child = sl_schema_child(merged(m), at, key, length);
        if (child == SL_NO_FIELD)
            return add_keys(m, at, key, proposal->key_count - i, proposal->type);
        at = child;
        key += length + 1;
    }
    return widen_field(m, at, proposal->type);
}

sl_status sl_schema_merge(const sl_schema *schema, const sl_proposal *proposals,
                          uint32_t count, sl_schema **out, bool *widened) {
    merge m = {.base = schema};
    *out = NULL;
    *widened = false;
    for (uint32_t i = 0; i < count; i++) {
        if (fold(&m, &proposals[i]) != SL_OK) {
            sl_schema_unref(m.copy);
            return SL_ENOMEM;
        }
    }
    *out = m.copy;
    *widened = m.widened;
    return SL_OK;
}
