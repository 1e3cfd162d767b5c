// SQL text, fitting and values without a server. What servers make of it is shown by
// tests/integration.

#include "sluice/warehouse_sql.h"

#include "sluice/time.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const sl_rows_column columns[] = {
    {.name = "_position", .type = SL_TYPE_INT64},
    {.name = "id", .type = SL_TYPE_STRING},
    {.name = "price", .type = SL_TYPE_DECIMAL, .precision = 12, .scale = 2},
    {.name = "at", .type = SL_TYPE_TIMESTAMP},
    {.name = "ctid", .type = SL_TYPE_INT64},
    {.name = "Id", .type = SL_TYPE_JSON},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static sl_warehouse_table rows_table(sl_dialect dialect, const char *id) {
    sl_warehouse_table table;
    assert_int_equal(sl_warehouse_table_of_rows(dialect, "shop.events", columns, COLUMNS,
                                                id, &table, NULL),
                     SL_OK);
    return table;
}

static void says(sl_buffer *text, const char *wanted) {
    assert_string_equal(sl_buffer_cstr(text), wanted);
    sl_buffer_fini(text);
}

static void a_name_is_cut_where_the_server_would_and_stays_itself(void **state) {
    (void)state;
    char longest[64], longer[65];
    memset(longest, 'a', 63), longest[63] = 0;
    memset(longer, 'a', 64), longer[64] = 0;
    sl_buffer a = SL_BUFFER_EMPTY, b = SL_BUFFER_EMPTY, c = SL_BUFFER_EMPTY;
    sl_dialect_name(SL_DIALECT_POSTGRES, longest, &a);
    assert_string_equal(sl_buffer_cstr(&a), longest);
    sl_dialect_name(SL_DIALECT_POSTGRES, longer, &b);
    longer[63] = 'b';
    sl_dialect_name(SL_DIALECT_POSTGRES, longer, &c);
    assert_int_equal(b.length, 63);
    assert_int_equal(c.length, 63);
    assert_string_not_equal(sl_buffer_cstr(&b), sl_buffer_cstr(&c));
    sl_buffer_fini(&a);
    sl_buffer_fini(&b);
    sl_buffer_fini(&c);
    // Never within a character.
    char umlauts[81];
    for (int i = 0; i < 80; i += 2)
        memcpy(umlauts + i, "\xc3\xa4", 2);
    umlauts[80] = 0;
    sl_dialect_name(SL_DIALECT_POSTGRES, umlauts, &a);
    assert_int_equal(a.length, 54 + 9);
    assert_int_equal(a.bytes[53], 0xa4);
    sl_buffer_fini(&a);
    sl_dialect_name(SL_DIALECT_REDSHIFT, "Geo_Country", &a);
    says(&a, "geo_country");
}

static void quotes_and_backslashes_end_no_literal(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_dialect_quote(SL_DIALECT_POSTGRES, "a\"b", &out);
    says(&out, "\"a\"\"b\"");
    sl_dialect_quote(SL_DIALECT_ATHENA, "a`b", &out);
    says(&out, "`a``b`");
    sl_dialect_literal(SL_DIALECT_POSTGRES, "a'\\", 3, &out);
    says(&out, "'a''\\'");
    sl_dialect_literal(SL_DIALECT_REDSHIFT, "a'\\", 3, &out);
    says(&out, "'a''\\\\'");
}

static void names_of_the_server_and_of_others_are_avoided(void **state) {
    (void)state;
    sl_warehouse_table table = rows_table(SL_DIALECT_POSTGRES, NULL);
    assert_string_equal(table.full, "\"shop\".\"events\"");
    assert_string_equal(table.ledger, "\"shop\".\"sluice_ledger_events\"");
    assert_int_equal(table.count, COLUMNS + 2);
    assert_string_equal(table.columns[6].name, "ctid_");
    assert_string_equal(table.columns[7].name, "Id");
    sl_warehouse_table_fini(&table);
    table = rows_table(SL_DIALECT_REDSHIFT, NULL); // "Id" and "id" are one name there.
    assert_string_equal(table.columns[3].name, "id");
    assert_string_equal(table.columns[7].name, "id_2");
    sl_warehouse_table_fini(&table);
}

