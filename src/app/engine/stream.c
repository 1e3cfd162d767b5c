/* Streams: made from the configuration or as they are named, found for a record, and their sources. */
#include "state.h"

#include "sluice/message.h"
#include "sluice/steps.h"

#include <stdio.h>

uint32_t source_index(sl_engine *e, const char *name, size_t length) {
    for (uint32_t i = 0; i < e->source_count; i++)
        if (strlen(e->sources[i]) == length && memcmp(e->sources[i], name, length) == 0)
            return i;
    char *added = e->source_count < SOURCES_MAX ? sl_strndup(name, length) : NULL;
    if (added == NULL)
        return 0;
    e->sources[e->source_count] = added;
    return e->source_count++;
}

void sources_destroy(sl_engine *e) {
    while (e->source_count != 0)
        sl_free(e->sources[--e->source_count]);
}

/* A schema that knows nothing yet but where to put what it doesn't know. */
static sl_schema *empty_schema(const stream *s) {
    sl_schema *schema = sl_schema_create(s->name);
    if (schema == NULL)
        return NULL;
    schema->inferred = !s->unrouted;
    static const struct {
        const char *name;
        sl_type type;
        sl_origin origin;
    } own[] = {{"_rest", SL_TYPE_JSON, SL_ORIGIN_REST},
               {"processed_at", SL_TYPE_TIMESTAMP, SL_ORIGIN_PROCESSED_AT},
               {"source", SL_TYPE_STRING, SL_ORIGIN_SOURCE}};
    for (size_t i = 0; i < 3; i++) {
        if ((i == 1 && (s->config == NULL || !s->config->processed_at)) ||
            (i == 2 && (s->config == NULL || !s->config->source)))
            continue;
        uint32_t f = sl_schema_add(schema, 0, own[i].name, strlen(own[i].name), own[i].type);
        if (f == SL_NO_FIELD) {
            sl_schema_unref(schema);
            return NULL;
        }
        schema->fields[f].origin = own[i].origin;
        schema->fields[f].nullable = true;
        if (i == 0)
            schema->rest = f;
    }
    return schema;
}

sl_metric *engine_metric(sl_engine *e, sl_metric_kind kind, const char *name, const char *help,
                         const char *label, const char *value) {
    char labels[160];
    (void)snprintf(labels, sizeof labels, "%s=\"%s\"", label, value);
    return sl_metrics_get(e->options.metrics, kind, name, help, labels);
}

/* sluice_step_events_total{stream="clicks",step="2 require",result="refused"} */
static bool step_metrics(sl_engine *e, stream *s) {
    static const char *const results[] = {"passed", "changed", "refused", "failed", "missed"};
    uint32_t count = s->config != NULL ? s->config->step_count : 0;
    if (count == 0)
        return true;
    s->steps = sl_calloc(count, sizeof *s->steps);
    for (uint32_t i = 0; s->steps != NULL && i < count; i++)
        for (uint32_t k = 0; k < STEP_RESULTS; k++) {
            char labels[256];
            (void)snprintf(labels, sizeof labels, "stream=\"%s\",step=\"%u %s\",result=\"%s\"", s->name, i + 1,
                           sl_step_name(s->config->steps[i].kind), results[k]);
            s->steps[i][k] = sl_metrics_get(e->options.metrics, SL_METRIC_COUNTER, "sluice_step_events_total",
                                            "Events that a step let through, changed, refused, couldn't evaluate, or found nothing for.", labels);
        }
    return s->steps != NULL;
}

