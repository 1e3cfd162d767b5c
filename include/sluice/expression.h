/** @file expression.h
 * Expressions of the configuration: the Common Expression Language, typed against named columns,
 * compiled once and evaluated column-wise.
 *
 * Built    The language of docs/expressions.md: CEL without messages, optional values, maps and lists of lists as values; list
 *          macros on lists as they are written. What isn't built is SL_EUNSUPPORTED with its place.
 * Beyond   A number literal beside a decimal is that exact decimal; a string literal beside a date is a date;
 *          `name == null` is true where the member is absent or null; `test ? x : null` gives null.
 * Errors   An error at a row (division by zero, overflow, a missing value) makes that row's result null and
 *          is counted; && and || absorb it as CEL says (false && error is false). null as an answer of the
 *          outermost ?: isn't counted. What fails on every row is SL_ETYPE when compiled.
 * Numbers  int, uint, double and decimal compare and mix: int op int is int (checked), anything with a double is
 *          double, decimals are compared and added exactly with each other and with ints. int / int is CEL's
 *          integer division, except in measures (`real_division`), where every `/` gives a double.
 * Memory   Texts that a row makes come from an arena that is reset every 512 rows; one text is at most 16 MiB.
 *          Time zones are read from /usr/share/zoneinfo when compiled.
 * Threads  A compiled expression is owned by one thread (it holds scratch columns).
 * Source   github.com/google/cel-spec, doc/langdef.md; cel-go's extensions "strings", "math" and "encoders".
 */
#pragma once

#include "sluice/batch.h"
#include "sluice/value.h"

/** Names an expression may use. */
typedef struct sl_expression_name {
    const char *path; /**< Dotted. */
    sl_type type;
    uint8_t scale;
    uint32_t column; /**< Field index in batches, for sl_expression_run(); given back by sl_expression_fields(). */
} sl_expression_name;

typedef struct sl_expression sl_expression;

/**
 * Against the fields of a schema (columns are field indices).
 * @return SL_ESYNTAX, SL_ETYPE, SL_ENOTFOUND (unknown name; the nearest is named), SL_EUNSUPPORTED, with the text
 *         and a caret line in `error`: "column 9: …\n  amount > 'x'\n         ^".
 */
SL_CHECKED sl_status sl_expression_compile(const char *text, const sl_schema *schema,
                                           sl_expression **out, sl_error *error);
/** Against plain names (measures). */
SL_CHECKED sl_status sl_expression_compile_names(const char *text, const sl_expression_name *names,
                                                 size_t count, bool real_division,
                                                 sl_expression **out, sl_error *error);
void sl_expression_destroy(sl_expression *expression);
sl_type sl_expression_type(const sl_expression *expression); /**< BOOL, INT64, DOUBLE, DECIMAL, STRING, TIMESTAMP, DATE. */
uint8_t sl_expression_scale(const sl_expression *expression); /**< Of a DECIMAL result, else 0. */
/** Field indices (or columns) that it reads. */
const uint32_t *sl_expression_fields(const sl_expression *expression, size_t *count);
/**
 * Evaluate for rows 0..batch->rows, whatever their verdict. A field whose type in the batch's schema is another than
 * when compiled counts as missing: compile anew when an inferred schema widens. @return A column of that many cells, the expression's own until the next
 * call; NULL when out of memory. `errors` (may be NULL) is increased by the rows that failed.
 */
const sl_column *sl_expression_run(sl_expression *expression, const sl_batch *batch, uint64_t *errors);
/**
 * Text of a STRING result's cell: `span` from the column that sl_expression_run() gave, `batch` the one it ran on.
 * Only where the expression is a field alone does sl_batch_text() give the same.
 */
const uint8_t *sl_expression_text(const sl_expression *expression, const sl_batch *batch, sl_span span);
/**
 * Evaluate, and write the result into columns[field] of rows whose verdict is SL_VERDICT_KEEP; the others
 * keep what they have. A row that failed becomes null and is counted in `errors` (may be NULL). Texts that are part
 * of the batch stay where they are, in `raw` or its arena; made ones are copied to the arena. Where `field` is
 * a member of an object that a row lacks, the row gets the object, with this member alone. The expression may read `field`.
 * @return SL_OK; SL_ETYPE: the field's type or scale isn't the result's, nothing changed; SL_ENOMEM: some rows may
 *         have been written.
 */
SL_CHECKED sl_status sl_expression_assign(sl_expression *expression, sl_batch *batch,
                                          uint32_t field, uint64_t *errors);
/**
 * Why the row's result is an error, for a dead letter: "`amount` is missing", "column 9: division by zero, or
 * overflow". Evaluates the row anew; a column from sl_expression_run() stays as it is.
 * @return SL_OK when it is none, SL_EINVAL with the text, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_expression_explain(sl_expression *expression, const sl_batch *batch,
                                           uint32_t row, sl_error *error);
/** One row from values: values[i] for names[i]. The result borrows from the expression; null also when out of memory. */
sl_value sl_expression_value(sl_expression *expression, const sl_value *values);
