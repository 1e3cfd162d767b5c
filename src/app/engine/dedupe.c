/* Events without duplicates: between the loop and the workers' pipelines an actor of its own judges them, in the order of the log.
 * It is there only where a stream asks for it, or where the log is a topic. Everything that goes to the workers goes through it then, so
 * that cuts stand between the same events for the store as for the tables.
 *
 * Where the log is a topic (ingest.log), each stream has a second store, for requests that came again: its keys are those that messages
 * bring in their address, with the place of the event in the message. A claim's time is its event's arrival, the horizon KEY_LIFE_US. What is
 * older than the watermark by more is kept, and claims nothing: the watermark is never ahead of arrival, so a repeat within the horizon of
 * it is found, and claims stay longer where events are about the past. A store is opened when the first key comes. */
#include "claims.h"
#include "cuts.h"
#include "dedupe.h"
#include "records.h"
#include "requests.h"
#include "state.h"
#include "storage.h"
#include "worker.h"

#include "sluice/checkpoint.h"
#include "sluice/dedupe.h"
#include "sluice/message.h"

#include <stdio.h>

enum { SMALL_GROUP = 64 << 10, SMALL_GROUPS = 3, RETRY_US = 100 * 1000, REPEATS_RUN = 16384 };

static sl_status open_store(sl_engine *e, stream *s, bool repeats, sl_buffer *record, sl_error *error);

/* --- into the pipeline --- */

static void to_workers(sl_engine *e, message *m) {
    for (uint32_t i = 0; i < e->worker_count; i++)
        engine_send(e, &e->workers[i].pipeline, &e->workers[i].actor, m);
}

void pipeline_task(sl_engine *e, task *t) {
    worker *w = &e->workers[t->worker];
    if (e->dedupe.active)
        engine_send(e, &e->dedupe.in, &e->dedupe.actor, t);
    /* A small group doesn't pay for waking a thread: the next verdict or the next turn does. */
    else if (t->bytes >= SMALL_GROUP || sl_ring_count(&w->pipeline) >= SMALL_GROUPS || !sl_ring_push(&w->pipeline, t))
        engine_send(e, &w->pipeline, &w->actor, t);
}

void pipeline_all(sl_engine *e, message *m) {
    m->waiting = e->worker_count;
    if (e->dedupe.active)
        engine_send(e, &e->dedupe.in, &e->dedupe.actor, m);
    else
        to_workers(e, m);
}

/* --- judging --- */

static void told(const stream *s, sl_status status, const sl_error *error) {
    sl_message(SL_LEVEL_ERROR, "dedupe",
               status == SL_ECORRUPT ? "what it knows is damaged: nothing goes on until it is mended" : "has to wait",
               "stream=%s error=\"%s\"", s->name, error->text);
}

/* Those whose message has a key; the stream's watermark stands where it stands before each of them. */
static void fill_repeats(dedupe_actor *a, const task *t, const part *p) {
    const sl_batch *b = p->batch;
    const uint32_t field = p->shape->decoded_time;
    int64_t watermark = p->watermark_us;
    a->event_count = 0;
    for (uint32_t row = 0; row < b->rows; row++) {
        const sl_record *record = &b->records[b->row_record[row]];
        const bool timed = field == SL_NO_FIELD || sl_batch_present(b, field, row);
        const int64_t arrival = sl_batch_arrival(b, row);
        const int64_t time = timed && field != SL_NO_FIELD ? b->columns[field].values.i64[row] : arrival;
        const int64_t step = time < arrival ? time : arrival;
        sl_message_address address;
        if (b->verdict[row] == SL_VERDICT_KEEP && items_address(t, record, &address) && address.key != NULL &&
            (watermark == SL_NO_TIME || arrival >= watermark - KEY_LIFE_US)) {
            uint8_t text[SL_ADDRESS_KEY + sizeof(uint32_t)];
            const uint32_t index = sl_batch_index(b, row);
            memcpy(text, address.key, SL_ADDRESS_KEY);
            memcpy(text + SL_ADDRESS_KEY, &index, sizeof index);
            a->events[a->event_count++] = (sl_dedupe_event){.key = sl_hash128_of(text, sizeof text),
                                                            .position = sl_batch_logged(b, row),
                                                            .time_us = arrival,
                                                            .watermark_us = watermark,
                                                            .row = row};
        }
        if (timed && !record->replay && (watermark == SL_NO_TIME || step > watermark))
            watermark = step;
    }
}

