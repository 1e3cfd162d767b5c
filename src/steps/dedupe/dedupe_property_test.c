/* Whatever happens to a store, each position has the verdict that a naive model gave it once: rewinds, slow cursors, cuts that fail,
 * a full or failing disk, crashes between any two steps, other configurations, little memory. DEDUPE_SEEDS=n runs more seeds,
 * DEDUPE_FIRST=n begins with another. */
#include "sluice/dedupe.h"

#include "fake_disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { EVENTS = 6000, BATCH = 500, CUTS = 3, IDS = EVENTS + 1 };

static uint64_t random_state;
static uint64_t next_random(void) {
    uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}
static uint32_t pick(uint32_t below) { return (uint32_t)(next_random() >> 33) % below; }
static bool once_in(uint32_t n) { return pick(n) == 0; }

/* --- the log, and what is right --- */

typedef struct entry {
    uint32_t id;
    bool given; /* Not refused by a step before. */
    uint64_t position;
    int64_t time_us, arrival_us, watermark_us;
    sl_verdict right;
} entry;

typedef struct world {
    int64_t horizon_us;
    uint32_t ids, usual_step_ms;
    entry log[EVENTS];
} world;

static sl_hash128 key_of(uint32_t id) {
    sl_hash128 key = sl_hash128_of(&id, sizeof id);
    if (id % 16 == 1) { /* Same first 64 bits as its neighbour. */
        uint32_t other = id - 1;
        key.high = sl_hash128_of(&other, sizeof other).high;
    }
    if (id % 16 == 2) /* Many in one bucket. */
        key.high = key.high >> 12 | UINT64_C(0xabc) << 52;
    return key;
}

static void make_entry(world *w, uint32_t i) {
    entry *e = &w->log[i];
    const entry *before = i != 0 ? e - 1 : NULL;
    int64_t step = once_in(200) ? (int64_t)(next_random() % (uint64_t)w->horizon_us) / 2
                                : (int64_t)pick(w->usual_step_ms) * 1000;
    *e = (entry){.position = (before != NULL ? before->position : 1000) + 1 + pick(300),
                 .arrival_us = (before != NULL ? before->arrival_us : 1700000000 * SL_SECOND_US) + step,
                 .given = !once_in(10)};
    int64_t time = e->arrival_us;
    if (once_in(3))
        time -= (int64_t)(next_random() % (uint64_t)w->horizon_us) * (once_in(5) ? 2 : 1);
    if (once_in(100))
        time += 50 * 365 * SL_DAY_US;
    if (i == 0 || once_in(3)) {
        e->id = w->ids++;
    } else {
        uint32_t back = 1 + (once_in(2) ? pick(50) : pick(i));
        const entry *old = &w->log[back < i ? i - back : 0];
        e->id = old->id;
        if (once_in(2))
            time = old->time_us; /* Sent again as it was. */
    }
    e->time_us = time < e->arrival_us ? time : e->arrival_us;
    e->watermark_us = before == NULL                            ? SL_NO_TIME
                      : before->time_us > before->watermark_us ? before->time_us
                                                                 : before->watermark_us;
}

/* The rule of dedupe.h, word by word, over the whole log. */
static void judge_naively(world *w) {
    static int32_t head[IDS], older[EVENTS];
    memset(head, -1, sizeof head);
    for (int32_t i = 0; i < EVENTS; i++) {
        entry *e = &w->log[i];
        int64_t floor = e->watermark_us == SL_NO_TIME ? INT64_MIN : e->watermark_us - w->horizon_us;
        e->right = e->time_us < floor ? SL_VERDICT_LATE : SL_VERDICT_KEEP;
        if (!e->given)
            continue;
        for (int32_t k = head[e->id]; k >= 0 && e->right == SL_VERDICT_KEEP; k = older[k])
            if (w->log[k].time_us >= floor)
                e->right = SL_VERDICT_DUPLICATE;
        if (e->right == SL_VERDICT_KEEP) {
            older[i] = head[e->id];
            head[e->id] = i;
        }
    }
}

