// Any split of the rows over workers, batches and cuts, merged in any order, gives the
// same states.

#include "window_test_help.h"

#include <math.h>
#include <pthread.h>

#define ROWS 6000u
#define BATCH 512u
#define WORKERS_MAX 4u
#define PENDING_MAX 20000u

static uint64_t random_state = 2024;
static uint32_t pick(uint32_t below) {
    random_state =
        random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % below;
}

static char users[4000][16];
static const char *const types[] = {"view", "buy", "",
                                    "a longer kind of event, beyond 16 bytes", NULL};

static double amount(void) {
    double value = (double)pick(1000000) / 997.0 * (pick(4) == 0 ? -1 : 1);
    return pick(10) == 0 ? NAN : pick(50) == 0 ? value * 1e12 : value;
}

// Half of the rows are of one (window, group), so that its sets become registers.
static void make_rows(sl_test_row *rows) {
    for (uint32_t i = 0; i < 4000; i++)
        snprintf(users[i], sizeof users[i], "u%u", i);
    for (uint32_t i = 0; i < ROWS; i++) {
        bool common = pick(2) == 0;
        rows[i] = (sl_test_row){
            .time_us = common ? 5 * SL_MINUTE_US : (int64_t)pick(600) * SL_SECOND_US,
            .arrival_us = 700 * SL_SECOND_US,
            .type = common ? "view" : types[pick(5)],
            .user = pick(20) == 0 ? NULL : users[pick(common ? 4000 : 60)],
            .country = pick(3) == 0   ? NULL
                       : pick(2) == 0 ? "DE"
                                      : "FR",
            .amount = amount(),
            .latency =
                pick(8) == 0 ? ABSENT : (int64_t)pick(100000) * (pick(9) == 0 ? -1 : 1),
            .price = pick(8) == 0 ? ABSENT : (int64_t)pick(1 << 30) - (1 << 29),
            .verdict = pick(12) == 0 ? SL_VERDICT_DUPLICATE : SL_VERDICT_KEEP};
        if (pick(30) == 0)
            rows[i].time_us = ABSENT;
    }
}

// Deltas that are on their way to the warehouse.
typedef struct pending {
    sl_window_row rows[PENDING_MAX];
    uint32_t count;
} pending;

static void *copy(const uint8_t *bytes, size_t length) {
    void *to = malloc(length + 1);
    assert_non_null(to);
    if (length > 0)
        memcpy(to, bytes, length);
    return to;
}

static sl_status queue(void *context, const sl_window_row *row) {
    pending *pending_rows = context;
    assert_true(pending_rows->count < PENDING_MAX);
    sl_window_row *to = &pending_rows->rows[pending_rows->count++];
    *to = *row;
    to->key = copy(row->key, row->key_length);
    to->state = copy(row->state, row->state_length);
    return SL_OK;
}

static void free_bytes(const uint8_t *bytes) {
    union {
        const uint8_t *constant;
        void *block;
    } both = {bytes};
    free(both.block);
}

// Deltas arrive in any order; some were merged with each other before.
static void deliver(pending *pending_rows, sl_test_store *store) {
    for (uint32_t i = pending_rows->count; i > 1; i--) {
        uint32_t j = pick(i);
        sl_window_row swap = pending_rows->rows[i - 1];
        pending_rows->rows[i - 1] = pending_rows->rows[j];
        pending_rows->rows[j] = swap;
    }
    sl_test_store halves[2] = {{.plan = store->plan}, {.plan = store->plan}};
    for (uint32_t i = 0; i < pending_rows->count; i++) {
        const sl_window_row *row = &pending_rows->rows[i];
        test_merge(&halves[pick(2)], row->start_us, row->key, row->key_length, row->state,
                   row->state_length);
        free_bytes(row->key);
        free_bytes(row->state);
    }
    for (int h = 1; h >= 0; h--) {
        for (size_t i = 0; i < halves[h].count; i++) {
            sl_test_cell *cell = &halves[h].cells[i];
            test_merge(store, cell->start_us, cell->key.bytes, cell->key.length,
                       cell->state.bytes, cell->state.length);
        }
        test_store_fini(&halves[h]);
    }
    pending_rows->count = 0;
    test_store_sort(store);
}

