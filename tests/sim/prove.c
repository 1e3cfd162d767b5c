/* The proof, without the engine: what was promised is compared with the rows, windows and files that lie on the
 * disk. Each good event of a request that was answered 200 is there once; a request that may or may not
 * have come is there whole or not at all; nothing else is there. */
#include "sim.h"

#include "sluice/audit.h"

#include "sluice/parquet.h"
#include "sluice/sql.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the warehouse --- */

static bool is_far(const sim *s, const char *name) {
    return s->far_warehouse && strcmp(name, "warehouse.db") == 0;
}

static sl_sql *database(sim *s, const char *name, bool write) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", is_far(s, name) ? "/far" : SIM_DATA, name);
    const sl_sql_options options = {
        .vfs = (is_far(s, name) ? target_files(s->target) : s->files)->sqlite_vfs, .exclusive = true, .read_only = !write};
    sl_sql *sql;
    sl_error error = {0};
    if (sl_sql_open(path, &options, &sql, &error) != SL_OK)
        sim_fail(s, "%s can't be opened at the end: %s", name, error.text);
    return sql;
}

/* Readers without shared memory can't read a database in WAL mode. */
static void settle_database(sim *s, const char *name) {
    sl_sql *sql = database(s, name, true);
    sl_error error = {0};
    if (sl_sql_execute(sql, "PRAGMA journal_mode=DELETE", &error) != SL_OK)
        sim_fail(s, "%s: %s", name, error.text);
    sl_sql_close(sql);
}

static sl_sql_statement *query(sim *s, sl_sql *sql, const char *text) {
    sl_sql_statement *q;
    sl_error error = {0};
    if (sl_sql_prepare(sql, text, &q, &error) != SL_OK)
        sim_fail(s, "%s", error.text);
    return q;
}

static bool next(sim *s, sl_sql_statement *q) {
    sl_error error = {0};
    sl_status status = sl_sql_step(q, &error);
    if (status != SL_OK && status != SL_ENOTFOUND)
        sim_fail(s, "%s", error.text);
    return status == SL_OK;
}

static bool has_table(sim *s, sl_sql *sql, const char *name) {
    sl_sql_statement *q = query(s, sql, "SELECT 1 FROM sqlite_master WHERE name=?");
    sl_sql_bind_string(q, 1, name);
    bool yes = next(s, q);
    sl_sql_reset(q);
    return yes;
}

static void row_found(sim *s, const sim_stream *stream, bool *seen, int64_t id, const char *kind,
                      const char *user) {
    if (id < 1 || id > s->event_count)
        sim_fail(s, "%s holds id %lld, which nobody sent", stream->rows, (long long)id);
    const sim_event *e = &s->events[id];
    sim_request *r = &s->requests[e->request];
    if (seen[id])
        sim_fail(s, "id %lld of request %u is in %s twice", (long long)id, e->request, stream->rows);
    seen[id] = true;
    if (&s->streams[r->stream] != stream || r->mismatch)
        sim_fail(s, "id %lld of request %u should not be in %s", (long long)id, e->request, stream->rows);
    if (strcmp(kind, sim_kinds[e->kind]) != 0 || user[0] != 'u' || atoi(user + 1) != e->user)
        sim_fail(s, "id %lld came as kind %s, user %s", (long long)id, kind, user);
    r->rows++;
}

static void read_rows(sim *s, sl_sql *sql, const sim_stream *stream) {
    if (stream->rows == NULL || !has_table(s, sql, stream->rows))
        return;
    bool *seen = calloc(s->event_count + 1, sizeof *seen);
    if (seen == NULL)
        abort();
    char text[128];
    (void)snprintf(text, sizeof text, "SELECT id,kind,%s FROM %s", s->steps && stream->schema ? "who" : "user", stream->rows);
    sl_sql_statement *q = query(s, sql, text);
    while (next(s, q))
        row_found(s, stream, seen, sl_sql_int(q, 0), sl_sql_text(q, 1, NULL), sl_sql_text(q, 2, NULL));
    free(seen);
}

/* --- the lake --- */

typedef struct walk {
    sim *sim;
    sl_files *files;
    const char *directory;
    uint64_t rows;
    bool by_request, guests;
} walk;

static uint64_t file_rows(sim *s, sl_files *files, const char *path) {
    char *bytes;
    size_t length, needed;
    sl_error error = {0};
    sl_parquet_footer footer;
    if (sl_files_read_all(files, path, UINT32_MAX, &bytes, &length, &error) != SL_OK)
        sim_fail(s, "%s: %s", path, error.text);
    if (sl_parquet_read_footer((const uint8_t *)bytes, length, &needed, &footer, &error) != SL_OK)
        sim_fail(s, "%s: %s", path, error.text);
    uint64_t rows = footer.rows;
    sl_parquet_footer_fini(&footer);
    sl_free(bytes);
    return rows;
}

