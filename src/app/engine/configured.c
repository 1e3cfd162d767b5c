/* Another configuration: what the ledger has must fit it, or the start ends here and leaves nothing behind. Tables
 * that are new, or come back, get their place in the log. */
#include "recovery.h"

#include "records.h"
#include "storage.h"

#include "sluice/journal.h"
#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>

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

sl_status enter_configuration(sl_engine *e, recovery *r, sl_error *error) {
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
