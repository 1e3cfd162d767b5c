// One slab holds every array of a batch:
//
//   row_record | row_begin | row_length | row_index | row_json | verdict | columns | valid, field by field |
//   values ...
//
// Capacity depends on the number of fields alone, so the `valid` zone of two schemas with
// equally many fields lies at the same place; prepare() clears only what rows have used
// there. Every array begins on a cache line of its own, and neighbours are one line
// further than their length: without that, all columns of a 4,096-row batch would fall
// into one set of the first-level cache.

#include "sluice/batch.h"

#include "sluice/value.h"

#include <assert.h>

#define LINE_BYTES 64u
#define ROWS_MIN 64u
#define SLAB_TARGET_BYTES                                                                \
    (1u << 20) /**< Rows are chosen so that columns stay in a second-level cache. */
#define ARENA_KEEP_BYTES                                                                 \
    ((size_t)4 << 20) /**< A larger arena was one odd batch: give it back. */
#define ARENA_MAX_BYTES ((size_t)SL_SPAN_ARENA)
#define NAMES_BLOCK_BYTES 4096u

static const char *const code_names[SL_CODE_COUNT] = {
    [SL_CODE_NONE] = "none",
    [SL_CODE_SYNTAX] = "syntax",
    [SL_CODE_NOT_AN_OBJECT] = "not_an_object",
    [SL_CODE_TOO_LARGE] = "too_large",
    [SL_CODE_TOO_DEEP] = "too_deep",
    [SL_CODE_TYPE] = "type",
    [SL_CODE_RANGE] = "range",
    [SL_CODE_FORMAT] = "format",
    [SL_CODE_REQUIRED] = "required",
    [SL_CODE_NULL] = "null",
    [SL_CODE_ADDITIONAL] = "additional",
    [SL_CODE_NO_STREAM] = "no_stream",
    [SL_CODE_EVENT_TIME] = "event_time",
    [SL_CODE_SCHEMA] = "schema",
    [SL_CODE_REQUIRE] = "require",
};

const char *sl_code_name(sl_code code) {
    return (size_t)code < SL_CODE_COUNT ? code_names[code] : "unknown";
}

sl_batch *sl_batch_create(sl_budget *budget) {
    sl_batch *batch = sl_calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    batch->budget = budget;
    sl_arena_init(&batch->names, NAMES_BLOCK_BYTES);
    return batch;
}

void sl_batch_destroy(sl_batch *batch) {
    if (batch == NULL)
        return;
    sl_budget_give(batch->budget, batch->charged_bytes);
    sl_free(batch->slab);
    sl_free(batch->rejects);
    sl_free(batch->proposals);
    sl_arena_fini(&batch->names);
    sl_buffer_fini(&batch->arena);
    sl_free(batch);
}

size_t sl_batch_memory(const sl_batch *batch) {
    return sizeof *batch + batch->slab_bytes + batch->arena.capacity +
           batch->names.total_bytes + batch->reject_capacity * sizeof *batch->rejects +
           batch->proposal_capacity * sizeof *batch->proposals;
}

static size_t row_bytes(uint32_t fields) { return 25 + (size_t)fields * 9; }

size_t sl_batch_used(const sl_batch *batch) {
    return batch->rows * row_bytes(batch->field_count) + batch->reject_count * sizeof *batch->rejects + batch->arena.length;
}

