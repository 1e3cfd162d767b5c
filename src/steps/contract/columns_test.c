// The contract on columns: what is split how, and what becomes of rows.

#include "split.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "columns_test_help.h"

static void described(const char *contract, const char *columns, const char *expected) {
    fixture f;
    open_fixture(&f, contract, columns, true);
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_contract_split_describe(f.split, &out);
    assert_string_equal(sl_buffer_cstr(&out), expected);
    sl_buffer_fini(&out);
    close_fixture(&f);
}

static void what_the_decoder_enforces_is_not_checked_again(void **state) {
    (void)state;
    const char *schema = "{\"type\":\"object\",\"required\":[\"id\",\"g\"],"
                         "\"additionalProperties\":false,\"properties\":{"
                         "\"id\":{\"type\":\"string\"},\"n\":{\"type\":[\"integer\","
                         "\"null\"]},\"t\":{\"type\":[\"string\","
                         "\"null\"],\"format\":\"date-time\"},\"d\":{\"type\":["
                         "\"string\",\"null\"],\"format\":\"date\"},"
                         "\"m\":{\"type\":[\"number\",\"null\"],\"x-decimal\":[9,2]},"
                         "\"g\":{\"type\":\"object\",\"required\":["
                         "\"k\"],\"properties\":{\"k\":{\"type\":\"number\"}}}}}";
    fixture f;
    open_fixture(&f, schema, schema, true);
    assert_true(sl_contract_split_is_empty(f.split));
    assert_false(sl_contract_split_needs_tree(f.split));
    close_fixture(&f);
    described(schema, schema, "always\n");
}

static void simple_rules_stay_on_columns(void **state) {
    (void)state;
    described(
        "{\"required\":[\"id\"],\"properties\":{\"id\":{\"type\":\"string\",\"pattern\":"
        "\"^a\",\"maxLength\":"
        "9},\"n\":{\"type\":[\"integer\",\"null\"],\"minimum\":0,\"maximum\":5},\"x\":{"
        "\"type\":\"number\","
        "\"minimum\":0},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}",
        "{\"required\":[\"id\"],\"properties\":{\"id\":{\"type\":\"string\"},\"n\":{"
        "\"type\":[\"integer\","
        "\"null\"]},\"x\":{\"type\":\"number\"},\"l\":{\"type\":\"array\"}}}",
        "id: all(maxLength, pattern)\nn: all(minimum, maximum)\nx (not null): minimum\n"
        "l (not null): tree of the column\n");
}

static void conditions_stay_on_columns(void **state) {
    (void)state;
    described("{\"if\":{\"properties\":{\"e\":{\"const\":\"buy\"}}},\"then\":{"
              "\"required\":[\"n\"]},"
              "\"additionalProperties\":false,\"properties\":{\"e\":true,\"n\":true}}",
              "{\"required\":[\"e\"],\"properties\":{\"e\":{\"type\":\"string\"},\"n\":{"
              "\"type\":\"integer\"}}}",
              "always where there is no _rest\nif(e: const, n is there, always)\n");
}

static void what_columns_cannot_tell_goes_to_the_tree(void **state) {
    (void)state;
    const char *columns = "{\"properties\":{\"x\":{\"type\":\"number\"}}}";
    fixture f;
    open_fixture(&f, "{\"minProperties\":1}", columns, true);
    assert_true(sl_contract_split_needs_tree(f.split));
    close_fixture(&f);
    open_fixture(&f, "{\"properties\":{\"x\":{\"multipleOf\":0.01}}}", columns, true);
    assert_false(sl_contract_split_needs_tree(f.split));
    const sl_contract_refused *refused;
    size_t count;
    uint32_t rows = decode(&f, "{\"x\":1.25}\n{}\n{\"x\":1.255}\n{\"x\":null}");
    assert_int_equal(rows, 4);
    assert_int_equal(sl_contract_run(f.checker, f.batch, 0, rows, &refused, &count),
                     SL_OK);
    assert_int_equal(count, 1);
    assert_int_equal(refused[0].row, 2);
    assert_string_equal(refused[0].refusal.message, "x: 1.255 is not a multiple of 0.01");
    assert_string_equal(refused[0].refusal.pointer, "/x");
    assert_int_equal(sl_contract_checker_counts(f.checker).trees, 1);
    assert_int_equal(sl_contract_checker_counts(f.checker).rows, 4);
    close_fixture(&f);
}

