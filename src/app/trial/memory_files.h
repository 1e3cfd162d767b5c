/** @file memory_files.h
 * The files port in memory, so that a test leaves nothing behind and waits for no disk.
 *
 * Limits   Paths of files and of directories that were made; `/dev/urandom` gives numbers that are the same in each run.
 *          SQLite's databases lie in its own memory ("memdb").
 * Threads  Its owner.
 */
#pragma once

#include "sluice/files.h"

typedef struct memory_files memory_files;
memory_files *memory_files_create(void); /**< NULL when out of memory. */
void memory_files_destroy(memory_files *files); /**< NULL is allowed. */
sl_files *memory_files_port(memory_files *files);
