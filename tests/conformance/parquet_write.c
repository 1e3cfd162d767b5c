// Writes Parquet files of every type, null, size, codec and profile from a deterministic generator, and
// beside each NAME.parquet the cells it should hold: NAME.ndjson, one object per row, keys are dotted
// paths. Cells without loss: integers, dates (days), timestamps (µs) and unscaled decimals as integers,
// doubles as the hex of their bits, bytes as hex. A group that is there and a group that is null differ:
// "path": {} or null.
//
//   parquet_write DIRECTORY          every case
//   parquet_write DIRECTORY long ROWS     one file `long` of so many rows, and its sums as long.json
//   parquet_write DIRECTORY random SEED   25 cases with options drawn from the seed

#include "sluice/parquet.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

typedef enum nulls { SOME, NONE, ALWAYS, ALTERNATING, FIRST_ONLY, LATE } nulls;
typedef enum shape { EVERYTHING, CLICKS, WIDE, OVERFLOWING, LONG_TEXTS } shape;

typedef struct example {
    const char *name;
    shape shape;
    uint32_t rows;
    nulls nulls;
    sl_parquet_profile profile;
    sl_parquet_codec codec;
    uint64_t row_group_bytes;
    uint32_t page_bytes;
    uint32_t every;  /**< Take every n-th row only; 0: all. */
    uint32_t extend; /**< Row from which the schema has its later fields; 0: from the begin. */
} example;

static const example examples[] = {
    {.name = "lake_default", .rows = 9000},
    {.name = "lake_none", .rows = 5000, .codec = SL_PARQUET_NONE, .page_bytes = 4096},
    {.name = "lake_snappy", .rows = 5000, .codec = SL_PARQUET_SNAPPY, .page_bytes = 4096},
    {.name = "lake_zstd", .rows = 5000, .codec = SL_PARQUET_ZSTD, .page_bytes = 4096},
    {.name = "compatible_default", .rows = 9000, .profile = SL_PARQUET_COMPATIBLE},
    {.name = "compatible_none", .rows = 5000, .profile = SL_PARQUET_COMPATIBLE,
     .codec = SL_PARQUET_NONE, .page_bytes = 4096},
    {.name = "compatible_zstd", .rows = 5000, .profile = SL_PARQUET_COMPATIBLE,
     .codec = SL_PARQUET_ZSTD, .page_bytes = 4096},
    {.name = "empty_lake", .rows = 0},
    {.name = "empty_compatible", .rows = 0, .profile = SL_PARQUET_COMPATIBLE},
    {.name = "one_row", .rows = 1, .nulls = NONE},
    {.name = "one_row_null", .rows = 1, .nulls = ALWAYS},
    {.name = "one_row_compatible", .rows = 1, .nulls = NONE, .profile = SL_PARQUET_COMPATIBLE},
    {.name = "no_nulls", .rows = 3000, .nulls = NONE},
    {.name = "all_nulls", .rows = 3000, .nulls = ALWAYS},
    {.name = "all_nulls_compatible", .rows = 3000, .nulls = ALWAYS, .profile = SL_PARQUET_COMPATIBLE},
    {.name = "alternating_nulls", .rows = 3000, .nulls = ALTERNATING, .page_bytes = 2048},
    {.name = "first_only", .rows = 3000, .nulls = FIRST_ONLY, .page_bytes = 2048},
    {.name = "late_values", .rows = 6000, .nulls = LATE, .page_bytes = 2048},
    {.name = "many_row_groups", .rows = 12000, .row_group_bytes = 40000, .page_bytes = 2048},
    {.name = "many_row_groups_compatible", .rows = 12000, .profile = SL_PARQUET_COMPATIBLE,
     .row_group_bytes = 40000, .page_bytes = 2048},
    {.name = "selection", .rows = 9000, .every = 3, .page_bytes = 4096},
    {.name = "extended", .rows = 2000, .extend = 700},
    {.name = "extended_at_once", .rows = 500, .extend = 1, .nulls = NONE},
    {.name = "clicks", .shape = CLICKS, .rows = 40000, .nulls = NONE, .page_bytes = 65536},
    {.name = "clicks_snappy", .shape = CLICKS, .rows = 40000, .nulls = NONE,
     .profile = SL_PARQUET_COMPATIBLE},
    {.name = "wide", .shape = WIDE, .rows = 300},
    {.name = "overflowing", .shape = OVERFLOWING, .rows = 6000, .profile = SL_PARQUET_COMPATIBLE,
     .page_bytes = 100000},
    {.name = "big_dictionary", .shape = OVERFLOWING, .rows = 6000},
    {.name = "long_texts", .shape = LONG_TEXTS, .rows = 40, .nulls = SOME},
};

