/* `sluice tap`: asks a daemon for `GET /v1/tap` and prints what comes, line by line. */
#include "private.h"

#include "sluice/http_client.h"
#include "sluice/loop.h"
#include "sluice/watch.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { SILENCE_S = 100 };

static const char usage[] =
    "Usage: sluice tap [OPTION]...\n"
    "Show events as they pass a stage of a running daemon, one JSON object a line, until Ctrl-C.\n"
    "\n"
    "  --stage STAGE     received (records as they came), decoded, enriched (after the steps), dead,\n"
    "                    late, duplicate, filtered [enriched]\n"
    "  --stream NAME     of this stream [all]\n"
    "  --where CEL       those for which an expression over the stream's fields is true; not for\n"
    "                    received and dead\n"
    "  --limit N         then end [none]\n"
    "  --rate N/s        at most so many a second; 0: as many as can be copied in passing [100/s]\n"
    "  --format F        json, or pretty: on several lines [json]\n"
    "  -c, --config FILE the daemon's configuration, for admin.listen [as sluice run]\n"
    "  --url URL         the admin port instead, such as http://127.0.0.1:8081\n"
    "\n"
    "Events that weren't shown (for the rate, or because they weren't read quickly enough) are counted on\n"
    "stderr at the end. The daemon never waits for a tap. Stages before redact and hash show what these hide.\n"
    "Exit: 0 at the limit or Ctrl-C, 1 when the daemon ended it, 64 usage, 78 configuration.\n";

typedef struct options {
    const char *stage, *stream, *where, *limit, *rate, *format, *config, *url;
    bool help;
} options;

static bool parse(int argc, char **argv, options *o) {
    const struct {
        const char *name;
        const char **value;
    } names[] = {{"--stage", &o->stage}, {"--stream", &o->stream}, {"--where", &o->where},   {"--limit", &o->limit},
                 {"--rate", &o->rate},   {"--format", &o->format}, {"--config", &o->config}, {"-c", &o->config},
                 {"--url", &o->url}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            o->help = true;
            return true;
        }
        while (k < sizeof names / sizeof *names && strcmp(argv[i], names[k].name) != 0)
            k++;
        if (k == sizeof names / sizeof *names || ++i == argc) {
            (void)fprintf(stderr, "sluice tap: %s: %s\n", argv[i < argc ? i : i - 1],
                          i < argc ? "no such option" : "what value?");
            return false;
        }
        *names[k].value = argv[i];
    }
    if (o->format != NULL && strcmp(o->format, "json") != 0 && strcmp(o->format, "pretty") != 0) {
        (void)fprintf(stderr, "sluice tap: --format is json or pretty\n");
        return false;
    }
    return true;
}

typedef struct tap {
    sl_loop *loop;
    sl_http_client *http;
    const char *cert; /* The daemon's own, or NULL. */
    bool pretty, failed, ended, interrupted, lost; /* lost: nobody reads our output */
    uint64_t events, skipped;
    unsigned silent_s;
    sl_buffer line, why;
} tap;

/* --- what comes --- */

static bool print_event(tap *t, const char *line, size_t length) {
    sl_buffer text = SL_BUFFER_EMPTY;
    if (t->pretty) {
        watch_indent(line, length, &text);
        line = (const char *)text.bytes;
        length = text.failed ? 0 : text.length;
    }
    bool good = fwrite(line, 1, length, stdout) == length && fputc('\n', stdout) != EOF;
    sl_buffer_fini(&text);
    t->events++;
    return good;
}

/* What isn't an event: {"skipped":N}, {"end":WHY,"events":N,"skipped":N}. */
static void read_note(tap *t, const char *line, size_t length) {
    json_t *note = json_loadb(line, length, 0, NULL);
    const json_t *skipped = json_object_get(note, "skipped"), *end = json_object_get(note, "end");
    if (json_is_integer(skipped))
        t->skipped = (uint64_t)json_integer_value(skipped);
    if (json_is_string(end)) {
        t->ended = true;
        sl_buffer_clear(&t->why);
        sl_buffer_text(&t->why, json_string_value(end));
    }
    json_decref(note);
}

static bool take_line(tap *t, const char *line, size_t length) {
    static const char event[] = "{\"stage\":";
    if (length >= sizeof event - 1 && memcmp(line, event, sizeof event - 1) == 0)
        return print_event(t, line, length);
    if (length != 0)
        read_note(t, line, length);
    return true;
}

