// The contract on texts: what is refused, and how it reads.

#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "contract_test_help.h"

static void cannot(const char *schema, sl_status status, const char *text) {
    sl_contract *contract;
    sl_error error = {.text = ""};
    sl_status found =
        sl_contract_compile(schema, strlen(schema), NULL, &contract, &error);
    if (found != status || strcmp(error.text, text) != 0)
        fail_msg("%s: status %s, \"%s\"", schema, sl_status_name(found), error.text);
    assert_null(contract);
}

static void refusals_name_place_keyword_and_reason(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"{\"properties\":{\"amount\":{\"minimum\":0}}}", "{\"amount\": -3}",
         "/amount minimum: amount: -3 is less than the minimum 0"},
        {"{\"properties\":{\"a\":{\"maximum\":1.5}}}", "{\"a\":2}",
         "/a maximum: a: 2 is greater than the maximum 1.5"},
        {"{\"properties\":{\"a\":{\"exclusiveMinimum\":2}}}", "{\"a\":2}",
         "/a exclusiveMinimum: a: 2 is not greater than 2"},
        {"{\"properties\":{\"a\":{\"exclusiveMaximum\":2}}}", "{\"a\":2.0}",
         "/a exclusiveMaximum: a: 2.0 is not less than 2"},
        {"{\"properties\":{\"a\":{\"multipleOf\":0.01}}}", "{\"a\":1.005}",
         "/a multipleOf: a: 1.005 is not a multiple of 0.01"},
        {"{\"properties\":{\"data\":{\"properties\":{\"items\":{\"items\":{\"type\":"
         "\"integer\"}}}}}}",
         "{\"data\":{\"items\":[1,2,\"x\"]}}",
         "/data/items/2 type: data.items[2]: \"x\" is a string, not an integer"},
        {"{\"type\":[\"integer\",\"null\",\"object\"]}", "true",
         " type: event: true is a boolean, not null or an integer or an object"},
        {"{\"required\":[\"a\",\"b\"]}", "{\"a\":1}",
         " required: event: member \"b\" is missing"},
        {"{\"properties\":{\"c\":{\"enum\":[\"EUR\",\"USD\"]}}}", "{\"c\":\"GBP\"}",
         "/c enum: c: \"GBP\" is none of [\"EUR\",\"USD\"]"},
        {"{\"properties\":{\"c\":{\"const\":{\"x\":1}}}}", "{\"c\":[]}",
         "/c const: c: [] is not {\"x\":1}"},
        {"{\"properties\":{\"c\":{\"pattern\":\"^u_[0-9]+$\"}}}", "{\"c\":\"u_x\"}",
         "/c pattern: c: \"u_x\" does not match \"^u_[0-9]+$\""},
        {"{\"properties\":{\"c\":{\"format\":\"ipv4\"}}}", "{\"c\":\"1.2.3\"}",
         "/c format: c: \"1.2.3\" is not a valid ipv4"},
        {"{\"properties\":{\"c\":{\"minLength\":2}}}", "{\"c\":\"\\u00e4\"}",
         "/c minLength: c: has 1 character, fewer than 2"},
        {"{\"properties\":{\"c\":{\"maxItems\":1}}}", "{\"c\":[1,2]}",
         "/c maxItems: c: has 2 items, more than 1"},
        {"{\"minProperties\":1}", "{}",
         " minProperties: event: has 0 members, fewer than 1"},
        {"{\"properties\":{\"c\":{\"uniqueItems\":true}}}", "{\"c\":[1,2,1.0]}",
         "/c uniqueItems: c: items 0 and 2 are equal"},
        {"{\"properties\":{\"c\":{\"contains\":{\"type\":\"null\"}}}}", "{\"c\":[1]}",
         "/c contains: c: 0 items match `contains`, fewer than 1"},
        {"{\"properties\":{\"c\":{\"contains\":true,\"maxContains\":1}}}",
         "{\"c\":[1,2]}", "/c maxContains: c: 2 items match `contains`, more than 1"},
        {"{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a/b\":1}",
         "/a~1b additionalProperties: a/b: this member is not one that the schema names"},
        {"{\"properties\":{\"a\":false}}", "{\"a\":1}",
         "/a properties: a: this member is not allowed"},
        {"false", "{}", " false: event: this value is not allowed"},
        {"{\"propertyNames\":{\"maxLength\":3}}", "{\"abcd\":1}",
         " propertyNames: event: the name \"abcd\" is not one that propertyNames allows"},
        {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}",
         " dependentRequired: event: member \"b\" is missing beside \"a\""},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"required\":[\"x\"]}]}", "{}",
         " anyOf: event: {} fits none of the 2 schemas of anyOf"},
        {"{\"oneOf\":[true,{\"type\":\"object\"}]}", "{}",
         " oneOf: event: {} fits both schema 1 and schema 2 of oneOf"},
        {"{\"not\":{\"type\":\"object\"}}", "{}",
         " not: event: {} fits the schema that `not` forbids"},
        {"{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]}}", "{\"a\":1}",
         " required: event: member \"b\" is missing"},
        {"{\"if\":true,\"then\":false}", "{}", " then: event: {} is refused by `then`"},
        {"{\"unevaluatedProperties\":false}", "{\"a\":1}",
         "/a unevaluatedProperties: a: this member is not one that the schema names"},
        {"{\"properties\":{\"m\":{\"x-decimal\":[5,2]}}}", "{\"m\":1.234}",
         "/m x-decimal: m: 1.234 does not fit a decimal of 5 digits, 2 of them behind "
         "the point"},
        {"true", "{\"a\":}", " syntax: event: not a JSON value at byte 5"},
        {"true", "", " syntax: event: a value is missing at byte 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(verdict(cases[i][0], cases[i][1]), cases[i][2]);
}

