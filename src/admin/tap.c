/* Replies to `GET /v1/tap`: lines of JSON for as long as somebody reads them.
 *
 * The events' copies wait in the engine, which drops and counts what doesn't fit. Here lines are taken only while the reader has less
 * than UNSENT_BYTES waiting. `{"skipped":N}` stands between them about once a second while that number rises. The last line is `{"end":WHY,"events":N,"skipped":N}`, unless the reader was cut off; an empty line
 * now and then shows that both sides are there. */
#include "tap.h"

#include "sluice/message.h"
#include "sluice/time.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS_MAX = 8, UNSENT_BYTES = 256 << 10, RATE_DEFAULT = 100 };
#define STALL_US (10 * SL_SECOND_US)
#define SILENCE_US (30 * SL_SECOND_US)

typedef struct session {
    sl_admin_taps *of;
    sl_http_exchange *exchange; /* NULL: nobody's */
    void *tap;
    uint64_t limit, events; /* limit 0: none */
    uint64_t skipped; /* As said last. */
    size_t unsent;
    int64_t moved_us, said_us, skipped_us;
} session;

struct sl_admin_taps {
    const sl_admin_port *port;
    int64_t now_us;
    session sessions[SESSIONS_MAX];
};

sl_admin_taps *sl_admin_taps_create(const sl_admin_port *port) {
    sl_admin_taps *taps = sl_calloc(1, sizeof *taps);
    if (taps != NULL)
        taps->port = port;
    return taps;
}

void sl_admin_taps_destroy(sl_admin_taps *taps) { sl_free(taps); }

/* --- the question --- */

typedef struct question {
    sl_buffer stage, stream, where;
    double rate;
    uint64_t limit;
} question;

static void question_fini(question *q) {
    sl_buffer_fini(&q->stage);
    sl_buffer_fini(&q->stream);
    sl_buffer_fini(&q->where);
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* @return false: a bad escape, or an escaped 0. */
static bool unescape(const char *text, size_t length, sl_buffer *out) {
    for (size_t i = 0; i < length; i++) {
        int value = (uint8_t)text[i];
        if (text[i] == '%') {
            int high = i + 2 < length ? hex(text[i + 1]) : -1, low = i + 2 < length ? hex(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
                return false;
            value = high * 16 + low;
            i += 2;
        }
        sl_buffer_byte(out, (uint8_t)value);
    }
    return true;
}

static bool read_rate(const char *text, double *rate) {
    char *end = NULL;
    bool digit = (*text >= '0' && *text <= '9') || *text == '.';
    *rate = strtod(text, &end);
    return digit && (*end == 0 || strcmp(end, "/s") == 0) && *rate >= 0 && *rate <= 1e6 && (*rate == 0 || *rate >= 1e-3);
}

static bool read_limit(const char *text, uint64_t *limit) {
    char *end = NULL;
    *limit = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0;
}

static bool take_value(question *q, const char *name, size_t name_length, sl_buffer *value) {
    const struct {
        const char *name;
        sl_buffer *to;
    } texts[] = {{"stage", &q->stage}, {"stream", &q->stream}, {"where", &q->where}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i].name) == name_length && memcmp(name, texts[i].name, name_length) == 0) {
            sl_buffer_clear(texts[i].to);
            sl_buffer_append(texts[i].to, value->bytes, value->length);
            return true;
        }
    if (name_length == 4 && memcmp(name, "rate", 4) == 0)
        return read_rate(sl_buffer_cstr(value), &q->rate);
    return name_length == 5 && memcmp(name, "limit", 5) == 0 && read_limit(sl_buffer_cstr(value), &q->limit);
}

/* @return false: `at` is the part that isn't understood. */
static bool read_query(const char *query, question *q, const char **at, size_t *length) {
    bool good = true;
    sl_buffer value = SL_BUFFER_EMPTY;
    while (*query != 0 && good) {
        *at = query;
        *length = strcspn(query, "&");
        query += *length + (query[*length] == '&');
        const char *equals = memchr(*at, '=', *length);
        if (*length == 0)
            continue;
        sl_buffer_clear(&value);
        good = equals != NULL && unescape(equals + 1, (size_t)(*at + *length - equals - 1), &value) &&
               take_value(q, *at, (size_t)(equals - *at), &value);
    }
    sl_buffer_fini(&value);
    return good;
}

/* --- the reply --- */

static void forget(session *s) {
    const sl_admin_port *port = s->of->port;
    port->tap_close(port->context, s->tap);
    *s = (session){.of = s->of};
}

static void reader_gone(void *context) { forget(context); }

static void finish(session *s, const char *why) {
    const sl_admin_port *port = s->of->port;
    sl_buffer line = SL_BUFFER_EMPTY;
    sl_buffer_text(&line, "{\"end\":");
    sl_buffer_json_string(&line, why, strlen(why));
    sl_buffer_printf(&line, ",\"events\":%" PRIu64 ",\"skipped\":%" PRIu64 "}\n", s->events,
                     port->tap_skipped(port->context, s->tap));
    if (!line.failed)
        sl_http_stream_write(s->exchange, line.bytes, line.length);
    sl_buffer_fini(&line);
    sl_http_stream_end(s->exchange, false);
    forget(s);
}

