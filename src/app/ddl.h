/** @file ddl.h
 * The statements that make the tables which this configuration brings rows to.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/files.h"

/**
 * @param target "redshift", "postgres" or "athena". The first two: what the targets run
 * themselves, ledger tables included. Athena: external tables over the lakes of all
 * streams.
 * @return SL_OK; SL_EINVAL: no such target; what reading schemas or the ledger of
 * data_dir gives. Inferred streams have the columns that were seen so far.
 */
SL_CHECKED sl_status sl_ddl(const sl_config *config, sl_files *files, const char *target,
                            sl_buffer *out, sl_error *error);
