// Nanoseconds per event of the contract on clickstream events of about 370 bytes, those
// of tests/bench: on columns, on the tree, and what a first tree costs where a rule needs
// one.
//
//   contract_bench [events [passes]]
//
// CPU time of the thread; the best of the passes. Decoding isn't counted.

#include "schema_of.h"

#include "sluice/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COLUMNS                                                                          \
    "{\"type\":\"object\",\"required\":[\"event_id\",\"event_type\"],\"properties\":{"   \
    "\"event_id\":{\"type\":\"string\"},\"event_type\":{\"type\":\"string\"},"           \
    "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},"                      \
    "\"user_id\":{\"type\":\"string\"},\"session_id\":{\"type\":\"string\"},"            \
    "\"data\":{\"type\":\"object\",\"properties\":{"                                     \
    "\"page_url\":{\"type\":\"string\"},\"product_id\":{\"type\":\"string\"},"           \
    "\"category\":{\"type\":\"string\"},\"amount\":{\"type\":\"number\"},"               \
    "\"quantity\":{\"type\":\"integer\"},"                                               \
    "\"location\":{\"type\":\"object\",\"properties\":{"                                 \
    "\"country\":{\"type\":\"string\"},\"city\":{\"type\":\"string\"}}}}}}"

#define TYPES "\"page_view\",\"add_to_cart\",\"purchase\",\"search\",\"remove_from_cart\""

#define RULES(ID, TAIL) RULES_WITH(ID, "", TAIL)
#define RULES_WITH(ID, AMOUNT, TAIL)                                                     \
    "{\"type\":\"object\",\"required\":[\"event_id\",\"event_type\"],\"properties\":{"   \
    "\"event_id\":{\"type\":\"string\"" ID "},"                                          \
    "\"event_type\":{\"type\":\"string\",\"enum\":[" TYPES "]},"                         \
    "\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},"                      \
    "\"user_id\":{\"type\":\"string\",\"pattern\":\"^user_[0-9]{6}$\"},"                 \
    "\"session_id\":{\"type\":\"string\",\"minLength\":8,\"maxLength\":40},"             \
    "\"data\":{\"type\":\"object\",\"properties\":{"                                     \
    "\"page_url\":{\"type\":\"string\",\"maxLength\":2048},"                             \
    "\"product_id\":{\"type\":\"string\",\"pattern\":\"^prod_[0-9]+$\"},"                \
    "\"category\":{\"type\":\"string\",\"minLength\":1},"                                \
    "\"amount\":{\"type\":\"number\",\"minimum\":0,\"maximum\":100000" AMOUNT "},"       \
    "\"quantity\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000},"                \
    "\"location\":{\"type\":\"object\",\"properties\":{"                                 \
    "\"country\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":2},"                 \
    "\"city\":{\"type\":\"string\"}}}}}}" TAIL "}"

static const struct {
    const char *name, *text;
} contracts[] = {
    {"types and required members alone", COLUMNS "}"},
    {"enum, min, max, length, two patterns", RULES("", "")},
    {"the same, and format uuid", RULES(",\"format\":\"uuid\"", "")},
    {"the same, and a pattern for PCRE2",
     RULES(",\"pattern\":\"^[0-9a-f]+-(?:[0-9a-f]{4}-){3}[0-9a-f]+$\"", "")},
    {"the same, and if purchase then required",
     RULES("", ",\"if\":{\"properties\":{\"event_type\":{\"const\":\"purchase\"}}},"
               "\"then\":{\"required\":[\"user_id\",\"session_id\"]}")},
    {"the same, and amount: multipleOf 0.01", RULES_WITH("", ",\"multipleOf\":0.01", "")},
    {"a rule for the tree (minProperties)", RULES("", ",\"minProperties\":2")},
};

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
    static const char *const cities[] = {"Berlin", "Paris", "London", "Köln",
                                         "São Paulo"};
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
        below(1000), below(100), 1 + below(9), countries[below(5)], cities[below(5)]);
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

