// Steps on timestamps, dates and durations: conversions, and the parts of a moment in a
// time zone. All are whole numbers: microseconds, and days for a date.

#include "kernels.h"

#include "sluice/time.h"

#include <inttypes.h>
#include <stdio.h>

#define FIRST_SECOND INT64_C(-62135596800) /**< 0001-01-01T00:00:00Z */
#define LAST_SECOND INT64_C(253402300799)  /**< 9999-12-31T23:59:59Z */

// ---- Conversions
// -----------------------------------------------------------------------------

bool run_text_to_timestamp(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        fail_if(s, i,
                !sl_time_parse((const char *)t.bytes, t.length, &s->out->values.i64[i]));
    }
    return true;
}

bool run_seconds_to_timestamp(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        int64_t seconds = s->in[0]->values.i64[i];
        bool good = seconds >= FIRST_SECOND && seconds <= LAST_SECOND;
        s->out->values.i64[i] = good ? seconds * SL_SECOND_US : 0;
        fail_if(s, i, !good);
    }
    return true;
}

bool run_date_to_timestamp(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    for (uint32_t i = 0; i < rows; i++) {
        int64_t days = s->in[0]->values.i64[i];
        bool good = days >= FIRST_SECOND / 86400 && days <= LAST_SECOND / 86400;
        s->out->values.i64[i] = good ? days * SL_DAY_US : 0;
        fail_if(s, i, !good);
    }
    return true;
}

// Seconds since 1970, also before it rounded down.
bool run_per_second(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++) {
        int64_t us = s->in[0]->values.i64[i];
        s->out->values.i64[i] = us / SL_SECOND_US - (us % SL_SECOND_US < 0);
    }
    valid_of_one(s, rows);
    return true;
}

bool run_microseconds_to_f64(const step *s, uint32_t rows) {
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.f64[i] = (double)s->in[0]->values.i64[i] / 1e6;
    valid_of_one(s, rows);
    return true;
}

bool run_timestamp_to_text(const step *s, uint32_t rows) {
    char digits[40];
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        size_t length = sl_time_format(s->in[0]->values.i64[i], digits);
        while (length > 2 && memchr(digits, '.', length) != NULL &&
               digits[length - 2] == '0') { // .500000Z is .5Z
            digits[length - 2] = 'Z';
            length--;
        }
        if (!keep_copy(s, digits, length, &s->out->values.text[i]))
            return false;
    }
    return true;
}

bool run_date_to_text(const step *s, uint32_t rows) {
    char digits[24];
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t days = s->in[0]->values.i64[i];
        bool good = days >= INT32_MIN && days <= INT32_MAX;
        size_t length = sl_date_format(good ? (int32_t)days : 0, digits);
        fail_if(s, i, !good);
        if (!keep_copy(s, digits, length, &s->out->values.text[i]))
            return false;
    }
    return true;
}

// "5400s", "-0.25s": seconds, as the JSON form of protobuf's durations.
bool run_duration_to_text(const step *s, uint32_t rows) {
    char digits[48];
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t us = s->in[0]->values.i64[i];
        uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
        int n = snprintf(digits, sizeof digits, "%s%" PRIu64 ".%06" PRIu64,
                         us < 0 ? "-" : "", size / 1000000, size % 1000000);
        while (digits[n - 1] == '0')
            n--;
        n -= digits[n - 1] == '.';
        digits[n++] = 's';
        if (!keep_copy(s, digits, (size_t)n, &s->out->values.text[i]))
            return false;
    }
    return true;
}

typedef struct scanner {
    text t;
    uint32_t at;
} scanner;

static bool more(const scanner *in) { return in->at < in->t.length; }

// A unit's nanoseconds; "us" has two more spellings, with the micro sign and the mu.
static int64_t read_unit(scanner *in) {
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ns", 1},           {"us", 1000},     {"\xc2\xb5s", 1000},
                 {"\xce\xbcs", 1000}, {"ms", 1000000},  {"h", 3600000000000},
                 {"m", 60000000000},  {"s", 1000000000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        uint32_t length = (uint32_t)strlen(units[i].unit);
        if (in->t.length - in->at >= length &&
            memcmp(in->t.bytes + in->at, units[i].unit, length) == 0) {
            in->at += length;
            return units[i].ns;
        }
    }
    return 0;
}

static bool digit_at(const scanner *in) {
    return more(in) && in->t.bytes[in->at] >= '0' && in->t.bytes[in->at] <= '9';
}

