/** @file files.c
 * sl_files on Linux: handles are descriptors, each operation is one system call or a short loop.
 *
 * This is one of the few files compiled with _GNU_SOURCE: O_DIRECT and fallocate() are Linux's own.
 */
#include "sluice/io_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Linux transfers at most 0x7ffff000 bytes per call; stay below, and 4 KiB aligned. */
#define TRANSFER_MAX ((size_t)1 << 30)

static sl_status status_of(int number) {
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return SL_ENOSPC;
    case ENOENT:
        return SL_ENOTFOUND;
    case EEXIST:
    case ENOTEMPTY:
        return SL_EEXIST;
    case EACCES:
    case EPERM:
    case EROFS:
        return SL_EDENIED;
    case ENOMEM:
        return SL_ENOMEM;
    default:
        return SL_EIO;
    }
}

static sl_status fail(sl_error *error, int number, const char *operation, const char *path) {
    char words[128];
    return sl_error_set(error, status_of(number), "%s %s: %s", operation, path,
                        strerror_r(number, words, sizeof words));
}

/** As fail(), for a descriptor: its path is looked up, as errors are rare. */
static sl_status fail_file(sl_error *error, int number, const char *operation, int file) {
    char link[64], path[PATH_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return fail(error, number, operation, link);
    path[length] = 0;
    return fail(error, number, operation, path);
}

static int open_flags(int flags) {
    int system = O_CLOEXEC;
    if (flags & SL_FILE_WRITE)
        system |= flags & SL_FILE_READ ? O_RDWR : O_WRONLY;
    else
        system |= O_RDONLY;
    if (flags & SL_FILE_CREATE)
        system |= O_CREAT;
    if (flags & SL_FILE_EXCLUSIVE)
        system |= O_EXCL;
    if (flags & SL_FILE_TRUNCATE)
        system |= O_TRUNC;
    if (flags & SL_FILE_DIRECT)
        system |= O_DIRECT;
    return system;
}

static sl_status system_open(sl_files *files, const char *path, int flags, int *file,
                             sl_error *error) {
    (void)files;
    int system = open_flags(flags), descriptor;
    do
        descriptor = open(path, system, 0666);
    while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0 && errno == EINVAL && (system & O_DIRECT)) {
        /* open(2): EINVAL where the file system has no O_DIRECT. The refused open may have made
         * the file already, so O_EXCL would now refuse our own file. */
        system &= ~O_DIRECT;
        descriptor = open(path, system, 0666);
        if (descriptor < 0 && errno == EEXIST)
            descriptor = open(path, system & ~O_EXCL, 0666);
    }
    if (descriptor < 0)
        return fail(error, errno, "open", path);
    *file = descriptor;
    return SL_OK;
}

static void system_close(sl_files *files, int file) {
    (void)files;
    /* What mattered was synced before; EINTR leaves the descriptor closed on Linux. */
    (void)close(file);
}

/** Some file systems take O_DIRECT at open and refuse the transfer. @return true: try again. */
static bool drop_direct(int file) {
    int flags = fcntl(file, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) && fcntl(file, F_SETFL, flags & ~O_DIRECT) == 0;
}

static sl_status system_read(sl_files *files, int file, void *bytes, size_t length,
                             uint64_t offset, size_t *got, sl_error *error) {
    (void)files;
    size_t done = 0;
    while (done < length) {
        size_t part = length - done < TRANSFER_MAX ? length - done : TRANSFER_MAX;
        ssize_t n = pread(file, (char *)bytes + done, part, (off_t)(offset + done));
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            break;
        } else if (errno != EINTR && !(errno == EINVAL && drop_direct(file))) {
            return fail_file(error, errno, "read", file);
        }
    }
    *got = done;
    return SL_OK;
}

