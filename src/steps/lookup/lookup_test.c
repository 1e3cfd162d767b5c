// Tables from content of all three forms, what they refuse, and columns filled from them.

#include "internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const sl_lookup_definition users = {
    .name = "users", .format = SL_LOOKUP_CSV, .key = "user_id", .all = true};

static sl_status load(const sl_lookup_definition *definition, const char *text,
                      size_t piece, sl_lookup **out, sl_error *error) {
    *out = NULL;
    sl_lookup_loader *loader;
    sl_status status = sl_lookup_begin(definition, &loader, error);
    size_t length = strlen(text);
    for (size_t at = 0; at < length && status == SL_OK; at += piece)
        status = sl_lookup_feed(loader, text + at,
                                length - at < piece ? length - at : piece, error);
    if (status == SL_OK)
        status = sl_lookup_finish(loader, out, error);
    sl_lookup_loader_destroy(loader);
    return status;
}

static sl_lookup *table_of(const sl_lookup_definition *definition, const char *text) {
    sl_lookup *table;
    sl_error error = {0};
    if (load(definition, text, 7, &table, &error) != SL_OK)
        fail_msg("%s", error.text);
    return table;
}

// All values of the key's row as JSON; "" when there is no such row.
static const char *row_of(const sl_lookup *table, const char *key) {
    static char text[4096];
    sl_value values[SL_LOOKUP_COLUMNS_MAX];
    const sl_value wanted = {
        .type = SL_TYPE_STRING,
        .as.text = {.bytes = (const uint8_t *)key, .length = strlen(key)}};
    text[0] = 0;
    if (!sl_lookup_find(table, &wanted, values))
        return text;
    sl_buffer out = SL_BUFFER_EMPTY;
    uint32_t count;
    sl_lookup_columns(table, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0)
            sl_buffer_byte(&out, ' ');
        sl_value_json(&values[i], &out);
    }
    snprintf(text, sizeof text, "%s", sl_buffer_cstr(&out));
    sl_buffer_fini(&out);
    return text;
}

static const char *types_of(const sl_lookup *table) {
    static char text[1024];
    uint32_t count;
    const sl_lookup_column *columns = sl_lookup_columns(table, &count);
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %s", i == 0 ? "" : ", ",
                               columns[i].name, sl_type_name(columns[i].type));
    return text;
}

// ---- CSV
// ----------------------------------------------------------------------------------------------

static void a_csv_file_is_a_table(void **state) {
    (void)state;
    sl_lookup *t = table_of(
        &users,
        "user_id,name,age,vip\nu1,\"Ann \"\"A\"\" Lee\",30,true\nu2,Bob,,false\n");
    assert_string_equal(types_of(t), "user_id string, name string, age int64, vip bool");
    assert_string_equal(row_of(t, "u1"), "\"u1\" \"Ann \\\"A\\\" Lee\" 30 true");
    assert_string_equal(row_of(t, "u2"), "\"u2\" \"Bob\" null false");
    assert_string_equal(row_of(t, "u3"), "");
    assert_int_equal(sl_lookup_facts_of(t).rows, 2);
    sl_lookup_unref(t);
}

static void types_are_read_off_all_values(void **state) {
    (void)state;
    sl_lookup *t = table_of(
        &users,
        "i,d,b,t,day,code,mix,big,none,user_id\n"
        "1,1,true,2026-01-01T00:00:00Z,2026-01-01,007,1,12345678901234567890,,u1\n"
        "-2,2.5e1,false,2026-01-01 01:00:00.5+01:00,2026-02-28,8,x,1,\"\",u2\n");
    assert_string_equal(
        types_of(t),
        "user_id string, i int64, d double, b bool, t timestamp, day date, code string, "
        "mix string, big string, none string");
    assert_string_equal(
        row_of(t, "u2"),
        "\"u2\" -2 25 false \"2026-01-01T00:00:00.500000Z\" \"2026-02-28\" \"8\" "
        "\"x\" \"1\" \"\"");
    assert_string_equal(
        row_of(t, "u1"),
        "\"u1\" 1 1 true \"2026-01-01T00:00:00Z\" \"2026-01-01\" \"007\" \"1\" "
        "\"12345678901234567890\" null");
    sl_lookup_unref(t);
}

static void declared_types_are_kept(void **state) {
    (void)state;
    static const sl_lookup_column columns[] = {
        {.name = "user_id", .typed = true, .type = SL_TYPE_INT64},
        {.name = "price",
         .typed = true,
         .type = SL_TYPE_DECIMAL,
         .precision = 5,
         .scale = 2},
        {.name = "zip", .typed = true, .type = SL_TYPE_STRING},
        {.name = "vip", .typed = true, .type = SL_TYPE_BOOL},
        {.name = "ratio", .typed = true, .type = SL_TYPE_DOUBLE}};
    const sl_lookup_definition d = {.name = "users",
                                    .format = SL_LOOKUP_CSV,
                                    .key = "user_id",
                                    .columns = columns,
                                    .column_count = 5};
    sl_lookup *t = table_of(
        &d,
        "ratio,vip,zip,more,price,user_id\n1,t,0123,x,1.50,007\n2.5,0,9,y,-999.99,8\n");
    assert_string_equal(
        types_of(t), "user_id int64, price decimal, zip string, vip bool, ratio double");
    assert_string_equal(row_of(t, "7"), "\"7\" 1.50 \"0123\" true 1");
    assert_string_equal(row_of(t, "8"), "\"8\" -999.99 \"9\" false 2.5");
    assert_string_equal(row_of(t, "007"), "");
    sl_lookup_unref(t);
}

