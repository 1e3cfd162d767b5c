// Formats by the grammar that JSON Schema names for each: no more is let through, and no
// less. Lengths of names are those of DNS (RFC 1035, section 2.3.4).

#include "formats.h"
#include "regex.h"

#include "sluice/time.h"

static bool is_alpha(uint8_t c) { return (unsigned)((c | 0x20) - 'a') < 26; }
static bool is_digit(uint8_t c) { return (unsigned)(c - '0') < 10; }
static bool is_hex(uint8_t c) { return is_digit(c) || (unsigned)((c | 0x20) - 'a') < 6; }

// ---- Times: RFC 3339, section 5.6 and appendix A

static bool spaced_time(const uint8_t *text, size_t length) {
    int64_t us;
    return sl_time_parse((const char *)text, length, &us);
}

static bool date_time(const uint8_t *text, size_t length) {
    return length > 10 && text[10] != ' ' && spaced_time(text, length);
}

static bool date(const uint8_t *text, size_t length) {
    int32_t days;
    return sl_date_parse((const char *)text, length, &days);
}

/** full-time, by way of a date on which it happens; only its offset could change the day.
 */
static bool time_of_day(const uint8_t *text, size_t length) {
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
    return date_time((const uint8_t *)whole, length + 11);
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

static bool duration(const uint8_t *text, size_t length) {
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

bool sl_format_ipv4(const uint8_t *text, size_t length) {
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
            return sl_format_ipv4(text + at, length - at) &&
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

/** RFC 3492: does an "xn--" label's tail decode, to something beyond ASCII? */
static bool is_punycode(const uint8_t *text, size_t length) {
    uint32_t n = 128, i = 0, bias = 72;
    size_t plain = length, count;
    while (plain > 0 && text[plain - 1] != '-')
        plain--;
    count = plain == 0 ? 0 : plain - 1;
    size_t at = plain, first = count;
    if (at == length)
        return false;
    for (; at < length; count++) {
        uint32_t before = i, weight = 1;
        for (uint32_t k = 36;; k += 36) {
            if (at == length)
                return false;
            uint8_t c = text[at++];
            uint32_t digit = is_digit(c)   ? c - '0' + 26u
                             : is_alpha(c) ? (c | 0x20u) - 'a'
                                           : 36;
            if (digit >= 36 || digit > (UINT32_MAX - i) / weight)
                return false;
            i += digit * weight;
            uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
            if (digit < t)
                break;
            if (weight > UINT32_MAX / (36 - t))
                return false;
            weight *= 36 - t;
        }
        uint32_t size = (uint32_t)count + 1,
                 delta = (i - before) / (count == first ? 700 : 2);
        delta += delta / size;
        for (bias = 0; delta > 455; bias += 36)
            delta /= 35;
        bias += 36 * delta / (delta + 38);
        if (i / size > 0x10FFFF - n)
            return false;
        n += i / size;
        i = i % size + 1;
    }
    return true;
}

static bool label(const uint8_t *text, size_t length) {
    if (length == 0 || length > 63 || text[0] == '-' || text[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_alpha(text[i]) && !is_digit(text[i]) && text[i] != '-')
            return false;
    // RFC 5891, section 4.2.3.1: two hyphens there are for encoded labels alone.
    if (length < 4 || text[2] != '-' || text[3] != '-')
        return true;
    return (text[0] | 0x20) == 'x' && (text[1] | 0x20) == 'n' &&
           is_punycode(text + 4, length - 4);
}

static bool hostname(const uint8_t *text, size_t length) {
    if (length == 0 || length > 253)
        return false;
    for (size_t at = 0;; at++) {
        size_t end = at;
        while (end < length && text[end] != '.')
            end++;
        if (!label(text + at, end - at))
            return false;
        at = end;
        if (at == length)
            return true;
    }
}

// RFC 5321, section 4.1.2: Mailbox = Local-part "@" ( Domain / address-literal ).

static bool is_atext(uint8_t c) {
    return is_alpha(c) || is_digit(c) ||
           (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool quoted_local(const uint8_t *text, size_t length) {
    if (length < 2 || text[length - 1] != '"')
        return false;
    for (size_t i = 1; i < length - 1; i++) {
        if (text[i] == '\\')
            i++; // What it quotes must stand before the closing quote.
        else if (text[i] == '"')
            return false;
        if (i >= length - 1 || text[i] < 32 || text[i] > 126)
            return false;
    }
    return true;
}

static bool local_part(const uint8_t *text, size_t length) {
    if (length == 0 || length > 64)
        return false;
    if (text[0] == '"')
        return quoted_local(text, length);
    bool dot = true;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' ? dot : !is_atext(text[i]))
            return false;
        dot = text[i] == '.';
    }
    return !dot;
}

static bool email(const uint8_t *text, size_t length) {
    size_t at = length;
    while (at > 0 && text[at - 1] != '@')
        at--;
    if (at == 0 || at == length || !local_part(text, at - 1))
        return false;
    const uint8_t *domain = text + at;
    length -= at;
    if (domain[0] != '[')
        return length <= 255 && hostname(domain, length);
    if (length < 3 || domain[length - 1] != ']')
        return false;
    if (length > 7 && memcmp(domain, "[IPv6:", 6) == 0)
        return sl_format_ipv6(domain + 6, length - 7);
    return sl_format_ipv4(domain + 1, length - 2);
}

// ---- Identifiers

/** 1: a hex digit, 2: a hyphen. */
static const uint8_t uuid_class[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1,
    ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1,
    ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['A'] = 1, ['B'] = 1,
    ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['-'] = 2};

static bool uuid(const uint8_t *text, size_t length) {
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

static bool uri_reference(const uint8_t *text, size_t length) {
    return sl_uri_valid((const char *)text, length, false);
}
static bool uri_absolute(const uint8_t *text, size_t length) {
    return sl_uri_split((const char *)text, length).scheme.text != NULL &&
           sl_uri_valid((const char *)text, length, false);
}
static bool iri_reference(const uint8_t *text, size_t length) {
    return sl_uri_valid((const char *)text, length, true);
}
static bool iri_absolute(const uint8_t *text, size_t length) {
    return sl_uri_split((const char *)text, length).scheme.text != NULL &&
           sl_uri_valid((const char *)text, length, true);
}

/** RFC 6901, section 3. */
static bool json_pointer(const uint8_t *text, size_t length) {
    if (length != 0 && text[0] != '/')
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '~' &&
            (i + 1 == length || (text[i + 1] != '0' && text[i + 1] != '1')))
            return false;
    return true;
}

static bool relative_pointer(const uint8_t *text, size_t length) {
    size_t at = 0;
    while (at < length && is_digit(text[at]))
        at++;
    if (at == 0 || (text[0] == '0' && at > 1))
        return false;
    return (length - at == 1 && text[at] == '#') || json_pointer(text + at, length - at);
}

static bool regex_text(const uint8_t *text, size_t length) {
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
        {"hostname", hostname},
        {"ipv4", sl_format_ipv4},
        {"ipv6", sl_format_ipv6},
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
