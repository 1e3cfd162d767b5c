/* `sluice replay`: letters are gathered by stream and code, sent a request at a time, and what became of them is shown as a table. */
#include "private.h"

#include "sluice/data.h"
#include "sluice/io_files.h"
#include "sluice/time.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_CONFIGURATION = 78, BATCH_ITEMS = 2000 };

extern char **environ;

static const char usage[] =
    "usage: sluice replay [-c FILE] [--stream NAME] [--code CODE] [--since T] [--until T]\n"
    "                     [--dry-run] [--json]\n"
    "       sluice replay --into NAME --stream NAME [-c FILE] [--since T] [--until T]\n"
    "\n"
    "Brings dead letters again: each is judged by today's rules and, when it is taken, has its place\n"
    "at its original position and arrival time. What is refused again stays the dead letter that it is.\n"
    "Doing it twice changes nothing. A daemon that runs takes it; else one is started for it.\n"
    "\n"
    "  --stream NAME   only of this stream (`_unrouted`: what no stream took)\n"
    "  --code CODE     only of this code, such as require or schema\n"
    "  --since T       only what arrived at or after T: 2026-01-31, 2026-01-31T10:00:00Z, or 90m, 12h, 7d ago\n"
    "  --until T       only what arrived before T\n"
    "  --dry-run       only tell what would become of them\n"
    "  --json          the table as JSON\n"
    "  --into NAME     instead: the stream's raw records (`raw: true`), all or of a time, through today's\n"
    "                  configuration into fresh tables: NAME in lake and warehouse, NAME_WINDOW for its windows\n";

/** Letters of one stream and code. */
typedef struct bin {
    struct bin *next;
    char *stream, *code, *named;
    sl_buffer items;
    uint32_t count;
    uint64_t letters, taken, filtered, repeated;
    json_t *refused; /* code: count */
} bin;

typedef struct replay {
    replay_options options;
    replay_daemon *daemon;
    size_t batch_bytes;
    bin *bins;
    uint64_t sent;
    sl_error *error;
} replay;

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

/* --- sending --- */

static uint64_t count_of(const json_t *reply, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(reply, name));
}

static void tally(bin *b, const json_t *reply) {
    const char *code;
    json_t *count;
    b->taken += count_of(reply, "taken");
    b->filtered += count_of(reply, "filtered");
    b->repeated += count_of(reply, "repeated");
    json_object_foreach(json_object_get(reply, "refused"), code, count) {
        json_int_t sum = json_integer_value(json_object_get(b->refused, code)) + json_integer_value(count);
        (void)json_object_set_new(b->refused, code, json_integer(sum));
    }
}

/* What no stream took goes where its request named, as it came. */
static const char *goes_to(const bin *b) {
    return b->stream[0] == '_' ? b->named : b->stream;
}

static sl_status send_bin(replay *r, bin *b) {
    if (b->count == 0)
        return SL_OK;
    sl_buffer path = SL_BUFFER_EMPTY, reply = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "/v1/replay?stream=%s%s", goes_to(b), r->options.dry_run ? "&dry_run=1" : "");
    sl_status status = path.failed || b->items.failed
                           ? no_memory(r->error)
                           : replay_daemon_post(r->daemon, sl_buffer_cstr(&path), b->items.bytes, b->items.length,
                                                &reply, r->error);
    json_t *told = status == SL_OK ? json_loadb((const char *)reply.bytes, reply.length, 0, NULL) : NULL;
    if (told != NULL)
        tally(b, told);
    else if (status == SL_OK)
        status = sl_error_set(r->error, SL_EIO, "a reply that can't be read: %.100s", sl_buffer_cstr(&reply));
    json_decref(told);
    r->sent += b->count;
    b->count = 0;
    sl_buffer_clear(&b->items);
    sl_buffer_fini(&path);
    sl_buffer_fini(&reply);
    return status;
}

static bool same(const char *text, const char *other, size_t length) {
    return strlen(text) == length && memcmp(text, other, length) == 0;
}

static bin *bin_of(replay *r, const replay_letter *l) {
    bin **at = &r->bins;
    for (; *at != NULL; at = &(*at)->next) {
        bin *b = *at;
        if (same(b->stream, l->stream, l->stream_length) && same(b->code, l->code, l->code_length) &&
            same(b->named, l->named, l->named_length))
            return b;
    }
    bin *b = sl_calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    b->stream = sl_strndup(l->stream, l->stream_length);
    b->code = sl_strndup(l->code, l->code_length);
    b->named = sl_strndup(l->named, l->named_length);
    b->refused = json_object();
    *at = b;
    return b->stream != NULL && b->code != NULL && b->named != NULL && b->refused != NULL ? b : NULL;
}

static sl_status take(void *context, const replay_letter *l) {
    replay *r = context;
    bin *b = bin_of(r, l);
    if (b == NULL)
        return no_memory(r->error);
    sl_status status = SL_OK;
    if (b->items.length + l->item.length > r->batch_bytes || b->count == BATCH_ITEMS)
        status = send_bin(r, b);
    sl_replay_put(&l->item, &b->items);
    b->count++;
    b->letters++;
    return status;
}

