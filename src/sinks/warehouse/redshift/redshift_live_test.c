/* The target against the Redshift double and a real S3 server: run by tests/integration/redshift_test.py. */
#include "redshift_test_help.h"

#include <inttypes.h>

static void event_rows_are_loaded_with_all_their_values(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_rows");
    take(&w, rows_parcel(&w, "rs_rows", HERE, 1, 0, 1000, 3));
    take(&w, rows_parcel(&w, "rs_rows", HERE, 2, 1000, 1, 1));
    check_rows(&w, "rs_rows", 1001);
    assert_string_equal(ask(&w, "SELECT kind FROM rs_rows WHERE id = 'id-6'"), "it's a \\ 'quote'");
    assert_string_equal(ask(&w, "SELECT \"at\" FROM rs_rows WHERE id = 'id-61'"), "2026-01-01 00:01:01");
    assert_string_equal(ask(&w, "SELECT price FROM rs_rows WHERE id = 'id-7'"), "7.07");
    assert_string_equal(ask(&w, "SELECT paid FROM rs_rows WHERE id = 'id-7'"), "t");
    assert_string_equal(ask(&w, "SELECT \"day\" FROM rs_rows WHERE id = 'id-7'"), "2026-01-01");
    assert_string_equal(ask(&w, "SELECT number FROM rs_rows WHERE id = 'id-5'"), "null");
    assert_string_equal(ask(&w, "SELECT JSON_EXTRACT_PATH_TEXT(JSON_SERIALIZE(tags), 'a') FROM rs_rows"
                                " WHERE id = 'id-7'"),
                        "[1, 2]");
    assert_string_equal(ask(&w, "SELECT position FROM sluice_ledger_rs_rows"), "100100");
    world_close(&w);
}

static void a_repeated_entry_changes_nothing(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_twice");
    parcel p = rows_parcel(&w, "rs_twice", HERE, 1, 0, 10, 1);
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(deliver_once(&w, &p), SL_OK);
    check_rows(&w, "rs_twice", 10);
    parcel_fini(&w, &p);
    world_close(&w);
}

static void a_ledger_that_stands_elsewhere_stops_the_table(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_else");
    take(&w, rows_parcel(&w, "rs_else", HERE, 1, 0, 10, 1));
    parcel gap = rows_parcel(&w, "rs_else", HERE, 3, 20, 10, 1);
    assert_int_equal(deliver_once(&w, &gap), SL_ECONFLICT);
    assert_non_null(strstr(w.error.text, "1000"));
    parcel_fini(&w, &gap);
    parcel other = rows_parcel(&w, "rs_else", HERE, 1, 0, 10, 1);
    (void)snprintf(other.hash, sizeof other.hash, "another");
    assert_int_equal(deliver_once(&w, &other), SL_ECONFLICT);
    parcel_fini(&w, &other);
    parcel unknown = rows_parcel(&w, "rs_else", THERE, 2, 0, 10, 1);
    assert_int_equal(deliver_once(&w, &unknown), SL_ECONFLICT);
    parcel_fini(&w, &unknown);
    check_rows(&w, "rs_else", 10);
    world_close(&w);
}

