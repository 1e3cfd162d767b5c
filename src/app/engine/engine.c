/* Opening, recovering, polling and stopping: what holds the engine's parts together. */
#include "claims.h"
#include "cuts.h"
#include "data.h"
#include "dedupe.h"
#include "records.h"
#include "replays.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"
#include "storage.h"
#include "worker.h"

#include "sluice/checkpoint.h"
#include "sluice/journal.h"
#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { STOP_LIMIT_S = 10, SCHEDULE_EVERY_US = 5000 };

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "engine: out of memory");
}

/* --- recovery --- */

typedef struct stored_table {
    struct stored_table *next;
    int64_t id;
    char *name, *stream, *target;
    uint64_t first, last, cursor, sequence;
    int64_t watermark_us;
    sl_table_kind kind;
    table *match;
    bool returned; /* It was not configured at the last start. */
    bool kept;     /* It can't be delivered: its files stay. */
} stored_table;

typedef struct recovery {
    sl_engine *engine;
    stored_table *tables, **last;
    uint64_t highest;
    sl_error *error;
    char **spool;
    uint32_t spool_count, spool_capacity;
} recovery;

static sl_status note_table(void *context, const sl_ledger_table *t) {
    recovery *r = context;
    stored_table *s = sl_calloc(1, sizeof *s);
    if (s == NULL)
        return SL_ENOMEM;
    *r->last = s;
    r->last = &s->next;
    s->id = t->id;
    s->name = sl_strdup(t->name);
    s->stream = sl_strdup(t->stream);
    sl_buffer target = SL_BUFFER_EMPTY;
    sl_ledger_place_resolve(r->engine->config->data_dir, t->target, &target);
    s->target = sl_strdup(sl_buffer_cstr(&target));
    bool failed = target.failed;
    sl_buffer_fini(&target);
    s->first = t->first;
    s->last = t->last;
    s->cursor = t->cursor;
    s->sequence = t->sequence;
    s->watermark_us = t->watermark_us;
    s->kind = t->kind;
    if (t->cursor > r->highest)
        r->highest = t->cursor;
    return !failed && s->name != NULL && s->stream != NULL && s->target != NULL ? SL_OK : SL_ENOMEM;
}

static void recovery_fini(recovery *r) {
    while (r->tables != NULL) {
        stored_table *next = r->tables->next;
        sl_free(r->tables->name);
        sl_free(r->tables->stream);
        sl_free(r->tables->target);
        sl_free(r->tables);
        r->tables = next;
    }
    for (uint32_t i = 0; i < r->spool_count; i++)
        sl_free(r->spool[i]);
    sl_free(r->spool);
}

static sl_status number_of(sl_engine *e, const char *name, uint64_t missing, uint64_t *out,
                           sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_status status = sl_ledger_get(e->storage.ledger, name, &text, error);
    *out = text.length != 0 ? strtoull(sl_buffer_cstr(&text), NULL, 10) : missing;
    if (status == SL_OK && text.failed)
        status = no_memory(error);
    sl_buffer_fini(&text);
    return status;
}

static sl_status open_journal(sl_engine *e, uint64_t highest, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%s/journal", e->config->data_dir);
    const sl_journal_options options = {.quota_bytes = e->config->journal.quota,
                                        .segment_bytes = e->config->journal.segment_size,
                                        .sync = e->config->journal.fsync};
    sl_journal_recovery found = {0};
    const char *path = sl_buffer_cstr(&text);
    sl_status status = text.failed ? no_memory(error)
                                   : sl_journal_open(e->files, path, &options, highest, &e->journal,
                                                     &found, error);
    sl_buffer_clear(&text);
    if (status == SL_OK) {
        (void)snprintf(e->uuid, sizeof e->uuid, "%s", sl_journal_identity(e->journal));
        status = sl_ledger_get(e->storage.ledger, "journal", &text, error);
    }
    const char *stored = sl_buffer_cstr(&text);
    if (status == SL_OK && text.failed)
        status = no_memory(error);
    else if (status == SL_OK && text.length != 0 && strcmp(stored, e->uuid) != 0)
        status = sl_error_set(error, SL_ECONFLICT,
                              "%s/journal is not the journal that ledger.db belongs to (%s, not %s);"
                              " put the right one back, or start with an empty data_dir",
                              e->config->data_dir, e->uuid, (const char *)text.bytes);
    else if (status == SL_OK && text.length == 0)
        status = sl_ledger_set(e->storage.ledger, "journal", e->uuid, error);
    sl_buffer_clear(&text);
    sl_buffer_printf(&text, "journal:%s", e->uuid);
    e->partition = sl_strdup(sl_buffer_cstr(&text));
    if (status == SL_OK && (text.failed || e->partition == NULL))
        status = no_memory(error);
    sl_buffer_fini(&text);
    if (status == SL_OK && found.groups_cut != 0)
        sl_message(SL_LEVEL_WARN, "journal", "torn tail cut", "groups=%" PRIu64 " bytes=%" PRIu64,
                   found.groups_cut, found.bytes_cut);
    return status;
}