static void a_table_is_made_as_its_server_likes_it(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_warehouse_table table = rows_table(SL_DIALECT_POSTGRES, "id");
    sl_warehouse_create(&table, &out);
    says(&out,
         "CREATE TABLE IF NOT EXISTS \"shop\".\"events\" (\n"
         "  \"_partition\" BIGINT NOT NULL,\n  \"_position\" BIGINT NOT NULL,\n"
         "  \"_hash\" BIGINT NOT NULL,\n  \"id\" TEXT,\n  \"price\" NUMERIC(12,2),\n"
         "  \"at\" TIMESTAMPTZ,\n  \"ctid_\" BIGINT,\n  \"Id\" JSONB,\n"
         "  PRIMARY KEY (\"_partition\",\"_position\"),\n  UNIQUE (\"id\")\n)");
    sl_warehouse_add_column(&table, &table.columns[2], &out);
    says(&out, "ALTER TABLE \"shop\".\"events\" ADD COLUMN \"_hash\" BIGINT");
    sl_warehouse_columns(&table, "s.", &out);
    says(&out, "s.\"_partition\",s.\"_position\",s.\"_hash\",s.\"id\",s.\"price\",s."
               "\"at\",s.\"ctid_\",s.\"Id\"");
    sl_warehouse_table_fini(&table);
    table = rows_table(SL_DIALECT_REDSHIFT, NULL);
    sl_warehouse_create(&table, &out);
    says(&out, "CREATE TABLE IF NOT EXISTS \"shop\".\"events\" (\n"
               "  \"_partition\" BIGINT NOT NULL,\n  \"_position\" BIGINT NOT NULL,\n"
               "  \"_hash\" BIGINT NOT NULL,\n  \"id\" VARCHAR(65535),\n  \"price\" "
               "DECIMAL(12,2),\n"
               "  \"at\" TIMESTAMP,\n  \"ctid_\" BIGINT,\n  \"id_2\" SUPER\n)"
               " DISTSTYLE EVEN SORTKEY(\"at\")");
    sl_warehouse_table_fini(&table);
}

static void an_upsert_needs_its_column(void **state) {
    (void)state;
    sl_warehouse_table table;
    sl_error error = {0};
    assert_int_equal(sl_warehouse_table_of_rows(SL_DIALECT_POSTGRES, "t", columns,
                                                COLUMNS, "key", &table, &error),
                     SL_EINVAL);
    assert_non_null(strstr(error.text, "'key'"));
    assert_int_equal(sl_warehouse_table_of_rows(SL_DIALECT_POSTGRES, ".t", columns,
                                                COLUMNS, NULL, &table, NULL),
                     SL_EINVAL);
    assert_int_equal(sl_warehouse_table_of_rows(SL_DIALECT_POSTGRES, "t", columns + 1, 2,
                                                NULL, &table, NULL),
                     SL_ECORRUPT);
}

static void ledger_statements_name_partition_and_positions(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_warehouse_table table = rows_table(SL_DIALECT_POSTGRES, NULL);
    const sl_warehouse_move move = {"t", "it's", 10, 20, false, "h", 7, NULL, 0};
    sl_warehouse_ledger_lock(&table, &out);
    says(&out, "LOCK TABLE \"shop\".\"sluice_ledger_events\" IN EXCLUSIVE MODE");
    sl_warehouse_ledger_read(&table, "it's", &out);
    says(&out, "SELECT \"id\",\"position\",\"hash\",\"rows\" FROM "
               "\"shop\".\"sluice_ledger_events\""
               " WHERE \"partition\" = 'it''s'");
    sl_warehouse_ledger_insert(&table, &move, &out);
    says(&out, "INSERT INTO \"shop\".\"sluice_ledger_events\" "
               "(\"id\",\"partition\",\"position\",\"hash\",\"rows\")"
               " SELECT COALESCE(MAX(\"id\"),0)+1, 'it''s', '10', '', 0 FROM "
               "\"shop\".\"sluice_ledger_events\"");
    sl_warehouse_ledger_move(&table, &move, &out);
    says(
        &out,
        "UPDATE \"shop\".\"sluice_ledger_events\" SET \"position\" = '20', \"hash\" = "
        "'h',"
        " \"rows\" = \"rows\" + 7 WHERE \"partition\" = 'it''s' AND \"position\" = '10'");
    sl_warehouse_table_fini(&table);
    table = rows_table(SL_DIALECT_REDSHIFT, NULL);
    sl_warehouse_ledger_lock(&table, &out);
    says(&out, "LOCK \"shop\".\"sluice_ledger_events\"");
    sl_warehouse_table_fini(&table);
}

