/** @file warehouse_sql.h
 * What the warehouses behind a socket share: names, DDL, ledger statements, fitting of values, merging of window rows.
 * Everything is text and values; nothing here talks to a server.
 *
 * Tables   As in the embedded warehouse. A window: window_start, the group columns, one column per measure
 *          (`NAME__state` beside those that need it), `_key`, `_rows`, `_hash`. Rows: the stream's columns (`a_b`),
 *          `_partition`, `_position`, `_hash`. Beside each `sluice_ledger_TABLE`: id, partition, position, hash, rows.
 * Names    "events" or "analytics.events". A name longer than the server allows is cut and gets 8 digits of its hash;
 *          one that the server or we use ourselves, or that another column has, gets '_' or a number. The same columns in the
 *          same order always get the same names.
 * Hash     `_hash` is the sum of one hash per cell that isn't null, seeded by the column's name; so columns in any order, and
 *          columns added later, leave it as it is. JSON cells count by being there, as servers rewrite JSON.
 * Bytes    `_key` and states are BYTES; in Redshift `_key` is a text of hex digits (VARCHAR joins and distributes), states
 *          are VARBYTE. The values that come out of here have the types of their columns already.
 * Threads  Values; a table is immutable once made.
 */
#pragma once

#include "sluice/rows.h"
#include "sluice/window.h"

typedef enum sl_dialect { SL_DIALECT_POSTGRES, SL_DIALECT_REDSHIFT, SL_DIALECT_ATHENA } sl_dialect;

/* --- names and literals --- */

/** The name as the server knows it (shortened; Redshift, Athena: folded to lower case), unquoted. */
void sl_dialect_name(sl_dialect dialect, const char *name, sl_buffer *out);
/** "name" quoted, as it is. */
void sl_dialect_quote(sl_dialect dialect, const char *name, sl_buffer *out);
/** 'text' quoted. No E'': Redshift doesn't know it and takes backslashes as escapes, PostgreSQL is told not to. */
void sl_dialect_literal(sl_dialect dialect, const char *text, size_t length, sl_buffer *out);

/* --- tables --- */

typedef enum sl_column_role {
    SL_COLUMN_FIELD,     /**< Row file's column `index`. */
    SL_COLUMN_START,     /**< window_start */
    SL_COLUMN_GROUP,     /**< Plan's key `index`. */
    SL_COLUMN_MEASURE,   /**< Plan's measure `index`. */
    SL_COLUMN_STATE,     /**< Its state. */
    SL_COLUMN_KEY,       /**< `_key`: sl_warehouse_key(). Unique. BYTES. */
    SL_COLUMN_ROWS,      /**< `_rows`: events folded in. */
    SL_COLUMN_HASH,      /**< `_hash` */
    SL_COLUMN_PARTITION, /**< `_partition`: id of the ledger row. */
    SL_COLUMN_POSITION   /**< `_position`: the row file's own first column. */
} sl_column_role;

typedef struct sl_warehouse_column {
    char *name;              /**< As the server knows it, unquoted. */
    char *source;            /**< As the row file or plan has it. */
    sl_type type;
    uint8_t precision, scale; /**< DECIMAL; precision is 18 unless known. */
    sl_column_role role;
    uint32_t index;
    uint64_t seed;           /**< Of its cells' hashes. */
    bool required;           /**< NOT NULL */
    bool unique;             /**< The id of an upsert. */
} sl_warehouse_column;

typedef struct sl_warehouse_table {
    sl_dialect dialect;
    char *schema;    /**< "" when the name has none. */
    char *name;      /**< As the server knows it. */
    char *full;      /**< Quoted, with schema: for statements. */
    char *ledger;    /**< The ledger table, likewise. */
    char *ledger_name;
    bool window;
    sl_warehouse_column *columns; /**< Rows: `_partition`, `_position`, `_hash`, fields. Windows: start, groups, measures
                                       with states, `_key`, `_rows`, `_hash`. */
    uint32_t count;
} sl_warehouse_table;

/** @param columns Of a row file: the first is `_position`. @param id Field that an upsert goes by (path or column name), or NULL. */
SL_CHECKED sl_status sl_warehouse_table_of_rows(sl_dialect dialect, const char *name,
                                                const sl_rows_column *columns, uint32_t count, const char *id,
                                                sl_warehouse_table *out, sl_error *error);
/** Row files don't know the precision of decimals: take it from the stream's schema. */
void sl_warehouse_precise(sl_rows_column *columns, uint32_t count, const sl_schema *schema);
/** The table of the row files that `schema` gives. */
SL_CHECKED sl_status sl_warehouse_table_of_schema(sl_dialect dialect, const char *name, const sl_schema *schema,
                                                  const char *id, sl_warehouse_table *out, sl_error *error);
