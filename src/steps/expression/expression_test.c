// Expressions: grammar, types and their messages, answers on batches and on values.

#include "sluice/expression.h"

#include "sluice/time.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

// ---- One row of names
// ------------------------------------------------------------------------

static const sl_expression_name names[] = {
    {"i", SL_TYPE_INT64, 0, 0},          {"j", SL_TYPE_INT64, 0, 1},
    {"x", SL_TYPE_DOUBLE, 0, 2},         {"money", SL_TYPE_DECIMAL, 2, 3},
    {"fine", SL_TYPE_DECIMAL, 4, 4},     {"s", SL_TYPE_STRING, 0, 5},
    {"yes", SL_TYPE_BOOL, 0, 6},         {"no", SL_TYPE_BOOL, 0, 7},
    {"gone", SL_TYPE_INT64, 0, 8},       {"lost", SL_TYPE_BOOL, 0, 9},
    {"at", SL_TYPE_TIMESTAMP, 0, 10},    {"day", SL_TYPE_DATE, 0, 11},
    {"geo.city", SL_TYPE_STRING, 0, 12}, {"@time", SL_TYPE_INT64, 0, 13},
    {"least", SL_TYPE_INT64, 0, 14},     {"zero", SL_TYPE_INT64, 0, 15},
    {"nan", SL_TYPE_DOUBLE, 0, 16},      {"big", SL_TYPE_INT64, 0, 17},
    {"stamp", SL_TYPE_TIMESTAMP, 0, 18}, {"path", SL_TYPE_STRING, 0, 19},
    {"word", SL_TYPE_STRING, 0, 20},     {"list", SL_TYPE_STRING, 0, 21},
    {"digits", SL_TYPE_STRING, 0, 22},   {"silent", SL_TYPE_STRING, 0, 23},
    {"geo.zone", SL_TYPE_STRING, 0, 24},
};
#define NAMES (sizeof names / sizeof *names)

static void set_text(sl_value *value, const char *bytes) {
    value->as.text.bytes = (const uint8_t *)bytes;
    value->as.text.length = strlen(bytes);
}

static void fill(sl_value values[NAMES]) {
    for (size_t i = 0; i < NAMES; i++)
        values[i] = (sl_value){.type = names[i].type, .scale = names[i].scale};
    values[0].as.i64 = 7;
    values[1].as.i64 = -2;
    values[2].as.f64 = 2.5;
    values[3].as.i64 = 100010;   // 1000.10
    values[4].as.i64 = 10001000; // 1000.1000
    set_text(&values[5], "na\xc3\xafve");
    values[6].as.i64 = 1;
    values[8].null = values[9].null = true;
    values[10].as.i64 = INT64_C(1767225600000000);
    values[11].as.i64 = 20454;
    set_text(&values[12], "Oslo");
    values[13].as.i64 = 5;
    values[14].as.i64 = INT64_MIN;
    values[16].as.f64 = (double)NAN;
    values[17].as.i64 = (INT64_C(1) << 53) + 1;
    values[18].as.i64 = INT64_C(1709214356789123);
    set_text(&values[19], "/api/v1/users?id=42");
    set_text(&values[20], "  Hello  ");
    set_text(&values[21], "a,b,,c");
    set_text(&values[22], "42");
    values[23].null = true;
    set_text(&values[24], "Europe/Oslo");
}

// "etype: column 3: …" of what isn't compiled.
static void put_refusal(sl_status status, const sl_error *error, sl_buffer *out) {
    sl_buffer_printf(out, "%s: %s", sl_status_name(status), error->text);
}

#define GEO 1u          // The group's field index.
#define FIRST (GEO + 1) // names[i] is field FIRST + i.

static sl_schema *names_as_schema(void) {
    sl_schema *schema = sl_schema_create("s");
    assert_int_equal(sl_schema_add(schema, 0, "geo", 3, SL_TYPE_GROUP), GEO);
    for (size_t i = 0; i < NAMES; i++) {
        bool nested = strncmp(names[i].path, "geo.", 4) == 0;
        const char *name = names[i].path + (nested ? 4 : 0);
        uint32_t field =
            sl_schema_add(schema, nested ? GEO : 0, name, strlen(name), names[i].type);
        schema->fields[field].scale = names[i].scale;
    }
    return schema;
}

