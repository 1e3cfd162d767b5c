/* `sluice generate`: options, output to a file or stdout, and the summary. */
#include "generate_private.h"

#include "sluice/time.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 64
#define WRITE_BYTES (256 * 1024)

#define KINDS "clickstream, orders, web-analytics, iot, payments or food-delivery"

static const char usage[] =
    "Usage: sluice generate KIND [OPTION]...\n"
    "       sluice generate KIND --tables DIR [--rows N]\n"
    "       sluice generate --file FILE --to URL [OPTION]...\n"
    "Make test events. KIND is " KINDS ";\n"
    "the same seed and count give the same bytes.\n"
    "\n"
    "  --to URL|FILE|-   http://HOST:PORT[/PATH] (path: /v1/events), kinesis://HOST:PORT/STREAM (PutRecords,\n"
    "                    signed with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), kafka://HOST:PORT[,HOST:PORT]/TOPIC\n"
    "                    (keys are the events' ids; login and TLS as SLUICE_KAFKA_SASL_… and SLUICE_KAFKA_TLS… say),\n"
    "                    a file, or stdout [-]\n"
    "  --count N         events in all [rate x duration, else until stopped]\n"
    "  --rate N          events a second, kept by the clock [0: as fast as taken]\n"
    "  --duration D      such as 30s, 5m [none]\n"
    "  --seed S          [1]\n"
    "  --start TIME      event time of the first [2024-03-20T10:00:00Z]\n"
    "  --event-hours H   event times are spread over H hours [1]\n"
    "  --now             event times are the present instead (bytes then don't repeat)\n"
    "  --format F        json (a line each), or csv: a header in each file or body, then lines [json]\n"
    "  --duplicates F    share of events that are one of the last 100 again, such as 0.05 [0]\n"
    "  --invalid F       share of events without their id, with a wrong type, or cut off [0]\n"
    "  --connections N   keep-alive connections [1]\n"
    "  --batch N         events in a request's body [100; to kinesis://, where 500 is the most: 500]\n"
    "  --token T         bearer token [$SLUICE_TOKEN]\n"
    "  --idempotent      send an Idempotency-Key, so that a lost reply can be tried again\n"
    "  --retry-for D     how long a body is tried again after 429, 503 or a lost reply [60s]\n"
    "  --file FILE       send the lines of FILE instead of making events\n"
    "  --tables DIR      no events, but the CSV tables that belong to KIND: its users, devices ...\n"
    "  --rows N          at most N rows of each table [all]\n"
    "  --summary FILE    write the figures as JSON too\n"
    "  --no-progress     no line of figures each second\n"
    "Exit: 0; 1 when something was refused (without --invalid), lost or failed; 64 usage.\n";

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

bool sl_generate_stopped(void) { return stopped != 0; }

/* --- Options ------------------------------------------------------------------------------- */

static bool read_u64(const char *text, uint64_t max, uint64_t *value) {
    char *end = NULL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && errno == 0 && *end == '\0' && *value <= max;
}

static bool read_positive(const char *text, double max, double *value) {
    char *end = NULL;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value > 0 && *value <= max;
}

static bool read_share(const char *text, double *value) {
    char *end = NULL;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0 && *value <= 1;
}

static bool read_format(const char *text, bool *csv) {
    *csv = strcmp(text, "csv") == 0;
    return *csv || strcmp(text, "json") == 0;
}

static bool read_text(const char *text, const char **value) {
    *value = text;
    return *text != '\0';
}

