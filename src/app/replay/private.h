/** @file private.h
 * What `sluice replay` is made of: dead letters that are found and read, a daemon that takes them, and what became of them.
 */
#pragma once

#include "sluice/checkpoint.h"
#include "sluice/config.h"
#include "sluice/files.h"
#include "sluice/replay.h"

typedef struct replay_options {
    const char *config;        /**< Path, or NULL. */
    const char *stream, *code; /**< NULL: any. */
    int64_t since_us, until_us; /**< Of the arrival: from, and up to but not at. */
    const char *into;          /**< Name of the fresh table; NULL: dead letters to their own. */
    bool dry_run, json;
} replay_options;

/* --- files.c --- */

/** Files of the entries of some tables, in the order of the log. */
typedef struct replay_files replay_files;
/**
 * Beside a running daemon: what it commits from now on isn't seen.
 * @param stream NULL: of all. @param[out] out To be closed whatever is returned.
 */
SL_CHECKED sl_status replay_files_open(const sl_config *config, sl_files *files, sl_table_kind kind, const char *stream,
                                       replay_files **out, sl_error *error);
void replay_files_close(replay_files *files); /**< NULL is allowed. */
/** @return SL_OK; SL_ENOTFOUND, with a message, where the ledger has no table of that stream. */
SL_CHECKED sl_status replay_files_stream(replay_files *s, const char *stream);
const char *replay_files_partition(const replay_files *files); /**< Of the log that they are of. */
uint32_t replay_files_tables(const replay_files *files);
uint64_t replay_files_count(const replay_files *files);
int64_t replay_files_entry(const replay_files *files, uint64_t file); /**< Those of one entry lie side by side. */
/** @param[out] path Where it was, or was looked for last. */
SL_CHECKED sl_status replay_files_read(replay_files *files, uint64_t file, sl_buffer *out, const char **path, sl_error *error);

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
/** The one that runs. @return SL_OK: with *out NULL: none does. */
SL_CHECKED sl_status replay_daemon_running(const sl_config *config, replay_daemon **out, sl_error *error);
/** That, else one that is started with the same configuration. */
SL_CHECKED sl_status replay_daemon_find(const sl_config *config, const char *path, replay_daemon **out, sl_error *error);
/**
 * POST; waits, and asks again while the daemon is busy (429, 503).
 * @param[out] reply Of a 200.
 */
SL_CHECKED sl_status replay_daemon_post(replay_daemon *daemon, const char *path, const void *body, size_t length,
                                        sl_buffer *reply, sl_error *error);
/**
 * Start one in a process of its own.
 * @param run In that process: a daemon that listens at these addresses, until TERM. @return its exit code.
 */
SL_CHECKED sl_status replay_daemon_start(int (*run)(void *context, const char *intake, const char *admin), void *context,
                                         replay_daemon **out, sl_error *error);
/** One that was started delivers what it has and ends. @return SL_EIO: it failed. NULL is allowed. */
sl_status replay_daemon_leave(replay_daemon *daemon, sl_error *error);

/* --- into.c --- */

/** The raw zone again, into a fresh table. @return The process's exit code. */
int replay_into(sl_config *config, const replay_options *options, sl_error *error);
