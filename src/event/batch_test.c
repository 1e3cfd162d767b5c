// Batches: the slab's layout, reuse, text, rejects and origins.

#include "sluice/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static sl_schema *wide(unsigned leaves) {
    static const sl_type types[] = {SL_TYPE_INT64, SL_TYPE_BOOL, SL_TYPE_STRING,
                                    SL_TYPE_DOUBLE};
    sl_schema *schema = sl_schema_create("s");
    for (unsigned i = 0; i < leaves; i++) {
        char name[16];
        int length = snprintf(name, sizeof name, "f%u", i);
        sl_schema_add(schema, 0, name, (size_t)length, types[i % 4]);
    }
    return schema;
}

static uint8_t raw[SL_PADDING] = "{}";
static const sl_record one_record = {
    .position = 100, .body = 0, .length = 2, .arrival_us = 5};

static void prepare(sl_batch *batch, const sl_schema *schema) {
    assert_int_equal(sl_batch_prepare(batch, schema, raw, &one_record), SL_OK);
}

static size_t cell_bytes(const sl_schema *schema, uint32_t field) {
    return schema->fields[field].type == SL_TYPE_BOOL ? 1 : 8;
}

// Writes every cell there is; arrays that overlapped would show in the values read back.
static void fill(sl_batch *batch, const sl_schema *schema) {
    for (uint32_t r = 0; r < batch->capacity; r++) {
        batch->row_record[r] = r;
        batch->row_begin[r] = r + 1;
        batch->row_length[r] = r + 2;
        batch->verdict[r] = (uint8_t)(r % 5);
    }
    for (uint32_t f = 1; f < schema->count; f++) {
        memset(batch->columns[f].valid, 1, batch->capacity);
        memset(batch->columns[f].values.any, (int)(f % 251),
               batch->capacity * cell_bytes(schema, f));
    }
    batch->rows = batch->capacity;
}

static void check_filled(const sl_batch *batch, const sl_schema *schema) {
    for (uint32_t r = 0; r < batch->capacity; r++) {
        assert_int_equal(batch->row_record[r], r);
        assert_int_equal(batch->row_begin[r], r + 1);
        assert_int_equal(batch->row_length[r], r + 2);
        assert_int_equal(batch->verdict[r], r % 5);
    }
    for (uint32_t f = 1; f < schema->count; f++) {
        const uint8_t *values = batch->columns[f].values.any;
        assert_int_equal((uintptr_t)values % 64, 0);
        assert_int_equal((uintptr_t)batch->columns[f].valid % 64, 0);
        for (size_t i = 0; i < batch->capacity * cell_bytes(schema, f); i++)
            if (values[i] != f % 251)
                fail_msg("field %u byte %zu is overwritten", f, i);
        for (uint32_t r = 0; r < batch->capacity; r++)
            if (batch->columns[f].valid[r] != 1)
                fail_msg("field %u valid %u is overwritten", f, r);
    }
}

static void check_empty(const sl_batch *batch, const sl_schema *schema) {
    assert_int_equal(batch->rows, 0);
    for (uint32_t f = 0; f < schema->count; f++)
        for (uint32_t r = 0; r < batch->capacity; r++)
            if (batch->columns[f].valid[r] != 0)
                fail_msg("field %u row %u of %u is still valid", f, r, batch->capacity);
}

static void arrays_are_aligned_and_apart(void **state) {
    (void)state;
    static const unsigned sizes[] = {0, 1, 12, 100, 999};
    sl_batch *batch = sl_batch_create(NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sl_schema *schema = wide(sizes[i]);
        prepare(batch, schema);
        assert_in_range(batch->capacity, 64, SL_BATCH_ROWS_MAX);
        fill(batch, schema);
        check_filled(batch, schema);
        sl_schema_unref(schema);
    }
    sl_batch_destroy(batch);
}

