// What an address costs. A database of 1,000 places, each a /24 of 10.0.0.0/8 up; or a
// file:
//   geoip_bench [FILE.mmdb ADDRESSES.txt]
// CPU time of this thread.

#include "mmdb_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROWS 1024u
#define ADDRESSES (1u << 16)

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint8_t *made(size_t *length) {
    static mmdb_writer w;
    mmdb_begin(&w, 28, 4);
    for (unsigned i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "City number %u", i);
        const uint8_t net[4] = {10, (uint8_t)(i >> 8), (uint8_t)i, 0};
        mmdb_network(&w, net, 24, mmdb_city(&w, name, i));
    }
    return mmdb_finish(&w, "Bench-City", length);
}

static uint8_t *slurp(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        exit(1);
    *length = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = sl_malloc(*length);
    if (bytes == NULL || fread(bytes, 1, *length, file) != *length)
        exit(1);
    fclose(file);
    return bytes;
}

static char raw[ADDRESSES * 16 + SL_PADDING];
static sl_span spans[ADDRESSES];

static void write_addresses(unsigned different) {
    uint32_t at = 0, random = 1;
    for (unsigned i = 0; i < ADDRESSES; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t k = (random >> 8) % different;
        int length =
            snprintf(raw + at, 16, "10.%u.%u.%u", k >> 8 & 3, k & 255, k >> 10 & 255);
        spans[i] = (sl_span){at, (uint32_t)length};
        at += (uint32_t)length;
    }
}

static double rows(sl_geoip_step *step, sl_batch *batch, const sl_schema *schema,
                   sl_enrich_counts *counts) {
    static const sl_record record = {0};
    double spent = 0;
    for (size_t at = 0; at < ADDRESSES; at += ROWS) {
        if (sl_batch_prepare(batch, schema, (const uint8_t *)raw, &record) != SL_OK)
            exit(1);
        batch->rows = ROWS;
        memset(batch->row_record, 0, ROWS * sizeof *batch->row_record);
        memset(batch->verdict, SL_VERDICT_KEEP, ROWS);
        memset(batch->columns[1].valid, 1, ROWS);
        memcpy(batch->columns[1].values.span, spans + at, ROWS * sizeof *spans);
        double begin = now_ns();
        if (sl_geoip_step_run(step, batch, counts) != SL_OK)
            exit(1);
        spent += now_ns() - begin;
    }
    return spent / ADDRESSES;
}

// One address a line, again from the beginning until there are enough.
static void read_addresses(const char *path) {
    size_t length;
    uint8_t *text = slurp(path, &length);
    uint32_t to = 0;
    size_t at = 0;
    for (unsigned i = 0; i < ADDRESSES; at++) {
        const uint8_t *end = memchr(text + at, '\n', length - at);
        size_t bytes = end != NULL ? (size_t)(end - text) - at : 0;
        if (bytes > 0 && bytes < 16) {
            memcpy(raw + to, text + at, bytes);
            spans[i++] = (sl_span){to, (uint32_t)bytes};
            to += (uint32_t)bytes;
        }
        at = end != NULL ? at + bytes : SIZE_MAX; // The next one is 0.
    }
    sl_free(text);
}

static void measure(const sl_geoip *db, size_t cache_bytes) {
    sl_schema *schema = sl_schema_create("s");
    uint32_t from = sl_schema_add(schema, 0, "ip", 2, SL_TYPE_STRING),
             fields[SL_GEOIP_PARTS];
    sl_geoip_step *step;
    if (sl_geoip_declare(schema, "geo", sl_geoip_parts(db), fields, NULL) != SL_OK ||
        sl_geoip_step_create(db, from, fields, cache_bytes, &step) != SL_OK)
        exit(1);
    sl_batch *batch = sl_batch_create(NULL);
    sl_enrich_counts counts = {0};
    double best = 1e12;
    for (int i = 0; i < 10; i++) {
        double took = rows(step, batch, schema, &counts);
        best = took < best ? took : best;
    }
    sl_geoip_figures f = sl_geoip_step_figures(step);
    printf("  places for %zu bytes of decoded records: %.0f ns a row; hit rate %.1f %%, "
           "answers %.0f %%\n",
           cache_bytes, best,
           100.0 * (double)f.cache_hits / (double)(f.cache_hits + f.cache_misses),
           100.0 * (double)counts.hits / (double)counts.rows);
    sl_batch_destroy(batch);
    sl_geoip_step_destroy(step);
    sl_schema_unref(schema);
}

int main(int argc, char **argv) {
    size_t length;
    uint8_t *file = argc > 1 ? slurp(argv[1], &length) : made(&length);
    sl_geoip *db;
    sl_error error = {0};
    double begin = now_ns();
    if (sl_geoip_load(file, length, NULL, &db, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    printf("%s: %zu bytes, loaded in %.2f ms, %.1f MiB\n", sl_geoip_type(db), length,
           (now_ns() - begin) / 1e6, (double)sl_geoip_memory(db) / 1048576);
    if (argc > 2)
        read_addresses(argv[2]);
    else
        write_addresses(60000);
    measure(db, SL_GEOIP_CACHE_BYTES);
    measure(db, 0);
    sl_geoip_unref(db);
    return 0;
}
