/* What steps ask changes while the daemon runs: a table is read again, a database is replaced. Each version holds from one position
 * of the log on. That position is taken when no group is being written: groups that come later lie beyond it, those before it keep
 * what they were sealed with. What is read back from the log gets what its position had, so a rewind makes the same rows again.
 *
 * Older versions stay until every table's cursor has passed the next one's position (claims_floor()); at most HISTORY_MAX of them, so that a
 * destination that is down for days doesn't fill the memory. After a crash what wasn't cut is made with what the start read.
 *
 * The ledger gets to know each (kind, name, generation, position, version) in the transaction of the next cut, which is the first
 * that can hold rows made with it. */
#include "claims.h"
#include "cuts.h"
#include "data.h"
#include "dedupe.h"
#include "state.h"

#include "sluice/checkpoint.h"
#include "sluice/geoip.h"
#include "sluice/lookup.h"
#include "sluice/message.h"
#include "sluice/user_agent.h"

#include <inttypes.h>

enum { HISTORY_MAX = 4 };

/* --- sets --- */

static data_set *set_create(sl_engine *e, uint32_t count) {
    data_set *s = sl_calloc(1, sizeof *s + count * sizeof *s->data);
    if (s != NULL) {
        s->references = 1;
        s->number = ++e->data_number;
    }
    return s;
}

static void set_unref(data_set *s) {
    if (s == NULL || --s->references != 0)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        sl_lookup_unref(s->data[i].table);
        sl_geoip_unref(s->data[i].database);
    }
    sl_free(s);
}

static void put(data_set *s, uint32_t at, const sl_step_data *data) {
    const sl_step_data old = s->data[at];
    s->data[at] = *data;
    if (data->table != NULL)
        (void)sl_lookup_ref(data->table);
    if (data->database != NULL)
        (void)sl_geoip_ref(data->database);
    sl_lookup_unref(old.table);
    sl_geoip_unref(old.database);
}

static bool same_place(const sl_step_data *a, const sl_step_data *b) {
    return a->of_table == b->of_table && a->of_database == b->of_database;
}

static void add(sl_engine *e, data_set *s, sl_step_data data) {
    for (uint32_t i = 0; i < s->count; i++)
        if (same_place(&s->data[i], &data))
            return;
    for (uint32_t i = 0; i < e->options.data_count; i++)
        if (same_place(&e->options.data[i], &data))
            data = e->options.data[i];
    put(s, s->count, &data);
    s->count++;
}

static sl_lookup *table_of(const sl_config *c, uint32_t i) {
    return c->lookups[i].table;
}

/* All that can change: the tables, and each database once. */
static data_set *first_set(sl_engine *e) {
    const sl_config *c = e->config;
    uint32_t most = c->lookup_count;
    for (uint32_t i = 0; i < c->stream_count; i++)
        most += c->streams[i].step_count;
    data_set *s = set_create(e, most);
    for (uint32_t i = 0; s != NULL && i < c->lookup_count; i++)
        if (table_of(c, i) != NULL)
            add(e, s, (sl_step_data){.of_table = table_of(c, i), .table = table_of(c, i)});
    for (uint32_t i = 0; s != NULL && i < c->stream_count; i++)
        for (uint32_t k = 0; k < c->streams[i].step_count; k++) {
            sl_geoip *database = c->streams[i].steps[k].database;
            if (database != NULL)
                add(e, s, (sl_step_data){.of_database = database, .database = database});
        }
    return s;
}

/* --- what the ledger gets to know --- */

static const char *name_of(const sl_config *c, const sl_step_data *data) {
    for (uint32_t i = 0; i < c->lookup_count; i++)
        if (data->of_table != NULL && c->lookups[i].table == data->of_table)
            return c->lookups[i].name;
    for (uint32_t i = 0; i < c->stream_count; i++)
        for (uint32_t k = 0; k < c->streams[i].step_count; k++)
            if (data->of_database != NULL && c->streams[i].steps[k].database == data->of_database)
                return c->streams[i].steps[k].source;
    return "";
}

static sl_hash128 version_of(const sl_step_data *data) {
    return data->table != NULL ? sl_lookup_facts_of(data->table).version : sl_geoip_version(data->database);
}

static bool same_version(const sl_step_data *a, const sl_step_data *b) {
    sl_hash128 x = version_of(a), y = version_of(b);
    return x.low == y.low && x.high == y.high;
}

static sl_ledger_version fact(const sl_engine *e, const sl_step_data *data, uint64_t position) {
    return (sl_ledger_version){.kind = data->of_table != NULL ? "lookup" : "geoip",
                               .name = name_of(e->config, data),
                               .generation = e->generation,
                               .position = position,
                               .version = version_of(data),
                               .at_us = engine_wall(e)};
}

static void tell(const sl_ledger_version *v) {
    char text[33];
    sl_hash128_text(v->version, text);
    sl_message(SL_LEVEL_INFO, "steps", "other data from here on", "%s=\"%s\" version=%s position=%" PRIu64, v->kind,
               v->name, text, v->position);
}

static sl_status note_start(sl_engine *e, const sl_ledger_version *v, sl_error *error) {
    char last[33], text[33];
    sl_hash128_text(v->version, text);
    sl_status status = sl_ledger_version_last(e->storage.ledger, v->kind, v->name, last, error);
    if (status == SL_OK && strcmp(last, text) != 0)
        tell(v);
    return status == SL_OK ? sl_ledger_version_put(e->storage.ledger, v, error) : status;
}