static sl_status make_streams(sl_engine *e, recovery *r, sl_error *error) {
    uint64_t end = sl_journal_end(e->journal);
    stream *s;
    sl_status status = stream_add(e, "_unrouted", NULL, end, &e->unrouted, error);
    for (uint32_t i = 0; i < e->config->stream_count && status == SL_OK; i++)
        status = stream_add(e, e->config->streams[i].name, &e->config->streams[i], end, &s, error);
    if (!e->config->embedded)
        return status;
    for (stored_table *t = r->tables; t != NULL && status == SL_OK; t = t->next)
        if (stream_find(e, t->stream, strlen(t->stream)) == NULL)
            status = stream_add(e, t->stream, NULL, end, &s, error);
    return status;
}

static sl_status load_schema(void *context, const char *name, uint32_t version, const char *json,
                             size_t length) {
    recovery *r = context;
    sl_engine *e = r->engine;
    stream *s = stream_find(e, name, strlen(name));
    if (s == NULL || !s->inferred)
        return SL_OK;
    sl_schema *schema;
    sl_status status = sl_schema_load(json, length, &schema, r->error);
    shape *next;
    if (status == SL_OK)
        status = shape_create(e, s, schema, &next, r->error);
    if (status != SL_OK)
        return status;
    shape_unref(s->current);
    s->current = next;
    s->stored_version = version;
    return SL_OK;
}

static void match_tables(sl_engine *e, recovery *r) {
    for (uint32_t i = 0; i < e->table_count; i++) {
        table *t = e->tables[i];
        for (stored_table *s = r->tables; s != NULL; s = s->next)
            if (strcmp(s->name, t->name) == 0 && s->kind == t->kind) {
                s->match = t;
                t->id = s->id;
                t->first = s->first;
                t->last = s->last;
                t->sequence = s->sequence;
                t->watermark_us = s->watermark_us;
                t->cursor = t->cut_to = t->skip_below = t->first_skip = s->cursor;
                t->cursor_watermark_us = s->watermark_us;
            }
    }
    for (stored_table *s = r->tables; s != NULL; s = s->next)
        if (s->match == NULL)
            sl_message(SL_LEVEL_WARN, "engine", "table is no longer configured", "table=%s", s->name);
}

/* What a window's stored states mean: another definition can't merge with them. */
static void definition_text(const sl_window_definition *d, sl_buffer *out) {
    sl_buffer_printf(out, "every %" PRId64 " offset %" PRId64 " by", d->width_us, d->offset_us);
    for (uint32_t i = 0; i < d->by_count; i++)
        sl_buffer_printf(out, " %s", d->by[i]);
    for (uint32_t i = 0; i < d->measure_count; i++)
        sl_buffer_printf(out, "; %s: %s", d->measures[i].name, d->measures[i].text);
}

static sl_status check_definition(sl_engine *e, const table *t, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY, text = SL_BUFFER_EMPTY, stored = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "window:%s", t->name);
    definition_text(t->window, &text);
    const char *now = sl_buffer_cstr(&text), *key = sl_buffer_cstr(&name);
    sl_status status = text.failed || name.failed
                           ? no_memory(error)
                           : sl_ledger_get(e->storage.ledger, key, &stored, error);
    const char *before = sl_buffer_cstr(&stored);
    if (status == SL_OK && stored.failed)
        status = no_memory(error);
    else if (status == SL_OK && stored.length == 0)
        status = sl_ledger_set(e->storage.ledger, key, now, error);
    else if (status == SL_OK && strcmp(before, now) != 0)
        status = sl_error_set(error, SL_ECONFLICT,
                              "window %s was defined otherwise when its rows were made (%s); give the"
                              " changed window a name and a warehouse table of its own",
                              t->name, before);
    sl_buffer_fini(&name);
    sl_buffer_fini(&text);
    sl_buffer_fini(&stored);
    return status;
}

/* Was it out of the configuration? If so it isn't any more. */
static sl_status check_returned(sl_engine *e, stored_table *s, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY, mark = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "removed:%s", s->name);
    const char *key = sl_buffer_cstr(&name);
    sl_status status = name.failed ? no_memory(error)
                                   : sl_ledger_get(e->storage.ledger, key, &mark, error);
    s->returned = mark.length != 0 && mark.bytes[0] == '1';
    if (status == SL_OK && s->returned != (s->match == NULL))
        status = sl_ledger_set(e->storage.ledger, key, s->match == NULL ? "1" : "0", error);
    sl_buffer_fini(&name);
    sl_buffer_fini(&mark);
    return status;
}