typedef struct bench {
    sl_schema *schema;
    sl_batch *batch;
    sl_decoder *decoder;
    sl_record record;
    sl_buffer body;
    uint32_t events;
    double *times;
} bench;

/** Decode all events, batch after batch; the contract's part of the time, in ns. */
static double one_pass(bench *b, sl_contract_checker *checker, bool tree) {
    sl_decode_input input = {.record = 0};
    double sum = 0;
    for (sl_status status = SL_EFULL; status == SL_EFULL;) {
        if (sl_batch_prepare(b->batch, b->schema, b->body.bytes, &b->record) != SL_OK)
            exit(1);
        status = sl_decode(b->decoder, b->batch, &input);
        const sl_contract_refused *refused;
        sl_contract_refusal refusal;
        size_t count = 0;
        double begin = cpu_ns();
        if (!tree && sl_contract_run(checker, b->batch, 0, b->batch->rows, &refused,
                                     &count) != SL_OK)
            exit(1);
        for (uint32_t row = 0; tree && row < b->batch->rows; row++)
            count += sl_contract_check(checker, b->body.bytes + b->batch->row_begin[row],
                                       b->batch->row_length[row], &refusal) != SL_OK;
        sum += cpu_ns() - begin;
        if (count != 0) {
            fprintf(stderr, "%zu refused\n", count);
            exit(1);
        }
    }
    return sum;
}

static double best(bench *b, sl_contract_checker *checker, uint32_t passes, bool tree) {
    for (uint32_t i = 0; i < passes; i++)
        b->times[i] = one_pass(b, checker, tree) / b->events;
    qsort(b->times, passes, sizeof *b->times, compare);
    return b->times[0];
}

static void measure(bench *b, const char *name, const char *text, uint32_t passes) {
    sl_contract_options options = {.spaced_times = true};
    sl_contract *contract;
    sl_contract_split *split;
    sl_contract_checker *checker;
    sl_error error;
    if (sl_contract_compile(text, strlen(text), &options, &contract, &error) != SL_OK ||
        sl_contract_split_create(contract, b->schema, &split) != SL_OK ||
        sl_contract_checker_create(contract, split, &checker) != SL_OK)
        exit(1);
    double run = best(b, checker, passes, false);
    sl_contract_counts counts = sl_contract_checker_counts(checker);
    printf("%-42s %7.1f %9.1f %8.1f %%\n", name, run, best(b, checker, passes, true),
           100.0 * (double)counts.trees / (double)counts.rows);
    sl_contract_checker_destroy(checker);
    sl_contract_split_unref(split);
    sl_contract_unref(contract);
}

int main(int argc, char **argv) {
    bench b = {.events = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 50000};
    uint32_t passes = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 7;
    sl_decoder_options options = {.simd = SL_SIMD_AUTO};
    for (uint32_t i = 0; i < b.events; i++)
        add_event(&b.body);
    sl_buffer_reserve(&b.body, SL_PADDING);
    b.record.length = (uint32_t)b.body.length;
    b.batch = sl_batch_create(NULL);
    b.times = sl_calloc(passes, sizeof *b.times);
    if (passes == 0 || b.times == NULL || b.batch == NULL ||
        schema_of(COLUMNS "}", true, &b.schema, NULL) != SL_OK ||
        sl_decoder_create(b.schema, &options, &b.decoder) != SL_OK)
        return 1;
    printf("%u events, %.0f bytes each; ns per event\n%-42s %7s %9s %10s\n", b.events,
           (double)b.body.length / b.events, "", "batch", "tree only", "to tree");
    for (size_t i = 0; i < sizeof contracts / sizeof *contracts; i++)
        measure(&b, contracts[i].name, contracts[i].text, passes);
    sl_decoder_destroy(b.decoder);
    sl_batch_destroy(b.batch);
    sl_schema_unref(b.schema);
    sl_buffer_fini(&b.body);
    sl_free(b.times);
    return 0;
}