static void the_ledger_lets_pass_what_joins_and_nothing_else(void **state) {
    (void)state;
    sl_warehouse_move move = {"t", "p", 10, 20, false, "h", 0, NULL, 0};
    assert_int_equal(sl_warehouse_ledger_check(&move, "10", "x", NULL), SL_OK);
    assert_int_equal(sl_warehouse_ledger_check(&move, "20", "h", NULL), SL_EEXIST);
    assert_int_equal(sl_warehouse_ledger_check(&move, "20", "x", NULL), SL_ECONFLICT);
    assert_int_equal(sl_warehouse_ledger_check(&move, "15", "h", NULL), SL_ECONFLICT);
    assert_int_equal(sl_warehouse_ledger_check(&move, "30", "h", NULL), SL_ECONFLICT);
    assert_int_equal(sl_warehouse_ledger_check(&move, NULL, NULL, NULL), SL_ECONFLICT);
    assert_int_equal(sl_warehouse_ledger_check(&move, "", "h", NULL), SL_ECONFLICT);
    assert_int_equal(sl_warehouse_ledger_check(&move, "-10", "h", NULL), SL_ECONFLICT);
    assert_int_equal(sl_warehouse_ledger_check(&move, "10x", "h", NULL), SL_ECONFLICT);
    move.first = true;
    assert_int_equal(sl_warehouse_ledger_check(&move, NULL, NULL, NULL), SL_OK);
    assert_int_equal(sl_warehouse_ledger_check(&move, "30", "h", NULL), SL_ECONFLICT);
}

static void partitions_that_are_shared_move_with_the_journals_row(void **state) {
    (void)state;
    static const sl_dialect dialects[] = {SL_DIALECT_POSTGRES, SL_DIALECT_REDSHIFT};
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_warehouse_table table = rows_table(dialects[i], NULL);
        const sl_warehouse_move move = {.partition = "journal:1", .from = 10, .to = 20, .hash = "h", .rows = 7,
                                        .ranges = "3 9 kafka:c/t/0@it's\n0 5 kafka:c/t/1@g\n", .last_id = 41};
        sl_warehouse_ledger_all(&table, &out);
        assert_non_null(strstr(sl_buffer_cstr(&out), "SELECT \"id\",\"partition\",\"position\",\"hash\",\"rows\" FROM "));
        sl_buffer_clear(&out);
        sl_warehouse_ledger_move(&table, &move, &out);
        const char *text = sl_buffer_cstr(&out);
        const char *remove = strstr(text, " WHERE \"partition\" IN ('kafka:c/t/0@it''s','kafka:c/t/1@g'); INSERT INTO ");
        assert_non_null(remove);
        const char *insert = strstr(remove, "(\"id\",\"partition\",\"position\",\"hash\",\"rows\") VALUES "
                                            "(42,'kafka:c/t/0@it''s','9','h',0),(43,'kafka:c/t/1@g','5','h',0); UPDATE ");
        assert_non_null(insert);
        assert_non_null(strstr(insert, "\"rows\" + 7 WHERE \"partition\" = 'journal:1' AND \"position\" = '10'"));
        sl_buffer_fini(&out);
        sl_warehouse_table_fini(&table);
    }
}

