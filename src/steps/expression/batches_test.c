// Expressions on batches: rows, errors, results written back, and memory that fails.

#include "sluice/expression.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROWS 1300u

typedef struct bench {
    sl_schema *schema;
    sl_batch *batch;
    uint32_t amount, price, kind, geo, city, flag;
} bench;

static uint8_t raw[SL_PADDING + 64] = "purchaseviewOslo";

static bench new_bench(void) {
    bench b = {.schema = sl_schema_create("s")};
    b.amount = sl_schema_add(b.schema, 0, "amount", 6, SL_TYPE_INT64);
    b.price = sl_schema_add(b.schema, 0, "price", 5, SL_TYPE_DECIMAL);
    b.kind = sl_schema_add(b.schema, 0, "kind", 4, SL_TYPE_STRING);
    b.geo = sl_schema_add(b.schema, 0, "geo", 3, SL_TYPE_GROUP);
    b.city = sl_schema_add(b.schema, b.geo, "city", 4, SL_TYPE_STRING);
    b.flag = sl_schema_add(b.schema, 0, "flag", 4, SL_TYPE_BOOL);
    sl_schema_add(b.schema, 0, "tags", 4, SL_TYPE_JSON);
    b.schema->fields[b.price].scale = 2;
    static const sl_record record = {0};
    b.batch = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(b.batch, b.schema, raw, &record), SL_OK);
    for (uint32_t r = 0; r < ROWS; r++) {
        sl_column *c = b.batch->columns;
        c[b.amount].valid[r] = r % 10 != 0;
        c[b.amount].values.i64[r] = r;
        c[b.price].valid[r] = 1;
        c[b.price].values.i64[r] = r * 25;
        c[b.kind].valid[r] = 1;
        c[b.kind].values.span[r] = r % 2 ? (sl_span){8, 4} : (sl_span){0, 8};
        c[b.geo].valid[r] = r % 3 == 0;
        c[b.city].valid[r] = 1; // Left from elsewhere: without its object it isn't there.
        c[b.city].values.span[r] = (sl_span){12, 4};
        c[b.flag].valid[r] = 1;
        c[b.flag].values.truth[r] = r % 5 == 0;
    }
    b.batch->rows = ROWS;
    return b;
}

static void end_bench(bench *b) {
    sl_batch_destroy(b->batch);
    sl_schema_unref(b->schema);
}

static sl_expression *on(const bench *b, const char *text) {
    sl_expression *expression = NULL;
    sl_error error = {0};
    if (sl_expression_compile(text, b->schema, &expression, &error) != SL_OK)
        fail_msg("%s: %s", text, error.text);
    return expression;
}

static void columns_are_answered_row_by_row(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "amount > 600 && kind == 'purchase' || flag");
    uint64_t errors = 5;
    const sl_column *out = sl_expression_run(e, b.batch, &errors);
    assert_int_equal(sl_expression_type(e), SL_TYPE_BOOL);
    uint64_t expected_errors = 5;
    for (uint32_t r = 0; r < ROWS; r++) {
        bool flag = r % 5 == 0, kind = r % 2 == 0;
        bool known = flag || !kind || r % 10 != 0; // Every tenth amount is missing.
        assert_int_equal(out->valid[r], known);
        if (known)
            assert_int_equal(out->values.truth[r], flag || (kind && r > 600));
        expected_errors += !known;
    }
    assert_int_equal(errors, expected_errors);
    sl_expression_destroy(e);
    end_bench(&b);
}

static void missing_values_are_counted_as_errors(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "amount + 1");
    uint64_t errors = 0;
    const sl_column *out = sl_expression_run(e, b.batch, &errors);
    assert_int_equal(errors, ROWS / 10);
    assert_int_equal(out->values.i64[1299], 1300);
    assert_int_equal(out->valid[1290], 0);
    assert_non_null(sl_expression_run(e, b.batch, NULL));
    sl_expression_destroy(e);
    end_bench(&b);
}

static void members_need_their_object(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "geo.city == 'Oslo'"), *there = on(&b, "has(geo)"),
                  *tags = on(&b, "has(tags) || geo.city == null");
    uint64_t errors = 0;
    const sl_column *out = sl_expression_run(e, b.batch, &errors);
    for (uint32_t r = 0; r < ROWS; r++)
        assert_int_equal(out->valid[r], r % 3 == 0);
    assert_int_equal(errors, ROWS - (ROWS + 2) / 3);
    out = sl_expression_run(there, b.batch, &errors);
    const sl_column *missing = sl_expression_run(tags, b.batch, &errors);
    for (uint32_t r = 0; r < ROWS; r++) {
        assert_int_equal(out->valid[r] & out->values.truth[r], r % 3 == 0);
        assert_int_equal(missing->values.truth[r], r % 3 != 0);
    }
    sl_expression_destroy(e);
    sl_expression_destroy(there);
    sl_expression_destroy(tags);
    end_bench(&b);
}

