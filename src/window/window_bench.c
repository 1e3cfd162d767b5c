// What a row costs in the window that most users have: by one string of 20 values, with
// count(), sum of a double and unique users of 100,000. CPU time of the thread; the
// batches are made before.
//
//   window_bench [rows per batch] [million rows]

#include "sluice/window.h"

#include "sluice/time.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCHES 64

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint32_t next_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static sl_schema *make_schema(void) {
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {{"ts", SL_TYPE_TIMESTAMP},
                  {"event_type", SL_TYPE_STRING},
                  {"user_id", SL_TYPE_STRING},
                  {"amount", SL_TYPE_DOUBLE}};
    sl_schema *schema = sl_schema_create("clicks");
    for (size_t i = 0; schema != NULL && i < 4; i++)
        if (sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name),
                          fields[i].type) == SL_NO_FIELD)
            abort();
    return schema;
}

static sl_batch *make_batch(const sl_schema *schema, const sl_record *record,
                            uint32_t rows, uint64_t *random) {
    sl_batch *batch = sl_batch_create(NULL);
    if (batch == NULL ||
        sl_batch_prepare(batch, schema, (const uint8_t *)"", record) != SL_OK)
        abort();
    batch->rows = rows < batch->capacity ? rows : batch->capacity;
    for (uint32_t row = 0; row < batch->rows; row++) {
        char text[32];
        batch->row_record[row] = batch->row_begin[row] = batch->row_length[row] = 0;
        batch->verdict[row] = SL_VERDICT_KEEP;
        for (uint32_t f = 1; f < schema->count; f++)
            batch->columns[f].valid[row] = 1;
        int length =
            snprintf(text, sizeof text, "event_type_%u", next_random(random) % 20);
        batch->columns[2].values.span[row] =
            sl_batch_keep_text(batch, text, (size_t)length);
        length = snprintf(text, sizeof text, "user_%06u", next_random(random) % 100000);
        batch->columns[3].values.span[row] =
            sl_batch_keep_text(batch, text, (size_t)length);
        batch->columns[4].values.f64[row] = next_random(random) % 100000 / 100.0;
    }
    return batch;
}

// Row i of all happened at i / rate; `scatter` spreads events over the whole hour
// instead.
static void set_times(sl_batch *batch, uint64_t from, double rate, bool scatter,
                      uint64_t *random) {
    for (uint32_t row = 0; row < batch->rows; row++)
        batch->columns[1].values.i64[row] =
            scatter ? (int64_t)(next_random(random) % 3600) * SL_SECOND_US
                    : (int64_t)((double)(from + row) / rate * 1e6);
}

typedef struct emitted {
    uint64_t rows, bytes;
} emitted;

static sl_status take(void *context, const sl_window_row *row) {
    emitted *output = context;
    output->rows++;
    output->bytes += row->state_length;
    return SL_OK;
}

// What a warehouse sink does with a delta: merge it into the stored row, and make its
// numbers.
typedef struct merging {
    const sl_window_plan *plan;
    double seconds;
} merging;

static sl_status merge(void *context, const sl_window_row *row) {
    merging *merging_rows = context;
    sl_buffer merged = SL_BUFFER_EMPTY;
    sl_value numbers[8];
    double begin = cpu_seconds();
    sl_status status =
        sl_window_state_merge(merging_rows->plan, row->state, row->state_length,
                              row->state, row->state_length, &merged);
    if (status == SL_OK)
        status = sl_window_state_numbers(merging_rows->plan, merged.bytes, merged.length,
                                         numbers);
    merging_rows->seconds += cpu_seconds() - begin;
    sl_buffer_fini(&merged);
    return status;
}

static void run(const char *label, const sl_measure_definition *measures, uint32_t count,
                sl_batch **batches, uint64_t rows, bool scatter) {
    const char *by[] = {"event_type"};
    sl_window_definition definition = {.name = "bench",
                                       .width_us = SL_MINUTE_US,
                                       .lateness_us = SL_MINUTE_US,
                                       .event_time = "ts",
                                       .by = by,
                                       .by_count = 1,
                                       .measures = measures,
                                       .measure_count = count};
    sl_window_plan *plan;
    sl_window *window;
    sl_error error = {0};
    if (sl_window_plan_create(&definition, batches[0]->schema, &plan, &error) != SL_OK ||
        sl_window_create(plan, NULL, &window) != SL_OK) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    uint64_t random = 5, late = 0, done = 0;
    double spent = 0, rate = (double)rows / 3600;
    for (uint32_t i = 0; done < rows; i++) {
        sl_batch *batch = batches[i % BATCHES];
        set_times(batch, done, rate, scatter, &random);
        uint32_t row = 0;
        double begin = cpu_seconds();
        if (sl_window_add(window, batch, &row, SL_NO_TIME, &late) != SL_OK)
            abort();
        spent += cpu_seconds() - begin;
        done += row;
    }
    size_t memory = sl_window_memory(window);
    emitted output = {0};
    merging merging_rows = {.plan = plan};
    if (sl_window_peek(window, merge, &merging_rows) != SL_OK)
        abort();
    double begin = cpu_seconds();
    if (sl_window_cut(window, take, &output) != SL_OK)
        abort();
    double cut = cpu_seconds() - begin;
    printf("%-34s %-9s %6.1f ns/row  %5.1f MB  cut: %llu rows, %.2f MB, %.1f ms; "
           "merge + numbers %.1f us/row\n",
           label, scatter ? "scattered" : "in order", spent / (double)done * 1e9,
           (double)memory / 1e6, (unsigned long long)output.rows,
           (double)output.bytes / 1e6, cut * 1e3,
           merging_rows.seconds / (double)output.rows * 1e6);
    sl_window_destroy(window);
    sl_window_plan_destroy(plan);
}

int main(int argc, char **argv) {
    uint32_t rows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
    uint64_t total = (argc > 2 ? strtoull(argv[2], NULL, 10) : 4) * 1000000;
    sl_schema *schema = make_schema();
    sl_record record = {.arrival_us = 7 * SL_HOUR_US};
    sl_batch *batches[BATCHES];
    uint64_t random = 1;
    for (int i = 0; i < BATCHES; i++)
        batches[i] = make_batch(schema, &record, rows, &random);
    const sl_measure_definition measures[] = {{"events", "count()"},
                                              {"revenue", "sum(amount)"},
                                              {"users", "unique(user_id)"},
                                              {"p99", "quantile(amount, 0.99)"}};
    for (int scatter = 0; scatter < 2; scatter++) {
        run("count", measures, 1, batches, total, scatter);
        run("count, sum", measures, 2, batches, total, scatter);
        run("count, sum, unique", measures, 3, batches, total, scatter);
        run("count, sum, unique, quantile", measures, 4, batches, total, scatter);
    }
    for (int i = 0; i < BATCHES; i++)
        sl_batch_destroy(batches[i]);
    sl_schema_unref(schema);
    return 0;
}
