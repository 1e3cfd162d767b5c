// Identifiers: `$id` makes a resource with a URI of its own, `$anchor` and
// `$dynamicAnchor` name places in it (core, section 8.2). References are resolved against
// the resource that they stand in.

#include "plan.h"

#include <stdio.h>

#define POINTER_SHOWN_MAX 300u
#define DIALECT "https://json-schema.org/draft/2020-12/schema"
#define VALIDATION "https://json-schema.org/draft/2020-12/vocab/validation"

static const word words[] = {
    {"type", WORD_ASSERTION},
    {"enum", WORD_ASSERTION},
    {"const", WORD_ASSERTION},
    {"multipleOf", WORD_ASSERTION},
    {"maximum", WORD_ASSERTION},
    {"exclusiveMaximum", WORD_ASSERTION},
    {"minimum", WORD_ASSERTION},
    {"exclusiveMinimum", WORD_ASSERTION},
    {"maxLength", WORD_ASSERTION},
    {"minLength", WORD_ASSERTION},
    {"pattern", WORD_ASSERTION},
    {"maxItems", WORD_ASSERTION},
    {"minItems", WORD_ASSERTION},
    {"uniqueItems", WORD_ASSERTION},
    {"maxContains", WORD_ASSERTION},
    {"minContains", WORD_ASSERTION},
    {"maxProperties", WORD_ASSERTION},
    {"minProperties", WORD_ASSERTION},
    {"required", WORD_ASSERTION},
    {"dependentRequired", WORD_ASSERTION},
    {"format", WORD_ASSERTION},
    {"x-decimal", WORD_ASSERTION},
    {"properties", WORD_SCHEMA_MAP},
    {"patternProperties", WORD_SCHEMA_MAP},
    {"additionalProperties", WORD_SCHEMA},
    {"propertyNames", WORD_SCHEMA},
    {"items", WORD_SCHEMA},
    {"prefixItems", WORD_SCHEMA_LIST},
    {"contains", WORD_SCHEMA},
    {"allOf", WORD_SCHEMA_LIST},
    {"anyOf", WORD_SCHEMA_LIST},
    {"oneOf", WORD_SCHEMA_LIST},
    {"not", WORD_SCHEMA},
    {"if", WORD_SCHEMA},
    {"then", WORD_SCHEMA},
    {"else", WORD_SCHEMA},
    {"dependentSchemas", WORD_SCHEMA_MAP},
    {"dependencies", WORD_DEPENDENCIES},
    {"unevaluatedItems", WORD_SCHEMA},
    {"unevaluatedProperties", WORD_SCHEMA},
    {"$defs", WORD_SCHEMA_MAP},
    {"definitions", WORD_SCHEMA_MAP},
    {"$ref", WORD_IDENTITY},
    {"$dynamicRef", WORD_IDENTITY},
    {"$id", WORD_IDENTITY},
    {"$anchor", WORD_IDENTITY},
    {"$dynamicAnchor", WORD_IDENTITY},
    {"$schema", WORD_IDENTITY},
    {"$vocabulary", WORD_ANNOTATION},
    {"$comment", WORD_ANNOTATION},
    {"title", WORD_ANNOTATION},
    {"description", WORD_ANNOTATION},
    {"default", WORD_ANNOTATION},
    {"deprecated", WORD_ANNOTATION},
    {"readOnly", WORD_ANNOTATION},
    {"writeOnly", WORD_ANNOTATION},
    {"examples", WORD_ANNOTATION},
    {"contentEncoding", WORD_ANNOTATION},
    {"contentMediaType", WORD_ANNOTATION},
    {"contentSchema", WORD_ANNOTATION},
};

const word *sl_plan_word(const tree_node *member) {
    static const word extension = {"x-", WORD_ANNOTATION};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].name) == member->key_length &&
            memcmp(words[i].name, member->key, member->key_length) == 0)
            return &words[i];
    return member->key_length > 2 && memcmp(member->key, "x-", 2) == 0 ? &extension
                                                                       : NULL;
}

