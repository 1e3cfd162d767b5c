#include "sluice/dedupe.h"

#include "fake_disk.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define START (INT64_C(1700000000) * SL_SECOND_US)

typedef struct rig {
    fake_disk *disk;
    sl_dedupe_options options;
    sl_dedupe *store;
    sl_buffer record;
    sl_error error;
} rig;

static void open_at(rig *r, uint64_t resume) {
    sl_status status =
        sl_dedupe_open(&r->options, r->record.bytes, r->record.length, resume, &r->store, &r->error);
    if (status != SL_OK)
        print_message("%s\n", r->error.text);
    assert_int_equal(status, SL_OK);
}

static rig begin(int64_t horizon_us, uint32_t run_claims) {
    rig r = {.disk = fake_disk_create(1)};
    fake_disk_guard(r.disk, "d");
    r.options = (sl_dedupe_options){.files = fake_disk_files(r.disk),
                                    .directory = "d/keys",
                                    .horizon_us = horizon_us,
                                    .run_claims = run_claims,
                                    .slice_claims = 4 * run_claims};
    open_at(&r, 0);
    return r;
}

static void end(rig *r) {
    sl_dedupe_close(r->store);
    assert_null(fake_disk_violation(r->disk));
    fake_disk_destroy(r->disk);
    sl_buffer_fini(&r->record);
}

static sl_dedupe_event event(uint64_t id, uint64_t position, int64_t time_s, int64_t watermark_s) {
    return (sl_dedupe_event){.key = sl_hash128_of(&id, sizeof id),
                             .position = position,
                             .time_us = START + time_s * SL_SECOND_US,
                             .watermark_us = START + watermark_s * SL_SECOND_US};
}

static sl_status try_judge(rig *r, sl_dedupe_event e, uint8_t *verdict) {
    uint32_t done;
    e.row = 0;
    *verdict = 99;
    sl_status status = sl_dedupe_judge(r->store, &e, 1, verdict, &done, &r->error);
    assert_int_equal(done, status == SL_OK);
    return status;
}

static void work_all(rig *r) {
    sl_dedupe_work *w;
    while ((w = sl_dedupe_work_next(r->store)) != NULL) {
        sl_status status;
        while ((status = sl_dedupe_work_run(w, &r->error)) == SL_EAGAIN)
            ;
        assert_int_equal(status, SL_OK);
        sl_dedupe_work_done(r->store, w);
    }
}

static sl_verdict judge(rig *r, sl_dedupe_event e) {
    uint8_t verdict;
    if (try_judge(r, e, &verdict) != SL_OK) {
        work_all(r);
        assert_int_equal(try_judge(r, e, &verdict), SL_OK);
    }
    return verdict;
}

static void cut(rig *r) {
    sl_dedupe_cut *c = sl_dedupe_cut_begin(r->store);
    assert_non_null(c);
    sl_buffer_clear(&r->record);
    assert_int_equal(sl_dedupe_cut_write(c, &r->record, &r->error), SL_OK);
    sl_dedupe_cut_end(r->store, c, true);
}

/* Ids [from, to), one a second from `from` on, positions 100 times the id. */
static void keep_ids(rig *r, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        assert_int_equal(judge(r, event(i, 100 * (uint64_t)i, i, (int64_t)i - 1)), SL_VERDICT_KEEP);
}

static void expect_duplicates(rig *r, uint32_t from, uint32_t to, uint64_t position, int64_t now_s) {
    for (uint32_t i = from; i < to; i++)
        assert_int_equal(judge(r, event(i, position + i, now_s, now_s)), SL_VERDICT_DUPLICATE);
}

typedef struct counting {
    uint32_t files;
    char name[64]; /* The last one of this ending. */
    const char *ending;
} counting;
static sl_status count_file(void *context, const sl_file_entry *entry) {
    counting *c = context;
    size_t length = strlen(entry->name), tail = strlen(c->ending);
    if (length < tail || strcmp(entry->name + length - tail, c->ending) != 0)
        return SL_OK;
    c->files++;
    (void)snprintf(c->name, sizeof c->name, "d/keys/%.40s", entry->name);
    return SL_OK;
}
static counting files_of(const rig *r, const char *ending) {
    counting c = {.ending = ending};
    assert_int_equal(r->options.files->list(r->options.files, "d/keys", count_file, &c, NULL), SL_OK);
    return c;
}

/* --- the rule --- */