static void what_another_reader_brought_is_found_among_the_ledgers_rows(void **state) {
    (void)state;
    static const char *const rows[][3] = {{"1", "journal:1", "10"}, {"9", "kafka:c/t/0@g", "18446744073709551615"},
                                          {"5", "kafka:c/t/1@g", "7"}, {"6", "kafka:a\nb", "7"}};
    sl_warehouse_parts parts = {.lines = SL_BUFFER_EMPTY};
    sl_buffer found = SL_BUFFER_EMPTY;
    sl_error error = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(sl_warehouse_parts_add(&parts, "t", rows[i], &error), SL_OK);
    assert_int_equal(parts.last_id, 9);
    sl_warehouse_move move = {.table = "t", .partition = "journal:1", .ranges = "7 8 kafka:c/t/1@g\n"};
    assert_int_equal(sl_warehouse_parts_check(&move, &parts, &found, &error), SL_OK);
    assert_int_equal(found.length, 0);
    move.ranges = "6 8 kafka:c/t/1@g\n";
    assert_int_equal(sl_warehouse_parts_check(&move, &parts, NULL, &error), SL_EMOVED);
    assert_int_equal(sl_warehouse_parts_check(&move, &parts, &found, &error), SL_EMOVED);
    assert_string_equal(error.text, "t: another reader has brought kafka:c/t/1@g up to offset 7, this load begins at 6");
    assert_string_equal(sl_buffer_cstr(&found), "0 18446744073709551615 kafka:c/t/0@g\n0 7 kafka:c/t/1@g\n");
    move.ranges = NULL;
    assert_int_equal(sl_warehouse_parts_check(&move, &parts, NULL, &error), SL_OK);
    static const char *const none[][3] = {{"1", NULL, "1"}, {"1", "p", ""}, {"1", "p", "x"}, {NULL, "p", "1"}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(sl_warehouse_parts_add(&parts, "t", none[i], &error), SL_ECONFLICT);
    sl_warehouse_parts_fini(&parts);
    sl_buffer_fini(&found);
}

static void put_live(sl_live_table *live, const char *name, const char *type,
                     const char *length, const char *precision, const char *scale,
                     const char *must) {
    const char *const cells[6] = {name, type, length, precision, scale, must};
    assert_int_equal(sl_live_table_add(live, cells), SL_OK);
}

static void a_live_column_must_take_every_value_of_ours(void **state) {
    (void)state;
    static const struct {
        const char *name, *type, *length, *precision, *scale;
        bool good;
    } cases[] = {
        {"id", "text", NULL, NULL, NULL, true},
        {"id", "character varying", "20", NULL, NULL, true},
        {"id", "character", "20", NULL, NULL, false},
        {"price", "numeric", NULL, NULL, NULL, true},
        {"price", "numeric", NULL, "12", "2", true},
        {"price", "numeric", NULL, "14", "4", true},
        {"price", "numeric", NULL, "12", "4", false},
        {"price", "numeric", NULL, "12", "1", false},
        {"price", "double precision", NULL, NULL, NULL, false},
        {"at", "timestamp without time zone", NULL, NULL, NULL, true},
        {"at", "date", NULL, NULL, NULL, false},
        {"_position", "bigint", NULL, NULL, NULL, true},
        {"_position", "INTEGER", NULL, NULL, NULL, false},
        {"Id", "jsonb", NULL, NULL, NULL, true},
        {"Id", "text", NULL, NULL, NULL, true},
        {"Id", "bigint", NULL, NULL, NULL, false},
        {"theirs", "point", NULL, NULL, NULL, true},
    };
    sl_warehouse_table table = rows_table(SL_DIALECT_POSTGRES, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_live_table live = {0};
        sl_error error = {0};
        put_live(&live, cases[i].name, cases[i].type, cases[i].length, cases[i].precision,
                 cases[i].scale, "0");
        assert_int_equal(sl_live_check(&live, &table, &error),
                         cases[i].good ? SL_OK : SL_ETYPE);
        assert_true(cases[i].good || strstr(error.text, cases[i].name) != NULL);
        sl_live_table_fini(&live);
    }
    sl_live_table live = {0};
    put_live(&live, "id", "text", NULL, NULL, NULL, "1");
    assert_int_equal(sl_live_check(&live, &table, NULL), SL_OK);
    put_live(&live, "must", "integer", NULL, NULL, NULL, "1");
    assert_int_equal(sl_live_check(&live, &table, NULL), SL_ETYPE);
    sl_live_table_fini(&live);
    sl_warehouse_table_fini(&table);
}

static sl_value text_of(sl_type type, const char *text) {
    return (sl_value){.type = type, .as.text = {(const uint8_t *)text, strlen(text)}};
}

// @return the fitted text, "(dead)" or "(same)".
static const char *fitted(sl_dialect dialect, sl_live_column *live, sl_fit_policy policy,
                          sl_value value) {
    static char text[256];
    bool changed;
    sl_arena arena;
    sl_arena_init(&arena, 1024);
    sl_status status = sl_warehouse_fit(dialect, live, policy, &value, &arena, &changed);
    (void)snprintf(text, sizeof text, "%.*s",
                   status == SL_OK && changed ? (int)value.as.text.length : 6,
                   status != SL_OK ? "(dead)"
                   : changed       ? (const char *)value.as.text.bytes
                                   : "(same)");
    sl_arena_fini(&arena);
    return text;
}

static void texts_are_cut_at_characters_or_die(void **state) {
    (void)state;
    sl_live_column four = {.type = (char[]){"character varying"}, .length = 4};
    sl_value v = text_of(SL_TYPE_STRING, "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z");
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, &four, SL_FIT_TRUNCATE, v),
                        "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_string_equal(fitted(SL_DIALECT_REDSHIFT, &four, SL_FIT_TRUNCATE, v),
                        "a\xc3\xa4");
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, &four, SL_FIT_DEAD_LETTER, v),
                        "(dead)");
    v = text_of(SL_TYPE_STRING, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, &four, SL_FIT_DEAD_LETTER, v),
                        "(same)");
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, NULL, SL_FIT_DEAD_LETTER, v),
                        "(same)");
    v = (sl_value){.type = SL_TYPE_STRING, .as.text = {(const uint8_t *)"a\0b", 3}};
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, NULL, SL_FIT_TRUNCATE, v),
                        "a\xef\xbf\xbd"
                        "b");
}