/* Each with the watermark before it; late ones have their verdict here, as it goes by the same watermark. */
static void fill_events(dedupe_actor *a, const part *p) {
    const sl_batch *b = p->batch;
    const uint32_t field = p->shape->decoded_time;
    const bool flat = field != SL_NO_FIELD && b->schema->fields[field].parent == 0;
    const int64_t limit = p->shape->of->config->late_limit_us;
    const int64_t horizon = p->shape->of->config->dedupe_us;
    int64_t watermark = p->watermark_us;
    a->event_count = 0;
    for (uint32_t row = 0; row < b->rows; row++) {
        bool timed = field == SL_NO_FIELD || (flat ? b->columns[field].valid[row] != 0 : sl_batch_present(b, field, row));
        int64_t arrival = sl_batch_arrival(b, row);
        int64_t time = timed && field != SL_NO_FIELD ? b->columns[field].values.i64[row] : arrival;
        int64_t step = time < arrival ? time : arrival;
        bool kept = b->verdict[row] == SL_VERDICT_KEEP;
        if (p->replays && b->records[b->row_record[row]].replay) {
            timed = false; /* It had come in time, or nobody knows; and it moves nothing. */
            kept = kept && (watermark == SL_NO_TIME || step >= watermark - horizon);
        }
        if (kept && timed && limit != 0 && watermark != SL_NO_TIME && time < watermark - limit)
            b->verdict[row] = SL_VERDICT_LATE;
        else if (kept && p->ids[row].there)
            a->events[a->event_count++] = (sl_dedupe_event){.key = p->ids[row].hash,
                                                            .position = sl_batch_logged(b, row),
                                                            .time_us = step,
                                                            .watermark_us = watermark,
                                                            .row = row};
        if (timed && (watermark == SL_NO_TIME || step > watermark))
            watermark = step;
    }
}

static void count_duplicates(const part *p) {
    uint32_t count = 0;
    for (uint32_t row = 0; row < p->batch->rows; row++)
        count += p->batch->verdict[row] == SL_VERDICT_DUPLICATE;
    if (count != 0)
        sl_metric_add(p->shape->of->duplicates, count);
}

/* About a megabyte of what a store wants done. @return SL_EAGAIN: there is more of it; SL_ENOTFOUND: nothing is wanted. */
static sl_status work_slice(dedupe_actor *a, dedupe_store *s) {
    if (a->work == NULL && (a->work = sl_dedupe_work_next(s->store)) != NULL)
        a->work_of = s;
    if (a->work == NULL)
        return SL_ENOTFOUND;
    sl_error error = {0};
    sl_status status = sl_dedupe_work_run(a->work, &error);
    if (status == SL_EAGAIN)
        return status;
    sl_dedupe_work_done(a->work_of->store, a->work);
    a->work = NULL;
    if (status != SL_OK) {
        a->work_at_us = engine_now(a->engine) + SL_SECOND_US;
        told(a->work_of->of, status, &error);
    }
    return status;
}

/* The store can't take more before it has written. @return false: that fails now. */
static bool make_room(dedupe_actor *a, dedupe_store *s) {
    for (;;) {
        bool own = a->work == NULL || a->work_of == s;
        sl_status status = work_slice(a, s);
        if (status == SL_OK && own)
            return true;
        if (status != SL_OK && status != SL_EAGAIN)
            return false;
    }
}