static bool text_is(const sl_expression *e, const bench *b, const sl_column *out,
                    uint32_t row, const char *expected) {
    sl_span span = out->values.span[row];
    return span.length == strlen(expected) &&
           memcmp(sl_expression_text(e, b->batch, span), expected, span.length) == 0;
}

static void texts_come_out(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *field = on(&b, "kind"),
                  *made = on(&b, "amount > 1000 ? 'many' : kind + '!'");
    const sl_column *out = sl_expression_run(field, b.batch, NULL);
    assert_true(text_is(field, &b, out, 0, "purchase") &&
                text_is(field, &b, out, 1299, "view"));
    assert_memory_equal(sl_batch_text(b.batch, out->values.span[0]), "purchase", 8);
    for (int i = 0; i < 2; i++) {
        out = sl_expression_run(made, b.batch, NULL);
        assert_true(text_is(made, &b, out, 1, "view!") &&
                    text_is(made, &b, out, 2, "purchase!"));
        assert_true(text_is(made, &b, out, 1001, "many") && out->valid[0] == 0);
    }
    sl_expression_destroy(field);
    sl_expression_destroy(made);
    end_bench(&b);
}

static void decimals_of_a_column_are_exact(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "price == 1.75"), *sum = on(&b, "price * amount");
    const sl_column *out = sl_expression_run(e, b.batch, NULL);
    for (uint32_t r = 0; r < ROWS; r++)
        assert_int_equal(out->values.truth[r], r == 7);
    out = sl_expression_run(sum, b.batch, NULL);
    assert_int_equal(sl_expression_type(sum), SL_TYPE_DECIMAL);
    assert_int_equal(sl_expression_scale(sum), 2);
    assert_int_equal(out->values.i64[1299], 1299 * 1299 * 25);
    sl_expression_destroy(e);
    sl_expression_destroy(sum);
    end_bench(&b);
}

static void fields_that_are_read_are_listed_once(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e =
        on(&b, "amount > 1 && amount < 5 && has(geo) && has(amount) && 1 == 1");
    size_t count = 0;
    const uint32_t *fields = sl_expression_fields(e, &count);
    assert_int_equal(count, 2);
    assert_int_equal(fields[0], b.amount);
    assert_int_equal(fields[1], b.geo);
    sl_expression_destroy(e);
    end_bench(&b);
}

static void a_widened_field_counts_as_missing(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "amount > 1"), *text = on(&b, "kind");
    b.schema->fields[b.amount].type = SL_TYPE_STRING;
    b.schema->fields[b.kind].type = SL_TYPE_JSON;
    uint64_t errors = 0;
    assert_non_null(sl_expression_run(e, b.batch, &errors));
    assert_non_null(sl_expression_run(text, b.batch, &errors));
    assert_int_equal(errors, 2 * ROWS);
    sl_expression_destroy(e);
    sl_expression_destroy(text);
    end_bench(&b);
}

static void json_columns_give_their_text(void **state) {
    (void)state;
    bench b = new_bench();
    uint32_t tags = sl_schema_find(b.schema, "tags");
    for (uint32_t r = 0; r < 2; r++) {
        b.batch->columns[tags].valid[r] = r == 0;
        b.batch->columns[tags].values.span[r] = (sl_span){0, 8};
    }
    b.batch->rows = 2;
    sl_expression *plain = on(&b, "string(tags)"),
                  *part = on(&b, "string(tags).contains('cha')");
    uint64_t errors = 0;
    const sl_column *out = sl_expression_run(plain, b.batch, &errors);
    assert_true(text_is(plain, &b, out, 0, "purchase") && errors == 1);
    out = sl_expression_run(part, b.batch, &errors);
    assert_true(out->values.truth[0] && !out->valid[1] && errors == 2);
    assert_int_equal(sl_expression_assign(plain, b.batch, b.kind, NULL), SL_OK);
    assert_int_equal(b.batch->columns[b.kind].values.span[0].offset, 0);
    sl_expression_destroy(plain);
    sl_expression_destroy(part);
    end_bench(&b);
}

