// Schema objects to operations. Every keyword is looked at here, in assertions.c and
// applicators.c: what is wrong with a schema shows when it is compiled, never while
// events pass.

#include "draft.h"

plan_op *sl_draft_op(draft *d, plan_kind kind, unsigned applies, const char *keyword,
                     plan_place place) {
    plan_op *op = &d->ops[d->count++];
    *op = (plan_op){.kind = (uint8_t)kind,
                    .applies = (uint8_t)applies,
                    .keyword = keyword,
                    .place = place};
    return op;
}

const plan_schema *sl_plan_property(const plan_members *m, const uint8_t *key,
                                    size_t length, uint64_t hash) {
    if (m->property_count == 0)
        return NULL;
    for (uint32_t slot = (uint32_t)hash & m->slot_mask; m->slots[slot] != 0;
         slot = (slot + 1) & m->slot_mask) {
        const plan_name *name = &m->properties[m->slots[slot] - 1].name;
        if (name->hash == hash && name->length == length &&
            (length == 0 || memcmp(name->text, key, length) == 0))
            return m->properties[m->slots[slot] - 1].schema;
    }
    return NULL;
}

static sl_status check_keywords(draft *d) {
    const tree_node *n = &d->t->nodes[d->place.node];
    for (uint32_t i = d->place.node + 1; i < n->after; i = d->t->nodes[i].after)
        if (!d->t->nodes[i].dead && sl_plan_word(&d->t->nodes[i]) == NULL &&
            !d->c->options->unknown_annotates)
            return sl_plan_fail(d->c, SL_EUNSUPPORTED, at_node(d, i),
                                "this keyword is not supported");
    return SL_OK;
}

static sl_status read_object(draft *d) {
    sl_status status = check_keywords(d);
    if (status == SL_OK)
        status = sl_draft_assertions(d);
    return status == SL_OK ? sl_draft_applicators(d) : status;
}

static sl_status later(compiler *c, const plan_schema **slot, plan_place target) {
    const plan_schema *known =
        c->contract->documents[target.document].schema_of[target.node];
    if (known != NULL) {
        *slot = known;
        return SL_OK;
    }
    if (!sl_plan_grow((void **)&c->pending, c->pending_count, &c->pending_capacity,
                      sizeof *c->pending))
        return sl_plan_no_memory(c);
    c->pending[c->pending_count++] = (struct pending){.slot = slot, .target = target};
    return SL_OK;
}

/** Move the draft's operations into the plan; references find their targets when all are
 * there. */
static sl_status keep_ops(draft *d) {
    plan_op *ops = get(d->c, d->count * sizeof *ops);
    if (ops == NULL)
        return sl_plan_no_memory(d->c);
    memcpy(ops, d->ops, d->count * sizeof *ops);
    d->schema->ops = ops;
    d->schema->count = d->count;
    for (uint32_t i = 0; i < d->count; i++) {
        if (ops[i].kind != OP_REF && ops[i].kind != OP_DYNAMIC_REF)
            continue;
        plan_place target;
        const plan_anchor *anchor;
        sl_status status =
            sl_index_resolve(d->c, d->schema->resource, ops[i].place, &target, &anchor);
        if (status == SL_OK)
            status = later(d->c, &ops[i].as.ref.target, target);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

sl_status sl_plan_schema(compiler *c, plan_place place, const plan_schema **out) {
    plan_document *document = &c->contract->documents[place.document];
    const tree_node *n = &document->tree.nodes[place.node];
    *out = document->schema_of[place.node];
    if (*out != NULL)
        return SL_OK;
    if (n->kind != JSON_OBJECT && n->kind != JSON_TRUE && n->kind != JSON_FALSE)
        return sl_plan_fail(c, SL_EINVAL, place, "is not a schema");
    if (++c->depth > SCHEMA_DEPTH_MAX)
        return sl_plan_fail(c, SL_ELIMIT, place, "is nested too deep");
    plan_schema *schema = get(c, sizeof *schema);
    draft *d = sl_calloc(1, sizeof *d);
    sl_status status = SL_OK;
    if (schema == NULL || d == NULL) {
        status = sl_plan_no_memory(c);
        goto out;
    }
    schema->place = place;
    schema->refuses = n->kind == JSON_FALSE;
    schema->resource = document->resource_of[place.node] - 1;
    document->schema_of[place.node] = schema;
    c->contract->resources[schema->resource].used = true;
    *out = schema;
    *d = (draft){.c = c, .t = &document->tree, .place = place, .schema = schema};
    if (n->kind == JSON_OBJECT)
        status = read_object(d);
    if (status == SL_OK)
        status = keep_ops(d);
out:
    sl_free(d);
    c->depth--;
    return status;
}

/** Those that a $dynamicRef may come to; *more: there were some. */
static sl_status compile_dynamic_anchors(compiler *c, bool *more) {
    sl_contract *contract = c->contract;
    for (uint32_t i = 0; i < contract->resource_count; i++) {
        if (!contract->resources[i].used)
            continue;
        for (uint32_t k = 0; k < contract->resources[i].anchor_count; k++) {
            const plan_schema *schema;
            plan_anchor *a = &contract->resources[i].anchors[k];
            if (!a->dynamic || a->schema != NULL)
                continue;
            sl_status status = sl_plan_schema(c, a->place, &schema);
            if (status != SL_OK)
                return status;
            contract->resources[i].anchors[k].schema = schema;
            *more = true;
        }
    }
    return SL_OK;
}

sl_status sl_plan_compile(compiler *c) {
    sl_status status = sl_plan_schema(c, (plan_place){0}, &c->contract->root);
    // What is compiled may refer to more, in documents that nobody looked at before.
    for (bool more = true; more && status == SL_OK;) {
        more = false;
        while (c->pending_count > 0 && status == SL_OK) {
            struct pending next = c->pending[--c->pending_count];
            status = sl_plan_schema(c, next.target, next.slot);
        }
        if (status == SL_OK && c->contract->dynamic)
            status = compile_dynamic_anchors(c, &more);
    }
    return status;
}
