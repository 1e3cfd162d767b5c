#include "sluice/io_files.h"
#include "sluice/lake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static void partition_values_are_escaped(void **state) {
    (void)state;
    sl_buffer b = SL_BUFFER_EMPTY;
    sl_lake_partition(&b, "type", "a/b=c %", 7);
    sl_buffer_byte(&b, '/');
    sl_lake_partition(&b, "x", NULL, 0);
    sl_buffer_byte(&b, '/');
    sl_lake_partition(&b, "y", "..", 2);
    assert_string_equal(sl_buffer_cstr(&b),
                        "type=a%2Fb%3Dc %25/x=__HIVE_DEFAULT_PARTITION__/y=%2E.");
    sl_buffer_fini(&b);
}

static void long_partition_values_are_shortened_to_names_that_differ(void **state) {
    (void)state;
    static char value[100000];
    memset(value, 'x', sizeof value);
    sl_buffer a = SL_BUFFER_EMPTY, b = SL_BUFFER_EMPTY;
    sl_lake_partition(&a, "k", value, 200);
    assert_int_equal(a.length, 202);
    assert_memory_equal(a.bytes + 2, value, 200);
    sl_buffer_clear(&a);
    sl_lake_partition(&a, "k", value, 201);
    sl_lake_partition(&b, "k", value, sizeof value);
    assert_int_equal(a.length, 2 + 160 + 33);
    assert_int_equal(b.length, a.length);
    assert_memory_equal(a.bytes, b.bytes, 2 + 160 + 1);
    assert_memory_not_equal(a.bytes, b.bytes, a.length);
    /* Neither a character nor an escape is cut in two. */
    for (size_t i = 0; i + 3 <= sizeof value; i += 3)
        memcpy(value + i, "\xe6\x97\xa5", 3);
    sl_buffer_clear(&a);
    sl_lake_partition(&a, "k", value, 300);
    assert_int_equal(a.length, 2 + 159 + 33);
    memset(value, '/', 300);
    sl_buffer_clear(&a);
    sl_lake_partition(&a, "k", value, 300);
    assert_int_equal(a.length, 2 + 159 + 33);
    assert_memory_equal(a.bytes + 2 + 156, "%2F~", 4);
    sl_buffer_fini(&a);
    sl_buffer_fini(&b);
}

static sl_files *real;
static sl_status no_link(sl_files *files, const char *from, const char *to, sl_error *error) {
    (void)files, (void)from, (void)to;
    return sl_error_set(error, SL_EUNSUPPORTED, "another file system");
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void deliver_twice(sl_files *files, const char *root) {
    char spool[256], lake[256], target[400];
    snprintf(spool, sizeof spool, "%s/spooled", root);
    snprintf(lake, sizeof lake, "%s/lake", root);
    snprintf(target, sizeof target, "%s/d=1/f.parquet", lake);
    put(spool, "content");
    char key[] = "d=1/f.parquet";
    sl_entry_file file = {.key = key, .bytes = 7, .hash = sl_hash128_of("content", 7)};
    sl_error error;
    assert_int_equal(sl_lake_deliver(files, spool, lake, &file, &error), SL_OK);
    assert_int_equal(sl_lake_deliver(files, spool, lake, &file, &error), SL_OK);
    assert_int_equal(access(target, R_OK), 0);
    /* A key always carries the same bytes. */
    assert_int_equal(unlink(target), 0);
    put(target, "altered");
    assert_int_equal(sl_lake_deliver(files, spool, lake, &file, &error), SL_ECONFLICT);
    unlink(target);
    assert_int_equal(unlink(spool), 0);
    assert_int_equal(sl_lake_deliver(files, spool, lake, &file, &error), SL_ENOTFOUND);
}

static void a_key_carries_the_same_bytes_however_often_it_is_delivered(void **state) {
    (void)state;
    char root[] = "/tmp/sluice-lake-XXXXXX";
    assert_non_null(mkdtemp(root));
    real = sl_files_system();
    deliver_twice(real, root);
    sl_files other = *real; /* As if the spool lay on another file system. */
    other.link = no_link;
    deliver_twice(&other, root);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partition_values_are_escaped),
        cmocka_unit_test(long_partition_values_are_shortened_to_names_that_differ),
        cmocka_unit_test(a_key_carries_the_same_bytes_however_often_it_is_delivered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
