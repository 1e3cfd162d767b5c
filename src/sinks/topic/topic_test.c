// One entry into a topic: once, whatever fails on the way; and what the marker says of a topic that isn't the one that was written.

#include "sluice/topic.h"

#include "sluice/io_files.h"
#include "sluice/memory.h"
#include "sluice/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 64, TEXT = 32 };

/* A topic with its transactions. The n-th call fails, before or after it took effect. */
typedef struct fake {
    char log[MOST][TEXT], open[MOST][TEXT];
    uint32_t logged, opened;
    int64_t marker, moving;
    char metadata[64], next[64];
    bool begun, there;
    uint32_t writers, calls, fail_at;
    bool after;
    sl_status failure;
} fake;

static bool fails(fake *f, bool after) {
    f->calls += !after;
    return f->calls == f->fail_at && f->after == after;
}

static sl_status said(const fake *f, sl_error *error) { return sl_error_set(error, f->failure, "as asked"); }

#define BEFORE(f, error)                                                                                                                   \
    if (fails(f, false))                                                                                                                   \
        return said(f, error);
#define AFTER(f, error) return fails(f, true) ? said(f, error) : SL_OK;

static sl_status fake_open(void *context, const char *id, const char *topic, void **writer, sl_error *error) {
    fake *f = context;
    assert_string_equal(id, "sluice.U.s/topic/t");
    BEFORE(f, error)
    if (!f->there)
        return sl_error_set(error, SL_ENOTFOUND, "topic %s isn't there", topic);
    f->begun = false; /* What was open is void. */
    f->writers++;
    *writer = f;
    if (fails(f, true)) {
        *writer = NULL;
        f->writers--;
        return said(f, error);
    }
    return SL_OK;
}

static void fake_close(void *context, void *writer) {
    fake *f = context;
    assert_ptr_equal(f, writer);
    assert_int_equal(f->writers--, 1);
}

static sl_status fake_read(void *context, void *writer, const char *group, sl_kafka_offset *marker, sl_error *error) {
    fake *f = context;
    (void)writer;
    (void)group;
    BEFORE(f, error)
    marker->offset = f->marker;
    marker->metadata = f->metadata;
    AFTER(f, error)
}

static sl_status fake_begin(void *context, void *writer, sl_error *error) {
    fake *f = context;
    (void)writer;
    BEFORE(f, error)
    assert_false(f->begun);
    f->begun = true;
    f->opened = 0;
    f->moving = -1;
    AFTER(f, error)
}

static sl_status fake_put(void *context, void *writer, const sl_kafka_record *record, sl_error *error) {
    fake *f = context;
    (void)writer;
    BEFORE(f, error)
    assert_true(f->begun);
    (void)snprintf(f->open[f->opened++], TEXT, "%.*s=%.*s", record->key != NULL ? (int)record->key_length : 1,
                   record->key != NULL ? (const char *)record->key : "-", (int)record->value_length, (const char *)record->value);
    AFTER(f, error)
}

static sl_status fake_move(void *context, void *writer, const char *group, const sl_kafka_offset *marker, sl_error *error) {
    fake *f = context;
    (void)writer;
    (void)group;
    BEFORE(f, error)
    f->moving = marker->offset;
    (void)snprintf(f->next, sizeof f->next, "%s", marker->metadata);
    AFTER(f, error)
}

static sl_status fake_commit(void *context, void *writer, sl_error *error) {
    fake *f = context;
    (void)writer;
    BEFORE(f, error)
    assert_true(f->begun);
    f->begun = false;
    memcpy(f->log + f->logged, f->open, f->opened * sizeof *f->log);
    f->logged += f->opened;
    f->marker = f->moving;
    memcpy(f->metadata, f->next, sizeof f->next);
    AFTER(f, error)
}

static sl_status fake_abort(void *context, void *writer, sl_error *error) {
    fake *f = context;
    (void)writer;
    (void)error;
    f->begun = false;
    return SL_OK;
}

static sl_topic_port port_of(fake *f) {
    return (sl_topic_port){fake_open, fake_close, fake_read, fake_begin, fake_put, fake_move, fake_commit, fake_abort, f};
}

/* --- an entry of three files, whose messages lie crosswise in the log --- */

typedef struct spool {
    char directory[32];
    sl_entry_file files[3];
    char names[3][40];
} spool;

