// Schemas: the tree, the stored form, and how an inferred one grows.

#include "sluice/schema.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static sl_field field_of(const sl_schema *schema, const char *path) {
    uint32_t index = sl_schema_find(schema, path);
    assert_int_not_equal(index, SL_NO_FIELD);
    return schema->fields[index];
}

/** A bit of everything; NULL when out of memory. */
static sl_schema *clicks(void) {
    sl_schema *s = sl_schema_create("clicks");
    if (s == NULL)
        return NULL;
    uint32_t id = sl_schema_add(s, 0, "id", 2, SL_TYPE_STRING);
    uint32_t price = sl_schema_add(s, 0, "price", 5, SL_TYPE_DECIMAL);
    uint32_t geo = sl_schema_add(s, 0, "geo", 3, SL_TYPE_GROUP);
    uint32_t lat =
        geo == SL_NO_FIELD ? geo : sl_schema_add(s, geo, "lat", 3, SL_TYPE_DOUBLE);
    uint32_t at = sl_schema_add(s, 0, "at", 2, SL_TYPE_TIMESTAMP);
    s->rest = sl_schema_add(s, 0, "_rest", 5, SL_TYPE_JSON);
    if (id == SL_NO_FIELD || price == SL_NO_FIELD || lat == SL_NO_FIELD ||
        at == SL_NO_FIELD || s->rest == SL_NO_FIELD) {
        sl_schema_unref(s);
        return NULL;
    }
    s->fields[id].required = s->fields[at].required = true;
    s->fields[id].nullable = false;
    s->fields[price].precision = 12;
    s->fields[price].scale = 2;
    s->fields[s->rest].origin = SL_ORIGIN_REST;
    return s;
}

// ---- The tree
// --------------------------------------------------------------------------------

static void children_keep_the_order_of_declaration(void **state) {
    (void)state;
    sl_schema *schema = sl_schema_create("s");
    uint32_t group = sl_schema_add(schema, 0, "data", 4, SL_TYPE_GROUP);
    for (char c = 'a'; c <= 'z'; c++) {
        sl_schema_add(schema, 0, &c, 1, SL_TYPE_INT64);
        sl_schema_add(schema, group, &c, 1, SL_TYPE_STRING);
    }
    char expected = 'a';
    for (uint32_t i = schema->fields[group].first_child; i != SL_NO_FIELD;
         i = schema->fields[i].next_sibling) {
        char path[] = {'d', 'a', 't', 'a', '.', expected, 0};
        assert_string_equal(schema->fields[i].path, path);
        assert_int_equal(schema->fields[i].name[0], expected++);
    }
    assert_int_equal(expected, 'z' + 1);
    assert_int_equal(schema->count, 2 + 2 * 26);
    sl_schema_unref(schema);
}

static void dotted_paths_find_nested_members_and_keys_with_dots(void **state) {
    (void)state;
    sl_schema *schema = sl_schema_create("s");
    uint32_t data = sl_schema_add(schema, 0, "data", 4, SL_TYPE_GROUP);
    uint32_t place = sl_schema_add(schema, data, "place", 5, SL_TYPE_STRING);
    uint32_t dotted = sl_schema_add(schema, 0, "k8s.pod", 7, SL_TYPE_STRING);
    assert_int_equal(sl_schema_find(schema, "data.place"), place);
    assert_int_equal(sl_schema_find(schema, "data"), data);
    assert_int_equal(sl_schema_find(schema, "k8s.pod"), dotted);
    assert_int_equal(sl_schema_find(schema, "data.plac"), SL_NO_FIELD);
    assert_int_equal(sl_schema_find(schema, "data.place.x"), SL_NO_FIELD);
    assert_int_equal(sl_schema_find(schema, ""), SL_NO_FIELD);
    assert_int_equal(sl_schema_find(schema, "."), SL_NO_FIELD);
    sl_schema_unref(schema);
}

static void a_copy_shares_nothing(void **state) {
    (void)state;
    sl_schema *schema = clicks();
    schema->version = 7;
    sl_schema *copy = sl_schema_copy(schema);
    sl_buffer before = {0}, after = {0};
    sl_schema_store(schema, &before);
    sl_schema_unref(schema);
    sl_schema_store(copy, &after);
    assert_string_equal(sl_buffer_cstr(&before), sl_buffer_cstr(&after));
    assert_int_equal(copy->references, 1);
    sl_schema_unref(copy);
    sl_buffer_fini(&before);
    sl_buffer_fini(&after);
}

static void the_last_reference_frees(void **state) {
    (void)state;
    sl_schema *schema = sl_schema_create("s");
    sl_schema *again = sl_schema_ref(schema);
    sl_schema_unref(schema);
    assert_string_equal(again->name, "s");
    sl_schema_unref(again);
    sl_schema_unref(NULL);
}