static uint64_t scramble(uint64_t row, uint64_t salt) {
    uint64_t x = row * 0x9e3779b97f4a7c15u + salt * 0xbf58476d1ce4e5b9u + 0x94d049bb133111ebu;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

// The schemas.

static uint32_t add(sl_schema *schema, uint32_t parent, const char *name, sl_type type, bool nullable) {
    uint32_t field = sl_schema_add(schema, parent, name, strlen(name), type);
    if (field == SL_NO_FIELD)
        DIE("out of memory");
    schema->fields[field].nullable = nullable;
    schema->fields[field].required = !nullable;
    return field;
}

static void add_decimal(sl_schema *schema, const char *name, uint8_t precision, uint8_t scale) {
    uint32_t field = add(schema, 0, name, SL_TYPE_DECIMAL, true);
    schema->fields[field].precision = precision;
    schema->fields[field].scale = scale;
}

static void add_everything(sl_schema *s) {
    add(s, 0, "sequence", SL_TYPE_INT64, false);
    add(s, 0, "truth", SL_TYPE_BOOL, true);
    add(s, 0, "truth_required", SL_TYPE_BOOL, false);
    add(s, 0, "few", SL_TYPE_INT64, true);
    add(s, 0, "wild", SL_TYPE_INT64, true);
    add(s, 0, "real", SL_TYPE_DOUBLE, true);
    add(s, 0, "price", SL_TYPE_DOUBLE, true);
    add_decimal(s, "decimal_5_0", 5, 0);
    add_decimal(s, "decimal_9_2", 9, 2);
    add_decimal(s, "decimal_10_9", 10, 9);
    add_decimal(s, "decimal_18_6", 18, 6);
    add(s, 0, "day", SL_TYPE_DATE, true);
    add(s, 0, "wild_day", SL_TYPE_DATE, true);
    add(s, 0, "moment", SL_TYPE_TIMESTAMP, true);
    add(s, 0, "wild_moment", SL_TYPE_TIMESTAMP, false);
    add(s, 0, "word", SL_TYPE_STRING, true);
    add(s, 0, "id", SL_TYPE_STRING, false);
    add(s, 0, "Überlang", SL_TYPE_STRING, true);
    add(s, 0, "json", SL_TYPE_JSON, true);
    add(s, 0, "bytes", SL_TYPE_BYTES, true);
    uint32_t group = add(s, 0, "geo", SL_TYPE_GROUP, true);
    add(s, group, "country", SL_TYPE_STRING, true);
    uint32_t inner = add(s, group, "at", SL_TYPE_GROUP, true);
    add(s, inner, "latitude", SL_TYPE_DOUBLE, false);
    add(s, inner, "label", SL_TYPE_STRING, true);
    add(s, group, "code", SL_TYPE_INT64, false);
    uint32_t sure = add(s, 0, "sure", SL_TYPE_GROUP, false);
    add(s, sure, "note", SL_TYPE_STRING, true);
    uint32_t deep = add(s, sure, "deep", SL_TYPE_GROUP, true);
    add(s, deep, "moment", SL_TYPE_TIMESTAMP, true);
    add(s, 0, "nothing", SL_TYPE_GROUP, true); // Without a child it is left out.
}

static void add_later(sl_schema *s) {
    add(s, 0, "later", SL_TYPE_STRING, true);
    add(s, sl_schema_find(s, "geo"), "city", SL_TYPE_STRING, true);
    add(s, sl_schema_find(s, "geo.at"), "longitude", SL_TYPE_DOUBLE, true);
    uint32_t group = add(s, sl_schema_find(s, "sure"), "fresh", SL_TYPE_GROUP, true);
    add(s, group, "number", SL_TYPE_INT64, true);
    s->version++;
}

static void add_clicks(sl_schema *s) {
    static const char *const texts[] = {"event_id",   "event_type", "user_id", "session_id",
                                        "page_url",   "product_id", "country", "city"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        add(s, 0, texts[i], SL_TYPE_STRING, i > 1);
    add(s, 0, "timestamp", SL_TYPE_TIMESTAMP, true);
    add(s, 0, "amount", SL_TYPE_DOUBLE, true);
    add(s, 0, "quantity", SL_TYPE_INT64, true);
}

static sl_schema *make_schema(const example *e, bool later) {
    sl_schema *s = sl_schema_create(e->name);
    if (!s)
        DIE("out of memory");
    if (e->shape == EVERYTHING)
        add_everything(s);
    else if (e->shape == CLICKS)
        add_clicks(s);
    for (unsigned i = 0; e->shape == WIDE && i < 400; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        add(s, 0, name, (sl_type)(SL_TYPE_BOOL + i % 3), true);
    }
    if (e->shape == OVERFLOWING || e->shape == LONG_TEXTS) {
        add(s, 0, "text", SL_TYPE_STRING, e->shape == LONG_TEXTS);
        add(s, 0, "number", SL_TYPE_INT64, false);
    }
    if (later)
        add_later(s);
    return s;
}

// The cells.

static bool is_null(const example *e, uint64_t row, uint32_t field) {
    switch (e->nulls) {
    case SOME:
        return scramble(row, 1000 + field) % 5 == 0;
    case NONE:
        return false;
    case ALWAYS:
        return true;
    case ALTERNATING:
        return (row + field) % 2;
    case FIRST_ONLY:
        return row > 0;
    case LATE:
        return row < 4000;
    }
    return false;
}

static int64_t power_of_ten(unsigned n) {
    int64_t power = 1;
    while (n--)
        power *= 10;
    return power;
}

static int64_t make_number(const sl_field *f, uint64_t row, uint32_t field) {
    uint64_t x = scramble(row, field);
    int64_t top;
    switch (f->type) {
    case SL_TYPE_DECIMAL:
        top = power_of_ten(f->precision) - 1;
        return row % 50 == 0 ? top : row % 50 == 1 ? -top : (int64_t)(x % (uint64_t)top) - top / 2;
    case SL_TYPE_DATE:
        return f->name[0] == 'w' ? (int64_t)(x % 3000000) - 700000 : 20000 + (int64_t)row / 300;
    case SL_TYPE_TIMESTAMP: // From year 1 on to year 9999, or about now.
        return f->name[0] == 'w' ? (int64_t)(x % 315000000000000000) - 62000000000000000
                                 : 1767225600000000 + (int64_t)row * 1000 + (int64_t)(x % 5000);
    case SL_TYPE_INT64:
        if (!strcmp(f->name, "sequence"))
            return (int64_t)row;
        if (!strcmp(f->name, "wild"))
            return row % 40 == 3 ? INT64_MIN : row % 40 == 4 ? INT64_MAX : (int64_t)x;
        return (int64_t)(x % 13) - 3;
    case SL_TYPE_BOOL:
        return (int64_t)(x % 3 == 0);
    case SL_TYPE_GROUP:
    case SL_TYPE_DOUBLE:
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        break;
    }
    return 0;
}

static double make_real(const sl_field *f, uint64_t row, uint32_t field) {
    uint64_t x = scramble(row, field);
    if (strcmp(f->name, "real") != 0)
        return (double)(x % 5000) / 100;
    switch (row % 97) {
    case 1:
        return (double)NAN;
    case 2:
        return -0.0;
    case 3:
        return 0.0;
    case 4:
        return row > 3000 ? (double)INFINITY : 1e300;
    case 5:
        return 5e-324;
    default:
        return ((double)x - 9e18) * 1e-7;
    }
}

static size_t fill(char *out, char unit, size_t length) {
    memset(out, unit, length);
    return length;
}

/** Values that are cut in statistics, at a character's begin, middle and where none is greater. */
static size_t make_long(char *out, uint64_t row) {
    static const char *const units[] = {"ä", "€", "😀", "\U0010ffff", "x"};
    const char *unit = units[row % 5];
    size_t length = (size_t)snprintf(out, 64, "%s", row % 5 == 3 ? "" : "long ");
    for (size_t i = 0; i < 20 + row % 60; i++) {
        memcpy(out + length, unit, strlen(unit));
        length += strlen(unit);
    }
    return length;
}

static size_t make_text(const example *e, const sl_field *f, char *out, uint64_t row, uint32_t field) {
    uint64_t x = scramble(row, field), y = scramble(row, field + 500);
    if (f->type == SL_TYPE_BYTES) {
        for (size_t i = 0; i < x % 20; i++)
            out[i] = (char)(scramble(row, field + i) >> 13);
        return x % 20;
    }
    if (f->type == SL_TYPE_JSON)
        return (size_t)sprintf(out, "{\"a\":[%u,\"\\u00e9\"],\"b\":%u}", (unsigned)(x % 9), (unsigned)row);
    if (!strcmp(f->name, "id") || !strcmp(f->name, "event_id"))
        return (size_t)sprintf(out, "%08x-%04x-4%03x-%04x-%012" PRIx64, (unsigned)(x >> 32),
                               (unsigned)(x & 0xffff), (unsigned)(x >> 16 & 0xfff),
                               (unsigned)(0x8000 | (y & 0x3fff)), y >> 16);
    if (!strcmp(f->name, "Überlang"))
        return make_long(out, row);
    if (e->shape == OVERFLOWING) // 3,000 values of 1,000 bytes outgrow a dictionary of 1 MiB.
        return (size_t)sprintf(out, "%06u", (unsigned)(x % 3000)) + fill(out + 6, 'o', 994);
    if (e->shape == LONG_TEXTS)
        return fill(out, (char)('a' + row % 26), row % 3 ? row * 10 : 300000 + row);
    if (!strcmp(f->name, "session_id"))
        return (size_t)sprintf(out, "session-%u", (unsigned)(x % 30000));
    if (!strcmp(f->name, "user_id"))
        return (size_t)sprintf(out, "user_%u", (unsigned)(x % 10000));
    static const char *const fronts[] = {"", "Ä", "Öß", "ñ\"", "a", "zz"};
    return (size_t)sprintf(out, "%s%u", fronts[x % 6], (unsigned)(y % 23));
}

static char scratch[1 << 20];

static void put_cell(const example *e, sl_batch *batch, uint32_t row, uint64_t number, uint32_t field,
                     uint32_t *used, uint8_t *raw, size_t raw_bytes) {
    const sl_field *f = &batch->schema->fields[field];
    sl_column *c = &batch->columns[field];
    c->valid[row] = !f->nullable || !is_null(e, number, field);
    if (f->type == SL_TYPE_GROUP)
        return;
    if (!c->valid[row]) { // Undefined: the writer must not look.
        if (f->type != SL_TYPE_BOOL)
            memset(f->type == SL_TYPE_DOUBLE ? (void *)&c->values.f64[row] : (void *)&c->values.i64[row],
                   0xfe, 8);
    } else if (f->type == SL_TYPE_DOUBLE) {
        c->values.f64[row] = make_real(f, number, field);
    } else if (f->type == SL_TYPE_BOOL) {
        c->values.truth[row] = (uint8_t)make_number(f, number, field);
    } else if (f->type >= SL_TYPE_STRING) {
        size_t length = make_text(e, f, scratch, number, field);
        if (number % 2 && *used + length <= raw_bytes) { // Some lie in the raw bytes, some in the arena.
            memcpy(raw + *used, scratch, length);
            c->values.span[row] = (sl_span){*used, (uint32_t)length};
            *used += (uint32_t)length;
        } else {
            c->values.span[row] = sl_batch_keep_text(batch, scratch, length);
        }
    } else {
        c->values.i64[row] = make_number(f, number, field);
    }
}

// What is expected.

static void put_hex(sl_buffer *out, const uint8_t *bytes, size_t length) {
    sl_buffer_byte(out, '"');
    for (size_t i = 0; i < length; i++)
        sl_buffer_printf(out, "%02x", bytes[i]);
    sl_buffer_byte(out, '"');
}

static void expect_value(sl_buffer *out, const sl_batch *batch, uint32_t field, uint32_t row) {
    const sl_field *f = &batch->schema->fields[field];
    const sl_column *c = &batch->columns[field];
    uint64_t bits;
    switch (f->type) {
    case SL_TYPE_GROUP:
        sl_buffer_text(out, "{}");
        break;
    case SL_TYPE_BOOL:
        sl_buffer_text(out, c->values.truth[row] ? "true" : "false");
        break;
    case SL_TYPE_DOUBLE:
        memcpy(&bits, &c->values.f64[row], 8);
        sl_buffer_printf(out, "\"%016" PRIx64 "\"", bits);
        break;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
        sl_buffer_json_string(out, (const char *)sl_batch_text(batch, c->values.span[row]),
                              c->values.span[row].length);
        break;
    case SL_TYPE_BYTES:
        put_hex(out, sl_batch_text(batch, c->values.span[row]), c->values.span[row].length);
        break;
    case SL_TYPE_INT64:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
        sl_buffer_printf(out, "%" PRId64, c->values.i64[row]);
        break;
    }
}

/** Is the cell there, the groups above it included? Fields that the batch doesn't know are not. */
static bool present(const sl_batch *batch, const sl_schema *schema, uint32_t field, uint32_t row) {
    for (; field != 0; field = schema->fields[field].parent)
        if (field >= batch->schema->count || !batch->columns[field].valid[row])
            return false;
    return true;
}

static void expect_row(FILE *file, const sl_batch *batch, const sl_schema *schema, uint32_t row) {
    static sl_buffer out;
    sl_buffer_clear(&out);
    for (uint32_t f = 1; f < schema->count; f++) {
        if (!strcmp(schema->fields[f].name, "nothing"))
            continue;
        sl_buffer_text(&out, out.length ? "," : "{");
        sl_buffer_json_string(&out, schema->fields[f].path, strlen(schema->fields[f].path));
        sl_buffer_byte(&out, ':');
        if (present(batch, schema, f, row))
            expect_value(&out, batch, f, row);
        else
            sl_buffer_text(&out, "null");
    }
    sl_buffer_text(&out, "}\n");
    fwrite(out.bytes, 1, out.length, file);
}

// The files.

typedef struct sink {
    FILE *file;
    sl_hasher *hasher;
    uint64_t bytes;
} sink;

static sl_status take(void *context, const void *bytes, size_t length) {
    sink *s = context;
    sl_hasher_add(s->hasher, bytes, length);
    s->bytes += length;
    return fwrite(bytes, 1, length, s->file) == length ? SL_OK : SL_EIO;
}

static FILE *open_beside(const char *directory, const char *name, const char *extension) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s", directory, name, extension);
    FILE *file = fopen(path, "wb");
    if (!file)
        DIE("%s: cannot be written", path);
    return file;
}

#define RAW_BYTES (1u << 20)

static uint32_t select_rows(const example *e, uint32_t *rows, uint32_t count, uint64_t first) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!e->every || (first + i) % e->every == 0)
            rows[n++] = i;
    return n;
}

