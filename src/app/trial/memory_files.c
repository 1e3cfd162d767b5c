#include "memory_files.h"

#include "sluice/buffer.h"

#include <stdlib.h>

enum { HANDLES_MAX = 4096 };

/** What names and handles share. */
typedef struct content {
    sl_buffer bytes;
    uint32_t uses;
} content;

typedef struct name {
    char *path;
    content *content; /**< NULL: a directory. */
} name;

struct memory_files {
    sl_files port;
    name *names;
    uint32_t count, capacity;
    content *handles[HANDLES_MAX];
    uint64_t random;
};

static const char random_path[] = "/dev/urandom";

static memory_files *of(sl_files *files) {
    return (memory_files *)(void *)files; /* Its first member. */
}

static void let_go(content *c) {
    if (c == NULL || --c->uses != 0)
        return;
    sl_buffer_fini(&c->bytes);
    sl_free(c);
}

static name *find(const memory_files *m, const char *path) {
    for (uint32_t i = 0; i < m->count; i++)
        if (strcmp(m->names[i].path, path) == 0)
            return &m->names[i];
    return NULL;
}

static sl_status add(memory_files *m, const char *path, content *c) {
    if (m->count == m->capacity) {
        uint32_t capacity = m->capacity != 0 ? 2 * m->capacity : 32;
        name *names = sl_realloc(m->names, capacity * sizeof *names);
        if (names == NULL)
            return SL_ENOMEM;
        m->names = names;
        m->capacity = capacity;
    }
    char *copy = sl_strdup(path);
    if (copy == NULL)
        return SL_ENOMEM;
    m->names[m->count++] = (name){copy, c};
    if (c != NULL)
        c->uses++;
    return SL_OK;
}

static void take_out(memory_files *m, name *n) {
    let_go(n->content);
    sl_free(n->path);
    *n = m->names[--m->count];
}

static sl_status fail(sl_error *error, sl_status status, const char *operation, const char *path) {
    return status == SL_OK ? status : sl_error_set(error, status, "%s %s: %s", operation, path, sl_status_text(status));
}

static sl_status open_content(memory_files *m, const char *path, int flags, content **out) {
    const name *n = find(m, path);
    if (n != NULL && (flags & SL_FILE_EXCLUSIVE))
        return SL_EEXIST;
    if (n != NULL) {
        *out = n->content;
        return n->content != NULL ? SL_OK : SL_EIO;
    }
    if (!(flags & SL_FILE_CREATE))
        return SL_ENOTFOUND;
    content *c = sl_calloc(1, sizeof *c);
    if (c == NULL)
        return SL_ENOMEM;
    c->uses = 1;
    sl_status status = add(m, path, c);
    *out = c;
    if (status != SL_OK)
        let_go(c);
    else
        c->uses--; /* The name's is left. */
    return status;
}

static sl_status memory_open(sl_files *files, const char *path, int flags, int *file, sl_error *error) {
    memory_files *m = of(files);
    content *c = NULL;
    int at = 1; /* 0 is the source of random numbers. */
    if (strcmp(path, random_path) == 0) {
        *file = 0;
        return SL_OK;
    }
    while (at < HANDLES_MAX && m->handles[at] != NULL)
        at++;
    sl_status status = at == HANDLES_MAX ? SL_EIO : open_content(m, path, flags, &c);
    if (status != SL_OK)
        return fail(error, status, "open", path);
    if (flags & SL_FILE_TRUNCATE)
        sl_buffer_clear(&c->bytes);
    c->uses++;
    m->handles[at] = c;
    *file = at;
    return SL_OK;
}

static void memory_close(sl_files *files, int file) {
    memory_files *m = of(files);
    if (file == 0)
        return;
    let_go(m->handles[file]);
    m->handles[file] = NULL;
}

static sl_status memory_read(sl_files *files, int file, void *bytes, size_t length, uint64_t offset, size_t *got,
                             sl_error *error) {
    memory_files *m = of(files);
    (void)error;
    *got = length;
    if (file == 0) {
        for (size_t i = 0; i < length; i++)
            ((uint8_t *)bytes)[i] = (uint8_t)((m->random = m->random * UINT64_C(6364136223846793005) + 1) >> 56);
        return SL_OK;
    }
    const sl_buffer *b = &m->handles[file]->bytes;
    size_t left = offset < b->length ? b->length - (size_t)offset : 0;
    if (*got > left)
        *got = left;
    if (*got != 0)
        memcpy(bytes, b->bytes + offset, *got);
    return SL_OK;
}

static sl_status resize(sl_buffer *b, uint64_t length) {
    if (length > b->length) {
        size_t more = (size_t)length - b->length;
        if (!sl_buffer_reserve(b, more))
            return SL_ENOMEM;
        memset(b->bytes + b->length, 0, more);
    }
    b->length = (size_t)length;
    return SL_OK;
}

