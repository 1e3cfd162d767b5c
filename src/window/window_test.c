// Windows with answers computed by hand.

#include "window_test_help.h"

static void every_measure_gives_its_number(void **state) {
    (void)state;
    static const char *const texts[] = {"count()",
                                        "count(paid)",
                                        "sum(amount)",
                                        "sum(latency)",
                                        "sum(price)",
                                        "min(amount)",
                                        "max(amount)",
                                        "min(latency)",
                                        "max(price)",
                                        "avg(amount)",
                                        "avg(latency)",
                                        "avg(price)",
                                        "unique(user_id)",
                                        "min(user_id)",
                                        "max(user_id)",
                                        "max(ts)",
                                        "quantile(latency, 0)",
                                        "quantile(amount, 1)",
                                        NULL};
    world_of world;
    world_init(&world, "event_type", texts);
    add(&world, four, 4);
    assert_int_equal(sl_window_rows(world.window), 4);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.count, 2);
    assert_int_equal(world.store.cells[0].start_us, 0);
    assert_int_equal(world.store.cells[1].start_us, MINUTE);
    assert_int_equal(rows_of(&world, 0), 3);
    assert_int_equal(rows_of(&world, 1), 1);
    assert_i64(number(&world, 0, 0), SL_TYPE_INT64, 3);
    assert_i64(number(&world, 0, 1), SL_TYPE_INT64, 1);
    assert_f64(number(&world, 0, 2), 4.0);
    assert_i64(number(&world, 0, 3), SL_TYPE_INT64, 40);
    assert_i64(number(&world, 0, 4), SL_TYPE_DECIMAL, 200);
    assert_int_equal(number(&world, 0, 4).scale, 2);
    assert_f64(number(&world, 0, 5), 1.5);
    assert_f64(number(&world, 0, 6), 2.5);
    assert_i64(number(&world, 0, 7), SL_TYPE_INT64, 10);
    assert_i64(number(&world, 0, 8), SL_TYPE_DECIMAL, 250);
    assert_f64(number(&world, 0, 9), 2.0);
    assert_f64(number(&world, 0, 10), 20.0);
    assert_f64(number(&world, 0, 11), 1.0);
    assert_i64(number(&world, 0, 12), SL_TYPE_INT64, 2);
    assert_text(number(&world, 0, 13), "ann");
    assert_text(number(&world, 0, 14), "bob");
    assert_i64(number(&world, 0, 15), SL_TYPE_TIMESTAMP, 59 * SECOND);
    assert_f64(number(&world, 0, 16), 10.0);
    assert_f64(number(&world, 0, 17), 2.5);
    assert_f64(number(&world, 1, 2), 7.0);
    world_fini(&world);
}

static void cut_forgets_and_peek_keeps(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", "unique(user_id)", NULL};
    world_of world;
    world_init(&world, "event_type", texts);
    add(&world, four, 4);
    sl_test_store seen = {.plan = world.plan};
    test_store_begin(&seen);
    assert_int_equal(sl_window_peek(world.window, test_take, &seen), SL_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(sl_window_rows(world.window), 4);
    world.store.refuse_at = 2;
    test_store_begin(&world.store);
    assert_int_equal(sl_window_cut(world.window, test_take, &world.store), SL_EIO);
    assert_int_equal(sl_window_rows(world.window), 4);
    test_store_fini(&world.store);
    world.store = (sl_test_store){.plan = world.plan};
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.count, 2);
    assert_int_equal(sl_window_rows(world.window), 0);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.count, 2);
    test_store_fini(&seen);
    world_fini(&world);
}