static void same_id_at_a_higher_position_is_a_duplicate(void **state) {
    (void)state;
    rig r = begin(SL_HOUR_US, 100);
    assert_int_equal(judge(&r, event(1, 10, 0, 0)), SL_VERDICT_KEEP);
    assert_int_equal(judge(&r, event(2, 20, 0, 0)), SL_VERDICT_KEEP);
    assert_int_equal(judge(&r, event(1, 30, 5, 0)), SL_VERDICT_DUPLICATE);
    assert_int_equal(judge(&r, event(2, 40, -50, 5)), SL_VERDICT_DUPLICATE);
    end(&r);
}

static void position_judged_again_is_no_duplicate_of_itself(void **state) {
    (void)state;
    rig r = begin(SL_HOUR_US, 100);
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(judge(&r, event(1, 10, 0, 0)), SL_VERDICT_KEEP);
        assert_int_equal(judge(&r, event(1, 30, 5, 0)), SL_VERDICT_DUPLICATE);
        assert_int_equal(judge(&r, event(2, 40, 5, 5)), SL_VERDICT_KEEP);
    }
    sl_dedupe_stats s;
    sl_dedupe_stats_get(r.store, &s);
    assert_int_equal(s.claims, 2);
    end(&r);
}

static void duplicates_within_one_batch_are_found(void **state) {
    (void)state;
    rig r = begin(SL_HOUR_US, 7);
    sl_dedupe_event events[300];
    uint8_t verdict[300];
    uint32_t done = 0;
    for (uint32_t i = 0; i < 300; i++) {
        events[i] = event(i / 3, i, 0, 0);
        events[i].row = i;
    }
    for (uint32_t at = 0; at < 300; at += done) { /* The run ends at every seventh claim. */
        sl_status status = sl_dedupe_judge(r.store, events + at, 300 - at, verdict, &done, &r.error);
        assert_true(status == SL_OK || status == SL_EFULL);
        work_all(&r);
    }
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(verdict[i], i % 3 == 0 ? SL_VERDICT_KEEP : SL_VERDICT_DUPLICATE);
    end(&r);
}

static void event_older_than_the_horizon_is_late_and_claims_nothing(void **state) {
    (void)state;
    rig r = begin(100 * SL_SECOND_US, 100);
    assert_int_equal(judge(&r, event(1, 10, 899, 1000)), SL_VERDICT_LATE);
    assert_int_equal(judge(&r, event(1, 20, 900, 1000)), SL_VERDICT_KEEP);
    assert_int_equal(judge(&r, event(1, 30, 950, 1000)), SL_VERDICT_DUPLICATE);
    end(&r);
}

static void claim_counts_until_the_watermark_is_a_horizon_ahead(void **state) {
    (void)state;
    rig r = begin(100 * SL_SECOND_US, 100);
    assert_int_equal(judge(&r, event(1, 10, 0, 0)), SL_VERDICT_KEEP);
    assert_int_equal(judge(&r, event(1, 20, 100, 100)), SL_VERDICT_DUPLICATE);
    assert_int_equal(judge(&r, event(1, 30, 101, 101)), SL_VERDICT_KEEP);
    assert_int_equal(judge(&r, event(1, 40, 101, 101)), SL_VERDICT_DUPLICATE);
    /* Read again, from the beginning. */
    assert_int_equal(judge(&r, event(1, 10, 0, 0)), SL_VERDICT_KEEP);
    assert_int_equal(judge(&r, event(1, 20, 100, 100)), SL_VERDICT_DUPLICATE);
    assert_int_equal(judge(&r, event(1, 30, 101, 101)), SL_VERDICT_KEEP);
    end(&r);
}

static void without_a_watermark_nothing_is_late(void **state) {
    (void)state;
    rig r = begin(SL_SECOND_US, 100);
    sl_dedupe_event e = event(1, 10, 0, 0);
    e.watermark_us = SL_NO_TIME;
    e.time_us = INT64_MIN + 5;
    assert_int_equal(judge(&r, e), SL_VERDICT_KEEP);
    e.position = 20;
    e.time_us = INT64_MAX;
    assert_int_equal(judge(&r, e), SL_VERDICT_DUPLICATE);
    e = event(2, 30, 0, 0);
    e.time_us = INT64_MAX; /* No base holds both: another run begins. */
    assert_int_equal(judge(&r, e), SL_VERDICT_KEEP);
    e.position = 40;
    assert_int_equal(judge(&r, e), SL_VERDICT_DUPLICATE);
    end(&r);
}

