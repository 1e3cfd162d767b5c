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
    uint32_t loaded;   /* Number of the test that it was loaded for, */
    bool own;          /* … whose own lookup tables it has: nobody else's. */
    trial_report report;
    sl_buffer junit;   /* Test cases so far. */
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
    s->loaded = number;
    s->own = s->config != NULL && number <= s->config->test_count && s->config->tests[number - 1].own_lookups;
    return s->config != NULL;
}

static bool chosen(const suite *s, const sl_trial *t) {
    return s->options->filter == NULL || strstr(t->name, s->options->filter) != NULL;
}

/* As text of XML 1.0, without what a terminal makes colours of and what XML has no characters for. */
static void put_xml(const char *text, sl_buffer *out) {
    for (; *text != 0; text++) {
        const char *name = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : *text == '"' ? "&quot;" : NULL;
        if (*text == '\033' && strchr(text, 'm') != NULL)
            text += strcspn(text, "m");
        else if (name != NULL)
            sl_buffer_text(out, name);
        else if ((unsigned char)*text >= ' ' || *text == '\n' || *text == '\t')
            sl_buffer_byte(out, (uint8_t)*text);
    }
}

static void note_junit(suite *s, const sl_trial *t, bool good) {
    sl_buffer_text(&s->junit, "<testcase classname=\"");
    put_xml(s->report.path, &s->junit);
    sl_buffer_text(&s->junit, "\" name=\"");
    put_xml(t->name, &s->junit);
    sl_buffer_text(&s->junit, good ? "\"/>\n" : "\"><failure message=\"not as expected\">");
    if (!good) {
        put_xml(sl_buffer_cstr(&s->report.out), &s->junit);
        sl_buffer_text(&s->junit, "</failure></testcase>\n");
    }
}

static bool write_junit(suite *s) {
    const char *cases = sl_buffer_cstr(&s->junit);
    FILE *file = s->junit.failed ? NULL : fopen(s->options->junit, "w");
    bool good = file != NULL &&
                fprintf(file,
                        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"sluice test\" tests=\"%u\""
                        " failures=\"%u\">\n%s</testsuite>\n",
                        s->passed + s->failed, s->failed, cases) >= 0;
    if (file != NULL)
        good = fclose(file) == 0 && good;
    if (!good)
        (void)fprintf(stderr, "sluice: %s can't be written\n", s->options->junit);
    return good;
}

static void verdict(suite *s, const sl_trial *t, bool good) {
    note_junit(s, t, good);
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
        if (i + 1 != s->loaded && (s->own || s->config->tests[i].own_lookups) && !load(s, i + 1))
            return EXIT_CONFIGURATION;
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
    if (options->junit != NULL && code != EXIT_CONFIGURATION && !write_junit(&s))
        code = 1;
    sl_buffer_fini(&s.junit);
    sl_buffer_fini(&s.report.out);
    sl_config_destroy(s.config);
    return code;
}
