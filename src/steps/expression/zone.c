// Time zones from the system's files: TZif (RFC 8536).
//
//   header  "TZif" version(1) 15 unused, then six counts of 4 bytes, big-endian:
//           isutcnt isstdcnt leapcnt timecnt typecnt charcnt
//   block   timecnt times, timecnt type indices (1 byte), typecnt of (offset 4, dst 1,
//           name 1), names, leap seconds, isstd, isut. Times have 4 bytes in the first
//           block and 8 in the second one, which follows with a header of its own from
//           version 2 on.
//   footer  '\n' rule '\n': the rule for what comes after the last time, as POSIX's TZ,
//           such as CET-1CEST,M3.5.0,M10.5.0/3. Offsets there count west of UTC.
//
// A zone is read once, when the expression is compiled.

#include "internal.h"

#include "sluice/time.h"

#include <stdio.h>
#include <stdlib.h>

#define DIRECTORY "/usr/share/zoneinfo/"
#define FILE_BYTES_MAX 262144u
#define NAME_BYTES_MAX 100u
#define HEADER_BYTES 44u

/** A day of the year at a time of day: Mm.w.d, Jn (no 29 February) or n. */
typedef struct change {
    char kind; /**< 'M', 'J' or '0'. */
    int month, week, day;
    int64_t seconds; /**< Of the day, local; may lie outside of it. */
} change;

struct zone {
    uint32_t count;
    int64_t *at;      /**< Seconds since 1970, ascending. */
    int32_t *offsets; /**< Seconds east of UTC from at[i] on. */
    int32_t before;   /**< In front of the first. */
    bool ruled, summer;
    int64_t standard, daylight; /**< Seconds east. */
    change start, end;
};

// ---- Offsets by rule
// ----------------------------------------------------------------------------

static int32_t day_of_change(const change *c, int year) {
    int32_t first = sl_date_days(year, 1, 1);
    bool leap = sl_date_days(year + 1, 1, 1) - first == 366;
    if (c->kind == 'J') // 1 to 365; 1 March is always the 60th.
        return first + c->day - 1 + (leap && c->day >= 60);
    if (c->kind != 'M')
        return first + c->day;
    int32_t day = sl_date_days(year, (unsigned)c->month, 1);
    int32_t weekday = (day % 7 + 11) % 7;
    day += (c->day - weekday + 7) % 7 + 7 * (c->week - 1);
    int32_t next = c->month == 12 ? sl_date_days(year + 1, 1, 1)
                                  : sl_date_days(year, (unsigned)c->month + 1, 1);
    return day >= next ? day - 7 : day; // The fifth week is the last one.
}

static int64_t offset_by_rule(const zone *z, int64_t seconds) {
    if (!z->summer)
        return z->standard;
    int64_t local = seconds + z->standard;
    int year;
    unsigned month, day;
    sl_date_civil((int32_t)(local / 86400 - (local % 86400 < 0)), &year, &month, &day);
    int64_t start =
        day_of_change(&z->start, year) * INT64_C(86400) + z->start.seconds - z->standard;
    int64_t end =
        day_of_change(&z->end, year) * INT64_C(86400) + z->end.seconds - z->daylight;
    bool summer = start < end ? seconds >= start && seconds < end
                              : !(seconds >= end && seconds < start);
    return summer ? z->daylight : z->standard;
}

int64_t zone_offset_us(const zone *z, int64_t us) {
    int64_t seconds = us / SL_SECOND_US - (us % SL_SECOND_US < 0);
    if (z->ruled && (z->count == 0 || seconds >= z->at[z->count - 1]))
        return offset_by_rule(z, seconds) * SL_SECOND_US;
    uint32_t low = 0, high = z->count; // The first change that is still to come.
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (z->at[middle] <= seconds)
            low = middle + 1;
        else
            high = middle;
    }
    return (low == 0 ? z->before : z->offsets[low - 1]) * SL_SECOND_US;
}

// ---- The rule's text
// ----------------------------------------------------------------------------

