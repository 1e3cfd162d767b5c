/* Which stream takes an event that came without a path: the first, in the order of the configuration, whose `when` is true of it.
 *
 * A record's events may go to several streams. So a worker decodes such records twice. A first look takes the few members that
 * conditions ask for, typed as the streams' schemas have them, and nothing else; a value that isn't of its type is as if it weren't
 * there, so that a condition never depends on whether the event fulfils a contract. The conditions are evaluated column by
 * column over all events of the group. Then each event is decoded anew, alone, by the schema of the stream that takes it.
 *
 * What isn't an event (broken JSON, no object, too large) fits no condition: it goes where an event would go that none fits.
 * Where no `when` is asked before a stream takes everything there is no router, and none of this costs anything. */
#include "records.h"
#include "state.h"
#include "worker.h"

#include "sluice/decode.h"
#include "sluice/expression.h"

/* A stream that may be asked; one without `when` takes every event of its sources. */
typedef struct condition {
    stream *of;
    sl_expression_name *names; /* All fields of the stream; the columns of those that are asked for are right. */
    uint32_t name_count;
    uint32_t look;             /* Which of the schemas has them. */
} condition;

struct router {
    condition *conditions; /* In the order in which they are asked. */
    uint32_t count;
    stream *unrouted;      /* Takes what none of them takes. */
    sl_schema **looks;     /* One, unless two streams give a member different types. */
    uint32_t look_count;
};

struct route_look {
    sl_decoder **decoders; /* [look_count], likewise: */
    sl_batch **batches;
    sl_expression **whens; /* [count] */
    shape **shapes;        /* [count + 1] of this task; the last is that of what nobody takes */
    uint32_t look_count, count;
    uint32_t *takers;      /* [rows of a batch] whose condition; `count`: nobody's */
    sl_decode_input input; /* Of the record that is in the look so far only as far as there was room. */
    bool split;
    uint32_t next;         /* Record that is looked at next. */
    uint32_t row, reject;  /* What of the look is placed. */
};

/* --- the router --- */

/* The field below its objects in `to`, where they are added. @return SL_NO_FIELD: it has another type there, or no memory. */
static uint32_t project(sl_schema *to, const sl_schema *from, uint32_t field) {
    if (field == 0)
        return 0;
    const sl_field *f = &from->fields[field];
    uint32_t parent = project(to, from, f->parent);
    if (parent == SL_NO_FIELD)
        return parent;
    uint32_t found = sl_schema_child(to, parent, f->name, f->name_length);
    if (found != SL_NO_FIELD) {
        const sl_field *have = &to->fields[found];
        bool same = have->type == f->type && have->scale == f->scale && have->precision == f->precision &&
                    have->origin == f->origin;
        return same ? found : SL_NO_FIELD;
    }
    found = sl_schema_add(to, parent, f->name, f->name_length, f->type);
    if (found != SL_NO_FIELD) {
        to->fields[found].scale = f->scale;
        to->fields[found].precision = f->precision;
        to->fields[found].origin = f->origin;
    }
    return found;
}

/* @return SL_EEXIST: a member has another type there. */
static sl_status project_all(sl_schema **look, const sl_schema *schema, const uint32_t *fields, size_t count,
                             condition *c) {
    sl_schema *copy = sl_schema_copy(*look);
    sl_status status = copy != NULL ? SL_OK : SL_ENOMEM;
    for (size_t i = 0; i < count && status == SL_OK; i++) {
        uint32_t at = project(copy, schema, fields[i]);
        if (at == SL_NO_FIELD)
            status = SL_EEXIST;
        else
            c->names[fields[i] - 1].column = at;
    }
    if (status != SL_OK) {
        sl_schema_unref(copy);
        return status;
    }
    sl_schema_unref(*look);
    *look = copy;
    return SL_OK;
}