static sl_status check_tables(sl_engine *e, recovery *r, sl_error *error) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < e->table_count && status == SL_OK; i++)
        if (e->tables[i]->kind == SL_TABLE_WINDOW)
            status = check_definition(e, e->tables[i], error);
    uint64_t begin = sl_journal_begin(e->journal);
    for (stored_table *s = r->tables; s != NULL && status == SL_OK; s = s->next) {
        status = check_returned(e, s, error);
        if (status == SL_OK && s->match != NULL && !s->returned && s->cursor < begin)
            status = sl_error_set(error, SL_ECONFLICT,
                                  "%s stands at %" PRIu64 ", but the journal begins at %" PRIu64
                                  ": segments are missing; put them back",
                                  s->name, s->cursor, begin);
    }
    return status;
}

static sl_status conflicting_routes(const stored_table *a, const stored_table *b, sl_error *error) {
    return sl_error_set(error, SL_ECONFLICT,
                        "streams: other conditions (`when`) than before, while %s stands at %" PRIu64 " and %s at %" PRIu64
                        ": what lies between would change its stream, and be stored twice or not at all. Start with the "
                        "configuration as it was, POST /v1/flush, and change it then",
                        a->name, a->cursor, b->name, b->cursor);
}

/* An event that changes its stream must not do so between two tables' cursors. */
static sl_status check_routes(sl_engine *e, const recovery *r, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY, stored = SL_BUFFER_EMPTY;
    router_text(e->router, &text);
    sl_status status = sl_ledger_get(e->storage.ledger, "routes", &stored, error);
    const char *now = sl_buffer_cstr(&text);
    if (status == SL_OK && (text.failed || stored.failed))
        status = no_memory(error);
    if (status == SL_OK && strcmp(now, sl_buffer_cstr(&stored)) != 0) {
        const stored_table *first = NULL;
        for (const stored_table *s = r->tables; s != NULL && status == SL_OK; s = s->next) {
            if (s->returned)
                continue;
            if (first != NULL && s->cursor != first->cursor)
                status = conflicting_routes(first, s, error);
            first = s;
        }
        if (status == SL_OK)
            status = sl_ledger_set(e->storage.ledger, "routes", now, error);
    }
    sl_buffer_fini(&text);
    sl_buffer_fini(&stored);
    return status;
}

/* Files may go elsewhere from now on: audit looks for the older ones where they went. */
static sl_status note_targets(sl_engine *e, const recovery *r, sl_error *error) {
    sl_status status = SL_OK;
    for (const stored_table *s = r->tables; s != NULL && status == SL_OK; s = s->next) {
        if (s->match == NULL || s->kind == SL_TABLE_ROWS || s->kind == SL_TABLE_WINDOW || sl_table_is_topic(s->kind))
            continue;
        sl_buffer place = SL_BUFFER_EMPTY;
        sl_ledger_place(e->config->data_dir, s->match->target, &place);
        const char *text = sl_buffer_cstr(&place);
        status = place.failed ? no_memory(error)
                              : sl_ledger_table_target(e->storage.ledger, s->id, text, error);
        sl_buffer_fini(&place);
    }
    return status;
}

/* Where a table of the stream begins that has no place of its own: with the slowest of those that were there before;
 * for a new stream, where records stopped being without one. */
static uint64_t common_start(const sl_engine *e, const recovery *r, const stream *of, int64_t *watermark_us) {
    const stored_table *slowest = NULL;
    for (const stored_table *s = r->tables; s != NULL; s = s->next)
        if (s->match != NULL && !s->returned && s->match->of == of &&
            (slowest == NULL || s->cursor < slowest->cursor))
            slowest = s;
    if (slowest != NULL) {
        *watermark_us = slowest->watermark_us;
        return slowest->cursor;
    }
    *watermark_us = SL_NO_TIME;
    return of != e->unrouted ? common_start(e, r, e->unrouted, &(int64_t){0}) : sl_journal_end(e->journal);
}

/* A new table begins where its stream stands. So does one that was taken out and comes back: it didn't hold the
 * journal, and what of it is still there must not depend on when that was trimmed. */
static void begin_tables(sl_engine *e, const recovery *r) {
    for (uint32_t i = 0; i < e->table_count; i++) {
        table *t = e->tables[i];
        const stored_table *stored = r->tables;
        while (stored != NULL && stored->match != t)
            stored = stored->next;
        if (stored != NULL && !stored->returned)
            continue;
        int64_t watermark;
        uint64_t start = common_start(e, r, t->of, &watermark);
        if (stored == NULL)
            t->first = t->last = start;
        else if (start > stored->cursor)
            sl_message(SL_LEVEL_WARN, "engine", "table is back, it leaves out what came meanwhile",
                       "table=%s from=%" PRIu64 " to=%" PRIu64, t->name, stored->cursor, start);
        if (stored != NULL && start <= stored->cursor)
            continue;
        t->cursor = t->cut_to = t->skip_below = t->first_skip = start;
        t->watermark_us = t->cursor_watermark_us = watermark;
    }
}

