/** @file admin.h
 * The admin routes: health, metrics, live views, the dashboard.
 *
 * Threads  The loop.
 * Source   docs/http-api.md
 */
#pragma once

#include "sluice/http.h"
#include "sluice/metrics.h"

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
    void (*flush)(void *context, void (*done)(void *context, sl_status status, const char *message),
                  void *done_context);
} sl_admin_port;

/** @param full All routes; else only /livez and /readyz (the intake's port beyond loopback).
 * @return false: not one of its paths (nothing was answered). */
bool sl_admin_handle(const sl_admin_port *port, bool full, const sl_http_request *request);
/** For sl_http_options.admit: 0 for a known path, 404 for others; 405, answered, for a known one with another method. */
int sl_admin_admit(bool full, const char *method, const char *path, sl_http_exchange *exchange);
