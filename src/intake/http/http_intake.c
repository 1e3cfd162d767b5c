/* POST /v1/events and /v1/events/STREAM: docs/http-api.md has the requests and replies.
 *
 * On the path of every request nothing allocates but what the engine takes; replies are
 * written by hand.
 */
#include "sluice/http_intake.h"

#include "cloudevents.h"

#include <stdio.h>

#define KEY_BYTES_MAX 256u
#define STREAM_BYTES_MAX 63u
#define EVENT_KEPT_BYTES 65536u

struct sl_http_intake {
    sl_intake *intake;
    const char *const *tokens;
    size_t token_count;
    bool guarded;
    sl_buffer reply; /**< Reused by each; as is this: */
    sl_buffer event; /**< A CloudEvent that came in binary mode. */
};

sl_http_intake *sl_http_intake_create(sl_intake *intake, const char *const *tokens,
                                      size_t count, bool guarded) {
    sl_http_intake *routes = sl_calloc(1, sizeof *routes);
    if (routes == NULL)
        return NULL;
    routes->intake = intake;
    routes->tokens = tokens;
    routes->token_count = count;
    routes->guarded = guarded;
    return routes;
}

void sl_http_intake_destroy(sl_http_intake *routes) {
    if (routes == NULL)
        return;
    sl_buffer_fini(&routes->reply);
    sl_buffer_fini(&routes->event);
    sl_free(routes);
}

/** @return What stands behind /v1/events: "" or "/…"; NULL when the path is another's. */
static const char *stream_part(const char *path) {
    static const char prefix[] = "/v1/events";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return NULL;
    path += sizeof prefix - 1;
    return *path == 0 || *path == '/' ? path : NULL;
}

bool sl_http_intake_is(const char *path) { return stream_part(path) != NULL; }

/**
 * Is `text` the token? The time depends on the length of `text`, which its sender knows,
 * and on nothing else: neither on the token's length nor on where they differ.
 */
static bool same_token(const char *text, size_t length, const char *token) {
    size_t token_length = strlen(token);
    size_t difference = length ^ token_length;
    for (size_t i = 0, t = 0; i < length; i++) {
        difference |= (size_t)((unsigned char)text[i] ^ (unsigned char)token[t]);
        t = t + 1 < token_length ? t + 1 : 0;
    }
    /* Volatile: no compiler may conclude that the rest of the loop can be left out. */
    volatile size_t result = difference;
    return result == 0;
}

bool sl_http_token_listed(const char *text, const char *const *tokens, size_t count) {
    size_t length = strlen(text);
    bool found = false;
    for (size_t i = 0; i < count; i++)
        if (same_token(text, length, tokens[i]))
            found = true; /* And go on: the time doesn't tell which. */
    return found && length > 0;
}

/** Authorization: Bearer TOKEN (RFC 6750 section 2.1); the scheme's name in any case (RFC
 * 9110 section 11.1). */
static bool authorized(const sl_http_intake *routes, const sl_http_exchange *exchange) {
    if (!routes->guarded)
        return true;
    const char *value = sl_http_header(exchange, "authorization");
    const char *scheme = "bearer ";
    while (*scheme != 0 && (*value | 32) == *scheme) {
        value++;
        scheme++;
    }
    if (*scheme != 0 || sl_http_header_count(exchange, "authorization") != 1)
        return false;
    while (*value == ' ')
        value++;
    return sl_http_token_listed(value, routes->tokens, routes->token_count);
}