static void run(const sl_schema *schema, const sl_window_plan *plan,
                const sl_test_row *rows, uint32_t workers, uint32_t batch_rows,
                uint32_t cut_every, sl_test_store *store) {
    static sl_record records[BATCH];
    static pending pending_rows;
    sl_batch *batch = sl_batch_create(NULL);
    assert_non_null(batch);
    sl_window *windows[WORKERS_MAX];
    for (uint32_t w = 0; w < workers; w++)
        assert_int_equal(sl_window_create(plan, NULL, &windows[w]), SL_OK);
    uint64_t late = 0;
    for (uint32_t from = 0; from < ROWS;) {
        uint32_t count = 1 + pick(batch_rows);
        count = count > ROWS - from ? ROWS - from : count;
        test_fill(batch, schema, records, rows + from, count);
        sl_window *window = windows[pick(workers)];
        uint32_t row = 0;
        assert_int_equal(sl_window_add(window, batch, &row, SL_NO_TIME, &late), SL_OK);
        from += count;
        if (pick(cut_every) == 0)
            assert_int_equal(sl_window_cut(windows[pick(workers)], queue, &pending_rows),
                             SL_OK);
    }
    for (uint32_t w = 0; w < workers; w++) {
        assert_int_equal(sl_window_cut(windows[w], queue, &pending_rows), SL_OK);
        sl_window_destroy(windows[w]);
    }
    deliver(&pending_rows, store);
    sl_batch_destroy(batch);
}

static const char *const exact_texts[] = {"count()",
                                          "count(paid)",
                                          "sum(latency)",
                                          "sum(price)",
                                          "min(amount)",
                                          "max(amount)",
                                          "min(latency)",
                                          "max(price)",
                                          "avg(price)",
                                          "unique(user_id)",
                                          "unique(amount)",
                                          "unique(geo.country)",
                                          "min(user_id)",
                                          "max(user_id)",
                                          "quantile(amount, 0.95)",
                                          "quantile(latency, 0.5)",
                                          "max(ts)",
                                          NULL};

static uint64_t rows_in(const sl_test_store *store) {
    uint64_t rows = 0;
    for (size_t i = 0; i < store->count; i++)
        rows += sl_window_state_rows(store->plan, store->cells[i].state.bytes,
                                     store->cells[i].state.length);
    return rows;
}

static sl_test_row rows[ROWS];

static void any_split_and_order_gives_the_same_states(void **state) {
    (void)state;
    static const char *const keys[] = {"event_type", "geo.country", "latency", "amount",
                                       NULL};
    sl_schema *schema = test_schema();
    for (int k = 0; k < 5; k++) {
        make_rows(rows);
        uint64_t kept = 0;
        for (uint32_t i = 0; i < ROWS; i++) {
            kept += rows[i].verdict == SL_VERDICT_KEEP;
            if (k == 2 && rows[i].latency != ABSENT)
                rows[i].latency %= 9; // Few groups.
            if (k == 3)
                rows[i].amount = i % 4 == 0   ? -0.0
                                 : i % 4 == 1 ? 0.0
                                 : i % 4 == 2 ? 1.5
                                              : NAN;
        }
        sl_window_plan *plan = test_plan(schema, SL_MINUTE_US, keys[k], exact_texts);
        sl_test_store whole = {.plan = plan};
        run(schema, plan, rows, 1, BATCH, 1000000, &whole);
        assert_int_equal(rows_in(&whole), kept);
        for (int variant = 0; variant < 5; variant++) {
            sl_test_store split = {.plan = plan};
            run(schema, plan, rows, 1 + (uint32_t)variant % WORKERS_MAX,
                1u << (2 * variant + 1), 1u << (4 - variant) * 2, &split);
            assert_int_equal(split.count, whole.count);
            for (size_t i = 0; i < whole.count; i++) {
                assert_int_equal(split.cells[i].state.length,
                                 whole.cells[i].state.length);
                assert_memory_equal(split.cells[i].state.bytes,
                                    whole.cells[i].state.bytes,
                                    whole.cells[i].state.length);
            }
            test_store_fini(&split);
        }
        test_store_fini(&whole);
        sl_window_plan_destroy(plan);
    }
    sl_schema_unref(schema);
}

