#include "uri.h"

static bool is_alpha(char c) { return (unsigned)((c | 0x20) - 'a') < 26; }
static bool is_digit(char c) { return (unsigned)(c - '0') < 10; }

static int hex(char c) {
    if (is_digit(c))
        return c - '0';
    return (unsigned)((c | 0x20) - 'a') < 6 ? (c | 0x20) - 'a' + 10 : -1;
}

static size_t scheme_length(const char *text, size_t length) {
    if (length == 0 || !is_alpha(*text))
        return 0;
    for (size_t i = 1; i < length; i++) {
        char c = text[i];
        if (c == ':')
            return i;
        if (!is_alpha(c) && !is_digit(c) && c != '+' && c != '-' && c != '.')
            return 0;
    }
    return 0;
}

static size_t until(const char *text, size_t from, size_t length, const char *stops) {
    while (from < length && (text[from] == 0 || strchr(stops, text[from]) == NULL))
        from++;
    return from;
}

uri_parts sl_uri_split(const char *text, size_t length) {
    uri_parts u = {0};
    size_t at = scheme_length(text, length);
    if (at != 0)
        u.scheme = (uri_part){.text = text, .length = at++};
    if (length - at >= 2 && text[at] == '/' && text[at + 1] == '/') {
        size_t end = until(text, at + 2, length, "/?#");
        u.authority = (uri_part){.text = text + at + 2, .length = end - at - 2};
        at = end;
    }
    size_t end = until(text, at, length, "?#");
    u.path = (uri_part){.text = text + at, .length = end - at};
    if (end < length && text[end] == '?') {
        at = end + 1;
        end = until(text, at, length, "#");
        u.query = (uri_part){.text = text + at, .length = end - at};
    }
    if (end < length)
        u.fragment = (uri_part){.text = text + end + 1, .length = length - end - 1};
    return u;
}

// ---- Grammar

/** unreserved, sub-delims, pct-encoded, and what `more` adds. */
static bool is_text(uri_part part, const char *more, bool international) {
    for (size_t i = 0; i < part.length; i++) {
        char c = part.text[i];
        if (is_alpha(c) || is_digit(c) || (international && (c & 0x80) != 0))
            continue;
        if (c == '%') {
            if (part.length - i < 3 || hex(part.text[i + 1]) < 0 ||
                hex(part.text[i + 2]) < 0)
                return false;
            i += 2;
        } else if (c == 0 ||
                   (strchr("-._~!$&'()*+,;=", c) == NULL && strchr(more, c) == NULL)) {
            return false;
        }
    }
    return true;
}

/** IP-literal = "[" ( IPv6address / IPvFuture ) "]" */
static bool is_literal(const char *text, size_t length) {
    if (length == 0 || (*text | 0x20) != 'v')
        return sl_format_ipv6((const uint8_t *)text, length);
    size_t at = 1;
    while (at < length && hex(text[at]) >= 0)
        at++;
    if (at == 1 || at + 1 >= length || text[at] != '.')
        return false;
    uri_part rest = {.text = text + at + 1, .length = length - at - 1};
    return memchr(rest.text, '%', rest.length) == NULL && is_text(rest, ":", false);
}

static bool is_authority(uri_part part, bool international) {
    const char *text = part.text;
    size_t length = part.length;
    const char *at = length == 0 ? NULL : memchr(text, '@', length);
    if (at != NULL) {
        uri_part user = {.text = text, .length = (size_t)(at - text)};
        if (!is_text(user, ":", international))
            return false;
        text = at + 1;
        length -= user.length + 1;
    }
    size_t host = length;
    while (host > 0 && is_digit(text[host - 1]))
        host--;
    host = host > 0 && text[host - 1] == ':' ? host - 1 : length;
    if (host >= 2 && text[0] == '[')
        return text[host - 1] == ']' && is_literal(text + 1, host - 2);
    return is_text((uri_part){.text = text, .length = host}, "", international);
}