static void the_last_of_rows_with_one_key_stays(void **state) {
    (void)state;
    sl_lookup *t =
        table_of(&users, "user_id,n,s\nu1,1,a\nu2,2,b\n,3,c\nu1,,\n\"\",4,d\n");
    assert_string_equal(row_of(t, "u1"), "\"u1\" null null");
    assert_int_equal(sl_lookup_facts_of(t).rows, 2);
    assert_int_equal(sl_lookup_facts_of(t).duplicates, 1);
    assert_int_equal(sl_lookup_facts_of(t).keyless, 2);
    sl_lookup_unref(t);
}

static void a_header_alone_is_an_empty_table(void **state) {
    (void)state;
    sl_lookup *t = table_of(&users, "user_id,n\n");
    assert_string_equal(row_of(t, "u1"), "");
    assert_int_equal(sl_lookup_facts_of(t).rows, 0);
    sl_lookup_unref(t);
}

static void refuse(const sl_lookup_definition *definition, const char *text,
                   sl_status expected, const char *words) {
    sl_lookup *table;
    sl_error error = {0};
    sl_status status = load(definition, text, 1000, &table, &error);
    if (status != expected || strcmp(error.text, words) != 0)
        fail_msg("%s: \"%s\", expected \"%s\"", sl_status_name(status), error.text,
                 words);
    assert_null(table);
}

static void broken_csv_says_where(void **state) {
    (void)state;
    refuse(&users, "", SL_ESYNTAX,
           "users: it is empty; the first row should name the columns");
    refuse(&users, "id,a\n", SL_ENOTFOUND,
           "users: no column \"user_id\"; there is id, a");
    refuse(&users, "user_id,a,a\n", SL_ESYNTAX,
           "users: line 1, column 11: a second column \"a\"");
    refuse(&users, "user_id,\n", SL_ESYNTAX,
           "users: line 1, column 9: a column's name is empty, or has a NUL in it");
    refuse(
        &users, "user_id,a\ru,1\rv,2\r", SL_ESYNTAX,
        "users: line 1, column 9: a carriage return in a name; lines end in LF or CRLF");
    refuse(&users, "user_id,a\n\nu,1\nv\n", SL_ESYNTAX,
           "users: line 4: the row has 1 fields, the first row names 2");
    refuse(&users, "user_id,a\n\"u,1\n", SL_ESYNTAX,
           "users: line 2, column 1: the quote that the field begins with isn't closed");
    static const sl_lookup_column age = {
        .name = "age", .typed = true, .type = SL_TYPE_INT64};
    sl_lookup_definition d = users;
    d.columns = &age;
    d.column_count = 1;
    refuse(&d, "user_id,age\nu1,1\nu2,x1\n", SL_ETYPE,
           "users: line 3, column 4 (\"age\"): \"x1\" is not an int (64 bits)");
    refuse(&d, "user_id,b\nu1,1\n", SL_ENOTFOUND,
           "users: no column \"age\"; there is user_id, b");
    d = users;
    d.unique = true;
    refuse(&d, "n,user_id\n1,u1\n2,u2\n3,u1\n", SL_EEXIST,
           "users: line 4, column 3 (\"user_id\"): a second row with this key");
    d = users;
    d.bytes_max = 20;
    refuse(&d, "user_id,a\nu1,something\n", SL_ELIMIT, "users: more than 20 bytes");
}

static void wrong_definitions_are_refused(void **state) {
    (void)state;
    static const sl_lookup_column twice[] = {{.name = "a"}, {.name = "a"}};
    static const sl_lookup_column group = {
        .name = "a", .typed = true, .type = SL_TYPE_GROUP};
    static const sl_lookup_column real_key = {
        .name = "user_id", .typed = true, .type = SL_TYPE_DOUBLE};
    static const sl_lookup_column decimal = {
        .name = "a", .typed = true, .type = SL_TYPE_DECIMAL, .precision = 3, .scale = 4};
    sl_lookup_definition d = users;
    d.key = "";
    refuse(&d, "", SL_EINVAL, "a lookup needs a key column");
    d = users;
    d.columns = twice;
    d.column_count = 2;
    refuse(&d, "", SL_EINVAL, "column \"a\" is named twice");
    d.columns = &group;
    d.column_count = 1;
    refuse(&d, "", SL_EINVAL, "column \"a\": a table can't hold this type");
    d.columns = &decimal;
    refuse(&d, "", SL_EINVAL, "column \"a\": a table can't hold this type");
    d.columns = &real_key;
    refuse(&d, "", SL_EINVAL, "column \"user_id\": a double can't be a key");
    d = users;
    d.delimiter = '"';
    refuse(&d, "", SL_EINVAL, "quotes and line ends can't be the delimiter");
}

