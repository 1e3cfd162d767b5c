/** @file tail.h
 * Files that others write, line by line: what is new in them, as bodies for the intake, each exactly once.
 *
 * Which    Regular files whose paths match a pattern (glob(7)); names of compressed files (.gz, .zst, .bz2, .xz, .lz4) are passed over.
 * Who      A file is told by device, inode and a hash of its first bytes (up to 1 KiB), so it stays itself when it is renamed, and is
 *          another one when an inode is used again. One that begins anew under the same inode (copytruncate) is read from its
 *          beginning; a copy of a file that is read is left alone until that one is truncated or gone, and then read from where
 *          that one was.
 * Lines    End with a newline. One without waits: until the file is away for 5 s, or unchanged for `partial_us`. Of CSV a line end in
 *          quotes is none, and each chunk begins with the file's first line where that has the names. A line longer than
 *          a chunk comes in pieces.
 * Once     Before a chunk is handed out it is durable, with its place, in one of two files STATE.0 and STATE.1, written in turn. Its
 *          key follows from file and offset. What was handed out before a crash is handed out again, the same bytes under the same key.
 * Memory   One chunk, and a KiB for each of 1,024 files at most.
 * Threads  One owner, who may wait for the disk.
 */
#pragma once

#include "sluice/batch.h"
#include "sluice/files.h"

#define SL_TAIL_FILES_MAX 1024u

typedef struct sl_tail_options {
    const char *name;    /**< Of the source; in keys and log lines. Borrowed until close, as are: */
    const char *pattern;
    const char *state;   /**< "DATA_DIR/sources/NAME"; its directory exists. */
    sl_files *files;     /**< The system's: identities come from it. */
    sl_format format;    /**< CSV with header PRESENT: see above. */
    bool from_end;       /**< What is there when there is no state yet is read from its end on. */
    int64_t partial_us;  /**< 0: never. */
    uint32_t chunk_bytes;
} sl_tail_options;

typedef struct sl_tail_chunk {
    const uint8_t *body; /**< The tail's, until the next call. */
    uint32_t length;
    const char *key;
    uint32_t bytes, lines; /**< Of the file: without the names that CSV repeats. */
} sl_tail_chunk;

typedef struct sl_tail sl_tail;

/** @return SL_OK; SL_ENOMEM; SL_ECORRUPT: neither state file can be read, though one is there; SL_EIO, SL_EDENIED. */
SL_CHECKED sl_status sl_tail_open(const sl_tail_options *options, sl_tail **out, sl_error *error);
/**
 * The next chunk. Nothing but sl_tail_taken() or sl_tail_close() may follow SL_OK.
 * @param now_us Of a clock that only rises.
 * @return SL_OK: it is durable, hand it on. SL_EAGAIN: nothing at present. SL_ENOSPC, SL_EIO…: the state can't be written, nothing changed: again later.
 */
SL_CHECKED sl_status sl_tail_next(sl_tail *tail, int64_t now_us, sl_tail_chunk *chunk, sl_error *error);
/** The chunk is durable elsewhere: go on behind it. */
void sl_tail_taken(sl_tail *tail);
/** A chunk that wasn't taken comes again after the next open. NULL is allowed. */
void sl_tail_close(sl_tail *tail);
uint64_t sl_tail_lag(const sl_tail *tail);  /**< Bytes that were there at the last look and aren't taken. */
uint32_t sl_tail_count(const sl_tail *tail); /**< Files open. */
