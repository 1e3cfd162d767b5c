// Loads that bring parts of other logs' partitions, from several readers into one table.

#include "sluice/warehouse.h"

#include "sluice/memory.h"
#include "sluice/rows.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define P0 "kafka:c/clicks/0@g"
#define P1 "kafka:c/clicks/1@g"

// A warehouse in a file, and a second connection that sees what is committed.
typedef struct place {
    char path[64];
    sl_warehouse *warehouse;
    sl_sql *sql;
    sl_buffer found;
    sl_error error;
} place;

static void place_init(place *p) {
    *p = (place){.found = SL_BUFFER_EMPTY};
    const sl_sql_options options = {.vfs = NULL};
    (void)snprintf(p->path, sizeof p->path, "/tmp/sluice_ranges_%ld.db", (long)getpid());
    (void)remove(p->path);
    assert_int_equal(sl_warehouse_open(p->path, &options, &p->warehouse, &p->error), SL_OK);
    assert_int_equal(sl_sql_open(p->path, &options, &p->sql, &p->error), SL_OK);
}

static void place_fini(place *p) {
    sl_warehouse_close(p->warehouse);
    sl_sql_close(p->sql);
    sl_buffer_fini(&p->found);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[80];
        (void)snprintf(path, sizeof path, "%s%s", p->path, ends[i]);
        (void)remove(path);
    }
}

typedef struct rows_of {
    sl_buffer bytes;
    bool given;
} rows_of;

static sl_status next(void *context, const uint8_t **rows, size_t *length, sl_error *error) {
    rows_of *r = context;
    (void)error;
    if (r->given)
        return SL_ENOTFOUND;
    r->given = true;
    *rows = r->bytes.bytes;
    *length = r->bytes.length;
    return SL_OK;
}

// One row at `from`, of the reader `journal`; it brings `ranges`.
static sl_status load(place *p, const char *journal, uint64_t from, const char *ranges) {
    rows_of rows = {.bytes = SL_BUFFER_EMPTY};
    const sl_rows_column column = {.name = "_position", .type = SL_TYPE_INT64};
    sl_rows_begin(&rows.bytes, &column, 1);
    sl_rows_add(&rows.bytes, &(sl_value){.type = SL_TYPE_INT64, .as.i64 = (int64_t)from}, 1);
    char hash[32];
    (void)snprintf(hash, sizeof hash, "%s-%" PRIu64, journal, from);
    const sl_warehouse_load l = {.table = "clicks", .partition = journal, .from = from, .to = from + 10, .first = from == 0,
                                 .ranges = ranges, .found = &p->found, .hash = hash, .next = next, .context = &rows};
    p->error = (sl_error){0};
    sl_buffer_clear(&p->found);
    sl_status status = sl_warehouse_apply(p->warehouse, &l, &p->error);
    sl_buffer_fini(&rows.bytes);
    return status;
}

// All cells of a query's rows, "a|b " each row.
static const char *said(place *p, const char *query) {
    static char text[512];
    sl_sql_statement *s;
    text[0] = 0;
    assert_int_equal(sl_sql_prepare(p->sql, query, &s, &p->error), SL_OK);
    while (sl_sql_step(s, &p->error) == SL_OK)
        for (int i = 0; i < sl_sql_columns(s); i++) {
            strcat(text, sl_sql_text(s, i, NULL));
            strcat(text, i + 1 < sl_sql_columns(s) ? "|" : " ");
        }
    return text;
}

static const char *ledger(place *p) {
    return said(p, "SELECT partition, position, rows FROM sluice_ledger_clicks ORDER BY partition");
}

static const char *rows(place *p) {
    return said(p, "SELECT _partition, _position FROM clicks ORDER BY 1, 2");
}

static void rows_of_partitions_move_with_the_journals(void **state) {
    (void)state;
    place p;
    place_init(&p);
    assert_int_equal(load(&p, "journal:a", 0, "0 5 " P0 "\n3 7 " P1 "\n"), SL_OK);
    assert_string_equal(ledger(&p), "journal:a|10|1 " P0 "|5|0 " P1 "|7|0 ");
    // One of them alone; a hole is fine, as offsets have holes.
    assert_int_equal(load(&p, "journal:a", 10, "9 12 " P0 "\n"), SL_OK);
    assert_string_equal(ledger(&p), "journal:a|20|2 " P0 "|12|0 " P1 "|7|0 ");
    // And a load of the journal alone leaves them.
    assert_int_equal(load(&p, "journal:a", 20, NULL), SL_OK);
    assert_string_equal(ledger(&p), "journal:a|30|3 " P0 "|12|0 " P1 "|7|0 ");
    assert_string_equal(rows(&p), "1|0 1|10 1|20 ");
    place_fini(&p);
}

