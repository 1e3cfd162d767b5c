/** @file admin.h
 * The admin routes: health, metrics, live views, the dashboard.
 *
 * Threads  The loop.
 * Source   docs/http-api.md
 */
#pragma once

#include "sluice/http.h"
#include "sluice/metrics.h"

typedef struct sl_admin_taps sl_admin_taps; /**< The replies to `GET /v1/tap` that are under way. */

/** What a tap shows. */
typedef struct sl_admin_tap {
    const char *stage;  /**< "decoded"; any text: the port judges it. */
    const char *stream; /**< "": all. */
    const char *where;  /**< "": everything. */
    double rate;        /**< Events a second; 0: without limit. */
} sl_admin_tap;

/** What the routes show and do; implemented by `app`. */
typedef struct sl_admin_port {
    void *context;
    sl_metrics *metrics;
    const char *config_text; /**< Secrets already hidden. */
    const char *version;
    bool (*ready)(void *context);
    void (*state)(void *context, sl_buffer *out);
    /** done(json NULL): no such window. */
    void (*windows)(void *context, const char *name, uint32_t limit,
                    void (*done)(void *context, const char *json, size_t length), void *done_context);
    /** POST /v1/replay: answers, now or later. */
    void (*replay)(void *context, const sl_http_request *request);
    void (*flush)(void *context, void (*done)(void *context, sl_status status, const char *message),
                  void *done_context);
    sl_admin_taps *taps; /**< NULL: there is no `/v1/tap`. Its port: */
    /** @return SL_OK; answered with SL_EINVAL: 400, SL_EDENIED: 403, SL_ENOTFOUND: 404, SL_EFULL: 429, others: 503. */
    sl_status (*tap_open)(void *context, const sl_admin_tap *wish, void **tap, sl_error *error);
    /** Append the lines that came. @return SL_OK, or why it ends. */
    sl_status (*tap_take)(void *context, void *tap, sl_buffer *out);
    uint64_t (*tap_skipped)(void *context, const void *tap);
    void (*tap_close)(void *context, void *tap);
} sl_admin_port;

/** @param port Borrowed, and complete when the first request comes. @return NULL when out of memory. */
sl_admin_taps *sl_admin_taps_create(const sl_admin_port *port);
/** After their connections. NULL is allowed. */
void sl_admin_taps_destroy(sl_admin_taps *taps);
/** Often: hand on what came, as far as readers take it. One that takes nothing for ten seconds is cut off. */
void sl_admin_taps_turn(sl_admin_taps *taps, int64_t now_us);
/** End them all, with what is there and a last line that says why. */
void sl_admin_taps_end(sl_admin_taps *taps, const char *why);

/** @param full All routes; else only /livez and /readyz (the intake's port beyond loopback).
 * @return false: not one of its paths (nothing was answered). */
bool sl_admin_handle(const sl_admin_port *port, bool full, const sl_http_request *request);
/** For sl_http_options.admit: 0 for a known path, 404 for others; 405, answered, for a known one with another method. */
int sl_admin_admit(bool full, const char *method, const char *path, sl_http_exchange *exchange);
