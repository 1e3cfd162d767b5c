// Formats by the grammar that JSON Schema names for each: no more is let through, and no
// less. Lengths of names are those of DNS (RFC 1035, section 2.3.4).

#include "formats.h"
#include "idn.h"

#include "sluice/time.h"

static bool is_alpha(uint8_t c) { return (unsigned)((c | 0x20) - 'a') < 26; }
static bool is_digit(uint8_t c) { return (unsigned)(c - '0') < 10; }
static bool is_hex(uint8_t c) { return is_digit(c) || (unsigned)((c | 0x20) - 'a') < 6; }

// ---- Times: RFC 3339, section 5.6 and appendix A

static bool spaced_time(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    int64_t us;
    return sl_time_parse((const char *)text, length, &us);
}

static bool date_time(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return length > 10 && text[10] != ' ' && spaced_time(text, length, m);
}

static bool date(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    int32_t days;
    return sl_date_parse((const char *)text, length, &days);
}

/** full-time, by way of a date on which it happens; only its offset could change the day.
 */
static bool time_of_day(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    char whole[64] = "2000-06-15T";
    if (length > sizeof whole - 11) {
        // A long fraction: its digits are checked, then left out.
        size_t at = 9;
        while (at < length && is_digit(text[at]))
            at++;
        if (text[8] != '.' || length - at > 6)
            return false;
        memcpy(whole + 11, text, 10);
        memcpy(whole + 21, text + at, length - at);
        length = 10 + length - at;
    } else {
        memcpy(whole + 11, text, length);
    }
    return date_time((const uint8_t *)whole, length + 11, m);
}

/** Digits, then one of `units`; units come in this order. @return behind them. */
static size_t duration_part(const uint8_t *text, size_t at, size_t length,
                            const char *units, bool *some) {
    const char *last = NULL;
    while (at < length && is_digit(text[at])) {
        size_t end = at;
        while (end < length && is_digit(text[end]))
            end++;
        const char *unit =
            end < length && text[end] != 0 ? strchr(units, text[end]) : NULL;
        // The grammar nests (years hold months, months days): none may be left out
        // between two.
        if (unit == NULL || (last != NULL && unit != last + 1))
            return at;
        last = unit;
        *some = true;
        at = end + 1;
    }
    return at;
}

static bool duration(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    if (length < 3 || text[0] != 'P')
        return false;
    if (text[length - 1] == 'W') {
        for (size_t i = 1; i < length - 1; i++)
            if (!is_digit(text[i]))
                return false;
        return true;
    }
    bool days = false, hours = false;
    size_t at = duration_part(text, 1, length, "YMD", &days);
    if (at < length && text[at] == 'T') {
        at = duration_part(text, at + 1, length, "HMS", &hours);
        return hours && at == length;
    }
    return days && at == length;
}

// ---- Addresses

static bool format_ipv4(const uint8_t *text, size_t length) {
    size_t at = 0;
    for (unsigned part = 0; part < 4; part++) {
        if (part != 0 && (at >= length || text[at++] != '.'))
            return false;
        size_t begin = at;
        unsigned value = 0;
        while (at < length && at - begin < 4 && is_digit(text[at]))
            value = value * 10 + (text[at++] - '0');
        if (at == begin || value > 255 || (text[begin] == '0' && at - begin > 1))
            return false;
    }
    return at == length;
}

