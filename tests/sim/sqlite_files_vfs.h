/** @file sqlite_files_vfs.h
 * A SQLite VFS that stores through the files port, for simulations of what the ledger survives.
 *
 * Use      One connection per database, `PRAGMA locking_mode=EXCLUSIVE` before the first access, so
 *          that WAL needs no shared memory. `PRAGMA temp_store=MEMORY` spares temporary files.
 * Locks    None: the simulation has one process.
 * Threads  As the port's.
 */
#pragma once

#include "sluice/files.h"

/** What SQLite asks of the world beside files; chosen so that runs repeat. */
typedef struct sqlite_files_world {
    void (*random)(void *context, void *bytes, size_t length);
    int64_t (*wall_us)(void *context);             /**< Since 1970. */
    void (*sleep)(void *context, int64_t micros);
    void *context;
} sqlite_files_world;

/**
 * Register `name` with SQLite and set files->sqlite_vfs. All borrowed until the removal.
 * @return SL_OK, SL_ENOMEM.
 */
SL_CHECKED sl_status sqlite_files_vfs_add(sl_files *files, const char *name,
                                          const sqlite_files_world *world);
/** After the last connection is closed. */
void sqlite_files_vfs_remove(sl_files *files);
