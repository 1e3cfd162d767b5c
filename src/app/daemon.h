/** @file daemon.h
 * `sluice run`.
 */
#pragma once

#include "sluice/engine.h"

/** Runs until a signal ends it. @return the process's exit code. */
int sl_daemon_run(sl_config *config, bool drain);
