// Arroyo's published answers for tumbling windows over its taxi events, where that data
// lies beside the checkout. $SLUICE_SHARED_DATA names the place; tests are skipped when
// there is none.

#include "window_test_help.h"

#include <jansson.h>

#define BATCH 1000u
#define EVENTS_MAX 20000u
#define LINE_MAX_BYTES 4096

typedef struct car {
    int64_t time_us, driver;
    char type[16];
} car;

static car events[EVENTS_MAX];
static uint32_t event_count;

static FILE *open_data(const char *name) {
    const char *root = getenv("SLUICE_SHARED_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/streams/arroyo_windows/%s",
             root != NULL ? root : SLUICE_DATA_DEFAULT, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        print_message("skipped: no %s (set SLUICE_SHARED_DATA)\n", path);
    return file;
}

// The next line as a JSON object; NULL at the end.
static json_t *next_object(FILE *file) {
    char line[LINE_MAX_BYTES];
    if (fgets(line, sizeof line, file) == NULL)
        return NULL;
    json_t *object = json_loads(line, 0, NULL);
    assert_non_null(object);
    return object;
}

// Times without a zone are UTC.
static int64_t time_member(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    char zoned[64];
    size_t length = strlen(text);
    snprintf(zoned, sizeof zoned, "%s%s", text, text[length - 1] == 'Z' ? "" : "Z");
    int64_t us;
    assert_true(sl_time_parse(zoned, strlen(zoned), &us));
    return us;
}

static bool load_cars(void) {
    FILE *file = open_data("inputs/cars.jsonl");
    if (file == NULL)
        return false;
    event_count = 0;
    for (json_t *object; (object = next_object(file)) != NULL; json_decref(object)) {
        assert_true(event_count < EVENTS_MAX);
        car *to = &events[event_count++];
        to->time_us = time_member(object, "timestamp");
        to->driver = (int64_t)json_integer_value(json_object_get(object, "driver_id"));
        snprintf(to->type, sizeof to->type, "%s",
                 json_string_value(json_object_get(object, "event_type")));
    }
    fclose(file);
    return true;
}

static sl_schema *cars_schema(void) {
    sl_schema *schema = sl_schema_create("cars");
    assert_non_null(schema);
    assert_int_equal(sl_schema_add(schema, 0, "ts", 2, SL_TYPE_TIMESTAMP), 1);
    assert_int_equal(sl_schema_add(schema, 0, "event_type", 10, SL_TYPE_STRING), 2);
    assert_int_equal(sl_schema_add(schema, 0, "driver_id", 9, SL_TYPE_INT64), 3);
    return schema;
}

static void fill(sl_batch *batch, const sl_schema *schema, sl_record *records,
                 uint32_t from, uint32_t count) {
    assert_int_equal(sl_batch_prepare(batch, schema, (const uint8_t *)"", records),
                     SL_OK);
    assert_true(count <= batch->capacity);
    batch->rows = count;
    for (uint32_t i = 0; i < count; i++) {
        const car *event = &events[from + i];
        records[i] = (sl_record){.arrival_us = event->time_us};
        batch->row_record[i] = i;
        batch->row_begin[i] = batch->row_length[i] = 0;
        batch->verdict[i] = SL_VERDICT_KEEP;
        test_put_number(batch, 1, i, event->time_us);
        test_put_text(batch, 2, i, event->type);
        test_put_number(batch, 3, i, event->driver);
    }
}

// All cars through two workers that are cut in turns. @return events late with no
// lateness.
static uint64_t aggregate(const sl_window_plan *plan, const sl_schema *schema,
                          sl_test_store *store) {
    static sl_record records[BATCH];
    sl_batch *batch = sl_batch_create(NULL);
    assert_non_null(batch);
    sl_window *windows[2];
    for (int w = 0; w < 2; w++)
        assert_int_equal(sl_window_create(plan, NULL, &windows[w]), SL_OK);
    uint64_t late = 0;
    int64_t mark = SL_NO_TIME;
    for (uint32_t from = 0; from < event_count; from += BATCH) {
        uint32_t count = event_count - from < BATCH ? event_count - from : BATCH, row = 0;
        sl_window *window = windows[from / BATCH % 2];
        fill(batch, schema, records, from, count);
        assert_int_equal(sl_window_add(window, batch, &row, mark, &late), SL_OK);
        mark = sl_watermark_after(batch, 1, mark);
        if (from / BATCH % 3 == 0)
            test_cut(window, store);
    }
    for (int w = 0; w < 2; w++) {
        test_cut(windows[w], store);
        sl_window_destroy(windows[w]);
    }
    sl_batch_destroy(batch);
    return late;
}

// Number `measure` of (start, event type); -1: no such row. A NULL type: no key.
static int64_t answer(const sl_test_store *store, int64_t start_us, const char *type,
                      uint32_t measure) {
    sl_buffer key = SL_BUFFER_EMPTY;
    if (type != NULL) {
        sl_value value = {.type = SL_TYPE_STRING};
        value.as.text.bytes = (const uint8_t *)type;
        value.as.text.length = strlen(type);
        sl_value_encode(&value, &key);
    }
    int64_t found = -1;
    for (size_t i = 0; i < store->count; i++) {
        const sl_test_cell *cell = &store->cells[i];
        sl_value numbers[MEASURES_MAX];
        if (cell->start_us != start_us ||
            test_compare(cell->key.bytes, cell->key.length, key.bytes, key.length) != 0)
            continue;
        assert_int_equal(sl_window_state_numbers(store->plan, cell->state.bytes,
                                                 cell->state.length, numbers),
                         SL_OK);
        found = numbers[measure].as.i64;
    }
    sl_buffer_fini(&key);
    return found;
}

static int64_t count_member(const json_t *object, const char *name) {
    return (int64_t)json_integer_value(json_object_get(object, name));
}

static void hourly_counts_by_type_are_the_published_ones(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", "unique(driver_id)", NULL};
    FILE *golden = open_data("golden/hourly_by_event_type.jsonl");
    if (golden == NULL || !load_cars())
        skip();
    sl_schema *schema = cars_schema();
    sl_window_plan *plan = test_plan(schema, SL_HOUR_US, "event_type", texts);
    sl_test_store store = {.plan = plan};
    assert_int_equal(aggregate(plan, schema, &store), 488);
    size_t rows = 0;
    for (json_t *object; (object = next_object(golden)) != NULL;
         json_decref(object), rows++)
        assert_int_equal(answer(&store, time_member(object, "hour"),
                                json_string_value(json_object_get(object, "event_type")),
                                0),
                         count_member(object, "count"));
    assert_int_equal(rows, store.count);
    fclose(golden);

    golden = open_data("golden/windowed_inner_join.jsonl");
    assert_non_null(golden);
    for (json_t *object; (object = next_object(golden)) != NULL; json_decref(object)) {
        int64_t hour = time_member(object, "hour");
        assert_int_equal(answer(&store, hour, "dropoff", 1),
                         count_member(object, "drivers"));
        assert_int_equal(answer(&store, hour, "pickup", 1),
                         count_member(object, "pickups"));
    }
    fclose(golden);
    test_store_fini(&store);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
}

static void thirty_day_window_counts_from_1970(void **state) {
    (void)state;
    static const char *const texts[] = {"count()", NULL};
    FILE *golden = open_data("golden/month_loose_watermark.jsonl");
    if (golden == NULL || !load_cars())
        skip();
    sl_schema *schema = cars_schema();
    sl_window_plan *plan = test_plan(schema, 30 * SL_DAY_US, NULL, texts);
    sl_test_store store = {.plan = plan};
    (void)aggregate(plan, schema, &store);
    size_t rows = 0;
    for (json_t *object; (object = next_object(golden)) != NULL;
         json_decref(object), rows++)
        assert_int_equal(answer(&store, time_member(object, "month"), NULL, 0),
                         count_member(object, "count"));
    assert_int_equal(rows, store.count);
    fclose(golden);
    test_store_fini(&store);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hourly_counts_by_type_are_the_published_ones),
        cmocka_unit_test(thirty_day_window_counts_from_1970),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