static void decimals_are_exact_or_refused(void **state) {
    (void)state;
    static const sl_lookup_column price = {
        .name = "p", .typed = true, .type = SL_TYPE_DECIMAL, .precision = 4, .scale = 2};
    sl_lookup_definition d = users;
    d.columns = &price;
    d.column_count = 1;
    static const char *const good[][2] = {{"1", "1.00"},     {"99.99", "99.99"},
                                          {"-0.5", "-0.50"}, {"1.230000", "1.23"},
                                          {"007.1", "7.10"}, {"0", "0.00"}};
    static const char *const bad[] = {"100", "1.234", "1e1", ".5",
                                      "5.",  "x",     "-",   "1.2.3"};
    char text[64], expected[64];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "user_id,p\nu,%s\n", good[i][0]);
        snprintf(expected, sizeof expected, "\"u\" %s", good[i][1]);
        sl_lookup *t = table_of(&d, text);
        assert_string_equal(row_of(t, "u"), expected);
        sl_lookup_unref(t);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "user_id,p\nu,%s\n", bad[i]);
        sl_lookup *table;
        assert_int_equal(load(&d, text, 100, &table, NULL), SL_ETYPE);
    }
}

// ---- NDJSON
// -------------------------------------------------------------------------------------------

static const sl_lookup_definition lines = {
    .name = "users", .format = SL_LOOKUP_NDJSON, .key = "user_id", .all = true};

static void an_ndjson_file_is_a_table(void **state) {
    (void)state;
    sl_lookup *t =
        table_of(&lines, "{\"user_id\":1,\"name\":\"A\\u00e9\\ud83d\\ude00\\n\",\"tags\":"
                         "[\"a]\\\"\",{}]}\n\n"
                         " { \"age\" : 30 , \"user_id\" : \"u2\" } \r\n"
                         "{\"user_id\":\"u3\",\"age\":null,\"at\":\"2026-01-01T00:00:"
                         "00Z\",\"x\":{\"y\":\"}\"}}");
    assert_string_equal(types_of(t),
                        "user_id string, name string, age int64, at timestamp");
    assert_string_equal(row_of(t, "1"),
                        "\"1\" \"A\xc3\xa9\xf0\x9f\x98\x80\\n\" null null");
    assert_string_equal(row_of(t, "u2"), "\"u2\" null 30 null");
    assert_string_equal(row_of(t, "u3"), "\"u3\" null null \"2026-01-01T00:00:00Z\"");
    sl_lookup_unref(t);
}

static void an_object_is_no_value(void **state) {
    (void)state;
    sl_lookup *t = table_of(
        &lines,
        "{\"user_id\":\"a\",\"n\":[1,\"]\"],\"o\":{}}\n{\"user_id\":\"b\",\"n\":2}\n"
        "{\"n\":7,\"user_id\":\"c\",\"n\":{\"n\":3}}\n");
    assert_string_equal(types_of(t), "user_id string, n int64");
    assert_string_equal(row_of(t, "a"), "\"a\" null");
    assert_string_equal(row_of(t, "b"), "\"b\" 2");
    assert_string_equal(row_of(t, "c"), "\"c\" null");
    sl_lookup_unref(t);
}

static void a_byte_order_mark_before_ndjson_is_passed_over(void **state) {
    (void)state;
    sl_lookup *t = table_of(&lines, "\xEF\xBB\xBF{\"user_id\":\"a\",\"n\":1}\n");
    assert_string_equal(row_of(t, "a"), "\"a\" 1");
    sl_lookup_unref(t);
    refuse(&lines, "\xEF\xBB{\"user_id\":\"a\"}\n", SL_ESYNTAX,
           "users: line 1, column 1: no JSON");
}

static void json_strings_stay_strings(void **state) {
    (void)state;
    sl_lookup *t = table_of(
        &lines,
        "{\"user_id\":\"a\",\"n\":\"1\",\"b\":\"true\",\"m\":1,\"t\":true,\"e\":\"\"}\n"
        "{\"user_id\":\"b\",\"n\":\"2\",\"b\":\"false\",\"m\":\"x\",\"t\":1,\"e\":\"\"}\n"
        "{\"user_id\":\"c\",\"user_id\":\"d\",\"n\":\"3\"}\n{}\n");
    assert_string_equal(
        types_of(t), "user_id string, n string, b string, m string, t string, e string");
    assert_string_equal(row_of(t, "a"), "\"a\" \"1\" \"true\" \"1\" \"true\" \"\"");
    assert_string_equal(row_of(t, "c"), "");
    assert_string_equal(row_of(t, "d"), "\"d\" \"3\" null null null null");
    assert_int_equal(sl_lookup_facts_of(t).keyless, 1);
    sl_lookup_unref(t);
}

