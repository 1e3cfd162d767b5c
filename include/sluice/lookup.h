/** @file lookup.h
 * Tables that events are looked up in: loaded whole, immutable, found by one key column.
 *
 * Content  CSV (RFC 4180, the first row names the columns), NDJSON (one object a line, a byte order mark before the first passed over; members that are objects or arrays count as null), or rows of
 *          values that the caller read elsewhere (SQLite, PostgreSQL). The caller moves the bytes: begin, feed, finish.
 * Key      Compared as text: an int is its digits, a date or timestamp its RFC 3339 form in UTC, a decimal its exact
 *          digits without zeros at the end. So "42" in a file is found by an event's 42 and by its "42". A double can't be a key.
 *          Rows without a key are left out and counted. Of rows with one key the last one stays; the others are counted
 *          (`duplicates`), or refused when the definition says so.
 * Types    As declared. What isn't declared is read off the whole content, per column: int when every value is one (written
 *          canonically: no "007", no "+1"), else double (finite, and "1.50" too), else bool (true, false), else timestamp
 *          (RFC 3339), else date, else string. Nothing between commas is null; so is JSON's null. The key column is a
 *          string unless declared. A table loaded again, with the columns of the first load as its definition, keeps its
 *          types: a value that doesn't fit is an error, and the old table stays in use.
 * Errors   Name line and column (CSV: of the cell; NDJSON: of the byte), or the row's number.
 * Version  Hash of format, columns and content. The same version gives the same answers.
 * Cost     A hit with 4 columns: 60 ns where the table's part is near, 180 ns all over 100,000 users; these take 5 MiB.
 * Threads  A loader: its owner. A table is immutable, its reference count is atomic. A step belongs to one worker.
 */
#pragma once

#include "sluice/hash.h"
#include "sluice/enrich.h"
#include "sluice/value.h"

#define SL_LOOKUP_COLUMNS_MAX 200u
#define SL_LOOKUP_ROWS_MAX (UINT32_C(1) << 30)

typedef enum sl_lookup_format { SL_LOOKUP_CSV, SL_LOOKUP_NDJSON, SL_LOOKUP_ROWS } sl_lookup_format;

/** A column that is wanted. `typed` false: read the type off the content. */
typedef struct sl_lookup_column {
    const char *name;
    bool typed;
    sl_type type; /**< STRING, INT64, DOUBLE, BOOL, TIMESTAMP, DATE, DECIMAL. */
    uint8_t precision, scale; /**< DECIMAL. */
} sl_lookup_column;

typedef struct sl_lookup_definition {
    const char *name; /**< For messages. */
    sl_lookup_format format;
    char delimiter;   /**< CSV; 0: ','. */
    const char *key;  /**< Name of the key column. */
    const sl_lookup_column *columns; /**< May name the key, to type it. */
    uint32_t column_count;
    bool all;          /**< Take also the columns that aren't named here, in the content's order. */
    bool unique;       /**< A second row with one key is an error. */
    bool present;      /**< NDJSON: a named column that no line has is an error, as it is one of CSV. */
    uint64_t bytes_max; /**< Limit of content, and of the table in memory; 0: 1 GiB. */
    sl_budget *budget; /**< Content and table are taken from it; SL_EFULL when they don't fit. NULL: not counted. */
    const _Atomic bool *stop; /**< Set by any thread: sl_lookup_finish() gives up with SL_EAGAIN. NULL: nobody does. */
} sl_lookup_definition;

typedef struct sl_lookup_loader sl_lookup_loader;
typedef struct sl_lookup sl_lookup;
typedef struct sl_lookup_step sl_lookup_step;