static void json_that_a_server_cannot_hold_becomes_its_text(void **state) {
    (void)state;
    static const struct {
        const char *json, *fitted;
    } cases[] = {
        {"{\"a\":\"\\u0000\"}", "\"{\\\"a\\\":\\\"\\\\u0000\\\"}\""},
        {"\"\\ud800\"", "\"\\\"\\\\ud800\\\"\""},
        {"\"\\udc00\"", "\"\\\"\\\\udc00\\\"\""},
        {"\"\\ud83d\\ude00\"", "(same)"},
        {"\"\\\\u0000\"", "(same)"},
        {"\"\\\\\\u0000\"", "\"\\\"\\\\\\\\\\\\u0000\\\"\""},
        {"1e99999", "\"1e99999\""},
        {"-1E-99999", "\"-1E-99999\""},
        {"[1e0000005, 12.50]", "(same)"},
        {"{\"e99999\":1}", "(same)"},
        {"null", "(same)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(fitted(SL_DIALECT_POSTGRES, NULL, SL_FIT_DEAD_LETTER,
                                   text_of(SL_TYPE_JSON, cases[i].json)),
                            cases[i].fitted);
    // In a column of texts any JSON is welcome; too much of it is a JSON string of less.
    sl_live_column text = {.type = (char[]){"character varying"}, .length = 8};
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, &text, SL_FIT_TRUNCATE,
                               text_of(SL_TYPE_JSON, "1e99999")),
                        "(same)");
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, &text, SL_FIT_TRUNCATE,
                               text_of(SL_TYPE_JSON, "[\"a\",\"b\",\"c\"]")),
                        "\"[\\\"a\\\"\"");
    assert_string_equal(fitted(SL_DIALECT_POSTGRES, &text, SL_FIT_DEAD_LETTER,
                               text_of(SL_TYPE_JSON, "[1,2,3,4,5]")),
                        "(dead)");
}

static bool read_cell(sl_type type, uint8_t scale, const char *text, sl_value *out) {
    static sl_arena arena;
    sl_arena_fini(&arena);
    sl_arena_init(&arena, 1024);
    const sl_warehouse_column column = {.type = type, .scale = scale};
    return sl_warehouse_cell(&column, text, strlen(text), &arena, out);
}

