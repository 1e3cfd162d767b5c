// Files written for a purpose, and MaxMind's test files where they lie beside the
// checkout.

#include "mmdb_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

// ---- Addresses
// --------------------------------------------------------------------------------------------

static void addresses_are_read_by_the_letter(void **state) {
    (void)state;
    static const char *const good[] = {"0.0.0.0",
                                       "255.255.255.255",
                                       "1.2.3.4",
                                       "::",
                                       "::1",
                                       "1::",
                                       "1:2:3:4:5:6:7:8",
                                       "1::8",
                                       "FE80::aBcD",
                                       "1:2:3:4:5:6:1.2.3.4",
                                       "::1.2.3.4",
                                       "1:2:3:4:5:6:7::",
                                       "::2:3:4:5:6:7:8",
                                       "1::3:4:5:6:7:8"};
    static const char *const bad[] = {"",
                                      "1",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "01.2.3.4",
                                      "1.2.3.256",
                                      "1.2.3.4 ",
                                      " 1.2.3.4",
                                      "1.2.3.",
                                      ".1.2.3",
                                      "0x1.2.3.4",
                                      "1..2.3",
                                      ":",
                                      ":::",
                                      "1:2:3:4:5:6:7",
                                      "1:2:3:4:5:6:7:8:9",
                                      "1::2::3",
                                      "12345::",
                                      "::g",
                                      "1:",
                                      ":1",
                                      "[::1]",
                                      "::1%eth0",
                                      "::1.2.3",
                                      "1.2.3.4::",
                                      "::1.2.3.4:5",
                                      "1:2:3:4:5:6:7:1.2.3.4",
                                      "::1:2:3:4:5:6:7:8",
                                      "1:2:3:4:5:6:7:8::",
                                      "1:2:3:4::5:6:7:8:9",
                                      "::00001",
                                      "1.2.3.0004"};
    uint8_t address[16];
    unsigned bits;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!sl_geoip_address(good[i], strlen(good[i]), address, &bits))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sl_geoip_address(bad[i], strlen(bad[i]), address, &bits))
            fail_msg("%s is taken", bad[i]);
}

static void mapped_ipv4_is_ipv4(void **state) {
    (void)state;
    uint8_t address[16];
    unsigned bits;
    static const uint8_t expected[16] = {[12] = 1, [13] = 2, [14] = 3, [15] = 4};
    assert_true(sl_geoip_address("::ffff:1.2.3.4", 14, address, &bits));
    assert_int_equal(bits, 32);
    assert_memory_equal(address, expected, 16);
    assert_true(sl_geoip_address("::ffff:0102:0304", 16, address, &bits));
    assert_int_equal(bits, 32);
    assert_true(sl_geoip_address("::1.2.3.4", 9, address, &bits));
    assert_int_equal(bits, 128);
}

// Random texts out of what addresses are made of, against the C library.
static void addresses_are_read_as_the_c_library_does(void **state) {
    (void)state;
    static const char *const pieces[] = {"1",    "0",  "12",      "255", "256", "ab",
                                         "FFFF", "::", ":",       ".",   ".",   ":",
                                         ":",    "01", "1.2.3.4", "00"};
    uint32_t random = 1;
    unsigned taken = 0;
    for (unsigned i = 0; i < 300000; i++) {
        char text[64] = "";
        unsigned count = 0;
        random = random * 1664525 + 1013904223;
        for (count = random >> 28; count > 0; count--) {
            random = random * 1664525 + 1013904223;
            if (strlen(text) < 40)
                strcat(text, pieces[random >> 28]);
        }
        uint8_t mine[16], theirs[16] = {0};
        unsigned bits = 0;
        bool v6 = strchr(text, ':') != NULL;
        bool expected =
            inet_pton(v6 ? AF_INET6 : AF_INET, text, v6 ? theirs : theirs + 12) == 1;
        bool got = sl_geoip_address(text, strlen(text), mine, &bits);
        if (got != expected)
            fail_msg("%s is %s", text, got ? "taken" : "refused");
        taken += got;
        if (got && (bits == 128 || !v6))
            assert_memory_equal(mine, theirs, 16);
    }
    assert_true(taken > 1000);
}

