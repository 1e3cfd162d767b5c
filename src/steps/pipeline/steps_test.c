#include "schema_of.h"

#include "sluice/decode.h"
#include "sluice/steps.h"
#include "sluice/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char schema_text[] =
    "{\"type\":\"object\",\"properties\":{\"user\":{\"type\":\"string\"},\"amount\":{\"type\":\"number\"},"
    "\"count\":{\"type\":\"integer\"},\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"place\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"zip\":{\"type\":\"string\"}}},"
    "\"price\":{\"type\":\"number\",\"x-decimal\":[8,2]}}}";

typedef struct fixture {
    sl_schema *schema;
    sl_steps *plan;
    sl_step_runner *runner;
    sl_decoder *decoder;
    sl_batch *batch;
    const sl_batch *view;
    sl_step_count counts[8];
    uint8_t raw[4096];
    sl_record record;
} fixture;

/** "set a expression" → the definition; names alone are separated by blanks. */
static sl_step_definition step(sl_step_kind kind, const char *name, const char *text) {
    static sl_step_item items[64];
    static uint32_t used;
    sl_step_item *item = &items[used++ % 64];
    memcpy(&item->name, &name, sizeof name);
    memcpy(&item->text, &text, sizeof text);
    static char salt[] = "a salt of sixteen letters";
    return (sl_step_definition){.kind = kind, .items = item, .count = 1, .salt = salt};
}

static sl_status begin(fixture *f, const sl_step_definition *steps, uint32_t count, uint32_t *wrong, sl_error *error) {
    *f = (fixture){0};
    sl_status status = schema_of(schema_text, false, &f->schema, error);
    if (status == SL_OK)
        status = sl_steps_create(steps, count, f->schema, "at", &f->plan, wrong, error);
    if (status == SL_OK)
        status = sl_step_runner_create(f->plan, &f->runner);
    if (status == SL_OK)
        status = sl_decoder_create(sl_steps_schema(f->plan), &(sl_decoder_options){0}, &f->decoder);
    if (status == SL_OK && (f->batch = sl_batch_create(NULL)) == NULL)
        status = SL_ENOMEM;
    return status;
}

static sl_status run(fixture *f, const char *events) {
    snprintf((char *)f->raw, sizeof f->raw, "%s", events);
    f->record = (sl_record){.length = (uint32_t)strlen(events)};
    sl_decode_input input = {.record = 0};
    sl_status status = sl_batch_prepare(f->batch, sl_steps_schema(f->plan), f->raw, &f->record);
    if (status == SL_OK)
        status = sl_decode(f->decoder, f->batch, &input);
    if (status == SL_OK)
        status = sl_step_runner_run(f->runner, f->batch, f->counts);
    if (status == SL_OK)
        f->view = sl_step_runner_view(f->runner, f->batch);
    return status;
}

static void end(fixture *f) {
    sl_batch_destroy(f->batch);
    sl_decoder_destroy(f->decoder);
    sl_step_runner_destroy(f->runner);
    sl_steps_unref(f->plan);
    sl_schema_unref(f->schema);
}

static void made(fixture *f, const sl_step_definition *steps, uint32_t count, const char *events) {
    uint32_t wrong;
    sl_error error;
    if (begin(f, steps, count, &wrong, &error) != SL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(run(f, events), SL_OK);
}

/** The kept rows as tables see them: {"field":value,…} of what is there. */
static void rows_are(const fixture *f, const char *expected) {
    sl_buffer text = SL_BUFFER_EMPTY;
    for (uint32_t row = 0; row < f->view->rows; row++) {
        if (f->view->verdict[row] != SL_VERDICT_KEEP)
            continue;
        sl_buffer_text(&text, "{");
        const char *comma = "";
        for (uint32_t i = 1; i < f->view->schema->count; i++) {
            if (f->view->schema->fields[i].type == SL_TYPE_GROUP || !sl_batch_present(f->view, i, row))
                continue;
            sl_value value = sl_value_of(f->view, i, row);
            sl_buffer_printf(&text, "%s%s=", comma, f->view->schema->fields[i].path);
            sl_value_json(&value, &text);
            comma = " ";
        }
        sl_buffer_text(&text, "}");
    }
    assert_string_equal(sl_buffer_cstr(&text), expected);
    sl_buffer_fini(&text);
}

static void set_makes_a_column_of_the_expressions_type(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_SET, "large", "amount > 10.0"),
                                        step(SL_STEP_SET, "more.twice", "count * 2")};
    fixture f;
    made(&f, steps, 2, "{\"amount\":11.5,\"count\":4}\n{\"amount\":1}\n{}");
    rows_are(&f, "{amount=11.5 count=4 large=true more.twice=8}{amount=1 large=false}{}");
    assert_int_equal(f.counts[0].changed, 2);
    assert_int_equal(f.counts[0].passed, 3);
    end(&f);
}