static void an_entry_without_rows_moves_the_ledger(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_empty");
    take(&w, rows_parcel(&w, "rs_empty", HERE, 1, 0, 0, 0));
    parcel p = rows_parcel(&w, "rs_empty", HERE, 2, 0, 10, 0);
    assert_int_equal(deliver(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    assert_string_equal(ask(&w, "SELECT position FROM sluice_ledger_rs_empty"), "1000");
    take(&w, rows_parcel(&w, "rs_empty", HERE, 3, 10, 10, 1));
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_empty"), 10);
    world_close(&w);
}

static const char *const window_sums =
    "SELECT COUNT(*) || ' ' || SUM(events) || ' ' || SUM(money) || ' ' || SUM(users) || ' ' || SUM(low) || ' '"
    " || SUM(high) || ' ' || SUM(_rows) FROM %s";

static void two_daemons_windows_equal_ones(void **state) {
    world w;
    char one[400], two[400];
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_one");
    forget(&w, "rs_two");
    sl_schema *schema = test_schema();
    sl_window_plan *plan = test_plan(schema);
    take(&w, window_parcel(&w, plan, "rs_one", HERE, 1, 0, 900));
    for (unsigned n = 0; n < 3; n++) {
        take(&w, window_parcel(&w, plan, "rs_two", HERE, n + 1, 150 * n, 150));
        take(&w, window_parcel(&w, plan, "rs_two", THERE, n + 1, 450 + 150 * n, 150));
    }
    (void)snprintf(one, sizeof one, "%s", ask(&w, window_sums, "rs_one"));
    (void)snprintf(two, sizeof two, "%s", ask(&w, window_sums, "rs_two"));
    assert_string_equal(one, two);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_one"), 60);
    assert_int_equal(ask_number(&w, "SELECT SUM(events) FROM rs_two"), 900);
    /* The rows are the same to the last bit, but for sums of doubles, which these are exact in. */
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_one a JOIN rs_two b ON a._key = b._key"
                                    " AND a._hash = b._hash AND a.middle = b.middle"
                                    " AND a.users__state = b.users__state"),
                     60);
    assert_int_equal(staged_objects_at_last(&w), 0);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    world_close(&w);
}

static int64_t events_in(world *w, const char *table, bool window) {
    return ask_number(w, "SELECT %s FROM %s", window ? "SUM(events)" : "COUNT(*)", table);
}

/* Two daemons read one group: each part of its partitions comes once. */
static void partitions_that_daemons_share_move_with_their_loads(void **state) {
    static const char *const tables[] = {"rs_parts", "rs_partsw"};
    world w;
    (void)state;
    world_open(&w, NULL);
    sl_schema *schema = test_schema();
    sl_window_plan *plan = test_plan(schema);
    for (unsigned window = 0; window < 2; window++) {
        const char *name = tables[window];
        forget(&w, name);
        parcel a = window ? window_parcel(&w, plan, name, HERE, 1, 0, 20) : rows_parcel(&w, name, HERE, 1, 0, 20, 1);
        parcel_brings(&a, 0, 0, 50);
        parcel_brings(&a, 1, 7, 60);
        assert_int_equal(deliver(&w, &a), SL_OK);
        parcel b = window ? window_parcel(&w, plan, name, THERE, 1, 40, 20) : rows_parcel(&w, name, THERE, 1, 40, 20, 1);
        parcel_brings(&b, 1, 60, 70);
        parcel_brings(&b, 2, 0, 5);
        assert_int_equal(deliver(&w, &b), SL_OK);
        assert_int_equal(deliver(&w, &a), SL_OK); /* Done already, though others have moved on. */
        assert_int_equal(part_position(&w, name, 0), 50);
        assert_int_equal(part_position(&w, name, 1), 70);
        assert_int_equal(part_position(&w, name, 2), 5);
        parcel late = window ? window_parcel(&w, plan, name, HERE, 2, 20, 20) : rows_parcel(&w, name, HERE, 2, 20, 20, 1);
        parcel_brings(&late, 0, 50, 90);
        parcel_brings(&late, 1, 60, 90);
        assert_int_equal(deliver_once(&w, &late), SL_EMOVED);
        assert_non_null(strstr(w.error.text, "brought kafka:c/t/1@g up to offset 70, this load begins at 60"));
        const char *found = sl_buffer_cstr(&w.found);
        static const char *const lines[] = {"0 50 kafka:c/t/0@g\n", "0 70 kafka:c/t/1@g\n", "0 5 kafka:c/t/2@g\n"};
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
            assert_non_null(strstr(found, lines[i]));
        assert_int_equal(w.found.length, strlen(lines[0]) + strlen(lines[1]) + strlen(lines[2]));
        assert_int_equal(part_position(&w, name, 0), 50);
        assert_int_equal(events_in(&w, name, window != 0), 40);
        parcel rest = window ? window_parcel(&w, plan, name, HERE, 2, 20, 20) : rows_parcel(&w, name, HERE, 2, 20, 20, 1);
        parcel_brings(&rest, 0, 50, 90);
        assert_int_equal(deliver(&w, &rest), SL_OK);
        assert_int_equal(part_position(&w, name, 0), 90);
        assert_int_equal(events_in(&w, name, window != 0), 60);
        parcel *const all[] = {&a, &b, &late, &rest};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            parcel_fini(&w, all[i]);
    }
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_parts r JOIN sluice_ledger_rs_parts l ON l.id = r._partition"
                                    " WHERE l.partition = '" HERE "'"), 40);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    world_close(&w);
}

