// links: sluice_parquet
// Any bytes as a Parquet file: the footer's reader, both prints, and the rows.
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
    sl_parquet_scan *scan;
    if (sl_parquet_scan_open(data, size, &scan, &error) == SL_OK) {
        static const char *const some[] = {"position", "raw"};
        sl_value values[256];
        if (size % 2 != 0)
            sl_parquet_scan_only(scan, some, 2);
        for (int rows = 0; sl_parquet_scan_columns(scan) <= 256 && rows < 10000; rows++)
            if (sl_parquet_scan_next(scan, values, &error) != SL_OK)
                break;
        sl_parquet_scan_close(scan);
    }
    return 0;
}
