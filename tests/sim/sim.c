/* `sim`: seeds, each in a process of its own; and within one, the scheduler, the faults and the end. */
#include "sim.h"

#include "sqlite_files_vfs.h"

#include "sluice/message.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#define BASE_US INT64_C(1767225600000000) /* 2026-01-01 */

uint64_t sim_draw(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void say(sim *s, const char *what, const char *format, va_list arguments) {
    (void)fprintf(s->report, "%s %llu at %.6f s: ", what, (unsigned long long)s->seed,
                  (double)s->now_us / 1e6);
    (void)vfprintf(s->report, format, arguments);
    (void)fputc('\n', s->report);
    (void)fflush(s->report);
}

void sim_fail(sim *s, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(s, "seed", format, arguments);
    va_end(arguments);
    _exit(1);
}

void sim_trace(sim *s, const char *format, ...) {
    if (!s->verbose)
        return;
    va_list arguments;
    va_start(arguments, format);
    say(s, "-", format, arguments);
    va_end(arguments);
}

/* --- the world --- */

static int64_t wall_us(void *context) {
    const sim *s = context;
    return BASE_US + s->now_us + s->wall_offset_us;
}
static int64_t monotonic_us(void *context) {
    const sim *s = context;
    return s->now_us;
}
static void world_random(void *context, void *bytes, size_t length) {
    sim *s = context;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)sim_draw(&s->state);
}
static void world_sleep(void *context, int64_t micros) {
    ((sim *)context)->now_us += micros;
}
static void wake(void *context, sl_actor *actor) {
    (void)context, (void)actor;
}
static void wake_loop(void *context) {
    (void)context;
}
/* The loop takes its turn again and again. */
static void wake_loop_in(void *context, uint32_t ms) {
    (void)context;
    (void)ms;
}

static void crashed(void *context, const char *name) {
    sim *s = context;
    if (!s->may_crash)
        return;
    s->crash_point = name;
    longjmp(s->crash, 1);
}

static void calm_down(sim *s) {
    for (int i = 0; i < FAKE_DISK_OPERATIONS; i++) {
        fake_disk_fail(s->disk, (fake_disk_operation)i, 0, SL_OK);
        fake_disk_fail_often(s->disk, (fake_disk_operation)i, 0);
    }
    fake_disk_set_capacity(s->disk, 0);
    fake_disk_stop_at(s->disk, 0);
    s->faults_on = false;
}

/* --- configuration --- */

static const char *choose(sim *s, const char *const *from, uint32_t count) {
    return from[sim_below(s, count)];
}

static void write_streams(sim *s, sl_buffer *out) {
    static const char *const cadence[] = {"100ms", "700ms", "5s"};
    sl_buffer_printf(out, "streams:\n"
                        "%s"
                        "  clicks:\n"
                        "%s"
                        "    schema: {type: object, required: [id], properties: {id: {type: integer},"
                        " req: {type: integer}, kind: {type: string}, user: {type: string},"
                        " amount: {type: number, x-decimal: [12, 2]},"
                        " at: {type: string, format: date-time}}}\n"
                        "    event_time: at\n"
                        "    add: [processed_at, source]\n",
                     s->shared ? "  guests:\n    when: has(guest)\n"
                                 "    schema: {type: object, properties: {guest: {type: integer}, req: {type: integer}}}\n"
                                 "    lake: {partition_by: [req]}\n"
                               : "",
                     s->shared ? "    when: has(at)\n" : "");
    const char *raw = s->raw ? "    raw: true\n" : "";
    sl_buffer_text(out, raw);
    if (s->steps)
        sl_buffer_text(out, "    steps: [where: 'kind != \"over\"', require: {kind: 'kind != \"unmet\"'}, rename: {user: who},"
                            " set: {cents: amount, large: 'amount > 50.0'}, drop: amount, rename: {cents: amount}]\n");
    if (s->dedupe)
        sl_buffer_text(out, "    id: id\n    dedupe: 24h\n");
    if (s->late)
        sl_buffer_text(out, "    late_limit: 2m\n");
    sl_buffer_printf(out, "    lake: {partition_by: [%s]}\n", s->by_request ? "req, kind" : "kind, date, hour");
    sl_buffer_printf(out, "    warehouse: {table: click_rows}\n"
                          "  free:\n    warehouse: {table: free_rows}\n%s", raw);
    if (!s->by_request)
        sl_buffer_text(out, "    lake: {partition_by: [kind]}\n");
    else
        sl_buffer_text(out, "    lake: {partition_by: [req]}\n");
    sl_buffer_printf(out, "windows:\n"
                          "  per_minute: {of: clicks, every: 1m, by: [kind], lateness: %s, measures: {"
                          "events: count(), total: sum(amount), users: unique(%s)}%s}\n"
                          "  free_counts: {of: free, every: 10s, measures: {events: count()}}\n",
                     s->late || s->finals ? "10s" : "5m", s->steps ? "who" : "user", s->finals ? ", topic: {to: closed, key: kind}" : "");
    if (s->finals)
        sl_buffer_text(out, "kafka: {brokers: \"far.example:9092\"}\n");
    sl_buffer_printf(out, "cut: {every: %s}\n", choose(s, cadence, 3));
}

