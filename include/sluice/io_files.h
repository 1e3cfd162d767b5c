/** @file io_files.h
 * The files port on the operating system (Linux).
 *
 * Durability  sync() is fdatasync(); a new name is durable after sync_directory() of its parent.
 * O_DIRECT    Where the file system refuses it, at open or at the first transfer, the file goes on
 *             through the page cache, silently.
 * Threads     Any; it has no state.
 */
#pragma once

#include "sluice/files.h"

/** @return The one instance, constant for the life of the process; never NULL. */
sl_files *sl_files_system(void);

/** Who a file is. */
typedef struct sl_file_identity {
    uint64_t device, inode, size;
    uint64_t changed_ns; /**< Of its content. */
    bool regular, directory;
} sl_file_identity;

/** Of what the path leads to, links followed. @return SL_OK, SL_ENOTFOUND, SL_EDENIED, SL_EIO. */
SL_CHECKED sl_status sl_file_look(const char *path, sl_file_identity *out, sl_error *error);
/** Of an open file of the system's port. */
SL_CHECKED sl_status sl_file_look_open(int file, sl_file_identity *out, sl_error *error);
/** Paths that match the pattern (glob(7)), sorted. @return SL_OK, also when there are none; SL_ENOMEM, SL_EIO, or what `each` refuses with. */
SL_CHECKED sl_status sl_files_glob(const char *pattern, sl_status (*each)(void *context, const char *path),
                                   void *context, sl_error *error);