/* @return the bytes of as many lines as may still be said. */
static size_t count_lines(session *s, const sl_buffer *text) {
    size_t end = 0;
    while (end < text->length && (s->limit == 0 || s->events < s->limit)) {
        const uint8_t *line = memchr(text->bytes + end, '\n', text->length - end);
        if (line == NULL)
            break;
        end = (size_t)(line - text->bytes) + 1;
        s->events++;
    }
    return end;
}

static sl_status hand_on(session *s, int64_t now) {
    const sl_admin_port *port = s->of->port;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_status status = port->tap_take(port->context, s->tap, &text);
    size_t length = text.failed ? 0 : count_lines(s, &text);
    uint64_t skipped = port->tap_skipped(port->context, s->tap);
    if (skipped != s->skipped && now - s->skipped_us > SL_SECOND_US && length == text.length) {
        sl_buffer_printf(&text, "{\"skipped\":%" PRIu64 "}\n", skipped);
        length = text.failed ? length : text.length;
        s->skipped = skipped;
        s->skipped_us = now;
    }
    if (length == 0 && now - s->said_us > SILENCE_US)
        sl_http_stream_write(s->exchange, "\n", 1);
    sl_http_stream_write(s->exchange, text.bytes, length);
    if (length != 0 || now - s->said_us > SILENCE_US)
        s->said_us = now;
    sl_buffer_fini(&text);
    return status;
}

static void turn(session *s, int64_t now) {
    size_t unsent = sl_http_stream_unsent(s->exchange);
    if (unsent < UNSENT_BYTES || unsent < s->unsent)
        s->moved_us = now;
    s->unsent = unsent;
    if (now - s->moved_us > STALL_US) {
        sl_message(SL_LEVEL_INFO, "admin", "tap cut off, its reader takes nothing", "events=%" PRIu64, s->events);
        sl_http_stream_end(s->exchange, true);
        forget(s);
        return;
    }
    if (unsent >= UNSENT_BYTES)
        return;
    sl_status status = hand_on(s, now);
    if (s->limit != 0 && s->events == s->limit)
        finish(s, "limit");
    else if (status != SL_OK)
        finish(s, status == SL_EINVAL ? "where doesn't fit the stream's schema any more" : "out of memory");
}

void sl_admin_taps_turn(sl_admin_taps *taps, int64_t now_us) {
    if (taps == NULL)
        return;
    taps->now_us = now_us;
    for (uint32_t i = 0; i < SESSIONS_MAX; i++)
        if (taps->sessions[i].exchange != NULL)
            turn(&taps->sessions[i], now_us);
}

void sl_admin_taps_end(sl_admin_taps *taps, const char *why) {
    for (uint32_t i = 0; taps != NULL && i < SESSIONS_MAX; i++) {
        session *s = &taps->sessions[i];
        if (s->exchange == NULL)
            continue;
        if (hand_on(s, taps->now_us) == SL_OK && s->limit != 0 && s->events == s->limit)
            finish(s, "limit");
        else
            finish(s, why);
    }
}

static void refuse(sl_http_exchange *exchange, sl_status status, const sl_error *error) {
    int code = status == SL_EINVAL ? 400 : status == SL_EDENIED ? 403 : status == SL_ENOTFOUND ? 404 : status == SL_EFULL ? 429 : 503;
    const char *name = code == 400   ? "tap"
                       : code == 403 ? "forbidden"
                       : code == 404 ? "no_stream"
                       : code == 429 ? "busy"
                                     : "unavailable";
    sl_http_reply_error(exchange, code, name, "%s", error->text);
}

static void open_session(session *s, const sl_http_request *r, question *q) {
    const sl_admin_port *port = s->of->port;
    sl_error error = {0};
    const sl_admin_tap wish = {.stage = q->stage.length != 0 ? sl_buffer_cstr(&q->stage) : "enriched",
                               .stream = sl_buffer_cstr(&q->stream),
                               .where = sl_buffer_cstr(&q->where),
                               .rate = q->rate};
    sl_status status = q->stage.failed || q->stream.failed || q->where.failed
                           ? sl_error_set(&error, SL_ENOMEM, "out of memory")
                           : port->tap_open(port->context, &wish, &s->tap, &error);
    if (status != SL_OK) {
        refuse(r->exchange, status, &error);
        return;
    }
    s->exchange = r->exchange;
    s->limit = q->limit;
    s->moved_us = s->said_us = s->of->now_us;
    sl_http_stream_begin(r->exchange, "application/x-ndjson", "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
                         reader_gone, s);
}

void tap_begin(const sl_admin_port *port, const sl_http_request *r) {
    session *s = NULL;
    for (uint32_t i = 0; port->taps != NULL && i < SESSIONS_MAX && s == NULL; i++)
        if (port->taps->sessions[i].exchange == NULL)
            s = &port->taps->sessions[i];
    question q = {.rate = RATE_DEFAULT};
    const char *at = "";
    size_t length = 0;
    if (strcmp(r->method, "HEAD") == 0) {
        sl_http_reply(r->exchange, 200, "application/x-ndjson", "", NULL, 0);
    } else if (s == NULL) {
        sl_http_reply_error(r->exchange, 429, "busy", "too many taps are open");
    } else if (!read_query(r->query, &q, &at, &length)) {
        sl_http_reply_error(r->exchange, 400, "tap",
                            "%.*s: the query may have stage, stream, where, limit (a number) and rate (events a second)",
                            length > 200 ? 200 : (int)length, at);
    } else {
        s->of = port->taps;
        open_session(s, r, &q);
    }
    question_fini(&q);
}
