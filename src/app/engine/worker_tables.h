/** @file worker_tables.h
 * What a worker holds of a table between two cuts, and what each kind of table does with a task: add, seal in slices,
 * drop. The parts of it know nothing of each other.
 *
 * Threads  A worker's own.
 */
#pragma once

#include "cuts.h"
#include "spool.h"
#include "state.h"
#include "worker.h"

#include "sluice/parquet.h"

#include <time.h>

enum { FILE_BUCKETS = 256, RAW_OPEN = 2 };

typedef struct open_file open_file;
typedef struct raw_file raw_file;

struct worker_table {
    table *of;
    uint64_t skip_below;
    sl_counts counts;
    sl_status status; /* Not SL_OK: broken until the loop rewinds it. */
    sealed_file *sealed;
    uint32_t sealed_count, sealed_capacity;
    /* Parquet */
    open_file *buckets[FILE_BUCKETS];
    open_file **files;
    uint32_t file_count, file_capacity;
    sl_parquet_hints *hints; /* what earlier files taught about the columns */
    /* rows */
    sl_buffer rows;
    char *rows_spool;
    int rows_file;
    uint64_t rows_at, rows_count;
    sl_hasher *rows_hash;
    uint32_t rows_columns;
    uint64_t rows_first; /* of a topic: where the file begins */
    /* window */
    sl_window *window;
    shape *shape; /* whose plan the panes follow */
    sl_buffer deltas;
    uint64_t delta_count;
    /* raw zone: of the last record's hour, of the hour before */
    raw_file *raw[RAW_OPEN];
};

/* worker_tables.c: what all kinds share */
char *spool_name(worker *w, const char *suffix); /**< A new one; NULL: no memory. */
/** Take a finished file, moved from. @return SL_ENOMEM: it is still the caller's. */
sl_status sealed_add(worker_table *wt, const sealed_file *file);

/*
 * Each kind: `add` takes what is the table's of a part; `seal` makes files of all that it holds, a slice per call
 * (SL_EAGAIN: more to do); `drop` forgets it, spool files too; `fini` frees what is kept from file to file.
 */

/* worker_files.c: lake and late events, as Parquet by partition */
sl_status files_add(worker *w, worker_table *wt, const shape *s, const sl_batch *batch, sl_verdict wanted);
/** Rows of one partition, all of them where `rows` is NULL. */
sl_status files_write(worker *w, worker_table *wt, sl_hash128 partition, const char *directory,
                      const sl_batch *batch, const uint32_t *rows, uint32_t count);
sl_status files_seal(worker *w, worker_table *wt);
void files_drop(worker *w, worker_table *wt);
void files_fini(worker_table *wt);
int64_t row_time(const sl_batch *batch, const shape *s, uint32_t row);
/** Date and hour in the configured time zone, which the process was set to at its start. */
void local_time(int64_t us, struct tm *out);

/* worker_letters.c: dead letters, rows of their own schema in a Parquet file */
sl_status letters_add(worker *w, worker_table *wt, const task *t, const part *p);

/* worker_rows.c: rows on their way to a warehouse */
sl_status rows_add(worker *w, worker_table *wt, shape *s, const sl_batch *batch);
sl_status rows_seal(worker *w, worker_table *wt);
/* worker_topic.c: messages on their way to a topic, in row files as well */
sl_status topic_add(worker *w, worker_table *wt, const sl_batch *batch);
/** A row of (position, key, value), what is larger than max_message apart. @param key NULL: none. */
sl_status topic_message(worker *w, worker_table *wt, const sl_buffer *key, const sl_buffer *value, uint64_t position);
/** What is in memory to its file. */
sl_status rows_flush(worker *w, worker_table *wt);
void rows_drop(worker *w, worker_table *wt);
void rows_fini(worker_table *wt);

/* worker_windows.c: panes, and the deltas of those that were emitted */
/** @param[out] full The panes didn't fit: the table should be cut. */
sl_status window_add(worker *w, worker_table *wt, part *p, bool *full);
sl_status window_seal(worker_table *wt);
void window_drop(worker_table *wt);
void window_fini(worker_table *wt);
void window_peek(const worker_table *wt, sl_buffer *out);

/* worker_raw.c: records as they came */
/** All of the task's records that are the stream's: once, however many parts they are spread over. */
sl_status raw_add(worker *w, worker_table *wt, const task *t);
sl_status raw_seal(worker_table *wt);
void raw_drop(worker *w, worker_table *wt);