/* Run the loop turn by turn until our transaction has begun but not yet locked anything. */
static void run_to_begin(world *w) {
    for (unsigned n = 0; n < 2000; n++) {
        w->turns_left = 1;
        sl_loop_run(w->loop);
        assert_false(w->done);
        rest_ms(3);
        if (ask_number(w, "SELECT COUNT(*) FROM pg_class WHERE relname = 'sluice_stage'") != 0 &&
            ask_number(w, "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
                          " AND query = 'BEGIN'") != 0) {
            w->turns_left = 0;
            return;
        }
    }
    fail_msg("no transaction began");
}

/* It brings what we are about to: we have staged it, and find out under the lock. */
static void a_race_for_a_partition_has_one_winner(void **state) {
    world w, other;
    (void)state;
    world_open(&w, NULL);
    world_open(&other, NULL);
    sl_schema *schema = test_schema();
    sl_window_plan *plan = test_plan(schema);
    static const char *const tables[] = {"rs_race", "rs_racew"};
    for (unsigned window = 0; window < 2; window++) {
        const char *name = tables[window];
        forget(&w, name);
        take(&w, window ? window_parcel(&w, plan, name, HERE, 1, 0, 10) : rows_parcel(&w, name, HERE, 1, 0, 10, 1));
        target_close(&w); /* As below: no session has a stage. */
        target_close(&other);
        w.turns_left = other.turns_left = 3;
        sl_loop_run(w.loop);
        sl_loop_run(other.loop);
        other.turns_left = 0;
        target_open(&w);
        target_open(&other);
        parcel mine = window ? window_parcel(&w, plan, name, HERE, 2, 10, 10) : rows_parcel(&w, name, HERE, 2, 10, 10, 1);
        parcel_brings(&mine, 0, 0, 10);
        w.turns_left = 1;
        assert_int_equal(deliver_once(&w, &mine), SL_EAGAIN);
        run_to_begin(&w);
        parcel theirs = window ? window_parcel(&other, plan, name, THERE, 1, 20, 10)
                               : rows_parcel(&other, name, THERE, 1, 20, 10, 1);
        parcel_brings(&theirs, 0, 0, 10);
        take(&other, theirs);
        while (!w.done)
            sl_loop_run(w.loop);
        assert_int_equal(w.status, SL_EMOVED);
        assert_string_equal(sl_buffer_cstr(&w.found), "0 10 kafka:c/t/0@g\n");
        parcel_fini(&w, &mine);
        assert_int_equal(events_in(&w, name, window != 0), 20);
        assert_int_equal(ask_number(&w, "SELECT position FROM sluice_ledger_%s WHERE partition = '" HERE "'", name), 1000);
    }
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    world_close(&other);
    world_close(&w);
}

/* Another daemon loads between our reading and our lock. */
static void windows_that_were_overtaken_are_read_again(void **state) {
    world w, other;
    (void)state;
    world_open(&w, NULL);
    world_open(&other, NULL);
    forget(&w, "rs_over");
    sl_schema *schema = test_schema();
    sl_window_plan *plan = test_plan(schema);
    take(&w, window_parcel(&w, plan, "rs_over", HERE, 1, 0, 100));
    target_close(&w); /* And with it the session that has a stage. */
    w.turns_left = 3; /* A second each, where nothing happens. */
    sl_loop_run(w.loop);
    target_open(&w);
    parcel mine = window_parcel(&w, plan, "rs_over", HERE, 2, 100, 100);
    w.turns_left = 1;
    assert_int_equal(deliver_once(&w, &mine), SL_EAGAIN);
    run_to_begin(&w);
    take(&other, window_parcel(&other, plan, "rs_over", THERE, 1, 50, 100));
    while (!w.done)
        sl_loop_run(w.loop);
    assert_int_equal(w.status, SL_OK);
    parcel_fini(&w, &mine);
    assert_int_equal(ask_number(&w, "SELECT SUM(events) FROM rs_over"), 300);
    assert_int_equal(ask_number(&w, "SELECT SUM(_rows) FROM rs_over"), 300);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) - COUNT(DISTINCT _key) FROM rs_over"), 0);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    world_close(&other);
    world_close(&w);
}