static void claims_far_apart_keep_their_times_and_positions(void **state) {
    (void)state;
    rig r = begin(SL_SECOND_US, 100);
    for (uint32_t k = 0; k < 8; k++) { /* 2,850 years and 2^60 positions from the first to the last. */
        sl_dedupe_event e = event(k, (uint64_t)(k + 1) << 57, k * INT64_C(12345678901), 0);
        e.watermark_us = INT64_MIN + 10 * SL_SECOND_US;
        assert_int_equal(judge(&r, e), SL_VERDICT_KEEP);
    }
    for (uint32_t k = 0; k < 8; k++) {
        int64_t time_s = k * INT64_C(12345678901);
        uint64_t position = (uint64_t)(k + 1) << 57;
        assert_int_equal(judge(&r, event(k, position + 1, time_s, time_s + 1)), SL_VERDICT_DUPLICATE);
        assert_int_equal(judge(&r, event(k, position - 1, time_s, time_s + 1)), SL_VERDICT_KEEP);
        assert_int_equal(judge(&r, event(k, position + 2, time_s + 2, time_s + 2)), SL_VERDICT_KEEP);
    }
    end(&r);
}

static void keys_with_the_same_first_half_are_told_apart(void **state) {
    (void)state;
    rig r = begin(SL_HOUR_US, 4);
    sl_dedupe_event e = event(1, 0, 0, 0);
    for (uint32_t i = 0; i < 200; i++) {
        e.key.low = i;
        e.position = 10 + i;
        assert_int_equal(judge(&r, e), SL_VERDICT_KEEP);
    }
    for (uint32_t i = 0; i < 200; i++) {
        e.key.low = i;
        e.position = 1000 + i;
        assert_int_equal(judge(&r, e), SL_VERDICT_DUPLICATE);
    }
    end(&r);
}

static void horizon_has_to_be_above_zero(void **state) {
    (void)state;
    rig r = begin(SL_HOUR_US, 4);
    sl_dedupe_options options = r.options;
    sl_dedupe *store;
    options.horizon_us = 0;
    assert_int_equal(sl_dedupe_open(&options, NULL, 0, 0, &store, &r.error), SL_EINVAL);
    assert_null(store);
    end(&r);
}

/* --- files --- */

static void claims_are_found_in_files(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 50);
    keep_ids(&r, 0, 2000);
    work_all(&r);
    sl_dedupe_stats s;
    sl_dedupe_stats_get(r.store, &s);
    assert_true(s.files != 0 && s.claims == 2000);
    expect_duplicates(&r, 0, 2000, 1000000, 2000);
    sl_dedupe_stats_get(r.store, &s);
    assert_true(s.reads >= 1900 && s.claims == 2000);
    for (uint32_t i = 0; i < 2000; i++) /* Again from the beginning: nothing is claimed twice. */
        assert_int_equal(judge(&r, event(i, 100 * (uint64_t)i, i, (int64_t)i - 1)), SL_VERDICT_KEEP);
    sl_dedupe_stats_get(r.store, &s);
    assert_int_equal(s.claims, 2000);
    end(&r);
}

static void slices_have_few_files_whatever_came(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 20);
    for (uint32_t i = 0; i < 100; i++) { /* A start after every ten events. */
        keep_ids(&r, 10 * i, 10 * i + 10);
        cut(&r);
        work_all(&r);
        cut(&r);
        work_all(&r);
        sl_dedupe_close(r.store);
        open_at(&r, UINT64_MAX);
    }
    work_all(&r);
    cut(&r);
    work_all(&r);
    assert_in_range(files_of(&r, ".keys").files, 1, 30);
    assert_int_equal(files_of(&r, ".tail").files, 0);
    expect_duplicates(&r, 0, 1000, 1000000, 1000);
    end(&r);
}

static void claims_older_than_the_slowest_cursor_needs_are_let_go(void **state) {
    (void)state;
    rig r = begin(600 * SL_SECOND_US, 50);
    keep_ids(&r, 0, 2000);
    work_all(&r);
    cut(&r);
    sl_dedupe_stats before, after;
    sl_dedupe_stats_get(r.store, &before);
    assert_int_equal(before.claims, 2000);
    sl_dedupe_release(r.store, START + 1000 * SL_SECOND_US);
    sl_dedupe_stats_get(r.store, &after);
    assert_true(after.claims < 1900 && after.memory_bytes < before.memory_bytes);
    uint32_t files = files_of(&r, ".keys").files;
    cut(&r);
    work_all(&r);
    assert_true(files_of(&r, ".keys").files < files);
    /* From the cursor's watermark on all is as it was. */
    for (uint32_t i = 1001; i < 2000; i++)
        assert_int_equal(judge(&r, event(i, 100 * (uint64_t)i, i, (int64_t)i - 1)), SL_VERDICT_KEEP);
    assert_int_equal(judge(&r, event(500, 500000, 1000, 1000)), SL_VERDICT_DUPLICATE);
    sl_dedupe_release(r.store, START + 5000 * SL_SECOND_US);
    cut(&r);
    work_all(&r);
    assert_int_equal(files_of(&r, "").files, 0);
    sl_dedupe_stats_get(r.store, &after);
    assert_int_equal(after.claims, 0);
    assert_int_equal(after.memory_bytes, 0);
    end(&r);
}

