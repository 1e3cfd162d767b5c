// Columns and tree never disagree: generated contracts over generated events.

#include "split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "columns_test_help.h"

static uint64_t seed;
static uint32_t below(uint32_t limit) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % limit);
}
static const char *pick(const char *const *list, uint32_t count) {
    return list[below(count)];
}
#define PICK(list) pick(list, sizeof list / sizeof *list)

static const char *const names[] = {"s", "n", "x", "b", "t", "d", "m",
                                    "l", "o", "g", "k", "h", "z", "u"};
static const char *const values[] = {"0",
                                     "1",
                                     "-1",
                                     "2",
                                     "1.5",
                                     "0.1",
                                     "100",
                                     "1.0",
                                     "1e2",
                                     "-0.0",
                                     "9007199254740993",
                                     "12.34",
                                     "true",
                                     "false",
                                     "null",
                                     "\"\"",
                                     "\"a\"",
                                     "\"b\"",
                                     "\"abc\"",
                                     "\"\\u0061bc\"",
                                     "\"\xc3\xa4\xc3\xb6\"",
                                     "\"null\"",
                                     "\"12.34\"",
                                     "\"a longer text than eight\"",
                                     "\"2026-01-01T00:00:00Z\"",
                                     "\"2026-01-01 00:00:00Z\"",
                                     "\"2026-01-01\"",
                                     "[]",
                                     "[1,2]",
                                     "[1,1]",
                                     "[\"a\",null]",
                                     "{}",
                                     "{\"k\":\"a\"}",
                                     "{\"k\":1}",
                                     "{\"z\":3}",
                                     "\"2eb8aa08-aa98-11ea-b4aa-73b441d16380\"",
                                     "-9223372036854775808",
                                     "9223372036854775807",
                                     "0.01",
                                     "1e-400",
                                     "3"};
static const char *const numbers_list[] = {"0",
                                           "1",
                                           "-1",
                                           "1.5",
                                           "0.1",
                                           "100",
                                           "1e400",
                                           "-1e400",
                                           "9007199254740993",
                                           "9223372036854775807",
                                           "9223372036854775808",
                                           "-9223372036854775808",
                                           "-9223372036854775809",
                                           "12.34",
                                           "2.5",
                                           "0.005"};
static const char *const divisors[] = {"1",   "2",   "0.5",  "0.01", "3",
                                       "1e3", "0.1", "1e30", "0.07", "1e-20"};
static const char *const types[] = {"null",   "boolean", "integer", "number",
                                    "string", "array",   "object"};
static const char *const patterns[] = {"^a",          "b$", "^[a-c]*$", "(a|b)c",
                                       "^\\\\p{L}+$", "n",  "^$"};
static const char *const format_list[] = {"date-time", "date", "uuid",
                                          "email",     "ipv4", "time"};

static void put_schema(sl_buffer *out, unsigned depth);

static void put_list(sl_buffer *out, unsigned depth) {
    sl_buffer_byte(out, '[');
    for (uint32_t i = 0, count = 1 + below(3); i < count; i++) {
        if (i != 0)
            sl_buffer_byte(out, ',');
        put_schema(out, depth);
    }
    sl_buffer_byte(out, ']');
}

static void put_map(sl_buffer *out, const char *key, const char *const *keys,
                    uint32_t count, unsigned depth) {
    sl_buffer_printf(out, "\"%s\":{", key);
    bool some = false;
    for (uint32_t i = 0; i < count; i++) {
        if (below(count) > 3)
            continue;
        sl_buffer_printf(out, "%s\"%s\":", some ? "," : "", keys[i]);
        put_schema(out, depth);
        some = true;
    }
    sl_buffer_byte(out, '}');
}