static size_t lines(size_t bytes) {
    return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

static uint32_t rows_for(uint32_t fields) {
    size_t rows = SLAB_TARGET_BYTES / row_bytes(fields) / ROWS_MIN * ROWS_MIN;
    if (rows < ROWS_MIN)
        rows = ROWS_MIN;
    return rows > SL_BATCH_ROWS_MAX ? SL_BATCH_ROWS_MAX : (uint32_t)rows;
}

static size_t value_bytes(sl_type type) {
    switch (type) {
    case SL_TYPE_GROUP:
        return 0;
    case SL_TYPE_BOOL:
        return 1;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        return sizeof(sl_span);
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
        break;
    }
    return sizeof(int64_t);
}

static size_t slab_size(const sl_schema *schema, uint32_t capacity) {
    size_t size =
        LINE_BYTES; // To align the first array by hand: calloc promises 16 bytes.
    size += 4 * (lines(capacity * sizeof(uint32_t)) + LINE_BYTES) + lines(capacity) +
            LINE_BYTES + lines(capacity * sizeof(sl_span)) + LINE_BYTES;
    size += lines(schema->count * sizeof(sl_column));
    for (uint32_t i = 0; i < schema->count; i++) {
        size += capacity + LINE_BYTES;
        size += lines(capacity * value_bytes(schema->fields[i].type)) + LINE_BYTES;
    }
    return size;
}

static void *carve(uint8_t **at, size_t bytes) {
    uint8_t *array = *at;
    *at += lines(bytes) + LINE_BYTES;
    return array;
}

static void lay_out(sl_batch *batch, const sl_schema *schema, uint32_t capacity) {
    uint8_t *base = batch->slab;
    size_t astray = (uintptr_t)base % LINE_BYTES;
    uint8_t *at = base + (astray ? LINE_BYTES - astray : 0);
    batch->row_record = carve(&at, capacity * sizeof(uint32_t));
    batch->row_begin = carve(&at, capacity * sizeof(uint32_t));
    batch->row_length = carve(&at, capacity * sizeof(uint32_t));
    batch->row_index = carve(&at, capacity * sizeof(uint32_t));
    batch->row_json = carve(&at, capacity * sizeof(sl_span));
    batch->verdict = carve(&at, capacity);
    batch->columns = (sl_column *)(void *)at;
    at += lines(schema->count * sizeof(sl_column));
    for (uint32_t i = 0; i < schema->count; i++)
        batch->columns[i].valid = carve(&at, capacity);
    for (uint32_t i = 0; i < schema->count; i++) {
        size_t bytes = value_bytes(schema->fields[i].type);
        batch->columns[i].values.any = bytes == 0 ? NULL : carve(&at, capacity * bytes);
    }
    assert((size_t)(at - base) <= batch->slab_bytes);
}

// calloc, because a large block then comes as untouched zero pages: a batch that is
// rarely full never pays for the rows it doesn't use.
static sl_status grow_slab(sl_batch *batch, size_t bytes) {
    sl_status status = sl_budget_take(batch->budget, bytes);
    if (status != SL_OK)
        return status;
    void *slab = sl_calloc(1, bytes);
    if (slab == NULL) {
        sl_budget_give(batch->budget, bytes);
        return SL_ENOMEM;
    }
    sl_free(batch->slab);
    sl_budget_give(batch->budget, batch->slab_bytes);
    batch->charged_bytes -= batch->slab_bytes;
    batch->charged_bytes += bytes;
    batch->slab = slab;
    batch->slab_bytes = bytes;
    return SL_OK;
}

// What the arena, rejects and names grew by since last time is there already: count it.
static void settle(sl_batch *batch) {
    size_t held = sl_batch_memory(batch);
    if (held > batch->charged_bytes)
        sl_budget_force(batch->budget, held - batch->charged_bytes);
    else
        sl_budget_give(batch->budget, batch->charged_bytes - held);
    batch->charged_bytes = held;
}

// One row more than were used: a decoder may have left the beginnings of a refused event
// there.
static void clear_valid(sl_batch *batch, uint32_t fields, uint32_t rows) {
    for (uint32_t i = 0; i < fields; i++)
        memset(batch->columns[i].valid, 0, rows);
}

static void forget(sl_batch *batch) {
    batch->rows = 0;
    batch->reject_count = 0;
    batch->proposal_count = 0;
    batch->drift = 0;
    if (batch->arena.capacity > ARENA_KEEP_BYTES)
        sl_buffer_fini(&batch->arena);
    else
        sl_buffer_clear(&batch->arena);
    if (batch->names.total_bytes != 0)
        sl_arena_reset(&batch->names);
}

sl_status sl_batch_prepare(sl_batch *batch, const sl_schema *schema, const uint8_t *raw,
                           const sl_record *records) {
    uint32_t capacity = rows_for(schema->count);
    size_t bytes = slab_size(schema, capacity);
    // The number of fields decides where `valid` lies; values of another type may lie
    // elsewhere, which is no matter, for they are undefined where valid is 0.
    bool same_place = batch->field_count == schema->count;
    uint32_t dirty = batch->rows < capacity ? batch->rows + 1 : capacity;
    if (bytes > batch->slab_bytes) {
        sl_status status = grow_slab(batch, bytes);
        if (status != SL_OK)
            return status;
        lay_out(batch, schema, capacity);
    } else {
        lay_out(batch, schema, capacity);
        clear_valid(batch, schema->count, same_place ? dirty : capacity);
    }
    forget(batch);
    settle(batch);
    batch->field_count = schema->count;
    batch->capacity = capacity;
    batch->schema = schema;
    batch->raw = raw;
    batch->records = records;
    return SL_OK;
}

bool sl_batch_present(const sl_batch *batch, uint32_t field, uint32_t row) {
    for (; field != 0; field = batch->schema->fields[field].parent)
        if (!batch->columns[field].valid[row])
            return false;
    return true;
}

static void json_members(const sl_batch *batch, uint32_t group, uint32_t row, sl_buffer *out) {
    const sl_field *fields = batch->schema->fields;
    bool first = true;
    sl_buffer_byte(out, '{');
    for (uint32_t f = fields[group].first_child; f != SL_NO_FIELD; f = fields[f].next_sibling) {
        if (!batch->columns[f].valid[row])
            continue;
        if (!first)
            sl_buffer_byte(out, ',');
        first = false;
        sl_buffer_json_string(out, fields[f].name, fields[f].name_length);
        sl_buffer_byte(out, ':');
        if (fields[f].type == SL_TYPE_GROUP) {
            json_members(batch, f, row, out);
            continue;
        }
        const sl_value value = sl_value_of(batch, f, row);
        size_t from = out->length;
        sl_value_json(&value, out);
        /* Where JSON text has an end of line, it is white space between tokens. */
        for (size_t i = from; fields[f].type == SL_TYPE_JSON && i < out->length; i++)
            if (out->bytes[i] == '\n' || out->bytes[i] == '\r')
                out->bytes[i] = ' ';
    }
    sl_buffer_byte(out, '}');
}

void sl_batch_row_json(const sl_batch *batch, uint32_t row, sl_buffer *out) { json_members(batch, 0, row, out); }

sl_span sl_batch_keep_text(sl_batch *batch, const void *text, size_t length) {
    size_t at = batch->arena.length;
    if (at >= ARENA_MAX_BYTES || length > ARENA_MAX_BYTES - at)
        batch->arena.failed = true; // An offset has 31 bits.
    sl_buffer_append(&batch->arena, text, length);
    if (batch->arena.failed)
        return (sl_span){.offset = SL_SPAN_ARENA, .length = 0};
    return (sl_span){.offset = (uint32_t)at | SL_SPAN_ARENA, .length = (uint32_t)length};
}

bool sl_batch_reject(sl_batch *batch, const sl_reject *reject) {
    if (batch->reject_count == batch->reject_capacity) {
        uint32_t capacity = batch->reject_capacity == 0 ? 64 : batch->reject_capacity * 2;
        sl_reject *rejects = sl_realloc(batch->rejects, capacity * sizeof *rejects);
        if (rejects == NULL)
            return false;
        batch->rejects = rejects;
        batch->reject_capacity = capacity;
    }
    batch->rejects[batch->reject_count++] = *reject;
    return true;
}

static void fill_arrival(sl_batch *batch, sl_column *column) {
    for (uint32_t row = 0; row < batch->rows; row++)
        column->values.i64[row] = sl_batch_arrival(batch, row);
    memset(column->valid, 1, batch->rows);
}

// Rows of one record lie together, so the last record's span serves nearly always.
static void fill_source(sl_batch *batch, sl_column *column, const char *const *sources) {
    uint32_t known = UINT32_MAX;
    sl_span span = {0};
    for (uint32_t row = 0; row < batch->rows; row++) {
        uint32_t source = batch->records[batch->row_record[row]].source;
        if (source != known) {
            span = sl_batch_keep_text(batch, sources[source], strlen(sources[source]));
            known = source;
        }
        column->values.span[row] = span;
    }
    memset(column->valid, 1, batch->rows);
}

void sl_batch_fill_origins(sl_batch *batch, const char *const *sources) {
    for (uint32_t i = 1; i < batch->schema->count; i++) {
        sl_origin origin = batch->schema->fields[i].origin;
        if (origin == SL_ORIGIN_PROCESSED_AT)
            fill_arrival(batch, &batch->columns[i]);
        else if (origin == SL_ORIGIN_SOURCE)
            fill_source(batch, &batch->columns[i], sources);
    }
}
