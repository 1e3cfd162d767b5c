/* Dead letters: found by the ledger, as audit finds them, and read from their files here or in S3. */
#include "private.h"

#include "sluice/audit_remote.h"

#include "sluice/checkpoint.h"
#include "sluice/parquet.h"


enum { STREAM, CODE, RAW, PARTITION, POSITION, ARRIVED, SOURCE, NAMED, FORMAT, HEADER, COLUMNS };
static const char *const column_names[COLUMNS] = {"stream",   "code",    "raw",    "partition",
                                                  "position", "arrived", "source", "named", "format", "header"};

typedef struct search {
    const sl_config *config;
    sl_files *files;
    const replay_options *options;
    sl_ledger *ledger;
    sl_audit_remote remote;
    char *partition;
    /* Tables, then what their entries name. */
    struct { int64_t id; char *target; } *tables;
    uint32_t table_count;
    char **directories; /* Of the table in hand: where its files may lie, today's first. */
    uint32_t directory_count;
    struct { char **paths; uint32_t count; uint64_t bytes; } *found; /* A file, by each of the places it may lie in. */
    uint64_t found_count;
    sl_error *error;
} search;

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

static sl_status note_table(void *context, const sl_ledger_table *t) {
    search *s = context;
    if (t->kind != SL_TABLE_DEAD)
        return SL_OK;
    void *tables = sl_realloc(s->tables, (s->table_count + 1) * sizeof *s->tables);
    if (tables == NULL)
        return no_memory(s->error);
    s->tables = tables;
    s->tables[s->table_count].id = t->id;
    s->tables[s->table_count].target = sl_strdup(t->target);
    return s->tables[s->table_count++].target != NULL ? SL_OK : no_memory(s->error);
}

static sl_status add_directory(void *context, const char *target) {
    search *s = context;
    char **directories = sl_realloc(s->directories, (s->directory_count + 1) * sizeof *directories);
    if (directories == NULL)
        return no_memory(s->error);
    s->directories = directories;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_ledger_place_resolve(s->config->data_dir, target, &text);
    directories[s->directory_count] = sl_strdup(sl_buffer_cstr(&text));
    bool failed = text.failed || directories[s->directory_count] == NULL;
    s->directory_count++;
    sl_buffer_fini(&text);
    return failed ? no_memory(s->error) : SL_OK;
}

static sl_status add_path(search *s, const char *directory, const char *name) {
    char ***paths = &s->found[s->found_count - 1].paths;
    uint32_t count = s->found[s->found_count - 1].count;
    char **grown = sl_realloc(*paths, (count + 1) * sizeof *grown);
    if (grown == NULL)
        return no_memory(s->error);
    *paths = grown;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "%s/%s", directory, name);
    grown[count] = sl_strdup(sl_buffer_cstr(&text));
    bool failed = text.failed || grown[count] == NULL;
    s->found[s->found_count - 1].count++;
    sl_buffer_fini(&text);
    return failed ? no_memory(s->error) : SL_OK;
}

/* A file whose delivery isn't marked may lie in the spool, or at its place already. */
static sl_status note_entry(void *context, const sl_entry *entry) {
    search *s = context;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < entry->file_count && status == SL_OK; i++) {
        void *found = sl_realloc(s->found, (s->found_count + 1) * sizeof *s->found);
        if (found == NULL)
            return no_memory(s->error);
        s->found = found;
        s->found[s->found_count].paths = NULL;
        s->found[s->found_count].bytes = entry->files[i].bytes;
        s->found[s->found_count++].count = 0;
        if (entry->delivered_us == 0) {
            sl_buffer spool = SL_BUFFER_EMPTY;
            sl_buffer_printf(&spool, "%s/spool", s->config->data_dir);
            status = add_path(s, sl_buffer_cstr(&spool), entry->files[i].spool);
            sl_buffer_fini(&spool);
        }
        for (uint32_t k = 0; k < s->directory_count && status == SL_OK; k++)
            status = add_path(s, s->directories[k], entry->files[i].key);
    }
    return status;
}

static void forget_directories(search *s) {
    while (s->directory_count != 0)
        sl_free(s->directories[--s->directory_count]);
}

