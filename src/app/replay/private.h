/** @file private.h
 * What `sluice replay` is made of: dead letters that are found and read, a daemon that takes them, and what became of them.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/files.h"
#include "sluice/replay.h"

typedef struct replay_options {
    const char *config;        /**< Path, or NULL. */
    const char *stream, *code; /**< NULL: any. */
    int64_t since_us, until_us; /**< Of the arrival: from, and up to but not at. */
    bool dry_run, json;
} replay_options;

/* --- letters.c --- */

/** One dead letter; text is borrowed for the call. */
typedef struct replay_letter {
    const char *stream, *code, *named;
    size_t stream_length, code_length, named_length;
    sl_replay_item item;
} replay_letter;

typedef sl_status replay_letter_fn(void *context, const replay_letter *letter);
/**
 * All dead letters of this data_dir's log that the options ask for, file by file in the order they were written. Beside a running
 * daemon: what it commits meanwhile isn't seen.
 * @param progress Told of each file: how many there are, and which this one is; may be NULL.
 */
SL_CHECKED sl_status replay_letters(const sl_config *config, sl_files *files, const replay_options *options,
                                    replay_letter_fn *each, void (*progress)(uint64_t file, uint64_t files),
                                    void *context, sl_error *error);

/* --- daemon.c --- */

/** A daemon: the one that runs, else one that was started for this. */
typedef struct replay_daemon replay_daemon;
SL_CHECKED sl_status replay_daemon_find(const sl_config *config, const char *path, replay_daemon **out, sl_error *error);
/**
 * POST; waits, and asks again while the daemon is busy (429, 503).
 * @param[out] reply Of a 200.
 */
SL_CHECKED sl_status replay_daemon_post(replay_daemon *daemon, const char *path, const void *body, size_t length,
                                        sl_buffer *reply, sl_error *error);
/** One that was started delivers what it has and ends. @return SL_EIO: it failed. NULL is allowed. */
sl_status replay_daemon_leave(replay_daemon *daemon, sl_error *error);
