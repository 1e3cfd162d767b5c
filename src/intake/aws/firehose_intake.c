/* POST /v1/firehose and /v1/firehose/STREAM, for streams of Firehose whose destination is an HTTP endpoint.
 *
 * Firehose sends a request again, under the same id, until it gets a 200; so what could be read and is durable is one, also where
 * records of it became dead letters. A 413 it gives up at once.
 */
#include "sluice/firehose_intake.h"

#include "endpoint.h"

#include <stdio.h>

#define TURNED_KEPT_MAX (UINT64_C(1) << 20) /* Memory that stays for the next request. */

struct sl_firehose_intake {
    sl_firehose_intake_options options;
    sl_buffer turned, scratch; /**< Of one request. */
};

/* A request in the engine's hands. */
typedef struct pending {
    sl_http_exchange *exchange;
    sl_clock clock;
    char id[ENDPOINT_ID_MAX + 1];
} pending;

sl_firehose_intake *sl_firehose_intake_create(const sl_firehose_intake_options *options) {
    sl_firehose_intake *routes = sl_calloc(1, sizeof *routes);
    if (routes != NULL)
        routes->options = *options;
    return routes;
}

void sl_firehose_intake_destroy(sl_firehose_intake *routes) {
    if (routes == NULL)
        return;
    sl_buffer_fini(&routes->turned);
    sl_buffer_fini(&routes->scratch);
    sl_free(routes);
}

/* @return What stands behind /v1/firehose: "" or "/…"; NULL when the path is another's. */
static const char *stream_part(const char *path) {
    static const char prefix[] = "/v1/firehose";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return NULL;
    path += sizeof prefix - 1;
    return *path == 0 || *path == '/' ? path : NULL;
}

static void answer(const pending *p, int status, const char *message, uint32_t retry_after_s) {
    sl_buffer out = SL_BUFFER_EMPTY;
    char headers[48] = "";
    sl_buffer_text(&out, "{\"requestId\":");
    sl_buffer_json_string(&out, p->id, strlen(p->id));
    sl_buffer_printf(&out, ",\"timestamp\":%lld", (long long)(p->clock.wall_us(p->clock.context) / 1000));
    if (message != NULL) {
        sl_buffer_text(&out, ",\"errorMessage\":");
        sl_buffer_json_string(&out, message, strlen(message));
    }
    sl_buffer_text(&out, "}\n");
    if (status == 405)
        (void)snprintf(headers, sizeof headers, "Allow: POST\r\n");
    if (status == 429 || status == 503)
        (void)snprintf(headers, sizeof headers, "Retry-After: %u\r\n", retry_after_s > 0 ? retry_after_s : 1);
    sl_http_reply(p->exchange, status, "application/json", headers, out.bytes, out.failed ? 0 : out.length);
    sl_buffer_fini(&out);
}

/* --- what the head tells --- */

static bool is_json(const char *type) {
    static const char json[] = "application/json";
    size_t i = 0;
    while (json[i] != 0 && (type[i] >= 'A' && type[i] <= 'Z' ? type[i] | 32 : type[i]) == json[i])
        i++;
    return *type == 0 || (json[i] == 0 && (type[i] == 0 || type[i] == ';' || type[i] == ' '));
}

/* @return 0, or the status that was answered. */
static int check(const sl_firehose_intake *routes, const char *method, const char *stream, sl_http_exchange *exchange) {
    const sl_firehose_intake_options *o = &routes->options;
    pending p = {.exchange = exchange, .clock = o->clock};
    const char *id = sl_http_header(exchange, "x-amz-firehose-request-id");
    const char *version = sl_http_header(exchange, "x-amz-firehose-protocol-version"), *why = NULL;
    int status = 400;
    if (strlen(id) <= ENDPOINT_ID_MAX)
        (void)snprintf(p.id, sizeof p.id, "%s", id);
    if (o->guarded && (sl_http_header_count(exchange, "x-amz-firehose-access-key") != 1 ||
                       !sl_http_token_listed(sl_http_header(exchange, "x-amz-firehose-access-key"), o->tokens, o->token_count))) {
        status = 401;
        why = "X-Amz-Firehose-Access-Key isn't one of http.auth.tokens";
    } else if (strcmp(method, "POST") != 0) {
        status = 405;
        why = "records are sent by POST";
    } else if (*stream == '/' && !sl_http_stream_name(stream + 1)) {
        why = "a stream's name is a letter or _, then up to 62 letters, digits, _ . -";
    } else if (*version != 0 && strcmp(version, "1.0") != 0) {
        why = "X-Amz-Firehose-Protocol-Version: only 1.0 is known";
    } else if (strlen(id) > ENDPOINT_ID_MAX || sl_http_header_count(exchange, "x-amz-firehose-request-id") > 1) {
        why = "X-Amz-Firehose-Request-Id is one header of up to 128 bytes";
    } else if (!is_json(sl_http_header(exchange, "content-type"))) {
        why = "Content-Type is application/json";
    }
    if (why == NULL)
        return 0;
    answer(&p, status, why, 0);
    return status;
}

int sl_firehose_intake_admit(sl_firehose_intake *routes, const char *method, const char *path, sl_http_exchange *exchange) {
    const char *stream = stream_part(path);
    int status = stream != NULL ? check(routes, method, stream, exchange) : 0;
    if (stream != NULL && status == 0)
        sl_http_set_mark(exchange, routes);
    return status;
}

