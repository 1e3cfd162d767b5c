#include "head.h"

#include <string.h>

/* Bit 0: may stand in a token (RFC 9110 section 5.6.2); bit 1: in a host and port (RFC
 * 3986 section 3.2.2). From 0x20 on, 32 to a line; the second half is zero. */
static const uint8_t classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 3, 3, 3, 3, 2, 2, 3, 3, 2, 3, 3, 0, 3, 3, 3, 3,
    3, 3, 3, 3, 3, 3, 2, 2, 0, 2, 0, 0, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 0, 2, 1, 3, 1, 3, 3, 3, 3, 3, 3, 3,
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 1, 0, 3, 0,
};
#define TOKEN 1u
#define HOST 2u

static bool is(char c, unsigned class) { return (classes[(uint8_t)c] & class) != 0; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/** @param name In lower case. */
static bool same_name(const char *text, size_t length, const char *name) {
    for (size_t i = 0; i < length; i++)
        if (text[i] != name[i] && lower(text[i]) != name[i])
            return false;
    return name[length] == 0;
}

/** In http_head.names. */
static uint64_t name_bit(const char *name, size_t length) {
    return UINT64_C(1) << ((length + ((uint8_t)name[length - 1] | 32u)) & 63);
}

static int refuse(const char **why, int status, const char *text) {
    *why = text;
    return status;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Decode %XX in place, RFC 3986 section 2.1. @return false: not two digits, or a control
 * character. */
static bool percent_decode(char *text, size_t length) {
    const char *escape = memchr(text, '%', length);
    char *out = text + length;
    if (escape != NULL) {
        size_t i = (size_t)(escape - text);
        out = text + i;
        while (i < length) {
            char c = text[i++];
            if (c == '%') {
                int high = i + 2 <= length ? hex(text[i]) : -1;
                int low = high >= 0 ? hex(text[i + 1]) : -1;
                if (low < 0)
                    return false;
                int byte = high * 16 + low;
                if (byte < 32 || byte == 127)
                    return false;
                c = (char)(unsigned char)byte;
                i += 2;
            }
            *out++ = c;
        }
    }
    *out = 0;
    return true;
}

/** Where the path of `http://authority/path` begins; the authority is ignored, as is
 * Host. */
static char *absolute_path(char *target, char *end) {
    size_t scheme = 0;
    if (end - target > 7 && same_name(target, 7, "http://"))
        scheme = 7;
    else if (end - target > 8 && same_name(target, 8, "https://"))
        scheme = 8;
    if (scheme == 0)
        return NULL;
    char *p = target + scheme;
    while (p < end && *p != '/' && *p != '?')
        p++;
    if (p == target + scheme)
        return NULL; /* An http URI without a host is invalid, RFC 9110 section 4.2.1. */
    if (p < end && *p == '/')
        return p;
    /* An empty path means "/": its place is the last byte of the authority, which nobody
     * reads. */
    p[-1] = '/';
    return p - 1;
}

/** The request-line from `p` to its CR at `end`. Several spaces, fragments and the * and
 * CONNECT forms are refused. */
static int read_request_line(http_head *head, char *p, char *end, const char **why) {
    char *method = p;
    while (p < end && is(*p, TOKEN))
        p++;
    char *target = p + 1;
    if (p == method || p == end || *p != ' ')
        return refuse(why, 400, "the method isn't a token");
    *p = 0;
    for (p = target; p < end && (uint8_t)*p > 32 && (uint8_t)*p < 127 && *p != '#';)
        p++;
    char *target_end = p;
    if (p == target || p == end || *p != ' ')
        return refuse(why, 400, "the request target isn't valid");
    if (end - p != 9 || memcmp(p + 1, "HTTP/", 5) != 0 || p[7] != '.')
        return refuse(why, 400, "the protocol isn't HTTP");
    if (p[6] != '1' || (p[8] != '0' && p[8] != '1'))
        return refuse(why, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    head->old = p[8] == '0';
    head->close = head->old;
    char *path = *target == '/' ? target : absolute_path(target, target_end);
    if (path == NULL)
        return refuse(why, 400, "the request target isn't a path");
    *target_end = 0;
    char *query = memchr(path, '?', (size_t)(target_end - path));
    char *path_end = query != NULL ? query : target_end;
    head->method = (uint16_t)(method - head->base);
    head->path = (uint16_t)(path - head->base);
    head->query = (uint16_t)((query != NULL ? query + 1 : target_end) - head->base);
    head->is_head = strcmp(method, "HEAD") == 0;
    if (!percent_decode(path, (size_t)(path_end - path)))
        return refuse(why, 400, "the path has a bad percent escape");
    return 0;
}

/** Is there none in these eight bytes? HTAB counts as one here. */
static bool eight_clean(const char *text) {
    const uint64_t ones = UINT64_MAX / 255, high = ones * 128;
    uint64_t word;
    memcpy(&word, text, 8);
    uint64_t delete = word ^ (ones * 127);
    /* The high bit of a byte that is below 0x20, or 0x7f; a borrow can set one too many,
     * never too few. */
    return ((((word - ones * 32) & ~word) | ((delete - ones) & ~delete)) & high) == 0;
}

/** A control character other than HTAB? Eight bytes at a time as long as there is none.
 */
static bool has_control(const char *text, size_t length) {
    size_t i = 0;
    while (i + 8 <= length && eight_clean(text + i))
        i += 8;
    if (length >= 8 && i + 8 > length && eight_clean(text + length - 8))
        return false;
    for (; i < length; i++)
        if (((uint8_t)text[i] < 32 && text[i] != '\t') || text[i] == 127)
            return true;
    return false;
}

/** One field-line up to its CR at `end`; leaves it in head->fields. */
static int read_field(http_head *head, char *p, char *end, const char **why) {
    char *name = p;
    /* A line that begins with white space folds the one before it (obs-fold):
     * section 5.2, refuse. */
    if (*p == ' ' || *p == '\t')
        return refuse(why, 400, "a header line is folded");
    while (p < end && is(*p, TOKEN))
        p++;
    /* No white space before the colon: section 5.1, refuse. */
    if (p == name || p == end || *p != ':')
        return refuse(why, 400, "a header name isn't a token and a colon");
    char *name_end = p++;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    /* field-vchar, obs-text, SP, HTAB; never CR, LF, NUL or another control: RFC 9110
     * section 5.5. */
    if (has_control(p, (size_t)(end - p)))
        return refuse(why, 400, "a header value has a control character");
    if (head->field_count == HTTP_FIELDS_MAX)
        return refuse(why, 431, "more than 100 header fields");
    head->fields[head->field_count++] =
        (http_field){(uint16_t)(name - head->base), (uint16_t)(name_end - name),
                     (uint16_t)(p - head->base), (uint16_t)(end - p)};
    head->names |= name_bit(name, (size_t)(name_end - name));
    return 0;
}

/** Content-Length = 1*DIGIT (RFC 9110 section 8.6); lists and signs are refused. */
static int read_length(http_head *head, const char *value, size_t length,
                       const char **why) {
    uint64_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (value[i] < '0' || value[i] > '9' || i == 18)
            return refuse(why, 400, "Content-Length isn't a number");
        n = n * 10 + (uint64_t)(value[i] - '0');
    }
    head->body_length = n;
    return length > 0 ? 0 : refuse(why, 400, "Content-Length isn't a number");
}

static int read_coding(http_head *head, const char *value, size_t length,
                       const char **why) {
    if (length == 0 || same_name(value, length, "identity"))
        head->coding = HTTP_IDENTITY;
    else if (same_name(value, length, "gzip") || same_name(value, length, "x-gzip"))
        head->coding = HTTP_GZIP;
    else if (same_name(value, length, "zstd"))
        head->coding = HTTP_ZSTD;
    else if (same_name(value, length, "deflate"))
        head->coding = HTTP_DEFLATE;
    else
        return refuse(why, 415,
                      "Content-Encoding may be gzip, zstd, deflate or identity");
    return 0;
}

/** Does the list `value` have the token `close`? */
static bool lists_close(const char *value, size_t length) {
    size_t start = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && value[i] != ',')
            continue;
        size_t end = i;
        while (start < end && (value[start] == ' ' || value[start] == '\t'))
            start++;
        while (end > start && (value[end - 1] == ' ' || value[end - 1] == '\t'))
            end--;
        if (same_name(value + start, end - start, "close"))
            return true;
        start = i + 1;
    }
    return false;
}

