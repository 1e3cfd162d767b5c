// links: sluice_parquet
// Any bytes as the end of a Parquet file: the footer's reader and both prints.
#include "sluice/parquet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t needed;
    sl_error error = {0};
    sl_parquet_footer footer;
    if (sl_parquet_read_footer(data, size, &needed, &footer, &error) == SL_OK)
        sl_parquet_footer_fini(&footer);
    for (int json = 0; json < 2; json++) {
        sl_buffer out = SL_BUFFER_EMPTY;
        if (sl_parquet_inspect(data, size, json, &out, &error) == SL_OK && out.length == 0)
            __builtin_trap(); // Something is always said about a file that can be read.
        sl_buffer_fini(&out);
    }
    return 0;
}