/* @return false: they have to wait. */
static bool judge_events(dedupe_actor *a, const part *p, dedupe_store *s) {
    while (a->held_event < a->event_count) {
        uint32_t done = 0;
        sl_error error = {0};
        sl_status status = sl_dedupe_judge(s->store, a->events + a->held_event, a->event_count - a->held_event,
                                           p->batch->verdict, &done, &error);
        a->held_event += done;
        if (status == SL_OK)
            break;
        if (status == SL_EFULL && make_room(a, s))
            continue;
        if (status != SL_EFULL)
            told(s->of, status, &error);
        return false;
    }
    return true;
}

static dedupe_store *store_of(dedupe_actor *a, const stream *s, bool repeats) {
    for (uint32_t i = 0; i < a->store_count; i++)
        if (a->stores[i].of == s && a->stores[i].repeats == repeats)
            return &a->stores[i];
    return NULL;
}

/* @return false: it has to wait. */
static bool judge_repeats(dedupe_actor *a, const task *t, const part *p) {
    stream *s = p->shape->of;
    if (!a->repeats || s->unrouted || t->item_count == 0)
        return true;
    if (!a->held_filled) {
        fill_repeats(a, t, p);
        a->held_event = 0;
        a->held_filled = true;
    }
    dedupe_store *store = store_of(a, s, true);
    if (store == NULL && a->event_count != 0) {
        sl_error error = {0};
        sl_status status = open_store(a->engine, s, true, NULL, &error);
        if (status != SL_OK) {
            told(s, status, &error);
            return false;
        }
        store = store_of(a, s, true);
    }
    if (store != NULL && !judge_events(a, p, store))
        return false;
    a->held_filled = false;
    return true;
}

/* @return false: it has to wait. */
static bool judge_ids(dedupe_actor *a, const part *p) {
    dedupe_store *store = store_of(a, p->shape->of, false);
    if (store == NULL)
        return true;
    if (!a->held_filled) {
        fill_events(a, p);
        a->held_event = 0;
        a->held_filled = true;
    }
    if (!judge_events(a, p, store))
        return false;
    a->held_filled = false;
    return true;
}

static bool judge(dedupe_actor *a, task *t) {
    for (; a->held_part < t->part_count; a->held_part++) {
        const part *p = &t->parts[a->held_part];
        if (p->skip)
            continue;
        if (!a->held_ids && !judge_repeats(a, t, p))
            return false;
        a->held_ids = true; /* Repeats of this part are known, should its ids have to wait. */
        if (!judge_ids(a, p))
            return false;
        a->held_ids = false;
        count_duplicates(p);
    }
    a->held_part = 0;
    return true;
}

/* --- cuts --- */

static bool begin_marks(dedupe_actor *a, cut *c) {
    for (uint32_t i = 0; i < c->mark_count; i++) {
        dedupe_mark *m = c->marks[i];
        m->store = store_of(a, m->of, m->repeats); /* NULL: no key came yet. */
        if (m->cut == NULL && m->store != NULL && (m->cut = sl_dedupe_cut_begin(m->store->store)) == NULL)
            return false;
    }
    return true;
}

static void end_mark(dedupe_mark *m) {
    if (m->cut != NULL)
        sl_dedupe_cut_end(m->store->store, m->cut, m->committed);
    if (m->store != NULL && m->committed && m->release_us != SL_NO_TIME)
        sl_dedupe_release(m->store->store, m->release_us);
    sl_buffer_fini(&m->record);
    sl_free(m);
}

/* @return false: it has to wait. */
static bool pass_on(dedupe_actor *a, message *m) {
    worker *w;
    switch (m->kind) {
    case MESSAGE_TASK:
        if (!judge(a, (task *)m))
            return false;
        w = &a->engine->workers[((task *)m)->worker];
        engine_send(a->engine, &w->pipeline, &w->actor, m);
        return true;
    case MESSAGE_CUT:
        if (!begin_marks(a, (cut *)m))
            return false;
        break;
    case MESSAGE_MARK:
        end_mark((dedupe_mark *)m);
        return true;
    case MESSAGE_REWIND:
    case MESSAGE_PEEK:
    case MESSAGE_DATA:
    case MESSAGE_DELIVERED:
    case MESSAGE_KEYS:
    case MESSAGE_KEY:
    case MESSAGE_TRIM:
    case MESSAGE_VOID:
        break;
    }
    to_workers(a->engine, m);
    return true;
}

