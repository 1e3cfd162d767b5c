/** @file journal_test.c
 * The journal's rules one by one, on the fake disk; journal_property_test.c mixes them.
 */
#include "fake_disk.h"
#include "sluice/journal.h"
#include "sluice/memory.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (16u * SL_BLOCK)
#define FIRST_SEGMENT "j/00000000000000000000.journal"

typedef struct rig {
    fake_disk *disk;
    sl_journal *journal;
    sl_group *group;
    sl_journal_recovery recovery;
} rig;

static sl_status open_with(rig *r, uint64_t quota, uint64_t at_least) {
    const sl_journal_options options = {
        .quota_bytes = quota, .segment_bytes = SEGMENT, .sync = true};
    return sl_journal_open(fake_disk_files(r->disk), "j", &options, at_least, &r->journal,
                           &r->recovery, NULL);
}

static int set_up(void **state) {
    rig *r = calloc(1, sizeof *r);
    if (!r)
        return -1;
    r->disk = fake_disk_create(1);
    fake_disk_guard(r->disk, "j");
    r->group = sl_group_create(SEGMENT, NULL);
    *state = r;
    return r->group && open_with(r, 8 * SEGMENT, 0) == SL_OK ? 0 : -1;
}

static int tear_down(void **state) {
    rig *r = *state;
    sl_journal_close(r->journal);
    sl_group_destroy(r->group);
    fake_disk_destroy(r->disk);
    free(r);
    return 0;
}

static void reopen(rig *r, bool crash) {
    sl_journal_close(r->journal);
    if (crash)
        fake_disk_crash(r->disk, 7);
    assert_int_equal(open_with(r, 8 * SEGMENT, 0), SL_OK);
}

static uint8_t bytes[200000];

static sl_status add(sl_group *group, uint8_t letter, uint32_t length) {
    memset(bytes, letter, length);
    const sl_journal_input input = {.stream = "s",
                                    .source = "http",
                                    .body = bytes,
                                    .stream_length = 1,
                                    .source_length = 4,
                                    .length = length,
                                    .arrival_us = letter};
    return sl_group_add(group, &input);
}

/** A group of `count` records of `length` bytes. */
static sl_status put(rig *r, uint8_t letter, uint32_t count, uint32_t length) {
    sl_group_reset(r->group);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(add(r->group, letter, length), SL_OK);
    return sl_journal_write(r->journal, r->group, NULL);
}

static sl_status get(rig *r, uint64_t offset, uint64_t *quarantined) {
    return sl_journal_read(r->journal, offset, r->group, quarantined, NULL);
}

static void assert_next(rig *r, uint64_t *offset, uint8_t letter) {
    uint64_t quarantined = 0;
    assert_int_equal(get(r, *offset, &quarantined), SL_OK);
    assert_int_equal(quarantined, 0);
    assert_int_equal(r->group->bytes[r->group->records[0].body], letter);
    *offset = r->group->next;
}

static void group_takes_records_until_it_is_full_and_one_of_any_size(void **state) {
    (void)state;
    sl_budget budget;
    sl_budget_init(&budget, 1 << 20);
    sl_group *group = sl_group_create(SL_BLOCK, &budget);
    assert_non_null(group);
    assert_int_equal(add(group, 'a', 10000), SL_OK);
    assert_int_equal(add(group, 'b', 5000), SL_EFULL);
    assert_int_equal(group->count, 1);
    assert_int_equal(group->records[0].length, 10000);
    assert_memory_equal(group->bytes + group->records[0].source, "http", 4);
    sl_group_reset(group);
    budget.limit = sl_budget_used(&budget);
    assert_int_equal(add(group, 'c', 150000), SL_ENOMEM);
    assert_int_equal(group->count, 0);
    assert_int_equal(add(group, 'd', 10), SL_OK);
    sl_group_destroy(group);
    assert_int_equal(sl_budget_used(&budget), 0);
}

