/* `burst`: what groups of requests hold in memory, however fast they come and however long a cut takes.
 *
 * The wired engine on a fake clock, as in `sim`, with senders that send again as soon as they are answered. Nothing crashes.
 *
 * Shown: while files are cut, which stops the pipeline for hundreds of turns, senders wait, and no groups pile up; and what a burst
 * took is given back when it is over. The budget counts both, so that no measure of the process is needed. */
#include "fake_disk.h"
#include "hand_clock.h"
#include "sqlite_files_vfs.h"

#include "sluice/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

enum {
    SENDERS = 8,
    EVENTS = 1000, /* Of a request. */
    COLUMNS = 10,  /* Texts that no dictionary makes shorter: sealing a file takes many turns. */
    BODY_BYTES = EVENTS * 340,
    CUTS = 4,
    CUT_US = 100 * 1000,
    SPARE_US = 30 * 1000 * 1000,
    STEADY_MIB = 50,
    BURST_MIB = 60,
    AFTER_MIB = 16,
};

static void fail(const char *what, uint64_t mib) {
    (void)fprintf(stderr, "burst: %s: %" PRIu64 " MiB\n", what, mib);
    exit(1);
}

/* --- the daemon --- */

static const char configuration[] =
    "data_dir: /data\nworkers: 1\nmemory: 256MiB\n"
    "journal: {quota: 1GiB, segment_size: 16MiB}\n"
    "streams:\n"
    "  events:\n"
    "    schema: {type: object, properties: {t0: {type: string}, t1: {type: string}, t2: {type: string}, t3: {type: string},\n"
    "      t4: {type: string}, t5: {type: string}, t6: {type: string}, t7: {type: string}, t8: {type: string}, t9: {type: string}}}\n"
    "    lake: {to: /lake, max_age: 100ms}\n";

static sl_engine *engine;
static sl_metrics *metrics;
static sl_budget budget;
static bool answered[SENDERS]; /* May send again. */
static uint64_t accepted, most;

static void turn(bool work) {
    uint32_t count;
    sl_actor **actors = sl_engine_actors(engine, &count);
    for (uint32_t i = 0; i < count; i++)
        if (work || strcmp(actors[i]->name, "worker") != 0)
            (void)actors[i]->run(actors[i]->context);
    (void)sl_engine_poll(engine);
    now_us += 1000;
    uint64_t used = sl_budget_used(&budget);
    most = used > most ? used : most;
}

static void on_reply(void *token, const sl_intake_reply *reply) {
    *(bool *)token = true;
    if (reply->status == 200)
        accepted += reply->accepted;
}

static size_t write_body(char *body) {
    static uint64_t seed;
    size_t length = 0;
    for (int row = 0; row < EVENTS; row++)
        for (int i = 0; i < COLUMNS; i++) {
            seed += UINT64_C(0x9e3779b97f4a7c15);
            uint64_t mixed = (seed ^ seed >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
            length += (size_t)sprintf(body + length, "%s\"t%d\":\"%016" PRIx64 "\"%s", i == 0 ? "{" : ",", i, mixed,
                                      i == COLUMNS - 1 ? "}\n" : "");
        }
    return length;
}

/* @return false: it has to wait. */
static bool submit(const char *body, size_t length, bool *token) {
    sl_intake *intake = sl_engine_intake(engine);
    const sl_intake_request request = {.stream = "events",
                                       .stream_length = 6,
                                       .source = "http",
                                       .key = "",
                                       .body = (const uint8_t *)body,
                                       .length = length,
                                       .done = on_reply,
                                       .token = token};
    *token = false;
    if (intake->submit(intake, &request) == SL_OK)
        return true;
    *token = true;
    return false;
}

/* Senders ask again as soon as they are answered: the worker is what they wait for. */
static void send_for(char *body, int64_t for_us) {
    for (int64_t end = now_us + for_us; now_us < end; turn(true))
        for (int i = 0; i < SENDERS; i++)
            if (answered[i])
                (void)submit(body, write_body(body), &answered[i]);
}

/* Nobody processes what comes, until no more is taken. */
static void burst(char *body) {
    static bool tokens[4096];
    uint32_t sent = 0;
    while (sent < 4096 && submit(body, write_body(body), &tokens[sent])) {
        sent++;
        turn(false);
    }
    for (uint32_t i = 0; i < sent; i++)
        while (!tokens[i])
            turn(true);
}

/* One small request now and then. */
static void rest(int64_t for_us) {
    static const char small[] = "{\"t0\":\"x\"}";
    static bool token = true;
    int64_t sent_us = 0;
    for (int64_t end = now_us + for_us; now_us < end; turn(true))
        if (token && now_us - sent_us > 100000) {
            (void)submit(small, sizeof small - 1, &token);
            sent_us = now_us;
        } else {
            now_us += 5000;
        }
}

static void start(sl_files *files, const sl_config *config) {
    metrics = sl_metrics_create();
    sl_budget_init(&budget, config->memory);
    const sl_engine_options options = {.config = config,
                                       .files = files,
                                       .clock = {wall, monotonic, NULL},
                                       .host = {wake, wake_loop, wake_loop_in, NULL},
                                       .metrics = metrics,
                                       .budget = &budget,
                                       .exclusive = true};
    sl_error error = {0};
    if (sl_engine_create(&options, &engine, &error) != SL_OK) {
        (void)fprintf(stderr, "burst: %s\n", error.text);
        exit(1);
    }
    while (!sl_engine_ready(engine))
        turn(true);
}

int main(void) {
    fake_disk *disk = fake_disk_create(1);
    sl_files *files = fake_disk_files(disk);
    sqlite_files_world world = {.random = random_bytes, .wall_us = wall, .sleep = sleep_us};
    const sl_config_source source = {.text = configuration};
    sl_config *config;
    char *body = malloc(BODY_BYTES);
    if (body == NULL || sqlite_files_vfs_add(files, "burst", &world) != SL_OK ||
        sl_config_load(&source, NULL, NULL, &config, NULL) != SL_OK)
        abort();
    start(files, config);
    memset(answered, 1, sizeof answered);
    send_for(body, CUTS * CUT_US);
    uint64_t steady = most / MIB;
    rest(CUT_US);
    burst(body);
    uint64_t high = most / MIB;
    rest(2 * SPARE_US);
    uint64_t after = sl_budget_used(&budget) / MIB;
    printf("%" PRIu64 " events; at most %" PRIu64 " MiB while files are cut, %" PRIu64 " in a burst, %" PRIu64 " when it is over\n",
           accepted, steady, high, after);
    sl_engine_stop(engine, false);
    while (!sl_engine_stopped(engine))
        turn(true);
    sl_engine_destroy(engine);
    sl_metrics_destroy(metrics);
    sl_config_destroy(config);
    sqlite_files_vfs_remove(files);
    fake_disk_destroy(disk);
    free(body);
    if (steady > STEADY_MIB)
        fail("groups pile up behind a cut", steady);
    if (high < BURST_MIB)
        fail("the burst took less than it should", high);
    if (after > AFTER_MIB)
        fail("what the burst took is still held", after);
    return 0;
}
