/** @file sources.h
 * File sources: a thread for each reads what is new, the loop hands it to the engine and brings the reply back.
 *
 * Threads  The loop.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/intake.h"
#include "sluice/metrics.h"
#include "sluice/time.h"

typedef struct sl_sources sl_sources;
typedef struct sl_sources_host {
    const sl_clock *clock;
    sl_metrics *metrics;
    void (*wake_loop)(void *context); /**< Any thread. */
    void *context;
} sl_sources_host;

/** Begin to read. @param config Copied from. @return SL_OK, *out NULL where there are none; SL_ENOMEM, SL_ECORRUPT, SL_EIO… */
SL_CHECKED sl_status sl_sources_create(const sl_config *config, const sl_sources_host *host, sl_sources **out, sl_error *error);
/** Submit what is read. @param intake Of an engine that is ready. NULL sources are allowed, as below. */
void sl_sources_turn(sl_sources *sources, sl_intake *intake);
/** Read no more. What is in the engine's hands may still be answered. */
void sl_sources_stop(sl_sources *sources);
/** After the engine has answered everything: waits for the threads, which write down where they are. */
void sl_sources_destroy(sl_sources *sources);