static void groups_read_back_in_order_across_segments_and_restarts(void **state) {
    rig *r = *state;
    uint64_t offset = sl_journal_begin(r->journal), quarantined = 0;
    for (uint8_t i = 0; i < 15; i++)
        assert_int_equal(put(r, (uint8_t)('a' + i % 26), 2, 5000), SL_OK);
    assert_int_equal(put(r, 'L', 1, 150000), SL_OK); /* Larger than a segment. */
    for (unsigned round = 0; round < 2; round++, offset = 0) {
        for (uint8_t i = 0; i < 15; i++)
            assert_next(r, &offset, (uint8_t)('a' + i % 26));
        assert_next(r, &offset, 'L');
        assert_int_equal(r->group->records[0].length, 150000);
        assert_int_equal(offset, sl_journal_end(r->journal));
        assert_int_equal(get(r, offset, &quarantined), SL_ENOTFOUND);
        reopen(r, round == 0);
        assert_int_equal(r->recovery.groups_cut, 0);
    }
    assert_int_equal(quarantined, 0);
}

static void a_record_keeps_its_format_and_one_that_says_nothing_is_json(void **state) {
    rig *r = *state;
    sl_journal_input input = {.body = "a,b\n", .length = 4};
    sl_group_reset(r->group);
    assert_int_equal(sl_group_add(r->group, &input), SL_OK);
    uint32_t said = r->group->records[0].stream - 4;
    assert_memory_equal(r->group->bytes + said, "\0\0\0\0", 4); /* As before there were formats. */
    input.format = (sl_format){SL_FORMAT_CSV, SL_HEADER_ABSENT, ';'};
    assert_int_equal(sl_group_add(r->group, &input), SL_OK);
    assert_int_equal(sl_journal_write(r->journal, r->group, NULL), SL_OK);
    reopen(r, true);
    uint64_t quarantined = 0;
    sl_group_reset(r->group);
    assert_int_equal(get(r, 0, &quarantined), SL_OK);
    assert_int_equal(r->group->count, 2);
    assert_int_equal(r->group->records[0].format.kind, SL_FORMAT_JSON);
    const sl_format *csv = &r->group->records[1].format;
    assert_int_equal(csv->kind, SL_FORMAT_CSV);
    assert_int_equal(csv->header, SL_HEADER_ABSENT);
    assert_int_equal(csv->delimiter, ';');
}

/* Small ones are hashed where they lie, large ones as they are copied: one reader knows both. */
static void records_of_any_size_come_back_whole_and_damage_in_them_is_seen(void **state) {
    rig *r = *state;
    const uint32_t large = 16 << 10, sizes[] = {2 * large + 5, 0, 1, large - 10, large - 9, large - 1, large, 3 * large, 150000};
    uint64_t at[sizeof sizes / sizeof *sizes], quarantined = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint32_t k = 0; k < sizes[i]; k++)
            bytes[k] = (uint8_t)(k * k / 5 + i);
        const sl_journal_input input = {.stream = "clicks", .stream_length = 6, .key = "key", .key_length = 3,
                                        .body = bytes, .length = sizes[i]};
        sl_group_reset(r->group);
        assert_int_equal(sl_group_add(r->group, &input), SL_OK);
        assert_int_equal(sl_journal_write(r->journal, r->group, NULL), SL_OK);
        at[i] = r->group->offset;
    }
    reopen(r, true);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(get(r, at[i], &quarantined), SL_OK);
        assert_int_equal(quarantined, 0);
        const sl_journal_record *record = &r->group->records[0];
        assert_int_equal(record->length, sizes[i]);
        assert_memory_equal(r->group->bytes + record->key, "key", 3);
        for (uint32_t k = 0; k < sizes[i]; k++)
            assert_int_equal(r->group->bytes[record->body + k], (uint8_t)(k * k / 5 + i));
    }
    assert_true(fake_disk_corrupt(r->disk, FIRST_SEGMENT, SL_BLOCK + large, 1));
    assert_int_equal(get(r, 0, &quarantined), SL_OK);
    assert_true(r->group->records[0].damaged && quarantined > sizes[0]);
}

