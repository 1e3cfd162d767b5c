/** @file hand_clock.h
 * What an engine asks its host for, where one program turns everything by hand: a clock that only moves when it is told to, and nobody
 * to be woken. One such program includes it once.
 */
#pragma once

#include "sluice/engine.h"

#include <stdlib.h>

#define BASE_US INT64_C(1767225600000000) /* 2026-01-01 */

static int64_t now_us = 1000000;

static int64_t wall(void *context) {
    (void)context;
    return BASE_US + now_us;
}
static int64_t monotonic(void *context) {
    (void)context;
    return now_us;
}
static void random_bytes(void *context, void *bytes, size_t length) {
    (void)context;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)rand();
}
static void sleep_us(void *context, int64_t micros) {
    (void)context;
    now_us += micros;
}
static void wake(void *context, sl_actor *actor) {
    (void)context, (void)actor;
}
static void wake_loop(void *context) {
    (void)context;
}
static void wake_loop_in(void *context, uint32_t ms) {
    (void)context, (void)ms;
}
