// The columns that a contract gives.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schema_of.h"

static sl_schema *columns(const char *json, bool with_rest) {
    sl_schema *schema = NULL;
    sl_error error = {.text = ""};
    if (schema_of(json, with_rest, &schema, &error) != SL_OK)
        fail_msg("%s: %s", json, error.text);
    return schema;
}

static sl_field field_of(const sl_schema *schema, const char *path) {
    uint32_t index = sl_schema_find(schema, path);
    assert_int_not_equal(index, SL_NO_FIELD);
    return schema->fields[index];
}

/** All there is to say of the columns, as the ledger keeps it; the caller's to free. */
static char *stored(const char *json, bool with_rest) {
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_schema *schema = columns(json, with_rest);
    sl_schema_store(schema, &out);
    char *text = strdup(sl_buffer_cstr(&out));
    sl_buffer_fini(&out);
    sl_schema_unref(schema);
    return text;
}

static const char clicks[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"Clicks\","
    "\"type\":\"object\",\"required\":[\"id\",\"at\",\"nick\"],\"properties\":{"
    "\"id\":{\"type\":\"string\"},\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"day\":{\"type\":\"string\",\"format\":\"date\"},\"n\":{\"type\":\"integer\"},"
    "\"x\":{\"type\":[\"number\",\"null\"],\"description\":\"d\"},"
    "\"nick\":{\"type\":[\"null\",\"string\"]},"
    "\"price\":{\"type\":[\"string\",\"number\"],\"x-decimal\":[12,2]},"
    "\"ok\":{\"type\":\"boolean\",\"default\":false},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
    "\"free\":{\"type\":\"object\"},\"any\":true,"
    "\"geo\":{\"type\":\"object\",\"required\":[\"lat\"],\"properties\":{"
    "\"lat\":{\"type\":\"number\"},\"city\":{\"type\":\"string\"}}}}}";

static void a_schema_gives_typed_columns(void **state) {
    (void)state;
    sl_schema *s = columns(clicks, true);
    assert_int_equal(field_of(s, "id").type, SL_TYPE_STRING);
    assert_int_equal(field_of(s, "at").type, SL_TYPE_TIMESTAMP);
    assert_int_equal(field_of(s, "day").type, SL_TYPE_DATE);
    assert_int_equal(field_of(s, "n").type, SL_TYPE_INT64);
    assert_int_equal(field_of(s, "x").type, SL_TYPE_DOUBLE);
    assert_int_equal(field_of(s, "price").type, SL_TYPE_DECIMAL);
    assert_int_equal(field_of(s, "price").precision, 12);
    assert_int_equal(field_of(s, "price").scale, 2);
    assert_int_equal(field_of(s, "ok").type, SL_TYPE_BOOL);
    assert_int_equal(field_of(s, "tags").type, SL_TYPE_JSON);
    assert_int_equal(field_of(s, "free").type, SL_TYPE_JSON);
    assert_int_equal(field_of(s, "any").type, SL_TYPE_JSON);
    assert_int_equal(field_of(s, "geo").type, SL_TYPE_GROUP);
    assert_int_equal(field_of(s, "geo.lat").type, SL_TYPE_DOUBLE);
    assert_int_equal(s->rest, sl_schema_find(s, "_rest"));
    assert_int_equal(field_of(s, "_rest").origin, SL_ORIGIN_REST);
    sl_schema_unref(s);
}

static void required_and_null_decide_what_is_optional(void **state) {
    (void)state;
    sl_schema *s = columns(clicks, true);
    assert_true(field_of(s, "id").required);
    assert_false(field_of(s, "id").nullable);
    assert_true(field_of(s, "nick").required);
    assert_true(field_of(s, "nick").nullable);
    assert_false(field_of(s, "n").required);
    assert_true(field_of(s, "n").nullable);
    assert_false(field_of(s, "geo.lat").nullable);
    assert_true(field_of(s, "geo").nullable);
    assert_true(field_of(s, "any").nullable);
    sl_schema_unref(s);
}

static void a_closed_schema_has_no_rest(void **state) {
    (void)state;
    sl_schema *s =
        columns("{\"properties\":{\"a\":{\"type\":\"string\"},\"g\":{\"type\":\"object\","
                "\"properties\":{\"b\":true},\"additionalProperties\":false}},"
                "\"additionalProperties\":false}",
                true);
    assert_true(s->closed);
    assert_int_equal(s->rest, SL_NO_FIELD);
    sl_schema_unref(s);
    s = columns("{\"properties\":{\"a\":{\"type\":\"string\"}}}", false);
    assert_false(s->closed);
    assert_int_equal(s->rest, SL_NO_FIELD);
    sl_schema_unref(s);
}

static void what_is_no_one_type_is_json_text(void **state) {
    (void)state;
    static const char *const cases[] = {
        "{}",
        "true",
        "{\"type\":\"null\"}",
        "{\"type\":[\"string\",\"integer\"]}",
        "{\"type\":\"array\"}",
        "{\"type\":\"object\"}",
        "{\"type\":\"object\",\"properties\":{}}",
        "{\"properties\":{\"b\":true}}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"properties\":{\"a\":%s}}", cases[i]);
        sl_schema *s = columns(text, false);
        assert_int_equal(s->count, 2);
        assert_int_equal(field_of(s, "a").type, SL_TYPE_JSON);
        sl_schema_unref(s);
    }
}