/* What the events are; the arguments are take_value()'s. */
static bool take_content(sl_generate_options *o, const char *name, const char *value, bool *good) {
    double number = 0;
    if (strcmp(name, "--seed") == 0) {
        *good = read_u64(value, UINT64_MAX, &o->seed);
    } else if (strcmp(name, "--event-hours") == 0) {
        *good = read_positive(value, 1e6, &number);
        o->span_ms = (int64_t)(number * 3600000.0);
    } else if (strcmp(name, "--start") == 0) {
        *good = o->has_start = sl_time_parse(value, strlen(value), &o->start_ms);
        o->start_ms = sl_time_floor(o->start_ms, 1000) / 1000;
    } else if (strcmp(name, "--format") == 0) {
        *good = read_format(value, &o->csv);
    } else if (strcmp(name, "--duplicates") == 0) {
        *good = read_share(value, &o->duplicates);
    } else if (strcmp(name, "--invalid") == 0) {
        *good = read_share(value, &o->invalid);
    } else if (strcmp(name, "--tables") == 0) {
        *good = read_text(value, &o->tables);
    } else if (strcmp(name, "--rows") == 0) {
        *good = read_u64(value, UINT32_MAX, &o->rows) && o->rows > 0;
    } else
        return false;
    return true;
}

/* @return false when `name` is none; *good says whether the value fits. */
static bool take_value(sl_generate_options *o, const char *name, const char *value, bool *good) {
    uint64_t connections = 0;
    if (strcmp(name, "--to") == 0) {
        *good = read_text(value, &o->to);
    } else if (strcmp(name, "--file") == 0) {
        *good = read_text(value, &o->file);
    } else if (strcmp(name, "--summary") == 0) {
        *good = read_text(value, &o->summary);
    } else if (strcmp(name, "--token") == 0) {
        *good = read_text(value, &o->token) && strpbrk(value, "\r\n") == NULL;
    } else if (strcmp(name, "--count") == 0) {
        *good = read_u64(value, UINT64_C(1) << 40, &o->count);
    } else if (strcmp(name, "--batch") == 0) {
        *good = read_u64(value, 1000000, &o->batch) && o->batch > 0;
    } else if (strcmp(name, "--connections") == 0) {
        *good = read_u64(value, 10000, &connections) && connections > 0;
        o->connections = (unsigned)connections;
    } else if (strcmp(name, "--rate") == 0) {
        *good = strcmp(value, "0") == 0 || read_positive(value, 1e9, &o->rate);
    } else if (strcmp(name, "--duration") == 0) {
        *good = sl_duration_parse(value, strlen(value), &o->duration_us) && o->duration_us > 0;
    } else if (strcmp(name, "--retry-for") == 0) {
        *good = sl_duration_parse(value, strlen(value), &o->retry_for_us);
    } else
        return take_content(o, name, value, good);
    return true;
}

static bool take_switch(sl_generate_options *o, const char *name) {
    if (strcmp(name, "--now") == 0)
        o->now = true;
    else if (strcmp(name, "--idempotent") == 0)
        o->idempotent = true;
    else if (strcmp(name, "--no-progress") == 0)
        o->progress = false;
    else
        return false;
    return true;
}

/* Takes argv[*at] and moves *at over a value of its own. "--name value" and "--name=value". */
static sl_status take_option(sl_generate_options *o, int argc, char **argv, int *at,
                             sl_error *error) {
    char name[32];
    const char *argument = argv[*at], *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
    if (length >= sizeof name)
        return sl_error_set(error, SL_EINVAL, "unknown option %s", argument);
    memcpy(name, argument, length);
    name[length] = '\0';
    if (equals == NULL && take_switch(o, name))
        return SL_OK;
    const char *value = equals != NULL ? equals + 1 : *at + 1 < argc ? argv[*at + 1] : NULL;
    bool good = false;
    if (!take_value(o, name, value != NULL ? value : "", &good))
        return sl_error_set(error, SL_EINVAL, "unknown option %s", name);
    if (value == NULL)
        return sl_error_set(error, SL_EINVAL, "%s needs a value", name);
    if (!good)
        return sl_error_set(error, SL_EINVAL, "%s: bad value '%s'", name, value);
    *at += equals == NULL;
    return SL_OK;
}

static bool is_url(const char *to) { return strstr(to, "://") != NULL; }

