#include "endpoint.h"

#include "base64.h"
#include "json.h"

#include "sluice/messages.h"

/* The text in the scratch if it has escapes, else where it stands. */
static bool plain(json_reader *json, json_text *text, sl_buffer *scratch) {
    if (!json_string(json, text) || !text->escaped)
        return json->wrong == NULL;
    sl_buffer_clear(scratch);
    bool good = json_unescape(json, text, scratch);
    *text = (json_text){.bytes = scratch->bytes, .length = scratch->length};
    return good;
}

/* `"name":`, and whether it is `wanted`. */
static bool member(json_reader *json, sl_buffer *scratch, json_text *name) {
    return plain(json, name, scratch) && json_take(json, ':');
}

static bool is(const json_text *name, const char *wanted) {
    return name->length == strlen(wanted) && memcmp(name->bytes, wanted, name->length) == 0;
}

static bool keep(json_reader *json, sl_buffer *scratch, char *out, size_t max) {
    json_text text;
    if (!plain(json, &text, scratch))
        return false;
    if (text.length == 0 || text.length > max || memchr(text.bytes, 0, text.length) != NULL)
        return json_fail(json, "an id or a name that is empty or too long");
    memcpy(out, text.bytes, text.length);
    out[text.length] = 0;
    return true;
}

static bool decode(json_reader *json, const json_text *text, sl_buffer *out) {
    uint8_t *to = sl_messages_reserve(out, aws_base64_room(text->length));
    if (to == NULL)
        return json_fail(json, "out of memory");
    size_t length = aws_base64_decode(AWS_BASE64_AUTO, text->bytes, text->length, to);
    if (length == AWS_BASE64_BAD)
        return json_fail(json, "data isn't Base64");
    sl_messages_commit(out, length);
    return true;
}

/* The usual blob has no escapes, so its end is the next quote: what isn't Base64 is seen by who decodes it. */
static bool take_data(json_reader *json, sl_buffer *out, sl_buffer *scratch) {
    json_text text;
    if (json_peek(json) != '"')
        return json_fail(json, "data is a string in Base64");
    const uint8_t *begin = json->at + 1, *quote = memchr(begin, '"', (size_t)(json->end - begin));
    if (quote != NULL && memchr(begin, '\\', (size_t)(quote - begin)) == NULL) {
        text = (json_text){.bytes = begin, .length = (size_t)(quote - begin)};
        json->at = quote + 1;
    } else if (!plain(json, &text, scratch)) {
        return false;
    }
    return decode(json, &text, out);
}

static bool take_record(json_reader *json, sl_buffer *out, sl_buffer *scratch) {
    bool there = false;
    if (json_peek(json) != '{')
        return json_fail(json, "a record is an object");
    json->at++;
    for (bool first = true; json_more(json, '}', first); first = false) {
        json_text name;
        if (!member(json, scratch, &name))
            return false;
        bool data = is(&name, "data");
        if (data && there)
            return json_fail(json, "data comes twice in a record");
        if (data ? !take_data(json, out, scratch) : !json_skip(json))
            return false;
        there = there || data;
    }
    return json->wrong == NULL && (there || json_fail(json, "a record has no data"));
}

static bool take_records(json_reader *json, sl_buffer *out, sl_buffer *scratch, uint32_t *count) {
    if (*count != 0)
        return json_fail(json, "records come twice");
    if (!json_take(json, '['))
        return false;
    for (bool first = true; json_more(json, ']', first); first = false, ++*count)
        if (!take_record(json, out, scratch))
            return false;
    return json->wrong == NULL;
}

static bool at_end(json_reader *json) {
    return json->wrong == NULL && ((json_peek(json) == 0 && json->at == json->end) || json_fail(json, "something behind the request"));
}

static bool read_request(json_reader *json, sl_buffer *out, sl_buffer *scratch, endpoint_request *request) {
    bool records = false;
    if (!json_take(json, '{'))
        return false;
    for (bool first = true; json_more(json, '}', first); first = false) {
        json_text name;
        if (!member(json, scratch, &name))
            return false;
        bool id = is(&name, "requestId"), list = is(&name, "records");
        if (id     ? !keep(json, scratch, request->id, ENDPOINT_ID_MAX)
            : list ? !take_records(json, out, scratch, &request->records)
                   : !json_skip(json))
            return false;
        records = records || list;
    }
    return at_end(json) && (records || json_fail(json, "the request has no records"));
}

const char *endpoint_read(const uint8_t *body, size_t length, sl_buffer *out, sl_buffer *scratch, endpoint_request *request) {
    json_reader json = {.at = body, .end = body + length, .begin = body};
    *request = (endpoint_request){.records = 0};
    sl_messages_begin(out, NULL);
    return read_request(&json, out, scratch, request) && !out->failed ? NULL : json.wrong != NULL ? json.wrong : "out of memory";
}

static bool read_attributes(json_reader *json, sl_buffer *scratch, char stream[ENDPOINT_STREAM_MAX + 1]) {
    if (!json_take(json, '{'))
        return false;
    for (bool first = true; json_more(json, '}', first); first = false) {
        json_text name;
        if (!member(json, scratch, &name) || !(is(&name, "stream") ? keep(json, scratch, stream, ENDPOINT_STREAM_MAX) : json_skip(json)))
            return false;
    }
    return json->wrong == NULL;
}

const char *endpoint_stream(const char *attributes, sl_buffer *scratch, char stream[ENDPOINT_STREAM_MAX + 1]) {
    const uint8_t *text = (const uint8_t *)attributes;
    json_reader json = {.at = text, .end = text + strlen(attributes), .begin = text};
    *stream = 0;
    if (*attributes == 0)
        return NULL;
    bool good = json_take(&json, '{');
    for (bool first = true; good && json_more(&json, '}', first); first = false) {
        json_text name;
        good = member(&json, scratch, &name) &&
               (is(&name, "commonAttributes") ? read_attributes(&json, scratch, stream) : json_skip(&json));
    }
    return good && at_end(&json) ? NULL : json.wrong;
}
