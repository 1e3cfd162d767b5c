// links: sluice_ndjson
// Any bytes as a file of the raw zone.
#include "sluice/ndjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_ndjson_reader *reader;
    sl_error error = {0};
    if (sl_ndjson_open(data, size, &reader, &error) != SL_OK)
        return 0;
    const uint8_t *record;
    size_t length, sum = 0;
    sl_ndjson_mark mark;
    for (int i = 0; i < 1000 && sl_ndjson_next(reader, &record, &length, &mark, &error) == SL_OK; i++)
        sum += (length != 0 ? record[length - 1] : 0) + (mark.source_length != 0 ? (size_t)mark.source[0] : 0);
    sl_ndjson_close(reader);
    return sum == 1; // Never decides anything: it only makes sure that all of it is read.
}
