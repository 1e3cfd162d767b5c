/* One delivery on its way, and what all of them share.
 *
 * start → connect → table → look → encode → upload → copy → transaction → committed
 *
 * Any step may fail: what passes by itself goes back to start after a pause, keeping what is staged already. */
#pragma once

#include "private.h"

#include "sluice/timer.h"

typedef struct target target;
typedef struct session session;
typedef struct job job;

/** A table as it was last seen. */
typedef struct known {
    struct known *next;
    char *name;
    uint64_t columns; /* hash of those that were compared */
    sl_live_table live;
    bool compared, swept;
    bool tight; /* its last rows didn't fit: look at it before the next ones */
} known;

/** An object that nobody needs any more, or the list of a table's abandoned ones. */
typedef struct removal {
    struct removal *previous, *next;
    target *of;
    sl_object_operation *operation;
    sl_buffer found; /* keys, each with a 0 */
} removal;

typedef struct refusal {
    sl_target_done_fn *done;
    void *context;
} refusal;

enum { REFUSALS = 128, TRIES = 5 };

struct session {
    session *next;
    target *of;
    sl_postgres *connection;
    uint64_t epoch; /* of the connection: temporary tables live for one */
    job *job;       /* NULL: idle */
};

struct target {
    sl_target base;
    sl_redshift_options options;
    sl_buffer texts; /* what the options point to */
    char bucket[64];
    const char *prefix;
    size_t prefix_length;
    char run[17];        /* part of this process's keys */
    uint64_t next_stage; /* likewise */
    session *sessions;
    uint32_t session_count;
    job *jobs; /* in order of arrival */
    known *tables;
    removal *removals;
    sl_timer *timer; /* tells refusals */
    refusal refused[REFUSALS];
    uint32_t refused_count;
    sl_metric *retries, *cut_texts, *staged_bytes;
};

typedef void job_step(job *j, const sl_postgres_result *result);

/** A row of a window's delta, and what came of it. In the job's arena. */
typedef struct delta {
    int64_t start;
    const uint8_t *key, *state;
    size_t key_length, state_length;
    const char *text; /* `_key` as the table has it */
} delta;

enum { DELTAS = 500, DELTA_BYTES = 4 << 20 };

struct job {
    job *next;
    target *of;
    session *session;
    const sl_delivery *delivery;
    sl_target_done_fn *done;
    void *context;
    sl_timer *timer;
    unsigned tries;

    sl_warehouse_rules rules;
    sl_warehouse_table table;
    bool table_made;
    known *known;
    bool fresh; /* the live table was read for this job */
    const sl_live_column **live; /* of each column of `table` */
    unsigned ddl_tries;

    /* A query under way. */
    sl_buffer text;
    job_step *then;
    const char *what; /* for messages */
    bool in_transaction, locked;

    /* The ledger, as last read. */
    sl_buffer stamp, read_stamp; /* its rows; those that what is staged was made from */
    int64_t partition;           /* id of our row; 0: there is none */
    sl_warehouse_parts parts;    /* its other rows, where the entry brings ranges */

    /* Encoding. */
    row_source source;
    stage stage;
    bool encoding; /* the timer goes on with it */
    bool staged;  /* all of it is on disk or uploaded */
    uint64_t rows; /* events */
    sl_value *values, *row;
    sl_arena arena;
    delta *deltas;
    uint32_t delta_count;
    sl_buffer state, merged, scratch;
    bool source_ended;
    uint64_t cut_texts;

    /* Rows that don't fit: INSERT statements, each with a 0 at its end. */
    sl_buffer dead;
    size_t dead_statement; /* where the last one begins */
    size_t dead_sent;
    uint64_t dead_rows;
    bool dead_table; /* it is there */
    job_step *then_dead;

    /* Uploads. */
    sl_buffer key_begin, manifest, manifest_key;
    uint32_t uploads; /* on their way */
    sl_object_operation *manifest_put;
    bool uploaded;
    sl_aws_wait keys;
    sl_redshift_login *login;
    bool loaded;
    uint64_t loaded_epoch;

    /* A COPY that failed. */
    unsigned asked;
    sl_status failed;
    sl_error error;
};

/* --- job.c: the order of steps, and failures --- */
void job_start(job *j);
/** All rows are staged on the disk, or there are none: put them into S3, or go on where that is done. */
void job_go_on(job *j);
/** Encoding is complete. */
void job_encoded(job *j);
/** Send j->text; `then` is called with its result, job_fail() otherwise. */
void job_query(job *j, const char *what, job_step *then);
void job_query_to(job *j, const char *what, sl_postgres_done_fn *answered, job_step *then);
void job_query_text(job *j, const char *text, job_step *then);
/** What a query's callback ends in: `then`, or the failure. */
void job_answered(void *context, sl_status status, const sl_postgres_result *result, const sl_error *error);
/** Before a load is tried again: of 0.1 s doubled with each try, 5 s at most, a part by chance, so that those who met don't
 * meet again. */
uint64_t job_pause_ms(unsigned tries, uint64_t chance);
/** The attempt is over. @param passes Worth trying again at once. */
void job_fail(job *j, sl_status status, const sl_error *error, bool passes);
/** The same, with the table's name before the error. */
void job_fail_here(job *j, sl_status status, sl_error *error, bool passes);

/* --- table.c --- */
/** Make the table, or see that it is as it has to be; then look. */
void job_table(job *j);

/** Rows don't fit: read the table again, then stage them again by what it has now. */
void job_table_again(job *j);
/** Make `sluice_dead_TABLE`. */
void job_dead_table(job *j, job_step *then);

/* --- ledger.c --- */
/** Read the ledger, and with it what rows of windows are merged with; stage the rows, where that isn't done. */
void job_look(job *j);
void job_move(const job *j, sl_warehouse_move *move);
void job_ask_ledger(job *j, job_step *then);
void job_lock_ledger(job *j, job_step *then);
/** @return true: go on. Else the job has ended or failed. */
bool job_check_ledger(job *j, const sl_postgres_result *result);
/** Has nobody loaded since the rows were merged? */
bool job_same_stamp(const job *j);

/* --- encode.c --- */
/** Read, merge and write the entry's rows; job_encoded() or job_fail() follow. */
void encode_begin(job *j);
/** The job's timer fired while encoding. */
void encode_turn(job *j);
/** Drop what is staged: local files, and objects. */
void encode_forget(job *j);

/* --- dead.c --- */
/** j->values doesn't fit into `column`: keep it for the transaction; dead_check() tells whether that could be done. */
void dead_row(job *j, uint32_t column, sl_buffer *json);
SL_CHECKED sl_status dead_check(const job *j, uint32_t column, sl_error *error);
void dead_forget(job *j);
/** Within the transaction: all of them; `then` follows. */
void dead_send(job *j, job_step *then);

/* --- upload.c --- */
/** Objects that earlier processes left of this table, once. */
void job_sweep(job *j);
void job_upload(job *j);
void job_cancel_uploads(job *j);

/* --- copy.c --- */
void job_copy(job *j);

/* --- transaction.c --- */
void job_transaction(job *j);

/* --- redshift.c --- */
void target_finish(job *j, sl_status status, const sl_error *error);
/** Delete an object, some time, if it can be. */
void target_remove(target *t, const char *key);
/** @return NULL when out of memory. */
removal *target_removal(target *t);
void target_removed(removal *r);