static void make_log(world *w, uint32_t from) {
    w->ids = 0;
    for (uint32_t i = 0; i < from; i++)
        w->ids = w->log[i].id >= w->ids ? w->log[i].id + 1 : w->ids;
    for (uint32_t i = from; i < EVENTS; i++)
        make_entry(w, i);
    judge_naively(w);
}

/* --- who uses the store --- */

typedef struct open_cut {
    sl_dedupe_cut *cut;
    uint32_t at; /* Everything before it is judged. */
} open_cut;

typedef struct user {
    world w;
    uint64_t seed;
    fake_disk *disk;
    sl_dedupe *store;
    sl_dedupe_options options;
    sl_budget budget;
    sl_buffer record; /* What the ledger has. */
    uint32_t cursor;  /* Slowest of the ledger. */
    uint32_t at;      /* Next to judge. */
    open_cut cuts[CUTS];
    uint32_t cut_count;
    uint64_t judged, duplicates, full, failures, crashes, rewinds;
    sl_dedupe_stats last;
} user;

static void fail_here(const user *u, const char *what, const sl_error *error) {
    print_message("seed %" PRIu64 ": %s: %s\n", u->seed, what, error != NULL ? error->text : "");
    fail();
}

static bool may_happen(sl_status status) {
    return status == SL_EIO || status == SL_ENOSPC || status == SL_EFULL || status == SL_ENOMEM;
}

static void calm(user *u) {
    fake_disk_set_capacity(u->disk, 0);
    for (int k = 0; k < FAKE_DISK_OPERATIONS; k++) {
        fake_disk_fail(u->disk, k, 0, SL_EIO);
        fake_disk_fail_often(u->disk, k, 0);
    }
}

/* The lowest position that will be judged from this event on, whatever it will be by then. */
static uint64_t place(const user *u, uint32_t at) { return at != 0 ? u->w.log[at - 1].position + 1 : 0; }

static void open_store(user *u) {
    sl_error error = {0};
    uint64_t resume = place(u, u->cursor);
    sl_status status = sl_dedupe_open(&u->options, u->record.bytes, u->record.length, resume,
                                      &u->store, &error);
    if (status == SL_EIO || status == SL_ENOSPC) {
        calm(u);
        status = sl_dedupe_open(&u->options, u->record.bytes, u->record.length, resume, &u->store,
                                &error);
    }
    if (status != SL_OK)
        fail_here(u, "open", &error);
    u->at = u->cursor;
}

static void judge(user *u) {
    static sl_dedupe_event events[BATCH];
    static uint8_t verdict[BATCH];
    static uint32_t index[BATCH];
    uint32_t count = 0, end = u->at + 1 + pick(BATCH), done = 0;
    sl_error error = {0};
    for (; u->at < end && u->at < EVENTS; u->at++) {
        const entry *e = &u->w.log[u->at];
        if (!e->given)
            continue;
        index[count] = u->at;
        events[count] = (sl_dedupe_event){key_of(e->id), e->position, e->time_us, e->watermark_us,
                                          BATCH - 1 - count};
        count++;
    }
    memset(verdict, 0xff, sizeof verdict);
    sl_status status = sl_dedupe_judge(u->store, events, count, verdict, &done, &error);
    if (status != SL_OK && !may_happen(status))
        fail_here(u, "judge", &error);
    if (status == SL_OK && done != count)
        fail_here(u, "not all were judged", NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t is = verdict[events[i].row];
        if (i >= done ? is != 0xff : is != u->w.log[index[i]].right) {
            print_message("seed %" PRIu64 ": event %u of id %u is %d, not %d\n", u->seed, index[i],
                          u->w.log[index[i]].id, is, u->w.log[index[i]].right);
            fail();
        }
        u->duplicates += i < done && is == SL_VERDICT_DUPLICATE;
    }
    u->judged += done;
    u->full += status == SL_EFULL;
    u->failures += status != SL_OK && status != SL_EFULL;
    if (done < count)
        u->at = index[done];
}