static const struct {
    const char *kind, *pattern, *more;
} faults[] = {{"1023", "^insert into \"rs_", ""},
              {"1023", "^delete", ""},
              {"1023", "^commit", ""},
              {"1023", "^lock", ",3"},
              {"conflict", "^lock", ""},
              {"conflict", "^update", ""},
              {"conflict", "^commit", ",2"},
              {"drop", "^create temp", ""},
              {"drop", "^copy", ""},
              {"drop_after", "^copy", ""},
              {"drop", "^begin", ""},
              {"drop", "^lock", ""},
              {"drop_after", "^lock", ""},
              {"drop_after", "^delete", ""},
              {"drop", "^insert into \"rs_", ""},
              {"drop_after", "^insert into \"rs_", ""},
              {"1023", "^insert into \"sluice_ledger", ""},
              {"drop", "^insert into \"sluice_ledger", ""},
              {"drop_after", "^insert into \"sluice_ledger", ""},
              {"drop", "^update", ""},
              {"drop_after", "^update", ""},
              {"drop", "^commit", ""},
              {"drop_after", "^commit", ""},
              {"drop_after", "^commit", ",3"},
              {"s3", "manifest", ",2"},
              {"delay", "^commit", ",1,'300'"},
              {"error", "^copy", ",1,'XX000:S3ServiceException:Slow Down,Status 503'"},
              {"error", "^begin", ",1,'57P01:terminating connection due to administrator command'"}};

static void every_fault_leaves_each_row_once(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_fault");
    forget(&w, "rs_faultw");
    sl_schema *schema = test_schema();
    sl_window_plan *plan = test_plan(schema);
    take(&w, rows_parcel(&w, "rs_fault", HERE, 1, 0, 20, 1));
    take(&w, window_parcel(&w, plan, "rs_faultw", HERE, 1, 0, 20));
    int64_t n = 1;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++, n++) {
        for (unsigned window = 0; window < 2; window++) {
            (void)ask(&w, "SELECT rsd_inject('%s','%s'%s)", faults[i].kind, faults[i].pattern,
                      *faults[i].more != 0 ? faults[i].more : "");
            parcel p = window ? window_parcel(&w, plan, "rs_faultw", HERE, (uint64_t)n + 1, 20 * n, 20)
                              : rows_parcel(&w, "rs_fault", HERE, (uint64_t)n + 1, 20 * n, 20, 1);
            parcel_brings(&p, 0, 20 * (uint64_t)n, 20 * (uint64_t)n + 20);
            if (deliver(&w, &p) != SL_OK)
                fail_msg("%s %s: %s", faults[i].kind, faults[i].pattern, w.error.text);
            parcel_fini(&w, &p);
            (void)ask(&w, "SELECT rsd_clear()");
        }
        assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_fault"), 20 * (n + 1));
        assert_int_equal(ask_number(&w, "SELECT SUM(events) FROM rs_faultw"), 20 * (n + 1));
        assert_int_equal(part_position(&w, "rs_fault", 0), 20 * (n + 1));
        assert_int_equal(part_position(&w, "rs_faultw", 0), 20 * (n + 1));
    }
    check_rows(&w, "rs_fault", 20 * n);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    world_close(&w);
}

