/* The page of `sluice top`: text in columns, from two moments' figures. */
#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *const view_order_names[VIEW_ORDERS] = {"name", "rate", "backlog"};

void view_number(double value, char out[16]) {
    static const char units[] = " kMGTP";
    size_t unit = 0;
    if (!isfinite(value)) {
        (void)snprintf(out, 16, "-");
        return;
    }
    while (fabs(value) >= 999.5 && units[unit + 1] != 0) {
        value /= 1000;
        unit++;
    }
    bool whole = unit == 0 && fabs(value - round(value)) < 0.05;
    (void)snprintf(out, 16, "%.*f%.1s", whole || fabs(value) >= 99.95 ? 0 : 1, value, unit != 0 ? &units[unit] : "");
}

void view_bytes(double value, char out[16]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    if (!isfinite(value)) {
        (void)snprintf(out, 16, "-");
        return;
    }
    while (fabs(value) >= 1023.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, 16, "%.*f %s", unit == 0 || fabs(value) >= 99.95 ? 0 : 1, value, units[unit]);
}

static void view_seconds(double value, char out[16]) {
    if (!isfinite(value))
        (void)snprintf(out, 16, "-");
    else if (value < 99.95)
        (void)snprintf(out, 16, "%.1f s", value);
    else if (value < 5940)
        (void)snprintf(out, 16, "%.0f min", value / 60);
    else
        (void)snprintf(out, 16, "%.1f h", value / 3600);
}

/* --- lines --- */

typedef struct page {
    const view *view;
    sl_buffer *out;
    unsigned lines;
} page;

static bool full(const page *p) { return p->view->lines != 0 && p->lines >= p->view->lines; }

/* Names come from others: nothing of them may steer the terminal, and a character isn't cut in two. */
static size_t visible(char *text, size_t length, unsigned columns) {
    size_t n = 0;
    unsigned width = 0;
    for (; n < length; n++) {
        if ((uint8_t)text[n] < 32 || text[n] == 127)
            text[n] = '?';
        if (((uint8_t)text[n] & 0xC0) != 0x80 && width++ == columns)
            break;
    }
    return n;
}

static void put_line(page *p, const char *style, char *text, size_t length) {
    if (full(p))
        return;
    p->lines++;
    bool styled = p->view->ansi && style[0] != 0;
    if (styled)
        sl_buffer_text(p->out, style);
    sl_buffer_append(p->out, text, visible(text, length, p->view->columns));
    if (styled)
        sl_buffer_text(p->out, "\033[0m");
    sl_buffer_byte(p->out, '\n');
}

static void line(page *p, const char *style, const char *format, ...) SL_PRINTF(3, 4);
static void line(page *p, const char *style, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    put_line(p, style, text, length);
}

static const char bold[] = "\033[1m", dim[] = "\033[2m", alarm[] = "\033[1;31m";

/* --- the head --- */

static double seconds_of(const view *v) { return v->before != NULL ? v->now->at_s - v->before->at_s : 0; }

static double rate(const view *v, double before, double now) {
    return v->restarted ? NAN : figures_rate(before, now, seconds_of(v));
}

static void print_head(page *p) {
    const view *v = p->view;
    const figures *now = v->now, *before = v->before != NULL ? v->before : now;
    char a[16], b[16], c[16], d[16], e[16];
    line(p, v->trouble != NULL ? alarm : bold, "sluice %s%s%s%s", v->address,
         v->trouble != NULL ? "  away: " : v->paused ? "  paused" : v->restarted ? "  restarted" : now == NULL || now->ready ? "" : "  not ready",
         v->trouble != NULL ? v->trouble : "", v->trouble != NULL ? " (tried again)" : "");
    if (now == NULL)
        return;
    view_number(rate(v, before->requests, now->requests), a);
    view_number(rate(v, before->accepted, now->accepted), b);
    view_number(rate(v, before->rejected, now->rejected), c);
    line(p, "", "in       %6s requests/s  %6s events/s  %6s refused/s", a, b, c);
    view_number(rate(v, before->replies[2], now->replies[2]), a);
    view_number(rate(v, before->replies[4], now->replies[4]), b);
    view_number(rate(v, before->replies[5], now->replies[5]), c);
    line(p, "", "replies  %6s 2xx/s  %6s 4xx/s  %6s 5xx/s", a, b, c);
    double cpu = rate(v, before->cpu_s, now->cpu_s);
    view_number(now->workers, a);
    view_bytes(now->memory, b);
    view_bytes(now->memory_limit, c);
    if (isfinite(cpu))
        (void)snprintf(d, sizeof d, "%.2f", cpu);
    else
        (void)snprintf(d, sizeof d, "-");
    line(p, "", "cpu      %6s cores, %s worker%s   memory %s of %s", d, a, now->workers == 1 ? "" : "s", b, c);
    view_bytes(now->journal, a);
    view_bytes(now->spool, b);
    view_bytes(now->backlog_bytes, c);
    view_seconds(now->oldest_s, e);
    line(p, "", "disk     journal %s, spool %s   not yet in the pipeline %s   oldest undelivered %s", a, b, c, e);
}

