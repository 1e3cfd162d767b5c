// Values: canonical bytes, JSON text, row hashes, cells of a batch.

#include "sluice/batch.h"
#include "sluice/value.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static sl_value number(sl_type type, int64_t i64) {
    return (sl_value){.type = type, .as.i64 = i64};
}

static sl_value real(double f64) {
    return (sl_value){.type = SL_TYPE_DOUBLE, .as.f64 = f64};
}

static sl_value text(sl_type type, const char *bytes) {
    sl_value value = {.type = type};
    value.as.text.bytes = (const uint8_t *)bytes;
    value.as.text.length = strlen(bytes);
    return value;
}

static sl_value decimal(int64_t unscaled, uint8_t scale) {
    return (sl_value){.type = SL_TYPE_DECIMAL, .scale = scale, .as.i64 = unscaled};
}

static void json_is(sl_value value, const char *expected) {
    sl_buffer out = {0};
    sl_value_json(&value, &out);
    assert_string_equal(sl_buffer_cstr(&out), expected);
    sl_buffer_fini(&out);
}

static size_t samples(sl_value *out) {
    size_t n = 0;
    out[n++] = number(SL_TYPE_BOOL, 1);
    out[n++] = number(SL_TYPE_INT64, INT64_MIN);
    out[n++] = number(SL_TYPE_DATE, -719162);
    out[n++] = number(SL_TYPE_TIMESTAMP, 1767225600000000);
    out[n++] = real(-1.5e300);
    out[n++] = real((double)INFINITY);
    out[n++] = decimal(-12345, 2);
    out[n++] = text(SL_TYPE_STRING, "na\xc3\xafve");
    out[n++] = text(SL_TYPE_STRING, "");
    out[n++] = text(SL_TYPE_JSON, "[1, 2]");
    out[n++] = text(SL_TYPE_BYTES, "\x01\xff");
    for (int type = SL_TYPE_BOOL; type <= SL_TYPE_BYTES; type++)
        out[n++] = (sl_value){.type = (sl_type)type, .null = true};
    return n;
}

static void values_survive_their_bytes(void **state) {
    (void)state;
    sl_value in[32];
    size_t count = samples(in), at = 0;
    sl_buffer bytes = {0}, again = {0};
    for (size_t i = 0; i < count; i++)
        sl_value_encode(&in[i], &bytes);
    for (size_t i = 0; i < count; i++) {
        sl_value out;
        size_t used = sl_value_decode(bytes.bytes + at, bytes.length - at, &out);
        assert_int_not_equal(used, 0);
        assert_int_equal(out.type, in[i].type);
        assert_int_equal(out.null, in[i].null);
        assert_int_equal(out.scale, in[i].scale);
        sl_value_encode(&out, &again);
        at += used;
        assert_int_equal(again.length, at);
    }
    assert_memory_equal(bytes.bytes, again.bytes, bytes.length);
    sl_buffer_fini(&bytes);
    sl_buffer_fini(&again);
}

static void cut_bytes_are_no_value(void **state) {
    (void)state;
    sl_value in[32], out;
    size_t count = samples(in);
    for (size_t i = 0; i < count; i++) {
        sl_buffer bytes = {0};
        sl_value_encode(&in[i], &bytes);
        for (size_t length = 0; length < bytes.length; length++)
            assert_int_equal(sl_value_decode(bytes.bytes, length, &out), 0);
        assert_int_equal(sl_value_decode(bytes.bytes, bytes.length, &out), bytes.length);
        sl_buffer_fini(&bytes);
    }
}

static void only_canonical_bytes_are_read(void **state) {
    (void)state;
    static const uint8_t bad[][11] = {
        {SL_TYPE_GROUP, 0},
        {99, 0},
        {SL_TYPE_INT64, 2},
        {SL_TYPE_BOOL, 0, 2},
        {SL_TYPE_DECIMAL, 0, 19},
        {SL_TYPE_DOUBLE, 0, 0, 0, 0, 0, 0, 0, 0, 0x80},    // -0.0
        {SL_TYPE_DOUBLE, 0, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f}, // A NaN with a payload.
        {SL_TYPE_STRING, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3,
         4}, // A length beyond the bytes.
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sl_value out;
        assert_int_equal(sl_value_decode(bad[i], sizeof bad[i], &out), 0);
    }
}

