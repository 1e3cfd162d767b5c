// Tables that deliver side by side, each on its thread: every entry is answered once, on the caller's thread, and a stop ends them.

#include "sluice/topic.h"

#include "sluice/io_files.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { TABLES = 4, ENTRIES = 50 };

/* Topics by the number at the end of their names; every seventh commit is lost on its way back. */
static struct {
    pthread_mutex_t lock;
    int64_t marker[TABLES];
    char metadata[TABLES][64];
    int64_t moving[TABLES];
    char next[TABLES][64];
    uint32_t commits, open;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t number_of(const char *topic) { return (size_t)(topic[strlen(topic) - 1] - '0'); }

static sl_status port_open(void *context, const char *id, const char *topic, void **writer, sl_error *error) {
    (void)context;
    (void)id;
    (void)error;
    (void)pthread_mutex_lock(&world.lock);
    world.open++;
    (void)pthread_mutex_unlock(&world.lock);
    *writer = &world.marker[number_of(topic)];
    return SL_OK;
}

static void port_close(void *context, void *writer) {
    (void)context;
    (void)writer;
    (void)pthread_mutex_lock(&world.lock);
    world.open--;
    (void)pthread_mutex_unlock(&world.lock);
}

static sl_status port_read(void *context, void *writer, const char *group, sl_kafka_offset *marker, sl_error *error) {
    (void)context;
    (void)writer;
    (void)group;
    (void)error;
    const size_t i = number_of(marker->topic);
    (void)pthread_mutex_lock(&world.lock);
    marker->offset = world.marker[i];
    marker->metadata = world.metadata[i];
    (void)pthread_mutex_unlock(&world.lock);
    return SL_OK;
}

static sl_status port_begin(void *context, void *writer, sl_error *error) {
    (void)context;
    (void)writer;
    (void)error;
    return SL_OK;
}

static sl_status port_put(void *context, void *writer, const sl_kafka_record *record, sl_error *error) {
    (void)context;
    (void)writer;
    (void)record;
    (void)error;
    return SL_OK;
}

static sl_status port_move(void *context, void *writer, const char *group, const sl_kafka_offset *marker, sl_error *error) {
    (void)context;
    (void)writer;
    (void)group;
    (void)error;
    const size_t i = number_of(marker->topic);
    world.moving[i] = marker->offset; /* The table's thread alone comes here. */
    (void)snprintf(world.next[i], sizeof world.next[i], "%s", marker->metadata);
    return SL_OK;
}

static sl_status port_commit(void *context, void *writer, sl_error *error) {
    (void)context;
    const size_t i = (size_t)((int64_t *)writer - world.marker);
    (void)pthread_mutex_lock(&world.lock);
    world.marker[i] = world.moving[i];
    memcpy(world.metadata[i], world.next[i], sizeof world.next[i]);
    const bool lost = ++world.commits % 7 == 0;
    (void)pthread_mutex_unlock(&world.lock);
    return lost ? sl_error_set(error, SL_EAGAIN, "no answer") : SL_OK;
}

static const sl_topic_port port = {port_open, port_close, port_read, port_begin, port_put, port_move, port_commit, port_begin, NULL};

typedef struct job {
    sl_target *target;
    sl_delivery delivery;
    sl_entry entry;
    char table[24], topic[16], hash[24];
    uint32_t done, tried;
} job;

static _Atomic uint32_t wakes;

static void wake(void *context) {
    (void)context;
    (void)atomic_fetch_add(&wakes, 1);
}

static void next(job *j);

static void answered(void *context, sl_status status, const sl_error *error) {
    job *j = context;
    (void)error;
    j->tried++;
    assert_true(status == SL_OK || status == SL_EAGAIN);
    j->done += status == SL_OK;
    if (j->done < ENTRIES)
        next(j);
}

static void next(job *j) {
    j->entry = (sl_entry){.from = 10 * j->done, .to = 10 * j->done + 10};
    (void)snprintf(j->hash, sizeof j->hash, "h%u", j->done);
    j->delivery = (sl_delivery){.table = j->table,
                                .target = j->topic,
                                .partition = "journal:U",
                                .spool = ".",
                                .entry = &j->entry,
                                .first = j->done == 0,
                                .hash = j->hash};
    j->target->deliver(j->target, &j->delivery, answered, j);
}

static void pause_a_little(void) { (void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); }

static sl_target *make(void) {
    const sl_topic_options options = {.port = &port, .files = sl_files_system(), .wake = wake};
    sl_target *target = NULL;
    sl_error error;
    assert_int_equal(sl_topic_target_create(&options, &target, &error), SL_OK);
    return target;
}

static void tables_go_side_by_side_and_each_entry_is_answered_once(void **state) {
    (void)state;
    static job jobs[TABLES];
    sl_target *target = make();
    sl_error error;
    for (int i = 0; i < TABLES; i++) {
        world.marker[i] = -1;
        jobs[i].target = target;
        (void)snprintf(jobs[i].table, sizeof jobs[i].table, "s/topic/t%d", i);
        (void)snprintf(jobs[i].topic, sizeof jobs[i].topic, "t%d", i);
        if (i % 2 == 0) /* Its marker is looked for before. */
            assert_int_equal(sl_topic_target_keep(target, "journal:U", jobs[i].table, jobs[i].topic, &error), SL_OK);
        next(&jobs[i]);
    }
    uint32_t done = 0, tried = 0;
    while (done < TABLES * ENTRIES) {
        sl_topic_target_poll(target);
        pause_a_little();
        done = tried = 0;
        for (int i = 0; i < TABLES; i++) {
            done += jobs[i].done;
            tried += jobs[i].tried;
        }
    }
    assert_true(tried > done); /* Commits without an answer were looked up. */
    assert_int_equal(atomic_load(&wakes), tried);
    target->destroy(target);
    assert_int_equal(world.open, 0);
    for (int i = 0; i < TABLES; i++)
        assert_int_equal(world.marker[i], 10 * ENTRIES);
}

static void what_is_under_way_at_the_end_is_not_answered(void **state) {
    (void)state;
    for (int n = 0; n < 20; n++) {
        static job j;
        j = (job){.target = make(), .table = "s/topic/t0", .topic = "t0"};
        world.marker[0] = -1;
        next(&j);
        if (n % 2 == 0)
            pause_a_little();
        sl_topic_target_stop(j.target);
        j.target->destroy(j.target);
        assert_int_equal(j.tried, 0);
        assert_int_equal(world.open, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_go_side_by_side_and_each_entry_is_answered_once),
        cmocka_unit_test(what_is_under_way_at_the_end_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
