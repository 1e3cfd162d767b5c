/* Where tables come from, what they are compared with, and what becomes of values that don't fit. */
#include "redshift_test_help.h"

#include <inttypes.h>

static void without_create_a_missing_table_or_column_waits(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL); /* By the table's own rule, see redshift_test_help.c. */
    forget(&w, "rs_none");
    parcel p = rows_parcel(&w, "rs_none", HERE, 1, 0, 10, 1);
    assert_int_equal(deliver_once(&w, &p), SL_EIO);
    assert_non_null(strstr(w.error.text, "no such table"));
    (void)ask(&w, "CREATE TABLE rs_none (_partition BIGINT, _position BIGINT, _hash BIGINT, id VARCHAR(100),"
                  " kind VARCHAR(100), amount FLOAT8, price DECIMAL(12,2), \"at\" TIMESTAMP, paid BOOLEAN,"
                  " \"day\" DATE, tags SUPER, number BIGINT)");
    assert_int_equal(deliver_once(&w, &p), SL_EIO);
    assert_non_null(strstr(w.error.text, "lacks column \"user\": ALTER TABLE"));
    (void)ask(&w, "ALTER TABLE rs_none ADD COLUMN \"user\" VARCHAR(100)");
    assert_int_equal(deliver_once(&w, &p), SL_EIO);
    assert_non_null(strstr(w.error.text, "sluice ddl redshift"));
    (void)ask(&w, "CREATE TABLE sluice_ledger_rs_none (id BIGINT, \"partition\" VARCHAR(512), \"position\" VARCHAR(512),"
                  " hash VARCHAR(512), rows BIGINT)");
    if (deliver_once(&w, &p) != SL_OK)
        fail_msg("%s", w.error.text);
    parcel_fini(&w, &p);
    check_rows(&w, "rs_none", 10);
    world_close(&w);
}

