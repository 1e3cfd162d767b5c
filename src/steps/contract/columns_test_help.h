// What tests of contracts on columns share. Include it after cmocka.h.
#pragma once

#include "schema_of.h"
#include "sluice/decode.h"

#include <stdlib.h>

static const sl_contract_options options = {.spaced_times = true};

/** A contract beside columns, and events decoded into them. */
typedef struct fixture {
    sl_contract *contract;
    sl_schema *schema;
    sl_contract_split *split;
    sl_contract_checker *checker;
    sl_decoder *decoder;
    sl_batch *batch;
    uint8_t *raw;
    sl_record record;
} fixture;

/** @param columns Schema of the columns; NULL: the contract itself. */
static inline void open_fixture(fixture *f, const char *contract, const char *columns,
                                bool with_rest) {
    sl_error error = {.text = ""};
    sl_decoder_options decoding = {.simd = SL_SIMD_AUTO};
    *f = (fixture){0};
    if (sl_contract_compile(contract, strlen(contract), &options, &f->contract, &error) !=
        SL_OK)
        fail_msg("%s: %s", contract, error.text);
    const char *text = columns == NULL ? contract : columns;
    if (schema_of(text, with_rest, &f->schema, &error) != SL_OK)
        fail_msg("%s: %s", text, error.text);
    assert_int_equal(sl_contract_split_create(f->contract, f->schema, &f->split), SL_OK);
    assert_int_equal(sl_contract_checker_create(f->contract, f->split, &f->checker),
                     SL_OK);
    assert_int_equal(sl_decoder_create(f->schema, &decoding, &f->decoder), SL_OK);
    f->batch = sl_batch_create(NULL);
    assert_non_null(f->batch);
}

static inline void close_fixture(fixture *f) {
    sl_decoder_destroy(f->decoder);
    sl_batch_destroy(f->batch);
    sl_contract_checker_destroy(f->checker);
    sl_contract_split_unref(f->split);
    sl_schema_unref(f->schema);
    sl_contract_unref(f->contract);
    free(f->raw);
}

/** @return Rows; events that the columns refuse take none. */
static inline uint32_t decode(fixture *f, const char *events) {
    size_t length = strlen(events);
    free(f->raw);
    f->raw = calloc(1, length + SL_PADDING);
    memcpy(f->raw, events, length);
    f->record = (sl_record){.length = (uint32_t)length};
    assert_int_equal(sl_batch_prepare(f->batch, f->schema, f->raw, &f->record), SL_OK);
    sl_decode_input input = {0};
    assert_int_equal(sl_decode(f->decoder, f->batch, &input), SL_OK);
    return f->batch->rows;
}

/** Of all types, nested, closed, and few. */
static const char *const columns_list[] = {
    "{\"required\":[\"s\",\"g\"],\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{"
    "\"type\":\"integer\"},"
    "\"x\":{\"type\":\"number\"},\"b\":{\"type\":\"boolean\"},\"t\":{\"type\":\"string\","
    "\"format\":\"date-time\"},"
    "\"d\":{\"type\":\"string\",\"format\":\"date\"},\"m\":{\"type\":\"number\",\"x-"
    "decimal\":[9,2]},"
    "\"l\":{\"type\":\"array\"},\"o\":{\"type\":\"object\"},\"g\":{\"type\":\"object\","
    "\"required\":[\"k\"],"
    "\"properties\":{\"k\":{\"type\":\"string\"},\"h\":{\"type\":\"object\","
    "\"properties\":{\"z\":{\"type\":"
    "\"integer\"}}}}}}}",
    "{\"additionalProperties\":false,\"properties\":{\"s\":{\"type\":[\"string\","
    "\"null\"]},\"n\":{\"type\":"
    "[\"integer\",\"null\"]},\"x\":{\"type\":[\"number\",\"null\"]},\"b\":{},\"l\":{},"
    "\"m\":{\"type\":"
    "\"integer\"},\"g\":{\"type\":[\"object\",\"null\"],\"properties\":{\"k\":{\"type\":"
    "\"string\"},\"h\":{"
    "\"type\":\"number\"}}}}}",
    "{\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\"},\"s\":{\"type\":"
    "\"string\"}}}",
};
