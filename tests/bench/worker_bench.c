// What a worker does for each event, without the daemon around it: decode, then Parquet.
//
//   worker_bench FILE.ndjson [passes]      events as `sluice generate clickstream` makes them
//
// Nanoseconds of the thread's CPU time per event, of the best pass: on a shared machine the best pass is
// the one that nobody disturbed.

#include "schema_of.h"

#include "sluice/decode.h"
#include "sluice/parquet.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EVENTS_A_RECORD = 1000, RECORDS = 4 };

static const char schema_text[] =
    "{\"type\":\"object\",\"required\":[\"event_id\",\"event_type\",\"timestamp\",\"user_id\"],"
    "\"properties\":{\"event_id\":{\"type\":\"string\"},\"event_type\":{\"type\":\"string\"},"
    "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},\"user_id\":{\"type\":\"string\"},"
    "\"data\":{\"type\":\"object\",\"properties\":{\"session_id\":{\"type\":\"string\"},"
    "\"page_url\":{\"type\":\"string\"},\"product_id\":{\"type\":\"string\"},"
    "\"category\":{\"type\":\"string\"},\"amount\":{\"type\":\"number\"},"
    "\"quantity\":{\"type\":\"integer\"},\"location\":{\"type\":\"object\",\"properties\":{"
    "\"country\":{\"type\":\"string\"},\"city\":{\"type\":\"string\"}}}}}}}";

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static sl_status drop(void *context, const void *bytes, size_t length) {
    (void)bytes;
    *(uint64_t *)context += length;
    return SL_OK;
}

static void must(sl_status status, const char *what) {
    if (status == SL_OK)
        return;
    fprintf(stderr, "worker_bench: %s: %s\n", what, sl_status_text(status));
    exit(1);
}

static uint8_t *load(const char *path, size_t *length) {
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        must(SL_ENOTFOUND, path);
    *length = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = sl_calloc(1, *length + SL_PADDING);
    if (bytes == NULL || fread(bytes, 1, *length, f) != *length)
        must(SL_EIO, path);
    (void)fclose(f);
    return bytes;
}

/** Length of the next `EVENTS_A_RECORD` lines. */
static size_t cut(const uint8_t *bytes, size_t length) {
    size_t at = 0;
    for (int i = 0; i < EVENTS_A_RECORD && at < length; i++) {
        const uint8_t *end = memchr(bytes + at, '\n', length - at);
        at = end == NULL ? length : (size_t)(end - bytes) + 1;
    }
    return at;
}

typedef struct costs {
    double decode, write;
    uint64_t events, bytes;
} costs;

static costs one_pass(const sl_schema *schema, const uint8_t *bytes, size_t length) {
    costs c = {0};
    sl_decoder *decoder;
    sl_parquet_writer *writer;
    sl_batch *batch = sl_batch_create(NULL);
    const sl_decoder_options decoding = {.simd = SL_SIMD_AUTO};
    const sl_parquet_options options = {.row_group_bytes = 16 << 20};
    must(batch ? sl_decoder_create(schema, &decoding, &decoder) : SL_ENOMEM, "decoder");
    must(sl_parquet_create(schema, &options, drop, &c.bytes, &writer), "writer");
    for (size_t at = 0; at < length;) {
        sl_record records[RECORDS];
        size_t begin = at;
        uint32_t count = 0;
        for (; count < RECORDS && at < length; count++) {
            size_t some = cut(bytes + at, length - at);
            records[count] = (sl_record){.body = (uint32_t)(at - begin), .length = (uint32_t)some};
            at += some;
        }
        double t0 = cpu_ns();
        must(sl_batch_prepare(batch, schema, bytes + begin, records), "batch");
        for (uint32_t i = 0; i < count; i++) {
            sl_decode_input input = {.record = i};
            must(sl_decode(decoder, batch, &input), "decode");
        }
        double t1 = cpu_ns();
        must(sl_parquet_write(writer, batch, NULL, batch->rows), "write");
        c.decode += t1 - t0;
        c.write += cpu_ns() - t1;
        c.events += batch->rows;
    }
    double t0 = cpu_ns();
    sl_parquet_result result;
    sl_status status;
    while ((status = sl_parquet_finish(writer, NULL, 0, &result)) == SL_EAGAIN)
        ;
    must(status, "finish");
    c.write += cpu_ns() - t0;
    sl_parquet_destroy(writer);
    sl_decoder_destroy(decoder);
    sl_batch_destroy(batch);
    return c;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: worker_bench FILE.ndjson [passes]\n");
        return 64;
    }
    size_t length;
    uint8_t *bytes = load(argv[1], &length);
    sl_schema *schema;
    sl_error error;
    must(schema_of(schema_text, true, &schema, &error), "schema");
    int passes = argc > 2 ? atoi(argv[2]) : 5;
    costs best = {0};
    for (int i = 0; i < passes; i++) {
        costs c = one_pass(schema, bytes, length);
        if (i == 0 || c.decode + c.write < best.decode + best.write)
            best = c;
    }
    double n = (double)best.events;
    printf("decode %.0f ns, parquet %.0f ns per event; %.1f bytes per event\n", best.decode / n,
           best.write / n, (double)best.bytes / n);
    sl_schema_unref(schema);
    sl_free(bytes);
    return 0;
}