static void configure(sim *s) {
    static const char *const ages[] = {"1s", "2s", "10s"}, *const memory[] = {"64MiB", "128MiB", "512MiB"},
                             *const profiles[] = {"lake", "compatible"},
                             *const codecs[] = {"default", "none", "snappy", "zstd"};
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "data_dir: " SIM_DATA "\nworkers: %u\nmemory: %s\n", s->workers,
                     choose(s, memory, 3));
    sl_buffer_printf(&text, "http: {max_body: 1MiB, max_event: 256KiB}\njournal: {segment_size: 2MiB, quota: %uMiB}\nspool: {quota: %uMiB}\n",
                     sim_chance(s, 300) ? 8 : 64, sim_chance(s, 200) ? 4 : 64);
    sl_buffer_printf(&text, "lake: {max_age: %s, profile: %s, codec: %s, target_size: 64KiB%s%s}\n",
                     choose(s, ages, 3), choose(s, profiles, 2), choose(s, codecs, 4),
                     s->embedded && s->by_request ? ", partition_by: [req]" : "",
                     s->far_lake ? ", to: \"s3://bucket/lake\"" : "");
    if (s->far_lake)
        sl_buffer_text(&text, "s3: {region: eu-central-1}\n");
    if (s->far_warehouse)
        sl_buffer_text(&text, "warehouse: {postgres: {url: \"postgres://sim@far.example:5432/sim\"}}\n");
    if (s->topic)
        sl_buffer_text(&text, "ingest: {log: \"kafka://far.example:9092/log\"}\n");
    if (!s->embedded)
        write_streams(s, &text);
    const sl_config_source source = {.text = sl_buffer_cstr(&text)};
    sl_error error = {0};
    if (sl_config_load(&source, NULL, NULL, &s->config, &error) != SL_OK)
        sim_fail(s, "configuration: %s\n%s", error.text, sl_buffer_cstr(&text));
    sim_trace(s, "configuration:\n%s", sl_buffer_cstr(&text));
    sl_buffer_fini(&text);
    if (s->tight) { /* Less than the configuration allows, so that few requests do what many would. */
        s->config->memory = UINT64_C(24) << 20;
        s->config->journal.segment_size = UINT64_C(64) << (10 + sim_below(s, 3));
        s->config->journal.quota = UINT64_C(2) << (20 + sim_below(s, 3));
        s->config->spool.quota = UINT64_C(32) << (10 + sim_below(s, 8));
        sim_trace(s, "tight: memory %llu, segments %llu, journal %llu",
                  (unsigned long long)s->config->memory, (unsigned long long)s->config->journal.segment_size,
                  (unsigned long long)s->config->journal.quota);
    }
}

