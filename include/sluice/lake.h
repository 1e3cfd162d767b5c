/** @file lake.h
 * The local lake: files leave the spool for directories, once, under keys that never change their bytes.
 *
 * Threads  The storage thread.
 */
#pragma once

#include "sluice/checkpoint.h"
#include "sluice/files.h"

/**
 * Bring one file to DIRECTORY/KEY: hard link, or copy + sync + rename where the lake is another file system;
 * then sync its directory. A file that is there already is compared by hash.
 * @return SL_OK (also when it was there, equal); SL_ECONFLICT: another content is there; SL_ENOSPC, SL_EIO….
 */
SL_CHECKED sl_status sl_lake_deliver(sl_files *files, const char *spool_path, const char *directory,
                                     const sl_entry_file *file, sl_error *error);
/** XXH3-128 and size of a file. */
SL_CHECKED sl_status sl_lake_hash(sl_files *files, const char *path, sl_hash128 *hash,
                                  uint64_t *bytes, sl_error *error);
/**
 * Append `name=value` with value percent-encoded as Hive does ('/', '=', '%', control characters, …); NULL: __HIVE_DEFAULT_PARTITION__.
 * A value of more than 200 bytes then is its beginning, '~' and its hash: no file system takes longer names.
 */
void sl_lake_partition(sl_buffer *out, const char *name, const void *value, size_t length);
