/** @file private.h
 * A plan is a list of operations, one for each item of a step, in order. plan.c makes it, runner.c runs it.
 */
#pragma once

#include "sluice/expression.h"
#include "sluice/steps.h"

typedef enum operation_kind {
    OPERATION_REQUIRE, /**< Expression. */
    OPERATION_WHERE,   /**< Expression. */
    OPERATION_MAKE,    /**< Expression to `target`, a new column. */
    OPERATION_SET,     /**< Expression to `target`, which has values. */
    OPERATION_DEFAULT, /**< Expression to `target` where `source` is null. */
    OPERATION_COPY,    /**< `source` to `target`. */
    OPERATION_TRIM,    /**< `source` in place; likewise: */
    OPERATION_LOWER,
    OPERATION_REDACT,
    OPERATION_HASH,
    OPERATION_ENRICH, /**< `source` to `fields`, by what the step asks. */
} operation_kind;

typedef struct operation {
    operation_kind kind;
    uint32_t step, item;
    const char *text;         /**< Of the expression. */
    sl_expression_name *names; /**< What it may use; the plan's. */
    uint32_t name_count;
    uint32_t source, target;  /**< Fields of the plan's schema. */
    const uint32_t *fields;   /**< ENRICH: */
    uint32_t field_count;
    uint32_t *objects;        /**< Around `target`, those that an event may lack, the outermost first: they are there where it
                                   gets a value. */
    uint32_t object_count;
    const char *pointer;      /**< REQUIRE: JSON pointer of the field that is its label, or "". */
} operation;

#define ALWAYS UINT32_MAX /**< In `columns`: an object that is there in every row. */

struct sl_steps {
    _Atomic uint32_t references;
    const sl_step_definition *definitions;
    uint32_t count;
    sl_schema *schema, *output;
    uint32_t *columns; /**< [output->count] fields of `schema`, or ALWAYS. */
    operation *operations;
    uint32_t operation_count, operation_capacity;
    sl_arena arena; /**< Texts and names. */
};

/* enrichment.c: the three steps that ask data from outside. */
/** Declare the columns of a step. @param[out] fields As its kind has them, `count`; the arena's. */
sl_status enrichment_declare(sl_steps *plan, const sl_step_definition *d, const uint32_t **fields, uint32_t *count,
                             sl_error *error);
typedef struct enrichment enrichment;
enrichment *enrichment_create(const sl_step_definition *d, const operation *o);
/** Newer data, if it is in place of the definition's. */
void enrichment_use(enrichment *e, const sl_step_definition *d, const sl_step_data *data);
void enrichment_destroy(enrichment *e); /**< NULL is allowed. */
sl_status enrichment_run(enrichment *e, sl_batch *batch, sl_step_count *count);

/** HMAC-SHA-256 with one key. */
typedef struct digest digest;
digest *digest_create(const char *key);
void digest_destroy(digest *d); /**< NULL is allowed. */
#define DIGEST_HEX 64u
/** @return false when out of memory. */
bool digest_text(digest *d, const void *text, size_t length, char out[DIGEST_HEX]);
