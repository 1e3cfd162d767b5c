#include "sluice/time.h"

#include <time.h>

static int64_t now_us(clockid_t id) {
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000;
}

int64_t sl_wall_us(void) {
    return now_us(CLOCK_REALTIME);
}

int64_t sl_monotonic_us(void) {
    return now_us(CLOCK_MONOTONIC);
}

int64_t sl_cpu_us(void) {
    return now_us(CLOCK_PROCESS_CPUTIME_ID);
}

static int64_t wall_us(void *context) {
    (void)context;
    return sl_wall_us();
}

static int64_t monotonic_us(void *context) {
    (void)context;
    return sl_monotonic_us();
}

sl_clock sl_clock_system(void) {
    return (sl_clock){.wall_us = wall_us, .monotonic_us = monotonic_us};
}