static void show_progress(uint64_t file, uint64_t files) {
    (void)fprintf(stderr, "\rreading file %" PRIu64 " of %" PRIu64 "\033[K", file, files);
}

static sl_status send_all(replay *r, const sl_config *config) {
    void (*progress)(uint64_t, uint64_t) = isatty(STDERR_FILENO) ? show_progress : NULL;
    sl_status status = replay_letters(config, sl_files_system(), &r->options, take, progress, r, r->error);
    if (progress != NULL)
        (void)fprintf(stderr, "\r\033[K");
    for (bin *b = r->bins; b != NULL && status == SL_OK; b = b->next)
        status = send_bin(r, b);
    return status;
}

/* --- the table --- */

static void print_refused(const bin *b, sl_buffer *out) {
    const char *code, *comma = "";
    json_t *count;
    json_object_foreach(b->refused, code, count) {
        sl_buffer_printf(out, "%s%s %" JSON_INTEGER_FORMAT, comma, code, json_integer_value(count));
        comma = ", ";
    }
    if (*comma == 0)
        sl_buffer_text(out, "-");
}

static void print_table(const replay *r) {
    const bool dry = r->options.dry_run;
    uint64_t letters = 0, taken = 0;
    (void)printf("%-20s %-14s %9s %9s %9s %9s  %s\n", "STREAM", "CODE", "LETTERS", dry ? "WOULD GO" : "TAKEN", "FILTERED",
                 "BEFORE", dry ? "WOULD STAY" : "REFUSED AGAIN");
    for (const bin *b = r->bins; b != NULL; b = b->next) {
        sl_buffer refused = SL_BUFFER_EMPTY;
        print_refused(b, &refused);
        (void)printf("%-20s %-14s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "  %s\n", b->stream, b->code, b->letters,
                     b->taken, b->filtered, b->repeated, sl_buffer_cstr(&refused));
        sl_buffer_fini(&refused);
        letters += b->letters;
        taken += b->taken;
    }
    (void)printf("%s%" PRIu64 " of %" PRIu64 " dead letters %s\n", dry ? "dry run: " : "", taken, letters,
                 dry ? "would go to their tables" : "are in their tables now");
}

static bool print_json(const replay *r) {
    json_t *rows = json_array();
    for (const bin *b = r->bins; b != NULL; b = b->next)
        (void)json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:O}", "stream", b->stream, "code",
                                                    b->code, "named", b->named, "letters", (json_int_t)b->letters,
                                                    "taken", (json_int_t)b->taken, "filtered", (json_int_t)b->filtered,
                                                    "before", (json_int_t)b->repeated, "refused", b->refused));
    json_t *all = json_pack("{s:b, s:o}", "dry_run", r->options.dry_run, "letters", rows);
    bool good = all != NULL && json_dumpf(all, stdout, JSON_COMPACT) == 0 && puts("") >= 0;
    json_decref(all);
    return good;
}

/* --- the command line --- */

static bool parse_time(const char *text, int64_t *us) {
    int64_t ago;
    int32_t day;
    if (*us != INT64_MIN && *us != INT64_MAX)
        return false; /* Twice. */
    if (sl_duration_parse(text, strlen(text), &ago)) {
        *us = sl_wall_us() - ago;
        return true;
    }
    if (sl_date_parse(text, strlen(text), &day)) {
        *us = (int64_t)day * 24 * SL_HOUR_US;
        return true;
    }
    return sl_time_parse(text, strlen(text), us);
}

static bool known_code(const char *code, const char **near) {
    const char *names[SL_CODE_COUNT];
    size_t count = 0;
    for (unsigned i = SL_CODE_NONE + 1; i < SL_CODE_COUNT; i++) {
        names[count++] = sl_code_name((sl_code)i);
        if (strcmp(code, sl_code_name((sl_code)i)) == 0)
            return true;
    }
    *near = sl_config_nearest(code, names, count);
    return false;
}

static bool take_once(const char **option, const char *value) {
    bool first = *option == NULL;
    *option = value;
    return first && value != NULL;
}

static int refuse(const char *option, const char *value, bool takes) {
    const char *why = ": it is there twice, and a replay is of one";
    if (!takes)
        why = ": no such option";
    else if (value == NULL)
        why = " needs a value";
    else if (strcmp(option, "--since") == 0 || strcmp(option, "--until") == 0)
        why = ": a time, once: 2026-01-31, 2026-01-31T10:00:00Z, or 90m, 12h, 7d ago";
    bool shown = takes && value != NULL;
    (void)fprintf(stderr, "sluice: replay: %s%s%s%s; see sluice replay --help\n", option, shown ? " " : "", shown ? value : "", why);
    return EXIT_USAGE;
}

