/* For every table the entries must join end to end, each must account for every event of its range
 * (received = rows + dead + late + duplicates + filtered + elsewhere), its files must lie in the lake with the
 * bytes that were committed, no other file may claim the same events, dead letters must be as many as
 * the tables refused, and the warehouse must stand where its last entry ended, with the rows that were
 * written, and nowhere below what entries brought of other logs' partitions. */
#include "sluice/audit.h"

#include "sluice/audit_remote.h"

#include "sluice/checkpoint.h"
#include "sluice/lake.h"
#include "sluice/parquet.h"
#include "sluice/warehouse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/** How far delivered entries have brought a partition of another log. */
typedef struct brought {
    char *partition;
    uint64_t to;
} brought;

typedef struct audited {
    struct audited *next;
    sl_ledger_table row; /* text owned */
    uint64_t at;         /* end of the entry seen last */
    uint64_t sequence;
    sl_counts sum;
    uint64_t replays; /* dead letters that the ledger says were taken again */
    uint64_t delivered_to, delivered_rows, next_to, next_rows;
    uint64_t files, bytes;
    bool any_pending;
    char **places; /* directories that its files may lie in: today's, then former ones */
    size_t place_count;
    char **paths; /* of delivered files, sorted */
    size_t path_count, path_capacity;
    struct { uint64_t from, to, rows; } *ranges;
    size_t range_count, range_capacity;
    brought *brought; /* by partition */
    size_t brought_count;
} audited;

/** A dead letter that a replay took. */
typedef struct taken {
    uint64_t position, keeper;
} taken;

typedef struct audit {
    const sl_config *config;
    sl_files *files;
    sl_ledger *ledger;
    sl_warehouse *warehouse; /* NULL: `remote` has it. */
    sl_audit_remote remote;
    char *partition;
    audited *tables, **last, *current;
    taken *taken; /* by replays */
    uint64_t taken_count;
    uint64_t findings;
    bool json;
    sl_buffer *out;
    sl_error *error;
} audit;

static void finding(audit *a, const char *table, const char *format, ...) SL_PRINTF(3, 4);
static void finding(audit *a, const char *table, const char *format, ...) {
    char text[640];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (a->json) {
        sl_buffer_printf(a->out, "%s{\"table\":\"%s\",\"finding\":", a->findings != 0 ? "," : "", table);
        sl_buffer_json_string(a->out, text, strlen(text));
        sl_buffer_byte(a->out, '}');
    } else {
        sl_buffer_printf(a->out, "%s: %s\n", table, text);
    }
    a->findings++;
}

static sl_status note_table(void *context, const sl_ledger_table *t) {
    audit *a = context;
    audited *d = sl_calloc(1, sizeof *d);
    if (d == NULL)
        return SL_ENOMEM;
    *a->last = d;
    a->last = &d->next;
    d->row = *t;
    d->row.name = sl_strdup(t->name);
    d->row.stream = sl_strdup(t->stream);
    d->row.target = sl_strdup(t->target);
    d->row.window = NULL;
    d->at = t->first;
    return d->row.name != NULL && d->row.stream != NULL && d->row.target != NULL ? SL_OK : SL_ENOMEM;
}

/* --- where files are --- */

static sl_status add_place(void *context, const char *place) {
    audit *a = context;
    audited *d = a->current;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_ledger_place_resolve(a->config->data_dir, place, &text);
    const char *directory = sl_buffer_cstr(&text);
    bool known = false;
    for (size_t i = 0; i < d->place_count; i++)
        known = known || strcmp(d->places[i], directory) == 0;
    sl_status status = text.failed ? SL_ENOMEM : SL_OK;
    if (status == SL_OK && !known) {
        char **places = sl_realloc(d->places, (d->place_count + 1) * sizeof *places);
        if (places != NULL)
            d->places = places;
        if (places == NULL || (places[d->place_count] = sl_strdup(directory)) == NULL)
            status = SL_ENOMEM;
        else
            d->place_count++;
    }
    sl_buffer_fini(&text);
    return status;
}

/* The configuration may be newer than the ledger: a lake that was moved is looked for where it is now. */
static sl_status add_configured(audit *a) {
    const audited *d = a->current;
    const sl_config *c = a->config;
    if (d->row.kind != SL_TABLE_LAKE)
        return SL_OK;
    for (uint32_t i = 0; i < c->stream_count; i++)
        if (strcmp(c->streams[i].name, d->row.stream) == 0)
            return c->streams[i].has_lake ? add_place(a, c->streams[i].lake.to) : SL_OK;
    if (!c->embedded)
        return SL_OK;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%s/%s", c->lake.to, d->row.stream);
    const char *directory = sl_buffer_cstr(&text);
    sl_status status = text.failed ? SL_ENOMEM : add_place(a, directory);
    sl_buffer_fini(&text);
    return status;
}