static void identity_stays_and_offsets_respect_cursors(void **state) {
    rig *r = *state;
    char identity[33];
    (void)snprintf(identity, sizeof identity, "%s", sl_journal_identity(r->journal));
    assert_int_equal(strlen(identity), 32);
    assert_int_equal(put(r, 'a', 1, 10), SL_OK);
    sl_journal_close(r->journal);
    assert_int_equal(open_with(r, 8 * SEGMENT, 5000000), SL_OK);
    assert_string_equal(identity, sl_journal_identity(r->journal));
    assert_true(sl_journal_end(r->journal) >= 5000000);
    assert_int_equal(put(r, 'b', 1, 10), SL_OK);
    assert_true(r->group->offset >= 5000000);
    uint64_t offset = 0;
    assert_next(r, &offset, 'a');
    assert_next(r, &offset, 'b');
}

static void failed_sync_seals_the_segment_and_the_group_goes_to_the_next(void **state) {
    rig *r = *state;
    assert_int_equal(put(r, 'a', 1, 10), SL_OK);
    fake_disk_fail(r->disk, FAKE_DISK_SYNC, 1, SL_EIO);
    assert_int_equal(put(r, 'b', 1, 10), SL_OK);
    assert_int_equal(sl_journal_sync_failures(r->journal), 1);
    assert_true(r->group->offset >= SEGMENT - SL_BLOCK);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t offset = 0, quarantined = 0;
        assert_next(r, &offset, 'a');
        assert_next(r, &offset, 'b');
        assert_int_equal(get(r, offset, &quarantined), SL_ENOTFOUND);
        reopen(r, true);
    }
    assert_null(fake_disk_violation(r->disk));
}

static void group_that_failed_twice_is_void_after_the_next(void **state) {
    rig *r = *state;
    fake_disk_fail_often(r->disk, FAKE_DISK_SYNC, 1000);
    assert_int_equal(put(r, 'x', 1, 10), SL_EIO);
    fake_disk_fail_often(r->disk, FAKE_DISK_SYNC, 0);
    uint64_t offset = 0, quarantined = 0;
    assert_int_equal(get(r, offset, &quarantined), SL_ENOTFOUND);
    assert_int_equal(put(r, 'y', 1, 10), SL_OK);
    reopen(r, true);
    assert_next(r, &offset, 'y');
    assert_int_equal(get(r, offset, &quarantined), SL_ENOTFOUND);
    assert_int_equal(quarantined, 0);
}

/* The process is killed and another one starts; the machine goes on. */
static void start_again(rig *r) {
    fake_disk_process(r->disk, true);
    sl_journal_close(r->journal);
    r->journal = NULL;
    fake_disk_process(r->disk, false);
    reopen(r, false);
}

static void refused_group_stays_away_from_the_next_process(void **state) {
    rig *r = *state;
    assert_int_equal(put(r, 'a', 1, 10), SL_OK);
    fake_disk_set_capacity(r->disk, 1); /* No room for another segment. */
    fake_disk_fail(r->disk, FAKE_DISK_SYNC, 1, SL_EIO);
    assert_int_equal(put(r, 'x', 1, 10), SL_ENOSPC);
    assert_int_equal(sl_journal_unvoided(r->journal), 0);
    fake_disk_set_capacity(r->disk, 0);
    start_again(r);
    uint64_t offset = 0, quarantined = 0;
    assert_next(r, &offset, 'a');
    assert_int_equal(get(r, offset, &quarantined), SL_ENOTFOUND);
    assert_int_equal(quarantined, 0);
    assert_null(fake_disk_violation(r->disk));
}

static void refused_group_is_written_over_as_soon_as_the_disk_lets_it(void **state) {
    rig *r = *state;
    assert_int_equal(put(r, 'a', 1, 10), SL_OK);
    fake_disk_set_capacity(r->disk, 1);
    fake_disk_fail(r->disk, FAKE_DISK_SYNC, 1, SL_EIO);
    fake_disk_fail(r->disk, FAKE_DISK_WRITE, 2, SL_EIO); /* The group's own is the first. */
    assert_int_equal(put(r, 'x', 1, 10), SL_ENOSPC);
    assert_int_equal(sl_journal_unvoided(r->journal), 1);
    (void)!sl_journal_prepare(r->journal, NULL);
    assert_int_equal(sl_journal_unvoided(r->journal), 0);
    fake_disk_set_capacity(r->disk, 0);
    start_again(r);
    uint64_t offset = 0, quarantined = 0;
    assert_next(r, &offset, 'a');
    assert_int_equal(get(r, offset, &quarantined), SL_ENOTFOUND);
}

