/** @file worker.h
 * A worker: it decodes, judges and processes tasks, and seals its tables for cuts.
 */
#pragma once

#include "task.h"

#include "sluice/steps.h"

enum { WORKERS_MAX = 64 };

/** Live view of a window. */
struct peek {
    message head;
    table *of;
    shape *shape;
    sl_buffer deltas[WORKERS_MAX];
    uint32_t limit;
    sl_buffer json;
    sl_engine_windows_fn *done;
    void *context;
};

struct worker {
    sl_actor actor;
    sl_engine *engine;
    uint32_t index;
    sl_ring verdicts, pipeline, out;
    /* its own thread */
    sl_decoder *decoders[STREAMS_MAX + 64];
    const sl_schema *decoder_schemas[STREAMS_MAX + 64];
    sl_contract_checker *checkers[STREAMS_MAX + 64]; /**< By stream; NULL: none yet, or nothing to check. */
    sl_contract_split *checker_splits[STREAMS_MAX + 64];
    sl_step_runner *runners[STREAMS_MAX + 64]; /**< By stream; NULL: none yet, or no steps. */
    sl_steps *runner_plans[STREAMS_MAX + 64];
    sl_expression *ids[STREAMS_MAX + 64];      /**< By stream, where an expression tells events apart; NULL: none yet. */
    uint64_t runner_data[STREAMS_MAX + 64]; /**< Number of the data set that it uses; 0: that of its plan. */
    sl_batch **free_batches;
    uint32_t free_count;
    uint32_t free_least;     /**< How many of them nobody needed since the last cut. */
    route_look *look;        /**< NULL: no record is shared by streams. */
    sl_batch *letters;       /**< Dead letters on their way to Parquet. */
    cut *cutting;            /**< Being sealed, a slice at a time. */
    uint32_t cutting_table;
    uint64_t file_number;
    uint32_t *selection, *order;
    uint32_t turn;
    _Atomic(sl_tap *) tapping; /**< The tap that it looks at just now: see tap.c. */
};

/* worker.c, worker_tables.c */
sl_status workers_create(sl_engine *e, sl_error *error);
void workers_destroy(sl_engine *e);
void worker_process(worker *w, task *t);
/** For the shape's events. @return NULL: no memory; likewise: */
sl_decoder *worker_decoder(worker *w, const shape *s);
part *worker_part(worker *w, task *t, shape *s); /**< The shape's last one. */
part *worker_part_add(worker *w, task *t, shape *s);
/** What became of the part's events. */
sl_counts part_counts(const part *p);
/** Refuse events that break the stream's contract: before the reply. @return false when out of memory. */
bool worker_contract(worker *w, task *t, part *p);
/** Run the stream's steps over a part, its last change before the ticket. @return false when out of memory. */
bool worker_steps(worker *w, const task *t, part *p);
/** The part as tables see it, until the next view. */
const sl_batch *worker_view(worker *w, const part *p);
/** Keys of the rows that deduplication goes by. @return false when out of memory. */
bool worker_ids(worker *w, const task *t, part *p);
/** Of what was just decoded, while its texts are in the cache; worker_ids() does the rest. @return false when out of memory. */
bool worker_ids_ahead(const task *t, part *p);
/** Of a part that is only judged: its events' ids as texts, where the stream has some. @return false when out of memory. */
bool worker_id_texts(worker *w, const task *t, part *p);
/** @return whether the cut is sealed. */
bool worker_cut_slice(worker *w, cut *c);
void worker_rewind(worker *w, const rewind_order *order);
void worker_peek(worker *w, peek *p);
void worker_tables_destroy(worker *w);
worker_table *worker_states_create(uint32_t workers); /**< @return NULL: no memory. */

/* tap.c: what somebody watches; each is one load where nobody does */
void tap_received(worker *w, const task *t);
void tap_decoded(worker *w, const task *t, const part *p);
void tap_processed(worker *w, const part *p);
/** Loop: memory of closed ones, as soon as no worker looks at them. */
void taps_poll(sl_engine *e);
/** After the workers' end. */
void taps_destroy(sl_engine *e);