/* A crash, as far as the server can tell, after each turn of the loop. */
static void whatever_turn_a_daemon_ends_in_each_row_is_there_once(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_crash");
    forget(&w, "rs_crashw");
    sl_schema *schema = test_schema();
    sl_window_plan *plan = test_plan(schema);
    int64_t n = 0;
    for (int64_t turns = 1; turns < 90; turns += 2, n++) {
        for (unsigned window = 0; window < 2; window++) {
            parcel p = window ? window_parcel(&w, plan, "rs_crashw", HERE, (uint64_t)n + 1, 20 * n, 20)
                              : rows_parcel(&w, "rs_crash", HERE, (uint64_t)n + 1, 20 * n, 20, 2);
            parcel_brings(&p, 0, 20 * (uint64_t)n, 20 * (uint64_t)n + 20);
            w.turns_left = turns;
            (void)deliver_once(&w, &p);
            w.turns_left = 0;
            if (!w.done) {
                target_close(&w);
                target_open(&w);
            }
            if (!w.done || w.status != SL_OK)
                if (deliver(&w, &p) != SL_OK)
                    fail_msg("%s", w.error.text);
            parcel_fini(&w, &p);
        }
    }
    check_rows(&w, "rs_crash", 20 * n);
    assert_int_equal(ask_number(&w, "SELECT SUM(events) FROM rs_crashw"), 20 * n);
    assert_int_equal(part_position(&w, "rs_crash", 0), 20 * n);
    assert_int_equal(part_position(&w, "rs_crashw", 0), 20 * n);
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) - COUNT(DISTINCT _key) FROM rs_crashw"), 0);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    world_close(&w);
}

/* Any one allocation of a delivery fails, on the loop's way through all modules that it takes. */
static void out_of_memory_anywhere_leaves_each_row_once(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_memory");
    forget(&w, "rs_memoryw");
    sl_schema *schema = test_schema();
    sl_window_plan *plan = test_plan(schema);
    int64_t n = 0, failures = 0;
    bool met[2] = {true, true};
    for (uint64_t at = 1; met[0] || met[1]; at += at < 40 ? 1 : 13, n++) {
        for (unsigned window = 0; window < 2; window++) {
            parcel p = window ? window_parcel(&w, plan, "rs_memoryw", HERE, (uint64_t)n + 1, 5 * n, 5)
                              : rows_parcel(&w, "rs_memory", HERE, (uint64_t)n + 1, 5 * n, 5, 1);
            parcel_brings(&p, 0, 5 * (uint64_t)n, 5 * (uint64_t)n + 5);
            if (n % 10 == 9) { /* Also where nothing is connected or known. */
                target_close(&w);
                target_open(&w);
            }
            sl_memory_fail_at(at);
            sl_status status = deliver_once(&w, &p);
            met[window] = sl_memory_calls() >= at;
            sl_memory_fail_at(0);
            failures += status != SL_OK;
            if (status != SL_OK && deliver(&w, &p) != SL_OK)
                fail_msg("%s", w.error.text);
            parcel_fini(&w, &p);
        }
    }
    target_close(&w); /* Some objects could not be deleted: that is the next start's. */
    target_open(&w);
    take(&w, rows_parcel(&w, "rs_memory", HERE, (uint64_t)n + 1, 5 * n, 5, 1));
    take(&w, window_parcel(&w, plan, "rs_memoryw", HERE, (uint64_t)n + 1, 5 * n, 5));
    n++;
    check_rows(&w, "rs_memory", 5 * n);
    assert_int_equal(part_position(&w, "rs_memory", 0), 5 * (n - 1));
    assert_int_equal(part_position(&w, "rs_memoryw", 0), 5 * (n - 1));
    assert_int_equal(ask_number(&w, "SELECT SUM(events) FROM rs_memoryw"), 5 * n);
    assert_true(failures > 20);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    world_close(&w);
}

static void rows_with_an_id_replace_the_older(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_upsert");
    w.id = "user";
    take(&w, rows_parcel(&w, "rs_upsert", HERE, 1, 0, 250, 1));
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_upsert"), 100);
    take(&w, rows_parcel(&w, "rs_upsert", HERE, 2, 250, 30, 1));
    assert_int_equal(ask_number(&w, "SELECT COUNT(*) FROM rs_upsert"), 100);
    /* Of each user the last event: 180 … 279, as users repeat after 100. */
    assert_int_equal(ask_number(&w, "SELECT MIN(_position) FROM rs_upsert"), 18000);
    assert_int_equal(ask_number(&w, "SELECT MAX(_position) FROM rs_upsert"), 27900);
    world_close(&w);
}

