/* What tests of the decoder share: schemas, and what comes out whatever the processor and whatever lies behind the body. */
#pragma once

#include "decode_testing.h"
#include "schema_of.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline sl_schema *make_schema(const char *text, bool rest) {
    sl_schema *schema = NULL;
    sl_error error;
    if (schema_of(text, rest, &schema, &error) != SL_OK)
        fail_msg("%s", error.text);
    return schema;
}

static inline sl_schema *make_inferred(void) {
    sl_schema *schema = sl_schema_create("s");
    assert_non_null(schema);
    schema->inferred = true;
    schema->rest = sl_schema_add(schema, 0, "_rest", 5, SL_TYPE_JSON);
    schema->fields[schema->rest].origin = SL_ORIGIN_REST;
    schema->fields[schema->rest].nullable = true;
    return schema;
}

/** The same text from each variant, whatever lies behind the body. @param names NULL: none. */
static inline void expect_all(sl_format format, const sl_decode_names *names, const sl_schema *schema, const sl_decoder_options *base,
                              const char *body, size_t length, bool places, const char *expected) {
    static const int fills[] = {0, '}', '"', '1', ' ', ',', ':', '\\', '\n'};
    for (int simd = SL_SIMD_SCALAR; simd <= SL_SIMD_AVX2; simd++) {
        for (size_t i = 0; i < sizeof fills / sizeof *fills; i++) {
            sl_decoder_options options = *base;
            options.simd = (sl_simd)simd;
            uint8_t *copy = padded_copy(body, length, fills[i]);
            sl_buffer out = SL_BUFFER_EMPTY;
            sl_status status = decode_dump_as(format, names, &out, schema, &options, copy, length, places);
            free(copy);
            if (status != SL_EUNSUPPORTED) {
                assert_int_equal(status, SL_OK);
                assert_string_equal(sl_buffer_cstr(&out), expected);
            }
            sl_buffer_fini(&out);
        }
    }
}

/** Of JSON. */
static inline void expect_schema(const sl_schema *schema, const char *body, size_t length, uint32_t event_bytes_max,
                                 const char *expected) {
    expect_all((sl_format){SL_FORMAT_JSON}, NULL, schema, &(sl_decoder_options){.event_bytes_max = event_bytes_max}, body, length,
               false, expected);
}
