// Row files: see rows.h for the bytes. A reader trusts nothing: a row must hold exactly
// one value per column, of that column's type, and end where its length says.

#include "sluice/rows.h"

#include <assert.h>

#define MAGIC "SLROWS1\n"
#define MAGIC_BYTES 8u
#define COLUMN_BYTES_MIN 4u
#define COLUMNS_MAX 16384u
#define DECIMAL_DIGITS_MAX 18u

void sl_rows_begin(sl_buffer *out, const sl_rows_column *columns, uint32_t count) {
    assert(count <= COLUMNS_MAX);
    sl_buffer_append(out, MAGIC, MAGIC_BYTES);
    sl_buffer_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        size_t length = strlen(columns[i].name);
        assert(length <= UINT16_MAX);
        sl_buffer_byte(out, (uint8_t)columns[i].type);
        sl_buffer_byte(out, columns[i].scale);
        sl_buffer_byte(out, (uint8_t)length);
        sl_buffer_byte(out, (uint8_t)(length >> 8));
        sl_buffer_append(out, columns[i].name, length);
    }
}

void sl_rows_add(sl_buffer *out, const sl_value *values, uint32_t count) {
    size_t at = out->length;
    sl_buffer_u32(out, 0);
    for (uint32_t i = 0; i < count; i++)
        sl_value_encode(&values[i], out);
    if (out->failed)
        return;
    size_t length = out->length - at - 4;
    assert(length <= UINT32_MAX);
    for (unsigned i = 0; i < 4; i++)
        out->bytes[at + i] = (uint8_t)(length >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

static sl_status read_column(sl_rows_reader *reader, sl_rows_column *column) {
    size_t left = reader->length - reader->at;
    const uint8_t *at = reader->bytes + reader->at;
    if (left < COLUMN_BYTES_MIN || at[0] == SL_TYPE_GROUP || at[0] > SL_TYPE_BYTES ||
        at[1] > DECIMAL_DIGITS_MAX)
        return SL_ECORRUPT;
    size_t length = (size_t)at[2] | (size_t)at[3] << 8;
    if (left - COLUMN_BYTES_MIN < length ||
        memchr(at + COLUMN_BYTES_MIN, 0, length) != NULL)
        return SL_ECORRUPT;
    *column =
        (sl_rows_column){.name = sl_strndup((const char *)at + COLUMN_BYTES_MIN, length),
                         .type = (sl_type)at[0],
                         .precision = at[0] == SL_TYPE_DECIMAL ? DECIMAL_DIGITS_MAX : 0,
                         .scale = at[1]};
    reader->at += COLUMN_BYTES_MIN + length;
    return column->name == NULL ? SL_ENOMEM : SL_OK;
}

static sl_status read_head(sl_rows_reader *reader) {
    if (reader->length < MAGIC_BYTES + 4 ||
        memcmp(reader->bytes, MAGIC, MAGIC_BYTES) != 0)
        return SL_ECORRUPT;
    uint32_t count = get_u32(reader->bytes + MAGIC_BYTES);
    reader->at = MAGIC_BYTES + 4;
    if (count > COLUMNS_MAX || (reader->length - reader->at) / COLUMN_BYTES_MIN < count)
        return SL_ECORRUPT;
    reader->columns = sl_calloc(count, sizeof *reader->columns);
    reader->values = sl_calloc(count, sizeof *reader->values);
    if (reader->columns == NULL || reader->values == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        sl_status status = read_column(reader, &reader->columns[i]);
        if (status != SL_OK)
            return status;
        reader->count++;
    }
    return SL_OK;
}

sl_status sl_rows_open(const uint8_t *bytes, size_t length, sl_rows_reader *reader) {
    *reader = (sl_rows_reader){.bytes = bytes, .length = length};
    sl_status status = read_head(reader);
    if (status != SL_OK)
        sl_rows_fini(reader);
    return status;
}

sl_status sl_rows_next(sl_rows_reader *reader) {
    size_t left = reader->length - reader->at;
    if (left == 0)
        return SL_ENOTFOUND;
    if (left < 4)
        return SL_ECORRUPT;
    const uint8_t *at = reader->bytes + reader->at + 4;
    size_t length = get_u32(at - 4);
    if (left - 4 < length)
        return SL_ECORRUPT;
    const uint8_t *end = at + length;
    for (uint32_t i = 0; i < reader->count; i++) {
        size_t used = sl_value_decode(at, (size_t)(end - at), &reader->values[i]);
        if (used == 0 || reader->values[i].type != reader->columns[i].type)
            return SL_ECORRUPT;
        at += used;
    }
    if (at != end)
        return SL_ECORRUPT;
    reader->at += 4 + length;
    return SL_OK;
}

void sl_rows_fini(sl_rows_reader *reader) {
    for (uint32_t i = 0; i < reader->count; i++) {
        union {
            const char *in;
            char *out;
        } name = {.in = reader->columns[i].name};
        sl_free(name.out);
    }
    sl_free(reader->columns);
    sl_free(reader->values);
    *reader = (sl_rows_reader){0};
}
