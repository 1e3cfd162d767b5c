/** @file journal.h
 * The local log: groups of records in pre-written, recycled segments, durable before anything is
 * acknowledged (I1).
 *
 * Offsets  Bytes of one endless logical space; a segment covers [base, base + data size). A group starts on a
 *          4 KiB block of it. An event's position is the offset of its first byte.
 * Format   In src/log/journal/README.md: segment header block, groups (header with number, absolute
 *          offset, generation, CRC-32C), records (header with format, stream, source, key, body, CRC-32C over all
 *          of it with absolute offset and generation). No acknowledged block is ever written again.
 * Threads  write(): the journal thread. read(): one reader thread. trim(), end(), room(): any.
 *          A group has one owner at a time.
 */
#pragma once

#include "sluice/batch.h"
#include "sluice/files.h"
#include "sluice/hash.h"

#define SL_BLOCK 4096u

/** A record as a producer's request brings it. All text borrowed for the call. */
typedef struct sl_journal_input {
    const char *stream; /**< Stream named by the path, or "". */
    const char *source; /**< "http", … */
    const void *key;    /**< Idempotency-Key; length 0: none. */
    const void *body;
    uint32_t stream_length, source_length, key_length, length;
    int64_t arrival_us;
    sl_format format;
} sl_journal_input;

/** A record inside a group: offsets from the group's bytes. */
typedef struct sl_journal_record {
    uint32_t stream, stream_length, source, source_length, key, key_length, body, length;
    int64_t arrival_us;
    sl_format format;
    bool damaged; /**< Read back with a wrong CRC: quarantined, to be skipped and counted. */
    uint32_t hash; /**< The journal's own: of a large record that was added, the CRC of its texts and body by themselves. */
} sl_journal_record;

/** Records that become durable together. Bytes are 4 KiB aligned, with SL_PADDING readable beyond. */
typedef struct sl_group {
    uint8_t *bytes;
    size_t length;   /**< Of the encoded group, a multiple of SL_BLOCK once written or read. */
    size_t capacity;
    uint64_t offset; /**< Set by write() or read(). */
    uint64_t next;   /**< Where the following group may begin: the cursor after this one. */
    uint64_t number;
    sl_journal_record *records;
    uint32_t count, record_capacity;
    sl_budget *budget;
} sl_group;

/** @return NULL when out of memory or budget (may be NULL). */
sl_group *sl_group_create(size_t capacity, sl_budget *budget);
void sl_group_destroy(sl_group *group);
void sl_group_reset(sl_group *group);
/** Append a record (copied). @return SL_OK; SL_EFULL: it doesn't fit in a group that holds records already; SL_ENOMEM. A lone record grows the group; SL_ELIMIT: beyond 4 GiB. */
SL_CHECKED sl_status sl_group_add(sl_group *group, const sl_journal_input *input);

typedef struct sl_journal_options {
    uint64_t quota_bytes;   /**< Of all segments. */
    uint64_t segment_bytes; /**< 0: an eighth of the quota, at most 64 MiB; at least 64 KiB, at most half of the quota. A larger group gets a file of its own size. */
    bool sync;              /**< durability: fsync; false: os. */
} sl_journal_options;

typedef struct sl_journal_recovery {
    uint64_t groups_cut;   /**< Torn or void groups at the end that were cut. */
    uint64_t bytes_cut;
    uint64_t segments;     /**< Found. */
} sl_journal_recovery;

typedef struct sl_journal sl_journal;
/**
 * Open or create the journal in `directory`. Only the last segment is scanned, whatever the backlog.
 * @param at_least The largest cursor that anybody holds: the next offset is not below it.
 * @return SL_OK; SL_ECORRUPT (segments missing between); SL_EIO, SL_ENOSPC, SL_EDENIED, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_journal_open(sl_files *files, const char *directory,
                                     const sl_journal_options *options, uint64_t at_least,
                                     sl_journal **out, sl_journal_recovery *recovery, sl_error *error);
void sl_journal_close(sl_journal *journal);
/** 128-bit identity, 32 hex digits: made at creation, kept in every segment. */
const char *sl_journal_identity(const sl_journal *journal);
/**
 * Place the group, write it, sync it. After a failed sync the segment is sealed, never synced again, and the
 * group is written anew, once, at the start of another segment whose header voids what lies behind.
 * @return SL_OK: durable, group->offset, next, number are set. SL_ENOSPC: quota or disk full, nothing of it is in
 *         the log. SL_EIO: not durable, and void (until a later group succeeds a
 *         power failure may bring it back whole). The journal can be used on after each of them.
 */
SL_CHECKED sl_status sl_journal_write(sl_journal *journal, sl_group *group, sl_error *error);
/** Prepare a spare segment if there is none and the quota allows: called by the journal thread when it is idle. @return SL_OK, SL_EAGAIN (more to do), or an error. */
SL_CHECKED sl_status sl_journal_prepare(sl_journal *journal, sl_error *error);
/**
 * Read the first whole group at or after `offset` (a cursor) and below the synced end.
 * Damage is stepped over and counted into *quarantined (bytes).
 * @return SL_OK, SL_ENOTFOUND (at the end), SL_EIO, SL_ENOMEM, SL_ECORRUPT (below what is kept).
 */
SL_CHECKED sl_status sl_journal_read(sl_journal *journal, uint64_t offset, sl_group *group,
                                     uint64_t *quarantined, sl_error *error);
/** Forget what lies below `offset`: whole segments are recycled or removed. */
void sl_journal_trim(sl_journal *journal, uint64_t offset);
uint64_t sl_journal_begin(const sl_journal *journal); /**< First offset kept. */
uint64_t sl_journal_end(const sl_journal *journal);   /**< Synced end: the next group's offset is at or after it. */
uint64_t sl_journal_bytes(const sl_journal *journal); /**< On disk. */
/** Bytes that still fit below the quota, spare segments included. */
uint64_t sl_journal_room(const sl_journal *journal);
/** Segments sealed because a write or sync failed. */
uint64_t sl_journal_sync_failures(const sl_journal *journal);
/** Groups that were refused and that a restart could still find: the disk refuses to have their place written over, too.
 * write() and prepare() go on trying; a later group that succeeds voids them as well. */
uint64_t sl_journal_unvoided(const sl_journal *journal);