static sl_status register_configured(sl_engine *e, sl_error *error) {
    sl_status status = storage_register(&e->storage, e->tables, e->table_count, error);
    for (uint32_t i = 0; i < e->table_count; i++)
        e->tables[i]->fresh = false; /* A failure here ends the start. */
    if (status == SL_OK)
        status = retired_prepare(e, error);
    char text[24];
    (void)snprintf(text, sizeof text, "%u", e->generation);
    return status == SL_OK ? sl_ledger_set(e->storage.ledger, "generation", text, error) : status;
}

/* The configuration meets what the ledger has. Nothing stays of one that doesn't fit. */
static sl_status enter_configuration(sl_engine *e, recovery *r, sl_error *error) {
    sl_status status = sl_ledger_begin(e->storage.ledger, error);
    if (status != SL_OK)
        return status;
    match_tables(e, r);
    status = check_tables(e, r, error);
    if (status == SL_OK)
        status = check_routes(e, r, error);
    if (status == SL_OK) {
        begin_tables(e, r);
        status = note_targets(e, r, error);
    }
    if (status == SL_OK)
        status = register_configured(e, error);
    if (status == SL_OK)
        return sl_ledger_commit(e->storage.ledger, error);
    sl_ledger_rollback(e->storage.ledger);
    return status;
}

static bool note_spool(recovery *r, const char *name) {
    if (r->spool_count == r->spool_capacity) {
        uint32_t capacity = r->spool_capacity ? 2 * r->spool_capacity : 64;
        char **spool = sl_realloc(r->spool, capacity * sizeof *spool);
        if (spool == NULL)
            return false;
        r->spool = spool;
        r->spool_capacity = capacity;
    }
    if ((r->spool[r->spool_count] = sl_strdup(name)) == NULL)
        return false;
    r->spool_count++;
    return true;
}

static bool copy_files(recovery *r, const sl_entry *entry, sl_entry *copy) {
    *copy = *entry;
    copy->file_count = 0;
    copy->ranges = NULL;
    if (entry->ranges != NULL && (copy->ranges = sl_strdup(entry->ranges)) == NULL) {
        copy->files = NULL;
        return false;
    }
    copy->files = sl_calloc(entry->file_count + 1, sizeof *copy->files);
    for (uint32_t i = 0; i < entry->file_count && copy->files != NULL; i++) {
        sl_entry_file *f = &copy->files[copy->file_count++];
        *f = entry->files[i];
        f->spool = sl_strdup(entry->files[i].spool);
        f->key = sl_strdup(entry->files[i].key);
        if (f->spool == NULL || f->key == NULL || !note_spool(r, f->spool))
            return false;
    }
    return copy->files != NULL;
}

/* A table that isn't configured any more gets a place to be delivered from; not having one is no reason not to start. */
static sl_status retire(sl_engine *e, recovery *r, int64_t id, table **out) {
    stored_table *s = r->tables;
    while (s != NULL && s->id != id)
        s = s->next;
    if (s == NULL || s->kept)
        return SL_OK;
    const sl_ledger_table row = {.id = id,
                                 .name = s->name,
                                 .stream = s->stream,
                                 .kind = s->kind,
                                 .target = s->target,
                                 .cursor = s->cursor};
    sl_status status = retired_add(e, &row, &s->match, r->error);
    *out = s->match;
    if (status == SL_OK || status == SL_ENOMEM)
        return status;
    s->kept = true;
    sl_message(SL_LEVEL_ERROR, "engine", "removed table can't be delivered, its files stay in the spool",
               "table=%s error=\"%s\"", s->name, r->error->text);
    return SL_OK;
}

static table *table_of(const sl_engine *e, int64_t id) {
    for (uint32_t i = 0; i < e->table_count; i++)
        if (e->tables[i]->id == id)
            return e->tables[i];
    table *t = e->retired;
    while (t != NULL && t->id != id)
        t = t->next_retired;
    return t;
}

