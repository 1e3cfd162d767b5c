/* Final rows: what a window held when the watermark passed its end and lateness goes to a topic, as revision 1; with each cut that changes it
 * after that again, as the next. Such a table is cut like a window's, but what its target gets are rows, not deltas: they are made
 * here, from states of its own. The ledger has them as
 *     REVISION (4 bytes, little endian; 0: not closed yet) STATE
 * and forgets them an hour after closing: what comes later changes no row any more. A window that closes between two cuts has no delta in the
 * second: a row without a state among the deltas asks for it. */
#include "cuts.h"
#include "spool.h"
#include "state.h"
#include "storage.h"
#include "window_rows.h"

#include "sluice/checkpoint.h"
#include "sluice/rows.h"
#include "sluice/window.h"

#include <inttypes.h>
#include <stdio.h>

enum { FINALS_FILE = 4 << 20, REVISION_BYTES = 4 };

typedef struct finals {
    storage_actor *actor;
    cut *of;
    uint32_t index;
    const sl_window_plan *plan;
    int64_t closed_below; /* Windows that start below are closed by this cut's watermark, */
    int64_t gone_below;   /* and these were forgotten before it. */
    sl_buffer rows;       /* The file that is being made, */
    uint64_t first, count, position; /* from row `first` of the entry on. */
    sl_buffer stored, state, key, value;
    sl_error *error;
} finals;

/* Start of the first window that isn't closed at the watermark. */
static int64_t open_from(const sl_window_plan *plan, int64_t watermark_us) {
    return watermark_us != SL_NO_TIME ? watermark_us - sl_window_plan_lateness(plan) - sl_window_plan_width(plan) + 1 : INT64_MIN;
}

static int64_t kept_from(const sl_window_plan *plan, int64_t watermark_us) {
    return watermark_us != SL_NO_TIME ? open_from(plan, watermark_us) - SL_HOUR_US : INT64_MIN;
}

/* --- rows --- */

static sl_status end_file(finals *f) {
    if (f->count == 0)
        return SL_OK;
    char name[80];
    (void)snprintf(name, sizeof name, "g%u-s-%" PRIu64 ".%016" PRIx64 ".rows", f->actor->engine->generation, f->actor->file_number++, f->first);
    const uint64_t count = f->count;
    f->count = 0;
    return cut_rows(f->actor, f->of, f->index, name, &f->rows, count, f->error);
}

/* One of the group columns, or the window's start. @return whether there is one. */
static bool message_key(finals *f, const sl_window_row *row, const char *start) {
    const table *t = f->of->tables[f->index];
    sl_buffer_clear(&f->key);
    if (t->topic->key == NULL)
        return false;
    size_t at = 0;
    for (uint32_t i = 0; i < t->window->by_count; i++) {
        sl_value value = {.null = true};
        at += sl_value_decode(row->key + at, row->key_length - at, &value);
        if (strcmp(t->window->by[i], t->topic->key) != 0)
            continue;
        if (!value.null)
            topic_key_text(&value, &f->key);
        return !value.null;
    }
    sl_buffer_text(&f->key, start);
    return true;
}

static void message_value(finals *f, const sl_window_row *row, const char *start, uint32_t revision, sl_status *status) {
    char end[40];
    (void)sl_time_format(row->start_us + sl_window_plan_width(f->plan), end);
    sl_buffer_clear(&f->value);
    sl_buffer_printf(&f->value, "{\"window_start\":\"%s\",\"window_end\":\"%s\"", start, end);
    *status = window_row_members(f->plan, row, &f->value);
    sl_buffer_printf(&f->value, ",\"revision\":%u}", revision);
}

