/* Files in the spool, by their names. */
#include "spool.h"

#include "state.h"

sl_status spool_path(const sl_engine *e, const char *name, sl_buffer *out, sl_error *error) {
    sl_buffer_clear(out);
    sl_buffer_printf(out, "%s/%s", e->spool, name);
    (void)sl_buffer_cstr(out);
    return out->failed ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", name) : SL_OK;
}

static sl_status open_file(const sl_engine *e, const char *name, int flags, int *file, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_status status = spool_path(e, name, &path, error);
    if (status == SL_OK)
        status = e->files->open(e->files, sl_buffer_cstr(&path), flags, file, error);
    sl_buffer_fini(&path);
    return status;
}

sl_status spool_create(const sl_engine *e, const char *name, int *file, sl_error *error) {
    return open_file(e, name, SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_TRUNCATE, file, error);
}

sl_status spool_write(const sl_engine *e, const char *name, const sl_buffer *content, sl_error *error) {
    int file;
    sl_status status = spool_create(e, name, &file, error);
    if (status != SL_OK)
        return status;
    status = e->files->write(e->files, file, content->bytes, content->length, 0, error);
    if (status == SL_OK)
        status = e->files->sync(e->files, file, error);
    e->files->close(e->files, file);
    if (status != SL_OK)
        spool_remove(e, name);
    return status;
}

sl_status spool_sync(const sl_engine *e, const char *name, sl_error *error) {
    int file;
    sl_status status = open_file(e, name, SL_FILE_WRITE, &file, error);
    if (status != SL_OK)
        return status;
    status = e->files->sync(e->files, file, error);
    e->files->close(e->files, file);
    return status;
}

void spool_remove(const sl_engine *e, const char *name) {
    sl_buffer path = SL_BUFFER_EMPTY;
    if (spool_path(e, name, &path, NULL) == SL_OK)
        (void)e->files->unlink(e->files, sl_buffer_cstr(&path), NULL);
    sl_buffer_fini(&path);
}

uint64_t spool_used(const sl_engine *e, uint32_t destination) {
    return atomic_load_explicit(&e->storage.spool_bytes[destination], memory_order_relaxed);
}