static sl_status note_pending(void *context, const sl_entry *entry) {
    recovery *r = context;
    sl_engine *e = r->engine;
    table *t = table_of(e, entry->table);
    sl_entry copy;
    sl_status status = copy_files(r, entry, &copy) ? SL_OK : SL_ENOMEM;
    if (status == SL_OK && t == NULL)
        status = retire(e, r, entry->table, &t);
    if (status == SL_OK && t != NULL) {
        shape *s = t->retired ? t->last_shape : t->of->current;
        status = storage_enqueue(&e->storage, t, &copy, s) ? SL_OK : SL_ENOMEM;
        if (status == SL_OK) {
            if (t->entries_open++ == 0) {
                t->delivered = entry->begin;
                t->delivered_watermark_us = entry->watermark_from_us;
            }
            t->claimed = t->claimed || entry->ranges != NULL;
            return SL_OK;
        }
    }
    sl_entry_fini(&copy);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static sl_status sweep_file(void *context, const sl_file_entry *entry) {
    recovery *r = context;
    const char *name = entry->name;
    if (entry->directory || (r->spool_count != 0 &&
                             bsearch(&name, r->spool, r->spool_count, sizeof *r->spool,
                                     compare_names) != NULL))
        return SL_OK;
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/%s", r->engine->spool, name);
    const char *text = sl_buffer_cstr(&path);
    if (!path.failed)
        (void)r->engine->files->unlink(r->engine->files, text, NULL);
    sl_buffer_fini(&path);
    return SL_OK;
}

/* Files that no committed entry names were being written when the process ended: the log has their rows. */
static sl_status sweep_spool(sl_engine *e, recovery *r, sl_error *error) {
    sl_status status =
        sl_ledger_entries(e->storage.ledger, 0, true, note_pending, r, error);
    if (status != SL_OK)
        return status;
    if (r->spool_count != 0)
        qsort(r->spool, r->spool_count, sizeof *r->spool, compare_names);
    return e->files->list(e->files, e->spool, sweep_file, r, error);
}

static sl_status place(sl_engine *e, sl_error *error) {
    uint64_t begin = sl_journal_begin(e->journal), end = sl_journal_end(e->journal);
    e->journal_next = end;
    uint64_t position = end, discovered;
    for (uint32_t i = 0; i < e->stream_count; i++) {
        stream *s = e->streams[i];
        s->next = end;
        for (uint32_t k = 0; k < s->table_count; k++)
            if (s->tables[k]->cursor < s->next || k == 0) {
                s->next = s->tables[k]->cursor;
                s->watermark_us = s->tables[k]->watermark_us;
            }
        position = s->next < position ? s->next : position;
    }
    sl_status status = number_of(e, "discovered", begin, &discovered, error);
    if (status != SL_OK)
        return status;
    if (e->config->embedded && discovered < position)
        position = discovered;
    e->position = position;
    e->trimmed = begin;
    for (uint32_t i = 0; i < e->stream_count; i++)
        if (e->streams[i]->next > end)
            e->journal_next = e->streams[i]->next;
    bool any = false;
    status = sl_ledger_keys_any(e->storage.ledger, &any, error);
    e->keys_in_ledger = any;
    if (status == SL_OK)
        status = number_of(e, "keys", begin, &e->keys_stored, error);
    if (e->keys_stored < begin)
        e->keys_stored = begin;
    e->scanning_keys = e->keys_stored < end;
    e->scan_from = e->keys_stored;
    e->read_next = UINT64_MAX;
    return status;
}

static sl_status recover(sl_engine *e, sl_error *error) {
    recovery r = {.engine = e, .last = NULL, .error = error};
    r.last = &r.tables;
    uint64_t generation = 0;
    sl_status status = number_of(e, "generation", 0, &generation, error);
    e->generation = (uint32_t)generation + 1;
    if (status == SL_OK)
        status = sl_ledger_tables(e->storage.ledger, note_table, &r, error);
    if (status == SL_OK)
        status = open_journal(e, r.highest, error);
    if (status == SL_OK)
        status = make_streams(e, &r, error);
    if (status == SL_OK)
        status = router_create(e, error);
    if (status == SL_OK)
        status = sl_ledger_schemas(e->storage.ledger, load_schema, &r, error);
    if (status == SL_OK)
        status = enter_configuration(e, &r, error);
    if (status == SL_OK)
        status = sweep_spool(e, &r, error);
    if (status == SL_OK)
        status = place(e, error);
    if (status == SL_OK)
        status = origins_read(e, error);
    if (status == SL_OK)
        status = claims_read(e, error);
    if (status == SL_OK)
        status = data_create(e, error);
    if (status == SL_OK)
        status = dedupe_create(e, error);
    if (status == SL_OK)
        status = replays_create(e, error);
    recovery_fini(&r);
    return status;
}

/* --- create and destroy --- */

static void metrics(sl_engine *e) {
    sl_metrics *m = e->options.metrics;
    e->metric_requests = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_requests_total",
                                        "Requests made durable and answered.", "");
    e->metric_accepted = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_accepted_events_total",
                                        "Events that requests brought and that were kept.", "");
    e->metric_rejected = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_rejected_events_total",
                                        "Events that requests brought and that became dead letters.", "");
    e->metric_dropped = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_redecoded_groups_total",
                                       "Groups whose columns were let go and decoded again from the log.", "");
    e->metric_quarantined = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_quarantined_bytes_total",
                                           "Damaged bytes of the journal that were stepped over.", "");
    e->metric_rewinds = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_rewinds_total",
                                       "Times a stream was read again from its cursor.", "");
    e->metric_voids = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_refused_loads_total",
                                     "Loads that the warehouse refused, as another reader of a Kafka partition was quicker.", "");
    e->metric_journal_bytes = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_buffer_byte_size",
                                             "Bytes on disk.", "buffer=\"journal\"");
    e->metric_spool_bytes = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_buffer_byte_size",
                                           "Bytes on disk.", "buffer=\"spool\"");
    e->metric_memory = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_memory_used_bytes",
                                      "Bytes taken from the memory budget.", "");
    e->metric_uncommitted = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_oldest_uncommitted_seconds",
                                           "Age of the oldest event that has not reached its target.", "");
    e->metric_sync_failures = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_journal_sync_failures",
                                             "Failed syncs of the journal since the start.", "");
    for (int i = 0; i < SL_CODE_COUNT; i++) {
        char label[64];
        (void)snprintf(label, sizeof label, "code=\"%s\"", sl_code_name((sl_code)i));
        e->metric_dead[i] = i == SL_CODE_NONE
                                ? e->metric_rejected
                                : sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_dead_letters_total",
                                                 "Events that became dead letters.", label);
    }
}