static void broken_ndjson_says_where(void **state) {
    (void)state;
    refuse(&lines, "{\"user_id\":1}\n{\"user_id\":}\n", SL_ESYNTAX,
           "users: line 2, column 12: no JSON");
    refuse(&lines, "{\"user_id\":1}\n [1]\n", SL_ESYNTAX,
           "users: line 2, column 2: an object is expected");
    refuse(&lines, "{\"user_id\":{\"a\":1}}\n", SL_ENOTFOUND,
           "users: no column \"user_id\"; there is none");
    refuse(&lines, "{\"user_id\":\"a\\u0000\"}\n", SL_ESYNTAX,
           "users: line 1, column 14: a NUL character");
    refuse(&lines, "", SL_ENOTFOUND, "users: no column \"user_id\"; there is none");
    static const sl_lookup_column age = {
        .name = "age", .typed = true, .type = SL_TYPE_DATE};
    sl_lookup_definition d = lines;
    d.columns = &age;
    d.column_count = 1;
    refuse(&d, "{\"user_id\":1}\n{\"age\":\"2026-13-01\",\"user_id\":1}\n", SL_ETYPE,
           "users: line 2, column 8 (\"age\"): \"2026-13-01\" is not a date, YYYY-MM-DD");
}

static void a_typed_member_may_be_in_no_line(void **state) {
    (void)state;
    static const sl_lookup_column age = {
        .name = "age", .typed = true, .type = SL_TYPE_INT64};
    sl_lookup_definition d = lines;
    d.columns = &age;
    d.column_count = 1;
    d.all = false;
    sl_lookup *t = table_of(&d, "{\"user_id\":1}\n");
    assert_string_equal(types_of(t), "user_id string, age int64");
    assert_string_equal(row_of(t, "1"), "\"1\" null");
    sl_lookup_unref(t);
}

// ---- Rows of values
// ------------------------------------------------------------------------------------

static sl_value text_value(const char *text) {
    return (sl_value){.type = SL_TYPE_STRING,
                      .as.text = {(const uint8_t *)text, strlen(text)}};
}

static void rows_of_values_are_a_table(void **state) {
    (void)state;
    const sl_lookup_definition d = {
        .name = "sql", .format = SL_LOOKUP_ROWS, .key = "id", .all = true};
    static const char *const names[] = {"id", "n", "x", "b", "t", "day", "price", "s"};
    sl_lookup_loader *loader;
    sl_lookup *t;
    assert_int_equal(sl_lookup_begin(&d, &loader, NULL), SL_OK);
    assert_int_equal(sl_lookup_names(loader, names, 8, NULL), SL_OK);
    sl_value row[8] = {{.type = SL_TYPE_INT64, .as.i64 = 42},
                       {.type = SL_TYPE_INT64, .as.i64 = INT64_MIN},
                       {.type = SL_TYPE_DOUBLE, .as.f64 = 0.1},
                       {.type = SL_TYPE_BOOL, .as.i64 = 1},
                       {.type = SL_TYPE_TIMESTAMP, .as.i64 = 1500000},
                       {.type = SL_TYPE_DATE, .as.i64 = -1},
                       {.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = 150},
                       text_value("12")};
    assert_int_equal(sl_lookup_row(loader, row, NULL), SL_OK);
    for (unsigned i = 0; i < 8; i++)
        row[i].null = true;
    row[0] = text_value("k");
    row[6] = (sl_value){.type = SL_TYPE_DECIMAL, .scale = 3, .as.i64 = -1};
    assert_int_equal(sl_lookup_row(loader, row, NULL), SL_OK);
    sl_error error = {0};
    row[7] = text_value("\xff");
    assert_int_equal(sl_lookup_row(loader, row, &error), SL_ESYNTAX);
    assert_string_equal(error.text, "sql: row 3, column \"s\": not UTF-8");
    assert_int_equal(sl_lookup_finish(loader, &t, &error), SL_OK);
    sl_lookup_loader_destroy(loader);
    assert_string_equal(types_of(t), "id string, n int64, x double, b bool, t timestamp, "
                                     "day date, price decimal, s string");
    assert_string_equal(
        row_of(t, "42"),
        "\"42\" -9223372036854775808 0.1 true \"1970-01-01T00:00:01.500000Z\" "
        "\"1969-12-31\" 1.500 \"12\"");
    assert_string_equal(row_of(t, "k"), "\"k\" null null null null null -0.001 null");
    sl_lookup_unref(t);
}

// ---- Keys, versions, size
// ------------------------------------------------------------------------------------

