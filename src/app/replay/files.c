/* Files of entries: found by the ledger, as audit finds them, and read here or in S3. */
#include "private.h"

#include "sluice/audit_remote.h"

typedef struct found_file {
    char **paths; /* The places it may lie in. */
    uint32_t count;
    uint64_t bytes;
    int64_t entry;
} found_file;

struct replay_files {
    const sl_config *config;
    sl_files *files;
    sl_table_kind kind;
    const char *stream; /* NULL: of all. */
    sl_ledger *ledger;
    sl_audit_remote remote;
    char *partition;
    struct { int64_t id; char *target; } *tables;
    uint32_t table_count;
    char **directories; /* Of the table in hand: where its files may lie, today's first. */
    uint32_t directory_count;
    found_file *found;
    uint64_t found_count;
    sl_error *error;
};

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

static sl_status note_table(void *context, const sl_ledger_table *t) {
    replay_files *s = context;
    if (t->kind != s->kind || (s->stream != NULL && strcmp(t->stream, s->stream) != 0))
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
    replay_files *s = context;
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

static sl_status add_path(replay_files *s, const char *directory, const char *name) {
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
    replay_files *s = context;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < entry->file_count && status == SL_OK; i++) {
        void *found = sl_realloc(s->found, (s->found_count + 1) * sizeof *s->found);
        if (found == NULL)
            return no_memory(s->error);
        s->found = found;
        s->found[s->found_count++] = (found_file){.bytes = entry->files[i].bytes, .entry = entry->id};
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

static void forget_directories(replay_files *s) {
    while (s->directory_count != 0)
        sl_free(s->directories[--s->directory_count]);
}

static sl_status find(replay_files *s) {
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

static sl_status read_file(replay_files *s, const char *path, uint64_t size, sl_buffer *out) {
    if (strncmp(path, "s3://", 5) == 0)
        return sl_audit_remote_tail(&s->remote, path, size, size, out, s->error);
    char *bytes;
    size_t length;
    sl_status status = sl_files_read_all(s->files, path, UINT64_C(8) << 30, &bytes, &length, s->error);
    if (status == SL_OK)
        *out = (sl_buffer){.bytes = (uint8_t *)bytes, .length = length, .capacity = length};
    return status;
}

static sl_status open_ledger(replay_files *s) {
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

void replay_files_close(replay_files *s) {
    if (s == NULL)
        return;
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
    sl_free(s);
}

sl_status replay_files_open(const sl_config *config, sl_files *files, sl_table_kind kind, const char *stream,
                            replay_files **out, sl_error *error) {
    replay_files *s = sl_calloc(1, sizeof *s);
    *out = s;
    if (s == NULL)
        return no_memory(error);
    *s = (replay_files){.config = config, .files = files, .kind = kind, .stream = stream, .error = error};
    s->remote = (sl_audit_remote){.config = config, .files = files};
    sl_status status = open_ledger(s);
    return status == SL_OK ? find(s) : status;
}

typedef struct sought {
    const char *stream;
    bool found;
} sought;

static sl_status compare_stream(void *context, const sl_ledger_table *t) {
    sought *s = context;
    s->found |= strcmp(t->stream, s->stream) == 0;
    return SL_OK;
}

sl_status replay_files_stream(replay_files *s, const char *stream) {
    sought looked = {.stream = stream, .found = strcmp(stream, "_unrouted") == 0};
    sl_status status = sl_ledger_tables(s->ledger, compare_stream, &looked, s->error);
    if (status == SL_OK && !looked.found)
        status = sl_error_set(s->error, SL_ENOTFOUND, "%s/ledger.db knows no stream '%s'", s->config->data_dir, stream);
    return status;
}

const char *replay_files_partition(const replay_files *s) {
    return s->partition;
}

uint32_t replay_files_tables(const replay_files *s) {
    return s->table_count;
}

uint64_t replay_files_count(const replay_files *s) {
    return s->found_count;
}

int64_t replay_files_entry(const replay_files *s, uint64_t file) {
    return s->found[file].entry;
}

sl_status replay_files_read(replay_files *s, uint64_t file, sl_buffer *out, const char **path, sl_error *error) {
    sl_status status = SL_ENOTFOUND;
    s->error = error;
    for (uint32_t i = 0; i < s->found[file].count && status == SL_ENOTFOUND; i++) {
        *path = s->found[file].paths[i];
        status = read_file(s, *path, s->found[file].bytes, out);
    }
    return status;
}
