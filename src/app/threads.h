/** @file threads.h
 * Runs an engine's actors, each on a thread of its own that parks when there is nothing to do.
 */
#pragma once

#include "sluice/engine.h"

typedef struct sl_threads sl_threads;
SL_CHECKED sl_status sl_threads_start(sl_actor **actors, uint32_t count, sl_threads **out,
                                      sl_error *error);
/** From any thread. */
void sl_threads_wake(sl_actor *actor);
/** Ends and joins them all. */
void sl_threads_stop(sl_threads *threads);