static void keys_of_every_type_meet_as_text(void **state) {
    (void)state;
    sl_lookup *t =
        table_of(&users, "user_id,n\n42,1\n-7,2\n1.5,3\n-0.05,4\ntrue,5\n2026-01-01,6\n"
                         "2026-01-01T00:00:00Z,7\n-9223372036854775808,8\n0,9\n100,10\n");
    static const struct {
        sl_value key;
        int64_t n;
    } cases[] = {{{.type = SL_TYPE_INT64, .as.i64 = 42}, 1},
                 {{.type = SL_TYPE_INT64, .as.i64 = -7}, 2},
                 {{.type = SL_TYPE_DECIMAL, .scale = 3, .as.i64 = 1500}, 3},
                 {{.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = -5}, 4},
                 {{.type = SL_TYPE_BOOL, .as.i64 = 1}, 5},
                 {{.type = SL_TYPE_DATE, .as.i64 = 20454}, 6},
                 {{.type = SL_TYPE_TIMESTAMP, .as.i64 = 20454 * INT64_C(86400000000)}, 7},
                 {{.type = SL_TYPE_INT64, .as.i64 = INT64_MIN}, 8},
                 {{.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = 0}, 9},
                 {{.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = 10000}, 10}};
    sl_value values[2];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!sl_lookup_find(t, &cases[i].key, values))
            fail_msg("case %zu isn't found", i);
        assert_int_equal(values[1].as.i64, cases[i].n);
    }
    const sl_value real = {.type = SL_TYPE_DOUBLE, .as.f64 = 42},
                   null = {.type = SL_TYPE_INT64, .null = true};
    assert_false(sl_lookup_find(t, &real, values));
    assert_false(sl_lookup_find(t, &null, values));
    sl_lookup_unref(t);
}

static bool same(sl_hash128 a, sl_hash128 b) {
    return a.low == b.low && a.high == b.high;
}

static void equal_content_has_the_same_version_also_with_types_kept(void **state) {
    (void)state;
    const char *text = "user_id,n,s\nu1,1,x\nu2,2,y\n";
    sl_lookup *first = table_of(&users, text), *again = table_of(&users, text);
    uint32_t count;
    sl_lookup_definition kept = users;
    kept.columns = sl_lookup_columns(first, &count);
    kept.column_count = count;
    kept.all = false;
    sl_lookup *reloaded = table_of(&kept, text),
              *other = table_of(&kept, "user_id,n,s\nu1,1,x\nu2,2,z\n");
    sl_hash128 version = sl_lookup_facts_of(first).version;
    assert_true(same(version, sl_lookup_facts_of(again).version));
    assert_true(same(version, sl_lookup_facts_of(reloaded).version));
    assert_false(same(version, sl_lookup_facts_of(other).version));
    refuse(&kept, "user_id,n,s\nu1,one,x\n", SL_ETYPE,
           "users: line 2, column 4 (\"n\"): \"one\" is not an int (64 bits)");
    sl_lookup_unref(first);
    sl_lookup_unref(again);
    sl_lookup_unref(reloaded);
    sl_lookup_unref(other);
}

static void a_hundred_thousand_users_take_a_few_mebibytes(void **state) {
    (void)state;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "user_id,country,segment,since,score\n");
    for (unsigned i = 0; i < 100000; i++)
        sl_buffer_printf(&text, "user-%06u,%c%c,segment %u,2020-01-%02u,%u.5\n", i,
                         'A' + i % 26, 'A' + i / 26 % 26, i % 40, 1 + i % 28, i % 1000);
    sl_lookup *t = table_of(&users, sl_buffer_cstr(&text));
    sl_buffer_fini(&text);
    sl_lookup_facts facts = sl_lookup_facts_of(t);
    assert_int_equal(facts.rows, 100000);
    if (facts.memory > 6 << 20)
        fail_msg("%zu bytes", facts.memory);
    for (unsigned i = 0; i < 100000; i += 997) {
        char key[16], expected[128];
        snprintf(key, sizeof key, "user-%06u", i);
        snprintf(expected, sizeof expected,
                 "\"%s\" \"%c%c\" \"segment %u\" \"2020-01-%02u\" %u.5", key,
                 (char)('A' + i % 26), (char)('A' + i / 26 % 26), i % 40, 1 + i % 28,
                 i % 1000);
        assert_string_equal(row_of(t, key), expected);
    }
    sl_lookup_unref(t);
}

// ---- Columns
// ----------------------------------------------------------------------------------------------

static const sl_record record = {0};

typedef struct bench {
    sl_lookup *table;
    sl_schema *schema;
    sl_batch *batch;
    sl_lookup_step *step;
    uint32_t fields[8];
    uint8_t raw[1 << 16];
    size_t used;
} bench;
static bench b; // Large.

static const char small[] = "user_id,name,n,x,vip,day,at\n"
                            "u1,Ann,1,1.5,true,2026-01-01,2026-01-01T00:00:00Z\n"
                            "7,Bob,,,,,\n";

static void set_up(sl_type key) {
    memset(&b, 0, sizeof b);
    b.table = table_of(&users, small);
    b.schema = sl_schema_create("s");
    uint32_t on = sl_schema_add(b.schema, 0, "user_id", 7, key);
    assert_int_equal(sl_lookup_declare(b.schema, "user", b.table, b.fields, NULL), SL_OK);
    b.batch = sl_batch_create(NULL);
    assert_int_equal(sl_lookup_step_create(b.table, on, b.fields, &b.step), SL_OK);
}

static void tear_down(void) {
    sl_lookup_step_destroy(b.step);
    sl_batch_destroy(b.batch);
    sl_schema_unref(b.schema);
    sl_lookup_unref(b.table);
}

static void prepare(void) {
    assert_int_equal(sl_batch_prepare(b.batch, b.schema, b.raw, &record), SL_OK);
    b.used = 0;
}

