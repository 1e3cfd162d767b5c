// links: sluice_rows
// A row file is refused or read; the rows read encode to the bytes they came from.

#include "sluice/rows.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_rows_reader reader;
    if (sl_rows_open(data, size, &reader) != SL_OK)
        return 0;
    for (;;) {
        size_t before = reader.at;
        if (sl_rows_next(&reader) != SL_OK)
            break;
        sl_buffer again = {0};
        sl_rows_add(&again, reader.values, reader.count);
        if (again.length != reader.at - before ||
            memcmp(again.bytes, data + before, again.length) != 0)
            abort();
        sl_buffer_fini(&again);
    }
    sl_rows_fini(&reader);
    return 0;
}
