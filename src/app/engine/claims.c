/* Partitions of other logs (Kafka) may be read by several daemons into one warehouse table: one after the other, and for a while at the same
 * time, when one was taken for dead that isn't. The warehouse's ledger says of each partition below which offset the table has everything, and a
 * load that would bring something below is refused (sl_ranges_check()). Then what isn't delivered of the table is voided, the table begins again
 * where it was delivered, and passes over the messages that it has by somebody else. The journal is kept until then. */
#include "claims.h"
#include "cuts.h"
#include "records.h"
#include "state.h"
#include "storage.h"

#include "sluice/checkpoint.h"
#include "sluice/message.h"
#include "sluice/messages.h"

#include <inttypes.h>

struct claim {
    uint32_t origin;
    uint64_t below;    /* The table has everything below by another reader. */
    bool open;         /* Something was ticketed since the last cut: */
    uint64_t from, to;
};

static bool claims_kind(const table *t) { return t->kind == SL_TABLE_ROWS || t->kind == SL_TABLE_WINDOW; }

static claim *claim_of(sl_engine *e, table *t, const char *partition, size_t length) {
    const uint32_t index = origins_index(e, partition, length);
    for (uint32_t i = 0; i < t->claim_count; i++)
        if (t->claims[i].origin == index)
            return &t->claims[i];
    if (index == UINT32_MAX)
        return NULL;
    if ((t->claim_count & (t->claim_count - 1)) == 0) { /* It is full at each power of two. */
        size_t capacity = t->claim_count != 0 ? 2 * (size_t)t->claim_count : 1;
        claim *more = sl_realloc(t->claims, capacity * sizeof *more);
        if (more == NULL)
            return NULL;
        t->claims = more;
    }
    t->claimed = true;
    t->claims[t->claim_count] = (claim){.origin = index};
    return &t->claims[t->claim_count++];
}

/* --- what the table has by others --- */

static bool note_found(sl_engine *e, table *t, const char *lines) {
    sl_range range;
    while (sl_range_next(&lines, &range)) {
        claim *c = claim_of(e, t, range.partition, range.length);
        if (c == NULL)
            return false;
        c->below = range.to > c->below ? range.to : c->below;
    }
    return true;
}

static void fact_name(const table *t, sl_buffer *out) { sl_buffer_printf(out, "elsewhere:%s", t->name); }

sl_status claims_read(sl_engine *e, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY, text = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < e->table_count && status == SL_OK; i++) {
        if (!claims_kind(e->tables[i]))
            continue;
        sl_buffer_clear(&name);
        sl_buffer_clear(&text);
        fact_name(e->tables[i], &name);
        const char *key = sl_buffer_cstr(&name);
        if (!name.failed)
            status = sl_ledger_get(e->storage.ledger, key, &text, error);
        const char *lines = sl_buffer_cstr(&text);
        if (status == SL_OK && (name.failed || text.failed || !note_found(e, e->tables[i], lines)))
            status = no_memory(error);
    }
    sl_buffer_fini(&name);
    sl_buffer_fini(&text);
    return status;
}

/* --- tickets and cuts --- */

static bool add_pass(task *t, const table *of, uint32_t carrier, uint64_t below) {
    if (t->pass_count == t->pass_capacity) {
        uint32_t capacity = t->pass_capacity != 0 ? 2 * t->pass_capacity : 8;
        pass *more = sl_realloc(t->passes, capacity * sizeof *more);
        if (more == NULL)
            return false;
        t->passes = more;
        t->pass_capacity = capacity;
    }
    t->passes[t->pass_count++] = (pass){of, carrier, below < UINT32_MAX ? (uint32_t)below : UINT32_MAX};
    return true;
}

/* @param open What can fail was done before; now it counts. */
static bool ticket_record(sl_engine *e, task *t, table *b, uint32_t record, bool open) {
    const sl_journal_record *r = &t->group->records[record];
    sl_messages_origin o;
    if (r->damaged || !items_are_messages(r->format) ||
        !sl_messages_head(t->group->bytes + r->body, r->length, &o) || o.length == 0 || o.history)
        return true;
    claim *c = claim_of(e, b, o.partition, o.length);
    if (c == NULL || (!open && c->below > o.from && !add_pass(t, b, record, c->below - o.from)))
        return false;
    const uint64_t from = c->below > o.from ? c->below : o.from;
    if (from >= o.to || !open)
        return true;
    c->from = c->open && c->from < from ? c->from : from;
    c->to = c->open && c->to > o.to ? c->to : o.to;
    c->open = true;
    return true;
}