static void a_step_sees_what_the_ones_before_made(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_SET, "a", "count + 1"), step(SL_STEP_SET, "b", "a * 10"),
                                        step(SL_STEP_RENAME, "b", "c"), step(SL_STEP_WHERE, "", "c > 20")};
    fixture f;
    made(&f, steps, 4, "{\"count\":1}\n{\"count\":2}");
    rows_are(&f, "{count=2 a=3 c=30}");
    assert_int_equal(f.batch->verdict[0], SL_VERDICT_FILTERED);
    assert_int_equal(f.counts[3].refused, 1);
    assert_int_equal(f.counts[3].passed, 1);
    end(&f);
}

static void set_of_a_member_that_is_there_keeps_its_type(void **state) {
    (void)state;
    const sl_step_definition good[] = {step(SL_STEP_SET, "amount", "count")};
    fixture f;
    made(&f, good, 1, "{\"amount\":1.5,\"count\":3}");
    rows_are(&f, "{amount=3 count=3}");
    end(&f);
    const sl_step_definition bad[] = {step(SL_STEP_DROP, "count", NULL), step(SL_STEP_SET, "amount", "user")};
    uint32_t wrong;
    sl_error error;
    assert_int_equal(begin(&f, bad, 2, &wrong, &error), SL_ETYPE);
    assert_int_equal(wrong, 1u << 16);
    assert_non_null(strstr(error.text, "amount"));
    end(&f);
}

static void default_fills_only_what_is_missing(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_DEFAULT, "user", "\"nobody\"")};
    fixture f;
    made(&f, steps, 1, "{\"user\":\"u\"}\n{\"user\":null}\n{}");
    rows_are(&f, "{user=\"u\"}{user=\"nobody\"}{user=\"nobody\"}");
    assert_int_equal(f.counts[0].changed, 2);
    end(&f);
}

static void decimals_take_literals_and_whole_numbers(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_DEFAULT, "price", "0.5 // half"), step(SL_STEP_SET, "amount", "double(price)"),
                                        step(SL_STEP_SET, "price", "count")};
    fixture f;
    made(&f, steps, 2, "{\"price\":1.25}\n{}");
    rows_are(&f, "{amount=1.25 price=1.25}{amount=0.5 price=0.50}");
    end(&f);
    made(&f, steps + 2, 1, "{\"price\":1.25,\"count\":3}\n{}");
    rows_are(&f, "{count=3 price=3.00}{}");
    end(&f);
    /* What a column of eight digits can't hold is null, and counted. */
    made(&f, steps + 2, 1, "{\"price\":1.25,\"count\":999999}\n{\"price\":1.25,\"count\":-1000000}");
    rows_are(&f, "{count=999999 price=999999.00}{count=-1000000}");
    assert_int_equal(f.counts[0].errors, 1);
    end(&f);
    static const struct {
        const char *text, *words;
    } wrong[] = {{"0.125", "'price' is of type decimal"},
                 {"amount", "'price' is of type decimal"},
                 {"user", "'price' is of type decimal"},
                 {"price * price", "'price' has 2 decimals, the expression 4"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const sl_step_definition bad[] = {step(SL_STEP_SET, "price", wrong[i].text)};
        uint32_t place;
        sl_error error;
        assert_int_equal(begin(&f, bad, 1, &place, &error), SL_ETYPE);
        assert_non_null(strstr(error.text, wrong[i].words));
        end(&f);
    }
}