static void put_cell(sl_batch *batch, sl_column *column, uint32_t row,
                     const sl_value *value) {
    column->valid[row] = !value->null;
    if (value->type == SL_TYPE_STRING)
        column->values.span[row] =
            sl_batch_keep_text(batch, value->as.text.bytes, value->as.text.length);
    else if (value->type == SL_TYPE_BOOL)
        column->values.truth[row] = (uint8_t)value->as.i64;
    else if (value->type == SL_TYPE_DOUBLE)
        column->values.f64[row] = value->as.f64;
    else
        column->values.i64[row] = value->as.i64;
}

static sl_value result_cell(const sl_expression *e, const sl_batch *batch,
                            const sl_column *out, uint32_t row) {
    sl_value result = {.type = sl_expression_type(e), .scale = sl_expression_scale(e)};
    result.null = !out->valid[row];
    if (result.type == SL_TYPE_STRING) {
        result.as.text.bytes = sl_expression_text(e, batch, out->values.span[row]);
        result.as.text.length = out->values.span[row].length;
    } else if (result.type == SL_TYPE_BOOL) {
        result.as.i64 = out->values.truth[row];
    } else if (result.type == SL_TYPE_DOUBLE) {
        result.as.f64 = out->values.f64[row];
    } else {
        result.as.i64 = out->values.i64[row];
    }
    return result;
}

// The same names as fields, the same values as row 1 of a batch; rows 0 and 2 have none.
static void batch_answer(const char *text, sl_buffer *out) {
    static const uint8_t no_bytes[SL_PADDING];
    static const sl_record record = {0};
    sl_value values[NAMES];
    fill(values);
    sl_schema *schema = names_as_schema();
    sl_batch *batch = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(batch, schema, no_bytes, &record), SL_OK);
    batch->rows = 3;
    batch->columns[GEO].valid[1] = 1;
    for (size_t i = 0; i < NAMES; i++)
        put_cell(batch, &batch->columns[FIRST + i], 1, &values[i]);
    sl_expression *expression = NULL;
    sl_error error = {0};
    sl_status status = sl_expression_compile(text, schema, &expression, &error);
    if (status == SL_OK) {
        const sl_column *cells = sl_expression_run(expression, batch, NULL);
        sl_value result = result_cell(expression, batch, cells, 1);
        sl_value_json(&result, out);
    } else {
        put_refusal(status, &error, out);
    }
    sl_expression_destroy(expression);
    sl_batch_destroy(batch);
    sl_schema_unref(schema);
}

// The answer as JSON text; "null" for an error.
static void value_answer(const char *text, bool real_division, sl_buffer *out) {
    sl_value values[NAMES];
    fill(values);
    sl_expression *expression = NULL;
    sl_error error = {0};
    sl_status status = sl_expression_compile_names(text, names, NAMES, real_division,
                                                   &expression, &error);
    if (status == SL_OK) {
        sl_value result = sl_expression_value(expression, values);
        assert_int_equal(result.type, sl_expression_type(expression));
        sl_value_json(&result, out);
    } else {
        put_refusal(status, &error, out);
    }
    sl_expression_destroy(expression);
}

static void is_with(const char *text, bool real_division, const char *expected) {
    sl_buffer answer = {0};
    value_answer(text, real_division, &answer);
    if (strcmp(sl_buffer_cstr(&answer), expected) != 0)
        fail_msg("%s is %s, expected %s", text, sl_buffer_cstr(&answer), expected);
    sl_buffer_fini(&answer);
}

static void is(const char *text, const char *expected) {
    is_with(text, false, expected);
    sl_buffer answer = {0};
    batch_answer(text, &answer);
    if (strcmp(sl_buffer_cstr(&answer), expected) != 0)
        fail_msg("%s is %s on a batch, expected %s", text, sl_buffer_cstr(&answer),
                 expected);
    sl_buffer_fini(&answer);
}

static void refused(const char *text, sl_status status, const char *part) {
    sl_expression *expression = NULL;
    sl_error error = {0};
    sl_status got =
        sl_expression_compile_names(text, names, NAMES, false, &expression, &error);
    if (got != status || strstr(error.text, part) == NULL)
        fail_msg("%s: status %s, \"%s\" lacks \"%s\"", text, sl_status_name(got),
                 error.text, part);
    assert_int_equal(error.status, status);
    assert_null(expression);
}

