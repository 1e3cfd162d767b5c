/** @file plan.h
 * A compiled contract: one plan_schema for each schema object, a list of operations each.
 */
#pragma once

#include "formats.h"
#include "regex.h"
#include "tree.h"

#include "sluice/contract.h"

/** Types as bits; a number without fraction is both of the middle ones. */
enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ANY = 127
};

typedef enum plan_kind {
    OP_TYPE,
    OP_DECIMAL,
    OP_CONST,
    OP_ENUM,
    OP_MINIMUM,
    OP_MAXIMUM,
    OP_EXCLUSIVE_MINIMUM,
    OP_EXCLUSIVE_MAXIMUM,
    OP_MULTIPLE_OF,
    OP_MIN_LENGTH,
    OP_MAX_LENGTH,
    OP_PATTERN,
    OP_FORMAT,
    OP_MIN_ITEMS,
    OP_MAX_ITEMS,
    OP_UNIQUE_ITEMS,
    OP_MIN_PROPERTIES,
    OP_MAX_PROPERTIES,
    OP_REQUIRED,
    OP_DEPENDENT_REQUIRED,
    OP_PROPERTY_NAMES,
    OP_MEMBERS, /**< properties, patternProperties, additionalProperties in one walk. */
    OP_ITEMS,   /**< prefixItems, items. */
    OP_CONTAINS,
    OP_REF,
    OP_DYNAMIC_REF,
    OP_ALL_OF,
    OP_ANY_OF,
    OP_ONE_OF,
    OP_NOT,
    OP_IF,
    OP_DEPENDENT_SCHEMAS,
    OP_UNEVALUATED_ITEMS, /**< These two come last: they want to know what the others saw.
                           */
    OP_UNEVALUATED_PROPERTIES,
    OP_COUNT
} plan_kind;

/** A value or keyword in one of the schema's documents. */
typedef struct plan_place {
    uint32_t document, node;
} plan_place;

typedef struct plan_schema plan_schema;

typedef struct plan_name {
    const uint8_t *text;
    uint32_t length;
    uint64_t hash;
} plan_name;

typedef struct plan_property {
    plan_name name;
    const plan_schema *schema;
} plan_property;

typedef struct plan_pattern {
    const regex *pattern;
    const plan_schema *schema;
    plan_place place;
} plan_pattern;

typedef struct plan_members {
    plan_property *properties;
    uint32_t property_count;
    uint32_t *slots; /**< Hash table of properties, index + 1. */
    uint32_t slot_mask;
    plan_pattern *patterns;
    uint32_t pattern_count;
    const plan_schema *additional; /**< NULL: the keyword isn't there. */
    plan_place properties_place, additional_place;
} plan_members;

typedef struct plan_dependency {
    plan_name name;
    plan_name *required;
    uint32_t required_count;
    const plan_schema *schema; /**< Or NULL. */
} plan_dependency;

typedef struct plan_op {
    uint8_t kind;    /**< plan_kind */
    uint8_t applies; /**< Types that it says something about. */
    const char *keyword;
    plan_place place;
    union {
        unsigned types;
        struct {
            unsigned precision, scale;
        } decimal;
        struct {
            const plan_place *values; /**< const, enum */
            const uint64_t *hashes;
            uint32_t count;
        } values;
        const json_decimal *number;
        uint64_t size;
        const regex *pattern;
        const format *format;
        struct {
            const plan_name *names;
            uint32_t count;
        } names;
        const plan_members *members;
        struct {
            const plan_schema **prefix;
            uint32_t prefix_count;
            const plan_schema *rest; /**< NULL: no `items`. */
            plan_place prefix_place;
        } items;
        struct {
            const plan_schema *schema;
            uint64_t least, most;
            plan_place least_place, most_place;
        } contains;
        struct {
            const plan_schema *target;
            uint32_t name; /**< $dynamicRef: number of the dynamic anchor, TREE_NONE: a
                              plain $ref. */
        } ref;
        struct {
            const plan_schema **schemas;
            uint32_t count;
        } list;
        const plan_schema *schema;
        struct {
            const plan_schema *test, *yes, *no; /**< yes and no may be NULL. */
        } condition;
        struct {
            const plan_dependency *list;
            uint32_t count;
        } dependencies;
    } as;
} plan_op;