static void write_file(spool *s, uint32_t i, const int64_t *positions, uint32_t count) {
    static const sl_rows_column columns[] = {
        {.name = "position", .type = SL_TYPE_INT64}, {.name = "key", .type = SL_TYPE_STRING}, {.name = "value", .type = SL_TYPE_JSON}};
    sl_buffer rows = SL_BUFFER_EMPTY;
    sl_rows_begin(&rows, columns, 3);
    for (uint32_t k = 0; k < count; k++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", (int)positions[k]);
        const sl_value values[] = {{.type = SL_TYPE_INT64, .as.i64 = positions[k]},
                                   {.type = SL_TYPE_STRING, .null = k % 2 == 1, .as.text = {(const uint8_t *)"k", 1}},
                                   {.type = SL_TYPE_JSON, .as.text = {(const uint8_t *)value, strlen(value)}}};
        sl_rows_add(&rows, values, 3);
    }
    assert_false(rows.failed);
    (void)snprintf(s->names[i], sizeof s->names[i], "g1-w%u-0.%016x.rows", i, (unsigned)positions[0]);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%s", s->directory, s->names[i]);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(rows.bytes, 1, rows.length, f), rows.length);
    assert_int_equal(fclose(f), 0);
    s->files[i] = (sl_entry_file){.spool = s->names[i], .bytes = rows.length, .rows = count, .hash = sl_hash128_of(rows.bytes, rows.length)};
    sl_buffer_fini(&rows);
}

static void make_spool(spool *s) {
    (void)snprintf(s->directory, sizeof s->directory, "topic_test.XXXXXX");
    assert_non_null(mkdtemp(s->directory));
    write_file(s, 0, (int64_t[]){50, 70, 300}, 3);
    write_file(s, 1, (int64_t[]){400, 401}, 2);
    write_file(s, 2, (int64_t[]){10, 60, 350}, 3);
}

static void remove_spool(const spool *s) {
    for (int i = 0; i < 3; i++) {
        char path[96];
        (void)snprintf(path, sizeof path, "%s/%s", s->directory, s->names[i]);
        (void)remove(path);
    }
    assert_int_equal(rmdir(s->directory), 0);
}

static const char *const expected[] = {"k=10", "k=50", "-=60", "-=70", "k=300", "k=350", "k=400", "-=401"};

static void assert_once(const fake *f) {
    assert_int_equal(f->logged, 8);
    for (int i = 0; i < 8; i++)
        assert_string_equal(f->log[i], expected[i]);
    assert_int_equal(f->marker, 500);
    assert_string_equal(f->metadata, "abc 5");
}

static sl_topic_load load_of(const spool *s, sl_entry *entry) {
    union {
        const sl_entry_file *in;
        sl_entry_file *out;
    } files = {.in = s->files};
    *entry = (sl_entry){.from = 5, .to = 500, .files = files.out, .file_count = 3};
    return (sl_topic_load){.group = "sluice.U.s/topic/t", .topic = "t", .entry = entry, .hash = "abc", .files = sl_files_system(), .spool = s->directory};
}

static void a_groups_name_has_the_log_and_the_table(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_topic_group("journal:U", "s/topic/t", &out);
    assert_string_equal(sl_buffer_cstr(&out), "sluice.U.s/topic/t");
    sl_buffer_fini(&out);
}

static void messages_go_in_the_order_of_the_log_whatever_fails(void **state) {
    (void)state;
    static const sl_status failures[] = {SL_EIO, SL_EAGAIN, SL_EDENIED, SL_ECONFLICT, SL_ELIMIT, SL_ENOTFOUND};
    spool s;
    make_spool(&s);
    sl_entry entry;
    const sl_topic_load load = load_of(&s, &entry);
    uint32_t failed = 0;
    for (uint32_t n = 0; n < 20; n++)
        for (int after = 0; after < 2; after++) {
            fake f = {.marker = 5, .there = true, .fail_at = n, .after = after, .failure = failures[n % 6]};
            const sl_topic_port port = port_of(&f);
            void *writer = NULL;
            sl_error error;
            sl_status status = SL_EIO;
            for (int tries = 0; status != SL_OK && tries < 3; tries++) {
                status = sl_topic_apply(&port, &writer, &load, &error);
                failed += status != SL_OK;
                assert_int_equal(sl_status_follow_up(status), status == SL_OK ? SL_FOLLOW_NONE : SL_FOLLOW_RETRY);
            }
            assert_int_equal(status, SL_OK);
            assert_once(&f);
            f.fail_at = 0;
            assert_int_equal(sl_topic_apply(&port, &writer, &load, &error), SL_OK); /* The engine didn't hear of it. */
            assert_once(&f);
            assert_int_equal(sl_topic_refresh(&port, &writer, load.group, "t", &error), SL_OK);
            assert_once(&f);
            fake_close(&f, writer);
            assert_int_equal(f.writers, 0);
        }
    assert_int_equal(failed, 26); /* open, read, begin, eight puts, move, commit. */
    remove_spool(&s);
}