static void full_disk_and_quota_leave_the_journal_usable(void **state) {
    rig *r = *state;
    unsigned count = 0;
    sl_status status;
    while ((status = put(r, 'a', 1, 12000)) == SL_OK)
        count++;
    assert_int_equal(status, SL_ENOSPC); /* The quota: 8 segments of 5 such groups. */
    assert_true(count >= 32 && count <= 40);
    assert_true(sl_journal_bytes(r->journal) <= 8 * SEGMENT);
    assert_true(sl_journal_room(r->journal) < SEGMENT);
    sl_journal_trim(r->journal, sl_journal_end(r->journal) / 2);
    assert_true(sl_journal_room(r->journal) >= SEGMENT);
    assert_int_equal(put(r, 'b', 1, 12000), SL_OK);
    fake_disk_set_capacity(r->disk, 1);
    while ((status = put(r, 'c', 1, 12000)) == SL_OK)
        continue;
    assert_int_equal(status, SL_ENOSPC);
    reopen(r, true);
    fake_disk_set_capacity(r->disk, 0);
    sl_journal_trim(r->journal, sl_journal_end(r->journal));
    assert_int_equal(put(r, 'd', 1, 12000), SL_OK);
}

static void trimmed_segments_are_recycled_and_spares_prepared(void **state) {
    rig *r = *state;
    sl_status status;
    while ((status = sl_journal_prepare(r->journal, NULL)) == SL_EAGAIN)
        continue;
    assert_int_equal(status, SL_OK);
    assert_int_equal(sl_journal_bytes(r->journal), 2 * SEGMENT);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(put(r, 'a', 1, 12000), SL_OK);
        sl_journal_trim(r->journal, r->group->next);
        while (sl_journal_prepare(r->journal, NULL) == SL_EAGAIN)
            continue;
    }
    assert_true(sl_journal_bytes(r->journal) <= 4 * SEGMENT);
    uint64_t quarantined = 0;
    sl_error error = {0};
    assert_int_equal(sl_journal_read(r->journal, 0, r->group, &quarantined, &error), SL_ECORRUPT);
    assert_non_null(strstr(error.text, "below"));
    reopen(r, true);
    assert_true(sl_journal_begin(r->journal) > 0);
}

static void torn_tail_is_cut(void **state) {
    rig *r = *state;
    assert_int_equal(put(r, 'a', 1, 10), SL_OK);
    assert_int_equal(put(r, 'b', 1, 10000), SL_OK);
    sl_journal_close(r->journal);
    assert_true(fake_disk_corrupt(r->disk, FIRST_SEGMENT, 2 * SL_BLOCK + 9000, 1));
    assert_int_equal(open_with(r, 8 * SEGMENT, 0), SL_OK);
    assert_int_equal(r->recovery.groups_cut, 1);
    assert_int_equal(r->recovery.bytes_cut, 3 * SL_BLOCK);
    uint64_t offset = 0, quarantined = 0;
    assert_next(r, &offset, 'a');
    assert_int_equal(get(r, offset, &quarantined), SL_ENOTFOUND);
    assert_int_equal(put(r, 'c', 1, 10), SL_OK);
    reopen(r, true);
    assert_next(r, &offset, 'c');
}

static void damaged_header_in_the_middle_is_stepped_over_and_counted(void **state) {
    rig *r = *state;
    for (uint8_t letter = 'a'; letter <= 'c'; letter++)
        assert_int_equal(put(r, letter, 1, 10), SL_OK);
    assert_true(fake_disk_corrupt(r->disk, FIRST_SEGMENT, 2 * SL_BLOCK + 8, 1));
    reopen(r, true);
    assert_int_equal(r->recovery.groups_cut, 0);
    uint64_t offset = 0, quarantined = 0;
    assert_next(r, &offset, 'a');
    assert_int_equal(get(r, offset, &quarantined), SL_OK);
    assert_int_equal(quarantined, SL_BLOCK);
    assert_int_equal(r->group->bytes[r->group->records[0].body], 'c');
}