static sl_status find_places(audit *a) {
    sl_status status = add_configured(a);
    if (status == SL_OK)
        status = add_place(a, a->current->row.target);
    return status == SL_OK
               ? sl_ledger_targets(a->ledger, a->current->row.id, add_place, a, a->error)
               : status;
}

static void audit_fini(audit *a) {
    while (a->tables != NULL) {
        audited *d = a->tables;
        a->tables = d->next;
        for (size_t i = 0; i < d->path_count; i++)
            sl_free(d->paths[i]);
        for (size_t i = 0; i < d->place_count; i++)
            sl_free(d->places[i]);
        sl_free(d->places);
        sl_free(d->paths);
        sl_free(d->ranges);
        for (size_t i = 0; i < d->brought_count; i++)
            sl_free(d->brought[i].partition);
        sl_free(d->brought);
        char *own[3];
        memcpy(&own[0], &d->row.name, sizeof own[0]);
        memcpy(&own[1], &d->row.stream, sizeof own[1]);
        memcpy(&own[2], &d->row.target, sizeof own[2]);
        for (int i = 0; i < 3; i++)
            sl_free(own[i]);
        sl_free(d);
    }
    sl_free(a->taken);
    sl_free(a->partition);
    sl_warehouse_close(a->warehouse);
    sl_audit_remote_fini(&a->remote);
    sl_ledger_close(a->ledger);
}

static bool in_bucket(const char *path) {
    return strncmp(path, "s3://", 5) == 0;
}

/* Dead letters and late events receive nothing: they are what other tables refused. */
static bool companion(const audited *d) {
    return sl_table_is_companion(d->row.kind);
}

/* Records as they came: whether their events are good is other tables' business. */
static bool is_raw(const audited *d) {
    return d->row.kind == SL_TABLE_RAW;
}

static bool in_lake(const audited *d) {
    return d->row.kind == SL_TABLE_LAKE || (companion(d) && !sl_table_is_topic(d->row.kind)) || is_raw(d);
}

static sl_status keep_path(audited *d, const char *path) {
    if (d->path_count == d->path_capacity) {
        size_t capacity = d->path_capacity ? 2 * d->path_capacity : 64;
        char **paths = sl_realloc(d->paths, capacity * sizeof *paths);
        if (paths == NULL)
            return SL_ENOMEM;
        d->paths = paths;
        d->path_capacity = capacity;
    }
    return (d->paths[d->path_count] = sl_strdup(path)) != NULL ? (d->path_count++, SL_OK) : SL_ENOMEM;
}

/* @return SL_OK, SL_ENOTFOUND, SL_ECORRUPT: it is another; else it couldn't be read. */
static sl_status verify(audit *a, const char *path, const sl_entry_file *f, sl_error *error) {
    if (in_bucket(path))
        return sl_audit_remote_object(&a->remote, path, f, error);
    sl_hash128 hash;
    uint64_t bytes;
    sl_status status = sl_lake_hash(a->files, path, &hash, &bytes, error);
    bool same = bytes == f->bytes && hash.low == f->hash.low && hash.high == f->hash.high;
    return status == SL_OK && !same ? SL_ECORRUPT : status;
}

static void judge_file(audit *a, const audited *d, const sl_entry *entry, const sl_entry_file *f,
                       const char *path, sl_status status, const sl_error *error) {
    const char *unit = is_raw(d) ? "records" : "events";
    if (status == SL_ENOTFOUND)
        finding(a, d->row.name, "missing: %s (%" PRIu64 " %s of positions %" PRIu64 " to %" PRIu64 ")",
                path, f->rows, unit, entry->from, entry->to);
    else if (status != SL_OK && status != SL_ECORRUPT)
        finding(a, d->row.name, "unreadable: %s", error->text);
    else if (status == SL_ECORRUPT)
        finding(a, d->row.name,
                "altered: %s isn't what was committed (%" PRIu64 " %s of positions %" PRIu64
                " to %" PRIu64 ")",
                path, f->rows, unit, entry->from, entry->to);
}

