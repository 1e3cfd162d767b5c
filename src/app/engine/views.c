/* What is asked of a running engine: a window as it stands, tables that are behind, the state of everything. */
#include "dedupe.h"
#include "state.h"
#include "storage.h"
#include "window_rows.h"
#include "worker.h"

#include "sluice/checkpoint.h"
#include "sluice/journal.h"

#include <inttypes.h>
#include <stdlib.h>

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
    p->limit = limit;
    p->done = done;
    p->context = context;
    e->peeks++;
    pipeline_all(e, &p->head);
}

typedef struct view {
    peek *peek;
    row_list list;
    sl_arena copies;
    uint32_t rows;
} view;

static sl_status view_stored(void *context, int64_t start, const void *key, size_t key_length,
                             const void *state, size_t state_length) {
    view *v = context;
    const sl_window_row row = {
        .start_us = start,
        .key = (uint8_t *)sl_arena_strndup(&v->copies, key, key_length),
        .key_length = key_length,
        .state = (uint8_t *)sl_arena_strndup(&v->copies, state, state_length),
        .state_length = state_length};
    return row.key != NULL && row.state != NULL && row_list_add(&v->list, &row) ? SL_OK : SL_ENOMEM;
}

static sl_status view_row(void *context, const sl_window_row *row) {
    view *v = context;
    sl_buffer *out = &v->peek->json;
    char text[40];
    (void)sl_time_format(row->start_us, text);
    sl_buffer_printf(out, "%s{\"window_start\":\"%s\"", v->rows++ != 0 ? "," : "", text);
    sl_status status = window_row_members(v->peek->shape->plans[v->peek->of->slot], row, out);
    sl_buffer_byte(out, '}');
    return out->failed ? SL_ENOMEM : status;
}

/* Keep the newest `limit` rows: the list is sorted by start, so the oldest are in front. */
static void view_limit(view *v) {
    if (v->list.count == 0)
        return;
    qsort(v->list.rows, v->list.count, sizeof *v->list.rows, window_row_compare);
    size_t groups = 1, from = v->list.count - 1;
    while (from > 0) {
        if (window_row_compare(&v->list.rows[from], &v->list.rows[from - 1]) != 0 &&
            ++groups > v->peek->limit)
            break;
        from--;
    }
    memmove(v->list.rows, v->list.rows + from, (v->list.count - from) * sizeof *v->list.rows);
    v->list.count -= from;
}

void peek_show(storage_actor *a, peek *p) {
    view v = {.peek = p};
    sl_arena_init(&v.copies, 1 << 16);
    sl_error error;
    sl_status status = SL_OK;
    if (p->of->id != 0)
        status = sl_ledger_windows(a->ledger, p->of->id, view_stored, &v, &error);
    for (uint32_t i = 0; i < a->engine->worker_count && status == SL_OK; i++)
        if (!row_list_deltas(&v.list, &p->deltas[i]))
            status = SL_ENOMEM;
    view_limit(&v);
    sl_buffer_printf(&p->json, "{\"window\":\"%s\",\"rows\":[", p->of->name);
    if (status == SL_OK)
        status = row_list_merge(&v.list, p->shape->plans[p->of->slot], view_row, &v);
    sl_buffer_text(&p->json, "]}\n");
    if (status != SL_OK)
        p->json.failed = true;
    sl_free(v.list.rows);
    sl_arena_fini(&v.copies);
    engine_return(a->engine, &a->out, p);
}

void peek_free(sl_engine *e, peek *p) {
    for (uint32_t i = 0; i < e->worker_count; i++)
        sl_buffer_fini(&p->deltas[i]);
    sl_buffer_fini(&p->json);
    shape_unref(p->shape);
    sl_free(p);
}

void peek_answer(sl_engine *e, peek *p) {
    e->peeks--;
    p->done(p->context, p->json.failed ? NULL : (const char *)p->json.bytes,
            p->json.failed ? 0 : p->json.length);
    peek_free(e, p);
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
