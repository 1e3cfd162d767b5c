/** @file steps.h
 * What a stream's configuration does to its events between decoding and tables: refuse them, pass them
 * over, set, rename, drop and clean members.
 *
 * Plan     From the definitions, and the schema that events are decoded with, come two schemas: the one that batches are
 *          prepared with (the event's members and the columns of steps), and the one that tables see.
 * Order    As configured; a step sees what the steps before it made.
 * Result   A function of the batch alone: no clock, no state from batch to batch.
 * Threads  A plan is immutable and shared. A runner belongs to one thread; it holds the expressions' scratch.
 */
#pragma once

#include "sluice/geoip.h"
#include "sluice/lookup.h"
#include "sluice/user_agent.h"

#define SL_STEPS_MAX 100u /**< Of one stream. */

typedef enum sl_step_kind {
    SL_STEP_REQUIRE, /**< Items: label, condition. Where it isn't true (false, null, an error), the event is a dead letter. */
    SL_STEP_WHERE,   /**< One text, a condition. Where it isn't true, the event is passed over, and counted. */
    SL_STEP_SET,     /**< Items: field, expression. A new field has its type; one that is there keeps its own. */
    SL_STEP_DEFAULT, /**< As SET, where the field is null or absent. */
    SL_STEP_CAST,    /**< Items: field, type ("string", "integer", "number", "boolean", "date-time", "date"). What can't be converted becomes null. */
    SL_STEP_RENAME,  /**< Items: field, new name. */
    SL_STEP_DROP,    /**< Names: tables don't see these fields. */
    SL_STEP_TRIM,    /**< Names: strings without white space at their ends. */
    SL_STEP_LOWER,   /**< Names: strings with A to Z in lower case. */
    SL_STEP_REDACT,  /**< Names: a string that is there becomes "***". */
    SL_STEP_HASH,    /**< Names, and a `salt`: a string becomes its HMAC-SHA-256 in hexadecimal (RFC 2104, FIPS 180-4). */
    SL_STEP_USER_AGENT, /**< From one field into an object of new ones; likewise: */
    SL_STEP_GEOIP,
    SL_STEP_LOOKUP,
    SL_STEP_KINDS
} sl_step_kind;
const char *sl_step_name(sl_step_kind kind); /**< "require", as in the configuration. */

typedef struct sl_step_item {
    char *name;
    char *text; /**< NULL where a step takes names alone. */
    uint32_t line;
} sl_step_item;

/** Borrowed by plans, which it outlives. */
typedef struct sl_step_definition {
    sl_step_kind kind;
    sl_step_item *items;
    uint32_t count;
    char *salt;        /**< Of HASH. */
    char *source;      /**< Of the next three, as configured: path, or name of the table; may be NULL. */
    char *from, *into; /**< Of USER_AGENT, GEOIP, LOOKUP; and what they ask, one of: */
    sl_user_agent_rules *rules;
    sl_geoip *database;
    const sl_lookup *table;
    int64_t refresh_us; /**< GEOIP: the file is looked at again so often; 0: with reloads alone. */
    uint32_t line;
} sl_step_definition;

/** Newer data in place of what definitions name. */
typedef struct sl_step_data {
    const sl_lookup *of_table;   /**< A definition's table; or */
    const sl_geoip *of_database; /**< its database; the other is NULL. */
    sl_lookup *table;            /**< What is asked instead; has the same columns. */
    sl_geoip *database;
} sl_step_data;

typedef struct sl_steps sl_steps;

/**
 * @param schema       What events are decoded with.
 * @param event_time   Field of the event time, which steps leave alone; may be NULL.
 * @param[out] wrong   The item that `error` is about, as step << 16 | item.
 * @return SL_OK; what sl_expression_compile() returns; SL_ENOTFOUND (a field, the nearest is named), SL_ETYPE, SL_EEXIST, SL_EINVAL.
 */
SL_CHECKED sl_status sl_steps_create(const sl_step_definition *definitions, uint32_t count,
                                     const sl_schema *schema, const char *event_time, sl_steps **out,
                                     uint32_t *wrong, sl_error *error);
sl_steps *sl_steps_ref(sl_steps *steps);
void sl_steps_unref(sl_steps *steps); /**< NULL is allowed. */
/** What batches are prepared and decoded with; `schema` with the columns of steps behind its own. The plan's. */
const sl_schema *sl_steps_schema(const sl_steps *steps);
/** What tables see. The plan's. */
const sl_schema *sl_steps_output(const sl_steps *steps);

/** Of one step, in events; added to by each run. */
typedef struct sl_step_count {
    uint64_t passed;  /**< Kept, changed or not. */
    uint64_t changed; /**< Of those: a member has another value than before. */
    uint64_t refused; /**< Dead letters, or passed over. */
    uint64_t missed;  /**< USER_AGENT, GEOIP, LOOKUP: a value that nothing is known about. */
    uint64_t errors;  /**< Expressions that failed at an event (CEL's errors, such as a division by zero). */
} sl_step_count;

typedef struct sl_step_runner sl_step_runner;
/** Keeps a reference to the plan. @return SL_OK, SL_ENOMEM. */
SL_CHECKED sl_status sl_step_runner_create(sl_steps *steps, sl_step_runner **out);
/** From the next batch on, this data; steps that none of it is for keep theirs. References are taken. */
void sl_step_runner_use(sl_step_runner *runner, const sl_step_data *data, size_t count);
void sl_step_runner_destroy(sl_step_runner *runner); /**< NULL is allowed. */
/**
 * Run all steps over the rows whose verdict is SL_VERDICT_KEEP. Refused rows get their verdict and a reject (SL_CODE_REQUIRE).
 * @param batch   Prepared with sl_steps_schema(); once.
 * @param counts  One for each definition; may be NULL.
 * @return SL_OK, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_step_runner_run(sl_step_runner *runner, sl_batch *batch, sl_step_count *counts);
/**
 * A batch that has been run as tables see it, with the schema of sl_steps_output(): the runner's, until its next view. It has the
 * rows, verdicts and texts of `batch` and must not outlive it.
 */
const sl_batch *sl_step_runner_view(sl_step_runner *runner, const sl_batch *batch);