/* --- cuts and starts --- */

static void what_a_committed_cut_has_is_there_after_a_crash(void **state) {
    (void)state;
    for (uint32_t claims = 1; claims < 400; claims += 37) {
        rig r = begin(SL_DAY_US, 50);
        keep_ids(&r, 0, claims);
        cut(&r);
        keep_ids(&r, claims, claims + 30); /* Not in it. */
        sl_dedupe_close(r.store);
        fake_disk_crash(r.disk, claims);
        open_at(&r, 100 * (uint64_t)claims);
        expect_duplicates(&r, 0, claims, 1000000, claims);
        for (uint32_t i = claims; i < claims + 30; i++)
            assert_int_equal(judge(&r, event(i, 2000000 + i, i, i)), SL_VERDICT_KEEP);
        end(&r);
    }
}

static void claims_from_resume_on_are_forgotten(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 20);
    keep_ids(&r, 0, 105);
    work_all(&r);
    cut(&r);
    sl_dedupe_close(r.store);
    open_at(&r, 5000);
    for (uint32_t i = 50; i < 105; i++) /* Another configuration makes other ids of them. */
        assert_int_equal(judge(&r, event(1000 + i, 100 * (uint64_t)i, i, (int64_t)i - 1)), SL_VERDICT_KEEP);
    for (uint32_t i = 50; i < 105; i++)
        assert_int_equal(judge(&r, event(i, 100000 + i, 105, 105)), SL_VERDICT_KEEP);
    expect_duplicates(&r, 0, 50, 200000, 105);
    expect_duplicates(&r, 1050, 1105, 300000, 105);
    end(&r);
}

static void rewind_forgets_what_follows(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 20);
    keep_ids(&r, 0, 105);
    sl_dedupe_work *w = sl_dedupe_work_next(r.store);
    assert_int_equal(sl_dedupe_work_run(w, &r.error), SL_EAGAIN);
    sl_dedupe_rewind(r.store, 5000);
    sl_dedupe_work_done(r.store, w);
    for (uint32_t i = 50; i < 105; i++)
        assert_int_equal(judge(&r, event(i, 100000 + i, 105, 105)), SL_VERDICT_KEEP);
    work_all(&r);
    expect_duplicates(&r, 0, 105, 200000, 105);
    end(&r);
}

/* At the n-th work, after all of it was done and before it is taken. */
static void rewind_while_work_is_out_holds_for_its_result(void **state) {
    (void)state;
    for (uint32_t n = 0, works; n < 4; n++) {
        rig r = begin(SL_DAY_US, 20);
        sl_dedupe_close(r.store);
        r.options.slice_claims = 40;
        open_at(&r, 0);
        keep_ids(&r, 0, 60);
        sl_dedupe_rewind(r.store, UINT64_MAX); /* Nothing is forgotten, but the run ends. */
        works = 0;
        for (sl_dedupe_work *w; (w = sl_dedupe_work_next(r.store)) != NULL; works++) {
            while (sl_dedupe_work_run(w, &r.error) == SL_EAGAIN)
                ;
            if (works == n)
                sl_dedupe_rewind(r.store, 1000);
            sl_dedupe_work_done(r.store, w);
        }
        assert_true(works > n); /* Three runs to write, then two files to merge. */
        for (uint32_t i = 10; i < 60; i++)
            assert_int_equal(judge(&r, event(i, 100000 + i, 60, 60)), SL_VERDICT_KEEP);
        expect_duplicates(&r, 0, 60, 200000, 60);
        end(&r);
    }
}

static void forgotten_claims_are_not_written(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 1000);
    keep_ids(&r, 0, 105);
    sl_dedupe_rewind(r.store, 5000);
    work_all(&r);
    sl_dedupe_stats s;
    sl_dedupe_stats_get(r.store, &s);
    assert_int_equal(s.claims, 50);
    end(&r);
}

static void record_names_files_that_a_crash_leaves(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        rig r = begin(SL_DAY_US, 20);
        keep_ids(&r, 0, 60);
        sl_dedupe_rewind(r.store, UINT64_MAX);
        work_all(&r);
        cut(&r); /* No tail is made that would sync the directory. */
        assert_int_equal(files_of(&r, ".tail").files, 0);
        sl_dedupe_close(r.store);
        fake_disk_crash(r.disk, seed);
        open_at(&r, 6000);
        expect_duplicates(&r, 0, 60, 200000, 60);
        end(&r);
    }
}