static void put_keyword(sl_buffer *out, uint32_t which, unsigned depth) {
    static const char *const sizes[] = {"minLength", "maxLength",     "minItems",
                                        "maxItems",  "minProperties", "maxProperties"};
    static const char *const limits[] = {"minimum", "maximum", "exclusiveMinimum",
                                         "exclusiveMaximum"};
    switch (which) {
    case 0:
        sl_buffer_printf(out, "\"type\":[\"%s\",\"%s\"]", types[below(3)],
                         types[3 + below(4)]);
        break;
    case 1:
        sl_buffer_printf(out, "\"enum\":[%s,%s,%s,%s]", PICK(values), PICK(values),
                         PICK(values), PICK(values));
        break;
    case 2:
        sl_buffer_printf(out, "\"const\":%s", PICK(values));
        break;
    case 3:
    case 4:
        sl_buffer_printf(out, "\"%s\":%s", PICK(limits), PICK(numbers_list));
        break;
    case 5:
        sl_buffer_printf(out, "\"multipleOf\":%s", PICK(divisors));
        break;
    case 6:
        sl_buffer_printf(out, "\"%s\":%u", PICK(sizes), below(5));
        break;
    case 7:
        sl_buffer_printf(out, "\"pattern\":\"%s\"", PICK(patterns));
        break;
    case 8:
        sl_buffer_printf(out, "\"format\":\"%s\"", PICK(format_list));
        break;
    case 9:
        sl_buffer_printf(out, "\"required\":[\"%s\"]", PICK(names));
        break;
    case 10:
        sl_buffer_printf(out, "\"dependentRequired\":{\"%s\":[\"%s\"]}", PICK(names),
                         PICK(names));
        break;
    case 11:
        sl_buffer_printf(out, "\"dependentSchemas\":{\"%s\":", PICK(names));
        put_schema(out, depth);
        sl_buffer_byte(out, '}');
        break;
    case 12:
        put_map(out, "patternProperties", patterns, 4, depth);
        break;
    case 13:
    case 14: {
        static const char *const words[] = {
            "additionalProperties", "propertyNames", "items", "contains", "not",
            "unevaluatedProperties"};
        sl_buffer_printf(out, "\"%s\":", PICK(words));
        put_schema(out, depth);
        break;
    }
    case 15:
    case 16: {
        static const char *const words[] = {"allOf", "anyOf", "oneOf"};
        sl_buffer_printf(out, "\"%s\":", PICK(words));
        put_list(out, depth);
        break;
    }
    case 17:
        sl_buffer_text(out, "\"if\":");
        put_schema(out, depth);
        sl_buffer_text(out, ",\"then\":");
        put_schema(out, depth);
        if (below(2)) {
            sl_buffer_text(out, ",\"else\":");
            put_schema(out, depth);
        }
        break;
    case 18:
        sl_buffer_text(out, "\"$ref\":\"#/$defs/r\"");
        break;
    default:
        put_map(out, "properties", names, sizeof names / sizeof *names, depth);
        break;
    }
}

static void put_schema(sl_buffer *out, unsigned depth) {
    if (depth == 0 || below(12) == 0) {
        sl_buffer_text(out, below(4) == 0 ? "false" : "true");
        return;
    }
    bool used[20] = {false};
    sl_buffer_byte(out, '{');
    for (uint32_t i = 0, count = 1 + below(2); i < count; i++) {
        uint32_t which = below(24);
        which = which > 19 ? 19 : which;
        // Words that share a number may come twice: one of each number.
        uint32_t group = which == 4 ? 3 : which == 14 ? 13 : which == 16 ? 15 : which;
        if (used[group])
            continue;
        used[group] = true;
        if (out->bytes[out->length - 1] != '{')
            sl_buffer_byte(out, ',');
        put_keyword(out, which, depth - 1);
    }
    if (below(8) == 0)
        sl_buffer_printf(out, "%s\"x-decimal\":[9,2]",
                         out->bytes[out->length - 1] == '{' ? "" : ",");
    sl_buffer_byte(out, '}');
}

static const char *value_for(const char *name) {
    static const char *const texts[] = {"\"a\"",
                                        "\"\"",
                                        "\"abc\"",
                                        "\"\\u0061bc\"",
                                        "\"\xc3\xa4\xc3\xb6\"",
                                        "\"null\"",
                                        "\"a longer text than eight\"",
                                        "\"2eb8aa08-aa98-11ea-b4aa-73b441d16380\""};
    static const char *const integers[] = {"0",
                                           "1",
                                           "-1",
                                           "2",
                                           "3",
                                           "100",
                                           "1e2",
                                           "1.0",
                                           "9007199254740993",
                                           "9223372036854775807",
                                           "-9223372036854775808",
                                           "-0"};
    static const char *const doubles[] = {"0",       "-0.0",  "0.1",
                                          "1.5",     "100",   "1e-400",
                                          "-1e-400", "12.34", "0.10000000000000000001",
                                          "1",       "1e300", "19.99",
                                          "5.0"};
    static const char *const decimals[] = {"12.34", "\"12.34\"", "0",    "1.5",
                                           "\"1\"", "100",       "-0.01"};
    static const char *const texts_of_time[] = {"\"2026-01-01T00:00:00Z\"",
                                                "\"2026-01-01 00:00:00Z\""};
    static const char *const groups[] = {
        "{\"k\":\"a\"}",          "{\"k\":\"abc\",\"h\":{\"z\":1}}",
        "{\"k\":\"b\",\"h\":{}}", "{\"k\":\"a\",\"u\":1}",
        "{\"k\":\"a\",\"h\":2}",  "{\"k\":\"a\",\"h\":null}"};
    static const char *const others[] = {"[]", "[1,2]", "[\"a\",null]", "[1,1]"};
    if (below(8) == 0)
        return PICK(values);
    if (below(10) == 0)
        return "null";
    switch (*name) {
    case 's':
    case 'k':
        return PICK(texts);
    case 'n':
    case 'z':
        return PICK(integers);
    case 'x':
        return PICK(doubles);
    case 'm':
        return below(2) ? PICK(decimals) : PICK(integers);
    case 't':
        return PICK(texts_of_time);
    case 'd':
        return "\"2026-01-01\"";
    case 'b':
        return below(2) ? "true" : "false";
    case 'g':
        return PICK(groups);
    case 'l':
        return PICK(others);
    default:
        return PICK(values);
    }
}

