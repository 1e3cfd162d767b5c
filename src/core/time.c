#include "sluice/time.h"

#include <stdio.h>

/* Hinnant's days_from_civil and civil_from_days: eras of 400 years, years from March. */
int32_t sl_date_days(int year, unsigned month, unsigned day) {
    year -= month <= 2;
    int era = (year >= 0 ? year : year - 399) / 400;
    unsigned yoe = (unsigned)(year - era * 400);
    unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int32_t)doe - 719468;
}

void sl_date_civil(int32_t days, int *year, unsigned *month, unsigned *day) {
    days += 719468;
    int era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned doe = (unsigned)(days - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int)yoe + era * 400 + (*month <= 2);
}

static bool digits(const char *text, size_t count, unsigned *out) {
    unsigned value = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned d = (unsigned)(text[i] - '0');
        if (d > 9)
            return false;
        value = value * 10 + d;
    }
    *out = value;
    return true;
}

static unsigned month_days(unsigned year, unsigned month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool sl_date_parse(const char *text, size_t length, int32_t *days) {
    unsigned y, m, d;
    if (length != 10 || text[4] != '-' || text[7] != '-' || !digits(text, 4, &y) ||
        !digits(text + 5, 2, &m) || !digits(text + 8, 2, &d))
        return false;
    if (y < 1 || m < 1 || m > 12 || d < 1 || d > month_days(y, m))
        return false;
    *days = sl_date_days((int)y, m, d);
    return true;
}

/* time-offset of RFC 3339 section 5.6, the whole rest of the text. */
static bool offset_parse(const char *text, size_t length, int64_t *us) {
    if (length == 1 && (text[0] == 'Z' || text[0] == 'z')) {
        *us = 0;
        return true;
    }
    unsigned h, m;
    if (length != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' ||
        !digits(text + 1, 2, &h) || !digits(text + 4, 2, &m) || h > 23 || m > 59)
        return false;
    int64_t value = h * SL_HOUR_US + m * SL_MINUTE_US;
    *us = text[0] == '-' ? -value : value;
    return true;
}

bool sl_time_parse(const char *text, size_t length, int64_t *us) {
    int32_t days;
    unsigned h, m, s;
    if (length < 20 || !sl_date_parse(text, 10, &days) ||
        (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' ||
        text[16] != ':' || !digits(text + 11, 2, &h) || !digits(text + 14, 2, &m) ||
        !digits(text + 17, 2, &s) || h > 23 || m > 59 || s > 60)
        return false;
    size_t at = 19;
    int64_t fraction = 0;
    if (text[at] == '.') {
        size_t begin = ++at;
        int64_t unit = 100000;
        for (; at < length && (unsigned)(text[at] - '0') <= 9; at++, unit /= 10)
            fraction += (text[at] - '0') * unit;
        if (at == begin)
            return false;
    }
    int64_t offset;
    if (at >= length || !offset_parse(text + at, length - at, &offset))
        return false;
    /* A leap second exists only at 23:59:60 UTC; it becomes the next second's start. */
    if (s == 60) {
        int64_t minute = (h * SL_HOUR_US + m * SL_MINUTE_US - offset + 2 * SL_DAY_US) % SL_DAY_US;
        if (minute != 23 * SL_HOUR_US + 59 * SL_MINUTE_US)
            return false;
        fraction = 0;
    }
    *us = days * SL_DAY_US + h * SL_HOUR_US + m * SL_MINUTE_US + s * SL_SECOND_US + fraction -
          offset;
    return true;
}

static void two(char *out, unsigned value) {
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

size_t sl_date_format(int32_t days, char *out) {
    int year;
    unsigned month, day;
    sl_date_civil(days, &year, &month, &day);
    if (year < 0 || year > 9999)
        return (size_t)snprintf(out, 16, "%d-%02u-%02u", year, month, day);
    two(out, (unsigned)year / 100);
    two(out + 2, (unsigned)year % 100);
    out[4] = out[7] = '-';
    two(out + 5, month);
    two(out + 8, day);
    out[10] = 0;
    return 10;
}

size_t sl_time_format(int64_t us, char *out) {
    int64_t day = sl_time_floor(us, SL_DAY_US);
    unsigned rest = (unsigned)((us - day) / SL_SECOND_US);
    unsigned fraction = (unsigned)((us - day) % SL_SECOND_US);
    size_t n = sl_date_format((int32_t)(day / SL_DAY_US), out);
    out[n] = 'T';
    two(out + n + 1, rest / 3600);
    out[n + 3] = out[n + 6] = ':';
    two(out + n + 4, rest / 60 % 60);
    two(out + n + 7, rest % 60);
    n += 9;
    if (fraction != 0)
        n += (size_t)snprintf(out + n, 8, ".%06u", fraction);
    out[n] = 'Z';
    out[n + 1] = 0;
    return n + 1;
}

bool sl_duration_parse(const char *text, size_t length, int64_t *us) {
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"us", 1},           {"ms", 1000},       {"s", SL_SECOND_US},
                 {"m", SL_MINUTE_US}, {"h", SL_HOUR_US},  {"d", SL_DAY_US},
                 {"w", 7 * SL_DAY_US}};
    int64_t value = 0;
    size_t at = 0;
    for (; at < length && (unsigned)(text[at] - '0') <= 9; at++) {
        if (value > (INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (text[at] - '0');
    }
    if (at == 0 || at == length)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = 0;
        while (units[i].unit[n] != 0 && at + n < length && units[i].unit[n] == text[at + n])
            n++;
        if (units[i].unit[n] == 0 && at + n == length) {
            if (value > INT64_MAX / units[i].us)
                return false;
            *us = value * units[i].us;
            return true;
        }
    }
    return false;
}
