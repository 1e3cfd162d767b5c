/* Schemas that grow with what comes: what is proposed, how types widen, and what drifts. */
#include "decode_test_help.h"

static void inferred_schema_proposes_what_it_lacks(void **state) {
    (void)state;
    sl_schema *schema = make_inferred();
    const char *body =
        "{\"a\":1,\"b\":\"x\",\"c\":{\"d\":true,\"e\":{\"f\":1.5,\"e\":{}}},\"l\":[1],"
        "\"z\":null,\"timestamp\":\"2026-01-01T00:00:00Z\",\"big\":99999999999999999999}"
        "\n"
        "{\"a\":1,\"b\":2}\n{\"new\":1,\"bad\":}\n";
    expect_schema(
        schema, body, strlen(body), 0,
        "row: _rest={\"a\":1,\"b\":\"x\",\"c\":{\"d\":true,\"e\":{\"f\":1.5,\"e\":{}}},"
        "\"l\":[1],\"z\":null,\"timestamp\":\"2026-01-01T00:00:00Z\","
        "\"big\":99999999999999999999}\n"
        "row: _rest={\"a\":1,\"b\":2}\n"
        "reject #2 145+16 at 15 syntax : no value\n"
        "proposal 0/a int64\nproposal 0/b string\nproposal 0/c/d bool\n"
        "proposal 0/c/e/f double\nproposal 0/l json\nproposal 0/timestamp timestamp\n"
        "proposal 0/big string\nproposal 0/b int64\naccepted 2 rejected 1\n");
    sl_schema_unref(schema);
}

static void inferred_types_widen_or_drift(void **state) {
    (void)state;
    sl_schema *schema = make_inferred();
    uint32_t n = sl_schema_add(schema, 0, "n", 1, SL_TYPE_INT64);
    uint32_t s = sl_schema_add(schema, 0, "s", 1, SL_TYPE_STRING);
    uint32_t g = sl_schema_add(schema, 0, "g", 1, SL_TYPE_GROUP);
    uint32_t v = sl_schema_add(schema, g, "v", 1, SL_TYPE_BOOL);
    schema->fields[n].nullable = schema->fields[s].nullable = true;
    schema->fields[g].nullable = schema->fields[v].nullable = true;
    const char *body = "{\"n\":1.5,\"s\":2.50,\"g\":5}\n{\"n\":\"t\",\"g\":{\"v\":1}}\n";
    expect_schema(
        schema, body, strlen(body), 0,
        "row: _rest={\"n\":1.5,\"g\":5} s=2.50\n"
        "row: _rest={\"n\":\"t\",\"g\":{\"v\":1}} g={}\n"
        "proposal 0/n double\nproposal 0/n string\nproposal 4/v int64\ndrift 1\n"
        "accepted 2 rejected 0\n");
    schema->frozen = true;
    expect_schema(schema, body, strlen(body), 0,
                  "row: _rest={\"n\":1.5,\"g\":5} s=2.50\n"
                  "row: _rest={\"n\":\"t\",\"g\":{\"v\":1}} g={}\ndrift 4\n"
                  "accepted 2 rejected 0\n");
    sl_schema_unref(schema);
}

static void integers_that_a_double_would_round_drift(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool survives;
    } cases[] = {
        {"9007199254740992", true},     // 2^53
        {"9007199254740993", false},
        {"9007199254740994", true},
        {"-9007199254740993", false},
        {"4503599627370497.5", true},   // Not an integer: rounded as any fraction.
        {"9007199254740993.0", true},
        {"9007199254740993e0", true},
        {"1234567890123456789", false}, // An identifier.
        {"1234567890123456800", true},  // As programs print that know doubles only.
        {"9223372036854775807", false},
        {"-9223372036854775808", true}, // 2^63
        {"100000000000000000000", true},
        {"100000000000000000001", false},
        {"123456789012345680000", true},
        {"123456789012345683968", true},
        {"1208925819614629174706176", true}, // 2^80
        {"1208925819614629174706177", false},
        {"0", true},
    };
    sl_schema *schema = make_inferred();
    uint32_t x = sl_schema_add(schema, 0, "x", 1, SL_TYPE_DOUBLE);
    schema->fields[x].nullable = schema->frozen = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        // In front of other bytes, and as the last ones of the body.
        for (int padded = 0; padded < 2; padded++) {
            char body[200], row[200];
            int length = snprintf(body, sizeof body, "{\"x\":%s}%*s", cases[i].text,
                                  padded ? 60 : 0, "");
            if (cases[i].survives)
                snprintf(row, sizeof row, "row: x=%.17g\naccepted 1 rejected 0\n",
                         strtod(cases[i].text, NULL));
            else
                snprintf(row, sizeof row,
                         "row: _rest={\"x\":%s}\ndrift 1\naccepted 1 rejected 0\n",
                         cases[i].text);
            expect_schema(schema, body, (size_t)length, 0, row);
        }
    }
    // Until the types freeze, the column may become text, where an integer beyond int64 is whole.
    schema->frozen = false;
    expect_schema(schema, "{\"x\":100000000000000000001}{\"x\":9007199254740993}", 49, 0,
                  "row: _rest={\"x\":100000000000000000001}\n"
                  "row: _rest={\"x\":9007199254740993}\n"
                  "proposal 0/x string\ndrift 1\naccepted 2 rejected 0\n");
    // Who says `number` has chosen doubles.
    schema->inferred = false;
    expect_schema(schema, "{\"x\":9007199254740993}", 22, 0,
                  "row: x=9007199254740992\naccepted 1 rejected 0\n");
    sl_schema_unref(schema);
}

static void escaped_nul_in_an_inferred_string_column_drifts(void **state) {
    (void)state;
    sl_schema *schema = make_inferred();
    uint32_t s = sl_schema_add(schema, 0, "s", 1, SL_TYPE_STRING);
    schema->fields[s].nullable = true;
    const char *body = "{\"s\":\"a\\u0000\"}\n{\"s\":\"b\"}\n{\"s\":1}\n";
    expect_schema(schema, body, strlen(body), 0,
                  "row: _rest={\"s\":\"a\\u0000\"}\nrow: s=b\nrow: s=1\ndrift 1\n"
                  "accepted 3 rejected 0\n");
    sl_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inferred_schema_proposes_what_it_lacks),
        cmocka_unit_test(inferred_types_widen_or_drift),
        cmocka_unit_test(integers_that_a_double_would_round_drift),
        cmocka_unit_test(escaped_nul_in_an_inferred_string_column_drifts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