static void long_values_and_paths_are_cut_at_a_character(void **state) {
    (void)state;
    char text[600] = "{\"k\":\"";
    for (int i = 0; i < 200; i++)
        strcat(text, "\xc3\xa4");
    strcat(text, "\"}");
    const char *said = verdict("{\"properties\":{\"k\":{\"type\":\"null\"}}}", text);
    assert_non_null(strstr(said, "\xc3\xa4... is a string, not null"));
    assert_true(strlen(said) < 120);
}

static void a_rule_is_named_by_its_pointer(void **state) {
    (void)state;
    const char *schema =
        "{\"$defs\":{\"a/b\":{\"minimum\":3}},\"properties\":{\"x\":{\"$ref\":\"#/$defs/"
        "a~1b\"}}}";
    sl_contract *contract = compile_with(schema, &plain);
    sl_contract_checker *checker;
    sl_contract_refusal r;
    assert_int_equal(sl_contract_checker_create(contract, NULL, &checker), SL_OK);
    uint8_t text[16 + SL_PADDING] = "{\"x\":  2}";
    assert_int_equal(sl_contract_check(checker, text, 9, &r), SL_EINVAL);
    assert_string_equal(r.rule, "/$defs/a~1b/minimum");
    assert_string_equal(r.value, "2");
    assert_int_equal(r.at, 7);
    sl_contract_checker_destroy(checker);
    sl_contract_unref(contract);
}