/* Rules of user agents are data of the start alone. */
static sl_status note_rules(sl_engine *e, sl_error *error) {
    const sl_config *c = e->config;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < c->stream_count; i++)
        for (uint32_t k = 0; k < c->streams[i].step_count && status == SL_OK; k++) {
            const sl_step_definition *d = &c->streams[i].steps[k];
            if (d->rules == NULL)
                continue;
            const sl_ledger_version v = {.kind = "user_agent",
                                         .name = d->source != NULL ? d->source : SL_USER_AGENT_RULES_PATH,
                                         .generation = e->generation,
                                         .position = e->position,
                                         .version = sl_user_agent_rules_version(d->rules),
                                         .at_us = engine_wall(e)};
            status = note_start(e, &v, error);
        }
    return status;
}

sl_status data_create(sl_engine *e, sl_error *error) {
    e->data = first_set(e);
    if (e->data == NULL)
        return no_memory(error);
    sl_status status = note_rules(e, error);
    for (uint32_t i = 0; i < e->data->count && status == SL_OK; i++) {
        const sl_ledger_version v = fact(e, &e->data->data[i], e->position);
        status = note_start(e, &v, error);
    }
    return status;
}

void data_destroy(sl_engine *e) {
    while (e->data != NULL) {
        data_set *older = e->data->older;
        set_unref(e->data);
        e->data = older;
    }
    set_unref(e->data_next);
    while (e->notes != NULL) {
        data_note *next = e->notes->next;
        sl_free(e->notes);
        e->notes = next;
    }
}

bool data_note_cut(sl_engine *e, cut *c) {
    uint32_t count = 0;
    for (const data_note *n = e->notes; n != NULL; n = n->next)
        count += !n->stored;
    if (count == 0)
        return true;
    c->notes = sl_calloc(count, sizeof(data_note *));
    if (c->notes == NULL)
        return false;
    c->note_count = count;
    for (data_note *n = e->notes; n != NULL; n = n->next)
        if (!n->stored) { /* The newest comes first here, and last in the ledger. */
            n->cuts++;
            c->notes[--count] = n;
        }
    return true;
}

void data_end_cut(cut *c, bool committed) {
    for (uint32_t i = 0; i < c->note_count; i++) {
        c->notes[i]->cuts--;
        c->notes[i]->stored = c->notes[i]->stored || committed;
    }
    c->note_count = 0;
}

/* --- a change --- */

sl_status sl_engine_use(sl_engine *e, const sl_step_data *data) {
    data_set *next = e->data_next;
    if (next == NULL) {
        next = set_create(e, e->data->count);
        if (next == NULL)
            return SL_ENOMEM;
        for (; next->count < e->data->count; next->count++)
            put(next, next->count, &e->data->data[next->count]);
        e->data_next = next;
    }
    for (uint32_t i = 0; i < next->count; i++)
        if (same_place(&next->data[i], data))
            put(next, i, data);
    e->options.host.wake_loop(e->options.host.context);
    return SL_OK;
}

/* One note for each version that differs from the older set's. @return false: no memory, and none is made. */
static bool note_changes(sl_engine *e, const data_set *older, const data_set *newer, uint64_t position) {
    data_note *first = NULL;
    for (uint32_t i = 0; i < newer->count; i++) {
        if (same_version(&older->data[i], &newer->data[i]))
            continue;
        data_note *n = sl_calloc(1, sizeof *n);
        if (n == NULL) {
            while (first != NULL) {
                n = first->next;
                sl_free(first);
                first = n;
            }
            return false;
        }
        *n = (data_note){.next = first, .version = fact(e, &newer->data[i], position)};
        first = n;
    }
    while (first != NULL) {
        data_note *next = first->next;
        tell(&first->version);
        first->next = e->notes;
        e->notes = first;
        first = next;
    }
    return true;
}

bool data_turn(sl_engine *e) {
    if (e->data_next == NULL || e->writing != 0)
        return false;
    data_order *order = sl_calloc(1, sizeof *order);
    if (order == NULL || !note_changes(e, e->data, e->data_next, e->journal_next)) {
        sl_free(order);
        return false; /* Later. */
    }
    e->data_next->from = e->journal_next;
    e->data_next->older = e->data;
    e->data = e->data_next;
    e->data_next = NULL;
    *order = (data_order){.head = {.kind = MESSAGE_DATA}, .set = e->data};
    order->set->references++;
    pipeline_all(e, &order->head);
    return true;
}

void data_used(sl_engine *e, data_order *order) {
    (void)e;
    set_unref(order->set);
    sl_free(order);
}

void data_assign(sl_engine *e, task *t) {
    data_set *s = e->data;
    while (!t->live && s->from > t->group->offset && s->older != NULL)
        s = s->older;
    s->references++;
    set_unref(t->data);
    t->data = s;
}

void data_release(task *t) {
    set_unref(t->data);
    t->data = NULL;
}

/* --- forgetting --- */

static void drop_older(data_set *s) {
    while (s->older != NULL) {
        data_set *oldest = s->older;
        s->older = oldest->older;
        set_unref(oldest);
    }
}

/* A table stands still for so long that what it began with is gone: from there on it gets the next one. */
static void shorten(sl_engine *e) {
    uint32_t count = 0;
    data_set *s = e->data;
    for (; s->older != NULL && s->older->older != NULL; s = s->older)
        count++;
    if (count < HISTORY_MAX || !note_changes(e, s->older, s, s->older->from))
        return;
    s->from = s->older->from;
    drop_older(s);
}

static void drop_notes(sl_engine *e) {
    for (data_note **at = &e->notes; *at != NULL;) {
        data_note *n = *at;
        if (!n->stored || n->cuts != 0) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        sl_free(n);
    }
}

void data_forget(sl_engine *e) {
    drop_notes(e);
    if (e->data->older == NULL)
        return;
    uint64_t low = claims_lowest(e);
    data_set *s = e->data;
    while (s->older != NULL && s->from > low)
        s = s->older;
    drop_older(s);
    shorten(e);
}