/* When nothing else is to be done. */
static bool work(dedupe_actor *a) {
    if (engine_now(a->engine) < a->work_at_us)
        return false;
    for (uint32_t i = 0; i < a->store_count; i++)
        if (work_slice(a, &a->stores[i]) != SL_ENOTFOUND)
            return true;
    return false;
}

static bool dedupe_run(void *context) {
    dedupe_actor *a = context;
    if (a->held == NULL)
        a->held = sl_ring_pop(&a->in);
    if (a->held == NULL)
        return work(a);
    if (engine_now(a->engine) < a->retry_at_us)
        return false;
    if (!pass_on(a, a->held)) {
        a->retry_at_us = engine_now(a->engine) + RETRY_US;
        return false;
    }
    a->held = NULL;
    a->retry_at_us = 0;
    return true;
}

/* --- the loop's and storage's part of a cut --- */

static bool add_mark(cut *c, stream *s, bool repeats) {
    dedupe_mark *m = sl_calloc(1, sizeof *m);
    if (m == NULL)
        return false;
    m->head.kind = MESSAGE_MARK;
    m->of = s;
    m->repeats = repeats;
    c->marks[c->mark_count++] = m;
    return true;
}

bool dedupe_mark_cut(sl_engine *e, cut *c) {
    c->marks = sl_calloc((size_t)2 * e->stream_count, sizeof(dedupe_mark *));
    bool good = c->marks != NULL;
    for (uint32_t i = 0; good && i < e->stream_count; i++) {
        stream *s = e->streams[i];
        good = (s->dedupe == NULL || add_mark(c, s, false)) && (!e->dedupe.repeats || s->unrouted || add_mark(c, s, true));
    }
    if (!good) {
        for (uint32_t i = 0; i < c->mark_count; i++)
            sl_free(c->marks[i]);
        c->mark_count = 0;
        return false;
    }
    for (uint32_t i = 0; i < c->mark_count; i++) {
        dedupe_mark *m = c->marks[i];
        *m->of->last_mark = m;
        m->of->last_mark = &m->next;
    }
    return true;
}

sl_status dedupe_write(cut *c, sl_error *error) {
    for (uint32_t i = 0; i < c->mark_count; i++) {
        dedupe_mark *m = c->marks[i];
        if (m->written || m->cut == NULL)
            continue;
        sl_buffer_clear(&m->record);
        sl_status status = sl_dedupe_cut_write(m->cut, &m->record, error);
        if (status == SL_OK && m->record.failed)
            status = sl_error_set(error, SL_ENOMEM, "dedupe: out of memory");
        if (status != SL_OK)
            return status;
        m->written = true;
    }
    return SL_OK;
}

static const char *kind_of(bool repeats) { return repeats ? "repeats" : "dedupe"; }

static void fact_name(const stream *s, bool repeats, sl_buffer *out) { sl_buffer_printf(out, "%s:%s", kind_of(repeats), s->name); }

sl_status dedupe_note(storage_actor *a, cut *c, sl_error *error) {
    static const char hex[] = "0123456789abcdef";
    sl_status status = SL_OK;
    sl_buffer name = SL_BUFFER_EMPTY, text = SL_BUFFER_EMPTY;
    for (uint32_t i = 0; i < c->mark_count && status == SL_OK; i++) {
        const dedupe_mark *m = c->marks[i];
        if (m->cut == NULL)
            continue;
        sl_buffer_clear(&name);
        sl_buffer_clear(&text);
        fact_name(m->of, m->repeats, &name);
        for (size_t k = 0; k < m->record.length; k++) {
            sl_buffer_byte(&text, (uint8_t)hex[m->record.bytes[k] >> 4]);
            sl_buffer_byte(&text, (uint8_t)hex[m->record.bytes[k] & 15]);
        }
        const char *key = sl_buffer_cstr(&name), *value = sl_buffer_cstr(&text);
        status = name.failed || text.failed ? sl_error_set(error, SL_ENOMEM, "dedupe: out of memory")
                                            : sl_ledger_set(a->ledger, key, value, error);
    }
    sl_buffer_fini(&name);
    sl_buffer_fini(&text);
    return status;
}

