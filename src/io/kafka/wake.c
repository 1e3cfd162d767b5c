/* librdkafka's threads write a number to an eventfd when a queue that was served gets something; the loop reads it. */
#include "private.h"

#include "sluice/memory.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct kafka_wake {
    uv_poll_t poll;
    int fd;
    bool left_open;
    void (*turn)(void *context);
    void *context;
};

/* What is written each time. */
static const uint64_t one = 1;

static void on_poll(uv_poll_t *poll, int code, int events) {
    (void)code, (void)events;
    kafka_wake *wake = poll->data;
    uint64_t count;
    if (read(wake->fd, &count, sizeof count) == (ssize_t)sizeof count)
        wake->turn(wake->context);
}

sl_status sl_kafka_wake_create(uv_loop_t *loop, void (*turn)(void *context), void *context, kafka_wake **out, sl_error *error) {
    *out = NULL;
    kafka_wake *wake = sl_calloc(1, sizeof *wake);
    if (wake == NULL)
        return sl_error_set(error, SL_ENOMEM, "Kafka: out of memory");
    wake->turn = turn;
    wake->context = context;
    wake->poll.data = wake;
    wake->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = wake->fd < 0 ? UV_EMFILE : uv_poll_init(loop, &wake->poll, wake->fd);
    if (code != 0) {
        if (wake->fd >= 0)
            (void)close(wake->fd);
        sl_free(wake);
        return sl_error_set(error, SL_EIO, "Kafka: no eventfd: %s", uv_strerror(code));
    }
    (void)uv_poll_start(&wake->poll, UV_READABLE, on_poll);
    *out = wake;
    return SL_OK;
}

void sl_kafka_wake_watch(kafka_wake *wake, rd_kafka_queue_t *queue) {
    rd_kafka_queue_io_event_enable(queue, wake->fd, &one, sizeof one);
}

void sl_kafka_wake_again(kafka_wake *wake) {
    /* Full only when it is readable already. */
    if (write(wake->fd, &one, sizeof one) < 0)
        return;
}

static void on_closed(uv_handle_t *handle) {
    kafka_wake *wake = handle->data;
    if (!wake->left_open)
        (void)close(wake->fd);
    sl_free(wake);
}

void sl_kafka_wake_destroy(kafka_wake *wake, bool left_open) {
    if (wake == NULL)
        return;
    wake->left_open = left_open;
    (void)uv_poll_stop(&wake->poll);
    uv_close((uv_handle_t *)&wake->poll, on_closed);
}

/* --- the end of a client ---
 *
 * rd_kafka_destroy() joins threads, so it is called on one of its own. In librdkafka 2.0.2 it never returns when a topic
 * was deleted that the client had read: then the client is left behind after PATIENCE_MS, its threads asleep, its
 * eventfd open because they might still write to it. */

enum { QUEUES_MAX = 4, PATIENCE_MS = 3000 };

typedef struct disposal {
    pthread_mutex_t mutex;
    bool finished, abandoned; /* Under the mutex. */
    uv_async_t async;
    uv_timer_t patience;
    int open_handles;
    rd_kafka_t *client;
    rd_kafka_queue_t *queues[QUEUES_MAX];
    uint32_t count;
    void (*gone)(void *context, bool abandoned);
    void *context;
} disposal;

static void free_disposal(disposal *d) {
    (void)pthread_mutex_destroy(&d->mutex);
    sl_free(d);
}

static void *dispose(void *argument) {
    disposal *d = argument;
    for (uint32_t i = 0; i < d->count; i++)
        if (d->queues[i] != NULL)
            rd_kafka_queue_destroy(d->queues[i]);
    rd_kafka_destroy_flags(d->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    (void)pthread_mutex_lock(&d->mutex);
    bool abandoned = d->abandoned;
    d->finished = true;
    if (!abandoned)
        (void)uv_async_send(&d->async); /* Under the mutex: it isn't closed before. */
    (void)pthread_mutex_unlock(&d->mutex);
    if (abandoned)
        free_disposal(d);
    return NULL;
}

static void on_handle_closed(uv_handle_t *handle) {
    disposal *d = handle->data;
    if (--d->open_handles > 0)
        return;
    void (*gone)(void *, bool) = d->gone;
    void *context = d->context;
    (void)pthread_mutex_lock(&d->mutex);
    bool abandoned = d->abandoned; /* Then it is the thread's. */
    (void)pthread_mutex_unlock(&d->mutex);
    if (!abandoned)
        free_disposal(d);
    gone(context, abandoned);
}

static void end_disposal(disposal *d) {
    uv_close((uv_handle_t *)&d->async, on_handle_closed);
    uv_close((uv_handle_t *)&d->patience, on_handle_closed);
}

static void on_disposed(uv_async_t *async) {
    disposal *d = async->data;
    if (!uv_is_closing((uv_handle_t *)async))
        end_disposal(d);
}

static void on_impatient(uv_timer_t *timer) {
    disposal *d = timer->data;
    (void)pthread_mutex_lock(&d->mutex);
    d->abandoned = !d->finished; /* From here on the thread leaves `async` alone. */
    (void)pthread_mutex_unlock(&d->mutex);
    if (!uv_is_closing((uv_handle_t *)&d->async))
        end_disposal(d);
}

sl_status sl_kafka_dispose(uv_loop_t *loop, rd_kafka_t *client, rd_kafka_queue_t *const *queues, uint32_t count,
                           void (*gone)(void *context, bool abandoned), void *context) {
    disposal *d = sl_calloc(1, sizeof *d);
    if (d == NULL)
        return SL_ENOMEM;
    d->client = client;
    d->count = count;
    d->gone = gone;
    d->context = context;
    memcpy(d->queues, queues, count * sizeof *queues);
    if (uv_async_init(loop, &d->async, on_disposed) != 0) {
        sl_free(d);
        return SL_EIO;
    }
    (void)pthread_mutex_init(&d->mutex, NULL);
    (void)uv_timer_init(loop, &d->patience);
    d->async.data = d->patience.data = d;
    d->open_handles = 2;
    pthread_t thread;
    if (pthread_create(&thread, NULL, dispose, d) == 0) {
        (void)pthread_detach(thread);
        uv_update_time(loop);
        (void)uv_timer_start(&d->patience, on_impatient, PATIENCE_MS, 0);
        return SL_OK;
    }
    (void)dispose(d); /* Without a thread the loop waits. */
    return SL_OK;
}