// One "1.5h", in nanoseconds; digits that no nanosecond has are cut off.
static bool read_amount(scanner *in, wide *ns) {
    wide whole = 0, fraction = 0, unit = 1;
    bool any = false;
    for (; digit_at(in); in->at++, any = true) {
        whole = whole * 10 + (in->t.bytes[in->at] - '0');
        if (whole > INT64_MAX)
            return false;
    }
    if (more(in) && in->t.bytes[in->at] == '.') {
        for (in->at++; digit_at(in); in->at++, any = true) {
            if (unit < INT64_C(1000000000000000)) {
                fraction = fraction * 10 + (in->t.bytes[in->at] - '0');
                unit *= 10;
            }
        }
    }
    int64_t scale = any ? read_unit(in) : 0;
    *ns += whole * scale + fraction * scale / unit;
    return scale != 0;
}

// Go's form, which CEL took: "1h30m", "-1.5s", "250ms", "0". Below a microsecond cut off.
static bool read_duration(text t, int64_t *us) {
    scanner in = {.t = t};
    bool negative = more(&in) && t.bytes[0] == '-';
    in.at += negative || (more(&in) && t.bytes[0] == '+');
    if (t.length - in.at == 1 && t.bytes[in.at] == '0') {
        *us = 0;
        return true;
    }
    wide ns = 0;
    if (!more(&in))
        return false;
    while (more(&in))
        if (!read_amount(&in, &ns) || ns > INT64_MAX)
            return false;
    *us = (int64_t)ns / 1000 * (negative ? -1 : 1);
    return true;
}

bool run_text_to_duration(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i)
    fail_if(s, i, !read_duration(s->in[0]->values.text[i], &s->out->values.i64[i]));
    return true;
}

// ---- Parts
// -----------------------------------------------------------------------------------

// CEL counts months, days of the month and days of the year from 0, getDate() from 1,
// and the week from Sunday.
static int64_t part_of_days(int32_t days, int64_t part) {
    int year = 0;
    unsigned month = 0, day = 0;
    if (part == PART_DAY_OF_WEEK) // 1970-01-01 was a Thursday.
        return ((int64_t)days % 7 + 11) % 7;
    sl_date_civil(days, &year, &month, &day);
    switch (part) {
    case PART_YEAR:
        return year;
    case PART_MONTH:
        return (int64_t)month - 1;
    case PART_DAY_OF_YEAR:
        return days - sl_date_days(year, 1, 1);
    case PART_DAY_OF_MONTH:
        return (int64_t)day - 1;
    default:
        return day;
    }
}

static int64_t part_of(int64_t us, int64_t part) {
    int64_t day = sl_time_floor(us, SL_DAY_US), rest = us - day;
    switch (part) {
    case PART_HOURS:
        return rest / SL_HOUR_US;
    case PART_MINUTES:
        return rest / SL_MINUTE_US % 60;
    case PART_SECONDS:
        return rest / SL_SECOND_US % 60;
    case PART_MILLISECONDS:
        return rest / 1000 % 1000;
    default:
        return part_of_days((int32_t)(day / SL_DAY_US), part);
    }
}

// Cells of a column may hold any time, the years 1 to 9999 aside, but none whose local
// time or day overflows.
static bool within(int64_t us) { return us > INT64_MIN / 4 && us < INT64_MAX / 4; }

bool run_timestamp_part(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t us = s->in[0]->values.i64[i];
        if (!within(us))
            us = 0;
        if (s->zone != NULL)
            us += zone_offset_us(s->zone, us);
        s->out->values.i64[i] = part_of(us, s->unit_a);
    }
    return true;
}

bool run_date_part(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t days = s->in[0]->values.i64[i];
        bool good = days > INT32_MIN / 2 && days < INT32_MAX / 2;
        s->out->values.i64[i] = part_of_days(good ? (int32_t)days : 0, s->unit_a);
    }
    return true;
}

// Whole hours, minutes and seconds; of milliseconds what the seconds leave.
bool run_duration_part(const step *s, uint32_t rows) {
    int64_t unit = s->unit_a == PART_HOURS     ? SL_HOUR_US
                   : s->unit_a == PART_MINUTES ? SL_MINUTE_US
                   : s->unit_a == PART_SECONDS ? SL_SECOND_US
                                               : 1000;
    for (uint32_t i = 0; i < rows; i++) {
        int64_t count = s->in[0]->values.i64[i] / unit;
        s->out->values.i64[i] = s->unit_a == PART_MILLISECONDS ? count % 1000 : count;
    }
    valid_of_one(s, rows);
    return true;
}
