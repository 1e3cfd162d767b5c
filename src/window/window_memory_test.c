// What a full budget and failing allocations do to windows.

#include "window_test_help.h"

#define MANY 400

static const char *const growing_texts[] = {"count()",
                                            "unique(user_id)",
                                            "max(user_id)",
                                            "quantile(latency, 0.9)",
                                            "sum(price)",
                                            "min(amount)",
                                            NULL};

static const sl_measure_definition many_kinds[] = {
    {"a", "unique(user_id)"},
    {"b", "max(user_id)"},
    {"c", "quantile(amount, 0.5)"},
    {"d", "sum(amount * 2.0)"},
    {"e", "count(price > 100)"},
    {"f", "e / a"},
    {"g", "f * 100.0"},
};
#define KINDS 7

// One life of a plan, a window and a state.

static void many_rows(sl_test_row *rows, char (*users)[24]) {
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(users[i], sizeof users[i], "user_%u", i * 7919 % 331);
        rows[i] = (sl_test_row){(int64_t)(i * 37 % 300) * SECOND,
                                500 * SECOND,
                                i % 3 == 0 ? "view" : users[i % 17],
                                users[i],
                                "DE",
                                (double)i * 1.25 - 100,
                                (int64_t)i * i,
                                (int64_t)i - 50,
                                SL_VERDICT_KEEP};
    }
}

static void assert_same_stores(const sl_test_store *a, const sl_test_store *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->cells[i].start_us, b->cells[i].start_us);
        assert_int_equal(a->cells[i].state.length, b->cells[i].state.length);
        assert_memory_equal(a->cells[i].key.bytes, b->cells[i].key.bytes,
                            a->cells[i].key.length);
        assert_memory_equal(a->cells[i].state.bytes, b->cells[i].state.bytes,
                            a->cells[i].state.length);
    }
}

static uint64_t add_with_cuts(world_of *world, sl_window *window, sl_test_store *store,
                              bool failures) {
    uint32_t row = 0;
    uint64_t cuts = 0, calls = 0;
    for (;;) {
        if (failures)
            sl_memory_fail_at(1 + calls++ * 7 % 41);
        sl_status status =
            sl_window_add(window, world->batch, &row, SL_NO_TIME, &world->late);
        sl_memory_fail_at(0);
        if (status == SL_OK)
            return cuts;
        assert_true(status == SL_EFULL || (failures && status == SL_ENOMEM));
        test_cut(window, store);
        cuts++;
    }
}

static void full_budget_stops_between_rows_and_nothing_is_lost(void **state) {
    (void)state;
    static sl_test_row rows[MANY];
    static char users[MANY][24];
    many_rows(rows, users);
    world_of world;
    world_init(&world, "event_type", growing_texts);
    add(&world, rows, MANY);
    test_cut(world.window, &world.store);
    test_store_sort(&world.store);
    uint64_t late = world.late;
    // The least budget that holds one window's fixed memory and a few groups, then more
    // and more.
    uint64_t most_cuts = 0;
    for (uint64_t limit = 60000; limit < 600000; limit += limit / 5) {
        sl_budget budget;
        sl_budget_init(&budget, limit);
        sl_window *window;
        assert_int_equal(sl_window_create(world.plan, &budget, &window), SL_OK);
        sl_test_store store = {.plan = world.plan};
        world.late = 0;
        uint64_t cuts = add_with_cuts(&world, window, &store, false);
        most_cuts = cuts > most_cuts ? cuts : most_cuts;
        test_cut(window, &store);
        test_store_sort(&store);
        assert_same_stores(&world.store, &store);
        assert_int_equal(world.late, late);
        test_store_fini(&store);
        sl_window_destroy(window);
        assert_int_equal(sl_budget_used(&budget), 0);
    }
    assert_true(most_cuts > 3);
    world_fini(&world);
}

static void budget_for_no_row_at_all_is_out_of_memory(void **state) {
    (void)state;
    world_of world;
    world_init(&world, "event_type", growing_texts);
    test_fill(world.batch, world.schema, world.records, four, 4);
    for (uint64_t limit = 0; limit < 40000; limit += 500) {
        sl_budget budget;
        sl_budget_init(&budget, limit);
        sl_window *window;
        sl_status status = sl_window_create(world.plan, &budget, &window);
        if (status == SL_OK) {
            uint32_t row = 0;
            status = sl_window_add(window, world.batch, &row, SL_NO_TIME, &world.late);
            assert_true(status == SL_OK || (status == SL_ENOMEM) == (row == 0));
            if (status == SL_ENOMEM)
                assert_int_equal(sl_window_rows(window), 0);
            sl_window_destroy(window);
        } else {
            assert_int_equal(status, SL_ENOMEM);
            assert_null(window);
        }
        assert_int_equal(sl_budget_used(&budget), 0);
    }
    world_fini(&world);
}

