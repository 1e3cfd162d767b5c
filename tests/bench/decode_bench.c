// Nanoseconds per event of each decoder variant, on clickstream events of about 350
// bytes: 12 leaves that the schema names, nested three deep, keys in constant order, 28 %
// with text beyond ASCII.
//
//   decode_bench [events [passes [variant [spaced]]]]
//
// spaced: with the blanks behind ':' and ',' that Python's json.dumps() writes.
//
// CPU time of the thread; the median of the passes. The same batch is filled again and
// again, as a worker does.

#include "schema_of.h"

#include "sluice/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char schema_text[] =
    "{\"type\":\"object\",\"required\":[\"event_id\",\"event_type\"],\"properties\":{"
    "\"event_id\":{\"type\":\"string\"},\"event_type\":{\"type\":\"string\"},"
    "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"user_id\":{\"type\":\"string\"},\"session_id\":{\"type\":\"string\"},"
    "\"data\":{\"type\":\"object\",\"properties\":{"
    "\"page_url\":{\"type\":\"string\"},\"product_id\":{\"type\":\"string\"},"
    "\"category\":{\"type\":\"string\"},\"amount\":{\"type\":\"number\"},"
    "\"quantity\":{\"type\":\"integer\"},"
    "\"location\":{\"type\":\"object\",\"properties\":{"
    "\"country\":{\"type\":\"string\"},\"city\":{\"type\":\"string\"}}}}}}}";

static uint64_t state = 42;

static uint32_t below(uint32_t limit) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % limit);
}

static void add_event(sl_buffer *out) {
    static const char *const types[] = {"page_view", "add_to_cart", "purchase", "search",
                                        "remove_from_cart"};
    static const char *const categories[] = {"electronics", "books", "garden", "toys",
                                             "shoes"};
    static const char *const plain[] = {"Berlin", "Paris", "London", "Rome", "Madrid"};
    static const char *const beyond[] = {"Köln", "São Paulo", "東京", "Zürich", "Kraków"};
    static const char *const countries[] = {"DE", "FR", "GB", "IT", "ES"};
    sl_buffer_printf(
        out,
        "{\"event_id\":\"%08x-%04x-4%03x-a%03x-%08x%04x\",\"event_type\":\"%s\","
        "\"timestamp\":\"2026-01-01T%02u:%02u:%02u.%03uZ\",\"user_id\":\"user_%06u\","
        "\"session_id\":\"sess_%08x\",",
        below(UINT32_MAX), below(65536), below(4096), below(4096), below(UINT32_MAX),
        below(65536), types[below(5)], below(24), below(60), below(60), below(1000),
        below(100000), below(UINT32_MAX));
    sl_buffer_printf(
        out,
        "\"data\":{\"page_url\":\"/products/%s/%u?ref=home\",\"product_id\":"
        "\"prod_%05u\",\"category\":\"%s\",\"amount\":%u.%02u,\"quantity\":%u,"
        "\"device_type\":\"mobile\",\"location\":{\"country\":\"%s\",\"city\":\"%s\"}}}"
        "\n",
        categories[below(5)], below(10000), below(50000), categories[below(5)],
        below(1000), below(100), 1 + below(9), countries[below(5)],
        below(100) < 28 ? beyond[below(5)] : plain[below(5)]);
}

static void space_out(sl_buffer *body) {
    sl_buffer out = SL_BUFFER_EMPTY;
    bool string = false;
    for (size_t i = 0; i < body->length; i++) {
        uint8_t c = body->bytes[i];
        sl_buffer_byte(&out, c);
        string ^= c == '"';
        if (!string && (c == ':' || c == ','))
            sl_buffer_byte(&out, ' ');
    }
    sl_buffer_fini(body);
    *body = out;
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double one_pass(sl_decoder *decoder, sl_batch *batch, const sl_schema *schema,
                       const uint8_t *raw, const sl_record *record, uint32_t events) {
    sl_decode_input input = {.record = 0};
    double begin = cpu_ns();
    sl_status status;
    do {
        if (sl_batch_prepare(batch, schema, raw, record) != SL_OK)
            exit(1);
        status = sl_decode(decoder, batch, &input);
    } while (status == SL_EFULL);
    if (status != SL_OK || input.accepted != events) {
        fprintf(stderr, "%u accepted, %u rejected\n", input.accepted, input.rejected);
        exit(1);
    }
    return cpu_ns() - begin;
}

int main(int argc, char **argv) {
    uint32_t events = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    uint32_t passes = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 9;
    sl_buffer body = SL_BUFFER_EMPTY;
    for (uint32_t i = 0; i < events; i++)
        add_event(&body);
    if (argc > 4)
        space_out(&body);
    sl_record record = {.length = (uint32_t)body.length};
    sl_buffer_reserve(&body, SL_PADDING);
    sl_schema *schema;
    sl_error error;
    double *times = sl_calloc(passes, sizeof *times);
    sl_batch *batch = sl_batch_create(NULL);
    if (passes == 0 || times == NULL || batch == NULL ||
        schema_of(schema_text, false, &schema, &error) != SL_OK)
        return 1;
    printf("%u events, %.0f bytes each\n", events, (double)body.length / events);
    static const char *const names[] = {"auto", "scalar", "sse2", "avx2"};
    for (int simd = SL_SIMD_SCALAR; simd <= SL_SIMD_AVX2; simd++) {
        if (argc > 3 && strcmp(argv[3], names[simd]) != 0 && strcmp(argv[3], "all") != 0)
            continue;
        sl_decoder_options options = {.simd = (sl_simd)simd};
        sl_decoder *decoder;
        if (sl_decoder_create(schema, &options, &decoder) != SL_OK) {
            printf("%-6s not on this processor\n", names[simd]);
            continue;
        }
        for (uint32_t i = 0; i < passes; i++)
            times[i] = one_pass(decoder, batch, schema, body.bytes, &record, events);
        qsort(times, passes, sizeof *times, compare);
        double ns = times[passes / 2] / events;
        printf("%-6s %6.1f ns/event (best %.1f), %.0f MB/s\n", names[simd], ns,
               times[0] / events, (double)body.length / events / ns * 1000);
        sl_decoder_destroy(decoder);
    }
    sl_batch_destroy(batch);
    sl_schema_unref(schema);
    sl_buffer_fini(&body);
    sl_free(times);
    return 0;
}
