/** @file decode_testing.h
 * For tests: decode a body and write everything that came out of it as text, so that an
 * expectation is a string and "the same answers" is the same text.
 */
#pragma once

#include "sluice/decode.h"

#include <stdio.h>
#include <stdlib.h>

static inline void dump_cell(sl_buffer *out, const sl_batch *batch, uint32_t field,
                             uint32_t row) {
    const sl_column *column = &batch->columns[field];
    switch (batch->schema->fields[field].type) {
    case SL_TYPE_GROUP:
        sl_buffer_text(out, "{}");
        break;
    case SL_TYPE_BOOL:
        sl_buffer_text(out, column->values.truth[row] ? "true" : "false");
        break;
    case SL_TYPE_DOUBLE:
        sl_buffer_printf(out, "%.17g", column->values.f64[row]);
        break;
    case SL_TYPE_INT64:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
        sl_buffer_printf(out, "%lld", (long long)column->values.i64[row]);
        break;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        sl_buffer_append(out, sl_batch_text(batch, column->values.span[row]),
                         column->values.span[row].length);
        break;
    }
}

/** "row: path=value …\n", "reject …\n", "proposal …\n". */
static inline void dump_batch(sl_buffer *out, const sl_batch *batch, bool places) {
    for (uint32_t row = 0; row < batch->rows; row++) {
        sl_buffer_text(out, "row");
        if (places)
            sl_buffer_printf(out, " %u+%u", batch->row_begin[row],
                             batch->row_length[row]);
        sl_buffer_byte(out, ':');
        for (uint32_t f = 1; f < batch->schema->count; f++) {
            if (!batch->columns[f].valid[row])
                continue;
            sl_buffer_printf(out, " %s=", batch->schema->fields[f].path);
            dump_cell(out, batch, f, row);
        }
        sl_buffer_byte(out, '\n');
    }
    for (uint32_t i = 0; i < batch->reject_count; i++) {
        const sl_reject *r = &batch->rejects[i];
        sl_buffer_printf(out, "reject #%u %u+%u at %u %s ", r->index, r->begin, r->length,
                         r->at, sl_code_name(r->code));
        sl_buffer_append(out, sl_batch_text(batch, r->path), r->path.length);
        sl_buffer_text(out, ": ");
        sl_buffer_append(out, sl_batch_text(batch, r->message), r->message.length);
        sl_buffer_byte(out, '\n');
    }
    for (uint32_t i = 0; i < batch->proposal_count; i++) {
        const sl_proposal *p = &batch->proposals[i];
        sl_buffer_printf(out, "proposal %u", p->parent);
        const char *key = p->keys;
        for (uint32_t k = 0; k < p->key_count; k++, key += strlen(key) + 1)
            sl_buffer_printf(out, "/%s", key);
        sl_buffer_printf(out, " %s\n", sl_type_name(p->type));
    }
    if (batch->drift != 0)
        sl_buffer_printf(out, "drift %llu\n", (unsigned long long)batch->drift);
}

/** A refused event leaves no trace in the row that it would have taken. */
static inline bool next_row_is_clean(const sl_batch *batch) {
    for (uint32_t f = 1; batch->rows < batch->capacity && f < batch->schema->count; f++)
        if (batch->columns[f].valid[batch->rows] != 0)
            return false;
    return true;
}

/** Decode `body` (padded), over as many batches as it takes, and dump. @return the
 * decoder's status. */
static inline sl_status decode_dump_as(sl_format format, const sl_decode_names *names, sl_buffer *out, const sl_schema *schema,
                                       const sl_decoder_options *options,
                                       const uint8_t *body, size_t length, bool places) {
    sl_decoder *decoder = NULL;
    sl_batch *batch = sl_batch_create(NULL);
    sl_status status =
        batch == NULL ? SL_ENOMEM : sl_decoder_create(schema, options, &decoder);
    sl_record record = {.length = (uint32_t)length, .format = format};
    sl_decode_input input = {.record = 0, .names = names};
    while (status == SL_OK) {
        status = sl_batch_prepare(batch, schema, body, &record);
        if (status != SL_OK)
            break;
        status = sl_decode(decoder, batch, &input);
        if (status != SL_OK && status != SL_EFULL)
            break;
        dump_batch(out, batch, places);
        if (!next_row_is_clean(batch))
            abort();
        if (status == SL_OK) {
            sl_buffer_printf(out, "accepted %u rejected %u\n", input.accepted,
                             input.rejected);
            break;
        }
        status = SL_OK;
    }
    sl_batch_destroy(batch);
    sl_decoder_destroy(decoder);
    return status;
}

static inline sl_status decode_dump(sl_buffer *out, const sl_schema *schema,
                                    const sl_decoder_options *options,
                                    const uint8_t *body, size_t length, bool places) {
    return decode_dump_as((sl_format){SL_FORMAT_JSON}, NULL, out, schema, options, body, length, places);
}

/** Copy with padding of `fill`. The caller frees. */
static inline uint8_t *padded_copy(const void *bytes, size_t length, int fill) {
    uint8_t *copy = malloc(length + SL_PADDING);
    if (copy == NULL)
        abort();
    if (length != 0)
        memcpy(copy, bytes, length);
    memset(copy + length, fill, SL_PADDING);
    return copy;
}