static void fewer_rows_the_more_fields(void **state) {
    (void)state;
    sl_batch *batch = sl_batch_create(NULL);
    sl_schema *few = wide(12), *many = wide(999);
    prepare(batch, few);
    assert_int_equal(batch->capacity, SL_BATCH_ROWS_MAX);
    prepare(batch, many);
    assert_in_range(batch->capacity, 64, 256);
    sl_schema_unref(few);
    sl_schema_unref(many);
    sl_batch_destroy(batch);
}

static void a_prepared_batch_has_no_valid_cell(void **state) {
    (void)state;
    static const unsigned order[] = {12, 12, 999, 3, 12, 100, 100, 2};
    sl_batch *batch = sl_batch_create(NULL);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        sl_schema *schema = wide(order[i]);
        prepare(batch, schema);
        check_empty(batch, schema);
        fill(batch, schema);
        sl_schema_unref(schema);
    }
    sl_batch_destroy(batch);
}

static void cells_of_an_unfinished_row_are_cleared_too(void **state) {
    (void)state;
    sl_batch *batch = sl_batch_create(NULL);
    sl_schema *schema = wide(4);
    prepare(batch, schema);
    batch->rows = 10;
    for (uint32_t r = 0; r <= 10; r++) // Row 10 was refused half way.
        batch->columns[2].valid[r] = 1;
    prepare(batch, schema);
    check_empty(batch, schema);
    sl_schema_unref(schema);
    sl_batch_destroy(batch);
}

static void the_slab_is_kept_for_smaller_schemas(void **state) {
    (void)state;
    sl_batch *batch = sl_batch_create(NULL);
    sl_schema *large = wide(100), *small = wide(3);
    prepare(batch, large);
    void *slab = batch->slab;
    prepare(batch, small);
    assert_ptr_equal(batch->slab, slab);
    prepare(batch, large);
    assert_ptr_equal(batch->slab, slab);
    sl_schema_unref(large);
    sl_schema_unref(small);
    sl_batch_destroy(batch);
}

static void the_budget_holds_what_the_batch_holds(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, (uint64_t)8 << 20);
    sl_batch *batch = sl_batch_create(&budget);
    sl_schema *schema = wide(12);
    prepare(batch, schema);
    assert_int_equal(sl_budget_used(&budget), sl_batch_memory(batch));
    static char text[100000];
    for (int i = 0; i < 10; i++)
        sl_batch_keep_text(batch, text, sizeof text);
    sl_reject reject = {.code = SL_CODE_TYPE};
    for (int i = 0; i < 1000; i++)
        assert_true(sl_batch_reject(batch, &reject));
    assert_int_equal(sl_batch_used(batch), 10 * sizeof text + 1000 * sizeof reject);
    prepare(batch, schema);
    assert_int_equal(sl_batch_used(batch), 0);
    assert_int_equal(sl_budget_used(&budget), sl_batch_memory(batch));
    sl_batch_destroy(batch);
    assert_int_equal(sl_budget_used(&budget), 0);
    sl_schema_unref(schema);
}

static void a_full_budget_leaves_the_batch_as_it_was(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 400000);
    sl_batch *batch = sl_batch_create(&budget);
    sl_schema *small = wide(2), *large = wide(500);
    prepare(batch, small);
    uint64_t used = sl_budget_used(&budget);
    assert_int_equal(sl_batch_prepare(batch, large, raw, &one_record), SL_EFULL);
    assert_int_equal(sl_budget_used(&budget), used);
    assert_ptr_equal(batch->schema, small);
    fill(batch, small);
    check_filled(batch, small);
    sl_batch_destroy(batch);
    sl_schema_unref(small);
    sl_schema_unref(large);
}

static void a_huge_arena_is_given_back(void **state) {
    (void)state;
    sl_batch *batch = sl_batch_create(NULL);
    sl_schema *schema = wide(1);
    prepare(batch, schema);
    size_t before = sl_batch_memory(batch);
    static char text[6 << 20];
    sl_batch_keep_text(batch, text, sizeof text);
    assert_true(sl_batch_memory(batch) >= before + sizeof text);
    prepare(batch, schema);
    assert_int_equal(sl_batch_memory(batch), before);
    sl_schema_unref(schema);
    sl_batch_destroy(batch);
}