/* @return -1: go on; else the exit code. */
static int parse(int argc, char **argv, replay_options *o) {
    *o = (replay_options){.since_us = INT64_MIN, .until_us = INT64_MAX};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool takes = true, good = value != NULL;
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
            return fputs(usage, stdout) < 0;
        if (strcmp(a, "-c") == 0 || strcmp(a, "--config") == 0)
            good = take_once(&o->config, value);
        else if (strcmp(a, "--stream") == 0)
            good = take_once(&o->stream, value);
        else if (strcmp(a, "--into") == 0)
            good = take_once(&o->into, value);
        else if (strcmp(a, "--code") == 0)
            good = take_once(&o->code, value);
        else if (strcmp(a, "--since") == 0)
            good = good && parse_time(value, &o->since_us);
        else if (strcmp(a, "--until") == 0)
            good = good && parse_time(value, &o->until_us);
        else
            takes = false;
        if (!takes) {
            good = strcmp(a, "--dry-run") == 0 || strcmp(a, "--json") == 0;
            o->dry_run |= strcmp(a, "--dry-run") == 0;
            o->json |= strcmp(a, "--json") == 0;
        }
        if (!good)
            return refuse(a, value, takes);
        i += takes;
    }
    if (o->into != NULL && (o->stream == NULL || o->code != NULL || o->dry_run || o->json)) {
        (void)fprintf(stderr, "sluice: replay: --into goes with --stream, --since and --until, and needs --stream\n%s", usage);
        return EXIT_USAGE;
    }
    if (o->since_us >= o->until_us) {
        (void)fputs("sluice: replay: --since is not before --until, so nothing arrived between them\n", stderr);
        return EXIT_USAGE;
    }
    const char *near = NULL;
    if (o->code != NULL && !known_code(o->code, &near)) {
        (void)fprintf(stderr, "sluice: replay: --code %s: no event is refused with that code%s%s%s\n", o->code,
                      near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "");
        return EXIT_USAGE;
    }
    return -1;
}

static void warn(void *context, const char *message) {
    (void)context;
    (void)fprintf(stderr, "sluice: warning: %s\n", message);
}

static void bins_free(replay *r) {
    while (r->bins != NULL) {
        bin *b = r->bins;
        r->bins = b->next;
        json_decref(b->refused);
        sl_buffer_fini(&b->items);
        sl_free(b->stream);
        sl_free(b->code);
        sl_free(b->named);
        sl_free(b);
    }
}

/* What waits to be cut is written first, so that its dead letters are files; and at the end, so that all is there. */
static void flush(replay *r) {
    sl_buffer reply = SL_BUFFER_EMPTY;
    sl_error error = {0};
    if (replay_daemon_post(r->daemon, "/v1/flush", NULL, 0, &reply, &error) != SL_OK)
        (void)fprintf(stderr, "sluice: warning: not everything is delivered yet: %s\n", error.text);
    sl_buffer_fini(&reply);
}

static sl_status run(replay *r, const sl_config *config) {
    /* Half of what a request may hold: a single letter is never larger than an event. */
    r->batch_bytes = config->http.max_body / 2 < (1u << 20) ? (size_t)config->http.max_body / 2 : 1u << 20;
    sl_status status = replay_daemon_find(config, r->options.config, &r->daemon, r->error);
    if (status == SL_OK) {
        flush(r);
        status = send_all(r, config);
    }
    if (status == SL_OK && r->sent != 0 && !r->options.dry_run)
        flush(r);
    sl_error late = {0};
    sl_status left = replay_daemon_leave(r->daemon, &late);
    if (status == SL_OK && left != SL_OK)
        *r->error = late;
    return status == SL_OK ? left : status;
}

int sl_replay_main(int argc, char **argv) {
    sl_error error = {0};
    replay r = {.error = &error};
    int code = parse(argc, argv, &r.options);
    if (code >= 0)
        return code;
    sl_data_reading reading = {0};
    const sl_config_source source = {.path = r.options.config,
                                     .environment = (const char *const *)environ,
                                     .fixed_only = r.options.into == NULL, /* Else a daemon is made of it. */
                                     .lookup = sl_data_for_configuration,
                                     .lookup_context = &reading};
    static sl_config *config; /* With --into it goes with the process, and with it what was put there. */
    if (sl_config_load(&source, warn, NULL, &config, &error) != SL_OK) {
        (void)fprintf(stderr, "sluice: %s\n", error.text);
        return EXIT_CONFIGURATION;
    }
    if (r.options.into != NULL)
        return replay_into(config, &r.options, &error);
    sl_status status = run(&r, config);
    bool told = true;
    if (r.options.json)
        told = print_json(&r);
    else if (status == SL_OK || r.bins != NULL)
        print_table(&r);
    if (status != SL_OK)
        (void)fprintf(stderr, "sluice: replay: %s\n", error.text);
    bins_free(&r);
    sl_config_destroy(config);
    return status == SL_OK && told ? 0 : 1;
}
