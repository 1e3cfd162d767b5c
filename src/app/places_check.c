#include "places_check.h"

#include <string.h>
#include <sys/stat.h>

static bool is_directory(const char *path, const char *key, const char *name, sl_buffer *problems) {
    struct stat s;
    if (strncmp(path, "s3://", 5) == 0 || stat(path, &s) != 0 || S_ISDIR(s.st_mode))
        return true;
    sl_buffer_printf(problems, "%s%s%s%s: '%s' is a file: a directory is needed", problems->length != 0 ? "\n" : "", name != NULL ? "stream " : key,
                     name != NULL ? name : "", name != NULL ? ": lake.to" : "", path);
    return false;
}

bool sl_places_check(const sl_config *config, sl_buffer *problems) {
    bool good = is_directory(config->data_dir, "data_dir", NULL, problems);
    good &= is_directory(config->lake.to, "lake.to", NULL, problems);
    for (uint32_t i = 0; i < config->stream_count; i++)
        if (config->streams[i].has_lake)
            good &= is_directory(config->streams[i].lake.to, "", config->streams[i].name, problems);
    return good;
}