static sl_status prepare_directories(sl_engine *e, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/spool", e->config->data_dir);
    e->spool = sl_strdup(sl_buffer_cstr(&path));
    sl_status status = path.failed || e->spool == NULL
                           ? no_memory(error)
                           : e->files->make_directories(e->files, e->spool, error);
    sl_buffer_fini(&path);
    return status;
}

static sl_status list_actors(sl_engine *e, sl_error *error) {
    e->actors = sl_calloc(e->worker_count + 4, sizeof(sl_actor *));
    if (e->actors == NULL)
        return no_memory(error);
    e->actors[e->actor_count++] = &e->journal_io.actor;
    e->actors[e->actor_count++] = &e->storage.actor;
    e->actors[e->actor_count++] = &e->reader.actor;
    for (uint32_t i = 0; i < e->worker_count; i++)
        e->actors[e->actor_count++] = &e->workers[i].actor;
    if (e->dedupe.active)
        e->actors[e->actor_count++] = &e->dedupe.actor;
    return SL_OK;
}

sl_status sl_engine_create(const sl_engine_options *options, sl_engine **out, sl_error *error) {
    *out = NULL;
    sl_engine *e = sl_aligned_alloc(64, sizeof *e);
    if (e == NULL)
        return no_memory(error);
    memset(e, 0, sizeof *e);
    e->options = *options;
    e->config = options->config;
    e->destination_count = DESTINATION_BUCKETS;
    e->files = options->files;
    e->budget = options->budget;
    e->intake.submit = intake_submit;
    e->live_last = &e->live_first;
    e->replay_last = &e->replay_first;
    e->refused_last = &e->refused_first;
    uint64_t tasks = e->config->memory / 4 / GROUP_BYTES;
    e->tasks_max = tasks < 8 ? 8 : tasks > TASKS_MAX ? TASKS_MAX : (uint32_t)tasks;
    metrics(e);
    e->letters = letters_schema();
    (void)source_index(e, "http", 4);
    sl_status status = e->letters == NULL || e->source_count == 0 ? no_memory(error)
                                                                   : prepare_directories(e, error);
    if (status == SL_OK)
        status = storage_create(e, error);
    if (status == SL_OK)
        status = log_create(e, error);
    if (status == SL_OK)
        status = delivery_create(e, error);
    if (status == SL_OK)
        status = recover(e, error);
    if (status == SL_OK)
        status = workers_create(e, error);
    if (status == SL_OK)
        status = list_actors(e, error);
    if (status != SL_OK) {
        sl_engine_destroy(e);
        return status;
    }
    *out = e;
    return SL_OK;
}

void sl_engine_destroy(sl_engine *e) {
    if (e == NULL)
        return;
    while (e->flushes != NULL) {
        flush *next = e->flushes->next;
        sl_free(e->flushes);
        e->flushes = next;
    }
    taps_destroy(e);
    sequence_destroy(e);
    log_destroy(e);
    delivery_destroy(e);
    storage_destroy(e);
    workers_destroy(e);
    keys_destroy(e);
    dedupe_destroy(e);
    replays_destroy(e);
    origins_destroy(e);
    data_destroy(e);
    streams_destroy(e);
    router_destroy(e->router);
    sources_destroy(e);
    if (e->journal != NULL)
        sl_journal_close(e->journal);
    sl_schema_unref(e->letters);
    sl_free(e->actors);
    sl_free(e->spool);
    sl_free(e->partition);
    sl_free(e);
}

sl_actor **sl_engine_actors(sl_engine *e, uint32_t *count) {
    *count = e->actor_count;
    return e->actors;
}

sl_intake *sl_engine_intake(sl_engine *e) {
    return &e->intake;
}

bool sl_engine_ready(const sl_engine *e) {
    return !e->scanning_keys;
}

uint64_t sl_engine_taken(const sl_engine *e) { return e->journal_next; }

const char *sl_engine_identity(const sl_engine *e) { return e->partition; }

static uint64_t delivered_of(const table *t) { return t->entries_open != 0 ? t->delivered : t->cursor; }