static bool on_piece(void *context, const void *bytes, size_t length) {
    tap *t = context;
    t->silent_s = 0;
    sl_buffer_append(&t->line, bytes, length);
    size_t at = 0;
    bool good = !t->line.failed;
    while (good) {
        const uint8_t *end = memchr(t->line.bytes + at, '\n', t->line.length - at);
        if (end == NULL)
            break;
        size_t n = (size_t)(end - t->line.bytes) - at;
        good = take_line(t, (const char *)t->line.bytes + at, n);
        at += n + 1;
    }
    if (at != 0) {
        memmove(t->line.bytes, t->line.bytes + at, t->line.length - at);
        t->line.length -= at;
    }
    good = fflush(stdout) == 0 && good;
    t->lost = !good;
    return good;
}

static void on_done(void *context, const sl_http_outcome *outcome) {
    tap *t = context;
    bool refused = outcome->status == SL_OK && outcome->code != 200;
    if (refused)
        watch_refusal((const char *)outcome->body->bytes, outcome->body->length, &t->why);
    else if (outcome->status != SL_OK && !t->ended && !t->lost)
        sl_buffer_text(&t->why, outcome->error->text);
    else if (!t->ended && !t->lost)
        sl_buffer_text(&t->why, "the daemon cut it off");
    t->failed = refused || !t->ended || strcmp(sl_buffer_cstr(&t->why), "limit") != 0;
    sl_loop_stop(t->loop);
}

/* --- the loop --- */

static void nothing(void *context) { (void)context; }

/* The daemon says something every 30 seconds, be it an empty line. */
static void on_tick(void *context) {
    tap *t = context;
    if (++t->silent_s < SILENCE_S)
        return;
    t->failed = true;
    sl_buffer_text(&t->why, "the daemon isn't heard any more");
    sl_loop_stop(t->loop);
}

static void on_signal(void *context, int number) {
    tap *t = context;
    (void)number;
    t->interrupted = true;
    sl_loop_stop(t->loop);
}

static void question(const options *o, sl_buffer *url) {
    const struct {
        const char *name, *value;
    } asked[] = {{"stage", o->stage}, {"stream", o->stream}, {"where", o->where}, {"limit", o->limit}, {"rate", o->rate}};
    sl_buffer_text(url, "/v1/tap?");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        if (asked[i].value != NULL) {
            sl_buffer_printf(url, "%s=", asked[i].name);
            watch_escape(asked[i].value, url);
            sl_buffer_byte(url, '&');
        }
    url->length--;
}

static sl_status follow(tap *t, const char *url, sl_error *error) {
    const sl_loop_callbacks callbacks = {.turn = nothing, .tick = on_tick, .signal = on_signal, .context = t, .tick_ms = 1000};
    const sl_http_client_options client = {.ca_file = t->cert, .any_name = t->cert != NULL};
    sl_status status = sl_loop_create(&callbacks, &t->loop, error);
    if (status == SL_OK)
        status = sl_http_client_create(sl_loop_uv(t->loop), &client, &t->http, error);
    const sl_http_call_options call = {.method = "GET",
                                       .url = url,
                                       .write = on_piece,
                                       .context = t,
                                       .direct = true,
                                       .stall_timeout_ms = UINT_MAX}; /* See on_tick(). */
    if (status == SL_OK)
        status = sl_http_client_start(t->http, &call, on_done, t, NULL, error);
    if (status == SL_OK)
        sl_loop_run(t->loop);
    sl_http_client_destroy(t->http);
    sl_loop_destroy(t->loop);
    return status;
}

int sl_tap_main(int argc, char **argv) {
    options o = {0};
    if (!parse(argc, argv, &o) || o.help) {
        (void)fputs(usage, o.help ? stdout : stderr);
        return o.help ? 0 : EXIT_USAGE;
    }
    sl_buffer url = SL_BUFFER_EMPTY, cert = SL_BUFFER_EMPTY;
    int code = watch_address(o.url, o.config, &url, &cert);
    if (code != 0) {
        sl_buffer_fini(&url);
        sl_buffer_fini(&cert);
        return code;
    }
    question(&o, &url);
    tap t = {.pretty = o.format != NULL && strcmp(o.format, "pretty") == 0,
             .cert = cert.length != 0 ? sl_buffer_cstr(&cert) : NULL};
    sl_error error = {0};
    sl_status status = follow(&t, sl_buffer_cstr(&url), &error);
    if (status != SL_OK)
        (void)fprintf(stderr, "sluice tap: %s\n", error.text);
    else if (!t.lost)
        (void)fprintf(stderr, "sluice tap: %s: %" PRIu64 " events, %" PRIu64 " skipped\n",
                      t.interrupted ? "interrupted" : sl_buffer_cstr(&t.why), t.events, t.skipped);
    sl_buffer_fini(&url);
    sl_buffer_fini(&cert);
    sl_buffer_fini(&t.line);
    sl_buffer_fini(&t.why);
    return status != SL_OK || (t.failed && !t.interrupted && !t.lost) ? 1 : 0;
}
