/* The storage actor: spool syncs and ledger transactions make a cut durable; what then goes out is in deliver.c.
 * Beside that it reads what live views and repeated keys ask for, and stores keys. */
#include "claims.h"
#include "crash.h"
#include "cuts.h"
#include "data.h"
#include "dedupe.h"
#include "replays.h"
#include "requests.h"
#include "state.h"
#include "storage.h"
#include "window_rows.h"
#include "worker.h"

#include "sluice/checkpoint.h"
#include "sluice/message.h"
#include "sluice/warehouse.h"
#include "sluice/window.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RETRY_FIRST_MS = 500, RETRY_SHIFT_MAX = 6 };

int64_t storage_retry_delay(uint32_t tries) {
    return (int64_t)RETRY_FIRST_MS * 1000 << (tries < RETRY_SHIFT_MAX ? tries : RETRY_SHIFT_MAX);
}

/* --- committing --- */

static bool empty(const sl_entry *entry) {
    return entry->counts.received == 0 && entry->counts.replayed == 0 && entry->counts.rows == 0 && entry->file_count == 0;
}

static sl_status register_table(storage_actor *a, table *t, sl_error *error) {
    sl_buffer place = SL_BUFFER_EMPTY;
    sl_ledger_place(a->engine->config->data_dir, t->target, &place);
    sl_ledger_table row = {.name = t->name,
                           .stream = t->of->name,
                           .kind = t->kind,
                           .target = sl_buffer_cstr(&place),
                           .window = t->kind == SL_TABLE_WINDOW ? t->name : "",
                           .first = t->first,
                           .last = t->first,
                           .cursor = t->first,
                           .watermark_us = SL_NO_TIME};
    sl_status status = place.failed ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", t->name)
                                    : sl_ledger_table_add(a->ledger, &row, error);
    sl_buffer_fini(&place);
    t->id = row.id;
    return status;
}

sl_status storage_register(storage_actor *a, table **tables, uint32_t count, sl_error *error) {
    for (uint32_t i = 0; i < count; i++) {
        table *t = tables[i];
        if (t->id != 0)
            continue;
        sl_status status = register_table(a, t, error);
        if (status != SL_OK)
            return status;
        t->fresh = true;
    }
    return SL_OK;
}

static sl_status store_windows(storage_actor *a, cut *c, uint32_t i, sl_error *error) {
    const table *t = c->tables[i];
    const sl_window_plan *plan = c->shapes[i]->plans[t->slot];
    sl_buffer old = SL_BUFFER_EMPTY, merged = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    sl_window_row row;
    for (size_t at = 0, n; status == SL_OK && (n = delta_get(c->merged[i].bytes + at,
                                                            c->merged[i].length - at, &row)) != 0;
         at += n) {
        sl_buffer_clear(&old);
        sl_buffer_clear(&merged);
        status = sl_ledger_window_get(a->ledger, t->id, row.start_us, row.key, row.key_length, &old,
                                      error);
        if (status == SL_OK) {
            status = sl_window_state_merge(plan, old.bytes, old.length, row.state, row.state_length,
                                           &merged);
            row.state = merged.bytes;
            row.state_length = merged.length;
        } else if (status == SL_ENOTFOUND) {
            status = SL_OK;
        }
        if (status == SL_OK && c->claimed)
            status = sl_ledger_window_keep(a->ledger, c->entries[i].id, t->id, row.start_us, row.key, row.key_length, error);
        if (status == SL_OK)
            status = sl_ledger_window_put(a->ledger, t->id, row.start_us, row.key, row.key_length,
                                          row.state, row.state_length, error);
    }
    /* Closed an hour ago: the warehouse has them, a late event only sends its delta there. */
    if (status == SL_OK && c->watermarks[i] != SL_NO_TIME)
        status = sl_ledger_window_drop(a->ledger, t->id,
                                       c->watermarks[i] - sl_window_plan_lateness(plan) -
                                           sl_window_plan_width(plan) - SL_HOUR_US,
                                       error);
    sl_buffer_fini(&old);
    sl_buffer_fini(&merged);
    return status;
}