static void what_is_wrong_with_a_schema_names_its_place(void **state) {
    (void)state;
    cannot("{\"properties\":{\"a\":{\"minimun\":1}}}", SL_EUNSUPPORTED,
           "/properties/a/minimun: this keyword is not supported");
    cannot("{\"$defs\":{\"a\":{\"minimum\":\"1\"}}}", SL_EINVAL,
           "/$defs/a/minimum: is not a number");
    cannot("{\"type\":\"int\"}", SL_EINVAL, "/type: is not a type name");
    cannot("{\"type\":3}", SL_EINVAL, "/type: is not a type name");
    cannot("{\"type\":[\"null\",\"null\"]}", SL_EINVAL,
           "/type: is not a list of different type names");
    cannot("{\"items\":[true]}", SL_EINVAL,
           "/items: is a schema in draft 2020-12; for a list of schemas say prefixItems");
    cannot("{\"format\":\"phone\"}", SL_EUNSUPPORTED,
           "/format: this format is not supported");
    cannot("{\"multipleOf\":0}", SL_EINVAL, "/multipleOf: is not a number above 0");
    cannot("{\"multipleOf\":1.00000000000000000001}", SL_ELIMIT,
           "/multipleOf: has more than 19 digits");
    cannot("{\"minLength\":1.5}", SL_EINVAL, "/minLength: is not an integer from 0 on");
    cannot("{\"required\":\"a\"}", SL_EINVAL, "/required: is not an array");
    cannot("{\"required\":[1]}", SL_EINVAL,
           "/required: holds something that is not a string");
    cannot("{\"properties\":[]}", SL_EINVAL, "/properties: is not an object");
    cannot("{\"allOf\":[]}", SL_EINVAL, "/allOf: is not a list of schemas");
    cannot("{\"not\":1}", SL_EINVAL, "/not: is not a schema");
    cannot("{\"enum\":1}", SL_EINVAL, "/enum: is not an array");
    cannot("{\"uniqueItems\":1}", SL_EINVAL, "/uniqueItems: is not a boolean");
    cannot("{\"$ref\":\"#/$defs/x\"}", SL_EINVAL, "/$ref: leads to nothing");
    cannot("{\"$ref\":\"#x\"}", SL_EINVAL, "/$ref: names an anchor that isn't there");
    cannot("{\"$ref\":\"other.json\"}", SL_EINVAL,
           "/$ref: leads to a schema that isn't here");
    cannot("{\"$ref\":\"#\"}", SL_EINVAL,
           "/: refers to itself without end, at one place of an event");
    cannot("{\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/"
           "b\"}]},\"b\":{\"not\":{\"$ref\":\"#/$defs/"
           "a\"}}}}",
           SL_EINVAL, "/$defs/a: refers to itself without end, at one place of an event");
    cannot("{\"$id\":\"http://x/#a\"}", SL_EINVAL, "/$id: is not a URI without fragment");
    cannot("{\"$anchor\":\"1\"}", SL_EINVAL, "/$anchor: is not an anchor's name");
    cannot("{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", SL_EUNSUPPORTED,
           "/$schema: only draft 2020-12 is supported");
    cannot("{\"pattern\":\"a(\"}", SL_EINVAL,
           "/pattern: not a pattern: a group is not closed (at byte 2)");
    static const char *const decimals[] = {"[5]", "[19,2]", "[5,6]", "5"};
    for (size_t i = 0; i < sizeof decimals / sizeof *decimals; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"x-decimal\":%s}", decimals[i]);
        cannot(text, SL_EINVAL,
               "/x-decimal: is not [precision 1 to 18, scale 0 to precision]");
    }
    cannot("{\n \"type\" \"null\"}", SL_ESYNTAX, "line 2, column 9: no ':'");
    cannot("{\"type\":\"null\",\"type\":\"null\"}", SL_EINVAL,
           "/type: this name is there twice");
    cannot("3", SL_EINVAL, "/: is not a schema");
}

static void annotations_and_x_names_say_nothing(void **state) {
    (void)state;
    good("{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[],\"$"
         "comment\":\"\","
         "\"readOnly\":true,\"x-owner\":\"me\",\"contentEncoding\":\"base64\","
         "\"deprecated\":true}",
         "\"anything\"");
}

static void numbers_are_compared_exactly(void **state) {
    (void)state;
    good("{\"const\":1}", "1.0");
    good("{\"const\":1}", "10e-1");
    good("{\"const\":9007199254740993}", "9007199254740993.0");
    bad("{\"const\":9007199254740993}", "9007199254740992");
    bad("{\"maximum\":0.1}", "0.10000000000000000001");
    good("{\"maximum\":0.1}", "0.1");
    bad("{\"minimum\":123456789012345678901234567890}",
        "123456789012345678901234567889.999");
    good("{\"minimum\":123456789012345678901234567890}",
         "1.2345678901234567890123456789e29");
    bad("{\"maximum\":-1e-400}", "0");
    good("{\"exclusiveMaximum\":1e400}", "9.99e399");
    good("{\"type\":\"integer\"}", "1e300");
    bad("{\"type\":\"integer\"}", "1e-1");
    good("{\"type\":\"integer\"}", "0.0e5");
    good("{\"const\":0}", "-0.0");
    good("{\"uniqueItems\":true}", "[1, 1.00000000000000000000000000001]");
    bad("{\"uniqueItems\":true}",
        "[100000000000000000000001, 1000000000000000000000010e-1]");
}