static void put_event(sl_buffer *out) {
    bool some = false;
    sl_buffer_byte(out, '{');
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        // k, h, z and u at the top are unknown members; now and then a member comes
        // twice.
        uint32_t times = i >= 10 ? below(12) == 0 : below(3) != 0;
        for (times += times && below(15) == 0; times > 0; times--) {
            sl_buffer_printf(out, "%s\"%s\":%s", some ? "," : "", names[i],
                             value_for(names[i]));
            some = true;
        }
    }
    sl_buffer_text(out, "}\n");
}

static uint64_t rounds_or(uint64_t otherwise) {
    const char *wanted = getenv("SLUICE_CONTRACT_ROUNDS");
    return wanted == NULL ? otherwise : strtoull(wanted, NULL, 10);
}

static bool gives_columns(const char *text) {
    sl_schema *schema;
    bool good = schema_of(text, true, &schema, NULL) == SL_OK;
    sl_schema_unref(schema);
    return good;
}

static void agree(fixture *f, const char *contract, const char *columns,
                  uint64_t tally[3]) {
    const uint32_t rows = f->batch->rows;
    const sl_contract_refused *refused;
    sl_contract_checker *plain;
    size_t count, next = 0;
    const uint8_t *answers = NULL;
    uint8_t kept[SL_BATCH_ROWS_MAX];
    if (rows == 0)
        return;
    assert_int_equal(sl_split_evaluate(f->checker, f->batch, 0, rows, &answers), SL_OK);
    memcpy(kept, answers, rows);
    assert_int_equal(sl_contract_checker_create(f->contract, NULL, &plain), SL_OK);
    assert_int_equal(sl_contract_run(f->checker, f->batch, 0, rows, &refused, &count),
                     SL_OK);
    for (uint32_t row = 0; row < rows; row++) {
        sl_contract_refusal why = {.message = ""};
        const uint8_t *text = f->raw + f->batch->row_begin[row];
        uint32_t length = f->batch->row_length[row];
        bool good = sl_contract_check(plain, text, length, &why) == SL_OK;
        bool run_good = !(next < count && refused[next].row == row);
        tally[kept[row]]++;
        if (good != run_good || kept[row] == (good ? SURELY_NOT : SURELY))
            fail_msg(
                "contract %s\ncolumns %s\nevent %.*s\ntree %s %s, run %s, columns say %u",
                contract, columns == NULL ? "its own" : columns, (int)length,
                (const char *)text, good ? "good" : "bad", why.message,
                run_good ? "good" : "bad", kept[row]);
        if (!run_good)
            assert_string_equal(refused[next++].refusal.message, why.message);
    }
    assert_int_equal(next, count);
    sl_contract_checker_destroy(plain);
}

