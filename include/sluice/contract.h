/** @file contract.h
 * JSON Schema (draft 2020-12) as a stream's contract: compiled once, checked on the columns
 * of a batch where that is enough, on a tree of the event's text where it isn't.
 *
 * Keywords All of core, applicator, unevaluated and validation; `format` is asserted.
 *          docs/schema.md has the list. An unknown keyword is an error at compile that names
 *          its JSON pointer; names that begin with "x-" are annotations. `definitions` and
 *          `dependencies` of older drafts work.
 * Numbers  Compared exactly, whatever their length: 1.0 is 1, 0.1 is a tenth.
 * Keys     Of equal ones in one object the last counts, as it does for decoders.
 * Decimals Beside x-decimal a value is a number, or a string that holds one; its digits must
 *          fit. `type` number, integer and string mean both forms there, as in the column.
 * Limits   Nesting SL_DEPTH_MAX; a million values; steps_max schemas tried per event;
 *          patterns have a limit of their own. What reaches a limit is refused (keyword
 *          "limit"), the same way each time.
 * Memory   A checker's scratch grows and is kept (what one very large event needed is given
 *          back): nothing is allocated per event in steady state.
 * Threads  A contract and a split are immutable and shared; a checker has one owner.
 * Source   JSON Schema draft 2020-12: core, validation. ECMA-262 for patterns.
 */
#pragma once

#include "sluice/batch.h"

typedef struct sl_contract sl_contract;
typedef struct sl_contract_split sl_contract_split;
typedef struct sl_contract_checker sl_contract_checker;

/** A schema document that `$ref` may name. */
typedef struct sl_contract_document {
    const char *uri; /**< Absolute; its own `$id` counts as well. */
    const char *text;
    size_t length;
} sl_contract_document;

typedef struct sl_contract_options {
    /** `format` is not asserted, and unknown ones are no error. */
    bool format_annotates;
    /** Unknown keywords are annotations. */
    bool unknown_annotates;
    /** A date-time may have a space for its T, as the decoder reads it. Set it where batches
     * are checked: else every timestamp column needs the tree. */
    bool spaced_times;
    uint32_t steps_max;                    /**< 0: 1,000,000. */
    const sl_contract_document *documents; /**< Borrowed for the call. */
    size_t document_count;
} sl_contract_options;

/**
 * @param options NULL: all zero.
 * @param[out] out Reference count 1; NULL on failure.
 * @return SL_OK; SL_ESYNTAX (no JSON); SL_EINVAL (a keyword's value is wrong, a `$ref`
 * leads nowhere or round in a circle); SL_EUNSUPPORTED (keyword, format, dialect,
 * pattern); SL_ELIMIT; SL_ENOMEM. The error names the JSON pointer:
 * "/properties/a/minimum: is not a number".
 */
SL_CHECKED sl_status sl_contract_compile(const char *json, size_t length,
                                         const sl_contract_options *options,
                                         sl_contract **out, sl_error *error);
sl_contract *sl_contract_ref(const sl_contract *contract);
void sl_contract_unref(const sl_contract *contract); /**< NULL is allowed. */

/**
 * The columns that the contract gives: what the schemas at the place of each member of
 * `properties`, through `$ref` and `allOf`, say of its type; enum and const tell it where
 * nothing else does. Several types, an array, an object without `properties` and one that
 * holds itself are JSON text.
 * @param with_rest Add `_rest` unless the root refuses members that it doesn't name.
 * @return SL_OK, SL_EUNSUPPORTED, SL_EINVAL, SL_ELIMIT (with the place), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_contract_columns(const sl_contract *contract, const char *name,
                                         bool with_rest, sl_schema **out,
                                         sl_error *error);

/** Why an event is refused. Texts are the checker's, until its next call, and end in a NUL
 * that their lengths don't count. */
typedef struct sl_contract_refusal {
    /** JSON pointer (RFC 6901) of the place in the event; "" is the event itself. */
    const char *pointer;
    /** "minimum"; "false" for a schema that is false; "syntax"; "limit". */
    const char *keyword;
    /** JSON pointer of the keyword in the schema; before '#' the URI of its document, unless
     * that is the first. */
    const char *rule;
    /** Start of the value there, as it stands, at most SL_CONTRACT_VALUE_MAX bytes. */
    const char *value;
    /** One sentence: "amount: -3 is less than the minimum 0". */
    const char *message;
    uint32_t pointer_length, rule_length, value_length, message_length;
    uint32_t at; /**< First byte of the value, from the event's. */
} sl_contract_refusal;
#define SL_CONTRACT_VALUE_MAX 64u

/**
 * Which of the contract's assertions the decoder of `schema` has already enforced, which
 * can be checked on columns, and which need the tree. One per version of the schema.
 * @param schema Of the columns; referenced.
 * @return SL_OK, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_contract_split_create(const sl_contract *contract,
                                              const sl_schema *schema,
                                              sl_contract_split **out);
sl_contract_split *sl_contract_split_ref(const sl_contract_split *split);
void sl_contract_split_unref(const sl_contract_split *split); /**< NULL is allowed. */
/** Has it a rule that sends every row to the tree? */
bool sl_contract_split_needs_tree(const sl_contract_split *split);
/** Is there nothing to check, because decoding is enough? */
bool sl_contract_split_is_empty(const sl_contract_split *split);
/** One line for each check, for people and tests: "amount: all(minimum, maximum)\n". */
void sl_contract_split_describe(const sl_contract_split *split, sl_buffer *out);

/** @param split NULL when only texts are checked; else of this contract. Both are
 * referenced. @return SL_OK, SL_ENOMEM. */
SL_CHECKED sl_status sl_contract_checker_create(const sl_contract *contract,
                                                const sl_contract_split *split,
                                                sl_contract_checker **out);
void sl_contract_checker_destroy(sl_contract_checker *checker); /**< NULL is allowed. */
size_t sl_contract_checker_memory(
    const sl_contract_checker *checker); /**< Bytes of scratch held. */

/**
 * One event by its text, on the tree.
 * @param text Any bytes, with SL_PADDING readable ones behind them.
 * @param[out] refusal Filled when SL_EINVAL is returned.
 * @return SL_OK: it fulfils the contract. SL_EINVAL: it doesn't, or is no JSON.
 * SL_ENOMEM.
 */
SL_CHECKED sl_status sl_contract_check(sl_contract_checker *checker, const uint8_t *text,
                                       size_t length, sl_contract_refusal *refusal);

typedef struct sl_contract_refused {
    uint32_t row;
    sl_contract_refusal refusal;
} sl_contract_refused;

typedef struct sl_contract_counts {
    uint64_t rows;  /**< Looked at. */
    uint64_t trees; /**< Of them, those whose text was parsed. */
    uint64_t refused;
} sl_contract_counts;

/**
 * Rows [from, to) of a batch that was decoded with the split's schema. Rows whose verdict
 * isn't KEEP are skipped. The batch is not changed.
 * @param[out] refused  In order of rows; the checker's until its next call.
 * @return SL_OK, SL_ENOMEM (nothing is known about the rows).
 */
SL_CHECKED sl_status sl_contract_run(sl_contract_checker *checker, const sl_batch *batch,
                                     uint32_t from, uint32_t to,
                                     const sl_contract_refused **refused, size_t *count);
sl_contract_counts sl_contract_checker_counts(const sl_contract_checker *checker);
