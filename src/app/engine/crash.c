#include "crash.h"

#include "sluice/engine.h"
#include "sluice/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define X(name) #name,
    SL_CRASH_POINTS(X)
#undef X
        NULL,
};

const char *const *sl_crash_points(void) {
    return names;
}

/* Relaxed: armed before the threads start; the countdown only has to reach zero once. */
static _Atomic int armed = -1;
static _Atomic int countdown;
static void (*handler)(void *context, const char *name);
static void *handler_context;

bool sl_crash_arm(const char *text) {
    const char *colon = strchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    for (int i = 0; names[i] != NULL; i++)
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
            long times = colon != NULL ? strtol(colon + 1, NULL, 10) : 1;
            atomic_store(&countdown, times > 0 ? (int)times : 1);
            atomic_store(&armed, i);
            return true;
        }
    return false;
}

void sl_crash_handler(void (*function)(void *context, const char *name), void *context) {
    handler = function;
    handler_context = context;
}

#ifdef SLUICE_CRASH_POINTS
void crash_here(crash_point point) {
    if (atomic_load_explicit(&armed, memory_order_relaxed) != (int)point ||
        atomic_fetch_sub(&countdown, 1) != 1)
        return;
    if (handler != NULL) {
        handler(handler_context, names[point]);
        return;
    }
    sl_message(SL_LEVEL_WARN, "crash", "crash point reached", "point=%s", names[point]);
    _exit(137);
}
#endif
