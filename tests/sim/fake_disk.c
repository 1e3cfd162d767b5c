#include "fake_disk.h"

#include "sluice/hash.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define UNIT 512u
#define UNITS (PAGE / UNIT)
#define HANDLES 4096u

typedef struct page {
    uint8_t now[PAGE], disk[PAGE];
    uint8_t dirty; /* Units that differ and wait. */
    uint8_t kept;  /* Units that may not be written again. */
} page;

typedef struct inode {
    struct inode *next;
    page **pages;       /* NULL: zeros, now and on the disk. */
    uint8_t *allocated; /* Takes space. */
    size_t page_count;
    uint64_t size, disk_size;
    bool size_waits;
    uint32_t sync_failed; /* In which process's life. 0: none. */
} inode;

typedef struct name {
    char *path;
    inode *node; /* NULL: a directory. */
} name;

typedef struct names {
    name *items;
    size_t count, capacity;
} names;

/* A change of one directory that waits for its sync. */
typedef struct change {
    char *directory, *set, *clear; /* Either may be NULL. */
    inode *node;
} change;

typedef struct handle {
    inode *node;
    char *path;
    bool random;
} handle;

struct fake_disk {
    sl_files files; /* First: the port's functions get a pointer to it. */
    pthread_mutex_t mutex;
    uint64_t state, random_state;
    inode *nodes;
    names now, disk;
    change *changes;
    size_t change_count, change_capacity;
    handle handles[HANDLES];
    uint64_t capacity, used, stop_at;
    uint32_t process;
    bool stopped, no_allocate, sync_failed, write_failed;
    struct {
        uint64_t at;
        sl_status status;
        unsigned per_mille;
    } faults[FAKE_DISK_OPERATIONS];
    char *guarded;
    char violation[256];
};

/* ---- small helpers ---- */

