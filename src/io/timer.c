#include "sluice/timer.h"

#include "sluice/memory.h"

#include <uv.h>

struct sl_timer {
    uv_timer_t timer;
    void (*fire)(void *context);
    void *context;
};

static void on_timer(uv_timer_t *handle) {
    sl_timer *timer = handle->data;
    timer->fire(timer->context);
}

sl_timer *sl_timer_create(uv_loop_t *loop, void (*fire)(void *context), void *context) {
    sl_timer *timer = sl_calloc(1, sizeof *timer);
    if (timer == NULL)
        return NULL;
    timer->fire = fire;
    timer->context = context;
    (void)uv_timer_init(loop, &timer->timer);
    timer->timer.data = timer;
    return timer;
}

void sl_timer_start(sl_timer *timer, uint64_t ms) {
    /* libuv counts from its cached time, which a long turn leaves behind. */
    uv_update_time(timer->timer.loop);
    (void)uv_timer_start(&timer->timer, on_timer, ms, 0);
}

void sl_timer_stop(sl_timer *timer) { (void)uv_timer_stop(&timer->timer); }

static void on_closed(uv_handle_t *handle) { sl_free(handle->data); }

void sl_timer_destroy(sl_timer *timer) {
    if (timer != NULL)
        uv_close((uv_handle_t *)&timer->timer, on_closed);
}

/* The loop is the first member: what is passed around points to both. */
typedef struct waiting_loop {
    uv_loop_t loop;
    uv_prepare_t prepare;
    const bool *done;
} waiting_loop;

/* After the timers and before the loop sleeps: what they have done, it must not sleep
 * over. */
static void before_sleep(uv_prepare_t *prepare) {
    waiting_loop *waiting = prepare->data;
    if (*waiting->done)
        uv_stop(&waiting->loop);
}

uv_loop_t *sl_waiting_loop_create(void) {
    waiting_loop *waiting = sl_calloc(1, sizeof *waiting);
    if (waiting == NULL || uv_loop_init(&waiting->loop) != 0) {
        sl_free(waiting);
        return NULL;
    }
    (void)uv_prepare_init(&waiting->loop, &waiting->prepare);
    uv_unref((uv_handle_t *)&waiting->prepare);
    waiting->prepare.data = waiting;
    return &waiting->loop;
}

bool sl_waiting_loop_run(uv_loop_t *loop, const bool *done) {
    waiting_loop *waiting = (waiting_loop *)loop;
    waiting->done = done;
    (void)uv_prepare_start(&waiting->prepare, before_sleep);
    while (!*done && uv_run(loop, UV_RUN_ONCE) != 0)
        continue;
    (void)uv_prepare_stop(&waiting->prepare);
    return *done;
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void sl_waiting_loop_destroy(uv_loop_t *loop) {
    if (loop == NULL)
        return;
    /* First what was closed already, with callbacks that free; then whatever its owner
     * forgot. */
    (void)uv_run(loop, UV_RUN_NOWAIT);
    uv_walk(loop, close_handle, NULL);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(loop);
    sl_free(loop);
}