/* In the first of its table's places that has it. */
static sl_status check_delivered(audit *a, audited *d, const sl_entry *entry, const sl_entry_file *f) {
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_error error = {0};
    sl_status found = SL_ENOTFOUND;
    size_t i = d->place_count;
    while (found == SL_ENOTFOUND && i-- > 0) { /* Today's place last: it is named when none has it. */
        sl_buffer_clear(&path);
        sl_buffer_printf(&path, "%s/%s", d->places[i], f->key);
        const char *text = sl_buffer_cstr(&path);
        found = path.failed ? SL_ENOMEM : verify(a, text, f, &error);
    }
    sl_status status = path.failed ? SL_ENOMEM : keep_path(d, (const char *)path.bytes);
    if (status == SL_OK)
        judge_file(a, d, entry, f, (const char *)path.bytes, found, &error);
    sl_buffer_fini(&path);
    return status;
}

static sl_status check_spooled(audit *a, const audited *d, const sl_entry *entry, const sl_entry_file *f) {
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_error error = {0};
    sl_buffer_printf(&path, "%s/spool/%s", a->config->data_dir, f->spool);
    const char *text = sl_buffer_cstr(&path);
    sl_status status = path.failed ? SL_ENOMEM : SL_OK;
    if (status == SL_OK)
        judge_file(a, d, entry, f, text, verify(a, text, f, &error), &error);
    sl_buffer_fini(&path);
    return status;
}

static sl_status check_files(audit *a, audited *d, const sl_entry *entry) {
    uint64_t rows = 0;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < entry->file_count && status == SL_OK; i++) {
        const sl_entry_file *f = &entry->files[i];
        rows += f->rows;
        d->files++;
        d->bytes += f->bytes;
        status = entry->delivered_us != 0 ? check_delivered(a, d, entry, f)
                                          : check_spooled(a, d, entry, f);
    }
    if (rows != entry->counts.rows)
        finding(a, d->row.name, "positions %" PRIu64 " to %" PRIu64 ": %" PRIu64 " rows in files, not %" PRIu64,
                entry->from, entry->to, rows, entry->counts.rows);
    return status;
}

static sl_status keep_range(audited *d, const sl_entry *entry) {
    if (d->range_count == d->range_capacity) {
        size_t capacity = d->range_capacity ? 2 * d->range_capacity : 64;
        void *ranges = sl_realloc(d->ranges, capacity * sizeof *d->ranges);
        if (ranges == NULL)
            return SL_ENOMEM;
        d->ranges = ranges;
        d->range_capacity = capacity;
    }
    d->ranges[d->range_count].from = entry->from;
    d->ranges[d->range_count].to = entry->to;
    d->ranges[d->range_count++].rows = entry->counts.rows;
    return SL_OK;
}

/* @return Where the partition is, or would be, among those that were brought. */
static size_t brought_at(const audited *d, const sl_range *range, bool *found) {
    size_t low = 0, high = d->brought_count;
    *found = false;
    while (low < high && !*found) {
        const size_t middle = low + (high - low) / 2;
        const char *name = d->brought[middle].partition;
        int order = strncmp(name, range->partition, range->length);
        order = order == 0 && name[range->length] != 0 ? 1 : order;
        *found = order == 0;
        low = order < 0 ? middle + 1 : *found ? middle : low;
        high = order > 0 ? middle : high;
    }
    return low;
}

/* Highest ends by partition: an entry may bring thousands, and each comes again and again. */
static sl_status keep_brought(audited *d, const char *lines) {
    sl_range range;
    while (sl_range_next(&lines, &range)) {
        bool found;
        const size_t at = brought_at(d, &range, &found), count = d->brought_count;
        if (!found) {
            if ((count & (count - 1)) == 0) { /* Doubled at powers of two. */
                brought *more = sl_realloc(d->brought, (count == 0 ? 1 : 2 * count) * sizeof *more);
                if (more == NULL)
                    return SL_ENOMEM;
                d->brought = more;
            }
            char *name = sl_malloc(range.length + 1);
            if (name == NULL)
                return SL_ENOMEM;
            memcpy(name, range.partition, range.length);
            name[range.length] = 0;
            memmove(d->brought + at + 1, d->brought + at, (count - at) * sizeof *d->brought);
            d->brought[at] = (brought){name, 0};
            d->brought_count++;
        }
        if (d->brought[at].to < range.to)
            d->brought[at].to = range.to;
    }
    return SL_OK;
}