static void what_isnt_required_true_becomes_a_dead_letter(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_REQUIRE, "place.city", "place.city != \"\""),
                                        step(SL_STEP_REQUIRE, "division", "10 / count > 1")};
    fixture f;
    made(&f, steps, 2,
         "{\"place\":{\"city\":\"Bonn\"},\"count\":2}\n{\"place\":{\"city\":\"\"},\"count\":2}\n{\"count\":2}\n"
         "{\"place\":{\"city\":\"Ulm\"},\"count\":0}");
    rows_are(&f, "{count=2 place.city=\"Bonn\"}");
    assert_int_equal(f.batch->reject_count, 3);
    const sl_reject *r = f.batch->rejects;
    assert_int_equal(r[0].code, SL_CODE_REQUIRE);
    assert_memory_equal(sl_batch_text(f.batch, r[0].path), "/place/city", r[0].path.length);
    const char *text = "requires place.city != \"\"";
    assert_int_equal(r[0].message.length, strlen(text));
    assert_memory_equal(sl_batch_text(f.batch, r[0].message), text, r[0].message.length);
    assert_int_equal(r[2].path.length, 0);
    const char *why = "requires place.city != \"\": `place.city` is missing";
    assert_int_equal(r[1].message.length, strlen(why));
    assert_memory_equal(sl_batch_text(f.batch, r[1].message), why, strlen(why));
    assert_int_equal(f.counts[0].refused, 2);
    assert_int_equal(f.counts[1].refused, 1);
    assert_int_equal(f.counts[1].errors, 1);
    end(&f);
}

static void dropped_members_are_gone_and_empty_objects_with_them(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_DROP, "place.city", NULL), step(SL_STEP_DROP, "place.zip", NULL),
                                        step(SL_STEP_DROP, "amount", NULL)};
    fixture f;
    made(&f, steps, 3, "{\"place\":{\"city\":\"Bonn\"},\"count\":2,\"amount\":1}");
    rows_are(&f, "{count=2}");
    assert_int_equal(sl_schema_find(f.view->schema, "place"), SL_NO_FIELD);
    end(&f);
    const sl_step_definition object[] = {step(SL_STEP_DROP, "place", NULL)};
    made(&f, object, 1, "{\"place\":{\"city\":\"Bonn\"},\"count\":2}");
    rows_are(&f, "{count=2}");
    end(&f);
}

static void rename_takes_a_member_out_of_an_object_that_may_be_absent(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_RENAME, "place.city", "city"), step(SL_STEP_RENAME, "user", "place.user")};
    fixture f;
    made(&f, steps, 2, "{\"place\":{\"city\":\"Bonn\"},\"user\":\"u\"}\n{\"user\":\"v\"}");
    rows_are(&f, "{city=\"Bonn\" place.user=\"u\"}{place.user=\"v\"}");
    end(&f);
}

static void a_member_that_is_set_makes_its_object(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_SET, "place.known", "user == 'u'"), step(SL_STEP_DEFAULT, "place.city", "'Ulm'"),
                                        step(SL_STEP_SET, "place.zip", "user")};
    fixture f;
    made(&f, steps, 3,
         "{\"user\":\"u\"}\n{\"user\":\"v\",\"place\":{\"city\":\"Bonn\",\"zip\":\"5\"}}\n{\"user\":\"u\",\"place\":null}\n"
         "{\"place\":{\"zip\":\"stale\"},\"place\":null}");
    rows_are(&f, "{user=\"u\" place.city=\"Ulm\" place.zip=\"u\" place.known=true}"
                 "{user=\"v\" place.city=\"Bonn\" place.zip=\"v\" place.known=false}"
                 "{user=\"u\" place.city=\"Ulm\" place.zip=\"u\" place.known=true}"
                 "{place.city=\"Ulm\"}");
    end(&f);
    /* What can't be told makes none, and a new one holds nothing of one that another of its name has replaced. */
    const sl_step_definition known[] = {step(SL_STEP_SET, "place.known", "user == 'u'")};
    made(&f, known, 1, "{}\n{\"place\":{\"zip\":\"stale\"},\"place\":null,\"user\":\"u\"}");
    rows_are(&f, "{}{user=\"u\" place.known=true}");
    assert_false(sl_batch_present(f.view, sl_schema_find(f.view->schema, "place"), 0));
    end(&f);
}