// ---- Files
// --------------------------------------------------------------------------------------------

static const uint8_t net_a[16] = {81, 2, 69, 0}, net_b[16] = {0x20, 0x01, 0x0d, 0xb8};

static uint8_t *small_file(unsigned record_bits, size_t *length) {
    static mmdb_writer w;
    mmdb_begin(&w, record_bits, 6);
    uint32_t berlin = mmdb_city(&w, "Berlin", 52.5), empty = (uint32_t)w.data.length;
    mmdb_control(&w.data, MMDB_MAP, 0);
    uint8_t v4[16] = {0};
    memcpy(v4 + 12, net_a, 4);
    mmdb_network(&w, v4, 96 + 24, berlin);
    mmdb_network(&w, net_b, 32, empty);
    return mmdb_finish(&w, "Test-City", length);
}

static sl_geoip *load(uint8_t *file, size_t length) {
    sl_geoip *db = NULL;
    sl_error error = {0};
    if (sl_geoip_load(file, length, NULL, &db, &error) != SL_OK)
        fail_msg("%s", error.text);
    return db;
}

static bool find(const sl_geoip *db, const char *text, sl_geoip_answer *answer) {
    uint8_t address[16];
    unsigned bits;
    assert_true(sl_geoip_address(text, strlen(text), address, &bits));
    return sl_geoip_find(db, address, bits, answer);
}

static void expect_text(const sl_geoip_answer *answer, sl_geoip_part part,
                        const char *expected) {
    assert_int_equal(answer->present >> part & 1, expected != NULL);
    if (expected == NULL)
        return;
    assert_int_equal(answer->text[part].length, strlen(expected));
    assert_memory_equal(answer->text[part].bytes, expected, strlen(expected));
}

static void records_of_every_width_are_found(void **state) {
    (void)state;
    for (unsigned bits = 24; bits <= 32; bits += 4) {
        size_t length;
        uint8_t *file = small_file(bits, &length);
        sl_geoip *db = load(file, length);
        sl_geoip_answer answer;
        assert_true(find(db, "81.2.69.0", &answer));
        assert_true(find(db, "::ffff:81.2.69.255", &answer));
        expect_text(&answer, SL_GEOIP_COUNTRY_ISO, "DE");
        expect_text(&answer, SL_GEOIP_COUNTRY, "Germany");
        expect_text(&answer, SL_GEOIP_REGION, "Land Berlin");
        expect_text(&answer, SL_GEOIP_CITY, "Berlin");
        expect_text(&answer, SL_GEOIP_TIMEZONE, "Europe/Berlin");
        assert_true(answer.latitude == 52.5 && answer.longitude == 13.5);
        assert_int_equal(answer.present >> SL_GEOIP_ASN & 1, 0);
        assert_true(find(db, "2001:db8::1", &answer));
        assert_int_equal(answer.present, 0);
        assert_false(find(db, "81.2.70.0", &answer));
        assert_false(find(db, "2001:db9::", &answer));
        assert_string_equal(sl_geoip_type(db), "Test-City");
        assert_true(sl_geoip_built_us(db) == INT64_C(1700000000000000));
        assert_int_equal(sl_geoip_parts(db), 0x7F);
        sl_geoip_unref(db);
    }
}

static void names_come_in_the_language_asked_for(void **state) {
    (void)state;
    size_t length;
    uint8_t *file = small_file(24, &length);
    sl_geoip *db = NULL;
    assert_int_equal(sl_geoip_load(file, length, "de", &db, NULL), SL_OK);
    sl_geoip_answer answer;
    assert_true(find(db, "81.2.69.1", &answer));
    expect_text(&answer, SL_GEOIP_COUNTRY, "Deutschland");
    expect_text(&answer, SL_GEOIP_CITY, NULL);
    sl_geoip_unref(db);
}

