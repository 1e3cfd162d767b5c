/* The clients: requests from the seed, sent, doubled, repeated, given up; and what the daemon has
 * promised about each. */
#include "sim.h"

#include "sluice/messages.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const sim_kinds[KINDS] = {"a", "b", "c/d", "\xc3\xa9"};

#define BASE_US INT64_C(1767225600000000) /* 2026-01-01 */

typedef struct attempt {
    struct attempt *next;
    sim *sim;
    uint32_t request, epoch, number;
    bool answered;
} attempt;

/* --- what is sent --- */

static uint32_t event_new(sim *s, uint32_t request) {
    if (s->event_count + 1 >= s->event_capacity) {
        s->event_capacity = s->event_capacity ? 2 * s->event_capacity : 1024;
        s->events = realloc(s->events, s->event_capacity * sizeof *s->events);
        if (s->events == NULL)
            abort();
    }
    uint32_t id = ++s->event_count;
    sim_event *e = &s->events[id];
    *e = (sim_event){.request = request,
                     .at_us = BASE_US + s->now_us + (int64_t)sim_below(s, 90) * SL_SECOND_US,
                     .cents = (int64_t)sim_below(s, 2000000) - 1000000,
                     .kind = (uint8_t)sim_below(s, KINDS),
                     .user = (uint8_t)sim_below(s, USERS)};
    if (sim_chance(s, 50))
        e->at_us -= (int64_t)sim_below(s, 3600) * SL_SECOND_US;
    return id;
}

static void put_padding(sim *s, sl_buffer *out) {
    if (!s->heavy || sim_chance(s, 500))
        return;
    size_t n = (size_t)sim_below(s, 20000);
    sl_buffer_text(out, ",\"pad\":\"");
    for (size_t i = 0; i < n; i++)
        sl_buffer_byte(out, (uint8_t)('a' + sim_below(s, 26)));
    sl_buffer_byte(out, '"');
}

/* A field whose type wanders, and fields that come and go. */
static void put_drift(sim *s, sl_buffer *out) {
    static const char *const values[] = {"1",    "-7",          "2.5",   "\"x\"", "true",
                                         "null", "{\"deep\":1}", "[1,2]", "1e3",   "\"2026-01-01T00:00:00Z\""};
    if (sim_chance(s, 700))
        sl_buffer_printf(out, ",\"v\":%s", values[sim_below(s, sim_chance(s, 700) ? 3 : 10)]);
    if (sim_chance(s, 300))
        sl_buffer_printf(out, ",\"f%u\":%s", (unsigned)sim_below(s, 6), values[sim_below(s, 10)]);
    if (sim_chance(s, 200))
        sl_buffer_printf(out, ",\"o\":{\"p%u\":%s}", (unsigned)sim_below(s, 3), values[sim_below(s, 10)]);
}

static void put_good(sim *s, const sim_request *r, uint32_t number, uint32_t id, sl_buffer *out) {
    const sim_event *e = &s->events[id];
    char at[40];
    (void)sl_time_format(e->at_us, at);
    sl_buffer_printf(out, "{\"id\":%u,\"req\":%u,\"kind\":\"%s\",\"user\":\"u%u\"", id, number,
                     sim_kinds[e->kind], e->user);
    if (s->streams[r->stream].schema) {
        int64_t cents = e->cents < 0 ? -e->cents : e->cents;
        sl_buffer_printf(out, ",\"amount\":%s%lld.%02lld,\"at\":\"%s\"", e->cents < 0 ? "-" : "",
                         (long long)(cents / 100), (long long)(cents % 100), at);
    } else {
        put_drift(s, out);
    }
    put_padding(s, out);
    sl_buffer_byte(out, '}');
}

static void put_bad(sim *s, sim_request *r, sl_buffer *out) {
    static const char *const broken[] = {"{\"id\":5,}", "17", "{\"id\":\"zz\",\"req\":0}", "{\"req\":0}",
                                         "{\"id\":1,\"req\":0,\"amount\":1.234}"};
    static const char *const claimed[] = {"{\"id\":\"zz\",\"req\":0,\"at\":\"2024-01-01T00:00:00Z\"}",
                                          "{\"req\":0,\"at\":\"2024-01-01T00:00:00Z\"}",
                                          "{\"id\":1,\"req\":0,\"amount\":1.234,\"at\":\"2024-01-01T00:00:00Z\"}"};
    uint64_t which = sim_below(s, s->streams[r->stream].schema ? 5 : 2);
    bool shared = s->shared && r->stream == 0;
    r->strays += shared && which < 2;
    sl_buffer_text(out, shared && which >= 2 ? claimed[which - 2] : broken[which]);
}

