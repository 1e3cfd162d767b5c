/** @file metrics.h
 * Counters and gauges of one table (name, kind, unit, text), with up to two labels each.
 *
 * Threads  sl_metric_add/set from any thread (relaxed atomics: only the sums are read);
 *          registration and printing from the loop.
 * Source   Prometheus text exposition format 0.0.4.
 */
#pragma once

#include "sluice/buffer.h"

typedef enum sl_metric_kind { SL_METRIC_COUNTER, SL_METRIC_GAUGE } sl_metric_kind;

typedef struct sl_metric {
    _Atomic int64_t value; /**< Gauges in seconds are kept in microseconds, see `micro`. */
} sl_metric;

typedef struct sl_metrics sl_metrics;
sl_metrics *sl_metrics_create(void); /**< NULL when out of memory. */
void sl_metrics_destroy(sl_metrics *metrics);
/**
 * Find or make the series `name{labels}`.
 * @param name   "sluice_…"; counters end in _total, times in _seconds (value then in microseconds).
 * @param labels As printed, e.g. `table="clicks/lake"`, or "".
 * @return Never NULL: when out of memory a shared dummy.
 */
sl_metric *sl_metrics_get(sl_metrics *metrics, sl_metric_kind kind, const char *name,
                          const char *help, const char *labels);
static inline void sl_metric_add(sl_metric *metric, int64_t n) {
    /* Relaxed: a statistic; it orders nothing. */
    atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}
static inline void sl_metric_set(sl_metric *metric, int64_t n) {
    atomic_store_explicit(&metric->value, n, memory_order_relaxed);
}
static inline int64_t sl_metric_read(const sl_metric *metric) {
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}
/** Prometheus text, series in order of registration grouped by name. */
void sl_metrics_print(sl_metrics *metrics, sl_buffer *out);