static const char *skip_name(const char *at) {
    const char *begin = at;
    if (*at == '<') {
        at += strcspn(at, ">");
        return *at == '>' ? at + 1 : NULL;
    }
    while ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z'))
        at++;
    return at == begin ? NULL : at;
}

static const char *read_whole(const char *at, int most, int *out) {
    int value = 0;
    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (*at - '0');
        if (value > most)
            return NULL;
    }
    *out = value;
    return at;
}

// [+-]hh[:mm[:ss]]
static const char *read_clock(const char *at, int64_t *seconds) {
    int64_t sign = *at == '-' ? -1 : 1;
    at += *at == '-' || *at == '+';
    *seconds = 0;
    for (int64_t unit = 3600; at != NULL; unit /= 60) {
        int value = 0;
        at = read_whole(at, unit == 3600 ? 167 : 59, &value);
        *seconds += sign * value * unit;
        if (at == NULL || *at != ':' || unit == 1)
            break;
        at++;
    }
    return at;
}

static const char *read_change(const char *at, change *out) {
    *out = (change){.kind = '0', .seconds = 2 * 3600};
    if (*at == 'M' || *at == 'J')
        out->kind = *at++;
    if (out->kind == 'M') {
        at = read_whole(at, 12, &out->month);
        at = at == NULL || *at != '.' ? NULL : read_whole(at + 1, 5, &out->week);
        at = at == NULL || *at != '.' ? NULL : read_whole(at + 1, 6, &out->day);
        if (out->month == 0 || out->week == 0)
            return NULL;
    } else {
        at = read_whole(at, 365, &out->day);
    }
    return at != NULL && *at == '/' ? read_clock(at + 1, &out->seconds) : at;
}

static bool read_rule(const char *at, zone *z) {
    int64_t west = 0;
    at = skip_name(at);
    if (at == NULL || (at = read_clock(at, &west)) == NULL)
        return false;
    z->standard = -west;
    z->ruled = true;
    if (*at == 0)
        return true;
    z->summer = true;
    z->daylight = z->standard + 3600;
    at = skip_name(at);
    if (at != NULL && *at != ',' && *at != 0) {
        at = read_clock(at, &west);
        z->daylight = -west;
    }
    at = at == NULL || *at != ',' ? NULL : read_change(at + 1, &z->start);
    at = at == NULL || *at != ',' ? NULL : read_change(at + 1, &z->end);
    return at != NULL && *at == 0;
}

// ---- The file
// --------------------------------------------------------------------------------

typedef struct counts {
    uint32_t utc, standard, leap, time, type, name;
} counts;

