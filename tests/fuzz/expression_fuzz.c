// links: sluice_expression
// A text is refused with a message, or compiles and answers; what it answers on a batch
// is what it answers for the same cells as values.

#include "sluice/expression.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const sl_expression_name names[] = {
    {"i", SL_TYPE_INT64, 0, 1},  {"d", SL_TYPE_DECIMAL, 2, 2},
    {"x", SL_TYPE_DOUBLE, 0, 3}, {"s", SL_TYPE_STRING, 0, 4},
    {"b", SL_TYPE_BOOL, 0, 5},   {"t", SL_TYPE_TIMESTAMP, 0, 6},
    {"n", SL_TYPE_INT64, 0, 7},
};
#define NAMES (sizeof names / sizeof *names)
#define ROWS 3u

static sl_schema *schema;
static sl_batch *batch;
static uint8_t raw[SL_PADDING + 8] = "abc\xc3\xa9xyz";

static void make_batch(void) {
    static const sl_record record = {0};
    schema = sl_schema_create("fuzz");
    for (size_t i = 0; i < NAMES; i++) {
        uint32_t field = sl_schema_add(schema, 0, names[i].path, 1, names[i].type);
        schema->fields[field].scale = names[i].scale;
    }
    batch = sl_batch_create(NULL);
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
        c[6].values.i64[row] = (int64_t)row - 1;
        c[7].values.i64[row] = 0;
    }
}

static void compare_row(sl_expression *expression, const sl_column *out, uint32_t row) {
    sl_value values[NAMES];
    for (uint32_t f = 1; f <= NAMES; f++)
        values[f - 1] = sl_value_of(batch, f, row);
    sl_value answer = sl_expression_value(expression, values);
    if (answer.null != !out->valid[row])
        abort();
    if (answer.null || answer.type == SL_TYPE_STRING)
        return;
    if (answer.type == SL_TYPE_BOOL ? answer.as.i64 != out->values.truth[row]
                                    : memcmp(&answer.as, &out->values.i64[row], 8) != 0)
        abort();
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
        const sl_column *out = sl_expression_run(expression, batch, &errors);
        if (out == NULL || errors > ROWS)
            abort();
        for (uint32_t row = 0; row < ROWS; row++)
            compare_row(expression, out, row);
    } else if (error.text[0] == 0 || error.status != status) {
        abort();
    }
    sl_expression_destroy(expression);
    sl_free(text);
    return 0;
}
