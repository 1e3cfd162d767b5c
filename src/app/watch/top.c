/* `sluice top`: asks `/metrics` and `/v1/state` again and again, and shows what changed in between.
 *
 * A daemon that doesn't answer is asked on; the figures that were there last stay on the page. The terminal is given back as it was
 * whatever ends the program, but a SIGKILL. */
#include "figures.h"
#include "private.h"

#include "sluice/http_client.h"
#include "sluice/loop.h"
#include "sluice/time.h"
#include "sluice/watch.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 50, REPLY_BYTES = 64 << 20 };

static const char usage[] =
    "Usage: sluice top [OPTION]...\n"
    "Show rates, backlogs and resources of a running daemon: q ends, space pauses, s sorts by another column.\n"
    "\n"
    "  --once            print one page after an interval, and end; needs no terminal\n"
    "  --interval D      between two looks, such as 500ms, 1s, 10s [1s]\n"
    "  --sort ORDER      name, rate or backlog [name]\n"
    "  -c, --config FILE the daemon's configuration, for admin.listen [as sluice run]\n"
    "  --url URL         the admin port instead, such as http://127.0.0.1:8081\n"
    "\n"
    "Exit: 0, 1 when with --once the daemon doesn't answer, 64 usage, 78 configuration.\n";

typedef struct options {
    const char *interval, *sort, *config, *url;
    bool once, help;
    int64_t interval_us;
    view_order order;
} options;

static bool take_order(const char *text, view_order *order) {
    for (int i = 0; i < VIEW_ORDERS; i++)
        if (strcmp(text, view_order_names[i]) == 0) {
            *order = (view_order)i;
            return true;
        }
    return false;
}

static bool parse(int argc, char **argv, options *o) {
    const struct {
        const char *name;
        const char **value;
    } names[] = {{"--interval", &o->interval}, {"--sort", &o->sort}, {"--config", &o->config}, {"-c", &o->config}, {"--url", &o->url}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            o->help = true;
            return true;
        }
        if (strcmp(argv[i], "--once") == 0) {
            o->once = true;
            continue;
        }
        while (k < sizeof names / sizeof *names && strcmp(argv[i], names[k].name) != 0)
            k++;
        if (k == sizeof names / sizeof *names || ++i == argc) {
            (void)fprintf(stderr, "sluice top: %s: %s\n", argv[i < argc ? i : i - 1], i < argc ? "no such option" : "what value?");
            return false;
        }
        *names[k].value = argv[i];
    }
    o->interval_us = SL_SECOND_US;
    if (o->interval != NULL && (!sl_duration_parse(o->interval, strlen(o->interval), &o->interval_us) ||
                                o->interval_us < 100000 || o->interval_us > SL_HOUR_US)) {
        (void)fprintf(stderr, "sluice top: --interval is a duration from 100ms to 1h\n");
        return false;
    }
    if (o->sort != NULL && !take_order(o->sort, &o->order)) {
        (void)fprintf(stderr, "sluice top: --sort is name, rate or backlog\n");
        return false;
    }
    return true;
}

/* --- the terminal --- */

typedef struct terminal {
    bool open;
    struct termios before;
} terminal;

static void terminal_say(const char *text) {
    (void)fputs(text, stdout);
    (void)fflush(stdout);
}

static bool terminal_open(terminal *t) {
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &t->before) != 0)
        return false;
    struct termios raw = t->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    t->open = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    if (t->open)
        terminal_say("\033[?1049h\033[?25l"); /* The other screen, no cursor. */
    return t->open;
}

static void terminal_close(terminal *t) {
    if (!t->open)
        return;
    terminal_say("\033[?25h\033[?1049l");
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
    t->open = false;
}

