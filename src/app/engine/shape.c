/* Streams, their tables, and the immutable shape in which a batch of them is decoded and processed. */
#include "claims.h"
#include "partition.h"
#include "state.h"
#include "worker.h"

#include "sluice/checkpoint.h"
#include "sluice/contract.h"
#include "sluice/message.h"
#include "sluice/steps.h"
#include "sluice/window.h"

#include <stdio.h>

#define S3_SCHEME "s3://"

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

shape *shape_ref(shape *s) {
    /* Relaxed: whoever takes another reference holds one. */
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void shape_unref(shape *s) {
    /* Release our use, acquire all others' before freeing. */
    if (s == NULL || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < s->table_count; i++) {
        sl_window_plan_destroy(s->plans[i]);
        sl_free(s->partition_fields[i]);
    }
    sl_schema_unref(s->schema);
    sl_schema_unref(s->decoded);
    sl_steps_unref(s->steps);
    sl_contract_split_unref(s->split);
    sl_free(s);
}

/* The configured event time, or an inferred stream's obvious one: the first member of the root that is a
 * TIMESTAMP under such a name. */
static uint32_t event_time_field(const stream *s, const sl_schema *schema) {
    if (s->config != NULL && s->config->event_time != NULL)
        return sl_schema_find(schema, s->config->event_time);
    if (!s->inferred)
        return SL_NO_FIELD;
    for (uint32_t f = schema->fields[0].first_child; f != SL_NO_FIELD;
         f = schema->fields[f].next_sibling)
        if (schema->fields[f].type == SL_TYPE_TIMESTAMP &&
            schema->fields[f].origin == SL_ORIGIN_EVENT &&
            sl_schema_time_name(schema->fields[f].name, schema->fields[f].name_length))
            return f;
    return SL_NO_FIELD;
}

static sl_status shape_table(shape *out, const table *t, sl_error *error) {
    const sl_schema *schema = out->schema;
    if (sl_table_has_panes(t->kind)) {
        sl_window_definition definition = *t->window;
        definition.event_time =
            out->event_time != SL_NO_FIELD ? schema->fields[out->event_time].path : NULL;
        return sl_window_plan_create(&definition, schema, &out->plans[t->slot], error);
    }
    if (t->kind != SL_TABLE_LAKE || t->lake->partition_count == 0)
        return SL_OK;
    uint32_t *fields = sl_calloc(t->lake->partition_count, sizeof *fields);
    if (fields == NULL)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", t->name);
    for (uint32_t i = 0; i < t->lake->partition_count; i++) {
        const char *path = t->lake->partition_by[i];
        fields[i] = strcmp(path, "date") == 0   ? PARTITION_DATE
                    : strcmp(path, "hour") == 0 ? PARTITION_HOUR
                                                : sl_schema_find(schema, path);
    }
    out->partition_fields[t->slot] = fields;
    return SL_OK;
}

sl_status shape_create(sl_engine *e, stream *s, sl_schema *schema, shape **out, sl_error *error) {
    (void)e;
    shape *result = sl_calloc(1, sizeof *result);
    if (result == NULL) {
        sl_schema_unref(schema);
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name);
    }
    atomic_init(&result->references, 1);
    result->of = s;
    result->decoded = schema;
    result->schema = sl_schema_ref(schema);
    if (s->config != NULL && s->config->plan != NULL) {
        result->steps = sl_steps_ref(s->config->plan);
        sl_schema_unref(result->decoded);
        sl_schema_unref(result->schema);
        result->decoded = sl_schema_ref(sl_steps_schema(result->steps));
        result->schema = sl_schema_ref(sl_steps_output(result->steps));
    }
    if (s->config != NULL && s->config->contract != NULL &&
        sl_contract_split_create(s->config->contract, result->decoded, &result->split) != SL_OK) {
        shape_unref(result);
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name);
    }
    if (result->split != NULL && sl_contract_split_is_empty(result->split)) {
        sl_contract_split_unref(result->split);
        result->split = NULL;
    }
    result->table_count = s->table_count;
    result->event_time = event_time_field(s, result->schema);
    result->decoded_time = event_time_field(s, result->decoded);
    result->deduped = s->config != NULL && s->config->dedupe_us != 0;
    result->id = s->config != NULL && s->config->warehouse.id != NULL ? sl_schema_find(result->schema, s->config->warehouse.id)
                                                                     : SL_NO_FIELD;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < s->table_count && status == SL_OK; i++)
        status = shape_table(result, s->tables[i], error);
    if (status != SL_OK) {
        shape_unref(result);
        return status;
    }
    *out = result;
    return SL_OK;
}

