#include "replies.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 32, KEY_BYTES_MAX = 1024, TOKEN_BYTES_MAX = 32 << 10, DOCUMENT_BYTES_MAX = 256 << 10 };

/* ---- Keys ---- */

static void wipe(char **text) {
    if (*text != NULL)
        OPENSSL_cleanse(*text, strlen(*text));
    sl_free(*text);
    *text = NULL;
}

void sl_aws_owned_keys_fini(sl_aws_owned_keys *keys) {
    wipe(&keys->access_key_id);
    wipe(&keys->secret_access_key);
    wipe(&keys->session_token);
}

/* They go into headers and signatures: no blanks, no control characters. */
static bool usable(const char *text, size_t max) {
    size_t length = 0;
    for (; text[length] != 0; length++)
        if (text[length] < 0x21 || text[length] > 0x7e || length == max)
            return false;
    return length > 0;
}

sl_status sl_aws_owned_keys_set(sl_aws_owned_keys *to, const char *access_key_id, const char *secret_access_key,
                                const char *session_token, int64_t expires_us, sl_error *error) {
    if (session_token != NULL && session_token[0] == 0)
        session_token = NULL;
    if (!usable(access_key_id, KEY_BYTES_MAX) || !usable(secret_access_key, KEY_BYTES_MAX) ||
        (session_token != NULL && !usable(session_token, TOKEN_BYTES_MAX)))
        return sl_error_set(error, SL_EDENIED, "these are no keys: empty, too long, or with blanks inside");
    to->access_key_id = sl_strdup(access_key_id);
    to->secret_access_key = sl_strdup(secret_access_key);
    to->session_token = session_token != NULL ? sl_strdup(session_token) : NULL;
    to->expires_us = expires_us;
    if (to->access_key_id != NULL && to->secret_access_key != NULL && (session_token == NULL || to->session_token != NULL))
        return SL_OK;
    sl_aws_owned_keys_fini(to);
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

sl_aws_keys sl_aws_owned_keys_view(const sl_aws_owned_keys *keys) {
    return (sl_aws_keys){keys->access_key_id, keys->secret_access_key, keys->session_token, keys->expires_us};
}

static void append_printable(char *out, size_t size, const char *text) {
    size_t at = strlen(out);
    for (; *text != 0 && at + 1 < size; text++)
        out[at++] = *text < 0x20 || *text > 0x7e ? ' ' : *text;
    out[at] = 0;
}

/* ---- JSON ---- */

static const char *member(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static sl_status take_json(const json_t *object, sl_aws_owned_keys *keys, sl_error *error) {
    const char *code = member(object, "Code"), *expiration = member(object, "Expiration");
    if (code[0] != 0 && strcmp(code, "Success") != 0) {
        char words[SL_AWS_NAME_TEXT] = "";
        append_printable(words, sizeof words, code);
        return sl_error_set(error, SL_EDENIED, "answered %s", words);
    }
    int64_t expires_us = INT64_MAX;
    if (expiration[0] != 0 && !sl_time_parse(expiration, strlen(expiration), &expires_us))
        return sl_error_set(error, SL_EIO, "answered an Expiration that is no time");
    return sl_aws_owned_keys_set(keys, member(object, "AccessKeyId"), member(object, "SecretAccessKey"),
                                 member(object, "Token"), expires_us, error);
}

sl_status sl_aws_read_json_keys(const void *bytes, size_t length, sl_aws_owned_keys *keys, sl_error *error) {
    json_t *object = length <= DOCUMENT_BYTES_MAX ? json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
    sl_status status = json_is_object(object) ? take_json(object, keys, error)
                                              : sl_error_set(error, SL_EIO, "answered something else than a JSON object");
    json_decref(object);
    return status;
}

/* ---- XML ---- */

/* Elements, text, entities, comments, CDATA and declarations; no DTD: a '<!' that is neither of those ends the reading. */
typedef struct reader {
    const char *at, *end;
    struct {
        const char *name;
        size_t length;
    } open[DEPTH_MAX];
    unsigned depth;
} reader;

static bool starts(const reader *r, const char *with) {
    size_t length = strlen(with);
    return (size_t)(r->end - r->at) >= length && memcmp(r->at, with, length) == 0;
}

/** Behind the next `text`. */
static bool skip_past(reader *r, const char *text) {
    for (; r->at < r->end; r->at++)
        if (starts(r, text)) {
            r->at += strlen(text);
            return true;
        }
    return false;
}

static bool is(const reader *r, unsigned level, const char *name) {
    return r->open[level].length == strlen(name) && memcmp(r->open[level].name, name, r->open[level].length) == 0;
}

static bool name_byte(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == ':' || (unsigned char)c >= 0x80;
}

/** At '<' or '</'. @return false when it is not well-formed. */
static bool read_tag(reader *r) {
    bool closes = starts(r, "</");
    r->at += closes ? 2 : 1;
    const char *name = r->at;
    while (r->at < r->end && name_byte(*r->at))
        r->at++;
    size_t length = (size_t)(r->at - name);
    char quote = 0;
    bool empty = false;
    for (; r->at < r->end && (quote != 0 || *r->at != '>'); r->at++) {
        if (quote == 0 && *r->at == '<')
            return false;
        empty = quote == 0 && *r->at == '/';
        if (quote != 0)
            quote = *r->at == quote ? 0 : quote;
        else if (*r->at == '"' || *r->at == '\'')
            quote = *r->at;
    }
    if (r->at == r->end || length == 0)
        return false;
    r->at++;
    if (closes) {
        if (r->depth == 0 || r->open[r->depth - 1].length != length ||
            memcmp(r->open[r->depth - 1].name, name, length) != 0)
            return false;
        r->depth--;
    } else if (!empty) {
        if (r->depth == DEPTH_MAX)
            return false;
        r->open[r->depth].name = name;
        r->open[r->depth++].length = length;
    }
    return true;
}

/** A character in UTF-8. */
static void append_character(sl_buffer *out, uint32_t c) {
    if (c < 0x80) {
        sl_buffer_byte(out, (uint8_t)c);
    } else if (c < 0x800) {
        sl_buffer_byte(out, (uint8_t)(0xc0 | c >> 6));
        sl_buffer_byte(out, (uint8_t)(0x80 | (c & 63)));
    } else {
        if (c < 0x10000) {
            sl_buffer_byte(out, (uint8_t)(0xe0 | c >> 12));
        } else {
            sl_buffer_byte(out, (uint8_t)(0xf0 | c >> 18));
            sl_buffer_byte(out, (uint8_t)(0x80 | (c >> 12 & 63)));
        }
        sl_buffer_byte(out, (uint8_t)(0x80 | (c >> 6 & 63)));
        sl_buffer_byte(out, (uint8_t)(0x80 | (c & 63)));
    }
}

static bool read_number(reader *r, sl_buffer *out) {
    uint32_t base = starts(r, "x") ? 16 : 10, value = 0;
    r->at += base == 16;
    const char *first = r->at;
    for (; r->at < r->end && *r->at != ';'; r->at++) {
        char c = *r->at;
        uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit >= base)
            return false;
        value = value * base + digit;
        if (value > 0x10ffff)
            return false;
    }
    if (r->at == r->end || r->at == first || value == 0 || (value >= 0xd800 && value < 0xe000))
        return false;
    r->at++;
    append_character(out, value);
    return true;
}

/** At '&'. */
static bool read_entity(reader *r, sl_buffer *out) {
    static const struct {
        const char *text;
        char is;
    } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
        if (starts(r, entities[i].text)) {
            r->at += strlen(entities[i].text);
            sl_buffer_byte(out, (uint8_t)entities[i].is);
            return true;
        }
    if (!starts(r, "&#"))
        return false;
    r->at += 2;
    return read_number(r, out);
}

/** Text up to the element's end; it may have no elements inside. */
static bool read_text(reader *r, sl_buffer *out) {
    while (r->at < r->end) {
        if (starts(r, "</"))
            return read_tag(r);
        if (starts(r, "<![CDATA[")) {
            const char *begin = r->at += 9;
            if (!skip_past(r, "]]>"))
                return false;
            sl_buffer_append(out, begin, (size_t)(r->at - 3 - begin));
        } else if (starts(r, "<!--")) {
            r->at += 4;
            if (!skip_past(r, "-->"))
                return false;
        } else if (*r->at == '<') {
            return false;
        } else if (*r->at == '&') {
            if (!read_entity(r, out))
                return false;
        } else {
            sl_buffer_byte(out, (uint8_t)*r->at++);
        }
    }
    return false;
}

bool sl_aws_xml_text(const void *bytes, size_t length, const char *parent, const char *name, sl_buffer *out) {
    reader r = {.at = bytes, .end = (const char *)bytes + length};
    while (r.at < r.end) {
        bool ok = true;
        if (*r.at != '<') {
            r.at++;
            continue;
        }
        unsigned depth = r.depth;
        if (starts(&r, "<?")) {
            ok = skip_past(&r, "?>");
        } else if (starts(&r, "<!--")) {
            r.at += 4;
            ok = skip_past(&r, "-->");
        } else if (starts(&r, "<![CDATA[")) {
            ok = skip_past(&r, "]]>");
        } else {
            ok = !starts(&r, "<!") && read_tag(&r);
        }
        if (!ok)
            return false;
        if (r.depth > depth && r.depth >= 2 && is(&r, r.depth - 1, name) && is(&r, r.depth - 2, parent)) {
            sl_buffer_clear(out);
            return read_text(&r, out) && !out->failed;
        }
    }
    return false;
}

/** As a C text; "" when there is none. */
static const char *element(const void *bytes, size_t length, const char *parent, const char *name, sl_buffer *out) {
    bool found = sl_aws_xml_text(bytes, length, parent, name, out);
    if (!found || (out->length > 0 && memchr(out->bytes, 0, out->length) != NULL))
        out->length = 0; /* Keeps the failure, if that is why. */
    return sl_buffer_cstr(out);
}

static void fini_secret(sl_buffer *buffer) {
    if (buffer->bytes != NULL)
        OPENSSL_cleanse(buffer->bytes, buffer->capacity);
    sl_buffer_fini(buffer);
}

sl_status sl_aws_read_sts_keys(const void *bytes, size_t length, sl_aws_owned_keys *keys, sl_error *error) {
    sl_buffer id = SL_BUFFER_EMPTY, secret = SL_BUFFER_EMPTY, token = SL_BUFFER_EMPTY, expiration = SL_BUFFER_EMPTY;
    int64_t expires_us;
    sl_status status;
    if (length > DOCUMENT_BYTES_MAX)
        return sl_error_set(error, SL_EIO, "answered something else than credentials");
    const char *key = element(bytes, length, "Credentials", "AccessKeyId", &id);
    const char *key_secret = element(bytes, length, "Credentials", "SecretAccessKey", &secret);
    const char *key_token = element(bytes, length, "Credentials", "SessionToken", &token);
    const char *end = element(bytes, length, "Credentials", "Expiration", &expiration);
    if (id.failed || secret.failed || token.failed || expiration.failed)
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    else if (key_token[0] == 0 || !sl_time_parse(end, strlen(end), &expires_us))
        status = sl_error_set(error, SL_EIO, "answered something else than credentials");
    else
        status = sl_aws_owned_keys_set(keys, key, key_secret, key_token, expires_us, error);
    fini_secret(&id);
    fini_secret(&secret);
    fini_secret(&token);
    fini_secret(&expiration);
    return status;
}

void sl_aws_read_sts_error(const void *bytes, size_t length, char *out, size_t size) {
    sl_buffer text = SL_BUFFER_EMPTY;
    out[0] = 0;
    const char *code = length <= DOCUMENT_BYTES_MAX ? element(bytes, length, "Error", "Code", &text) : "";
    if (code[0] != 0) {
        append_printable(out, size, code);
        append_printable(out, size, ": ");
        append_printable(out, size, element(bytes, length, "Error", "Message", &text));
    }
    sl_buffer_fini(&text);
}
