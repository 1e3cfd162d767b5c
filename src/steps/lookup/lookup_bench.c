// What a row costs that is looked up in 100,000 users of five columns, and what loading
// them costs. CPU time of this thread.

#include "sluice/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define USERS 100000u
#define ROWS 1024u
#define BATCHES 200u

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static sl_lookup *load(sl_lookup_format format) {
    const sl_lookup_definition definition = {
        .name = "users", .format = format, .key = "user_id", .all = true};
    sl_buffer text = SL_BUFFER_EMPTY;
    if (format == SL_LOOKUP_CSV)
        sl_buffer_text(&text, "user_id,country,segment,since,score\n");
    for (unsigned i = 0; i < USERS; i++)
        sl_buffer_printf(&text,
                         format == SL_LOOKUP_CSV
                             ? "user-%06u,C%u,segment %u,2020-01-%02u,%u.5\n"
                             : "{\"user_id\":\"user-%06u\",\"country\":\"C%u\","
                               "\"segment\":\"segment %u\","
                               "\"since\":\"2020-01-%02u\",\"score\":%u.5}\n",
                         i, i % 200, i % 40, 1 + i % 28, i % 1000);
    sl_lookup_loader *loader;
    sl_lookup *table;
    sl_error error = {0};
    double begin = now_ns();
    if (sl_lookup_begin(&definition, &loader, &error) != SL_OK ||
        sl_lookup_feed(loader, text.bytes, text.length, &error) != SL_OK ||
        sl_lookup_finish(loader, &table, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    printf("%s: %u users, %.1f MiB of text, loaded in %.0f ms, table %.2f MiB\n",
           format == SL_LOOKUP_CSV ? "CSV" : "NDJSON", USERS,
           (double)text.length / 1048576, (now_ns() - begin) / 1e6,
           (double)sl_lookup_facts_of(table).memory / 1048576);
    sl_lookup_loader_destroy(loader);
    sl_buffer_fini(&text);
    return table;
}

static uint8_t raw[ROWS * 16 + SL_PADDING];

static void measure(const sl_lookup *table, unsigned users) {
    static const sl_record record = {0};
    sl_schema *schema = sl_schema_create("s");
    uint32_t on = sl_schema_add(schema, 0, "user_id", 7, SL_TYPE_STRING), fields[8];
    sl_lookup_step *step;
    if (sl_lookup_declare(schema, "user", table, fields, NULL) != SL_OK ||
        sl_lookup_step_create(table, on, fields, &step) != SL_OK)
        exit(1);
    sl_batch *batch = sl_batch_create(NULL);
    sl_enrich_counts counts = {0};
    double spent = 0;
    uint32_t random = 1;
    for (unsigned n = 0; n < BATCHES; n++) {
        if (sl_batch_prepare(batch, schema, raw, &record) != SL_OK)
            exit(1);
        batch->rows = ROWS;
        memset(batch->row_record, 0, ROWS * sizeof *batch->row_record);
        memset(batch->verdict, SL_VERDICT_KEEP, ROWS);
        memset(batch->columns[on].valid, 1, ROWS);
        for (unsigned i = 0; i < ROWS; i++) {
            char key[16];
            random = random * 1664525 + 1013904223;
            snprintf(key, sizeof key, "user-%06u", (random >> 8) % users);
            memcpy(raw + (size_t)i * 16, key, 11);
            batch->columns[on].values.span[i] = (sl_span){i * 16, 11};
        }
        double begin = now_ns();
        if (sl_lookup_step_run(step, batch, &counts) != SL_OK)
            exit(1);
        spent += now_ns() - begin;
    }
    printf("keys of %u users: %.0f ns a row, %.0f %% found\n", users,
           spent / (ROWS * BATCHES), 100.0 * (double)counts.hits / (double)counts.rows);
    sl_batch_destroy(batch);
    sl_lookup_step_destroy(step);
    sl_schema_unref(schema);
}

int main(void) {
    sl_lookup *table = load(SL_LOOKUP_CSV);
    measure(table, USERS);
    measure(table, 1000);
    measure(table, 2 * USERS);
    sl_lookup_unref(table);
    sl_lookup_unref(load(SL_LOOKUP_NDJSON));
    return 0;
}