static void members_may_be_named_in_brackets(void **state) {
    (void)state;
    bench b = new_bench();
    uint32_t inner = sl_schema_add(b.schema, b.geo, "at.x", 4, SL_TYPE_GROUP);
    sl_schema_add(b.schema, inner, "lat", 3, SL_TYPE_DOUBLE);
    sl_expression *e = on(&b, "geo['at.x']['lat'] > 1.0 || has(geo['at.x'])");
    size_t count = 0;
    sl_expression_fields(e, &count);
    assert_int_equal(count, 2);
    sl_expression_destroy(e);
    sl_error error = {0};
    assert_int_equal(sl_expression_compile("geo[kind] == 1", b.schema, &e, &error),
                     SL_ETYPE);
    assert_non_null(strstr(error.text, "named by a constant string"));
    assert_int_equal(sl_expression_compile("geo['town']", b.schema, &e, &error),
                     SL_ENOTFOUND);
    assert_int_equal(sl_expression_compile("geo['at.x']", b.schema, &e, &error),
                     SL_ETYPE);
    assert_non_null(strstr(error.text, "is an object"));
    end_bench(&b);
}

static void schema_names_are_checked(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = NULL;
    sl_error error = {0};
    assert_int_equal(sl_expression_compile("geo == 1", b.schema, &e, &error), SL_ETYPE);
    assert_non_null(strstr(error.text, "`geo` is an object"));
    assert_int_equal(sl_expression_compile("tags == 'a'", b.schema, &e, &error),
                     SL_EUNSUPPORTED);
    assert_non_null(strstr(error.text, "JSON text"));
    assert_int_equal(sl_expression_compile("city == 'a'", b.schema, &e, &error),
                     SL_ENOTFOUND);
    assert_non_null(strstr(error.text, "did you mean `geo.city`?"));
    assert_int_equal(sl_expression_compile("amuont > 1", b.schema, &e, NULL),
                     SL_ENOTFOUND);
    end_bench(&b);
}

// ---- Results written into a batch
// -------------------------------------------------------------

static void only_kept_rows_are_assigned(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "amount * 2");
    for (uint32_t r = 0; r < ROWS; r++)
        b.batch->verdict[r] = r % 4 == 0 ? SL_VERDICT_FILTERED : SL_VERDICT_KEEP;
    uint64_t errors = 0;
    assert_int_equal(sl_expression_assign(e, b.batch, b.amount, &errors), SL_OK);
    const sl_column *amount = &b.batch->columns[b.amount];
    uint64_t expected_errors = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        bool kept = r % 4 != 0, there = r % 10 != 0;
        assert_int_equal(amount->valid[r], there);
        if (there || !kept)
            assert_int_equal(amount->values.i64[r], kept ? 2 * r : r);
        expected_errors += kept && !there;
    }
    assert_int_equal(errors, expected_errors);
    sl_expression_destroy(e);
    end_bench(&b);
}

static void parts_of_raw_stay_there_when_assigned(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "kind.substring(1, 4)");
    assert_int_equal(sl_expression_assign(e, b.batch, b.kind, NULL), SL_OK);
    const sl_span *spans = b.batch->columns[b.kind].values.span;
    assert_true(spans[0].offset == 1 && spans[0].length == 3);
    assert_true(spans[1299].offset == 9 && spans[1299].length == 3);
    assert_int_equal(b.batch->arena.length, 0);
    sl_expression_destroy(e);
    end_bench(&b);
}

static void made_texts_are_kept_in_the_batch(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *upper = on(&b, "kind.upperAscii()"),
                  *part = on(&b, "flag ? 'none' : kind.substring(1)");
    assert_int_equal(sl_expression_assign(upper, b.batch, b.kind, NULL), SL_OK);
    sl_expression_destroy(upper); // The texts are the batch's own by now.
    sl_value cell = sl_value_of(b.batch, b.kind, 1299);
    assert_int_equal(cell.as.text.length, 4);
    assert_memory_equal(cell.as.text.bytes, "VIEW", 4);
    size_t before = b.batch->arena.length;
    assert_int_equal(sl_expression_assign(part, b.batch, b.kind, NULL), SL_OK);
    cell = sl_value_of(b.batch, b.kind, 1299);
    assert_memory_equal(cell.as.text.bytes, "IEW", 3);
    cell = sl_value_of(b.batch, b.kind, 0);
    assert_memory_equal(cell.as.text.bytes, "none", 4);
    // Only the constant is new.
    assert_true(b.batch->arena.length - before <= ROWS / 5 * 4);
    sl_expression_destroy(part);
    end_bench(&b);
}