static void null_keys_are_a_group_of_their_own(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", NULL};
    world_of world;
    world_init(&world, "geo.country", texts);
    uint32_t count;
    assert_string_equal(sl_window_plan_keys(world.plan, &count)->name, "geo_country");
    add(&world, four, 3);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.count,
                     3); // DE, FR, null; not what lies in an absent object.
    for (size_t i = 0; i < 3; i++) {
        sl_value key;
        sl_buffer *bytes = &world.store.cells[i].key;
        assert_int_equal(sl_value_decode(bytes->bytes, bytes->length, &key),
                         bytes->length);
        if (!key.null)
            assert_int_equal(key.as.text.length, 2);
        assert_int_equal(rows_of(&world, i), 1);
    }
    world_fini(&world);
}

static void rows_with_another_verdict_are_skipped(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", NULL};
    sl_test_row rows[5];
    for (int i = 0; i < 5; i++) {
        rows[i] = four[0];
        rows[i].verdict = (sl_verdict)i;
    }
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, rows, 5);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.count, 1);
    assert_int_equal(world.store.cells[0].key.length, 0);
    assert_int_equal(rows_of(&world, 0), 1);
    world_fini(&world);
}

static void row_without_event_time_counts_at_its_arrival(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", NULL};
    sl_test_row row = four[0];
    row.time_us = ABSENT;
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, &row, 1);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.cells[0].start_us, MINUTE); // It arrived at 100 s.
    world_fini(&world);
}

static void windows_reach_below_1970_and_follow_the_offset(void **state) {
    (void)state;
    world_of world;
    static const char *const texts[] = {"count()", NULL};
    world_init(&world, NULL, texts);
    sl_test_row row = four[0];
    row.time_us = -1;
    add(&world, &row, 1);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.cells[0].start_us, -MINUTE);
    world_fini(&world);

    // A day of a zone two hours ahead begins at 22:00 UTC.
    world_init(&world, NULL, texts);
    sl_window_destroy(world.window);
    sl_window_plan_destroy(world.plan);
    sl_measure_definition measure = {"events", "count()"};
    sl_window_definition definition = {.name = "day",
                                       .width_us = SL_DAY_US,
                                       .offset_us = 2 * SL_HOUR_US,
                                       .event_time = "ts",
                                       .measures = &measure,
                                       .measure_count = 1};
    assert_int_equal(sl_window_plan_create(&definition, world.schema, &world.plan, NULL),
                     SL_OK);
    assert_int_equal(sl_window_create(world.plan, NULL, &world.window), SL_OK);
    world.store.plan = world.plan;
    row.time_us = 23 * SL_HOUR_US;
    add(&world, &row, 1);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.cells[0].start_us, 22 * SL_HOUR_US);
    world_fini(&world);
}

// Steps can compute times that no calendar has.
static void absurd_times_move_to_the_border(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", NULL};
    sl_test_row rows[3] = {four[0], four[0], four[0]};
    rows[0].time_us = INT64_MAX;
    rows[1].time_us = INT64_MIN + 1;
    rows[2].time_us = rows[2].arrival_us = INT64_MAX;
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, rows, 3);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.count, 2);
    assert_int_equal(world.store.cells[0].start_us,
                     INT64_C(-62135596800000000)); // Year 1.
    assert_int_equal(world.store.cells[1].start_us,
                     INT64_C(253402300740000000)); // 9999-12-31.
    world_fini(&world);
}

static void event_without_event_time_leaves_the_watermark(void **state) {
    (void)state;
    static const sl_test_row rows[] = {
        {50 * SECOND, 1000 * SECOND, .verdict = SL_VERDICT_KEEP},
        {ABSENT, 1000 * SECOND, .verdict = SL_VERDICT_KEEP},
        {60 * SECOND, 1000 * SECOND, .verdict = SL_VERDICT_KEEP}, // Not late.
    };
    static const char *const texts[] = {"count()", NULL};
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, rows, 3);
    assert_int_equal(world.late, 0);
    assert_int_equal(sl_watermark_after(world.batch, F_TS, SL_NO_TIME), 60 * SECOND);
    world_fini(&world);
}