static bool letter(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool sl_http_stream_name(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length > STREAM_BYTES_MAX || !letter(name[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!letter(name[i]) && !(name[i] >= '0' && name[i] <= '9') && name[i] != '.' &&
            name[i] != '-')
            return false;
    return true;
}

/** In any case of letters. */
static bool word_is(const char *text, size_t length, const char *word) {
    size_t i = 0;
    for (; i < length && word[i] != 0; i++)
        if (text[i] != word[i] && (text[i] < 'A' || text[i] > 'Z' || text[i] + 32 != word[i]))
            return false;
    return i == length && word[i] == 0;
}

/** A parameter of a media type (RFC 9110, section 5.6.6), such as header=absent or charset="utf-8". @return false: it isn't
 * known, and would change what is read. */
static bool csv_parameter(const char *name, size_t name_length, const char *value, size_t length, sl_format *format) {
    bool quoted = length >= 2 && value[0] == '"' && value[length - 1] == '"';
    value += quoted;
    length -= 2 * (size_t)quoted;
    const char *const utf8[] = {"utf-8", "utf8", "us-ascii"};
    if (word_is(name, name_length, "header")) {
        format->header = word_is(value, length, "present")  ? SL_HEADER_PRESENT
                         : word_is(value, length, "absent") ? SL_HEADER_ABSENT
                                                            : SL_HEADER_ANY;
        return format->header != SL_HEADER_ANY;
    }
    if (!word_is(name, name_length, "charset"))
        return true;
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++)
        if (word_is(value, length, utf8[i]))
            return true;
    return false;
}

/** What follows the type of CSV: RFC 4180 section 3, RFC 7111 section 5. */
static bool csv_parameters(const char *at, sl_format *format) {
    while (*(at += strspn(at, "; \t")) != 0) {
        size_t all = strcspn(at, ";"), name = strcspn(at, "=;");
        size_t value = all;
        while (value > name && (at[value - 1] == ' ' || at[value - 1] == '\t'))
            value--;
        if (name < all && !csv_parameter(at, name, at + name + 1, value - name - 1, format))
            return false;
        at += all;
    }
    return true;
}

/**
 * What the type says of the body. Content decides between object, array and lines; a type that can carry anything
 * leaves it to the stream's configuration.
 * @return false: nothing that is taken.
 */
static bool read_type(const char *type, sl_format *format) {
#define TYPE(name) name, sizeof(name) - 1
    static const struct {
        const char *name;
        size_t length;
        sl_format format;
    } types[] = {{TYPE("application/json"), {SL_FORMAT_JSON, 0, 0}},
                 {TYPE("application/x-ndjson"), {SL_FORMAT_JSON, 0, 0}},
                 {TYPE("application/ndjson"), {SL_FORMAT_JSON, 0, 0}},
                 {TYPE("application/jsonl"), {SL_FORMAT_JSON, 0, 0}},
                 {TYPE("application/x-jsonlines"), {SL_FORMAT_JSON, 0, 0}},
                 {TYPE("application/jsonlines"), {SL_FORMAT_JSON, 0, 0}},
                 {TYPE("application/json-lines"), {SL_FORMAT_JSON, 0, 0}},
                 {TYPE("application/cloudevents+json"), {SL_FORMAT_CLOUDEVENTS, 0, 0}},
                 {TYPE("application/cloudevents-batch+json"), {SL_FORMAT_CLOUDEVENTS, 0, 0}},
                 {TYPE("text/csv"), {SL_FORMAT_CSV, 0, 0}},
                 {TYPE("application/csv"), {SL_FORMAT_CSV, 0, 0}},
                 {TYPE("text/tab-separated-values"), {SL_FORMAT_CSV, SL_HEADER_ANY, '\t'}},
                 {TYPE("application/octet-stream"), {SL_FORMAT_ANY, 0, 0}},
                 {TYPE("application/x-www-form-urlencoded"), {SL_FORMAT_ANY, 0, 0}}};
#undef TYPE
    *format = (sl_format){SL_FORMAT_ANY, 0, 0};
    if (*type == 0)
        return true;
    const size_t length = strcspn(type, "; \t"); /* Parameters may follow. */
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (length == types[i].length && word_is(type, length, types[i].name)) {
            *format = types[i].format;
            return format->kind != SL_FORMAT_CSV || csv_parameters(type + length, format);
        }
    return length >= 5 && word_is(type, 5, "text/");
}

/** @return 0, or the status; 405 is answered here, as it needs Allow. */
static int check(sl_http_intake *routes, const char *method, const char *stream,
                 sl_http_exchange *exchange) {
    if (!authorized(routes, exchange)) {
        sl_http_reply_error(exchange, 401, "unauthorized",
                            "a valid token is needed: Authorization: Bearer TOKEN");
        return 401;
    }
    if (strcmp(method, "POST") != 0) {
        static const char body[] =
            "{\"error\":{\"code\":\"method_not_allowed\",\"message\":"
            "\"events are sent by POST\"}}\n";
        sl_http_reply(exchange, 405, "application/json", "Allow: POST\r\n", body,
                      sizeof body - 1);
        return 405;
    }
    if (*stream == '/' && !sl_http_stream_name(stream + 1)) {
        sl_http_reply_error(
            exchange, 400, "stream_name",
            "a stream's name is a letter or _, then up to 62 letters, digits, _ . -");
        return 400;
    }
    sl_format format;
    if (!read_type(sl_http_header(exchange, "content-type"), &format) && !http_is_cloudevent(exchange)) {
        sl_http_reply_error(
            exchange, 415, "unsupported_media_type",
            "send JSON, NDJSON, CSV or CloudEvents in UTF-8, such as Content-Type: application/json, "
            "or text/csv; header=present (or absent)");
        return 415;
    }
    unsigned keys = sl_http_header_count(exchange, "idempotency-key");
    size_t length = strlen(sl_http_header(exchange, "idempotency-key"));
    if (keys > 1 || (keys == 1 && (length == 0 || length > KEY_BYTES_MAX))) {
        sl_http_reply_error(exchange, 400, "idempotency_key",
                            "Idempotency-Key is one header of 1 to %u bytes",
                            KEY_BYTES_MAX);
        return 400;
    }
    return 0;
}

int sl_http_intake_admit(sl_http_intake *routes, const char *method, const char *path,
                         sl_http_exchange *exchange) {
    const char *stream = stream_part(path);
    if (stream == NULL)
        return 0;
    int status = check(routes, method, stream, exchange);
    if (status == 0)
        sl_http_set_mark(exchange, routes);
    return status;
}

static void put_number(sl_buffer *out, uint32_t number) {
    char digits[12];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    sl_buffer_append(out, digits + n, sizeof digits - n);
}

#define PUT(out, literal) sl_buffer_append(out, literal, sizeof(literal) - 1)

static void put_counts(sl_buffer *out, const sl_intake_reply *reply) {
    PUT(out, "{\"accepted\":");
    put_number(out, reply->accepted);
    PUT(out, ",\"rejected\":");
    put_number(out, reply->rejected);
    PUT(out, ",\"errors\":[");
    for (uint32_t i = 0; i < reply->error_count; i++) {
        const sl_intake_error *error = &reply->errors[i];
        sl_buffer_text(out, i == 0 ? "{\"index\":" : ",{\"index\":");
        put_number(out, error->index);
        PUT(out, ",\"code\":");
        sl_buffer_json_string(out, error->code, strlen(error->code));
        PUT(out, ",\"message\":");
        sl_buffer_json_string(out, error->message, strlen(error->message));
        PUT(out, ",\"at\":");
        put_number(out, error->at);
        PUT(out, ",\"path\":");
        sl_buffer_json_string(out, error->path, strlen(error->path));
        PUT(out, "}");
    }
    PUT(out, "]}\n");
}

static const char *code_of(int status) {
    switch (status) {
    case 404:
        return "no_stream";
    case 409:
        return "conflict";
    case 413:
        return "too_large";
    case 422:
        return "idempotency_key_reused";
    case 429:
        return "busy";
    case 503:
        return "unavailable";
    default:
        return "refused";
    }
}

/** Any other status than 200 and 400: an error with its message, and when to come again.
 */
static void reply_refusal(sl_buffer *out, sl_http_exchange *exchange,
                          const sl_intake_reply *reply) {
    char headers[48] = "";
    if (reply->status == 429 || reply->status == 503)
        (void)snprintf(headers, sizeof headers, "Retry-After: %u\r\n",
                       reply->retry_after_s > 0 ? reply->retry_after_s : 1);
    const char *code = code_of(reply->status);
    const char *message = reply->message != NULL ? reply->message : "not taken";
    PUT(out, "{\"error\":{\"code\":");
    sl_buffer_json_string(out, code, strlen(code));
    PUT(out, ",\"message\":");
    sl_buffer_json_string(out, message, strlen(message));
    PUT(out, "}}\n");
    sl_http_reply(exchange, reply->status, "application/json", headers, out->bytes,
                  out->failed ? 0 : out->length);
}

/** A request's place in the engine's hands: what its reply needs. */
static void reply_result(sl_buffer *out, sl_http_exchange *exchange,
                         const sl_intake_reply *reply) {
    sl_buffer_clear(out);
    if (reply->status != 200 && reply->status != 400) {
        reply_refusal(out, exchange, reply);
        return;
    }
    put_counts(out, reply);
    if (out->failed) {
        /* The events are taken and the sender must learn it; the list of errors is what
         * can be spared. */
        char counts[64];
        int n = snprintf(counts, sizeof counts, "{\"accepted\":%u,\"rejected\":%u,\"errors\":[]}\n",
                         reply->accepted, reply->rejected);
        sl_http_reply(exchange, reply->status, "application/json", "", counts, (size_t)n);
        return;
    }
    sl_http_reply(exchange, reply->status, "application/json", "", out->bytes,
                  out->length);
}

/** @param token The exchange. The output is this call's own only when it has to be large.
 */
static void done(void *token, const sl_intake_reply *reply) {
    uint8_t small[128];
    sl_buffer out = {.bytes = small, .capacity = sizeof small};
    if (reply->error_count == 0 && (reply->status == 200 || reply->status == 400)) {
        reply_result(&out, token, reply); /* 128 bytes hold any two counts. */
        return;
    }
    out = SL_BUFFER_EMPTY;
    reply_result(&out, token, reply);
    sl_buffer_fini(&out);
}

static void reply_status(sl_http_intake *routes, sl_http_exchange *exchange,
                         sl_status status) {
    sl_intake_reply reply = {.status = 503,
                             .message = "no memory at present; send it again"};
    if (status == SL_EFULL)
        reply =
            (sl_intake_reply){.status = 429, .message = "busy at present; send it again"};
    else if (status == SL_ENOSPC)
        reply = (sl_intake_reply){.status = 503,
                                  .retry_after_s = 5,
                                  .message = "the journal is full; send it again later"};
    else if (status == SL_ELIMIT)
        reply = (sl_intake_reply){.status = 413,
                                  .message = "the body is larger than allowed"};
    else if (status != SL_ENOMEM)
        reply.message = "events can't be stored at present; send them again later";
    reply_result(&routes->reply, exchange, &reply);
}

/** The event in JSON that the request is. @return SL_ESYNTAX: it was answered. */
static sl_status as_cloudevent(sl_http_intake *routes, const sl_http_request *request, sl_intake_request *submitted) {
    const char *why;
    sl_status status = http_cloudevent(request, &routes->event, &why);
    if (status == SL_ESYNTAX)
        sl_http_reply_error(request->exchange, 400, "bad_request", "%s", why);
    submitted->format = (sl_format){.kind = SL_FORMAT_CLOUDEVENTS};
    submitted->body = routes->event.bytes;
    submitted->length = routes->event.length;
    return status;
}

bool sl_http_intake_handle(sl_http_intake *routes, const sl_http_request *request) {
    const char *stream = stream_part(request->path);
    if (stream == NULL)
        return false;
    /* Whoever forgets to hook admit() in must not open the door. */
    if (sl_http_mark(request->exchange) != routes &&
        check(routes, request->method, stream, request->exchange) != 0)
        return true;
    if (*stream == '/')
        stream++;
    const char *key = sl_http_header(request->exchange, "idempotency-key");
    sl_format format;
    (void)read_type(sl_http_header(request->exchange, "content-type"), &format); /* It was checked. */
    sl_intake_request submitted = {.stream = stream,
                                   .stream_length = strlen(stream),
                                   .source = "http",
                                   .format = format,
                                   .key = key,
                                   .key_length = strlen(key),
                                   .body = request->body,
                                   .length = request->length,
                                   .done = done,
                                   .token = request->exchange};
    sl_status status = SL_OK;
    if (format.kind != SL_FORMAT_CLOUDEVENTS && http_is_cloudevent(request->exchange))
        status = as_cloudevent(routes, request, &submitted);
    if (status == SL_OK)
        status = routes->intake->submit(routes->intake, &submitted);
    if (status != SL_OK && status != SL_ESYNTAX)
        reply_status(routes, request->exchange, status);
    if (routes->event.capacity > EVENT_KEPT_BYTES)
        sl_buffer_fini(&routes->event);
    return true;
}