/* Events that the first stream takes, though a later one's condition is true of them, too. */
static void put_guests(sim *s, sim_request *r, uint32_t number, sl_buffer *out) {
    if (!s->shared || r->stream == 2)
        return;
    r->guests = sim_chance(s, 500) ? 1 + (uint32_t)sim_below(s, 5) : 0;
    for (uint32_t i = 0; i < r->guests; i++)
        sl_buffer_printf(out, "{\"guest\":%u,\"req\":%u,\"at\":\"2024-01-01T00:00:00Z\"}\n", i, number);
}

/* What a stream's steps keep from its tables. */
static void put_stepped(sim *s, sim_request *r, uint32_t number, sl_buffer *out) {
    if (!s->steps || r->stream != 0)
        return;
    r->unmet = sim_chance(s, 300) ? 1 + (uint32_t)sim_below(s, 3) : 0;
    r->passed_over = sim_chance(s, 300) ? 1 + (uint32_t)sim_below(s, 3) : 0;
    for (uint32_t i = 0; i < r->unmet + r->passed_over; i++)
        sl_buffer_printf(out, "{\"id\":0,\"req\":%u,\"kind\":\"%s\",\"at\":\"2024-01-01T00:00:00Z\"}\n", number,
                         i < r->unmet ? "unmet" : "over");
}

/* Events that an answered request had: nothing comes of them, however often they are sent. */
static void put_doubles(sim *s, sim_request *r, sl_buffer *out) {
    if (!s->dedupe || r->stream != 0 || s->request_count == 0)
        return;
    for (int i = 0; i < 4 && r->doubles < 8; i++) {
        const sim_request *q = &s->requests[sim_below(s, s->request_count)];
        if (q->stream != 0 || !q->in || q->mismatch || q->good == 0 || (q->offset == 0) != (r->offset == 0))
            continue;
        uint32_t id = q->first + (uint32_t)sim_below(s, q->good);
        put_good(s, q, s->events[id].request, id, out);
        sl_buffer_byte(out, '\n');
        r->doubles++;
    }
}

/* Streams that share a path would have messages out of the middle in the raw zone. */
static bool parted(const sim *s) { return s->raw && s->shared; }

/* A log elsewhere, whose messages are the requests that have an offset. Their reader asks the engine where to go on. */
static void place_elsewhere(sim *s, sim_request *r) {
    if (parted(s) || r->key[0] != 0 || !sim_chance(s, 300))
        return;
    r->offset = ++s->elsewhere;
    s->totals.elsewhere++;
}

static void put_addressed(const sim *s, const sim_request *r, uint32_t number, uint32_t line, const char *text, size_t length, sl_buffer *out) {
    const uint32_t what[] = {number, line};
    const sl_hash128 key = sl_hash128_of(what, sizeof what);
    const char *path = s->streams[r->stream].path;
    sl_buffer message = SL_BUFFER_EMPTY;
    sl_message_address_put(&message, &(sl_message_address){.stream = path,
                                                           .stream_length = (uint8_t)strlen(path),
                                                           .source = "http",
                                                           .source_length = 4,
                                                           .key = s->topic ? (const uint8_t *)&key : NULL});
    sl_buffer_append(&message, text, length);
    if (!sl_messages_add(out, &(sl_message_item){.bytes = message.bytes, .length = (uint32_t)message.length}))
        abort();
    sl_buffer_fini(&message);
}

/* Behind them what came before, of this request or of another: the first line of each is a good one. */
static void pack_addressed(sim *s, sim_request *r, uint32_t number, sl_buffer *out) {
    uint32_t line = 0;
    for (size_t at = 0, length; at < r->length; at += length + 1) {
        length = strcspn(r->lines + at, "\n");
        put_addressed(s, r, number, line++, r->lines + at, length, out);
    }
    r->addressed = true;
    for (int i = 0; i < 3 && s->topic && r->good != 0; i++) {
        const uint32_t other = sim_chance(s, 500) ? number : (uint32_t)sim_below(s, number + 1);
        const sim_request *q = &s->requests[other];
        if (!q->addressed || q->stream != r->stream || q->good == 0 || (q != r && !q->in))
            continue;
        put_addressed(s, q, other, 0, q->lines, strcspn(q->lines, "\n"), out);
        r->doubles++;
    }
}