static void plan(sim *s) {
    static const uint32_t workers[] = {1, 2, 4}, paces[] = {2000, 50000, 300000};
    static const sim_stream configured[STREAMS] = {
        {"clicks", "clicks", true, true, "click_rows", NULL, NULL},
        {"free", "free", false, true, "free_rows", "free_counts", "events"},
        {"nobody", "_unrouted", false, false, NULL, NULL, NULL}};
    static const sim_stream embedded[STREAMS] = {
        {"clicks", "clicks", false, true, NULL, "clicks_per_minute", "count"},
        {"", "events", false, true, NULL, "events_per_minute", "count"},
        {"other", "other", false, true, NULL, "other_per_minute", "count"}};
    s->embedded = sim_chance(s, 300);
    s->by_request = s->embedded || sim_chance(s, 500);
    s->late = !s->embedded && sim_chance(s, 100);
    s->heavy = sim_chance(s, 150);
    s->raw = !s->embedded && s->seed % 3 == 0; /* Nothing is drawn: all else stays what the seed made it. */
    s->steps = !s->embedded && s->seed % 4 == 1;
    s->faulty = !sim_chance(s, 80);
    s->quarantine = s->faulty && sim_chance(s, 60);
    s->scarce = s->faulty && s->allocations;
    s->dedupe = !s->embedded && !s->late && !s->quarantine && s->seed % 3 == 1;
    s->topic = !s->raw && !s->quarantine && s->seed % 2 == 0;
    s->workers = workers[sim_below(s, 3)];
    s->pace_us = paces[sim_below(s, 3)];
    s->planned = 15 + (uint32_t)sim_below(s, 50);
    s->step_us = 200;
    s->far_lake = sim_chance(s, 250);
    s->far_warehouse = sim_chance(s, 250);
    s->finals = !s->embedded && (s->far_lake || s->far_warehouse) && s->seed % 4 != 0;
    s->tight = sim_chance(s, 200);
    if (s->tight) {
        s->planned *= 3;
        s->pace_us = 20000;
        s->step_us = 2000;
    }
    s->fault_every = 150 + (uint32_t)sim_below(s, 1500);
    memcpy(s->streams, s->embedded ? embedded : configured, sizeof s->streams);
    s->shared = !s->embedded && s->seed % 5 < 2;
    if (s->shared) /* Conditions tell whose an event is, in whatever request it comes; "free" takes what is left. */
        s->streams[0].path = s->streams[1].path = "";
}

/* --- life and death of the daemon --- */

static void forget_waits(sim *s) {
    s->flush_waits = s->peek_waits = false;
}

static void fail_power(sim *s) {
    clients_power_failed(s);
    fake_disk_crash(s->disk, sim_draw(&s->state));
}

/* Linux can't say what the disk holds of a file whose sync failed. The journal has written over what failed there, if
 * the disk let it; others would have to read it back. */
static bool needs_power_failure(const sim *s) {
    return fake_disk_sync_failed_elsewhere(s->disk) ||
           (fake_disk_sync_failed(s->disk) && fake_disk_write_failed(s->disk));
}

static uint64_t counted(const sim *s, const char *name) {
    return (uint64_t)sl_metric_read(sl_metrics_get(s->metrics, SL_METRIC_COUNTER, name, "", ""));
}

/* What this daemon met: a simulation that never gets there proves nothing about it. */
static void sum_up(sim *s) {
    s->totals.let_go += counted(s, "sluice_redecoded_groups_total");
    s->totals.rewinds += counted(s, "sluice_rewinds_total");
    s->totals.voids += counted(s, "sluice_refused_loads_total");
}