static void equal_numbers_have_equal_bytes(void **state) {
    (void)state;
    sl_value pairs[][2] = {{real(0.0), real(-0.0)},
                           {real((double)NAN), real(-(double)NAN)},
                           {number(SL_TYPE_BOOL, 1), number(SL_TYPE_BOOL, 255)}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        sl_buffer a = {0}, b = {0};
        sl_value_encode(&pairs[i][0], &a);
        sl_value_encode(&pairs[i][1], &b);
        assert_int_equal(a.length, b.length);
        assert_memory_equal(a.bytes, b.bytes, a.length);
        sl_buffer_fini(&a);
        sl_buffer_fini(&b);
    }
}

static void values_have_json_texts(void **state) {
    (void)state;
    json_is(number(SL_TYPE_BOOL, 0), "false");
    json_is(number(SL_TYPE_INT64, INT64_MIN), "-9223372036854775808");
    json_is(real(0.1), "0.1");
    json_is(real(3), "3");
    json_is(real(1e300), "1e+300");
    json_is(real(0.1 + 0.2), "0.30000000000000004");
    json_is(real((double)INFINITY), "null");
    json_is(decimal(12345, 2), "123.45");
    json_is(decimal(-5, 3), "-0.005");
    json_is(decimal(INT64_MIN, 0), "-9223372036854775808");
    json_is(decimal(7, 0), "7");
    json_is(number(SL_TYPE_DATE, 20454), "\"2026-01-01\"");
    json_is(number(SL_TYPE_TIMESTAMP, 1767225600000000), "\"2026-01-01T00:00:00Z\"");
    json_is(text(SL_TYPE_STRING, "a\"b\n"), "\"a\\\"b\\n\"");
    json_is(text(SL_TYPE_JSON, "{\"a\":1}"), "{\"a\":1}");
    json_is(text(SL_TYPE_BYTES, ""), "\"\"");
    json_is(text(SL_TYPE_BYTES, "f"), "\"Zg==\"");
    json_is(text(SL_TYPE_BYTES, "fo"), "\"Zm8=\"");
    json_is(text(SL_TYPE_BYTES, "foo"), "\"Zm9v\"");
    json_is((sl_value){.type = SL_TYPE_INT64, .null = true}, "null");
}

static void cells_of_a_batch_become_values(void **state) {
    (void)state;
    sl_schema *schema = sl_schema_create("s");
    uint32_t group = sl_schema_add(schema, 0, "g", 1, SL_TYPE_GROUP);
    uint32_t name = sl_schema_add(schema, group, "n", 1, SL_TYPE_STRING);
    uint32_t price = sl_schema_add(schema, 0, "p", 1, SL_TYPE_DECIMAL);
    uint32_t ok = sl_schema_add(schema, 0, "ok", 2, SL_TYPE_BOOL);
    uint32_t x = sl_schema_add(schema, 0, "x", 1, SL_TYPE_DOUBLE);
    schema->fields[price].scale = 2;
    static const uint8_t raw[SL_PADDING] = "hello";
    static const sl_record record = {0};
    sl_batch *batch = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(batch, schema, raw, &record), SL_OK);
    batch->rows = 1;
    batch->columns[name].valid[0] = 1;
    batch->columns[name].values.span[0] = (sl_span){.offset = 1, .length = 3};
    batch->columns[price].valid[0] = 1;
    batch->columns[price].values.i64[0] = 1999;
    batch->columns[ok].valid[0] = 1;
    batch->columns[ok].values.truth[0] = 1;
    batch->columns[x].valid[0] = 1;
    batch->columns[x].values.f64[0] = 2.5;
    assert_true(sl_value_of(batch, name, 0).null); // Its object isn't there.
    batch->columns[group].valid[0] = 1;
    json_is(sl_value_of(batch, name, 0), "\"ell\"");
    json_is(sl_value_of(batch, price, 0), "19.99");
    json_is(sl_value_of(batch, ok, 0), "true");
    json_is(sl_value_of(batch, x, 0), "2.5");
    sl_schema_unref(schema);
    sl_batch_destroy(batch);
}

