// Batches of plain rows, and a place that merges what windows emit.
#pragma once

#include "sluice/time.h"
#include "sluice/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

// NULL texts, NAN amounts and ABSENT integers are null.
#define ABSENT INT64_MIN
typedef struct sl_test_row {
    int64_t time_us; // ABSENT: none.
    int64_t arrival_us;
    const char *type, *user, *country; // `country` lies in geo; NULL: geo is absent.
    double amount;
    int64_t latency;
    int64_t price; // Cents.
    sl_verdict verdict;
} sl_test_row;

enum { F_TS = 1, F_TYPE, F_USER, F_AMOUNT, F_LATENCY, F_PRICE, F_PAID, F_GEO, F_COUNTRY };

static inline sl_schema *test_schema(void) {
    sl_schema *schema = sl_schema_create("clicks");
    assert_non_null(schema);
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {{"ts", SL_TYPE_TIMESTAMP},   {"event_type", SL_TYPE_STRING},
                  {"user_id", SL_TYPE_STRING}, {"amount", SL_TYPE_DOUBLE},
                  {"latency", SL_TYPE_INT64},  {"price", SL_TYPE_DECIMAL},
                  {"paid", SL_TYPE_BOOL},      {"geo", SL_TYPE_GROUP}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        assert_int_equal(sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name),
                                       fields[i].type),
                         i + 1);
    assert_int_equal(sl_schema_add(schema, F_GEO, "country", 7, SL_TYPE_STRING),
                     F_COUNTRY);
    schema->fields[F_PRICE].precision = 12;
    schema->fields[F_PRICE].scale = 2;
    return schema;
}

static inline void test_put_text(sl_batch *batch, uint32_t field, uint32_t row,
                                 const char *text) {
    batch->columns[field].valid[row] = text != NULL;
    if (text != NULL)
        batch->columns[field].values.span[row] =
            sl_batch_keep_text(batch, text, strlen(text));
}

static inline void test_put_number(sl_batch *batch, uint32_t field, uint32_t row,
                                   int64_t number) {
    batch->columns[field].valid[row] = number != ABSENT;
    batch->columns[field].values.i64[row] = number;
}

// `records` has room for one record per row.
static inline void test_fill(sl_batch *batch, const sl_schema *schema, sl_record *records,
                             const sl_test_row *rows, uint32_t count) {
    assert_int_equal(sl_batch_prepare(batch, schema, (const uint8_t *)"", records),
                     SL_OK);
    assert_true(count <= batch->capacity);
    batch->rows = count;
    for (uint32_t i = 0; i < count; i++) {
        records[i] = (sl_record){.arrival_us = rows[i].arrival_us};
        batch->row_record[i] = i;
        batch->row_begin[i] = batch->row_length[i] = 0;
        batch->verdict[i] = (uint8_t)rows[i].verdict;
        test_put_number(batch, F_TS, i, rows[i].time_us);
        test_put_text(batch, F_TYPE, i, rows[i].type);
        test_put_text(batch, F_USER, i, rows[i].user);
        batch->columns[F_AMOUNT].valid[i] = rows[i].amount == rows[i].amount;
        batch->columns[F_AMOUNT].values.f64[i] = rows[i].amount;
        test_put_number(batch, F_LATENCY, i, rows[i].latency);
        test_put_number(batch, F_PRICE, i, rows[i].price);
        batch->columns[F_PAID].valid[i] = rows[i].price != ABSENT;
        batch->columns[F_PAID].values.truth[i] = rows[i].price > 0;
        batch->columns[F_GEO].valid[i] = rows[i].country != NULL;
        test_put_text(batch, F_COUNTRY, i, rows[i].country);
        if (rows[i].country ==
            NULL) // A value in an object that isn't there: must not be seen.
            test_put_text(batch, F_COUNTRY, i, "nowhere");
    }
}

// What a warehouse does: one state per (window, key).
typedef struct sl_test_cell {
    int64_t start_us;
    sl_buffer key, state;
} sl_test_cell;
typedef struct sl_test_store {
    const sl_window_plan *plan;
    sl_test_cell *cells;
    size_t count;
    int64_t last_start; // Of the cut at hand.
    sl_buffer last_key;
    uint64_t refuse_at; // Refuse the n-th row from now on; 0: none.
} sl_test_store;

static inline void test_store_begin(sl_test_store *store) {
    store->last_start = INT64_MIN;
    sl_buffer_clear(&store->last_key);
}

static inline int test_compare(const uint8_t *a, size_t an, const uint8_t *b, size_t bn) {
    size_t n = an < bn ? an : bn;
    int order = n == 0 ? 0 : memcmp(a, b, n);
    return order != 0 ? order : (an > bn) - (an < bn);
}

// Rows of one cut come oldest window first, then by key bytes, each once.
static inline void test_check_order(sl_test_store *store, const sl_window_row *row) {
    if (store->last_start == row->start_us)
        assert_true(test_compare(store->last_key.bytes, store->last_key.length, row->key,
                                 row->key_length) < 0);
    else
        assert_true(store->last_start < row->start_us);
    store->last_start = row->start_us;
    sl_buffer_clear(&store->last_key);
    sl_buffer_append(&store->last_key, row->key, row->key_length);
}

static inline sl_test_cell *test_cell(sl_test_store *store, int64_t start,
                                      const uint8_t *key, size_t length) {
    for (size_t i = 0; i < store->count; i++) {
        sl_test_cell *cell = &store->cells[i];
        if (cell->start_us == start && cell->key.length == length &&
            (length == 0 || memcmp(cell->key.bytes, key, length) == 0))
            return cell;
    }
    return NULL;
}

