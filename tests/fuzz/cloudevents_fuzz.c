// links: sluice_http sluice_decode
// CloudEvents. 's' and a body: scalar and vector decoding say the same of it, and it refuses what plain JSON refuses. 'h' and a
// request: attributes in its headers make one JSON object, whose syntax nobody refuses.

#include "../../src/decode/decode_testing.h"
#include "../../src/intake/http/cloudevents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sl_schema *schema;

static sl_buffer decoded(sl_format_kind kind, sl_simd simd, const uint8_t *data, size_t size, char fill) {
    const sl_decoder_options options = {.simd = simd};
    sl_buffer out = SL_BUFFER_EMPTY;
    uint8_t *copy = padded_copy(data, size, fill);
    if (decode_dump_as((sl_format){.kind = (uint8_t)kind}, NULL, &out, schema, &options, copy, size, true) != SL_OK)
        abort();
    free(copy);
    return out;
}

static unsigned accepted(sl_buffer *out) {
    const char *text = sl_buffer_cstr(out), *at = text;
    for (const char *next = text; (next = strstr(next, "\naccepted ")) != NULL; next++)
        at = next + 1;
    return (unsigned)strtoul(at + 9, NULL, 10);
}

static void body(const uint8_t *data, size_t size) {
    sl_buffer scalar = decoded(SL_FORMAT_CLOUDEVENTS, SL_SIMD_SCALAR, data, size, '"');
    sl_buffer vector = decoded(SL_FORMAT_CLOUDEVENTS, SL_SIMD_AUTO, data, size, '}');
    sl_buffer json = decoded(SL_FORMAT_JSON, SL_SIMD_AUTO, data, size, 0);
    if (scalar.length != vector.length || memcmp(scalar.bytes, vector.bytes, scalar.length) != 0 ||
        accepted(&scalar) > accepted(&json))
        abort();
    sl_buffer_fini(&scalar);
    sl_buffer_fini(&vector);
    sl_buffer_fini(&json);
}

static void ignore(void *context, const void *bytes, size_t length) {
    (void)context;
    (void)bytes;
    (void)length;
}

static void handle(void *context, const sl_http_request *request) {
    const char *why;
    sl_buffer out = SL_BUFFER_EMPTY;
    (void)context;
    if (http_is_cloudevent(request->exchange) && http_cloudevent(request, &out, &why) == SL_OK &&
        (!sl_json_valid(out.bytes, out.length, NULL) || out.bytes[0] != '{'))
        abort();
    sl_buffer_fini(&out);
    sl_http_reply(request->exchange, 200, "text/plain", "", "", 0);
}

static void request(const uint8_t *data, size_t size) {
    const sl_http_options options = {.body_bytes_max = 65536, .handler = handle};
    sl_http_connection *connection = sl_http_connection_create(&options, ignore, NULL);
    if (connection == NULL)
        abort();
    sl_http_connection_feed(connection, data, size);
    sl_http_connection_finish(connection);
    sl_http_connection_destroy(connection);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (schema == NULL) {
        schema = sl_schema_create("s");
        if (schema == NULL)
            abort();
        schema->inferred = true;
        schema->rest = sl_schema_add(schema, 0, "_rest", 5, SL_TYPE_JSON);
        schema->fields[schema->rest].origin = SL_ORIGIN_REST;
        schema->fields[schema->rest].nullable = true;
    }
    if (size == 0 || size > 8192)
        return 0;
    if (data[0] == 's')
        body(data + 1, size - 1);
    else if (data[0] == 'h')
        request(data + 1, size - 1);
    return 0;
}
