/** @file status.h
 * One table of statuses, and the error text that grows a context at each level.
 *
 * Threads  Everything here is a plain value or a constant table.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#define SL_CHECKED __attribute__((warn_unused_result))
#define SL_PRINTF(text, first) __attribute__((format(printf, text, first)))

/** What happened. Library error numbers are translated in `io` and never leave it. */
typedef enum sl_status {
    SL_OK = 0,
    SL_ENOMEM,       /**< The allocator or the memory budget said no. */
    SL_EINVAL,       /**< The caller's or the configuration's mistake. */
    SL_EFULL,        /**< A limit is reached and nothing changed: make room, then call again. */
    SL_EAGAIN,       /**< Not finished: call again. */
    SL_EIO,          /**< The device or the peer failed. */
    SL_ENOSPC,       /**< The disk or a quota is full. */
    SL_ECORRUPT,     /**< Stored bytes are not what was written. */
    SL_ENOTFOUND,    /**< No such file, row or name. */
    SL_EEXIST,       /**< It is there already. */
    SL_ESYNTAX,      /**< The input breaks its grammar. */
    SL_ETYPE,        /**< The input has another type than the schema says. */
    SL_ELIMIT,       /**< The input is larger or deeper than allowed. */
    SL_EDENIED,      /**< Credentials or permissions. */
    SL_ECONFLICT,    /**< Another state than expected: never "success", never retried blindly. */
    SL_EUNSUPPORTED, /**< Valid, and not built. */
    SL_EMOVED,       /**< Somebody else has done part of it: leave that out, then come again. */
    SL_STATUS_COUNT
} sl_status;

/** What the caller does next. */
typedef enum sl_follow_up {
    SL_FOLLOW_NONE,
    SL_FOLLOW_RETRY,
    SL_FOLLOW_DEAD_LETTER,
    SL_FOLLOW_STOP
} sl_follow_up;

/** @return "enomem" style name; "unknown" outside the table. */
const char *sl_status_name(sl_status status);
/** @return A short sentence part for people, such as "no space left". */
const char *sl_status_text(sl_status status);
sl_follow_up sl_status_follow_up(sl_status status);

/** A fixed buffer on the caller's stack; longer texts are cut. */
typedef struct sl_error {
    sl_status status;
    char text[512];
} sl_error;

/** Replace the text. `error` may be NULL. @return `status`, so that `return sl_error_set(…)` works. */
sl_status sl_error_set(sl_error *error, sl_status status, const char *format, ...)
    SL_PRINTF(3, 4);
/** Put "context: " in front of the text. `error` may be NULL. @return the error's status. */
sl_status sl_error_context(sl_error *error, const char *format, ...) SL_PRINTF(2, 3);