/* @return false: the journal was damaged, and the daemon says so instead of starting. */
static bool start(sim *s) {
    s->metrics = sl_metrics_create();
    const sl_engine_options options = {.config = s->config,
                                       .files = s->files,
                                       .clock = {wall_us, monotonic_us, s},
                                       .host = {wake, wake_loop, wake_loop_in, s},
                                       .metrics = s->metrics,
                                       .target = target_of(s->target),
                                       .budget = &s->budget,
                                       .exclusive = true};
    for (int tries = 0;; tries++) {
        sl_error error = {0};
        sl_budget_init(&s->budget, s->config->memory);
        fake_disk_process(s->disk, false);
        bool scarce = s->scarce && !s->calm && tries < 2 && sim_chance(s, 300);
        if (scarce)
            sl_memory_fail_at(1 + sim_below(s, 600));
        sl_status status = sl_engine_create(&options, &s->engine, &error);
        sl_memory_fail_at(0);
        if (status == SL_OK && !fake_disk_stopped(s->disk))
            break;
        if (status == SL_OK)
            sl_engine_destroy(s->engine);
        s->engine = NULL;
        if (sl_budget_used(&s->budget) != 0)
            sim_fail(s, "a start that failed kept %llu bytes", (unsigned long long)sl_budget_used(&s->budget));
        sim_trace(s, "start failed: %s", error.text);
        if (s->totals.damaged != 0 && !s->faults_on)
            return false;
        if (scarce && status == SL_ENOMEM && !fake_disk_stopped(s->disk))
            continue;
        if (!s->faults_on)
            sim_fail(s, "the daemon doesn't start: %s", error.text);
        if (fake_disk_stopped(s->disk) || needs_power_failure(s) || sim_chance(s, 500))
            fail_power(s);
        if (tries > 1)
            calm_down(s);
    }
    sl_actor **actors = sl_engine_actors(s->engine, &s->actor_count);
    memcpy(s->actors, actors, s->actor_count * sizeof *actors);
    if (s->target != NULL) {
        s->actors[s->actor_count++] = sl_engine_delivery(s->engine);
        s->actors[s->actor_count++] = target_actor(s->target);
    }
    s->quiet = 0;
    s->weights_left = 0;
    s->swept = !s->faults_on && !s->scarce;
    return true;
}

static void bury(sim *s) {
    target_daemon_gone(s->target);
    sl_engine_destroy(s->engine);
    s->engine = NULL;
    sl_metrics_destroy(s->metrics);
    s->metrics = NULL;
    if (sl_budget_used(&s->budget) != 0)
        sim_fail(s, "%llu bytes of the budget weren't given back", (unsigned long long)sl_budget_used(&s->budget));
}

/* A daemon that a crash point ended in the middle of something is left as it lies. */
static void die(sim *s, bool power, bool leave) {
    s->epoch++;
    sum_up(s);
    clients_lost(s);
    forget_waits(s);
    target_daemon_gone(s->target);
    if (leave) {
        s->torn = true;
    } else {
        fake_disk_process(s->disk, true); /* From here on nothing reaches the disk. */
        bury(s);
        fake_disk_process(s->disk, false);
    }
    s->engine = NULL;
    if (power)
        fail_power(s);
    else if (fake_disk_write_failed(s->disk))
        clients_power_failed(s); /* Nor could it be written over, perhaps. */
    if (sim_chance(s, 300))
        calm_down(s);
    if (!s->calm && sim_chance(s, 200)) {
        fake_disk_stop_at(s->disk, 1 + sim_below(s, 120));
        s->faults_on = true, s->swept = false;
    }
}

static sl_status pick_segment(void *context, const sl_file_entry *entry) {
    char(*found)[256] = context;
    if (!entry->directory && ((*found)[0] == 0 || strcmp(entry->name, *found) > 0))
        (void)snprintf(*found, sizeof *found, "%s", entry->name);
    return SL_OK;
}

static void damage(sim *s) {
    char name[256] = "", path[320];
    (void)s->files->list(s->files, SIM_DATA "/journal", pick_segment, &name, NULL);
    (void)snprintf(path, sizeof path, SIM_DATA "/journal/%s", name);
    uint64_t at = sim_below(s, 40) * 4096 + sim_below(s, 200);
    if (name[0] != 0 && fake_disk_corrupt(s->disk, path, at, (uint8_t)(1u << sim_below(s, 8)))) {
        s->totals.damaged++;
        sim_trace(s, "damage in %s at %llu", path, (unsigned long long)at);
    }
}

static bool crash(sim *s, bool leave) {
    sim_trace(s, "crash%s%s", leave ? " at " : "", leave ? s->crash_point : "");
    s->totals.crashes++;
    die(s, true, leave);
    if (s->quarantine && sim_chance(s, 300))
        damage(s);
    return start(s);
}

/* --- one turn --- */

/* A process is killed, the machine goes on: what was written is seen by the next one. */
static bool kill_process(sim *s) {
    if (needs_power_failure(s))
        return crash(s, false);
    sim_trace(s, "kill");
    s->totals.kills++;
    die(s, false, false);
    return start(s);
}