static sl_status walk_entry(void *context, const sl_file_entry *entry) {
    walk *w = context;
    sim *s = w->sim;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", w->directory, entry->name);
    if (entry->directory) {
        walk below = {.sim = s, .files = w->files, .directory = path, .by_request = w->by_request, .guests = w->guests};
        sl_status status = w->files->list(w->files, path, walk_entry, &below, NULL);
        w->rows += below.rows;
        return status;
    }
    size_t n = strlen(path);
    if (n < 8 || strcmp(path + n - 8, ".parquet") != 0)
        sim_fail(s, "%s is no Parquet file", path);
    uint64_t rows = file_rows(s, w->files, path);
    w->rows += rows;
    sim_trace(s, "%s: %llu rows", path, (unsigned long long)rows);
    const char *part = strstr(path, "/req=");
    if (w->by_request) {
        unsigned long number = part != NULL ? strtoul(part + 5, NULL, 10) : UINT32_MAX;
        if (number >= s->request_count)
            sim_fail(s, "%s is of no request", path);
        if (w->guests)
            s->requests[number].guest_rows += (uint32_t)rows;
        else
            s->requests[number].lake_rows += (uint32_t)rows;
    }
    return SL_OK;
}

static uint64_t directory_rows(sim *s, const char *kind, const char *stream, bool by_request) {
    char path[128];
    sl_files *files = s->far_lake ? target_files(s->target) : s->files;
    if (!s->far_lake)
        (void)snprintf(path, sizeof path, SIM_DATA "/%s/%s", kind, stream);
    else if (strcmp(kind, "lake") == 0)
        (void)snprintf(path, sizeof path, "/bucket/lake/%s", stream);
    else
        (void)snprintf(path, sizeof path, "/bucket/lake/_%s/%s", kind, stream);
    walk w = {.sim = s, .files = files, .directory = path, .by_request = by_request, .guests = strcmp(stream, "guests") == 0};
    sl_status status = files->list(files, path, walk_entry, &w, NULL);
    if (status != SL_OK && status != SL_ENOTFOUND)
        sim_fail(s, "%s can't be listed", path);
    return w.rows;
}

/* --- requests --- */

/* What another reader brought to a table is there by it alone. */
static void check_rivals(sim *s) {
    for (uint32_t i = 0; i < s->request_count; i++) {
        sim_request *r = &s->requests[i];
        if (!r->rival_rows)
            continue;
        if (r->rows != 0)
            sim_fail(s, "request %u, which another reader brought, has %u rows more", i, r->rows);
        r->rows = s->quarantine ? r->lake_rows : r->good;
    }
}

static void check_request(sim *s, uint32_t number) {
    sim_request *r = &s->requests[number];
    const sim_stream *stream = &s->streams[r->stream];
    bool rows = stream->rows != NULL, lake = s->by_request;
    uint32_t found = rows ? r->rows : r->lake_rows;
    if (!stream->routed || (!rows && !lake))
        return;
    /* What is damaged after one table had it, the others lose. */
    if (rows && lake && !s->late && !s->quarantine && r->rows != r->lake_rows)
        sim_fail(s, "request %u has %u rows in the warehouse, %u in the lake", number, r->rows, r->lake_rows);
    if (r->mismatch && found != 0)
        sim_fail(s, "request %u was refused, and %u of its events are there", number, found);
    if (r->refused && found != 0)
        sim_fail(s, "request %u was answered 503, and %u of its events are there", number, found);
    if (s->late)
        return; /* Some went to the late table: the sums are compared. */
    if (found > r->good)
        sim_fail(s, "request %u of %u events has %u rows", number, r->good, found);
    if (found != 0 && found != r->good)
        sim_fail(s, "request %u has %u of %u rows", number, found, r->good);
    if (r->in && found != r->good && !s->quarantine)
        sim_fail(s, "request %u was accepted and isn't there", number);
    if (r->maybe && found != 0)
        r->in = true;
}

/* What of a request went to another stream came along with the rest, or not at all. */
static void check_guests(sim *s) {
    if (!s->shared)
        return;
    (void)directory_rows(s, "lake", "guests", true);
    for (uint32_t i = 0; i < s->request_count; i++) {
        const sim_request *r = &s->requests[i];
        if (r->mismatch || r->refused ? r->guest_rows != 0 : r->guest_rows != 0 && r->guest_rows != r->guests)
            sim_fail(s, "request %u has %u of %u guests", i, r->guest_rows, r->guests);
        bool resolved = r->in || (!s->late && s->streams[r->stream].routed);
        if (resolved && !s->quarantine && r->guest_rows != (r->in ? r->guests : 0))
            sim_fail(s, "request %u was %s, and has %u of %u guests", i, r->in ? "taken" : "not taken", r->guest_rows, r->guests);
    }
    uint64_t dead = directory_rows(s, "dead_letters", "guests", false);
    if (dead != 0)
        sim_fail(s, "%llu guests are dead letters", (unsigned long long)dead);
}

