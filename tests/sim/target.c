/* A destination far away: an object store and a warehouse on a disk of their own, which never fails, at the end of a line
 * which does. A delivery takes its time; the request may be lost, or the reply, and what was on its way when the daemon
 * died may have arrived. */
#include "sim.h"

#include "sqlite_files_vfs.h"

#include "sluice/lake.h"
#include "sluice/rows.h"
#include "sluice/warehouse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct on_its_way {
    struct on_its_way *next;
    const sl_delivery *delivery;
    sl_target_done_fn *done;
    void *context;
    int64_t due_us;
} on_its_way;

struct sim_target {
    sl_target target;
    sl_actor actor;
    sim *sim;
    fake_disk *disk;
    sl_files *files;
    sl_warehouse *warehouse;
    sqlite_files_world world;
    on_its_way *first;
    uint64_t rival_loads[STREAMS][2];
    uint64_t marker; /* Of the topic, with what is in it: */
    sim_final *finals;
    size_t final_count;
};

/* --- there --- */

static sl_status spooled(sim *s, const sl_delivery *d, const sl_entry_file *f, char **bytes, size_t *length,
                         sl_error *error) {
    char path[320];
    (void)snprintf(path, sizeof path, "%s/%s", d->spool, f->spool);
    sl_status status = sl_files_read_all(s->files, path, UINT32_MAX, bytes, length, error);
    if (status != SL_OK)
        return status == SL_ENOTFOUND ? SL_EIO : status;
    sl_hash128 hash = sl_hash128_of(*bytes, *length);
    if (hash.low != f->hash.low || hash.high != f->hash.high || *length != f->bytes)
        sim_fail(s, "%s: %s isn't what the entry says", d->table, f->spool);
    return SL_OK;
}

static sl_status put_object(sim_target *t, const sl_delivery *d, const sl_entry_file *f, sl_error *error) {
    char *bytes = NULL;
    size_t length = 0;
    int file;
    sl_status status = spooled(t->sim, d, f, &bytes, &length, error);
    if (status == SL_OK)
        status = t->files->open(t->files, "/far/upload", SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_EXCLUSIVE, &file, error);
    if (status == SL_OK) {
        status = t->files->write(t->files, file, bytes, length, 0, error);
        t->files->close(t->files, file);
        /* "s3://bucket/prefix" is the directory /bucket/prefix here. */
        if (status == SL_OK)
            status = sl_lake_deliver(t->files, "/far/upload", d->target + strlen("s3:/"), f, error);
        if (t->files->unlink(t->files, "/far/upload", NULL) != SL_OK)
            abort();
    }
    sl_free(bytes);
    return status;
}

typedef struct row_files {
    sim *sim;
    const sl_delivery *delivery;
    uint32_t at;
    char *bytes;
} row_files;

static sl_status next_rows(void *context, const uint8_t **rows, size_t *length, sl_error *error) {
    row_files *r = context;
    sl_free(r->bytes);
    r->bytes = NULL;
    if (r->at == r->delivery->entry->file_count)
        return SL_ENOTFOUND;
    sl_status status =
        spooled(r->sim, r->delivery, &r->delivery->entry->files[r->at++], &r->bytes, length, error);
    *rows = (const uint8_t *)r->bytes;
    return status;
}

static sl_status load(sim_target *t, const sl_delivery *d, sl_error *error) {
    row_files files = {.sim = t->sim, .delivery = d};
    const sl_warehouse_load l = {.table = d->target,
                                 .partition = d->partition,
                                 .from = d->entry->from,
                                 .to = d->entry->to,
                                 .first = d->first,
                                 .hash = d->hash,
                                 .ranges = d->entry->ranges,
                                 .found = d->found,
                                 .next = next_rows,
                                 .context = &files,
                                 .plan = d->plan};
    sl_status status = sl_warehouse_apply(t->warehouse, &l, error);
    sl_free(files.bytes);
    return status;
}

/* --- a topic --- */

static sim_final *final_of(sim_final **finals, size_t *count, const sim_final *row) {
    for (size_t i = 0; i < *count; i++)
        if ((*finals)[i].kind == row->kind && strcmp((*finals)[i].start, row->start) == 0)
            return &(*finals)[i];
    *finals = realloc(*finals, (*count + 1) * sizeof **finals);
    if (*finals == NULL)
        abort();
    sim_final *f = &(*finals)[(*count)++];
    *f = *row;
    f->events = f->revision = 0;
    return f;
}