static int read_transfer(http_head *head, const char *value, size_t length,
                         const char **why) {
    head->chunked = true;
    if (same_name(value, length, "chunked"))
        return 0;
    /* "gzip, chunked" has a length that can be known, but a coding that isn't:
     * section 6.1, 501. */
    if (length > 8 && same_name(value + length - 7, 7, "chunked") &&
        (value[length - 8] == ',' || value[length - 8] == ' '))
        return refuse(why, 501, "the only transfer coding here is chunked");
    return refuse(why, 400, "Transfer-Encoding doesn't end with chunked");
}

static bool valid_host(const char *value, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!is(value[i], HOST))
            return false;
    return true;
}

typedef struct seen_fields {
    unsigned hosts, lengths, transfers, codings;
} seen_fields;

/** What a field means for the framing of the message. Told apart by the length of the
 * name first. */
static int interpret(http_head *head, const http_field *field, seen_fields *seen,
                     const char **why) {
    const char *name = head->base + field->name;
    const char *value = head->base + field->value;
    size_t length = field->value_length;
    switch (field->name_length) {
    case 4:
        if (same_name(name, 4, "host") &&
            (seen->hosts++ > 0 || !valid_host(value, length)))
            return refuse(why, 400, "Host must be there once and be a host");
        return 0;
    case 6:
        if (!same_name(name, 6, "expect"))
            return 0;
        if (!same_name(value, length, "100-continue"))
            return refuse(why, 417, "Expect may only be 100-continue");
        head->expect_continue = true;
        return 0;
    case 10:
        if (same_name(name, 10, "connection") && lists_close(value, length))
            head->close = true;
        return 0;
    case 14:
        if (!same_name(name, 14, "content-length"))
            return 0;
        if (seen->lengths++ > 0)
            return refuse(why, 400, "Content-Length is there twice");
        return read_length(head, value, length, why);
    case 16:
        if (!same_name(name, 16, "content-encoding"))
            return 0;
        if (seen->codings++ > 0)
            return refuse(why, 415, "Content-Encoding is there twice");
        return read_coding(head, value, length, why);
    case 17:
        if (!same_name(name, 17, "transfer-encoding"))
            return 0;
        if (seen->transfers++ > 0)
            return refuse(why, 400, "Transfer-Encoding is there twice");
        return read_transfer(head, value, length, why);
    default:
        return 0;
    }
}

