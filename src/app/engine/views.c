/* What is asked of a running engine: a window as it stands, tables that are behind, the state of everything. */
#include "dedupe.h"
#include "state.h"
#include "worker.h"

#include "sluice/journal.h"

#include <inttypes.h>

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
