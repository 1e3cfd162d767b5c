// links: sluice_decode sluice_contract
// Lines of CSV, with names in the record and without: scalar and vector decoding say the same, whatever lies behind the
// record; each row's JSON is JSON, and decoding that gives the row.

#include "../../src/decode/decode_testing.h"
#include "../help/schema_of.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema_text[] =
    "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{\"id\":{\"type\":\"string\"},"
    "\"n\":{\"type\":[\"integer\",\"null\"]},\"x\":{\"type\":\"number\"},\"b\":{\"type\":\"boolean\"},"
    "\"t\":{\"type\":\"string\",\"format\":\"date-time\"},\"m\":{\"type\":\"number\",\"x-decimal\":[9,2]},"
    "\"l\":{\"type\":\"array\"},\"g\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},"
    "\"h\":{\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"integer\"}}}}}}}";

static char n[] = "n", id[] = "id", k[] = "g.k";
static char *const list[] = {n, id, k};
static const sl_decode_names names = {list, 3};

static void same(sl_format format, const sl_schema *schema, const uint8_t *data, size_t size) {
    sl_buffer out[2] = {SL_BUFFER_EMPTY, SL_BUFFER_EMPTY};
    static const sl_simd simd[2] = {SL_SIMD_SCALAR, SL_SIMD_AUTO};
    for (int i = 0; i < 2; i++) {
        uint8_t *copy = padded_copy(data, size, i == 0 ? '"' : ',');
        sl_decoder_options options = {.simd = simd[i], .event_bytes_max = 4096};
        if (decode_dump_as(format, &names, &out[i], schema, &options, copy, size, true) != SL_OK)
            abort();
        free(copy);
    }
    if (out[0].length != out[1].length || memcmp(out[0].bytes, out[1].bytes, out[0].length) != 0)
        abort();
    sl_buffer_fini(&out[0]);
    sl_buffer_fini(&out[1]);
}

/** What was made of the rows, as NDJSON, gives the same rows. */
static void again(sl_format format, const sl_schema *schema, const uint8_t *data, size_t size) {
    uint8_t *copy = padded_copy(data, size, 0);
    sl_decoder_options options = {0};
    sl_decoder *decoder;
    sl_batch *batch = sl_batch_create(NULL);
    sl_record record = {.length = (uint32_t)size, .format = format};
    sl_decode_input input = {.record = 0, .names = &names};
    sl_buffer json = SL_BUFFER_EMPTY, rows = SL_BUFFER_EMPTY, out = SL_BUFFER_EMPTY;
    if (batch == NULL || sl_decoder_create(schema, &options, &decoder) != SL_OK ||
        sl_batch_prepare(batch, schema, copy, &record) != SL_OK || sl_decode(decoder, batch, &input) != SL_OK)
        abort();
    for (uint32_t row = 0; row < batch->rows; row++) {
        uint32_t length;
        size_t at;
        const uint8_t *text = sl_batch_json(batch, row, &length);
        if (!sl_json_valid(text, length, &at) || batch->row_begin[row] + batch->row_length[row] > size)
            abort();
        sl_buffer_append(&json, text, length);
        sl_buffer_byte(&json, '\n');
    }
    uint32_t count = batch->rows;
    batch->reject_count = 0;
    dump_batch(&rows, batch, false);
    sl_buffer_printf(&rows, "accepted %u rejected 0\n", count);
    if (count != 0 && !sl_buffer_reserve(&json, SL_PADDING))
        abort();
    if (count != 0 && (decode_dump(&out, schema, &options, json.bytes, json.length, false) != SL_OK ||
                       out.length != rows.length || memcmp(out.bytes, rows.bytes, out.length) != 0))
        abort();
    sl_buffer_fini(&json);
    sl_buffer_fini(&rows);
    sl_buffer_fini(&out);
    sl_batch_destroy(batch);
    sl_decoder_destroy(decoder);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sl_schema *schemas[2];
    if (schemas[0] == NULL) {
        if (schema_of(schema_text, true, &schemas[0], NULL) != SL_OK)
            abort();
        schemas[1] = sl_schema_create("s");
        if (schemas[1] == NULL)
            abort();
        schemas[1]->inferred = true;
        schemas[1]->rest = sl_schema_add(schemas[1], 0, "_rest", 5, SL_TYPE_JSON);
        schemas[1]->fields[schemas[1]->rest].origin = SL_ORIGIN_REST;
    }
    if (size == 0 || size > 4096)
        return 0;
    sl_format format = {SL_FORMAT_CSV, data[0] & 1 ? SL_HEADER_PRESENT : SL_HEADER_ABSENT, data[0] & 2 ? '\t' : ','};
    for (int i = 0; i < 2; i++) {
        same(format, schemas[i], data + 1, size - 1);
        again(format, schemas[i], data + 1, size - 1);
    }
    return 0;
}
