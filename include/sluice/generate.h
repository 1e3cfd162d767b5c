/** @file generate.h
 * Test events by the million: `sluice generate KIND`, and the generator behind it.
 *
 * An event is a function of (kind, seed, count, index) alone, so the same seed and count
 * give the same bytes whatever the rate, the batch size or the number of connections.
 *
 * Time     Event times are spread over `span_ms` from `start_ms`; milliseconds since
 * 1970-01-01 UTC. Of clickstream and orders in order and evenly, with a jitter below
 *          SL_GENERATE_JITTER_MS. The other kinds have busy and quiet hours of the day,
 * and one event in sixteen is late, by up to SL_GENERATE_LATE_MS. Memory   The generator
 * is a plain value; it holds nothing. Threads  One generator belongs to one thread;
 * copies are independent. Cost     60 to 200 ns an event.
 */
#pragma once

#include "sluice/status.h"

#include <stddef.h>
#include <stdint.h>

typedef enum sl_generate_kind {
    SL_GENERATE_CLICKSTREAM, /**< A web shop's events, 12 leaves nested 3 deep, about 350
                                bytes. */
    SL_GENERATE_ORDERS,      /**< Orders with their items; `amount` is their exact sum. */
    SL_GENERATE_WEB_ANALYTICS, /**< Visits with address, user agent and revenue. */
    SL_GENERATE_IOT,           /**< Readings of 500 thermometers. */
    SL_GENERATE_PAYMENTS,      /**< Payments; 1.5 % are above 1,000. */
    SL_GENERATE_FOOD_DELIVERY, /**< Orders of customers at restaurants, brought by riders.
                                */
    SL_GENERATE_KIND_COUNT
} sl_generate_kind;

#define SL_GENERATE_EVENT_BYTES_MAX 1024 /**< Room that sl_generate_event() may touch.   \
                                          */
#define SL_GENERATE_JITTER_MS 500
#define SL_GENERATE_LATE_MS 600000
#define SL_GENERATE_AGAIN_WITHIN 100 /**< An event comes again within so many events. */
#define SL_GENERATE_START_MS                                                             \
    INT64_C(1710928800000) /**< 2024-03-20T10:00:00Z, the default. */

typedef struct sl_generator {
    sl_generate_kind kind;
    uint64_t seed;
    uint64_t count;   /**< Events in `span_ms`; 0: unknown, one event each millisecond. */
    int64_t start_ms; /**< Event time of the first. */
    int64_t span_ms;
    int64_t
        now_ms; /**< Not 0: every event has this time (--now), and bytes don't repeat. */
    double duplicates; /**< Share of events that are one of the last, again. */
    double invalid; /**< Share of events that are broken: no id, wrong type, cut off. */
    bool csv;       /**< Lines of CSV. */
    int64_t minute; /**< Private: the minute that `prefix` holds. */
    char prefix[24];
} sl_generator;

/** @return false when there is no such kind. */
bool sl_generate_kind_parse(const char *name, sl_generate_kind *kind);
/** @param count 0: unknown. Starts at SL_GENERATE_START_MS with a span of one hour. */
void sl_generator_init(sl_generator *generator, sl_generate_kind kind, uint64_t seed,
                       uint64_t count);
/**
 * Write event number `index` as one line of JSON or CSV, line end included.
 * @param out Room for SL_GENERATE_EVENT_BYTES_MAX bytes; what follows the line is
 * scribbled over.
 * @return the line's length.
 */
size_t sl_generate_event(sl_generator *generator, uint64_t index, uint8_t *out);
/** The header of the kind's CSV, line end included; `out` as for sl_generate_event(). */
size_t sl_generate_header(const sl_generator *generator, uint8_t *out);

/**
 * The command. `argv[0]` is its name, "generate".
 * @return the exit code: 0; 1 something was refused for good or failed; 64 usage.
 */
int sl_generate_main(int argc, char **argv);