static void files_that_no_record_names_are_removed(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 20);
    keep_ids(&r, 0, 50);
    cut(&r);
    work_all(&r);
    sl_dedupe_close(r.store); /* The files of keys aren't in the record, the tails are. */
    assert_true(files_of(&r, ".keys").files > 0);
    uint32_t tails = files_of(&r, ".tail").files;
    open_at(&r, 5000);
    assert_int_equal(files_of(&r, ".keys").files, 0);
    assert_int_equal(files_of(&r, ".tail").files, tails);
    expect_duplicates(&r, 0, 50, 1000000, 60);
    work_all(&r);
    cut(&r);
    work_all(&r);
    assert_int_equal(files_of(&r, ".tail").files, 0);
    sl_buffer_fini(&r.record); /* A new store takes an empty directory. */
    sl_dedupe_close(r.store);
    open_at(&r, 0);
    assert_int_equal(files_of(&r, "").files, 0);
    end(&r);
}

static void cuts_may_overlap(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 20);
    keep_ids(&r, 0, 30);
    sl_dedupe_cut *first = sl_dedupe_cut_begin(r.store);
    keep_ids(&r, 30, 55);
    sl_dedupe_cut *second = sl_dedupe_cut_begin(r.store);
    work_all(&r); /* Runs become files meanwhile. */
    keep_ids(&r, 55, 60);
    sl_buffer given_up = SL_BUFFER_EMPTY;
    assert_int_equal(sl_dedupe_cut_write(first, &given_up, &r.error), SL_OK);
    sl_buffer_fini(&given_up);
    sl_dedupe_cut_end(r.store, first, false);
    assert_int_equal(sl_dedupe_cut_write(second, &r.record, &r.error), SL_OK);
    sl_dedupe_cut_end(r.store, second, true);
    work_all(&r);
    sl_dedupe_close(r.store);
    fake_disk_crash(r.disk, 3);
    open_at(&r, 5500);
    expect_duplicates(&r, 0, 55, 1000000, 60);
    end(&r);
}

static void cut_that_cannot_be_written_is_tried_again(void **state) {
    (void)state;
    static const fake_disk_operation operations[] = {FAKE_DISK_OPEN, FAKE_DISK_WRITE, FAKE_DISK_SYNC,
                                                     FAKE_DISK_SYNC_DIRECTORY};
    for (size_t k = 0; k < 4; k++) {
        rig r = begin(SL_DAY_US, 100);
        keep_ids(&r, 0, 10);
        if (k > 1)
            cut(&r);
        keep_ids(&r, 10, 30);
        fake_disk_fail(r.disk, operations[k], 1, SL_EIO);
        sl_dedupe_cut *c = sl_dedupe_cut_begin(r.store);
        sl_buffer record = SL_BUFFER_EMPTY;
        sl_status status = sl_dedupe_cut_write(c, &record, &r.error);
        assert_int_equal(status, operations[k] == FAKE_DISK_SYNC_DIRECTORY ? SL_OK : SL_EIO);
        sl_buffer_clear(&record);
        assert_int_equal(sl_dedupe_cut_write(c, &record, &r.error), SL_OK);
        sl_buffer_fini(&r.record);
        r.record = record;
        sl_dedupe_cut_end(r.store, c, true);
        sl_dedupe_close(r.store);
        fake_disk_fail(r.disk, operations[k], 0, SL_EIO);
        fake_disk_crash(r.disk, k);
        open_at(&r, 3000);
        expect_duplicates(&r, 0, 30, 1000000, 60);
        end(&r);
    }
}

static void full_disk_holds_up_judging_and_changes_no_verdict(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 50);
    uint8_t verdict;
    uint32_t next = 0;
    fake_disk_set_capacity(r.disk, 1);
    while (try_judge(&r, event(next, 100 * (uint64_t)next, next, (int64_t)next - 1), &verdict) == SL_OK) {
        assert_int_equal(verdict, SL_VERDICT_KEEP);
        next++;
        assert_true(next < 1000);
        sl_dedupe_work *w = sl_dedupe_work_next(r.store);
        sl_status status = SL_EAGAIN;
        while (w != NULL && status == SL_EAGAIN)
            status = sl_dedupe_work_run(w, &r.error);
        if (w == NULL)
            continue;
        assert_int_equal(status, SL_ENOSPC);
        sl_dedupe_work_done(r.store, w);
    }
    assert_int_equal(next, 150); /* Two runs wait, the third is full. */
    /* What is known is still judged. */
    for (uint32_t i = 0; i < next; i++)
        assert_int_equal(judge(&r, event(i, 100 * (uint64_t)i, i, (int64_t)i - 1)), SL_VERDICT_KEEP);
    fake_disk_set_capacity(r.disk, 0);
    work_all(&r);
    keep_ids(&r, next, 400);
    expect_duplicates(&r, 0, 400, 1000000, 400);
    end(&r);
}