static sl_status check_entry(void *context, const sl_entry *entry) {
    audit *a = context;
    audited *d = a->current;
    const sl_counts *c = &entry->counts;
    if (entry->from != d->at)
        finding(a, d->row.name, "a gap: entry %" PRIu64 " begins at %" PRIu64 ", the last one ended at %" PRIu64,
                entry->sequence, entry->from, d->at);
    if (entry->sequence != ++d->sequence)
        finding(a, d->row.name, "entry %" PRIu64 " stands where %" PRIu64 " should", entry->sequence,
                d->sequence);
    if (!companion(d) && c->received + c->replayed != c->rows + c->dead + c->late + c->duplicates + c->filtered + c->elsewhere)
        finding(a, d->row.name,
                "positions %" PRIu64 " to %" PRIu64 ": received %" PRIu64 " and replayed %" PRIu64 ", but %" PRIu64 " rows + %" PRIu64
                " dead + %" PRIu64 " late + %" PRIu64 " duplicates + %" PRIu64 " filtered + %" PRIu64 " elsewhere",
                entry->from, entry->to, c->received, c->replayed, c->rows, c->dead, c->late, c->duplicates, c->filtered, c->elsewhere);
    sl_counts_add(&d->sum, c);
    d->at = entry->to;
    if (entry->delivered_us != 0) {
        d->delivered_to = entry->to;
        d->delivered_rows += c->rows;
    } else if (!d->any_pending) {
        d->any_pending = true;
        d->next_to = entry->to;
        d->next_rows = c->rows;
    }
    sl_status status = keep_range(d, entry);
    if (status == SL_OK && entry->delivered_us != 0 && entry->ranges != NULL)
        status = keep_brought(d, entry->ranges);
    return status == SL_OK && in_lake(d) ? check_files(a, d, entry) : status;
}

/* --- files that no entry names --- */

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum {
    TAIL = 64 << 10,
    KEY_IDENTITY = 8, /* Digits of the journal's identity that keys begin with. */
};

/* The end of a file, as much as its footer needs. */
static sl_status read_tail(audit *a, const char *path, uint64_t size, uint64_t length, sl_buffer *out) {
    sl_error error;
    if (in_bucket(path))
        return sl_audit_remote_tail(&a->remote, path, size, length, out, &error);
    int file;
    sl_status status = a->files->open(a->files, path, SL_FILE_READ, &file, &error);
    if (status != SL_OK)
        return status;
    size_t some = (size_t)(size < length ? size : length), got = 0;
    status = sl_buffer_reserve(out, some)
                 ? a->files->read(a->files, file, out->bytes, some, size - some, &got, &error)
                 : SL_ENOMEM;
    out->length = got;
    a->files->close(a->files, file);
    return status == SL_OK && got != some ? SL_EIO : status;
}

static void check_footer(audit *a, const audited *d, const char *path, const sl_parquet_footer *footer) {
    const char *table = "", *log = "", *positions = "?";
    for (size_t i = 0; i < footer->metadata_count; i++) {
        if (strcmp(footer->metadata[i].key, "sluice.table") == 0)
            table = footer->metadata[i].value;
        else if (strcmp(footer->metadata[i].key, "sluice.log") == 0)
            log = footer->metadata[i].value;
        else if (strcmp(footer->metadata[i].key, "sluice.positions") == 0)
            positions = footer->metadata[i].value;
    }
    if (strcmp(table, d->row.name) == 0 && strcmp(log, a->partition) == 0)
        finding(a, d->row.name, "twice: %s holds %" PRIu64 " events of positions %s, and no entry names it", path,
                footer->rows, positions);
}

/* Files of the raw zone say nothing of themselves but by their names. */
static void check_raw_stranger(audit *a, const audited *d, const char *path) {
    const char *identity = strchr(a->partition, ':') + 1;
    if (strncmp(strrchr(path, '/') + 1, identity, KEY_IDENTITY) == 0)
        finding(a, d->row.name, "twice: %s has the name of a file of this journal, and no entry names it", path);
}

static void check_stranger(audit *a, const audited *d, const char *path, uint64_t size) {
    if (is_raw(d)) {
        check_raw_stranger(a, d, path);
        return;
    }
    sl_buffer tail = SL_BUFFER_EMPTY;
    sl_parquet_footer footer;
    sl_error error;
    size_t needed = TAIL;
    sl_status status = SL_EFULL;
    while (status == SL_EFULL && needed > tail.length) {
        sl_buffer_clear(&tail);
        if (read_tail(a, path, size, needed, &tail) != SL_OK)
            break;
        status = sl_parquet_read_footer(tail.bytes, tail.length, &needed, &footer, &error);
    }
    if (status == SL_OK) {
        check_footer(a, d, path, &footer);
        sl_parquet_footer_fini(&footer);
    }
    sl_buffer_fini(&tail);
}