static bool ticket_table(sl_engine *e, task *t, table *b, bool open) {
    for (uint32_t i = 0; i < t->group->count; i++) {
        const uint32_t goes = t->records[i].stream;
        const bool any = goes == ROUTED || t->records[i].format.kind == SL_FORMAT_ADDRESSED;
        if ((any || goes == b->of->index) && !ticket_record(e, t, b, i, open))
            return false;
    }
    return true;
}

static bool ticket_tables(sl_engine *e, task *t, bool open) {
    for (uint32_t i = 0; i < t->part_count && t->item_count != 0; i++) {
        const stream *s = t->parts[i].shape->of;
        bool again = t->parts[i].skip;
        for (uint32_t k = 0; k < i; k++)
            again = again || t->parts[k].shape->of == s;
        for (uint32_t k = 0; k < s->table_count && !again; k++)
            if (claims_kind(s->tables[k]) && t->group->offset >= s->tables[k]->skip_below && !ticket_table(e, t, s->tables[k], open))
                return false;
    }
    return true;
}

bool claims_expect(sl_engine *e, task *t) {
    t->pass_count = 0;
    return ticket_tables(e, t, false);
}

void claims_ticket(sl_engine *e, task *t) { (void)ticket_tables(e, t, true); }

bool claims_ranges(const sl_engine *e, const table *t, char **ranges) {
    sl_buffer out = SL_BUFFER_EMPTY;
    *ranges = NULL;
    for (uint32_t i = 0; i < t->claim_count; i++) {
        const claim *c = &t->claims[i];
        const char *name = origins_name(e, c->origin);
        if (c->open)
            sl_range_put(&out, &(sl_range){c->from, c->to, name, strlen(name)});
    }
    const char *text = sl_buffer_cstr(&out);
    bool good = !out.failed && (out.length == 0 || (*ranges = sl_strdup(text)) != NULL);
    sl_buffer_fini(&out);
    return good;
}

void claims_forget(table *t) {
    for (uint32_t i = 0; i < t->claim_count; i++)
        t->claims[i].open = false;
}

/* --- a worker's --- */

static bool passed(const task *t, const table *of, const sl_record *r) {
    for (uint32_t i = 0; i < t->pass_count; i++)
        if (t->passes[i].of == of && t->passes[i].carrier + 1 == r->carrier)
            return r->place < t->passes[i].below;
    return false;
}

uint32_t claims_hide(const task *t, const part *p, const table *of) {
    sl_batch *b = p->batch;
    uint32_t count = 0;
    for (uint32_t row = 0; row < b->rows && t->pass_count != 0; row++)
        if (b->verdict[row] == SL_VERDICT_KEEP && passed(t, of, &b->records[b->row_record[row]])) {
            b->verdict[row] = SL_VERDICT_ELSEWHERE;
            count++;
        }
    return count;
}

void claims_show(const part *p) {
    for (uint32_t row = 0; row < p->batch->rows; row++)
        if (p->batch->verdict[row] == SL_VERDICT_ELSEWHERE)
            p->batch->verdict[row] = SL_VERDICT_KEEP;
}

/* --- a refused load --- */

void claims_refused(storage_actor *a, pending *p) {
    table *t = p->of;
    t->stopped = true; /* Until it is voided. */
    sl_metric_set(t->stalled, 0);
    t->voided.head.kind = MESSAGE_VOID;
    t->voided.of = t;
    sl_buffer_fini(&t->voided.found);
    t->voided.found = p->found;
    p->found = SL_BUFFER_EMPTY;
    engine_return(a->engine, &a->out, &t->voided);
}

static sl_status void_in_ledger(storage_actor *a, void_order *o, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY;
    fact_name(o->of, &name);
    const char *key = sl_buffer_cstr(&name), *lines = sl_buffer_cstr(&o->found);
    sl_status status = name.failed || o->found.failed ? sl_error_set(error, SL_ENOMEM, "out of memory")
                                                      : sl_ledger_begin(a->ledger, error);
    if (status == SL_OK) {
        status = sl_ledger_set(a->ledger, key, lines, error);
        if (status == SL_OK)
            status = sl_ledger_void(a->ledger, o->of->id, &o->place, error);
        if (status == SL_OK)
            status = sl_ledger_commit(a->ledger, error);
        else
            sl_ledger_rollback(a->ledger);
    }
    sl_buffer_fini(&name);
    return status;
}

