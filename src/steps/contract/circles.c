// Schemas that lead to themselves at one and the same place of an event.

#include "draft.h"

enum { WHITE, GREY, BLACK };

typedef struct circle_search {
    compiler *c;
    uint8_t **colour; // [document][node]
} circle_search;

static sl_status visit(circle_search *s, const plan_schema *schema);

static sl_status visit_list(circle_search *s, const plan_schema *const *list,
                            uint32_t count) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < count && status == SL_OK; i++)
        status = visit(s, list[i]);
    return status;
}

static sl_status visit_op(circle_search *s, const plan_op *op) {
    const plan_schema *three[3];
    sl_status status = SL_OK;
    switch (op->kind) {
    case OP_REF:
    case OP_DYNAMIC_REF:
        return visit(s, op->as.ref.target);
    case OP_ALL_OF:
    case OP_ANY_OF:
    case OP_ONE_OF:
        return visit_list(s, op->as.list.schemas, op->as.list.count);
    case OP_NOT:
        return visit(s, op->as.schema);
    case OP_IF:
        three[0] = op->as.condition.test;
        three[1] = op->as.condition.yes;
        three[2] = op->as.condition.no;
        return visit_list(s, three, 3);
    case OP_DEPENDENT_SCHEMAS:
        for (uint32_t i = 0; i < op->as.dependencies.count && status == SL_OK; i++)
            status = visit(s, op->as.dependencies.list[i].schema);
        return status;
    default:
        return SL_OK;
    }
}

static sl_status visit(circle_search *s, const plan_schema *schema) {
    if (schema == NULL)
        return SL_OK;
    uint8_t *colour = &s->colour[schema->place.document][schema->place.node];
    if (*colour == BLACK)
        return SL_OK;
    if (*colour == GREY)
        return sl_plan_fail(s->c, SL_EINVAL, schema->place,
                            "refers to itself without end, at one place of an event");
    if (++s->c->depth > 4 * SCHEMA_DEPTH_MAX)
        return sl_plan_fail(s->c, SL_ELIMIT, schema->place,
                            "references follow each other too far");
    *colour = GREY;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < schema->count && status == SL_OK; i++)
        status = visit_op(s, &schema->ops[i]);
    *colour = BLACK;
    s->c->depth--;
    return status;
}

sl_status sl_plan_circles(compiler *c) {
    sl_contract *contract = c->contract;
    circle_search s = {.c = c,
                       .colour = get(c, contract->document_count * sizeof(uint8_t *))};
    if (s.colour == NULL)
        return sl_plan_no_memory(c);
    for (uint32_t i = 0; i < contract->document_count; i++) {
        s.colour[i] = get(c, contract->documents[i].tree.count);
        if (s.colour[i] == NULL)
            return sl_plan_no_memory(c);
    }
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < contract->document_count; i++)
        for (uint32_t k = 0; k < contract->documents[i].tree.count && status == SL_OK;
             k++)
            status = visit(&s, contract->documents[i].schema_of[k]);
    return status;
}