static void work(user *u) {
    sl_error error = {0};
    sl_dedupe_work *w = sl_dedupe_work_next(u->store);
    if (w == NULL)
        return;
    sl_status status = SL_EAGAIN;
    for (uint32_t n = 1 + pick(once_in(3) ? 1 : 100000); n != 0 && status == SL_EAGAIN; n--) {
        status = sl_dedupe_work_run(w, &error);
        if (once_in(20)) {
            judge(u); /* While it is out. */
            if (once_in(4))
                sl_dedupe_release(u->store, u->w.log[u->cursor].watermark_us);
        }
    }
    if (status != SL_OK && status != SL_EAGAIN && !may_happen(status))
        fail_here(u, "work", &error);
    u->failures += status != SL_OK && status != SL_EAGAIN;
    sl_dedupe_work_done(u->store, w);
}

static void cut_end(user *u) {
    if (u->cut_count == 0)
        return;
    open_cut c = u->cuts[0];
    sl_buffer record = SL_BUFFER_EMPTY;
    sl_error error = {0};
    sl_status status = SL_ENOSPC;
    for (uint32_t tries = 1 + pick(3); tries != 0 && status != SL_OK; tries--) {
        sl_buffer_clear(&record);
        status = sl_dedupe_cut_write(c.cut, &record, &error);
    }
    if (status != SL_OK && !may_happen(status))
        fail_here(u, "cut", &error);
    u->failures += status != SL_OK;
    bool committed = status == SL_OK && !once_in(5);
    if (committed) {
        sl_buffer_fini(&u->record);
        u->record = record;
        /* The slowest table moves to some place between. */
        uint32_t to = c.at > u->cursor && once_in(3) ? u->cursor + pick(c.at - u->cursor + 1) : c.at;
        to = to > u->at ? u->at : to; /* Whoever made the stream rewind has its cursor below. */
        u->cursor = once_in(4) || to < u->cursor ? u->cursor : to;
        if (u->cursor == EVENTS)
            u->cursor--;
    } else {
        sl_buffer_fini(&record);
    }
    sl_dedupe_cut_end(u->store, c.cut, committed);
    memmove(u->cuts, u->cuts + 1, (CUTS - 1) * sizeof *u->cuts);
    u->cut_count--;
    if (committed && !once_in(3))
        sl_dedupe_release(u->store, u->w.log[u->cursor].watermark_us);
}

static void cut_begin(user *u) {
    if (u->cut_count == CUTS || u->at < u->cursor)
        return;
    sl_dedupe_cut *c = sl_dedupe_cut_begin(u->store);
    if (c != NULL)
        u->cuts[u->cut_count++] = (open_cut){c, u->at};
}

static void stop(user *u) {
    while (u->cut_count != 0)
        sl_dedupe_cut_end(u->store, u->cuts[--u->cut_count].cut, false);
    sl_dedupe_close(u->store);
    u->store = NULL;
}

static void restart(user *u, bool crash) {
    if (crash)
        fake_disk_crash(u->disk, next_random());
    stop(u);
    calm(u);
    if (once_in(3)) /* With another configuration. */
        make_log(&u->w, u->cursor);
    open_store(u);
    u->crashes += crash;
}

static void rewind_some(user *u) {
    u->rewinds++;
    if (u->cut_count == 0 && once_in(5)) {
        uint32_t reached = u->at;
        u->at = u->cursor + (reached > u->cursor ? pick(reached - u->cursor) : 0);
        sl_dedupe_rewind(u->store, place(u, u->at));
        make_log(&u->w, u->at);
    } else if (u->at > u->cursor) {
        u->at = u->cursor + pick(u->at - u->cursor);
    }
}

