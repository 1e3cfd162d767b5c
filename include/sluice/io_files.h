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
