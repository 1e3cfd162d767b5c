/** @file gate.h
 * Stands between those who receive requests and an engine that may be replaced: open, it passes requests on; shut, it
 * keeps them for the next engine.
 *
 * Memory   What is kept is counted in `budget`; when that is full the request is refused with SL_EFULL.
 * Limits   A request is kept for SL_GATE_WAIT_US. After that it is answered 503 with Retry-After, and so are, at
 *          once, those that come while the gate has been shut for longer.
 * Threads  The loop.
 */
#pragma once

#include "sluice/intake.h"
#include "sluice/memory.h"
#include "sluice/time.h"

#define SL_GATE_WAIT_US (5 * SL_SECOND_US)

typedef struct sl_gate sl_gate;

/** Shut at first. @param clock,budget Borrowed until destroy. @return NULL when out of memory. */
sl_gate *sl_gate_create(const sl_clock *clock, sl_budget *budget);
void sl_gate_destroy(sl_gate *gate); /**< Nothing may be kept any more: see sl_gate_refuse(). */
/** The port for HTTP; constant. */
sl_intake *sl_gate_intake(sl_gate *gate);
/** Submit what was kept, in order, and pass on what comes. Not from inside submit(). */
void sl_gate_open(sl_gate *gate, sl_intake *engine);
void sl_gate_shut(sl_gate *gate);
bool sl_gate_is_open(const sl_gate *gate);
/** Would a request be passed on, or kept? Else it is refused. */
bool sl_gate_takes(const sl_gate *gate);
/** Now and then: answer those that waited too long; with `all`, everybody. */
void sl_gate_refuse(sl_gate *gate, bool all);