static void add_row(const char *text, sl_verdict verdict) {
    uint32_t row = b.batch->rows++;
    b.batch->verdict[row] = (uint8_t)verdict;
    b.batch->row_record[row] = 0;
    b.batch->columns[1].valid[row] = text != NULL;
    if (text == NULL)
        return;
    memcpy(b.raw + b.used, text, strlen(text));
    b.batch->columns[1].values.span[row] =
        (sl_span){(uint32_t)b.used, (uint32_t)strlen(text)};
    b.used += strlen(text);
}

static void expect_row(uint32_t row, const char *expected) {
    sl_buffer out = SL_BUFFER_EMPTY;
    for (unsigned i = 1; i < 7; i++) {
        sl_value value = sl_value_of(b.batch, b.fields[i], row);
        value.null = !sl_batch_present(b.batch, b.fields[i], row);
        sl_value_json(&value, &out);
        sl_buffer_byte(&out, ' ');
    }
    if (strcmp(sl_buffer_cstr(&out), expected) != 0)
        fail_msg("row %u: %s", row, sl_buffer_cstr(&out));
    sl_buffer_fini(&out);
}

#define ANN "\"Ann\" 1 1.5 true \"2026-01-01\" \"2026-01-01T00:00:00Z\" "
#define BOB "\"Bob\" null null null null null "
#define NOBODY "null null null null null null "

static void kept_rows_get_columns_and_no_event_is_lost(void **state) {
    (void)state;
    set_up(SL_TYPE_STRING);
    uint32_t user = sl_schema_find(b.schema, "user");
    for (int round = 0; round < 3; round++) {
        prepare();
        for (unsigned i = 0; i < 100; i++) { // More than one lot.
            add_row("u1", SL_VERDICT_KEEP);
            add_row("nobody", SL_VERDICT_KEEP);
            add_row(NULL, SL_VERDICT_KEEP);
            add_row("u1", SL_VERDICT_LATE);
            add_row("7", SL_VERDICT_KEEP);
            add_row("", SL_VERDICT_KEEP);
        }
        sl_enrich_counts counts = {0};
        assert_int_equal(sl_lookup_step_run(b.step, b.batch, &counts), SL_OK);
        for (uint32_t row = 0; row < 600; row += 6) {
            expect_row(row, ANN);
            expect_row(row + 1, NOBODY);
            expect_row(row + 2, NOBODY);
            expect_row(row + 3, NOBODY);
            expect_row(row + 4, BOB);
            assert_int_equal(b.batch->columns[user].valid[row + 4], 1);
            assert_int_equal(b.batch->columns[user].valid[row + 1], 0);
            assert_int_equal(b.batch->verdict[row + 1], SL_VERDICT_KEEP);
        }
        assert_int_equal(counts.rows, 500);
        assert_int_equal(counts.hits, 200);
        assert_int_equal(counts.misses, 100);
        assert_int_equal(counts.absent, 200);
        assert_true(b.batch->arena.length < 16); // Equal texts are copied once.
    }
    tear_down();
}

static void a_number_finds_its_digits(void **state) {
    (void)state;
    set_up(SL_TYPE_INT64);
    prepare();
    b.batch->rows = 2;
    memset(b.batch->verdict, SL_VERDICT_KEEP, 2);
    memset(b.batch->columns[1].valid, 1, 2);
    b.batch->columns[1].values.i64[0] = 7;
    b.batch->columns[1].values.i64[1] = 8;
    sl_enrich_counts counts = {0};
    assert_int_equal(sl_lookup_step_run(b.step, b.batch, &counts), SL_OK);
    expect_row(0, BOB);
    expect_row(1, NOBODY);
    tear_down();
    set_up(SL_TYPE_DOUBLE);
    prepare();
    b.batch->rows = 1;
    b.batch->verdict[0] = SL_VERDICT_KEEP;
    b.batch->columns[1].valid[0] = 1;
    b.batch->columns[1].values.f64[0] = 7;
    assert_int_equal(sl_lookup_step_run(b.step, b.batch, &counts), SL_OK);
    assert_int_equal(counts.absent, 1);
    tear_down();
}

static void a_newer_table_answers_from_the_next_batch_on(void **state) {
    (void)state;
    set_up(SL_TYPE_STRING);
    uint32_t count;
    sl_lookup_definition kept = users;
    kept.columns = sl_lookup_columns(b.table, &count);
    kept.column_count = count;
    kept.all = false;
    sl_lookup *newer =
        table_of(&kept, "extra,user_id,name,n,x,vip,day,at\n-,u1,Eve,2,0,,,\n");
    sl_lookup *other = table_of(&users, "user_id,name\nu1,Eve\n");
    assert_int_equal(sl_lookup_step_use(b.step, other), SL_EINVAL);
    assert_int_equal(sl_lookup_step_use(b.step, newer), SL_OK);
    sl_lookup_unref(newer);
    sl_lookup_unref(other);
    prepare();
    add_row("u1", SL_VERDICT_KEEP);
    add_row("7", SL_VERDICT_KEEP);
    sl_enrich_counts counts = {0};
    assert_int_equal(sl_lookup_step_run(b.step, b.batch, &counts), SL_OK);
    expect_row(0, "\"Eve\" 2 0 null null null ");
    expect_row(1, NOBODY);
    tear_down();
}

