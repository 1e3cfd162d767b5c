// Rows of CSV: the rules of the header, and csv-spectrum where it lies beside the
// checkout.

#include "sluice/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

// All rows as one text: cells in brackets, quoted ones in angles, rows apart by a bar.
static void show(const sl_csv *csv, sl_buffer *out) {
    for (uint32_t i = 0; i < csv->count; i++) {
        sl_buffer_byte(out, csv->cells[i].quoted ? '<' : '[');
        sl_buffer_append(out, csv->cells[i].bytes, csv->cells[i].length);
        sl_buffer_byte(out, csv->cells[i].quoted ? '>' : ']');
    }
    sl_buffer_byte(out, '|');
}

// Fed in pieces of `piece` bytes, as from a network.
static sl_status read_all(const char *text, size_t length, size_t piece, sl_buffer *out,
                          sl_error *error) {
    sl_csv csv;
    sl_csv_init(&csv);
    uint8_t *held = sl_malloc(
        length + 1); // A copy of exactly what was fed, so that reading beyond it shows.
    size_t at = 0, fed = 0;
    sl_status status;
    for (;;) {
        size_t used;
        memcpy(held, text + at, fed - at);
        status = sl_csv_row(&csv, held, fed - at, fed == length, &used, error);
        at += used;
        if (status == SL_OK)
            show(&csv, out);
        else if (status == SL_EAGAIN && fed < length)
            fed = length - fed < piece ? length : fed + piece;
        else
            break;
    }
    sl_free(held);
    sl_csv_fini(&csv);
    return status;
}

static void expect(const char *text, const char *rows) {
    size_t length = strlen(text);
    for (size_t piece = 1; piece <= length + 1; piece++) {
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_error error = {0};
        sl_status status = read_all(text, length, piece, &out, &error);
        if (status != SL_ENOTFOUND || strcmp(sl_buffer_cstr(&out), rows) != 0)
            fail_msg("\"%s\" by %zu bytes: %s %s: %s", text, piece,
                     sl_status_name(status), error.text, sl_buffer_cstr(&out));
        sl_buffer_fini(&out);
    }
}

static void rows_and_fields_are_told_apart(void **state) {
    (void)state;
    expect("", "");
    expect("a", "[a]|");
    expect("a,b\nc,d\n", "[a][b]|[c][d]|");
    expect("a,b\r\nc,d\r\n", "[a][b]|[c][d]|");
    expect("a,b\nc,d", "[a][b]|[c][d]|");
    expect(",\n", "[][]|");
    expect("a,", "[a][]|");
    expect("a,,b\n,,\n", "[a][][b]|[][][]|");
    expect(" a , b \n", "[ a ][ b ]|");
}

static void quotes_protect_what_is_in_them(void **state) {
    (void)state;
    expect("\"a\",\"b\"\n", "<a><b>|");
    expect("\"a,b\",c\n", "<a,b>[c]|");
    expect("\"a\nb\",c\nd\n", "<a\nb>[c]|[d]|");
    expect("\"a\r\nb\"\r\n", "<a\r\nb>|");
    expect("\"\"\n", "<>|");
    expect("\"\",\"\"\"\"\n", "<><\">|");
    expect("\"a \"\"b\"\" c\",\"\"\"\"\"\"\n", "<a \"b\" c><\"\">|");
    expect("\"a\"", "<a>|");
    expect("36'37.8\"N,b\"\n", "[36'37.8\"N][b\"]|"); // Only a field's first byte opens quotes.
}

static void empty_lines_and_a_byte_order_mark_are_no_rows(void **state) {
    (void)state;
    expect("\n\n", "");
    expect("\r\n\n\r\na\n\n\nb\n\n", "[a]|[b]|");
    expect("\xEF\xBB\xBF"
           "a\n",
           "[a]|");
    expect("\xEF\xBB\xBF", "");
    expect("\xEF\xBB\xBF\"a\"\n", "<a>|");
    expect("a\n\xEF\xBB\xBF"
           "b\n",
           "[a]|[\xEF\xBB\xBF"
           "b]|"); // Only at the beginning.
}

static void a_carriage_return_alone_is_text(void **state) {
    (void)state;
    expect("a\rb,c\r\r\n", "[a\rb][c\r]|");
    expect("\r", "[\r]|");
}

static void refuse(const char *text, size_t length, const char *words) {
    for (size_t piece = 1; piece <= length + 1; piece++) {
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_error error = {0};
        sl_status status = read_all(text, length, piece, &out, &error);
        if (status != SL_ESYNTAX || strcmp(error.text, words) != 0)
            fail_msg("by %zu bytes: %s: %s", piece, sl_status_name(status), error.text);
        sl_buffer_fini(&out);
    }
}
#define REFUSE(text, words) refuse(text, sizeof text - 1, words)