/* What is sent: the lines, or each line as a message. The raw zone has either as the same lines. */
static void pack(sim *s, sim_request *r, uint32_t number) {
    sl_buffer out = SL_BUFFER_EMPTY;
    if (r->offset != 0 || (!parted(s) && sim_chance(s, 250))) {
        const sl_messages_origin from = {SIM_ELSEWHERE, sizeof SIM_ELSEWHERE - 1, r->offset, r->offset + 1, ~(uint64_t)r->offset, false};
        const bool addressed = r->offset != 0 && !s->raw && sim_chance(s, 700);
        r->format = (sl_format){.kind = addressed ? SL_FORMAT_ADDRESSED : SL_FORMAT_MESSAGES};
        sl_messages_begin(&out, r->offset != 0 ? &from : NULL);
        if (addressed)
            pack_addressed(s, r, number, &out);
        for (size_t at = 0, length; at < r->length && !addressed; at += length + 1) {
            length = strcspn(r->lines + at, "\n");
            (void)sl_messages_add(&out, &(sl_message_item){.bytes = (const uint8_t *)r->lines + at, .length = (uint32_t)length});
        }
    } else {
        sl_buffer_append(&out, r->lines, r->length);
    }
    r->sent_length = out.length;
    if (!sl_buffer_reserve(&out, 64))
        abort();
    memset(out.bytes + out.length, 0, 64);
    r->sent = out.bytes;
}

/* NDJSON, where a broken line costs itself alone. What nobody takes is refused event by event. */
static void make_body(sim *s, sim_request *r, uint32_t number, uint32_t good, uint32_t bad) {
    sl_buffer out = SL_BUFFER_EMPTY;
    place_elsewhere(s, r);
    r->first = s->event_count + 1;
    uint32_t good_left = good, bad_left = bad;
    bool first = true;
    while (good_left + bad_left != 0) {
        bool is_bad = !first && bad_left != 0 && sim_below(s, good_left + bad_left) < bad_left;
        if (good_left == 0)
            is_bad = true;
        if (is_bad) {
            put_bad(s, r, &out);
            bad_left--;
        } else {
            put_good(s, r, number, event_new(s, number), &out);
            good_left--;
        }
        sl_buffer_byte(&out, '\n');
        first = false;
    }
    if (good != 0)
        put_stepped(s, r, number, &out);
    if (good != 0)
        put_doubles(s, r, &out);
    if (good != 0)
        put_guests(s, r, number, &out);
    if (out.failed)
        abort();
    r->good = s->streams[r->stream].routed ? good : 0;
    r->bad = s->streams[r->stream].routed ? bad : good + bad;
    r->length = out.length;
    (void)sl_buffer_cstr(&out);
    r->lines = (char *)out.bytes;
    pack(s, r, number);
}

/* A key that was answered for good, under which another body must be refused. */
static const char *answered_key(sim *s) {
    for (int i = 0; i < 8 && s->request_count != 0; i++) {
        const sim_request *r = &s->requests[sim_below(s, s->request_count)];
        if (r->key[0] != 0 && r->in && !r->mismatch)
            return r->key;
    }
    return NULL;
}

static void request_new(sim *s) {
    uint32_t number = s->request_count;
    sim_request *r = &s->requests[number];
    *r = (sim_request){.due_us = s->now_us};
    r->stream = sim_chance(s, 450) ? 0 : sim_chance(s, 800) ? 1 : 2;
    const char *other = sim_chance(s, 60) ? answered_key(s) : NULL;
    if (other != NULL) {
        (void)snprintf(r->key, sizeof r->key, "%s", other);
        r->mismatch = true;
    } else if (sim_chance(s, 500) || !s->streams[r->stream].routed) {
        (void)snprintf(r->key, sizeof r->key, "key-%u", number);
        r->extra = sim_chance(s, 200) ? 1 + (uint32_t)sim_below(s, 2) : 0;
    }
    /* Who sends without a key sends something whose arrival can be seen. */
    uint32_t good = 1 + (uint32_t)sim_below(s, sim_chance(s, 100) ? 40 : 8);
    uint32_t bad = sim_chance(s, 250) ? 1 + (uint32_t)sim_below(s, 3) : 0;
    if (r->key[0] != 0 && !r->mismatch && sim_chance(s, 50)) {
        good = 0;
        bad = bad != 0 ? bad : 1;
    }
    make_body(s, r, number, good, bad);
    s->request_count++;
    s->totals.requests++;
    s->totals.events += r->good + r->bad + r->unmet + r->passed_over + r->doubles + r->guests;
}

/* --- replies --- */

static void again(sim *s, sim_request *r) {
    r->due_us = s->now_us + 1000 + (int64_t)sim_below(s, 2 * (uint64_t)s->pace_us + 200000);
}