static void hash_is_that_of_the_canonical_bytes(void **state) {
    (void)state;
    static char long_text[1000];
    memset(long_text, 'x', sizeof long_text - 1);
    sl_value in[64];
    size_t count = samples(in);
    for (size_t length = 238; length <= 243; length++) { /* Around the one that needs memory. */
        in[count] = text(SL_TYPE_STRING, long_text);
        in[count++].as.text.length = length;
    }
    sl_buffer bytes = {0};
    for (size_t i = 0; i < count; i++) {
        sl_hash128 hash;
        assert_true(sl_value_hash(&in[i], &hash));
        sl_buffer_clear(&bytes);
        sl_value_encode(&in[i], &bytes);
        sl_hash128 want = sl_hash128_of(bytes.bytes, bytes.length);
        assert_memory_equal(&hash, &want, sizeof hash);
    }
    sl_buffer_fini(&bytes);
    sl_hash128 hash;
    sl_value whole = text(SL_TYPE_STRING, long_text);
    sl_memory_fail_at(1);
    assert_false(sl_value_hash(&whole, &hash));
    sl_memory_fail_at(0);
}

/* Texts of all lengths, rows that aren't kept and cells that aren't there, in a group that isn't always. */
static void keys_of_texts_are_the_hashes_of_their_cells(void **state) {
    (void)state;
    enum { ROWS = 333 };
    sl_schema *schema = sl_schema_create("s");
    uint32_t group = sl_schema_add(schema, 0, "g", 1, SL_TYPE_GROUP);
    uint32_t id = sl_schema_add(schema, group, "id", 2, SL_TYPE_BYTES);
    static uint8_t raw[2 * ROWS + SL_PADDING];
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i * i + 3 * i / 7);
    static const sl_record record = {0};
    sl_batch *batch = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(batch, schema, raw, &record), SL_OK);
    batch->rows = ROWS;
    for (uint32_t row = 0; row < ROWS; row++) {
        batch->verdict[row] = row % 11 == 5 ? SL_VERDICT_DEAD : SL_VERDICT_KEEP;
        batch->columns[group].valid[row] = row % 13 != 4;
        batch->columns[id].valid[row] = row % 13 != 4 && row % 7 != 3;
        batch->columns[id].values.span[row] = (sl_span){.offset = row, .length = row};
    }
    batch->columns[id].values.span[2] = sl_batch_keep_text(batch, "from elsewhere", 14);
    sl_value_key keys[ROWS];
    assert_true(sl_value_keys_of_texts(batch, id, 0, keys));
    for (uint32_t row = 0; row < ROWS; row++) {
        const sl_value cell = sl_value_of(batch, id, row);
        assert_int_equal(keys[row].there, batch->verdict[row] == SL_VERDICT_KEEP && !cell.null);
        sl_hash128 wanted;
        assert_true(sl_value_hash(&cell, &wanted));
        if (keys[row].there)
            assert_memory_equal(&keys[row].hash, &wanted, sizeof wanted);
    }
    sl_value_key later[ROWS] = {0};
    assert_true(sl_value_keys_of_texts(batch, id, 101, later));
    for (uint32_t row = 0; row < ROWS; row++) {
        assert_int_equal(later[row].there, row >= 101 && keys[row].there);
        if (later[row].there)
            assert_memory_equal(&later[row].hash, &keys[row].hash, sizeof keys[row].hash);
    }
    sl_memory_fail_at(1); /* For the first one of more than 240 bytes. */
    assert_false(sl_value_keys_of_texts(batch, id, 0, keys));
    sl_memory_fail_at(0);
    sl_schema_unref(schema);
    sl_batch_destroy(batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_texts_are_the_hashes_of_their_cells),
        cmocka_unit_test(hash_is_that_of_the_canonical_bytes),
        cmocka_unit_test(values_survive_their_bytes),
        cmocka_unit_test(cut_bytes_are_no_value),
        cmocka_unit_test(only_canonical_bytes_are_read),
        cmocka_unit_test(equal_numbers_have_equal_bytes),
        cmocka_unit_test(values_have_json_texts),
        cmocka_unit_test(cells_of_a_batch_become_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