static sl_status find(search *s) {
    sl_status status = sl_ledger_tables(s->ledger, note_table, s, s->error);
    for (uint32_t i = 0; i < s->table_count && status == SL_OK; i++) {
        forget_directories(s);
        status = add_directory(s, s->tables[i].target);
        if (status == SL_OK)
            status = sl_ledger_targets(s->ledger, s->tables[i].id, add_directory, s, s->error);
        if (status == SL_OK)
            status = sl_ledger_entries(s->ledger, s->tables[i].id, false, note_entry, s, s->error);
    }
    return status;
}

/* --- one file --- */

static sl_status read_file(search *s, const char *path, uint64_t size, sl_buffer *out) {
    if (strncmp(path, "s3://", 5) == 0)
        return sl_audit_remote_tail(&s->remote, path, size, size, out, s->error);
    char *bytes;
    size_t length;
    sl_status status = sl_files_read_all(s->files, path, UINT64_C(8) << 30, &bytes, &length, s->error);
    if (status == SL_OK)
        *out = (sl_buffer){.bytes = (uint8_t *)bytes, .length = length, .capacity = length};
    return status;
}

static bool is(const sl_value *v, const char *text) {
    return !v->null && v->as.text.length == strlen(text) && memcmp(v->as.text.bytes, text, v->as.text.length) == 0;
}

static bool wanted(const search *s, const sl_value *v) {
    const replay_options *o = s->options;
    int64_t arrived = v[ARRIVED].as.i64;
    return is(&v[PARTITION], s->partition) && (o->stream == NULL || is(&v[STREAM], o->stream)) &&
           (o->code == NULL || is(&v[CODE], o->code)) && arrived >= o->since_us && arrived < o->until_us;
}

/* Its bytes as they are to be read again: a line of CSV with the line of names that it came with, or those that the
 * configuration has today; a record that was refused whole has its own. */
static void read_again(const sl_value *v, sl_buffer *made, sl_replay_item *item) {
    const sl_value *format = &v[FORMAT], *header = &v[HEADER];
    if (format->null || format->as.text.length != 4 || memcmp(format->as.text.bytes, "csv", 3) != 0)
        return;
    item->format = (sl_format){SL_FORMAT_CSV, SL_HEADER_PRESENT, format->as.text.bytes[3]};
    if (header->null)
        return;
    item->format.header = header->as.text.length == 0 ? SL_HEADER_ABSENT : SL_HEADER_BEHIND;
    if (header->as.text.length == 0)
        return;
    sl_buffer_append(made, item->bytes, item->length);
    sl_buffer_append(made, header->as.text.bytes, header->as.text.length);
    sl_buffer_u32(made, (uint32_t)header->as.text.length);
    item->bytes = made->bytes;
    item->length = (uint32_t)made->length;
}

static sl_status give(const sl_value *v, replay_letter_fn *each, void *context) {
    replay_letter letter = {
        .stream = (const char *)v[STREAM].as.text.bytes,
        .stream_length = v[STREAM].as.text.length,
        .code = (const char *)v[CODE].as.text.bytes,
        .code_length = v[CODE].as.text.length,
        .named = v[NAMED].null ? "" : (const char *)v[NAMED].as.text.bytes,
        .named_length = v[NAMED].null ? 0 : v[NAMED].as.text.length,
        .item = {.position = (uint64_t)v[POSITION].as.i64,
                 .arrival_us = v[ARRIVED].as.i64,
                 .source = (const char *)v[SOURCE].as.text.bytes,
                 .source_length = (uint32_t)v[SOURCE].as.text.length,
                 .bytes = v[RAW].as.text.bytes,
                 .length = (uint32_t)v[RAW].as.text.length}};
    sl_buffer made = SL_BUFFER_EMPTY;
    read_again(v, &made, &letter.item);
    sl_status status = made.failed ? SL_ENOMEM : each(context, &letter);
    sl_buffer_fini(&made);
    return status;
}

/* Where each of our columns is in the file. */
static bool map_columns(const sl_parquet_scan *scan, uint32_t map[COLUMNS]) {
    for (uint32_t k = 0; k < COLUMNS; k++) {
        map[k] = UINT32_MAX;
        for (uint32_t i = 0; i < sl_parquet_scan_columns(scan); i++)
            if (strcmp(sl_parquet_scan_name(scan, i), column_names[k]) == 0)
                map[k] = i;
        if (map[k] == UINT32_MAX && k < NAMED) /* Files of earlier versions lack the rest. */
            return false;
    }
    return true;
}

