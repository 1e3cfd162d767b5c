// Addresses as text, by the letter: what one program reads as 10.0.0.1 and another
// as 8.0.0.1 ("010.0.0.1") is refused.
//
// Source   RFC 4291 section 2.2 (IPv6), RFC 6943 section 3.1.1 (strict IPv4).

#include "internal.h"

#define TEXT_MAX 45u /**< "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255" */

static bool ipv4(const char *p, const char *end, uint8_t out[4]) {
    for (unsigned part = 0; part < 4; part++) {
        unsigned number = 0, digits = 0;
        for (; p < end && *p >= '0' && *p <= '9'; p++, digits++) {
            if (digits == 3 || (digits == 1 && number == 0))
                return false; // Too long, or a 0 before other digits.
            number = number * 10 + (unsigned)(*p - '0');
        }
        if (digits == 0 || number > 255)
            return false;
        out[part] = (uint8_t)number;
        if (part < 3 && (p == end || *p++ != '.'))
            return false;
    }
    return p == end;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// One group of up to four digits. @return behind it; NULL: none.
static const char *group(const char *p, const char *end, uint8_t out[2]) {
    unsigned number = 0, digits = 0;
    for (; p < end && digits < 4 && hex(*p) >= 0; p++, digits++)
        number = number << 4 | (unsigned)hex(*p);
    out[0] = (uint8_t)(number >> 8);
    out[1] = (uint8_t)number;
    return digits == 0 ? NULL : p;
}

static bool ipv6(const char *p, const char *end, uint8_t out[16]) {
    uint8_t bytes[16];
    size_t count = 0, gap = SIZE_MAX;
    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }
    while (p < end) {
        if (count > 14)
            return false;
        if (count <= 12 && memchr(p, '.', (size_t)(end - p)) != NULL &&
            memchr(p, ':', (size_t)(end - p)) == NULL) {
            if (!ipv4(p, end, bytes + count))
                return false;
            count += 4;
            break;
        }
        p = group(p, end, bytes + count);
        if (p == NULL)
            return false;
        count += 2;
        if (p == end)
            break;
        if (*p++ != ':' || p == end)
            return false;
        if (*p != ':')
            continue;
        if (gap != SIZE_MAX)
            return false; // A second "::".
        gap = count;
        p++;
    }
    if (gap == SIZE_MAX ? count != 16 : count > 14)
        return false;
    size_t after = gap == SIZE_MAX ? 0 : count - gap, before = count - after;
    memset(out, 0, 16);
    memcpy(out, bytes, before);
    memcpy(out + 16 - after, bytes + before, after);
    return true;
}

bool sl_geoip_address(const char *text, size_t length, uint8_t address[16],
                      unsigned *bits) {
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (length == 0 || length > TEXT_MAX)
        return false;
    *bits = 32;
    if (memchr(text, ':', length) == NULL) {
        memset(address, 0, 12);
        return ipv4(text, text + length, address + 12);
    }
    if (!ipv6(text, text + length, address))
        return false;
    if (memcmp(address, mapped, sizeof mapped) == 0)
        memset(address, 0, sizeof mapped);
    else
        *bits = 128;
    return true;
}
