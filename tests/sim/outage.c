/* `outage [GIB]`: S3 is away until so many GiB wait for it (50), and comes back.
 *
 * The wired engine on a fake clock, as in `sim`; but nothing crashes, and the disk counts what is spooled instead of
 * storing it, so that 50 GiB need no disk. Everything else of them is real: each event is decoded, encoded as Parquet,
 * hashed, cut and committed.
 *
 *   away     s3://away, that takes nothing: its quota of the spool is used up, then the journal's
 *   there    s3://there, which is in reach all the time
 *   warehouse
 *
 * Shown: while there is nothing of `away` delivered, the others get every event soon, and spool next to nothing; when
 * requests are refused at last, it is for the journal; then all comes in order, each event once; and memory stays what it
 * was. */
#include "fake_disk.h"
#include "hand_clock.h"
#include "sqlite_files_vfs.h"

#include "sluice/engine.h"
#include "sluice/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPOOL "/data/spool/"

enum {
    EVENT_BYTES = 250 << 10,
    EVENTS = 15, /* Of a large request. */
    JOURNAL_MIB = 256,
    BUCKETS = 4096,
    HANDLE = 1 << 20, /* Of counted files: from here on. */
    OPEN_MAX = 256,
    TABLES = 8,
    NEAR_LAG_S = 4, /* Files are cut every two seconds. */
};

/* --- a disk that counts --- */

typedef struct counted {
    struct counted *next;
    uint64_t bytes;
    char name[64];
} counted;

typedef struct counting_disk {
    sl_files files;
    sl_files *real; /* A fake one. */
    counted *names[BUCKETS];
    counted *open[OPEN_MAX];
    uint64_t bytes, most;
} counting_disk;

static counting_disk disk;

static void fail(const char *what, const char *why) {
    (void)fprintf(stderr, "outage: %s: %s\n", what, why);
    exit(1);
}

static counted **find(const char *path) {
    const char *name = path + strlen(SPOOL);
    uint32_t hash = 5381;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (uint8_t)*c;
    counted **at = &disk.names[hash % BUCKETS];
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static bool is_spooled(const char *path) {
    return strncmp(path, SPOOL, strlen(SPOOL)) == 0;
}

static sl_status counted_open(sl_files *files, const char *path, int flags, int *file, sl_error *error) {
    (void)files;
    if (!is_spooled(path))
        return disk.real->open(disk.real, path, flags, file, error);
    counted **at = find(path);
    if (*at == NULL && !(flags & SL_FILE_CREATE))
        return sl_error_set(error, SL_ENOTFOUND, "%s: not there", path);
    if (*at == NULL) {
        if ((*at = calloc(1, sizeof **at)) == NULL)
            abort();
        (void)snprintf((*at)->name, sizeof (*at)->name, "%s", path + strlen(SPOOL));
    }
    int slot = 0;
    while (slot < OPEN_MAX && disk.open[slot] != NULL)
        slot++;
    if (slot == OPEN_MAX)
        fail(path, "too many open files");
    disk.open[slot] = *at;
    *file = HANDLE + slot;
    return SL_OK;
}

static void counted_close(sl_files *files, int file) {
    (void)files;
    if (file >= HANDLE)
        disk.open[file - HANDLE] = NULL;
    else
        disk.real->close(disk.real, file);
}

static sl_status counted_read(sl_files *files, int file, void *bytes, size_t length, uint64_t offset, size_t *got,
                              sl_error *error) {
    (void)files;
    if (file >= HANDLE)
        fail(disk.open[file - HANDLE]->name, "nobody reads the spool here");
    return disk.real->read(disk.real, file, bytes, length, offset, got, error);
}

static sl_status counted_write(sl_files *files, int file, const void *bytes, size_t length, uint64_t offset,
                               sl_error *error) {
    (void)files;
    if (file < HANDLE)
        return disk.real->write(disk.real, file, bytes, length, offset, error);
    counted *c = disk.open[file - HANDLE];
    if (offset + length > c->bytes) {
        disk.bytes += offset + length - c->bytes;
        c->bytes = offset + length;
    }
    disk.most = disk.bytes > disk.most ? disk.bytes : disk.most;
    return SL_OK;
}

static sl_status counted_sync(sl_files *files, int file, sl_error *error) {
    (void)files;
    return file >= HANDLE ? SL_OK : disk.real->sync(disk.real, file, error);
}

static sl_status counted_size(sl_files *files, int file, uint64_t *bytes, sl_error *error) {
    (void)files;
    if (file < HANDLE)
        return disk.real->size(disk.real, file, bytes, error);
    *bytes = disk.open[file - HANDLE]->bytes;
    return SL_OK;
}

static sl_status counted_truncate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    (void)files;
    if (file < HANDLE)
        return disk.real->truncate(disk.real, file, bytes, error);
    counted *c = disk.open[file - HANDLE];
    disk.bytes = disk.bytes - c->bytes + bytes;
    c->bytes = bytes;
    return SL_OK;
}

