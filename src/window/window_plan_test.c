// Definitions: expressions as measures, and what a mistake is told.

#include "window_test_help.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistaken_measures_name_their_place),
        cmocka_unit_test(measures_may_be_expressions),
        cmocka_unit_test(mistaken_expressions_name_their_place),
        cmocka_unit_test(mistaken_windows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
