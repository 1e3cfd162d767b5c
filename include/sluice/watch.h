/** @file watch.h
 * `sluice tap` and `sluice top`: clients of the admin port of a daemon that runs.
 *
 * Threads  The program's only one.
 */
#pragma once

/** @param argv From the verb on. @return The process's exit code: 0, 1, 64, 78. */
int sl_tap_main(int argc, char **argv);
int sl_top_main(int argc, char **argv);