static sl_status memory_write(sl_files *files, int file, const void *bytes, size_t length, uint64_t offset,
                              sl_error *error) {
    sl_buffer *b = &of(files)->handles[file]->bytes;
    sl_status status = offset + length > b->length ? resize(b, offset + length) : SL_OK;
    if (status == SL_OK && length != 0)
        memcpy(b->bytes + offset, bytes, length);
    return fail(error, status, "write", "a file");
}

static sl_status memory_sync(sl_files *files, int file, sl_error *error) {
    (void)files, (void)file, (void)error;
    return SL_OK;
}

static sl_status memory_size(sl_files *files, int file, uint64_t *bytes, sl_error *error) {
    (void)error;
    *bytes = of(files)->handles[file]->bytes.length;
    return SL_OK;
}

static sl_status memory_truncate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    return fail(error, resize(&of(files)->handles[file]->bytes, bytes), "truncate", "a file");
}

static sl_status memory_allocate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    (void)files, (void)file, (void)bytes;
    return fail(error, SL_EUNSUPPORTED, "allocate", "a file");
}

static sl_status memory_link(sl_files *files, const char *from, const char *to, sl_error *error) {
    memory_files *m = of(files);
    const name *n = find(m, from);
    sl_status status = n == NULL ? SL_ENOTFOUND : find(m, to) != NULL ? SL_EEXIST : add(m, to, n->content);
    return fail(error, status, "link", to);
}

static sl_status memory_unlink(sl_files *files, const char *path, sl_error *error) {
    memory_files *m = of(files);
    name *n = find(m, path);
    if (n == NULL)
        return fail(error, SL_ENOTFOUND, "unlink", path);
    take_out(m, n);
    return SL_OK;
}

static sl_status memory_rename(sl_files *files, const char *from, const char *to, sl_error *error) {
    memory_files *m = of(files);
    name *n = find(m, from), *old = find(m, to);
    char *copy = n != NULL ? sl_strdup(to) : NULL;
    if (copy == NULL)
        return fail(error, n == NULL ? SL_ENOTFOUND : SL_ENOMEM, "rename", from);
    sl_free(n->path);
    n->path = copy;
    if (old != NULL && old != n)
        take_out(m, old);
    return SL_OK;
}

static sl_status memory_make_directories(sl_files *files, const char *path, sl_error *error) {
    memory_files *m = of(files);
    return fail(error, find(m, path) != NULL ? SL_OK : add(m, path, NULL), "make", path);
}

static sl_status memory_sync_directory(sl_files *files, const char *path, sl_error *error) {
    (void)files, (void)path, (void)error;
    return SL_OK;
}

/* Names that `each` takes out of the list move the last one to their place, so it is walked backwards. */
static sl_status memory_list(sl_files *files, const char *path, sl_files_list_fn *each, void *context,
                             sl_error *error) {
    memory_files *m = of(files);
    size_t length = strlen(path);
    bool there = find(m, path) != NULL;
    sl_status status = SL_OK;
    for (uint32_t i = m->count; i-- > 0 && status == SL_OK;) {
        const name *n = &m->names[i];
        if (strncmp(n->path, path, length) != 0 || n->path[length] != '/')
            continue;
        there = true;
        if (strchr(n->path + length + 1, '/') != NULL)
            continue;
        const sl_file_entry entry = {.name = n->path + length + 1,
                                     .directory = n->content == NULL,
                                     .size = n->content != NULL ? n->content->bytes.length : 0};
        status = each(context, &entry);
        if (i > m->count)
            i = m->count;
    }
    return there ? status : fail(error, SL_ENOTFOUND, "list", path);
}

static sl_status memory_free_space(sl_files *files, const char *path, uint64_t *bytes, sl_error *error) {
    (void)files, (void)path, (void)error;
    *bytes = UINT64_C(1) << 40;
    return SL_OK;
}

memory_files *memory_files_create(void) {
    memory_files *m = sl_calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->port = (sl_files){.open = memory_open,
                         .close = memory_close,
                         .read = memory_read,
                         .write = memory_write,
                         .sync = memory_sync,
                         .size = memory_size,
                         .truncate = memory_truncate,
                         .allocate = memory_allocate,
                         .rename = memory_rename,
                         .link = memory_link,
                         .unlink = memory_unlink,
                         .make_directories = memory_make_directories,
                         .sync_directory = memory_sync_directory,
                         .list = memory_list,
                         .free_space = memory_free_space,
                         .sqlite_vfs = "memdb"};
    return m;
}

void memory_files_destroy(memory_files *m) {
    if (m == NULL)
        return;
    while (m->count != 0)
        take_out(m, &m->names[m->count - 1]);
    sl_free(m->names);
    sl_free(m);
}

sl_files *memory_files_port(memory_files *m) {
    return &m->port;
}
