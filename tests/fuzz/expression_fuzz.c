// links: sluice_expression
// A text is refused with a message, or compiles and answers; what it answers on a batch
// is what it answers for the same cells as values, what it writes into a column, and
// only a row without an answer has a reason.

#include "sluice/expression.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const sl_expression_name names[] = {
    {"i", SL_TYPE_INT64, 0, 1},  {"d", SL_TYPE_DECIMAL, 2, 2},
    {"x", SL_TYPE_DOUBLE, 0, 3}, {"s", SL_TYPE_STRING, 0, 4},
    {"b", SL_TYPE_BOOL, 0, 5},   {"t", SL_TYPE_TIMESTAMP, 0, 6},
    {"n", SL_TYPE_INT64, 0, 7},  {"a", SL_TYPE_DATE, 0, 8},
};
#define NAMES (sizeof names / sizeof *names)
#define ROWS 3u
#define TARGET (NAMES + 1) // The fields to assign to, one of each type, follow.

static sl_schema *schema;
static sl_batch *batch;
static uint8_t raw[SL_PADDING + 8] = "abc\xc3\xa9xyz";

static void make_batch(void) {
    static const sl_type types[] = {SL_TYPE_BOOL,    SL_TYPE_INT64, SL_TYPE_DOUBLE,
                                    SL_TYPE_DECIMAL, SL_TYPE_DATE,  SL_TYPE_TIMESTAMP,
                                    SL_TYPE_STRING};
    static const sl_record record = {0};
    schema = sl_schema_create("fuzz");
    for (size_t i = 0; i < NAMES; i++) {
        uint32_t field = sl_schema_add(schema, 0, names[i].path, 1, names[i].type);
        schema->fields[field].scale = names[i].scale;
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        sl_schema_add(schema, 0, &"ABCDEFG"[i], 1, types[i]);
    batch = sl_batch_create(NULL);
    if (sl_batch_prepare(batch, schema, raw, &record) != SL_OK)
        abort();
}

static void fill_batch(void) {
    static const sl_record record = {0};
    if (sl_batch_prepare(batch, schema, raw, &record) != SL_OK)
        abort();
    batch->rows = ROWS;
    for (uint32_t row = 0; row < ROWS; row++) {
        sl_column *c = batch->columns;
        for (uint32_t f = 1; f <= NAMES; f++)
            c[f].valid[row] = f != 7 && (row != 2 || f % 2 == 0);
        c[1].values.i64[row] = row == 0 ? INT64_MIN : 7;
        c[2].values.i64[row] = 12345 - 20000 * (int64_t)row;
        c[3].values.f64[row] = row == 0 ? 2.5 : -1e300;
        c[4].values.span[row] = (sl_span){row, 5};
        c[5].values.truth[row] = row == 0;
        c[6].values.i64[row] = row == 0 ? INT64_MAX : (int64_t)row - 1;
        c[7].values.i64[row] = 0;
        c[8].values.i64[row] = row == 0 ? INT64_MIN : 20000;
    }
}

static bool same(const sl_value *a, const sl_value *b) {
    if (a->null || b->null)
        return a->null == b->null;
    if (a->type == SL_TYPE_STRING)
        return a->as.text.length == b->as.text.length &&
               (a->as.text.length == 0 ||
                memcmp(a->as.text.bytes, b->as.text.bytes, a->as.text.length) == 0);
    return memcmp(&a->as, &b->as, 8) == 0;
}

static sl_value cell_of(sl_expression *e, const sl_column *out, uint32_t row) {
    sl_value cell = {.type = sl_expression_type(e), .null = !out->valid[row]};
    if (cell.null)
        return cell;
    if (cell.type == SL_TYPE_STRING) {
        cell.as.text.bytes = sl_expression_text(e, batch, out->values.span[row]);
        cell.as.text.length = out->values.span[row].length;
    } else if (cell.type == SL_TYPE_BOOL) {
        cell.as.i64 = out->values.truth[row];
    } else {
        memcpy(&cell.as, &out->values.i64[row], 8);
    }
    return cell;
}

static void compare_values(sl_expression *e, const sl_column *out) {
    for (uint32_t row = 0; row < ROWS; row++) {
        sl_value values[NAMES];
        for (uint32_t f = 1; f <= NAMES; f++)
            values[f - 1] = sl_value_of(batch, f, row);
        sl_value answer = sl_expression_value(e, values), cell = cell_of(e, out, row);
        if (!same(&answer, &cell))
            abort();
        sl_error error = {0};
        sl_status status = sl_expression_explain(e, batch, row, &error);
        if (status != SL_OK && (!cell.null || error.text[0] == 0))
            abort();
    }
}

// Into the field of its type. `out` stays as it is while columns are written.
static void compare_assigned(sl_expression *e, const sl_column *out, uint64_t errors) {
    uint32_t field = TARGET;
    while (field < schema->count && schema->fields[field].type != sl_expression_type(e))
        field++;
    schema->fields[field].scale = sl_expression_scale(e);
    uint64_t failed = 0;
    if (sl_expression_assign(e, batch, field, &failed) != SL_OK || failed != errors)
        abort();
    for (uint32_t row = 0; row < ROWS; row++) {
        sl_value assigned = sl_value_of(batch, field, row), cell = cell_of(e, out, row);
        if (!same(&assigned, &cell))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (batch == NULL)
        make_batch();
    char *text = sl_strndup((const char *)data, size);
    sl_expression *expression = NULL;
    sl_error error = {0};
    sl_status status = sl_expression_compile_names(text, names, NAMES, size % 2 == 1,
                                                   &expression, &error);
    if (status == SL_OK) {
        uint64_t errors = 0;
        fill_batch();
        const sl_column *out = sl_expression_run(expression, batch, &errors);
        if (out == NULL || errors > ROWS)
            abort();
        compare_values(expression, out);
        compare_assigned(expression, out, errors);
    } else if (error.text[0] == 0 || error.status != status) {
        abort();
    }
    sl_expression_destroy(expression);
    sl_free(text);
    return 0;
}