static sl_status system_write(sl_files *files, int file, const void *bytes, size_t length,
                              uint64_t offset, sl_error *error) {
    (void)files;
    size_t done = 0;
    while (done < length) {
        size_t part = length - done < TRANSFER_MAX ? length - done : TRANSFER_MAX;
        ssize_t n =
            pwrite(file, (const char *)bytes + done, part, (off_t)(offset + done));
        if (n > 0)
            done += (size_t)n; /* A short write says why at the next call, mostly ENOSPC. */
        else if (n == 0)
            return fail_file(error, EIO, "write", file);
        else if (errno != EINTR && !(errno == EINVAL && drop_direct(file)))
            return fail_file(error, errno, "write", file);
    }
    return SL_OK;
}

static sl_status system_sync(sl_files *files, int file, sl_error *error) {
    (void)files;
    /* No retry, not even after EINTR: a second call may report success for pages that the first
     * one lost (fsync(2), and the PostgreSQL project's findings of 2018). */
    if (fdatasync(file))
        return fail_file(error, errno, "sync", file);
    return SL_OK;
}

static sl_status system_size(sl_files *files, int file, uint64_t *bytes, sl_error *error) {
    (void)files;
    struct stat state;
    if (fstat(file, &state))
        return fail_file(error, errno, "size of", file);
    *bytes = (uint64_t)state.st_size;
    return SL_OK;
}

static sl_status system_truncate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    (void)files;
    while (ftruncate(file, (off_t)bytes))
        if (errno != EINTR)
            return fail_file(error, errno, "truncate", file);
    return SL_OK;
}

static sl_status system_allocate(sl_files *files, int file, uint64_t bytes, sl_error *error) {
    (void)files;
    /* Not posix_fallocate(): glibc imitates it by writing where the file system can't do it. */
    while (fallocate(file, 0, 0, (off_t)bytes)) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return sl_error_set(error, SL_EUNSUPPORTED, "allocate: not on this file system");
        if (errno != EINTR)
            return fail_file(error, errno, "allocate", file);
    }
    return SL_OK;
}

static sl_status system_rename(sl_files *files, const char *from, const char *to,
                               sl_error *error) {
    (void)files;
    if (rename(from, to)) {
        int number = errno;
        (void)fail(error, number, "to", to);
        (void)sl_error_context(error, "rename %s", from);
        return status_of(number);
    }
    return SL_OK;
}

static sl_status system_link(sl_files *files, const char *from, const char *to,
                             sl_error *error) {
    (void)files;
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, 0) == 0)
        return SL_OK;
    int number = errno;
    (void)fail(error, number, "to", to);
    (void)sl_error_context(error, "link %s", from);
    /* EPERM is what file systems without hard links answer (link(2)). */
    if (number == EXDEV || number == EMLINK || number == EOPNOTSUPP || number == EPERM) {
        if (error)
            error->status = SL_EUNSUPPORTED;
        return SL_EUNSUPPORTED;
    }
    return status_of(number);
}

static sl_status system_unlink(sl_files *files, const char *path, sl_error *error) {
    (void)files;
    return unlink(path) ? fail(error, errno, "unlink", path) : SL_OK;
}

static sl_status system_sync_directory(sl_files *files, const char *path, sl_error *error) {
    (void)files;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return fail(error, errno, "open directory", path);
    /* EINVAL: a file system on which directories need no sync and can't have one. */
    int number = fsync(directory) ? errno : 0;
    (void)close(directory);
    return number && number != EINVAL ? fail(error, number, "sync directory", path) : SL_OK;
}

/** Make one directory whose parent exists, and sync the parent. */
static sl_status make_one(sl_files *files, const char *path, sl_error *error) {
    if (mkdir(path, 0777)) {
        int number = errno;
        struct stat state;
        /* It may exist and still not be makeable: "/" says EEXIST, a read-only mount EROFS. */
        if (stat(path, &state) == 0)
            return S_ISDIR(state.st_mode) ? SL_OK
                                          : fail(error, ENOTDIR, "make directory", path);
        return fail(error, number, "make directory", path);
    }
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent ? 1 : 0] = 0;
    sl_status status = system_sync_directory(files, slash ? parent : ".", error);
    if (status) /* Else the next call would find it and take it for durable. */
        (void)rmdir(path);
    return status;
}

