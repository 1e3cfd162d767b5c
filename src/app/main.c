/* The command line: `sluice [VERB] …`. */
#include "sluice/audit.h"
#include "sluice/daemon.h"
#include "ddl.h"
#include "kafka_check.h"
#include "places_check.h"

#include "sluice/data.h"
#include "sluice/engine.h"
#include "sluice/generate.h"
#include "sluice/http_server.h"
#include "sluice/io_files.h"
#include "sluice/parquet.h"
#include "sluice/replay.h"
#include "sluice/watch.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_CONFIGURATION = 78 };
#define PATIENCE_US (30 * SL_SECOND_US) /* Of a start; then systemd, or whoever started it, begins again. */

extern char **environ;

static const char usage[] =
    "usage: sluice [run] [-c FILE] [--drain]      the daemon (the default verb)\n"
    "       sluice validate [FILE] [--no-environment]\n"
    "                                             check a configuration\n"
    "       sluice test FILE [--filter NAME] [--verbose] [--junit FILE]\n"
    "                                             run the tests of a configuration\n"
    "       sluice generate KIND [options]        test events; see generate --help\n"
    "       sluice audit [-c FILE] [--json] [--whole]\n"
    "                                             prove that every event is where it belongs, once\n"
    "       sluice replay [-c FILE] [options]     dead letters again, by today's rules; see replay --help\n"
    "       sluice ddl redshift|postgres|athena [-c FILE]\n"
    "                                             statements that make the tables of a configuration\n"
    "       sluice tap [--stage S] [--stream NAME] [--where CEL] [options]\n"
    "                                             events of a running daemon as they pass; see tap --help\n"
    "       sluice top [-c FILE | --url URL] [--once] [options]\n"
    "                                             rates, backlogs and resources of a running daemon\n"
    "       sluice inspect FILE.parquet [--json]  schema, row groups, encodings, log ranges\n"
    "       sluice version | help\n"
    "\n"
    "Without a configuration: ./sluice-data, HTTP on 127.0.0.1:8080, Parquet below\n"
    "sluice-data/lake, aggregates in sluice-data/warehouse.db, the dashboard on /.\n"
    "\n"
    "  curl -d '{\"user_id\":\"u1\",\"amount\":3.5}' localhost:8080/v1/events\n"
    "\n"
    "Exit: 0, 1 failure, 64 usage, 78 configuration.\n";

static void warn(void *context, const char *message) {
    (void)context;
    (void)fprintf(stderr, "sluice: warning: %s\n", message);
}

static int load_from(const sl_config_source *source, sl_config **config) {
    sl_error error = {0};
    if (sl_config_load(source, warn, NULL, config, &error) == SL_OK)
        return 0;
    (void)fprintf(stderr, "sluice: %s\n", error.text);
    return EXIT_CONFIGURATION;
}

/* Without its environment a configuration is checked where it is written: what is on this machine is read, servers aren't asked. */
static sl_status lookup_here(void *context, const sl_config *config, const sl_config_lookup *lookup, sl_lookup **out,
                             sl_error *error) {
    if (strncmp(sl_data_place(lookup), "s3://", 5) != 0 && lookup->postgres == NULL)
        return sl_data_for_configuration(context, config, lookup, out, error);
    *out = NULL;
    (void)fprintf(stderr, "sluice: lookup %s isn't read (--no-environment): what depends on its columns isn't checked\n",
                  lookup->name);
    return SL_OK;
}

/* @param patience_us How long sources of lookup tables that can't be reached are tried. */
static int load(const char *path, bool with_environment, int64_t patience_us, sl_config **config) {
    static const char *const none[] = {NULL};
    sl_data_reading reading = {.patience_us = patience_us};
    const sl_config_source source = {.path = path,
                                     .environment = with_environment ? (const char *const *)environ : none,
                                     .lookup = with_environment ? sl_data_for_configuration : lookup_here,
                                     .lookup_context = &reading,
                                     .kafka_property = sl_kafka_property_check};
    return load_from(&source, config);
}

