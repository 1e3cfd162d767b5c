// Cost of the writer in CPU time: clickstream rows of 12 columns, about 230 bytes plain, given as batches
// that are ready in memory. Prints ns per row and file size per codec; then each column in a file of its
// own with and without codec, which tells where the time goes.
//
//   parquet_bench [rows [row_group_mib [directory]]]     0 MiB: the default; files are left in the directory

#include "sluice/parquet.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROWS_A_BATCH 1024u
#define TEXT_BYTES_MAX 256u
#define COLUMNS 12u
#define ALL UINT32_MAX

static const struct {
    const char *name;
    sl_type type;
    uint32_t values; /**< Different ones; 0: unique. */
    const char *front;
} columns[COLUMNS] = {
    {"event_id", SL_TYPE_STRING, 0, NULL},
    {"event_type", SL_TYPE_STRING, 20, "event_type_"},
    {"timestamp", SL_TYPE_TIMESTAMP, 0, NULL},
    {"user_id", SL_TYPE_STRING, 100000, "user_"},
    {"session_id", SL_TYPE_STRING, 300000, "session-"},
    {"page_url", SL_TYPE_STRING, 400, "https://shop.example.com/products/category/"},
    {"product_id", SL_TYPE_STRING, 5000, "product_"},
    {"category", SL_TYPE_STRING, 10, "category_"},
    {"amount", SL_TYPE_DOUBLE, 0, NULL},
    {"quantity", SL_TYPE_INT64, 10, NULL},
    {"country", SL_TYPE_STRING, 40, "C"},
    {"city", SL_TYPE_STRING, 100, "City number "},
};

static uint64_t row_group_bytes;
static uint64_t state = 88172645463325252u;

static uint64_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 2685821657736338717u;
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

typedef struct rows {
    sl_schema *schema;
    sl_batch *batches[4096];
    uint8_t *raw[4096];
    uint32_t count;
    uint64_t rows;
} rows;

static sl_span put(uint8_t *raw, uint32_t *used, const char *text, uint32_t length) {
    memcpy(raw + *used, text, length);
    *used += length;
    return (sl_span){*used - length, length};
}

