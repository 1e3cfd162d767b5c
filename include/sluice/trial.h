/** @file trial.h
 * The configuration's own tests: events, the time at which they come, and what is expected of them.
 *
 * Time     Microseconds since 1970 UTC.
 * Memory   Everything of a loaded configuration belongs to it.
 * Threads  Immutable.
 * Source   docs/testing.md
 */
#pragma once

#include "sluice/batch.h"

typedef enum sl_trial_kind {
    SL_TRIAL_NULL,
    SL_TRIAL_BOOL,   /**< text: "true", "false" */
    SL_TRIAL_NUMBER, /**< text: as written, by RFC 8259. */
    SL_TRIAL_TEXT,
    SL_TRIAL_LIST,
    SL_TRIAL_MAP
} sl_trial_kind;

/** A value as it was written: what rows are compared with, and what they are turned into for that. */
typedef struct sl_trial_value sl_trial_value;
struct sl_trial_value {
    sl_trial_kind kind;
    const char *text; /**< Scalars. */
    const char *key;  /**< Members of maps. */
    uint32_t line, column; /**< In the configuration's file; 0: not from there. */
    uint32_t count;   /**< Children. */
    sl_trial_value *first, *last, *next;
};

/** @return A zeroed value in `arena`, NULL when out of memory. */
sl_trial_value *sl_trial_value_new(sl_arena *arena, sl_trial_kind kind, const char *text, size_t length);
/** Put `child` last into a list, or into a map (then with a key, whose text is borrowed). */
void sl_trial_value_put(sl_trial_value *parent, const char *key, sl_trial_value *child);
const sl_trial_value *sl_trial_value_child(const sl_trial_value *map, const char *key); /**< NULL: none. */
/** A JSON object or array as a value in `arena`. @return NULL: it can't be read so, or memory is out. */
sl_trial_value *sl_trial_value_parse(sl_arena *arena, const char *json, size_t length);

typedef enum sl_trial_clock {
    SL_TRIAL_NATURAL, /**< When it happened, or with the event before it, whichever is later. */
    SL_TRIAL_AFTER,   /**< `at_us` after the test's start. */
    SL_TRIAL_AT       /**< At `at_us`. */
} sl_trial_clock;

typedef struct sl_trial_event {
    const char *stream; /**< "": the configuration decides. */
    const char *source; /**< "http", or another of the configuration's. */
    const char *body;   /**< As it is sent. */
    size_t length;
    sl_format_kind format; /**< Of the body. */
    const sl_trial_value *event; /**< The same as a value, NULL where bytes are given. */
    sl_trial_clock clock;
    int64_t at_us;
    uint32_t line;
} sl_trial_event;

typedef enum sl_trial_subject {
    SL_TRIAL_ROWS,         /**< Of stream `name`, in the order of their positions. */
    SL_TRIAL_WINDOW,       /**< Rows of window `name`, by start and group. */
    SL_TRIAL_LATE,         /**< Late events of stream `name`. */
    SL_TRIAL_DEAD_LETTERS,
    SL_TRIAL_PATHS,        /**< Directories of stream `name`'s files below its lake. */
    SL_TRIAL_DUPLICATES,   /**< How many events of stream `name` were duplicates, */
    SL_TRIAL_FILTERED      /**< … were passed over by `where`. */
} sl_trial_subject;

typedef struct sl_trial_expectation {
    sl_trial_subject subject;
    const char *name;           /**< Stream or window; "" for dead letters. */
    const sl_trial_value *rows; /**< A list; NULL: only counted. */
    bool contains;              /**< Others may be there, too. */
    bool counted;
    uint64_t count;
    uint32_t line, column;
} sl_trial_expectation;

typedef struct sl_trial {
    const char *name;
    int64_t now_us; /**< SL_NO_TIME: when the first event happened. */
    sl_trial_event *events;
    uint32_t event_count;
    sl_trial_expectation *expectations;
    uint32_t expectation_count;
    bool own_lookups; /**< It brings rows of lookup tables along: its configuration is another one. */
    uint32_t line;
} sl_trial;

/** Options of `sluice test`. */
typedef struct sl_trial_options {
    const char *path;   /**< Of the configuration. */
    const char *filter; /**< Only tests whose names contain it; NULL: all. */
    const char *junit;  /**< File that the result is written to, too, in the form that CI servers read; NULL: none. */
    bool verbose;       /**< Show what came out, also of tests that pass. */
} sl_trial_options;

/** Run the tests, report on stdout. @return The exit code: 0, 1 (one failed), 78. */
int sl_trial_main(const sl_trial_options *options);