static void another_state_of_the_marker_stops_the_table(void **state) {
    (void)state;
    static const struct {
        int64_t marker;
        const char *metadata;
        bool first;
        sl_status status;
        const char *words;
    } cases[] = {
        {-1, "", true, SL_OK, ""},
        {5, "", true, SL_OK, ""},
        {-1, "", false, SL_ECONFLICT, "it was deleted"},
        {500, "abd 5", false, SL_ECONFLICT, "stands at 500, neither at 5 nor at 500 with these messages"},
        {500, "abcd 5", false, SL_ECONFLICT, "with these messages"},
        {500, "", false, SL_ECONFLICT, "with these messages"},
        {400, "abc 5", false, SL_ECONFLICT, "another daemon has written to it"},
    };
    spool s;
    make_spool(&s);
    sl_entry entry;
    sl_topic_load load = load_of(&s, &entry);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake f = {.marker = cases[i].marker, .there = true};
        (void)snprintf(f.metadata, sizeof f.metadata, "%s", cases[i].metadata);
        const sl_topic_port port = port_of(&f);
        void *writer = NULL;
        sl_error error = {0};
        load.first = cases[i].first;
        assert_int_equal(sl_topic_apply(&port, &writer, &load, &error), cases[i].status);
        assert_non_null(strstr(error.text, cases[i].words));
        assert_int_equal(f.logged, cases[i].status == SL_OK ? 8 : 0);
        fake_close(&f, writer);
    }
    remove_spool(&s);
}

static void damaged_and_missing_files_are_told_apart(void **state) {
    (void)state;
    spool s;
    make_spool(&s);
    sl_entry entry;
    const sl_topic_load load = load_of(&s, &entry);
    fake f = {.marker = 5, .there = true};
    const sl_topic_port port = port_of(&f);
    void *writer = NULL;
    sl_error error;
    s.files[1].hash.low++;
    assert_int_equal(sl_topic_apply(&port, &writer, &load, &error), SL_ECORRUPT);
    s.files[1].hash.low--;
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%s", s.directory, s.names[1]);
    assert_int_equal(remove(path), 0);
    assert_int_equal(sl_topic_apply(&port, &writer, &load, &error), SL_EIO);
    assert_non_null(strstr(error.text, "is missing from the spool"));
    assert_int_equal(f.logged, 0);
    assert_null(writer);
    f.there = false;
    assert_int_equal(sl_topic_apply(&port, &writer, &load, &error), SL_EIO); /* It may be made. */
    assert_string_equal(error.text, "topic t isn't there");
    remove_spool(&s);
}

static void a_stop_leaves_nothing_behind(void **state) {
    (void)state;
    spool s;
    make_spool(&s);
    sl_entry entry;
    sl_topic_load load = load_of(&s, &entry);
    const _Atomic bool stop = true;
    load.stop = &stop;
    fake f = {.marker = 5, .there = true};
    const sl_topic_port port = port_of(&f);
    void *writer = NULL;
    sl_error error;
    assert_int_equal(sl_topic_apply(&port, &writer, &load, &error), SL_EAGAIN);
    assert_false(f.begun);
    assert_int_equal(f.logged, 0);
    remove_spool(&s);
}

static void a_marker_that_is_not_there_is_not_made_by_keeping_it(void **state) {
    (void)state;
    fake f = {.marker = -1, .there = true};
    const sl_topic_port port = port_of(&f);
    void *writer = NULL;
    sl_error error;
    assert_int_equal(sl_topic_refresh(&port, &writer, "sluice.U.s/topic/t", "t", &error), SL_OK);
    assert_int_equal(f.marker, -1);
    f.marker = 7;
    (void)snprintf(f.metadata, sizeof f.metadata, "abc 5");
    assert_int_equal(sl_topic_refresh(&port, &writer, "sluice.U.s/topic/t", "t", &error), SL_OK);
    assert_int_equal(f.marker, 7);
    assert_string_equal(f.metadata, "abc 5");
    fake_close(&f, writer);
}

static void a_failing_allocation_leaves_it_to_the_next_try(void **state) {
    (void)state;
    spool s;
    make_spool(&s);
    sl_entry entry;
    const sl_topic_load load = load_of(&s, &entry);
    uint32_t failed = 0;
    for (uint64_t n = 1, calls = 1; calls + 1 >= n; n++) {
        fake f = {.marker = 5, .there = true};
        const sl_topic_port port = port_of(&f);
        void *writer = NULL;
        sl_error error;
        sl_memory_fail_at(n);
        sl_status status = sl_topic_apply(&port, &writer, &load, &error);
        calls = sl_memory_calls();
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        failed += status != SL_OK;
        if (status != SL_OK)
            assert_int_equal(f.logged, 0);
        if (status != SL_OK)
            assert_int_equal(sl_topic_apply(&port, &writer, &load, &error), SL_OK);
        assert_once(&f);
        fake_close(&f, writer);
    }
    assert_true(failed > 8);
    remove_spool(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_groups_name_has_the_log_and_the_table),
        cmocka_unit_test(messages_go_in_the_order_of_the_log_whatever_fails),
        cmocka_unit_test(another_state_of_the_marker_stops_the_table),
        cmocka_unit_test(damaged_and_missing_files_are_told_apart),
        cmocka_unit_test(a_stop_leaves_nothing_behind),
        cmocka_unit_test(a_marker_that_is_not_there_is_not_made_by_keeping_it),
        cmocka_unit_test(a_failing_allocation_leaves_it_to_the_next_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
