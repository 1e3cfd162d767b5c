/* TZif (RFC 8536): "TZif", version, …, and from version 2 on a closing line between two
 * newlines that holds the rule for times after the last transition, in POSIX form
 * (section 3.3):
 *
 *     std offset [dst [offset] [,rule]]       CET-1CEST,M3.5.0,M10.5.0/3 <+0530>-5:30
 *
 * Offsets there count west of UTC. Only this line is read: windows are aligned by today's
 * rules. */
#include "loader.h"

#include <stdio.h>

static bool is_zone_name(const char *name) {
    size_t length = strlen(name);
    return length && length < 100 && *name != '/' && !strstr(name, "..") &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789/_+-") == length;
}

/** `EST` or `<+0530>`. */
static const char *skip_name(const char *at) {
    if (*at == '<') {
        at += strcspn(at, ">");
        return *at ? at + 1 : NULL;
    }
    size_t length = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    return length ? at + length : NULL;
}

/** [+-]hh[:mm[:ss]], west of UTC, as microseconds east of it. */
static const char *read_offset(const char *at, int64_t *east_us) {
    int64_t sign = *at == '-' ? 1 : -1, seconds = 0;
    at += *at == '-' || *at == '+';
    for (int64_t unit = 3600; unit; unit /= 60) {
        int64_t value = 0;
        size_t digits = strspn(at, "0123456789");
        if (!digits || digits > 3)
            return NULL;
        for (; digits; digits--)
            value = value * 10 + (*at++ - '0');
        seconds += value * unit;
        if (*at != ':')
            break;
        at++;
    }
    *east_us = sign * seconds * SL_SECOND_US;
    return at;
}

static bool read_rule(const char *at, int64_t *standard_us, int64_t *summer_us) {
    at = skip_name(at);
    if (!at || !(at = read_offset(at, standard_us)))
        return false;
    *summer_us = *standard_us;
    if (!*at)
        return true;
    if (!(at = skip_name(at)))
        return false;
    *summer_us = *standard_us + SL_HOUR_US;
    return !*at || *at == ',' || read_offset(at, summer_us);
}

/** The file's last line, cut out of its last bytes. */
static char *last_line(char *tail, size_t length) {
    if (length < 2 || tail[length - 1] != '\n')
        return NULL;
    tail[--length] = 0;
    while (length && tail[length - 1] != '\n')
        length--;
    return length ? tail + length : NULL;
}

sl_status sl_timezone_read(const char *directory, const char *name, int64_t *standard_us,
                           int64_t *summer_us) {
    *standard_us = *summer_us = 0;
    if (!strcmp(name, "UTC"))
        return SL_OK; /* Needs no tzdata. */
    char path[300], bytes[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = is_zone_name(name) ? fopen(path, "rb") : NULL;
    if (!file)
        return SL_ENOTFOUND;
    sl_status status = SL_ECORRUPT;
    if (fread(bytes, 1, 4, file) == 4 && !memcmp(bytes, "TZif", 4)) {
        long size = fseek(file, 0, SEEK_END) ? 0 : ftell(file);
        long begin = size > (long)sizeof bytes ? size - (long)sizeof bytes : 0;
        size_t got =
            fseek(file, begin, SEEK_SET) ? 0 : fread(bytes, 1, sizeof bytes, file);
        const char *line = last_line(bytes, got);
        if (line && read_rule(line, standard_us, summer_us))
            status = SL_OK;
    }
    fclose(file);
    return status;
}