// A copy of exactly that size, so that reading beyond it shows.
static sl_status try_load(const uint8_t *bytes, size_t length, sl_error *error) {
    uint8_t *copy = sl_malloc(length);
    memcpy(copy, bytes, length);
    sl_geoip *db = NULL;
    sl_status status = sl_geoip_load(copy, length, NULL, &db, error);
    if (status != SL_OK) {
        sl_free(copy);
        return status;
    }
    sl_geoip_answer answer;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t address[16] = {(uint8_t)i, 1, 0x0d, 0xb8};
        sl_geoip_find(db, address, 128, &answer);
        memcpy(address + 12, net_a, 4);
        address[12 + i % 4] = (uint8_t)i;
        if (sl_geoip_find(db, address, 32, &answer))
            for (unsigned p = 0; p < SL_GEOIP_PARTS; p++)
                if ((answer.present >> p & 1) != 0 &&
                    sl_geoip_part_type((sl_geoip_part)p) == SL_TYPE_STRING)
                    assert_true(answer.text[p].length <= length);
    }
    sl_geoip_unref(db);
    return SL_OK;
}

static void a_file_cut_short_anywhere_is_refused(void **state) {
    (void)state;
    size_t length;
    uint8_t *file = small_file(28, &length);
    for (size_t cut = 0; cut < length; cut++) {
        sl_error error = {0};
        assert_int_equal(try_load(file, cut, &error), SL_ECORRUPT);
        assert_true(error.text[0] != 0);
    }
    sl_free(file);
}

static void a_file_with_any_byte_changed_is_refused_or_harmless(void **state) {
    (void)state;
    size_t length;
    uint8_t *file = small_file(28, &length);
    unsigned refused = 0;
    for (size_t at = 0; at < length; at++) {
        static const uint8_t changes[] = {0x01, 0x10, 0x20, 0x40, 0x80, 0xFF};
        for (size_t i = 0; i < sizeof changes; i++) {
            file[at] ^= changes[i];
            refused += try_load(file, length, NULL) != SL_OK;
            file[at] ^= changes[i];
        }
    }
    assert_true(refused > length);
    sl_free(file);
}

static void refuse_data(void (*write)(sl_buffer *), const char *words) {
    static mmdb_writer w;
    mmdb_begin(&w, 24, 4);
    write(&w.data);
    mmdb_network(&w, net_a, 24, 0);
    size_t length;
    uint8_t *file = mmdb_finish(&w, "Test", &length);
    sl_error error = {0};
    assert_int_equal(try_load(file, length, &error), SL_ECORRUPT);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", error.text, words);
    sl_free(file);
}

static void deep(sl_buffer *d) {
    for (unsigned i = 0; i < 100; i++)
        mmdb_control(d, MMDB_ARRAY, 1);
    mmdb_control(d, MMDB_ARRAY, 0);
}
static void pointer_to_pointer(sl_buffer *d) {
    mmdb_pointer(d, 5);
    mmdb_pointer(d, 10);
    mmdb_string(d, "a");
}
static void pointer_away(sl_buffer *d) { mmdb_pointer(d, 5); }
static void key_no_string(sl_buffer *d) {
    mmdb_control(d, MMDB_MAP, 1);
    mmdb_uint(d, MMDB_UINT16, 1);
    mmdb_uint(d, MMDB_UINT16, 1);
}
static void not_utf8(sl_buffer *d) { mmdb_string(d, "a\xff"); }
static void unknown_type(sl_buffer *d) { mmdb_control(d, MMDB_CONTAINER, 0); }
static void long_integer(sl_buffer *d) {
    mmdb_control(d, MMDB_UINT16, 3);
    sl_buffer_text(d, "abc");
}
static void short_double(sl_buffer *d) {
    mmdb_control(d, MMDB_DOUBLE, 4);
    sl_buffer_text(d, "abcd");
}
static void huge_map(sl_buffer *d) { mmdb_control(d, MMDB_MAP, 60000); }
static void damage_says_what_it_is(void **state) {
    (void)state;
    refuse_data(deep, "nested too deeply");
    refuse_data(pointer_to_pointer, "a pointer leads to a pointer");
    refuse_data(pointer_away, "a pointer leads out of the data");
    refuse_data(key_no_string, "a map's key is no string");
    refuse_data(not_utf8, "isn't UTF-8");
    refuse_data(unknown_type, "unknown type");
    refuse_data(long_integer, "an integer is too long");
    refuse_data(short_double, "wrong size");
    refuse_data(huge_map, "cut off");
    sl_error error = {0};
    assert_int_equal(try_load((const uint8_t *)"hello", 5, &error), SL_ECORRUPT);
    assert_non_null(strstr(error.text, "not a MaxMind DB"));
}