static void answered_in(sim *s, sim_request *r, uint32_t number, const sl_intake_reply *reply) {
    if (r->mismatch && s->totals.damaged != 0)
        r->mismatch = false; /* The first one's record may be what was damaged. */
    if (r->mismatch)
        sim_fail(s, "request %u: another body under %s was answered %d", number, r->key, reply->status);
    uint32_t accepted = r->good + r->unmet + r->passed_over + r->doubles + r->guests;
    if (reply->accepted != accepted || reply->rejected != r->bad || reply->status != (accepted == 0 ? 400 : 200))
        sim_fail(s, "request %u: %u accepted, %u rejected, status %d; it has %u good and %u broken events:\n%.2000s",
                 number, reply->accepted, reply->rejected, reply->status, accepted, r->bad, r->lines);
    r->in = true;
    if (r->key[0] != 0 && !s->calm && sim_chance(s, 150)) {
        sim_trace(s, "reply of %u is lost", number);
        again(s, r);
    } else if (r->extra != 0) {
        r->extra--;
        again(s, r);
    } else if (r->attempts == 0) {
        r->settled = true;
    }
}

/* The group of a request without a key is durable: what was refused before it was sent can't come back. */
static void confirm_refused(sim *s, uint32_t number) {
    for (uint32_t i = 0; i < s->request_count; i++) {
        sim_request *r = &s->requests[i];
        r->certain = r->certain || (r->refused && r->refused_at < number);
    }
}

static void on_reply(void *token, const sl_intake_reply *reply) {
    attempt *a = token;
    sim *s = a->sim;
    sim_request *r = &s->requests[a->request];
    if (a->answered)
        sim_fail(s, "request %u was answered twice", a->request);
    if (a->epoch != s->epoch)
        sim_fail(s, "request %u was answered by a dead daemon", a->request);
    a->answered = true;
    r->attempts--;
    sim_trace(s, "reply %d to %u", reply->status, a->request);
    switch (reply->status) {
    case 200:
    case 400:
        answered_in(s, r, a->request, reply);
        if (r->key[0] == 0)
            confirm_refused(s, a->number);
        break;
    case 422:
        if (!r->mismatch)
            sim_fail(s, "request %u was refused with 422: %s", a->request, reply->message);
        r->settled = true;
        s->totals.refused++;
        break;
    case 429:
    case 503:
        if (r->key[0] != 0 || r->offset != 0) {
            r->unsure = r->offset != 0; /* After a crash the log may have it, and says so. */
            again(s, r);
        } else {
            r->refused = r->settled = true;
            r->refused_at = s->sent;
        }
        break;
    default:
        sim_fail(s, "request %u was answered %d", a->request, reply->status);
    }
}

/* --- sending --- */

static bool count_piece(void *context, const sl_intake_piece *piece) {
    (void)piece;
    ++*(uint32_t *)context;
    return true;
}

static void on_judged(void *token, const sl_intake_reply *reply) {
    const attempt *a = token;
    sim *s = a->sim;
    const sim_request *r = &s->requests[a->request];
    uint32_t accepted = r->good + r->unmet + r->passed_over + r->doubles + r->guests, pieces = 0;
    if (a->epoch != s->epoch)
        sim_fail(s, "judged request %u was answered by a dead daemon", a->request);
    if (reply->status == 503)
        return;
    if (reply->accepted != accepted || reply->rejected != r->bad || reply->judged == NULL)
        sim_fail(s, "request %u, only judged: %u accepted, %u rejected", a->request, reply->accepted, reply->rejected);
    if (!reply->judged->each(reply->judged, count_piece, &pieces) || pieces != accepted + r->bad)
        sim_fail(s, "request %u, only judged, was told as %u events, and has %u", a->request, pieces, accepted + r->bad);
}

/* For somebody else's log: nothing of it stays here, whatever happens. */
static void judge_once(sim *s, uint32_t number) {
    const sim_request *r = &s->requests[number];
    const char *path = s->streams[r->stream].path;
    attempt *a = malloc(sizeof *a);
    if (a == NULL)
        abort();
    *a = (attempt){.sim = s, .request = number, .epoch = s->epoch};
    a->next = s->tries;
    s->tries = a;
    const sl_intake_request request = {.stream = path,
                                       .stream_length = strlen(path),
                                       .source = "http",
                                       .judge_only = true,
                                       .format = r->format,
                                       .body = r->sent,
                                       .length = r->sent_length,
                                       .done = on_judged,
                                       .token = a};
    sl_intake *intake = sl_engine_intake(s->engine);
    sl_status status = intake->submit(intake, &request);
    sim_trace(s, "judge %u: %s", number, sl_status_text(status));
}