static void *need(void *block) {
    if (!block)
        abort();
    return block;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(need(malloc(size)), text, size);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t draw_from(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(fake_disk *disk, uint64_t limit) { return draw_from(&disk->state) % limit; }

static fake_disk *enter(sl_files *files) {
    fake_disk *disk = (fake_disk *)(void *)files;
    pthread_mutex_lock(&disk->mutex);
    return disk;
}

static sl_status leave(fake_disk *disk, sl_status status, sl_error *error, const char *operation,
                       const char *path) {
    pthread_mutex_unlock(&disk->mutex);
    return status ? sl_error_set(error, status, "%s %s: %s", operation, path,
                                 sl_status_text(status))
                  : SL_OK;
}

/* ---- names ---- */

static size_t find_name(const names *list, const char *path) {
    size_t i = 0;
    while (i < list->count && strcmp(list->items[i].path, path) != 0)
        i++;
    return i;
}

static void set_name(names *list, const char *path, inode *node) {
    size_t i = find_name(list, path);
    if (i == list->count) {
        if (list->count == list->capacity) {
            list->capacity = list->capacity ? list->capacity * 2 : 16;
            list->items = need(realloc(list->items, list->capacity * sizeof *list->items));
        }
        list->items[list->count++].path = copy_text(path);
    }
    list->items[i].node = node;
}

static void clear_name(names *list, const char *path) {
    size_t i = find_name(list, path);
    if (i < list->count) {
        free(list->items[i].path);
        list->items[i] = list->items[--list->count];
    }
}

static char *parent_of(const char *path) {
    char *parent = copy_text(path), *slash = strrchr(parent, '/');
    if (slash)
        *slash = 0;
    else
        parent[0] = 0;
    return parent;
}

/* "", "." and "/" are always there. */
static bool is_directory(const names *list, const char *path) {
    if (!*path || !strcmp(path, "."))
        return true;
    size_t i = find_name(list, path);
    return i < list->count && !list->items[i].node;
}

static void wait_change(fake_disk *disk, const char *set, const char *clear, inode *node) {
    if (disk->change_count == disk->change_capacity) {
        disk->change_capacity = disk->change_capacity ? disk->change_capacity * 2 : 16;
        disk->changes =
            need(realloc(disk->changes, disk->change_capacity * sizeof *disk->changes));
    }
    disk->changes[disk->change_count++] =
        (change){.directory = parent_of(set ? set : clear),
                 .set = set ? copy_text(set) : NULL,
                 .clear = clear ? copy_text(clear) : NULL,
                 .node = node};
}

/* A change names what it does in full, so it makes sense also where an earlier one was lost. */
static void commit_change(fake_disk *disk, const change *c) {
    if (c->clear) {
        size_t i = find_name(&disk->disk, c->clear);
        if (i < disk->disk.count && disk->disk.items[i].node == c->node)
            clear_name(&disk->disk, c->clear);
    }
    if (c->set)
        set_name(&disk->disk, c->set, c->node);
}

static void free_change(change *c) {
    free(c->directory);
    free(c->set);
    free(c->clear);
}

static void commit_directory(fake_disk *disk, const char *path) {
    size_t kept = 0;
    for (size_t i = 0; i < disk->change_count; i++) {
        change *c = &disk->changes[i];
        if (strcmp(c->directory, path) == 0) {
            commit_change(disk, c);
            free_change(c);
        } else {
            disk->changes[kept++] = *c;
        }
    }
    disk->change_count = kept;
}

/* ---- bytes ---- */

static bool guarded(const fake_disk *disk, const char *path) {
    size_t length = disk->guarded ? strlen(disk->guarded) : 0;
    return length && strncmp(path, disk->guarded, length) == 0 && path[length] == '/';
}

static void violate(fake_disk *disk, const char *what, const char *path, uint64_t offset) {
    if (!disk->violation[0])
        (void)snprintf(disk->violation, sizeof disk->violation, "%s: %s at %llu", what, path,
                       (unsigned long long)offset);
}

static void grow_pages(inode *node, uint64_t bytes) {
    size_t pages = (size_t)((bytes + PAGE - 1) / PAGE);
    if (pages <= node->page_count)
        return;
    node->pages = need(realloc(node->pages, pages * sizeof *node->pages));
    node->allocated = need(realloc(node->allocated, pages));
    for (size_t i = node->page_count; i < pages; i++) {
        node->pages[i] = NULL;
        node->allocated[i] = 0;
    }
    node->page_count = pages;
}

/* Take space for these pages. @return How many of `bytes` from `offset` have it. */
static uint64_t reserve(fake_disk *disk, inode *node, uint64_t offset, uint64_t bytes) {
    grow_pages(node, offset + bytes);
    for (uint64_t p = offset / PAGE; p * PAGE < offset + bytes; p++) {
        if (node->allocated[p])
            continue;
        if (disk->capacity && disk->used + PAGE > disk->capacity)
            return p * PAGE > offset ? p * PAGE - offset : 0;
        node->allocated[p] = 1;
        disk->used += PAGE;
    }
    return bytes;
}

static void write_back(page *p, unsigned unit) {
    memcpy(p->disk + unit * UNIT, p->now + unit * UNIT, UNIT);
    p->dirty = (uint8_t)(p->dirty & ~(1u << unit));
}

static bool all_zero(const uint8_t *bytes, size_t length) {
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static void store(fake_disk *disk, inode *node, const char *path, const uint8_t *bytes,
                  uint64_t length, uint64_t offset) {
    while (length) {
        uint64_t index = offset / PAGE, start = offset % PAGE;
        uint64_t part = PAGE - start < length ? PAGE - start : length;
        page *p = node->pages[index];
        if (!p && !all_zero(bytes, (size_t)part))
            p = node->pages[index] = need(calloc(1, sizeof *p));
        for (unsigned unit = (unsigned)(start / UNIT); p && unit * UNIT < start + part; unit++) {
            if ((p->dirty & (1u << unit)) && below(disk, 4) == 0)
                write_back(p, unit); /* An older version of the unit got out before. */
            if (p->kept & (1u << unit))
                violate(disk, "acknowledged unit written again", path, index * PAGE + unit * UNIT);
            p->dirty = (uint8_t)(p->dirty | (1u << unit));
        }
        if (p)
            memcpy(p->now + start, bytes, (size_t)part);
        bytes += part;
        offset += part;
        length -= part;
    }
    if (offset > node->size) {
        node->size = offset;
        node->size_waits = true;
    }
}

static void sync_node(fake_disk *disk, inode *node, bool whole) {
    for (size_t i = 0; i < node->page_count; i++) {
        page *p = node->pages[i];
        for (unsigned unit = 0; p && p->dirty && unit < UNITS; unit++) {
            if (!(p->dirty & (1u << unit)))
                continue;
            if (whole || below(disk, 2))
                write_back(p, unit);
        }
        if (p)
            p->dirty = 0; /* After a failure too: Linux marks the pages clean. */
    }
    if (whole || below(disk, 2))
        node->disk_size = node->size;
    node->size_waits = false;
}

static void crash_node(fake_disk *disk, inode *node, unsigned mode) {
    if (node->size_waits && (mode == 1 || (mode == 2 && below(disk, 2))))
        node->disk_size = node->size;
    for (size_t i = 0; i < node->page_count; i++) {
        page *p = node->pages[i];
        for (unsigned unit = 0; p && unit < UNITS; unit++)
            if ((p->dirty & (1u << unit)) && (mode == 1 || (mode == 2 && below(disk, 2))))
                write_back(p, unit);
        if (p) {
            memcpy(p->now, p->disk, PAGE);
            p->dirty = 0;
        }
    }
    node->size = node->disk_size;
    node->size_waits = false;
    node->sync_failed = 0;
    for (size_t i = 0; i < node->page_count; i++) {
        if (!node->pages[i] || (i + 1) * PAGE <= node->size)
            continue; /* Beyond the end there is nothing. */
        size_t keep = node->size > i * PAGE ? (size_t)(node->size - i * PAGE) : 0;
        memset(node->pages[i]->now + keep, 0, PAGE - keep);
        memset(node->pages[i]->disk + keep, 0, PAGE - keep);
    }
}

/* ---- faults ---- */

/* @return SL_OK: go on. Otherwise the operation fails so, maybe after a part of it. */
static sl_status begin(fake_disk *disk, fake_disk_operation operation) {
    if (disk->stopped)
        return SL_EIO;
    if (disk->stop_at && --disk->stop_at == 0) {
        disk->stopped = true;
        return SL_EIO;
    }
    if (disk->faults[operation].at && --disk->faults[operation].at == 0)
        return disk->faults[operation].status;
    unsigned often = disk->faults[operation].per_mille;
    return often && below(disk, 1000) < often ? SL_EIO : SL_OK;
}

static handle *handle_of(fake_disk *disk, int file) {
    if (file < 0 || (unsigned)file >= HANDLES || !disk->handles[file].path)
        return NULL;
    return &disk->handles[file];
}

/* ---- the port ---- */

static inode *new_node(fake_disk *disk) {
    inode *node = need(calloc(1, sizeof *node));
    node->next = disk->nodes;
    disk->nodes = node;
    return node;
}

static void cut(inode *node, uint64_t bytes) {
    for (uint64_t i = bytes / PAGE; i < node->page_count; i++) {
        page *p = node->pages[i];
        size_t keep = bytes > i * PAGE ? (size_t)(bytes - i * PAGE) : 0;
        if (!p)
            continue;
        memset(p->now + keep, 0, PAGE - keep);
        for (unsigned unit = (unsigned)(keep / UNIT); unit < UNITS; unit++)
            p->dirty = (uint8_t)(p->dirty | (1u << unit));
    }
    node->size = bytes;
    node->size_waits = true;
}

static sl_status open_name(fake_disk *disk, const char *path, int flags, inode **node) {
    size_t i = find_name(&disk->now, path);
    if (i < disk->now.count) {
        *node = disk->now.items[i].node;
        if (!*node)
            return SL_EIO; /* A directory. */
        if (flags & SL_FILE_EXCLUSIVE)
            return SL_EEXIST;
        if (flags & SL_FILE_TRUNCATE)
            cut(*node, 0);
        return SL_OK;
    }
    if (!(flags & SL_FILE_CREATE))
        return SL_ENOTFOUND;
    char *parent = parent_of(path);
    bool there = is_directory(&disk->now, parent);
    free(parent);
    if (!there)
        return SL_ENOTFOUND;
    *node = new_node(disk);
    set_name(&disk->now, path, *node);
    wait_change(disk, path, NULL, *node);
    return SL_OK;
}

static sl_status disk_open(sl_files *files, const char *path, int flags, int *file,
                           sl_error *error) {
    fake_disk *disk = enter(files);
    inode *node = NULL;
    bool random = strcmp(path, "/dev/urandom") == 0;
    sl_status status = begin(disk, FAKE_DISK_OPEN);
    if (status == SL_OK && !random)
        status = open_name(disk, path, flags, &node);
    unsigned i = 0;
    while (i < HANDLES && disk->handles[i].path)
        i++;
    if (i == HANDLES)
        abort(); /* Somebody forgets to close. */
    if (status == SL_OK) {
        disk->handles[i] = (handle){.node = node, .path = copy_text(path), .random = random};
        *file = (int)i;
    }
    return leave(disk, status, error, "open", path);
}

static void drop_handle(handle *h) {
    free(h->path);
    *h = (handle){0};
}

static void disk_close(sl_files *files, int file) {
    fake_disk *disk = enter(files);
    handle *h = handle_of(disk, file);
    if (h)
        drop_handle(h);
    (void)leave(disk, SL_OK, NULL, "close", "");
}

static sl_status disk_read(sl_files *files, int file, void *bytes, size_t length, uint64_t offset,
                           size_t *got, sl_error *error) {
    fake_disk *disk = enter(files);
    const handle *h = handle_of(disk, file);
    sl_status status = h ? begin(disk, FAKE_DISK_READ) : SL_EIO;
    if (status)
        return leave(disk, status, error, "read", h ? h->path : "a closed file");
    uint8_t *to = bytes;
    if (h->random) {
        for (size_t i = 0; i < length; i++)
            to[i] = (uint8_t)draw_from(&disk->random_state);
        *got = length;
        return leave(disk, SL_OK, error, "read", "");
    }
    const inode *node = h->node;
    uint64_t end = offset + length < node->size ? offset + length : node->size, at = offset;
    for (uint64_t part; at < end; at += part, to += part) {
        uint64_t start = at % PAGE, index = at / PAGE;
        part = PAGE - start < end - at ? PAGE - start : end - at;
        if (index < node->page_count && node->pages[index])
            memcpy(to, node->pages[index]->now + start, (size_t)part);
        else
            memset(to, 0, (size_t)part);
    }
    *got = (size_t)(at - offset);
    return leave(disk, SL_OK, error, "read", "");
}

static sl_status disk_write(sl_files *files, int file, const void *bytes, size_t length,
                            uint64_t offset, sl_error *error) {
    fake_disk *disk = enter(files);
    const handle *h = handle_of(disk, file);
    if (!h)
        return leave(disk, SL_EIO, error, "write", "a closed file");
    bool before = disk->stopped;
    sl_status status = begin(disk, FAKE_DISK_WRITE);
    uint64_t part = length;
    if (status)
        part = before ? 0 : below(disk, length + 1);
    uint64_t room = part ? reserve(disk, h->node, offset, part) : 0;
    if (room < part && status == SL_OK)
        status = SL_ENOSPC;
    if (status && guarded(disk, h->path))
        disk->write_failed = true;
    store(disk, h->node, h->path, bytes, room < part ? room : part, offset);
    return leave(disk, status, error, "write", h->path);
}

static sl_status disk_sync(sl_files *files, int file, sl_error *error) {
    fake_disk *disk = enter(files);
    const handle *h = handle_of(disk, file);
    if (!h)
        return leave(disk, SL_EIO, error, "sync", "a closed file");
    bool before = disk->stopped;
    sl_status status = begin(disk, FAKE_DISK_SYNC);
    if (!before && h->node->sync_failed == disk->process && guarded(disk, h->path))
        violate(disk, "synced again after a failed sync", h->path, 0);
    if (status == SL_OK)
        sync_node(disk, h->node, true);
    else if (!disk->stopped) {
        sync_node(disk, h->node, false);
        h->node->sync_failed = disk->process;
        disk->sync_failed = true;
    }
    return leave(disk, status, error, "sync", h->path);
}

static sl_status disk_size(sl_files *files, int file, uint64_t *bytes, sl_error *error) {
    fake_disk *disk = enter(files);
    const handle *h = handle_of(disk, file);
    if (h && !disk->stopped)
        *bytes = h->random ? 0 : h->node->size;
    return leave(disk, h && !disk->stopped ? SL_OK : SL_EIO, error, "size of", "file");
}

static sl_status disk_truncate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    fake_disk *disk = enter(files);
    const handle *h = handle_of(disk, file);
    sl_status status = h ? begin(disk, FAKE_DISK_WRITE) : SL_EIO;
    if (status == SL_OK)
        cut(h->node, bytes);
    return leave(disk, status, error, "truncate", h ? h->path : "a closed file");
}

static sl_status disk_allocate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    fake_disk *disk = enter(files);
    const handle *h = handle_of(disk, file);
    sl_status status = h ? begin(disk, FAKE_DISK_ALLOCATE) : SL_EIO;
    if (status == SL_OK && disk->no_allocate)
        status = SL_EUNSUPPORTED;
    if (status == SL_OK && reserve(disk, h->node, 0, bytes) < bytes)
        status = SL_ENOSPC;
    if (status == SL_OK && h->node->size < bytes) {
        h->node->size = bytes;
        h->node->size_waits = true;
    }
    return leave(disk, status, error, "allocate", h ? h->path : "a closed file");
}

static void unguard(inode *node) {
    for (size_t i = 0; i < node->page_count; i++)
        if (node->pages[i])
            node->pages[i]->kept = 0;
}

/* Give back the space of files that have no name and no handle left. */
static void collect(fake_disk *disk);

static sl_status name_operation(fake_disk *disk, const char *from, const char *to, inode **node) {
    sl_status status = begin(disk, FAKE_DISK_NAMES);
    if (status)
        return status;
    size_t i = find_name(&disk->now, from);
    if (i == disk->now.count)
        return SL_ENOTFOUND;
    *node = disk->now.items[i].node;
    if (!*node)
        return SL_EUNSUPPORTED;
    char *parent = parent_of(to);
    bool there = is_directory(&disk->now, parent);
    free(parent);
    return there ? SL_OK : SL_ENOTFOUND;
}

static sl_status disk_rename(sl_files *files, const char *from, const char *to, sl_error *error) {
    fake_disk *disk = enter(files);
    inode *node;
    sl_status status = name_operation(disk, from, to, &node);
    if (status == SL_OK) {
        clear_name(&disk->now, from);
        set_name(&disk->now, to, node);
        wait_change(disk, to, from, node);
        unguard(node);
        for (unsigned i = 0; i < HANDLES; i++) {
            if (disk->handles[i].node != node)
                continue; /* Handles follow the file. */
            free(disk->handles[i].path);
            disk->handles[i].path = copy_text(to);
        }
        collect(disk);
    }
    return leave(disk, status, error, "rename", from);
}

static sl_status disk_link(sl_files *files, const char *from, const char *to, sl_error *error) {
    fake_disk *disk = enter(files);
    inode *node;
    sl_status status = name_operation(disk, from, to, &node);
    if (status == SL_OK && find_name(&disk->now, to) < disk->now.count)
        status = SL_EEXIST;
    if (status == SL_OK) {
        set_name(&disk->now, to, node);
        wait_change(disk, to, NULL, node);
    }
    return leave(disk, status, error, "link", from);
}

static sl_status disk_unlink(sl_files *files, const char *path, sl_error *error) {
    fake_disk *disk = enter(files);
    inode *node;
    sl_status status = name_operation(disk, path, path, &node);
    if (status == SL_OK) {
        clear_name(&disk->now, path);
        wait_change(disk, NULL, path, node);
        collect(disk);
    }
    return leave(disk, status, error, "unlink", path);
}

static sl_status make_one(fake_disk *disk, const char *path) {
    if (is_directory(&disk->now, path))
        return SL_OK;
    if (find_name(&disk->now, path) < disk->now.count)
        return SL_EIO; /* A file. */
    sl_status status = begin(disk, FAKE_DISK_NAMES);
    if (status)
        return status;
    set_name(&disk->now, path, NULL);
    wait_change(disk, path, NULL, NULL);
    status = begin(disk, FAKE_DISK_SYNC_DIRECTORY);
    if (status == SL_OK) {
        char *parent = parent_of(path);
        commit_directory(disk, parent);
        free(parent);
    } else { /* As the port: what isn't durable isn't left there. */
        clear_name(&disk->now, path);
        wait_change(disk, NULL, path, NULL);
    }
    return status;
}

static sl_status disk_make_directories(sl_files *files, const char *path, sl_error *error) {
    fake_disk *disk = enter(files);
    char *part = copy_text(path);
    sl_status status = disk->stopped ? SL_EIO : SL_OK;
    for (size_t i = 1; path[0] && path[i - 1] && status == SL_OK; i++) {
        if (path[i] != '/' && path[i])
            continue;
        part[i] = 0;
        status = make_one(disk, part);
        part[i] = path[i];
    }
    free(part);
    return leave(disk, status, error, "make directory", path);
}

static sl_status disk_sync_directory(sl_files *files, const char *path, sl_error *error) {
    fake_disk *disk = enter(files);
    sl_status status = begin(disk, FAKE_DISK_SYNC_DIRECTORY);
    if (status == SL_OK && !is_directory(&disk->now, path))
        status = SL_ENOTFOUND;
    if (status == SL_OK)
        commit_directory(disk, path);
    return leave(disk, status, error, "sync directory", path);
}

static int by_path(const void *a, const void *b) {
    const name *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static sl_status disk_list(sl_files *files, const char *path, sl_files_list_fn *each,
                           void *context, sl_error *error) {
    fake_disk *disk = enter(files);
    if (disk->stopped || !is_directory(&disk->now, path))
        return leave(disk, disk->stopped ? SL_EIO : SL_ENOTFOUND, error, "list", path);
    /* A copy, since the callback may use the disk. */
    name *found = need(calloc(disk->now.count + 1, sizeof *found));
    size_t count = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        char *parent = parent_of(disk->now.items[i].path);
        if (strcmp(parent, path) == 0)
            found[count++] = (name){.path = copy_text(disk->now.items[i].path),
                                    .node = disk->now.items[i].node};
        free(parent);
    }
    qsort(found, count, sizeof *found, by_path);
    (void)leave(disk, SL_OK, error, "list", path);
    sl_status status = SL_OK;
    for (size_t i = 0; i < count; i++) {
        const char *slash = strrchr(found[i].path, '/');
        sl_file_entry entry = {.name = slash ? slash + 1 : found[i].path,
                               .directory = !found[i].node,
                               .size = found[i].node ? found[i].node->size : 0};
        if (status == SL_OK)
            status = each(context, &entry);
        free(found[i].path);
    }
    free(found);
    return status;
}

static sl_status disk_free_space(sl_files *files, const char *path, uint64_t *bytes,
                                 sl_error *error) {
    fake_disk *disk = enter(files);
    *bytes = !disk->capacity                 ? UINT64_C(1) << 40
             : disk->used >= disk->capacity ? 0
                                            : disk->capacity - disk->used;
    return leave(disk, disk->stopped ? SL_EIO : SL_OK, error, "free space of", path);
}

/* ---- life ---- */

static void free_node(fake_disk *disk, inode *node) {
    for (size_t i = 0; i < node->page_count; i++) {
        free(node->pages[i]);
        disk->used -= node->allocated[i] ? PAGE : 0;
    }
    free(node->pages);
    free(node->allocated);
    free(node);
}

static bool in_use(const fake_disk *disk, const inode *node) {
    for (size_t i = 0; i < disk->now.count; i++)
        if (disk->now.items[i].node == node)
            return true;
    for (size_t i = 0; i < disk->disk.count; i++)
        if (disk->disk.items[i].node == node)
            return true;
    for (size_t i = 0; i < disk->change_count; i++)
        if (disk->changes[i].node == node)
            return true;
    for (unsigned i = 0; i < HANDLES; i++)
        if (disk->handles[i].path && disk->handles[i].node == node)
            return true;
    return false;
}

static void collect(fake_disk *disk) {
    for (inode **at = &disk->nodes; *at;) {
        inode *node = *at;
        if (in_use(disk, node)) {
            at = &node->next;
        } else {
            *at = node->next;
            free_node(disk, node);
        }
    }
}

static void clear_names(names *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    list->count = 0;
}

fake_disk *fake_disk_create(uint64_t seed) {
    fake_disk *disk = need(calloc(1, sizeof *disk));
    disk->state = seed;
    disk->random_state = ~seed;
    disk->process = 1;
    if (pthread_mutex_init(&disk->mutex, NULL))
        abort();
    disk->files = (sl_files){.open = disk_open,
                             .close = disk_close,
                             .read = disk_read,
                             .write = disk_write,
                             .sync = disk_sync,
                             .size = disk_size,
                             .truncate = disk_truncate,
                             .allocate = disk_allocate,
                             .rename = disk_rename,
                             .link = disk_link,
                             .unlink = disk_unlink,
                             .make_directories = disk_make_directories,
                             .sync_directory = disk_sync_directory,
                             .list = disk_list,
                             .free_space = disk_free_space};
    return disk;
}

void fake_disk_destroy(fake_disk *disk) {
    if (!disk)
        return;
    for (unsigned i = 0; i < HANDLES; i++)
        free(disk->handles[i].path);
    for (size_t i = 0; i < disk->change_count; i++)
        free_change(&disk->changes[i]);
    clear_names(&disk->now);
    clear_names(&disk->disk);
    while (disk->nodes) {
        inode *node = disk->nodes;
        disk->nodes = node->next;
        free_node(disk, node);
    }
    free(disk->changes);
    free(disk->now.items);
    free(disk->disk.items);
    free(disk->guarded);
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

sl_files *fake_disk_files(fake_disk *disk) { return &disk->files; }

/* Entries whose directory was lost are lost with it. */
static bool reachable(const names *list, const char *path) {
    char *parent = parent_of(path);
    bool yes = !*parent || (is_directory(list, parent) && reachable(list, parent));
    free(parent);
    return yes;
}

void fake_disk_crash(fake_disk *disk, uint64_t seed) {
    pthread_mutex_lock(&disk->mutex);
    disk->state = seed;
    unsigned mode = (unsigned)below(disk, 4); /* 0: all is lost; 1: all is kept. */
    if (mode == 3)
        mode = 2;
    for (unsigned i = 0; i < HANDLES; i++)
        if (disk->handles[i].path)
            drop_handle(&disk->handles[i]);
    for (size_t i = 0; i < disk->change_count; i++) {
        if (mode == 1 || (mode == 2 && below(disk, 2)))
            commit_change(disk, &disk->changes[i]);
        free_change(&disk->changes[i]);
    }
    disk->change_count = 0;
    clear_names(&disk->now);
    for (size_t i = 0; i < disk->disk.count; i++)
        if (reachable(&disk->disk, disk->disk.items[i].path))
            set_name(&disk->now, disk->disk.items[i].path, disk->disk.items[i].node);
    clear_names(&disk->disk);
    for (size_t i = 0; i < disk->now.count; i++)
        set_name(&disk->disk, disk->now.items[i].path, disk->now.items[i].node);
    for (inode *node = disk->nodes; node; node = node->next)
        crash_node(disk, node, mode);
    collect(disk);
    disk->stopped = disk->sync_failed = disk->write_failed = false;
    disk->stop_at = 0;
    pthread_mutex_unlock(&disk->mutex);
}

void fake_disk_stop_at(fake_disk *disk, uint64_t n) { disk->stop_at = n; }
bool fake_disk_stopped(const fake_disk *disk) { return disk->stopped; }

void fake_disk_process(fake_disk *disk, bool dead) {
    disk->stopped = dead;
    disk->process += !dead;
}
bool fake_disk_sync_failed(const fake_disk *disk) { return disk->sync_failed; }
bool fake_disk_write_failed(const fake_disk *disk) { return disk->write_failed; }

bool fake_disk_sync_failed_elsewhere(const fake_disk *disk) {
    for (size_t i = 0; i < disk->now.count; i++) {
        const name *n = &disk->now.items[i];
        if (n->node && n->node->sync_failed && !guarded(disk, n->path))
            return true;
    }
    return false;
}

void fake_disk_fail(fake_disk *disk, fake_disk_operation operation, uint64_t n,
                    sl_status status) {
    disk->faults[operation].at = n;
    disk->faults[operation].status = status;
}

void fake_disk_fail_often(fake_disk *disk, fake_disk_operation operation, unsigned per_mille) {
    disk->faults[operation].per_mille = per_mille;
}

void fake_disk_set_capacity(fake_disk *disk, uint64_t bytes) { disk->capacity = bytes; }
uint64_t fake_disk_used(const fake_disk *disk) { return disk->used; }
void fake_disk_without_allocate(fake_disk *disk) { disk->no_allocate = true; }

void fake_disk_guard(fake_disk *disk, const char *directory) {
    free(disk->guarded);
    disk->guarded = copy_text(directory);
}

void fake_disk_protect(fake_disk *disk, const char *path, uint64_t offset, uint64_t length) {
    size_t i = find_name(&disk->now, path);
    inode *node = i < disk->now.count ? disk->now.items[i].node : NULL;
    if (!node || find_name(&disk->disk, path) == disk->disk.count) {
        violate(disk, "acknowledged under a name that is not durable", path, offset);
        return;
    }
    for (uint64_t at = offset; at < offset + length; at += UNIT) {
        page *p = at / PAGE < node->page_count ? node->pages[at / PAGE] : NULL;
        unsigned bit = 1u << (at % PAGE / UNIT);
        if (p && ((p->dirty & bit) || memcmp(p->now + at % PAGE, p->disk + at % PAGE, UNIT) != 0))
            violate(disk, "acknowledged and not synced", path, at);
        if (p)
            p->kept = (uint8_t)(p->kept | bit);
    }
}

const char *fake_disk_violation(const fake_disk *disk) {
    return disk->violation[0] ? disk->violation : NULL;
}

bool fake_disk_corrupt(fake_disk *disk, const char *path, uint64_t offset, uint8_t mask) {
    size_t i = find_name(&disk->now, path);
    inode *node = i < disk->now.count ? disk->now.items[i].node : NULL;
    if (!node || offset >= node->size || offset / PAGE >= node->page_count)
        return false;
    page **p = &node->pages[offset / PAGE];
    if (!*p)
        *p = need(calloc(1, sizeof **p));
    (*p)->now[offset % PAGE] ^= mask;
    (*p)->disk[offset % PAGE] ^= mask;
    return true;
}

uint64_t fake_disk_fingerprint(fake_disk *disk) {
    if (disk->now.count)
        qsort(disk->now.items, disk->now.count, sizeof *disk->now.items, by_path);
    uint64_t hash = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        const inode *node = disk->now.items[i].node;
        hash = sl_hash64(disk->now.items[i].path, strlen(disk->now.items[i].path), hash);
        hash = sl_hash64(node ? &node->size : &hash, sizeof hash, hash);
        for (size_t p = 0; node && p < node->page_count; p++)
            if (node->pages[p] && !all_zero(node->pages[p]->now, PAGE))
                hash = sl_hash64(node->pages[p]->now, PAGE, hash + p);
    }
    return hash;
}