static sl_status check_options(sl_generate_options *o, sl_error *error) {
    if (o->has_kind == (o->file != NULL))
        return sl_error_set(error, SL_EINVAL, "give a KIND (" KINDS ") or --file");
    if (o->file != NULL && !is_url(o->to))
        return sl_error_set(error, SL_EINVAL, "--file needs --to http://…, kinesis://… or kafka://…");
    if (o->file != NULL && (o->csv || o->tables != NULL || o->duplicates + o->invalid > 0))
        return sl_error_set(error, SL_EINVAL, "a file is sent as it is: --format, --duplicates, "
                                              "--invalid and --tables go with a KIND");
    if (o->rows > 0 && o->tables == NULL)
        return sl_error_set(error, SL_EINVAL, "--rows goes with --tables; events: --count");
    if (sl_generate_is_kafka(o->to)) {
        if (o->idempotent || o->batch != 0 || o->connections != 1)
            return sl_error_set(error, SL_EINVAL, "--idempotent, --batch and --connections don't go with kafka://: its producer is idempotent, and sees "
                                                  "to the rest itself");
        sl_status status = sl_generate_kafka_check(o->to, error);
        if (status != SL_OK)
            return status;
    }
    const bool kinesis = strncmp(o->to, "kinesis://", 10) == 0;
    if (o->batch == 0)
        o->batch = kinesis ? SL_KINESIS_RECORDS_MAX : 100;
    if (kinesis && o->batch > SL_KINESIS_RECORDS_MAX)
        return sl_error_set(error, SL_EINVAL, "--batch: PutRecords takes up to 500 records");
    if (kinesis && o->idempotent)
        return sl_error_set(error, SL_EINVAL, "--idempotent: the Kinesis API has no Idempotency-Key");
    if (o->count == 0 && o->duration_us > 0 && o->rate > 0)
        o->count = (uint64_t)(o->rate * (double)o->duration_us / 1e6 + 0.5);
    return SL_OK;
}

static sl_status parse_options(int argc, char **argv, sl_generate_options *o, sl_error *error) {
    *o = (sl_generate_options){.seed = 1,
                               .to = "-",
                               .token = getenv("SLUICE_TOKEN"),
                               .progress = true,
                               .connections = 1,
                               .start_ms = SL_GENERATE_START_MS,
                               .span_ms = SL_HOUR_US / 1000,
                               .retry_for_us = SL_MINUTE_US};
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] == '-') {
            sl_status status = take_option(o, argc, argv, &i, error);
            if (status != SL_OK)
                return status;
        } else if (o->has_kind)
            return sl_error_set(error, SL_EINVAL, "one KIND only, not also '%s'", argv[i]);
        else if (!sl_generate_kind_parse(argv[i], &o->kind))
            return sl_error_set(error, SL_EINVAL,
                                "unknown kind '%s': give " KINDS, argv[i]);
        else
            o->has_kind = true;
    }
    return check_options(o, error);
}

sl_generator sl_generate_options_generator(const sl_generate_options *o) {
    sl_generator generator;
    sl_generator_init(&generator, o->kind, o->seed, o->count);
    generator.start_ms = o->start_ms;
    generator.span_ms = o->span_ms;
    generator.duplicates = o->duplicates;
    generator.invalid = o->invalid;
    generator.csv = o->csv;
    return generator;
}

/* --- To a file ----------------------------------------------------------------------------- */