static sl_span make_text(uint32_t column, uint8_t *raw, uint32_t *used) {
    char text[TEXT_BYTES_MAX];
    uint64_t a = draw(), b = draw();
    int length = columns[column].values
                     ? snprintf(text, sizeof text, "%s%u", columns[column].front,
                                (unsigned)(a % columns[column].values))
                     : snprintf(text, sizeof text, "%08x-%04x-4%03x-%x%03x-%012llx",
                                (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
                                (unsigned)(a & 0xfff), (unsigned)(8 | b >> 62),
                                (unsigned)(b >> 48 & 0xfff),
                                (unsigned long long)(b & 0xffffffffffffu));
    return put(raw, used, text, (uint32_t)length);
}

static void make_cell(sl_batch *batch, uint8_t *raw, uint32_t *used, uint32_t field,
                      uint32_t column, uint32_t row) {
    static int64_t now = 1767225600000000;
    sl_column *c = &batch->columns[field];
    c->valid[row] = 1;
    sl_type type = columns[column].type;
    if (type == SL_TYPE_TIMESTAMP) {
        now += (int64_t)(draw() % 1440);
        c->values.i64[row] = now / 1000 * 1000 + (int64_t)(draw() % 50) * 1000;
    } else if (type == SL_TYPE_DOUBLE) {
        c->values.f64[row] = (double)(draw() % 50000) / 100;
    } else if (type == SL_TYPE_INT64) {
        c->values.i64[row] = 1 + (int64_t)(draw() % columns[column].values);
    } else {
        c->values.span[row] = make_text(column, raw, used);
    }
}

static void make_batch(rows *all, uint32_t only, uint32_t count) {
    static const sl_record record;
    uint8_t *raw = malloc(count * COLUMNS * 64 + SL_PADDING);
    sl_batch *batch = sl_batch_create(NULL);
    if (!raw || !batch || sl_batch_prepare(batch, all->schema, raw, &record) || batch->capacity < count)
        exit(1);
    uint32_t used = 0;
    batch->rows = count;
    for (uint32_t row = 0; row < count; row++) // Row by row, as a decoder meets the texts.
        for (uint32_t f = 1; f < all->schema->count; f++)
            make_cell(batch, raw, &used, f, only == ALL ? f - 1 : only, row);
    all->batches[all->count] = batch;
    all->raw[all->count++] = raw;
    all->rows += count;
}

static void make_rows(rows *all, uint32_t only, uint64_t count) {
    *all = (rows){.schema = sl_schema_create("clicks")};
    for (uint32_t c = 0; c < COLUMNS; c++) {
        if (only != ALL && only != c)
            continue;
        uint32_t f = sl_schema_add(all->schema, 0, columns[c].name, strlen(columns[c].name),
                                   columns[c].type);
        all->schema->fields[f].nullable = true;
    }
    while (all->rows < count && all->count < 4096)
        make_batch(all, only, ROWS_A_BATCH);
}

static void drop_rows(rows *all) {
    for (uint32_t i = 0; i < all->count; i++) {
        sl_batch_destroy(all->batches[i]);
        free(all->raw[i]);
    }
    sl_schema_unref(all->schema);
}

static sl_status to_file(void *context, const void *bytes, size_t length) {
    FILE *file = context;
    return !file || fwrite(bytes, 1, length, file) == length ? SL_OK : SL_EIO;
}

typedef struct cost {
    double ns_append, ns_finish;
    uint64_t bytes;
    size_t memory;
} cost;

static cost run(const rows *all, sl_parquet_profile profile, sl_parquet_codec codec, FILE *file) {
    sl_parquet_options options = {
        .profile = profile, .codec = codec, .row_group_bytes = row_group_bytes};
    sl_parquet_writer *writer;
    sl_parquet_result result = {0};
    cost c = {0};
    double begin = cpu_seconds();
    if (sl_parquet_create(all->schema, &options, to_file, file, &writer))
        exit(1);
    for (uint32_t i = 0; i < all->count; i++) {
        if (sl_parquet_write(writer, all->batches[i], NULL, all->batches[i]->rows))
            exit(1);
        size_t memory = sl_parquet_memory(writer);
        c.memory = memory > c.memory ? memory : c.memory;
    }
    double middle = cpu_seconds();
    sl_status status;
    while ((status = sl_parquet_finish(writer, NULL, 0, &result)) == SL_EAGAIN)
        ;
    sl_parquet_destroy(writer);
    if (status)
        exit(1);
    c.ns_append = (middle - begin) * 1e9 / (double)all->rows;
    c.ns_finish = (cpu_seconds() - middle) * 1e9 / (double)all->rows;
    c.bytes = result.bytes;
    return c;
}

static cost best(const rows *all, sl_parquet_profile profile, sl_parquet_codec codec, int times) {
    cost least = {.ns_append = 1e18};
    for (int i = 0; i < times; i++) {
        cost c = run(all, profile, codec, NULL);
        if (c.ns_append + c.ns_finish < least.ns_append + least.ns_finish)
            least = c;
    }
    return least;
}

static const struct {
    const char *name;
    sl_parquet_profile profile;
    sl_parquet_codec codec;
} kinds[] = {{"lake_none", SL_PARQUET_LAKE, SL_PARQUET_NONE},
             {"lake_zstd", SL_PARQUET_LAKE, SL_PARQUET_ZSTD},
             {"lake_snappy", SL_PARQUET_LAKE, SL_PARQUET_SNAPPY},
             {"compatible_snappy", SL_PARQUET_COMPATIBLE, SL_PARQUET_SNAPPY}};

static void files(const rows *all, const char *directory) {
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.parquet", directory, kinds[k].name);
        FILE *file = fopen(path, "wb");
        if (!file)
            exit(1);
        run(all, kinds[k].profile, kinds[k].codec, file);
        fclose(file);
    }
}

int main(int argc, char **argv) {
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    row_group_bytes = argc > 2 ? strtoull(argv[2], NULL, 10) << 20 : 0;
    static rows all;
    make_rows(&all, ALL, count);
    printf("%llu rows\n%-20s %8s %8s %8s %12s %8s\n", (unsigned long long)all.rows, "ns/row", "write",
           "finish", "total", "bytes", "memory");
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        cost c = best(&all, kinds[k].profile, kinds[k].codec, 5);
        printf("%-20s %8.1f %8.1f %8.1f %12llu %8zu\n", kinds[k].name, c.ns_append, c.ns_finish,
               c.ns_append + c.ns_finish, (unsigned long long)c.bytes, c.memory);
    }
    if (argc > 3)
        files(&all, argv[3]);
    drop_rows(&all);
    printf("\n%-20s %8s %8s %8s %12s %12s\n", "ns/value, lake", "none", "zstd", "codec", "bytes none",
           "bytes zstd");
    for (uint32_t column = 0; column < COLUMNS; column++) {
        make_rows(&all, column, count);
        cost none = best(&all, SL_PARQUET_LAKE, SL_PARQUET_NONE, 3);
        cost zstd = best(&all, SL_PARQUET_LAKE, SL_PARQUET_ZSTD, 3);
        double a = none.ns_append + none.ns_finish, b = zstd.ns_append + zstd.ns_finish;
        printf("%-20s %8.1f %8.1f %8.1f %12llu %12llu\n", columns[column].name, a, b, b - a,
               (unsigned long long)none.bytes, (unsigned long long)zstd.bytes);
        drop_rows(&all);
    }
    return 0;
}
