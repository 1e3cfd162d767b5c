// A tail's rules, on files that are written, renamed, truncated and copied; time is an argument.

#include "private.h"

#include "sluice/io_files.h"
#include "sluice/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct rig {
    char directory[64], pattern[128], state[128];
    sl_tail_options options;
    sl_tail *tail;
    int64_t now_us;
    sl_buffer got, keys; /* All bodies; all keys, each with a blank behind. */
} rig;

static const char *path_of(const rig *r, const char *name) {
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", r->directory, name);
    return path;
}

static void append(const rig *r, const char *name, const char *text) {
    FILE *f = fopen(path_of(r, name), "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void open_tail(rig *r) {
    sl_error error = {0};
    if (sl_tail_open(&r->options, &r->tail, &error) != SL_OK)
        fail_msg("%s", error.text);
}

static void reopen(rig *r) {
    sl_tail_close(r->tail);
    open_tail(r);
}

/** Take all there is, a look later. @return what came since the last call. */
static const char *take(rig *r) {
    sl_tail_chunk chunk;
    sl_status status;
    sl_buffer_clear(&r->got);
    for (int looks = 0; looks < 3; looks++) {
        r->now_us += SL_SECOND_US;
        while ((status = sl_tail_next(r->tail, r->now_us, &chunk, NULL)) == SL_OK) {
            sl_buffer_append(&r->got, chunk.body, chunk.length);
            sl_buffer_printf(&r->keys, "%s ", chunk.key);
            sl_tail_taken(r->tail);
        }
        assert_int_equal(status, SL_EAGAIN);
    }
    return sl_buffer_cstr(&r->got);
}

/** Both, in either order. */
static void assert_both(const char *got, const char *one, const char *other) {
    assert_int_equal(strlen(got), strlen(one) + strlen(other));
    assert_non_null(strstr(got, one));
    assert_non_null(strstr(got, other));
}

static int set_up(void **state) {
    rig *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -1;
    *state = r;
    (void)snprintf(r->directory, sizeof r->directory, "/tmp/sluice-tail-XXXXXX");
    if (mkdtemp(r->directory) == NULL)
        return -1;
    (void)snprintf(r->pattern, sizeof r->pattern, "%s/app.log*", r->directory);
    (void)snprintf(r->state, sizeof r->state, "%s/state", r->directory);
    r->options = (sl_tail_options){
        .name = "s", .pattern = r->pattern, .state = r->state, .files = sl_files_system(), .chunk_bytes = 8192};
    open_tail(r);
    return 0;
}

static sl_status remove_one(void *context, const char *path) {
    (void)context;
    if (unlink(path) != 0)
        (void)rmdir(path);
    return SL_OK;
}

static int tear_down(void **state) {
    rig *r = *state;
    char all[128];
    sl_tail_close(r->tail);
    (void)snprintf(all, sizeof all, "%s/*", r->directory);
    (void)!sl_files_glob(all, remove_one, NULL, NULL);
    (void)rmdir(r->directory);
    sl_buffer_fini(&r->got);
    sl_buffer_fini(&r->keys);
    free(r);
    return 0;
}

static void lines_come_once_and_whole(void **state) {
    rig *r = *state;
    assert_string_equal(take(r), "");
    append(r, "app.log", "one\ntwo\nthr");
    assert_string_equal(take(r), "one\ntwo\n");
    append(r, "app.log", "ee\n");
    assert_string_equal(take(r), "three\n");
    reopen(r);
    assert_string_equal(take(r), "");
    append(r, "app.log", "four\n");
    assert_string_equal(take(r), "four\n");
    assert_string_equal(sl_buffer_cstr(&r->keys), "file/s/1/0 file/s/1/8 file/s/1/14 ");
}

static void what_was_not_taken_comes_again_the_same(void **state) {
    rig *r = *state;
    sl_tail_chunk chunk;
    append(r, "app.log", "one\n");
    assert_int_equal(sl_tail_next(r->tail, 1, &chunk, NULL), SL_OK);
    append(r, "app.log", "two\n");
    reopen(r); /* As after a kill. */
    assert_int_equal(unlink(path_of(r, "app.log")), 0); /* Even so. */
    assert_int_equal(sl_tail_next(r->tail, 1, &chunk, NULL), SL_OK);
    assert_int_equal(chunk.length, 4);
    assert_memory_equal(chunk.body, "one\n", 4);
    assert_string_equal(chunk.key, "file/s/1/0");
    sl_tail_taken(r->tail);
}

static void a_renamed_file_is_itself(void **state) {
    rig *r = *state;
    append(r, "app.log", "one\n");
    assert_string_equal(take(r), "one\n");
    append(r, "app.log", "two\n");
    assert_int_equal(rename(path_of(r, "app.log"), path_of(r, "app.log.1")), 0);
    append(r, "app.log", "three\n");
    append(r, "app.log.1", "late\n");
    assert_both(take(r), "three\n", "two\nlate\n");
    /* Out of the pattern: its rest, and after a while the line without an end. */
    append(r, "app.log", "four\nfi");
    assert_int_equal(rename(path_of(r, "app.log"), path_of(r, "old")), 0);
    append(r, "old", "ve");
    assert_string_equal(take(r), "four\n");
    r->now_us += 10 * SL_SECOND_US;
    assert_string_equal(take(r), "five");
    assert_int_equal(sl_tail_count(r->tail), 1);
}

static void a_truncated_file_begins_anew_and_its_copy_goes_on(void **state) {
    rig *r = *state;
    append(r, "app.log", "first line\nsecond line\n");
    assert_string_equal(take(r), "first line\nsecond line\n");
    append(r, "app.log.1", "first line\nsecond line\nthird line\n"); /* The copy has one more, not read yet. */
    assert_int_equal(truncate(path_of(r, "app.log"), 0), 0);
    append(r, "app.log", "fourth line, and longer than all that was there before\n");
    assert_both(take(r), "fourth line, and longer than all that was there before\n", "third line\n");
    assert_int_equal(sl_tail_lag(r->tail), 0);
}

static void a_copy_waits_for_the_truncation(void **state) {
    rig *r = *state;
    append(r, "app.log", "first line\nsecond line\n");
    assert_string_equal(take(r), "first line\nsecond line\n");
    append(r, "app.log.1", "first line\nsecond line\n");
    assert_string_equal(take(r), "");
    reopen(r);
    assert_string_equal(take(r), "");
    assert_int_equal(truncate(path_of(r, "app.log"), 0), 0);
    append(r, "app.log", "x\n");
    assert_string_equal(take(r), "x\n");
    append(r, "app.log.1", "even this\n");
    assert_string_equal(take(r), "even this\n");
}

static void a_file_that_only_begins_alike_is_its_own(void **state) {
    rig *r = *state;
    append(r, "app.log", "the same first line\nand more\n");
    assert_string_equal(take(r), "the same first line\nand more\n");
    append(r, "app.log.b", "the same first line\n");
    assert_string_equal(take(r), "");
    append(r, "app.log.b", "but other ones\n");
    assert_string_equal(take(r), "the same first line\nbut other ones\n");
    append(r, "app.log.c", "the same first line\n");
    r->now_us += 30 * SL_SECOND_US;
    assert_string_equal(take(r), "");
    r->now_us += 61 * SL_SECOND_US; /* Nobody truncates. */
    assert_string_equal(take(r), "the same first line\n");
}

static void an_inode_used_again_is_another_file(void **state) {
    rig *r = *state;
    append(r, "app.log", "one one one one one\n");
    assert_string_equal(take(r), "one one one one one\n");
    int file = 0;
    assert_int_equal(r->options.files->open(r->options.files, path_of(r, "app.log"), SL_FILE_WRITE, &file, NULL), SL_OK);
    assert_int_equal(r->options.files->write(r->options.files, file, "two two two two two\n", 20, 0, NULL), SL_OK);
    r->options.files->close(r->options.files, file);
    assert_string_equal(take(r), "two two two two two\n");
}

static void reading_may_begin_at_the_end(void **state) {
    rig *r = *state;
    sl_tail_close(r->tail);
    r->options.from_end = true;
    append(r, "app.log", "old\npart");
    open_tail(r);
    assert_string_equal(take(r), "");
    append(r, "app.log", "ly\nnew\n");
    append(r, "app.log.2", "later\n");
    assert_both(take(r), "partly\nnew\n", "later\n");
}

static void csv_keeps_rows_whole_and_brings_the_header_along(void **state) {
    rig *r = *state;
    sl_tail_close(r->tail);
    r->options.format = (sl_format){SL_FORMAT_CSV, SL_HEADER_PRESENT, ','};
    open_tail(r);
    append(r, "app.log", "a,\"b\nb\"\n1,\"two\nlin");
    assert_string_equal(take(r), "");
    append(r, "app.log", "es\"\n3");
    assert_string_equal(take(r), "a,\"b\nb\"\n1,\"two\nlines\"\n");
    append(r, "app.log", ",4\n");
    reopen(r);
    assert_string_equal(take(r), "a,\"b\nb\"\n3,4\n");
    append(r, "app.log", "5,x\"y\"\n\"broken\"z,\n6,7\n");
    assert_string_equal(take(r), "a,\"b\nb\"\n5,x\"y\"\n\"broken\"z,\n6,7\n");
}

static void long_files_come_in_chunks_and_long_lines_in_pieces(void **state) {
    rig *r = *state;
    sl_buffer all = SL_BUFFER_EMPTY;
    for (int i = 0; i < 4000; i++)
        sl_buffer_printf(&all, "line %d\n", i);
    for (int i = 0; i < 2000; i++)
        sl_buffer_printf(&all, "without end ");
    sl_buffer_text(&all, "\nlast\n");
    append(r, "app.log", sl_buffer_cstr(&all));
    assert_string_equal(take(r), sl_buffer_cstr(&all));
    sl_buffer_fini(&all);
}

static void a_line_without_its_end_is_taken_after_a_while_where_asked(void **state) {
    rig *r = *state;
    sl_tail_close(r->tail);
    r->options.partial_us = 20 * SL_SECOND_US;
    open_tail(r);
    append(r, "app.log", "one\ntwo");
    assert_string_equal(take(r), "one\n");
    r->now_us += 30 * SL_SECOND_US;
    assert_string_equal(take(r), "two");
}

static void what_is_no_file_of_lines_is_passed_over(void **state) {
    rig *r = *state;
    append(r, "app.log.1.gz", "packed\n");
    assert_int_equal(mkdir(path_of(r, "app.log.d"), 0700), 0);
    assert_int_equal(mkfifo(path_of(r, "app.log.f"), 0600), 0);
    append(r, "app.log", "one\n");
    assert_string_equal(take(r), "one\n");
    assert_int_equal(sl_tail_count(r->tail), 1);
}

static void a_damaged_state_is_the_one_before_and_two_are_an_error(void **state) {
    rig *r = *state;
    append(r, "app.log", "one\n");
    assert_string_equal(take(r), "one\n");
    append(r, "app.log", "two\n");
    assert_string_equal(take(r), "two\n");
    sl_tail_close(r->tail);
    r->tail = NULL;
    /* Number 3, written at the end, is in .1. */
    assert_int_equal(truncate(path_of(r, "state.1"), 30), 0);
    open_tail(r);
    assert_string_equal(take(r), "two\n"); /* Again, under the same key. */
    assert_string_equal(sl_buffer_cstr(&r->keys), "file/s/1/0 file/s/1/4 file/s/1/4 ");
    sl_tail_close(r->tail);
    r->tail = NULL;
    assert_int_equal(truncate(path_of(r, "state.0"), 30), 0);
    assert_int_equal(truncate(path_of(r, "state.1"), 30), 0);
    sl_error error;
    assert_int_equal(sl_tail_open(&r->options, &r->tail, &error), SL_ECORRUPT);
    assert_non_null(strstr(error.text, "state."));
}

static void every_failing_allocation_loses_nothing(void **state) {
    rig *r = *state;
    append(r, "app.log", "one\n");
    append(r, "app.log.1", "two\n");
    sl_tail_close(r->tail);
    r->tail = NULL;
    for (uint64_t n = 1;; n++) {
        sl_tail_chunk chunk;
        sl_tail *tail = NULL;
        sl_memory_fail_at(n);
        sl_status status = sl_tail_open(&r->options, &tail, NULL);
        if (status == SL_OK)
            status = sl_tail_next(tail, 1, &chunk, NULL);
        uint64_t calls = sl_memory_calls();
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM || status == SL_EAGAIN);
        sl_tail_close(tail);
        if (calls < n)
            break;
    }
    open_tail(r);
    const char *got = take(r);
    assert_true(strcmp(got, "one\ntwo\n") == 0 || strcmp(got, "two\none\n") == 0);
}

#define tail_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        tail_test(lines_come_once_and_whole),
        tail_test(what_was_not_taken_comes_again_the_same),
        tail_test(a_renamed_file_is_itself),
        tail_test(a_truncated_file_begins_anew_and_its_copy_goes_on),
        tail_test(a_copy_waits_for_the_truncation),
        tail_test(a_file_that_only_begins_alike_is_its_own),
        tail_test(an_inode_used_again_is_another_file),
        tail_test(reading_may_begin_at_the_end),
        tail_test(csv_keeps_rows_whole_and_brings_the_header_along),
        tail_test(long_files_come_in_chunks_and_long_lines_in_pieces),
        tail_test(a_line_without_its_end_is_taken_after_a_while_where_asked),
        tail_test(what_is_no_file_of_lines_is_passed_over),
        tail_test(a_damaged_state_is_the_one_before_and_two_are_an_error),
        tail_test(every_failing_allocation_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
