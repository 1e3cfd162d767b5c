// What tests of the configuration share: loading a text. Include it after cmocka.h.
#pragma once

#include "loader.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef SLUICE_SOURCE_DIR
#define SLUICE_SOURCE_DIR "."
#endif

typedef struct warnings {
    char text[2048];
    unsigned count;
} warnings;

static inline void on_warning(void *context, const char *message) {
    warnings *w = context;
    size_t used = strlen(w->text);
    snprintf(w->text + used, sizeof w->text - used, "%s%s", used ? "\n" : "", message);
    w->count++;
}

static warnings last;
static sl_error wrong;

/** Load a text with an environment; NULL and `wrong` when it is refused. */
static inline sl_config *load_with(const char *text, const char *const *environment) {
    sl_config_source source = {.text = text, .environment = environment};
    sl_config *config = NULL;
    memset(&last, 0, sizeof last);
    memset(&wrong, 0, sizeof wrong);
    sl_status status = sl_config_load(&source, on_warning, &last, &config, &wrong);
    assert_true((status == SL_OK) == (config != NULL));
    assert_int_equal(status, wrong.status);
    return config;
}

static inline sl_config *load(const char *text) {
    static const char *const environment[] = {
        "SET=value", "EMPTY=", "PORT=9000", "QUOTE=a: [b", "DOLLARS=$$ ${SET}", NULL};
    return load_with(text, environment);
}

static inline sl_config *must_load(const char *text) {
    sl_config *config = load(text);
    if (!config)
        fail_msg("%s", wrong.text);
    return config;
}

/** Reads a file of the checkout; the caller frees. */
static inline char *read_all(const char *name) {
    char path[1000];
    snprintf(path, sizeof path, "%s%s", SLUICE_SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

#define STREAM(more)                                                                     \
    "streams:\n  s:\n    schema: { type: object, properties: { t: { type: string, "      \
    "format: "                                                                           \
    "date-time }, user: { type: string }, o: { type: object, properties: { c: { type: "  \
    "string } "                                                                          \
    "} }, l: { type: array } } }\n" more

#define POSTGRES "warehouse: { url: postgres://h/d }\n"
#define REDSHIFT(more)                                                                   \
    "warehouse: { redshift: {\n  url: redshift://u@h/d, stage: s3://shop/stage,\n "      \
    " " more " } }\n"