static void columns_and_tree_agree_on_generated_events(void **state) {
    (void)state;
    const uint64_t rounds = rounds_or(1500);
    uint64_t tally[3] = {0};
    for (uint64_t round = 0; round < rounds; round++) {
        seed = round * 7919 + 1;
        sl_buffer contract = SL_BUFFER_EMPTY, events = SL_BUFFER_EMPTY;
        sl_buffer_text(&contract, "{\"$defs\":{\"r\":{");
        do {
            contract.length = strlen("{\"$defs\":{\"r\":{");
            put_keyword(&contract, below(10), 1);
        } while (contract.failed);
        sl_buffer_text(&contract, "}},");
        uint32_t which = below(3) == 0 ? 10 + below(9) : 19;
        put_keyword(&contract, which, 3);
        sl_buffer_byte(&contract, '}');
        for (int i = 0; i < 60; i++)
            put_event(&events);
        // Columns of its own, or such as it knows nothing of.
        const char *columns = below(2) && gives_columns(sl_buffer_cstr(&contract))
                                  ? NULL
                                  : PICK(columns_list);
        fixture f;
        open_fixture(&f, sl_buffer_cstr(&contract), columns, below(4) != 0);
        decode(&f, sl_buffer_cstr(&events));
        agree(&f, sl_buffer_cstr(&contract), columns, tally);
        close_fixture(&f);
        sl_buffer_fini(&contract);
        sl_buffer_fini(&events);
    }
    printf("rows: %llu surely bad, %llu to the tree, %llu surely good\n",
           (unsigned long long)tally[0], (unsigned long long)tally[1],
           (unsigned long long)tally[2]);
    // A generator whose events all go one way proves little.
    assert_true(tally[0] * 20 > tally[2] && tally[2] * 20 > tally[0] &&
                tally[0] > 10 * rounds / 10);
}

/** A decimal of few digits, now and then of many, near the others. */
static void put_decimal(sl_buffer *out) {
    uint32_t digits = below(6) == 0 ? 14 + below(5) : 1 + below(4);
    if (below(3) == 0)
        sl_buffer_byte(out, '-');
    sl_buffer_printf(out, "%u", below(4) == 0 ? below(1000000) : below(3));
    if (below(4) != 0) {
        sl_buffer_byte(out, '.');
        for (uint32_t i = 0; i < digits; i++)
            sl_buffer_byte(out, (uint8_t)('0' + (below(2) ? 0 : below(10))));
    }
    if (below(6) == 0)
        sl_buffer_printf(out, "e%d",
                         (int)below(5) == 0 ? (int)below(620) - 310 : (int)below(9) - 4);
}

static void doubles_and_their_texts_agree(void **state) {
    (void)state;
    static const char *const keywords[] = {"minimum",          "maximum",
                                           "exclusiveMinimum", "exclusiveMaximum",
                                           "multipleOf",       "enum"};
    const char *columns =
        "{\"properties\":{\"x\":{\"type\":\"number\"},\"s\":{\"type\":\"string\"}}}";
    uint64_t tally[3] = {0};
    const uint64_t rounds = rounds_or(3000);
    for (uint64_t round = 0; round < rounds; round++) {
        seed = round * 104729 + 5;
        sl_buffer limit = SL_BUFFER_EMPTY, contract = SL_BUFFER_EMPTY,
                  events = SL_BUFFER_EMPTY;
        const char *keyword = PICK(keywords);
        json_decimal number;
        do {
            sl_buffer_clear(&limit);
            put_decimal(&limit);
            (void)sl_buffer_cstr(&limit);
            sl_decimal_read(limit.bytes, limit.bytes + limit.length, &number);
        } while (keyword[1] == 'u' &&
                 (number.negative || number.lead == 0 || number.many));
        const char *text = sl_buffer_cstr(&limit);
        sl_buffer_printf(&contract, "{\"properties\":{\"x\":{\"%s\":%s%s%s}}}", keyword,
                         keyword[1] == 'n' ? "[" : "", text,
                         keyword[1] == 'n' ? ",7]" : "");
        for (int i = 0; i < 30; i++) {
            sl_buffer_text(&events,
                           below(9) == 0 ? "{\"s\":\"3e-4a\",\"x\":" : "{\"x\":");
            if (below(5) == 0)
                sl_buffer_text(&events, text);
            else
                put_decimal(&events);
            sl_buffer_text(&events,
                           below(9) == 0 ? ",\"s\":\"1234567890123456\"}\n" : "}\n");
        }
        fixture f;
        open_fixture(&f, sl_buffer_cstr(&contract), columns, true);
        decode(&f, sl_buffer_cstr(&events));
        agree(&f, sl_buffer_cstr(&contract), columns, tally);
        close_fixture(&f);
        sl_buffer_fini(&limit);
        sl_buffer_fini(&contract);
        sl_buffer_fini(&events);
    }
    printf("rows: %llu surely bad, %llu to the tree, %llu surely good\n",
           (unsigned long long)tally[0], (unsigned long long)tally[1],
           (unsigned long long)tally[2]);
    // Most are told by the column.
    assert_true(tally[1] * 4 < tally[0] + tally[2] && tally[1] > rounds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_and_tree_agree_on_generated_events),
        cmocka_unit_test(doubles_and_their_texts_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