// ---- The table of cases
// --------------------------------------------------------------------

static bool same_json(const char *answer, const char *expected) {
    if (strcmp(answer, expected) == 0)
        return true;
    // The table may escape characters that answers have as they are.
    return strncmp(expected, "\"\\u200b", 7) == 0 &&
           strncmp(answer, "\"\xe2\x80\x8b", 4) == 0 &&
           strcmp(answer + 4, expected + 7) == 0;
}

// "expression => JSON" or "expression =! status: part". @return whether it holds.
static bool case_holds(char *line, int number) {
    char *mark = strstr(line, " => "), *refusal = strstr(line, " =! ");
    const char *wanted = (mark != NULL ? mark : refusal) + 4;
    const char *part = mark != NULL ? NULL : strstr(wanted, ": ") + 2;
    *(mark != NULL ? mark : refusal) = 0;
    bool good = true;
    for (int way = 0; way < 2; way++) {
        sl_buffer answer = {0};
        if (way == 0)
            value_answer(line, false, &answer);
        else
            batch_answer(line, &answer);
        const char *got = sl_buffer_cstr(&answer);
        bool same = part == NULL ? same_json(got, wanted)
                                 : strncmp(got, wanted, (size_t)(part - wanted)) == 0 &&
                                       strstr(got, part) != NULL;
        if (!same)
            print_error("line %d, %s: %s\n  is %s\n  not %s\n", number,
                        way == 0 ? "value" : "batch", line, got, wanted);
        good = good && same;
        sl_buffer_fini(&answer);
    }
    return good;
}

static void every_case_of_the_table_holds(void **state) {
    (void)state;
    FILE *file = fopen(EXPRESSION_CASES, "r");
    assert_non_null(file);
    char line[1024];
    int number = 0, cases = 0, failed = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        number++;
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 0 || line[0] == '#')
            continue;
        cases++;
        failed += !case_holds(line, number);
    }
    fclose(file);
    print_message("%d cases\n", cases);
    assert_int_equal(failed, 0);
    assert_true(cases >= 300);
}

// ---- Grammar
// ---------------------------------------------------------------------------------

static void literals_have_their_values(void **state) {
    (void)state;
    is("42", "42");
    is("0x2A", "42");
    is("-9223372036854775808", "-9223372036854775808");
    is("9223372036854775807", "9223372036854775807");
    is("1.5", "1.5");
    is(".5", "0.5");
    is("1e3", "1000");
    is("-2.5e-1", "-0.25");
    is("true", "true");
    is("false", "false");
    is("'\\u20ac'", "\"\xe2\x82\xac\"");
    is("\"a\\n\\u00e9\\x41\\101\\\"\"", "\"a\\n\xc3\xa9"
                                        "AA\\\"\"");
    is("'it\\'s'", "\"it's\"");
    is("r'\\n'", "\"\\\\n\"");
    is("'''a'b\n'''", "\"a'b\\n\"");
    is("\"\"", "\"\"");
    is("'\\U0001F600'", "\"\xf0\x9f\x98\x80\"");
    is("1 // the rest is a comment", "1");
    is("timestamp('2026-01-01T00:00:00Z')", "\"2026-01-01T00:00:00Z\"");
}

static void operators_bind_as_cel_says(void **state) {
    (void)state;
    is("1 + 2 * 3", "7");
    is("(1 + 2) * 3", "9");
    is("10 - 3 - 2", "5");
    is("100 / 10 / 5", "2");
    is("7 % 4 * 2", "6");
    is("-i + 1", "-6");
    is("- -i", "7");
    is("!!yes", "true");
    is("!yes || yes", "true");
    is("yes || no && no", "true");
    is("1 + 1 == 2 && 2 < 3", "true");
    is("no ? 1 : no ? 2 : 3", "3");
    is("yes ? (no ? 1 : 2) : 3", "2");
    refused("yes ? no ? 1 : 2 : 3", SL_ESYNTAX, "expected `:`");
    is("1 < 2 == true", "true");
    is("i in [1, 7] == true", "true");
}