static sl_status system_make_directories(sl_files *files, const char *path, sl_error *error) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0 || length >= sizeof part)
        return fail(error, length ? ENAMETOOLONG : ENOENT, "make directory", path);
    memcpy(part, path, length);
    part[length] = 0;
    struct stat state;
    if (stat(part, &state) == 0 && S_ISDIR(state.st_mode))
        return SL_OK;
    for (size_t at = 1; at <= length; at++) {
        if (at < length && (part[at] != '/' || part[at - 1] == '/'))
            continue;
        part[at] = 0;
        sl_status status = make_one(files, part, error);
        if (status)
            return status;
        if (at < length)
            part[at] = '/';
    }
    return SL_OK;
}

static sl_status system_list(sl_files *files, const char *path, sl_files_list_fn *each,
                             void *context, sl_error *error) {
    (void)files;
    DIR *directory = opendir(path);
    if (!directory)
        return fail(error, errno, "list", path);
    sl_status status = SL_OK;
    while (!status) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry) {
            if (errno)
                status = fail(error, errno, "list", path);
            break;
        }
        struct stat state;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            fstatat(dirfd(directory), entry->d_name, &state, 0))
            continue; /* Gone since readdir(), or a dangling link. */
        sl_file_entry found = {.name = entry->d_name,
                               .directory = S_ISDIR(state.st_mode),
                               .size = (uint64_t)state.st_size};
        status = each(context, &found);
    }
    (void)closedir(directory);
    return status;
}

static sl_status system_free_space(sl_files *files, const char *path, uint64_t *bytes,
                                   sl_error *error) {
    (void)files;
    struct statvfs state;
    if (statvfs(path, &state))
        return fail(error, errno, "free space of", path);
    *bytes = (uint64_t)state.f_bavail * state.f_frsize; /* Without root's reserve. */
    return SL_OK;
}

sl_files *sl_files_system(void) {
    static sl_files files = {.open = system_open,
                             .close = system_close,
                             .read = system_read,
                             .write = system_write,
                             .sync = system_sync,
                             .size = system_size,
                             .truncate = system_truncate,
                             .allocate = system_allocate,
                             .rename = system_rename,
                             .link = system_link,
                             .unlink = system_unlink,
                             .make_directories = system_make_directories,
                             .sync_directory = system_sync_directory,
                             .list = system_list,
                             .free_space = system_free_space,
                             .sqlite_vfs = NULL};
    return &files;
}

static void identity_of(const struct stat *from, sl_file_identity *out) {
    *out = (sl_file_identity){.device = (uint64_t)from->st_dev,
                              .inode = (uint64_t)from->st_ino,
                              .size = (uint64_t)from->st_size,
                              .changed_ns = (uint64_t)from->st_mtim.tv_sec * 1000000000 +
                                            (uint64_t)from->st_mtim.tv_nsec,
                              .regular = S_ISREG(from->st_mode),
                              .directory = S_ISDIR(from->st_mode)};
}

sl_status sl_file_look(const char *path, sl_file_identity *out, sl_error *error) {
    struct stat found;
    if (stat(path, &found) != 0)
        return fail(error, errno, "look at", path);
    identity_of(&found, out);
    return SL_OK;
}

sl_status sl_file_look_open(int file, sl_file_identity *out, sl_error *error) {
    struct stat found;
    if (fstat(file, &found) != 0)
        return fail_file(error, errno, "look at", file);
    identity_of(&found, out);
    return SL_OK;
}

sl_status sl_files_glob(const char *pattern, sl_status (*each)(void *context, const char *path),
                        void *context, sl_error *error) {
    glob_t found;
    int result = glob(pattern, 0, NULL, &found);
    sl_status status = SL_OK;
    if (result == GLOB_NOSPACE)
        status = sl_error_set(error, SL_ENOMEM, "look for %s: out of memory", pattern);
    else if (result != 0 && result != GLOB_NOMATCH)
        status = sl_error_set(error, SL_EIO, "look for %s: it can't be read", pattern);
    for (size_t i = 0; result == 0 && i < found.gl_pathc && status == SL_OK; i++)
        status = each(context, found.gl_pathv[i]);
    if (result == 0)
        globfree(&found);
    return status;
}
