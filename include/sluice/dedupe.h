/** @file dedupe.h
 * Removal of duplicates: which events of one stream and partition bring a key that was kept before.
 *
 * Rule     An event is judged by its key, its position p, its time t and the watermark W before it.
 *            t < W - horizon                                                  LATE, claims nothing
 *            its key was claimed at a position below p, at a time >= W - horizon   DUPLICATE
 *            else                                                             KEEP, and it claims its key
 *          A claim (key, position, time) is a fact about the log: it is never changed, and judging the same position again
 *          finds its own claim and says KEEP again. So the verdict of a position does not depend on how often it was
 *          read, on batches, cuts, restarts or on what lies above it (I2, I6).
 * Keys     sl_hash128_of() of the id; 96 bits of it are compared. With n keys in the horizon an event is taken for a
 *          duplicate by mistake with odds n / 2^96: for 100 million keys 1 in 8 * 10^20.
 * Time     min(event time, arrival), as the watermark advances, so that a clock in 2099 holds nothing for 70 years.
 *          The watermark is the partition's own, before the event, all events counted that move it.
 * Position Differs for any two events and grows along the log. Byte offsets do; where a record holds several events and has
 *          one offset: offset << 20 | index. An event of a replay record has the position of its place in that record, so
 *          whatever was kept before the replay is below it.
 * Memory   A run of the newest claims, up to two more that wait to be written, and per key on disk 13 bits of filter and 1 of
 *          index. What `memory_bytes` or `budget` refuse: claims are written early (SL_EFULL below), filters are left out and
 *          their files read instead, which is slow and just as right. There is no limit on the number of keys, so a full store
 *          never holds up the watermark which would empty it; a full disk stops the stream (SL_EFULL until writing works again).
 * Disk     Files of 24 bytes per claim in a directory of the store's own. They are durable before the ledger names them; what
 *          the ledger doesn't name is removed at opening. Damage is found by CRC-32C, never judged over (SL_ECORRUPT).
 * Threads  The owner, one at a time, calls everything that takes the store. sl_dedupe_work_run() and
 *          sl_dedupe_cut_write() are for other threads, while the owner goes on judging.
 */
#pragma once

#include "sluice/batch.h"
#include "sluice/buffer.h"
#include "sluice/files.h"
#include "sluice/hash.h"
#include "sluice/time.h"

typedef struct sl_dedupe sl_dedupe;

typedef struct sl_dedupe_options {
    sl_files *files;       /**< Borrowed. */
    const char *directory; /**< Of this store alone; made when missing. Copied. */
    int64_t horizon_us;    /**< Above 0. */
    uint64_t memory_bytes; /**< 0: 256 MiB. */
    sl_budget *budget;     /**< What the memory is counted in besides; may be NULL. */
    uint32_t run_claims;   /**< Claims in memory before they are written, at most 262,144; 0: as many. */
    uint32_t slice_claims; /**< Claims up to which files are merged; 0: 16.8 million. */
} sl_dedupe_options;

/**
 * @param record  What the ledger has of the store, the bytes of the last committed sl_dedupe_cut_write(); `length` 0: it is new.
 * @param resume  The lowest position that will be judged from here on. Claims at or above are forgotten, as they are made
 *                again: by another configuration perhaps.
 * @return SL_OK; SL_ECORRUPT: a named file is missing, torn or damaged, `error` says which. No verdict can be trusted then:
 *         stop, or open a new store (length 0) and judge the log again from where the watermark was a horizon lower.
 *         SL_EINVAL, SL_ENOMEM, SL_EIO, SL_ENOSPC.
 */
SL_CHECKED sl_status sl_dedupe_open(const sl_dedupe_options *options, const void *record,
                                    size_t length, uint64_t resume, sl_dedupe **out, sl_error *error);
/** NULL is allowed. No work and no cut may be out. Files stay. */
void sl_dedupe_close(sl_dedupe *store);

typedef struct sl_dedupe_event {
    sl_hash128 key;
    uint64_t position;
    int64_t time_us;
    int64_t watermark_us; /**< Before this event; SL_NO_TIME: none yet. */
    uint32_t row;         /**< Where its verdict goes. */
} sl_dedupe_event;

