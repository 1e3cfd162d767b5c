/** @file places_check.h
 * What `sluice validate` looks at on this machine: whether what should be a directory is one.
 */
#pragma once

#include "sluice/config.h"

/** What another user or a mount that comes later may mend isn't asked: rights, and whether a directory is there already.
 * @param[out] problems A line for each, with the key. @return whether there are none. */
bool sl_places_check(const sl_config *config, sl_buffer *problems);
