/** @file message.h
 * The process's own log: one line per fact on stderr, `key=value` or JSON.
 *
 * Threads  Any; a line is written in one call.
 */
#pragma once

#include "sluice/status.h"

typedef enum sl_level { SL_LEVEL_ERROR, SL_LEVEL_WARN, SL_LEVEL_INFO, SL_LEVEL_DEBUG } sl_level;

void sl_message_configure(sl_level level, bool json, bool journald_prefix);
/**
 * @param area   The folder that speaks: "journal", "http", …
 * @param event  Fixed words, such as "segment sealed".
 * @param format "key=%s other=%d" pairs, values with spaces in %s are quoted by the writer with
 *               sl_message_quote; may be "".
 */
void sl_message(sl_level level, const char *area, const char *event, const char *format, ...)
    SL_PRINTF(4, 5);
