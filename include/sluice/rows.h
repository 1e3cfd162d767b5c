/** @file rows.h
 * Row file: typed rows on their way from a cut to a warehouse, in the spool.
 *
 * Format   "SLROWS1\n", u32 column count; per column: u8 type, u8 scale, u16 name length, name. Then rows:
 *          u32 byte length (of the values that follow), then each value as sl_value_encode() writes it.
 *          Little-endian. The outbox entry holds the file's length and hash, so there is no trailer.
 * Threads  Its owner.
 */
#pragma once

#include "sluice/value.h"

typedef struct sl_rows_column {
    const char *name;
    sl_type type;
    uint8_t precision, scale;
} sl_rows_column;

void sl_rows_begin(sl_buffer *out, const sl_rows_column *columns, uint32_t count);
void sl_rows_add(sl_buffer *out, const sl_value *values, uint32_t count);

typedef struct sl_rows_reader {
    const uint8_t *bytes;
    size_t length, at;
    sl_rows_column *columns; /**< Names are copies, freed by fini. */
    uint32_t count;
    sl_value *values; /**< The row last read. */
} sl_rows_reader;

/** @param bytes Borrowed until fini. @return SL_OK, SL_ECORRUPT, SL_ENOMEM. */
SL_CHECKED sl_status sl_rows_open(const uint8_t *bytes, size_t length, sl_rows_reader *reader);
/** @return SL_OK and reader->values; SL_ENOTFOUND at the end; SL_ECORRUPT. */
SL_CHECKED sl_status sl_rows_next(sl_rows_reader *reader);
void sl_rows_fini(sl_rows_reader *reader);
