#include "sluice/lake.h"

#include <stdio.h>

enum {
    CHUNK = 1 << 20,
    /* File systems take names of 255 bytes and paths of 4,096. */
    VALUE_MAX = 200,
    VALUE_KEPT = 160,
};

static void escape(sl_buffer *out, uint8_t c, bool first) {
    if (c <= 0x1f || c == 0x7f || (first && c == '.') || strchr("\"#%'*/:=?\\{[]^", c) != NULL)
        sl_buffer_printf(out, "%%%02X", c);
    else
        sl_buffer_byte(out, c);
}

/* A value too long for a name keeps its beginning; its hash keeps it apart from others. */
static void shorten(sl_buffer *out, size_t kept, const uint8_t *text, size_t length) {
    char hash[33];
    sl_hash128_text(sl_hash128_of(text, length), hash);
    out->length = kept;
    sl_buffer_byte(out, '~');
    sl_buffer_text(out, hash);
}

void sl_lake_partition(sl_buffer *out, const char *name, const void *value, size_t length) {
    sl_buffer_text(out, name);
    sl_buffer_byte(out, '=');
    /* Hive's name for null, and for what would be no directory name at all. */
    if (value == NULL || length == 0) {
        sl_buffer_text(out, "__HIVE_DEFAULT_PARTITION__");
        return;
    }
    const uint8_t *text = value;
    size_t start = out->length, kept = start;
    for (size_t i = 0; i < length && !out->failed; i++) {
        bool character = (text[i] & 0xc0) != 0x80; /* Else within one of UTF-8. */
        if (character && out->length <= start + VALUE_KEPT)
            kept = out->length;
        escape(out, text[i], i == 0);
        if (out->length > start + VALUE_MAX) {
            shorten(out, kept, text, length);
            return;
        }
    }
}

sl_status sl_lake_hash(sl_files *files, const char *path, sl_hash128 *hash, uint64_t *bytes,
                       sl_error *error) {
    int file;
    sl_status status = files->open(files, path, SL_FILE_READ, &file, error);
    if (status != SL_OK)
        return status;
    sl_hasher *hasher = sl_hasher_create();
    uint8_t *chunk = sl_malloc(CHUNK);
    if (hasher == NULL || chunk == NULL)
        status = sl_error_set(error, SL_ENOMEM, "%s: out of memory", path);
    uint64_t at = 0;
    while (status == SL_OK) {
        size_t got = 0;
        status = files->read(files, file, chunk, CHUNK, at, &got, error);
        if (status != SL_OK || got == 0)
            break;
        sl_hasher_add(hasher, chunk, got);
        at += got;
    }
    if (status == SL_OK) {
        *hash = sl_hasher_sum(hasher);
        *bytes = at;
    }
    sl_free(chunk);
    if (hasher != NULL)
        sl_hasher_destroy(hasher);
    files->close(files, file);
    return status;
}

static bool equal(sl_hash128 a, sl_hash128 b) {
    return a.low == b.low && a.high == b.high;
}

/* @return SL_OK: the same is there; SL_ENOTFOUND; SL_ECONFLICT. */
static sl_status compare(sl_files *files, const char *path, const sl_entry_file *file,
                         sl_error *error) {
    sl_hash128 hash;
    uint64_t bytes;
    sl_status status = sl_lake_hash(files, path, &hash, &bytes, error);
    if (status != SL_OK)
        return status;
    if (bytes == file->bytes && equal(hash, file->hash))
        return SL_OK;
    return sl_error_set(error, SL_ECONFLICT,
                        "%s is there already with other content; move it away, or it would be lost",
                        path);
}

/* Another file system: a copy under a temporary name in the same directory, synced, then renamed. */
static sl_status copy(sl_files *files, const char *from, const char *to, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "%s.tmp", to);
    const char *temporary = sl_buffer_cstr(&name);
    int in = -1, out = -1;
    uint8_t *chunk = sl_malloc(CHUNK);
    sl_status status = chunk == NULL || name.failed
                           ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", to)
                           : files->open(files, from, SL_FILE_READ, &in, error);
    if (status == SL_OK)
        status = files->open(files, temporary,
                             SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_TRUNCATE, &out, error);
    uint64_t at = 0;
    while (status == SL_OK) {
        size_t got = 0;
        status = files->read(files, in, chunk, CHUNK, at, &got, error);
        if (status != SL_OK || got == 0)
            break;
        status = files->write(files, out, chunk, got, at, error);
        at += got;
    }
    if (status == SL_OK)
        status = files->sync(files, out, error);
    if (in >= 0)
        files->close(files, in);
    if (out >= 0)
        files->close(files, out);
    if (status == SL_OK)
        status = files->rename(files, temporary, to, error);
    else if (out >= 0)
        (void)files->unlink(files, temporary, NULL);
    sl_free(chunk);
    sl_buffer_fini(&name);
    return status;
}

sl_status sl_lake_deliver(sl_files *files, const char *spool_path, const char *directory,
                          const sl_entry_file *file, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY, parent = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/%s", directory, file->key);
    const char *to = sl_buffer_cstr(&path);
    const char *slash = strrchr(to, '/');
    sl_buffer_append(&parent, to, slash != NULL ? (size_t)(slash - to) : 0);
    const char *folder = sl_buffer_cstr(&parent);
    sl_status status = path.failed || parent.failed
                           ? sl_error_set(error, SL_ENOMEM, "lake: out of memory")
                           : files->make_directories(files, folder, error);
    if (status == SL_OK) {
        status = files->link(files, spool_path, to, error);
        if (status == SL_EEXIST)
            status = compare(files, to, file, error);
        else if (status == SL_ENOTFOUND && compare(files, to, file, NULL) == SL_OK)
            status = SL_OK; /* The spool's name is gone after an earlier delivery. */
        else if (status == SL_EUNSUPPORTED) {
            status = compare(files, to, file, error);
            if (status == SL_ENOTFOUND)
                status = copy(files, spool_path, to, error);
        }
    }
    if (status == SL_OK)
        status = files->sync_directory(files, folder, error);
    sl_buffer_fini(&path);
    sl_buffer_fini(&parent);
    return status;
}
