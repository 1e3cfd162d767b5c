/** @file reload.h
 * What another configuration may change while the process lives.
 *
 * Threads  Any.
 */
#pragma once

#include "sluice/config.h"

/** @return whether `next` changes what is fixed for the life of the process; `out` says which keys. */
bool sl_reload_needs_restart(const sl_config *old, const sl_config *next, sl_buffer *out);
/**
 * May a table that has fallen behind go on with `next`? What it still has to take was taken by the other tables of its
 * stream already, as `old` says; so nothing of the stream may differ.
 */
bool sl_reload_keeps(const sl_config *old, const sl_config *next, const char *stream, const char *table,
                     bool window);