static void damaged_record_is_marked_and_its_neighbours_are_kept(void **state) {
    rig *r = *state;
    assert_int_equal(put(r, 'a', 5, 1000), SL_OK);
    uint32_t second = r->group->records[1].body, fourth = r->group->records[3].stream - 40;
    assert_int_equal(put(r, 'b', 1, 10), SL_OK);
    assert_true(fake_disk_corrupt(r->disk, FIRST_SEGMENT, SL_BLOCK + second + 5, 1));
    assert_true(fake_disk_corrupt(r->disk, FIRST_SEGMENT, SL_BLOCK + fourth + 16, 255));
    reopen(r, true);
    uint64_t quarantined = 0;
    assert_int_equal(get(r, 0, &quarantined), SL_OK);
    assert_int_equal(r->group->count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(r->group->records[i].damaged, i == 1 || i == 3);
        if (i != 3)
            assert_int_equal(r->group->records[i].length, 1000);
    }
    assert_true(quarantined >= 2000 && quarantined < 2200);
}

static void segment_with_a_damaged_header_keeps_its_groups(void **state) {
    rig *r = *state;
    for (uint8_t i = 0; i < 20; i++)
        assert_int_equal(put(r, (uint8_t)('a' + i), 1, 10000), SL_OK);
    assert_true(fake_disk_corrupt(r->disk, "j/00000000000000061440.journal", 50, 1));
    reopen(r, true);
    uint64_t offset = 0;
    for (uint8_t i = 0; i < 20; i++)
        assert_next(r, &offset, (uint8_t)('a' + i));
}

static void missing_segment_is_refused(void **state) {
    rig *r = *state;
    for (uint8_t i = 0; i < 20; i++)
        assert_int_equal(put(r, 'a', 1, 10000), SL_OK);
    sl_journal_close(r->journal);
    r->journal = NULL;
    sl_files *files = fake_disk_files(r->disk);
    assert_int_equal(files->unlink(files, "j/00000000000000061440.journal", NULL), SL_OK);
    assert_int_equal(open_with(r, 8 * SEGMENT, 0), SL_ECORRUPT);
    assert_null(r->journal);
}

static void sizes_that_do_not_fit_are_refused(void **state) {
    rig *r = *state;
    sl_journal_close(r->journal);
    r->journal = NULL;
    assert_int_equal(open_with(r, SEGMENT, 0), SL_EINVAL);
    assert_int_equal(open_with(r, 8 * SEGMENT, UINT64_MAX), SL_EINVAL);
    assert_int_equal(open_with(r, 8 * SEGMENT, 0), SL_OK);
}

/** One life whose n-th allocation fails. @return false when n was beyond the last. */
static bool live_with_failing_allocation(uint64_t n) {
    rig r = {.disk = fake_disk_create(3)};
    sl_memory_fail_at(n);
    r.group = sl_group_create(SL_BLOCK, NULL);
    sl_status status = r.group ? open_with(&r, 8 * SEGMENT, 0) : SL_ENOMEM;
    for (unsigned i = 0; i < 18 && status == SL_OK; i++) {
        sl_group_reset(r.group);
        for (unsigned k = 0; k < 3 && status == SL_OK; k++) {
            status = add(r.group, 'a', 3000);
            if (k && status == SL_EFULL)
                status = SL_OK;
        }
        if (status == SL_OK)
            status = sl_journal_write(r.journal, r.group, NULL);
    }
    if (status == SL_OK) {
        sl_journal_close(r.journal);
        status = open_with(&r, 8 * SEGMENT, 0);
    }
    sl_group *reader = status == SL_OK ? sl_group_create(SL_BLOCK, NULL) : NULL;
    uint64_t offset = 0, quarantined = 0;
    while (reader && status == SL_OK) {
        status = sl_journal_read(r.journal, offset, reader, &quarantined, NULL);
        offset = reader->next;
    }
    bool failed = sl_memory_calls() >= n;
    sl_memory_fail_at(0);
    if (failed)
        assert_true(status == SL_ENOMEM || status == SL_ENOTFOUND || status == SL_OK);
    else
        assert_int_equal(status, SL_ENOTFOUND);
    assert_int_equal(quarantined, 0);
    sl_group_destroy(reader);
    sl_group_destroy(r.group);
    sl_journal_close(r.journal);
    fake_disk_destroy(r.disk);
    return failed;
}