static void check_sums(sim *s, uint32_t index, uint64_t rows, bool counted, uint64_t lake, uint64_t late,
                       uint64_t dead) {
    const char *name = s->streams[index].name;
    uint64_t good = 0, bad = 0, maybe_good = 0, maybe_bad = 0;
    for (uint32_t i = 0; i < s->request_count; i++) {
        const sim_request *r = &s->requests[i];
        bad += index == 1 && r->in ? r->strays : 0;
        maybe_bad += index == 1 && !r->in && r->maybe ? r->strays : 0;
        if (r->stream != index)
            continue;
        good += r->in ? r->good : 0;
        bad += r->in ? r->bad - r->strays + r->unmet : 0;
        maybe_good += !r->in && r->maybe ? r->good : 0;
        maybe_bad += !r->in && r->maybe ? r->bad - r->strays + r->unmet : 0;
    }
    bool resolved = s->streams[index].routed && !s->late && (s->by_request || s->streams[index].rows != NULL);
    if (resolved)
        maybe_good = maybe_bad = 0;
    uint64_t least = s->quarantine ? 0 : good;
    if (lake + late < least || lake + late > good + maybe_good)
        sim_fail(s, "%s: %llu rows in the lake and %llu late, %llu (to %llu) were accepted", name,
                 (unsigned long long)lake, (unsigned long long)late, (unsigned long long)good,
                 (unsigned long long)(good + maybe_good));
    if (counted && rows != lake && !s->quarantine)
        sim_fail(s, "%s: %llu rows in the warehouse, %llu in the lake", name, (unsigned long long)rows,
                 (unsigned long long)lake);
    if (dead < (s->quarantine ? 0 : bad) || dead > bad + maybe_bad)
        sim_fail(s, "%s: %llu dead letters, %llu (to %llu) were refused", name, (unsigned long long)dead,
                 (unsigned long long)bad, (unsigned long long)(bad + maybe_bad));
}

/* --- windows --- */

typedef struct cell {
    char start[40];
    uint8_t kind;
    uint64_t events;
    int64_t cents;
    bool users[USERS];
} cell;

static cell *cell_of(cell **cells, size_t *count, const char *start, unsigned kind) {
    for (size_t i = 0; i < *count; i++)
        if ((*cells)[i].kind == kind && strcmp((*cells)[i].start, start) == 0)
            return &(*cells)[i];
    *cells = realloc(*cells, (*count + 1) * sizeof **cells);
    if (*cells == NULL)
        abort();
    cell *c = &(*cells)[(*count)++];
    *c = (cell){.kind = (uint8_t)kind};
    (void)snprintf(c->start, sizeof c->start, "%s", start);
    return c;
}

static void compare_cell(sim *s, const cell *c, uint64_t events, double total, double users) {
    unsigned distinct = 0;
    for (unsigned i = 0; i < USERS; i++)
        distinct += c->users[i];
    if (events != c->events || fabs(total - (double)c->cents / 100) > 1e-6 ||
        fabs(users - distinct) > 1.0 + distinct * 0.02)
        sim_fail(s, "window %s %s: %llu events, sum %.2f, %.1f users, not %llu, %.2f, %u", c->start,
                 sim_kinds[c->kind], (unsigned long long)events, total, users, (unsigned long long)c->events,
                 (double)c->cents / 100, distinct);
}

/* The stream with a schema, minute by minute, from the events that are there. */
static void check_windows(sim *s, sl_sql *sql) {
    cell *cells = NULL;
    size_t count = 0, found = 0;
    for (uint32_t id = 1; id <= s->event_count; id++) {
        const sim_event *e = &s->events[id];
        const sim_request *r = &s->requests[e->request];
        if (r->stream != 0 || r->rows == 0 || r->rival_window)
            continue;
        char start[40];
        (void)sl_time_format(sl_time_floor(e->at_us, SL_MINUTE_US), start);
        cell *c = cell_of(&cells, &count, start, e->kind);
        c->events++;
        c->cents += e->cents;
        c->users[e->user] = true;
    }
    if (has_table(s, sql, "per_minute")) {
        sl_sql_statement *q = query(s, sql, "SELECT window_start,kind,events,total,users FROM per_minute");
        for (; next(s, q); found++) {
            unsigned kind = 0;
            while (kind < KINDS && strcmp(sim_kinds[kind], sl_sql_text(q, 1, NULL)) != 0)
                kind++;
            const cell *c = cell_of(&cells, &count, sl_sql_text(q, 0, NULL), kind);
            compare_cell(s, c, (uint64_t)sl_sql_int(q, 2), sl_sql_double(q, 3), sl_sql_double(q, 4));
        }
    }
    if (found != count)
        sim_fail(s, "%zu windows of %zu", found, count);
    free(cells);
}