static void write_rows(const example *e, sl_parquet_writer *writer, const sl_schema *old,
                       const sl_schema *new, FILE *expected) {
    static uint8_t raw[RAW_BYTES + SL_PADDING];
    static const sl_record record;
    static uint32_t rows[SL_BATCH_ROWS_MAX];
    sl_batch *batch = sl_batch_create(NULL);
    for (uint32_t first = 0, count; first < e->rows; first += count) {
        if (e->extend && first >= e->extend && sl_parquet_schema(writer) != new)
            if (sl_parquet_extend(writer, new))
                DIE("%s: extend failed", e->name);
        // After the change some batches still come with the old schema.
        const sl_schema *schema = e->extend && (first < e->extend || first % 3 == 0) ? old : new;
        if (!batch || sl_batch_prepare(batch, schema, raw, &record))
            DIE("out of memory");
        uint32_t used = 0, most = first % 7 * 100 + 99;
        count = e->rows - first < most ? e->rows - first : most;
        count = count < batch->capacity ? count : batch->capacity;
        if (e->extend && first < e->extend && first + count > e->extend)
            count = e->extend - first;
        batch->rows = count;
        for (uint32_t row = 0; row < count; row++)
            for (uint32_t f = 1; f < schema->count; f++)
                put_cell(e, batch, row, first + row, f, &used, raw, RAW_BYTES);
        uint32_t taken = select_rows(e, rows, count, first);
        if (sl_parquet_write(writer, batch, e->every ? rows : NULL, taken))
            DIE("%s: write failed", e->name);
        for (uint32_t i = 0; expected && i < taken; i++)
            expect_row(expected, batch, new, rows[i]);
    }
    sl_batch_destroy(batch);
}

