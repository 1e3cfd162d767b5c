/* Committed entries on their way out, in order per table, each as often as it takes. What stays on this
 * machine (directories, SQLite) is done by the storage actor itself; the rest goes to the delivery actor, which hands
 * it to a target that works without anybody waiting and brings back what became of it. */
#include "claims.h"
#include "crash.h"
#include "spool.h"
#include "state.h"
#include "storage.h"

#include "sluice/checkpoint.h"
#include "sluice/lake.h"
#include "sluice/message.h"
#include "sluice/warehouse.h"

#include <inttypes.h>
#include <stdio.h>

bool storage_enqueue(storage_actor *a, table *t, sl_entry *entry, shape *s) {
    pending *p = sl_calloc(1, sizeof *p);
    if (p == NULL)
        return false;
    p->head.kind = MESSAGE_DELIVERED;
    p->of = t;
    p->entry = *entry;
    p->shape = shape_ref(s);
    for (uint32_t i = 0; i < entry->file_count; i++)
        p->bytes += entry->files[i].bytes;
    atomic_fetch_add_explicit(&a->spool_bytes[t->destination], p->bytes, memory_order_relaxed);
    if (t->first_pending == NULL)
        atomic_store_explicit(&t->waiting_since_us, entry->created_us, memory_order_relaxed);
    *t->last_pending = p;
    t->last_pending = &p->next;
    if (!t->queued) {
        t->queued = true;
        a->tables[a->table_count++] = t;
    }
    return true;
}

/* The same entry has the same hash, whenever it is loaded. */
static void content_hash(pending *p) {
    uint64_t sum = p->entry.sequence;
    for (uint32_t i = 0; i < p->entry.file_count; i++)
        sum = sl_hash64(&p->entry.files[i].hash, sizeof p->entry.files[i].hash, sum);
    (void)snprintf(p->hash, sizeof p->hash, "%016" PRIx64, sum);
}

static const sl_window_plan *plan_of(const pending *p) {
    return p->of->kind == SL_TABLE_WINDOW ? p->shape->plans[p->of->slot] : NULL;
}

/* --- on this machine --- */

typedef struct row_files {
    storage_actor *actor;
    const sl_entry *entry;
    uint32_t at;
    char *bytes;
} row_files;

static sl_status next_rows(void *context, const uint8_t **rows, size_t *length, sl_error *error) {
    row_files *r = context;
    sl_free(r->bytes);
    r->bytes = NULL;
    if (r->at == r->entry->file_count)
        return SL_ENOTFOUND;
    const sl_entry_file *f = &r->entry->files[r->at++];
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_engine *e = r->actor->engine;
    sl_status status = spool_path(e, f->spool, &path, error);
    if (status == SL_OK)
        status = sl_files_read_all(e->files, sl_buffer_cstr(&path), UINT32_MAX, &r->bytes, length, error);
    sl_buffer_fini(&path);
    if (status == SL_ENOTFOUND)
        return sl_error_set(error, SL_EIO, "%s is missing from the spool", f->spool);
    if (status != SL_OK)
        return status;
    sl_hash128 hash = sl_hash128_of(r->bytes, *length);
    if (hash.low != f->hash.low || hash.high != f->hash.high)
        return sl_error_set(error, SL_ECORRUPT, "%s: the spooled rows are damaged", f->spool);
    *rows = (const uint8_t *)r->bytes;
    return SL_OK;
}

static sl_status deliver_rows(storage_actor *a, pending *p, sl_error *error) {
    row_files files = {.actor = a, .entry = &p->entry};
    content_hash(p);
    const sl_warehouse_load load = {.table = p->of->target,
                                    .partition = a->engine->partition,
                                    .from = p->entry.from,
                                    .to = p->entry.to,
                                    .first = p->entry.sequence == 1,
                                    .hash = p->hash,
                                    .ranges = p->entry.ranges,
                                    .found = &p->found,
                                    .next = next_rows,
                                    .context = &files,
                                    .id = p->of->settings != NULL ? p->of->settings->id : NULL,
                                    .plan = plan_of(p)};
    sl_status status = sl_warehouse_apply(a->warehouse, &load, error);
    CRASH(deliver_warehouse_after);
    sl_free(files.bytes);
    return status;
}

static sl_status deliver_files(storage_actor *a, const pending *p, sl_error *error) {
    sl_engine *e = a->engine;
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < p->entry.file_count && status == SL_OK; i++) {
        const sl_entry_file *f = &p->entry.files[i];
        status = spool_path(e, f->spool, &path, error);
        if (status == SL_OK)
            status = sl_lake_deliver(e->files, sl_buffer_cstr(&path), p->of->target, f, error);
        CRASH(deliver_lake_between_files);
    }
    sl_buffer_fini(&path);
    return status;
}

/* --- what became of it --- */

void storage_clear_spool(storage_actor *a, const pending *p) {
    for (uint32_t i = 0; i < p->entry.file_count; i++)
        spool_remove(a->engine, p->entry.files[i].spool);
    atomic_fetch_sub_explicit(&a->spool_bytes[p->of->destination], p->bytes, memory_order_relaxed);
}