/* @return 1: something was done, 0: not, -1: the run is over. */
static int run_actor(sim *s, uint32_t at) {
    if (setjmp(s->crash) != 0) {
        s->may_crash = false;
        sl_memory_fail_at(0);
        return crash(s, true) ? 1 : -1;
    }
    s->may_crash = true;
    if (s->scarce && !s->calm && sim_chance(s, 20))
        sl_memory_fail_at(1 + sim_below(s, sim_chance(s, 500) ? 4 : 60));
    bool any = at == s->actor_count ? sl_engine_poll(s->engine) : s->actors[at]->run(s->actors[at]->context);
    sl_memory_fail_at(0);
    s->may_crash = false;
    if (fake_disk_stopped(s->disk))
        return crash(s, false) ? 1 : -1;
    return any;
}

/* Some actors are slow for a while, some stand still. */
static void draw_weights(sim *s) {
    static const uint32_t speeds[] = {0, 1, 1, 2, 4, 12};
    uint32_t sum = 0;
    for (uint32_t i = 0; i <= s->actor_count; i++)
        sum += s->weights[i] = s->calm ? 1 : speeds[sim_below(s, 6)];
    if (sum == 0)
        s->weights[s->actor_count] = 1;
    s->weights_left = 50 + (uint32_t)sim_below(s, 400);
}

static uint32_t pick_actor(sim *s) {
    if (s->weights_left-- == 0)
        draw_weights(s);
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= s->actor_count; i++)
        sum += s->weights[i];
    uint64_t at = sim_below(s, sum);
    uint32_t i = 0;
    while (at >= s->weights[i])
        at -= s->weights[i++];
    return i;
}

static bool turn(sim *s) {
    s->totals.steps++;
    s->now_us += (int64_t)sim_below(s, s->step_us);
    if (s->far_warehouse && !s->late && !s->calm && sim_chance(s, 1))
        target_rival(s->target);
    if (s->engine != NULL && sl_engine_ready(s->engine) && clients_turn(s))
        s->quiet = 0;
    int any = run_actor(s, pick_actor(s));
    if (any < 0)
        return false;
    s->quiet = any ? 0 : s->quiet + 1;
    if (s->quiet > 3 * (s->actor_count + 1)) {
        s->now_us += (int64_t)sim_below(s, sim_chance(s, 100) ? 2000000 : 60000);
        s->quiet = 0;
        s->weights_left = 0;
    }
    return true;
}

/* --- faults --- */

static void on_flush(void *context, sl_status status, const char *message) {
    sim *s = context;
    if (!s->flush_waits)
        sim_fail(s, "a flush was answered twice");
    s->flush_waits = false;
    s->flush_status = status;
    sim_trace(s, "flushed: %s %s", sl_status_text(status), message);
    if (s->verbose && s->calm) {
        sl_buffer state = SL_BUFFER_EMPTY;
        sl_engine_state(s->engine, &state);
        sim_trace(s, "%s", sl_buffer_cstr(&state));
        sl_buffer_fini(&state);
    }
}

static void on_windows(void *context, const char *json, size_t length) {
    sim *s = context;
    if (!s->peek_waits)
        sim_fail(s, "a view was answered twice");
    s->peek_waits = false;
    if (json != NULL && (length == 0 || json[0] != '{'))
        sim_fail(s, "a view isn't JSON");
}

static void fail_disk(sim *s) {
    static const fake_disk_operation kinds[] = {FAKE_DISK_SYNC, FAKE_DISK_SYNC, FAKE_DISK_SYNC,
                                                FAKE_DISK_WRITE, FAKE_DISK_SYNC_DIRECTORY, FAKE_DISK_NAMES,
                                                FAKE_DISK_OPEN, FAKE_DISK_READ, FAKE_DISK_ALLOCATE};
    fake_disk_operation kind = kinds[sim_below(s, 9)];
    if (sim_chance(s, 700)) {
        uint64_t n = 1 + sim_below(s, 30);
        sl_status status = kind == FAKE_DISK_WRITE && sim_chance(s, 500) ? SL_ENOSPC : SL_EIO;
        sim_trace(s, "operation %d fails at the %llu.: %s", (int)kind, (unsigned long long)n, sl_status_text(status));
        fake_disk_fail(s->disk, kind, n, status);
    } else {
        unsigned often = 20 + (unsigned)sim_below(s, 300);
        sim_trace(s, "operation %d fails %u of 1000", (int)kind, often);
        fake_disk_fail_often(s->disk, kind, often);
    }
    s->faults_on = true, s->swept = false;
}