static void multiples_are_exact(void **state) {
    (void)state;
    good("{\"multipleOf\":0.01}", "19.99");
    good("{\"multipleOf\":0.01}", "4.35");
    bad("{\"multipleOf\":0.01}", "19.990000000000000001");
    good("{\"multipleOf\":0.0001}", "0.0075");
    good("{\"multipleOf\":3}", "123456789012345678901234567890");
    good("{\"multipleOf\":7}", "123456789012345678901234567890");
    bad("{\"multipleOf\":7}", "123456789012345678901234567891");
    good("{\"multipleOf\":0.5}", "1e308");
    bad("{\"multipleOf\":0.123456789}", "1e308");
    good("{\"multipleOf\":1e3}", "-5000");
    bad("{\"multipleOf\":1e3}", "5500");
    good("{\"multipleOf\":9999999999999999999}", "0");
}

static void lengths_count_code_points(void **state) {
    (void)state;
    good("{\"maxLength\":2}", "\"\\ud83d\\udc29\xf0\x9f\x90\xa9\"");
    bad("{\"maxLength\":1}", "\"\\ud83d\\udc29\xf0\x9f\x90\xa9\"");
    good("{\"minLength\":3,\"maxLength\":3}", "\"a\xc3\xa4\xe6\x9d\xb1\"");
    good("{\"minLength\":12,\"maxLength\":12}", "\"ab\xc3\xa4\xe6\x9d\xb1"
                                                "efghijkl\"");
    good("{\"maxLength\":2.0}", "\"ab\"");
    good("{\"maxLength\":1e30}", "\"ab\"");
}

static void the_last_of_equal_keys_counts(void **state) {
    (void)state;
    const char *schema =
        "{\"properties\":{\"a\":{\"type\":\"null\"}},\"maxProperties\":1}";
    good(schema, "{\"a\":1,\"\\u0061\":null}");
    bad(schema, "{\"a\":null,\"a\":1}");
    char text[2000] = "{\"a\":1", member[32];
    for (int i = 0; i < 60; i++) {
        snprintf(member, sizeof member, ",\"k%d\":0", i % 30);
        strcat(text, member);
    }
    strcat(text, ",\"a\":null}");
    good("{\"properties\":{\"a\":{\"type\":\"null\"}},\"maxProperties\":31,"
         "\"minProperties\":31}",
         text);
}

static void too_many_steps_are_a_limit(void **state) {
    (void)state;
    char schema[4000] = "{\"$defs\":{\"d0\":{\"type\":\"object\"}", one[160];
    for (int i = 1; i < 24; i++) {
        snprintf(one, sizeof one,
                 ",\"d%d\":{\"anyOf\":[{\"allOf\":[{\"$ref\":\"#/$defs/"
                 "d%d\"},{\"type\":\"null\"}]},"
                 "{\"$ref\":\"#/$defs/d%d\"}]}",
                 i, i - 1, i - 1);
        strcat(schema, one);
    }
    strcat(schema, "},\"not\":{\"$ref\":\"#/$defs/d23\"}}");
    sl_contract_options options = {.steps_max = 10000};
    assert_string_equal(verdict_with(schema, "{}", &options),
                        " limit: event: takes too many steps to check");
}

static void nesting_beyond_the_limit_is_refused(void **state) {
    (void)state;
    char text[200] = "";
    for (unsigned i = 0; i < SL_DEPTH_MAX + 1; i++)
        strcat(text, "[");
    for (unsigned i = 0; i < SL_DEPTH_MAX + 1; i++)
        strcat(text, "]");
    assert_string_equal(verdict("true", text),
                        " limit: event: nested too deep at byte 64");
    text[strlen(text) - 1] = 0;
    good("true", text + 1);
}

static char *repeat(const char *before, const char *item, uint32_t count,
                    const char *behind) {
    size_t length = strlen(item);
    char *text = malloc(strlen(before) + length * count + strlen(behind) + 1), *p = text;
    p += strlen(strcpy(p, before));
    for (uint32_t i = 0; i < count; i++, p += length)
        memcpy(p, item, length);
    strcpy(p, behind);
    return text;
}