/* What ends as the table's files do and isn't what an entry delivered. */
static bool is_stranger(const audited *d, const char *path) {
    const char *ending = is_raw(d) ? ".ndjson.zst" : ".parquet";
    size_t n = strlen(path), k = strlen(ending);
    return n > k && strcmp(path + n - k, ending) == 0 &&
           (d->path_count == 0 ||
            bsearch(&path, d->paths, d->path_count, sizeof *d->paths, compare_paths) == NULL);
}

typedef struct walk {
    audit *audit;
    const audited *table;
    const char *directory;
    unsigned depth;
} walk;

static sl_status walk_entry(void *context, const sl_file_entry *entry) {
    walk *w = context;
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/%s", w->directory, entry->name);
    char *text = sl_strdup(sl_buffer_cstr(&path));
    sl_buffer_fini(&path);
    if (text == NULL)
        return SL_ENOMEM;
    sl_status status = SL_OK;
    const audited *d = w->table;
    if (entry->directory && w->depth < 64) {
        walk below = {w->audit, d, text, w->depth + 1};
        status = w->audit->files->list(w->audit->files, text, walk_entry, &below, w->audit->error);
    } else if (is_stranger(d, text)) {
        int file;
        uint64_t bytes = 0;
        sl_error error;
        if (w->audit->files->open(w->audit->files, text, SL_FILE_READ, &file, &error) == SL_OK) {
            status = w->audit->files->size(w->audit->files, file, &bytes, w->audit->error);
            w->audit->files->close(w->audit->files, file);
        }
        check_stranger(w->audit, d, text, bytes);
    }
    sl_free(text);
    return status;
}

static sl_status walk_object(void *context, const char *url, uint64_t bytes) {
    walk *w = context;
    if (is_stranger(w->table, url))
        check_stranger(w->audit, w->table, url, bytes);
    return SL_OK;
}

static sl_status check_strangers(audit *a, audited *d) {
    if (d->path_count != 0)
        qsort(d->paths, d->path_count, sizeof *d->paths, compare_paths);
    sl_status status = SL_OK;
    for (size_t i = 0; i < d->place_count && status == SL_OK; i++) {
        const char *place = d->places[i];
        walk w = {a, d, place, 0};
        status = in_bucket(place)
                     ? sl_audit_remote_list(&a->remote, place, walk_object, &w, a->error)
                     : a->files->list(a->files, place, walk_entry, &w, a->error);
        if (status == SL_ENOTFOUND)
            status = SL_OK;
    }
    return status;
}

/* --- warehouse, companions --- */

static sl_status read_table(audit *a, const audited *d, bool window, uint64_t from, uint64_t to,
                            sl_warehouse_fact *fact, sl_error *error) {
    return a->warehouse != NULL
               ? sl_warehouse_audit(a->warehouse, d->row.target, a->partition, window, from, to, fact, error)
               : sl_audit_remote_table(&a->remote, d->row.target, a->partition, window, from, to, fact, error);
}

static void name_range(audit *a, const audited *d) {
    for (size_t i = 0; i < d->range_count && d->ranges[i].to <= d->delivered_to; i++) {
        sl_warehouse_fact fact = {.parts = SL_BUFFER_EMPTY};
        sl_error error;
        if (read_table(a, d, false, d->ranges[i].from, d->ranges[i].to, &fact, &error) == SL_OK &&
            fact.rows != d->ranges[i].rows)
            finding(a, d->row.name, "positions %" PRIu64 " to %" PRIu64 ": %" PRIu64 " rows in the warehouse, not %" PRIu64,
                    d->ranges[i].from, d->ranges[i].to, fact.rows, d->ranges[i].rows);
        sl_buffer_fini(&fact.parts);
    }
}