static bool stop_gracefully(sim *s) {
    sim_trace(s, "stop");
    s->totals.stops++;
    uint32_t epoch = s->epoch;
    sl_engine_stop(s->engine, sim_chance(s, 500));
    for (int i = 0; !sl_engine_stopped(s->engine); i++) {
        if (i == 20000)
            calm_down(s);
        if (i > 400000)
            sim_fail(s, "the daemon doesn't stop");
        s->now_us += (int64_t)sim_below(s, 2000);
        if (run_actor(s, pick_actor(s)) < 0)
            return false;
        if (s->epoch != epoch)
            return true; /* It died instead, and another one started. */
    }
    s->epoch++;
    sum_up(s);
    clients_lost(s);
    forget_waits(s);
    bury(s);
    if (needs_power_failure(s))
        fail_power(s);
    else if (fake_disk_write_failed(s->disk))
        clients_power_failed(s);
    return start(s);
}

static bool arm_crash_point(sim *s) {
    const char *const *points = sl_crash_points();
    uint32_t count = 0;
    while (points[count] != NULL)
        count++;
    char text[80];
    (void)snprintf(text, sizeof text, "%s:%u", points[sim_below(s, count)], 1 + (unsigned)sim_below(s, 6));
    sim_trace(s, "armed %s", text);
    return sl_crash_arm(text);
}

/* @return false: the run is over. */
static bool fault(sim *s) {
    s->totals.faults++;
    switch (sim_below(s, 12)) {
    case 0:
    case 1:
        return crash(s, false);
    case 2:
        fake_disk_stop_at(s->disk, 1 + sim_below(s, 60));
        s->faults_on = true, s->swept = false;
        return true;
    case 3:
    case 4:
        return arm_crash_point(s);
    case 5:
    case 6:
        fail_disk(s);
        return true;
    case 7:
        fake_disk_set_capacity(s->disk, fake_disk_used(s->disk) + sim_below(s, 40) * 4096 + 1);
        sim_trace(s, "the disk is nearly full");
        s->faults_on = true, s->swept = false;
        return true;
    case 8:
        s->wall_offset_us += ((int64_t)sim_below(s, 7200) - 3600) * SL_SECOND_US;
        sim_trace(s, "clock jumps");
        return true;
    case 9:
        return stop_gracefully(s);
    case 10:
        return kill_process(s);
    default:
        if (!s->flush_waits) {
            s->flush_waits = true;
            sl_engine_flush(s->engine, on_flush, s);
        }
        if (!s->peek_waits) {
            s->peek_waits = true;
            sl_engine_windows(s->engine, s->embedded ? "events_per_minute" : "per_minute", 5, on_windows, s);
        }
        return true;
    }
}

/* --- a run --- */

static void stuck(sim *s, const char *what) {
    sl_buffer state = SL_BUFFER_EMPTY;
    if (s->engine != NULL)
        sl_engine_state(s->engine, &state);
    sim_fail(s, "%s\n%s", what, sl_buffer_cstr(&state));
}

static bool misbehave(sim *s) {
    while (!clients_done(s)) {
        if (!turn(s))
            return false;
        if (s->faulty && s->request_count < s->planned && sim_below(s, s->fault_every) == 0 && !fault(s))
            return false;
        if (s->faults_on && sim_below(s, 2000) == 0)
            calm_down(s);
        if (s->request_count == s->planned && sim_below(s, 500) == 0)
            break;
        if (s->totals.steps > 600000)
            stuck(s, "requests stay unanswered");
    }
    return true;
}

static bool settle(sim *s) {
    s->calm = true;
    (void)sl_crash_arm("trim_before:1000000000");
    calm_down(s);
    s->weights_left = 0;
    uint64_t limit = s->totals.steps + 300000;
    while (!clients_done(s)) {
        if (!turn(s))
            return false;
        if (s->totals.steps > limit)
            stuck(s, "requests stay unanswered without any fault");
    }
    return true;
}

