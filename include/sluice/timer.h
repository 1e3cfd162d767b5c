/** @file timer.h
 * Timers of a loop, and a loop of one's own for those who may wait: commands, tests.
 *
 * Threads  The loop's.
 */
#pragma once

#include "sluice/status.h"

#include <stdint.h>

struct uv_loop_s;
typedef struct sl_timer sl_timer;

/** @return NULL when out of memory. */
sl_timer *sl_timer_create(struct uv_loop_s *loop, void (*fire)(void *context), void *context);
/** Fire once, `ms` from now (0: in the next turn), and no more at the time set before. */
void sl_timer_start(sl_timer *timer, uint64_t ms);
void sl_timer_stop(sl_timer *timer);
/** NULL is allowed, also from inside `fire`. Memory returns in a later turn of the loop. */
void sl_timer_destroy(sl_timer *timer);

/** A loop without signals and ticks. @return NULL when out of memory or descriptors. */
struct uv_loop_s *sl_waiting_loop_create(void);
/** Run until *done, or nothing is left that could make it true. @return *done. */
bool sl_waiting_loop_run(struct uv_loop_s *loop, const bool *done);
/** Runs what still closes, then frees. NULL is allowed. */
void sl_waiting_loop_destroy(struct uv_loop_s *loop);
