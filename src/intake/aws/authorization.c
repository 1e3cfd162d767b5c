#include "authorization.h"

#include "sluice/time.h"

#include <stdio.h>

#define INCOMPLETE "IncompleteSignatureException"
#define INVALID "InvalidSignatureException"
#define SKEW_US (AWS_SKEW_MINUTES * SL_MINUTE_US)
#define ALGORITHM "AWS4-HMAC-SHA256"

/* "YYYYMMDDTHHMMSSZ" */
static bool read_stamp(const char *text, int64_t *us) {
    char full[32];
    if (strlen(text) != 16 || text[8] != 'T' || text[15] != 'Z')
        return false;
    int n = snprintf(full, sizeof full, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", text, text + 4, text + 6, text + 9, text + 11,
                     text + 13);
    return n == 20 && sl_time_parse(full, 20, us);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", RFC 9110 section 5.6.7. */
static bool read_date(const char *text, int64_t *us) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = "", full[32];
    if (strlen(text) != 29 || text[3] != ',' || strcmp(text + 25, " GMT") != 0)
        return false;
    memcpy(month, text + 8, 3);
    const char *found = strstr(months, month);
    if (strlen(month) != 3 || found == NULL || (found - months) % 3 != 0)
        return false;
    int n = snprintf(full, sizeof full, "%.4s-%02u-%.2sT%.8sZ", text + 12, (unsigned)(found - months) / 3 + 1, text + 5,
                     text + 17);
    return n == 20 && sl_time_parse(full, 20, us);
}