static int64_t slowest_watermark(const stream *s) {
    int64_t watermark = SL_NO_TIME;
    uint64_t low = UINT64_MAX;
    for (uint32_t k = 0; k < s->table_count; k++) {
        int64_t at;
        const uint64_t floor = claims_floor(s->tables[k], &at);
        if (floor < low) {
            low = floor;
            watermark = at;
        }
    }
    return watermark;
}

/* Cuts of a store end in the order they began, though one that was given up may be back before an older one. */
void dedupe_end_cut(sl_engine *e, cut *c, bool committed) {
    for (uint32_t i = 0; i < c->mark_count; i++) {
        stream *s = c->marks[i]->of;
        c->marks[i]->ended = true;
        c->marks[i]->committed = committed;
        while (s->first_mark != NULL && s->first_mark->ended) {
            dedupe_mark *m = s->first_mark;
            s->first_mark = m->next;
            if (s->first_mark == NULL)
                s->last_mark = &s->first_mark;
            m->release_us = slowest_watermark(s);
            engine_send(e, &e->dedupe.in, &e->dedupe.actor, m);
        }
    }
}

/* --- create and destroy --- */

static bool unhex(sl_buffer *text) {
    for (size_t i = 0; i + 1 < text->length; i += 2) {
        unsigned value = 0;
        for (size_t k = i; k < i + 2; k++) {
            uint8_t c = text->bytes[k];
            bool digit = c >= '0' && c <= '9';
            if (!digit && !(c >= 'a' && c <= 'f'))
                return false;
            value = value << 4 | (digit ? c - '0' + 0u : c - 'a' + 10u);
        }
        text->bytes[i / 2] = (uint8_t)value;
    }
    text->length /= 2;
    return true;
}

static sl_status any_file(void *context, const sl_file_entry *entry) {
    (void)context;
    (void)entry;
    return SL_OK;
}

/* @param record What the ledger has of it, as it has it; NULL: it is new. */
static sl_status open_store(sl_engine *e, stream *s, bool repeats, sl_buffer *record, sl_error *error) {
    dedupe_actor *a = &e->dedupe;
    sl_buffer directory = SL_BUFFER_EMPTY;
    sl_buffer_printf(&directory, "%s/%s/%s", e->config->data_dir, kind_of(repeats), s->name);
    const char *path = sl_buffer_cstr(&directory);
    sl_status status = directory.failed ? sl_error_set(error, SL_ENOMEM, "dedupe: out of memory") : SL_OK;
    if (status == SL_OK && record != NULL && (record->failed || !unhex(record)))
        status = sl_error_set(error, SL_ECORRUPT, "stream %s: the ledger's record of dedupe can't be read", s->name);
    if (status == SL_OK && record != NULL && record->length != 0 &&
        e->files->list(e->files, path, any_file, NULL, NULL) == SL_ENOTFOUND) {
        sl_message(SL_LEVEL_ERROR, "dedupe", "its directory is gone: duplicates of what came before pass", "stream=%s",
                   s->name);
        record->length = 0;
    }
    const sl_dedupe_options options = {.files = e->files,
                                       .directory = path,
                                       .horizon_us = repeats ? KEY_LIFE_US : s->config->dedupe_us,
                                       .memory_bytes = repeats ? e->config->memory / 64 : e->config->memory / 4 / a->shares,
                                       .run_claims = repeats ? REPEATS_RUN : 0,
                                       .budget = e->budget};
    sl_dedupe *store = NULL;
    if (status == SL_OK)
        status = sl_dedupe_open(&options, record != NULL ? record->bytes : NULL, record != NULL ? record->length : 0,
                                record != NULL ? s->next : 0, &store, error);
    if (status == SL_ECORRUPT)
        (void)sl_error_context(error, "stream %s: dedupe (to go on without what it knew, take %s away)", s->name, path);
    if (status == SL_OK)
        a->stores[a->store_count++] = (dedupe_store){s, store, repeats};
    if (status == SL_OK && !repeats)
        s->dedupe = store;
    sl_buffer_fini(&directory);
    return status;
}

