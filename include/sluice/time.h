/** @file time.h
 * Civil time without a clock, and the clock as a port.
 *
 * Time     Microseconds since 1970-01-01 UTC in int64_t; days since then in int32_t.
 * Source   RFC 3339; Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
#pragma once

#include "sluice/status.h"

#include <stddef.h>
#include <stdint.h>

#define SL_SECOND_US INT64_C(1000000)
#define SL_MINUTE_US (60 * SL_SECOND_US)
#define SL_HOUR_US (60 * SL_MINUTE_US)
#define SL_DAY_US (24 * SL_HOUR_US)
#define SL_NO_TIME INT64_MIN /**< "No time", where a time is optional. */

/** The clock port: the system's, or the simulation's. */
typedef struct sl_clock {
    int64_t (*wall_us)(void *context);      /**< Since 1970, may step. */
    int64_t (*monotonic_us)(void *context); /**< Never steps back. */
    void *context;
} sl_clock;
sl_clock sl_clock_system(void);
int64_t sl_wall_us(void);      /**< The system's, likewise: */
int64_t sl_monotonic_us(void);
int64_t sl_cpu_us(void);       /**< Of this process, user and system. */

/**
 * RFC 3339 date-time: `T`, `t` or a space between, `Z` or an offset, any number of fraction digits
 * (beyond the sixth cut off), a leap second 60 read as the next second's start.
 * Without an offset it is refused.
 * @return true and *us; false for anything else, including years outside 0001–9999.
 */
bool sl_time_parse(const char *text, size_t length, int64_t *us);
/** `YYYY-MM-DD`. */
bool sl_date_parse(const char *text, size_t length, int32_t *days);
/** "2026-01-01T00:00:00.000000Z" (fraction left out when 0); `out` takes at least 32 bytes. @return length. */
size_t sl_time_format(int64_t us, char *out);
/** "2026-01-01"; at least 16 bytes. @return length. */
size_t sl_date_format(int32_t days, char *out);
void sl_date_civil(int32_t days, int *year, unsigned *month, unsigned *day);
int32_t sl_date_days(int year, unsigned month, unsigned day);
/** Largest multiple of `width` not above `us` (also below 1970). */
static inline int64_t sl_time_floor(int64_t us, int64_t width) {
    int64_t r = us % width;
    return us - r - (r < 0 ? width : 0);
}
/** "250ms", "10s", "5m", "1h", "7d" to microseconds. @return false when it is none. */
bool sl_duration_parse(const char *text, size_t length, int64_t *us);