static sl_status counted_allocate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    (void)files;
    return file >= HANDLE ? SL_OK : disk.real->allocate(disk.real, file, bytes, error);
}

static sl_status counted_unlink(sl_files *files, const char *path, sl_error *error) {
    (void)files;
    if (!is_spooled(path))
        return disk.real->unlink(disk.real, path, error);
    counted **at = find(path), *gone = *at;
    if (gone == NULL)
        return sl_error_set(error, SL_ENOTFOUND, "%s: not there", path);
    disk.bytes -= gone->bytes;
    *at = gone->next;
    free(gone);
    return SL_OK;
}

#define PASSED(name, parameters, ...)                                                                       \
    static sl_status passed_##name parameters {                                                             \
        (void)files;                                                                                        \
        return disk.real->name(disk.real, __VA_ARGS__);                                                     \
    }
PASSED(rename, (sl_files * files, const char *from, const char *to, sl_error *error), from, to, error)
PASSED(link, (sl_files * files, const char *from, const char *to, sl_error *error), from, to, error)
PASSED(make_directories, (sl_files * files, const char *path, sl_error *error), path, error)
PASSED(sync_directory, (sl_files * files, const char *path, sl_error *error), path, error)
PASSED(list, (sl_files * files, const char *path, sl_files_list_fn *each, void *context, sl_error *error), path, each,
       context, error)
PASSED(free_space, (sl_files * files, const char *path, uint64_t *bytes, sl_error *error), path, bytes, error)

static void make_disk(fake_disk *below) {
    disk.real = fake_disk_files(below);
    disk.files = (sl_files){.open = counted_open,
                            .close = counted_close,
                            .read = counted_read,
                            .write = counted_write,
                            .sync = counted_sync,
                            .size = counted_size,
                            .truncate = counted_truncate,
                            .allocate = counted_allocate,
                            .unlink = counted_unlink,
                            .rename = passed_rename,
                            .link = passed_link,
                            .make_directories = passed_make_directories,
                            .sync_directory = passed_sync_directory,
                            .list = passed_list,
                            .free_space = passed_free_space};
}

/* --- the targets --- */

typedef struct arrival {
    char table[64];
    uint64_t sequence, to, rows;
} arrival;

typedef struct waiting {
    const sl_delivery *delivery;
    sl_target_done_fn *done;
    void *context;
} waiting;

static arrival arrivals[TABLES];
static waiting queue[TABLES];
static uint32_t queued;
static bool away = true;

static void deliver(sl_target *target, const sl_delivery *delivery, sl_target_done_fn *done, void *context) {
    (void)target;
    if (queued == TABLES)
        fail(delivery->table, "more deliveries than tables");
    queue[queued++] = (waiting){delivery, done, context};
}

static arrival *arrived(const char *table) {
    for (uint32_t i = 0; i < TABLES; i++) {
        if (arrivals[i].table[0] == 0)
            (void)snprintf(arrivals[i].table, sizeof arrivals[i].table, "%s", table);
        if (strcmp(arrivals[i].table, table) == 0)
            return &arrivals[i];
    }
    fail(table, "more tables than there are");
    return NULL;
}

/* In order, without a gap; and what the entry names lies in the spool, as long as it says. */
static void take(const sl_delivery *d) {
    arrival *a = arrived(d->table);
    if (d->entry->sequence != a->sequence + 1 || (a->sequence != 0 && d->entry->from != a->to))
        fail(d->table, "not the next entry");
    for (uint32_t i = 0; i < d->entry->file_count; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", SPOOL, d->entry->files[i].spool);
        const counted *c = *find(path);
        if (c == NULL || c->bytes != d->entry->files[i].bytes)
            fail(d->table, "a file isn't in the spool as it was sealed");
    }
    a->sequence = d->entry->sequence;
    a->to = d->entry->to;
    a->rows += d->entry->counts.rows;
}

static bool answer_deliveries(void) {
    uint32_t count = queued;
    waiting now[TABLES];
    memcpy(now, queue, sizeof now);
    queued = 0;
    for (uint32_t i = 0; i < count; i++) {
        sl_error error = {0};
        sl_status status = SL_OK;
        if (away && strncmp(now[i].delivery->target, "s3://away", 9) == 0)
            status = sl_error_set(&error, SL_EIO, "away");
        else
            take(now[i].delivery);
        now[i].done(now[i].context, status, &error);
    }
    return count != 0;
}

/* --- the daemon --- */