static int help(void) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%s\nConfiguration keys:\n", usage);
    sl_config_print_parameters("text", &text);
    bool told = fputs(sl_buffer_cstr(&text), stdout) >= 0;
    sl_buffer_fini(&text);
    return told ? 0 : 1;
}

typedef struct arguments {
    const char *config, *file, *filter, *junit, *crash_at;
    bool verbose, drain, json, whole, no_environment, crash_points;
} arguments;

enum { RUN = 1, VALIDATE = 2, TEST = 4, AUDIT = 8, DDL = 16, INSPECT = 32 };
enum { CONFIGURED = RUN | VALIDATE | TEST | AUDIT | DDL };

static const struct {
    const char *name;
    unsigned verbs; /* That take it: what means nothing to a verb isn't passed over. */
    size_t offset;  /* In `arguments`, of its value or of the flag. */
    bool flag;
} options[] = {{"-c", CONFIGURED, offsetof(arguments, config), false},
               {"--config", CONFIGURED, offsetof(arguments, config), false},
               {"--drain", RUN, offsetof(arguments, drain), true},
               {"--no-environment", VALIDATE, offsetof(arguments, no_environment), true},
               {"--filter", TEST, offsetof(arguments, filter), false},
               {"--junit", TEST, offsetof(arguments, junit), false},
               {"--verbose", TEST, offsetof(arguments, verbose), true},
               {"--json", AUDIT | INSPECT, offsetof(arguments, json), true},
               {"--whole", AUDIT, offsetof(arguments, whole), true},
#ifdef SLUICE_CRASH_POINTS
               {"--crash-at", RUN, offsetof(arguments, crash_at), false},
               {"--crash-points", RUN, offsetof(arguments, crash_points), true},
#endif
};
enum { OPTIONS = sizeof options / sizeof options[0] };

typedef struct command {
    const char *name;
    unsigned verb;
    const char *file; /* What its word is called, or NULL: it takes none. */
    bool needed;
    int (*run)(const arguments *a);
} command;

/** @return EXIT_USAGE, having said what is wrong in one line: the usage would push that off the screen. */
static int refuse(const command *c, const char *format, ...) SL_PRINTF(2, 3);

static int refuse(const command *c, const char *format, ...) {
    va_list list;
    (void)fprintf(stderr, "sluice %s: ", c->name);
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    (void)fprintf(stderr, "; see sluice --help\n");
    return EXIT_USAGE;
}

static int refuse_option(const command *c, const char *word) {
    const char *names[OPTIONS];
    size_t count = 0;
    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].verbs & c->verb)
            names[count++] = options[i].name;
    const char *near = sl_config_nearest(word, names, count);
    return refuse(c, "there is no option '%s'%s%s%s", word, near != NULL ? " (did you mean '" : "",
                  near != NULL ? near : "", near != NULL ? "'?)" : "");
}

static int take_word(const command *c, const char *word, arguments *a) {
    if (c->file == NULL && (c->verb & CONFIGURED))
        return refuse(c, "what is '%s'? A configuration is named by -c FILE", word);
    if (a->file != NULL)
        return refuse(c, "'%s' is one word too many", word);
    a->file = word;
    return -1;
}

/* @return -1: go on; else the exit code. */
static int parse(const command *c, int argc, char **argv, arguments *a) {
    for (int i = 0, code; i < argc; i++) {
        size_t o = 0;
        while (o < OPTIONS && !(strcmp(argv[i], options[o].name) == 0 && (options[o].verbs & c->verb)))
            o++;
        char *at = (char *)a + (o < OPTIONS ? options[o].offset : 0);
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return fputs(usage, stdout) < 0;
        if (o == OPTIONS && argv[i][0] == '-')
            return refuse_option(c, argv[i]);
        if (o == OPTIONS && (code = take_word(c, argv[i], a)) >= 0)
            return code;
        if (o < OPTIONS && options[o].flag)
            *(bool *)(void *)at = true;
        else if (o < OPTIONS && ++i == argc)
            return refuse(c, "%s needs a value", options[o].name);
        else if (o < OPTIONS)
            *(const char **)(void *)at = argv[i];
    }
    return c->needed && a->file == NULL ? refuse(c, "needs %s", c->file) : -1;
}