static void a_member_brings_its_object(void **state) {
    (void)state;
    bench b = new_bench();
    uint32_t zone = sl_schema_add(b.schema, b.geo, "zone", 4, SL_TYPE_STRING);
    static const sl_record record = {0};
    assert_int_equal(sl_batch_prepare(b.batch, b.schema, raw, &record), SL_OK);
    b.batch->rows = 2;
    for (uint32_t r = 0; r < 2; r++) {
        b.batch->columns[b.amount].valid[r] = r == 1;
        b.batch->columns[b.amount].values.i64[r] = 1;
        b.batch->columns[b.city].valid[r] = 1; // Of an object that isn't there.
    }
    sl_expression *e = on(&b, "amount == 1 ? 'UTC' : ''");
    uint64_t errors = 0;
    assert_int_equal(sl_expression_assign(e, b.batch, zone, &errors), SL_OK);
    assert_int_equal(errors, 1);
    assert_false(sl_batch_present(b.batch, zone, 0));
    assert_false(sl_batch_present(b.batch, b.geo, 0));
    assert_true(sl_batch_present(b.batch, zone, 1));
    assert_false(sl_batch_present(b.batch, b.city, 1));
    sl_expression_destroy(e);
    end_bench(&b);
}

static void every_type_is_assigned(void **state) {
    (void)state;
    bench b = new_bench();
    uint32_t ratio = sl_schema_add(b.schema, 0, "ratio", 5, SL_TYPE_DOUBLE);
    static const sl_record record = {0};
    assert_int_equal(sl_batch_prepare(b.batch, b.schema, raw, &record), SL_OK);
    b.batch->rows = 1;
    sl_expression *truth = on(&b, "1 < 2"), *real = on(&b, "1.5 * 2.0"),
                  *empty = on(&b, "''"), *cents = on(&b, "has(price) ? price : 1.25");
    assert_int_equal(sl_expression_assign(truth, b.batch, b.flag, NULL), SL_OK);
    assert_int_equal(sl_expression_assign(real, b.batch, ratio, NULL), SL_OK);
    assert_int_equal(sl_expression_assign(empty, b.batch, b.kind, NULL), SL_OK);
    assert_int_equal(sl_expression_assign(cents, b.batch, b.price, NULL), SL_OK);
    const sl_column *c = b.batch->columns;
    assert_true(c[b.flag].valid[0] && c[b.flag].values.truth[0] == 1);
    assert_true(c[ratio].valid[0] && c[ratio].values.f64[0] > 2.9);
    assert_true(c[b.kind].valid[0] && c[b.kind].values.span[0].length == 0);
    assert_int_equal(c[b.price].values.i64[0], 125);
    sl_expression_destroy(truth);
    sl_expression_destroy(real);
    sl_expression_destroy(empty);
    sl_expression_destroy(cents);
    end_bench(&b);
}

static void a_field_of_another_type_is_not_assigned(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "amount + 1"), *price = on(&b, "price * 1.5");
    assert_int_equal(sl_expression_assign(e, b.batch, b.kind, NULL), SL_ETYPE);
    assert_int_equal(sl_expression_assign(e, b.batch, 0, NULL), SL_ETYPE);
    assert_int_equal(sl_expression_assign(e, b.batch, 99, NULL), SL_ETYPE);
    assert_int_equal(sl_expression_assign(price, b.batch, b.price, NULL), SL_ETYPE);
    sl_expression_destroy(e);
    sl_expression_destroy(price);
    end_bench(&b);
}

static void null_that_was_meant_is_no_error(void **state) {
    (void)state;
    bench b = new_bench();
    sl_expression *e = on(&b, "flag ? null : amount > 1000 ? amount : null");
    uint64_t errors = 0;
    const sl_column *out = sl_expression_run(e, b.batch, &errors);
    uint64_t missing = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        missing += r % 10 == 0 && r % 5 != 0;
        assert_int_equal(out->valid[r], r % 5 != 0 && r > 1000);
    }
    assert_int_equal(errors, missing);
    sl_expression_destroy(e);
    end_bench(&b);
}

static void explained(const char *text, const char *expected) {
    bench b = new_bench();
    sl_expression *e = on(&b, text);
    sl_error error = {0};
    sl_status status = sl_expression_explain(e, b.batch, 10, &error);
    assert_int_equal(status, expected == NULL ? SL_OK : SL_EINVAL);
    if (expected != NULL)
        assert_string_equal(error.text, expected);
    sl_expression_destroy(e);
    end_bench(&b);
}

