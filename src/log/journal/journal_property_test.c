/** @file journal_property_test.c
 * Thousands of random lives of a journal on a fake disk: writes, syncs that fail, full disks,
 * crashes at any operation, recycling, trims. After each of them
 *   - every acknowledged group reads back exactly, at its offset, in order;
 *   - a group that was not acknowledged is absent, or whole and last when a power failure left it; a start without one
 *     never finds it;
 *   - once a later group is acknowledged, one that failed before is absent for good;
 *   - no synced block was written again and no file synced after a failed sync (the disk's guard);
 *   - nothing is quarantined.
 * SLUICE_SEEDS sets the number of lives, SLUICE_SEED runs a single one.
 */
#include "fake_disk.h"
#include "sluice/journal.h"
#include "sluice/memory.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One thread, so ThreadSanitizer adds nothing but time; the other sanitizers see all there is in fewer. */
#if defined(__SANITIZE_THREAD__)
enum { SEEDS = 50 };
#elif defined(__SANITIZE_ADDRESS__)
enum { SEEDS = 500 };
#else
enum { SEEDS = 2000 };
#endif

#define SEGMENT (16u * SL_BLOCK)
#define GROUPS_MAX 512u
#define RECORDS_MAX 5u

typedef struct known {
    uint64_t id, offset, next;
} known;

typedef struct life {
    uint64_t seed, state;
    fake_disk *disk;
    sl_journal *journal;
    sl_group *group;
    known acknowledged[GROUPS_MAX];
    size_t count;
    uint64_t maybe[GROUPS_MAX]; /* Failed or cut off, and nothing acknowledged since. */
    size_t maybe_count;
    uint64_t next_id, cursor;
    char identity[33];
} life;

/* What all lives together saw: a test that never meets a case proves nothing about it. */
static struct {
    uint64_t writes, failed, full, crashes, found, cut, trimmed, sealed, voided;
} seen;