/* Each revision follows the one before, and has more than that. */
static void take_final(sim_target *t, sim_final **finals, size_t *count, const char *text) {
    char kind[16] = "";
    unsigned long long events = 0;
    sim_final row = {.kind = 0};
    const char *at = strstr(text, "\"kind\":\""), *last = strstr(text, "\"revision\":");
    if (sscanf(text, "{\"window_start\":\"%39[^\"]", row.start) != 1 || at == NULL || last == NULL ||
        sscanf(at, "\"kind\":\"%15[^\"]\",\"events\":%llu", kind, &events) != 2 || sscanf(last, "\"revision\":%u}", &row.revision) != 1)
        sim_fail(t->sim, "a final row is %s", text);
    while (row.kind < KINDS && strcmp(sim_kinds[row.kind], kind) != 0)
        row.kind++;
    sim_final *f = final_of(finals, count, &row);
    if (row.revision != f->revision + 1 || events <= f->events)
        sim_fail(t->sim, "%s comes after revision %u with %llu events", text, f->revision, (unsigned long long)f->events);
    f->revision = row.revision;
    f->events = events;
    t->sim->totals.finals++;
}

static sl_status take_finals(sim_target *t, const sl_delivery *d, const sl_entry_file *file, sim_final **finals, size_t *count, sl_error *error) {
    char *bytes = NULL;
    size_t length = 0;
    sl_rows_reader reader;
    sl_status status = spooled(t->sim, d, file, &bytes, &length, error);
    if (status != SL_OK) {
        sl_free(bytes);
        return status;
    }
    status = sl_rows_open((const uint8_t *)bytes, length, &reader);
    while (status == SL_OK && (status = sl_rows_next(&reader)) == SL_OK) {
        char text[512];
        (void)snprintf(text, sizeof text, "%.*s", (int)reader.values[2].as.text.length, (const char *)reader.values[2].as.text.bytes);
        take_final(t, finals, count, text);
    }
    sl_rows_fini(&reader);
    sl_free(bytes);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

/* Its messages and its marker, both or none. */
static sl_status write_topic(sim_target *t, const sl_delivery *d, sl_error *error) {
    if (d->entry->to <= t->marker)
        return SL_OK;
    if (t->marker != 0 && d->entry->from != t->marker)
        sim_fail(t->sim, "%s stands at %llu, an entry begins at %llu", d->table, (unsigned long long)t->marker, (unsigned long long)d->entry->from);
    size_t count = t->final_count;
    const uint64_t before = t->sim->totals.finals;
    sim_final *finals = calloc(count + 1, sizeof *finals);
    if (finals == NULL)
        abort();
    if (count != 0)
        memcpy(finals, t->finals, count * sizeof *finals);
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < d->entry->file_count && status == SL_OK; i++)
        status = take_finals(t, d, &d->entry->files[i], &finals, &count, error);
    if (status != SL_OK) {
        free(finals);
        t->sim->totals.finals = before;
        return status;
    }
    free(t->finals);
    t->finals = finals;
    t->final_count = count;
    t->marker = d->entry->to;
    return SL_OK;
}

const sim_final *target_finals(const sim_target *t, size_t *count) {
    *count = t != NULL ? t->final_count : 0;
    return t != NULL ? t->finals : NULL;
}

static sl_status arrive(sim_target *t, const sl_delivery *d, sl_error *error) {
    if (d->kind == SL_TABLE_WINDOW || d->kind == SL_TABLE_ROWS)
        return load(t, d, error);
    if (d->kind == SL_TABLE_FINAL)
        return write_topic(t, d, error);
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < d->entry->file_count && status == SL_OK; i++)
        status = put_object(t, d, &d->entry->files[i], error);
    return status;
}

/* --- the line --- */

static void deliver(sl_target *target, const sl_delivery *delivery, sl_target_done_fn *done, void *context) {
    sim_target *t = (sim_target *)(void *)target;
    on_its_way *w = malloc(sizeof *w);
    if (w == NULL)
        abort();
    for (const on_its_way *o = t->first; o != NULL; o = o->next)
        if (strcmp(o->delivery->table, delivery->table) == 0)
            sim_fail(t->sim, "two entries of %s are on their way at once", delivery->table);
    *w = (on_its_way){.next = t->first,
                      .delivery = delivery,
                      .done = done,
                      .context = context,
                      .due_us = t->sim->now_us + (int64_t)sim_below(t->sim, t->sim->calm ? 1000 : 400000)};
    t->first = w;
}

static bool run(void *context) {
    sim_target *t = context;
    sim *s = t->sim;
    on_its_way **at = &t->first;
    while (*at != NULL && (*at)->due_us > s->now_us)
        at = &(*at)->next;
    if (*at == NULL)
        return false;
    on_its_way w = **at;
    free(*at);
    *at = w.next;
    sl_error error = {0};
    sl_status status = SL_EIO;
    bool line = !s->faulty || s->calm, lost = !line && sim_chance(s, 100);
    if (!lost)
        status = arrive(t, w.delivery, &error);
    if (status == SL_OK && !line && sim_chance(s, 100))
        status = SL_EIO;
    if (status == SL_EIO)
        (void)sl_error_set(&error, status, "the line is down");
    sim_trace(s, "%s to %llu: %s%s", w.delivery->table, (unsigned long long)w.delivery->entry->to,
              sl_status_text(status), lost ? ", it never got there" : "");
    w.done(w.context, status, &error);
    return true;
}

