// links: sluice_contract sluice_decode
// The bytes before the first NUL are a schema, those behind it are events, a line each.
// Whatever they are: compiling names a reason or succeeds, and the columns and the tree
// say the same of each event.

#include "../help/schema_of.h"

#include "sluice/decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char columns_text[] =
    "{\"required\":[\"s\"],\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{\"type\":["
    "\"integer\",\"null\"]},\"x\":{\"type\":\"number\"},\"b\":{\"type\":\"boolean\"},"
    "\"t\":{\"type\":\"string\",\"format\":\"date-time\"},\"d\":{\"type\":\"string\","
    "\"format\":\"date\"},\"m\":{\"type\":\"number\",\"x-decimal\":[9,2]},\"l\":{},"
    "\"g\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"}}}}}";

static void check_text(sl_contract_checker *checker, const uint8_t *text, size_t length,
                       bool *good) {
    sl_contract_refusal refusal;
    sl_status status = sl_contract_check(checker, text, length, &refusal);
    *good = status == SL_OK;
    if (status == SL_OK)
        return;
    if (status != SL_EINVAL || refusal.message_length == 0 ||
        strlen(refusal.keyword) == 0 || refusal.at + refusal.value_length > length)
        abort();
}

static void check_rows(const sl_contract *contract, const sl_schema *schema,
                       const uint8_t *raw, size_t length) {
    sl_contract_split *split;
    sl_contract_checker *checker, *plain;
    sl_decoder *decoder;
    sl_record record = {.length = (uint32_t)length};
    sl_decode_input input = {0};
    sl_decoder_options options = {.simd = SL_SIMD_AUTO};
    sl_batch *batch = sl_batch_create(NULL);
    const sl_contract_refused *refused;
    size_t count, next = 0;
    if (batch == NULL || sl_contract_split_create(contract, schema, &split) != SL_OK ||
        sl_contract_checker_create(contract, split, &checker) != SL_OK ||
        sl_contract_checker_create(contract, NULL, &plain) != SL_OK ||
        sl_decoder_create(schema, &options, &decoder) != SL_OK ||
        sl_batch_prepare(batch, schema, raw, &record) != SL_OK)
        abort();
    sl_status status = sl_decode(decoder, batch, &input);
    if (status != SL_OK && status != SL_EFULL)
        abort();
    if (sl_contract_run(checker, batch, 0, batch->rows, &refused, &count) != SL_OK)
        abort();
    for (uint32_t row = 0; row < batch->rows; row++) {
        bool good, run_good = !(next < count && refused[next].row == row);
        check_text(plain, raw + batch->row_begin[row], batch->row_length[row], &good);
        next += !run_good;
        if (good != run_good)
            abort();
    }
    sl_decoder_destroy(decoder);
    sl_contract_checker_destroy(plain);
    sl_contract_checker_destroy(checker);
    sl_contract_split_unref(split);
    sl_batch_destroy(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sl_schema *schema;
    if (schema == NULL && schema_of(columns_text, true, &schema, NULL) != SL_OK)
        abort();
    const uint8_t *nul = size == 0 ? NULL : memchr(data, 0, size);
    size_t text = nul == NULL ? size : (size_t)(nul - data);
    size_t events = nul == NULL ? 0 : size - text - 1;
    sl_contract_options options = {
        .spaced_times = true, .unknown_annotates = size & 1, .steps_max = 20000};
    sl_contract *contract;
    sl_error error = {.text = ""};
    if (sl_contract_compile((const char *)data, text, &options, &contract, &error) !=
        SL_OK) {
        if (error.text[0] == 0)
            abort();
        return 0;
    }
    uint8_t *raw = calloc(1, events + SL_PADDING);
    if (raw == NULL)
        abort();
    if (events != 0)
        memcpy(raw, nul + 1, events);
    sl_contract_checker *checker;
    bool ignored;
    if (sl_contract_checker_create(contract, NULL, &checker) != SL_OK)
        abort();
    check_text(checker, raw, events, &ignored);
    sl_contract_checker_destroy(checker);
    check_rows(contract, schema, raw, events);
    free(raw);
    sl_contract_unref(contract);
    return 0;
}