static sl_status add_look(router *r) {
    sl_schema **looks = sl_realloc(r->looks, (r->look_count + 1) * sizeof *looks);
    if (looks == NULL)
        return SL_ENOMEM;
    r->looks = looks;
    if ((r->looks[r->look_count] = sl_schema_create("look")) == NULL)
        return SL_ENOMEM;
    r->look_count++;
    return SL_OK;
}

static sl_status place_fields(router *r, condition *c, const sl_expression *when) {
    const sl_schema *schema = c->of->config->schema;
    size_t count;
    const uint32_t *fields = sl_expression_fields(when, &count);
    sl_status status = SL_EEXIST;
    for (c->look = 0; status == SL_EEXIST; c->look++) {
        bool fresh = c->look == r->look_count;
        status = fresh ? add_look(r) : SL_OK;
        if (status == SL_OK)
            status = project_all(&r->looks[c->look], schema, fields, count, c);
        if (status == SL_EEXIST && fresh)
            return SL_ENOMEM; /* Nothing in an empty one is of another type. */
    }
    c->look--;
    return status;
}

static sl_status add_condition(router *r, stream *s, sl_error *error) {
    const sl_schema *schema = s->config->schema;
    condition *c = &r->conditions[r->count];
    *c = (condition){.of = s};
    r->count++;
    if (s->config->when == NULL)
        return SL_OK;
    c->names = sl_calloc(schema->count, sizeof *c->names);
    c->name_count = schema->count - 1;
    if (c->names == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 1; i < schema->count; i++)
        c->names[i - 1] = (sl_expression_name){schema->fields[i].path, schema->fields[i].type, schema->fields[i].scale, 0};
    sl_expression *when;
    sl_status status = sl_expression_compile(s->config->when, schema, &when, error);
    if (status != SL_OK)
        return status;
    status = place_fields(r, c, when);
    sl_expression_destroy(when);
    return status;
}

sl_status router_create(sl_engine *e, sl_error *error) {
    router *r = sl_calloc(1, sizeof *r);
    if (r != NULL)
        r->conditions = sl_calloc(e->stream_count, sizeof *r->conditions);
    sl_status status = r != NULL && r->conditions != NULL ? SL_OK : SL_ENOMEM;
    for (uint32_t i = 0; i < e->stream_count && status == SL_OK; i++) {
        const sl_config_stream *c = e->streams[i]->config;
        if (c == NULL)
            continue;
        status = add_condition(r, e->streams[i], error);
        if (c->when == NULL && c->from_count == 0)
            break; /* Nobody behind it is asked. */
    }
    if (status == SL_OK && r->look_count != 0) {
        r->unrouted = e->unrouted;
        e->router = r;
        return SL_OK;
    }
    router_destroy(r);
    return status == SL_ENOMEM ? sl_error_set(error, status, "streams: out of memory") : status;
}

void router_destroy(router *r) {
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        sl_free(r->conditions[i].names);
    for (uint32_t i = 0; i < r->look_count; i++)
        sl_schema_unref(r->looks[i]);
    sl_free(r->conditions);
    sl_free(r->looks);
    sl_free(r);
}

void router_text(const router *r, sl_buffer *out) {
    for (uint32_t i = 0; r != NULL && i < r->count; i++) {
        const condition *c = &r->conditions[i];
        const sl_config_stream *config = c->of->config;
        sl_buffer_text(out, c->of->name);
        for (uint32_t k = 0; k < config->from_count; k++)
            sl_buffer_printf(out, "%s %s", k == 0 ? " from" : ",", config->from[k]);
        if (config->when != NULL)
            sl_buffer_printf(out, ": %s", config->when);
        for (uint32_t k = 0; k < c->name_count; k++)
            if (c->names[k].column != 0)
                sl_buffer_printf(out, "; %s %s", c->names[k].path, sl_type_name(c->names[k].type));
        sl_buffer_byte(out, '\n');
    }
}

/* The first that takes the source; with `all`, whatever the event. @return `count`: none does. */
static uint32_t first_of(const router *r, const char *source, bool all) {
    uint32_t i = 0;
    while (i < r->count && !(sl_config_takes(r->conditions[i].of->config, source) &&
                             (!all || r->conditions[i].of->config->when == NULL)))
        i++;
    return i;
}