static void watermark_rises_row_by_row_and_counts_the_late(void **state) {
    (void)state;
    // Lateness 0: late is what is older than the highest min(time, arrival) before it.
    static const sl_test_row rows[] = {
        {50 * SECOND, 100 * SECOND, .verdict = SL_VERDICT_KEEP},
        {49 * SECOND, 100 * SECOND, .verdict = SL_VERDICT_KEEP}, // Late.
        {900 * SECOND, 60 * SECOND,
         .verdict = SL_VERDICT_KEEP}, // From the future: mark 60.
        {60 * SECOND, 100 * SECOND, .verdict = SL_VERDICT_KEEP}, // At the mark: not late.
        {59 * SECOND, 100 * SECOND, .verdict = SL_VERDICT_KEEP}, // Late.
        {99 * SECOND, 100 * SECOND, .verdict = SL_VERDICT_DUPLICATE}, // Raises nothing.
        {70 * SECOND, 100 * SECOND, .verdict = SL_VERDICT_KEEP},
    };
    static const char *const texts[] = {"count()", NULL};
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, rows, 7);
    assert_int_equal(world.late, 2);
    assert_int_equal(sl_watermark_after(world.batch, F_TS, SL_NO_TIME), 70 * SECOND);
    assert_int_equal(sl_watermark_after(world.batch, F_TS, 80 * SECOND), 80 * SECOND);
    assert_int_equal(sl_watermark_after(world.batch, SL_NO_FIELD, SL_NO_TIME),
                     100 * SECOND);
    test_cut(world.window, &world.store);
    uint64_t all = 0;
    for (size_t i = 0; i < world.store.count; i++)
        all += rows_of(&world, i);
    assert_int_equal(all, 6); // The late ones are folded all the same.
    world_fini(&world);
}

static void sums_of_integers_are_exact_beyond_64_bits(void **state) {
    (void)state;
    static const char *const texts[] = {"sum(latency)", "sum(price)", "avg(latency)",
                                        NULL};
    sl_test_row rows[3] = {four[0], four[0], four[0]};
    rows[0].latency = rows[1].latency = INT64_MAX;
    rows[2].latency = -INT64_MAX;
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, rows, 2);
    test_cut(world.window, &world.store);
    assert_true(
        number(&world, 0, 0).null); // 2^64 - 2 is no int64, and nothing else either.
    assert_f64(number(&world, 0, 2), 0x1p63);
    add(&world, rows + 2, 1);
    test_cut(world.window, &world.store);
    assert_i64(number(&world, 0, 0), SL_TYPE_INT64, INT64_MAX);
    assert_i64(number(&world, 0, 1), SL_TYPE_DECIMAL, 750);
    world_fini(&world);
}

static void sums_of_doubles_keep_what_rounding_would_lose(void **state) {
    (void)state;
    static const char *const texts[] = {"sum(amount)", "avg(amount)", NULL};
    sl_test_row rows[4] = {four[0], four[0], four[0], four[0]};
    rows[0].amount = 1;
    rows[1].amount = 1e100;
    rows[2].amount = 1;
    rows[3].amount = -1e100;
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, rows, 4);
    test_cut(world.window, &world.store);
    assert_f64(number(&world, 0, 0), 2.0);
    assert_f64(number(&world, 0, 1), 0.5);
    // Over cuts the compensation travels in the state.
    add(&world, rows, 2);
    test_cut(world.window, &world.store);
    add(&world, rows + 2, 2);
    test_cut(world.window, &world.store);
    assert_f64(number(&world, 0, 0), 4.0);
    rows[0].amount = INFINITY;
    add(&world, rows, 1); // No value: JSON has no such number.
    test_cut(world.window, &world.store);
    assert_f64(number(&world, 0, 0), 4.0);
    world_fini(&world);
}

