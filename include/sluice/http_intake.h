/** @file http_intake.h
 * The intake's routes: /v1/events[/STREAM]. Turns requests into sl_intake_request and replies into JSON.
 *
 * Threads  The loop.
 * Source   docs/http-api.md
 */
#pragma once

#include "sluice/http.h"
#include "sluice/intake.h"

typedef struct sl_http_intake sl_http_intake;
/**
 * @param tokens Bearer tokens (compared in constant time), borrowed until destroy.
 * @param guarded Whoever has none of them stays outside; without tokens, everybody does.
 */
sl_http_intake *sl_http_intake_create(sl_intake *intake, const char *const *tokens, size_t count, bool guarded);
void sl_http_intake_destroy(sl_http_intake *routes);
/** Is it a path of the intake? */
bool sl_http_intake_is(const char *path);
/** For sl_http_options.admit: 401, 404, 405 before a body is read; 0 also for paths that aren't its own. */
int sl_http_intake_admit(sl_http_intake *routes, const char *method, const char *path,
                         sl_http_exchange *exchange);
/** @return false: not a path of the intake (nothing was answered). */
bool sl_http_intake_handle(sl_http_intake *routes, const sl_http_request *request);