sl_status stream_add(sl_engine *e, const char *name, const sl_config_stream *config,
                     uint64_t position, stream **out, sl_error *error) {
    if (e->stream_count == sizeof e->streams / sizeof *e->streams)
        return sl_error_set(error, SL_ELIMIT, "more than %zu streams",
                            sizeof e->streams / sizeof *e->streams);
    stream *s = sl_calloc(1, sizeof *s);
    if (s == NULL)
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", name);
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    s->index = e->stream_count;
    s->config = config;
    s->unrouted = strcmp(name, "_unrouted") == 0;
    s->inferred = !s->unrouted && (config == NULL || config->schema == NULL);
    s->next = position;
    s->watermark_us = SL_NO_TIME;
    s->received = engine_metric(e, SL_METRIC_COUNTER, "sluice_received_events_total",
                                "Events decoded, refused ones included.", "stream", name);
    s->bytes = engine_metric(e, SL_METRIC_COUNTER, "sluice_received_bytes_total",
                             "Bytes of records' bodies.", "stream", name);
    s->refused = engine_metric(e, SL_METRIC_COUNTER, "sluice_refused_events_total",
                               "Events of the stream that became dead letters.", "stream", name);
    s->late = engine_metric(e, SL_METRIC_COUNTER, "sluice_late_events_total",
                            "Events behind the watermark by more than a window's lateness.", "stream",
                            name);
    if ((config != NULL && config->dedupe_us != 0) || e->config->ingest.kafka != NULL)
        s->duplicates = engine_metric(e, SL_METRIC_COUNTER, "sluice_duplicate_events_total",
                                      "Events whose id was kept before, within the horizon of dedupe, or whose request came before under the same key.", "stream", name);
    s->last_mark = &s->first_mark;
    s->drift = engine_metric(e, SL_METRIC_COUNTER, "sluice_schema_drift_total",
                             "Values that went to _rest because a frozen column has another type.",
                             "stream", name);
    e->streams[e->stream_count++] = s; /* From here on streams_destroy() frees it. */
    if (!step_metrics(e, s)) {
        e->stream_count--;
        sl_free(s);
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", name);
    }
    uint32_t tables = e->table_count;
    sl_status status = tables_add(e, s, position, error);
    sl_schema *schema = NULL;
    if (status == SL_OK) {
        schema = config != NULL && config->schema != NULL ? sl_schema_ref(config->schema)
                                                          : empty_schema(s);
        if (schema == NULL)
            status = sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", name);
    }
    if (status == SL_OK)
        status = shape_create(e, s, schema, &s->current, error);
    if (status == SL_OK) {
        *out = s;
        return SL_OK;
    }
    /* Half a stream must not stay: it is made anew when its next record comes. */
    while (e->table_count > tables)
        table_destroy(e->tables[--e->table_count]);
    e->stream_count--;
    sl_free(s->steps);
    sl_free(s);
    return status;
}

stream *stream_find(sl_engine *e, const char *name, size_t length) {
    for (uint32_t i = 0; i < e->stream_count; i++)
        if (e->streams[i]->current != NULL && strlen(e->streams[i]->name) == length &&
            memcmp(e->streams[i]->name, name, length) == 0)
            return e->streams[i];
    return NULL;
}

/* The first stream whose `from` takes the source; where a `when` is asked, events are routed one by one instead. */
static stream *stream_taking(sl_engine *e, const char *source) {
    if (strcmp(source, "replay") == 0)
        source = "http"; /* What came without a stream's name came from there. */
    for (uint32_t i = 0; i < e->stream_count; i++)
        if (e->streams[i]->config != NULL && sl_config_takes(e->streams[i]->config, source))
            return e->streams[i];
    return NULL;
}

const sl_config_stream *stream_asked(sl_engine *e, const char *name, size_t length, const char *source) {
    const stream *s = length != 0            ? stream_find(e, name, length)
                      : e->config->embedded ? stream_find(e, "events", 6)
                                             : stream_taking(e, source);
    return s != NULL ? s->config : NULL;
}

stream *stream_route(sl_engine *e, const char *name, size_t length, const char *source, uint64_t position) {
    if (length == 0) {
        if (!e->config->embedded) {
            stream *taking = stream_taking(e, source);
            return taking != NULL ? taking : e->unrouted;
        }
        name = "events";
        length = 6;
    }
    stream *s = stream_find(e, name, length);
    if (s != NULL || !e->config->embedded || length >= sizeof s->name ||
        e->stream_count > STREAMS_MAX)
        return s != NULL ? s : e->unrouted;
    char copy[sizeof s->name];
    memcpy(copy, name, length);
    copy[length] = 0;
    sl_error error;
    sl_status status = stream_add(e, copy, NULL, position, &s, &error);
    if (status != SL_OK) {
        sl_message(SL_LEVEL_ERROR, "engine", "stream can't be made", "stream=%s error=\"%s\"", copy,
                   error.text);
        return status == SL_ENOMEM ? NULL : e->unrouted; /* What passes makes no dead letter. */
    }
    sl_message(SL_LEVEL_INFO, "engine", "new stream", "stream=%s position=%llu", copy,
               (unsigned long long)position);
    return s;
}

void streams_destroy(sl_engine *e) {
    while (e->retired != NULL) {
        table *next = e->retired->next_retired;
        table_gauges_end(e->retired);
        retired_destroy(e->retired);
        e->retired = next;
    }
    for (uint32_t i = 0; i < e->stream_count; i++)
        shape_unref(e->streams[i]->current);
    for (uint32_t i = 0; i < e->table_count; i++)
        table_destroy(e->tables[i]);
    for (uint32_t i = 0; i < e->stream_count; i++) {
        sl_free(e->streams[i]->steps);
        sl_free(e->streams[i]);
    }
}