/* What requests' keys it had when it stopped, where it had any. */
static sl_status open_known(sl_engine *e, stream *s, bool repeats, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY, record = SL_BUFFER_EMPTY;
    fact_name(s, repeats, &name);
    const char *key = sl_buffer_cstr(&name);
    sl_status status = name.failed ? sl_error_set(error, SL_ENOMEM, "dedupe: out of memory")
                                   : sl_ledger_get(e->storage.ledger, key, &record, error);
    if (status == SL_OK && (!repeats || record.failed || record.length != 0))
        status = open_store(e, s, repeats, &record, error);
    sl_buffer_fini(&name);
    sl_buffer_fini(&record);
    return status;
}

sl_status dedupe_create(sl_engine *e, sl_error *error) {
    dedupe_actor *a = &e->dedupe;
    for (uint32_t i = 0; i < e->config->stream_count; i++)
        a->shares += e->config->streams[i].dedupe_us != 0;
    a->repeats = e->config->ingest.kafka != NULL && e->config->ingest.read;
    if (a->shares == 0 && !a->repeats)
        return SL_OK;
    a->engine = e;
    a->active = true;
    a->actor = (sl_actor){.name = "dedupe", .run = dedupe_run, .context = a};
    a->events = sl_calloc(SL_BATCH_ROWS_MAX, sizeof *a->events);
    a->stores = sl_calloc(2 * (sizeof e->streams / sizeof *e->streams), sizeof *a->stores);
    if (a->events == NULL || a->stores == NULL || sl_ring_init(&a->in, RING_SIZE) != SL_OK)
        return sl_error_set(error, SL_ENOMEM, "dedupe: out of memory");
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < e->stream_count && status == SL_OK; i++) {
        stream *s = e->streams[i];
        if (s->config != NULL && s->config->dedupe_us != 0)
            status = open_known(e, s, false, error);
        if (status == SL_OK && a->repeats && !s->unrouted)
            status = open_known(e, s, true, error);
    }
    return status;
}

message *dedupe_take_back(sl_engine *e) {
    message *m = e->dedupe.held;
    e->dedupe.held = NULL;
    m = m != NULL ? m : sl_ring_pop(&e->dedupe.in);
    while (m != NULL && m->kind == MESSAGE_MARK) {
        end_mark((dedupe_mark *)m);
        m = sl_ring_pop(&e->dedupe.in);
    }
    return m;
}

/* Of cuts that nobody ended. */
static void drop_marks(stream *s) {
    while (s->first_mark != NULL) {
        dedupe_mark *m = s->first_mark;
        s->first_mark = m->next;
        if (m->cut != NULL)
            sl_dedupe_cut_end(m->store->store, m->cut, false);
        sl_buffer_fini(&m->record);
        sl_free(m);
    }
}

void dedupe_destroy(sl_engine *e) {
    dedupe_actor *a = &e->dedupe;
    if (a->work != NULL)
        sl_dedupe_work_done(a->work_of->store, a->work);
    for (uint32_t i = 0; i < e->stream_count; i++)
        drop_marks(e->streams[i]);
    for (uint32_t i = 0; i < a->store_count; i++)
        sl_dedupe_close(a->stores[i].store);
    sl_free(a->events);
    sl_free(a->stores);
    sl_ring_fini(&a->in);
}