static void send_once(sim *s, uint32_t number) {
    sim_request *r = &s->requests[number];
    attempt *a = malloc(sizeof *a);
    if (a == NULL)
        abort();
    *a = (attempt){.sim = s, .request = number, .epoch = s->epoch, .number = ++s->sent};
    const char *path = s->streams[r->stream].path;
    const sl_intake_request request = {.stream = path,
                                       .stream_length = strlen(path),
                                       .source = "http",
                                       .format = r->format,
                                       .key = r->key,
                                       .key_length = strlen(r->key),
                                       .body = r->sent,
                                       .length = r->sent_length,
                                       .done = on_reply,
                                       .token = a};
    sl_intake *intake = sl_engine_intake(s->engine);
    sl_status status = intake->submit(intake, &request);
    sim_trace(s, "send %u key=%s stream=%s bytes=%zu: %s", number, r->key, path, r->length,
              sl_status_text(status));
    if (status == SL_OK) {
        r->attempts++;
        a->next = s->tries;
        s->tries = a;
        return;
    }
    free(a);
    if (status == SL_ELIMIT)
        sim_fail(s, "request %u of %zu bytes is too large", number, r->length);
    again(s, r);
}

/* One after the other. @return whether it is its turn. */
static bool elsewhere_turn(sim *s, sim_request *r) {
    uint64_t next, check;
    for (uint32_t i = 0; i < s->request_count; i++)
        if (s->requests[i].offset != 0 && s->requests[i].offset < r->offset && !s->requests[i].settled)
            return false;
    if (!sl_engine_ready(s->engine))
        return false;
    bool known = sl_engine_origin(s->engine, SIM_ELSEWHERE, &next, &check);
    if (!known)
        next = 1;
    if (known && check != ~(next - 1))
        sim_fail(s, "the check of message %u elsewhere is another's", (unsigned)(next - 1));
    if (next == r->offset + (uint64_t)1 && r->unsure) {
        r->in = r->settled = true;
        return false;
    }
    if (next != r->offset && s->totals.damaged == 0)
        sim_fail(s, "message %u elsewhere is the next one, the engine says %u", r->offset, (unsigned)next);
    return true;
}

bool clients_turn(sim *s) {
    bool any = false;
    if (s->request_count < s->planned && s->now_us >= s->next_request_us) {
        s->next_request_us = s->now_us + (int64_t)sim_below(s, 2 * (uint64_t)s->pace_us);
        request_new(s);
    }
    for (uint32_t i = 0; i < s->request_count; i++) {
        sim_request *r = &s->requests[i];
        if (r->settled || r->due_us > s->now_us)
            continue;
        if (r->offset != 0 && !elsewhere_turn(s, r)) {
            if (!r->settled)
                again(s, r);
            continue;
        }
        r->due_us = INT64_MAX;
        bool twice = r->key[0] != 0 && !s->calm && sim_chance(s, 100);
        s->totals.repeats += twice || r->in;
        if (!s->requests[i].addressed && sim_chance(s, 100))
            judge_once(s, i);
        send_once(s, i);
        if (twice)
            send_once(s, i);
        any = true;
    }
    return any;
}

void clients_power_failed(sim *s) {
    for (uint32_t i = 0; i < s->request_count; i++) {
        sim_request *r = &s->requests[i];
        if (!r->refused || r->certain)
            continue;
        r->refused = false;
        r->maybe = true;
        s->totals.maybe++;
    }
}

void clients_lost(sim *s) {
    for (uint32_t i = 0; i < s->request_count; i++) {
        sim_request *r = &s->requests[i];
        if (r->attempts == 0)
            continue;
        r->attempts = 0;
        if (r->key[0] != 0 || r->offset != 0) {
            r->settled = false;
            r->unsure = true;
            again(s, r);
        } else {
            r->maybe = r->settled = true;
            s->totals.maybe++;
        }
    }
}

bool clients_done(const sim *s) {
    if (s->request_count < s->planned)
        return false;
    for (uint32_t i = 0; i < s->request_count; i++)
        if (!s->requests[i].settled)
            return false;
    return true;
}

void clients_init(sim *s) {
    s->requests = calloc(s->planned + 1, sizeof *s->requests);
    if (s->requests == NULL)
        abort();
}

void clients_fini(sim *s) {
    while (s->tries != NULL) {
        attempt *next = s->tries->next;
        free(s->tries);
        s->tries = next;
    }
    for (uint32_t i = 0; i < s->request_count; i++) {
        sl_free(s->requests[i].lines);
        sl_free(s->requests[i].sent);
    }
    free(s->requests);
    free(s->events);
}
