// links: sluice_aws_intake
/* What is read as CBOR is JSON, to its end; and what JSON of integers, texts, objects and arrays becomes CBOR comes back the same. */
#include "../../src/intake/aws/cbor.h"
#include "../../src/intake/aws/json.h"

#include "sluice/batch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sl_buffer json = SL_BUFFER_EMPTY, cbor = SL_BUFFER_EMPTY, again = SL_BUFFER_EMPTY;
    const char *wrong = NULL;
    if (aws_cbor_to_json(data, size, &json, &wrong)) {
        if (!sl_buffer_reserve(&json, SL_PADDING))
            abort();
        json_reader reader = {.at = json.bytes, .end = json.bytes + json.length, .begin = json.bytes};
        if (!json_skip(&reader) || reader.at != reader.end)
            abort();
        /* Times are another thing in CBOR, and numbers with fractions, signs or more digits than 64 bits are none of ours. */
        bool ours = strstr(sl_buffer_cstr(&json), "Timestamp") == NULL;
        if (ours && aws_json_to_cbor(json.bytes, json.length, &cbor) &&
            (!aws_cbor_to_json(cbor.bytes, cbor.length, &again, &wrong) || again.length > json.length))
            abort();
    } else if (wrong == NULL) {
        abort();
    }
    sl_buffer_fini(&json);
    sl_buffer_fini(&cbor);
    sl_buffer_fini(&again);
    return 0;
}