static void finish(const char *name, sl_parquet_writer *writer, sink *s, uint64_t rows) {
    static const sl_parquet_pair pairs[] = {{"sluice.table", "conformance"}, {"empty", ""}};
    sl_parquet_result result;
    sl_status status;
    while ((status = sl_parquet_finish(writer, pairs, 2, &result)) == SL_EAGAIN)
        ;
    sl_hash128 hash = sl_hasher_sum(s->hasher);
    if (status || result.bytes != s->bytes || result.hash.low != hash.low ||
        result.hash.high != hash.high || result.rows != rows)
        DIE("%s: finish failed", name);
    if (fclose(s->file))
        DIE("%s: cannot be written", name);
    sl_parquet_destroy(writer);
    sl_hasher_destroy(s->hasher);
}

static void write_example(const char *directory, const example *e) {
    sl_schema *old = make_schema(e, false), *new = make_schema(e, e->extend > 0);
    sl_parquet_options options = {.profile = e->profile, .codec = e->codec,
                                  .row_group_bytes = e->row_group_bytes, .page_bytes = e->page_bytes};
    FILE *expected = open_beside(directory, e->name, "ndjson");
    sink s = {open_beside(directory, e->name, "parquet"), sl_hasher_create(), 0};
    sl_parquet_writer *writer;
    if (!s.hasher || sl_parquet_create(e->extend ? old : new, &options, take, &s, &writer))
        DIE("out of memory");
    write_rows(e, writer, old, new, expected);
    fclose(expected);
    finish(e->name, writer, &s, e->every ? (e->rows + e->every - 1) / e->every : e->rows);
    sl_schema_unref(old);
    sl_schema_unref(new);
}