static int between(uint64_t value, int low, int high) {
    return value < (uint64_t)low ? low : value > (uint64_t)high ? high : (int)value;
}

/* Pages of the kernel are dear to touch for the first time, so what is freed is kept and used again: a share of the
 * budget. Single large blocks go back at once, as holes of their size would keep the heap from shrinking. */
static void keep_memory(uint64_t budget) {
    (void)mallopt(M_MMAP_THRESHOLD, between(budget / 128, 256 << 10, 4 << 20));
    (void)mallopt(M_TRIM_THRESHOLD, between(budget / (budget < 256u << 20 ? 32 : 8), 1 << 20, 64 << 20));
    (void)mallopt(M_TOP_PAD, between(budget / 512, 128 << 10, 1 << 20));
}

static bool check_tls(const sl_config *config, sl_error *error) {
    return config->http.tls_cert == NULL || sl_http_tls_check(config->http.tls_cert, config->http.tls_key, error) == SL_OK;
}

static int run(const arguments *a) {
    for (int i = 0; a->crash_points && sl_crash_points()[i] != NULL; i++)
        (void)puts(sl_crash_points()[i]);
    if (a->crash_points)
        return 0;
#ifdef SLUICE_CRASH_POINTS
    if (a->crash_at != NULL && !sl_crash_arm(a->crash_at))
        return EXIT_USAGE;
#endif
    sl_config *config;
    int code = load(a->config, true, PATIENCE_US, &config);
    if (code != 0)
        return code;
    sl_error error = {0};
    if (!check_tls(config, &error)) {
        (void)fprintf(stderr, "sluice: %s\n", error.text);
        sl_config_destroy(config);
        return EXIT_CONFIGURATION;
    }
    keep_memory(config->memory);
    return sl_daemon_run(config, a->config, a->drain);
}

static int validate(const arguments *a) {
    sl_config *config;
    const char *path = a->file != NULL ? a->file : a->config;
    int code = load(path, !a->no_environment, 0, &config);
    if (code != 0)
        return code;
    sl_buffer problems = SL_BUFFER_EMPTY;
    sl_error error = {0};
    bool good = a->no_environment || sl_kafka_check(config, path, warn, NULL, &problems);
    if (!a->no_environment && !sl_places_check(config, &problems))
        good = false;
    if (!a->no_environment && !check_tls(config, &error)) {
        sl_buffer_printf(&problems, "%s%s", good ? "" : "\n", error.text);
        good = false;
    }
    if (good) {
        (void)printf("ok: %u streams, %u windows\n", config->stream_count, config->window_count);
    } else {
        (void)fprintf(stderr, "sluice: %s\n", sl_buffer_cstr(&problems));
        code = EXIT_CONFIGURATION;
    }
    sl_buffer_fini(&problems);
    sl_config_destroy(config);
    return code;
}

static int test(const arguments *a) {
    const sl_trial_options trial = {
        .path = a->file != NULL ? a->file : a->config, .filter = a->filter, .junit = a->junit, .verbose = a->verbose};
    if (trial.path == NULL && getenv("SLUICE_CONFIG_YAML") == NULL) {
        (void)fprintf(stderr, "sluice test: needs FILE; see sluice --help\n");
        return EXIT_USAGE;
    }
    return sl_trial_main(&trial);
}

static int audit(const arguments *a) {
    sl_config *config;
    const sl_config_source source = {
        .path = a->config, .environment = (const char *const *)environ, .fixed_only = true};
    int code = load_from(&source, &config);
    if (code != 0)
        return code;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_error error = {0};
    bool clean = false;
    sl_status status = sl_audit(config, sl_files_system(), a->json, a->whole, &clean, &out, &error);
    if (status == SL_OK)
        (void)fputs(sl_buffer_cstr(&out), stdout);
    else
        (void)fprintf(stderr, "sluice: audit: %s\n", error.text);
    sl_buffer_fini(&out);
    sl_config_destroy(config);
    return status == SL_OK && clean ? 0 : 1;
}

