#include "sluice/status.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
    sl_follow_up follow_up;
} table[SL_STATUS_COUNT] = {
    [SL_OK] = {"ok", "done", SL_FOLLOW_NONE},
    [SL_ENOMEM] = {"enomem", "out of memory", SL_FOLLOW_RETRY},
    [SL_EINVAL] = {"einval", "not valid", SL_FOLLOW_STOP},
    [SL_EFULL] = {"efull", "a limit is reached", SL_FOLLOW_RETRY},
    [SL_EAGAIN] = {"eagain", "not finished", SL_FOLLOW_RETRY},
    [SL_EIO] = {"eio", "input/output error", SL_FOLLOW_RETRY},
    [SL_ENOSPC] = {"enospc", "no space left", SL_FOLLOW_RETRY},
    [SL_ECORRUPT] = {"ecorrupt", "stored data is damaged", SL_FOLLOW_STOP},
    [SL_ENOTFOUND] = {"enotfound", "not found", SL_FOLLOW_STOP},
    [SL_EEXIST] = {"eexist", "exists already", SL_FOLLOW_STOP},
    [SL_ESYNTAX] = {"esyntax", "syntax error", SL_FOLLOW_DEAD_LETTER},
    [SL_ETYPE] = {"etype", "wrong type", SL_FOLLOW_DEAD_LETTER},
    [SL_ELIMIT] = {"elimit", "too large", SL_FOLLOW_DEAD_LETTER},
    [SL_EDENIED] = {"edenied", "permission denied", SL_FOLLOW_RETRY},
    [SL_ECONFLICT] = {"econflict", "another state than expected", SL_FOLLOW_STOP},
    [SL_EUNSUPPORTED] = {"eunsupported", "not supported", SL_FOLLOW_STOP},
    [SL_EMOVED] = {"emoved", "somebody else was there before", SL_FOLLOW_STOP},
};

static bool known(sl_status status) {
    return (unsigned)status < SL_STATUS_COUNT;
}

const char *sl_status_name(sl_status status) {
    return known(status) ? table[status].name : "unknown";
}

const char *sl_status_text(sl_status status) {
    return known(status) ? table[status].text : "unknown status";
}

sl_follow_up sl_status_follow_up(sl_status status) {
    return known(status) ? table[status].follow_up : SL_FOLLOW_STOP;
}

sl_status sl_error_set(sl_error *error, sl_status status, const char *format, ...) {
    if (error != NULL) {
        /* The arguments may point into the old text. */
        char text[sizeof error->text];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        memcpy(error->text, text, sizeof text);
        error->status = status;
    }
    return status;
}

sl_status sl_error_context(sl_error *error, const char *format, ...) {
    if (error == NULL)
        return SL_EINVAL;
    char text[sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t length = n < 0 ? 0 : (size_t)n;
    if (length < sizeof text - 2)
        (void)snprintf(text + length, sizeof text - length, ": %.*s",
                       (int)(sizeof text - length - 3), error->text);
    memcpy(error->text, text, sizeof text);
    return error->status;
}
