#include "sluice/ring.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void full_ring_refuses_and_loses_nothing(void **state) {
    (void)state;
    sl_ring ring;
    int items[5];
    assert_int_equal(sl_ring_init(&ring, 3), SL_EINVAL);
    assert_int_equal(sl_ring_init(&ring, 4), SL_OK);
    for (int round = 0; round < 3; round++) {
        assert_null(sl_ring_pop(&ring));
        for (int i = 0; i < 4; i++)
            assert_true(sl_ring_push(&ring, &items[i]));
        assert_false(sl_ring_push(&ring, &items[4]));
        assert_int_equal(sl_ring_count(&ring), 4);
        for (int i = 0; i < 4; i++)
            assert_ptr_equal(sl_ring_pop(&ring), &items[i]);
    }
    sl_ring_fini(&ring);
}

static void allocation_failure_is_a_status(void **state) {
    (void)state;
    sl_ring ring;
    sl_memory_fail_at(1);
    assert_int_equal(sl_ring_init(&ring, 4), SL_ENOMEM);
    sl_memory_fail_at(0);
}

enum { ROUNDS = 200000 };

typedef struct message {
    size_t number, twice; /* Plain stores: only the ring's order makes them visible. */
} message;

static void *produce(void *context) {
    sl_ring *ring = context;
    for (size_t i = 0; i < ROUNDS; i++) {
        message *m = sl_malloc(sizeof *m);
        assert_non_null(m);
        *m = (message){i, 2 * i};
        while (!sl_ring_push(ring, m))
            sched_yield();
    }
    return NULL;
}

static void two_threads_see_every_item_once_in_order(void **state) {
    (void)state;
    sl_ring ring;
    assert_int_equal(sl_ring_init(&ring, 64), SL_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &ring), 0);
    for (size_t i = 0; i < ROUNDS;) {
        message *m = sl_ring_pop(&ring);
        if (m == NULL) {
            sched_yield();
            continue;
        }
        assert_int_equal(m->number, i);
        assert_int_equal(m->twice, 2 * i);
        sl_free(m);
        i++;
    }
    pthread_join(thread, NULL);
    assert_null(sl_ring_pop(&ring));
    sl_ring_fini(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_ring_refuses_and_loses_nothing),
        cmocka_unit_test(allocation_failure_is_a_status),
        cmocka_unit_test(two_threads_see_every_item_once_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
