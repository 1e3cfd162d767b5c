/** @file tap.h
 * `GET /v1/tap`: a reply that goes on.
 *
 * Threads  The loop.
 */
#pragma once

#include "sluice/admin.h"

void tap_begin(const sl_admin_port *port, const sl_http_request *request);