static sl_status write_all(int file, const uint8_t *bytes, size_t length, sl_error *error) {
    while (length > 0) {
        ssize_t n = write(file, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sl_error_set(error, errno == EPIPE ? SL_ENOTFOUND : SL_EIO, "write: %s",
                                strerror(errno));
        bytes += n;
        length -= (size_t)n;
    }
    return SL_OK;
}

static void sleep_us(int64_t us) {
    struct timespec t = {.tv_sec = us / SL_SECOND_US, .tv_nsec = us % SL_SECOND_US * 1000};
    nanosleep(&t, NULL);
}

/* Events that are due after `elapsed_us`, at most up to the end. */
static uint64_t due_events(const sl_generate_options *o, int64_t elapsed_us, uint64_t end) {
    if (o->rate <= 0)
        return end;
    double due = o->rate * (double)elapsed_us / 1e6 + 1;
    return due < (double)end ? (uint64_t)due : end;
}

static sl_status write_events(const sl_generate_options *o, int file, uint8_t *buffer,
                              sl_generate_summary *summary, sl_error *error) {
    sl_generator generator = sl_generate_options_generator(o);
    size_t head = o->csv ? sl_generate_header(&generator, buffer) : 0;
    uint64_t end = o->count > 0 ? o->count : UINT64_MAX;
    int64_t start = sl_monotonic_us(), elapsed = 0;
    while (summary->sent < end && !sl_generate_stopped() &&
           (o->duration_us == 0 || elapsed < o->duration_us)) {
        uint64_t due = due_events(o, elapsed, end);
        size_t length = head;
        head = 0;
        if (o->now)
            generator.now_ms = (int64_t)time(NULL) * 1000;
        for (; summary->sent < due && length <= WRITE_BYTES - SL_GENERATE_EVENT_BYTES_MAX;
             summary->sent++)
            length += sl_generate_event(&generator, summary->sent, buffer + length);
        sl_status status = write_all(file, buffer, length, error);
        if (status != SL_OK)
            return status;
        summary->bytes += length;
        if (summary->sent >= due && due < end)
            sleep_us(10000);
        elapsed = sl_monotonic_us() - start;
    }
    return SL_OK;
}

static sl_status generate_to_file(const sl_generate_options *o, sl_generate_summary *summary,
                                  sl_error *error) {
    bool is_stdout = strcmp(o->to, "-") == 0;
    int file = is_stdout ? STDOUT_FILENO : open(o->to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0)
        return sl_error_set(error, SL_EIO, "open %s: %s", o->to, strerror(errno));
    uint8_t *buffer = sl_malloc(WRITE_BYTES);
    sl_status status = buffer == NULL ? sl_error_set(error, SL_ENOMEM, "out of memory")
                                      : write_events(o, file, buffer, summary, error);
    sl_free(buffer);
    if (!is_stdout && close(file) != 0 && status == SL_OK)
        status = sl_error_set(error, SL_EIO, "close %s: %s", o->to, strerror(errno));
    /* A reader that has seen enough (`| head`) is no failure. */
    return is_stdout && status == SL_ENOTFOUND ? SL_OK : status;
}

/* --- What is said -------------------------------------------------------------------------- */

static double ms_at(const sl_generate_summary *s, double share) {
    return (double)sl_histogram_at(&s->latency, share) / 1000.0;
}

void sl_generate_progress(const sl_generate_summary *s, int64_t elapsed_us,
                          uint64_t events_before, int64_t interval_us) {
    double rate = (double)(s->sent - events_before) * 1e6 / (double)(interval_us + 1);
    fprintf(stderr,
            "%6.1fs sent=%llu rate=%.0f/s accepted=%llu rejected=%llu retries=%llu "
            "p50=%.2fms p99=%.2fms\n",
            (double)elapsed_us / 1e6, (unsigned long long)s->sent, rate,
            (unsigned long long)s->accepted, (unsigned long long)s->rejected,
            (unsigned long long)s->retries, ms_at(s, 0.5), ms_at(s, 0.99));
}

static double events_per_second(const sl_generate_summary *s) {
    return (double)s->sent * 1e6 / (double)(s->wall_us > 0 ? s->wall_us : 1);
}

static void print_summary(const sl_generate_summary *s) {
    fprintf(stderr,
            "events    %llu sent, %llu accepted, %llu rejected, %llu given up, %llu unknown\n"
            "requests  %llu, %llu tried again, %.1f MB\n"
            "time      %.3f s, %.0f events/s, %.3f s of CPU here\n"
            "latency   p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, max %.3f ms\n",
            (unsigned long long)s->sent, (unsigned long long)s->accepted,
            (unsigned long long)s->rejected, (unsigned long long)s->given_up,
            (unsigned long long)s->lost, (unsigned long long)s->requests,
            (unsigned long long)s->retries, (double)s->bytes / 1e6, (double)s->wall_us / 1e6,
            events_per_second(s), (double)s->cpu_us / 1e6, ms_at(s, 0.5), ms_at(s, 0.99),
            ms_at(s, 0.999), (double)s->latency.max / 1000.0);
}

static sl_status write_summary(const char *path, const sl_generate_summary *s, sl_error *error) {
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (file == NULL)
        return sl_error_set(error, SL_EIO, "open %s: %s", path, strerror(errno));
    fprintf(file,
            "{\"sent\":%llu,\"accepted\":%llu,\"rejected\":%llu,\"given_up\":%llu,"
            "\"unknown\":%llu,\"requests\":%llu,\"retries\":%llu,\"bytes\":%llu,"
            "\"wall_s\":%.6f,\"cpu_s\":%.6f,\"events_per_s\":%.1f,\"p50_ms\":%.3f,"
            "\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f}\n",
            (unsigned long long)s->sent, (unsigned long long)s->accepted,
            (unsigned long long)s->rejected, (unsigned long long)s->given_up,
            (unsigned long long)s->lost, (unsigned long long)s->requests,
            (unsigned long long)s->retries, (unsigned long long)s->bytes,
            (double)s->wall_us / 1e6, (double)s->cpu_us / 1e6, events_per_second(s),
            ms_at(s, 0.5), ms_at(s, 0.99), ms_at(s, 0.999), (double)s->latency.max / 1000.0);
    bool good = ferror(file) == 0;
    good = (file == stdout ? fflush(file) : fclose(file)) == 0 && good;
    return good ? SL_OK : sl_error_set(error, SL_EIO, "write %s: %s", path, strerror(errno));
}

static int write_tables(const sl_generate_options *o) {
    sl_error error = {0};
    if (sl_generate_tables(o->kind, o->rows, o->tables, &error) == SL_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "generate: %s\n", error.text);
    return EXIT_FAILURE;
}

static int run(const sl_generate_options *o) {
    sl_error error = {0};
    sl_generate_summary *summary = sl_calloc(1, sizeof *summary);
    if (summary == NULL) {
        fprintf(stderr, "generate: out of memory\n");
        return EXIT_FAILURE;
    }
    int64_t start = sl_monotonic_us(), cpu = sl_cpu_us();
    sl_status status = sl_generate_is_kafka(o->to) ? sl_generate_to_kafka(o, summary, &error)
                       : is_url(o->to)             ? sl_generate_send(o, summary, &error)
                                                   : generate_to_file(o, summary, &error);
    summary->wall_us = sl_monotonic_us() - start;
    summary->cpu_us = sl_cpu_us() - cpu;
    if (is_url(o->to))
        print_summary(summary);
    if (status == SL_OK && o->summary != NULL)
        status = write_summary(o->summary, summary, &error);
    if (status != SL_OK)
        fprintf(stderr, "generate: %s\n", error.text);
    /* Of events that are broken on purpose a refusal is what is wanted, but not of all. */
    bool refused = o->invalid > 0 ? summary->accepted == 0 && summary->rejected > 0
                                  : summary->rejected > 0;
    refused = refused || summary->given_up + summary->lost > 0;
    sl_free(summary);
    return status == SL_OK && !refused ? EXIT_SUCCESS : EXIT_FAILURE;
}

int sl_generate_main(int argc, char **argv) {
    sl_error error = {0};
    sl_generate_options options;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        }
    if (parse_options(argc, argv, &options, &error) != SL_OK) {
        fprintf(stderr, "sluice generate: %s; see sluice generate --help\n", error.text);
        return EXIT_USAGE;
    }
    struct sigaction action = {0}, old_int, old_term, old_pipe;
    sigemptyset(&action.sa_mask);
    stopped = 0;
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, &old_int);
    sigaction(SIGTERM, &action, &old_term);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, &old_pipe);
    int code = options.tables != NULL ? write_tables(&options) : run(&options);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    sigaction(SIGPIPE, &old_pipe, NULL);
    return code;
}
