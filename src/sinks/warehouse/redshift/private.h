/* What the files of this folder share: row files read piece by piece, Parquet for COPY, the statements. */
#pragma once

#include "sluice/parquet.h"
#include "sluice/redshift.h"

/* --- source.c: the rows of an entry, from its row files --- */

/** Holds one piece of one file; every file's hash is compared at its end, before its last rows are given. */
typedef struct row_source {
    sl_files *files;
    const sl_delivery *delivery;
    uint32_t next_file; /* index into the entry's files */
    bool open;
    int file;
    uint64_t at, size; /* read so far, of */
    sl_hasher *hasher;
    sl_buffer bytes;  /* header of the file, then whole rows of the piece */
    sl_buffer carry;  /* the begin of a row that goes on in the next piece */
    size_t header;
    bool reading;
    sl_rows_reader reader;
    uint64_t file_number; /* of files opened; tells when columns change */
} row_source;

void row_source_init(row_source *source, sl_files *files, const sl_delivery *delivery);
/** @return SL_OK and source->reader.values, borrowed until the next call; SL_ENOTFOUND: the end; SL_ECORRUPT, SL_EIO, SL_ENOMEM. */
SL_CHECKED sl_status row_source_next(row_source *source, sl_error *error);
void row_source_fini(row_source *source);

/* --- stage.c: values of a table's rows to Parquet files in the spool --- */

typedef struct staged_file {
    char *path, *key; /* local; under the bucket */
    uint64_t bytes, rows;
    sl_hash128 hash;
    sl_object_operation *operation; /* while it is being uploaded */
    void *owner; /* whoever uploads it */
} staged_file;

typedef struct stage {
    sl_files *files;
    const sl_warehouse_table *table;
    sl_schema *schema; /* the table's columns but `_partition` */
    uint64_t file_bytes;
    char *base; /* path of the files without number and suffix */
    sl_batch *batch;
    sl_parquet_writer *writer;
    int file;
    uint64_t at;      /* written to it */
    bool file_open, finishing;
    sl_error *error;  /* of the call under way */
    staged_file *list;
    uint32_t count, capacity;
    uint64_t rows;
} stage;

/** Is this column part of what is staged? `_partition` is the same in all rows, so the statement brings it. */
bool stage_has(const sl_warehouse_column *column);
/** @param table Borrowed until fini. */
SL_CHECKED sl_status stage_init(stage *s, sl_files *files, const sl_warehouse_table *table, const char *base,
                                uint64_t file_bytes, sl_error *error);
/** One row, values in the table's order; texts are copied. */
SL_CHECKED sl_status stage_row(stage *s, const sl_value *values, sl_error *error);
/** @return SL_EAGAIN: call again; SL_OK: all files are on disk. */
SL_CHECKED sl_status stage_finish(stage *s, sl_error *error);
/** Local files that are still there are removed. */
void stage_fini(stage *s);
/** Remove one local file (it is uploaded). */
void stage_unlink(stage *s, staged_file *file);
/** A row file's value as its column's type: types of inferred streams widen within an entry. Borrows from `scratch`. */
SL_CHECKED sl_status stage_widen(sl_value *value, const sl_warehouse_column *column, sl_arena *scratch);

/* --- statements.c --- */

#define STAGE_TABLE "sluice_stage"

void statement_stage_create(const sl_warehouse_table *table, sl_buffer *out);
/** @param keys NULL: by `iam_role`. The text holds secrets: never to be logged. */
void statement_copy(const char *bucket, const char *manifest, const char *iam_role, const sl_aws_keys *keys, sl_buffer *out);
/** DELETE of what the staged rows replace, or nothing (@return false). */
bool statement_delete(const sl_warehouse_table *table, sl_buffer *out);
/** @param partition Id of the ledger's row. @param live Tells which JSON columns are SUPER. */
void statement_insert(const sl_warehouse_table *table, const sl_live_table *live, int64_t partition, sl_buffer *out);
/** Rows of a window's table by `_key`: SELECT all columns … AND "_key" IN (; the caller appends literals and ')'. */
void statement_select(const sl_warehouse_table *table, int64_t first_us, int64_t last_us, sl_buffer *out);
/** CREATE TABLE IF NOT EXISTS of the table for rows that don't fit. @param target As configured. */
void statement_dead_create(const sl_warehouse_table *table, const char *target, sl_buffer *out);
/** INSERT INTO it … VALUES, and one row's piece after that; pieces are separated by ','. */
void statement_dead_begin(const sl_warehouse_table *table, const char *target, sl_buffer *out);
void statement_dead_row(const char *partition, int64_t position, const char *column, uint32_t part, const char *text,
                        size_t length, sl_buffer *out);
/** What the server noted of this session's last failed COPY; `n` 0: SYS_LOAD_ERROR_DETAIL, 1: STL_LOAD_ERRORS. */
const char *statement_load_errors(unsigned n);
/** {"entries":[…]} of a COPY of Parquet. */
void manifest_text(const char *bucket, const staged_file *files, uint32_t count, sl_buffer *out);

/* --- statements.c: names of staged objects --- */

/** PREFIX/TABLE-HASH.PARTITION., of characters that S3 and URLs take as they are. All keys of a table begin with it; there are
 * no further slashes, since some object stores keep folders, and lose one while another object is put into it. */
void stage_prefix(const char *prefix, size_t prefix_length, const char *table, const char *partition, sl_buffer *out);

/* --- iam.c: the request's shape and the reply's --- */

void iam_body(const sl_redshift_iam *iam, sl_buffer *out);
/** @param url With '/' at its end. @param host What the Host header will say. */
void iam_url(const sl_redshift_iam *iam, const char *region, sl_buffer *url, sl_buffer *host);
/** @return false: it isn't whole. */
bool iam_reply(bool serverless, sl_buffer *body, sl_buffer *user, sl_buffer *password);
/** @return SL_EIO: may pass; SL_EDENIED. @param[out] expired The keys that it was signed with. */
sl_status iam_refusal(bool serverless, unsigned code, sl_buffer *body, bool *expired, sl_error *error);