static void disturb(user *u) {
    switch (pick(4)) {
    case 0:
        fake_disk_fail_often(u->disk, (fake_disk_operation)pick(FAKE_DISK_OPERATIONS), 1 + pick(100));
        break;
    case 1:
        fake_disk_set_capacity(u->disk, fake_disk_used(u->disk) + 1 + pick(50000));
        break;
    default:
        calm(u);
    }
}

static void step(user *u) {
    switch (pick(24)) {
    default:
        judge(u);
        break;
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        work(u);
        break;
    case 6:
    case 7:
        cut_begin(u);
        break;
    case 8:
    case 9:
    case 10:
        cut_end(u);
        break;
    case 11:
        if (once_in(4))
            rewind_some(u);
        break;
    case 12:
        if (once_in(8))
            restart(u, once_in(2));
        break;
    case 13:
        if (once_in(3))
            disturb(u);
        break;
    case 14:
        if (once_in(2))
            sl_dedupe_release(u->store, u->w.log[u->cursor].watermark_us);
        break;
    }
}

static void begin(user *u, uint64_t seed) {
    memset(u, 0, sizeof *u);
    u->seed = random_state = seed;
    static const int64_t horizons[] = {10 * SL_SECOND_US, 10 * SL_MINUTE_US, SL_HOUR_US, 2 * SL_DAY_US};
    u->w.horizon_us = horizons[pick(4)];
    u->w.usual_step_ms = 1 + pick(2000);
    make_log(&u->w, 0);
    u->disk = fake_disk_create(seed);
    fake_disk_guard(u->disk, "keys");
    static const uint64_t memories[] = {0, 0, 100000, 300000};
    sl_budget_init(&u->budget, once_in(4) ? 200000 : UINT64_MAX);
    u->options = (sl_dedupe_options){.files = fake_disk_files(u->disk),
                                     .directory = "keys",
                                     .horizon_us = u->w.horizon_us,
                                     .memory_bytes = memories[pick(4)],
                                     .budget = &u->budget,
                                     .run_claims = 16 + pick(500),
                                     .slice_claims = 100 + pick(5000)};
    open_store(u);
}

static void finish(user *u) {
    calm(u);
    stop(u);
    if (sl_budget_used(&u->budget) != 0)
        fail_here(u, "memory is still counted", NULL);
    sl_buffer_fini(&u->record);
    fake_disk_destroy(u->disk);
}

static void live(user *u, uint64_t seed) {
    begin(u, seed);
    for (uint32_t steps = 0; u->at < EVENTS || u->cursor < EVENTS - 1; steps++) {
        if (steps > 20000)
            fail_here(u, "no progress", NULL);
        if (steps == 4000)
            calm(u);
        step(u);
        if (steps > 4000 && steps % 3 == 0)
            work(u);
    }
    const char *broken = fake_disk_violation(u->disk);
    if (broken != NULL)
        fail_here(u, broken, NULL);
    sl_dedupe_stats_get(u->store, &u->last);
    finish(u);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void each_position_has_one_verdict(void **state) {
    (void)state;
    static user u;
    uint64_t first = number_from("DEDUPE_FIRST", 1), seeds = number_from("DEDUPE_SEEDS", 30);
    uint64_t judged = 0, duplicates = 0, crashes = 0, failures = 0, full = 0, rewinds = 0, reads = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        live(&u, seed);
        judged += u.judged;
        duplicates += u.duplicates;
        crashes += u.crashes;
        failures += u.failures;
        full += u.full;
        rewinds += u.rewinds;
        reads += u.last.reads;
    }
    print_message("%" PRIu64 " verdicts, %" PRIu64 " duplicates, %" PRIu64 " crashes, %" PRIu64
                  " failures, %" PRIu64 " times full, %" PRIu64 " rewinds, %" PRIu64 " reads\n",
                  judged, duplicates, crashes, failures, full, rewinds, reads);
    assert_true(duplicates != 0 && crashes != 0 && failures != 0 && full != 0 && rewinds != 0 && reads != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_position_has_one_verdict)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