static sl_status transact(storage_actor *a, cut *c, sl_error *error) {
    sl_status status = sl_ledger_begin(a->ledger, error);
    if (status != SL_OK)
        return status;
    status = storage_register(a, c->known, c->known_count, error);
    for (uint32_t i = 0; i < c->schema_count && status == SL_OK; i++) {
        sl_buffer json = SL_BUFFER_EMPTY;
        sl_schema_store(c->schemas[i].schema, &json);
        status = json.failed ? SL_ENOMEM
                             : sl_ledger_schema_put(a->ledger, c->schemas[i].of->name,
                                                    c->schemas[i].schema->version,
                                                    (const char *)json.bytes, json.length,
                                                    c->schemas[i].frozen_at, error);
        sl_buffer_fini(&json);
    }
    for (uint32_t i = 0; i < c->note_count && status == SL_OK; i++)
        status = sl_ledger_version_put(a->ledger, &c->notes[i]->version, error);
    int64_t now = engine_wall(a->engine);
    for (uint32_t i = 0; i < c->table_count && status == SL_OK; i++) {
        sl_entry *entry = &c->entries[i];
        entry->table = c->tables[i]->id;
        entry->created_us = now;
        if (empty(entry)) {
            status = sl_ledger_cursor_move(a->ledger, entry->table, entry->to, c->watermarks[i], error);
            continue;
        }
        status = sl_ledger_entry_add(a->ledger, entry, c->watermarks[i], error);
        if (status == SL_OK && c->tables[i]->kind == SL_TABLE_WINDOW)
            status = store_windows(a, c, i, error);
        else if (status == SL_OK && c->tables[i]->kind == SL_TABLE_FINAL)
            status = finals_store(a, c, i, error);
    }
    CRASH(commit_in_transaction);
    for (uint32_t i = 0; i < c->move_count && status == SL_OK; i++)
        status = sl_ledger_cursor_move(a->ledger, c->moves[i]->id, c->move_to[i],
                                       c->move_watermarks[i], error);
    if (status == SL_OK)
        status = dedupe_note(a, c, error);
    if (status == SL_OK)
        status = replays_note(a, c, error);
    if (status == SL_OK) {
        char text[24];
        (void)snprintf(text, sizeof text, "%" PRIu64, c->discovered);
        status = sl_ledger_set(a->ledger, "discovered", text, error);
    }
    if (status == SL_OK)
        return sl_ledger_commit(a->ledger, error);
    sl_ledger_rollback(a->ledger);
    return status;
}

static void finish_commit(storage_actor *a, cut *c) {
    for (uint32_t i = 0; i < c->known_count; i++)
        c->known[i]->fresh = false;
    for (uint32_t i = 0; i < c->table_count; i++) {
        sl_entry *entry = &c->entries[i];
        if (entry->id == 0)
            continue;
        while (!storage_enqueue(a, c->tables[i], entry, c->shapes[i]))
            ; /* A few dozen bytes: the entry is committed, there is no way back. */
        entry->files = NULL;
        entry->file_count = 0;
        entry->ranges = NULL;
    }
    c->status = SL_OK;
    engine_return(a->engine, &a->out, c);
}

/* @return whether the cut left the queue. */
static bool commit(storage_actor *a, cut *c) {
    sl_error error = {0};
    CRASH(commit_before_spool_sync);
    sl_status status = cut_prepare(a, c, &error);
    CRASH(commit_after_spool_sync);
    if (status == SL_EIO && c->prepared < c->table_count) {
        sl_message(SL_LEVEL_ERROR, "storage", "spool files lost", "error=\"%s\"", error.text);
        for (uint32_t i = 0; i < c->result_count; i++)
            cut_results_clear(a->engine, &c->results[i]);
        c->status = status;
        engine_return(a->engine, &a->out, c);
        return true;
    }
    if (status == SL_OK)
        status = dedupe_write(c, &error);
    if (status == SL_OK) {
        status = transact(a, c, &error);
        if (status != SL_OK) {
            for (uint32_t i = 0; i < c->known_count; i++)
                if (c->known[i]->fresh)
                    c->known[i]->id = 0;
            for (uint32_t i = 0; i < c->table_count; i++)
                c->entries[i].id = 0;
        }
    }
    if (status != SL_OK) {
        sl_message(SL_LEVEL_ERROR, "storage", "cut can't be committed yet", "error=\"%s\"", error.text);
        c->retry_at_us = engine_now(a->engine) + storage_retry_delay(c->tries++);
        return false;
    }
    CRASH(commit_after);
    finish_commit(a, c);
    return true;
}

/* --- keys --- */

static void store_keys(storage_actor *a, keys_batch *b) {
    sl_error error = {0};
    const char *origins = sl_buffer_cstr(&b->origins);
    b->status = b->origins.failed ? sl_error_set(&error, SL_ENOMEM, "out of memory") : sl_ledger_begin(a->ledger, &error);
    if (b->status == SL_OK) {
        for (uint32_t i = 0; i < b->count && b->status == SL_OK; i++) {
            const key_entry *k = b->keys[i];
            const sl_ledger_key row = {.key = k->key,
                                       .body = k->body,
                                       .arrival_us = k->arrival_us,
                                       .result = k->result.length != 0 ? k->result.bytes : k->counts,
                                       .result_length =
                                           k->result.length != 0 ? k->result.length : sizeof k->counts};
            b->status = sl_ledger_key_put(a->ledger, &row, &error);
        }
        char text[24];
        (void)snprintf(text, sizeof text, "%" PRIu64, b->position);
        if (b->status == SL_OK)
            b->status = sl_ledger_set(a->ledger, "keys", text, &error);
        if (b->status == SL_OK && *origins != 0)
            b->status = sl_ledger_set(a->ledger, "origins", origins, &error);
        if (b->status == SL_OK)
            b->status = sl_ledger_keys_expire(a->ledger, b->expire_before, &error);
        CRASH(keys_before_commit);
        if (b->status == SL_OK)
            b->status = sl_ledger_commit(a->ledger, &error);
        else
            sl_ledger_rollback(a->ledger);
        CRASH(keys_after_commit);
    }
    if (b->status != SL_OK)
        sl_message(SL_LEVEL_WARN, "storage", "keys can't be stored yet", "error=\"%s\"", error.text);
    engine_return(a->engine, &a->out, b);
}