/* The newest revision of each row that went out has all events of its window: late ones wrote it again. */
static void check_finals(sim *s) {
    size_t count, windows = 0;
    const sim_final *finals = target_finals(s->target, &count);
    cell *cells = NULL;
    for (uint32_t id = 1; id <= s->event_count; id++) {
        const sim_event *e = &s->events[id];
        const sim_request *r = &s->requests[e->request];
        char start[40];
        (void)sl_time_format(sl_time_floor(e->at_us, SL_MINUTE_US), start);
        if (r->stream == 0 && r->rows != 0)
            cell_of(&cells, &windows, start, e->kind)->events++;
    }
    for (size_t i = 0; i < count; i++) {
        const cell *c = cell_of(&cells, &windows, finals[i].start, finals[i].kind);
        if (finals[i].events != c->events)
            sim_fail(s, "revision %u of window %s %s counts %llu events, not %llu", finals[i].revision, c->start, sim_kinds[c->kind],
                     (unsigned long long)finals[i].events, (unsigned long long)c->events);
    }
    free(cells);
}

/* Windows by arrival: only their sum is known. */
static void check_count(sim *s, sl_sql *sql, const sim_stream *stream, uint64_t rows) {
    if (stream->window == NULL || stream->count == NULL)
        return;
    for (uint32_t i = 0; i < s->request_count; i++)
        rows -= &s->streams[s->requests[i].stream] == stream && s->requests[i].rival_window ? s->requests[i].good : 0;
    uint64_t counted = 0;
    if (has_table(s, sql, stream->window)) {
        char text[128];
        (void)snprintf(text, sizeof text, "SELECT SUM(%s) FROM %s", stream->count, stream->window);
        sl_sql_statement *q = query(s, sql, text);
        if (next(s, q))
            counted = (uint64_t)sl_sql_int(q, 0);
        sl_sql_reset(q);
    }
    if (counted != rows && !s->quarantine)
        sim_fail(s, "%s counts %llu events, the lake has %llu", stream->window,
                 (unsigned long long)counted, (unsigned long long)rows);
}

static uint64_t count_rows(sim *s, uint32_t stream) {
    uint64_t rows = 0;
    for (uint32_t i = 0; i < s->request_count; i++)
        rows += s->requests[i].stream == stream ? s->requests[i].rows : 0;
    return rows;
}

void prove(sim *s) {
    const char *violation = fake_disk_violation(s->disk);
    if (violation != NULL)
        sim_fail(s, "the journal broke a rule: %s", violation);
    target_close(s->target);
    settle_database(s, "ledger.db");
    settle_database(s, "warehouse.db");
    sl_sql *sql = database(s, "warehouse.db", false);
    uint64_t lake[STREAMS];
    for (uint32_t i = 0; i < STREAMS; i++) {
        lake[i] = directory_rows(s, "lake", s->streams[i].name, s->by_request);
        read_rows(s, sql, &s->streams[i]);
    }
    check_rivals(s);
    for (uint32_t i = 0; i < s->request_count; i++)
        check_request(s, i);
    prove_raw(s);
    check_guests(s);
    for (uint32_t i = 0; i < STREAMS; i++) {
        const sim_stream *stream = &s->streams[i];
        check_sums(s, i, count_rows(s, i), stream->rows != NULL, lake[i],
                   directory_rows(s, "late", stream->name, false),
                   directory_rows(s, "dead_letters", stream->name, false));
        check_count(s, sql, stream, lake[i]);
    }
    if (!s->embedded && !s->late && !s->quarantine)
        check_windows(s, sql);
    if (s->finals && !s->late && !s->quarantine && s->totals.rivals == 0)
        check_finals(s);
    sl_sql_close(sql);
    if (s->target != NULL)
        return; /* The audit would ask S3 and PostgreSQL. */
    bool clean = false;
    sl_buffer findings = SL_BUFFER_EMPTY;
    sl_error error = {0};
    sl_status status = sl_audit(s->config, s->files, false, false, &clean, &findings, &error);
    if (status != SL_OK || (!clean && s->totals.damaged == 0))
        sim_fail(s, "audit: %s\n%s", status != SL_OK ? error.text : "not clean", sl_buffer_cstr(&findings));
    sl_buffer_fini(&findings);
}