/* --- the tables --- */

typedef struct row {
    const char *name;
    double rate, backlog;
    uint32_t index;
} row;

static int descending(double a, double b) {
    double x = isfinite(a) ? a : -1, y = isfinite(b) ? b : -1;
    return x < y ? 1 : x > y ? -1 : 0;
}

static int by_name(const void *a, const void *b) { return strcmp(((const row *)a)->name, ((const row *)b)->name); }
static int by_rate(const void *a, const void *b) {
    int order = descending(((const row *)a)->rate, ((const row *)b)->rate);
    return order != 0 ? order : by_name(a, b);
}
static int by_backlog(const void *a, const void *b) {
    int order = descending(((const row *)a)->backlog, ((const row *)b)->backlog);
    return order != 0 ? order : by_rate(a, b);
}

static void sort(const view *v, row *rows, uint32_t count) {
    static int (*const orders[VIEW_ORDERS])(const void *, const void *) = {by_name, by_rate, by_backlog};
    qsort(rows, count, sizeof *rows, orders[v->order]);
}

/* What the other columns of streams leave, those of tables being narrower. */
static int name_width(const view *v) {
    int width = (int)v->columns - 71;
    return width < 16 ? 16 : width > 48 ? 48 : width;
}

static void print_streams(page *p, row *rows) {
    const view *v = p->view;
    int width = name_width(v);
    for (uint32_t i = 0; i < v->now->stream_count; i++) {
        const stream_figures *s = &v->now->streams[i], *old = v->before != NULL ? figures_stream(v->before, s->name) : NULL;
        rows[i] = (row){s->name, rate(v, old != NULL ? old->events : NAN, s->events), 0, i};
    }
    sort(v, rows, v->now->stream_count);
    line(p, "", "%s", "");
    line(p, bold, "%-*s %8s %12s %8s %8s %8s  %s", width, "STREAM", "EVENTS/S", "BYTES/S", "DEAD/S", "LATE/S", "DUPL/S", "WATERMARK");
    for (uint32_t i = 0; i < v->now->stream_count; i++) {
        const stream_figures *s = &v->now->streams[rows[i].index], none = {.bytes = NAN, .dead = NAN, .late = NAN, .duplicates = NAN};
        const stream_figures *old = v->before != NULL ? figures_stream(v->before, s->name) : NULL;
        old = old != NULL ? old : &none;
        char a[16], b[16], c[16], d[16], e[16];
        view_number(rows[i].rate, a);
        view_bytes(rate(v, old->bytes, s->bytes), b);
        view_number(rate(v, old->dead, s->dead), c);
        view_number(rate(v, old->late, s->late), d);
        view_number(rate(v, old->duplicates, s->duplicates), e);
        line(p, "", "%-*.*s %8s %12s %8s %8s %8s  %s", width, width, s->name, a, b, c, d, e, s->watermark);
    }
}

static void print_tables(page *p, row *rows) {
    const view *v = p->view;
    int width = name_width(v);
    for (uint32_t i = 0; i < v->now->table_count; i++) {
        const table_figures *t = &v->now->tables[i], *old = v->before != NULL ? figures_table(v->before, t->name) : NULL;
        rows[i] = (row){t->name, rate(v, old != NULL ? old->rows : NAN, t->rows), t->backlog_bytes, i};
    }
    sort(v, rows, v->now->table_count);
    line(p, "", "%s", "");
    line(p, bold, "%-*s %8s %12s %12s %8s %8s  %s", width, "TABLE", "ROWS/S", "BYTES/S", "BACKLOG", "ENTRIES", "OLDEST", "STATE");
    for (uint32_t i = 0; i < v->now->table_count; i++) {
        const table_figures *t = &v->now->tables[rows[i].index], *old = v->before != NULL ? figures_table(v->before, t->name) : NULL;
        char a[16], b[16], c[16], d[16], e[16];
        view_number(rows[i].rate, a);
        view_bytes(rate(v, old != NULL ? old->bytes : NAN, t->bytes), b);
        view_bytes(t->backlog_bytes, c);
        view_number(t->entries, d);
        view_seconds(t->oldest_s, e);
        line(p, t->stalled ? alarm : "", "%-*.*s %8s %12s %12s %8s %8s  %s", width, width, t->name, a, b, c, d, e, t->stalled ? "stalled" : "");
    }
}

void view_print(const view *v, sl_buffer *out) {
    page p = {.view = v, .out = out};
    print_head(&p);
    row *rows = v->now != NULL ? sl_calloc(FIGURES_ROWS, sizeof *rows) : NULL;
    if (rows != NULL) {
        print_streams(&p, rows);
        print_tables(&p, rows);
    }
    sl_free(rows);
    if (v->lines != 0 && p.lines + 1 < v->lines) {
        line(&p, "", "%s", "");
        line(&p, dim, "q quit   space pause   s sort by %s", view_order_names[(v->order + 1) % VIEW_ORDERS]);
    }
}
