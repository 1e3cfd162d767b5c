/* One connection, and the load that it is busy with. */
#pragma once

#include "binary.h"
#include "spool.h"

#include "sluice/postgres_target.h"

#define SL_STAGE "pg_temp.\"sluice_stage\""

typedef struct sl_pg_target sl_pg_target;

typedef enum sl_pg_step {
    STEP_CONNECT,
    STEP_LIVE,  /* What does the table look like? */
    STEP_ALTER, /* Create it, or add columns; then look again. */
    STEP_PEEK,  /* Was the entry loaded before? Saves the work; what counts is CHECK. */
    STEP_STAGE, /* The session's temporary table. */
    STEP_COPY,  /* Rows into it. */
    STEP_BEGIN,
    STEP_LOCK, /* Alone, and the transaction's first. */
    STEP_CHECK,
    STEP_ENTER,      /* The partition's first row in the ledger; then check again. */
    STEP_INSERT,     /* Rows: from the temporary table. */
    STEP_DEAD_TABLE, /* Rows that don't fit. */
    STEP_DEAD,
    STEP_READ,   /* Windows: the rows that the next deltas touch, */
    STEP_WRITE,  /* merged, into the temporary table, */
    STEP_UPSERT, /* and into the table. */
    STEP_MOVE,
    STEP_COMMIT,
    STEP_ROLLBACK,
    STEP_PAUSE, /* Then all of it again, or the end. */
} sl_pg_step;

/* One (window, group) of a chunk. All of it lies in the loader's arena. */
typedef struct sl_pg_delta {
    int64_t start;
    const uint8_t *group, *state, *key;
    size_t group_length, state_length, key_length;
} sl_pg_delta;

typedef struct sl_pg_loader {
    sl_pg_target *target;
    sl_postgres *db;
    const sl_delivery *delivery; /* NULL: idle. */
    sl_target_done_fn *done;
    void *context;
    uint64_t affinity;    /* Hash of the table that was loaded last. */
    uint64_t stage_shape; /* Of the session's temporary table; 0: there is none. */
    uint64_t ensured;     /* Hash of the table whose ledger is there. */

    sl_pg_step step;
    unsigned attempt, looks;
    bool in_transaction, loaded, ending;
    sl_status outcome;
    sl_error error;

    sl_warehouse_table shape;
    sl_live_table live;
    const sl_live_column **live_of; /* By column. */
    bool *as_text;                  /* JSON in a column that isn't jsonb. */
    sl_value *values;               /* By column. */
    sl_warehouse_rules rules;
    int64_t id; /* Of the ledger's row. */
    sl_warehouse_parts parts; /* Of its other rows, where the entry brings ranges. */
    uint64_t rows, staged;

    sl_spool spool;
    sl_buffer text, out, dead;
    uint64_t dead_rows;
    bool out_ended;
    sl_arena arena;
    sl_value *row; /* Of the widest file; others are spread over it. */
    uint32_t row_columns, *spread;

    sl_pg_delta *deltas;
    uint32_t delta_count, delta_at;
    bool spool_ended, chunk_again;
    sl_buffer key, state, merged;
    uint64_t cut_texts;
} sl_pg_loader;

/* rows.c */
/** The table that the entry's files are rows of. */
SL_CHECKED sl_status sl_pg_rows_shape(sl_pg_loader *loader, sl_error *error);
/** sl_postgres_source_fn: the files as binary COPY. */
sl_status sl_pg_rows_source(void *context, const uint8_t **bytes, size_t *length,
                            sl_error *error);
sl_status sl_pg_dead_source(void *context, const uint8_t **bytes, size_t *length,
                            sl_error *error);
/** Encode loader->values, fitted to the live table; what doesn't fit is SL_ELIMIT and
 * *column. */
SL_CHECKED sl_status sl_pg_encode(sl_pg_loader *loader, sl_fit_policy policy,
                                  uint32_t *column, sl_buffer *out);
/* windows.c */
/** The next deltas, ordered by key, each key once. @return SL_ENOTFOUND: there are no
 * more. */
SL_CHECKED sl_status sl_pg_chunk(sl_pg_loader *loader, sl_error *error);
/** Merge what the table has of them into them. */
SL_CHECKED sl_status sl_pg_merge(sl_pg_loader *loader, const sl_postgres_result *result,
                                 sl_error *error);
sl_status sl_pg_chunk_source(void *context, const uint8_t **bytes, size_t *length,
                             sl_error *error);
/** Quoted names of the columns that a merge reads. */
void sl_pg_merge_columns(const sl_warehouse_table *table, sl_buffer *out);
enum { SL_PG_DELTAS_MAX = 4096 };

/* load.c */
void sl_pg_load(sl_pg_loader *loader, const sl_delivery *delivery,
                sl_target_done_fn *done, void *context);
void sl_pg_forget(sl_pg_loader *loader);
/** Statements that every session begins with. */
void sl_pg_setup(sl_buffer *out, uint32_t statement_ms);

/* target.c */
const sl_postgres_target_options *sl_pg_options(const sl_pg_target *target);
/** The loader is idle again: give it what waits. */
void sl_pg_idle(sl_pg_target *target, sl_pg_loader *loader);
void sl_pg_count_cut(sl_pg_target *target, uint64_t texts);
void sl_pg_count_retry(sl_pg_target *target);