bool route_asks(const sl_engine *e, const char *source) {
    const router *r = e->router;
    if (strcmp(source, "replay") == 0)
        source = "http"; /* As in stream_route(). */
    uint32_t i = r != NULL ? first_of(r, source, false) : 0;
    return r != NULL && i < r->count && r->conditions[i].of->config->when != NULL;
}

void route_share(sl_engine *e, task *t, uint32_t record) {
    const router *r = e->router;
    t->records[record].stream = ROUTED;
    t->shapes[record] = NULL;
    for (uint32_t i = 0; i < r->count; i++)
        if (!t->routed || r->conditions[i].of->inferred)
            task_use(t, r->conditions[i].of->current);
    task_use(t, r->unrouted->current);
    t->routed = true;
}

/* --- a worker's look --- */

void route_look_destroy(route_look *look) {
    if (look == NULL)
        return;
    for (uint32_t i = 0; i < look->look_count; i++) {
        sl_decoder_destroy(look->decoders[i]);
        sl_batch_destroy(look->batches[i]);
    }
    for (uint32_t i = 0; i < look->count; i++)
        sl_expression_destroy(look->whens[i]);
    sl_free(look->decoders);
    sl_free(look->batches);
    sl_free(look->whens);
    sl_free(look->shapes);
    sl_free(look->takers);
    sl_free(look);
}

bool route_look_create(worker *w) {
    const router *r = w->engine->router;
    route_look *look = w->look = sl_calloc(1, sizeof *look);
    if (look == NULL)
        return false;
    look->decoders = sl_calloc(r->look_count, sizeof(sl_decoder *));
    look->batches = sl_calloc(r->look_count, sizeof(sl_batch *));
    look->whens = sl_calloc(r->count, sizeof(sl_expression *));
    look->shapes = sl_calloc(r->count + 1, sizeof(shape *));
    look->takers = sl_calloc(SL_BATCH_ROWS_MAX, sizeof *look->takers);
    if (look->decoders == NULL || look->batches == NULL || look->whens == NULL || look->shapes == NULL ||
        look->takers == NULL)
        return false;
    look->look_count = r->look_count;
    look->count = r->count;
    const sl_decoder_options options = {.event_bytes_max = (uint32_t)w->engine->config->http.max_event, .lenient = true};
    for (uint32_t i = 0; i < r->look_count; i++)
        if ((look->batches[i] = sl_batch_create(NULL)) == NULL ||
            sl_decoder_create(r->looks[i], &options, &look->decoders[i]) != SL_OK)
            return false;
    sl_error error;
    for (uint32_t i = 0; i < r->count; i++)
        if (r->conditions[i].of->config->when != NULL &&
            sl_expression_compile_names(r->conditions[i].of->config->when, r->conditions[i].names,
                                        r->conditions[i].name_count, false, &look->whens[i], &error) != SL_OK)
            return false;
    return true;
}

/* The newest: a task may have been decoded before with an older one. */
static shape *shape_of(const task *t, const stream *s) {
    uint32_t i = t->use_count;
    while (i-- > 0)
        if (t->uses[i]->of == s)
            return t->uses[i];
    return NULL;
}

bool route_begin(worker *w, const task *t) {
    const router *r = w->engine->router;
    route_look *look = w->look;
    for (uint32_t i = 0; i <= r->count; i++)
        if ((look->shapes[i] = shape_of(t, i == r->count ? r->unrouted : r->conditions[i].of)) == NULL)
            return false;
    look->split = false;
    look->next = look->row = look->reject = 0;
    return sl_batch_prepare(look->batches[0], r->looks[0], t->group->bytes, t->records) == SL_OK;
}

static const char *source_of(const worker *w, const task *t, uint32_t record) {
    return w->engine->sources[t->records[record].source];
}

