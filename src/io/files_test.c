/** @file files_test.c
 * The files port on the operating system, in a directory of its own under $TMPDIR.
 */
#include "sluice/io_files.h"
#include "sluice/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char root[256];
static sl_files *files;

static const char *at(const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static int make_root(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    (void)snprintf(root, sizeof root, "%s/sluice-files-XXXXXX", base ? base : "/tmp");
    files = sl_files_system();
    return mkdtemp(root) ? 0 : -1;
}

static sl_status remove_entry(void *context, const sl_file_entry *entry) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", (const char *)context, entry->name);
    if (entry->directory) {
        (void)files->list(files, path, remove_entry, path, NULL);
        return rmdir(path) ? SL_EIO : SL_OK;
    }
    return files->unlink(files, path, NULL);
}

static int remove_root(void **state) {
    (void)state;
    (void)files->list(files, root, remove_entry, root, NULL);
    return rmdir(root);
}

static int create(const char *name, int flags) {
    int file = -1;
    assert_int_equal(files->open(files, at(name), SL_FILE_CREATE | flags, &file, NULL), SL_OK);
    return file;
}

static void what_was_written_reads_back_and_is_short_only_at_the_end(void **state) {
    (void)state;
    int file = create("plain", SL_FILE_READ | SL_FILE_WRITE);
    assert_int_equal(files->write(files, file, "hello world", 11, 100, NULL), SL_OK);
    char bytes[64];
    size_t got = 0;
    assert_int_equal(files->read(files, file, bytes, 5, 106, &got, NULL), SL_OK);
    assert_int_equal(got, 5);
    assert_memory_equal(bytes, "world", 5);
    assert_int_equal(files->read(files, file, bytes, 64, 100, &got, NULL), SL_OK);
    assert_int_equal(got, 11);
    assert_int_equal(files->read(files, file, bytes, 64, 4096, &got, NULL), SL_OK);
    assert_int_equal(got, 0);
    uint64_t size = 0;
    assert_int_equal(files->size(files, file, &size, NULL), SL_OK);
    assert_int_equal(size, 111);
    assert_int_equal(files->truncate(files, file, 7, NULL), SL_OK);
    assert_int_equal(files->size(files, file, &size, NULL), SL_OK);
    assert_int_equal(size, 7);
    assert_int_equal(files->sync(files, file, NULL), SL_OK);
    files->close(files, file);
}

static void direct_file_takes_aligned_and_falls_back_for_unaligned_transfers(void **state) {
    (void)state;
    int file = create("direct", SL_FILE_READ | SL_FILE_WRITE | SL_FILE_DIRECT);
    uint8_t *block = sl_aligned_alloc(4096, 8192);
    assert_non_null(block);
    memset(block, 'x', 8192);
    assert_int_equal(files->write(files, file, block, 8192, 4096, NULL), SL_OK);
    memset(block, 0, 8192);
    size_t got = 0;
    assert_int_equal(files->read(files, file, block, 4096, 8192, &got, NULL), SL_OK);
    assert_int_equal(got, 4096);
    assert_int_equal(block[4095], 'x');
    assert_int_equal(files->write(files, file, "odd", 3, 4097, NULL), SL_OK);
    assert_int_equal(files->read(files, file, block + 1, 5, 4095, &got, NULL), SL_OK);
    assert_memory_equal(block + 1, "\0xodd", 5);
    sl_free(block);
    files->close(files, file);
}

static void flags_decide_between_create_open_and_truncate(void **state) {
    (void)state;
    int file = -1;
    sl_error error = {0};
    assert_int_equal(files->open(files, at("absent"), SL_FILE_READ, &file, &error), SL_ENOTFOUND);
    assert_int_equal(error.status, SL_ENOTFOUND);
    assert_non_null(strstr(error.text, "open"));
    assert_non_null(strstr(error.text, "absent"));
    file = create("flags", SL_FILE_WRITE | SL_FILE_EXCLUSIVE);
    assert_int_equal(files->write(files, file, "abc", 3, 0, NULL), SL_OK);
    files->close(files, file);
    assert_int_equal(files->open(files, at("flags"),
                                 SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_EXCLUSIVE, &file, NULL),
                     SL_EEXIST);
    file = create("flags", SL_FILE_WRITE | SL_FILE_TRUNCATE);
    uint64_t size = 9;
    assert_int_equal(files->size(files, file, &size, NULL), SL_OK);
    assert_int_equal(size, 0);
    files->close(files, file);
}

static void allocate_reserves_or_says_unsupported(void **state) {
    (void)state;
    int file = create("allocated", SL_FILE_WRITE);
    sl_status status = files->allocate(files, file, 1 << 20, NULL);
    assert_true(status == SL_OK || status == SL_EUNSUPPORTED);
    uint64_t size = 0;
    assert_int_equal(files->size(files, file, &size, NULL), SL_OK);
    assert_int_equal(size, status ? 0 : 1 << 20);
    files->close(files, file);
}

static sl_status count_entry(void *context, const sl_file_entry *entry) {
    unsigned *found = context;
    if (!strcmp(entry->name, "file") && !entry->directory && entry->size == 3)
        found[0]++;
    else if (!strcmp(entry->name, "sub") && entry->directory)
        found[1]++;
    else
        found[2]++;
    return SL_OK;
}

static sl_status refuse_entry(void *context, const sl_file_entry *entry) {
    (void)entry;
    ++*(unsigned *)context;
    return SL_ELIMIT;
}

