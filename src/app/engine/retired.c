/* Tables that the configuration doesn't name any more: what was committed of them is delivered all the same. A
 * window's deltas can't be merged without its definition, nor that be read without the stream's schema, so the
 * ledger keeps both as of the last start, under "definition:WINDOW" and "schema:STREAM".
 *
 * A definition is
 *     WIDTH " " OFFSET " " LATENESS " " GROUPS " " MEASURES ";"
 * and then, as LENGTH ":" BYTES ";", each group's path, and each measure's name and text. */
#include "claims.h"
#include "state.h"

#include "sluice/checkpoint.h"
#include "sluice/window.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void put(sl_buffer *out, const char *text) {
    sl_buffer_printf(out, "%zu:%s;", strlen(text), text);
}

static void write_definition(const sl_window_definition *d, sl_buffer *out) {
    sl_buffer_printf(out, "%" PRId64 " %" PRId64 " %" PRId64 " %u %u;", d->width_us, d->offset_us,
                     d->lateness_us, d->by_count, d->measure_count);
    for (uint32_t i = 0; i < d->by_count; i++)
        put(out, d->by[i]);
    for (uint32_t i = 0; i < d->measure_count; i++) {
        put(out, d->measures[i].name);
        put(out, d->measures[i].text);
    }
}

/* @param at Moves behind the text, whose ';' becomes its end. @return NULL: there is none. */
static const char *take(char **at) {
    char *colon;
    const size_t length = strtoul(*at, &colon, 10);
    if (*colon != ':' || strlen(colon + 1) <= length || colon[1 + length] != ';')
        return NULL;
    colon[1 + length] = 0;
    *at = colon + length + 2;
    return colon + 1;
}

typedef struct definition {
    sl_window_definition window;
    const char *by[COMPANIONS_MAX];
    sl_measure_definition measures[256];
} definition;

/* @param text Changed, and pointed into. */
static bool read_definition(definition *d, const char *name, char *text) {
    sl_window_definition *w = &d->window;
    int used = 0;
    if (sscanf(text, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNu32 " %" SCNu32 ";%n", &w->width_us,
               &w->offset_us, &w->lateness_us, &w->by_count, &w->measure_count, &used) != 5 ||
        used == 0 || w->by_count > sizeof d->by / sizeof *d->by ||
        w->measure_count > sizeof d->measures / sizeof *d->measures)
        return false;
    w->name = name;
    w->by = d->by;
    w->measures = d->measures;
    char *at = text + used;
    bool whole = true;
    for (uint32_t i = 0; i < w->by_count && whole; i++)
        whole = (d->by[i] = take(&at)) != NULL;
    for (uint32_t i = 0; i < w->measure_count && whole; i++) {
        d->measures[i].name = take(&at);
        d->measures[i].text = d->measures[i].name != NULL ? take(&at) : NULL;
        whole = d->measures[i].text != NULL;
    }
    return whole;
}

static sl_status get_fact(sl_engine *e, const char *kind, const char *name, sl_buffer *out,
                          sl_error *error) {
    sl_buffer key = SL_BUFFER_EMPTY;
    sl_buffer_printf(&key, "%s:%s", kind, name);
    const char *text = sl_buffer_cstr(&key);
    sl_status status = key.failed ? no_memory(error) : sl_ledger_get(e->storage.ledger, text, out, error);
    sl_buffer_fini(&key);
    (void)sl_buffer_cstr(out); /* Its end may take memory, too. */
    return status == SL_OK && out->failed ? no_memory(error) : status;
}

static sl_status put_fact(sl_engine *e, const char *kind, const char *name, sl_buffer *value,
                          sl_error *error) {
    sl_buffer key = SL_BUFFER_EMPTY, stored = SL_BUFFER_EMPTY;
    sl_buffer_printf(&key, "%s:%s", kind, name);
    const char *text = sl_buffer_cstr(&key), *now = sl_buffer_cstr(value);
    sl_status status = key.failed || value->failed ? no_memory(error)
                                                   : get_fact(e, kind, name, &stored, error);
    if (status == SL_OK && strcmp(sl_buffer_cstr(&stored), now) != 0)
        status = sl_ledger_set(e->storage.ledger, text, now, error);
    sl_buffer_fini(&key);
    sl_buffer_fini(&stored);
    return status;
}

