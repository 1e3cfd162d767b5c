#include "figures.h"

#include "exposition.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* --- rows by name --- */

static stream_figures *stream_of(figures *f, const char *name) {
    for (uint32_t i = 0; i < f->stream_count; i++)
        if (strcmp(f->streams[i].name, name) == 0)
            return &f->streams[i];
    if (f->stream_count == FIGURES_ROWS || name[0] == 0 || strlen(name) >= FIGURES_NAME)
        return NULL;
    stream_figures *s = &f->streams[f->stream_count++];
    *s = (stream_figures){.events = NAN, .bytes = NAN, .dead = NAN, .late = NAN, .duplicates = NAN};
    strcpy(s->name, name);
    return s;
}

static table_figures *table_of(figures *f, const char *name) {
    for (uint32_t i = 0; i < f->table_count; i++)
        if (strcmp(f->tables[i].name, name) == 0)
            return &f->tables[i];
    if (f->table_count == FIGURES_ROWS || name[0] == 0 || strlen(name) >= FIGURES_NAME)
        return NULL;
    table_figures *t = &f->tables[f->table_count++];
    *t = (table_figures){.rows = NAN, .bytes = NAN, .backlog_bytes = NAN, .entries = NAN, .oldest_s = NAN};
    strcpy(t->name, name);
    return t;
}

const stream_figures *figures_stream(const figures *f, const char *name) {
    for (uint32_t i = 0; i < f->stream_count; i++)
        if (strcmp(f->streams[i].name, name) == 0)
            return &f->streams[i];
    return NULL;
}

const table_figures *figures_table(const figures *f, const char *name) {
    for (uint32_t i = 0; i < f->table_count; i++)
        if (strcmp(f->tables[i].name, name) == 0)
            return &f->tables[i];
    return NULL;
}

/* --- /metrics --- */

static bool of_stream(figures *f, const exposition_series *s) {
    static const struct {
        const char *name;
        size_t member;
    } members[] = {{"sluice_received_events_total", offsetof(stream_figures, events)},
                   {"sluice_received_bytes_total", offsetof(stream_figures, bytes)},
                   {"sluice_refused_events_total", offsetof(stream_figures, dead)},
                   {"sluice_late_events_total", offsetof(stream_figures, late)},
                   {"sluice_duplicate_events_total", offsetof(stream_figures, duplicates)}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(s->name, members[i].name) == 0) {
            stream_figures *row = stream_of(f, exposition_label(s, "stream"));
            if (row != NULL)
                memcpy((char *)row + members[i].member, &s->value, sizeof s->value);
            return true;
        }
    return false;
}

static bool of_table(figures *f, const exposition_series *s) {
    const char *name = exposition_label(s, "table");
    table_figures *row = name[0] != 0 ? table_of(f, name) : NULL;
    if (row == NULL)
        return name[0] != 0;
    if (strcmp(s->name, "sluice_sent_events_total") == 0)
        row->rows = s->value;
    else if (strcmp(s->name, "sluice_sent_bytes_total") == 0)
        row->bytes = s->value;
    else if (strcmp(s->name, "sluice_oldest_uncommitted_seconds") == 0)
        row->oldest_s = s->value;
    else if (strcmp(s->name, "sluice_table_stalled") == 0)
        row->stalled |= s->value > 0;
    return true;
}

static void take_series(void *context, const exposition_series *s) {
    figures *f = context;
    const struct {
        const char *name, *label, *value;
        double *to;
    } members[] = {{"sluice_requests_total", "", "", &f->requests},
                   {"sluice_accepted_events_total", "", "", &f->accepted},
                   {"sluice_rejected_events_total", "", "", &f->rejected},
                   {"sluice_cpu_seconds_total", "", "", &f->cpu_s},
                   {"sluice_workers", "", "", &f->workers},
                   {"sluice_memory_used_bytes", "", "", &f->memory},
                   {"sluice_memory_limit_bytes", "", "", &f->memory_limit},
                   {"sluice_oldest_uncommitted_seconds", "", "", &f->oldest_s},
                   {"sluice_buffer_byte_size", "buffer", "journal", &f->journal},
                   {"sluice_buffer_byte_size", "buffer", "spool", &f->spool},
                   {"sluice_http_replies_total", "status", "2xx", &f->replies[2]},
                   {"sluice_http_replies_total", "status", "3xx", &f->replies[3]},
                   {"sluice_http_replies_total", "status", "4xx", &f->replies[4]},
                   {"sluice_http_replies_total", "status", "5xx", &f->replies[5]}};
    if (of_stream(f, s) || of_table(f, s))
        return;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(s->name, members[i].name) == 0 && strcmp(exposition_label(s, members[i].label), members[i].value) == 0)
            *members[i].to = s->value;
}