static void kept_text_is_read_back_through_its_span(void **state) {
    (void)state;
    sl_batch *batch = sl_batch_create(NULL);
    sl_schema *schema = wide(1);
    prepare(batch, schema);
    sl_span first = sl_batch_keep_text(batch, "hello", 5);
    sl_span second = sl_batch_keep_text(batch, "world!", 6);
    assert_memory_equal(sl_batch_text(batch, first), "hello", 5);
    assert_memory_equal(sl_batch_text(batch, second), "world!", 6);
    assert_int_equal(second.length, 6);
    assert_memory_equal(sl_batch_text(batch, (sl_span){.offset = 0, .length = 2}), "{}",
                        2);
    sl_schema_unref(schema);
    sl_batch_destroy(batch);
}

static void a_cell_is_there_only_with_its_objects(void **state) {
    (void)state;
    sl_schema *schema = sl_schema_create("s");
    uint32_t group = sl_schema_add(schema, 0, "g", 1, SL_TYPE_GROUP);
    uint32_t leaf = sl_schema_add(schema, group, "x", 1, SL_TYPE_INT64);
    sl_batch *batch = sl_batch_create(NULL);
    prepare(batch, schema);
    batch->rows = 2;
    batch->columns[leaf].valid[0] = 1;
    assert_false(sl_batch_present(batch, leaf, 0));
    batch->columns[group].valid[0] = 1;
    assert_true(sl_batch_present(batch, leaf, 0));
    assert_true(sl_batch_present(batch, group, 0));
    assert_false(sl_batch_present(batch, leaf, 1));
    sl_schema_unref(schema);
    sl_batch_destroy(batch);
}

static void origins_are_filled_from_the_records(void **state) {
    (void)state;
    sl_schema *schema = sl_schema_create("s");
    uint32_t at = sl_schema_add(schema, 0, "processed_at", 12, SL_TYPE_TIMESTAMP);
    uint32_t from = sl_schema_add(schema, 0, "source", 6, SL_TYPE_STRING);
    schema->fields[at].origin = SL_ORIGIN_PROCESSED_AT;
    schema->fields[from].origin = SL_ORIGIN_SOURCE;
    static const sl_record records[] = {
        {.position = 1000, .body = 8, .arrival_us = 11, .source = 1},
        {.position = 2000, .body = 64, .arrival_us = 22, .source = 0}};
    static const char *const sources[] = {"http", "orders_topic"};
    sl_batch *batch = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(batch, schema, raw, records), SL_OK);
    static const uint32_t of[] = {0, 0, 1}, begin[] = {8, 20, 70};
    memcpy(batch->row_record, of, sizeof of);
    memcpy(batch->row_begin, begin, sizeof begin);
    batch->rows = 3;
    sl_batch_fill_origins(batch, sources);
    assert_int_equal(batch->columns[at].values.i64[1], 11);
    assert_int_equal(batch->columns[at].values.i64[2], 22);
    assert_true(sl_batch_present(batch, at, 2) && sl_batch_present(batch, from, 0));
    sl_span span = batch->columns[from].values.span[1];
    assert_int_equal(span.length, 12);
    assert_memory_equal(sl_batch_text(batch, span), "orders_topic", 12);
    span = batch->columns[from].values.span[2];
    assert_memory_equal(sl_batch_text(batch, span), "http", 4);
    assert_int_equal(sl_batch_position(batch, 1), 1012);
    assert_int_equal(sl_batch_position(batch, 2), 2006);
    sl_schema_unref(schema);
    sl_batch_destroy(batch);
}

static void every_code_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < SL_CODE_COUNT; i++) {
        assert_non_null(sl_code_name((sl_code)i));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(sl_code_name((sl_code)i), sl_code_name((sl_code)j));
    }
    assert_string_equal(sl_code_name(SL_CODE_NOT_AN_OBJECT), "not_an_object");
    assert_string_equal(sl_code_name(SL_CODE_COUNT), "unknown");
}

