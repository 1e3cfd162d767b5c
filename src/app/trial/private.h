/** @file private.h
 * What the parts of `sluice test` share: what came out of the engine, comparing it, and showing the difference.
 */
#pragma once

#include "sluice/config.h"

/** A row that came out, or a path. */
typedef struct trial_row {
    sl_trial_subject subject;
    const char *name;       /**< Of the stream or window; "" for dead letters. */
    sl_trial_value *value;  /**< A map; a text for paths. */
    uint64_t position;      /**< In the log. */
    uint32_t keys;          /**< Windows: members in front that say which row it is. */
} trial_row;

/** What became of a test's events. */
typedef struct trial_results {
    sl_arena arena;
    trial_row *rows;
    uint32_t count, capacity;
    struct trial_counts {
        const char *stream;
        uint64_t duplicates, filtered;
    } *counts; /**< One for each stream, as configured. */
    uint32_t stream_count;
    uint32_t line; /**< Where it ended, when it couldn't be run: the test's, or the event's in hand. */
} trial_results;

bool trial_results_init(trial_results *results, const sl_config *config); /**< @return false: out of memory. */
void trial_results_fini(trial_results *results);
/** @return The row's place, with its subject and name; NULL: out of memory. */
trial_row *trial_results_add(trial_results *results, sl_trial_subject subject, const char *name);
/** By subject and name; windows by start and group, paths by name without doubles, the others as they lie in the log. */
void trial_results_sort(trial_results *results);

/** Put a cell into a row: at `path`, through groups where it has dots. @return false: out of memory. */
bool trial_put(sl_arena *arena, sl_trial_value *row, const char *path, const sl_value *cell);

/**
 * Change what a configuration loaded for a test (sl_config_source.trial) says of places and sizes, so that it runs in
 * memory: what goes out is handed to the test, events of every stream as rows and as files.
 */
bool trial_isolate(sl_config *config, const sl_trial *trial, sl_arena *arena);
/** Run it. @param config As trial_isolate() left it. */
SL_CHECKED sl_status trial_run(const sl_config *config, const sl_trial *trial, trial_results *results, sl_error *error);

/** Does what came out have everything that is expected? NULL: it isn't there. */
bool trial_matches(const sl_trial_value *expected, const sl_trial_value *actual);
/** A member: of its own name, through groups where the name has dots, or with '_' for them. NULL: none. */
const sl_trial_value *trial_member(const sl_trial_value *map, const char *name);
/** JSON on one line; members that are null are left out. */
void trial_json(const sl_trial_value *value, sl_buffer *out);

typedef struct trial_report {
    const char *path; /**< Of the configuration. */
    bool colours, verbose;
    sl_buffer out;
} trial_report;

/** Write to `report` what isn't as expected. @return how many expectations fail. */
uint32_t trial_judge(const sl_trial *trial, const trial_results *results, trial_report *report);
/** Write everything that came out. */
void trial_show(const trial_results *results, trial_report *report);