sl_schema *letters_schema(void) {
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {
        {"stream", SL_TYPE_STRING},   {"stage", SL_TYPE_STRING},
        {"code", SL_TYPE_STRING},     {"path", SL_TYPE_STRING},
        {"message", SL_TYPE_STRING},  {"at", SL_TYPE_INT64},
        {"raw", SL_TYPE_BYTES},       {"partition", SL_TYPE_STRING},
        {"position", SL_TYPE_INT64},  {"index", SL_TYPE_INT64},
        {"schema_version", SL_TYPE_INT64}, {"arrived", SL_TYPE_TIMESTAMP},
        {"source", SL_TYPE_STRING},   {"named", SL_TYPE_STRING},
        {"format", SL_TYPE_STRING},   {"header", SL_TYPE_STRING},
    };
    sl_schema *schema = sl_schema_create("dead_letters");
    for (size_t i = 0; schema != NULL && i < sizeof fields / sizeof *fields; i++) {
        uint32_t f = sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name), fields[i].type);
        if (f == SL_NO_FIELD) {
            sl_schema_unref(schema);
            return NULL;
        }
        schema->fields[f].required = i + 1 < sizeof fields / sizeof *fields; /* JSON has no header. */
        schema->fields[f].nullable = !schema->fields[f].required;
    }
    return schema;
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

static sl_metric *metric(sl_engine *e, sl_metric_kind kind, const char *name, const char *help,
                         const char *label, const char *value) {
    char labels[160];
    (void)snprintf(labels, sizeof labels, "%s=\"%s\"", label, value);
    return sl_metrics_get(e->options.metrics, kind, name, help, labels);
}

/* Another engine may go on without the table: nothing of it waits or fails any more. */
static void gauges_end(table *t) {
    sl_metric_set(t->oldest, 0);
    sl_metric_set(t->stalled, 0);
}

static void table_destroy(table *t) {
    gauges_end(t);
    claims_fini(t);
    if (t->of->config == NULL && t->kind == SL_TABLE_WINDOW) {
        /* The default window's definition is ours; a configured one is the configuration's. */
        sl_window_definition *own;
        memcpy(&own, &t->window, sizeof own);
        sl_free(own);
    }
    sl_free(t->states);
    sl_free(t->name);
    sl_free(t->target);
    sl_free(t);
}

static uint32_t destination_of(sl_engine *e, const table *t) {
    if (sl_table_is_companion(t->kind))
        return DESTINATION_COMPANIONS;
    if (t->kind == SL_TABLE_WINDOW || t->kind == SL_TABLE_ROWS)
        return DESTINATION_WAREHOUSE;
    if (sl_table_is_topic(t->kind))
        return DESTINATION_TOPICS;
    if (!t->remote)
        return DESTINATION_DIRECTORIES;
    const char *bucket = t->target + strlen(S3_SCHEME);
    int length = (int)strcspn(bucket, "/");
    char name[sizeof *e->buckets];
    (void)snprintf(name, sizeof name, "%.*s", length, bucket);
    uint32_t i = DESTINATION_BUCKETS;
    while (i < e->destination_count && strcmp(e->buckets[i], name) != 0)
        i++;
    if (i == DESTINATIONS_MAX)
        return i - 1;
    if (i >= e->destination_count) {
        memcpy(e->buckets[i], name, sizeof name);
        e->destination_count = i + 1;
    }
    return i;
}