// Both records of a node lead to the next one, so 2^128 ways lead down; those of the last
// may lead back to another.
static void a_tree_whose_ways_do_not_end_is_refused(void **state) {
    (void)state;
    static mmdb_writer w;
    static const struct {
        unsigned ip_version, nodes, last;
        sl_status status;
        const char *words;
    } cases[] = {
        {4, 32, 0, SL_OK, ""},
        {6, 128, 0, SL_OK, ""},
        {4, 33, 0, SL_ECORRUPT, "deeper than an address"},
        {6, 129, 0, SL_ECORRUPT, "deeper than an address"},
        {6, 3, 1 * 2 + 1, SL_ECORRUPT, "deeper than an address"},
        {6, 3, 0 * 2 + 1, SL_ECORRUPT, "leads back to its root"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mmdb_begin(&w, 24, cases[i].ip_version);
        w.nodes = cases[i].nodes;
        for (uint32_t n = 0; n + 1 < w.nodes; n++)
            w.left_right[n][0] = w.left_right[n][1] = (n + 1) * 2 + 1;
        w.left_right[w.nodes - 1][1] = cases[i].last;
        size_t length;
        uint8_t *file = mmdb_finish(&w, "Test", &length);
        sl_error error = {0};
        assert_int_equal(try_load(file, length, &error), cases[i].status);
        assert_non_null(strstr(error.text, cases[i].words));
        sl_free(file);
    }
}

// Each array points twice to the next one: a million paths, if each were walked.
static void values_that_many_point_to_are_checked_once(void **state) {
    (void)state;
    static mmdb_writer w;
    mmdb_begin(&w, 24, 4);
    for (uint32_t i = 1; i <= 20; i++) {
        mmdb_control(&w.data, MMDB_ARRAY, 2);
        mmdb_pointer(&w.data, i * 12);
        mmdb_pointer(&w.data, i * 12);
    }
    mmdb_string(&w.data, "a");
    mmdb_network(&w, net_a, 24, 0);
    size_t length;
    uint8_t *file = mmdb_finish(&w, "Test", &length);
    assert_int_equal(try_load(file, length, NULL), SL_OK);
    sl_free(file);
}

static void a_circle_of_pointers_ends(void **state) {
    (void)state;
    static mmdb_writer w;
    mmdb_begin(&w, 24, 4);
    mmdb_control(&w.data, MMDB_MAP, 1);
    mmdb_string(&w.data, "country");
    mmdb_pointer(&w.data, 0);
    mmdb_network(&w, net_a, 24, 0);
    size_t length;
    uint8_t *file = mmdb_finish(&w, "Test", &length);
    sl_geoip *db = load(file, length);
    sl_geoip_answer answer;
    assert_true(find(db, "81.2.69.1", &answer));
    assert_int_equal(answer.present, 0);
    // A file of IPv4 addresses knows no others.
    assert_false(find(db, "2001:db8::", &answer));
    sl_geoip_unref(db);
}

// ---- Columns
// -------------------------------------------------------------------------------------------

static const sl_record record = {0};

typedef struct bench {
    sl_geoip *db;
    sl_schema *schema;
    sl_batch *batch;
    sl_geoip_step *step;
    uint32_t fields[SL_GEOIP_PARTS];
    uint8_t raw[4096];
    size_t used;
} bench;

static void set_up(bench *b, size_t cache_bytes) {
    memset(b, 0, sizeof *b);
    size_t length;
    uint8_t *file = small_file(28, &length);
    b->db = load(file, length);
    b->schema = sl_schema_create("s");
    uint32_t from = sl_schema_add(b->schema, 0, "ip", 2, SL_TYPE_STRING);
    assert_int_equal(
        sl_geoip_declare(b->schema, "geo", sl_geoip_parts(b->db), b->fields, NULL),
        SL_OK);
    b->batch = sl_batch_create(NULL);
    assert_int_equal(sl_geoip_step_create(b->db, from, b->fields, cache_bytes, &b->step),
                     SL_OK);
}

static void tear_down(bench *b) {
    sl_geoip_step_destroy(b->step);
    sl_batch_destroy(b->batch);
    sl_schema_unref(b->schema);
    sl_geoip_unref(b->db);
}

static void add_row(bench *b, const char *text, sl_verdict verdict) {
    uint32_t row = b->batch->rows++;
    b->batch->verdict[row] = (uint8_t)verdict;
    b->batch->row_record[row] = 0;
    b->batch->columns[1].valid[row] = text != NULL;
    if (text == NULL)
        return;
    memcpy(b->raw + b->used, text, strlen(text));
    b->batch->columns[1].values.span[row] =
        (sl_span){(uint32_t)b->used, (uint32_t)strlen(text)};
    b->used += strlen(text);
}

static void expect_cell(const bench *b, const char *path, uint32_t row,
                        const char *expected) {
    uint32_t field = sl_schema_find(b->schema, path);
    assert_int_not_equal(field, SL_NO_FIELD);
    assert_int_equal(sl_batch_present(b->batch, field, row), expected != NULL);
    if (expected == NULL)
        return;
    sl_span span = b->batch->columns[field].values.span[row];
    assert_int_equal(span.length, strlen(expected));
    assert_memory_equal(sl_batch_text(b->batch, span), expected, span.length);
}

static sl_status run_rows(bench *b, sl_enrich_counts *counts) {
    sl_status status = sl_batch_prepare(b->batch, b->schema, b->raw, &record);
    if (status != SL_OK)
        return status;
    b->used = 0;
    add_row(b, "81.2.69.142", SL_VERDICT_KEEP);
    add_row(b, "10.0.0.1", SL_VERDICT_KEEP);
    add_row(b, NULL, SL_VERDICT_KEEP);
    add_row(b, "81.2.69.142", SL_VERDICT_DEAD);
    add_row(b, "nonsense", SL_VERDICT_KEEP);
    add_row(b, "81.2.69.142", SL_VERDICT_KEEP);
    return sl_geoip_step_run(b->step, b->batch, counts);
}

static void kept_rows_get_columns_and_no_event_is_lost(void **state) {
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        bench b;
        set_up(&b, cached ? 1 : 0);
        for (int round = 0; round < 3; round++) {
            sl_enrich_counts counts = {0};
            assert_int_equal(run_rows(&b, &counts), SL_OK);
            for (uint32_t row = 0; row < 6; row += 5) {
                expect_cell(&b, "geo.city", row, "Berlin");
                expect_cell(&b, "geo.country_iso", row, "DE");
                uint32_t latitude = sl_schema_find(b.schema, "geo.latitude");
                assert_true(sl_batch_present(b.batch, latitude, row));
                assert_true(b.batch->columns[latitude].values.f64[row] == 52.5);
            }
            for (uint32_t row = 1; row < 5; row++) {
                expect_cell(&b, "geo.city", row, NULL);
                assert_int_equal(
                    b.batch->columns[sl_schema_find(b.schema, "geo")].valid[row], 0);
            }
            assert_int_equal(counts.rows, 5);
            assert_int_equal(counts.hits, 2);
            assert_int_equal(counts.misses, 2);
            assert_int_equal(counts.absent, 1);
        }
        assert_int_equal(sl_geoip_step_figures(b.step).unreadable, 3);
        assert_int_equal(sl_geoip_step_figures(b.step).cache_hits, 5);
        tear_down(&b);
    }
}

