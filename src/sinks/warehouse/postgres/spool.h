/* Rows of an entry, file after file, in pieces: a file is never in memory as a whole. */
#pragma once

#include "sluice/files.h"
#include "sluice/rows.h"
#include "sluice/target.h"

typedef struct sl_spool {
    sl_files *files;
    const sl_delivery *delivery;
    uint32_t index;        /**< Of the entry's file that is read. */
    int file;              /**< -1: none is open. */
    uint64_t at;           /**< Bytes read of it. */
    sl_buffer bytes;       /**< Rows that are not taken yet. */
    sl_rows_reader reader; /**< Over `bytes`. */
    bool open;             /**< The reader has the file's head. */
    sl_hasher *hasher;
} sl_spool;

void sl_spool_begin(sl_spool *spool, sl_files *files, const sl_delivery *delivery);
/**
 * The next row is in reader.values until the next call.
 * @param[out] opened Set when the row is a file's first: columns may be others than
 * before. May be NULL.
 * @return SL_OK; SL_ENOTFOUND: that was the last, and all files had the bytes that were
 * committed; SL_ECORRUPT; SL_EIO.
 */
SL_CHECKED sl_status sl_spool_next(sl_spool *spool, bool *opened, sl_error *error);
/** Head of the file `index` only: reader.columns. */
SL_CHECKED sl_status sl_spool_head(sl_spool *spool, uint32_t index, sl_error *error);
void sl_spool_fini(sl_spool *spool);
