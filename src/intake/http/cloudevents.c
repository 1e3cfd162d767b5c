#include "cloudevents.h"

#include "sluice/decode.h"
#include "sluice/utf8.h"

#include <strings.h>

enum { HEADER_BYTES = 16384 }; /* The whole head has no more. */

bool http_is_cloudevent(const sl_http_exchange *exchange) { return sl_http_header_count(exchange, "ce-specversion") != 0; }

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Binding 3.1.3.2: quotes around it and what they escape go, then each %XX is a byte. @return SIZE_MAX: not UTF-8. */
static size_t header_text(const char *value, char *out) {
    size_t length = strlen(value), n = 0;
    bool quoted = length >= 2 && value[0] == '"' && value[length - 1] == '"';
    const char *p = value + quoted, *end = value + length - quoted;
    for (; p < end; p++) {
        if (quoted && *p == '\\' && p + 1 < end)
            p++;
        int high = *p == '%' && end - p > 2 ? hex(p[1]) : -1, low = high >= 0 ? hex(p[2]) : -1;
        out[n++] = (char)(low >= 0 ? high << 4 | low : *p);
        p += low >= 0 ? 2 : 0;
    }
    return sl_utf8_valid(out, n) == n ? n : SIZE_MAX;
}

/* "application/json", "application/vnd.x+json; charset=utf-8" */
static bool is_json(const char *type) {
    size_t length = strcspn(type, "; \t");
    return length == 0 || (length >= 5 && (strncasecmp(type + length - 5, "/json", 5) == 0 ||
                                           strncasecmp(type + length - 5, "+json", 5) == 0));
}

/* An attribute. Its header's name is that of a token, but for its case what JSON needs no escape for. */
static const char *put_attribute(const sl_http_exchange *exchange, const char *name, size_t length, const char *value,
                                 sl_buffer *out) {
    char lower[64] = "ce-", text[HEADER_BYTES];
    if (length >= sizeof lower)
        return "the name of a CloudEvents attribute is too long";
    for (size_t i = 3; i < length; i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 32) : name[i];
    lower[length] = 0;
    if (sl_http_header_count(exchange, lower) > 1)
        return "a CloudEvents attribute comes twice";
    if (strcmp(lower, "ce-data") == 0 || strcmp(lower, "ce-data_base64") == 0 || strcmp(lower, "ce-datacontenttype") == 0)
        return "data is the body, and Content-Type says what it is";
    size_t bytes = header_text(value, text);
    if (bytes == SIZE_MAX)
        return "a CloudEvents attribute isn't UTF-8";
    sl_buffer_byte(out, out->length == 0 ? '{' : ',');
    sl_buffer_json_string(out, lower + 3, length - 3);
    sl_buffer_byte(out, ':');
    sl_buffer_json_string(out, text, bytes);
    return NULL;
}

static const char *put_data(const sl_http_request *request, const char *type, sl_buffer *out) {
    if (*type != 0) {
        sl_buffer_text(out, ",\"datacontenttype\":");
        sl_buffer_json_string(out, type, strlen(type));
    }
    if (request->length == 0)
        return NULL;
    if (is_json(type)) {
        /* Checked, as the body stands inside of an object here. */
        if (!sl_json_valid(request->body, request->length, NULL))
            return "the body isn't JSON, as its Content-Type says";
        sl_buffer_text(out, ",\"data\":");
        sl_buffer_append(out, request->body, request->length);
    } else if (sl_utf8_valid(request->body, request->length) == request->length) {
        sl_buffer_text(out, ",\"data\":");
        sl_buffer_json_string(out, (const char *)request->body, request->length);
    } else {
        sl_buffer_text(out, ",\"data_base64\":\"");
        sl_buffer_base64(out, request->body, request->length);
        sl_buffer_byte(out, '"');
    }
    return NULL;
}

sl_status http_cloudevent(const sl_http_request *request, sl_buffer *out, const char **why) {
    const char *name, *value;
    size_t length;
    *why = NULL;
    sl_buffer_clear(out);
    for (unsigned i = 0; *why == NULL && (value = sl_http_header_at(request->exchange, i, &name, &length)) != NULL; i++)
        if (length >= 3 && strncasecmp(name, "ce-", 3) == 0)
            *why = put_attribute(request->exchange, name, length, value, out);
    if (*why == NULL)
        *why = put_data(request, sl_http_header(request->exchange, "content-type"), out);
    sl_buffer_byte(out, '}');
    return *why != NULL ? SL_ESYNTAX : out->failed ? SL_ENOMEM : SL_OK;
}