static bool everything(const sl_schema *small, const sl_schema *large) {
    bool done = false;
    sl_batch *batch = sl_batch_create(NULL);
    if (batch == NULL)
        return false;
    sl_reject reject = {.code = SL_CODE_SYNTAX};
    if (sl_batch_prepare(batch, small, raw, &one_record) == SL_OK &&
        sl_batch_reject(batch, &reject)) {
        sl_span kept = sl_batch_keep_text(batch, "text", 4);
        bool text = kept.length == 4 && !batch->arena.failed;
        done = sl_batch_prepare(batch, large, raw, &one_record) == SL_OK && text;
        check_empty(batch, batch->schema);
    }
    sl_batch_destroy(batch);
    return done;
}

static void any_failed_allocation_is_a_status(void **state) {
    (void)state;
    sl_schema *small = wide(2), *large = wide(30);
    uint64_t n = 0;
    bool done = false;
    while (!done) {
        sl_memory_fail_at(++n);
        done = everything(small, large);
        assert_true(n < 100);
    }
    sl_memory_fail_at(0);
    assert_int_equal(n, 6); // Batch, slab, rejects, arena, larger slab, and none.
    sl_schema_unref(small);
    sl_schema_unref(large);
}

static uint32_t add(sl_schema *schema, uint32_t parent, const char *name, sl_type type) {
    return sl_schema_add(schema, parent, name, strlen(name), type);
}

static void a_row_is_a_line_of_json(void **state) {
    (void)state;
    sl_schema *schema = sl_schema_create("s");
    uint32_t n = add(schema, 0, "n\"", SL_TYPE_INT64), group = add(schema, 0, "g", SL_TYPE_GROUP);
    uint32_t text = add(schema, group, "t", SL_TYPE_STRING), list = add(schema, group, "l", SL_TYPE_JSON);
    uint32_t absent = add(schema, 0, "absent", SL_TYPE_GROUP), below = add(schema, absent, "b", SL_TYPE_BOOL);
    sl_batch *batch = sl_batch_create(NULL);
    prepare(batch, schema);
    batch->rows = 2;
    batch->columns[n].valid[0] = batch->columns[group].valid[0] = batch->columns[text].valid[0] = 1;
    batch->columns[list].valid[0] = batch->columns[below].valid[0] = 1; /* The last without its object. */
    batch->columns[n].values.i64[0] = -7;
    batch->columns[text].values.span[0] = sl_batch_keep_text(batch, "a\nb", 3);
    batch->columns[list].values.span[0] = sl_batch_keep_text(batch, "[1,\r\n \"\\n\"]", 11);
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_batch_row_json(batch, 0, &out);
    assert_string_equal(sl_buffer_cstr(&out), "{\"n\\\"\":-7,\"g\":{\"t\":\"a\\nb\",\"l\":[1,   \"\\n\"]}}");
    sl_buffer_clear(&out);
    sl_batch_row_json(batch, 1, &out);
    assert_string_equal(sl_buffer_cstr(&out), "{}");
    sl_buffer_fini(&out);
    sl_batch_destroy(batch);
    sl_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_a_line_of_json),
        cmocka_unit_test(arrays_are_aligned_and_apart),
        cmocka_unit_test(fewer_rows_the_more_fields),
        cmocka_unit_test(a_prepared_batch_has_no_valid_cell),
        cmocka_unit_test(cells_of_an_unfinished_row_are_cleared_too),
        cmocka_unit_test(the_slab_is_kept_for_smaller_schemas),
        cmocka_unit_test(the_budget_holds_what_the_batch_holds),
        cmocka_unit_test(a_full_budget_leaves_the_batch_as_it_was),
        cmocka_unit_test(a_huge_arena_is_given_back),
        cmocka_unit_test(kept_text_is_read_back_through_its_span),
        cmocka_unit_test(a_cell_is_there_only_with_its_objects),
        cmocka_unit_test(origins_are_filled_from_the_records),
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(any_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