#define check(l, truth)                                                                            \
    do {                                                                                           \
        if (!(truth))                                                                              \
            fail_msg("seed %" PRIu64 ", line %d: %s", (l)->seed, __LINE__, #truth);                \
    } while (0)

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(life *l, uint64_t limit) {
    return mix(l->state += UINT64_C(0x9e3779b97f4a7c15)) % limit;
}

/* The content of a group follows from its id alone. */
static uint32_t record_count(uint64_t id) { return 1 + (uint32_t)(mix(id) % RECORDS_MAX); }

static uint32_t body_length(uint64_t id, uint32_t index) {
    uint64_t h = mix(id * 31 + index + 1);
    switch (h % 16) {
    case 0:
        return (uint32_t)(h >> 8) % 30000;
    case 1:
        return record_count(id) == 1 ? 70000 : 9; /* Larger than a segment. */
    case 2:
    case 3:
    case 4:
        return (uint32_t)(h >> 8) % 6000;
    default:
        return (uint32_t)(h >> 8) % 300;
    }
}

static void fill_body(uint64_t id, uint32_t index, uint8_t *to, uint32_t length) {
    for (uint32_t i = 0; i < length; i++)
        to[i] = (uint8_t)(mix(id + index * 7919u + i / 64u) >> (i % 8));
}

static uint8_t scratch[70000];

static sl_journal_input input_of(uint64_t id, uint32_t index) {
    sl_journal_input input = {.stream = "orders",
                              .source = "http",
                              .key = "key-0123",
                              .body = scratch,
                              .stream_length = 6 * (uint32_t)(id % 2),
                              .source_length = 4,
                              .key_length = (uint32_t)(id % 9),
                              .length = body_length(id, index),
                              .arrival_us = (int64_t)(id * 1000 + index),
                              .format = {(uint8_t)(id % 2), (uint8_t)(index % 3), (uint8_t)(id % 200)}};
    fill_body(id, index, scratch, input.length);
    return input;
}

static bool holds(const sl_group *group, uint64_t id) {
    if (group->count != record_count(id))
        return false;
    for (uint32_t i = 0; i < group->count; i++) {
        const sl_journal_record *r = &group->records[i];
        sl_journal_input in = input_of(id, i);
        if (r->damaged || r->arrival_us != in.arrival_us || r->length != in.length ||
            r->stream_length != in.stream_length || r->source_length != in.source_length ||
            r->key_length != in.key_length || memcmp(&r->format, &in.format, sizeof r->format) != 0 ||
            memcmp(group->bytes + r->body, in.body, in.length) != 0 ||
            memcmp(group->bytes + r->stream, in.stream, in.stream_length) != 0 ||
            memcmp(group->bytes + r->source, in.source, in.source_length) != 0 ||
            memcmp(group->bytes + r->key, in.key, in.key_length) != 0)
            return false;
    }
    return true;
}

/** Read all from the cursor on. `crashed`: a start after a power failure may have found what was not acknowledged. */
static void verify(life *l, bool crashed) {
    size_t at = 0;
    uint64_t offset = l->cursor, quarantined = 0;
    while (at < l->count && l->acknowledged[at].offset < offset)
        at++;
    for (;;) {
        sl_error error = {0};
        sl_status status = sl_journal_read(l->journal, offset, l->group, &quarantined, &error);
        if (status == SL_ENOTFOUND)
            break;
        if (status)
            fail_msg("seed %" PRIu64 ": %s", l->seed, error.text);
        check(l, l->group->offset >= offset);
        if (at < l->count) {
            check(l, l->group->offset == l->acknowledged[at].offset);
            check(l, l->group->next == l->acknowledged[at].next);
            check(l, holds(l->group, l->acknowledged[at].id));
        } else {
            check(l, crashed);
            size_t i = 0;
            while (i < l->maybe_count && !holds(l->group, l->maybe[i]))
                i++;
            check(l, i < l->maybe_count);
            check(l, l->count < GROUPS_MAX);
            l->acknowledged[l->count++] =
                (known){l->maybe[i], l->group->offset, l->group->next};
            l->maybe[i] = l->maybe[--l->maybe_count];
            seen.found++;
        }
        at++;
        offset = l->group->next;
    }
    check(l, at == l->count);
    check(l, quarantined == 0);
    check(l, sl_journal_end(l->journal) >= offset);
    check(l, !fake_disk_violation(l->disk));
    if (crashed) /* What isn't there now was lost for good. */
        l->maybe_count = 0;
}

static void clear_faults(life *l) {
    for (unsigned i = 0; i < FAKE_DISK_OPERATIONS; i++) {
        fake_disk_fail(l->disk, (fake_disk_operation)i, 0, SL_OK);
        fake_disk_fail_often(l->disk, (fake_disk_operation)i, 0);
    }
    fake_disk_set_capacity(l->disk, 0);
    fake_disk_stop_at(l->disk, 0);
}

static sl_status try_open(life *l) {
    const sl_journal_options options = {
        .quota_bytes = 12 * SEGMENT, .segment_bytes = SEGMENT, .sync = true};
    sl_journal_recovery recovery;
    sl_error error = {0};
    sl_status status = sl_journal_open(fake_disk_files(l->disk), "data/journal", &options,
                                       l->cursor, &l->journal, &recovery, &error);
    if (status == SL_ECORRUPT)
        fail_msg("seed %" PRIu64 ": %s", l->seed, error.text);
    if (status == SL_OK)
        seen.cut += recovery.groups_cut;
    return status;
}

/** Close (or be killed), lose power maybe, open again: with faults first, then without. */
static void restart(life *l, bool crash) {
    bool killed = below(l, 2) == 0;
    if (killed)
        fake_disk_process(l->disk, true); /* What close() would still do isn't done. */
    /* What the disk wouldn't have written over may be there until a power failure tells. */
    if (l->journal && sl_journal_unvoided(l->journal))
        crash = true;
    sl_journal_close(l->journal);
    l->journal = NULL;
    clear_faults(l);
    for (unsigned tries = 0;; tries++) {
        if (crash || tries) {
            fake_disk_crash(l->disk, below(l, UINT64_MAX));
            seen.crashes++;
            crash = true;
        } else {
            fake_disk_process(l->disk, false);
        }
        if (tries < 2 && below(l, 4) == 0)
            fake_disk_stop_at(l->disk, 1 + below(l, 20));
        else if (tries < 2 && below(l, 4) == 0)
            fake_disk_fail(l->disk, (fake_disk_operation)below(l, FAKE_DISK_OPERATIONS),
                           1 + below(l, 3), SL_EIO);
        sl_status status = try_open(l);
        clear_faults(l);
        check(l, !fake_disk_violation(l->disk));
        if (status == SL_OK && !fake_disk_stopped(l->disk))
            break;
        check(l, tries < 3);
        sl_journal_close(l->journal);
        l->journal = NULL;
    }
    check(l, !l->identity[0] || !strcmp(l->identity, sl_journal_identity(l->journal)));
    (void)snprintf(l->identity, sizeof l->identity, "%s", sl_journal_identity(l->journal));
    if (!crash)
        seen.voided += l->maybe_count; /* What was refused stays away, until a power failure. */
    verify(l, crash);
}

/** The file of a group: the one with the largest base not above its offset. */
static sl_status find_base(void *context, const sl_file_entry *entry) {
    uint64_t *best = context, base = strtoull(entry->name, NULL, 10);
    if (entry->name[0] != 's' && base <= best[0] && base >= best[1])
        best[1] = base;
    return SL_OK;
}

/** The disk watches that what was acknowledged is durable and never written again. */
static void protect(life *l, const sl_group *group) {
    uint64_t best[2] = {group->offset, 0};
    char path[64];
    sl_files *files = fake_disk_files(l->disk);
    check(l, files->list(files, "data/journal", find_base, best, NULL) == SL_OK);
    (void)snprintf(path, sizeof path, "data/journal/%020" PRIu64 ".journal", best[1]);
    fake_disk_protect(l->disk, path, SL_BLOCK + group->offset - best[1], group->length);
}

static sl_status write_group(life *l) {
    uint64_t id = l->next_id++;
    sl_group_reset(l->group);
    for (uint32_t i = 0; i < record_count(id); i++) {
        sl_journal_input input = input_of(id, i);
        sl_status status = sl_group_add(l->group, &input);
        check(l, status == SL_OK);
    }
    uint64_t end = sl_journal_end(l->journal);
    sl_status status = sl_journal_write(l->journal, l->group, NULL);
    if (status == SL_OK) {
        check(l, l->group->offset >= end && l->group->next > l->group->offset);
        check(l, sl_journal_end(l->journal) == l->group->next);
        check(l, l->count == 0 || l->group->offset >= l->acknowledged[l->count - 1].next);
        check(l, l->count < GROUPS_MAX);
        l->acknowledged[l->count++] = (known){id, l->group->offset, l->group->next};
        l->maybe_count = 0;
        seen.writes++;
        if (!fake_disk_stopped(l->disk))
            protect(l, l->group);
    } else {
        check(l, status == SL_EIO || status == SL_ENOSPC);
        check(l, l->maybe_count < GROUPS_MAX);
        l->maybe[l->maybe_count++] = id;
        seen.failed += status == SL_EIO;
        seen.full += status == SL_ENOSPC;
    }
    return status;
}

static void trim(life *l) {
    if (l->count == 0)
        return;
    size_t i = below(l, l->count);
    if (l->acknowledged[i].next > l->cursor)
        l->cursor = l->acknowledged[i].next;
    uint64_t begin = sl_journal_begin(l->journal);
    sl_journal_trim(l->journal, l->cursor);
    check(l, sl_journal_begin(l->journal) <= l->cursor);
    seen.trimmed += sl_journal_begin(l->journal) > begin;
}

static void disturb(life *l) {
    uint64_t which = below(l, 8);
    if (which < 3)
        fake_disk_fail(l->disk, FAKE_DISK_SYNC, 1 + below(l, 4), SL_EIO);
    else if (which == 3)
        fake_disk_fail(l->disk, FAKE_DISK_WRITE, 1 + below(l, 6),
                       below(l, 2) ? SL_EIO : SL_ENOSPC);
    else if (which == 4)
        fake_disk_set_capacity(l->disk, fake_disk_used(l->disk) + SL_BLOCK * below(l, 30));
    else if (which == 5)
        fake_disk_fail(l->disk, (fake_disk_operation)below(l, FAKE_DISK_OPERATIONS),
                       1 + below(l, 3), SL_EIO);
    else if (which == 6)
        fake_disk_fail_often(l->disk, below(l, 2) ? FAKE_DISK_SYNC : FAKE_DISK_WRITE, 300);
    else
        clear_faults(l);
}

static void act(life *l) {
    uint64_t which = below(l, 100);
    if (below(l, 12) == 0)
        fake_disk_stop_at(l->disk, 1 + below(l, 12));
    if (which < 60)
        (void)!write_group(l);
    else if (which < 75)
        (void)!sl_journal_prepare(l->journal, NULL);
    else if (which < 85)
        trim(l);
    else if (which < 92)
        disturb(l);
    else if (which < 95)
        restart(l, false);
    else if (which < 97)
        restart(l, true);
    if (fake_disk_stopped(l->disk))
        restart(l, true);
    check(l, !fake_disk_violation(l->disk));
}

/** @return what the disk holds in the end. */
static uint64_t live(uint64_t seed) {
    life *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->seed = seed;
    l->state = mix(seed);
    l->disk = fake_disk_create(seed);
    if (below(l, 3) == 0)
        fake_disk_without_allocate(l->disk);
    fake_disk_guard(l->disk, "data/journal");
    l->group = sl_group_create(1 << 18, NULL);
    assert_non_null(l->group);
    restart(l, false);
    for (unsigned i = 0, acts = 20 + (unsigned)below(l, 120); i < acts; i++)
        act(l);
    /* When all is well again and consumed, it takes groups again, without a restart. */
    clear_faults(l);
    if (l->count) {
        l->cursor = l->acknowledged[l->count - 1].next;
        sl_journal_trim(l->journal, l->cursor);
    }
    check(l, write_group(l) == SL_OK);
    seen.sealed += sl_journal_sync_failures(l->journal);
    verify(l, false);
    restart(l, true);
    sl_journal_close(l->journal);
    uint64_t fingerprint = fake_disk_fingerprint(l->disk);
    fake_disk_destroy(l->disk);
    sl_group_destroy(l->group);
    free(l);
    return fingerprint;
}

static uint64_t number(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void acknowledged_groups_survive_every_life(void **state) {
    (void)state;
    if (getenv("SLUICE_SEED")) {
        (void)live(number("SLUICE_SEED", 0));
        return;
    }
    for (uint64_t seed = 1, seeds = number("SLUICE_SEEDS", SEEDS); seed <= seeds; seed++)
        (void)live(seed);
    print_message("writes=%" PRIu64 " failed=%" PRIu64 " full=%" PRIu64 " crashes=%" PRIu64
                  " found=%" PRIu64 " cut=%" PRIu64 " trims=%" PRIu64 " sealed=%" PRIu64
                  " voided=%" PRIu64 "\n",
                  seen.writes, seen.failed, seen.full, seen.crashes, seen.found, seen.cut,
                  seen.trimmed, seen.sealed, seen.voided);
    if (number("SLUICE_SEEDS", 2000) >= 1000)
        assert_true(seen.failed && seen.full && seen.crashes && seen.found && seen.cut &&
                    seen.trimmed && seen.sealed && seen.voided);
}

static void same_seed_leaves_the_same_bytes(void **state) {
    (void)state;
    for (uint64_t seed = 100; seed < 120; seed++)
        assert_int_equal(live(seed), live(seed));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_groups_survive_every_life),
        cmocka_unit_test(same_seed_leaves_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
