/** @file crash.h
 * Crash points: the places between two durable steps where a test kills the process. One table
 * (X-macro) makes enum and names, so a point can't exist in one and not the other.
 */
#pragma once

#define SL_CRASH_POINTS(X)                                                                         \
    X(journal_before_write)                                                                        \
    X(journal_after_sync)                                                                          \
    X(reply_before)                                                                                \
    X(reply_after)                                                                                 \
    X(worker_before_process)                                                                       \
    X(worker_sealed)                                                                               \
    X(commit_before_spool_sync)                                                                    \
    X(commit_after_spool_sync)                                                                     \
    X(commit_in_transaction)                                                                       \
    X(commit_after)                                                                                \
    X(deliver_before)                                                                              \
    X(deliver_lake_between_files)                                                                  \
    X(deliver_warehouse_after)                                                                     \
    X(deliver_remote_after)                                                                        \
    X(deliver_before_mark)                                                                         \
    X(deliver_after_mark)                                                                          \
    X(trim_before)                                                                                 \
    X(keys_before_commit)                                                                          \
    X(keys_after_commit)

typedef enum crash_point {
#define X(name) CRASH_##name,
    SL_CRASH_POINTS(X)
#undef X
        CRASH_COUNT
} crash_point;

#ifdef SLUICE_CRASH_POINTS
void crash_here(crash_point point);
#define CRASH(name) crash_here(CRASH_##name)
#else
#define CRASH(name) ((void)0)
#endif
