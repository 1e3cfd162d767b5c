/** @file engine.h
 * The wired pipeline of one daemon, without sockets: requests in by sl_intake, files and rows out, and nothing
 * between that knows which threads run it. Actors are bounded pieces of work that `app` runs on
 * threads and the simulation runs one at a time from a seed.
 *
 * Threads  create, poll, submit, flush, windows, stop: the loop. An actor's run(): its own thread, or the
 *          one thread of a simulation.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/files.h"
#include "sluice/intake.h"
#include "sluice/metrics.h"
#include "sluice/target.h"
#include "sluice/time.h"

typedef struct sl_engine sl_engine;

/** One bounded piece of work at a time; what a thread or the simulation's scheduler runs. */
typedef struct sl_actor {
    const char *name;
    bool (*run)(void *context); /**< @return false: nothing to do until woken, or for a while. */
    void *context;
    void *host;                 /**< The host's own (its thread), set before the first run. */
} sl_actor;

typedef struct sl_engine_host {
    /** Actor has new work. From the loop, or from another actor. */
    void (*wake)(void *context, sl_actor *actor);
    /** The loop has new work: call sl_engine_poll() soon. From any actor. */
    void (*wake_loop)(void *context);
    /** Call sl_engine_poll() in `ms` milliseconds. From the loop. */
    void (*wake_loop_in)(void *context, uint32_t ms);
    void *context;
} sl_engine_host;

typedef struct sl_engine_options {
    const sl_config *config; /**< Borrowed until destroy. */
    sl_files *files;
    sl_clock clock;
    sl_engine_host host;
    sl_metrics *metrics;
    sl_budget *budget;       /**< Of the process; HTTP shares it. */
    sl_target *target;       /**< Takes what leaves this machine, on the thread of sl_engine_delivery(); NULL: nothing does. */
    const sl_step_data *data; /**< Newer than the configuration's, for its steps; references are taken. */
    uint32_t data_count;
    bool exclusive;          /**< Databases are locked for this process (simulation). */
} sl_engine_options;

/**
 * Open data_dir (journal, ledger, spool, warehouse) and recover: what the ledger doesn't know is removed from the
 * spool, streams resume at their slowest cursor.
 * @return SL_OK, or the first failure with its place.
 */
SL_CHECKED sl_status sl_engine_create(const sl_engine_options *options, sl_engine **out,
                                      sl_error *error);
/** All actors must have stopped. */
void sl_engine_destroy(sl_engine *engine);
sl_actor **sl_engine_actors(sl_engine *engine, uint32_t *count);
/** The actor that calls options.target; not among the others, as it runs on the target's own loop. NULL without a target. */
sl_actor *sl_engine_delivery(sl_engine *engine);
sl_intake *sl_engine_intake(sl_engine *engine);
/** Take completions, answer requests, move the log on, begin what is due. @return whether anything was done. */
bool sl_engine_poll(sl_engine *engine);
bool sl_engine_ready(const sl_engine *engine); /**< Recovered: for /readyz. */

/**
 * Up to where the log has what a partition elsewhere holds: the last record's origin (messages.h). Of a ready engine.
 * @param[out] next Its `to`. @param[out] check Of its last message.
 * @return false: the log knows nothing of it.
 */
bool sl_engine_origin(const sl_engine *engine, const char *partition, uint64_t *next, uint64_t *check);
/** Below it a warehouse table has the partition by another reader, as far as that was met; 0: it wasn't. */
uint64_t sl_engine_elsewhere(const sl_engine *engine, const char *partition);
uint64_t sl_engine_taken(const sl_engine *engine); /**< Where the log goes on. */
const char *sl_engine_identity(const sl_engine *engine); /**< Of the log: "journal:UUID". */
/** Whatever lies below in the log has left: all that followed from it is in the lake and in the warehouse. */
uint64_t sl_engine_delivered(const sl_engine *engine);

/**
 * Newer data for steps, instead of what they began with: from one position of the log on, which the ledger gets to know. What
 * lies below is made with the older data as long as a table may need it again. References are taken.
 * @return SL_OK, SL_ENOMEM (nothing changed).
 */