static void denied_role(sl_redshift_options *options) {
    options->iam_role = "arn:aws:iam::1:role/denied";
}

static void a_refused_role_is_denied_and_waits(void **state) {
    world w;
    (void)state;
    world_open(&w, denied_role);
    forget(&w, "rs_role");
    parcel p = rows_parcel(&w, "rs_role", HERE, 1, 0, 10, 1);
    assert_int_equal(deliver_once(&w, &p), SL_EDENIED);
    assert_non_null(strstr(w.error.text, "Not authorized"));
    assert_int_equal(staged_objects_at_last(&w), 0);
    parcel_fini(&w, &p);
    world_close(&w);
}

/* The engine's words are in a system table; what the client gets is cut short. */
static void the_reason_of_a_refused_load_is_read_back(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_reason");
    take(&w, rows_parcel(&w, "rs_reason", HERE, 1, 0, 10, 1));
    for (unsigned provisioned = 0; provisioned < 2; provisioned++) {
        if (provisioned == 0)
            (void)ask(&w, "INSERT INTO rs_sys.sys_load_error_detail SELECT 100, 1, 0, pid, 'dev', 1, GETDATE(), 's3://x', 0,"
                          " 'price', 'numeric', '', 0, 15001, 'the scale that does not match'"
                          " FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
        else
            (void)ask(&w, "INSERT INTO rs_sys.stl_load_errors SELECT 100, 0, 1, GETDATE(), pid, 1, 's3://x', 0, 'price',"
                          " 'numeric', '', 0, '', '', 15001, 'the older table says so' FROM pg_stat_activity"
                          " WHERE pid <> pg_backend_pid()");
        (void)ask(&w, "SELECT rsd_inject('error','^copy',1,'XX000:Spectrum Scan Error')");
        parcel p = rows_parcel(&w, "rs_reason", HERE, 2, 10, 10, 1);
        assert_int_equal(deliver_once(&w, &p), SL_EIO);
        assert_non_null(strstr(w.error.text, provisioned == 0 ? "does not match" : "older table"));
        assert_non_null(strstr(w.error.text, "price"));
        parcel_fini(&w, &p);
        (void)ask(&w, "DELETE FROM rs_sys.sys_load_error_detail");
        (void)ask(&w, "DELETE FROM rs_sys.stl_load_errors");
    }
    take(&w, rows_parcel(&w, "rs_reason", HERE, 2, 10, 10, 1));
    check_rows(&w, "rs_reason", 20);
    world_close(&w);
}

static void impatient(sl_redshift_options *options) { options->server.statement_ms = 1000; }

/* COPY: ten minutes, were it not for our own patience; the double doesn't hear of the cancellation, so the connection goes.
 * COMMIT: who gave it up doesn't know whether it will be done, and waits for the lock that it still holds. */
static void statements_that_take_too_long_are_given_up_and_repeated(void **state) {
    static const char *const slow[] = {"'^copy',1,'600000'", "'^commit',1,'8000'"};
    world w;
    (void)state;
    world_open(&w, impatient);
    forget(&w, "rs_slow");
    int64_t n = 0;
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++, n++) {
        (void)ask(&w, "SELECT rsd_inject('delay',%s)", slow[i]);
        parcel p = rows_parcel(&w, "rs_slow", HERE, (uint64_t)n + 1, 10 * n, 10, 1);
        if (deliver(&w, &p) != SL_OK)
            fail_msg("%s: %s", slow[i], w.error.text);
        parcel_fini(&w, &p);
        assert_int_equal(ask_number(&w, "SELECT rsd_left()"), 0);
    }
    check_rows(&w, "rs_slow", 10 * n);
    world_close(&w);
}

static void small_files(sl_redshift_options *options) { options->file_bytes = 1; }

static void a_large_entry_goes_in_several_objects(void **state) {
    world w;
    (void)state;
    world_open(&w, small_files);
    forget(&w, "rs_files");
    take(&w, rows_parcel(&w, "rs_files", HERE, 1, 0, 30000, 2));
    check_rows(&w, "rs_files", 30000);
    world_close(&w);
}

