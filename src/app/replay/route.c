/* POST /v1/replay?stream=NAME[&dry_run=1]: what `sluice replay` sends. The body is that of a replay record. */
#include "sluice/http.h"
#include "sluice/intake.h"

#include <string.h>

/* @return The value's length; NULL: no such parameter. */
static const char *parameter(const char *query, const char *name, size_t *length) {
    const size_t n = strlen(name);
    for (const char *at = query; at != NULL; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, name, n) == 0 && at[n] == '=') {
            *length = strcspn(at + n + 1, "&");
            return at + n + 1;
        }
    }
    return NULL;
}

static void reply_outcome(sl_http_exchange *exchange, const sl_replay_outcome *o) {
    sl_buffer out = SL_BUFFER_EMPTY;
    sl_buffer_printf(&out, "{\"taken\":%u,\"filtered\":%u,\"repeated\":%u,\"refused\":{", o->taken, o->filtered, o->repeated);
    const char *comma = "";
    for (int i = 0; i < SL_CODE_COUNT; i++)
        if (o->refused[i] != 0) {
            sl_buffer_printf(&out, "%s\"%s\":%u", comma, sl_code_name((sl_code)i), o->refused[i]);
            comma = ",";
        }
    sl_buffer_text(&out, "}}\n");
    if (out.failed)
        sl_http_reply_error(exchange, 503, "memory", "out of memory");
    else
        sl_http_reply(exchange, 200, "application/json", "", out.bytes, out.length);
    sl_buffer_fini(&out);
}

static void done(void *token, const sl_intake_reply *reply) {
    if (reply->replay != NULL)
        reply_outcome(token, reply->replay);
    else
        sl_http_reply_error(token, reply->status, reply->status == 429 ? "busy" : "unavailable", "%s",
                            reply->message != NULL ? reply->message : "not taken");
}

void sl_replay_route(sl_intake *intake, const sl_http_request *r) {
    size_t length = 0, dry_length = 0;
    const char *stream = parameter(r->query, "stream", &length);
    const char *dry = parameter(r->query, "dry_run", &dry_length);
    const sl_intake_request request = {.stream = stream != NULL ? stream : "",
                                       .stream_length = length,
                                       .source = "replay",
                                       .dry_run = dry != NULL && dry_length == 1 && *dry == '1',
                                       .format = {.kind = SL_FORMAT_REPLAY},
                                       .body = r->body,
                                       .length = r->length,
                                       .done = done,
                                       .token = r->exchange};
    sl_status status = intake->submit(intake, &request);
    if (status == SL_EINVAL)
        sl_http_reply_error(r->exchange, 400, "replay", "the body isn't one of `sluice replay`, or names what the log hasn't had");
    else if (status == SL_ELIMIT)
        sl_http_reply_error(r->exchange, 413, "too_large", "the body is larger than allowed");
    else if (status != SL_OK)
        sl_http_reply_error(r->exchange, status == SL_EFULL ? 429 : 503, "busy", "busy at present; send it again");
}