static sl_status scan_rows(search *s, sl_parquet_scan *scan, replay_letter_fn *each, void *context) {
    uint32_t map[COLUMNS];
    if (!map_columns(scan, map))
        return sl_error_set(s->error, SL_ECORRUPT, "it has no columns of dead letters");
    sl_parquet_scan_only(scan, column_names, COLUMNS);
    sl_value *row = sl_calloc(sl_parquet_scan_columns(scan) + 1, sizeof *row);
    sl_status status = row != NULL ? SL_OK : no_memory(s->error);
    while (status == SL_OK && (status = sl_parquet_scan_next(scan, row, s->error)) == SL_OK) {
        sl_value v[COLUMNS];
        for (uint32_t k = 0; k < COLUMNS; k++)
            v[k] = map[k] != UINT32_MAX ? row[map[k]] : (sl_value){.type = SL_TYPE_STRING, .null = true};
        if (wanted(s, v))
            status = give(v, each, context);
    }
    sl_free(row);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status read_letters(search *s, uint64_t file, replay_letter_fn *each, void *context) {
    sl_buffer bytes = SL_BUFFER_EMPTY;
    sl_status status = SL_ENOTFOUND;
    const char *path = "";
    for (uint32_t i = 0; i < s->found[file].count && status == SL_ENOTFOUND; i++) {
        path = s->found[file].paths[i];
        status = read_file(s, path, s->found[file].bytes, &bytes);
    }
    sl_parquet_scan *scan = NULL;
    if (status == SL_OK)
        status = sl_parquet_scan_open(bytes.bytes, bytes.length, &scan, s->error);
    if (status == SL_OK)
        status = scan_rows(s, scan, each, context);
    if (status != SL_OK)
        (void)sl_error_context(s->error, "%s", path);
    sl_parquet_scan_close(scan);
    sl_buffer_fini(&bytes);
    return status;
}

static sl_status open_ledger(search *s) {
    const sl_sql_options options = {.read_only = true, .vfs = s->files->sqlite_vfs};
    sl_buffer path = SL_BUFFER_EMPTY, identity = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/ledger.db", s->config->data_dir);
    sl_status status = sl_ledger_open(sl_buffer_cstr(&path), &options, &s->ledger, s->error);
    if (status == SL_OK)
        status = sl_ledger_get(s->ledger, "journal", &identity, s->error);
    sl_buffer_clear(&path);
    sl_buffer_printf(&path, "journal:%s", sl_buffer_cstr(&identity));
    if (status == SL_OK && (s->partition = sl_strdup(sl_buffer_cstr(&path))) == NULL)
        status = no_memory(s->error);
    sl_buffer_fini(&path);
    sl_buffer_fini(&identity);
    return status;
}

static void search_fini(search *s) {
    forget_directories(s);
    sl_free(s->directories);
    for (uint32_t i = 0; i < s->table_count; i++)
        sl_free(s->tables[i].target);
    sl_free(s->tables);
    for (uint64_t i = 0; i < s->found_count; i++) {
        for (uint32_t k = 0; k < s->found[i].count; k++)
            sl_free(s->found[i].paths[k]);
        sl_free(s->found[i].paths);
    }
    sl_free(s->found);
    sl_free(s->partition);
    sl_audit_remote_fini(&s->remote);
    sl_ledger_close(s->ledger);
}

sl_status replay_letters(const sl_config *config, sl_files *files, const replay_options *options, replay_letter_fn *each,
                         void (*progress)(uint64_t file, uint64_t files), void *context, sl_error *error) {
    search s = {.config = config, .files = files, .options = options, .error = error};
    s.remote = (sl_audit_remote){.config = config, .files = files};
    sl_status status = open_ledger(&s);
    if (status == SL_OK)
        status = find(&s);
    for (uint64_t i = 0; i < s.found_count && status == SL_OK; i++) {
        if (progress != NULL)
            progress(i + 1, s.found_count);
        status = read_letters(&s, i, each, context);
    }
    search_fini(&s);
    return status;
}