// ---- Stored form
// -----------------------------------------------------------------------------

static void the_stored_form_keeps_everything(void **state) {
    (void)state;
    sl_schema *s = clicks();
    s->version = 3;
    s->inferred = s->frozen = true;
    uint32_t at = sl_schema_add(s, 0, "processed \"at\"", 14, SL_TYPE_TIMESTAMP);
    s->fields[at].origin = SL_ORIGIN_PROCESSED_AT;
    sl_buffer stored = {0}, again = {0};
    sl_schema_store(s, &stored);
    sl_schema *back = NULL;
    sl_error error = {0};
    assert_int_equal(
        sl_schema_load(sl_buffer_cstr(&stored), stored.length, &back, &error), SL_OK);
    sl_schema_store(back, &again);
    assert_string_equal(sl_buffer_cstr(&stored), sl_buffer_cstr(&again));
    assert_int_equal(back->count, s->count);
    assert_true(back->inferred && back->frozen && !back->closed);
    assert_int_equal(back->rest, s->rest);
    for (uint32_t i = 0; i < s->count; i++) {
        assert_string_equal(back->fields[i].path, s->fields[i].path);
        assert_int_equal(back->fields[i].next_sibling, s->fields[i].next_sibling);
        assert_int_equal(back->fields[i].first_child, s->fields[i].first_child);
        assert_int_equal(back->fields[i].nullable, s->fields[i].nullable);
        assert_int_equal(back->fields[i].required, s->fields[i].required);
    }
    sl_schema_unref(s);
    sl_schema_unref(back);
    sl_buffer_fini(&stored);
    sl_buffer_fini(&again);
}

static void a_damaged_stored_form_is_corrupt(void **state) {
    (void)state;
    static const char *const damaged[] = {
        "",
        "{}",
        "[]",
        "{\"sluice_schema\":2,\"name\":\"s\"}",
        "{\"sluice_schema\":1,\"name\":\"s\",\"version\":1,\"inferred\":true,\"frozen\":"
        "false,"
        "\"closed\":false}",
        "{\"sluice_schema\":1,\"name\":\"s\",\"version\":1,\"inferred\":true,\"frozen\":"
        "false,"
        "\"closed\":false,\"fields\":[[\"a\",\"int64\",\"event\",1,false,true,0,0]]}",
        "{\"sluice_schema\":1,\"name\":\"s\",\"version\":1,\"inferred\":true,\"frozen\":"
        "false,"
        "\"closed\":false,\"fields\":[[\"a\",\"int65\",\"event\",0,false,true,0,0]]}",
        "{\"sluice_schema\":1,\"name\":\"s\",\"version\":1,\"inferred\":true,\"frozen\":"
        "false,"
        "\"closed\":false,\"fields\":[[\"a\",\"int64\",\"event\",0,false,true,0,0],"
        "[\"b\",\"int64\",\"event\",1,false,true,0,0]]}",
        "{\"sluice_schema\":1,\"name\":\"s\",\"version\":1,\"inferred\":true,\"frozen\":"
        "false,"
        "\"closed\":false,\"fields\":[[\"a\",\"decimal\",\"event\",0,false,true,3,4]]}",
        "{\"sluice_schema\":1,\"name\":\"s\",\"version\":1,\"inferred\":true,\"frozen\":"
        "false,"
        "\"closed\":false,\"rest\":1,\"fields\":[[\"a\",\"json\",\"event\",0,false,true,"
        "0,0]]}",
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        sl_schema *schema = NULL;
        sl_error error = {0};
        assert_int_equal(sl_schema_load(damaged[i], strlen(damaged[i]), &schema, &error),
                         SL_ECORRUPT);
        assert_null(schema);
    }
}

// ---- Inference
// -------------------------------------------------------------------------------

static sl_schema *inferred(void) {
    sl_schema *schema = sl_schema_create("s");
    schema->rest = sl_schema_add(schema, 0, "_rest", 5, SL_TYPE_JSON);
    schema->fields[schema->rest].origin = SL_ORIGIN_REST;
    schema->inferred = true;
    return schema;
}

#define PROPOSE(parent_, keys_, count_, type_)                                           \
    ((sl_proposal){.parent = (parent_),                                                  \
                   .keys = (keys_),                                                      \
                   .keys_length = sizeof(keys_),                                         \
                   .key_count = (count_),                                                \
                   .type = (type_)})

// Replaces *schema by the merged one. @return whether a known field widened.
static bool merge(sl_schema **schema, const sl_proposal *proposals, uint32_t count) {
    sl_schema *out = NULL;
    bool widened = false;
    assert_int_equal(sl_schema_merge(*schema, proposals, count, &out, &widened), SL_OK);
    if (out != NULL) {
        assert_int_equal(out->version, (*schema)->version + 1);
        sl_schema_unref(*schema);
        *schema = out;
    }
    return widened;
}

