// links: sluice_warehouse_postgres
// A server's cell in binary form is refused, or it is a value that goes back as bytes of
// the same meaning.

#include "../../src/sinks/warehouse/postgres/binary.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    const sl_warehouse_column column = {.type = (sl_type)(data[0] % (SL_TYPE_BYTES + 1)),
                                        .scale = data[1] % 19};
    sl_value value, again;
    if (!sl_pgbinary_read(&column, (const char *)data + 2, size - 2, &value))
        return 0;
    sl_buffer bytes = SL_BUFFER_EMPTY;
    sl_pgbinary_value(&bytes, &value);
    if (column.type != SL_TYPE_GROUP &&
        (!sl_pgbinary_read(&column, (const char *)bytes.bytes + 4, bytes.length - 4,
                           &again) ||
         (column.type == SL_TYPE_DECIMAL && again.as.i64 != value.as.i64)))
        abort();
    sl_buffer_fini(&bytes);
    return 0;
}