/* A row of the warehouse's ledger that is gone, or stands below, would let somebody load the same again. */
static sl_status check_brought(audit *a, const audited *d, sl_buffer *parts) {
    const char *lines = sl_buffer_cstr(parts);
    bool *stands = sl_calloc(d->brought_count + 1, sizeof *stands), found;
    if (parts->failed || stands == NULL) {
        sl_free(stands);
        return sl_error_set(a->error, SL_ENOMEM, "out of memory");
    }
    for (sl_range row; sl_range_next(&lines, &row);) {
        const size_t at = brought_at(d, &row, &found);
        if (found)
            stands[at] = row.to >= d->brought[at].to;
    }
    size_t below = 0, first = 0;
    for (size_t i = d->brought_count; i-- > 0;)
        if (!stands[i])
            below++, first = i;
    sl_free(stands);
    if (below == 0)
        return SL_OK;
    const brought *b = &d->brought[first];
    sl_range row = {.to = 0};
    if (sl_range_find((const char *)parts->bytes, b->partition, strlen(b->partition), &row))
        finding(a, d->row.name, "%s was brought up to offset %" PRIu64 ", the warehouse's ledger stands at %" PRIu64
                ": is it an older copy? (%zu of %zu partitions)", b->partition, b->to, row.to, below, d->brought_count);
    else
        finding(a, d->row.name, "%s was brought up to offset %" PRIu64 ", the warehouse's ledger has no row for it"
                ": was it replaced? (%zu of %zu partitions)", b->partition, b->to, below, d->brought_count);
    return SL_OK;
}

/* Rows that are kept by an id: later events replace earlier ones' rows, so that only the ledger's count has to agree. */
static bool is_upserted(const audit *a, const audited *d) {
    for (uint32_t i = 0; i < a->config->stream_count; i++)
        if (strcmp(a->config->streams[i].name, d->row.stream) == 0)
            return d->row.kind == SL_TABLE_ROWS && a->config->streams[i].id != NULL; /* A field, where there are rows. */
    return false;
}

static void judge_warehouse(audit *a, const audited *d, const sl_warehouse_fact *fact) {
    bool window = d->row.kind == SL_TABLE_WINDOW;
    uint64_t rows = d->delivered_rows, position = d->delivered_to;
    if (d->any_pending && fact->found && fact->position == d->next_to) {
        rows += d->next_rows; /* Loaded, and not marked yet: the daemon is about to. */
        position = d->next_to;
    }
    if (d->delivered_to == 0 && position == 0)
        return; /* Nothing was delivered yet. */
    if (!fact->found || fact->position != position)
        finding(a, d->row.name, "the warehouse stands at %" PRIu64 ", the ledger says %" PRIu64, fact->position,
                position);
    if (is_upserted(a, d)) {
        if (fact->loaded != rows || fact->rows > rows)
            finding(a, d->row.name, "%" PRIu64 " events were loaded, %" PRIu64 " delivered (up to position %" PRIu64
                    "); %" PRIu64 " rows are there", fact->loaded, rows, position, fact->rows);
    } else if (fact->rows != rows) {
        finding(a, d->row.name, "%" PRIu64 " events in the warehouse, %" PRIu64 " were delivered (up to position %" PRIu64 ")",
                fact->rows, rows, position);
        if (!window)
            name_range(a, d);
    }
    if (fact->altered != 0)
        finding(a, d->row.name, "altered: %" PRIu64 " rows aren't what was written, first %s", fact->altered,
                fact->first_altered);
}

static sl_status check_warehouse(audit *a, const audited *d) {
    sl_warehouse_fact fact = {.parts = SL_BUFFER_EMPTY};
    sl_status status = read_table(a, d, d->row.kind == SL_TABLE_WINDOW, 0, INT64_MAX, &fact, a->error);
    if (status == SL_OK) {
        judge_warehouse(a, d, &fact);
        status = check_brought(a, d, &fact.parts);
    }
    sl_buffer_fini(&fact.parts);
    return status;
}

/* A topic may be written by others, too, and forgets: what tells that each entry is there once is its marker. */
static sl_status check_topic(audit *a, const audited *d) {
    if (d->delivered_to == 0)
        return SL_OK; /* Nothing was delivered yet. */
    sl_error error = {0};
    int64_t position = -1;
    sl_status status = sl_audit_remote_marker(&a->remote, d->row.target, d->row.name, a->partition, &position, &error);
    if (status == SL_ENOMEM)
        return status;
    const bool next = d->any_pending && position == (int64_t)d->next_to; /* Written, and not noted yet: the daemon is about to. */
    if (status != SL_OK)
        finding(a, d->row.name, "unreadable: the marker of topic %s: %s", d->row.target, error.text);
    else if (position < 0)
        finding(a, d->row.name, "missing: topic %s has no marker, the ledger says %" PRIu64, d->row.target, d->delivered_to);
    else if (position != (int64_t)d->delivered_to && !next)
        finding(a, d->row.name, "the marker of topic %s stands at %" PRId64 ", the ledger says %" PRIu64, d->row.target, position, d->delivered_to);
    return SL_OK;
}