static void failing_allocator_never_tears_a_row(void **state) {
    (void)state;
    static sl_test_row rows[MANY];
    static char users[MANY][24];
    many_rows(rows, users);
    world_of world;
    world_init(&world, "event_type", growing_texts);
    add(&world, rows, MANY);
    test_cut(world.window, &world.store);
    test_store_sort(&world.store);
    sl_test_store store = {.plan = world.plan};
    assert_true(add_with_cuts(&world, world.window, &store, true) > 0);
    test_cut(world.window, &store);
    test_store_sort(&store);
    assert_same_stores(&world.store, &store);
    test_store_fini(&store);
    world_fini(&world);
}

static sl_status live(world_of *world, const sl_window_plan *built,
                      const sl_buffer *delta) {
    const char *by[] = {"geo.country"};
    sl_window_definition definition = {.name = "w",
                                       .width_us = MINUTE,
                                       .by = by,
                                       .by_count = 1,
                                       .measures = many_kinds,
                                       .measure_count = KINDS};
    sl_window_plan *plan = NULL;
    sl_window *window = NULL;
    sl_buffer merged = SL_BUFFER_EMPTY, partial = SL_BUFFER_EMPTY,
              again = SL_BUFFER_EMPTY;
    sl_value numbers[KINDS], partials[KINDS];
    for (uint32_t i = 0; i < KINDS; i++)
        partials[i] = (sl_value){.type = SL_TYPE_BYTES, .null = true};
    sl_error error;
    uint32_t row = 0;
    sl_status status = sl_window_plan_create(&definition, world->schema, &plan, &error);
    assert_int_equal(status == SL_OK, plan != NULL);
    if (status == SL_OK)
        status = sl_window_create(plan, NULL, &window);
    if (status == SL_OK)
        status = sl_window_add(window, world->batch, &row, SL_NO_TIME, &world->late);
    if (status == SL_EFULL) // Whole rows are in, and the rest can follow.
        status = SL_ENOMEM;
    if (window != NULL && status != SL_OK)
        assert_int_equal(sl_window_rows(window), row);
    if (status == SL_OK)
        status = sl_window_state_merge(built, delta->bytes, delta->length, delta->bytes,
                                       delta->length, &merged);
    if (status == SL_OK)
        status = sl_window_state_numbers(built, delta->bytes, delta->length, numbers);
    if (status == SL_OK)
        status = sl_window_state_partial(built, delta->bytes, delta->length, 0, &partial);
    if (status == SL_OK)
        status = sl_window_state_build(built, 4, numbers, partials, &again);
    sl_buffer_fini(&merged);
    sl_buffer_fini(&partial);
    sl_buffer_fini(&again);
    sl_window_destroy(window);
    sl_window_plan_destroy(plan);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    world_of world;
    world_init(&world, NULL, growing_texts);
    sl_window_destroy(world.window);
    sl_window_plan_destroy(world.plan);
    sl_window_definition definition = {
        .name = "w", .width_us = MINUTE, .measures = many_kinds, .measure_count = KINDS};
    assert_int_equal(sl_window_plan_create(&definition, world.schema, &world.plan, NULL),
                     SL_OK);
    assert_int_equal(sl_window_create(world.plan, NULL, &world.window), SL_OK);
    world.store.plan = world.plan;
    add(&world, four, 4);
    test_cut(world.window, &world.store);
    uint64_t n = 1;
    for (bool done = false; !done; n++) {
        sl_memory_fail_at(n);
        sl_status status = live(&world, world.plan, &world.store.cells[0].state);
        sl_memory_fail_at(0);
        done = status == SL_OK;
        assert_true(done || status == SL_ENOMEM);
    }
    assert_true(n > 50);
    world_fini(&world);
}

static void cut_without_memory_keeps_everything(void **state) {
    (void)state;
    world_of world;
    world_init(&world, "event_type", growing_texts);
    sl_status status = SL_ENOMEM;
    for (uint64_t n = 1; status != SL_OK; n++) {
        sl_window_destroy(world.window);
        assert_int_equal(sl_window_create(world.plan, NULL, &world.window), SL_OK);
        add(&world, four, 4);
        test_store_fini(&world.store);
        world.store = (sl_test_store){.plan = world.plan};
        test_store_begin(&world.store);
        sl_buffer_reserve(&world.store.last_key, 64);
        sl_memory_fail_at(n);
        status = sl_window_cut(world.window, test_take, &world.store);
        sl_memory_fail_at(0);
        if (status != SL_OK) {
            assert_int_equal(status, SL_ENOMEM);
            assert_int_equal(sl_window_rows(world.window), 4);
        }
        if (n > 2)
            break; // From here on it is the test's own store that is refused memory.
    }
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_budget_stops_between_rows_and_nothing_is_lost),
        cmocka_unit_test(budget_for_no_row_at_all_is_out_of_memory),
        cmocka_unit_test(failing_allocator_never_tears_a_row),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(cut_without_memory_keeps_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
