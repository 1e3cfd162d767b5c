/* PostgreSQL's binary forms: what COPY … (FORMAT binary) takes and what results in binary
 * form give. */
#pragma once

#include "sluice/warehouse_sql.h"

void sl_pgbinary_begin(sl_buffer *out);
void sl_pgbinary_row(sl_buffer *out, uint16_t columns);
/** One field; the value has the column's type. */
void sl_pgbinary_value(sl_buffer *out, const sl_value *value);
void sl_pgbinary_end(sl_buffer *out);
/** An array of bytea as a parameter: begin, items, end. */
void sl_pgbinary_keys_begin(sl_buffer *out);
void sl_pgbinary_keys_add(sl_buffer *out, const uint8_t *bytes, size_t length);
void sl_pgbinary_keys_end(sl_buffer *out, uint32_t count);
enum { SL_PG_BYTEA_ARRAY = 1001 };
/** A result's cell as a value of the column's type; borrows. NULL: null. @return false:
 * it is none. */
SL_CHECKED bool sl_pgbinary_read(const sl_warehouse_column *column, const char *bytes,
                                 size_t length, sl_value *out);
