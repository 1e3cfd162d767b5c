/* A lake in a bucket: entries arrive whole, whatever the bucket does. */
#include "s3_world_test_help.h"

#include "sluice/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct lake_world {
    world w;
    sl_target *target;
    sl_entry entry;
    sl_entry_file files[8];
    sl_delivery delivery;
    char names[8][20], keys[8][40];
} lake_world;

static void write_spool(lake_world *l, int i, size_t length) {
    char path[100];
    (void)snprintf(path, sizeof path, "%s/%s", l->w.root, l->names[i]);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(content + i, 1, length, f), length);
    assert_int_equal(fclose(f), 0);
    l->files[i].bytes = length;
    l->files[i].hash = sl_hash128_of(content + i, length);
}

static void open_lake(lake_world *l) {
    memset(l, 0, sizeof *l);
    open_world(&l->w);
    const sl_s3_lake_options options = {.store = l->w.store};
    sl_error error;
    assert_int_equal(sl_s3_lake_create(&options, &l->target, &error), SL_OK);
    for (int i = 0; i < 8; i++) {
        (void)snprintf(l->names[i], sizeof l->names[i], "spooled%d", i);
        (void)snprintf(l->keys[i], sizeof l->keys[i], "type=a b/%d.parquet", i);
        l->files[i] = (sl_entry_file){.spool = l->names[i], .key = l->keys[i]};
        write_spool(l, i, i == 5 ? MIB + 1 : 1000 + (size_t)i);
    }
    l->entry = (sl_entry){.id = 1, .files = l->files, .file_count = 8};
    l->delivery = (sl_delivery){.table = "clicks/lake",
                                .target = "s3://bucket/lake/",
                                .spool = l->w.root,
                                .entry = &l->entry};
}

static sl_status deliver(lake_world *l) {
    l->target->deliver(l->target, &l->delivery, on_done, &l->w);
    return run(&l->w);
}

static void close_lake(lake_world *l) {
    l->target->destroy(l->target);
    close_world(&l->w);
}

static void assert_delivered(lake_world *l) {
    for (int i = 0; i < 8; i++) {
        char path[100];
        (void)snprintf(path, sizeof path, "/bucket/lake/type%%3Da%%20b/%d.parquet", i);
        assert_object(&l->w, path, content + i, (size_t)l->files[i].bytes);
    }
    assert_int_equal(l->w.fake->object_count, 8);
}

static void entry_is_delivered_file_by_file_and_any_number_of_times(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    l.entry.file_count = 0;
    assert_int_equal(deliver(&l), SL_OK);
    close_lake(&l);
}

static void entry_fails_as_a_whole_and_is_finished_by_the_next_attempt(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    fake_fail(l.w.fake, (fake_fault){"PUT", "2.parquet", 0, 1, FAKE_STATUS, 403,
                                     "AccessDenied", NULL});
    assert_int_equal(deliver(&l), SL_EDENIED);
    assert_non_null(strstr(l.w.error.text, "s3:PutObject"));
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    close_lake(&l);
}

static void missing_bucket_stalls_and_drops_nothing(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    fake_fail(l.w.fake,
              (fake_fault){"PUT", NULL, 0, 4, FAKE_STATUS, 404, "NoSuchBucket", NULL});
    sl_status status = deliver(&l);
    assert_int_equal(sl_status_follow_up(status), SL_FOLLOW_RETRY);
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    close_lake(&l);
}

static void other_content_under_a_key_stops_the_table(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    fake_add(l.w.fake, "/bucket/lake/type%3Da%20b/3.parquet", "x", 1, "");
    sl_status status = deliver(&l);
    assert_int_equal(status, SL_ECONFLICT);
    assert_int_equal(sl_status_follow_up(status), SL_FOLLOW_STOP);
    close_lake(&l);
}

static void spool_that_is_gone_after_a_delivery_is_looked_up(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    assert_int_equal(deliver(&l), SL_OK);
    char path[100];
    (void)snprintf(path, sizeof path, "%s/spooled4", l.w.root);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(deliver(&l), SL_OK);
    fake_object *o = fake_find(l.w.fake, "/bucket/lake/type%3Da%20b/4.parquet");
    o->hash[0] ^= 1;
    assert_int_equal(deliver(&l), SL_ENOTFOUND);
    assert_non_null(strstr(l.w.error.text, "spooled4"));
    close_lake(&l);
}

static void lake_can_be_destroyed_at_any_time(void **state) {
    (void)state;
    for (int turns = 0; turns < 30; turns++) {
        lake_world l;
        open_lake(&l);
        l.target->deliver(l.target, &l.delivery, on_done, &l.w);
        for (int i = 0; i < turns; i++)
            (void)uv_run(l.w.loop, UV_RUN_NOWAIT);
        close_lake(&l);
    }
}

/* Every allocation of ours fails once: each time a status, nothing lost, and the next
 * attempt delivers. libcurl's own are no part of it. */
static void failing_allocations_are_statuses(void **state) {
    (void)state;
    uint64_t n = 1, calls = 0;
    for (bool more = true; more; n++) {
        lake_world l;
        open_lake(&l);
        l.entry.file_count = 6;
        sl_memory_fail_at(n);
        l.target->deliver(l.target, &l.delivery, on_done, &l.w);
        sl_status status = run(&l.w);
        calls = sl_memory_calls();
        sl_memory_fail_at(0);
        more = calls >= n;
        assert_true(status == SL_OK || sl_status_follow_up(status) == SL_FOLLOW_RETRY);
        assert_int_equal(deliver(&l), SL_OK);
        assert_int_equal(l.w.fake->object_count, 6);
        assert_int_equal(l.w.fake->upload_count, 0);
        close_lake(&l);
    }
    assert_true(n > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_is_delivered_file_by_file_and_any_number_of_times),
        cmocka_unit_test(entry_fails_as_a_whole_and_is_finished_by_the_next_attempt),
        cmocka_unit_test(missing_bucket_stalls_and_drops_nothing),
        cmocka_unit_test(other_content_under_a_key_stops_the_table),
        cmocka_unit_test(spool_that_is_gone_after_a_delivery_is_looked_up),
        cmocka_unit_test(lake_can_be_destroyed_at_any_time),
        cmocka_unit_test(failing_allocations_are_statuses),
    };
    return cmocka_run_group_tests(tests, make_content, free_content);
}
