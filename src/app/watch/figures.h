/** @file figures.h
 * What `sluice top` knows of a daemon at one moment, and the rates between two.
 *
 * Unknown  A number that isn't there is NaN; so is every rate over a restart, where a counter fell.
 * Memory   Rows are kept up to FIGURES_ROWS; more are left out.
 */
#pragma once

#include "sluice/buffer.h"

enum { FIGURES_ROWS = 1000, FIGURES_NAME = 128 };

typedef struct stream_figures {
    char name[FIGURES_NAME];
    double events, bytes, dead, late, duplicates; /**< Counters. */
    char watermark[40];
} stream_figures;

typedef struct table_figures {
    char name[FIGURES_NAME];
    double rows, bytes;           /**< Counters. */
    double backlog_bytes, entries; /**< Of the log, uncut; cut and not delivered. */
    double oldest_s;
    bool stalled;
} table_figures;

typedef struct figures {
    double at_s; /**< Monotonic. */
    double requests, accepted, rejected, cpu_s, replies[6]; /**< Counters. */
    double workers, memory, memory_limit, journal, spool, oldest_s, backlog_bytes;
    bool ready;
    stream_figures *streams;
    table_figures *tables;
    uint32_t stream_count, table_count;
} figures;

/** @return SL_OK; SL_ESYNTAX: it isn't what a daemon says, or SL_ENOMEM; `out` is then empty. */
SL_CHECKED sl_status figures_read(const char *metrics, size_t metrics_length, const char *state, size_t state_length,
                                  double at_s, figures *out, sl_error *error);
void figures_fini(figures *f);
/** Per second. NaN where one isn't known, a counter fell, or no time has passed. */
double figures_rate(double before, double now, double seconds);
/** Does a counter of the process say that it is another process? */
bool figures_restarted(const figures *before, const figures *now);
const stream_figures *figures_stream(const figures *f, const char *name); /**< NULL: none. */
const table_figures *figures_table(const figures *f, const char *name);

typedef enum view_order { VIEW_BY_NAME, VIEW_BY_RATE, VIEW_BY_BACKLOG, VIEW_ORDERS } view_order;
extern const char *const view_order_names[VIEW_ORDERS];

typedef struct view {
    const char *address;
    const figures *before, *now; /**< NULL: not yet. */
    const char *trouble;         /**< NULL: the daemon answers. */
    unsigned columns, lines;     /**< lines 0: as many as there are. */
    view_order order;
    bool paused, restarted, ansi;
} view;

/** The page: lines that end with "\n" and are at most `columns` wide. */
void view_print(const view *v, sl_buffer *out);
/** "12.3k", "4.0M"; "-" for NaN. At most 6 bytes. */
void view_number(double value, char out[16]);
/** "12.3 KiB". At most 10 bytes. */
void view_bytes(double value, char out[16]);