/**
 * Judge events in the order of the log. Events without an id, and those with a verdict already, are not given.
 * @param verdict    verdict[event.row] becomes KEEP, DUPLICATE or LATE (sl_verdict).
 * @param[out] done  How many were judged. Unless it is SL_OK, nothing has changed for the others: call again with them.
 * @return SL_OK; SL_EFULL: memory is used up by claims that wait to be written: let work be done, then call again.
 *         SL_EIO: a file can't be read now. SL_ECORRUPT: a file is damaged: stop the stream. SL_ENOMEM: later.
 */
SL_CHECKED sl_status sl_dedupe_judge(sl_dedupe *store, const sl_dedupe_event *events, uint32_t count,
                                     uint8_t *verdict, uint32_t *done, sl_error *error);

/**
 * No position below the slowest cursor that the ledger has will be judged again; `watermark_us` is the stream's there. Claims
 * older than it by more than the horizon are let go. A verdict doesn't change by that: an event that was kept wasn't older than the
 * watermark at its own position allows, so as long as it can be read again its claim is there; whatever is older is LATE each time.
 */
void sl_dedupe_release(sl_dedupe *store, int64_t watermark_us);

/**
 * What follows from `position` on is different from what was judged before (types have widened, another configuration): forget
 * claims at or above. Reading the same again needs no call.
 */
void sl_dedupe_rewind(sl_dedupe *store, uint64_t position);

/** Claims to be written to a file, files to be merged or removed. One at a time. */
typedef struct sl_dedupe_work sl_dedupe_work;
/** @return What should be done now; NULL: nothing, or one is out, or no memory. Cheap to ask after each judge. */
sl_dedupe_work *sl_dedupe_work_next(sl_dedupe *store);
/**
 * Do about a megabyte of it. Any thread.
 * @return SL_OK: done; SL_EAGAIN: call again; else it failed and leaves nothing behind. Then, in any case: work_done.
 */
SL_CHECKED sl_status sl_dedupe_work_run(sl_dedupe_work *work, sl_error *error);
/** The owner takes the result. Work that failed or was not ended comes again with the next sl_dedupe_work_next(); after a
 * failure wait a little before asking. Merging may be left off at SL_EAGAIN: what is more urgent comes first, then its rest. */
void sl_dedupe_work_done(sl_dedupe *store, sl_dedupe_work *work);

/** All claims that were made before the cut began, to become durable with the cursors (I3). */
typedef struct sl_dedupe_cut sl_dedupe_cut;
/** Several may be out. Nothing is copied. @return NULL: out of memory. */
sl_dedupe_cut *sl_dedupe_cut_begin(sl_dedupe *store);
/**
 * Write and sync. Any thread, but cuts of one store in the order they began, one after the other. May be called again.
 * @param[out] record  Appended: what the ledger must have in the transaction that moves the cursors, instead of what it had.
 *                     About 40 bytes for each file.
 * @return SL_OK; SL_EIO, SL_ENOSPC, SL_ENOMEM: nothing is lost, try again (another file is taken where a sync failed).
 */
SL_CHECKED sl_status sl_dedupe_cut_write(sl_dedupe_cut *cut, sl_buffer *record, sl_error *error);
/** In the order they began. @param committed Is the record in the ledger? Files that it doesn't name are removed from then on. */
void sl_dedupe_cut_end(sl_dedupe *store, sl_dedupe_cut *cut, bool committed);

typedef struct sl_dedupe_stats {
    uint64_t claims;       /**< Held, expired ones in files included. */
    uint64_t memory_bytes; /**< Held now; work in progress included. */
    uint64_t memory_peak_bytes;
    uint64_t disk_bytes;   /**< In files that count. */
    uint32_t files, slices;
    uint32_t slices_without_filter;
    uint64_t reads;        /**< Of files, for verdicts. */
    uint64_t reads_in_vain;
} sl_dedupe_stats;
void sl_dedupe_stats_get(const sl_dedupe *store, sl_dedupe_stats *out);

/** Check the bytes of a file of keys as a whole: for tests and tools. @return SL_OK, SL_ECORRUPT. */
SL_CHECKED sl_status sl_dedupe_file_check(const void *bytes, size_t length, uint64_t *claims,
                                          sl_error *error);