static void cells_are_read_as_they_were_written(void **state) {
    (void)state;
    static const struct {
        sl_type type;
        uint8_t scale;
        const char *text;
        bool good;
        int64_t number;
    } cases[] = {
        {SL_TYPE_BOOL, 0, "t", true, 1},
        {SL_TYPE_BOOL, 0, "f", true, 0},
        {SL_TYPE_INT64, 0, "-9223372036854775808", true, INT64_MIN},
        {SL_TYPE_INT64, 0, "12x", false, 0},
        {SL_TYPE_INT64, 0, "", false, 0},
        {SL_TYPE_DECIMAL, 2, "-12.5", true, -1250},
        {SL_TYPE_DECIMAL, 2, "12", true, 1200},
        {SL_TYPE_DECIMAL, 2, "0.0100", true, 1},
        {SL_TYPE_DECIMAL, 2, "0.001", false, 0},
        {SL_TYPE_DECIMAL, 0, "9223372036854775807", true, INT64_MAX},
        {SL_TYPE_DECIMAL, 1, "9223372036854775807", false, 0},
        {SL_TYPE_DECIMAL, 0, "9223372036854775808", false, 0},
        {SL_TYPE_DECIMAL, 2, "NaN", false, 0},
        {SL_TYPE_DECIMAL, 2, "", false, 0},
        {SL_TYPE_DATE, 0, "1969-12-31", true, -1},
        {SL_TYPE_DATE, 0, "infinity", false, 0},
        {SL_TYPE_TIMESTAMP, 0, "1970-01-01 00:00:01.5+00", true, 1500000},
        {SL_TYPE_TIMESTAMP, 0, "1970-01-01 00:00:01", true, 1000000},
        {SL_TYPE_TIMESTAMP, 0, "infinity", false, 0},
    };
    sl_value v;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = read_cell(cases[i].type, cases[i].scale, cases[i].text, &v);
        assert_int_equal(good, cases[i].good);
        assert_true(!good || v.as.i64 == cases[i].number);
    }
    assert_true(read_cell(SL_TYPE_DOUBLE, 0, "1e-3", &v));
    assert_true(v.as.f64 > 0.000999 && v.as.f64 < 0.001001);
    assert_true(read_cell(SL_TYPE_BYTES, 0, "\\x00fF", &v));
    assert_int_equal(v.as.text.length, 2);
    assert_memory_equal(v.as.text.bytes, "\0\377", 2);
    assert_true(read_cell(SL_TYPE_BYTES, 0, "", &v));
    assert_false(read_cell(SL_TYPE_BYTES, 0, "abc", &v));
    assert_false(read_cell(SL_TYPE_BYTES, 0, "0g", &v));
}

static void a_row_has_one_hash_wherever_its_columns_stand(void **state) {
    (void)state;
    sl_warehouse_table narrow, wide;
    const sl_rows_column few[] = {columns[0], columns[1], columns[2]};
    const sl_rows_column more[] = {columns[0], columns[2], columns[3], columns[1]};
    assert_int_equal(
        sl_warehouse_table_of_rows(SL_DIALECT_POSTGRES, "t", few, 3, NULL, &narrow, NULL),
        SL_OK);
    assert_int_equal(
        sl_warehouse_table_of_rows(SL_DIALECT_POSTGRES, "t", more, 4, NULL, &wide, NULL),
        SL_OK);
    const sl_value position = {.type = SL_TYPE_INT64, .as.i64 = 5},
                   price = {.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = 7},
                   none = {.type = SL_TYPE_TIMESTAMP, .null = true};
    const sl_value one[] = {position, text_of(SL_TYPE_STRING, "x"), price};
    const sl_value two[] = {position, price, none, text_of(SL_TYPE_STRING, "x")};
    sl_value a[8], b[8];
    sl_warehouse_row(&narrow, one, 3, a);
    sl_warehouse_row(&wide, two, 4, b);
    assert_int_equal(a[0].as.i64, 3);
    assert_int_equal(a[1].as.i64, 5);
    assert_true(a[2].as.i64 == b[2].as.i64);
    assert_true((uint64_t)a[2].as.i64 == sl_warehouse_row_hash(&narrow, a));
    a[4].as.i64++;
    assert_true(a[2].as.i64 != (int64_t)sl_warehouse_row_hash(&narrow, a));
    sl_warehouse_table_fini(&narrow);
    sl_warehouse_table_fini(&wide);
}