/* --- /v1/state --- */

static double number(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void take_state(figures *f, const json_t *state) {
    size_t i, k;
    const json_t *stream, *table;
    double end = number(json_object_get(state, "journal"), "end");
    f->ready = json_is_true(json_object_get(state, "ready"));
    f->backlog_bytes = end - number(state, "position");
    json_array_foreach(json_object_get(state, "streams"), i, stream) {
        const char *name = json_string_value(json_object_get(stream, "name"));
        const char *watermark = json_string_value(json_object_get(stream, "watermark"));
        stream_figures *s = name != NULL ? stream_of(f, name) : NULL;
        if (s != NULL && watermark != NULL)
            (void)snprintf(s->watermark, sizeof s->watermark, "%s", watermark);
        json_array_foreach(json_object_get(stream, "tables"), k, table) {
            name = json_string_value(json_object_get(table, "name"));
            table_figures *t = name != NULL ? table_of(f, name) : NULL;
            if (t == NULL)
                continue;
            double backlog = end - number(table, "cursor");
            t->backlog_bytes = backlog < 0 ? 0 : backlog;
            t->entries = number(table, "undelivered");
            t->stalled |= json_is_true(json_object_get(table, "stalled"));
        }
    }
}

/* The stream of what no stream takes is of interest once it has something. */
static void leave_out_unrouted(figures *f) {
    static const char name[] = "_unrouted";
    const stream_figures *s = figures_stream(f, name);
    if (s == NULL || s->events > 0)
        return;
    size_t left = 0;
    for (size_t i = 0; i < f->stream_count; i++)
        if (&f->streams[i] != s)
            f->streams[left++] = f->streams[i];
    f->stream_count = (uint32_t)left;
    left = 0;
    for (size_t i = 0; i < f->table_count; i++)
        if (strncmp(f->tables[i].name, "_unrouted/", 10) != 0)
            f->tables[left++] = f->tables[i];
    f->table_count = (uint32_t)left;
}

sl_status figures_read(const char *metrics, size_t metrics_length, const char *state, size_t state_length, double at_s,
                       figures *out, sl_error *error) {
    *out = (figures){.at_s = at_s, .requests = NAN, .accepted = NAN, .rejected = NAN, .cpu_s = NAN, .workers = NAN,
                     .memory = NAN, .memory_limit = NAN, .journal = NAN, .spool = NAN, .oldest_s = NAN,
                     .backlog_bytes = NAN, .replies = {NAN, NAN, NAN, NAN, NAN, NAN}};
    json_t *parsed = json_loadb(state, state_length, 0, NULL);
    if (!json_is_object(parsed)) {
        json_decref(parsed);
        return sl_error_set(error, SL_ESYNTAX, "/v1/state isn't a daemon's");
    }
    out->streams = sl_calloc(FIGURES_ROWS, sizeof *out->streams);
    out->tables = sl_calloc(FIGURES_ROWS, sizeof *out->tables);
    sl_status status = out->streams == NULL || out->tables == NULL ? sl_error_set(error, SL_ENOMEM, "out of memory") : SL_OK;
    if (status == SL_OK) {
        (void)exposition_read(metrics, metrics_length, take_series, out);
        take_state(out, parsed);
        leave_out_unrouted(out);
    }
    json_decref(parsed);
    if (status == SL_OK && isnan(out->accepted))
        status = sl_error_set(error, SL_ESYNTAX, "/metrics isn't a daemon's");
    if (status != SL_OK)
        figures_fini(out);
    return status;
}

void figures_fini(figures *f) {
    sl_free(f->streams);
    sl_free(f->tables);
    *f = (figures){0};
}

double figures_rate(double before, double now, double seconds) {
    return now >= before && seconds > 0 ? (now - before) / seconds : NAN;
}

bool figures_restarted(const figures *before, const figures *now) {
    return now->cpu_s < before->cpu_s || now->requests < before->requests || now->accepted < before->accepted;
}