static void another_columns_type_is_told_and_waits(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_type");
    (void)ask(&w, "CREATE TABLE rs_type (id INT)");
    parcel p = rows_parcel(&w, "rs_type", HERE, 1, 0, 10, 1);
    assert_int_equal(deliver_once(&w, &p), SL_EIO);
    assert_non_null(strstr(w.error.text, "\"id\""));
    (void)ask(&w, "DROP TABLE rs_type");
    assert_int_equal(deliver_once(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    check_rows(&w, "rs_type", 10);
    world_close(&w);
}

static void types_that_widened_within_an_entry_become_the_wider(void **state) {
    static const sl_rows_column was[] = {{"_position", SL_TYPE_INT64, 0, 0}, {"x", SL_TYPE_INT64, 0, 0}},
                                is[] = {{"_position", SL_TYPE_INT64, 0, 0},
                                        {"x", SL_TYPE_STRING, 0, 0},
                                        {"y", SL_TYPE_DOUBLE, 0, 0}};
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_wide");
    sl_schema *schema = sl_schema_create("wide");
    (void)sl_schema_add(schema, 0, "x", 1, SL_TYPE_STRING);
    (void)sl_schema_add(schema, 0, "y", 1, SL_TYPE_DOUBLE);
    parcel p = parcel_of(&w, "rs_wide", HERE, 1, 0, 100);
    p.delivery.schema = schema;
    sl_buffer rows = SL_BUFFER_EMPTY;
    sl_rows_begin(&rows, was, 2);
    const sl_value old[] = {{.type = SL_TYPE_INT64, .as.i64 = 1}, {.type = SL_TYPE_INT64, .as.i64 = 42}};
    sl_rows_add(&rows, old, 2);
    parcel_file(&w, &p, &rows, 1);
    sl_buffer_clear(&rows);
    sl_rows_begin(&rows, is, 3);
    const sl_value new[] = {{.type = SL_TYPE_INT64, .as.i64 = 2},
                            {.type = SL_TYPE_STRING, .as.text = {(const uint8_t *)"abc", 3}},
                            {.type = SL_TYPE_DOUBLE, .as.f64 = 0.5}};
    sl_rows_add(&rows, new, 3);
    parcel_file(&w, &p, &rows, 1);
    sl_buffer_fini(&rows);
    assert_int_equal(deliver(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    assert_string_equal(ask(&w, "SELECT x FROM rs_wide WHERE _position = 1"), "42");
    assert_string_equal(ask(&w, "SELECT y FROM rs_wide WHERE _position = 2"), "0.5");
    /* The stream grows: so does the table. */
    (void)sl_schema_add(schema, 0, "z", 1, SL_TYPE_BOOL);
    p = parcel_of(&w, "rs_wide", HERE, 2, 100, 200);
    p.delivery.schema = schema;
    assert_int_equal(deliver(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_wide WHERE z IS NULL"), 2);
    sl_schema_unref(schema);
    world_close(&w);
}

/* `kind` takes what is said; "view" and "it's a …" of numbered() don't fit into 3 bytes. */
static void narrow_table(world *w, const char *name, const char *kind) {
    forget(w, name);
    (void)ask(w, "CREATE TABLE %s (_partition BIGINT, _position BIGINT, _hash BIGINT, id VARCHAR(40), kind %s,"
                 " \"user\" VARCHAR(65535), amount FLOAT8, price DECIMAL(12,2), \"at\" TIMESTAMP, paid BOOLEAN,"
                 " \"day\" DATE, tags SUPER, number BIGINT, own INT)",
              name, kind);
}

static void texts_that_are_too_long_are_cut_at_a_character(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_cut");
    take(&w, rows_parcel(&w, "rs_cut", HERE, 1, 0, 0, 0));
    (void)ask(&w, "DROP TABLE rs_cut");
    (void)ask(&w, "CREATE TABLE rs_cut (_partition BIGINT, _position BIGINT, _hash BIGINT, id VARCHAR(4),"
                  " kind VARCHAR(1), \"user\" VARCHAR(65535), amount FLOAT8, price DECIMAL(12,2),"
                  " \"at\" TIMESTAMP, paid BOOLEAN, \"day\" DATE, tags VARCHAR(5), number BIGINT, own INT)");
    target_close(&w);
    target_open(&w);
    take(&w, rows_parcel(&w, "rs_cut", HERE, 2, 0, 20, 1));
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_cut"), 20);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_cut WHERE kind = ''"), 5); /* ü has two bytes */
    assert_int_equal(ask_number(&w, "SELECT MAX(OCTET_LENGTH(id)) FROM rs_cut"), 4);
    world_close(&w);
}

static void a_column_that_was_widened_is_not_cut_any_more(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    narrow_table(&w, "rs_widened", "VARCHAR(3)");
    take(&w, rows_parcel(&w, "rs_widened", HERE, 1, 0, 8, 1));
    assert_int_equal(ask_number(&w, "SELECT MAX(OCTET_LENGTH(kind)) FROM rs_widened"), 3);
    (void)ask(&w, "ALTER TABLE rs_widened ALTER COLUMN kind TYPE VARCHAR(100)");
    take(&w, rows_parcel(&w, "rs_widened", HERE, 2, 8, 8, 1));
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_widened WHERE kind LIKE '%%quote%%'"), 2);
    /* And one that was wide when it was last seen: */
    (void)ask(&w, "DELETE FROM rs_widened");
    (void)ask(&w, "ALTER TABLE rs_widened ALTER COLUMN kind TYPE VARCHAR(5)");
    parcel p = rows_parcel(&w, "rs_widened", HERE, 3, 16, 8, 1);
    assert_int_equal(deliver_once(&w, &p), SL_EIO); /* Now what was seen is forgotten. */
    assert_int_equal(deliver_once(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_widened"), 8);
    world_close(&w);
}

static void rows_that_do_not_fit_go_beside_the_table(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    narrow_table(&w, "rs_dead", "VARCHAR(3)");
    parcel p = rows_parcel(&w, "rs_dead", HERE, 1, 0, 20, 2);
    assert_int_equal(deliver_once(&w, &p), SL_OK);
    assert_int_equal(deliver_once(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    assert_string_equal(ask(&w, "SELECT COUNT(*) || ' ' || COUNT(DISTINCT kind) FROM rs_dead"), "10 2");
    assert_string_equal(ask(&w, "SELECT COUNT(*) || ' ' || COUNT(DISTINCT position) || ' ' || MAX(part) || ' ' ||"
                                " MIN(\"column\") || ' ' || MIN(partition) FROM sluice_dead_rs_dead"),
                        "10 10 0 kind " HERE);
    assert_string_equal(ask(&w, "SELECT \"row\" FROM sluice_dead_rs_dead WHERE position = 200"),
                        "{\"id\":\"id-2\",\"kind\":\"it's a \\\\ 'quote'\",\"user\":\"user-14\",\"amount\":0.25,"
                        "\"price\":2.02,\"at\":\"2026-01-01T00:00:02Z\",\"paid\":false,\"day\":\"2026-01-01\","
                        "\"tags\":{\"a\":[1,2]},\"number\":2}");
    assert_string_equal(ask(&w, "SELECT rows FROM sluice_ledger_rs_dead"), "20");
    /* An entry that has nothing else, and lost connections on the way. */
    (void)ask(&w, "SELECT rsd_inject('drop_after','^insert into \"sluice_dead',2)");
    p = rows_parcel(&w, "rs_dead", HERE, 2, 20, 1, 1);
    assert_int_equal(deliver_once(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    assert_int_equal(ask_number(&w, "SELECT rsd_left()"), 0);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM sluice_dead_rs_dead"), 11);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_dead"), 10);
    world_close(&w);
}

/* An entry of rows with nothing but a text. */
static parcel texts_parcel(world *w, const char *table, sl_schema *schema, const sl_buffer *text, unsigned count) {
    static const sl_rows_column heads[] = {{"_position", SL_TYPE_INT64, 0, 0}, {"x", SL_TYPE_STRING, 0, 0}};
    parcel p = parcel_of(w, table, HERE, 1, 0, 100 * count);
    p.delivery.schema = schema;
    sl_buffer rows = SL_BUFFER_EMPTY;
    sl_rows_begin(&rows, heads, 2);
    for (unsigned i = 0; i < count; i++) {
        size_t length = i == 0 ? 8 : text->length;
        const sl_value values[] = {{.type = SL_TYPE_INT64, .as.i64 = 100 * (int64_t)i},
                                   {.type = SL_TYPE_STRING, .as.text = {text->bytes, length}}};
        sl_rows_add(&rows, values, 2);
    }
    parcel_file(w, &p, &rows, count);
    sl_buffer_fini(&rows);
    return p;
}

static sl_schema *texts_schema(void) {
    sl_schema *schema = sl_schema_create("texts");
    (void)sl_schema_add(schema, 0, "x", 1, SL_TYPE_STRING);
    return schema;
}

/* Its JSON has more bytes than a VARCHAR can have: in pieces, none of which ends within a character. */
static void a_row_larger_than_any_varchar_is_kept_whole(void **state) {
    enum { CHARACTERS = 400000, ROWS = 4 };
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_dead_large");
    sl_buffer text = SL_BUFFER_EMPTY;
    for (unsigned i = 0; i < CHARACTERS; i++)
        sl_buffer_text(&text, i % 3 == 0 ? "\xe2\x82\xac" : i % 3 == 1 ? "\\" : "'");
    sl_schema *schema = texts_schema();
    parcel p = texts_parcel(&w, "rs_dead_large", schema, &text, ROWS);
    sl_buffer_fini(&text);
    if (deliver_once(&w, &p) != SL_OK)
        fail_msg("%s", w.error.text);
    parcel_fini(&w, &p);
    sl_schema_unref(schema);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_dead_large"), 1);
    assert_int_equal(ask_number(&w, "SELECT MAX(OCTET_LENGTH(\"row\")) FROM sluice_dead_rs_dead_large"), 65535);
    /* {"x":"…"}, with a backslash before each backslash. */
    for (unsigned i = 1; i < ROWS; i++)
        assert_int_equal(ask_number(&w, "SELECT SUM(CHAR_LENGTH(\"row\")) + MAX(part) + 1 - COUNT(DISTINCT part)"
                                        " FROM sluice_dead_rs_dead_large WHERE position = %u",
                                    100 * i),
                         CHARACTERS + CHARACTERS / 3 + 8);
    world_close(&w);
}

static void where_nearly_nothing_fits_that_is_told(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_dead_all");
    sl_buffer text = SL_BUFFER_EMPTY;
    for (unsigned i = 0; i < 70000; i++)
        sl_buffer_byte(&text, 'x');
    sl_schema *schema = texts_schema();
    parcel p = texts_parcel(&w, "rs_dead_all", schema, &text, 300);
    sl_buffer_fini(&text);
    assert_int_equal(deliver_once(&w, &p), SL_EIO);
    assert_non_null(strstr(w.error.text, "nearly nothing fits into column \"x\""));
    parcel_fini(&w, &p);
    sl_schema_unref(schema);
    assert_int_equal(staged_objects_at_last(&w), 0);
    world_close(&w);
}

int main(void) {
    if (getenv("SLUICE_TEST_REDSHIFT") == NULL || getenv("SLUICE_TEST_S3_ENDPOINT") == NULL) {
        print_message("skipped: no Redshift double; tests/integration/redshift_test.py starts one\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_create_a_missing_table_or_column_waits),
        cmocka_unit_test(another_columns_type_is_told_and_waits),
        cmocka_unit_test(types_that_widened_within_an_entry_become_the_wider),
        cmocka_unit_test(texts_that_are_too_long_are_cut_at_a_character),
        cmocka_unit_test(a_column_that_was_widened_is_not_cut_any_more),
        cmocka_unit_test(rows_that_do_not_fit_go_beside_the_table),
        cmocka_unit_test(a_row_larger_than_any_varchar_is_kept_whole),
        cmocka_unit_test(where_nearly_nothing_fits_that_is_told),
    };
    const char *only = getenv("SLUICE_ONLY");
    if (only != NULL)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
