/** @file loop.h
 * The event loop: one thread's turn after turn of I/O, timers and signals (libuv behind it).
 *
 * Threads  sl_loop_wake(): any. Everything else: the loop's own.
 */
#pragma once

#include "sluice/status.h"

#include <stdint.h>

struct uv_loop_s;
typedef struct sl_loop sl_loop;

typedef struct sl_loop_callbacks {
    void (*turn)(void *context);             /**< After the I/O of each turn, and when woken. */
    void (*tick)(void *context);             /**< Every tick_ms. */
    void (*signal)(void *context, int number); /**< SIGTERM, SIGINT, SIGHUP, SIGUSR2. NULL: they are another loop's. */
    void *context;
    uint32_t tick_ms;
} sl_loop_callbacks;

SL_CHECKED sl_status sl_loop_create(const sl_loop_callbacks *callbacks, sl_loop **out, sl_error *error);
struct uv_loop_s *sl_loop_uv(sl_loop *loop);
void sl_loop_wake(sl_loop *loop);
/** A turn in `ms` milliseconds; a second call moves the time. The loop's own thread. */
void sl_loop_wake_in(sl_loop *loop, uint32_t ms);
/** Until sl_loop_stop(). */
void sl_loop_run(sl_loop *loop);
void sl_loop_stop(sl_loop *loop);
/** Closes what is left on the loop. */
void sl_loop_destroy(sl_loop *loop);

/** sd_notify(3): one datagram to $NOTIFY_SOCKET; nothing where there is none. */
void sl_systemd_notify(const char *state);
/** Half of $WATCHDOG_USEC in milliseconds; 0: no watchdog. */
uint32_t sl_systemd_watchdog_ms(void);
/** Exclusive lock of a file (created), held until the process ends. @return SL_EEXIST when another process has it. */
SL_CHECKED sl_status sl_lock_file(const char *path, sl_error *error);
