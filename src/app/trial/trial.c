/* `sluice test`: each test of the file in a world of its own. */
#include "private.h"

#include "sluice/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_CONFIGURATION = 78 };

typedef struct suite {
    const sl_trial_options *options;
    sl_config *config; /* For the test in hand. */
    bool own;          /* It has the test's own lookup tables: nobody else's. */
    trial_report report;
    uint32_t passed, failed;
} suite;

static void warn(void *context, const char *message) {
    (void)context;
    (void)fprintf(stderr, "sluice: warning: %s\n", message);
}

/* @param number Of the test, from 1. */
static bool load(suite *s, uint32_t number) {
    sl_config *before = s->config;
    const sl_config_source source = {
        .path = s->options->path, .environment = (const char *const *)environ, .trial = number, .before = before};
    sl_error error = {0};
    if (sl_config_load(&source, number == 1 ? warn : NULL, NULL, &s->config, &error) != SL_OK)
        (void)fprintf(stderr, "sluice: %s\n", error.text);
    sl_config_destroy(before);
    return s->config != NULL;
}

static bool chosen(const suite *s, const sl_trial *t) {
    return s->options->filter == NULL || strstr(t->name, s->options->filter) != NULL;
}

static void verdict(suite *s, const sl_trial *t, bool good) {
    const char *colour = s->report.colours ? good ? "\033[32m" : "\033[31m" : "", *end = s->report.colours ? "\033[0m" : "";
    (void)printf("%s%s%s  %s\n%s", colour, good ? "ok  " : "FAIL", end, t->name, sl_buffer_cstr(&s->report.out));
    (void)fflush(stdout);
    s->passed += good;
    s->failed += !good;
}

static void run(suite *s, const sl_trial *t) {
    trial_results results;
    sl_error error = {0};
    sl_status status = SL_OK;
    sl_buffer_clear(&s->report.out);
    if (!trial_results_init(&results, s->config) || !trial_isolate(s->config, t, &results.arena))
        status = sl_error_set(&error, SL_ENOMEM, "out of memory");
    if (status == SL_OK)
        status = trial_run(s->config, t, &results, &error);
    bool good = status == SL_OK && trial_judge(t, &results, &s->report) == 0;
    if (s->report.out.failed) { /* What is said isn't all. */
        sl_buffer_fini(&s->report.out);
        s->report.out = SL_BUFFER_EMPTY;
        status = sl_error_set(&error, SL_ENOMEM, "out of memory");
        good = false;
    }
    if (status != SL_OK)
        sl_buffer_printf(&s->report.out, "      %s:%u: %s\n", s->report.path, results.line, error.text);
    else if (s->options->verbose)
        trial_show(&results, &s->report);
    verdict(s, t, good);
    trial_results_fini(&results);
}

/* @return the exit code. */
static int run_all(suite *s) {
    if (!load(s, 1))
        return EXIT_CONFIGURATION;
    for (uint32_t i = 0; i < s->config->test_count; i++) {
        if (!chosen(s, &s->config->tests[i]))
            continue;
        bool own = s->config->tests[i].own_lookups;
        if (i != 0 && (own || s->own) && !load(s, i + 1))
            return EXIT_CONFIGURATION;
        s->own = own;
        run(s, &s->config->tests[i]);
    }
    if (s->passed + s->failed == 0) {
        (void)fprintf(stderr, "sluice: %s: no tests%s\n", s->report.path, s->options->filter != NULL ? " of that name" : "");
        return 1;
    }
    (void)printf("%u passed, %u failed\n", s->passed, s->failed);
    return s->failed != 0;
}

int sl_trial_main(const sl_trial_options *options) {
    suite s = {.options = options,
               .report = {.path = options->path != NULL ? options->path : "configuration",
                          .verbose = options->verbose,
                          .colours = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL}};
    sl_message_configure(SL_LEVEL_ERROR, false, false);
    int code = run_all(&s);
    sl_buffer_fini(&s.report.out);
    sl_config_destroy(s.config);
    return code;
}