static void many_tables_share_two_sessions(void **state) {
    enum { TABLES = 5 };
    world w;
    (void)state;
    world_open(&w, NULL);
    for (unsigned t = 0; t < TABLES; t++) {
        char name[20];
        (void)snprintf(name, sizeof name, "rs_many%u", t);
        forget(&w, name);
        take(&w, rows_parcel(&w, name, HERE, 1, 0, 10, 1));
        check_rows(&w, name, 10);
    }
    world_close(&w);
}

static void abandoned_objects_go_with_the_next_start(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_left");
    parcel p = rows_parcel(&w, "rs_left", HERE, 1, 0, 10, 1);
    /* Ended while COPY waits: the objects are there. */
    (void)ask(&w, "SELECT rsd_inject('delay','^copy',1,'60000')");
    w.turns_left = 400;
    unsigned left = 0;
    for (w.turns_left = 20; left == 0; w.turns_left += 20) {
        int64_t turns = w.turns_left;
        (void)deliver_once(&w, &p);
        assert_false(w.done);
        target_close(&w);
        w.turns_left = 0;
        left = staged_objects(&w);
        w.turns_left = turns;
        target_open(&w);
        assert_true(turns < 2000);
    }
    w.turns_left = 0;
    (void)ask(&w, "SELECT rsd_clear()");
    assert_int_equal(deliver(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    take(&w, rows_parcel(&w, "rs_left", HERE, 2, 10, 10, 1));
    check_rows(&w, "rs_left", 20);
    world_close(&w);
}

static void a_damaged_spool_is_told_before_anything_is_staged(void **state) {
    world w;
    (void)state;
    world_open(&w, NULL);
    forget(&w, "rs_damage");
    parcel p = rows_parcel(&w, "rs_damage", HERE, 1, 0, 100, 1);
    p.entry.files[0].hash.low ^= 1;
    assert_int_equal(deliver_once(&w, &p), SL_ECORRUPT);
    p.entry.files[0].hash.low ^= 1;
    p.entry.files[0].bytes++;
    assert_int_equal(deliver_once(&w, &p), SL_ECORRUPT);
    p.entry.files[0].bytes--;
    assert_int_equal(deliver_once(&w, &p), SL_OK);
    parcel_fini(&w, &p);
    world_close(&w);
}

int main(void) {
    if (getenv("SLUICE_TEST_REDSHIFT") == NULL || getenv("SLUICE_TEST_S3_ENDPOINT") == NULL) {
        print_message("skipped: no Redshift double; tests/integration/redshift_test.py starts one\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_rows_are_loaded_with_all_their_values),
        cmocka_unit_test(a_repeated_entry_changes_nothing),
        cmocka_unit_test(a_ledger_that_stands_elsewhere_stops_the_table),
        cmocka_unit_test(an_entry_without_rows_moves_the_ledger),
        cmocka_unit_test(two_daemons_windows_equal_ones),
        cmocka_unit_test(partitions_that_daemons_share_move_with_their_loads),
        cmocka_unit_test(a_race_for_a_partition_has_one_winner),
        cmocka_unit_test(windows_that_were_overtaken_are_read_again),
        cmocka_unit_test(every_fault_leaves_each_row_once),
        cmocka_unit_test(whatever_turn_a_daemon_ends_in_each_row_is_there_once),
        cmocka_unit_test(out_of_memory_anywhere_leaves_each_row_once),
        cmocka_unit_test(rows_with_an_id_replace_the_older),
        cmocka_unit_test(a_refused_role_is_denied_and_waits),
        cmocka_unit_test(the_reason_of_a_refused_load_is_read_back),
        cmocka_unit_test(statements_that_take_too_long_are_given_up_and_repeated),
        cmocka_unit_test(a_large_entry_goes_in_several_objects),
        cmocka_unit_test(many_tables_share_two_sessions),
        cmocka_unit_test(abandoned_objects_go_with_the_next_start),
        cmocka_unit_test(a_damaged_spool_is_told_before_anything_is_staged),
    };
    const char *only = getenv("SLUICE_ONLY");
    if (only != NULL)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