static uint32_t be32(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t be64(const uint8_t *b) {
    return (int64_t)((uint64_t)be32(b) << 32 | be32(b + 4));
}

// @return Bytes of the block behind the header, 0 where there is no header.
static size_t read_header(const uint8_t *at, size_t left, size_t time_bytes, counts *n) {
    if (left < HEADER_BYTES || memcmp(at, "TZif", 4) != 0 || at[4] < '2')
        return 0;
    *n = (counts){be32(at + 20), be32(at + 24), be32(at + 28),
                  be32(at + 32), be32(at + 36), be32(at + 40)};
    const uint32_t all[] = {n->utc, n->standard, n->leap, n->time, n->type, n->name};
    for (size_t i = 0; i < 6; i++)
        if (all[i] > FILE_BYTES_MAX)
            return 0;
    size_t block = n->time * (time_bytes + 1) + n->type * 6u + n->name +
                   n->leap * (time_bytes + 4) + n->standard + n->utc;
    return block <= left - HEADER_BYTES && n->type > 0 ? block : 0;
}

static bool read_times(const compiler *c, const uint8_t *at, const counts *n, zone *z) {
    const uint8_t *indices = at + n->time * 8u, *types = indices + n->time;
    z->at = sl_arena_get(c->memory, n->time * sizeof *z->at + 1);
    z->offsets = sl_arena_get(c->memory, n->time * sizeof *z->offsets + 1);
    if (z->at == NULL || z->offsets == NULL)
        return false;
    z->before = (int32_t)be32(types);
    for (z->count = 0; z->count < n->time; z->count++) {
        uint32_t i = z->count;
        z->at[i] = be64(at + i * 8u);
        if (indices[i] >= n->type || (i > 0 && z->at[i] < z->at[i - 1]))
            break; // What follows is damaged; the rule goes on from here.
        z->offsets[i] = (int32_t)be32(types + indices[i] * 6u);
    }
    return true;
}

// @return SL_ECORRUPT where the file is none.
static sl_status read_file(const compiler *c, const uint8_t *bytes, size_t length,
                           zone *z) {
    counts n;
    size_t first = read_header(bytes, length, 4, &n);
    if (first == 0)
        return SL_ECORRUPT;
    const uint8_t *at = bytes + HEADER_BYTES + first;
    size_t left = length - HEADER_BYTES - first;
    size_t second = read_header(at, left, 8, &n);
    if (second == 0)
        return SL_ECORRUPT;
    if (!read_times(c, at + HEADER_BYTES, &n, z))
        return SL_ENOMEM;
    at += HEADER_BYTES + second;
    left -= HEADER_BYTES + second;
    char rule[128] = "";
    const uint8_t *end = left < 2 ? NULL : memchr(at + 1, '\n', left - 1);
    if (end == NULL || at[0] != '\n' || (size_t)(end - at) > sizeof rule)
        return SL_ECORRUPT;
    memcpy(rule, at + 1, (size_t)(end - at) - 1);
    return rule[0] == 0 || read_rule(rule, z) ? SL_OK : SL_ECORRUPT;
}

static sl_status load(const compiler *c, const char *path, zone *z) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return SL_ENOTFOUND;
    sl_status status = SL_ENOMEM;
    uint8_t *bytes = sl_malloc(FILE_BYTES_MAX);
    if (bytes != NULL) {
        size_t length = fread(bytes, 1, FILE_BYTES_MAX, file);
        status = read_file(c, bytes, length, z);
    }
    sl_free(bytes);
    fclose(file);
    return status;
}

static bool is_zone_name(const char *name) {
    return *name != '/' && strstr(name, "..") == NULL &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789/_+-") == strlen(name);
}

// ±hh:mm; CEL allows it without a sign.
static bool read_fixed(const char *name, int64_t *seconds) {
    int64_t sign = *name == '-' ? -1 : 1;
    int hours = 0, minutes = 0;
    name += *name == '-' || *name == '+';
    name = read_whole(name, 23, &hours);
    if (name == NULL || *name != ':')
        return false;
    name = read_whole(name + 1, 59, &minutes);
    *seconds = sign * (hours * 3600 + minutes * 60);
    return name != NULL && *name == 0;
}

sl_status zone_find(const compiler *c, uint32_t at, text name, const zone **out) {
    char words[NAME_BYTES_MAX + 1], path[sizeof DIRECTORY + NAME_BYTES_MAX];
    *out = NULL;
    if (name.length == 0 || name.length > NAME_BYTES_MAX)
        return fault(c, SL_ENOTFOUND, at, "this is no time zone");
    memcpy(words, name.bytes, name.length);
    words[name.length] = 0;
    if (strcmp(words, "UTC") == 0 || strcmp(words, "Z") == 0)
        return SL_OK;
    zone *made = sl_arena_get(c->memory, sizeof *made);
    if (made == NULL)
        return out_of_memory(c);
    *made = (zone){.ruled = false};
    *out = made;
    if (read_fixed(words, &made->standard)) {
        made->ruled = true;
        return SL_OK;
    }
    snprintf(path, sizeof path, DIRECTORY "%s", words);
    sl_status status = is_zone_name(words) ? load(c, path, made) : SL_ENOTFOUND;
    if (status == SL_ENOMEM)
        return out_of_memory(c);
    if (status == SL_ECORRUPT)
        return fault(c, SL_ECORRUPT, at, "%.100s is no time zone file", path);
    if (status != SL_OK)
        return fault(c, SL_ENOTFOUND, at,
                     "no time zone `%.60s` below " DIRECTORY
                     " (names such as Europe/Oslo, offsets such as +02:00)",
                     words);
    return SL_OK;
}