static void what_breaks_the_grammar_is_refused_with_its_place(void **state) {
    (void)state;
    REFUSE("\"a\"b\n", "line 1, column 4: text behind a closing quote");
    REFUSE("\"a\" \n", "line 1, column 4: text behind a closing quote");
    REFUSE("\"a\"\rb", "line 1, column 4: text behind a closing quote");
    REFUSE("a\nb,\"c\nd",
           "line 2, column 3: the quote that the field begins with isn't closed");
    REFUSE("a,b\xff\n", "line 1, column 4: not UTF-8");
    REFUSE("\"a\nbc\xc3\"\n", "line 2, column 3: not UTF-8");
    REFUSE("ab,\"a\nbc\0\"\n", "line 2, column 3: a NUL byte");
    REFUSE("\"a\nb\nc\"d\n", "line 3, column 3: text behind a closing quote");
}

static void reading_goes_on_behind_a_broken_row(void **state) {
    (void)state;
    static const uint8_t text[] = "a\n\"b\"c\nd\n\"e\nf";
    size_t length = sizeof text - 1, at = 0, used;
    sl_csv csv;
    sl_csv_init(&csv);
    static const sl_status expected[] = {SL_OK,      SL_ESYNTAX, SL_OK,
                                         SL_ESYNTAX, SL_OK,      SL_ENOTFOUND};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(sl_csv_row(&csv, text + at, length - at, true, &used, NULL),
                         expected[i]);
        at += used;
    }
    assert_int_equal(csv.line, 5);
    sl_csv_fini(&csv);
}

static void cells_know_where_they_begin(void **state) {
    (void)state;
    static const uint8_t text[] = "\n\"a\nb\",c\n\n d";
    size_t at = 0, used, length = sizeof text - 1;
    sl_csv csv;
    sl_csv_init(&csv);
    assert_int_equal(sl_csv_row(&csv, text, length, true, &used, NULL), SL_OK);
    assert_int_equal(csv.row_line, 2);
    assert_int_equal(csv.row_begin, 1);
    assert_int_equal(csv.cells[0].line, 2);
    assert_int_equal(csv.cells[0].column, 1);
    assert_int_equal(csv.cells[1].line, 3);
    assert_int_equal(csv.cells[1].column, 4);
    at += used;
    assert_int_equal(sl_csv_row(&csv, text + at, length - at, true, &used, NULL), SL_OK);
    assert_int_equal(csv.row_line, 5);
    assert_int_equal(csv.cells[0].line, 5);
    sl_csv_fini(&csv);
}

static void rows_beyond_a_limit_are_refused(void **state) {
    (void)state;
    sl_csv csv;
    sl_csv_init(&csv);
    csv.cells_max = 2;
    csv.row_bytes_max = 8;
    size_t used;
    sl_error error;
    assert_int_equal(
        sl_csv_row(&csv, (const uint8_t *)"a,b,c\nd", 7, true, &used, &error), SL_ELIMIT);
    assert_int_equal(used, 6);
    assert_int_equal(
        sl_csv_row(&csv, (const uint8_t *)"\"abcdefghijk", 12, false, &used, &error),
        SL_ELIMIT);
    assert_int_equal(
        sl_csv_row(&csv, (const uint8_t *)"abcdefghijk\n", 12, true, &used, &error),
        SL_ELIMIT);
    assert_int_equal(
        sl_csv_row(&csv, (const uint8_t *)"abcdefg\n", 8, true, &used, &error), SL_OK);
    sl_csv_fini(&csv);
}

static void another_delimiter_leaves_the_comma_alone(void **state) {
    (void)state;
    sl_csv csv;
    sl_csv_init(&csv);
    csv.delimiter = ';';
    size_t used;
    sl_buffer out = SL_BUFFER_EMPTY;
    assert_int_equal(
        sl_csv_row(&csv, (const uint8_t *)"a,b;\"c;d\"\n", 10, true, &used, NULL), SL_OK);
    show(&csv, &out);
    assert_string_equal(sl_buffer_cstr(&out), "[a,b]<c;d>|");
    sl_buffer_fini(&out);
    sl_csv_fini(&csv);
}