/* Rows of a companion table in entries that end at or below `to`. */
static uint64_t rows_below(const audited *d, uint64_t to) {
    uint64_t rows = 0;
    for (size_t i = 0; i < d->range_count; i++)
        if (d->ranges[i].to <= to)
            rows += d->ranges[i].rows;
    return rows;
}

static void check_companions(audit *a, const audited *d) {
    if (companion(d) || is_raw(d) || d->range_count == 0)
        return;
    for (const audited *c = a->tables; c != NULL; c = c->next) {
        bool dead = c->row.kind == SL_TABLE_DEAD || c->row.kind == SL_TABLE_DEAD_TOPIC, late = c->row.kind == SL_TABLE_LATE;
        if (strcmp(c->row.stream, d->row.stream) != 0 || (!dead && !late) || c->row.first != d->row.first)
            continue;
        uint64_t want = dead ? d->sum.dead : d->sum.late, rows = rows_below(c, d->at);
        if (rows != want)
            finding(a, d->row.name, "refused %" PRIu64 " events, but %s holds %" PRIu64 " up to position %" PRIu64,
                    want, c->row.name, rows, d->at);
    }
}

/* --- replays --- */

static sl_status note_replay(void *context, const sl_ledger_replay *replay) {
    audit *a = context;
    taken *all = sl_realloc(a->taken, (a->taken_count + replay->count) * sizeof *all);
    if (all == NULL)
        return sl_error_set(a->error, SL_ENOMEM, "out of memory");
    a->taken = all;
    for (uint64_t i = 0; i < replay->count; i++)
        all[a->taken_count++] = (taken){replay->positions[i], replay->keeper};
    for (audited *d = a->tables; d != NULL; d = d->next)
        if (strcmp(d->row.stream, replay->stream) == 0 && replay->keeper >= d->row.first && replay->keeper < d->row.cursor)
            d->replays += replay->count;
    return SL_OK;
}