static void names_may_be_dotted_or_quoted(void **state) {
    (void)state;
    is("geo.city", "\"Oslo\"");
    is("geo . city == 'Oslo'", "true");
    is("`@time` + 1", "6");
    is("`geo`.`city`.size()", "4");
}

static void broken_texts_name_their_place(void **state) {
    (void)state;
    refused("", SL_ESYNTAX, "column 1: the expression is empty");
    refused("i +", SL_ESYNTAX, "column 4: expected a value, but the text ends here");
    refused("i > > 2", SL_ESYNTAX,
            "column 5: expected a value, found `>`\n  i > > 2\n      ^");
    refused("i = 2", SL_ESYNTAX, "column 3: `=` alone");
    refused("yes & no", SL_ESYNTAX, "`&&`");
    refused("(i", SL_ESYNTAX, "expected `)`");
    refused("[1, 2", SL_ESYNTAX, "expected `]`");
    refused("i 2", SL_ESYNTAX, "expected an operator or the end, found `2`");
    refused("yes ? 1", SL_ESYNTAX, "expected `:`");
    refused("'abc", SL_ESYNTAX, "column 1: the string is not closed");
    refused("'a\nb'", SL_ESYNTAX, "not closed");
    refused("'\\q'", SL_ESYNTAX, "column 2: there is no such escape");
    refused("'\\ud800'", SL_ESYNTAX, "no character");
    refused("'\\x4'", SL_ESYNTAX, "2 digits of base 16");
    refused("`a", SL_ESYNTAX, "backtick");
    refused("``", SL_ESYNTAX, "the name is empty");
    refused("i \x01", SL_ESYNTAX, "this character");
    refused("0x", SL_ESYNTAX, "hexadecimal");
    refused("1e", SL_ESYNTAX, "exponent");
    refused("12ab", SL_ESYNTAX, "letter");
    refused("if", SL_ESYNTAX, "reserved");
    refused("i # 2", SL_ESYNTAX, "`#`");
    refused("geo.", SL_ESYNTAX, "expected a name");
    refused("i.size(1,)", SL_ESYNTAX, "expected an argument");
    refused(
        "i >\n  3 +\n  'x'", SL_ETYPE,
        "line 2, column 5: `+` does not go between int64 and string; string() makes a "
        "text of it\n    3 +\n      ^");
    refused("'\xc3\xa9' == 'e' + 3", SL_ETYPE, "column 12: `+`");
    refused("9223372036854775808", SL_ETYPE, "64 bits");
}

static void deep_and_long_texts_are_refused(void **state) {
    (void)state;
    sl_buffer text = {0};
    for (int i = 0; i < 200; i++)
        sl_buffer_text(&text, "(");
    refused(sl_buffer_cstr(&text), SL_ELIMIT, "too deep");
    sl_buffer_clear(&text);
    for (int i = 0; i < 5000; i++)
        sl_buffer_text(&text, "-");
    refused(sl_buffer_cstr(&text), SL_ELIMIT, "too deep");
    sl_buffer_clear(&text);
    for (int i = 0; i < 5000; i++)
        sl_buffer_text(&text, "yes && ");
    sl_buffer_text(&text, "yes");
    refused(sl_buffer_cstr(&text), SL_ELIMIT, "too deep");
    sl_buffer_clear(&text);
    for (int i = 0; i < 20000; i++)
        sl_buffer_text(&text, "1 + ");
    refused(sl_buffer_cstr(&text), SL_ELIMIT, "longer than");
    sl_buffer_fini(&text);
}

static void macros_do_not_unroll_for_ever(void **state) {
    (void)state;
    sl_buffer text = {0};
    for (int i = 0; i < 40; i++)
        sl_buffer_text(&text, "[1, 2, 3, 4].all(v, ");
    sl_buffer_text(&text, "v > 0");
    for (int i = 0; i < 40; i++)
        sl_buffer_text(&text, ")");
    refused(sl_buffer_cstr(&text), SL_ELIMIT, "the macros would unroll too far");
    sl_buffer_fini(&text);
}

