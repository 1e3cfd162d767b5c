/** @file delivery.h
 * The delivery thread: a loop of its own, the clients of S3, of the warehouse and of topics on it, and the one target that the engine
 * knows, which tells them apart.
 *
 * Threads  The daemon's loop, but for what sl_target says.
 */
#pragma once

#include "sluice/engine.h"

typedef struct sl_delivery_thread sl_delivery_thread;

/** @return SL_OK and *out NULL when the configuration has nothing outside this machine; else the clients are made, nothing is connected. */
SL_CHECKED sl_status sl_delivery_create(const sl_config *config, sl_metrics *metrics, sl_clock clock,
                                        sl_delivery_thread **out, sl_error *error);
sl_target *sl_delivery_target(sl_delivery_thread *delivery); /**< NULL of NULL. */
/** Run the loop, and on it `actor`, on a thread. @param partition The log's identity. */
SL_CHECKED sl_status sl_delivery_start(sl_delivery_thread *delivery, sl_actor *actor, const char *partition, sl_error *error);
/** Any thread. */
void sl_delivery_wake(sl_delivery_thread *delivery);
/** The thread ends; what is on its way is given up. Before the engine's threads stop, as it wakes them. NULL is allowed. */
void sl_delivery_stop(sl_delivery_thread *delivery);
/** After the engine's threads have stopped, as they wake it; before the engine goes. NULL is allowed. */
void sl_delivery_destroy(sl_delivery_thread *delivery);
