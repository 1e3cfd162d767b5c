// What a string costs. Reads regexes.yaml and a file of one string a line, in the order
// they came:
//   user_agent_bench /usr/share/uap-core/regexes.yaml strings.txt
// CPU time of this thread throughout.

#include "sluice/user_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROWS 1024u

typedef struct line {
    uint32_t offset, length;
} line;
static char *text;
static line *lines;
static size_t line_count;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static char *slurp(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        exit(1);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + SL_PADDING);
    if (bytes == NULL || fread(bytes, 1, *length, file) != *length)
        exit(1);
    fclose(file);
    return bytes;
}

static void split(size_t length) {
    lines = malloc((length + 1) * sizeof *lines);
    for (size_t at = 0; at < length;) {
        char *end = memchr(text + at, '\n', length - at);
        size_t stop = end != NULL ? (size_t)(end - text) : length;
        if (stop > at)
            lines[line_count++] = (line){(uint32_t)at, (uint32_t)(stop - at)};
        at = stop + 1;
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int by_text(const void *a, const void *b) {
    const line *x = a, *y = b;
    uint32_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(text + x->offset, text + y->offset, shorter);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

static void cold(sl_user_agent_step *step, bool filtered) {
    line *unique = malloc(line_count * sizeof *unique);
    memcpy(unique, lines, line_count * sizeof *unique);
    qsort(unique, line_count, sizeof *unique, by_text);
    size_t count = 0;
    for (size_t i = 0; i < line_count; i++)
        if (i == 0 || by_text(&unique[i], &unique[count - 1]) != 0)
            unique[count++] = unique[i];
    double *took = malloc(count * sizeof *took), sum = 0;
    sl_user_agent_text parts[SL_UA_PARTS];
    uint64_t before = sl_user_agent_step_figures(step).matches;
    for (int round = 0; round < 2;
         round++) { // The second is measured: tables are warm, the cache isn't used.
        sum = 0;
        before = sl_user_agent_step_figures(step).matches;
        for (size_t i = 0; i < count; i++) {
            double begin = now_ns();
            sl_user_agent_parse(step, text + unique[i].offset, unique[i].length, filtered,
                                parts);
            took[i] = now_ns() - begin;
            sum += took[i];
        }
    }
    qsort(took, count, sizeof *took, ascending);
    printf("%s: %zu different strings, mean %.2f us, p50 %.2f, p99 %.2f, worst %.2f; "
           "%.1f expressions tried each\n",
           filtered ? "cold" : "cold, each expression in turn", count,
           sum / (double)count / 1e3, took[count / 2] / 1e3, took[count * 99 / 100] / 1e3,
           took[count - 1] / 1e3,
           (double)(sl_user_agent_step_figures(step).matches - before) / (double)count);
    free(took);
    free(unique);
}

static double rows(sl_user_agent_step *step, sl_batch *batch, const sl_schema *schema,
                   sl_enrich_counts *counts) {
    static const sl_record record = {0};
    double spent = 0;
    for (size_t at = 0; at < line_count; at += ROWS) {
        if (sl_batch_prepare(batch, schema, (const uint8_t *)text, &record) != SL_OK)
            exit(1);
        batch->rows = (uint32_t)(line_count - at < ROWS ? line_count - at : ROWS);
        memset(batch->row_record, 0, batch->rows * sizeof *batch->row_record);
        memset(batch->verdict, SL_VERDICT_KEEP, batch->rows);
        for (uint32_t i = 0; i < batch->rows; i++) {
            batch->columns[1].valid[i] = 1;
            batch->columns[1].values.span[i] =
                (sl_span){lines[at + i].offset, lines[at + i].length};
        }
        double begin = now_ns();
        if (sl_user_agent_step_run(step, batch, counts) != SL_OK)
            exit(1);
        spent += now_ns() - begin;
    }
    return spent / (double)line_count;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 64;
    size_t yaml_length, length;
    char *yaml = slurp(argv[1], &yaml_length);
    text = slurp(argv[2], &length);
    split(length);
    sl_user_agent_rules *rules;
    sl_error error = {0};
    double begin = now_ns();
    if (sl_user_agent_rules_load(yaml, yaml_length, &rules, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    printf("start: %.0f ms, rules %.1f MiB\n", (now_ns() - begin) / 1e6,
           (double)sl_user_agent_rules_memory(rules) / 1048576);
    sl_schema *schema = sl_schema_create("s");
    uint32_t from = sl_schema_add(schema, 0, "user_agent", 10, SL_TYPE_STRING),
             fields[SL_UA_PARTS];
    if (sl_user_agent_declare(schema, "device", fields, &error) != SL_OK)
        return 1;
    sl_user_agent_step *step;
    if (sl_user_agent_step_create(rules, from, fields, SL_USER_AGENT_CACHE_BYTES,
                                  &step) != SL_OK)
        return 1;
    cold(step, true);
    cold(step, false);
    sl_batch *batch = sl_batch_create(NULL);
    sl_enrich_counts counts = {0};
    double first = rows(step, batch, schema, &counts);
    sl_user_agent_figures figures = sl_user_agent_step_figures(step);
    printf("first pass, %zu rows: %.0f ns a row, hit rate %.2f %%; worker's memory %.1f "
           "MiB\n",
           line_count, first,
           100.0 * (double)figures.cache_hits /
               (double)(figures.cache_hits + figures.cache_misses),
           (double)sl_user_agent_step_memory(step) / 1048576);
    double best = 1e12;
    for (int i = 0; i < 20; i++) {
        double took = rows(step, batch, schema, &counts);
        best = took < best ? took : best;
    }
    printf("all known: %.0f ns a row; answers %.1f %%\n", best,
           100.0 * (double)counts.hits / (double)counts.rows);
    sl_batch_destroy(batch);
    sl_user_agent_step_destroy(step);
    sl_user_agent_rules_unref(rules);
    sl_schema_unref(schema);
    free(lines);
    free(text);
    free(yaml);
    return 0;
}