void target_daemon_gone(sim_target *t) {
    while (t != NULL && t->first != NULL) {
        on_its_way *w = t->first;
        sl_error error;
        if (sim_chance(t->sim, 400))
            (void)!arrive(t, w->delivery, &error);
        t->first = w->next;
        free(w);
    }
}

/* --- another reader --- */

static sl_status no_rows(void *context, const uint8_t **rows, size_t *length, sl_error *error) {
    (void)context;
    (void)rows;
    (void)length;
    (void)error;
    return SL_ENOTFOUND;
}

/* Its loads bring no rows here: the proof knows what they would have been. @param[out] at Where the table stands. */
static sl_status rival_load(sim_target *t, const char *table, uint64_t *loads, uint64_t from, uint64_t to, uint64_t *at) {
    sl_buffer ranges = SL_BUFFER_EMPTY, found = SL_BUFFER_EMPTY;
    sl_range row;
    sl_error error = {0};
    sl_range_put(&ranges, &(sl_range){from, to, SIM_ELSEWHERE, sizeof SIM_ELSEWHERE - 1});
    const sl_warehouse_load l = {.table = table,
                                 .partition = "journal:rival",
                                 .from = *loads,
                                 .to = *loads + 1,
                                 .first = *loads == 0,
                                 .hash = "rival",
                                 .ranges = sl_buffer_cstr(&ranges),
                                 .found = &found,
                                 .next = no_rows};
    sl_status status = sl_warehouse_apply(t->warehouse, &l, &error);
    *loads += status == SL_OK;
    if (status == SL_EMOVED && sl_range_find(sl_buffer_cstr(&found), SIM_ELSEWHERE, sizeof SIM_ELSEWHERE - 1, &row))
        *at = row.to;
    else if (status != SL_OK)
        sim_fail(t->sim, "another reader's load of %s: %s", table, error.text);
    sl_buffer_fini(&ranges);
    sl_buffer_fini(&found);
    return status;
}

void target_rival(sim_target *t) {
    sim *s = t->sim;
    const uint32_t stream = (uint32_t)sim_below(s, STREAMS);
    const bool window = sim_chance(s, 500);
    const char *table = window ? s->streams[stream].window : s->streams[stream].rows;
    uint64_t *loads = &t->rival_loads[stream][window], from = 1;
    if (table == NULL || !s->streams[stream].routed || s->elsewhere == 0)
        return;
    uint64_t to = 2;
    if (rival_load(t, table, loads, from, to, &from) == SL_EMOVED) {
        if (from > s->elsewhere)
            return;
        to = from + 1 + sim_below(s, s->elsewhere + 1 - from);
        if (rival_load(t, table, loads, from, to, &from) != SL_OK)
            sim_fail(s, "another reader isn't let where %s stands", table);
    }
    sim_trace(s, "another reader brings %llu to %llu to %s", (unsigned long long)from, (unsigned long long)to, table);
    s->totals.rivals++;
    for (uint32_t i = 0; i < s->request_count; i++) {
        sim_request *r = &s->requests[i];
        if (r->stream != stream || r->offset < from || r->offset >= to)
            continue;
        r->rival_rows = r->rival_rows || !window;
        r->rival_window = r->rival_window || window;
    }
}

/* --- its life --- */

sl_target *target_of(sim_target *t) {
    return t != NULL ? &t->target : NULL;
}

sl_actor *target_actor(sim_target *t) {
    return &t->actor;
}

sl_files *target_files(sim_target *t) {
    return t->files;
}

sim_target *target_create(sim *s, const sqlite_files_world *world) {
    sim_target *t = calloc(1, sizeof *t);
    if (t == NULL)
        abort();
    t->target.deliver = deliver;
    t->actor = (sl_actor){.name = "target", .run = run, .context = t};
    t->sim = s;
    t->world = *world;
    t->disk = fake_disk_create(sim_draw(&s->state));
    t->files = fake_disk_files(t->disk);
    if (sqlite_files_vfs_add(t->files, "far", &t->world) != SL_OK)
        abort();
    const sl_sql_options options = {.vfs = t->files->sqlite_vfs, .exclusive = true};
    sl_error error;
    if (t->files->make_directories(t->files, "/far", &error) != SL_OK ||
        sl_warehouse_open("/far/warehouse.db", &options, &t->warehouse, &error) != SL_OK)
        sim_fail(s, "the far warehouse: %s", error.text);
    return t;
}

void target_close(sim_target *t) {
    if (t == NULL)
        return;
    sl_warehouse_close(t->warehouse);
    t->warehouse = NULL;
}

void target_destroy(sim_target *t) {
    if (t == NULL)
        return;
    target_close(t);
    sqlite_files_vfs_remove(t->files);
    fake_disk_destroy(t->disk);
    free(t->finals);
    free(t);
}
