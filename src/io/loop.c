#include "sluice/loop.h"

#include "sluice/memory.h"

#include <signal.h>
#include <uv.h>

enum { SIGNALS = 4 };

struct sl_loop {
    uv_loop_t loop;
    uv_async_t wake;
    uv_check_t check;
    uv_timer_t timer, alarm;
    uv_signal_t signals[SIGNALS];
    sl_loop_callbacks callbacks;
};

static void on_wake(uv_async_t *handle) {
    (void)handle; /* The check below runs in the same turn. */
}

static void on_check(uv_check_t *handle) {
    sl_loop *loop = handle->data;
    loop->callbacks.turn(loop->callbacks.context);
}

static void on_tick(uv_timer_t *handle) {
    sl_loop *loop = handle->data;
    loop->callbacks.tick(loop->callbacks.context);
}

static void on_alarm(uv_timer_t *handle) {
    (void)handle; /* As on_wake(). */
}

static void on_signal(uv_signal_t *handle, int number) {
    sl_loop *loop = handle->data;
    loop->callbacks.signal(loop->callbacks.context, number);
}

sl_status sl_loop_create(const sl_loop_callbacks *callbacks, sl_loop **out, sl_error *error) {
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    *out = NULL;
    sl_loop *loop = sl_calloc(1, sizeof *loop);
    if (loop == NULL)
        return sl_error_set(error, SL_ENOMEM, "loop: out of memory");
    loop->callbacks = *callbacks;
    int code = uv_loop_init(&loop->loop);
    if (code != 0) {
        sl_free(loop);
        return sl_error_set(error, SL_EIO, "event loop: %s", uv_strerror(code));
    }
    code = uv_async_init(&loop->loop, &loop->wake, on_wake);
    (void)uv_check_init(&loop->loop, &loop->check);
    (void)uv_timer_init(&loop->loop, &loop->timer);
    (void)uv_timer_init(&loop->loop, &loop->alarm);
    loop->wake.data = loop->check.data = loop->timer.data = loop;
    (void)uv_check_start(&loop->check, on_check);
    (void)uv_timer_start(&loop->timer, on_tick, callbacks->tick_ms, callbacks->tick_ms);
    for (int i = 0; i < SIGNALS && code == 0 && callbacks->signal != NULL; i++) {
        code = uv_signal_init(&loop->loop, &loop->signals[i]);
        loop->signals[i].data = loop;
        if (code == 0)
            code = uv_signal_start(&loop->signals[i], on_signal, numbers[i]);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (code != 0) {
        sl_loop_destroy(loop);
        return sl_error_set(error, SL_EIO, "event loop: %s", uv_strerror(code));
    }
    *out = loop;
    return SL_OK;
}

uv_loop_t *sl_loop_uv(sl_loop *loop) {
    return &loop->loop;
}

void sl_loop_wake(sl_loop *loop) {
    (void)uv_async_send(&loop->wake);
}

void sl_loop_wake_in(sl_loop *loop, uint32_t ms) {
    (void)uv_timer_start(&loop->alarm, on_alarm, ms, 0);
}

void sl_loop_run(sl_loop *loop) {
    (void)uv_run(&loop->loop, UV_RUN_DEFAULT);
}

void sl_loop_stop(sl_loop *loop) {
    uv_stop(&loop->loop);
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void sl_loop_destroy(sl_loop *loop) {
    if (loop == NULL)
        return;
    uv_walk(&loop->loop, close_handle, NULL);
    (void)uv_run(&loop->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop->loop);
    sl_free(loop);
}
