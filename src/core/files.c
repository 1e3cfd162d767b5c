#include "sluice/files.h"

#include "sluice/memory.h"

sl_status sl_files_read_all(sl_files *files, const char *path, uint64_t limit, char **bytes,
                            size_t *length, sl_error *error) {
    int file;
    sl_status status = files->open(files, path, SL_FILE_READ, &file, error);
    if (status != SL_OK)
        return status;
    char *block = NULL;
    uint64_t size;
    status = files->size(files, file, &size, error);
    if (status == SL_OK && size > limit)
        status = sl_error_set(error, SL_ELIMIT, "%s: %llu bytes are more than the limit of %llu",
                              path, (unsigned long long)size, (unsigned long long)limit);
    if (status == SL_OK && (block = sl_malloc((size_t)size + 1)) == NULL)
        status = sl_error_set(error, SL_ENOMEM, "%s: out of memory", path);
    size_t got = 0;
    if (status == SL_OK)
        status = files->read(files, file, block, (size_t)size, 0, &got, error);
    files->close(files, file);
    if (status != SL_OK) {
        sl_free(block);
        return status;
    }
    block[got] = 0;
    *bytes = block;
    *length = got;
    return SL_OK;
}
