/* The sender's small parts: the histogram, the URL and the reader of replies.
 *
 * A reply is a status line, fields, an empty line and Content-Length bytes (RFC 9112, section 4).
 * Replies with a transfer coding are refused: the intake sends none. */
#include "generate_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static unsigned bucket_of(uint64_t value) {
    if (value < 128)
        return (unsigned)value;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(value);
    unsigned i = 128 + (exponent - 7) * 64 + (unsigned)((value >> (exponent - 6)) - 64);
    return i < SL_HISTOGRAM_BUCKETS ? i : SL_HISTOGRAM_BUCKETS - 1;
}

static uint64_t bucket_end(unsigned bucket) {
    if (bucket < 128)
        return bucket;
    unsigned shift = (bucket - 128) / 64 + 1;
    return (((uint64_t)(bucket - 128) % 64 + 65) << shift) - 1;
}

void sl_histogram_add(sl_histogram *histogram, uint64_t value) {
    histogram->counts[bucket_of(value)]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t sl_histogram_at(const sl_histogram *histogram, double share) {
    uint64_t rank = (uint64_t)(share * (double)histogram->total), seen = 0;
    if (rank >= histogram->total)
        return histogram->max;
    for (unsigned i = 0; i < SL_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max;
}

/* "/" and a stream's name: [a-zA-Z0-9_.-]{1,128} */
static bool is_stream(const char *path) {
    size_t length = *path == '/' ? strlen(path + 1) : 0;
    return length > 0 && length <= 128 &&
           strspn(path + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

sl_status sl_url_parse(const char *text, sl_url *url, sl_error *error) {
    static const char scheme[] = "http://", kinesis[] = "kinesis://";
    url->kinesis = strncmp(text, kinesis, sizeof kinesis - 1) == 0;
    if (strncmp(text, "https://", 8) == 0)
        return sl_error_set(error, SL_EUNSUPPORTED, "%s: generate sends without TLS", text);
    if (!url->kinesis && strncmp(text, scheme, sizeof scheme - 1) != 0)
        return sl_error_set(error, SL_EINVAL, "%s: not an http:// or kinesis:// URL", text);
    const char *host = text + (url->kinesis ? sizeof kinesis : sizeof scheme) - 1;
    size_t host_length = strcspn(host, *host == '[' ? "]" : ":/?");
    const char *after = host + host_length;
    if (*host == '[') { /* RFC 3986, section 3.2.2: an IPv6 address stands in brackets. */
        host++;
        host_length = host_length > 0 ? host_length - 1 : 0;
        if (*after != ']')
            return sl_error_set(error, SL_EINVAL, "%s: ']' is missing", text);
        after++;
    }
    size_t port_length = 0;
    const char *port = "80";
    if (*after == ':') {
        port = after + 1;
        port_length = strspn(port, "0123456789");
        after = port + port_length;
    } else
        port_length = 2;
    const char *path = *after == '\0' || strcmp(after, "/") == 0 ? "/v1/events" : after;
    if (url->kinesis && !is_stream(after))
        return sl_error_set(error, SL_EINVAL, "%s: not kinesis://HOST[:PORT]/STREAM", text);
    if (host_length == 0 || host_length >= sizeof url->host || port_length == 0 ||
        port_length > 5 || *path != '/' || strlen(path) >= sizeof url->path ||
        strpbrk(path, " \r\n#") != NULL)
        return sl_error_set(error, SL_EINVAL, "%s: not http://HOST[:PORT][/PATH]", text);
    memcpy(url->host, host, host_length);
    url->host[host_length] = '\0';
    memcpy(url->port, port, port_length);
    url->port[port_length] = '\0';
    snprintf(url->path, sizeof url->path, "%s", path);
    return SL_OK;
}

void sl_reply_reset(sl_reply *reply) {
    reply->head_length = reply->body_length = 0;
    reply->head_done = reply->done = reply->close = false;
    reply->status = 0;
    reply->body_left = 0;
    reply->retry_after_s = -1;
    reply->body[0] = '\0';
    reply->whole = NULL;
}

static sl_status take_field(sl_reply *reply, const char *name, const char *value,
                            bool *has_length) {
    if (strcasecmp(name, "content-length") == 0) {
        char *end = NULL;
        errno = 0;
        if (*value < '0' || *value > '9')
            return SL_ESYNTAX;
        reply->body_left = strtoull(value, &end, 10);
        if (errno != 0 || *end != '\0')
            return SL_ESYNTAX;
        *has_length = true;
    } else if (strcasecmp(name, "transfer-encoding") == 0) {
        return SL_EUNSUPPORTED;
    } else if (strcasecmp(name, "connection") == 0) {
        reply->close = strcasecmp(value, "close") == 0;
    } else if (strcasecmp(name, "retry-after") == 0) {
        char *end = NULL;
        double seconds = strtod(value, &end);
        /* A date is allowed too (RFC 9110, section 10.2.3); it reads as "none" here. */
        if (end != value && *end == '\0' && seconds >= 0 && seconds <= 86400)
            reply->retry_after_s = seconds;
    }
    return SL_OK;
}

/* The head lies whole in reply->head, 0-terminated after its empty line. */
static sl_status parse_head(sl_reply *reply) {
    char *line = reply->head, *end = strstr(line, "\r\n");
    if (end == NULL || strncmp(line, "HTTP/1.", 7) != 0 || end - line < 12 || line[8] != ' ')
        return SL_ESYNTAX;
    reply->close = line[7] == '0';
    for (int i = 9; i < 12; i++)
        if (line[i] < '0' || line[i] > '9')
            return SL_ESYNTAX;
    reply->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    bool has_length = false;
    for (line = end + 2; strncmp(line, "\r\n", 2) != 0; line = end + 2) {
        end = strstr(line, "\r\n");
        char *colon = end == NULL ? NULL : memchr(line, ':', (size_t)(end - line));
        if (colon == NULL)
            return SL_ESYNTAX;
        *colon = '\0';
        char *value = colon + 1;
        while (*value == ' ' || *value == '\t')
            value++;
        char *last = end;
        while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        *last = '\0';
        sl_status status = take_field(reply, line, value, &has_length);
        if (status != SL_OK)
            return status;
    }
    bool no_body = reply->status / 100 == 1 || reply->status == 204 || reply->status == 304;
    if (no_body)
        reply->body_left = 0;
    return has_length || no_body ? SL_OK : SL_EUNSUPPORTED;
}

/* Collect up to the empty line. The head may come in pieces, so its end is looked for from 3
 * bytes before the new ones. */
static sl_status feed_head(sl_reply *reply, const char *bytes, size_t length, size_t *used) {
    size_t room = SL_REPLY_HEAD_MAX - 1 - reply->head_length;
    size_t n = length < room ? length : room;
    size_t from = reply->head_length > 3 ? reply->head_length - 3 : 0;
    memcpy(reply->head + reply->head_length, bytes, n);
    reply->head[reply->head_length + n] = '\0';
    if (memchr(bytes, '\0', n) != NULL)
        return SL_ESYNTAX;
    char *end = strstr(reply->head + from, "\r\n\r\n");
    if (end == NULL) {
        reply->head_length += n;
        *used = n;
        return n < length ? SL_ELIMIT : SL_OK;
    }
    end += 4;
    *used = (size_t)(end - reply->head) - reply->head_length;
    reply->head_length = (size_t)(end - reply->head);
    *end = '\0';
    sl_status status = parse_head(reply);
    if (status != SL_OK)
        return status;
    if (reply->status / 100 == 1) { /* An interim reply: the real one follows. */
        sl_buffer *whole = reply->whole;
        sl_reply_reset(reply);
        reply->whole = whole;
        return SL_OK;
    }
    reply->head_done = true;
    reply->done = reply->body_left == 0;
    return SL_OK;
}

sl_status sl_reply_feed(sl_reply *reply, const char *bytes, size_t length, size_t *used) {
    size_t at = 0;
    while (!reply->head_done && at < length) {
        size_t n = 0;
        sl_status status = feed_head(reply, bytes + at, length - at, &n);
        at += n;
        if (status != SL_OK) {
            *used = at;
            return status;
        }
    }
    if (reply->head_done && !reply->done) {
        size_t n = length - at;
        if (n > reply->body_left)
            n = (size_t)reply->body_left;
        size_t keep = SL_REPLY_BODY_KEPT - reply->body_length;
        if (keep > n)
            keep = n;
        memcpy(reply->body + reply->body_length, bytes + at, keep);
        reply->body_length += keep;
        if (reply->whole != NULL)
            sl_buffer_append(reply->whole, bytes + at, n);
        reply->body[reply->body_length] = '\0';
        reply->body_left -= n;
        reply->done = reply->body_left == 0;
        at += n;
    }
    *used = at;
    return SL_OK;
}

bool sl_reply_count(const sl_reply *reply, const char *name, uint64_t *value) {
    char key[40];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(reply->body, key);
    if (at == NULL)
        return false;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at < '0' || *at > '9')
        return false;
    *value = strtoull(at, NULL, 10);
    return true;
}