static void write_stamp(int64_t us, char out[17]) {
    char full[32];
    (void)sl_time_format(sl_time_floor(us, SL_SECOND_US), full); /* "2015-08-30T12:36:00Z" */
    (void)snprintf(out, 17, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", full, full + 5, full + 8, full + 11, full + 14, full + 17);
}

static bool take_time(aws_authorization *out, const char *amz_date, const char *date, aws_fault *fault) {
    const char *text = *amz_date != 0 ? amz_date : date;
    if (!read_stamp(text, &out->time_us) && (*amz_date != 0 || !read_date(text, &out->time_us))) {
        aws_fault_set(fault, 400, INCOMPLETE,
                      "Date must be in ISO-8601 'basic format'. Got '%.64s'. See http://en.wikipedia.org/wiki/ISO_8601",
                      text);
        return false;
    }
    write_stamp(out->time_us, out->stamp);
    return true;
}

/* KEY/DAY/REGION/SERVICE/aws4_request */
static bool split_credential(aws_authorization *out, char *text, aws_fault *fault) {
    const char **parts[] = {&out->key_id, &out->day, &out->region, &out->service, &out->terminator};
    size_t slashes = 0;
    for (const char *c = text; *c != 0; c++)
        slashes += *c == '/';
    if (slashes != 4) {
        aws_fault_set(fault, 400, INCOMPLETE,
                      "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                      "got '%.200s'",
                      text);
        return false;
    }
    for (size_t i = 0; i < 5; i++) {
        *parts[i] = text;
        text += strcspn(text, "/");
        if (i < 4)
            *text++ = 0;
    }
    return true;
}

static bool split_names(aws_authorization *out, char *text, aws_fault *fault) {
    while (out->name_count < AWS_SIGNED_MAX) {
        size_t length = strcspn(text, ";");
        bool last = text[length] == 0;
        text[length] = 0;
        for (const char *c = text; *c != 0; c++)
            if (*c >= 'A' && *c <= 'Z')
                length = 0;
        if (length == 0)
            break;
        out->names[out->name_count++] = text;
        if (last)
            return true;
        text += length + 1;
    }
    aws_fault_set(fault, 400, INCOMPLETE, "SignedHeaders are names in lower case, joined by ';', at most %d",
                  AWS_SIGNED_MAX);
    return false;
}

enum { CREDENTIAL, SIGNED_HEADERS, SIGNATURE, PARAMETERS };
static const char *const parameters[PARAMETERS] = {"Credential", "SignedHeaders", "Signature"};

/* NAME=VALUE, apart by commas or blanks. @return false: a name twice. */
static bool split_parameters(char *text, char *values[PARAMETERS]) {
    while (*(text += strspn(text, ", ")) != 0) {
        char *begin = text;
        text += strcspn(text, ", ");
        char *equals = memchr(begin, '=', (size_t)(text - begin));
        if (*text != 0)
            *text++ = 0;
        if (equals == NULL)
            continue;
        *equals = 0;
        for (int i = 0; i < PARAMETERS; i++)
            if (strcmp(begin, parameters[i]) == 0) {
                if (values[i] != NULL)
                    return false;
                values[i] = equals + 1;
            }
    }
    return true;
}

static bool lacks(char *values[PARAMETERS], bool dated, const char *header, aws_fault *fault) {
    static const int order[] = {CREDENTIAL, SIGNATURE, SIGNED_HEADERS};
    char text[512] = "";
    size_t at = 0;
    for (int i = 0; i < PARAMETERS; i++)
        if (values[order[i]] == NULL || *values[order[i]] == 0)
            at += (size_t)snprintf(text + at, sizeof text - at, "Authorization header requires '%s' parameter. ",
                                   parameters[order[i]]);
    if (!dated)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
    if (at > 0)
        aws_fault_set(fault, 400, INCOMPLETE, "%sAuthorization=%.400s", text, header);
    return at > 0;
}

bool aws_authorization_read(aws_authorization *out, const char *text, const char *amz_date, const char *date,
                            aws_fault *fault) {
    char *values[PARAMETERS] = {NULL};
    size_t length = strlen(text), scheme = strcspn(text, " ");
    out->name_count = 0;
    if (strncmp(text, "AWS4-", 5) != 0) {
        aws_fault_set(fault, 400, "MissingAuthenticationTokenException", "Missing Authentication Token");
        return false;
    }
    if (scheme != sizeof ALGORITHM - 1 || memcmp(text, ALGORITHM, scheme) != 0 || length >= sizeof out->text) {
        aws_fault_set(fault, 400, INCOMPLETE, "Unsupported AWS 'algorithm': '%.64s'", text);
        return false;
    }
    memcpy(out->text, text, length + 1);
    if (!split_parameters(out->text + scheme, values)) {
        aws_fault_set(fault, 400, INCOMPLETE, "Authorization header has a parameter twice. Authorization=%.400s", text);
        return false;
    }
    if (lacks(values, *amz_date != 0 || *date != 0, text, fault))
        return false;
    out->signature = values[SIGNATURE];
    return split_credential(out, values[CREDENTIAL], fault) && split_names(out, values[SIGNED_HEADERS], fault) &&
           take_time(out, amz_date, date, fault);
}

static bool valid_region(const char *region) {
    size_t length = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length > 0 && length < AWS_REGION_MAX && region[length] == 0;
}

static bool check_time(const aws_authorization *a, int64_t now_us, aws_fault *fault) {
    char now[17], border[17];
    write_stamp(now_us, now);
    if (a->time_us < now_us - SKEW_US) {
        write_stamp(now_us - SKEW_US, border);
        aws_fault_set(fault, 400, INVALID, "Signature expired: %s is now earlier than %s (%s - %d min.)", a->stamp, border,
                      now, AWS_SKEW_MINUTES);
        return false;
    }
    if (a->time_us > now_us + SKEW_US) {
        write_stamp(now_us + SKEW_US, border);
        aws_fault_set(fault, 400, INVALID, "Signature not yet current: %s is still later than %s (%s + %d min.)", a->stamp,
                      border, now, AWS_SKEW_MINUTES);
        return false;
    }
    return true;
}

bool aws_authorization_check(const aws_authorization *a, const char *service, int64_t now_us, aws_fault *fault) {
    if (!valid_region(a->region))
        aws_fault_set(fault, 400, INVALID, "Credential should be scoped to a valid region, not '%.64s'.", a->region);
    else if (strcmp(a->service, service) != 0)
        aws_fault_set(fault, 400, INVALID, "Credential should be scoped to correct service: '%s'.", service);
    else if (strcmp(a->terminator, "aws4_request") != 0)
        aws_fault_set(fault, 400, INVALID, "Credential should be scoped with a valid terminator: 'aws4_request', not '%.64s'.",
                      a->terminator);
    else if (strlen(a->day) != 8 || memcmp(a->day, a->stamp, 8) != 0)
        aws_fault_set(fault, 400, INVALID,
                      "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%.64s' != "
                      "'%.8s', from '%s'.",
                      a->day, a->stamp, a->stamp);
    else
        return check_time(a, now_us, fault);
    return false;
}

bool aws_authorization_signs(const aws_authorization *a, const char *name) {
    for (size_t i = 0; i < a->name_count; i++)
        if (strcmp(a->names[i], name) == 0)
            return true;
    return false;
}