bool sl_firehose_intake_refuse(sl_firehose_intake *routes, const char *path, sl_http_exchange *exchange, int status,
                               const char *message) {
    pending p = {.exchange = exchange, .clock = routes->options.clock};
    if (stream_part(path) == NULL)
        return false;
    (void)snprintf(p.id, sizeof p.id, "%.*s", ENDPOINT_ID_MAX, sl_http_header(exchange, "x-amz-firehose-request-id"));
    answer(&p, status, message, 1);
    return true;
}

/* --- a request --- */

static void done(void *token, const sl_intake_reply *reply) {
    pending *p = token;
    if (reply->status == 200 || reply->status == 400)
        answer(p, 200, NULL, 0);
    else if (reply->status == 422)
        answer(p, 400, "the request id was used for other records", 0);
    else
        answer(p, reply->status, reply->message != NULL ? reply->message : "not taken", reply->retry_after_s);
    sl_free(p);
}

static void refuse(const pending *p, sl_status status) {
    if (status == SL_EFULL)
        answer(p, 429, "busy at present; send it again", 1);
    else if (status == SL_ELIMIT)
        answer(p, 413, "the records are larger than http.max_body allows", 0);
    else
        answer(p, 503, status == SL_ENOSPC ? "the journal is full; send it again later" : "not stored; send it again",
               status == SL_ENOSPC ? 5 : 1);
}

static sl_status submit(const sl_firehose_intake *routes, const pending *request, const char *stream) {
    char key[ENDPOINT_ID_MAX + 16];
    /* A space of its own among the Idempotency-Keys. */
    int length = *request->id != 0 ? snprintf(key, sizeof key, "firehose %s", request->id) : 0;
    pending *p = sl_malloc(sizeof *p);
    if (p == NULL)
        return SL_ENOMEM;
    *p = *request;
    const sl_intake_request submitted = {.stream = stream,
                                         .stream_length = strlen(stream),
                                         .source = "firehose",
                                         .format = {.kind = SL_FORMAT_MESSAGES},
                                         .key = key,
                                         .key_length = (size_t)length,
                                         .body = routes->turned.bytes,
                                         .length = routes->turned.length,
                                         .done = done,
                                         .token = p};
    sl_status status = routes->options.intake->submit(routes->options.intake, &submitted);
    if (status != SL_OK)
        sl_free(p);
    return status;
}

/* The stream: the path's, else the common attribute's, else "". @return NULL, or what is wrong. */
static const char *find_stream(sl_firehose_intake *routes, const sl_http_exchange *exchange, const char *path,
                               char stream[ENDPOINT_STREAM_MAX + 1]) {
    const char *why = endpoint_stream(sl_http_header(exchange, "x-amz-firehose-common-attributes"), &routes->scratch, stream);
    if (*path == '/')
        (void)snprintf(stream, ENDPOINT_STREAM_MAX + 1, "%s", path + 1);
    if (why == NULL && *stream != 0 && !sl_http_stream_name(stream))
        why = "the common attribute `stream` is no stream's name";
    return why;
}

static void serve(sl_firehose_intake *routes, const sl_http_request *asked, const char *path) {
    char stream[ENDPOINT_STREAM_MAX + 1];
    pending p = {.exchange = asked->exchange, .clock = routes->options.clock};
    endpoint_request request;
    sl_buffer_clear(&routes->turned);
    sl_buffer_clear(&routes->scratch);
    (void)snprintf(p.id, sizeof p.id, "%s", sl_http_header(asked->exchange, "x-amz-firehose-request-id"));
    const char *why = endpoint_read(asked->body, asked->length, &routes->turned, &routes->scratch, &request);
    bool differ = why == NULL && *p.id != 0 && *request.id != 0 && strcmp(p.id, request.id) != 0;
    if (*p.id == 0)
        memcpy(p.id, request.id, sizeof p.id);
    if (differ)
        why = "requestId isn't that of X-Amz-Firehose-Request-Id";
    if (why == NULL)
        why = find_stream(routes, asked->exchange, path, stream);
    if (routes->turned.failed || routes->scratch.failed)
        refuse(&p, SL_ENOMEM);
    else if (why != NULL)
        answer(&p, 400, why, 0);
    else if (request.records == 0)
        answer(&p, 200, NULL, 0);
    else {
        sl_status status = submit(routes, &p, stream);
        if (status != SL_OK)
            refuse(&p, status);
    }
}

static void shrink(sl_buffer *buffer) {
    if (buffer->capacity > TURNED_KEPT_MAX || buffer->failed)
        sl_buffer_fini(buffer);
}

bool sl_firehose_intake_handle(sl_firehose_intake *routes, const sl_http_request *request) {
    const char *stream = stream_part(request->path);
    if (stream == NULL)
        return false;
    /* Whoever forgets to hook admit() in must not open the door. */
    if (sl_http_mark(request->exchange) != routes && check(routes, request->method, stream, request->exchange) != 0)
        return true;
    if (sl_budget_take(routes->options.budget, request->length) != SL_OK) {
        pending p = {.exchange = request->exchange, .clock = routes->options.clock};
        (void)snprintf(p.id, sizeof p.id, "%s", sl_http_header(request->exchange, "x-amz-firehose-request-id"));
        refuse(&p, SL_EFULL);
        return true;
    }
    serve(routes, request, stream);
    shrink(&routes->turned);
    shrink(&routes->scratch);
    if (routes->options.budget != NULL)
        sl_budget_give(routes->options.budget, request->length);
    return true;
}