static bool is_remote(const sl_engine *e, sl_table_kind kind, const char *target) {
    if (sl_table_is_topic(kind))
        return true;
    return kind == SL_TABLE_WINDOW || kind == SL_TABLE_ROWS
               ? e->config->warehouse.store != SL_STORE_SQLITE
               : strncmp(target, S3_SCHEME, strlen(S3_SCHEME)) == 0;
}

sl_status table_destination(sl_engine *e, table *t, sl_error *error) {
    t->remote = is_remote(e, t->kind, t->target);
    if (t->remote && e->options.target == NULL)
        return sl_error_set(error, SL_EUNSUPPORTED, "%s: nobody here delivers to %s", t->name, t->target);
    t->destination = destination_of(e, t);
    return SL_OK;
}

static sl_status table_add(sl_engine *e, stream *s, sl_table_kind kind, const char *suffix,
                           const char *target, uint64_t position, table **out, sl_error *error) {
    if (s->table_count == COMPANIONS_MAX ||
        e->table_count == sizeof e->tables / sizeof *e->tables)
        return sl_error_set(error, SL_ELIMIT, "stream %s: more than %d tables", s->name,
                            COMPANIONS_MAX);
    table *t = sl_calloc(1, sizeof *t);
    if (t == NULL)
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name);
    sl_buffer name = SL_BUFFER_EMPTY;
    if (kind == SL_TABLE_WINDOW)
        sl_buffer_printf(&name, "%s", suffix);
    else
        sl_buffer_printf(&name, "%s/%s", s->name, suffix);
    t->name = sl_strdup(sl_buffer_cstr(&name));
    bool failed = name.failed;
    sl_buffer_fini(&name);
    t->target = sl_strdup(target);
    t->states = worker_states_create(e->config->workers);
    t->kind = kind;
    t->of = s;
    sl_status status = failed || t->name == NULL || t->target == NULL || t->states == NULL
                           ? sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name)
                           : table_destination(e, t, error);
    if (status != SL_OK) {
        sl_free(t->states);
        sl_free(t->name);
        sl_free(t->target);
        sl_free(t);
        return status;
    }
    t->slot = s->table_count;
    t->index = e->table_count;
    t->first = t->last = t->cursor = t->cut_to = t->skip_below = t->first_skip = position;
    t->watermark_us = SL_NO_TIME;
    t->last_pending = &t->first_pending;
    t->delivered_watermark_us = SL_NO_TIME;
    t->max_age_us = e->config->lake.max_age_us;
    table_metrics(e, t);
    s->tables[s->table_count++] = t;
    e->tables[e->table_count++] = t;
    *out = t;
    return SL_OK;
}

void table_metrics(sl_engine *e, table *t) {
    t->rows = metric(e, SL_METRIC_COUNTER, "sluice_sent_events_total",
                     "Events that entries brought to their target.", "table", t->name);
    t->sent_bytes = metric(e, SL_METRIC_COUNTER, "sluice_sent_bytes_total",
                           "Bytes that entries brought to their target.", "table", t->name);
    t->oldest = metric(e, SL_METRIC_GAUGE, "sluice_oldest_uncommitted_seconds",
                       "Age of the oldest event that has not reached its target.", "table", t->name);
    t->stalled = metric(e, SL_METRIC_GAUGE, "sluice_table_stalled",
                        "1 while the table's target refuses deliveries.", "table", t->name);
    if (sl_table_is_topic(t->kind))
        t->too_large = metric(e, SL_METRIC_COUNTER, "sluice_topic_too_large_total",
                              "Events and final rows beyond topic.max_message, whose messages say only where they lie.", "table", t->name);
}

static sl_status directory_table(sl_engine *e, stream *s, sl_table_kind kind, const char *suffix,
                                 const char *parent, uint64_t position, sl_error *error) {
    sl_buffer target = SL_BUFFER_EMPTY;
    sl_buffer_printf(&target, "%s/%s", parent, s->name);
    const char *path = sl_buffer_cstr(&target);
    table *t;
    sl_status status = target.failed
                           ? sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name)
                           : table_add(e, s, kind, suffix, path, position, &t, error);
    if (status == SL_OK)
        t->lake = &e->config->lake;
    sl_buffer_fini(&target);
    return status;
}