// Row 10: amount and geo are missing, price is 2.50, kind "purchase", flag true.
static void a_row_without_an_answer_is_explained(void **state) {
    (void)state;
    explained("flag", NULL);
    explained("flag || amount > 1", NULL);
    explained("amount > 1", "`amount` is missing");
    explained("kind == 'x' || geo.city == 'Oslo'", "`geo.city` is missing");
    explained("flag && !(price > 1.0 && amount > 1)", "`amount` is missing");
    explained("1 / (price > 1.0 ? 0 : 1) > 1", "column 3: division by zero, or overflow");
    explained("'\u00e9' != kind && int(kind) > 1", "column 16: the text is no number");
    explained("flag ? kind.charAt(9) : 'a'",
              "column 13: the position is outside of the text");
    explained("[1, 2][kind.size()] == 1", "column 7: the list is shorter");
    explained("{'view': 1}[kind] == 1", "column 12: the map has no such key");
    explained("amount in [1, 2]", "`amount` is missing");
    explained("size([amount, 2]) == 2", "`amount` is missing");
    explained("flag ? null : 1", NULL);
}

// ---- Allocation failures
// ---------------------------------------------------------------------

static bool compiles_and_runs(const bench *b, const char *text) {
    sl_expression *e = NULL;
    sl_error error = {0};
    if (sl_expression_compile(text, b->schema, &e, &error) != SL_OK) {
        assert_int_equal(error.status, SL_ENOMEM);
        return false;
    }
    bool done = sl_expression_run(e, b->batch, NULL) != NULL;
    if (done && sl_expression_type(e) == SL_TYPE_STRING) {
        sl_status status = sl_expression_assign(e, b->batch, b->city, NULL);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        done = status == SL_OK;
    }
    sl_expression_destroy(e);
    return done;
}

// Every step that makes texts or lists, and what is made when compiled.
static bool everything(const bench *b) {
    static const char *const texts[] = {
        "(amount + 1 > 2 && kind in ['view', 'x'] || price >= 10.5) && "
        "(flag ? kind + '!' : geo.city).size() > 3",
        "kind.replace('e', '33') + string(amount) + string(price) + kind.reverse()",
        "kind.upperAscii().split('E').join(string(double(amount))) + strings.quote(kind)",
        "base64.encode(bytes(kind)) + string(base64.decode('YQ==')) + string(flag)",
        "kind.matches('^(p|v).*e[a-z]$') && 1 in [1, amount] && {'a': 1}[kind] > 0",
        "string(timestamp(amount)) + string(timestamp(amount) - timestamp(0))",
        "timestamp(amount).getHours('Europe/Oslo') in [1, 2] ? [kind, 'a'][0] : null",
        "(['a'] + kind.split('i')).join('-') == kind ? 'x' : geo['city']"};
    bool done = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && done; i++)
        done = compiles_and_runs(b, texts[i]);
    return done;
}

static void any_failed_allocation_is_a_status(void **state) {
    (void)state;
    bench b = new_bench();
    uint64_t n = 0;
    bool done = false;
    do {
        sl_buffer_clear(&b.batch->arena);
        sl_memory_fail_at(++n);
        done = everything(&b);
        assert_true(done == (sl_memory_calls() < n));
    } while (!done);
    sl_memory_fail_at(0);
    assert_true(n > 6);
    end_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_answered_row_by_row),
        cmocka_unit_test(missing_values_are_counted_as_errors),
        cmocka_unit_test(members_need_their_object),
        cmocka_unit_test(texts_come_out),
        cmocka_unit_test(decimals_of_a_column_are_exact),
        cmocka_unit_test(fields_that_are_read_are_listed_once),
        cmocka_unit_test(a_widened_field_counts_as_missing),
        cmocka_unit_test(schema_names_are_checked),
        cmocka_unit_test(json_columns_give_their_text),
        cmocka_unit_test(members_may_be_named_in_brackets),
        cmocka_unit_test(every_type_is_assigned),
        cmocka_unit_test(only_kept_rows_are_assigned),
        cmocka_unit_test(parts_of_raw_stay_there_when_assigned),
        cmocka_unit_test(made_texts_are_kept_in_the_batch),
        cmocka_unit_test(a_member_brings_its_object),
        cmocka_unit_test(a_field_of_another_type_is_not_assigned),
        cmocka_unit_test(null_that_was_meant_is_no_error),
        cmocka_unit_test(a_row_without_an_answer_is_explained),
        cmocka_unit_test(any_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