static void a_hostile_match_is_an_error_of_its_row(void **state) {
    (void)state;
    sl_buffer text = {0};
    sl_buffer_text(&text, "'");
    for (int i = 0; i < 40; i++)
        sl_buffer_text(&text, "a");
    sl_buffer_text(&text, "'.matches('^(a+)+$') && (s + '");
    for (int i = 0; i < 40; i++)
        sl_buffer_text(&text, "a");
    sl_buffer_text(&text, "!').matches('(a+)+$')");
    is(sl_buffer_cstr(&text), "null");
    sl_buffer_fini(&text);
}

static void what_grows_too_large_is_an_error_of_its_row(void **state) {
    (void)state;
    // Eight times sixteen-fold would be 2^32 times as long.
    sl_buffer text = {0};
    sl_buffer_text(&text, "s");
    for (int i = 0; i < 8; i++)
        sl_buffer_text(&text, ".replace('', '0123456789abcdef')");
    sl_buffer_text(&text, ".size() > 0 || yes");
    is(sl_buffer_cstr(&text), "true");
    sl_buffer_fini(&text);
}

static void expressions_of_too_many_parts_are_refused(void **state) {
    (void)state;
    sl_buffer text = {0};
    for (int i = 0; i < 50; i++) { // Wide, not deep.
        sl_buffer_text(&text, i == 0 ? "(1" : " + (1");
        for (int k = 0; k < 50; k++)
            sl_buffer_text(&text, " + 1");
        sl_buffer_text(&text, ")");
    }
    refused(sl_buffer_cstr(&text), SL_ELIMIT, "too many parts");
    sl_buffer_clear(&text);
    for (int i = 0; i < 3000; i++)
        sl_buffer_text(&text, "a.");
    refused(sl_buffer_cstr(&text), SL_ELIMIT, "the name is too long");
    sl_buffer_fini(&text);
}

// ---- Types
// -----------------------------------------------------------------------------------

static void wrong_types_are_refused_with_a_caret(void **state) {
    (void)state;
    refused("money > 'x'", SL_ETYPE,
            "column 7: `>` does not go between decimal and string\n"
            "  money > 'x'\n"
            "        ^");
    refused("yes + 1", SL_ETYPE, "bool and int64");
    refused("i && yes", SL_ETYPE, "&& takes a bool, and this is int64");
    refused("!i", SL_ETYPE, "! takes a bool");
    refused("-s", SL_ETYPE, "takes a signed number");
    refused("i ? 1 : 2", SL_ETYPE, "`?` takes a bool");
    refused("yes ? 1 : 'a'", SL_ETYPE, "one answer is int64, the other string");
    refused("x % 2.0", SL_ETYPE, "`%`");
    refused("s.startsWith(1)", SL_ETYPE, "takes a string here, and this is int64");
    refused("startsWith(s, 'a')", SL_ETYPE, "x.startsWith(...)");
    refused("s.startsWith()", SL_ETYPE, "takes 2 values, and here are 1");
    refused("size(i)", SL_ETYPE, "takes a string, bytes or a list here");
    refused("i in ['a']", SL_ETYPE, "this is string, and what is looked for is int64");
    refused("at > '2026-01-01'", SL_ETYPE, "write timestamp(");
    refused("timestamp('yesterday') == at", SL_ETYPE, "RFC 3339");
    refused("day == '2026-13-01'", SL_ETYPE, "YYYY-MM-DD");
    refused("1 < 2 < 3", SL_ETYPE, "bool and int64");
    refused("has(1)", SL_ETYPE, "one name");
    refused("fine * fine * fine * fine * fine", SL_ETYPE, "18 decimals");
    refused("money == 1234567890123456789012", SL_ETYPE, "64 bits");
    refused("money == 1e30", SL_EUNSUPPORTED, "18 digits");
    refused("money == 1e-30", SL_EUNSUPPORTED, "18 digits");
    refused("money == 1e-3000", SL_EUNSUPPORTED, "18 digits");
    refused("money == 0.1234567890123456789", SL_EUNSUPPORTED, "18 digits");
    refused("'a'.b == 1", SL_ETYPE, "no members");
}