/* Of CSV without a line of them: those of the stream that is asked first. */
static const sl_decode_names *names_of(const worker *w, const task *t, uint32_t record) {
    const router *r = w->engine->router;
    uint32_t i = first_of(r, source_of(w, t, record), false);
    return i < r->count ? &r->conditions[i].of->config->csv.names : NULL;
}

/* Where types differ, the other ones' columns, row by row. */
static sl_status look_again(const worker *w, const task *t, uint32_t i) {
    const route_look *look = w->look;
    const sl_batch *first = look->batches[0];
    sl_status status = SL_OK;
    for (uint32_t row = 0; row < first->rows && status == SL_OK; row++) {
        const sl_decode_place place = {.record = first->row_record[row],
                                       .index = sl_batch_index(first, row),
                                       .begin = first->row_begin[row],
                                       .length = first->row_length[row],
                                       .names = names_of(w, t, first->row_record[row])};
        bool kept;
        status = sl_decode_event(look->decoders[i], look->batches[i], &place, &kept);
    }
    return status;
}

static bool ask_one(const worker *w, const task *t, uint32_t i, uint32_t *left) {
    const router *r = w->engine->router;
    const sl_config_stream *c = r->conditions[i].of->config;
    route_look *look = w->look;
    const sl_batch *b = look->batches[0];
    const sl_column *answers =
        c->when != NULL ? sl_expression_run(look->whens[i], look->batches[r->conditions[i].look], NULL) : NULL;
    if (c->when != NULL && answers == NULL)
        return false;
    for (uint32_t row = 0; row < b->rows; row++) {
        if (look->takers[row] != r->count || (answers != NULL && !(answers->valid[row] && answers->values.truth[row])) ||
            !sl_config_takes(c, source_of(w, t, b->row_record[row])))
            continue;
        look->takers[row] = i;
        --*left;
    }
    return true;
}

static bool ask(const worker *w, const task *t) {
    const router *r = w->engine->router;
    uint32_t left = w->look->batches[0]->rows;
    for (uint32_t row = 0; row < left; row++)
        w->look->takers[row] = r->count;
    for (uint32_t i = 0; i < r->count && left != 0; i++)
        if (!ask_one(w, t, i, &left))
            return false;
    return true;
}

/* Look at as many events as there is room for. */
static bool refill(worker *w, task *t) {
    const router *r = w->engine->router;
    route_look *look = w->look;
    sl_batch *first = look->batches[0];
    uint32_t capacity = UINT32_MAX;
    for (uint32_t i = 0; i < r->look_count; i++) {
        if (sl_batch_prepare(look->batches[i], r->looks[i], t->group->bytes, t->records) != SL_OK)
            return false;
        if (look->batches[i]->capacity < capacity)
            capacity = look->batches[i]->capacity;
    }
    first->capacity = capacity;
    look->row = look->reject = 0;
    sl_status status = SL_OK;
    while (status == SL_OK && look->next < t->record_count) {
        const sl_record *next = &t->records[look->next];
        if (next->stream == ROUTED && !items_carried(next->format)) {
            if (!look->split)
                look->input = (sl_decode_input){.record = look->next, .names = names_of(w, t, look->next)};
            status = sl_decode(look->decoders[0], first, &look->input);
            look->split = status == SL_EFULL;
        }
        look->next += status == SL_OK;
    }
    if (status != SL_OK && status != SL_EFULL)
        return false;
    for (uint32_t i = 1; i < r->look_count; i++)
        if (look_again(w, t, i) != SL_OK)
            return false;
    for (uint32_t i = 0; i < r->look_count; i++)
        sl_batch_fill_origins(look->batches[i], (const char *const *)w->engine->sources);
    return !first->arena.failed && ask(w, t);
}

/* --- each event to its stream --- */

static bool refuse(worker *w, task *t, shape *s, const sl_reject *refused, const char *path, size_t path_length,
                   const char *text, size_t text_length) {
    part *p = worker_part(w, t, s);
    if (p != NULL && sl_decode_is_full(p->batch))
        p = worker_part_add(w, t, s);
    if (p == NULL)
        return false;
    sl_reject reject = *refused;
    reject.path = sl_batch_keep_text(p->batch, path, path_length);
    reject.message = sl_batch_keep_text(p->batch, text, text_length);
    if (p->batch->arena.failed || !sl_batch_reject(p->batch, &reject))
        return false;
    t->records[reject.record].rejected++;
    p->routed_bytes += reject.length;
    return true;
}