static void more_values_than_the_limit_are_refused(void **state) {
    (void)state;
    char *most = repeat("[0", ",0", TREE_NODES_MAX - 2, "]");
    good("{\"minItems\":9}", most);
    free(most);
    char *over = repeat("[0", ",0", TREE_NODES_MAX - 1, "]");
    assert_non_null(
        strstr(verdict("true", over), " limit: event: too many values at byte"));
    free(over);
}

static void large_objects_are_compared_in_no_time(void **state) {
    (void)state;
    // With a search of every member for every other this would take minutes.
    enum { COUNT = 60000 };
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "[{");
    for (int i = 0; i < COUNT; i++)
        sl_buffer_printf(&text, "%s\"k%d\":0", i == 0 ? "" : ",", i);
    sl_buffer_text(&text, "},{");
    for (int i = COUNT; i-- > 0;)
        sl_buffer_printf(&text, "\"k%d\":0%s", i, i == 0 ? "" : ",");
    sl_buffer_text(&text, "}]");
    assert_string_equal(verdict("{\"uniqueItems\":true}", sl_buffer_cstr(&text)),
                        " uniqueItems: event: items 0 and 1 are equal");
    sl_buffer_fini(&text);
}

static void memory_of_a_very_large_event_is_given_back(void **state) {
    (void)state;
    char *large = repeat("[\"\\n\"", ",0", 200000, "]");
    const size_t length = strlen(large);
    uint8_t *text = calloc(1, length + SL_PADDING), small[8 + SL_PADDING] = "[1,2]";
    memcpy(text, large, length);
    sl_contract *contract =
        compile_with("{\"uniqueItems\":false,\"items\":true}", &plain);
    sl_contract_checker *checker;
    sl_contract_refusal refusal;
    assert_int_equal(sl_contract_checker_create(contract, NULL, &checker), SL_OK);
    assert_int_equal(sl_contract_check(checker, text, length, &refusal), SL_OK);
    assert_true(sl_contract_checker_memory(checker) > 10000000);
    assert_int_equal(sl_contract_check(checker, small, 5, &refusal), SL_OK);
    assert_true(sl_contract_checker_memory(checker) < 100000);
    sl_contract_checker_destroy(checker);
    sl_contract_unref(contract);
    free(text);
    free(large);
}

static void recursion_follows_the_event(void **state) {
    (void)state;
    const char *tree_schema =
        "{\"$id\":\"https://x/tree\",\"type\":\"object\",\"properties\":{\"v\":{\"type\":"
        "\"integer\"},\"kids\":{\"items\":{\"$ref\":\"tree\"}}},\"required\":[\"v\"]}";
    good(tree_schema, "{\"v\":1,\"kids\":[{\"v\":2,\"kids\":[{\"v\":3}]}]}");
    assert_string_equal(
        verdict(tree_schema, "{\"v\":1,\"kids\":[{\"v\":2,\"kids\":[{\"v\":\"x\"}]}]}"),
        "/kids/0/kids/0/v type: kids[0].kids[0].v: \"x\" is a string, not an integer");
}

static void unevaluated_sees_through_schemas_in_place(void **state) {
    (void)state;
    const char *schema = "{\"allOf\":[{\"properties\":{\"a\":true}},{\"if\":{"
                         "\"properties\":{\"k\":{\"const\":1}},"
                         "\"required\":[\"k\"]},\"then\":{\"properties\":{\"b\":true}},"
                         "\"else\":{\"properties\":"
                         "{\"c\":true}}}],\"unevaluatedProperties\":false}";
    good(schema, "{\"a\":1,\"k\":1,\"b\":1}");
    bad(schema, "{\"a\":1,\"k\":1,\"c\":1}");
    good(schema, "{\"a\":1,\"c\":1}");
    bad(schema, "{\"a\":1,\"k\":2,\"c\":1}");
    const char *cousins =
        "{\"allOf\":[{\"properties\":{\"a\":true}},{\"unevaluatedProperties\":false}]}";
    bad(cousins, "{\"a\":1}");
    const char *items =
        "{\"prefixItems\":[true],\"contains\":{\"const\":7},\"anyOf\":[{\"prefixItems\":["
        "true,"
        "true]},{\"contains\":{\"const\":8}}],\"unevaluatedItems\":false}";
    good(items, "[1,7]");
    good(items, "[1,2,7,8]");
    bad(items, "[1,2,3,7]");
}