uint64_t sl_engine_delivered(const sl_engine *e) {
    uint64_t low = e->position;
    for (uint32_t i = 0; i < e->table_count; i++)
        low = delivered_of(e->tables[i]) < low ? delivered_of(e->tables[i]) : low;
    for (const table *t = e->retired; t != NULL; t = t->next_retired)
        if (t->entries_open != 0 && t->delivered < low)
            low = t->delivered;
    return low;
}

/* --- live views --- */

void sl_engine_windows(sl_engine *e, const char *name, uint32_t limit, sl_engine_windows_fn *done,
                       void *context) {
    table *t = NULL;
    for (uint32_t i = 0; i < e->table_count; i++)
        if (e->tables[i]->kind == SL_TABLE_WINDOW && strcmp(e->tables[i]->name, name) == 0)
            t = e->tables[i];
    peek *p = t != NULL ? sl_calloc(1, sizeof *p) : NULL;
    if (p == NULL) {
        done(context, NULL, 0);
        return;
    }
    p->head.kind = MESSAGE_PEEK;
    p->of = t;
    p->shape = shape_ref(t->of->current);
    p->waiting = e->worker_count;
    p->limit = limit;
    p->done = done;
    p->context = context;
    e->peeks++;
    pipeline_all(e, &p->head);
}

void peek_free(sl_engine *e, peek *p) {
    for (uint32_t i = 0; i < e->worker_count; i++)
        sl_buffer_fini(&p->deltas[i]);
    sl_buffer_fini(&p->json);
    shape_unref(p->shape);
    sl_free(p);
}

static void peeked(sl_engine *e, peek *p) {
    e->peeks--;
    p->done(p->context, p->json.failed ? NULL : (const char *)p->json.bytes,
            p->json.failed ? 0 : p->json.length);
    peek_free(e, p);
}

void sl_engine_flush(sl_engine *e, sl_engine_flush_fn *done, void *context) {
    flush *f = sl_calloc(1, sizeof *f);
    if (f == NULL) {
        done(context, SL_ENOMEM, "out of memory");
        return;
    }
    *f = (flush){.next = e->flushes, .done = done, .context = context, .target = e->journal_next};
    e->flushes = f;
    e->options.host.wake_loop(e->options.host.context);
}

/* --- the loop's turn --- */

static bool storage_returned(sl_engine *e) {
    bool any = false;
    message *m;
    while ((m = sl_ring_pop(&e->storage.out)) != NULL) {
        any = true;
        switch (m->kind) {
        case MESSAGE_CUT:
            cut_committed(e, (cut *)m);
            break;
        case MESSAGE_DELIVERED:
            entry_delivered(e, (pending *)m);
            break;
        case MESSAGE_VOID:
            claims_voided(e, (void_order *)m);
            break;
        case MESSAGE_PEEK:
            peeked(e, (peek *)m);
            break;
        case MESSAGE_KEYS:
            keys_saved(e, (keys_batch *)m);
            break;
        case MESSAGE_KEY:
            keys_found(e, (key_entry *)m);
            break;
        case MESSAGE_TASK:
        case MESSAGE_REWIND:
        case MESSAGE_TRIM:
        case MESSAGE_MARK:
        case MESSAGE_DATA:
            break;
        }
    }
    return any;
}

static bool may_stop(const sl_engine *e) {
    if (e->outstanding_bytes != 0 || e->gathering != NULL || e->judged_count != 0 || e->writing != 0 || e->cuts_open != 0 ||
        e->keys_busy || e->peeks != 0 || e->reading || !e->cut_idle || keys_waiting(e))
        return false;
    for (const table *t = e->retired; t != NULL && e->drain; t = t->next_retired)
        if (t->entries_open != 0 && sl_metric_read(t->stalled) == 0)
            return false;
    for (uint32_t i = 0; i < e->table_count; i++) {
        const table *t = e->tables[i];
        /* Dirty, and not to be cut: it waits for what is read again, which the next start will do. */
        if (t->cutting || t->voided.stage == VOID_SENT ||
            (e->drain && t->entries_open != 0 && sl_metric_read(t->stalled) == 0))
            return false;
    }
    return true;
}

static void refuse_flushes(sl_engine *e) {
    while (e->flushes != NULL) {
        flush *f = e->flushes;
        e->flushes = f->next;
        f->done(f->context, SL_EAGAIN, "stopped before everything was delivered");
        sl_free(f);
    }
}

static void gauges(sl_engine *e) {
    sl_metric_set(e->metric_journal_bytes, (int64_t)sl_journal_bytes(e->journal));
    uint64_t spooled = 0;
    for (uint32_t k = 0; k < e->destination_count; k++)
        spooled += spool_used(e, k);
    sl_metric_set(e->metric_spool_bytes, (int64_t)spooled);
    sl_metric_set(e->metric_memory, (int64_t)sl_budget_used(e->budget));
    sl_metric_set(e->metric_sync_failures, (int64_t)sl_journal_sync_failures(e->journal));
}