static const char configuration[] =
    "data_dir: /data\nworkers: 2\nmemory: 256MiB\n"
    "http: {max_body: 4MiB, max_event: 256KiB}\n"
    "cut: {every: 2s}\n"
    "s3: {region: eu-central-1}\n"
    "warehouse: {postgres: {url: \"postgres://u@there.example:5432/d\"}}\n"
    "streams:\n"
    "  far:\n"
    "    schema: {type: object, properties: {id: {type: integer}, text: {type: string}}}\n"
    "    lake: {to: \"s3://away/far\", max_age: 1s, codec: none}\n"
    "  near:\n"
    "    schema: {type: object, properties: {id: {type: integer}, text: {type: string}}}\n"
    "    lake: {to: \"s3://there/near\", max_age: 2s}\n"
    "    warehouse: {table: near_rows}\n"
    "windows:\n"
    "  far_counts: {of: far, every: 1m, measures: {events: count()}}\n";

static sl_config *config;
static sl_engine *engine;
static sl_metrics *metrics;
static sl_budget budget;
static uint64_t quota, far_sent, near_sent, requests, refused;
static int last_status;
static bool answered, flushed_well, flush_answered;

static void load(void) {
    const sl_config_source source = {.text = configuration};
    sl_error error = {0};
    if (sl_config_load(&source, NULL, NULL, &config, &error) != SL_OK)
        fail("configuration", error.text);
    config->spool.quota = quota;
    config->journal.quota = (uint64_t)JOURNAL_MIB << 20;
    config->journal.segment_size = UINT64_C(16) << 20;
}

static bool turn(void) {
    uint32_t count;
    sl_actor **actors = sl_engine_actors(engine, &count);
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        any = actors[i]->run(actors[i]->context) || any;
    sl_actor *delivery = sl_engine_delivery(engine);
    any = delivery->run(delivery->context) || any;
    any = answer_deliveries() || any;
    any = sl_engine_poll(engine) || any;
    now_us += 100;
    return any;
}

static void settle(int64_t for_us) {
    for (int64_t end = now_us + for_us; now_us < end;)
        if (!turn())
            now_us += 20000;
}

static void on_reply(void *token, const sl_intake_reply *reply) {
    (void)token;
    last_status = reply->status;
    answered = true;
    if (reply->status == 200 && reply->rejected != 0)
        fail("a reply", "events were refused");
}

static int submit(const char *stream, const uint8_t *body, size_t length) {
    sl_intake *intake = sl_engine_intake(engine);
    const sl_intake_request request = {.stream = stream,
                                       .stream_length = strlen(stream),
                                       .source = "http",
                                       .key = "",
                                       .body = body,
                                       .length = length,
                                       .done = on_reply};
    answered = false;
    requests++;
    sl_status status = intake->submit(intake, &request);
    if (status != SL_OK)
        return status == SL_ENOSPC ? 503 : 429;
    for (int i = 0; !answered; i++) {
        (void)turn();
        if (i > 1000000)
            fail(stream, "no reply");
    }
    return last_status;
}

/* Texts that no dictionary makes one of. */
static size_t write_body(uint8_t *body, uint64_t *id, uint32_t events, size_t bytes) {
    size_t length = 0;
    for (uint32_t i = 0; i < events; i++) {
        length += (size_t)snprintf((char *)body + length, 64, "{\"id\":%" PRIu64 ",\"text\":\"%016" PRIx64, *id + i,
                                   (*id + i + 1) * UINT64_C(0x9e3779b97f4a7c15));
        memset(body + length, 'a' + (int)((*id + i) % 26), bytes);
        length += bytes;
        memcpy(body + length, "\"}\n", 3);
        length += 3;
    }
    *id += events;
    return length;
}

static uint64_t rows_of(const char *table) {
    return arrived(table)->rows;
}

static void on_flush(void *context, sl_status status, const char *message) {
    (void)context, (void)message;
    flush_answered = true;
    flushed_well = status == SL_OK;
}

static uint64_t resident_kib(void) {
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "VmHWM: %" SCNu64, &kib) == 1)
            break;
    if (f != NULL)
        (void)fclose(f);
    return kib;
}

/* The small stream: each request a second old at most when the next one comes. */
static void send_near(uint8_t *body) {
    uint64_t id = near_sent;
    size_t length = write_body(body, &id, 20, 100);
    int status = submit("near", body, length);
    if (status == 200)
        near_sent = id;
    else if (status == 503)
        refused++;
    else
        fail("near", "another status than 200 and 503");
}

/* @return false: refused, for the journal is full. */
static bool send_far(uint8_t *body) {
    uint64_t id = far_sent;
    size_t length = write_body(body, &id, EVENTS, EVENT_BYTES - 100);
    int status = submit("far", body, length);
    if (status == 429) {
        settle(10000);
        return true;
    }
    if (status == 503) {
        refused++;
        return false;
    }
    if (status != 200)
        fail("far", "another status than 200 and 503");
    far_sent = id;
    return true;
}

