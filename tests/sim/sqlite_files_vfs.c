#include "sqlite_files_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MAX_BYTES 512

typedef struct world {
    sl_files *files;
    sqlite_files_world hooks;
    unsigned temporaries;
} world;

typedef struct file {
    sqlite3_file base; /* First: SQLite knows only this. */
    sl_files *files;
    int handle;
    bool delete_on_close, name_unsynced;
    char path[PATH_MAX_BYTES];
} file;

static file *file_of(sqlite3_file *base) { return (file *)(void *)base; }
static world *world_of(sqlite3_vfs *vfs) { return vfs->pAppData; }

static int code_of(sl_status status, int otherwise) {
    return status == SL_OK       ? SQLITE_OK
           : status == SL_ENOSPC ? SQLITE_FULL
           : status == SL_ENOMEM ? SQLITE_NOMEM
                                 : otherwise;
}

static sl_status sync_parent(sl_files *files, const char *path) {
    char parent[PATH_MAX_BYTES];
    (void)snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash)
        return files->sync_directory(files, ".", NULL);
    slash[slash == parent ? 1 : 0] = 0;
    return files->sync_directory(files, parent, NULL);
}

static int file_close(sqlite3_file *base) {
    file *f = file_of(base);
    f->files->close(f->files, f->handle);
    if (f->delete_on_close)
        (void)f->files->unlink(f->files, f->path, NULL);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *bytes, int length, sqlite3_int64 offset) {
    file *f = file_of(base);
    size_t got = 0;
    if (f->files->read(f->files, f->handle, bytes, (size_t)length, (uint64_t)offset, &got, NULL))
        return SQLITE_IOERR_READ;
    if (got == (size_t)length)
        return SQLITE_OK;
    memset((char *)bytes + got, 0, (size_t)length - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *bytes, int length, sqlite3_int64 offset) {
    file *f = file_of(base);
    return code_of(f->files->write(f->files, f->handle, bytes, (size_t)length, (uint64_t)offset,
                                   NULL),
                   SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
    file *f = file_of(base);
    return code_of(f->files->truncate(f->files, f->handle, (uint64_t)size, NULL),
                   SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *base, int flags) {
    (void)flags;
    file *f = file_of(base);
    if (f->files->sync(f->files, f->handle, NULL))
        return SQLITE_IOERR_FSYNC;
    /* A file that was made here is durable only when its name is. */
    if (f->name_unsynced && sync_parent(f->files, f->path))
        return SQLITE_IOERR_DIR_FSYNC;
    f->name_unsynced = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
    file *f = file_of(base);
    uint64_t bytes = 0;
    if (f->files->size(f->files, f->handle, &bytes, NULL))
        return SQLITE_IOERR_FSTAT;
    *size = (sqlite3_int64)bytes;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level) {
    (void)base;
    (void)level;
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *base, int *out) {
    (void)base;
    *out = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument) {
    (void)base;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base) {
    (void)base;
    return 512;
}

static int file_characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* As SQLite's own VFS on Unix assumes. */
}

/* Version 1: no shared memory, so WAL works in exclusive locking mode only. */
static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = file_close,
                                           .xRead = file_read,
                                           .xWrite = file_write,
                                           .xTruncate = file_truncate,
                                           .xSync = file_sync,
                                           .xFileSize = file_size,
                                           .xLock = file_lock,
                                           .xUnlock = file_lock,
                                           .xCheckReservedLock = file_reserved,
                                           .xFileControl = file_control,
                                           .xSectorSize = file_sector,
                                           .xDeviceCharacteristics = file_characteristics};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                    int *out_flags) {
    world *w = world_of(vfs);
    file *f = file_of(base);
    memset(f, 0, sizeof *f);
    f->files = w->files;
    if (path)
        (void)snprintf(f->path, sizeof f->path, "%s", path);
    else
        (void)snprintf(f->path, sizeof f->path, "sqlite-temporary-%u", w->temporaries++);
    f->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0 || !path;
    int mode = SL_FILE_READ | (flags & SQLITE_OPEN_READONLY ? 0 : SL_FILE_WRITE);
    sl_status status = f->files->open(f->files, f->path, mode, &f->handle, NULL);
    /* Also the name of a file that is there: a process that was killed may have made it. File systems write it
     * with the file's first sync, whoever made it. */
    f->name_unsynced = !f->delete_on_close;
    if (status == SL_ENOTFOUND && (flags & SQLITE_OPEN_CREATE))
        status = f->files->open(f->files, f->path, mode | SL_FILE_CREATE, &f->handle, NULL);
    if (status)
        return code_of(status, SQLITE_CANTOPEN);
    f->base.pMethods = &methods;
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_directory) {
    sl_files *files = world_of(vfs)->files;
    sl_status status = files->unlink(files, path, NULL);
    if (status == SL_ENOTFOUND)
        return SQLITE_IOERR_DELETE_NOENT;
    if (status)
        return SQLITE_IOERR_DELETE;
    return sync_directory && sync_parent(files, path) ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    sl_files *files = world_of(vfs)->files;
    int handle;
    uint64_t size = 0;
    *out = 0;
    sl_status status = files->open(files, path, SL_FILE_READ, &handle, NULL);
    if (status == SL_ENOTFOUND)
        return SQLITE_OK;
    if (status)
        return SQLITE_IOERR_ACCESS;
    status = files->size(files, handle, &size, NULL);
    files->close(files, handle);
    /* SQLite's Unix VFS calls an empty file absent, too: a journal that was never written. */
    *out = flags != SQLITE_ACCESS_EXISTS || size > 0;
    return status ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out) {
    (void)vfs;
    return snprintf(out, (size_t)size, "%s", path) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_random(sqlite3_vfs *vfs, int length, char *out) {
    const world *w = world_of(vfs);
    w->hooks.random(w->hooks.context, out, (size_t)length);
    return length;
}

static int vfs_sleep(sqlite3_vfs *vfs, int micros) {
    const world *w = world_of(vfs);
    w->hooks.sleep(w->hooks.context, micros);
    return micros;
}

/* Milliseconds since noon of 24 November 4714 BC, the Julian epoch. */
static int vfs_time64(sqlite3_vfs *vfs, sqlite3_int64 *out) {
    const world *w = world_of(vfs);
    *out = INT64_C(210866760000000) + w->hooks.wall_us(w->hooks.context) / 1000;
    return SQLITE_OK;
}

static int vfs_time(sqlite3_vfs *vfs, double *out) {
    sqlite3_int64 ms = 0;
    (void)vfs_time64(vfs, &ms);
    *out = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out) {
    (void)vfs;
    if (size > 0)
        out[0] = 0;
    return 0;
}

typedef struct registration {
    sqlite3_vfs vfs;
    world world;
    char name[64];
} registration;

sl_status sqlite_files_vfs_add(sl_files *files, const char *name,
                               const sqlite_files_world *hooks) {
    registration *r = calloc(1, sizeof *r);
    if (!r)
        return SL_ENOMEM;
    (void)snprintf(r->name, sizeof r->name, "%s", name);
    r->world = (world){.files = files, .hooks = *hooks};
    r->vfs = (sqlite3_vfs){.iVersion = 2,
                           .szOsFile = (int)sizeof(file),
                           .mxPathname = PATH_MAX_BYTES - 1,
                           .zName = r->name,
                           .pAppData = &r->world,
                           .xOpen = vfs_open,
                           .xDelete = vfs_delete,
                           .xAccess = vfs_access,
                           .xFullPathname = vfs_full_path,
                           .xRandomness = vfs_random,
                           .xSleep = vfs_sleep,
                           .xCurrentTime = vfs_time,
                           .xGetLastError = vfs_last_error,
                           .xCurrentTimeInt64 = vfs_time64};
    if (sqlite3_vfs_register(&r->vfs, 0) != SQLITE_OK) {
        free(r);
        return SL_ENOMEM;
    }
    files->sqlite_vfs = r->name;
    return SL_OK;
}

void sqlite_files_vfs_remove(sl_files *files) {
    sqlite3_vfs *vfs = files->sqlite_vfs ? sqlite3_vfs_find(files->sqlite_vfs) : NULL;
    files->sqlite_vfs = NULL;
    if (!vfs)
        return;
    (void)sqlite3_vfs_unregister(vfs);
    free((registration *)(void *)vfs);
}