/** Framing that two readers could understand in two ways: RFC 9112 sections 3.2 and 6.3.
 */
static int check_framing(http_head *head, const seen_fields *seen, bool version_1_0,
                         const char **why) {
    if (seen->hosts != 1 && !version_1_0)
        return refuse(why, 400, "Host must be there once and be a host");
    if (seen->transfers > 0 && seen->lengths > 0)
        return refuse(why, 400, "both Content-Length and Transfer-Encoding");
    if (seen->transfers > 0 && version_1_0)
        return refuse(why, 400, "Transfer-Encoding with HTTP/1.0");
    if (version_1_0)
        head->expect_continue = false; /* RFC 9110 section 10.1.1: ignored. */
    return 0;
}

int http_head_read(http_head *head, char *base, size_t length, const char **why) {
    head->base = base;
    head->length = (uint32_t)length;
    head->field_count = 0;
    head->is_head = head->close = head->chunked = head->expect_continue = false;
    head->names = 0;
    head->body_length = 0;
    head->coding = HTTP_IDENTITY;
    char *p = base, *end = base + length;
    while (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
        p += 2;
    seen_fields seen = {0};
    bool version_1_0 = false;
    int framing_error = 0; /* A later 400 matters more than an earlier 415 or 417. */
    const char *framing_why = NULL;
    for (bool first = true; p < end; first = false) {
        char *feed = memchr(p, '\n', (size_t)(end - p));
        if (feed == NULL || feed == p || feed[-1] != '\r')
            return refuse(why, 400, "a line doesn't end with CR LF");
        char *line = p;
        p = feed + 1;
        if (feed - 1 == line) /* The empty line has to be the last. */
            break;
        int status = first ? read_request_line(head, line, feed - 1, why)
                           : read_field(head, line, feed - 1, why);
        if (status != 0)
            return status;
        if (first) {
            version_1_0 = head->close;
            continue;
        }
        const http_field *field = &head->fields[head->field_count - 1];
        status = interpret(head, field, &seen, why);
        if (status == 400)
            return status;
        if (status != 0 && framing_error == 0) {
            framing_error = status;
            framing_why = *why;
        }
        head->base[field->value + field->value_length] = 0;
    }
    if (p != end)
        return refuse(why, 400, "an empty line inside the head");
    int status = check_framing(head, &seen, version_1_0, why);
    if (status != 0)
        return status;
    return framing_error != 0 ? refuse(why, framing_error, framing_why) : 0;
}

const http_field *http_head_field(const http_head *head, const char *name,
                                  unsigned *count) {
    size_t length = strlen(name);
    const http_field *first = NULL;
    *count = 0;
    if ((head->names & name_bit(name, length)) == 0)
        return NULL;
    for (unsigned i = 0; i < head->field_count; i++) {
        const http_field *field = &head->fields[i];
        if (field->name_length != length ||
            !same_name(head->base + field->name, length, name))
            continue;
        if ((*count)++ == 0)
            first = field;
    }
    return first;
}