static void a_null_where_the_schema_has_none_is_found(void **state) {
    (void)state;
    const char *schema =
        "{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"string\"}}}";
    fixture f;
    open_fixture(&f, schema, schema, true);
    const sl_contract_refused *refused;
    size_t count;
    uint32_t rows = decode(&f, "{\"a\":\"null\"}\n{\"a\":null}\n{\"b\":\"x\"}\n{\"a\":"
                               "null,\"a\":\"x\",\"b\":\"y\"}");
    assert_int_equal(rows, 4);
    assert_int_equal(sl_contract_run(f.checker, f.batch, 0, rows, &refused, &count),
                     SL_OK);
    assert_int_equal(count, 1);
    assert_int_equal(refused[0].row, 1);
    assert_string_equal(refused[0].refusal.message, "a: null is null, not a string");
    close_fixture(&f);
}

static void rows_of_a_range_are_checked_and_others_left_alone(void **state) {
    (void)state;
    const char *schema = "{\"properties\":{\"n\":{\"type\":\"integer\",\"maximum\":1}}}";
    fixture f;
    open_fixture(&f, schema, "{\"properties\":{\"n\":{\"type\":\"integer\"}}}", true);
    const sl_contract_refused *refused;
    size_t count;
    uint32_t rows = decode(&f, "{\"n\":9}\n{\"n\":8}\n{\"n\":1}\n{\"n\":7}\n{\"n\":6}");
    f.batch->verdict[3] = SL_VERDICT_DEAD;
    assert_int_equal(sl_contract_run(f.checker, f.batch, 1, rows, &refused, &count),
                     SL_OK);
    assert_int_equal(count, 2);
    assert_int_equal(refused[0].row, 1);
    assert_int_equal(refused[1].row, 4);
    assert_string_equal(refused[0].refusal.value, "8");
    assert_int_equal(sl_contract_run(f.checker, f.batch, 2, 2, &refused, &count), SL_OK);
    assert_int_equal(count, 0);
    close_fixture(&f);
}