static void a_newer_database_answers_from_the_next_batch_on(void **state) {
    (void)state;
    bench b;
    set_up(&b, 1);
    sl_enrich_counts counts = {0};
    assert_int_equal(run_rows(&b, &counts), SL_OK);
    static mmdb_writer w;
    mmdb_begin(&w, 24, 4);
    mmdb_network(&w, net_a, 8, mmdb_city(&w, "Potsdam", 1));
    size_t length;
    uint8_t *file = mmdb_finish(&w, "Test-City", &length);
    sl_geoip *newer = load(file, length);
    sl_hash128 before = sl_geoip_version(b.db), after = sl_geoip_version(newer);
    assert_true(before.low != after.low);
    sl_geoip_step_use(b.step, newer);
    sl_geoip_unref(newer);
    assert_int_equal(run_rows(&b, &counts), SL_OK);
    expect_cell(&b, "geo.city", 0, "Potsdam");
    tear_down(&b);
}

static void out_of_memory_is_a_status_wherever_it_happens(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        size_t length;
        uint8_t *file = small_file(24, &length);
        sl_schema *schema = sl_schema_create("s");
        sl_schema_add(schema, 0, "ip", 2, SL_TYPE_STRING);
        bench b = {.schema = schema, .batch = sl_batch_create(NULL)};
        sl_enrich_counts counts = {0};
        sl_memory_fail_at(n);
        sl_status status = sl_geoip_load(file, length, NULL, &b.db, NULL);
        bool taken = status == SL_OK;
        if (status == SL_OK)
            status =
                sl_geoip_declare(schema, "geo", sl_geoip_parts(b.db), b.fields, NULL);
        if (status == SL_OK)
            status = sl_geoip_step_create(b.db, 1, b.fields, 1, &b.step);
        if (status == SL_OK)
            status = run_rows(&b, &counts);
        failed = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        assert_int_equal(status, failed ? SL_ENOMEM : SL_OK);
        if (!taken)
            sl_free(file);
        tear_down(&b);
    }
}