static void dependencies_of_older_drafts_work(void **state) {
    (void)state;
    const char *schema = "{\"definitions\":{\"n\":{\"type\":\"integer\"}},"
                         "\"dependencies\":{\"a\":[\"b\"],\"c\":{"
                         "\"properties\":{\"d\":{\"$ref\":\"#/definitions/n\"}}}}}";
    good(schema, "{\"a\":1,\"b\":1,\"c\":1,\"d\":1}");
    bad(schema, "{\"a\":1}");
    bad(schema, "{\"c\":1,\"d\":\"x\"}");
}

static void decimals_may_be_strings(void **state) {
    (void)state;
    const char *schema =
        "{\"type\":\"number\",\"x-decimal\":[5,2],\"minimum\":0.5,\"multipleOf\":0.05}";
    good(schema, "1.25");
    good(schema, "\"1.25\"");
    good(schema, "\"100e-2\"");
    bad(schema, "\"0.45\"");
    bad(schema, "\"1.26\"");
    bad(schema, "\"x\"");
    bad(schema, "1000");
    bad(schema, "true");
}

static void documents_are_referred_to(void **state) {
    (void)state;
    const char *money =
        "{\"$id\":\"https://shop/money\",\"type\":\"number\",\"minimum\":0}";
    sl_contract_document documents[] = {
        {.uri = "https://shop/money.json", .text = money, .length = strlen(money)},
        {.uri = "https://shop/old",
         .text = "{\"$schema\":\"http://json-schema.org/draft-04/schema\"}",
         .length = 52},
    };
    sl_contract_options options = {.documents = documents, .document_count = 2};
    const char *schema =
        "{\"$id\":\"https://shop/order\",\"properties\":{\"p\":{\"$ref\":\"money\"}}}";
    assert_string_equal(verdict_with(schema, "{\"p\":-1}", &options),
                        "/p minimum: p: -1 is less than the minimum 0");
}

