// links: sluice_geoip
// A file is refused with a message, or answers any address with UTF-8 from within itself.

#include "sluice/geoip.h"
#include "sluice/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *file, size_t size, const sl_geoip_answer *answer) {
    for (unsigned i = 0; i < SL_GEOIP_PARTS; i++) {
        if ((answer->present >> i & 1) == 0 ||
            sl_geoip_part_type((sl_geoip_part)i) != SL_TYPE_STRING)
            continue;
        const uint8_t *text = (const uint8_t *)answer->text[i].bytes;
        if (text < file || text + answer->text[i].length > file + size ||
            sl_utf8_valid(text, answer->text[i].length) != answer->text[i].length)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_geoip *db;
    sl_error error = {0};
    uint8_t *file = sl_malloc(size);
    if (size != 0)
        memcpy(file, data, size);
    sl_status status = sl_geoip_load(file, size, NULL, &db, &error);
    if (status != SL_OK) {
        if (error.text[0] == 0 || error.status != status || db != NULL)
            abort();
        sl_free(file);
    }
    for (unsigned i = 0; i < 64 && status == SL_OK; i++) {
        uint8_t address[16];
        for (unsigned k = 0; k < 16; k++)
            address[k] = i == 0 ? 0 : data[(i * 37 + k * 11) % size];
        sl_geoip_answer answer;
        if (sl_geoip_find(db, address, i % 2 ? 128 : 32, &answer))
            check(file, size, &answer);
    }
    if (status == SL_OK)
        sl_geoip_unref(db);
    uint8_t address[16];
    unsigned bits;
    sl_geoip_address((const char *)data, size, address, &bits);
    return 0;
}