void claims_void(storage_actor *a, void_order *o) {
    table *t = o->of;
    sl_error error = {0};
    o->status = void_in_ledger(a, o, &error);
    if (o->status != SL_OK) {
        sl_message(SL_LEVEL_ERROR, "storage", "entries can't be taken back yet", "table=%s error=\"%s\"", t->name, error.text);
    } else {
        while (t->first_pending != NULL) {
            pending *p = t->first_pending;
            t->first_pending = p->next;
            storage_clear_spool(a, p);
            pending_free(p);
        }
        t->last_pending = &t->first_pending;
        atomic_store_explicit(&t->waiting_since_us, 0, memory_order_relaxed);
        t->stopped = false;
        t->tries = 0;
    }
    engine_return(a->engine, &a->out, o);
}

/* The table stands where it was delivered, and is read again from there like one that failed. */
static void begin_again(sl_engine *e, table *t) {
    const sl_ledger_table *place = &t->voided.place;
    t->entries_open = 0;
    if (t->retired) {
        sl_message(SL_LEVEL_ERROR, "engine", "removed table: another reader was quicker with part of what it had left, the rest is left to others",
                   "table=%s", t->name);
        return;
    }
    t->last = place->last;
    t->cursor = t->cut_to = place->cursor;
    t->sequence = place->sequence;
    t->watermark_us = t->cursor_watermark_us = place->watermark_us;
    t->failed = true;
    t->failures = 0;
    t->failed_at_us = engine_now(e) - SL_SECOND_US;
    sl_metric_add(e->metric_voids, 1);
}

void claims_voided(sl_engine *e, void_order *o) {
    table *t = o->of;
    if (o->stage == VOID_NONE) {
        o->stage = VOID_WAITS;
        o->retry_at_us = 0;
    } else if (o->status != SL_OK) {
        o->stage = VOID_WAITS;
        o->retry_at_us = engine_now(e) + SL_SECOND_US;
    } else {
        o->stage = VOID_NONE;
        begin_again(e, t);
    }
    claims_poll(e, engine_now(e));
}

static void send_order(sl_engine *e, void_order *o, int64_t now) {
    if (o->stage != VOID_WAITS || o->of->cutting || now < o->retry_at_us)
        return;
    const char *lines = sl_buffer_cstr(&o->found);
    if (o->found.failed || !note_found(e, o->of, lines))
        return; /* No memory: at the next look. */
    o->stage = VOID_SENT;
    engine_send(e, &e->storage.in, &e->storage.actor, o);
}

void claims_poll(sl_engine *e, int64_t now) {
    for (uint32_t i = 0; i < e->table_count; i++)
        send_order(e, &e->tables[i]->voided, now);
    for (table *t = e->retired; t != NULL; t = t->next_retired)
        send_order(e, &t->voided, now);
}

uint64_t claims_lowest(const sl_engine *e) {
    uint64_t low = e->position;
    for (uint32_t i = 0; i < e->table_count; i++) {
        const uint64_t floor = claims_floor(e->tables[i], NULL);
        low = floor < low ? floor : low;
    }
    for (const table *t = e->retired; t != NULL; t = t->next_retired) /* It may be configured again, and voided then. */
        if (t->claimed && t->entries_open != 0 && t->delivered < low)
            low = t->delivered;
    return low;
}

uint64_t claims_floor(const table *t, int64_t *watermark_us) {
    const bool open = t->claimed && t->entries_open != 0;
    if (watermark_us != NULL)
        *watermark_us = open ? t->delivered_watermark_us : t->cursor_watermark_us;
    return open ? t->delivered : t->cursor;
}

uint64_t sl_engine_elsewhere(const sl_engine *e, const char *partition) {
    uint64_t below = 0;
    for (uint32_t i = 0; i < e->table_count; i++)
        for (uint32_t k = 0; k < e->tables[i]->claim_count; k++) {
            const claim *c = &e->tables[i]->claims[k];
            if (c->below > below && strcmp(origins_name(e, c->origin), partition) == 0)
                below = c->below;
        }
    return below;
}

void claims_fini(table *t) {
    sl_free(t->claims);
    sl_buffer_fini(&t->voided.found);
}