static void out_of_memory_is_told_and_the_row_is_read_when_there_is_some(void **state) {
    (void)state;
    static const uint8_t text[] = "\"a\"\"b\",c\n";
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        sl_csv csv;
        sl_csv_init(&csv);
        size_t used;
        sl_memory_fail_at(n);
        sl_status status = sl_csv_row(&csv, text, sizeof text - 1, true, &used, NULL);
        failed = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        assert_int_equal(status, failed ? SL_ENOMEM : SL_OK);
        if (failed)
            assert_int_equal(
                sl_csv_row(&csv, text + used, sizeof text - 1 - used, true, &used, NULL),
                SL_OK);
        assert_int_equal(csv.count, 2);
        assert_memory_equal(csv.cells[0].bytes, "a\"b", csv.cells[0].length);
        sl_csv_fini(&csv);
    }
}

// ---- csv-spectrum
// ------------------------------------------------------------------------------------------

static char *slurp(const char *folder, const char *name, const char *ending,
                   size_t *length) {
    char path[4096];
    const char *root = getenv("SLUICE_SHARED_DATA");
    snprintf(path, sizeof path, "%s/csv/csv-spectrum/%s/%s.%s",
             root != NULL ? root : SLUICE_DATA_DEFAULT, folder, name, ending);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("skipped: no %s (set SLUICE_SHARED_DATA)\n", path);
        return NULL;
    }
    static char bytes[1 << 16];
    *length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return sl_strndup(bytes, *length);
}

static void copy_header(const sl_csv *csv, char names[16][64]) {
    for (uint32_t i = 0; i < csv->count && i < 16; i++)
        snprintf(names[i], 64, "%.*s", (int)csv->cells[i].length,
                 (const char *)csv->cells[i].bytes);
}

static void check_pair(const char *name, bool first_column) {
    size_t length = 0, json_length = 0, at = 0, used;
    char *text = slurp("csvs", name, "csv", &length);
    if (text == NULL)
        return;
    char *json = slurp("json", name, "json", &json_length);
    json_t *parsed = json_loadb(json, json_length, 0, NULL);
    json_t *expected =
        json_is_array(parsed) ? json_incref(parsed) : json_pack("[O]", parsed);
    sl_csv csv;
    sl_csv_init(&csv);
    char names[16][64];
    assert_int_equal(sl_csv_row(&csv, (const uint8_t *)text, length, true, &used, NULL),
                     SL_OK);
    copy_header(&csv, names);
    size_t rows = 0;
    for (;; rows++) {
        at += used;
        sl_status status =
            sl_csv_row(&csv, (const uint8_t *)text + at, length - at, true, &used, NULL);
        if (status == SL_ENOTFOUND)
            break;
        assert_int_equal(status, SL_OK);
        const json_t *object = json_array_get(expected, rows);
        assert_int_equal(csv.count, json_object_size(object));
        for (uint32_t i = first_column ? 0 : 1; i < csv.count; i++) {
            const char *value = json_string_value(json_object_get(object, names[i]));
            assert_non_null(value);
            assert_int_equal(csv.cells[i].length, strlen(value));
            assert_memory_equal(csv.cells[i].bytes, value, strlen(value));
        }
    }
    assert_int_equal(rows, json_array_size(expected));
    sl_csv_fini(&csv);
    json_decref(expected);
    json_decref(parsed);
    sl_free(text);
    sl_free(json);
}

static void csv_spectrum_reads_as_its_json(void **state) {
    (void)state;
    static const char *const names[] = {"comma_in_quotes",
                                        "empty",
                                        "empty_crlf",
                                        "escaped_quotes",
                                        "json",
                                        "newlines",
                                        "newlines_crlf",
                                        "quotes_and_newlines",
                                        "simple",
                                        "simple_crlf",
                                        "utf8"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_pair(names[i], true);
    // The first column of this pair is a telephone number that differs between its two
    // files.
    check_pair("location_coordinates", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_fields_are_told_apart),
        cmocka_unit_test(quotes_protect_what_is_in_them),
        cmocka_unit_test(empty_lines_and_a_byte_order_mark_are_no_rows),
        cmocka_unit_test(a_carriage_return_alone_is_text),
        cmocka_unit_test(what_breaks_the_grammar_is_refused_with_its_place),
        cmocka_unit_test(reading_goes_on_behind_a_broken_row),
        cmocka_unit_test(cells_know_where_they_begin),
        cmocka_unit_test(rows_beyond_a_limit_are_refused),
        cmocka_unit_test(another_delimiter_leaves_the_comma_alone),
        cmocka_unit_test(out_of_memory_is_told_and_the_row_is_read_when_there_is_some),
        cmocka_unit_test(csv_spectrum_reads_as_its_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
