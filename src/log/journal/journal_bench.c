/** @file journal_bench.c
 * What a group costs: journal_bench DIRECTORY [groups [records [bytes]]]. Prints CPU per record and
 * the wall time of write and sync; not part of the default build, not a test.
 */
#include "sluice/io_files.h"
#include "sluice/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(clockid_t clock) {
    struct timespec t = {0};
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    unsigned long groups = argc > 2 ? strtoul(argv[2], NULL, 10) : 500;
    unsigned long records = argc > 3 ? strtoul(argv[3], NULL, 10) : 3000;
    unsigned long length = argc > 4 ? strtoul(argv[4], NULL, 10) : 350;
    const sl_journal_options options = {.quota_bytes = UINT64_C(1) << 30, .sync = true};
    static char body[1 << 20];
    sl_journal *journal;
    sl_journal_recovery recovery;
    sl_error error = {0};
    if (argc < 2 || length > sizeof body ||
        sl_journal_open(sl_files_system(), argv[1], &options, 0, &journal, &recovery, &error)) {
        fprintf(stderr, "journal_bench DIRECTORY [groups [records [bytes]]] %s\n", error.text);
        return 64;
    }
    memset(body, 'x', sizeof body);
    sl_group *group = sl_group_create(records * (length + 64) + SL_BLOCK, NULL);
    const sl_journal_input input = {
        .stream = "", .source = "http", .body = body, .source_length = 4, .length = (uint32_t)length};
    while (sl_journal_prepare(journal, NULL) == SL_EAGAIN)
        continue;
    double cpu = seconds(CLOCK_THREAD_CPUTIME_ID), wall = 0;
    for (unsigned long i = 0; group && i < groups; i++) {
        sl_group_reset(group);
        for (unsigned long k = 0; k < records; k++)
            if (sl_group_add(group, &input))
                return 1;
        double start = seconds(CLOCK_MONOTONIC);
        if (sl_journal_write(journal, group, &error)) {
            fprintf(stderr, "%s\n", error.text);
            return 1;
        }
        wall += seconds(CLOCK_MONOTONIC) - start;
        sl_journal_trim(journal, group->next);
    }
    cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    double count = (double)groups * (double)records;
    printf("records=%.0f cpu_ns_per_record=%.1f write_ms_per_group=%.3f mb_per_s=%.0f\n", count,
           cpu * 1e9 / count, wall * 1e3 / (double)groups, count * (double)length / wall / 1e6);
    sl_group_destroy(group);
    sl_journal_close(journal);
    return 0;
}