/* Dead letters, late events and the raw zone lie in data_dir; beside a lake in a bucket they are in the bucket, too, below names that
 * readers of the lake pass over. */
static sl_status data_table(sl_engine *e, stream *s, sl_table_kind kind, const char *name,
                            uint64_t position, sl_error *error) {
    const char *lake = s->config == NULL ? e->config->lake.to : s->config->has_lake ? s->config->lake.to : "";
    sl_buffer parent = SL_BUFFER_EMPTY;
    if (strncmp(lake, S3_SCHEME, strlen(S3_SCHEME)) != 0) {
        sl_buffer_printf(&parent, "%s/%s", e->config->data_dir, name);
    } else {
        const char *last = strrchr(lake + strlen(S3_SCHEME), '/');
        bool own = last != NULL && s->config != NULL; /* Its directory, not that of all streams. */
        sl_buffer_printf(&parent, "%.*s/_%s", own ? (int)(last - lake) : (int)strlen(lake), lake, name);
    }
    const char *path = sl_buffer_cstr(&parent);
    sl_status status = parent.failed
                           ? sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name)
                           : directory_table(e, s, kind, name, path, position, error);
    sl_buffer_fini(&parent);
    return status;
}

/* Its files are as old and as large as the lake's. */
static sl_status raw_table(sl_engine *e, stream *s, uint64_t position, sl_error *error) {
    sl_status status = data_table(e, s, SL_TABLE_RAW, "raw", position, error);
    if (status == SL_OK && s->config->has_lake) {
        table *t = s->tables[s->table_count - 1];
        t->lake = &s->config->lake;
        t->max_age_us = s->config->lake.max_age_us;
    }
    return status;
}

/* Closed ones to a topic: a table of its own, with its own states of the same windows. Another topic is another table. */
static sl_status final_table(sl_engine *e, stream *s, const sl_config_window *w, uint64_t position, sl_error *error) {
    sl_buffer suffix = SL_BUFFER_EMPTY;
    sl_buffer_printf(&suffix, "final/%s/%s", w->definition.name, w->topic.to);
    const char *text = sl_buffer_cstr(&suffix);
    table *t;
    sl_status status = suffix.failed ? sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name)
                                     : table_add(e, s, SL_TABLE_FINAL, text, w->topic.to, position, &t, error);
    if (status == SL_OK) {
        t->window = &w->definition;
        t->topic = &w->topic;
        t->max_age_us = e->config->cut_every_us;
    }
    sl_buffer_fini(&suffix);
    return status;
}

static sl_status window_tables(sl_engine *e, stream *s, uint64_t position, sl_error *error) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < e->config->window_count && status == SL_OK; i++) {
        const sl_config_window *w = &e->config->windows[i];
        if (strcmp(w->of, s->name) != 0)
            continue;
        table *t;
        status = table_add(e, s, SL_TABLE_WINDOW, w->definition.name, w->warehouse.name, position,
                           &t, error);
        if (status == SL_OK) {
            t->window = &w->definition;
            t->settings = &w->warehouse;
            t->max_age_us = e->config->cut_every_us;
        }
        if (status == SL_OK && w->topic.to != NULL)
            status = final_table(e, s, w, position, error);
    }
    return status;
}

/* `<stream>_per_minute`: what a stream gets that nobody configured. */
static sl_status default_window(sl_engine *e, stream *s, uint64_t position, sl_error *error) {
    static const sl_measure_definition measures[] = {{"count", "count()"}};
    char name[80];
    (void)snprintf(name, sizeof name, "%s_per_minute", s->name);
    table *t;
    sl_status status = table_add(e, s, SL_TABLE_WINDOW, name, name, position, &t, error);
    if (status != SL_OK)
        return status;
    sl_window_definition *definition = sl_calloc(1, sizeof *definition);
    if (definition == NULL)
        return sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name);
    *definition = (sl_window_definition){.name = t->name,
                                         .width_us = SL_MINUTE_US,
                                         .lateness_us = 10 * SL_MINUTE_US,
                                         .measures = measures,
                                         .measure_count = 1};
    t->window = definition;
    t->max_age_us = e->config->cut_every_us;
    return SL_OK;
}