static void broken_json_is_refused(void **state) {
    (void)state;
    static const char *const broken[] = {
        "{",
        "[1,]",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "nul",
        "01",
        "1.",
        "+1",
        "\"a",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\xff\"",
        "\"\xc3",
        "[1] 2",
        "{1:2}",
        "1e",
        "-",
        "[1 2]",
        "\"\\ud800\\u0041\"",
        "\"\xed\xa0\x80\"",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        bad("true", broken[i]);
}

static const char failing_schema[] =
    "{\"$id\":\"https://x/"
    "a\",\"$dynamicAnchor\":\"n\",\"type\":\"object\",\"required\":[\"a\"],"
    "\"properties\":{\"a\":{\"enum\":[1,\"x\",{\"y\":[1]}]},\"b\":{\"pattern\":\"^(a|b)+"
    "c$\"},"
    "\"c\":{\"items\":{\"$dynamicRef\":\"#n\"},\"uniqueItems\":true},\"d\":{\"$ref\":\"#/"
    "$defs/d\"}},"
    "\"patternProperties\":{\"^x\":{\"format\":\"uuid\"},\"^y\":{\"format\":\"hostname\"}"
    "},\"propertyNames\":{"
    "\"maxLength\":9},"
    "\"dependentRequired\":{\"a\":[\"b\"]},\"unevaluatedProperties\":false,"
    "\"$defs\":{\"d\":{\"$anchor\":\"e\",\"multipleOf\":0.5}}}";

static void every_allocation_of_compiling_may_fail(void **state) {
    (void)state;
    for (uint64_t n = 1;; n++) {
        sl_contract *contract;
        sl_error error;
        sl_memory_fail_at(n);
        sl_status status = sl_contract_compile(failing_schema, sizeof failing_schema - 1,
                                               NULL, &contract, &error);
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        if (status == SL_OK) {
            // PCRE2 does without its JIT when there is no memory for it.
            sl_contract_unref(contract);
            if (calls < n)
                return;
        } else {
            assert_int_equal(status, SL_ENOMEM);
            assert_null(contract);
        }
    }
}

static void every_allocation_of_checking_may_fail(void **state) {
    (void)state;
    char event[3000] = "{\"y\":\"xn--3e0bk47br7k\",\"a\":1,\"b\":\"abc\",\"c\":[",
         item[32];
    for (int i = 0; i < 40; i++) {
        snprintf(item, sizeof item, "%s{\"a\":1,\"b\":\"aa%dc\"}", i == 0 ? "" : ",", i);
        strcat(event, item);
    }
    strcat(event, "]}");
    const size_t length = strlen(event);
    uint8_t *text = calloc(1, length + SL_PADDING);
    memcpy(text, event, length);
    sl_contract *contract = compile_with(failing_schema, &plain);
    for (uint64_t n = 1;; n++) {
        sl_contract_checker *checker;
        sl_contract_refusal refusal;
        sl_memory_fail_at(n);
        sl_status status = sl_contract_checker_create(contract, NULL, &checker);
        if (status == SL_OK)
            status = sl_contract_check(checker, text, length, &refusal);
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        sl_contract_checker_destroy(checker);
        if (status == SL_EINVAL && calls < n)
            break;
        assert_true(status == SL_ENOMEM || status == SL_EINVAL);
    }
    free(text);
    sl_contract_unref(contract);
}

static void the_second_event_allocates_nothing(void **state) {
    (void)state;
    const char *event = "{\"a\":{\"y\":[1.0]},\"b\":\"a\\u0062c\",\"c\":[],\"x\":"
                        "\"2eb8aa08-aa98-11ea-b4aa-73b441d16380\"}";
    const size_t length = strlen(event);
    uint8_t *text = calloc(1, length + SL_PADDING);
    memcpy(text, event, length);
    sl_contract *contract = compile_with(failing_schema, &plain);
    sl_contract_checker *checker;
    sl_contract_refusal refusal;
    assert_int_equal(sl_contract_checker_create(contract, NULL, &checker), SL_OK);
    assert_int_equal(sl_contract_check(checker, text, length, &refusal), SL_OK);
    size_t memory = sl_contract_checker_memory(checker);
    sl_memory_fail_at(1000000);
    assert_int_equal(sl_contract_check(checker, text, length, &refusal), SL_OK);
    assert_int_equal(sl_memory_calls(), 0);
    sl_memory_fail_at(0);
    assert_int_equal(sl_contract_checker_memory(checker), memory);
    sl_contract_checker_destroy(checker);
    sl_contract_unref(contract);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_name_place_keyword_and_reason),
        cmocka_unit_test(long_values_and_paths_are_cut_at_a_character),
        cmocka_unit_test(a_rule_is_named_by_its_pointer),
        cmocka_unit_test(what_is_wrong_with_a_schema_names_its_place),
        cmocka_unit_test(annotations_and_x_names_say_nothing),
        cmocka_unit_test(numbers_are_compared_exactly),
        cmocka_unit_test(multiples_are_exact),
        cmocka_unit_test(lengths_count_code_points),
        cmocka_unit_test(the_last_of_equal_keys_counts),
        cmocka_unit_test(too_many_steps_are_a_limit),
        cmocka_unit_test(nesting_beyond_the_limit_is_refused),
        cmocka_unit_test(more_values_than_the_limit_are_refused),
        cmocka_unit_test(large_objects_are_compared_in_no_time),
        cmocka_unit_test(memory_of_a_very_large_event_is_given_back),
        cmocka_unit_test(recursion_follows_the_event),
        cmocka_unit_test(unevaluated_sees_through_schemas_in_place),
        cmocka_unit_test(dependencies_of_older_drafts_work),
        cmocka_unit_test(decimals_may_be_strings),
        cmocka_unit_test(documents_are_referred_to),
        cmocka_unit_test(broken_json_is_refused),
        cmocka_unit_test(every_allocation_of_compiling_may_fail),
        cmocka_unit_test(every_allocation_of_checking_may_fail),
        cmocka_unit_test(the_second_event_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
