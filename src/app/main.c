/* The command line: `sluice [VERB] …`. */
#include "sluice/audit.h"
#include "sluice/daemon.h"
#include "ddl.h"
#include "kafka_check.h"

#include "sluice/data.h"
#include "sluice/engine.h"
#include "sluice/generate.h"
#include "sluice/http_server.h"
#include "sluice/io_files.h"
#include "sluice/parquet.h"
#include "sluice/replay.h"
#include "sluice/watch.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int help(FILE *out, int code) {
    sl_buffer text = SL_BUFFER_EMPTY;
    (void)fputs(usage, out);
    if (code == 0) {
        sl_buffer_text(&text, "\nConfiguration keys:\n");
        sl_config_print_parameters("text", &text);
        (void)fputs(sl_buffer_cstr(&text), out);
    }
    sl_buffer_fini(&text);
    return code;
}

typedef struct arguments {
    const char *config, *file, *filter, *junit;
    bool verbose, drain, json, whole, no_environment, crash_points, bad;
} arguments;

static arguments parse(int argc, char **argv) {
    arguments a = {0};
    for (int i = 0; i < argc && !a.bad; i++) {
        if ((strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) && i + 1 < argc)
            a.config = argv[++i];
        else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            a.filter = argv[++i];
        else if (strcmp(argv[i], "--junit") == 0 && i + 1 < argc)
            a.junit = argv[++i];
        else if (strcmp(argv[i], "--verbose") == 0)
            a.verbose = true;
        else if (strcmp(argv[i], "--drain") == 0)
            a.drain = true;
        else if (strcmp(argv[i], "--json") == 0)
            a.json = true;
        else if (strcmp(argv[i], "--whole") == 0)
            a.whole = true;
        else if (strcmp(argv[i], "--no-environment") == 0)
            a.no_environment = true;
#ifdef SLUICE_CRASH_POINTS
        else if (strcmp(argv[i], "--crash-at") == 0 && i + 1 < argc)
            a.bad = !sl_crash_arm(argv[++i]);
        else if (strcmp(argv[i], "--crash-points") == 0)
            a.crash_points = true;
#endif
        else if (argv[i][0] != '-' && a.file == NULL)
            a.file = argv[i];
        else
            a.bad = true;
    }
    return a;
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
    if (a->file != NULL)
        return help(stderr, EXIT_USAGE);
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
    const sl_trial_options options = {
        .path = a->file != NULL ? a->file : a->config, .filter = a->filter, .junit = a->junit, .verbose = a->verbose};
    if (options.path == NULL && getenv("SLUICE_CONFIG_YAML") == NULL)
        return help(stderr, EXIT_USAGE);
    return sl_trial_main(&options);
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
    if (a->file == NULL)
        return help(stderr, EXIT_USAGE);
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
    if (a->file == NULL)
        return help(stderr, EXIT_USAGE);
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

int main(int argc, char **argv) {
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
        return help(stdout, 0);
    if (strcmp(verb, "version") == 0)
        return printf("sluice %s\n", SLUICE_VERSION) < 0;
    const arguments a = parse(argc - skip, argv + skip);
    if (a.bad)
        return help(stderr, EXIT_USAGE);
    if (strcmp(verb, "run") == 0)
        return run(&a);
    if (strcmp(verb, "validate") == 0)
        return validate(&a);
    if (strcmp(verb, "test") == 0)
        return test(&a);
    if (strcmp(verb, "audit") == 0)
        return audit(&a);
    if (strcmp(verb, "ddl") == 0)
        return ddl(&a);
    if (strcmp(verb, "inspect") == 0)
        return inspect(&a);
    (void)fprintf(stderr, "sluice: no verb '%s'\n", verb);
    return help(stderr, EXIT_USAGE);
}
