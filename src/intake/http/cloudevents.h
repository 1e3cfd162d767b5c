/** @file cloudevents.h
 * CloudEvents in HTTP's binary content mode: attributes in headers `ce-…`, data in the body. They go on as the same event in JSON.
 *
 * Source   CloudEvents 1.0.2, HTTP Protocol Binding 3.1; JSON Event Format 3.1.1.
 */
#pragma once

#include "sluice/http.h"

/** Does the request say so? (Its body is of any type then.) */
bool http_is_cloudevent(const sl_http_exchange *exchange);
/**
 * The event as JSON. `data` is the body: as it stands where the Content-Type says JSON, or says nothing; a string where it is UTF-8
 * else; and `data_base64` otherwise. What the attributes hold is judged where events in JSON are.
 * @param[out] why A constant, when it can't be one event.
 * @return SL_OK, SL_ESYNTAX (see why), SL_ENOMEM.
 */
SL_CHECKED sl_status http_cloudevent(const sl_http_request *request, sl_buffer *out, const char **why);
