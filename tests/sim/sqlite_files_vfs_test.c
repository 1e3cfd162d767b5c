/** @file sqlite_files_vfs_test.c
 * SQLite on the fake disk: what was committed survives each crash, from every seed.
 */
#include "fake_disk.h"
#include "sqlite_files_vfs.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint64_t drawn;

static void draw(void *context, void *bytes, size_t length) {
    (void)context;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)((drawn++ * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static int64_t wall(void *context) {
    (void)context;
    return INT64_C(1767225600000000); /* 2026-01-01 */
}

static void nap(void *context, int64_t micros) {
    (void)context;
    (void)micros;
}

static const sqlite_files_world world = {.random = draw, .wall_us = wall, .sleep = nap};

static sqlite3 *open_base(sl_files *files) {
    sqlite3 *base = NULL;
    int code = sqlite3_open_v2("data/ledger.db", &base,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, files->sqlite_vfs);
    if (code == SQLITE_OK)
        code = sqlite3_exec(base,
                            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                            "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=20;"
                            "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, x TEXT)",
                            NULL, NULL, NULL);
    if (code == SQLITE_OK)
        return base;
    (void)sqlite3_close(base);
    return NULL;
}

static int64_t ask(sqlite3 *base, const char *text) {
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(base, text, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t answer = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return answer;
}

static void life(uint64_t seed) {
    fake_disk *disk = fake_disk_create(seed);
    sl_files *files = fake_disk_files(disk);
    assert_int_equal(files->make_directories(files, "data", NULL), SL_OK);
    assert_int_equal(sqlite_files_vfs_add(files, "fake", &world), SL_OK);
    int64_t committed = 0;
    for (unsigned round = 0; round < 6; round++) {
        fake_disk_stop_at(disk, round < 5 ? 1 + seed * 7 % 90 + round * 40 : 0);
        sqlite3 *base = open_base(files);
        while (base && !fake_disk_stopped(disk)) {
            int64_t rows = ask(base, "SELECT count(*) FROM t");
            if (round && rows != committed && rows != committed + 1)
                fail_msg("seed %d: %d rows of %d", (int)seed, (int)rows, (int)committed);
            committed = rows;
            char text[128];
            (void)snprintf(text, sizeof text,
                           "INSERT INTO t VALUES(%d, hex(randomblob(600)))", (int)rows);
            if (sqlite3_exec(base, text, NULL, NULL, NULL) == SQLITE_OK)
                committed++;
            else
                break;
            if (round == 5)
                break;
        }
        if (round == 5) {
            assert_non_null(base);
            assert_int_equal(ask(base, "SELECT count(*) FROM pragma_integrity_check "
                                       "WHERE integrity_check = 'ok'"),
                             1);
        }
        (void)sqlite3_close(base);
        fake_disk_crash(disk, seed + round);
    }
    assert_true(committed > 0);
    sqlite_files_vfs_remove(files);
    fake_disk_destroy(disk);
}

static void committed_rows_survive_crashes(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        life(seed);
}

static void wall_clock_is_the_worlds(void **state) {
    (void)state;
    fake_disk *disk = fake_disk_create(1);
    sl_files *files = fake_disk_files(disk);
    assert_int_equal(files->make_directories(files, "data", NULL), SL_OK);
    assert_int_equal(sqlite_files_vfs_add(files, "fake", &world), SL_OK);
    sqlite3 *base = open_base(files);
    assert_non_null(base);
    assert_int_equal(ask(base, "SELECT strftime('%Y%m%d%H', 'now')"), 2026010100);
    (void)sqlite3_close(base);
    sqlite_files_vfs_remove(files);
    fake_disk_destroy(disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_rows_survive_crashes),
        cmocka_unit_test(wall_clock_is_the_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
