// Declaring enrichment's columns, and finding what encloses them.

#include "sluice/enrich.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static sl_schema *event_schema(void) {
    sl_schema *schema = sl_schema_create("s");
    sl_schema_add(schema, 0, "ip", 2, SL_TYPE_STRING);
    uint32_t client = sl_schema_add(schema, 0, "client", 6, SL_TYPE_GROUP);
    sl_schema_add(schema, client, "name", 4, SL_TYPE_STRING);
    return schema;
}

static void column_and_its_objects_are_declared_as_a_steps(void **state) {
    (void)state;
    sl_schema *schema = event_schema();
    uint32_t field = 0;
    assert_int_equal(
        sl_enrich_declare(schema, "device.os.family", SL_TYPE_STRING, &field, NULL),
        SL_OK);
    assert_int_equal(field, sl_schema_find(schema, "device.os.family"));
    assert_int_equal(schema->fields[field].origin, SL_ORIGIN_STEP);
    assert_int_equal(schema->fields[field].type, SL_TYPE_STRING);
    assert_true(schema->fields[field].nullable);
    uint32_t os = sl_schema_find(schema, "device.os"),
             device = sl_schema_find(schema, "device");
    assert_int_equal(schema->fields[os].type, SL_TYPE_GROUP);
    assert_int_equal(schema->fields[device].origin, SL_ORIGIN_STEP);
    sl_schema_unref(schema);
}

static void objects_of_the_event_may_enclose_a_column(void **state) {
    (void)state;
    sl_schema *schema = event_schema();
    uint32_t field = 0, before = schema->count;
    assert_int_equal(
        sl_enrich_declare(schema, "client.country", SL_TYPE_STRING, &field, NULL), SL_OK);
    assert_int_equal(schema->count, before + 1);
    assert_int_equal(schema->fields[field].parent, sl_schema_find(schema, "client"));
    sl_schema_unref(schema);
}

static void a_column_declared_twice_is_one(void **state) {
    (void)state;
    sl_schema *schema = event_schema();
    uint32_t first = 0, second = 0;
    assert_int_equal(sl_enrich_declare(schema, "geo.city", SL_TYPE_STRING, &first, NULL),
                     SL_OK);
    assert_int_equal(sl_enrich_declare(schema, "geo.city", SL_TYPE_STRING, &second, NULL),
                     SL_OK);
    assert_int_equal(first, second);
    sl_schema_unref(schema);
}

static void refusal(const char *path, sl_type type, sl_status expected,
                    const char *words) {
    sl_schema *schema = event_schema();
    uint32_t field = 0;
    sl_error error = {0};
    assert_int_equal(sl_enrich_declare(schema, "geo.city", SL_TYPE_STRING, &field, NULL),
                     SL_OK);
    assert_int_equal(sl_enrich_declare(schema, path, type, &field, &error), expected);
    assert_int_equal(field, SL_NO_FIELD);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", error.text, words);
    sl_schema_unref(schema);
}

static void what_cannot_be_declared_says_why(void **state) {
    (void)state;
    refusal("ip", SL_TYPE_STRING, SL_EEXIST, "the event has a member of that name");
    refusal("geo.city", SL_TYPE_INT64, SL_EEXIST, "it is a string already");
    refusal("ip.country", SL_TYPE_STRING, SL_EINVAL, "ip is a string, not an object");
    refusal("geo..x", SL_TYPE_STRING, SL_EINVAL, "empty");
    refusal("", SL_TYPE_STRING, SL_EINVAL, "empty");
    refusal("geo.", SL_TYPE_STRING, SL_EINVAL, "empty");
    char deep[2 * SL_DEPTH_MAX + 2];
    for (size_t i = 0; i < sizeof deep; i += 2)
        memcpy(deep + i, "a.", 2);
    deep[sizeof deep - 1] = 0;
    refusal(deep, SL_TYPE_STRING, SL_ELIMIT, "levels");
}

static void a_full_schema_takes_no_more_columns(void **state) {
    (void)state;
    sl_schema *schema = event_schema();
    char name[16];
    while (schema->count < SL_FIELDS_MAX) {
        int length = snprintf(name, sizeof name, "f%u", schema->count);
        sl_schema_add(schema, 0, name, (size_t)length, SL_TYPE_BOOL);
    }
    uint32_t field;
    assert_int_equal(sl_enrich_declare(schema, "x", SL_TYPE_STRING, &field, NULL),
                     SL_ELIMIT);
    sl_schema_unref(schema);
}

static void each_enclosing_object_is_found_once(void **state) {
    (void)state;
    sl_schema *schema = event_schema();
    uint32_t fields[4] = {SL_NO_FIELD}, groups[SL_ENRICH_GROUPS_MAX];
    assert_int_equal(sl_enrich_declare(schema, "d.a.x", SL_TYPE_STRING, &fields[1], NULL),
                     SL_OK);
    assert_int_equal(sl_enrich_declare(schema, "d.a.y", SL_TYPE_STRING, &fields[2], NULL),
                     SL_OK);
    assert_int_equal(sl_enrich_declare(schema, "d.b.x", SL_TYPE_STRING, &fields[3], NULL),
                     SL_OK);
    assert_int_equal(sl_enrich_groups(schema, fields, 4, groups), 3);
    assert_int_equal(groups[0], sl_schema_find(schema, "d.a"));
    assert_int_equal(groups[1], sl_schema_find(schema, "d"));
    assert_int_equal(groups[2], sl_schema_find(schema, "d.b"));
    sl_schema_unref(schema);
}

static void out_of_memory_is_told(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        sl_schema *schema = event_schema();
        uint32_t field;
        sl_memory_fail_at(n);
        sl_status status =
            sl_enrich_declare(schema, "a.b.c", SL_TYPE_STRING, &field, NULL);
        failed = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        assert_int_equal(status, failed ? SL_ENOMEM : SL_OK);
        sl_schema_unref(schema);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(column_and_its_objects_are_declared_as_a_steps),
        cmocka_unit_test(objects_of_the_event_may_enclose_a_column),
        cmocka_unit_test(a_column_declared_twice_is_one),
        cmocka_unit_test(what_cannot_be_declared_says_why),
        cmocka_unit_test(a_full_schema_takes_no_more_columns),
        cmocka_unit_test(each_enclosing_object_is_found_once),
        cmocka_unit_test(out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