SL_CHECKED sl_status sl_warehouse_table_of_window(sl_dialect dialect, const char *name,
                                                  const sl_window_plan *plan, sl_warehouse_table *out,
                                                  sl_error *error);
void sl_warehouse_table_fini(sl_warehouse_table *table);

/** "BIGINT", "NUMERIC(18,2)", … of the dialect. */
void sl_warehouse_type(sl_dialect dialect, const sl_warehouse_column *column, sl_buffer *out);
/** CREATE TABLE IF NOT EXISTS …, without ';'. Redshift: DISTKEY, SORTKEY. */
void sl_warehouse_create(const sl_warehouse_table *table, sl_buffer *out);
/** ALTER TABLE … ADD COLUMN … for one column that the live table lacks. */
void sl_warehouse_add_column(const sl_warehouse_table *table, const sl_warehouse_column *column, sl_buffer *out);
/** "a","b",… : quoted names of all columns; `prefix` ("s.") stands before each, or "". */
void sl_warehouse_columns(const sl_warehouse_table *table, const char *prefix, sl_buffer *out);

/** Quoted name of the table beside it, for rows that don't fit (SL_FIT_DEAD_LETTER): "sluice_dead_TABLE".
 *  @param target The table's name as configured. */
void sl_warehouse_dead_table(const sl_warehouse_table *table, const char *target, sl_buffer *out);

/* --- the ledger --- */

/** What a load brings: for the check. */
typedef struct sl_warehouse_move {
    const char *table;     /**< For messages. */
    const char *partition; /**< "journal:UUID" */
    uint64_t from, to;
    bool first;            /**< The table's first entry: no ledger row is expected. */
    const char *hash;
    uint64_t rows;         /**< Events that it brings; for sl_warehouse_ledger_move(). */
    const char *ranges;    /**< Of other logs' partitions, lines of sl_range_put(), each partition once; NULL: none. */
    int64_t last_id;       /**< With ranges: highest id of the ledger. */
} sl_warehouse_move;
/** What the ledger has of partitions that several readers bring: every row but those of journals. */
typedef struct sl_warehouse_parts {
    sl_buffer lines;       /**< sl_range_put(): from 0 to the row's position. */
    int64_t last_id;       /**< Highest of all rows, journals' too. */
} sl_warehouse_parts;
void sl_warehouse_ledger_create(const sl_warehouse_table *table, sl_buffer *out);
/** To be sent alone, first in the transaction. PostgreSQL: IN EXCLUSIVE MODE, readers pass. */
void sl_warehouse_ledger_lock(const sl_warehouse_table *table, sl_buffer *out);
/** SELECT id, position, hash, rows of one partition: no row or one. */
void sl_warehouse_ledger_read(const sl_warehouse_table *table, const char *partition, sl_buffer *out);
/** SELECT id, partition, position, hash, rows of all partitions, in order of id. */
void sl_warehouse_ledger_all(const sl_warehouse_table *table, sl_buffer *out);
/** INSERT of a new partition's row (its id is the highest + 1), position `from`, hash '', rows 0: only under the lock. */
void sl_warehouse_ledger_insert(const sl_warehouse_table *table, const sl_warehouse_move *move, sl_buffer *out);
/**
 * UPDATE to `to`, hash and rows + move->rows. Its tag must say that one row changed. With ranges two statements stand before it: their
 * rows are deleted, and inserted with ids above `last_id`; only under the lock.
 */
void sl_warehouse_ledger_move(const sl_warehouse_table *table, const sl_warehouse_move *move, sl_buffer *out);
/**
 * I4. @param position, hash Cells of the ledger's row; NULL: there is none.
 * @return SL_OK: load; SL_EEXIST: done already; SL_ECONFLICT with both positions in `error`.
 */
SL_CHECKED sl_status sl_warehouse_ledger_check(const sl_warehouse_move *move, const char *position,
                                               const char *hash, sl_error *error);
/** Take in a row of sl_warehouse_ledger_all(). @param cells id, partition, position. @return SL_OK, SL_ECONFLICT: it isn't a ledger's; SL_ENOMEM. */
SL_CHECKED sl_status sl_warehouse_parts_add(sl_warehouse_parts *parts, const char *table, const char *const cells[3],
                                            sl_error *error);
/**
 * After sl_warehouse_ledger_check(): may move->ranges be brought? Journals' positions and these are of one SELECT; as none goes back,
 * SL_EMOVED stands without the lock, too.
 * @param[out] found Gets parts->lines with SL_EMOVED; or NULL. @return SL_OK, also without ranges; SL_EMOVED, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_warehouse_parts_check(const sl_warehouse_move *move, sl_warehouse_parts *parts, sl_buffer *found,
                                              sl_error *error);
void sl_warehouse_parts_fini(sl_warehouse_parts *parts); /**< And begin anew. */