static sl_status mark(storage_actor *a, const pending *p, sl_error *error) {
    sl_engine *e = a->engine;
    CRASH(deliver_before_mark);
    sl_status status = sl_ledger_delivered(a->ledger, p->entry.id, engine_wall(e), error);
    if (status != SL_OK)
        return status;
    CRASH(deliver_after_mark);
    storage_clear_spool(a, p);
    return SL_OK;
}

static void settle(storage_actor *a, pending *p, sl_status status, sl_error *error) {
    table *t = p->of;
    if (status == SL_OK)
        status = mark(a, p, error);
    if (status == SL_OK) {
        t->first_pending = p->next;
        if (t->first_pending == NULL)
            t->last_pending = &t->first_pending;
        p->watermark_after_us = t->first_pending != NULL ? t->first_pending->entry.watermark_from_us : SL_NO_TIME;
        atomic_store_explicit(&t->waiting_since_us,
                              t->first_pending != NULL ? t->first_pending->entry.created_us : 0,
                              memory_order_relaxed);
        t->tries = 0;
        sl_metric_set(t->stalled, 0);
        engine_return(a->engine, &a->out, p);
        return;
    }
    if (status == SL_EMOVED) {
        sl_message(SL_LEVEL_WARN, "storage", "refused: what isn't delivered is taken back, and made again without what is there", "table=%s error=\"%s\"",
                   t->name, error->text);
        claims_refused(a, p);
        return;
    }
    t->stopped = sl_status_follow_up(status) == SL_FOLLOW_STOP;
    t->retry_at_us = engine_now(a->engine) + storage_retry_delay(t->tries++);
    sl_metric_set(t->stalled, 1);
    sl_message(SL_LEVEL_ERROR, "storage",
               t->stopped ? "table stopped, a person has to look" : "delivery failed, it will be tried again",
               "table=%s error=\"%s\"", t->name, error->text);
}

static void deliver(storage_actor *a, pending *p) {
    sl_engine *e = a->engine;
    CRASH(deliver_before);
    if (p->of->remote) {
        p->of->under_way = true;
        engine_send(e, &e->delivery.in, &e->delivery.actor, p);
        return;
    }
    sl_error error = {0};
    bool rows = p->of->kind == SL_TABLE_WINDOW || p->of->kind == SL_TABLE_ROWS;
    sl_status status = rows ? deliver_rows(a, p, &error) : deliver_files(a, p, &error);
    settle(a, p, status, &error);
}

bool storage_deliver(storage_actor *a) {
    pending *p = sl_ring_pop(&a->arrived);
    if (p != NULL) {
        p->of->under_way = false;
        settle(a, p, p->status, &p->error);
        return true;
    }
    int64_t now = engine_now(a->engine);
    for (uint32_t k = 0; k < a->table_count; k++) {
        table *t = a->tables[a->turn++ % a->table_count];
        if (t->first_pending == NULL || t->stopped || t->under_way || t->retry_at_us > now)
            continue;
        deliver(a, t->first_pending);
        return true;
    }
    return false;
}

/* --- the delivery actor --- */

static void arrived(void *context, sl_status status, const sl_error *error) {
    pending *p = context;
    sl_engine *e = p->engine;
    p->status = status;
    p->error = status == SL_OK ? (sl_error){0} : *error;
    CRASH(deliver_remote_after);
    engine_send(e, &e->storage.arrived, &e->storage.actor, p);
}

static bool delivery_run(void *context) {
    delivery_actor *a = context;
    sl_engine *e = a->engine;
    pending *p = sl_ring_pop(&a->in);
    if (p == NULL)
        return false;
    content_hash(p);
    p->engine = e;
    p->delivery = (sl_delivery){.table = p->of->name,
                                .kind = p->of->kind,
                                .target = p->of->target,
                                .partition = e->partition,
                                .spool = e->spool,
                                .entry = &p->entry,
                                .found = &p->found,
                                .first = p->entry.sequence == 1,
                                .hash = p->hash,
                                .plan = plan_of(p),
                                .schema = p->shape->schema,
                                .settings = p->of->settings};
    e->options.target->deliver(e->options.target, &p->delivery, arrived, p);
    return true;
}

sl_status delivery_create(sl_engine *e, sl_error *error) {
    e->delivery.engine = e;
    e->delivery.actor = (sl_actor){.name = "delivery", .run = delivery_run, .context = &e->delivery};
    return sl_ring_init(&e->delivery.in, RING_SIZE) == SL_OK &&
                   sl_ring_init(&e->storage.arrived, RING_SIZE) == SL_OK
               ? SL_OK
               : no_memory(error);
}

void delivery_destroy(sl_engine *e) {
    /* What lies in them belongs to its table's queue. */
    sl_ring_fini(&e->delivery.in);
    sl_ring_fini(&e->storage.arrived);
}

sl_actor *sl_engine_delivery(sl_engine *e) {
    return e->options.target != NULL ? &e->delivery.actor : NULL;
}
