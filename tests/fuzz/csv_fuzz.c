// links: sluice_core
// Rows read from the whole text are the rows read when it comes in pieces, and a reader
// always moves on.

#include "sluice/csv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep(const sl_csv *csv, sl_status status, sl_buffer *out) {
    sl_buffer_u32(out, (uint32_t)status);
    sl_buffer_u32(out, csv->row_line);
    for (uint32_t i = 0; i < csv->count; i++) {
        const sl_csv_cell *cell = &csv->cells[i];
        sl_buffer_u32(out, cell->length);
        sl_buffer_u32(out, cell->line);
        sl_buffer_u32(out, cell->column);
        sl_buffer_byte(out, cell->quoted);
        sl_buffer_append(out, cell->bytes, cell->length);
    }
}

// Until the first error: what is passed over then depends on how much is there.
static void rows(const uint8_t *data, size_t size, size_t piece, sl_buffer *out) {
    sl_csv csv;
    sl_csv_init(&csv);
    size_t at = 0, fed = piece < size ? piece : size;
    for (;;) {
        uint8_t *held = sl_malloc(fed - at);
        memcpy(held, data + at, fed - at);
        size_t used = 0;
        sl_status status = sl_csv_row(&csv, held, fed - at, fed == size, &used, NULL);
        if (used > fed - at || (status == SL_OK && used == 0))
            abort();
        if (status != SL_EAGAIN)
            keep(&csv, status, out);
        sl_free(held);
        at += used;
        if (status == SL_EAGAIN && fed == size)
            abort();
        if (status == SL_EAGAIN)
            fed = size - fed < piece ? size : fed + piece;
        else if (status != SL_OK)
            break;
    }
    sl_csv_fini(&csv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 4096)
        return 0;
    size_t piece = 1 + data[0] % 7;
    sl_buffer whole = SL_BUFFER_EMPTY, pieces = SL_BUFFER_EMPTY;
    rows(data + 1, size - 1, size, &whole);
    rows(data + 1, size - 1, piece, &pieces);
    if (whole.length != pieces.length ||
        memcmp(whole.bytes, pieces.bytes, whole.length) != 0)
        abort();
    sl_buffer_fini(&whole);
    sl_buffer_fini(&pieces);
    return 0;
}