static int compare_taken(const void *a, const void *b) {
    const taken *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

/* Each position has its place once: as a dead letter, or where a replay brought it. */
static sl_status check_replays(audit *a) {
    sl_status status = sl_ledger_replays(a->ledger, note_replay, a, a->error);
    if (status != SL_OK)
        return status;
    if (a->taken_count != 0)
        qsort(a->taken, a->taken_count, sizeof *a->taken, compare_taken);
    for (uint64_t i = 1; i < a->taken_count; i++)
        if (a->taken[i].position == a->taken[i - 1].position)
            finding(a, "replays", "position %" PRIu64 " was taken twice, by replays at %" PRIu64 " and %" PRIu64,
                    a->taken[i].position, a->taken[i - 1].keeper, a->taken[i].keeper);
    for (const audited *d = a->tables; d != NULL; d = d->next)
        if (!companion(d) && !is_raw(d) && d->sum.replayed != d->replays)
            finding(a, d->row.name, "%" PRIu64 " dead letters came by replays, the ledger knows of %" PRIu64,
                    d->sum.replayed, d->replays);
    return SL_OK;
}

static sl_status check_tables(audit *a) {
    sl_status status = SL_OK;
    for (audited *d = a->tables; d != NULL && status == SL_OK; d = d->next) {
        a->current = d;
        status = find_places(a);
        if (status == SL_OK)
            status = sl_ledger_entries(a->ledger, d->row.id, false, check_entry, a, a->error);
        if (status == SL_OK && d->at != d->row.last)
            finding(a, d->row.name, "the ledger's last entry should end at %" PRIu64 ", it ends at %" PRIu64,
                    d->row.last, d->at);
        if (status == SL_OK && in_lake(d))
            status = check_strangers(a, d);
        else if (status == SL_OK && sl_table_is_topic(d->row.kind))
            status = check_topic(a, d);
        else if (status == SL_OK)
            status = check_warehouse(a, d);
    }
    for (audited *d = a->tables; d != NULL && status == SL_OK; d = d->next)
        check_companions(a, d);
    return status == SL_OK ? check_replays(a) : status;
}

static void summary_text(const audit *a, const audited *d) {
    const sl_counts *c = &d->sum;
    sl_buffer_printf(a->out, "%-28s positions %" PRIu64 " to %" PRIu64 ": ", d->row.name, d->row.first, d->at);
    if (companion(d))
        sl_buffer_printf(a->out, "%" PRIu64 " events that weren't taken", c->rows);
    else if (is_raw(d))
        sl_buffer_printf(a->out, "%" PRIu64 " records", c->rows);
    else
        sl_buffer_printf(a->out, "received %" PRIu64 " = %" PRIu64 " rows + %" PRIu64 " dead + %" PRIu64 " late + %" PRIu64
                         " duplicates + %" PRIu64 " filtered",
                         c->received, c->rows, c->dead - c->replayed, c->late, c->duplicates, c->filtered);
    if (c->elsewhere != 0)
        sl_buffer_printf(a->out, " + %" PRIu64 " elsewhere", c->elsewhere);
    if (!companion(d) && c->replayed != 0)
        sl_buffer_printf(a->out, ", %" PRIu64 " of them by replay", c->replayed);
    sl_buffer_printf(a->out, "; %" PRIu64 " entries, %" PRIu64 " files\n", d->sequence, d->files);
}

static void summary_json(const audit *a, const audited *d) {
    const sl_counts *c = &d->sum;
    sl_buffer_printf(a->out,
                     "%s{\"table\":\"%s\",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"received\":%" PRIu64
                     ",\"rows\":%" PRIu64 ",\"dead\":%" PRIu64 ",\"late\":%" PRIu64 ",\"duplicates\":%" PRIu64
                     ",\"filtered\":%" PRIu64 ",\"elsewhere\":%" PRIu64 ",\"replayed\":%" PRIu64 ",\"files\":%" PRIu64
                     ",\"bytes\":%" PRIu64 "}",
                     d == a->tables ? "" : ",", d->row.name, d->row.first, d->at,
                     companion(d) ? c->rows : c->received, c->rows, c->dead, c->late, c->duplicates, c->filtered,
                     c->elsewhere, c->replayed, d->files, d->bytes);
}

static void summary(audit *a) {
    if (a->json)
        sl_buffer_text(a->out, "],\"tables\":[");
    for (const audited *d = a->tables; d != NULL; d = d->next)
        if (a->json)
            summary_json(a, d);
        else if (d->sequence != 0)
            summary_text(a, d);
    if (a->json)
        sl_buffer_printf(a->out, "],\"clean\":%s}\n", a->findings == 0 ? "true" : "false");
    else if (a->findings == 0)
        sl_buffer_text(a->out, "clean: nothing is missing, twice or altered\n");
    else
        sl_buffer_printf(a->out, "%" PRIu64 " findings\n", a->findings);
}

static sl_status open_all(audit *a) {
    const sl_sql_options options = {.read_only = true, .vfs = a->files->sqlite_vfs};
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%s/ledger.db", a->config->data_dir);
    sl_status status = sl_ledger_open(sl_buffer_cstr(&text), &options, &a->ledger, a->error);
    if (status == SL_OK && a->config->warehouse.store == SL_STORE_SQLITE)
        status = sl_warehouse_open(a->config->warehouse.sqlite, &options, &a->warehouse, a->error);
    sl_buffer identity = SL_BUFFER_EMPTY;
    if (status == SL_OK)
        status = sl_ledger_get(a->ledger, "journal", &identity, a->error);
    sl_buffer_clear(&text);
    sl_buffer_printf(&text, "journal:%s", sl_buffer_cstr(&identity));
    if (status == SL_OK && (a->partition = sl_strdup(sl_buffer_cstr(&text))) == NULL)
        status = sl_error_set(a->error, SL_ENOMEM, "out of memory");
    sl_buffer_fini(&text);
    sl_buffer_fini(&identity);
    return status;
}

sl_status sl_audit(const sl_config *config, sl_files *files, bool json, bool whole, bool *clean, sl_buffer *out,
                   sl_error *error) {
    audit a = {.config = config, .files = files, .json = json, .out = out, .error = error};
    a.remote = (sl_audit_remote){.config = config, .files = files, .whole = whole};
    a.last = &a.tables;
    if (json)
        sl_buffer_text(out, "{\"findings\":[");
    sl_status status = open_all(&a);
    if (status == SL_OK)
        status = sl_ledger_tables(a.ledger, note_table, &a, error);
    if (status == SL_OK)
        status = check_tables(&a);
    if (status == SL_OK)
        summary(&a);
    *clean = status == SL_OK && a.findings == 0;
    audit_fini(&a);
    return status;
}