// RFC 4291, section 2.2: eight groups, one run of them as "::", the last two as an IPv4
// address.
bool sl_format_ipv6(const uint8_t *text, size_t length) {
    unsigned groups = 0;
    bool gap = false;
    size_t at = 0;
    if (length >= 2 && text[0] == ':' && text[1] == ':') {
        gap = true;
        at = 2;
    }
    while (at < length) {
        size_t end = at;
        while (end < length && is_hex(text[end]))
            end++;
        if (end < length && text[end] == '.') {
            groups += 2;
            return format_ipv4(text + at, length - at) &&
                   (gap ? groups < 8 : groups == 8);
        }
        if (end == at || end - at > 4)
            return false;
        groups++;
        at = end;
        if (at == length)
            break;
        if (text[at++] != ':' || at == length)
            return false;
        if (text[at] == ':') {
            if (gap)
                return false;
            gap = true;
            at++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

static bool label(const uint8_t *text, size_t length, regex_matcher *m,
                  idn_direction *d) {
    if (length == 0 || length > 63 || text[0] == '-' || text[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_alpha(text[i]) && !is_digit(text[i]) && text[i] != '-')
            return false;
    // RFC 5891, section 4.2.3.1: two hyphens there are for encoded labels alone.
    if (length < 4 || text[2] != '-' || text[3] != '-') {
        d->breaks_rule |= !is_alpha(text[0]); // RFC 5893, section 2, condition 1.
        return true;
    }
    return (text[0] | 0x20) == 'x' && (text[1] | 0x20) == 'n' &&
           sl_idn_ascii_label(text, length, m, d);
}

/** Length of the dot at `p`; international names have three more (RFC 3490, section 3.1).
 */
static size_t dot_length(const uint8_t *p, size_t left, bool international) {
    if (*p == '.')
        return 1;
    if (international && left >= 3 &&
        (memcmp(p, "\u3002", 3) == 0 || memcmp(p, "\uff0e", 3) == 0 ||
         memcmp(p, "\uff61", 3) == 0))
        return 3;
    return 0;
}

static bool is_ascii(const uint8_t *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] >= 0x80)
            return false;
    return true;
}

static bool host(const uint8_t *text, size_t length, bool international,
                 regex_matcher *m) {
    size_t total = 0;
    idn_direction direction = {0};
    for (size_t at = 0;;) {
        size_t end = at, dot = 0;
        while (end < length &&
               (dot = dot_length(text + end, length - end, international)) == 0)
            end++;
        size_t size = end - at;
        if (international && !is_ascii(text + at, size))
            size = sl_idn_label(text + at, size, m, &direction);
        else if (!label(text + at, size, m, &direction))
            return false;
        total += size + 1;
        if (size == 0 || total > 254)
            return false;
        if (end == length)
            return !direction.right_to_left || !direction.breaks_rule;
        at = end + dot;
    }
}

static bool hostname(const uint8_t *text, size_t length, regex_matcher *m) {
    return host(text, length, false, m);
}
static bool idn_hostname(const uint8_t *text, size_t length, regex_matcher *m) {
    return host(text, length, true, m);
}

// RFC 5321, section 4.1.2: Mailbox = Local-part "@" ( Domain / address-literal ).

static bool is_atext(uint8_t c, bool international) {
    if (c >= 0x80)
        return international; // RFC 6531, section 3.3.
    return is_alpha(c) || is_digit(c) ||
           (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool quoted_local(const uint8_t *text, size_t length, bool international) {
    if (length < 2 || text[length - 1] != '"')
        return false;
    for (size_t i = 1; i < length - 1; i++) {
        if (text[i] == '\\')
            i++; // What it quotes must stand before the closing quote.
        else if (text[i] == '"')
            return false;
        if (i >= length - 1 || text[i] < 32 || text[i] == 127 ||
            (text[i] > 127 && !international))
            return false;
    }
    return true;
}

static bool local_part(const uint8_t *text, size_t length, bool international) {
    if (length == 0 || length > 64)
        return false;
    if (text[0] == '"')
        return quoted_local(text, length, international);
    bool dot = true;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' ? dot : !is_atext(text[i], international))
            return false;
        dot = text[i] == '.';
    }
    return !dot;
}

static bool mailbox(const uint8_t *text, size_t length, bool international,
                    regex_matcher *m) {
    size_t at = length;
    while (at > 0 && text[at - 1] != '@')
        at--;
    if (at == 0 || at == length || !local_part(text, at - 1, international))
        return false;
    const uint8_t *domain = text + at;
    length -= at;
    if (domain[0] != '[')
        return host(domain, length, international, m);
    if (length < 3 || domain[length - 1] != ']')
        return false;
    if (length > 7 && memcmp(domain, "[IPv6:", 6) == 0)
        return sl_format_ipv6(domain + 6, length - 7);
    return format_ipv4(domain + 1, length - 2);
}

static bool email(const uint8_t *text, size_t length, regex_matcher *m) {
    return mailbox(text, length, false, m);
}
static bool idn_email(const uint8_t *text, size_t length, regex_matcher *m) {
    return mailbox(text, length, true, m);
}

static bool ipv4(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return format_ipv4(text, length);
}
static bool ipv6(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return sl_format_ipv6(text, length);
}

// ---- Identifiers

/** 1: a hex digit, 2: a hyphen. */
static const uint8_t uuid_class[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1,
    ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1,
    ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['A'] = 1, ['B'] = 1,
    ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['-'] = 2};

static bool uuid(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    static const uint8_t form[36] = {1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1,
                                     1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    unsigned wrong = 0;
    if (length != sizeof form)
        return false;
    for (unsigned i = 0; i < sizeof form; i++)
        wrong |= (unsigned)(uuid_class[text[i]] ^ form[i]);
    return wrong == 0;
}

static bool uri_reference(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return sl_uri_valid((const char *)text, length, false);
}
static bool uri_absolute(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return sl_uri_split((const char *)text, length).scheme.text != NULL &&
           sl_uri_valid((const char *)text, length, false);
}
static bool iri_reference(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return sl_uri_valid((const char *)text, length, true);
}
static bool iri_absolute(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return sl_uri_split((const char *)text, length).scheme.text != NULL &&
           sl_uri_valid((const char *)text, length, true);
}

/** RFC 6901, section 3. */
static bool json_pointer(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    if (length != 0 && text[0] != '/')
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '~' &&
            (i + 1 == length || (text[i + 1] != '0' && text[i + 1] != '1')))
            return false;
    return true;
}

static bool relative_pointer(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    size_t at = 0;
    while (at < length && is_digit(text[at]))
        at++;
    if (at == 0 || (text[0] == '0' && at > 1))
        return false;
    return (length - at == 1 && text[at] == '#') ||
           json_pointer(text + at, length - at, m);
}

static bool regex_text(const uint8_t *text, size_t length, regex_matcher *m) {
    (void)m;
    return sl_regex_valid(text, length);
}

const format sl_format_spaced_time = {"date-time", spaced_time};

const format *sl_format_find(const uint8_t *name, size_t length) {
    static const format known[] = {
        {"date-time", date_time},
        {"date", date},
        {"time", time_of_day},
        {"duration", duration},
        {"email", email},
        {"idn-email", idn_email},
        {"hostname", hostname},
        {"idn-hostname", idn_hostname},
        {"ipv4", ipv4},
        {"ipv6", ipv6},
        {"uri", uri_absolute},
        {"uri-reference", uri_reference},
        {"iri", iri_absolute},
        {"iri-reference", iri_reference},
        {"uuid", uuid},
        {"json-pointer", json_pointer},
        {"relative-json-pointer", relative_pointer},
        {"regex", regex_text},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == length && memcmp(known[i].name, name, length) == 0)
            return &known[i];
    return NULL;
}