/* Its name has the topic's: another topic is another table. */
static sl_status topic_table(sl_engine *e, stream *s, sl_table_kind kind, const sl_config_topic *topic, uint64_t position, sl_error *error) {
    if (topic->to == NULL)
        return SL_OK;
    sl_buffer suffix = SL_BUFFER_EMPTY;
    sl_buffer_printf(&suffix, "%s/%s", kind == SL_TABLE_TOPIC ? "topic" : "dead_letters", topic->to);
    const char *text = sl_buffer_cstr(&suffix);
    table *t;
    sl_status status = suffix.failed ? sl_error_set(error, SL_ENOMEM, "stream %s: out of memory", s->name)
                                     : table_add(e, s, kind, text, topic->to, position, &t, error);
    if (status == SL_OK) {
        t->topic = topic;
        t->max_age_us = e->config->cut_every_us;
    }
    sl_buffer_fini(&suffix);
    return status;
}

static sl_status tables_add(sl_engine *e, stream *s, uint64_t position, sl_error *error) {
    sl_status status = data_table(e, s, SL_TABLE_DEAD, "dead_letters", position, error);
    if (s->unrouted || status != SL_OK)
        return status;
    const sl_config_stream *c = s->config;
    if (c == NULL) {
        status = directory_table(e, s, SL_TABLE_LAKE, "lake", e->config->lake.to, position, error);
        return status == SL_OK ? default_window(e, s, position, error) : status;
    }
    table *t;
    if (c->has_lake) {
        status = table_add(e, s, SL_TABLE_LAKE, "lake", c->lake.to, position, &t, error);
        if (status == SL_OK) {
            t->lake = &c->lake;
            t->max_age_us = c->lake.max_age_us;
        }
    }
    if (status == SL_OK && (c->late_limit_us != 0 || c->dedupe_us != 0))
        status = data_table(e, s, SL_TABLE_LATE, "late", position, error);
    if (status == SL_OK && c->raw)
        status = raw_table(e, s, position, error);
    if (status == SL_OK && c->warehouse.name != NULL) {
        status = table_add(e, s, SL_TABLE_ROWS, "rows", c->warehouse.name, position, &t, error);
        if (status == SL_OK) {
            t->settings = &c->warehouse;
            t->max_age_us = e->config->cut_every_us;
        }
    }
    if (status == SL_OK)
        status = topic_table(e, s, SL_TABLE_TOPIC, &c->topic, position, error);
    if (status == SL_OK)
        status = topic_table(e, s, SL_TABLE_DEAD_TOPIC, &c->dead_letters, position, error);
    return status == SL_OK ? window_tables(e, s, position, error) : status;
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
    s->received = metric(e, SL_METRIC_COUNTER, "sluice_received_events_total",
                         "Events decoded, refused ones included.", "stream", name);
    s->bytes = metric(e, SL_METRIC_COUNTER, "sluice_received_bytes_total",
                      "Bytes of records' bodies.", "stream", name);
    s->refused = metric(e, SL_METRIC_COUNTER, "sluice_refused_events_total",
                        "Events of the stream that became dead letters.", "stream", name);
    s->late = metric(e, SL_METRIC_COUNTER, "sluice_late_events_total",
                     "Events behind the watermark by more than a window's lateness.", "stream",
                     name);
    if ((config != NULL && config->dedupe_us != 0) || e->config->ingest.kafka != NULL)
        s->duplicates = metric(e, SL_METRIC_COUNTER, "sluice_duplicate_events_total",
                               "Events whose id was kept before, within the horizon of dedupe, or whose request came before under the same key.", "stream", name);
    s->last_mark = &s->first_mark;
    s->drift = metric(e, SL_METRIC_COUNTER, "sluice_schema_drift_total",
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
        gauges_end(e->retired);
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