struct plan_schema {
    plan_place place;
    uint32_t resource;
    bool refuses;     /**< The schema false. */
    bool unevaluated; /**< Has one of the last two: keeps its own marks. */
    bool decimal;     /**< Has x-decimal: numbers may be strings. */
    const plan_op *ops;
    uint32_t count;
};

typedef struct plan_anchor {
    plan_name name;
    plan_place place;
    bool dynamic;
    uint32_t number;           /**< Of the dynamic name: equal names have one number. */
    const plan_schema *schema; /**< Of a dynamic one. */
} plan_anchor;

/** A schema with an identity of its own: a document's root, or an `$id` below it. */
typedef struct plan_resource {
    const char *uri; /**< Without fragment. */
    plan_place place;
    bool validates; /**< Its dialect has the validation vocabulary. */
    bool used;      /**< Some schema in it is compiled, so evaluation may come by. */
    plan_anchor *anchors;
    uint32_t anchor_count, anchor_capacity;
} plan_resource;

typedef struct plan_document {
    tree tree;
    uint8_t *text; /**< Owned, padded. */
    const char *uri;
    uint32_t
        *resource_of; /**< [tree.count] resource + 1 of an indexed schema, 0: none. */
    plan_schema **schema_of; /**< [tree.count] */
    bool refused; /**< Its dialect is not ours; only an error once it is referred to. */
} plan_document;

struct sl_contract {
    _Atomic uint32_t references;
    plan_document *documents;
    uint32_t document_count;
    plan_resource *resources;
    uint32_t resource_count, resource_capacity;
    regex **patterns;
    uint32_t pattern_count, pattern_capacity;
    uint32_t dynamic_names;
    bool dynamic; /**< Some $dynamicRef depends on where evaluation came from. */
    uint32_t steps_max;
    const plan_schema *root;
    sl_arena arena; /**< All of the plan. */
};

static inline const tree_node *plan_node(const sl_contract *c, plan_place place) {
    return &c->documents[place.document].tree.nodes[place.node];
}
const plan_schema *sl_plan_property(const plan_members *m, const uint8_t *key,
                                    size_t length, uint64_t hash);

// --- index.c: who is who among the schemas
typedef struct compiler {
    sl_contract *contract;
    const sl_contract_options *options;
    sl_error *error;
    struct pending {
        const plan_schema **slot; /**< Where the target belongs. */
        plan_place target;
    } * pending;
    uint32_t pending_count, pending_capacity;
    unsigned depth;
} compiler;

/** "pointer: text", with the place of the document. */
sl_status sl_plan_fail(compiler *c, sl_status status, plan_place place, const char *text);
sl_status sl_plan_no_memory(compiler *c);
/** Note identifiers of the schema at `place` and all below it. */
SL_CHECKED sl_status sl_index_schema(compiler *c, plan_place place, uint32_t resource);
/** Make the root of a document a resource, then index it. */
SL_CHECKED sl_status sl_index_document(compiler *c, uint32_t document);
/** Where `reference` leads, read in `resource`. `anchor`: the anchor that it named, or
 * NULL. */
SL_CHECKED sl_status sl_index_resolve(compiler *c, uint32_t resource,
                                      plan_place reference, plan_place *out,
                                      const plan_anchor **anchor);
/** Grow an array of `size`-byte items to take one more. */
bool sl_plan_grow(void **items, uint32_t count, uint32_t *capacity, size_t size);

typedef enum word_role {
    WORD_ASSERTION,
    WORD_SCHEMA,       /**< A schema. */
    WORD_SCHEMA_LIST,  /**< An array of schemas. */
    WORD_SCHEMA_MAP,   /**< An object of schemas. */
    WORD_DEPENDENCIES, /**< An object of schemas or arrays of names. */
    WORD_IDENTITY,
    WORD_ANNOTATION
} word_role;
typedef struct word {
    const char *name;
    word_role role;
} word;
/** NULL: an unknown keyword. */
const word *sl_plan_word(const tree_node *member);
