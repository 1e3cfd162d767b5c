#include "sluice/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static sl_ledger *open_memory(void) {
    sl_ledger *ledger;
    sl_error error;
    sl_sql_options options = {.exclusive = true};
    assert_int_equal(sl_ledger_open(":memory:", &options, &ledger, &error), SL_OK);
    return ledger;
}

static int64_t add_table(sl_ledger *ledger) {
    sl_error error;
    sl_ledger_table table = {.name = "clicks/lake",
                             .stream = "clicks",
                             .kind = SL_TABLE_LAKE,
                             .target = "lake/clicks",
                             .window = "",
                             .first = 4096,
                             .last = 4096,
                             .cursor = 4096,
                             .watermark_us = INT64_MIN};
    assert_int_equal(sl_ledger_table_add(ledger, &table, &error), SL_OK);
    return table.id;
}

static sl_status see_table(void *context, const sl_ledger_table *table) {
    *(sl_ledger_table *)context = *table;
    return SL_OK;
}

static sl_status count_entry(void *context, const sl_entry *entry) {
    int *count = context;
    assert_int_equal(entry->sequence, ++*count);
    assert_int_equal(entry->file_count, 1);
    assert_string_equal(entry->files[0].key, "a=1/x.parquet");
    assert_int_equal(entry->files[0].hash.high, 7);
    assert_int_equal(entry->counts.dead, 2);
    return SL_OK;
}

static void entry_and_cursor_move_together(void **state) {
    (void)state;
    sl_ledger *ledger = open_memory();
    sl_error error;
    int64_t id = add_table(ledger);
    assert_int_equal(add_table(ledger), id);
    char spool[] = "x", key[] = "a=1/x.parquet";
    sl_entry_file file = {.spool = spool, .key = key, .bytes = 10, .rows = 8, .hash = {1, 7}};
    sl_entry entry = {.table = id, .sequence = 1, .from = 4096, .to = 8192,
                      .counts = {.received = 10, .rows = 8, .dead = 2}, .files = &file,
                      .file_count = 1};
    assert_int_equal(sl_ledger_begin(ledger, &error), SL_OK);
    assert_int_equal(sl_ledger_entry_add(ledger, &entry, 5, &error), SL_OK);
    sl_ledger_rollback(ledger);
    sl_ledger_table seen;
    assert_int_equal(sl_ledger_tables(ledger, see_table, &seen, &error), SL_OK);
    assert_int_equal(seen.cursor, 4096);
    assert_int_equal(sl_ledger_begin(ledger, &error), SL_OK);
    assert_int_equal(sl_ledger_entry_add(ledger, &entry, 5, &error), SL_OK);
    assert_int_equal(sl_ledger_commit(ledger, &error), SL_OK);
    assert_int_equal(sl_ledger_tables(ledger, see_table, &seen, &error), SL_OK);
    assert_int_equal(seen.cursor, 8192);
    assert_int_equal(seen.last, 8192);
    assert_int_equal(seen.watermark_us, 5);
    /* The same entry again isn't where the table stands. */
    assert_int_equal(sl_ledger_begin(ledger, &error), SL_OK);
    assert_int_equal(sl_ledger_entry_add(ledger, &entry, 5, &error), SL_ECONFLICT);
    sl_ledger_rollback(ledger);
    /* An empty cut moves the cursor alone; the next entry begins at the last one's end. */
    assert_int_equal(sl_ledger_cursor_move(ledger, id, 12288, 6, &error), SL_OK);
    sl_entry next = entry;
    next.sequence = 2;
    next.from = 8192;
    next.to = 16384;
    assert_int_equal(sl_ledger_entry_add(ledger, &next, 7, &error), SL_OK);
    int count = 0;
    assert_int_equal(sl_ledger_entries(ledger, id, false, count_entry, &count, &error), SL_OK);
    assert_int_equal(count, 2);
    assert_int_equal(sl_ledger_delivered(ledger, entry.id, 99, &error), SL_OK);
    assert_int_equal(sl_ledger_delivered(ledger, next.id, 99, &error), SL_OK);
    count = 0;
    assert_int_equal(sl_ledger_entries(ledger, 0, true, count_entry, &count, &error), SL_OK);
    assert_int_equal(count, 0);
    sl_ledger_close(ledger);
}

static sl_status join_targets(void *context, const char *target) {
    sl_buffer_printf(context, "%s;", target);
    return SL_OK;
}