sl_status retired_prepare(sl_engine *e, sl_error *error) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < e->stream_count && status == SL_OK; i++) {
        const stream *s = e->streams[i];
        sl_buffer text = SL_BUFFER_EMPTY;
        if (!s->inferred && !s->unrouted) /* Else nothing: `schemas` has it. */
            sl_schema_store(s->current->schema, &text);
        status = put_fact(e, "schema", s->name, &text, error);
        sl_buffer_fini(&text);
    }
    for (uint32_t i = 0; i < e->table_count && status == SL_OK; i++) {
        const table *t = e->tables[i];
        if (t->kind != SL_TABLE_WINDOW)
            continue;
        sl_buffer text = SL_BUFFER_EMPTY;
        write_definition(t->window, &text);
        status = put_fact(e, "definition", t->name, &text, error);
        sl_buffer_fini(&text);
    }
    return status;
}

typedef struct wanted {
    const char *stream;
    sl_schema *schema;
    sl_error *error;
} wanted;

static sl_status find_schema(void *context, const char *name, uint32_t version, const char *json,
                             size_t length) {
    (void)version;
    wanted *w = context;
    return w->schema != NULL || strcmp(name, w->stream) != 0
               ? SL_OK
               : sl_schema_load(json, length, &w->schema, w->error);
}

/* As the stream had it last; an empty one where nothing is known of it. */
static sl_status stream_schema(sl_engine *e, const char *name, sl_schema **out, sl_error *error) {
    wanted w = {.stream = name, .error = error};
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_status status = get_fact(e, "schema", name, &text, error);
    if (status == SL_OK && text.length != 0)
        status = sl_schema_load((const char *)text.bytes, text.length, &w.schema, error);
    else if (status == SL_OK)
        status = sl_ledger_schemas(e->storage.ledger, find_schema, &w, error);
    sl_buffer_fini(&text);
    if (status == SL_OK && w.schema == NULL && (w.schema = sl_schema_create(name)) == NULL)
        status = no_memory(error);
    *out = w.schema;
    return status;
}

static sl_status window_plan(sl_engine *e, const char *name, const sl_schema *schema,
                             sl_window_plan **out, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    definition *d = sl_calloc(1, sizeof *d);
    sl_status status = d == NULL ? no_memory(error) : get_fact(e, "definition", name, &text, error);
    if (status == SL_OK)
        status = text.length != 0 && read_definition(d, name, (char *)text.bytes)
                     ? sl_window_plan_create(&d->window, schema, out, error)
                     : sl_error_set(error, SL_ECORRUPT, "ledger: window %s has no definition", name);
    sl_buffer_fini(&text);
    sl_free(d);
    return status;
}

static sl_status retired_shape(sl_engine *e, const char *stream_name, const char *window, shape **out,
                               sl_error *error) {
    shape *result = sl_calloc(1, sizeof *result);
    if (result == NULL)
        return no_memory(error);
    atomic_init(&result->references, 1);
    result->of = e->unrouted;
    result->event_time = SL_NO_FIELD;
    result->table_count = 1;
    sl_status status = stream_schema(e, stream_name, &result->schema, error);
    if (status == SL_OK && window != NULL)
        status = window_plan(e, window, result->schema, &result->plans[0], error);
    if (status == SL_OK)
        *out = result;
    else
        shape_unref(result);
    return status;
}

sl_status retired_add(sl_engine *e, const sl_ledger_table *row, table **out, sl_error *error) {
    table *t = sl_calloc(1, sizeof *t);
    if (t == NULL)
        return no_memory(error);
    t->of = e->unrouted;
    t->kind = row->kind;
    t->id = row->id;
    t->retired = true;
    t->first = t->last = t->cursor = row->cursor;
    t->last_pending = &t->first_pending;
    t->name = sl_strdup(row->name);
    t->target = sl_strdup(row->target);
    sl_status status =
        t->name == NULL || t->target == NULL ? no_memory(error) : table_destination(e, t, error);
    if (status == SL_OK) {
        table_metrics(e, t);
        status = retired_shape(e, row->stream, t->kind == SL_TABLE_WINDOW ? t->name : NULL, &t->last_shape,
                               error);
    }
    if (status != SL_OK) {
        retired_destroy(t);
        return status;
    }
    t->next_retired = e->retired;
    e->retired = t;
    *out = t;
    return SL_OK;
}

void retired_destroy(table *t) {
    shape_unref(t->last_shape);
    claims_fini(t);
    sl_free(t->name);
    sl_free(t->target);
    sl_free(t);
}