static bool flush(sim *s) {
    uint64_t limit = s->totals.steps + 300000;
    s->flush_status = SL_EAGAIN;
    for (bool asked = false; !asked || s->flush_status != SL_OK;) {
        if (!s->flush_waits) { /* One from before may still wait, for less. */
            asked = s->flush_waits = true;
            s->flush_status = SL_EAGAIN;
            sl_engine_flush(s->engine, on_flush, s);
        }
        if (!turn(s))
            return false;
        if (s->totals.steps > limit)
            stuck(s, "a flush doesn't end");
    }
    return true;
}

static sl_status stray(void *context, const sl_file_entry *entry) {
    sim_fail(context, "%s was left in the spool", entry->name);
}

static void finish(sim *s) {
    uint64_t limit = s->totals.steps + 300000;
    sl_engine_stop(s->engine, true);
    while (!sl_engine_stopped(s->engine)) {
        (void)turn(s);
        if (s->totals.steps > limit)
            stuck(s, "the daemon doesn't stop");
    }
    s->epoch++;
    sum_up(s);
    bury(s);
    if (s->swept && s->files->list(s->files, SIM_DATA "/spool", stray, s, NULL) != SL_OK)
        sim_fail(s, "the spool can't be listed");
    if (sim_chance(s, 500)) /* What is delivered is durable. */
        fake_disk_crash(s->disk, sim_draw(&s->state));
    prove(s);
}

/* What the daemons of this seed had is given back: LeakSanitizer's word, where it is built in. */
static void leave_nothing(sim *s) {
    if (s->engine != NULL)
        bury(s);
    if (s->metrics != NULL)
        sl_metrics_destroy(s->metrics);
    clients_fini(s);
    target_destroy(s->target);
    s->target = NULL;
    sl_config_destroy(s->config);
    s->config = NULL;
    s->requests = NULL;
#ifdef __SANITIZE_ADDRESS__
    if (__lsan_do_recoverable_leak_check() != 0)
        sim_fail(s, "memory leaks, --verbose says whose");
#endif
}

static void run(sim *s) {
    s->state = s->seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    (void)setenv("TZ", "UTC", 1);
    tzset();
    (void)sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(s->seed | 1), NULL);
    s->disk = fake_disk_create(sim_draw(&s->state));
    s->files = fake_disk_files(s->disk);
    const sqlite_files_world world = {world_random, wall_us, world_sleep, s};
    if (sqlite_files_vfs_add(s->files, "sim", &world) != SL_OK)
        abort();
    sl_crash_handler(crashed, s);
    plan(s);
    configure(s);
    fake_disk_guard(s->disk, SIM_DATA "/journal");
    if (s->far_lake || s->far_warehouse)
        s->target = target_create(s, &world);
    clients_init(s);
    bool alive = start(s) && misbehave(s) && settle(s);
    if (alive && s->faulty && sim_chance(s, 300))
        alive = crash(s, false) && settle(s);
    if (alive && flush(s))
        finish(s);
    s->totals.fingerprint = fake_disk_fingerprint(s->disk);
    if (!s->torn)
        leave_nothing(s);
}

/* --- seeds --- */

typedef struct choices {
    uint64_t from, count;
    unsigned limit_s;
    bool verbose, twice, allocations;
} choices;

/* @return whether the seed passed. */
static bool run_seed(uint64_t seed, const choices *c, sim_totals *totals) {
    int pipes[2];
    (void)fflush(stdout);
    if (pipe(pipes) != 0)
        abort();
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        (void)close(pipes[0]);
        sim *s = calloc(1, sizeof *s);
        if (s == NULL)
            abort();
        s->seed = seed;
        s->verbose = c->verbose;
        s->allocations = c->allocations;
        s->report = stdout;
        sl_message_configure(c->verbose ? SL_LEVEL_DEBUG : SL_LEVEL_ERROR, false, false);
        if (!c->verbose && freopen("/dev/null", "w", stderr) == NULL)
            abort();
        (void)alarm(c->limit_s);
        run(s);
        sim_totals sum = s->totals;
        bool sent = write(pipes[1], &sum, sizeof sum) == (ssize_t)sizeof sum;
        (void)fflush(stdout);
        _exit(sent ? 0 : 1);
    }
    (void)close(pipes[1]);
    bool got = read(pipes[0], totals, sizeof *totals) == (ssize_t)sizeof *totals;
    (void)close(pipes[0]);
    int status = 0;
    (void)waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        (void)printf("seed %llu: ended by signal %d\n", (unsigned long long)seed, WTERMSIG(status));
    return got && status == 0;
}

