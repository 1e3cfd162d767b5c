/** @file redshift_iam.h
 * Logging in to Redshift by IAM, as `warehouse.redshift` says: the daemon's target asks by itself, commands wait here.
 */
#pragma once

#include "sluice/buffer.h"
#include "sluice/config.h"
#include "sluice/redshift.h"

/** @param user Holds the URL's user, decoded, as long as what is returned is used. Check its `failed`. */
sl_redshift_iam sl_redshift_iam_of(const sl_config *config, sl_buffer *user);
/** Ask for a database user and wait. @param user, password Appended to; left empty where IAM isn't configured. */
SL_CHECKED sl_status sl_redshift_login_wait(const sl_config *config, sl_buffer *user, sl_buffer *password,
                                            sl_error *error);