sl_status sl_plan_fail(compiler *c, sl_status status, plan_place place,
                       const char *text) {
    sl_buffer where = SL_BUFFER_EMPTY;
    if (place.document != 0)
        sl_buffer_printf(&where, "%s#", c->contract->documents[place.document].uri);
    sl_tree_pointer(&c->contract->documents[place.document].tree, place.node, &where);
    const char *pointer = sl_buffer_cstr(&where);
    size_t length = strlen(pointer);
    bool cut = length > POINTER_SHOWN_MAX;
    sl_error_set(c->error, status, "%s%s: %s", cut ? "..." : "",
                 length == 0 ? "/" : pointer + (cut ? length - POINTER_SHOWN_MAX : 0),
                 text);
    sl_buffer_fini(&where);
    return status;
}

sl_status sl_plan_no_memory(compiler *c) {
    return sl_error_set(c->error, SL_ENOMEM, "out of memory");
}

bool sl_plan_grow(void **items, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity)
        return true;
    uint32_t more = *capacity == 0 ? 8 : *capacity * 2;
    void *grown = sl_realloc(*items, more * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

// ---- Indexing

static const tree_node *string_at(compiler *c, plan_place place) {
    const tree_node *n = plan_node(c->contract, place);
    return n->kind == JSON_STRING ? n : NULL;
}

static char *keep_uri(compiler *c, const char *base, const uint8_t *text, size_t length) {
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_uri_resolve(base, (const char *)text, length, &out);
    char *kept = out.failed ? NULL
                            : sl_arena_strndup(&c->contract->arena, sl_buffer_cstr(&out),
                                               out.length);
    sl_buffer_fini(&out);
    return kept;
}

static uint32_t find_resource(const sl_contract *contract, const char *uri) {
    for (uint32_t i = 0; i < contract->resource_count; i++)
        if (strcmp(contract->resources[i].uri, uri) == 0)
            return i;
    return TREE_NONE;
}

static sl_status add_resource(compiler *c, const char *uri, plan_place place,
                              bool validates, uint32_t *out) {
    sl_contract *contract = c->contract;
    if (uri == NULL ||
        !sl_plan_grow((void **)&contract->resources, contract->resource_count,
                      &contract->resource_capacity, sizeof *contract->resources))
        return sl_plan_no_memory(c);
    *out = contract->resource_count++;
    contract->resources[*out] =
        (plan_resource){.uri = uri, .place = place, .validates = validates};
    return SL_OK;
}

/** The number that all dynamic anchors of this name have. */
static uint32_t dynamic_number(sl_contract *contract, const plan_name *name) {
    for (uint32_t i = 0; i < contract->resource_count; i++) {
        const plan_resource *r = &contract->resources[i];
        for (uint32_t k = 0; k < r->anchor_count; k++) {
            const plan_anchor *a = &r->anchors[k];
            if (a->dynamic && a->name.length == name->length &&
                memcmp(a->name.text, name->text, name->length) == 0)
                return a->number;
        }
    }
    return contract->dynamic_names++;
}

static plan_anchor *find_anchor(const plan_resource *r, const void *text, size_t length) {
    for (uint32_t i = 0; i < r->anchor_count; i++)
        if (r->anchors[i].name.length == length &&
            memcmp(r->anchors[i].name.text, text, length) == 0)
            return &r->anchors[i];
    return NULL;
}

/** Core, section 8.2.2: ^[A-Za-z_][-A-Za-z0-9._]*$ */
static bool is_anchor_name(const tree_node *n) {
    const uint8_t *text = n->as.string.bytes;
    for (uint32_t i = 0; i < n->as.string.length; i++) {
        bool letter = (unsigned)((text[i] | 0x20) - 'a') < 26 || text[i] == '_';
        bool other = (unsigned)(text[i] - '0') < 10 || text[i] == '-' || text[i] == '.';
        if (!letter && (!other || i == 0))
            return false;
    }
    return n->as.string.length != 0;
}

static sl_status index_anchor(compiler *c, plan_place schema, const char *key,
                              bool dynamic, uint32_t resource) {
    const tree *t = &c->contract->documents[schema.document].tree;
    plan_place at = {.document = schema.document,
                     .node = sl_tree_get(t, schema.node, key)};
    if (at.node == TREE_NONE)
        return SL_OK;
    const tree_node *n = string_at(c, at);
    if (n == NULL || !is_anchor_name(n))
        return sl_plan_fail(c, SL_EINVAL, at, "is not an anchor's name");
    plan_resource *r = &c->contract->resources[resource];
    plan_name name = {.text = n->as.string.bytes, .length = n->as.string.length};
    plan_anchor *same = find_anchor(r, name.text, name.length);
    if (same != NULL && same->place.node != schema.node)
        return sl_plan_fail(c, SL_EINVAL, at,
                            "another place in this schema has the same anchor");
    plan_anchor anchor = {.name = name, .place = schema, .dynamic = dynamic};
    if (dynamic)
        anchor.number = dynamic_number(c->contract, &name);
    if (same != NULL) {
        *same = anchor; // Both an anchor and a dynamic one: dynamic is more.
        return SL_OK;
    }
    if (!sl_plan_grow((void **)&r->anchors, r->anchor_count, &r->anchor_capacity,
                      sizeof *r->anchors))
        return sl_plan_no_memory(c);
    r->anchors[r->anchor_count++] = anchor;
    return SL_OK;
}

static bool text_is(const tree_node *n, const char *text) {
    return n->as.string.length == strlen(text) &&
           memcmp(n->as.string.bytes, text, n->as.string.length) == 0;
}

/** Which vocabularies a dialect that isn't the standard one has, by its document. */
static bool dialect_known(compiler *c, const tree_node *uri, bool *validates) {
    sl_contract *contract = c->contract;
    for (uint32_t i = 1; i < contract->document_count; i++) {
        const tree *t = &contract->documents[i].tree;
        uint32_t id = sl_tree_get(t, 0, "$id");
        const tree_node *n = id == TREE_NONE ? NULL : &t->nodes[id];
        bool same =
            n != NULL && n->kind == JSON_STRING &&
            n->as.string.length == uri->as.string.length &&
            memcmp(n->as.string.bytes, uri->as.string.bytes, n->as.string.length) == 0;
        if (!same && !text_is(uri, contract->documents[i].uri))
            continue;
        uint32_t list = sl_tree_get(t, 0, "$vocabulary");
        if (list == TREE_NONE)
            return false;
        *validates = sl_tree_get(t, list, VALIDATION) != TREE_NONE;
        return true;
    }
    return false;
}

static sl_status read_dialect(compiler *c, plan_place schema, bool *validates) {
    plan_document *d = &c->contract->documents[schema.document];
    plan_place at = {.document = schema.document,
                     .node = sl_tree_get(&d->tree, schema.node, "$schema")};
    if (at.node == TREE_NONE)
        return SL_OK;
    const tree_node *n = string_at(c, at);
    if (n == NULL)
        return sl_plan_fail(c, SL_EINVAL, at, "is not a URI");
    if (text_is(n, DIALECT) || text_is(n, DIALECT "#")) {
        *validates = true;
        return SL_OK;
    }
    if (dialect_known(c, n, validates))
        return SL_OK;
    if (schema.document != 0 && schema.node == 0) {
        d->refused = true;
        return SL_OK;
    }
    return sl_plan_fail(c, SL_EUNSUPPORTED, at, "only draft 2020-12 is supported");
}

/** `$id`: a resource of its own. */
static sl_status index_identity(compiler *c, plan_place schema, uint32_t *resource) {
    const tree *t = &c->contract->documents[schema.document].tree;
    plan_place at = {.document = schema.document,
                     .node = sl_tree_get(t, schema.node, "$id")};
    bool validates = c->contract->resources[*resource].validates;
    if (at.node == TREE_NONE)
        return SL_OK;
    const tree_node *n = string_at(c, at);
    uri_parts u = {0};
    if (n != NULL)
        u = sl_uri_split((const char *)n->as.string.bytes, n->as.string.length);
    if (n == NULL || u.fragment.length != 0 ||
        !sl_uri_valid((const char *)n->as.string.bytes, n->as.string.length, true))
        return sl_plan_fail(c, SL_EINVAL, at, "is not a URI without fragment");
    sl_status status = schema.node == 0 ? SL_OK : read_dialect(c, schema, &validates);
    if (status != SL_OK)
        return status;
    char *name = keep_uri(c, c->contract->resources[*resource].uri, n->as.string.bytes,
                          n->as.string.length);
    uint32_t same = name == NULL ? TREE_NONE : find_resource(c->contract, name);
    if (same != TREE_NONE) {
        plan_place there = c->contract->resources[same].place;
        if (there.document == schema.document && there.node == schema.node) {
            *resource = same;
            return SL_OK;
        }
        return sl_plan_fail(c, SL_EINVAL, at, "another schema has the same $id");
    }
    return add_resource(c, name, schema, validates, resource);
}

static sl_status index_below(compiler *c, plan_place member, word_role role,
                             uint32_t resource) {
    const tree *t = &c->contract->documents[member.document].tree;
    const tree_node *n = &t->nodes[member.node];
    if (role == WORD_SCHEMA)
        return sl_index_schema(c, member, resource);
    if (n->kind != (role == WORD_SCHEMA_LIST ? JSON_ARRAY : JSON_OBJECT))
        return SL_OK; // Refused when it is compiled.
    for (uint32_t i = member.node + 1; i < n->after; i = t->nodes[i].after) {
        if (t->nodes[i].dead ||
            (role == WORD_DEPENDENCIES && t->nodes[i].kind == JSON_ARRAY))
            continue;
        plan_place below = {.document = member.document, .node = i};
        sl_status status = sl_index_schema(c, below, resource);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

sl_status sl_index_schema(compiler *c, plan_place place, uint32_t resource) {
    plan_document *d = &c->contract->documents[place.document];
    const tree_node *n = &d->tree.nodes[place.node];
    if (d->resource_of[place.node] != 0)
        return SL_OK;
    sl_status status = SL_OK;
    if (n->kind == JSON_OBJECT) {
        status = index_identity(c, place, &resource);
        if (status == SL_OK)
            status = index_anchor(c, place, "$anchor", false, resource);
        if (status == SL_OK)
            status = index_anchor(c, place, "$dynamicAnchor", true, resource);
    }
    d->resource_of[place.node] = resource + 1;
    if (status != SL_OK || n->kind != JSON_OBJECT)
        return status;
    for (uint32_t i = place.node + 1; i < n->after && status == SL_OK;
         i = d->tree.nodes[i].after) {
        const word *w = d->tree.nodes[i].dead ? NULL : sl_plan_word(&d->tree.nodes[i]);
        if (w != NULL && w->role >= WORD_SCHEMA && w->role <= WORD_DEPENDENCIES)
            status = index_below(c, (plan_place){.document = place.document, .node = i},
                                 w->role, resource);
    }
    return status;
}

sl_status sl_index_document(compiler *c, uint32_t document) {
    plan_place root = {.document = document};
    bool validates = true;
    uint32_t resource;
    sl_status status = SL_OK;
    if (plan_node(c->contract, root)->kind == JSON_OBJECT)
        status = read_dialect(c, root, &validates);
    if (status != SL_OK || c->contract->documents[document].refused)
        return status;
    status =
        add_resource(c, c->contract->documents[document].uri, root, validates, &resource);
    return status == SL_OK ? sl_index_schema(c, root, resource) : status;
}

// ---- References

static bool array_index(const char *token, size_t length, uint64_t *out) {
    *out = 0;
    if (length == 0 || length > 9 || (token[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned)(token[i] - '0') > 9)
            return false;
        *out = *out * 10 + (uint64_t)(token[i] - '0');
    }
    return true;
}

static uint32_t step_into(const tree *t, uint32_t at, const char *token, size_t length) {
    uint64_t index;
    if (t->nodes[at].kind == JSON_OBJECT)
        return sl_tree_member(t, at, token, length, sl_tree_hash(token, length));
    if (t->nodes[at].kind != JSON_ARRAY || !array_index(token, length, &index))
        return TREE_NONE;
    for (uint32_t i = at + 1; i < t->nodes[at].after; i = t->nodes[i].after)
        if (index-- == 0)
            return i;
    return TREE_NONE;
}

/** Follow a pointer (already unquoted) from `at`. *resource: of the last schema on the
 * way. */
static uint32_t follow(const plan_document *d, uint32_t at, sl_buffer *pointer,
                       uint32_t *resource) {
    char *p = (char *)pointer->bytes, *end = p + pointer->length;
    while (p < end && at != TREE_NONE) {
        char *token = ++p, *out = token;
        for (; p < end && *p != '/'; p++) {
            bool escape = *p == '~' && p + 1 < end && (p[1] == '0' || p[1] == '1');
            *out++ = (char)(!escape ? *p : p[1] == '0' ? '~' : '/');
            p += escape;
        }
        at = step_into(&d->tree, at, token, (size_t)(out - token));
        if (at != TREE_NONE && d->resource_of[at] != 0)
            *resource = d->resource_of[at] - 1;
    }
    return at;
}

static sl_status resolve_fragment(compiler *c, uint32_t resource, plan_place reference,
                                  uri_part fragment, plan_place *out,
                                  const plan_anchor **anchor) {
    plan_resource *r = &c->contract->resources[resource];
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    *out = r->place;
    *anchor = NULL;
    if (!sl_uri_unquote(fragment.text, fragment.length, &text)) {
        status = sl_plan_fail(c, SL_EINVAL, reference, "is not a URI reference");
    } else if (text.failed) {
        status = sl_plan_no_memory(c);
    } else if (text.length != 0 && text.bytes[0] == '/') {
        uint32_t inner = resource;
        plan_document *d = &c->contract->documents[r->place.document];
        out->node = follow(d, r->place.node, &text, &inner);
        if (out->node == TREE_NONE)
            status = sl_plan_fail(c, SL_EINVAL, reference, "leads to nothing");
        else
            status = sl_index_schema(c, *out, inner);
    } else if (text.length != 0) {
        *anchor = find_anchor(r, text.bytes, text.length);
        if (*anchor == NULL)
            status =
                sl_plan_fail(c, SL_EINVAL, reference, "names an anchor that isn't there");
        else
            *out = (*anchor)->place;
    }
    sl_buffer_fini(&text);
    return status;
}

sl_status sl_index_resolve(compiler *c, uint32_t resource, plan_place reference,
                           plan_place *out, const plan_anchor **anchor) {
    const tree_node *n = string_at(c, reference);
    if (n == NULL ||
        !sl_uri_valid((const char *)n->as.string.bytes, n->as.string.length, true))
        return sl_plan_fail(c, SL_EINVAL, reference, "is not a URI reference");
    uri_parts u = sl_uri_split((const char *)n->as.string.bytes, n->as.string.length);
    size_t length = n->as.string.length;
    if (u.fragment.text != NULL)
        length = (size_t)(u.fragment.text - (const char *)n->as.string.bytes) - 1;
    if (length != 0) {
        char *target =
            keep_uri(c, c->contract->resources[resource].uri, n->as.string.bytes, length);
        if (target == NULL)
            return sl_plan_no_memory(c);
        resource = find_resource(c->contract, target);
        if (resource == TREE_NONE)
            return sl_plan_fail(c, SL_EINVAL, reference,
                                "leads to a schema that isn't here");
    }
    return resolve_fragment(c, resource, reference, u.fragment, out, anchor);
}
