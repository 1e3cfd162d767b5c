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

    sl_warehouse_table table;
    bool table_made;
    known *known;
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

    /* Uploads. */
    sl_buffer folder, manifest, manifest_key;
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

/* --- job.c --- */
void job_start(job *j);
/** Send j->text; `then` is called with its result, job_fail() otherwise. */
void job_query(job *j, const char *what, job_step *then);
/** The attempt is over. @param passes Worth trying again at once. */
void job_fail(job *j, sl_status status, const sl_error *error, bool passes);
/** Encoding is complete. */
void job_encoded(job *j);

/* --- encode.c --- */
/** Read, merge and write the entry's rows; job_encoded() or job_fail() follow. */
void encode_begin(job *j);
/** The job's timer fired while encoding. */
void encode_turn(job *j);
/** Drop what is staged: local files, and objects. */
void encode_forget(job *j);

/* --- redshift.c --- */
void target_finish(job *j, sl_status status, const sl_error *error);
/** Delete an object, some time, if it can be. */
void target_remove(target *t, const char *key);
/** @return NULL when out of memory. */
removal *target_removal(target *t);
void target_removed(removal *r);
