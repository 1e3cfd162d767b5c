// links: sluice_aws
/* ~/.aws/config: whatever was read can be asked for, and has no control characters at its ends. */
#include "../../src/io/aws/ini.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_arena arena;
    sl_aws_ini ini = {0};
    sl_error error = {0};
    sl_arena_init(&arena, 1024);
    if (sl_aws_ini_read(&ini, &arena, (const char *)data, size, &error) != SL_OK && error.text[0] == 0)
        abort();
    unsigned asked = 0;
    for (const sl_aws_setting *s = ini.settings; s != NULL && asked < 64; s = s->next, asked++) {
        if (s->section[0] == 0 || sl_aws_ini_get(&ini, "", s->section, s->key) == NULL)
            abort();
        size_t length = strlen(s->value);
        if (length > 0 && (strchr(" \t\r\n", s->value[0]) != NULL || strchr(" \t\r\n", s->value[length - 1]) != NULL))
            abort();
    }
    sl_arena_fini(&arena);
    return 0;
}