static void filters_give_way_to_memory_and_come_back(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 4096);
    sl_dedupe_close(r.store);
    r.options.memory_bytes = 380000;
    r.options.slice_claims = 4096;
    open_at(&r, 0);
    for (uint32_t i = 0; i < 100000; i++) {
        assert_int_equal(judge(&r, event(i, 100 * (uint64_t)i, i / 50, i / 50)), SL_VERDICT_KEEP);
        if (i % 4096 == 0)
            work_all(&r);
    }
    work_all(&r);
    sl_dedupe_stats s;
    sl_dedupe_stats_get(r.store, &s);
    assert_true(s.slices_without_filter > 0 && s.memory_bytes <= 380000);
    for (uint32_t i = 0; i < 100000; i += 97)
        assert_int_equal(judge(&r, event(i, 100000000 + i, 2000, 2000)), SL_VERDICT_DUPLICATE);
    sl_dedupe_close(r.store);
    r.options.memory_bytes = 0;
    sl_buffer_clear(&r.record);
    open_at(&r, 0);
    end(&r);
}

static void without_any_memory_the_store_goes_on(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 0);
    sl_budget budget;
    sl_budget_init(&budget, 0); /* Others have it all. */
    sl_dedupe_close(r.store);
    r.options.budget = &budget;
    open_at(&r, 0);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(judge(&r, event(i, 100 * (uint64_t)i, i, (int64_t)i - 1)), SL_VERDICT_KEEP);
    for (uint32_t i = 0; i < 10000; i += 7)
        assert_int_equal(judge(&r, event(i, 10000000 + i, 10000, 10000)), SL_VERDICT_DUPLICATE);
    end(&r);
    assert_int_equal(sl_budget_used(&budget), 0);
}

/* --- damage --- */

/* A store of `ids` ids with files of keys and a tail, closed. */
static rig stored(uint32_t ids) {
    rig r = begin(SL_DAY_US, 40);
    keep_ids(&r, 0, ids);
    work_all(&r);
    cut(&r);
    work_all(&r);
    sl_dedupe_close(r.store);
    r.store = NULL;
    return r;
}

/* All right, or the error says which file. @return whether it was noticed. */
static bool noticed(rig *r, uint32_t ids) {
    sl_status status = sl_dedupe_open(&r->options, r->record.bytes, r->record.length, 100 * (uint64_t)ids,
                                      &r->store, &r->error);
    for (uint32_t i = 0; i < ids && status == SL_OK; i++) {
        uint8_t verdict;
        status = try_judge(r, event(i, 1000000 + i, ids, ids), &verdict);
        if (status == SL_OK)
            assert_int_equal(verdict, SL_VERDICT_DUPLICATE);
    }
    sl_dedupe_close(r->store);
    r->store = NULL;
    if (status == SL_OK)
        return false;
    assert_int_equal(status, SL_ECORRUPT);
    assert_true(strstr(r->error.text, "file of keys") != NULL || strstr(r->error.text, "tail") != NULL);
    return true;
}

static void damaged_file_never_gives_a_wrong_verdict(void **state) {
    (void)state;
    static const char *const endings[] = {".keys", ".tail"};
    rig r = stored(190);
    for (int k = 0; k < 2; k++) {
        counting found = files_of(&r, endings[k]);
        assert_true(found.files > 0);
        uint64_t offset = 0, noticed_times = 0;
        for (; fake_disk_corrupt(r.disk, found.name, offset, 0x40); offset += 11) {
            noticed_times += noticed(&r, 190);
            assert_true(fake_disk_corrupt(r.disk, found.name, offset, 0x40));
        }
        assert_true(noticed_times > offset / 11 / 6); /* The rest are empty buckets and what pads. */
    }
    assert_false(noticed(&r, 190));
    end(&r);
}

static void missing_or_torn_file_is_named(void **state) {
    (void)state;
    static const char *const endings[] = {".keys", ".tail"};
    for (int k = 0; k < 4; k++) {
        rig r = stored(190);
        sl_files *files = r.options.files;
        counting found = files_of(&r, endings[k % 2]);
        if (k < 2) {
            assert_int_equal(files->unlink(files, found.name, NULL), SL_OK);
        } else {
            int file;
            uint64_t size;
            assert_int_equal(files->open(files, found.name, SL_FILE_WRITE, &file, NULL), SL_OK);
            assert_int_equal(files->size(files, file, &size, NULL), SL_OK);
            assert_int_equal(files->truncate(files, file, size - 200, NULL), SL_OK);
            files->close(files, file);
        }
        assert_true(noticed(&r, 190));
        assert_non_null(strstr(r.error.text, k < 2 ? "is missing" : "is cut off"));
        assert_non_null(strstr(r.error.text, "d/keys"));
        end(&r);
    }
}