static void terminal_size(unsigned *columns, unsigned *lines) {
    struct winsize size = {0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 && size.ws_row != 0;
    *columns = known ? size.ws_col : 80;
    *lines = known ? size.ws_row : 24;
}

static char terminal_key(void) {
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char key = 0;
    return poll(&in, 1, 0) == 1 && read(STDIN_FILENO, &key, 1) == 1 ? key : 0;
}

/* --- looks --- */

typedef struct top {
    const options *options;
    const char *address;
    sl_buffer metrics_url, state_url;
    sl_loop *loop;
    sl_http_client *http;
    const char *cert; /* The daemon's own, or NULL. */
    terminal terminal;
    sl_buffer metrics; /* Of the look under way. */
    bool asking, paused, restarted, failed;
    figures before, now;
    bool has_before, has_now;
    double asked_s;
    char trouble[sizeof(sl_error)]; /* "": it answers */
    view_order order;
    unsigned columns, lines; /* Of the page that is shown. */
} top;

static double now_s(void) {
    return (double)sl_monotonic_us() / 1e6;
}

static void draw(top *t) {
    sl_buffer page = SL_BUFFER_EMPTY, out = SL_BUFFER_EMPTY;
    if (t->terminal.open)
        terminal_size(&t->columns, &t->lines);
    const view v = {.address = t->address,
                    .before = t->has_before ? &t->before : NULL,
                    .now = t->has_now ? &t->now : NULL,
                    .trouble = t->trouble[0] != 0 ? t->trouble : NULL,
                    .columns = t->terminal.open ? t->columns : 132,
                    .lines = t->terminal.open ? t->lines - 1 : 0,
                    .order = t->order,
                    .paused = t->paused,
                    .restarted = t->restarted,
                    .ansi = t->terminal.open};
    view_print(&v, &page);
    if (t->terminal.open)
        sl_buffer_text(&out, "\033[H");
    for (size_t i = 0; i < page.length; i++) {
        if (t->terminal.open && page.bytes[i] == '\n')
            sl_buffer_text(&out, "\033[K"); /* What an older page had there. */
        sl_buffer_byte(&out, page.bytes[i]);
    }
    if (t->terminal.open)
        sl_buffer_text(&out, "\033[J");
    if (!out.failed && !page.failed)
        (void)fwrite(out.bytes, 1, out.length, stdout);
    (void)fflush(stdout);
    sl_buffer_fini(&page);
    sl_buffer_fini(&out);
}

static void look_ended(top *t) {
    t->asking = false;
    bool enough = t->has_before || t->trouble[0] != 0;
    if (t->options->once && !enough)
        return;
    draw(t);
    t->failed = t->trouble[0] != 0;
    if (t->options->once)
        sl_loop_stop(t->loop);
}

static void look_failed(top *t, const char *why) {
    (void)snprintf(t->trouble, sizeof t->trouble, "%s", why);
    look_ended(t);
}

static void look_done(top *t, const sl_buffer *state) {
    figures f;
    sl_error error = {0};
    if (figures_read((const char *)t->metrics.bytes, t->metrics.length, (const char *)state->bytes, state->length, t->asked_s,
                     &f, &error) != SL_OK) {
        look_failed(t, error.text);
        return;
    }
    t->trouble[0] = 0;
    if (t->has_before)
        figures_fini(&t->before);
    t->before = t->now;
    t->has_before = t->has_now;
    t->now = f;
    t->has_now = true;
    t->restarted = t->has_before && figures_restarted(&t->before, &t->now);
    look_ended(t);
}

/* @return false: that was all, and was said. */
static bool answered(top *t, const sl_http_outcome *outcome) {
    if (outcome->status == SL_OK && outcome->code == 200)
        return true;
    char text[256];
    (void)snprintf(text, sizeof text, "status %u", outcome->code);
    look_failed(t, outcome->status != SL_OK ? outcome->error->text : text);
    return false;
}

static void on_state(void *context, const sl_http_outcome *outcome) {
    if (answered(context, outcome))
        look_done(context, outcome->body);
}

static void ask(top *t, sl_buffer *url, sl_http_done_fn *done) {
    const sl_http_call_options call = {.method = "GET",
                                       .url = sl_buffer_cstr(url),
                                       .direct = true,
                                       .reply_bytes_max = REPLY_BYTES,
                                       .connect_timeout_ms = 5000,
                                       .total_timeout_ms = 10000};
    sl_error error = {0};
    if (sl_http_client_start(t->http, &call, done, t, NULL, &error) != SL_OK)
        look_failed(t, error.text);
}

static void on_metrics(void *context, const sl_http_outcome *outcome) {
    top *t = context;
    if (!answered(t, outcome))
        return;
    sl_buffer_fini(&t->metrics);
    t->metrics = *outcome->body;
    *outcome->body = SL_BUFFER_EMPTY;
    t->asked_s = now_s();
    ask(t, &t->state_url, on_state);
}

static void look(top *t) {
    t->asking = true;
    t->asked_s = now_s();
    ask(t, &t->metrics_url, on_metrics);
}

/* --- the loop --- */

static void take_key(top *t, char key) {
    switch (key) {
    case 'q':
    case 'Q':
        sl_loop_stop(t->loop);
        return;
    case ' ':
        t->paused = !t->paused;
        break;
    case 's':
    case 'S':
        t->order = (view_order)((t->order + 1) % VIEW_ORDERS);
        break;
    default:
        return;
    }
    draw(t);
}

static void on_tick(void *context) {
    top *t = context;
    unsigned columns, lines;
    for (char key; t->terminal.open && (key = terminal_key()) != 0;)
        take_key(t, key);
    terminal_size(&columns, &lines);
    if (t->terminal.open && (columns != t->columns || lines != t->lines))
        draw(t);
    if (!t->asking && !t->paused && now_s() - t->asked_s >= (double)t->options->interval_us / 1e6 - TICK_MS / 2e3)
        look(t);
}

static void on_turn(void *context) { (void)context; }

static void on_signal(void *context, int number) {
    (void)number;
    sl_loop_stop(((top *)context)->loop);
}

static sl_status watch(top *t, sl_error *error) {
    const sl_loop_callbacks callbacks = {.turn = on_turn, .tick = on_tick, .signal = on_signal, .context = t, .tick_ms = TICK_MS};
    const sl_http_client_options client = {.ca_file = t->cert, .any_name = t->cert != NULL};
    sl_status status = sl_loop_create(&callbacks, &t->loop, error);
    if (status == SL_OK)
        status = sl_http_client_create(sl_loop_uv(t->loop), &client, &t->http, error);
    if (status == SL_OK && !t->options->once && !terminal_open(&t->terminal))
        status = sl_error_set(error, SL_EINVAL, "this is no terminal: --once prints one page");
    if (status == SL_OK) {
        look(t);
        sl_loop_run(t->loop);
    }
    terminal_close(&t->terminal);
    sl_http_client_destroy(t->http);
    sl_loop_destroy(t->loop);
    return status;
}

int sl_top_main(int argc, char **argv) {
    options o = {0};
    if (!parse(argc, argv, &o) || o.help) {
        (void)fputs(usage, o.help ? stdout : stderr);
        return o.help ? 0 : EXIT_USAGE;
    }
    sl_buffer address = SL_BUFFER_EMPTY, cert = SL_BUFFER_EMPTY;
    int code = watch_address(o.url, o.config, &address, &cert);
    if (code == 0) {
        top t = {.options = &o, .address = sl_buffer_cstr(&address), .order = o.order, .columns = 80, .lines = 24};
        t.cert = cert.length != 0 ? sl_buffer_cstr(&cert) : NULL;
        sl_buffer_printf(&t.metrics_url, "%s/metrics", t.address);
        sl_buffer_printf(&t.state_url, "%s/v1/state", t.address);
        sl_error error = {0};
        sl_status status = watch(&t, &error);
        if (status != SL_OK)
            (void)fprintf(stderr, "sluice top: %s\n", error.text);
        code = status == SL_EINVAL ? EXIT_USAGE : status != SL_OK || (o.once && t.failed) ? 1 : 0;
        figures_fini(&t.before);
        figures_fini(&t.now);
        sl_buffer_fini(&t.metrics);
        sl_buffer_fini(&t.metrics_url);
        sl_buffer_fini(&t.state_url);
    }
    sl_buffer_fini(&address);
    sl_buffer_fini(&cert);
    return code;
}
