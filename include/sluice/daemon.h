/** @file daemon.h
 * `sluice run`.
 */
#pragma once

#include "sluice/engine.h"

/**
 * Runs until a signal ends it.
 * @param config Taken over. @param path Where it came from, for HUP; NULL: no file.
 * @return the process's exit code.
 */
int sl_daemon_run(sl_config *config, const char *path, bool drain);