/* In the way of all that follows stands what no broker takes. */
static void shorten(finals *f, const char *start, bool *keyed) {
    const table *t = f->of->tables[f->index];
    if (f->key.length + f->value.length <= t->topic->max_message)
        return;
    const size_t bytes = f->value.length;
    sl_buffer_clear(&f->value);
    sl_buffer_printf(&f->value, "{\"sluice_too_large\":{\"bytes\":%zu,\"window\":\"%s\",\"window_start\":\"%s\"}}", bytes, t->window->name, start);
    *keyed = *keyed && f->key.length + f->value.length <= t->topic->max_message;
    sl_metric_add(t->too_large, 1);
}

static sl_status write_row(finals *f, const sl_window_row *row, uint32_t revision) {
    static const sl_rows_column columns[] = {
        {.name = "position", .type = SL_TYPE_INT64}, {.name = "key", .type = SL_TYPE_STRING}, {.name = "value", .type = SL_TYPE_JSON}};
    char start[40];
    (void)sl_time_format(row->start_us, start);
    bool keyed = message_key(f, row, start);
    sl_status status;
    message_value(f, row, start, revision, &status);
    if (status != SL_OK || f->key.failed || f->value.failed)
        return status != SL_OK ? status : SL_ENOMEM;
    shorten(f, start, &keyed);
    if (f->count == 0) {
        sl_buffer_clear(&f->rows);
        sl_rows_begin(&f->rows, columns, 3);
        f->first = f->position;
    }
    const sl_value values[] = {
        {.type = SL_TYPE_INT64, .as.i64 = (int64_t)f->position++},
        {.type = SL_TYPE_STRING, .null = !keyed, .as.text = {keyed ? f->key.bytes : NULL, keyed ? f->key.length : 0}},
        {.type = SL_TYPE_JSON, .as.text = {f->value.bytes, f->value.length}},
    };
    sl_rows_add(&f->rows, values, 3);
    f->count++;
    if (f->value.failed || f->rows.failed)
        return SL_ENOMEM;
    return f->rows.length >= FINALS_FILE ? end_file(f) : SL_OK;
}

/* --- states --- */

/* What the ledger has, with what the cut brings. */
static sl_status merge(finals *f, const sl_window_row *delta, bool known, uint32_t revision) {
    const uint8_t *old = known ? f->stored.bytes + REVISION_BYTES : NULL;
    const size_t length = known ? f->stored.length - REVISION_BYTES : 0;
    sl_buffer_clear(&f->state);
    sl_buffer_u32(&f->state, revision);
    if (!known)
        sl_buffer_append(&f->state, delta->state, delta->state_length);
    else if (delta->state_length == 0)
        sl_buffer_append(&f->state, old, length);
    else
        return sl_window_state_merge(f->plan, old, length, delta->state, delta->state_length, &f->state);
    return f->state.failed ? SL_ENOMEM : SL_OK;
}

static sl_status settle(void *context, const sl_window_row *delta) {
    finals *f = context;
    uint32_t revision = 0;
    sl_buffer_clear(&f->stored);
    sl_status status = sl_ledger_window_get(f->actor->ledger, f->of->tables[f->index]->id, delta->start_us, delta->key, delta->key_length,
                                            &f->stored, f->error);
    const bool known = status == SL_OK;
    if (!known && status != SL_ENOTFOUND)
        return status;
    if (!known && (delta->start_us < f->gone_below || delta->state_length == 0))
        return SL_OK; /* The rest of its row is forgotten. */
    if (known && f->stored.length <= REVISION_BYTES)
        return sl_error_set(f->error, SL_ECORRUPT, "%s: a stored window is damaged", f->of->tables[f->index]->name);
    if (known)
        memcpy(&revision, f->stored.bytes, REVISION_BYTES);
    const bool goes = revision != 0 ? delta->state_length != 0 : delta->start_us < f->closed_below;
    if (!goes && delta->state_length == 0)
        return SL_OK;
    revision += goes;
    status = merge(f, delta, known, revision);
    if (status != SL_OK)
        return status;
    sl_window_row row = *delta;
    row.state = f->state.bytes;
    row.state_length = f->state.length;
    delta_put(&f->of->merged[f->index], &row);
    row.state += REVISION_BYTES;
    row.state_length -= REVISION_BYTES;
    return goes ? write_row(f, &row, revision) : SL_OK;
}