static void empty_measures_are_null_except_counts_and_sums(void **state) {
    (void)state;
    static const char *const texts[] = {
        "count(paid)",     "sum(amount)",           "sum(price)",
        "min(latency)",    "max(user_id)",          "avg(amount)",
        "unique(user_id)", "quantile(amount, 0.5)", NULL};
    sl_test_row row = {10 * SECOND, 100 * SECOND, NULL,   NULL,           NULL,
                       NAN,         ABSENT,       ABSENT, SL_VERDICT_KEEP};
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, &row, 1);
    test_cut(world.window, &world.store);
    assert_i64(number(&world, 0, 0), SL_TYPE_INT64, 0);
    assert_f64(number(&world, 0, 1), 0);
    assert_i64(number(&world, 0, 2), SL_TYPE_DECIMAL, 0);
    for (uint32_t m = 3; m < 8; m++)
        assert_true(m == 6 ? number(&world, 0, m).as.i64 == 0
                           : number(&world, 0, m).null);
    world_fini(&world);
}

// The state, taken apart into numbers and partials as a warehouse keeps them, and built
// again.
static void state_is_built_again_from_a_warehouse_row(void **state) {
    (void)state;
    static const char *const texts[] = {"count()",
                                        "count(paid)",
                                        "sum(amount)",
                                        "sum(latency)",
                                        "sum(price)",
                                        "min(amount)",
                                        "max(price)",
                                        "avg(price)",
                                        "max(ts)",
                                        "avg(amount)",
                                        "unique(user_id)",
                                        "min(user_id)",
                                        "quantile(latency, 0.5)",
                                        NULL};
    world_of world;
    world_init(&world, "event_type", texts);
    add(&world, four, 4);
    test_cut(world.window, &world.store);
    uint32_t count;
    const sl_measure *measures = sl_window_plan_measures(world.plan, &count);
    for (size_t c = 0; c < world.store.count; c++) {
        const sl_buffer *bytes = &world.store.cells[c].state;
        sl_value numbers[MEASURES_MAX], partials[MEASURES_MAX];
        sl_buffer kept[MEASURES_MAX] = {0}, built = SL_BUFFER_EMPTY;
        assert_int_equal(
            sl_window_state_numbers(world.plan, bytes->bytes, bytes->length, numbers),
            SL_OK);
        for (uint32_t m = 0; m < count; m++) {
            partials[m] = (sl_value){.type = SL_TYPE_BYTES, .null = true};
            if (!measures[m].state)
                continue;
            assert_int_equal(sl_window_state_partial(world.plan, bytes->bytes,
                                                     bytes->length, m, &kept[m]),
                             SL_OK);
            partials[m].null = false;
            partials[m].as.text.bytes = kept[m].bytes;
            partials[m].as.text.length = kept[m].length;
        }
        assert_int_equal(sl_window_state_build(world.plan, rows_of(&world, c), numbers,
                                               partials, &built),
                         SL_OK);
        assert_int_equal(built.length, bytes->length);
        assert_memory_equal(built.bytes, bytes->bytes, built.length);
        numbers[8].type = SL_TYPE_INT64; // A database that has no timestamps.
        sl_buffer_clear(&built);
        assert_int_equal(sl_window_state_build(world.plan, rows_of(&world, c), numbers,
                                               partials, &built),
                         SL_OK);
        assert_memory_equal(built.bytes, bytes->bytes, built.length);
        numbers[2] = (sl_value){.type = SL_TYPE_STRING};
        assert_int_equal(sl_window_state_build(world.plan, 1, numbers, partials, &built),
                         SL_ETYPE);
        sl_buffer_fini(&built);
        for (uint32_t m = 0; m < count; m++)
            sl_buffer_fini(&kept[m]);
    }
    world_fini(&world);
}