static void expect_near(uint64_t since, const char *when) {
    if (rows_of("near/lake") < since || rows_of("near/rows") < since)
        fail(when, "the targets that are in reach lag behind");
}

int main(int argc, char **argv) {
    double gib = argc > 1 ? strtod(argv[1], NULL) : 50;
    quota = (uint64_t)(gib * 1073741824.0);
    fake_disk *below = fake_disk_create(1);
    make_disk(below);
    sqlite_files_world world = {.random = random_bytes, .wall_us = wall, .sleep = sleep_us};
    if (sqlite_files_vfs_add(disk.real, "outage", &world) != SL_OK)
        abort();
    disk.files.sqlite_vfs = disk.real->sqlite_vfs;
    load();
    metrics = sl_metrics_create();
    sl_budget_init(&budget, config->memory);
    static sl_target target = {.deliver = deliver};
    const sl_engine_options options = {.config = config,
                                       .files = &disk.files,
                                       .clock = {wall, monotonic, NULL},
                                       .host = {wake, wake_loop, wake_loop_in, NULL},
                                       .metrics = metrics,
                                       .target = &target,
                                       .budget = &budget,
                                       .exclusive = true};
    sl_error error = {0};
    if (sl_engine_create(&options, &engine, &error) != SL_OK)
        fail("start", error.text);
    uint8_t *body = malloc((EVENT_BYTES + 100) * (size_t)EVENTS);
    if (body == NULL)
        abort();
    while (!sl_engine_ready(engine))
        (void)turn();
    /* Until requests are refused. */
    uint64_t near_before[NEAR_LAG_S + 1] = {0}, early_kib = 0, late_kib = 0;
    for (uint64_t second = 0;; second++) {
        bool taken = true;
        for (int i = 0; i < 10 && taken; i++)
            taken = send_far(body);
        if (!taken)
            break;
        send_near(body);
        settle(1000000);
        expect_near(near_before[(second + 1) % (NEAR_LAG_S + 1)], "during the outage");
        near_before[second % (NEAR_LAG_S + 1)] = near_sent;
        if (second == 20)
            early_kib = resident_kib();
        if (disk.bytes < quota - quota / 16) /* Later the journal grows, which this disk has in memory. */
            late_kib = resident_kib();
    }
    uint64_t spooled = disk.bytes, limit = quota + (UINT64_C(1) << 30);
    if (spooled < quota || spooled > limit)
        fail("the spool", "another size than its quota");
    if (rows_of("far/lake") != 0)
        fail("far/lake", "delivered to where nobody is");
    if (late_kib > early_kib + early_kib / 4)
        fail("memory", "it grew with the backlog");
    printf("%.2f GiB spooled for s3://away (quota %.2f), then %d MiB of journal, then 503 after %" PRIu64
           " events; the others have %" PRIu64 " of %" PRIu64 "\n",
           (double)spooled / 1073741824.0, gib, JOURNAL_MIB, far_sent, rows_of("near/lake"), near_sent);
    /* What was taken for the others arrives, however full the journal is. */
    settle(NEAR_LAG_S * INT64_C(1000000));
    expect_near(near_sent, "behind a full journal");
    if (rows_of("far_counts") != far_sent)
        fail("far_counts", "the warehouse lacks events that the lake's outage holds back");
    away = false;
    for (int i = 0; !flushed_well; i++) {
        if (i > 100)
            fail("the end", "it doesn't drain");
        flush_answered = false;
        sl_engine_flush(engine, on_flush, NULL);
        while (!flush_answered)
            settle(1000000);
    }
    if (send_far(body), last_status != 200)
        fail("far", "still refused");
    flush_answered = false;
    sl_engine_flush(engine, on_flush, NULL);
    while (!flush_answered)
        settle(1000000);
    if (rows_of("far/lake") != far_sent || rows_of("near/lake") != near_sent || rows_of("near/rows") != near_sent ||
        rows_of("far_counts") != far_sent)
        fail("the end", "events are missing, or twice");
    if (disk.bytes != 0)
        fail("the spool", "something is left in it");
    printf("drained: %" PRIu64 " entries of far/lake in order, every event once; %" PRIu64 " MiB resident near"
           " the backlog's beginning, %" PRIu64 " near its end\n",
           arrived("far/lake")->sequence, early_kib >> 10, late_kib >> 10);
    sl_engine_stop(engine, false);
    while (!sl_engine_stopped(engine))
        (void)turn();
    sl_engine_destroy(engine);
    sl_metrics_destroy(metrics);
    sl_config_destroy(config);
    free(body);
    sqlite_files_vfs_remove(disk.real);
    fake_disk_destroy(below);
    return 0;
}
