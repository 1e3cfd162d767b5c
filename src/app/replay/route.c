/* POST /v1/replay?stream=NAME[&dry_run=1]: what `sluice replay` sends. The body is that of a replay record. */
#include "sluice/http.h"
#include "sluice/intake.h"

#include <inttypes.h>
#include <stdio.h>
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

/* --- records that are new to this daemon --- */

/** Items of one request, each a request of its own to the engine. */
typedef struct fresh {
    sl_http_exchange *exchange;
    uint32_t left, taken;
    int status; /* Of the first that wasn't. */
} fresh;

static void fresh_end(fresh *f) {
    if (--f->left != 0)
        return;
    char text[48];
    int n = snprintf(text, sizeof text, "{\"taken\":%u}\n", f->taken);
    if (f->status == 0)
        sl_http_reply(f->exchange, 200, "application/json", "", text, (size_t)n);
    else
        sl_http_reply_error(f->exchange, f->status, "busy", "send it again");
    sl_free(f);
}

static void fresh_done(void *token, const sl_intake_reply *reply) {
    fresh *f = token;
    const bool good = reply->status == 200 || reply->status == 400; /* 400: its events are dead letters. */
    f->taken += good;
    if (!good && f->status == 0)
        f->status = reply->status;
    fresh_end(f);
}

static sl_status fresh_submit(sl_intake *intake, const char *stream, size_t length, const sl_replay_item *item, fresh *f) {
    char source[256], key[32];
    memcpy(source, item->source, item->source_length);
    source[item->source_length] = 0;
    int key_length = snprintf(key, sizeof key, "replay-%" PRIu64, item->position);
    const sl_intake_request request = {.stream = stream,
                                       .stream_length = length,
                                       .source = source,
                                       .arrival_us = item->arrival_us,
                                       .format = item->format,
                                       .key = key,
                                       .key_length = (size_t)key_length,
                                       .body = item->bytes,
                                       .length = item->length,
                                       .done = fresh_done,
                                       .token = f};
    return intake->submit(intake, &request);
}

/* What is sent again when some weren't taken repeats its keys, so that each is taken once. */
static void fresh_route(sl_intake *intake, const char *stream, size_t length, const sl_http_request *r) {
    fresh *f = sl_calloc(1, sizeof *f);
    if (f == NULL) {
        sl_http_reply_error(r->exchange, 503, "memory", "out of memory");
        return;
    }
    *f = (fresh){.exchange = r->exchange, .left = 1};
    sl_replay_item item;
    for (size_t at = 0, n; f->status == 0 && (n = sl_replay_get(r->body + at, r->length - at, &item)) != 0; at += n) {
        f->left++;
        sl_status status = fresh_submit(intake, stream, length, &item, f);
        if (status == SL_OK)
            continue;
        f->left--;
        f->status = status == SL_EFULL ? 429 : status == SL_ELIMIT ? 413 : 503;
    }
    fresh_end(f);
}

void sl_replay_route(sl_intake *intake, const sl_http_request *r) {
    size_t length = 0, dry_length = 0;
    const char *stream = parameter(r->query, "stream", &length);
    const char *dry = parameter(r->query, "dry_run", &dry_length);
    size_t fresh_length = 0;
    if (parameter(r->query, "fresh", &fresh_length) != NULL) {
        fresh_route(intake, stream != NULL ? stream : "", length, r);
        return;
    }
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