static void overflowed_number_stays_null_after_a_warehouse(void **state) {
    (void)state;
    static const char *const texts[] = {"sum(latency)", NULL};
    world_of world;
    world_init(&world, NULL, texts);
    sl_value lost = {.type = SL_TYPE_INT64, .null = true}, none = {.null = true};
    sl_buffer built = SL_BUFFER_EMPTY, merged = SL_BUFFER_EMPTY;
    assert_int_equal(sl_window_state_build(world.plan, 5, &lost, &none, &built), SL_OK);
    add(&world, four, 1);
    test_cut(world.window, &world.store);
    const sl_buffer *delta = &world.store.cells[0].state;
    assert_int_equal(sl_window_state_merge(world.plan, built.bytes, built.length,
                                           delta->bytes, delta->length, &merged),
                     SL_OK);
    sl_value number;
    assert_int_equal(
        sl_window_state_numbers(world.plan, merged.bytes, merged.length, &number), SL_OK);
    assert_true(number.null);
    assert_int_equal(sl_window_state_rows(world.plan, merged.bytes, merged.length), 6);
    sl_buffer_fini(&built);
    sl_buffer_fini(&merged);
    world_fini(&world);
}

static void damaged_states_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"sum(latency)", "unique(user_id)", "max(user_id)",
                                        "quantile(amount, 0.5)", NULL};
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, four, 3);
    test_cut(world.window, &world.store);
    sl_buffer *bytes = &world.store.cells[0].state;
    sl_value numbers[4];
    for (size_t length = 0; length < bytes->length; length++)
        assert_int_equal(
            sl_window_state_numbers(world.plan, bytes->bytes, length, numbers),
            SL_ECORRUPT);
    sl_buffer_byte(bytes, 0);
    assert_int_equal(
        sl_window_state_numbers(world.plan, bytes->bytes, bytes->length, numbers),
        SL_ECORRUPT);
    bytes->length--;
    bytes->bytes[0] = 9; // A version to come.
    assert_int_equal(
        sl_window_state_numbers(world.plan, bytes->bytes, bytes->length, numbers),
        SL_ECORRUPT);
    assert_int_equal(sl_window_state_rows(world.plan, bytes->bytes, bytes->length), 0);
    world_fini(&world);
}

// Add what is in the batch, cutting whenever the window is full.
static void arrival_is_the_time_of_windows_without_event_time(void **state) {
    (void)state;
    world_of world;
    static const char *const texts[] = {"count()", NULL};
    world_init(&world, NULL, texts);
    sl_window_destroy(world.window);
    sl_window_plan_destroy(world.plan);
    sl_measure_definition measure = {"events", "count()"};
    sl_window_definition definition = {
        .name = "m", .width_us = MINUTE, .measures = &measure, .measure_count = 1};
    assert_int_equal(sl_window_plan_create(&definition, world.schema, &world.plan, NULL),
                     SL_OK);
    assert_int_equal(sl_window_create(world.plan, NULL, &world.window), SL_OK);
    world.store.plan = world.plan;
    add(&world, four, 4);
    test_cut(world.window, &world.store);
    assert_int_equal(world.store.count, 1);
    assert_int_equal(world.store.cells[0].start_us, MINUTE);
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_measure_gives_its_number),
        cmocka_unit_test(cut_forgets_and_peek_keeps),
        cmocka_unit_test(null_keys_are_a_group_of_their_own),
        cmocka_unit_test(rows_with_another_verdict_are_skipped),
        cmocka_unit_test(row_without_event_time_counts_at_its_arrival),
        cmocka_unit_test(arrival_is_the_time_of_windows_without_event_time),
        cmocka_unit_test(windows_reach_below_1970_and_follow_the_offset),
        cmocka_unit_test(absurd_times_move_to_the_border),
        cmocka_unit_test(event_without_event_time_leaves_the_watermark),
        cmocka_unit_test(watermark_rises_row_by_row_and_counts_the_late),
        cmocka_unit_test(sums_of_integers_are_exact_beyond_64_bits),
        cmocka_unit_test(sums_of_doubles_keep_what_rounding_would_lose),
        cmocka_unit_test(empty_measures_are_null_except_counts_and_sums),
        cmocka_unit_test(state_is_built_again_from_a_warehouse_row),
        cmocka_unit_test(overflowed_number_stays_null_after_a_warehouse),
        cmocka_unit_test(damaged_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
