/** @file audit.h
 * `sluice audit`: proves I7 from the ledger, the lake's files and the warehouse. Reads only; also beside a
 * running daemon.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/files.h"

/**
 * @param whole Read every object in S3, instead of comparing length and hash that S3 keeps beside it.
 * @param[out] clean Nothing is missing, twice or altered.
 * @param[out] out   The findings and a summary, as text or JSON.
 */
SL_CHECKED sl_status sl_audit(const sl_config *config, sl_files *files, bool json, bool whole, bool *clean,
                              sl_buffer *out, sl_error *error);