static void formats_make_times_of_strings_alone(void **state) {
    (void)state;
    sl_schema *s =
        columns("{\"properties\":{\"a\":{\"type\":\"string\",\"format\":\"uuid\"},"
                "\"b\":{\"type\":\"integer\",\"format\":\"date\"}}}",
                false);
    assert_int_equal(field_of(s, "a").type, SL_TYPE_STRING);
    assert_int_equal(field_of(s, "b").type, SL_TYPE_INT64);
    sl_schema_unref(s);
}

static void columns_keep_the_order_of_declaration(void **state) {
    (void)state;
    char *found = stored("{\"required\":[\"b\",\"g\"],\"properties\":{\"z\":{},\"b\":{"
                         "\"type\":[\"string\",\"null\"]},\"g\":{\"type\":\"object\","
                         "\"required\":[\"x\"],\"properties\":{\"x\":{\"type\":["
                         "\"number\",\"integer\"]},\"m\":{\"type\":[\"number\","
                         "\"string\"],\"x-decimal\":[10,3]}}},\"a\":{\"type\":"
                         "\"boolean\"}}}",
                         true);
    assert_string_equal(found,
                        "{\"sluice_schema\":1,\"name\":\"s\",\"version\":1,\"inferred\":"
                        "false,\"frozen\":false,\"closed\":false,\"rest\":7,"
                        "\"fields\":[[\"z\",\"json\",\"event\",0,false,true,0,0],"
                        "[\"b\",\"string\",\"event\",0,true,true,0,0],"
                        "[\"g\",\"group\",\"event\",0,true,false,0,0],"
                        "[\"x\",\"double\",\"event\",3,true,false,0,0],"
                        "[\"m\",\"decimal\",\"event\",3,false,true,10,3],"
                        "[\"a\",\"bool\",\"event\",0,false,true,0,0],"
                        "[\"_rest\",\"json\",\"rest\",0,false,true,0,0]]}");
    free(found);
}

static void columns_come_through_references_and_all_of(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"{\"$ref\":\"#/$defs/"
         "e\",\"$defs\":{\"m\":{\"type\":\"number\",\"x-decimal\":[9,2],\"minimum\":0},"
         "\"e\":{\"required\":[\"a\"],\"properties\":{\"a\":{\"$ref\":\"#/$defs/m\"}}}}}",
         "{\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"number\",\"x-decimal\":"
         "[9,2]}}}"},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":[\"integer\",\"string\"]}}},{"
         "\"required\":[\"a\"],"
         "\"properties\":{\"b\":{\"enum\":[\"x\",\"y\"]},\"a\":{\"type\":[\"integer\","
         "\"null\"]}}}]}",
         "{\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{"
         "\"type\":\"string\"}}}"},
        {"{\"properties\":{\"a\":{\"enum\":[1,2,null]},\"b\":{\"const\":true},\"c\":{"
         "\"enum\":[1,2.5]},"
         "\"d\":{\"enum\":[1,\"x\"]},\"e\":false,\"\":{\"type\":\"string\"},\"f\":{"
         "\"type\":\"null\"}}}",
         "{\"properties\":{\"a\":{\"type\":[\"integer\",\"null\"]},\"b\":{\"type\":"
         "\"boolean\"},\"c\":{"
         "\"type\":\"number\"},\"d\":{},\"f\":{}}}"},
        {"{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"$"
         "ref\":\"#\"}}}",
         "{\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"type\":\"object\"}}"
         "}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *found = stored(pairs[i][0], true), *want = stored(pairs[i][1], true);
        assert_string_equal(found, want);
        free(found);
        free(want);
    }
}

static void a_contract_that_makes_no_columns_says_why(void **state) {
    (void)state;
    static const struct {
        const char *contract;
        sl_status status;
        const char *text;
    } cases[] = {
        {"{\"type\":\"array\"}", SL_EUNSUPPORTED, "/: an event is an object"},
        {"{\"properties\":{\"_rest\":{}}}", SL_EINVAL,
         "/properties/_rest: the name `_rest` is taken for unknown members"},
        {"{\"properties\":{\"a\":{\"x-decimal\":[3,1]}}}", SL_EUNSUPPORTED,
         "/properties/a/x-decimal: goes with number, integer or string alone"},
        {"{\"properties\":{\"a\":{\"type\":\"boolean\",\"x-decimal\":[3,1]}}}",
         SL_EUNSUPPORTED,
         "/properties/a/x-decimal: goes with number, integer or string alone"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_schema *schema;
        sl_error error = {.text = ""};
        assert_int_equal(schema_of(cases[i].contract, true, &schema, &error),
                         cases[i].status);
        assert_null(schema);
        assert_string_equal(error.text, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_schema_gives_typed_columns),
        cmocka_unit_test(required_and_null_decide_what_is_optional),
        cmocka_unit_test(a_closed_schema_has_no_rest),
        cmocka_unit_test(what_is_no_one_type_is_json_text),
        cmocka_unit_test(formats_make_times_of_strings_alone),
        cmocka_unit_test(columns_keep_the_order_of_declaration),
        cmocka_unit_test(columns_come_through_references_and_all_of),
        cmocka_unit_test(a_contract_that_makes_no_columns_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