bool sl_engine_poll(sl_engine *e) {
    bool any = sequence_poll(e);
    any = storage_returned(e) || any;
    int64_t now = engine_now(e);
    any = keys_poll(e, now) || any;
    if (now - e->scheduled_at_us < SCHEDULE_EVERY_US && e->flushes == NULL && !e->stopping)
        return any;
    e->scheduled_at_us = now;
    for (uint32_t i = 0; i < e->worker_count; i++)
        if (sl_ring_count(&e->workers[i].pipeline) != 0)
            e->options.host.wake(e->options.host.context, &e->workers[i].actor);
    any = cuts_poll(e, now) || any;
    data_forget(e);
    if (e->stopping && !e->stopped) {
        /* A disk that is full must not keep us here: what isn't committed is in the journal. */
        bool late = now - e->stop_at_us > STOP_LIMIT_S * SL_SECOND_US && !e->drain;
        e->stopped = may_stop(e) || late;
        if (e->stopped)
            refuse_flushes(e);
    }
    gauges(e);
    taps_poll(e);
    return any;
}

void sl_engine_stop(sl_engine *e, bool drain) {
    e->stopping = true;
    e->drain = drain;
    e->stop_at_us = engine_now(e);
    e->options.host.wake_loop(e->options.host.context);
}

bool sl_engine_stopped(const sl_engine *e) {
    return e->stopped;
}

void sl_engine_refuse(sl_engine *e) {
    while (sl_engine_poll(e))
        ; /* What is back is answered as it ended. */
    for (task *t = e->live_first; t != NULL; t = t->next)
        if (!t->answered) {
            t->status = SL_EAGAIN;
            reply_task(e, t);
            t->answered = true;
        }
    if (e->gathering != NULL) {
        e->gathering->status = SL_EAGAIN;
        reply_task(e, e->gathering);
        sl_group_reset(e->gathering->group);
    }
    judged_refuse(e);
    keys_refuse(e);
    refuse_flushes(e);
}

void sl_engine_behind(const sl_engine *e,
                      void (*each)(void *context, const char *stream, const char *table, bool window),
                      void *context) {
    uint64_t furthest = 0;
    for (uint32_t i = 0; i < e->table_count; i++)
        furthest = e->tables[i]->cursor > furthest ? e->tables[i]->cursor : furthest;
    for (uint32_t i = 0; i < e->table_count; i++) {
        const table *t = e->tables[i];
        const bool window = sl_table_has_panes(t->kind);
        if (t->cursor < furthest)
            each(context, t->of->name, window ? t->window->name : t->name, window);
    }
}

void sl_engine_state(sl_engine *e, sl_buffer *out) {
    sl_buffer_printf(out,
                     "{\"journal\":{\"identity\":\"%s\",\"begin\":%" PRIu64 ",\"end\":%" PRIu64
                     ",\"bytes\":%" PRIu64 "},\"position\":%" PRIu64 ",\"ready\":%s,\"streams\":[",
                     e->uuid, sl_journal_begin(e->journal), e->journal_next,
                     sl_journal_bytes(e->journal), e->position,
                     sl_engine_ready(e) ? "true" : "false");
    bool first = true;
    for (uint32_t i = 0; i < e->stream_count; i++) {
        const stream *s = e->streams[i];
        if (s->unrouted && sl_metric_read(s->received) == 0)
            continue;
        char watermark[40] = "";
        if (s->watermark_us != SL_NO_TIME)
            (void)sl_time_format(s->watermark_us, watermark);
        sl_buffer_printf(out,
                         "%s{\"name\":\"%s\",\"received\":%" PRId64
                         ",\"schema_version\":%u,\"fields\":%u,\"watermark\":\"%s\",\"tables\":[",
                         first ? "" : ",", s->name, sl_metric_read(s->received),
                         s->current->schema->version, s->current->schema->count - 1, watermark);
        first = false;
        for (uint32_t k = 0; k < s->table_count; k++) {
            const table *t = s->tables[k];
            sl_buffer_printf(out, "%s{\"name\":\"%s\",\"kind\":\"%s\",\"target\":", k ? "," : "",
                             t->name, sl_table_kind_name(t->kind));
            sl_buffer_json_string(out, t->target, strlen(t->target));
            sl_buffer_printf(out,
                             ",\"cursor\":%" PRIu64 ",\"entries\":%" PRIu64 ",\"undelivered\":%" PRIu64
                             ",\"sent\":%" PRId64 ",\"stalled\":%s}",
                             t->cursor, t->sequence, t->entries_open, sl_metric_read(t->rows),
                             sl_metric_read(t->stalled) != 0 || t->failed ? "true" : "false");
        }
        sl_buffer_text(out, "]}");
    }
    sl_buffer_text(out, "]}\n");
}
