/* Tables of streams: which there are, where each one's files or rows go, and whose quota they are counted in. */
#include "claims.h"
#include "state.h"
#include "worker.h"

#include "sluice/checkpoint.h"

#include <stdio.h>

#define S3_SCHEME "s3://"

void table_gauges_end(table *t) {
    sl_metric_set(t->oldest, 0);
    sl_metric_set(t->stalled, 0);
}

void table_destroy(table *t) {
    table_gauges_end(t);
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
    t->rows = engine_metric(e, SL_METRIC_COUNTER, "sluice_sent_events_total",
                            "Events that entries brought to their target.", "table", t->name);
    t->sent_bytes = engine_metric(e, SL_METRIC_COUNTER, "sluice_sent_bytes_total",
                                  "Bytes that entries brought to their target.", "table", t->name);
    t->oldest = engine_metric(e, SL_METRIC_GAUGE, "sluice_oldest_uncommitted_seconds",
                              "Age of the oldest event that has not reached its target.", "table", t->name);
    t->stalled = engine_metric(e, SL_METRIC_GAUGE, "sluice_table_stalled",
                               "1 while the table's target refuses deliveries.", "table", t->name);
    if (sl_table_is_topic(t->kind))
        t->too_large = engine_metric(e, SL_METRIC_COUNTER, "sluice_topic_too_large_total",
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

sl_status tables_add(sl_engine *e, stream *s, uint64_t position, sl_error *error) {
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