static void unknown_names_suggest_the_nearest(void **state) {
    (void)state;
    refused("1 + mony", SL_ENOTFOUND,
            "column 5: there is no `mony`; did you mean `money`?\n"
            "  1 + mony\n"
            "      ^");
    refused("geo.cty == 'x'", SL_ENOTFOUND, "did you mean `geo.city`?");
    refused("something_else == 1", SL_ENOTFOUND, "there is no `something_else`\n");
    refused("s.startWith('a')", SL_ENOTFOUND, "did you mean `startsWith`?");
    refused("s.frobnicate('a')", SL_ENOTFOUND, "there is no function `frobnicate`\n");
}

// ---- Answers
// ---------------------------------------------------------------------------------

static void whole_numbers_are_checked(void **state) {
    (void)state;
    is("i + j", "5");
    is("i / j", "-3");
    is("i % j", "1");
    is("i * j", "-14");
    is("least - 1", "null");
    is("-least", "null");
    is("least / -1", "null");
    is("least % -1", "null");
    is("least * 2", "null");
    is("i / zero", "null");
    is("i % zero", "null");
    is("9223372036854775807 + i", "null");
}

static void doubles_follow_ieee_754(void **state) {
    (void)state;
    is("x + 1", "3.5");
    is("x * i", "17.5");
    is("x - 1.5", "1");
    is("-x", "-2.5");
    is("x / 2.0", "1.25");
    is("-1.0 / 0.0 < -1e308", "true");
    is("0.0 / 0.0 == 0.0", "false");
    is("nan / 0.0 != 1.0", "true");
    is("x <= 2.5 && x >= 2.5 && !(x < 2.5) && !(x > 2.5)", "true");
    is("1.0 / 0.0 > 1e308", "true");
    is("nan == nan", "false");
    is("nan != nan", "true");
    is("nan < 1.0", "false");
    is("nan >= 1.0", "false");
    is("i < nan", "false");
}

static void whole_numbers_and_doubles_compare_exactly(void **state) {
    (void)state;
    is("i < 7.5", "true");
    is("i == 7.0", "true");
    is("7 < x", "false");
    is("x <= big", "true");
    is("i >= x * 2.0", "true");
    is("x < 3", "true");
    is("2.5 == x", "true");
    is("big == 9007199254740992.0", "false"); // 2^53 + 1, and what a double makes of it.
    is("big > 9007199254740992.0", "true");
    is("i < x * 3.0", "true");
    is("big > x * 3602879701896396.8", "true");
    is("least < -1e300", "false");
    is("i < 1e300", "true");
}

static void decimals_are_exact(void **state) {
    (void)state;
    is("money > 1000.0", "true");
    is("money == 1000.10", "true");
    is("money == 1000.1", "true");
    is("money >= 1000.10", "true");
    is("money == 1000.1000000000001", "false");
    is("money < 1000.1000000000001", "true");
    is("1000.1 == money", "true");
    is("money == fine", "true");
    is("money < fine + 0.0001", "true");
    is("money > 1000", "true");
    is("money > i", "true");
    is("i < money", "true");
    is("money + 0.2", "1000.30");
    is("money + 0.005", "1000.105");
    is("money - fine", "0.0000");
    is("money * 2", "2000.20");
    is("money * 1.5", "1500.150");
    is("money % 1", "0.10");
    is("money % zero", "null");
    is("-money", "-1000.10");
    is("money / 4", "250.025");
    is("money / zero", "null");
    is("money * 1000000000000000.0", "null");
    is("money > x", "true");
    is("money == 0e99", "false");
    is("money < 1e6", "true");
    is("yes ? money : fine", "1000.1000");
    is("yes ? money : 1", "1000.10");
    is("yes ? 1 : money", "1.00");
    is("yes ? i : x", "7");
}

static void ratios_of_measures_are_real(void **state) {
    (void)state;
    is_with("i / 2", true, "3.5");
    is_with("i / zero", true, "null");
    is_with("x / 0.0", true, "null");
    is_with("i / gone", true, "null");
    is("i / 2", "3");
}

static void texts_are_compared_by_bytes(void **state) {
    (void)state;
    is("s == 'na\xc3\xafve'", "true");
    is("s != 'naive'", "true");
    is("'a' < 'b'", "true");
    is("'a' < 'aa'", "true");
    is("'b' >= 'aa'", "true");
    is("s.size()", "5");
    is("size(s)", "5");
    is("s.startsWith('na')", "true");
    is("s.endsWith('ve')", "true");
    is("s.contains('\xc3\xaf')", "true");
    is("s.contains('')", "true");
    is("s.contains('vee')", "false");
    is("'aab'.contains('ab')", "true");
    is("s.startsWith('naivety and more')", "false");
    is("s + '!'", "\"na\xc3\xafve!\"");
    is("(yes ? 'a' : s) + geo.city", "\"aOslo\"");
    is("s + geo.city == 'na\xc3\xafveOslo'", "true");
}