static int ddl(const arguments *a) {
    sl_config *config;
    int code = load(a->config, true, 0, &config);
    if (code != 0)
        return code;
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_error error = {0};
    sl_status status = sl_ddl(config, sl_files_system(), a->file, &out, &error);
    if (status == SL_OK)
        (void)fputs(sl_buffer_cstr(&out), stdout);
    else
        (void)fprintf(stderr, "sluice: ddl: %s\n", error.text);
    sl_buffer_fini(&out);
    sl_config_destroy(config);
    return status == SL_OK ? 0 : status == SL_EINVAL ? EXIT_USAGE : 1;
}

static int inspect(const arguments *a) {
    char *bytes;
    size_t length;
    sl_error error = {0};
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_files *files = sl_files_system();
    sl_status status =
        sl_files_read_all(files, a->file, UINT64_C(8) << 30, &bytes, &length, &error);
    if (status == SL_OK) {
        status = sl_parquet_inspect((const uint8_t *)bytes, length, a->json, &out, &error);
        sl_free(bytes);
    }
    if (status == SL_OK)
        (void)fputs(sl_buffer_cstr(&out), stdout);
    else
        (void)fprintf(stderr, "sluice: %s: %s\n", a->file, error.text);
    sl_buffer_fini(&out);
    return status == SL_OK ? 0 : 1;
}

static const command commands[] = {{"run", RUN, NULL, false, run},
                                   {"validate", VALIDATE, "FILE", false, validate},
                                   {"test", TEST, "FILE", false, test},
                                   {"audit", AUDIT, NULL, false, audit},
                                   {"ddl", DDL, "redshift, postgres or athena", true, ddl},
                                   {"inspect", INSPECT, "FILE.parquet", true, inspect}};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static int refuse_verb(const char *word) {
    static const char *const names[] = {"run", "validate", "test", "generate", "audit",   "replay",
                                        "ddl", "tap",      "top",  "inspect",  "version", "help"};
    const char *near = sl_config_nearest(word, names, sizeof names / sizeof names[0]);
    (void)fprintf(stderr, "sluice: there is no verb '%s'%s%s%s; see sluice --help\n", word,
                  near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "");
    return EXIT_USAGE;
}

/* With one of them closed, the first files that are opened would take their numbers: log lines would be written into the ledger. */
static bool keep_standard_open(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd)
            return false;
    return true;
}

static int dispatch(int argc, char **argv) {
    const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "run";
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        verb = "help";
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        verb = "version";
    int skip = argc > 1 && argv[1][0] != '-' ? 2 : 1;
    if (strcmp(verb, "generate") == 0)
        return sl_generate_main(argc - 1, argv + 1);
    if (strcmp(verb, "tap") == 0)
        return sl_tap_main(argc - 1, argv + 1);
    if (strcmp(verb, "replay") == 0)
        return sl_replay_main(argc - 1, argv + 1);
    if (strcmp(verb, "top") == 0)
        return sl_top_main(argc - 1, argv + 1);
    if (strcmp(verb, "help") == 0)
        return help();
    if (strcmp(verb, "version") == 0)
        return printf("sluice %s\n", SLUICE_VERSION) < 0;
    for (size_t i = 0; i < COMMANDS; i++) {
        arguments a = {0};
        if (strcmp(verb, commands[i].name) != 0)
            continue;
        int code = parse(&commands[i], argc - skip, argv + skip, &a);
        return code >= 0 ? code : commands[i].run(&a);
    }
    return refuse_verb(verb);
}

int main(int argc, char **argv) {
    if (!keep_standard_open())
        return EXIT_FAILURE;
    int code = dispatch(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("sluice: standard output"); /* Half a DDL, or half of an audit, isn't told as a whole one. */
    return code == 0 ? EXIT_FAILURE : code;
}