bool sl_uri_valid(const char *text, size_t length, bool international) {
    uri_parts u = sl_uri_split(text, length);
    if (u.authority.text != NULL && !is_authority(u.authority, international))
        return false;
    // A relative path's first segment has no colon: it would be a scheme.
    if (u.scheme.text == NULL && u.authority.text == NULL) {
        const char *slash = memchr(u.path.text, '/', u.path.length);
        size_t first = slash == NULL ? u.path.length : (size_t)(slash - u.path.text);
        if (memchr(u.path.text, ':', first) != NULL)
            return false;
    }
    return is_text(u.path, ":@/", international) &&
           (u.query.text == NULL || is_text(u.query, ":@/?", international)) &&
           (u.fragment.text == NULL || is_text(u.fragment, ":@/?", international));
}

// ---- Resolution

/** Section 5.2.4, on the bytes of `out` from `from` on. */
static void remove_dots(sl_buffer *out, size_t from) {
    if (out->failed)
        return;
    char *path = (char *)out->bytes + from;
    size_t length = out->length - from, read = 0, written = 0;
    const bool rooted = length != 0 && path[0] == '/';
    while (read < length) {
        size_t begin = read + (path[read] == '/'), end = begin;
        while (end < length && path[end] != '/')
            end++;
        size_t name = end - begin;
        bool one = name == 1 && path[begin] == '.';
        bool two = name == 2 && path[begin] == '.' && path[begin + 1] == '.';
        if (two)
            while (written > 0 && path[--written] != '/')
                ;
        if (!one && !two) {
            memmove(path + written, path + read, end - read);
            written += end - read;
        } else if (end == length && (rooted || written > 0)) {
            path[written++] = '/';
        }
        read = end;
    }
    out->length = from + written;
}

static void put(sl_buffer *out, const char *before, uri_part part, const char *behind) {
    if (part.text == NULL)
        return;
    sl_buffer_text(out, before);
    sl_buffer_append(out, part.text, part.length);
    sl_buffer_text(out, behind);
}

static void put_merged(sl_buffer *out, const uri_parts *base, uri_part path) {
    size_t from = out->length;
    if (path.length == 0 || path.text[0] != '/') {
        size_t keep = base->path.length;
        while (keep > 0 && base->path.text[keep - 1] != '/')
            keep--;
        sl_buffer_append(out, base->path.text, keep);
        if (keep == 0 && base->authority.text != NULL)
            sl_buffer_byte(out, '/');
    }
    sl_buffer_append(out, path.text, path.length);
    remove_dots(out, from);
}

void sl_uri_resolve(const char *base_text, const char *reference, size_t length,
                    sl_buffer *out) {
    uri_parts base = sl_uri_split(base_text, strlen(base_text)),
              r = sl_uri_split(reference, length);
    put(out, "", r.scheme.text != NULL ? r.scheme : base.scheme, ":");
    if (r.scheme.text != NULL || r.authority.text != NULL) {
        put(out, "//", r.authority, "");
        size_t from = out->length;
        sl_buffer_append(out, r.path.text, r.path.length);
        if (r.authority.text != NULL || (r.path.length != 0 && r.path.text[0] == '/'))
            remove_dots(out, from);
        put(out, "?", r.query, "");
        return;
    }
    put(out, "//", base.authority, "");
    if (r.path.length == 0) {
        sl_buffer_append(out, base.path.text, base.path.length);
        put(out, "?", r.query.text != NULL ? r.query : base.query, "");
        return;
    }
    put_merged(out, &base, r.path);
    put(out, "?", r.query, "");
}

bool sl_uri_unquote(const char *text, size_t length, sl_buffer *out) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '%') {
            sl_buffer_byte(out, (uint8_t)text[i]);
            continue;
        }
        int high = length - i > 2 ? hex(text[i + 1]) : -1;
        int low = high >= 0 ? hex(text[i + 2]) : -1;
        if (low < 0)
            return false;
        sl_buffer_byte(out, (uint8_t)(high * 16 + low));
        i += 2;
    }
    return true;
}