/** Sums over the numbers that the generator makes, without the batches. */
static void write_long(const char *directory, uint32_t rows) {
    example e = {.name = "long", .shape = CLICKS, .rows = rows, .nulls = SOME};
    sl_schema *schema = make_schema(&e, false);
    sl_parquet_options options = {.profile = SL_PARQUET_LAKE};
    sink s = {open_beside(directory, e.name, "parquet"), sl_hasher_create(), 0};
    sl_parquet_writer *writer;
    if (!s.hasher || sl_parquet_create(schema, &options, take, &s, &writer))
        DIE("out of memory");
    write_rows(&e, writer, schema, schema, NULL);
    finish(e.name, writer, &s, rows);
    uint32_t quantity = sl_schema_find(schema, "quantity"), amount = sl_schema_find(schema, "amount");
    uint32_t user = sl_schema_find(schema, "user_id"), time = sl_schema_find(schema, "timestamp");
    int64_t quantities = 0, cents = 0, users = 0, times = 0;
    for (uint64_t row = 0; row < rows; row++) {
        if (!is_null(&e, row, quantity))
            quantities += make_number(&schema->fields[quantity], row, quantity);
        if (!is_null(&e, row, amount))
            cents += llround(make_real(&schema->fields[amount], row, amount) * 100);
        if (!is_null(&e, row, user))
            users += (int64_t)(scramble(row, user) % 10000);
        if (!is_null(&e, row, time))
            times += make_number(&schema->fields[time], row, time) - 1767225600000000;
    }
    FILE *json = open_beside(directory, "long", "json");
    fprintf(json, "{\"rows\":%u,\"quantity\":%" PRId64 ",\"cents\":%" PRId64 ",\"users\":%" PRId64
                  ",\"times\":%" PRId64 "}\n", rows, quantities, cents, users, times);
    fclose(json);
    sl_schema_unref(schema);
}