static void directories_are_made_listed_and_synced(void **state) {
    (void)state;
    assert_int_equal(files->make_directories(files, at("a//b/c/sub/"), NULL), SL_OK);
    assert_int_equal(files->make_directories(files, at("a/b/c/sub"), NULL), SL_OK);
    int file = create("a/b/c/file", SL_FILE_WRITE);
    assert_int_equal(files->write(files, file, "abc", 3, 0, NULL), SL_OK);
    files->close(files, file);
    unsigned found[3] = {0}, calls = 0;
    assert_int_equal(files->list(files, at("a/b/c"), count_entry, found, NULL), SL_OK);
    assert_int_equal(found[0], 1);
    assert_int_equal(found[1], 1);
    assert_int_equal(found[2], 0);
    assert_int_equal(files->list(files, at("a/b/c"), refuse_entry, &calls, NULL), SL_ELIMIT);
    assert_int_equal(calls, 1);
    assert_int_equal(files->list(files, at("nowhere"), count_entry, found, NULL), SL_ENOTFOUND);
    assert_int_equal(files->sync_directory(files, at("a/b"), NULL), SL_OK);
    assert_int_equal(files->sync_directory(files, at("nowhere"), NULL), SL_ENOTFOUND);
    /* A file stands where a directory is asked for. */
    assert_int_equal(files->make_directories(files, at("a/b/c/file/x"), NULL), SL_EIO);
    char before[512];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(root), 0);
    assert_int_equal(files->make_directories(files, "relative/deep", NULL), SL_OK);
    assert_int_equal(files->make_directories(files, "", NULL), SL_ENOTFOUND);
    assert_int_equal(chdir(before), 0);
}

static void names_are_renamed_linked_and_removed(void **state) {
    (void)state;
    int file = create("one", SL_FILE_WRITE);
    files->close(files, file);
    assert_int_equal(files->link(files, at("one"), at("two"), NULL), SL_OK);
    assert_int_equal(files->link(files, at("one"), at("two"), NULL), SL_EEXIST);
    assert_int_equal(files->link(files, at("absent"), at("three"), NULL), SL_ENOTFOUND);
    assert_int_equal(files->rename(files, at("one"), at("four"), NULL), SL_OK);
    sl_error error = {0};
    assert_int_equal(files->rename(files, at("one"), at("four"), &error), SL_ENOTFOUND);
    assert_non_null(strstr(error.text, "rename"));
    assert_non_null(strstr(error.text, "four"));
    assert_int_equal(files->unlink(files, at("four"), NULL), SL_OK);
    assert_int_equal(files->unlink(files, at("four"), NULL), SL_ENOTFOUND);
    assert_int_equal(files->unlink(files, at("two"), NULL), SL_OK);
}

static void transfers_across_file_systems_and_full_disks_have_their_own_status(void **state) {
    (void)state;
    int file = -1;
    if (files->open(files, "/dev/full", SL_FILE_WRITE, &file, NULL) == SL_OK) {
        sl_error error = {0};
        assert_int_equal(files->write(files, file, "x", 1, 0, &error), SL_ENOSPC);
        assert_non_null(strstr(error.text, "/dev/full"));
        files->close(files, file);
    }
    if (access("/dev/shm", W_OK) == 0) {
        char there[64];
        (void)snprintf(there, sizeof there, "/dev/shm/sluice-files-%ld", (long)getpid());
        file = create("here", SL_FILE_WRITE);
        files->close(files, file);
        sl_status status = files->link(files, at("here"), there, NULL);
        (void)files->unlink(files, there, NULL);
        assert_true(status == SL_EUNSUPPORTED || status == SL_OK);
    }
}

static void closed_handle_is_an_error_not_a_crash(void **state) {
    (void)state;
    int file = create("closed", SL_FILE_WRITE);
    files->close(files, file);
    size_t got;
    char byte;
    uint64_t size;
    assert_int_equal(files->write(files, 9999, "x", 1, 0, NULL), SL_EIO);
    assert_int_equal(files->read(files, 9999, &byte, 1, 0, &got, NULL), SL_EIO);
    assert_int_equal(files->sync(files, 9999, NULL), SL_EIO);
    assert_int_equal(files->size(files, 9999, &size, NULL), SL_EIO);
    assert_int_equal(files->truncate(files, 9999, 0, NULL), SL_EIO);
}

static void free_space_is_told(void **state) {
    (void)state;
    uint64_t bytes = 0;
    assert_int_equal(files->free_space(files, root, &bytes, NULL), SL_OK);
    assert_true(bytes > 0);
    assert_int_equal(files->free_space(files, at("nowhere"), &bytes, NULL), SL_ENOTFOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_reads_back_and_is_short_only_at_the_end),
        cmocka_unit_test(direct_file_takes_aligned_and_falls_back_for_unaligned_transfers),
        cmocka_unit_test(flags_decide_between_create_open_and_truncate),
        cmocka_unit_test(allocate_reserves_or_says_unsupported),
        cmocka_unit_test(directories_are_made_listed_and_synced),
        cmocka_unit_test(names_are_renamed_linked_and_removed),
        cmocka_unit_test(transfers_across_file_systems_and_full_disks_have_their_own_status),
        cmocka_unit_test(closed_handle_is_an_error_not_a_crash),
        cmocka_unit_test(free_space_is_told),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