static void every_failing_allocation_is_a_status(void **state) {
    (void)state;
    uint64_t n = 1;
    while (live_with_failing_allocation(n))
        n++;
    assert_true(n > 20);
}

/* ---- a writer and a reader that trims, side by side ---- */

typedef struct pair {
    sl_journal *journal;
    uint64_t groups;
    _Atomic uint64_t written; /* Counts only; the journal's mutex orders the content. */
    _Atomic bool failed;
} pair;

static void *write_all(void *argument) {
    pair *p = argument;
    sl_group *group = sl_group_create(SEGMENT, NULL);
    for (uint64_t i = 0; group && i < p->groups; i++) {
        sl_group_reset(group);
        uint64_t body[200];
        for (unsigned k = 0; k < 200; k++)
            body[k] = i * 1000 + k;
        const sl_journal_input input = {.stream = "",
                                        .source = "",
                                        .body = body,
                                        .length = (uint32_t)(8 + i % 199 * 8),
                                        .arrival_us = (int64_t)i};
        sl_status status = sl_group_add(group, &input);
        while (status == SL_OK && (status = sl_journal_write(p->journal, group, NULL)) == SL_ENOSPC)
            status = SL_OK; /* The reader trims. */
        if (status)
            p->failed = true;
        (void)!sl_journal_prepare(p->journal, NULL);
        atomic_fetch_add(&p->written, 1);
    }
    p->failed |= !group;
    sl_group_destroy(group);
    return NULL;
}

static void reader_and_trim_run_beside_the_writer(void **state) {
    rig *r = *state;
    pair p = {.journal = r->journal, .groups = 1500};
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_all, &p), 0);
    uint64_t offset = 0, quarantined = 0, seen = 0;
    while (seen < p.groups && !p.failed) {
        sl_status status = get(r, offset, &quarantined);
        if (status == SL_ENOTFOUND)
            continue;
        if (status || r->group->records[0].arrival_us != (int64_t)seen ||
            r->group->records[0].length != 8 + seen % 199 * 8)
            break;
        offset = r->group->next;
        seen++;
        if (seen % 7 == 0)
            sl_journal_trim(r->journal, offset);
        (void)(sl_journal_room(r->journal) + sl_journal_bytes(r->journal));
    }
    if (seen < p.groups)
        p.failed = true;
    sl_journal_trim(r->journal, UINT64_MAX); /* Lets a writer that waits for room finish. */
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_false(p.failed);
    assert_int_equal(seen, p.groups);
    assert_int_equal(quarantined, 0);
}

int main(void) {
#define journal_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_takes_records_until_it_is_full_and_one_of_any_size),
        journal_test(a_record_keeps_its_format_and_one_that_says_nothing_is_json),
        journal_test(records_of_any_size_come_back_whole_and_damage_in_them_is_seen),
        journal_test(groups_read_back_in_order_across_segments_and_restarts),
        journal_test(identity_stays_and_offsets_respect_cursors),
        journal_test(failed_sync_seals_the_segment_and_the_group_goes_to_the_next),
        journal_test(group_that_failed_twice_is_void_after_the_next),
        journal_test(refused_group_stays_away_from_the_next_process),
        journal_test(refused_group_is_written_over_as_soon_as_the_disk_lets_it),
        journal_test(full_disk_and_quota_leave_the_journal_usable),
        journal_test(trimmed_segments_are_recycled_and_spares_prepared),
        journal_test(torn_tail_is_cut),
        journal_test(damaged_header_in_the_middle_is_stepped_over_and_counted),
        journal_test(damaged_record_is_marked_and_its_neighbours_are_kept),
        journal_test(segment_with_a_damaged_header_keeps_its_groups),
        journal_test(missing_segment_is_refused),
        journal_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(every_failing_allocation_is_a_status),
        journal_test(reader_and_trim_run_beside_the_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