// ---- MaxMind's files
// ------------------------------------------------------------------------------------

static const char *data_path(const char *name) {
    static char path[4096];
    const char *root = getenv("SLUICE_SHARED_DATA");
    snprintf(path, sizeof path, "%s/geoip/%s", root != NULL ? root : SLUICE_DATA_DEFAULT,
             name);
    return path;
}

static uint8_t *slurp(const char *name, size_t *length) {
    FILE *file = fopen(data_path(name), "rb");
    if (file == NULL) {
        print_message("skipped: no %s (set SLUICE_SHARED_DATA)\n", data_path(name));
        return NULL;
    }
    sl_buffer bytes = SL_BUFFER_EMPTY;
    uint8_t block[4096];
    for (size_t got; (got = fread(block, 1, sizeof block, file)) != 0;)
        sl_buffer_append(&bytes, block, got);
    fclose(file);
    *length = bytes.length;
    return bytes.bytes;
}

static const json_t *in(const json_t *record_json, const char *a, const char *b,
                        const char *c) {
    const json_t *at = json_object_get(record_json, a);
    if (json_is_array(at))
        at = json_array_get(at, 0);
    if (b != NULL)
        at = json_object_get(at, b);
    return c != NULL ? json_object_get(at, c) : at;
}

static void compare(const json_t *record_json, const sl_geoip_answer *answer) {
    expect_text(answer, SL_GEOIP_COUNTRY_ISO,
                json_string_value(in(record_json, "country", "iso_code", NULL)));
    expect_text(answer, SL_GEOIP_COUNTRY,
                json_string_value(in(record_json, "country", "names", "en")));
    expect_text(answer, SL_GEOIP_REGION,
                json_string_value(in(record_json, "subdivisions", "names", "en")));
    expect_text(answer, SL_GEOIP_CITY,
                json_string_value(in(record_json, "city", "names", "en")));
    expect_text(answer, SL_GEOIP_TIMEZONE,
                json_string_value(in(record_json, "location", "time_zone", NULL)));
    expect_text(
        answer, SL_GEOIP_AS_ORG,
        json_string_value(in(record_json, "autonomous_system_organization", NULL, NULL)));
    const json_t *latitude = in(record_json, "location", "latitude", NULL);
    const json_t *asn = in(record_json, "autonomous_system_number", NULL, NULL);
    assert_int_equal(answer->present >> SL_GEOIP_LATITUDE & 1, latitude != NULL);
    if (latitude != NULL)
        assert_true(answer->latitude == json_number_value(latitude) &&
                    answer->longitude == json_number_value(in(record_json, "location",
                                                              "longitude", NULL)));
    assert_int_equal(answer->present >> SL_GEOIP_ASN & 1, asn != NULL);
    if (asn != NULL)
        assert_int_equal(answer->asn, json_integer_value(asn));
}