static void damaged_record_is_noticed(void **state) {
    (void)state;
    rig r = stored(190);
    for (size_t i = 0; i < r.record.length; i++) {
        r.record.bytes[i] ^= 0x10;
        assert_int_equal(
            sl_dedupe_open(&r.options, r.record.bytes, r.record.length, 0, &r.store, &r.error), SL_ECORRUPT);
        r.record.bytes[i] ^= 0x10;
        if (i != 0)
            assert_int_equal(sl_dedupe_open(&r.options, r.record.bytes, i, 0, &r.store, &r.error), SL_ECORRUPT);
    }
    assert_false(noticed(&r, 190));
    end(&r);
}

static void file_check_accepts_what_was_written(void **state) {
    (void)state;
    rig r = stored(190);
    counting found = files_of(&r, ".keys");
    char *bytes;
    size_t length;
    uint64_t claims = 0;
    assert_int_equal(sl_files_read_all(r.options.files, found.name, 1 << 20, &bytes, &length, &r.error), SL_OK);
    assert_int_equal(sl_dedupe_file_check(bytes, length, &claims, &r.error), SL_OK);
    assert_true(claims > 0);
    for (size_t i = 0; i < length; i++) {
        bytes[i] ^= 1;
        assert_int_equal(sl_dedupe_file_check(bytes, length, &claims, &r.error), SL_ECORRUPT);
        bytes[i] ^= 1;
    }
    sl_free(bytes);
    end(&r);
}

/* --- memory --- */

/* Everything once, with one allocation failing: the same verdicts, after as many tries as it takes. */
static void all_of_it(rig *r) {
    sl_status status;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t id = i % 3 == 2 ? i - 2 : i;
        uint8_t verdict;
        for (int tries = 0; (status = try_judge(r, event(id, 100 * (uint64_t)i, i, i), &verdict)) != SL_OK;) {
            assert_true(status == SL_ENOMEM || status == SL_EFULL);
            assert_true(++tries < 10);
            sl_dedupe_work *w = sl_dedupe_work_next(r->store);
            if (w == NULL)
                continue;
            while ((status = sl_dedupe_work_run(w, &r->error)) == SL_EAGAIN)
                ;
            assert_true(status == SL_OK || status == SL_ENOMEM);
            sl_dedupe_work_done(r->store, w);
        }
        assert_int_equal(verdict, id == i ? SL_VERDICT_KEEP : SL_VERDICT_DUPLICATE);
        if (i % 90 != 89)
            continue;
        sl_dedupe_cut *c = sl_dedupe_cut_begin(r->store);
        if (c == NULL)
            continue;
        sl_buffer record = SL_BUFFER_EMPTY;
        status = sl_dedupe_cut_write(c, &record, &r->error);
        assert_true(status == SL_OK || status == SL_ENOMEM);
        if (status == SL_OK) {
            sl_buffer_fini(&r->record);
            r->record = record;
        } else {
            sl_buffer_fini(&record);
        }
        sl_dedupe_cut_end(r->store, c, status == SL_OK);
        sl_dedupe_release(r->store, START);
    }
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    for (uint64_t n = 1;; n++) {
        rig r = begin(SL_DAY_US, 25);
        sl_memory_fail_at(n);
        all_of_it(&r);
        bool over = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        sl_dedupe_close(r.store);
        open_at(&r, UINT64_MAX);
        end(&r);
        if (over)
            break;
    }
    for (uint64_t n = 1;; n++) {
        rig r = stored(190);
        sl_memory_fail_at(n);
        sl_status status =
            sl_dedupe_open(&r.options, r.record.bytes, r.record.length, UINT64_MAX, &r.store, &r.error);
        bool over = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_true(status == SL_OK || (status == SL_ENOMEM && r.store == NULL));
        sl_dedupe_close(r.store);
        r.store = NULL;
        assert_false(noticed(&r, 190));
        end(&r);
        if (over)
            break;
    }
}

/* --- threads --- */

typedef struct hand_over {
    _Atomic(void *) order, result;
    _Atomic bool stop;
    bool cuts; /* Else work. */
    sl_buffer record;
} hand_over;