static bool place_row(worker *w, task *t, uint32_t row) {
    static const char nobody[] = "no stream takes it: no `when` is true of it";
    const route_look *look = w->look;
    const sl_batch *b = look->batches[0];
    shape *s = look->shapes[look->takers[row]];
    const sl_decode_place place = {.record = b->row_record[row],
                                   .index = sl_batch_index(b, row),
                                   .begin = b->row_begin[row],
                                   .length = b->row_length[row],
                                   .names = names_of(w, t, b->row_record[row])};
    if (s->of->unrouted) {
        const sl_reject reject = {.record = place.record,
                                  .index = place.index,
                                  .begin = place.begin,
                                  .length = place.length,
                                  .code = SL_CODE_NO_STREAM};
        return refuse(w, t, s, &reject, "", 0, nobody, sizeof nobody - 1);
    }
    sl_decoder *decoder = worker_decoder(w, s);
    part *p = decoder != NULL ? worker_part(w, t, s) : NULL;
    sl_status status = SL_EFULL;
    bool kept = false;
    while (p != NULL && (status = sl_decode_event(decoder, p->batch, &place, &kept)) == SL_EFULL)
        p = worker_part_add(w, t, s);
    if (p == NULL || status != SL_OK)
        return false;
    t->records[place.record].accepted += kept;
    t->records[place.record].rejected += !kept;
    p->routed_bytes += place.length;
    return true;
}

static bool place_reject(worker *w, task *t, uint32_t reject) {
    const sl_batch *b = w->look->batches[0];
    const sl_reject *r = &b->rejects[reject];
    shape *s = w->look->shapes[first_of(w->engine->router, source_of(w, t, r->record), true)];
    return refuse(w, t, s, r, (const char *)sl_batch_text(b, r->path), r->path.length,
                  (const char *)sl_batch_text(b, r->message), r->message.length);
}

bool route_record(worker *w, task *t, uint32_t record) {
    route_look *look = w->look;
    const sl_batch *b = look->batches[0];
    t->records[record].accepted = t->records[record].rejected = 0;
    for (;;) {
        bool row = look->row < b->rows && b->row_record[look->row] == record;
        bool reject = look->reject < b->reject_count && b->rejects[look->reject].record == record;
        if (row && reject)
            row = sl_batch_index(b, look->row) < b->rejects[look->reject].index;
        if (row ? !place_row(w, t, look->row++) : reject && !place_reject(w, t, look->reject++))
            return false;
        if (row || reject)
            continue;
        if (look->next > record)
            return true;
        if (!refill(w, t))
            return false;
    }
}

/* --- who has an event of it --- */

static bool has_row(const task *t, const stream *s, uint32_t record, route_cursor *c) {
    for (; c->row_part < t->part_count; c->row_part++, c->row = 0) {
        const part *p = &t->parts[c->row_part];
        if (p->shape->of != s)
            continue;
        while (c->row < p->batch->rows && p->batch->row_record[c->row] < record)
            c->row++;
        if (c->row < p->batch->rows)
            return p->batch->row_record[c->row] == record;
    }
    return false;
}

bool route_has(const task *t, const stream *s, uint32_t record, route_cursor *c) {
    if (has_row(t, s, record, c))
        return true;
    for (; c->reject_part < t->part_count; c->reject_part++, c->reject = 0) {
        const part *p = &t->parts[c->reject_part];
        if (p->shape->of != s)
            continue;
        while (c->reject < p->decoded_rejects && p->batch->rejects[c->reject].record < record)
            c->reject++;
        if (c->reject < p->decoded_rejects)
            return p->batch->rejects[c->reject].record == record;
    }
    return false;
}