static void check_file(const char *name, const char *expected, unsigned lookups) {
    size_t length;
    uint8_t *file = slurp(name, &length);
    if (file == NULL)
        return;
    sl_geoip *db = load(file, length);
    gzFile lines = gzopen(data_path(expected), "rb");
    assert_non_null(lines);
    static char line[1 << 16];
    unsigned count = 0;
    while (gzgets(lines, line, sizeof line) != NULL) {
        char *infinity; // Which is no JSON.
        while ((infinity = strstr(line, "Infinity")) != NULL)
            memcpy(infinity, "       0", 8);
        json_error_t why;
        json_t *object = json_loads(line, 0, &why);
        if (object == NULL)
            fail_msg("%s: %s: %s", name, why.text, line);
        const json_t *known = json_object_get(object, "record");
        sl_geoip_answer answer;
        bool found = find(db, json_string_value(json_object_get(object, "ip")), &answer);
        if (found != json_is_object(known))
            fail_msg("%s: %s is %s", name, line, found ? "found" : "not found");
        if (found)
            compare(known, &answer);
        count++;
        json_decref(object);
    }
    gzclose(lines);
    sl_geoip_unref(db);
    assert_int_equal(count, lookups);
}

static void maxmind_files_answer_as_its_own_reader(void **state) {
    (void)state;
    check_file("GeoIP2-City-Test.mmdb", "expected/GeoIP2-City-Test.mmdb.jsonl.gz", 512);
    check_file("GeoLite2-ASN-Test.mmdb", "expected/GeoLite2-ASN-Test.mmdb.jsonl.gz", 836);
    check_file("MaxMind-DB-test-decoder.mmdb",
               "expected/MaxMind-DB-test-decoder.mmdb.jsonl", 25);
    check_file("MaxMind-DB-test-ipv4-24.mmdb",
               "expected/MaxMind-DB-test-ipv4-24.mmdb.jsonl", 22);
    check_file("MaxMind-DB-test-ipv6-28.mmdb",
               "expected/MaxMind-DB-test-ipv6-28.mmdb.jsonl", 21);
    check_file("MaxMind-DB-test-mixed-32.mmdb",
               "expected/MaxMind-DB-test-mixed-32.mmdb.jsonl", 31);
}

static void maxmind_broken_file_is_refused(void **state) {
    (void)state;
    size_t length;
    uint8_t *file = slurp("GeoIP2-City-Test-Invalid-Node-Count.mmdb", &length);
    if (file == NULL)
        return;
    sl_error error = {0};
    assert_int_equal(try_load(file, length, &error), SL_ECORRUPT);
    print_message("%s\n", error.text);
    sl_free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_by_the_letter),
        cmocka_unit_test(mapped_ipv4_is_ipv4),
        cmocka_unit_test(addresses_are_read_as_the_c_library_does),
        cmocka_unit_test(records_of_every_width_are_found),
        cmocka_unit_test(names_come_in_the_language_asked_for),
        cmocka_unit_test(a_file_cut_short_anywhere_is_refused),
        cmocka_unit_test(a_file_with_any_byte_changed_is_refused_or_harmless),
        cmocka_unit_test(damage_says_what_it_is),
        cmocka_unit_test(a_tree_whose_ways_do_not_end_is_refused),
        cmocka_unit_test(values_that_many_point_to_are_checked_once),
        cmocka_unit_test(a_circle_of_pointers_ends),
        cmocka_unit_test(kept_rows_get_columns_and_no_event_is_lost),
        cmocka_unit_test(a_newer_database_answers_from_the_next_batch_on),
        cmocka_unit_test(out_of_memory_is_a_status_wherever_it_happens),
        cmocka_unit_test(maxmind_files_answer_as_its_own_reader),
        cmocka_unit_test(maxmind_broken_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