static void out_of_memory_is_a_status_wherever_it_happens(void **state) {
    (void)state;
    static const char json[] = "{\"user_id\":\"u1\",\"name\":\"A\\nnn\",\"n\":1}\n{"
                               "\"user_id\":\"7\",\"name\":\"B\"}\n";
    for (int form = 0; form < 2; form++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            memset(&b, 0, sizeof b);
            b.schema = sl_schema_create("s");
            sl_schema_add(b.schema, 0, "user_id", 7, SL_TYPE_STRING);
            b.batch = sl_batch_create(NULL);
            sl_enrich_counts counts = {0};
            sl_memory_fail_at(n);
            sl_status status = load(form == 0 ? &users : &lines, form == 0 ? small : json,
                                    50, &b.table, NULL);
            if (status == SL_OK)
                status = sl_lookup_declare(b.schema, "user", b.table, b.fields, NULL);
            if (status == SL_OK)
                status = sl_lookup_step_create(b.table, 1, b.fields, &b.step);
            if (status == SL_OK)
                status = sl_batch_prepare(b.batch, b.schema, b.raw, &record);
            if (status == SL_OK) {
                add_row("u1", SL_VERDICT_KEEP);
                status = sl_lookup_step_run(b.step, b.batch, &counts);
            }
            failed = sl_memory_calls() >= n;
            sl_memory_fail_at(0);
            // Giving memory back may fail without harm.
            assert_true(status == SL_OK || (failed && status == SL_ENOMEM));
            if (status == SL_OK)
                assert_int_equal(counts.hits, 1);
            tear_down();
        }
    }
}

static void rows_without_memory_are_refused(void **state) {
    (void)state;
    const sl_lookup_definition d = {
        .name = "sql", .format = SL_LOOKUP_ROWS, .key = "id", .all = true};
    static const char *const names[] = {"id", "n"};
    const sl_value row[2] = {text_value("a"), {.type = SL_TYPE_INT64, .as.i64 = 1}};
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        sl_lookup_loader *loader = NULL;
        sl_lookup *t = NULL;
        sl_memory_fail_at(n);
        sl_status status = sl_lookup_begin(&d, &loader, NULL);
        if (status == SL_OK)
            status = sl_lookup_names(loader, names, 2, NULL);
        for (unsigned i = 0; i < 40 && status == SL_OK; i++)
            status = sl_lookup_row(loader, row, NULL);
        if (status == SL_OK)
            status = sl_lookup_finish(loader, &t, NULL);
        failed = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || (failed && status == SL_ENOMEM));
        sl_lookup_unref(t);
        sl_lookup_loader_destroy(loader);
    }
}

// ---- Read again
// ---------------------------------------------------------------------------------------

static void a_table_is_counted_until_its_last_reference_goes(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 1 << 20);
    sl_lookup_definition d = users;
    d.budget = &budget;
    sl_lookup *t = table_of(&d, "user_id,name\nu1,Ann\nu2,Ann\n");
    assert_int_equal(sl_budget_used(&budget), sl_lookup_facts_of(t).memory);
    sl_lookup *other = sl_lookup_ref(t);
    sl_lookup_unref(t);
    assert_int_equal(sl_budget_used(&budget), sl_lookup_facts_of(other).memory);
    sl_lookup_unref(other);
    assert_int_equal(sl_budget_used(&budget), 0);
    t = table_of(&users, "user_id,name\nu1,Ann\n");
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(sl_lookup_charge(t, &budget), SL_OK);
        assert_int_equal(sl_budget_used(&budget), sl_lookup_facts_of(t).memory);
    }
    sl_lookup_unref(t);
    assert_int_equal(sl_budget_used(&budget), 0);
}

static void a_budget_that_is_used_up_refuses_and_stays_as_it_was(void **state) {
    (void)state;
    sl_budget budget;
    sl_error error;
    sl_lookup *t;
    char text[8192] = "user_id,name\n";
    size_t length = strlen(text);
    for (int i = 0; i < 300; i++)
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "u%d,name %d\n", i, i);
    sl_lookup_definition d = users;
    d.budget = &budget;
    unsigned refused = 0;
    for (uint64_t limit = 1000;; limit += 1000) {
        sl_budget_init(&budget, limit);
        sl_status status = load(&d, text, 1000, &t, &error);
        if (status == SL_OK)
            break;
        assert_int_equal(status, SL_EFULL);
        assert_non_null(strstr(error.text, "memory"));
        assert_int_equal(sl_budget_used(&budget), 0);
        refused++;
    }
    assert_true(refused > 2);
    assert_int_equal(sl_lookup_charge(t, &budget), SL_OK);
    sl_lookup_unref(t);
    t = table_of(&users, text);
    sl_budget_init(&budget, 100);
    assert_int_equal(sl_lookup_charge(t, &budget), SL_EFULL);
    assert_int_equal(sl_budget_used(&budget), 0);
    sl_lookup_unref(t);
}