/** @param definition Copied. @return SL_EINVAL (no key, a type that can't be, a column twice), SL_ENOMEM. */
SL_CHECKED sl_status sl_lookup_begin(const sl_lookup_definition *definition, sl_lookup_loader **out, sl_error *error);
/** CSV, NDJSON: the next bytes, cut anywhere. @return SL_OK, SL_ELIMIT, SL_EFULL, SL_ENOMEM. */
SL_CHECKED sl_status sl_lookup_feed(sl_lookup_loader *loader, const void *bytes, size_t length, sl_error *error);
/** CSV, NDJSON: the content at once, instead; its memory goes to the loader. @return as sl_lookup_feed(). */
SL_CHECKED sl_status sl_lookup_feed_all(sl_lookup_loader *loader, sl_buffer *content, sl_error *error);
/** ROWS: first the names of the columns, */
SL_CHECKED sl_status sl_lookup_names(sl_lookup_loader *loader, const char *const *names, uint32_t count, sl_error *error);
/** then each row, one value a name. Order the rows, so that equal content is an equal version. */
SL_CHECKED sl_status sl_lookup_row(sl_lookup_loader *loader, const sl_value *values, sl_error *error);
/**
 * Build the table. The loader stays, to be destroyed.
 * @return SL_ESYNTAX, SL_ETYPE, SL_ENOTFOUND (a named column isn't there), SL_EEXIST (`unique`), SL_ELIMIT, SL_EFULL, SL_EAGAIN
 *         (stopped), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_lookup_finish(sl_lookup_loader *loader, sl_lookup **out, sl_error *error);
/** After that: names of the content's columns that the definition leaves out, with ", " between them. */
void sl_lookup_left_out(const sl_lookup_loader *loader, sl_buffer *out);
void sl_lookup_loader_destroy(sl_lookup_loader *loader); /**< NULL is allowed. */

sl_lookup *sl_lookup_ref(const sl_lookup *table);
void sl_lookup_unref(sl_lookup *table); /**< NULL is allowed. */
/** Count a table that was loaded without a budget, before it is shared (once: it stays where it is counted). The last reference gives it back. @return SL_OK, SL_EFULL. */
SL_CHECKED sl_status sl_lookup_charge(sl_lookup *table, sl_budget *budget);

typedef struct sl_lookup_facts {
    sl_hash128 version;
    uint64_t rows;       /**< In the table. */
    uint64_t duplicates; /**< Rows that a later one with the same key replaced. */
    uint64_t keyless;    /**< Rows without a key. */
    size_t memory;       /**< Bytes. */
} sl_lookup_facts;
sl_lookup_facts sl_lookup_facts_of(const sl_lookup *table);
/** All typed; the first is the key. The table's. */
const sl_lookup_column *sl_lookup_columns(const sl_lookup *table, uint32_t *count);
/** One key, for tests and tools. @param[out] values One for each column; texts borrow from the table. @return whether it is there. */
bool sl_lookup_find(const sl_lookup *table, const sl_value *key, sl_value *values);

/** Declare a column below `into` for each of the table's but the key; fields[i] is that of columns[i], fields[0] SL_NO_FIELD. */
SL_CHECKED sl_status sl_lookup_declare(sl_schema *schema, const char *into, const sl_lookup *table, uint32_t *fields,
                                       sl_error *error);
/** @param on Field of the key. @param fields As declared, one for each column of the table. */
SL_CHECKED sl_status sl_lookup_step_create(const sl_lookup *table, uint32_t on, const uint32_t *fields,
                                           sl_lookup_step **out);
void sl_lookup_step_destroy(sl_lookup_step *step); /**< NULL is allowed. */
/**
 * From the next batch on, this table. @return SL_EINVAL: its columns are other ones than those of the table before (load
 * with sl_lookup_columns() as definition), and the old one stays.
 */
SL_CHECKED sl_status sl_lookup_step_use(sl_lookup_step *step, const sl_lookup *table);
/** As sl_user_agent_step_run(); a double or JSON as key is absent. */
SL_CHECKED sl_status sl_lookup_step_run(sl_lookup_step *step, sl_batch *batch, sl_enrich_counts *counts);
