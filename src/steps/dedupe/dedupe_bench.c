/* dedupe_bench KEYS [DIRECTORY]: what an event costs when KEYS keys lie within the horizon.
 * CPU time of the process, the kernel's part included: judging, cuts (one per million events) and work, all on one thread.
 * First KEYS events with new keys; the last tenth of them is what "new keys" says. Then events whose keys were kept before, anywhere in
 * the horizon; then a mix: one in a hundred is a repetition of one of the last million. */
#include "sluice/dedupe.h"
#include "sluice/io_files.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 4096, CUT_EVERY = 1 << 20 };

typedef struct bench {
    sl_dedupe *store;
    uint64_t events, keys, duplicates;
    double judge, cut, work;
    uint64_t random;
} bench;

static double cpu_s(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(sl_status status, const sl_error *error) {
    if (status != SL_OK) {
        (void)fprintf(stderr, "dedupe_bench: %s\n", error->text);
        exit(1);
    }
}

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void work(bench *b, bool all) {
    double begin = cpu_s();
    sl_dedupe_work *w;
    sl_error error;
    for (unsigned i = 0; (all || i < 2) && (w = sl_dedupe_work_next(b->store)) != NULL; i++) {
        sl_status status = sl_dedupe_work_run(w, &error);
        while (status == SL_EAGAIN && (all || i == 0))
            status = sl_dedupe_work_run(w, &error);
        if (status != SL_EAGAIN)
            must(status, &error);
        sl_dedupe_work_done(b->store, w);
    }
    b->work += cpu_s() - begin;
}

static void cut(bench *b) {
    double begin = cpu_s();
    sl_error error;
    sl_buffer record = SL_BUFFER_EMPTY;
    sl_dedupe_cut *c = sl_dedupe_cut_begin(b->store);
    must(sl_dedupe_cut_write(c, &record, &error), &error);
    sl_dedupe_cut_end(b->store, c, true);
    sl_buffer_fini(&record);
    b->cut += cpu_s() - begin;
}

typedef uint64_t choose_fn(bench *b);
static uint64_t new_key(bench *b) { return b->keys++; }
static uint64_t any_key(bench *b) { return mix(b->random++) % b->keys; }
static uint64_t mixed_key(bench *b) {
    uint64_t r = mix(b->random++), back = b->keys < 1000000 ? b->keys : 1000000;
    return r % 100 == 0 ? b->keys - 1 - (r >> 32) % back : b->keys++;
}

static uint64_t feed(bench *b, uint64_t count, choose_fn *choose) {
    static sl_dedupe_event events[BATCH];
    static uint8_t verdict[BATCH];
    sl_error error;
    uint64_t fed = 0;
    for (; fed < count; fed += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++, b->events++) {
            uint64_t key = choose(b);
            int64_t now = (int64_t)b->events * 10;
            events[i] = (sl_dedupe_event){.key = {mix(key ^ UINT64_C(0x5555555555555555)), mix(key)},
                                          .position = b->events * 500,
                                          .time_us = now,
                                          .watermark_us = now - 10,
                                          .row = i};
        }
        uint32_t at = 0, done;
        while (at < BATCH) {
            double begin = cpu_s();
            sl_status status = sl_dedupe_judge(b->store, events + at, BATCH - at, verdict, &done, &error);
            b->judge += cpu_s() - begin;
            at += done;
            if (status != SL_EFULL)
                must(status, &error);
            if (status == SL_EFULL)
                work(b, false);
        }
        work(b, false);
        for (uint32_t i = 0; i < BATCH; i++)
            b->duplicates += verdict[i] == SL_VERDICT_DUPLICATE;
        if (b->events % CUT_EVERY < BATCH)
            cut(b);
    }
    return fed;
}

static uint64_t resident_mib(const char *what) {
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, what, strlen(what)) == 0)
            (void)sscanf(line + strlen(what), ": %llu", &kib);
    if (f != NULL)
        (void)fclose(f);
    return kib / 1024;
}

static void phase(bench *b, const char *name, uint64_t count, choose_fn *choose) {
    sl_dedupe_stats before, after;
    sl_dedupe_stats_get(b->store, &before);
    b->judge = b->cut = b->work = 0;
    b->duplicates = 0;
    count = feed(b, count, choose);
    sl_dedupe_stats_get(b->store, &after);
    double n = (double)count / 1e9;
    (void)printf("%-10s %6.0f ns/event: judging %.0f, work %.0f, cuts %.0f; duplicates %.2f %%, "
                 "reads %.4f per event, in vain %.4f\n",
                 name, (b->judge + b->cut + b->work) / n, b->judge / n, b->work / n, b->cut / n,
                 100.0 * (double)b->duplicates / (double)count,
                 (double)(after.reads - before.reads) / (double)count,
                 (double)(after.reads_in_vain - before.reads_in_vain) / (double)count);
    (void)fflush(stdout);
}

int main(int argc, char **argv) {
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    (void)mallopt(M_MMAP_THRESHOLD, 2 << 20); /* As `sluice run` has it by a budget of 256 MiB. */
    sl_files *files = sl_files_system();
    sl_dedupe_options options = {.files = files,
                                 .directory = argc > 2 ? argv[2] : "dedupe_bench.keys",
                                 .horizon_us = SL_DAY_US};
    bench b = {.random = 1};
    sl_error error;
    must(sl_dedupe_open(&options, NULL, 0, 0, &b.store, &error), &error);
    uint64_t tenth = keys / 10;
    phase(&b, "filling", keys - tenth, new_key);
    phase(&b, "new keys", tenth, new_key);
    phase(&b, "mixed", tenth, mixed_key);
    phase(&b, "duplicates", tenth / 10, any_key);
    work(&b, true);
    cut(&b);
    work(&b, true);
    phase(&b, "merged: new", tenth / 10, new_key);
    sl_dedupe_stats s;
    sl_dedupe_stats_get(b.store, &s);
    (void)printf("claims %" PRIu64 ", slices %u, files %u, memory %.1f MiB (peak %.1f), disk %.1f MiB, resident %" PRIu64
                 " MiB (peak %" PRIu64 "), of it the program's own pages %" PRIu64 " MiB\n",
                 s.claims, s.slices, s.files, (double)s.memory_bytes / 1048576,
                 (double)s.memory_peak_bytes / 1048576, (double)s.disk_bytes / 1048576, resident_mib("VmRSS"),
                 resident_mib("VmHWM"), resident_mib("RssFile"));
    sl_dedupe_close(b.store);
    return 0;
}
