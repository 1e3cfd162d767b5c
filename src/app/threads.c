#include "threads.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PARK_MS = 100 }; /* Retries have a time: a parked actor looks again after this. */

typedef struct thread {
    sl_actor *actor;
    pthread_t id;
    int event;
    _Atomic bool parked, stop;
} thread;

struct sl_threads {
    uint32_t count;
    thread *threads;
};

static void park(thread *t) {
    /* Both sides exchange `parked`: either wake() comes second and sees it, or run() below sees its work. */
    (void)atomic_exchange(&t->parked, true);
    if (!t->actor->run(t->actor->context) && !atomic_load(&t->stop)) {
        struct pollfd poll_fd = {.fd = t->event, .events = POLLIN};
        (void)poll(&poll_fd, 1, PARK_MS);
    }
    if (!atomic_exchange(&t->parked, false)) {
        uint64_t count; /* Somebody woke us: take the token. */
        if (read(t->event, &count, sizeof count) < 0) {
        }
    }
}

static void *thread_main(void *context) {
    thread *t = context;
    while (!atomic_load_explicit(&t->stop, memory_order_acquire))
        if (!t->actor->run(t->actor->context))
            park(t);
    return NULL;
}

void sl_threads_wake(sl_actor *actor) {
    thread *t = actor->host;
    if (t == NULL)
        return; /* Before the start: run() is called once anyway. */
    if (atomic_exchange(&t->parked, false)) { /* Pairs with the exchange in park(). */
        const uint64_t one = 1;
        if (write(t->event, &one, sizeof one) < 0) {
        }
    }
}

sl_status sl_threads_start(sl_actor **actors, uint32_t count, sl_threads **out, sl_error *error) {
    sl_threads *threads = sl_calloc(1, sizeof *threads);
    if (threads == NULL || (threads->threads = sl_calloc(count, sizeof(thread))) == NULL) {
        sl_free(threads);
        return sl_error_set(error, SL_ENOMEM, "threads: out of memory");
    }
    *out = threads;
    sigset_t all, old; /* Signals belong to the loop's thread. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    for (uint32_t i = 0; i < count; i++) {
        thread *t = &threads->threads[i];
        t->actor = actors[i];
        t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        actors[i]->host = t;
    }
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        thread *t = &threads->threads[i];
        if (t->event < 0 || pthread_create(&t->id, NULL, thread_main, t) != 0)
            status = sl_error_set(error, SL_EIO, "threads: the system gives no more");
        else
            threads->count++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return status;
}

void sl_threads_stop(sl_threads *threads) {
    if (threads == NULL)
        return;
    for (uint32_t i = 0; i < threads->count; i++) {
        atomic_store(&threads->threads[i].stop, true);
        const uint64_t one = 1;
        if (write(threads->threads[i].event, &one, sizeof one) < 0) {
        }
    }
    for (uint32_t i = 0; i < threads->count; i++) {
        (void)pthread_join(threads->threads[i].id, NULL);
        (void)close(threads->threads[i].event);
        threads->threads[i].actor->host = NULL;
    }
    sl_free(threads->threads);
    sl_free(threads);
}
