/* Gives each file of the named directories to a fuzz target, and cut short at every length, and with each
 * byte flipped: for builds without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { LIMIT = 1 << 20, CUTS = 400 };

/* A block of exactly this length, so that a sanitizer sees the first byte read beyond it. */
static void give(const uint8_t *bytes, size_t length) {
    uint8_t *copy = malloc(length != 0 ? length : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, bytes, length);
    (void)LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

static int replay(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(LIMIT);
    if (file == NULL || bytes == NULL) {
        perror(path);
        abort();
    }
    size_t length = fread(bytes, 1, LIMIT, file);
    (void)fclose(file);
    give(bytes, length);
    size_t step = length / CUTS + 1;
    for (size_t at = 0; at < length; at += step) {
        give(bytes, at);
        bytes[at] ^= (uint8_t)(1u << (at % 8));
        give(bytes, length);
        bytes[at] ^= (uint8_t)(1u << (at % 8));
    }
    free(bytes);
    return 1;
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        if (directory == NULL) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            count += replay(path);
        }
        (void)closedir(directory);
    }
    (void)printf("%d seeds replayed\n", count);
    return count == 0;
}