static void doubles_at_a_limit_are_told_by_their_text(void **state) {
    (void)state;
    const char *columns = "{\"properties\":{\"x\":{\"type\":\"number\"}}}";
    const char *events = "{\"x\":0.1}\n{\"x\":0.10000000000000000001}\n{\"x\":0."
                         "09999999999999999999}\n{\"x\":0.2}\n"
                         "{\"x\":0}\n{\"x\":-0.0}\n{\"x\":-1e-400}\n{\"x\":1e-400}\n{"
                         "\"x\":1}\n{\"x\":1.7e308}";
    static const struct {
        const char *contract;
        bool good[10];
    } cases[] = {
        {"{\"properties\":{\"x\":{\"minimum\":0.1}}}", {1, 1, 0, 1, 0, 0, 0, 0, 1, 1}},
        {"{\"properties\":{\"x\":{\"exclusiveMinimum\":0.1}}}",
         {0, 1, 0, 1, 0, 0, 0, 0, 1, 1}},
        {"{\"properties\":{\"x\":{\"maximum\":0.1}}}", {1, 0, 1, 0, 1, 1, 1, 1, 0, 0}},
        {"{\"properties\":{\"x\":{\"exclusiveMaximum\":0.1}}}",
         {0, 0, 1, 0, 1, 1, 1, 1, 0, 0}},
        {"{\"properties\":{\"x\":{\"minimum\":0}}}", {1, 1, 1, 1, 1, 1, 0, 1, 1, 1}},
        {"{\"properties\":{\"x\":{\"exclusiveMinimum\":0}}}",
         {1, 1, 1, 1, 0, 0, 0, 1, 1, 1}},
        {"{\"properties\":{\"x\":{\"maximum\":0}}}", {0, 0, 0, 0, 1, 1, 1, 0, 0, 0}},
        {"{\"properties\":{\"x\":{\"exclusiveMaximum\":0}}}",
         {0, 0, 0, 0, 0, 0, 1, 0, 0, 0}},
        {"{\"properties\":{\"x\":{\"maximum\":1e400}}}", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"{\"properties\":{\"x\":{\"minimum\":-1e400}}}", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"{\"properties\":{\"x\":{\"minimum\":0.10000000000000000000001}}}",
         {0, 1, 0, 1, 0, 0, 0, 0, 1, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        open_fixture(&f, cases[i].contract, columns, true);
        assert_false(sl_contract_split_needs_tree(f.split));
        const sl_contract_refused *refused;
        size_t count, next = 0;
        assert_int_equal(decode(&f, events), 10);
        assert_int_equal(sl_contract_run(f.checker, f.batch, 0, 10, &refused, &count),
                         SL_OK);
        for (uint32_t row = 0; row < 10; row++) {
            bool good = !(next < count && refused[next].row == row);
            next += !good;
            if (good != cases[i].good[row])
                fail_msg("%s: row %u", cases[i].contract, row);
        }
        close_fixture(&f);
    }
}

typedef struct worker {
    pthread_t thread;
    const sl_contract *contract;
    const sl_contract_split *split;
    const sl_batch *batch;
    size_t refused;
} worker;

static void *work(void *context) {
    worker *w = context;
    for (int i = 0; i < 50; i++) {
        sl_contract_checker *checker;
        const sl_contract_refused *refused;
        if (sl_contract_checker_create(w->contract, w->split, &checker) != SL_OK ||
            sl_contract_run(checker, w->batch, 0, w->batch->rows, &refused,
                            &w->refused) != SL_OK)
            return NULL;
        sl_contract_checker_destroy(checker);
    }
    return w;
}

static void threads_share_a_contract(void **state) {
    (void)state;
    fixture f;
    open_fixture(
        &f,
        "{\"properties\":{\"s\":{\"pattern\":\"(a|b)+c\"},\"n\":{\"minimum\":2},\"l\":{"
        "\"uniqueItems\":true}},\"minProperties\":2}",
        columns_list[1], true);
    assert_int_equal(
        decode(&f, "{\"s\":\"abc\",\"n\":3}\n{\"s\":\"ab\",\"n\":3}\n{\"s\":\"ac\","
                   "\"n\":1}\n{\"s\":\"ac\",\"l\":[1,1]}\n{\"s\":\"ac\"}"),
        5);
    worker workers[4] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        workers[i] = (worker){.contract = f.contract, .split = f.split, .batch = f.batch};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *done = NULL;
        assert_int_equal(pthread_join(workers[i].thread, &done), 0);
        assert_ptr_equal(done, &workers[i]);
        assert_int_equal(workers[i].refused, 4);
    }
    close_fixture(&f);
}

static void every_allocation_of_a_split_and_a_run_may_fail(void **state) {
    (void)state;
    const char *schema =
        "{\"properties\":{\"s\":{\"type\":\"string\",\"enum\":[\"a\",\"b\"]},\"n\":{"
        "\"type\":\"integer\","
        "\"enum\":[1,2]},\"l\":{\"type\":\"array\",\"uniqueItems\":true},\"x\":{\"type\":"
        "\"number\"}},"
        "\"anyOf\":[{\"required\":[\"s\"]},{\"oneOf\":[{\"required\":[\"n\"]},{"
        "\"required\":[\"x\"]}]}],"
        "\"propertyNames\":{\"maxLength\":1},\"dependentRequired\":{\"s\":[\"n\"]}}";
    fixture f;
    open_fixture(&f, schema,
                 "{\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{\"type\":"
                 "\"integer\"},\"l\":{\"type\":\"array\"},"
                 "\"x\":{\"type\":\"number\"}}}",
                 true);
    uint32_t rows = decode(&f, "{\"s\":\"a\",\"n\":1,\"l\":[1,2,3,4,5,6,7,8,9,9]}\n{"
                               "\"s\":\"c\",\"n\":1}\n{\"x\":1}\n{}\n");
    assert_int_equal(rows, 4);
    for (uint64_t n = 1;; n++) {
        sl_contract_split *split = NULL;
        sl_contract_checker *checker = NULL;
        const sl_contract_refused *refused;
        size_t count = 0;
        sl_memory_fail_at(n);
        sl_schema *columns = NULL;
        sl_status status = sl_contract_columns(f.contract, "s", true, &columns, NULL);
        sl_schema_unref(columns);
        if (status == SL_OK)
            status = sl_contract_split_create(f.contract, f.schema, &split);
        if (status == SL_OK)
            status = sl_contract_checker_create(f.contract, split, &checker);
        if (status == SL_OK)
            status = sl_contract_run(checker, f.batch, 0, rows, &refused, &count);
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        if (status == SL_OK) {
            assert_int_equal(count, 3);
            assert_string_equal(refused[0].refusal.message, "l: items 8 and 9 are equal");
            assert_string_equal(refused[1].refusal.message,
                                "s: \"c\" is none of [\"a\",\"b\"]");
            assert_string_equal(refused[2].refusal.message,
                                "event: {} fits none of the 2 schemas of anyOf");
        } else {
            assert_int_equal(status, SL_ENOMEM);
        }
        sl_contract_checker_destroy(checker);
        sl_contract_split_unref(split);
        if (status == SL_OK && calls < n)
            break;
    }
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_decoder_enforces_is_not_checked_again),
        cmocka_unit_test(simple_rules_stay_on_columns),
        cmocka_unit_test(conditions_stay_on_columns),
        cmocka_unit_test(what_columns_cannot_tell_goes_to_the_tree),
        cmocka_unit_test(a_null_where_the_schema_has_none_is_found),
        cmocka_unit_test(rows_of_a_range_are_checked_and_others_left_alone),
        cmocka_unit_test(doubles_at_a_limit_are_told_by_their_text),
        cmocka_unit_test(threads_share_a_contract),
        cmocka_unit_test(every_allocation_of_a_split_and_a_run_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