static void former_targets_are_remembered(void **state) {
    (void)state;
    static const char *const turns[][2] = {{"lake/clicks", ""},
                                           {"/mnt/clicks", "lake/clicks;"},
                                           {"/mnt/clicks", "lake/clicks;"},
                                           {"data_dir:x", "/mnt/clicks;lake/clicks;"},
                                           {"lake/clicks", "/mnt/clicks;data_dir:x;"}};
    sl_ledger *ledger = open_memory();
    sl_error error;
    int64_t id = add_table(ledger);
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        sl_buffer seen = SL_BUFFER_EMPTY;
        assert_int_equal(sl_ledger_table_target(ledger, id, turns[i][0], &error), SL_OK);
        assert_int_equal(sl_ledger_targets(ledger, id, join_targets, &seen, &error), SL_OK);
        assert_string_equal(sl_buffer_cstr(&seen), turns[i][1]);
        sl_buffer_fini(&seen);
    }
    sl_ledger_close(ledger);
}

static void places_below_data_dir_move_with_it(void **state) {
    (void)state;
    static const char *const cases[][5] = {
        /* data_dir, directory, place, data_dir then, directory then */
        {"./data", "./data/lake/a", "data_dir:lake/a", "/new", "/new/lake/a"},
        {"/data/", "/data//lake", "data_dir:lake", "/new", "/new/lake"},
        {"/data", "/database/lake", "/database/lake", "/new", "/database/lake"},
        {"/data", "/data", "/data", "/new", "/data"},
        {"/", "/lake", "/lake", "/new", "/lake"},
        {"/data", "s3://bucket/data/a", "s3://bucket/data/a", "/new", "s3://bucket/data/a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_buffer place = SL_BUFFER_EMPTY, then = SL_BUFFER_EMPTY;
        sl_ledger_place(cases[i][0], cases[i][1], &place);
        assert_string_equal(sl_buffer_cstr(&place), cases[i][2]);
        sl_ledger_place_resolve(cases[i][3], (const char *)place.bytes, &then);
        assert_string_equal(sl_buffer_cstr(&then), cases[i][4]);
        sl_buffer_fini(&place);
        sl_buffer_fini(&then);
    }
}

static sl_status count_files(void *context, const sl_entry *entry) {
    *(uint32_t *)context += entry->file_count;
    return SL_OK;
}

static void files_of_loads_are_forgotten_when_they_are_loaded(void **state) {
    (void)state;
    sl_ledger *ledger = open_memory();
    sl_error error;
    int64_t id = add_table(ledger);
    char spool[] = "x", none[] = "", key[] = "a=1/x.parquet";
    sl_entry_file files[] = {{.spool = spool, .key = none, .bytes = 10}, {.spool = spool, .key = key}};
    sl_entry entry = {.table = id, .sequence = 1, .from = 4096, .to = 8192, .files = files,
                      .file_count = 2};
    assert_int_equal(sl_ledger_entry_add(ledger, &entry, 5, &error), SL_OK);
    uint32_t count = 0;
    assert_int_equal(sl_ledger_entries(ledger, id, false, count_files, &count, &error), SL_OK);
    assert_int_equal(count, 2);
    assert_int_equal(sl_ledger_delivered(ledger, entry.id, 99, &error), SL_OK);
    count = 0;
    assert_int_equal(sl_ledger_entries(ledger, id, false, count_files, &count, &error), SL_OK);
    assert_int_equal(count, 1);
    sl_ledger_close(ledger);
}

static sl_status see_window(void *context, int64_t start, const void *key, size_t key_length,
                            const void *bytes, size_t length) {
    (void)key;
    assert_int_equal(key_length, 1);
    assert_int_equal(length, 2);
    assert_memory_equal(bytes, "s2", 2);
    *(int64_t *)context += start;
    return SL_OK;
}

static void open_windows_are_kept_until_dropped(void **state) {
    (void)state;
    sl_ledger *ledger = open_memory();
    sl_error error;
    sl_buffer out = SL_BUFFER_EMPTY;
    assert_int_equal(sl_ledger_window_get(ledger, 1, 60, "k", 1, &out, &error), SL_ENOTFOUND);
    assert_int_equal(sl_ledger_window_put(ledger, 1, 60, "k", 1, "s1", 2, &error), SL_OK);
    assert_int_equal(sl_ledger_window_put(ledger, 1, 60, "k", 1, "s2", 2, &error), SL_OK);
    assert_int_equal(sl_ledger_window_put(ledger, 1, 120, "k", 1, "s2", 2, &error), SL_OK);
    assert_int_equal(sl_ledger_window_get(ledger, 1, 60, "k", 1, &out, &error), SL_OK);
    assert_memory_equal(out.bytes, "s2", 2);
    int64_t sum = 0;
    assert_int_equal(sl_ledger_windows(ledger, 1, see_window, &sum, &error), SL_OK);
    assert_int_equal(sum, 180);
    static const struct {
        int64_t from, to, sum;
    } parts[] = {{INT64_MIN, 120, 60}, {61, INT64_MAX, 120}, {60, 121, 180}, {61, 120, 0}, {INT64_MIN, INT64_MIN, 0}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        sum = 0;
        assert_int_equal(sl_ledger_windows_between(ledger, 1, parts[i].from, parts[i].to, see_window, &sum, &error), SL_OK);
        assert_int_equal(sum, parts[i].sum);
    }
    assert_int_equal(sl_ledger_window_drop(ledger, 1, 120, &error), SL_OK);
    sum = 0;
    assert_int_equal(sl_ledger_windows(ledger, 1, see_window, &sum, &error), SL_OK);
    assert_int_equal(sum, 120);
    sl_buffer_fini(&out);
    sl_ledger_close(ledger);
}

static sl_status note_entry(void *context, const sl_entry *entry) {
    sl_buffer_printf(context, "%d %s|", (int)entry->sequence, entry->ranges != NULL ? entry->ranges : "-");
    return SL_OK;
}

static void put_state(sl_ledger *ledger, int64_t entry, int64_t table, int64_t start, const char *state) {
    sl_error error;
    assert_int_equal(sl_ledger_window_keep(ledger, entry, table, start, "k", 1, &error), SL_OK);
    assert_int_equal(sl_ledger_window_put(ledger, table, start, "k", 1, state, strlen(state), &error), SL_OK);
}

static sl_status note_window(void *context, int64_t start, const void *key, size_t key_length, const void *state, size_t length) {
    (void)key;
    (void)key_length;
    sl_buffer_printf(context, "%d=%.*s ", (int)start, (int)length, (const char *)state);
    return SL_OK;
}

static void what_is_not_delivered_can_be_voided(void **state) {
    (void)state;
    sl_ledger *ledger = open_memory();
    sl_error error;
    sl_ledger_table seen;
    int64_t id = add_table(ledger);
    char ranges[] = "1 5 kafka:c/t/0@g\n";
    sl_entry entries[3] = {0};
    for (uint64_t i = 0; i < 3; i++) {
        entries[i] = (sl_entry){.table = id, .sequence = i + 1, .from = 4096 * (i + 1), .to = 4096 * (i + 2),
                                .begin = 4096 * (i + 1) + i,
                                .watermark_from_us = i == 0 ? INT64_MIN : 10 + (int64_t)i, .ranges = i == 1 ? ranges : NULL};
        assert_int_equal(sl_ledger_entry_add(ledger, &entries[i], 11 + (int64_t)i, &error), SL_OK);
    }
    put_state(ledger, entries[0].id, id, 60, "a");
    put_state(ledger, entries[1].id, id, 60, "ab");
    put_state(ledger, entries[1].id, id, 120, "b");
    put_state(ledger, entries[2].id, id, 60, "abc");
    put_state(ledger, entries[2].id, id, 120, "bc");
    put_state(ledger, entries[2].id, id, 180, "c");
    assert_int_equal(sl_ledger_delivered(ledger, entries[0].id, 99, &error), SL_OK);
    assert_int_equal(sl_ledger_void(ledger, id, &seen, &error), SL_OK);
    assert_int_equal(seen.last, 8192);
    assert_int_equal(seen.cursor, 8193);
    assert_int_equal(seen.sequence, 1);
    assert_int_equal(seen.watermark_us, 11);
    sl_buffer text = SL_BUFFER_EMPTY;
    assert_int_equal(sl_ledger_windows(ledger, id, note_window, &text, &error), SL_OK);
    assert_string_equal(sl_buffer_cstr(&text), "60=a ");
    sl_buffer_clear(&text);
    assert_int_equal(sl_ledger_entries(ledger, id, false, note_entry, &text, &error), SL_OK);
    assert_string_equal(sl_buffer_cstr(&text), "1 -|");
    assert_int_equal(sl_ledger_void(ledger, id, &seen, &error), SL_ENOTFOUND);
    /* The same place is taken again. */
    entries[1].counts.elsewhere = 3;
    assert_int_equal(sl_ledger_entry_add(ledger, &entries[1], 12, &error), SL_OK);
    sl_buffer_clear(&text);
    assert_int_equal(sl_ledger_entries(ledger, id, true, note_entry, &text, &error), SL_OK);
    assert_string_equal(sl_buffer_cstr(&text), "2 1 5 kafka:c/t/0@g\n|");
    sl_buffer_fini(&text);
    sl_ledger_close(ledger);
}

static sl_status see_schema(void *context, const char *stream, uint32_t version, const char *json,
                            size_t length) {
    assert_string_equal(stream, "clicks");
    assert_int_equal(length, 2);
    assert_memory_equal(json, "{}", 2);
    *(uint32_t *)context = version;
    return SL_OK;
}

static void facts_schemas_and_keys_are_kept(void **state) {
    (void)state;
    sl_ledger *ledger = open_memory();
    sl_error error;
    sl_buffer out = SL_BUFFER_EMPTY;
    assert_int_equal(sl_ledger_get(ledger, "journal", &out, &error), SL_OK);
    assert_int_equal(out.length, 0);
    assert_int_equal(sl_ledger_set(ledger, "journal", "abc", &error), SL_OK);
    assert_int_equal(sl_ledger_get(ledger, "journal", &out, &error), SL_OK);
    assert_string_equal(sl_buffer_cstr(&out), "abc");
    assert_int_equal(sl_ledger_schema_put(ledger, "clicks", 1, "{}", 2, 0, &error), SL_OK);
    assert_int_equal(sl_ledger_schema_put(ledger, "clicks", 3, "{}", 2, 9, &error), SL_OK);
    uint32_t version = 0;
    assert_int_equal(sl_ledger_schemas(ledger, see_schema, &version, &error), SL_OK);
    assert_int_equal(version, 3);
    bool any = true;
    assert_int_equal(sl_ledger_keys_any(ledger, &any, &error), SL_OK);
    assert_false(any);
    sl_ledger_key key = {.key = {1, 2}, .body = {3, 4}, .arrival_us = 50, .result = "r",
                         .result_length = 1},
                  back;
    assert_int_equal(sl_ledger_key_put(ledger, &key, &error), SL_OK);
    sl_buffer_clear(&out);
    assert_int_equal(sl_ledger_key_get(ledger, key.key, &back, &out, &error), SL_OK);
    assert_int_equal(back.body.high, 4);
    assert_int_equal(back.result_length, 1);
    assert_int_equal(sl_ledger_keys_expire(ledger, 51, &error), SL_OK);
    assert_int_equal(sl_ledger_key_get(ledger, key.key, &back, &out, &error), SL_ENOTFOUND);
    sl_buffer_fini(&out);
    sl_ledger_close(ledger);
}

static void versions_are_kept_once_and_the_last_is_known(void **state) {
    (void)state;
    sl_ledger *ledger = open_memory();
    sl_error error;
    char text[33];
    sl_ledger_version v = {.kind = "lookup", .name = "users", .generation = 2, .position = 4096, .version = {.low = 1}, .at_us = 5};
    assert_int_equal(sl_ledger_version_last(ledger, "lookup", "users", text, &error), SL_OK);
    assert_string_equal(text, "");
    for (int twice = 0; twice < 2; twice++)
        assert_int_equal(sl_ledger_version_put(ledger, &v, &error), SL_OK);
    v.version.low = 2;
    v.position = 8192;
    assert_int_equal(sl_ledger_version_put(ledger, &v, &error), SL_OK);
    v.version.low = 1; /* Put before: it doesn't become the last. */
    v.position = 4096;
    assert_int_equal(sl_ledger_version_put(ledger, &v, &error), SL_OK);
    assert_int_equal(sl_ledger_version_last(ledger, "lookup", "users", text, &error), SL_OK);
    char wanted[33];
    sl_hash128_text((sl_hash128){.low = 2}, wanted);
    assert_string_equal(text, wanted);
    assert_int_equal(sl_ledger_version_last(ledger, "geoip", "users", text, &error), SL_OK);
    assert_string_equal(text, "");
    sl_ledger_close(ledger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_and_cursor_move_together),
        cmocka_unit_test(former_targets_are_remembered),
        cmocka_unit_test(places_below_data_dir_move_with_it),
        cmocka_unit_test(files_of_loads_are_forgotten_when_they_are_loaded),
        cmocka_unit_test(open_windows_are_kept_until_dropped),
        cmocka_unit_test(what_is_not_delivered_can_be_voided),
        cmocka_unit_test(facts_schemas_and_keys_are_kept),
        cmocka_unit_test(versions_are_kept_once_and_the_last_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
