/** @file files.h
 * The file system as a port: `io` implements it on the operating system, the simulation on a
 * fake disk that drops unsynced writes.
 *
 * Paths    UTF-8, as given to the operating system. File handles are small non-negative integers
 *          of the port, not necessarily descriptors.
 * Errors   SL_ENOSPC (ENOSPC, EDQUOT), SL_ENOTFOUND, SL_EEXIST, SL_EDENIED, SL_EIO for the rest;
 *          `error` names operation, path and the system's words. `error` may be NULL.
 * Threads  Any thread; one file by one thread at a time, pread excepted.
 */
#pragma once

#include "sluice/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SL_FILE_READ = 1,
    SL_FILE_WRITE = 2,
    SL_FILE_CREATE = 4,    /**< Create when missing. */
    SL_FILE_EXCLUSIVE = 8, /**< With CREATE: SL_EEXIST when it is there. */
    SL_FILE_TRUNCATE = 16,
    SL_FILE_DIRECT = 32, /**< O_DIRECT: 4 KiB aligned offset, length, memory; falls back silently. */
};

typedef struct sl_file_entry {
    const char *name; /**< Borrowed for the call. */
    bool directory;
    uint64_t size;
} sl_file_entry;

typedef sl_status sl_files_list_fn(void *context, const sl_file_entry *entry);

typedef struct sl_files sl_files;
struct sl_files {
    sl_status (*open)(sl_files *files, const char *path, int flags, int *file, sl_error *error);
    void (*close)(sl_files *files, int file);
    /** Reads up to `length` bytes, short only at the end of the file. */
    sl_status (*read)(sl_files *files, int file, void *bytes, size_t length, uint64_t offset,
                      size_t *got, sl_error *error);
    /** Writes all or fails (what was written of it is then unknown). */
    sl_status (*write)(sl_files *files, int file, const void *bytes, size_t length,
                       uint64_t offset, sl_error *error);
    /** fdatasync. After an error nothing is known about earlier writes: never sync that file again. */
    sl_status (*sync)(sl_files *files, int file, sl_error *error);
    sl_status (*size)(sl_files *files, int file, uint64_t *bytes, sl_error *error);
    sl_status (*truncate)(sl_files *files, int file, uint64_t bytes, sl_error *error);
    /** Reserve blocks (fallocate); SL_EUNSUPPORTED where there is none. */
    sl_status (*allocate)(sl_files *files, int file, uint64_t bytes, sl_error *error);
    sl_status (*rename)(sl_files *files, const char *from, const char *to, sl_error *error);
    /** Hard link; SL_EUNSUPPORTED across file systems. */
    sl_status (*link)(sl_files *files, const char *from, const char *to, sl_error *error);
    sl_status (*unlink)(sl_files *files, const char *path, sl_error *error);
    /** mkdir -p. Syncs the parents of what it made. */
    sl_status (*make_directories)(sl_files *files, const char *path, sl_error *error);
    sl_status (*sync_directory)(sl_files *files, const char *path, sl_error *error);
    sl_status (*list)(sl_files *files, const char *path, sl_files_list_fn *each, void *context,
                      sl_error *error);
    /** Free bytes for this process on the file system of `path`. */
    sl_status (*free_space)(sl_files *files, const char *path, uint64_t *bytes, sl_error *error);
    /** Name of the SQLite VFS that stores on this port; NULL: SQLite's default. */
    const char *sqlite_vfs;
};

/** Whole file into memory (0-terminated, sl_free()); SL_ELIMIT beyond `limit` bytes. */
SL_CHECKED sl_status sl_files_read_all(sl_files *files, const char *path, uint64_t limit,
                                       char **bytes, size_t *length, sl_error *error);
