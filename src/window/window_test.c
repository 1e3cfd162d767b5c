// Windows with answers computed by hand.

#include "window_test_help.h"

#include <math.h>

#define SECOND SL_SECOND_US
#define MINUTE SL_MINUTE_US

typedef struct world_of {
    sl_schema *schema;
    sl_batch *batch;
    sl_record records[512];
    sl_window_plan *plan;
    sl_window *window;
    sl_test_store store;
    uint64_t late;
} world_of;

static void world_init(world_of *world, const char *by, const char *const *texts) {
    *world = (world_of){.schema = test_schema(), .batch = sl_batch_create(NULL)};
    assert_non_null(world->batch);
    world->plan = test_plan(world->schema, MINUTE, by, texts);
    world->store.plan = world->plan;
    assert_int_equal(sl_window_create(world->plan, NULL, &world->window), SL_OK);
}

static void world_fini(world_of *world) {
    sl_window_destroy(world->window);
    test_store_fini(&world->store);
    sl_window_plan_destroy(world->plan);
    sl_batch_destroy(world->batch);
    sl_schema_unref(world->schema);
}

static void add(world_of *world, const sl_test_row *rows, uint32_t count) {
    test_fill(world->batch, world->schema, world->records, rows, count);
    uint32_t row = 0;
    assert_int_equal(
        sl_window_add(world->window, world->batch, &row, SL_NO_TIME, &world->late),
        SL_OK);
    assert_int_equal(row, count);
}

static sl_value number(const world_of *world, size_t cell, uint32_t measure) {
    static sl_value numbers[MEASURES_MAX];
    const sl_buffer *state = &world->store.cells[cell].state;
    assert_true(cell < world->store.count);
    assert_int_equal(
        sl_window_state_numbers(world->plan, state->bytes, state->length, numbers),
        SL_OK);
    return numbers[measure];
}

static uint64_t rows_of(const world_of *world, size_t cell) {
    const sl_buffer *state = &world->store.cells[cell].state;
    return sl_window_state_rows(world->plan, state->bytes, state->length);
}

static void assert_i64(sl_value value, sl_type type, int64_t want) {
    assert_int_equal(value.type, type);
    assert_false(value.null);
    assert_int_equal(value.as.i64, want);
}

static void assert_f64(sl_value value, double want) {
    assert_int_equal(value.type, SL_TYPE_DOUBLE);
    assert_false(value.null);
    assert_true(value.as.f64 == want);
}

static void assert_text(sl_value value, const char *want) {
    assert_int_equal(value.type, SL_TYPE_STRING);
    assert_false(value.null);
    assert_int_equal(value.as.text.length, strlen(want));
    assert_memory_equal(value.as.text.bytes, want, strlen(want));
}

static const sl_test_row four[] = {
    {10 * SECOND, 100 * SECOND, "buy", "ann", "DE", 1.5, 10, 250, SL_VERDICT_KEEP},
    {20 * SECOND, 100 * SECOND, "buy", "bob", "FR", 2.5, 30, -50, SL_VERDICT_KEEP},
    {59 * SECOND, 100 * SECOND, "buy", "ann", NULL, NAN, ABSENT, ABSENT, SL_VERDICT_KEEP},
    {60 * SECOND, 100 * SECOND, "view", "cat", "DE", 7, 1, 1, SL_VERDICT_KEEP},
};

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

static sl_status plan_error(const char *text, sl_error *error) {
    sl_schema *schema = test_schema();
    sl_measure_definition measure = {"m", text};
    sl_window_definition definition = {
        .name = "w", .width_us = MINUTE, .measures = &measure, .measure_count = 1};
    sl_window_plan *plan = NULL;
    *error = (sl_error){0};
    sl_status status = sl_window_plan_create(&definition, schema, &plan, error);
    assert_int_equal(status == SL_OK, plan != NULL);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    return status;
}

static void assert_refused(const char *text, sl_status status, const char *part) {
    sl_error error;
    sl_status got = plan_error(text, &error);
    if (got != status || strstr(error.text, part) == NULL)
        print_message("%s: %s\n", text, error.text);
    assert_int_equal(got, status);
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.text, part));
    assert_non_null(strstr(error.text, "window w: measure m: "));
}

static void mistaken_measures_name_their_place(void **state) {
    (void)state;
    assert_refused("uniqe(user_id)", SL_ENOTFOUND,
                   "column 1: unknown function 'uniqe'; did you mean 'unique'?\n"
                   "  uniqe(user_id)\n  ^");
    assert_refused(" median(amount)", SL_ENOTFOUND,
                   "column 2: unknown function 'median'");
    assert_refused("sum(user_id)", SL_ETYPE,
                   "column 5: sum takes a number, and this is a string");
    assert_refused("sum()", SL_ESYNTAX, "column 5: sum takes a number");
    assert_refused("count(amount)", SL_ETYPE, "count takes a condition");
    assert_refused("avg(geo)", SL_ETYPE, "avg takes a number");
    assert_refused("unique(geo)", SL_ETYPE, "unique takes a value");
    assert_refused("sum(amount, 3)", SL_ESYNTAX, "column 11: one argument is enough");
    assert_refused("quantile(latency)", SL_ESYNTAX,
                   "column 17: quantile takes two arguments");
    assert_refused("quantile(latency, 99)", SL_ESYNTAX,
                   "column 19: a quantile is a number from 0 to 1");
    assert_refused("quantile(latency, p99)", SL_ESYNTAX, "a quantile is a number");
    assert_refused("sum(amount", SL_ESYNTAX, "column 4: this parenthesis is not closed");
    assert_refused("sum(amount) / count()", SL_ESYNTAX,
                   "column 1: an aggregate can't stand inside an expression");
    assert_refused("2.0 * sum(amount)", SL_ESYNTAX, "column 7: an aggregate can't");
    assert_refused("", SL_ESYNTAX, "a measure needs a text");
    sl_error error;
    assert_int_equal(plan_error(" count ( ) ", &error), SL_OK);
    assert_int_equal(plan_error("quantile( geo.country , 0.5)", &error), SL_ETYPE);
    assert_int_equal(plan_error("quantile( latency , .5 )", &error), SL_OK);
    assert_int_equal(plan_error("unique(geo.country)", &error), SL_OK);
}