static void new_members_become_columns_in_order_of_sight(void **state) {
    (void)state;
    sl_schema *s = inferred();
    sl_proposal first[] = {PROPOSE(0, "user", 1, SL_TYPE_STRING),
                           PROPOSE(0, "geo\0lat", 2, SL_TYPE_DOUBLE),
                           PROPOSE(0, "geo\0city", 2, SL_TYPE_STRING),
                           PROPOSE(0, "user", 1, SL_TYPE_STRING)};
    assert_false(merge(&s, first, 4));
    assert_int_equal(s->version, 2);
    assert_int_equal(s->count, 6);
    assert_int_equal(sl_schema_find(s, "user"), 2);
    assert_int_equal(sl_schema_find(s, "geo"), 3);
    assert_int_equal(sl_schema_find(s, "geo.city"), 5);
    sl_proposal second[] = {PROPOSE(3, "zone", 1, SL_TYPE_INT64)};
    merge(&s, second, 1);
    assert_int_equal(sl_schema_find(s, "geo.zone"), 6);
    uint32_t version = s->version;
    merge(&s, second, 1);
    assert_int_equal(s->version, version);
    sl_schema_unref(s);
}

static void known_columns_widen_until_frozen(void **state) {
    (void)state;
    sl_schema *s = inferred();
    sl_proposal first[] = {PROPOSE(0, "n", 1, SL_TYPE_INT64)};
    merge(&s, first, 1);
    uint32_t n = sl_schema_find(s, "n");
    sl_proposal wider[] = {PROPOSE(0, "n", 1, SL_TYPE_DOUBLE)};
    assert_true(merge(&s, wider, 1));
    assert_int_equal(s->fields[n].type, SL_TYPE_DOUBLE);
    assert_false(merge(&s, first, 1));
    s->frozen = true;
    sl_proposal text[] = {PROPOSE(0, "n", 1, SL_TYPE_STRING),
                          PROPOSE(0, "m", 1, SL_TYPE_INT64),
                          PROPOSE(0, "m", 1, SL_TYPE_DOUBLE)};
    assert_false(merge(&s, text, 3));
    assert_int_equal(s->fields[n].type, SL_TYPE_DOUBLE);
    assert_int_equal(field_of(s, "m").type,
                     SL_TYPE_DOUBLE); // Appeared and grew in one merge.
    sl_schema_unref(s);
}

static void a_new_column_is_not_a_widened_one(void **state) {
    (void)state;
    sl_schema *s = inferred();
    sl_proposal both[] = {PROPOSE(0, "n", 1, SL_TYPE_BOOL),
                          PROPOSE(0, "n", 1, SL_TYPE_INT64)};
    assert_false(merge(&s, both, 2));
    assert_int_equal(field_of(s, "n").type, SL_TYPE_STRING);
    assert_int_equal(s->version, 2);
    sl_schema_unref(s);
}

static void what_cannot_be_a_column_is_left_alone(void **state) {
    (void)state;
    sl_schema *s = inferred();
    sl_proposal base[] = {PROPOSE(0, "name", 1, SL_TYPE_STRING),
                          PROPOSE(0, "geo\0lat", 2, SL_TYPE_DOUBLE)};
    merge(&s, base, 2);
    static char long_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    sl_proposal bad[] = {
        PROPOSE(0, "name\0first", 2, SL_TYPE_STRING), // An object where a string is.
        PROPOSE(0, "geo", 1, SL_TYPE_STRING),         // A string where an object is.
        PROPOSE(0, "Name", 1, SL_TYPE_STRING),        // Differs in case alone.
        PROPOSE(0, "_rest", 1, SL_TYPE_JSON),
        PROPOSE(0, "_rest\0x", 2, SL_TYPE_INT64),
        PROPOSE(0, "", 1, SL_TYPE_INT64),
        PROPOSE(0, "new\0", 2, SL_TYPE_INT64),
        PROPOSE(0, "empty", 1, SL_TYPE_GROUP),
        PROPOSE(0, long_name, 1, SL_TYPE_INT64),
        PROPOSE(0, "name", 1, SL_TYPE_JSON),
    };
    uint32_t version = s->version;
    assert_false(merge(&s, bad, sizeof bad / sizeof *bad));
    assert_int_equal(s->version, version);
    sl_schema_unref(s);
}

static void an_inferred_schema_stops_at_its_limit(void **state) {
    (void)state;
    sl_schema *s = inferred();
    static char names[SL_FIELDS_MAX][8];
    static sl_proposal proposals[SL_FIELDS_MAX];
    for (unsigned i = 0; i < SL_FIELDS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "f%u", i);
        proposals[i] = PROPOSE(0, names[i], 1, SL_TYPE_INT64);
    }
    merge(&s, proposals, SL_FIELDS_MAX);
    assert_int_equal(s->count, SL_FIELDS_MAX);
    sl_schema_unref(s);
}

