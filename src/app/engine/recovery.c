/* A start: the engine is put together from what the ledger has, the journal is opened, entries that weren't delivered
 * are on their way out again, and what the spool has beside them goes. The log has the rest. */
#include "recovery.h"

#include "claims.h"
#include "data.h"
#include "dedupe.h"
#include "records.h"
#include "replays.h"
#include "spool.h"
#include "storage.h"

#include "sluice/journal.h"
#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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
    else if (status == SL_OK && text.length == 0 && sl_journal_end(e->journal) != sl_journal_begin(e->journal))
        /* Nobody would know what of it was delivered: all of it again, or never. */
        status = sl_error_set(error, SL_ECONFLICT,
                              "%s/journal holds events, and ledger.db, which says what became of them, is new;"
                              " put the right one back, or start with an empty data_dir",
                              e->config->data_dir);
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
    if (!entry->directory && (r->spool_count == 0 || bsearch(&name, r->spool, r->spool_count, sizeof *r->spool,
                                                             compare_names) == NULL))
        spool_remove(r->engine, name);
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

sl_status recover(sl_engine *e, sl_error *error) {
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