static void measures_may_be_expressions(void **state) {
    (void)state;
    static const char *const texts[] = {"count()",
                                        "count(event_type == \"buy\" && amount > 2.0)",
                                        "sum(amount * 2.0)",
                                        "sum(price + price)",
                                        "max(latency * 3)",
                                        "unique(latency > 5)",
                                        "m1 / m0",
                                        "m6 * 100.0",
                                        "m4 - 1",
                                        "m0 / m1",
                                        "m3",
                                        "quantile(latency + 0, 1)",
                                        "max(user_id == \"bob\" ? user_id : \"aaa\")",
                                        "unique(amount > 2.0 ? \"high\" : \"low\")",
                                        NULL};
    world_of world;
    world_init(&world, NULL, texts);
    add(&world, four, 3);
    test_cut(world.window, &world.store);
    assert_i64(number(&world, 0, 1), SL_TYPE_INT64, 1);
    assert_f64(number(&world, 0, 2), 8.0);
    assert_i64(number(&world, 0, 3), SL_TYPE_DECIMAL, 400);
    assert_int_equal(number(&world, 0, 3).scale, 2);
    assert_i64(number(&world, 0, 4), SL_TYPE_INT64, 90);
    assert_i64(number(&world, 0, 5), SL_TYPE_INT64, 1);
    assert_f64(number(&world, 0, 6), 1.0 / 3);
    assert_f64(number(&world, 0, 7), 1.0 / 3 * 100.0);
    assert_i64(number(&world, 0, 8), SL_TYPE_INT64, 89);
    assert_f64(number(&world, 0, 9), 3.0);
    assert_i64(number(&world, 0, 10), SL_TYPE_DECIMAL, 400);
    assert_int_equal(number(&world, 0, 10).scale, 2);
    assert_f64(number(&world, 0, 11), 30.0);
    assert_text(number(&world, 0, 12), "bob");
    assert_i64(number(&world, 0, 13), SL_TYPE_INT64, 2);
    add(&world, four + 3, 1); // No buys: the quotient has no value.
    test_cut(world.window, &world.store);
    assert_f64(number(&world, 1, 6), 0.0);
    assert_true(number(&world, 1, 9).null);
    world_fini(&world);
}

static void mistaken_expressions_name_their_place(void **state) {
    (void)state;
    assert_refused("sum(amuont)", SL_ENOTFOUND, "column 5: ");
    assert_refused("sum(amuont)", SL_ENOTFOUND, "amount");
    assert_refused("count(amount > )", SL_ESYNTAX, "column 1");
    assert_refused("sum( amount + user_id)", SL_ETYPE, "column 13");
    assert_refused("events / 2", SL_ENOTFOUND, "column 1: ");
    assert_refused("'text'", SL_ETYPE, "a measure is a number");
}

static void mistaken_windows_are_refused(void **state) {
    (void)state;
    sl_schema *schema = test_schema();
    sl_measure_definition measures[] = {{"a", "count()"}, {"a", "count()"}};
    const char *by[] = {"event_tipe"};
    sl_window_plan *plan;
    sl_error error = {0};
    sl_window_definition definition = {
        .name = "w", .width_us = MINUTE, .by = by, .by_count = 1};
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error),
                     SL_ENOTFOUND);
    assert_non_null(strstr(error.text, "did you mean 'event_type'?"));
    by[0] = "geo";
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error), SL_ETYPE);
    by[0] = "event_type";
    definition.event_time = "amount";
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error), SL_ETYPE);
    definition.event_time = "tss";
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error),
                     SL_ENOTFOUND);
    definition.event_time = "ts";
    definition.measures = measures;
    definition.measure_count = 2;
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error),
                     SL_EINVAL);
    definition.measure_count = 0;
    definition.width_us = 0;
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error),
                     SL_EINVAL);
    definition.width_us = INT64_MAX;
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error),
                     SL_EINVAL);
    definition.width_us = MINUTE;
    definition.lateness_us = -1;
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error),
                     SL_EINVAL);
    definition.lateness_us = 0;
    assert_null(plan);
    schema->inferred = true; // Fields may come later.
    definition.width_us = MINUTE;
    by[0] = "later";
    definition.event_time = "when";
    measures[0].text = "sum(size)";
    definition.measure_count = 1;
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, &error), SL_OK);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
}

#define MANY 400
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

static const char *const growing_texts[] = {"count()",
                                            "unique(user_id)",
                                            "max(user_id)",
                                            "quantile(latency, 0.9)",
                                            "sum(price)",
                                            "min(amount)",
                                            NULL};

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

// Add what is in the batch, cutting whenever the window is full.
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
        cmocka_unit_test(mistaken_measures_name_their_place),
        cmocka_unit_test(measures_may_be_expressions),
        cmocka_unit_test(mistaken_expressions_name_their_place),
        cmocka_unit_test(mistaken_windows_are_refused),
        cmocka_unit_test(full_budget_stops_between_rows_and_nothing_is_lost),
        cmocka_unit_test(budget_for_no_row_at_all_is_out_of_memory),
        cmocka_unit_test(failing_allocator_never_tears_a_row),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(cut_without_memory_keeps_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
