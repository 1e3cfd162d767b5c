/* A cut before its commit: from what the workers brought to entries with their files, built and synced. */
#include "cuts.h"
#include "spool.h"
#include "state.h"
#include "storage.h"
#include "window_rows.h"

#include "sluice/checkpoint.h"
#include "sluice/rows.h"

#include <inttypes.h>
#include <stdio.h>

sl_status cut_rows(storage_actor *a, cut *c, uint32_t i, const char *name, const sl_buffer *rows, uint64_t count, sl_error *error) {
    sl_entry *entry = &c->entries[i];
    sl_entry_file *files = sl_realloc(entry->files, (entry->file_count + 1) * sizeof *files);
    if (files == NULL)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", c->tables[i]->name);
    entry->files = files;
    sl_entry_file *file = &files[entry->file_count];
    *file = (sl_entry_file){.spool = sl_strdup(name),
                            .key = sl_strdup(""),
                            .bytes = rows->length,
                            .rows = count,
                            .hash = sl_hash128_of(rows->bytes, rows->length)};
    entry->file_count++; /* It is freed with the entry. */
    if (rows->failed || file->spool == NULL || file->key == NULL)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", c->tables[i]->name);
    return spool_write(a->engine, name, rows, error);
}

typedef struct delta_writer {
    sl_buffer *merged, rows;
    uint64_t count;
} delta_writer;

static sl_status write_delta(void *context, const sl_window_row *row) {
    delta_writer *d = context;
    delta_put(d->merged, row);
    const sl_value values[] = {
        {.type = SL_TYPE_TIMESTAMP, .as.i64 = row->start_us},
        {.type = SL_TYPE_BYTES, .as.text = {row->key, row->key_length}},
        {.type = SL_TYPE_BYTES, .as.text = {row->state, row->state_length}},
    };
    sl_rows_add(&d->rows, values, 3);
    d->count++;
    return d->merged->failed || d->rows.failed ? SL_ENOMEM : SL_OK;
}

/* One window's deltas of all workers become one row file. */
static sl_status prepare_window(storage_actor *a, cut *c, uint32_t i, sl_error *error) {
    static const sl_rows_column columns[] = {{.name = "start", .type = SL_TYPE_TIMESTAMP},
                                             {.name = "key", .type = SL_TYPE_BYTES},
                                             {.name = "state", .type = SL_TYPE_BYTES}};
    const table *t = c->tables[i];
    sl_entry *entry = &c->entries[i];
    sl_buffer_clear(&c->merged[i]);
    delta_writer d = {.merged = &c->merged[i]};
    row_list list = {0};
    sl_status status = SL_OK;
    for (uint32_t k = i; k < c->result_count; k += c->table_count)
        if (!row_list_deltas(&list, &c->results[k].deltas))
            status = SL_ENOMEM;
    sl_rows_begin(&d.rows, columns, 3);
    if (status == SL_OK)
        status = row_list_merge(&list, c->shapes[i]->plans[t->slot], write_delta, &d);
    sl_free(list.rows);
    if (status != SL_OK)
        (void)sl_error_set(error, status, "%s: deltas can't be merged", t->name);
    if (status == SL_OK && d.count != 0) {
        char name[64];
        (void)snprintf(name, sizeof name, "g%u-s-%" PRIu64 ".rows", a->engine->generation,
                       a->file_number++);
        status = cut_rows(a, c, i, name, &d.rows, d.count, error);
        if (status != SL_OK)
            sl_entry_clear_files(entry);
    }
    sl_buffer_fini(&d.rows);
    return status;
}

static sl_status add_file(sl_engine *e, const table *t, sl_entry *entry, sealed_file *sealed) {
    sl_entry_file *files = sl_realloc(entry->files, (entry->file_count + 1) * sizeof *files);
    if (files == NULL)
        return SL_ENOMEM;
    entry->files = files;
    sl_buffer key = SL_BUFFER_EMPTY;
    if (t->kind != SL_TABLE_ROWS && !sl_table_is_topic(t->kind))
        sl_buffer_printf(&key, "%s%.8s-%016" PRIx64 "-%016" PRIx64 "-%04u.%s", sealed->directory, e->uuid,
                         entry->from, entry->to, entry->file_count,
                         t->kind == SL_TABLE_RAW ? "ndjson.zst" : "parquet");
    sl_entry_file *f = &entry->files[entry->file_count];
    *f = (sl_entry_file){.spool = sl_strdup(sealed->spool),
                         .key = sl_strdup(sl_buffer_cstr(&key)),
                         .bytes = sealed->bytes,
                         .rows = sealed->rows,
                         .hash = sealed->hash};
    entry->file_count++;
    bool failed = key.failed || f->spool == NULL || f->key == NULL;
    sl_buffer_fini(&key);
    return failed ? SL_ENOMEM : SL_OK;
}

static sl_status prepare_files(sl_engine *e, cut *c, uint32_t i, sl_error *error) {
    sl_entry *entry = &c->entries[i];
    sl_entry_clear_files(entry);
    for (uint32_t k = i; k < c->result_count; k += c->table_count) {
        cut_result *r = &c->results[k];
        for (uint32_t n = 0; n < r->file_count; n++) {
            sl_status status = add_file(e, c->tables[i], entry, &r->files[n]);
            if (status != SL_OK)
                return sl_error_set(error, status, "%s: out of memory", c->tables[i]->name);
        }
    }
    for (uint32_t n = 0; n < entry->file_count; n++) {
        sl_status status = spool_sync(e, entry->files[n].spool, error);
        if (status != SL_OK) /* A second sync of the same file would tell nothing: it is written anew. */
            return status == SL_ENOMEM ? status : SL_EIO;
    }
    return SL_OK;
}

sl_status cut_prepare(storage_actor *a, cut *c, sl_error *error) {
    sl_engine *e = a->engine;
    while (c->prepared < c->table_count) {
        uint32_t i = c->prepared;
        sl_entry *entry = &c->entries[i];
        entry->counts = (sl_counts){0};
        for (uint32_t k = i; k < c->result_count; k += c->table_count)
            sl_counts_add(&entry->counts, &c->results[k].counts);
        const sl_table_kind kind = c->tables[i]->kind;
        sl_status status = kind == SL_TABLE_WINDOW  ? prepare_window(a, c, i, error)
                           : kind == SL_TABLE_FINAL ? finals_prepare(a, c, i, error)
                                                    : prepare_files(e, c, i, error);
        if (status != SL_OK)
            return status;
        entry->table = 0;
        c->prepared++;
    }
    return e->files->sync_directory(e->files, e->spool, error);
}
