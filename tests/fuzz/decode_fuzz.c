// links: sluice_decode sluice_contract PkgConfig::jansson
// Scalar and vector decoding say the same of any body, with a schema and without one;
// jansson agrees on what is one JSON text. A look at some members takes every event that a
// schema takes, at its place, and there it is taken again alone.

#include "../../src/decode/decode_testing.h"
#include "../help/schema_of.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema_text[] =
    "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{\"id\":{\"type\":"
    "\"string\"},"
    "\"n\":{\"type\":[\"integer\",\"null\"]},\"x\":{\"type\":\"number\"},"
    "\"b\":{\"type\":\"boolean\"},\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"d\":{\"type\":\"string\",\"format\":\"date\"},"
    "\"m\":{\"type\":\"number\",\"x-decimal\":[9,2]},\"l\":{\"type\":\"array\"},"
    "\"g\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},"
    "\"h\":{\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"integer\"}}}}}}}";

static void same(const sl_schema *schema, const uint8_t *data, size_t size) {
    sl_buffer out[2] = {SL_BUFFER_EMPTY, SL_BUFFER_EMPTY};
    static const sl_simd simd[2] = {SL_SIMD_SCALAR, SL_SIMD_AUTO};
    for (int i = 0; i < 2; i++) {
        uint8_t *copy = padded_copy(data, size, i == 0 ? '"' : '}');
        sl_decoder_options options = {.simd = simd[i], .event_bytes_max = 4096};
        if (decode_dump(&out[i], schema, &options, copy, size, true) != SL_OK)
            abort();
        free(copy);
    }
    if (out[0].length != out[1].length ||
        memcmp(out[0].bytes, out[1].bytes, out[0].length) != 0)
        abort();
    sl_buffer_fini(&out[0]);
    sl_buffer_fini(&out[1]);
}

static sl_decoder *decoder_for(const sl_schema *schema, bool lenient, sl_batch *batch,
                               const uint8_t *body, const sl_record *record) {
    sl_decoder *decoder;
    sl_decoder_options options = {.lenient = lenient};
    if (sl_decoder_create(schema, &options, &decoder) != SL_OK ||
        sl_batch_prepare(batch, schema, body, record) != SL_OK)
        abort();
    return decoder;
}

static uint32_t broken(const sl_batch *batch) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->reject_count; i++)
        count += batch->rejects[i].code == SL_CODE_SYNTAX || batch->rejects[i].code == SL_CODE_TOO_DEEP;
    return count;
}

// What a look found is decoded again, event by event: as in one pass over the whole body, but for what breaks only
// there (a NUL in a column of texts), where a pass goes on elsewhere.
static void look(const sl_schema *schema, const uint8_t *data, size_t size) {
    uint8_t *copy = padded_copy(data, size, 0);
    const sl_record record = {.length = (uint32_t)size};
    sl_batch *seen = sl_batch_create(NULL), *whole = sl_batch_create(NULL), *alone = sl_batch_create(NULL);
    sl_decoder *decoders[3] = {decoder_for(schema, true, seen, copy, &record),
                               decoder_for(schema, false, whole, copy, &record),
                               decoder_for(schema, false, alone, copy, &record)};
    sl_decode_input inputs[2] = {{0}};
    sl_status status = sl_decode(decoders[0], seen, &inputs[0]);
    if (status == SL_OK)
        status = sl_decode(decoders[1], whole, &inputs[1]);
    if (status == SL_OK && broken(seen) != broken(whole))
        status = SL_EAGAIN;
    for (uint32_t row = 0; status == SL_OK && row < seen->rows; row++) {
        const sl_decode_place place = {.index = sl_batch_index(seen, row),
                                       .begin = seen->row_begin[row],
                                       .length = seen->row_length[row]};
        bool kept;
        status = sl_decode_event(decoders[2], alone, &place, &kept);
    }
    for (uint32_t row = 0, at = 0; status == SL_OK && row < whole->rows; row++, at++) {
        while (at < alone->rows && alone->row_begin[at] != whole->row_begin[row])
            at++;
        if (at == alone->rows || alone->row_length[at] != whole->row_length[row])
            abort();
    }
    for (int i = 0; i < 3; i++)
        sl_decoder_destroy(decoders[i]);
    sl_batch_destroy(seen);
    sl_batch_destroy(whole);
    sl_batch_destroy(alone);
    free(copy);
}

static void judge(const uint8_t *data, size_t size) {
    json_error_t error;
    json_t *json =
        json_loadb((const char *)data, size,
                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    bool valid = sl_json_valid(data, size, NULL);
    enum json_error_code code =
        json == NULL ? json_error_code(&error) : json_error_unknown;
    // jansson's own limits: large numbers, NUL in keys, depth 2,048 where ours is 64.
    bool limits = code == json_error_numeric_overflow ||
                  code == json_error_null_byte_in_key ||
                  code == json_error_stack_overflow;
    size_t brackets = 0;
    for (size_t i = 0; i < size; i++)
        brackets += data[i] == '[' || data[i] == '{';
    if (!limits && brackets <= SL_DEPTH_MAX && valid != (json != NULL))
        abort();
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sl_schema *schemas[3];
    if (schemas[0] == NULL) {
        if (schema_of(schema_text, true, &schemas[0], NULL) != SL_OK)
            abort();
        schemas[1] = sl_schema_copy(schemas[0]);
        schemas[2] = sl_schema_create("s");
        if (schemas[1] == NULL || schemas[2] == NULL)
            abort();
        schemas[1]->inferred = schemas[2]->inferred = true;
        schemas[2]->rest = sl_schema_add(schemas[2], 0, "_rest", 5, SL_TYPE_JSON);
        schemas[2]->fields[schemas[2]->rest].origin = SL_ORIGIN_REST;
    }
    for (int i = 0; i < 3; i++)
        same(schemas[i], data, size);
    look(schemas[0], data, size);
    if (size != 0)
        judge(data, size);
    return 0;
}