SL_CHECKED sl_status sl_engine_use(sl_engine *engine, const sl_step_data *data);

/** Cut every table at what was accepted so far and deliver it. `done` is called once, from poll(). */
typedef void sl_engine_flush_fn(void *context, sl_status status, const char *message);
void sl_engine_flush(sl_engine *engine, sl_engine_flush_fn *done, void *context);
/** The newest `limit` rows of a window as JSON, oldest first; NULL json: no such window. `done` is called once, from poll(). */
typedef void sl_engine_windows_fn(void *context, const char *json, size_t length);
void sl_engine_windows(sl_engine *engine, const char *name, uint32_t limit,
                       sl_engine_windows_fn *done, void *context);
/** Where a live sample of events is taken. */
typedef enum sl_tap_stage {
    SL_TAP_RECEIVED,  /**< Records as they came, before decoding. */
    SL_TAP_DECODED,   /**< Events in columns, before contract and steps. */
    SL_TAP_ENRICHED,  /**< Events as tables get them. */
    SL_TAP_DEAD,      /**< Dead letters. */
    SL_TAP_LATE,      /**< Events for the late table. */
    SL_TAP_DUPLICATE, /**< Events that were there before. */
    SL_TAP_FILTERED,  /**< Events that `where` passed over. */
    SL_TAP_STAGES
} sl_tap_stage;
extern const char *const sl_tap_stage_names[SL_TAP_STAGES]; /**< "received", … */

typedef struct sl_tap sl_tap;
typedef struct sl_tap_options {
    sl_tap_stage stage;
    const char *stream; /**< "": all. */
    const char *where;  /**< "", or an expression over the stage's columns; its stream must be known. */
    double rate;        /**< Events a second; 0: as many as workers may copy. */
} sl_tap_options;

/**
 * Workers copy some events of what passes, as lines of JSON, until the tap is closed; they never wait for it. An event that is read
 * again from the log passes again.
 * Memory  2 MiB of the budget. Of a batch 256 events at most are copied; what finds no room is counted.
 * @return SL_OK; SL_ENOTFOUND (stream), SL_EINVAL (where), SL_EFULL (eight there are, or the budget), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_engine_tap(sl_engine *engine, const sl_tap_options *options, sl_tap **out, sl_error *error);
/** Append the whole lines that came since the last call. @return SL_OK; SL_EINVAL: `where` doesn't fit the stream's schema any more; SL_ENOMEM. */
SL_CHECKED sl_status sl_engine_tap_take(sl_tap *tap, sl_buffer *out);
/** Events of the stage that weren't copied: for the rate, or for want of room. Those that `where` has said no to aren't counted. */
uint64_t sl_engine_tap_skipped(const sl_tap *tap);
void sl_engine_tap_close(sl_engine *engine, sl_tap *tap);

/** Streams, tables, positions, backlog as JSON: for the dashboard and `USR2`. */
void sl_engine_state(sl_engine *engine, sl_buffer *out);
/** Refuse requests from now on, cut and commit; with `drain`, deliver too. */
void sl_engine_stop(sl_engine *engine, bool drain);
bool sl_engine_stopped(const sl_engine *engine);
/** After stopped, all actors ended: answer 503 to requests that a stop in time left without a reply. */
void sl_engine_refuse(sl_engine *engine);
/** After stopped: tables that aren't where the others are (their target refuses, they failed): what they take next isn't new
 * to the others. */
void sl_engine_behind(const sl_engine *engine,
                      void (*each)(void *context, const char *stream, const char *table, bool window),
                      void *context);

/** Crash points, for tests: names of one table. NULL ends. Only in builds with SLUICE_CRASH_POINTS do they act. */
const char *const *sl_crash_points(void);
/** Arm one ("NAME" or "NAME:n", the n-th time). @return false: no such point. */
bool sl_crash_arm(const char *text);
/** What happens there; the default is _exit(137). The simulation sets its own. */
void sl_crash_handler(void (*handler)(void *context, const char *name), void *context);