static inline void test_merge(sl_test_store *store, int64_t start, const uint8_t *key,
                              size_t key_length, const uint8_t *state,
                              size_t state_length) {
    sl_test_cell *cell = test_cell(store, start, key, key_length);
    if (cell == NULL) {
        store->cells = realloc(store->cells, (store->count + 1) * sizeof *store->cells);
        assert_non_null(store->cells);
        cell = &store->cells[store->count++];
        *cell = (sl_test_cell){.start_us = start};
        sl_buffer_append(&cell->key, key, key_length);
        sl_buffer_append(&cell->state, state, state_length);
        return;
    }
    sl_buffer merged = SL_BUFFER_EMPTY;
    assert_int_equal(sl_window_state_merge(store->plan, cell->state.bytes,
                                           cell->state.length, state, state_length,
                                           &merged),
                     SL_OK);
    sl_buffer_fini(&cell->state);
    cell->state = merged;
}

static inline sl_status test_take(void *context, const sl_window_row *row) {
    sl_test_store *store = context;
    if (store->refuse_at != 0 && --store->refuse_at == 0)
        return SL_EIO;
    test_check_order(store, row);
    test_merge(store, row->start_us, row->key, row->key_length, row->state,
               row->state_length);
    return SL_OK;
}

static inline void test_cut(sl_window *window, sl_test_store *store) {
    test_store_begin(store);
    assert_int_equal(sl_window_cut(window, test_take, store), SL_OK);
}

static inline void test_store_fini(sl_test_store *store) {
    for (size_t i = 0; i < store->count; i++) {
        sl_buffer_fini(&store->cells[i].key);
        sl_buffer_fini(&store->cells[i].state);
    }
    free(store->cells);
    sl_buffer_fini(&store->last_key);
}

static inline int test_by_place(const void *a, const void *b) {
    const sl_test_cell *x = a, *y = b;
    if (x->start_us != y->start_us)
        return x->start_us < y->start_us ? -1 : 1;
    return test_compare(x->key.bytes, x->key.length, y->key.bytes, y->key.length);
}

static inline void test_store_sort(sl_test_store *store) {
    if (store->count > 0)
        qsort(store->cells, store->count, sizeof *store->cells, test_by_place);
}

#define MEASURES_MAX 24
static inline sl_window_plan *test_plan(const sl_schema *schema, int64_t width_us,
                                        const char *by, const char *const *texts) {
    static char names[MEASURES_MAX][8];
    sl_measure_definition measures[MEASURES_MAX];
    uint32_t count = 0;
    for (; texts[count] != NULL; count++) {
        snprintf(names[count], sizeof names[count], "m%u", count);
        measures[count] = (sl_measure_definition){names[count], texts[count]};
    }
    const char *keys[] = {by};
    sl_window_definition definition = {.name = "per_minute",
                                       .width_us = width_us,
                                       .event_time = "ts",
                                       .by = keys,
                                       .by_count = by == NULL ? 0 : 1,
                                       .measures = measures,
                                       .measure_count = count};
    sl_window_plan *plan = NULL;
    sl_error error = {0};
    sl_status status = sl_window_plan_create(&definition, schema, &plan, &error);
    if (status != SL_OK)
        print_message("%s\n", error.text);
    assert_int_equal(status, SL_OK);
    return plan;
}

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

static inline void world_init(world_of *world, const char *by, const char *const *texts) {
    *world = (world_of){.schema = test_schema(), .batch = sl_batch_create(NULL)};
    assert_non_null(world->batch);
    world->plan = test_plan(world->schema, MINUTE, by, texts);
    world->store.plan = world->plan;
    assert_int_equal(sl_window_create(world->plan, NULL, &world->window), SL_OK);
}

static inline void world_fini(world_of *world) {
    sl_window_destroy(world->window);
    test_store_fini(&world->store);
    sl_window_plan_destroy(world->plan);
    sl_batch_destroy(world->batch);
    sl_schema_unref(world->schema);
}

static inline void add(world_of *world, const sl_test_row *rows, uint32_t count) {
    test_fill(world->batch, world->schema, world->records, rows, count);
    uint32_t row = 0;
    assert_int_equal(
        sl_window_add(world->window, world->batch, &row, SL_NO_TIME, &world->late),
        SL_OK);
    assert_int_equal(row, count);
}

static inline sl_value number(const world_of *world, size_t cell, uint32_t measure) {
    static sl_value numbers[MEASURES_MAX];
    const sl_buffer *state = &world->store.cells[cell].state;
    assert_true(cell < world->store.count);
    assert_int_equal(
        sl_window_state_numbers(world->plan, state->bytes, state->length, numbers),
        SL_OK);
    return numbers[measure];
}

static inline uint64_t rows_of(const world_of *world, size_t cell) {
    const sl_buffer *state = &world->store.cells[cell].state;
    return sl_window_state_rows(world->plan, state->bytes, state->length);
}

static inline void assert_i64(sl_value value, sl_type type, int64_t want) {
    assert_int_equal(value.type, type);
    assert_false(value.null);
    assert_int_equal(value.as.i64, want);
}

static inline void assert_f64(sl_value value, double want) {
    assert_int_equal(value.type, SL_TYPE_DOUBLE);
    assert_false(value.null);
    assert_true(value.as.f64 == want);
}

static inline void assert_text(sl_value value, const char *want) {
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
