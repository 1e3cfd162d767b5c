// What reads the keywords of one schema object: plan.c, assertions.c, applicators.c.
#pragma once

#include "plan.h"

#define SCHEMA_DEPTH_MAX 250u /**< Of schemas in schemas. */

/** The schema that is being compiled. */
typedef struct draft {
    compiler *c;
    const tree *t;
    plan_place place;
    plan_schema *schema;
    plan_op ops[OP_COUNT + 2];
    uint32_t count;
} draft;

static inline void *get(compiler *c, size_t size) {
    void *block = sl_arena_get(&c->contract->arena, size == 0 ? 1 : size);
    if (block != NULL)
        memset(block, 0, size);
    return block;
}

static inline plan_place at_node(const draft *d, uint32_t node) {
    return (plan_place){.document = d->place.document, .node = node};
}

static inline const tree_node *member_of(const draft *d, const char *key,
                                         plan_place *place) {
    uint32_t at = sl_tree_get(d->t, d->place.node, key);
    *place = at_node(d, at);
    return at == TREE_NONE ? NULL : &d->t->nodes[at];
}

static inline plan_name name_of(const uint8_t *text, uint32_t length) {
    return (plan_name){
        .text = text, .length = length, .hash = sl_tree_hash(text, length)};
}

// --- plan.c
/** Compiles the root and all that it leads to. */
SL_CHECKED sl_status sl_plan_compile(compiler *c);
/** The schema at `place`, compiled once. */
SL_CHECKED sl_status sl_plan_schema(compiler *c, plan_place place,
                                    const plan_schema **out);
/** The next operation of the draft. */
plan_op *sl_draft_op(draft *d, plan_kind kind, unsigned applies, const char *keyword,
                     plan_place place);

// --- assertions.c
SL_CHECKED sl_status sl_draft_assertions(draft *d);
/** A count; what no value reaches is as good as any other such. */
SL_CHECKED sl_status sl_draft_size(draft *d, const tree_node *n, plan_place at,
                                   uint64_t *out);
/** The names of the array `n`. */
SL_CHECKED sl_status sl_draft_names(draft *d, const tree_node *n, plan_place at,
                                    plan_name **out);
/** The contract's, compiled. */
SL_CHECKED sl_status sl_draft_pattern(draft *d, const uint8_t *text, uint32_t length,
                                      plan_place at, const regex **out);

// --- applicators.c
/** References and definitions too. */
SL_CHECKED sl_status sl_draft_applicators(draft *d);
/** An object whose values are arrays of `names`, or schemas. */
SL_CHECKED sl_status sl_draft_dependencies(draft *d, const char *key, bool names,
                                           bool schemas);

// --- circles.c
/** Refuses schemas that lead to themselves at one and the same place of an event. */
SL_CHECKED sl_status sl_plan_circles(compiler *c);