/* --- a cut --- */

typedef struct closing {
    row_list *list;
    sl_arena *copies;
} closing;

static sl_status add_closing(void *context, int64_t start, const void *key, size_t key_length, const void *state, size_t state_length) {
    closing *c = context;
    uint32_t revision = 0;
    if (state_length >= REVISION_BYTES)
        memcpy(&revision, state, REVISION_BYTES);
    if (revision != 0)
        return SL_OK;
    const sl_window_row row = {.start_us = start, .key = (uint8_t *)sl_arena_strndup(c->copies, key, key_length), .key_length = key_length};
    return row.key != NULL && row_list_add(c->list, &row) ? SL_OK : SL_ENOMEM;
}

static void forget_files(const storage_actor *a, sl_entry *entry) {
    for (uint32_t i = 0; i < entry->file_count; i++)
        if (entry->files[i].spool != NULL)
            spool_remove(a->engine, entry->files[i].spool);
    sl_entry_clear_files(entry);
}

sl_status finals_prepare(storage_actor *a, cut *c, uint32_t i, sl_error *error) {
    const table *t = c->tables[i];
    const int64_t before_us = c->entries[i].watermark_from_us;
    finals f = {.actor = a, .of = c, .index = i, .plan = c->shapes[i]->plans[t->slot], .error = error};
    row_list list = {0};
    sl_arena copies;
    sl_arena_init(&copies, 1 << 12);
    f.closed_below = open_from(f.plan, c->watermarks[i]);
    f.gone_below = kept_from(f.plan, before_us);
    sl_buffer_clear(&c->merged[i]);
    sl_entry_clear_files(&c->entries[i]);
    (void)sl_error_set(error, SL_ENOMEM, "%s: out of memory", t->name);
    const int64_t seen_below = t->closed_seen ? open_from(f.plan, before_us) : INT64_MIN; /* `lateness` may have been another. */
    sl_status status =
        sl_ledger_windows_between(a->ledger, t->id, seen_below, f.closed_below, add_closing, &(closing){&list, &copies}, error);
    for (uint32_t k = i; k < c->result_count && status == SL_OK; k += c->table_count)
        if (!row_list_deltas(&list, &c->results[k].deltas))
            status = SL_ENOMEM;
    if (status == SL_OK)
        status = row_list_merge(&list, f.plan, settle, &f);
    if (status == SL_OK)
        status = c->merged[i].failed ? SL_ENOMEM : end_file(&f);
    if (status != SL_OK)
        forget_files(a, &c->entries[i]);
    sl_arena_fini(&copies);
    sl_free(list.rows);
    sl_buffer_fini(&f.rows);
    sl_buffer_fini(&f.stored);
    sl_buffer_fini(&f.state);
    sl_buffer_fini(&f.key);
    sl_buffer_fini(&f.value);
    return status;
}

sl_status finals_store(storage_actor *a, cut *c, uint32_t i, sl_error *error) {
    table *t = c->tables[i];
    sl_status status = SL_OK;
    t->closed_seen = true; /* What is prepared is committed, or everything begins anew. */
    sl_window_row row;
    for (size_t at = 0, n; status == SL_OK && (n = delta_get(c->merged[i].bytes + at, c->merged[i].length - at, &row)) != 0; at += n)
        status = sl_ledger_window_put(a->ledger, t->id, row.start_us, row.key, row.key_length, row.state, row.state_length, error);
    if (status == SL_OK && c->watermarks[i] != SL_NO_TIME)
        status = sl_ledger_window_drop(a->ledger, t->id, kept_from(c->shapes[i]->plans[t->slot], c->watermarks[i]), error);
    return status;
}
