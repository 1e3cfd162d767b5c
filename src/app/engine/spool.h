/** @file spool.h
 * Files in the spool: from their making until their entry is delivered. `error` may be NULL.
 */
#pragma once

#include "actors.h"

/** Where a file lies. @param out Cleared before. */
sl_status spool_path(const sl_engine *e, const char *name, sl_buffer *out, sl_error *error);
/** An empty file, open for writing. */
sl_status spool_create(const sl_engine *e, const char *name, int *file, sl_error *error);
/** A whole file, synced; there is none after a failure. */
sl_status spool_write(const sl_engine *e, const char *name, const sl_buffer *content, sl_error *error);
sl_status spool_sync(const sl_engine *e, const char *name, sl_error *error);
void spool_remove(const sl_engine *e, const char *name);
/** Bytes that a destination's undelivered entries have. Any thread. */
uint64_t spool_used(const sl_engine *e, uint32_t destination);
