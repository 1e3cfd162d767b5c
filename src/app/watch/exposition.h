/** @file exposition.h
 * Reads what `/metrics` says: Prometheus text 0.0.4, as any server may write it.
 *
 * Rules    A line is a comment, empty, or `name{label="value",…} value [time]`; spaces and tabs between the parts; in values of
 *          labels \\, \" and \n. What isn't such a line is counted and passed over: a new daemon may say what an old client
 *          doesn't know.
 * Limits   16 labels to a series, 255 bytes to a name, a label or its value; beyond them a line isn't understood.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { EXPOSITION_LABELS = 16, EXPOSITION_TEXT = 256 };

typedef struct exposition_series {
    char name[EXPOSITION_TEXT];
    struct {
        char name[EXPOSITION_TEXT], value[EXPOSITION_TEXT];
    } labels[EXPOSITION_LABELS];
    size_t label_count;
    double value; /**< May be NaN or infinite. */
} exposition_series;

/** @return how many lines weren't understood. */
size_t exposition_read(const char *text, size_t length, void (*each)(void *context, const exposition_series *series),
                       void *context);
/** @return the label's value, "" where there is none. */
const char *exposition_label(const exposition_series *series, const char *name);