static void write_random(const char *directory, uint64_t seed) {
    for (uint64_t i = 0; i < 25; i++) {
        char name[32];
        uint64_t x = scramble(seed, i), y = scramble(x, 1);
        snprintf(name, sizeof name, "random_%s%02u", x & 1 ? "lake" : "compatible", (unsigned)i);
        example e = {.name = name,
                     .shape = i % 5 == 4 ? CLICKS : EVERYTHING,
                     .rows = (uint32_t)(y % (i % 5 == 4 ? 30000 : 4000)),
                     .nulls = (nulls)(x >> 8 & 3 ? SOME : (x >> 10) % 6),
                     .profile = x & 1 ? SL_PARQUET_LAKE : SL_PARQUET_COMPATIBLE,
                     .codec = (sl_parquet_codec)(x >> 16 & 3),
                     .row_group_bytes = x >> 20 & 1 ? 1000 + (y >> 20) % 300000 : 0,
                     .page_bytes = (uint32_t)(1024u << (x >> 24 & 7)),
                     .every = x >> 30 & 1 ? 1 + (uint32_t)(y >> 40) % 5 : 0};
        if (e.shape == EVERYTHING && !e.row_group_bytes && (x >> 32 & 1)) // Soon enough to remember.
            e.extend = 1 + (uint32_t)(y >> 44) % 60;
        if (e.extend)
            e.page_bytes = 0;
        write_example(directory, &e);
        printf("%s\n", name);
    }
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4)
        DIE("usage: parquet_write DIRECTORY [long ROWS | random SEED]");
    if (argc == 4 && !strcmp(argv[2], "long"))
        write_long(argv[1], (uint32_t)strtoul(argv[3], NULL, 10));
    else if (argc == 4)
        write_random(argv[1], strtoull(argv[3], NULL, 10));
    for (size_t i = 0; argc == 2 && i < sizeof examples / sizeof examples[0]; i++) {
        write_example(argv[1], &examples[i]);
        printf("%s\n", examples[i].name);
    }
    return 0;
}