/* --- what the live table takes --- */

/** What is done with a text that is longer than VARCHAR(n). */
typedef enum sl_fit_policy { SL_FIT_TRUNCATE, SL_FIT_DEAD_LETTER } sl_fit_policy;

/** What one table's configuration says. */
typedef struct sl_warehouse_rules {
    bool create;          /**< Create the table, add columns. */
    sl_fit_policy policy;
    const char *id;       /**< Column that rows are kept by (upsert), or NULL: they are appended. */
} sl_warehouse_rules;

/** A column as the server's catalog has it. */
typedef struct sl_live_column {
    char *name;
    char *type;       /**< information_schema's data_type: "character varying", "numeric", … in lower case. */
    int64_t length;   /**< Characters (PostgreSQL) or bytes (Redshift) of a text; 0: no limit. */
    int64_t precision, scale; /**< numeric; precision 0: any. */
    bool must;        /**< NOT NULL and no default. */
} sl_live_column;
typedef struct sl_live_table {
    sl_live_column *columns;
    uint32_t count;
} sl_live_table;

/** SELECT column_name, data_type, length, precision, scale, must (0 or 1) of the table, by position. No row: no table. */
void sl_warehouse_live(const sl_warehouse_table *table, sl_buffer *out);
/** One row of that. @param cells NULL where null. */
SL_CHECKED sl_status sl_live_table_add(sl_live_table *live, const char *const cells[6]);
void sl_live_table_fini(sl_live_table *live);
const sl_live_column *sl_live_find(const sl_live_table *live, const char *name);
/**
 * Are all columns that the live table has of types that take ours without loss, and does it want nothing we don't bring?
 * Columns that it lacks are the caller's to add, or to refuse.
 * @return SL_OK; SL_ETYPE with column, both types and what would help.
 */
SL_CHECKED sl_status sl_live_check(const sl_live_table *live, const sl_warehouse_table *table, sl_error *error);
/**
 * Make one value fit: texts to their length at a character's boundary; JSON that the server can't hold (\u0000, lone
 * surrogates, numbers beyond its range) becomes a JSON string of its text, whatever the policy; JSON that is too long, with
 * SL_FIT_TRUNCATE, a JSON string of as much of its text as fits. A NUL in a text becomes U+FFFD.
 * @param live NULL: only what holds for every table of the dialect.
 * @param scratch Holds what the new value borrows.
 * @return SL_OK and *value, maybe changed (*changed); SL_ELIMIT: too long and the policy says dead letter.
 */
SL_CHECKED sl_status sl_warehouse_fit(sl_dialect dialect, const sl_live_column *live, sl_fit_policy policy,
                                      sl_value *value, sl_arena *scratch, bool *changed);

/* --- rows and windows --- */

/** `_hash` of a row's values, in the table's order of columns. */
uint64_t sl_warehouse_row_hash(const sl_warehouse_table *table, const sl_value *values);
/**
 * Values of an event row in the table's order. @param row The row file's, `count` of them. @param out table->count values.
 * @param partition Id of the ledger's row.
 */
void sl_warehouse_row(const sl_warehouse_table *table, const sl_value *row, int64_t partition, sl_value *out);
/**
 * `_key` of a window's row: 8 bytes of start (sorts by time), then the group's bytes; from 500 bytes on 0xff and their
 * 128-bit hash instead, as servers limit what an index takes. Appended to `out`.
 */
void sl_warehouse_key(int64_t start_us, const uint8_t *key, size_t key_length, sl_buffer *out);

/**
 * A cell in the server's text form to a value of the column's type; borrows from `text` and `scratch`.
 * `text` NULL: null. BYTES: hex digits, with or without "\\x". @return false: it is none.
 */
SL_CHECKED bool sl_warehouse_cell(const sl_warehouse_column *column, const char *text, size_t length,
                                  sl_arena *scratch, sl_value *out);
/**
 * State of a row as it is stored. @param values In the table's order, as sl_warehouse_cell() gave them.
 * @return SL_OK, SL_ETYPE, SL_ECORRUPT, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_warehouse_window_state(const sl_warehouse_table *table, const sl_window_plan *plan,
                                               const sl_value *values, sl_buffer *state);
/**
 * Values of a window's row from its state, in the table's order, with `_key`, `_rows` and `_hash`.
 * They borrow from `key`, `state` and `scratch` (cleared first). @param out table->count values.
 * @return SL_OK, SL_ECORRUPT, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_warehouse_window_values(const sl_warehouse_table *table, const sl_window_plan *plan,
                                                int64_t start_us, const uint8_t *key, size_t key_length,
                                                const uint8_t *state, size_t state_length, sl_buffer *scratch,
                                                sl_value *out);