static void another_reader_goes_on_where_the_first_one_stood(void **state) {
    (void)state;
    place p;
    place_init(&p);
    assert_int_equal(load(&p, "journal:a", 0, "0 5 " P0 "\n"), SL_OK);
    assert_int_equal(load(&p, "journal:b", 0, "5 8 " P0 "\n0 4 " P1 "\n"), SL_OK);
    assert_string_equal(ledger(&p), "journal:a|10|1 journal:b|10|1 " P0 "|8|0 " P1 "|4|0 ");
    assert_string_equal(rows(&p), "1|0 3|0 ");
    place_fini(&p);
}

static void what_another_reader_brought_is_refused_whole(void **state) {
    (void)state;
    place p;
    place_init(&p);
    assert_int_equal(load(&p, "journal:a", 0, "0 5 " P0 "\n0 9 " P1 "\n"), SL_OK);
    char before[512];
    (void)snprintf(before, sizeof before, "%s", ledger(&p));
    assert_int_equal(load(&p, "journal:b", 0, "5 8 " P0 "\n8 11 " P1 "\n"), SL_EMOVED);
    assert_string_equal(p.error.text, "clicks: another reader has brought " P1 " up to offset 9, this load begins at 8");
    assert_string_equal(sl_buffer_cstr(&p.found), "0 5 " P0 "\n0 9 " P1 "\n");
    assert_string_equal(ledger(&p), before);
    assert_string_equal(rows(&p), "1|0 ");
    // Without that part it is taken.
    assert_int_equal(load(&p, "journal:b", 0, "5 8 " P0 "\n9 11 " P1 "\n"), SL_OK);
    assert_string_equal(ledger(&p), "journal:a|10|1 journal:b|10|1 " P0 "|8|0 " P1 "|11|0 ");
    place_fini(&p);
}

static void a_load_again_is_done_already(void **state) {
    (void)state;
    place p;
    place_init(&p);
    assert_int_equal(load(&p, "journal:a", 0, "0 5 " P0 "\n"), SL_OK);
    assert_int_equal(load(&p, "journal:b", 0, "5 9 " P0 "\n"), SL_OK);
    assert_int_equal(load(&p, "journal:a", 0, "0 5 " P0 "\n"), SL_OK);
    assert_string_equal(ledger(&p), "journal:a|10|1 journal:b|10|1 " P0 "|9|0 ");
    assert_string_equal(rows(&p), "1|0 3|0 ");
    place_fini(&p);
}

static void a_conflict_of_the_journal_comes_first(void **state) {
    (void)state;
    place p;
    place_init(&p);
    assert_int_equal(load(&p, "journal:a", 0, "0 5 " P0 "\n"), SL_OK);
    assert_int_equal(load(&p, "journal:a", 30, "0 5 " P0 "\n"), SL_ECONFLICT);
    assert_int_equal(p.found.length, 0);
    place_fini(&p);
}

static void any_allocation_may_fail_and_nothing_is_half_there(void **state) {
    (void)state;
    place p;
    place_init(&p);
    assert_int_equal(load(&p, "journal:a", 0, "0 5 " P0 "\n0 9 " P1 "\n"), SL_OK);
    char before[512];
    (void)snprintf(before, sizeof before, "%s", ledger(&p));
    sl_status status = SL_ENOMEM;
    uint64_t tries = 0;
    for (; status != SL_OK; tries++) {
        rows_of of = {.bytes = SL_BUFFER_EMPTY};
        const sl_rows_column column = {.name = "_position", .type = SL_TYPE_INT64};
        sl_rows_begin(&of.bytes, &column, 1);
        const sl_warehouse_load l = {.table = "clicks", .partition = "journal:a", .from = 10, .to = 20,
                                     .ranges = "5 6 " P0 "\n9 12 " P1 "\n", .hash = "h", .next = next, .context = &of};
        sl_memory_fail_at(tries + 1);
        status = sl_warehouse_apply(p.warehouse, &l, &p.error);
        sl_memory_fail_at(0);
        sl_buffer_fini(&of.bytes);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        if (status != SL_OK)
            assert_string_equal(ledger(&p), before);
    }
    assert_true(tries > 3);
    assert_string_equal(ledger(&p), "journal:a|20|1 " P0 "|6|0 " P1 "|12|0 ");
    place_fini(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_partitions_move_with_the_journals),
        cmocka_unit_test(another_reader_goes_on_where_the_first_one_stood),
        cmocka_unit_test(what_another_reader_brought_is_refused_whole),
        cmocka_unit_test(a_load_again_is_done_already),
        cmocka_unit_test(a_conflict_of_the_journal_comes_first),
        cmocka_unit_test(any_allocation_may_fail_and_nothing_is_half_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