static void times_compare_with_literals(void **state) {
    (void)state;
    is("at == timestamp('2026-01-01T01:00:00+01:00')", "true");
    is("at < timestamp('2026-01-01T00:00:00.000001Z')", "true");
    is("day == '2026-01-01'", "true");
    is("'2025-12-31' < day", "true");
    is("day in ['2026-01-01', '2026-01-02']", "true");
    is("at in [timestamp('2026-01-01T00:00:00Z')]", "true");
}

static void in_looks_through_constants(void **state) {
    (void)state;
    is("i in [3, 7, 1]", "true");
    is("i in []", "false");
    is("i in [7.0]", "true");
    is("i in [7.5]", "false");
    is("x in [1, 2.5,]", "true");
    is("nan in [1.0]", "false");
    is("money in [1.0, 1000.1]", "true");
    is("money in [1000.101]", "false");
    is("s in ['a', 'na\xc3\xafve', 'zzzzz']", "true");
    is("geo.city in ['Bergen', 'Oslo', 'Rome', 'Paris', 'Berlin', 'Wien', 'Bern', "
       "'Riga', 'Kyiv']",
       "true");
    is("geo.city in ['Bergen', 'Rome', 'Paris', 'Berlin']", "false");
    is("gone in [1]", "null");
    is("-5 in [-5]", "true");
}

static void logic_absorbs_errors(void **state) {
    (void)state;
    is("lost && no", "false");
    is("no && lost", "false");
    is("lost && yes", "null");
    is("lost || yes", "true");
    is("yes || lost", "true");
    is("lost || no", "null");
    is("!lost", "null");
    is("i / zero > 1 || yes", "true");
    is("yes ? 1 : gone", "1");
    is("yes ? no : yes", "false");
    is("no ? s : geo.city", "\"Oslo\"");
    is("no ? gone : 2", "2");
    is("no ? 2 : gone", "null");
    is("lost ? 1 : 2", "null");
    is("gone == 1", "null");
}

static void presence_can_be_asked(void **state) {
    (void)state;
    is("has(i)", "true");
    is("has(gone)", "false");
    is("gone == null", "true");
    is("gone != null", "false");
    is("null != i", "true");
    is("has(gone) && gone > 3", "false");
    is("has(gone) ? gone : 0", "0");
}

// ---- Batches
// ---------------------------------------------------------------------------------

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
        cmocka_unit_test(every_case_of_the_table_holds),
        cmocka_unit_test(literals_have_their_values),
        cmocka_unit_test(operators_bind_as_cel_says),
        cmocka_unit_test(names_may_be_dotted_or_quoted),
        cmocka_unit_test(broken_texts_name_their_place),
        cmocka_unit_test(deep_and_long_texts_are_refused),
        cmocka_unit_test(expressions_of_too_many_parts_are_refused),
        cmocka_unit_test(wrong_types_are_refused_with_a_caret),
        cmocka_unit_test(unknown_names_suggest_the_nearest),
        cmocka_unit_test(whole_numbers_are_checked),
        cmocka_unit_test(doubles_follow_ieee_754),
        cmocka_unit_test(whole_numbers_and_doubles_compare_exactly),
        cmocka_unit_test(decimals_are_exact),
        cmocka_unit_test(ratios_of_measures_are_real),
        cmocka_unit_test(texts_are_compared_by_bytes),
        cmocka_unit_test(times_compare_with_literals),
        cmocka_unit_test(in_looks_through_constants),
        cmocka_unit_test(logic_absorbs_errors),
        cmocka_unit_test(presence_can_be_asked),
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
        cmocka_unit_test(macros_do_not_unroll_for_ever),
        cmocka_unit_test(a_hostile_match_is_an_error_of_its_row),
        cmocka_unit_test(what_grows_too_large_is_an_error_of_its_row),
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