static void add(sim_totals *sum, const sim_totals *one) {
    sum->fingerprint ^= one->fingerprint;
    sum->events += one->events;
    sum->requests += one->requests;
    sum->crashes += one->crashes;
    sum->kills += one->kills;
    sum->stops += one->stops;
    sum->faults += one->faults;
    sum->steps += one->steps;
    sum->repeats += one->repeats;
    sum->refused += one->refused;
    sum->maybe += one->maybe;
    sum->damaged += one->damaged;
    sum->let_go += one->let_go;
    sum->rewinds += one->rewinds;
    sum->rivals += one->rivals;
    sum->voids += one->voids;
    sum->finals += one->finals;
    sum->elsewhere += one->elsewhere;
}

static bool parse(int count, char **words, choices *c) {
    for (int i = 1; i < count; i++) {
        const char *word = words[i];
        if (strcmp(word, "--verbose") == 0) {
            c->verbose = true;
        } else if (strcmp(word, "--twice") == 0) {
            c->twice = true;
        } else if (strcmp(word, "--allocations") == 0) {
            c->allocations = true;
        } else if (i + 1 < count && strcmp(word, "--seeds") == 0) {
            c->count = strtoull(words[++i], NULL, 10);
        } else if (i + 1 < count && strcmp(word, "--from") == 0) {
            c->from = strtoull(words[++i], NULL, 10);
        } else if (i + 1 < count && strcmp(word, "--seed") == 0) {
            c->from = strtoull(words[++i], NULL, 10);
            c->count = 1;
        } else if (i + 1 < count && strcmp(word, "--limit") == 0) {
            c->limit_s = (unsigned)strtoul(words[++i], NULL, 10);
        } else {
            return false;
        }
    }
    return true;
}

int main(int count, char **words) {
    choices c = {.from = 1, .count = 100, .limit_s = 60};
    if (!parse(count, words, &c)) {
        (void)fprintf(stderr, "usage: sim [--seeds N] [--from SEED] [--seed SEED] [--twice] [--allocations] [--limit SECONDS]"
                              " [--verbose]\n");
        return 64;
    }
    sim_totals sum = {0};
    uint64_t failed = 0;
    for (uint64_t seed = c.from; seed < c.from + c.count; seed++) {
        sim_totals first = {0}, second = {0};
        bool good = run_seed(seed, &c, &first);
        if (good && c.twice && (!run_seed(seed, &c, &second) || memcmp(&first, &second, sizeof first) != 0)) {
            (void)printf("seed %llu: a second run left other bytes\n", (unsigned long long)seed);
            good = false;
        }
        if (!good) {
            failed++;
            (void)printf("again: %s --seed %llu --verbose%s\n", words[0], (unsigned long long)seed,
                         c.allocations ? " --allocations" : "");
        }
        add(&sum, &first);
    }
    (void)printf("%llu seeds, %llu failed: %llu events in %llu requests (%llu repeated, %llu refused, %llu "
                 "unsure, %llu read from another log), %llu crashes, %llu kills, %llu stops, %llu faults, %llu flipped bits, %llu groups let go, "
                 "%llu rewinds, %llu loads of another reader, %llu refused, %llu final rows, %llu steps, bytes %016llx\n",
                 (unsigned long long)c.count, (unsigned long long)failed, (unsigned long long)sum.events,
                 (unsigned long long)sum.requests, (unsigned long long)sum.repeats,
                 (unsigned long long)sum.refused, (unsigned long long)sum.maybe,
                 (unsigned long long)sum.elsewhere, (unsigned long long)sum.crashes, (unsigned long long)sum.kills, (unsigned long long)sum.stops,
                 (unsigned long long)sum.faults, (unsigned long long)sum.damaged, (unsigned long long)sum.let_go,
                 (unsigned long long)sum.rewinds, (unsigned long long)sum.rivals, (unsigned long long)sum.voids, (unsigned long long)sum.finals,
                 (unsigned long long)sum.steps, (unsigned long long)sum.fingerprint);
    return failed != 0;
}
