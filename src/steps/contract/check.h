/** @file check.h
 * One event against a plan, and the sentence that says why not.
 */
#pragma once

#include "plan.h"

#define NO_MARKS UINT32_MAX

typedef enum check_reason {
    REASON_KEYWORD,      /**< What the keyword says. */
    REASON_SCHEMA_FALSE, /**< The keyword's schema is false. */
    REASON_TOO_MANY_STEPS,
    REASON_TOO_DEEP,
    REASON_PATTERN_LIMIT,
} check_reason;

/** The first thing that was wrong. */
typedef struct check_failure {
    check_reason reason;
    const plan_op *op; /**< NULL: the contract itself is false, or a limit. */
    const char *keyword;
    plan_place place;
    uint32_t node;            /**< Of the event. */
    const plan_name *name;    /**< required, dependent*: the member that is missing. */
    const plan_name *because; /**< dependent*: the member that asks for it. */
    uint64_t count;           /**< Matches, the equal item … */
    uint64_t other;
    const uint8_t *key; /**< propertyNames: the name. */
    uint32_t key_length;
} check_failure;

struct sl_contract_checker {
    sl_contract *contract;
    sl_contract_split *split;
    tree tree;
    regex_matcher *matcher;
    uint64_t *marks; /**< Bits of children that were evaluated: a stack. */
    uint32_t marks_used, marks_capacity;
    uint32_t *scope; /**< Resources on the way, for $dynamicRef. */
    uint32_t scope_count, scope_capacity;
    uint64_t *hashes; /**< For uniqueItems. */
    uint32_t hash_capacity;
    uint32_t steps_left;
    uint32_t matches; /**< Of patterns, in this event. */
    unsigned depth;
    bool broken; /**< A limit or memory: no way back, whatever `not` and anyOf make of it.
                  */
    bool no_memory;
    check_failure failure;
    sl_buffer texts;
    sl_contract_refused *refused;
    uint32_t refused_count, refused_capacity;
    uint8_t *state; /**< Columns: registers of run.c. */
    size_t state_capacity;
    sl_contract_counts counts;
};

/** Is the value at `node` of checker->tree good by the schema? Else see failure. */
bool sl_check_value(sl_contract_checker *c, const plan_schema *schema, uint32_t node);
/** Parse, check; in case of refusal append its texts and fill `out` with offsets for
 * sl_refusal_place(). */
SL_CHECKED sl_status sl_check_text(sl_contract_checker *c, const plan_schema *schema,
                                   const uint8_t *text, size_t length);
/** The failure as texts in c->texts; the pointers are still offsets. */
void sl_refusal_write(sl_contract_checker *c, sl_contract_refusal *out);
/** Offsets to pointers. */
void sl_refusal_place(sl_contract_checker *c, sl_contract_refusal *refusal);