static void find_key(storage_actor *a, key_entry *k) {
    sl_ledger_key found;
    sl_error error;
    k->found = sl_ledger_key_get(a->ledger, k->key, &found, &k->result, &error);
    if (k->found == SL_OK) {
        k->stored_body = found.body;
        if (found.arrival_us < engine_wall(a->engine) - KEY_LIFE_US) {
            k->found = SL_ENOTFOUND;
            sl_buffer_clear(&k->result);
        }
    }
    engine_return(a->engine, &a->out, k);
}

static void take(storage_actor *a, message *m) {
    switch (m->kind) {
    case MESSAGE_CUT:
        ((cut *)m)->next = NULL;
        *a->last_commit = (cut *)m;
        a->last_commit = &((cut *)m)->next;
        break;
    case MESSAGE_PEEK:
        peek_show(a, (peek *)m);
        break;
    case MESSAGE_KEYS:
        store_keys(a, (keys_batch *)m);
        break;
    case MESSAGE_KEY:
        find_key(a, (key_entry *)m);
        break;
    case MESSAGE_VOID:
        claims_void(a, (void_order *)m);
        break;
    case MESSAGE_TASK:
    case MESSAGE_DELIVERED:
    case MESSAGE_REWIND:
    case MESSAGE_TRIM:
    case MESSAGE_MARK:
    case MESSAGE_DATA:
        break;
    }
}

static bool commit_next(storage_actor *a) {
    cut *c = a->first_commit;
    if (c == NULL || c->retry_at_us > engine_now(a->engine))
        return false;
    cut *next = c->next;
    if (!commit(a, c))
        return true;
    a->first_commit = next;
    if (next == NULL)
        a->last_commit = &a->first_commit;
    return true;
}

static bool storage_run(void *context) {
    storage_actor *a = context;
    message *m = sl_ring_pop(&a->in);
    if (m != NULL) {
        take(a, m);
        return true;
    }
    return commit_next(a) || storage_deliver(a);
}

sl_status storage_create(sl_engine *e, sl_error *error) {
    storage_actor *a = &e->storage;
    a->engine = e;
    a->actor = (sl_actor){.name = "storage", .run = storage_run, .context = a};
    a->last_commit = &a->first_commit;
    if (sl_ring_init(&a->in, RING_SIZE) != SL_OK || sl_ring_init(&a->out, RING_SIZE) != SL_OK)
        return sl_error_set(error, SL_ENOMEM, "engine: out of memory");
    const sl_sql_options options = {.vfs = e->files->sqlite_vfs, .exclusive = e->options.exclusive};
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/ledger.db", e->config->data_dir);
    const char *text = sl_buffer_cstr(&path);
    sl_status status = path.failed ? sl_error_set(error, SL_ENOMEM, "engine: out of memory")
                                   : sl_ledger_open(text, &options, &a->ledger, error);
    sl_buffer_fini(&path);
    if (status == SL_OK && e->config->warehouse.store == SL_STORE_SQLITE)
        status = sl_warehouse_open(e->config->warehouse.sqlite, &options, &a->warehouse, error);
    return status;
}

void storage_destroy(sl_engine *e) {
    storage_actor *a = &e->storage;
    message *m;
    for (int k = 0; k < 2; k++) {
        sl_ring *ring = k == 0 ? &a->in : &a->out;
        while (ring->slots != NULL && (m = sl_ring_pop(ring)) != NULL) {
            if (m->kind == MESSAGE_CUT)
                cut_free((cut *)m);
            else if (m->kind == MESSAGE_DELIVERED)
                pending_free((pending *)m);
            else if (m->kind == MESSAGE_PEEK)
                peek_free(e, (peek *)m);
            else if (m->kind == MESSAGE_KEYS)
                keys_batch_free((keys_batch *)m);
        }
        sl_ring_fini(ring);
    }
    while (a->first_commit != NULL) {
        cut *next = a->first_commit->next;
        cut_free(a->first_commit);
        a->first_commit = next;
    }
    for (uint32_t i = 0; i < a->table_count; i++)
        while (a->tables[i]->first_pending != NULL) {
            pending *next = a->tables[i]->first_pending->next;
            pending_free(a->tables[i]->first_pending);
            a->tables[i]->first_pending = next;
        }
    sl_ledger_close(a->ledger);
    sl_warehouse_close(a->warehouse);
}