/** "name" or "name?" where tables may see null, in order. */
static void nullable_are(const fixture *f, const char *expected) {
    sl_buffer text = SL_BUFFER_EMPTY;
    const sl_schema *output = sl_steps_output(f->plan);
    for (uint32_t i = 1; i < output->count; i++)
        sl_buffer_printf(&text, "%s%s%s", i == 1 ? "" : " ", output->fields[i].path, output->fields[i].nullable ? "?" : "");
    assert_string_equal(sl_buffer_cstr(&text), expected);
    sl_buffer_fini(&text);
}

static void what_steps_may_leave_null_is_null_to_tables(void **state) {
    (void)state;
    static const char required[] =
        "{\"type\":\"object\",\"required\":[\"n\",\"m\",\"always\"],\"properties\":{\"n\":{\"type\":\"integer\"},"
        "\"m\":{\"type\":\"integer\"},\"always\":{\"type\":\"object\",\"required\":[\"a\"],\"properties\":"
        "{\"a\":{\"type\":\"integer\"}}},\"some\":{\"type\":\"object\",\"required\":[\"a\",\"deep\"],\"properties\":"
        "{\"a\":{\"type\":\"integer\"},\"deep\":{\"type\":\"object\",\"required\":[\"b\"],\"properties\":"
        "{\"b\":{\"type\":\"integer\"}}}}}}}";
    static const struct {
        const char *name, *nullable;
    } cases[] = {
        {"more", "n m always always.a some? some.a some.deep some.deep.b more?"},
        {"n", "n? m always always.a some? some.a some.deep some.deep.b"},
        {"always.more", "n m always always.a some? some.a some.deep some.deep.b always.more?"},
        {"some.more", "n m always always.a some? some.a? some.deep? some.deep.b some.more?"},
        {"some.deep.more", "n m always always.a some? some.a? some.deep? some.deep.b? some.deep.more?"},
        {"some.deep.b", "n m always always.a some? some.a? some.deep? some.deep.b?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sl_step_definition steps[] = {step(SL_STEP_SET, cases[i].name, "n / m")};
        fixture f = {0};
        uint32_t wrong;
        sl_error error;
        assert_int_equal(schema_of(required, false, &f.schema, &error), SL_OK);
        if (sl_steps_create(steps, 1, f.schema, NULL, &f.plan, &wrong, &error) != SL_OK)
            fail_msg("%s", error.text);
        nullable_are(&f, cases[i].nullable);
        end(&f);
    }
}

static void texts_are_trimmed_lowered_redacted_and_hashed(void **state) {
    (void)state;
    const sl_step_definition steps[] = {step(SL_STEP_TRIM, "user", NULL), step(SL_STEP_LOWER, "user", NULL),
                                        step(SL_STEP_REDACT, "place.zip", NULL), step(SL_STEP_HASH, "place.city", NULL)};
    fixture f;
    made(&f, steps, 4, "{\"user\":\" \\tMaX\\u00c4 \",\"place\":{\"zip\":\"53111\",\"city\":\"Bonn\"}}\n{\"user\":\"max\"}");
    /* printf 'Bonn' | openssl dgst -sha256 -hmac 'a salt of sixteen letters' */
    rows_are(&f, "{user=\"max\xc3\x84\" "
                 "place.city=\"7ae381b7ad5baedd0fd43531da9533a15cd59da8af1fb36b6797eb8ee36c070b\" "
                 "place.zip=\"***\"}{user=\"max\"}");
    assert_int_equal(f.counts[0].changed, 1);
    assert_int_equal(f.counts[1].changed, 1);
    end(&f);
}

static void wrong_definitions_name_the_item(void **state) {
    (void)state;
    static const struct {
        sl_step_kind kind;
        const char *name, *text;
        sl_status status;
        const char *word;
    } cases[] = {
        {SL_STEP_SET, "a", "usr == \"\"", SL_ENOTFOUND, "user"},
        {SL_STEP_SET, "a", "user +", SL_ESYNTAX, "user +"},
        {SL_STEP_REQUIRE, "a", "count + 1", SL_ETYPE, "true or false"},
        {SL_STEP_DROP, "plce", NULL, SL_ENOTFOUND, "plce"},
        {SL_STEP_DROP, "at", NULL, SL_EINVAL, "event time"},
        {SL_STEP_RENAME, "at", "ts", SL_EINVAL, "event time"},
        {SL_STEP_RENAME, "user", "count", SL_EEXIST, "count"},
        {SL_STEP_TRIM, "count", NULL, SL_ETYPE, "expected a string"},
        {SL_STEP_LOWER, "place", NULL, SL_ETYPE, "object"},
        {SL_STEP_CAST, "count", "text", SL_EINVAL, "integer"},
        {SL_STEP_SET, "user.name", "count", SL_EEXIST, "user"},
        {SL_STEP_SET, "a..b", "count", SL_EINVAL, "a..b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sl_step_definition steps[] = {step(cases[i].kind, cases[i].name, cases[i].text)};
        fixture f;
        uint32_t wrong = 9;
        sl_error error;
        assert_int_equal(begin(&f, steps, 1, &wrong, &error), cases[i].status);
        if (strstr(error.text, cases[i].word) == NULL)
            fail_msg("%s: %s", cases[i].name, error.text);
        end(&f);
    }
}

static void every_failed_allocation_is_told_or_changes_nothing(void **state) {
    (void)state;
    const sl_step_definition steps[] = {
        step(SL_STEP_SET, "a.b", "user + \"!\""), step(SL_STEP_REQUIRE, "count", "count > 0"),
        step(SL_STEP_LOWER, "user", NULL), step(SL_STEP_HASH, "place.city", NULL), step(SL_STEP_RENAME, "amount", "m")};
    for (uint64_t n = 1;; n++) {
        fixture f;
        uint32_t wrong;
        sl_error error;
        sl_memory_fail_at(n);
        sl_status status = begin(&f, steps, 5, &wrong, &error);
        if (status == SL_OK)
            status = run(&f, "{\"user\":\"AB\",\"count\":0,\"place\":{\"city\":\"x\"}}\n{\"user\":\"CD\",\"count\":1}");
        bool reached = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        if (status == SL_OK) /* A buffer that was for messages alone may fail unnoticed. */
            assert_int_equal(f.batch->reject_count, 1);
        else
            assert_int_equal(status, SL_ENOMEM);
        end(&f);
        if (!reached)
            return;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_makes_a_column_of_the_expressions_type),
        cmocka_unit_test(a_step_sees_what_the_ones_before_made),
        cmocka_unit_test(set_of_a_member_that_is_there_keeps_its_type),
        cmocka_unit_test(default_fills_only_what_is_missing),
        cmocka_unit_test(decimals_take_literals_and_whole_numbers),
        cmocka_unit_test(what_isnt_required_true_becomes_a_dead_letter),
        cmocka_unit_test(dropped_members_are_gone_and_empty_objects_with_them),
        cmocka_unit_test(rename_takes_a_member_out_of_an_object_that_may_be_absent),
        cmocka_unit_test(a_member_that_is_set_makes_its_object),
        cmocka_unit_test(what_steps_may_leave_null_is_null_to_tables),
        cmocka_unit_test(texts_are_trimmed_lowered_redacted_and_hashed),
        cmocka_unit_test(wrong_definitions_name_the_item),
        cmocka_unit_test(every_failed_allocation_is_told_or_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