static void types_widen_as_the_design_says(void **state) {
    (void)state;
    assert_int_equal(sl_type_widen(SL_TYPE_INT64, SL_TYPE_DOUBLE), SL_TYPE_DOUBLE);
    assert_int_equal(sl_type_widen(SL_TYPE_DOUBLE, SL_TYPE_INT64), SL_TYPE_DOUBLE);
    assert_int_equal(sl_type_widen(SL_TYPE_BOOL, SL_TYPE_STRING), SL_TYPE_STRING);
    assert_int_equal(sl_type_widen(SL_TYPE_TIMESTAMP, SL_TYPE_STRING), SL_TYPE_STRING);
    assert_int_equal(sl_type_widen(SL_TYPE_STRING, SL_TYPE_INT64), SL_TYPE_STRING);
    assert_int_equal(sl_type_widen(SL_TYPE_JSON, SL_TYPE_GROUP), SL_TYPE_JSON);
    assert_int_equal(sl_type_widen(SL_TYPE_STRING, SL_TYPE_JSON), SL_TYPE_GROUP);
    assert_int_equal(sl_type_widen(SL_TYPE_GROUP, SL_TYPE_STRING), SL_TYPE_GROUP);
    assert_int_equal(sl_type_widen(SL_TYPE_DECIMAL, SL_TYPE_DOUBLE), SL_TYPE_GROUP);
    assert_int_equal(sl_type_widen(SL_TYPE_DECIMAL, SL_TYPE_DECIMAL), SL_TYPE_DECIMAL);
}

static void event_time_names_are_known(void **state) {
    (void)state;
    assert_true(sl_schema_time_name("timestamp", 9));
    assert_true(sl_schema_time_name("eventTime", 9));
    assert_true(sl_schema_time_name("@timestamp", 10));
    assert_true(sl_schema_time_name("TS", 2));
    assert_false(sl_schema_time_name("times", 5));
    assert_false(sl_schema_time_name("", 0));
}

// ---- Allocation failures
// ---------------------------------------------------------------------

static bool everything(void) {
    sl_schema *schema = NULL, *back = NULL, *next = NULL, *copy = NULL;
    sl_buffer stored = {0};
    sl_error error = {0};
    bool widened = false, done = false;
    sl_proposal grow[] = {PROPOSE(0, "geo\0zone", 2, SL_TYPE_STRING),
                          PROPOSE(0, "a\0b\0c", 3, SL_TYPE_STRING),
                          PROPOSE(0, "n", 1, SL_TYPE_DOUBLE)};
    schema = clicks();
    if (schema == NULL)
        goto out;
    sl_schema_store(schema, &stored);
    if (stored.failed)
        goto out;
    if (sl_schema_load((const char *)stored.bytes, stored.length, &back, &error) != SL_OK)
        goto out;
    if (sl_schema_merge(back, grow, 3, &next, &widened) != SL_OK)
        goto out;
    copy = sl_schema_copy(next);
    done = copy != NULL;
out:
    sl_schema_unref(schema);
    sl_schema_unref(back);
    sl_schema_unref(next);
    sl_schema_unref(copy);
    sl_buffer_fini(&stored);
    return done;
}

static void any_failed_allocation_is_a_status(void **state) {
    (void)state;
    uint64_t n = 0, refusals = 0;
    bool done = false;
    do {
        sl_memory_fail_at(++n);
        done = everything();
        refusals += !done;
    } while (sl_memory_calls() >= n);
    sl_memory_fail_at(0);
    assert_true(done);
    // Where only the text of a message needed memory, the work goes on without it.
    assert_true(refusals > 100 && refusals >= n - 5);
}

int main(void) {
    json_set_alloc_funcs(sl_malloc, sl_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_keep_the_order_of_declaration),
        cmocka_unit_test(dotted_paths_find_nested_members_and_keys_with_dots),
        cmocka_unit_test(a_copy_shares_nothing),
        cmocka_unit_test(the_last_reference_frees),
        cmocka_unit_test(the_stored_form_keeps_everything),
        cmocka_unit_test(a_damaged_stored_form_is_corrupt),
        cmocka_unit_test(new_members_become_columns_in_order_of_sight),
        cmocka_unit_test(known_columns_widen_until_frozen),
        cmocka_unit_test(a_new_column_is_not_a_widened_one),
        cmocka_unit_test(what_cannot_be_a_column_is_left_alone),
        cmocka_unit_test(an_inferred_schema_stops_at_its_limit),
        cmocka_unit_test(types_widen_as_the_design_says),
        cmocka_unit_test(event_time_names_are_known),
        cmocka_unit_test(any_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