static void keys_sort_by_time_and_long_ones_are_short(void **state) {
    (void)state;
    uint8_t group[600];
    memset(group, 7, sizeof group);
    sl_buffer before = SL_BUFFER_EMPTY, after = SL_BUFFER_EMPTY, other = SL_BUFFER_EMPTY;
    sl_warehouse_key(-1, group, 10, &before);
    sl_warehouse_key(0, group, 10, &after);
    assert_int_equal(before.length, 18);
    assert_true(memcmp(before.bytes, after.bytes, 18) < 0);
    sl_buffer_clear(&after);
    sl_warehouse_key(0, group, 600, &after);
    group[599]++;
    sl_warehouse_key(0, group, 600, &other);
    assert_int_equal(after.length, 25);
    assert_int_equal(after.bytes[8], 0xff);
    assert_memory_not_equal(after.bytes, other.bytes, 25);
    sl_buffer_fini(&before);
    sl_buffer_fini(&after);
    sl_buffer_fini(&other);
}

/* --- windows --- */

static sl_schema *clicks(void) {
    sl_schema *schema = sl_schema_create("clicks");
    assert_non_null(schema);
    uint32_t price = sl_schema_add(schema, 0, "price", 5, SL_TYPE_DECIMAL);
    schema->fields[price].precision = 12;
    schema->fields[price].scale = 2;
    assert_int_equal(sl_schema_add(schema, 0, "country", 7, SL_TYPE_STRING), 2);
    return schema;
}

static sl_window_plan *plan_of(const sl_schema *schema) {
    static const sl_measure_definition measures[] = {{"events", "count()"},
                                                     {"revenue", "sum(price)"},
                                                     {"mean", "avg(price)"},
                                                     {"least", "min(price)"},
                                                     {"share", "revenue / events"}};
    static const char *const by[] = {"country"};
    const sl_window_definition definition = {.name = "w",
                                             .width_us = SL_MINUTE_US,
                                             .by = by,
                                             .by_count = 1,
                                             .measures = measures,
                                             .measure_count = 5};
    sl_window_plan *plan = NULL;
    assert_int_equal(sl_window_plan_create(&definition, schema, &plan, NULL), SL_OK);
    return plan;
}

static void a_stored_window_is_the_state_it_came_from(void **state) {
    (void)state;
    sl_schema *schema = clicks();
    sl_window_plan *plan = plan_of(schema);
    sl_buffer key = SL_BUFFER_EMPTY, first = SL_BUFFER_EMPTY, again = SL_BUFFER_EMPTY,
              scratch = SL_BUFFER_EMPTY, cells = SL_BUFFER_EMPTY;
    sl_value group = text_of(SL_TYPE_STRING, "NO");
    sl_value_encode(&group, &key);
    const sl_value numbers[5] = {{.type = SL_TYPE_INT64, .as.i64 = 3},
                                 {.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = 450},
                                 {.type = SL_TYPE_DOUBLE, .null = true},
                                 {.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = -50},
                                 {.type = SL_TYPE_DOUBLE, .null = true}};
    const sl_value partials[5] = {{.type = SL_TYPE_BYTES, .null = true},
                                  {.type = SL_TYPE_BYTES, .null = true},
                                  {.type = SL_TYPE_BYTES, .null = true},
                                  {.type = SL_TYPE_BYTES, .null = true},
                                  {.type = SL_TYPE_BYTES, .null = true}};
    assert_int_equal(sl_window_state_build(plan, 3, numbers, partials, &first), SL_OK);
    for (sl_dialect dialect = SL_DIALECT_POSTGRES; dialect <= SL_DIALECT_REDSHIFT;
         dialect++) {
        sl_warehouse_table table;
        assert_int_equal(sl_warehouse_table_of_window(dialect, "w", plan, &table, NULL),
                         SL_OK);
        sl_value values[12];
        assert_int_equal(table.count, 11);
        assert_int_equal(sl_warehouse_window_values(&table, plan, SL_MINUTE_US, key.bytes,
                                                    key.length, first.bytes, first.length,
                                                    &scratch, values),
                         SL_OK);
        assert_true(values[0].as.i64 == SL_MINUTE_US);
        assert_memory_equal(values[1].as.text.bytes, "NO", 2);
        assert_int_equal(values[9].as.i64, 3);
        assert_true(values[10].as.i64 == (int64_t)sl_warehouse_row_hash(&table, values));
        assert_int_equal(values[8].type,
                         dialect == SL_DIALECT_POSTGRES ? SL_TYPE_BYTES : SL_TYPE_STRING);
        sl_buffer_clear(&again);
        assert_int_equal(sl_warehouse_window_state(&table, plan, values, &again), SL_OK);
        assert_int_equal(again.length, first.length);
        assert_memory_equal(again.bytes, first.bytes, first.length);
        assert_int_equal(sl_warehouse_window_values(&table, plan, 0, key.bytes,
                                                    key.length - 1, first.bytes,
                                                    first.length, &scratch, values),
                         SL_ECORRUPT);
        sl_warehouse_table_fini(&table);
    }
    sl_buffer_fini(&key);
    sl_buffer_fini(&first);
    sl_buffer_fini(&again);
    sl_buffer_fini(&scratch);
    sl_buffer_fini(&cells);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
}