static void *servant(void *context) {
    hand_over *h = context;
    sl_error error;
    while (!atomic_load_explicit(&h->stop, memory_order_acquire)) {
        void *order = atomic_exchange_explicit(&h->order, NULL, memory_order_acquire);
        if (order == NULL)
            continue;
        if (h->cuts) {
            sl_buffer_clear(&h->record);
            if (sl_dedupe_cut_write(order, &h->record, &error) != SL_OK)
                abort();
        } else {
            while (sl_dedupe_work_run(order, &error) == SL_EAGAIN)
                ;
        }
        atomic_store_explicit(&h->result, order, memory_order_release);
    }
    return NULL;
}

static void others_write_while_the_owner_judges(void **state) {
    (void)state;
    rig r = begin(SL_DAY_US, 500);
    static hand_over worker, cutter = {.cuts = true};
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, servant, &worker), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, servant, &cutter), 0);
    bool working = false, cutting = false;
    for (uint32_t i = 0; i < 40000;) {
        uint8_t verdict;
        uint32_t id = i % 5 == 4 ? i / 2 - i / 2 % 5 : i;
        sl_status status = try_judge(&r, event(id, 100 * (uint64_t)i, i / 10, i / 10), &verdict);
        assert_true(status == SL_OK || status == SL_EFULL);
        if (status == SL_OK) {
            assert_int_equal(verdict, id == i ? SL_VERDICT_KEEP : SL_VERDICT_DUPLICATE);
            i++;
        }
        void *back = atomic_exchange_explicit(&worker.result, NULL, memory_order_acquire);
        if (back != NULL) {
            sl_dedupe_work_done(r.store, back);
            working = false;
        }
        if (!working && (back = sl_dedupe_work_next(r.store)) != NULL) {
            working = true;
            atomic_store_explicit(&worker.order, back, memory_order_release);
        }
        back = atomic_exchange_explicit(&cutter.result, NULL, memory_order_acquire);
        if (back != NULL) {
            sl_dedupe_cut_end(r.store, back, true);
            cutting = false;
        }
        if (!cutting && i % 300 == 7 && (back = sl_dedupe_cut_begin(r.store)) != NULL) {
            cutting = true;
            atomic_store_explicit(&cutter.order, back, memory_order_release);
        }
    }
    void *back;
    while (working && (back = atomic_exchange_explicit(&worker.result, NULL, memory_order_acquire)) == NULL)
        ;
    if (working)
        sl_dedupe_work_done(r.store, back);
    while (cutting && (back = atomic_exchange_explicit(&cutter.result, NULL, memory_order_acquire)) == NULL)
        ;
    if (cutting)
        sl_dedupe_cut_end(r.store, back, true);
    atomic_store_explicit(&worker.stop, true, memory_order_release);
    atomic_store_explicit(&cutter.stop, true, memory_order_release);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    sl_buffer_fini(&cutter.record);
    end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_id_at_a_higher_position_is_a_duplicate),
        cmocka_unit_test(position_judged_again_is_no_duplicate_of_itself),
        cmocka_unit_test(duplicates_within_one_batch_are_found),
        cmocka_unit_test(event_older_than_the_horizon_is_late_and_claims_nothing),
        cmocka_unit_test(claim_counts_until_the_watermark_is_a_horizon_ahead),
        cmocka_unit_test(without_a_watermark_nothing_is_late),
        cmocka_unit_test(claims_far_apart_keep_their_times_and_positions),
        cmocka_unit_test(keys_with_the_same_first_half_are_told_apart),
        cmocka_unit_test(horizon_has_to_be_above_zero),
        cmocka_unit_test(claims_are_found_in_files),
        cmocka_unit_test(slices_have_few_files_whatever_came),
        cmocka_unit_test(claims_older_than_the_slowest_cursor_needs_are_let_go),
        cmocka_unit_test(what_a_committed_cut_has_is_there_after_a_crash),
        cmocka_unit_test(claims_from_resume_on_are_forgotten),
        cmocka_unit_test(rewind_forgets_what_follows),
        cmocka_unit_test(rewind_while_work_is_out_holds_for_its_result),
        cmocka_unit_test(forgotten_claims_are_not_written),
        cmocka_unit_test(record_names_files_that_a_crash_leaves),
        cmocka_unit_test(files_that_no_record_names_are_removed),
        cmocka_unit_test(cuts_may_overlap),
        cmocka_unit_test(cut_that_cannot_be_written_is_tried_again),
        cmocka_unit_test(full_disk_holds_up_judging_and_changes_no_verdict),
        cmocka_unit_test(filters_give_way_to_memory_and_come_back),
        cmocka_unit_test(without_any_memory_the_store_goes_on),
        cmocka_unit_test(damaged_file_never_gives_a_wrong_verdict),
        cmocka_unit_test(missing_or_torn_file_is_named),
        cmocka_unit_test(damaged_record_is_noticed),
        cmocka_unit_test(file_check_accepts_what_was_written),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(others_write_while_the_owner_judges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