static void what_fails_gives_its_budget_back(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 1 << 20);
    sl_lookup_definition d = users;
    d.budget = &budget;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        sl_lookup *t;
        sl_memory_fail_at(n);
        sl_status status = load(&d, "user_id,name\nu1,Ann\nu2,Bob\n", 9, &t, NULL);
        failed = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || (failed && status == SL_ENOMEM));
        sl_lookup_unref(t);
        assert_int_equal(sl_budget_used(&budget), 0);
    }
}

static void whoever_waits_for_it_may_stop_it(void **state) {
    (void)state;
    static _Atomic bool stop;
    sl_error error;
    sl_lookup *t;
    sl_lookup_definition d = users;
    d.stop = &stop;
    assert_int_equal(load(&d, "user_id\nu1\n", 99, &t, &error), SL_OK);
    sl_lookup_unref(t);
    stop = true;
    assert_int_equal(load(&d, "user_id\nu1\n", 99, &t, &error), SL_EAGAIN);
    assert_null(t);
    stop = false;
}

static void columns_that_came_later_are_named(void **state) {
    (void)state;
    sl_lookup *t = table_of(&users, "user_id,name\nu1,Ann\n");
    sl_lookup_definition d = users;
    d.columns = sl_lookup_columns(t, &d.column_count);
    d.all = false;
    static const char text[] = "vip,user_id,name,age\ntrue,u1,Ann,3\n";
    sl_lookup_loader *loader;
    sl_lookup *again;
    sl_buffer content = SL_BUFFER_EMPTY, names = SL_BUFFER_EMPTY;
    sl_buffer_text(&content, text);
    assert_int_equal(sl_lookup_begin(&d, &loader, NULL), SL_OK);
    assert_int_equal(sl_lookup_feed_all(loader, &content, NULL), SL_OK);
    assert_null(content.bytes);
    assert_int_equal(sl_lookup_finish(loader, &again, NULL), SL_OK);
    sl_lookup_left_out(loader, &names);
    assert_string_equal(sl_buffer_cstr(&names), "vip, age");
    assert_string_equal(row_of(again, "u1"), "\"u1\" \"Ann\"");
    sl_lookup_loader_destroy(loader);
    sl_buffer_fini(&names);
    sl_lookup_unref(again);
    sl_lookup_unref(t);
}

static void a_member_that_was_there_has_to_stay_where_that_is_asked(void **state) {
    (void)state;
    sl_lookup_definition d = users;
    d.format = SL_LOOKUP_NDJSON;
    sl_lookup *t = table_of(&d, "{\"user_id\":\"u1\",\"age\":3}\n"), *again;
    sl_error error;
    d.columns = sl_lookup_columns(t, &d.column_count);
    d.all = false;
    d.present = true;
    assert_int_equal(load(&d, "{\"user_id\":\"u1\"}\n", 99, &again, &error),
                     SL_ENOTFOUND);
    assert_non_null(strstr(error.text, "age"));
    sl_lookup_unref(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_csv_file_is_a_table),
        cmocka_unit_test(types_are_read_off_all_values),
        cmocka_unit_test(declared_types_are_kept),
        cmocka_unit_test(the_last_of_rows_with_one_key_stays),
        cmocka_unit_test(a_header_alone_is_an_empty_table),
        cmocka_unit_test(broken_csv_says_where),
        cmocka_unit_test(wrong_definitions_are_refused),
        cmocka_unit_test(decimals_are_exact_or_refused),
        cmocka_unit_test(an_ndjson_file_is_a_table),
        cmocka_unit_test(an_object_is_no_value),
        cmocka_unit_test(a_byte_order_mark_before_ndjson_is_passed_over),
        cmocka_unit_test(json_strings_stay_strings),
        cmocka_unit_test(broken_ndjson_says_where),
        cmocka_unit_test(a_typed_member_may_be_in_no_line),
        cmocka_unit_test(rows_of_values_are_a_table),
        cmocka_unit_test(keys_of_every_type_meet_as_text),
        cmocka_unit_test(equal_content_has_the_same_version_also_with_types_kept),
        cmocka_unit_test(a_hundred_thousand_users_take_a_few_mebibytes),
        cmocka_unit_test(kept_rows_get_columns_and_no_event_is_lost),
        cmocka_unit_test(a_number_finds_its_digits),
        cmocka_unit_test(a_newer_table_answers_from_the_next_batch_on),
        cmocka_unit_test(out_of_memory_is_a_status_wherever_it_happens),
        cmocka_unit_test(rows_without_memory_are_refused),
        cmocka_unit_test(a_table_is_counted_until_its_last_reference_goes),
        cmocka_unit_test(a_budget_that_is_used_up_refuses_and_stays_as_it_was),
        cmocka_unit_test(what_fails_gives_its_budget_back),
        cmocka_unit_test(whoever_waits_for_it_may_stop_it),
        cmocka_unit_test(columns_that_came_later_are_named),
        cmocka_unit_test(a_member_that_was_there_has_to_stay_where_that_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