static void sums_of_doubles_agree_to_the_last_digits(void **state) {
    (void)state;
    static const char *const texts[] = {"sum(amount)", "avg(amount)", NULL};
    sl_schema *schema = test_schema();
    make_rows(rows);
    sl_window_plan *plan = test_plan(schema, SL_MINUTE_US, "event_type", texts);
    sl_test_store whole = {.plan = plan};
    run(schema, plan, rows, 1, BATCH, 1000000, &whole);
    for (int variant = 0; variant < 6; variant++) {
        sl_test_store split = {.plan = plan};
        run(schema, plan, rows, 1 + (uint32_t)variant % WORKERS_MAX, 100, 3, &split);
        assert_int_equal(split.count, whole.count);
        for (size_t i = 0; i < whole.count; i++) {
            sl_value a[2], b[2];
            const sl_buffer *x = &whole.cells[i].state, *y = &split.cells[i].state;
            assert_int_equal(sl_window_state_numbers(plan, x->bytes, x->length, a),
                             SL_OK);
            assert_int_equal(sl_window_state_numbers(plan, y->bytes, y->length, b),
                             SL_OK);
            for (int m = 0; m < 2; m++) {
                assert_int_equal(a[m].null, b[m].null);
                assert_true(a[m].null ||
                            fabs(a[m].as.f64 - b[m].as.f64) <= 1e-12 * fabs(a[m].as.f64));
            }
        }
        test_store_fini(&split);
    }
    test_store_fini(&whole);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
}

// One plan, several threads: each folds into a window of its own and asks for numbers,
// derived ones too.
typedef struct worker_of {
    pthread_t thread;
    const sl_schema *schema;
    const sl_window_plan *plan;
    uint64_t checked, wrong;
} worker_of;

static sl_status check_row(void *context, const sl_window_row *row) {
    worker_of *worker = context;
    sl_value numbers[4];
    if (sl_window_state_numbers(worker->plan, row->state, row->state_length, numbers) !=
        SL_OK)
        return SL_ECORRUPT;
    double share = (double)numbers[1].as.i64 / (double)numbers[0].as.i64;
    worker->wrong +=
        numbers[2].null || numbers[2].as.f64 < share || numbers[2].as.f64 > share;
    worker->checked++;
    return SL_OK;
}

static void *work(void *context) {
    worker_of *worker = context;
    sl_record *records = calloc(BATCH, sizeof *records);
    sl_batch *batch = sl_batch_create(NULL);
    sl_window *window = NULL;
    uint64_t late = 0;
    bool fine = records != NULL && batch != NULL &&
                sl_window_create(worker->plan, NULL, &window) == SL_OK;
    for (uint32_t from = 0; fine && from + BATCH <= ROWS; from += BATCH) {
        uint32_t row = 0;
        test_fill(batch, worker->schema, records, rows + from, BATCH);
        fine = sl_window_add(window, batch, &row, SL_NO_TIME, &late) == SL_OK &&
               sl_window_cut(window, check_row, worker) == SL_OK;
    }
    worker->wrong += !fine;
    sl_window_destroy(window);
    sl_batch_destroy(batch);
    free(records);
    return NULL;
}

static void threads_share_a_plan(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", "count(amount > 0.0)", "m1 / m0",
                                        NULL};
    sl_schema *schema = test_schema();
    make_rows(rows);
    sl_window_plan *plan = test_plan(schema, SL_MINUTE_US, "event_type", texts);
    worker_of workers[3];
    for (int i = 0; i < 3; i++) {
        workers[i] = (worker_of){.schema = schema, .plan = plan};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_true(workers[i].checked > 100);
        assert_int_equal(workers[i].wrong, 0);
    }
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_and_order_gives_the_same_states),
        cmocka_unit_test(sums_of_doubles_agree_to_the_last_digits),
        cmocka_unit_test(threads_share_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