static sl_status make_all(const sl_schema *schema, const sl_window_plan *plan,
                          const sl_value *row) {
    sl_warehouse_table table;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_live_table live = {0};
    sl_arena arena;
    sl_arena_init(&arena, 256);
    static const char *const cells[6] = {"a", "text", NULL, NULL, NULL, NULL};
    sl_status status = sl_warehouse_table_of_schema(SL_DIALECT_POSTGRES, "s.t", schema,
                                                    NULL, &table, NULL);
    if (status == SL_OK) {
        sl_warehouse_create(&table, &out);
        sl_warehouse_live(&table, &out);
        sl_warehouse_table_fini(&table);
        status =
            sl_warehouse_table_of_window(SL_DIALECT_REDSHIFT, "w", plan, &table, NULL);
    }
    if (status == SL_OK) {
        sl_warehouse_create(&table, &out);
        sl_warehouse_table_fini(&table);
        status = out.failed ? SL_ENOMEM : SL_OK;
    }
    for (int i = 0; i < 3 && status == SL_OK; i++)
        status = sl_live_table_add(&live, cells);
    sl_value v = *row;
    bool changed;
    if (status == SL_OK)
        status = sl_warehouse_fit(SL_DIALECT_POSTGRES, NULL, SL_FIT_TRUNCATE, &v, &arena,
                                  &changed);
    sl_live_table_fini(&live);
    sl_buffer_fini(&out);
    sl_arena_fini(&arena);
    return status;
}

static void any_failed_allocation_is_a_status(void **state) {
    (void)state;
    sl_schema *schema = clicks();
    sl_window_plan *plan = plan_of(schema);
    sl_value row = text_of(SL_TYPE_JSON, "\"\\u0000\"");
    uint64_t n = 0;
    sl_status status;
    do {
        sl_memory_fail_at(++n);
        status = make_all(schema, plan, &row);
        assert_true(status == SL_OK || status == SL_ENOMEM);
    } while (status != SL_OK);
    sl_memory_fail_at(0);
    print_message("n=%u\n", (unsigned)n);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_cut_where_the_server_would_and_stays_itself),
        cmocka_unit_test(quotes_and_backslashes_end_no_literal),
        cmocka_unit_test(names_of_the_server_and_of_others_are_avoided),
        cmocka_unit_test(a_table_is_made_as_its_server_likes_it),
        cmocka_unit_test(an_upsert_needs_its_column),
        cmocka_unit_test(ledger_statements_name_partition_and_positions),
        cmocka_unit_test(the_ledger_lets_pass_what_joins_and_nothing_else),
        cmocka_unit_test(partitions_that_are_shared_move_with_the_journals_row),
        cmocka_unit_test(what_another_reader_brought_is_found_among_the_ledgers_rows),
        cmocka_unit_test(a_live_column_must_take_every_value_of_ours),
        cmocka_unit_test(texts_are_cut_at_characters_or_die),
        cmocka_unit_test(json_that_a_server_cannot_hold_becomes_its_text),
        cmocka_unit_test(cells_are_read_as_they_were_written),
        cmocka_unit_test(a_row_has_one_hash_wherever_its_columns_stand),
        cmocka_unit_test(keys_sort_by_time_and_long_ones_are_short),
        cmocka_unit_test(a_stored_window_is_the_state_it_came_from),
        cmocka_unit_test(any_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
